package db

import (
	"context"
	"database/sql"
	"sync"

	"github.com/jmoiron/sqlx"

	"novacron/domain"
)

// Trial is what a change would have written: everything that was done with the context that Try gave ran in one transaction, saw what it had written
// itself, and was rolled back.
type Trial struct {
	Jobs   []domain.Job   // that would have been put into the queue, in order
	Events []domain.Event // that would have been told of

	mu sync.Mutex // one write at a time
	tx *sqlx.Tx
}

type trialKey struct{}

func trialOf(ctx context.Context) *Trial {
	t, _ := ctx.Value(trialKey{}).(*Trial)
	return t
}

// Trying reports whether what is written with this context will be taken back: then nothing outside of the database may follow from it, and nothing that
// was read with it may be kept.
func Trying(ctx context.Context) bool { return trialOf(ctx) != nil }

// Try runs fn as if it changed something. Nobody else writes meanwhile, so fn must be as short as a write is: it waits for nobody and asks no network. The
// error is that of fn.
func (d *DB) Try(ctx context.Context, fn func(ctx context.Context) error) (*Trial, error) {
	select {
	case <-d.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { d.turn <- struct{}{} }()
	t := &Trial{}
	var err error
	if t.tx, err = d.write.BeginTxx(context.WithoutCancel(ctx), nil); err != nil {
		return nil, edge(err, "database")
	}
	defer t.tx.Rollback() // always; it also frees the connection when fn panics
	if err := fn(context.WithValue(ctx, trialKey{}, t)); err != nil {
		return nil, err
	}
	return t, nil
}

// write is Write within a trial: what fails is taken back alone, as it would be.
func (t *Trial) write(ctx context.Context, d *DB, fn func(tx *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	tx := &Tx{d: d, ctx: context.WithoutCancel(ctx), tx: t.tx, stmts: map[string]*sqlx.Stmt{}}
	if err := termsOf(ctx).hold(ctx); err != nil {
		return err
	}
	if _, err := t.tx.ExecContext(tx.ctx, "SAVEPOINT trial"); err != nil {
		return edge(err, "database")
	}
	if err := fn(tx); err != nil {
		if _, back := t.tx.ExecContext(tx.ctx, "ROLLBACK TO trial"); back != nil {
			return edge(back, "database")
		}
		return edge(err, "record")
	}
	if _, err := t.tx.ExecContext(tx.ctx, "RELEASE trial"); err != nil {
		return edge(err, "database")
	}
	termsOf(ctx).kept()
	t.Jobs, t.Events = append(t.Jobs, tx.jobs...), append(t.Events, tx.events...)
	return nil
}

// reader reads what the trial has written. Its statements are parsed each time, as the transaction may be read from several goroutines.
func (t *Trial) reader() getter { return trialReader{t.tx} }

type trialReader struct{ tx *sqlx.Tx }

func (r trialReader) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	return r.tx.GetContext(context.WithoutCancel(ctx), dest, r.tx.Rebind(query), args...)
}

func (r trialReader) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	return r.tx.SelectContext(context.WithoutCancel(ctx), dest, r.tx.Rebind(query), args...)
}

func (r trialReader) each(ctx context.Context, scan func(rows *sql.Rows) error, query string, args ...any) error {
	rows, err := r.tx.QueryContext(context.WithoutCancel(ctx), r.tx.Rebind(query), args...)
	return eachRow(rows, err, scan)
}

// Terms go with the first write of a context.
type Terms struct {
	// Holds is asked when nobody else can write any more, and its error refuses the write. It only reads.
	Holds func(ctx context.Context) error
	// Note is written in the same transaction.
	Note func(tx *Tx) error

	met bool
}

type termsKey struct{}

// WithTerms has the first write with the context, and no other, done on these terms.
func WithTerms(ctx context.Context, t *Terms) context.Context {
	return context.WithValue(ctx, termsKey{}, t)
}

func termsOf(ctx context.Context) *Terms {
	t, _ := ctx.Value(termsKey{}).(*Terms)
	return t
}

// HoldsOf is what the context's terms ask; nil: nothing.
func HoldsOf(ctx context.Context) func(ctx context.Context) error {
	if t := termsOf(ctx); t != nil {
		return t.Holds
	}
	return nil
}

func (t *Terms) hold(ctx context.Context) error {
	if t == nil || t.met || t.Holds == nil {
		return nil
	}
	return t.Holds(ctx)
}

func (t *Terms) note(tx *Tx) error {
	if t == nil || t.met || t.Note == nil {
		return nil
	}
	return t.Note(tx)
}

func (t *Terms) kept() {
	if t != nil {
		t.met = true
	}
}
