package e2e

import (
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// begins wants that a disk's file on the first host begins with a byte.
func begins(t *testing.T, file, pattern string) {
	t.Helper()
	if out, err := hosts.Hosts[0].Exec(t.Context(), "qemu-io", "-r", "-f", "qcow2", "-c", "read -P "+pattern+" 0 64k", file); err != nil || strings.Contains(string(out), "verification failed") {
		t.Errorf("%s does not begin with %s: %v %s", file, pattern, err, out)
	}
}

func mark(t *testing.T, file, pattern string) {
	t.Helper()
	if out, err := hosts.Hosts[0].Exec(t.Context(), "qemu-io", "-f", "qcow2", "-c", "write -P "+pattern+" 0 64k", file); err != nil {
		t.Fatalf("writing to %s: %v %s", file, err, out)
	}
}

// An image of a VM that runs, and a VM of a snapshot that is inside its disk: both leave it running in its own disk.
func TestADiskThatIsInUseIsCopied(t *testing.T) {
	e := newEstate(t)
	ask := e.guest(t, "busy", e.hosts[0], 32<<20)
	ask["start"] = false
	v := e.create(t, ask)
	file := v.Disks[0].Source
	vm := "/api/v1/vms/" + v.ID
	mark(t, file, "0x11")
	e.api.Change(t, "POST", vm+"/snapshots", map[string]any{"name": "then"}, "succeeded")
	mark(t, file, "0x22")
	e.api.Change(t, "POST", vm+"/start", nil, "succeeded")
	then := e.snaps(t, v.ID)["then"]
	if then.Kind != "internal" {
		t.Fatalf("%+v", then)
	}

	e.api.Change(t, "POST", vm+"/snapshots/"+then.ID+"/clone", map[string]string{"name": "busy-copy"}, "succeeded")
	var in imported
	if _, err := e.api.Do("POST", "/api/v1/images", map[string]any{"name": "of-busy", "version": "1", "source": map[string]any{"vm": v.ID}}, &in); err != nil || in.Job == nil {
		t.Fatal(err, in)
	}
	if j := e.api.Await(t, in.Job.ID); j.State != "succeeded" {
		t.Fatalf("%+v", j)
	}

	now, err := e.api.VM(v.ID)
	if err != nil || now.State != "running" || now.Disks[0].Source != file {
		t.Errorf("%v: it is %s in %+v", err, now.State, now.Disks)
	}
	if all := e.snaps(t, v.ID); len(all) != 1 || !all["then"].Current {
		t.Errorf("its snapshots are %+v", all)
	}
	if out, err := hosts.Hosts[0].Exec(t.Context(), "ls", path.Dir(file)); err != nil || strings.Contains(string(out), "copying-") {
		t.Errorf("left over: %v %s", err, out)
	}
	copies := path.Join(path.Dir(file), "busy-copy.qcow2")
	begins(t, copies, "0x11")
	if out, err := hosts.Hosts[0].Exec(t.Context(), "qemu-img", "snapshot", "-l", copies); err != nil || strings.Contains(string(out), "then") {
		t.Errorf("inside the copy: %v %s", err, out)
	}
	whole(t, 0, copies)
	got := download(t, e, "/api/v1/images/"+in.Version.ImageID+"/versions/"+in.Version.ID+"/content")
	begins(t, got, "0x22")
	e.api.Change(t, "POST", vm+"/stop", nil, "succeeded")
	begins(t, file, "0x22")
	whole(t, 0, file)
	e.api.Change(t, "DELETE", "/api/v1/images/"+in.Version.ImageID, nil, "succeeded")
}

func download(t *testing.T, e *estate, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", e.URL+url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	file := filepath.Join(t.TempDir(), "got.qcow2")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, res.Body); err != nil || res.StatusCode != 200 {
		t.Fatal(res.Status, err)
	}
	return file
}
