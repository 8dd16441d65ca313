// Package preflight looks at everything that a VM needs before it is moved to another host, and says of each thing whether it is there, what it will
// cost, or what to do about it. It also settles what happens to each disk: it stays on storage that both hosts see, or it is copied into a pool.
//
// It is pure: what it knows of the hosts is handed to it, so a page, the API and the job that moves get the same answer. It does not say how long a move
// takes (package forecast) nor choose among hosts.
package preflight

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"novacron/domain"
	"novacron/domain/placement"
)

// Shared, as the wish for a disk, says that a person knows the target to see the same file: libvirt cannot tell with plain directories.
const Shared = "shared"

// Input is a question: may this VM move there?
type Input struct {
	VM        domain.VM
	From, To  placement.Candidate
	Volumes   []domain.Volume    // of both hosts
	Images    []domain.ImageCopy // of the library, on any host
	There     []domain.VM        // VMs of the target
	Estate    []domain.VM        // that may have the same UUID elsewhere; may be empty
	Mode      domain.MigrationMode
	Disks     map[string]string // by target (vda): a pool of the target host, or Shared
	Networks  map[string]string // by name: network or bridge on the target
	Policy    domain.MigrationPolicy
	Snapshots int
	Arrived   bool            // it was moved to where it is while paused, has not run there, and has a QEMU that dies of being moved on
	Skew      time.Duration   // by how much the two hosts' clocks differed when a VM last moved between them; 0: not known, or not at all
	CPU       domain.CPUMatch // what the target says to the processor that the VM runs with; empty: it was not asked, or cannot tell
}

// Disk is what happens to one disk.
type Disk struct {
	Target   string `json:"target"`
	Source   string `json:"source"`
	Pool     string `json:"pool,omitempty"` // where it is now
	Volume   string `json:"volume,omitempty"`
	Format   string `json:"format"`
	Bytes    int64  `json:"bytes"`    // what it occupies
	Capacity int64  `json:"capacity"` // what the guest sees
	Stays    bool   `json:"stays"`    // on storage that both hosts see
	Asserted bool   `json:"asserted"` // because a person said so
	ToPool   string `json:"to_pool,omitempty"`
	ToVolume string `json:"to_volume,omitempty"`
	// Base is where the target has the same image that the disk is built on; only what differs from it is copied. Empty: the whole disk is.
	Base        string `json:"base,omitempty"`
	BaseFormat  string `json:"base_format,omitempty"`
	BaseVersion string `json:"base_version,omitempty"` // of the image, where both are copies of one
}

// Plan is the answer.
type Plan struct {
	Mode     domain.MigrationMode `json:"mode"` // live or cold, settled
	Checks   []domain.Check       `json:"checks"`
	Disks    []Disk               `json:"disks"`
	Networks map[string]string    `json:"networks,omitempty"`
	Bridges  map[string]string    `json:"bridges,omitempty"`
	URI      string               `json:"uri"` // of the target's daemon as the source reaches it; live only
	TLS      bool                 `json:"tls"`
	Unsafe   bool                 `json:"unsafe"` // libvirt will not believe that storage is shared
	Tunnel   bool                 `json:"tunnel,omitempty"`
	// Policy is what holds for this move, of everything that is written for it.
	Policy domain.MigrationPolicy `json:"policy"`
}

// Allowed reports whether no check failed.
func (p Plan) Allowed() bool {
	return !slices.ContainsFunc(p.Checks, func(c domain.Check) bool { return c.Level == domain.CheckFail })
}

// CopyBytes is what the disks that are copied occupy.
func (p Plan) CopyBytes() (n int64) {
	for _, d := range p.Disks {
		if !d.Stays {
			n += d.Bytes
		}
	}
	return n
}

// Incremental reports whether only what differs from the images below goes along. It is so for all disks that are copied, or for none.
func (p Plan) Incremental() bool {
	return slices.ContainsFunc(p.Disks, func(d Disk) bool { return d.Base != "" })
}

// copies reports whether the content of any disk goes along.
func (p Plan) copies() bool {
	return slices.ContainsFunc(p.Disks, func(d Disk) bool { return !d.Stays })
}

type look struct {
	Input
	plan Plan
	spec domain.VMSpec // what must fit: what runs, else what starts
}

func (l *look) say(name string, level domain.CheckLevel, fix, format string, args ...any) {
	l.plan.Checks = append(l.plan.Checks, domain.Check{Name: name, Level: level, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (l *look) pass(name, format string, args ...any) {
	l.say(name, domain.CheckPass, "", format, args...)
}
func (l *look) warn(name, fix, format string, args ...any) {
	l.say(name, domain.CheckWarn, fix, format, args...)
}
func (l *look) fail(name, fix, format string, args ...any) {
	l.say(name, domain.CheckFail, fix, format, args...)
}

// Look answers. Once the target itself cannot take any VM, nothing else is said of it.
func Look(in Input) Plan {
	l := &look{Input: in, spec: in.VM.Config}
	l.plan.Policy = in.Policy
	if in.VM.Live != nil {
		l.spec = *in.VM.Live
	}
	if !l.hosts() {
		return l.plan
	}
	l.policy()
	l.mode()
	l.taken()
	l.cpu()
	l.capacity()
	l.firmware()
	l.stands()
	l.disks()
	l.networks()
	l.devices()
	l.clocks()
	if l.plan.Mode == domain.MigrateLive {
		l.route()
		l.versions()
	}
	return l.plan
}

func (l *look) hosts() bool {
	h := l.To.Host
	switch {
	case h.ID == l.From.Host.ID:
		l.fail("host", "Choose another host.", "%s is on %s already.", l.VM.Name, h.Name)
	case l.From.Host.State != domain.HostConnected:
		l.fail("source", "Wait for it to come back.", "%s, where the VM is, is away.", l.From.Host.Name)
	case h.State != domain.HostConnected:
		l.fail("host", "Wait for it to come back, or choose another host.", "%s is away.", h.Name)
	case h.Maintenance:
		l.fail("host", "End maintenance there, or choose another host.", "%s is in maintenance.", h.Name)
	case h.Facts.Driver != l.From.Host.Facts.Driver:
		l.fail("host", "Choose a host with the same hypervisor.", "%s runs another hypervisor (%s).", h.Name, h.Facts.Driver)
	case h.Facts.UUID != "" && h.Facts.UUID == l.From.Host.Facts.UUID:
		l.fail("host", "Give each host a UUID of its own (host_uuid in libvirtd.conf).", "%s says that it is the same machine as %s.", h.Name, l.From.Host.Name)
	default:
		l.pass("host", "%s is connected and takes VMs.", h.Name)
		return true
	}
	return false
}

// policy looks whether the VM may move at all, and whether the rules of several policies go together.
func (l *look) policy() {
	if l.Policy.NeverMigrate {
		l.fail("policy", "Take never-migrate out of its policy, its tenant's or its host's.", "The policy that holds for %s says that it never moves.", l.VM.Name)
		return
	}
	if e, ok := l.Policy.Validate().(*domain.Error); ok && e != nil {
		for _, f := range e.Fields {
			l.fail("policy", f.Want, "What is asked for and the policies that hold contradict each other (%s): %s", strings.TrimPrefix(f.Field, "policy."), f.Msg)
		}
	}
}

func (l *look) mode() {
	up := l.VM.State == domain.VMRunning || l.VM.State == domain.VMPaused
	l.plan.Mode = l.Mode
	if l.Mode == domain.MigrateAuto || l.Mode == "" {
		l.plan.Mode = domain.MigrateCold
		if up {
			l.plan.Mode = domain.MigrateLive
		}
	}
	switch {
	case l.plan.Mode == domain.MigrateLive && !up:
		l.fail("state", "Start it, or move it cold.", "A %s VM cannot be moved live.", l.VM.State)
	case l.plan.Mode == domain.MigrateCold && up:
		l.fail("state", "Shut it down, or move it live.", "A %s VM cannot be moved cold.", l.VM.State)
	case l.VM.State == domain.VMSaved:
		l.fail("state", "Restore it, or discard its saved memory.", "Its saved memory would stay behind.")
	case l.plan.Mode == domain.MigrateLive && l.From.Host.Facts.Driver != "QEMU":
		l.fail("state", "Shut it down and move it cold.", "libvirt's test driver cannot move a VM with its memory.")
	case l.VM.State == domain.VMPaused && l.Arrived:
		l.fail("state", "Resume it for a moment first.", "It came to %s paused and has not run since: this QEMU (%s) would die if it were moved again before it runs.", l.From.Host.Name, l.From.Host.Facts.HypervisorVersion)
	case l.VM.State == domain.VMPaused:
		l.pass("state", "It is paused, moves with its memory and stays paused.")
	default:
		l.pass("state", "It is %s and moves %s.", l.VM.State, l.plan.Mode)
	}
	if l.Snapshots > 0 {
		l.fail("snapshots", "Delete its snapshots first.", "It has %s, and libvirt does not move snapshots along.", count(l.Snapshots, "snapshot"))
	}
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (l *look) taken() {
	for _, vm := range l.There {
		if vm.UUID == l.VM.UUID {
			l.fail("name", "Remove the other one from the target first.", "%s has a VM with the same UUID: %s.", l.To.Host.Name, vm.Name)
			return
		}
		if vm.Name == l.VM.Name {
			l.fail("name", "Rename one of the two.", "%s has another VM called %s.", l.To.Host.Name, vm.Name)
			return
		}
	}
	l.pass("name", "Its name and UUID are free there.")
}

func (l *look) cpu() {
	from, to := l.From.Host.Facts, l.To.Host.Facts
	same := from.CPUModel == to.CPUModel && from.CPUVendor == to.CPUVendor
	live := l.plan.Mode == domain.MigrateLive
	switch {
	case from.Arch != to.Arch:
		l.fail("cpu", "Choose a host of the same architecture.", "%s is %s, %s is %s.", l.From.Host.Name, from.Arch, l.To.Host.Name, to.Arch)
	case l.spec.Accel == domain.AccelTCG || l.spec.Accel == "":
		l.pass("cpu", "Its processor is emulated, so it is the same everywhere.")
	case l.spec.Accel == domain.AccelKVM && !to.KVM.OK && from.KVM.OK:
		l.fail("cpu", "Choose a host with KVM.", "%s has no KVM: %s", l.To.Host.Name, to.KVM.Why)
	case live && l.spec.CPU != "host-passthrough" && l.CPU == domain.CPUIncompatible:
		l.fail("cpu", "Give it a processor that both hosts have in common (a CPU baseline) and restart it, or move it cold.", "%s cannot give the processor that it runs with (%s).", l.To.Host.Name, cpuWords(l.spec.CPU, from.CPUModel))
	case live && l.spec.CPU != "host-passthrough" && l.CPU.Fits():
		l.pass("cpu", "%s can give the processor that it runs with.", l.To.Host.Name)
	case same:
		l.pass("cpu", "Both hosts have the same processor, %s.", to.CPUModel)
	case l.spec.CPU == "host-passthrough" && live:
		l.fail("cpu", "Choose a named CPU model and restart the VM, or move it cold.", "It uses its host's processor as it is (%s), and %s has another one (%s).", from.CPUModel, l.To.Host.Name, to.CPUModel)
	case live:
		l.warn("cpu", "libvirt compares them before anything moves.", "The processors differ: %s and %s.", from.CPUModel, to.CPUModel)
	default:
		l.pass("cpu", "It starts anew on %s.", to.CPUModel)
	}
	if m := l.spec.Machine; m != "" && len(to.Machines) > 0 && !slices.Contains(to.Machines, m) {
		l.fail("machine", "Update QEMU there, or choose another machine type and restart.", "%s does not have the machine type %s.", l.To.Host.Name, m)
	} else {
		l.pass("machine", "It has the machine type %s.", l.spec.Machine)
	}
}

func cpuWords(model, host string) string {
	if model == "" || model == "host-model" || model == "maximum" {
		return host
	}
	return model
}

func (l *look) capacity() {
	f := l.To.Host.Facts
	need, free := l.spec.MemoryBytes, f.MemoryBytes-l.To.UsedMemory
	switch {
	case need > f.MemoryBytes:
		l.fail("memory", "Choose a larger host.", "%s has %s of memory; the VM has %s.", l.To.Host.Name, domain.FormatBytes(f.MemoryBytes), domain.FormatBytes(need))
	case need > free && l.plan.Mode == domain.MigrateLive:
		l.fail("memory", "Move another VM away first, or choose another host.", "%s has %s of memory free; the VM needs %s.", l.To.Host.Name, domain.FormatBytes(max(free, 0)), domain.FormatBytes(need))
	case need > free:
		l.warn("memory", "It may not start until another VM is stopped.", "%s has %s of memory free; the VM wants %s when it starts.", l.To.Host.Name, domain.FormatBytes(max(free, 0)), domain.FormatBytes(need))
	default:
		l.pass("memory", "%s is free; the VM has %s.", domain.FormatBytes(free), domain.FormatBytes(need))
	}
	if most := max(l.spec.VCPUs, l.spec.MaxVCPUs); f.MaxVCPUs > 0 && most > f.MaxVCPUs {
		l.fail("vcpus", "Give it fewer vCPUs.", "One VM there can have at most %d vCPUs; it has %d.", f.MaxVCPUs, most)
	}
}

func (l *look) firmware() {
	f := l.To.Host.Facts
	if f.Driver != "QEMU" {
		return
	}
	switch l.spec.Firmware {
	case domain.FirmwareUEFI:
		l.have("firmware", f.UEFI, "UEFI firmware")
	case domain.FirmwareUEFISecure:
		l.have("firmware", f.SecureBoot, "secure boot")
	}
	if l.spec.TPM {
		l.have("tpm", f.TPM, "a TPM")
		if l.plan.Mode == domain.MigrateCold {
			l.fail("tpm", "Move it live: its state goes along then.", "What its TPM keeps lies on %s and would stay behind.", l.From.Host.Name)
		}
	}
	if l.plan.Mode == domain.MigrateCold && l.spec.Firmware != "" && l.spec.Firmware != domain.FirmwareBIOS {
		l.fail("nvram", "Move it live: they go along then.", "The firmware's variables lie on %s and would stay behind.", l.From.Host.Name)
	}
}

// stands warns of what a guest that does not run leaves open: QEMU writes the variables that it took over into their file only when the guest runs.
func (l *look) stands() {
	if l.plan.Mode == domain.MigrateLive && l.VM.State != domain.VMRunning && l.spec.Firmware != "" && l.spec.Firmware != domain.FirmwareBIOS {
		l.warn("nvram", "Let it run there once before it is powered off.", "Its firmware's variables go along in its memory; they are written to %s when it runs there.", l.To.Host.Name)
	}
}

func (l *look) have(name string, c domain.Capability, what string) {
	if c.OK {
		l.pass(name, "%s can give %s.", l.To.Host.Name, what)
	} else {
		l.fail(name, "Install it there, or choose another host.", "%s cannot give %s: %s", l.To.Host.Name, what, c.Why)
	}
}

func (l *look) networks() {
	for _, nic := range l.spec.NICs {
		name, kind := nic.Network, "network"
		if name == "" {
			name, kind = nic.Bridge, "bridge"
		}
		if name == "" {
			continue
		}
		to := name
		if mapped := l.Networks[name]; mapped != "" {
			to = mapped
		}
		if kind == "bridge" {
			if !l.hasBridge(to) {
				l.fail("networks", fmt.Sprintf("Map it to a bridge that is there, or create %s there.", to), "%s lacks the bridge %s.", l.To.Host.Name, to)
				continue
			}
			if to != name {
				l.plan.Bridges = put(l.plan.Bridges, name, to)
			}
			l.pass("networks", "The bridge %s is there.", to)
			continue
		}
		i := slices.IndexFunc(l.To.Networks, func(n domain.Network) bool { return n.Name == to })
		switch {
		case i < 0:
			l.fail("networks", fmt.Sprintf("Map it to a network that is there, or create %s there.", to), "%s lacks the network %s.", l.To.Host.Name, to)
		case !l.To.Networks[i].Active:
			l.fail("networks", "Start it there.", "The network %s of %s is stopped.", to, l.To.Host.Name)
		default:
			l.pass("networks", "The network %s is there and active.", to)
			if m := l.To.Networks[i].Mode; m == "nat" || m == "isolated" {
				l.warn("networks", "Use a bridge that joins both hosts where the address must stay.", "The network %s (%s) is each host's own: the guest's address and open connections may not outlive the move.", to, m)
			}
		}
		if to != name {
			l.plan.Networks = put(l.plan.Networks, name, to)
		}
	}
}

func put(m map[string]string, k, v string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[k] = v
	return m
}

func (l *look) hasBridge(name string) bool {
	return slices.ContainsFunc(l.To.Networks, func(n domain.Network) bool { return n.Bridge == name }) ||
		slices.ContainsFunc(l.To.Devices, func(d domain.Device) bool {
			return d.Kind == "net" && (strings.HasPrefix(d.Label, name+" ") || d.Label == name || strings.HasPrefix(d.Name, "net_"+name+"_"))
		})
}

// devices looks for what is tied to the machine; the document is read as text, since nothing in it is changed.
func (l *look) devices() {
	doc := l.VM.XML
	live := l.plan.Mode == domain.MigrateLive
	if strings.Contains(doc, "<hostdev") {
		if live {
			l.fail("devices", "Detach it, or move the VM cold and attach one there.", "A device of %s is passed through to it.", l.From.Host.Name)
		} else {
			l.warn("devices", "Check its devices before it starts there.", "A device of %s is passed through to it; %s must have one at the same address.", l.From.Host.Name, l.To.Host.Name)
		}
	}
	if strings.Contains(doc, "<filesystem") {
		if live {
			l.fail("devices", "Detach it, or move the VM cold.", "It shares a folder of %s (virtiofs), which cannot move while it runs.", l.From.Host.Name)
		} else {
			l.warn("devices", "Put the same folder there.", "It shares a folder of %s.", l.From.Host.Name)
		}
	}
	if l.spec.Boot.Kernel != "" {
		l.warn("kernel", "Put the same files there.", "It boots a kernel that lies on its host, %s: %s needs it too when the VM starts again.", l.spec.Boot.Kernel, l.To.Host.Name)
	}
}

// clocks warns of hosts that do not have the same time. Nothing asks a host for its time: it is known from the last VM that moved between them.
func (l *look) clocks() {
	if l.Skew >= domain.ClocksDiffer {
		l.warn("clock", "Let both keep their time by NTP (chrony).", "When a VM last moved between them, the clocks of %s and %s were about %s apart: logs and leases of the two do not go together, and a guest that takes its host's time jumps.",
			l.From.Host.Name, l.To.Host.Name, l.Skew.Round(time.Second))
	}
}

func (l *look) route() {
	uri, tls, err := daemonURI(l.To.Host.URI, l.To.Host.Facts.Hostname, l.From.Host.URI)
	if err != "" {
		l.fail("route", "Connect the target by qemu+tls or qemu+tcp with an address that the source can reach.", "%s", err)
		return
	}
	want := l.Policy.Transport
	l.plan.URI, l.plan.TLS, l.plan.Tunnel = uri, tls && want != domain.TransportPlain && want != domain.TransportTunnelled, want == domain.TransportTunnelled
	switch {
	case want == domain.TransportTunnelled && l.plan.copies():
		l.fail("route", "Choose another transport, or move its disks to shared storage first.", "Its disks have to be copied along, and libvirt cannot send disks through a tunnel.")
	case want == domain.TransportTunnelled && l.Policy.RequireTLS && !tls:
		l.fail("route", "Give the hosts certificates and connect them by qemu+tls.", "The policy demands TLS, and the tunnel to %s would be plain TCP.", l.To.Host.Name)
	case want == domain.TransportTunnelled && !tls:
		l.warn("route", "Connect the hosts by qemu+tls.", "It goes through the daemons' connection, which is unencrypted.")
	case want == domain.TransportTunnelled:
		l.pass("route", "It goes through the daemons' connection, which is encrypted.")
	case l.plan.TLS:
		l.pass("route", "%s connects to %s by TLS.", l.From.Host.Name, l.To.Host.Name)
	case l.Policy.RequireTLS || want == domain.TransportTLS:
		l.fail("route", "Give the hosts certificates and connect them by qemu+tls.", "The policy demands TLS, and %s is connected by plain TCP.", l.To.Host.Name)
	case tls:
		l.warn("route", "Let the policy choose the transport.", "The policy says plain: the guest's memory goes over the network unencrypted, though both hosts could encrypt it.")
	default:
		l.warn("route", "Give the hosts certificates and connect them by qemu+tls.", "The guest's memory goes over the network unencrypted.")
	}
}

// daemonURI is the target's address for the source's daemon. A socket or an SSH login of NovaCron's is no use to another host.
func daemonURI(target, hostname, source string) (uri string, tls bool, problem string) {
	u, err := domain.ParseHostURI(target)
	if err != nil {
		return "", false, "The target's address cannot be read."
	}
	if u.Transport != "tls" && u.Transport != "tcp" {
		return "", false, fmt.Sprintf("The target is connected by %s, which only NovaCron can use.", u.Transport)
	}
	src, err := domain.ParseHostURI(source)
	if err != nil {
		return "", false, "The source's address cannot be read."
	}
	host := u.Host
	local := func(h string) bool { return h == "localhost" || strings.HasPrefix(h, "127.") || h == "::1" }
	if local(host) && src.Transport != "unix" && !local(src.Host) {
		host = hostname
	}
	if u.Port != "" {
		host += ":" + u.Port
	}
	out := url.URL{Scheme: "qemu+" + u.Transport, Host: host, Path: u.Path}
	return out.String(), u.Transport == "tls", ""
}

func (l *look) versions() {
	from, to := l.From.Host.Facts.HypervisorVersion, l.To.Host.Facts.HypervisorVersion
	if from != "" && to != "" && older(to, from) {
		l.warn("versions", "Update QEMU there.", "%s has an older QEMU (%s) than %s (%s): moving back to older ones is not supported by every machine type.", l.To.Host.Name, to, l.From.Host.Name, from)
	} else {
		l.pass("versions", "QEMU %s there, %s here.", to, from)
	}
}

// DiesUnrun reports a QEMU that takes the disks of a guest which arrives paused over only when it runs, and dies when the guest is saved or sent on before.
func DiesUnrun(qemu string) bool { return older(qemu, "10.0") }

// older compares dotted numbers.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		var x, y int
		_, _ = fmt.Sscan(as[i], &x) // what is no number counts as 0
		_, _ = fmt.Sscan(bs[i], &y)
		if x != y {
			return x < y
		}
	}
	return false
}
