package db

import (
	"context"
	"strconv"
	"strings"
	"time"

	"novacron/domain"
)

// Search finds VMs (by name, title, UUID, MAC, tag, notes), hosts (by name, address, label) and recent jobs (by title) for the command palette.
// What begins with the text stands before what merely contains it.
func (d *DB) Search(ctx context.Context, query string, max int) ([]Hit, error) {
	query = strings.ToLower(strings.TrimSpace(query))
	if query == "" {
		return nil, nil
	}
	max = limit(max, 20)
	start, within := escapeLike(query)+"%", "%"+escapeLike(query)+"%"
	var hits []Hit
	if domain.SightOf(ctx).Full() { // hosts are for those who see the estate
		var err error
		if hits, err = d.searchHosts(ctx, query, start, within, max); err != nil {
			return nil, err
		}
	}
	vms, err := d.searchVMs(ctx, query, start, within, max)
	if err != nil {
		return nil, err
	}
	jobs, err := d.searchJobs(ctx, query, within, max)
	if err != nil {
		return nil, err
	}
	// Few hosts, then VMs, then jobs; each kind leaves room for the next.
	var out []Hit
	for i, part := range [][]Hit{hits, vms, jobs} {
		room := max - len(out)
		if i < 2 {
			room = room * 2 / 3
		}
		out = append(out, part[:min(len(part), room)]...)
	}
	return out, nil
}

func (d *DB) searchHosts(ctx context.Context, id, start, within string, max int) ([]Hit, error) {
	var rows []struct {
		ID, Name, URI, State string
	}
	err := d.read.SelectContext(ctx, &rows, `SELECT h.id, h.name, h.uri, h.state FROM hosts h WHERE lower(h.name)`+like+` OR lower(h.uri)`+like+` OR lower(h.labels)`+like+` OR h.id = ?
		ORDER BY CASE WHEN lower(h.name)`+like+` THEN 0 ELSE 1 END, h.name_key LIMIT ?`, within, within, within, id, start, max)
	if err != nil {
		return nil, edge(err, "host")
	}
	hits := make([]Hit, len(rows))
	for i, r := range rows {
		hits[i] = Hit{Ref: domain.Ref{Kind: "host", ID: r.ID, Name: r.Name}, Detail: r.State + ", " + r.URI}
	}
	return hits, nil
}

func (d *DB) searchVMs(ctx context.Context, id, start, within string, max int) ([]Hit, error) {
	var rows []struct {
		ID, Name, Host, State, Title string
	}
	cond, args := conditionOfSight(ctx)
	err := d.read.SelectContext(ctx, &rows, `SELECT v.id, v.name, h.name AS host, `+stateColumn+` AS state, v.title FROM vms v JOIN hosts h ON h.id = v.host_id
		WHERE `+strings.Join(append([]string{"(v.search" + like + " OR v.id = ?)"}, cond...), " AND ")+` ORDER BY CASE WHEN lower(v.name)`+like+` THEN 0 ELSE 1 END, v.name_key, v.id LIMIT ?`, append(append([]any{within, id}, args...), start, max)...)
	if err != nil {
		return nil, edge(err, "VM")
	}
	hits := make([]Hit, len(rows))
	for i, r := range rows {
		detail := r.State + " on " + r.Host
		if r.State == string(domain.VMAway) {
			detail = "on " + r.Host + ", which is away"
		}
		if r.Title != "" {
			detail += ", " + r.Title
		}
		hits[i] = Hit{Ref: domain.Ref{Kind: "vm", ID: r.ID, Name: r.Name}, Detail: detail}
	}
	return hits, nil
}

func (d *DB) searchJobs(ctx context.Context, id, within string, max int) ([]Hit, error) {
	var rows []struct {
		ID, Title, State string
		CreatedAt        int64 `db:"created_at"`
	}
	cond, args := conditionOfOwner(ctx)
	// Only recent ones are looked at: the palette answers while one types.
	err := d.read.SelectContext(ctx, &rows, `SELECT id, title, state, created_at FROM (SELECT id, title, state, created_at FROM jobs`+and(cond)+` ORDER BY id DESC LIMIT 2000) recent
		WHERE lower(title)`+like+` OR id = ? ORDER BY id DESC LIMIT ?`, append(args, within, id, max)...)
	if err != nil {
		return nil, edge(err, "job")
	}
	now := d.clock()
	hits := make([]Hit, len(rows))
	for i, r := range rows {
		hits[i] = Hit{Ref: domain.Ref{Kind: "job", ID: r.ID, Name: r.Title}, Detail: r.State + ", " + jobAge(now, r.CreatedAt)}
	}
	return hits, nil
}

// jobAge says how long ago, in words short enough for a list.
func jobAge(now time.Time, created int64) string {
	switch d := now.Sub(at(created)); {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min ago"
	default:
		return at(created).Format("2006-01-02 15:04") + " UTC"
	}
}
