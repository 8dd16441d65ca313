package db

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"

	"novacron/db/seal"
	"novacron/domain"
)

// CopyFile writes a consistent copy of the database file, which a server may have open and write to meanwhile, to a path where nothing is yet. The
// copy is as of one moment, and synced.
func CopyFile(ctx context.Context, from, to string) (err error) {
	if _, err := os.Stat(from); err != nil {
		return domain.Errorf(domain.NotFound, "There is no database %s.", from).WithFix("Name the server's directory with --data.")
	}
	src, err := sqlx.Open("sqlite", dsn(from, "mode=rw"))
	if err != nil {
		return edge(err, "database")
	}
	defer func() {
		if e := src.Close(); err == nil {
			err = edge(e, "database")
		}
	}()
	if _, err := src.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return domain.Errorf(domain.Internal, "The database %s cannot be copied: %w", from, err).WithFix("See that there is room on the disk for a second copy of it.")
	}
	f, err := os.OpenFile(to, os.O_RDWR, 0) // #nosec G304 -- what VACUUM INTO has just written
	if err != nil {
		return domain.Errorf(domain.Internal, "The copy of the database cannot be opened: %w", err)
	}
	defer f.Close()
	if err := f.Chmod(0o600); err != nil {
		return domain.Errorf(domain.Internal, "The copy of the database cannot be made private: %w", err)
	}
	if err := f.Sync(); err != nil {
		return domain.Errorf(domain.Internal, "The copy of the database cannot be written: %w", err)
	}
	return nil
}

// Copied is what a database file that nobody has open is found to be.
type Copied struct {
	Version int64 // of its schema
	Hosts   int
	VMs     int
}

// CheckFile looks at a database file that nobody has open, without changing it: that it is whole, that this program knows its schema, and, when a box
// is given, that its secrets open with it.
func CheckFile(ctx context.Context, path string, box *seal.Box) (c Copied, err error) {
	d, err := sqlx.Open("sqlite", dsnPlain(path, "mode=ro"))
	if err != nil {
		return c, edge(err, "database")
	}
	defer d.Close()
	d.SetMaxOpenConns(1)
	broken := func(format string, args ...any) (Copied, error) {
		return c, domain.Errorf(domain.Invalid, "The database is damaged: %s.", fmt.Sprintf(format, args...)).WithFix("Take another backup.")
	}
	var found []string
	if err := d.SelectContext(ctx, &found, "PRAGMA integrity_check(5)"); err != nil {
		return broken("%v", err)
	}
	if len(found) != 1 || found[0] != "ok" {
		return broken("%s", strings.Join(found, "; "))
	}
	var loose int
	if err := d.GetContext(ctx, &loose, "SELECT count(*) FROM pragma_foreign_key_check"); err != nil {
		return broken("%v", err)
	}
	if loose > 0 {
		return broken("%d rows belong to rows that are not there", loose)
	}
	if err := d.GetContext(ctx, &c.Version, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied = 1"); err != nil {
		return broken("it says nothing of its schema: %v", err)
	}
	newest, err := NewestSchema()
	if err != nil {
		return c, err
	}
	if c.Version > newest {
		return c, domain.Errorf(domain.Unsupported, "The database is of version %d, newer than this program's %d.", c.Version, newest).WithFix("Use the NovaCron that wrote it, or a newer one.")
	}
	if err := d.GetContext(ctx, &c.Hosts, "SELECT count(*) FROM hosts"); err != nil {
		return broken("%v", err)
	}
	if err := d.GetContext(ctx, &c.VMs, "SELECT count(*) FROM vms"); err != nil {
		return broken("%v", err)
	}
	if box == nil {
		return c, nil
	}
	var words []string
	if err := d.SelectContext(ctx, &words, "SELECT value FROM settings WHERE name = ?", sealCheck); err != nil {
		return broken("%v", err)
	}
	for _, word := range words {
		if _, err := box.Open(word, sealCheck); err != nil {
			return c, domain.Errorf(domain.Invalid, "The secrets in the database were sealed with another key.").WithFix("Give the key that the server had when the backup was made.")
		}
	}
	return c, nil
}

// NewestSchema is the version of the schema that this program brings a database to.
func NewestSchema() (newest int64, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, edge(err, "schema")
	}
	for _, f := range files {
		number, _, _ := strings.Cut(strings.TrimPrefix(f, "migrations/"), "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, edge(err, "schema")
		}
		newest = max(newest, n)
	}
	return newest, nil
}
