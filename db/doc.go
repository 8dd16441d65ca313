// Package db keeps the estate in SQLite: what hosts said last, what only we know, jobs and their step log, the event feed, people.
//
// It is the only importer of sqlx and of the driver. Reads are methods of *DB and run on a pool of query-only connections; writes are
// methods of *Tx and run on the one writing connection inside DB.Write, begun as IMMEDIATE so that a read followed by a write can never
// lose to another writer. Every change of state is written together with its domain.Event; after the commit the Feed wakes
// whoever watches. Statements are portable (PostgreSQL is meant to follow): "?" marks, integers for unix milliseconds, JSON as text,
// text ids, keyset pagination.
//
// It is not for deciding anything: validation is domain's, what to do is jobs'. No network call is ever made inside a write. Samples
// of metrics do not belong here.
//
// Errors are *domain.Error at this edge: not_found, conflict (taken, stale, busy), unavailable (the database is busy), internal.
// Errors of a context are passed on untouched.
package db
