package access

import (
	"regexp"

	"novacron/domain"
)

// BoundTags are the tags that decide who may do what: who may put them on something, or take them off, moves it into or out of somebody's sight.
type BoundTags struct {
	names map[string]bool
	any   bool // a condition looks at tags in a way that does not say which
}

var (
	tagNamed    = regexp.MustCompile(`(?:"([^"\\]*)"|'([^'\\]*)')\s*in\s*object\.tags\b`)
	objectOther = regexp.MustCompile(`\bobject\.(?:kind|id|tenant|folder)\b`)
	objectWord  = regexp.MustCompile(`\bobject\b`)
)

// TagsBoundBy finds the tags that bindings are for, and those that their conditions look at.
func TagsBoundBy(bindings []domain.Binding) BoundTags {
	out := BoundTags{names: map[string]bool{}}
	for _, b := range bindings {
		if b.Scope == domain.ScopeTag {
			out.names[b.ScopeID] = true
		}
		for _, m := range tagNamed.FindAllStringSubmatch(b.Condition, -1) {
			out.names[m[1]+m[2]] = true
		}
		rest := objectOther.ReplaceAllString(tagNamed.ReplaceAllString(b.Condition, ""), "")
		out.any = out.any || objectWord.MatchString(rest)
	}
	return out
}

// Binds reports whether it matters for somebody's rights that something has the tag.
func (t BoundTags) Binds(tag string) bool { return t.any || t.names[tag] }
