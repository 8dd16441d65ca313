package account

import (
	"strings"

	"novacron/domain"
)

// Code is the page that asks for the second factor.
type Code struct {
	UserName string
	Next     string
	Err      string
	App      bool // an authenticator app can answer
	Passkey  bool
}

// MFA is the page of second factors.
type MFA struct {
	Picture string // data: address of the QR code
	Secret  string
	Name    string // as typed
	Err     *domain.Error
	Codes   []string // recovery codes just made, shown once
	Factors []domain.Factor
	Left    int // recovery codes that were not used

	Password bool   // there is a password to be asked for
	KeyName  string // of a passkey, as typed
	KeyErr   *domain.Error
}

// Proof asks once more who it is, before something dangerous. Values is the form that was sent: it goes along.
type Proof struct {
	Action                  string
	Values                  []Value
	Code, Passkey, Password bool
	AgainAt, AgainURL       string // the provider to sign in at again, when nothing else is there
	Err                     *domain.Error
}

// Value is one field of a form.
type Value struct{ Name, Value string }

// Link leads to a provider to be linked with.
type Link struct{ Name, URL string }

// Invite is the page that a link opens.
type Invite struct {
	UserName string
	Secret   string
	Err      *domain.Error
}

// browserName makes a few words of a User-Agent; the whole stands in the tool tip.
func browserName(agent string) string {
	name := "A browser"
	for _, b := range [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}, {"Go-http-client", "A program in Go"}} {
		if strings.Contains(agent, b[0]) {
			name = b[1]
			break
		}
	}
	for _, o := range [][2]string{{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"}} {
		if strings.Contains(agent, o[0]) {
			return name + " on " + o[1]
		}
	}
	return name
}
