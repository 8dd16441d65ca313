package series

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"novacron/db/rooted"
	"novacron/domain"
)

// attempts at a copy of a directory that is written to: what is there changes once in two hours.
const attempts = 5

// blockName is an ULID.
var blockName = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{26}$`)

var errMoved = errors.New("the samples were put together anew meanwhile")

// Copy writes what dir has to a directory that is not there yet; a server may write to dir meanwhile. Blocks are linked where both are on one disk,
// since they never change. What is left is opened once and closed again, so that a sample that was half written is gone.
func Copy(ctx context.Context, dir, to string, log *slog.Logger) error {
	var err error
	for range attempts {
		if err = errors.Join(ctx.Err(), os.RemoveAll(to)); err != nil {
			break
		}
		if err = copyOnce(dir, to); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errMoved) {
			break
		}
	}
	if err != nil {
		return domain.Errorf(domain.Internal, "The samples in %s cannot be copied: %w", dir, err).WithFix("Try again, or leave the samples out.")
	}
	s, err := Open(to, log, Options{Retention: 200 * 365 * 24 * time.Hour, MaxBytes: math.MaxInt64})
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return domain.Errorf(domain.Internal, "The copy of the samples cannot be closed: %w", err)
	}
	return nil
}

// copyOnce takes blocks first, then chunks, then the log: the log has what the chunks do not have yet, and a block that appears meanwhile tells that
// the log was cut.
func copyOnce(dir, to string) error {
	blocks, err := blocksOf(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	src, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	for _, part := range slices.Concat(blocks, []string{"chunks_head", "wbl", "wal"}) {
		if err := copyTree(src, dst, part, slices.Contains(blocks, part)); err != nil {
			return err
		}
	}
	after, err := blocksOf(dir)
	if err == nil && !slices.Equal(blocks, after) {
		err = errMoved
	}
	return err
}

func blocksOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && blockName.MatchString(e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// copyTree copies name and what is below it. Both directories are kept to: root may be who copies, and the server's account could put symbolic links into
// its own meanwhile.
func copyTree(src, dst *os.Root, name string, link bool) error {
	if _, err := src.Stat(name); errors.Is(err, fs.ErrNotExist) && !link {
		return nil // wbl is made only when a sample came late
	}
	return fs.WalkDir(src.FS(), name, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case e.IsDir() && strings.HasSuffix(name, ".tmp"):
			return fs.SkipDir
		case e.IsDir():
			return dst.MkdirAll(name, 0o700)
		case !e.Type().IsRegular():
			return nil
		}
		if link && rooted.Link(src, dst, name) == nil {
			return nil
		}
		return copyFile(src, dst, name)
	})
}

func copyFile(src, dst *os.Root, name string) error {
	from, err := src.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := dst.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
