package hvtest

import (
	"context"
	"slices"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// Agent is what runs inside a guest of the fake and answers its host.
type Agent struct {
	Facts     domain.GuestFacts
	Keys      map[string][]string // by user
	Passwords map[string]string   // as they were sent
	Clock     time.Time           // as it was set last
	// Exec runs a command; nil: every command prints its words to standard output. A result that has not Ended goes on until it is killed
	// (a command "kill -KILL <pid>" or Windows' taskkill).
	Exec func(argv []string) hv.ExecStatus

	frozen bool
	procs  map[int64]hv.ExecStatus
	ran    [][]string
}

// SetAgent puts an agent into a guest; nil takes it out.
func (f *Fake) SetAgent(uuid string, a *Agent) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if g := f.m.guests[uuid]; g != nil {
		g.agent = a
	}
}

// Ran lists the commands that were run in a guest.
func (f *Fake) Ran(uuid string) [][]string {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if g := f.m.guests[uuid]; g != nil && g.agent != nil {
		return slices.Clone(g.agent.ran)
	}
	return nil
}

// Frozen reports whether a guest's file systems are frozen.
func (f *Fake) Frozen(uuid string) bool {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	g := f.m.guests[uuid]
	return g != nil && g.agent != nil && g.agent.frozen
}

// AgentState reads an agent under the fake's lock.
func (f *Fake) AgentState(uuid string, read func(a *Agent)) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if g := f.m.guests[uuid]; g != nil && g.agent != nil {
		read(g.agent)
	}
}

// agent runs fn with a guest's agent, as long as it is not frozen; a frozen one answers only what asks for it.
func (m *machine) agent(uuid string, whenFrozen bool) (*Agent, error) {
	g, err := m.find(uuid)
	if err != nil {
		return nil, err
	}
	switch {
	case g.state != domain.VMRunning:
		return nil, domain.Errorf(domain.Conflict, "%s is %s, so it cannot be asked through its agent.", g.name, g.state).WithFix("Start it first.")
	case !mustParse(g.live).GuestAgent:
		return nil, domain.Errorf(domain.Unsupported, "%s has no channel for a guest agent.", g.name)
	case g.agent == nil:
		return nil, domain.Errorf(domain.Unavailable, "No guest agent answers in %s.", g.name).WithFix("Install and start qemu-guest-agent inside the guest.")
	case g.agent.frozen && !whenFrozen:
		return nil, domain.Errorf(domain.Conflict, "The agent of %s refuses: its file systems are frozen.", g.name).WithFix("Thaw it first.")
	}
	return g.agent, nil
}

func (c *conn) GuestFacts(ctx context.Context, uuid string) (domain.GuestFacts, error) {
	return do(ctx, c, "GuestFacts", func(m *machine) (domain.GuestFacts, error) {
		a, err := m.agent(uuid, true)
		if err != nil {
			return domain.GuestFacts{}, err
		}
		if a.frozen {
			return domain.GuestFacts{Agent: a.Facts.Agent, Frozen: true}, nil
		}
		return a.Facts, nil
	})
}

func (c *conn) ExecGuest(ctx context.Context, uuid string, argv []string) (int64, error) {
	return do(ctx, c, "ExecGuest", func(m *machine) (int64, error) {
		a, err := m.agent(uuid, false)
		if err != nil {
			return 0, err
		}
		if len(argv) == 0 {
			return 0, domain.InvalidField("argv", "No command is given.", "a program and its arguments")
		}
		if a.procs == nil {
			a.procs = map[int64]hv.ExecStatus{}
		}
		if argv[0] == "kill" || argv[0] == "taskkill" {
			for pid, s := range a.procs {
				if !s.Ended {
					s.Ended, s.Signal = true, 9
					a.procs[pid] = s
				}
			}
		}
		a.ran = append(a.ran, slices.Clone(argv))
		pid := int64(100 + len(a.ran))
		s := hv.ExecStatus{Ended: true}
		if a.Exec != nil && argv[0] != "kill" && argv[0] != "taskkill" {
			s = a.Exec(argv)
		} else {
			for i, w := range argv {
				if i > 0 {
					s.Out = append(s.Out, ' ')
				}
				s.Out = append(s.Out, w...)
			}
			s.Out = append(s.Out, '\n')
		}
		if len(s.Out) > hv.ExecKeep {
			s.Out, s.OutMore = s.Out[:hv.ExecKeep], true
		}
		a.procs[pid] = s
		return pid, nil
	})
}

func (c *conn) ExecStatus(ctx context.Context, uuid string, pid int64) (hv.ExecStatus, error) {
	return do(ctx, c, "ExecStatus", func(m *machine) (hv.ExecStatus, error) {
		a, err := m.agent(uuid, false)
		if err != nil {
			return hv.ExecStatus{}, err
		}
		s, ok := a.procs[pid]
		if !ok {
			return s, domain.Errorf(domain.NotFound, "The guest's agent knows no process %d.", pid)
		}
		if s.Ended {
			delete(a.procs, pid)
			return s, nil
		}
		return hv.ExecStatus{}, nil
	})
}

func (c *conn) freezing(ctx context.Context, op, uuid string, want bool) (int, error) {
	return do(ctx, c, op, func(m *machine) (int, error) {
		a, err := m.agent(uuid, true)
		if err != nil || a.frozen == want {
			return 0, err
		}
		a.frozen = want
		return max(1, len(a.Facts.FileSystems)), nil
	})
}

func (c *conn) FreezeFS(ctx context.Context, uuid string) (int, error) {
	return c.freezing(ctx, "FreezeFS", uuid, true)
}

func (c *conn) ThawFS(ctx context.Context, uuid string) (int, error) {
	return c.freezing(ctx, "ThawFS", uuid, false)
}

func (c *conn) SetGuestPassword(ctx context.Context, uuid, user, password string, crypted bool) error {
	return act(ctx, c, "SetGuestPassword", func(m *machine) error {
		a, err := m.agent(uuid, false)
		if err != nil {
			return err
		}
		if a.Passwords == nil {
			a.Passwords = map[string]string{}
		}
		a.Passwords[user] = password
		return nil
	})
}

func (c *conn) GuestKeys(ctx context.Context, uuid, user string) ([]string, error) {
	return do(ctx, c, "GuestKeys", func(m *machine) ([]string, error) {
		a, err := m.agent(uuid, false)
		if err != nil {
			return nil, err
		}
		return slices.Clone(a.Keys[user]), nil
	})
}

func (c *conn) SetGuestKeys(ctx context.Context, uuid, user string, keys []string) error {
	return act(ctx, c, "SetGuestKeys", func(m *machine) error {
		a, err := m.agent(uuid, false)
		if err != nil {
			return err
		}
		if a.Keys == nil {
			a.Keys = map[string][]string{}
		}
		a.Keys[user] = slices.Clone(keys)
		return nil
	})
}

func (c *conn) SetGuestTime(ctx context.Context, uuid string, t time.Time) error {
	return act(ctx, c, "SetGuestTime", func(m *machine) error {
		a, err := m.agent(uuid, false)
		if err != nil {
			return err
		}
		a.Clock, a.Facts.Clock, a.Facts.Skew = t, t, 0
		return nil
	})
}
