package libvirt

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"novacron/domain"
	"novacron/hv"
)

// libvirt's test driver lacks much (domain capabilities, renaming, hot-plug); what it lacks waits for the next start or is done another way.
func TestGuestOfTheTestDriver(t *testing.T) {
	h := dialURI(t, daemon(t).TestURI())
	rec := record(t, dialURI(t, daemon(t).TestURI()))
	ctx := ctxFor(t, wait)
	v, err := h.CreateVolume(ctx, hv.VolumeSpec{Pool: "default-pool", Name: "t.qcow2", Format: "qcow2", SizeBytes: domain.GiB})
	must(t, err)
	t.Cleanup(func() { h.DeleteVolume(ctxFor(t, wait), "default-pool", "t.qcow2") })
	spec := domain.VMSpec{Name: "t-1", UUID: domain.NewUUID(), VCPUs: 2, MemoryBytes: 512 * domain.MiB, Disks: []domain.Disk{{Source: v.Path, Bus: "virtio"}},
		NICs: []domain.NIC{{Network: "default", MAC: domain.NewMAC()}}}
	t.Log(defined(t, h, spec))
	must(t, h.Start(ctx, spec.UUID))
	rec.await(t, spec.UUID, hv.GuestState, "started")
	extra, err := h.CreateVolume(ctx, hv.VolumeSpec{Pool: "default-pool", Name: "extra.raw", Format: "raw", SizeBytes: domain.MiB})
	must(t, err)
	t.Cleanup(func() { h.DeleteVolume(ctxFor(t, wait), "default-pool", "extra.raw") })
	notes, err := h.Change(ctx, spec.UUID, domain.VMChange{AddDisks: []domain.Disk{{Source: extra.Path, Bus: "virtio"}}})
	must(t, err)
	if !strings.Contains(strings.Join(notes, " "), "next start") {
		t.Errorf("notes %v", notes)
	}
	g, err := h.Guest(ctx, spec.UUID)
	must(t, err)
	if len(g.Config.Disks) != 2 || len(domain.Diff(*g.Live, g.Config)) == 0 {
		t.Errorf("live %+v\nconfig %+v", g.Live, g.Config)
	}
	must(t, h.Reset(ctx, spec.UUID))
	must(t, h.Save(ctx, spec.UUID))
	rec.await(t, spec.UUID, hv.GuestState, "saved")
	must(t, h.Start(ctx, spec.UUID))
	must(t, h.Shutdown(ctx, spec.UUID))
	rec.await(t, spec.UUID, hv.GuestState, "")
	if s := state(t, h, spec.UUID); s.State != domain.VMStopped {
		t.Errorf("%+v", s)
	}
	must(t, h.Rename(ctx, spec.UUID, "t-2"))
	if g, err = h.Guest(ctx, spec.UUID); err != nil || g.Name != "t-2" {
		t.Errorf("%+v %v", g, err)
	}
	if _, err := h.Serial(ctx, spec.UUID); !domain.Is(err, domain.Conflict) {
		t.Errorf("console of a stopped guest: %v", err)
	}
	must(t, h.Start(ctx, spec.UUID))
	if c, err := h.Serial(ctx, spec.UUID); err == nil {
		c.Close()
		t.Error("the test driver has no console")
	} else {
		t.Log(err)
	}
	if _, err := h.Graphics(ctx, spec.UUID); err == nil {
		t.Error("the test driver has no screen")
	} else {
		t.Log(err)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	d := daemon(t)
	before := goleak.IgnoreCurrent()
	h, _, err := newTestDialer(t).Dial(ctxFor(t, wait), hv.Target{URI: d.TCPURI()})
	must(t, err)
	done, err := h.Events(t.Context(), func(hv.Event) {})
	must(t, err)
	if _, err := h.Inventory(ctxFor(t, wait)); err != nil {
		t.Error(err)
	}
	must(t, h.Close())
	<-done
	if _, err := h.Guests(ctxFor(t, time.Second)); !domain.Is(err, domain.Unavailable) {
		t.Errorf("after Close: %v", err)
	}
	goleak.VerifyNone(t, before)
}
