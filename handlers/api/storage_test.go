package api

import (
	"strings"
	"testing"

	"novacron/domain"
)

func TestPoolsAndVolumesFromMakingToDeleting(t *testing.T) {
	w := newWorld(t)
	host := w.addHost("b1")
	w.change("POST", "/api/v1/pools", map[string]any{"name": "fast", "host": host, "type": "dir", "target": "/srv/fast"})
	pools := want[Page[StoragePool]](t, w.do("GET", "/api/v1/pools?filter=fast&type=dir&host="+host, nil), 200)
	if pools.Total != 1 || len(pools.Items) != 1 || len(pools.Items[0].Hosts) != 1 || !pools.Items[0].Active || !pools.Items[0].Autostart || pools.Items[0].Shared {
		t.Fatalf("pools: %+v", pools)
	}
	p := "/api/v1/pools/" + pools.Items[0].ID
	w.change("PATCH", p, map[string]any{"autostart": false})
	refused(t, w.do("PATCH", p, map[string]any{"autostart": nil}), 422, "")
	w.change("POST", p+"/refresh", nil)
	w.change("POST", p+"/stop", nil)
	if got := want[StoragePool](t, w.do("GET", p, nil), 200); got.Active || got.Autostart {
		t.Errorf("%+v", got)
	}
	w.change("POST", p+"/start", nil)

	w.change("POST", "/api/v1/volumes", map[string]any{"pool": "fast", "name": "a.raw", "format": "raw", "size_bytes": domain.GiB})
	list := want[Page[StorageVolume]](t, w.do("GET", "/api/v1/volumes?pool=fast&orphans=true", nil), 200)
	if list.Total != 1 || list.Items[0].Name != "a.raw" || !list.Items[0].Orphan || list.Items[0].CapacityBytes != domain.GiB {
		t.Fatalf("volumes: %+v", list)
	}
	v := "/api/v1/volumes/" + list.Items[0].ID
	w.change("POST", "/api/v1/volumes", map[string]any{"pool": "fast", "host": host, "name": "b.qcow2", "backing": list.Items[0].ID})
	one := want[VolumeDetail](t, w.do("GET", v, nil), 200)
	if len(one.Users) != 1 || len(one.Chain) != 2 || one.Chain[1].Name != "b.qcow2" || one.Chain[1].Level != 1 || one.Orphan || one.Overlays != 1 || len(one.Hosts) != 1 {
		t.Errorf("volume: %+v", one)
	}
	if pr := refused(t, w.do("DELETE", v, nil), 409, ""); !strings.Contains(pr.Detail, "b.qcow2") {
		t.Errorf("%+v", pr)
	}
	refused(t, w.do("PATCH", v, map[string]any{"size_bytes": 1}), 422, "size_bytes")
	b := one.Chain[1].ID
	w.change("PATCH", "/api/v1/volumes/"+b, map[string]any{"size_bytes": 2 * domain.GiB})
	w.change("POST", "/api/v1/volumes", map[string]any{"pool": "fast", "name": "c.raw", "source": list.Items[0].ID})
	w.change("POST", "/api/v1/volumes/delete", map[string]any{"ids": []string{b}})
	w.change("DELETE", v, nil)
	refused(t, w.do("GET", v, nil), 404, "")
	refused(t, w.do("POST", "/api/v1/volumes", map[string]any{"pool": "none", "name": "c.raw", "size_bytes": domain.GiB}), 422, "pool")
	refused(t, w.do("GET", "/api/v1/volumes?sort=colour", nil), 422, "sort")
	refused(t, w.do("GET", "/api/v1/pools?sort=colour", nil), 422, "sort")
	refused(t, w.do("POST", "/api/v1/pools", map[string]any{"name": "x", "host": host, "type": "dir"}), 422, "target")
	refused(t, w.do("POST", "/api/v1/pools", map[string]any{"name": "x", "host": "host_none", "type": "dir", "target": "/x"}), 422, "host")
	refused(t, w.do("POST", "/api/v1/pools", map[string]any{"name": "x", "hosts": []string{"host_none"}, "type": "dir", "target": "/x"}), 422, "hosts")
	refused(t, w.do("DELETE", p+"?data=true", nil), 422, "confirm")
	w.change("DELETE", p+"?data=true&confirm=fast", nil)
	refused(t, w.do("GET", p, nil), 404, "")
	if got := want[Page[StorageVolume]](t, w.do("GET", "/api/v1/volumes", nil), 200); got.Total != 0 {
		t.Errorf("left: %+v", got.Items)
	}
}

// What is wrong with a disk that is asked for is said of the field that was sent.
func TestDisksThatCannotBeAttached(t *testing.T) {
	w := newWorld(t)
	w.addHost("b1")
	vm := w.createVM("web-1")
	at := "/api/v1/vms/" + vm + "/disks"
	refused(t, w.do("POST", at, map[string]any{"volume": "vol_none", "bus": "virtio"}), 422, "volume")
	refused(t, w.do("POST", at, map[string]any{"bus": "virtio"}), 422, "size_bytes")
	refused(t, w.do("POST", at, map[string]any{"pool": "nowhere", "size_bytes": 1 << 20}), 422, "pool")
}
