package db

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"novacron/domain"
)

type jobRow struct {
	ID              string
	Kind            string
	Title           string
	State           string
	ResKind         string `db:"res_kind"`
	ResID           string `db:"res_id"`
	ResName         string `db:"res_name"`
	Locks           string
	ParentID        *string `db:"parent_id"`
	Input           string
	Data            string
	Result          string
	Steps           string
	ProgressPercent float64 `db:"progress_percent"`
	ProgressText    string  `db:"progress_text"`
	Error           string
	Help            string
	Actor           string
	Tenant          string
	CancelAsk       bool  `db:"cancel_ask"`
	CreatedAt       int64 `db:"created_at"`
	StartedAt       int64 `db:"started_at"`
	EndedAt         int64 `db:"ended_at"`
	Attempts        int
}

const jobColumns = `id, kind, title, state, res_kind, res_id, res_name, locks, parent_id, input, data, result, steps, progress_percent, progress_text, error, help, actor, tenant,
	cancel_ask, created_at, started_at, ended_at, attempts`

func (r jobRow) job() (domain.Job, error) {
	j := domain.Job{
		ID: r.ID, Kind: r.Kind, Title: r.Title, State: domain.JobState(r.State), Resource: domain.Ref{Kind: r.ResKind, ID: r.ResID, Name: r.ResName},
		Input: raw(r.Input), Data: raw(r.Data), Result: raw(r.Result), Progress: domain.Progress{Percent: r.ProgressPercent, Text: r.ProgressText},
		Help: r.Help, Actor: r.Actor, Tenant: r.Tenant, CancelAsk: r.CancelAsk, CreatedAt: at(r.CreatedAt), StartedAt: at(r.StartedAt), EndedAt: at(r.EndedAt), Attempts: r.Attempts,
	}
	if r.ParentID != nil {
		j.ParentID = *r.ParentID
	}
	if err := parse(r.Locks, &j.Locks); err != nil {
		return j, err
	}
	if err := parse(r.Steps, &j.Steps); err != nil {
		return j, err
	}
	return j, parse(r.Error, &j.Error)
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

func jobsOf(rows []jobRow) ([]domain.Job, error) {
	jobs := make([]domain.Job, len(rows))
	for i, r := range rows {
		var err error
		if jobs[i], err = r.job(); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

func getJob(ctx context.Context, q getter, where string, args ...any) (domain.Job, error) {
	var r jobRow
	if err := q.GetContext(ctx, &r, "SELECT "+jobColumns+" FROM jobs WHERE "+where, args...); err != nil {
		return domain.Job{}, edge(err, "job")
	}
	return r.job()
}

// Job reads one job, when it is in sight.
func (d *DB) Job(ctx context.Context, id string) (domain.Job, error) {
	cond, args := conditionOfOwner(ctx)
	return getJob(ctx, d.read, strings.Join(append([]string{"id = ?"}, cond...), " AND "), append([]any{id}, args...)...)
}

// Job reads one job.
func (tx *Tx) Job(id string) (domain.Job, error) { return getJob(tx.ctx, tx.read(), "id = ?", id) }

// JobByKey finds the job that the same actor asked for with the same key before.
func (tx *Tx) JobByKey(actor, key string) (job domain.Job, ok bool, err error) {
	job, err = getJob(tx.ctx, tx.read(), "actor = ? AND job_key = ?", actor, key)
	if domain.Is(err, domain.NotFound) {
		return job, false, nil
	}
	return job, err == nil, err
}

// Jobs gives a page of jobs, newest first.
func (d *DB) Jobs(ctx context.Context, q JobQuery) (JobPage, error) {
	page, err := d.jobPages.get(ctx, q, func() (JobPage, error) { return d.readJobs(ctx, q) })
	page.Items = slices.Clone(page.Items)
	return page, err
}

func (d *DB) readJobs(ctx context.Context, q JobQuery) (JobPage, error) {
	var cond []string
	var args []any
	add := func(c string, a ...any) { cond, args = append(cond, c), append(args, a...) }
	cond, args = conditionOfOwner(ctx)
	if q.State != "" {
		add("state = ?", string(q.State))
	}
	if q.Active {
		add("state IN ('queued', 'running', 'stuck') AND state <> 'stuck'") // the first part is what the index is on
	}
	if q.Kind != "" {
		add("kind = ?", q.Kind)
	}
	if q.Resource != "" {
		add("res_id = ?", q.Resource)
	}
	if q.Parent != "" {
		add("parent_id = ?", q.Parent)
	}
	if q.TopLevel {
		add("parent_id IS NULL")
	}
	var page JobPage
	if err := d.read.GetContext(ctx, &page.Total, "SELECT count(*) FROM jobs"+and(cond), args...); err != nil {
		return page, edge(err, "job")
	}
	if q.After != "" { // ids sort by birth, so an id is the cursor
		if !strings.HasPrefix(q.After, "job_") {
			return page, domain.InvalidField("after", "That is not a cursor of this list.", "“next” of an earlier page, or nothing for the first page")
		}
		add("id < ?", q.After)
	}
	n := limit(q.Limit, 50)
	var rows []jobRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+jobColumns+" FROM jobs"+and(cond)+" ORDER BY id DESC LIMIT ?", append(args, n+1)...); err != nil {
		return page, edge(err, "job")
	}
	if len(rows) > n {
		rows = rows[:n]
		page.Next = rows[n-1].ID
	}
	var err error
	page.Items, err = jobsOf(rows)
	return page, err
}

// Unended lists the queued and running jobs, oldest first: what a runner takes up when it starts.
func (d *DB) Unended(ctx context.Context) ([]domain.Job, error) {
	var rows []jobRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+jobColumns+" FROM jobs WHERE state IN ('queued', 'running', 'stuck') AND state <> 'stuck' ORDER BY id"); err != nil {
		return nil, edge(err, "job")
	}
	return jobsOf(rows)
}

// Children lists all children of a job, oldest first.
func (d *DB) Children(ctx context.Context, parentID string) ([]domain.Job, error) {
	var rows []jobRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+jobColumns+" FROM jobs WHERE parent_id = ? ORDER BY id", parentID); err != nil {
		return nil, edge(err, "job")
	}
	return jobsOf(rows)
}

// JobLog reads the log of a job, oldest first.
func (d *DB) JobLog(ctx context.Context, id string) ([]domain.JobLine, error) {
	var rows []struct {
		At   int64
		Step string
		Text string
	}
	if err := d.read.SelectContext(ctx, &rows, "SELECT at, step, text FROM job_log WHERE job_id = ? ORDER BY line", id); err != nil {
		return nil, edge(err, "job")
	}
	lines := make([]domain.JobLine, len(rows))
	for i, r := range rows {
		lines[i] = domain.JobLine{At: at(r.At), Step: r.Step, Text: r.Text}
	}
	return lines, nil
}

// AppendJobLog adds lines to a job's log.
func (tx *Tx) AppendJobLog(jobID string, lines ...domain.JobLine) error {
	if len(lines) == 0 {
		return nil
	}
	var last int64
	if err := tx.read().GetContext(tx.ctx, &last, "SELECT coalesce(max(line), 0) FROM job_log WHERE job_id = ?", jobID); err != nil {
		return edge(err, "job")
	}
	for i, l := range lines {
		if _, err := tx.aside("INSERT INTO job_log (job_id, line, at, step, text) VALUES (?, ?, ?, ?, ?)", jobID, last+int64(i)+1, ms(l.At), l.Step, l.Text); err != nil {
			return edge(err, "job")
		}
	}
	return nil
}

// jobText is the encoded parts of a job.
type jobText struct{ locks, steps, err string }

func encodeJob(j domain.Job) (t jobText, err error) {
	if t.locks, err = text(j.Locks); err != nil {
		return t, err
	}
	if t.steps, err = text(j.Steps); err != nil {
		return t, err
	}
	if j.Error != nil {
		t.err, err = text(j.Error)
	}
	return t, err
}

// InsertJob writes a new job; key may be empty. Without a tenant it belongs to that of what it is about.
func (tx *Tx) InsertJob(j domain.Job, key string) error {
	if j.Tenant == "" {
		var err error
		if j.Tenant, err = tx.tenantOfJob(j); err != nil {
			return err
		}
	}
	t, err := encodeJob(j)
	if err != nil {
		return err
	}
	var parent, once *string
	if j.ParentID != "" {
		parent = &j.ParentID
	}
	if key != "" {
		once = &key
	}
	tx.jobs = append(tx.jobs, j)
	_, err = tx.exec("INSERT INTO jobs ("+jobColumns+", job_key) VALUES ("+strings.Repeat("?, ", 24)+"?)",
		j.ID, j.Kind, j.Title, string(j.State), j.Resource.Kind, j.Resource.ID, j.Resource.Name, t.locks, parent, string(j.Input), string(j.Data), string(j.Result), t.steps,
		j.Progress.Percent, j.Progress.Text, t.err, j.Help, j.Actor, j.Tenant, flag(j.CancelAsk), ms(j.CreatedAt), ms(j.StartedAt), ms(j.EndedAt), j.Attempts, once)
	return edge(err, "job")
}

// AskCancel marks that a person asked to cancel the job. The mark is never taken back, also not by an UpdateJob that does not know of it.
func (tx *Tx) AskCancel(jobID string) error {
	return tx.one("job", "UPDATE jobs SET cancel_ask = 1 WHERE id = ?", jobID)
}

// UpdateJob writes what a runner changes; kind, input, locks, actor and parent never change.
func (tx *Tx) UpdateJob(j domain.Job) error {
	t, err := encodeJob(j)
	if err != nil {
		return err
	}
	return tx.one("job", `UPDATE jobs SET title = ?, state = ?, res_id = ?, res_name = ?, data = ?, result = ?, steps = ?, progress_percent = ?, progress_text = ?, error = ?, help = ?,
		cancel_ask = CASE WHEN cancel_ask = 1 THEN 1 ELSE ? END, started_at = ?, ended_at = ?, attempts = ? WHERE id = ?`,
		j.Title, string(j.State), j.Resource.ID, j.Resource.Name, string(j.Data), string(j.Result), t.steps, j.Progress.Percent, j.Progress.Text, t.err, j.Help,
		flag(j.CancelAsk), ms(j.StartedAt), ms(j.EndedAt), j.Attempts, j.ID)
}

// TakeLocks takes all of job.Locks or none: when another job has one, the Conflict names that job.
func (tx *Tx) TakeLocks(job domain.Job) error {
	for _, resource := range job.Locks {
		n, err := tx.exec("INSERT INTO locks (resource, job_id) VALUES (?, ?) ON CONFLICT (resource) DO NOTHING", resource, job.ID)
		if err != nil {
			return edge(err, "lock")
		}
		if n == 1 {
			continue
		}
		var holder struct{ ID, Title, State, ResName string }
		if err := tx.tx.QueryRowxContext(tx.ctx, "SELECT j.id, j.title, j.state, j.res_name FROM locks l JOIN jobs j ON j.id = l.job_id WHERE l.resource = ?", resource).
			Scan(&holder.ID, &holder.Title, &holder.State, &holder.ResName); err != nil {
			return edge(err, "lock")
		}
		if holder.ID == job.ID {
			continue
		}
		e := domain.Errorf(domain.Conflict, "“%s” holds %s.", holder.Title, orIt(job.Resource.Name)).WithFix("Wait until that job has ended, or cancel it.")
		if holder.State == string(domain.JobStuck) {
			e = domain.Errorf(domain.Conflict, "“%s” is stuck and holds %s.", holder.Title, orIt(job.Resource.Name)).WithFix("Open that job: it says what to do. Then try it again or dismiss it.")
		}
		e.Holder = holder.ID
		return e
	}
	return nil
}

func orIt(name string) string {
	if name == "" {
		return "it"
	}
	return name
}

// ReleaseLocks gives up all locks of a job.
func (tx *Tx) ReleaseLocks(jobID string) error {
	_, err := tx.exec("DELETE FROM locks WHERE job_id = ?", jobID)
	return edge(err, "lock")
}

// LockHolder gives the job that holds the resource; ok is false when it is free.
func (d *DB) LockHolder(ctx context.Context, resource string) (job domain.Job, ok bool, err error) {
	job, err = getJob(ctx, d.read, "id = (SELECT job_id FROM locks WHERE resource = ?)", resource)
	if domain.Is(err, domain.NotFound) {
		return job, false, nil
	}
	return job, err == nil, err
}
