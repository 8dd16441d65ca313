package hvtest

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

// What is on disks is one text per file, and what is in memory one per guest: enough to see whether anything was lost.

// WriteDisk writes to a guest's disk, as the guest would.
func (f *Fake) WriteDisk(uuid, target, text string) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	g := f.m.guests[uuid]
	f.m.data[sourceIn(g.now(), target)] = text
}

// ReadDisk reads a guest's disk, through its chain; a file that is missing reads as "BROKEN".
func (f *Fake) ReadDisk(uuid, target string) string {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.m.content(sourceIn(f.m.guests[uuid].now(), target))
}

// ReadFile reads a file through its chain.
func (f *Fake) ReadFile(path string) string {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.m.content(path)
}

// SetMemory sets what a guest has in memory; Memory reads it.
func (f *Fake) SetMemory(uuid, text string) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.guests[uuid].memory = text
}

// Memory is what a guest has in memory.
func (f *Fake) Memory(uuid string) string {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.m.guests[uuid].memory
}

// AllSnapshots looks at a guest's snapshots without going through faults.
func (f *Fake) AllSnapshots(uuid string) []domain.Snapshot {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if g := f.m.guests[uuid]; g != nil {
		return g.snapshots()
	}
	return nil
}

func (g *guest) now() string {
	if g.up() {
		return g.live
	}
	return g.doc
}

func sourceIn(doc, target string) string {
	for _, d := range mustParse(doc).Disks {
		if d.Target == target {
			return d.Source
		}
	}
	return ""
}

func (m *machine) file(path string) (string, domain.Volume, bool) {
	for key, v := range m.volumes {
		if v.Path == path {
			return key, v, true
		}
	}
	return "", domain.Volume{}, false
}

func (m *machine) content(path string) string {
	_, v, ok := m.file(path)
	if !ok {
		return "BROKEN"
	}
	if text, ok := m.data[path]; ok {
		return text
	}
	if v.Backing == "" {
		return ""
	}
	return m.content(v.Backing)
}

// put makes a file in the pool whose folder it is in.
func (m *machine) putFile(v domain.Volume) error {
	if _, _, taken := m.file(v.Path); taken {
		return domain.Errorf(domain.Conflict, "%s exists already.", v.Path).WithFix("Choose another name.")
	}
	for _, p := range m.pools {
		if p.Target != "" && strings.HasPrefix(v.Path, p.Target+"/") {
			v.Pool, v.Name = p.Name, strings.TrimPrefix(v.Path, p.Target+"/")
			m.volumes[v.Pool+"/"+v.Name] = v
			return nil
		}
	}
	return domain.Errorf(domain.Conflict, "There is no folder for %s.", v.Path).WithFix("Choose a file in a pool.")
}

func (m *machine) dropFile(path string) {
	if key, _, ok := m.file(path); ok {
		delete(m.volumes, key)
	}
	delete(m.data, path)
}

func (g *guest) snapshots() []domain.Snapshot {
	var out []domain.Snapshot
	for _, name := range slices.Sorted(maps.Keys(g.snaps)) {
		s, err := domxml.ParseSnapshot(g.snaps[name])
		if err != nil {
			panic("hvtest: a stored snapshot does not parse: " + err.Error())
		}
		s.Current = name == g.current
		out = append(out, s)
	}
	return domain.SortSnapshots(out)
}

func (m *machine) snapshot(uuid, name string) (*guest, domain.Snapshot, error) {
	g, err := m.find(uuid)
	if err != nil {
		return nil, domain.Snapshot{}, err
	}
	for _, s := range g.snapshots() {
		if s.Name == name {
			return g, s, nil
		}
	}
	return g, domain.Snapshot{}, domain.Errorf(domain.NotFound, "%s has no snapshot called %s.", g.name, name).WithFix("Look at the list of snapshots again.")
}

// Snapshots implements hv.Snapshotter.
func (c *conn) Snapshots(ctx context.Context, uuid string) ([]domain.Snapshot, error) {
	return do(ctx, c, "Snapshots", func(m *machine) ([]domain.Snapshot, error) {
		g, err := m.find(uuid)
		if err != nil {
			return nil, err
		}
		return g.snapshots(), nil
	})
}

// CreateSnapshot implements hv.Snapshotter.
func (c *conn) CreateSnapshot(ctx context.Context, uuid string, s hv.SnapshotSpec) error {
	return act(ctx, c, "CreateSnapshot", func(m *machine) error {
		g, _, err := m.snapshot(uuid, s.Name)
		if err == nil {
			return domain.Errorf(domain.Conflict, "%s has a snapshot called %s already.", g.name, s.Name).WithFix("Choose another name.")
		}
		if g == nil {
			return err
		}
		if s.Quiesce && g.up() && g.agent == nil {
			return domain.Errorf(domain.Unsupported, "The guest agent does not answer.").WithFix("Start it in the guest.")
		}
		disks := mustParse(g.now()).Disks
		doc, err := domxml.SnapshotXML(s, disks)
		if err != nil {
			return err
		}
		if doc, err = m.furnishSnapshot(g, s, doc); err != nil {
			return err
		}
		if s.Kind == domain.SnapshotInternal {
			err = m.keepInside(g, s)
		} else {
			err = m.overlay(g, s, disks)
		}
		if err != nil {
			return err
		}
		if g.snaps == nil {
			g.snaps = map[string]string{}
		}
		g.snaps[s.Name], g.current = doc, s.Name
		m.say(g, hv.GuestChanged, "")
		return nil
	})
}

// furnishSnapshot writes down what libvirt does: state, parent, time and definition.
func (m *machine) furnishSnapshot(g *guest, s hv.SnapshotSpec, doc string) (string, error) {
	state := map[domain.VMState]string{domain.VMRunning: "running", domain.VMPaused: "paused", domain.VMCrashed: "crashed"}[g.state]
	switch {
	case state == "":
		state = "shutoff"
	case s.Kind == domain.SnapshotExternal && !s.Memory && g.up():
		state = "disk-snapshot"
	}
	more := fmt.Sprintf("  <state>%s</state>\n  <creationTime>%d</creationTime>\n", state, m.clock().Unix())
	if g.current != "" {
		var b strings.Builder
		if err := xml.EscapeText(&b, []byte(g.current)); err != nil {
			return "", err
		}
		more += "  <parent>\n    <name>" + b.String() + "</name>\n  </parent>\n"
	}
	more += g.now() + "\n"
	if g.up() && g.live != g.doc {
		more += strings.TrimSuffix(strings.Replace(g.doc, "<domain", "<inactiveDomain", 1), "</domain>") + "</inactiveDomain>\n"
	}
	return strings.TrimSuffix(doc, "</domainsnapshot>\n") + more + "</domainsnapshot>\n", nil
}

func (m *machine) keepInside(g *guest, s hv.SnapshotSpec) error {
	if g.up() && !s.Memory {
		return domain.Errorf(domain.Unsupported, "An internal snapshot of a running guest holds its memory.").WithFix("Take it with memory.")
	}
	snap := map[string]string{}
	for _, d := range domain.SnapshotDisks(domain.VM{Config: mustParse(g.now())}) {
		if d.Format != "qcow2" {
			return domain.Errorf(domain.Unsupported, "The disk %s is not qcow2.", d.Target).WithFix("Take an external snapshot.")
		}
		snap[d.Source] = m.content(d.Source)
	}
	for path, text := range snap {
		if m.inside[path] == nil {
			m.inside[path] = map[string]string{}
		}
		m.inside[path][s.Name] = text
	}
	if s.Memory {
		m.data["memory of "+g.uuid+"/"+s.Name] = g.memory
	}
	return nil
}

func (m *machine) overlay(g *guest, s hv.SnapshotSpec, disks []domain.Disk) error {
	if s.Memory && !g.up() {
		return domain.Errorf(domain.Conflict, "%s does not run.", g.name).WithFix("Start it first.")
	}
	var made []string
	fail := func(err error) error {
		for _, f := range made {
			m.dropFile(f)
		}
		return err
	}
	for _, d := range disks {
		file := s.Disks[d.Target]
		if file == "" {
			continue
		}
		_, under, _ := m.file(d.Source)
		if err := m.putFile(domain.Volume{Path: file, Format: "qcow2", CapacityBytes: under.CapacityBytes, Backing: d.Source, BackingFormat: d.Format, AllocationBytes: 256 * domain.KiB}); err != nil {
			return fail(err)
		}
		made = append(made, file)
	}
	if s.Memory {
		if err := m.putFile(domain.Volume{Path: s.MemoryFile, Format: "raw"}); err != nil {
			return fail(err)
		}
		m.data[s.MemoryFile] = g.memory
	}
	return m.show(g, s.Disks)
}

// show puts other files under a guest's disks.
func (m *machine) show(g *guest, files map[string]string) (err error) {
	if g.doc, err = domxml.WithDiskFiles(g.doc, files); err != nil {
		return err
	}
	if g.up() {
		g.live, err = domxml.WithDiskFiles(g.live, files)
	}
	return err
}

// RevertSnapshot implements hv.Snapshotter.
func (c *conn) RevertSnapshot(ctx context.Context, uuid, name string, overlays map[string]string) error {
	return act(ctx, c, "RevertSnapshot", func(m *machine) error {
		g, s, err := m.snapshot(uuid, name)
		if err != nil {
			return err
		}
		if s.Kind == domain.SnapshotExternal {
			return m.revertExternal(g, s, overlays)
		}
		doc, err := domxml.SnapshotDefinition(s.XML, nil)
		if err != nil {
			return err
		}
		for _, d := range s.Disks {
			text, ok := m.inside[d.Base][name]
			if !ok {
				return domain.Errorf(domain.Internal, "There is no snapshot %s inside %s.", name, d.Base)
			}
			m.data[d.Base] = text
		}
		g.doc, g.live, g.current = doc, "", name
		if s.Memory {
			g.memory, g.live = m.data["memory of "+uuid+"/"+name], doc
			g.state = domain.VMStopped
			m.become(g, s.State, "from a snapshot")
		} else if g.up() || g.state != domain.VMStopped {
			m.become(g, domain.VMStopped, "from a snapshot")
		}
		return nil
	})
}

func (m *machine) revertExternal(g *guest, s domain.Snapshot, overlays map[string]string) error {
	for _, file := range overlays {
		if _, _, ok := m.file(file); !ok {
			return domain.Errorf(domain.Conflict, "%s does not exist.", file).WithFix("Make it first.")
		}
	}
	redefined, err := domxml.SnapshotWithFiles(s.XML, overlays)
	if err != nil {
		return err
	}
	if g.up() {
		if ok, err := domxml.ShowsFiles(g.live, overlays); err != nil || !ok || !s.Memory {
			return domain.Errorf(domain.Conflict, "%s is %s; it must be off to go back to an external snapshot.", g.name, g.state).WithFix("Power it off first.")
		}
		g.snaps[s.Name], g.current = redefined, s.Name
		return nil
	}
	doc, err := domxml.SnapshotDefinition(s.XML, overlays)
	if err != nil {
		return err
	}
	g.doc, g.snaps[s.Name], g.current = doc, redefined, s.Name
	if s.Memory {
		g.memory = m.data[s.MemoryFile]
		m.become(g, s.State, "restored")
	}
	return nil
}

// DeleteSnapshot implements hv.Snapshotter.
func (c *conn) DeleteSnapshot(ctx context.Context, uuid, name string, metadataOnly bool) error {
	return act(ctx, c, "DeleteSnapshot", func(m *machine) error {
		g, s, err := m.snapshot(uuid, name)
		if g != nil && domain.Is(err, domain.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case metadataOnly:
		case s.Kind == domain.SnapshotInternal:
			err = m.dropInside(g, s)
		default:
			err = m.merge(g, s)
		}
		if err != nil {
			return err
		}
		for _, x := range s.Children(g.snapshots()) {
			doc, err := domxml.SnapshotUnder(g.snaps[x.Name], s.Parent)
			if err != nil {
				return err
			}
			g.snaps[x.Name] = doc
		}
		delete(g.snaps, name)
		if g.current == name {
			g.current = s.Parent
		}
		return nil
	})
}

func (m *machine) dropInside(g *guest, s domain.Snapshot) error {
	for _, d := range s.Disks {
		if sourceIn(g.now(), d.Target) != d.Base {
			return domain.Errorf(domain.Unsupported, "The disk %s of the snapshot is not the one in use.", d.Target).WithFix("Delete later snapshots first.")
		}
	}
	for _, d := range s.Disks {
		delete(m.inside[d.Base], s.Name)
	}
	return nil
}

// merge commits the overlays into the files that the snapshot froze. Like libvirt it looks at the guest's own chain only, and tells only
// snapshots below: whoever else builds on an overlay is left with nothing.
func (m *machine) merge(g *guest, s domain.Snapshot) error {
	for _, d := range s.Disks {
		_, v, ok := m.file(d.File)
		if !ok || v.Backing != d.Base || !slices.Contains(m.chain(sourceIn(g.now(), d.Target)), d.File) {
			return domain.Errorf(domain.Conflict, "The overlay %s is not in the guest's chain.", d.File).WithFix("Look at the disk's chain.")
		}
	}
	moved, shown := map[string]string{}, map[string]string{}
	for _, d := range s.Disks {
		chain := m.chain(sourceIn(g.now(), d.Target))
		moved[d.File] = d.Base
		if text, ok := m.data[d.File]; ok {
			m.data[d.Base] = text
		}
		if i := slices.Index(chain, d.File); i > 0 {
			key, above, _ := m.file(chain[i-1])
			above.Backing = d.Base
			m.volumes[key] = above
		} else {
			shown[d.Target] = d.Base
		}
		m.dropFile(d.File)
	}
	for _, x := range s.Descendants(g.snapshots()) {
		doc, err := domxml.SnapshotWithBases(x.XML, moved)
		if err != nil {
			return err
		}
		g.snaps[x.Name] = doc
	}
	for target, file := range shown {
		_, v, _ := m.file(file)
		if err := m.showAs(g, target, file, v.Format); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) showAs(g *guest, target, file, format string) error {
	if err := m.show(g, map[string]string{target: file}); err != nil || format != "raw" {
		return err
	}
	raw := func(doc string) string { // the only overlay-less disk that is not qcow2
		i := strings.Index(doc, file)
		if j := strings.LastIndex(doc[:max(i, 0)], "type='qcow2'"); j >= 0 {
			return doc[:j] + "type='raw'" + doc[j+len("type='qcow2'"):]
		}
		return doc
	}
	g.doc = raw(g.doc)
	if g.up() {
		g.live = raw(g.live)
	}
	return nil
}

func (m *machine) chain(path string) []string {
	b := domain.Backings{}
	for _, v := range m.volumes {
		b[v.Path] = v.Backing
	}
	return b.Chain(path)
}

// DefineSnapshot implements hv.Snapshotter.
func (c *conn) DefineSnapshot(ctx context.Context, uuid, doc string, current bool) error {
	return act(ctx, c, "DefineSnapshot", func(m *machine) error {
		g, err := m.find(uuid)
		if err != nil {
			return err
		}
		s, err := domxml.ParseSnapshot(doc)
		if err != nil {
			return err
		}
		if g.snaps == nil {
			g.snaps = map[string]string{}
		}
		g.snaps[s.Name] = doc
		if current {
			g.current = s.Name
		}
		return nil
	})
}

// SnapshotDefinition implements hv.Snapshotter.
func (c *conn) SnapshotDefinition(ctx context.Context, uuid, name string, files map[string]string) (string, error) {
	return do(ctx, c, "SnapshotDefinition", func(m *machine) (string, error) {
		_, s, err := m.snapshot(uuid, name)
		if err != nil {
			return "", err
		}
		return domxml.SnapshotDefinition(s.XML, files)
	})
}

// CloneSnapshot implements hv.Snapshotter.
func (c *conn) CloneSnapshot(ctx context.Context, from, name string, cl hv.Clone) error {
	return act(ctx, c, "CloneSnapshot", func(m *machine) error {
		if g := m.guests[cl.UUID]; g != nil && g.name == cl.Name {
			return nil
		}
		_, s, err := m.snapshot(from, name)
		if err != nil {
			return err
		}
		if err := m.nameFree(cl.Name, cl.UUID); err != nil {
			return err
		}
		then, err := domxml.SnapshotDefinition(s.XML, nil)
		if err != nil {
			return err
		}
		doc, err := domxml.CloneXML(then, cl)
		if err != nil {
			return err
		}
		m.put(cl.UUID, cl.Name, doc)
		return nil
	})
}
