package fleet

import (
	"context"
	"fmt"
	"slices"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/placement"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/provision"
)

// CreateVM places a new VM and enqueues the job that makes it. The error is Invalid (fields), Conflict (name or volume taken, host in maintenance),
// Exhausted (no host can take it, with a reason for each), Unavailable (the host that was named is away) or Unsupported (what that host lacks).
func (f *Fleet) CreateVM(ctx context.Context, actor string, req CreateVM) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	if err := validNew(req); err != nil {
		return domain.Job{}, err
	}
	folder, err := f.folderFor(ctx, req.Folder, req.Tenant)
	if err != nil {
		return domain.Job{}, err
	}
	tenant := folder.Tenant
	if folder.ID == "" {
		if tenant, err = f.tenantFor(ctx, req.Tenant); err != nil {
			return domain.Job{}, err
		}
	}
	if err := f.MayTag(ctx, domain.VM{Tenant: tenant, Folder: folder.ID}, nil, req.Tags); err != nil {
		return domain.Job{}, err
	}
	if req.Template == nil { // a template's author is trusted with the host
		if err := f.reach(ctx, req.Spec); err != nil {
			return domain.Job{}, err
		}
	}
	if err := f.db.Write(ctx, func(tx *db.Tx) error { return tx.CheckVMName(req.Spec.Name, "") }); err != nil {
		return domain.Job{}, err
	}
	disks, refs, versions, err := f.resolveImages(ctx, "disks", req.Spec.Disks)
	if err != nil {
		return domain.Job{}, err
	}
	req.Spec.Disks = disks
	if req.Spec.Arch, err = archOf(req.Spec, versions); err != nil {
		return domain.Job{}, err
	}
	req.Spec.NICs = slices.Clone(req.Spec.NICs)
	sets, err := f.settleCards(ctx, "nics", req.Spec.NICs)
	if err != nil {
		return domain.Job{}, err
	}
	if !db.Trying(ctx) { // a trial has the turn to write already, so it is alone; who holds the lock waits for that turn
		f.placing.Lock()
		defer f.placing.Unlock()
	}
	d, on, err := f.place(domain.WithOwner(ctx, tenant), req.Spec, req.Tags, req.Host)
	if err != nil {
		return domain.Job{}, err
	}
	volumes, err := f.db.Volumes(ctx, d.HostID, "")
	if err != nil {
		return domain.Job{}, err
	}
	if a := req.Spec.Accel; (a == "" || a == domain.AccelAuto) && (on.Host.Accel == domain.AccelKVM && on.Host.Facts.KVM.OK || on.Host.Accel == domain.AccelTCG) {
		req.Spec.Accel = on.Host.Accel // set by hand for the host
	}
	seed, err := req.seed(on, volumes)
	if err != nil {
		return domain.Job{}, err
	}
	spec, err := provision.Settle(req.withSeed(seed), on, volumes)
	if err != nil {
		return domain.Job{}, err
	}
	var locks []string
	if spec.HostDevices, locks, err = settleDevices(spec.HostDevices, on, "host_devices"); err != nil {
		return domain.Job{}, err
	}
	if err := f.writable(ctx, "disks", spec.Disks, volumes); err != nil {
		return domain.Job{}, err
	}
	secrets := settleSecrets(d.HostID, spec.Disks, on.Pools, f.newSecret)
	n := provision.New{VMID: domain.NewID("vm", f.clock()), HostID: d.HostID, HostName: on.Host.Name, Spec: spec, Images: refs}
	made := provision.NewVolumes(spec)
	input := provision.Create{New: n, Start: req.Start}
	if seed != nil {
		made = append(made, hv.VolumeSpec{Pool: seed.Pool, Name: seed.Volume})
		input.Seed = &provision.SeedVolume{Pool: seed.Pool, Volume: seed.Volume}
	}
	return f.enqueueNew(ctx, n, "", tenant, folder.ID, req.Tags, req.Notes, jobs.Request{
		Kind:  provision.KindCreate,
		Title: "Create " + spec.Name,
		Locks: append(locks, provision.Locks(d.HostID, made)...),
		Input: input,
		Actor: actor,
		Key:   req.Key,
	}, func(tx *db.Tx, job *domain.Job) error {
		if err := secrets(tx); err != nil {
			return err
		}
		if err := req.keep(tx, n.VMID, seed); err != nil {
			return err
		}
		if err := noted(tx, sets, "nics", spec.NICs, n.VMID); err != nil {
			return err
		}
		if err := rememberImages(tx, job.ID, n.VMID, spec, versions); err != nil || req.Template == nil {
			return err
		}
		of := *req.Template
		of.VMID = n.VMID
		return tx.SetVMTemplate(of)
	})
}

func validNew(req CreateVM) error {
	var p domain.Problems
	if e, ok := req.Spec.Validate().(*domain.Error); ok && e != nil {
		p = append(p, e.Fields...)
	}
	domain.CheckTags(&p, "tags", req.Tags)
	req.judgeSeed(&p)
	return p.Err()
}

// enqueueNew inserts the row of a VM to be made in the transaction that enqueues its job. copied is the VM whose disks it gets copies of, if it does.
func (f *Fleet) enqueueNew(ctx context.Context, n provision.New, copied, tenant, folder string, tags []string, notes string, req jobs.Request, more ...func(tx *db.Tx, job *domain.Job) error) (domain.Job, error) {
	if err := mayMake(ctx, tenant, folder); err != nil {
		return domain.Job{}, err
	}
	req.Resource = domain.Ref{Kind: "vm", ID: n.VMID, Name: n.Spec.Name}
	req.Locks = append([]string{n.VMID, nameLock(n.Spec.Name)}, req.Locks...)
	return f.engine.Enqueue(ctx, req, func(tx *db.Tx, job *domain.Job) error {
		h, err := tx.Host(n.HostID)
		if err != nil {
			return err
		}
		if other, err := tx.VMByUUID(n.HostID, n.Spec.UUID); err == nil {
			return &domain.Error{Code: domain.Conflict, Msg: fmt.Sprintf("%s on %s has this UUID already.", other.Name, h.Name), Fix: "Leave the UUID out to have a new one made.",
				Fields: []domain.FieldError{{Field: "uuid", Msg: "It is taken by " + other.Name + ".", Want: "another one, or nothing to have one made"}}}
		} else if !domain.Is(err, domain.NotFound) {
			return err
		}
		now := f.clock()
		vm := domain.VM{ID: n.VMID, UUID: n.Spec.UUID, HostID: n.HostID, HostName: h.Name, Tenant: tenant, Folder: folder, Name: n.Spec.Name, State: domain.VMStopped, LastState: domain.VMStopped,
			Creating: true, Config: n.Spec, Tags: tags, Notes: notes, StateAt: now, CreatedAt: now}
		job.Tenant = tenant
		all, held, err := sizeOf(tx, n.HostID, n.Spec)
		if err != nil {
			return err
		}
		if copied != "" && held.StorageBytes == 0 { // the copies' sizes stand with the originals, and not in the new VM's description
			copies, err := tx.DiskUsage(copied)
			if err != nil {
				return err
			}
			all, held = all.Plus(copies), held.Plus(copies)
		}
		if err := tx.Admit(tenant, all, job.ID, held); err != nil {
			return err
		}
		if err := tx.InsertVM(vm); err != nil {
			return err
		}
		for _, also := range more {
			if err := also(tx, job); err != nil {
				return err
			}
		}
		return tx.Emit(domain.Event{Kind: "vm.created", Resource: req.Resource, HostID: n.HostID, JobID: job.ID, Actor: req.Actor, Message: fmt.Sprintf("%s is being made on %s.", n.Spec.Name, h.Name)})
	})
}

// place asks the planner with everything the database knows of the hosts.
func (f *Fleet) place(ctx context.Context, spec domain.VMSpec, tags []string, wanted string) (placement.Decision, placement.Candidate, error) {
	all, err := f.candidates(ctx)
	if err != nil {
		return placement.Decision{}, placement.Candidate{}, err
	}
	if wanted != "" && wanted != placement.Any && !slices.ContainsFunc(all, func(c placement.Candidate) bool { return c.Host.ID == wanted }) {
		for _, c := range all {
			if c.Host.Name == wanted {
				wanted = c.Host.ID // people know hosts by name
				break
			}
		}
	}
	if err := f.taken(ctx, spec.HostDevices, all, ""); err != nil {
		return placement.Decision{}, placement.Candidate{}, err
	}
	if err := f.ruled(ctx, spec.Name, tags, all); err != nil {
		return placement.Decision{}, placement.Candidate{}, err
	}
	d, err := placement.Place(spec, wanted, all)
	if err != nil {
		return d, placement.Candidate{}, err
	}
	i := slices.IndexFunc(all, func(c placement.Candidate) bool { return c.Host.ID == d.HostID })
	return d, all[i], nil
}

// Explain says where a VM would go and why, without making it.
func (f *Fleet) Explain(ctx context.Context, spec domain.VMSpec, wanted string) (placement.Decision, error) {
	d, _, err := f.place(ctx, spec, nil, wanted)
	return d, err
}

func (f *Fleet) candidates(ctx context.Context) ([]placement.Candidate, error) {
	hs, err := f.db.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	loads, err := f.db.HostLoads(ctx)
	if err != nil {
		return nil, err
	}
	pools, err := f.db.Pools(ctx, "")
	if err != nil {
		return nil, err
	}
	networks, err := f.db.Networks(ctx, "")
	if err != nil {
		return nil, err
	}
	devices, err := f.db.Devices(ctx, "")
	if err != nil {
		return nil, err
	}
	closed, err := f.closed(ctx, "", networks)
	if err != nil {
		return nil, err
	}
	allowed, err := f.forOwner(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]placement.Candidate, len(hs))
	at := make(map[string]*placement.Candidate, len(hs))
	for i, h := range hs {
		l := loads[h.ID]
		out[i] = placement.Candidate{Host: h, Closed: closed[h.ID], UsedMemory: l.MemoryRunning + l.MemoryCreating, UsedVCPUs: l.VCPUsRunning, VMs: l.VMs}
		at[h.ID] = &out[i]
		if !allowed(h.ID, "host_") {
			out[i].Reserved = "It is not given to the tenant."
		}
	}
	for _, p := range pools {
		if c := at[p.HostID]; c != nil && allowed(p.ID, "pool_") {
			c.Pools = append(c.Pools, p)
		}
	}
	for _, n := range networks {
		if c := at[n.HostID]; c != nil {
			c.Networks = append(c.Networks, n)
		}
	}
	for _, d := range devices {
		if c := at[d.HostID]; c != nil {
			c.Devices = append(c.Devices, d)
		}
	}
	return out, nil
}

// closed gives, by hosts, the bridges of networks that are somebody else's: who may not name such a network may not go round it either. seen are the networks
// that who asks may name.
func (f *Fleet) closed(ctx context.Context, hostID string, seen []domain.Network) (map[string][]string, error) {
	if domain.SightOf(ctx).Full() {
		return nil, nil //nolint:nilnil // nothing is closed
	}
	all, err := f.db.Networks(domain.WithSight(ctx, nil), hostID)
	if err != nil {
		return nil, err
	}
	open := map[string]bool{}
	for _, n := range seen {
		open[n.HostID+"/"+n.Bridge] = true
	}
	out := map[string][]string{}
	for _, n := range all {
		if n.Bridge != "" && !open[n.HostID+"/"+n.Bridge] {
			out[n.HostID] = append(out[n.HostID], n.Bridge)
		}
	}
	return out, nil
}

// on gives one host as a candidate, for choosing pools.
func (f *Fleet) on(ctx context.Context, hostID string) (placement.Candidate, []domain.Volume, error) {
	var c placement.Candidate
	var err error
	if c.Host, err = f.db.Host(ctx, hostID); err != nil {
		return c, nil, err
	}
	if c.Pools, err = f.db.Pools(ctx, hostID); err != nil {
		return c, nil, err
	}
	if c.Networks, err = f.db.Networks(ctx, hostID); err != nil {
		return c, nil, err
	}
	if c.Devices, err = f.db.Devices(ctx, hostID); err != nil {
		return c, nil, err
	}
	closed, err := f.closed(ctx, hostID, c.Networks)
	if err != nil {
		return c, nil, err
	}
	c.Closed = closed[hostID]
	volumes, err := f.db.Volumes(ctx, hostID, "")
	return c, volumes, err
}

// CloneVM enqueues the copy of a stopped VM on its host: in full, or linked, which freezes the disks of both. Tags and notes are copied too.
func (f *Fleet) CloneVM(ctx context.Context, actor, vmID string, req CloneVM) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	var p domain.Problems
	domain.CheckVMName(&p, "name", req.Name)
	if err := p.Err(); err != nil {
		return domain.Job{}, err
	}
	vm, err := f.vmFor(ctx, vmID, domain.ActClone)
	if err != nil {
		return domain.Job{}, err
	}
	if err := f.db.Write(ctx, func(tx *db.Tx) error { return tx.CheckVMName(req.Name, "") }); err != nil {
		return domain.Job{}, err
	}
	volumes, err := f.db.Volumes(ctx, vm.HostID, "")
	if err != nil {
		return domain.Job{}, err
	}
	folder := vm.Folder
	if req.Folder != nil {
		if folder, err = f.folderOfCopy(ctx, vm, *req.Folder); err != nil {
			return domain.Job{}, err
		}
	}
	in := provision.Clone{From: vm.UUID, Name: vm.Name}
	locks := []string{vm.ID}
	if req.Linked {
		if err := f.unsnapped(ctx, vm); err != nil {
			return domain.Job{}, err
		}
		pools, err := f.db.Pools(ctx, vm.HostID)
		if err != nil {
			return domain.Job{}, err
		}
		if in.Spec, in.MACs, in.Links, err = provision.SettleLinks(vm, req.Name, volumes, pools); err != nil {
			return domain.Job{}, err
		}
		for _, l := range in.Links {
			for _, name := range []string{l.Base, l.Own, l.To} {
				locks = append(locks, "volume:"+vm.HostID+"/"+l.Pool+"/"+name)
			}
		}
	} else if in.Spec, in.MACs, in.Copies, err = provision.SettleClone(vm, req.Name, volumes); err != nil {
		return domain.Job{}, err
	}
	seed, own, err := f.seedOfCopy(ctx, vm, &in.Spec, in.MACs, volumes)
	if err != nil {
		return domain.Job{}, err
	}
	rules, err := f.db.ExecRules(ctx, vm.ID)
	if err != nil {
		return domain.Job{}, err
	}
	if in.Seed = own; own != nil {
		locks = append(locks, provision.Locks(vm.HostID, []hv.VolumeSpec{{Pool: own.Pool, Name: own.Volume}})...)
	}
	in.New = provision.New{VMID: domain.NewID("vm", f.clock()), HostID: vm.HostID, HostName: vm.HostName, Spec: in.Spec}
	for _, c := range in.Copies {
		locks = append(locks, "volume:"+vm.HostID+"/"+c.Pool+"/"+c.To)
	}
	title := "Clone %s as %s"
	if req.Linked {
		title = "Clone %s as %s, linked"
	}
	return f.enqueueNew(ctx, in.New, vm.ID, vm.Tenant, folder, vm.Tags, vm.Notes, jobs.Request{
		Kind:  provision.KindClone,
		Title: fmt.Sprintf(title, vm.Name, req.Name),
		Locks: locks,
		Input: in,
		Actor: actor,
		Key:   req.Key,
	}, func(tx *db.Tx, _ *domain.Job) error {
		if err := keepSeed(tx, in.VMID, seed); err != nil {
			return err
		}
		if err := tx.SetExecRules(in.VMID, rules); err != nil {
			return err
		}
		return tx.CopyImageUses(vm.ID, in.VMID)
	})
}
