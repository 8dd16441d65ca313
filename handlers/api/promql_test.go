package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/teststorage"

	"novacron/db/series"
)

// Prometheus' own tests of PromQL, asked of our query API: what they load is kept in a store of ours, each expression goes through the HTTP handlers, and what
// comes back as JSON is held against what Prometheus expects. Expressions that ours refuses or answers otherwise on purpose are asked of Prometheus' engine in
// place of it, and counted by the reason.
func TestPrometheusOwnQueries(t *testing.T) {
	w := newWorld(t)
	deps := Deps{DB: w.db, Engine: w.engine, Auth: w.auth, Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelError})), Clock: time.Now}
	e := echo.New()
	a := &asker{t: t, e: e, server: mount(e, deps), token: w.admin, theirs: promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery), left: map[string]int{}}
	a.server.Series = w.series
	promqltest.RunBuiltinTestsWithStorage(t, a, func(t testing.TB) storage.Storage {
		_, file := path.Split(strings.ReplaceAll(t.Name(), "testdata_", "testdata/"))
		// As Prometheus' own run of them has it.
		return &loaded{file: file, TestStorage: teststorage.New(t, func(o *tsdb.Options) {
			o.EnableSTStorage, o.XOR2EncodingAllowed, o.EnableHistogramSTEncoding, o.FloatChunkEncoding = true, true, true, chunkenc.EncXOR2
		})}
	})
	if a.shelf != "" {
		a.close()
	}
	t.Logf("%d queries were asked of ours", a.asked)
	for _, why := range slices.Sorted(maps.Keys(a.left)) {
		t.Logf("%d were not: %s", a.left[why], why)
	}
	if a.asked < 5000 {
		t.Errorf("only %d queries were asked", a.asked)
	}
}

// Why an expression is not asked of ours.
const (
	offByDefault = "Prometheus itself has it switched off unless a feature flag is given"
	noHistograms = "native histograms are not kept: nothing here measures any, and senders of them are refused"
	noStarts     = "the start timestamps of counters are not kept: remote write of version 1 has none"
	noDelay      = "names are dropped at once, as Prometheus does without its flag for later"
)

// delayed are the expressions, by the file that they are in, whose answer or warning is another one when names are dropped at the end of an evaluation.
var delayed = map[string][]string{
	"histograms.test":        {`histogram_quantile(0.8, series)`, `histogram_fraction(-Inf, 1, series)`},
	"native_histograms.test": {`histogram_quantile(0.5, nonmonotonic_bucket)`, `histogram_quantile(0.5, myHistogram1)`, `histogram_quantile(0.5, myHistogram2)`},
	"type_and_unit.test": {`(http_requests_total{group="canary"} + 1) and http_requests_total{instance="0"}`,
		`(http_requests_total{group="canary"} + 1) or http_requests_total{instance="1"}`},
	"name_label_dropping.test": {
		`label_replace(rate({env="1"}[10m]), "my_name", "rate_$1", "__name__", "(.+)")`, `label_replace(rate({env="1"}[10m]), "__name__", "rate_$1", "__name__", "(.+)")`,
		`label_join(rate({env="1"}[10m]), "my_name", "_", "__name__")`, `label_join(rate({env="1"}[10m]), "__name__", "_", "__name__", "env")`,
		`sum by (env) (rate({env="1"}[10m]))`, `label_replace(sum by (__name__) (rate(metric_total{env="2"}[5m])), "__name__", "$1", "__name__", "(.+)")`,
		`sum by (__name__) (metric_total{env="1"} or rate(metric_total{env="2"}[5m]))`, `sum by (__name__) (rate(metric_total{env="2"}[5m]) or metric_total{env="1"})`,
	},
}

// setTime is what the tests add to an expression to ask it again as of the same time.
var setTime = regexp.MustCompile(` @ -?[0-9.]+`)

// asker is Prometheus' interface of an engine, over our handlers.
type asker struct {
	t      testing.TB
	e      *echo.Echo
	server *server
	token  string
	theirs *promql.Engine

	of    *loaded // what the store holds
	size  int     // of it, when it was kept
	shelf string  // where the store is
	asked int
	left  map[string]int
}

// sample is one float as a test loads it.
type sample struct {
	at     int64
	labels labels.Labels
	value  float64
}

// loaded is a storage that a test loads, which also remembers what it was given.
type loaded struct {
	*teststorage.TestStorage
	file       string
	samples    []sample
	histograms []labels.Labels
	started    []labels.Labels
}

func (l *loaded) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &noting{l.TestStorage.AppenderV2(ctx), l}
}

type noting struct {
	storage.AppenderV2
	of *loaded
}

func (n *noting) Append(ref storage.SeriesRef, ls labels.Labels, st, at int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AppendV2Options) (storage.SeriesRef, error) {
	switch {
	case h != nil || fh != nil:
		n.of.histograms = append(n.of.histograms, ls)
	default:
		n.of.samples = append(n.of.samples, sample{at, ls, v})
	}
	if st != 0 {
		n.of.started = append(n.of.started, ls)
	}
	return n.AppenderV2.Append(ref, ls, st, at, v, h, fh, o)
}

// keep puts what was loaded into a store of ours, a moment after the other, as it comes in daily life.
func (a *asker) keep(l *loaded) {
	if a.of == l && a.size == len(l.samples) {
		return
	}
	if a.shelf != "" {
		a.close()
	}
	var err error
	if a.shelf, err = os.MkdirTemp(a.t.TempDir(), "samples"); err != nil {
		a.t.Fatal(err)
	}
	if a.server.Series, err = series.Open(a.shelf, slog.New(slog.DiscardHandler), series.Options{}); err != nil {
		a.t.Fatal(err)
	}
	a.of, a.size = l, len(l.samples)
	all := slices.Clone(l.samples)
	slices.SortStableFunc(all, func(x, y sample) int { return int(x.at - y.at) })
	for len(all) > 0 {
		var batch []series.Sample
		at := all[0].at
		for len(all) > 0 && all[0].at == at {
			batch = append(batch, series.Sample{Labels: all[0].labels, Value: all[0].value})
			all = all[1:]
		}
		if err := a.server.Series.Append(a.t.Context(), time.UnixMilli(at), batch); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *asker) close() {
	if err := a.server.Series.Close(); err != nil {
		a.t.Error(err)
	}
	if err := os.RemoveAll(a.shelf); err != nil {
		a.t.Error(err)
	}
}

var (
	plain = parser.NewParser(parser.Options{})
	every = parser.NewParser(promqltest.TestParserOpts)
)

// beyond tells why an expression is not for ours; empty: it is.
func (l *loaded) beyond(expr string) string {
	parsed, err := every.ParseExpr(expr)
	if err != nil {
		return ""
	}
	if _, err := plain.ParseExpr(expr); err != nil {
		return offByDefault
	}
	if slices.Contains(delayed[l.file], setTime.ReplaceAllString(parsed.String(), "")) {
		return noDelay
	}
	switch {
	case reads(parsed, l.histograms):
		return noHistograms
	case reads(parsed, l.started):
		return noStarts
	}
	return ""
}

// reads reports whether an expression selects any of the series.
func reads(expr parser.Expr, all []labels.Labels) (found bool) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok && !found {
			found = slices.ContainsFunc(all, func(ls labels.Labels) bool {
				return !slices.ContainsFunc(v.LabelMatchers, func(m *labels.Matcher) bool { return !m.Matches(ls.Get(m.Name)) })
			})
		}
		return nil
	})
	return found
}

func (a *asker) NewInstantQuery(ctx context.Context, q storage.Queryable, o promql.QueryOpts, expr string, at time.Time) (promql.Query, error) {
	l := q.(*loaded)
	if why := l.beyond(expr); why != "" {
		a.left[why]++
		return a.theirs.NewInstantQuery(ctx, q, o, expr, at)
	}
	return &question{asker: a, of: l, path: "query", expr: expr, with: url.Values{"query": {expr}, "time": {seconds(at)}}}, nil
}

func (a *asker) NewRangeQuery(ctx context.Context, q storage.Queryable, o promql.QueryOpts, expr string, start, end time.Time, step time.Duration) (promql.Query, error) {
	l := q.(*loaded)
	if why := l.beyond(expr); why != "" {
		a.left[why]++
		return a.theirs.NewRangeQuery(ctx, q, o, expr, start, end, step)
	}
	return &question{asker: a, of: l, path: "query_range", expr: expr,
		with: url.Values{"query": {expr}, "start": {seconds(start)}, "end": {seconds(end)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}}}, nil
}

func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// question is one query on its way.
type question struct {
	promql.Query
	asker *asker
	of    *loaded
	path  string
	expr  string
	with  url.Values
}

func (q *question) Close() {}

// place is where in the expression an annotation belongs, which the HTTP API adds, here as at Prometheus.
var place = regexp.MustCompile(` \(\d+:\d+\)$`)

// promReply is an answer in Prometheus' form.
type promReply struct {
	Status, Error   string
	ErrorType       string
	Warnings, Infos []string
	Data            struct {
		ResultType string
		Result     json.RawMessage
	}
}

func (q *question) Exec(context.Context) *promql.Result {
	q.asker.keep(q.of)
	q.asker.asked++
	req := httptest.NewRequest(http.MethodPost, "/api/v1/"+q.path, strings.NewReader(q.with.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+q.asker.token)
	rec := httptest.NewRecorder()
	q.asker.e.ServeHTTP(rec, req)
	var a promReply
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
		return &promql.Result{Err: fmt.Errorf("%d %s: %w", rec.Code, rec.Body, err)}
	}
	if a.Status != "success" {
		if rec.Code != http.StatusBadRequest && rec.Code != http.StatusUnprocessableEntity || a.ErrorType == "" {
			q.asker.t.Errorf("%s: %d %s", q.expr, rec.Code, rec.Body)
		}
		return &promql.Result{Err: errors.New(theirWords(a.Error))}
	}
	v, err := valueOf(a.Data.ResultType, a.Data.Result)
	notes := annotations.Annotations{}
	for kind, texts := range map[error][]string{annotations.PromQLWarning: a.Warnings, annotations.PromQLInfo: a.Infos} {
		for _, text := range texts {
			notes.Add(fmt.Errorf("%w: %s", kind, place.ReplaceAllString(strings.TrimPrefix(text, kind.Error()+": "), "")))
		}
	}
	return &promql.Result{Value: v, Err: err, Warnings: notes}
}

// theirWords is a refusal without what ours says around it.
func theirWords(text string) string {
	for _, before := range []string{"The query cannot be read: ", "The query cannot be answered: "} {
		text = strings.TrimPrefix(text, before)
	}
	text = strings.TrimSuffix(text, " Write query as an expression in PromQL.")
	return strings.TrimSuffix(text, ".")
}

// promPoint is a time and a value as Prometheus writes them.
type promPoint [2]any

func (p promPoint) of() (at int64, v float64, err error) {
	t, isNumber := p[0].(float64)
	text, isText := p[1].(string)
	if !isNumber || !isText {
		return 0, 0, fmt.Errorf("%v is not a point", p)
	}
	v, err = strconv.ParseFloat(text, 64)
	return int64(math.Round(t * 1000)), v, err
}

func valueOf(kind string, text json.RawMessage) (parser.Value, error) {
	switch kind {
	case "scalar", "string":
		var p promPoint
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, err
		}
		if kind == "string" {
			s, _ := p[1].(string)
			return promql.String{V: s}, nil
		}
		at, v, err := p.of()
		return promql.Scalar{T: at, V: v}, err
	case "vector":
		var all []struct {
			Metric map[string]string
			Value  promPoint
		}
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, err
		}
		out := promql.Vector{}
		for _, x := range all {
			at, v, err := x.Value.of()
			if err != nil {
				return nil, err
			}
			out = append(out, promql.Sample{T: at, F: v, Metric: labels.FromMap(x.Metric)})
		}
		return out, nil
	case "matrix":
		var all []struct {
			Metric map[string]string
			Values []promPoint
		}
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, err
		}
		out := promql.Matrix{}
		for _, x := range all {
			s := promql.Series{Metric: labels.FromMap(x.Metric)}
			for _, p := range x.Values {
				at, v, err := p.of()
				if err != nil {
					return nil, err
				}
				s.Floats = append(s.Floats, promql.FPoint{T: at, F: v})
			}
			out = append(out, s)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%q is not a kind of value", kind)
}
