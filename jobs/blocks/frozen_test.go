package blocks_test

import (
	"bytes"
	"strings"
	"testing"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

// freeze writes a volume down as what linked clones are built on.
func freeze(t testing.TB, w *fleettest.World, v domain.Volume) {
	t.Helper()
	err := w.DB.Write(t.Context(), func(tx *db.Tx) error {
		return tx.InsertBaseDisk(domain.BaseDisk{ID: "base_1", HostID: v.HostID, PoolID: v.PoolID, Pool: v.Pool, Volume: v.Name, Path: v.Path, Format: v.Format, OfVM: "golden"})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What linked clones are built on is not written to and does not go, whichever way it is asked.
func TestFrozenVolumesStayAsTheyAre(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	w.Run(t)
	f, h, vm := chained(t, w, true)
	f.AddVolume(domain.Volume{Pool: "default", Name: "frozen.raw", Format: "raw", CapacityBytes: 2 * domain.MiB})
	f.SetContent("default", "frozen.raw", bytes.Repeat([]byte{7}, 1<<20))
	refresh(t, w, f, h.ID)
	frozen := volume(t, w, "frozen.raw")
	freeze(t, w, frozen)
	ctx, a := t.Context(), fleettest.Actor
	_, _, upload := write(w, ctx, frozen, 0, []byte("x"), 1, "")
	for what, err := range map[string]error{
		"attaching":     second(w.Fleet.AttachDisk(ctx, a, vm.ID, frozen.ID, domain.Disk{}, "")),
		"sharing":       second(w.Fleet.AttachDisk(ctx, a, vm.ID, frozen.ID, domain.Disk{Shareable: true}, "")),
		"changing a VM": second(w.Fleet.ChangeVM(ctx, a, vm.ID, 0, domain.VMChange{AddDisks: []domain.Disk{{Source: frozen.Path}}}, "")),
		"growing":       second(w.Fleet.ResizeVolume(ctx, a, frozen.ID, fleet.ResizeVolume{SizeBytes: domain.GiB})),
		"shrinking":     second(w.Fleet.ResizeVolume(ctx, a, frozen.ID, fleet.ResizeVolume{SizeBytes: domain.MiB, Shrink: true})),
		"uploading":     upload,
		"moving":        second(w.Fleet.MoveVolume(ctx, a, frozen.ID, fleet.MoveVolume{Pool: "fast"})),
		"its pool":      second(w.Fleet.DeletePool(ctx, a, frozen.PoolID, fleet.DeletePool{Data: true, Confirm: "default"})),
	} {
		if !domain.Is(err, domain.Conflict) && !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		} else if text := fleettest.Detail(err); what != "its pool" && !strings.Contains(text, "golden") && !strings.Contains(text, "linked clones") {
			t.Errorf("%s does not say why: %s", what, text)
		}
	}
	// It goes only when nothing is built on it.
	f.AddVolume(domain.Volume{Pool: "default", Name: "clone.qcow2", Format: "qcow2", CapacityBytes: 2 * domain.MiB, Backing: frozen.Path, BackingFormat: "raw"})
	refresh(t, w, f, h.ID)
	for _, err := range []error{second(w.Fleet.DeleteVolume(ctx, a, frozen.ID, "")), second(w.Fleet.DeleteVolumes(ctx, a, []string{frozen.ID}, ""))} {
		if text := fleettest.Detail(err); !domain.Is(err, domain.Conflict) || !strings.Contains(text, "clone.qcow2") {
			t.Errorf("deleting: %v", err)
		}
	}
	if err := f.DeleteVolume(ctx, "default", "clone.qcow2"); err != nil {
		t.Fatal(err)
	}
	refresh(t, w, f, h.ID)
	if f.Calls("WriteVolume")+f.Calls("ClearVolume")+f.Calls("ResizeVolume") != 0 || !bytes.Equal(f.Content("default", "frozen.raw"), bytes.Repeat([]byte{7}, 1<<20)) {
		t.Error("it was written to")
	}
	// To read it, and to copy it, harms nobody.
	if r, err := w.Fleet.Content().Read(ctx, frozen.ID, 0, 10); err != nil {
		t.Error(err)
	} else {
		r.Close()
	}
	job, err := w.Fleet.MoveVolume(ctx, a, frozen.ID, fleet.MoveVolume{Pool: "fast", Keep: true})
	w.Succeed(t, job, err)
	if !strings.Contains(names(f), "default/frozen.raw") || !strings.Contains(names(f), "fast/frozen.raw") {
		t.Error(names(f))
	}
}

// A disk is not committed into an image that linked clones are built on, though nobody else has it now.
func TestAFrozenBaseTakesNoCommit(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	w.Run(t)
	_, _, vm := chained(t, w, true)
	freeze(t, w, volume(t, w, "mid.qcow2"))
	for what, err := range map[string]error{
		"into it":      second(w.Fleet.CommitDisk(t.Context(), fleettest.Actor, vm.ID, "vda", "", "", "")),
		"away with it": second(w.Fleet.CommitDisk(t.Context(), fleettest.Actor, vm.ID, "vda", "/var/lib/libvirt/images/base.raw", "/var/lib/libvirt/images/mid.qcow2", "")),
	} {
		if !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "golden") {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What stands on it may be made flat: that only reads it, and it stays.
	job, err := w.Fleet.FlattenDisk(t.Context(), fleettest.Actor, vm.ID, "vda", "", "")
	w.Succeed(t, job, err)
	if volume(t, w, "mid.qcow2").Name == "" {
		t.Error("it is gone")
	}
}

// A disk that is detached with its volume goes as far as nobody else needs the volume: the image library counts.
func TestADetachedDiskThatIsKeptAsABaseStays(t *testing.T) {
	w, f, h := fleettest.New(t)
	f.AddVolume(domain.Volume{Pool: "default", Name: "data.raw", Format: "raw", CapacityBytes: domain.GiB})
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	refresh(t, w, f, h.ID)
	data := volume(t, w, "data.raw")
	job, err := w.Fleet.AttachDisk(t.Context(), fleettest.Actor, vm.ID, data.ID, domain.Disk{}, "")
	w.Succeed(t, job, err)
	freeze(t, w, data)
	if _, err := w.Fleet.DetachDisk(t.Context(), fleettest.Actor, vm.ID, "vdb", true, false, ""); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "linked clones") {
		t.Error(err)
	}
	job, err = w.Fleet.DetachDisk(t.Context(), fleettest.Actor, vm.ID, "vdb", false, false, "")
	w.Succeed(t, job, err)
}

// It was free when the job was asked for and is frozen when its turn comes: nothing is written, and above all nothing is tidied away.
func TestAVolumeThatIsFrozenMeanwhileStays(t *testing.T) {
	for what, ask := range map[string]func(w *fleettest.World, v domain.Volume) (domain.Job, error){
		"upload": func(w *fleettest.World, v domain.Volume) (domain.Job, error) {
			return w.Fleet.Content().Begin(t.Context(), fleettest.Actor, v.ID, fleet.Upload{Total: 10})
		},
		"move": func(w *fleettest.World, v domain.Volume) (domain.Job, error) {
			return w.Fleet.MoveVolume(t.Context(), fleettest.Actor, v.ID, fleet.MoveVolume{Pool: "fast"})
		},
		"resize": func(w *fleettest.World, v domain.Volume) (domain.Job, error) {
			return w.Fleet.ResizeVolume(t.Context(), fleettest.Actor, v.ID, fleet.ResizeVolume{SizeBytes: domain.GiB})
		},
		"delete": func(w *fleettest.World, v domain.Volume) (domain.Job, error) {
			return w.Fleet.DeleteVolume(t.Context(), fleettest.Actor, v.ID, "")
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := fleettest.Bare(t, reconcile.Options{})
			f, h, _ := chained(t, w, false)
			f.AddVolume(domain.Volume{Pool: "default", Name: "v.raw", Format: "raw", CapacityBytes: domain.MiB})
			f.SetContent("default", "v.raw", bytes.Repeat([]byte{7}, 1<<20))
			refresh(t, w, f, h.ID)
			v := volume(t, w, "v.raw")
			job, err := ask(w, v)
			if err != nil {
				t.Fatal(err)
			}
			freeze(t, w, v)
			f.AddVolume(domain.Volume{Pool: "default", Name: "clone.qcow2", Format: "qcow2", CapacityBytes: domain.MiB, Backing: v.Path, BackingFormat: "raw"})
			jobstest.Run(t, w.Engine)
			w.Undone(t, job, nil, domain.Conflict)
			if !bytes.Equal(f.Content("default", "v.raw"), bytes.Repeat([]byte{7}, 1<<20)) || f.Calls("DeleteVolume")+f.Calls("ClearVolume")+f.Calls("ResizeVolume") != 0 {
				t.Errorf("it was touched: %s", names(f))
			}
		})
	}
}
