package handlers

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// A common processor is found for hosts, chosen in a VM's form and in that of a new one, and stays a choice afterwards.
func TestACommonProcessorIsFoundAndUsed(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	host := w.host(b, "b1").ID
	vm := w.vm(b, "web-1")
	w.fake.SetCPU("EPYC-Rome", "aes", "svm")

	b.get("/hosts/cpu-baseline?vm="+vm.ID).want(t, 200, "b1", "web-1", "Nothing looked for yet")
	b.post("/hosts/cpu-baseline", url.Values{"accel": {"auto"}}).want(t, 422, "No hosts are chosen")
	found := b.post("/hosts/cpu-baseline", url.Values{"hosts": {host}, "accel": {"tcg"}, "vm": {vm.ID}})
	to := found.location()
	if found.StatusCode != 303 || !strings.HasPrefix(to, "/hosts/cpu-baseline?job=") {
		t.Fatalf("it leads to %q (%d)", to, found.StatusCode)
	}
	b.get(to).want(t, 200, "EPYC-Rome", "+aes +svm", "exactly this", "Choose it for web-1", "New VM with it")

	tab := "/vms/" + vm.ID + "/hardware"
	b.get(tab+"?cpu="+url.QueryEscape("EPYC-Rome +aes +svm")).want(t, 200, `value="+aes +svm"`, `value="EPYC-Rome" selected`)
	b.get("/vms/new?cpu="+url.QueryEscape("EPYC-Rome +aes +svm")).want(t, 200, `value="EPYC-Rome +aes +svm" selected`, "Baseline for b1", "host-passthrough", "host-model", "EPYC-Milan")
	b.post("/vms/"+vm.ID+"/edit", url.Values{"section": {"cpu"}, "vcpus": {"1"}, "cpu": {"EPYC-Rome +aes +svm"}, "cpu_features": {""}, "version": {strconv.FormatInt(w.vmNamed("web-1").Version, 10)}}).wantMove(t, tab)
	if now := w.vmNamed("web-1").Config; now.CPU != "EPYC-Rome" || len(now.CPUFeatures) != 2 {
		t.Errorf("the VM has %s with %+v", now.CPU, now.CPUFeatures)
	}
	b.get(to).want(t, 200, "has it")
	b.get("/hosts/cpu-baseline?job=job_none").want(t, 404)
}
