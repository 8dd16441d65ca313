package hvtest

import (
	"bytes"
	"context"
	"encoding/json"

	"novacron/hv/libvirt/domxml"
)

// AdoptSnapshot implements hv.Snapshotter.
func (c *conn) AdoptSnapshot(ctx context.Context, uuid, from, name string) error {
	return act(ctx, c, "AdoptSnapshot", func(m *machine) error {
		g, err := m.find(uuid)
		if err != nil {
			return err
		}
		_, s, err := m.snapshot(from, name)
		if err != nil {
			return err
		}
		doc, err := domxml.AdoptedSnapshot(s.XML, g.doc)
		if err != nil {
			return err
		}
		if g.snaps == nil {
			g.snaps = map[string]string{}
		}
		g.snaps[name] = doc
		return nil
	})
}

// whole is a file of the fake as bytes, when a guest wrote to it: its text, the snapshots inside it and what it is built on. So a copy byte by byte has them too.
type whole struct {
	Text    *string           `json:"text,omitempty"`
	Inside  map[string]string `json:"inside,omitempty"`
	Backing string            `json:"backing,omitempty"`
	Format  string            `json:"format,omitempty"`
}

var wholeMark = []byte("a whole file of the fake\n")

// bytesOf gives the content of a file: what was uploaded, or else the whole of what guests made of it.
func (m *machine) bytesOf(key string) []byte {
	if b, ok := m.files[key]; ok {
		return b
	}
	v := m.volumes[key]
	text, written := m.data[v.Path]
	if v.Format != "qcow2" || !written && len(m.inside[v.Path]) == 0 {
		return nil
	}
	w := whole{Inside: m.inside[v.Path], Backing: v.Backing, Format: v.BackingFormat}
	if written {
		w.Text = &text
	}
	b, err := json.Marshal(w)
	if err != nil {
		panic("hvtest: a file does not encode: " + err.Error())
	}
	return append(bytes.Clone(wholeMark), b...)
}

// unfold makes a file what its bytes say once all of them came.
func (m *machine) unfold(key string) {
	b, ok := bytes.CutPrefix(m.files[key], wholeMark)
	v := m.volumes[key]
	var w whole
	if !ok || v.Format != "qcow2" || json.Unmarshal(b, &w) != nil {
		return
	}
	delete(m.files, key)
	v.Backing, v.BackingFormat = w.Backing, w.Format
	m.volumes[key] = v
	delete(m.data, v.Path)
	if w.Text != nil {
		m.data[v.Path] = *w.Text
	}
	if len(w.Inside) > 0 {
		m.inside[v.Path] = w.Inside
	}
}
