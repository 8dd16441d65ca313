package cloudinit

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"novacron/domain"
)

// Finding is one thing that is wrong in a document that a person wrote.
type Finding struct {
	Part string `json:"part"` // user_data, vendor_data or network_config
	Line int    `json:"line"` // from 1; 0: the document as a whole
	Key  string `json:"key"`  // ethernets.eth0.dhcp4
	Msg  string `json:"message"`
	Want string `json:"want,omitempty"`
}

// Check reads the parts that people write themselves. No finding means that cloud-init will take them, as far as that can be told without it.
func Check(c domain.CloudInit) []Finding {
	out := checkUserData("user_data", c.UserData)
	out = append(out, checkUserData("vendor_data", c.VendorData)...)
	return append(out, checkNetwork(c.NetworkConfig)...)
}

// Judge is Check as problems of a request whose fields begin with at, with what Validate finds.
func Judge(c domain.CloudInit, p *domain.Problems, at string) {
	c.Validate(p, at)
	for _, f := range Check(c) {
		p.Add(at+f.Part, f.Sentence(), f.Want)
	}
}

// Sentence puts place and message into one line.
func (f Finding) Sentence() string {
	var at []string
	if f.Line > 0 {
		at = append(at, "line "+strconv.Itoa(f.Line))
	}
	if f.Key != "" {
		at = append(at, "“"+f.Key+"”")
	}
	if len(at) == 0 {
		return f.Msg
	}
	s := strings.Join(at, ", ")
	return strings.ToUpper(s[:1]) + s[1:] + ": " + f.Msg
}

func checkUserData(part, raw string) []Finding {
	if strings.TrimSpace(raw) == "" {
		return nil
	}
	raw = strings.ReplaceAll(raw, "\r\n", "\n")
	first, _, _ := strings.Cut(raw, "\n")
	switch {
	case strings.HasPrefix(raw, "#cloud-config") && !strings.HasPrefix(raw, "#cloud-config-archive"):
		if strings.TrimSpace(first) != "#cloud-config" {
			return []Finding{{Part: part, Line: 1, Msg: "The first line has more than its mark.", Want: "#cloud-config alone"}}
		}
		return checkYAML(part, raw, rule{kinds: mapping | null, keys: topKeys})
	case mimeOf(raw) != "text/plain", strings.HasPrefix(raw, "Content-Type: multipart/"), strings.HasPrefix(raw, "MIME-Version:"), strings.HasPrefix(raw, "From nobody"):
		return nil
	}
	return []Finding{{Part: part, Line: 1, Msg: "cloud-init does not know what this is by its first line, and would ignore all of it.", Want: "#cloud-config before YAML, or #!/bin/sh before a script"}}
}

func checkNetwork(raw string) []Finding {
	if strings.TrimSpace(raw) == "" {
		return nil
	}
	const part = "network_config"
	found := checkYAML(part, raw, rule{kinds: mapping, other: &any_})
	if len(found) > 0 {
		return found
	}
	top, err := parseYAML(raw)
	if err != nil || top == nil {
		return found // said already
	}
	at := ""
	if inner := child(top, "network"); inner != nil && len(top.Content) == 2 {
		top, at = inner, "network"
	}
	v := child(top, "version")
	switch {
	case v == nil:
		return []Finding{{Part: part, Line: top.Line, Key: "version", Msg: "The version is missing.", Want: "version: 2"}}
	case v.Value == "1":
		return nil // the older format, which cloud-init still reads
	case v.Value != "2":
		return []Finding{{Part: part, Line: v.Line, Key: "version", Msg: "There is no version " + short(v.Value) + ".", Want: "version: 2"}}
	}
	c := checker{part: part}
	c.node(top, rule{kinds: mapping, keys: networkKeys}, at, 0)
	return c.found
}

func checkYAML(part, raw string, r rule) []Finding {
	top, err := parseYAML(raw)
	if err != nil {
		line, msg := yamlError(err)
		return []Finding{{Part: part, Line: line, Msg: "This is not YAML: " + msg + ".", Want: "spaces for indentation, a space after each colon"}}
	}
	c := checker{part: part}
	if top != nil {
		c.node(top, r, "", 0)
	}
	return c.found
}

func parseYAML(raw string) (*yaml.Node, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(raw))
	if err := dec.Decode(&doc); err != nil {
		if strings.TrimSpace(stripComments(raw)) == "" {
			return nil, nil
		}
		return nil, err
	}
	var more yaml.Node
	if err := dec.Decode(&more); err == nil {
		return nil, fmt.Errorf("yaml: line %d: a second document begins, and only the first would be read", more.Line)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

func stripComments(raw string) string {
	var keep []string
	for l := range strings.Lines(raw) {
		if !strings.HasPrefix(strings.TrimSpace(l), "#") {
			keep = append(keep, l)
		}
	}
	return strings.Join(keep, "")
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// yamlError takes the line out of the parser's message.
func yamlError(err error) (int, string) {
	if te, ok := errors.AsType[*yaml.TypeError](err); ok && len(te.Errors) > 0 {
		err = errors.New(te.Errors[0])
	}
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlLine.FindStringSubmatchIndex(msg); m != nil {
		if n, err := strconv.Atoi(msg[m[2]:m[3]]); err == nil {
			line = n
		}
		msg = msg[:m[0]] + msg[m[1]:]
	}
	return line, msg
}

type checker struct {
	part  string
	found []Finding
}

// Bounds of one check: what a person can still read, and how deep documents go.
const (
	mostFindings = 20
	deepest      = 40
)

func (c *checker) add(n *yaml.Node, key, msg, want string) {
	if len(c.found) < mostFindings {
		c.found = append(c.found, Finding{Part: c.part, Line: n.Line, Key: key, Msg: msg, Want: want})
	}
}

func (c *checker) node(n *yaml.Node, r rule, at string, depth int) {
	if depth > deepest {
		c.add(n, at, "This is nested too deep.", "less than 40 levels")
		return
	}
	if n.Kind == yaml.AliasNode {
		if n = n.Alias; n == nil {
			return
		}
		depth += 10 // an alias may lead back to where it stands
	}
	got := kindOf(n)
	if got&r.kinds == 0 && !(got == integer && r.kinds&float != 0) {
		want := names(r.kinds)
		if r.hint != "" {
			want = r.hint
		}
		c.add(n, at, "This is "+names(got)+".", want)
		return
	}
	switch n.Kind {
	case yaml.SequenceNode:
		if r.items == nil {
			return
		}
		for i, it := range n.Content {
			c.node(it, *r.items, at+"."+strconv.Itoa(i), depth+1)
		}
	case yaml.MappingNode:
		c.mapping(n, r, at, depth)
	}
}

func (c *checker) mapping(n *yaml.Node, r rule, at string, depth int) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		name := short(k.Value)
		here := strings.TrimPrefix(at+"."+name, ".")
		if k.Tag == "!!merge" {
			continue
		}
		if k.Kind != yaml.ScalarNode {
			c.add(k, at, "A key must be a plain word.", "key: value")
			continue
		}
		if first, twice := seen[k.Value]; twice {
			c.add(k, here, fmt.Sprintf("The key stands in line %d already, and only the last one would count.", first), "each key once")
		}
		seen[k.Value] = k.Line
		sub, known := r.keys[k.Value]
		switch {
		case known && sub.note != "":
			c.add(k, here, sub.note, "")
		case known:
			c.node(v, sub, here, depth+1)
		case r.other != nil:
			c.node(v, *r.other, here, depth+1)
		case r.keys != nil:
			want := "one of " + strings.Join(slices.Sorted(maps.Keys(r.keys)), ", ")
			if near := nearest(k.Value, r.keys); near != "" {
				want = near + "?"
			} else if len(r.keys) > 20 {
				want = "a key that one of cloud-init's modules knows"
			}
			c.add(k, here, "There is no such key.", want)
		}
	}
}

// yes and no are booleans to cloud-init's parser, which reads YAML 1.1.
var oldBooleans = regexp.MustCompile(`^([yY]|[yY]es|YES|[nN]|[nN]o|NO|[oO]n|ON|[oO]ff|OFF)$`)

func kindOf(n *yaml.Node) kind {
	switch n.Kind {
	case yaml.SequenceNode:
		return list
	case yaml.MappingNode:
		return mapping
	}
	switch n.ShortTag() {
	case "!!bool":
		return boolean
	case "!!int":
		return integer
	case "!!float":
		return float
	case "!!null":
		return null
	}
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 && oldBooleans.MatchString(n.Value) {
		return boolean
	}
	return str
}

func names(k kind) string {
	var out []string
	for _, x := range []struct {
		k kind
		n string
	}{{str, "text"}, {boolean, "true or false"}, {integer, "a whole number"}, {float, "a number"}, {list, "a list"}, {mapping, "a mapping (key: value)"}, {null, "nothing"}} {
		if k&x.k != 0 {
			out = append(out, x.n)
		}
	}
	return strings.Join(out, ", or ")
}

func short(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

// nearest finds the known key that a mistyped one was meant to be: other signs between the words, or up to two letters away.
func nearest(got string, keys map[string]rule) string {
	flat := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
	best, least := "", 3
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if d := distance(flat(got), flat(k)); d < least && d < len(k)/2 {
			best, least = k, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
		}
	}
	return row[len(b)]
}

// child gives the value of a key of a mapping; nil when there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	}
	return nil
}
