package libvirt

import (
	"context"
	"path"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

const (
	volumeLimit = 10 * time.Minute
	cloneLimit  = 6 * time.Hour

	defaultPool     = "default"
	defaultPoolPath = "/var/lib/libvirt/images" // libvirt's own place
)

func (h *host) pool(ctx context.Context, name string) (golibvirt.StoragePool, error) {
	p, err := get(ctx, h.conn, "find the storage pool "+name, func(l *golibvirt.Libvirt) (golibvirt.StoragePool, error) { return l.StoragePoolLookupByName(name) })
	if domain.Is(err, domain.NotFound) {
		return p, domain.Errorf(domain.NotFound, "The host has no storage pool called %s.", name).WithCause(err)
	}
	return p, err
}

// volume finds a volume, after a look at the pool's directory when libvirt does not know it: files come and go without its knowledge.
func (h *host) volume(ctx context.Context, pool, name string) (golibvirt.StorageVol, error) {
	p, err := h.pool(ctx, pool)
	if err != nil {
		return golibvirt.StorageVol{}, err
	}
	find := func() (golibvirt.StorageVol, error) {
		return get(ctx, h.conn, "find the volume "+name, func(l *golibvirt.Libvirt) (golibvirt.StorageVol, error) { return l.StorageVolLookupByName(p, name) })
	}
	v, err := find()
	if domain.Is(err, domain.NotFound) {
		if err := h.refresh(ctx, p); err != nil {
			return v, err
		}
		v, err = find()
	}
	switch {
	case domain.Is(err, domain.NotFound):
		return v, domain.Errorf(domain.NotFound, "The pool %s has no volume called %s.", pool, name).WithCause(err)
	case domain.Is(err, domain.Conflict):
		return v, domain.Errorf(domain.Conflict, "The storage pool %s is not active.", pool).WithFix("Start the pool on the host.").WithCause(err)
	}
	return v, err
}

// refresh lets libvirt look at a pool's storage again. A pool that is being written to refuses, and then knows its volumes anyway.
func (h *host) refresh(ctx context.Context, p golibvirt.StoragePool) error {
	err := h.slow(ctx, "look into the storage pool "+p.Name, volumeLimit, func(l *golibvirt.Libvirt) error { return l.StoragePoolRefresh(p, 0) })
	if number(err) != 0 {
		return nil
	}
	return err
}

func (h *host) describeVolume(ctx context.Context, v golibvirt.StorageVol) (domain.Volume, error) {
	doc, err := get(ctx, h.conn, "describe the volume "+v.Name, func(l *golibvirt.Libvirt) (string, error) { return l.StorageVolGetXMLDesc(v, 0) })
	if err != nil {
		return domain.Volume{}, err
	}
	out, err := domxml.ParseVolume(doc)
	out.Pool = v.Pool
	return out, err
}

func (h *host) Volume(ctx context.Context, pool, name string) (domain.Volume, error) {
	v, err := h.volume(ctx, pool, name)
	if err != nil {
		return domain.Volume{}, err
	}
	return h.describeVolume(ctx, v)
}

func (h *host) VolumeByPath(ctx context.Context, file string) (domain.Volume, error) {
	find := func() (golibvirt.StorageVol, error) {
		return get(ctx, h.conn, "find "+file, func(l *golibvirt.Libvirt) (golibvirt.StorageVol, error) { return l.StorageVolLookupByPath(file) })
	}
	v, err := find()
	if domain.Is(err, domain.NotFound) {
		pools, listErr := h.pools(ctx)
		if listErr != nil {
			return domain.Volume{}, listErr
		}
		for _, p := range pools {
			if !p.Active || p.Target == "" || path.Dir(file) != path.Clean(p.Target) {
				continue
			}
			ref, poolErr := h.pool(ctx, p.Name)
			if poolErr != nil {
				return domain.Volume{}, poolErr
			}
			if refreshErr := h.refresh(ctx, ref); refreshErr != nil {
				return domain.Volume{}, refreshErr
			}
		}
		v, err = find()
	}
	if domain.Is(err, domain.NotFound) {
		return domain.Volume{}, domain.Errorf(domain.NotFound, "No active storage pool of the host has %s.", file).WithCause(err)
	}
	if err != nil {
		return domain.Volume{}, err
	}
	return h.describeVolume(ctx, v)
}

func (h *host) CreateVolume(ctx context.Context, spec hv.VolumeSpec) (domain.Volume, error) {
	if err := h.volumeFree(ctx, spec.Pool, spec.Name); err != nil {
		return domain.Volume{}, err
	}
	p, kind, err := h.poolKind(ctx, spec.Pool)
	if err != nil {
		return domain.Volume{}, err
	}
	if err := suits(kind, spec); err != nil {
		return domain.Volume{}, err
	}
	var flags golibvirt.StorageVolCreateFlags
	if spec.Full && spec.Format != "raw" && !h.isTest() {
		flags = golibvirt.StorageVolCreatePreallocMetadata // with all of its space asked for, libvirt takes that too
	}
	limit, run := volumeLimit, runner(h.slow)
	if spec.Full {
		limit, run = cloneLimit, h.hours // where space cannot be reserved it is written
	}
	return h.makeVolume(ctx, run, limit, "make the volume "+spec.Name, func(l *golibvirt.Libvirt) (golibvirt.StorageVol, error) {
		return l.StorageVolCreateXML(p, domxml.VolumeXML(spec, kind), flags)
	})
}

// runner is conn.slow or conn.hours.
type runner func(ctx context.Context, doing string, limit time.Duration, fn func(l *golibvirt.Libvirt) error) error

// untimed tells the failure of QEMU to measure its own processor, by which it chooses how long a passphrase is stretched: on a busy host the clock of its
// thread sometimes stands still meanwhile (crypto/pbkdf.c). Nothing is left of such a volume, and the next time it works.
func untimed(err error) bool {
	return err != nil && strings.Contains(err.Error(), "Unable to get accurate CPU usage")
}

// makeVolume runs a call that makes a volume and describes what came out.
func (h *host) makeVolume(ctx context.Context, run runner, limit time.Duration, doing string, fn func(l *golibvirt.Libvirt) (golibvirt.StorageVol, error)) (domain.Volume, error) {
	made := make(chan golibvirt.StorageVol, 1)
	err := run(ctx, doing, limit, func(l *golibvirt.Libvirt) error {
		v, err := fn(l)
		for n := 1; n < 5 && untimed(err); n++ {
			v, err = fn(l)
		}
		if err == nil {
			made <- v
		}
		return err
	})
	if err != nil {
		return domain.Volume{}, err
	}
	return h.describeVolume(ctx, <-made)
}

func (h *host) volumeFree(ctx context.Context, pool, name string) error {
	_, err := h.volume(ctx, pool, name)
	switch {
	case domain.Is(err, domain.NotFound):
		_, err := h.pool(ctx, pool) // the pool itself may be what is missing
		return err
	case err != nil:
		return err
	}
	return domain.Errorf(domain.Conflict, "The pool %s has a volume called %s already.", pool, name).WithFix("Choose another name, or use the volume that exists.")
}

func (h *host) CloneVolume(ctx context.Context, pool, from, to string) (domain.Volume, error) {
	v, err := h.volume(ctx, pool, from)
	if err != nil {
		return domain.Volume{}, err
	}
	src, err := h.describeVolume(ctx, v)
	if err != nil {
		return domain.Volume{}, err
	}
	if err := h.volumeFree(ctx, pool, to); err != nil {
		return domain.Volume{}, err
	}
	p, kind, err := h.poolKind(ctx, pool)
	if err != nil {
		return domain.Volume{}, err
	}
	return h.makeVolume(ctx, h.hours, cloneLimit, "copy the volume "+from, func(l *golibvirt.Libvirt) (golibvirt.StorageVol, error) {
		return l.StorageVolCreateXMLFrom(p, domxml.VolumeCopyXML(to, src, kind), v, 0)
	})
}

func (h *host) DeleteVolume(ctx context.Context, pool, name string) error {
	v, err := h.volume(ctx, pool, name)
	if domain.Is(err, domain.NotFound) {
		_, err := h.pool(ctx, pool)
		return err
	}
	if err != nil {
		return err
	}
	err = h.slow(ctx, "delete the volume "+name, volumeLimit, func(l *golibvirt.Libvirt) error { return l.StorageVolDelete(v, 0) })
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	return err
}

func (h *host) EnsureDefaultPool(ctx context.Context) (bool, error) {
	pools, err := h.pools(ctx)
	if err != nil {
		return false, err
	}
	defined := false
	for _, p := range pools {
		if p.Active {
			return false, nil
		}
		defined = defined || p.Name == defaultPool
	}
	err = h.slow(ctx, "make the default storage pool", volumeLimit, func(l *golibvirt.Libvirt) error {
		var p golibvirt.StoragePool
		var err error
		if defined {
			p, err = l.StoragePoolLookupByName(defaultPool)
		} else {
			p, err = l.StoragePoolDefineXML(domxml.PoolXML(domain.PoolSpec{Name: defaultPool, Type: "dir", Target: defaultPoolPath}), 0)
		}
		if err != nil {
			return err
		}
		if err := l.StoragePoolBuild(p, 0); err != nil && number(err) == 0 {
			return err // one that is built already refuses
		}
		if err := l.StoragePoolCreate(p, 0); err != nil {
			return err
		}
		return l.StoragePoolSetAutostart(p, 1)
	})
	return err == nil, err
}

// pools lists the pools with their sizes.
func (h *host) pools(ctx context.Context) ([]domain.Pool, error) {
	var refs []golibvirt.StoragePool
	active, auto := map[string]bool{}, map[string]bool{}
	type lists struct{ all, active, auto []golibvirt.StoragePool }
	got, err := get(ctx, h.conn, "list its storage pools", func(l *golibvirt.Libvirt) (out lists, err error) {
		for _, q := range []struct {
			to   *[]golibvirt.StoragePool
			flag golibvirt.ConnectListAllStoragePoolsFlags
		}{{&out.all, 0}, {&out.active, golibvirt.ConnectListStoragePoolsActive}, {&out.auto, golibvirt.ConnectListStoragePoolsAutostart}} {
			if *q.to, _, err = l.ConnectListAllStoragePools(1, q.flag); err != nil {
				return out, err
			}
		}
		return out, nil
	})
	if domain.Is(err, domain.Unsupported) {
		return nil, nil // a daemon without a storage driver has no pools
	}
	if err != nil {
		return nil, err
	}
	refs = got.all
	for _, p := range got.active {
		active[p.Name] = true
	}
	for _, p := range got.auto {
		auto[p.Name] = true
	}
	return each(ctx, refs, func(ctx context.Context, p golibvirt.StoragePool) (domain.Pool, error) {
		doc, err := get(ctx, h.conn, "describe the storage pool "+p.Name, func(l *golibvirt.Libvirt) (string, error) { return l.StoragePoolGetXMLDesc(p, 0) })
		if err != nil {
			return domain.Pool{}, err
		}
		out, err := domxml.ParsePool(doc)
		out.Name, out.UUID, out.Active, out.Autostart = p.Name, uuidText(p.UUID), active[p.Name], auto[p.Name]
		return out, err
	})
}

// refreshed are the kinds of pool that are looked at anew for every inventory: local ones, where that is quick.
func refreshed(kind string) bool { return strings.Contains(" dir fs logical ", " "+kind+" ") }
