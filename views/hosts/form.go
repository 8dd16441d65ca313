package hosts

import (
	"net/url"

	"novacron/domain"
)

// Form is the host form as typed.
type Form struct {
	Name, URI, Labels, Notes                          string
	CACert, ClientCert, ClientKey, SSHKey, KnownHosts string
}

// Decode reads the form back.
func Decode(v url.Values) Form { return Form{} }

// Credentials gives the credentials part.
func (f Form) Credentials() domain.HostCredentials { return domain.HostCredentials{} }

// LabelMap reads "site=ams, rack=b2".
func (f Form) LabelMap() (map[string]string, error) { return nil, nil }
