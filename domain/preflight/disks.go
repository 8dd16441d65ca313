package preflight

import (
	"fmt"
	"path"
	"slices"

	"novacron/domain"
)

// disks settles each disk: it stays where both hosts see it, or it is copied.
func (l *look) disks() {
	wanted := map[string]int64{} // bytes to be written, by pool of the target
	for _, d := range l.spec.Disks {
		if d.Source == "" && d.Volume == "" {
			continue // an empty drive
		}
		l.disk(d)
	}
	l.builtOn()
	for _, d := range l.plan.Disks {
		if !d.Stays {
			wanted[d.ToPool] += d.Bytes
		}
	}
	for _, p := range l.To.Pools {
		if need := wanted[p.Name]; need > p.AvailableBytes {
			l.fail("space", "Choose another pool, or free some space.", "The pool %s of %s has %s free; the disks take %s.", p.Name, l.To.Host.Name, domain.FormatBytes(p.AvailableBytes), domain.FormatBytes(need))
		}
	}
}

func (l *look) disk(d domain.Disk) {
	v, known := l.volume(d)
	out := Disk{Target: d.Target, Source: d.Source, Pool: v.Pool, Volume: v.Name, Format: d.Format, Bytes: v.AllocationBytes, Capacity: v.CapacityBytes}
	if out.Source == "" {
		out.Source = v.Path
	}
	wish := l.Disks[d.Target]
	there, inPlace := l.shared(v)
	switch {
	case known && inPlace && (wish == "" || wish == Shared || wish == there):
		out.Stays = true
		l.pass("disks", "%s is on storage that both hosts see (%s).", d.Target, there)
	case wish == Shared:
		if !slices.ContainsFunc(l.Volumes, func(x domain.Volume) bool {
			return x.HostID == l.To.Host.ID && x.Path == out.Source && (v.CapacityBytes == 0 || x.CapacityBytes == v.CapacityBytes)
		}) {
			l.fail("disks", "Mount the same storage there, or choose a pool to copy it to.", "%s is said to be shared, but %s does not have %s.", d.Target, l.To.Host.Name, out.Source)
			return
		}
		out.Stays, out.Asserted, l.plan.Unsafe = true, true, true
		l.warn("disks", "Use a network file system pool, so that it can be told.", "%s is taken for shared because you say so: %s has a file of the same path and size.", d.Target, l.To.Host.Name)
	case d.Device == "cdrom":
		l.cdrom(d, out)
		return
	case !known:
		l.fail("disks", "Put it into a storage pool.", "%s (%s) is in no storage pool of %s, so it cannot be copied.", d.Target, out.Source, l.From.Host.Name)
		return
	case l.Policy.OnlyShared:
		l.fail("disks", "Choose a host that sees its storage, or let the policy copy disks.", "%s would have to be copied, and the policy that holds lets the VM move only on storage that both hosts see.", d.Target)
		return
	case v.Encrypted:
		l.fail("disks", "Move it to shared storage first.", "%s is encrypted; %s does not have its key.", d.Target, l.To.Host.Name)
		return
	default:
		pool, why := l.pool(wish, v)
		if why != "" {
			l.fail("disks", "Choose a pool of the target for it.", "%s", why)
			return
		}
		name := v.Name
		for i := 2; slices.ContainsFunc(l.Volumes, func(x domain.Volume) bool { return x.HostID == l.To.Host.ID && x.Pool == pool.Name && x.Name == name }); i++ {
			name = fmt.Sprintf("%s-moved%d%s", v.Name[:len(v.Name)-len(path.Ext(v.Name))], i, path.Ext(v.Name))
		}
		out.ToPool, out.ToVolume = pool.Name, name
	}
	l.plan.Disks = append(l.plan.Disks, out)
}

// builtOn settles what becomes of the images that copied disks are built on. QEMU's mirror copies either the top of every disk or all of every disk, so
// while the VM runs all of those images have to be there already. A stopped VM's disk is copied as the file it is, and names its image by path.
func (l *look) builtOn() {
	live, all := l.plan.Mode == domain.MigrateLive, true
	for i := range l.plan.Disks {
		d := &l.plan.Disks[i]
		top, known := l.at(l.From.Host.ID, d.Source)
		if d.Stays || !known || top.Backing == "" {
			continue
		}
		if base, version, ok := l.twin(top.Backing); ok && (live && d.Format == "qcow2" || base.Path == top.Backing) {
			d.Base, d.BaseFormat, d.BaseVersion = base.Path, base.Format, version
		} else {
			all = false
		}
	}
	for i := range l.plan.Disks {
		d := &l.plan.Disks[i]
		if d.Stays {
			continue
		}
		top, _ := l.at(l.From.Host.ID, d.Source)
		if live && !all {
			d.Base, d.BaseFormat, d.BaseVersion = "", "", ""
		}
		if d.Base == "" && live {
			d.Bytes += l.below(top)
		}
		switch size := domain.FormatBytes(d.Bytes); {
		case d.Base != "":
			l.pass("disks", "%s is built on an image that %s has too (%s): only what differs from it (%s) is copied, into the pool %s.", d.Target, l.To.Host.Name, d.Base, size, d.ToPool)
		case top.Backing == "":
			l.pass("disks", "%s (%s) is copied into the pool %s.", d.Target, size, d.ToPool)
		case live:
			l.warn("disks", "Copy its image to that host first; then only what differs goes.", "%s is built on %s; the copy will be whole (%s) and take more room in the pool %s.", d.Target, top.Backing, size, d.ToPool)
		default:
			l.fail("disks", "Flatten it first, move the VM live, or copy its image to that host first.", "%s is built on %s, which would stay behind.", d.Target, top.Backing)
		}
	}
}

// at finds the volume of a host that lies at a path.
func (l *look) at(hostID, path string) (domain.Volume, bool) {
	i := slices.IndexFunc(l.Volumes, func(v domain.Volume) bool { return v.HostID == hostID && v.Path == path })
	if i < 0 {
		return domain.Volume{}, false
	}
	return l.Volumes[i], true
}

// twin finds the volume of the target with the same content as the source's volume at a path: both are verified copies of one version of an image, or the
// same file on storage that both hosts see. Nothing writes to such copies.
func (l *look) twin(path string) (v domain.Volume, version string, ok bool) {
	base, ok := l.at(l.From.Host.ID, path)
	if !ok || base.Backing != "" {
		return base, "", false
	}
	if pool, same := l.shared(base); same {
		v, ok = l.named(pool, base.Name)
		return v, "", ok
	}
	i := slices.IndexFunc(l.Images, func(c domain.ImageCopy) bool {
		return c.State == domain.CopyReady && c.PoolID == base.PoolID && c.Volume == base.Name
	})
	if i < 0 {
		return base, "", false
	}
	version = l.Images[i].VersionID
	for _, c := range l.Images {
		if c.State != domain.CopyReady || c.VersionID != version {
			continue
		}
		if j := slices.IndexFunc(l.To.Pools, func(p domain.Pool) bool { return p.ID == c.PoolID && p.Active }); j >= 0 {
			if v, ok := l.named(l.To.Pools[j].Name, c.Volume); ok && v.Backing == "" && v.Format == base.Format {
				return v, version, true
			}
		}
	}
	return base, "", false
}

// named finds a volume of the target.
func (l *look) named(pool, name string) (domain.Volume, bool) {
	i := slices.IndexFunc(l.Volumes, func(v domain.Volume) bool { return v.HostID == l.To.Host.ID && v.Pool == pool && v.Name == name })
	if i < 0 {
		return domain.Volume{}, false
	}
	return l.Volumes[i], true
}

// below is what the images under a volume occupy, as far as they are known.
func (l *look) below(v domain.Volume) (n int64) {
	for depth := 0; v.Backing != "" && depth < 64; depth++ {
		v, _ = l.at(l.From.Host.ID, v.Backing)
		n += v.AllocationBytes
	}
	return n
}

func (l *look) cdrom(d domain.Disk, out Disk) {
	if slices.ContainsFunc(l.Volumes, func(x domain.Volume) bool { return x.HostID == l.To.Host.ID && x.Path == out.Source }) {
		out.Stays, out.Asserted, l.plan.Unsafe = true, true, true
		l.plan.Disks = append(l.plan.Disks, out)
		l.pass("disks", "%s has the image of the CD-ROM drive %s at the same path.", l.To.Host.Name, d.Target)
		return
	}
	l.fail("disks", "Eject it, or put the image there.", "The CD-ROM drive %s holds %s, which %s does not have.", d.Target, out.Source, l.To.Host.Name)
}

// volume finds a disk's volume on the source.
func (l *look) volume(d domain.Disk) (domain.Volume, bool) {
	i := slices.IndexFunc(l.Volumes, func(v domain.Volume) bool {
		return v.HostID == l.From.Host.ID && (d.Source != "" && v.Path == d.Source || d.Volume != "" && v.Pool == d.Pool && v.Name == d.Volume)
	})
	if i < 0 {
		return domain.Volume{}, false
	}
	return l.Volumes[i], true
}

// shared finds the pool of the target that is the same storage as the volume's.
func (l *look) shared(v domain.Volume) (pool string, ok bool) {
	if v.PoolID == "" {
		return "", false
	}
	i := slices.IndexFunc(l.To.Pools, func(p domain.Pool) bool { return p.ID == v.PoolID && p.Active })
	if i < 0 {
		return "", false
	}
	return l.To.Pools[i].Name, true
}

// pool chooses where a copy goes: where the person says, else the pool of the same name, else the active directory-like pool with most room.
func (l *look) pool(wish string, v domain.Volume) (domain.Pool, string) {
	var best domain.Pool
	for _, p := range l.To.Pools {
		if wish != "" && (p.Name == wish || p.ID == wish) {
			if !p.Active {
				return p, fmt.Sprintf("The pool %s of %s is stopped.", wish, l.To.Host.Name)
			}
			return p, ""
		}
		if !p.Active {
			continue
		}
		if wish == "" && p.Name == v.Pool {
			return p, ""
		}
		if p.Target != "" && (best.Name == "" || p.AvailableBytes > best.AvailableBytes) {
			best = p
		}
	}
	switch {
	case wish != "":
		return best, fmt.Sprintf("%s has no pool %s.", l.To.Host.Name, wish)
	case best.Name == "":
		return best, fmt.Sprintf("%s has no active storage pool.", l.To.Host.Name)
	}
	return best, ""
}
