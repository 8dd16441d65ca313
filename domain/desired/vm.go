package desired

import (
	"encoding/json"
	"slices"
	"strings"

	"novacron/domain"
)

// VMEdit is what has to be asked of a VM so that it is as wanted.
type VMEdit struct {
	Change domain.VMChange
	Tags   *[]string
	Notes  *string
}

// EditVM turns the differences of a VM into what is asked for.
func EditVM(live, wanted json.RawMessage, fields []Field) (VMEdit, error) {
	var e VMEdit
	merged, err := Merged(KindVM, live, wanted, fields)
	if err != nil {
		return e, err
	}
	v, err := Decode[VM](merged)
	if err != nil {
		return e, err
	}
	s, err := newSides(KindVM, nil, live, wanted)
	if err != nil {
		return e, err
	}
	disks, nics := map[string]*domain.DiskChange{}, map[string]*domain.NICChange{}
	for _, f := range fields {
		path := strings.Split(f.Path, ".")
		switch path[0] {
		case "disks", "nics":
			if err := e.part(s, f, path, disks, nics); err != nil {
				return e, err
			}
		case "template", "parameters": // what they say is among the other fields
		case "title":
			e.Change.Title = &v.Title
		case "description":
			e.Change.Description = &v.Description
		case "vcpus":
			e.Change.VCPUs = &v.VCPUs
		case "max_vcpus":
			e.Change.MaxVCPUs = &v.MaxVCPUs
		case "topology":
			e.Change.Topology = v.Topology
		case "cpu":
			e.Change.CPU = &v.CPU
		case "memory_bytes":
			e.Change.MemoryBytes = &v.MemoryBytes
		case "machine":
			e.Change.Machine = &v.Machine
		case "firmware":
			e.Change.Firmware = &v.Firmware
		case "tpm":
			e.Change.TPM = &v.TPM
		case "boot":
			boot := domain.Boot{}
			if v.Boot != nil {
				boot = *v.Boot
			}
			e.Change.Boot = &boot
		case "autostart":
			on := v.Autostart != nil && *v.Autostart
			e.Change.Autostart = &on
		case "tags":
			tags := append([]string{}, v.Tags...)
			e.Tags = &tags
		case "notes":
			e.Notes = &v.Notes
		default:
			return e, domain.Errorf(domain.Unsupported, "%s of a VM cannot be changed by an apply.", f.Path).WithFix("Change it on the VM's page.")
		}
	}
	for _, t := range sortedKeys(disks) {
		e.Change.ChangeDisks = append(e.Change.ChangeDisks, *disks[t])
	}
	for _, m := range sortedKeys(nics) {
		e.Change.ChangeNICs = append(e.Change.ChangeNICs, *nics[m])
	}
	return e, nil
}

func sortedKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// part turns a difference of one disk or card into what is asked for.
func (e *VMEdit) part(s sides, f Field, path []string, disks map[string]*domain.DiskChange, nics map[string]*domain.NICChange) error {
	list, _ := s.wanted[path[0]].(map[string]any)
	k := path[1]
	raw, err := json.Marshal(list[k])
	if err != nil {
		return domain.Errorf(domain.Internal, "What is wanted cannot be written: %w", err)
	}
	if path[0] == "disks" {
		if len(path) == 2 && f.Why == WhyRemoved {
			e.Change.RemoveDisks = append(e.Change.RemoveDisks, k)
			return nil
		}
		d, err := Decode[domain.Disk](raw)
		if err != nil {
			return err
		}
		if len(path) == 2 {
			e.Change.AddDisks = append(e.Change.AddDisks, d)
			return nil
		}
		c := disks[k]
		if c == nil {
			c = &domain.DiskChange{Target: k}
			disks[k] = c
		}
		switch path[2] {
		case "bus":
			c.Bus = &d.Bus
		case "cache":
			c.Cache = &d.Cache
		case "discard":
			c.Discard = &d.Discard
		case "io_thread":
			c.IOThread = &d.IOThread
		case "serial":
			c.Serial = &d.Serial
		case "tune":
			c.Tune = &d.Tune
		default:
			return domain.Errorf(domain.Unsupported, "%s of a VM cannot be changed by an apply.", f.Path).WithFix("Change it on the VM's page.")
		}
		return nil
	}
	if len(path) == 2 && f.Why == WhyRemoved {
		e.Change.RemoveNICs = append(e.Change.RemoveNICs, k)
		return nil
	}
	n, err := Decode[domain.NIC](raw)
	if err != nil {
		return err
	}
	if len(path) == 2 {
		e.Change.AddNICs = append(e.Change.AddNICs, n)
		return nil
	}
	c := nics[k]
	if c == nil {
		c = &domain.NICChange{MAC: k}
		nics[k] = c
	}
	switch path[2] {
	case "network":
		c.Network = &n.Network
	case "bridge":
		c.Bridge = &n.Bridge
	case "openvswitch":
		c.OpenVSwitch = &n.OpenVSwitch
	case "model":
		c.Model = &n.Model
	case "down":
		c.Down = &n.Down
	case "bandwidth_in":
		c.BandwidthIn = n.BandwidthIn
	case "bandwidth_out":
		c.BandwidthOut = n.BandwidthOut
	case "vlan":
		c.VLAN = n.VLAN
	default:
		return domain.Errorf(domain.Unsupported, "%s of a VM cannot be changed by an apply.", f.Path).WithFix("Change it on the VM's page.")
	}
	return nil
}
