package preflight

import (
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/domain/placement"
)

func host(name string) placement.Candidate {
	return placement.Candidate{
		Host: domain.Host{ID: "host_" + name, Name: name, URI: "qemu+tls://" + name + "/system", State: domain.HostConnected, Facts: domain.HostFacts{Driver: "QEMU", UUID: "uuid-" + name, Hostname: name,
			Arch: "x86_64", CPUModel: "EPYC", CPUVendor: "AMD", MemoryBytes: 64 * domain.GiB, Machines: []string{"pc-q35-7.2"}, HypervisorVersion: "7.2.0", MaxVCPUs: 64,
			UEFI: domain.Capability{OK: true}, SecureBoot: domain.Capability{OK: true}, TPM: domain.Capability{OK: true}, KVM: domain.Capability{OK: true}}},
		Pools:    []domain.Pool{{ID: "pool_" + name, HostID: "host_" + name, Name: "default", Active: true, Target: "/images", AvailableBytes: 100 * domain.GiB}},
		Networks: []domain.Network{{Name: "lan", Active: true, Mode: "bridge", Bridge: "br0"}},
	}
}

// usual is a running VM with one local disk and one card that may go from a to b.
func usual() Input {
	spec := domain.VMSpec{Name: "web", VCPUs: 2, MemoryBytes: domain.GiB, Machine: "pc-q35-7.2", Accel: domain.AccelKVM,
		Disks: []domain.Disk{{Target: "vda", Source: "/images/web.qcow2", Format: "qcow2"}, {Target: "sda", Device: "cdrom"}}, NICs: []domain.NIC{{Network: "lan"}}}
	live := spec
	return Input{VM: domain.VM{ID: "vm_1", UUID: "u1", Name: "web", State: domain.VMRunning, Config: spec, Live: &live, XML: "<domain/>"}, From: host("a"), To: host("b"),
		Volumes: []domain.Volume{{HostID: "host_a", PoolID: "pool_a", Pool: "default", Name: "web.qcow2", Path: "/images/web.qcow2", Format: "qcow2", CapacityBytes: 10 * domain.GiB, AllocationBytes: domain.GiB}}}
}

func level(p Plan, name string) domain.CheckLevel {
	worst := domain.CheckLevel("")
	for _, c := range p.Checks {
		if c.Name == name && (worst == "" || worst == domain.CheckPass || c.Level == domain.CheckFail) {
			worst = c.Level
		}
	}
	return worst
}

func TestUsualMove(t *testing.T) {
	p := Look(usual())
	if !p.Allowed() || p.Mode != domain.MigrateLive || p.URI != "qemu+tls://b/system" || !p.TLS || p.CopyBytes() != domain.GiB {
		t.Fatalf("%+v", p)
	}
	if len(p.Disks) != 1 || p.Disks[0].ToPool != "default" || p.Disks[0].ToVolume != "web.qcow2" || p.Disks[0].Stays {
		t.Errorf("the disk: %+v", p.Disks)
	}
	for _, c := range p.Checks {
		if c.Message == "" || !strings.HasSuffix(c.Message, ".") || c.Level == domain.CheckFail && c.Fix == "" {
			t.Errorf("%+v is not fit for a person", c)
		}
	}
}

func TestWhatStandsInTheWay(t *testing.T) {
	for name, c := range map[string]struct {
		alter func(*Input)
		check string
		want  domain.CheckLevel
	}{
		"same host":           {func(in *Input) { in.To = in.From }, "host", domain.CheckFail},
		"away":                {func(in *Input) { in.To.Host.State = domain.HostAway }, "host", domain.CheckFail},
		"source away":         {func(in *Input) { in.From.Host.State = domain.HostAway }, "source", domain.CheckFail},
		"maintenance":         {func(in *Input) { in.To.Host.Maintenance = true }, "host", domain.CheckFail},
		"other hypervisor":    {func(in *Input) { in.To.Host.Facts.Driver = "TEST" }, "host", domain.CheckFail},
		"one machine twice":   {func(in *Input) { in.To.Host.Facts.UUID = in.From.Host.Facts.UUID }, "host", domain.CheckFail},
		"stopped, live":       {func(in *Input) { in.VM.State, in.Mode = domain.VMStopped, domain.MigrateLive }, "state", domain.CheckFail},
		"running, cold":       {func(in *Input) { in.Mode = domain.MigrateCold }, "state", domain.CheckFail},
		"paused":              {func(in *Input) { in.VM.State = domain.VMPaused }, "state", domain.CheckPass},
		"paused, cold":        {func(in *Input) { in.VM.State, in.Mode = domain.VMPaused, domain.MigrateCold }, "state", domain.CheckFail},
		"paused, variables":   {func(in *Input) { in.VM.State, in.VM.Live.Firmware = domain.VMPaused, domain.FirmwareUEFI }, "nvram", domain.CheckWarn},
		"paused again":        {func(in *Input) { in.VM.State, in.Arrived = domain.VMPaused, true }, "state", domain.CheckFail},
		"clocks apart":        {func(in *Input) { in.Skew = 40 * time.Second }, "clock", domain.CheckWarn},
		"saved":               {func(in *Input) { in.VM.State = domain.VMSaved }, "state", domain.CheckFail},
		"snapshots":           {func(in *Input) { in.Snapshots = 2 }, "snapshots", domain.CheckFail},
		"name taken":          {func(in *Input) { in.There = []domain.VM{{UUID: "u2", Name: "web"}} }, "name", domain.CheckFail},
		"UUID taken":          {func(in *Input) { in.There = []domain.VM{{UUID: "u1", Name: "x"}} }, "name", domain.CheckFail},
		"other architecture":  {func(in *Input) { in.To.Host.Facts.Arch = "aarch64" }, "cpu", domain.CheckFail},
		"no KVM":              {func(in *Input) { in.To.Host.Facts.KVM.OK = false }, "cpu", domain.CheckFail},
		"emulated":            {func(in *Input) { in.VM.Live.Accel = domain.AccelTCG; in.To.Host.Facts.CPUModel = "Xeon" }, "cpu", domain.CheckPass},
		"passthrough":         {func(in *Input) { in.VM.Live.CPU = "host-passthrough"; in.To.Host.Facts.CPUModel = "Xeon" }, "cpu", domain.CheckFail},
		"other processor":     {func(in *Input) { in.To.Host.Facts.CPUModel = "Xeon" }, "cpu", domain.CheckWarn},
		"compared":            {func(in *Input) { in.To.Host.Facts.CPUModel = "Xeon"; in.CPU = domain.CPUSuperset }, "cpu", domain.CheckPass},
		"compared, cannot":    {func(in *Input) { in.CPU = domain.CPUIncompatible }, "cpu", domain.CheckFail},
		"compared, emulated":  {func(in *Input) { in.VM.Live.Accel = domain.AccelTCG; in.CPU = domain.CPUIncompatible }, "cpu", domain.CheckPass},
		"compared, same host": {func(in *Input) { in.VM.Live.CPU = "host-passthrough"; in.CPU = domain.CPUIncompatible }, "cpu", domain.CheckPass},
		"machine":             {func(in *Input) { in.To.Host.Facts.Machines = []string{"pc"} }, "machine", domain.CheckFail},
		"too large":           {func(in *Input) { in.VM.Live.MemoryBytes = 128 * domain.GiB }, "memory", domain.CheckFail},
		"no room":             {func(in *Input) { in.To.UsedMemory = 64 * domain.GiB }, "memory", domain.CheckFail},
		"vCPUs":               {func(in *Input) { in.VM.Live.VCPUs = 100 }, "vcpus", domain.CheckFail},
		"firmware":            {func(in *Input) { in.VM.Live.Firmware = domain.FirmwareUEFI; in.To.Host.Facts.UEFI.OK = false }, "firmware", domain.CheckFail},
		"secure boot":         {func(in *Input) { in.VM.Live.Firmware = domain.FirmwareUEFISecure }, "firmware", domain.CheckPass},
		"TPM":                 {func(in *Input) { in.VM.Live.TPM = true; in.To.Host.Facts.TPM.OK = false }, "tpm", domain.CheckFail},
		"pool full":           {func(in *Input) { in.To.Pools[0].AvailableBytes = 5 }, "space", domain.CheckFail},
		"pool not there":      {func(in *Input) { in.Disks = map[string]string{"vda": "fast"} }, "disks", domain.CheckFail},
		"pool stopped":        {func(in *Input) { in.To.Pools[0].Active = false; in.Disks = map[string]string{"vda": "default"} }, "disks", domain.CheckFail},
		"no pool":             {func(in *Input) { in.To.Pools = nil }, "disks", domain.CheckFail},
		"said to be shared":   {func(in *Input) { in.Disks = map[string]string{"vda": Shared} }, "disks", domain.CheckFail},
		"disk in no pool":     {func(in *Input) { in.Volumes = nil }, "disks", domain.CheckFail},
		"overlay":             {func(in *Input) { in.Volumes[0].Backing = "/images/base.qcow2" }, "disks", domain.CheckWarn},
		"overlay, stopped":    {func(in *Input) { in.Volumes[0].Backing = "/b"; in.VM.State, in.VM.Live = domain.VMStopped, nil }, "disks", domain.CheckFail},
		"encrypted":           {func(in *Input) { in.Volumes[0].Encrypted = true }, "disks", domain.CheckFail},
		"CD-ROM":              {func(in *Input) { in.VM.Live.Disks[1].Source = "/images/x.iso" }, "disks", domain.CheckFail},
		"network":             {func(in *Input) { in.To.Networks = nil }, "networks", domain.CheckFail},
		"network stopped":     {func(in *Input) { in.To.Networks[0].Active = false }, "networks", domain.CheckFail},
		"NAT":                 {func(in *Input) { in.To.Networks[0].Mode = "nat" }, "networks", domain.CheckWarn},
		"bridge":              {func(in *Input) { in.VM.Live.NICs = []domain.NIC{{Bridge: "br9"}} }, "networks", domain.CheckFail},
		"bridge of a network": {func(in *Input) { in.VM.Live.NICs = []domain.NIC{{Bridge: "br0"}} }, "networks", domain.CheckPass},
		"passed-through":      {func(in *Input) { in.VM.XML = "<hostdev/>" }, "devices", domain.CheckFail},
		"virtiofs":            {func(in *Input) { in.VM.XML = "<filesystem/>" }, "devices", domain.CheckFail},
		"kernel":              {func(in *Input) { in.VM.Live.Boot.Kernel = "/k" }, "kernel", domain.CheckWarn},
		"plain TCP":           {func(in *Input) { in.To.Host.URI = "qemu+tcp://b/system" }, "route", domain.CheckWarn},
		"TLS demanded":        {func(in *Input) { in.To.Host.URI = "qemu+tcp://b/system"; in.Policy.RequireTLS = true }, "route", domain.CheckFail},
		"by SSH":              {func(in *Input) { in.To.Host.URI = "qemu+ssh://root@b/system" }, "route", domain.CheckFail},
		"older QEMU":          {func(in *Input) { in.To.Host.Facts.HypervisorVersion = "6.2.0" }, "versions", domain.CheckWarn},
	} {
		in := usual()
		c.alter(&in)
		p := Look(in)
		if got := level(p, c.check); got != c.want || (c.want == domain.CheckFail) == p.Allowed() {
			t.Errorf("%s: %s is %q, want %q; allowed %v: %+v", name, c.check, got, c.want, p.Allowed(), p.Checks)
		}
	}
}

func TestMapsAndSharedStorage(t *testing.T) {
	in := usual()
	in.Networks = map[string]string{"lan": "dmz"}
	in.To.Networks = []domain.Network{{Name: "dmz", Active: true, Mode: "bridge"}}
	in.To.Pools = append(in.To.Pools, domain.Pool{ID: "pool_a", Name: "nfs", Active: true})
	p := Look(in)
	if !p.Allowed() || p.Networks["lan"] != "dmz" || len(p.Disks) != 1 || !p.Disks[0].Stays || p.Unsafe {
		t.Errorf("%+v", p)
	}
	in = usual()
	in.Disks = map[string]string{"vda": Shared}
	in.Volumes = append(in.Volumes, domain.Volume{HostID: "host_b", Pool: "default", Name: "web.qcow2", Path: "/images/web.qcow2", CapacityBytes: 10 * domain.GiB})
	if p = Look(in); !p.Allowed() || !p.Disks[0].Asserted || !p.Unsafe {
		t.Errorf("said to be shared: %+v", p)
	}
	in.Disks = nil
	if p = Look(in); p.Disks[0].ToVolume != "web-moved2.qcow2" {
		t.Errorf("a name that is taken gives %+v", p.Disks)
	}
	in = usual()
	in.VM.State, in.VM.Live = domain.VMStopped, nil
	in.To.UsedMemory = 64 * domain.GiB
	if p = Look(in); !p.Allowed() || p.Mode != domain.MigrateCold || p.URI != "" || level(p, "memory") != domain.CheckWarn {
		t.Errorf("stopped: %+v", p)
	}
	in.VM.Config.TPM, in.VM.Config.Firmware = true, domain.FirmwareUEFI
	if p = Look(in); level(p, "tpm") != domain.CheckFail || level(p, "nvram") != domain.CheckFail {
		t.Errorf("with a TPM and variables: %+v", p.Checks)
	}
}

// linked is usual with a disk built on a copy of an image, which the target has in a pool of another path.
func linked() Input {
	in := usual()
	in.Volumes[0].Backing, in.Volumes[0].BackingFormat = "/images/image-debian", "qcow2"
	in.Volumes = append(in.Volumes,
		domain.Volume{HostID: "host_a", PoolID: "pool_a", Pool: "default", Name: "image-debian", Path: "/images/image-debian", Format: "qcow2", AllocationBytes: 2 * domain.GiB},
		domain.Volume{HostID: "host_b", PoolID: "pool_b", Pool: "default", Name: "image-debian", Path: "/data/image-debian", Format: "qcow2", AllocationBytes: 2 * domain.GiB})
	in.Images = []domain.ImageCopy{
		{VersionID: "imgv_1", HostID: "host_a", PoolID: "pool_a", Volume: "image-debian", State: domain.CopyReady},
		{VersionID: "imgv_1", HostID: "host_b", PoolID: "pool_b", Volume: "image-debian", State: domain.CopyReady}}
	return in
}

func TestADiskOnAnImageThatTheTargetHas(t *testing.T) {
	stop := func(in *Input) { in.VM.State, in.VM.Live = domain.VMStopped, nil }
	for name, c := range map[string]struct {
		alter func(*Input)
		base  string // of the disk; "" when it goes as a whole
		level domain.CheckLevel
		bytes int64
	}{
		"as it is":                      {func(in *Input) {}, "/data/image-debian", domain.CheckPass, domain.GiB},
		"another version is there":      {func(in *Input) { in.Images[1].VersionID = "imgv_2" }, "", domain.CheckWarn, 3 * domain.GiB},
		"its copy is being written":     {func(in *Input) { in.Images[1].State = domain.CopyPlacing }, "", domain.CheckWarn, 3 * domain.GiB},
		"the copy's file is gone":       {func(in *Input) { in.Volumes = in.Volumes[:2] }, "", domain.CheckWarn, 3 * domain.GiB},
		"the pool of the copy is down":  {func(in *Input) { in.To.Pools[0].ID = "pool_c" }, "", domain.CheckWarn, 3 * domain.GiB},
		"no image of the library":       {func(in *Input) { in.Images = nil }, "", domain.CheckWarn, 3 * domain.GiB},
		"the image is built on another": {func(in *Input) { in.Volumes[1].Backing = "/images/older" }, "", domain.CheckWarn, 3 * domain.GiB},
		"another disk's image is not there": {func(in *Input) {
			in.VM.Live.Disks = append(in.VM.Live.Disks, domain.Disk{Target: "vdb", Source: "/images/data.qcow2", Format: "qcow2"})
			in.Volumes = append(in.Volumes, domain.Volume{HostID: "host_a", PoolID: "pool_a", Pool: "default", Name: "data.qcow2", Path: "/images/data.qcow2", Format: "qcow2", Backing: "/images/other", AllocationBytes: domain.GiB})
		}, "", domain.CheckWarn, 4 * domain.GiB},
		"another disk has no image": {func(in *Input) {
			in.VM.Live.Disks = append(in.VM.Live.Disks, domain.Disk{Target: "vdb", Source: "/images/data.qcow2", Format: "qcow2"})
			in.Volumes = append(in.Volumes, domain.Volume{HostID: "host_a", PoolID: "pool_a", Pool: "default", Name: "data.qcow2", Path: "/images/data.qcow2", Format: "qcow2", AllocationBytes: domain.GiB})
		}, "/data/image-debian", domain.CheckPass, 2 * domain.GiB},
		"the image lies on storage that both see": {func(in *Input) {
			in.Volumes[1].PoolID, in.Volumes[2].PoolID, in.Images = "pool_nfs", "pool_nfs", nil
			in.To.Pools = append(in.To.Pools, domain.Pool{ID: "pool_nfs", Name: "default", Active: true})
		}, "/data/image-debian", domain.CheckPass, domain.GiB},
		"stopped, at another path":  {stop, "", domain.CheckFail, domain.GiB},
		"stopped, at the same path": {func(in *Input) { stop(in); in.Volumes[2].Path = "/images/image-debian" }, "/images/image-debian", domain.CheckPass, domain.GiB},
	} {
		in := linked()
		c.alter(&in)
		p := Look(in)
		if got := level(p, "disks"); got != c.level || p.CopyBytes() != c.bytes || p.Disks[0].Base != c.base || p.Incremental() != (c.base != "") {
			t.Errorf("%s: %s, %d bytes, disks %+v; want %s, %d, on %q: %+v", name, got, p.CopyBytes(), p.Disks, c.level, c.bytes, c.base, p.Checks)
		}
	}
}
