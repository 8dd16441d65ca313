package fleet

import (
	"context"
	"fmt"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
	"novacron/jobs/hosts"
)

func validHost(req *AddHost, nameNeeded bool) error {
	var p domain.Problems
	req.URI = strings.TrimSpace(req.URI)
	u, err := domain.ParseHostURI(req.URI)
	if e, ok := err.(*domain.Error); ok {
		p = append(p, e.Fields...)
	}
	if req.Name == "" && !nameNeeded {
		req.Name = u.Host
		if req.Name == "" {
			req.Name = "this machine"
		}
	} else {
		domain.CheckHostName(&p, "name", req.Name)
	}
	domain.CheckLabels(&p, "labels", req.Labels)
	return p.Err()
}

// TryHost enqueues a trial of a connection; the job's result is a domain.HostFacts with the steps that were taken, also when it fails. Nothing is saved.
func (f *Fleet) TryHost(ctx context.Context, actor string, req AddHost) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	if err := validHost(&req, false); err != nil {
		return domain.Job{}, err
	}
	trial := domain.NewID("trial", f.clock())
	f.trials.Keep(trial, req.Creds)
	return f.engine.Enqueue(ctx, jobs.Request{Kind: hosts.KindTry, Title: "Try the connection to " + req.Name, Resource: domain.Ref{Kind: "host", Name: req.Name},
		Input: hosts.Try{Trial: trial, Name: req.Name, URI: req.URI}, Actor: actor, Key: req.Key})
}

// AddHost enqueues the addition of a host; the job's resource is the host, whose row is there at once and goes again if it cannot be reached.
func (f *Fleet) AddHost(ctx context.Context, actor string, req AddHost) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	if err := validHost(&req, true); err != nil {
		return domain.Job{}, err
	}
	id, now := domain.NewID("host", f.clock()), f.clock()
	r := domain.Ref{Kind: "host", ID: id, Name: req.Name}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: hosts.KindAdd, Title: "Add host " + req.Name, Resource: r, Locks: []string{id},
		Input: hosts.Input{HostID: id, Name: req.Name, URI: req.URI}, Actor: actor, Key: req.Key},
		func(tx *db.Tx, job *domain.Job) error {
			h := domain.Host{ID: id, Name: req.Name, URI: req.URI, State: domain.HostConnecting, StateSince: now, Labels: req.Labels, CreatedAt: now}
			if err := tx.InsertHost(h, req.Creds); err != nil {
				return err
			}
			return tx.Emit(domain.Event{Kind: "host.created", Resource: r, HostID: id, JobID: job.ID, Actor: actor, Message: fmt.Sprintf("%s is being added.", req.Name)})
		})
}

// EditHost changes name, notes, labels, maintenance, the accelerator and how often it is measured at once. version 0 means any.
func (f *Fleet) EditHost(ctx context.Context, actor, id string, version int64, edit HostEdit) (domain.Host, error) {
	var p domain.Problems
	if edit.Name != nil {
		domain.CheckHostName(&p, "name", *edit.Name)
	}
	if edit.Labels != nil {
		domain.CheckLabels(&p, "labels", *edit.Labels)
	}
	if edit.Notes != nil && len(*edit.Notes) > 64<<10 {
		p.Add("notes", "The notes are too long.", "at most 64 KiB")
	}
	if edit.Accel != nil {
		domain.CheckHostAccel(&p, "accel", *edit.Accel)
	}
	if edit.Scrape != nil {
		domain.CheckScrape(&p, "scrape_interval_seconds", *edit.Scrape)
	}
	if err := p.Err(); err != nil {
		return domain.Host{}, err
	}
	var h domain.Host
	err := f.db.Write(ctx, func(tx *db.Tx) error {
		old, err := tx.Host(id)
		if err != nil {
			return err
		}
		h = old
		if version != 0 {
			h.Version = version
		}
		if edit.Name != nil {
			h.Name = *edit.Name
		}
		if edit.Notes != nil {
			h.Notes = *edit.Notes
		}
		if edit.Labels != nil {
			h.Labels = *edit.Labels
		}
		if edit.Maintenance != nil {
			h.Maintenance = *edit.Maintenance
		}
		if edit.Accel != nil {
			h.Accel = *edit.Accel
		}
		if edit.Scrape != nil {
			h.Scrape = *edit.Scrape
		}
		if h, err = tx.UpdateHost(h); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "host.changed", Resource: domain.Ref{Kind: "host", ID: id, Name: h.Name}, HostID: id, Actor: actor, Message: editSentence(old, h)})
	})
	return h, err
}

func editSentence(old, h domain.Host) string {
	switch {
	case h.Maintenance && !old.Maintenance:
		return h.Name + " is in maintenance; no new VM is placed there."
	case old.Maintenance && !h.Maintenance:
		return h.Name + " is out of maintenance."
	case old.Accel != h.Accel && h.Accel == domain.AccelAuto:
		return h.Name + " chooses the accelerator of new VMs by what its CPU shows."
	case old.Accel != h.Accel:
		return fmt.Sprintf("New VMs on %s run under %s unless they ask for something else.", h.Name, strings.ToUpper(string(h.Accel)))
	case old.Scrape != h.Scrape && h.Scrape == 0:
		return h.Name + " is measured as often as all hosts are."
	case old.Scrape != h.Scrape:
		return fmt.Sprintf("%s is measured every %s.", h.Name, h.Scrape)
	case old.Name != h.Name:
		return fmt.Sprintf("%s is now called %s.", old.Name, h.Name)
	}
	return fmt.Sprintf("Labels or notes of %s were edited.", h.Name)
}

// RemoveHost enqueues the removal of a host and its VMs from the list. Nothing on the host is touched.
func (f *Fleet) RemoveHost(ctx context.Context, actor, id, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	h, err := f.db.Host(ctx, id)
	if err != nil {
		return domain.Job{}, err
	}
	vms, err := f.db.HostVMs(ctx, id)
	if err != nil {
		return domain.Job{}, err
	}
	locks := []string{id}
	for _, vm := range vms {
		if err := busy(vm); err != nil {
			return domain.Job{}, err
		}
		locks = append(locks, vm.ID)
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: hosts.KindRemove, Title: "Remove host " + h.Name, Resource: domain.Ref{Kind: "host", ID: id, Name: h.Name}, Locks: locks,
		Input: hosts.Input{HostID: id, Name: h.Name, URI: h.URI}, Actor: actor, Key: key})
}

// ReconnectHost enqueues an attempt to reach a host now instead of at its next turn; the job says which step fails.
func (f *Fleet) ReconnectHost(ctx context.Context, actor, id string) (domain.Job, error) {
	h, err := f.db.Host(ctx, id)
	if err != nil {
		return domain.Job{}, err
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: hosts.KindReconnect, Title: "Reconnect " + h.Name, Resource: domain.Ref{Kind: "host", ID: id, Name: h.Name}, Locks: []string{id},
		Input: hosts.Input{HostID: id, Name: h.Name, URI: h.URI}, Actor: actor})
}
