package provision_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

func content(t testing.TB, f *hvtest.Fake, pool, name string) []byte {
	t.Helper()
	r, err := f.ReadVolume(t.Context(), pool, name, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCloudInitLivesAndGoesWithItsVM(t *testing.T) {
	w, f, _ := fleettest.New(t)
	ctx := t.Context()
	job, err := w.Fleet.CreateVM(ctx, fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1"), CloudInit: &domain.CloudInit{User: "ada", Password: "geheim-42", RunCmd: []string{"touch /run/first"}}})
	job = w.Succeed(t, job, err)
	vm := w.VM(t, "web-1")
	last := vm.Config.Disks[len(vm.Config.Disks)-1]
	if last.Device != "cdrom" || !strings.HasSuffix(last.Source, "/web-1-seed.iso") {
		t.Fatalf("disks %+v", vm.Config.Disks)
	}
	iso := content(t, f, "default", "web-1-seed.iso")
	for _, want := range []string{"#cloud-config\nhostname: \"web-1\"", `user: "ada"`, `password: "$6$`, "touch /run/first", "instance-id: "} {
		if !bytes.Contains(iso, []byte(want)) {
			t.Errorf("the medium has no %s", want)
		}
	}
	full, err := w.DB.Job(ctx, job.ID)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := w.DB.JobLog(ctx, job.ID)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal([]any{full, string(full.Input), string(full.Data), lines, w.Events(t, vm.ID)})
	if err != nil || bytes.Contains(kept, []byte("geheim-42")) || bytes.Contains(kept, []byte("$6$")) || bytes.Contains(iso, []byte("geheim-42")) {
		t.Error("the password or its hash stands where it should not")
	}
	seed, has, err := w.Fleet.CloudInit(ctx, vm.ID)
	if err != nil || !has || seed.Content.CloudInit.User != "ada" || seed.Content.CloudInit.PasswordHash != "" || seed.Version != 1 {
		t.Errorf("%+v %v %v", seed, has, err)
	}

	// An edit writes it anew, keeps the password, and makes a new first boot only when asked.
	edit := fleet.SetCloudInit{CloudInit: domain.CloudInit{User: "bob"}, KeepPassword: true, Version: 1}
	job, err = w.Fleet.SetCloudInit(ctx, fleettest.Actor, vm.ID, edit)
	w.Succeed(t, job, err)
	iso = content(t, f, "default", "web-1-seed.iso")
	if !bytes.Contains(iso, []byte(`user: "bob"`)) || !bytes.Contains(iso, []byte(`password: "$6$`)) || bytes.Contains(iso, []byte("touch /run/first")) || !bytes.Contains(iso, []byte(seed.InstanceID)) {
		t.Error("the edit did not arrive on the medium")
	}
	if _, err := w.Fleet.SetCloudInit(ctx, fleettest.Actor, vm.ID, edit); !domain.Is(err, domain.Conflict) {
		t.Errorf("an edit of what was edited meanwhile: %v", err)
	}
	job, err = w.Fleet.SetCloudInit(ctx, fleettest.Actor, vm.ID, fleet.SetCloudInit{CloudInit: domain.CloudInit{User: "bob"}, NewInstance: true})
	w.Succeed(t, job, err)
	if iso = content(t, f, "default", "web-1-seed.iso"); bytes.Contains(iso, []byte(seed.InstanceID)) || bytes.Contains(iso, []byte("$6$")) {
		t.Error("no new instance, or the old password")
	}
	if _, err := w.Fleet.SetCloudInit(ctx, fleettest.Actor, vm.ID, fleet.SetCloudInit{CloudInit: domain.CloudInit{UserData: "x: y"}}); !domain.Is(err, domain.Invalid) {
		t.Errorf("user-data without its mark: %v", err)
	}

	// Without its disks the VM still takes its seed along.
	job, err = w.Fleet.DeleteVM(ctx, fleettest.Actor, vm.ID, fleet.DeleteVM{})
	job = w.Succeed(t, job, err)
	if job.Title != "Delete web-1" {
		t.Errorf("title %q", job.Title)
	}
	if v := f.AllVolumes(); len(v) != 1 || v[0].Name != "web-1.qcow2" {
		t.Errorf("volumes %+v", v)
	}
	if _, err := w.DB.Seed(ctx, vm.ID); !domain.Is(err, domain.NotFound) {
		t.Errorf("the seed's row: %v", err)
	}
}

func TestWindowsGetsAnswersAndDrivers(t *testing.T) {
	w, f, _ := fleettest.New(t)
	f.AddVolume(domain.Volume{Pool: "default", Name: "virtio-win.iso", Format: "raw", CapacityBytes: 5})
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("win-1"), Windows: &domain.Unattend{AdminPassword: "Geheim-42", DriverISO: "/var/lib/libvirt/images/virtio-win.iso"}})
	w.Succeed(t, job, err)
	disks := w.VM(t, "win-1").Config.Disks
	if len(disks) != 3 || !strings.HasSuffix(disks[2].Source, "virtio-win.iso") {
		t.Errorf("disks %+v", disks)
	}
	if iso := content(t, f, "default", "win-1-seed.iso"); !bytes.Contains(iso, []byte("<ComputerName>WIN-1</ComputerName>")) || bytes.Contains(iso, []byte("Geheim-42")) {
		t.Error("no answer file, or the password in the clear")
	}
	_, err = w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("win-2"), Windows: &domain.Unattend{}, CloudInit: &domain.CloudInit{User: "A b"}})
	e, ok := err.(*domain.Error)
	if !ok || e.Code != domain.Invalid || len(e.Fields) != 3 {
		t.Errorf("%s", fleettest.Detail(err))
	}
}

func TestSweepCreateWithCloudInit(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{})
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.CreateVM(ctx, fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1"), CloudInit: &domain.CloudInit{User: "ada"}})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			if job.State == domain.JobUndone {
				nothingLeft(t, w, f, job)
				return
			}
			if iso := content(t, f, "default", "web-1-seed.iso"); !bytes.Contains(iso, []byte(`user: "ada"`)) || len(f.AllVolumes()) != 2 {
				t.Errorf("%s, volumes %+v", job.State, f.AllVolumes())
			}
		})
	})
}

func TestSweepEditOfCloudInit(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w, f, _ := fleettest.New(t)
		job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1"), CloudInit: &domain.CloudInit{User: "ada"}})
		w.Succeed(t, job, err)
		w.Stop()
		vm := w.VM(t, "web-1")
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.SetCloudInit(ctx, fleettest.Actor, vm.ID, fleet.SetCloudInit{CloudInit: domain.CloudInit{User: "bob"}})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			want := map[bool]string{true: "bob", false: "ada"}[job.State == domain.JobSucceeded]
			seed, _, err := w.Fleet.CloudInit(t.Context(), vm.ID)
			iso := content(t, f, "default", "web-1-seed.iso")
			if err != nil || seed.Content.CloudInit.User != want || !bytes.Contains(iso, []byte(`user: "`+want+`"`)) {
				t.Errorf("%s: the seed is %+v (%v), want %s", job.State, seed.Content.CloudInit, err, want)
			}
		})
	})
}
