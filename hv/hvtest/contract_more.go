package hvtest

import (
	"bytes"
	"context"
	"image/png"
	"slices"
	"strings"
	"sync"
	"testing"

	"novacron/domain"
	"novacron/hv"
)

func ptr[T any](v T) *T { return &v }

func (c contract) change(t *testing.T, s *session) {
	v := s.defined()
	ch := domain.VMChange{Title: ptr("A title"), Description: ptr("two\nlines & more"), VCPUs: ptr(2), MemoryBytes: ptr(96 * domain.MiB), Autostart: ptr(true)}
	var doc string
	for i := range 2 {
		_, err := s.h.Change(s.ctx(), v.UUID, ch)
		s.must(err)
		g := s.guest(v.UUID)
		if k := g.Config; k.Title != "A title" || k.Description != *ch.Description || k.VCPUs != 2 || k.MemoryBytes != 96*domain.MiB || !g.Autostart {
			t.Fatalf("%+v", k)
		}
		if i == 1 && g.XML != doc {
			t.Errorf("the same change again altered the definition from\n%s\nto\n%s", doc, g.XML)
		}
		doc = g.XML
	}
	_, err := s.h.Change(s.ctx(), v.UUID, domain.VMChange{Title: ptr(""), VCPUs: ptr(1)})
	s.must(err)
	if k := s.guest(v.UUID).Config; k.Title != "" || k.VCPUs != 1 || k.Description != *ch.Description {
		t.Errorf("%+v", k)
	}
	before := s.guest(v.UUID).XML
	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{RemoveDisks: []string{"vdq"}, Title: ptr("half")})
	s.want(domain.NotFound, err, "removing a disk that is not there")
	if s.guest(v.UUID).XML != before {
		t.Error("a refused change left something behind")
	}
	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{AddDisks: []domain.Disk{{Device: "cdrom", Bus: "sata"}}})
	s.must(err)
	i := slices.IndexFunc(s.guest(v.UUID).Config.Disks, func(d domain.Disk) bool { return d.Device == "cdrom" })
	if i < 0 {
		t.Fatal("no drive was added")
	}
	drive := s.guest(v.UUID).Config.Disks[i].Target
	for _, src := range []string{"/contract/a.iso", "/contract/b.iso", "", ""} {
		_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{Media: &domain.Media{Target: drive, Source: src}})
		s.must(err)
		for _, d := range s.guest(v.UUID).Config.Disks {
			if d.Target == drive && d.Source != src {
				t.Errorf("the drive has %q, want %q", d.Source, src)
			}
		}
	}
	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{RemoveDisks: []string{drive}})
	s.must(err)
	if slices.ContainsFunc(s.guest(v.UUID).Config.Disks, func(d domain.Disk) bool { return d.Target == drive }) {
		t.Error("the drive is still there")
	}
}

func (c contract) pending(t *testing.T, s *session) {
	v := s.spec()
	v.MaxMemoryBytes = 2 * v.MemoryBytes // a balloon that has not moved yet is no pending change
	if c.opt.Driver != "TEST" {
		v.CPU = "host-model" // nor is what the host made of it
	}
	s.forget(v.UUID)
	_, err := s.h.Define(s.ctx(), v)
	s.must(err)
	s.must(s.h.Start(s.ctx(), v.UUID))
	if g := s.guest(v.UUID); len(domain.Diff(*g.Live, g.Config)) != 0 {
		t.Errorf("a fresh guest has pending changes: %+v", domain.Diff(*g.Live, g.Config))
	}
	l := s.listen()
	most := max(v.VCPUs, v.MaxVCPUs)
	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{VCPUs: ptr(most + 1), MaxVCPUs: ptr(most + 1)})
	s.must(err)
	l.await(s, "of the change", func(ev hv.Event) bool {
		return ev.UUID == v.UUID && (ev.Kind == hv.GuestDefined || ev.Kind == hv.GuestChanged)
	})
	g := s.guest(v.UUID)
	if g.Live == nil || g.Live.VCPUs != v.VCPUs || g.Config.VCPUs != most+1 || len(domain.Diff(*g.Live, g.Config)) == 0 {
		t.Fatalf("live %+v\nconfig %+v", g.Live, g.Config)
	}
	s.must(s.h.Stop(s.ctx(), v.UUID))
	s.must(s.h.Start(s.ctx(), v.UUID))
	if g = s.guest(v.UUID); g.Live.VCPUs != most+1 || len(domain.Diff(*g.Live, g.Config)) != 0 {
		t.Errorf("after a restart: live %+v\nconfig %+v", g.Live, g.Config)
	}
}

func (c contract) hotPlug(t *testing.T, s *session) {
	v := s.defined()
	name := v.Name + ".raw"
	s.Cleanup(func() {
		if err := s.h.Stop(s.ctx(), v.UUID); err != nil { // before its disk goes
			t.Error(err)
		}
		if err := s.h.DeleteVolume(s.ctx(), c.opt.Pool, name); err != nil {
			t.Error(err)
		}
	})
	vol, err := s.h.CreateVolume(s.ctx(), hv.VolumeSpec{Pool: c.opt.Pool, Name: name, Format: "raw", SizeBytes: domain.MiB})
	s.must(err)
	s.must(s.h.Start(s.ctx(), v.UUID))
	target := func(spec domain.VMSpec) string {
		for _, d := range spec.Disks {
			if d.Source == vol.Path {
				return d.Target
			}
		}
		return ""
	}
	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{AddDisks: []domain.Disk{{Source: vol.Path, Format: "raw"}}})
	s.must(err)
	g := s.guest(v.UUID)
	at := target(g.Config)
	if at == "" || c.opt.HotPlug && target(*g.Live) != at || !c.opt.HotPlug && target(*g.Live) != "" {
		t.Errorf("in the definition as %q, live as %q", at, target(*g.Live))
	}
	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{RemoveDisks: []string{at}})
	s.must(err)
	if at := target(s.guest(v.UUID).Config); at != "" {
		t.Errorf("the disk is still in the definition as %s", at)
	}
	if c.opt.Network == "" {
		return
	}
	n := domain.NIC{Network: c.opt.Network, Model: "virtio", MAC: domain.NewMAC()}
	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{AddNICs: []domain.NIC{n}})
	s.must(err)
	has := func(spec domain.VMSpec) bool {
		return slices.ContainsFunc(spec.NICs, func(x domain.NIC) bool { return strings.EqualFold(x.MAC, n.MAC) })
	}
	if g = s.guest(v.UUID); !has(g.Config) || has(*g.Live) != c.opt.HotPlug {
		t.Errorf("the card is in the definition %v, live %v", has(g.Config), has(*g.Live))
	}
	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{RemoveNICs: []string{n.MAC}})
	s.must(err)
	if has(s.guest(v.UUID).Config) {
		t.Error("the card is still in the definition")
	}
}

// survival has what others wrote into a definition outlive a change, byte for byte.
func (c contract) survival(t *testing.T, s *session) {
	v := s.defined()
	doc, err := s.h.Undefine(s.ctx(), v.UUID)
	s.must(err)
	const mark = `<other:app xmlns:other="urn:contract:other"><other:x a="1">kept &amp; kept</other:x></other:app>`
	if strings.Contains(doc, "</metadata>") {
		doc = strings.Replace(doc, "</metadata>", mark+"</metadata>", 1)
	} else {
		doc = strings.Replace(doc, "</name>", "</name><metadata>"+mark+"</metadata>", 1)
	}
	id, err := s.h.DefineXML(s.ctx(), doc)
	s.must(err)
	if id != v.UUID {
		t.Errorf("it came back as %s, was %s", id, v.UUID)
	}
	before := s.guest(v.UUID).XML
	if !strings.Contains(before, "kept &amp; kept") {
		t.Fatalf("the host lost the metadata:\n%s", before)
	}
	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{Title: ptr("new title")})
	s.must(err)
	var rest []string
	for line := range strings.Lines(s.guest(v.UUID).XML) {
		if !strings.Contains(line, "<title>new title</title>") {
			rest = append(rest, line)
		}
	}
	if after := strings.Join(rest, ""); after != before {
		t.Errorf("more than the title changed, from\n%s\nto\n%s", before, after)
	}
}

func (c contract) rename(t *testing.T, s *session) {
	v, w := s.defined(), s.defined()
	name := v.Name + "-new"
	for range 2 {
		s.must(s.h.Rename(s.ctx(), v.UUID, name))
		if g := s.guest(v.UUID); g.Name != name || g.Config.Name != name {
			t.Errorf("it is called %s", g.Name)
		}
	}
	s.want(domain.Conflict, s.h.Rename(s.ctx(), v.UUID, w.Name), "the name of another guest")
	if g := s.guest(v.UUID); g.Name != name {
		t.Errorf("it is called %s", g.Name)
	}
}

func (c contract) undefine(t *testing.T, s *session) {
	v := s.defined()
	_, err := s.h.Change(s.ctx(), v.UUID, domain.VMChange{Title: ptr("worth keeping")})
	s.must(err)
	l := s.listen()
	for range 2 { // away, back, away, back
		was := s.guest(v.UUID)
		doc, err := s.h.Undefine(s.ctx(), v.UUID)
		s.must(err)
		l.kind(s, v.UUID, hv.GuestGone)
		if _, err := s.h.Guest(s.ctx(), v.UUID); !domain.Is(err, domain.NotFound) {
			t.Errorf("it is still there: %v", err)
		}
		again, err := s.h.Undefine(s.ctx(), v.UUID)
		if err != nil || again != "" {
			t.Errorf("Undefine again: %q, %v", again, err)
		}
		for range 2 {
			id, err := s.h.DefineXML(s.ctx(), doc)
			s.must(err)
			if id != v.UUID {
				t.Errorf("it came back as %s", id)
			}
		}
		l.kind(s, v.UUID, hv.GuestDefined)
		if g := s.guest(v.UUID); g.Name != v.Name || g.Config.Title != "worth keeping" || len(domain.Diff(was.Config, g.Config)) != 0 {
			t.Errorf("it came back as %+v", g)
		}
	}
	_, err = s.h.DefineXML(s.ctx(), "<domain")
	s.want(domain.Invalid, err, "a broken document")
}

func (c contract) clone(t *testing.T, s *session) {
	v := s.defined()
	k := hv.Clone{Name: v.Name + "-copy", UUID: domain.NewUUID(), MACs: map[string]string{}, Sources: map[string]string{}}
	for _, n := range s.guest(v.UUID).Config.NICs {
		k.MACs[n.MAC] = domain.NewMAC()
	}
	for _, d := range s.guest(v.UUID).Config.Disks {
		k.Sources[d.Source] = d.Source + ".copy"
	}
	s.forget(k.UUID)
	for range 2 {
		s.must(s.h.CloneDefinition(s.ctx(), v.UUID, k))
	}
	was, g := s.guest(v.UUID).Config, s.guest(k.UUID)
	if g.Name != k.Name || g.State != domain.VMStopped || g.Config.UUID != k.UUID || g.Config.MemoryBytes != was.MemoryBytes || len(g.Config.Disks) != len(was.Disks) {
		t.Errorf("%+v", g)
	}
	for i, d := range g.Config.Disks {
		if d.Source != was.Disks[i].Source+".copy" {
			t.Errorf("the copy's disk is %s", d.Source)
		}
	}
	for i, n := range g.Config.NICs {
		if n.MAC != k.MACs[was.NICs[i].MAC] {
			t.Errorf("the copy's card is %s", n.MAC)
		}
	}
	taken := k
	taken.UUID = domain.NewUUID()
	s.want(domain.Conflict, s.h.CloneDefinition(s.ctx(), v.UUID, taken), "a name that is taken")
}

func (c contract) volumes(t *testing.T, s *session) {
	pool := c.opt.Pool
	made, err := s.h.EnsureDefaultPool(s.ctx())
	if err != nil || made {
		t.Errorf("EnsureDefaultPool with an active pool: %v, %v", made, err)
	}
	for _, format := range []string{"qcow2", "raw"} {
		spec := hv.VolumeSpec{Pool: pool, Name: "contract-" + domain.NewUUID()[:8] + "." + format, Format: format, SizeBytes: 8 * domain.MiB}
		copied := "copy-of-" + spec.Name
		for _, name := range []string{spec.Name, copied} {
			s.Cleanup(func() {
				if err := s.h.DeleteVolume(s.ctx(), pool, name); err != nil {
					t.Error(err)
				}
			})
		}
		v, err := s.h.CreateVolume(s.ctx(), spec)
		s.must(err)
		if v.Name != spec.Name || v.Pool != pool || !strings.HasPrefix(v.Path, "/") || v.Format != format || v.CapacityBytes != spec.SizeBytes {
			t.Errorf("made %+v", v)
		}
		_, err = s.h.CreateVolume(s.ctx(), spec)
		s.want(domain.Conflict, err, "a volume's name again")
		for what, get := range map[string]func() (domain.Volume, error){
			"Volume":       func() (domain.Volume, error) { return s.h.Volume(s.ctx(), pool, spec.Name) },
			"VolumeByPath": func() (domain.Volume, error) { return s.h.VolumeByPath(s.ctx(), v.Path) },
		} {
			x, err := get()
			if err != nil || x.Path != v.Path || x.Name != v.Name || x.Pool != pool || x.Format != format {
				t.Errorf("%s: %+v, %v", what, x, err)
			}
		}
		k, err := s.h.CloneVolume(s.ctx(), pool, spec.Name, copied)
		s.must(err)
		if k.Name != copied || k.Path == v.Path || k.CapacityBytes != v.CapacityBytes || k.Format != format {
			t.Errorf("copied to %+v", k)
		}
		_, err = s.h.CloneVolume(s.ctx(), pool, spec.Name, copied)
		s.want(domain.Conflict, err, "a copy's name again")
		for range 2 {
			s.must(s.h.DeleteVolume(s.ctx(), pool, spec.Name))
			_, err = s.h.Volume(s.ctx(), pool, spec.Name)
			s.want(domain.NotFound, err, "a deleted volume")
		}
		_, err = s.h.VolumeByPath(s.ctx(), v.Path)
		s.want(domain.NotFound, err, "a deleted volume's path")
		if _, err = s.h.CreateVolume(s.ctx(), spec); err != nil {
			t.Errorf("a deleted volume's name is not free: %v", err)
		}
	}
}

func (c contract) inventory(t *testing.T, s *session) {
	name := "contract-" + domain.NewUUID()[:8]
	s.Cleanup(func() {
		if err := s.h.DeleteVolume(s.ctx(), c.opt.Pool, name); err != nil {
			t.Error(err)
		}
	})
	_, err := s.h.CreateVolume(s.ctx(), hv.VolumeSpec{Pool: c.opt.Pool, Name: name, Format: "raw", SizeBytes: domain.MiB})
	s.must(err)
	inv, err := s.h.Inventory(s.ctx())
	s.must(err)
	if !slices.ContainsFunc(inv.Pools, func(p domain.Pool) bool {
		return p.Name == c.opt.Pool && p.Active && p.Target != "" && p.CapacityBytes > 0
	}) {
		t.Errorf("pools %+v", inv.Pools)
	}
	if !slices.ContainsFunc(inv.Volumes, func(v domain.Volume) bool { return v.Name == name && v.Pool == c.opt.Pool && v.Path != "" }) {
		t.Errorf("the volume is not among %d", len(inv.Volumes))
	}
	if n := c.opt.Network; n != "" && !slices.ContainsFunc(inv.Networks, func(x domain.Network) bool { return x.Name == n && x.UUID != "" }) {
		t.Errorf("networks %+v", inv.Networks)
	}
}

func (c contract) events(t *testing.T, s *session) {
	l := s.listen()
	other := &session{T: t, h: c.open(t), opt: c.opt} // what another connection does is heard too
	v := other.defined()
	l.kind(s, v.UUID, hv.GuestDefined)
	other.must(other.h.Start(s.ctx(), v.UUID))
	l.state(s, v.UUID, domain.VMRunning)
	other.must(other.h.Pause(s.ctx(), v.UUID))
	l.state(s, v.UUID, domain.VMPaused)
	other.must(other.h.Resume(s.ctx(), v.UUID))
	l.state(s, v.UUID, domain.VMRunning)
	other.must(other.h.Stop(s.ctx(), v.UUID))
	l.state(s, v.UUID, domain.VMStopped)
	other.must(second(other.h.Undefine(s.ctx(), v.UUID)))
	l.kind(s, v.UUID, hv.GuestGone)

	ctx, cancel := context.WithCancel(s.ctx())
	done, err := s.h.Events(ctx, func(hv.Event) {})
	s.must(err)
	cancel()
	<-done
	s.must(s.h.Ping(s.ctx())) // the connection outlives a subscription
	third := c.open(t)
	done, err = third.Events(s.ctx(), func(hv.Event) {})
	s.must(err)
	s.must(third.Close())
	<-done
}

func (c contract) consoles(t *testing.T, s *session) {
	if !c.opt.Consoles {
		return
	}
	v := s.defined()
	s.must(s.h.Start(s.ctx(), v.UUID))
	screen, err := s.h.Graphics(s.ctx(), v.UUID)
	s.must(err)
	if screen.Via == "" {
		t.Error("nobody says how the screen is reached")
	}
	if got := s.read(screen.Conn, 12); !strings.HasPrefix(got, "RFB 003.") {
		t.Errorf("the screen begins with %q", got)
	}
	s.must(screen.Conn.Close())
	shot, err := s.h.Screenshot(s.ctx(), v.UUID)
	s.must(err)
	if img, err := png.Decode(bytes.NewReader(shot)); err != nil || img.Bounds().Empty() {
		t.Errorf("the picture is no PNG: %v", err)
	}
	first, err := s.h.Serial(s.ctx(), v.UUID)
	s.must(err)
	next, err := s.h.Serial(s.ctx(), v.UUID)
	s.must(err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 256)
		for {
			if _, err := first.Read(b); err != nil {
				return
			}
		}
	}()
	<-ended // taken over
	_, err = next.Write([]byte("\n"))
	s.must(err)
	s.must(next.Close())
	_ = first.Close()
}

func (c contract) deadlines(t *testing.T, s *session) {
	v := s.defined()
	ctx, cancel := context.WithTimeout(s.ctx(), 0)
	defer cancel()
	s.want(domain.Unavailable, s.h.Ping(ctx), "Ping without time")
	s.want(domain.Unavailable, s.h.Start(ctx, v.UUID), "Start without time")
	s.must(s.h.Ping(s.ctx()))
	if c.opt.Silence != nil {
		mute := &session{T: t, h: c.open(t), opt: c.opt}
		mute.must(mute.h.Ping(s.ctx()))
		restore := c.opt.Silence(t, mute.h)
		ctx, cancel := context.WithTimeout(s.ctx(), 300e6)
		defer cancel()
		_, err := mute.h.Guests(ctx)
		restore()
		s.want(domain.Unavailable, err, "a host that does not answer")
	}
	closed := c.open(t)
	s.must(closed.Ping(s.ctx()))
	s.must(closed.Close())
	if c.opt.Driver != "FAKE" || closed != s.h {
		s.want(domain.Unavailable, closed.Ping(s.ctx()), "a closed connection")
	}
}

// concurrency has many callers on one connection.
func (c contract) concurrency(t *testing.T, s *session) {
	v := s.defined()
	ctx := s.ctx()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			var err error
			switch i % 4 {
			case 0:
				_, err = s.h.Guests(ctx)
			case 1:
				_, err = s.h.GuestStates(ctx)
			case 2:
				_, err = s.h.Guest(ctx, v.UUID)
			default:
				err = s.h.Start(ctx, v.UUID) // all of them find it started or start it
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.is(v.UUID, domain.VMRunning)
}
