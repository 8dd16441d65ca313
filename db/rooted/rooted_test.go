package rooted

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Sys().(*syscall.Stat_t).Ino
}

func TestATreeIsLinkedFileByFile(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, filepath.Join(from, "images/a"), "one")
	write(t, filepath.Join(from, "images/deep/er/b"), "two")
	write(t, filepath.Join(from, "other"), "not asked for")
	if err := os.Symlink("a", filepath.Join(from, "images/link")); err != nil {
		t.Fatal(err)
	}
	if err := LinkTree(from, to, "images"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"images/a", "images/deep/er/b", "images/link"} {
		if inode(t, filepath.Join(from, name)) != inode(t, filepath.Join(to, name)) {
			t.Errorf("%s is not the same file in both", name)
		}
	}
	if _, err := os.Lstat(filepath.Join(to, "other")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was not named came along: %v", err)
	}
}

func TestADirectoryOnAnotherDiskStaysALink(t *testing.T) {
	from, to, disk := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(disk, "a"), "one")
	if err := os.Symlink(disk, filepath.Join(from, "images")); err != nil {
		t.Fatal(err)
	}
	if err := LinkTree(from, to, "images"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(filepath.Join(to, "images")); err != nil || got != disk {
		t.Errorf("it leads to %q, %v", got, err)
	}
	if _, err := os.Lstat(filepath.Join(disk, "a")); err != nil {
		t.Error(err)
	}
}

// A walk has seen a directory, and by the time its file is linked the name leads elsewhere.
func TestADirectoryThatBecomesALinkLeadsNowhere(t *testing.T) {
	from, to, outside := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(outside, "shadow"), "secret")
	if err := errors.Join(os.Symlink(outside, filepath.Join(from, "images")), os.Mkdir(filepath.Join(to, "images"), 0o700)); err != nil {
		t.Fatal(err)
	}
	src, err := os.OpenRoot(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if err := Link(src, dst, "images/shadow"); err == nil {
		t.Error("a file outside was linked")
	}
	if _, err := os.Lstat(filepath.Join(to, "images/shadow")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
	// The other way round: what is linked must not land outside.
	write(t, filepath.Join(from, "acme/key"), "ours")
	if err := os.Symlink(outside, filepath.Join(to, "acme")); err != nil {
		t.Fatal(err)
	}
	if err := Link(src, dst, "acme/key"); err == nil {
		t.Error("a file was linked to the outside")
	}
	if _, err := os.Lstat(filepath.Join(outside, "key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}

func TestATreeIsGivenAwayAndNothingOutsideOfIt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	const account = 61234
	dir, outside := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "novacron.db"), "rows")
	write(t, filepath.Join(dir, "images/deep/a"), "one")
	write(t, filepath.Join(outside, "shadow"), "secret")
	if err := errors.Join(os.Symlink(outside, filepath.Join(dir, "dir")), os.Symlink(filepath.Join(outside, "shadow"), filepath.Join(dir, "file"))); err != nil {
		t.Fatal(err)
	}
	if err := Give(dir, account, account); err != nil {
		t.Fatal(err)
	}
	owner := func(path string) uint32 {
		st, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st.Sys().(*syscall.Stat_t).Uid
	}
	for _, name := range []string{".", "novacron.db", "images", "images/deep", "images/deep/a", "dir", "file"} {
		if got := owner(filepath.Join(dir, name)); got != account {
			t.Errorf("%s belongs to %d", name, got)
		}
	}
	for _, name := range []string{".", "shadow"} {
		if got := owner(filepath.Join(outside, name)); got != 0 {
			t.Errorf("%s outside belongs to %d", name, got)
		}
	}
}

// Whoever is given a directory may put something else in the way of what is still to come.
func TestADirectoryIsGivenAfterWhatItHolds(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a/b/c"), "")
	write(t, filepath.Join(dir, "z"), "")
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	got, err := insideOut(root)
	if want := []string{"z", "a/b/c", "a/b", "a", "."}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
