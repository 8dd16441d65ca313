package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"novacron/e2e/browser"
	"novacron/e2e/server"
)

// snap is the API's snapshot.
type snap struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Parent   string `json:"parent"`
	Notes    string `json:"notes"`
	Memory   bool   `json:"memory"`
	Current  bool   `json:"current"`
	Schedule string `json:"schedule_id"`
	Growth   int64  `json:"growth_bytes"`
}

func (e *estate) snaps(t *testing.T, vm string) map[string]snap {
	t.Helper()
	var page struct{ Items []snap }
	if _, err := e.api.Do("GET", "/api/v1/vms/"+vm+"/snapshots", nil, &page); err != nil {
		t.Fatal(err)
	}
	out := map[string]snap{}
	for _, s := range page.Items {
		out[s.Name] = s
	}
	return out
}

// forgetSnapshots merges all snapshots of a VM.
func (e *estate) forgetSnapshots(t *testing.T, vm string) {
	for _, s := range e.snaps(t, vm) {
		if s.Parent == "" {
			e.api.Change(t, "DELETE", "/api/v1/vms/"+vm+"/snapshots/"+s.ID+"?children=delete", nil, "succeeded")
		}
	}
}

// inside is a person at the guest's serial console.
type inside struct {
	t  *testing.T
	e  *estate
	c  *http.Client
	vm server.VM
}

// says types a line until the guest answers with what is wanted: a guest that is still starting answers later.
func (i inside) says(line, want string) {
	i.t.Helper()
	server.Wait(i.t, 90*time.Second, "the guest to answer "+want, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		ws, _, err := i.e.dial(ctx, i.c, i.e.ticket(i.t, i.c, i.vm, "serial"), i.e.URL)
		if err != nil {
			return err
		}
		defer ws.CloseNow()
		ws.SetReadLimit(1 << 20)
		if err := ws.Write(ctx, websocket.MessageBinary, []byte("\n"+line+"\n")); err != nil {
			return err
		}
		var heard strings.Builder
		for !strings.Contains(heard.String(), want) {
			_, b, err := ws.Read(ctx)
			if err != nil {
				return server.Not(want, heard.String())
			}
			heard.Write(b)
		}
		return nil
	})
}

func (i inside) write(n string) {
	// A shell may be there before the disk is: without the check dd would make a file of that name in memory.
	i.says("[ -b /dev/vda ] && printf mark-$((1000+"+n+")) | dd of=/dev/vda bs=512 conv=sync,fsync 2>/dev/null && echo wrote-$((1000+"+n+"))", "wrote-100"+n)
}

func (i inside) reads(n string) {
	i.says("sync; echo 3 > /proc/sys/vm/drop_caches; echo it-is-$(head -c 9 /dev/vda)", "it-is-mark-100"+n)
}

// whole wants that a disk's file on a host is without fault, through its chain.
func whole(t *testing.T, host int, file string) {
	t.Helper()
	out, err := hosts.Hosts[host].Exec(t.Context(), "qemu-img", "check", "-q", "-U", file)
	if err != nil {
		t.Errorf("qemu-img check %s: %v %s", file, err, out)
	}
}

func TestSnapshotsThereAndBack(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Fatal(err)
	}
	e := newEstate(t)
	v := e.create(t, e.guest(t, "snapper", e.hosts[0], 32<<20))
	base := "/api/v1/vms/" + v.ID + "/snapshots"
	in := inside{t, e, signIn(t, e.Server), v}
	in.write("1")
	e.api.Change(t, "POST", base, map[string]any{"name": "disk-only", "notes": "the first"}, "succeeded")
	in.write("2")
	e.api.Change(t, "POST", base, map[string]any{"name": "with-memory", "memory": true}, "succeeded")
	in.write("3")
	all := e.snaps(t, v.ID)
	first, second := all["disk-only"], all["with-memory"]
	if first.Kind != "external" || first.Memory || first.Notes != "the first" || second.Kind != "external" || !second.Memory || second.Parent != "disk-only" || !second.Current || second.Growth == 0 {
		t.Fatalf("%+v", all)
	}

	e.api.Change(t, "POST", base+"/"+second.ID+"/revert", map[string]any{"safety": true}, "succeeded")
	in.reads("2")
	e.api.Change(t, "POST", base+"/"+first.ID+"/revert", map[string]any{"safety": false}, "succeeded")
	in.reads("1")

	// What others need stays when something is deleted; a VM made of a snapshot stands alone.
	if _, err := e.api.Do("DELETE", base+"/"+first.ID, nil, nil); problem(t, err).Status != 409 {
		t.Error("it does not ask what becomes of those below:", err)
	}
	var job server.Job
	if _, err := e.api.Do("POST", base+"/"+second.ID+"/clone?wait=60s", map[string]string{"name": "snapper-copy"}, &job); err != nil || job.State != "succeeded" {
		t.Fatalf("%v %+v", err, job)
	}
	e.api.Change(t, "DELETE", base+"/"+second.ID+"?children=delete", nil, "succeeded")
	e.api.Change(t, "DELETE", base+"/"+first.ID+"?children=delete", nil, "succeeded")
	in.reads("1")
	if left := e.snaps(t, v.ID); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/stop", nil, "succeeded")
	now, err := e.api.VM(v.ID)
	if err != nil || len(now.Disks) != 1 {
		t.Fatalf("%+v %v", now, err)
	}
	whole(t, 0, now.Disks[0].Source)
	if files := volumes(t, 0, "snapper"); len(files) != 2 { // its own disk and the copy's
		t.Errorf("files: %v", files)
	}

	// A schedule takes one and keeps one.
	var sched struct{ ID string }
	if _, err := e.api.Do("POST", "/api/v1/snapshot-schedules", map[string]any{"name": "often", "vms": []string{v.ID}, "hourly": map[string]int{"keep": 1, "minute": 5}}, &sched); err != nil {
		t.Fatal(err)
	}
	e.api.Change(t, "POST", "/api/v1/snapshot-schedules/"+sched.ID+"/run", nil, "succeeded")
	made := e.snaps(t, v.ID)
	if len(made) != 1 {
		t.Fatalf("%+v", made)
	}
	for _, s := range made {
		if s.Schedule != sched.ID || s.Kind != "external" {
			t.Errorf("%+v", s)
		}
		e.api.Change(t, "DELETE", base+"/"+s.ID, nil, "succeeded")
	}
	e.api.Change(t, "DELETE", "/api/v1/vms/"+v.ID+"?disks=true", nil, "succeeded")
	e.api.Change(t, "DELETE", "/api/v1/vms/"+job.Resource.ID+"?disks=true", nil, "succeeded")
	if files := volumes(t, 0, "snapper"); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
}

func TestSnapshotsInTheBrowser(t *testing.T) {
	e := newEstate(t)
	req := e.guest(t, "shutter", e.hosts[0], 16<<20)
	req["start"] = false
	v := e.create(t, req)
	tab := "/vms/" + v.ID + "/snapshots"
	p := browser.Open(t, e.URL, 1440, 900)
	p.SignIn(e.Admin, e.Password, password)
	p.Go(tab)
	p.UntilText("No snapshots yet")
	p.Click(`a[href$="/snapshots/new"]`)
	p.Until("the dialog", `document.querySelector("dialog[open] [name=name]")`)
	p.Fill(map[string]string{"name": "before-upgrade"})
	p.Picture("snapshots-1-new")
	p.Click(`dialog[open] form button[type=submit]`)
	p.Until("the row by itself", `document.querySelector("#snapshot-tree tbody")?.innerText.includes("before-upgrade")`)
	p.Until("the VM to be free", `document.querySelector('#snapshot-tree a[href$="/revert"]')`)
	p.Picture("snapshots-2-tree")
	p.Click(`#snapshot-tree a[href$="/revert"]`)
	p.Until("the question", `document.querySelector("dialog[open] [name=safety]")`)
	p.Picture("snapshots-3-revert")
	p.Click(`dialog[open] form button[type=submit]`)
	p.Until("the safety snapshot", `document.querySelectorAll("#snapshot-tree tbody tr").length === 2`)
	p.Until("the VM to be free", `document.querySelector('#snapshot-tree a[href$="/delete"]')`)
	p.Click(`#snapshot-tree a[href$="/delete"]`)
	p.Until("the question", `document.querySelector("dialog[open] [name=children]")`)
	p.Select("children", "delete")
	p.Picture("snapshots-4-delete")
	p.Click(`dialog[open] form button[type=submit]`)
	p.UntilText("No snapshots yet")
	p.Go("/snapshot-schedules")
	p.UntilText("No schedules yet")
	p.Picture("snapshots-5-schedules")
	p.Go("/snapshot-schedules/new")
	p.Fill(map[string]string{"name": "nightly", "tags": "prod"})
	p.Picture("snapshots-6-schedule")
	p.Click(`#form form button[type=submit]`)
	p.UntilText("daily at 02:00, keep 7")
	p.Picture("snapshots-7-list")
	axe, err := os.ReadFile(filepath.Join(server.Root(t), "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/snapshots", map[string]any{"name": name, "kind": "external"}, "succeeded")
	}
	for i, path := range []string{tab, tab + "/new", "/snapshot-schedules", "/snapshot-schedules/new"} {
		for _, narrow := range []bool{false, true} {
			width := 1440
			if narrow {
				width = 390
			}
			p.Resize(width, 900)
			p.Dark(narrow)
			p.Go(path)
			if wide := browser.Eval[int](p, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
				t.Errorf("%s is %d px wider than a screen of %d px", path, wide, width)
			}
			for _, finding := range p.Axe(string(axe)) {
				t.Errorf("%s at %d px: %s", path, width, finding)
			}
			p.Picture(fmt.Sprintf("snapshots-look-%d-%d", i, width))
		}
	}
	e.forgetSnapshots(t, v.ID)
}
