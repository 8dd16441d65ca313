package provision_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
)

// seedDrive is the source of the VM's drive for its first boot; "" when it has none.
func seedDrive(vm domain.VM) string {
	for _, d := range vm.Config.Disks {
		if d.Device == "cdrom" && strings.Contains(d.Source+d.Volume, "-seed") {
			return d.Source + d.Volume
		}
	}
	return ""
}

func withCloudInit(t testing.TB, w *fleettest.World, name string, c domain.CloudInit) domain.VM {
	t.Helper()
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec(name), CloudInit: &c, ExecRules: domain.ExecRules{"uptime"}})
	w.Succeed(t, job, err)
	return w.VM(t, name)
}

func TestACloneGetsAFirstBootOfItsOwn(t *testing.T) {
	for _, linked := range []bool{false, true} {
		w, f, _ := fleettest.New(t)
		ctx := t.Context()
		probe := fleettest.Spec("probe")
		mac := "52:54:00:12:34:56"
		probe.NICs = []domain.NIC{{Network: "default", MAC: mac}}
		job, err := w.Fleet.CreateVM(ctx, fleettest.Actor, fleet.CreateVM{Spec: probe, ExecRules: domain.ExecRules{"uptime"},
			CloudInit: &domain.CloudInit{Hostname: "probe.example.org", User: "ada", Password: "geheim-42", Network: []domain.CloudInitCard{{MAC: mac, DHCP4: true}}}})
		w.Succeed(t, job, err)
		vm := w.VM(t, "probe")
		before := content(t, f, "default", "probe-seed.iso")
		was, _, err := w.Fleet.CloudInit(ctx, vm.ID)
		if err != nil {
			t.Fatal(err)
		}

		job, err = w.Fleet.CloneVM(ctx, fleettest.Actor, vm.ID, fleet.CloneVM{Name: "twin", Linked: linked})
		w.Succeed(t, job, err)
		twin := w.VM(t, "twin")
		if at := seedDrive(twin); !strings.HasSuffix(at, "/twin-seed.iso") {
			t.Errorf("linked %v: the copy reads %s", linked, at)
		}
		if at := seedDrive(w.VM(t, "probe")); !strings.HasSuffix(at, "/probe-seed.iso") {
			t.Errorf("linked %v: the original reads %s", linked, at)
		}
		seed, has, err := w.Fleet.CloudInit(ctx, twin.ID)
		if err != nil || !has || seed.InstanceID == was.InstanceID || seed.Volume != "twin-seed.iso" {
			t.Errorf("linked %v: seed %+v, password %v, %v", linked, seed, has, err)
		}
		iso := content(t, f, "default", "twin-seed.iso")
		for _, want := range []string{`user: "ada"`, `hostname: "twin"`, `fqdn: "twin.example.org"`, seed.InstanceID, `macaddress: "` + twin.Config.NICs[0].MAC + `"`} {
			if !bytes.Contains(iso, []byte(want)) {
				t.Errorf("linked %v: the copy's medium has no %s", linked, want)
			}
		}
		if !bytes.Equal(before, content(t, f, "default", "probe-seed.iso")) {
			t.Errorf("linked %v: the original's medium changed", linked)
		}
		if rules, err := w.DB.ExecRules(ctx, twin.ID); err != nil || !slices.Equal(rules, domain.ExecRules{"uptime"}) {
			t.Errorf("linked %v: the copy allows %v, %v", linked, rules, err)
		}

		// Each takes its own along.
		job, err = w.Fleet.DeleteVM(ctx, fleettest.Actor, twin.ID, fleet.DeleteVM{Disks: true})
		w.Succeed(t, job, err)
		if _, err := f.Volume(ctx, "default", "twin-seed.iso"); !domain.Is(err, domain.NotFound) {
			t.Errorf("linked %v: the copy's medium is left: %v", linked, err)
		}
		if _, err := f.Volume(ctx, "default", "probe-seed.iso"); err != nil {
			t.Errorf("linked %v: the original's medium: %v", linked, err)
		}
	}
}

func TestAWindowsCloneKeepsNoName(t *testing.T) {
	w, f, _ := fleettest.New(t)
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("win-1"), Windows: &domain.Unattend{AdminPassword: "Geheim-42", ComputerName: "FIRST"}})
	w.Succeed(t, job, err)
	job, err = w.Fleet.CloneVM(t.Context(), fleettest.Actor, w.VM(t, "win-1").ID, fleet.CloneVM{Name: "win-2"})
	w.Succeed(t, job, err)
	if iso := content(t, f, "default", "win-2-seed.iso"); !bytes.Contains(iso, []byte("<ComputerName>WIN-2</ComputerName>")) {
		t.Error("the copy has the original's name")
	}
}

func TestCloudInitIsAddedToAVMThatHasNone(t *testing.T) {
	w, f, _ := fleettest.New(t)
	ctx := t.Context()
	vm := w.Make(t, fleettest.Spec("old"), false)
	if _, err := w.Fleet.SetCloudInit(ctx, fleettest.Actor, vm.ID, fleet.SetCloudInit{}); !domain.Is(err, domain.Invalid) {
		t.Errorf("nothing: %v", err)
	}
	job, err := w.Fleet.SetCloudInit(ctx, fleettest.Actor, vm.ID, fleet.SetCloudInit{CloudInit: domain.CloudInit{User: "ada", Password: "geheim-42"}, Key: "once"})
	job = w.Succeed(t, job, err)
	if again, err := w.Fleet.SetCloudInit(ctx, fleettest.Actor, vm.ID, fleet.SetCloudInit{CloudInit: domain.CloudInit{User: "ada"}, Key: "once"}); err != nil || again.ID != job.ID {
		t.Errorf("twice is not once: %v %v", again.ID, err)
	}
	if at := seedDrive(w.VM(t, "old")); !strings.HasSuffix(at, "/old-seed.iso") {
		t.Errorf("the VM reads %q", at)
	}
	if iso := content(t, f, "default", "old-seed.iso"); !bytes.Contains(iso, []byte(`user: "ada"`)) || !bytes.Contains(iso, []byte(`hostname: "old"`)) {
		t.Error("the medium does not say it")
	}
	if full, err := w.DB.Job(ctx, job.ID); err != nil || bytes.Contains(append(full.Input, full.Data...), []byte("geheim")) || bytes.Contains(full.Input, []byte("$6$")) {
		t.Errorf("the password or its hash stands in the task (%v)", err)
	}

	// From now on it is edited like any other.
	job, err = w.Fleet.SetCloudInit(ctx, fleettest.Actor, vm.ID, fleet.SetCloudInit{CloudInit: domain.CloudInit{User: "bob"}, KeepPassword: true, Version: 1})
	w.Succeed(t, job, err)
	if iso := content(t, f, "default", "old-seed.iso"); !bytes.Contains(iso, []byte(`user: "bob"`)) || !bytes.Contains(iso, []byte("$6$")) {
		t.Error("the edit did not arrive")
	}
}

func TestANameThatIsTakenIsPassedOver(t *testing.T) {
	w, f, _ := fleettest.New(t)
	f.AddVolume(domain.Volume{Pool: "default", Name: "old-seed.iso", Format: "raw", CapacityBytes: 5})
	vm := w.Make(t, fleettest.Spec("old"), false)
	w.Until(t, "the volume is known", func() bool {
		all, err := w.DB.Volumes(t.Context(), vm.HostID, "")
		return err == nil && slices.ContainsFunc(all, func(v domain.Volume) bool { return v.Name == "old-seed.iso" })
	})
	job, err := w.Fleet.SetCloudInit(t.Context(), fleettest.Actor, vm.ID, fleet.SetCloudInit{CloudInit: domain.CloudInit{User: "ada"}})
	w.Succeed(t, job, err)
	if at := seedDrive(w.VM(t, "old")); !strings.HasSuffix(at, "/old-seed-2.iso") {
		t.Errorf("the VM reads %q", at)
	}
}

func TestSweepAddCloudInit(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w, f, _ := fleettest.New(t)
		vm := w.Make(t, fleettest.Spec("old"), false)
		xml := vm.XML
		w.Stop()
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.SetCloudInit(ctx, fleettest.Actor, vm.ID, fleet.SetCloudInit{CloudInit: domain.CloudInit{User: "ada"}})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			now, ok := fleettest.Guest(f, "old")
			if !ok {
				t.Fatal("the VM is gone")
			}
			_, err := w.DB.Seed(t.Context(), vm.ID)
			if job.State == domain.JobSucceeded {
				if err != nil || seedDrive(domain.VM{Config: now.Config}) == "" || len(f.AllVolumes()) != 2 {
					t.Errorf("seed %v, disks %+v, volumes %+v", err, now.Config.Disks, f.AllVolumes())
				}
				return
			}
			if !domain.Is(err, domain.NotFound) || len(f.AllVolumes()) != 1 || now.XML != xml {
				t.Errorf("%s: seed %v, volumes %+v, disks %+v", job.State, err, f.AllVolumes(), now.Config.Disks)
			}
		})
	})
}

func TestSweepCloneWithCloudInit(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w, f, _ := fleettest.New(t)
		vm := withCloudInit(t, w, "probe", domain.CloudInit{User: "ada"})
		w.Stop()
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.CloneVM(ctx, fleettest.Actor, vm.ID, fleet.CloneVM{Name: "twin"})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			g, made := fleettest.Guest(f, "twin")
			if made != (job.State == domain.JobSucceeded) || len(f.AllVolumes()) != map[bool]int{true: 4, false: 2}[made] {
				t.Errorf("%s: volumes %+v", job.State, f.AllVolumes())
			}
			if made && !strings.HasSuffix(seedDrive(domain.VM{Config: g.Config}), "twin-seed.iso") {
				t.Errorf("the copy has %+v", g.Config.Disks)
			}
		})
	})
}
