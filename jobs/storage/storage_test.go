package storage_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

func dir(name string) domain.PoolSpec {
	return domain.PoolSpec{Name: name, Type: "dir", Target: "/srv/" + name, Autostart: true}
}

func gluster(name string) domain.PoolSpec {
	return domain.PoolSpec{Name: name, Type: "netfs", Source: domain.PoolSource{Hosts: []string{"nas"}, Path: "/gv", Format: "glusterfs"}}
}

func poolNames(f *hvtest.Fake) (names []string) {
	for _, p := range f.AllPools() {
		names = append(names, p.Name)
	}
	return names
}

func volumeNames(f *hvtest.Fake) (names []string) {
	for _, v := range f.AllVolumes() {
		names = append(names, v.Name)
	}
	return names
}

// two is a world of two hosts whose engine does not run; both have the shared pool when asked.
func two(t testing.TB, shared bool, vms ...fleettest.Old) (w *fleettest.World, a, b *hvtest.Fake, ids []string) {
	w = fleettest.Bare(t, reconcile.Options{})
	a, ha := w.Adopt(t, "a", hvtest.FakeOptions{}, vms...)
	b, hb := w.Adopt(t, "b", hvtest.FakeOptions{})
	if shared {
		s := gluster("sh").WithDefaults()
		for f, id := range map[*hvtest.Fake]string{a: ha.ID, b: hb.ID} {
			f.AddPool(domain.Pool{UUID: domain.NewUUID(), Name: s.Name, Type: s.Type, Target: s.Target, Source: s.Source, Identity: s.Identity(), Active: true, Autostart: true, CapacityBytes: 100 * domain.GiB, AvailableBytes: 100 * domain.GiB})
			mirrored(t, w, f, id)
		}
	}
	return w, a, b, []string{ha.ID, hb.ID}
}

func mirrored(t testing.TB, w *fleettest.World, f *hvtest.Fake, id string) {
	t.Helper()
	if err := w.Rec.Inventory(t.Context(), f, id, reconcile.Cause{}); err != nil {
		t.Fatal(err)
	}
}

func sharedID() string { return domain.PoolID("", "", gluster("sh").Identity()) }

func TestSweepCreatePool(t *testing.T) {
	for name, spec := range map[string]domain.PoolSpec{"dir": dir("new"), "shared": gluster("new"),
		"built": {Name: "new", Type: "logical", Build: true, Source: domain.PoolSource{Name: "vg0", Devices: []string{"/dev/sdb"}}}} {
		t.Run(name, func(t *testing.T) {
			jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
				w, a, b, ids := two(t, false)
				if spec.Build {
					ids = ids[:1]
				}
				return w.Swept(func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
					return f.CreatePool(ctx, fleettest.Actor, fleet.CreatePool{Spec: spec, Hosts: ids})
				}, func(t testing.TB, job domain.Job) {
					want := []string{"default"}
					if job.State == domain.JobSucceeded {
						want = append(want, "new")
					}
					if !slices.Equal(poolNames(a), want) || len(ids) == 2 && !slices.Equal(poolNames(b), want) {
						t.Errorf("pools are %v and %v", poolNames(a), poolNames(b))
					}
					for _, p := range a.AllPools() {
						if p.Name == "new" && (!p.Active || p.Autostart != spec.Autostart) {
							t.Errorf("the pool is %+v", p)
						}
					}
					all, err := w.DB.StoragePools(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					for _, p := range all {
						if p.Name == "new" && (job.State != domain.JobSucceeded || spec.Type == "netfs" && len(p.Hosts) != 2) {
							t.Errorf("the list has %+v", p)
						}
					}
				})
			})
		})
	}
}

func TestSweepPoolStateAndDelete(t *testing.T) {
	for name, c := range map[string]struct {
		ask   func(ctx context.Context, f *fleet.Fleet) (domain.Job, error)
		after func(p domain.Pool) bool // nil: the pool is gone
		data  bool
	}{
		"stop": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.ActPool(ctx, "ada", sharedID(), "stop", "")
		}, func(p domain.Pool) bool { return !p.Active }, false},
		"start": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.ActPool(ctx, "ada", sharedID(), "start", "")
		}, func(p domain.Pool) bool { return p.Active }, false},
		"refresh": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.ActPool(ctx, "ada", sharedID(), "refresh", "")
		}, func(p domain.Pool) bool { return p.Active }, false},
		"autostart": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.SetPoolAutostart(ctx, "ada", sharedID(), false, "")
		}, func(p domain.Pool) bool { return !p.Autostart }, false},
		"remove": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.DeletePool(ctx, "ada", sharedID(), fleet.DeletePool{})
		}, nil, false},
		"delete": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.DeletePool(ctx, "ada", sharedID(), fleet.DeletePool{Data: true, Confirm: "sh"})
		}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
				w, a, b, ids := two(t, true)
				a.AddVolume(domain.Volume{Pool: "sh", Name: "x.raw", Format: "raw", CapacityBytes: domain.GiB})
				mirrored(t, w, a, ids[0])
				return w.Swept(c.ask, func(t testing.TB, job domain.Job) {
					for _, f := range []*hvtest.Fake{a, b} {
						i := slices.IndexFunc(f.AllPools(), func(p domain.Pool) bool { return p.Name == "sh" })
						switch ok := job.State == domain.JobSucceeded; {
						case ok && c.after == nil:
							if i >= 0 {
								t.Error("the pool is still there")
							}
						case i < 0:
							t.Error("the pool is gone")
						case ok && !c.after(f.AllPools()[i]):
							t.Errorf("the pool is %+v", f.AllPools()[i])
						case !ok && (!f.AllPools()[i].Active || !f.AllPools()[i].Autostart):
							t.Errorf("it was not put back: %+v", f.AllPools()[i])
						}
					}
					if left := len(a.AllVolumes()); left != 1 && !(c.data && job.State == domain.JobSucceeded && left == 0) {
						t.Errorf("%d volumes are left", left)
					}
				})
			})
		})
	}
}

func TestSweepVolumes(t *testing.T) {
	id := func(name string) string { return domain.VolumeID(sharedID(), name) }
	for name, c := range map[string]struct {
		ask  func(ctx context.Context, f *fleet.Fleet) (domain.Job, error)
		want []string
		size int64 // of x.raw afterwards
	}{
		"create": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.CreateVolume(ctx, "ada", fleet.CreateVolume{Pool: sharedID(), Name: "n.qcow2", SizeBytes: domain.GiB})
		}, []string{"n.qcow2", "x.raw"}, domain.GiB},
		"layer": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.CreateVolume(ctx, "ada", fleet.CreateVolume{Pool: sharedID(), Name: "n.qcow2", Backing: id("x.raw")})
		}, []string{"n.qcow2", "x.raw"}, domain.GiB},
		"clone": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.CreateVolume(ctx, "ada", fleet.CreateVolume{Pool: sharedID(), Name: "n.raw", Source: id("x.raw"), SizeBytes: 2 * domain.GiB})
		}, []string{"n.raw", "x.raw"}, domain.GiB},
		"grow": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.ResizeVolume(ctx, "ada", id("x.raw"), fleet.ResizeVolume{SizeBytes: 2 * domain.GiB})
		}, []string{"x.raw"}, 2 * domain.GiB},
		"shrink": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.ResizeVolume(ctx, "ada", id("x.raw"), fleet.ResizeVolume{SizeBytes: domain.MiB, Shrink: true})
		}, []string{"x.raw"}, domain.MiB},
		"delete": {func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.DeleteVolume(ctx, "ada", id("x.raw"), "")
		}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
				w, a, _, ids := two(t, true)
				a.AddVolume(domain.Volume{Pool: "sh", Name: "x.raw", Format: "raw", CapacityBytes: domain.GiB})
				mirrored(t, w, a, ids[0])
				return w.Swept(c.ask, func(t testing.TB, job domain.Job) {
					want, size := []string{"x.raw"}, int64(domain.GiB)
					if job.State == domain.JobSucceeded {
						want, size = c.want, c.size
					}
					if !slices.Equal(volumeNames(a), want) {
						t.Errorf("volumes are %v", volumeNames(a))
					}
					for _, v := range a.AllVolumes() {
						if v.Name == "x.raw" && v.CapacityBytes != size {
							t.Errorf("its size is %d, want %d", v.CapacityBytes, size)
						}
						if v.Name == "n.raw" && v.CapacityBytes != 2*domain.GiB {
							t.Errorf("the copy is %+v", v)
						}
					}
				})
			})
		})
	}
}

func TestAGrowingDiskOfARunningVMGrowsThere(t *testing.T) {
	w, a, h := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	id := domain.VolumeID(domain.PoolID(h.ID, "default", ""), "web-1.qcow2")
	job, err := w.Fleet.ResizeVolume(t.Context(), "ada", id, fleet.ResizeVolume{SizeBytes: 20 * domain.GiB})
	job = w.Succeed(t, job, err)
	if a.Calls("ResizeDisk") != 1 || a.Calls("ResizeVolume") != 0 || a.AllVolumes()[0].CapacityBytes != 20*domain.GiB {
		t.Errorf("it went another way: %+v", a.AllVolumes())
	}
	if !slices.Contains(job.Locks, vm.ID) {
		t.Errorf("the VM could be stopped meanwhile: %v", job.Locks)
	}
	for what, req := range map[string]fleet.ResizeVolume{"less": {SizeBytes: domain.GiB}, "the same": {SizeBytes: 20 * domain.GiB}, "odd": {SizeBytes: 20*domain.GiB + 1}} {
		if _, err := w.Fleet.ResizeVolume(t.Context(), "ada", id, req); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := w.Fleet.ResizeVolume(t.Context(), "ada", id, fleet.ResizeVolume{SizeBytes: domain.GiB, Shrink: true}); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "web-1") {
		t.Errorf("shrinking a used disk: %v", err)
	}
}

func TestNothingThatIsNeededIsDeleted(t *testing.T) {
	w, f, h := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	pool := domain.PoolID(h.ID, "default", "")
	base := domain.VolumeID(pool, "web-1.qcow2")
	job, err := w.Fleet.CreateVolume(t.Context(), "ada", fleet.CreateVolume{Pool: pool, Name: "over.qcow2", Backing: base})
	w.Succeed(t, job, err)
	refused := func(what string, err error, names ...string) {
		t.Helper()
		if !domain.Is(err, domain.Conflict) {
			t.Errorf("%s: %v", what, err)
			return
		}
		for _, n := range names {
			if !strings.Contains(err.Error(), n) {
				t.Errorf("%s: %q does not name %s", what, err, n)
			}
		}
	}
	_, err = w.Fleet.DeleteVolume(t.Context(), "ada", base, "")
	refused("the volume", err, "web-1", "over.qcow2")
	_, err = w.Fleet.DeletePool(t.Context(), "ada", pool, fleet.DeletePool{})
	refused("the pool", err, "web-1")
	_, err = w.Fleet.DeletePool(t.Context(), "ada", pool, fleet.DeletePool{Data: true, Confirm: "default"})
	refused("the pool's data", err, "web-1")
	_, err = w.Fleet.ResizeVolume(t.Context(), "ada", base, fleet.ResizeVolume{SizeBytes: 20 * domain.GiB})
	refused("what something is built on", err, "over.qcow2")
	_, err = w.Fleet.DeleteVolumes(t.Context(), "ada", []string{base}, "")
	refused("in bulk", err)
	job, err = w.Fleet.ActVM(t.Context(), "ada", vm.ID, domain.ActStart, fleet.ActOptions{})
	w.Succeed(t, job, err)
	_, err = w.Fleet.ActPool(t.Context(), "ada", pool, "stop", "")
	refused("stopping under a running VM", err, "web-1")
	_, err = w.Fleet.CreateVolume(t.Context(), "ada", fleet.CreateVolume{Pool: pool, Name: "copy.qcow2", Source: base})
	refused("copying under a running VM", err, "web-1")
	// In bulk the free one goes, the other one is named.
	job, err = w.Fleet.DeleteVolumes(t.Context(), "ada", []string{base, domain.VolumeID(pool, "over.qcow2")}, "")
	w.Succeed(t, job, err)
	if !slices.Equal(volumeNames(f), []string{"web-1.qcow2"}) {
		t.Errorf("volumes are %v", volumeNames(f))
	}
}

// A volume that a VM took, or that something was built on, between the request and its turn stays.
func TestAVolumeThatIsTakenMeanwhileStays(t *testing.T) {
	w, a, _, ids := two(t, true)
	a.AddVolume(domain.Volume{Pool: "sh", Name: "x.raw", Format: "raw", CapacityBytes: domain.GiB})
	mirrored(t, w, a, ids[0])
	job, err := w.Fleet.DeleteVolume(t.Context(), "ada", domain.VolumeID(sharedID(), "x.raw"), "")
	if err != nil {
		t.Fatal(err)
	}
	x := a.AllVolumes()[0]
	a.AddVolume(domain.Volume{Pool: "default", Name: "over.qcow2", Format: "qcow2", Backing: x.Path, BackingFormat: "raw"})
	jobstest.Run(t, w.Engine)
	w.Undone(t, job, nil, domain.Conflict)
	if len(a.AllVolumes()) != 2 {
		t.Errorf("volumes are %v", volumeNames(a))
	}
}

func TestRefusalsNameTheField(t *testing.T) {
	w, f, h := fleettest.New(t)
	pool := domain.PoolID(h.ID, "default", "")
	job, err := w.Fleet.CreateVolume(t.Context(), "ada", fleet.CreateVolume{Pool: pool, Name: "a.qcow2", SizeBytes: domain.GiB})
	w.Succeed(t, job, err)
	a := domain.VolumeID(pool, "a.qcow2")
	field := func(what, want string, code domain.Code, err error) {
		t.Helper()
		e, ok := err.(*domain.Error)
		if !ok || e.Code != code || want != "" && (len(e.Fields) == 0 || e.Fields[0].Field != want) {
			t.Errorf("%s: %s", what, fleettest.Detail(err))
		}
	}
	make := func(c fleet.CreateVolume) error {
		if c.Pool == "" {
			c.Pool = pool
		}
		_, err := w.Fleet.CreateVolume(t.Context(), "ada", c)
		return err
	}
	field("no pool", "pool", domain.Invalid, make(fleet.CreateVolume{Pool: "pool_none", Name: "n", SizeBytes: domain.GiB}))
	field("no name", "name", domain.Invalid, make(fleet.CreateVolume{SizeBytes: domain.GiB}))
	field("a path", "name", domain.Invalid, make(fleet.CreateVolume{Name: "../n", SizeBytes: domain.GiB}))
	field("no size", "size_bytes", domain.Invalid, make(fleet.CreateVolume{Name: "n"}))
	field("a format", "format", domain.Invalid, make(fleet.CreateVolume{Name: "n", SizeBytes: domain.GiB, Format: "vmdk"}))
	field("too large", "size_bytes", domain.Exhausted, make(fleet.CreateVolume{Name: "n", SizeBytes: 600 * domain.GiB, Full: true}))
	field("both", "backing", domain.Invalid, make(fleet.CreateVolume{Name: "n", Source: a, Backing: a}))
	field("no source", "source", domain.Invalid, make(fleet.CreateVolume{Name: "n", Source: "vol_none"}))
	field("less than below", "size_bytes", domain.Invalid, make(fleet.CreateVolume{Name: "n", Backing: a, SizeBytes: domain.MiB}))
	field("full layer", "full", domain.Invalid, make(fleet.CreateVolume{Name: "n", Backing: a, Full: true}))
	field("raw layer", "format", domain.Invalid, make(fleet.CreateVolume{Name: "n", Backing: a, Format: "raw"}))

	pools := func(spec domain.PoolSpec, hosts ...string) error {
		_, err := w.Fleet.CreatePool(t.Context(), "ada", fleet.CreatePool{Spec: spec, Hosts: hosts})
		return err
	}
	field("no host", "hosts", domain.Invalid, pools(dir("x")))
	field("unknown host", "hosts", domain.Invalid, pools(dir("x"), "host_none"))
	field("taken", "name", domain.Conflict, pools(dir("default"), h.ID))
	job, err = w.Fleet.CreatePool(t.Context(), "ada", fleet.CreatePool{Spec: gluster("sh"), Hosts: []string{h.ID}})
	w.Succeed(t, job, err)
	field("storage taken", "source", domain.Conflict, pools(gluster("again"), h.ID))
	_, err = w.Fleet.DeletePool(t.Context(), "ada", sharedID(), fleet.DeletePool{Data: true, Confirm: "SH"})
	field("not typed", "confirm", domain.Invalid, err)
	job, err = w.Fleet.ActPool(t.Context(), "ada", sharedID(), "stop", "")
	w.Succeed(t, job, err)
	field("stopped", "", domain.Conflict, make(fleet.CreateVolume{Pool: sharedID(), Name: "n", SizeBytes: domain.GiB}))
	_, err = w.Fleet.ActPool(t.Context(), "ada", sharedID(), "refresh", "")
	field("stopped", "", domain.Conflict, err)
	f.SetFacts(func(x *domain.HostFacts) { x.PoolTypes = []string{"dir"} })
	if err := w.Rec.Mirror.Host(t.Context(), f, h.ID); err != nil {
		t.Fatal(err)
	}
	field("no driver", "type", domain.Unsupported, pools(domain.PoolSpec{Name: "z", Type: "zfs", Source: domain.PoolSource{Name: "tank"}}, h.ID))
}

// The host fails in the middle: what was made goes again, and what was there stays.
func TestAFullDiskIsUndoneCleanly(t *testing.T) {
	w, f, h := fleettest.New(t)
	pool := domain.PoolID(h.ID, "default", "")
	f.FailAfter("CreateVolume", domain.Errorf(domain.Conflict, "The host could not make the volume: No space left on device."), 1)
	job, err := w.Fleet.CreateVolume(t.Context(), "ada", fleet.CreateVolume{Pool: pool, Name: "n.raw", Format: "raw", SizeBytes: domain.GiB, Full: true})
	job = w.Undone(t, job, err, domain.Conflict)
	if len(f.AllVolumes()) != 0 || !strings.Contains(job.Error.Message, "No space") {
		t.Errorf("left: %v; said: %s", volumeNames(f), job.Error.Message)
	}
}

// The pool goes away on the host while a volume is asked for.
func TestAPoolThatVanishesIsSaid(t *testing.T) {
	w, a, _, ids := two(t, false)
	job, err := w.Fleet.CreateVolume(t.Context(), "ada", fleet.CreateVolume{Pool: domain.PoolID(ids[0], "default", ""), Name: "n.qcow2", SizeBytes: domain.GiB})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.StopPool(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	if err := a.UndefinePool(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	jobstest.Run(t, w.Engine)
	w.Undone(t, job, nil, domain.NotFound)
}
