package cloudinit

import (
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"novacron/domain"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1ZW5vc2RpYXNidWVub3NkaWFzYnVlbm9zZGlhc2Ex ada@home"

func full() domain.CloudInit {
	return domain.CloudInit{
		Hostname: "web-1.example.org", User: "ada", SSHKeys: []string{key}, PasswordHash: "$6$saltsalt$hash", PasswordSSH: true, Packages: []string{"nginx"}, PackageUpgrade: true,
		RunCmd: []string{`echo "it's: #done" > /run/x`}, Timezone: "Europe/Berlin",
		Network: []domain.CloudInitCard{
			{MAC: "52:54:00:AA:bb:01", Addresses: []string{"192.0.2.10/24", "2001:db8::10/64"}, Gateway4: "192.0.2.1", Gateway6: "2001:db8::1", Nameservers: []string{"192.0.2.53"}, Search: []string{"example.org"}},
			{Name: "en*", DHCP4: true},
		},
	}
}

func TestRender(t *testing.T) {
	got := Render(full(), "ignored", "i-1")
	for what, pair := range map[string][2]string{
		"user-data": {got.UserData, `#cloud-config
hostname: "web-1"
fqdn: "web-1.example.org"
manage_etc_hosts: true
timezone: "Europe/Berlin"
user: "ada"
ssh_authorized_keys:
  - "` + key + `"
password: "$6$saltsalt$hash"
chpasswd:
  expire: false
ssh_pwauth: true
package_update: true
package_upgrade: true
packages:
  - "nginx"
runcmd:
  - "echo \"it's: #done\" > /run/x"
`},
		"meta-data": {got.MetaData, "instance-id: \"i-1\"\nlocal-hostname: \"web-1.example.org\"\n"},
		"network-config": {got.NetworkConfig, `version: 2
ethernets:
  nic0:
    match:
      macaddress: "52:54:00:aa:bb:01"
    dhcp4: false
    dhcp6: false
    addresses:
      - "192.0.2.10/24"
      - "2001:db8::10/64"
    routes:
      - to: "0.0.0.0/0"
        via: "192.0.2.1"
      - to: "::/0"
        via: "2001:db8::1"
    nameservers:
      addresses:
        - "192.0.2.53"
      search:
        - "example.org"
  nic1:
    match:
      name: "en*"
    dhcp4: true
    dhcp6: false
`},
		"vendor-data": {got.VendorData, ""},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s:\n%s\nwant\n%s", what, pair[0], pair[1])
		}
	}
	// What is made passes our own check too.
	if f := Check(domain.CloudInit{UserData: got.UserData, NetworkConfig: got.NetworkConfig}); len(f) > 0 {
		t.Errorf("%+v", f)
	}
}

// Whatever stands in a field comes out of a YAML parser as it was put in, and adds no key.
func TestNoValueBecomesSyntax(t *testing.T) {
	for _, evil := range []string{
		"x\nruncmd: [reboot]", "x\"\nruncmd: [reboot]\n#", `\`, `\n`, `"`, `'`, "a: b", "- a", "{a}", "[a]", "*a", "&a b", "!tag x", "%x", "@x", "`x`", "#x", " x ", "yes", "null", "~", "0x10", "1:20", "\t", "x\u2028y", "x\u0085y", "x\ufeffy", "\u00a0", "\U0001f642", "---", "...", "? x", "| x", "> x", "",
	} {
		c := domain.CloudInit{Hostname: evil, User: evil, SSHKeys: []string{evil}, PasswordHash: evil, Packages: []string{evil}, RunCmd: []string{evil}, Timezone: evil}
		if evil == "" {
			c.User, c.PasswordHash, c.Timezone, c.Hostname = "x", "x", "x", "x"
		}
		files := Render(c, "vm", evil)
		var m map[string]any
		if err := yaml.Unmarshal([]byte(files.UserData), &m); err != nil {
			t.Errorf("%q: %v", evil, err)
			continue
		}
		for k := range m {
			if _, known := topKeys[k]; !known {
				t.Errorf("%q: made the key %s", evil, k)
			}
		}
		if evil != "" {
			if m["user"] != evil || m["password"] != evil || !reflect.DeepEqual(m["runcmd"], []any{evil}) {
				t.Errorf("%q came out as %q, %q, %q", evil, m["user"], m["password"], m["runcmd"])
			}
		}
		var meta map[string]string
		if err := yaml.Unmarshal([]byte(files.MetaData), &meta); err != nil || meta["instance-id"] != evil || len(meta) != 2 {
			t.Errorf("%q: meta %v %v", evil, meta, err)
		}
	}
}

func TestHostileFieldsAreRefused(t *testing.T) {
	for field, c := range map[string]domain.CloudInit{
		"hostname":              {Hostname: "a\nruncmd: [x]"},
		"user":                  {User: "root\nx"},
		"ssh_keys.0":            {SSHKeys: []string{key + "\nssh-rsa AAAA evil"}},
		"password_hash":         {PasswordHash: "plain"},
		"password":              {Password: "a\nb"},
		"packages.0":            {Packages: []string{"a; reboot"}},
		"runcmd.0":              {RunCmd: []string{"a\x00b"}},
		"timezone":              {Timezone: "../../etc/passwd"},
		"network.0.mac":         {Network: []domain.CloudInitCard{{MAC: "xx"}}},
		"network.0.name":        {Network: []domain.CloudInitCard{{}}},
		"network.0.addresses.0": {Network: []domain.CloudInitCard{{Name: "eth0", Addresses: []string{"192.0.2.1"}}}},
		"network.0.gateway4":    {Network: []domain.CloudInitCard{{Name: "eth0", Gateway4: "2001:db8::1"}}},
		"user_data":             {UserData: "#cloud-config\nx: \x1b[31m"},
		"network_config":        {Network: []domain.CloudInitCard{{Name: "eth0"}}, NetworkConfig: "version: 2"},
	} {
		var p domain.Problems
		c.Validate(&p, "")
		if len(p) == 0 || p[0].Field != field {
			t.Errorf("%s: %+v", field, p)
		}
	}
	var p domain.Problems
	domain.CheckSSHKey(&p, "k", "-----BEGIN OPENSSH PRIVATE KEY-----")
	domain.CheckSSHKey(&p, "k", "ssh-ed25519 AAAA cut")
	domain.CheckSSHKey(&p, "k", "command=\"x\" "+key)
	if len(p) != 3 || !strings.Contains(p[0].Msg, "private") {
		t.Errorf("%+v", p)
	}
	full := full()
	p = nil
	Judge(full, &p, "")
	if len(p) > 0 {
		t.Errorf("%+v", p)
	}
}

func TestOwnDataIsJoinedOrStandsAlone(t *testing.T) {
	script := "#!/bin/sh\r\necho hi"
	if got := Render(domain.CloudInit{Hostname: "a", UserData: script}, "vm", "i").UserData; got != "#!/bin/sh\necho hi\n" {
		t.Errorf("%q", got)
	}
	got := Render(domain.CloudInit{User: "ada", UserData: script + "\n--novacron-part\n"}, "vm", "i").UserData
	for _, want := range []string{"Content-Type: multipart/mixed; boundary=\"novacron-part-\"", "Content-Type: text/cloud-config;", "Content-Type: text/x-shellscript;", "\n--novacron-part---\n", "Merge-Type: list(append)"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestCheckNamesLineAndKey(t *testing.T) {
	for _, c := range []struct {
		name, user, net string
		line            int
		key, msg, want  string
	}{
		{name: "fine", user: "#cloud-config\npackages: [a, [b, '1.0']]\nruncmd:\n  - a\n  - [b, 1]\nusers:\n  - default\n  - name: x\n    sudo: false\n"},
		{name: "script", user: "#!/bin/sh\necho: [\n"},
		{name: "empty config", user: "#cloud-config\n# nothing\n"},
		{name: "no mark", user: "packages: [a]", line: 1, msg: "first line", want: "#cloud-config"},
		{name: "mark with more", user: "#cloud-config x\n", line: 1, msg: "more"},
		{name: "unknown", user: "#cloud-config\n\npakages: [a]\n", line: 3, key: "pakages", msg: "no such key", want: "packages?"},
		{name: "underscore", user: "#cloud-config\nssh-authorized-keys: []\n", line: 2, key: "ssh-authorized-keys", want: "ssh_authorized_keys?"},
		{name: "type", user: "#cloud-config\npackages: nginx\n", line: 2, key: "packages", msg: "is text", want: "a list"},
		{name: "deep", user: "#cloud-config\nusers:\n  - name: a\n    shel: /bin/sh\n", line: 4, key: "users.0.shel", want: "shell?"},
		{name: "item", user: "#cloud-config\nssh_authorized_keys:\n  - a: b\n", line: 3, key: "ssh_authorized_keys.0", msg: "a mapping"},
		{name: "octal", user: "#cloud-config\nwrite_files:\n- path: /x\n  permissions: 0644\n", line: 4, key: "write_files.0.permissions", want: "quotes"},
		{name: "twice", user: "#cloud-config\nruncmd: [a]\nruncmd: [b]\n", line: 3, key: "runcmd", msg: "line 2"},
		{name: "tabs", user: "#cloud-config\nusers:\n\t- x\n", line: 3, msg: "not YAML"},
		{name: "two documents", user: "#cloud-config\na: 1\n---\nb: 2\n", line: 3, msg: "second document"},
		{name: "network inside", user: "#cloud-config\nnetwork: {version: 2}\n", line: 2, key: "network", msg: "network_config"},
		{name: "yes is a boolean", user: "#cloud-config\nhostname: yes\n", line: 2, key: "hostname", msg: "true or false"},
		{name: "net fine", net: "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: yes\n"},
		{name: "net version 1", net: "version: 1\nconfig: []\n"},
		{name: "net no version", net: "ethernets: {}\n", line: 1, key: "version", want: "version: 2"},
		{name: "net version", net: "version: 3\n", line: 1, key: "version", msg: "no version 3"},
		{name: "net type", net: "version: 2\nethernets:\n  eth0:\n    addresses: 192.0.2.1/24\n", line: 4, key: "ethernets.eth0.addresses", msg: "is text"},
		{name: "net key", net: "version: 2\nethernets:\n  eth0:\n    dhcp: true\n", line: 4, key: "ethernets.eth0.dhcp", msg: "no such key"},
		{name: "net list", net: "- a\n", line: 1, msg: "a list"},
		{name: "cycle", user: "#cloud-config\nmount_default_fields: &a [*a]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := Check(domain.CloudInit{UserData: c.user, NetworkConfig: c.net})
			if c.line == 0 {
				if len(found) != 0 {
					t.Errorf("%+v", found)
				}
				return
			}
			if len(found) == 0 {
				t.Fatal("nothing was found")
			}
			f := found[0]
			if f.Line != c.line || c.key != "" && f.Key != c.key || !strings.Contains(f.Msg, c.msg) || !strings.Contains(f.Want, c.want) {
				t.Errorf("%+v: %s", f, f.Sentence())
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("#cloud-config\nusers: &a [*a]\n")
	f.Add("version: 2\nethernets: {eth0: {<<: *x}}\n")
	f.Fuzz(func(t *testing.T, raw string) {
		Check(domain.CloudInit{UserData: "#cloud-config\n" + raw, NetworkConfig: raw})
	})
}
