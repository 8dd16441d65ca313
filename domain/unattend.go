package domain

import (
	"regexp"
	"strings"
)

// Unattend is what a new guest of Windows is told by its installer's answer file. The JSON names are the API's. AdminPassword is kept only sealed, since Windows takes no hash.
type Unattend struct {
	ComputerName  string `json:"computer_name,omitempty"` // empty: the VM's name, as far as it can be one
	AdminPassword string `json:"admin_password"`
	Locale        string `json:"locale,omitempty"`   // en-US
	Timezone      string `json:"timezone,omitempty"` // as Windows calls it: W. Europe Standard Time
	ProductKey    string `json:"product_key,omitempty"`
	ImageName     string `json:"image_name,omitempty"` // which edition of the medium: Windows Server 2022 SERVERSTANDARD
	Organization  string `json:"organization,omitempty"`
	DriverISO     string `json:"driver_iso,omitempty"`  // the virtio drivers' image, by its path on the host; put into a drive of its own
	DriverPath    string `json:"driver_path,omitempty"` // where on it the drivers are for this Windows: 2k22\amd64; empty: the whole medium is searched
}

var (
	computerRE   = lazily(`^[A-Za-z0-9]([A-Za-z0-9-]{0,13}[A-Za-z0-9])?$`)
	productKeyRE = regexp.MustCompile(`^[A-Z0-9]{5}(-[A-Z0-9]{5}){4}$`)
	localeRE     = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`)
	driverRE     = regexp.MustCompile(`^[A-Za-z0-9._-]+([\\/][A-Za-z0-9._-]+)*$`)
	digitsRE     = regexp.MustCompile(`^[0-9]+$`)
)

// Validate checks an answer file's fields. Field names begin with at, such as "windows.".
func (u Unattend) Validate(p *Problems, at string) {
	if u.ComputerName != "" && (!computerRE.MatchString(u.ComputerName) || digitsRE.MatchString(u.ComputerName)) {
		p.Add(at+"computer_name", "“"+printable(u.ComputerName)+"” is not a computer's name for Windows.", "at most 15 letters, digits and hyphens, not only digits")
	}
	if u.AdminPassword == "" {
		p.Add(at+"admin_password", "The administrator needs a password.", "one that fits Windows' rules: 8 characters or more of three kinds")
	}
	CheckPassword(p, at+"admin_password", u.AdminPassword)
	if u.Locale != "" && !localeRE.MatchString(u.Locale) {
		p.Add(at+"locale", "“"+printable(u.Locale)+"” is not a locale.", "such as en-US or de-DE")
	}
	if u.ProductKey != "" && !productKeyRE.MatchString(u.ProductKey) {
		p.Add(at+"product_key", "That is not a product key.", "five groups of five capital letters or digits, or nothing for an evaluation or volume medium")
	}
	for _, v := range []struct{ f, v string }{{"timezone", u.Timezone}, {"image_name", u.ImageName}, {"organization", u.Organization}} {
		if len(v.v) > 128 || !text(v.v) || strings.ContainsAny(v.v, "\r\n\t") {
			p.Add(at+v.f, "That is too long, or not in one line.", "at most 128 characters of plain text")
		}
	}
	absolutePath(p, at+"driver_iso", u.DriverISO)
	if u.DriverPath != "" && (!driverRE.MatchString(u.DriverPath) || strings.Contains(u.DriverPath, "..")) {
		p.Add(at+"driver_path", "“"+printable(u.DriverPath)+"” is not a folder of the driver medium.", `such as 2k22\amd64`)
	}
	if u.DriverPath != "" && u.DriverISO == "" {
		p.Add(at+"driver_iso", "A folder is given, but not the medium it is on.", "the path of virtio-win.iso on the host")
	}
}

// ComputerNameFor makes a Windows computer's name of a VM's name.
func ComputerNameFor(vm string) string {
	s := strings.ToUpper(HostnameFor(vm))
	s = strings.Trim(s[:min(len(s), 15)], "-")
	if digitsRE.MatchString(s) {
		s = ("VM-" + s)[:min(len(s)+3, 15)]
	}
	return s
}
