package hvtest

import (
	"testing"

	"novacron/domain"
)

// hardware plugs what can be plugged into a running guest and has the rest wait for its next start.
func (c contract) hardware(t *testing.T, s *session) {
	if c.opt.Driver == "TEST" {
		return // it keeps few of these elements and plugs nothing
	}
	v := s.spec()
	v.RNG = &domain.RNG{Source: "none"}
	s.forget(v.UUID)
	_, err := s.h.Define(s.ctx(), v)
	s.must(err)
	if g := s.guest(v.UUID); g.Config.RNG != nil {
		t.Errorf("it has random numbers that it did not want: %+v", g.Config.RNG)
	}
	s.must(s.h.Start(s.ctx(), v.UUID))
	change := func(what string, h domain.HardwareChange) domain.Guest {
		t.Helper()
		notes, err := s.h.Change(s.ctx(), v.UUID, domain.VMChange{HardwareChange: h})
		if err != nil {
			t.Errorf("%s", what)
			s.must(err)
		}
		t.Logf("%s: %q", what, notes)
		return s.guest(v.UUID)
	}

	pins := []domain.CPUPin{{VCPU: 0, CPUs: "0"}}
	g := change("plug in", domain.HardwareChange{Watchdog: &domain.Watchdog{Model: "i6300esb", Action: "pause"}, RNG: &domain.RNG{Source: "/dev/urandom", Bytes: 1024, PeriodMS: 1000}, CPUPins: &pins, EmulatorPins: ptr("0")})
	for where, h := range map[string]domain.Hardware{"config": g.Config.Hardware, "live": g.Live.Hardware} {
		if h.Watchdog == nil || h.Watchdog.Action != "pause" || h.RNG == nil || h.RNG.Bytes != 1024 || len(h.CPUPins) != 1 || h.CPUPins[0] != pins[0] || h.EmulatorPins != "0" {
			t.Errorf("%s: %+v", where, h)
		}
	}
	if diff := domain.Diff(*g.Live, g.Config); len(diff) != 0 {
		t.Errorf("pending after what was plugged in: %+v", diff)
	}

	dir := "/var/lib/libvirt/images"
	g = change("wait", domain.HardwareChange{Watchdog: &domain.Watchdog{Model: "ib700"}, HotplugMemory: &domain.HotplugMemory{MaxBytes: domain.GiB, Slots: 4},
		AddFilesystems: []domain.Filesystem{{Source: dir, Tag: "images"}}})
	if g.Live.Watchdog.Model != "i6300esb" || g.Config.Watchdog.Model != "ib700" || len(g.Live.Filesystems) != 0 || len(g.Config.Filesystems) != 1 || g.Config.HotplugMemory == nil || len(domain.Diff(*g.Live, g.Config)) == 0 {
		t.Errorf("live %+v\nconfig %+v", g.Live.Hardware, g.Config.Hardware)
	}
	s.must(s.h.Stop(s.ctx(), v.UUID))
	s.must(s.h.Start(s.ctx(), v.UUID))
	if g = s.guest(v.UUID); g.Live.Watchdog == nil || g.Live.Watchdog.Model != "ib700" || len(g.Live.Filesystems) != 1 || !g.Live.SharedMemory || len(domain.Diff(*g.Live, g.Config)) != 0 {
		t.Errorf("after a restart: live %+v\nconfig %+v\npending %+v", g.Live.Hardware, g.Config.Hardware, domain.Diff(*g.Live, g.Config))
	}

	g = change("module", domain.HardwareChange{AddMemoryDevices: []domain.MemoryDevice{{SizeBytes: 128 * domain.MiB}}})
	most := func(s domain.VMSpec) int64 { return max(s.MemoryBytes, s.MaxMemoryBytes) }
	if len(g.Live.MemoryDevices) != 1 || len(g.Config.MemoryDevices) != 1 || g.Live.MemoryDevices[0] != g.Config.MemoryDevices[0] || most(g.Config) != v.MemoryBytes+128*domain.MiB {
		t.Errorf("live %+v, config %+v with %d", g.Live.MemoryDevices, g.Config.MemoryDevices, most(g.Config))
	}
	if diff := domain.Diff(*g.Live, g.Config); len(diff) != 0 {
		t.Errorf("pending after the module: %+v", diff)
	}

	if c.opt.Driver == "QEMU" { // the fake knows of no devices that are missing
		before := s.guest(v.UUID)
		_, err := s.h.Change(s.ctx(), v.UUID, domain.VMChange{HardwareChange: domain.HardwareChange{AddHostDevices: []domain.HostDevice{{Kind: "pci", Address: "0000:7f:1f.7"}}}})
		if err == nil || domain.Is(err, domain.Unavailable) {
			t.Errorf("a card that is not there: %v", err)
		}
		if after := s.guest(v.UUID); after.XML != before.XML {
			t.Errorf("what was refused is in the definition:\n%s", after.XML)
		}
	}
	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{HardwareChange: domain.HardwareChange{RemoveFilesystems: []string{"none"}}})
	s.want(domain.NotFound, err, "a directory that is not shared")

	s.must(s.h.Stop(s.ctx(), v.UUID))
	g = change("take away", domain.HardwareChange{Watchdog: &domain.Watchdog{Model: "none"}, RNG: &domain.RNG{Source: "none"}, RemoveFilesystems: []string{"images"}, RemoveMemoryDevices: []int{0},
		HotplugMemory: &domain.HotplugMemory{}, CPUPins: &[]domain.CPUPin{}, EmulatorPins: ptr(""), Hugepages: &domain.Hugepages{SizeBytes: 2 * domain.MiB}, NUMATune: &domain.NUMATune{Mode: "preferred", Nodes: "0"}})
	h := g.Config.Hardware
	if h.Watchdog != nil || h.RNG != nil || len(h.Filesystems)+len(h.MemoryDevices)+len(h.CPUPins) != 0 || h.HotplugMemory != nil || h.EmulatorPins != "" || h.Hugepages == nil || h.NUMATune == nil || most(g.Config) != v.MemoryBytes {
		t.Errorf("%+v with %d", h, most(g.Config))
	}
}
