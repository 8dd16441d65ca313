package hvtest

import (
	"testing"

	"novacron/domain"
	"novacron/hv"
)

// redirect points a stopped guest's disk at another file, and refuses what would pull a disk from under a guest.
func (c contract) redirect(t *testing.T, s *session) {
	v := s.defined()
	_, err := s.h.Change(s.ctx(), v.UUID, domain.VMChange{AddDisks: []domain.Disk{{Source: "/contract/a.raw", Format: "raw"}}})
	s.must(err)
	n := len(s.guest(v.UUID).Config.Disks)
	move := []hv.DiskMove{{From: "/contract/a.raw", To: "/contract/b.qcow2", Format: "qcow2"}}
	var doc string
	for i := range 2 {
		s.must(s.h.Redirect(s.ctx(), v.UUID, move))
		g := s.guest(v.UUID)
		if last := g.Config.Disks[n-1]; len(g.Config.Disks) != n || last.Source != "/contract/b.qcow2" || last.Format != "qcow2" {
			t.Fatalf("the disks are %+v", g.Config.Disks)
		}
		if i == 1 && g.XML != doc {
			t.Error("the same move again altered the definition")
		}
		doc = g.XML
	}
	s.want(domain.Conflict, s.h.Redirect(s.ctx(), v.UUID, []hv.DiskMove{{From: "/contract/none", To: "/contract/c", Format: "raw"}}), "a disk that is not there")
	s.want(domain.NotFound, s.h.Redirect(s.ctx(), domain.NewUUID(), move), "a guest that is not there")

	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{RemoveDisks: []string{s.guest(v.UUID).Config.Disks[n-1].Target}})
	s.must(err)
	disks := s.guest(v.UUID).Config.Disks
	if len(disks) == 0 {
		return
	}
	s.must(s.h.Start(s.ctx(), v.UUID))
	s.want(domain.Conflict, s.h.Redirect(s.ctx(), v.UUID, []hv.DiskMove{{From: disks[0].Source, To: "/contract/c", Format: "raw"}}), "a disk of a guest that runs")
}
