package handlers

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"novacron/db"
	"novacron/domain"
)

// What a pool has promised, what differs between hosts, where an address is known from and whether a cable is plugged in stand on the pages.
func TestWhatIsThereIsShown(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	h := w.host(b, "hv-1")
	vm := w.running(b, "web-1")

	pool, _ := w.poolNamed("default")
	b.post("/storage/volumes", url.Values{"pool": {pool.ID}, "name": {"huge.qcow2"}, "size_bytes": {domain.FormatBytes(2 * pool.CapacityBytes)}, "format": {"qcow2"}}).want(t, 303)
	w.free()
	pool, _ = w.poolNamed("default")
	ratio := fmt.Sprintf("%.2f ×", pool.Overcommit())
	if pool.Overcommit() < 2 {
		t.Fatalf("the ratio is %s", ratio)
	}
	for _, path := range []string{"/storage", "/storage/pools/" + pool.ID} {
		b.get(path).want(t, 200, ratio, "warn-text")
	}

	if a := b.post("/networks", w.netForm(h, "lan")); a.StatusCode != 303 {
		t.Fatalf("%d %s", a.StatusCode, cut(a.text))
	}
	w.free()
	n, err := w.db.Network(t.Context(), domain.NetworkID(h.ID, "lan"))
	if err != nil {
		t.Fatal(err)
	}
	want := n.Spec
	want.MTU = 9000
	addresses := []domain.Address{{MAC: vm.Config.NICs[0].MAC, IP: "10.9.0.7", Sources: []string{domain.AddressLease}}, {MAC: vm.Config.NICs[0].MAC, IP: "10.9.0.8", Sources: []string{domain.AddressAgent, domain.AddressARP}}}
	err = w.db.Write(t.Context(), func(tx *db.Tx) error {
		if err := tx.SaveNetworkGroup(db.NetworkGroup{ID: "netg_1", Name: "lan", Spec: want, HostIDs: []string{h.ID}}); err != nil {
			return err
		}
		if _, err := tx.SetAddresses(vm.ID, addresses); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "network.changed", Resource: domain.Ref{Kind: "network", ID: n.ID, Name: "lan"}, HostID: h.ID, Actor: "system", Message: "lan differs."})
	})
	if err != nil {
		t.Fatal(err)
	}
	b.get("/networks/"+n.ID).want(t, 200, "Drift: 1 of 1 differ", "<del>9000</del>")
	b.get("/vms/"+vm.ID+"/hardware").want(t, 200, "10.9.0.7", "DHCP", "10.9.0.8", "the guest&#39;s agent", "ARP", ">link up<", "Unplug the cable")

	b.post("/vms/"+vm.ID+"/nics/"+vm.Config.NICs[0].MAC, url.Values{"network": {"default"}, "down": {"1"}}).want(t, 303)
	w.free()
	w.level("the cable is unplugged", func() bool { return w.vmNamed("web-1").Config.NICs[0].Down })
	b.get("/vms/"+vm.ID+"/hardware").want(t, 200, ">unplugged<", "Plug the cable in")
}

// Snapshots are taken, noted, gone back to, made a VM of and deleted by the pages; a schedule says what it keeps.
func TestSnapshotPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "hv-1")
	vm := w.vm(b, "web-1")
	at := "/vms/" + vm.ID + "/snapshots"
	b.get(at).want(t, 200, "Take snapshot")
	b.get(at+"/new").want(t, 200, "snapshot-")
	b.post(at+"/new", url.Values{"name": {""}, "notes": {"Kept."}}).want(t, 422, "Kept.")
	b.post(at+"/new", url.Values{"name": {"before"}, "notes": {"As it was."}}).want(t, 303)
	w.free()
	all, err := w.db.Snapshots(t.Context(), vm.ID)
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	one := at + "/" + all[0].ID
	b.get(at).want(t, 200, "before", "As it was.")
	b.get(one+"/notes").want(t, 200, "As it was.")
	b.post(one+"/notes", url.Values{"notes": {"As it was on Monday."}}).want(t, 303)
	b.get(at).want(t, 200, "As it was on Monday.")
	b.get(one+"/revert").want(t, 200, "safety snapshot")
	b.post(one+"/revert", url.Values{"safety": {"1"}}).want(t, 303)
	w.free()
	if all, err = w.db.Snapshots(t.Context(), vm.ID); err != nil || len(all) != 2 {
		t.Errorf("with the safety snapshot there are %+v, %v", all, err)
	}
	b.get(one+"/clone").want(t, 200, "web-1-before")
	if a := b.post(one+"/clone", url.Values{"name": {"web-1"}}); a.StatusCode < 400 || !strings.Contains(a.text, `value="web-1"`) {
		t.Errorf("a name in use: %d %s", a.StatusCode, cut(a.text))
	}
	b.get(one+"/explode").want(t, 404)
	b.get(at+"/snap_none/revert").want(t, 404)
	b.get(at+"/delete?ids="+all[0].ID+"&ids="+all[1].ID).want(t, 200, "before")
	b.post(at+"/delete", url.Values{"ids": {all[0].ID, all[1].ID}, "children": {"keep"}}).want(t, 303)
	w.free()
	if all, err = w.db.Snapshots(t.Context(), vm.ID); err != nil || len(all) != 0 {
		t.Errorf("left are %+v, %v", all, err)
	}

	b.get("/snapshot-schedules").want(t, 200, "No schedules yet")
	b.get("/snapshot-schedules/new").want(t, 200, "New snapshot schedule")
	form := url.Values{"name": {"Nightly"}, "vms": {vm.ID}, "time_zone": {"Europe/Amsterdam"}, "enabled": {"1"}, "hourly.keep": {"24"}, "hourly.minute": {"5"}, "daily.keep": {"7"}, "daily.at": {"02:30"},
		"weekly.keep": {"lots"}, "weekly.at": {"03:00"}, "weekly.day": {"sunday"}}
	b.post("/snapshot-schedules", form).want(t, 422, "“lots” is not a number", `value="24"`, `value="Nightly"`)
	form.Set("weekly.keep", "4")
	b.post("/snapshot-schedules", form).want(t, 303)
	list, err := w.db.Schedules(t.Context())
	if err != nil || len(list) != 1 || list[0].Hourly.Keep != 24 || list[0].Daily.Keep != 7 || list[0].Weekly.Keep != 4 {
		t.Fatalf("%+v, %v", list, err)
	}
	b.get("/snapshot-schedules").want(t, 200, "Nightly", "keep 24", "keep 7", "keep 4", "Europe/Amsterdam", "1 VM")
	its := "/snapshot-schedules/" + list[0].ID
	b.get(its).want(t, 200, "Schedule Nightly", `value="24"`)
	form.Set("version", fmt.Sprint(list[0].Version))
	form.Set("hourly.keep", "0")
	b.post(its, form).want(t, 422, "Nightly")
	form.Set("hourly.keep", "12")
	b.post(its, form).want(t, 303)
	b.post(its+"/run", nil).want(t, 303)
	w.free()
	if all, err = w.db.Snapshots(t.Context(), vm.ID); err != nil || len(all) == 0 || !strings.HasPrefix(all[0].Name, "Nightly-") {
		t.Errorf("the schedule took %+v, %v", all, err)
	}
	b.get(its+"/delete").want(t, 200, "Nightly")
	b.post(its+"/delete", nil).want(t, 303)
	b.get("/snapshot-schedules").want(t, 200, "No schedules yet")
	b.get(its).want(t, 404)
}
