package vms

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/domain/cloudinit"
	"novacron/domain/unattend"
)

// What a new VM's first boot reads.
const (
	FirstBootNone    = ""
	FirstBootCloud   = "cloud-init"
	FirstBootWindows = "windows"
)

// How the network of a first boot is set.
const (
	netDHCP   = "dhcp"   // nothing is said: images ask by DHCP on their first card
	netStatic = "static" // one card with fixed addresses
	netRaw    = "raw"    // version 2 in YAML, by hand
)

// FirstBootForm is what the first boot reads, as typed. The names of the fields are those of the API's cloud_init and windows in dotted form.
type FirstBootForm struct {
	Kind  string
	Cloud CloudInitForm
	Win   WindowsForm
}

// CloudInitForm is cloud-init as typed.
type CloudInitForm struct {
	Hostname, User, Keys, Password, PasswordSSH string
	Packages, Upgrade, Timezone, RunCmd         string
	Net                                         string // dhcp, static, raw
	Card, Addresses, Gateways, DNS, Search      string
	NetworkConfig, UserData, VendorData         string

	// Of a VM that exists.
	HasPassword, KeepPassword, NewInstance bool
	Version                                int64
}

// WindowsForm is an answer file as typed.
type WindowsForm struct {
	Computer, Password, Locale, Timezone, ProductKey, Image, Organization, DriverISO, DriverPath string
}

// Names of fields whose values are never shown again, nor kept.
const (
	fieldPassword      = "cloud_init.password"
	fieldAdminPassword = "windows.admin_password"
)

// DecodeFirstBoot reads the form back.
func DecodeFirstBoot(v url.Values) FirstBootForm {
	f := FirstBootForm{Kind: v.Get("first_boot"), Cloud: DecodeCloudInit(v)}
	get := func(k string) string { return strings.TrimSpace(v.Get("windows." + k)) }
	f.Win = WindowsForm{Computer: get("computer_name"), Password: v.Get(fieldAdminPassword), Locale: get("locale"), Timezone: get("timezone"), ProductKey: strings.ToUpper(get("product_key")),
		Image: get("image_name"), Organization: get("organization"), DriverISO: get("driver_iso"), DriverPath: get("driver_path")}
	return f
}

// DecodeCloudInit reads the form's part of cloud-init.
func DecodeCloudInit(v url.Values) CloudInitForm {
	get := func(k string) string { return strings.TrimSpace(v.Get("cloud_init." + k)) }
	raw := func(k string) string {
		s := strings.ReplaceAll(v.Get("cloud_init."+k), "\r\n", "\n")
		if strings.TrimSpace(s) == "" {
			return ""
		}
		return s
	}
	return CloudInitForm{
		Hostname: get("hostname"), User: get("user"), Keys: raw("ssh_keys"), Password: v.Get(fieldPassword), PasswordSSH: get("password_ssh"),
		Packages: get("packages"), Upgrade: get("package_upgrade"), Timezone: get("timezone"), RunCmd: raw("runcmd"),
		Net: get("net"), Card: get("network.0.name"), Addresses: get("network.0.addresses"), Gateways: get("network.0.gateway"), DNS: get("network.0.nameservers"), Search: get("network.0.search"),
		NetworkConfig: raw("network_config"), UserData: raw("user_data"), VendorData: raw("vendor_data"),
		KeepPassword: v.Get("keep_password") == "1", NewInstance: v.Get("new_instance") == "1",
	}
}

// FormOfCloudInit shows what a VM has. What the form has no fields for, such as several cards, is shown as the text that it makes.
func FormOfCloudInit(c domain.CloudInit, hasPassword bool, version int64) CloudInitForm {
	f := CloudInitForm{
		Hostname: c.Hostname, User: c.User, Keys: strings.Join(c.SSHKeys, "\n"), PasswordSSH: tick(c.PasswordSSH), Packages: strings.Join(c.Packages, " "), Upgrade: tick(c.PackageUpgrade), Timezone: c.Timezone,
		RunCmd: strings.Join(c.RunCmd, "\n"), Net: netDHCP, NetworkConfig: c.NetworkConfig, UserData: c.UserData, VendorData: c.VendorData,
		HasPassword: hasPassword, KeepPassword: hasPassword, Version: version,
	}
	if slices.ContainsFunc(c.RunCmd, func(r string) bool { return strings.ContainsAny(r, "\r\n") }) { // a line is a command here
		f.RunCmd = ""
		for _, r := range c.RunCmd {
			f.RunCmd += strings.ReplaceAll(strings.ReplaceAll(r, "\r\n", "\n"), "\n", "; ") + "\n"
		}
	}
	one := len(c.Network) == 1 && c.Network[0].MAC == "" && !c.Network[0].DHCP4 && !c.Network[0].DHCP6
	switch {
	case c.NetworkConfig != "":
		f.Net = netRaw
	case one:
		n := c.Network[0]
		f.Net, f.Card, f.Addresses, f.DNS, f.Search = netStatic, n.Name, strings.Join(n.Addresses, " "), strings.Join(n.Nameservers, " "), strings.Join(n.Search, " ")
		f.Gateways = strings.TrimSpace(n.Gateway4 + " " + n.Gateway6)
	case len(c.Network) > 0:
		f.Net, f.NetworkConfig = netRaw, cloudinit.Render(c, "", "").NetworkConfig
	}
	return f
}

// CloudInit gives what was asked for.
func (f CloudInitForm) CloudInit() domain.CloudInit {
	c := domain.CloudInit{
		Hostname: f.Hostname, User: f.User, SSHKeys: lines(f.Keys), Password: f.Password, PasswordSSH: f.PasswordSSH == "1", Packages: listed(f.Packages), PackageUpgrade: f.Upgrade == "1",
		Timezone: f.Timezone, RunCmd: lines(f.RunCmd), UserData: f.UserData, VendorData: f.VendorData,
	}
	switch f.Net {
	case netStatic:
		card := domain.CloudInitCard{Name: f.Card, Addresses: listed(f.Addresses), Nameservers: listed(f.DNS), Search: listed(f.Search)}
		if card.Name == "" {
			card.Name = "e*"
		}
		for _, g := range listed(f.Gateways) {
			if ip, err := netip.ParseAddr(g); err == nil && ip.Is6() {
				card.Gateway6 = g
			} else {
				card.Gateway4 = g
			}
		}
		c.Network = []domain.CloudInitCard{card}
	case netRaw:
		c.NetworkConfig = f.NetworkConfig
	}
	return c
}

// Request gives what the first boot is to read: one of the two, or neither.
func (f FirstBootForm) Request() (*domain.CloudInit, *domain.Unattend) {
	switch f.Kind {
	case FirstBootCloud:
		c := f.Cloud.CloudInit()
		return &c, nil
	case FirstBootWindows:
		w := f.Win
		return nil, &domain.Unattend{ComputerName: w.Computer, AdminPassword: w.Password, Locale: w.Locale, Timezone: w.Timezone, ProductKey: w.ProductKey, ImageName: w.Image, Organization: w.Organization,
			DriverISO: w.DriverISO, DriverPath: w.DriverPath}
	}
	return nil, nil
}

// Unnumbered names the form's field for a wrong entry of a list, which is one text here, and says which entry it is.
func Unnumbered(e domain.FieldError) domain.FieldError {
	i := strings.LastIndexByte(e.Field, '.')
	if i < 0 || !isNumber(e.Field[i+1:]) {
		switch {
		case strings.HasPrefix(e.Field, "cloud_init.network.0.gateway"):
			e.Field = "cloud_init.network.0.gateway"
		}
		return e
	}
	var n int
	if _, err := fmt.Sscanf(e.Field[i+1:], "%d", &n); err == nil {
		e.Field = e.Field[:i]
		if n > 0 {
			e.Msg = fmt.Sprintf("No. %d: %s", n+1, e.Msg)
		}
	}
	return e
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// lines are the lines of a text that say something.
func lines(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// listed splits what people separate by blanks, commas or line breaks.
func listed(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' || r == '\r' })
}

// Preview is what a first boot would read, and what is wrong with it.
type Preview struct {
	Files    []PreviewFile
	Problems []PreviewProblem
	None     bool // nothing is asked for
}

// PreviewFile is one document.
type PreviewFile struct{ Name, Text string }

// PreviewProblem is one wrong field; Label is the field's.
type PreviewProblem struct{ Field, Label, Msg, Want string }

// PreviewOf renders what a form makes for the VM called name.
func PreviewOf(f FirstBootForm, name, instance string, uefi bool) Preview {
	c, w := f.Request()
	var p domain.Problems
	var out Preview
	switch {
	case c != nil:
		cloudinit.Judge(*c, &p, "cloud_init.")
		files := cloudinit.Render(*c, name, instance)
		if c.Password == "" && f.Cloud.KeepPassword && f.Cloud.HasPassword {
			keeps := *c
			keeps.PasswordHash = cloudinit.Hidden
			files = cloudinit.Render(keeps, name, instance)
		}
		for _, x := range []PreviewFile{{"user-data", files.UserData}, {"meta-data", files.MetaData}, {"network-config", files.NetworkConfig}, {"vendor-data", files.VendorData}} {
			if x.Text != "" {
				out.Files = append(out.Files, x)
			}
		}
	case w != nil:
		w.Validate(&p, "windows.")
		hidden := *w
		hidden.AdminPassword = ""
		out.Files = []PreviewFile{{"autounattend.xml", unattend.Render(hidden, name, uefi)}}
	default:
		return Preview{None: true}
	}
	for _, e := range p {
		e = Unnumbered(e)
		out.Problems = append(out.Problems, PreviewProblem{Field: e.Field, Label: firstBootLabels[e.Field], Msg: e.Msg, Want: e.Want})
	}
	return out
}

// firstBootLabels are the labels of the form's fields.
var firstBootLabels = map[string]string{
	"cloud_init.hostname": "Host name", "cloud_init.user": "User", "cloud_init.ssh_keys": "SSH keys", fieldPassword: "Password", "cloud_init.packages": "Packages", "cloud_init.timezone": "Time zone",
	"cloud_init.runcmd": "Commands", "cloud_init.network.0.name": "Card", "cloud_init.network.0.addresses": "Addresses", "cloud_init.network.0.gateway": "Gateways", "cloud_init.network.0.nameservers": "Name servers",
	"cloud_init.network.0.search": "Search domains", "cloud_init.network_config": "Network configuration", "cloud_init.user_data": "User-data", "cloud_init.vendor_data": "Vendor-data",
	"windows.computer_name": "Computer name", fieldAdminPassword: "Administrator's password", "windows.locale": "Language", "windows.timezone": "Time zone", "windows.product_key": "Product key",
	"windows.image_name": "Edition", "windows.organization": "Organization", "windows.driver_iso": "Driver ISO", "windows.driver_path": "Folder on it",
}

// DecodePreview reads the preview's form: that of a new VM, or with cloud of one that exists.
func DecodePreview(v url.Values, cloud bool) FirstBootForm {
	f := DecodeFirstBoot(v)
	if cloud {
		f.Kind = FirstBootCloud
	}
	return f
}

// driverImage is the first ISO image that looks like the virtio drivers'; "" when there is none.
func driverImage(c Choices) string {
	for _, v := range isoImages(c.Images) {
		if strings.Contains(strings.ToLower(v.Name), "virtio") {
			return v.Path
		}
	}
	return ""
}

// EditCloudInit is the page that changes what a VM's first boot reads, or adds it.
type EditCloudInit struct {
	VM      domain.VM
	New     bool // it has none yet
	Form    CloudInitForm
	Preview Preview
	Key     string
	Err     *domain.Error
}
