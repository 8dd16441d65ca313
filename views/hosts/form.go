package hosts

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"novacron/domain"
	"novacron/views/ui"
)

// Form is the host form as typed. Secrets are not sent back to the browser, save after a trial, when the next step needs them.
type Form struct {
	Name, URI, Labels, Notes                          string
	CACert, ClientCert, ClientKey, SSHKey, KnownHosts string
	Key                                               string
	Version, Accel, Scrape                            string
}

// Decode reads the form back.
func Decode(v url.Values) Form {
	get := func(k string) string { return strings.TrimSpace(v.Get(k)) }
	return Form{
		Name: get("name"), URI: get("uri"), Labels: get("labels"), Notes: v.Get("notes"), Key: get("key"), Version: get("version"), Accel: get("accel"), Scrape: get("scrape_interval_seconds"),
		CACert: get("ca_cert"), ClientCert: get("client_cert"), ClientKey: get("client_key"), SSHKey: get("ssh_key"), KnownHosts: get("known_hosts"),
	}
}

// Filled is the edit form of a host as it is.
func Filled(h domain.Host) Form {
	return Form{Name: h.Name, URI: h.URI, Labels: labelText(h.Labels), Notes: h.Notes, Accel: string(h.Accel), Scrape: strconv.Itoa(int(h.Scrape / time.Second))}
}

// Credentials gives the credentials part. Keys end with a line break, which parsers of PEM and OpenSSH files want.
func (f Form) Credentials() domain.HostCredentials {
	line := func(s string) string {
		if s == "" {
			return ""
		}
		return strings.ReplaceAll(s, "\r\n", "\n") + "\n"
	}
	return domain.HostCredentials{CACert: line(f.CACert), ClientCert: line(f.ClientCert), ClientKey: line(f.ClientKey), SSHKey: line(f.SSHKey), KnownHosts: line(f.KnownHosts)}
}

// LabelMap reads "site=ams, rack=b2"; the error is Invalid on field "labels".
func (f Form) LabelMap() (map[string]string, error) {
	out := map[string]string{}
	var p domain.Problems
	for _, part := range strings.FieldsFunc(f.Labels, func(r rune) bool { return r == ',' || r == '\n' || r == ';' }) {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		out[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	domain.CheckLabels(&p, "labels", out)
	return out, p.Err()
}

// AccelEdit gives the accelerator that was chosen; nil when the form had none.
func (f Form) AccelEdit() *domain.Accel {
	if f.Accel == "" {
		return nil
	}
	a := domain.Accel(f.Accel)
	return &a
}

// ScrapeEdit gives how often the host is to be measured; nil when the form had none.
func (f Form) ScrapeEdit() (*time.Duration, error) {
	if f.Scrape == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(f.Scrape)
	if err != nil {
		return nil, domain.InvalidField("scrape_interval_seconds", "“"+f.Scrape+"” is not a number of seconds.", "one of the list")
	}
	return new(time.Duration(n) * time.Second), nil
}

// scrapeOptions are the paces that are offered, with the one that is set by other means.
func scrapeOptions(now string) []ui.Option {
	out := []ui.Option{{Value: "0", Label: "As all hosts"}}
	seen := now == "" || now == "0"
	for _, n := range []string{"5", "10", "15", "30", "60"} {
		out = append(out, ui.Option{Value: n, Label: "Every " + n + " seconds"})
		seen = seen || n == now
	}
	if !seen {
		out = append(out, ui.Option{Value: now, Label: "Every " + now + " seconds"})
	}
	return out
}

func accelOptions(f domain.HostFacts) []ui.Option {
	return []ui.Option{
		{Value: "auto", Label: "Automatic: KVM if the host's CPU shows that it works"},
		{Value: "kvm", Label: "KVM: I know that it works on this host", Disabled: !f.KVMOffered},
		{Value: "tcg", Label: "TCG: emulation, slow, works anywhere"},
	}
}

func labelText(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, ", ")
}

// transport is what the URI as typed asks for; "" while it cannot be read.
func (f Form) transport() string {
	u, err := domain.ParseHostURI(f.URI)
	if err != nil {
		return ""
	}
	return u.Transport
}
