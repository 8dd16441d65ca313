package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"novacron/e2e/browser"
	"novacron/e2e/server"
)

// pool and vol are the API's.
type pool struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Identity   string `json:"identity"`
	Shared     bool   `json:"shared"`
	Active     bool   `json:"active"`
	Capacity   int64  `json:"capacity_bytes"`
	Volumes    int    `json:"volumes"`
	Hosts      []struct{ HostID, Pool string }
	Overcommit float64 `json:"overcommit"`
}

type vol struct {
	ID         string `json:"id"`
	PoolID     string `json:"pool_id"`
	Name       string `json:"name"`
	Path       string `json:"path"`
	Format     string `json:"format"`
	Backing    string `json:"backing"`
	Capacity   int64  `json:"capacity_bytes"`
	Allocation int64  `json:"allocation_bytes"`
	Orphan     bool   `json:"orphan"`
	Encrypted  bool   `json:"encrypted"`
	Users      []struct{ Kind, Name string }
	Chain      []struct {
		Name  string
		Level int
	}
}

func (e *estate) pools(t *testing.T, query string) (out []pool) {
	t.Helper()
	var page struct{ Items []pool }
	if _, err := e.api.Do("GET", "/api/v1/pools?"+query, nil, &page); err != nil {
		t.Fatal(err)
	}
	return page.Items
}

func (e *estate) vols(t *testing.T, query string) map[string]vol {
	t.Helper()
	var page struct{ Items []vol }
	if _, err := e.api.Do("GET", "/api/v1/volumes?limit=200&"+query, nil, &page); err != nil {
		t.Fatal(err)
	}
	out := map[string]vol{}
	for _, v := range page.Items {
		out[v.Name] = v
	}
	return out
}

func (e *estate) vol(t *testing.T, id string) (v vol) {
	t.Helper()
	if _, err := e.api.Do("GET", "/api/v1/volumes/"+id, nil, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// dirPool makes a pool in a folder of its own on a host, and removes what is left of it when the test ends.
func (e *estate) dirPool(t *testing.T, host int, name string) string {
	t.Helper()
	t.Cleanup(func() {
		h := hosts.Hosts[host]
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		hosts.Virsh(ctx, h, "pool-destroy", name)
		hosts.Virsh(ctx, h, "pool-undefine", name)
		h.Exec(ctx, "rm", "-rf", "/var/lib/libvirt/"+name)
	})
	e.api.Change(t, "POST", "/api/v1/pools", map[string]any{"name": name, "host": e.hosts[host], "type": "dir", "target": "/var/lib/libvirt/" + name}, "succeeded")
	for _, p := range e.pools(t, "host="+e.hosts[host]) {
		if p.Name == name {
			return p.ID
		}
	}
	t.Fatal("the pool is not listed")
	return ""
}

func (e *estate) makeVol(t *testing.T, pool, name string, size int64, format string) vol {
	t.Helper()
	j := e.api.Change(t, "POST", "/api/v1/volumes", map[string]any{"pool": pool, "name": name, "size_bytes": size, "format": format}, "succeeded")
	return e.vol(t, j.Resource.ID)
}

// glusterScript runs a GlusterFS of one brick on a lab host, with files and a socket of its own.
const glusterScript = `set -e
d=/var/lib/libvirt/gluster; mkdir -p $d/lib $d/log $d/run $d/brick
cp -a /var/lib/glusterd/. $d/lib/ 2>/dev/null || true; rm -f $d/lib/glusterd.info; mkdir -p /var/log/glusterfs /var/lib/glusterd
mount --bind $d/lib /var/lib/glusterd; mount --bind $d/log /var/log/glusterfs; mount --bind $d/run /run; mkdir -p /run/gluster
glusterd -p $d/glusterd.pid </dev/null >/dev/null 2>&1
for i in $(seq 300); do gluster --mode=script pool list >/dev/null 2>&1 && break; sleep 0.1; done
gluster --mode=script volume create gv $1:$d/brick/b force </dev/null
gluster --mode=script volume set gv server.allow-insecure on </dev/null
gluster --mode=script volume start gv </dev/null
`

// One GlusterFS volume mounted by two hosts is one pool, whose volumes are there once; what is made through it is seen by both.
func TestAGlusterVolumeOnTwoHostsIsOnePool(t *testing.T) {
	e := newEstate(t)
	a := hosts.Hosts[0]
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, h := range hosts.Hosts {
			hosts.Virsh(ctx, h, "pool-destroy", "gv")
			hosts.Virsh(ctx, h, "pool-undefine", "gv")
		}
		a.Exec(ctx, "sh", "-c", `pid=$(cat /var/lib/libvirt/gluster/glusterd.pid) && nsenter -t $pid -m gluster --mode=script volume stop gv force; kill $pid; rm -rf /var/lib/libvirt/gluster`)
	})
	if out, err := a.Exec(ctx, "unshare", "-m", "--propagation", "private", "bash", "-c", glusterScript, "gluster", a.Addr); err != nil {
		t.Fatal(out, err)
	}
	body := map[string]any{"name": "gv", "hosts": e.hosts, "type": "netfs", "source": map[string]any{"hosts": []string{a.Addr}, "path": "gv", "format": "glusterfs"}}
	e.api.Change(t, "POST", "/api/v1/pools", body, "succeeded")
	list := e.pools(t, "type=netfs")
	if len(list) != 1 || !list[0].Shared || len(list[0].Hosts) != 2 || !list[0].Active || list[0].Identity != "netfs:glusterfs:"+a.Addr+":/gv" || list[0].Capacity == 0 {
		t.Fatalf("%+v", list)
	}
	gv := list[0]
	v := e.makeVol(t, gv.ID, "both.qcow2", 64<<20, "qcow2")
	for host := range hosts.Hosts {
		virsh(t, host, "pool-refresh", "gv")
		if out := virsh(t, host, "vol-list", "gv"); !strings.Contains(out, "both.qcow2") {
			t.Errorf("host %d does not see it: %s", host, out)
		}
	}
	e.api.Change(t, "POST", "/api/v1/pools/"+gv.ID+"/refresh", nil, "succeeded")
	if all := e.vols(t, "filter=both"); len(all) != 1 || all["both.qcow2"].ID != v.ID {
		t.Errorf("%+v", all)
	}
	// The same under another name is refused on a host that has it.
	body["name"] = "again"
	if _, err := e.api.Do("POST", "/api/v1/pools", body, nil); problem(t, err).Status != 409 {
		t.Error(err)
	}

	p := browser.Open(t, e.URL, 1440, 900)
	p.SignIn(e.Admin, e.Password, password)
	p.Go("/storage")
	p.UntilText("gv")
	if n := browser.Eval[int](p, `[...document.querySelectorAll("tbody tr")].filter(r => r.dataset.name === "gv").length`); n != 1 {
		t.Errorf("the list has it %d times", n)
	}
	p.UntilText("shared")
	p.Picture("storage-pools")
	p.Click(`tr[data-name="gv"] a.name`)
	p.UntilText("Hosts that see it")
	p.UntilText("both.qcow2")
	for _, h := range hosts.Hosts {
		p.UntilText(h.Name)
	}
	p.Picture("storage-pool")
	// Its data goes only when its name is typed.
	p.Click(`details.menu:has(a[href$="/delete"]) summary`)
	p.Click(`a[href$="/delete"]`)
	p.UntilText("Also delete what is in it")
	p.Click(`#delete-disks`)
	p.Fill(map[string]string{"confirm": "gw"})
	p.Click(`#dialog button[type=submit]`)
	p.UntilText("its name must be given")
	p.Fill(map[string]string{"confirm": "gv"})
	p.Click(`#dialog button[type=submit]`)
	server.Wait(t, time.Minute, "the pool to be gone", func() error {
		if left := e.pools(t, "type=netfs"); len(left) != 0 {
			return server.Not("no pool", fmt.Sprint(left))
		}
		return nil
	})
	if out, err := a.Exec(ctx, "ls", "/var/lib/libvirt/gluster/brick/b"); err != nil || strings.Contains(out, "both") {
		t.Errorf("its data is still there: %s %v", out, err)
	}
}

// A volume group on a loop device: made by NovaCron, shown with its size, and gone with its data. Logical volumes need the kernel's device mapper; where
// it is missing, the host's refusal is said and nothing is left.
func TestAnLVMPoolOnALoopDevice(t *testing.T) {
	e := newEstate(t)
	h := hosts.Hosts[0]
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("the kernel has no loop devices: ", err)
	}
	vg := fmt.Sprintf("nova%d", os.Getpid())
	loop, err := h.Exec(ctx, "sh", "-c", "truncate -s 128M /var/lib/libvirt/lvm.img && losetup -f --show /var/lib/libvirt/lvm.img")
	if err != nil {
		t.Fatal(loop, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		hosts.Virsh(ctx, h, "pool-destroy", "lvm")
		hosts.Virsh(ctx, h, "pool-undefine", "lvm")
		h.Exec(ctx, "sh", "-c", "vgremove -qqf "+vg+"; pvremove -qq "+loop+"; losetup -d "+loop+"; rm -f /var/lib/libvirt/lvm.img")
	})
	body := map[string]any{"name": "lvm", "host": e.hosts[0], "type": "logical", "build": true, "source": map[string]any{"name": vg, "devices": []string{loop}}}
	e.api.Change(t, "POST", "/api/v1/pools", body, "succeeded")
	list := e.pools(t, "type=logical")
	if len(list) != 1 || !list[0].Active || list[0].Shared || list[0].Capacity < 100<<20 {
		t.Fatalf("%+v", list)
	}
	// What has a volume group already is not written over.
	body["name"], body["source"] = "other", map[string]any{"name": vg + "b", "devices": []string{loop}}
	j := e.api.Change(t, "POST", "/api/v1/pools", body, "undone")
	if j.Error == nil || len(e.pools(t, "type=logical")) != 1 {
		t.Errorf("%+v", j)
	}
	if _, err := e.api.Do("POST", "/api/v1/volumes", map[string]any{"pool": list[0].ID, "name": "big", "size_bytes": 1 << 30}, nil); problem(t, err).Status != 507 {
		t.Error(err)
	}
	misc, err := os.ReadFile("/proc/misc")
	if err != nil {
		t.Fatal(err)
	}
	want := "succeeded"
	if !strings.Contains(string(misc), "device-mapper") {
		want = "undone"
	}
	j = e.api.Change(t, "POST", "/api/v1/volumes", map[string]any{"pool": list[0].ID, "name": "lv1", "size_bytes": 8 << 20}, want)
	if want == "undone" {
		if j.Error == nil || len(e.vols(t, "pool="+list[0].ID)) != 0 {
			t.Errorf("%+v", j)
		}
		t.Logf("without a device mapper: %+v", j.Error)
	} else if v := e.vols(t, "pool="+list[0].ID)["lv1"]; v.Capacity != 8<<20 || v.Format != "raw" {
		t.Errorf("%+v", v)
	}
	e.api.Change(t, "DELETE", "/api/v1/pools/"+list[0].ID+"?data=true&confirm=lvm", nil, "succeeded")
	if out, err := h.Exec(ctx, "vgs", "--noheadings", "-o", "vg_name"); err != nil || strings.Contains(out, vg) {
		t.Errorf("the volume group is still there: %s %v", out, err)
	}
}

// putPart sends one part of an upload; with cut the connection is closed when half of it was sent.
func (e *estate) putPart(t *testing.T, id string, content []byte, from, to int, sum string, cut bool) (*http.Response, error) {
	t.Helper()
	u, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/volumes/" + id + "/content"
	if sum != "" {
		path += "?sha256=" + sum
	}
	if cut {
		c, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n", path, u.Host, e.Token, from, to-1, len(content), to-from)
		_, err = c.Write(content[from : from+(to-from)/2])
		return nil, err
	}
	req, err := http.NewRequest("PUT", e.URL+path, bytes.NewReader(content[from:to]))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.Token)
	req.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(content)))
	res, err := e.api.HTTP.Do(req)
	if err == nil {
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	return res, err
}

// offset asks how far an upload is; -1 when none is under way.
func (e *estate) offset(t *testing.T, id string) int {
	t.Helper()
	res, err := e.api.Do("HEAD", "/api/v1/volumes/"+id+"/content", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(res.Header.Get("Upload-Offset"))
	if err != nil || res.Header.Get("Upload-Length") == "" || res.Header.Get("Upload-Length") == "0" {
		return -1
	}
	return n
}

func (e *estate) jobOf(t *testing.T, volume, kind string) server.Job {
	t.Helper()
	var page struct{ Items []server.Job }
	if _, err := e.api.Do("GET", "/api/v1/jobs?limit=50", nil, &page); err != nil {
		t.Fatal(err)
	}
	for _, j := range page.Items {
		if j.Resource.ID == volume && j.Kind == kind {
			return e.api.Await(t, j.ID)
		}
	}
	t.Fatalf("no %s of %s", kind, volume)
	return server.Job{}
}

func noise(n int) ([]byte, string) {
	b := make([]byte, n)
	rand.Read(b)
	sum := sha256.Sum256(b)
	return b, hex.EncodeToString(sum[:])
}

// An upload that is cut in the middle goes on where it was; a wrong checksum and a full disk are undone cleanly.
func TestUploadsThatGoWrong(t *testing.T) {
	e := newEstate(t)
	id := e.dirPool(t, 0, "up")
	v := e.makeVol(t, id, "cut.raw", 24<<20, "raw")
	content, sum := noise(24 << 20)
	if res, err := e.putPart(t, v.ID, content, 0, 4<<20, sum, false); err != nil || res.StatusCode != 202 {
		t.Fatal(res, err)
	}
	if _, err := e.putPart(t, v.ID, content, 4<<20, 20<<20, sum, true); err != nil {
		t.Fatal(err)
	}
	at := 0
	server.Wait(t, 30*time.Second, "what came before the cut to be kept", func() error {
		if at = e.offset(t, v.ID); at <= 4<<20 {
			return server.Not("more than the first part", at)
		}
		return nil
	})
	if res, err := e.putPart(t, v.ID, content, at+1, len(content), sum, false); err != nil || res.StatusCode != 409 {
		t.Errorf("with a hole: %v %v", res, err)
	}
	if res, err := e.putPart(t, v.ID, content, at, len(content), sum, false); err != nil || res.StatusCode != 202 {
		t.Fatal(res, err)
	}
	if j := e.jobOf(t, v.ID, "volume.upload"); j.State != "succeeded" {
		t.Fatalf("%+v", j)
	}
	res, err := http.NewRequest("GET", e.URL+"/api/v1/volumes/"+v.ID+"/content", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Header.Set("Authorization", "Bearer "+e.Token)
	down, err := e.api.HTTP.Do(res)
	if err != nil {
		t.Fatal(err)
	}
	defer down.Body.Close()
	h := sha256.New()
	if n, err := io.Copy(h, down.Body); err != nil || n != int64(len(content)) || hex.EncodeToString(h.Sum(nil)) != sum {
		t.Errorf("downloaded %d bytes with another content: %v", n, err)
	}

	// The wrong checksum: nothing of it stays.
	bad := e.makeVol(t, id, "bad.raw", 4<<20, "raw")
	if _, err := e.putPart(t, bad.ID, content[:4<<20], 0, 4<<20, strings.Repeat("0", 64), false); err != nil {
		t.Fatal(err)
	}
	if j := e.jobOf(t, bad.ID, "volume.upload"); j.State != "undone" || j.Error == nil || !strings.Contains(j.Error.Message, "SHA-256") {
		t.Errorf("%+v", j)
	}
	if again := e.vol(t, bad.ID); again.Capacity != 4<<20 || e.offset(t, bad.ID) >= 0 {
		t.Errorf("%+v", again)
	}
	zero, err := os.ReadFile(hosts.Hosts[0].Path(bad.Path))
	if err != nil || len(bytes.Trim(zero, "\x00")) != 0 {
		t.Errorf("%d bytes of it are there: %v", len(bytes.Trim(zero, "\x00")), err)
	}

	// A disk that is full in the middle.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	small := hosts.Hosts[0]
	if out, err := small.Exec(ctx, "sh", "-c", "mkdir -p /var/lib/libvirt/small && mount -t tmpfs -o size=8M none /var/lib/libvirt/small"); err != nil {
		t.Fatal(out, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		small.Exec(ctx, "umount", "-l", "/var/lib/libvirt/small")
	})
	tiny := e.dirPool(t, 0, "small")
	full := e.makeVol(t, tiny, "full.raw", 24<<20, "raw")
	r, err := e.putPart(t, full.ID, content, 0, len(content), sum, false)
	if err == nil && r.StatusCode < 400 {
		t.Errorf("it says %s", r.Status)
	}
	if j := e.jobOf(t, full.ID, "volume.upload"); j.State != "undone" || j.Error == nil || !strings.Contains(strings.ToLower(j.Error.Message), "space") {
		t.Errorf("%+v", j)
	}
	if left := e.vol(t, full.ID); left.Allocation > 1<<20 {
		t.Errorf("half of it is there: %+v", left)
	}

	// An image that finds no room where it is to stand.
	t.Cleanup(func() { scrub(t, "image-large") })
	large := filepath.Join(t.TempDir(), "large.raw")
	if err := os.WriteFile(large, content, 0o600); err != nil {
		t.Fatal(err)
	}
	ask := upload("1", sum)
	ask["name"] = "large"
	if _, j := e.image(t, "/api/v1/images", ask, large); j.State != "succeeded" {
		t.Fatalf("%+v", j)
	}
	place := map[string]any{"host": e.hosts[0], "pool": "small"}
	if j := e.api.Change(t, "POST", "/api/v1/images/large/versions/1/place", place, "undone"); j.Error == nil || !strings.Contains(strings.ToLower(j.Error.Message), "space") {
		t.Errorf("%+v", j)
	}
	if out, err := small.Exec(ctx, "find", "/var/lib/libvirt/small", "-type", "f", "!", "-name", "full.raw"); err != nil || len(bytes.TrimSpace([]byte(out))) != 0 {
		t.Errorf("of an image that has no room there is %s: %v", out, err)
	}
}

// The browser's upload is cut by a server that dies in the middle, and goes on by itself when it is back.
func TestUploadInTheBrowserSurvivesTheServer(t *testing.T) {
	e := newEstate(t)
	id := e.dirPool(t, 0, "web")
	content, sum := noise(160 << 20)
	file := filepath.Join(t.TempDir(), "image.raw")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	p := browser.Open(t, e.URL, 1440, 900)
	p.SignIn(e.Admin, e.Password, password)
	p.Go("/storage/volumes/upload?pool=" + id)
	p.Attach("#upload-file", file)
	p.Fill(map[string]string{"sha256": sum})
	p.Click("#volume-upload button[type=submit]")
	var v vol
	server.Wait(t, time.Minute, "the first parts to be there", func() error {
		var ok bool
		if v, ok = e.vols(t, "filter=image.raw")["image.raw"]; !ok {
			return server.Not("the volume", "none")
		}
		if at := e.offset(t, v.ID); at < 32<<20 {
			return server.Not("one part", at)
		}
		return nil
	})
	e.Kill()
	p.UntilText("It is tried again")
	p.Picture("storage-upload-cut")
	e.Up()
	p.Within(2*time.Minute, "the volume's page", `location.pathname === "/storage/volumes/`+v.ID+`"`)
	if j := e.jobOf(t, v.ID, "volume.upload"); j.State != "succeeded" {
		t.Fatalf("%+v", j)
	}
	p.UntilText(sum)
	p.UntilText("used by nobody")
	p.Picture("storage-volume")
	got, err := os.ReadFile(hosts.Hosts[0].Path(v.Path))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes with another content: %v", len(got), err)
	}

	// An orphan: listed as such, and deleted from there.
	p.Go("/storage/volumes?orphans=1&filter=image.raw")
	p.Click(`tr[data-name="image.raw"] .row-check`)
	p.Click(`.bulkbar button.danger`)
	p.UntilText("Delete the volume image.raw?")
	p.Click(`#dialog button.danger-fill`)
	server.Wait(t, time.Minute, "the volume to be gone", func() error {
		if _, ok := e.vols(t, "filter=image.raw")["image.raw"]; ok {
			return server.Not("no volume", "one")
		}
		return nil
	})
}

// What can be done with the disk of a VM that runs: limits, growing, moving to another pool, taking in and writing down what it stands on, and letting go.
func TestDisksOfARunningVM(t *testing.T) {
	e := newEstate(t)
	fast := e.dirPool(t, 0, "fast")
	v := e.create(t, e.guest(t, "disky", e.hosts[0], 32<<20))
	disks := "/api/v1/vms/" + v.ID + "/disks"
	of := func(file string) vol {
		t.Helper()
		for _, x := range e.vols(t, "host="+e.hosts[0]) {
			if x.Path == file {
				return x
			}
		}
		t.Fatalf("no volume %s", file)
		return vol{}
	}
	source := func() string {
		t.Helper()
		for _, line := range strings.Split(virsh(t, 0, "domblklist", "disky"), "\n") {
			if f := strings.Fields(line); len(f) == 2 && f[0] == "vda" {
				return f[1]
			}
		}
		t.Fatal("it has no vda")
		return ""
	}
	e.api.Change(t, "PATCH", disks+"/vda", map[string]any{"tune": map[string]any{"total_iops": 500, "write_bytes_per_s": 8 << 20}}, "succeeded")
	if out := virsh(t, 0, "blkdeviotune", "disky", "vda"); !strings.Contains(out, "500") || !strings.Contains(out, "8388608") {
		t.Error(out)
	}
	first := of(source())
	e.api.Change(t, "PATCH", "/api/v1/volumes/"+first.ID, map[string]any{"size_bytes": 48 << 20}, "succeeded")
	if out := virsh(t, 0, "domblkinfo", "disky", "vda"); !strings.Contains(out, "50331648") {
		t.Error(out)
	}
	if _, err := e.api.Do("DELETE", "/api/v1/volumes/"+first.ID, nil, nil); problem(t, err).Status != 409 || !strings.Contains(err.Error(), "disky") {
		t.Error(err)
	}
	e.api.Change(t, "POST", "/api/v1/volumes/"+first.ID+"/move", map[string]any{"pool": fast, "name": "moved.qcow2"}, "succeeded")
	if at := source(); !strings.HasSuffix(at, "/fast/moved.qcow2") {
		t.Fatal(at)
	}
	if _, err := os.Stat(hosts.Hosts[0].Path(first.Path)); !os.IsNotExist(err) {
		t.Error("the old volume is still there:", err)
	}

	// It gets an image to stand on, behind the product's back, and is made flat again; then once more, and is written down.
	overlay := func(name string) {
		t.Helper()
		virsh(t, 0, "snapshot-create-as", "disky", name, "--disk-only", "--no-metadata", "--diskspec", "vda,file=/var/lib/libvirt/fast/"+name+".qcow2")
		e.api.Change(t, "POST", "/api/v1/pools/"+fast+"/refresh", nil, "succeeded")
		virsh(t, 0, "suspend", "disky") // libvirt tells nobody of an overlay, but of this
		virsh(t, 0, "resume", "disky")
		server.Wait(t, 30*time.Second, "the overlay to be seen", func() error {
			now, err := e.api.VM(v.ID)
			if err != nil || len(now.Disks) != 1 || !strings.HasSuffix(now.Disks[0].Source, name+".qcow2") {
				return server.Not(name, fmt.Sprint(now.Disks, err))
			}
			return nil
		})
	}
	overlay("over1")
	if c := e.vol(t, of(source()).ID).Chain; len(c) != 2 || c[0].Name != "moved.qcow2" || c[0].Level != -1 {
		t.Errorf("the chain is %+v", c)
	}
	e.api.Change(t, "POST", disks+"/vda/flatten", nil, "succeeded")
	if c := e.vol(t, of(source()).ID); c.Backing != "" {
		t.Errorf("it still stands on %s", c.Backing)
	}
	overlay("over2")
	e.api.Change(t, "POST", disks+"/vda/commit", nil, "succeeded")
	if at := source(); !strings.HasSuffix(at, "/over1.qcow2") {
		t.Error(at)
	}
	if _, ok := e.vols(t, "pool="+fast)["over2.qcow2"]; ok {
		t.Error("what was written down is still there")
	}

	// Another disk in the browser: attached, limited, and detached with its volume.
	data := e.makeVol(t, fast, "data.raw", 8<<20, "raw")
	e.api.Change(t, "POST", disks, map[string]any{"volume": data.ID}, "succeeded")
	p := browser.Open(t, e.URL, 1440, 900)
	p.SignIn(e.Admin, e.Password, password)
	p.Go("/vms/" + v.ID + "/hardware")
	p.UntilText("data.raw")
	item := func(action string) {
		p.Click(`#hw-disks summary[aria-label="Change vdb"]`)
		p.Click(`a[href$="/disks/vdb/` + action + `"]`)
	}
	item("change")
	p.UntilText("Requests a second")
	p.Picture("vm-disk-change")
	p.Fill(map[string]string{"read_iops": "many"})
	p.Click(`#dialog button[type=submit]`)
	p.UntilText("is not a number")
	p.Fill(map[string]string{"read_iops": "250"})
	p.Click(`#dialog button[type=submit]`)
	p.UntilText("250 read IOPS")
	if out := virsh(t, 0, "blkdeviotune", "disky", "vdb"); !strings.Contains(out, "250") {
		t.Error(out)
	}
	item("detach")
	p.UntilText("Also delete the volume")
	p.Click(`#disk-delete`)
	p.Click(`#dialog button.danger-fill`)
	server.Wait(t, time.Minute, "the disk to be gone with its volume", func() error {
		if _, ok := e.vols(t, "pool="+fast)["data.raw"]; ok {
			return server.Not("no data.raw", "one")
		}
		return nil
	})
	if out := virsh(t, 0, "domblklist", "disky"); strings.Contains(out, "vdb") {
		t.Error(out)
	}
}
