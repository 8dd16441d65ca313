package db

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"novacron/db/seal"
	"novacron/domain"
)

// File is the one file of a data directory (SQLite keeps its -wal and -shm beside it).
func File(data string) string { return filepath.Join(data, "novacron.db") }

// LockData makes the data directory, for its owner only, and keeps a second server out of it. The lock is on the directory itself and goes with the process.
func LockData(data string) (unlock func(), err error) {
	entries, err := os.ReadDir(data)
	others := slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return !strings.HasPrefix(e.Name(), seal.KeyFile) && !strings.HasPrefix(e.Name(), filepath.Base(File("")))
	})
	if errors.Is(err, os.ErrNotExist) || err == nil && !others { // never close a directory that others use too, such as /tmp
		if err = os.MkdirAll(data, 0o700); err == nil {
			err = os.Chmod(data, 0o700) // #nosec G302 -- a directory: 0700 lets its owner in and nobody else
		}
		if err != nil {
			return nil, domain.Errorf(domain.Invalid, "The data directory %s cannot be made: %w", data, err).WithFix("Name another one with --data.")
		}
	}
	return LockDir(data)
}

// LockDir takes a directory that is there, as LockData does, or is a Conflict.
func LockDir(data string) (unlock func(), err error) {
	dir, err := os.Open(data) // #nosec G304 -- the data directory that the server was started with; it is locked, not read
	if err != nil {
		return nil, domain.Errorf(domain.Invalid, "The data directory %s cannot be opened: %w", data, err)
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = dir.Close()
		return nil, domain.Errorf(domain.Conflict, "Another NovaCron is running on the data directory %s.", data).WithFix("Stop it first, or name another directory with --data.")
	}
	return func() { _ = dir.Close() }, nil
}
