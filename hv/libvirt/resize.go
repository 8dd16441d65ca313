package libvirt

import (
	"context"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

// poolKind finds a pool and says what kind it is.
func (h *host) poolKind(ctx context.Context, name string) (golibvirt.StoragePool, string, error) {
	p, err := h.pool(ctx, name)
	if err != nil {
		return p, "", err
	}
	d, err := h.describePool(ctx, p)
	return p, d.Type, err
}

// suits refuses what a kind of pool cannot hold, which some daemons would make as something else.
func suits(kind string, v hv.VolumeSpec) error {
	switch {
	case domain.FilePool(kind):
		return nil
	case v.Backing != "":
		return domain.Errorf(domain.Unsupported, "A volume of a %s pool cannot be built on another image.", kind).WithFix("Use a dir, fs or netfs pool.")
	case v.Format != "raw":
		return domain.Errorf(domain.Unsupported, "A %s pool has only raw volumes.", kind).WithFix("Choose the format raw.")
	}
	return nil
}

func (h *host) ResizeVolume(ctx context.Context, pool, name string, size int64) error {
	return h.resize(ctx, pool, name, size, 0)
}

func (h *host) ShrinkVolume(ctx context.Context, pool, name string, size int64) error {
	return h.resize(ctx, pool, name, size, golibvirt.StorageVolResizeShrink)
}

func (h *host) resize(ctx context.Context, pool, name string, size int64, flags golibvirt.StorageVolResizeFlags) error {
	v, err := h.volume(ctx, pool, name)
	if err != nil {
		return err
	}
	is, err := h.describeVolume(ctx, v)
	if err != nil {
		return err
	}
	grow := flags&golibvirt.StorageVolResizeShrink == 0
	switch {
	case is.CapacityBytes == size:
		return nil
	case grow && is.CapacityBytes > size:
		return larger("The volume "+name, is.CapacityBytes)
	case !grow && is.CapacityBytes < size:
		return domain.Errorf(domain.Conflict, "The volume %s has only %s.", name, domain.FormatBytes(is.CapacityBytes)).WithFix("Choose a size below that, or make it larger instead.")
	}
	if is.Format == "raw" && is.AllocationBytes >= is.CapacityBytes && grow {
		_, kind, err := h.poolKind(ctx, pool)
		if err != nil {
			return err
		}
		if domain.FilePool(kind) {
			flags |= golibvirt.StorageVolResizeAllocate // what has all of its space keeps having it
		}
	}
	return h.slow(ctx, "resize the volume "+name, volumeLimit, func(l *golibvirt.Libvirt) error { return l.StorageVolResize(v, uint64(max(size, 0)), flags) })
}

func larger(what string, has int64) error {
	return domain.Errorf(domain.Conflict, "%s has %s already, and would be cut off.", what, domain.FormatBytes(has)).WithFix("Choose a size above that.")
}

func (h *host) ResizeDisk(ctx context.Context, uuid, target string, size int64) error {
	n, err := h.now(ctx, uuid)
	if err != nil {
		return err
	}
	if n.off() {
		return n.conflict("given a larger disk while it runs")
	}
	doc, err := h.document(ctx, n.Domain, 0)
	if err != nil {
		return err
	}
	if _, err := domxml.FindDisk(doc, target); err != nil {
		return err
	}
	if h.isTest() {
		return domain.Errorf(domain.Unsupported, "libvirt's test driver cannot resize a disk.")
	}
	capacity, err := get(ctx, h.conn, "tell the size of "+target, func(l *golibvirt.Libvirt) (uint64, error) {
		_, capacity, _, err := l.DomainGetBlockInfo(n.Domain, target, 0)
		return capacity, err
	})
	if err != nil {
		return err
	}
	want := uint64(max(size, 0))
	switch {
	case capacity == want:
		return nil
	case capacity > want:
		return larger("The disk "+target, signed(capacity))
	}
	return h.slow(ctx, "resize the disk "+target, volumeLimit, func(l *golibvirt.Libvirt) error {
		return l.DomainBlockResize(n.Domain, target, want, golibvirt.DomainBlockResizeBytes)
	})
}
