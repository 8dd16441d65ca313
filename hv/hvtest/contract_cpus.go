package hvtest

import (
	"testing"

	"novacron/domain"
)

// cpus finds a processor that several have, and compares.
func (c contract) cpus(t *testing.T, s *session) {
	_, err := s.h.GuestCPU(s.ctx(), domain.NewUUID())
	s.want(domain.NotFound, err, "the processor of no guest")
	accel := domain.AccelTCG
	own, err := s.h.HostCPU(s.ctx(), accel)
	if c.opt.Driver == "TEST" {
		s.want(domain.Unsupported, err, "what guests of the test driver can have")
		return
	}
	s.must(err)
	if own.Model == "" {
		t.Fatalf("it has no name: %+v", own)
	}
	_, err = s.h.BaselineCPU(s.ctx(), accel, nil)
	s.want(domain.Invalid, err, "what none have in common")
	fits := func(what string, cpu domain.CPUModel) {
		t.Helper()
		match, err := s.h.CompareCPU(s.ctx(), accel, cpu)
		s.must(err)
		if !match.Fits() {
			t.Errorf("%s is %s: %s", what, match, cpu.Describe())
		}
	}
	same, err := s.h.BaselineCPU(s.ctx(), accel, []domain.CPUModel{own, own})
	s.must(err)
	fits("what the host has in common with itself", same)
	poor, err := s.h.BaselineCPU(s.ctx(), accel, []domain.CPUModel{own, {Model: "qemu64"}})
	s.must(err)
	if poor.Model == "" {
		t.Errorf("what it has in common with a poor one: %+v", poor)
	}
	fits("what it has in common with a poor one", poor)
	if match, err := s.h.CompareCPU(s.ctx(), accel, domain.CPUModel{Model: "contract-none"}); err != nil || match != domain.CPUIncompatible {
		t.Errorf("a processor that does not exist is %q (%v)", match, err)
	}
	_, err = s.h.CompareCPU(s.ctx(), accel, domain.CPUModel{})
	if c.opt.Driver == "QEMU" {
		s.want(domain.Invalid, err, "a processor without a name")
	}
	// A guest that is given it has it, and says so while it runs.
	v := s.defined()
	_, err = s.h.Change(s.ctx(), v.UUID, poor.Change())
	s.must(err)
	if g := s.guest(v.UUID); g.Config.CPU != poor.Model {
		t.Errorf("it has the processor %s, want %s", g.Config.CPU, poor.Model)
	}
	s.must(s.h.Start(s.ctx(), v.UUID))
	runs, err := s.h.GuestCPU(s.ctx(), v.UUID)
	if err != nil || runs.Model == "" {
		t.Fatalf("it runs with %+v (%v)", runs, err)
	}
	fits("what a guest has that runs there", runs)
	if g := s.guest(v.UUID); len(domain.Diff(*g.Live, g.Config)) != 0 {
		t.Errorf("pending: %+v", domain.Diff(*g.Live, g.Config))
	}
}
