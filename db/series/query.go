package series

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"novacron/domain"
)

// mostSteps is how many points of each series one range may have, as Prometheus itself bounds it.
const mostSteps = 11_000

// View is what somebody may read: the series of these VMs, by id; All is everything.
type View struct {
	All bool
	VMs []string
}

// matcher is what every selection gets besides; nil for everything. Nothing matches where nothing may be read.
func (v View) matcher() *labels.Matcher {
	if v.All {
		return nil
	}
	of := []string{"\x00"} // no label has it
	for _, id := range v.VMs {
		of = append(of, regexp.QuoteMeta(id))
	}
	return labels.MustNewMatcher(labels.MatchRegexp, "vm_id", strings.Join(of, "|"))
}

// Result is the answer to a query: a promql.Vector, Matrix, Scalar or String, which write themselves as JSON.
type Result struct {
	Type     string // vector, matrix, scalar, string
	Value    any
	Warnings []string
	Infos    []string
}

// Query asks for values at one time.
func (s *Store) Query(ctx context.Context, view View, expr string, at time.Time) (Result, error) {
	q, err := s.engine.NewInstantQuery(ctx, s.narrowed(view), nil, expr, at)
	if err != nil {
		return Result{}, edge(err)
	}
	return run(ctx, q)
}

// QueryRange asks for values from start to end, one each step.
func (s *Store) QueryRange(ctx context.Context, view View, expr string, start, end time.Time, step time.Duration) (Result, error) {
	switch {
	case step <= 0:
		return Result{}, domain.InvalidField("step", "The step is not longer than nothing.", "a duration such as 15s")
	case end.Before(start):
		return Result{}, domain.InvalidField("end", "The end is before the start.", "a time after the start")
	case end.Sub(start)/step > mostSteps:
		return Result{}, domain.InvalidField("step", "That would be more than 11,000 points of each series.", "a longer step, or a shorter time")
	}
	q, err := s.engine.NewRangeQuery(ctx, s.narrowed(view), nil, expr, start, end, step)
	if err != nil {
		return Result{}, edge(err)
	}
	return run(ctx, q)
}

func run(ctx context.Context, q promql.Query) (Result, error) {
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return Result{}, evaluated(res.Err)
	}
	out := Result{Type: string(res.Value.Type()), Value: clone(res.Value)}
	out.Warnings, out.Infos = res.Warnings.AsStrings(q.String(), 10, 10)
	return out, nil
}

// clone keeps a result beyond its query, whose points are used again, and gives empty lists as such.
func clone(v parser.Value) any {
	switch v := v.(type) {
	case promql.Matrix:
		out := make(promql.Matrix, len(v))
		for i, series := range v {
			series.Floats, series.Histograms = slices.Clone(series.Floats), slices.Clone(series.Histograms)
			out[i] = series
		}
		return out
	case promql.Vector:
		return append(promql.Vector{}, v...)
	}
	return v
}

// Selectors reads series selectors such as {vm="web"}. Invalid.
func (s *Store) selectors(texts []string) ([][]*labels.Matcher, error) {
	out, err := s.parser.ParseMetricSelectors(texts)
	if err != nil {
		return nil, domain.InvalidField("match[]", "That is not a selector of series: "+err.Error()+".", `such as novacron_vm_up{vm="web"}`)
	}
	return out, nil
}

// Series lists the labels of the series that any of the selectors chooses and that have samples between the times, at most most of them; more says that
// there are others.
func (s *Store) Series(ctx context.Context, view View, selectors []string, start, end time.Time, most int) (found []labels.Labels, more bool, err error) {
	sets, err := s.selectors(selectors)
	if err != nil {
		return nil, false, err
	}
	q, err := s.narrowed(view).Querier(start.UnixMilli(), end.UnixMilli())
	if err != nil {
		return nil, false, edge(err)
	}
	defer q.Close()
	var all []storage.SeriesSet
	for _, m := range sets {
		all = append(all, q.Select(ctx, true, &storage.SelectHints{Start: start.UnixMilli(), End: end.UnixMilli(), Func: "series"}, m...))
	}
	set := storage.NewMergeSeriesSet(all, 0, storage.ChainedSeriesMerge)
	for set.Next() {
		if len(found) == most {
			return found, true, nil
		}
		found = append(found, set.At().Labels())
	}
	return found, false, edge(set.Err())
}

// LabelNames lists the names of labels that series chosen by any of the selectors have; all series without selectors.
func (s *Store) LabelNames(ctx context.Context, view View, selectors []string, start, end time.Time) ([]string, error) {
	return s.labels(view, selectors, start, end, func(q storage.Querier, m []*labels.Matcher) ([]string, error) {
		names, _, err := q.LabelNames(ctx, nil, m...)
		return names, err
	})
}

// LabelValues lists the values of a label.
func (s *Store) LabelValues(ctx context.Context, view View, name string, selectors []string, start, end time.Time) ([]string, error) {
	return s.labels(view, selectors, start, end, func(q storage.Querier, m []*labels.Matcher) ([]string, error) {
		values, _, err := q.LabelValues(ctx, name, nil, m...)
		return values, err
	})
}

func (s *Store) labels(view View, selectors []string, start, end time.Time, ask func(storage.Querier, []*labels.Matcher) ([]string, error)) ([]string, error) {
	sets, err := s.selectors(selectors)
	if err != nil {
		return nil, err
	}
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	q, err := s.narrowed(view).Querier(start.UnixMilli(), end.UnixMilli())
	if err != nil {
		return nil, edge(err)
	}
	defer q.Close()
	out := []string{}
	for _, m := range sets {
		found, err := ask(q, m)
		if err != nil {
			return nil, edge(err)
		}
		for _, x := range found {
			out = append(out, strings.Clone(x))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// narrowed is the store as a view shows it: every selection, also those within expressions, gets the view's matcher.
func (s *Store) narrowed(view View) storage.Queryable {
	only := view.matcher()
	if only == nil && s.long == nil {
		return s.db
	}
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		q, err := s.db.Querier(mint, maxt)
		if err == nil && s.long != nil {
			q = far{q, s.long, mint, maxt}
		}
		if only == nil {
			return q, err
		}
		return narrow{q, only}, err
	})
}

type narrow struct {
	storage.Querier
	only *labels.Matcher
}

func (n narrow) with(m []*labels.Matcher) []*labels.Matcher { return append(slices.Clone(m), n.only) }

func (n narrow) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, m ...*labels.Matcher) storage.SeriesSet {
	return n.Querier.Select(ctx, sorted, hints, n.with(m)...)
}

func (n narrow) LabelNames(ctx context.Context, hints *storage.LabelHints, m ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return n.Querier.LabelNames(ctx, hints, n.with(m)...)
}

func (n narrow) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, m ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return n.Querier.LabelValues(ctx, name, hints, n.with(m)...)
}

// evaluated turns the errors of an evaluation into ours. What the engine itself finds wrong with an expression and the series that there are, such as many that
// match many, wraps nothing; what the storage says is wrapped.
func evaluated(err error) error {
	var tooMany promql.ErrTooManySamples
	var late promql.ErrQueryTimeout
	var cancelled promql.ErrQueryCanceled
	if errors.As(err, &tooMany) || errors.As(err, &late) || errors.As(err, &cancelled) || errors.Unwrap(err) != nil {
		return edge(err)
	}
	return domain.Errorf(domain.Conflict, "The query cannot be answered: %s.", err)
}

// edge turns the engine's errors into ours.
func edge(err error) error {
	var parse parser.ParseErrors
	var tooMany promql.ErrTooManySamples
	var late promql.ErrQueryTimeout
	var cancelled promql.ErrQueryCanceled
	switch {
	case err == nil:
		return nil
	case errors.As(err, &parse):
		return domain.InvalidField("query", "The query cannot be read: "+parse.Error()+".", "an expression in PromQL")
	case errors.As(err, &tooMany):
		return domain.Errorf(domain.Exhausted, "The query would read too much at once: %w", err).WithFix("Ask for fewer series, a shorter time or a longer step.")
	case errors.As(err, &late):
		return domain.Errorf(domain.Unavailable, "The query took too long: %w", err).WithFix("Ask for fewer series, a shorter time or a longer step.")
	case errors.As(err, &cancelled):
		return domain.Errorf(domain.Unavailable, "The query was given up: %w", err)
	case errors.Is(err, syscall.ENOSPC):
		return domain.Errorf(domain.Exhausted, "The disk that holds the samples is full: %w", err).WithFix("Make room; measuring goes on by itself.")
	}
	return domain.Errorf(domain.Internal, "The samples could not be read or written: %w", err)
}

// Point is the newest value of a series.
type Point struct {
	Metric string
	Pairs  []string // names and values of its labels, but for the metric's name
	Value  float64
}

// Newest gives the newest value of every series whose metric begins so, of those that did not end.
func (s *Store) Newest(ctx context.Context, view View, prefix string, at time.Time) ([]Point, error) {
	res, err := s.Query(ctx, view, `{__name__=~"`+regexp.QuoteMeta(prefix)+`.+"}`, at)
	if err != nil {
		return nil, err
	}
	vec, _ := res.Value.(promql.Vector)
	out := make([]Point, 0, len(vec))
	for _, x := range vec {
		p := Point{Value: x.F}
		x.Metric.Range(func(l labels.Label) {
			if l.Name == model.MetricNameLabel {
				p.Metric = l.Value
				return
			}
			p.Pairs = append(p.Pairs, l.Name, l.Value)
		})
		out = append(out, p)
	}
	return out, nil
}

// ParseDuration reads a duration as PromQL writes it, such as 15s, 2h30m or 1d.
func ParseDuration(text string) (time.Duration, error) {
	d, err := model.ParseDuration(text)
	return time.Duration(d), err
}
