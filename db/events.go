package db

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"novacron/domain"
)

// Emit writes an event in this transaction; after the commit the feed has it. Seq and At are filled in.
func (tx *Tx) Emit(ev domain.Event) error {
	if tx.seq == 0 {
		// The writer is alone, so the next number is known; no database's own counter is needed.
		if err := tx.read().GetContext(tx.ctx, &tx.seq, "SELECT coalesce(max(seq), 0) FROM events"); err != nil {
			return edge(err, "event")
		}
	}
	tx.seq++
	ev.Seq = tx.seq
	ev.At = tx.now().UTC().Truncate(time.Millisecond)
	var err error
	if ev.Tenant == "" {
		if ev.Tenant, err = tx.tenantOf(ev.Resource.Kind, ev.Resource.ID, ev.JobID); err != nil {
			return err
		}
	}
	_, err = tx.aside("INSERT INTO events (seq, at, kind, res_kind, res_id, res_name, host_id, job_id, actor, message, tenant) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		ev.Seq, ms(ev.At), ev.Kind, ev.Resource.Kind, ev.Resource.ID, ev.Resource.Name, ev.HostID, ev.JobID, ev.Actor, ev.Message, ev.Tenant)
	if err != nil {
		return edge(err, "event")
	}
	if err := tx.auditEvent(ev); err != nil {
		return err
	}
	tx.events = append(tx.events, ev)
	return nil
}

// Events reads the event table.
func (d *DB) Events(ctx context.Context, q EventQuery) ([]domain.Event, error) {
	where, args := []string{"seq > ?"}, []any{q.After}
	if cond, more := conditionOfOwner(ctx); len(cond) > 0 {
		where, args = append(where, cond...), append(args, more...)
	}
	if q.Before > 0 {
		where, args = append(where, "seq < ?"), append(args, q.Before)
	}
	if q.Resource != "" {
		where, args = append(where, "res_id = ?"), append(args, q.Resource)
	}
	if q.HostID != "" {
		where, args = append(where, "(host_id = ? OR res_id = ?)"), append(args, q.HostID, q.HostID)
	}
	if q.JobID != "" {
		where, args = append(where, "job_id = ?"), append(args, q.JobID)
	}
	if q.NoSteps {
		where, args = append(where, "kind <> ?"), append(args, domain.EventStep)
	}
	order := "ASC"
	if q.Newest {
		order = "DESC"
	}
	query := "SELECT seq, at, kind, res_kind, res_id, res_name, host_id, job_id, actor, message, tenant FROM events WHERE " + strings.Join(where, " AND ") + " ORDER BY seq " + order + " LIMIT ?"
	var evs []domain.Event
	err := d.read.each(ctx, func(rows *sql.Rows) error {
		var ev domain.Event
		var when int64
		if err := rows.Scan(&ev.Seq, &when, &ev.Kind, &ev.Resource.Kind, &ev.Resource.ID, &ev.Resource.Name, &ev.HostID, &ev.JobID, &ev.Actor, &ev.Message, &ev.Tenant); err != nil {
			return err
		}
		ev.At = at(when)
		evs = append(evs, ev)
		return nil
	}, query, append(args, limit(q.Limit, defaultLimit))...)
	return evs, edge(err, "event")
}
