package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"novacron/domain"
)

// Options of a library.
type Options struct {
	QemuImg    string // the tool's path; empty: it is looked for, "none": there is none
	FetchLocal bool   // addresses of this machine and its links may be fetched from too
	Clock      func() time.Time
	MaxBytes   int64 // of one file; 0: 1 TiB
}

// Library is the directory with the images' files. Safe for concurrent use.
type Library struct {
	dir   string
	tool  *qemuImg // nil: there is none
	local bool
	clock func() time.Time
	most  int64

	places  keyed // one at a time writes a copy of a version into a pool
	uploads keyed // one at a time writes the content of a version
	files   keyed // one at a time keeps or removes the file with a checksum, and the row that says so
	convert chan struct{}
}

// Open makes the library's directories in dir, readable by the server alone.
func Open(dir string, opt Options) (*Library, error) {
	l := &Library{dir: dir, local: opt.FetchLocal, clock: opt.Clock, most: opt.MaxBytes, convert: make(chan struct{}, 2)}
	if l.clock == nil {
		l.clock = time.Now
	}
	if l.most == 0 {
		l.most = domain.TiB
	}
	for _, d := range []string{"files", "incoming"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, domain.Errorf(domain.Invalid, "The image library's directory cannot be made: %w", err).WithFix("See that the data directory can be written to.")
		}
	}
	l.tool = findQemuImg(opt.QemuImg)
	return l, nil
}

// CanConvert reports whether qemu-img is on this machine; why says what it means if not.
func (l *Library) CanConvert() (ok bool, why string) {
	if l.tool != nil {
		return true, ""
	}
	return false, "There is no qemu-img on the server, so only qcow2, raw and ISO files can be imported, and images can be downloaded only as they are. Install the package qemu-utils there and start NovaCron again."
}

// FetchesLocal reports whether addresses of this machine may be fetched from.
func (l *Library) FetchesLocal() bool { return l.local }

func (l *Library) incoming(versionID, ext string) string {
	return filepath.Join(l.dir, "incoming", filepath.Base(versionID)+ext)
}

// path is where the file with a checksum is.
func (l *Library) path(sum, format string) string {
	return filepath.Join(l.dir, "files", filepath.Base(sum)+"."+filepath.Base(format))
}

// OpenFile opens a version's file for reading.
func (l *Library) OpenFile(v domain.ImageVersion) (*os.File, error) {
	if v.SHA256 == "" {
		return nil, v.Usable()
	}
	f, err := os.Open(l.path(v.SHA256, v.Format))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, domain.Errorf(domain.NotFound, "The file of %s is missing from the server's image library.", v.Ref()).WithFix("Restore the data directory's images folder from a backup, or delete this version and import it again.")
	}
	if err != nil {
		return nil, fileError(err, "read")
	}
	return f, nil
}

// fileError is what a failed operation on the server's own files means to a person.
func fileError(err error, doing string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*domain.Error](err); ok || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return domain.Errorf(domain.Exhausted, "The disk of the server's data directory is full: %w", err).WithFix("Free some space there (unused images can be deleted), then try again.")
	}
	return domain.Errorf(domain.Internal, "The image library could not %s a file: %w", doing, err)
}

// room checks that the data directory's disk can take n bytes more.
func (l *Library) room(n int64) error {
	if n > l.most {
		return domain.Errorf(domain.Invalid, "A file of %s is larger than the image library takes (%s).", domain.FormatBytes(n), domain.FormatBytes(l.most))
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(l.dir, &s); err != nil {
		return fileError(err, "look at")
	}
	if free := int64(s.Bavail) * s.Bsize; n > free { // #nosec G115 -- no file system has 2^63 free blocks
		return domain.Errorf(domain.Exhausted, "%s are needed and the disk of the server's data directory has %s free.", domain.FormatBytes(n), domain.FormatBytes(free)).
			WithFix("Free some space there (unused images can be deleted), then try again.")
	}
	return nil
}

// Received is how much of a version's content has arrived.
func (l *Library) Received(versionID string) (int64, error) {
	info, err := os.Stat(l.incoming(versionID, ".part"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fileError(err, "look at")
	}
	return info.Size(), nil
}

// Receive appends what r gives to a version's content at offset, which must be where the last one ended; total is the size of the whole (-1: r's end is the
// end). It returns how much is there, also when r broke off: the next Receive goes on from there.
func (l *Library) Receive(ctx context.Context, versionID string, offset, total int64, r io.Reader) (int64, error) {
	free, ok := l.uploads.try(versionID)
	if !ok {
		return 0, domain.Errorf(domain.Conflict, "Somebody is uploading this content at the moment.").WithFix("Wait for that to end or break off.")
	}
	defer free()
	have, err := l.Received(versionID)
	if err != nil {
		return 0, err
	}
	if offset != have {
		return have, domain.Errorf(domain.Conflict, "The upload goes on at byte %d, not at %d.", have, offset).WithFix("Ask with GET where it stands, and send the rest from there.")
	}
	need := total - have
	if total < 0 {
		need = 0
	}
	if err := l.room(need); err != nil {
		return have, err
	}
	f, err := os.OpenFile(l.incoming(versionID, ".part"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return have, fileError(err, "make")
	}
	defer f.Close()
	left := l.most - have
	if total >= 0 {
		left = min(left, total-have)
	}
	have, err = spread(f, have, io.LimitReader(readerUntil{ctx, r}, left))
	if err != nil {
		if _, ours := errors.AsType[*fs.PathError](err); ours {
			return have, fileError(err, "write")
		}
		return have, domain.Errorf(domain.Unavailable, "The upload broke off after %s.", domain.FormatBytes(have)).WithFix("Send the rest from byte %d.", have).WithCause(err)
	}
	if extra, _ := io.CopyN(io.Discard, r, 1); extra > 0 {
		return have, domain.Errorf(domain.Invalid, "More was sent than the %s that were announced.", domain.FormatBytes(have))
	}
	if err := f.Sync(); err != nil {
		return have, fileError(err, "write")
	}
	return have, nil
}

// spread writes what r gives from an offset on and leaves holes where it is all zeros. The file ends where r did, also when it failed.
func spread(f *os.File, at int64, r io.Reader) (end int64, err error) {
	buf, zeros := make([]byte, 256<<10), make([]byte, 256<<10)
	for err == nil {
		n := 0
		for n < len(buf) && err == nil { // not ReadFull: a body that was cut off is an error of the same name as a short last block
			var got int
			got, err = r.Read(buf[n:])
			n += got
		}
		if n > 0 && !bytes.Equal(buf[:n], zeros[:n]) {
			if _, werr := f.WriteAt(buf[:n], at); werr != nil {
				return at, werr
			}
		}
		at += int64(n)
	}
	if terr := f.Truncate(at); terr != nil {
		return at, terr
	}
	if errors.Is(err, io.EOF) {
		return at, nil
	}
	return at, err
}

// readerUntil ends reading with ctx.
type readerUntil struct {
	ctx context.Context
	r   io.Reader
}

func (r readerUntil) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// discard removes whatever a version has in incoming.
func (l *Library) discard(versionID string) error {
	for _, ext := range []string{".part", ".out"} {
		if err := os.Remove(l.incoming(versionID, ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fileError(err, "delete")
		}
	}
	return nil
}

// Discard throws away the content that a version got so far.
func (l *Library) Discard(versionID string) error {
	free, ok := l.uploads.try(versionID)
	if !ok {
		return domain.Errorf(domain.Conflict, "Somebody is uploading this content at the moment.").WithFix("Wait for that to end or break off.")
	}
	defer free()
	return l.discard(versionID)
}

// hash reads a file and tells how far it is.
func hash(ctx context.Context, path string, progress func(done, total int64)) (sum string, size int64, err error) {
	f, err := os.Open(path) // #nosec G304 -- callers give paths that the library made
	if err != nil {
		return "", 0, fileError(err, "read")
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, fileError(err, "read")
	}
	h := sha256.New()
	n, err := io.CopyBuffer(h, counted{readerUntil{ctx, f}, info.Size(), progress, new(int64)}, make([]byte, 1<<20))
	if err != nil {
		return "", 0, fileError(err, "read")
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}

// counted tells how much went through.
type counted struct {
	r     io.Reader
	total int64
	tell  func(done, total int64)
	done  *int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	*c.done += int64(n)
	if c.tell != nil {
		c.tell(*c.done, c.total)
	}
	return n, err
}

// keep moves a checked file to its place for ever. One that is there already is the same file.
func (l *Library) keep(from, sum, format string) error {
	to := l.path(sum, format)
	if _, err := os.Stat(to); err == nil {
		if err := os.Remove(from); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fileError(err, "delete")
		}
		return nil
	}
	if err := os.Chmod(from, 0o400); err != nil {
		return fileError(err, "move")
	}
	f, err := os.Open(from) // #nosec G304 -- callers give paths that the library made
	if err != nil {
		return fileError(err, "move")
	}
	err = f.Sync()
	_ = f.Close()
	if err == nil {
		err = os.Rename(from, to)
	}
	if err == nil {
		err = syncDir(filepath.Dir(to))
	}
	return fileError(err, "move")
}

func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- it is opened to be written to the disk; nothing is read from it
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// remove deletes a file that no version names.
func (l *Library) remove(sum, format string) error {
	if err := os.Remove(l.path(sum, format)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError(err, "delete")
	}
	return nil
}

// Tidy deletes what no row knows: files of versions that are gone, and content that came in for versions that are not being imported. It runs before anything
// else uses the library.
func (l *Library) Tidy(sums []string, importing []string) error {
	known := map[string]bool{}
	for _, s := range sums {
		known[s] = true
	}
	for _, id := range importing {
		known[id] = true
	}
	for _, d := range []string{"files", "incoming"} {
		entries, err := os.ReadDir(filepath.Join(l.dir, d))
		if err != nil {
			return fileError(err, "list")
		}
		for _, e := range entries {
			name, _, _ := strings.Cut(e.Name(), ".")
			if !known[name] {
				if err := os.Remove(filepath.Join(l.dir, d, e.Name())); err != nil {
					return fileError(err, "delete")
				}
			}
		}
	}
	return nil
}

// keyed is a set of locks by name.
type keyed struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

// try takes the lock if nobody has it.
func (k *keyed) try(name string) (free func(), ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[name] != nil {
		return nil, false
	}
	if k.held == nil {
		k.held = map[string]chan struct{}{}
	}
	done := make(chan struct{})
	k.held[name] = done
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.held, name)
		close(done)
	}, true
}

// take waits for the lock.
func (k *keyed) take(ctx context.Context, name string) (free func(), err error) {
	for {
		if free, ok := k.try(name); ok {
			return free, nil
		}
		k.mu.Lock()
		held := k.held[name]
		k.mu.Unlock()
		if held == nil {
			continue
		}
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
