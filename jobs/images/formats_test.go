package images_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/images/imagetest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

// What other hypervisors write becomes qcow2, and goes out in the formats they read.
func TestFormatsInAndOut(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Fatal("qemu-img is missing: install qemu-utils")
	}
	w, _, _ := fleettest.New(t)
	for format, img := range map[string][]byte{"vdi": imagetest.VDI(), "vhd": imagetest.FixedVHD(), "ova": imagetest.OVA(), "vmdk": imagetest.GoodVMDK(), "raw": append([]byte("boot"), make([]byte, 1<<20-4)...)} {
		v := announce(t, w.Fleet, fleet.NewImage{Name: format, Label: "1", Publish: true})
		job, err := upload(t, w.Fleet, v.ID, img)
		job = w.Wait(t, job, err)
		if job.State != domain.JobSucceeded {
			// These files say only what the parser reads; qemu-img may want more of them, and then they are refused with a reason.
			if job.State != domain.JobUndone || job.Error.Code != domain.Invalid {
				t.Errorf("%s: %s, %+v", format, job.State, job.Error)
			}
			continue
		}
		if v, err = w.DB.ImageVersion(t.Context(), v.ID); err != nil || format != "raw" && (v.Format != domain.FormatQCOW2 || v.Source.Format != format) {
			t.Errorf("%s became %+v, %v", format, v, err)
		}
		if format == "ova" && (v.Hints.VCPUs != 2 || v.Hints.MemoryBytes != 2*domain.GiB) {
			t.Errorf("an OVA suggests %+v", v.Hints)
		}
	}
	v := published(t, w, "debian", "12", imagetest.QCOW2(1<<20, []byte("boot")))
	open := func(format string) []byte {
		f, _, err := w.Fleet.OpenImage(t.Context(), v.ID, format)
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if b := open("raw"); len(b) != 1<<20 || !bytes.HasPrefix(b, []byte("boot")) {
		t.Errorf("raw has %d bytes", len(b))
	}
	if b := open("vmdk"); !bytes.HasPrefix(b, []byte("KDMV")) {
		t.Error("the VMDK is none")
	}
	r := tar.NewReader(bytes.NewReader(open("ova")))
	var names []string
	for h, err := r.Next(); err == nil; h, err = r.Next() {
		names = append(names, h.Name)
	}
	if strings.Join(names, " ") != "debian.ovf debian-disk1.vmdk" {
		t.Errorf("the OVA has %v", names)
	}
	for _, format := range []string{"vhdx", "exe"} {
		if _, _, err := w.Fleet.OpenImage(t.Context(), v.ID, format); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", format, err)
		}
	}
	iso := announce(t, w.Fleet, fleet.NewImage{Name: "tools", Label: "1"})
	if _, _, err := w.Fleet.OpenImage(t.Context(), iso.ID, ""); !domain.Is(err, domain.Conflict) {
		t.Errorf("what is not there yet: %v", err)
	}
	job, err := upload(t, w.Fleet, iso.ID, imagetest.ISO(40))
	w.Succeed(t, job, err)
	if _, _, err := w.Fleet.OpenImage(t.Context(), iso.ID, "vmdk"); !domain.Is(err, domain.Invalid) {
		t.Errorf("an ISO as a disk: %v", err)
	}
	if f, _, err := w.Fleet.OpenImage(t.Context(), iso.ID, "raw"); err != nil {
		t.Error(err)
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestFetchRefuses(t *testing.T) {
	w, _, _ := fleettest.New(t)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/busy":
			rw.WriteHeader(http.StatusServiceUnavailable)
		case "/file":
			http.Redirect(rw, r, "file:///etc/passwd", http.StatusFound)
		case "/round":
			http.Redirect(rw, r, "/round", http.StatusFound)
		default:
			http.NotFound(rw, r)
		}
	}))
	defer srv.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for address, code := range map[string]domain.Code{srv.URL + "/none": domain.Invalid, srv.URL + "/busy": domain.Unavailable, srv.URL + "/file": domain.Denied, srv.URL + "/round": domain.Invalid, closed.URL: domain.Unavailable} {
		_, job, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "x", URL: address})
		w.Undone(t, job, err, code)
	}
}

// A disk that stands on another one is read through a copy, which goes again; any volume can become an image.
func TestFromVolumes(t *testing.T) {
	w, f, h := fleettest.New(t)
	v := published(t, w, "debian", "12", imagetest.QCOW2(1<<30, []byte("boot")))
	spec := fleettest.Spec("web-1")
	spec.Disks = []domain.Disk{{Image: "debian", Linked: true}}
	vm := w.Make(t, spec, false)
	_, job, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{ImageID: v.ImageID, Label: "13", VMID: vm.ID, Target: "vda"})
	job = w.Wait(t, job, err)
	if job.State != domain.JobSucceeded && (job.Error == nil || job.Error.Code != domain.Invalid) { // the fake host copies no content that would be a disk
		t.Errorf("%s: %+v", job.State, job.Error)
	}
	for _, x := range f.AllVolumes() {
		if strings.HasPrefix(x.Name, "novacron-read-") {
			t.Errorf("the copy %s was left", x.Name)
		}
	}
	plain := w.Make(t, fleettest.Spec("web-2"), false)
	img := imagetest.QCOW2(10<<30, []byte("mine"))
	f.SetContent("default", "web-2.qcow2", img)
	vols, err := w.DB.Volumes(t.Context(), h.ID, "default")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range vols {
		if x.Name != "web-2.qcow2" {
			continue
		}
		id := domain.VolumeID(x.PoolID, x.Name)
		_, job, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "of-volume", VolumeID: id, Key: "once"})
		w.Succeed(t, job, err)
		if _, again, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "of-volume", VolumeID: id, Key: "once"}); err != nil || again.ID != job.ID {
			t.Errorf("the same form again made %s: %v", again.ID, err)
		}
		start, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, plain.ID, domain.ActStart, fleet.ActOptions{})
		w.Succeed(t, start, err)
		if _, _, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "torn", VolumeID: id}); !domain.Is(err, domain.Conflict) {
			t.Errorf("a volume that a running VM writes to: %v", err)
		}
	}
	for what, req := range map[string]fleet.NewImage{"no volume": {Name: "x", VolumeID: "vol_none"}, "no VM": {Name: "x", VMID: "vm_none"}, "no such disk": {Name: "x", VMID: vm.ID, Target: "vdz"}, "no source": {Name: "x"},
		"two sources": {Name: "x", VMID: vm.ID, URL: "https://x"}, "no format": {Name: "x", Upload: true, Format: "exe"}, "a wrong name": {Name: "X Y", Upload: true}, "a wrong address": {Name: "x", URL: "ftp://x"}} {
		if _, _, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, req); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPlaceBeforehand(t *testing.T) {
	w, f, h := fleettest.New(t)
	img := imagetest.QCOW2(1<<20, []byte("x"))
	v := published(t, w, "debian", "12", img)
	job, err := w.Fleet.PlaceImage(t.Context(), fleettest.Actor, v.ID, h.ID, "", "k")
	w.Succeed(t, job, err)
	if again, err := w.Fleet.PlaceImage(t.Context(), fleettest.Actor, v.ID, h.ID, "", "k"); err != nil || again.ID != job.ID {
		t.Errorf("the same form again: %v", err)
	}
	cs, err := w.DB.ImageCopies(t.Context(), v.ID)
	if err != nil || len(cs) != 1 || !bytes.Equal(f.Content("default", cs[0].Volume), img) {
		t.Fatalf("the copies are %+v: %v", cs, err)
	}
	job, err = w.Fleet.PlaceImage(t.Context(), fleettest.Actor, v.ID, h.ID, "default", "") // it is there
	w.Succeed(t, job, err)
	for what, ask := range map[string][2]string{"host": {"host_none", ""}, "pool": {h.ID, "nowhere"}} {
		if _, err := w.Fleet.PlaceImage(t.Context(), fleettest.Actor, v.ID, ask[0], ask[1], ""); !domain.Is(err, domain.Invalid) {
			t.Errorf("no such %s: %v", what, err)
		}
	}
	waiting := announce(t, w.Fleet, fleet.NewImage{Name: "later"})
	if _, err := w.Fleet.PlaceImage(t.Context(), fleettest.Actor, waiting.ID, h.ID, "", ""); !domain.Is(err, domain.Conflict) {
		t.Errorf("what has no content: %v", err)
	}
	job, err = w.Fleet.DeleteImage(t.Context(), fleettest.Actor, waiting.ImageID, waiting.ID, "")
	w.Succeed(t, job, err)
	if i, err := w.DB.Image(t.Context(), "later"); err != nil || len(i.Versions) != 0 {
		t.Errorf("the version stays: %+v, %v", i, err)
	}
}

// stocked is a world with one image that has a copy on its one host; the engine does not run.
func stocked(t testing.TB) (*fleettest.World, *hvtest.Fake, domain.Host, domain.ImageVersion) {
	w := fleettest.Bare(t, reconcile.Options{})
	f, h := w.Adopt(t, "a", hvtest.FakeOptions{})
	img := imagetest.QCOW2(1<<20, []byte("x"))
	v := announce(t, w.Fleet, fleet.NewImage{Name: "debian", Label: "12", Publish: true})
	w.Settle(t, func(front *fleet.Fleet) (domain.Job, error) {
		up, err := front.UploadImage(t.Context(), fleettest.Actor, v.ID, 0, int64(len(img)), bytes.NewReader(img))
		return up.Job, err
	})
	w.Settle(t, func(front *fleet.Fleet) (domain.Job, error) {
		return front.PlaceImage(t.Context(), fleettest.Actor, v.ID, h.ID, "", "")
	})
	return w, f, h, v
}

func TestSweepCollect(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w, f, _, _ := stocked(t)
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.CollectImages(ctx, fleettest.Actor, nil, "")
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			cs, err := w.DB.ImageCopies(t.Context(), "")
			if err != nil || job.State == domain.JobSucceeded && len(f.AllVolumes())+len(cs) > 0 || len(f.AllVolumes()) > len(cs) {
				t.Errorf("%s: copies %+v, volumes %+v, %v", job.State, cs, f.AllVolumes(), err)
			}
		})
	})
}

func TestSweepDelete(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w, f, _, v := stocked(t)
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.DeleteImage(ctx, fleettest.Actor, v.ImageID, "", "")
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			_, err := w.DB.Image(t.Context(), v.ImageID)
			if gone := domain.Is(err, domain.NotFound); job.State == domain.JobSucceeded && (!gone || len(f.AllVolumes()) > 0) {
				t.Errorf("%s: %v, volumes %+v", job.State, err, f.AllVolumes())
			}
		})
	})
}
