package domain

import (
	"net/url"
	"strings"
	"time"
)

// HostState is what the supervised connection knows now.
type HostState string

const (
	HostConnecting HostState = "connecting" // first attempt under way, never seen yet
	HostConnected  HostState = "connected"
	HostAway       HostState = "away" // was seen or tried, does not answer; retried with backoff
)

// Host is one libvirt daemon that NovaCron drives.
type Host struct {
	ID          string
	Name        string
	URI         string
	State       HostState
	StateSince  time.Time
	StateReason string        // why it is away: which step failed, in words
	StateFix    string        // what to do about it
	Maintenance bool          // no new VM is placed here
	Accel       Accel         // what auto means here: auto (by what the CPU shows), kvm or tcg, set by hand
	Scrape      time.Duration // between two measurements; 0: as all hosts are
	Labels      map[string]string
	Notes       string
	Facts       HostFacts
	LastSeen    time.Time // zero: never
	CreatedAt   time.Time
	Version     int64 // grows with every edit by a person; guards two tabs editing one host
}

// HostFacts is what a host says of itself.
type HostFacts struct {
	Hostname          string           `json:"hostname"`
	UUID              string           `json:"uuid"`
	Driver            string           `json:"driver"` // "QEMU" or "TEST"
	LibvirtVersion    string           `json:"libvirt_version"`
	HypervisorVersion string           `json:"hypervisor_version"`
	Arch              string           `json:"arch"`
	CPUModel          string           `json:"cpu_model"`
	CPUVendor         string           `json:"cpu_vendor"`
	CPUMHz            int              `json:"cpu_mhz"`
	CPUs              int              `json:"cpus"` // logical processors online
	Sockets           int              `json:"sockets"`
	CoresPerSocket    int              `json:"cores_per_socket"`
	ThreadsPerCore    int              `json:"threads_per_core"`
	NUMANodes         int              `json:"numa_nodes"`
	MemoryBytes       int64            `json:"memory_bytes"`
	KVM               Capability       `json:"kvm"`
	KVMOffered        bool             `json:"kvm_offered"` // libvirt offers it, whether it can be trusted or not
	UEFI              Capability       `json:"uefi"`
	SecureBoot        Capability       `json:"secure_boot"`
	TPM               Capability       `json:"tpm"`
	Machines          []string         `json:"machines"` // canonical and alias names for Arch, newest first
	DefaultMachine    string           `json:"default_machine"`
	CPUModels         []string         `json:"cpu_models"` // by name, those that guests can have
	Emulator          string           `json:"emulator"`
	MaxVCPUs          int              `json:"max_vcpus"`
	Console           string           `json:"console"`              // how a guest's screen is reached from here, in words
	PoolTypes         []string         `json:"pool_types,omitempty"` // kinds of storage pool that it can have; empty: it does not say
	StorageFreeBytes  int64            `json:"storage_free_bytes"`
	StorageTotalBytes int64            `json:"storage_total_bytes"`
	Step              []ConnectionStep `json:"steps,omitempty"` // how the connection was made, for a trial
}

// Under gives the facts as a person's choice of accelerator makes them: a host can be trusted with KVM by hand, or kept from it.
func (f HostFacts) Under(a Accel) HostFacts {
	switch {
	case a == AccelKVM && f.KVMOffered && !f.KVM.OK:
		f.KVM = Capability{OK: true, Why: "KVM was set by hand for this host. By itself: " + f.KVM.Why}
	case a == AccelTCG && f.KVM.OK:
		f.KVM = Capability{Why: "KVM was switched off by hand for this host."}
	}
	return f
}

// CheckHostAccel validates a host's choice of accelerator.
func CheckHostAccel(p *Problems, field string, a Accel) {
	oneOf(p, field, string(a), "auto", "kvm", "tcg")
}

// CheckScrape checks how often a host is measured. Longer than two minutes, one late sample would end its series.
func CheckScrape(p *Problems, field string, d time.Duration) {
	if d != 0 && (d < time.Second || d > 2*time.Minute || d%time.Second != 0) {
		p.Add(field, "A host cannot be measured every "+d.String()+".", "whole seconds from 1 to 120, or 0 for what all hosts have")
	}
}

// Capability is a yes or no with the reason, because "no" without a reason sends people to forums.
type Capability struct {
	OK  bool   `json:"ok"`
	Why string `json:"why"`
}

// ConnectionStep is one stage of making a connection: name, route, tls, ssh key, permission, daemon, facts.
type ConnectionStep struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Msg  string `json:"message"`
	Fix  string `json:"fix,omitempty"`
}

// HostCredentials are what the server needs beside the URI. Empty fields fall back to libvirt's own default files on the server.
type HostCredentials struct {
	CACert     string `json:"ca_cert,omitempty"`     // PEM, qemu+tls
	ClientCert string `json:"client_cert,omitempty"` // PEM, qemu+tls
	ClientKey  string `json:"client_key,omitempty"`  // PEM, qemu+tls
	SSHKey     string `json:"ssh_key,omitempty"`     // PEM or OpenSSH, unencrypted, qemu+ssh
	KnownHosts string `json:"known_hosts,omitempty"` // known_hosts lines, qemu+ssh
}

var (
	hostNameRE = lazily(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	labelKeyRE = lazily(`^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$`)
)

// Transports that a host URI may name; "" is the local unix socket.
var hostTransports = map[string]string{"": "unix", "unix": "unix", "tcp": "tcp", "tls": "tls", "ssh": "ssh"}

// HostURI is a parsed libvirt connection URI (https://libvirt.org/uri.html).
type HostURI struct {
	Driver    string // qemu or test
	Transport string // unix, tcp, tls or ssh
	User      string
	Host      string // empty: this machine
	Port      string
	Path      string // /system, /session, /default or a file on the daemon's machine
	Query     url.Values
}

// ParseHostURI reads a connection URI. A bad one is Invalid on field "uri" and says what would be right.
func ParseHostURI(s string) (HostURI, error) {
	const want = "for example qemu:///system, qemu+ssh://root@host/system, qemu+tls://host/system or qemu+tcp://host/system"
	bad := func(msg string) (HostURI, error) { return HostURI{}, InvalidField("uri", msg, want) }
	s = strings.TrimSpace(s)
	if s == "" {
		return bad("A connection URI is needed.")
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" {
		return bad("That is not a connection URI.")
	}
	driver, transport, _ := strings.Cut(u.Scheme, "+")
	if driver != "qemu" && driver != "test" {
		return bad("The driver “" + driver + "” is not supported; qemu is (and test, for trials).")
	}
	t, ok := hostTransports[transport]
	if !ok {
		return bad("The transport “" + transport + "” is not supported; unix, tcp, tls and ssh are.")
	}
	if transport == "" && u.Hostname() != "" {
		t = "tls" // libvirt's own rule: a host without a transport means TLS
	}
	h := HostURI{Driver: driver, Transport: t, Host: u.Hostname(), Port: u.Port(), Path: u.Path, Query: u.Query()}
	if u.User != nil {
		if _, has := u.User.Password(); has {
			return bad("The URI has a password in it, which would be shown to everybody who sees the host; sign in with a key instead.")
		}
		h.User = u.User.Username()
	}
	if t != "unix" && h.Host == "" {
		return bad("The transport " + t + " needs a host name or address.")
	}
	if t == "unix" && h.Host != "" {
		return bad("A unix socket is on this machine; leave the host out (three slashes).")
	}
	if h.Path == "" || h.Path == "/" {
		return bad("The path is missing: /system for the system daemon.")
	}
	if driver == "qemu" && h.Path != "/system" && h.Path != "/session" {
		return bad("The path for qemu is /system or /session, not " + h.Path + ".")
	}
	return h, nil
}

// CheckHostName validates a host's display name.
func CheckHostName(p *Problems, field, name string) {
	if !hostNameRE.MatchString(name) {
		p.Add(field, "“"+name+"” cannot be a host's name.", "1 to 63 letters, digits, dots, hyphens or underscores, starting and ending with a letter or digit")
	}
}

// CheckLabels validates labels such as site=ams, rack=b2.
func CheckLabels(p *Problems, field string, labels map[string]string) {
	for k, v := range labels {
		if !labelKeyRE.MatchString(k) {
			p.Add(field, "“"+k+"” cannot be a label's key.", "lower-case letters, digits, dots, slashes or hyphens, at most 63")
		}
		if len(v) > 255 || strings.ContainsAny(v, "\n\r\t\x00") {
			p.Add(field, "The value of “"+k+"” is too long or has control characters.", "one line of at most 255 characters")
		}
	}
}
