package db

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"novacron/domain"
)

const (
	rolledUntil = "rollups.until" // setting: the hours before it are rolled up
	rolledDays  = "rollups.days"  // setting: how many rows of days there are
	dayLong     = 24 * time.Hour
)

// RolledUntil tells up to when hours are rolled up; zero: none is.
func (d *DB) RolledUntil(ctx context.Context) (time.Time, error) {
	return rolledNumber(ctx, d.read, rolledUntil, func(n int64) time.Time {
		if n == 0 {
			return time.Time{}
		}
		return at(n)
	})
}

func rolledNumber[T any](ctx context.Context, q getter, name string, as func(int64) T) (T, error) {
	text, ok, err := getSetting(ctx, q, name)
	if err != nil || !ok {
		return as(0), err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return as(0), domain.Errorf(domain.Internal, "The setting %s is not a number.", name)
	}
	return as(n), nil
}

// RollUp keeps one hour of series. What was kept of that hour before is replaced, so that doing it again changes nothing. The hours of many series are written in
// pieces, each in a transaction of its own: who crashed in between begins the hour anew.
func (d *DB) RollUp(ctx context.Context, hour time.Time, all []domain.RolledSeries) error {
	const piece = 500
	for len(all) > 0 {
		n := min(len(all), piece)
		if err := d.Write(ctx, func(tx *Tx) error { return tx.rollUp(hour, all[:n]) }); err != nil {
			return err
		}
		all = all[n:]
	}
	return d.Write(ctx, func(tx *Tx) error {
		return tx.SetSetting(rolledUntil, strconv.FormatInt(ms(hour.Add(time.Hour)), 10))
	})
}

func (tx *Tx) rollUp(hour time.Time, all []domain.RolledSeries) error {
	day, of := hour.UTC().Unix()/int64(dayLong/time.Second), hour.UTC().Hour()
	fresh := int64(0)
	for _, x := range all {
		id, err := tx.rolledSeries(x)
		if err != nil {
			return err
		}
		var days domain.RolledDay
		var was string
		err = tx.read().GetContext(tx.ctx, &was, "SELECT hours FROM rollups WHERE series = ? AND day = ?", id, day)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			fresh++
		case err != nil:
			return edge(err, "roll-up")
		default:
			if days, err = domain.ReadRolledDay(was); err != nil {
				return err
			}
		}
		days[of] = x.Hours[hour]
		if _, err := tx.exec("INSERT INTO rollups (series, day, hours) VALUES (?, ?, ?) ON CONFLICT (series, day) DO UPDATE SET hours = excluded.hours", id, day, days.Text()); err != nil {
			return edge(err, "roll-up")
		}
	}
	return tx.countRolled(fresh)
}

func (tx *Tx) countRolled(more int64) error {
	n, err := rolledNumber(tx.ctx, tx.read(), rolledDays, func(n int64) int64 { return n })
	if err != nil || more == 0 {
		return err
	}
	return tx.SetSetting(rolledDays, strconv.FormatInt(max(n+more, 0), 10))
}

// rolledSeries finds the number of a series, or gives it one.
func (tx *Tx) rolledSeries(x domain.RolledSeries) (int64, error) {
	var row struct {
		ID     int64
		Labels string
	}
	doc, err := text(x.Labels)
	if err != nil {
		return 0, err
	}
	err = tx.read().GetContext(tx.ctx, &row, "SELECT id, labels FROM rollup_series WHERE metric = ? AND of_id = ? AND part = ?", x.Metric, x.Of, x.Part)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		if err := tx.read().GetContext(tx.ctx, &row.ID, "SELECT COALESCE(max(id), 0) + 1 FROM rollup_series"); err != nil {
			return 0, edge(err, "roll-up")
		}
		_, err = tx.exec("INSERT INTO rollup_series (id, metric, of_id, part, labels) VALUES (?, ?, ?, ?, ?)", row.ID, x.Metric, x.Of, x.Part, doc)
	case err == nil && row.Labels != doc:
		_, err = tx.exec("UPDATE rollup_series SET labels = ? WHERE id = ?", doc, row.ID)
	}
	return row.ID, edge(err, "roll-up")
}

// PruneRollups forgets days before a time, and series that have none any more.
func (d *DB) PruneRollups(ctx context.Context, before time.Time) error {
	return d.Write(ctx, func(tx *Tx) error {
		n, err := tx.exec("DELETE FROM rollups WHERE day < ?", before.Unix()/int64(dayLong/time.Second))
		if err != nil || n == 0 {
			return edge(err, "roll-up")
		}
		if _, err := tx.exec("DELETE FROM rollup_series WHERE NOT EXISTS (SELECT 1 FROM rollups r WHERE r.series = rollup_series.id)"); err != nil {
			return edge(err, "roll-up")
		}
		return tx.countRolled(-n)
	})
}

// Rollups reads the hours of a metric's series from a time to another. Only series whose labels are kept are read.
func (d *DB) Rollups(ctx context.Context, metric string, from, to time.Time, keep func(labels map[string]string) bool) ([]domain.RolledSeries, error) {
	var rows []struct {
		ID     int64
		Of     string `db:"of_id"`
		Part   string
		Labels string
	}
	if err := d.read.SelectContext(ctx, &rows, "SELECT id, of_id, part, labels FROM rollup_series WHERE metric = ? ORDER BY id", metric); err != nil {
		return nil, edge(err, "roll-up")
	}
	found := map[int64]*domain.RolledSeries{}
	var ids []int64
	for _, r := range rows {
		x := domain.RolledSeries{Metric: metric, Of: r.Of, Part: r.Part, Hours: map[time.Time]domain.RolledHour{}}
		if err := parse(r.Labels, &x.Labels); err != nil {
			return nil, err
		}
		if keep(maps.Clone(x.Labels)) {
			found[r.ID] = &x
			ids = append(ids, r.ID)
		}
	}
	var out []domain.RolledSeries
	for len(ids) > 0 {
		n := min(len(ids), 500)
		query, args, err := sqlx.In("SELECT series, day, hours FROM rollups WHERE series IN (?) AND day BETWEEN ? AND ?", ids[:n], from.Unix()/int64(dayLong/time.Second), to.Unix()/int64(dayLong/time.Second))
		if err != nil {
			return nil, edge(err, "roll-up")
		}
		err = d.read.each(ctx, func(rows *sql.Rows) error {
			var id, day int64
			var hours string
			if err := rows.Scan(&id, &day, &hours); err != nil {
				return err
			}
			days, err := domain.ReadRolledDay(hours)
			if err != nil {
				return err
			}
			for h, x := range days {
				at := time.Unix(day*int64(dayLong/time.Second), 0).UTC().Add(time.Duration(h) * time.Hour)
				if x.Count > 0 && !at.Before(from) && !at.After(to) {
					found[id].Hours[at] = x
				}
			}
			return nil
		}, query, args...)
		if err != nil {
			return nil, edge(err, "roll-up")
		}
		for _, id := range ids[:n] {
			if len(found[id].Hours) > 0 {
				out = append(out, *found[id])
			}
		}
		ids = ids[n:]
	}
	return out, nil
}

// RolledUsage tells what is kept.
func (d *DB) RolledUsage(ctx context.Context) (u domain.RolledUsage, err error) {
	var first sql.NullInt64
	if err := d.read.GetContext(ctx, &u.Series, "SELECT count(*) FROM rollup_series"); err != nil {
		return u, edge(err, "roll-up")
	}
	if err := d.read.GetContext(ctx, &first, "SELECT min(day) FROM rollups"); err != nil {
		return u, edge(err, "roll-up")
	}
	if first.Valid {
		u.From = time.Unix(first.Int64*int64(dayLong/time.Second), 0).UTC()
	}
	if u.Days, err = rolledNumber(ctx, d.read, rolledDays, func(n int64) int64 { return n }); err != nil {
		return u, err
	}
	u.Done, err = d.RolledUntil(ctx)
	return u, err
}
