package provision

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/blocks"
)

// Change is the input of vm.change.
type Change struct {
	VMID   string          `json:"vm_id"`
	HostID string          `json:"host_id"`
	UUID   string          `json:"uuid"`
	Name   string          `json:"name"`
	Change domain.VMChange `json:"change"` // settled
	// Images names the versions that added disks begin as, by their ids.
	Images map[string]string `json:"images,omitempty"`
	// Drop are volumes that are deleted when the VM has let go of them.
	Drop []blocks.Volume `json:"drop,omitempty"`
	// Seed is the medium of a first boot that is made for one of the added drives.
	Seed *SeedVolume `json:"seed,omitempty"`
}

func (d Deps) changeSteps(in Change) []jobs.Step {
	vs := newVolumes(in.Change.AddDisks)
	var steps []jobs.Step
	if in.Seed != nil {
		steps = append(steps, d.addSeed(in.HostID, in.VMID, *in.Seed))
	}
	steps = append(steps, jobs.Step{
		Name:    "look at the VM",
		Timeout: hostTimeout,
		NoUndo:  "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			g, err := host.Guest(ctx, in.UUID)
			if err != nil {
				return err
			}
			l, err := load(r)
			if err != nil {
				return err
			}
			l.Before = &g
			if err := r.Save(ctx, l); err != nil {
				return err
			}
			return checkSources(ctx, r, host, in.Change.AddDisks)
		},
	})
	steps = append(steps, d.diskSteps(in.HostID, in.Change.AddDisks, in.Images)...)
	steps = append(steps, jobs.Step{
		Name:    "change the VM",
		Timeout: 5 * time.Minute,
		Do: func(ctx context.Context, r *jobs.Run) error {
			return d.change(ctx, r, in, len(vs) > 0 || in.Seed != nil)
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.unchange(ctx, r, in) },
	})
	if len(in.Drop) > 0 {
		steps = append(steps, jobs.Step{
			Name: "delete the disk", Timeout: 30 * time.Minute, Final: true, NoUndo: "A deleted disk cannot be had back.",
			Do: func(ctx context.Context, r *jobs.Run) error {
				return blocks.Drop(ctx, r, d.DB, d.Hosts, d.Mirror, in.HostID, in.UUID, in.Drop)
			},
		})
	}
	return steps
}

func (d Deps) change(ctx context.Context, r *jobs.Run, in Change, inventory bool) error {
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	l, err := load(r)
	if err != nil {
		return err
	}
	todo := in.Change
	if todo.AddDisks, err = d.shown(ctx, r, in.HostID, todo.AddDisks); err != nil {
		return err
	}
	if l.ChangeStarted {
		// Some of it may be done; asking again for a disk that is there would be refused.
		g, err := host.Guest(ctx, in.UUID)
		if err != nil {
			return err
		}
		if todo, err = remaining(ctx, host, todo, g.Config); err != nil {
			return err
		}
	} else {
		l.ChangeStarted = true
		if err := r.Save(ctx, l); err != nil {
			return err
		}
	}
	if !todo.Empty() {
		if err := blocks.EnsureFor(ctx, d.DB, host, todo.AddDisks); err != nil {
			return err
		}
		names := filters(todo.AddNICs)
		for _, n := range todo.ChangeNICs {
			if n.Filter != nil && *n.Filter != "" {
				names = append(names, *n.Filter)
			}
		}
		if err := d.Nets.Ensure(ctx, host, in.HostID, names); err != nil {
			return err
		}
		notes, err := host.Change(ctx, in.UUID, todo)
		if err != nil {
			return err
		}
		for _, n := range notes {
			r.Log("%s", n)
		}
		l.Notes = append(l.Notes, notes...)
	}
	vm, err := d.Mirror.Guest(ctx, host, in.HostID, in.UUID, cause(r, ""))
	if err != nil {
		return err
	}
	if inventory {
		if err := d.Mirror.Inventory(ctx, host, in.HostID, cause(r, "")); err != nil {
			return err
		}
	}
	for _, p := range vm.Pending {
		r.Log("%s: %s instead of %s after a restart.", p.Label, p.New, p.Old)
	}
	return r.Result(Result{VMID: in.VMID, Notes: l.Notes, Pending: vm.Pending})
}

// remaining leaves out of a change what the definition shows as done. Plain values may be set twice.
func remaining(ctx context.Context, host hv.Host, c domain.VMChange, now domain.VMSpec) (domain.VMChange, error) {
	var add []domain.Disk
	for _, disk := range c.AddDisks {
		src, err := sourceOf(ctx, host, disk)
		if err != nil {
			return c, err
		}
		if src == "" || !has(now.Disks, disk, src) {
			add = append(add, disk)
		}
	}
	c.AddDisks = add
	c.AddNICs = slices.DeleteFunc(slices.Clone(c.AddNICs), func(n domain.NIC) bool {
		return slices.ContainsFunc(now.NICs, func(x domain.NIC) bool { return strings.EqualFold(x.MAC, n.MAC) })
	})
	c.RemoveDisks = slices.DeleteFunc(slices.Clone(c.RemoveDisks), func(t string) bool {
		return !slices.ContainsFunc(now.Disks, func(x domain.Disk) bool { return x.Target == t })
	})
	c.RemoveNICs = slices.DeleteFunc(slices.Clone(c.RemoveNICs), func(m string) bool {
		return !slices.ContainsFunc(now.NICs, func(x domain.NIC) bool { return strings.EqualFold(x.MAC, m) })
	})
	c.HardwareChange = remainingHardware(c.HardwareChange, now.Hardware)
	return c, nil
}

// sourceOf gives the path that a settled disk shows.
func sourceOf(ctx context.Context, host hv.Host, disk domain.Disk) (string, error) {
	if disk.Source != "" || disk.Volume == "" {
		return disk.Source, nil
	}
	v, err := host.Volume(ctx, disk.Pool, disk.Volume)
	if domain.Is(err, domain.NotFound) {
		return "", nil
	}
	return v.Path, err
}

func has(disks []domain.Disk, wanted domain.Disk, src string) bool {
	return slices.ContainsFunc(disks, func(x domain.Disk) bool {
		return x.Source == src || wanted.Volume != "" && x.Pool == wanted.Pool && x.Volume == wanted.Volume
	})
}

// unchange takes back what was added or set while the VM runs, then puts the definition back as it was, to the letter.
func (d Deps) unchange(ctx context.Context, r *jobs.Run, in Change) error {
	l, err := load(r)
	if err != nil || !l.ChangeStarted || l.Before == nil {
		return err
	}
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	g, err := host.Guest(ctx, in.UUID)
	if domain.Is(err, domain.NotFound) {
		return nil // the VM itself is gone
	}
	if err != nil {
		return err
	}
	if g.Live != nil && l.Before.Live != nil && !reflect.DeepEqual(g.Live, l.Before.Live) {
		back, err := d.inverse(ctx, host, in.Change, *l.Before, g)
		if err != nil {
			return err
		}
		if !back.Empty() {
			if _, err := host.Change(ctx, in.UUID, back); err != nil {
				return err
			}
		}
		if g, err = host.Guest(ctx, in.UUID); err != nil {
			return err
		}
	}
	if g.XML != l.Before.XML {
		if _, err := host.DefineXML(ctx, l.Before.XML); err != nil {
			return err
		}
	}
	if g.Autostart != l.Before.Autostart {
		if err := host.SetAutostart(ctx, in.UUID, l.Before.Autostart); err != nil {
			return err
		}
	}
	_, err = d.Mirror.Guest(ctx, host, in.HostID, in.UUID, cause(r, "The change of %s was taken back.", in.Name))
	return err
}

// inverse is the change that leads from what runs now back to what ran before.
func (d Deps) inverse(ctx context.Context, host hv.Host, c domain.VMChange, before, now domain.Guest) (domain.VMChange, error) {
	var back domain.VMChange
	back.HardwareChange = inverseHardware(c.HardwareChange, before.Live.Hardware, now.Live.Hardware)
	if c.VCPUs != nil && now.Live.VCPUs != before.Live.VCPUs {
		back.VCPUs = &before.Live.VCPUs
	}
	if c.MemoryBytes != nil && now.Live.MemoryBytes != before.Live.MemoryBytes {
		back.MemoryBytes = &before.Live.MemoryBytes
	}
	if c.Media != nil {
		for _, disk := range before.Live.Disks {
			if disk.Target == c.Media.Target {
				back.Media = &domain.Media{Target: disk.Target, Source: disk.Source}
			}
		}
	}
	for _, ch := range c.ChangeDisks {
		for _, disk := range before.Live.Disks {
			if disk.Target == ch.Target && ch.Tune != nil {
				back.ChangeDisks = append(back.ChangeDisks, domain.DiskChange{Target: disk.Target, Tune: &disk.Tune})
			}
		}
	}
	for _, disk := range c.AddDisks {
		src, err := sourceOf(ctx, host, disk)
		if err != nil {
			return back, err
		}
		for _, x := range now.Live.Disks {
			if src != "" && has([]domain.Disk{x}, disk, src) {
				back.RemoveDisks = append(back.RemoveDisks, x.Target)
			}
		}
	}
	for _, n := range c.AddNICs {
		if slices.ContainsFunc(now.Live.NICs, func(x domain.NIC) bool { return strings.EqualFold(x.MAC, n.MAC) }) {
			back.RemoveNICs = append(back.RemoveNICs, n.MAC)
		}
	}
	for _, n := range c.ChangeNICs {
		for _, was := range before.Live.NICs {
			if strings.EqualFold(was.MAC, n.MAC) {
				back.ChangeNICs = append(back.ChangeNICs, n.Back(was))
			}
		}
	}
	for _, disk := range before.Live.Disks {
		if slices.Contains(c.RemoveDisks, disk.Target) && !slices.ContainsFunc(now.Live.Disks, func(x domain.Disk) bool { return x.Target == disk.Target }) {
			disk.SizeBytes = 0
			back.AddDisks = append(back.AddDisks, disk)
		}
	}
	for _, n := range before.Live.NICs {
		gone := !slices.ContainsFunc(now.Live.NICs, func(x domain.NIC) bool { return strings.EqualFold(x.MAC, n.MAC) })
		if gone && slices.ContainsFunc(c.RemoveNICs, func(m string) bool { return strings.EqualFold(m, n.MAC) }) {
			n.Target = ""
			back.AddNICs = append(back.AddNICs, n)
		}
	}
	return back, nil
}
