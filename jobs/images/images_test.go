package images_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/images/imagetest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// announce makes a version whose content is to be uploaded.
func announce(t testing.TB, f *fleet.Fleet, req fleet.NewImage) domain.ImageVersion {
	t.Helper()
	req.Upload = true
	v, _, err := f.NewImageVersion(t.Context(), fleettest.Actor, req)
	if err != nil {
		t.Fatal(fleettest.Detail(err))
	}
	return v
}

func upload(t testing.TB, f *fleet.Fleet, id string, img []byte) (domain.Job, error) {
	t.Helper()
	up, err := f.UploadImage(t.Context(), fleettest.Actor, id, 0, int64(len(img)), bytes.NewReader(img))
	return up.Job, err
}

// published puts an image into the library of a world whose engine runs.
func published(t testing.TB, w *fleettest.World, name, label string, img []byte) domain.ImageVersion {
	t.Helper()
	v := announce(t, w.Fleet, fleet.NewImage{Name: name, Label: label, Publish: true, SHA256: sum(img)})
	job, err := upload(t, w.Fleet, v.ID, img)
	w.Succeed(t, job, err)
	v, err = w.DB.ImageVersion(t.Context(), v.ID)
	if err != nil || v.State != domain.ImagePublished || v.Format != domain.FormatQCOW2 {
		t.Fatalf("the version is %+v, %v", v, err)
	}
	return v
}

func TestUploadInPartsAndPublish(t *testing.T) {
	w, _, _ := fleettest.New(t)
	img := imagetest.QCOW2(1<<30, []byte("boot"))
	v := announce(t, w.Fleet, fleet.NewImage{Name: "debian", Label: "12", SHA256: sum(img), Changelog: "first"})
	half := len(img) / 2
	broken := io.MultiReader(bytes.NewReader(img[:half]), failing{})
	up, err := w.Fleet.UploadImage(t.Context(), fleettest.Actor, v.ID, 0, int64(len(img)), broken)
	if !domain.Is(err, domain.Unavailable) || up.Received != int64(half) {
		t.Fatalf("an upload that broke off: %d, %v", up.Received, err)
	}
	if _, err := w.Fleet.UploadImage(t.Context(), fleettest.Actor, v.ID, 0, int64(len(img)), bytes.NewReader(img)); !domain.Is(err, domain.Conflict) {
		t.Errorf("the same part again: %v", err)
	}
	st, err := w.Fleet.ImageUploadState(t.Context(), v.ID)
	if err != nil || st.Received != int64(half) {
		t.Fatalf("it stands at %d, %v", st.Received, err)
	}
	up, err = w.Fleet.UploadImage(t.Context(), fleettest.Actor, v.ID, int64(half), int64(len(img)), bytes.NewReader(img[half:]))
	w.Succeed(t, up.Job, err)
	if v, err = w.DB.ImageVersion(t.Context(), v.ID); err != nil || v.State != domain.ImageDraft || v.SHA256 != sum(img) || v.VirtualBytes != 1<<30 || v.FileBytes != int64(len(img)) {
		t.Fatalf("the version is %+v, %v", v, err)
	}
	if _, err := upload(t, w.Fleet, v.ID, img); !domain.Is(err, domain.Conflict) {
		t.Errorf("content for a version that has it: %v", err)
	}
	if _, err := w.DB.ImageByRef(t.Context(), "debian"); !domain.Is(err, domain.NotFound) {
		t.Errorf("a draft is offered: %v", err)
	}
	if v, err = w.Fleet.PublishImage(t.Context(), fleettest.Actor, v.ID, domain.ImagePublished); err != nil {
		t.Fatal(err)
	}
	if got, err := w.DB.ImageByRef(t.Context(), "debian"); err != nil || got.ID != v.ID {
		t.Errorf("debian is %+v, %v", got, err)
	}
	f, _, err := w.Fleet.OpenImage(t.Context(), v.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || !bytes.Equal(b, img) {
		t.Errorf("what is kept is not what came: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestWhatIsRefusedLeavesNothing(t *testing.T) {
	w, _, _ := fleettest.New(t)
	for name, c := range map[string]struct {
		img []byte
		sum string
	}{
		"backing": {imagetest.BackedQCOW2("/etc/passwd"), ""},
		"sum":     {imagetest.QCOW2(1<<20, nil), strings.Repeat("0", 64)},
		"cut":     {imagetest.QCOW2(1<<20, nil)[:200<<10], ""},
	} {
		v := announce(t, w.Fleet, fleet.NewImage{Name: name, SHA256: c.sum})
		job, err := upload(t, w.Fleet, v.ID, c.img)
		w.Undone(t, job, err, domain.Invalid)
		if _, err := w.DB.Image(t.Context(), name); !domain.Is(err, domain.NotFound) {
			t.Errorf("%s: the image is still there: %v", name, err)
		}
		if n, err := w.Library.Received(v.ID); err != nil || n != 0 {
			t.Errorf("%s: %d bytes are still there, %v", name, n, err)
		}
	}
}

func TestFetch(t *testing.T) {
	w, _, _ := fleettest.New(t)
	img := imagetest.QCOW2(1<<20, []byte("fetched"))
	var asked []string
	cut := true
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Range"))
		rw.Header().Set("ETag", `"one"`)
		if cut {
			cut = false
			rw.Header().Set("Content-Length", "393216")
			if _, err := rw.Write(img[:100000]); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		}
		http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(img))
	}))
	defer srv.Close()
	v, job, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "fetched", URL: srv.URL + "/x.qcow2", Publish: true})
	w.Succeed(t, job, err)
	if v, err = w.DB.ImageVersion(t.Context(), v.ID); err != nil || v.SHA256 != sum(img) || v.State != domain.ImagePublished {
		t.Errorf("the version is %+v, %v", v, err)
	}
	if len(asked) != 2 || !strings.HasPrefix(asked[1], "bytes=") || asked[1] == "bytes=0-" {
		t.Errorf("it asked for %q", asked)
	}
	if _, job, err = w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "gone", URL: srv.URL, SHA256: strings.Repeat("a", 64)}); err != nil {
		t.Fatal(err)
	}
	w.Undone(t, job, nil, domain.Invalid)
}

// A linked VM, a full one and a CD-ROM of images; the second VM finds the copy.
func TestVMsOfImages(t *testing.T) {
	w, f, h := fleettest.New(t)
	img := imagetest.QCOW2(1<<30, []byte("boot"))
	v := published(t, w, "debian", "12", img)
	iso := announce(t, w.Fleet, fleet.NewImage{Name: "tools", Label: "1", Publish: true})
	job, err := upload(t, w.Fleet, iso.ID, imagetest.ISO(40))
	w.Succeed(t, job, err)

	spec := fleettest.Spec("web-1")
	spec.Disks = []domain.Disk{{Image: "debian", SizeBytes: 2 << 30, Linked: true}, {Image: "debian@12"}, {Image: "tools", Device: "cdrom"}}
	vm := w.Make(t, spec, true)
	cs, err := w.DB.ImageCopies(t.Context(), v.ID)
	if err != nil || len(cs) != 1 || cs[0].State != domain.CopyReady || !bytes.Equal(f.Content("default", cs[0].Volume), img) {
		t.Fatalf("the copies are %+v, %v", cs, err)
	}
	overlay, err := f.Volume(t.Context(), "default", "web-1.qcow2")
	if err != nil || overlay.Backing != cs[0].Path || overlay.BackingFormat != "qcow2" || overlay.CapacityBytes != 2<<30 {
		t.Errorf("the overlay is %+v, %v", overlay, err)
	}
	full, err := f.Volume(t.Context(), "default", "web-1-1.qcow2")
	if err != nil || full.Backing != "" || full.CapacityBytes != 1<<30 {
		t.Errorf("the full copy is %+v, %v", full, err)
	}
	if d := vm.Config.Disks[2]; d.Device != "cdrom" || !strings.HasPrefix(d.Source, "/") || !strings.Contains(d.Source, "image-tools-1-") {
		t.Errorf("the drive shows %+v", d)
	}
	uses, err := w.DB.ImageUses(t.Context(), v.ImageID)
	if err != nil || len(uses) != 2 || !uses[0].Linked || uses[1].Linked {
		t.Errorf("it is used by %+v, %v", uses, err)
	}
	wrote := f.Calls("WriteVolume")
	spec2 := fleettest.Spec("web-2")
	spec2.Disks = []domain.Disk{{Image: "debian", Linked: true}}
	w.Make(t, spec2, false)
	if f.Calls("WriteVolume") != wrote {
		t.Error("a second VM copied the image again")
	}

	// Nobody may be given the copy to write to, and it stays while something is built on it.
	bad := fleettest.Spec("bad")
	bad.Disks = []domain.Disk{{Source: cs[0].Path}}
	if _, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: bad}); !domain.Is(err, domain.Invalid) {
		t.Errorf("a VM that writes to the copy: %v", err)
	}
	if un, err := w.Fleet.UnusedImages(t.Context()); err != nil || len(un) != 0 {
		t.Errorf("unused are %+v, %v", un, err)
	}
	job, err = w.Fleet.DeleteImage(t.Context(), fleettest.Actor, v.ImageID, "", "")
	w.Undone(t, job, err, domain.Conflict)
	for _, name := range []string{"web-1", "web-2"} {
		vm := w.VM(t, name)
		if vm.State == domain.VMRunning {
			job, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStop, fleet.ActOptions{})
			w.Succeed(t, job, err)
		}
		job, err := w.Fleet.DeleteVM(t.Context(), fleettest.Actor, vm.ID, fleet.DeleteVM{Disks: true})
		w.Succeed(t, job, err)
	}
	if un, err := w.Fleet.UnusedImages(t.Context()); err != nil || len(un) != 2 {
		t.Fatalf("unused are %+v, %v", un, err)
	}
	if n, err := w.Fleet.CollectByPolicy(t.Context()); err != nil || n != 0 {
		t.Errorf("the policy took %d that were used a moment ago, %v", n, err)
	}
	job, err = w.Fleet.CollectImages(t.Context(), fleettest.Actor, nil, "")
	w.Succeed(t, job, err)
	if vs := f.AllVolumes(); len(vs) != 0 {
		t.Errorf("left are %+v", vs)
	}
	job, err = w.Fleet.DeleteImage(t.Context(), fleettest.Actor, v.ImageID, "", "")
	w.Succeed(t, job, err)
	if _, err := w.DB.Image(t.Context(), "debian"); !domain.Is(err, domain.NotFound) {
		t.Errorf("it is still there: %v", err)
	}
	_ = h
}

func TestCloneLinked(t *testing.T) {
	w, f, _ := fleettest.New(t)
	spec := fleettest.Spec("web-1")
	spec.Disks = []domain.Disk{{SizeBytes: domain.GiB}, {SizeBytes: domain.GiB, Format: "raw"}}
	vm := w.Make(t, spec, false)
	job, err := w.Fleet.CloneVM(t.Context(), fleettest.Actor, vm.ID, fleet.CloneVM{Name: "web-2", Linked: true})
	w.Succeed(t, job, err)
	own, copied := w.VM(t, "web-1"), w.VM(t, "web-2")
	base := map[int]string{}
	for i, d := range vm.Config.Disks {
		base[i] = d.Source
	}
	for i := range spec.Disks {
		a, b := own.Config.Disks[i], copied.Config.Disks[i]
		va, errA := f.VolumeByPath(t.Context(), a.Source)
		vb, errB := f.VolumeByPath(t.Context(), b.Source)
		if errA != nil || errB != nil || a.Source == b.Source || va.Backing != base[i] || vb.Backing != base[i] || a.Format != "qcow2" || b.Format != "qcow2" {
			t.Errorf("disk %d: %+v and %+v on %s", i, va, vb, base[i])
		}
	}
	if own.Config.Disks[0].Target != vm.Config.Disks[0].Target || len(own.Config.NICs) != len(vm.Config.NICs) {
		t.Errorf("the original became %+v", own.Config)
	}
	bases, err := w.DB.BaseDisks(t.Context())
	if err != nil || len(bases) != 2 {
		t.Fatalf("frozen are %+v, %v", bases, err)
	}
	bad := fleettest.Spec("bad")
	bad.Disks = []domain.Disk{{Source: base[0]}}
	if _, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: bad}); !domain.Is(err, domain.Invalid) {
		t.Errorf("a VM that writes to a frozen disk: %v", err)
	}
	// The first of the two to be deleted leaves the frozen disks; with the other they go, and the plan says so.
	for i, name := range []string{"web-1", "web-2"} {
		id := w.VM(t, name).ID
		plan, err := w.Fleet.DeletePlan(t.Context(), id)
		frozen := 0
		for _, p := range plan.Files {
			if p.Base != "" && p.Goes && strings.Contains(p.Why, "frozen") {
				frozen++
			}
		}
		if err != nil || frozen != 2*i {
			t.Errorf("the plan for %s is %+v, %v", name, plan.Files, err)
		}
		job, err := w.Fleet.DeleteVM(t.Context(), fleettest.Actor, id, fleet.DeleteVM{Disks: true})
		w.Succeed(t, job, err)
		if vs := f.AllVolumes(); len(vs) != 3*(1-i)+(1-i) {
			t.Errorf("left after %s are %+v", name, vs)
		}
	}
	if left, err := w.DB.BaseDisks(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("still written down are %+v, %v", left, err)
	}
}

func TestFromVM(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	img := imagetest.QCOW2(10<<30, []byte("mine"))
	f.SetContent("default", "web-1.qcow2", img)
	v, job, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "mine", VMID: vm.ID})
	w.Succeed(t, job, err)
	if v, err = w.DB.ImageVersion(t.Context(), v.ID); err != nil || v.SHA256 != sum(img) || v.Source.ID != vm.ID {
		t.Errorf("the version is %+v, %v", v, err)
	}
	saved, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStart, fleet.ActOptions{})
	w.Succeed(t, saved, err)
	saved, err = w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActSave, fleet.ActOptions{})
	w.Succeed(t, saved, err)
	if _, _, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "torn", VMID: vm.ID}); !domain.Is(err, domain.Conflict) {
		t.Errorf("an image of a VM that is saved: %v", err)
	}
}

// left lists what a host and a library have that they should not.
func clean(t testing.TB, w *fleettest.World, f *hvtest.Fake, volumes ...string) {
	t.Helper()
	var names []string
	for _, v := range f.AllVolumes() {
		names = append(names, v.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, volumes) {
		t.Errorf("volumes are %v, want %v", names, volumes)
	}
}

func TestSweepImport(t *testing.T) {
	img := imagetest.QCOW2(1<<20, []byte("x"))
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		v := announce(t, w.Fleet, fleet.NewImage{Name: "debian", Label: "12", Publish: true})
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			up, err := front.UploadImage(ctx, fleettest.Actor, v.ID, 0, int64(len(img)), bytes.NewReader(img))
			return up.Job, err
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			now, err := w.DB.ImageVersion(t.Context(), v.ID)
			if made := job.State == domain.JobSucceeded; made != (err == nil && now.State == domain.ImagePublished && now.SHA256 == sum(img)) || !made && !domain.Is(err, domain.NotFound) {
				t.Errorf("%s: %+v, %v", job.State, now, err)
			}
			if n, err := w.Library.Received(v.ID); err != nil || n != 0 {
				t.Errorf("%d bytes are left, %v", n, err)
			}
			f, err := w.Library.OpenFile(domain.ImageVersion{SHA256: sum(img), Format: domain.FormatQCOW2})
			if err == nil {
				f.Close()
			}
			if (err == nil) != (job.State == domain.JobSucceeded) {
				t.Errorf("%s, and the file: %v", job.State, err)
			}
		})
	})
}

func TestSweepPlaceAndLink(t *testing.T) {
	img := imagetest.QCOW2(1<<20, []byte("x"))
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{})
		v := announce(t, w.Fleet, fleet.NewImage{Name: "debian", Label: "12", Publish: true})
		w.Settle(t, func(front *fleet.Fleet) (domain.Job, error) {
			up, err := front.UploadImage(t.Context(), fleettest.Actor, v.ID, 0, int64(len(img)), bytes.NewReader(img))
			return up.Job, err
		})
		spec := fleettest.Spec("web-1")
		spec.Disks = []domain.Disk{{Image: "debian", Linked: true}, {Image: "debian"}}
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.CreateVM(ctx, fleettest.Actor, fleet.CreateVM{Spec: spec})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			cs, err := w.DB.ImageCopies(t.Context(), v.ID)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{}
			for _, c := range cs {
				if c.State == domain.CopyReady {
					want = append(want, c.Volume)
					if !bytes.Equal(f.Content("default", c.Volume), img) {
						t.Error("the copy is not the image")
					}
				} else {
					t.Errorf("a copy is left as %s", c.State)
				}
			}
			if job.State == domain.JobSucceeded {
				want = append(want, "web-1-1.qcow2", "web-1.qcow2")
			}
			clean(t, w, f, want...)
		})
	})
}

// Copies of a version have one name on every host, and leave alone what has it already.
func TestCopiesHaveOneName(t *testing.T) {
	w, a, from := fleettest.New(t)
	b, second := w.Host(t, "b", hvtest.FakeOptions{})
	c, third := w.Host(t, "c", hvtest.FakeOptions{})
	img := imagetest.QCOW2(1<<20, []byte("x"))
	v := announce(t, w.Fleet, fleet.NewImage{Name: "debian", Label: "12", Publish: true})
	up, err := w.Fleet.UploadImage(t.Context(), fleettest.Actor, v.ID, 0, int64(len(img)), bytes.NewReader(img))
	w.Succeed(t, up.Job, err)
	place := func(f *hvtest.Fake, host string) string {
		t.Helper()
		job, err := w.Fleet.PlaceImage(t.Context(), fleettest.Actor, v.ID, host, "", "")
		w.Succeed(t, job, err)
		for _, x := range f.AllVolumes() {
			if strings.HasPrefix(x.Name, "image-debian-12-") && bytes.Equal(f.Content("default", x.Name), img) {
				return x.Name
			}
		}
		t.Fatalf("no copy among %+v", f.AllVolumes())
		return ""
	}
	name := place(a, from.ID)
	if got := place(b, second.ID); got != name {
		t.Errorf("it is %s on one host and %s on another", name, got)
	}
	c.AddVolume(domain.Volume{Pool: "default", Name: name, Format: "qcow2"})
	if got := place(c, third.ID); got == name {
		t.Error("another's volume was written over")
	}
	if n := len(c.AllVolumes()); n != 2 {
		t.Errorf("%d volumes are there", n)
	}
}

func TestSweepCloneLinked(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("old")})
		vm := w.VM(t, "old")
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.CloneVM(ctx, fleettest.Actor, vm.ID, fleet.CloneVM{Name: "web-1", Linked: true})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			bases, err := w.DB.BaseDisks(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			g, _ := fleettest.Guest(f, "old")
			if job.State == domain.JobSucceeded {
				clean(t, w, f, "old-1.qcow2", "old.qcow2", "web-1.qcow2")
				if len(bases) != 1 || !strings.HasSuffix(g.Config.Disks[0].Source, "/old-1.qcow2") {
					t.Errorf("frozen %+v, the original has %+v", bases, g.Config.Disks)
				}
				return
			}
			clean(t, w, f, "old.qcow2")
			if len(bases) != 0 || g.Config.Disks[0].Source != vm.Config.Disks[0].Source {
				t.Errorf("frozen %+v, the original has %+v", bases, g.Config.Disks)
			}
		})
	})
}
