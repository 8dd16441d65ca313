package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// DemoDir is where every lab host finds the guest that Guest built, if it was built before the host started.
const DemoDir = "/var/lib/libvirt/images/novacron-demo"

func (h *Host) environment() []string {
	set := func(name string, on bool, value string) string {
		if !on {
			value = ""
		}
		return name + "=" + value
	}
	return []string{
		"LAB_NAME=" + h.Name, "LAB_DIR=" + h.Dir, "LAB_ADDR=" + h.Addr, "LAB_GATEWAY=" + h.lab.Gateway,
		set("LAB_KVM", h.lab.opts.KVM, "1"),
		set("LAB_SHARED", h.lab.opts.Shared, filepath.Join(h.lab.Dir, "shared")),
		set("LAB_SSH", h.lab.opts.SSH, filepath.Join(h.Dir, "sshd_config")),
	}
}

// capabilitiesDir holds what libvirt found out about this machine's QEMU, for every lab: asking QEMU takes seconds, and
// libvirt itself sees when the answer is out of date.
func capabilitiesDir(kvm bool) (string, error) {
	dir := "/var/cache/novacron/qemu-capabilities"
	if kvm {
		dir += "-kvm"
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// configure writes what a freshly installed host has: settings, a pool and a network that start by themselves. It runs
// before every boot and leaves alone what is there, so that a host keeps its guests, pools and networks over a reboot.
func (h *Host) configure() error {
	for _, d := range []string{
		"etc/storage/autostart", "etc/qemu/networks/autostart", "etc/nwfilter", "etc/pki",
		"lib/images", "lib/shared", "lib/dnsmasq", "log/qemu", "cache", "swtpm-localca",
	} {
		if err := os.MkdirAll(filepath.Join(h.Dir, d), 0o755); err != nil {
			return err
		}
	}
	files := map[string]string{
		"etc/libvirtd.conf":             h.libvirtdConf(),
		"etc/qemu.conf":                 h.qemuConf(),
		"etc/virtlogd.conf":             fmt.Sprintf("log_outputs = \"3:file:%s\"\n", "/var/log/libvirt/virtlogd.log"),
		"etc/storage/default.xml":       poolXML("default", h.lab.claim.uuid(1000+h.index), "/var/lib/libvirt/images"),
		"etc/qemu/networks/default.xml": networkXML(h.lab.claim.uuid(2000 + h.index)),
		"hosts":                         h.etcHosts(),
	}
	links := map[string]string{
		"etc/storage/autostart/default.xml":       "/etc/libvirt/storage/default.xml",
		"etc/qemu/networks/autostart/default.xml": "/etc/libvirt/qemu/networks/default.xml",
	}
	if h.lab.opts.Shared {
		files["etc/storage/shared.xml"] = poolXML("shared", h.lab.claim.uuid(3000+h.index), "/var/lib/libvirt/shared")
		links["etc/storage/autostart/shared.xml"] = "/etc/libvirt/storage/shared.xml"
	}
	if h.lab.opts.SSH {
		files["sshd_config"] = h.lab.SSH.config(h)
	}
	for name, text := range files {
		if err := writeNew(filepath.Join(h.Dir, name), text); err != nil {
			return err
		}
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(h.Dir, name)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return placeGuest(filepath.Join(h.Dir, "lib/images/novacron-demo"))
}

func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (h *Host) libvirtdConf() string {
	conf := fmt.Sprintf(`listen_tcp = 1
listen_tls = 0
listen_addr = "%s"
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "%s"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
`, h.Addr, h.UUID)
	if h.lab.opts.TLS {
		conf = strings.Replace(conf, "listen_tls = 0", "listen_tls = 1", 1)
		conf += fmt.Sprintf("auth_tls = \"none\"\nca_file = %q\ncert_file = %q\nkey_file = %q\n", h.lab.PKI.CA, h.lab.PKI.serverCert, h.lab.PKI.serverKey)
	}
	return conf
}

// qemuConf: root without confinement, because the machine's own security drivers and control groups are outside the
// host's namespaces; everything else is as a distribution ships it.
func (h *Host) qemuConf() string {
	conf := fmt.Sprintf(`user = "root"
group = "root"
swtpm_user = "root"
swtpm_group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
migration_host = "%s"
`, h.Addr)
	if h.lab.opts.TLS {
		conf += fmt.Sprintf("migrate_tls_x509_cert_dir = %q\nmigrate_tls_x509_verify = 1\n", h.lab.PKI.qemuDir)
	}
	return conf
}

func (h *Host) etcHosts() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for _, o := range h.lab.Hosts {
		fmt.Fprintf(&b, "%s %s\n", o.Addr, o.Name)
	}
	return b.String()
}

func poolXML(name, uuid, path string) string {
	return fmt.Sprintf("<pool type='dir'><name>%s</name><uuid>%s</uuid><target><path>%s</path></target></pool>\n", name, uuid, path)
}

// networkXML is libvirt's own default network. The subnet may be the same on every host: each has its own namespace.
func networkXML(uuid string) string {
	return fmt.Sprintf(`<network>
  <name>default</name>
  <uuid>%s</uuid>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='on' delay='0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>
</network>
`, uuid)
}
