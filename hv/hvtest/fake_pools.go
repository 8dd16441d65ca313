package hvtest

import (
	"context"
	"slices"

	"novacron/domain"
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
