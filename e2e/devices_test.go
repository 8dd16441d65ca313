package e2e

import (
	"strings"
	"testing"

	"novacron/e2e/browser"
)

// hardware is what the API says of a VM's devices and of what waits for its next start.
type hardware struct {
	Watchdog    *struct{ Model, Action string } `json:"watchdog"`
	RNG         *struct{ Source string }        `json:"rng"`
	CPU         string                          `json:"cpu"`
	VCPUs       int                             `json:"vcpus"`
	MemoryBytes int64                           `json:"memory_bytes"`
	CPUPins     []struct{ CPUs string }         `json:"cpu_pins"`
	Modules     []struct{ Slot int }            `json:"memory_devices"`
	Pending     []struct{ Field, Old, New string }
}

func (e *estate) hardware(t *testing.T, vm string) hardware {
	t.Helper()
	var h hardware
	if _, err := e.api.Do("GET", "/api/v1/vms/"+vm, nil, &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h hardware) waits(field string) bool {
	for _, p := range h.Pending {
		if p.Field == field {
			return true
		}
	}
	return false
}

// What a running guest takes it gets at once, as QEMU and libvirt show; the rest waits for its next start and is there then.
func TestDevicesOfARunningGuest(t *testing.T) {
	e := newEstate(t)
	req := e.guest(t, "furnished", e.hosts[0], 16<<20)
	req["vcpus"], req["max_vcpus"] = 1, 2
	req["hotplug_memory"] = map[string]any{"max_bytes": 1 << 30, "slots": 4}
	v := e.create(t, req)
	hears(t, e, v, "tick")
	path := "/api/v1/vms/" + v.ID
	e.api.Change(t, "PATCH", path, map[string]any{"vcpus": 2, "cpu_pins": []map[string]any{{"vcpu": 0, "cpus": "0"}},
		"add_memory_devices": []map[string]any{{"size_bytes": 128 << 20}}}, "succeeded")
	h := e.hardware(t, v.ID)
	if len(h.Pending) != 0 || h.VCPUs != 2 || len(h.CPUPins) != 1 || len(h.Modules) != 1 {
		t.Errorf("after what can be changed now: %+v", h)
	}
	if doc := virsh(t, 0, "dumpxml", "furnished"); !strings.Contains(doc, "<vcpupin vcpu='0' cpuset='0'/>") || !strings.Contains(doc, "model='dimm'") {
		t.Errorf("libvirt shows:\n%s", doc)
	}
	e.api.Change(t, "PATCH", path, map[string]any{"watchdog": map[string]any{"model": "ib700"}, "cpu": "qemu64", "hugepages": map[string]any{}}, "succeeded")
	h = e.hardware(t, v.ID)
	if !h.waits("watchdog") || !h.waits("cpu") || !h.waits("hugepages") {
		t.Errorf("what waits: %+v", h.Pending)
	}
	e.api.Change(t, "PATCH", path, map[string]any{"hugepages": map[string]any{"off": true}}, "succeeded") // the host has set none aside
	e.api.Change(t, "POST", path+"/stop", nil, "succeeded")
	e.api.Change(t, "POST", path+"/start", nil, "succeeded")
	h = e.hardware(t, v.ID)
	if len(h.Pending) != 0 || h.Watchdog == nil || h.Watchdog.Model != "ib700" || h.CPU != "qemu64" {
		t.Errorf("after a restart: %+v", h)
	}
	hears(t, e, v, "tick")

	// What cannot be is refused with the field, and nothing is changed.
	_, err := e.api.Do("PATCH", path, map[string]any{"cpu_pins": []map[string]any{{"vcpu": 0, "cpus": "4000"}}}, nil)
	if p := problem(t, err); p.Status != 409 && p.Status != 422 {
		t.Errorf("a CPU that the host does not have: %+v", p)
	}
	_, err = e.api.Do("PATCH", path, map[string]any{"add_host_devices": []map[string]any{{"class": "gpu"}}}, nil)
	if p := problem(t, err); p.Status != 409 && p.Status != 422 {
		t.Errorf("a card that no host has: %+v", p)
	}
	var page struct {
		Items []struct {
			Name   string
			Host   string
			UsedBy *struct{ Name string } `json:"used_by"`
		}
	}
	if _, err := e.api.Do("GET", "/api/v1/devices?limit=5", nil, &page); err != nil {
		t.Error(err)
	}
	e.api.Change(t, "DELETE", path+"?disks=true", nil, "succeeded")
}

func TestDevicesInTheBrowser(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "tinkered", e.hosts[0], 16<<20))
	p := browser.Open(t, e.URL, 1440, 1100)
	p.SignIn(e.Admin, e.Password, password)
	tab := "/vms/" + v.ID + "/hardware"
	p.Go(tab)
	open := func(section string) {
		browser.Eval[bool](p, `document.querySelector('form:has(input[name=section][value="`+section+`"])').closest("details").open = true`)
	}
	send := func(section string) {
		p.Click(`form:has(input[name=section][value="` + section + `"]) button[type=submit]`)
	}
	open("watchdog")
	p.Select("watchdog.model", "i6300esb")
	p.Picture("devices-1-watchdog")
	send("watchdog")
	p.Until("the watchdog, now or at the next start", `document.querySelector("#hw-devices")?.innerText.includes("i6300esb, then reset")`)
	p.Go(tab)
	open("numa")
	open("cpu-placement")
	p.Fill(map[string]string{"cpu_pins": "0 to everything"})
	send("cpu-placement")
	p.Until("the mark beside the field", `document.querySelector("textarea[name=cpu_pins][aria-invalid=true]")?.value === "0 to everything"`)
	p.Picture("devices-2-wrong")
	p.Fill(map[string]string{"cpu_pins": "0: 0"})
	send("cpu-placement")
	p.Until("the pin", `document.querySelector("#hw-placement")?.innerText.includes("0 on 0")`)
	p.Go(tab)
	open("folder-add")
	p.Fill(map[string]string{"filesystems.source": "/var/lib/libvirt/images", "filesystems.tag": "images"})
	send("folder-add")
	p.Until("what waits for the restart", `document.querySelector("#hw-folders .changes")?.innerText.includes("after restart")`)
	p.Picture("devices-3-pending")
	p.Click(`#hw-folders .changes form button`)
	p.Until("the change to be taken back", `!document.querySelector("#hw-folders .changes")`)
	p.Go("/hosts/cpu-baseline?vm=" + v.ID)
	p.Picture("devices-6-common")
	p.Click(`#common button[type=submit]`)
	p.Until("a processor that both hosts can give", `document.querySelectorAll("#common-found tbody tr").length === 2`)
	p.Picture("devices-7-found")
	p.Click(`#common-found a.primary`)
	p.Until("it to be chosen in the VM's form", `(() => { const s = document.querySelector("#hw-cpu select[name=cpu]"); return s && s.offsetParent && s.value !== "" && s.value !== "maximum" })()`)
	p.Picture("devices-8-chosen")
	send("cpu")
	p.Until("the processor of the next start", `document.querySelector("#hw-cpu .changes")?.innerText.includes("CPU model")`)
	p.Go("/devices")
	p.Picture("devices-4-estate")
	p.Go("/hosts/" + e.hosts[0] + "/devices")
	p.Picture("devices-5-host")
	if got, err := e.api.VM(v.ID); err != nil || got.State != "running" {
		t.Errorf("afterwards it is %+v: %v", got, err)
	}
}
