package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"novacron/domain"
	"novacron/handlers/narrow"
)

// view is what a list is narrowed to beside what its operation knows itself.
type view struct {
	filter string // CEL
	sort   string
	fields string
}

func (v view) any() bool { return v != view{} }

// celSigns are in no word that people look for.
var celSigns = []string{"==", "!=", "&&", "||", `"`, "'", "(", "["}

// take reads the view from a query and takes off it what the operation does not know.
func (v *view) take(t *traits, q url.Values) error {
	if v.fields = q.Get("fields"); v.fields != "" {
		if len(v.fields) > 2000 {
			return domain.InvalidField("fields", "The list of fields is longer than 2000 characters.", "fewer fields")
		}
		if _, err := t.list.Pick(v.fields); err != nil {
			return err
		}
	}
	q.Del("fields")
	if text := q.Get("filter"); text != "" {
		_, err := t.list.Filter(text)
		sure := !t.words || slices.ContainsFunc(celSigns, func(sign string) bool { return strings.Contains(text, sign) })
		switch {
		case err == nil:
			v.filter = text
			q.Del("filter")
		case sure:
			return err
		}
	} else if !t.words {
		q.Del("filter")
	}
	if !t.sorts {
		if v.sort = q.Get("sort"); v.sort != "" {
			if err := t.list.Sort(nil, v.sort); err != nil {
				return err
			}
		}
		q.Del("sort")
	}
	return nil
}

// lookedAt bounds how many items of a list are judged for one answer.
const lookedAt = 20_000

// viewCursor is the place in a list that was narrowed: the last item that was given, and how many there were before it in case it is gone.
type viewCursor struct {
	View  string `json:"v"`
	ID    string `json:"i"`
	After int    `json:"n"`
}

// viewed reads a list with read, page by page where it has pages, and gives what the view leaves of it.
func viewed[I any](ctx context.Context, shape *narrow.Shape, v view, in *I, now time.Time, read func(ctx context.Context, in *I) (any, error)) (json.RawMessage, error) {
	picked := narrow.Picked(nil)
	if v.fields != "" {
		var err error
		if picked, err = shape.Pick(v.fields); err != nil {
			return nil, err
		}
	}
	if v.filter == "" && v.sort == "" {
		body, err := read(ctx, in)
		if err != nil {
			return nil, err
		}
		page, items, err := pageParts(body)
		if err != nil {
			return nil, err
		}
		return page.with(items, picked)
	}
	all := *in
	fields := reflect.ValueOf(&all).Elem()
	limit, cursor := defaultLimit, ""
	if f := fields.FieldByName("Limit"); f.IsValid() {
		limit = int(f.Int())
		if limit <= 0 || limit > maxLimit {
			limit = defaultLimit
		}
		f.SetInt(maxLimit)
	}
	at := fields.FieldByName("Cursor")
	if at.IsValid() {
		cursor = at.String()
		at.SetString("")
	}
	if f := fields.FieldByName("After"); f.IsValid() && f.Kind() == reflect.String {
		if cursor == "" {
			cursor = f.String()
		}
		f.SetString("")
	}
	found, page, partial, err := gather(ctx, shape, v, &all, at, now, read)
	if err != nil {
		return nil, err
	}
	key := v.sort + "\x00" + v.filter
	start, err := startOf(cursor, key, found)
	if err != nil {
		return nil, err
	}
	total := len(found)
	found = found[start:]
	next := ""
	if at.IsValid() && len(found) > limit {
		found = found[:limit]
		b, err := json.Marshal(viewCursor{key, found[limit-1].ID, start + limit})
		if err != nil {
			return nil, domain.Errorf(domain.Internal, "A cursor cannot be written: %w", err)
		}
		next = base64.RawURLEncoding.EncodeToString(b)
	}
	page["next"] = json.RawMessage("null")
	if next != "" {
		page["next"] = json.RawMessage(strconv.Quote(next))
	}
	if _, ok := page["total"]; ok {
		page["total"] = json.RawMessage(strconv.Itoa(total))
	}
	if partial {
		page["partial"] = json.RawMessage("true")
	}
	items := make([]json.RawMessage, len(found))
	for i := range found {
		items[i] = found[i].Raw
	}
	return page.with(items, picked)
}

// gather reads all that the filter chooses, in the order that is asked for.
func gather[I any](ctx context.Context, shape *narrow.Shape, v view, in *I, at reflect.Value, now time.Time, read func(ctx context.Context, in *I) (any, error)) (found []narrow.Item, first parts, partial bool, err error) {
	var filter *narrow.Filter
	if v.filter != "" {
		if filter, err = shape.Filter(v.filter); err != nil {
			return nil, nil, false, err
		}
	}
	for looked := 0; ; {
		if err := ctx.Err(); err != nil {
			return nil, nil, false, err
		}
		body, err := read(ctx, in)
		if err != nil {
			return nil, nil, false, err
		}
		page, items, err := pageParts(body)
		if err != nil {
			return nil, nil, false, err
		}
		if first == nil {
			first = page
		}
		for _, raw := range items {
			it, err := shape.Item(raw)
			if err != nil {
				return nil, nil, false, err
			}
			ok := true
			if filter != nil {
				if ok, err = filter.Chooses(it, now); err != nil {
					return nil, nil, false, err
				}
			}
			if ok {
				found = append(found, it)
			}
		}
		looked += len(items)
		var next *string
		if err := json.Unmarshal(page["next"], &next); err != nil || next == nil || *next == "" || !at.IsValid() {
			break
		}
		if partial = looked >= lookedAt; partial {
			break
		}
		at.SetString(*next)
	}
	if v.sort != "" {
		err = shape.Sort(found, v.sort)
	}
	return found, first, partial, err
}

func startOf(cursor, key string, found []narrow.Item) (int, error) {
	if cursor == "" {
		return 0, nil
	}
	var c viewCursor
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || json.Unmarshal(b, &c) != nil || c.View != key || c.After < 0 {
		return 0, domain.InvalidField("cursor", "That is not a cursor of this list with this filter and order.", "the next of the page before")
	}
	if c.ID != "" {
		if i := slices.IndexFunc(found, func(it narrow.Item) bool { return it.ID == c.ID }); i >= 0 {
			return i + 1, nil
		}
	}
	return min(c.After, len(found)), nil
}

// parts are the members of a page.
type parts map[string]json.RawMessage

func pageParts(body any) (parts, []json.RawMessage, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, nil, domain.Errorf(domain.Internal, "A list cannot be written: %w", err)
	}
	var page parts
	var items []json.RawMessage
	if err := json.Unmarshal(b, &page); err != nil {
		return nil, nil, domain.Errorf(domain.Internal, "A list cannot be read: %w", err)
	}
	if err := json.Unmarshal(page["items"], &items); err != nil {
		return nil, nil, domain.Errorf(domain.Internal, "A list cannot be read: %w", err)
	}
	return page, items, nil
}

// with is the page with these items, cut down to what is wanted of them.
func (p parts) with(items []json.RawMessage, picked narrow.Picked) (json.RawMessage, error) {
	if items == nil {
		items = []json.RawMessage{}
	}
	if picked != nil {
		for i := range items {
			var err error
			if items[i], err = picked.Cut(items[i]); err != nil {
				return nil, domain.Errorf(domain.Internal, "An item cannot be written: %w", err)
			}
		}
	}
	b, err := json.Marshal(items)
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "A list cannot be written: %w", err)
	}
	p["items"] = b
	return json.Marshal(p)
}
