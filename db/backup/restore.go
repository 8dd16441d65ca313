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
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"novacron/db"
	"novacron/db/rooted"
	"novacron/db/seal"
	"novacron/db/series"
	"novacron/domain"
)

// maxManifest bounds what is read of a manifest.
const maxManifest = 64 << 20

// Verify reads a backup to its end and checks everything that can be checked without a server: checksums, that the database is whole and that its
// schema is known, that the samples can be read. It unpacks into a directory of its own below scratch (empty: the system's), which is gone afterwards.
func Verify(ctx context.Context, file, scratch string, o Options) (Manifest, error) {
	dir, err := os.MkdirTemp(scratch, "novacron-verify-")
	if err != nil {
		return Manifest{}, domain.Errorf(domain.Internal, "The backup cannot be unpacked: %w", err).WithFix("See that the directory for temporary files can be written to; TMPDIR names another one.")
	}
	defer os.RemoveAll(dir)
	m, err := unpack(ctx, file, dir)
	if err != nil {
		return m, err
	}
	return m, check(ctx, dir, m, o)
}

// check looks over what was unpacked into dir.
func check(ctx context.Context, dir string, m Manifest, o Options) error {
	box := o.Box
	if m.Keys {
		var err error
		if box, err = seal.Load(dir, ""); err != nil {
			return err
		}
	}
	found, err := db.CheckFile(ctx, filepath.Join(dir, database), box)
	if err != nil {
		return err
	}
	if found.Version != m.Schema {
		return damaged("its database is of version %d, and the manifest says %d", found.Version, m.Schema)
	}
	if !m.Metrics {
		return nil
	}
	probe := filepath.Join(dir, ".samples")
	if err := series.Copy(ctx, filepath.Join(dir, metrics), probe, o.Log); err != nil {
		return err
	}
	return os.RemoveAll(probe)
}

func damaged(format string, args ...any) error {
	return domain.Errorf(domain.Invalid, "The backup is damaged: "+format+".", args...).WithFix("Use another one.")
}

// unpack writes the files of a backup into dir and compares them with the manifest at its end.
func unpack(ctx context.Context, file, dir string) (m Manifest, err error) {
	f, err := os.Open(file) // #nosec G304 -- who restores names the backup
	if err != nil {
		return m, domain.Errorf(domain.NotFound, "The backup %s cannot be opened: %w", file, err)
	}
	defer f.Close()
	packed, err := gzip.NewReader(f)
	if err != nil {
		return m, domain.Errorf(domain.Invalid, "%s is not a backup of NovaCron.", file).WithFix("Name a file that novacron backup create made.")
	}
	t := tar.NewReader(packed)
	have := map[string]File{}
	ended := false
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return m, damaged("it ends too early, or was altered (%v)", err)
		}
		if err := ctx.Err(); err != nil {
			return m, err
		}
		_, twice := have[h.Name]
		switch {
		case ended || twice || h.Typeflag != tar.TypeReg || !known(h.Name):
			return m, damaged("“%s” does not belong there", h.Name)
		case h.Name == manifestName:
			if err := json.NewDecoder(io.LimitReader(t, maxManifest)).Decode(&m); err != nil {
				return m, damaged("its manifest cannot be read (%v)", err)
			}
			ended = true
			continue
		}
		if have[h.Name], err = unpackFile(t, filepath.Join(dir, filepath.FromSlash(h.Name)), h); err != nil {
			return m, err
		}
	}
	// #nosec G110 -- nothing of it is kept, and who restores named the file
	if _, err := io.Copy(io.Discard, packed); err != nil { // the checksum of the whole
		return m, damaged("it ends too early, or was altered (%v)", err)
	}
	if !ended {
		return m, damaged("it has no manifest: it was cut short")
	}
	if m.Format != format {
		return m, domain.Errorf(domain.Unsupported, "The backup is of format %d, which this NovaCron does not know.", m.Format).WithFix("Use the NovaCron that wrote it, or a newer one.")
	}
	for _, want := range m.Files {
		if got := have[want.Name]; got != want {
			return m, damaged("“%s” is not what the manifest says", want.Name)
		}
		delete(have, want.Name)
	}
	for name := range have {
		return m, damaged("“%s” is not in the manifest", name)
	}
	return m, nil
}

func unpackFile(t io.Reader, path string, h *tar.Header) (f File, err error) {
	bad := func(err error) (File, error) {
		return f, domain.Errorf(domain.Internal, "“%s” cannot be unpacked: %w", h.Name, err).WithFix("See that there is room, and that the backup is whole.")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return bad(err)
	}
	// #nosec G304 -- unpack lets in no name but those a backup has, none of which leads out of the directory
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return bad(err)
	}
	sum, in := sha256.New(), &reading{r: t}
	n, err := io.Copy(io.MultiWriter(out, sum), in)
	err = errors.Join(err, out.Sync(), out.Close())
	if in.err != nil {
		return f, damaged("it ends too early, or was altered (%v)", in.err)
	}
	if err != nil {
		return bad(err)
	}
	return File{Name: h.Name, Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// reading remembers why a reader failed: that is the backup's fault, and not the disk's that is written to.
type reading struct {
	r   io.Reader
	err error
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// Into says how a backup becomes a data directory.
type Into struct {
	Options
	KeyFile    string // of the key that the database was sealed with, when it is not in the backup
	KeyOutside bool   // the server gets the key from elsewhere; Box is it
	WithoutKey bool   // it is put there later
}

// Restored says what became of it.
type Restored struct {
	Manifest
	Before string   // where the former data directory is now; empty: there was none
	Kept   []string // what the backup does not have and was taken over from there
}

// partly is in a directory that is being unpacked.
const partly = ".partly-restored"

// Restore makes data what the backup has. It refuses a directory that a server runs on, and one that is not empty unless told to replace it; then the
// former one is kept beside it. The directory is the one or the other at every moment, also when this is killed.
func Restore(ctx context.Context, file, data string, in Into) (r Restored, err error) {
	target, err := filepath.EvalSymlinks(data)
	if errors.Is(err, fs.ErrNotExist) {
		target, err = filepath.Abs(data)
	}
	if err != nil {
		return r, domain.Errorf(domain.Invalid, "The data directory %s cannot be found: %w", data, err)
	}
	exists, empty := false, true
	if entries, err := os.ReadDir(target); err == nil {
		exists, empty = true, len(entries) == 0
		release, err := db.LockDir(target)
		if err != nil {
			return r, err
		}
		defer release()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return r, domain.Errorf(domain.Invalid, "The data directory %s cannot be read: %w", target, err)
	}
	if !empty && !in.Replace {
		return r, domain.Errorf(domain.Conflict, "The data directory %s is not empty.", data).WithFix("Name another one with --data, or put the backup in its place with --force; what is there now is kept beside it.")
	}
	parent := filepath.Dir(target)
	if err := os.MkdirAll(parent, 0o755); err != nil { // #nosec G301 -- it may be a directory for more than ours; the data directory in it is closed
		return r, domain.Errorf(domain.Internal, "The directory %s cannot be made: %w", parent, err)
	}
	sweepPartly(target)
	stage, err := os.MkdirTemp(parent, restorePrefix(target))
	if err != nil {
		return r, domain.Errorf(domain.Internal, "The backup cannot be unpacked beside %s: %w", target, err).WithFix("Run it as a user who may write to %s.", parent)
	}
	swapped := false
	defer func() {
		if !swapped {
			_ = os.RemoveAll(stage)
		}
	}()
	release, err := db.LockDir(stage)
	if err != nil {
		return r, err
	}
	defer release()
	mark := filepath.Join(stage, partly)
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return r, domain.Errorf(domain.Internal, "The backup cannot be unpacked: %w", err)
	}
	if r.Manifest, err = unpack(ctx, file, stage); err != nil {
		return r, err
	}
	if err := in.settleKey(stage, target, r.Manifest); err != nil {
		return r, err
	}
	if err := check(ctx, stage, r.Manifest, in.Options); err != nil {
		return r, err
	}
	if r.Kept, err = takeOver(stage, target, r.Manifest); err != nil {
		return r, err
	}
	if exists {
		if err := sameOwner(stage, target); err != nil {
			return r, err
		}
	}
	if err := errors.Join(os.Remove(mark), syncDir(stage)); err != nil {
		return r, domain.Errorf(domain.Internal, "The unpacked backup cannot be finished: %w", err)
	}
	if empty {
		err = unix.Rename(stage, target) // over an empty directory, too, which os.Rename refuses
	} else {
		err = unix.Renameat2(unix.AT_FDCWD, stage, unix.AT_FDCWD, target, unix.RENAME_EXCHANGE)
	}
	if err != nil {
		return r, domain.Errorf(domain.Internal, "The backup cannot be put in the place of %s: %w", target, err).WithFix("Where it is a mount of its own, restore into a directory below it and move the files.")
	}
	swapped = true
	if !empty {
		r.Before = target + ".before-" + in.Clock().UTC().Format("20060102-150405")
		if err := os.Rename(stage, r.Before); err != nil {
			r.Before = stage // it stays under the name that it has
		}
	}
	return r, syncDir(parent)
}

// settleKey puts the key into the unpacked directory and into in.Box, so that it is tried.
func (in *Into) settleKey(stage, target string, m Manifest) error {
	switch {
	case m.Keys || in.KeyOutside:
		return nil
	case in.KeyFile == "":
		if _, err := os.Stat(filepath.Join(target, seal.KeyFile)); err == nil {
			in.KeyFile = filepath.Join(target, seal.KeyFile)
			break
		}
		if in.WithoutKey {
			return nil
		}
		return domain.Errorf(domain.Invalid, "The backup has no key, and the secrets in it cannot be read without.").
			WithFix("Name the key file with --key, set NOVACRON_SEAL_KEY where the server has it from there, or put it into the data directory later with --without-key.")
	}
	text, err := os.ReadFile(in.KeyFile)
	if err != nil {
		return domain.Errorf(domain.Invalid, "The key %s cannot be read: %w", in.KeyFile, err)
	}
	if err := os.WriteFile(filepath.Join(stage, seal.KeyFile), text, 0o600); err != nil { // #nosec G703 -- who restores names the key's file
		return domain.Errorf(domain.Internal, "The key cannot be written: %w", err)
	}
	in.Box, err = seal.Load(stage, "")
	return err
}

// takeOver links what the backup leaves out from the directory that it replaces: images and certificates are no less right than before.
func takeOver(stage, target string, m Manifest) (kept []string, err error) {
	for _, part := range []struct {
		name string
		has  bool
	}{{images, m.Images}, {acme, m.Keys}} {
		from := filepath.Join(target, part.name)
		if _, err := os.Stat(from); part.has || err != nil {
			continue
		}
		if err := rooted.LinkTree(target, stage, part.name); err != nil {
			return nil, domain.Errorf(domain.Internal, "%s cannot be taken over: %w", from, err)
		}
		kept = append(kept, part.name)
	}
	return kept, nil
}

// sameOwner gives what was unpacked to whom the data directory belongs, where that is possible: a server seldom runs as who restores.
func sameOwner(stage, target string) error {
	var st unix.Stat_t
	if err := unix.Stat(target, &st); err != nil || int(st.Uid) == os.Geteuid() || os.Geteuid() != 0 {
		return nil
	}
	if err := rooted.Give(stage, int(st.Uid), int(st.Gid)); err != nil {
		return domain.Errorf(domain.Internal, "The unpacked backup cannot be given to the account of the server: %w", err)
	}
	return nil
}

func restorePrefix(target string) string { return "." + filepath.Base(target) + ".restore-" }

// sweepPartly removes what restores that were killed left. What has no mark is never touched: it may be the former data directory.
func sweepPartly(target string) {
	left, err := filepath.Glob(filepath.Join(filepath.Dir(target), restorePrefix(target)+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		if _, err := os.Stat(filepath.Join(dir, partly)); err != nil {
			continue
		}
		if release, err := db.LockDir(dir); err == nil {
			_ = os.RemoveAll(dir)
			release()
		}
	}
}

// String says in words what is in it and what is not.
func (m Manifest) String() string {
	var in, out []string
	put := func(has bool, what, without string) {
		if has {
			in = append(in, what)
		} else {
			out = append(out, without)
		}
	}
	in = append(in, "the database")
	put(m.Metrics, "samples", "samples of what is measured")
	put(m.Keys, "the key for secrets and certificates", "the key for secrets and certificates' keys: keep seal.key elsewhere, a restore needs it")
	put(m.Images, "the image library", "the image library's files")
	text := strings.Join(in, ", ") + " (" + domain.FormatBytes(m.Bytes()) + " unpacked), of " + m.MadeAt.Format(time.RFC3339)
	if len(out) > 0 {
		text += "\n  Not in it: " + strings.Join(out, "; ")
	}
	return text
}
