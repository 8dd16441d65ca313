package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/db/seal"
	"novacron/db/series"
	"novacron/domain"
)

var quiet = slog.New(slog.DiscardHandler)

// place is a data directory with a server's database and samples open.
type place struct {
	data string
	db   *db.DB
	tsdb *series.Store
	box  *seal.Box
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{data: filepath.Join(t.TempDir(), "data")}
	if err := os.MkdirAll(p.data, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.box, err = seal.Load(p.data, ""); err != nil {
		t.Fatal(err)
	}
	if p.db, err = db.Open(t.Context(), db.File(p.data), quiet, time.Now, db.Seal(p.box)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.db.Close() })
	if p.tsdb, err = series.Open(filepath.Join(p.data, metrics), quiet, series.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.tsdb.Close() })
	p.set(t, "kept", "yes")
	if err := p.tsdb.Append(t.Context(), time.Now(), []series.Sample{{Labels: series.Of("m", "a", "b"), Value: 42}}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"images/files/abc": "an image", "images/incoming/half": "not yet", "acme/cert.pem": "a certificate"} {
		file := filepath.Join(p.data, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *place) set(t *testing.T, name, value string) {
	t.Helper()
	if err := p.db.Write(t.Context(), func(tx *db.Tx) error { return tx.SetSetting(name, value) }); err != nil {
		t.Fatal(err)
	}
}

func options() Options { return Options{Program: "test", Log: quiet, Clock: time.Now} }

// setting reads a restored directory as a server would.
func setting(t *testing.T, data, name string) string {
	t.Helper()
	d, err := db.Open(t.Context(), db.File(data), quiet, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	v, _, err := d.Setting(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func names(t *testing.T, file string) (out []string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h.Name)
	}
}

func TestBackupAndRestore(t *testing.T) {
	p := newPlace(t)
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	o := options()
	o.Box = p.box
	if at, ok := Last(p.data); ok {
		t.Errorf("a backup at %s, before the first", at)
	}
	m, err := Create(t.Context(), p.data, file, o)
	if at, ok := Last(p.data); err == nil && (!ok || !at.Equal(m.MadeAt)) {
		t.Errorf("the newest backup is of %s, not of %s", at, m.MadeAt)
	}
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	for _, n := range names(t, file) {
		if strings.Contains(n, seal.KeyFile) || strings.HasPrefix(n, "images") || strings.HasPrefix(n, "acme") {
			t.Errorf("%s is in it unasked", n)
		}
	}
	if !m.Metrics || !strings.Contains(m.String(), "Not in it: the key for secrets") {
		t.Errorf("%s", m)
	}
	if _, err := Create(t.Context(), p.data, file, o); !domain.Is(err, domain.Conflict) {
		t.Errorf("a file that is there: %v", err)
	}
	o.Replace = true
	if _, err := Create(t.Context(), p.data, file, o); err != nil {
		t.Error(err)
	}
	if _, err := Verify(t.Context(), file, t.TempDir(), options()); err != nil {
		t.Error(err)
	}
	p.set(t, "kept", "no")

	fresh := filepath.Join(t.TempDir(), "new", "data")
	in := Into{Options: options()}
	if _, err := Restore(t.Context(), file, fresh, in); !domain.Is(err, domain.Invalid) || !strings.Contains(err.Error(), "no key") {
		t.Errorf("without a key: %v", err)
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("something was left by a restore that was refused")
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Load(other, ""); err != nil {
		t.Fatal(err)
	}
	in.KeyFile = filepath.Join(other, seal.KeyFile)
	if _, err := Restore(t.Context(), file, fresh, in); !domain.Is(err, domain.Invalid) || !strings.Contains(err.Error(), "another key") {
		t.Errorf("with a wrong key: %v", err)
	}
	in.KeyFile = filepath.Join(p.data, seal.KeyFile)
	r, err := Restore(t.Context(), file, fresh, in)
	if err != nil {
		t.Fatal(err)
	}
	if r.Before != "" || setting(t, fresh, "kept") != "yes" {
		t.Errorf("%+v", r)
	}
	s, err := series.Open(filepath.Join(fresh, metrics), quiet, series.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := s.Count(); n != 1 {
		t.Errorf("%d series", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	// over what is there: only when told, never over a server, and what it lacks stays
	if _, err := Restore(t.Context(), file, p.data, Into{Options: options()}); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a directory that is not empty: %v", err)
	}
	release, err := db.LockDir(p.data)
	if err != nil {
		t.Fatal(err)
	}
	over := Into{Options: options()}
	over.Replace = true
	if _, err := Restore(t.Context(), file, p.data, over); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "running") {
		t.Errorf("over a server: %v", err)
	}
	release()
	p.db.Close()
	p.tsdb.Close()
	r, err = Restore(t.Context(), file, p.data, over)
	if err != nil {
		t.Fatal(err)
	}
	if setting(t, p.data, "kept") != "yes" || setting(t, r.Before, "kept") != "no" {
		t.Errorf("%+v", r)
	}
	for _, name := range []string{"images/files/abc", "acme/cert.pem", seal.KeyFile} {
		if _, err := os.Stat(filepath.Join(p.data, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestBackupWithEverything(t *testing.T) {
	p := newPlace(t)
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	o := options()
	o.Keys, o.Images, o.NoMetrics = true, true, true
	if _, err := Create(t.Context(), p.data, file, o); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(to, 0o700); err != nil { // empty: nothing needs to be told
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), file, to, Into{Options: options()}); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{"images/files/abc": true, "images/incoming/half": false, "acme/cert.pem": true, seal.KeyFile: true, metrics: false} {
		if _, err := os.Stat(filepath.Join(to, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if setting(t, to, "kept") != "yes" {
		t.Error("the database is another one")
	}
	if err := os.Remove(filepath.Join(p.data, seal.KeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(t.Context(), p.data, file+"2", o); !domain.Is(err, domain.Invalid) {
		t.Errorf("a key that is elsewhere: %v", err)
	}
}

// The data directory is the server's account's and root may be who makes the backup: a symbolic link there brings nothing in, and nothing outside changes.
func TestABackupFollowsNoLinkOutOfTheData(t *testing.T) {
	p := newPlace(t)
	outside := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(outside, "shadow"), []byte("secret"), 0o600),
		os.Symlink(outside, filepath.Join(p.data, images, "dir")),
		os.Symlink(filepath.Join(outside, "shadow"), filepath.Join(p.data, images, "file")),
		os.Symlink(filepath.Join(outside, "shadow"), filepath.Join(p.data, lastFile+".new")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	o := options()
	o.Images = true
	if _, err := Create(t.Context(), p.data, file, o); !domain.Is(err, domain.Internal) || !strings.Contains(err.Error(), "cannot be noted") {
		t.Errorf("the note went somewhere: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(outside, "shadow")); err != nil || string(got) != "secret" {
		t.Errorf("the file outside has %q, %v", got, err)
	}
	got := names(t, file)
	if !slices.Contains(got, "images/files/abc") {
		t.Errorf("the image is missing: %q", got)
	}
	for _, name := range got {
		if strings.HasPrefix(name, "images/dir") || name == "images/file" {
			t.Errorf("%s is in the backup", name)
		}
	}
}

func TestADamagedBackupIsRefused(t *testing.T) {
	p := newPlace(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "b.tar.gz")
	if _, err := Create(t.Context(), p.data, file, options()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 0xff
	evil := repack(t, whole, func(h *tar.Header) { h.Name = strings.Replace(h.Name, database, "../../evil", 1) })
	for name, text := range map[string][]byte{
		"cut": whole[:len(whole)/2], "cut at the end": whole[:len(whole)-4], "flipped": flipped, "empty": {}, "no backup": []byte("hello"), "evil": evil,
		"renamed": repack(t, whole, func(h *tar.Header) { h.Name = strings.Replace(h.Name, metrics+"/", images+"/", 1) }),
	} {
		bad := filepath.Join(dir, "bad")
		if err := os.WriteFile(bad, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(t.Context(), bad, dir, options()); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
		to := filepath.Join(dir, "to")
		if _, err := Restore(t.Context(), bad, to, Into{Options: options(), WithoutKey: true}); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".to*")); len(left) > 0 {
			t.Errorf("%s left %q", name, left)
		}
		if _, err := os.Stat(to); err == nil {
			t.Errorf("%s was restored", name)
		}
	}
	if _, err := Verify(t.Context(), filepath.Join(dir, "none"), dir, options()); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
}

func repack(t *testing.T, whole []byte, change func(h *tar.Header)) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	w := tar.NewWriter(packed)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		change(h)
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestKilledBackup kills a process that makes backups and restores them, a few times: what bears a name is whole, and the next one clears up.
func TestKilledBackup(t *testing.T) {
	if dir := os.Getenv("NOVACRON_TEST_BACKUP"); dir != "" {
		backupUntilKilled(dir)
		return
	}
	p := newPlace(t)
	dir := filepath.Dir(p.data)
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledBackup$")
		cmd.Env = append(os.Environ(), "NOVACRON_TEST_BACKUP="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		one := make([]byte, 1)
		for range 1 + 2*round { // a letter for each half: killed in a backup or in a restore
			if _, err := io.ReadFull(out, one); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if _, err := os.Stat(filepath.Join(dir, "b.tar.gz")); err == nil {
			if _, err := Verify(t.Context(), filepath.Join(dir, "b.tar.gz"), t.TempDir(), options()); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "to")); err == nil && setting(t, filepath.Join(dir, "to"), "kept") != "yes" {
			t.Errorf("round %d: half a directory", round)
		}
	}
	o := options()
	o.Replace = true
	if _, err := Create(t.Context(), p.data, filepath.Join(dir, "b.tar.gz"), o); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(p.data, stagePrefix+"*")); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
}

func backupUntilKilled(dir string) {
	o := options()
	o.Replace, o.Keys = true, true
	in := Into{Options: options()}
	in.Replace = true
	for range 10_000 {
		if _, err := Create(context.Background(), filepath.Join(dir, "data"), filepath.Join(dir, "b.tar.gz"), o); err != nil {
			panic(err)
		}
		os.Stdout.WriteString("b")
		if _, err := Restore(context.Background(), filepath.Join(dir, "b.tar.gz"), filepath.Join(dir, "to"), in); err != nil {
			panic(err)
		}
		os.Stdout.WriteString("r")
		if old, err := filepath.Glob(filepath.Join(dir, "to.before-*")); err == nil {
			for _, d := range old {
				os.RemoveAll(d)
			}
		}
	}
}
