package hvtest

import (
	"testing"

	"novacron/domain"
	"novacron/hv"
)

// volume makes a volume that goes with the test.
func (s *session) volume(spec hv.VolumeSpec) domain.Volume {
	s.Helper()
	spec.Pool = s.opt.Pool
	s.dropVolume(spec.Name)
	v, err := s.h.CreateVolume(s.ctx(), spec)
	s.must(err)
	return v
}

func (s *session) dropVolume(name string) {
	s.Cleanup(func() {
		if err := s.h.DeleteVolume(s.ctx(), s.opt.Pool, name); err != nil {
			s.Errorf("deleting what the test made: %v", err)
		}
	})
}

func contractName(ext string) string { return "contract-" + domain.NewUUID()[:8] + ext }

// overlays are volumes that hold only what differs from another one, and volumes that take all of their space at once.
func (c contract) overlays(t *testing.T, s *session) {
	full := s.volume(hv.VolumeSpec{Name: contractName(".qcow2"), Format: "qcow2", SizeBytes: 4 * domain.MiB, Full: true})
	if full.CapacityBytes != 4*domain.MiB || c.opt.Driver != "TEST" && full.AllocationBytes < full.CapacityBytes {
		t.Errorf("a full volume is %+v", full)
	}
	if c.opt.Driver == "TEST" {
		return // it knows no backing images
	}
	base := s.volume(hv.VolumeSpec{Name: contractName(".raw"), Format: "raw", SizeBytes: 8 * domain.MiB})
	for _, size := range []int64{0, 16 * domain.MiB} {
		over := s.volume(hv.VolumeSpec{Name: contractName(".qcow2"), Format: "qcow2", SizeBytes: size, Backing: base.Path, BackingFormat: "raw"})
		want := max(size, base.CapacityBytes)
		if over.Backing != base.Path || over.BackingFormat != "raw" || over.CapacityBytes != want {
			t.Errorf("an overlay of %d is %+v", size, over)
		}
	}
}

func (c contract) sizes(t *testing.T, s *session) {
	if c.opt.Driver == "TEST" {
		v := s.volume(hv.VolumeSpec{Name: contractName(".raw"), Format: "raw", SizeBytes: domain.MiB})
		s.want(domain.Unsupported, s.h.ResizeVolume(s.ctx(), s.opt.Pool, v.Name, 2*domain.MiB), "ResizeVolume")
		return
	}
	for _, format := range []string{"qcow2", "raw"} {
		v := s.volume(hv.VolumeSpec{Name: contractName("." + format), Format: format, SizeBytes: 2 * domain.MiB})
		is := func(want int64) {
			t.Helper()
			got, err := s.h.Volume(s.ctx(), s.opt.Pool, v.Name)
			s.must(err)
			if got.CapacityBytes != want {
				t.Errorf("%s: its size is %d, want %d", format, got.CapacityBytes, want)
			}
		}
		for range 2 {
			s.want("", s.h.ResizeVolume(s.ctx(), s.opt.Pool, v.Name, 8*domain.MiB), "ResizeVolume")
			is(8 * domain.MiB)
		}
		s.want(domain.Conflict, s.h.ResizeVolume(s.ctx(), s.opt.Pool, v.Name, 4*domain.MiB), "ResizeVolume to less")
		s.want(domain.Conflict, s.h.ShrinkVolume(s.ctx(), s.opt.Pool, v.Name, 9*domain.MiB), "ShrinkVolume to more")
		is(8 * domain.MiB)
		for range 2 {
			s.want("", s.h.ShrinkVolume(s.ctx(), s.opt.Pool, v.Name, 4*domain.MiB), "ShrinkVolume")
			is(4 * domain.MiB)
		}
	}
	s.want(domain.NotFound, s.h.ResizeVolume(s.ctx(), s.opt.Pool, "contract-none", domain.GiB), "ResizeVolume of nothing")
}

func (c contract) diskSizes(t *testing.T, s *session) {
	v := s.spec()
	s.want(domain.NotFound, s.h.ResizeDisk(s.ctx(), v.UUID, "vda", domain.GiB), "a disk of no guest")
	vol := s.volume(hv.VolumeSpec{Name: v.Name + ".qcow2", Format: "qcow2", SizeBytes: 2 * domain.MiB})
	v.Disks = append(v.Disks, domain.Disk{Source: vol.Path, Format: "qcow2", Bus: "virtio", Target: "vdy"})
	s.forget(v.UUID)
	_, err := s.h.Define(s.ctx(), v)
	s.must(err)
	s.want(domain.Conflict, s.h.ResizeDisk(s.ctx(), v.UUID, "vdy", 4*domain.MiB), "a disk of a stopped guest")
	s.must(s.h.Start(s.ctx(), v.UUID))
	if c.opt.Driver == "TEST" {
		s.want(domain.Unsupported, s.h.ResizeDisk(s.ctx(), v.UUID, "vdy", 4*domain.MiB), "ResizeDisk")
		return
	}
	s.want(domain.NotFound, s.h.ResizeDisk(s.ctx(), v.UUID, "vdx", 4*domain.MiB), "a disk that it does not have")
	for range 2 {
		s.want("", s.h.ResizeDisk(s.ctx(), v.UUID, "vdy", 4*domain.MiB), "ResizeDisk")
	}
	s.want(domain.Conflict, s.h.ResizeDisk(s.ctx(), v.UUID, "vdy", 2*domain.MiB), "ResizeDisk to less")
	s.must(s.h.Stop(s.ctx(), v.UUID))
	if got, err := s.h.Volume(s.ctx(), s.opt.Pool, vol.Name); err != nil || got.CapacityBytes != 4*domain.MiB {
		t.Errorf("the volume is %+v, %v", got, err)
	}
}

// pools come and go, in every state twice, and never with what is in them.
func (c contract) pools(t *testing.T, s *session) {
	h, name := s.h, contractName("")
	spec := domain.PoolSpec{Name: name, Type: "dir", UUID: domain.NewUUID(), Target: t.TempDir() + "/inner/" + name}
	s.Cleanup(func() {
		s.want("", h.StopPool(s.ctx(), name), "StopPool of what the test made")
		s.want("", h.UndefinePool(s.ctx(), name), "UndefinePool of what the test made")
	})
	_, err := h.Pool(s.ctx(), name)
	s.want(domain.NotFound, err, "Pool that is not there")
	s.want(domain.NotFound, h.StartPool(s.ctx(), name), "StartPool of nothing")
	s.want("", h.StopPool(s.ctx(), name), "StopPool of nothing")
	s.want("", h.UndefinePool(s.ctx(), name), "UndefinePool of nothing")
	s.want(domain.NotFound, h.RefreshPool(s.ctx(), name), "RefreshPool of nothing")
	_, err = h.PoolDocument(s.ctx(), name)
	s.want(domain.NotFound, err, "PoolDocument of nothing")
	for range 2 {
		s.must(h.DefinePool(s.ctx(), spec))
	}
	is := func(active, auto bool) {
		t.Helper()
		p, err := h.Pool(s.ctx(), name)
		s.must(err)
		if p.Name != name || p.UUID != spec.UUID || p.Type != "dir" || p.Target != spec.Target || p.Active != active || p.Autostart != auto || p.Identity != "" {
			t.Errorf("the pool is %+v, want active %v, autostart %v", p, active, auto)
		}
	}
	is(false, false)
	twin := spec
	twin.UUID = domain.NewUUID()
	s.want(domain.Conflict, h.DefinePool(s.ctx(), twin), "a name that is taken")
	twin.Name = contractName("-twin")
	if c.opt.Driver != "TEST" {
		s.want(domain.Conflict, h.DefinePool(s.ctx(), twin), "a folder that is taken")
		s.want(domain.Conflict, h.RefreshPool(s.ctx(), name), "RefreshPool of a stopped pool")
	}
	for range 2 {
		s.must(h.StartPool(s.ctx(), name))
		is(true, false)
	}
	s.must(h.RefreshPool(s.ctx(), name))
	for _, on := range []bool{true, true, false, true} {
		s.must(h.SetPoolAutostart(s.ctx(), name, on))
		is(true, on)
	}
	v, err := h.CreateVolume(s.ctx(), hv.VolumeSpec{Pool: name, Name: "keep.raw", Format: "raw", SizeBytes: domain.MiB})
	s.must(err)
	s.want(domain.Conflict, h.UndefinePool(s.ctx(), name), "UndefinePool of an active pool")
	doc, err := h.PoolDocument(s.ctx(), name)
	s.must(err)
	for range 2 {
		s.must(h.StopPool(s.ctx(), name))
		is(false, true)
	}
	_, err = h.CreateVolume(s.ctx(), hv.VolumeSpec{Pool: name, Name: "no.raw", Format: "raw", SizeBytes: domain.MiB})
	s.want(domain.Conflict, err, "CreateVolume in a stopped pool")
	if c.opt.Driver != "TEST" {
		if removed, err := h.ClearPool(s.ctx(), name); err != nil || removed {
			t.Errorf("ClearPool took a pool that is not empty: %v, %v", removed, err)
		}
	}
	for range 2 {
		s.must(h.UndefinePool(s.ctx(), name))
		_, err = h.Pool(s.ctx(), name)
		s.want(domain.NotFound, err, "an undefined pool")
	}
	for range 2 {
		s.must(h.DefinePoolDocument(s.ctx(), doc))
	}
	is(false, false)
	s.must(h.StartPool(s.ctx(), name))
	if c.opt.Driver == "TEST" {
		return // its pools are not folders
	}
	if got, err := h.Volume(s.ctx(), name, "keep.raw"); err != nil || got.Path != v.Path {
		t.Errorf("the volume is %+v, %v", got, err)
	}
	s.must(h.DeleteVolume(s.ctx(), name, "keep.raw"))
	s.must(h.StopPool(s.ctx(), name))
	if removed, err := h.ClearPool(s.ctx(), name); err != nil || !removed {
		t.Errorf("ClearPool left an empty pool: %v, %v", removed, err)
	}
	if c.opt.Driver == "FAKE" {
		return
	}
	spec.Type, spec.Name, spec.UUID = "sheepdog", contractName(""), domain.NewUUID()
	s.want(domain.Unsupported, h.DefinePool(s.ctx(), spec), "a kind that the host does not have")
}
