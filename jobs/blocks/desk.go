package blocks

import (
	"context"
	"sync"

	"novacron/domain"
)

// Desk is where the requests that bring content and the jobs that wait for it meet. It keeps nothing that a restart would lose: how far an upload is lies in the database.
type Desk struct {
	mu       sync.Mutex
	sessions map[string]*session // by job
}

type session struct {
	wake   chan struct{}      // something happened; one waits
	cancel context.CancelFunc // ends the request that is writing; nil when none is
	idle   chan struct{}      // closed when the request has gone
	failed error              // what ends the job
}

// NewDesk makes an empty one.
func NewDesk() *Desk { return &Desk{sessions: map[string]*session{}} }

func (d *Desk) of(jobID string) *session {
	s := d.sessions[jobID]
	if s == nil {
		s = &session{wake: make(chan struct{}, 1)}
		d.sessions[jobID] = s
	}
	return s
}

// claim lets one request at a time write. The context ends when the job wants no more.
func (d *Desk) claim(ctx context.Context, jobID string) (context.Context, func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.of(jobID)
	if s.cancel != nil {
		return nil, nil, domain.Errorf(domain.Conflict, "Another request is uploading into this volume now.").WithFix("Wait for it to end, or cancel the job.")
	}
	ctx, cancel := context.WithCancel(ctx)
	idle := make(chan struct{})
	s.cancel, s.idle = cancel, idle
	return ctx, func() {
		cancel()
		d.mu.Lock()
		s.cancel, s.idle = nil, nil
		d.mu.Unlock()
		close(idle)
		d.wake(jobID)
	}, nil
}

func (d *Desk) wake(jobID string) {
	d.mu.Lock()
	s := d.of(jobID)
	d.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// fail has the job end with err.
func (d *Desk) fail(jobID string, err error) {
	d.mu.Lock()
	d.of(jobID).failed = err
	d.mu.Unlock()
	d.wake(jobID)
}

func (d *Desk) failure(jobID string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.of(jobID).failed
}

// close ends the request that is writing, waits until it has gone, and forgets the job.
func (d *Desk) close(jobID string) {
	d.mu.Lock()
	s := d.of(jobID)
	cancel, idle := s.cancel, s.idle
	d.mu.Unlock()
	if cancel != nil {
		cancel()
		<-idle
	}
	d.mu.Lock()
	delete(d.sessions, jobID)
	d.mu.Unlock()
}
