package guest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

const agentTimeout = 2 * time.Minute

// Freeze is the input of guest.freeze: the guest is thawed after Seconds, or when guest.thaw does it before.
type Freeze struct {
	On
	Seconds int `json:"seconds"`
}

type freezeLedger struct {
	Until time.Time `json:"until"`
}

func (d Deps) freezeSteps(in Freeze) []jobs.Step {
	thaw := func(ctx context.Context, r *jobs.Run) error { return d.thaw(ctx, r, in.On) }
	return []jobs.Step{{
		Name: "freeze the file systems", Timeout: agentTimeout, Undo: thaw,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if err := r.Save(ctx, freezeLedger{Until: d.Clock().Add(time.Duration(in.Seconds) * time.Second)}); err != nil {
				return err
			}
			n, err := host.FreezeFS(ctx, in.UUID)
			if err != nil {
				return err
			}
			r.Log("%s frozen.", counted(n, "file system is", "file systems are"))
			return d.told(ctx, r, in.On, true, fmt.Sprintf("The file systems of %s were frozen for at most %d s.", in.Name, in.Seconds))
		},
	}, {
		Name: "hold", Timeout: time.Duration(in.Seconds)*time.Second + agentTimeout, NoUndo: "The step before it thaws.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.hold(ctx, r, in) },
	}, {
		Name: "thaw the file systems", Timeout: agentTimeout, NoUndo: "Thawed is how the guest was.",
		Do: thaw,
	}}
}

// hold waits until the time is over, or somebody thaws the guest.
func (d Deps) hold(ctx context.Context, r *jobs.Run, in Freeze) error {
	var l freezeLedger
	if err := r.Load(&l); err != nil {
		return err
	}
	for {
		left := l.Until.Sub(d.Clock())
		if left <= 0 {
			return nil
		}
		r.Progress(100-100*left.Seconds()/float64(max(1, in.Seconds)), fmt.Sprintf("frozen, %d s left", int(left.Seconds()+1)))
		host, err := d.Hosts.Host(in.HostID)
		if err != nil {
			return nil // away: the next step waits for it, and thaws
		}
		f, err := host.GuestFacts(ctx, in.UUID)
		if err == nil && !f.Frozen {
			r.Log("Somebody thawed it before the time was over.")
			return nil
		}
		if code := domain.CodeOf(err); err != nil && code != domain.Unavailable {
			return nil // stopped or gone: there is nothing to hold
		}
		if err := wait(ctx, min(left, d.Poll)); err != nil {
			return err
		}
	}
}

// thaw lets a guest write again. One that is off, or gone, is not frozen.
func (d Deps) thaw(ctx context.Context, r *jobs.Run, on On) error {
	host, err := d.Hosts.Host(on.HostID)
	if err != nil {
		return err
	}
	n, err := host.ThawFS(ctx, on.UUID)
	switch domain.CodeOf(err) {
	case "":
	case domain.NotFound:
		return nil
	case domain.Conflict:
		if g, gerr := host.Guest(ctx, on.UUID); gerr == nil && g.State != domain.VMRunning && g.State != domain.VMPaused {
			r.Log("It is %s, so nothing is frozen.", g.State)
			return d.told(ctx, r, on, false, "")
		}
		return err
	default:
		return err
	}
	if n > 0 {
		r.Log("%s thawed.", counted(n, "file system is", "file systems are"))
	}
	return d.told(ctx, r, on, false, fmt.Sprintf("The file systems of %s were thawed.", on.Name))
}

// told writes whether a guest is frozen, so that its page shows it at once.
func (d Deps) told(ctx context.Context, r *jobs.Run, on On, frozen bool, sentence string) error {
	job := r.Job()
	err := d.DB.Write(ctx, func(tx *db.Tx) error {
		rec, err := tx.GuestRecord(on.VMID)
		if err != nil {
			return err
		}
		if !rec.AnsweredAt.IsZero() && rec.Facts.Frozen != frozen {
			rec.Facts.Frozen = frozen
			if err := tx.PutGuestRecord(on.VMID, rec); err != nil {
				return err
			}
		}
		if sentence == "" {
			return nil
		}
		return tx.Emit(domain.Event{Kind: "guest.changed", Resource: domain.Ref{Kind: "vm", ID: on.VMID, Name: on.Name}, HostID: on.HostID, JobID: job.ID, Actor: job.Actor, Message: sentence})
	})
	if domain.Is(err, domain.Conflict) || domain.Is(err, domain.NotFound) {
		return nil // the VM is gone, and its row with it
	}
	return err
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (d Deps) thawSteps(in On) []jobs.Step {
	return []jobs.Step{{Name: "thaw the file systems", Timeout: agentTimeout, NoUndo: "Thawed is how a guest should be.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.thaw(ctx, r, in) }}}
}

func (d Deps) timeSteps(in On) []jobs.Step {
	return []jobs.Step{{Name: "set the clock", Timeout: agentTimeout, NoUndo: "The clock was wrong before.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if err := host.SetGuestTime(ctx, in.UUID, d.Clock()); err != nil {
				return err
			}
			if _, err := d.look(ctx, host, in); err != nil {
				return err
			}
			return d.tell(ctx, r, in, "guest.time", "The clock of %s was set to the server's.", in.Name)
		}}}
}

// Password is the input of guest.password; the password itself waits in Secrets under Secret.
type Password struct {
	On
	User   string `json:"user"`
	Secret string `json:"secret"`
}

func (d Deps) passwordSteps(in Password) []jobs.Step {
	return []jobs.Step{{Name: "set the password", Timeout: agentTimeout, NoUndo: "Nobody but the guest knows the password that was there before.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			s, ok := d.Secrets.get(in.Secret)
			if !ok {
				return domain.Errorf(domain.Conflict, "The server was restarted before the password was set, and passwords are never written down.").WithFix("Set it again.")
			}
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			value, crypted := s.Hash, true
			if value == "" {
				value, crypted = s.Plain, false
			}
			if err := host.SetGuestPassword(ctx, in.UUID, in.User, value, crypted); err != nil {
				return err
			}
			return d.tell(ctx, r, in.On, "guest.password", "The password of the user %s in %s was set.", in.User, in.Name)
		}}}
}

// Keys is the input of guest.ssh-keys: all keys that the user will have.
type Keys struct {
	On
	User string   `json:"user"`
	Keys []string `json:"keys"`
	Add  bool     `json:"add,omitempty"` // to those that are there, instead of in their place
}

type keysLedger struct {
	Before []string `json:"before"`
	Read   bool     `json:"read"`
}

func (d Deps) keysSteps(in Keys) []jobs.Step {
	return []jobs.Step{{Name: "set the SSH keys", Timeout: agentTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			var l keysLedger
			if err := r.Load(&l); err != nil {
				return err
			}
			if !l.Read {
				l.Before, err = host.GuestKeys(ctx, in.UUID, in.User)
				if domain.Is(err, domain.Conflict) { // agents refuse to read a file that is not there
					l.Before, err = nil, nil
				}
				if err != nil {
					return err
				}
				l.Read = true
				if err := r.Save(ctx, l); err != nil {
					return err
				}
			}
			want := in.Keys
			if in.Add {
				want = slices.Clone(l.Before)
				for _, k := range in.Keys {
					if !slices.ContainsFunc(want, func(have string) bool { return sameKey(have, k) }) {
						want = append(want, k)
					}
				}
			}
			if err := host.SetGuestKeys(ctx, in.UUID, in.User, want); err != nil {
				return err
			}
			return d.tell(ctx, r, in.On, "guest.ssh-keys", "The SSH keys of the user %s in %s were set: %s.", in.User, in.Name, counted(len(want), "key", "keys"))
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			var l keysLedger
			if err := r.Load(&l); err != nil || !l.Read {
				return err
			}
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			err = host.SetGuestKeys(ctx, in.UUID, in.User, l.Before)
			if domain.Is(err, domain.NotFound) || domain.Is(err, domain.Conflict) {
				r.Log("The keys could not be put back: %s", err)
				return nil
			}
			return err
		}}}
}

// sameKey compares type and blob: comments differ.
func sameKey(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return len(x) > 1 && len(y) > 1 && x[0] == y[0] && x[1] == y[1]
}

func (d Deps) lookSteps(in On) []jobs.Step {
	return []jobs.Step{{Name: "ask the agent", Timeout: agentTimeout, NoUndo: "It only looks.", NoRetry: true,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			_, err = d.look(ctx, host, in)
			return err
		}}}
}

// look asks a guest's agent and writes down what it says, or why it says nothing.
func (d Deps) look(ctx context.Context, host hv.Host, on On) (domain.GuestRecord, error) {
	rec, answer := ask(ctx, host, on.UUID, d.Clock)
	err := d.DB.Write(ctx, func(tx *db.Tx) error { return store(tx, on, rec) })
	if err == nil {
		err = answer
	}
	return rec, err
}
