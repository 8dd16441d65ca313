package vms

import (
	"net/url"
	"slices"
	"testing"

	"novacron/domain"
)

var offered = Choices{
	Pools:    []domain.Pool{{Name: "fast"}, {Name: "default"}},
	Networks: []domain.Network{{Name: "lan"}, {Name: "default"}},
	Images:   []domain.Volume{{Name: "a.iso", Path: "/i/a.iso", Format: "raw"}, {Name: "g.qcow2", Path: "/i/g.qcow2", Format: "qcow2"}},
	Guests:   []GuestKernel{{Label: "demo", Kernel: "/k", Initrd: "/i", Cmdline: "c"}},
}

func fields(err error) []string {
	var out []string
	if e, ok := err.(*domain.Error); ok {
		for _, f := range e.Fields {
			out = append(out, f.Field)
		}
	}
	return out
}

func TestDefaultsNeedOnlyAName(t *testing.T) {
	noGuests := offered
	noGuests.Guests = nil
	noGuests.Images = nil
	for name, c := range map[string]Choices{"demo": offered, "no demo": noGuests} {
		f := NewCreateForm(c, "")
		if _, _, err := f.Request(c); !slices.Equal(fields(err), []string{"name"}) {
			t.Errorf("%s: without a name: %v", name, fields(err))
		}
		f.Name = "web-1"
		spec, _, err := f.Request(c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if f.Host != "any" || f.Start != "1" || len(spec.NICs) != 1 || spec.NICs[0].Network != "default" || spec.VCPUs < 1 || spec.MemoryBytes < 64*domain.MiB {
			t.Errorf("%s: defaults are %+v %+v", name, f, spec)
		}
	}
	f := NewCreateForm(noGuests, "host_1")
	if f.Host != "host_1" || len(f.Disks) != 1 || f.Disks[0].Pool != "default" {
		t.Errorf("on a host: %+v", f)
	}
}

func TestFormComesBackAsTyped(t *testing.T) {
	v := url.Values{
		"name": {"web"}, "host": {"any"}, "vcpus": {"4"}, "memory_bytes": {"1.5 GiB"}, "source": {SourceISO}, "iso": {"/i/a.iso"}, "tags": {"prod, web prod"},
		"topology.sockets": {"2"}, "topology.cores": {"2"}, "start": {"1"},
		"disks.0.kind": {"new"}, "disks.0.pool": {"fast"}, "disks.0.size_bytes": {"10 GiB"}, "disks.0.format": {"qcow2"},
		"disks.1.kind": {"existing"}, "disks.1.source": {"/i/g.qcow2"},
		"nics.0.network": {"lan"}, "nics.1.network": {"@bridge"}, "nics.1.bridge": {"br0"}, "nics.1.mac": {"52:54:00:AA:BB:CC"},
	}
	f := DecodeCreate(v)
	spec, tags, err := f.Request(offered)
	if err != nil {
		t.Fatal(err)
	}
	if spec.MemoryBytes != 3*domain.GiB/2 || len(spec.Disks) != 3 || spec.Disks[2].Device != "cdrom" || spec.Disks[2].Source != "/i/a.iso" || spec.NICs[1].Bridge != "br0" || spec.NICs[1].Network != "" || spec.NICs[1].MAC != "52:54:00:aa:bb:cc" {
		t.Errorf("spec %+v", spec)
	}
	if *spec.Topology != (domain.Topology{Sockets: 2, Cores: 2, Threads: 1}) || !slices.Equal(tags, []string{"prod", "web"}) || !slices.Equal(spec.Boot.Order, []string{"hd", "cdrom"}) {
		t.Errorf("topology %v, tags %v, order %v", spec.Topology, tags, spec.Boot.Order)
	}
}

func TestWrongFieldsAreNamedAsTheFormHasThem(t *testing.T) {
	v := url.Values{
		"name": {"-"}, "vcpus": {"two"}, "memory_bytes": {""}, "source": {SourceISO}, "iso": {"relative.iso"},
		"disks.0.kind": {"new"}, "disks.0.size_bytes": {"big"}, "disks.0.format": {"vmdk"}, "nics.0.network": {"@bridge"}, "nics.0.mac": {"no"}, "tags": {"!"},
	}
	_, _, err := DecodeCreate(v).Request(offered)
	got := fields(err)
	for _, want := range []string{"name", "vcpus", "memory_bytes", "iso", "disks.0.size_bytes", "disks.0.pool", "disks.0.format", "nics.0.network", "nics.0.mac", "tags"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is wrong but not named; named are %v", want, got)
		}
	}
}

func TestRowsAreAddedAndDropped(t *testing.T) {
	base := url.Values{"vcpus": {"1"}, "disks.0.kind": {"new"}, "disks.0.size_bytes": {"1 GiB"}, "disks.1.kind": {"new"}, "disks.1.size_bytes": {"2 GiB"}, "nics.0.network": {"lan"}}
	with := func(k, v string) url.Values {
		out := url.Values{k: {v}}
		for k, v := range base {
			out[k] = v
		}
		return out
	}
	if f := PrefillCreate(with("add", "disk"), offered); len(f.Disks) != 3 || f.Disks[2].Pool != "default" {
		t.Errorf("add: %+v", f.Disks)
	}
	if f := PrefillCreate(with("drop", "disks.0"), offered); len(f.Disks) != 1 || f.Disks[0].Size != "2 GiB" {
		t.Errorf("drop: %+v", f.Disks)
	}
	for _, odd := range []string{"disks.9", "disks.-1", "disks.x", "name.0", ""} {
		if f := PrefillCreate(with("drop", odd), offered); len(f.Disks) != 2 || len(f.NICs) != 1 {
			t.Errorf("drop %q: %+v", odd, f)
		}
	}
}

func TestChangeAsksOnlyForWhatDiffers(t *testing.T) {
	vm := domain.VM{Config: domain.VMSpec{Name: "web", VCPUs: 2, MemoryBytes: 1536*domain.MiB + 1, Machine: "q35", Disks: []domain.Disk{{Target: "vda", Source: "/x"}}}}
	change := func(v url.Values) (domain.VMChange, error) { return DecodeChange(v).Change(vm) }
	c, err := change(url.Values{"section": {SectionMemory}, "memory_bytes": {domain.FormatBytes(vm.Config.MemoryBytes)}})
	if err != nil || !c.Empty() {
		t.Errorf("the size as it was shown became a change: %+v %v", c, err)
	}
	c, err = change(url.Values{"section": {SectionCPU}, "vcpus": {"4"}, "max_vcpus": {"2"}})
	if err != nil || c.VCPUs == nil || *c.VCPUs != 4 || c.CPU != nil || c.Topology != nil {
		t.Errorf("cpu: %+v %v", c, err)
	}
	if _, err = change(url.Values{"section": {SectionMemory}, "memory_bytes": {"plenty"}}); !slices.Equal(fields(err), []string{"memory_bytes"}) {
		t.Errorf("memory: %v", err)
	}
	c, err = change(url.Values{"section": {SectionDiskAdd}, "add_disks.0.kind": {"new"}, "add_disks.0.size_bytes": {"1 GiB"}, "add_disks.0.pool": {"default"}, "add_disks.0.encrypted": {"1"}})
	if err != nil || len(c.AddDisks) != 1 || !c.AddDisks[0].Encrypted {
		t.Errorf("an encrypted disk: %+v %v", c, err)
	}
	if _, err = change(url.Values{"section": {"nonsense"}}); !domain.Is(err, domain.Invalid) {
		t.Errorf("nonsense: %v", err)
	}
}

func TestEveryActionHasAPlaceInMenus(t *testing.T) {
	for _, a := range domain.VMActions {
		if x := find(a); x.action != a || x.label == "" || x.icon == "" || x.permission == "" {
			t.Errorf("%s: %+v", a, x)
		}
	}
	last := -1
	for i, a := range acts {
		if a.danger && last >= 0 && i != last+1 {
			t.Error("dangerous actions are not together at the end")
		}
		if a.danger {
			last = i
		}
	}
	if last != len(acts)-1 {
		t.Error("the last action is not a dangerous one")
	}
}
