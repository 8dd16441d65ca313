// Package migrate moves VMs between hosts: live, daemon to daemon, or cold, when they are stopped.
//
// The steps are reserve, check, prepare the target, move, commit, clean the source. What is never lost sight of is where the guest is: before anything is
// undone or cleaned, both hosts are asked. A guest that only the source has was not moved, and what was prepared is taken back. One that only the target
// has was moved, whatever was answered, and the job goes on. When both or neither have it, nothing is touched and a person decides (the job is
// stuck). Only the daemons know the point of no return, so a person may cancel while the guest moves, and a migration that ends while it is being cancelled
// counts by where the guest is.
//
// A live migration goes on in the daemons when NovaCron is killed: the step that is entered again finds it and watches it.
//
// It is not for judging whether a move is possible (domain/preflight) or how it will go (domain/forecast); jobs/fleet asks those.
package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/preflight"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/cpus"
	"novacron/jobs/reconcile"
)

// Kinds of job.
const (
	KindMove    = "vm.migrate"
	KindMeasure = "vm.measure"
)

// Deps is what the steps work with.
type Deps struct {
	DB     *db.DB
	Hosts  hv.Fleet
	Mirror *reconcile.Mirror
	Clock  func() time.Time
	// Look answers anew whether the VM may move and how it will go, just before it does; memory is nil when it could not be measured.
	Look func(ctx context.Context, in Move, memory *hv.GuestMemory) (preflight.Plan, *domain.MigrationForecast, error)
	// Watch is how often a migration under way is looked at; 0: every 500 ms.
	Watch time.Duration
}

// Move is the input of vm.migrate.
type Move struct {
	VMID     string                 `json:"vm_id"`
	UUID     string                 `json:"uuid"`
	Name     string                 `json:"name"`
	FromID   string                 `json:"from_id"`
	FromName string                 `json:"from_name"`
	ToID     string                 `json:"to_id"`
	ToName   string                 `json:"to_name"`
	Mode     domain.MigrationMode   `json:"mode"` // live or cold
	Disks    map[string]string      `json:"disks,omitempty"`
	Networks map[string]string      `json:"networks,omitempty"`
	Policy   domain.MigrationPolicy `json:"policy"`
	CPU      domain.CPUMatch        `json:"cpu,omitempty"`    // what the target says to the processor that the VM runs with; empty: it is asked before the VM moves
	Memory   *hv.GuestMemory        `json:"memory,omitempty"` // measured just before it was asked for; nil: it is measured before it moves
}

// Measure is the input of vm.measure, a look at how much memory a guest uses and how fast it writes to it. The result is an hv.GuestMemory.
type Measure struct {
	HostID string        `json:"host_id"`
	UUID   string        `json:"uuid"`
	Name   string        `json:"name"`
	Window time.Duration `json:"window"`
}

// Result is what a migration leaves for whoever asked.
type Result struct {
	VMID     string                    `json:"vm_id"`
	HostID   string                    `json:"host_id"`
	Forecast *domain.MigrationForecast `json:"forecast,omitempty"`
	Figures  *domain.MigrationFigures  `json:"figures,omitempty"`
}

const (
	checkTimeout = 2 * time.Minute
	moveTimeout  = 24 * time.Hour
	help         = "Both hosts were asked, and what they said is above. Try it again to have them asked again, or choose on which of them the VM is to be; each button says what it will do. Letting go leaves both hosts as they are."
)

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	if d.Watch == 0 {
		d.Watch = 500 * time.Millisecond
	}
	return []jobs.Kind{
		{Name: KindMove, Steps: func(raw json.RawMessage) ([]jobs.Step, error) {
			var in Move
			if err := decode(raw, &in); err != nil {
				return nil, err
			}
			if in.Mode == domain.MigrateCold {
				return d.coldSteps(in), nil
			}
			return d.liveSteps(in), nil
		}, StuckHelp: help, Choices: choices},
		{Name: KindTune, StuckHelp: "Let the job go: the migration itself goes on.", Steps: func(raw json.RawMessage) ([]jobs.Step, error) {
			var in Tune
			if err := decode(raw, &in); err != nil {
				return nil, err
			}
			return d.tuneSteps(in), nil
		}},
		{Name: KindMeasure, Read: true, StuckHelp: "Let the job go.", Steps: func(raw json.RawMessage) ([]jobs.Step, error) {
			var in Measure
			if err := decode(raw, &in); err != nil {
				return nil, err
			}
			return []jobs.Step{{Name: "measure", NoUndo: "It only looks.", NoRetry: true, Timeout: time.Minute, Do: func(ctx context.Context, r *jobs.Run) error {
				host, err := d.Hosts.Host(in.HostID)
				if err != nil {
					return err
				}
				m, err := host.GuestMemory(ctx, in.UUID, in.Window)
				if err != nil {
					return err
				}
				return r.Result(m)
			}}}, nil
		}},
	}
}

func decode(raw json.RawMessage, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
	}
	return nil
}

// ledger is what a job remembers, written before it does it.
type ledger struct {
	Plan      preflight.Plan            `json:"plan"`
	Sources   map[string]string         `json:"sources,omitempty"` // old path -> new path
	Made      []made                    `json:"made,omitempty"`    // volumes of the target that this job makes
	Copies    map[string]*copied        `json:"copies,omitempty"`  // how far each disk of a stopped VM is copied
	Autostart bool                      `json:"autostart"`
	XML       string                    `json:"xml,omitempty"` // the definition before the move
	Asked     bool                      `json:"asked"`         // the migration was asked for
	Forecast  *domain.MigrationForecast `json:"forecast,omitempty"`
	Started   time.Time                 `json:"started"`
	Throttle  int                       `json:"throttle,omitempty"` // percent by which the guest was slowed at most, as far as was seen
	Found     *sight                    `json:"found,omitempty"`    // what both hosts said when it could not be decided where the guest is
	Decision  decision                  `json:"decision,omitempty"` // what a person chose then
}

type made struct {
	Pool   string `json:"pool"`
	Volume string `json:"volume"`
}

func load(r *jobs.Run) (*ledger, error) {
	l := &ledger{}
	return l, r.Load(l)
}

func cause(r *jobs.Run, format string, args ...any) reconcile.Cause {
	c := reconcile.Cause{Actor: r.Job().Actor, JobID: r.Job().ID}
	if format != "" {
		c.Message = fmt.Sprintf(format, args...)
	}
	return c
}

// reserve says in the database where the VM is going, so that the target's mirror does not take it for another VM.
func (d Deps) reserve(in Move) jobs.Step {
	return jobs.Step{
		Name: "reserve",
		Do:   func(ctx context.Context, r *jobs.Run) error { return d.turn(ctx, r, in) },
		Undo: func(ctx context.Context, r *jobs.Run) error {
			return d.DB.Write(ctx, func(tx *db.Tx) error {
				if err := tx.SetVMMoving(in.VMID, ""); err != nil && !domain.Is(err, domain.NotFound) {
					return err
				}
				return tx.EndMigration(r.Job().ID, string(domain.JobUndone), nil)
			})
		},
	}
}

func (d Deps) check(in Move) jobs.Step {
	return jobs.Step{Name: "check", Timeout: checkTimeout, NoUndo: "It only looks.", Do: func(ctx context.Context, r *jobs.Run) error {
		from, _, err := d.both(in)
		if err != nil {
			return err
		}
		g, err := from.Guest(ctx, in.UUID)
		if err != nil {
			return err
		}
		memory := in.Memory
		switch {
		case memory != nil || in.Mode != domain.MigrateLive:
		case g.State == domain.VMRunning:
			memory = measure(ctx, r, from, in)
		default:
			memory = &hv.GuestMemory{} // it stands still
		}
		if in.CPU == "" {
			in.CPU = d.compare(ctx, r, in, g)
		}
		plan, forecast, err := d.Look(ctx, in, memory)
		if err != nil {
			return err
		}
		for _, c := range plan.Checks {
			if c.Level != domain.CheckPass {
				r.Log("%s: %s", c.Name, c.Message)
			}
		}
		if !plan.Allowed() {
			return Refused(in.Name, in.ToName, plan.Checks)
		}
		l, err := load(r)
		if err != nil {
			return err
		}
		l.Plan, l.Autostart, l.XML, l.Forecast = plan, g.Autostart, g.XML, forecast
		if err := r.Save(ctx, l); err != nil {
			return err
		}
		rate := int64(-1)
		if memory != nil {
			rate = memory.DirtyRate
		}
		if forecast != nil {
			r.Log("Forecast: %s, %.1f s (%.1f to %.1f), a pause of %.0f ms.", forecast.Method, forecast.Seconds.P50, forecast.Seconds.P05, forecast.Seconds.P95, forecast.DowntimeMS.P50)
		}
		return d.DB.Write(ctx, func(tx *db.Tx) error {
			for _, disk := range plan.Disks {
				if disk.BaseVersion == "" {
					continue
				}
				if err := tx.HoldImage(r.Job().ID, disk.BaseVersion); err != nil { // the target's copy is not collected meanwhile
					return err
				}
			}
			return tx.SetMigrationForecast(r.Job().ID, rate, forecast)
		})
	}}
}

// compare asks the target for the processor that the guest runs with; nothing is known when it cannot tell.
func (d Deps) compare(ctx context.Context, r *jobs.Run, in Move, g domain.Guest) domain.CPUMatch {
	if in.Mode != domain.MigrateLive || g.Live == nil || g.Live.Accel != domain.AccelKVM {
		return "" // what is emulated is so everywhere
	}
	found, err := cpus.Matches(ctx, d.Hosts, cpus.Compare{HostID: in.FromID, UUID: in.UUID, Accel: g.Live.Accel, To: []cpus.Host{{ID: in.ToID, Name: in.ToName}}})
	if err != nil {
		r.Log("The processors could not be compared: %s", err.Error())
	}
	return found[in.ToID]
}

// measureWindow is how long a guest's writing is watched before it moves.
const measureWindow = time.Second

// measure gives nil when the guest cannot be measured: the forecast is wider then, and the move is none the worse.
func measure(ctx context.Context, r *jobs.Run, from hv.Host, in Move) *hv.GuestMemory {
	m, err := from.GuestMemory(ctx, in.UUID, measureWindow)
	if err != nil {
		r.Log("How fast the guest writes to its memory could not be measured: %s", err.Error())
		return nil
	}
	return &m
}

// Refused is the Conflict of a move that would fail, with every failed check as a reason.
func Refused(name, host string, checks []domain.Check) error {
	e := domain.Errorf(domain.Conflict, "%s cannot move to %s.", name, host)
	for _, c := range checks {
		if c.Level != domain.CheckFail {
			continue
		}
		if len(e.Reasons) == 0 {
			e.Msg, e.Fix = fmt.Sprintf("%s cannot move to %s: %s", name, host, c.Message), c.Fix
		}
		e.Reasons = append(e.Reasons, domain.Reason{Subject: c.Name, Msg: c.Message})
	}
	return e
}

// both gives the connections to the two hosts.
func (d Deps) both(in Move) (from, to hv.Host, err error) {
	if from, err = d.Hosts.Host(in.FromID); err != nil {
		return nil, nil, err
	}
	to, err = d.Hosts.Host(in.ToID)
	return from, to, err
}

// prepare makes the volumes that disks are copied into.
func (d Deps) prepare(in Move) jobs.Step {
	return jobs.Step{Name: "prepare the target", Timeout: 30 * time.Minute, Do: func(ctx context.Context, r *jobs.Run) error {
		l, err := load(r)
		if err != nil {
			return err
		}
		to, err := d.Hosts.Host(in.ToID)
		if err != nil {
			return err
		}
		for _, disk := range l.Plan.Disks {
			if disk.Stays {
				continue
			}
			if err := d.target(ctx, r, in, l, to, disk); err != nil {
				return err
			}
		}
		return nil
	}, Undo: func(ctx context.Context, r *jobs.Run) error {
		l, err := load(r)
		if err != nil || len(l.Made) == 0 {
			return err
		}
		if l.Decision != "" { // its disks may be in use there, or hold what the other copy has not
			return d.undoDecided(ctx, r, in, l)
		}
		s, err := d.where(ctx, in)
		if err != nil {
			return err
		}
		if s.place() != onSource {
			return d.undecided(ctx, r, in, s) // its disks may be in use there
		}
		to, err := d.Hosts.Host(in.ToID)
		if err != nil {
			return err
		}
		for _, m := range l.Made {
			if err := to.DeleteVolume(ctx, m.Pool, m.Volume); err != nil {
				return err
			}
		}
		return d.Mirror.Inventory(ctx, to, in.ToID, cause(r, ""))
	}}
}

// target makes one volume, built on the target's own copy of the image below it where only what differs is copied; else the disk arrives whole.
func (d Deps) target(ctx context.Context, r *jobs.Run, in Move, l *ledger, to hv.Host, disk preflight.Disk) error {
	v, err := to.Volume(ctx, disk.ToPool, disk.ToVolume)
	mine := false
	for _, m := range l.Made {
		mine = mine || m.Pool == disk.ToPool && m.Volume == disk.ToVolume
	}
	switch {
	case err == nil && !mine:
		return domain.Errorf(domain.Conflict, "The pool %s of %s has a volume %s already.", disk.ToPool, in.ToName, disk.ToVolume).WithFix("Choose another pool, or remove it.")
	case err != nil && !domain.Is(err, domain.NotFound):
		return err
	case err != nil:
		if !mine {
			l.Made = append(l.Made, made{disk.ToPool, disk.ToVolume})
			if err := r.Save(ctx, l); err != nil {
				return err
			}
		}
		if v, err = to.CreateVolume(ctx, hv.VolumeSpec{Pool: disk.ToPool, Name: disk.ToVolume, Format: disk.Format, SizeBytes: disk.Capacity, Backing: disk.Base, BackingFormat: disk.BaseFormat}); err != nil {
			return err
		}
		r.Log("Made %s for %s.", v.Path, disk.Target)
	}
	if l.Sources == nil {
		l.Sources = map[string]string{}
	}
	if disk.Source != v.Path {
		l.Sources[disk.Source] = v.Path
	}
	return r.Save(ctx, l)
}
