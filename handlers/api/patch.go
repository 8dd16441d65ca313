package api

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// Patch is a field of an edit that tells “left out” from null: what is left out stays, null takes away.
type Patch[T any] struct {
	sent bool
	null bool
	val  T
}

// UnmarshalJSON is called only when the field was sent.
func (p *Patch[T]) UnmarshalJSON(b []byte) error {
	p.sent = true
	if bytes.Equal(b, []byte("null")) {
		p.null = true
		return nil
	}
	return json.Unmarshal(b, &p.val)
}

// Schema is that of the value, or null.
func (p Patch[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), false, "")
	s.Nullable = true
	s.PrecomputeMessages()
	return &s
}

// to sets a plain field; null sets it to nothing.
func (p Patch[T]) to(dst *T) {
	if p.sent {
		*dst = p.val
	}
}

// at sets a field that may be missing.
func (p Patch[T]) at(dst **T) {
	switch {
	case p.null:
		*dst = nil
	case p.sent:
		v := p.val
		*dst = &v
	}
}
