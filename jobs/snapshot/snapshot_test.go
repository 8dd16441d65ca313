package snapshot_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
	"novacron/jobs/snapshot"
)

// bench is a world with one VM and short words for what is done to it.
type bench struct {
	testing.TB
	w  *fleettest.World
	f  *hvtest.Fake
	vm domain.VM
}

func newBench(t testing.TB, start bool) *bench {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), start)
	f.WriteDisk(vm.UUID, "vda", "zero")
	return &bench{t, w, f, vm}
}

func (b *bench) take(s domain.SnapshotSpec) domain.Snapshot {
	b.Helper()
	job, err := b.w.Fleet.TakeSnapshot(b.Context(), fleettest.Actor, b.vm.ID, s, "")
	b.w.Succeed(b, job, err)
	return b.get(s.Name)
}

func (b *bench) all() []domain.Snapshot {
	b.Helper()
	all, err := b.w.DB.Snapshots(b.Context(), b.vm.ID)
	if err != nil {
		b.Fatal(err)
	}
	return all
}

func (b *bench) names() string {
	b.Helper()
	var out []string
	for _, s := range b.all() {
		n := s.Name
		if s.Parent != "" {
			n = s.Parent + ">" + n
		}
		if s.Current {
			n += "*"
		}
		out = append(out, n)
	}
	return strings.Join(out, " ")
}

func (b *bench) get(name string) domain.Snapshot {
	b.Helper()
	for _, s := range b.all() {
		if s.Name == name {
			return s
		}
	}
	b.Fatalf("there is no snapshot %s: %s", name, b.names())
	return domain.Snapshot{}
}

func (b *bench) revert(name string, safety bool) domain.Job {
	b.Helper()
	job, err := b.w.Fleet.RevertSnapshot(b.Context(), fleettest.Actor, b.vm.ID, b.get(name).ID, safety, "")
	return b.w.Succeed(b, job, err)
}

func (b *bench) remove(children string, names ...string) domain.Job {
	b.Helper()
	var ids []string
	for _, n := range names {
		ids = append(ids, b.get(n).ID)
	}
	job, err := b.w.Fleet.DeleteSnapshots(b.Context(), fleettest.Actor, b.vm.ID, ids, children, "")
	return b.w.Succeed(b, job, err)
}

func (b *bench) disk(want string) {
	b.Helper()
	if got := b.f.ReadDisk(b.vm.UUID, "vda"); got != want {
		b.Errorf("the disk reads %q, want %q", got, want)
	}
}

func (b *bench) files(want int) {
	b.Helper()
	if got := b.f.AllVolumes(); len(got) != want {
		var paths []string
		for _, v := range got {
			paths = append(paths, v.Path+" on "+v.Backing)
		}
		b.Errorf("there are %d files, want %d:\n%s", len(got), want, strings.Join(paths, "\n"))
	}
}

func (b *bench) state(want domain.VMState) {
	b.Helper()
	if vm := b.w.VM(b, b.vm.Name); vm.State != want {
		b.Errorf("it is %s, want %s", vm.State, want)
	}
}

func TestInternalThereAndBack(t *testing.T) {
	b := newBench(t, true)
	b.f.SetMemory(b.vm.UUID, "old thoughts")
	s := b.take(domain.SnapshotSpec{Name: "one", Notes: "first\nline", Memory: true})
	if s.Kind != domain.SnapshotInternal || !s.Memory || s.State != domain.VMRunning || !s.Current || s.Notes != "first\nline" || s.MadeBy != fleettest.Actor {
		t.Errorf("%+v", s)
	}
	b.f.WriteDisk(b.vm.UUID, "vda", "one")
	b.f.SetMemory(b.vm.UUID, "new thoughts")
	job := b.revert("one", true)
	b.disk("zero")
	if got := b.f.Memory(b.vm.UUID); got != "old thoughts" {
		t.Errorf("it thinks %q", got)
	}
	var res snapshot.Result
	if err := json.Unmarshal(job.Result, &res); err != nil || res.Safety == "" {
		t.Fatalf("%s", job.Result)
	}
	b.revert(res.Safety, false)
	b.disk("one")
	b.files(1)
	b.remove("keep", "one")
	b.disk("one")
	if b.names() != res.Safety+"*" {
		t.Errorf("left is %s", b.names())
	}
}

func TestWhatAnInternalSnapshotCosts(t *testing.T) {
	b := newBench(t, false)
	grows := func(to int64) {
		v := b.f.AllVolumes()[0]
		v.AllocationBytes = to
		b.f.AddVolume(v)
	}
	grows(3 * domain.MiB)
	b.take(domain.SnapshotSpec{Name: "one"})
	grows(8 * domain.MiB)
	must(t, b.f.CreateSnapshot(t.Context(), b.vm.UUID, hvSpec("by-hand")))
	b.take(domain.SnapshotSpec{Name: "two"})
	for name, want := range map[string]int64{"one": 5 * domain.MiB, "two": 0} {
		if n, known := b.get(name).GrewSince(); !known || n != want {
			t.Errorf("%s costs at most %d (%v), want %d", name, n, known, want)
		}
	}
	if n, known := b.get("by-hand").GrewSince(); known {
		t.Errorf("what was made on the host costs %d", n)
	}
}

func TestExternalTree(t *testing.T) {
	b := newBench(t, true)
	b.f.SetAgent(b.vm.UUID, &hvtest.Agent{})
	s := b.take(domain.SnapshotSpec{Name: "one", Quiesce: true})
	if s.Kind != domain.SnapshotExternal || s.Memory || !s.Quiesced || len(s.Disks) != 1 || s.Disks[0].File == "" || s.Growth() == 0 {
		t.Errorf("%+v", s)
	}
	b.f.WriteDisk(b.vm.UUID, "vda", "one")
	b.take(domain.SnapshotSpec{Name: "two"})
	b.f.WriteDisk(b.vm.UUID, "vda", "two")
	b.files(3)
	// Back to the first, keeping what is: a branch.
	job := b.revert("one", true)
	b.disk("zero")
	b.state(domain.VMRunning) // it ran, so it was started again
	var res snapshot.Result
	if err := json.Unmarshal(job.Result, &res); err != nil {
		t.Fatal(err)
	}
	if want := "one* one>two two>" + res.Safety; b.names() != want {
		t.Errorf("the tree is %s, want %s", b.names(), want)
	}
	b.f.WriteDisk(b.vm.UUID, "vda", "branch")
	b.take(domain.SnapshotSpec{Name: "three"})
	b.f.WriteDisk(b.vm.UUID, "vda", "three")
	// "one" froze what both branches are built on: it can be forgotten, but not merged.
	b.remove("keep", "one")
	b.disk("three")
	b.revert(res.Safety, false)
	b.disk("two")
	b.revert("two", false)
	b.disk("one")
	b.revert("three", false)
	b.disk("branch")
	b.f.WriteDisk(b.vm.UUID, "vda", "last")
	// The other branch goes, with its files.
	b.remove("delete", "two")
	b.disk("last")
	b.remove("keep", "three")
	b.disk("last")
	if b.names() != "" {
		t.Errorf("left is %s", b.names())
	}
	for _, v := range b.f.AllVolumes() {
		if v.Backing != "" && b.f.ReadFile(v.Path) == "BROKEN" {
			t.Errorf("%s is broken", v.Path)
		}
	}
}

func TestExternalMemory(t *testing.T) {
	b := newBench(t, true)
	b.f.SetMemory(b.vm.UUID, "old thoughts")
	s := b.take(domain.SnapshotSpec{Name: "one", Memory: true, Kind: domain.SnapshotExternal})
	if !s.Memory || s.MemoryFile == "" {
		t.Errorf("%+v", s)
	}
	b.f.WriteDisk(b.vm.UUID, "vda", "one")
	b.f.SetMemory(b.vm.UUID, "new thoughts")
	b.revert("one", false)
	b.disk("zero")
	b.state(domain.VMRunning)
	if got := b.f.Memory(b.vm.UUID); got != "old thoughts" {
		t.Errorf("it thinks %q", got)
	}
	b.files(3) // base, overlay, memory: what was written in between was not wanted
	b.remove("", "one")
	b.files(1)
	b.disk("zero")
}

func TestDeleteMergesFromTheMiddle(t *testing.T) {
	b := newBench(t, false)
	for i, n := range []string{"one", "two", "three"} {
		b.take(domain.SnapshotSpec{Name: n, Kind: domain.SnapshotExternal})
		b.f.WriteDisk(b.vm.UUID, "vda", []string{"a", "b", "c"}[i])
	}
	_, err := b.w.Fleet.DeleteSnapshots(t.Context(), fleettest.Actor, b.vm.ID, []string{b.get("two").ID}, "", "")
	if !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "three") {
		t.Errorf("it does not ask what becomes of the child: %v", err)
	}
	b.remove("keep", "two")
	b.disk("c")
	b.files(3)
	if b.names() != "one one>three*" {
		t.Errorf("%s", b.names())
	}
	b.revert("three", false)
	b.disk("b")
	b.remove("delete", "one")
	b.disk("b")
	b.files(1)
}

func TestRefusals(t *testing.T) {
	b := newBench(t, true)
	take := func(s domain.SnapshotSpec) error {
		_, err := b.w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, b.vm.ID, s, "")
		return err
	}
	want := func(what string, err error, code domain.Code, say string) {
		t.Helper()
		if !domain.Is(err, code) || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %s", what, fleettest.Detail(err))
		}
	}
	want("no name", take(domain.SnapshotSpec{}), domain.Invalid, "name")
	want("a path", take(domain.SnapshotSpec{Name: "../x"}), domain.Invalid, "name")
	want("internal without memory", take(domain.SnapshotSpec{Name: "x", Kind: domain.SnapshotInternal}), domain.Invalid, "memory")
	b.take(domain.SnapshotSpec{Name: "x"})
	want("name taken", take(domain.SnapshotSpec{Name: "X"}), domain.Conflict, "already")

	raw := b.w.Make(t, domain.VMSpec{Name: "raw", VCPUs: 1, MemoryBytes: domain.GiB, Disks: []domain.Disk{{SizeBytes: domain.GiB, Format: "raw"}}}, false)
	_, err := b.w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, raw.ID, domain.SnapshotSpec{Name: "x", Kind: domain.SnapshotInternal}, "")
	want("a raw disk", err, domain.Unsupported, "vda")
	job, err := b.w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, raw.ID, domain.SnapshotSpec{Name: "x"}, "")
	b.w.Succeed(t, job, err)
	all, err := b.w.DB.Snapshots(t.Context(), raw.ID)
	if err != nil || len(all) != 1 || all[0].Kind != domain.SnapshotExternal {
		t.Errorf("%+v %v", all, err)
	}

	release := b.f.Hang("Stop")
	defer release()
	job, err = b.w.Fleet.ActVM(t.Context(), fleettest.Actor, b.vm.ID, domain.ActStop, fleet.ActOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want("a busy VM", take(domain.SnapshotSpec{Name: "y"}), domain.Conflict, "busy")
	_, err = b.w.Fleet.RevertSnapshot(t.Context(), fleettest.Actor, b.vm.ID, b.get("x").ID, true, "")
	want("going back while busy", err, domain.Conflict, "busy")
	release()
	b.w.Succeed(t, job, nil)
}

func TestMixedKindsAreNotSpoiled(t *testing.T) {
	b := newBench(t, false)
	b.take(domain.SnapshotSpec{Name: "inside"})
	b.f.WriteDisk(b.vm.UUID, "vda", "a")
	b.take(domain.SnapshotSpec{Name: "outside", Kind: domain.SnapshotExternal})
	b.f.WriteDisk(b.vm.UUID, "vda", "b")
	for _, ask := range []func() (domain.Job, error){
		func() (domain.Job, error) {
			return b.w.Fleet.RevertSnapshot(t.Context(), fleettest.Actor, b.vm.ID, b.get("inside").ID, false, "")
		},
		func() (domain.Job, error) {
			return b.w.Fleet.DeleteSnapshots(t.Context(), fleettest.Actor, b.vm.ID, []string{b.get("inside").ID}, "keep", "")
		},
	} {
		job, err := ask()
		job = b.w.Undone(t, job, err, domain.Conflict)
		if !strings.Contains(job.Error.Message, "newer external") {
			t.Errorf("%s", job.Error.Message)
		}
	}
	b.disk("b")
	b.remove("", "outside")
	b.revert("inside", false)
	b.disk("zero")
}

func TestNoAgentIsSaid(t *testing.T) {
	b := newBench(t, true)
	job, err := b.w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, b.vm.ID, domain.SnapshotSpec{Name: "x", Quiesce: true}, "")
	job = b.w.Succeed(t, job, err)
	if s := b.get("x"); s.Quiesced || !strings.Contains(string(job.Result), "crash-consistent") {
		t.Errorf("%+v %s", s, job.Result)
	}
}

func TestFullDiskLeavesNothing(t *testing.T) {
	b := newBench(t, true)
	before, _ := fleettest.Guest(b.f, "web-1")
	b.f.FailAfter("CreateSnapshot", domain.Errorf(domain.Conflict, "No space left on device."), 1)
	job, err := b.w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, b.vm.ID, domain.SnapshotSpec{Name: "x"}, "")
	b.w.Undone(t, job, err, domain.Conflict)
	after, _ := fleettest.Guest(b.f, "web-1")
	if after.XML != before.XML || b.names() != "" {
		t.Errorf("%s\n%s\n%s", before.XML, after.XML, b.names())
	}
	b.files(1)
	b.disk("zero")
}

func TestVMFromSnapshot(t *testing.T) {
	b := newBench(t, true)
	b.take(domain.SnapshotSpec{Name: "one"})
	b.f.WriteDisk(b.vm.UUID, "vda", "one")
	job, err := b.w.Fleet.CloneSnapshot(t.Context(), fleettest.Actor, b.vm.ID, b.get("one").ID, "copy", "")
	b.w.Succeed(t, job, err)
	vm := b.w.VM(t, "copy")
	if got := b.f.ReadDisk(vm.UUID, "vda"); got != "zero" || vm.UUID == b.vm.UUID || vm.Config.NICs[0].MAC == b.vm.Config.NICs[0].MAC {
		t.Errorf("the copy reads %q: %+v", got, vm.Config)
	}
	b.disk("one")
}

func TestVMFromInsideADisk(t *testing.T) {
	for _, start := range []bool{true, false} {
		b := newBench(t, start)
		for _, n := range []string{"one", "two"} {
			b.take(domain.SnapshotSpec{Name: n, Kind: domain.SnapshotInternal, Memory: start})
			b.f.WriteDisk(b.vm.UUID, "vda", "after "+n)
		}
		job, err := b.w.Fleet.CloneSnapshot(t.Context(), fleettest.Actor, b.vm.ID, b.get("two").ID, "copy", "")
		b.w.Succeed(t, job, err)
		vm := b.w.VM(t, "copy")
		if got := b.f.ReadDisk(vm.UUID, "vda"); got != "after one" || vm.State != domain.VMStopped || vm.Config.NICs[0].MAC == b.vm.Config.NICs[0].MAC || vm.Config.Disks[0].Source == b.vm.Config.Disks[0].Source {
			t.Errorf("the copy reads %q: %s %+v", got, vm.State, vm.Config)
		}
		if left := b.f.AllSnapshots(vm.UUID); len(left) != 0 {
			t.Errorf("the copy has %+v inside", left)
		}
		b.disk("after two")
		b.files(2)
		if got := b.names(); got != "one one>two*" {
			t.Errorf("the original's tree is %s", got)
		}
		b.state(map[bool]domain.VMState{true: domain.VMRunning, false: domain.VMStopped}[start])
	}
}

func TestACopyOfWhatWasInsideMayBeTorn(t *testing.T) {
	b := newBench(t, false)
	b.take(domain.SnapshotSpec{Name: "one", Kind: domain.SnapshotInternal})
	release := b.f.Hang("ReadVolume.data")
	job, err := b.w.Fleet.CloneSnapshot(t.Context(), fleettest.Actor, b.vm.ID, b.get("one").ID, "copy", "")
	b.w.Until(t, "the disk is being read", func() bool { return b.f.Calls("ReadVolume") > 0 })
	must(t, b.f.Start(t.Context(), b.vm.UUID))
	release()
	b.w.Undone(t, job, err, domain.Conflict)
	if _, ok := b.w.Find(t, "copy"); ok {
		t.Error("there is a copy")
	}
	b.files(1)
}

func TestMadeOnTheHost(t *testing.T) {
	b := newBench(t, false)
	if err := b.f.CreateSnapshot(t.Context(), b.vm.UUID, hvSpec("by-hand")); err != nil {
		t.Fatal(err)
	}
	b.w.Until(t, "it is listed", func() bool { return b.names() == "by-hand*" })
	s := b.get("by-hand")
	if s.Notes != "from virsh" || s.MadeBy != "" {
		t.Errorf("%+v", s)
	}
	if _, err := b.w.Fleet.NoteSnapshot(t.Context(), fleettest.Actor, b.vm.ID, s.ID, "mine"); err != nil || b.get("by-hand").Notes != "mine" {
		t.Errorf("%v %+v", err, b.get("by-hand"))
	}
}

func TestLongChainsWarnOnce(t *testing.T) {
	b := newBench(t, false)
	for i := range 9 {
		b.take(domain.SnapshotSpec{Name: "s" + string(rune('0'+i)), Kind: domain.SnapshotExternal})
	}
	warned := 0
	for _, ev := range b.w.Events(t, b.vm.ID) {
		if ev.Kind == "vm.warning" {
			warned++
		}
	}
	depth, err := b.w.DB.ChainDepth(t.Context(), b.vm.ID)
	if warned != 1 || depth != 10 || err != nil {
		t.Errorf("warned %d times, the chain is %d long (%v)", warned, depth, err)
	}
}

// swept runs the sweeps over one job of a VM that has the disk "now" on top of the snapshots that prepare took.
func swept(t *testing.T, prepare func(t testing.TB, f *hvtest.Fake, uuid string), ask func(ctx context.Context, front *fleet.Fleet, vm domain.VM, all []domain.Snapshot) (domain.Job, error),
	check func(t testing.TB, f *hvtest.Fake, vm domain.VM, job domain.Job)) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, h := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: true})
		vm := w.VM(t, "web-1")
		prepare(t, f, vm.UUID)
		for _, look := range []func() error{
			func() error { return w.Rec.Mirror.Inventory(t.Context(), f, h.ID, reconcile.Cause{}) },
			func() error {
				_, err := w.Rec.Mirror.Guest(t.Context(), f, h.ID, vm.UUID, reconcile.Cause{})
				return err
			},
			func() error {
				_, err := w.Rec.Mirror.Snapshots(t.Context(), f, h.ID, vm.UUID, reconcile.Cause{})
				return err
			},
		} {
			if err := look(); err != nil {
				t.Fatal(err)
			}
		}
		vm = w.VM(t, "web-1")
		all, err := w.DB.Snapshots(t.Context(), vm.ID)
		if err != nil {
			t.Fatal(err)
		}
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) { return ask(ctx, front, vm, all) }, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			check(t, f, vm, job)
			for _, v := range f.AllVolumes() {
				if f.ReadFile(v.Path) == "BROKEN" {
					t.Errorf("%s: %s lost what it is built on", job.State, v.Path)
				}
			}
		})
	})
}

func tree(f *hvtest.Fake, uuid string) string {
	var out []string
	for _, s := range f.AllSnapshots(uuid) {
		n := s.Name
		if s.Current {
			n += "*"
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestALinkedCloneIsRefusedWhileThereAreSnapshots(t *testing.T) {
	for _, kind := range []domain.SnapshotKind{domain.SnapshotInternal, domain.SnapshotExternal} {
		b := newBench(t, false)
		b.take(domain.SnapshotSpec{Name: "before", Kind: kind})
		clone := func(linked bool, name string) (domain.Job, error) {
			return b.w.Fleet.CloneVM(t.Context(), fleettest.Actor, b.vm.ID, fleet.CloneVM{Name: name, Linked: linked})
		}
		_, err := clone(true, "web-2")
		if e, ok := err.(*domain.Error); !ok || e.Code != domain.Conflict || !strings.Contains(e.Msg, "before") || !strings.Contains(e.Fix, "full clone") {
			t.Errorf("%s: %v", kind, err)
		}
		b.remove(fleet.ChildrenKeep, "before")
		job, err := clone(true, "web-2")
		b.w.Succeed(t, job, err)
	}
}
