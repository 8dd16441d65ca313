package db

import (
	"fmt"
	"testing"

	"novacron/domain"
)

func words(users []domain.VolumeUser) string {
	var s string
	for _, u := range users {
		s += fmt.Sprintf("%s %s %s direct=%v live=%v config=%v fixed=%v on %s; ", u.Kind, u.Name, u.Target, u.Direct, u.Live, u.Config, u.ReadOnly, u.HostName)
	}
	return s
}

// Two hosts see one shared pool under different paths; a chain of three images is on it.
func sharedChain(t *testing.T, d *DB) {
	t.Helper()
	for i, h := range []string{"a", "b"} {
		addHost(t, d, h)
		dir := fmt.Sprintf("/mnt/%d", i)
		vol := func(name, backing string) domain.Volume {
			v := domain.Volume{Pool: "sh" + h, Name: name, Path: dir + "/" + name, Format: "qcow2", CapacityBytes: domain.GiB}
			if backing != "" {
				v.Backing, v.BackingFormat = dir+"/"+backing, "qcow2"
			}
			return v
		}
		inv := domain.Inventory{Pools: []domain.Pool{{Name: "sh" + h, Type: "netfs", Identity: "netfs:x:/y", Active: true, CapacityBytes: 10 * domain.GiB, Target: dir}},
			Volumes: []domain.Volume{vol("base", ""), vol("mid", "base"), vol("top", "mid"), vol("other", "")}}
		write(t, d, func(tx *Tx) error { _, err := tx.ReplaceInventory("host_"+h, inv); return err })
	}
}

func TestVolumeUsersNamesVMsAndTheChainAbove(t *testing.T) {
	d := open(t)
	sharedChain(t, d)
	g := guest("web", 1)
	g.Config.Disks = []domain.Disk{{Target: "vda", Source: "/mnt/1/top"}, {Target: "sda", Device: "cdrom"}}
	upsert(t, d, "host_b", g)
	g = guest("db", 2)
	g.Config.Disks = []domain.Disk{{Target: "vdb", Pool: "sha", Volume: "mid", ReadOnly: true}}
	live := g.Config
	g.Live, g.State = &live, domain.VMRunning
	upsert(t, d, "host_a", g)
	id := func(name string) string { return domain.VolumeID(domain.PoolID("", "", "netfs:x:/y"), name) }
	for name, want := range map[string]string{
		"other": "",
		"top":   "vm web vda direct=true live=false config=true fixed=false on b; ",
		"mid":   "vm db vdb direct=true live=true config=true fixed=true on a; vm web vda direct=false live=false config=true fixed=false on b; volume top  direct=true live=false config=false fixed=false on a; ",
		"base":  "vm db vdb direct=false live=true config=true fixed=true on a; volume mid  direct=true live=false config=false fixed=false on a; vm web vda direct=false live=false config=true fixed=false on b; volume top  direct=false live=false config=false fixed=false on a; ",
	} {
		users, err := d.VolumeUsers(t.Context(), id(name))
		if err != nil || words(users) != want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, words(users), want)
		}
	}
	// A disk that goes is no use any more.
	g.Config.Disks, g.Live.Disks = nil, nil
	upsert(t, d, "host_a", g)
	if users, _ := d.VolumeUsers(t.Context(), id("mid")); len(users) != 2 {
		t.Errorf("after the disk went: %s", words(users))
	}
	if _, err := d.VolumeUsers(t.Context(), "vol_none"); !domain.Is(err, domain.NotFound) {
		t.Errorf("no volume: %v", err)
	}
}
