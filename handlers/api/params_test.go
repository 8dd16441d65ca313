package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"novacron/domain"
)

func TestWaitReadsDurationsAndSeconds(t *testing.T) {
	for in, want := range map[string]time.Duration{"": 0, "0": 0, "30s": 30 * time.Second, "45": 45 * time.Second, "2m": 2 * time.Minute, "150ms": 150 * time.Millisecond} {
		if got, err := (ChangeParams{Wait: in}).wait(); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"121s", "-1s", "soon", "1h", "30 s"} {
		if _, err := (ChangeParams{Wait: in}).wait(); !domain.Is(err, domain.Invalid) {
			t.Errorf("%q was taken: %v", in, err)
		}
	}
}

func TestIfMatchAndVersion(t *testing.T) {
	seven := int64(7)
	for _, c := range []struct {
		header string
		body   *int64
		want   int64
		from   bool
	}{{"", nil, 0, false}, {"", &seven, 7, false}, {`"7"`, nil, 7, true}, {`W/"7"`, nil, 7, true}, {"7", nil, 7, true}, {"*", nil, 0, false}, {`"8"`, &seven, 8, true}} {
		got, from, err := MatchHeader{c.header}.base(c.body)
		if err != nil || got != c.want || from != c.from {
			t.Errorf("%q: %d %v %v", c.header, got, from, err)
		}
	}
	if _, _, err := (MatchHeader{`"seven"`}).base(nil); err == nil || ProblemOf(err).Status != 422 || ProblemOf(err).Errors[0].Location != "header" {
		t.Errorf("a wrong If-Match: %v", err)
	}
	if err := fresh(7, true, 7, "VM"); err != nil {
		t.Error(err)
	}
	if s := ProblemOf(fresh(6, true, 7, "VM")).Status; s != 412 {
		t.Errorf("stale If-Match: %d", s)
	}
	if s := ProblemOf(fresh(6, false, 7, "VM")).Status; s != 409 {
		t.Errorf("stale version: %d", s)
	}
}

type thing struct {
	name string
	size int64
}

func TestPagedWalksEveryOrderOnce(t *testing.T) {
	keys := sortKeys[thing]{"name": func(v *thing) string { return v.name }, "size": func(v *thing) string { return padded(v.size) }}
	id := func(v *thing) string { return v.name }
	all := func() []thing {
		var out []thing
		for i := range 23 {
			out = append(out, thing{fmt.Sprintf("t%02d", (i*7)%23), int64(i % 4)})
		}
		return out
	}
	for _, order := range []string{"name", "-name", "size", "-size"} {
		for _, limit := range []int{1, 5, 22, 23, 100} {
			seen := map[string]bool{}
			var names []string
			in := PageQuery{Limit: limit}
			for range 50 {
				p, err := paged(all(), in, order, keys, id, func(v *thing) thing { return *v })
				if err != nil {
					t.Fatal(err)
				}
				if p.Total != 23 || len(p.Items) > limit {
					t.Fatalf("%s/%d: total %d, %d items", order, limit, p.Total, len(p.Items))
				}
				for _, v := range p.Items {
					if seen[v.name] {
						t.Fatalf("%s/%d: %s came twice", order, limit, v.name)
					}
					seen[v.name] = true
					names = append(names, fmt.Sprintf("%020d%s", map[bool]int64{true: v.size}[strings.HasSuffix(order, "size")], v.name))
				}
				if p.Next == nil {
					break
				}
				in.Cursor = *p.Next
			}
			if strings.HasPrefix(order, "-") {
				slices.Reverse(names)
			}
			if len(seen) != 23 || !slices.IsSorted(names) {
				t.Errorf("%s/%d: %d seen, sorted %v", order, limit, len(seen), slices.IsSorted(names))
			}
		}
	}
	for _, c := range []struct {
		in    PageQuery
		order string
		field string
	}{{PageQuery{}, "colour", "sort"}, {PageQuery{Cursor: "rubbish"}, "name", "cursor"}, {PageQuery{Cursor: memCursor{"size", "1", "x"}.String()}, "name", "cursor"}} {
		_, err := paged(all(), c.in, c.order, keys, id, func(v *thing) thing { return *v })
		e, ok := errors.AsType[*domain.Error](err)
		if !ok || e.Code != domain.Invalid || e.Fields[0].Field != c.field || e.Fields[0].Want == "" {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestHostFilter(t *testing.T) {
	b2 := domain.Host{ID: "host_1", Name: "B2", URI: "qemu+ssh://root@10.0.0.2/system", State: domain.HostAway, Maintenance: true, Labels: map[string]string{"site": "Ams", "rack": "7"}, Notes: "blinks"}
	for filter, want := range map[string]bool{
		"": true, "b2": true, "B2": true, "10.0.0.2": true, "blinks": true, "site=ams": true, "state:away": true, "state:connected": false, "-state:away": false,
		"label:rack": true, "label:rack=7": true, "label:rack=8": false, "label:site=ams": true, "-label:gpu": true, "maintenance:yes": true, "maintenance:no": false,
		"name:b": true, "uri:ssh": true, "b2 state:away": true, "b2 state:connected": false, "b3": false, "-b3": true, "qemu+ssh://root@10.0.0.2/system": true,
	} {
		match, err := hostFilter(filter)
		if err != nil {
			t.Errorf("%q: %v", filter, err)
		} else if match(&b2) != want {
			t.Errorf("%q: %v", filter, !want)
		}
	}
	if _, err := hostFilter("colour:red"); !domain.Is(err, domain.Invalid) {
		t.Errorf("an unknown key was taken: %v", err)
	}
}

func TestEveryCodeIsAProblemOfItsOwn(t *testing.T) {
	for _, code := range []domain.Code{domain.Invalid, domain.NotFound, domain.Conflict, domain.Denied, domain.Unauthenticated, domain.Exhausted, domain.Unavailable, domain.Unsupported, domain.Internal} {
		e := domain.Errorf(code, "No.").WithFix("Do this.")
		e.Holder, e.Reasons = "job_1", []domain.Reason{{Subject: "b2", Msg: "full"}}
		e.Fields = []domain.FieldError{{Field: "name", Msg: "taken", Want: "another"}, {Field: "filter", Msg: "what?"}}
		p := ProblemOf(fmt.Errorf("while doing: %w", e))
		if p.Status != Status(code) || p.Status < 400 || p.Title == "" || p.Type != "urn:novacron:problem:"+string(code) || p.Detail != "No." || p.Fix != "Do this." || p.Holder != "job_1" || len(p.Reasons) != 1 {
			t.Errorf("%s: %+v", code, p)
		}
		if p.Errors[0].Location != "body" || p.Errors[1].Location != "query" {
			t.Errorf("%s: %+v", code, p.Errors)
		}
	}
	secret := ProblemOf(errors.New("dial tcp 10.0.0.1: secret"))
	if secret.Status != http.StatusInternalServerError || strings.Contains(secret.Detail, "secret") || secret.Fix == "" {
		t.Errorf("a stranger's error shows: %+v", secret)
	}
}

func TestHumaRefusalsNameTheFieldAndKeepTheValue(t *testing.T) {
	p := refusal(422, "validation failed", []error{
		&huma.ErrorDetail{Location: "body.disks[0].bus", Message: "expected string", Value: "secret"},
		&huma.ErrorDetail{Location: "body", Message: "expected required property name to be present"},
		&huma.ErrorDetail{Location: "body.nics[1]", Message: "expected required property mac to be present"},
		&huma.ErrorDetail{Location: "body.colour", Message: "unexpected property", Value: "secret"},
		&huma.ErrorDetail{Location: "query.limit", Message: "invalid integer"},
	})
	var got []string
	for _, f := range p.Errors {
		got = append(got, f.Location+" "+f.Field)
	}
	if want := []string{"body disks.0.bus", "body name", "body nics.1.mac", "body colour", "query limit"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if strings.Contains(fmt.Sprintf("%+v", p), "secret") {
		t.Errorf("the value is echoed: %+v", p)
	}
}

func TestAProblemOutsideOfOperations(t *testing.T) {
	for status, wanted := range map[int]int{0: 422, http.StatusMethodNotAllowed: 405} {
		rec := httptest.NewRecorder()
		if err := WriteProblem(rec, status, domain.Errorf(domain.Unsupported, "Not this way.")); err != nil {
			t.Fatal(err)
		}
		if rec.Code != wanted || rec.Header().Get("Content-Type") != ProblemContentType || !strings.Contains(rec.Body.String(), fmt.Sprintf(`"status":%d`, wanted)) {
			t.Errorf("%d: %d %s", status, rec.Code, rec.Body)
		}
	}
	rec := httptest.NewRecorder()
	if err := WriteProblem(rec, 0, domain.Errorf(domain.Unauthenticated, "Who?")); err != nil || rec.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%v %v", err, rec.Header())
	}
}
