package libvirt

import (
	"slices"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv"
)

func ptr[T any](v T) *T { return &v }

func TestEnsureDefaultPoolAndVolumes(t *testing.T) {
	d := daemon(t)
	h := dialURI(t, d.UnixURI())
	ctx := ctxFor(t, wait)
	if _, err := h.EnsureDefaultPool(ctx); err != nil {
		t.Fatal(err)
	}
	if made, err := h.EnsureDefaultPool(ctx); err != nil || made {
		t.Errorf("a second time: %v %v", made, err)
	}
	must(t, h.DeleteVolume(ctx, "default", "disk.qcow2"))
	v, err := h.CreateVolume(ctx, hv.VolumeSpec{Pool: "default", Name: "disk.qcow2", Format: "qcow2", SizeBytes: 64 * domain.MiB})
	must(t, err)
	if v.Path != "/var/lib/libvirt/images/disk.qcow2" || v.Format != "qcow2" || v.CapacityBytes != 64*domain.MiB || v.Pool != "default" {
		t.Errorf("%+v", v)
	}
	if _, err := h.CreateVolume(ctx, hv.VolumeSpec{Pool: "default", Name: "disk.qcow2", Format: "qcow2", SizeBytes: domain.MiB}); !domain.Is(err, domain.Conflict) {
		t.Errorf("a taken name: %v", err)
	}
	if _, err := h.CreateVolume(ctx, hv.VolumeSpec{Pool: "none", Name: "x", Format: "raw", SizeBytes: domain.MiB}); !domain.Is(err, domain.NotFound) {
		t.Errorf("no such pool: %v", err)
	}
	c, err := h.CloneVolume(ctx, "default", "disk.qcow2", "copy.qcow2")
	must(t, err)
	if c.Format != "qcow2" || c.CapacityBytes != v.CapacityBytes {
		t.Errorf("%+v", c)
	}
	if _, err := h.CloneVolume(ctx, "default", "disk.qcow2", "copy.qcow2"); !domain.Is(err, domain.Conflict) {
		t.Errorf("a taken name: %v", err)
	}
	// A file that appears behind libvirt's back is found.
	path, err := d.Image("found.raw", make([]byte, domain.MiB))
	must(t, err)
	f, err := h.VolumeByPath(ctx, path)
	must(t, err)
	if f.Name != "found.raw" || f.Pool != "default" || f.Format != "raw" {
		t.Errorf("%+v", f)
	}
	if _, err := h.VolumeByPath(ctx, "/var/lib/libvirt/images/never.raw"); !domain.Is(err, domain.NotFound) {
		t.Errorf("no such file: %v", err)
	}
	if _, err := h.Volume(ctx, "default", "never.raw"); !domain.Is(err, domain.NotFound) {
		t.Errorf("no such volume: %v", err)
	}
	inv, err := h.Inventory(ctx)
	must(t, err)
	if !slices.ContainsFunc(inv.Volumes, func(v domain.Volume) bool { return v.Name == "copy.qcow2" && v.Pool == "default" }) ||
		!slices.ContainsFunc(inv.Pools, func(p domain.Pool) bool {
			return p.Name == "default" && p.Active && p.Autostart && p.CapacityBytes > 0 && p.Target == "/var/lib/libvirt/images"
		}) {
		t.Errorf("%+v", inv)
	}
	for _, name := range []string{"disk.qcow2", "copy.qcow2", "found.raw"} {
		for range 2 {
			must(t, h.DeleteVolume(ctx, "default", name))
		}
	}
	if err := h.DeleteVolume(ctx, "none", "x"); !domain.Is(err, domain.NotFound) {
		t.Errorf("no such pool: %v", err)
	}
}

func TestInventoryOfTheTestDriver(t *testing.T) {
	h := dialURI(t, daemon(t).TestURI())
	inv, err := h.Inventory(ctxFor(t, wait))
	must(t, err)
	if len(inv.Pools) != 1 || len(inv.Networks) != 1 || !inv.Networks[0].Active || inv.Networks[0].CIDR == "" {
		t.Errorf("%+v", inv)
	}
	shot, err := h.Guests(ctxFor(t, wait))
	must(t, err)
	if len(shot) != 1 || shot[0].Name != "test" || shot[0].State != domain.VMRunning {
		t.Errorf("%+v", shot)
	}
	if _, err := h.Screenshot(ctxFor(t, wait), shot[0].UUID); err != nil {
		t.Error(err)
	}
}

func TestChangeWhileItRuns(t *testing.T) {
	d := daemon(t)
	h := dialURI(t, d.UnixURI())
	ctx := ctxFor(t, 3*wait)
	_, err := h.EnsureDefaultPool(ctx)
	must(t, err)
	spec := haltSpec(t, d, "change")
	spec.MaxVCPUs = 4
	spec.MaxMemoryBytes = 128 * domain.MiB
	spec.Disks = append(spec.Disks, domain.Disk{Device: "cdrom"})
	defined(t, h, spec)
	id := spec.UUID
	must(t, h.Start(ctx, id))
	rec := record(t, dialURI(t, d.UnixURI()))
	v, err := h.CreateVolume(ctx, hv.VolumeSpec{Pool: "default", Name: "extra.qcow2", Format: "qcow2", SizeBytes: domain.MiB})
	must(t, err)
	iso, err := d.Image("medium.iso", make([]byte, domain.MiB))
	must(t, err)

	guest := func() domain.Guest {
		t.Helper()
		g, err := h.Guest(ctx, id)
		must(t, err)
		return g
	}
	change := func(c domain.VMChange) []string {
		t.Helper()
		notes, err := h.Change(ctx, id, c)
		must(t, err)
		t.Log(notes)
		return notes
	}
	disk := func(s domain.VMSpec, source string) (domain.Disk, bool) {
		i := slices.IndexFunc(s.Disks, func(d domain.Disk) bool { return d.Source == source })
		if i < 0 {
			return domain.Disk{}, false
		}
		return s.Disks[i], true
	}

	change(domain.VMChange{VCPUs: ptr(2), Title: ptr("A title"), Description: ptr("What it is for")})
	g := guest()
	if g.Config.VCPUs != 2 || g.Live.VCPUs != 2 || g.Live.Title != "A title" || g.Config.Description != "What it is for" ||
		slices.ContainsFunc(domain.Diff(*g.Live, g.Config), func(c domain.Change) bool { return c.Field != "memory_bytes" }) { // a halted guest does not move its balloon
		t.Errorf("after adding a vCPU: live %+v\nconfig %+v\ndiff %+v", g.Live, g.Config, domain.Diff(*g.Live, g.Config))
	}
	notes := change(domain.VMChange{VCPUs: ptr(1)})
	if g = guest(); g.Config.VCPUs != 1 || g.Live.VCPUs != 2 || !strings.Contains(strings.Join(notes, " "), "next start") {
		t.Errorf("taking a vCPU away: %v, live %d, config %d", notes, g.Live.VCPUs, g.Config.VCPUs)
	}
	change(domain.VMChange{MemoryBytes: ptr(96 * domain.MiB)})
	if g = guest(); g.Config.MemoryBytes != 96*domain.MiB {
		t.Errorf("memory %d", g.Config.MemoryBytes)
	}
	change(domain.VMChange{MemoryBytes: ptr(256 * domain.MiB)})
	if g = guest(); g.Config.MemoryBytes != 256*domain.MiB {
		t.Errorf("memory %d", g.Config.MemoryBytes)
	}

	change(domain.VMChange{AddDisks: []domain.Disk{{Pool: "default", Volume: v.Name, Bus: "virtio"}}})
	rec.await(t, id, hv.GuestChanged, "was added")
	g = guest()
	live, okLive := disk(*g.Live, v.Path)
	conf, okConf := disk(g.Config, v.Path)
	if !okLive || !okConf || live.Target != conf.Target || conf.Format != "qcow2" {
		t.Errorf("added disk: live %+v, config %+v", g.Live.Disks, g.Config.Disks)
	}
	change(domain.VMChange{RemoveDisks: []string{conf.Target}}) // the guest is halted and will not let go
	if g = guest(); len(g.Config.Disks) != 2 {
		t.Errorf("config %+v", g.Config.Disks)
	}

	cd := g.Config.Disks[slices.IndexFunc(g.Config.Disks, func(d domain.Disk) bool { return d.Device == "cdrom" })].Target
	change(domain.VMChange{Media: &domain.Media{Target: cd, Source: iso}})
	if g = guest(); !slices.ContainsFunc(g.Live.Disks, func(d domain.Disk) bool { return d.Source == iso }) || !slices.ContainsFunc(g.Config.Disks, func(d domain.Disk) bool { return d.Source == iso }) {
		t.Errorf("medium: live %+v, config %+v", g.Live.Disks, g.Config.Disks)
	}
	change(domain.VMChange{Media: &domain.Media{Target: cd}})
	if g = guest(); slices.ContainsFunc(g.Live.Disks, func(d domain.Disk) bool { return d.Source == iso }) {
		t.Errorf("medium: live %+v", g.Live.Disks)
	}
	change(domain.VMChange{Autostart: ptr(true), CPU: ptr("qemu64")})
	if g = guest(); !g.Autostart || g.Config.CPU != "qemu64" {
		t.Errorf("%+v", g)
	}

	// What fails leaves everything as it was.
	before := guest()
	if notes, err := h.Change(ctx, id, domain.VMChange{Description: ptr("other"), AddDisks: []domain.Disk{{Source: "/no/such/file.raw", Format: "raw", Bus: "virtio"}}}); err == nil {
		t.Errorf("a disk that is not there: %v", notes)
	}
	after := guest()
	if before.XML != after.XML {
		t.Errorf("half a change:\n%s\n%s", before.XML, after.XML)
	}
	if _, err := h.Change(ctx, domain.NewUUID(), domain.VMChange{VCPUs: ptr(1)}); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	must(t, h.Stop(ctx, id))
	must(t, h.DeleteVolume(ctx, "default", v.Name))
}

func TestCloneDefinition(t *testing.T) {
	d := daemon(t)
	h := dialURI(t, d.UnixURI())
	ctx := ctxFor(t, wait)
	spec := haltSpec(t, d, "original")
	spec.Firmware = domain.FirmwareUEFI
	spec.Machine = "q35"
	defined(t, h, spec)
	must(t, h.Start(ctx, spec.UUID)) // makes its NVRAM
	must(t, h.Stop(ctx, spec.UUID))
	path, err := d.Image("clone.raw", make([]byte, domain.MiB))
	must(t, err)
	c := hv.Clone{Name: "clone", UUID: domain.NewUUID(), Sources: map[string]string{spec.Disks[0].Source: path}}
	for range 2 {
		must(t, h.CloneDefinition(ctx, spec.UUID, c))
	}
	t.Cleanup(func() { h.Undefine(ctx, c.UUID) })
	g, err := h.Guest(ctx, c.UUID)
	must(t, err)
	if g.Name != "clone" || g.Config.Disks[0].Source != path || g.Config.Firmware != domain.FirmwareUEFI || strings.Contains(g.XML, "original") {
		t.Errorf("%+v\n%s", g.Config, g.XML)
	}
	must(t, h.Start(ctx, c.UUID))
	must(t, h.Stop(ctx, c.UUID))
	if err := h.CloneDefinition(ctx, spec.UUID, hv.Clone{Name: "original", UUID: domain.NewUUID()}); !domain.Is(err, domain.Conflict) {
		t.Errorf("a taken name: %v", err)
	}
	if err := h.CloneDefinition(ctx, domain.NewUUID(), hv.Clone{Name: "orphan", UUID: domain.NewUUID()}); !domain.Is(err, domain.NotFound) {
		t.Errorf("no original: %v", err)
	}
}

func TestDefineRefusals(t *testing.T) {
	d := daemon(t)
	h := dialURI(t, d.UnixURI())
	ctx := ctxFor(t, wait)
	kvm := haltSpec(t, d, "kvm")
	kvm.Accel = domain.AccelKVM
	if env, err := h.environment(ctx); err == nil && !env.facts.KVMOffered {
		if _, err := h.Define(ctx, kvm); !domain.Is(err, domain.Unsupported) {
			t.Errorf("KVM where it is not: %v", err)
		}
	}
	bad := haltSpec(t, d, "bad")
	bad.UUID = "nonsense"
	if _, err := h.Define(ctx, bad); !domain.Is(err, domain.Invalid) {
		t.Errorf("bad UUID: %v", err)
	}
	bad = haltSpec(t, d, "bad")
	bad.Machine = "no-such-machine"
	if _, err := h.Define(ctx, bad); err == nil || domain.CodeOf(err) == domain.Internal {
		t.Errorf("bad machine: %v", err)
	} else {
		t.Log(err)
	}
	if _, err := h.DefineXML(ctx, "<domain>"); !domain.Is(err, domain.Invalid) {
		t.Errorf("bad XML: %v", err)
	}
	running := haltSpec(t, d, "running")
	defined(t, h, running)
	must(t, h.Start(ctx, running.UUID))
	if _, err := h.Undefine(ctx, running.UUID); !domain.Is(err, domain.Conflict) {
		t.Errorf("undefine a running guest: %v", err)
	}
	if err := h.Rename(ctx, running.UUID, "other"); !domain.Is(err, domain.Conflict) {
		t.Errorf("rename a running guest: %v", err)
	}
}
