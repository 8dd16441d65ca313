package nets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Apply is the input of secgroup.apply.
type Apply struct {
	Hosts []On `json:"hosts"`
}

// Estate is what filters are compiled from.
type Estate struct {
	Groups []domain.SecurityGroup
	Sets   map[string][]string // which groups a filter stands for
	VMs    []domain.VM
}

// ReadEstate reads it.
func ReadEstate(ctx context.Context, d *db.DB) (e Estate, err error) {
	if e.Groups, err = d.SecurityGroups(ctx); err != nil {
		return e, err
	}
	if e.Sets, err = d.FilterSets(ctx); err != nil {
		return e, err
	}
	e.VMs, err = d.AllVMs(ctx)
	return e, err
}

// Cards calls fn for every card of every VM, as defined and as it runs.
func (e Estate) Cards(fn func(vm domain.VM, n domain.NIC)) {
	for _, vm := range e.VMs {
		for _, n := range vm.Config.NICs {
			fn(vm, n)
		}
		if vm.Live != nil {
			for _, n := range vm.Live.NICs {
				fn(vm, n)
			}
		}
	}
}

// Members gives the addresses of the cards that are in a group, in order.
func (e Estate) Members(groupID string) []netip.Addr {
	var out []netip.Addr
	e.Cards(func(vm domain.VM, n domain.NIC) {
		if !slices.Contains(e.Sets[n.Filter], groupID) {
			return
		}
		for _, a := range vm.Addresses {
			if ip, err := netip.ParseAddr(a.IP); err == nil && a.MAC == n.MAC && !ip.IsLinkLocalUnicast() {
				out = append(out, ip)
			}
		}
	})
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// In lists the VMs that are in a group.
func (e Estate) In(groupID string) []domain.VM {
	var out []domain.VM
	e.Cards(func(vm domain.VM, n domain.NIC) {
		if slices.Contains(e.Sets[n.Filter], groupID) && !slices.ContainsFunc(out, func(x domain.VM) bool { return x.ID == vm.ID }) {
			out = append(out, vm)
		}
	})
	return out
}

// Filter compiles one; ok is false when it is none of ours, or its groups are gone.
func (e Estate) Filter(name string) (f domain.Filter, ok bool) {
	var groups []domain.SecurityGroup
	for _, id := range e.Sets[name] {
		for _, g := range e.Groups {
			if g.ID == id {
				groups = append(groups, g)
			}
		}
	}
	if len(groups) == 0 || len(groups) != len(e.Sets[name]) {
		return f, false
	}
	f = domain.CompileFilter(groups, e.Members)
	return f, f.Name == name
}

// Wanted gives the filters that each host needs, by host.
func (e Estate) Wanted() map[string]map[string]domain.Filter {
	out, compiled := map[string]map[string]domain.Filter{}, map[string]domain.Filter{}
	e.Cards(func(vm domain.VM, n domain.NIC) {
		if n.Filter == "" || len(e.Sets[n.Filter]) == 0 {
			return
		}
		f, done := compiled[n.Filter]
		if !done {
			f, _ = e.Filter(n.Filter)
			compiled[n.Filter] = f
		}
		if f.Name == "" {
			return
		}
		if out[vm.HostID] == nil {
			out[vm.HostID] = map[string]domain.Filter{}
		}
		out[vm.HostID][f.Name] = f
	})
	return out
}

// Digest tells two versions of a filter apart.
func Digest(f domain.Filter) string {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // plain values always encode
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// Ensure defines the named filters on a host before something there names them. Those that are not made of security groups are the host's own.
func (d Deps) Ensure(ctx context.Context, host hv.Host, hostID string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	e, err := ReadEstate(ctx, d.DB)
	if err != nil {
		return err
	}
	for _, n := range names {
		if f, ok := e.Filter(n); ok {
			if err := d.define(ctx, host, hostID, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d Deps) define(ctx context.Context, host hv.Host, hostID string, f domain.Filter) error {
	if err := host.DefineFilter(ctx, f); err != nil {
		return err
	}
	return d.DB.Write(ctx, func(tx *db.Tx) error { return tx.SetHostFilter(hostID, f.Name, Digest(f)) })
}

func (d Deps) applySteps(in Apply) []jobs.Step {
	steps := []jobs.Step{{
		Name:   "see what is needed",
		NoUndo: "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			if len(in.Hosts) == 0 {
				r.Log("No VM is in these groups, so no host has to enforce them yet.")
			}
			return nil
		},
	}}
	for _, on := range in.Hosts {
		steps = append(steps, jobs.Step{
			Name:    "enforce on " + on.HostName,
			Timeout: hostTimeout,
			NoUndo:  "Filters follow the groups as they are saved; the next change of a group is the way back.",
			Do:      func(ctx context.Context, r *jobs.Run) error { return d.apply(ctx, r, on) },
		})
	}
	return steps
}

// apply defines what the host needs and removes what nobody there needs any more.
func (d Deps) apply(ctx context.Context, r *jobs.Run, on On) error {
	host, err := d.Hosts.Host(on.HostID)
	if err != nil {
		return err
	}
	e, err := ReadEstate(ctx, d.DB)
	if err != nil {
		return err
	}
	wanted := e.Wanted()[on.HostID]
	for _, f := range wanted {
		if err := d.define(ctx, host, on.HostID, f); err != nil {
			return err
		}
		r.Log("%s: the filter %s has %d rules.", on.HostName, f.Name, len(f.Rules))
	}
	if slices.ContainsFunc(e.VMs, func(vm domain.VM) bool { return vm.HostID == on.HostID && vm.BusyJob != "" }) {
		return nil // a VM that is just being made or changed may name a filter before its row does
	}
	known, err := d.DB.HostFilters(ctx)
	if err != nil {
		return err
	}
	for name := range known[on.HostID] {
		if _, needed := wanted[name]; needed {
			continue
		}
		err := host.UndefineFilter(ctx, name)
		if domain.Is(err, domain.Conflict) {
			continue // a guest that is not mirrored yet has it
		}
		if err != nil {
			return err
		}
		if err := d.DB.Write(ctx, func(tx *db.Tx) error { return tx.SetHostFilter(on.HostID, name, "") }); err != nil {
			return err
		}
		r.Log("%s: the filter %s is no longer needed and was removed.", on.HostName, name)
	}
	return nil
}

// Stale names the hosts whose filters are not what they should be.
func Stale(e Estate, known map[string]map[string]string) []string {
	var out []string
	wanted := e.Wanted()
	for host, filters := range wanted {
		for name, f := range filters {
			if known[host][name] != Digest(f) && !slices.Contains(out, host) {
				out = append(out, host)
			}
		}
	}
	for host, filters := range known {
		for name := range filters {
			_, needed := wanted[host][name]
			busy := slices.ContainsFunc(e.VMs, func(vm domain.VM) bool { return vm.HostID == host && vm.BusyJob != "" })
			if !needed && !busy && !slices.Contains(out, host) {
				out = append(out, host)
			}
		}
	}
	slices.Sort(out)
	return out
}
