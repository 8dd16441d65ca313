package api

import (
	"strings"
	"testing"

	"novacron/domain"
)

func TestNetworksCardsAndGroupsFromMakingToDeleting(t *testing.T) {
	w := newWorld(t)
	host := w.addHost("b1")
	w.change("POST", "/api/v1/networks", map[string]any{"name": "lan", "host": host, "mode": "isolated", "domain": "lab.test", "mtu": 1450,
		"ipv4": map[string]any{"address": "10.9.0.1/24"}, "ipv6": map[string]any{"address": "fd00:9::1/64"}})
	n := "/api/v1/networks/" + domain.NetworkID(host, "lan")
	w.change("POST", n+"/stop", nil)
	if got := want[EstateNetwork](t, w.do("GET", n, nil), 200); got.Active || !got.Autostart {
		t.Errorf("%+v", got.Network)
	}
	w.change("POST", n+"/start", nil)
	w.change("PATCH", n, map[string]any{"autostart": false})
	// What is left out stays, null takes away.
	w.change("PATCH", n, map[string]any{"ipv6": nil, "domain": nil, "mtu": nil, "bandwidth_in": map[string]any{"average_kib": 1024}})
	got := want[EstateNetwork](t, w.do("GET", n, nil), 200)
	if s := got.Spec; s.IPv6 != nil || s.Domain != "" || s.MTU != 0 || s.IPv4 == nil || s.Inbound == nil || got.Autostart {
		t.Errorf("%+v", got.Network)
	}
	refused(t, w.do("PATCH", n, map[string]any{"name": "wan"}), 422, "name")
	refused(t, w.do("POST", n+"/equal", nil), 409, "")
	refused(t, w.do("POST", "/api/v1/networks", map[string]any{"name": "wan", "host": host, "mode": "isolated", "ipv4": map[string]any{"address": "10.9.0.129/25"}}), 409, "")
	if l := want[Page[domain.Lease]](t, w.do("GET", n+"/leases", nil), 200); l.Total != 0 {
		t.Errorf("%+v", l)
	}

	job := w.change("POST", "/api/v1/security-groups", map[string]any{"name": "web", "rules": []any{map[string]any{"direction": "in", "protocol": "tcp", "ports": "80"}}})
	g := "/api/v1/security-groups/" + job.Resource.ID
	if e := want[GroupEffect](t, w.do("POST", g+"/preview", map[string]any{"name": "web"}), 200); len(e.Warnings) != 1 {
		t.Errorf("%+v", e)
	}
	w.change("PATCH", g, map[string]any{"name": "web", "description": "front ends"})

	made := w.change("POST", "/api/v1/vms", map[string]any{"name": "web-1", "host": host, "vcpus": 1, "memory_bytes": domain.GiB, "nics": []any{map[string]any{"network": "lan", "mac": "52:54:00:00:00:01"}}})
	cards := "/api/v1/vms/" + made.Resource.ID + "/nics"
	w.change("POST", cards, map[string]any{"network": "default", "mac": "52:54:00:00:00:02"})
	w.change("PATCH", cards+"/52:54:00:00:00:02", map[string]any{"down": true, "security_groups": []string{"web"}})
	list := want[Page[VMNIC]](t, w.do("GET", cards, nil), 200)
	if len(list.Items) != 2 || !list.Items[1].Down || len(list.Items[1].SecurityGroups) != 1 {
		t.Errorf("%+v", list.Items)
	}
	if p := refused(t, w.do("DELETE", g, nil), 409, ""); !strings.Contains(p.Detail, "web-1") {
		t.Errorf("%+v", p)
	}
	w.change("DELETE", cards+"/52:54:00:00:00:02", nil)
	w.change("DELETE", g, nil)
	refused(t, w.do("DELETE", n, nil), 409, "")
	refused(t, w.do("DELETE", n+"?vms=true", nil), 422, "confirm")
	w.change("DELETE", n+"?vms=true&confirm=lan", nil)
	refused(t, w.do("GET", n, nil), 404, "")
	refused(t, w.do("GET", "/api/v1/vms/"+made.Resource.ID, nil), 404, "")
}
