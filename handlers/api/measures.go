package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"novacron/auth/access"
	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

// Prometheus' HTTP API, so that its clients and Grafana work against this server as they are:
// https://prometheus.io/docs/prometheus/latest/querying/api/. Its errors have their own form, and so have these operations'.

// seriesMost bounds what a list of series or of values gives when it is not asked for less.
const seriesMost = 50_000

// What a GET's schema says too.
const (
	queryMost = 20_000 // characters
	matchMost = 100    // selectors
)

// promAsked is what any of the operations may be asked with; each reads what it knows. Clients send some of it always.
type promAsked struct {
	Query         string   `query:"query" maxLength:"20000" doc:"An expression in PromQL" example:"rate(novacron_vm_cpu_seconds_total[5m])"`
	Time          string   `query:"time" maxLength:"64" doc:"RFC 3339, or seconds since 1970; now if it is left out"`
	Start         string   `query:"start" maxLength:"64" doc:"RFC 3339, or seconds since 1970"`
	End           string   `query:"end" maxLength:"64" doc:"RFC 3339, or seconds since 1970"`
	Step          string   `query:"step" maxLength:"64" doc:"Seconds, or a duration such as 15s"`
	Match         []string `query:"match[],explode" maxItems:"100" doc:"Selectors of series"`
	Limit         string   `query:"limit" maxLength:"20" doc:"The most to list; 0: all"`
	Metric        string   `query:"metric" maxLength:"200" doc:"Only of this metric"`
	Timeout       string   `query:"timeout" maxLength:"64" doc:"Taken for Prometheus' clients: the server's own limit holds"`
	LookbackDelta string   `query:"lookback_delta" maxLength:"64" doc:"Taken for Prometheus' clients, and without effect"`
	Stats         string   `query:"stats" maxLength:"20" doc:"Taken for Prometheus' clients, and without effect"`
	PerMetric     string   `query:"limit_per_metric" maxLength:"20" doc:"Taken for Prometheus' clients, and without effect"`
}

// promPosted is the same as a form.
type promPosted struct {
	promAsked
	RawBody []byte `contentType:"application/x-www-form-urlencoded"`
}

// form takes in what a POST says.
func (in *promAsked) form(body []byte) error {
	v, err := url.ParseQuery(string(body))
	if err != nil {
		return domain.Errorf(domain.Invalid, "The body is not a form: %w", err)
	}
	for name, to := range map[string]*string{
		"query": &in.Query, "time": &in.Time, "start": &in.Start, "end": &in.End, "step": &in.Step, "limit": &in.Limit, "metric": &in.Metric,
	} {
		if v.Has(name) {
			*to = v.Get(name)
		}
	}
	in.Match = append(in.Match, v["match[]"]...)
	if len(in.Query) > queryMost || len(in.Match) > matchMost {
		return domain.InvalidField("query", "The expression is too long.", fmt.Sprintf("at most %d characters, or %d selectors", queryMost, matchMost))
	}
	return nil
}

func (in *promAsked) most() (int, error) {
	if in.Limit == "" || in.Limit == "0" {
		return seriesMost, nil
	}
	n, err := strconv.Atoi(in.Limit)
	if err != nil || n < 0 {
		return 0, domain.InvalidField("limit", "“"+in.Limit+"” is not a number.", "such as 100")
	}
	return min(n, seriesMost), nil
}

func promTime(field, text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1e11 {
		whole, part := math.Modf(f)
		return time.Unix(int64(whole), int64(math.Round(part*1000))*int64(time.Millisecond)).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return time.Time{}, domain.InvalidField(field, "“"+text+"” is not a time.", "RFC 3339, or seconds since 1970")
}

func promDuration(field, text string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1e9 {
		return time.Duration(f * float64(time.Second)), nil
	}
	if d, err := series.ParseDuration(text); err == nil {
		return d, nil
	}
	return 0, domain.InvalidField(field, "“"+text+"” is not a duration.", "seconds, or such as 15s or 1h")
}

// promAnswer is how Prometheus answers.
type promAnswer struct {
	Status    string   `json:"status" enum:"success,error"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Infos     []string `json:"infos,omitempty"`
}

type promOutput struct {
	Status      int
	ContentType string `header:"Content-Type"`
	Body        []byte
}

type promData struct {
	ResultType string `json:"resultType"`
	Result     any    `json:"result"`
}

// Metric is one thing that is measured.
type Metric struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind" enum:"counter,gauge"`
	Unit   string   `json:"unit" doc:"The base unit: seconds, bytes or what is counted; empty for yes and no"`
	Help   string   `json:"help"`
	Labels []string `json:"labels" doc:"What its series are told apart by"`
}

func (s *server) measures() {
	s.prom("query", "query", "Ask for values at one time", func(ctx context.Context, v series.View, in *promAsked) (promAnswer, error) {
		at, err := promTime("time", in.Time, s.Clock())
		if err != nil {
			return promAnswer{}, err
		}
		res, err := s.Series.Query(ctx, v, in.Query, at)
		return answerOf(res), err
	})
	s.prom("query-range", "query_range", "Ask for values over a time", func(ctx context.Context, v series.View, in *promAsked) (promAnswer, error) {
		if in.Start == "" || in.End == "" || in.Step == "" {
			return promAnswer{}, domain.InvalidField("step", "A range needs start, end and step.", "start=…&end=…&step=15s")
		}
		start, err := promTime("start", in.Start, time.Time{})
		if err != nil {
			return promAnswer{}, err
		}
		end, err := promTime("end", in.End, time.Time{})
		if err != nil {
			return promAnswer{}, err
		}
		step, err := promDuration("step", in.Step)
		if err != nil {
			return promAnswer{}, err
		}
		res, err := s.Series.QueryRange(ctx, v, in.Query, start, end, step)
		return answerOf(res), err
	})
	s.prom("find-series", "series", "List series", func(ctx context.Context, v series.View, in *promAsked) (promAnswer, error) {
		if len(in.Match) == 0 {
			return promAnswer{}, domain.InvalidField("match[]", "No series are chosen.", "at least one selector")
		}
		start, end, most, err := s.span(in)
		if err != nil {
			return promAnswer{}, err
		}
		found, more, err := s.Series.Series(ctx, v, in.Match, start, end, most)
		if found == nil {
			found = []series.Labels{}
		}
		return cutShort(found, more), err
	})
	s.prom("list-labels", "labels", "List the names of labels", func(ctx context.Context, v series.View, in *promAsked) (promAnswer, error) {
		start, end, most, err := s.span(in)
		if err != nil {
			return promAnswer{}, err
		}
		names, err := s.Series.LabelNames(ctx, v, in.Match, start, end)
		return cutShort(names[:min(most, len(names))], len(names) > most), err
	})
	s.promLabel()
	s.promMetadata()
	s.write()
	s.exposition()
	register(s, op{id: "list-metrics", method: http.MethodGet, path: "/metrics", tag: "Metrics", perm: access.VMRead, status: 200, summary: "List what is measured",
		doc: "Every metric with its unit, its kind and its labels. The values are at /metrics and at /api/v1/query."},
		func(context.Context, *struct{}) (*struct {
			Body struct {
				Items []Metric `json:"items"`
				Next  *string  `json:"next" doc:"Always null: the list comes in one piece"`
			}
		}, error) {
			out := &struct {
				Body struct {
					Items []Metric `json:"items"`
					Next  *string  `json:"next" doc:"Always null: the list comes in one piece"`
				}
			}{}
			for _, m := range domain.Metrics {
				out.Body.Items = append(out.Body.Items, Metric{m.Name, string(m.Kind), m.Unit, m.Help, append([]string{}, m.Labels()...)})
			}
			return out, nil
		})
}

// span reads the times between which series are looked for: the last day if they are left out.
func (s *server) span(in *promAsked) (start, end time.Time, most int, err error) {
	if most, err = in.most(); err != nil {
		return start, end, most, err
	}
	if end, err = promTime("end", in.End, s.Clock()); err != nil {
		return start, end, most, err
	}
	start, err = promTime("start", in.Start, end.Add(-24*time.Hour))
	return start, end, most, err
}

func answerOf(r series.Result) promAnswer {
	return promAnswer{Data: promData{r.Type, r.Value}, Warnings: r.Warnings, Infos: r.Infos}
}

func cutShort(data any, more bool) promAnswer {
	a := promAnswer{Data: data}
	if more {
		a.Warnings = []string{"results truncated due to limit"}
	}
	return a
}

// prom mounts an operation of Prometheus', for GET and POST.
func (s *server) prom(id, path, summary string, ask func(context.Context, series.View, *promAsked) (promAnswer, error)) {
	do := func(ctx context.Context, in *promAsked) (*promOutput, error) {
		return s.promDo(ctx, in, func(v series.View) (promAnswer, error) { return ask(ctx, v, in) })
	}
	registerWith(s, op{id: id, method: http.MethodGet, path: "/" + path, tag: "Metrics", perm: access.VMRead, status: 200, summary: summary, doc: promDoc}, s.promResponses, do)
	registerWith(s, op{id: id + "-post", method: http.MethodPost, path: "/" + path, tag: "Metrics", perm: access.VMRead, status: 200, summary: summary, doc: promDoc + " The same as a form, for what is too long for an address."},
		s.promResponses, func(ctx context.Context, in *promPosted) (*promOutput, error) {
			if err := in.form(in.RawBody); err != nil {
				return nil, err
			}
			return do(ctx, &in.promAsked)
		})
}

const promDoc = "As Prometheus answers it; errors too have its form. Only series of what one may see are read."

func (s *server) promResponses(h *huma.Operation) {
	h.Responses = map[string]*huma.Response{"200": {Description: "Prometheus' answer", Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{Type: "object", AdditionalProperties: true}},
	}}}
	for status, doc := range map[int]string{
		http.StatusBadRequest: "The expression or a time cannot be read", http.StatusUnprocessableEntity: "A parameter is refused, the expression asks for too much, or it has no answer with the series that there are", http.StatusServiceUnavailable: "It took too long, or nothing is measured here",
	} {
		h.Responses[strconv.Itoa(status)] = s.promRefusal(doc)
	}
	h.SkipValidateBody = true
}

// promRefusal is an error in Prometheus' form, or in ours where the request does not get as far as the query.
func (s *server) promRefusal(doc string) *huma.Response {
	reg := s.api.OpenAPI().Components.Schemas
	return &huma.Response{Description: doc, Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{Type: "object", AdditionalProperties: true}, Example: promAnswer{Status: "error", ErrorType: "bad_data", Error: doc + "."}},
		ProblemContentType: {Schema: schemaOf[Problem](reg)},
	}}
}

// promDo asks with what the person may see, and answers in Prometheus' form, also when it fails.
func (s *server) promDo(ctx context.Context, in *promAsked, ask func(series.View) (promAnswer, error)) (*promOutput, error) {
	status := http.StatusOK
	var a promAnswer
	v, err := s.view(ctx)
	if err == nil {
		a, err = ask(v)
	}
	a.Status = "success"
	if err != nil {
		var kind string
		if status, kind = promError(err); kind == "internal" {
			s.log.ErrorContext(ctx, "a query failed", "error", err)
		}
		a = promAnswer{Status: "error", ErrorType: kind, Error: said(err)}
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(a); err != nil {
		return nil, domain.Errorf(domain.Internal, "The answer could not be written: %w", err)
	}
	return &promOutput{Status: status, ContentType: "application/json", Body: body.Bytes()}, nil
}

// promTold does something that has no answer but that it was done.
func (s *server) promTold(ctx context.Context, do func() error) (*promOutput, error) {
	if err := do(); err != nil {
		return s.promDo(ctx, &promAsked{}, func(series.View) (promAnswer, error) { return promAnswer{}, err })
	}
	return &promOutput{Status: http.StatusNoContent}, nil
}

func promError(err error) (status int, kind string) {
	switch {
	case domain.Is(err, domain.Invalid):
		return http.StatusBadRequest, "bad_data"
	case domain.Is(err, domain.Exhausted), domain.Is(err, domain.Conflict):
		return http.StatusUnprocessableEntity, "execution"
	case domain.Is(err, domain.Unavailable):
		return http.StatusServiceUnavailable, "timeout"
	}
	return http.StatusInternalServerError, "internal"
}

// said is what a person is told: without the cause of what is the server's own trouble.
func said(err error) string {
	var e *domain.Error
	if !errors.As(err, &e) {
		return "Something went wrong here; the server's log says what."
	}
	text := e.Msg
	for _, f := range e.Fields {
		if f.Want != "" {
			text += " Write " + f.Field + " as " + f.Want + "."
		}
	}
	return strings.TrimSpace(text + " " + e.Fix)
}

// view is what the person may read.
func (s *server) view(ctx context.Context) (series.View, error) {
	if s.Series == nil {
		return series.View{}, domain.Errorf(domain.Unavailable, "Nothing is measured here.")
	}
	return ViewOf(ctx, s.DB)
}

// ViewOf is the part of the samples that the context's person may read.
func ViewOf(ctx context.Context, d *db.DB) (series.View, error) {
	if domain.SightOf(ctx).Full() {
		return series.View{All: true}, nil
	}
	ids, err := d.VMsInSight(ctx)
	return series.View{VMs: ids}, err
}

func (s *server) promLabel() {
	type in struct {
		promAsked
		Name string `path:"name" maxLength:"200" doc:"The label" example:"vm"`
	}
	registerWith(s, op{id: "list-label-values", method: http.MethodGet, path: "/label/{name}/values", tag: "Metrics", perm: access.VMRead, status: 200, summary: "List the values of a label", doc: promDoc},
		s.promResponses, func(ctx context.Context, in *in) (*promOutput, error) {
			return s.promDo(ctx, &in.promAsked, func(v series.View) (promAnswer, error) {
				start, end, most, err := s.span(&in.promAsked)
				if err != nil {
					return promAnswer{}, err
				}
				values, err := s.Series.LabelValues(ctx, v, in.Name, in.Match, start, end)
				return cutShort(values[:min(most, len(values))], len(values) > most), err
			})
		})
}

func (s *server) promMetadata() {
	type meta struct {
		Type string `json:"type"`
		Help string `json:"help"`
		Unit string `json:"unit"`
	}
	registerWith(s, op{id: "list-metadata", method: http.MethodGet, path: "/metadata", tag: "Metrics", perm: access.VMRead, status: 200, summary: "Tell what metrics mean", doc: promDoc},
		s.promResponses, func(ctx context.Context, in *promAsked) (*promOutput, error) {
			return s.promDo(ctx, in, func(series.View) (promAnswer, error) {
				most, err := in.most()
				out := map[string][]meta{}
				for _, m := range domain.Metrics {
					if (in.Metric == "" || in.Metric == m.Name) && len(out) < most {
						out[m.Name] = []meta{{string(m.Kind), m.Help, ""}}
					}
				}
				return promAnswer{Data: out}, err
			})
		})
}

// exposition serves what was measured last, in Prometheus' text format, for an outside Prometheus.
func (s *server) exposition() {
	hop := huma.Operation{
		OperationID: "scrape-metrics", Method: http.MethodGet, Path: "/metrics", Summary: "Everything that was measured last", Tags: []string{"Metrics"}, DefaultStatus: 200,
		Description: "In Prometheus' text format, for an outside Prometheus: give it a token as its bearer token. Only series of what one may see.",
		Metadata:    map[string]any{"permission": access.VMRead},
		Extensions:  map[string]any{"x-permission": string(access.VMRead)},
		Responses: map[string]*huma.Response{
			"200":     {Description: "The samples", Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: "string"}}}},
			"default": {Description: "Error", Content: map[string]*huma.MediaType{ProblemContentType: {Schema: schemaOf[Problem](s.api.OpenAPI().Components.Schemas)}}},
		},
	}
	s.ops = append(s.ops, Operation{http.MethodGet, "/metrics", access.VMRead, false})
	huma.Register(s.api, hop, func(ctx context.Context, _ *struct{}) (*promOutput, error) {
		v, err := s.view(ctx)
		if err != nil {
			return nil, s.fail(ctx, "scrape-metrics", err)
		}
		points, err := s.Series.Newest(ctx, v, "novacron_", s.Clock())
		if err != nil {
			return nil, s.fail(ctx, "scrape-metrics", err)
		}
		return &promOutput{Status: http.StatusOK, ContentType: "text/plain; version=0.0.4; charset=utf-8", Body: expose(points)}, nil
	})
}

// expose writes points in the text format, one metric after the other:
// https://prometheus.io/docs/instrumenting/exposition_formats/.
func expose(points []series.Point) []byte {
	slices.SortStableFunc(points, func(a, b series.Point) int { return cmp.Compare(a.Metric, b.Metric) })
	var out bytes.Buffer
	last := ""
	for _, p := range points {
		m, known := domain.MetricOf(p.Metric)
		if !known {
			continue
		}
		if p.Metric != last {
			last = p.Metric
			fmt.Fprintf(&out, "# HELP %s %s\n# TYPE %s %s\n", m.Name, promEscape.Replace(m.Help), m.Name, m.Kind)
		}
		out.WriteString(m.Name)
		for i := 0; i+1 < len(p.Pairs); i += 2 {
			out.WriteByte(",{"[truth(i == 0)])
			out.WriteString(p.Pairs[i])
			out.WriteString(`="`)
			out.WriteString(promQuote.Replace(p.Pairs[i+1]))
			out.WriteByte('"')
		}
		if len(p.Pairs) > 0 {
			out.WriteByte('}')
		}
		out.WriteByte(' ')
		out.WriteString(strconv.FormatFloat(p.Value, 'g', -1, 64))
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

var (
	promEscape = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	promQuote  = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)
