package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/bulk"
	"novacron/jobs/storage"
)

// CreatePool asks for a storage pool on one host, or the same on several.
type CreatePool struct {
	Spec  domain.PoolSpec
	Hosts []string // ids
	Key   string
}

// DeletePool asks for a pool to be removed from every host.
type DeletePool struct {
	Data    bool   // what is in it too
	Confirm string // with Data: the pool's name, typed
	Key     string
}

// CreateVolume asks for a volume: an empty one, a full copy (Source) or a thin layer over another (Backing).
type CreateVolume struct {
	Pool      string // id
	Name      string
	SizeBytes int64 // 0 with Source or Backing: as large as that
	Format    string
	Full      bool
	Source    string // id of the volume to copy
	Backing   string // id of the volume below
	Encrypted bool   // LUKS, under a passphrase that is made here and kept sealed
	Key       string
}

// ResizeVolume asks for another size. Shrink must be said: what is cut off is lost.
type ResizeVolume struct {
	SizeBytes int64
	Shrink    bool
	Key       string
}

func poolRef(p db.PoolItem) domain.Ref { return domain.Ref{Kind: "pool", ID: p.ID, Name: p.Name} }

// places lists the hosts that have a pool, connected ones first: the first one does the work.
func places(p db.PoolItem) ([]storage.Place, error) {
	hosts := slices.Clone(p.Hosts)
	slices.SortStableFunc(hosts, func(a, b db.PoolHost) int {
		rank := func(h db.PoolHost) int {
			switch {
			case h.Away:
				return 2
			case !h.Active:
				return 1
			}
			return 0
		}
		return cmp.Compare(rank(a), rank(b))
	})
	out := make([]storage.Place, len(hosts))
	for i, h := range hosts {
		out[i] = storage.Place{HostID: h.HostID, HostName: h.HostName, Pool: h.Name}
	}
	if len(hosts) == 0 || hosts[0].Away {
		return nil, domain.Errorf(domain.Unavailable, "No host that has the pool %s is connected.", p.Name).WithFix("Wait for one to come back.")
	}
	return out, nil
}

// everywhere is places of a change that must happen on every host.
func everywhere(p db.PoolItem) ([]storage.Place, error) {
	for _, h := range p.Hosts {
		if h.Away {
			return nil, domain.Errorf(domain.Unavailable, "%s has the pool %s too and is not connected, so it cannot be changed there.", h.HostName, p.Name).WithFix("Wait for the host to come back.")
		}
	}
	return places(p)
}

func poolLocks(at []storage.Place) []string {
	var out []string
	for _, p := range at {
		out = append(out, "pool:"+p.HostID+"/"+p.Pool)
	}
	return out
}

func volumeLocks(at []storage.Place, name string) []string {
	var out []string
	for _, p := range at {
		out = append(out, "volume:"+p.HostID+"/"+p.Pool+"/"+name)
	}
	return out
}

// CreatePool enqueues the making of a pool. The job's resource is the pool as the first host has it.
func (f *Fleet) CreatePool(ctx context.Context, actor string, req CreatePool) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	spec := req.Spec.WithDefaults()
	if err := spec.Validate(); err != nil {
		return domain.Job{}, err
	}
	hosts := slices.Clone(req.Hosts)
	slices.Sort(hosts)
	if hosts = slices.Compact(hosts); len(hosts) == 0 {
		return domain.Job{}, domain.InvalidField("hosts", "No host is chosen.", "a host's id, or several")
	}
	if spec.UUID == "" {
		spec.UUID = domain.NewUUID()
	}
	in := storage.CreatePool{Spec: spec}
	have, err := f.db.StoragePools(ctx)
	if err != nil {
		return domain.Job{}, err
	}
	for _, id := range hosts {
		h, err := f.db.Host(ctx, id)
		if domain.Is(err, domain.NotFound) {
			return domain.Job{}, domain.InvalidField("hosts", "There is no host “"+id+"”.", "a host's id")
		}
		if err != nil {
			return domain.Job{}, err
		}
		if err := poolFits(h, spec, have); err != nil {
			return domain.Job{}, err
		}
		in.Places = append(in.Places, storage.Place{HostID: id, HostName: h.Name, Pool: spec.Name})
	}
	if spec.Build && len(hosts) > 1 {
		return domain.Job{}, domain.InvalidField("build", "Devices are written by one host.", "one host, or devices that are ready")
	}
	in.HostID = in.Places[0].HostID
	ref := domain.Ref{Kind: "pool", ID: domain.PoolID(in.HostID, spec.Name, spec.Identity()), Name: spec.Name}
	title := "Make storage pool " + spec.Name
	if len(hosts) > 1 {
		title += fmt.Sprintf(" on %d hosts", len(hosts))
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: storage.KindPoolCreate, Title: title, Resource: ref, Locks: poolLocks(in.Places), Input: in, Actor: actor, Key: req.Key})
}

// poolFits says at once what the host would refuse later.
func poolFits(h domain.Host, spec domain.PoolSpec, have []db.PoolItem) error {
	if t := h.Facts.PoolTypes; len(t) > 0 && !slices.Contains(t, spec.Type) {
		e := domain.Errorf(domain.Unsupported, "%s has no driver for %s pools.", h.Name, spec.Type).
			WithFix("Install libvirt's storage driver for it on the host, or choose one of: %s.", strings.Join(t, ", "))
		e.Fields = []domain.FieldError{{Field: "type", Msg: e.Msg, Want: "one of " + strings.Join(t, ", ")}}
		return e
	}
	for _, p := range have {
		for _, at := range p.Hosts {
			if at.HostID != h.ID {
				continue
			}
			if at.Name == spec.Name {
				return taken("name", fmt.Sprintf("%s has a storage pool called %s already.", h.Name, spec.Name), "another name")
			}
			if id := spec.Identity(); id != "" && id == p.Identity {
				return taken("source", fmt.Sprintf("%s has this storage already, as the pool %s.", h.Name, at.Name), "other storage, or that pool")
			}
		}
	}
	return nil
}

func taken(field, msg, want string) error {
	return &domain.Error{Code: domain.Conflict, Msg: msg, Fix: "Choose " + want + ".", Fields: []domain.FieldError{{Field: field, Msg: msg, Want: want}}}
}

// ActPool enqueues start, stop or refresh of a pool on every host that has it.
func (f *Fleet) ActPool(ctx context.Context, actor, poolID, act, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	p, err := f.db.StoragePool(ctx, poolID)
	if err != nil {
		return domain.Job{}, err
	}
	at, err := everywhere(p)
	if err != nil {
		return domain.Job{}, err
	}
	var kind, title string
	switch act {
	case "start":
		kind, title = storage.KindPoolStart, "Start storage pool "
	case "stop":
		kind, title = storage.KindPoolStop, "Stop storage pool "
		users, err := f.db.PoolUsers(ctx, poolID, true)
		if err == nil {
			err = storage.Needed("The pool "+p.Name, users)
		}
		if err != nil {
			return domain.Job{}, err
		}
	case "refresh":
		kind, title = storage.KindPoolRefresh, "Look into storage pool "
		if !p.Active {
			return domain.Job{}, domain.Errorf(domain.Conflict, "The storage pool %s is not active.", p.Name).WithFix("Start it first.")
		}
	default:
		return domain.Job{}, domain.Errorf(domain.NotFound, "A pool cannot be asked to “%s”.", act)
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: kind, Title: title + p.Name, Resource: poolRef(p), Locks: poolLocks(at),
		Input: storage.PoolChange{HostID: at[0].HostID, PoolID: p.ID, Places: at}, Actor: actor, Key: key})
}

// SetPoolAutostart enqueues whether a pool starts with its hosts.
func (f *Fleet) SetPoolAutostart(ctx context.Context, actor, poolID string, on bool, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	p, err := f.db.StoragePool(ctx, poolID)
	if err != nil {
		return domain.Job{}, err
	}
	at, err := everywhere(p)
	if err != nil {
		return domain.Job{}, err
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: storage.KindPoolAutostart, Title: "Set the autostart of storage pool " + p.Name, Resource: poolRef(p), Locks: poolLocks(at),
		Input: storage.PoolChange{HostID: at[0].HostID, PoolID: p.ID, Places: at, On: on}, Actor: actor, Key: key})
}

// DeletePool enqueues the removal of a pool from all of its hosts; what is in it goes only when that is asked for and the name was typed.
func (f *Fleet) DeletePool(ctx context.Context, actor, poolID string, req DeletePool) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	p, err := f.db.StoragePool(ctx, poolID)
	if err != nil {
		return domain.Job{}, err
	}
	if req.Data && req.Confirm != p.Name {
		return domain.Job{}, domain.InvalidField("confirm", "To delete the data of a pool, its name must be given.", p.Name)
	}
	if req.Data && !domain.PoolHoldsVolumes(p.Type) {
		return domain.Job{}, domain.Errorf(domain.Unsupported, "The volumes of a %s pool are made and deleted on its server.", p.Type).WithFix("Delete the pool without its data.")
	}
	users, err := f.db.PoolUsers(ctx, poolID, false)
	if err == nil {
		err = storage.Needed("The pool "+p.Name, users)
	}
	if err != nil {
		return domain.Job{}, err
	}
	at, err := everywhere(p)
	if err != nil {
		return domain.Job{}, err
	}
	title := "Remove storage pool " + p.Name
	if req.Data {
		title = "Delete storage pool " + p.Name + " and its data"
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: storage.KindPoolDelete, Title: title, Resource: poolRef(p), Locks: poolLocks(at),
		Input: storage.DeletePool{HostID: at[0].HostID, PoolID: p.ID, Places: at, Data: req.Data}, Actor: actor, Key: req.Key})
}

// CreateVolume enqueues the making of a volume.
func (f *Fleet) CreateVolume(ctx context.Context, actor string, req CreateVolume) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	p, err := f.db.StoragePool(ctx, req.Pool)
	if domain.Is(err, domain.NotFound) {
		return domain.Job{}, domain.InvalidField("pool", "There is no pool “"+req.Pool+"”.", "a pool's id")
	}
	if err != nil {
		return domain.Job{}, err
	}
	at, err := places(p)
	if err != nil {
		return domain.Job{}, err
	}
	if !p.Active {
		return domain.Job{}, domain.Errorf(domain.Conflict, "The storage pool %s is not active.", p.Name).WithFix("Start the pool first.")
	}
	from, err := f.origin(ctx, req)
	if err != nil {
		return domain.Job{}, err
	}
	if req.Format == "" {
		req.Format = "qcow2"
		if !domain.FilePool(p.Type) || req.Source != "" && from.Format != "qcow2" {
			req.Format = "raw"
		}
	}
	if err := checkVolume(req, p, from); err != nil {
		return domain.Job{}, err
	}
	ref := domain.Ref{Kind: "volume", ID: domain.VolumeID(p.ID, req.Name), Name: req.Name}
	if _, err := f.db.VolumeOn(ctx, ref.ID); err == nil {
		return domain.Job{}, taken("name", fmt.Sprintf("The pool %s has a volume called %s; it exists already and was left as it is.", p.Name, req.Name), "another name")
	} else if !domain.Is(err, domain.NotFound) {
		return domain.Job{}, err
	}
	locks := volumeLocks(at, req.Name)
	if from.Name != "" {
		locks = append(locks, volumeLocks(at, from.Name)...) // it must not go meanwhile
	}
	if err := f.poolFor(ctx, p.ID); err != nil {
		return domain.Job{}, err
	}
	own := owned(ctx, ref.ID, p.ID, max(req.SizeBytes, from.CapacityBytes))
	if req.Source != "" {
		in := storage.CloneVolume{HostID: at[0].HostID, PoolID: p.ID, Places: at, From: from.Name, To: req.Name}
		if req.SizeBytes > from.CapacityBytes {
			in.SizeBytes = req.SizeBytes
		}
		return f.engine.Enqueue(ctx, jobs.Request{Kind: storage.KindVolumeClone, Title: "Copy volume " + from.Name + " to " + req.Name, Resource: ref, Locks: locks, Input: in, Actor: actor, Key: req.Key}, own)
	}
	in := storage.CreateVolume{HostID: at[0].HostID, PoolID: p.ID, Places: at, Spec: hv.VolumeSpec{Pool: at[0].Pool, Name: req.Name, Format: req.Format, SizeBytes: req.SizeBytes,
		Full: req.Full}}
	if req.Backing != "" {
		below, err := seenFrom(ctx, f.db, req.Backing, at[0].HostID)
		if err != nil {
			return domain.Job{}, err
		}
		in.Spec.Backing, in.Spec.BackingFormat = below.Path, below.Format
	}
	also := func(*db.Tx, *domain.Job) error { return nil }
	if req.Encrypted {
		secret := f.newSecret()
		secret.UUID, secret.Name = domain.NewUUID(), at[0].Pool+"/"+req.Name
		in.Spec.SecretUUID = secret.UUID
		also = func(tx *db.Tx, _ *domain.Job) error {
			if err := tx.InsertSecret(secret, []byte(rand.Text()+rand.Text())); err != nil {
				return err
			}
			return tx.SetVolumeSecret(ref.ID, secret.UUID)
		}
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: storage.KindVolumeCreate, Title: "Make volume " + req.Name, Resource: ref, Locks: locks, Input: in, Actor: actor, Key: req.Key}, own, also)
}

// origin is the volume that a new one is copied from or built on.
func (f *Fleet) origin(ctx context.Context, req CreateVolume) (domain.Volume, error) {
	field, id := "source", req.Source
	if req.Backing != "" {
		if req.Source != "" {
			return domain.Volume{}, domain.InvalidField("backing", "A volume is a copy or a layer, not both.", "source or backing, one of the two")
		}
		field, id = "backing", req.Backing
	}
	if id == "" {
		return domain.Volume{}, nil
	}
	at, err := f.db.VolumeOn(ctx, id)
	if domain.Is(err, domain.NotFound) {
		return domain.Volume{}, domain.InvalidField(field, "There is no volume “"+id+"”.", "a volume's id")
	}
	if err != nil {
		return domain.Volume{}, err
	}
	if req.Source == "" {
		return at[0], nil
	}
	users, err := f.db.VolumeUsers(ctx, id)
	if err != nil {
		return at[0], err
	}
	for _, u := range users {
		if u.Kind == "vm" && u.Direct && u.Live && !u.ReadOnly {
			return at[0], domain.Errorf(domain.Conflict, "%s runs with %s, so a copy would be of no moment in time.", u.Name, at[0].Name).WithFix("Shut the VM down first.")
		}
	}
	return at[0], nil
}

// seenFrom gives a volume as one host sees it.
func seenFrom(ctx context.Context, d *db.DB, id, hostID string) (domain.Volume, error) {
	at, err := d.VolumeOn(ctx, id)
	if err != nil {
		return domain.Volume{}, err
	}
	for _, v := range at {
		if v.HostID == hostID {
			return v, nil
		}
	}
	return domain.Volume{}, domain.InvalidField("backing", "The pool's host does not see "+at[0].Name+".", "a volume of the same host or of shared storage")
}

func checkVolume(req CreateVolume, p db.PoolItem, from domain.Volume) error {
	var bad domain.Problems
	domain.CheckVolumeName(&bad, "name", req.Name)
	domain.CheckVolumeFormat(&bad, "format", req.Format, p.Type)
	if !domain.PoolHoldsVolumes(p.Type) {
		bad.Add("pool", "The volumes of a "+p.Type+" pool are made on its server.", "another pool")
	}
	if req.SizeBytes != 0 || from.Name == "" {
		domain.CheckVolumeSize(&bad, "size_bytes", req.SizeBytes)
	}
	switch {
	case req.SizeBytes != 0 && req.SizeBytes < from.CapacityBytes:
		bad.Add("size_bytes", fmt.Sprintf("%s has %s, and would be cut off.", from.Name, domain.FormatBytes(from.CapacityBytes)), "that or more, or nothing for the same")
	case req.Source != "" && from.PoolID != p.ID:
		bad.Add("source", from.Name+" is in another pool.", "a volume of the pool "+p.Name)
	case req.Source != "" && req.Format != from.Format:
		bad.Add("format", "A copy has the format of its original.", from.Format)
	case req.Backing != "" && req.Format != "qcow2":
		bad.Add("format", "Only a qcow2 volume can be built on another.", "qcow2")
	case req.Backing != "" && req.Full:
		bad.Add("full", "A layer over another volume is thin.", "full or backing, one of the two")
	case req.Encrypted && (req.Source != "" || req.Backing != ""):
		bad.Add("encrypted", "A copy or a layer is encrypted as what it is made of.", "an empty volume")
	case req.Encrypted && !domain.FilePool(p.Type):
		bad.Add("encrypted", "The volumes of a "+p.Type+" pool cannot be encrypted here.", "a pool of files")
	case from.Encrypted && from.Name != "":
		bad.Add("source", from.Name+" is encrypted; its copy could not be opened.", "a volume that is not encrypted")
	}
	if err := bad.Err(); err != nil {
		return err
	}
	need := int64(0)
	switch {
	case req.Source != "":
		need = from.AllocationBytes
	case req.Full || p.Type == "logical":
		need = req.SizeBytes
	}
	if p.CapacityBytes > 0 && need > p.AvailableBytes {
		msg := fmt.Sprintf("The pool %s has %s free, and this needs %s.", p.Name, domain.FormatBytes(p.AvailableBytes), domain.FormatBytes(need))
		return &domain.Error{Code: domain.Exhausted, Msg: msg, Fix: "Choose another pool or a smaller size, or make it thin.",
			Fields: []domain.FieldError{{Field: "size_bytes", Msg: msg, Want: "at most " + domain.FormatBytes(p.AvailableBytes)}}}
	}
	return nil
}

// volumeAt reads a volume, its pool and the places where it can be worked on.
func (f *Fleet) volumeAt(ctx context.Context, id string) (domain.Volume, db.PoolItem, []storage.Place, error) {
	at, err := f.db.VolumeOn(ctx, id)
	if err != nil {
		return domain.Volume{}, db.PoolItem{}, nil, err
	}
	p, err := f.db.StoragePool(ctx, at[0].PoolID)
	if err != nil {
		return at[0], p, nil, err
	}
	spots, err := places(p)
	return at[0], p, spots, err
}

// ResizeVolume enqueues another size for a volume: of the disk of the VM that runs with it, or of the volume itself.
func (f *Fleet) ResizeVolume(ctx context.Context, actor, volumeID string, req ResizeVolume) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	v, p, at, err := f.volumeAt(ctx, volumeID)
	if err != nil {
		return domain.Job{}, err
	}
	var bad domain.Problems
	domain.CheckVolumeSize(&bad, "size_bytes", req.SizeBytes)
	if !domain.PoolHoldsVolumes(p.Type) || p.Type == "disk" {
		bad.Add("size_bytes", "A volume of a "+p.Type+" pool keeps its size.", "a volume of another pool")
	}
	if req.SizeBytes == v.CapacityBytes {
		bad.Add("size_bytes", "That is its size already.", "another size")
	}
	if req.SizeBytes < v.CapacityBytes && !req.Shrink {
		bad.Add("size_bytes", fmt.Sprintf("%s has %s; what is cut off would be lost.", v.Name, domain.FormatBytes(v.CapacityBytes)), "a larger size, or say that it is to shrink")
	}
	if err := bad.Err(); err != nil {
		return domain.Job{}, err
	}
	if err := storage.Thawed(ctx, f.db, volumeID); err != nil {
		return domain.Job{}, err
	}
	in := storage.ResizeVolume{VolumeID: v.ID, Places: at, Name: v.Name, SizeBytes: req.SizeBytes, Shrink: req.SizeBytes < v.CapacityBytes}
	users, err := f.db.VolumeUsers(ctx, volumeID)
	if err != nil {
		return domain.Job{}, err
	}
	locks := volumeLocks(at, v.Name)
	for _, u := range users {
		if in.Shrink || u.Kind == "volume" || !u.Direct {
			return domain.Job{}, storage.Needed("The volume "+v.Name, users)
		}
		locks = append(locks, u.ID) // nobody starts or stops it meanwhile
		if !u.Live {
			continue
		}
		if in.VMID != "" && in.VMID != u.ID {
			return domain.Job{}, domain.Errorf(domain.Conflict, "Several VMs run with %s, so its size cannot change.", v.Name).WithFix("Shut them down first.")
		}
		vm, err := f.db.VM(ctx, u.ID)
		if err != nil {
			return domain.Job{}, err
		}
		in.VMID, in.UUID, in.Target, in.HostID = vm.ID, vm.UUID, u.Target, vm.HostID
		in.Places = first(at, vm.HostID)
	}
	in.HostID = cmp.Or(in.HostID, in.Places[0].HostID)
	slices.Sort(locks)
	verb := "Resize"
	if in.Shrink {
		verb = "Shrink"
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: storage.KindVolumeResize, Title: fmt.Sprintf("%s volume %s to %s", verb, v.Name, domain.FormatBytes(req.SizeBytes)),
		Resource: domain.Ref{Kind: "volume", ID: v.ID, Name: v.Name}, Locks: slices.Compact(locks), Input: in, Actor: actor, Key: req.Key}, f.grown(ctx, v, req.SizeBytes-v.CapacityBytes))
}

// first puts the place on a host at the head.
func first(at []storage.Place, hostID string) []storage.Place {
	out := slices.Clone(at)
	slices.SortStableFunc(out, func(a, b storage.Place) int {
		switch {
		case a.HostID == hostID && b.HostID != hostID:
			return -1
		case b.HostID == hostID && a.HostID != hostID:
			return 1
		}
		return 0
	})
	return out
}

// DeleteVolume enqueues the deletion of a volume that nobody needs; else the Conflict names everybody who does.
func (f *Fleet) DeleteVolume(ctx context.Context, actor, volumeID, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	req, _, err := f.deleteVolume(ctx, volumeID)
	if err != nil {
		return domain.Job{}, err
	}
	req.Actor, req.Key = actor, key
	return f.engine.Enqueue(ctx, req)
}

func (f *Fleet) deleteVolume(ctx context.Context, volumeID string) (jobs.Request, string, error) {
	v, p, at, err := f.volumeAt(ctx, volumeID)
	if err != nil {
		return jobs.Request{}, cmp.Or(v.Name, volumeID), err
	}
	if !domain.PoolHoldsVolumes(p.Type) {
		return jobs.Request{}, v.Name, domain.Errorf(domain.Unsupported, "A volume of a %s pool is deleted on its server.", p.Type)
	}
	users, err := f.db.VolumeNeeds(ctx, volumeID)
	if err == nil {
		err = storage.Needed("The volume "+v.Name, users)
	}
	return jobs.Request{Kind: storage.KindVolumeDelete, Title: "Delete volume " + v.Name, Resource: domain.Ref{Kind: "volume", ID: v.ID, Name: v.Name}, Locks: volumeLocks(at, v.Name),
		Input: storage.DeleteVolume{HostID: at[0].HostID, VolumeID: v.ID, PoolID: v.PoolID, Places: at, Name: v.Name}}, v.Name, err
}

// DeleteVolumes enqueues the deletion of many: those that somebody needs are refused one by one.
func (f *Fleet) DeleteVolumes(ctx context.Context, actor string, ids []string, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	if len(ids) == 0 {
		return domain.Job{}, domain.InvalidField("ids", "No volume is selected.", "at least one volume")
	}
	in := bulk.Input{Verb: "deleted"}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		req, name, err := f.deleteVolume(ctx, id)
		switch code := domain.CodeOf(err); code {
		case "":
			raw, err := json.Marshal(req.Input)
			if err != nil {
				return domain.Job{}, domain.Errorf(domain.Internal, "The job's input cannot be written: %w", err)
			}
			in.Items = append(in.Items, bulk.Item{Kind: req.Kind, Title: req.Title, Resource: req.Resource, Locks: req.Locks, Input: raw})
		case domain.Internal:
			return domain.Job{}, err
		default:
			in.Refused = append(in.Refused, domain.Reason{Subject: name, Msg: err.Error()})
		}
	}
	if len(in.Items) == 0 {
		e := domain.Errorf(domain.Conflict, "None of the %d selected volumes can be deleted.", len(in.Refused))
		e.Fix, e.Reasons = "Look at the reasons, or select others.", in.Refused
		return domain.Job{}, e
	}
	title := fmt.Sprintf("Delete %d volumes", len(in.Items))
	if len(in.Items) == 1 {
		title = in.Items[0].Title
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: bulk.Kind, Title: title, Resource: domain.Ref{Kind: "volumes", Name: fmt.Sprintf("%d volumes", len(in.Items))}, Input: in, Actor: actor, Key: key})
}
