package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	"novacron/domain"
	"novacron/jobs"
)

// Delete is the input of vm.delete.
type Delete struct {
	VMID   string       `json:"vm_id"`
	HostID string       `json:"host_id"`
	UUID   string       `json:"uuid"`
	Name   string       `json:"name"`
	Files  []DeleteFile `json:"files"`           // the volumes that go; none: disks stay
	Bases  []string     `json:"bases,omitempty"` // ids of base disks that nothing needs once they are gone; each is judged again
}

// DeleteFile is one volume that goes with its VM.
type DeleteFile struct {
	Pool   string `json:"pool"`
	Volume string `json:"volume"`
	Path   string `json:"path"`
}

func (d Deps) deleteSteps(in Delete) []jobs.Step {
	steps := []jobs.Step{{
		Name:    "check the disks",
		Timeout: hostTimeout,
		NoUndo:  "It only looks, and notes what the VM was.",
		Do:      func(ctx context.Context, r *jobs.Run) error { return d.checkDelete(ctx, r, in) },
	}, {
		Name:    "power off",
		Timeout: 2 * time.Minute,
		NoUndo:  "What was in memory is gone; starting the VM again is not a way back.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			err = host.Stop(ctx, in.UUID)
			if domain.Is(err, domain.NotFound) {
				return nil
			}
			return err
		},
	}, {
		Name:    "remove the definition",
		Final:   true,
		NoUndo:  "The memory of a saved VM and the variables of its firmware go with the definition and cannot be had back.",
		Timeout: hostTimeout,
		Do:      func(ctx context.Context, r *jobs.Run) error { return d.undefine(ctx, r, in) },
	}}
	if len(in.Files) > 0 {
		steps = append(steps, jobs.Step{
			Name:    "delete the disks",
			NoUndo:  "A deleted disk cannot be had back.",
			Timeout: 30 * time.Minute,
			Do:      func(ctx context.Context, r *jobs.Run) error { return d.deleteFiles(ctx, r, in) },
		})
	}
	steps = append(steps, jobs.Step{
		Name:    "take it off the list",
		NoUndo:  "The VM is gone from its host.",
		Timeout: hostTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			if err := d.forget(ctx, r, in.VMID, "was deleted"); err != nil {
				return err
			}
			l, err := load(r)
			if err != nil {
				return err
			}
			if len(in.Files) > 0 {
				host, err := d.Hosts.Host(in.HostID)
				if err != nil {
					return err
				}
				if err := d.Mirror.Inventory(ctx, host, in.HostID, cause(r, "")); err != nil {
					return err
				}
			}
			return r.Result(Result{VMID: in.VMID, Deleted: l.Deleted})
		},
	})
	if len(in.Bases) > 0 {
		steps = append(steps, jobs.Step{
			Name:    "delete what was frozen for linked clones",
			NoUndo:  "A deleted disk cannot be had back.",
			Timeout: 30 * time.Minute,
			Do:      func(ctx context.Context, r *jobs.Run) error { return d.deleteBases(ctx, r, in) },
		})
	}
	return steps
}

// deleteBases comes when the VM is off the list: what is asked then knows of it no more.
func (d Deps) deleteBases(ctx context.Context, r *jobs.Run, in Delete) error {
	l, err := load(r)
	if err != nil {
		return err
	}
	gone, err := d.Images.RemoveBases(ctx, r, in.Bases)
	for _, path := range gone {
		if !slices.Contains(l.Deleted, path) {
			l.Deleted = append(l.Deleted, path)
		}
	}
	if serr := r.Save(ctx, l); serr != nil {
		return serr
	}
	if err != nil {
		return err
	}
	return r.Result(Result{VMID: in.VMID, Deleted: l.Deleted})
}

func (d Deps) checkDelete(ctx context.Context, r *jobs.Run, in Delete) error {
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	for _, f := range in.Files {
		if err := d.unused(ctx, in, f); err != nil {
			return err
		}
	}
	g, err := host.Guest(ctx, in.UUID)
	if domain.Is(err, domain.NotFound) {
		r.Log("%s is not defined on its host any more.", in.Name)
		return nil
	}
	if err != nil {
		return err
	}
	l, err := load(r)
	if err != nil {
		return err
	}
	l.Before = &g
	return r.Save(ctx, l)
}

// undefine is the point of no return: until the host has done it nothing is lost, and once it has, the rest only goes forward.
func (d Deps) undefine(ctx context.Context, r *jobs.Run, in Delete) error {
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	_, refused := host.Undefine(ctx, in.UUID)
	if refused == nil || domain.Is(refused, domain.Unavailable) {
		return refused
	}
	g, err := host.Guest(ctx, in.UUID)
	switch {
	case domain.Is(err, domain.NotFound):
		return nil
	case err != nil:
		return err
	}
	l, err := load(r)
	if err != nil {
		return err
	}
	if l.Before != nil && l.Before.State == domain.VMSaved && g.State != domain.VMSaved {
		r.Log("Its saved memory is gone: the host threw it away before it refused to remove the definition.")
	}
	return jobs.BeforeFinal(refused)
}

// unused checks once more that no other VM has the disk, or a disk that builds on it.
func (d Deps) unused(ctx context.Context, in Delete, f DeleteFile) error {
	vms, err := d.DB.HostVMs(ctx, in.HostID)
	if err != nil {
		return err
	}
	volumes, err := d.DB.Volumes(ctx, in.HostID, "")
	if err != nil {
		return err
	}
	if why := Users(f.Path, f.Pool, f.Volume, in.VMID, vms, volumes); why != "" {
		return domain.Errorf(domain.Conflict, "%s cannot be deleted: it %s.", f.Path, why).WithFix("Look at the list of files again; nothing was deleted.")
	}
	return nil
}

// Users says in words who else on the host needs a volume; "" means nobody. A volume that another one is built on counts as needed,
// unless the other one is a disk of the same VM.
func Users(path, pool, volume, exceptVM string, vms []domain.VM, volumes []domain.Volume) string {
	uses := func(disks []domain.Disk, path, pool, volume string) bool {
		for _, x := range disks {
			if path != "" && x.Source == path || volume != "" && x.Pool == pool && x.Volume == volume {
				return true
			}
		}
		return false
	}
	owner := func(path, pool, volume string) (other string, own bool) {
		for _, vm := range vms {
			if uses(vm.Config.Disks, path, pool, volume) || vm.Live != nil && uses(vm.Live.Disks, path, pool, volume) {
				if vm.ID == exceptVM {
					own = true
				} else if other == "" {
					other = vm.Name
				}
			}
		}
		return other, own
	}
	if other, _ := owner(path, pool, volume); other != "" {
		return "is also a disk of " + other
	}
	for _, v := range volumes {
		if v.Backing == "" || v.Backing != path || v.Path == path {
			continue
		}
		other, own := owner(v.Path, v.Pool, v.Name)
		switch {
		case other != "":
			return fmt.Sprintf("is what a disk of %s (%s) is built on", other, v.Path)
		case !own:
			return fmt.Sprintf("is what the volume %s is built on", v.Path)
		}
	}
	return ""
}

func (d Deps) deleteFiles(ctx context.Context, r *jobs.Run, in Delete) error {
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	l, err := load(r)
	if err != nil {
		return err
	}
	for i, f := range in.Files {
		r.Progress(float64(i)/float64(len(in.Files))*100, "deleting "+f.Path)
		if err := host.DeleteVolume(ctx, f.Pool, f.Volume); err != nil {
			return err
		}
		r.Log("Deleted %s.", f.Path)
		if len(l.Deleted) < i+1 {
			l.Deleted = append(l.Deleted, f.Path)
		}
	}
	return r.Save(ctx, l)
}
