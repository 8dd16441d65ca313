package domain

import (
	"slices"
	"strings"
)

// FirstBoot is what the first boot of a VM called name reads, with values in the place of the parameters; nil when the template says nothing of it.
// ${…} that names no parameter stays: shell scripts write their own variables so.
func (v TemplateVersion) FirstBoot(name string, values map[string]string) *CloudInit {
	if v.CloudInit == nil {
		return nil
	}
	all := map[string]string{"name": name}
	for k, val := range values {
		all[k] = val
	}
	c := *v.CloudInit
	for _, t := range []*string{&c.Hostname, &c.User, &c.Timezone, &c.NetworkConfig, &c.UserData, &c.VendorData} {
		*t = Fill(*t, all)
	}
	lines := func(in []string) []string {
		var out []string
		for _, l := range in {
			if l = Fill(l, all); strings.TrimSpace(l) != "" { // a parameter that was left empty asks for nothing
				out = append(out, l)
			}
		}
		return out
	}
	c.SSHKeys, c.Packages, c.RunCmd = lines(c.SSHKeys), lines(c.Packages), lines(c.RunCmd)
	c.Network = slices.Clone(c.Network)
	for i := range c.Network {
		n := &c.Network[i]
		n.Addresses, n.Nameservers, n.Search = lines(n.Addresses), lines(n.Nameservers), lines(n.Search)
		n.Gateway4, n.Gateway6 = Fill(n.Gateway4, all), Fill(n.Gateway6, all)
	}
	return &c
}

// FirstBootProbe is FirstBoot as far as it can be judged before anybody chose values: without the lines that a parameter makes.
func (v TemplateVersion) FirstBootProbe() *CloudInit {
	if v.CloudInit == nil {
		return nil
	}
	fixed := v
	c := *v.CloudInit
	asks := func(l string) bool { return len(Placeholders(l)) > 0 }
	known := func(lines []string) []string { return slices.DeleteFunc(slices.Clone(lines), asks) }
	for _, t := range []*string{&c.Hostname, &c.User, &c.Timezone} {
		if asks(*t) {
			*t = ""
		}
	}
	c.SSHKeys, c.Packages = known(c.SSHKeys), known(c.Packages)
	c.Network = slices.Clone(c.Network)
	for i := range c.Network {
		n := &c.Network[i]
		n.Addresses, n.Nameservers, n.Search = known(n.Addresses), known(n.Nameservers), known(n.Search)
		for _, t := range []*string{&n.Gateway4, &n.Gateway6} {
			if asks(*t) {
				*t = ""
			}
		}
	}
	fixed.CloudInit = &c
	return fixed.FirstBoot("x", v.examples())
}

// diffFirstBoot adds what differs in the first boot and in the commands that are allowed.
func diffFirstBoot(out []Change, from, to TemplateVersion) []Change {
	a, b := CloudInit{}, CloudInit{}
	if from.CloudInit != nil {
		a = *from.CloudInit
	}
	if to.CloudInit != nil {
		b = *to.CloudInit
	}
	has := func(hash string) string {
		if hash == "" {
			return "none"
		}
		return "given"
	}
	secret := func(x, y string) (string, string) {
		if x != "" && y != "" && x != y {
			return "given", "another one"
		}
		return has(x), has(y)
	}
	oldPassword, newPassword := secret(a.PasswordHash, b.PasswordHash)
	for _, d := range []struct{ field, label, a, b string }{
		{"hostname", "Host name", a.Hostname, b.Hostname}, {"user", "User", a.User, b.User}, {"password", "Password", oldPassword, newPassword},
		{"password_ssh", "Password by SSH", yesNo(a.PasswordSSH), yesNo(b.PasswordSSH)}, {"ssh_keys", "SSH keys", strings.Join(a.SSHKeys, "\n"), strings.Join(b.SSHKeys, "\n")},
		{"packages", "Packages", strings.Join(a.Packages, ", "), strings.Join(b.Packages, ", ")}, {"package_upgrade", "Upgrade packages", yesNo(a.PackageUpgrade), yesNo(b.PackageUpgrade)},
		{"runcmd", "First-boot commands", strings.Join(a.RunCmd, "\n"), strings.Join(b.RunCmd, "\n")}, {"timezone", "Time zone", a.Timezone, b.Timezone},
		{"network_config", "Network configuration", a.NetworkConfig, b.NetworkConfig}, {"user_data", "User data", a.UserData, b.UserData}, {"vendor_data", "Vendor data", a.VendorData, b.VendorData},
	} {
		if d.a != d.b {
			out = append(out, Change{"cloud_init." + d.field, "First boot: " + d.label, d.a, d.b})
		}
	}
	if x, y := cards(a.Network), cards(b.Network); x != y {
		out = append(out, Change{"cloud_init.network", "First boot: network cards", x, y})
	}
	if x, y := strings.Join(from.ExecRules, "\n"), strings.Join(to.ExecRules, "\n"); x != y {
		out = append(out, Change{"guest_exec_allow", "Allowed guest commands", x, y})
	}
	return out
}

// cards describes the guest's network cards in one line each.
func cards(in []CloudInitCard) string {
	var out []string
	for _, n := range in {
		words := []string{n.Name + n.MAC}
		if n.DHCP4 {
			words = append(words, "DHCP")
		}
		if n.DHCP6 {
			words = append(words, "DHCPv6")
		}
		words = append(words, n.Addresses...)
		for _, via := range []string{n.Gateway4, n.Gateway6} {
			if via != "" {
				words = append(words, "via "+via)
			}
		}
		if len(n.Nameservers) > 0 {
			words = append(words, "names from "+strings.Join(n.Nameservers, " "))
		}
		out = append(out, strings.Join(append(words, n.Search...), " "))
	}
	return strings.Join(out, "\n")
}
