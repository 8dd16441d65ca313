package db

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
)

// The filter language of VM lists: words and field terms, all of which must hold. A term after "-" must not hold.
//
//	web b2                     two words: each occurs in the name, UUID, a MAC, a tag, the notes, the title or the host's name
//	10.20.1.                   part of an address: also looked for in the addresses of those that run
//	"two words"                one text with a space
//	web*                       a word with "*" is a pattern for the whole name
//	name:web*                  a field matches a pattern; without "*", a text field contains the value and a choice equals it
//	state:running,paused       one of several
//	-tag:ci cpu>4 mem>=8G      not; compared as numbers and sizes

// FilterField describes one field, for completion and help.
type FilterField struct {
	Name    string
	Aliases []string
	Help    string
	Values  []string // the choices, where they are fixed
	kind    fieldKind
	column  string
}

type fieldKind int

const (
	containing fieldKind = iota // text: contains, or matches a pattern
	equalling                   // text: is, or matches a pattern
	listing                     // JSON list of texts has one that equals or matches
	labelling                   // key=value of the host's labels
	holding                     // path: is it, or lies below
	number
	size
	yesNo
)

// stateColumn is a VM's state as shown: away when its host is.
const stateColumn = "(CASE WHEN h.state = 'connected' THEN v.state ELSE 'away' END)"

// FilterFields lists the fields in the order help shows them.
var FilterFields = []FilterField{
	{Name: "name", Help: "name contains, or matches a pattern with *", kind: containing, column: "lower(v.name)"},
	{Name: "host", Help: "name or id of its host", kind: equalling, column: "lower(h.name)"},
	{Name: "state", Help: "state as shown", Values: stateNames(), kind: equalling, column: stateColumn},
	{Name: "tag", Help: "has the tag", kind: listing, column: "lower(v.tags)"},
	{Name: "tenant", Help: "id of the tenant that owns it", kind: equalling, column: "lower(v.tenant)"},
	{Name: "folder", Help: "is in the folder or below it, such as folder:web/prod", kind: holding, column: "(SELECT lower(f.path) FROM folders f WHERE f.id = v.folder)"},
	{Name: "label", Help: "its host has the label, such as label:site=ams", kind: labelling, column: "lower(h.labels)"},
	{Name: "cpu", Aliases: []string{"vcpus", "cpus"}, Help: "number of virtual CPUs", kind: number, column: "v.vcpus"},
	{Name: "mem", Aliases: []string{"memory"}, Help: "memory, such as mem>=8G", kind: size, column: "v.memory_bytes"},
	{Name: "mac", Help: "MAC address contains", kind: containing, column: "v.macs"},
	{Name: "ip", Aliases: []string{"address"}, Help: "an address that it has while it runs, such as ip:10.0.*", kind: containing, column: "(CASE WHEN v.state = 'running' THEN v.addresses ELSE '' END)"},
	{Name: "uuid", Help: "UUID contains", kind: containing, column: "v.uuid"},
	{Name: "id", Help: "NovaCron's own id", kind: equalling, column: "v.id"},
	{Name: "title", Help: "title contains", kind: containing, column: "lower(v.title)"},
	{Name: "notes", Help: "notes contain", kind: containing, column: "lower(v.notes)"},
	{Name: "pending", Help: "has changes that wait for a restart", Values: []string{"yes", "no"}, kind: yesNo, column: "v.pending"},
	{Name: "busy", Help: "a job holds it", Values: []string{"yes", "no"}, kind: yesNo, column: "(CASE WHEN EXISTS (SELECT 1 FROM locks b WHERE b.resource = v.id) THEN 1 ELSE 0 END)"},
	{Name: "autostart", Help: "starts with its host", Values: []string{"yes", "no"}, kind: yesNo, column: "v.autostart"},
}

func stateNames() []string {
	names := make([]string, len(domain.VMStates))
	for i, s := range domain.VMStates {
		names[i] = string(s)
	}
	return names
}

// Term is one part of a filter.
type Term struct {
	Not    bool
	Field  string // canonical name; empty for a plain word
	Op     string // ":" "=" "!=" "<" "<=" ">" ">="
	Values []string
}

const filterWant = "words and terms such as host:b2 state:running -tag:ci cpu>4 mem>=8G name:web*"

var (
	termRE = regexp.MustCompile(`^([A-Za-z_]+)(:|!=|<=|>=|=|<|>)(.*)$`)
	macRE  = regexp.MustCompile(`^([0-9A-Fa-f]{2}:)+[0-9A-Fa-f]{0,2}$`)
	// A word that may be part of an IP address: then addresses are looked through too.
	addressRE = regexp.MustCompile(`^[0-9]{1,3}\.[0-9.]*$|^[0-9a-f]{1,4}:[0-9a-f:.]*$|^[0-9a-f:]*::[0-9a-f:.]*$`)
)

func badFilter(msg, want string) error { return domain.InvalidField("filter", msg, want) }

// ParseFilter reads a filter; an error is Invalid on field "filter" and names what was not understood.
func ParseFilter(s string) ([]Term, error) {
	words, err := splitFilter(s)
	if err != nil {
		return nil, err
	}
	var terms []Term
	for _, w := range words {
		t := Term{}
		if len(w.text) > 1 && w.text[0] == '-' && w.quoted != 0 {
			t.Not, w.text, w.quoted = true, w.text[1:], w.quoted-1
		}
		m := termRE.FindStringSubmatchIndex(w.text)
		// A quote before the operator makes it plain text, as does being a MAC address.
		if m == nil || w.quoted >= 0 && w.quoted < m[5] || macRE.MatchString(w.text) || addressRE.MatchString(strings.ToLower(w.text)) {
			t.Values = []string{strings.ToLower(w.text)}
			terms = append(terms, t)
			continue
		}
		field, op, value := strings.ToLower(w.text[m[2]:m[3]]), w.text[m[4]:m[5]], w.text[m[6]:m[7]]
		f, ok := filterField(field)
		if !ok {
			return nil, badFilter("There is no field “"+field+"” to filter by.", "one of "+strings.Join(fieldNames(), ", "))
		}
		if value == "" {
			return nil, badFilter("“"+w.text+"” has no value.", filterWant)
		}
		if op == "!=" {
			t.Not, op = !t.Not, "="
		}
		t.Field, t.Op, t.Values = f.Name, op, []string{strings.ToLower(value)}
		if w.quoted < 0 {
			t.Values = slices.DeleteFunc(strings.Split(t.Values[0], ","), func(v string) bool { return v == "" })
			if len(t.Values) == 0 {
				return nil, badFilter("“"+w.text+"” has no value.", filterWant)
			}
		}
		if err := t.check(f); err != nil {
			return nil, err
		}
		terms = append(terms, t)
	}
	return terms, nil
}

type filterWord struct {
	text   string
	quoted int // where the first quote was; -1: none
}

func splitFilter(s string) ([]filterWord, error) {
	var words []filterWord
	var b strings.Builder
	in, any, first := false, false, -1
	flush := func() {
		if any && b.Len() > 0 {
			words = append(words, filterWord{b.String(), first})
		}
		b.Reset()
		any, first = false, -1
	}
	for _, r := range s {
		switch {
		case r == '"':
			if first < 0 {
				first = b.Len()
			}
			in, any = !in, true
		case !in && (r == ' ' || r == '\t' || r == '\n' || r == '\r'):
			flush()
		default:
			b.WriteRune(r)
			any = true
		}
	}
	if in {
		return nil, badFilter("A quotation mark is not closed.", `a text with spaces as "two words"`)
	}
	flush()
	if len(words) > 32 {
		return nil, badFilter("The filter has more than 32 terms.", "at most 32")
	}
	return words, nil
}

func filterField(name string) (FilterField, bool) {
	for _, f := range FilterFields {
		if f.Name == name || slices.Contains(f.Aliases, name) {
			return f, true
		}
	}
	return FilterField{}, false
}

func fieldNames() []string {
	names := make([]string, len(FilterFields))
	for i, f := range FilterFields {
		names[i] = f.Name
	}
	return names
}

func (t Term) check(f FilterField) error {
	compare := t.Op != ":" && t.Op != "="
	for _, v := range t.Values {
		var err error
		switch f.kind {
		case number:
			_, err = strconv.ParseInt(v, 10, 64)
			if err != nil {
				return badFilter("“"+v+"” is not a number.", f.Name+">4")
			}
			continue
		case size:
			if _, err = domain.ParseBytes(v); err != nil {
				return badFilter("“"+v+"” is not a size.", "a number and a unit, such as "+f.Name+">=8G")
			}
			continue
		}
		if compare {
			return badFilter("“"+f.Name+"” cannot be compared with “"+t.Op+"”.", f.Name+":value")
		}
		if len(f.Values) > 0 && !strings.Contains(v, "*") && !slices.Contains(f.Values, v) {
			return badFilter("“"+v+"” is not a choice for "+f.Name+".", "one of "+strings.Join(f.Values, ", "))
		}
	}
	return nil
}

// compile gives the condition on vms v and hosts h.
func compile(terms []Term) (cond []string, args []any) {
	for _, t := range terms {
		var any []string
		for _, v := range t.Values {
			c, a := t.one(v)
			any, args = append(any, c), append(args, a...)
		}
		c := "(" + strings.Join(any, " OR ") + ")"
		if t.Not {
			c = "NOT " + c
		}
		cond = append(cond, c)
	}
	return cond, args
}

const like = ` LIKE ? ESCAPE '\'`

func (t Term) one(v string) (string, []any) {
	pattern, wild := escapeLike(v), strings.Contains(v, "*")
	if t.Field == "" && wild {
		return "lower(v.name)" + like, []any{pattern}
	}
	if t.Field == "" {
		p := "%" + pattern + "%"
		if addressRE.MatchString(v) {
			f, _ := filterField("ip")
			return "v.search" + like + " OR lower(h.name)" + like + " OR " + f.column + like, []any{p, p, p}
		}
		return "v.search" + like + " OR lower(h.name)" + like, []any{p, p}
	}
	f, _ := filterField(t.Field) // parsed, so it exists
	switch f.kind {
	case containing:
		if t.Op == ":" && !wild {
			pattern = "%" + pattern + "%"
		}
		return f.column + like, []any{pattern}
	case listing:
		// A tag cannot hold a quotation mark, so the JSON text can be searched as it is.
		return f.column + like, []any{`%"` + pattern + `"%`}
	case labelling:
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			return f.column + like, []any{`%"` + escapeLike(key) + `":%`}
		}
		return f.column + like, []any{`%"` + escapeLike(key) + `":"` + escapeLike(value) + `"%`}
	case holding:
		return "coalesce(" + f.column + like + " OR " + f.column + like + " OR v.folder = ?, 1 = 0)", []any{pattern, pattern + "/%", v}
	case number:
		n, _ := strconv.ParseInt(v, 10, 64) // checked
		return f.column + " " + sqlOp(t.Op) + " ?", []any{n}
	case size:
		n, _ := domain.ParseBytes(v) // checked
		return f.column + " " + sqlOp(t.Op) + " ?", []any{n}
	case yesNo:
		return f.column + " = ?", []any{flag(v == "yes")}
	}
	if t.Field == "host" {
		return f.column + like + " OR v.host_id = ?", []any{pattern, v}
	}
	return f.column + like, []any{pattern}
}

func sqlOp(op string) string {
	if op == ":" {
		return "="
	}
	return op
}
