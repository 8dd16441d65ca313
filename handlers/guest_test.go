package handlers

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
)

const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1ZW5vc2RpYXNidWVub3NkaWFzYnVlbm9zZGlhc2Ex ada@home"

// guestWorld is a world with a running VM whose agent answers.
func guestWorld(t *testing.T) (*world, *browser, domain.VM) {
	t.Helper()
	w := newWorld(t)
	b := w.admin()
	w.host(b, "h1")
	form := createForm("inner")
	form.Set("start", "1")
	if a := b.post("/vms", form); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("creating: %d\n%s", a.StatusCode, cut(a.text))
	}
	w.job(w.newest("vm.create").ID)
	vm := w.vmNamed("inner")
	w.fake.SetAgent(vm.UUID, &hvtest.Agent{
		Facts: domain.GuestFacts{Agent: "7.2.0", Hostname: "inner-host", OSID: "debian", OSName: "Debian GNU/Linux 12", Clock: time.Now(), FileSystems: []domain.GuestFileSystem{{Mount: "/srv/data", TotalBytes: 100, UsedBytes: 40}},
			Users: []domain.GuestUser{{Name: "ada"}}, Cards: []domain.GuestCard{{Name: "eth0", Addresses: []string{"192.0.2.7/24"}}}},
		Keys: map[string][]string{"root": {"ssh-rsa AAAAold bob"}},
		Exec: func(argv []string) hv.ExecStatus {
			if argv[0] == "fail" {
				return hv.ExecStatus{Ended: true, Code: 3, Err: []byte("it <b>failed</b>")}
			}
			return hv.ExecStatus{Ended: true, Out: []byte("ran " + strings.Join(argv, "|"))}
		},
	})
	return w, b, vm
}

func TestTheGuestTabShowsWhatIsInside(t *testing.T) {
	w, b, vm := guestWorld(t)
	tab := "/vms/" + vm.ID + "/guest"
	b.get(tab).want(t, 200, "Guest agent", "not asked yet", "Add cloud-init")
	b.post(tab+"/look", nil).wantMove(t, tab)
	b.get(tab).want(t, 200, "answers", "Debian GNU/Linux 12", "inner-host", "192.0.2.7", "/srv/data", "40 %", "ada", "Freeze")
	b.post(tab+"/time", nil).wantMove(t, tab)

	// Freezing lasts until somebody thaws it.
	b.get(tab+"/freeze").want(t, 200, "For at most this many seconds")
	b.post(tab+"/freeze", url.Values{"seconds": {"many"}}).want(t, 422, "not a possible time")
	b.post(tab+"/freeze", url.Values{"seconds": {"600"}}).wantMove(t, tab)
	w.level("the freeze", func() bool { return w.fake.Frozen(vm.UUID) })
	w.level("the page to say so", func() bool { return strings.Contains(b.get(tab).text, "Nothing inside can write now") })
	b.post(tab+"/thaw", nil).wantMove(t, tab)
	if w.fake.Frozen(vm.UUID) {
		t.Error("it is still frozen")
	}
	w.job(w.newest("guest.freeze").ID) // which held the guest

	b.get(tab+"/password").want(t, 200, "User inside the guest")
	b.post(tab+"/password", url.Values{"user": {"ro ot:"}, "password": {""}}).want(t, 422, "is not a user&#39;s name", "No password is given")
	b.post(tab+"/password", url.Values{"user": {"root"}, "password": {"geheim-42"}}).wantMove(t, tab)
	b.get(tab+"/ssh-keys").want(t, 200, "Public keys")
	b.post(tab+"/ssh-keys", url.Values{"user": {"root"}, "keys": {sshKey + "\nnonsense"}}).want(t, 422, "No. 2: That is not a public SSH key", "nonsense")
	b.post(tab+"/ssh-keys", url.Values{"user": {"root"}, "keys": {sshKey}, "add": {"1"}}).wantMove(t, tab)
	w.fake.AgentState(vm.UUID, func(a *hvtest.Agent) {
		if !strings.HasPrefix(a.Passwords["root"], "$6$") || len(a.Keys["root"]) != 2 || !slices.Contains(a.Keys["root"], sshKey) {
			t.Errorf("passwords %v, keys %v", a.Passwords, a.Keys)
		}
	})
	b.get(tab+"/nonsense").want(t, 404)
	b.post(tab+"/nonsense", nil).want(t, 404)
}

// Looking at the processes runs commands: it is for those who may run some, where the VM allows them.
func TestTheProcessesOfAGuest(t *testing.T) {
	w, b, vm := guestWorld(t)
	tab := "/vms/" + vm.ID + "/guest"
	w.fake.AgentState(vm.UUID, func(a *hvtest.Agent) {
		a.Exec = func(argv []string) hv.ExecStatus {
			if argv[0] == "ps" {
				return hv.ExecStatus{Ended: true, Out: []byte("  PID   RSS COMMAND\n    9 2048 <b>busy</b>\n")}
			}
			return hv.ExecStatus{Ended: true, Out: []byte("PID USER PR NI VIRT RES SHR S %CPU %MEM TIME+ COMMAND\n9 ada 20 0 9 9 9 R 93.2 0.0 0:01.07 <b>busy</b>\n")}
		}
	})
	b.post(tab+"/look", nil).wantMove(t, tab)
	b.get(tab).want(t, 200, "Nobody has looked yet")
	b.post(tab+"/processes", nil).wantMove(t, tab)
	b.get(tab).want(t, 200, "1 process, ", "&lt;b&gt;busy&lt;/b&gt;", "93.2 %", "2 MiB", "Most of the memory")
	b.post(tab+"/processes", nil, htmx).want(t, 200)

	b.post(tab+"/allow", url.Values{"allow": {"uptime"}}).wantMove(t, tab)
	b.get(tab).want(t, 200, `title="This VM does not allow the command “top -b -n 2 -d 1”."`)
	b.post(tab+"/processes", nil, htmx).want(t, 403, "does not allow the command")

	viewer := w.viewer()
	if text := viewer.get(tab).want(t, 200, "Guest agent").text; strings.Contains(text, "guest-processes") || strings.Contains(text, "busy") {
		t.Error("who may not run commands sees what they print")
	}
	viewer.post(tab+"/processes", nil).want(t, 403)
}

func TestTheCommandBox(t *testing.T) {
	w, b, vm := guestWorld(t)
	tab := "/vms/" + vm.ID + "/guest"
	run := func(line, seconds string, opts ...opt) answer {
		return b.post(tab+"/exec", url.Values{"argv": {line}, "timeout_s": {seconds}, "key": {onceKeyOf(t, b.get(tab).text)}}, opts...)
	}
	b.post(tab+"/look", nil).wantMove(t, tab)
	run(`echo "two words" three`, "60").wantMove(t, tab)
	b.get(tab).want(t, 200, "exit 0", "ran echo|two words|three", "by admin")
	run("fail now", "").wantMove(t, tab)
	b.get(tab).want(t, 200, "exit 3", "it &lt;b&gt;failed&lt;/b&gt;")

	// The page's script gets the box back, with a new key, so that the same command may be run once more.
	first := run("uptime", "5", htmx).want(t, 200, `value="uptime"`)
	second := b.post(tab+"/exec", url.Values{"argv": {"uptime"}, "timeout_s": {"5"}, "key": {onceKeyOf(t, first.text)}}, htmx).want(t, 200, `value="uptime"`)
	if onceKeyOf(t, first.text) == onceKeyOf(t, second.text) {
		t.Error("the key is the same twice")
	}
	if ran := w.fake.Ran(vm.UUID); len(ran) != 4 {
		t.Errorf("ran %v", ran)
	}

	run(`echo "open`, "60").want(t, 422, "A quote is not closed", "&#34;open")
	run("", "60").want(t, 422, "No command is given")
	run("uptime", "soon").want(t, 422, "is not a number of seconds")
	b.get(tab+"/allow").want(t, 200, "Allowed commands")
	b.post(tab+"/allow", url.Values{"allow": {"/(/"}}).want(t, 422, "is not a regular expression")
	b.post(tab+"/allow", url.Values{"allow": {"uptime\n\n/systemctl (status|restart) [a-z]+/"}}).wantMove(t, tab)
	b.get(tab).want(t, 200, "Allowed here:", "<code>uptime</code>")
	run("rm -rf /", "60").want(t, 403, "does not allow the command")

	// Who may look only sees what was run, but neither what it printed nor a box.
	seen := w.viewer().get(tab).want(t, 200, "exit 3", "is for those who may run commands").text
	if strings.Contains(seen, "ran echo") || strings.Contains(seen, "Run a command") || strings.Contains(seen, "Set password") {
		t.Error("a viewer sees too much")
	}
	w.signedIn("vera").post(tab+"/exec", url.Values{"argv": {"uptime"}}).want(t, 403)

	b.post("/vms/"+vm.ID+"/actions/stop", url.Values{"confirm": {"1"}})
	w.level("the stop", func() bool { return w.vmNamed("inner").State == domain.VMStopped && w.vmNamed("inner").BusyJob == "" })
	b.get(tab).want(t, 200, "not running", "told when it ran last")
	run("uptime", "60").want(t, 409, "Start it first")
}

func (w *world) medium(name string) string {
	w.t.Helper()
	r, err := w.fake.ReadVolume(context.Background(), "default", name, 0, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	all, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(bytes.ReplaceAll(all, []byte{0}, nil))
}

func TestCloudInitOnTheCreateForm(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "h1")
	b.get("/vms/new").want(t, 200, "First boot", `id="first-boot-preview"`)
	form := createForm("cloudy")
	for k, v := range map[string]string{"first_boot": "cloud-init", "cloud_init.user": "Ada L", "cloud_init.ssh_keys": sshKey + "\nno key", "cloud_init.user_data": "#cloud-config\npackges: [x]\n", "cloud_init.password": "geheim-42",
		"cloud_init.net": "static", "cloud_init.network.0.addresses": "192.0.2.10", "cloud_init.network.0.gateway": "2001:db8::1 x", "cloud_init.packages": "nginx, htop"} {
		form.Set(k, v)
	}
	// The preview says what is wrong, and shows what would be read, but never the password.
	preview := b.post("/vms/new/preview", form).want(t, 200, "User:", "No. 2: That is not a public SSH key", "Line 2, “packges”", "packages?", "is not an address with its length", "local-hostname: &#34;cloudy&#34;", "- &#34;nginx&#34;", "(the hash of the password)")
	if strings.Contains(preview.text, "geheim") {
		t.Error("the preview shows the password")
	}
	refused := b.post("/vms", form).want(t, 422, "is not a user&#39;s name", "No. 2: That is not a public SSH key", "Line 2, “packges”", "no key", "#cloud-config")
	if strings.Contains(refused.text, "geheim") {
		t.Error("the form shows the password")
	}
	// Asking for another disk keeps all that was typed, and puts none of it into an address.
	form.Set("add", "disk")
	b.post("/vms/new", form).want(t, 200, "Ada L", "disks.1.size_bytes")
	form.Del("add")

	form.Set("cloud_init.user", "ada")
	form.Set("cloud_init.ssh_keys", sshKey+"\r\n")
	form.Set("cloud_init.user_data", "#cloud-config\r\nwrite_files: []\r\n")
	form.Set("cloud_init.network.0.addresses", "192.0.2.10/24, 2001:db8::10/64")
	form.Set("cloud_init.network.0.gateway", "2001:db8::1 192.0.2.1")
	b.post("/vms/new/preview", form).want(t, 200, "Nothing is wrong with it")
	if a := b.post("/vms", form); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d\n%s", a.StatusCode, cut(a.text))
	}
	w.job(w.newest("vm.create").ID)
	medium := w.medium("cloudy-seed.iso")
	for _, want := range []string{`user: "ada"`, sshKey, `via: "192.0.2.1"`, `via: "2001:db8::1"`, "write_files: []\n", `password: "$6$`} {
		if !strings.Contains(medium, want) {
			t.Errorf("the medium has no %s", want)
		}
	}

	// Later it is shown and edited on the VM.
	vm := w.vmNamed("cloudy")
	tab := "/vms/" + vm.ID + "/guest"
	b.get(tab).want(t, 200, "user ada, 1 SSH key, a password, 2 packages, network settings, user-data of its own", "Edit cloud-init")
	page := b.get("/vms/"+vm.ID+"/cloud-init").want(t, 200, `value="ada"`, "Keep the password it has", "192.0.2.10/24 2001:db8::10/64", "(the hash of the password)", "The next start is a first boot")
	edit := url.Values{"key": {onceKeyOf(t, page.text)}, "version": {"1"}, "cloud_init.user": {"BOB"}, "cloud_init.net": {"dhcp"}, "keep_password": {"1"}}
	b.post("/vms/"+vm.ID+"/cloud-init/preview", edit).want(t, 200, "is not a user&#39;s name", "(the hash of the password)")
	b.post("/vms/"+vm.ID+"/cloud-init", edit).want(t, 422, "is not a user&#39;s name", `value="BOB"`)
	edit.Set("cloud_init.user", "bob")
	b.post("/vms/"+vm.ID+"/cloud-init", edit).wantMove(t, tab)
	if medium := w.medium("cloudy-seed.iso"); !strings.Contains(medium, `user: "bob"`) || !strings.Contains(medium, `password: "$6$`) || strings.Contains(medium, "192.0.2.10") {
		t.Error("the edit did not arrive")
	}
	// A second tab that is stale is told.
	edit.Set("key", "other")
	edit.Set("cloud_init.user", "eve")
	b.post("/vms/"+vm.ID+"/cloud-init", edit).want(t, 409, "was changed meanwhile", `value="eve"`)
	edit.Set("version", "x")
	b.post("/vms/"+vm.ID+"/cloud-init", edit).want(t, 422)
}

func TestCloudInitForAVMThatHasNone(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "h1")
	vm := w.vm(b, "plain")
	page := b.get("/vms/"+vm.ID+"/cloud-init").want(t, 200, "Add cloud-init to plain")
	form := url.Values{"key": {onceKeyOf(t, page.text)}, "version": {"0"}, "cloud_init.user": {""}, "cloud_init.net": {"dhcp"}}
	b.post("/vms/"+vm.ID+"/cloud-init", form).want(t, 422, "Nothing is asked for")
	form.Set("cloud_init.user", "ada")
	b.post("/vms/"+vm.ID+"/cloud-init", form).wantMove(t, "/vms/"+vm.ID+"/guest")
	b.get("/vms/"+vm.ID+"/guest").want(t, 200, "user ada", "default/plain-seed.iso")
}

func TestAnswersForWindowsOnTheCreateForm(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.fake.AddVolume(domain.Volume{Pool: "default", Name: "virtio-win.iso", Path: "/var/lib/libvirt/images/virtio-win.iso", Format: "raw", CapacityBytes: 5})
	w.host(b, "h1")
	w.level("the driver ISO", func() bool {
		return strings.Contains(b.get("/vms/new").text, `value="/var/lib/libvirt/images/virtio-win.iso"`)
	})
	form := createForm("win")
	form.Set("first_boot", "windows")
	form.Set("windows.computer_name", "much-too-long-for-windows")
	b.post("/vms/new/preview", form).want(t, 200, "Computer name:", "Administrator&#39;s password:", "autounattend.xml")
	b.post("/vms", form).want(t, 422, "is not a computer&#39;s name", "The administrator needs a password")
	form.Set("windows.computer_name", "")
	form.Set("windows.admin_password", "Geheim-42")
	form.Set("windows.driver_iso", "/var/lib/libvirt/images/virtio-win.iso")
	if a := b.post("/vms/new/preview", form); strings.Contains(a.text, "Geheim") {
		t.Error("the preview shows the password")
	}
	if a := b.post("/vms", form); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d\n%s", a.StatusCode, cut(a.text))
	}
	w.job(w.newest("vm.create").ID)
	vm := w.vmNamed("win")
	if len(vm.Config.Disks) != 3 || !strings.HasSuffix(vm.Config.Disks[2].Source, "virtio-win.iso") {
		t.Errorf("disks %+v", vm.Config.Disks)
	}
	b.get("/vms/"+vm.ID+"/guest").want(t, 200, "Answer file for Windows")
	b.get("/vms/"+vm.ID+"/cloud-init").want(t, 409, "answer file for Windows")
}
