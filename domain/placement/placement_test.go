package placement

import (
	"strings"
	"testing"

	"novacron/domain"
)

func yes() domain.Capability { return domain.Capability{OK: true, Why: "It is there."} }

func host(name string, mem int64, used int64) Candidate {
	return Candidate{
		Host: domain.Host{ID: "host_" + name, Name: name, State: domain.HostConnected, Facts: domain.HostFacts{
			Driver: "QEMU", Arch: "x86_64", CPUs: 8, MaxVCPUs: 16, MemoryBytes: mem, KVM: yes(), UEFI: yes(), SecureBoot: yes(), TPM: yes(), Machines: []string{"q35", "pc"}}},
		Pools:      []domain.Pool{{Name: "default", Active: true, CapacityBytes: 100 * domain.GiB, AvailableBytes: 50 * domain.GiB}, {Name: "cold"}},
		Networks:   []domain.Network{{Name: "default", Active: true, Bridge: "virbr0"}, {Name: "off"}},
		Devices:    []domain.Device{{Name: "net_br0_52_54_00_aa_bb_cc", Kind: "net"}, {Name: "pci_0000", Kind: "pci"}},
		UsedMemory: used,
	}
}

func spec(mem int64) domain.VMSpec {
	return domain.VMSpec{Name: "web-1", VCPUs: 2, MemoryBytes: mem}
}

func TestAnyTakesTheHostWithTheLargestShareLeft(t *testing.T) {
	d, err := Place(spec(domain.GiB), Any, []Candidate{host("a", 16*domain.GiB, 12*domain.GiB), host("b", 8*domain.GiB, domain.GiB), host("c", 64*domain.GiB, 60*domain.GiB)})
	if err != nil || d.HostID != "host_b" {
		t.Fatalf("%+v (%v)", d, err)
	}
	if len(d.Verdicts) != 3 || d.Verdicts[0].HostName != "b" || d.Verdicts[0].Score != 0.75 || d.Verdicts[1].HostName != "a" {
		t.Errorf("%+v", d.Verdicts)
	}
	for _, v := range d.Verdicts {
		if !v.OK || len(v.Reasons) != 1 || !strings.Contains(v.Reasons[0], "GiB") {
			t.Errorf("%+v", v)
		}
	}
}

func TestTiesGoByFreeCPUsThenName(t *testing.T) {
	a, b := host("b", domain.GiB*8, 0), host("a", domain.GiB*8, 0)
	if d, _ := Place(spec(domain.GiB), "", []Candidate{a, b}); d.HostID != "host_a" {
		t.Errorf("by name: %s", d.HostID)
	}
	b.UsedVCPUs = 4
	if d, _ := Place(spec(domain.GiB), "", []Candidate{a, b}); d.HostID != "host_b" {
		t.Errorf("by CPUs: %s", d.HostID)
	}
}

func TestNoHostCanSaysWhyForEach(t *testing.T) {
	away, maint := host("a", 64*domain.GiB, 0), host("b", 64*domain.GiB, 0)
	away.Host.State, away.Host.StateReason = domain.HostAway, "the daemon does not answer."
	maint.Host.Maintenance = true
	full := host("c", 8*domain.GiB, 7*domain.GiB)
	d, err := Place(spec(2*domain.GiB), Any, []Candidate{away, maint, full})
	e, ok := err.(*domain.Error)
	if !ok || e.Code != domain.Exhausted || len(e.Reasons) != 3 || d.HostID != "" {
		t.Fatalf("%+v (%v)", d, err)
	}
	why := map[string]string{}
	for _, r := range e.Reasons {
		why[r.Subject] = r.Msg
	}
	if !strings.Contains(why["a"], "daemon does not answer") || !strings.Contains(why["b"], "maintenance") || !strings.Contains(why["c"], "1 GiB is free, 2 GiB is wanted") {
		t.Errorf("%v", why)
	}
	if len(e.Fields) != 0 {
		t.Errorf("a field is blamed: %+v", e.Fields)
	}
	_, err = Place(spec(100*domain.GiB), Any, []Candidate{full})
	if e := err.(*domain.Error); len(e.Fields) != 1 || e.Fields[0].Field != "memory_bytes" || e.Fields[0].Want != "at most 8 GiB" || !strings.HasPrefix(e.Msg, "The only host, c,") {
		t.Errorf("%+v", e)
	}
	if _, err := Place(spec(1), Any, nil); !domain.Is(err, domain.Exhausted) {
		t.Errorf("no host at all: %v", err)
	}
}

func TestANamedHostMayBeOvercommitted(t *testing.T) {
	c := host("a", 8*domain.GiB, 7*domain.GiB)
	d, err := Place(spec(2*domain.GiB), "host_a", []Candidate{c})
	if err != nil || d.HostID != "host_a" || !strings.Contains(d.Verdicts[0].Reasons[0], "9 GiB of its 8 GiB") {
		t.Errorf("%+v (%v)", d, err)
	}
	if d, err = Place(spec(domain.GiB), "host_a", []Candidate{c}); err != nil || d.Verdicts[0].Score != 0 {
		t.Errorf("%+v (%v)", d, err)
	}
	if _, err := Place(spec(1), "host_x", []Candidate{c}); !domain.Is(err, domain.Invalid) {
		t.Errorf("%v", err)
	}
}

func TestANamedHostIsRefusedWithTheField(t *testing.T) {
	no := domain.Capability{Why: "the firmware is not installed."}
	for _, c := range []struct {
		name  string
		spec  func(*domain.VMSpec)
		host  func(*Candidate)
		code  domain.Code
		field string
		says  string
	}{
		{"memory", func(s *domain.VMSpec) { s.MemoryBytes = 9 * domain.GiB }, nil, domain.Exhausted, "memory_bytes", "8 GiB of memory; 9 GiB is wanted"},
		{"vcpus", func(s *domain.VMSpec) { s.MaxVCPUs = 20 }, nil, domain.Exhausted, "vcpus", "at most 16"},
		{"arch", func(s *domain.VMSpec) { s.Arch = "aarch64" }, nil, domain.Unsupported, "arch", "x86_64"},
		{"machine", func(s *domain.VMSpec) { s.Machine = "virt" }, nil, domain.Unsupported, "machine", "virt"},
		{"maintenance", nil, func(c *Candidate) { c.Host.Maintenance = true }, domain.Conflict, "host", "maintenance"},
		{"away", nil, func(c *Candidate) { c.Host.State, c.Host.StateFix = domain.HostAway, "Start it." }, domain.Unavailable, "host", "away"},
		{"connecting", nil, func(c *Candidate) { c.Host.State = domain.HostConnecting }, domain.Unavailable, "host", "first time"},
		{"kvm", func(s *domain.VMSpec) { s.Accel = domain.AccelKVM }, func(c *Candidate) { c.Host.Facts.KVM = no }, domain.Unsupported, "accel", "KVM"},
		{"uefi", func(s *domain.VMSpec) { s.Firmware = domain.FirmwareUEFI }, func(c *Candidate) { c.Host.Facts.UEFI = no }, domain.Unsupported, "firmware", "not installed"},
		{"secure boot", func(s *domain.VMSpec) { s.Firmware = domain.FirmwareUEFISecure }, func(c *Candidate) { c.Host.Facts.SecureBoot = domain.Capability{} }, domain.Unsupported, "firmware", "does not say why"},
		{"tpm", func(s *domain.VMSpec) { s.TPM = true }, func(c *Candidate) { c.Host.Facts.TPM = no }, domain.Unsupported, "tpm", "TPM"},
		{"no pool", func(s *domain.VMSpec) { s.Disks = []domain.Disk{{Pool: "ssd", SizeBytes: domain.GiB}} }, nil, domain.Unsupported, "disks.0.pool", "“ssd”"},
		{"cold pool", func(s *domain.VMSpec) { s.Disks = []domain.Disk{{}, {Pool: "cold", SizeBytes: domain.GiB}} }, nil, domain.Unsupported, "disks.1.pool", "not active"},
		{"huge disk", func(s *domain.VMSpec) { s.Disks = []domain.Disk{{Pool: "default", SizeBytes: domain.TiB}} }, nil, domain.Exhausted, "disks.0.size_bytes", "100 GiB in all"},
		{"raw disks", func(s *domain.VMSpec) {
			s.Disks = []domain.Disk{{Pool: "default", SizeBytes: 30 * domain.GiB, Format: "raw"}, {Pool: "default", SizeBytes: 30 * domain.GiB, Format: "raw"}}
		}, nil, domain.Exhausted, "disks.1.size_bytes", "50 GiB free; raw disks of 60 GiB"},
		{"no network", func(s *domain.VMSpec) { s.NICs = []domain.NIC{{Network: "lab"}} }, nil, domain.Unsupported, "nics.0.network", "“lab”"},
		{"cold network", func(s *domain.VMSpec) { s.NICs = []domain.NIC{{Network: "off"}} }, nil, domain.Unsupported, "nics.0.network", "not active"},
		{"no bridge", func(s *domain.VMSpec) { s.NICs = []domain.NIC{{Bridge: "br9"}} }, nil, domain.Unsupported, "nics.0.bridge", "“br9”"},
	} {
		s, cand := spec(domain.GiB), host("a", 8*domain.GiB, 0)
		if c.spec != nil {
			c.spec(&s)
		}
		if c.host != nil {
			c.host(&cand)
		}
		_, err := Place(s, "host_a", []Candidate{cand})
		e, ok := err.(*domain.Error)
		if !ok || e.Code != c.code || len(e.Fields) == 0 || e.Fields[0].Field != c.field || !strings.Contains(e.Msg, c.says) || e.Fix == "" {
			t.Errorf("%s: %+v", c.name, err)
		}
	}
}

func TestWhatAHostHasIsTaken(t *testing.T) {
	s := spec(domain.GiB)
	s.Machine, s.Arch, s.TPM, s.Accel, s.Firmware = "q35", "x86_64", true, domain.AccelKVM, domain.FirmwareUEFISecure
	s.Disks = []domain.Disk{{Pool: "default", SizeBytes: domain.GiB}, {Device: "cdrom"}}
	s.NICs = []domain.NIC{{Network: "default"}, {Bridge: "br0"}, {Bridge: "virbr0"}}
	if _, err := Place(s, Any, []Candidate{host("a", 8*domain.GiB, 0)}); err != nil {
		t.Error(err)
	}
	// A test driver has no capabilities to judge by and lists no devices.
	c := host("a", 8*domain.GiB, 0)
	c.Host.Facts.Driver, c.Devices = "TEST", nil
	c.Host.Facts.TPM, c.Host.Facts.KVM, c.Host.Facts.SecureBoot = domain.Capability{}, domain.Capability{}, domain.Capability{}
	s.NICs = append(s.NICs, domain.NIC{Bridge: "br9"})
	if _, err := Place(s, Any, []Candidate{c}); err != nil {
		t.Error(err)
	}
}

func TestPoolFor(t *testing.T) {
	p := func(name string, active bool, free int64) domain.Pool {
		return domain.Pool{Name: name, Active: active, AvailableBytes: free}
	}
	for _, c := range []struct {
		pools []domain.Pool
		want  string
	}{
		{nil, "default"},
		{[]domain.Pool{p("default", false, 1), p("a", false, 9)}, "default"},
		{[]domain.Pool{p("a", true, 9), p("default", true, 1)}, "default"},
		{[]domain.Pool{p("a", true, 1), p("b", true, 9), p("default", false, 99)}, "b"},
	} {
		if got := PoolFor(Candidate{Pools: c.pools}); got != c.want {
			t.Errorf("%+v: %s, want %s", c.pools, got, c.want)
		}
	}
	// A pool that has to be made first is no reason to refuse.
	s := spec(domain.GiB)
	s.Disks = []domain.Disk{{Pool: "default", SizeBytes: domain.GiB}}
	bare := host("a", 8*domain.GiB, 0)
	bare.Pools = nil
	if _, err := Place(s, Any, []Candidate{bare}); err != nil {
		t.Error(err)
	}
}

func TestFewStaysShort(t *testing.T) {
	if s := few([]string{"a", "b", "c", "d", "e", "f", "g", "h"}); s != "a, b, c, d, e, f and 2 more" {
		t.Error(s)
	}
	if s := few(nil); !strings.Contains(s, "none") {
		t.Error(s)
	}
}
