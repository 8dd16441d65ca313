package domain

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode/utf8"
)

// CloudInit is what a new guest is told on its first boot through cloud-init's NoCloud source. The JSON names are the API's. A plain Password
// lives only until the request is judged: cloudinit.Settle turns it into PasswordHash before anything is stored.
type CloudInit struct {
	Hostname       string          `json:"hostname,omitempty"`        // empty: the VM's name, as far as it can be a host name
	User           string          `json:"user,omitempty"`            // empty: the image's own default user
	SSHKeys        []string        `json:"ssh_keys,omitempty"`        // authorized_keys lines of that user
	Password       string          `json:"password,omitempty"`        // plain; never stored
	PasswordHash   string          `json:"password_hash,omitempty"`   // crypt(3), such as $6$…
	PasswordSSH    bool            `json:"password_ssh,omitempty"`    // SSH takes the password too
	Packages       []string        `json:"packages,omitempty"`        // installed on the first boot; needs a mirror that the guest reaches
	PackageUpgrade bool            `json:"package_upgrade,omitempty"` // upgrade what the image brought
	RunCmd         []string        `json:"runcmd,omitempty"`          // shell lines, run once as root at the end of the first boot
	Timezone       string          `json:"timezone,omitempty"`        // Europe/Berlin
	Network        []CloudInitCard `json:"network,omitempty"`         // empty: DHCP on the first card, as images do
	NetworkConfig  string          `json:"network_config,omitempty"`  // version 2 in YAML, instead of Network
	UserData       string          `json:"user_data,omitempty"`       // raw; merged with what the fields above make
	VendorData     string          `json:"vendor_data,omitempty"`     // raw; what the user's own data overrides
}

// CloudInitCard is one network card in cloud-init's network configuration.
type CloudInitCard struct {
	MAC         string   `json:"mac,omitempty"`  // which card; empty: the one with Name
	Name        string   `json:"name,omitempty"` // its name in the guest, or a pattern such as en*; empty with a MAC: eth0, eth1 …
	DHCP4       bool     `json:"dhcp4,omitempty"`
	DHCP6       bool     `json:"dhcp6,omitempty"`
	Addresses   []string `json:"addresses,omitempty"` // 192.0.2.10/24
	Gateway4    string   `json:"gateway4,omitempty"`
	Gateway6    string   `json:"gateway6,omitempty"`
	Nameservers []string `json:"nameservers,omitempty"`
	Search      []string `json:"search,omitempty"`
}

// Empty reports whether nothing is asked for.
func (c CloudInit) Empty() bool {
	return c.Hostname == "" && c.User == "" && c.Password == "" && c.PasswordHash == "" && c.Timezone == "" && c.NetworkConfig == "" && c.UserData == "" && c.VendorData == "" &&
		!c.PackageUpgrade && !c.PasswordSSH && len(c.SSHKeys)+len(c.Packages)+len(c.RunCmd)+len(c.Network) == 0
}

var (
	hostnameRE = lazily(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
	userRE     = lazily(`^[a-z_][a-z0-9_-]{0,30}[$]?$`)
	packageRE  = lazily(`^[A-Za-z0-9][A-Za-z0-9+._:~=/@-]{0,127}$`)
	hashRE     = lazily(`^\$[0-9a-z]{1,5}\$[A-Za-z0-9./$=,]{8,500}$`)
	timezoneRE = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)
	cardNameRE = lazily(`^[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,30}$`)
	keyTypeRE  = regexp.MustCompile(`^(ssh-(rsa|ed25519|dss)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)$`)
)

// Bounds of one VM's cloud-init.
const (
	maxUserData = 256 * 1024
	maxListed   = 200
	maxLine     = 16 * 1024
)

// Validate checks everything but the YAML of the raw parts, which cloudinit.Check reads. Field names begin with at, such as "cloud_init.".
func (c CloudInit) Validate(p *Problems, at string) {
	if c.Hostname != "" && (len(c.Hostname) > 253 || !hostnameRE.MatchString(c.Hostname)) {
		p.Add(at+"hostname", "“"+printable(c.Hostname)+"” is not a host name.", "letters, digits and hyphens, with dots between the parts")
	}
	if c.User != "" && !userRE.MatchString(c.User) {
		p.Add(at+"user", "“"+printable(c.User)+"” is not a user's name.", "1 to 31 lower-case letters, digits, hyphens or underscores, beginning with a letter")
	}
	for i, k := range c.SSHKeys {
		CheckSSHKey(p, fmt.Sprintf("%sssh_keys.%d", at, i), k)
	}
	if c.Password != "" && c.PasswordHash != "" {
		p.Add(at+"password_hash", "A password and a hash are given.", "one of the two")
	}
	CheckPassword(p, at+"password", c.Password)
	if c.PasswordHash != "" && !hashRE.MatchString(c.PasswordHash) {
		p.Add(at+"password_hash", "That is not a password hash.", "what openssl passwd -6 prints, beginning with $6$")
	}
	for i, n := range c.Packages {
		if !packageRE.MatchString(n) {
			p.Add(fmt.Sprintf("%spackages.%d", at, i), "“"+printable(n)+"” is not a package's name.", "a name such as nginx")
		}
	}
	for i, r := range c.RunCmd {
		if strings.TrimSpace(r) == "" || len(r) > maxLine || !text(r) {
			p.Add(fmt.Sprintf("%sruncmd.%d", at, i), "That is not a command.", "one shell line of at most 16 KiB of plain text")
		}
	}
	if c.Timezone != "" && (len(c.Timezone) > 64 || !timezoneRE.MatchString(c.Timezone)) {
		p.Add(at+"timezone", "“"+printable(c.Timezone)+"” is not a time zone.", "a name such as Europe/Berlin")
	}
	for _, l := range []struct {
		f string
		n int
	}{{"ssh_keys", len(c.SSHKeys)}, {"packages", len(c.Packages)}, {"runcmd", len(c.RunCmd)}, {"network", len(c.Network)}} {
		if l.n > maxListed {
			p.Add(at+l.f, "That is too many.", fmt.Sprintf("at most %d", maxListed))
		}
	}
	for i, n := range c.Network {
		n.validate(p, fmt.Sprintf("%snetwork.%d.", at, i))
	}
	if len(c.Network) > 0 && c.NetworkConfig != "" {
		p.Add(at+"network_config", "The network is described twice.", "network or network_config, one of the two")
	}
	for _, raw := range []struct{ f, v string }{{"user_data", c.UserData}, {"vendor_data", c.VendorData}, {"network_config", c.NetworkConfig}} {
		if len(raw.v) > maxUserData {
			p.Add(at+raw.f, "That is too much.", "at most "+FormatBytes(maxUserData))
		} else if !text(raw.v) {
			p.Add(at+raw.f, "That is not plain text.", "UTF-8 without control characters")
		}
	}
}

func (n CloudInitCard) validate(p *Problems, at string) {
	if n.MAC == "" && n.Name == "" {
		p.Add(at+"name", "Which card is meant?", "its MAC address, or its name in the guest such as eth0")
	}
	if n.MAC != "" {
		NIC{Network: "x", MAC: n.MAC}.validate(p, strings.TrimSuffix(at, "."))
	}
	if n.Name != "" && !cardNameRE.MatchString(n.Name) {
		p.Add(at+"name", "“"+printable(n.Name)+"” is not a card's name.", "such as eth0, enp1s0 or en*")
	}
	for i, a := range n.Addresses {
		if pre, err := netip.ParsePrefix(a); err != nil || pre.Addr().Zone() != "" {
			p.Add(fmt.Sprintf("%saddresses.%d", at, i), "“"+printable(a)+"” is not an address with its length.", "such as 192.0.2.10/24")
		}
	}
	for _, g := range []struct {
		f, v string
		is   func(netip.Addr) bool
	}{{"gateway4", n.Gateway4, netip.Addr.Is4}, {"gateway6", n.Gateway6, netip.Addr.Is6}} {
		if ip, err := netip.ParseAddr(g.v); g.v != "" && (err != nil || !g.is(ip) || ip.Zone() != "") {
			p.Add(at+g.f, "“"+printable(g.v)+"” is not a gateway's address.", "such as 192.0.2.1")
		}
	}
	for i, a := range n.Nameservers {
		if ip, err := netip.ParseAddr(a); err != nil || ip.Zone() != "" {
			p.Add(fmt.Sprintf("%snameservers.%d", at, i), "“"+printable(a)+"” is not an address.", "such as 192.0.2.53")
		}
	}
	for i, d := range n.Search {
		if len(d) > 253 || !hostnameRE.MatchString(d) {
			p.Add(fmt.Sprintf("%ssearch.%d", at, i), "“"+printable(d)+"” is not a domain.", "such as example.org")
		}
	}
}

// CheckSSHKey validates one line of authorized_keys: a public key without options, whose blob is of the type that it says. A private key gets an answer of
// its own, since pasting one is a mistake with consequences.
func CheckSSHKey(p *Problems, field, line string) {
	const want = "one line such as ssh-ed25519 AAAA… name"
	if strings.Contains(line, "PRIVATE KEY") {
		p.Add(field, "That is a private key. It must stay with its owner.", "the public half, from the file that ends in .pub")
		return
	}
	parts := strings.Fields(line)
	if len(line) > maxLine || !text(line) || strings.ContainsAny(line, "\r\n") || len(parts) < 2 || !keyTypeRE.MatchString(parts[0]) {
		p.Add(field, "That is not a public SSH key.", want)
		return
	}
	blob, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil || len(blob) < 4 || uint64(binary.BigEndian.Uint32(blob)) != uint64(len(parts[0])) || !strings.HasPrefix(string(blob[4:]), parts[0]) {
		p.Add(field, "The SSH key is damaged or cut off.", want)
	}
}

// CheckPassword validates a plain password for a guest; none is fine.
func CheckPassword(p *Problems, field, password string) {
	if len(password) > 256 || !text(password) || strings.ContainsAny(password, "\r\n") {
		p.Add(field, "That cannot be a password.", "at most 256 characters in one line, without control characters")
	}
}

// CheckGuestUser validates a user's name in a guest of any kind.
func CheckGuestUser(p *Problems, field, name string) {
	if name == "" || len(name) > 104 || !text(name) || strings.ContainsAny(name, "\r\n\t/\\:\"'[]|<>+=;,?*") || strings.TrimSpace(name) != name {
		p.Add(field, "“"+printable(name)+"” is not a user's name.", "the name of a user in the guest, such as root")
	}
}

// text reports whether s is UTF-8 without control characters other than line breaks and tabs.
func text(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r >= 0x7f && r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff || r == 0xfeff
	})
}

// printable is s fit for a message: one line, no control characters, not too long.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '·'
		}
		return r
	}, strings.ToValidUTF8(s, "·"))
	if len(s) > 80 {
		s = string([]rune(s)[:min(len([]rune(s)), 60)]) + "…"
	}
	return s
}

// HostnameFor makes a host name of a VM's name, for guests that are not given one.
func HostnameFor(vm string) string {
	s := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, vm), "-")
	if s == "" {
		return "guest"
	}
	return s[:min(len(s), 63)]
}
