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
