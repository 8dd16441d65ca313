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
