package cloudinit

import (
	"fmt"
	"strconv"
	"strings"

	"novacron/domain"
)

// Files are the four documents of a NoCloud seed.
type Files struct {
	UserData      string `json:"user_data"`
	MetaData      string `json:"meta_data"`
	NetworkConfig string `json:"network_config"` // empty: the image's own default
	VendorData    string `json:"vendor_data"`    // empty: none
}

// Hidden stands where a password's hash would.
const Hidden = "(the hash of the password)"

// Render makes the documents for the VM called vm. A guest takes a new instanceID for a first boot.
func Render(c domain.CloudInit, vm, instanceID string) Files {
	host := c.Hostname
	if host == "" {
		host = domain.HostnameFor(vm)
	}
	return Files{UserData: userData(c, host), MetaData: metaData(host, instanceID), NetworkConfig: networkConfig(c), VendorData: ended(c.VendorData)}
}

func metaData(host, instanceID string) string {
	var w writer
	w.line(0, "instance-id", instanceID)
	w.line(0, "local-hostname", host)
	return w.String()
}

// userData is what the fields make, or what the person wrote, or both as two parts whose lists and maps cloud-init joins.
func userData(c domain.CloudInit, host string) string {
	rest := c
	rest.Hostname, rest.UserData, rest.VendorData, rest.NetworkConfig, rest.Network = "", "", "", "", nil
	if c.UserData != "" && rest.Empty() {
		return ended(c.UserData)
	}
	own := cloudConfig(c, host)
	if c.UserData == "" {
		return own
	}
	edge := "novacron-part"
	for strings.Contains(c.UserData, edge) {
		edge += "-"
	}
	const merge = "list(append)+dict(recurse_array)+str()"
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%q\nMIME-Version: 1.0\n", edge)
	for _, part := range []struct{ kind, body string }{{"text/cloud-config", own}, {mimeOf(c.UserData), ended(c.UserData)}} {
		fmt.Fprintf(&b, "\n--%s\nContent-Type: %s; charset=\"utf-8\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\nMerge-Type: %s\n\n%s", edge, part.kind, merge, part.body)
	}
	fmt.Fprintf(&b, "\n--%s--\n", edge)
	return b.String()
}

// kinds are how cloud-init tells sorts of user-data: by how they begin.
var kinds = []struct{ begin, mime string }{
	{"#cloud-config-archive", "text/cloud-config-archive"},
	{"#cloud-config", "text/cloud-config"},
	{"#cloud-boothook", "text/cloud-boothook"},
	{"#include-once", "text/x-include-once-url"},
	{"#include", "text/x-include-url"},
	{"#part-handler", "text/part-handler"},
	{"## template: jinja", "text/jinja2"},
	{"#!", "text/x-shellscript"},
}

func mimeOf(raw string) string {
	for _, k := range kinds {
		if strings.HasPrefix(raw, k.begin) {
			return k.mime
		}
	}
	return "text/plain"
}

func cloudConfig(c domain.CloudInit, host string) string {
	var w writer
	w.raw("#cloud-config")
	short, _, dotted := strings.Cut(host, ".")
	w.line(0, "hostname", short)
	if dotted {
		w.line(0, "fqdn", host)
	}
	w.flag("manage_etc_hosts", true)
	if c.Timezone != "" {
		w.line(0, "timezone", c.Timezone)
	}
	if c.User != "" {
		w.line(0, "user", c.User)
	}
	w.list(0, "ssh_authorized_keys", trimmed(c.SSHKeys))
	if c.PasswordHash != "" || c.Password != "" {
		hash := c.PasswordHash
		if hash == "" {
			hash = Hidden
		}
		w.line(0, "password", hash)
		w.raw("chpasswd:")
		w.raw("  expire: false")
	}
	if c.PasswordSSH {
		w.flag("ssh_pwauth", true)
	}
	if len(c.Packages) > 0 {
		w.flag("package_update", true)
	}
	if c.PackageUpgrade {
		w.flag("package_upgrade", true)
	}
	w.list(0, "packages", c.Packages)
	w.list(0, "runcmd", c.RunCmd)
	return w.String()
}

func trimmed(lines []string) []string {
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

func networkConfig(c domain.CloudInit) string {
	if c.NetworkConfig != "" {
		return ended(c.NetworkConfig)
	}
	if len(c.Network) == 0 {
		return ""
	}
	var w writer
	w.raw("version: 2")
	w.raw("ethernets:")
	for i, n := range c.Network {
		w.raw("  nic" + strconv.Itoa(i) + ":")
		w.raw("    match:")
		switch {
		case n.MAC != "":
			w.line(3, "macaddress", strings.ToLower(n.MAC))
			if n.Name != "" && !strings.ContainsAny(n.Name, "*?") {
				w.line(2, "set-name", n.Name)
			}
		default:
			w.line(3, "name", n.Name)
		}
		w.raw("    dhcp4: " + strconv.FormatBool(n.DHCP4))
		w.raw("    dhcp6: " + strconv.FormatBool(n.DHCP6))
		w.list(2, "addresses", n.Addresses)
		for _, g := range []struct{ to, via string }{{"0.0.0.0/0", n.Gateway4}, {"::/0", n.Gateway6}} {
			if g.via == "" {
				continue
			}
			if g.to != "::/0" || n.Gateway4 == "" {
				w.raw("    routes:")
			}
			w.raw("      - to: " + quote(g.to))
			w.line(4, "via", g.via)
		}
		if len(n.Nameservers)+len(n.Search) > 0 {
			w.raw("    nameservers:")
			w.list(3, "addresses", n.Nameservers)
			w.list(3, "search", n.Search)
		}
	}
	return w.String()
}

// ended is s with a line break at its end, and with the line breaks of Unix, since a script with others does not run.
func ended(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return s
}

// writer writes YAML whose scalars are all quoted; depth counts steps of two spaces.
type writer struct{ strings.Builder }

func (w *writer) raw(line string) { w.Builder.WriteString(line + "\n") }

func (w *writer) flag(key string, v bool) { w.raw(key + ": " + strconv.FormatBool(v)) }

func (w *writer) line(depth int, key, value string) {
	w.raw(strings.Repeat("  ", depth) + key + ": " + quote(value))
}

func (w *writer) list(depth int, key string, items []string) {
	if len(items) == 0 {
		return
	}
	in := strings.Repeat("  ", depth)
	w.raw(in + key + ":")
	for _, it := range items {
		w.raw(in + "  - " + quote(it))
	}
}

// quote writes a double-quoted YAML scalar on one line. What is not plainly printable is escaped as YAML 1.1 and 1.2 both read it.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r >= 0x7f && r < 0xa0:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r == 0x2028 || r == 0x2029 || r == 0xfeff || r >= 0xfffe && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
