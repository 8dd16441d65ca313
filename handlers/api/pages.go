package api

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"novacron/handlers/narrow"
	"novacron/handlers/packed"
)

// Lists of the estate are what programs ask for over and over: a page is read and written as JSON once for all who see the same, and again when anything
// has been written to the database since.

// pageKey is a page of a list: the operation and what was asked of it. Whose view of the estate it is the memo adds.
type pageKey struct {
	op string
	in any // the operation's input, a comparable struct

	packed bool
	view   view
}

// takesPacked is the context's key for whether who asks takes gzip.
type takesPacked struct{}

// pagesMost bounds the remembered pages: 500 VMs make about half a megabyte.
const pagesMost = 48

// pageOutput is a page as it goes over the wire.
type pageOutput struct {
	ContentType     string `header:"Content-Type"`
	ContentEncoding string `header:"Content-Encoding"`
	Vary            string `header:"Vary"`
	Body            []byte
}

// registerPage is register for a list. What read gives must depend on its input and on the estate as the caller sees it, on nothing else of theirs and not on the time.
func registerPage[I comparable, T any](s *server, o op, read func(ctx context.Context, in *I) (Page[T], error)) {
	more := func(h *huma.Operation) { // the body's type says nothing of what is in it
		page := schemaOf[Page[T]](s.api.OpenAPI().Components.Schemas)
		h.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: page}}}}
	}
	o.packs, o.items = true, narrow.Of(reflect.TypeFor[T]())
	registerWith(s, o, more, func(ctx context.Context, in *I) (*pageOutput, error) {
		takes, _ := ctx.Value(takesPacked{}).(bool)
		v := askedOf(ctx).view
		load := func(ctx context.Context) (out pageOutput, err error) {
			out = pageOutput{ContentType: "application/json", Vary: "Accept-Encoding"}
			if v.any() {
				out.Body, err = viewed(ctx, o.items, v, in, s.Clock(), func(ctx context.Context, in *I) (any, error) { return read(ctx, in) })
			} else {
				var page Page[T]
				if page, err = read(ctx, in); err == nil {
					out.Body, err = json.Marshal(page)
				}
			}
			if err == nil && takes && len(out.Body) >= packed.NotWorth {
				out.ContentEncoding = "gzip"
				out.Body, err = packed.Gzip(out.Body)
			}
			return out, err
		}
		if strings.Contains(v.filter, "now") { // it changes with the time
			out, err := load(ctx)
			return &out, err
		}
		out, _, err := s.pages.Get(ctx, pageKey{o.id, *in, takes, v}, s.DB.Generation(), 0, load)
		if err != nil {
			return nil, err
		}
		return &out, nil
	})
}
