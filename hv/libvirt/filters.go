package libvirt

import (
	"context"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

func (h *host) Filters(ctx context.Context) ([]string, error) {
	found, err := get(ctx, h.conn, "list its filters", func(l *golibvirt.Libvirt) ([]golibvirt.Nwfilter, error) {
		fs, _, err := l.ConnectListAllNwfilters(1, 0)
		return fs, err
	})
	if err != nil {
		return nil, err
	}
	out := make([]string, len(found))
	for i, f := range found {
		out[i] = f.Name
	}
	return out, nil
}

func (h *host) DefineFilter(ctx context.Context, f domain.Filter) error {
	unlock, err := h.edits.lock(ctx, "filters", "define a filter")
	if err != nil {
		return err
	}
	defer unlock()
	names, docs := domxml.FilterXMLs(f)
	for i, doc := range docs {
		err := h.slow(ctx, "define the filter "+names[i], networkLimit, func(l *golibvirt.Libvirt) error {
			// A filter keeps its UUID: libvirt takes the same name with another one for somebody else's.
			old, err := l.NwfilterLookupByName(names[i])
			if err == nil {
				if doc, err = domxml.SetFilterUUID(doc, uuidText(old.UUID)); err != nil {
					return err
				}
			} else if number(err) != golibvirt.ErrNoNwfilter {
				return err
			}
			_, err = l.NwfilterDefineXML(doc)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *host) UndefineFilter(ctx context.Context, name string) error {
	f, err := get(ctx, h.conn, "find the filter", func(l *golibvirt.Libvirt) (golibvirt.Nwfilter, error) { return l.NwfilterLookupByName(name) })
	if err == nil {
		err = h.do(ctx, "remove the filter "+name, func(l *golibvirt.Libvirt) error { return l.NwfilterUndefine(f) })
	}
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	return err
}

// changeNICs changes cards while the guest runs: where they are plugged in, link, limits and filter. A new model waits for the next start.
func (e *edit) changeNICs(ctx context.Context, c domain.VMChange, live string) error {
	for _, n := range c.ChangeNICs {
		old, err := domxml.FindNIC(live, n.MAC)
		if domain.Is(err, domain.NotFound) {
			e.note("The network card %s appears at the next start, with what was changed.", n.MAC)
			continue
		}
		if err != nil {
			return err
		}
		if n.Model != nil {
			e.note("The network card %s has another model from the next start.", n.MAC)
			n.Model = nil
		}
		if old, err = domxml.ChangeNICXML(old, domain.NICChange{}); err != nil {
			return err
		}
		elem, err := domxml.ChangeNICXML(old, n)
		if err != nil {
			return err
		}
		if elem == old {
			continue
		}
		update := func(ctx context.Context, elem string) error {
			return e.device(ctx, "change the network card "+n.MAC+" of "+e.n.Name, func(l *golibvirt.Libvirt) error {
				return l.DomainUpdateDeviceFlags(e.n.Domain, elem, golibvirt.DomainDeviceModifyLive)
			})
		}
		done, err := e.optional(update(ctx, elem), "the network card "+n.MAC)
		if done {
			e.undo = append(e.undo, func(ctx context.Context) error { return update(ctx, old) })
			e.note("The network card %s was changed while it runs.", strings.ToLower(n.MAC))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
