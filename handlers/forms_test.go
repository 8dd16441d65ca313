package handlers

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"novacron/db"
	"novacron/domain"
)

func TestCreateVM(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")

	// Wrong fields are all named, and everything typed is still there.
	form := createForm("bad name!")
	form.Set("vcpus", "lots")
	form.Set("memory_bytes", "much")
	a := b.post("/vms", form).want(t, 422, `value="bad name!"`, `value="lots"`, `value="much"`, "a note of mine", `value="ci"`, `aria-invalid="true"`)
	if n := strings.Count(a.text, `aria-invalid="true"`); n < 3 {
		t.Errorf("%d of 3 wrong fields are marked", n)
	}
	b.post("/vms", form, htmx).want(t, 422, `value="bad name!"`)

	// Larger than any host: said with the reason per host, still with what was typed.
	form = createForm("giant")
	form.Set("memory_bytes", "2 TiB")
	b.post("/vms", form).want(t, 507, `value="giant"`, "2 TiB", "b1")

	page := b.get("/vms/new").want(t, 200)
	form = createForm("web-1")
	form.Set("key", onceKeyOf(t, page.text))
	first := b.post("/vms", form)
	first.want(t, 303)
	vm := w.vmNamed("web-1")
	if first.location() != "/vms/"+vm.ID {
		t.Fatalf("moved to %q", first.location())
	}
	b.get(first.location()).want(t, 200, "web-1", "a note of mine")
	// The same form sent twice makes one VM.
	second := b.post("/vms", form).wantMove(t, first.location())
	if c := w.fake.Calls("Define"); c != 1 {
		t.Errorf("Define was called %d times", c)
	}
	_ = second
	// The same name again is refused by name.
	form.Del("key")
	b.post("/vms", form).want(t, 409, `value="web-1"`, "b1")
	// htmx is moved by a header.
	if to := b.post("/vms", createForm("web-2"), htmx).want(t, 200).Header.Get("HX-Redirect"); !strings.HasPrefix(to, "/vms/vm_") {
		t.Errorf("HX-Redirect %q", to)
	}
}

func TestWhatTheHostRefusesIsSaidInTheForm(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	w.fake.Fail("Define", domain.Errorf(domain.Invalid, "The hypervisor refuses the machine type."), 1)
	b.post("/vms", createForm("web-1")).want(t, 422, `value="web-1"`, "refuses the machine type")
	p, err := w.db.VMs(context.Background(), db.VMQuery{})
	if err != nil || p.Total != 0 {
		t.Errorf("it left a row: %+v, %v", p, err)
	}
	vols, err := w.fake.Inventory(context.Background())
	if err != nil || len(vols.Volumes) != 0 {
		t.Errorf("it left volumes: %+v, %v", vols.Volumes, err)
	}
}

func TestActions(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	vm := w.vm(b, "web-1")
	b.last = "/vms?filter=web"
	b.post("/vms/"+vm.ID+"/actions/start", nil).wantMove(t, "/vms?filter=web")
	b.get("/vms?filter=web").want(t, 200, "Start web-1", "Show task")
	w.job(w.newest("vm.start").ID)
	w.level("running", func() bool { return w.vmNamed("web-1").State == domain.VMRunning })
	// The state forbids: a toast that says why, or the page again.
	b.post("/vms/"+vm.ID+"/actions/resume", nil, htmx).want(t, 409, "hx-partial", "running VM cannot be resumed")
	b.post("/vms/"+vm.ID+"/actions/resume", nil).wantMove(t, "/vms?filter=web")
	b.get("/vms?filter=web").want(t, 200, "running VM cannot be resumed")
	b.post("/vms/"+vm.ID+"/actions/shutdown", url.Values{"force_after": {"soon"}}, htmx).want(t, 422)
	b.get("/vms/"+vm.ID+"/actions/stop").want(t, 200, "web-1", `action="/vms/`+vm.ID+`/actions/stop"`)
	b.post("/vms/"+vm.ID+"/actions/stop", nil, htmx).want(t, 200, "hx-partial", "Show task")
	w.job(w.newest("vm.stop").ID)
	// A second action on a busy VM says what holds it.
	release := w.fake.Hang("Start")
	b.post("/vms/"+vm.ID+"/actions/start", nil, htmx).want(t, 200)
	held := w.newest("vm.start")
	b.post("/vms/"+vm.ID+"/actions/start", nil, htmx).want(t, 409, "Start web-1", "/tasks/"+held.ID)
	b.post("/tasks/"+held.ID+"/cancel", nil, htmx).want(t, 200, "cancelled")
	release()
	w.job(held.ID)
	b.post("/tasks/"+held.ID+"/cancel", nil, htmx).want(t, 409)
	b.post("/tasks/"+held.ID+"/retry", nil, htmx).want(t, 409)
	b.post("/tasks/"+held.ID+"/dismiss", nil, htmx).want(t, 409)
	b.post("/tasks/"+held.ID+"/explode", nil, htmx).want(t, 404)
}

func TestEditAndTwoTabs(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	vm := w.vm(b, "web-1")
	at := "/vms/" + vm.ID
	version := func() string { return strconv.FormatInt(w.vmNamed("web-1").Version, 10) }
	old := version()
	b.post(at+"/edit", url.Values{"section": {"memory"}, "version": {old}, "memory_bytes": {"512 MiB"}}).wantMove(t, at+"/hardware")
	w.level("the new size", func() bool { return w.vmNamed("web-1").Config.MemoryBytes == 512*domain.MiB })
	b.get(at+"/hardware").want(t, 200, "512 MiB")
	// Another tab still has the old version: it is told, and what was typed is kept.
	a := b.post(at+"/edit", url.Values{"section": {"memory"}, "version": {old}, "memory_bytes": {"768 MiB"}})
	a.want(t, 409, "768 MiB")
	b.post(at+"/edit", url.Values{"section": {"memory"}, "version": {version()}, "memory_bytes": {"nonsense"}}).want(t, 422, "nonsense")
	b.post(at+"/edit", url.Values{"section": {"memory"}, "version": {version()}, "memory_bytes": {"512 MiB"}}, htmx).want(t, 200, "Nothing differs")

	b.post(at+"/describe", url.Values{"version": {version()}, "tags": {"prod, web"}, "notes": {"line 1\r\nline 2"}}).wantMove(t, at)
	if got := w.vmNamed("web-1"); strings.Join(got.Tags, "+") != "prod+web" || got.Notes != "line 1\nline 2" {
		t.Errorf("tags %v, notes %q", got.Tags, got.Notes)
	}
	b.post(at+"/describe", url.Values{"version": {version()}, "tags": {"not<a>tag"}, "notes": {"kept text"}}).want(t, 422, "kept text", "not&lt;a&gt;tag")
	b.post(at+"/describe", url.Values{"version": {"1x"}, "tags": {"a"}}).want(t, 422)

	b.post(at+"/rename", url.Values{"name": {"web 1!"}}).want(t, 422, `value="web 1!"`)
	b.post(at+"/rename", url.Values{"name": {"web-9"}}).wantMove(t, at)
	w.level("the new name", func() bool { v, err := w.db.VM(context.Background(), vm.ID); return err == nil && v.Name == "web-9" })
	a = b.post(at+"/clone", url.Values{"name": {"web-9"}})
	a.want(t, 409, `value="web-9"`)
	a = b.post(at+"/clone", url.Values{"name": {"web-10"}})
	a.want(t, 303)
	w.job(w.newest("vm.clone").ID)
	w.level("the clone", func() bool {
		p, err := w.db.VMs(context.Background(), db.VMQuery{Filter: "name:web-10"})
		return err == nil && p.Total == 1
	})
	b.post("/vms/vm_none/rename", url.Values{"name": {"x"}}).want(t, 404)
	b.post("/vms/vm_none/edit", url.Values{"section": {"memory"}}).want(t, 404)
}

func TestPendingChangesCanBeTakenBack(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	vm := w.vm(b, "web-1")
	at := "/vms/" + vm.ID
	b.post(at+"/actions/start", nil, htmx).want(t, 200)
	w.job(w.newest("vm.start").ID)
	w.level("running", func() bool { return w.vmNamed("web-1").State == domain.VMRunning })
	v := strconv.FormatInt(w.vmNamed("web-1").Version, 10)
	b.post(at+"/edit", url.Values{"section": {"firmware"}, "version": {v}, "firmware": {"uefi"}}).wantMove(t, at+"/hardware")
	w.level("pending", func() bool { return len(w.vmNamed("web-1").Pending) > 0 })
	b.get(at+"/hardware").want(t, 200, "restart")
	for _, p := range w.vmNamed("web-1").Pending {
		if p.Field == "firmware" {
			b.post(at+"/revert", url.Values{"field": {p.Field}}, htmx).want(t, 200)
		}
	}
	w.level("nothing pending in firmware", func() bool {
		for _, p := range w.vmNamed("web-1").Pending {
			if p.Field == "firmware" {
				return false
			}
		}
		return true
	})
	b.post(at+"/revert", url.Values{"field": {"nonsense"}}, htmx)
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	vm := w.vm(b, "web-1")
	at := "/vms/" + vm.ID + "/delete"
	b.get(at).want(t, 200, "web-1", ".qcow2", "goes")
	b.post(at, url.Values{"disks": {"1"}, "confirm": {"1", "web-2"}}).want(t, 422, "does not match")
	if _, err := w.db.VM(context.Background(), vm.ID); err != nil {
		t.Fatal(err)
	}
	b.last = "/vms/" + vm.ID
	b.post(at, url.Values{"disks": {"1"}, "confirm": {"1", "web-1"}}).wantMove(t, "/vms")
	w.job(w.newest("vm.delete").ID)
	w.level("gone", func() bool {
		_, err := w.db.VM(context.Background(), vm.ID)
		return domain.Is(err, domain.NotFound)
	})
	b.post(at, url.Values{"confirm": {"web-1"}}).want(t, 404)
}

func TestBulk(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	var ids []string
	for _, n := range []string{"a-1", "a-2", "a-3"} {
		ids = append(ids, w.vm(b, n).ID)
	}
	b.get("/vms")
	b.post("/vms/bulk", url.Values{"action": {"start"}}, htmx).want(t, 422, "Nothing is selected")
	b.post("/vms/bulk", url.Values{"action": {"fly"}, "ids": ids}, htmx).want(t, 422)
	b.post("/vms/bulk", url.Values{"action": {"resume"}, "ids": ids}, htmx).want(t, 409, "None of the 3")
	b.post("/vms/bulk", url.Values{"action": {"start"}, "ids": ids[:2]}, htmx).want(t, 200, "hx-partial")
	w.level("two run", func() bool { return w.count("state:running") == 2 })
	w.level("nothing works", func() bool {
		p, err := w.db.Jobs(context.Background(), db.JobQuery{Active: true})
		return err == nil && len(p.Items) == 0
	})
	// What disrupts is asked first, and the one whose state forbids it is left alone.
	a := b.post("/vms/bulk", url.Values{"action": {"stop"}, "ids": ids}, htmx)
	a.want(t, 200, "a-1", "a-2", `name="confirm" value="1"`, "left alone")
	if w.count("state:running") != 2 {
		t.Fatal("it acted before it was confirmed")
	}
	b.post("/vms/bulk", url.Values{"action": {"stop"}, "ids": ids[:2], "confirm": {"1"}, "back": {"/vms?filter=a"}}).wantMove(t, "/vms?filter=a")
	w.level("none runs", func() bool { return w.count("state:running") == 0 })
	w.level("nothing works", func() bool {
		p, err := w.db.Jobs(context.Background(), db.JobQuery{Active: true})
		return err == nil && len(p.Items) == 0
	})
	// All that match; and deleting many wants the words typed.
	b.post("/vms/bulk", url.Values{"action": {"delete"}, "all": {"1"}, "filter": {"name:a-*"}}, htmx).want(t, 200, "a-1", "a-3", "delete 3 VMs")
	form := url.Values{"action": {"delete"}, "all": {"1"}, "filter": {"name:a-*"}, "ids": ids, "disks": {"1"}, "confirm": {"1", "delete"}}
	b.post("/vms/bulk", form, htmx).want(t, 422, "does not match")
	w.vm(b, "a-4") // matches by now, but nobody was asked about it
	form["confirm"] = []string{"1", "delete 3 VMs"}
	b.post("/vms/bulk", form, htmx).want(t, 200, "hx-partial")
	w.level("deleted", func() bool { return w.count("") == 1 })
	if got := w.vmNamed("a-4"); got.Name != "a-4" {
		t.Errorf("left is %q", got.Name)
	}
	b.post("/vms/bulk", url.Values{"action": {"delete"}, "all": {"1"}, "filter": {"cpu>x"}}, htmx).want(t, 422)
}

func (w *world) count(filter string) int {
	w.t.Helper()
	p, err := w.db.VMs(context.Background(), db.VMQuery{Filter: filter, Limit: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Total
}

func TestBulkOnAHostsPageMeansThatHost(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	one, two := w.mirrored("h1", 2), w.mirrored("h2", 3)
	b.get("/hosts/"+one+"/vms").want(t, 200)
	a := b.post("/vms/bulk", url.Values{"action": {"stop"}, "all": {"1"}, "filter": {""}}, htmx).want(t, 200, "h1-g0000")
	if strings.Contains(a.text[strings.Index(a.text, "<main"):], "h2-g0000") {
		t.Error("“all” on one host's page means the other host too")
	}
	_ = two
}

func TestHosts(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	b.post("/hosts", url.Values{"name": {"b 1!"}, "uri": {"http://x"}, "labels": {"site=ams"}}).want(t, 422, `value="b 1!"`, `value="http://x"`, "site=ams")
	b.post("/hosts/try", url.Values{"name": {"b1"}, "uri": {"vmware://x"}}).want(t, 422, "not supported")
	b.post("/hosts/try", url.Values{"name": {"b1"}, "uri": {"qemu+tcp://b1.example/system"}, "labels": {"site=ams"}}).want(t, 200, "EPYC-Milan", `value="b1"`, "site=ams")
	if hs, err := w.db.Hosts(context.Background()); err != nil || len(hs) != 0 {
		t.Fatalf("a trial saved a host: %v, %v", hs, err)
	}
	w.fake.Fail("Dial", domain.Errorf(domain.Unavailable, "Connection refused.").WithCause(errors.New("x")), 1)
	b.post("/hosts/try", url.Values{"name": {"b1"}, "uri": {"qemu+tcp://b1.example/system"}}, htmx).want(t, 200, "Connection refused", `value="b1"`)
	h := w.host(b, "b1")
	b.post("/hosts", url.Values{"name": {"b1"}, "uri": {"qemu+tcp://other.example/system"}}).want(t, 409, `value="b1"`)

	at := "/hosts/" + h.ID
	b.post(at+"/maintenance", url.Values{"on": {"1"}}, htmx).want(t, 200, "maintenance")
	b.get(at).want(t, 200, "maintenance")
	b.post("/vms", createForm("web-1")).want(t, 507, "maintenance")
	b.post(at+"/maintenance", url.Values{"on": {"0"}}).wantMove(t, at)
	h, err := w.db.Host(context.Background(), h.ID)
	if err != nil {
		t.Fatal(err)
	}
	v := strconv.FormatInt(h.Version, 10)
	b.post(at+"/edit", url.Values{"version": {v}, "name": {"b1"}, "labels": {"rack=b2"}, "notes": {"hello"}}).wantMove(t, at)
	b.get(at).want(t, 200, "rack", "hello")
	b.post(at+"/edit", url.Values{"version": {v}, "name": {"b1"}, "labels": {"rack=b3"}, "notes": {"kept notes"}}).want(t, 409, "rack=b3", "kept notes")
	b.post(at+"/edit", url.Values{"name": {"b1"}, "labels": {"BAD KEY=1"}, "notes": {""}}).want(t, 422, "BAD KEY=1")
	b.post(at+"/reconnect", nil, htmx).want(t, 200)
	w.job(w.newest("host.reconnect").ID)
	b.post(at+"/remove", nil).wantMove(t, "/hosts")
	w.level("removed", func() bool {
		hs, err := w.db.Hosts(context.Background())
		return err == nil && len(hs) == 0
	})
	b.get(at).want(t, 404)
}
