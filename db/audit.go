package db

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"novacron/db/seal"
	"novacron/domain"
)

// auditHead is the setting that says which row is the newest, so that a log whose end was cut off is seen too.
const auditHead = "audit.head"

// Where a row of the log has a hash, it is keyed with the key that seals secrets: who can only write to the database cannot make one.
func (d *DB) auditHash(r domain.AuditRecord) (string, error) {
	r.Hash = ""
	r.At = r.At.UTC().Truncate(time.Millisecond)
	b, err := json.Marshal(r)
	if err != nil {
		return "", domain.Errorf(domain.Internal, "An audit record could not be encoded: %w", err)
	}
	return hex.EncodeToString(seal.Code(d.auditKeys.Rows, b)), nil
}

func (d *DB) auditEnd(seq int64, hash string) string {
	return fmt.Sprintf("%d %s %s", seq, hash, hex.EncodeToString(seal.Code(d.auditKeys.Head, fmt.Appendf(nil, "%d %s", seq, hash))))
}

// Audit adds a row to the audit log in this transaction: it is there when what it tells of is. What is not said is taken from the context's cause.
func (tx *Tx) Audit(r domain.AuditRecord) error {
	if c := domain.CauseOf(tx.ctx); c != nil {
		for to, from := range map[*string]string{&r.Subject: c.Subject, &r.Actor: c.Actor, &r.Address: c.Address, &r.Proof: c.Proof, &r.Request: c.Request, &r.After: c.Detail} {
			if *to == "" {
				*to = from
			}
		}
	}
	var last struct {
		Seq  int64
		Hash string
	}
	err := edge(tx.read().GetContext(tx.ctx, &last, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"), "audit record")
	if err != nil && !domain.Is(err, domain.NotFound) {
		return err
	}
	r.Seq, r.Prev, r.At = last.Seq+1, last.Hash, tx.now().UTC().Truncate(time.Millisecond)
	if r.Outcome == "" {
		r.Outcome = "ok"
	}
	if r.Hash, err = tx.d.auditHash(r); err != nil {
		return err
	}
	_, err = tx.aside("INSERT INTO audit ("+auditColumns+") VALUES ("+marks(19)+")", r.Seq, ms(r.At), r.Actor, r.Subject, r.Address, r.Proof, r.Action,
		r.Object.Kind, r.Object.ID, r.Object.Name, r.Tenant, r.Outcome, r.JobID, r.Request, r.Message, r.Before, r.After, r.Prev, r.Hash)
	if err != nil {
		return edge(err, "audit record")
	}
	_, err = tx.aside("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", auditHead, tx.d.auditEnd(r.Seq, r.Hash))
	return edge(err, "audit record")
}

// auditEvent adds what a person or a program did: events that no request stands behind are the server's own and in the feed alone.
func (tx *Tx) auditEvent(ev domain.Event) error {
	if ev.Kind == domain.EventStep {
		return nil
	}
	if domain.CauseOf(tx.ctx) == nil {
		return tx.auditOutcome(ev)
	}
	before, after, err := tx.told(ev)
	if err != nil {
		return err
	}
	return tx.Audit(domain.AuditRecord{Action: ev.Kind, Object: ev.Resource, Tenant: ev.Tenant, JobID: ev.JobID, Message: ev.Message, Before: before, After: after})
}

// Before says how something was, for the audit rows of the events that follow in this transaction. What it says holds no secrets.
func (tx *Tx) Before(v any) error {
	s, err := text(v)
	tx.before = s
	return err
}

// Changes says of a thing what was and what is to be, for the audit rows of the events that follow in this transaction: only what differs. Neither
// holds secrets.
func (tx *Tx) Changes(before, after any) error {
	was, err := fieldsOf(before)
	if err != nil {
		return err
	}
	is, err := fieldsOf(after)
	if err != nil {
		return err
	}
	for k, v := range was {
		if w, ok := is[k]; ok && string(w) == string(v) {
			delete(was, k)
			delete(is, k)
		}
	}
	if tx.before, err = text(was); err == nil {
		tx.after, err = text(is)
	}
	return err
}

func fieldsOf(v any) (out map[string]json.RawMessage, err error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	return out, parse(s, &out)
}

// auditOutcome adds what came of a job that somebody asked for, on behalf of whom the log names as the one who did.
func (tx *Tx) auditOutcome(ev domain.Event) error {
	if ev.JobID == "" || ev.Resource.Kind == "" {
		return nil
	}
	asked, err := tx.askedFor(ev.JobID)
	if err != nil {
		return err
	}
	if len(asked) == 0 {
		return tx.auditChild(ev)
	}
	job, err := tx.Job(ev.JobID)
	if err != nil || ev.Kind != "job.changed" || !job.State.Ended() && job.State != domain.JobStuck {
		return err
	}
	r := domain.AuditRecord{Action: "job.ended", Object: job.Resource, Tenant: ev.Tenant, JobID: job.ID, Message: ev.Message, Outcome: "failed",
		Actor: asked[0].Actor, Subject: asked[0].Subject, Address: asked[0].Address, Proof: asked[0].Proof, Request: asked[0].Request}
	if job.State == domain.JobSucceeded {
		r.Outcome = "ok"
	}
	if r.Before, r.After, err = tx.came(job.Resource.ID, asked[0].Before); err != nil {
		return err
	}
	return tx.Audit(r)
}

// asker is who asked for a job, as the log has it, with how the thing was that the job is about.
type asker struct{ Actor, Subject, Address, Proof, Request, Before string }

func (tx *Tx) askedFor(jobID string) (out []asker, err error) {
	err = tx.read().SelectContext(tx.ctx, &out, "SELECT actor, subject, address, proof, request, before FROM audit WHERE job_id = ? AND action <> 'job.ended' ORDER BY seq LIMIT 1", jobID)
	return out, edge(err, "audit record")
}

// deepest bounds how far up it is looked for who asked for the work of which a job is a part.
const deepest = 8

// auditChild adds the row of a job that is a part of what somebody asked for, such as of a selection of many VMs: each thing that is touched has its own
// rows, on behalf of that person, with how it was.
func (tx *Tx) auditChild(ev domain.Event) error {
	if ev.Kind != "job.changed" {
		return nil
	}
	job, err := tx.Job(ev.JobID)
	if domain.Is(err, domain.NotFound) || err == nil && job.State != domain.JobQueued {
		return nil
	}
	if err != nil {
		return err
	}
	for up, n := job.ParentID, 0; up != "" && n < deepest; n++ {
		by, err := tx.askedFor(up)
		if err != nil {
			return err
		}
		if len(by) > 0 {
			before, _, err := tx.told(ev)
			if err != nil {
				return err
			}
			return tx.Audit(domain.AuditRecord{Action: ev.Kind, Object: ev.Resource, Tenant: ev.Tenant, JobID: ev.JobID, Message: ev.Message, Before: before,
				Actor: by[0].Actor, Subject: by[0].Subject, Address: by[0].Address, Proof: by[0].Proof, Request: by[0].Request})
		}
		parent, err := tx.Job(up)
		if err != nil {
			return err
		}
		up = parent.ParentID
	}
	return nil
}

const auditColumns = "seq, at, actor, subject, address, proof, action, res_kind, res_id, res_name, tenant, outcome, job_id, request, message, before, after, prev, hash"

// AuditQuery asks for rows of the audit log, newest first.
type AuditQuery struct {
	Before  int64 // only rows with a smaller number; 0: no bound
	Actor   string
	Object  string // id
	Action  string // the beginning of it, such as vm.
	Outcome string
	Words   string // that message, actor, object or address contain
	From    time.Time
	To      time.Time
	Limit   int // 0: 100; at most 1000
}

func scanAudit(rows *sql.Rows) (r domain.AuditRecord, err error) {
	var when int64
	err = rows.Scan(&r.Seq, &when, &r.Actor, &r.Subject, &r.Address, &r.Proof, &r.Action, &r.Object.Kind, &r.Object.ID, &r.Object.Name, &r.Tenant, &r.Outcome, &r.JobID, &r.Request,
		&r.Message, &r.Before, &r.After, &r.Prev, &r.Hash)
	r.At = at(when)
	return r, err
}

// AuditLog reads the audit log.
func (d *DB) AuditLog(ctx context.Context, q AuditQuery) ([]domain.AuditRecord, error) {
	where, args := []string{"seq > 0"}, []any{}
	add := func(cond string, a ...any) { where, args = append(where, cond), append(args, a...) }
	if q.Before > 0 {
		add("seq < ?", q.Before)
	}
	if q.Actor != "" {
		add("(lower(actor) = lower(?) OR subject = ?)", q.Actor, q.Actor)
	}
	if q.Object != "" {
		add("res_id = ?", q.Object)
	}
	if q.Action != "" {
		add("action"+like, escapeLike(q.Action)+"%")
	}
	if q.Outcome != "" {
		add("outcome = ?", q.Outcome)
	}
	if !q.From.IsZero() {
		add("at >= ?", ms(q.From))
	}
	if !q.To.IsZero() {
		add("at < ?", ms(q.To))
	}
	for _, w := range strings.Fields(strings.ToLower(q.Words)) {
		p := "%" + escapeLike(w) + "%"
		add("(lower(message)"+like+" OR lower(actor)"+like+" OR lower(res_name)"+like+" OR address"+like+" OR action"+like+")", p, p, p, p, p)
	}
	var out []domain.AuditRecord
	err := d.read.each(ctx, func(rows *sql.Rows) error {
		r, err := scanAudit(rows)
		out = append(out, r)
		return err
	}, "SELECT "+auditColumns+" FROM audit WHERE "+strings.Join(where, " AND ")+" ORDER BY seq DESC LIMIT ?", append(args, limit(q.Limit, defaultLimit))...)
	return out, edge(err, "audit record")
}
