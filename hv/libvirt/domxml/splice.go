package domxml

import (
	"strings"

	"novacron/domain"
)

// A line break in a text is written as a reference too, so that indenting an element cannot reach into its text.
var (
	textEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\n", "&#10;", "\r", "&#13;")
	attrEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;", "\n", "&#10;", "\r", "&#13;", "\t", "&#9;")
)

func escText(s string) string { return textEscaper.Replace(s) }
func escAttr(s string) string { return attrEscaper.Replace(s) }

// legal reports whether XML 1.0 can carry the text at all.
func legal(s string) bool {
	for _, r := range s {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFD || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

// replace puts text in the place of src[from:to] and reads the tree anew; every *node held before is stale afterwards.
func (d *document) replace(from, to int, text string) error {
	src := d.src[:from] + text + d.src[to:]
	top, err := readTree(src)
	if err != nil {
		return domain.Errorf(domain.Internal, "An edit would have broken the definition; nothing was changed.").WithCause(err)
	}
	d.src, d.root = src, top
	return nil
}

// setText replaces the character data of n; comments and children inside stay.
func (d *document) setText(n *node, value string) error {
	esc := escText(value)
	if n.selfClosing() {
		slash := strings.LastIndexByte(d.src[n.start:n.tagEnd], '/') + n.start
		return d.replace(slash, n.tagEnd, ">"+esc+"</"+n.name+">")
	}
	if len(n.texts) == 0 {
		return d.replace(n.tagEnd, n.tagEnd, esc)
	}
	// The runs that hold more than white space go, the first of them gives its place; without any, the first run does.
	var runs []span
	for _, t := range n.texts {
		if strings.TrimSpace(d.src[t.start:t.end]) != "" {
			runs = append(runs, t)
		}
	}
	if len(runs) == 0 {
		runs = n.texts[:1]
	}
	src := d.src[:runs[0].start] + esc
	for i, r := range runs {
		next := len(d.src)
		if i+1 < len(runs) {
			next = runs[i+1].start
		}
		src += d.src[r.end:next]
	}
	return d.replace(0, len(d.src), src)
}

// setAttr changes the value between the quotes, or adds the attribute behind the others.
func (d *document) setAttr(n *node, name, value string) error {
	if a := n.findAttr(name); a != nil {
		return d.replace(a.vstart, a.vend, escAttr(value))
	}
	at, quote := n.start+1+len(n.name), "'"
	if len(n.attrs) > 0 {
		last := n.attrs[len(n.attrs)-1]
		at, quote = last.end, d.src[last.end-1:last.end]
	}
	return d.replace(at, at, " "+name+"="+quote+escAttr(value)+quote)
}

// dropAttr removes an attribute with the white space before it.
func (d *document) dropAttr(n *node, name string) error {
	a := n.findAttr(name)
	if a == nil {
		return nil
	}
	from := a.start
	for isSpace(d.src[from-1]) {
		from--
	}
	return d.replace(from, a.end, "")
}

// remove takes an element out, with its line when it stands alone there.
func (d *document) remove(n *node) error {
	from, to := n.start, n.end
	if indent, own := d.indent(n); own {
		rest := d.src[to:]
		switch {
		case strings.HasPrefix(rest, "\r\n"):
			from, to = from-len(indent), to+2
		case strings.HasPrefix(rest, "\n"):
			from, to = from-len(indent), to+1
		}
	}
	return d.replace(from, to, "")
}

// indent gives the white space before n on its line; own is false when something else stands there.
func (d *document) indent(n *node) (indent string, own bool) {
	line := d.src[strings.LastIndexByte(d.src[:n.start], '\n')+1 : n.start]
	if strings.Trim(line, " \t") != "" {
		return "", false
	}
	return line, true
}

func (d *document) newline() string {
	if i := strings.IndexByte(d.src, '\n'); i > 0 && d.src[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// insert puts an element (lines indented by two from zero) into parent: behind the last child named in after, in the order of preference
// given there, else in front of the first child. It takes over the indentation it finds.
func (d *document) insert(parent *node, elem string, after ...string) error {
	elem = strings.TrimSuffix(elem, "\n")
	nl := d.newline()
	for _, name := range after {
		kids := parent.all(name)
		if len(kids) == 0 {
			continue
		}
		prev := kids[len(kids)-1]
		indent, own := d.indent(prev)
		if !own {
			return d.replace(prev.end, prev.end, flat(elem))
		}
		return d.replace(prev.end, prev.end, nl+shift(elem, indent, nl))
	}
	if len(parent.kids) > 0 {
		first := parent.kids[0]
		indent, own := d.indent(first)
		if !own {
			return d.replace(first.start, first.start, flat(elem))
		}
		line := first.start - len(indent)
		return d.replace(line, line, shift(elem, indent, nl)+nl)
	}
	outer, own := d.indent(parent)
	inner := flat(elem)
	if own {
		inner = nl + shift(elem, outer+"  ", nl) + nl + outer
	}
	if parent.selfClosing() {
		slash := strings.LastIndexByte(d.src[parent.start:parent.tagEnd], '/') + parent.start
		return d.replace(slash, parent.tagEnd, ">"+inner+"</"+parent.name+">")
	}
	if own && strings.TrimSpace(d.src[parent.tagEnd:parent.closeStart]) == "" {
		return d.replace(parent.tagEnd, parent.closeStart, inner)
	}
	if own { // comments only: keep them and what indents them, go behind the start tag
		inner = nl + shift(elem, outer+"  ", nl)
	}
	return d.replace(parent.tagEnd, parent.tagEnd, inner)
}

// insertLast puts an element behind the last child.
func (d *document) insertLast(parent *node, elem string) error {
	if len(parent.kids) == 0 {
		return d.insert(parent, elem)
	}
	return d.insert(parent, elem, parent.kids[len(parent.kids)-1].name)
}

// shift indents every line of elem.
func shift(elem, indent, nl string) string {
	return indent + strings.ReplaceAll(elem, "\n", nl+indent)
}

// flat puts elem on one line, for documents without line breaks.
func flat(elem string) string {
	lines := strings.Split(elem, "\n")
	for i := range lines {
		lines[i] = strings.TrimLeft(lines[i], " ")
	}
	return strings.Join(lines, "")
}
