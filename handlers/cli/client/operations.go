package client

import (
	"cmp"
	"slices"
	"strings"
)

//go:generate go test . -run TestTheTableIsTheDocument -update

// Operation is one operation of the API, as its document says.
type Operation struct {
	ID, Method, Path string
	Summary, Doc     string
	Query            []Field
	Body             string // the schema of its body; empty: none
	Media            string // the type of its body
	Answer           string // the schema of its answer, or of a list's items
	Pages            bool   // answers {"items":[…],"next":…}
	Status           int    // of success
}

// Job says whether what it answers is a job.
func (o *Operation) Job() bool { return o.Answer == "Job" && o.Status == 202 }

// Takes says whether the operation has the query parameter.
func (o *Operation) Takes(name string) bool {
	return slices.ContainsFunc(o.Query, func(f Field) bool { return f.Name == name })
}

// Params are the names in the path, in its order.
func (o *Operation) Params() []string {
	var out []string
	for part := range strings.SplitSeq(o.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			out = append(out, strings.TrimSuffix(name, "}"))
		}
	}
	return out
}

// Kinds of fields.
const (
	Text    = "string"
	Integer = "integer"
	Number  = "number"
	Boolean = "boolean"
	Object  = "object" // of the schema Of; without one its keys are free
	Array   = "array"  // of the kind or the schema Of
	Any     = ""
)

// Field is a part of a body, or a parameter.
type Field struct {
	Name, Kind, Of string
	Need           bool
	Doc            string
	Enum           []string
}

// schema is a body's parts.
type schema struct {
	name   string
	fields []Field
}

// Find gives the operation with the id, or nil.
func Find(id string) *Operation {
	i, ok := slices.BinarySearchFunc(operations, id, func(o Operation, id string) int { return cmp.Compare(o.ID, id) })
	if !ok {
		return nil
	}
	return &operations[i]
}

// All gives every operation, in the order of their ids.
func All() []Operation { return operations }

// Fields are the parts of a schema; nil when there is none of that name.
func Fields(name string) []Field {
	i, ok := slices.BinarySearchFunc(schemas, name, func(s schema, name string) int { return cmp.Compare(s.name, name) })
	if !ok {
		return nil
	}
	return schemas[i].fields
}
