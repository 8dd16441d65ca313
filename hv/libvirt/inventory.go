package libvirt

import (
	"context"
	"slices"

	golibvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sync/errgroup"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// shownDevices are the kinds of node device worth asking for; a host has hundreds of others.
const shownDevices = golibvirt.ConnectListNodeDevicesCapPciDev | golibvirt.ConnectListNodeDevicesCapUsbDev | golibvirt.ConnectListNodeDevicesCapNet |
	golibvirt.ConnectListNodeDevicesCapScsi | golibvirt.ConnectListNodeDevicesCapStorage | golibvirt.ConnectListNodeDevicesCapMdev

// each maps in parallel, in order, and leaves out what is gone by the time it is asked for.
func each[T, R any](ctx context.Context, in []T, fn func(ctx context.Context, v T) (R, error)) ([]R, error) {
	type slot struct {
		v  R
		ok bool
	}
	slots := make([]slot, len(in))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, v := range in {
		g.Go(func() error {
			r, err := fn(ctx, v)
			if domain.Is(err, domain.NotFound) {
				return nil
			}
			slots[i] = slot{r, err == nil}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make([]R, 0, len(in))
	for _, s := range slots {
		if s.ok {
			out = append(out, s.v)
		}
	}
	return out, nil
}

func (h *host) Inventory(ctx context.Context) (domain.Inventory, error) {
	var inv domain.Inventory
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		inv.Pools, inv.Volumes, err = h.storage(ctx)
		return err
	})
	g.Go(func() (err error) {
		inv.Networks, err = h.networks(ctx)
		return err
	})
	g.Go(func() (err error) {
		inv.Devices, err = h.devices(ctx)
		return err
	})
	err := g.Wait()
	return inv, err
}

// storage lists pools and what is in those that are active, after a look into them.
func (h *host) storage(ctx context.Context) ([]domain.Pool, []domain.Volume, error) {
	pools, err := h.pools(ctx)
	if err != nil {
		return nil, nil, err
	}
	var volumes []domain.Volume
	looked := false
	for _, p := range pools {
		if !p.Active {
			continue
		}
		ref, err := h.pool(ctx, p.Name)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if refreshed(p.Type) {
			if err := h.refresh(ctx, ref); err != nil {
				return nil, nil, err
			}
			looked = true
		}
		vols, err := h.volumes(ctx, ref)
		if err != nil {
			return nil, nil, err
		}
		volumes = append(volumes, vols...)
	}
	if looked { // a look changes what is known of the space
		pools, err = h.pools(ctx)
	}
	return pools, volumes, err
}

func (h *host) volumes(ctx context.Context, p golibvirt.StoragePool) ([]domain.Volume, error) {
	refs, err := get(ctx, h.conn, "list the volumes of "+p.Name, func(l *golibvirt.Libvirt) ([]golibvirt.StorageVol, error) {
		vols, _, err := l.StoragePoolListAllVolumes(p, 1, 0)
		return vols, err
	})
	if domain.Is(err, domain.Conflict) || domain.Is(err, domain.NotFound) {
		return nil, nil // stopped or removed meanwhile
	}
	if err != nil {
		return nil, err
	}
	all, err := each(ctx, refs, h.describeVolume)
	// A folder inside a directory pool is listed by libvirt as a volume, but no disk can be made of it.
	return slices.DeleteFunc(all, func(v domain.Volume) bool { return v.Format == "dir" }), err
}

func (h *host) networks(ctx context.Context) ([]domain.Network, error) {
	type lists struct{ all, active, auto []golibvirt.Network }
	got, err := get(ctx, h.conn, "list its networks", func(l *golibvirt.Libvirt) (out lists, err error) {
		for _, q := range []struct {
			to   *[]golibvirt.Network
			flag golibvirt.ConnectListAllNetworksFlags
		}{{&out.all, 0}, {&out.active, golibvirt.ConnectListNetworksActive}, {&out.auto, golibvirt.ConnectListNetworksAutostart}} {
			if *q.to, _, err = l.ConnectListAllNetworks(1, q.flag); err != nil {
				return out, err
			}
		}
		return out, nil
	})
	if domain.Is(err, domain.Unsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	active, auto := map[string]bool{}, map[string]bool{}
	for _, n := range got.active {
		active[n.Name] = true
	}
	for _, n := range got.auto {
		auto[n.Name] = true
	}
	return each(ctx, got.all, func(ctx context.Context, n golibvirt.Network) (domain.Network, error) {
		out, err := h.describeNetwork(ctx, n, active[n.Name])
		out.Autostart = auto[n.Name]
		return out, err
	})
}

func (h *host) devices(ctx context.Context) ([]domain.Device, error) {
	refs, err := get(ctx, h.conn, "list its devices", func(l *golibvirt.Libvirt) ([]golibvirt.NodeDevice, error) {
		devs, _, err := l.ConnectListAllNodeDevices(1, uint32(shownDevices))
		return devs, err
	})
	if domain.Is(err, domain.Unsupported) {
		return nil, nil // the test driver lists none
	}
	if err != nil {
		return nil, err
	}
	all, err := each(ctx, refs, func(ctx context.Context, d golibvirt.NodeDevice) (domain.Device, error) {
		doc, err := get(ctx, h.conn, "describe the device "+d.Name, func(l *golibvirt.Libvirt) (string, error) { return l.NodeDeviceGetXMLDesc(d.Name, 0) })
		if err != nil {
			return domain.Device{}, err
		}
		return domxml.ParseNodeDevice(doc)
	})
	shown := all[:0]
	for _, d := range all {
		if d.Kind != "" {
			shown = append(shown, d)
		}
	}
	return shown, err
}
