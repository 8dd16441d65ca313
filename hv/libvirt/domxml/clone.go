package domxml

import (
	"strings"

	"novacron/hv"
)

// SetUUIDName replaces the UUID and the name; empty ones stay.
func SetUUIDName(doc, uuid, name string) (string, error) {
	d, err := read(doc, "domain")
	if err != nil {
		return "", err
	}
	if err := d.identity(uuid, name); err != nil {
		return "", err
	}
	return d.src, nil
}

func (d *document) identity(uuid, name string) error {
	if name != "" && name != d.root.kid("name").text {
		if err := d.setChildText(d.root, "name", name); err != nil {
			return err
		}
	}
	if uuid == "" || uuid == strings.ToLower(d.root.kid("uuid").value()) {
		return nil
	}
	if err := d.setChildText(d.root, "uuid", uuid, "name"); err != nil {
		return err
	}
	// The SMBIOS table repeats it, and libvirt refuses two that differ.
	return d.each(func(root *node) *node {
		for _, info := range root.all("sysinfo") {
			for _, e := range info.kid("system").all("entry") {
				if e.attr("name") == "uuid" && e.value() != uuid {
					return e
				}
			}
		}
		return nil
	}, func(n *node) error { return d.setText(n, uuid) })
}

// each edits what pick finds until it finds no more. pick must not find what was edited.
func (d *document) each(pick func(root *node) *node, edit func(*node) error) error {
	for n := pick(d.root); n != nil && n.exists(); n = pick(d.root) {
		if err := edit(n); err != nil {
			return err
		}
	}
	return nil
}

// CloneXML makes the definition of a copy: new name, UUID, MACs and disk sources (a volume is looked up as "pool/volume", then as "volume").
// What may exist once only goes, so that libvirt makes it anew: NVRAM, generation id, agent and screen sockets, tap names, port ids.
func CloneXML(doc string, c hv.Clone) (string, error) {
	d, err := read(doc, "domain")
	if err != nil {
		return "", err
	}
	old := parseDomain(d.root)
	steps := []func() error{
		func() error { return d.identity(c.UUID, c.Name) },
		func() error { return d.dropAttr(d.root, "id") },
		d.ownNVRAM,
		func() error {
			return d.each(func(r *node) *node { return filled(r.kid("genid")) }, func(n *node) error { return d.replace(n.start, n.end, "<genid/>") })
		},
		func() error { return d.cloneNICs(c.MACs) },
		func() error { return d.cloneDisks(c.Sources, c.Formats) },
		func() error { return d.ownSockets(old.Name, old.UUID) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return "", err
		}
	}
	return d.src, nil
}

func filled(n *node) *node {
	if n.exists() && n.value() != "" {
		return n
	}
	return nil
}

// ownNVRAM lets libvirt place a fresh variable store. A template of a loader chosen by hand stays.
func (d *document) ownNVRAM() error {
	n := d.root.at("os", "nvram")
	switch {
	case !n.exists():
		return nil
	case d.root.kid("os").attr("firmware") == "" && n.attr("template") != "" && len(n.kids) == 0:
		if n.value() == "" {
			return nil
		}
		return d.replace(n.tagEnd, n.closeStart, "")
	}
	return d.remove(n)
}

func (d *document) cloneNICs(macs map[string]string) error {
	want := map[string]string{}
	for old, mac := range macs {
		want[strings.ToLower(old)] = mac
	}
	for i := range d.root.kid("devices").all("interface") {
		nic := func() *node { return d.root.kid("devices").all("interface")[i] }
		if mac := nic().kid("mac"); mac.exists() {
			if to := want[strings.ToLower(mac.attr("address"))]; to != "" {
				if err := d.setAttr(mac, "address", to); err != nil {
					return err
				}
			} else if err := d.remove(mac); err != nil { // libvirt makes one
				return err
			}
		}
		if t := nic().kid("target"); t.findAttr("dev") != nil {
			if err := d.remove(t); err != nil {
				return err
			}
		}
		if p := nic().at("virtualport", "parameters"); p.exists() {
			if err := d.dropAttr(p, "interfaceid"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *document) cloneDisks(sources, formats map[string]string) error {
	for i := range d.root.kid("devices").all("disk") {
		disk := func() *node { return d.root.kid("devices").all("disk")[i] }
		n := disk()
		src := n.kid("source")
		old := parseDisk(n)
		to := sources[old.Pool+"/"+old.Volume]
		if old.Pool == "" || to == "" {
			to = sources[old.Source]
		}
		if to == "" || old.Source == "" {
			continue
		}
		var err error
		switch {
		case n.attr("type") == "volume" && !strings.HasPrefix(to, "/"):
			err = d.setAttr(src, "volume", to)
		case n.attr("type") == "network":
			err = d.setAttr(src, "name", strings.TrimPrefix(to, src.attr("protocol")+":"))
		default:
			err = d.setSource(n, to)
		}
		if err == nil {
			err = d.setFormat(disk(), formats[to])
		}
		if err != nil {
			return err
		}
		// The copy is whole: a chain written down for the original would be looked for under it.
		if b := disk().kid("backingStore"); len(b.kids) > 0 {
			if err := d.remove(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// ownSockets removes paths that libvirt made from the old guest's name or UUID.
func (d *document) ownSockets(name, uuid string) error {
	mine := func(path string) bool {
		return strings.Contains(path, "/domain-") || hasWord(path, name) || uuid != "" && strings.Contains(path, uuid)
	}
	err := d.each(func(root *node) *node {
		for _, ch := range root.kid("devices").all("channel") {
			if s := ch.kid("source"); ch.attr("type") == "unix" && s.exists() && mine(s.attr("path")) {
				return s
			}
		}
		return nil
	}, d.remove)
	if err != nil {
		return err
	}
	err = d.each(func(root *node) *node {
		for _, kind := range []string{"serial", "console", "parallel"} {
			for _, n := range root.kid("devices").all(kind) {
				if l := n.kid("log"); l.exists() && mine(l.attr("file")) {
					return l
				}
			}
		}
		return nil
	}, d.remove)
	if err != nil {
		return err
	}
	return d.each(func(root *node) *node {
		for _, g := range root.kid("devices").all("graphics") {
			if g.findAttr("socket") != nil {
				return g
			}
			for _, l := range g.all("listen") {
				if l.findAttr("socket") != nil {
					return l
				}
			}
		}
		return nil
	}, func(n *node) error {
		if err := d.dropAttr(n, "socket"); err != nil {
			return err
		}
		if g := nodeAt(d.root, n.start); g.name == "graphics" && !g.kid("listen").exists() {
			return d.insert(g, "<listen type='socket'/>")
		}
		return nil
	})
}

// hasWord reports whether word stands in s with no letter or digit on either side.
func hasWord(s, word string) bool {
	letter := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' }
	for i := 0; word != ""; {
		j := strings.Index(s[i:], word)
		if j < 0 {
			return false
		}
		from, to := i+j, i+j+len(word)
		if (from == 0 || !letter(s[from-1])) && (to == len(s) || !letter(s[to])) {
			return true
		}
		i = from + 1
	}
	return false
}
