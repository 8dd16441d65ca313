// Package series keeps samples of what is measured, and answers questions about them: Prometheus' own storage and query engine, embedded.
//
// What is asked is narrowed to the sight that a context carries (domain.SightOf) within the engine itself, so that no query, however written, reads a
// series of somebody else.
//
// It is not for rows: those are db's. It does not decide what is measured (domain.Metrics) nor when (jobs/meter).
package series
