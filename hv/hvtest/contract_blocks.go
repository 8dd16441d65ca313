package hvtest

import (
	"slices"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// settled waits until the work on a disk is done, or waits for a word.
func (s *session) settled(uuid, target string) hv.BlockJob {
	s.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx := s.ctx(); ; {
		b, err := s.h.BlockJob(ctx, uuid, target)
		s.must(err)
		if b.Kind == "" || b.Ready {
			return b
		}
		<-tick.C
	}
}

func (c contract) blocks(t *testing.T, s *session) {
	if c.opt.Driver == "TEST" {
		v := s.defined()
		_, err := s.h.BlockJob(s.ctx(), v.UUID, "vda")
		s.want(domain.Unsupported, err, "the work on a disk that is none")
		s.want(domain.Unsupported, s.h.AbortBlockJob(s.ctx(), v.UUID, "vda"), "ending it")
		return
	}
	overlay := func(on domain.Volume) domain.Volume {
		return s.volume(hv.VolumeSpec{Name: contractName(".qcow2"), Format: "qcow2", SizeBytes: 4 * domain.MiB, Backing: on.Path, BackingFormat: on.Format})
	}
	base := s.volume(hv.VolumeSpec{Name: contractName(".raw"), Format: "raw", SizeBytes: 4 * domain.MiB})
	mid := overlay(base)
	top := overlay(mid)
	other := s.volume(hv.VolumeSpec{Name: contractName(".qcow2"), Format: "qcow2", SizeBytes: 4 * domain.MiB})
	above := overlay(other)
	copied := s.volume(hv.VolumeSpec{Name: contractName(".qcow2"), Format: "qcow2", SizeBytes: 4 * domain.MiB})
	v := s.spec()
	v.Disks = append(slices.Clone(v.Disks), domain.Disk{Source: top.Path, Format: "qcow2", Target: "vdx", Bus: "virtio"}, domain.Disk{Source: above.Path, Format: "qcow2", Target: "vdy", Bus: "virtio"})
	s.forget(v.UUID)
	_, err := s.h.Define(s.ctx(), v)
	s.must(err)
	_, err = s.h.BlockJob(s.ctx(), v.UUID, "vdx")
	s.want(domain.Conflict, err, "the work on a disk of a stopped guest")
	s.want(domain.Conflict, s.h.PullDisk(s.ctx(), v.UUID, "vdx", "", 0), "flattening a disk of a stopped guest")
	s.must(s.h.Start(s.ctx(), v.UUID))
	_, err = s.h.BlockJob(s.ctx(), v.UUID, "vdq")
	s.want(domain.NotFound, err, "the work on no disk")
	chain := func(target string, want ...domain.Volume) {
		t.Helper()
		var paths []string
		for _, w := range want {
			paths = append(paths, w.Path)
		}
		b := s.settled(v.UUID, target)
		for late := time.Now().Add(patience); b.Kind == "" && !slices.Equal(b.Chain, paths) && time.Now().Before(late); {
			b = s.settled(v.UUID, target) // the job is gone a moment before the definition says what it did
		}
		if b.Kind != "" || !slices.Equal(b.Chain, paths) {
			t.Fatalf("%s is %+v, want the chain %v", target, b, paths)
		}
	}
	chain("vdx", top, mid, base)
	s.want(domain.Conflict, s.h.PivotDisk(s.ctx(), v.UUID, "vdx"), "turning to no copy")
	s.want("", s.h.AbortBlockJob(s.ctx(), v.UUID, "vdx"), "ending nothing")
	s.want(domain.Conflict, s.h.CommitDisk(s.ctx(), v.UUID, "vdx", other.Path, "", 0), "committing to what it does not stand on")

	s.must(s.h.CommitDisk(s.ctx(), v.UUID, "vdx", base.Path, mid.Path, 0))
	chain("vdx", top, base)
	s.must(s.h.PullDisk(s.ctx(), v.UUID, "vdx", base.Path, 0)) // it stands on it already
	chain("vdx", top, base)
	s.must(s.h.PullDisk(s.ctx(), v.UUID, "vdx", "", 0))
	chain("vdx", top)
	s.must(s.h.PullDisk(s.ctx(), v.UUID, "vdx", "", 0)) // it is flat already
	chain("vdx", top)

	for range 2 {
		s.must(s.h.CopyDisk(s.ctx(), v.UUID, "vdx", copied, 0))
	}
	if b := s.settled(v.UUID, "vdx"); b.Kind != hv.BlockCopy || !b.Ready || b.Dest != copied.Path || b.Total < 1 || b.Chain[0] != top.Path {
		t.Fatalf("a finished copy is %+v", b)
	}
	s.want(domain.Conflict, s.h.PullDisk(s.ctx(), v.UUID, "vdx", "", 0), "a second job on a disk")
	s.must(s.h.AbortBlockJob(s.ctx(), v.UUID, "vdx"))
	chain("vdx", top)
	s.must(s.h.CopyDisk(s.ctx(), v.UUID, "vdx", copied, 0))
	s.settled(v.UUID, "vdx")
	s.must(s.h.PivotDisk(s.ctx(), v.UUID, "vdx"))
	chain("vdx", copied)

	s.must(s.h.CommitDisk(s.ctx(), v.UUID, "vdy", other.Path, "", 0))
	if b := s.settled(v.UUID, "vdy"); b.Kind != hv.BlockActiveCommit || !b.Ready || b.Dest != other.Path {
		t.Fatalf("a finished commit is %+v", b)
	}
	s.must(s.h.PivotDisk(s.ctx(), v.UUID, "vdy"))
	chain("vdy", other)
	g := s.guest(v.UUID)
	for _, spec := range []domain.VMSpec{g.Config, *g.Live} {
		for _, d := range spec.Disks {
			if d.Target == "vdx" && d.Source != copied.Path || d.Target == "vdy" && d.Source != other.Path {
				t.Errorf("%s shows %s", d.Target, d.Source)
			}
		}
	}
	s.must(s.h.Stop(s.ctx(), v.UUID))

	name := contractName(".raw")
	s.dropVolume(name)
	k, err := s.h.CopyVolume(s.ctx(), c.opt.Pool, copied.Name, hv.VolumeSpec{Pool: c.opt.Pool, Name: name, Format: "raw", SizeBytes: copied.CapacityBytes})
	s.must(err)
	if k.Format != "raw" || k.CapacityBytes != copied.CapacityBytes || k.Path == "" {
		t.Errorf("copied to %+v", k)
	}
	_, err = s.h.CopyVolume(s.ctx(), c.opt.Pool, copied.Name, hv.VolumeSpec{Pool: c.opt.Pool, Name: name, Format: "raw", SizeBytes: copied.CapacityBytes})
	s.want(domain.Conflict, err, "a copy's name again")
}

func (c contract) secrets(t *testing.T, s *session) {
	id := domain.NewUUID()
	if c.opt.Driver == "TEST" {
		s.want(domain.Unsupported, s.h.SetSecret(s.ctx(), id, "contract", []byte("x")), "a secret")
		return
	}
	has := func(want bool) {
		t.Helper()
		got, err := s.h.HasSecret(s.ctx(), id)
		if err != nil || got != want {
			t.Errorf("the secret is there: %v, %v", got, err)
		}
	}
	has(false)
	s.Cleanup(func() {
		if err := s.h.RemoveSecret(s.ctx(), id); err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		s.must(s.h.SetSecret(s.ctx(), id, "contract & more", []byte("pass phrase")))
	}
	has(true)
	for _, format := range []string{"raw", "qcow2"} {
		v := s.volume(hv.VolumeSpec{Name: contractName("." + format), Format: format, SizeBytes: 4 * domain.MiB, SecretUUID: id})
		if !v.Encrypted {
			t.Errorf("an encrypted volume is %+v", v)
		}
		vm := s.spec()
		vm.Disks = append(slices.Clone(vm.Disks), domain.Disk{Source: v.Path, Format: format, Target: "vdx", Bus: "virtio", Secret: id})
		s.forget(vm.UUID)
		_, err := s.h.Define(s.ctx(), vm)
		s.must(err)
		s.must(s.h.Start(s.ctx(), vm.UUID))
		if g := s.guest(vm.UUID); g.Live == nil || g.Live.Disks[len(g.Live.Disks)-1].Secret != id {
			t.Errorf("it runs as %+v", g.Live)
		}
		s.must(s.h.Stop(s.ctx(), vm.UUID))
	}
	for range 2 {
		s.must(s.h.RemoveSecret(s.ctx(), id))
	}
	has(false)
}
