package vms

import (
	"net/url"
	"reflect"
	"slices"
	"testing"

	"novacron/domain"
	"novacron/views/ui"
)

func furnished() domain.VM {
	return domain.VM{Config: domain.VMSpec{Name: "web", VCPUs: 4, MemoryBytes: 2 * domain.GiB, CPU: "EPYC", Hardware: domain.Hardware{
		Watchdog: &domain.Watchdog{Model: "i6300esb", Action: "reset"}, RNG: &domain.RNG{Source: "/dev/urandom", Bytes: 1024, PeriodMS: 1000}, Filesystems: []domain.Filesystem{{Source: "/srv/a", Tag: "a"}},
		HostDevices: []domain.HostDevice{{Kind: "usb", Address: "1:4"}}, CPUPins: []domain.CPUPin{{VCPU: 0, CPUs: "0-1"}}, EmulatorPins: "0", NUMATune: &domain.NUMATune{Mode: "preferred", Nodes: "0"},
		Hugepages: &domain.Hugepages{SizeBytes: 2 * domain.MiB}, NUMA: []domain.NUMANode{{CPUs: "0-3", MemoryBytes: 2 * domain.GiB}}, HotplugMemory: &domain.HotplugMemory{MaxBytes: 8 * domain.GiB, Slots: 4},
		CPUFeatures: []domain.CPUFeature{{Name: "aes", Policy: "require"}, {Name: "x2apic", Policy: "optional"}},
	}}}
}

// asShown is every field of the device forms as the page prefills it.
func asShown(section string, cfg domain.VMSpec) url.Values {
	return url.Values{"section": {section}, "version": {"1"}, "vcpus": {"4"}, "cpu": {cfg.CPU}, "cpu_features": {featuresText(cfg.CPUFeatures)}, "cpu_pins": {pinsText(cfg.CPUPins)}, "emulator_pins": {cfg.EmulatorPins},
		"numa_tune.mode": {tuneMode(cfg)}, "numa_tune.nodes": {tuneNodes(cfg)}, "hugepages.size_bytes": {pagesValue(cfg.Hugepages)}, "numa": {nodesText(cfg.NUMA)}, "hotplug_memory.max_bytes": {roomBytes(cfg)},
		"hotplug_memory.slots": {roomSlots(cfg)}, "watchdog.model": {watchdogModel(cfg)}, "watchdog.action": {watchdogAction(cfg)}, "rng.source": {rngSource(cfg)}, "rng.bytes": {rngBytes(cfg)}, "rng.period_ms": {rngPeriod(cfg)}}
}

func TestADeviceFormSentAsShownChangesNothing(t *testing.T) {
	for _, vm := range []domain.VM{furnished(), {Config: domain.VMSpec{Name: "bare", VCPUs: 4, MemoryBytes: domain.GiB}}} {
		for _, s := range []string{SectionCPU, SectionPlacement, SectionNUMA, SectionModules, SectionWatchdog, SectionRNG, SectionTPM} {
			if c, err := DecodeChange(asShown(s, vm.Config)).Change(vm); err != nil || !c.Empty() {
				t.Errorf("%s of %s: %+v (%v)", s, vm.Config.Name, c, err)
			}
		}
	}
}

func TestDeviceFormsSayWhatIsWanted(t *testing.T) {
	on := true
	for name, c := range map[string]struct {
		section string
		typed   url.Values
		want    domain.HardwareChange
	}{
		"pins of several":  {SectionPlacement, url.Values{"cpu_pins": {"0-1: 4-5\r\n\r\n2: 6"}}, domain.HardwareChange{CPUPins: &[]domain.CPUPin{{VCPU: 0, CPUs: "4-5"}, {VCPU: 1, CPUs: "4-5"}, {VCPU: 2, CPUs: "6"}}}},
		"no pins":          {SectionPlacement, url.Values{"cpu_pins": {""}}, domain.HardwareChange{CPUPins: &[]domain.CPUPin{}}},
		"no tuning":        {SectionPlacement, url.Values{"numa_tune.mode": {"none"}}, domain.HardwareChange{NUMATune: &domain.NUMATune{Mode: "none"}}},
		"host's pages":     {SectionPlacement, url.Values{"hugepages.size_bytes": {"default"}}, domain.HardwareChange{Hugepages: &domain.Hugepages{}}},
		"no pages":         {SectionPlacement, url.Values{"hugepages.size_bytes": {"off"}}, domain.HardwareChange{Hugepages: &domain.Hugepages{Off: true}}},
		"larger pages":     {SectionPlacement, url.Values{"hugepages.size_bytes": {"1 GiB"}}, domain.HardwareChange{Hugepages: &domain.Hugepages{SizeBytes: domain.GiB}}},
		"two nodes":        {SectionNUMA, url.Values{"numa": {"0-1: 1 GiB\n2-3: 1 GiB"}}, domain.HardwareChange{NUMA: &[]domain.NUMANode{{CPUs: "0-1", MemoryBytes: domain.GiB}, {CPUs: "2-3", MemoryBytes: domain.GiB}}}},
		"more room":        {SectionModules, url.Values{"hotplug_memory.max_bytes": {"16 GiB"}}, domain.HardwareChange{HotplugMemory: &domain.HotplugMemory{MaxBytes: 16 * domain.GiB, Slots: 4}}},
		"no room":          {SectionModules, url.Values{"hotplug_memory.max_bytes": {""}}, domain.HardwareChange{HotplugMemory: &domain.HotplugMemory{}}},
		"a module":         {SectionModuleAdd, url.Values{"memory_devices.size_bytes": {"1 GiB"}, "memory_devices.node": {"0"}}, domain.HardwareChange{AddMemoryDevices: []domain.MemoryDevice{{SizeBytes: domain.GiB}}}},
		"other watchdog":   {SectionWatchdog, url.Values{"watchdog.model": {"ib700"}, "watchdog.action": {"pause"}}, domain.HardwareChange{Watchdog: &domain.Watchdog{Model: "ib700", Action: "pause"}}},
		"no watchdog":      {SectionWatchdog, url.Values{"watchdog.model": {"none"}}, domain.HardwareChange{Watchdog: &domain.Watchdog{Model: "none"}}},
		"no random":        {SectionRNG, url.Values{"rng.source": {"none"}}, domain.HardwareChange{RNG: &domain.RNG{Source: "none"}}},
		"unlimited random": {SectionRNG, url.Values{"rng.bytes": {""}, "rng.period_ms": {""}}, domain.HardwareChange{RNG: &domain.RNG{Source: "/dev/urandom"}}},
		"TPM":              {SectionTPM, url.Values{"tpm": {"1"}}, domain.HardwareChange{TPM: &on}},
		"folder":           {SectionFolderAdd, url.Values{"filesystems.source": {"/srv/b"}, "filesystems.tag": {"b"}}, domain.HardwareChange{AddFilesystems: []domain.Filesystem{{Source: "/srv/b", Tag: "b"}}}},
		"no folder":        {SectionFolderRemove, url.Values{"tag": {"a"}}, domain.HardwareChange{RemoveFilesystems: []string{"a"}}},
		"device":           {SectionDeviceAdd, url.Values{"host_devices.device": {"pci_0000_01_00_0"}, "host_devices.class": {"gpu"}}, domain.HardwareChange{AddHostDevices: []domain.HostDevice{{Device: "pci_0000_01_00_0"}}}},
		"of a class":       {SectionDeviceAdd, url.Values{"host_devices.class": {"gpu"}}, domain.HardwareChange{AddHostDevices: []domain.HostDevice{{Class: "gpu"}}}},
		"device back":      {SectionDeviceRemove, url.Values{"address": {"1:4"}}, domain.HardwareChange{RemoveHostDevices: []string{"1:4"}}},
		"features":         {SectionCPU, url.Values{"cpu_features": {"-svm +aes, forbid:vmx"}}, domain.HardwareChange{CPUFeatures: &[]domain.CPUFeature{{Name: "svm", Policy: "disable"}, {Name: "aes", Policy: "require"}, {Name: "vmx", Policy: "forbid"}}}},
	} {
		vm := furnished()
		v := asShown(c.section, vm.Config)
		for k, x := range c.typed {
			v[k] = x
		}
		got, err := DecodeChange(v).Change(vm)
		if err != nil || !reflect.DeepEqual(got.HardwareChange, c.want) {
			t.Errorf("%s: %+v (%v)", name, got.HardwareChange, err)
		}
	}
}

func TestDeviceFormsMarkWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		section, field, typed, at string
		show                      func(ui.Problems) ui.Problems
	}{
		"pins":     {SectionPlacement, "cpu_pins", "all of them", "cpu_pins", nil},
		"a pin":    {SectionPlacement, "cpu_pins", "0: many", "cpu_pins", nil},
		"vCPU 9":   {SectionPlacement, "cpu_pins", "9: 1", "cpu_pins", func(p ui.Problems) ui.Problems { return under(p, "cpu_pins") }},
		"pages":    {SectionPlacement, "hugepages.size_bytes", "large", "hugepages.size_bytes", nil},
		"nodes":    {SectionNUMA, "numa", "0-3: plenty", "numa", nil},
		"node sum": {SectionNUMA, "numa", "0-1: 1 GiB", "numa", nil},
		"room":     {SectionModules, "hotplug_memory.max_bytes", "1 GiB", "hotplug_memory.max_bytes", nil},
		"module":   {SectionModuleAdd, "memory_devices.size_bytes", "1 MiB", "memory_devices.size_bytes", func(p ui.Problems) ui.Problems { return renumbered(p, "memory_devices") }},
		"folder":   {SectionFolderAdd, "filesystems.source", "/etc", "filesystems.source", func(p ui.Problems) ui.Problems { return renumbered(p, "filesystems") }},
		"device":   {SectionDeviceAdd, "host_devices.class", "", "host_devices.device", func(p ui.Problems) ui.Problems { return renumbered(p, "host_devices") }},
		"feature":  {SectionCPU, "cpu_features", "+", "cpu_features", nil},
		"rate":     {SectionRNG, "rng.bytes", "some", "rng.bytes", nil},
	} {
		vm := furnished()
		v := asShown(c.section, vm.Config)
		v.Set(c.field, c.typed)
		if c.section == SectionFolderAdd {
			v.Set("filesystems.tag", "b")
		}
		_, err := DecodeChange(v).Change(vm)
		e, ok := err.(*domain.Error)
		if !ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var p ui.Problems
		for _, x := range e.Fields {
			p = append(p, ui.Problem{Field: x.Field, Msg: x.Msg})
		}
		if c.show != nil {
			p = c.show(p)
		}
		if !slices.ContainsFunc(p, func(x ui.Problem) bool { return x.Field == c.at }) {
			t.Errorf("%s: nothing at %s: %+v", name, c.at, e.Fields)
		}
	}
}

func TestDeviceMenus(t *testing.T) {
	all := []DeviceInfo{{Device: domain.Device{Name: "a", Kind: "pci", Address: "0000:01:00.0", Assignable: true}}, {Device: domain.Device{Name: "b", Label: "GPU", Kind: "pci", Address: "0000:02:00.0"}, VMID: "vm_1", VMName: "web"}, {Device: domain.Device{Name: "c"}}}
	if o := deviceOptions(all); len(o) != 3 || o[1].Disabled || !o[2].Disabled {
		t.Errorf("%+v", o)
	}
	if o := deviceOptions(nil); len(o) != 1 || o[0].Label == "By class …" {
		t.Errorf("%+v", o)
	}
	if got := deviceLabel(all, domain.HostDevice{Kind: "pci", Address: "0000:02:00.0"}); got != "GPU" {
		t.Error(got)
	}
	if o := watchdogOptions(domain.VMSpec{Hardware: domain.Hardware{Watchdog: &domain.Watchdog{Model: "diag288"}}}); o[len(o)-1].Value != "diag288" {
		t.Errorf("what it has is no choice: %+v", o)
	}
}
