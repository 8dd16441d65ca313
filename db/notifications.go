package db

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"novacron/domain"
)

type silenceRow struct {
	ID        string
	StartsAt  int64 `db:"starts_at"`
	EndsAt    int64 `db:"ends_at"`
	Doc       string
	CreatedAt int64 `db:"created_at"`
	Version   int64
}

type silenceDoc struct {
	Matchers  []domain.Matcher `json:"matchers"`
	Comment   string           `json:"comment"`
	CreatedBy string           `json:"created_by"`
}

func selectSilences(ctx context.Context, q getter, where string, args ...any) ([]domain.Silence, error) {
	var rows []silenceRow
	if err := q.SelectContext(ctx, &rows, "SELECT id, starts_at, ends_at, doc, created_at, version FROM silences WHERE "+where+" ORDER BY ends_at DESC, id", args...); err != nil {
		return nil, edge(err, "silence")
	}
	out := make([]domain.Silence, 0, len(rows))
	for _, r := range rows {
		var d silenceDoc
		if err := parse(r.Doc, &d); err != nil {
			return nil, err
		}
		out = append(out, domain.Silence{ID: r.ID, Matchers: d.Matchers, StartsAt: at(r.StartsAt), EndsAt: at(r.EndsAt), Comment: d.Comment, CreatedBy: d.CreatedBy, CreatedAt: at(r.CreatedAt), Version: r.Version})
	}
	return out, nil
}

// Silences lists silences that end after a time, the one that ends last first.
func (d *DB) Silences(ctx context.Context, after time.Time) ([]domain.Silence, error) {
	return selectSilences(ctx, d.read, "ends_at > ?", ms(after))
}

// Silences lists silences that end after a time.
func (tx *Tx) Silences(after time.Time) ([]domain.Silence, error) {
	return selectSilences(tx.ctx, tx.read(), "ends_at > ?", ms(after))
}

// Silence reads one. NotFound.
func (d *DB) Silence(ctx context.Context, id string) (domain.Silence, error) {
	all, err := selectSilences(ctx, d.read, "id = ?", id)
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such silence.").WithFix("It may be too old to be kept; look at the list again.")
	}
	if err != nil {
		return domain.Silence{}, err
	}
	return all[0], nil
}

// PutSilence writes a silence, new (version 0) or changed.
func (tx *Tx) PutSilence(s domain.Silence) error {
	doc, err := text(silenceDoc{s.Matchers, s.Comment, s.CreatedBy})
	if err != nil {
		return err
	}
	if s.Version == 0 {
		return tx.one("silence", "INSERT INTO silences (id, starts_at, ends_at, doc, created_at, version) VALUES (?, ?, ?, ?, ?, 1)", s.ID, ms(s.StartsAt), ms(s.EndsAt), doc, ms(s.CreatedAt))
	}
	n, err := tx.exec("UPDATE silences SET starts_at = ?, ends_at = ?, doc = ?, version = version + 1 WHERE id = ? AND version = ?", ms(s.StartsAt), ms(s.EndsAt), doc, s.ID, s.Version)
	if err == nil && n == 0 {
		return stale("silence", s.Version)
	}
	return edge(err, "silence")
}

type receiverRow struct {
	ID, Name, Kind string
	Disabled       bool
	Doc, Secret    string
	CreatedAt      int64 `db:"created_at"`
	Version        int64
}

type receiverDoc struct {
	To       []string         `json:"to"`
	URL      string           `json:"url"`
	Service  string           `json:"service"`
	Matchers []domain.Matcher `json:"matchers"`
	Tenant   string           `json:"tenant"`
	GroupBy  []string         `json:"group_by"`
	Wait     time.Duration    `json:"wait"`
	Repeat   time.Duration    `json:"repeat"`
	Resolved bool             `json:"resolved"`
	OnCall   bool             `json:"only_on_call,omitempty"`
}

func receiverContext(id string) string { return "receiver of alerts " + id }

func (d *DB) selectReceivers(ctx context.Context, q getter, where string, args ...any) ([]domain.Receiver, error) {
	var rows []receiverRow
	if err := q.SelectContext(ctx, &rows, "SELECT id, name, kind, disabled, doc, secret, created_at, version FROM receivers WHERE "+where+" ORDER BY lower(name), id", args...); err != nil {
		return nil, edge(err, "receiver")
	}
	out := make([]domain.Receiver, 0, len(rows))
	for _, r := range rows {
		var c receiverDoc
		if err := parse(r.Doc, &c); err != nil {
			return nil, err
		}
		x := domain.Receiver{ID: r.ID, Name: r.Name, Kind: r.Kind, Disabled: r.Disabled, To: c.To, URL: c.URL, Service: c.Service, Matchers: c.Matchers, Tenant: c.Tenant, GroupBy: c.GroupBy, Wait: c.Wait, Repeat: c.Repeat, Resolved: c.Resolved, OnlyOnCall: c.OnCall,
			CreatedAt: at(r.CreatedAt), Version: r.Version}
		if r.Secret != "" {
			var err error
			if x.Secret, err = d.box.Open(r.Secret, receiverContext(r.ID)); err != nil {
				return nil, err
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// Receivers lists who is told of alerts, with what opens the way to them.
func (d *DB) Receivers(ctx context.Context) ([]domain.Receiver, error) {
	return d.selectReceivers(ctx, d.read, "1 = 1")
}

// Receivers lists who is told of alerts.
func (tx *Tx) Receivers() ([]domain.Receiver, error) {
	return tx.d.selectReceivers(tx.ctx, tx.read(), "1 = 1")
}

// Receiver reads one. NotFound.
func (d *DB) Receiver(ctx context.Context, id string) (domain.Receiver, error) {
	all, err := d.selectReceivers(ctx, d.read, "id = ?", id)
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such receiver.").WithFix("It may have been deleted meanwhile; look at the list again.")
	}
	if err != nil {
		return domain.Receiver{}, err
	}
	return all[0], nil
}

// PutReceiver writes a receiver, new (version 0) or changed; what is secret of it is sealed.
func (tx *Tx) PutReceiver(r domain.Receiver) error {
	doc, err := text(receiverDoc{r.To, r.URL, r.Service, r.Matchers, r.Tenant, r.GroupBy, r.Wait, r.Repeat, r.Resolved, r.OnlyOnCall})
	if err != nil {
		return err
	}
	sealed := ""
	if len(r.Secret) > 0 {
		if sealed, err = tx.d.box.Seal(r.Secret, receiverContext(r.ID)); err != nil {
			return err
		}
	}
	if r.Version == 0 {
		return tx.one("receiver", "INSERT INTO receivers (id, name, kind, disabled, doc, secret, created_at, version) VALUES (?, ?, ?, ?, ?, ?, ?, 1)", r.ID, r.Name, r.Kind, flag(r.Disabled), doc, sealed, ms(r.CreatedAt))
	}
	n, err := tx.exec("UPDATE receivers SET name = ?, kind = ?, disabled = ?, doc = ?, secret = ?, version = version + 1 WHERE id = ? AND version = ?", r.Name, r.Kind, flag(r.Disabled), doc, sealed, r.ID, r.Version)
	if err == nil && n == 0 {
		return stale("receiver “"+r.Name+"”", r.Version)
	}
	return edge(err, "receiver")
}

// DeleteReceiver forgets a receiver and what it was told.
func (tx *Tx) DeleteReceiver(id string) error {
	if _, err := tx.exec("DELETE FROM notifications WHERE receiver_id = ?", id); err != nil {
		return edge(err, "receiver")
	}
	return tx.one("receiver", "DELETE FROM receivers WHERE id = ?", id)
}

type notificationRow struct {
	ID         string
	ReceiverID string `db:"receiver_id"`
	Grp        string
	State      string
	Attempts   int
	NextAt     int64 `db:"next_at"`
	SentAt     int64 `db:"sent_at"`
	Error, Doc string
	CreatedAt  int64 `db:"created_at"`
}

type notificationDoc struct {
	Firing   []string `json:"firing"`
	Resolved []string `json:"resolved"`
	Why      string   `json:"why,omitempty"`
}

func selectNotifications(ctx context.Context, q getter, tail string, args ...any) ([]domain.Notification, error) {
	var rows []notificationRow
	if err := q.SelectContext(ctx, &rows, "SELECT id, receiver_id, grp, state, attempts, next_at, sent_at, error, doc, created_at FROM notifications "+tail, args...); err != nil {
		return nil, edge(err, "notification")
	}
	out := make([]domain.Notification, 0, len(rows))
	for _, r := range rows {
		var d notificationDoc
		if err := parse(r.Doc, &d); err != nil {
			return nil, err
		}
		out = append(out, domain.Notification{ID: r.ID, ReceiverID: r.ReceiverID, Group: r.Grp, State: domain.NotificationState(r.State), Attempts: r.Attempts, NextAt: at(r.NextAt), SentAt: at(r.SentAt), CreatedAt: at(r.CreatedAt), Error: r.Error,
			Firing: d.Firing, Resolved: d.Resolved, Why: d.Why})
	}
	return out, nil
}

// LastNotifications gives the newest message of each receiver about each group.
func (tx *Tx) LastNotifications() ([]domain.Notification, error) {
	return selectNotifications(tx.ctx, tx.read(), "WHERE id IN (SELECT max(id) FROM notifications GROUP BY receiver_id, grp)")
}

// Notifications lists messages to a receiver, or to all, the newest first.
func (d *DB) Notifications(ctx context.Context, receiver string, most int) ([]domain.Notification, error) {
	return selectNotifications(ctx, d.read, "WHERE ? IN (receiver_id, '') ORDER BY id DESC LIMIT ?", receiver, most)
}

// DueNotifications lists messages that are to be sent, the oldest first.
func (d *DB) DueNotifications(ctx context.Context, now time.Time, most int) ([]domain.Notification, error) {
	return selectNotifications(ctx, d.read, "WHERE state = ? AND next_at <= ? ORDER BY next_at, id LIMIT ?", string(domain.NotificationQueued), ms(now), most)
}

// StuckNotifications counts the messages, by their receiver's name, that could not be sent at least twice and still are to be.
func (d *DB) StuckNotifications(ctx context.Context) (map[string]int, error) {
	var rows []struct {
		Name string
		N    int
	}
	err := d.read.SelectContext(ctx, &rows, "SELECT r.name, count(*) AS n FROM notifications n JOIN receivers r ON r.id = n.receiver_id WHERE n.state = ? AND n.attempts > 1 GROUP BY r.name", string(domain.NotificationQueued))
	out := make(map[string]int, len(rows))
	for _, r := range rows {
		out[r.Name] = r.N
	}
	return out, edge(err, "notification")
}

// JobFigure is how the jobs of a kind are doing.
type JobFigure struct {
	Kind   string
	Stuck  int
	Oldest time.Time // when the oldest began that runs; zero: none does
}

// JobFigures tells how jobs are doing, by kind; kinds of which none runs or is stuck are not in it.
func (d *DB) JobFigures(ctx context.Context) ([]JobFigure, error) {
	var rows []struct {
		Kind   string
		Stuck  int
		Oldest int64
	}
	err := d.read.SelectContext(ctx, &rows, "SELECT kind, sum(CASE WHEN state = 'stuck' THEN 1 ELSE 0 END) AS stuck, coalesce(min(CASE WHEN state = 'running' THEN started_at END), 0) AS oldest FROM jobs WHERE state IN ('queued', 'running', 'stuck') AND state <> 'queued' GROUP BY kind ORDER BY kind")
	out := make([]JobFigure, len(rows))
	for i, r := range rows {
		out[i] = JobFigure{r.Kind, r.Stuck, at(r.Oldest)}
	}
	return out, edge(err, "job")
}

// PutNotification writes a message, new or as it is now.
func (tx *Tx) PutNotification(n domain.Notification) error {
	doc, err := text(notificationDoc{n.Firing, n.Resolved, n.Why})
	if err != nil {
		return err
	}
	return tx.one("notification", `INSERT INTO notifications (id, receiver_id, grp, state, attempts, next_at, sent_at, error, doc, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, attempts = excluded.attempts, next_at = excluded.next_at, sent_at = excluded.sent_at, error = excluded.error, doc = excluded.doc`,
		n.ID, n.ReceiverID, n.Group, string(n.State), n.Attempts, ms(n.NextAt), ms(n.SentAt), n.Error, doc, ms(n.CreatedAt))
}

// Tried notes what came of sending a message that said so. What there is to say may have changed meanwhile: then it stays to be sent.
func (tx *Tx) Tried(n, said domain.Notification) error {
	now, err := selectNotifications(tx.ctx, tx.read(), "WHERE id = ?", n.ID)
	if err != nil || len(now) == 0 {
		return err // its receiver was deleted
	}
	is := now[0]
	is.State, is.Attempts, is.NextAt, is.SentAt, is.Error = n.State, n.Attempts, n.NextAt, n.SentAt, n.Error
	if n.State == domain.NotificationSent && !(slices.Equal(is.Firing, said.Firing) && slices.Equal(is.Resolved, said.Resolved)) {
		is.State, is.Attempts = domain.NotificationQueued, 0
	}
	return tx.PutNotification(is)
}

// PruneNotifications forgets messages that are older than a time, but for the newest of each group whose alerts still stand, and silences that ended before it.
func (tx *Tx) PruneNotifications(before time.Time) error {
	if _, err := tx.exec(`DELETE FROM notifications WHERE created_at < ? AND state <> ? AND id NOT IN (SELECT max(id) FROM notifications GROUP BY receiver_id, grp)`, ms(before), string(domain.NotificationQueued)); err != nil {
		return edge(err, "notification")
	}
	_, err := tx.exec("DELETE FROM silences WHERE ends_at < ?", ms(before))
	return edge(err, "silence")
}

type incidentRow struct {
	ID, Title, Tenant string
	StartedAt         int64 `db:"started_at"`
	EndedAt           int64 `db:"ended_at"`
	Doc               string
	Version           int64
}

type incidentDoc struct {
	Cause   string   `json:"cause"`
	CauseID string   `json:"cause_id"`
	Hosts   []string `json:"hosts"`
	VMs     []string `json:"vms"`
	Alerts  int      `json:"alerts"`
}

func selectIncidents(ctx context.Context, q getter, cond []string, args ...any) ([]domain.Incident, error) {
	var rows []incidentRow
	if err := q.SelectContext(ctx, &rows, "SELECT id, title, tenant, started_at, ended_at, doc, version FROM incidents"+and(cond)+" ORDER BY id DESC LIMIT 1000", args...); err != nil {
		return nil, edge(err, "incident")
	}
	out := make([]domain.Incident, 0, len(rows))
	for _, r := range rows {
		var d incidentDoc
		if err := parse(r.Doc, &d); err != nil {
			return nil, err
		}
		out = append(out, domain.Incident{ID: r.ID, Title: r.Title, Cause: d.Cause, CauseID: d.CauseID, Tenant: r.Tenant, Hosts: d.Hosts, VMs: d.VMs, Alerts: d.Alerts, StartedAt: at(r.StartedAt), EndedAt: at(r.EndedAt), Version: r.Version})
	}
	return out, nil
}

// Incidents lists the incidents in sight, the newest first; open: only those that something of still fires.
func (d *DB) Incidents(ctx context.Context, open bool) ([]domain.Incident, error) {
	cond, args := conditionOfTenant(ctx)
	if open {
		cond = append(cond, "ended_at = 0")
	}
	return selectIncidents(ctx, d.read, cond, args...)
}

// OpenIncidents lists those that something of still fires.
func (tx *Tx) OpenIncidents() ([]domain.Incident, error) {
	return selectIncidents(tx.ctx, tx.read(), []string{"ended_at = 0"})
}

// Incident reads one. NotFound.
func (d *DB) Incident(ctx context.Context, id string) (domain.Incident, error) {
	cond, args := conditionOfTenant(ctx)
	all, err := selectIncidents(ctx, d.read, append(cond, "id = ?"), append(args, id)...)
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such incident.").WithFix("It may be too old to be kept; look at the list again.")
	}
	if err != nil {
		return domain.Incident{}, err
	}
	return all[0], nil
}

// PutIncident writes an incident, new (version 0) or as it is now.
func (tx *Tx) PutIncident(i domain.Incident) error {
	doc, err := text(incidentDoc{i.Cause, i.CauseID, i.Hosts, i.VMs, i.Alerts})
	if err != nil {
		return err
	}
	return tx.one("incident", `INSERT INTO incidents (id, title, tenant, started_at, ended_at, doc, version) VALUES (?, ?, ?, ?, ?, ?, 1)
		ON CONFLICT (id) DO UPDATE SET title = excluded.title, tenant = excluded.tenant, ended_at = excluded.ended_at, doc = excluded.doc, version = incidents.version + 1`,
		i.ID, i.Title, i.Tenant, ms(i.StartedAt), ms(i.EndedAt), doc)
}

// PruneIncidents forgets incidents that ended before a time.
func (tx *Tx) PruneIncidents(before time.Time) error {
	_, err := tx.exec("DELETE FROM incidents WHERE ended_at > 0 AND ended_at < ?", ms(before))
	return edge(err, "incident")
}

// JobsAbout lists top-level jobs about any of these things that began or ended between two times.
func (tx *Tx) JobsAbout(ids []string, from, to time.Time) ([]domain.Job, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []struct {
		ID, Title string
		CreatedAt int64 `db:"created_at"`
	}
	args := append(anys(ids), ms(to), ms(from))
	if err := tx.read().SelectContext(tx.ctx, &rows, "SELECT id, title, created_at FROM jobs WHERE parent_id IS NULL AND res_id IN ("+marks(len(ids))+") AND created_at <= ? AND (ended_at = 0 OR ended_at >= ?) ORDER BY created_at DESC LIMIT 20", args...); err != nil {
		return nil, edge(err, "job")
	}
	out := make([]domain.Job, len(rows))
	for i, r := range rows {
		out[i] = domain.Job{ID: r.ID, Title: r.Title, CreatedAt: at(r.CreatedAt)}
	}
	return out, nil
}

// TimeLine is what happened to all that an incident is about, from ten minutes before it until ten after; steps of jobs are left out.
func (d *DB) TimeLine(ctx context.Context, in domain.Incident) ([]domain.Event, error) {
	of, err := d.Alerts(ctx, AlertQuery{Incident: in.ID})
	if err != nil {
		return nil, err
	}
	ids := slices.Concat([]string{in.ID}, in.Hosts, in.VMs)
	for _, a := range of {
		ids = append(ids, a.ID)
	}
	to := int64(1) << 62
	if !in.EndedAt.IsZero() {
		to = ms(in.EndedAt.Add(10 * time.Minute))
	}
	cond, args := conditionOfOwner(ctx)
	cond = append(cond, "at >= ?", "at <= ?", "kind <> ?", "res_id IN ("+marks(len(ids))+")")
	args = append(append(args, ms(in.StartedAt.Add(-10*time.Minute)), to, domain.EventStep), anys(ids)...)
	var evs []domain.Event
	err = d.read.each(ctx, func(rows *sql.Rows) error {
		var ev domain.Event
		var when int64
		if err := rows.Scan(&ev.Seq, &when, &ev.Kind, &ev.Resource.Kind, &ev.Resource.ID, &ev.Resource.Name, &ev.HostID, &ev.JobID, &ev.Actor, &ev.Message); err != nil {
			return err
		}
		ev.At = at(when)
		evs = append(evs, ev)
		return nil
	}, "SELECT seq, at, kind, res_kind, res_id, res_name, host_id, job_id, actor, message FROM events"+and(cond)+" ORDER BY seq LIMIT 500", args...)
	return evs, edge(err, "event")
}
