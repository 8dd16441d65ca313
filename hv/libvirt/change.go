package libvirt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// deviceLimit bounds attaching and detaching: libvirt waits for the guest to let go.
const deviceLimit = time.Minute

func (h *host) Change(ctx context.Context, uuid string, c domain.VMChange) ([]string, error) {
	unlock, err := h.edits.lock(ctx, uuid, "edit the VM")
	if err != nil {
		return nil, err
	}
	defer unlock()
	n, err := h.now(ctx, uuid)
	if err != nil {
		return nil, err
	}
	doc, err := h.document(ctx, n.Domain, golibvirt.DomainXMLInactive)
	if err != nil {
		return nil, err
	}
	spec, err := domxml.Parse(doc)
	if err != nil {
		return nil, err
	}
	if c.AddDisks, err = h.settlePaths(ctx, c.AddDisks); err != nil {
		return nil, err
	}
	c.AddDisks = domxml.Settle(spec.Machine, spec.Disks, c.AddDisks)
	env, err := h.docEnv(ctx)
	if err != nil {
		return nil, err
	}
	edited, notes, err := domxml.Edit(doc, c, env)
	if err != nil {
		return nil, err
	}
	ed := &edit{h: h, n: n, doc: doc, notes: notes}
	if err := ed.apply(ctx, c, edited); err != nil {
		return nil, ed.takeBack(ctx, err)
	}
	return ed.notes, nil
}

// edit is one change under way: what was done so far can be taken back, so that a change happens as a whole or not at all.
type edit struct {
	h     *host
	n     now
	doc   string // the definition before
	notes []string
	undo  []func(ctx context.Context) error // newest last
}

func (e *edit) note(format string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, args...))
}

// takeBack undoes in reverse order. The host refused one thing; whatever else happened is put back, also when the caller has gone.
func (e *edit) takeBack(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deviceLimit)
	defer cancel()
	var failed []error
	for i := len(e.undo) - 1; i >= 0; i-- {
		if err := e.undo[i](ctx); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 {
		return cause
	}
	return domain.Errorf(domain.CodeOf(cause), "%s Besides, what was changed before that could not be put back: %s", cause.Error(), errors.Join(failed...).Error()).
		WithFix("Look at the VM's pending changes and take back what is not wanted.").WithCause(cause)
}

func (e *edit) apply(ctx context.Context, c domain.VMChange, edited string) error {
	if edited != e.doc {
		if _, err := e.h.define(ctx, edited, 0); err != nil {
			return err
		}
		e.undo = append(e.undo, func(ctx context.Context) error {
			_, err := e.h.define(ctx, e.doc, 0)
			return err
		})
	}
	if !e.n.off() {
		if err := e.live(ctx, c, edited); err != nil {
			return err
		}
	}
	if c.Autostart != nil {
		return e.h.SetAutostart(ctx, uuidText(e.n.UUID), *c.Autostart)
	}
	return nil
}

// live does what can be done while the guest runs and says what waits.
func (e *edit) live(ctx context.Context, c domain.VMChange, edited string) error {
	doc, err := e.h.document(ctx, e.n.Domain, 0)
	if err != nil {
		return err
	}
	spec, err := domxml.Parse(doc)
	if err != nil {
		return err
	}
	steps := []func() error{
		func() error { return e.describe(ctx, c) },
		func() error { return e.vcpus(ctx, c, spec) },
		func() error { return e.memory(ctx, c, spec) },
		func() error { return e.media(ctx, c, doc) },
		func() error { return e.changeDisks(ctx, c, spec) },
		func() error { return e.removeDevices(ctx, c, doc, spec) },
		func() error { return e.addDevices(ctx, c) },
		func() error { return e.changeNICs(ctx, c, doc) },
		func() error { return e.hardware(ctx, c.HardwareChange, doc, spec) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	var waits []string
	for _, w := range []struct {
		asked bool
		what  string
	}{
		{c.MaxVCPUs != nil, "the most vCPUs"}, {c.Topology != nil, "the CPU topology"}, {c.CPU != nil, "the CPU model"}, {c.Machine != nil, "the machine type"},
		{c.Firmware != nil, "the firmware"}, {c.Boot != nil, "the boot settings"},
	} {
		if w.asked {
			waits = append(waits, w.what)
		}
	}
	if len(waits) > 0 {
		e.note("Applies at the next start: %s.", strings.Join(waits, ", "))
	}
	return nil
}

// optional runs a live step that a driver may lack; then the change waits for the next start.
func (e *edit) optional(err error, what string) (done bool, _ error) {
	if domain.Is(err, domain.Unsupported) {
		e.note("This host cannot change %s while the VM runs; it applies at the next start.", what)
		return false, nil
	}
	return err == nil, err
}

func (e *edit) describe(ctx context.Context, c domain.VMChange) error {
	for _, m := range []struct {
		value *string
		kind  golibvirt.DomainMetadataType
	}{{c.Title, golibvirt.DomainMetadataTitle}, {c.Description, golibvirt.DomainMetadataDescription}} {
		if m.value == nil {
			continue
		}
		text := golibvirt.OptString{*m.value}
		if *m.value == "" {
			text = nil
		}
		err := e.h.do(ctx, "describe "+e.n.Name, func(l *golibvirt.Libvirt) error {
			return l.DomainSetMetadata(e.n.Domain, int32(m.kind), text, nil, nil, golibvirt.DomainAffectLive)
		})
		if _, err := e.optional(err, "its description"); err != nil {
			return err
		}
	}
	return nil
}

// vcpus adds processors; it never takes one away from a running guest, because QEMU has been seen to die of that.
func (e *edit) vcpus(ctx context.Context, c domain.VMChange, live domain.VMSpec) error {
	if c.VCPUs == nil || *c.VCPUs == live.VCPUs {
		return nil
	}
	most := max(live.MaxVCPUs, live.VCPUs)
	switch {
	case *c.VCPUs < live.VCPUs:
		e.note("It goes on with %d vCPUs and has %d from the next start: taking processors away from a running guest is not safe.", live.VCPUs, *c.VCPUs)
		return nil
	case *c.VCPUs > most:
		e.note("It goes on with %d vCPUs and has %d from the next start: it was started with room for %d.", live.VCPUs, *c.VCPUs, most)
		return nil
	}
	set := func(ctx context.Context, n int) error {
		return e.h.slow(ctx, "give it more vCPUs", deviceLimit, func(l *golibvirt.Libvirt) error {
			// #nosec G115 -- between 1 and what the guest was started with room for
			return l.DomainSetVcpusFlags(e.n.Domain, uint32(n), uint32(golibvirt.DomainVCPULive))
		})
	}
	// Not undone when a later step fails: that would be the unplug that is not safe. More vCPUs than asked for harm nobody until the next start.
	done, err := e.optional(set(ctx, *c.VCPUs), "the number of vCPUs")
	if done {
		e.note("It has %d vCPUs now; the guest may have to bring them online.", *c.VCPUs)
	}
	return err
}

func (e *edit) memory(ctx context.Context, c domain.VMChange, live domain.VMSpec) error {
	if c.MemoryBytes == nil || *c.MemoryBytes == live.MemoryBytes {
		return nil
	}
	most := max(live.MaxMemoryBytes, live.MemoryBytes)
	if *c.MemoryBytes > most {
		e.note("It goes on with %s of memory and has %s from the next start: it was started with room for %s.", domain.FormatBytes(live.MemoryBytes), domain.FormatBytes(*c.MemoryBytes), domain.FormatBytes(most))
		return nil
	}
	set := func(ctx context.Context, n int64) error {
		return e.h.do(ctx, "change the memory of "+e.n.Name, func(l *golibvirt.Libvirt) error {
			return l.DomainSetMemoryFlags(e.n.Domain, uint64(max(n/domain.KiB, 0)), uint32(golibvirt.DomainMemLive))
		})
	}
	err := set(ctx, *c.MemoryBytes)
	if number(err) == golibvirt.ErrConfigUnsupported || number(err) == golibvirt.ErrOperationInvalid { // no balloon
		e.note("It has no memory balloon, so it has %s of memory from the next start.", domain.FormatBytes(*c.MemoryBytes))
		return nil
	}
	done, err := e.optional(err, "the memory")
	if done {
		e.undo = append(e.undo, func(ctx context.Context) error { return set(ctx, live.MemoryBytes) })
		e.note("The guest was told to use %s of memory; its balloon driver follows.", domain.FormatBytes(*c.MemoryBytes))
	}
	return err
}

func (e *edit) device(ctx context.Context, doing string, fn func(l *golibvirt.Libvirt) error) error {
	return e.h.slow(ctx, doing, deviceLimit, fn)
}

func (e *edit) attach(ctx context.Context, elem string) error {
	return e.device(ctx, "attach a device to "+e.n.Name, func(l *golibvirt.Libvirt) error {
		return l.DomainAttachDeviceFlags(e.n.Domain, elem, uint32(golibvirt.DomainDeviceModifyLive))
	})
}

func (e *edit) detach(ctx context.Context, elem string) error {
	return e.device(ctx, "detach a device from "+e.n.Name, func(l *golibvirt.Libvirt) error {
		return l.DomainDetachDeviceFlags(e.n.Domain, elem, uint32(golibvirt.DomainDeviceModifyLive))
	})
}

func (e *edit) media(ctx context.Context, c domain.VMChange, live string) error {
	if c.Media == nil {
		return nil
	}
	old, err := domxml.FindDisk(live, c.Media.Target)
	if domain.Is(err, domain.NotFound) {
		e.note("The drive %s appears at the next start, with its medium.", c.Media.Target)
		return nil
	}
	if err != nil {
		return err
	}
	elem, err := domxml.SetDiskSource(old, c.Media.Source)
	if err != nil {
		return err
	}
	update := func(ctx context.Context, elem string) error {
		return e.device(ctx, "change the medium of "+e.n.Name, func(l *golibvirt.Libvirt) error {
			return l.DomainUpdateDeviceFlags(e.n.Domain, elem, golibvirt.DomainDeviceModifyLive)
		})
	}
	done, err := e.optional(update(ctx, elem), "the medium")
	if done {
		e.undo = append(e.undo, func(ctx context.Context) error { return update(ctx, old) })
		if c.Media.Source == "" {
			e.note("The medium was taken out of %s.", c.Media.Target)
		} else {
			e.note("%s is in %s now.", c.Media.Source, c.Media.Target)
		}
	}
	return err
}

// pluggable tells which disks QEMU takes while it runs.
func pluggable(d domain.Disk) bool {
	return d.Device != "cdrom" && d.Device != "floppy" && (d.Bus == "virtio" || d.Bus == "scsi" || d.Bus == "usb" || d.Bus == "")
}

func (e *edit) addDevices(ctx context.Context, c domain.VMChange) error {
	add := func(elem, what string) error {
		done, err := e.optional(e.attach(ctx, elem), what)
		if done {
			e.undo = append(e.undo, func(ctx context.Context) error { return e.detach(ctx, elem) })
			e.note("%s was attached while it runs.", upper(what))
		}
		return err
	}
	for _, d := range c.AddDisks {
		if !pluggable(d) {
			e.note("The disk %s appears at the next start: the bus %s takes none while the VM runs.", d.Target, d.Bus)
			continue
		}
		if err := e.ioThread(ctx, d); err != nil {
			return err
		}
		if err := add(domxml.DiskXML(d), "the disk "+d.Target); err != nil {
			return err
		}
	}
	for _, n := range c.AddNICs {
		if err := add(domxml.NICXML(n), "the network card "+n.MAC); err != nil {
			return err
		}
	}
	return nil
}

func (e *edit) removeDevices(ctx context.Context, c domain.VMChange, live string, spec domain.VMSpec) error {
	remove := func(elem, what string, find func(doc string) (string, error)) error {
		done, err := e.optional(e.detach(ctx, elem), what)
		if !done {
			return err
		}
		return e.detached(ctx, elem, what, find)
	}
	for _, target := range c.RemoveDisks {
		elem, err := domxml.FindDisk(live, target)
		if domain.Is(err, domain.NotFound) {
			continue // it was only pending
		}
		if err != nil {
			return err
		}
		for _, d := range spec.Disks {
			if d.Target == target && !pluggable(d) {
				e.note("The disk %s stays until the next start: the bus %s lets none go while the VM runs.", target, d.Bus)
				elem = ""
			}
		}
		if elem == "" {
			continue
		}
		if err := remove(elem, "the disk "+target, func(doc string) (string, error) { return domxml.FindDisk(doc, target) }); err != nil {
			return err
		}
	}
	for _, mac := range c.RemoveNICs {
		elem, err := domxml.FindNIC(live, mac)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := remove(elem, "the network card "+mac, func(doc string) (string, error) { return domxml.FindNIC(doc, mac) }); err != nil {
			return err
		}
	}
	return nil
}

// detached remembers how to put back a device that the guest was asked to let go, and says whether it did so at once.
func (e *edit) detached(ctx context.Context, elem, what string, find func(doc string) (string, error)) error {
	e.undo = append(e.undo, func(ctx context.Context) error { return e.attach(ctx, elem) })
	doc, err := e.h.document(ctx, e.n.Domain, 0)
	if err != nil {
		return err
	}
	if _, err := find(doc); domain.Is(err, domain.NotFound) {
		e.note("%s was detached.", upper(what))
	} else {
		e.note("The guest was asked to let go of %s; it goes when the guest does, or at the next start.", what)
	}
	return nil
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
