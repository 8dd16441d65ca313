package e2e

import (
	"strings"
	"testing"
	"time"

	"novacron/e2e/browser"
	"novacron/e2e/lab"
	"novacron/e2e/server"
)

// ran is the job of a command inside a guest.
type ran struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Result struct {
		ExitCode int    `json:"exit_code"`
		Stdout   string `json:"stdout"`
		Stderr   string `json:"stderr"`
		TimedOut bool   `json:"timed_out"`
	} `json:"result"`
}

// runs runs a command inside a guest and gives what became of it.
func (e *estate) runs(t *testing.T, vm string, seconds int, argv ...string) (r ran) {
	t.Helper()
	if _, err := e.api.Do("POST", "/api/v1/vms/"+vm+"/guest/exec?wait=60s", map[string]any{"argv": argv, "timeout_s": seconds}, &r); err != nil {
		t.Fatalf("%q: %v", argv, err)
	}
	if r.State != "succeeded" {
		t.Fatalf("%q: %+v", argv, r)
	}
	return r
}

// inhabited waits until the agent inside a guest answers.
func (e *estate) inhabited(t *testing.T, vm string) {
	t.Helper()
	server.Wait(t, 2*time.Minute, "the guest's agent to answer", func() error {
		var g struct{ Answers bool }
		if _, err := e.api.Do("GET", "/api/v1/vms/"+vm+"/guest", nil, &g); err != nil {
			return err
		}
		if !g.Answers {
			return server.Not("an answer", "none")
		}
		return nil
	})
}

// A real agent in a real guest: what it tells, commands with their limits, freezing, and all of it in the browser.
func TestInsideAGuest(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "inner", e.hosts[0], 0))
	at := "/api/v1/vms/" + v.ID + "/guest"
	e.inhabited(t, v.ID)
	var g struct {
		Answers  bool
		Hostname string
		OSName   string `json:"os_name"`
	}
	if _, err := e.api.Do("GET", at, nil, &g); err != nil || !g.Answers || g.Hostname != "nova-guest" || g.OSName != "NovaCron demo guest" {
		t.Fatalf("%+v %v", g, err)
	}
	if r := e.runs(t, v.ID, 20, "sh", "-c", "echo out; echo err >&2; exit 7"); r.Result.ExitCode != 7 || r.Result.Stdout != "out\n" || r.Result.Stderr != "err\n" {
		t.Errorf("%+v", r)
	}
	if r := e.runs(t, v.ID, 1, "sleep", "300"); !r.Result.TimedOut {
		t.Errorf("nothing ended it: %+v", r)
	}
	// Which processes take most, as a real top and ps tell it: one that never rests is the first.
	e.runs(t, v.ID, 20, "sh", "-c", "dd if=/dev/zero of=/dev/null bs=4k >/dev/null 2>&1 &")
	e.api.Change(t, "POST", at+"/processes", nil, "succeeded")
	var most struct {
		Total     int
		Processes []struct {
			Name, User string
			CPU        float64 `json:"cpu_percent"`
			Memory     int64   `json:"memory_bytes"`
		}
	}
	if _, err := e.api.Do("GET", at+"/processes", nil, &most); err != nil || most.Total < 20 || most.Processes[0].Name != "dd" || most.Processes[0].User == "" || most.Processes[0].CPU < 25 || most.Processes[0].CPU > 110 {
		t.Errorf("%+v %v", most, err)
	}
	agent := false
	for _, p := range most.Processes {
		agent = agent || p.Name == "qemu-ga" && p.Memory > 1<<20
	}
	if !agent {
		t.Errorf("the agent's own memory is not among the most: %+v", most)
	}
	if _, err := e.api.Do("PUT", at+"/allow", map[string]any{"allow": []string{"uname", "top", "ps", "/cat /proc/[a-z]+/"}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := e.api.Do("POST", at+"/exec", map[string]any{"argv": []string{"reboot"}}, nil); problem(t, err).Status != 403 {
		t.Error("what is not allowed:", err)
	}
	if r := e.runs(t, v.ID, 20, "cat", "/proc/version"); !strings.HasPrefix(r.Result.Stdout, "Linux version") {
		t.Errorf("%+v", r)
	}

	// Frozen until the task is cancelled.
	var freeze server.Job
	if _, err := e.api.Do("POST", at+"/freeze", map[string]any{"seconds": 300}, &freeze); err != nil {
		t.Fatal(err)
	}
	frozen := func(want bool) {
		t.Helper()
		server.Wait(t, 30*time.Second, "the guest to be frozen or not", func() error {
			var now struct{ Frozen bool }
			if _, err := e.api.Do("GET", at, nil, &now); err != nil {
				return err
			}
			if now.Frozen != want {
				return server.Not("the other", "this")
			}
			return nil
		})
	}
	frozen(true)
	if _, err := e.api.Do("POST", "/api/v1/jobs/"+freeze.ID+"/cancel", nil, nil); err != nil {
		t.Fatal(err)
	}
	e.api.Await(t, freeze.ID)
	frozen(false)

	p := browser.Open(t, e.URL, 1440, 1400)
	p.SignIn(e.Admin, e.Password, password)
	p.Go("/vms/" + v.ID + "/guest")
	p.UntilText("NovaCron demo guest")
	p.UntilText("/mnt")
	before := browser.Eval[string](p, `document.querySelector("#guest-processes time").dateTime`)
	p.Click(`#guest-processes form[action$="/processes"] button`)
	p.Until("the processes by themselves", `document.querySelector("#guest-processes time").dateTime > "`+before+`" && document.querySelector("#guest-processes tbody td")?.innerText === "dd"`)
	p.Fill(map[string]string{"argv": `uname "-s"`})
	p.Click(`#guest-command button[type=submit]`)
	p.Until("the command with what it printed", `document.querySelector("#guest-history li:first-child pre")?.innerText.trim() === "Linux"`)
	p.Fill(map[string]string{"argv": `reboot`})
	p.Click(`#guest-command button[type=submit]`)
	p.UntilText("does not allow the command")
	p.Picture("guest-tab")
	p.Click(`a[href$="/guest/password"]`)
	p.Until("the dialog", `document.querySelector("dialog[open] [name=password]")`)
	p.Fill(map[string]string{"password": "geheim-42"})
	p.Click(`dialog[open] button[type=submit]`)
	p.Until("the dialog to close", `!document.querySelector("dialog[open]")`)
	p.UntilText("done.")

	// With an agent, a shutdown is one the guest agrees to.
	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/shutdown", map[string]any{"force_after_seconds": 0}, "succeeded")
	p.UntilText("not running")
}

// cloud-init is given to a VM in the browser, read from inside, and is a clone's own.
func TestCloudInitComesIntoTheGuest(t *testing.T) {
	e := newEstate(t)
	req := e.guest(t, "seeded", e.hosts[0], 16<<20)
	req["start"] = false
	v := e.create(t, req)
	t.Cleanup(func() { scrub(t, "seeded") })
	p := browser.Open(t, e.URL, 1440, 1400)
	p.SignIn(e.Admin, e.Password, password)
	p.Go("/vms/" + v.ID + "/guest")
	p.Click(`a[href$="/cloud-init"]`)
	p.Until("the form", `document.querySelector("[name='cloud_init.user']")`)
	p.Fill(map[string]string{"cloud_init.user": "Ada"})
	p.Until("the preview to find fault while one types", `document.querySelector("#first-boot-preview").innerText.includes("is not a user's name")`)
	p.Fill(map[string]string{"cloud_init.user": "ada", "cloud_init.runcmd": "touch /run/seen"})
	p.Until("the preview to show it", `document.querySelector("#first-boot-preview").innerText.includes('user: "ada"') && document.querySelector("#first-boot-preview").innerText.includes("touch /run/seen")`)
	p.Picture("cloud-init-add")
	p.Click(`#cloud-init button[type=submit]`)
	p.Until("the guest tab", `location.pathname.endsWith("/guest") && document.body.innerText.includes("user ada")`)

	reads := func(vm string) string {
		t.Helper()
		e.api.Change(t, "POST", "/api/v1/vms/"+vm+"/start", nil, "succeeded")
		e.inhabited(t, vm)
		r := e.runs(t, vm, 30, "sh", "-c", "mkdir -p /seed && mount -t iso9660 /dev/sr0 /seed && cat /seed/meta-data /seed/user-data")
		e.api.Change(t, "POST", "/api/v1/vms/"+vm+"/stop", nil, "succeeded")
		if !strings.Contains(r.Result.Stdout, `user: "ada"`) {
			t.Errorf("the guest reads %+v", r.Result)
		}
		return r.Result.Stdout
	}
	first := reads(v.ID)
	j := e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/clone", map[string]any{"name": "seeded-2"}, "succeeded")
	second := reads(j.Resource.ID)
	line := func(text, key string) string {
		for l := range strings.Lines(text) {
			if strings.HasPrefix(l, key+": ") {
				return l
			}
		}
		return ""
	}
	if line(first, "instance-id") == line(second, "instance-id") || line(first, "local-hostname") != "local-hostname: \"seeded\"\n" || line(second, "local-hostname") != "local-hostname: \"seeded-2\"\n" {
		t.Errorf("the original reads\n%s\nand its clone\n%s", first, second)
	}
	e.api.Change(t, "DELETE", "/api/v1/vms/"+j.Resource.ID+"?disks=true", nil, "succeeded")
	if files := volumes(t, 0, "seeded"); len(files) != 2 {
		t.Error("left behind:", files)
	}
}

// One click from an empty estate to a guest that shows something: this machine's own libvirt, and the demo guest that make run puts in place.
func TestOneClickToARunningGuest(t *testing.T) {
	dir := lab.GuestCache()
	if _, _, err := lab.Guest(dir); err != nil {
		t.Fatal(err)
	}
	s := server.Start(t, "--demo-dir", dir)
	t.Cleanup(func() { scrub(t, "demo") })
	api := s.API()
	api.AddHost(t, "here", "qemu+unix:///system?socket="+hosts.Hosts[0].Path("/run/libvirt/libvirt-sock"))
	p := browser.Open(t, s.URL, 1440, 900)
	p.SignIn(s.Admin, s.Password, password)
	p.Go("/")
	p.UntilText("Start a demo guest")
	p.Picture("one-click")
	p.Click(`form[action="/vms/demo"] button`)
	p.Until("its console", `location.pathname.endsWith("/console")`)
	// The screen's port is on the lab host's own loopback, which only a server in there could reach; the serial line comes through libvirt.
	p.Go(browser.Eval[string](p, `location.pathname`) + "?kind=serial")
	p.Within(3*time.Minute, "the heartbeat", `document.body.innerText.includes("tick ")`)
	all, err := api.VMs()
	if err != nil || len(all) != 1 || all[0].Name != "demo" || all[0].State != "running" {
		t.Errorf("%+v %v", all, err)
	}
}
