package series

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"novacron/domain"
)

// Options bound what is kept and what may be asked; zero values are right for production.
type Options struct {
	Retention time.Duration // how long samples are kept; 0: 15 days
	MaxBytes  int64         // the oldest go when there is more on disk; 0: 20 GiB
	Samples   int           // the most that one query may hold in memory; 0: 5 million
	Timeout   time.Duration // the longest that one query may take; 0: 30 s
	Reserve   int64         // nothing is written where less is free than that; 0: 256 MiB, below 0: none
}

// late is how far behind the newest a sample may be and still be kept: a clock that was set back, or a sender that was cut off.
const late = time.Hour

// stripes is the size of the table of series: Prometheus' own is made for millions of them and takes memory at once.
const stripes = 1 << 10

// Store is a directory of samples. Safe for concurrent use.
type Store struct {
	db      *tsdb.DB
	engine  *promql.Engine
	parser  parser.Parser
	refused atomic.Int64
	long    Long // may be nil
	dir     string
	opt     Options
	room    room
	sent    sent
	copy    func(Batch) // may be nil
}

// Sample is one value of a series at the time of its batch. Labels include the metric's name.
type Sample struct {
	Labels labels.Labels
	Value  float64
}

// Open opens dir, or makes it, and repairs what a power cut left of it.
func Open(dir string, log *slog.Logger, opt Options) (*Store, error) {
	if opt.Retention == 0 {
		opt.Retention = 15 * 24 * time.Hour
	}
	if opt.MaxBytes == 0 {
		opt.MaxBytes = 20 << 30
	}
	if opt.Samples == 0 {
		opt.Samples = 5e6
	}
	if opt.Timeout == 0 {
		opt.Timeout = 30 * time.Second
	}
	o := tsdb.DefaultOptions()
	o.RetentionDuration, o.MaxBytes = opt.Retention.Milliseconds(), opt.MaxBytes
	o.OutOfOrderTimeWindow = late.Milliseconds()
	o.StripeSize = stripes
	o.NoLockfile = true // the data directory is locked as a whole
	quiet := slog.New(levelled{log.Handler()})
	if opt.Reserve == 0 {
		opt.Reserve = 256 << 20
	}
	d, err := tsdb.Open(dir, quiet, nil, o, nil)
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "The samples in %s cannot be read: %w", dir, err).WithFix("Move the directory away to begin with an empty one; nothing else is lost.")
	}
	syntax := parser.NewParser(parser.Options{})
	return &Store{db: d, dir: dir, opt: opt, parser: syntax, engine: promql.NewEngine(promql.EngineOpts{
		Logger: quiet, MaxSamples: opt.Samples, Timeout: opt.Timeout, EnableAtModifier: true, EnableNegativeOffset: true, Parser: syntax,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
	})}, nil
}

// Close writes what is not on disk yet.
func (s *Store) Close() error { return errors.Join(s.engine.Close(), s.db.Close()) }

// Append keeps a batch of samples of one moment, all or none where the disk fails. Those that contradict what is kept already, or are too old, are
// counted and left out. A disk that is full is Exhausted.
func (s *Store) Append(ctx context.Context, at time.Time, batch []Sample) error {
	if err := s.room.enough(s.dir, s.opt.Reserve); err != nil {
		return err
	}
	app := s.db.Appender(ctx)
	t := at.UnixMilli()
	for _, x := range batch {
		_, err := app.Append(0, x.Labels, t, x.Value)
		switch {
		case err == nil:
		case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrDuplicateSampleForTimestamp), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrTooOldSample):
			s.refused.Add(1)
		default:
			return errors.Join(edge(err), app.Rollback())
		}
	}
	err := edge(app.Commit())
	s.room.tried(err)
	if err == nil && s.copy != nil {
		s.copy(Batch{at, batch})
	}
	return err
}

// Count tells how many series have samples in memory, and how many samples were refused since the store was opened.
func (s *Store) Count() (inMemory uint64, refused int64) {
	return s.db.Head().NumSeries(), s.refused.Load()
}

// Usage is what is kept.
type Usage struct {
	Bytes  int64 // on disk
	Series uint64
	From   time.Time // of the oldest sample; zero: there is none
}

// Usage tells what is on disk.
func (s *Store) Usage() Usage {
	u := Usage{Bytes: s.db.Head().Size(), Series: s.db.Head().NumSeries()}
	from := s.db.Head().MinTime()
	for _, b := range s.db.Blocks() {
		u.Bytes += b.Size()
		from = min(from, b.MinTime())
	}
	if u.Series > 0 || len(s.db.Blocks()) > 0 {
		u.From = time.UnixMilli(from).UTC()
	}
	return u
}

// levelled leaves out what Prometheus tells of its daily work.
type levelled struct{ slog.Handler }

func (l levelled) Enabled(ctx context.Context, v slog.Level) bool {
	return v >= slog.LevelWarn && l.Handler.Enabled(ctx, v)
}

func (l levelled) WithAttrs(a []slog.Attr) slog.Handler { return levelled{l.Handler.WithAttrs(a)} }

func (l levelled) WithGroup(name string) slog.Handler { return levelled{l.Handler.WithGroup(name)} }

// Labels tell a series from others; the metric's name is one of them.
type Labels = labels.Labels

// Of makes labels of a metric's name and of pairs of names and values; those without a value are left out.
func Of(metric string, pairs ...string) Labels {
	b := labels.NewScratchBuilder(1 + len(pairs)/2)
	b.Add(model.MetricNameLabel, metric)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			b.Add(pairs[i], pairs[i+1])
		}
	}
	b.Sort()
	return b.Labels()
}

// Stale is the value that ends a series: without it, the last one is shown for five minutes more.
var Stale = math.Float64frombits(value.StaleNaN)
