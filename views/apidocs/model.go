// Package apidocs is the reference of the API for reading: which operations there are, and what each takes and answers. It shows the OpenAPI document and knows
// nothing more. It is not for trying operations out.
package apidocs

import "strings"

// Operation is one operation as the document describes it.
type Operation struct {
	ID, Method, Path, Summary, Doc, Tag, Permission string
	Deprecated                                      bool
	Params                                          []Param
	Body                                            *Body
	Answers                                         []Answer
}

// Param is a parameter.
type Param struct {
	Name, In, Type, Doc, Example string
	Required                     bool
}

// Body is what is sent or answered.
type Body struct {
	Type    string // media type
	Example string
	Fields  []Field
}

// Field is a field of a body; its name says where it is.
type Field struct {
	Name, Type, Doc string
	Required        bool
}

// Answer is one that an operation gives.
type Answer struct {
	Status, Doc string
	Body        *Body
}

// Group is operations of one kind.
type Group struct {
	Name, Doc  string
	Operations []Operation
}

// List is the page of all operations, or of those that were looked for.
type List struct {
	Query  string
	Groups []Group
	Total  int
	Found  int
}

// Find gives the groups with what the words are in.
func Find(groups []Group, query string) (found []Group, n int) {
	words := strings.Fields(strings.ToLower(query))
	for _, g := range groups {
		of := Group{Name: g.Name, Doc: g.Doc}
		for _, o := range g.Operations {
			text := strings.ToLower(strings.Join([]string{o.ID, o.Method, o.Path, o.Summary, o.Doc, o.Tag, o.Permission}, " "))
			all := true
			for _, w := range words {
				all = all && strings.Contains(text, w)
			}
			if all {
				of.Operations = append(of.Operations, o)
				n++
			}
		}
		if len(of.Operations) > 0 {
			found = append(found, of)
		}
	}
	return found, n
}
