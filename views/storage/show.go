package storage

import (
	"fmt"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

func typeName(kind string) string {
	t, _ := domain.PoolTypeOf(kind)
	return t.Label
}

// kindWord is the kind in a word or two, for a narrow column.
func kindWord(p Pool) string {
	switch p.Type {
	case "netfs":
		if w := map[string]string{"nfs": "NFS", "glusterfs": "GlusterFS", "cifs": "CIFS"}[p.Source.Format]; w != "" {
			return w
		}
		return "NFS"
	case "logical":
		return "LVM"
	case "fs":
		return "File system"
	case "iscsi":
		return "iSCSI"
	case "disk":
		return "Disk"
	}
	return typeName(p.Type)
}

// look is how a pool's state is shown.
type look struct{ tone, icon, word string }

func (p Pool) look() look {
	up, away := 0, 0
	for _, h := range p.Hosts {
		switch {
		case h.Away:
			away++
		case h.Active:
			up++
		}
	}
	n := len(p.Hosts)
	switch {
	case away == n:
		return look{ui.Neutral, "plug-connected-x", "away"}
	case up == 0:
		return look{ui.Neutral, "square", "stopped"}
	case up+away < n:
		return look{ui.Warn, "alert-triangle", fmt.Sprintf("active on %d of %d", up, n)}
	}
	return look{ui.OK, "circle-check", "active"}
}

func (p Pool) active() bool {
	return slices.ContainsFunc(p.Hosts, func(h PoolHost) bool { return h.Active && !h.Away })
}
func (p Pool) autostart() bool {
	return slices.ContainsFunc(p.Hosts, func(h PoolHost) bool { return h.Autostart })
}
func (p Pool) shared() bool { return p.Identity != "" }
func (p Pool) holds() bool  { return domain.PoolHoldsVolumes(p.Type) }

// missing says why nothing can be changed on the pool now, "" when it can.
func (p Pool) missing() string {
	for _, h := range p.Hosts {
		if h.Away {
			return h.Name + " has it too and is not connected."
		}
	}
	return ""
}

// noVolumes says why no volume can be made in it now.
func (p Pool) noVolumes() string {
	switch {
	case !p.holds():
		return "The volumes of a " + p.Type + " pool are made on its server."
	case !p.active():
		return "The pool is not active. Start it first."
	}
	return ""
}

func (p Pool) overcommit() float64 {
	if p.CapacityBytes <= 0 {
		return 0
	}
	return float64(p.Provisioned) / float64(p.CapacityBytes)
}

func overcommitWords(p Pool) string {
	if p.CapacityBytes <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f ×", p.overcommit())
}

func (p Pool) used() float64 { return float64(p.CapacityBytes - p.AvailableBytes) }

func spaceWords(p Pool) string {
	if p.CapacityBytes <= 0 {
		return "not known"
	}
	return domain.FormatBytes(p.AvailableBytes) + " free of " + domain.FormatBytes(p.CapacityBytes)
}

// hostNames names a few and counts the rest.
func hostNames(p Pool) string {
	const most = 2
	var names []string
	for _, h := range p.Hosts {
		names = append(names, h.Name)
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// sourceFacts are the lines that say where a pool's storage comes from.
func sourceFacts(p Pool) []struct{ Label, Value string } {
	var out []struct{ Label, Value string }
	add := func(label, value string) {
		if value != "" {
			out = append(out, struct{ Label, Value string }{label, value})
		}
	}
	s := p.Source
	server := "Server"
	if p.Type == "rbd" {
		server = "Monitors"
	}
	add(server, strings.Join(s.Hosts, ", "))
	add("Exports", s.Path)
	add("Devices", strings.Join(s.Devices, ", "))
	switch p.Type {
	case "logical":
		add("Volume group", s.Name)
	case "rbd":
		add("Ceph pool", s.Name)
	case "zfs":
		add("ZFS pool", s.Name)
	default:
		add("Name there", s.Name)
	}
	add("Format", s.Format)
	add("iSCSI target", s.IQN)
	add("Initiator", s.Initiator)
	add("User", s.Username)
	return out
}

func poolSortURL(m PoolList, col string) string {
	desc := ""
	if m.Sort == col && !m.Desc {
		desc = "1"
	}
	return live.With(live.Storage, "filter", m.Filter, "sort", col, "desc", desc)
}

func ordered(by string, desc bool, col string) string {
	return ui.Sorted(by == col || by == "" && col == "name", desc)
}

func (m VolumeList) url(pairs ...string) string {
	orphans := ""
	if m.Orphans {
		orphans = "1"
	}
	desc := ""
	if m.Desc {
		desc = "1"
	}
	return live.With(live.With(m.Base, "filter", m.Filter, "orphans", orphans, "sort", m.Sort, "desc", desc), pairs...)
}

func (m VolumeList) sortURL(col string) string {
	desc := ""
	if (m.Sort == col || m.Sort == "" && col == "name") && !m.Desc {
		desc = "1"
	}
	return m.url("sort", col, "desc", desc)
}

func (m VolumeList) title() string {
	switch {
	case m.Orphans:
		return "Orphan volumes"
	case m.Pool != nil:
		return "Volumes"
	}
	return "Volumes"
}

func (v Volume) orphan() bool { return len(v.Users) == 0 && v.Overlays == 0 && v.Image == "" }

// nobody says that a volume is used by none, and why it is there all the same where that is known.
func (v Volume) nobody() string {
	if v.BaseOf != "" {
		return "nobody: it was frozen for linked clones of " + v.BaseOf + ", and none is left"
	}
	return "nobody"
}

// useWords says who has a volume, in a cell.
func overlayWords(n int) string { return ui.Plural(n, "volume on it", "volumes on it") }

func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// tree is a link of a chain with what is built on it.
type node struct {
	Link
	Above []node
}

// rooted makes a tree of a chain: its lowest image, with what stands on it.
func rooted(chain []Link) []node {
	var build func(at int, seen []string) node
	build = func(at int, seen []string) node {
		n := node{Link: chain[at]}
		if slices.Contains(seen, n.Path) {
			return n
		}
		seen = append(slices.Clone(seen), n.Path)
		for i, l := range chain {
			if i != at && l.Level == n.Level+1 && (l.Level <= 0 || l.Backing == n.Path || l.Level == 1 && n.Level == 0) && !l.Loop {
				n.Above = append(n.Above, build(i, seen))
			}
		}
		return n
	}
	low := 0
	for i, l := range chain {
		if l.Level < chain[low].Level {
			low = i
		}
	}
	if len(chain) == 0 {
		return nil
	}
	return []node{build(low, nil)}
}

func linkWords(l Link) string {
	var out []string
	if l.Format != "" {
		out = append(out, l.Format)
	}
	if l.CapacityBytes > 0 {
		out = append(out, domain.FormatBytes(l.CapacityBytes))
	}
	if l.ID == "" {
		out = append(out, "in no pool")
	}
	return strings.Join(out, ", ")
}

func poolTabs(on string) []ui.Tab {
	return []ui.Tab{{Label: "Pools", URL: live.Storage, Active: on == "pools"}, {Label: "Volumes", URL: live.StorageVolumes, Active: on == "volumes"}, {Label: "Orphans", URL: live.Orphans(), Active: on == "orphans"}}
}

func (m VolumeList) tab() string {
	if m.Orphans {
		return "orphans"
	}
	return "volumes"
}

func (m AskPool) title() string {
	if m.Action == "delete" {
		return "Delete the pool " + m.Pool.Name + "?"
	}
	return "Stop the pool " + m.Pool.Name + "?"
}

func (m AskVolume) title() string {
	switch m.Action {
	case "resize":
		return "Resize " + m.Volume.Name
	case "copy":
		return "Copy " + m.Volume.Name
	case "move":
		return "Move " + m.Volume.Name
	case "checksum":
		return "Compute the checksum of " + m.Volume.Name + "?"
	}
	return "Upload into " + m.Volume.Name
}

func (m AskVolume) verb() string {
	return map[string]string{"resize": "Resize", "copy": "Copy", "move": "Move", "checksum": "Compute", "upload": "Upload"}[m.Action]
}

// running names a VM that runs with the volume; "" when none does.
func running(needs []Need) string {
	for _, n := range needs {
		if n.Kind == "vm" && n.Live && n.Direct && !n.ReadOnly {
			return n.Name
		}
	}
	return ""
}

func needURL(n Need) string {
	switch n.Kind {
	case "vm":
		return live.VM(n.ID)
	case "volume":
		return live.Volume(n.ID)
	}
	return ""
}

func needIcon(kind string) string {
	switch kind {
	case "vm":
		return "device-desktop"
	case "image", "base":
		return "copy"
	}
	return "database"
}

func (m AskVolumes) free() int {
	n := 0
	for _, d := range m.Chosen {
		if len(d.Needs) == 0 {
			n++
		}
	}
	return n
}

func (m AskVolumes) title() string {
	if len(m.Chosen) == 1 {
		return "Delete the volume " + m.Chosen[0].Volume.Name + "?"
	}
	return fmt.Sprintf("Delete %d volumes?", len(m.Chosen))
}

func (m AskVolumes) bytes() int64 {
	var n int64
	for _, d := range m.Chosen {
		if len(d.Needs) == 0 {
			n += d.Volume.AllocationBytes
		}
	}
	return n
}

func checked(on bool) string {
	if on {
		return "1"
	}
	return ""
}

func (m NewPool) typeOptions() []ui.Option {
	var out []ui.Option
	for _, t := range domain.PoolTypes {
		o := ui.Option{Value: t.Type, Label: t.Label}
		known, can := false, false
		for _, h := range m.Hosts {
			known = known || len(h.Types) > 0
			can = can || len(h.Types) == 0 || slices.Contains(h.Types, t.Type)
		}
		if known && !can {
			o.Label += " – no host has the driver"
			o.Disabled = t.Type != m.Form.Type
		}
		out = append(out, o)
	}
	return out
}

func (m NewPool) help() string {
	t, _ := domain.PoolTypeOf(m.Form.Type)
	return t.Help
}

func (m NewPool) formats() []ui.Option {
	t, _ := domain.PoolTypeOf(m.Form.Type)
	var out []ui.Option
	for _, f := range t.Formats {
		out = append(out, ui.Option{Value: f, Label: f})
	}
	return out
}

func (m NewVolume) pool() Pool {
	for _, p := range m.Pools {
		if p.ID == m.Form.Pool {
			return p
		}
	}
	if len(m.Pools) > 0 {
		return m.Pools[0]
	}
	return Pool{}
}

func poolChoices(pools []Pool) []ui.Option {
	var out []ui.Option
	for _, p := range pools {
		o := ui.Option{Value: p.ID, Label: fmt.Sprintf("%s on %s, %s", p.Name, hostNames(p), spaceWords(p))}
		if why := p.noVolumes(); why != "" {
			o.Label, o.Disabled = fmt.Sprintf("%s on %s – %s", p.Name, hostNames(p), why), true
		}
		out = append(out, o)
	}
	if len(out) == 0 {
		out = append(out, ui.Option{Label: "no pool"})
	}
	return out
}

func volumeChoices(vols []domain.Volume) []ui.Option {
	out := []ui.Option{{Value: "", Label: "choose one"}}
	for _, v := range vols {
		out = append(out, ui.Option{Value: v.ID, Label: fmt.Sprintf("%s (%s, %s)", v.Name, v.Format, domain.FormatBytes(v.CapacityBytes))})
	}
	return out
}

func formatChoices(kind string) []ui.Option {
	if domain.FilePool(kind) {
		return []ui.Option{{Value: "qcow2", Label: "qcow2 (thin, can be built on another)"}, {Value: "raw", Label: "raw"}}
	}
	return []ui.Option{{Value: "raw", Label: "raw"}}
}
