package handlers

import (
	"net/url"
	"strconv"
	"strings"
	"testing"

	"novacron/domain"
)

func TestDevicesAreGivenAndTakenBack(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.fake.AddDevice(domain.Device{Name: "pci_0000_41_00_0", Kind: "pci", Label: "A large GPU", Address: "0000:41:00.0", Model: "10de:2531", Class: "gpu", Assignable: true})
	w.fake.AddDevice(domain.Device{Name: "pci_0000_00_00_0", Kind: "pci", Label: "Host bridge", Address: "0000:00:00.0", Class: "bridge", Why: "A bridge belongs to the host."})
	host := w.host(b, "b1").ID
	vm := w.vm(b, "web-1")
	b.get("/devices").want(t, 200, "A large GPU", "b1")
	if a := b.get("/devices"); strings.Contains(a.text, "Host bridge") {
		t.Error("a bridge is offered")
	}
	b.get("/devices?class=bridge").want(t, 200, "Host bridge")
	b.get("/devices?class=tape").want(t, 200, "No device matches")
	b.get("/hosts/"+host+"/devices").want(t, 200, "A large GPU", "Host bridge", "Attach to")
	ask := "/hosts/" + host + "/devices/pci_0000_41_00_0/attach"
	b.get(ask).want(t, 200, "web-1")
	b.get("/hosts/"+host+"/devices/none/attach").want(t, 404)
	b.post(ask, url.Values{}).want(t, 422, "No VM of the host is chosen")
	b.post(ask, url.Values{"vm": {vm.ID}}).wantMove(t, "/vms/"+vm.ID+"/hardware")
	b.get("/vms/"+vm.ID+"/hardware").want(t, 200, "PCI 0000:41:00.0", "A large GPU")
	b.get("/devices").want(t, 200, "web-1")
	b.post(ask, url.Values{"vm": {vm.ID}}).want(t, 422)
	b.get(ask).want(t, 200, "web-1 has it already")
	if a := b.get("/devices?free=1"); strings.Contains(a.text, "A large GPU") {
		t.Error("what is taken is called free")
	}
	now := w.vmNamed("web-1")
	b.post("/vms/"+vm.ID+"/edit", url.Values{"section": {"device-remove"}, "address": {"0000:41:00.0"}, "version": {strconv.FormatInt(now.Version, 10)}}).wantMove(t, "/vms/"+vm.ID+"/hardware")
	b.get("/devices?free=1").want(t, 200, "A large GPU")
}
