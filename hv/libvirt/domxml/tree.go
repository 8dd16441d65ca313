package domxml

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"novacron/domain"
)

// node is one element with the offsets of its parts in the document, so that a part can be replaced without touching the rest.
type node struct {
	name       string // with its prefix as written ("qemu:commandline"), so a foreign element never looks like one of libvirt's
	start, end int
	tagEnd     int // after the ">" of the start tag
	closeStart int // at the "</"; same as end when the element closes itself
	attrs      []attr
	kids       []*node
	parent     *node
	texts      []span // character data and CDATA sections directly inside
	text       string // the same, decoded
}

type span struct{ start, end int }

// attr is one attribute. start is at its name, end after its closing quote, vstart and vend enclose the value as written.
type attr struct {
	name, value              string
	start, end, vstart, vend int
}

func (n *node) selfClosing() bool { return n.closeStart == n.end }

// kid gives the first child of that name, or an empty node that has no parent, so reading can go on without asking.
func (n *node) kid(name string) *node {
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	return &node{}
}

func (n *node) all(name string) []*node {
	var out []*node
	for _, k := range n.kids {
		if k.name == name {
			out = append(out, k)
		}
	}
	return out
}

// at walks down by first children; the result is empty when something is missing.
func (n *node) at(path ...string) *node {
	for _, p := range path {
		n = n.kid(p)
	}
	return n
}

func (n *node) exists() bool { return n.name != "" }

func (n *node) value() string { return strings.TrimSpace(n.text) }

func (n *node) attr(name string) string {
	if a := n.findAttr(name); a != nil {
		return a.value
	}
	return ""
}

func (n *node) findAttr(name string) *attr {
	for i := range n.attrs {
		if n.attrs[i].name == name {
			return &n.attrs[i]
		}
	}
	return nil
}

// document is a text with its element tree. Editing replaces the text and reads the tree again: documents are a few kilobytes, and a
// splice that broke the syntax is found where it was made.
type document struct {
	src  string
	root *node
}

func notXML(err error) error {
	return domain.Errorf(domain.Invalid, "The document is not well-formed XML: %s.", err.Error()).WithCause(err).WithFix("Look at the definition on the host with virsh dumpxml.")
}

// read parses src. root is the name the outermost element must have; "" accepts any.
func read(src, root string) (*document, error) {
	top, err := readTree(src)
	if err != nil {
		return nil, notXML(err)
	}
	if root != "" && top.name != root {
		return nil, domain.Errorf(domain.Invalid, "The document is a <%s>, not a <%s>.", top.name, root)
	}
	return &document{src, top}, nil
}

func readTree(src string) (*node, error) {
	d := xml.NewDecoder(strings.NewReader(src))
	// libvirt speaks UTF-8 whatever the declaration says; the decoder still refuses bytes that are not.
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	var top, cur *node
	for {
		from := int(d.InputOffset())
		tok, err := d.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		to := int(d.InputOffset())
		switch t := tok.(type) {
		case xml.StartElement:
			n := &node{name: qname(t.Name), start: from, tagEnd: to, parent: cur}
			if n.attrs, err = scanAttrs(src, from, to, t.Attr); err != nil {
				return nil, err
			}
			switch {
			case cur != nil:
				cur.kids = append(cur.kids, n)
			case top == nil:
				top = n
			default:
				return nil, errors.New("more than one outermost element")
			}
			cur = n
		case xml.EndElement:
			if cur == nil || cur.name != qname(t.Name) {
				return nil, errors.New("</" + qname(t.Name) + "> closes nothing")
			}
			cur.closeStart, cur.end = from, to // a self-closing tag yields an end token of no length
			cur = cur.parent
		case xml.CharData:
			if cur == nil {
				if strings.TrimSpace(strings.TrimPrefix(string(t), "\ufeff")) != "" { // a byte order mark is no text
					return nil, errors.New("text outside of the outermost element")
				}
				continue
			}
			cur.texts = append(cur.texts, span{from, to})
			cur.text += string(t)
		}
	}
	switch {
	case cur != nil:
		return nil, errors.New("<" + cur.name + "> is not closed")
	case top == nil:
		return nil, errors.New("no element")
	}
	return top, nil
}

func qname(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// scanAttrs finds the offsets of the attributes that the decoder found in the start tag src[from:to].
func scanAttrs(src string, from, to int, decoded []xml.Attr) ([]attr, error) {
	if len(decoded) == 0 {
		return nil, nil
	}
	out := make([]attr, 0, len(decoded))
	i := from + 1
	for i < to && !isSpace(src[i]) && src[i] != '/' && src[i] != '>' {
		i++
	}
	for _, d := range decoded {
		for i < to && isSpace(src[i]) {
			i++
		}
		a := attr{name: qname(d.Name), value: d.Value, start: i}
		for i < to && src[i] != '\'' && src[i] != '"' {
			i++
		}
		if i >= to {
			return nil, errors.New("the attribute " + a.name + " has no quoted value")
		}
		n := strings.IndexByte(src[i+1:to], src[i])
		if n < 0 {
			return nil, errors.New("the attribute " + a.name + " is not closed")
		}
		a.vstart, a.vend, a.end = i+1, i+1+n, i+2+n
		i = a.end
		out = append(out, a)
	}
	return out, nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
