package provision

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/domain/placement"
	"novacron/hv"
)

// Settle fixes everything about a new VM that its steps must not decide anew each time: UUID, MACs, pools, formats and names of new
// volumes. volumes is what the host lists; a name that is taken there is a Conflict.
func Settle(spec domain.VMSpec, on placement.Candidate, volumes []domain.Volume) (domain.VMSpec, error) {
	if spec.UUID == "" {
		spec.UUID = domain.NewUUID()
	}
	spec.NICs = settleNICs(spec.NICs)
	taken := names(volumes)
	disks, err := settleDisks(spec.Name, spec.Disks, on, taken, false)
	spec.Disks = disks
	return spec, err
}

func settleNICs(in []domain.NIC) []domain.NIC {
	out := slices.Clone(in)
	for i := range out {
		if out[i].MAC == "" {
			out[i].MAC = domain.NewMAC()
		}
		out[i].MAC = strings.ToLower(out[i].MAC)
	}
	return out
}

// names indexes volumes by pool and name.
func names(volumes []domain.Volume) map[string]domain.Volume {
	out := make(map[string]domain.Volume, len(volumes))
	for _, v := range volumes {
		out[key(v.Pool, v.Name)] = v
	}
	return out
}

// settleDisks names new volumes <vm>.qcow2, <vm>-1.qcow2 and so on. With skip, numbers that are taken are passed over (a disk added to a VM that
// exists); without, a taken name is a Conflict, since a new VM's disk should be found under its name.
func settleDisks(vm string, in []domain.Disk, on placement.Candidate, taken map[string]domain.Volume, skip bool) ([]domain.Disk, error) {
	out := slices.Clone(in)
	n := 0
	for i := range out {
		d := &out[i]
		if d.Pool != "" && d.Source != "" && !strings.HasPrefix(d.Source, "/") {
			d.Volume, d.Source = d.Source, "" // an existing volume by name
			continue
		}
		if d.Image != "" && d.Pool == "" {
			d.Pool = placement.PoolForImage(on) // of a CD-ROM too: it shows the copy itself
		}
		if !d.New() {
			continue
		}
		if d.Format == "" {
			d.Format = "qcow2"
		}
		if d.Pool == "" {
			d.Pool = placement.PoolFor(on)
		}
		if d.Volume == "" {
			for {
				d.Volume = volumeName(vm, n, d.Format)
				n++
				if _, used := taken[key(d.Pool, d.Volume)]; !used || !skip {
					break
				}
			}
		}
		if v, used := taken[key(d.Pool, d.Volume)]; used {
			err := volumeTaken(v).(*domain.Error)
			err.Fields = []domain.FieldError{{Field: fmt.Sprintf("disks.%d.volume", i), Msg: err.Msg, Want: "a name that is free, or this file as the source"}}
			return nil, err
		}
		taken[key(d.Pool, d.Volume)] = domain.Volume{Pool: d.Pool, Name: d.Volume}
	}
	return out, nil
}

func volumeName(vm string, n int, format string) string {
	ext := format
	if format == "raw" {
		ext = "img"
	}
	if n == 0 {
		return vm + "." + ext
	}
	return fmt.Sprintf("%s-%d.%s", vm, n, ext)
}

// NewVolumes lists the volumes that a settled spec makes.
func NewVolumes(spec domain.VMSpec) []hv.VolumeSpec { return newVolumes(spec.Disks) }

func newVolumes(disks []domain.Disk) []hv.VolumeSpec {
	var out []hv.VolumeSpec
	for _, d := range disks {
		if d.New() {
			out = append(out, hv.VolumeSpec{Pool: d.Pool, Name: d.Volume, Format: d.Format, SizeBytes: d.SizeBytes, SecretUUID: d.Secret})
		}
	}
	return out
}

// Locks names what a job that makes these volumes must hold besides the VM, so that no two jobs make one volume.
func Locks(hostID string, vs []hv.VolumeSpec) []string {
	var out []string
	for _, v := range vs {
		out = append(out, "volume:"+hostID+"/"+key(v.Pool, v.Name))
	}
	return out
}

// SettleChange does for an edit what Settle does for a new VM.
func SettleChange(vm string, c domain.VMChange, on placement.Candidate, volumes []domain.Volume) (domain.VMChange, error) {
	c.AddNICs = settleNICs(c.AddNICs)
	disks, err := settleDisks(vm, c.AddDisks, on, names(volumes), true)
	c.AddDisks = disks
	return c, err
}

// Copy is one volume that a clone copies.
type Copy struct {
	Pool string `json:"pool"`
	From string `json:"from"` // volume names
	To   string `json:"to"`
	Path string `json:"path"` // of From: what the definition names
}

// SettleClone decides a copy's UUID, MACs and volumes. Disks are copied; CD-ROMs, floppies and read-only disks are shared. A disk that is in no pool
// of the host cannot be copied.
func SettleClone(vm domain.VM, name string, volumes []domain.Volume) (spec domain.VMSpec, macs map[string]string, copies []Copy, err error) {
	spec = vm.Config
	spec.Name, spec.UUID = name, domain.NewUUID()
	spec.NICs, spec.Disks = slices.Clone(spec.NICs), slices.Clone(spec.Disks)
	macs = map[string]string{}
	for i, n := range spec.NICs {
		spec.NICs[i].MAC = domain.NewMAC()
		macs[n.MAC] = spec.NICs[i].MAC
	}
	taken := names(volumes)
	byPath := make(map[string]domain.Volume, len(volumes))
	for _, v := range volumes {
		byPath[v.Path] = v
	}
	n := 0
	for i, d := range spec.Disks {
		if Shared(d) {
			continue
		}
		v, ok := VolumeOf(d, taken, byPath)
		if !ok {
			return spec, nil, nil, domain.Errorf(domain.Conflict, "Disk %s (%s) is in no storage pool of its host, so it cannot be copied.", d.Target, orNone(d.Source)).
				WithFix("Make a storage pool for its directory on the host, then try again.")
		}
		to := volumeName(name, n, formatOf(d, v))
		n++
		if t, used := taken[key(v.Pool, to)]; used {
			return spec, nil, nil, volumeTaken(t)
		}
		taken[key(v.Pool, to)] = domain.Volume{Pool: v.Pool, Name: to}
		copies = append(copies, Copy{Pool: v.Pool, From: v.Name, To: to, Path: v.Path})
		spec.Disks[i].Pool, spec.Disks[i].Volume, spec.Disks[i].Source, spec.Disks[i].SizeBytes = v.Pool, to, "", 0
	}
	return spec, macs, copies, nil
}

// Shared reports whether a disk is one that several VMs may show and none of them owns: removable media and what is read only.
func Shared(d domain.Disk) bool {
	return d.Device == "cdrom" || d.Device == "floppy" || d.ReadOnly || d.Source == "" && d.Volume == ""
}

// VolumeOf finds the volume behind a disk.
func VolumeOf(d domain.Disk, byName, byPath map[string]domain.Volume) (domain.Volume, bool) {
	if d.Source != "" {
		if v, ok := byPath[d.Source]; ok {
			return v, true
		}
	}
	if d.Pool != "" && d.Volume != "" {
		v, ok := byName[key(d.Pool, d.Volume)]
		return v, ok
	}
	return domain.Volume{}, false
}

// Index makes the two maps that VolumeOf reads.
func Index(volumes []domain.Volume) (byName, byPath map[string]domain.Volume) {
	byPath = make(map[string]domain.Volume, len(volumes))
	for _, v := range volumes {
		byPath[v.Path] = v
	}
	return names(volumes), byPath
}

func formatOf(d domain.Disk, v domain.Volume) string {
	switch {
	case v.Format == "qcow2" || v.Format == "raw":
		return v.Format
	case d.Format != "":
		return d.Format
	}
	if ext := path.Ext(v.Name); ext == ".qcow2" {
		return "qcow2"
	}
	return "raw"
}

func orNone(s string) string {
	if s == "" {
		return "no file"
	}
	return s
}
