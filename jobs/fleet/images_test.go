package fleet_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/images/imagetest"
	"novacron/jobs/reconcile"
)

// library puts a published image into a world's library.
func library(t testing.TB, w *fleettest.World, name, label string) domain.ImageVersion {
	t.Helper()
	img := imagetest.QCOW2(1<<30, []byte(label))
	v, _, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: name, ImageID: idOf(t, w, name), Label: label, Upload: true, Publish: true})
	if err != nil {
		t.Fatal(fleettest.Detail(err))
	}
	up, err := w.Fleet.UploadImage(t.Context(), fleettest.Actor, v.ID, 0, int64(len(img)), bytes.NewReader(img))
	w.Succeed(t, up.Job, err)
	return v
}

func idOf(t testing.TB, w *fleettest.World, name string) string {
	i, err := w.DB.Image(t.Context(), name)
	if err != nil && !domain.Is(err, domain.NotFound) {
		t.Fatal(err)
	}
	return i.ID
}

func TestImagePolicy(t *testing.T) {
	w, f, h := fleettest.New(t)
	p, err := w.Fleet.ImagePolicy(t.Context())
	if err != nil || !p.Collect || p.UnusedDays != 30 || p.Keep != 1 {
		t.Fatalf("%+v: %v", p, err)
	}
	for _, bad := range []fleet.ImagePolicy{{UnusedDays: 0}, {UnusedDays: 4000}, {UnusedDays: 1, Keep: -1}, {UnusedDays: 1, Keep: 101}} {
		if err := w.Fleet.SetImagePolicy(t.Context(), fleettest.Actor, bad); !domain.Is(err, domain.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	old, newest := library(t, w, "debian", "11"), library(t, w, "debian", "12")
	for _, v := range []domain.ImageVersion{old, newest} {
		job, err := w.Fleet.PlaceImage(t.Context(), fleettest.Actor, v.ID, h.ID, "", "")
		w.Succeed(t, job, err)
	}
	cs, err := w.DB.ImageCopies(t.Context(), "")
	if err != nil || len(cs) != 2 {
		t.Fatalf("%+v: %v", cs, err)
	}
	if err := w.DB.Write(t.Context(), func(tx *db.Tx) error {
		for _, c := range cs {
			if err := tx.TouchImageCopy(c, time.Now().AddDate(0, 0, -40)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Fleet.SetImagePolicy(t.Context(), fleettest.Actor, fleet.ImagePolicy{UnusedDays: 30, Keep: 1}); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Fleet.CollectByPolicy(t.Context()); err != nil || n != 0 {
		t.Errorf("it collects %d although it may not: %v", n, err)
	}
	if err := w.Fleet.SetImagePolicy(t.Context(), fleettest.Actor, fleet.ImagePolicy{Collect: true, UnusedDays: 30, Keep: 1}); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Fleet.CollectByPolicy(t.Context()); err != nil || n != 1 {
		t.Fatalf("it collects %d: %v", n, err)
	}
	w.Until(t, "the old copy is gone, and forgotten", func() bool {
		cs, err = w.DB.ImageCopies(t.Context(), "")
		return err == nil && len(cs) == 1 && len(f.AllVolumes()) == 1
	})
	if cs[0].VersionID != newest.ID {
		t.Errorf("%+v: %v", cs, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Fleet.KeepImages(ctx, slog.New(slog.DiscardHandler)) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n, err := w.Library.Received(newest.ID); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestImagesChangeAndGo(t *testing.T) {
	w, _, _ := fleettest.New(t)
	v := library(t, w, "debian", "12")
	name, arch, text := "debian-stable", "aarch64", "For the shop."
	i, err := w.Fleet.DescribeImage(t.Context(), fleettest.Actor, v.ImageID, 1, fleet.EditImage{Name: &name, Arch: &arch, Description: &text})
	if err != nil || i.Name != name || i.Arch != arch || i.Description != text || i.Version != 2 {
		t.Errorf("%+v: %v", i, err)
	}
	if _, err := w.Fleet.DescribeImage(t.Context(), fleettest.Actor, v.ImageID, 1, fleet.EditImage{Name: &name}); !domain.Is(err, domain.Conflict) {
		t.Errorf("two tabs: %v", err)
	}
	bad := "Not A Name"
	if _, err := w.Fleet.DescribeImage(t.Context(), fleettest.Actor, v.ImageID, 0, fleet.EditImage{Name: &bad}); !domain.Is(err, domain.Invalid) {
		t.Errorf("a wrong name: %v", err)
	}
	if x, err := w.Fleet.PublishImage(t.Context(), fleettest.Actor, v.ID, domain.ImageDeprecated); err != nil || x.State != domain.ImageDeprecated {
		t.Errorf("%+v: %v", x, err)
	}
	spec := fleettest.Spec("web-1")
	spec.Disks = []domain.Disk{{Image: "debian-stable@12"}}
	if _, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec}); !domain.Is(err, domain.Invalid) {
		t.Errorf("a VM of a deprecated image: %v", err)
	}
	if _, err := w.Fleet.PublishImage(t.Context(), fleettest.Actor, v.ID, domain.ImageDraft); !domain.Is(err, domain.Conflict) {
		t.Errorf("back to a draft: %v", err)
	}
	if _, err := w.Fleet.PublishImage(t.Context(), fleettest.Actor, v.ID, domain.ImagePublished); err != nil {
		t.Error(err)
	}
	// A template names it: it stays until the template goes.
	tspec := fleettest.Spec("")
	tspec.Disks = []domain.Disk{{Image: "debian-stable", Linked: true}}
	tmpl, err := w.Fleet.NewTemplateVersion(t.Context(), fleettest.Actor, fleet.NewTemplate{Name: "web", Spec: tspec})
	if err != nil {
		t.Fatal(fleettest.Detail(err))
	}
	if _, err := w.Fleet.DeleteImage(t.Context(), fleettest.Actor, v.ImageID, "", ""); !domain.Is(err, domain.Conflict) {
		t.Errorf("an image that a template names: %v", err)
	}
	if _, err := w.Fleet.DeleteImage(t.Context(), fleettest.Actor, v.ImageID, "imgv_none", ""); !domain.Is(err, domain.NotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
	if err := w.Fleet.DeleteTemplate(t.Context(), fleettest.Actor, tmpl.ID); err != nil {
		t.Fatal(err)
	}
	job, err := w.Fleet.DeleteImage(t.Context(), fleettest.Actor, v.ImageID, v.ID, "k")
	w.Succeed(t, job, err)
	if again, err := w.Fleet.DeleteImage(t.Context(), fleettest.Actor, v.ImageID, v.ID, "k"); err != nil || again.ID != job.ID {
		t.Errorf("the same form again: %v", err)
	}
	if _, err := w.Fleet.CollectImages(t.Context(), fleettest.Actor, nil, ""); !domain.Is(err, domain.Conflict) {
		t.Errorf("nothing to collect: %v", err)
	}
}

func TestWithoutALibrary(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	front := fleet.New(w.DB, w.Engine, time.Now)
	if ok, why := front.CanConvert(); ok || why == "" {
		t.Error("it converts without a library")
	}
	if _, _, err := front.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "x", Upload: true}); !domain.Is(err, domain.Unsupported) {
		t.Errorf("an image: %v", err)
	}
	if _, _, err := front.OpenImage(t.Context(), "imgv_x", ""); !domain.Is(err, domain.Unsupported) {
		t.Errorf("a download: %v", err)
	}
	if _, err := front.UploadImage(t.Context(), fleettest.Actor, "imgv_x", 0, 1, nil); !domain.Is(err, domain.Unsupported) {
		t.Errorf("an upload: %v", err)
	}
	if err := front.KeepImages(t.Context(), slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}
