package libvirt

import (
	"context"
	"encoding/hex"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sync/errgroup"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// parallel is how many requests one listing keeps under way: it hides the distance to the host and leaves slots for others.
const parallel = 3

func uuidText(u golibvirt.UUID) string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func parseUUID(s string) (golibvirt.UUID, error) {
	var u golibvirt.UUID
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(u) {
		return u, domain.Errorf(domain.Invalid, "“%s” is not a VM's UUID.", s)
	}
	copy(u[:], b)
	return u, nil
}

// lookup finds a guest. NotFound.
func (h *host) lookup(ctx context.Context, uuid string) (golibvirt.Domain, error) {
	u, err := parseUUID(uuid)
	if err != nil {
		return golibvirt.Domain{}, err
	}
	d, err := get(ctx, h.conn, "find the VM", func(l *golibvirt.Libvirt) (golibvirt.Domain, error) { return l.DomainLookupByUUID(u) })
	if domain.Is(err, domain.NotFound) {
		return d, domain.Errorf(domain.NotFound, "The host has no VM with the UUID %s.", uuid).WithCause(err)
	}
	return d, err
}

// listSet gives the UUIDs of the guests that a flag selects.
func (h *host) listSet(ctx context.Context, flag golibvirt.ConnectListAllDomainsFlags) (map[string]bool, error) {
	doms, err := h.list(ctx, flag)
	set := make(map[string]bool, len(doms))
	for _, d := range doms {
		set[uuidText(d.UUID)] = true
	}
	return set, err
}

func (h *host) list(ctx context.Context, flag golibvirt.ConnectListAllDomainsFlags) ([]golibvirt.Domain, error) {
	return get(ctx, h.conn, "list the VMs", func(l *golibvirt.Libvirt) ([]golibvirt.Domain, error) {
		doms, _, err := l.ConnectListAllDomains(1, flag)
		return doms, err
	})
}

// rawState is what libvirt says of one guest.
type rawState struct{ state, reason int32 }

// states asks for all guests at once; the second, cheap call finds the saved ones.
func (h *host) states(ctx context.Context) (map[string]rawState, map[string]bool, error) {
	recs, err := get(ctx, h.conn, "tell the VMs' states", func(l *golibvirt.Libvirt) ([]golibvirt.DomainStatsRecord, error) {
		return l.ConnectGetAllDomainStats(nil, uint32(golibvirt.DomainStatsState), 0)
	})
	if err != nil {
		return nil, nil, err
	}
	saved, err := h.listSet(ctx, golibvirt.ConnectListDomainsManagedsave)
	if err != nil {
		return nil, nil, err
	}
	out := make(map[string]rawState, len(recs))
	for _, r := range recs {
		var s rawState
		for _, p := range r.Params {
			v, ok := p.Value.I.(int32)
			switch {
			case ok && p.Field == "state.state":
				s.state = v
			case ok && p.Field == "state.reason":
				s.reason = v
			}
		}
		out[uuidText(r.Dom.UUID)] = s
	}
	return out, saved, nil
}

func (h *host) GuestStates(ctx context.Context) (map[string]domain.GuestState, error) {
	raw, saved, err := h.states(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]domain.GuestState, len(raw))
	for uuid, s := range raw {
		out[uuid] = guestState(s.state, s.reason, saved[uuid])
	}
	return out, nil
}

func (h *host) Guests(ctx context.Context) ([]domain.Guest, error) {
	doms, err := h.list(ctx, 0)
	if err != nil {
		return nil, err
	}
	states, saved, err := h.states(ctx)
	if err != nil {
		return nil, err
	}
	auto, err := h.listSet(ctx, golibvirt.ConnectListDomainsAutostart)
	if err != nil {
		return nil, err
	}
	persistent, err := h.listSet(ctx, golibvirt.ConnectListDomainsPersistent)
	if err != nil {
		return nil, err
	}
	guests := make([]domain.Guest, len(doms))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, d := range doms {
		uuid := uuidText(d.UUID)
		s, known := states[uuid]
		if !known {
			continue // gone, or defined, between two calls: its event says so
		}
		g.Go(func() error {
			guest := domain.Guest{UUID: uuid, Name: d.Name, Autostart: auto[uuid], Persistent: persistent[uuid]}
			err := h.describe(gctx, d, s, saved[uuid], &guest)
			if domain.Is(err, domain.NotFound) {
				return nil
			}
			if err == nil {
				guests[i] = guest
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := guests[:0]
	for _, guest := range guests {
		if guest.UUID != "" {
			out = append(out, guest)
		}
	}
	return out, nil
}

// describe fills in what the documents say. A document that cannot be read leaves the spec empty but for the name: the guest is still listed.
func (h *host) describe(ctx context.Context, d golibvirt.Domain, s rawState, saved bool, guest *domain.Guest) error {
	st := guestState(s.state, s.reason, saved)
	guest.State, guest.Reason = st.State, st.Reason
	var live string
	err := h.do(ctx, "show the definition of "+d.Name, func(l *golibvirt.Libvirt) (err error) {
		var config, now string
		if config, err = l.DomainGetXMLDesc(d, golibvirt.DomainXMLInactive); err != nil {
			return err
		}
		if active(s.state) {
			if now, err = l.DomainGetXMLDesc(d, 0); err != nil {
				return err
			}
		}
		guest.XML, live = config, now
		return nil
	})
	if err != nil {
		return err
	}
	guest.Config = h.parsed(guest)(domxml.Parse(guest.XML))
	if live != "" {
		spec := h.parsed(guest)(domxml.ParseLive(live, guest.Config))
		guest.Live = &spec
	}
	return nil
}

// parsed takes what was read of a document. One that is not XML cannot come from libvirt; should it, the guest is listed by name alone and
// the log says why.
func (h *host) parsed(guest *domain.Guest) func(domain.VMSpec, error) domain.VMSpec {
	return func(spec domain.VMSpec, err error) domain.VMSpec {
		if err != nil {
			h.opt.Log.Warn("definition cannot be read", "vm", guest.Name, "uuid", guest.UUID, "err", err)
			return domain.VMSpec{Name: guest.Name, UUID: guest.UUID}
		}
		return spec
	}
}

// isSaved is asked only for guests that are off; drivers without managed save have none.
func isSaved(l *golibvirt.Libvirt, d golibvirt.Domain, state int32) (bool, error) {
	if active(state) {
		return false, nil
	}
	n, err := l.DomainHasManagedSaveImage(d, 0)
	if number(err) == golibvirt.ErrNoSupport {
		return false, nil
	}
	return n != 0, err
}

func (h *host) Guest(ctx context.Context, uuid string) (domain.Guest, error) {
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return domain.Guest{}, err
	}
	type basics struct {
		s                       rawState
		saved, auto, persistent bool
	}
	b, err := get(ctx, h.conn, "describe "+d.Name, func(l *golibvirt.Libvirt) (b basics, err error) {
		if b.s.state, b.s.reason, err = l.DomainGetState(d, 0); err != nil {
			return b, err
		}
		if b.saved, err = isSaved(l, d, b.s.state); err != nil {
			return b, err
		}
		auto, err := l.DomainGetAutostart(d)
		if err != nil {
			return b, err
		}
		persistent, err := l.DomainIsPersistent(d)
		b.auto, b.persistent = auto != 0, persistent != 0
		return b, err
	})
	if err != nil {
		return domain.Guest{}, err
	}
	guest := domain.Guest{UUID: uuid, Name: d.Name, Autostart: b.auto, Persistent: b.persistent}
	err = h.describe(ctx, d, b.s, b.saved, &guest)
	return guest, err
}
