package series

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"novacron/domain"
)

// Long keeps hours for longer than samples are.
type Long interface {
	Rollups(ctx context.Context, metric string, from, to time.Time, keep func(labels map[string]string) bool) ([]domain.RolledSeries, error)
}

// UseLong lets queries read hours: of a metric m they are the series m:min1h, m:mean1h, m:max1h, m:p95_1h and m:count1h, with a value at the end of each hour. It
// is called before anything is asked.
func (s *Store) UseLong(l Long) { s.long = l }

var rolledParts = map[string]func(domain.RolledHour) float64{
	"min1h":   func(h domain.RolledHour) float64 { return h.Min },
	"mean1h":  func(h domain.RolledHour) float64 { return h.Mean },
	"max1h":   func(h domain.RolledHour) float64 { return h.Max },
	"p95_1h":  func(h domain.RolledHour) float64 { return h.P95 },
	"count1h": func(h domain.RolledHour) float64 { return float64(h.Count) },
}

// far answers from hours what asks for them, and the rest from samples.
type far struct {
	storage.Querier
	long       Long
	mint, maxt int64
}

func (f far) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, m ...*labels.Matcher) storage.SeriesSet {
	for _, x := range m {
		if x.Name != model.MetricNameLabel || x.Type != labels.MatchEqual {
			continue
		}
		metric, part, ok := strings.Cut(x.Value, ":")
		if of := rolledParts[part]; ok && of != nil {
			return f.hours(ctx, x.Value, metric, of, m)
		}
	}
	return f.Querier.Select(ctx, sorted, hints, m...)
}

func (f far) hours(ctx context.Context, name, metric string, of func(domain.RolledHour) float64, m []*labels.Matcher) storage.SeriesSet {
	keep := func(have map[string]string) bool {
		for _, x := range m {
			if x.Name != model.MetricNameLabel && !x.Matches(have[x.Name]) {
				return false
			}
		}
		return true
	}
	found, err := f.long.Rollups(ctx, metric, time.UnixMilli(f.mint).Add(-time.Hour), time.UnixMilli(f.maxt), keep)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	set := &hourSet{at: -1}
	for _, x := range found {
		b := labels.NewBuilder(labels.FromMap(x.Labels)).Set(model.MetricNameLabel, name)
		e := hourSeries{labels: b.Labels()}
		for at, h := range x.Hours {
			if t := at.Add(time.Hour).UnixMilli(); t >= f.mint && t <= f.maxt {
				e.points = append(e.points, point{t, of(h)})
			}
		}
		slices.SortFunc(e.points, func(a, b chunks.Sample) int { return int(a.T() - b.T()) })
		if len(e.points) > 0 {
			set.all = append(set.all, e)
		}
	}
	slices.SortFunc(set.all, func(a, b hourSeries) int { return labels.Compare(a.labels, b.labels) })
	return set
}

type hourSeries struct {
	labels labels.Labels
	points []chunks.Sample
}

type hourSet struct {
	all []hourSeries
	at  int
}

func (s *hourSet) Next() bool { s.at++; return s.at < len(s.all) }

func (s *hourSet) At() storage.Series {
	return storage.NewListSeries(s.all[s.at].labels, s.all[s.at].points)
}

func (s *hourSet) Err() error { return nil }

func (s *hourSet) Warnings() annotations.Annotations { return nil }

// point is a sample of a number.
type point struct {
	t int64
	v float64
}

func (p point) T() int64                      { return p.t }
func (p point) ST() int64                     { return 0 }
func (p point) F() float64                    { return p.v }
func (p point) H() *histogram.Histogram       { return nil }
func (p point) FH() *histogram.FloatHistogram { return nil }
func (p point) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (p point) Copy() chunks.Sample           { return p }

// Raw gives the samples of a metric's series between two times, the first included, as they were kept.
func (s *Store) Raw(ctx context.Context, metric string, from, to time.Time, each func(l Labels, times []int64, values []float64) error) error {
	q, err := s.db.Querier(from.UnixMilli(), to.UnixMilli()-1)
	if err != nil {
		return edge(err)
	}
	defer q.Close()
	set := q.Select(ctx, false, &storage.SelectHints{Start: from.UnixMilli(), End: to.UnixMilli() - 1}, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, metric))
	var it chunkenc.Iterator
	var times []int64
	var values []float64
	for set.Next() {
		x := set.At()
		times, values = times[:0], values[:0]
		for it = x.Iterator(it); it.Next() == chunkenc.ValFloat; {
			if t, v := it.At(); !math.IsNaN(v) {
				times, values = append(times, t), append(values, v)
			}
		}
		if err := it.Err(); err != nil {
			return edge(err)
		}
		if err := each(x.Labels(), times, values); err != nil {
			return err
		}
	}
	return edge(set.Err())
}
