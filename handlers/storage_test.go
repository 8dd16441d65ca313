package handlers

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// volumeNamed finds a volume's row.
func (w *world) volumeNamed(name string) (domain.Volume, bool) {
	w.t.Helper()
	p, err := w.db.StorageVolumes(context.Background(), db.VolumeQuery{Search: name})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range p.Items {
		if v.Name == name {
			return v.Volume, true
		}
	}
	return domain.Volume{}, false
}

func (w *world) poolNamed(name string) (db.PoolItem, bool) {
	w.t.Helper()
	all, err := w.db.StoragePools(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range all {
		if p.Name == name {
			return p, true
		}
	}
	return db.PoolItem{}, false
}

func TestPoolPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	b.get("/storage").want(t, 200, "Add a host")
	h := w.host(b, "b1")
	b.get("/storage").want(t, 200, "default", "Directory", "b1")
	b.get("/storage?filter=nothinglike").want(t, 200, "No pool matches")
	b.get("/storage?filter=-default&sort=available&desc=1").want(t, 200, "No pool matches")

	// The form asks again with what a kind needs, and keeps what was typed.
	b.get("/storage/pools/new?type=netfs&name=shared").want(t, 200, `value="shared"`, "source.path", "What it exports")
	form := url.Values{"name": {"no way"}, "type": {"dir"}, "hosts": {h.ID}, "target": {"relative"}}
	a := b.post("/storage/pools", form).want(t, 422, `value="no way"`, `value="relative"`, `aria-invalid="true"`)
	form = url.Values{"name": {"fast"}, "type": {"dir"}, "hosts": {h.ID}, "target": {"/srv/fast"}, "autostart": {"1"}, "key": {onceKeyOf(t, a.text)}}
	to := b.post("/storage/pools", form).want(t, 303).location()
	fast, ok := w.poolNamed("fast")
	if !ok || to != "/storage/pools/"+fast.ID {
		t.Fatalf("%q, %v", to, ok)
	}
	b.get(to).want(t, 200, "/srv/fast", "active", "starts with the host", "No volumes")
	b.post(to+"/autostart", url.Values{"on": {"0"}}).want(t, 303)
	w.job(w.newest("pool.autostart").ID)
	b.get(to).want(t, 200, "does not start by itself")
	b.get(to+"/stop").want(t, 200, "Stop the pool fast?", "b1")
	b.post(to+"/stop", nil, htmx).want(t, 200, "Stop storage pool fast")
	w.job(w.newest("pool.stop").ID)
	b.get(to).want(t, 200, "stopped", "Start")
	b.post(to+"/refresh", nil, htmx).want(t, 409, "not active")
	b.post(to+"/start", nil).want(t, 303)
	w.job(w.newest("pool.start").ID)
	b.get(to+"/nothing").want(t, 404)
	b.post(to+"/nothing", nil).want(t, 404)
	b.get(to+"/delete").want(t, 200, "Also delete what is in it")
	b.post(to+"/delete", url.Values{"data": {"1"}, "confirm": {"FAST"}}).want(t, 422, `value="FAST"`)
	b.post(to+"/delete", url.Values{"data": {"1"}, "confirm": {"fast"}}).wantMove(t, "/storage")
	if _, ok := w.poolNamed("fast"); ok {
		t.Error("the pool is still there")
	}
	b.get(to).want(t, 404)

	// What a VM has its disk in is not stopped under it, nor deleted.
	w.vm(b, "web-1")
	def, _ := w.poolNamed("default")
	b.get("/storage/pools/"+def.ID+"/delete").want(t, 200, "web-1")
	b.post("/storage/pools/"+def.ID+"/delete", nil).want(t, 409, "web-1")
}

// Pools and volumes are found from everywhere: in the palette, in the tree and on their host's page.
func TestStorageIsFound(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	if a := b.get("/"); strings.Contains(a.text, "tree-host-pools") {
		t.Error("an estate without pools has a branch for them")
	}
	h := w.host(b, "b1")
	vm := w.vm(b, "web-1")
	def, ok := w.poolNamed("default")
	if !ok {
		t.Fatal("no pool")
	}
	vols, err := w.db.StorageVolumes(t.Context(), db.VolumeQuery{Pool: def.ID})
	if err != nil || len(vols.Items) == 0 {
		t.Fatal(vols, err)
	}
	disk := vols.Items[0]

	b.get("/search?q=defau").want(t, 200, "Storage pools", "/storage/pools/"+def.ID, "free")
	b.get("/search?q="+disk.Name).want(t, 200, "Volumes", "/storage/volumes/"+disk.ID, vm.Name, "default on b1")
	// What frames every page may be a moment old: the first page was asked for before there was a host.
	w.level("the tree has a branch for pools", func() bool { return strings.Contains(b.get("/").text, "tree-host-pools") })
	b.get("/").want(t, 200, `id="tree-host-pools"`, `id="tree-under-pools" hidden`)
	b.get("/tree/pools").want(t, 200, "/storage/pools/"+def.ID, "b1")
	b.get("/storage/pools/"+def.ID).want(t, 200, `id="tree-`+def.ID+`"`)
	b.get("/hosts/"+h.ID+"/storage").want(t, 200, "/storage/pools/"+def.ID, "/storage/volumes/"+disk.ID)
	nets, err := w.db.Networks(t.Context(), h.ID)
	if err != nil || len(nets) == 0 {
		t.Fatal(nets, err)
	}
	b.get("/hosts/"+h.ID+"/networks").want(t, 200, "/networks/"+nets[0].ID)
	b.get("/networks/"+nets[0].ID).want(t, 200, nets[0].Name)
}

func TestVolumePages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	pool, _ := w.poolNamed("default")
	b.get("/storage/volumes").want(t, 200, "No volumes")
	b.get("/storage/volumes?orphans=1").want(t, 200, "No orphans")
	page := b.get("/storage/volumes/new?pool="+pool.ID).want(t, 200, "b1", "free of")
	b.post("/storage/volumes", url.Values{"pool": {pool.ID}, "name": {"../x"}, "size_bytes": {"lots"}}).want(t, 422, `value="../x"`, `value="lots"`)
	b.post("/storage/volumes", url.Values{"pool": {pool.ID}, "name": {"x"}, "from": {"copy"}}).want(t, 422, "No volume is chosen")
	form := url.Values{"pool": {pool.ID}, "name": {"data.qcow2"}, "size_bytes": {"2 GiB"}, "format": {"qcow2"}, "key": {onceKeyOf(t, page.text)}}
	at := b.post("/storage/volumes", form).want(t, 303).location()
	data, ok := w.volumeNamed("data.qcow2")
	if !ok || at != "/storage/volumes/"+data.ID {
		t.Fatalf("%q, %v", at, ok)
	}
	b.get(at).want(t, 200, "data.qcow2", "2 GiB", "used by nobody", "It stands alone")
	b.get("/storage/volumes?orphans=1").want(t, 200, "data.qcow2")
	b.get("/storage/pools/"+pool.ID+"?sort=size&desc=1").want(t, 200, "data.qcow2")

	// A layer over it: drawn on both pages, and the lower one is not deleted.
	b.post("/storage/volumes", url.Values{"pool": {pool.ID}, "name": {"layer.qcow2"}, "from": {"layer"}, "of": {data.ID}}).want(t, 303)
	layer, _ := w.volumeNamed("layer.qcow2")
	b.get(at).want(t, 200, "layer.qcow2", "volume built on it", "Chain of images")
	b.get("/storage/volumes/"+layer.ID).want(t, 200, "data.qcow2")
	b.get("/storage/volumes/delete?ids="+data.ID+"&ids="+layer.ID).want(t, 200, "stays", "Delete 1 volume")
	b.post("/storage/volumes/delete", url.Values{"ids": {data.ID}}).want(t, 409, "layer.qcow2")

	b.get(at+"/resize").want(t, 200, `value="2 GiB"`)
	b.post("/storage/volumes/"+layer.ID+"/resize", url.Values{"size_bytes": {"much"}}).want(t, 422, `value="much"`)
	b.post("/storage/volumes/"+layer.ID+"/resize", url.Values{"size_bytes": {"1 GiB"}}).want(t, 422, "what is cut off")
	b.post("/storage/volumes/"+layer.ID+"/resize", url.Values{"size_bytes": {"4 GiB"}}).want(t, 303)
	w.job(w.newest("volume.resize").ID)
	b.get("/storage/volumes/"+layer.ID).want(t, 200, "4 GiB")
	b.get(at+"/copy").want(t, 200, `value="data-copy.qcow2"`)
	b.post(at+"/copy", url.Values{"name": {"data.qcow2"}}).want(t, 409, "exists already")
	b.post(at+"/copy", url.Values{"name": {"two.qcow2"}}, htmx).want(t, 200, "Copy volume data.qcow2")
	w.job(w.newest("volume.clone").ID)
	b.get(at+"/move").want(t, 200, "its host has no other pool")
	b.post(at+"/move", url.Values{"pool": {"none"}, "bandwidth": {"x"}}).want(t, 422, `value="x"`)
	b.post(at+"/move", url.Values{"pool": {"none"}}).want(t, 409, "layer.qcow2")
	b.get(at+"/checksum").want(t, 200, "2 GiB")
	b.get(at+"/upload").want(t, 200, "data-volume-upload", "js/volume-upload.js")
	b.get(at+"/nothing").want(t, 404)
	b.post(at+"/nothing", nil).want(t, 404)
	b.get("/storage/volumes/upload").want(t, 200, "data-create")
	b.post("/storage/volumes/delete", url.Values{"ids": {layer.ID, "vol_none"}}).want(t, 303)
	if _, ok := w.volumeNamed("layer.qcow2"); ok {
		t.Error("it is still there")
	}
	b.get("/storage/volumes/delete?ids=vol_none").want(t, 404)
	b.get("/storage/volumes/vol_none").want(t, 404)
}

// A browser brings content in parts with the session of its page, and another site's page cannot.
// What a tenant's administrator copies on a page stays the tenant's, and within its quota.
func TestACopyIsWhoseTheVolumeIs(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	ctx := t.Context()
	pool, ok := w.poolNamed("default")
	if !ok {
		t.Fatal("no pool")
	}
	job, err := w.srv.Fleet.CreateVolume(ctx, "test", fleet.CreateVolume{Pool: pool.ID, Name: "data.raw", SizeBytes: domain.MiB, Format: "raw"})
	if err != nil {
		t.Fatal(err)
	}
	w.job(job.ID)
	of, ok := w.volumeNamed("data.raw")
	if !ok {
		t.Fatal("no volume")
	}
	if _, err := w.auth.SaveTenant(ctx, auth.Subject{Name: "test"}, domain.Tenant{ID: "team-a", Name: "Team A"}, true, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := w.srv.Fleet.Give(ctx, "test", "team-a", []string{of.ID}, true); err != nil {
		t.Fatal(err)
	}
	ann := w.person("ann", "")
	if _, err := w.auth.Bind(ctx, auth.Subject{Name: "test"}, domain.Binding{Subject: domain.Ref{ID: "ann"}, Role: access.TenantAdmin, Scope: domain.ScopeTenant, ScopeID: "team-a"}); err != nil {
		t.Fatal(err)
	}
	ann.post("/storage/volumes/"+of.ID+"/copy", url.Values{"name": {"copy.raw"}}).want(t, 303)
	w.job(w.newest("volume.clone").ID)
	made, ok := w.volumeNamed("copy.raw")
	if !ok {
		t.Fatal("no copy")
	}
	if tenant, err := w.db.OwnerOfThing(ctx, made.ID); err != nil || tenant != "team-a" {
		t.Errorf("the copy is %q's (%v)", tenant, err)
	}
}

func TestContentThroughTheBrowser(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	pool, _ := w.poolNamed("default")
	a := b.post("/storage/volumes", url.Values{"pool": {pool.ID}, "name": {"a.iso"}, "size_bytes": {"1 MiB"}, "format": {"raw"}}, header("Accept", "application/json")).want(t, 200, `"id":"vol_`)
	b.post("/storage/volumes", url.Values{"pool": {pool.ID}, "name": {"a.iso"}, "size_bytes": {"1 MiB"}}, header("Accept", "application/json")).want(t, 409, "exists already")
	v, _ := w.volumeNamed("a.iso")
	if !strings.Contains(a.text, v.ID) {
		t.Error(a.text)
	}
	at := "/storage/volumes/" + v.ID + "/content"
	content := bytes.Repeat([]byte("nova"), 1000)
	put := func(from, to int, opts ...opt) answer {
		t.Helper()
		r, err := http.NewRequest(http.MethodPut, w.url+at, bytes.NewReader(content[from:to]))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Range", "bytes "+strconv.Itoa(from)+"-"+strconv.Itoa(to-1)+"/"+strconv.Itoa(len(content)))
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Accept", "application/problem+json")
		for _, o := range opts {
			o(r)
		}
		res, err := b.c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text := new(bytes.Buffer)
		if _, err := text.ReadFrom(res.Body); err != nil {
			t.Fatal(err)
		}
		return answer{res, text.String()}
	}
	put(0, 1000, header("Sec-Fetch-Site", "cross-site")).want(t, 403)
	if h := b.do(http.MethodHead, at, nil).want(t, 200).Header; h.Get("X-Content-Length") != "1048576" || h.Get("Upload-Length") != "" {
		t.Errorf("%v", h)
	}
	if h := put(0, 1000).want(t, 204).Header; h.Get("Upload-Offset") != "1000" {
		t.Errorf("%v", h)
	}
	put(0, 1000).want(t, 409, "goes on at byte 1000")
	b.get("/storage/volumes/"+v.ID).want(t, 200, "An upload is under way", "Go on with it")
	if h := b.do(http.MethodHead, at, nil).want(t, 200).Header; h.Get("Upload-Offset") != "1000" || h.Get("Upload-Length") != "4000" {
		t.Errorf("%v", h)
	}
	put(1000, 4000).want(t, 204)
	w.job(w.newest("volume.upload").ID)
	if a := b.get(at, header("Range", "bytes=4-7")).want(t, 206, "nova"); a.Header.Get("Content-Range") != "bytes 4-7/1048576" {
		t.Errorf("%v", a.Header)
	}
	if a := b.get(at).want(t, 200); len(a.text) != 1<<20 || !strings.HasPrefix(a.text, string(content)) || !strings.Contains(a.Header.Get("Content-Disposition"), "a.iso") {
		t.Errorf("%d bytes, %v", len(a.text), a.Header)
	}
	b.get("/storage/volumes/"+v.ID).want(t, 200, "over 4000 bytes")

	// Who may only look sees the pages and nothing to press; content is not for them.
	viewer := w.viewer()
	for _, p := range []string{"/storage", "/storage/volumes", "/storage/pools/" + pool.ID, "/storage/volumes/" + v.ID} {
		if text := viewer.get(p).want(t, 200).text; strings.Contains(text, "Delete …") || strings.Contains(text, "New volume") {
			t.Errorf("%s offers what is refused", p)
		}
	}
	for _, p := range []string{at, "/storage/volumes/" + v.ID + "/resize", "/storage/volumes/" + v.ID + "/checksum", "/storage/pools/new", "/storage/volumes/new"} {
		viewer.get(p).want(t, 403)
	}
	viewer.post("/storage/volumes/"+v.ID+"/resize", url.Values{"size_bytes": {"4 GiB"}}).want(t, 403)
}
