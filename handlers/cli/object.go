package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// object is a thing as the API gives it: its parts, each as it came. A list of a thousand is taken apart without decoding what is not shown.
type object []part

type part struct {
	name []byte // between its quotes
	raw  json.RawMessage
}

var errNoObject = errors.New("what the server answers is not a thing with fields")

// objectOf takes a thing apart.
func objectOf(raw json.RawMessage) (object, error) {
	if !json.Valid(raw) {
		return nil, errNoObject
	}
	return split(raw)
}

// split takes apart what is known to be right JSON.
func split(raw json.RawMessage) (object, error) {
	s := bytes.TrimSpace(raw)
	if len(s) < 2 || s[0] != '{' {
		return nil, errNoObject
	}
	out := make(object, 0, 48)
	for i := blank(s, 1); s[i] != '}'; i = blank(s, i) {
		if s[i] == ',' {
			i = blank(s, i+1)
		}
		end := value(s, i)
		name := s[i+1 : end-1]
		i = blank(s, blank(s, end)+1) // past the colon
		end = value(s, i)
		out = append(out, part{name, json.RawMessage(s[i:end])})
		i = end
	}
	return out, nil
}

// blank is the first place from i on that says something.
func blank(s []byte, i int) int {
	for s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r' {
		i++
	}
	return i
}

// value is the end of the value that begins at i.
func value(s []byte, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '"':
			for i++; s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // a number or a word ended before it
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// get gives a part.
func (o object) get(name string) (json.RawMessage, bool) {
	for _, p := range o {
		if string(p.name) == name {
			return p.raw, true
		}
	}
	return nil, false
}

// at gives what is at a dotted path.
func (o object) at(path string) json.RawMessage {
	name, rest, deeper := strings.Cut(path, ".")
	raw, _ := o.get(name)
	if !deeper || raw == nil {
		return raw
	}
	inner, err := split(raw)
	if err != nil {
		return nil
	}
	return inner.at(rest)
}

// text gives a string at a path, or what stands there.
func (o object) text(path string) string { return plain(o.at(path)) }
