// Package cpus asks hosts about processors: which one a set of hosts has in common, so that VMs with it can move among them, and whether a host can give the
// one that a VM runs with. It only asks: nothing on a host is changed.
//
// It is not for giving a VM another processor (package provision does that) nor for judging a move (domain/preflight).
package cpus

import (
	"context"
	"encoding/json"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Kinds of job.
const (
	KindBaseline = "cpu.baseline"
	KindCompare  = "cpu.compare"
)

// Host is one that is asked.
type Host struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Baseline is the input of cpu.baseline; the result is a domain.CPUBaseline.
type Baseline struct {
	Hosts []Host       `json:"hosts"`
	Accel domain.Accel `json:"accel"` // kvm or tcg
}

// Compare is the input of cpu.compare; the result is what each host answers, by id. It is empty when the VM's processor has no name that could be compared.
type Compare struct {
	HostID string       `json:"host_id"` // where the VM is
	UUID   string       `json:"uuid"`
	Accel  domain.Accel `json:"accel"`
	To     []Host       `json:"to"`
}

const askTimeout = time.Minute

// Kinds lists the kinds of this package.
func Kinds(hosts hv.Fleet) []jobs.Kind {
	const help = "It only asks; let the job go and try again."
	return []jobs.Kind{
		{Name: KindBaseline, Read: true, StuckHelp: help, Steps: step("ask the hosts", func(ctx context.Context, r *jobs.Run, in Baseline) error {
			found, err := baseline(ctx, r, hosts, in)
			if err != nil {
				return err
			}
			return r.Result(found)
		})},
		{Name: KindCompare, Read: true, StuckHelp: help, Steps: step("compare", func(ctx context.Context, r *jobs.Run, in Compare) error {
			found, err := Matches(ctx, hosts, in)
			if err != nil {
				return err
			}
			return r.Result(found)
		})},
	}
}

func step[I any](name string, do func(context.Context, *jobs.Run, I) error) func(json.RawMessage) ([]jobs.Step, error) {
	return func(raw json.RawMessage) ([]jobs.Step, error) {
		var in I
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
		}
		return []jobs.Step{{Name: name, NoUndo: "It only asks.", NoRetry: true, Timeout: askTimeout, Do: func(ctx context.Context, r *jobs.Run) error { return do(ctx, r, in) }}}, nil
	}
}

// baseline asks every host what it has, then each in turn for what they have in common until one gives an answer that all of them can give: QEMU of
// different versions do not know the same models.
func baseline(ctx context.Context, r *jobs.Run, hosts hv.Fleet, in Baseline) (domain.CPUBaseline, error) {
	out := domain.CPUBaseline{Accel: in.Accel}
	conns := make([]hv.Host, len(in.Hosts))
	have := make([]domain.CPUModel, len(in.Hosts))
	for i, h := range in.Hosts {
		var err error
		if conns[i], err = hosts.Host(h.ID); err != nil {
			return out, err
		}
		if have[i], err = conns[i].HostCPU(ctx, in.Accel); err != nil {
			return out, of(h, err)
		}
		r.Log("%s has %s.", h.Name, have[i].Model)
	}
	var last error
	for i, h := range in.Hosts {
		common, err := conns[i].BaselineCPU(ctx, in.Accel, have)
		if err != nil {
			last = of(h, err)
			continue
		}
		out.CPUModel, out.Hosts = common, nil
		all := true
		for k, other := range in.Hosts {
			match, err := conns[k].CompareCPU(ctx, in.Accel, common)
			if err != nil {
				return out, of(other, err)
			}
			all = all && match.Fits()
			out.Hosts = append(out.Hosts, domain.CPUHost{ID: other.ID, Name: other.Name, Model: have[k].Model, Match: match})
		}
		if all {
			r.Log("All of them can give %s.", common.Describe())
			return out, nil
		}
		last = domain.Errorf(domain.Conflict, "%s proposes %s, which not all of these hosts can give.", h.Name, common.Model).WithFix("Leave out a host, or update QEMU where it is oldest.")
	}
	return out, last
}

func of(h Host, err error) error {
	e := domain.Errorf(domain.CodeOf(err), "%s: %s", h.Name, err.Error()).WithCause(err)
	if x, ok := err.(*domain.Error); ok {
		e.Fix = x.Fix
	}
	return e
}

// Matches asks each host for the processor that the VM runs with. A host that cannot tell is left out.
func Matches(ctx context.Context, hosts hv.Fleet, in Compare) (map[string]domain.CPUMatch, error) {
	out := map[string]domain.CPUMatch{}
	from, err := hosts.Host(in.HostID)
	if err != nil {
		return out, err
	}
	cpu, err := from.GuestCPU(ctx, in.UUID)
	if err != nil || cpu.Model == "" {
		return out, err
	}
	for _, h := range in.To {
		to, err := hosts.Host(h.ID)
		if domain.Is(err, domain.Unavailable) {
			continue // it is away, which is said elsewhere
		}
		if err != nil {
			return out, err
		}
		match, err := to.CompareCPU(ctx, in.Accel, cpu)
		if domain.Is(err, domain.Unsupported) {
			continue
		}
		if err != nil {
			return out, err
		}
		out[h.ID] = match
	}
	return out, nil
}
