// Package backup puts a server's own state into one file while the server runs, looks such a file over, and makes a data directory of it again.
//
// A backup is a tar, packed with gzip, that ends with a manifest of checksums: one that was cut short has none. It holds the database and, unless left
// out, the samples; the key that secrets are sealed with only when asked for, since who has both can read them. It is not for the disks of VMs, nor
// for finding the data directory and its key: that is the command's.
package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"novacron/db"
	"novacron/db/seal"
	"novacron/db/series"
	"novacron/domain"
)

// What a data directory consists of.
const (
	database = "novacron.db"
	metrics  = "metrics"
	images   = "images"
	acme     = "acme" // certificates and their keys

	manifestName = "manifest.json"
	format       = 1
)

// stagePrefix begins the name of the directory in the data directory where a backup is put together.
const stagePrefix = ".backup-"

// Manifest ends a backup and says what it is.
type Manifest struct {
	Format  int       `json:"format"`
	MadeAt  time.Time `json:"made_at"`
	Program string    `json:"program"`
	Schema  int64     `json:"schema"`
	Hosts   int       `json:"hosts"`
	VMs     int       `json:"vms"`
	Metrics bool      `json:"metrics"`
	Images  bool      `json:"images"`
	Keys    bool      `json:"keys"`
	Files   []File    `json:"files"`
}

// File is one file of a backup.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Bytes is how much the files are unpacked.
func (m Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// Options say what goes into a backup.
type Options struct {
	Program   string // the version that writes it
	NoMetrics bool
	Images    bool
	Keys      bool
	Replace   bool      // a file of that name may be there, and goes
	Box       *seal.Box // checked against the copy; nil: it is not known here
	Log       *slog.Logger
	Clock     func() time.Time
}

// Create writes a backup of the data directory, which a server may be running on, to file. The file appears under its name only when it is whole.
func Create(ctx context.Context, data, file string, o Options) (m Manifest, err error) {
	if _, err := os.Lstat(file); err == nil && !o.Replace {
		return m, domain.Errorf(domain.Conflict, "%s is there already.", file).WithFix("Name another file, or replace it with --force.")
	}
	if o.Keys {
		if _, err := os.Stat(filepath.Join(data, seal.KeyFile)); err != nil {
			return m, domain.Errorf(domain.Invalid, "The key for secrets is not in %s.", data).WithFix("Leave --with-keys out, and keep the key where the server gets it from.")
		}
	}
	sweep(data)
	stage, err := os.MkdirTemp(data, stagePrefix)
	if err != nil {
		return m, domain.Errorf(domain.Internal, "The backup cannot be put together in %s: %w", data, err).WithFix("Run it as the account of the server, or as root.")
	}
	defer os.RemoveAll(stage)
	release, err := db.LockDir(stage) // so that sweep leaves it alone
	if err != nil {
		return m, err
	}
	defer release()
	copied := db.File(stage)
	if err := db.CopyFile(ctx, db.File(data), copied); err != nil {
		return m, err
	}
	found, err := db.CheckFile(ctx, copied, o.Box)
	if err != nil {
		return m, err
	}
	m = Manifest{Format: format, MadeAt: o.Clock().UTC().Truncate(time.Second), Program: o.Program, Schema: found.Version, Hosts: found.Hosts, VMs: found.VMs, Images: o.Images, Keys: o.Keys}
	var dirs []string
	if _, err := os.Stat(filepath.Join(data, metrics)); err == nil && !o.NoMetrics {
		if err := series.Copy(ctx, filepath.Join(data, metrics), filepath.Join(stage, metrics), o.Log); err != nil {
			return m, err
		}
		m.Metrics, dirs = true, append(dirs, filepath.Join(stage, metrics))
	}
	if o.Images {
		dirs = append(dirs, filepath.Join(data, images))
	}
	if o.Keys {
		dirs = append(dirs, filepath.Join(data, acme))
	}
	if err := m.write(ctx, file, copied, dirs, filepath.Join(data, seal.KeyFile), o); err != nil {
		return m, err
	}
	return m, note(data, m.MadeAt)
}

// lastFile notes in the data directory when the newest backup was made, for the server to see how old it is.
const lastFile = "last-backup"

func note(data string, at time.Time) error {
	root, err := os.OpenRoot(data) // the server's account writes there as well: no symbolic link of its may lead root to another file
	if err == nil {
		defer root.Close()
		if err = root.WriteFile(lastFile+".new", []byte(at.UTC().Format(time.RFC3339)+"\n"), 0o644); err == nil {
			err = root.Rename(lastFile+".new", lastFile)
		}
	}
	if err != nil {
		return domain.Errorf(domain.Internal, "The backup is made, but when that was cannot be noted in %s: %w", data, err).WithFix("Run it as the account of the server, or as root.")
	}
	return nil
}

// Last tells when the newest backup of a data directory was made; false: none was, as far as is known there.
func Last(data string) (time.Time, bool) {
	b, err := os.ReadFile(filepath.Join(data, lastFile)) // #nosec G304 -- a name of ours in the data directory
	if err != nil {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(b)))
	return at, err == nil
}

// write packs it beside its place and puts it there when it is on the disk.
func (m *Manifest) write(ctx context.Context, file, copied string, dirs []string, key string, o Options) (err error) {
	bad := func(err error) error {
		return domain.Errorf(domain.Internal, "The backup %s cannot be written: %w", file, err).WithFix("See that its directory exists, can be written to and has room.")
	}
	out, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*.partial") // mode 0600
	if err != nil {
		return bad(err)
	}
	defer func() {
		_ = out.Close()
		_ = os.Remove(out.Name())
	}()
	packed, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return bad(err)
	}
	t := tar.NewWriter(packed)
	add := func(name string, open func() (*os.File, error)) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := addFile(t, name, open)
		if err == nil {
			m.Files = append(m.Files, f)
		}
		return err
	}
	if err := add(database, func() (*os.File, error) { return os.Open(copied) }); err != nil { // #nosec G304 -- what this backup has just copied
		return bad(err)
	}
	if m.Keys {
		if err := add(seal.KeyFile, func() (*os.File, error) { return os.Open(key) }); err != nil { // #nosec G304 -- a name of ours in the data directory
			return bad(err)
		}
	}
	for _, dir := range dirs {
		if err := addTree(dir, add); err != nil {
			return bad(err)
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return bad(err)
	}
	if err := t.WriteHeader(&tar.Header{Name: manifestName, Size: int64(len(text)), Mode: 0o600, ModTime: m.MadeAt, Format: tar.FormatPAX}); err != nil {
		return bad(err)
	}
	if _, err := t.Write(text); err != nil {
		return bad(err)
	}
	if err := errors.Join(t.Close(), packed.Close(), out.Sync()); err != nil {
		return bad(err)
	}
	if o.Replace {
		err = os.Rename(out.Name(), file)
	} else if err = os.Link(out.Name(), file); errors.Is(err, fs.ErrExist) {
		return domain.Errorf(domain.Conflict, "%s was made by somebody else meanwhile.", file).WithFix("Name another file.")
	}
	if err != nil {
		return bad(err)
	}
	return syncDir(filepath.Dir(file))
}

// addTree adds what is in dir below its name. Files that come and go, such as an image that is being fetched, are left out. A symbolic link that the
// server's account puts there leads out of it for nobody, though root may be who makes the backup.
func addTree(dir string, add func(name string, open func() (*os.File, error)) error) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(below string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Join(filepath.Base(dir), below)
		if e.IsDir() && name == images+"/incoming" {
			return fs.SkipDir
		}
		if !e.Type().IsRegular() {
			return nil
		}
		return add(name, func() (*os.File, error) { return root.Open(below) })
	})
}

func addFile(t *tar.Writer, name string, open func() (*os.File, error)) (File, error) {
	f, err := open()
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return File{}, err
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Size: st.Size(), Mode: 0o600, ModTime: st.ModTime().Truncate(time.Second), Format: tar.FormatPAX}); err != nil {
		return File{}, err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(t, sum), io.LimitReader(f, st.Size())); err != nil {
		return File{}, err
	}
	return File{Name: name, Bytes: st.Size(), SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// known reports whether a name is one that a backup has files under.
func known(name string) bool {
	top, rest, deeper := strings.Cut(name, "/")
	if !filepath.IsLocal(name) || strings.Contains(name, "\\") {
		return false
	}
	if deeper {
		return rest != "" && slices.Contains([]string{metrics, images, acme}, top)
	}
	return slices.Contains([]string{database, seal.KeyFile, manifestName}, top)
}

// sweep removes what backups that were killed left in the data directory.
func sweep(data string) {
	left, err := filepath.Glob(filepath.Join(data, stagePrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		if release, err := db.LockDir(dir); err == nil { // else another one is being made
			_ = os.RemoveAll(dir)
			release()
		}
	}
}

func syncDir(dir string) error {
	f, err := os.Open(dir) // #nosec G304 -- it is opened to be written to the disk; nothing is read from it
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return domain.Errorf(domain.Internal, "The directory %s cannot be written: %w", dir, err)
	}
	return nil
}
