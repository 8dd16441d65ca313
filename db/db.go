package db

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite", in pure Go

	"novacron/db/seal"
	"novacron/domain"
)

//go:embed migrations/*.sql
var migrations embed.FS

const readers = 8

// DB is the database of one estate. It is safe for use by many goroutines.
type DB struct {
	log   *slog.Logger
	clock func() time.Time
	base  context.Context // for scs, whose older methods carry none
	write *sqlx.DB
	read  *readPool
	kept  map[string]*sqlx.Stmt // prepared on the writer, used by whoever has the turn
	turn  chan struct{}         // one token: whoever has it may write; held until the feed has been told, so that the feed keeps the order of the commits
	feed  *Feed
	docs  docCache
	box   *seal.Box // of the secrets that lie here

	auditKeys auditKeys

	generation atomic.Int64 // of what the memos keep
	pages      *memo[VMQuery, VMPage]
	overviews  *memo[struct{}, Overview]
	hosts      *memo[struct{}, []domain.Host]
	jobPages   *memo[JobQuery, JobPage]

	pools       *memo[struct{}, []PoolItem]
	volumePages *memo[VolumeQuery, VolumePage]
}

// Option changes how a database is opened.
type Option func(*options)

type options struct {
	sync string
	seal *seal.Box
}

// Seal opens and seals secrets with this box; without, the key in the file's directory is taken, or made.
func Seal(b *seal.Box) Option { return func(o *options) { o.seal = b } }

// Unsynced commits without waiting for the disk: what is written survives the end of the process, but not a power cut. It is for tests, which
// commit thousands of times.
func Unsynced() Option { return func(o *options) { o.sync = "off" } }

// Open opens the database file, making it (mode 0600, its directory 0700) when it is not there, and brings its schema up to date.
func Open(ctx context.Context, path string, log *slog.Logger, clock func() time.Time, opts ...Option) (*DB, error) {
	// full, not normal: an acknowledged change must survive a power cut too, and one sync costs less than a millisecond on an SSD.
	o := options{sync: "full"}
	for _, opt := range opts {
		opt(&o)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "The database path %s cannot be resolved: %w", path, err)
	}
	if err := makePrivate(abs); err != nil {
		return nil, domain.Errorf(domain.Internal, "The database %s cannot be made: %w", abs, err).WithFix("Check that the data directory exists and that this user may write to it.")
	}
	d := &DB{log: log, clock: clock, base: context.WithoutCancel(ctx), turn: make(chan struct{}, 1), feed: newFeed(ringSize), kept: map[string]*sqlx.Stmt{}}
	d.docs.init()
	if d.box = o.seal; d.box == nil {
		if d.box, err = seal.Load(filepath.Dir(abs), ""); err != nil {
			return nil, err
		}
	}
	d.pages, d.jobPages = newMemo[VMQuery, VMPage](&d.generation), newMemo[JobQuery, JobPage](&d.generation)
	d.pools, d.volumePages = newMemo[struct{}, []PoolItem](&d.generation), newMemo[VolumeQuery, VolumePage](&d.generation)
	d.overviews, d.hosts = newMemo[struct{}, Overview](&d.generation), newMemo[struct{}, []domain.Host](&d.generation)
	if d.write, err = sqlx.Open("sqlite", dsn(abs, "_txlock=immediate", "_pragma=synchronous("+o.sync+")")); err != nil {
		return nil, edge(err, "database")
	}
	d.write.SetMaxOpenConns(1)
	read, err := sqlx.Open("sqlite", dsn(abs, "_pragma=query_only(1)"))
	if err != nil {
		_ = d.write.Close()
		return nil, edge(err, "database")
	}
	d.read = newReadPool(read)
	if err := d.start(ctx); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

func (d *DB) start(ctx context.Context) error {
	if err := d.migrate(ctx); err != nil {
		return err
	}
	if err := d.checkKey(ctx); err != nil {
		return err
	}
	if err := d.sealCredentials(ctx); err != nil {
		return err
	}
	evs, err := d.Events(ctx, EventQuery{Newest: true, Limit: maxLimit})
	if err != nil {
		return err
	}
	d.feed.fill(evs)
	d.turn <- struct{}{}
	return nil
}

func (d *DB) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return edge(err, "schema")
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, d.write.DB, dir, goose.WithSlog(d.log), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return edge(err, "schema")
	}
	// A file written by a newer release has migrations we do not know; going on would damage it.
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return edge(err, "schema")
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return domain.Errorf(domain.Unsupported, "The database is of version %d, newer than this program's %d.", have, newest).WithFix("Use the newer NovaCron that wrote it, or restore a backup made before the upgrade.")
	}
	if _, err := p.Up(ctx); err != nil {
		return domain.Errorf(domain.Internal, "The database's schema could not be brought up to date: %w", err)
	}
	return nil
}

func dsn(path string, opts ...string) string {
	// busy_timeout comes first: the pragmas after it may have to wait for another process already.
	pragmas := []string{"_pragma=busy_timeout(5000)", "_pragma=journal_mode(wal)", "_pragma=foreign_keys(1)", "_pragma=journal_size_limit(67108864)", "_pragma=temp_store(memory)"}
	return dsnPlain(path, append(pragmas, opts...)...)
}

func dsnPlain(path string, opts ...string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: strings.Join(opts, "&")}
	return u.String()
}

func makePrivate(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// SQLite gives its -wal and -shm files the mode of the database file.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the database in the data directory that the server was started with
	if err != nil {
		return err
	}
	if err := f.Chmod(0o600); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// Close waits for the write under way and closes both pools.
func (d *DB) Close() error {
	err := d.read.Close()
	if werr := d.write.Close(); err == nil {
		err = werr
	}
	return err
}

// Ping reports whether the database can be read.
func (d *DB) Ping(ctx context.Context) error {
	var one int
	return edge(d.read.GetContext(ctx, &one, "SELECT 1"), "database")
}

// Feed gives the live event feed.
func (d *DB) Feed() *Feed { return d.feed }

// Tx is one write transaction. It is valid until the function given to Write returns, on its goroutine only.
type Tx struct {
	d      *DB
	ctx    context.Context
	tx     *sqlx.Tx
	seq    int64
	events []domain.Event
	jobs   []domain.Job          // that were put in
	stmts  map[string]*sqlx.Stmt // nil: run once, unprepared
	shows  bool                  // wrote something that a memo may keep
	before string                // how something was, for the audit log
	after  string                // and how it is to be
}

// Write runs fn in a write transaction and commits it, or rolls it back when fn fails. It waits for its turn as long as ctx allows;
// once begun it is short and is not interrupted, so that the outcome is never in doubt.
func (d *DB) Write(ctx context.Context, fn func(tx *Tx) error) (err error) {
	if t := trialOf(ctx); t != nil {
		return t.write(ctx, d, fn)
	}
	terms := termsOf(ctx)
	select {
	case <-d.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { d.turn <- struct{}{} }()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := terms.hold(ctx); err != nil {
		return err
	}
	tx := &Tx{d: d, ctx: context.WithoutCancel(ctx), stmts: map[string]*sqlx.Stmt{}}
	defer tx.keep()
	if tx.tx, err = d.write.BeginTxx(tx.ctx, nil); err != nil {
		return edge(err, "database")
	}
	committed := false
	defer func() {
		if !committed {
			_ = tx.tx.Rollback() // also on a panic in fn; fn's own error is what counts
		}
	}()
	if err := fn(tx); err != nil {
		return edge(err, "record")
	}
	if err := terms.note(tx); err != nil {
		return edge(err, "record")
	}
	if err := tx.tx.Commit(); err != nil {
		return edge(err, "record")
	}
	committed = true
	terms.kept()
	if tx.shows {
		d.generation.Add(1)
	}
	d.publish(tx)
	return nil
}

// Generation counts the commits of this process that may show in a list. What was read at one generation is what would be read again at the same.
func (d *DB) Generation() int64 { return d.generation.Load() }

// publish tells the feed. When another process wrote events meanwhile (a token made on the command line), they are fetched first.
func (d *DB) publish(tx *Tx) {
	if len(tx.events) == 0 {
		return
	}
	evs := tx.events
	if last := d.feed.Last(); evs[0].Seq != last+1 {
		missed, err := d.Events(domain.WithSight(tx.ctx, nil), EventQuery{After: last, Before: evs[0].Seq, Limit: maxLimit})
		if err != nil {
			d.feed.restart(evs) // whoever follows is told of the gap and reads the table
			return
		}
		evs = append(missed, evs...)
	}
	d.feed.add(evs)
}

// exec runs a statement. Every one is taken to change what the memos keep; aside is for those that cannot.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	tx.shows = true
	return tx.aside(query, args...)
}

func (tx *Tx) aside(query string, args ...any) (int64, error) {
	s, err := tx.stmt(query)
	if err != nil {
		return 0, err
	}
	var res sql.Result
	if s == nil {
		res, err = tx.tx.ExecContext(tx.ctx, tx.tx.Rebind(query), args...)
	} else {
		res, err = s.ExecContext(tx.ctx, args...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// stmt gives a prepared statement, or nil for one that is new: parsing costs more than running, but the one writing connection is in use, so only
// keep can prepare it for the transactions to come. One that repeats within its first transaction is prepared there.
func (tx *Tx) stmt(query string) (*sqlx.Stmt, error) {
	s, again := tx.stmts[query]
	if s != nil {
		return s, nil
	}
	var err error
	if kept := tx.d.kept[query]; kept != nil {
		s = tx.tx.StmtxContext(tx.ctx, kept)
	} else if again {
		s, err = tx.tx.PreparexContext(tx.ctx, tx.tx.Rebind(query))
	}
	tx.stmts[query] = s
	return s, err
}

// keep prepares what the transaction ran and was new. It runs after the transaction, while its turn lasts.
func (tx *Tx) keep() {
	for query := range tx.stmts {
		if tx.d.kept[query] != nil || len(tx.d.kept) >= maxStatements {
			continue
		}
		if s, err := tx.d.write.PreparexContext(tx.ctx, tx.d.write.Rebind(query)); err == nil { // else it is parsed each time, which is only slower
			tx.d.kept[query] = s
		}
	}
}

// one runs a statement that must touch exactly the thing named; none touched is NotFound.
func (tx *Tx) one(what, query string, args ...any) error {
	n, err := tx.exec(query, args...)
	if err == nil && n == 0 {
		err = sql.ErrNoRows
	}
	return edge(err, what)
}

func (tx *Tx) read() txReader { return txReader{tx} }

func (tx *Tx) now() time.Time { return tx.d.clock() }

// Prune forgets events before one time and top-level jobs that ended before the other, with their children and logs. The newest event stays, so
// that the numbering goes on.
func (d *DB) Prune(ctx context.Context, eventsBefore, jobsBefore time.Time) (events, jobs int64, err error) {
	err = d.Write(ctx, func(tx *Tx) error {
		var err error
		if events, err = tx.exec("DELETE FROM events WHERE at < ? AND seq < (SELECT max(seq) FROM events)", ms(eventsBefore)); err != nil {
			return err
		}
		if jobs, err = tx.exec("DELETE FROM jobs WHERE state IN ('succeeded', 'undone') AND ended_at < ? AND parent_id IS NULL", ms(jobsBefore)); err != nil {
			return err
		}
		if _, err = tx.exec("DELETE FROM sessions WHERE expires_at < ?", ms(tx.now())); err != nil {
			return err
		}
		_, err = tx.exec("DELETE FROM signins WHERE expires_at < ?", ms(tx.now()))
		return err
	})
	return events, jobs, err
}
