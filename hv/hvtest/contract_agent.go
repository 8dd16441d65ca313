package hvtest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// agentless is what holds without any agent: each call says why it cannot be, and costs nobody the connection.
func (c contract) agentless(t *testing.T, s *session) {
	if s.opt.Driver == "TEST" {
		v := s.defined()
		s.must(s.h.Start(s.ctx(), v.UUID))
		_, err := s.h.GuestFacts(s.ctx(), v.UUID)
		s.want(domain.Unsupported, err, "facts of a guest that has no agent")
		return
	}
	v := s.defined()
	_, err := s.h.GuestFacts(s.ctx(), v.UUID)
	s.want(domain.Conflict, err, "facts of a stopped guest")
	_, err = s.h.GuestFacts(s.ctx(), domain.NewUUID())
	s.want(domain.NotFound, err, "facts of a guest that is not there")
	s.must(s.h.Start(s.ctx(), v.UUID))
	_, err = s.h.GuestFacts(s.ctx(), v.UUID)
	s.want(domain.Unavailable, err, "facts without an agent")
	_, err = s.h.ExecGuest(s.ctx(), v.UUID, []string{"true"})
	s.want(domain.Unavailable, err, "a command without an agent")
	_, err = s.h.FreezeFS(s.ctx(), v.UUID)
	s.want(domain.Unavailable, err, "freezing without an agent")
	s.want(domain.Unavailable, s.h.SetGuestPassword(s.ctx(), v.UUID, "root", "x", false), "a password without an agent")
	s.must(s.h.Ping(s.ctx()))
}

// AgentContract holds an implementation to what it must do with an agent that answers: uuid is a running guest with one, whose programs
// echo, cat and sleep are those of a Unix.
func AgentContract(t *testing.T, h hv.Host, uuid string) {
	s := &session{T: t, h: h}
	f, err := h.GuestFacts(s.ctx(), uuid)
	s.must(err)
	if f.Agent == "" || f.Hostname == "" || f.Frozen {
		t.Errorf("facts %+v", f)
	}

	run := func(argv ...string) hv.ExecStatus {
		t.Helper()
		pid, err := h.ExecGuest(s.ctx(), uuid, argv)
		s.must(err)
		for ctx := s.ctx(); ; {
			st, err := h.ExecStatus(ctx, uuid, pid)
			s.must(err)
			if st.Ended {
				_, err := h.ExecStatus(ctx, uuid, pid)
				s.want(domain.NotFound, err, "the status of a command that was told before")
				return st
			}
		}
	}
	if st := run("echo", "two words", "$HOME"); st.Code != 0 || string(st.Out) != "two words $HOME\n" {
		t.Errorf("echo gave %+v (%q): no shell may touch the words", st, st.Out)
	}
	_, err = h.ExecStatus(s.ctx(), uuid, 999999)
	s.want(domain.NotFound, err, "the status of a process that is not there")

	_, err = h.FreezeFS(s.ctx(), uuid)
	s.must(err)
	_, err = h.FreezeFS(s.ctx(), uuid)
	s.must(err)
	if f, err = h.GuestFacts(s.ctx(), uuid); err != nil || !f.Frozen {
		t.Errorf("a frozen guest says %+v, %v", f, err)
	}
	if _, err = h.ExecGuest(s.ctx(), uuid, []string{"true"}); err == nil {
		t.Error("a frozen guest runs a command")
	}
	_, err = h.ThawFS(s.ctx(), uuid)
	s.must(err)
	_, err = h.ThawFS(s.ctx(), uuid)
	s.must(err)
	if f, err = h.GuestFacts(s.ctx(), uuid); err != nil || f.Frozen {
		t.Errorf("a thawed guest says %+v, %v", f, err)
	}

	key := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1ZW5vc2RpYXNidWVub3NkaWFzYnVlbm9zZGlhc2Ex contract"
	s.must(h.SetGuestKeys(s.ctx(), uuid, "root", []string{key}))
	keys, err := h.GuestKeys(s.ctx(), uuid, "root")
	s.must(err)
	if !slices.Equal(keys, []string{key}) {
		t.Errorf("keys %q", keys)
	}
	s.must(h.SetGuestPassword(s.ctx(), uuid, "root", "$6$saltsalt$notarealhash", true))
	when := time.Now().Add(90 * time.Second).Truncate(time.Second)
	s.must(h.SetGuestTime(s.ctx(), uuid, when))
	if f, err = h.GuestFacts(s.ctx(), uuid); err != nil || f.Clock.Before(when) {
		t.Errorf("the clock was set to %s and is %s (%v)", when, f.Clock, err)
	}
	if strings.TrimSpace(f.Agent) == "" {
		t.Error("no version of the agent")
	}
}
