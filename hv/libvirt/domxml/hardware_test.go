package domxml

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"novacron/domain"
)

func init() {
	sample("domain", func(t testing.TB) map[string]string {
		out := map[string]string{}
		for name, h := range hardwareCases() {
			s := webSpec()
			s.Hardware = h
			doc, _, err := Build(s, qemuEnv())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out["hardware "+name] = doc
			for edit, c := range hardwareEdits() {
				if after, _, err := Edit(doc, domain.VMChange{HardwareChange: c}, qemuEnv()); err == nil {
					out["hardware "+name+" then "+edit] = after
				}
			}
		}
		return out
	})
}

func hardwareCases() map[string]domain.Hardware {
	return map[string]domain.Hardware{
		"nothing":  {RNG: &domain.RNG{Source: "none"}},
		"watchdog": {RNG: &domain.RNG{Source: "/dev/random", Bytes: 1024, PeriodMS: 1000}, Watchdog: &domain.Watchdog{Model: "i6300esb", Action: "poweroff"}},
		"shared":   {RNG: &domain.RNG{Source: "/dev/urandom"}, Filesystems: []domain.Filesystem{{Source: "/srv/a & b", Tag: "a"}, {Source: "/srv/c", Tag: "c"}}, SharedMemory: true},
		"devices": {RNG: &domain.RNG{Source: "/dev/urandom"}, HostDevices: []domain.HostDevice{{Kind: "pci", Address: "0000:03:00.1"}, {Kind: "usb", Address: "3:7"},
			{Kind: "usb", Address: "046d:c52b"}, {Kind: "mdev", Address: "c2177883-f1bb-47f0-914d-32a22e3a8804"}}},
		"numa": {RNG: &domain.RNG{Source: "/dev/urandom"}, CPUPins: []domain.CPUPin{{VCPU: 0, CPUs: "0"}, {VCPU: 1, CPUs: "0-1,^0"}}, EmulatorPins: "0-1",
			NUMA:     []domain.NUMANode{{CPUs: "0", MemoryBytes: domain.GiB}, {CPUs: "1", MemoryBytes: domain.GiB}},
			NUMATune: &domain.NUMATune{Mode: "strict", Nodes: "0"}, Hugepages: &domain.Hugepages{SizeBytes: 2 * domain.MiB}, CPUFeatures: []domain.CPUFeature{{Name: "svm", Policy: "disable"}, {Name: "aes", Policy: "require"}}},
		"modules": {RNG: &domain.RNG{Source: "/dev/urandom"}, Hugepages: &domain.Hugepages{}, HotplugMemory: &domain.HotplugMemory{MaxBytes: 8 * domain.GiB, Slots: 4},
			NUMA: []domain.NUMANode{{CPUs: "0-1", MemoryBytes: domain.GiB}}, MemoryDevices: []domain.MemoryDevice{{SizeBytes: domain.GiB, Node: 0, Slot: 0}}},
	}
}

func hardwareEdits() map[string]domain.HardwareChange {
	return map[string]domain.HardwareChange{
		"watchdog on":      {Watchdog: &domain.Watchdog{Model: "ib700", Action: "pause"}},
		"watchdog other":   {Watchdog: &domain.Watchdog{Model: "i6300esb"}},
		"watchdog off":     {Watchdog: &domain.Watchdog{Model: "none"}},
		"rng on":           {RNG: &domain.RNG{Source: "/dev/hwrng", Bytes: 512, PeriodMS: 100}},
		"rng off":          {RNG: &domain.RNG{Source: "none"}},
		"tpm on":           {TPM: ptr(true)},
		"tpm off":          {TPM: ptr(false)},
		"share":            {AddFilesystems: []domain.Filesystem{{Source: "/srv/new", Tag: "new"}}},
		"unshare":          {RemoveFilesystems: []string{"a"}},
		"device on":        {AddHostDevices: []domain.HostDevice{{Kind: "pci", Address: "0000:04:00.0"}}},
		"device off":       {RemoveHostDevices: []string{"3:7"}},
		"pins":             {CPUPins: ptr([]domain.CPUPin{{VCPU: 1, CPUs: "1"}}), EmulatorPins: ptr("1")},
		"no pins":          {CPUPins: ptr([]domain.CPUPin{}), EmulatorPins: ptr("")},
		"nodes":            {NUMA: ptr([]domain.NUMANode{{CPUs: "0-1", MemoryBytes: 3 * domain.GiB}})},
		"tune":             {NUMATune: &domain.NUMATune{Mode: "preferred", Nodes: "0"}},
		"no tune":          {NUMATune: &domain.NUMATune{Mode: "none"}},
		"huge":             {Hugepages: &domain.Hugepages{SizeBytes: domain.GiB}},
		"not huge":         {Hugepages: &domain.Hugepages{Off: true}},
		"room":             {HotplugMemory: &domain.HotplugMemory{MaxBytes: 16 * domain.GiB, Slots: 8}},
		"no room":          {HotplugMemory: &domain.HotplugMemory{}},
		"module":           {AddMemoryDevices: []domain.MemoryDevice{{SizeBytes: 512 * domain.MiB}}},
		"no module":        {RemoveMemoryDevices: []int{0}},
		"features":         {CPUFeatures: ptr([]domain.CPUFeature{{Name: "avx", Policy: "require"}})},
		"all features off": {CPUFeatures: ptr([]domain.CPUFeature{})},
	}
}

func TestHardwareReadsBack(t *testing.T) {
	for name, h := range hardwareCases() {
		s := webSpec()
		s.Hardware = h
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got, err := Parse(mustBuild(t, s, qemuEnv()))
		if err != nil {
			t.Fatal(err)
		}
		want := h
		if want.RNG.Source == "none" {
			want.RNG = nil
		}
		if !reflect.DeepEqual(got.Hardware, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got.Hardware, want)
		}
	}
}

// TestHardwareEditsDoWhatApplySays holds the splicer to the rules of the domain, and to leaving everything else alone.
func TestHardwareEditsDoWhatApplySays(t *testing.T) {
	done := 0
	for name, h := range hardwareCases() {
		s := webSpec()
		s.Hardware = h
		doc := strings.Replace(mustBuild(t, s, qemuEnv()), "</devices>", "  <!-- a remark -->\n  </devices>\n  <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n    <qemu:arg value='-x'/>\n  </qemu:commandline>", 1)
		was, err := Parse(doc)
		if err != nil {
			t.Fatal(err)
		}
		for edit, c := range hardwareEdits() {
			change := domain.VMChange{HardwareChange: c}
			want, err := change.Apply(was)
			if err != nil {
				continue // what the domain refuses never comes here
			}
			done++
			out, _, err := Edit(doc, change, qemuEnv())
			if err != nil {
				t.Errorf("%s, %s: %v", name, edit, err)
				continue
			}
			got, err := Parse(out)
			if err != nil {
				t.Fatal(err)
			}
			if diff := domain.Diff(want, got); len(diff) > 0 {
				t.Errorf("%s, %s: %+v\n%s", name, edit, diff, out)
			}
			if !strings.Contains(out, "<!-- a remark -->") || !strings.Contains(out, "qemu:arg") {
				t.Errorf("%s, %s: something foreign is lost", name, edit)
			}
			if again, _, err := Edit(out, domain.VMChange{HardwareChange: domain.HardwareChange{Watchdog: c.Watchdog, RNG: c.RNG, TPM: c.TPM, CPUPins: c.CPUPins, EmulatorPins: c.EmulatorPins,
				NUMA: c.NUMA, NUMATune: c.NUMATune, Hugepages: c.Hugepages, HotplugMemory: c.HotplugMemory, CPUFeatures: c.CPUFeatures}}, qemuEnv()); err != nil || again != out {
				t.Errorf("%s, %s: a second time changes it again: %v", name, edit, err)
			}
		}
	}
	if done < 90 {
		t.Errorf("only %d edits were possible", done)
	}
}

func TestHardwareEditRefusals(t *testing.T) {
	s := webSpec()
	s.Hardware = hardwareCases()["shared"]
	doc := mustBuild(t, s, qemuEnv())
	for name, c := range map[string]domain.HardwareChange{
		"no such directory": {RemoveFilesystems: []string{"z"}}, "tag taken": {AddFilesystems: []domain.Filesystem{{Source: "/x", Tag: "a"}}},
		"no such device": {RemoveHostDevices: []string{"1:1"}}, "bad kind": {AddHostDevices: []domain.HostDevice{{Kind: "isa", Address: "1"}}},
		"bad usb": {AddHostDevices: []domain.HostDevice{{Kind: "usb", Address: "1"}}}, "watchdog of a newer libvirt": {Watchdog: &domain.Watchdog{Model: "itco"}}, "bad pci": {AddHostDevices: []domain.HostDevice{{Kind: "pci", Address: "x"}}},
		"no such module": {RemoveMemoryDevices: []int{3}},
	} {
		if _, _, err := Edit(doc, domain.VMChange{HardwareChange: c}, qemuEnv()); err == nil {
			t.Errorf("%s: done", name)
		}
	}
	env := qemuEnv()
	env.Facts.TPM = domain.Capability{Why: "no swtpm"}
	if _, _, err := Edit(doc, domain.VMChange{HardwareChange: domain.HardwareChange{TPM: ptr(true)}}, env); !domain.Is(err, domain.Unsupported) {
		t.Errorf("a TPM where there is none: %v", err)
	}
	s.Hardware = domain.Hardware{HostDevices: []domain.HostDevice{{Kind: "isa"}}}
	if _, _, err := Build(s, qemuEnv()); err == nil {
		t.Error("built with an ISA device")
	}
	for what, find := range map[string]func() (string, error){
		"fs": func() (string, error) { return FindFilesystem(doc, "a") }, "rng": func() (string, error) { return FindRNG(doc) },
	} {
		if elem, err := find(); err != nil || elem == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, find := range map[string]func() (string, error){
		"device": func() (string, error) { return FindHostDevice(doc, "1:1") }, "module": func() (string, error) { return FindModule(doc, 0) }, "watchdog": func() (string, error) { return FindWatchdog(doc) },
	} {
		if _, err := find(); !domain.Is(err, domain.NotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestFeaturesOfARunningGuestThatNobodyAskedForAreNotShown(t *testing.T) {
	live := []domain.CPUFeature{{Name: "hypervisor", Policy: "require"}, {Name: "aes", Policy: "require"}, {Name: "svm", Policy: "require"}}
	got := settledFeatures(live, []domain.CPUFeature{{Name: "aes", Policy: "force"}, {Name: "svm", Policy: "disable"}, {Name: "avx", Policy: "require"}})
	if fmt.Sprint(got) != "[{aes force} {svm require}]" {
		t.Error(got)
	}
}
