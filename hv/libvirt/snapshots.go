package libvirt

import (
	"context"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

// snapshotLimit bounds taking, loading and merging: memory and disks are written.
const snapshotLimit = 6 * time.Hour

const snapshotSecure = uint32(1) // VIR_DOMAIN_SNAPSHOT_XML_SECURE

func (h *host) Snapshots(ctx context.Context, uuid string) ([]domain.Snapshot, error) {
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return nil, err
	}
	type listed struct {
		all     []golibvirt.DomainSnapshot
		current string
	}
	l, err := get(ctx, h.conn, "list the snapshots of "+d.Name, func(l *golibvirt.Libvirt) (out listed, err error) {
		if out.all, _, err = l.DomainListAllSnapshots(d, 1, 0); err != nil || len(out.all) == 0 {
			return out, err
		}
		cur, err := l.DomainSnapshotCurrent(d, 0)
		if number(err) == golibvirt.ErrNoDomainSnapshot {
			err = nil
		}
		out.current = cur.Name
		return out, err
	})
	if domain.Is(err, domain.Unsupported) {
		return nil, nil
	}
	if err != nil || len(l.all) == 0 {
		return nil, err
	}
	docs, err := each(ctx, l.all, func(ctx context.Context, s golibvirt.DomainSnapshot) (domain.Snapshot, error) {
		doc, err := h.snapshotXML(ctx, s)
		if err != nil {
			if domain.Is(err, domain.NotFound) { // gone between two calls
				err = nil
			}
			return domain.Snapshot{}, err
		}
		out, err := domxml.ParseSnapshot(doc)
		out.Current = out.Name == l.current
		return out, err
	})
	if err != nil {
		return nil, err
	}
	var out []domain.Snapshot
	for _, s := range docs {
		if s.Name != "" {
			out = append(out, s)
		}
	}
	return domain.SortSnapshots(out), nil
}

func (h *host) snapshotXML(ctx context.Context, s golibvirt.DomainSnapshot) (string, error) {
	return get(ctx, h.conn, "describe the snapshot "+s.Name, func(l *golibvirt.Libvirt) (string, error) {
		doc, err := l.DomainSnapshotGetXMLDesc(s, snapshotSecure)
		if n := number(err); n == golibvirt.ErrInvalidArg || n == golibvirt.ErrArgumentUnsupported { // a driver without secrets
			return l.DomainSnapshotGetXMLDesc(s, 0)
		}
		return doc, err
	})
}

// snapshot finds one by name. NotFound.
func (h *host) snapshot(ctx context.Context, d golibvirt.Domain, name string) (golibvirt.DomainSnapshot, error) {
	s, err := get(ctx, h.conn, "find the snapshot "+name, func(l *golibvirt.Libvirt) (golibvirt.DomainSnapshot, error) {
		return l.DomainSnapshotLookupByName(d, name, 0)
	})
	if domain.Is(err, domain.NotFound) {
		return s, domain.Errorf(domain.NotFound, "%s has no snapshot called %s.", d.Name, name).WithFix("Look at the list of snapshots again; it may have been deleted on the host.").WithCause(err)
	}
	return s, err
}

func (h *host) CreateSnapshot(ctx context.Context, uuid string, s hv.SnapshotSpec) error {
	n, err := h.now(ctx, uuid)
	if err != nil {
		return err
	}
	if _, err := h.snapshot(ctx, n.Domain, s.Name); err == nil {
		return snapshotTaken(n.Name, s.Name)
	} else if !domain.Is(err, domain.NotFound) {
		return err
	}
	g, err := h.Guest(ctx, uuid)
	if err != nil {
		return err
	}
	disks := g.Config.Disks
	if g.Live != nil {
		disks = g.Live.Disks
	}
	doc, err := domxml.SnapshotXML(s, disks)
	if err != nil {
		return err
	}
	var flags golibvirt.DomainSnapshotCreateFlags
	if s.Kind == domain.SnapshotExternal {
		flags |= golibvirt.DomainSnapshotCreateAtomic
		if !s.Memory {
			flags |= golibvirt.DomainSnapshotCreateDiskOnly
		} else if n.runs() {
			flags |= golibvirt.DomainSnapshotCreateLive
		}
		if s.Quiesce && n.runs() {
			flags |= golibvirt.DomainSnapshotCreateQuiesce
		}
	}
	err = h.hours(ctx, "take the snapshot "+s.Name+" of "+n.Name, snapshotLimit, func(l *golibvirt.Libvirt) error {
		_, err := l.DomainSnapshotCreateXML(n.Domain, doc, uint32(flags)) // #nosec G115 -- the flags' constants: the same 32 bits
		if err != nil && flags&golibvirt.DomainSnapshotCreateQuiesce != 0 && number(err) != 0 {
			// libvirt thaws by itself; should the agent have gone silent between the two, this is the second try. Its own failure says nothing new.
			_, _ = l.DomainFsthaw(n.Domain, nil, 0)
		}
		return err
	})
	return agentless(err, flags&golibvirt.DomainSnapshotCreateQuiesce != 0)
}

// agentless makes one code of the ways in which libvirt says that there is no agent to quiesce with.
func agentless(err error, quiesce bool) error {
	e, ok := err.(*domain.Error)
	if !ok || !quiesce || !strings.Contains(strings.ToLower(e.Msg), "agent") {
		return err
	}
	return domain.Errorf(domain.Unsupported, "The guest agent did not freeze the guest's file systems: %s", e.Msg).WithFix("Start qemu-guest-agent in the guest, or take the snapshot without quiescing.").WithCause(err)
}

func snapshotTaken(vm, name string) error {
	e := domain.Errorf(domain.Conflict, "%s has a snapshot called %s already.", vm, name).WithFix("Choose another name.")
	e.Fields = []domain.FieldError{{Field: "name", Msg: e.Msg, Want: "a name that is free"}}
	return e
}

func (h *host) RevertSnapshot(ctx context.Context, uuid, name string, overlays map[string]string) error {
	n, err := h.now(ctx, uuid)
	if err != nil {
		return err
	}
	ref, err := h.snapshot(ctx, n.Domain, name)
	if err != nil {
		return err
	}
	doc, err := h.snapshotXML(ctx, ref)
	if err != nil {
		return err
	}
	s, err := domxml.ParseSnapshot(doc)
	if err != nil {
		return err
	}
	if s.Kind == domain.SnapshotInternal {
		return h.hours(ctx, "revert "+n.Name+" to "+name, snapshotLimit, func(l *golibvirt.Libvirt) error {
			err := l.DomainRevertToSnapshot(ref, 0)
			if number(err) == golibvirt.ErrSnapshotRevertRisky { // the hardware differs: QEMU is started anew with that of then
				err = l.DomainRevertToSnapshot(ref, uint32(golibvirt.DomainSnapshotRevertForce))
			}
			return err
		})
	}
	return h.revertExternal(ctx, n, s, overlays)
}

// revertExternal does what libvirt 9 does not: the definition of then, on overlays that stand on the snapshot's files.
func (h *host) revertExternal(ctx context.Context, n now, s domain.Snapshot, overlays map[string]string) error {
	defined, err := domxml.SnapshotDefinition(s.XML, overlays)
	if err != nil {
		return err
	}
	redefined, err := domxml.SnapshotWithFiles(s.XML, overlays)
	if err != nil {
		return err
	}
	if !n.off() {
		live, err := h.document(ctx, n.Domain, 0)
		if err != nil {
			return err
		}
		done, err := domxml.ShowsFiles(live, overlays)
		if err != nil {
			return err
		}
		if !done || !s.Memory {
			return domain.Errorf(domain.Conflict, "%s is %s; it must be off to go back to an external snapshot.", n.Name, guestState(int32(n.state), 0, n.saved).State).WithFix("Power it off first.")
		}
		return h.DefineSnapshot(ctx, uuidText(n.UUID), redefined, true) // the memory has been restored before
	}
	if _, err := h.define(ctx, defined, 0); err != nil {
		return err
	}
	if s.Memory {
		if err := h.restoreMemory(ctx, n, s, overlays); err != nil {
			return err
		}
	}
	return h.DefineSnapshot(ctx, uuidText(n.UUID), redefined, true)
}

func (h *host) restoreMemory(ctx context.Context, n now, s domain.Snapshot, overlays map[string]string) error {
	saved, err := get(ctx, h.conn, "read "+s.MemoryFile, func(l *golibvirt.Libvirt) (string, error) {
		return l.DomainSaveImageGetXMLDesc(s.MemoryFile, uint32(golibvirt.DomainXMLSecure))
	})
	if err != nil {
		return err
	}
	doc, err := domxml.WithDiskFiles(saved, overlays)
	if err != nil {
		return err
	}
	var flags golibvirt.DomainSaveRestoreFlags
	switch s.State {
	case domain.VMPaused:
		flags = golibvirt.DomainSavePaused
	default:
		flags = golibvirt.DomainSaveRunning
	}
	return h.hours(ctx, "restore the memory of "+n.Name, snapshotLimit, func(l *golibvirt.Libvirt) error {
		return l.DomainRestoreFlags(s.MemoryFile, golibvirt.OptString{doc}, uint32(flags)) // #nosec G115 -- the flags' constants: the same 32 bits
	})
}

func (h *host) DefineSnapshot(ctx context.Context, uuid, xml string, current bool) error {
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return err
	}
	flags := golibvirt.DomainSnapshotCreateRedefine
	if current {
		flags |= golibvirt.DomainSnapshotCreateCurrent
	}
	return h.do(ctx, "write down the snapshot", func(l *golibvirt.Libvirt) error {
		_, err := l.DomainSnapshotCreateXML(d, xml, uint32(flags)) // #nosec G115 -- the flags' constants: the same 32 bits
		return err
	})
}

func (h *host) DeleteSnapshot(ctx context.Context, uuid, name string, metadataOnly bool) error {
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return err
	}
	ref, err := h.snapshot(ctx, d, name)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if metadataOnly && !h.isTest() { // the test driver has nothing but metadata, and does not know the flag
		return h.dropSnapshot(ctx, ref, golibvirt.DomainSnapshotDeleteMetadataOnly)
	}
	all, err := h.Snapshots(ctx, uuid)
	if err != nil {
		return err
	}
	var this, parent domain.Snapshot
	for _, s := range all {
		if s.Name == name {
			this = s
		}
	}
	for _, s := range all {
		if s.Name == this.Parent {
			parent = s
		}
	}
	if this.Kind == domain.SnapshotExternal && parent.Kind == domain.SnapshotInternal {
		return h.mergeUnderInternal(ctx, uuid, ref, this, parent, all)
	}
	return h.dropSnapshot(ctx, ref, 0)
}

func (h *host) dropSnapshot(ctx context.Context, ref golibvirt.DomainSnapshot, flags golibvirt.DomainSnapshotDeleteFlags) error {
	err := h.hours(ctx, "delete the snapshot "+ref.Name, snapshotLimit, func(l *golibvirt.Libvirt) error { return l.DomainSnapshotDelete(ref, flags) })
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	return err
}

// mergeUnderInternal merges an external snapshot whose parent is internal. libvirt 9 refuses that only because it looks at the parent, which is in
// the file that stays: so the snapshot is a root while it is merged, and its children, if any, and the place of the current one are put back afterwards.
func (h *host) mergeUnderInternal(ctx context.Context, uuid string, ref golibvirt.DomainSnapshot, this, parent domain.Snapshot, all []domain.Snapshot) error {
	alone, err := domxml.SnapshotUnder(this.XML, "")
	if err != nil {
		return err
	}
	if err := h.DefineSnapshot(ctx, uuid, alone, this.Current); err != nil {
		return err
	}
	if err := h.dropSnapshot(ctx, ref, 0); err != nil {
		if back := h.DefineSnapshot(context.WithoutCancel(ctx), uuid, this.XML, this.Current); back != nil && !domain.Is(back, domain.Unavailable) {
			return domain.Errorf(domain.Internal, "Deleting the snapshot %s failed, and its place in the tree was lost.", this.Name).WithCause(back)
		}
		return err
	}
	after, err := h.Snapshots(ctx, uuid)
	if err != nil {
		return err
	}
	current := false
	for _, s := range after {
		current = current || s.Current
	}
	for _, s := range after {
		was := ""
		for _, x := range all {
			if x.Name == s.Name {
				was = x.Parent
			}
		}
		if was != this.Name {
			continue
		}
		doc, err := domxml.SnapshotUnder(s.XML, parent.Name)
		if err != nil {
			return err
		}
		if err := h.DefineSnapshot(ctx, uuid, doc, s.Current); err != nil {
			return err
		}
	}
	if !current && this.Current {
		return h.DefineSnapshot(ctx, uuid, parent.XML, true)
	}
	return nil
}

func (h *host) snapshotDoc(ctx context.Context, uuid, name string) (string, error) {
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return "", err
	}
	ref, err := h.snapshot(ctx, d, name)
	if err != nil {
		return "", err
	}
	return h.snapshotXML(ctx, ref)
}

func (h *host) SnapshotDefinition(ctx context.Context, uuid, name string, files map[string]string) (string, error) {
	doc, err := h.snapshotDoc(ctx, uuid, name)
	if err != nil {
		return "", err
	}
	return domxml.SnapshotDefinition(doc, files)
}

func (h *host) CloneSnapshot(ctx context.Context, from, name string, c hv.Clone) error {
	if done, err := h.settled(ctx, c.UUID, c.Name); done || err != nil {
		return err
	}
	then, err := h.SnapshotDefinition(ctx, from, name, nil)
	if err != nil {
		return err
	}
	copied, err := domxml.CloneXML(then, c)
	if err != nil {
		return err
	}
	_, err = h.define(ctx, copied, 0)
	return err
}
