package api

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
)

func TestVMsComePageByPage(t *testing.T) {
	w := newWorld(t)
	w.mirrored(57)
	w.mirrored(30)
	for _, order := range []string{"name", "-name", "memory", "-vcpus", "created", "host", "-state"} {
		for _, limit := range []int{7, 87, 100, 500} {
			seen, cursor := map[string]bool{}, ""
			for pages := 0; ; pages++ {
				p := want[Page[VM]](t, w.do("GET", fmt.Sprintf("/api/v1/vms?limit=%d&sort=%s&cursor=%s", limit, order, url.QueryEscape(cursor)), nil), 200)
				if len(p.Items) > limit || p.Total != 87 || pages > 20 {
					t.Fatalf("%s/%d: page %d has %d items of %d", order, limit, pages, len(p.Items), p.Total)
				}
				for _, v := range p.Items {
					if seen[v.ID] {
						t.Fatalf("%s/%d: %s came twice", order, limit, v.Name)
					}
					seen[v.ID] = true
				}
				if p.Next == nil {
					break
				}
				cursor = *p.Next
			}
			if len(seen) != 87 {
				t.Errorf("%s/%d: %d of 87 VMs", order, limit, len(seen))
			}
		}
	}
	if p := want[Page[VM]](t, w.do("GET", "/api/v1/vms", nil), 200); len(p.Items) != 87 || p.Next != nil {
		t.Errorf("without a limit: %d items, next %v", len(p.Items), p.Next)
	}
}

func TestVMsAreFiltered(t *testing.T) {
	w := newWorld(t)
	b1 := w.mirrored(20)
	w.mirrored(10)
	for query, n := range map[string]int{
		"": 30, "filter=host:b1": 20, "filter=-host:b1": 10, "host=" + b1: 20, "filter=b2-g0003": 1, "filter=name:b2*": 10, "filter=" + url.QueryEscape("cpu>=8"): 3,
		"state=running": 30, "state=paused": 0, "filter=" + url.QueryEscape("host:b1 mem>4G"): 4, "filter=" + url.QueryEscape("label:site=ams"): 30,
	} {
		if p := want[Page[VM]](t, w.do("GET", "/api/v1/vms?"+query, nil), 200); p.Total != n || len(p.Items) != n {
			t.Errorf("%q: %d, wanted %d", query, p.Total, n)
		}
	}
}

func TestAVMAsItIsShown(t *testing.T) {
	w := newWorld(t)
	host := w.mirrored(3)
	listed := want[Page[VM]](t, w.do("GET", "/api/v1/vms?filter=b1-g0001", nil), 200).Items[0]
	a := w.do("GET", "/api/v1/vms/"+listed.ID, nil)
	v := want[VM](t, a, 200)
	if v.State != domain.VMRunning || v.HostID != host || v.Host != "b1" || v.VCPUs != 2 || v.MemoryBytes != 2*domain.GiB || len(v.Disks) != 1 || len(v.NICs) != 1 || v.Live == nil || v.Tags == nil || v.Pending == nil || v.SeenAt == nil {
		t.Errorf("%s", a.body)
	}
	if listed.Live != nil || listed.ID != v.ID || listed.UUID != v.UUID || listed.Version != v.Version {
		t.Errorf("listed as %+v", listed)
	}
	if a.Header.Get("ETag") != etag(v.Version) {
		t.Errorf("ETag %s of version %d", a.Header.Get("ETag"), v.Version)
	}
	x := w.do("GET", "/api/v1/vms/"+listed.ID+"/xml", nil)
	if x.StatusCode != 200 || string(x.body) != "<domain/>" || !strings.HasPrefix(x.Header.Get("Content-Type"), "application/xml") {
		t.Errorf("xml: %d %s %s", x.StatusCode, x.Header.Get("Content-Type"), x.body)
	}
	err := w.db.Write(context.Background(), func(tx *db.Tx) error {
		_, err := tx.SetHostState(host, domain.HostAway, "The cable is out.", "Put it in.", time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := want[VM](t, w.do("GET", "/api/v1/vms/"+listed.ID, nil), 200); v.State != domain.VMAway || v.LastState != domain.VMRunning {
		t.Errorf("with its host away it is %s, last %s", v.State, v.LastState)
	}
	h := want[Host](t, w.do("GET", "/api/v1/hosts/"+host, nil), 200)
	if h.State != domain.HostAway || h.Reason != "The cable is out." || h.Fix != "Put it in." || h.StateSince == nil {
		t.Errorf("%+v", h)
	}
}

func TestAHostsInventoryIsListed(t *testing.T) {
	w := newWorld(t)
	host := w.mirrored(0)
	inv := domain.Inventory{Pools: []domain.Pool{{Name: "default", Type: "dir", Active: true}, {Name: "fast", Type: "dir"}}, Networks: []domain.Network{{Name: "default", Mode: "nat"}}, Devices: []domain.Device{{Name: "pci_0000_00_02_0", Kind: "pci"}}}
	for i := range 12 {
		inv.Volumes = append(inv.Volumes, domain.Volume{Pool: "default", Name: fmt.Sprintf("v%02d.qcow2", i), Path: fmt.Sprintf("/p/v%02d.qcow2", i), CapacityBytes: domain.GiB})
	}
	inv.Volumes = append(inv.Volumes, domain.Volume{Pool: "fast", Name: "x.raw", Path: "/f/x.raw"})
	if err := w.db.Write(context.Background(), func(tx *db.Tx) error { _, err := tx.ReplaceInventory(host, inv); return err }); err != nil {
		t.Fatal(err)
	}
	at := "/api/v1/hosts/" + host
	if p := want[Page[domain.Pool]](t, w.do("GET", at+"/pools", nil), 200); p.Total != 2 || p.Items[0].Name != "default" {
		t.Errorf("pools: %+v", p)
	}
	p := want[Page[domain.Volume]](t, w.do("GET", at+"/volumes?limit=10&sort=-name", nil), 200)
	if p.Total != 13 || len(p.Items) != 10 || p.Next == nil || p.Items[0].Name != "x.raw" {
		t.Errorf("volumes: %+v", p)
	}
	if q := want[Page[domain.Volume]](t, w.do("GET", at+"/volumes?limit=10&sort=-name&cursor="+*p.Next, nil), 200); len(q.Items) != 3 || q.Next != nil || q.Items[2].Name != "v00.qcow2" {
		t.Errorf("volumes, second page: %+v", q)
	}
	if p := want[Page[domain.Volume]](t, w.do("GET", at+"/volumes?pool=fast", nil), 200); p.Total != 1 {
		t.Errorf("volumes of fast: %+v", p)
	}
	want[Page[domain.Network]](t, w.do("GET", at+"/networks", nil), 200)
	if p := want[Page[domain.Device]](t, w.do("GET", at+"/devices", nil), 200); p.Total != 1 || p.Items[0].Kind != "pci" {
		t.Errorf("devices: %+v", p)
	}
	refused(t, w.do("GET", "/api/v1/hosts/nothing/pools", nil), 404, "")
}

func BenchmarkListVMs(b *testing.B) {
	w := newWorld(b)
	for range 10 {
		w.mirrored(100)
	}
	b.ReportAllocs()
	for b.Loop() {
		if a := w.do("GET", "/api/v1/vms?limit=100", nil); a.StatusCode != 200 {
			b.Fatal(a.StatusCode)
		}
	}
}
