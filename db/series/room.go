package series

import (
	"sync"
	"syscall"
	"time"

	"novacron/domain"
)

// lookAgain is how often the room on the disk is looked at: the next samples come seconds later, and a full disk does not empty within one.
const lookAgain = time.Second

// room keeps samples from filling the disk to the last byte, on which the database is too. Writing goes on when there is room again.
type room struct {
	mu     sync.Mutex
	looked time.Time
	since  time.Time // when it began to be full; zero: it is not
	err    error
}

// enough is nil where samples may be written.
func (r *room) enough(dir string, reserve int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now() // of this machine's disk, not of what is measured
	if reserve < 0 || now.Sub(r.looked) < lookAgain {
		return r.err
	}
	r.looked = now
	free, err := freeAt(dir)
	switch {
	case err != nil:
		r.full(now, edge(err))
	case free < reserve:
		r.full(now, domain.Errorf(domain.Exhausted, "The disk that holds the samples has %s left, and %s are kept free.", domain.FormatBytes(free), domain.FormatBytes(reserve)).WithFix("Make room; measuring goes on by itself."))
	default:
		r.since, r.err = time.Time{}, nil
	}
	return r.err
}

// tried notes what came of writing. Without a reserve this is the only way to know.
func (r *room) tried(err error) {
	if err != nil && !domain.Is(err, domain.Exhausted) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.full(time.Now(), err)
		r.err = nil // the next batch tries again
		return
	}
	r.since, r.err = time.Time{}, nil
}

func (r *room) full(now time.Time, err error) {
	r.err = err
	if r.since.IsZero() {
		r.since = now
	}
}

func freeAt(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil // #nosec G115 -- no file system has 2^63 free blocks
}

// FullSince tells since when nothing can be kept, since the disk is full; zero: it is not.
func (s *Store) FullSince() time.Time {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	return s.room.since
}

// Limits are how long samples are kept, and the most that they may take on disk.
func (s *Store) Limits() (keep time.Duration, most int64) { return s.opt.Retention, s.opt.MaxBytes }
