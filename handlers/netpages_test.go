package handlers

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

// netForm is a form for a NAT network on the world's host.
func (w *world) netForm(host domain.Host, name string, more ...string) url.Values {
	v := url.Values{"name": {name}, "hosts": {host.ID}, "mode": {"nat"}, "ipv4.address": {"10.9.0.1/24"}, "ipv4.dhcp.ranges": {"10.9.0.100 - 10.9.0.199"}, "start": {"1"}, "autostart": {"1"}, "tenant": {""}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v
}

func TestNetworkPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	host := w.host(b, "hv-1")
	if a := b.get("/networks"); a.StatusCode != 200 || !strings.Contains(a.text, "default") || !strings.Contains(a.text, `href="/networks/new"`) {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	// What is wrong is told beside its field, with the line of a list, and what was typed stays.
	a := b.post("/networks", w.netForm(host, "la n", "ipv4.dhcp.ranges", "10.9.0.100 - 10.9.0.110\n10.8.0.1 - 10.8.0.9", "mtu", "many", "hosts", ""))
	for _, want := range []string{"cannot be a network", "Line 2: 10.8.0.1 is not in the subnet", "“many” is not a number", `value="la n"`, "10.8.0.1 - 10.8.0.9"} {
		if a.StatusCode != 422 || !strings.Contains(a.text, want) {
			t.Errorf("%d does not say %q", a.StatusCode, want)
		}
	}
	form := w.netForm(host, "lan", "dns.hosts", "10.9.0.1 gw.lab", "ipv4.dhcp.hosts", "52:54:00:00:00:01 10.9.0.5 web", "bandwidth_in", "10 MiB/s peak 20 MiB/s")
	if a := b.post("/networks", form); a.StatusCode != 303 {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	n, err := w.db.Network(t.Context(), domain.NetworkID(host.ID, "lan"))
	if err != nil || !n.Active || !n.Autostart || n.Spec.IPv4.DHCP.Hosts[0].Name != "web" || n.Spec.Inbound.Peak != 20480 || n.Spec.DNS.Hosts[0].Names[0] != "gw.lab" {
		t.Fatalf("%+v %v", n, err)
	}
	page := "/networks/" + n.ID
	if a := b.get(page); a.StatusCode != 200 || !strings.Contains(a.text, "10.9.0.100 – 10.9.0.199") || !strings.Contains(a.text, "gw.lab") || !strings.Contains(a.text, "52:54:00:00:00:01") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	// The same name again, and a subnet that another network has.
	if a := b.post("/networks", form); a.StatusCode != 409 || !strings.Contains(a.text, "has a network lan already") {
		t.Errorf("%d", a.StatusCode)
	}
	if a := b.post("/networks", w.netForm(host, "other", "ipv4.address", "10.9.0.129/25", "ipv4.dhcp.ranges", "")); a.StatusCode != 409 || !strings.Contains(a.text, "overlaps 10.9.0.0/24") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := b.get(page + "/edit"); a.StatusCode != 200 || !strings.Contains(a.text, "10.9.0.100 - 10.9.0.199") || !strings.Contains(a.text, "10 MiB/s peak 20 MiB/s") {
		t.Errorf("%d", a.StatusCode)
	}
	form.Set("ipv4.dhcp.ranges", "10.9.0.50 - 10.9.0.60")
	form.Set("domain", "lab.example")
	if a := b.post(page+"/edit", form); a.StatusCode != 303 {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	if n, err = w.db.Network(t.Context(), n.ID); err != nil || n.Spec.IPv4.DHCP.Ranges[0].Start != "10.9.0.50" || n.Spec.Domain != "lab.example" {
		t.Errorf("%+v %v", n.Spec, err)
	}
	for _, path := range []string{"/networks?filter=lan+-stopped&sort=subnet&desc=1", "/networks?filter=nothing", "/networks?sort=vms", "/networks?sort=state", "/networks?sort=hosts", "/networks?sort=mode", "/networks/topology", "/networks/topology?network=lan", "/networks/topology?host=" + host.ID, "/networks/topology?network=no", "/networks/new?host=" + host.ID} {
		if a := b.get(path); a.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
	}
	for _, path := range []string{"/networks/net_none", "/networks/net_none/edit", page + "/explode", "/networks/net_none/delete"} {
		if a := b.get(path); a.StatusCode != 404 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

// free waits until nothing is at work any more.
func (w *world) free() {
	w.t.Helper()
	w.level("the end of all jobs", func() bool {
		p, err := w.db.Jobs(w.t.Context(), db.JobQuery{Active: true, Limit: 1})
		return err == nil && len(p.Items) == 0
	})
}

func TestNetworkActs(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	host := w.host(b, "hv-1")
	if a := b.post("/networks", w.netForm(host, "lan")); a.StatusCode != 303 {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	id := domain.NetworkID(host.ID, "lan")
	page := "/networks/" + id
	is := func(what string, ok func(domain.Network) bool) {
		t.Helper()
		w.level(what, func() bool {
			n, err := w.db.Network(t.Context(), id)
			return err == nil && ok(n)
		})
	}
	vmForm := createForm("web-1")
	vmForm.Set("nics.0.network", "lan")
	vmForm.Set("start", "1")
	b.post("/vms", vmForm)
	w.job(w.newest("vm.create").ID)
	vm := w.vmNamed("web-1")
	for i := range 31 {
		err := w.series.Append(t.Context(), time.Now().Truncate(10*time.Second).Add(time.Duration(i-30)*10*time.Second), []series.Sample{
			{Labels: series.Of("novacron_vm_network_receive_bytes_total", "vm", "web-1", "vm_id", vm.ID, "nic", vm.Config.NICs[0].MAC), Value: float64(i) * 1e7}})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.get(page+"?range=15m").want(t, 200, "VMs that receive most", `id="chart-bytes"`, "data-plot=")
	if a := b.get(page + "/stop"); a.StatusCode != 200 || !strings.Contains(a.text, "running VM loses") || !strings.Contains(a.text, "web-1") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := b.post(page+"/stop", url.Values{}); a.StatusCode != 409 || !strings.Contains(a.text, "web-1") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := b.post(page+"/stop", url.Values{"force": {"1"}}); a.StatusCode != 303 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	is("stopped", func(n domain.Network) bool { return !n.Active })
	w.free()
	b.post(page+"/start", url.Values{})
	is("started", func(n domain.Network) bool { return n.Active })
	w.free()
	b.post(page+"/no-autostart", url.Values{})
	is("by hand", func(n domain.Network) bool { return !n.Autostart })
	w.free()
	if a := b.post(page+"/equal", url.Values{}); a.StatusCode != 409 {
		t.Errorf("%d", a.StatusCode)
	}
	if a := b.post(page+"/explode", url.Values{}); a.StatusCode != 404 {
		t.Errorf("%d", a.StatusCode)
	}
	// A network that VMs use stays, unless they go with it and its name was typed.
	if a := b.get(page + "/delete"); a.StatusCode != 200 || !strings.Contains(a.text, "web-1") || !strings.Contains(a.text, "Delete this VM too") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := b.post(page+"/delete", url.Values{}); a.StatusCode != 409 || !strings.Contains(a.text, "is used by web-1") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := b.post(page+"/delete", url.Values{"vms": {"1"}, "confirm": {"len"}}); a.StatusCode != 422 || !strings.Contains(a.text, "is not the network") || !strings.Contains(a.text, `value="len"`) {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := b.post(page+"/delete", url.Values{"vms": {"1"}, "confirm": {"lan"}}); a.StatusCode != 303 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	w.level("both gone", func() bool {
		_, e1 := w.db.Network(t.Context(), id)
		_, e2 := w.db.VM(t.Context(), vm.ID)
		return domain.Is(e1, domain.NotFound) && domain.Is(e2, domain.NotFound)
	})
}
