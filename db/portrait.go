package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"novacron/domain"
)

// What the audit log says of a thing before and after a change, for every kind of thing and whoever changes it: it is read beside the event, outside of
// the transaction for how it was and inside for how it is. A portrait is small, for people, and holds no secrets.

// portraits are by the beginning of an id: the table, and the columns that are told.
var portraits = map[string]struct{ from, columns string }{
	"vm":   {"vms x", "name title host_id tenant folder state autostart vcpus memory_bytes tags notes"},
	"host": {"hosts x", "name maintenance labels notes accel"},
	"pool": {"pools x", "name type active autostart target"},
	"vol":  {"volumes x", "name pool format capacity_bytes backing encrypted"},
	"net":  {"networks x", "name mode bridge cidr active autostart spec"},
	"img":  {"images x", "name arch description"},
	"tmpl": {"templates x", "name description"},
}

// lists of a thing are told as words, by the same beginnings: its snapshots, versions and so on.
var portraitLists = map[string]map[string]string{
	"vm":   {"snapshots": "SELECT name FROM snapshots WHERE vm_id = ? ORDER BY created_at, id"},
	"img":  {"versions": "SELECT label || ' ' || state FROM image_versions WHERE image_id = ? ORDER BY created_at, id"},
	"tmpl": {"versions": "SELECT number || CASE deprecated WHEN 0 THEN '' ELSE ' deprecated' END FROM template_versions WHERE template_id = ? ORDER BY number"},
}

// portrait describes a thing; nil where there is none of that id, or of no kind that is told.
func portrait(ctx context.Context, q getter, id string) (map[string]string, error) {
	kind, _, _ := strings.Cut(id, "_")
	of, ok := portraits[kind]
	if !ok {
		return nil, nil //nolint:nilnil // there is nothing to tell of it
	}
	names := strings.Fields(of.columns)
	var out map[string]string
	err := q.each(ctx, func(rows *sql.Rows) error {
		values, dest := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		out = map[string]string{}
		for i, v := range values {
			out[names[i]] = v.String
		}
		return nil
	}, "SELECT x."+strings.Join(names, ", x.")+" FROM "+of.from+" WHERE x.id = ? LIMIT 1", id)
	if err != nil || out == nil {
		return nil, edge(err, "thing")
	}
	for name, query := range portraitLists[kind] {
		var words []string
		if err := q.SelectContext(ctx, &words, query, id); err != nil {
			return nil, edge(err, "thing")
		}
		out[name] = strings.Join(words, ", ")
	}
	switch kind {
	case "vm":
		return out, portraitHardware(ctx, q, id, out)
	case "vol", "net", "img", "tmpl":
		var owner []string
		err := q.SelectContext(ctx, &owner, "SELECT tenant FROM owners WHERE id = ?", id)
		out["tenant"] = strings.Join(owner, "")
		return out, edge(err, "owner")
	}
	return out, nil
}

func portraitHardware(ctx context.Context, q getter, id string, out map[string]string) error {
	var config []string
	if err := q.SelectContext(ctx, &config, "SELECT config FROM vm_documents WHERE vm_id = ?", id); err != nil || len(config) == 0 {
		return edge(err, "VM")
	}
	var spec domain.VMSpec
	if err := parse(config[0], &spec); err != nil {
		return err
	}
	var disks, nics []string
	for _, d := range spec.Disks {
		disks = append(disks, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", d.Target, strings.Trim(d.Pool+"/"+d.Volume, "/"), d.Source, d.Format)))
	}
	for _, n := range spec.NICs {
		nics = append(nics, strings.TrimSpace(n.MAC+" "+n.Network+n.Bridge))
	}
	out["disks"], out["nics"], out["machine"], out["firmware"] = strings.Join(disks, ", "), strings.Join(nics, ", "), spec.Machine, spec.Firmware
	return nil
}

// differ leaves of two portraits what differs, as JSON; a thing that is not there is nothing.
func differ(was, is map[string]string) (before, after string, err error) {
	b, a := map[string]string{}, map[string]string{}
	for k, v := range was {
		if w, ok := is[k]; !ok || w != v {
			b[k] = v
		}
	}
	for k, v := range is {
		if w, ok := was[k]; !ok || w != v {
			a[k] = v
		}
	}
	if len(b) > 0 {
		if before, err = text(b); err != nil {
			return "", "", err
		}
	}
	if len(a) > 0 {
		after, err = text(a)
	}
	return before, after, err
}

// told says what the audit log tells of a change that an event is about. With a job nothing has changed yet: it says how it is, and the end of the job
// what came of it.
func (tx *Tx) told(ev domain.Event) (before, after string, err error) {
	if tx.before != "" || tx.after != "" {
		return tx.before, tx.after, nil
	}
	about := ev.Resource.ID
	if ev.JobID != "" { // the event may be about the job itself
		switch job, err := tx.Job(ev.JobID); {
		case err == nil:
			about = job.Resource.ID
		case !domain.Is(err, domain.NotFound): // told before it is written
			return "", "", err
		}
	}
	was, err := portrait(tx.ctx, tx.d.read, about)
	if err != nil {
		return "", "", err
	}
	if ev.JobID != "" {
		if len(was) > 0 {
			before, err = text(was)
		}
		return before, "", err
	}
	is, err := portrait(tx.ctx, tx.read(), about)
	if err != nil {
		return "", "", err
	}
	return differ(was, is)
}

// came says what a job changed of the thing that it was about: before is what was told when it was asked for.
func (tx *Tx) came(id, before string) (string, string, error) {
	is, err := portrait(tx.ctx, tx.read(), id)
	if err != nil {
		return "", "", err
	}
	var was map[string]string
	if before != "" && json.Unmarshal([]byte(before), &was) != nil {
		return "", "", nil // told in another form, which does not compare
	}
	return differ(was, is)
}
