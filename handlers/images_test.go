package handlers

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/jobs/images/imagetest"
)

// send is one part of a file, as the page's script sends it.
func (b *browser) send(path string, part []byte, from, total int) *http.Response {
	b.w.t.Helper()
	r, err := http.NewRequest(http.MethodPut, b.w.url+path, bytes.NewReader(part))
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+len(part)-1, total))
	res, err := b.c.Do(r)
	if err != nil {
		b.w.t.Fatal(err)
	}
	res.Body.Close()
	return res
}

// An image comes in by the browser, is tried, published, used, described and deleted; what is refused keeps what was typed.
func TestImagesInPages(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	h := w.host(admin, "b1")
	admin.get("/images").want(t, http.StatusOK, "No images yet")
	admin.post("/images", url.Values{"from": {"url"}, "name": {"Bad Name"}, "source.url": {"ftp://x"}, "source.sha256": {"12"}}).want(t, http.StatusUnprocessableEntity, "Bad Name", "ftp://x", "not a SHA-256")
	admin.get("/images/new?from=vm").want(t, http.StatusOK, "goes on in an overlay")
	admin.post("/images", url.Values{"from": {"vm"}, "name": {"x"}}).want(t, http.StatusUnprocessableEntity, "No VM is chosen")

	at := admin.post("/images", url.Values{"from": {"upload"}, "name": {"debian"}, "version": {"12"}, "changelog": {"The first."}}).want(t, http.StatusSeeOther).location()
	admin.get(at).want(t, http.StatusOK, "waits for its upload", "data-upload=")
	img := imagetest.QCOW2(1<<20, []byte("boot"))
	half := len(img) / 2
	if res := admin.send(at+"/content", img[:half], 0, len(img)); res.StatusCode != http.StatusAccepted || res.Header.Get("Upload-Offset") != fmt.Sprint(half) {
		t.Fatalf("the first half: %s, %v", res.Status, res.Header)
	}
	if a := admin.do(http.MethodHead, at+"/content", nil); a.StatusCode != http.StatusOK || a.Header.Get("Upload-Offset") != fmt.Sprint(half) {
		t.Fatalf("it stands at %q, %d", a.Header.Get("Upload-Offset"), a.StatusCode)
	}
	if res := admin.send(at+"/content", img, 0, len(img)); res.StatusCode != http.StatusConflict {
		t.Errorf("from the start again: %s", res.Status)
	}
	if res := admin.send(at+"/content", img[half:], half, len(img)); res.StatusCode != http.StatusAccepted || !strings.HasPrefix(res.Header.Get("Location"), "/tasks/") {
		t.Fatalf("the rest: %s", res.Status)
	}
	w.level("the import", func() bool {
		i, err := w.db.Image(t.Context(), "debian")
		return err == nil && i.Versions[0].State == domain.ImageDraft
	})
	admin.get(at).want(t, http.StatusOK, "draft", "The first.", "Publish")
	admin.post(at+"/publish", nil).want(t, http.StatusSeeOther)
	admin.get("/images").want(t, http.StatusOK, "debian", "published")
	if a := admin.get(at + "/content"); a.StatusCode != http.StatusOK || a.text != string(img) {
		t.Errorf("the download: %d, %d bytes", a.StatusCode, len(a.text))
	}
	admin.get(at+"/place").want(t, http.StatusOK, "b1")
	admin.post(at+"/place", url.Values{"host": {h.ID}}).want(t, http.StatusSeeOther)
	w.job(w.newest("image.place").ID)
	admin.get("/images/copies").want(t, http.StatusOK, "copy of debian@12", "Remove what is chosen")
	admin.post("/images/policy", url.Values{"collect": {"1"}, "unused_days": {"soon"}, "keep": {"1"}}).want(t, http.StatusUnprocessableEntity, "soon")
	admin.post("/images/policy", url.Values{"unused_days": {"7"}, "keep": {"2"}}).want(t, http.StatusSeeOther)
	admin.post("/images/copies", nil).want(t, http.StatusUnprocessableEntity, "Nothing is chosen")

	form := admin.get("/vms/new?library=debian").want(t, http.StatusOK, `value="debian" selected`)
	vm := url.Values{"key": {onceKeyOf(t, form.text)}, "name": {"web-1"}, "host": {h.ID}, "vcpus": {"1"}, "memory_bytes": {"256 MiB"}, "accel": {"auto"}, "source": {"library"}, "library": {"debian"}, "linked": {"1"},
		"disks.0.kind": {"new"}, "disks.0.size_bytes": {"1 GiB"}, "disks.0.pool": {"default"}, "disks.0.format": {"qcow2"}}
	admin.post("/vms", vm).want(t, http.StatusSeeOther)
	made := w.vmNamed("web-1")
	admin.get("/vms/"+made.ID).want(t, http.StatusOK, "Began as", "debian@12")
	admin.get("/images/debian").want(t, http.StatusOK, "web-1", "linked")
	admin.post("/vms/"+made.ID+"/clone", url.Values{"name": {"web-2"}, "kind": {"linked"}}).want(t, http.StatusSeeOther)
	if w.newest("vm.clone").Title != "Clone web-1 as web-2, linked" {
		t.Error("the clone is not linked")
	}

	admin.get("/images/debian/edit").want(t, http.StatusOK, "debian")
	i, err := w.db.Image(t.Context(), "debian")
	if err != nil {
		t.Fatal(err)
	}
	admin.post("/images/"+i.ID+"/edit", url.Values{"version": {"1"}, "name": {"No Name"}, "arch": {"x86_64"}}).want(t, http.StatusUnprocessableEntity, "No Name")
	admin.post("/images/"+i.ID+"/edit", url.Values{"version": {"1"}, "name": {"bookworm"}, "arch": {"x86_64"}}).want(t, http.StatusSeeOther)
	admin.post("/images/bookworm/delete", url.Values{"confirm": {"debian"}}).want(t, http.StatusUnprocessableEntity, "Type “bookworm”")
	admin.post(at+"/delete", nil).want(t, http.StatusConflict, "needed")
	admin.post(at+"/deprecate", nil).want(t, http.StatusSeeOther)
	admin.get(at).want(t, http.StatusOK, "deprecated", "Publish again")
	viewer := w.viewer()
	viewer.get("/images").want(t, http.StatusOK, "bookworm")
	viewer.get("/images/new").want(t, http.StatusForbidden)
}

// A template is written, used with its parameters as fields, written anew, compared and rolled out.
func TestTemplatesInPages(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	h := w.host(admin, "b1")
	admin.get("/templates").want(t, http.StatusOK, "No templates yet")
	admin.get("/templates/new").want(t, http.StatusOK, "New template")
	f := url.Values{"name": {"web"}, "spec.vcpus": {"1"}, "spec.memory_bytes": {"256 MiB"}, "spec.nics.0.network": {""}, "parameters.0.name": {"vcpus"}, "parameters.0.type": {"number"}, "parameters.0.default": {"1"},
		"parameters.1.name": {""}, "cloud_init.user": {"ops"}, "cloud_init.password": {"correct horse"}, "changelog": {"The first."}}
	bad := url.Values{}
	for k, v := range f {
		bad[k] = v
	}
	bad["spec.memory_bytes"], bad["parameters.0.name"] = []string{"lots"}, []string{"Not good"}
	admin.post("/templates", bad).want(t, http.StatusUnprocessableEntity, "lots", "Not good", "is not a size")
	at := admin.post("/templates", f).want(t, http.StatusSeeOther).location()
	if page := admin.get(at).want(t, http.StatusOK, "web", "The first.", "ops", "vcpus"); strings.Contains(page.text, "$6$") {
		t.Error("the page shows the password's hash")
	}
	form := admin.get(at+"/new-vm").want(t, http.StatusOK, `name="parameters.vcpus"`)
	use := url.Values{"key": {onceKeyOf(t, form.text)}, "version": {"1"}, "name": {"web-1"}, "host": {h.ID}, "parameters.vcpus": {"many"}}
	admin.post(at+"/new-vm", use).want(t, http.StatusUnprocessableEntity, "many", "not a number")
	use["parameters.vcpus"] = []string{"2"}
	admin.post(at+"/new-vm", use).want(t, http.StatusSeeOther)
	vm := w.vmNamed("web-1")
	if vm.Config.VCPUs != 2 {
		t.Errorf("it has %d vCPUs", vm.Config.VCPUs)
	}
	admin.get("/vms/"+vm.ID).want(t, http.StatusOK, "web@1", "Pin")
	admin.get(at+"/versions/new").want(t, http.StatusOK, "Version 2 of web", "Keep the password")
	f["spec.memory_bytes"], f["keep"] = []string{"512 MiB"}, []string{"1"}
	f.Del("cloud_init.password")
	admin.post(at+"/versions/new", f).want(t, http.StatusSeeOther)
	admin.get(at).want(t, http.StatusOK, "What changed since version 1", "512 MiB", "behind")
	admin.get(at+"/rollout?version=2").want(t, http.StatusOK, "web-1", "256 MiB", "512 MiB")
	admin.post("/vms/"+vm.ID+"/template/pin", url.Values{"on": {"1"}}).want(t, http.StatusSeeOther)
	admin.post(at+"/rollout?version=2", url.Values{"vms": {vm.ID}}).want(t, http.StatusConflict, "pinned")
	admin.post(at+"/rollout?version=2", nil).want(t, http.StatusUnprocessableEntity, "No VM is chosen")
	admin.post("/vms/"+vm.ID+"/template/pin", url.Values{"on": {"0"}}).want(t, http.StatusSeeOther)
	admin.post(at+"/rollout?version=2", url.Values{"vms": {vm.ID}}).want(t, http.StatusSeeOther)
	w.job(w.newest("template.rollout").ID)
	if m := w.vmNamed("web-1").Config.MemoryBytes; m != 512*domain.MiB {
		t.Errorf("it has %d bytes of memory", m)
	}
	admin.get("/templates/new?vm="+vm.ID).want(t, http.StatusOK, "Make a template from web-1")
	admin.get("/vms/"+vm.ID).want(t, http.StatusOK, "/vms/"+vm.ID+"/template")
	admin.get("/vms/"+vm.ID+"/template").want(t, http.StatusOK, "Make a template of web-1", "has no disk of its own", "Make the template")
	admin.post("/vms/"+vm.ID+"/template", url.Values{"name": {"No Good"}, "description": {"Kept."}}).want(t, http.StatusUnprocessableEntity, `value="No Good"`, `value="Kept."`, "lower-case")
	admin.post("/vms/"+vm.ID+"/template", url.Values{"name": {"web"}}).want(t, http.StatusConflict, "already")
	admin.post("/vms/"+vm.ID+"/template", url.Values{"name": {"web-again"}}).want(t, http.StatusSeeOther)
	w.job(w.newest("template.make").ID)
	admin.get("/templates/web-again").want(t, http.StatusOK, "Made of web-1.")
	admin.get("/vms/vm_none/template").want(t, http.StatusNotFound)
	admin.post(at+"/versions/1/deprecate", nil).want(t, http.StatusSeeOther)
	admin.get(at+"?version=1").want(t, http.StatusOK, "deprecated")
	admin.get(at+"?version=9").want(t, http.StatusNotFound)
	admin.get(at+"/edit").want(t, http.StatusOK, "web")
	admin.post(at+"/edit", url.Values{"name": {"shop"}, "description": {"Fronts."}}).want(t, http.StatusSeeOther)
	admin.get("/templates").want(t, http.StatusOK, "shop")
	admin.post(at+"/delete", url.Values{"confirm": {"web"}}).want(t, http.StatusUnprocessableEntity, "Type “shop”")
	admin.post(at+"/delete", url.Values{"confirm": {"shop"}}).want(t, http.StatusSeeOther)
	viewer := w.viewer()
	viewer.get("/templates/new").want(t, http.StatusForbidden)
	viewer.get("/vms/"+vm.ID+"/template").want(t, http.StatusForbidden)
}

// The form of a template has every disk and every card: each can be changed, added and taken away, and what has no row stays.
func TestTemplateFormHasEveryDevice(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	w.host(admin, "b1")
	f := url.Values{"name": {"two"}, "spec.vcpus": {"1"}, "spec.memory_bytes": {"256 MiB"}, "guest_exec_allow": {"uptime"}}
	for i, size := range []string{"1 GiB", "2 GiB", ""} {
		at := fmt.Sprintf("spec.disks.%d.", i)
		f.Set(at+"from", "")
		f.Set(at+"size_bytes", size)
		f.Set(at+"bus", "scsi")
	}
	for i, on := range []string{"default", "default", ""} {
		f.Set(fmt.Sprintf("spec.nics.%d.network", i), on)
	}
	f.Set("spec.nics.1.model", "e1000e")
	at := admin.post("/templates", f).want(t, http.StatusSeeOther).location()
	version := func(n int) domain.TemplateVersion {
		t.Helper()
		tm, err := w.db.Template(t.Context(), "two")
		if err != nil || len(tm.Versions) != n {
			t.Fatal(tm, err)
		}
		return tm.Versions[0]
	}
	v := version(1)
	if s := v.Spec; len(s.Disks) != 2 || s.Disks[1].SizeBytes != 2*domain.GiB || s.Disks[1].Bus != "scsi" || len(s.NICs) != 2 || s.NICs[1].Model != "e1000e" {
		t.Fatalf("%+v", v.Spec)
	}
	page := admin.get(at+"/versions/new").want(t, http.StatusOK, `name="spec.disks.1.size_bytes"`, `value="2 GiB"`, `name="spec.disks.2.size_bytes"`, `name="spec.nics.1.network"`, `name="spec.nics.2.network"`, "uptime")
	if !strings.Contains(page.text, "Disk 2 begins as") {
		t.Error("no row for the second disk")
	}
	// The first disk goes, the second grows, one is new; what is wrong is said at its row.
	f = url.Values{"spec.vcpus": {"1"}, "spec.memory_bytes": {"256 MiB"}, "guest_exec_allow": {"uptime"}, "spec.disks.0.from": {"0"}, "spec.disks.0.size_bytes": {""}, "spec.disks.1.from": {"1"}, "spec.disks.1.size_bytes": {"much"},
		"spec.disks.1.bus": {"virtio"}, "spec.disks.2.from": {""}, "spec.disks.2.size_bytes": {"5 GiB"}, "spec.nics.0.from": {"0"}, "spec.nics.0.network": {""}}
	admin.post(at+"/versions/new", f).want(t, http.StatusUnprocessableEntity, `value="much"`, `id="template-spec.disks.1.size_bytes-error"`, "is not a size")
	f.Set("spec.disks.1.size_bytes", "3 GiB")
	f.Set("spec.disks.2.pool", "nowhere")
	f.Set("spec.disks.2.bus", "carrier pigeon")
	admin.post(at+"/versions/new", f).want(t, http.StatusUnprocessableEntity, `id="template-spec.disks.2.bus-error"`)
	f.Set("spec.disks.2.bus", "")
	f.Del("spec.disks.2.pool")
	admin.post(at+"/versions/new", f).want(t, http.StatusSeeOther)
	v = version(2)
	if s := v.Spec; len(s.Disks) != 2 || s.Disks[0].SizeBytes != 3*domain.GiB || s.Disks[0].Bus != "virtio" || s.Disks[1].SizeBytes != 5*domain.GiB || len(s.NICs) != 1 || s.NICs[0].Model != "e1000e" {
		t.Fatalf("%+v", s)
	}
	if len(v.ExecRules) != 1 {
		t.Errorf("commands: %v", v.ExecRules)
	}
}
