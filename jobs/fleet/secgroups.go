package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
	"novacron/jobs/nets"
)

// GroupEffect says in words what a security group does.
type GroupEffect struct {
	VMs       []domain.VM
	Hosts     []domain.Host // where it is enforced
	Sentences []string
	Warnings  []string
}

// groupIDs finds security groups by id or name.
func (f *Fleet) groupIDs(ctx context.Context, field string, names []string) ([]string, error) {
	all, err := f.db.SecurityGroups(ctx)
	if err != nil {
		return nil, err
	}
	var p domain.Problems
	var ids []string
	for _, n := range names {
		i := slices.IndexFunc(all, func(g domain.SecurityGroup) bool { return g.ID == n || strings.EqualFold(g.Name, n) })
		if i < 0 {
			p.Add(field, "There is no security group “"+n+"”.", "the id or name of a group")
			continue
		}
		ids = append(ids, all[i].ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids), p.Err()
}

// settleGroup checks a group and gives the groups that its rules name their ids.
func (f *Fleet) settleGroup(ctx context.Context, g domain.SecurityGroup) (domain.SecurityGroup, error) {
	if err := g.Validate(); err != nil {
		return g, err
	}
	all, err := f.db.SecurityGroups(ctx)
	if err != nil {
		return g, err
	}
	var p domain.Problems
	g.Rules = slices.Clone(g.Rules)
	for i, r := range g.Rules {
		if r.Action == "" {
			g.Rules[i].Action = "allow"
		}
		if r.Group == "" {
			continue
		}
		if strings.EqualFold(r.Group, g.Name) && g.ID != "" {
			g.Rules[i].Group = g.ID
			continue
		}
		j := slices.IndexFunc(all, func(x domain.SecurityGroup) bool { return x.ID == r.Group || strings.EqualFold(x.Name, r.Group) })
		if j < 0 {
			p.Add(fmt.Sprintf("rules.%d.group", i), "There is no security group “"+r.Group+"”.", "the id or name of a group")
			continue
		}
		g.Rules[i].Group = all[j].ID
	}
	return g, p.Err()
}

// PreviewGroup says what a group would do if it were saved so. Its members are those of the group with its id.
func (f *Fleet) PreviewGroup(ctx context.Context, g domain.SecurityGroup) (GroupEffect, error) {
	g, err := f.settleGroup(ctx, g)
	if err != nil {
		return GroupEffect{}, err
	}
	e, err := nets.ReadEstate(ctx, f.db)
	if err != nil {
		return GroupEffect{}, err
	}
	out := GroupEffect{VMs: e.In(g.ID)}
	for _, vm := range out.VMs {
		if slices.ContainsFunc(out.Hosts, func(h domain.Host) bool { return h.ID == vm.HostID }) {
			continue
		}
		h, err := f.db.Host(ctx, vm.HostID)
		if err != nil {
			return out, err
		}
		out.Hosts = append(out.Hosts, h)
	}
	name := func(id string) (string, int) {
		if id == g.ID {
			return g.Name, len(e.Members(id))
		}
		for _, x := range e.Groups {
			if x.ID == id {
				return x.Name, len(e.Members(id))
			}
		}
		return id, 0
	}
	for _, r := range g.Rules {
		out.Sentences = append(out.Sentences, r.Sentence(len(out.VMs), name))
		if r.Group != "" {
			if n, members := name(r.Group); members == 0 {
				out.Warnings = append(out.Warnings, fmt.Sprintf("No member of “%s” has a known address, so this rule matches nobody until one has.", n))
			}
		}
	}
	if !slices.ContainsFunc(g.Rules, func(r domain.SecRule) bool { return r.Direction == "in" && r.Action != "deny" }) {
		out.Warnings = append(out.Warnings, "Nothing is let in: nobody can begin a connection to these VMs over this network card.")
	}
	out.Sentences = append(out.Sentences, "Everything else that comes in is dropped; everything else may go out. Answers to what was allowed, DHCP and ARP pass.")
	if g.Spoofing {
		out.Sentences = append(out.Sentences, "These VMs may send under addresses that are not their own.")
	} else {
		out.Sentences = append(out.Sentences, "They can only send under their own MAC and IP address.")
	}
	return out, nil
}

// SaveGroup writes a group (new when its id is empty) and enqueues the job that has it enforced where its members live.
func (f *Fleet) SaveGroup(ctx context.Context, actor string, g domain.SecurityGroup, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	title := "Change the security group " + g.Name
	if g.ID == "" {
		g.ID, g.Version, title = domain.NewID("sg", f.clock()), 0, "Create the security group "+g.Name
	}
	g, err := f.settleGroup(ctx, g)
	if err != nil {
		return domain.Job{}, err
	}
	return f.applyGroup(ctx, actor, g, title, key, func(tx *db.Tx) error { return tx.SaveSecurityGroup(g) })
}

func (f *Fleet) applyGroup(ctx context.Context, actor string, g domain.SecurityGroup, title, key string, write func(tx *db.Tx) error) (domain.Job, error) {
	e, err := nets.ReadEstate(ctx, f.db)
	if err != nil {
		return domain.Job{}, err
	}
	// Where members live, and where those live whose rules name this group.
	groups := []string{g.ID}
	for _, x := range e.Groups {
		if slices.ContainsFunc(x.Rules, func(r domain.SecRule) bool { return r.Group == g.ID }) {
			groups = append(groups, x.ID)
		}
	}
	var in nets.Apply
	for _, id := range groups {
		for _, vm := range e.In(id) {
			if !slices.ContainsFunc(in.Hosts, func(o nets.On) bool { return o.HostID == vm.HostID }) {
				in.Hosts = append(in.Hosts, nets.On{HostID: vm.HostID, HostName: vm.HostName})
			}
		}
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: nets.KindApply, Title: title, Resource: domain.Ref{Kind: "security_group", ID: g.ID, Name: g.Name}, Locks: []string{g.ID}, Input: in, Actor: actor, Key: key},
		func(tx *db.Tx, job *domain.Job) error {
			if err := write(tx); err != nil {
				return err
			}
			return tx.Emit(domain.Event{Kind: "security_group.changed", Resource: domain.Ref{Kind: "security_group", ID: g.ID, Name: g.Name}, JobID: job.ID, Actor: actor, Message: title + "."})
		})
}

// DeleteGroup removes a group that nothing uses; else the error names the VMs and groups that do.
func (f *Fleet) DeleteGroup(ctx context.Context, actor, id, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	g, err := f.db.SecurityGroup(ctx, id)
	if err != nil {
		return domain.Job{}, err
	}
	e, err := nets.ReadEstate(ctx, f.db)
	if err != nil {
		return domain.Job{}, err
	}
	var users []domain.Reason
	for _, vm := range e.In(g.ID) {
		users = append(users, domain.Reason{Subject: vm.Name, Msg: "A network card of it is in the group."})
	}
	for _, x := range e.Groups {
		if x.ID != g.ID && slices.ContainsFunc(x.Rules, func(r domain.SecRule) bool { return r.Group == g.ID }) {
			users = append(users, domain.Reason{Subject: x.Name, Msg: "A rule of this security group names it."})
		}
	}
	if len(users) > 0 {
		names := make([]string, len(users))
		for i, u := range users {
			names[i] = u.Subject
		}
		return domain.Job{}, &domain.Error{Code: domain.Conflict, Msg: fmt.Sprintf("The security group %s is used by %s.", g.Name, strings.Join(names, ", ")),
			Fix: "Take the network cards out of the group and remove the rules that name it first.", Reasons: users}
	}
	return f.applyGroup(ctx, actor, g, "Delete the security group "+g.Name, key, func(tx *db.Tx) error { return tx.DeleteSecurityGroup(g.ID) })
}

// GroupMembers gives the VMs that are in each group, by the group's id.
func (f *Fleet) GroupMembers(ctx context.Context) (map[string][]domain.VM, error) {
	e, err := nets.ReadEstate(ctx, f.db)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]domain.VM, len(e.Groups))
	for _, g := range e.Groups {
		out[g.ID] = e.In(g.ID)
	}
	return out, nil
}

// CardGroups gives the names of the groups that each filter stands for, for showing cards.
func (f *Fleet) CardGroups(ctx context.Context) (map[string][]string, error) {
	sets, err := f.db.FilterSets(ctx)
	if err != nil || len(sets) == 0 {
		return nil, err
	}
	all, err := f.db.SecurityGroups(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]string, len(sets))
	for filter, ids := range sets {
		for _, g := range all {
			if slices.Contains(ids, g.ID) {
				out[filter] = append(out[filter], g.Name)
			}
		}
	}
	return out, nil
}
