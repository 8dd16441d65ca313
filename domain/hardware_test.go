package domain

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// machine is a VM with something of everything.
func machine() VMSpec {
	return VMSpec{Name: "web", VCPUs: 4, MemoryBytes: 3 * GiB, Hardware: Hardware{
		Watchdog: &Watchdog{Model: "i6300esb"}, RNG: &RNG{Source: "/dev/urandom", Bytes: 1024, PeriodMS: 1000}, Filesystems: []Filesystem{{Source: "/srv/a", Tag: "a"}}, SharedMemory: true,
		HostDevices: []HostDevice{{Kind: "pci", Address: "0000:03:00.0"}}, CPUPins: []CPUPin{{VCPU: 0, CPUs: "0-3,^2"}}, EmulatorPins: "0", NUMA: []NUMANode{{CPUs: "0-3", MemoryBytes: 2 * GiB}},
		NUMATune: &NUMATune{Mode: "strict", Nodes: "0"}, Hugepages: &Hugepages{SizeBytes: 2 * MiB}, HotplugMemory: &HotplugMemory{MaxBytes: 8 * GiB, Slots: 4},
		MemoryDevices: []MemoryDevice{{SizeBytes: GiB, Slot: 0}}, CPUFeatures: []CPUFeature{{Name: "aes", Policy: "require"}}}}
}

func TestHardwareThatIsRight(t *testing.T) {
	if err := machine().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestHardwareThatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		alter func(*VMSpec)
		field string
	}{
		"watchdog":         {func(s *VMSpec) { s.Watchdog.Model = "cat" }, "watchdog.model"},
		"action":           {func(s *VMSpec) { s.Watchdog.Action = "bark" }, "watchdog.action"},
		"random":           {func(s *VMSpec) { s.RNG.Source = "/dev/dice" }, "rng.source"},
		"rate":             {func(s *VMSpec) { s.RNG.Bytes = 0 }, "rng.bytes"},
		"no directory":     {func(s *VMSpec) { s.Filesystems[0].Source = "" }, "filesystems.0.source"},
		"half a path":      {func(s *VMSpec) { s.Filesystems[0].Source = "srv" }, "filesystems.0.source"},
		"the host's /etc":  {func(s *VMSpec) { s.Filesystems[0].Source = "/etc/" }, "filesystems.0.source"},
		"tag":              {func(s *VMSpec) { s.Filesystems[0].Tag = "a b" }, "filesystems.0.tag"},
		"tag twice":        {func(s *VMSpec) { s.Filesystems = append(s.Filesystems, Filesystem{"/srv/b", "a"}) }, "filesystems.1.tag"},
		"no device":        {func(s *VMSpec) { s.HostDevices[0].Address = "" }, "host_devices.0.device"},
		"kind":             {func(s *VMSpec) { s.HostDevices[0].Kind = "isa" }, "host_devices.0.kind"},
		"address, no kind": {func(s *VMSpec) { s.HostDevices[0].Kind = "" }, "host_devices.0.kind"},
		"pci":              {func(s *VMSpec) { s.HostDevices[0].Address = "here" }, "host_devices.0.address"},
		"usb":              {func(s *VMSpec) { s.HostDevices[0] = HostDevice{Kind: "usb", Address: "1-2"} }, "host_devices.0.address"},
		"mdev":             {func(s *VMSpec) { s.HostDevices[0] = HostDevice{Kind: "mdev", Address: "x"} }, "host_devices.0.address"},
		"name":             {func(s *VMSpec) { s.HostDevices[0] = HostDevice{Device: "a/b"} }, "host_devices.0.device"},
		"many":             {func(s *VMSpec) { s.HostDevices = slices.Repeat([]HostDevice{{Class: "gpu"}}, 33) }, "host_devices"},
		"no vCPU":          {func(s *VMSpec) { s.CPUPins[0].VCPU = 4 }, "cpu_pins.0.vcpu"},
		"pinned twice":     {func(s *VMSpec) { s.CPUPins = append(s.CPUPins, s.CPUPins[0]) }, "cpu_pins.1.vcpu"},
		"CPUs":             {func(s *VMSpec) { s.CPUPins[0].CPUs = "3-1" }, "cpu_pins.0.cpus"},
		"emulator":         {func(s *VMSpec) { s.EmulatorPins = "all" }, "emulator_pins"},
		"policy":           {func(s *VMSpec) { s.CPUFeatures[0].Policy = "please" }, "cpu_features.0.policy"},
		"feature":          {func(s *VMSpec) { s.CPUFeatures[0].Name = "a b" }, "cpu_features.0.name"},
		"mode":             {func(s *VMSpec) { s.NUMATune.Mode = "near" }, "numa_tune.mode"},
		"nodes":            {func(s *VMSpec) { s.NUMATune.Nodes = "" }, "numa_tune.nodes"},
		"pages":            {func(s *VMSpec) { s.Hugepages.SizeBytes = 3 * MiB }, "hugepages.size_bytes"},
		"module":           {func(s *VMSpec) { s.MemoryDevices[0].SizeBytes = 100 * MiB }, "memory_devices.0.size_bytes"},
		"module's node":    {func(s *VMSpec) { s.MemoryDevices[0].Node = 1 }, "memory_devices.0.node"},
		"slot": {func(s *VMSpec) {
			s.MemoryDevices = []MemoryDevice{{SizeBytes: GiB, Slot: 1}, {SizeBytes: GiB, Slot: 1}}
		}, "memory_devices.1.slot"},
		"no room":         {func(s *VMSpec) { s.HotplugMemory = nil }, "hotplug_memory"},
		"slots":           {func(s *VMSpec) { s.HotplugMemory.Slots = 0 }, "hotplug_memory.slots"},
		"little room":     {func(s *VMSpec) { s.HotplugMemory.MaxBytes = 3 * GiB }, "hotplug_memory.max_bytes"},
		"node's CPUs":     {func(s *VMSpec) { s.NUMA[0].CPUs = "some" }, "numa.0.cpus"},
		"node's vCPU":     {func(s *VMSpec) { s.NUMA[0].CPUs = "0-9" }, "numa.0.cpus"},
		"node's memory":   {func(s *VMSpec) { s.NUMA[0].MemoryBytes = 0 }, "numa.0.memory_bytes"},
		"nodes' sum":      {func(s *VMSpec) { s.NUMA[0].MemoryBytes = GiB }, "numa"},
		"vCPU in no node": {func(s *VMSpec) { s.NUMA[0].CPUs = "0-2" }, "numa"},
	} {
		s := machine()
		c.alter(&s)
		e, ok := s.Validate().(*Error)
		if !ok || !slices.ContainsFunc(e.Fields, func(f FieldError) bool { return f.Field == c.field && f.Msg != "" && f.Want != "" }) {
			t.Errorf("%s: nothing at %s: %v", name, c.field, e)
		}
	}
}

func TestCPUSet(t *testing.T) {
	for s, want := range map[string][]int{"0": {0}, "0-3,^2": {0, 1, 3}, "8,1-2": {1, 2, 8}, "": nil, "a": nil, "3-1": nil, "^1": nil, "0-": nil} {
		if got, ok := CPUSet(s); ok != (want != nil) || !slices.Equal(got, want) {
			t.Errorf("%q: %v %v", s, got, ok)
		}
	}
	for s, want := range map[string]string{"3:0.0": "0000:03:00.0", " 0000:0A:1f.7 ": "0000:0a:1f.7", "nonsense": "nonsense"} {
		if got := NormalPCI(s); got != want {
			t.Errorf("%q: %q", s, got)
		}
	}
}

func TestHardwareChanges(t *testing.T) {
	str := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		ask    HardwareChange
		fields string // that differ afterwards
		right  func(VMSpec) bool
	}{
		"take everything away": {HardwareChange{Watchdog: &Watchdog{Model: "none"}, RNG: &RNG{Source: "none"}, RemoveFilesystems: []string{"a"}, RemoveHostDevices: []string{"0000:03:00.0"}, CPUPins: &[]CPUPin{},
			EmulatorPins: str(""), NUMATune: &NUMATune{Mode: "none"}, Hugepages: &Hugepages{Off: true}, CPUFeatures: &[]CPUFeature{}, RemoveMemoryDevices: []int{0}},
			"cpu_features cpu_pins emulator_pins filesystems.a host_devices.0000:03:00.0 hugepages memory_bytes memory_devices.0 max_memory_bytes numa_tune rng watchdog",
			func(s VMSpec) bool { return s.MemoryBytes == 2*GiB && s.Watchdog == nil && len(s.Filesystems) == 0 }},
		"another module": {HardwareChange{AddMemoryDevices: []MemoryDevice{{SizeBytes: GiB}}}, "memory_bytes memory_devices.1 max_memory_bytes",
			func(s VMSpec) bool { return s.MemoryBytes == 4*GiB && s.MemoryDevices[1].Slot == 1 }},
		"another directory": {HardwareChange{AddFilesystems: []Filesystem{{"/srv/b", "b"}}}, "filesystems.b", func(s VMSpec) bool { return s.SharedMemory }},
		"another device":    {HardwareChange{AddHostDevices: []HostDevice{{Kind: "usb", Address: "1:4"}}}, "host_devices.1:4", func(s VMSpec) bool { return len(s.HostDevices) == 2 }},
		"other settings": {HardwareChange{Watchdog: &Watchdog{Model: "ib700", Action: "pause"}, RNG: &RNG{Source: "/dev/random"}, NUMATune: &NUMATune{Mode: "interleave", Nodes: "0-1"}, Hugepages: &Hugepages{},
			HotplugMemory: &HotplugMemory{MaxBytes: 16 * GiB}}, "hotplug_memory hugepages numa_tune rng watchdog", func(s VMSpec) bool { return s.HotplugMemory.Slots == defaultSlots }},
	} {
		was := machine()
		if c.ask.Empty() {
			t.Errorf("%s is said to be nothing", name)
		}
		now, err := VMChange{HardwareChange: c.ask}.Apply(was)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var fields []string
		for _, d := range Diff(was, now) {
			fields = append(fields, d.Field)
			if d.Old == d.New || d.Label == "" {
				t.Errorf("%s: %+v", name, d)
			}
		}
		want := strings.Fields(c.fields)
		slices.Sort(fields)
		slices.Sort(want)
		if !slices.Equal(fields, want) || !c.right(now) {
			t.Errorf("%s: %v\n%+v", name, fields, now)
		}
		if !reflect.DeepEqual(was, machine()) {
			t.Errorf("%s altered what was", name)
		}
	}
	for name, ask := range map[string]HardwareChange{"directory": {RemoveFilesystems: []string{"x"}}, "device": {RemoveHostDevices: []string{"1:1"}}, "module": {RemoveMemoryDevices: []int{9}}} {
		if _, err := (VMChange{HardwareChange: ask}).Apply(machine()); !Is(err, Invalid) {
			t.Errorf("taking away a %s that is not there: %v", name, err)
		}
	}
	bare := VMSpec{Name: "bare", VCPUs: 2, MemoryBytes: GiB}
	now, err := VMChange{HardwareChange: HardwareChange{HotplugMemory: &HotplugMemory{MaxBytes: 4 * GiB, Slots: 2}}}.Apply(bare)
	if err != nil || len(now.NUMA) != 1 || now.NUMA[0] != (NUMANode{"0-1", GiB}) {
		t.Errorf("room for modules needs a node: %+v (%v)", now.NUMA, err)
	}
}

func TestDevicesAreFoundByWhatIsAsked(t *testing.T) {
	gpu := Device{HostID: "h", Name: "pci_0000_03_00_0", Kind: "pci", Address: "0000:03:00.0", Model: "10de:2230", Class: "gpu"}
	stick := Device{HostID: "h", Name: "usb_1", Kind: "usb", Address: "3:7", Model: "046d:c52b", Class: "usb"}
	for _, c := range []struct {
		want HostDevice
		d    Device
		ok   bool
	}{
		{HostDevice{Class: "GPU"}, gpu, true}, {HostDevice{Class: "10de:2230"}, gpu, true}, {HostDevice{Class: "usb"}, gpu, false}, {HostDevice{Kind: "usb", Class: "gpu"}, gpu, false},
		{HostDevice{Device: "pci_0000_03_00_0"}, gpu, true}, {HostDevice{Kind: "pci", Address: "3:0.0"}, gpu, true}, {HostDevice{Kind: "usb", Address: "046d:c52b"}, stick, true},
		{HostDevice{Kind: "usb", Address: "3:7"}, stick, true}, {HostDevice{Kind: "usb", Address: "3:8"}, stick, false}, {HostDevice{}, stick, false},
	} {
		if c.d.Matches(c.want) != c.ok {
			t.Errorf("%+v and %+v", c.want, c.d)
		}
	}
	live := VMSpec{Hardware: Hardware{HostDevices: []HostDevice{{Kind: "usb", Address: "3:7"}}}}
	held := DeviceHolders([]Device{gpu, stick}, []VM{{Name: "a", HostID: "h", Config: VMSpec{Hardware: Hardware{HostDevices: []HostDevice{gpu.Settled()}}}, Live: &live}, {Name: "b", HostID: "other", Config: live}})
	if held[gpu.Name].Name != "a" || held[stick.Name].Name != "a" || len(held) != 2 {
		t.Errorf("%+v", held)
	}
}

func TestHardwareInWords(t *testing.T) {
	for want, got := range map[string]string{
		"none": (*Watchdog)(nil).Describe(), "i6300esb, then reset": (&Watchdog{Model: "i6300esb"}).Describe(), "/dev/random": (&RNG{Source: "/dev/random"}).Describe(),
		"/dev/urandom, at most 5 bytes in 9 ms": (&RNG{"/dev/urandom", 5, 9}).Describe(), "any gpu": HostDevice{Class: "gpu"}.Describe(), "usb_1": HostDevice{Device: "usb_1"}.Describe(),
		"PCI 0000:03:00.0": HostDevice{Kind: "pci", Address: "0000:03:00.0"}.Describe(), "default": (*NUMATune)(nil).Describe(), "strict 0-1": (&NUMATune{"strict", "0-1"}).Describe(), "off": (*Hugepages)(nil).Describe(),
		"the host's default size": (&Hugepages{}).Describe(), "2 MiB": (&Hugepages{SizeBytes: 2 * MiB}).Describe(), "up to 8 GiB in 4 slots": (&HotplugMemory{8 * GiB, 4}).Describe(),
		"1 GiB in node 2": MemoryDevice{SizeBytes: GiB, Node: 2}.Describe(), "0 on 1-2; 1 on 3": DescribePins([]CPUPin{{0, "1-2"}, {1, "3"}}), "vCPUs 0-1 with 1 GiB": DescribeNUMA([]NUMANode{{"0-1", GiB}}),
		"+aes -svm x": DescribeFeatures([]CPUFeature{{"svm", "forbid"}, {"x", "optional"}, {"aes", "force"}}),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
