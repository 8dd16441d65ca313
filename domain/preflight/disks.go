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
		l.disk(d, wanted)
	}
	for _, p := range l.To.Pools {
		if need := wanted[p.Name]; need > p.AvailableBytes {
			l.fail("space", "Choose another pool, or free some space.", "The pool %s of %s has %s free; the disks take %s.", p.Name, l.To.Host.Name, domain.FormatBytes(p.AvailableBytes), domain.FormatBytes(need))
		}
	}
}

func (l *look) disk(d domain.Disk, wanted map[string]int64) {
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
		wanted[pool.Name] += v.AllocationBytes
		l.pass("disks", "%s (%s) is copied into the pool %s.", d.Target, domain.FormatBytes(v.AllocationBytes), pool.Name)
		switch {
		case v.Backing != "" && l.plan.Mode == domain.MigrateCold:
			l.fail("disks", "Flatten it first, or move the VM live.", "%s is built on %s, which would stay behind.", d.Target, v.Backing)
		case v.Backing != "":
			l.warn("disks", "", "%s is built on %s; the copy will be whole and take more room.", d.Target, v.Backing)
		}
	}
	l.plan.Disks = append(l.plan.Disks, out)
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
