package images

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/snapshot"
)

// readSteps bring the disk of a VM, or any volume, from its host. What is built on other files is made one file first, by a copy on the host that goes again.
func (d Deps) readSteps(in Import, undo func(ctx context.Context, r *jobs.Run) error) []jobs.Step {
	steps := []jobs.Step{{
		Name: "look at the disk", Timeout: hostTimeout, Undo: undo,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			return quiet(ctx, host, in)
		},
	}}
	if in.Still != nil {
		steps = append(steps, d.hold(in))
	}
	if !in.Flat {
		steps = append(steps, jobs.Step{
			Name: "make one file of it on its host", Timeout: 12 * time.Hour,
			Do:   func(ctx context.Context, r *jobs.Run) error { return d.flatten(ctx, r, in) },
			Undo: func(ctx context.Context, r *jobs.Run) error { return d.unflatten(ctx, r, in) },
		})
		if in.Still != nil { // the copy is all that is read from here on
			steps = append(steps, d.letGo(in))
		}
	}
	steps = append(steps, jobs.Step{
		Name: "read the disk", Timeout: 24 * time.Hour, NoUndo: "What it wrote goes with the first step's undo.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.read(ctx, r, in) },
	})
	if !in.Flat {
		steps = append(steps, jobs.Step{
			Name: "remove the copy on its host", Timeout: hostTimeout, NoUndo: "The copy was only made to be read.",
			Do: func(ctx context.Context, r *jobs.Run) error { return d.unflatten(ctx, r, in) },
		})
	}
	if in.Still != nil && in.Flat {
		steps = append(steps, d.letGo(in))
	}
	return steps
}

func (d Deps) snapshots() snapshot.Deps {
	return snapshot.Deps{DB: d.DB, Hosts: d.Hosts, Mirror: d.Mirror}
}

// hold is the step that lets a VM that runs go on elsewhere while its disk is read.
func (d Deps) hold(in Import) jobs.Step {
	return jobs.Step{
		Name: "hold the disk still", Timeout: hostTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			var st imported
			if err := r.Load(&st); err != nil {
				return err
			}
			return d.snapshots().Hold(ctx, r, *in.Still, &st.Held, func() error { return r.Save(ctx, st) })
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.release(ctx, r, in) },
	}
}

// letGo is the step that gives the VM its own disk back.
func (d Deps) letGo(in Import) jobs.Step {
	return jobs.Step{
		Name: "merge what was written meanwhile", Timeout: 6 * time.Hour, NoUndo: "The VM is as it was before.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.release(ctx, r, in) },
	}
}

func (d Deps) release(ctx context.Context, r *jobs.Run, in Import) error {
	var st imported
	if err := r.Load(&st); err != nil {
		return err
	}
	return d.snapshots().LetGo(ctx, r, *in.Still, &st.Held, func() error { return r.Save(ctx, st) })
}

// still checks that nobody wrote to the disk while it was read.
func (d Deps) still(ctx context.Context, host hv.Host, in Import) error {
	if in.Still != nil {
		return d.snapshots().Held(ctx, *in.Still)
	}
	return quiet(ctx, host, in)
}

// quiet checks that nobody writes to the disk.
func quiet(ctx context.Context, host hv.Host, in Import) error {
	if in.VMUUID == "" || in.Still != nil {
		return nil
	}
	g, err := host.Guest(ctx, in.VMUUID)
	if err != nil {
		return err
	}
	if g.State != domain.VMStopped && g.State != domain.VMCrashed {
		return domain.Errorf(domain.Conflict, "%s is %s; its disk can be read only while it is stopped.", in.VMName, g.State).WithFix("Shut it down first.")
	}
	return nil
}

func (d Deps) flatten(ctx context.Context, r *jobs.Run, in Import) error {
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	var st imported
	if err := r.Load(&st); err != nil {
		return err
	}
	if st.Copy == "" {
		st.Copy = "novacron-read-" + in.VersionID
		if err := r.Save(ctx, st); err != nil { // before it is made: the name is this job's alone
			return err
		}
	} else if err := host.DeleteVolume(ctx, in.Pool, st.Copy); err != nil { // a copy that was cut short
		return err
	}
	r.Progress(5, "copying "+in.Volume+" on its host")
	v, err := host.CloneVolume(ctx, in.Pool, in.Volume, st.Copy)
	if err == nil && in.Still != nil {
		err = d.still(ctx, host, in)
	}
	if err == nil {
		r.Log("Copied %s to %s, as one file.", in.Volume, v.Path)
	}
	return err
}

func (d Deps) unflatten(ctx context.Context, r *jobs.Run, in Import) error {
	var st imported
	if err := r.Load(&st); err != nil || st.Copy == "" {
		return err
	}
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	err = host.DeleteVolume(ctx, in.Pool, st.Copy)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	return err
}

func (d Deps) read(ctx context.Context, r *jobs.Run, in Import) error {
	var st imported
	if err := r.Load(&st); err != nil || st.Read {
		return err
	}
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	name := in.Volume
	if st.Copy != "" {
		name = st.Copy
	} else if err := quiet(ctx, host, in); err != nil {
		return err
	}
	if err := d.Library.Discard(in.VersionID); err != nil {
		return err
	}
	v, err := host.Volume(ctx, in.Pool, name)
	if err != nil {
		return err
	}
	body, err := host.ReadVolume(ctx, in.Pool, name, 0, 0)
	if err != nil {
		return err
	}
	total := v.CapacityBytes
	if v.Format != domain.FormatRaw {
		total = v.AllocationBytes
	}
	n, err := d.Library.Receive(ctx, in.VersionID, 0, -1, io.Reader(counted{body, total, throttled(r, 10, 50, "reading the disk"), new(int64)}))
	if cerr := body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if st.Copy == "" {
		if err := d.still(ctx, host, in); err != nil { // somebody started it meanwhile, so what was read may be torn
			return err
		}
	}
	r.Log("Read %s from %s.", domain.FormatBytes(n), v.Path)
	st.Read = true
	return r.Save(ctx, st)
}

func inputOf[I any](job domain.Job) (I, error) {
	var in I
	if err := json.Unmarshal(job.Input, &in); err != nil {
		return in, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
	}
	return in, nil
}
