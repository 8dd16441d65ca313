package hvtest

import (
	"context"
	"slices"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// ResizeVolume implements hv.Storage.
func (c *conn) ResizeVolume(ctx context.Context, pool, name string, size int64) error {
	return act(ctx, c, "ResizeVolume", func(m *machine) error {
		v, err := m.volume(pool, name)
		if err != nil {
			return err
		}
		if v.CapacityBytes > size {
			return domain.Errorf(domain.Conflict, "The volume %s is larger and would be cut off.", name).WithFix("Choose a larger size.")
		}
		return m.setSize(v, size)
	})
}

// ShrinkVolume implements hv.Storage.
func (c *conn) ShrinkVolume(ctx context.Context, pool, name string, size int64) error {
	return act(ctx, c, "ShrinkVolume", func(m *machine) error {
		v, err := m.volume(pool, name)
		if err != nil {
			return err
		}
		if v.CapacityBytes < size {
			return domain.Errorf(domain.Conflict, "The volume %s is smaller.", name).WithFix("Choose a smaller size.")
		}
		return m.setSize(v, size)
	})
}

func (m *machine) setSize(v domain.Volume, size int64) error {
	v.CapacityBytes = size
	m.volumes[v.Pool+"/"+v.Name] = v
	return nil
}

// ResizeDisk implements hv.DiskResizer.
func (c *conn) ResizeDisk(ctx context.Context, uuid, target string, size int64) error {
	return act(ctx, c, "ResizeDisk", func(m *machine) error {
		g, err := m.find(uuid)
		if err != nil {
			return err
		}
		if !g.up() {
			return domain.Errorf(domain.Conflict, "%s does not run.", g.name).WithFix("Resize the volume instead.")
		}
		disks := g.report().Live.Disks
		i := slices.IndexFunc(disks, func(d domain.Disk) bool { return d.Target == target })
		if i < 0 {
			return domain.Errorf(domain.NotFound, "The VM has no disk %s.", target).WithFix("Look at its disks again.")
		}
		for _, v := range m.volumes {
			if v.Path != disks[i].Source {
				continue
			}
			if v.CapacityBytes > size {
				return domain.Errorf(domain.Conflict, "The disk %s is larger and would be cut off.", target).WithFix("Choose a larger size.")
			}
			return m.setSize(v, size)
		}
		return nil
	})
}

// definedPool finds a pool, active or not.
func (m *machine) definedPool(name string) (domain.Pool, error) {
	p, ok := m.pools[name]
	if !ok {
		return p, domain.Errorf(domain.NotFound, "The host has no storage pool %s.", name).WithFix("Choose another pool.")
	}
	return p, nil
}

// Pool implements hv.PoolAdmin.
func (c *conn) Pool(ctx context.Context, name string) (domain.Pool, error) {
	return do(ctx, c, "Pool", func(m *machine) (domain.Pool, error) { return m.definedPool(name) })
}

// DefinePool implements hv.PoolAdmin.
func (c *conn) DefinePool(ctx context.Context, s domain.PoolSpec) error {
	return act(ctx, c, "DefinePool", func(m *machine) error {
		if len(m.facts.PoolTypes) > 0 && !slices.Contains(m.facts.PoolTypes, s.Type) {
			return domain.Errorf(domain.Unsupported, "This host has no driver for %s pools.", s.Type).WithFix("Choose another kind.")
		}
		if p, ok := m.pools[s.Name]; ok {
			if p.UUID == s.UUID {
				return nil
			}
			return domain.Errorf(domain.Conflict, "The host has a storage pool called %s already.", s.Name).WithFix("Choose another name.")
		}
		for _, p := range m.pools {
			if s.Target != "" && p.Target == s.Target && domain.FilePool(s.Type) {
				return domain.Errorf(domain.Conflict, "The pool %s has %s already.", p.Name, s.Target).WithFix("Choose another folder.")
			}
		}
		m.pools[s.Name] = domain.Pool{UUID: s.UUID, Name: s.Name, Type: s.Type, Target: s.Target, Source: s.Source, Identity: s.Identity()}
		return nil
	})
}

// BuildPool implements hv.PoolAdmin: what is built holds 100 GiB, once.
func (c *conn) BuildPool(ctx context.Context, name string) error {
	return act(ctx, c, "BuildPool", func(m *machine) error {
		p, err := m.definedPool(name)
		if err != nil {
			return err
		}
		if m.built[p.UUID] {
			return domain.Errorf(domain.Conflict, "There is data on the devices of %s.", name).WithFix("Wipe them on the host.")
		}
		m.built[p.UUID] = true
		return nil
	})
}

// setPool changes a defined pool.
func (c *conn) setPool(ctx context.Context, op, name string, change func(m *machine, p *domain.Pool) error) error {
	return act(ctx, c, op, func(m *machine) error {
		p, err := m.definedPool(name)
		if err != nil {
			return err
		}
		if err := change(m, &p); err != nil {
			return err
		}
		m.pools[name] = p
		return nil
	})
}

// StartPool implements hv.PoolAdmin.
func (c *conn) StartPool(ctx context.Context, name string) error {
	return c.setPool(ctx, "StartPool", name, func(m *machine, p *domain.Pool) error {
		p.Active = true
		if p.CapacityBytes == 0 {
			p.CapacityBytes, p.AvailableBytes = 100*domain.GiB, 100*domain.GiB
		}
		return nil
	})
}

// StopPool implements hv.PoolAdmin.
func (c *conn) StopPool(ctx context.Context, name string) error {
	err := c.setPool(ctx, "StopPool", name, func(m *machine, p *domain.Pool) error {
		p.Active = false
		return nil
	})
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	return err
}

// RefreshPool implements hv.PoolAdmin.
func (c *conn) RefreshPool(ctx context.Context, name string) error {
	return act(ctx, c, "RefreshPool", func(m *machine) error {
		_, err := m.pool(name)
		return err
	})
}

// SetPoolAutostart implements hv.PoolAdmin.
func (c *conn) SetPoolAutostart(ctx context.Context, name string, on bool) error {
	return c.setPool(ctx, "SetPoolAutostart", name, func(m *machine, p *domain.Pool) error {
		p.Autostart = on
		return nil
	})
}

// PoolDocument implements hv.PoolAdmin.
func (c *conn) PoolDocument(ctx context.Context, name string) (string, error) {
	return do(ctx, c, "PoolDocument", func(m *machine) (string, error) {
		p, err := m.definedPool(name)
		return domxml.PoolXML(domain.PoolSpec{Name: p.Name, Type: p.Type, UUID: p.UUID, Target: p.Target, Source: p.Source}), err
	})
}

// DefinePoolDocument implements hv.PoolAdmin.
func (c *conn) DefinePoolDocument(ctx context.Context, doc string) error {
	return act(ctx, c, "DefinePoolDocument", func(m *machine) error {
		p, err := domxml.ParsePool(doc)
		if err != nil {
			return err
		}
		if old, ok := m.pools[p.Name]; ok {
			p.Active, p.Autostart = old.Active, old.Autostart
		}
		m.pools[p.Name] = p
		return nil
	})
}

// UndefinePool implements hv.PoolAdmin. The volumes stay, unseen.
func (c *conn) UndefinePool(ctx context.Context, name string) error {
	return act(ctx, c, "UndefinePool", func(m *machine) error {
		p, ok := m.pools[name]
		if !ok {
			return nil
		}
		if p.Active {
			return domain.Errorf(domain.Conflict, "The pool %s is active.", name).WithFix("Stop it first.")
		}
		delete(m.pools, name)
		return nil
	})
}

// ClearPool implements hv.PoolAdmin.
func (c *conn) ClearPool(ctx context.Context, name string) (bool, error) {
	return do(ctx, c, "ClearPool", func(m *machine) (bool, error) {
		p, ok := m.pools[name]
		switch {
		case !ok:
			return false, nil
		case p.Active:
			return false, domain.Errorf(domain.Conflict, "The pool %s is active.", name).WithFix("Stop it first.")
		}
		for _, v := range m.volumes {
			if v.Pool == name {
				return false, nil
			}
		}
		delete(m.built, p.UUID)
		return true, nil
	})
}

// AllPools looks at the host without going through faults, in the order of names.
func (f *Fake) AllPools() []domain.Pool {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return sorted(f.m.pools)
}
