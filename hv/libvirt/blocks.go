package libvirt

import (
	"context"
	"slices"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

// pivotLimit bounds the end of a block job: QEMU lets what is under way finish first.
const pivotLimit = 5 * time.Minute

// withDisk looks at a disk of a running guest, and keeps others from editing the guest meanwhile.
func (h *host) withDisk(ctx context.Context, uuid, target, doing string, fn func(d golibvirt.Domain, b hv.BlockJob) error) error {
	if h.isTest() {
		return domain.Errorf(domain.Unsupported, "libvirt's test driver has no images below its disks.")
	}
	unlock, err := h.edits.lock(ctx, uuid, doing)
	if err != nil {
		return err
	}
	defer unlock()
	n, b, err := h.blockJob(ctx, uuid, target)
	if err != nil {
		return err
	}
	return fn(n.Domain, b)
}

func (h *host) blockJob(ctx context.Context, uuid, target string) (now, hv.BlockJob, error) {
	n, err := h.now(ctx, uuid)
	if err != nil {
		return n, hv.BlockJob{}, err
	}
	if n.off() {
		return n, hv.BlockJob{}, domain.Errorf(domain.Conflict, "%s does not run, so nothing can be done to the images below its disks this way.", n.Name)
	}
	doc, err := h.document(ctx, n.Domain, 0)
	if err != nil {
		return n, hv.BlockJob{}, err
	}
	chain, mirror, err := domxml.DiskChain(doc, target)
	if err != nil {
		return n, hv.BlockJob{}, err
	}
	b := hv.BlockJob{Chain: chain, Dest: mirror.Dest}
	type info struct {
		found, kind int32
		done, total uint64
	}
	got, err := get(ctx, h.conn, "say how far the work on "+target+" is", func(l *golibvirt.Libvirt) (i info, err error) {
		i.found, i.kind, _, i.done, i.total, err = l.DomainGetBlockJobInfo(n.Domain, target, uint32(golibvirt.DomainBlockJobInfoBandwidthBytes))
		return i, err
	})
	if err != nil || got.found == 0 {
		return n, b, err
	}
	b.Done, b.Total = signed(got.done), signed(got.total)
	switch golibvirt.DomainBlockJobType(got.kind) {
	case golibvirt.DomainBlockJobTypePull:
		b.Kind = hv.BlockPull
	case golibvirt.DomainBlockJobTypeCopy:
		b.Kind = hv.BlockCopy
	case golibvirt.DomainBlockJobTypeCommit:
		b.Kind = hv.BlockCommit
	case golibvirt.DomainBlockJobTypeActiveCommit:
		b.Kind = hv.BlockActiveCommit
	default:
		b.Kind = "other"
	}
	b.Ready = mirror.Ready // what the job says of itself is the same before it has begun
	return n, b, nil
}

func (h *host) BlockJob(ctx context.Context, uuid, target string) (hv.BlockJob, error) {
	if h.isTest() {
		return hv.BlockJob{}, domain.Errorf(domain.Unsupported, "libvirt's test driver has no images below its disks.")
	}
	_, b, err := h.blockJob(ctx, uuid, target)
	return b, err
}

func busyDisk(target string, b hv.BlockJob) error {
	return domain.Errorf(domain.Conflict, "The images below the disk %s are being worked on already (%s).", target, b.Kind).WithFix("Wait until that has ended, or end it.")
}

func (h *host) CopyDisk(ctx context.Context, uuid, target string, to domain.Volume, bandwidth int64) error {
	return h.withDisk(ctx, uuid, target, "copy a disk", func(d golibvirt.Domain, b hv.BlockJob) error {
		switch {
		case b.Kind == hv.BlockCopy && b.Dest == to.Path:
			return nil
		case b.Kind != "":
			return busyDisk(target, b)
		}
		doc, err := h.document(ctx, d, 0)
		if err != nil {
			return err
		}
		spec, err := domxml.Parse(doc)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(spec.Disks, func(x domain.Disk) bool { return x.Target == target })
		secret := ""
		if to.Encrypted && i >= 0 {
			secret = spec.Disks[i].Secret
		}
		var params []golibvirt.TypedParam
		if bandwidth > 0 {
			params = append(params, golibvirt.TypedParam{Field: "bandwidth", Value: *golibvirt.NewTypedParamValueUllong(uint64(max(bandwidth, 0)))})
		}
		return h.slow(ctx, "copy the disk "+target, volumeLimit, func(l *golibvirt.Libvirt) error {
			return l.DomainBlockCopy(d, target, domxml.CopyTargetXML(to, secret), params, golibvirt.DomainBlockCopyReuseExt|golibvirt.DomainBlockCopyTransientJob)
		})
	})
}

func (h *host) PullDisk(ctx context.Context, uuid, target, base string, bandwidth int64) error {
	return h.withDisk(ctx, uuid, target, "flatten a disk", func(d golibvirt.Domain, b hv.BlockJob) error {
		switch {
		case b.Kind == hv.BlockPull:
			return nil
		case b.Kind != "":
			return busyDisk(target, b)
		case base == "" && len(b.Chain) < 2, len(b.Chain) > 1 && base == b.Chain[1]:
			return nil // there is nothing between
		}
		return h.slow(ctx, "flatten the disk "+target, volumeLimit, func(l *golibvirt.Libvirt) error {
			if base == "" {
				return l.DomainBlockPull(d, target, uint64(max(bandwidth, 0)), golibvirt.DomainBlockPullBandwidthBytes)
			}
			return l.DomainBlockRebase(d, target, golibvirt.OptString{base}, uint64(max(bandwidth, 0)), golibvirt.DomainBlockRebaseBandwidthBytes)
		})
	})
}

func (h *host) CommitDisk(ctx context.Context, uuid, target, base, top string, bandwidth int64) error {
	return h.withDisk(ctx, uuid, target, "commit a disk", func(d golibvirt.Domain, b hv.BlockJob) error {
		switch {
		case b.Kind == hv.BlockActiveCommit && top == "" && b.Dest == base, b.Kind == hv.BlockCommit && top != "":
			return nil
		case b.Kind != "":
			return busyDisk(target, b)
		case !slices.Contains(b.Chain, base) || top != "" && !slices.Contains(b.Chain, top):
			return domain.Errorf(domain.Conflict, "The disk %s does not stand on %s any more.", target, base).WithFix("Look at the chain again.")
		}
		flags := golibvirt.DomainBlockCommitBandwidthBytes
		from := golibvirt.OptString{}
		if top == "" {
			flags |= golibvirt.DomainBlockCommitActive
		} else {
			from = golibvirt.OptString{top}
		}
		return h.slow(ctx, "commit the disk "+target, volumeLimit, func(l *golibvirt.Libvirt) error {
			return l.DomainBlockCommit(d, target, golibvirt.OptString{base}, from, uint64(max(bandwidth, 0)), flags)
		})
	})
}

func (h *host) PivotDisk(ctx context.Context, uuid, target string) error {
	return h.withDisk(ctx, uuid, target, "turn to a copy", func(d golibvirt.Domain, b hv.BlockJob) error {
		if b.Kind != hv.BlockCopy && b.Kind != hv.BlockActiveCommit || !b.Ready {
			return domain.Errorf(domain.Conflict, "There is no finished copy that the disk %s could turn to.", target)
		}
		return h.slow(ctx, "turn the disk "+target+" to its copy", pivotLimit, func(l *golibvirt.Libvirt) error {
			return l.DomainBlockJobAbort(d, target, golibvirt.DomainBlockJobAbortPivot)
		})
	})
}

func (h *host) AbortBlockJob(ctx context.Context, uuid, target string) error {
	return h.withDisk(ctx, uuid, target, "end the work on a disk", func(d golibvirt.Domain, b hv.BlockJob) error {
		if b.Kind == "" {
			return nil
		}
		return h.slow(ctx, "end the work on the disk "+target, pivotLimit, func(l *golibvirt.Libvirt) error { return l.DomainBlockJobAbort(d, target, 0) })
	})
}

func (h *host) CopyVolume(ctx context.Context, pool, from string, to hv.VolumeSpec) (domain.Volume, error) {
	v, err := h.volume(ctx, pool, from)
	if err != nil {
		return domain.Volume{}, err
	}
	p, kind, err := h.poolKind(ctx, to.Pool)
	if err != nil {
		return domain.Volume{}, err
	}
	if err := suits(kind, to); err != nil {
		return domain.Volume{}, err
	}
	if err := h.volumeFree(ctx, to.Pool, to.Name); err != nil {
		return domain.Volume{}, err
	}
	return h.makeVolume(ctx, h.hours, cloneLimit, "copy the volume "+from, func(l *golibvirt.Libvirt) (golibvirt.StorageVol, error) {
		return l.StorageVolCreateXMLFrom(p, domxml.VolumeXML(to, kind), v, 0)
	})
}

func (h *host) SetSecret(ctx context.Context, uuid, description string, value []byte) error {
	if h.isTest() {
		return noSecrets()
	}
	return h.do(ctx, "keep a secret", func(l *golibvirt.Libvirt) error {
		s, err := l.SecretDefineXML(domxml.SecretXML(uuid, description), 0)
		if err != nil {
			return err
		}
		return l.SecretSetValue(s, value, 0)
	})
}

func noSecrets() error {
	return domain.Errorf(domain.Unsupported, "libvirt's test driver keeps no secrets.")
}

func (h *host) RemoveSecret(ctx context.Context, uuid string) error {
	return h.withSecret(ctx, uuid, func(l *golibvirt.Libvirt, s golibvirt.Secret) error { return l.SecretUndefine(s) })
}

func (h *host) HasSecret(ctx context.Context, uuid string) (bool, error) {
	found := make(chan struct{}, 1)
	err := h.withSecret(ctx, uuid, func(*golibvirt.Libvirt, golibvirt.Secret) error {
		found <- struct{}{}
		return nil
	})
	return err == nil && len(found) == 1, err
}

// withSecret calls fn when the host has the secret.
func (h *host) withSecret(ctx context.Context, uuid string, fn func(l *golibvirt.Libvirt, s golibvirt.Secret) error) error {
	if h.isTest() {
		return noSecrets()
	}
	u, err := parseUUID(uuid)
	if err != nil {
		return err
	}
	return h.do(ctx, "look for a secret", func(l *golibvirt.Libvirt) error {
		s, err := l.SecretLookupByUUID(u)
		if number(err) == golibvirt.ErrNoSecret {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(l, s)
	})
}
