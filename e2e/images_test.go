package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"novacron/e2e/browser"
	"novacron/e2e/server"
)

// imageFile is a qcow2 image whose disk begins with mark-1001, and its checksum.
func imageFile(t *testing.T, name string) (path, sum string) {
	t.Helper()
	dir := t.TempDir()
	raw := filepath.Join(dir, "raw")
	if err := os.WriteFile(raw, append([]byte("mark-1001"), make([]byte, 16<<20-9)...), 0o600); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, name+".qcow2")
	qemuImg(t, "convert", "-O", "qcow2", raw, path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := sha256.Sum256(b)
	return path, hex.EncodeToString(s[:])
}

func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "qemu-img", args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %s: %v %s", strings.Join(args, " "), err, out)
	}
}

// imported is the API's answer to a new version of an image.
type imported struct {
	Version struct {
		ID, Ref, State, SHA256 string
		ImageID                string `json:"image_id"`
		Received               int64  `json:"received_bytes"`
	}
	Upload string
	Job    *server.Job
}

// put sends a part of an upload; what is missing of the body is as if the connection broke.
func (e *estate) put(t *testing.T, url string, body []byte, first, total int, cut bool) (imported, int) {
	t.Helper()
	var r io.Reader = bytes.NewReader(body)
	length := int64(len(body))
	if cut {
		length += 1000
	}
	req, err := http.NewRequestWithContext(t.Context(), "PUT", e.URL+url, r)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = length
	req.Header.Set("Authorization", "Bearer "+e.Token)
	req.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+int(length)-1, total))
	res, err := http.DefaultClient.Do(req)
	var out imported
	if err != nil {
		if cut {
			return out, 0
		}
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out, res.StatusCode
}

// image uploads a file as a version of an image and gives the job's outcome.
func (e *estate) image(t *testing.T, url string, ask map[string]any, file string) (imported, server.Job) {
	t.Helper()
	var in imported
	if _, err := e.api.Do("POST", url, ask, &in); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out, status := e.put(t, in.Upload, b, 0, len(b), false)
	if out.Job == nil {
		t.Fatalf("the upload answered %d: %+v", status, out)
	}
	return in, e.api.Await(t, out.Job.ID)
}

func upload(version, sum string) map[string]any {
	return map[string]any{"version": version, "publish": true, "source": map[string]any{"upload": true, "sha256": sum}}
}

// TestImagesBecomeVMs: a file comes in, in parts; what is wrong or hostile does not; VMs begin as it, linked and copied, and none of them changes it.
func TestImagesBecomeVMs(t *testing.T) {
	e := newEstate(t)
	t.Cleanup(func() { scrub(t, "image-tinyimg") })
	path, sum := imageFile(t, "tinyimg")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	// An upload that is cut off goes on where it was.
	var in imported
	first := upload("1", sum)
	first["name"] = "tinyimg"
	if _, err := e.api.Do("POST", "/api/v1/images", first, &in); err != nil {
		t.Fatal(err)
	}
	half := len(content) / 2
	e.put(t, in.Upload, content[:half], 0, len(content), true)
	address := "/api/v1/images/tinyimg/versions/1"
	server.Wait(t, 20*time.Second, "the server to know how far it came", func() error {
		var v struct {
			Received int64 `json:"received_bytes"`
		}
		if _, err := e.api.Do("GET", address, nil, &v); err != nil || v.Received != int64(half) {
			return server.Not(half, fmt.Sprint(v.Received, err))
		}
		return nil
	})
	done, _ := e.put(t, in.Upload, content[half:], half, len(content), false)
	if done.Job == nil {
		t.Fatalf("the last part answered %+v", done)
	}
	if j := e.api.Await(t, done.Job.ID); j.State != "succeeded" {
		t.Fatalf("the import is %s: %+v", j.State, j.Error)
	}
	if _, err := e.api.Do("GET", address, nil, &in.Version); err != nil || in.Version.State != "published" || in.Version.SHA256 != sum {
		t.Fatalf("%+v: %v", in.Version, err)
	}

	// What is not what it says is refused, and nothing of it stays.
	versions := "/api/v1/images/tinyimg/versions"
	if _, j := e.image(t, versions, upload("wrong", strings.Repeat("0", 64)), path); j.State != "undone" || j.Error == nil || !strings.Contains(j.Error.Message, "checksum") {
		t.Errorf("a wrong checksum: %s, %+v", j.State, j.Error)
	}
	hostile := filepath.Join(t.TempDir(), "hostile.qcow2")
	qemuImg(t, "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", hostile, "16M")
	if _, j := e.image(t, versions, upload("hostile", ""), hostile); j.State != "undone" || j.Error == nil || !strings.Contains(j.Error.Message, "/etc/passwd") && !strings.Contains(j.Error.Message, "another file") {
		t.Errorf("a backing file at /etc/passwd: %s, %+v", j.State, j.Error)
	}
	var all struct{ Items []struct{ Version string } }
	if _, err := e.api.Do("GET", versions, nil, &all); err != nil || len(all.Items) != 1 {
		t.Errorf("versions are %+v: %v", all.Items, err)
	}

	// Two VMs on one copy: each sees the image, and only its own writes.
	one := e.guest(t, "imgvm-1", e.hosts[0], 0)
	one["disks"] = []map[string]any{{"image": "tinyimg", "linked": true}}
	two := e.guest(t, "imgvm-2", e.hosts[0], 0)
	two["disks"] = []map[string]any{{"image": "tinyimg@1"}}
	a, b := e.create(t, one), e.create(t, two)
	session := signIn(t, e.Server)
	inA, inB := inside{t, e, session, a}, inside{t, e, session, b}
	inA.reads("1")
	inA.write("2")
	inB.reads("1")
	var copies struct {
		Items []struct{ State, Path string }
	}
	if _, err := e.api.Do("GET", "/api/v1/image-copies", nil, &copies); err != nil || len(copies.Items) != 1 || copies.Items[0].State != "ready" {
		t.Fatalf("copies are %+v: %v", copies.Items, err)
	}
	kept, err := os.ReadFile(hosts.Hosts[0].Path(copies.Items[0].Path))
	if err != nil {
		t.Fatal(err)
	}
	if got := sha256.Sum256(kept); hex.EncodeToString(got[:]) != sum {
		t.Error("the copy of the image on the host was changed")
	}

	// A template of a VM that runs, on a chain, with an image of its disk; a linked clone of a stopped one boots with what it wrote.
	made := e.api.Change(t, "POST", "/api/v1/vms/"+a.ID+"/template", map[string]any{"name": "fromvm"}, "succeeded").Resource
	var tmpl struct {
		Versions []struct {
			Spec struct{ Disks []struct{ Image string } }
		}
	}
	if _, err := e.api.Do("GET", "/api/v1/templates/"+made.ID, nil, &tmpl); err != nil || len(tmpl.Versions) != 1 || len(tmpl.Versions[0].Spec.Disks) != 1 || !strings.HasPrefix(tmpl.Versions[0].Spec.Disks[0].Image, "fromvm@") {
		t.Errorf("the template of a running VM: %+v, %v", tmpl, err)
	}
	if _, err := e.api.Do("DELETE", "/api/v1/templates/"+made.ID, nil, nil); err != nil {
		t.Error(err)
	}
	e.api.Change(t, "DELETE", "/api/v1/images/fromvm", nil, "succeeded")
	e.api.Change(t, "POST", "/api/v1/vms/"+a.ID+"/stop", nil, "succeeded")
	clone := e.api.Change(t, "POST", "/api/v1/vms/"+a.ID+"/clone", map[string]any{"name": "imgvm-3", "linked": true}, "succeeded").Resource.ID
	e.api.Change(t, "POST", "/api/v1/vms/"+clone+"/start", nil, "succeeded")
	inClone := inside{t, e, session, server.VM{ID: clone, Name: "imgvm-3"}}
	inClone.reads("2")

	// Nothing that a VM stands on goes; when the VMs are gone it does.
	e.api.Change(t, "DELETE", "/api/v1/images/tinyimg", nil, "undone")
	for _, id := range []string{clone, a.ID, b.ID} {
		e.api.Change(t, "DELETE", "/api/v1/vms/"+id+"?disks=true", nil, "succeeded")
	}
	// What was frozen for the clone went with the last of the two that were built on it.
	if left := volumes(t, 0, "imgvm-"); len(left) > 0 {
		t.Errorf("%v are left on the host", left)
	}
	e.api.Change(t, "DELETE", "/api/v1/images/tinyimg", nil, "succeeded")
	if left := volumes(t, 0, "image-tinyimg"); len(left) > 0 {
		t.Errorf("%v are left on the host", left)
	}
}

// TestTemplatesRollOut: a template makes VMs, and a new version of it comes to them, but not to the one that is pinned.
func TestTemplatesRollOut(t *testing.T) {
	e := newEstate(t)
	base := e.guest(t, "x", e.hosts[0], 0)
	spec := map[string]any{"vcpus": 1, "memory_bytes": 128 << 20, "boot": base["boot"], "nics": []map[string]any{{"network": "${net}"}}}
	ask := map[string]any{"name": "tmplvm", "spec": spec, "parameters": []map[string]any{{"name": "vcpus", "type": "number", "default": "1"}, {"name": "net", "type": "text", "default": "default"}}}
	if _, err := e.api.Do("POST", "/api/v1/templates", ask, nil); err != nil {
		t.Fatal(err)
	}
	make := func(name string, extra map[string]any) server.VM {
		t.Cleanup(func() { scrub(t, name) })
		extra["name"], extra["host"] = name, e.hosts[0]
		j := e.api.Change(t, "POST", "/api/v1/templates/tmplvm/instantiate", extra, "succeeded")
		v, err := e.api.VM(j.Resource.ID)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	a := make("tmplvm-1", map[string]any{"parameters": map[string]string{"vcpus": "2"}, "start": true})
	b := make("tmplvm-2", map[string]any{"pinned": true})
	spec["memory_bytes"] = 192 << 20
	delete(ask, "name")
	if _, err := e.api.Do("POST", "/api/v1/templates/tmplvm/versions", ask, nil); err != nil {
		t.Fatal(err)
	}
	var diff struct {
		Items []struct{ Field, Old, New string }
	}
	if _, err := e.api.Do("GET", "/api/v1/templates/tmplvm/diff?from=1&to=2", nil, &diff); err != nil || len(diff.Items) == 0 || diff.Items[0].New != "192 MiB" {
		t.Errorf("what changed is %+v: %v", diff.Items, err)
	}
	e.api.Change(t, "POST", "/api/v1/templates/tmplvm/rollout", map[string]any{"version": 2}, "succeeded")
	for name, want := range map[string]string{"tmplvm-1": "196608 KiB", "tmplvm-2": "131072 KiB"} {
		if got := virsh(t, 0, "dumpxml", "--inactive", name); !strings.Contains(got, "<memory unit='KiB'>"+strings.TrimSuffix(want, " KiB")+"<") {
			t.Errorf("%s does not have %s:\n%s", name, want, got)
		}
	}
	for id, want := range map[string]int{a.ID: 2, b.ID: 1} {
		var of struct{ Number int }
		if _, err := e.api.Do("GET", "/api/v1/vms/"+id+"/template", nil, &of); err != nil || of.Number != want {
			t.Errorf("%s stands at version %d, wanted %d: %v", id, of.Number, want, err)
		}
	}
}

// A person uploads an image, publishes it and makes a VM of it, all in the browser.
func TestImageInTheBrowser(t *testing.T) {
	e := newEstate(t)
	t.Cleanup(func() { scrub(t, "image-browsed") })
	path, sum := imageFile(t, "browsed")
	p := browser.Open(t, e.URL, 1440, 900)
	p.SignIn(e.Admin, e.Password, password)
	p.Go("/images/new?from=upload")
	p.Fill(map[string]string{"name": "browsed", "version": "1", "source.sha256": sum, "changelog": "The first."})
	p.Click(`form[action="/images"] button[type=submit]`)
	p.Until("the page that takes the file", `document.querySelector("[data-upload]")`)
	p.Picture("image-upload")
	p.Attach("#upload-file", path)
	p.Until("the button to be there to press", `document.querySelector("[data-upload-go]:enabled")`)
	p.Click(`[data-upload-go]`)
	p.Until("the version to be a draft", `!document.querySelector("[data-upload]") && document.querySelector("form[action$='/publish']")`)
	if text := p.Text(); !strings.Contains(text, sum) {
		t.Errorf("the page does not show the checksum:\n%s", text)
	}
	p.Click(`form[action$="/publish"] button`)
	p.Until("it to be published", `document.querySelector("form[action$='/deprecate']")`)
	p.Picture("image-published")

	p.Click(`a[href^="/vms/new?library="]`)
	p.Until("the form with the image", `document.querySelector("select[name=library]")?.value.startsWith("browsed")`)
	p.Fill(map[string]string{"name": "browsed-vm"})
	t.Cleanup(func() { scrub(t, "browsed-vm") })
	p.Fill(map[string]string{"memory_bytes": "64 MiB", "disks.0.size_bytes": "32 MiB", "vcpus": "1"})
	p.Select("host", e.hosts[0])
	p.Picture("vm-new-image")
	p.Click(`form[action="/vms"] button[type=submit]:not([formaction])`)
	p.Until("the VM's page", `/^\/vms\/vm_/.test(location.pathname) && document.body.innerText.includes("browsed@1")`)
	server.Wait(t, time.Minute, "the VM to run", func() error {
		all, err := e.api.VMs()
		if err != nil || len(all) != 1 || all[0].State != "running" {
			return server.Not("one running VM", fmt.Sprint(all, err))
		}
		return nil
	})
	out, err := hosts.Hosts[0].Exec(t.Context(), "sh", "-c", "qemu-img info -U /var/lib/libvirt/images/browsed-vm*.qcow2")
	if err != nil || !strings.Contains(string(out), "image-browsed-1-") {
		t.Errorf("its disk does not stand on the image's copy: %v\n%s", err, out)
	}
	for _, x := range p.Errors() {
		t.Errorf("the browser reports: %s", x)
	}
	p.Go("/images/browsed")
	p.UntilText("browsed-vm")
	p.Picture("image-used")
}
