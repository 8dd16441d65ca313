package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"novacron/domain"
	"novacron/domain/placement"
	"novacron/jobs"
	"novacron/jobs/cpus"
)

// CPUBaseline enqueues a look for the richest processor that all these hosts can give; the job's result is a domain.CPUBaseline. accel auto is KVM where
// every one of them has it, else emulation.
func (f *Fleet) CPUBaseline(ctx context.Context, actor string, hosts []string, accel domain.Accel, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	var p domain.Problems
	if len(hosts) == 0 {
		p.Add("hosts", "No hosts are chosen.", "ids or names of hosts")
	}
	if !slices.Contains([]domain.Accel{"", domain.AccelAuto, domain.AccelKVM, domain.AccelTCG}, accel) {
		p.Add("accel", "“"+string(accel)+"” is not a choice.", "auto, kvm or tcg")
	}
	all, err := f.db.Hosts(ctx)
	if err != nil {
		return domain.Job{}, err
	}
	in := cpus.Baseline{Accel: accel}
	var names []string
	kvm := true
	for i, want := range hosts {
		k := slices.IndexFunc(all, func(h domain.Host) bool { return h.ID == want || h.Name == want })
		switch {
		case k < 0:
			p.Add(fmt.Sprintf("hosts.%d", i), "There is no host “"+want+"”.", "a host's id or name")
		case slices.ContainsFunc(in.Hosts, func(h cpus.Host) bool { return h.ID == all[k].ID }):
		default:
			in.Hosts, names = append(in.Hosts, cpus.Host{ID: all[k].ID, Name: all[k].Name}), append(names, all[k].Name)
			kvm = kvm && all[k].Facts.Under(all[k].Accel).KVM.OK
		}
	}
	if err := p.Err(); err != nil {
		return domain.Job{}, err
	}
	if in.Accel == "" || in.Accel == domain.AccelAuto {
		in.Accel = domain.AccelTCG
		if kvm {
			in.Accel = domain.AccelKVM
		}
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: cpus.KindBaseline, Title: "Find a processor that " + strings.Join(names, ", ") + " have in common",
		Resource: domain.Ref{Kind: "host", ID: in.Hosts[0].ID, Name: in.Hosts[0].Name}, Input: in, Actor: actor, Key: key})
}

// compared asks the hosts for the processor that a VM runs with, through a job that only asks. What is emulated is so everywhere, and is not asked for.
func (f *Fleet) compared(ctx context.Context, actor string, vm domain.VM, to []placement.Candidate) (map[string]domain.CPUMatch, error) {
	if vm.State != domain.VMRunning || vm.Live == nil || vm.Live.Accel != domain.AccelKVM {
		return nil, nil
	}
	known := f.matches.get(vm, f.clock())
	in := cpus.Compare{HostID: vm.HostID, UUID: vm.UUID, Accel: vm.Live.Accel}
	for _, c := range to {
		if _, ok := known[c.Host.ID]; !ok && c.Host.ID != vm.HostID && c.Host.State == domain.HostConnected {
			in.To = append(in.To, cpus.Host{ID: c.Host.ID, Name: c.Host.Name})
		}
	}
	if len(in.To) == 0 {
		return known, nil
	}
	job, err := f.engine.Enqueue(ctx, jobs.Request{Kind: cpus.KindCompare, Title: "Compare the processor of " + vm.Name, Resource: ref(vm), Actor: actor, Input: in})
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	if job, err = f.engine.Wait(wait, job.ID); err != nil {
		return nil, err
	}
	if job.State != domain.JobSucceeded {
		return known, nil // its own log says why; the check says that the processors differ, if they do
	}
	found := map[string]domain.CPUMatch{}
	if err := json.Unmarshal(job.Result, &found); err != nil {
		return nil, domain.Errorf(domain.Internal, "The comparison cannot be read: %w", err)
	}
	return f.matches.put(vm, found, f.clock()), nil
}

// matches keeps what hosts said to a VM's processor for a short while, as memories does.
type matches struct {
	mu sync.Mutex
	m  map[string]matched
}

type matched struct {
	hosts map[string]domain.CPUMatch
	since time.Time // of the VM's run
	at    time.Time
}

func (k *matches) get(vm domain.VM, now time.Time) map[string]domain.CPUMatch {
	k.mu.Lock()
	defer k.mu.Unlock()
	m, ok := k.m[vm.ID]
	if !ok || now.Sub(m.at) >= measuredFresh || !m.since.Equal(vm.StateAt) {
		return nil
	}
	return maps.Clone(m.hosts)
}

func (k *matches) put(vm domain.VM, found map[string]domain.CPUMatch, now time.Time) map[string]domain.CPUMatch {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil {
		k.m = map[string]matched{}
	}
	for id, m := range k.m {
		if now.Sub(m.at) >= measuredFresh {
			delete(k.m, id)
		}
	}
	m, ok := k.m[vm.ID]
	if !ok || !m.since.Equal(vm.StateAt) {
		m = matched{map[string]domain.CPUMatch{}, vm.StateAt, now}
	}
	maps.Copy(m.hosts, found)
	k.m[vm.ID] = m
	return maps.Clone(m.hosts)
}
