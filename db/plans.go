package db

import (
	"context"

	"novacron/domain"
)

type ruleRow struct {
	ID, Name, Doc, Tenant string
	CreatedAt             int64 `db:"created_at"`
	Version               int64
}

// ruleDoc is the part of an affinity rule that SQL does not look into.
type ruleDoc struct {
	Kind  domain.AffinityKind  `json:"kind"`
	Scope domain.AffinityScope `json:"scope"`
	Hard  bool                 `json:"hard"`
	VMs   []string             `json:"vms"`
	Tags  []string             `json:"tags"`
	Hosts []string             `json:"hosts"`
	Notes string               `json:"notes"`
}

func selectRules(ctx context.Context, q getter, where string, args ...any) ([]domain.AffinityRule, error) {
	var rows []ruleRow
	if err := q.SelectContext(ctx, &rows, "SELECT id, name, tenant, doc, created_at, version FROM affinity_rules WHERE "+where+" ORDER BY lower(name), id", args...); err != nil {
		return nil, edge(err, "affinity rule")
	}
	out := make([]domain.AffinityRule, 0, len(rows))
	sight := domain.SightOf(ctx)
	for _, r := range rows {
		if !sight.SeesOf(r.Tenant, "") {
			continue
		}
		var d ruleDoc
		if err := parse(r.Doc, &d); err != nil {
			return nil, err
		}
		out = append(out, domain.AffinityRule{ID: r.ID, Name: r.Name, Tenant: r.Tenant, Kind: d.Kind, Scope: d.Scope, Hard: d.Hard, VMs: d.VMs, Tags: d.Tags, Hosts: d.Hosts, Notes: d.Notes, CreatedAt: at(r.CreatedAt), Version: r.Version})
	}
	return out, nil
}

// AffinityRules lists the rules in sight by name.
func (d *DB) AffinityRules(ctx context.Context) ([]domain.AffinityRule, error) {
	return selectRules(ctx, d.read, "1 = 1")
}

// AffinityRule reads one. NotFound.
func (d *DB) AffinityRule(ctx context.Context, id string) (domain.AffinityRule, error) {
	return oneRule(selectRules(ctx, d.read, "id = ?", id))
}

// AffinityRule reads one. NotFound.
func (tx *Tx) AffinityRule(id string) (domain.AffinityRule, error) {
	return oneRule(selectRules(tx.ctx, tx.read(), "id = ?", id))
}

func oneRule(all []domain.AffinityRule, err error) (domain.AffinityRule, error) {
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such affinity rule.").WithFix("It may have been deleted meanwhile; look at the list again.")
	}
	if err != nil {
		return domain.AffinityRule{}, err
	}
	return all[0], nil
}

// PutAffinityRule writes a rule, new (version 0) or changed (with the version that was read). A name in use is a Conflict.
func (tx *Tx) PutAffinityRule(r domain.AffinityRule) error {
	doc, err := text(ruleDoc{r.Kind, r.Scope, r.Hard, r.VMs, r.Tags, r.Hosts, r.Notes})
	if err != nil {
		return err
	}
	var other string
	err = edge(tx.read().GetContext(tx.ctx, &other, "SELECT id FROM affinity_rules WHERE tenant = ? AND lower(name) = lower(?) AND id <> ?", r.Tenant, r.Name, r.ID), "affinity rule")
	if err == nil {
		msg := "There is an affinity rule called “" + r.Name + "” already."
		return &domain.Error{Code: domain.Conflict, Msg: msg, Fix: "Choose another name.", Fields: []domain.FieldError{{Field: "name", Msg: msg, Want: "a name that no rule has"}}}
	}
	if !domain.Is(err, domain.NotFound) {
		return err
	}
	if r.Version == 0 {
		return tx.one("affinity rule", "INSERT INTO affinity_rules (id, name, tenant, doc, created_at, version) VALUES (?, ?, ?, ?, ?, 1)", r.ID, r.Name, r.Tenant, doc, ms(r.CreatedAt))
	}
	now, err := tx.AffinityRule(r.ID)
	if err != nil {
		return err
	}
	if now.Version != r.Version {
		return stale("affinity rule “"+now.Name+"”", now.Version)
	}
	return tx.one("affinity rule", "UPDATE affinity_rules SET name = ?, doc = ?, version = version + 1 WHERE id = ?", r.Name, doc, r.ID)
}

// DeleteAffinityRule forgets a rule.
func (tx *Tx) DeleteAffinityRule(id string) error {
	return tx.one("affinity rule", "DELETE FROM affinity_rules WHERE id = ?", id)
}

type planRow struct {
	ID, Title, State, Doc string
	JobID                 string `db:"job_id"`
	StartAt               int64  `db:"start_at"`
	CreatedAt             int64  `db:"created_at"`
	Version               int64
}

// PlanQuery narrows a list of plans; empty fields do not.
type PlanQuery struct {
	State  string
	Before string // id: only older ones
	Limit  int    // 0: all
}

func selectPlans(ctx context.Context, q getter, tail string, args ...any) ([]domain.Plan, error) {
	var rows []planRow
	if err := q.SelectContext(ctx, &rows, "SELECT id, title, state, job_id, start_at, doc, created_at, version FROM plans"+tail, args...); err != nil {
		return nil, edge(err, "plan")
	}
	out := make([]domain.Plan, 0, len(rows))
	for _, r := range rows {
		var p domain.Plan
		if err := parse(r.Doc, &p); err != nil {
			return nil, err
		}
		p.ID, p.Title, p.State, p.JobID, p.StartAt, p.CreatedAt, p.Version = r.ID, r.Title, domain.PlanState(r.State), r.JobID, at(r.StartAt), at(r.CreatedAt), r.Version
		out = append(out, p)
	}
	return out, nil
}

// Plans lists maintenance plans, newest first.
func (d *DB) Plans(ctx context.Context, q PlanQuery) ([]domain.Plan, error) {
	var cond []string
	var args []any
	if q.State != "" {
		cond, args = append(cond, "state = ?"), append(args, q.State)
	}
	if q.Before != "" {
		cond, args = append(cond, "id < ?"), append(args, q.Before)
	}
	tail := and(cond) + " ORDER BY id DESC"
	if q.Limit > 0 {
		tail, args = tail+" LIMIT ?", append(args, q.Limit)
	}
	return selectPlans(ctx, d.read, tail, args...)
}

// Plan reads one. NotFound.
func (d *DB) Plan(ctx context.Context, id string) (domain.Plan, error) {
	return onePlan(selectPlans(ctx, d.read, " WHERE id = ?", id))
}

// Plan reads one. NotFound.
func (tx *Tx) Plan(id string) (domain.Plan, error) {
	return onePlan(selectPlans(tx.ctx, tx.read(), " WHERE id = ?", id))
}

func onePlan(all []domain.Plan, err error) (domain.Plan, error) {
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such plan.").WithFix("It may have been deleted meanwhile; look at the list again.")
	}
	if err != nil {
		return domain.Plan{}, err
	}
	return all[0], nil
}

// PutPlan writes a plan, new (version 0) or changed; one that was changed since it was read is a Conflict.
func (tx *Tx) PutPlan(p domain.Plan) error {
	doc, err := text(p)
	if err != nil {
		return err
	}
	if p.Version == 0 {
		return tx.one("plan", "INSERT INTO plans (id, title, state, job_id, start_at, doc, created_at, version) VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
			p.ID, p.Title, string(p.State), p.JobID, ms(p.StartAt), doc, ms(p.CreatedAt))
	}
	n, err := tx.exec("UPDATE plans SET title = ?, state = ?, job_id = ?, start_at = ?, doc = ?, version = version + 1 WHERE id = ? AND version = ?",
		p.Title, string(p.State), p.JobID, ms(p.StartAt), doc, p.ID, p.Version)
	if err == nil && n == 0 {
		return stale("plan “"+p.Title+"”", p.Version)
	}
	return edge(err, "plan")
}

// DeletePlan forgets a plan.
func (tx *Tx) DeletePlan(id string) error {
	return tx.one("plan", "DELETE FROM plans WHERE id = ?", id)
}

// VMPlace is where a VM is, for who needs no more of it.
type VMPlace struct {
	ID, Name string
	Tenant   string
	Tags     []string
	HostID   string
	MovingTo string // while it moves
}

// VMPlaces lists where every VM of the estate is.
func (d *DB) VMPlaces(ctx context.Context) ([]VMPlace, error) {
	var rows []struct {
		ID, Name, Tenant, Tags string
		HostID                 string `db:"host_id"`
		MovingTo               string `db:"moving_to"`
	}
	if err := d.read.SelectContext(ctx, &rows, "SELECT id, name, tenant, tags, host_id, moving_to FROM vms ORDER BY name_key, id"); err != nil {
		return nil, edge(err, "VM")
	}
	out := make([]VMPlace, len(rows))
	for i, r := range rows {
		out[i] = VMPlace{ID: r.ID, Name: r.Name, Tenant: r.Tenant, HostID: r.HostID, MovingTo: r.MovingTo}
		if err := parse(r.Tags, &out[i].Tags); err != nil {
			return nil, err
		}
	}
	return out, nil
}
