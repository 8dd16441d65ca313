package db

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestUpgradeKeepsTheDatabase opens databases that earlier releases wrote: every row of every table has the values that it had.
func TestUpgradeKeepsTheDatabase(t *testing.T) {
	files, err := filepath.Glob("testdata/upgrade/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("there is nothing to upgrade", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "novacron.db")
			old := plainly(t, path)
			if _, err := old.ExecContext(t.Context(), string(text)); err != nil {
				t.Fatal(err)
			}
			before := contents(t, old, nil)
			old.Close()
			if c, err := CheckFile(t.Context(), path, nil); err != nil || c.VMs == 0 {
				t.Errorf("%+v %v", c, err)
			}
			d, err := Open(t.Context(), path, slog.New(slog.DiscardHandler), time.Now, Unsynced())
			if err != nil {
				t.Fatal(err)
			}
			vm, err := d.VM(t.Context(), "vm_01old")
			if err != nil || vm.Name != "web-1" || vm.Notes != "keep this" || vm.Tenant != "team-a" {
				t.Errorf("%+v %v", vm, err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			now := plainly(t, path)
			defer now.Close()
			after := contents(t, now, before)
			for table, rows := range before {
				for _, row := range rows.rows {
					if !after[table].has(row) {
						t.Errorf("%s lost %s", table, row)
					}
				}
			}
			if len(before) < 20 {
				t.Errorf("only %d tables", len(before))
			}
			again := filepath.Join(t.TempDir(), "copy.db")
			if err := CopyFile(t.Context(), path, again); err != nil {
				t.Fatal(err)
			}
			newest, err := NewestSchema()
			if err != nil {
				t.Fatal(err)
			}
			if c, err := CheckFile(t.Context(), again, nil); err != nil || c.Version != newest || c.Hosts != 1 {
				t.Errorf("%+v %v", c, err)
			}
		})
	}
}

func plainly(t *testing.T, path string) *sql.DB {
	t.Helper()
	d, err := sql.Open("sqlite", dsnPlain(path))
	if err != nil {
		t.Fatal(err)
	}
	d.SetMaxOpenConns(1)
	return d
}

type held struct {
	columns string
	rows    []string
}

func (h held) has(row string) bool {
	for _, r := range h.rows {
		if r == row {
			return true
		}
	}
	return false
}

// contents reads every table, in the columns that another reading had.
func contents(t *testing.T, d *sql.DB, like map[string]held) map[string]held {
	t.Helper()
	out := map[string]held{}
	for _, table := range column(t.Context(), t, d, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'") {
		h := held{columns: strings.Join(column(t.Context(), t, d, "SELECT name FROM pragma_table_info('"+table+"')"), ", ")}
		if like != nil {
			if like[table].columns == "" {
				continue
			}
			h.columns = like[table].columns
		}
		names := strings.Split(h.columns, ", ")
		for i, n := range names {
			names[i] = "quote(" + n + ")"
		}
		h.rows = column(t.Context(), t, d, fmt.Sprintf("SELECT %s FROM %s", strings.Join(names, " || ' ' || "), table))
		out[table] = h
	}
	return out
}

func column(ctx context.Context, t *testing.T, d *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := d.QueryContext(ctx, query)
	if err != nil {
		t.Fatal(query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
