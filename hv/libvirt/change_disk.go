package libvirt

import (
	"context"
	"slices"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// changeDisks sets limits while the guest runs; QEMU takes nothing else of a disk that it has.
func (e *edit) changeDisks(ctx context.Context, c domain.VMChange, live domain.VMSpec) error {
	for _, ch := range c.ChangeDisks {
		var waits []string
		for _, w := range []struct {
			asked bool
			what  string
		}{{ch.Bus != nil, "bus"}, {ch.Cache != nil, "cache"}, {ch.Discard != nil, "discard"}, {ch.IOThread != nil, "I/O thread"}, {ch.Serial != nil, "serial number"}} {
			if w.asked {
				waits = append(waits, w.what)
			}
		}
		if len(waits) > 0 {
			e.note("Applies at the next start: %s of the disk %s.", strings.Join(waits, ", "), ch.Target)
		}
		i := slices.IndexFunc(live.Disks, func(d domain.Disk) bool { return d.Target == ch.Target })
		if ch.Tune == nil || i < 0 || live.Disks[i].Tune == *ch.Tune {
			continue
		}
		set := func(ctx context.Context, t domain.DiskTune) error {
			var params []golibvirt.TypedParam
			for name, n := range domxml.TuneParams(t) {
				params = append(params, golibvirt.TypedParam{Field: name, Value: *golibvirt.NewTypedParamValueUllong(uint64(max(n, 0)))})
			}
			return e.device(ctx, "limit the disk "+ch.Target, func(l *golibvirt.Libvirt) error {
				return l.DomainSetBlockIOTune(e.n.Domain, ch.Target, params, uint32(golibvirt.DomainAffectLive))
			})
		}
		was := live.Disks[i].Tune
		done, err := e.optional(set(ctx, *ch.Tune), "the limits of a disk")
		if err != nil {
			return err
		}
		if done {
			e.undo = append(e.undo, func(ctx context.Context) error { return set(ctx, was) })
			if ch.Tune.String() == "" {
				e.note("The disk %s has no limits now.", ch.Target)
			} else {
				e.note("The disk %s may do at most %s now.", ch.Target, ch.Tune)
			}
		}
	}
	return nil
}

// ioThread sees that a running guest has the thread that a new disk names.
func (e *edit) ioThread(ctx context.Context, d domain.Disk) error {
	if d.IOThread == 0 {
		return nil
	}
	err := e.device(ctx, "add an I/O thread", func(l *golibvirt.Libvirt) error {
		// #nosec G115 -- the specification takes threads from 1 to 64
		return l.DomainAddIothread(e.n.Domain, uint32(d.IOThread), golibvirt.DomainAffectLive)
	})
	if domain.Is(err, domain.Invalid) || domain.Is(err, domain.Conflict) || domain.Is(err, domain.Unsupported) {
		return nil // it is there; if it is not, attaching the disk says so
	}
	return err
}
