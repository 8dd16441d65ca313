// Package guest works inside VMs through the agent that runs there (facts, commands, clock, freezing, passwords, keys: guest.*), and makes the
// medium that a first boot reads.
//
// What must not be written down is not: a password to be set waits in memory for its job, and a server that was restarted meanwhile says that it has to be
// asked again. A command is started at most once: when nobody can tell whether it ran, the job says so and does not run it again. File systems that a job
// froze are thawed by it whatever happens, also after a crash.
//
// It is not for judging requests (jobs/fleet) nor for what the documents of a first boot say (domain/cloudinit, domain/unattend).
package guest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Kinds of jobs.
const (
	KindExec     = "guest.exec"
	KindFreeze   = "guest.freeze"
	KindThaw     = "guest.thaw"
	KindTime     = "guest.time-sync"
	KindPassword = "guest.password"
	KindKeys     = "guest.ssh-keys"
	KindLook     = "guest.look"

	KindProcesses = "guest.processes"
)

// Deps is what the steps work with.
type Deps struct {
	DB      *db.DB
	Hosts   hv.Fleet
	Clock   func() time.Time
	Secrets *Secrets
	Poll    time.Duration // between questions after a command or a frozen guest; 0: half a second
}

// On names the guest that a job is about.
type On struct {
	VMID   string `json:"vm_id"`
	HostID string `json:"host_id"`
	UUID   string `json:"uuid"`
	Name   string `json:"name"`
}

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	if d.Poll == 0 {
		d.Poll = 500 * time.Millisecond
	}
	const look = "Look at the guest through its console, then let the job go."
	return []jobs.Kind{
		{Name: KindExec, Steps: bind(d.execSteps), StuckHelp: "Look inside the guest whether the command still runs, then let the job go."},
		{Name: KindFreeze, Steps: bind(d.freezeSteps), StuckHelp: "The guest may still be frozen: try the job again when its host answers, or reset the VM. Then let the job go."},
		{Name: KindThaw, Steps: bind(d.thawSteps), StuckHelp: "The guest may still be frozen: try again when its host answers, or reset the VM."},
		{Name: KindTime, Steps: bind(d.timeSteps), StuckHelp: look},
		{Name: KindPassword, Steps: bind(d.passwordSteps), StuckHelp: look},
		{Name: KindKeys, Steps: bind(d.keysSteps), StuckHelp: look},
		{Name: KindSeed, Steps: bind(d.seedSteps), StuckHelp: "Look at the seed's volume in its pool, put right what the last error names and try again.", Abandon: abandonSeed},
		{Name: KindLook, Steps: bind(d.lookSteps), StuckHelp: look, Read: true},
		{Name: KindProcesses, Steps: bind(d.processSteps), StuckHelp: look, Read: true},
	}
}

func bind[I any](steps func(I) []jobs.Step) func(json.RawMessage) ([]jobs.Step, error) {
	return func(raw json.RawMessage) ([]jobs.Step, error) {
		var in I
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
		}
		return steps(in), nil
	}
}

// tell writes what was done in a guest as an event of the VM.
func (d Deps) tell(ctx context.Context, r *jobs.Run, on On, kind, format string, args ...any) error {
	job := r.Job()
	return d.DB.Write(ctx, func(tx *db.Tx) error {
		return tx.Emit(domain.Event{Kind: kind, Resource: domain.Ref{Kind: "vm", ID: on.VMID, Name: on.Name}, HostID: on.HostID, JobID: job.ID, Actor: job.Actor, Message: fmt.Sprintf(format, args...)})
	})
}

// wait lets some time pass.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Secrets keeps passwords in memory until the job that sets them has run. Safe for concurrent use.
type Secrets struct {
	mu    sync.Mutex
	kept  map[string]Secret
	order []string
}

// Secret is a password on its way into a guest: Plain for Windows, which takes no hashes, else Hash.
type Secret struct{ Plain, Hash string }

// mostSecrets bounds what waits; one whose job never ran is forgotten when this many newer ones came.
const mostSecrets = 256

// NewSecrets makes an empty one.
func NewSecrets() *Secrets { return &Secrets{kept: map[string]Secret{}} }

// Keep remembers a secret under a name of the caller's.
func (s *Secrets) Keep(name string, v Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.kept[name]; !again {
		s.order = append(s.order, name)
	}
	s.kept[name] = v
	for len(s.order) > mostSecrets {
		delete(s.kept, s.order[0])
		s.order = s.order[1:]
	}
}

func (s *Secrets) get(name string) (Secret, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.kept[name]
	return v, ok
}
