package placement

import (
	"fmt"
	"slices"
	"strings"

	"novacron/domain"
)

// refusal is one reason why a host cannot take the VM at all, however much room it has.
type refusal struct {
	code  domain.Code
	field string // of the request, when a field is to blame
	msg   string
	fix   string
}

func refusals(spec domain.VMSpec, c Candidate) []refusal {
	h := c.Host
	if h.State != domain.HostConnected {
		msg := "It is being connected for the first time."
		if h.State == domain.HostAway {
			msg = "It is away."
			if h.StateReason != "" {
				msg = "It is away: " + h.StateReason
			}
		}
		fix := h.StateFix
		if fix == "" {
			fix = "Wait for the host to come back, or choose another one."
		}
		// What an absent host had when last seen proves nothing, so nothing else is said of it.
		return []refusal{{domain.Unavailable, "host", msg, fix}}
	}
	var out []refusal
	add := func(code domain.Code, field, fix, format string, args ...any) {
		out = append(out, refusal{code, field, fmt.Sprintf(format, args...), fix})
	}
	if c.Reserved != "" {
		add(domain.Conflict, "host", "Choose a host that is given to the tenant.", "%s", c.Reserved)
	}
	for _, why := range c.Against {
		add(domain.Conflict, "host", "Choose another host, or change the rule.", "%s", why)
	}
	if h.Maintenance {
		add(domain.Conflict, "host", "End maintenance on the host's page, or choose another host.", "It is in maintenance.")
	}
	f := h.Facts
	if spec.MemoryBytes > f.MemoryBytes {
		add(domain.Exhausted, "memory_bytes", "at most "+domain.FormatBytes(f.MemoryBytes), "It has %s of memory; %s is wanted.", domain.FormatBytes(f.MemoryBytes), domain.FormatBytes(spec.MemoryBytes))
	}
	if most := max(spec.VCPUs, spec.MaxVCPUs); f.MaxVCPUs > 0 && most > f.MaxVCPUs {
		add(domain.Exhausted, "vcpus", fmt.Sprintf("at most %d", f.MaxVCPUs), "One VM there can have at most %d vCPUs; %d are wanted.", f.MaxVCPUs, most)
	}
	if spec.Arch != "" && f.Arch != "" && spec.Arch != f.Arch {
		add(domain.Unsupported, "arch", f.Arch, "It runs %s guests; %s is wanted.", f.Arch, spec.Arch)
	}
	if spec.Machine != "" && len(f.Machines) > 0 && !slices.Contains(f.Machines, spec.Machine) {
		add(domain.Unsupported, "machine", "one of "+few(f.Machines), "It does not have the machine type “%s”.", spec.Machine)
	}
	if f.Driver == "QEMU" {
		// libvirt's test driver takes any firmware and accelerator and has no capabilities to judge by.
		need := func(wanted bool, cap domain.Capability, field, what string) {
			if wanted && !cap.OK {
				add(domain.Unsupported, field, "another choice, or another host", "It cannot give %s: %s", what, orUnknown(cap.Why))
			}
		}
		need(spec.Accel == domain.AccelKVM, f.KVM, "accel", "KVM")
		need(spec.Firmware == domain.FirmwareUEFI, f.UEFI, "firmware", "UEFI firmware")
		need(spec.Firmware == domain.FirmwareUEFISecure, f.SecureBoot, "firmware", "secure boot")
		need(spec.TPM, f.TPM, "tpm", "a TPM")
	}
	refuseDisks(spec, c, add)
	refuseNICs(spec, c, add)
	refuseHardware(spec, c, add)
	return out
}

type adder func(code domain.Code, field, fix, format string, args ...any)

func refuseDisks(spec domain.VMSpec, c Candidate, add adder) {
	wanted := map[string]int64{} // new bytes per pool, for raw disks that could never fit
	for i, d := range spec.Disks {
		if d.Pool == "" {
			continue
		}
		at := fmt.Sprintf("disks.%d.pool", i)
		j := slices.IndexFunc(c.Pools, func(p domain.Pool) bool { return p.Name == d.Pool })
		switch {
		case j < 0 && d.Pool == DefaultPool && d.New() && !slices.ContainsFunc(c.Pools, func(p domain.Pool) bool { return p.Active }):
			// a host without any active pool gets the default one when the disk is made
		case j < 0:
			add(domain.Unsupported, at, "one of "+few(poolNames(c.Pools)), "It has no storage pool “%s”.", d.Pool)
		case !c.Pools[j].Active:
			add(domain.Unsupported, at, "an active pool, or start this one on the host", "Its storage pool “%s” is not active.", d.Pool)
		case d.Image != "" && !c.Pools[j].HoldsFiles():
			add(domain.Unsupported, at, "a pool of files (dir, fs, netfs)", "Its storage pool “%s” is of the kind %s; copies of images are files, and so are disks that begin as one.", d.Pool, c.Pools[j].Type)
		case d.New() && d.SizeBytes > c.Pools[j].CapacityBytes && c.Pools[j].CapacityBytes > 0:
			add(domain.Exhausted, fmt.Sprintf("disks.%d.size_bytes", i), "at most "+domain.FormatBytes(c.Pools[j].CapacityBytes), "Its storage pool “%s” holds %s in all; a disk of %s is wanted.",
				d.Pool, domain.FormatBytes(c.Pools[j].CapacityBytes), domain.FormatBytes(d.SizeBytes))
		case d.New() && d.Format == "raw":
			wanted[d.Pool] += d.SizeBytes
			if free := c.Pools[j].AvailableBytes; wanted[d.Pool] > free && c.Pools[j].CapacityBytes > 0 {
				add(domain.Exhausted, fmt.Sprintf("disks.%d.size_bytes", i), "at most "+domain.FormatBytes(free)+", or the format qcow2", "Its storage pool “%s” has %s free; raw disks of %s are wanted.",
					d.Pool, domain.FormatBytes(free), domain.FormatBytes(wanted[d.Pool]))
			}
		}
	}
}

func refuseNICs(spec domain.VMSpec, c Candidate, add adder) {
	for i, n := range spec.NICs {
		switch {
		case n.Network != "":
			j := slices.IndexFunc(c.Networks, func(x domain.Network) bool { return x.Name == n.Network })
			if j < 0 {
				add(domain.Unsupported, fmt.Sprintf("nics.%d.network", i), "one of "+few(networkNames(c.Networks)), "It has no network “%s”.", n.Network)
			} else if !c.Networks[j].Active {
				add(domain.Unsupported, fmt.Sprintf("nics.%d.network", i), "an active network, or start this one on the host", "Its network “%s” is not active.", n.Network)
			}
		case n.Bridge != "":
			if slices.Contains(c.Closed, n.Bridge) {
				add(domain.Unsupported, fmt.Sprintf("nics.%d.bridge", i), "one of "+few(bridgesOf(c)), "It has no bridge “%s” that is free to use.", n.Bridge)
			} else if bridges, known := Bridges(c); known && !slices.Contains(bridges, n.Bridge) {
				add(domain.Unsupported, fmt.Sprintf("nics.%d.bridge", i), "one of "+few(bridgesOf(c)), "It has no bridge “%s”.", n.Bridge)
			}
		}
	}
}

// DefaultPool is the pool that is made on a host that has none.
const DefaultPool = "default"

// PoolFor chooses the pool for a new disk whose request names none: "default" if it is active, else the active pool with most room, else
// "default", which is then made.
func PoolFor(c Candidate) string { return poolFor(c, func(domain.Pool) bool { return true }) }

// PoolForImage is PoolFor among the pools that can hold a copy of an image.
func PoolForImage(c Candidate) string { return poolFor(c, domain.Pool.HoldsFiles) }

func poolFor(c Candidate, fit func(domain.Pool) bool) string {
	best := -1
	for i, p := range c.Pools {
		if !p.Active || !fit(p) {
			continue
		}
		if p.Name == DefaultPool {
			return DefaultPool
		}
		if best < 0 || p.AvailableBytes > c.Pools[best].AvailableBytes {
			best = i
		}
	}
	if best < 0 {
		return DefaultPool
	}
	return c.Pools[best].Name
}

// Bridges lists the network devices of a host that a card could be put on. known is false when the host does not list its devices, in
// which case nothing can be said.
func Bridges(c Candidate) (names []string, known bool) {
	for _, d := range c.Devices {
		if d.Kind == "net" {
			known = true
			names = append(names, netName(d))
		}
	}
	for _, n := range c.Networks {
		if n.Bridge != "" && !slices.Contains(names, n.Bridge) {
			names = append(names, n.Bridge)
		}
	}
	return names, known
}

func bridgesOf(c Candidate) []string {
	all, _ := Bridges(c)
	return slices.DeleteFunc(all, func(b string) bool { return slices.Contains(c.Closed, b) })
}

// netName gets the interface's name out of libvirt's device name, net_<interface>_<address with underscores>.
func netName(d domain.Device) string {
	name := strings.TrimPrefix(d.Name, "net_")
	parts := strings.Split(name, "_")
	if len(parts) > 6 {
		name = strings.Join(parts[:len(parts)-6], "_")
	}
	return name
}

func poolNames(ps []domain.Pool) []string {
	var out []string
	for _, p := range ps {
		if p.Active {
			out = append(out, p.Name)
		}
	}
	return out
}

func networkNames(ns []domain.Network) []string {
	var out []string
	for _, n := range ns {
		if n.Active {
			out = append(out, n.Name)
		}
	}
	return out
}

// few lists at most six names, so that a sentence stays one.
func few(names []string) string {
	switch {
	case len(names) == 0:
		return "those it has (none now)"
	case len(names) > 6:
		return strings.Join(names[:6], ", ") + fmt.Sprintf(" and %d more", len(names)-6)
	}
	return strings.Join(names, ", ")
}

func orUnknown(s string) string {
	if s == "" {
		return "it does not say why."
	}
	return s
}
