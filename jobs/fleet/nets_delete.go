package fleet

import (
	"context"
	"encoding/json"
	"fmt"

	"novacron/domain"
	"novacron/jobs"
	"novacron/jobs/bulk"
	"novacron/jobs/nets"
)

// DeleteNetworks says what goes with networks that are deleted.
type DeleteNetworks struct {
	VMs     bool   // the VMs that have a card on them, too
	Disks   bool   // and these VMs' disks
	Confirm string // with VMs: the network's name
	Key     string
}

// DeleteNetworks enqueues the removal of networks, each from its host. One that VMs use is refused, naming them, unless they are to go with it.
func (f *Fleet) DeleteNetworks(ctx context.Context, actor string, ids []string, del DeleteNetworks) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, del.Key); ok || err != nil {
		return job, err
	}
	in := bulk.Input{Verb: "deleted", One: "network", Many: "networks"}
	var one jobs.Request
	for _, id := range ids {
		req, err := f.deleteNetwork(ctx, id, del)
		if err != nil {
			return domain.Job{}, err
		}
		raw, err := json.Marshal(req.Input)
		if err != nil {
			return domain.Job{}, domain.Errorf(domain.Internal, "The job's input cannot be written: %w", err)
		}
		in.Items = append(in.Items, bulk.Item{Kind: req.Kind, Title: req.Title, Resource: req.Resource, Locks: req.Locks, Input: raw})
		one = req
	}
	switch len(in.Items) {
	case 0:
		return domain.Job{}, domain.InvalidField("ids", "No network is chosen.", "at least one network")
	case 1:
		one.Actor, one.Key = actor, del.Key
		return f.engine.Enqueue(ctx, one)
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: bulk.Kind, Title: fmt.Sprintf("Delete the network %s on %d hosts", one.Resource.Name, len(in.Items)), Resource: one.Resource,
		Input: in, Actor: actor, Key: del.Key})
}

func (f *Fleet) deleteNetwork(ctx context.Context, id string, del DeleteNetworks) (jobs.Request, error) {
	n, h, err := f.network(ctx, id)
	if err != nil {
		return jobs.Request{}, err
	}
	vms, err := f.db.NetworkVMs(ctx, h.ID, n.Name)
	if err != nil {
		return jobs.Request{}, err
	}
	in := nets.One{HostID: h.ID, HostName: h.Name, Name: n.Name}
	req := jobs.Request{Kind: nets.KindDelete, Title: fmt.Sprintf("Delete the network %s on %s", n.Name, h.Name), Resource: networkRef(h.ID, n.Name), Locks: []string{id}, Input: in}
	if !del.VMs || len(vms) == 0 {
		if err := nets.InUse(n.Name, h.Name, vmNames(vms)); err != nil {
			return req, err
		}
		return req, nil
	}
	if del.Confirm != n.Name {
		return req, domain.InvalidField("confirm", "What was typed is not the network's name, so nothing was deleted.", "“"+n.Name+"”")
	}
	purge := nets.Purge{One: in}
	for _, vm := range vms {
		r, err := f.deleteRequest(ctx, vm, del.Disks)
		if err != nil {
			return req, err
		}
		raw, err := json.Marshal(r.Input)
		if err != nil {
			return req, domain.Errorf(domain.Internal, "The job's input cannot be written: %w", err)
		}
		purge.VMs = append(purge.VMs, bulk.Item{Kind: r.Kind, Title: r.Title, Resource: r.Resource, Locks: r.Locks, Input: raw})
	}
	req.Kind, req.Title, req.Input = nets.KindPurge, fmt.Sprintf("%s and %s on it", req.Title, vmCount(len(vms))), purge
	return req, nil
}

func vmCount(n int) string {
	if n == 1 {
		return "the VM"
	}
	return fmt.Sprintf("the %d VMs", n)
}
