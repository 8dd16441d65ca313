package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"novacron/e2e/browser"
	"novacron/e2e/lab"
	"novacron/e2e/server"
)

// A newcomer's first hour in the browser: sign in, connect a host, make a guest, see it on its screen and its serial line, see what virsh
// does, stop two at once, delete with disks.
func TestFirstHour(t *testing.T) {
	s := server.Start(t)
	e := &estate{Server: s, api: s.API()}
	t.Cleanup(func() { scrub(t, "first") })
	p := browser.Open(t, s.URL, 1440, 900)
	p.SignIn(s.Admin, s.Password, password)
	s.Password = password
	p.Picture("journey-1-empty")

	// A refused connection keeps what was typed and says what to do.
	p.Go("/hosts/new")
	p.Fill(map[string]string{"name": "kvm1", "uri": "qemu+tcp://127.0.0.1:1/system"})
	p.Click(`form#host button[type=submit]:not([formaction])`)
	p.UntilText("refuses connections")
	if got := browser.Eval[string](p, `document.querySelector("[name=uri]").value`); got != "qemu+tcp://127.0.0.1:1/system" {
		t.Errorf("the form lost the URI: %q", got)
	}
	p.Fill(map[string]string{"uri": hosts.Hosts[0].URI})
	p.Click(`form#host button[type=submit]:not([formaction])`)
	p.UntilText("libvirt 9")
	p.Picture("journey-2-tried")
	p.Click(`form#host button[formaction="/hosts"]`)
	p.Until("the host's page or the list of hosts", `/^\/(hosts\/host_|hosts$|tasks)/.test(location.pathname)`)
	server.Wait(t, 30*time.Second, "the host to be connected", func() error {
		var page struct{ Items []server.Host }
		if _, err := e.api.Do("GET", "/api/v1/hosts", nil, &page); err != nil || len(page.Items) != 1 || page.Items[0].State != "connected" {
			return server.Not("one connected host", fmt.Sprint(page.Items, err))
		}
		e.hosts = []string{page.Items[0].ID}
		return nil
	})

	// A wrong field is marked and nothing typed is lost; then it is right.
	kernel, initrd, err := lab.Guest(lab.GuestCache())
	if err != nil {
		t.Fatal(err)
	}
	p.Go("/vms/new")
	p.Select("source", "kernel")
	p.Fill(map[string]string{"name": "first", "memory_bytes": "lots", "boot.kernel": kernel, "boot.initrd": initrd, "boot.cmdline": lab.Cmdline})
	p.Fill(map[string]string{"disks.0.size_bytes": "64 MiB"})
	p.Click(`form[action="/vms"] button[type=submit]:not([formaction])`)
	p.UntilText("is not a size")
	if got := browser.Eval[string](p, `document.querySelector("[name='boot.cmdline']").value`); got != lab.Cmdline {
		t.Errorf("the form lost what was typed: %q", got)
	}
	p.Fill(map[string]string{"memory_bytes": "192 MiB"})
	p.Picture("journey-3-create")
	p.Click(`form[action="/vms"] button[type=submit]:not([formaction])`)
	p.Until("the VM's page or the list", `!location.pathname.endsWith("/new") && document.body.innerText.includes("first")`)
	var vm server.VM
	server.Wait(t, 60*time.Second, "the guest to run", func() error {
		all, err := e.api.VMs()
		if err != nil || len(all) != 1 || all[0].State != "running" {
			return server.Not("one running VM", fmt.Sprint(all, err))
		}
		vm = all[0]
		return nil
	})

	// Serial: the heartbeat comes in, keys go out.
	p.Go("/vms/" + vm.ID + "/console?kind=serial")
	p.UntilText("tick ")
	p.Picture("journey-4-serial")

	// Screen: pixels of more than one colour.
	p.Go("/vms/" + vm.ID + "/console")
	p.Until("the screen to show pixels", `(() => { const c = document.querySelector("canvas"); if (!c || !c.width) return false;
		const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data; const seen = new Set();
		for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i+1] << 8 | d[i+2]); return seen.size > 3 })()`)
	p.Picture("journey-5-screen")

	// What virsh does appears in the row by itself.
	p.Go("/vms")
	row := func(name string) string {
		return fmt.Sprintf(`([...document.querySelectorAll("tbody tr")].find(r => r.innerText.includes(%q)) || {innerText: ""}).innerText`, name)
	}
	p.Until("the row", row("first")+`.includes("running")`)
	virsh(t, 0, "suspend", "first")
	p.Within(5*time.Second, "the row to say paused", row("first")+`.includes("paused")`)
	virsh(t, 0, "resume", "first")
	p.Within(5*time.Second, "the row to say running", row("first")+`.includes("running")`)

	// A second one by the API appears in the open list; both are stopped at once.
	e.create(t, e.guest(t, "first-b", e.hosts[0], 0))
	p.Within(10*time.Second, "the new row", row("first-b")+`.includes("running")`)
	browser.Eval[bool](p, `(document.querySelectorAll(".row-check").forEach(c => c.click()), true)`)
	p.Click(`button[name=action][value=stop]`)
	p.Until("the question", `document.querySelector("dialog[open] form button[type=submit]")`)
	p.Picture("journey-6-bulk")
	p.Click(`dialog[open] form button[type=submit]`)
	p.Until("both rows to be stopped", row("first-b")+`.includes("stopped") && [...document.querySelectorAll("tbody tr")].filter(r => r.innerText.includes("first") && r.innerText.includes("stopped")).length === 2`)
	if got := strings.TrimSpace(virsh(t, 0, "domstate", "first")); got != "shut off" {
		t.Error("virsh says", got)
	}

	// Deleting with disks asks for the name and takes the file away.
	p.Go("/vms/" + vm.ID + "/delete")
	p.UntilText("first.qcow2")
	browser.Eval[bool](p, `(document.querySelector("[name=disks]").click(), true)`)
	p.Fill(map[string]string{"confirm": "first"})
	p.Picture("journey-7-delete")
	p.Click(`#ask form button[type=submit]`)
	server.Wait(t, 30*time.Second, "the VM to be gone", func() error {
		if _, err := e.api.VM(vm.ID); err == nil {
			return server.Not("nothing", "still there")
		}
		return nil
	})
	if files := volumes(t, 0, "first.qcow2"); len(files) != 0 {
		t.Error("left behind:", files)
	}
}

// A session that ends while a form is being filled in: after signing in again the form is as it was.
func TestSessionThatEndsMidForm(t *testing.T) {
	e := newEstate(t)
	p := browser.Open(t, e.URL, 1440, 900)
	p.SignIn(e.Admin, e.Password, password)
	p.Go("/vms/new")
	p.Fill(map[string]string{"name": "half-typed", "memory_bytes": "3 GiB"})
	p.ForgetCookies()
	p.Click(`form[action="/vms"] button[type=submit]:not([formaction])`)
	p.Until("the sign-in page", `location.pathname === "/login"`)
	p.Fill(map[string]string{"name": e.Admin, "password": password})
	p.Submit("form")
	p.Until("the form to come back", `location.pathname === "/vms/new" && document.querySelector("[name=name]").value === "half-typed"`)
	if got := browser.Eval[string](p, `document.querySelector("[name=memory_bytes]").value`); got != "3 GiB" {
		t.Errorf("the memory is %q", got)
	}
}

// Two tabs edit one VM: the second is told, and loses nothing it typed.
func TestTwoTabsEditOneVM(t *testing.T) {
	e := newEstate(t)
	req := e.guest(t, "tabs", e.hosts[0], 0)
	req["start"] = false
	v := e.create(t, req)
	p := browser.Open(t, e.URL, 1440, 900)
	p.SignIn(e.Admin, e.Password, password)
	p.Go("/vms/" + v.ID + "/hardware?edit=cpu")
	p.Until("the form", `document.querySelector("[name=vcpus]")`)
	e.api.Change(t, "PATCH", "/api/v1/vms/"+v.ID, map[string]any{"memory_bytes": 128 << 20}, "succeeded")
	browser.Eval[bool](p, `(document.querySelector("[name=vcpus]").closest("details")?.setAttribute("open", ""), true)`)
	p.Fill(map[string]string{"vcpus": "3"})
	p.Click(`form:has([name=vcpus]) button[type=submit]`)
	p.UntilText("changed")
	if got := browser.Eval[string](p, `document.querySelector("[name=vcpus]").value`); got != "3" {
		t.Errorf("what was typed is lost: %q", got)
	}
	if now, _ := e.api.VM(v.ID); now.VCPUs != 1 {
		t.Error("the stale form was taken:", now.VCPUs)
	}
}

// Reading works without scripts.
func TestReadingWithoutScripts(t *testing.T) {
	e := newEstate(t)
	req := e.guest(t, "noscript", e.hosts[0], 0)
	req["start"] = false
	v := e.create(t, req)
	p := browser.Open(t, e.URL, 1440, 900)
	p.WithoutScripts()
	p.SignInPlainly(e.Admin, e.Password, password)
	for path, want := range map[string]string{"/vms": "noscript", "/vms/" + v.ID: "noscript", "/hosts": hosts.Hosts[0].Name, "/tasks": "Create noscript", "/events": "noscript"} {
		p.Go(path)
		if text := p.Text(); !strings.Contains(text, want) {
			t.Errorf("%s does not show %q without scripts", path, want)
		}
	}
}
