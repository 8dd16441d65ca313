package fleet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/blocks"
	"novacron/jobs/provision"
	"novacron/jobs/storage"
)

// contentLocks are what a job on a volume holds: its id, and its name on every host, which is what jobs that make volumes hold.
func contentLocks(vols []domain.Volume) []string {
	out := []string{vols[0].ID}
	for _, v := range vols {
		out = append(out, "volume:"+v.HostID+"/"+v.Pool+"/"+v.Name)
	}
	return out
}

func volumeRef(v domain.Volume) domain.Ref {
	return domain.Ref{Kind: "volume", ID: v.ID, Name: v.Name}
}

// settleSecrets makes passphrases for the new disks that are to be encrypted. The write puts them into the transaction of the job.
func settleSecrets(hostID string, disks []domain.Disk, pools []domain.Pool, fresh func() db.Secret) (write func(tx *db.Tx) error) {
	type made struct {
		secret   db.Secret
		volumeID string
		value    string
	}
	var all []made
	for i := range disks {
		d := &disks[i]
		if !d.Encrypted || !d.New() || d.Secret != "" {
			continue
		}
		s := fresh()
		s.UUID, s.Name = domain.NewUUID(), d.Pool+"/"+d.Volume
		d.Secret = s.UUID
		identity := ""
		for _, p := range pools {
			if p.Name == d.Pool && p.HostID == hostID {
				identity = p.Identity
			}
		}
		all = append(all, made{s, domain.VolumeID(domain.PoolID(hostID, d.Pool, identity), d.Volume), rand.Text() + rand.Text()})
	}
	return func(tx *db.Tx) error {
		for _, m := range all {
			if err := tx.InsertSecret(m.secret, []byte(m.value)); err != nil {
				return err
			}
			if err := tx.SetVolumeSecret(m.volumeID, m.secret.UUID); err != nil {
				return err
			}
		}
		return nil
	}
}

// AttachDisk gives a VM a disk: an existing volume (by id), or a new one.
func (f *Fleet) AttachDisk(ctx context.Context, actor, vmID, volumeID string, disk domain.Disk, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vm, err := f.vmFor(ctx, vmID, domain.ActEdit)
	if err != nil {
		return domain.Job{}, err
	}
	title := "Add a disk to " + vm.Name
	if volumeID != "" {
		v, err := f.volumeFor(ctx, vm, volumeID, &disk)
		if err != nil {
			return domain.Job{}, err
		}
		title = fmt.Sprintf("Attach %s to %s", v.Name, vm.Name)
	}
	return f.change(ctx, actor, vm, 0, domain.VMChange{AddDisks: []domain.Disk{disk}}, title, key)
}

// volumeFor judges whether a VM may have a volume, and settles the disk that shows it.
func (f *Fleet) volumeFor(ctx context.Context, vm domain.VM, volumeID string, disk *domain.Disk) (domain.Volume, error) {
	wrong := func(format string, args ...any) error {
		e := domain.Errorf(domain.Conflict, format, args...).WithFix("Choose another volume.")
		e.Fields = []domain.FieldError{{Field: "volume", Msg: e.Msg, Want: "a volume that is free"}}
		return e
	}
	vols, err := f.db.VolumeOn(ctx, volumeID)
	if domain.Is(err, domain.NotFound) {
		return domain.Volume{}, domain.InvalidField("volume", "There is no volume “"+volumeID+"”.", "a volume's id")
	}
	if err != nil {
		return domain.Volume{}, err
	}
	i := slices.IndexFunc(vols, func(v domain.Volume) bool { return v.HostID == vm.HostID })
	if i < 0 {
		return domain.Volume{}, wrong("The volume %s is not on the host of %s.", vols[0].Name, vm.Name)
	}
	v := vols[i]
	users, err := f.db.VolumeUsers(ctx, volumeID)
	if err != nil {
		return v, err
	}
	harmless := disk.ReadOnly || disk.Device == "cdrom"
	if !harmless {
		why, err := f.db.Frozen(ctx, v.PoolID, v.Name)
		if err != nil {
			return v, err
		}
		if why != "" {
			return v, wrong("The volume %s %s, so nobody may write to it.", v.Name, why)
		}
	}
	for _, u := range users {
		switch {
		case u.Kind == "vm" && u.ID == vm.ID && u.Direct:
			return v, wrong("%s has the volume %s already, as %s.", vm.Name, v.Name, u.Target)
		case harmless && (u.ReadOnly || u.Kind == "volume" || !u.Direct), disk.Shareable && u.Kind == "vm" && u.Direct:
		case u.Kind == "vm" && u.Direct:
			return v, wrong("The volume %s is a disk of %s.", v.Name, u.Name)
		default:
			return v, wrong("%s is built on the volume %s, and would be broken by what %s writes.", u.Name, v.Name, vm.Name)
		}
	}
	if up, err := f.db.VolumeUpload(ctx, volumeID); err == nil {
		return v, &domain.Error{Code: domain.Conflict, Holder: up.JobID, Msg: "Something is being uploaded into the volume " + v.Name + ".", Fix: "Wait until that has ended, or cancel it."}
	} else if !domain.Is(err, domain.NotFound) {
		return v, err
	}
	disk.Source, disk.Pool, disk.Volume, disk.SizeBytes, disk.Format = v.Path, "", "", 0, v.Format
	if disk.Format != "qcow2" {
		disk.Format = "raw"
	}
	if v.Encrypted {
		if disk.Secret, err = f.db.VolumeSecret(ctx, volumeID); err != nil {
			return v, wrong("The volume %s is encrypted, and its passphrase is not known here.", v.Name)
		}
	}
	return v, nil
}

// diskOf finds a disk of a VM.
func diskOf(vm domain.VM, target string) (domain.Disk, error) {
	for _, d := range vm.Config.Disks {
		if d.Target == target {
			return d, nil
		}
	}
	return domain.Disk{}, domain.Errorf(domain.NotFound, "%s has no disk %s.", vm.Name, target).WithFix("Look at its disks again.")
}

// ChangeDisk sets what a disk may do and how it is joined.
func (f *Fleet) ChangeDisk(ctx context.Context, actor, vmID string, change domain.DiskChange, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vm, err := f.vmFor(ctx, vmID, domain.ActEdit)
	if err != nil {
		return domain.Job{}, err
	}
	if _, err := diskOf(vm, change.Target); err != nil {
		return domain.Job{}, err
	}
	if change.Empty() {
		return domain.Job{}, domain.Errorf(domain.Invalid, "Nothing was changed.").WithFix("Change something, or close the form.")
	}
	return f.change(ctx, actor, vm, 0, domain.VMChange{ChangeDisks: []domain.DiskChange{change}}, fmt.Sprintf("Change the disk %s of %s", change.Target, vm.Name), key)
}

// BootDisk is the disk that a VM boots from, as far as its definition tells: its first.
func BootDisk(vm domain.VM) string {
	for _, d := range vm.Config.Disks {
		if d.Device != "cdrom" && d.Device != "floppy" && vm.Config.Boot.Kernel == "" {
			return d.Target
		}
	}
	return ""
}

// DetachDisk asks for a disk to be taken away. With remove its volume is deleted as well, unless somebody else needs it. The disk that the VM boots from goes only when boot says so.
func (f *Fleet) DetachDisk(ctx context.Context, actor, vmID, target string, remove, boot bool, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vm, err := f.vmFor(ctx, vmID, domain.ActEdit)
	if err != nil {
		return domain.Job{}, err
	}
	disk, err := diskOf(vm, target)
	if err != nil {
		return domain.Job{}, err
	}
	if BootDisk(vm) == target && !boot {
		return domain.Job{}, domain.Errorf(domain.Conflict, "%s boots from the disk %s; without it, it will not start.", vm.Name, target).WithFix("Say that you mean it (boot=true), or detach another disk.")
	}
	title := fmt.Sprintf("Detach %s from %s", target, vm.Name)
	var drop []blocks.Volume
	if remove {
		v, err := f.diskVolume(ctx, vm, disk)
		if err != nil {
			return domain.Job{}, err
		}
		users, err := f.db.VolumeNeeds(ctx, v.ID)
		if err != nil {
			return domain.Job{}, err
		}
		for _, u := range users {
			if u.Kind != "vm" || u.ID != vm.ID || u.Target != target && u.Config {
				return domain.Job{}, domain.Errorf(domain.Conflict, "%s cannot be deleted: %s (%s) needs it.", v.Path, u.Name, storage.Use(u)).WithFix("Detach it without deleting it.")
			}
		}
		drop = []blocks.Volume{blocks.VolumeOf(v)}
		title += " and delete " + v.Name
	}
	return f.changeWith(ctx, actor, vm, 0, domain.VMChange{RemoveDisks: []string{target}}, title, key, drop)
}

// diskVolume finds the volume behind a disk.
func (f *Fleet) diskVolume(ctx context.Context, vm domain.VM, disk domain.Disk) (domain.Volume, error) {
	vols, err := f.db.Volumes(ctx, vm.HostID, "")
	if err != nil {
		return domain.Volume{}, err
	}
	byName, byPath := provision.Index(vols)
	v, ok := provision.VolumeOf(disk, byName, byPath)
	if !ok {
		return v, domain.Errorf(domain.Conflict, "The disk %s (%s) is in no storage pool of its host.", disk.Target, disk.Source).WithFix("Make a storage pool for its folder first.")
	}
	return v, nil
}

// ChangeMedia puts an image into a CD-ROM drive: a volume by id or a path; neither takes out what is in it.
func (f *Fleet) ChangeMedia(ctx context.Context, actor, vmID, target, volumeID, source, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vm, err := f.vmFor(ctx, vmID, domain.ActEdit)
	if err != nil {
		return domain.Job{}, err
	}
	if volumeID != "" {
		disk := domain.Disk{Device: "cdrom"}
		if _, err := f.volumeFor(ctx, vm, volumeID, &disk); err != nil {
			return domain.Job{}, err
		}
		source = disk.Source
	}
	title := fmt.Sprintf("Eject %s of %s", target, vm.Name)
	if source != "" {
		title = fmt.Sprintf("Put %s into %s of %s", path.Base(source), target, vm.Name)
	}
	return f.change(ctx, actor, vm, 0, domain.VMChange{Media: &domain.Media{Target: target, Source: source}}, title, key)
}

// MoveVolume says where a volume goes.
type MoveVolume struct {
	Pool      string // id or name of a pool on the same host
	Name      string // of the new volume; empty: the same
	Format    string // empty: the same
	Keep      bool   // the old volume stays
	Bandwidth int64  // bytes a second while the VM runs; 0: as much as there is
	Key       string
}

// MoveVolume moves a volume to another pool of its host, while its VM runs if it does.
func (f *Fleet) MoveVolume(ctx context.Context, actor, volumeID string, m MoveVolume) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, m.Key); ok || err != nil {
		return job, err
	}
	vols, err := f.db.VolumeOn(ctx, volumeID)
	if err != nil {
		return domain.Job{}, err
	}
	users, err := f.db.VolumeUsers(ctx, volumeID)
	if err != nil {
		return domain.Job{}, err
	}
	if !m.Keep { // a copy harms nobody
		if err := storage.Thawed(ctx, f.db, volumeID); err != nil {
			return domain.Job{}, err
		}
	}
	in, locks := blocks.Move{Keep: m.Keep, Bandwidth: m.Bandwidth}, contentLocks(vols)
	from := vols[0]
	var vm domain.VM
	for _, u := range users {
		switch {
		case u.Kind == "volume":
			return domain.Job{}, domain.Errorf(domain.Conflict, "%s is built on %s, and would be broken.", u.Name, from.Name).WithFix("Flatten what is built on it first.")
		case vm.ID != "" && (u.ID != vm.ID || u.Target != in.Disk.Target):
			return domain.Job{}, domain.Errorf(domain.Conflict, "%s is a disk of %s and of %s, so it cannot be moved.", from.Name, vm.Name, u.Name).WithFix("Detach it from all but one first.")
		case vm.ID == "":
			if vm, err = f.vmFor(ctx, u.ID, domain.ActEdit); err != nil {
				return domain.Job{}, err
			}
			from = vols[slices.IndexFunc(vols, func(v domain.Volume) bool { return v.HostID == u.HostID })]
			in.Disk = blocks.Disk{VMID: vm.ID, UUID: vm.UUID, VM: vm.Name, Target: u.Target, Live: vm.State == domain.VMRunning || vm.State == domain.VMPaused}
			locks = append(locks, vm.ID)
		}
	}
	if vm.State == domain.VMSaved {
		return domain.Job{}, domain.Errorf(domain.Conflict, "%s is saved with its memory, which expects the disk where it is.", vm.Name).WithFix("Start it or discard its saved state first.")
	}
	to, err := f.moveTo(ctx, from, m)
	if err != nil {
		return domain.Job{}, err
	}
	in.From, in.To = blocks.VolumeOf(from), to
	also := func(*db.Tx, *domain.Job) error { return nil }
	if from.Encrypted {
		if in.Secret, err = f.db.VolumeSecret(ctx, volumeID); err != nil {
			return domain.Job{}, domain.Errorf(domain.Conflict, "%s is encrypted, and its passphrase is not known here.", from.Name)
		}
		also = func(tx *db.Tx, _ *domain.Job) error { return tx.SetVolumeSecret(to.ID, in.Secret) }
	}
	locks = append(locks, "volume:"+to.HostID+"/"+to.Pool+"/"+to.Name)
	title := fmt.Sprintf("Move %s to %s", from.Name, to.Pool)
	if to.Pool == from.Pool {
		title = fmt.Sprintf("Copy %s into %s and use that", from.Name, to.Name)
	}
	ref := volumeRef(from)
	if vm.ID != "" {
		ref = domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: blocks.KindMove, Title: title, Resource: ref, Locks: locks, Input: in, Actor: actor, Key: m.Key}, also, f.arrives(ctx, from, to.HostID, to.Pool))
}

func (f *Fleet) moveTo(ctx context.Context, from domain.Volume, m MoveVolume) (blocks.Volume, error) {
	pools, err := f.db.Pools(ctx, from.HostID)
	if err != nil {
		return blocks.Volume{}, err
	}
	i := slices.IndexFunc(pools, func(p domain.Pool) bool { return p.ID == m.Pool || p.Name == m.Pool })
	bad := func(format string, args ...any) (blocks.Volume, error) {
		return blocks.Volume{}, domain.InvalidField("pool", fmt.Sprintf(format, args...), "an active pool of the same host")
	}
	if i < 0 {
		return bad("The volume's host has no pool “%s”.", m.Pool)
	}
	p := pools[i]
	to := blocks.Volume{HostID: from.HostID, Pool: p.Name, Name: m.Name, Format: m.Format, Bytes: from.CapacityBytes}
	if to.Name == "" {
		to.Name = from.Name
	}
	if to.Format == "" {
		to.Format = from.Format
	}
	if strings.ContainsAny(to.Name, "/\x00\n") || len(to.Name) > 255 || strings.HasPrefix(to.Name, ".") {
		return to, domain.InvalidField("name", "That cannot be a volume's name.", "a plain file name")
	}
	if to.Format != "qcow2" && to.Format != "raw" {
		return to, domain.InvalidField("format", "A "+to.Format+" volume cannot be moved as it is.", "qcow2 or raw")
	}
	to.ID = domain.VolumeID(p.ID, to.Name)
	switch {
	case !p.Active:
		return bad("The pool %s is not active.", p.Name)
	case p.Name == from.Pool && to.Name == from.Name:
		return bad("%s is in the pool %s already.", from.Name, p.Name)
	case p.AvailableBytes > 0 && p.AvailableBytes < from.AllocationBytes:
		return blocks.Volume{}, domain.Errorf(domain.Exhausted, "The pool %s has %s free, and %s takes %s.", p.Name, domain.FormatBytes(p.AvailableBytes), from.Name, domain.FormatBytes(from.AllocationBytes)).WithFix("Choose another pool, or make room.")
	}
	vols, err := f.db.Volumes(ctx, from.HostID, p.Name)
	if err != nil {
		return to, err
	}
	if slices.ContainsFunc(vols, func(v domain.Volume) bool { return v.Name == to.Name }) {
		return to, domain.InvalidField("name", "The pool "+p.Name+" has a volume "+to.Name+" already.", "a name that is free there")
	}
	return to, nil
}

// liveDisk finds a disk of a running VM and the volume it shows.
func (f *Fleet) liveDisk(ctx context.Context, vmID, target string) (domain.VM, blocks.Disk, domain.Volume, error) {
	vm, err := f.vmFor(ctx, vmID, domain.ActEdit)
	if err != nil {
		return vm, blocks.Disk{}, domain.Volume{}, err
	}
	disk, err := diskOf(vm, target)
	if err != nil {
		return vm, blocks.Disk{}, domain.Volume{}, err
	}
	v, err := f.diskVolume(ctx, vm, disk)
	d := blocks.Disk{VMID: vm.ID, UUID: vm.UUID, VM: vm.Name, Target: target, Live: vm.State == domain.VMRunning || vm.State == domain.VMPaused}
	return vm, d, v, err
}

var flatName = regexp.MustCompile(`(\.[A-Za-z0-9]+)?$`)

// FlattenDisk makes a disk stand on nothing, or on base (a path of its chain). A VM that does not run gets a full copy.
func (f *Fleet) FlattenDisk(ctx context.Context, actor, vmID, target, base, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vm, disk, v, err := f.liveDisk(ctx, vmID, target)
	if err != nil {
		return domain.Job{}, err
	}
	if v.Backing == "" {
		return domain.Job{}, domain.Errorf(domain.Conflict, "The disk %s of %s stands on nothing else.", target, vm.Name)
	}
	if !disk.Live {
		if base != "" {
			return domain.Job{}, domain.Errorf(domain.Conflict, "%s does not run: its disk can only be made flat in full.", vm.Name).WithFix("Start it, or leave the base out.")
		}
		loc := flatName.FindStringIndex(v.Name)
		return f.MoveVolume(ctx, actor, v.ID, MoveVolume{Pool: v.Pool, Name: v.Name[:loc[0]] + "-flat" + v.Name[loc[0]:], Key: key})
	}
	if base != "" {
		if _, err := f.below(ctx, v, base); err != nil {
			return domain.Job{}, err
		}
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: blocks.KindFlatten, Title: fmt.Sprintf("Flatten the disk %s of %s", target, vm.Name), Resource: ref(vm),
		Locks: []string{vm.ID, v.ID}, Input: blocks.Flatten{Disk: disk, HostID: vm.HostID, Base: base}, Actor: actor, Key: key})
}

// below gives the images under a volume down to base.
func (f *Fleet) below(ctx context.Context, v domain.Volume, base string) ([]domain.Volume, error) {
	vols, err := f.db.Volumes(ctx, v.HostID, "")
	if err != nil {
		return nil, err
	}
	_, byPath := provision.Index(vols)
	var out []domain.Volume
	for at := v; at.Backing != "" && len(out) < 200; {
		next, ok := byPath[at.Backing]
		if !ok {
			break
		}
		out = append(out, next)
		if next.Path == base {
			return out, nil
		}
		at = next
	}
	return nil, domain.InvalidField("base", "The disk does not stand on "+base+".", "the path of an image below it, which is a volume of a pool")
}

// CommitDisk writes what a disk's image has (or the image top below it) into base. It refuses when somebody else stands on an image that would change.
func (f *Fleet) CommitDisk(ctx context.Context, actor, vmID, target, base, top, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vm, disk, v, err := f.liveDisk(ctx, vmID, target)
	if err != nil {
		return domain.Job{}, err
	}
	if !disk.Live {
		return domain.Job{}, domain.Errorf(domain.Conflict, "%s does not run; its images are merged by its hypervisor.", vm.Name).WithFix("Start it first (paused is enough), or flatten the disk.")
	}
	if base == "" {
		base = v.Backing
	}
	chain, err := f.below(ctx, v, base)
	if err != nil {
		return domain.Job{}, err
	}
	chain = append([]domain.Volume{v}, chain...)
	from := 0
	if top != "" && top != v.Path {
		if from = slices.IndexFunc(chain, func(x domain.Volume) bool { return x.Path == top }); from < 1 || from == len(chain)-1 {
			return domain.Job{}, domain.InvalidField("top", "The image "+top+" is not between the disk and its base.", "the path of an image above the base")
		}
	} else {
		top = ""
	}
	own := map[string]bool{vm.ID: true}
	for _, x := range chain {
		own[x.ID] = true
	}
	in, locks := blocks.Commit{Disk: disk, HostID: vm.HostID, Base: base, Top: top}, []string{vm.ID}
	for i, x := range chain[from:] {
		if err := storage.Thawed(ctx, f.db, x.ID); err != nil {
			return domain.Job{}, err
		}
		users, err := f.db.VolumeUsers(ctx, x.ID)
		if err != nil {
			return domain.Job{}, err
		}
		for _, u := range users {
			if !own[u.ID] {
				return domain.Job{}, domain.Errorf(domain.Conflict, "%s needs the image %s too, and would be broken.", u.Name, x.Name).WithFix("Flatten what else stands on it first.")
			}
		}
		locks = append(locks, x.ID)
		if from+i < len(chain)-1 {
			in.Gone = append(in.Gone, blocks.VolumeOf(x))
		}
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: blocks.KindCommit, Title: fmt.Sprintf("Commit the disk %s of %s into %s", target, vm.Name, path.Base(base)), Resource: ref(vm),
		Locks: locks, Input: in, Actor: actor, Key: key})
}

// ChecksumVolume asks for the SHA-256 of a volume's content.
func (f *Fleet) ChecksumVolume(ctx context.Context, actor, volumeID, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vols, err := f.db.VolumeOn(ctx, volumeID)
	if err != nil {
		return domain.Job{}, err
	}
	if err := f.quiet(ctx, vols[0], "read"); err != nil {
		return domain.Job{}, err
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: blocks.KindChecksum, Title: "Compute the checksum of " + vols[0].Name, Resource: volumeRef(vols[0]),
		Locks: contentLocks(vols), Input: blocks.Checksum{Volume: blocks.VolumeOf(vols[0])}, Actor: actor, Key: key})
}

// quiet refuses a volume that a running VM writes to.
func (f *Fleet) quiet(ctx context.Context, v domain.Volume, what string) error {
	users, err := f.db.VolumeUsers(ctx, v.ID)
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.Kind == "vm" && u.Live && u.Direct && !u.ReadOnly {
			return domain.Errorf(domain.Conflict, "%s runs and writes to %s, so it cannot be %s now.", u.Name, v.Name, what).WithFix("Shut it down first.")
		}
	}
	return nil
}

// Content carries the content of volumes to and from hosts. Like Console, it is what lets bytes stream through without anything above jobs knowing hosts.
type Content struct {
	f     *Fleet
	store blocks.Store
}

// NewContent makes one over the live connections.
func NewContent(f *Fleet, hosts hv.Fleet) *Content {
	return &Content{f, blocks.Store{DB: f.db, Engine: f.engine, Hosts: hosts, Desk: f.desk, Clock: f.clock}}
}

// Size gives the volume and how many bytes its content has.
func (c *Content) Size(ctx context.Context, volumeID string) (domain.Volume, int64, error) {
	v, host, err := c.reach(ctx, volumeID)
	if err != nil {
		return v, 0, err
	}
	n, err := host.ContentSize(ctx, v.Pool, v.Name)
	return v, n, err
}

// Read opens the volume's content.
func (c *Content) Read(ctx context.Context, volumeID string, offset, length int64) (io.ReadCloser, error) {
	v, host, err := c.reach(ctx, volumeID)
	if err != nil {
		return nil, err
	}
	if err := c.f.quiet(ctx, v, "read"); err != nil {
		return nil, err
	}
	return host.ReadVolume(ctx, v.Pool, v.Name, offset, length)
}

// reach finds a host that sees the volume and answers.
func (c *Content) reach(ctx context.Context, volumeID string) (domain.Volume, hv.Host, error) {
	vols, err := c.f.db.VolumeOn(ctx, volumeID)
	if err != nil {
		return domain.Volume{}, nil, err
	}
	for _, v := range vols {
		host, hostErr := c.store.Hosts.Host(v.HostID)
		if hostErr == nil {
			return v, host, nil
		}
		err = hostErr
	}
	return vols[0], nil, err
}

// Upload is one request that brings content.
type Upload struct {
	Offset, Total int64
	SHA256        string // hexadecimal; empty: not checked
	Job           string // go on with the upload of this job only; empty: with any, or begin one
	Body          io.Reader
}

var sha256RE = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Write takes content into a volume: the first request begins the job, later ones go on where it stands. What came is kept when the body breaks off.
func (c *Content) Write(ctx context.Context, actor, volumeID string, u Upload) (domain.Job, db.Upload, error) {
	u.SHA256 = strings.ToLower(u.SHA256)
	if u.SHA256 != "" && !sha256RE.MatchString(u.SHA256) {
		return domain.Job{}, db.Upload{}, domain.InvalidField("sha256", "That is not a SHA-256.", "64 hexadecimal digits")
	}
	up, err := c.f.db.VolumeUpload(ctx, volumeID)
	var job domain.Job
	switch {
	case u.Job != "" && (domain.Is(err, domain.NotFound) || err == nil && up.JobID != u.Job):
		return job, up, domain.Errorf(domain.NotFound, "That upload has ended.").WithFix("Begin a new one.")
	case domain.Is(err, domain.NotFound):
		if u.Offset != 0 {
			return job, up, domain.Errorf(domain.Conflict, "No upload into this volume is under way that could go on at byte %d.", u.Offset).WithFix("Begin at byte 0.")
		}
		job, err = c.Begin(ctx, actor, volumeID, u)
	case err == nil && (up.Total != u.Total || u.SHA256 != "" && up.SHA256 != u.SHA256):
		return job, up, &domain.Error{Code: domain.Conflict, Holder: up.JobID, Msg: "Something else is being uploaded into this volume.", Fix: "Go on with that, or cancel it first."}
	case err == nil:
		job, err = c.f.db.Job(ctx, up.JobID)
	}
	if err != nil {
		return job, up, err
	}
	var in blocks.Upload
	if err := json.Unmarshal(job.Input, &in); err != nil {
		return job, up, err
	}
	up, err = c.store.Receive(ctx, job.ID, in.Volume, u.Offset, u.Body)
	if err != nil {
		return job, up, err
	}
	job, err = c.f.db.Job(ctx, job.ID)
	return job, up, err
}

// Begin makes the job that waits for the content; Write does so by itself.
func (c *Content) Begin(ctx context.Context, actor, volumeID string, u Upload) (domain.Job, error) {
	v, _, err := c.reach(ctx, volumeID)
	if err != nil {
		return domain.Job{}, err
	}
	vols, err := c.f.db.VolumeOn(ctx, volumeID)
	if err != nil {
		return domain.Job{}, err
	}
	most := v.CapacityBytes
	if v.Format == "qcow2" {
		most += most/256 + 16*domain.MiB // what its tables may take
	}
	switch {
	case v.Encrypted:
		return domain.Job{}, domain.Errorf(domain.Conflict, "%s is encrypted; what is uploaded would lie there in the clear.", v.Name).WithFix("Upload it into a plain volume, and copy it from inside a VM.")
	case u.Total < 1:
		return domain.Job{}, domain.Errorf(domain.Invalid, "There is no content, or nobody says how much.").WithFix("Send Content-Length, or Content-Range with the total.")
	case u.Total > most:
		return domain.Job{}, domain.Errorf(domain.Invalid, "The content has %s, and the volume %s takes at most %s.", domain.FormatBytes(u.Total), v.Name, domain.FormatBytes(most)).WithFix("Make the volume larger first, or choose another.")
	}
	if err := storage.Thawed(ctx, c.f.db, volumeID); err != nil {
		return domain.Job{}, err
	}
	users, err := c.f.db.VolumeUsers(ctx, volumeID)
	if err != nil {
		return domain.Job{}, err
	}
	locks := contentLocks(vols)
	for _, user := range users {
		switch {
		case user.Kind == "vm" && user.Live:
			return domain.Job{}, domain.Errorf(domain.Conflict, "%s runs and uses %s.", user.Name, v.Name).WithFix("Shut it down first, or choose another volume.")
		case user.Kind == "volume":
			return domain.Job{}, domain.Errorf(domain.Conflict, "%s is built on %s, and would be broken.", user.Name, v.Name).WithFix("Choose another volume.")
		case !slices.Contains(locks, user.ID):
			locks = append(locks, user.ID)
		}
	}
	in := blocks.Upload{Volume: blocks.VolumeOf(v), Total: u.Total, SHA256: u.SHA256}
	return c.f.engine.Enqueue(ctx, jobs.Request{Kind: blocks.KindUpload, Title: "Upload into " + v.Name, Resource: volumeRef(v), Locks: locks, Input: in, Actor: actor},
		func(tx *db.Tx, job *domain.Job) error {
			row, err := blocks.NewUploadRow(job.ID, in, c.f.clock())
			if err != nil {
				return err
			}
			return tx.InsertUpload(row)
		})
}

// Progress tells how far the upload into a volume is. NotFound when none is under way.
func (c *Content) Progress(ctx context.Context, volumeID string) (db.Upload, error) {
	return c.f.db.VolumeUpload(ctx, volumeID)
}

func (f *Fleet) newSecret() db.Secret { return db.Secret{CreatedAt: f.clock()} }

// VMDisk is a disk of a VM with what is behind it.
type VMDisk struct {
	domain.Disk
	Volume  domain.Volume // zero when no pool has it
	Running bool          // the running VM has it too
	Boots   bool
}

// Disks lists a VM's disks as its definition has them.
func (f *Fleet) Disks(ctx context.Context, vmID string) ([]VMDisk, error) {
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return nil, err
	}
	vols, err := f.db.Volumes(ctx, vm.HostID, "")
	if err != nil {
		return nil, err
	}
	byName, byPath := provision.Index(vols)
	out := make([]VMDisk, len(vm.Config.Disks))
	boot := BootDisk(vm)
	for i, d := range vm.Config.Disks {
		out[i] = VMDisk{Disk: d, Boots: d.Target == boot}
		out[i].Volume, _ = provision.VolumeOf(d, byName, byPath)
		out[i].Running = vm.Live != nil && slices.ContainsFunc(vm.Live.Disks, func(x domain.Disk) bool { return x.Target == d.Target && x.Source == d.Source })
	}
	return out, nil
}
