package hvtest

import (
	"path"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv"
)

// withDisk defines a guest with a small qcow2 disk of its own and gives the disk's path.
func (s *session) withDisk() (domain.VMSpec, string) {
	s.Helper()
	v := s.spec()
	name := v.Name + ".qcow2"
	vol, err := s.h.CreateVolume(s.ctx(), hv.VolumeSpec{Pool: s.opt.Pool, Name: name, Format: "qcow2", SizeBytes: 16 * domain.MiB})
	s.must(err)
	s.dropLater(vol.Path)
	v.Disks = append(v.Disks[:0:0], domain.Disk{Target: "vda", Device: "disk", Bus: "virtio", Source: vol.Path, Format: "qcow2"})
	s.forget(v.UUID)
	_, err = s.h.Define(s.ctx(), v)
	s.must(err)
	return v, vol.Path
}

// dropLater deletes a file with the test.
func (s *session) dropLater(file string) {
	s.Cleanup(func() {
		if v, err := s.h.VolumeByPath(s.ctx(), file); err == nil {
			if err := s.h.DeleteVolume(s.ctx(), v.Pool, v.Name); err != nil {
				s.Errorf("deleting %s: %v", file, err)
			}
		}
	})
}

// tree prints the snapshots as "parent>name", the current one with a star.
func (s *session) tree(uuid string) string {
	s.Helper()
	all, err := s.h.Snapshots(s.ctx(), uuid)
	s.must(err)
	var out []string
	for _, x := range all {
		n := x.Name
		if x.Parent != "" {
			n = x.Parent + ">" + n
		}
		if x.Current {
			n += "*"
		}
		out = append(out, n)
	}
	return strings.Join(out, " ")
}

func (s *session) treeIs(uuid, want string) {
	s.Helper()
	if got := s.tree(uuid); got != want {
		s.Errorf("the tree is %q, want %q", got, want)
	}
}

func (s *session) snap(uuid, name string) domain.Snapshot {
	s.Helper()
	all, err := s.h.Snapshots(s.ctx(), uuid)
	s.must(err)
	for _, x := range all {
		if x.Name == name {
			return x
		}
	}
	s.Fatalf("there is no snapshot %s", name)
	return domain.Snapshot{}
}

func (s *session) shows(uuid, file string) {
	s.Helper()
	g := s.guest(uuid)
	disks := g.Config.Disks
	if g.Live != nil {
		if g.Live.Disks[0].Source != file {
			s.Errorf("the running guest shows %s, want %s", g.Live.Disks[0].Source, file)
		}
	}
	if disks[0].Source != file {
		s.Errorf("the definition shows %s, want %s", disks[0].Source, file)
	}
}

func (s *session) backing(file, want string) {
	s.Helper()
	v, err := s.h.VolumeByPath(s.ctx(), file)
	s.must(err)
	if v.Backing != want {
		s.Errorf("%s is built on %q, want %q", file, v.Backing, want)
	}
	if under, err := s.h.VolumeByPath(s.ctx(), want); err == nil && v.CapacityBytes != under.CapacityBytes { // what a tenant's quota counts
		s.Errorf("%s holds %d bytes, and %d are under it", file, v.CapacityBytes, under.CapacityBytes)
	}
}

func (c contract) snapshots(t *testing.T, s *session) {
	id := domain.NewUUID()
	_, err := s.h.Snapshots(s.ctx(), id)
	s.want(domain.NotFound, err, "the snapshots of no guest")
	s.want(domain.NotFound, s.h.CreateSnapshot(s.ctx(), id, hv.SnapshotSpec{Name: "x", Kind: domain.SnapshotInternal}), "a snapshot of no guest")
	v, base := s.withDisk()
	s.treeIs(v.UUID, "")
	s.want(domain.NotFound, s.h.RevertSnapshot(s.ctx(), v.UUID, "none", nil), "going back to nothing")
	s.want("", s.h.DeleteSnapshot(s.ctx(), v.UUID, "none", false), "deleting nothing")
	inside := hv.SnapshotSpec{Name: "one", Notes: "a <note>\nof two lines", Kind: domain.SnapshotInternal}
	s.must(s.h.CreateSnapshot(s.ctx(), v.UUID, inside))
	s.want(domain.Conflict, s.h.CreateSnapshot(s.ctx(), v.UUID, inside), "a name that is taken")
	if x := s.snap(v.UUID, "one"); x.Notes != inside.Notes || x.Kind != domain.SnapshotInternal || x.Memory || x.State != domain.VMStopped || x.CreatedAt.IsZero() || !x.Current || x.XML == "" {
		t.Errorf("%+v", x)
	} else if c.opt.Driver != "TEST" && (len(x.Disks) != 1 || x.Disks[0].Base != base) {
		t.Errorf("%+v", x.Disks)
	}
	inside.Name = "two"
	s.must(s.h.CreateSnapshot(s.ctx(), v.UUID, inside))
	s.treeIs(v.UUID, "one one>two*")
	s.must(s.h.RevertSnapshot(s.ctx(), v.UUID, "one", nil))
	s.treeIs(v.UUID, "one* one>two")
	inside.Name = "zwei"
	s.must(s.h.CreateSnapshot(s.ctx(), v.UUID, inside))
	doc := s.snap(v.UUID, "zwei").XML
	s.must(s.h.DeleteSnapshot(s.ctx(), v.UUID, "zwei", true))
	s.treeIs(v.UUID, "one* one>two")
	s.must(s.h.DefineSnapshot(s.ctx(), v.UUID, doc, true))
	s.treeIs(v.UUID, "one one>two one>zwei*")
	s.must(s.h.DeleteSnapshot(s.ctx(), v.UUID, "one", false))
	s.treeIs(v.UUID, "two zwei*")
	for _, n := range []string{"two", "zwei"} {
		s.must(s.h.DeleteSnapshot(s.ctx(), v.UUID, n, false))
	}
	s.treeIs(v.UUID, "")
}

// outside is an external snapshot of vda beside its file.
func outside(v domain.VMSpec, base, name string) hv.SnapshotSpec {
	return hv.SnapshotSpec{Name: name, Kind: domain.SnapshotExternal, Disks: map[string]string{"vda": path.Join(path.Dir(base), v.Name+"-"+name+".qcow2")}}
}

func (c contract) externalSnapshots(t *testing.T, s *session) {
	if c.opt.Driver == "TEST" {
		return // libvirt's test driver has no disks
	}
	v, base := s.withDisk()
	one, two := outside(v, base, "one"), outside(v, base, "two")
	over := func(x hv.SnapshotSpec) string { return x.Disks["vda"] }
	s.dropLater(over(one))
	s.dropLater(over(two))
	s.must(s.h.CreateSnapshot(s.ctx(), v.UUID, one))
	s.shows(v.UUID, over(one))
	s.backing(over(one), base)
	s.must(s.h.Start(s.ctx(), v.UUID))
	s.must(s.h.CreateSnapshot(s.ctx(), v.UUID, two))
	s.shows(v.UUID, over(two))
	if x := s.snap(v.UUID, "two"); x.Kind != domain.SnapshotExternal || x.Memory || x.Disks[0].File != over(two) || x.Disks[0].Base != over(one) {
		t.Errorf("%+v", x)
	}
	s.treeIs(v.UUID, "one one>two*")
	// Deleting from the middle, while it runs: what it held apart goes down, and the one above is told.
	s.must(s.h.DeleteSnapshot(s.ctx(), v.UUID, "one", false))
	s.treeIs(v.UUID, "two*")
	s.backing(over(two), base)
	if x := s.snap(v.UUID, "two"); x.Disks[0].Base != base {
		t.Errorf("the snapshot above was not told: %+v", x.Disks)
	}
	// Going back: the guest must be off, and runs on the new overlay then.
	again := path.Join(path.Dir(base), v.Name+"-again.qcow2")
	s.dropLater(again)
	_, err := s.h.CreateVolume(s.ctx(), hv.VolumeSpec{Pool: c.opt.Pool, Name: path.Base(again), Format: "qcow2", SizeBytes: 16 * domain.MiB, Backing: base, BackingFormat: "qcow2"})
	s.must(err)
	files := map[string]string{"vda": again}
	s.want(domain.Conflict, s.h.RevertSnapshot(s.ctx(), v.UUID, "two", files), "going back while it runs")
	s.must(s.h.Stop(s.ctx(), v.UUID))
	for range 2 {
		s.must(s.h.RevertSnapshot(s.ctx(), v.UUID, "two", files))
		s.shows(v.UUID, again)
		s.treeIs(v.UUID, "two*")
	}
	then, err := s.h.SnapshotDefinition(s.ctx(), v.UUID, "two", nil)
	if err != nil || !strings.Contains(then, base) {
		t.Errorf("the definition of then: %v %s", err, then)
	}
	// Deleting while it is off merges too.
	old, err := s.h.VolumeByPath(s.ctx(), over(two))
	s.must(err)
	s.must(s.h.DeleteVolume(s.ctx(), old.Pool, old.Name))
	s.must(s.h.DeleteSnapshot(s.ctx(), v.UUID, "two", false))
	s.shows(v.UUID, base)
	s.treeIs(v.UUID, "")
	s.is(v.UUID, domain.VMStopped)
}

func (c contract) snapshotsWithMemory(t *testing.T, s *session) {
	if c.opt.Driver == "TEST" {
		return // libvirt's test driver keeps no memory
	}
	v, base := s.withDisk()
	s.must(s.h.Start(s.ctx(), v.UUID))
	s.must(s.h.CreateSnapshot(s.ctx(), v.UUID, hv.SnapshotSpec{Name: "inside", Kind: domain.SnapshotInternal, Memory: true}))
	if x := s.snap(v.UUID, "inside"); !x.Memory || x.State != domain.VMRunning || x.Kind != domain.SnapshotInternal {
		t.Errorf("%+v", x)
	}
	s.must(s.h.Stop(s.ctx(), v.UUID))
	s.must(s.h.RevertSnapshot(s.ctx(), v.UUID, "inside", nil))
	s.is(v.UUID, domain.VMRunning)
	apart := outside(v, base, "apart")
	apart.Memory, apart.MemoryFile = true, path.Join(path.Dir(base), v.Name+"-apart.memory")
	s.dropLater(apart.Disks["vda"])
	s.dropLater(apart.MemoryFile)
	s.must(s.h.CreateSnapshot(s.ctx(), v.UUID, apart))
	s.is(v.UUID, domain.VMRunning)
	if x := s.snap(v.UUID, "apart"); !x.Memory || x.MemoryFile != apart.MemoryFile || x.Parent != "inside" {
		t.Errorf("%+v", x)
	}
	again := path.Join(path.Dir(base), v.Name+"-again.qcow2")
	s.dropLater(again)
	_, err := s.h.CreateVolume(s.ctx(), hv.VolumeSpec{Pool: c.opt.Pool, Name: path.Base(again), Format: "qcow2", SizeBytes: 16 * domain.MiB, Backing: base, BackingFormat: "qcow2"})
	s.must(err)
	s.must(s.h.Stop(s.ctx(), v.UUID))
	for range 2 {
		s.must(s.h.RevertSnapshot(s.ctx(), v.UUID, "apart", map[string]string{"vda": again}))
		s.is(v.UUID, domain.VMRunning)
		s.shows(v.UUID, again)
	}
	s.treeIs(v.UUID, "inside inside>apart*")
	// Its parent is inside the file that stays: libvirt 9 would refuse to merge.
	s.must(s.h.DeleteSnapshot(s.ctx(), v.UUID, "apart", false))
	s.shows(v.UUID, base)
	s.treeIs(v.UUID, "inside*")
	s.must(s.h.DeleteSnapshot(s.ctx(), v.UUID, "inside", false))
	s.treeIs(v.UUID, "")
}

// snapshotsOfCopies holds that what is inside a disk is inside a copy of its bytes, and that a guest with that copy can be taken back to it.
func (c contract) snapshotsOfCopies(t *testing.T, s *session) {
	if c.opt.Driver == "TEST" {
		return // libvirt's test driver has no disks
	}
	v, base := s.withDisk()
	for _, n := range []string{"one", "two"} {
		s.must(s.h.CreateSnapshot(s.ctx(), v.UUID, hv.SnapshotSpec{Name: n, Kind: domain.SnapshotInternal}))
	}
	from, err := s.h.VolumeByPath(s.ctx(), base)
	s.must(err)
	to, err := s.h.CreateVolume(s.ctx(), hv.VolumeSpec{Pool: from.Pool, Name: v.Name + "-copy.qcow2", Format: "qcow2", SizeBytes: from.CapacityBytes})
	s.must(err)
	s.dropLater(to.Path)
	body, err := s.h.ReadVolume(s.ctx(), from.Pool, from.Name, 0, 0)
	s.must(err)
	s.must(s.h.WriteVolume(s.ctx(), to.Pool, to.Name, 0, 0, body))
	s.must(body.Close())
	id := domain.NewUUID()
	s.forget(id)
	s.must(s.h.CloneSnapshot(s.ctx(), v.UUID, "one", hv.Clone{Name: v.Name + "-copy", UUID: id, Sources: map[string]string{base: to.Path}}))
	s.want(domain.NotFound, s.h.AdoptSnapshot(s.ctx(), id, v.UUID, "none"), "adopting nothing")
	s.want(domain.NotFound, s.h.AdoptSnapshot(s.ctx(), domain.NewUUID(), v.UUID, "one"), "adopting for no guest")
	for range 2 {
		s.must(s.h.AdoptSnapshot(s.ctx(), id, v.UUID, "one"))
		s.must(s.h.RevertSnapshot(s.ctx(), id, "one", nil))
	}
	s.is(id, domain.VMStopped)
	s.shows(id, to.Path)
	if g := s.guest(id); g.Name != v.Name+"-copy" {
		t.Errorf("going back made it %s", g.Name)
	}
	s.must(s.h.AdoptSnapshot(s.ctx(), id, v.UUID, "two"))
	for range 2 { // again: what is not inside any more is no reason to fail
		for _, n := range []string{"two", "one"} {
			s.must(s.h.AdoptSnapshot(s.ctx(), id, v.UUID, n))
			s.must(s.h.DeleteSnapshot(s.ctx(), id, n, false))
		}
	}
	s.treeIs(id, "")
	s.treeIs(v.UUID, "one one>two*")
	s.must(s.h.Start(s.ctx(), id))
	s.must(s.h.Stop(s.ctx(), id))
}
