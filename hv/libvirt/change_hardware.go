package libvirt

import (
	"context"
	"fmt"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// hardware does what a running guest takes of a HardwareChange, and says what waits.
func (e *edit) hardware(ctx context.Context, c domain.HardwareChange, live string, spec domain.VMSpec) error {
	if c.Empty() {
		return nil
	}
	for _, step := range []func() error{
		func() error {
			return e.oneDevice(ctx, live, c.Watchdog == nil, watchdogWanted(c.Watchdog), "the watchdog", domxml.FindWatchdog)
		},
		func() error {
			return e.oneDevice(ctx, live, c.RNG == nil, rngWanted(c.RNG), "the source of random numbers", domxml.FindRNG)
		},
		func() error { return e.directories(ctx, c, live, spec) },
		func() error { return e.hostDevices(ctx, c, live) },
		func() error { return e.modules(ctx, c, live, spec) },
		func() error { return e.pin(ctx, c, spec) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	var waits []string
	for _, w := range []struct {
		asked bool
		what  string
	}{
		{c.TPM != nil && *c.TPM != spec.TPM, "the TPM"}, {c.NUMA != nil, "the NUMA nodes"}, {c.NUMATune != nil, "the host's memory nodes"}, {c.Hugepages != nil, "huge pages"},
		{c.HotplugMemory != nil, "the room for memory modules"}, {c.CPUFeatures != nil, "the CPU features"},
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

// watchdogWanted gives the element that should be there; "" for none.
func watchdogWanted(w *domain.Watchdog) string {
	if w == nil || w.Model == "none" {
		return ""
	}
	return domxml.WatchdogXML(*w)
}

func rngWanted(g *domain.RNG) string {
	if g == nil || g.Source == "none" {
		return ""
	}
	return domxml.RNGXML(*g)
}

// waits reports a refusal that means: not while it runs, but at the next start.
func waits(err error) bool {
	n := number(err)
	return domain.Is(err, domain.Unsupported) || n == golibvirt.ErrConfigUnsupported || n == golibvirt.ErrOperationUnsupported || n == golibvirt.ErrOperationInvalid || n == golibvirt.ErrNoSupport
}

// plug attaches a device; one that this guest or driver does not take while it runs is there at the next start.
func (e *edit) plug(ctx context.Context, elem, what string) error {
	err := e.attach(ctx, elem)
	if waits(err) {
		e.note("%s appears at the next start: %s", upper(what), sentence(message(err)))
		return nil
	}
	if err != nil {
		return err
	}
	e.undo = append(e.undo, func(ctx context.Context) error { return e.detach(ctx, elem) })
	e.note("%s was attached while it runs.", upper(what))
	return nil
}

// unplug asks the guest to let a device go.
func (e *edit) unplug(ctx context.Context, elem, what string, find func(doc string) (string, error)) error {
	err := e.detach(ctx, elem)
	if waits(err) {
		e.note("%s stays until the next start: %s", upper(what), sentence(message(err)))
		return nil
	}
	if err != nil {
		return err
	}
	return e.detached(ctx, elem, what, find)
}

// oneDevice serves devices of which a guest has one: it is plugged in where there is none, and taken out; changing it waits for the next start.
func (e *edit) oneDevice(ctx context.Context, live string, unasked bool, want, what string, find func(doc string) (string, error)) error {
	if unasked {
		return nil
	}
	old, err := find(live)
	there := err == nil
	if err != nil && !domain.Is(err, domain.NotFound) {
		return err
	}
	switch {
	case there && want == "":
		return e.unplug(ctx, old, what, find)
	case !there && want != "":
		err := e.plug(ctx, want, what)
		// A running q35 machine has no slot left for a card of conventional PCI; libvirt calls that an internal error. The definition was taken.
		if number(err) == golibvirt.ErrInternalError {
			e.note("%s appears at the next start: %s", upper(what), sentence(message(err)))
			return nil
		}
		return err
	case there:
		e.note("%s changes at the next start.", upper(what))
	}
	return nil
}

func (e *edit) directories(ctx context.Context, c domain.HardwareChange, live string, spec domain.VMSpec) error {
	for _, tag := range c.RemoveFilesystems {
		elem, err := domxml.FindFilesystem(live, tag)
		if domain.Is(err, domain.NotFound) {
			continue // it was only pending
		}
		if err != nil {
			return err
		}
		if err := e.unplug(ctx, elem, "the shared directory "+tag, func(doc string) (string, error) { return domxml.FindFilesystem(doc, tag) }); err != nil {
			return err
		}
	}
	for _, f := range c.AddFilesystems {
		if !spec.SharedMemory {
			e.note("The shared directory %s appears at the next start: the guest's memory has to be shared for it, which only a start can do.", f.Tag)
			continue
		}
		if err := e.plug(ctx, domxml.FilesystemXML(f), "the shared directory "+f.Tag); err != nil {
			return err
		}
	}
	return nil
}

func (e *edit) hostDevices(ctx context.Context, c domain.HardwareChange, live string) error {
	for _, a := range c.RemoveHostDevices {
		elem, err := domxml.FindHostDevice(live, a)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := e.unplug(ctx, elem, "the device "+a, func(doc string) (string, error) { return domxml.FindHostDevice(doc, a) }); err != nil {
			return err
		}
	}
	for _, d := range c.AddHostDevices {
		elem, err := domxml.HostDeviceXML(d)
		if err != nil {
			return err
		}
		// A card that the running guest cannot have would keep it from starting the next time, so that is not left for then.
		if err := e.attach(ctx, elem); err != nil {
			return domain.Errorf(domain.CodeOf(err), "The host does not give the device %s to the VM: %s", d.Address, sentence(message(err))).
				WithFix("Look whether the host has an IOMMU turned on and nothing else uses the device. Or add it while the VM is off.").WithCause(err)
		}
		e.undo = append(e.undo, func(ctx context.Context) error { return e.detach(ctx, elem) })
		e.note("The device %s was attached while it runs.", d.Address)
	}
	return nil
}

func (e *edit) modules(ctx context.Context, c domain.HardwareChange, live string, spec domain.VMSpec) error {
	for _, slot := range c.RemoveMemoryDevices {
		what := fmt.Sprintf("the memory module in slot %d", slot)
		elem, err := domxml.FindModule(live, slot)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		err = e.unplug(ctx, elem, what, func(doc string) (string, error) { return domxml.FindModule(doc, slot) })
		if number(err) == golibvirt.ErrOperationFailed || domain.Is(err, domain.Conflict) {
			return domain.Errorf(domain.Conflict, "The guest did not let %s go; nothing was changed.", what).
				WithFix("A Linux guest lets a module go only if its memory came online as movable (memhp_default_state=online_movable on its kernel command line). Or take it out while the VM is off.").WithCause(err)
		}
		if err != nil {
			return err
		}
	}
	for _, m := range domain.SettleModules(spec.MemoryDevices, c.AddMemoryDevices) {
		if spec.HotplugMemory == nil {
			e.note("The memory module in slot %d appears at the next start: the guest was started without room for modules.", m.Slot)
			continue
		}
		if err := e.plug(ctx, domxml.MemoryDeviceXML(m), fmt.Sprintf("the memory module in slot %d (%s)", m.Slot, domain.FormatBytes(m.SizeBytes))); err != nil {
			return err
		}
	}
	return nil
}

// pin binds the running guest's processors and QEMU's own threads.
func (e *edit) pin(ctx context.Context, c domain.HardwareChange, spec domain.VMSpec) error {
	if c.CPUPins == nil && c.EmulatorPins == nil {
		return nil
	}
	env, err := e.h.environment(ctx)
	if err != nil {
		return err
	}
	bind := func(what, cpus string, call func(l *golibvirt.Libvirt, set []byte) error) error {
		set := cpuBits(cpus, env.facts.CPUs)
		err := e.h.do(ctx, "pin "+what, func(l *golibvirt.Libvirt) error { return call(l, set) })
		_, err = e.optional(err, "the pinning")
		return err
	}
	if c.CPUPins != nil {
		now := map[int]string{}
		for v := range spec.VCPUs {
			now[v] = ""
		}
		for _, p := range *c.CPUPins {
			if _, runs := now[p.VCPU]; runs {
				now[p.VCPU] = p.CPUs
			}
		}
		for v, cpus := range now {
			if err := bind(fmt.Sprintf("vCPU %d", v), cpus, func(l *golibvirt.Libvirt, set []byte) error {
				// #nosec G115 -- one of the vCPUs that the specification counts
				return l.DomainPinVcpuFlags(e.n.Domain, uint32(v), set, uint32(golibvirt.DomainAffectLive))
			}); err != nil {
				return err
			}
		}
		e.note("Its vCPUs are bound to the host's CPUs as asked for.")
	}
	if c.EmulatorPins == nil {
		return nil
	}
	return bind("QEMU's own threads", *c.EmulatorPins, func(l *golibvirt.Libvirt, set []byte) error {
		return l.DomainPinEmulator(e.n.Domain, set, golibvirt.DomainAffectLive)
	})
}

// cpuBits is a set of CPUs as libvirt's calls take it: one bit for each of the host's. Nothing means all, which takes a pin away.
func cpuBits(cpus string, host int) []byte {
	bits := make([]byte, (max(host, 1)+7)/8)
	set, ok := domain.CPUSet(cpus)
	if !ok {
		for i := range host {
			set = append(set, i)
		}
	}
	for _, c := range set {
		for c/8 >= len(bits) {
			bits = append(bits, 0)
		}
		bits[c/8] |= 1 << (c % 8)
	}
	return bits
}
