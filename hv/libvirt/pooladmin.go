package libvirt

import (
	"context"
	"slices"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// poolTypes asks which kinds of pool the host can have; empty when it does not say.
func (h *host) poolTypes(ctx context.Context) ([]string, error) {
	doc, err := get(ctx, h.conn, "say which storage it supports", func(l *golibvirt.Libvirt) (string, error) { return l.ConnectGetStoragePoolCapabilities(0) })
	if domain.Is(err, domain.Unsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return domxml.ParsePoolTypes(doc)
}

func (h *host) Pool(ctx context.Context, name string) (domain.Pool, error) {
	p, err := h.pool(ctx, name)
	if err != nil {
		return domain.Pool{}, err
	}
	return h.describePool(ctx, p)
}

func (h *host) describePool(ctx context.Context, p golibvirt.StoragePool) (domain.Pool, error) {
	type answer struct {
		doc          string
		active, auto int32
	}
	got, err := get(ctx, h.conn, "describe the storage pool "+p.Name, func(l *golibvirt.Libvirt) (a answer, err error) {
		if a.doc, err = l.StoragePoolGetXMLDesc(p, 0); err != nil {
			return a, err
		}
		if a.active, err = l.StoragePoolIsActive(p); err != nil {
			return a, err
		}
		a.auto, err = l.StoragePoolGetAutostart(p)
		return a, err
	})
	if err != nil {
		return domain.Pool{}, err
	}
	out, err := domxml.ParsePool(got.doc)
	out.Name, out.UUID, out.Active, out.Autostart = p.Name, uuidText(p.UUID), got.active == 1, got.auto == 1
	return out, err
}

func (h *host) DefinePool(ctx context.Context, s domain.PoolSpec) error {
	types, err := h.poolTypes(ctx)
	if err != nil {
		return err
	}
	if len(types) > 0 && !slices.Contains(types, s.Type) {
		return domain.Errorf(domain.Unsupported, "This host's libvirt has no driver for %s pools.", s.Type).
			WithFix("Install the package of libvirt's storage driver for it on the host, or choose one of: %s.", strings.Join(types, ", "))
	}
	p, err := h.pool(ctx, s.Name)
	switch {
	case domain.Is(err, domain.NotFound):
		doc := domxml.PoolXML(s)
		p, err = get(ctx, h.conn, "define the storage pool "+s.Name, func(l *golibvirt.Libvirt) (golibvirt.StoragePool, error) { return l.StoragePoolDefineXML(doc, 0) })
		if err != nil {
			return err
		}
	case err != nil:
		return err
	case uuidText(p.UUID) != s.UUID:
		return domain.Errorf(domain.Conflict, "The host has a storage pool called %s already.", s.Name).WithFix("Choose another name.")
	}
	if !domain.FilePool(s.Type) {
		return nil
	}
	err = h.slow(ctx, "make the folder "+s.Target, volumeLimit, func(l *golibvirt.Libvirt) error { return l.StoragePoolBuild(p, 0) })
	if err == nil || number(err) == golibvirt.ErrOperationInvalid { // one that is active is built
		return nil
	}
	return err
}

func (h *host) BuildPool(ctx context.Context, name string) error {
	p, kind, err := h.poolKind(ctx, name)
	if err != nil {
		return err
	}
	flags := golibvirt.StoragePoolBuildNoOverwrite
	if kind == "zfs" || kind == "dir" || kind == "netfs" {
		flags = golibvirt.StoragePoolBuildNew // zpool itself refuses devices that are in use; the others write nothing
	}
	return h.slow(ctx, "write the storage of "+name, volumeLimit, func(l *golibvirt.Libvirt) error { return l.StoragePoolBuild(p, flags) })
}

// steer runs a call that brings a pool into a state, and does not mind when it is there already.
func (h *host) steer(ctx context.Context, name, doing string, wantActive bool, fn func(l *golibvirt.Libvirt, p golibvirt.StoragePool) error) error {
	p, err := h.pool(ctx, name)
	if err != nil {
		return err
	}
	is := func() (bool, error) {
		n, err := get(ctx, h.conn, "tell whether "+name+" is active", func(l *golibvirt.Libvirt) (int32, error) { return l.StoragePoolIsActive(p) })
		return n == 1, err
	}
	if active, err := is(); err != nil || active == wantActive {
		return err
	}
	err = h.slow(ctx, doing+" the storage pool "+name, volumeLimit, func(l *golibvirt.Libvirt) error { return fn(l, p) })
	if domain.Is(err, domain.Conflict) {
		if active, aerr := is(); aerr == nil && active == wantActive {
			return nil // somebody else was quicker
		}
	}
	return err
}

func (h *host) StartPool(ctx context.Context, name string) error {
	return h.steer(ctx, name, "start", true, func(l *golibvirt.Libvirt, p golibvirt.StoragePool) error { return l.StoragePoolCreate(p, 0) })
}

func (h *host) StopPool(ctx context.Context, name string) error {
	err := h.steer(ctx, name, "stop", false, func(l *golibvirt.Libvirt, p golibvirt.StoragePool) error { return l.StoragePoolDestroy(p) })
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	return err
}

func (h *host) RefreshPool(ctx context.Context, name string) error {
	p, err := h.pool(ctx, name)
	if err != nil {
		return err
	}
	return h.slow(ctx, "look into the storage pool "+name, volumeLimit, func(l *golibvirt.Libvirt) error { return l.StoragePoolRefresh(p, 0) })
}

func (h *host) SetPoolAutostart(ctx context.Context, name string, on bool) error {
	p, err := h.pool(ctx, name)
	if err != nil {
		return err
	}
	auto := int32(0)
	if on {
		auto = 1
	}
	return h.do(ctx, "set the autostart of the storage pool "+name, func(l *golibvirt.Libvirt) error { return l.StoragePoolSetAutostart(p, auto) })
}

func (h *host) PoolDocument(ctx context.Context, name string) (string, error) {
	p, err := h.pool(ctx, name)
	if err != nil {
		return "", err
	}
	doc, err := get(ctx, h.conn, "describe the storage pool "+name, func(l *golibvirt.Libvirt) (string, error) {
		return l.StoragePoolGetXMLDesc(p, golibvirt.StorageXMLInactive)
	})
	if domain.Is(err, domain.Invalid) { // the test driver knows no such flag
		return get(ctx, h.conn, "describe the storage pool "+name, func(l *golibvirt.Libvirt) (string, error) { return l.StoragePoolGetXMLDesc(p, 0) })
	}
	return doc, err
}

func (h *host) DefinePoolDocument(ctx context.Context, doc string) error {
	return h.do(ctx, "define the storage pool", func(l *golibvirt.Libvirt) error {
		_, err := l.StoragePoolDefineXML(doc, 0)
		return err
	})
}

func (h *host) UndefinePool(ctx context.Context, name string) error {
	p, err := h.pool(ctx, name)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	err = h.do(ctx, "remove the storage pool "+name, func(l *golibvirt.Libvirt) error { return l.StoragePoolUndefine(p) })
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	return err
}

func (h *host) ClearPool(ctx context.Context, name string) (bool, error) {
	p, err := h.pool(ctx, name)
	if domain.Is(err, domain.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = h.slow(ctx, "remove what the storage pool "+name+" is made of", volumeLimit, func(l *golibvirt.Libvirt) error { return l.StoragePoolDelete(p, 0) })
	switch {
	case err == nil:
		return true, nil
	case domain.Is(err, domain.Unavailable) || number(err) == golibvirt.ErrOperationInvalid: // not answered, or active
		return false, err
	}
	return false, nil // not of a kind that can be removed, or something of somebody else is in it
}
