package api

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"novacron/domain"
)

// Paging as every list has it.
const (
	defaultLimit = 100
	maxLimit     = 500
	maxWait      = 120 * time.Second
)

// PageQuery is the part of a list's query that says which page.
type PageQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most"`
	Cursor string `query:"cursor" maxLength:"2000" doc:"The next of the page before; empty for the first page"`
	After  string `query:"after" maxLength:"2000" doc:"Another name for cursor"`
}

func (p PageQuery) cursor() string { return cmp.Or(p.Cursor, p.After) }

func (p PageQuery) limit() int {
	if p.Limit <= 0 || p.Limit > maxLimit {
		return defaultLimit
	}
	return p.Limit
}

// Page is a page of a list.
type Page[T any] struct {
	Items []T     `json:"items" nullable:"false"`
	Next  *string `json:"next" doc:"Cursor of the next page; null at the end"`
	Total int     `json:"total" doc:"How many match in all"`
	// Partial is set where only a part of a very long list could be looked at.
	Partial bool `json:"partial,omitempty" doc:"The list is so long that the filter did not look at all of it: narrow it by its other parameters too"`
}

func pageOf[S, T any](items []S, next string, total int, show func(*S) T) Page[T] {
	p := Page[T]{Items: make([]T, len(items)), Total: total}
	for i := range items {
		p.Items[i] = show(&items[i])
	}
	if next != "" {
		p.Next = &next
	}
	return p
}

// ofCursor names the parameter as the API does; the database calls it after.
func ofCursor(err error) error {
	if e, ok := errors.AsType[*domain.Error](err); ok && len(e.Fields) == 1 && e.Fields[0].Field == "after" {
		c := *e
		c.Fields = []domain.FieldError{{Field: "cursor", Msg: e.Fields[0].Msg, Want: "the next of the page before, in the same order"}}
		return &c
	}
	return err
}

// ChangeParams is what every operation that makes a job takes.
type ChangeParams struct {
	Wait string `query:"wait" maxLength:"20" doc:"Wait this long for the job to end, at most 120s; the answer has the job as it is then" example:"30s"`
	Key  string `header:"Idempotency-Key" maxLength:"200" doc:"A second request with the same key gives the first one's job instead of a new one"`
}

// wait reads ?wait: a Go duration or a number of seconds.
func (c ChangeParams) wait() (time.Duration, error) {
	if c.Wait == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(c.Wait)
	if n, e := strconv.Atoi(c.Wait); e == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d > maxWait {
		return 0, domain.InvalidField("wait", "“"+c.Wait+"” is not a time to wait.", "0s to 120s, for example 30s")
	}
	return d, nil
}

// MatchHeader is the If-Match header of an edit.
type MatchHeader struct {
	IfMatch string `header:"If-Match" maxLength:"200" doc:"The ETag that the edit is based on; when it is stale the answer is 412"`
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// base gives the version that an edit is based on: from If-Match or from the body; 0 for any. fromHeader tells 412 from 409.
func (m MatchHeader) base(body *int64) (version int64, fromHeader bool, err error) {
	s := strings.TrimSpace(m.IfMatch)
	if s == "" || s == "*" {
		if body != nil {
			return *body, false, nil
		}
		return 0, false, nil
	}
	v, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(s, "W/"), `"`), 10, 64)
	if err != nil || v < 1 {
		return 0, true, &Problem{
			Type: "urn:novacron:problem:invalid", Title: kinds[domain.Invalid].title, Status: 422, Code: string(domain.Invalid), Detail: "If-Match is not an ETag of this API.",
			Errors: []ProblemField{{Field: "If-Match", Location: "header", Message: "“" + s + "” is not an ETag of this API.", Want: "the ETag of the GET, or nothing"}},
		}
	}
	return v, true, nil
}

// fresh refuses an edit that is based on something older than what is there.
func fresh(base int64, fromHeader bool, now int64, what string) error {
	if base == 0 || base == now {
		return nil
	}
	e := domain.Errorf(domain.Conflict, "The %s was changed meanwhile: it is at version %d, the edit is based on %d.", what, now, base).
		WithFix("Read it again and make the edit on that.")
	if !fromHeader {
		return e
	}
	p := ProblemOf(e)
	p.Status = 412
	return p
}

// memCursor is the place in a list that is sorted in memory: the sort key of the last item and its id, which breaks ties.
type memCursor struct {
	Sort string `json:"s"`
	Key  string `json:"k"`
	ID   string `json:"i"`
}

func (c memCursor) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // three strings
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// sortKeys are the orders a list in memory knows, each with the key of an item. Numbers are padded so that they compare as text.
type sortKeys[T any] map[string]func(*T) string

// paged filters nothing: it sorts, cuts the page after the cursor and makes the next cursor. Hosts and what they hold are few enough for this.
func paged[S, T any](items []S, in PageQuery, order string, keys sortKeys[S], id func(*S) string, show func(*S) T) (Page[T], error) {
	name, desc := strings.CutPrefix(order, "-")
	key, ok := keys[name]
	if !ok {
		names := make([]string, 0, len(keys))
		for k := range keys {
			names = append(names, k)
		}
		slices.Sort(names)
		return Page[T]{}, domain.InvalidField("sort", "“"+order+"” is not an order of this list.", "one of "+strings.Join(names, ", ")+", with a minus for the other way round")
	}
	compare := func(k1, i1, k2, i2 string) int {
		c := cmp.Or(strings.Compare(k1, k2), strings.Compare(i1, i2))
		if desc {
			return -c
		}
		return c
	}
	slices.SortFunc(items, func(a, b S) int { return compare(key(&a), id(&a), key(&b), id(&b)) })
	start := 0
	if s := in.cursor(); s != "" {
		var c memCursor
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || json.Unmarshal(b, &c) != nil || c.Sort != order {
			return Page[T]{}, domain.InvalidField("cursor", "That is not a cursor of this list in this order.", "the next of the page before")
		}
		start = len(items)
		for i := range items {
			if compare(key(&items[i]), id(&items[i]), c.Key, c.ID) > 0 {
				start = i
				break
			}
		}
	}
	total := len(items)
	items = items[start:]
	next := ""
	if limit := in.limit(); len(items) > limit {
		items = items[:limit]
		last := &items[limit-1]
		next = memCursor{order, key(last), id(last)}.String()
	}
	return pageOf(items, next, total, show), nil
}

func padded(n int64) string { return fmt.Sprintf("%020d", n) }
