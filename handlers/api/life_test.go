package api

import (
	"encoding/json"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"

	"novacron/auth/access"
	"novacron/domain"
)

// vmIn waits until the VM is seen in a state; the reconciler may be a moment behind the job.
func (w *world) vmIn(id string, state domain.VMState) VM {
	w.t.Helper()
	next, stop := w.watch("?resource=" + id)
	defer stop()
	for {
		v := want[VM](w.t, w.do("GET", "/api/v1/vms/"+id, nil), 200)
		if v.State == state && v.Busy == nil {
			return v
		}
		if _, ok := next(); !ok {
			w.t.Fatalf("%s stays %s, wanted %s", v.Name, v.State, state)
		}
	}
}

func TestAHostComesIsEditedAndGoes(t *testing.T) {
	w := newWorld(t)
	try := w.change("POST", "/api/v1/hosts/try", map[string]any{"name": "b2", "uri": "qemu+tcp://b2.example/system"})
	var facts domain.HostFacts
	if err := json.Unmarshal(try.Result, &facts); err != nil || facts.MemoryBytes == 0 || facts.CPUs == 0 {
		t.Errorf("a trial found %s: %v", try.Result, err)
	}
	if n := len(w.hosts()); n != 0 {
		t.Fatalf("trying a host saved %d", n)
	}
	id := w.change("POST", "/api/v1/hosts", map[string]any{"name": "b2", "uri": "qemu+tcp://b2.example/system", "labels": map[string]string{"site": "ams"}}).Resource.ID
	a := w.do("GET", "/api/v1/hosts/"+id, nil)
	h := want[Host](t, a, 200)
	if h.Name != "b2" || h.URI != "qemu+tcp://b2.example/system" || h.Labels["site"] != "ams" || h.Facts.MemoryBytes == 0 {
		t.Errorf("%s", a.body)
	}
	if strings.Contains(string(a.body), "credential") {
		t.Errorf("credentials are shown: %s", a.body)
	}
	tag := a.Header.Get("ETag")
	a = w.do("PATCH", "/api/v1/hosts/"+id, `{"notes":"rack 7","maintenance":true,"labels":{"rack":"7"}}`, header("If-Match", tag))
	edited := want[Host](t, a, 200)
	if edited.Notes != "rack 7" || !edited.Maintenance || edited.Labels["rack"] != "7" || edited.Labels["site"] != "" || edited.Version <= h.Version || a.Header.Get("ETag") == tag {
		t.Errorf("%s", a.body)
	}
	refused(t, w.do("PATCH", "/api/v1/hosts/"+id, `{"notes":"mine"}`, header("If-Match", tag)), 412, "")
	refused(t, w.do("PATCH", "/api/v1/hosts/"+id, `{"name":"no good name!"}`), 422, "name")
	refused(t, w.do("POST", "/api/v1/hosts", `{"name":"b2","uri":"qemu+tcp://other.example/system"}`), 409, "name")
	refused(t, w.do("POST", "/api/v1/hosts", `{"name":"b3","uri":"xen:///"}`), 422, "uri")
	if p := want[Page[Host]](t, w.do("GET", "/api/v1/hosts?filter=label:rack=7", nil), 200); p.Total != 1 {
		t.Errorf("hosts in rack 7: %d", p.Total)
	}
	w.change("POST", "/api/v1/hosts/"+id+"/reconnect", nil)
	w.change("DELETE", "/api/v1/hosts/"+id, nil)
	refused(t, w.do("GET", "/api/v1/hosts/"+id, nil), 404, "")
}

func TestALifeOfAVM(t *testing.T) {
	w := newWorld(t)
	host := w.addHost("b2")
	body := map[string]any{
		"name": "web-1", "host": "any", "vcpus": 2, "memory_bytes": 512 << 20, "start": true, "tags": []string{"ci"}, "notes": "made by a test", "title": "Web", "description": "serves pages",
		"disks": []any{map[string]any{"pool": "default", "size_bytes": 1 << 30, "format": "qcow2", "bus": "virtio"}},
		"nics":  []any{map[string]any{"network": "default", "model": "virtio"}}, "boot": map[string]any{"order": []string{"hd"}}, "firmware": "bios", "accel": "auto",
	}
	// The VM's id is settled with the job, before it has run.
	a := w.do("POST", "/api/v1/vms", body, header("Idempotency-Key", "k1"))
	first := want[Job](t, a, http.StatusAccepted)
	if first.Kind != "vm.create" || first.Resource.Kind != "vm" || first.Resource.ID == "" {
		t.Fatalf("%s", a.body)
	}
	want[VM](t, w.do("GET", "/api/v1/vms/"+first.Resource.ID, nil), 200)
	if again := want[Job](t, w.do("POST", "/api/v1/vms?wait=20s", body, header("Idempotency-Key", "k1")), 202); again.ID != first.ID || again.State != domain.JobSucceeded {
		t.Fatalf("the same key made another job: %+v", again)
	}
	id := first.Resource.ID
	v := w.vmIn(id, domain.VMRunning)
	if v.HostID != host || v.Host != "b2" || v.VCPUs != 2 || v.MemoryBytes != 512<<20 || !slices.Equal(v.Tags, []string{"ci"}) || v.Notes != "made by a test" || v.Title != "Web" || len(v.Disks) != 1 || v.Disks[0].Source == "" || len(v.NICs) != 1 || v.NICs[0].MAC == "" || v.Creating || !domain.ValidUUID(v.UUID) {
		t.Errorf("%+v", v)
	}
	at := "/api/v1/vms/" + id
	p := refused(t, w.do("POST", "/api/v1/vms", body), 409, "name")
	if p.Fix == "" && len(p.Errors) == 0 {
		t.Errorf("a taken name: %+v", p)
	}
	for _, step := range []struct {
		act   string
		in    any
		state domain.VMState
	}{
		{"pause", nil, domain.VMPaused}, {"resume", nil, domain.VMRunning}, {"reboot", nil, domain.VMRunning}, {"reset", nil, domain.VMRunning}, {"save", nil, domain.VMSaved},
		{"restore", nil, domain.VMRunning}, {"save", nil, domain.VMSaved}, {"discard", nil, domain.VMStopped}, {"start", nil, domain.VMRunning},
		{"shutdown", map[string]any{"force_after_seconds": 5}, domain.VMStopped}, {"start", nil, domain.VMRunning}, {"shutdown", nil, domain.VMStopped}, {"start", nil, domain.VMRunning}, {"stop", nil, domain.VMStopped},
	} {
		if j := w.change("POST", at+"/"+step.act, step.in); j.Resource.ID != id {
			t.Errorf("%s is about %+v", step.act, j.Resource)
		}
		w.vmIn(id, step.state)
	}
	if p := refused(t, w.do("POST", at+"/pause", nil), 409, ""); p.Fix == "" {
		t.Errorf("pausing a stopped VM: %+v", p)
	}

	a = w.do("PATCH", at, `{"tags":["prod","web"],"notes":"kept"}`)
	if v := want[VM](t, a, 200); !slices.Equal(v.Tags, []string{"prod", "web"}) || v.Notes != "kept" || a.Header.Get("ETag") != etag(v.Version) || a.Header.Get("Location") != "" {
		t.Errorf("%s", a.body)
	}
	refused(t, w.do("PATCH", at, `{"tags":["no good tag!"]}`), 422, "tags")
	stale := a.Header.Get("ETag")
	w.change("PATCH", at, `{"vcpus":4,"notes":"both at once"}`)
	if v := want[VM](t, w.do("GET", at, nil), 200); v.VCPUs != 4 || v.Notes != "both at once" {
		t.Errorf("after a change: %+v", v)
	}
	refused(t, w.do("PATCH", at, `{"notes":"mine"}`, header("If-Match", stale)), 412, "")
	refused(t, w.do("PATCH", at, `{"memory_bytes":1}`), 422, "memory_bytes")

	w.change("POST", at+"/start", nil)
	w.vmIn(id, domain.VMRunning)
	w.change("PATCH", at, map[string]any{"cpu": "maximum"})
	v = want[VM](t, w.do("GET", at, nil), 200)
	if len(v.Pending) == 0 || v.Pending[0].Old == v.Pending[0].New {
		t.Errorf("nothing is pending: %+v", v)
	} else {
		w.change("POST", at+"/revert", map[string]any{"field": v.Pending[0].Field})
		if v := want[VM](t, w.do("GET", at, nil), 200); len(v.Pending) != 0 {
			t.Errorf("still pending: %+v", v.Pending)
		}
	}
	w.change("POST", at+"/stop", nil)
	w.vmIn(id, domain.VMStopped)

	w.change("POST", at+"/rename", `{"name":"web-2"}`)
	if v := want[VM](t, w.do("GET", at, nil), 200); v.Name != "web-2" {
		t.Errorf("renamed to %s", v.Name)
	}
	refused(t, w.do("POST", at+"/rename", `{"name":"../x"}`), 422, "name")
	refused(t, w.do("POST", at+"/clone", `{"name":"web-2"}`), 409, "name")
	copied := w.change("POST", at+"/clone", `{"name":"web-3"}`).Resource.ID
	c := w.vmIn(copied, domain.VMStopped)
	v = want[VM](t, w.do("GET", at, nil), 200)
	if copied == id || c.Name != "web-3" || c.UUID == v.UUID || c.Disks[0].Source == v.Disks[0].Source || c.NICs[0].MAC == v.NICs[0].MAC {
		t.Errorf("the copy is %+v", c)
	}

	plan := want[DeletePlan](t, w.do("GET", at+"/delete-plan", nil), 200)
	if plan.Name != "web-2" || len(plan.Files) != 1 || !plan.Files[0].Goes || path.Base(plan.Files[0].Path) != path.Base(v.Disks[0].Source) {
		t.Errorf("%+v of %+v", plan, v.Disks)
	}
	if len(w.fake.AllVolumes()) != 2 {
		t.Errorf("volumes: %+v", w.fake.AllVolumes())
	}
	w.change("DELETE", at+"?disks=true", nil)
	refused(t, w.do("GET", at, nil), 404, "")
	if vols := w.fake.AllVolumes(); len(vols) != 1 || vols[0].Name != path.Base(c.Disks[0].Source) {
		t.Errorf("volumes: %+v", vols)
	}
	w.change("DELETE", "/api/v1/vms/"+copied, nil)
	if len(w.fake.AllVolumes()) != 1 || len(w.fake.AllGuests()) != 0 {
		t.Errorf("a VM deleted without its disks left %+v and %+v", w.fake.AllGuests(), w.fake.AllVolumes())
	}
}

func TestManyAtOnceAndTheirJobs(t *testing.T) {
	w := newWorld(t)
	w.addHost("b2")
	var ids []string
	for _, name := range []string{"a", "b", "c"} {
		ids = append(ids, w.createVM(name))
	}
	j := w.change("POST", "/api/v1/vms/actions", map[string]any{"ids": ids, "action": "start"})
	for _, id := range ids {
		w.vmIn(id, domain.VMRunning)
	}
	children := want[Page[Job]](t, w.do("GET", "/api/v1/jobs?parent="+j.ID, nil), 200)
	if children.Total != 3 {
		t.Errorf("%d children", children.Total)
	}
	if p := want[Page[Job]](t, w.do("GET", "/api/v1/jobs?resource="+ids[0], nil), 200); p.Total < 2 || p.Items[0].ID <= p.Items[1].ID {
		t.Errorf("jobs of a VM: %+v", p)
	}
	seen, cursor := 0, ""
	for {
		p := want[Page[Job]](t, w.do("GET", "/api/v1/jobs?limit=2&cursor="+cursor, nil), 200)
		seen += len(p.Items)
		if p.Next == nil {
			if seen != p.Total {
				t.Errorf("%d of %d jobs", seen, p.Total)
			}
			break
		}
		cursor = *p.Next
	}
	one := want[Job](t, w.do("GET", "/api/v1/jobs/"+j.ID, nil), 200)
	if one.ID != j.ID || one.State != domain.JobSucceeded || one.Actor != "token "+access.Admin {
		t.Errorf("%+v", one)
	}
	log := w.do("GET", "/api/v1/jobs/"+children.Items[0].ID+"/log", nil)
	if log.StatusCode != 200 || !strings.Contains(string(log.body), `"items":[`) {
		t.Errorf("log: %d %s", log.StatusCode, log.body)
	}
	refused(t, w.do("POST", "/api/v1/jobs/"+j.ID+"/cancel", nil), 409, "")
	refused(t, w.do("POST", "/api/v1/jobs/"+j.ID+"/retry", nil), 409, "")
	refused(t, w.do("POST", "/api/v1/jobs/"+j.ID+"/dismiss", nil), 409, "")
	if j := w.change("POST", "/api/v1/vms/actions", map[string]any{"ids": ids, "action": "delete", "disks": true}); j.Resource.Kind == "" {
		t.Errorf("%+v", j)
	}
	if len(w.fake.AllGuests()) != 0 || len(w.fake.AllVolumes()) != 0 {
		t.Errorf("left: %+v, %+v", w.fake.AllGuests(), w.fake.AllVolumes())
	}
}

func TestABusyVMNamesItsHolderAndAJobIsCancelled(t *testing.T) {
	w := newWorld(t)
	w.addHost("b2")
	id := w.createVM("busy")
	release := w.fake.Hang("Start")
	defer release()
	a := w.do("POST", "/api/v1/vms/"+id+"/start?wait=10ms", nil)
	j := want[Job](t, a, 202)
	if j.State.Ended() {
		t.Fatalf("the job ended: %s", a.body)
	}
	p := refused(t, w.do("DELETE", "/api/v1/vms/"+id, nil), 409, "")
	if p.Holder != j.ID || p.Fix == "" {
		t.Errorf("%+v", p)
	}
	if v := want[VM](t, w.do("GET", "/api/v1/vms/"+id, nil), 200); v.Busy == nil || v.Busy.JobID != j.ID || v.Busy.Title == "" {
		t.Errorf("busy: %+v", v.Busy)
	}
	if p := want[Page[Job]](t, w.do("GET", "/api/v1/jobs?active=true", nil), 200); p.Total != 1 {
		t.Errorf("active: %+v", p)
	}
	done := want[Job](t, w.do("POST", "/api/v1/jobs/"+j.ID+"/cancel?wait=20s", nil), 202)
	if done.State != domain.JobUndone || done.Error == nil || done.Error.Message == "" {
		t.Errorf("cancelled: %+v", done)
	}
	if again := want[Job](t, w.do("GET", "/api/v1/jobs/"+j.ID+"?wait=30s", nil), 200); again.State != domain.JobUndone {
		t.Errorf("%+v", again)
	}
}

func TestFailuresOfTheWorldAreTold(t *testing.T) {
	w := newWorld(t)
	p := refused(t, w.do("POST", "/api/v1/vms", `{"name":"x","vcpus":1,"memory_bytes":268435456}`), 507, "")
	if p.Fix == "" && len(p.Reasons) == 0 {
		t.Errorf("no host: %+v", p)
	}
	w.addHost("b2")
	if p := refused(t, w.do("POST", "/api/v1/vms", `{"name":"x","vcpus":1,"memory_bytes":70368744177664}`), 507, ""); len(p.Reasons) == 0 {
		t.Errorf("too large: %+v", p)
	}
	refused(t, w.do("POST", "/api/v1/vms", `{"name":"x","host":"host_nothing","vcpus":1,"memory_bytes":268435456}`), 422, "host")
	w.fake.Fail("Define", domain.Errorf(domain.Invalid, "libvirt refused the definition."), -1)
	a := w.do("POST", "/api/v1/vms?wait=20s", `{"name":"x","vcpus":1,"memory_bytes":268435456,"disks":[{"pool":"default","size_bytes":1073741824}]}`)
	j := want[Job](t, a, 202)
	if j.State != domain.JobUndone || j.Error == nil || j.Error.Message == "" || j.Error.Step == "" || len(w.fake.AllVolumes()) != 0 {
		t.Errorf("%s, left %+v", a.body, w.fake.AllVolumes())
	}
	refused(t, w.do("GET", "/api/v1/vms/"+j.Resource.ID, nil), 404, "")
}
