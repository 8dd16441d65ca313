package db

import (
	"context"
	"strings"
	"time"

	"novacron/domain"
)

type alertRuleRow struct {
	ID, Name, Tenant string
	Disabled         bool
	Doc, Error       string
	CreatedAt        int64 `db:"created_at"`
	Version          int64
}

// alertRuleDoc is the part of a rule that SQL does not look into.
type alertRuleDoc struct {
	Group         string            `json:"group"`
	Expr          string            `json:"expr"`
	For           time.Duration     `json:"for"`
	KeepFiringFor time.Duration     `json:"keep_firing_for"`
	Labels        map[string]string `json:"labels"`
	Annotations   map[string]string `json:"annotations"`
	Starter       bool              `json:"starter"`
}

func selectAlertRules(ctx context.Context, q getter, cond []string, args ...any) ([]domain.AlertRule, error) {
	var rows []alertRuleRow
	if err := q.SelectContext(ctx, &rows, "SELECT id, name, tenant, disabled, doc, error, created_at, version FROM alert_rules"+and(cond)+" ORDER BY lower(name), id", args...); err != nil {
		return nil, edge(err, "alert rule")
	}
	out := make([]domain.AlertRule, 0, len(rows))
	for _, r := range rows {
		var d alertRuleDoc
		if err := parse(r.Doc, &d); err != nil {
			return nil, err
		}
		out = append(out, domain.AlertRule{ID: r.ID, Name: r.Name, Group: d.Group, Expr: d.Expr, For: d.For, KeepFiringFor: d.KeepFiringFor, Labels: d.Labels, Annotations: d.Annotations, Tenant: r.Tenant,
			Disabled: r.Disabled, Starter: d.Starter, Error: r.Error, CreatedAt: at(r.CreatedAt), Version: r.Version})
	}
	return out, nil
}

// AlertRules lists the rules by name: those of the tenants in sight.
func (d *DB) AlertRules(ctx context.Context) ([]domain.AlertRule, error) {
	cond, args := conditionOfTenant(ctx)
	return selectAlertRules(ctx, d.read, cond, args...)
}

// AlertRule reads one. NotFound.
func (d *DB) AlertRule(ctx context.Context, id string) (domain.AlertRule, error) {
	cond, args := conditionOfTenant(ctx)
	return oneAlertRule(selectAlertRules(ctx, d.read, append(cond, "id = ?"), append(args, id)...))
}

// AlertRule reads one. NotFound.
func (tx *Tx) AlertRule(id string) (domain.AlertRule, error) {
	return oneAlertRule(selectAlertRules(tx.ctx, tx.read(), []string{"id = ?"}, id))
}

func oneAlertRule(all []domain.AlertRule, err error) (domain.AlertRule, error) {
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such alert rule.").WithFix("It may have been deleted meanwhile; look at the list again.")
	}
	if err != nil {
		return domain.AlertRule{}, err
	}
	return all[0], nil
}

// PutAlertRule writes a rule, new (version 0) or changed (with the version that was read).
func (tx *Tx) PutAlertRule(r domain.AlertRule) error {
	doc, err := text(alertRuleDoc{r.Group, r.Expr, r.For, r.KeepFiringFor, r.Labels, r.Annotations, r.Starter})
	if err != nil {
		return err
	}
	if r.Version == 0 {
		return tx.one("alert rule", "INSERT INTO alert_rules (id, name, tenant, disabled, doc, error, created_at, version) VALUES (?, ?, ?, ?, ?, '', ?, 1)", r.ID, r.Name, r.Tenant, flag(r.Disabled), doc, ms(r.CreatedAt))
	}
	now, err := tx.AlertRule(r.ID)
	if err != nil {
		return err
	}
	if now.Version != r.Version {
		return stale("alert rule “"+now.Name+"”", now.Version)
	}
	return tx.one("alert rule", "UPDATE alert_rules SET name = ?, tenant = ?, disabled = ?, doc = ?, error = '', version = version + 1 WHERE id = ?", r.Name, r.Tenant, flag(r.Disabled), doc, r.ID)
}

// SetAlertRuleError notes why a rule could not be evaluated; empty: it could.
func (tx *Tx) SetAlertRuleError(id, why string) error {
	_, err := tx.exec("UPDATE alert_rules SET error = ? WHERE id = ?", why, id)
	return edge(err, "alert rule")
}

// DeleteAlertRule forgets a rule; its alerts stay until they are old.
func (tx *Tx) DeleteAlertRule(id string) error {
	return tx.one("alert rule", "DELETE FROM alert_rules WHERE id = ?", id)
}

type alertRow struct {
	ID         string
	RuleID     string `db:"rule_id"`
	Name       string
	State      string
	Severity   string
	Tenant     string
	HostID     string `db:"host_id"`
	VMID       string `db:"vm_id"`
	IncidentID string `db:"incident_id"`
	Value      float64
	ActiveAt   int64 `db:"active_at"`
	FiredAt    int64 `db:"fired_at"`
	ResolvedAt int64 `db:"resolved_at"`
	Doc        string
	Version    int64
}

type alertDoc struct {
	Fingerprint string            `json:"fingerprint"`
	Pool        string            `json:"pool,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	AckedAt     int64             `json:"acked_at,omitempty"`
	AckedBy     string            `json:"acked_by,omitempty"`
	SilenceID   string            `json:"silence_id,omitempty"`
	Quiet       string            `json:"quiet,omitempty"`
}

// AlertQuery narrows a list of alerts; empty fields do not.
type AlertQuery struct {
	States   []domain.AlertState
	Rule     string
	Name     string
	Severity string
	Host     string
	VM       string
	Incident string
	IDs      []string
	Before   string // id: only older ones
	Limit    int    // 0: all
}

func selectAlerts(ctx context.Context, q getter, cond []string, tail string, args ...any) ([]domain.Alert, error) {
	var rows []alertRow
	err := q.SelectContext(ctx, &rows, "SELECT id, rule_id, name, state, severity, tenant, host_id, vm_id, incident_id, value, active_at, fired_at, resolved_at, doc, version FROM alerts"+and(cond)+tail, args...)
	if err != nil {
		return nil, edge(err, "alert")
	}
	out := make([]domain.Alert, 0, len(rows))
	for _, r := range rows {
		var d alertDoc
		if err := parse(r.Doc, &d); err != nil {
			return nil, err
		}
		out = append(out, domain.Alert{ID: r.ID, RuleID: r.RuleID, Name: r.Name, State: domain.AlertState(r.State), Severity: r.Severity, Tenant: r.Tenant, HostID: r.HostID, VMID: r.VMID, IncidentID: r.IncidentID,
			Value: r.Value, ActiveAt: at(r.ActiveAt), FiredAt: at(r.FiredAt), ResolvedAt: at(r.ResolvedAt), Version: r.Version,
			Fingerprint: d.Fingerprint, Pool: d.Pool, Labels: d.Labels, Annotations: d.Annotations, AckedAt: at(d.AckedAt), AckedBy: d.AckedBy, SilenceID: d.SilenceID, Quiet: d.Quiet})
	}
	return out, nil
}

// Alerts lists alerts in sight, the newest first.
func (d *DB) Alerts(ctx context.Context, q AlertQuery) ([]domain.Alert, error) {
	return alertsOf(ctx, d.read, q)
}

// Alerts lists alerts, the newest first.
func (tx *Tx) Alerts(q AlertQuery) ([]domain.Alert, error) { return alertsOf(tx.ctx, tx.read(), q) }

func alertsOf(ctx context.Context, g getter, q AlertQuery) ([]domain.Alert, error) {
	cond, args := conditionOfVM(ctx, "vm_id")
	if len(q.States) > 0 {
		cond = append(cond, "state IN ("+marks(len(q.States))+")")
		for _, s := range q.States {
			args = append(args, string(s))
		}
	}
	if len(q.IDs) > 0 {
		cond, args = append(cond, "id IN ("+marks(len(q.IDs))+")"), append(args, anys(q.IDs)...)
	}
	for _, c := range []struct{ column, value string }{{"rule_id", q.Rule}, {"name", q.Name}, {"severity", q.Severity}, {"host_id", q.Host}, {"vm_id", q.VM}, {"incident_id", q.Incident}} {
		if c.value != "" {
			cond, args = append(cond, c.column+" = ?"), append(args, c.value)
		}
	}
	if q.Before != "" {
		cond, args = append(cond, "id < ?"), append(args, q.Before)
	}
	tail := " ORDER BY id DESC"
	if q.Limit > 0 {
		tail, args = tail+" LIMIT ?", append(args, q.Limit)
	}
	return selectAlerts(ctx, g, cond, tail, args...)
}

// Alert reads one. NotFound.
func (d *DB) Alert(ctx context.Context, id string) (domain.Alert, error) {
	return oneAlert(alertsOf(ctx, d.read, AlertQuery{IDs: []string{id}}))
}

// Alert reads one. NotFound.
func (tx *Tx) Alert(id string) (domain.Alert, error) {
	return oneAlert(tx.Alerts(AlertQuery{IDs: []string{id}}))
}

func oneAlert(all []domain.Alert, err error) (domain.Alert, error) {
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such alert.").WithFix("It may be too old to be kept; look at the list again.")
	}
	if err != nil {
		return domain.Alert{}, err
	}
	return all[0], nil
}

// PutAlert writes an alert, new (version 0) or changed; one that was changed since it was read is a Conflict.
func (tx *Tx) PutAlert(a domain.Alert) error {
	doc, err := text(alertDoc{a.Fingerprint, a.Pool, a.Labels, a.Annotations, ms(a.AckedAt), a.AckedBy, a.SilenceID, a.Quiet})
	if err != nil {
		return err
	}
	if a.Version == 0 {
		return tx.one("alert", "INSERT INTO alerts (id, rule_id, name, state, severity, tenant, host_id, vm_id, incident_id, value, active_at, fired_at, resolved_at, doc, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
			a.ID, a.RuleID, a.Name, string(a.State), a.Severity, a.Tenant, a.HostID, a.VMID, a.IncidentID, a.Value, ms(a.ActiveAt), ms(a.FiredAt), ms(a.ResolvedAt), doc)
	}
	n, err := tx.exec("UPDATE alerts SET state = ?, severity = ?, tenant = ?, host_id = ?, vm_id = ?, incident_id = ?, value = ?, active_at = ?, fired_at = ?, resolved_at = ?, doc = ?, version = version + 1 WHERE id = ? AND version = ?",
		string(a.State), a.Severity, a.Tenant, a.HostID, a.VMID, a.IncidentID, a.Value, ms(a.ActiveAt), ms(a.FiredAt), ms(a.ResolvedAt), doc, a.ID, a.Version)
	if err == nil && n == 0 {
		return stale("alert “"+a.Name+"”", a.Version)
	}
	return edge(err, "alert")
}

// SetAlertValue notes what an alert's expression gives now: no event tells of it.
func (tx *Tx) SetAlertValue(id string, value float64) error {
	_, err := tx.aside("UPDATE alerts SET value = ? WHERE id = ?", value, id)
	return edge(err, "alert")
}

// ForgetAlert takes away an alert that never fired.
func (tx *Tx) ForgetAlert(id string) error {
	return tx.one("alert", "DELETE FROM alerts WHERE id = ?", id)
}

// PruneAlerts forgets alerts that were resolved before a time.
func (tx *Tx) PruneAlerts(before time.Time) error {
	_, err := tx.exec("DELETE FROM alerts WHERE state = ? AND resolved_at < ?", string(domain.AlertResolved), ms(before))
	return edge(err, "alert")
}

// FiringAlerts counts the alerts in sight that fire and that somebody is told of.
func (d *DB) FiringAlerts(ctx context.Context) (int, error) {
	all, err := d.Alerts(ctx, AlertQuery{States: []domain.AlertState{domain.AlertFiring}})
	n := 0
	for i := range all {
		if all[i].Quiet == "" {
			n++
		}
	}
	return n, err
}

// VMHome is whose a VM is and where it is.
type VMHome struct {
	ID, Tenant string
	HostID     string `db:"host_id"`
}

// VMHomes lists whose every VM is and where it is.
func (d *DB) VMHomes(ctx context.Context) ([]VMHome, error) {
	var rows []VMHome
	err := d.read.SelectContext(ctx, &rows, "SELECT id, tenant, host_id FROM vms ORDER BY id")
	return rows, edge(err, "VM")
}

// OwnerOfAlert tells whose an alert, a rule of alerts or an incident is, whoever asks, and which VM it is about if it is about one.
func (d *DB) OwnerOfAlert(ctx context.Context, id string) (tenant, vm string, err error) {
	var row struct {
		Tenant string
		VMID   string `db:"vm_id"`
	}
	query := "SELECT tenant, vm_id FROM alerts WHERE id = ?"
	switch {
	case strings.HasPrefix(id, "arule_"):
		query = "SELECT tenant, '' AS vm_id FROM alert_rules WHERE id = ?"
	case strings.HasPrefix(id, "inc_"):
		query = "SELECT tenant, '' AS vm_id FROM incidents WHERE id = ?"
	}
	err = edge(d.read.GetContext(ctx, &row, query, id), "alert")
	return row.Tenant, row.VMID, err
}
