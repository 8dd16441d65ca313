package migrate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// place is where a guest was found.
type place int

const (
	onSource place = iota
	onTarget
	onBoth
	onNeither
)

// answer is what one host says of the guest.
type answer struct {
	Has    bool           `json:"has"`
	State  domain.VMState `json:"state,omitempty"`
	Reason string         `json:"reason,omitempty"`
}

func (a answer) active() bool {
	return a.Has && (a.State == domain.VMRunning || a.State == domain.VMPaused)
}

func (a answer) String() string {
	switch {
	case !a.Has:
		return "does not have it"
	case a.Reason != "":
		return fmt.Sprintf("has it, %s (%s)", a.State, a.Reason)
	}
	return fmt.Sprintf("has it, %s", a.State)
}

// sight is what both hosts say.
type sight struct {
	Source answer `json:"source"`
	Target answer `json:"target"`
}

func (s sight) place() place {
	switch {
	case s.Source.Has && s.Target.Has:
		return onBoth
	case s.Source.Has:
		return onSource
	case s.Target.Has:
		return onTarget
	}
	return onNeither
}

// postCopyBroke reports a post-copy that ended in the middle: the target's copy lacks memory that only the source's has.
func (s sight) postCopyBroke() bool {
	return s.Source.active() && s.Target.active() && strings.Contains(s.Source.Reason+s.Target.Reason, hv.PostCopyFailed)
}

// where asks both hosts.
func (d Deps) where(ctx context.Context, in Move) (s sight, err error) {
	from, to, err := d.both(in)
	if err != nil {
		return s, err
	}
	if s.Source, err = ask(ctx, from, in.UUID); err != nil {
		return s, err
	}
	s.Target, err = ask(ctx, to, in.UUID)
	return s, err
}

func ask(ctx context.Context, h hv.Host, uuid string) (answer, error) {
	g, err := h.Guest(ctx, uuid)
	if domain.Is(err, domain.NotFound) {
		return answer{}, nil
	}
	return answer{err == nil, g.State, g.Reason}, err
}

func has(ctx context.Context, h hv.Host, uuid string) (bool, error) {
	a, err := ask(ctx, h, uuid)
	return a.Has, err
}

// decision is what a person chose when both hosts' answers left it open where the guest is.
type decision string

const (
	keepSource decision = "keep-source"
	keepTarget decision = "keep-target"
)

// undecided keeps what both hosts said, for the person who has to choose, and is the error that says so.
func (d Deps) undecided(ctx context.Context, r *jobs.Run, in Move, s sight) error {
	l, err := load(r)
	if err != nil {
		return err
	}
	l.Found, l.Decision = &s, ""
	if err := r.Save(ctx, l); err != nil {
		return err
	}
	what := fmt.Sprintf("only %s has it", in.ToName)
	switch s.place() {
	case onBoth:
		what = "both hosts have it"
	case onNeither:
		what = "neither host has it"
	case onSource:
		what = fmt.Sprintf("only %s has it", in.FromName)
	}
	e := domain.Errorf(domain.Conflict, "Where %s is to be cannot be decided: %s.", in.Name, what).WithFix("Look at it on %s and on %s before doing anything.", in.FromName, in.ToName)
	e.Reasons = []domain.Reason{{Subject: in.FromName, Msg: s.Source.String()}, {Subject: in.ToName, Msg: s.Target.String()}}
	if s.postCopyBroke() {
		return e // trying again has the source send the rest
	}
	return jobs.ForPerson(e)
}

// choices are the two ways out of a move that is stuck because of where its guest is.
func choices(job domain.Job) []jobs.Choice {
	var in Move
	l := &ledger{}
	if json.Unmarshal(job.Input, &in) != nil || len(job.Data) == 0 || json.Unmarshal(job.Data, l) != nil || l.Found == nil {
		return nil
	}
	var out []jobs.Choice
	for _, c := range []struct {
		d                decision
		keep, drop       answer
		keepsAt, dropsAt string
	}{{keepSource, l.Found.Source, l.Found.Target, in.FromName, in.ToName}, {keepTarget, l.Found.Target, l.Found.Source, in.ToName, in.FromName}} {
		l.Decision = c.d
		data, err := json.Marshal(l)
		if err != nil {
			return nil
		}
		out = append(out, jobs.Choice{JobChoice: domain.JobChoice{Name: string(c.d), Label: "Keep it on " + c.keepsAt, Does: does(in.Name, c.keep, c.drop, c.keepsAt, c.dropsAt)}, Data: data})
	}
	return out
}

func does(name string, keep, drop answer, keepsAt, dropsAt string) string {
	var out string
	switch {
	case keep.Has:
		out = fmt.Sprintf("%s stays on %s as it is there (%s). ", name, keepsAt, cmp.Or(string(keep.State), "stopped"))
	case drop.active():
		return fmt.Sprintf("%s does not have %s, and %s has it %s: that one copy is never ended, so this asks both hosts again and changes nothing.", keepsAt, name, dropsAt, drop.State)
	default:
		out = fmt.Sprintf("%s is defined on %s as it was before the move, and stays stopped. ", name, keepsAt)
	}
	switch {
	case drop.active():
		out += fmt.Sprintf("Its copy on %s, which is %s, is ended as if its plug were pulled, and its definition there is removed. ", dropsAt, drop.State)
	case drop.Has:
		out += fmt.Sprintf("Its definition on %s is removed. ", dropsAt)
	}
	return out + "Nothing is started, and no disk is deleted on either host."
}

// undoDecided is decided for a job that takes back what it did: when the VM is on the target all the same, its row follows.
func (d Deps) undoDecided(ctx context.Context, r *jobs.Run, in Move, l *ledger) error {
	if err := d.decided(ctx, r, in, l); err != nil || l.Decision == keepSource {
		return err
	}
	return d.arrived(ctx, r, in)
}

// decided does what a person chose. It looks first: when the hosts say something else than what the choice was made on, it has to be made again, and a copy that
// runs is ended only while the other host has the guest too.
func (d Deps) decided(ctx context.Context, r *jobs.Run, in Move, l *ledger) error {
	from, to, err := d.both(in)
	if err != nil {
		return err
	}
	now, err := d.where(ctx, in)
	if err != nil {
		return err
	}
	keep, drop, was, wasDrop, stays, goes, at := now.Source, now.Target, l.Found.Source, l.Found.Target, from, to, in.FromName
	if l.Decision == keepTarget {
		keep, drop, was, wasDrop, stays, goes, at = now.Target, now.Source, l.Found.Target, l.Found.Source, to, from, in.ToName
	}
	switch {
	case drop.active() && (!keep.Has || keep.State != was.State || drop.State != wasDrop.State), was.Has && !keep.Has:
		r.Log("The hosts say something else now than when it was chosen to keep %s on %s.", in.Name, at)
		return d.undecided(ctx, r, in, now)
	case !keep.Has:
		if l.XML == "" {
			return domain.Errorf(domain.Conflict, "The definition of %s was not kept.", in.Name).WithFix("Define it on %s by hand, then try again.", at)
		}
		where := hv.Migration{}
		if l.Decision == keepTarget {
			where = hv.Migration{Sources: l.Sources, Networks: l.Plan.Networks, Bridges: l.Plan.Bridges}
		}
		if err := stays.Receive(ctx, l.XML, where); err != nil {
			return err
		}
		r.Log("Defined %s on %s, stopped.", in.Name, at)
	}
	if !drop.Has {
		return nil
	}
	if drop.active() {
		if err := goes.Stop(ctx, in.UUID); err != nil {
			return err
		}
	}
	if _, err := goes.Undefine(ctx, in.UUID); err != nil {
		return err
	}
	r.Log("%s was kept on %s; its other copy (it was %s) was removed.", in.Name, at, drop.State)
	return nil
}
