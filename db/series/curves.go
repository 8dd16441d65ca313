package series

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"novacron/domain"
)

// Curve is one series over a time: a value for each step, NaN where there is none.
type Curve struct {
	Labels Labels
	Values []float64
}

// Label is the value of one of a series' labels.
func (c Curve) Label(name string) string { return c.Labels.Get(name) }

// Pairs are its labels as a person reads them: without the metric's name.
func (c Curve) Pairs() string {
	b := labels.NewBuilder(c.Labels)
	return b.Del(model.MetricNameLabel).Labels().String()
}

// Curves asks for values from start to end, one each step, at most most series; more says how many others there are.
func (s *Store) Curves(ctx context.Context, view View, expr string, start, end time.Time, step time.Duration, most int) (found []Curve, more int, err error) {
	res, err := s.QueryRange(ctx, view, expr, start, end, step)
	if err != nil {
		return nil, 0, err
	}
	m, ok := res.Value.(promql.Matrix)
	if !ok {
		return nil, 0, domain.InvalidField("query", "The query gives no numbers over a time.", "an expression of numbers")
	}
	n := int(end.Sub(start)/step) + 1
	from, each := start.UnixMilli(), step.Milliseconds()
	for _, x := range m {
		if len(x.Floats) == 0 {
			continue
		}
		if len(found) == most {
			more++
			continue
		}
		c := Curve{Labels: x.Metric, Values: make([]float64, n)}
		for i := range c.Values {
			c.Values[i] = math.NaN()
		}
		for _, p := range x.Floats {
			if i := int((p.T - from) / each); i >= 0 && i < n {
				c.Values[i] = p.F
			}
		}
		found = append(found, c)
	}
	return found, more, nil
}

// Now asks for values at one time: curves of a single value.
func (s *Store) Now(ctx context.Context, view View, expr string, at time.Time) ([]Curve, error) {
	res, err := s.Query(ctx, view, expr, at)
	if err != nil {
		return nil, err
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		out := make([]Curve, 0, len(v))
		for _, x := range v {
			out = append(out, Curve{Labels: x.Metric, Values: []float64{x.F}})
		}
		return out, nil
	case promql.Scalar:
		return []Curve{{Values: []float64{v.V}}}, nil
	}
	return nil, domain.InvalidField("query", "The query gives no numbers.", "an expression of numbers")
}
