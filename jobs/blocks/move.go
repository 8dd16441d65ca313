package blocks

import (
	"context"
	"fmt"
	"slices"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/storage"
)

// copyLimit bounds the copying of one disk.
const copyLimit = 7 * 24 * time.Hour

// Disk names a disk of a VM in the input of a job; the zero one means that a volume is no VM's.
type Disk struct {
	VMID   string `json:"vm_id,omitempty"`
	UUID   string `json:"uuid,omitempty"`
	VM     string `json:"vm,omitempty"`
	Target string `json:"target,omitempty"`
	Live   bool   `json:"live,omitempty"` // it ran when the job was asked for
}

// Move is the input of volume.move.
type Move struct {
	Disk      Disk   `json:"disk"`
	From      Volume `json:"from"`
	To        Volume `json:"to"` // Path is known when it is made
	Secret    string `json:"secret,omitempty"`
	Bandwidth int64  `json:"bandwidth,omitempty"`
	Keep      bool   `json:"keep,omitempty"` // the old volume stays
}

// MoveResult is what a move leaves for its caller.
type MoveResult struct {
	VMID   string `json:"vm_id,omitempty"`
	Volume string `json:"volume"`
	Path   string `json:"path"`
	Kept   string `json:"kept,omitempty"` // why the old volume is still there
}

// ledger is what a job remembers, written before it does it.
type ledger struct {
	Making bool   `json:"making,omitempty"` // the new volume was not there, and this job was about to make it
	Path   string `json:"path,omitempty"`   // of the new volume
	Kept   string `json:"kept,omitempty"`

	Chain []string `json:"chain,omitempty"` // what a disk stood on
}

func (d Deps) moveSteps(in Move) []jobs.Step {
	return []jobs.Step{{
		Name: "look at the disk", Timeout: hostTimeout, NoUndo: "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.lookMove(ctx, r, in) },
	}, {
		Name: "make the new volume", Timeout: copyLimit,
		Do:   func(ctx context.Context, r *jobs.Run) error { return d.makeCopy(ctx, r, in) },
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.dropCopy(ctx, r, in) },
	}, {
		Name: "copy while it runs", Timeout: copyLimit,
		Do: func(ctx context.Context, r *jobs.Run) error { return d.copyLive(ctx, r, in) },
		Undo: func(ctx context.Context, r *jobs.Run) error {
			return d.abort(ctx, r, in.From.HostID, in.Disk, func(b hv.BlockJob) bool { return b.Kind == hv.BlockCopy })
		},
	}, {
		Name: "turn to the copy", Timeout: 10 * time.Minute, Final: true, NoUndo: "The VM writes to the new volume from here on.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.turn(ctx, r, in) },
	}, {
		Name: "delete the old volume", Timeout: 30 * time.Minute, NoUndo: "The new volume has everything.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.dropOld(ctx, r, in) },
	}, {
		Name: "look at what came of it", Timeout: hostTimeout, NoUndo: "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			var l ledger
			if err := r.Load(&l); err != nil {
				return err
			}
			if err := r.Result(MoveResult{VMID: in.Disk.VMID, Volume: in.To.Name, Path: l.Path, Kept: l.Kept}); err != nil {
				return err
			}
			return d.mirror(ctx, r, in.From.HostID, in.Disk)
		},
	}}
}

// mirror writes down what the host says of a VM and its volumes.
func (d Deps) mirror(ctx context.Context, r *jobs.Run, hostID string, disk Disk) error {
	host, err := d.Hosts.Host(hostID)
	if err != nil {
		return err
	}
	if disk.UUID != "" {
		if _, err := d.Mirror.Guest(ctx, host, hostID, disk.UUID, cause(r, "")); err != nil && !domain.Is(err, domain.NotFound) {
			return err
		}
	}
	return d.Mirror.Inventory(ctx, host, hostID, cause(r, ""))
}

func (d Deps) lookMove(ctx context.Context, r *jobs.Run, in Move) error {
	host, err := d.Hosts.Host(in.From.HostID)
	if err != nil {
		return err
	}
	if _, err := host.Volume(ctx, in.From.Pool, in.From.Name); err != nil {
		return err
	}
	if !in.Keep {
		if err := d.thawed(ctx, in.From.ID); err != nil {
			return err
		}
	}
	if in.Disk.UUID == "" {
		return nil
	}
	g, err := host.Guest(ctx, in.Disk.UUID)
	if err != nil {
		return err
	}
	if up := g.Live != nil; up != in.Disk.Live || g.State == domain.VMSaved {
		return domain.Errorf(domain.Conflict, "%s was started or stopped meanwhile.", in.Disk.VM).WithFix("Ask again.")
	}
	if in.Secret != "" {
		return Ensure(ctx, d.DB, host, in.Secret)
	}
	return nil
}

func (d Deps) makeCopy(ctx context.Context, r *jobs.Run, in Move) error {
	host, err := d.Hosts.Host(in.To.HostID)
	if err != nil {
		return err
	}
	var l ledger
	if err := r.Load(&l); err != nil {
		return err
	}
	v, err := host.Volume(ctx, in.To.Pool, in.To.Name)
	switch {
	case err == nil && l.Path != "":
		return nil
	case err == nil && !l.Making:
		return domain.Errorf(domain.Conflict, "The pool %s has a volume called %s already.", in.To.Pool, in.To.Name).WithFix("Give the new volume another name.")
	case err == nil: // left by an attempt that broke off; only half of it may be there
		if err := d.remove(ctx, host, in.To); err != nil {
			return err
		}
	case !domain.Is(err, domain.NotFound):
		return err
	}
	l.Making = true
	if err := r.Save(ctx, l); err != nil {
		return err
	}
	spec := hv.VolumeSpec{Pool: in.To.Pool, Name: in.To.Name, Format: in.To.Format, SizeBytes: in.To.Bytes, SecretUUID: in.Secret}
	if in.Disk.Live {
		v, err = host.CreateVolume(ctx, spec)
	} else {
		r.Progress(5, "copying "+domain.FormatBytes(in.From.Bytes))
		v, err = host.CopyVolume(ctx, in.From.Pool, in.From.Name, spec)
	}
	if err != nil {
		return err
	}
	l.Path = v.Path
	return r.Save(ctx, l)
}

// remove deletes a volume that the host may still be making.
func (d Deps) remove(ctx context.Context, host hv.Host, v Volume) error {
	tick := time.NewTicker(d.Look)
	defer tick.Stop()
	for tries := 0; ; tries++ {
		err := host.DeleteVolume(ctx, v.Pool, v.Name)
		if !domain.Is(err, domain.Conflict) || tries > 600 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (d Deps) dropCopy(ctx context.Context, r *jobs.Run, in Move) error {
	var l ledger
	if err := r.Load(&l); err != nil || !l.Making {
		return err
	}
	host, err := d.Hosts.Host(in.To.HostID)
	if err != nil {
		return err
	}
	if err := d.remove(ctx, host, in.To); err != nil {
		return err
	}
	return d.mirror(ctx, r, in.From.HostID, in.Disk)
}

func (d Deps) copyLive(ctx context.Context, r *jobs.Run, in Move) error {
	if !in.Disk.Live {
		return nil
	}
	host, err := d.Hosts.Host(in.From.HostID)
	if err != nil {
		return err
	}
	to, err := host.Volume(ctx, in.To.Pool, in.To.Name)
	if err != nil {
		return err
	}
	b, err := host.BlockJob(ctx, in.Disk.UUID, in.Disk.Target)
	if err != nil {
		return err
	}
	if len(b.Chain) == 0 || b.Chain[0] != in.From.Path {
		return domain.Errorf(domain.Conflict, "The disk %s does not show %s any more.", in.Disk.Target, in.From.Path).WithFix("Look at the VM's disks, and ask again.")
	}
	if err := host.CopyDisk(ctx, in.Disk.UUID, in.Disk.Target, to, in.Bandwidth); err != nil {
		return err
	}
	_, err = d.follow(ctx, r, in.From.HostID, in.Disk, func(b hv.BlockJob) (bool, error) {
		if b.Kind != hv.BlockCopy || b.Dest != to.Path {
			return false, domain.Errorf(domain.Conflict, "The copying of %s has ended on the host before it was done.", in.Disk.Target).WithFix("Look into the host's log (a full disk?), and ask again.")
		}
		return b.Ready, nil
	})
	return err
}

// follow looks at the work on a disk until it is done, and tells how far it is.
func (d Deps) follow(ctx context.Context, r *jobs.Run, hostID string, disk Disk, done func(b hv.BlockJob) (bool, error)) (b hv.BlockJob, err error) {
	p := pace{clock: d.Clock}
	err = r.Idle(ctx, func(ctx context.Context) error {
		pause := d.Look / 32 // what is small is done soon
		for {
			host, err := d.Hosts.Host(hostID)
			if err != nil {
				return err
			}
			if b, err = host.BlockJob(ctx, disk.UUID, disk.Target); err != nil {
				return err
			}
			ok, err := done(b)
			if err != nil || ok {
				return err
			}
			r.Progress(p.words(b.Done, b.Total))
			wait := time.NewTimer(pause)
			pause = min(2*pause, d.Look)
			select {
			case <-wait.C:
			case <-ctx.Done():
				wait.Stop()
				return ctx.Err()
			}
		}
	})
	return b, err
}

// abort ends the work that a job began on a disk.
func (d Deps) abort(ctx context.Context, r *jobs.Run, hostID string, disk Disk, ours func(b hv.BlockJob) bool) error {
	if !disk.Live {
		return nil
	}
	host, err := d.Hosts.Host(hostID)
	if err != nil {
		return err
	}
	b, err := host.BlockJob(ctx, disk.UUID, disk.Target)
	if domain.Is(err, domain.NotFound) || domain.Is(err, domain.Conflict) {
		return nil // it does not run any more, and the work ended with it
	}
	if err != nil || !ours(b) {
		return err
	}
	return host.AbortBlockJob(ctx, disk.UUID, disk.Target)
}

// turn lets the VM go on with the copy. On re-entry it asks what the disk shows.
func (d Deps) turn(ctx context.Context, r *jobs.Run, in Move) error {
	var l ledger
	if err := r.Load(&l); err != nil {
		return err
	}
	if in.Disk.UUID == "" {
		return nil
	}
	host, err := d.Hosts.Host(in.From.HostID)
	if err != nil {
		return err
	}
	if !in.Disk.Live {
		err := host.Redirect(ctx, in.Disk.UUID, []hv.DiskMove{{From: in.From.Path, To: l.Path, Format: in.To.Format}})
		if domain.Is(err, domain.Conflict) {
			return jobs.BeforeFinal(err)
		}
		return err
	}
	b, err := host.BlockJob(ctx, in.Disk.UUID, in.Disk.Target)
	if domain.Is(err, domain.Conflict) || domain.Is(err, domain.NotFound) {
		return d.turned(ctx, host, in, l)
	}
	switch {
	case err != nil:
		return err
	case len(b.Chain) > 0 && b.Chain[0] == l.Path:
		return nil
	case b.Kind != hv.BlockCopy || !b.Ready:
		return jobs.BeforeFinal(domain.Errorf(domain.Conflict, "The copy of %s was ended on the host.", in.Disk.Target).WithFix("Ask again."))
	}
	if err := host.PivotDisk(ctx, in.Disk.UUID, in.Disk.Target); err != nil {
		return err
	}
	r.Log("%s goes on with %s.", in.Disk.VM, l.Path)
	return nil
}

// turned asks a VM that does not run which of the two volumes its definition names.
func (d Deps) turned(ctx context.Context, host hv.Host, in Move, l ledger) error {
	g, err := host.Guest(ctx, in.Disk.UUID)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(g.Config.Disks, func(x domain.Disk) bool { return x.Target == in.Disk.Target && x.Source == l.Path }) {
		return nil
	}
	return jobs.BeforeFinal(domain.Errorf(domain.Conflict, "%s stopped before it could turn to the copy.", in.Disk.VM).WithFix("Ask again; it is moved without running then."))
}

// dropOld deletes what nobody needs any more. Who still needs it keeps it.
func (d Deps) dropOld(ctx context.Context, r *jobs.Run, in Move) error {
	if in.Keep {
		return nil
	}
	host, err := d.Hosts.Host(in.From.HostID)
	if err != nil {
		return err
	}
	if err := d.mirror(ctx, r, in.From.HostID, in.Disk); err != nil { // who uses what is read from the rows
		return err
	}
	why, err := d.dropVolume(ctx, host, in.From)
	if err != nil || why == "" {
		return err
	}
	var l ledger
	if err := r.Load(&l); err != nil {
		return err
	}
	l.Kept = why
	r.Log("%s stays: %s", in.From.Path, why)
	return r.Save(ctx, l)
}

// thawed asks once more whether the image library keeps a volume as it is. One that the database does not know is nobody's.
func (d Deps) thawed(ctx context.Context, volumeID string) error {
	if err := storage.Thawed(ctx, d.DB, volumeID); !domain.Is(err, domain.NotFound) {
		return err
	}
	return nil
}

// dropVolume deletes a volume unless somebody needs it.
func (d Deps) dropVolume(ctx context.Context, host hv.Host, v Volume) (why string, err error) {
	users, err := d.DB.VolumeNeeds(ctx, v.ID)
	if domain.Is(err, domain.NotFound) {
		users, err = nil, nil
	}
	if err != nil {
		return "", err
	}
	if len(users) > 0 {
		return fmt.Sprintf("%s (%s) needs it.", users[0].Name, storage.Use(users[0])), nil
	}
	return "", host.DeleteVolume(ctx, v.Pool, v.Name)
}
