package libvirt

import (
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// A guest that takes part: devices come and go while it runs, on the default machine type.
func TestHotPlugWithARealGuest(t *testing.T) {
	d := daemon(t)
	h := dialURI(t, d.UnixURI())
	rec := record(t, dialURI(t, d.UnixURI()))
	ctx := ctxFor(t, 5*time.Minute)
	_, err := h.EnsureDefaultPool(ctx)
	must(t, err)
	must(t, h.DeleteVolume(ctx, "default", "plug.qcow2"))
	v, err := h.CreateVolume(ctx, hv.VolumeSpec{Pool: "default", Name: "plug.qcow2", Format: "qcow2", SizeBytes: domain.MiB})
	must(t, err)
	spec := echoSpec(t, "plug")
	spec.Machine = ""
	defined(t, h, spec)
	must(t, h.Start(ctx, spec.UUID))
	serial, err := h.Serial(ctx, spec.UUID)
	must(t, err)
	defer serial.Close()
	waitLine(t, readLines(serial), "ready")

	notes, err := h.Change(ctx, spec.UUID, domain.VMChange{AddDisks: []domain.Disk{{Pool: "default", Volume: v.Name}}})
	must(t, err)
	t.Log(notes)
	rec.await(t, spec.UUID, hv.GuestChanged, "was added")
	g, err := h.Guest(ctx, spec.UUID)
	must(t, err)
	i := slices.IndexFunc(g.Live.Disks, func(d domain.Disk) bool { return d.Source == v.Path })
	if i < 0 {
		t.Fatalf("live disks %+v", g.Live.Disks)
	}
	// A change that fails half-way is taken back as a whole: the disk that had gone is there again.
	if notes, err := h.Change(ctx, spec.UUID, domain.VMChange{RemoveDisks: []string{g.Live.Disks[i].Target}, AddDisks: []domain.Disk{{Source: "/no/such/file.raw", Format: "raw", Bus: "virtio", Target: "vdz"}}}); err == nil {
		t.Errorf("a disk that is not there: %v", notes)
	} else {
		t.Log(err)
	}
	if g, err = h.Guest(ctx, spec.UUID); err != nil || len(g.Live.Disks) != 1 || len(g.Config.Disks) != 1 || g.Live.Disks[0].Source != v.Path {
		t.Errorf("not taken back: live %+v, config %+v, %v", g.Live.Disks, g.Config.Disks, err)
	}
	notes, err = h.Change(ctx, spec.UUID, domain.VMChange{RemoveDisks: []string{g.Live.Disks[0].Target}})
	must(t, err)
	t.Log(notes)
	rec.await(t, spec.UUID, hv.GuestChanged, "was removed")
	if g, err = h.Guest(ctx, spec.UUID); err != nil || len(g.Live.Disks) != 0 || len(g.Config.Disks) != 0 {
		t.Errorf("%+v %v", g, err)
	}
	must(t, h.DeleteVolume(ctx, "default", v.Name))

	// The default machine has no slot left for a card of conventional PCI while it runs: such a watchdog waits for the next start, and is there then.
	notes, err = h.Change(ctx, spec.UUID, domain.VMChange{HardwareChange: domain.HardwareChange{Watchdog: &domain.Watchdog{Model: "i6300esb"}}})
	must(t, err)
	t.Log(notes)
	if g, err = h.Guest(ctx, spec.UUID); err != nil || g.Live.Watchdog != nil || g.Config.Watchdog == nil || !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "at the next start") }) {
		t.Errorf("the watchdog does not wait: live %+v, config %+v, %q, %v", g.Live, g.Config.Watchdog, notes, err)
	}
	must(t, h.Stop(ctx, spec.UUID))
	must(t, h.Start(ctx, spec.UUID))
	if g, err = h.Guest(ctx, spec.UUID); err != nil || g.Live == nil || g.Live.Watchdog == nil {
		t.Errorf("after a restart: %+v %v", g.Live, err)
	}
}
