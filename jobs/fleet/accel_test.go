package fleet_test

import (
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
)

func TestAHostsAcceleratorIsSetByHand(t *testing.T) {
	w, f, h := fleettest.New(t)
	makes := func(name string) domain.Accel {
		t.Helper()
		spec := fleettest.Spec(name)
		spec.Accel = domain.AccelAuto
		w.Make(t, spec, false)
		g, _ := fleettest.Guest(f, name)
		return g.Config.Accel
	}
	if got := makes("by-itself"); got != domain.AccelKVM {
		t.Fatalf("runs under %s", got)
	}
	set := func(a domain.Accel) {
		t.Helper()
		if _, err := w.Fleet.EditHost(t.Context(), fleettest.Actor, h.ID, 0, fleet.HostEdit{Accel: &a}); err != nil {
			t.Fatal(err)
		}
	}
	set(domain.AccelTCG)
	if got := makes("without"); got != domain.AccelTCG {
		t.Errorf("runs under %s", got)
	}
	spec := fleettest.Spec("asked")
	spec.Accel = domain.AccelKVM
	if _, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec, Host: h.ID}); !domain.Is(err, domain.Unsupported) {
		t.Errorf("KVM on a host that is kept from it: %v", err)
	}
	set(domain.AccelAuto)
	if got := makes("again"); got != domain.AccelKVM {
		t.Errorf("runs under %s", got)
	}
	bad := domain.Accel("xen")
	if _, err := w.Fleet.EditHost(t.Context(), fleettest.Actor, h.ID, 0, fleet.HostEdit{Accel: &bad}); !domain.Is(err, domain.Invalid) {
		t.Errorf("%v", err)
	}
}

func TestAHostTrustedWithKVMByHand(t *testing.T) {
	w, _, _ := fleettest.New(t)
	f, h := w.Host(t, "cloud", hvtest.FakeOptions{NoKVM: true})
	kvm := domain.AccelKVM
	spec := fleettest.Spec("fast")
	spec.Accel = kvm
	if _, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec, Host: h.ID}); !domain.Is(err, domain.Unsupported) {
		t.Errorf("KVM on a host that is not trusted: %v", err)
	}
	if _, err := w.Fleet.EditHost(t.Context(), fleettest.Actor, h.ID, 0, fleet.HostEdit{Accel: &kvm}); err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]domain.Accel{"fast": kvm, "auto": domain.AccelAuto} {
		spec := fleettest.Spec(name)
		spec.Accel = a
		job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec, Host: h.ID})
		w.Succeed(t, job, err)
		if g, _ := fleettest.Guest(f, name); g.Config.Accel != kvm {
			t.Errorf("%s runs under %s", name, g.Config.Accel)
		}
	}
}
