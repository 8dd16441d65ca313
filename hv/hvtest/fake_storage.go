package hvtest

import (
	"bytes"
	"cmp"
	"context"

	"novacron/domain"
	"novacron/hv"
)

func (m *machine) pool(name string) (domain.Pool, error) {
	p, ok := m.pools[name]
	switch {
	case !ok:
		return p, domain.Errorf(domain.NotFound, "The host has no storage pool %s.", name).WithFix("Choose another pool.")
	case !p.Active:
		return p, domain.Errorf(domain.Conflict, "The storage pool %s is not active.", name).WithFix("Start the pool on the host.")
	}
	return p, nil
}

func (m *machine) volume(pool, name string) (domain.Volume, error) {
	if _, err := m.pool(pool); err != nil {
		return domain.Volume{}, err
	}
	v, ok := m.volumes[pool+"/"+name]
	if !ok {
		return v, domain.Errorf(domain.NotFound, "The pool %s has no volume %s.", pool, name).WithFix("Look at the pool's volumes again.")
	}
	return v, nil
}

func (m *machine) newVolume(p domain.Pool, v domain.Volume) (domain.Volume, error) {
	if _, taken := m.volumes[p.Name+"/"+v.Name]; taken {
		return domain.Volume{}, domain.Errorf(domain.Conflict, "The pool %s has a volume %s already.", p.Name, v.Name).WithFix("Choose another name, or remove the volume.")
	}
	v.Pool, v.Path = p.Name, p.Target+"/"+v.Name
	delete(m.files, p.Name+"/"+v.Name)
	delete(m.data, v.Path)
	delete(m.inside, v.Path)
	m.volumes[p.Name+"/"+v.Name] = v
	return v, nil
}

// CreateVolume implements hv.Storage.
func (c *conn) CreateVolume(ctx context.Context, v hv.VolumeSpec) (domain.Volume, error) {
	return do(ctx, c, "CreateVolume", func(m *machine) (domain.Volume, error) {
		p, err := m.pool(v.Pool)
		if err != nil {
			return domain.Volume{}, err
		}
		out := domain.Volume{Name: v.Name, Format: cmp.Or(v.Format, "qcow2"), CapacityBytes: v.SizeBytes, Backing: v.Backing, Encrypted: v.SecretUUID != ""}
		if v.Backing != "" {
			below, err := m.byPath(v.Backing)
			if err != nil {
				return domain.Volume{}, err
			}
			out.CapacityBytes, out.BackingFormat = cmp.Or(out.CapacityBytes, below.CapacityBytes), cmp.Or(v.BackingFormat, "raw")
		}
		if v.Full {
			out.AllocationBytes = out.CapacityBytes
		}
		return m.newVolume(p, out)
	})
}

// CloneVolume implements hv.Storage.
func (c *conn) CloneVolume(ctx context.Context, pool, from, to string) (domain.Volume, error) {
	return do(ctx, c, "CloneVolume", func(m *machine) (domain.Volume, error) {
		p, err := m.pool(pool)
		if err != nil {
			return domain.Volume{}, err
		}
		src, err := m.volume(pool, from)
		if err != nil {
			return domain.Volume{}, err
		}
		text := m.content(src.Path)
		src.Name, src.Backing = to, ""
		out, err := m.newVolume(p, src)
		if err == nil && text != "" {
			m.data[out.Path] = text
		}
		if b, ok := m.files[pool+"/"+from]; ok && err == nil {
			m.files[pool+"/"+to] = bytes.Clone(b)
		}
		return out, err
	})
}

// Volume implements hv.Storage.
func (c *conn) Volume(ctx context.Context, pool, name string) (domain.Volume, error) {
	return do(ctx, c, "Volume", func(m *machine) (domain.Volume, error) { return m.volume(pool, name) })
}

// VolumeByPath implements hv.Storage.
func (c *conn) VolumeByPath(ctx context.Context, path string) (domain.Volume, error) {
	return do(ctx, c, "VolumeByPath", func(m *machine) (domain.Volume, error) { return m.byPath(path) })
}

func (m *machine) byPath(path string) (domain.Volume, error) {
	for _, v := range m.volumes {
		if v.Path == path && m.pools[v.Pool].Active {
			return v, nil
		}
	}
	return domain.Volume{}, domain.Errorf(domain.NotFound, "No active pool has the file %s.", path).WithFix("Refresh the pool on the host, or make one of its folder.")
}

// DeleteVolume implements hv.Storage.
func (c *conn) DeleteVolume(ctx context.Context, pool, name string) error {
	return act(ctx, c, "DeleteVolume", func(m *machine) error {
		if _, err := m.pool(pool); err != nil {
			return err
		}
		delete(m.data, m.volumes[pool+"/"+name].Path)
		delete(m.volumes, pool+"/"+name)
		return nil
	})
}

// EnsureDefaultPool implements hv.Storage.
func (c *conn) EnsureDefaultPool(ctx context.Context) (bool, error) {
	return do(ctx, c, "EnsureDefaultPool", func(m *machine) (bool, error) {
		for _, p := range m.pools {
			if p.Active {
				return false, nil
			}
		}
		p, there := m.pools["default"]
		if !there {
			p = defaultPool()
		}
		p.Active, p.Autostart = true, true
		m.pools["default"] = p
		return true, nil
	})
}

// Inventory implements hv.Inventory.
func (c *conn) Inventory(ctx context.Context) (domain.Inventory, error) {
	return do(ctx, c, "Inventory", func(m *machine) (domain.Inventory, error) {
		inv := domain.Inventory{Pools: sorted(m.pools), Networks: sorted(m.nets), Devices: sorted(m.devices)}
		for _, v := range sorted(m.volumes) {
			if m.pools[v.Pool].Active {
				inv.Volumes = append(inv.Volumes, v)
			}
		}
		return inv, nil
	})
}
