package db

import (
	"slices"
	"testing"

	"novacron/domain"
)

// sharedAndLocal is two hosts that share a pool with a chain of three, and a pool of each host's own with one volume.
func sharedAndLocal(t *testing.T) (*DB, string) {
	t.Helper()
	d := open(t)
	for i, h := range []string{"a", "b"} {
		addHost(t, d, h)
		dir := "/mnt/" + h
		vol := func(pool, name, backing string, size int64) domain.Volume {
			v := domain.Volume{Pool: pool, Name: name, Path: dir + "/" + name, Format: "qcow2", CapacityBytes: size, AllocationBytes: size / 2}
			if backing != "" {
				v.Backing, v.BackingFormat = dir+"/"+backing, "qcow2"
			}
			return v
		}
		inv := domain.Inventory{
			Pools: []domain.Pool{{Name: "shared", Type: "netfs", Identity: "netfs:x:/y", Active: i == 1, CapacityBytes: 4 * domain.GiB, Target: dir},
				{Name: "local", Type: "dir", Active: true, CapacityBytes: 2 * domain.GiB, Target: "/local"}},
			Volumes: []domain.Volume{vol("shared", "base", "", domain.GiB), vol("shared", "mid", "base", 2*domain.GiB), vol("shared", "top", "mid", 3*domain.GiB),
				{Pool: "local", Name: "own", Path: "/local/own", Format: "raw", CapacityBytes: domain.GiB}}}
		write(t, d, func(tx *Tx) error { _, err := tx.ReplaceInventory("host_"+h, inv); return err })
	}
	return d, domain.PoolID("", "", "netfs:x:/y")
}

func TestStoragePoolsAreThereOnce(t *testing.T) {
	d, shared := sharedAndLocal(t)
	all, err := d.StoragePools(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	p, err := d.StoragePool(t.Context(), shared)
	if err != nil || len(p.Hosts) != 2 || p.Volumes != 3 || p.Provisioned != 6*domain.GiB || p.Overcommit() != 1.5 || !p.Active {
		t.Errorf("%+v, %v", p, err)
	}
	if (PoolItem{}).Overcommit() != 0 {
		t.Error("what has no size is over-committed")
	}
	if _, err := d.StoragePool(t.Context(), "pool_none"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
}

func TestVolumesInPages(t *testing.T) {
	d, shared := sharedAndLocal(t)
	for by, want := range map[string][]string{"name": {"base", "mid", "own", "own", "top"}, "size": {"base", "own", "own", "mid", "top"}, "used": {"own", "own", "base", "mid", "top"}} {
		for _, desc := range []bool{false, true} {
			var got []string
			q := VolumeQuery{Sort: by, Desc: desc, Limit: 2}
			for {
				p, err := d.StorageVolumes(t.Context(), q)
				if err != nil || p.Total != 5 {
					t.Fatal(p, err)
				}
				for _, v := range p.Items {
					got = append(got, v.Name)
				}
				if q.After = p.Next; q.After == "" {
					break
				}
			}
			if desc {
				slices.Reverse(got)
			}
			if by == "size" { // three are alike
				slices.Sort(got[:3])
			}
			if !slices.Equal(got, want) {
				t.Errorf("by %s, desc %v: %v", by, desc, got)
			}
		}
	}
	for what, q := range map[string]VolumeQuery{"sort": {Sort: "colour"}, "after": {After: "x"}, "a cursor of another list": {Sort: "size", After: cursor{Sort: "size", Key: "many", ID: "vol_1"}.String()}} {
		if _, err := d.StorageVolumes(t.Context(), q); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, c := range map[string]struct {
		q VolumeQuery
		n int
	}{"pool": {VolumeQuery{Pool: shared}, 3}, "host": {VolumeQuery{Host: "host_b"}, 4}, "text": {VolumeQuery{Search: "TO"}, 1}, "a per cent sign": {VolumeQuery{Search: "%"}, 0}} {
		if p, err := d.StorageVolumes(t.Context(), c.q); err != nil || len(p.Items) != c.n {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
	}
}

func TestWhoNeedsAVolume(t *testing.T) {
	d, shared := sharedAndLocal(t)
	id := func(name string) string { return domain.VolumeID(shared, name) }
	orphans := func() (names []string) {
		t.Helper()
		p, err := d.StorageVolumes(t.Context(), VolumeQuery{Orphans: true, Pool: shared})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range p.Items {
			names = append(names, v.Name)
		}
		return names
	}
	if o := orphans(); !slices.Equal(o, []string{"top"}) {
		t.Errorf("orphans are %v", o)
	}
	g := guest("web", 1)
	g.Config.Disks = []domain.Disk{{Target: "vda", Source: "/mnt/b/top"}}
	live := g.Config
	g.Live, g.State = &live, domain.VMRunning
	vm, _, _ := upsert(t, d, "host_b", g)
	if o := orphans(); len(o) != 0 {
		t.Errorf("orphans are %v", o)
	}
	v, err := d.StorageVolume(t.Context(), id("top"))
	if err != nil || len(v.Users) != 1 || v.Users[0].VMID != vm.ID || v.Hosts != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := d.StorageVolume(t.Context(), id("mid")); err != nil || v.Overlays != 1 || len(v.Users) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := d.StorageVolume(t.Context(), "vol_none"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	chain, err := d.Chain(t.Context(), id("mid"))
	if err != nil || len(chain) != 3 || chain[0].Name != "base" || chain[0].Level != -1 || chain[2].Name != "top" || chain[2].Level != 1 || len(chain[2].Users) != 1 {
		t.Errorf("%+v, %v", chain, err)
	}
	if _, err := d.Chain(t.Context(), "vol_none"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	for running, n := range map[bool]int{true: 1, false: 1} {
		users, err := d.PoolUsers(t.Context(), shared, running)
		vms := 0
		for _, u := range users {
			if u.Kind == "vm" {
				vms++
			}
		}
		if err != nil || vms != n {
			t.Errorf("running %v: %+v, %v", running, users, err)
		}
	}
	if users, err := d.PoolUsers(t.Context(), "pool_none", false); err != nil || users != nil {
		t.Error(users, err)
	}

	// A disk that was frozen for linked clones is needed as long as something stands on it, and then is an orphan that says why it is there.
	freeze := func(name string) {
		write(t, d, func(tx *Tx) error {
			return tx.InsertBaseDisk(domain.BaseDisk{ID: "base_" + name, HostID: "host_a", PoolID: shared, Pool: "shared", Volume: name, Path: "/mnt/a/" + name, Format: "qcow2", OfVM: "golden"})
		})
	}
	freeze("mid")
	freeze("top")
	if why, err := d.Frozen(t.Context(), shared, "mid"); err != nil || why == "" {
		t.Error(why, err)
	}
	if needs, err := d.VolumeNeeds(t.Context(), id("mid")); err != nil || !slices.ContainsFunc(needs, func(u domain.VolumeUser) bool { return u.Kind == "base" }) {
		t.Errorf("%+v, %v", needs, err)
	}
	g.Config.Disks, g.Live.Disks = nil, nil
	upsert(t, d, "host_b", g)
	if needs, err := d.VolumeNeeds(t.Context(), id("top")); err != nil || len(needs) != 0 {
		t.Errorf("%+v, %v", needs, err)
	}
	if v, err := d.StorageVolume(t.Context(), id("top")); err != nil || v.BaseOf != "golden" {
		t.Errorf("%+v, %v", v, err)
	}
	if o := orphans(); !slices.Equal(o, []string{"top"}) {
		t.Errorf("orphans are %v", o)
	}
	write(t, d, func(tx *Tx) error { return tx.DeleteBaseDisk(shared, "top") })
	if b, err := d.BaseDisks(t.Context()); err != nil || len(b) != 1 {
		t.Error(b, err)
	}
	if _, err := d.BaseDisk(t.Context(), "base_top"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
}
