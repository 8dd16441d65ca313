package provision_test

import (
	"context"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

// TestSweepHardware takes a change of everything that can be plugged through the three sweeps: undone, the guest runs as before, to the letter.
func TestSweepHardware(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		spec := fleettest.Spec("web-1")
		spec.MemoryBytes = 2 * domain.GiB
		spec.Hardware = domain.Hardware{Filesystems: []domain.Filesystem{{Source: "/srv/a", Tag: "a"}}, SharedMemory: true, HotplugMemory: &domain.HotplugMemory{MaxBytes: 64 * domain.GiB, Slots: 4},
			MemoryDevices: []domain.MemoryDevice{{SizeBytes: domain.GiB}}}
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: spec, Start: true})
		f.AddDevice(domain.Device{Name: "usb_1_4", Kind: "usb", Label: "Key", Address: "1:4", Model: "046d:c52b", Class: "usb", Assignable: true})
		vm := w.VM(t, "web-1")
		h := vm.HostID
		if err := w.Rec.Mirror.Inventory(t.Context(), f, h, reconcile.Cause{}); err != nil {
			t.Fatal(err)
		}
		before, _ := fleettest.Guest(f, "web-1")
		pins := []domain.CPUPin{{VCPU: 0, CPUs: "0-1"}}
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.ChangeVM(ctx, fleettest.Actor, vm.ID, 0, domain.VMChange{HardwareChange: domain.HardwareChange{
				Watchdog: &domain.Watchdog{Model: "i6300esb"}, RNG: &domain.RNG{Source: "none"}, AddFilesystems: []domain.Filesystem{{Source: "/srv/b", Tag: "b"}}, RemoveFilesystems: []string{"a"},
				AddHostDevices: []domain.HostDevice{{Class: "046d:c52b"}}, CPUPins: &pins, AddMemoryDevices: []domain.MemoryDevice{{SizeBytes: domain.GiB}}, RemoveMemoryDevices: []int{0},
			}}, "")
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			g, _ := fleettest.Guest(f, "web-1")
			if job.State == domain.JobUndone {
				if diff := domain.Diff(*before.Live, *g.Live); g.XML != before.XML || len(diff) != 0 {
					t.Errorf("definition as before: %v, live: %+v", g.XML == before.XML, diff)
				}
				return
			}
			for where, s := range map[string]domain.VMSpec{"config": g.Config, "live": *g.Live} {
				hw := s.Hardware
				if hw.Watchdog == nil || hw.RNG != nil || len(hw.Filesystems) != 1 || hw.Filesystems[0].Tag != "b" || len(hw.HostDevices) != 1 || hw.HostDevices[0].Address != "1:4" ||
					len(hw.CPUPins) != 1 || len(hw.MemoryDevices) != 1 {
					t.Errorf("%s: %+v", where, hw)
				}
			}
		})
	})
}

func TestADeviceIsGivenToOneVMOnly(t *testing.T) {
	w, f, h := fleettest.New(t)
	_, empty := w.Host(t, "empty", hvtest.FakeOptions{})
	card := domain.Device{Name: "pci_0000_03_00_0", Kind: "pci", Label: "RTX A6000", Address: "0000:03:00.0", Model: "10de:2230", Class: "gpu", Assignable: true}
	f.AddDevice(card)
	f.AddDevice(domain.Device{Name: "pci_0000_00_1f_0", Kind: "pci", Label: "Bridge", Address: "0000:00:1f.0", Model: "8086:1", Class: "bridge", Why: "A bridge belongs to the host."})
	if err := w.Rec.Mirror.Inventory(t.Context(), f, h.ID, reconcile.Cause{}); err != nil {
		t.Fatal(err)
	}
	with := func(name, host string, want domain.HostDevice) (domain.Job, error) {
		spec := fleettest.Spec(name)
		spec.HostDevices = []domain.HostDevice{want}
		return w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec, Host: host})
	}
	job, err := with("first", fleet.AnyHost, domain.HostDevice{Class: "gpu"}) // by class, anywhere in the estate
	w.Succeed(t, job, err)
	first := w.VM(t, "first")
	if first.HostID != h.ID || len(first.Config.HostDevices) != 1 || first.Config.HostDevices[0] != card.Settled() {
		t.Fatalf("on %s with %+v", first.HostID, first.Config.HostDevices)
	}
	for what, try := range map[string]func() (domain.Job, error){
		"anywhere": func() (domain.Job, error) {
			return with("second", fleet.AnyHost, domain.HostDevice{Class: "10de:2230"})
		},
		"there": func() (domain.Job, error) {
			return with("second", h.ID, domain.HostDevice{Kind: "pci", Address: "3:0.0"})
		},
		"elsewhere": func() (domain.Job, error) { return with("second", empty.ID, domain.HostDevice{Device: card.Name}) },
		"a bridge":  func() (domain.Job, error) { return with("second", h.ID, domain.HostDevice{Class: "bridge"}) },
	} {
		_, err := try()
		if err == nil {
			t.Errorf("%s: it was given away twice", what)
			continue
		}
		t.Logf("%s: %s", what, fleettest.Detail(err))
		if what == "there" && !domain.Is(err, domain.Unsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := w.Make(t, fleettest.Spec("other"), false)
	if other.HostID != h.ID {
		spec := fleettest.Spec("other-2")
		job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec, Host: h.ID})
		w.Succeed(t, job, err)
		other = w.VM(t, "other-2")
	}
	_, err = w.Fleet.ChangeVM(t.Context(), fleettest.Actor, other.ID, 0, domain.VMChange{HardwareChange: domain.HardwareChange{AddHostDevices: []domain.HostDevice{{Device: card.Name}}}}, "")
	if e, ok := err.(*domain.Error); !ok || len(e.Fields) == 0 || e.Fields[0].Field != "add_host_devices.0" {
		t.Errorf("%s", fleettest.Detail(err))
	}
	all, err := w.Fleet.Devices(t.Context(), "", "gpu")
	if err != nil || len(all) != 1 || all[0].VMName != "first" || all[0].HostName != "a" {
		t.Errorf("%+v %v", all, err)
	}
	job, err = w.Fleet.ChangeVM(t.Context(), fleettest.Actor, first.ID, 0, domain.VMChange{HardwareChange: domain.HardwareChange{RemoveHostDevices: []string{card.Address}}}, "")
	w.Succeed(t, job, err)
	job, err = w.Fleet.ChangeVM(t.Context(), fleettest.Actor, other.ID, 0, domain.VMChange{HardwareChange: domain.HardwareChange{AddHostDevices: []domain.HostDevice{{Device: card.Name}}}}, "")
	w.Succeed(t, job, err)
}

func TestPendingHardwareIsReverted(t *testing.T) {
	w, _, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	job, err := w.Fleet.ChangeVM(t.Context(), fleettest.Actor, vm.ID, 0, domain.VMChange{HardwareChange: domain.HardwareChange{
		RNG: &domain.RNG{Source: "/dev/hwrng"}, AddFilesystems: []domain.Filesystem{{Source: "/srv/b", Tag: "b"}}, Hugepages: &domain.Hugepages{}, NUMATune: &domain.NUMATune{Mode: "strict", Nodes: "0"},
		HotplugMemory: &domain.HotplugMemory{MaxBytes: 32 * domain.GiB, Slots: 2},
	}}, "")
	w.Succeed(t, job, err)
	pending := w.VM(t, "web-1").Pending
	if len(pending) < 6 {
		t.Fatalf("%+v", pending)
	}
	for _, field := range []string{"rng", "filesystems.b", "hugepages", "numa_tune", "hotplug_memory", "numa"} {
		job, err := w.Fleet.RevertPending(t.Context(), fleettest.Actor, vm.ID, field)
		w.Succeed(t, job, err)
	}
	if left := w.VM(t, "web-1").Pending; len(left) != 0 {
		t.Errorf("%+v", left)
	}
}
