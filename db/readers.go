package db

import (
	"context"
	"database/sql"
	"sync"

	"github.com/jmoiron/sqlx"
)

// readPool is the query-only pool. Three things make its slowest answers fast: whoever waits for a connection is served in order (database/sql picks
// at random, so that an unlucky reader waits many times the mean), statements are parsed once per connection, and a query that has begun
// is not interrupted, as watching for that costs more than the query.
type readPool struct {
	db   *sqlx.DB
	gate chan struct{} // one token per connection; Go wakes senders in order

	mu    sync.RWMutex
	stmts map[string]*sqlx.Stmt
}

const maxStatements = 128 // filters make new ones without end; past this they are parsed each time

func newReadPool(db *sqlx.DB) *readPool {
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	return &readPool{db: db, gate: make(chan struct{}, readers), stmts: map[string]*sqlx.Stmt{}}
}

func (p *readPool) enter(ctx context.Context) (context.Context, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case p.gate <- struct{}{}:
		return context.WithoutCancel(ctx), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *readPool) leave() { <-p.gate }

// stmt gives a prepared statement, or nil when there are too many.
func (p *readPool) stmt(ctx context.Context, query string) (*sqlx.Stmt, error) {
	p.mu.RLock()
	s, n := p.stmts[query], len(p.stmts)
	p.mu.RUnlock()
	if s != nil || n >= maxStatements {
		return s, nil
	}
	s, err := p.db.PreparexContext(ctx, p.db.Rebind(query))
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.stmts[query]; have != nil {
		_ = s.Close()
		return have, nil
	}
	p.stmts[query] = s
	return s, nil
}

// GetContext reads one row into dest.
func (p *readPool) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	if t := trialOf(ctx); t != nil {
		return t.reader().GetContext(ctx, dest, query, args...)
	}
	ctx, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer p.leave()
	s, err := p.stmt(ctx, query)
	if err != nil {
		return err
	}
	if s == nil {
		return p.db.GetContext(ctx, dest, p.db.Rebind(query), args...)
	}
	return s.GetContext(ctx, dest, args...)
}

// SelectContext reads all rows into dest.
func (p *readPool) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	if t := trialOf(ctx); t != nil {
		return t.reader().SelectContext(ctx, dest, query, args...)
	}
	ctx, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer p.leave()
	s, err := p.stmt(ctx, query)
	if err != nil {
		return err
	}
	if s == nil {
		return p.db.SelectContext(ctx, dest, p.db.Rebind(query), args...)
	}
	return s.SelectContext(ctx, dest, args...)
}

// each calls scan for every row; scan must not read from the database.
func (p *readPool) each(ctx context.Context, scan func(rows *sql.Rows) error, query string, args ...any) error {
	if t := trialOf(ctx); t != nil {
		return t.reader().each(ctx, scan, query, args...)
	}
	ctx, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer p.leave()
	s, err := p.stmt(ctx, query)
	if err != nil {
		return err
	}
	var rows *sql.Rows
	if s == nil {
		rows, err = p.db.QueryContext(ctx, p.db.Rebind(query), args...)
	} else {
		rows, err = s.QueryContext(ctx, args...)
	}
	return eachRow(rows, err, scan)
}

func eachRow(rows *sql.Rows, err error, scan func(rows *sql.Rows) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Close waits for the readers at work.
func (p *readPool) Close() error {
	for range readers {
		p.gate <- struct{}{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.stmts {
		_ = s.Close()
	}
	err := p.db.Close()
	for range readers { // what comes later is told that it is closed
		<-p.gate
	}
	return err
}

// getter reads in a read connection or in a write transaction.
type getter interface {
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
	each(ctx context.Context, scan func(rows *sql.Rows) error, query string, args ...any) error
}

// txReader reads within a write transaction, seeing what it wrote.
type txReader struct{ tx *Tx }

func (r txReader) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	s, err := r.tx.stmt(query)
	if err != nil {
		return err
	}
	if s == nil {
		return r.tx.tx.GetContext(ctx, dest, r.tx.tx.Rebind(query), args...)
	}
	return s.GetContext(ctx, dest, args...)
}

func (r txReader) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	s, err := r.tx.stmt(query)
	if err != nil {
		return err
	}
	if s == nil {
		return r.tx.tx.SelectContext(ctx, dest, r.tx.tx.Rebind(query), args...)
	}
	return s.SelectContext(ctx, dest, args...)
}

func (r txReader) each(ctx context.Context, scan func(rows *sql.Rows) error, query string, args ...any) error {
	s, err := r.tx.stmt(query)
	if err != nil {
		return err
	}
	var rows *sql.Rows
	if s == nil {
		rows, err = r.tx.tx.QueryContext(ctx, r.tx.tx.Rebind(query), args...)
	} else {
		rows, err = s.QueryContext(ctx, args...)
	}
	return eachRow(rows, err, scan)
}
