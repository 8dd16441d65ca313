package snapshot

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // schedules name time zones, and not every machine has them

	"github.com/robfig/cron/v3"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// Schedule is the input of snapshot.schedule: one run.
type Schedule struct {
	ID   string              `json:"schedule_id"`
	Name string              `json:"name"`
	Tier domain.ScheduleTier `json:"tier"`
	At   time.Time           `json:"at"` // when it was due
}

// Next is when a schedule is due after a time; zero when never.
func Next(s domain.SnapshotSchedule, after time.Time) (time.Time, error) {
	var next time.Time
	for _, t := range domain.ScheduleTiers {
		if s.Tier(t) == nil {
			continue
		}
		c, err := cron.ParseStandard(s.Cron(t))
		if err != nil {
			return next, domain.Errorf(domain.Internal, "The schedule %s cannot be understood: %w", s.Name, err)
		}
		if at := c.Next(after); next.IsZero() || !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return next.UTC(), nil
}

// tierDue is the rarest tier that was due from the time a run was due until now: a server that was away takes up what it missed once.
func tierDue(s domain.SnapshotSchedule, due, now time.Time) (domain.ScheduleTier, error) {
	for _, t := range domain.ScheduleTiers {
		if s.Tier(t) == nil {
			continue
		}
		c, err := cron.ParseStandard(s.Cron(t))
		if err != nil {
			return "", domain.Errorf(domain.Internal, "The schedule %s cannot be understood: %w", s.Name, err)
		}
		if at := c.Next(due.Add(-time.Second)); !at.IsZero() && !at.After(now) {
			return t, nil
		}
	}
	return Usual(s), nil
}

// Usual is the most frequent tier of a schedule: what a run by hand counts for.
func Usual(s domain.SnapshotSchedule) domain.ScheduleTier {
	for _, t := range slices.Backward(domain.ScheduleTiers) {
		if s.Tier(t) != nil {
			return t
		}
	}
	return domain.TierDaily
}

// ForRun makes the request for one run of a schedule.
func ForRun(s domain.SnapshotSchedule, tier domain.ScheduleTier, at time.Time) jobs.Request {
	return jobs.Request{
		Kind: KindSchedule, Title: fmt.Sprintf("Take the %s snapshots of the schedule %s", tier, s.Name), Resource: domain.Ref{Kind: "schedule", ID: s.ID, Name: s.Name},
		Locks: []string{s.ID}, Input: Schedule{ID: s.ID, Name: s.Name, Tier: tier, At: at},
	}
}

// Begins is the part of a run's enqueuing that notes it with the schedule, and makes the job the tenant's whose schedule it is.
func Begins(s domain.SnapshotSchedule, now, next time.Time) func(tx *db.Tx, job *domain.Job) error {
	return func(tx *db.Tx, job *domain.Job) error {
		if s.Tenant != "" {
			job.Tenant = s.Tenant
		}
		return tx.BeginSchedule(s.ID, job.ID, now, next)
	}
}

// run is what the first step hands to the others.
type run struct {
	VMs     []VM            `json:"vms"`
	Planned []planned       `json:"planned"`
	Refused []domain.Reason `json:"refused"`
}

// planned is a snapshot that is about to be taken.
type planned struct {
	Title string `json:"title"`
	Input Create `json:"input"`
}

// RunResult is what a run leaves for its caller.
type RunResult struct {
	Taken   []string        `json:"taken"`   // VMs
	Retired []string        `json:"retired"` // VMs whose old ones were deleted
	Failed  []domain.Reason `json:"failed"`
}

func (d Deps) scheduleSteps(in Schedule) []jobs.Step {
	const alone = "The job of each VM stands for itself."
	return []jobs.Step{
		{Name: "begin with each VM", NoUndo: alone, Timeout: 10 * time.Minute, Do: func(ctx context.Context, r *jobs.Run) error { return d.beginRun(ctx, r, in) }},
		{Name: "wait for the snapshots", NoUndo: alone, Timeout: longTimeout, Do: func(ctx context.Context, r *jobs.Run) error { _, err := r.WaitChildren(ctx); return err }},
		{Name: "delete what is no longer kept", NoUndo: alone, Timeout: 10 * time.Minute, Do: func(ctx context.Context, r *jobs.Run) error { return d.retire(ctx, r, in) }},
		{Name: "sum up", NoUndo: alone, Timeout: longTimeout, Do: func(ctx context.Context, r *jobs.Run) error { return d.sumUp(ctx, r, in) }},
	}
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9_]+`)

func runName(s domain.SnapshotSchedule, tier domain.ScheduleTier, at time.Time) string {
	if loc, err := time.LoadLocation(s.TimeZone); err == nil {
		at = at.In(loc)
	}
	name := strings.Trim(notInName.ReplaceAllString(s.Name, "-"), "-")
	name = strings.TrimRight(name[:min(len(name), 30)], "-")
	if name == "" {
		name = "auto"
	}
	return fmt.Sprintf("%s-%s-%s", name, tier, at.Format("20060102-1504"))
}

// Selected lists the VMs of a schedule by name.
func Selected(ctx context.Context, d *db.DB, s domain.SnapshotSchedule) ([]domain.VM, error) {
	hosts, err := d.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	var out []domain.VM
	for _, h := range hosts {
		vms, err := d.HostVMs(ctx, h.ID)
		if err != nil {
			return nil, err
		}
		for _, vm := range vms {
			if s.Takes(vm) {
				out = append(out, vm)
			}
		}
	}
	slices.SortFunc(out, func(a, b domain.VM) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return out, nil
}

func (d Deps) beginRun(ctx context.Context, r *jobs.Run, in Schedule) error {
	s, err := d.DB.Schedule(ctx, in.ID)
	if err != nil {
		return err
	}
	vms, err := Selected(ctx, d.DB, s)
	if err != nil {
		return err
	}
	var w run
	if err := r.Load(&w); err != nil {
		return err
	}
	if w.Planned == nil { // written down before the first child: when the step runs again, its own snapshots stand in the way
		w.Planned = []planned{}
		for _, vm := range vms {
			w.VMs = append(w.VMs, Ref(vm))
			req, err := ForCreate(ctx, d.DB, vm, domain.SnapshotSpec{Name: runName(s, in.Tier, in.At), Notes: fmt.Sprintf("Taken by the schedule %s (%s).", s.Name, in.Tier),
				Kind: domain.SnapshotExternal, Quiesce: s.Quiesce && vm.State == domain.VMRunning}, s.ID, in.Tier)
			if err := w.refuse(r, vm.Name, err); err != nil {
				return err
			}
			if err == nil {
				w.Planned = append(w.Planned, planned{req.Title, req.Input.(Create)})
			}
		}
		if err := r.Save(ctx, w); err != nil {
			return err
		}
	}
	for _, p := range w.Planned {
		vm := p.Input.VM
		_, err := r.Child(ctx, jobs.Request{Kind: KindCreate, Title: p.Title, Resource: domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}, Locks: []string{vm.ID}, Input: p.Input, Key: "take " + vm.ID}, counted(vm.ID))
		if err := w.refuse(r, vm.Name, err); err != nil {
			return err
		}
	}
	if len(vms) == 0 {
		r.Log("No VM is selected by the schedule any more.")
	}
	return r.Save(ctx, w)
}

// refuse notes why nothing was begun for a VM; a fault of ours is an error of the run.
func (w *run) refuse(r *jobs.Run, vm string, err error) error {
	switch domain.CodeOf(err) {
	case "":
		return nil
	case domain.Internal:
		return err
	}
	why := domain.Reason{Subject: vm, Msg: err.Error()}
	if !slices.Contains(w.Refused, why) {
		w.Refused = append(w.Refused, why)
		r.Log("%s: %s", vm, err.Error())
	}
	return nil
}

func (d Deps) retire(ctx context.Context, r *jobs.Run, in Schedule) error {
	s, err := d.DB.Schedule(ctx, in.ID)
	if domain.Is(err, domain.NotFound) {
		return nil // deleted meanwhile: what it made stays
	}
	if err != nil {
		return err
	}
	var w run
	if err := r.Load(&w); err != nil {
		return err
	}
	for _, ref := range w.VMs {
		vm, err := d.DB.VM(ctx, ref.ID)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		all, err := d.DB.Snapshots(ctx, ref.ID)
		if err != nil {
			return err
		}
		var names []string
		for _, x := range s.Surplus(in.Tier, all) {
			names = append(names, x.Name)
		}
		if len(names) == 0 {
			continue
		}
		req, err := ForDelete(vm, names)
		if err == nil {
			req.Key = "retire " + vm.ID
			_, err = r.Child(ctx, req)
		}
		if err := w.refuse(r, vm.Name, err); err != nil {
			return err
		}
	}
	return r.Save(ctx, w)
}

func (d Deps) sumUp(ctx context.Context, r *jobs.Run, in Schedule) error {
	children, err := r.WaitChildren(ctx)
	if err != nil {
		return err
	}
	var w run
	if err := r.Load(&w); err != nil {
		return err
	}
	res := RunResult{Taken: []string{}, Retired: []string{}, Failed: append([]domain.Reason{}, w.Refused...)}
	for _, c := range children {
		switch {
		case c.State != domain.JobSucceeded:
			why := "It ended as " + string(c.State) + "."
			if c.Error != nil {
				why = c.Error.Message
			}
			res.Failed = append(res.Failed, domain.Reason{Subject: c.Resource.Name, Msg: why})
		case c.Kind == KindCreate:
			res.Taken = append(res.Taken, c.Resource.Name)
		default:
			res.Retired = append(res.Retired, c.Resource.Name)
		}
	}
	words := fmt.Sprintf("%d taken", len(res.Taken))
	if n := len(res.Failed); n > 0 {
		words += fmt.Sprintf(", %d failed: %s: %s", n, res.Failed[0].Subject, res.Failed[0].Msg)
	}
	if err := d.DB.Write(ctx, func(tx *db.Tx) error {
		if err := tx.EndSchedule(in.ID, r.Job().ID, words); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "schedule.ran", Resource: domain.Ref{Kind: "schedule", ID: in.ID, Name: in.Name}, JobID: r.Job().ID, Actor: r.Job().Actor, Tenant: r.Job().Tenant,
			Message: fmt.Sprintf("The snapshot schedule %s ran: %s.", in.Name, words)})
	}); err != nil {
		return err
	}
	if err := r.Result(res); err != nil {
		return err
	}
	if len(res.Failed) == 0 {
		return nil
	}
	e := domain.Errorf(domain.Conflict, "%d of the schedule's tasks did not succeed.", len(res.Failed))
	e.Fix, e.Reasons = "Look at the reasons; the next run tries again.", res.Failed[:min(len(res.Failed), 20)]
	return e
}
