package handlers

import (
	"net/url"
	"strings"
	"testing"

	"novacron/domain"
)

// seenOf finds what a form's effect was shown of.
func seenOf(t *testing.T, page string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, `name="seen" value="`)
	if !ok {
		t.Fatalf("the page shows no effect:\n%s", cut(page))
	}
	seen, _, _ := strings.Cut(rest, `"`)
	return seen
}

func TestSecurityGroupPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "hv-1")
	if a := b.get("/security-groups"); a.StatusCode != 200 || !strings.Contains(a.text, "No security groups yet") {
		t.Fatalf("%d", a.StatusCode)
	}
	form := url.Values{"name": {"web"}, "rules.0.direction": {"in"}, "rules.0.action": {"allow"}, "rules.0.protocol": {"tcp"}, "rules.0.ports": {"80"}, "rules.0.remote": {"any"}}
	more := url.Values{"add": {"1"}}
	for k, v := range form {
		more[k] = v
	}
	if a := b.get("/security-groups/new?" + more.Encode()); a.StatusCode != 200 || !strings.Contains(a.text, `name="rules.1.direction"`) || !strings.Contains(a.text, `value="web"`) {
		t.Errorf("a rule more: %d", a.StatusCode)
	}
	more = url.Values{"drop": {"0"}, "name": {"web"}, "rules.0.direction": {"in"}}
	if a := b.get("/security-groups/new?" + more.Encode()); strings.Contains(a.text, `name="rules.0.direction"`) {
		t.Error("the rule is still there")
	}
	bad := url.Values{"name": {"w eb"}, "rules.0.direction": {"in"}, "rules.0.protocol": {"tcp"}, "rules.0.ports": {"99999"}, "rules.0.remote": {"cidr"}}
	if a := b.post("/security-groups/new", bad); a.StatusCode != 422 || !strings.Contains(a.text, "are not ports") || !strings.Contains(a.text, "is not an address or subnet") || !strings.Contains(a.text, `value="99999"`) {
		t.Errorf("%d %s", a.StatusCode, cut(a.text))
	}
	// Applied only after it was put into words, and only what was.
	form.Set("apply", "1")
	a := b.post("/security-groups/new", form)
	if a.StatusCode != 200 || !strings.Contains(a.text, "Anyone may reach TCP 80 on 0 VMs.") {
		t.Fatalf("%d %s", a.StatusCode, cut(a.text))
	}
	form.Set("seen", seenOf(t, a.text))
	form.Set("rules.0.ports", "443")
	if a = b.post("/security-groups/new", form); a.StatusCode != 200 || !strings.Contains(a.text, "TCP 443") {
		t.Fatalf("a changed form was applied unseen: %d", a.StatusCode)
	}
	form.Set("seen", seenOf(t, a.text))
	if a = b.post("/security-groups/new", form); a.StatusCode != 303 {
		t.Fatalf("%d %s", a.StatusCode, cut(a.text))
	}
	g, err := w.db.SecurityGroup(t.Context(), "web")
	if err != nil || len(g.Rules) != 1 || g.Rules[0].Ports != "443" {
		t.Fatalf("%+v %v", g, err)
	}
	// A card is put into it, and the group says so.
	vm := w.running(b, "web-1")
	mac := vm.Config.NICs[0].MAC
	if a := b.post("/vms/"+vm.ID+"/nics/"+mac, url.Values{"network": {"default"}, "groups": {"web"}, "bandwidth_in": {"10 MiB/s"}}); a.StatusCode != 303 {
		t.Fatalf("%d %s", a.StatusCode, cut(a.text))
	}
	for path, want := range map[string]string{"/security-groups/" + g.ID: "web-1", "/security-groups": "web", "/security-groups/" + g.ID + "/edit": `value="443"`, "/vms/" + vm.ID + "/hardware": "in at most 10 MiB/s"} {
		if a := b.get(path); a.StatusCode != 200 || !strings.Contains(a.text, want) {
			t.Errorf("%s: %d, without %q", path, a.StatusCode, want)
		}
	}
	if a := b.get("/security-groups/" + g.ID + "/delete"); a.StatusCode != 200 || !strings.Contains(a.text, "It is used") {
		t.Errorf("%d", a.StatusCode)
	}
	if a := b.post("/security-groups/"+g.ID+"/delete", url.Values{}); a.StatusCode != 409 || !strings.Contains(a.text, "web-1") {
		t.Errorf("%d", a.StatusCode)
	}
	edit := url.Values{"name": {"web"}, "version": {"1"}, "allow_spoofing": {"1"}}
	a = b.post("/security-groups/"+g.ID+"/edit", edit)
	if !strings.Contains(a.text, "Nothing is let in") || !strings.Contains(a.text, "may send under addresses that are not their own") {
		t.Errorf("%s", cut(a.text))
	}
	edit.Set("seen", seenOf(t, a.text))
	edit.Set("apply", "1")
	if a = b.post("/security-groups/"+g.ID+"/edit", edit); a.StatusCode != 303 {
		t.Errorf("%d %s", a.StatusCode, cut(a.text))
	}
	w.free()
	if a := b.post("/vms/"+vm.ID+"/nics/"+mac, url.Values{"network": {"default"}}); a.StatusCode != 303 {
		t.Errorf("%d %s", a.StatusCode, cut(a.text))
	}
	w.free()
	if a := b.post("/security-groups/"+g.ID+"/delete", url.Values{}); a.StatusCode != 303 {
		t.Errorf("%d %s", a.StatusCode, cut(a.text))
	}
	for _, path := range []string{"/security-groups/sg_none", "/security-groups/sg_none/edit", "/security-groups/sg_none/delete"} {
		if a := b.get(path); a.StatusCode != 404 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

func TestNetworkCardsOnTheHardwareTab(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "hv-1")
	vm, other := w.running(b, "web-1"), w.vm(b, "web-2")
	tab, mac := "/vms/"+vm.ID+"/nics", vm.Config.NICs[0].MAC
	cards := func() []domain.NIC { return w.vmNamed("web-1").Config.NICs }
	// What is wrong is told at the card's form, with what was typed.
	taken := other.Config.NICs[0].MAC
	if a := b.post(tab, url.Values{"network": {"default"}, "mac": {taken}}); a.StatusCode != 409 || !strings.Contains(a.text, "belongs to web-2") || !strings.Contains(a.text, `value="`+taken+`"`) {
		t.Errorf("%d %s", a.StatusCode, cut(a.text))
	}
	if a := b.post(tab, url.Values{"network": {"@bridge"}, "bandwidth_in": {"fast"}, "vlan": {"x"}}); a.StatusCode != 422 || !strings.Contains(a.text, "“fast” is not a limit") || !strings.Contains(a.text, "is not a VLAN") || !strings.Contains(a.text, "plugged in is missing") {
		t.Errorf("%d %s", a.StatusCode, cut(a.text))
	}
	if a := b.post(tab, url.Values{"network": {"default"}, "mac": {"52:54:00:77:00:01"}, "model": {"e1000e"}, "bandwidth_out": {"1 MiB/s"}}); a.StatusCode != 303 {
		t.Fatalf("%d %s", a.StatusCode, cut(a.text))
	}
	if c := cards(); len(c) != 2 || c[1].Model != "e1000e" || c[1].BandwidthOut.Average != 1024 {
		t.Fatalf("%+v", c)
	}
	w.free()
	if a := b.post(tab+"/"+mac, url.Values{"network": {"default"}}); a.StatusCode != 303 || len(cards()) != 2 {
		t.Errorf("nothing differs: %d", a.StatusCode)
	}
	if a := b.post(tab+"/"+mac, url.Values{"network": {"nowhere"}}); a.StatusCode != 422 && a.StatusCode != 409 {
		t.Errorf("a network that is not there: %d", a.StatusCode)
	}
	for _, do := range []string{"down", "up"} {
		if a := b.post(tab+"/"+mac+"/"+do, url.Values{}); a.StatusCode != 303 {
			t.Errorf("%s: %d %s", do, a.StatusCode, cut(a.text))
		}
		if cards()[0].Down != (do == "down") {
			t.Errorf("%s: %+v", do, cards()[0])
		}
		w.free()
	}
	if a := b.get(tab + "/" + mac + "/detach"); a.StatusCode != 200 || !strings.Contains(a.text, mac) || !strings.Contains(a.text, "loses it at once") {
		t.Errorf("%d", a.StatusCode)
	}
	if a := b.post(tab+"/"+mac+"/detach", url.Values{}); a.StatusCode != 303 || len(cards()) != 1 {
		t.Errorf("%d %+v", a.StatusCode, cards())
	}
	for _, path := range []string{tab + "/" + mac + "/detach", tab + "/" + mac + "/explode"} {
		if a := b.get(path); a.StatusCode != 404 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}
