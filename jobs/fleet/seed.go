package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/cloudinit"
	"novacron/domain/placement"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/guest"
	"novacron/jobs/provision"
)

// judgeSeed checks what the first boot is to read.
func (c CreateVM) judgeSeed(p *domain.Problems) {
	if c.CloudInit != nil && c.Windows != nil {
		p.Add("windows", "A guest is either given cloud-init or an answer file for Windows.", "one of the two")
	}
	if c.CloudInit != nil {
		cloudinit.Judge(*c.CloudInit, p, "cloud_init.")
	}
	if c.Windows != nil {
		c.Windows.Validate(p, "windows.")
	}
	c.ExecRules.Validate(p, "guest_exec_allow")
}

// seed settles where the medium of the first boot lies: beside the VM's first new disk. Nil when there is nothing to read.
func (c CreateVM) seed(on placement.Candidate, volumes []domain.Volume) (*domain.Seed, error) {
	if c.CloudInit == nil && c.Windows == nil {
		return nil, nil
	}
	s := &domain.Seed{Kind: domain.SeedCloudInit, Pool: placement.PoolFor(on), Volume: c.Spec.Name + "-seed.iso", InstanceID: domain.NewUUID()}
	for _, d := range c.Spec.Disks {
		if d.New() && d.Pool != "" {
			s.Pool = d.Pool
			break
		}
	}
	if c.Windows != nil {
		s.Kind, s.Content.Windows = domain.SeedWindows, c.Windows
	} else {
		ci := cloudinit.Settle(*c.CloudInit)
		s.Content.CloudInit = &ci
	}
	if i := slices.IndexFunc(volumes, func(v domain.Volume) bool { return v.Pool == s.Pool && v.Name == s.Volume }); i >= 0 {
		e := domain.Errorf(domain.Conflict, "%s exists already and was left as it is.", volumes[i].Path).WithFix("Choose another name for the VM, or delete that file if nobody needs it.")
		e.Fields = []domain.FieldError{{Field: "name", Msg: e.Msg, Want: "a name whose seed is free"}}
		return nil, e
	}
	return s, nil
}

// withSeed is the spec with the drives that the first boot needs, behind those that were asked for: the installer's own medium stays the first.
func (c CreateVM) withSeed(s *domain.Seed) domain.VMSpec {
	spec := c.Spec
	if s == nil {
		return spec
	}
	spec.Disks = append(slices.Clone(spec.Disks), domain.Disk{Device: "cdrom", Bus: seedBus(s.Kind), Pool: s.Pool, Source: s.Volume, Format: "raw", ReadOnly: true})
	if c.Windows != nil && c.Windows.DriverISO != "" {
		spec.Disks = append(spec.Disks, domain.Disk{Device: "cdrom", Source: c.Windows.DriverISO, Format: "raw", ReadOnly: true})
	}
	return spec
}

// seedBus is what the drive of a seed hangs on. Kernels made for clouds, Debian's among them, know no SATA: they see a drive on virtio-scsi. The installer of
// Windows knows no virtio without a driver.
func seedBus(kind string) string {
	if kind == domain.SeedCloudInit {
		return "scsi"
	}
	return ""
}

// keep writes what belongs to the new VM's row.
func (c CreateVM) keep(tx *db.Tx, vmID string, s *domain.Seed) error {
	if err := keepSeed(tx, vmID, s); err != nil {
		return err
	}
	return tx.SetExecRules(vmID, c.ExecRules)
}

// SetCloudInit asks for what a VM's first boot reads to be written anew.
type SetCloudInit struct {
	CloudInit    domain.CloudInit
	KeepPassword bool  // the one it has, when none is given
	NewInstance  bool  // cloud-init does a first boot's work again at the next start
	Version      int64 // of the seed that it is based on; 0: any
	Key          string
}

// CloudInit reads what a VM's first boot reads, with the password's hash taken out; has says that there is one.
func (f *Fleet) CloudInit(ctx context.Context, vmID string) (s domain.Seed, has bool, err error) {
	if s, err = f.db.OpenSeed(ctx, vmID, false); err != nil {
		return s, false, err
	}
	if c := s.Content.CloudInit; c != nil {
		has, c.PasswordHash = c.PasswordHash != "", ""
	}
	if w := s.Content.Windows; w != nil {
		has, w.AdminPassword = w.AdminPassword != "", ""
	}
	return s, has, nil
}

// SetCloudInit enqueues a new medium, or the first one of a VM that has none: then the VM gets a drive for it too, at its next start at the latest.
func (f *Fleet) SetCloudInit(ctx context.Context, actor, vmID string, req SetCloudInit) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	var p domain.Problems
	cloudinit.Judge(req.CloudInit, &p, "cloud_init.")
	if err := p.Err(); err != nil {
		return domain.Job{}, err
	}
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return domain.Job{}, err
	}
	if err := busy(vm); err != nil {
		return domain.Job{}, err
	}
	s, err := f.db.OpenSeed(ctx, vm.ID, false)
	switch {
	case domain.Is(err, domain.NotFound):
		return f.addCloudInit(ctx, actor, vm, req)
	case err != nil:
		return domain.Job{}, err
	case s.Content.CloudInit == nil:
		return domain.Job{}, domain.Errorf(domain.Conflict, "The first boot of %s reads an answer file for Windows.", vm.Name)
	}
	before := *s.Content.CloudInit
	after := cloudinit.Settle(req.CloudInit)
	if after.PasswordHash == "" && req.KeepPassword {
		after.PasswordHash = before.PasswordHash
	}
	s.Content, s.Version = domain.SeedContent{CloudInit: &after}, req.Version
	if req.NewInstance {
		s.InstanceID = domain.NewUUID()
	}
	on := guest.On{VMID: vm.ID, HostID: vm.HostID, UUID: vm.UUID, Name: vm.Name}
	return f.engine.Enqueue(ctx, jobs.Request{
		Kind: guest.KindSeed, Title: fmt.Sprintf("Write what the first boot of %s reads", vm.Name), Resource: ref(vm), Locks: []string{vm.ID},
		Input: guest.Seed{On: on, Pool: s.Pool, Volume: s.Volume}, Actor: actor, Key: req.Key,
	}, func(tx *db.Tx, _ *domain.Job) error { return tx.PrepareSeed(s) })
}

// planSeed says that the medium of the first boot goes with its VM, unless somebody else uses it.
func (f *Fleet) planSeed(ctx context.Context, vm domain.VM, p *DeletePlan, vms []domain.VM, volumes []domain.Volume) error {
	s, err := f.db.Seed(ctx, vm.ID)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range p.Files {
		file := &p.Files[i]
		if file.Pool != s.Pool || file.Volume != s.Volume {
			continue
		}
		if users := provision.Users(file.Path, file.Pool, file.Volume, vm.ID, vms, volumes); users != "" {
			file.Why = "It " + users + "."
			continue
		}
		file.Goes, file.Always, file.Why = true, true, "It was made for the first boot of "+vm.Name+" and always goes with it."
		p.Bytes += file.AllocationBytes
	}
	return nil
}

// addCloudInit gives a VM a seed and a drive for it.
func (f *Fleet) addCloudInit(ctx context.Context, actor string, vm domain.VM, req SetCloudInit) (domain.Job, error) {
	if req.CloudInit.Empty() {
		return domain.Job{}, domain.Errorf(domain.Invalid, "Nothing is asked for.").WithFix("Fill in at least one field: a user and a key, for example.")
	}
	if err := vm.State.Can(domain.ActEdit); err != nil {
		return domain.Job{}, err
	}
	on, volumes, err := f.on(ctx, vm.HostID)
	if err != nil {
		return domain.Job{}, err
	}
	content := cloudinit.Settle(req.CloudInit)
	s := domain.Seed{VMID: vm.ID, Kind: domain.SeedCloudInit, Pool: placement.PoolFor(on), InstanceID: domain.NewUUID(), Content: domain.SeedContent{CloudInit: &content}}
	byName, byPath := provision.Index(volumes)
	for _, d := range vm.Config.Disks {
		if v, ok := provision.VolumeOf(d, byName, byPath); ok && !provision.Shared(d) {
			s.Pool = v.Pool
			break
		}
	}
	if s.Pool == "" {
		return domain.Job{}, domain.Errorf(domain.Conflict, "%s has no storage pool that the medium could lie in.", vm.HostName).WithFix("Make or start a storage pool on that host.")
	}
	s.Volume = freeSeed(vm.Name, s.Pool, volumes)
	drive := domain.Disk{Device: "cdrom", Bus: seedBus(s.Kind), Pool: s.Pool, Volume: s.Volume, Format: "raw", ReadOnly: true}
	change := domain.VMChange{AddDisks: []domain.Disk{drive}}
	if _, err := change.Apply(vm.Config); err != nil {
		return domain.Job{}, err
	}
	return f.engine.Enqueue(ctx, jobs.Request{
		Kind: provision.KindChange, Title: "Give " + vm.Name + " cloud-init", Resource: ref(vm),
		Locks: append([]string{vm.ID}, provision.Locks(vm.HostID, []hv.VolumeSpec{{Pool: s.Pool, Name: s.Volume}})...),
		Input: provision.Change{VMID: vm.ID, HostID: vm.HostID, UUID: vm.UUID, Name: vm.Name, Change: change, Seed: &provision.SeedVolume{Pool: s.Pool, Volume: s.Volume}},
		Actor: actor, Key: req.Key,
	}, func(tx *db.Tx, _ *domain.Job) error { return tx.InsertSeed(s) })
}

// freeSeed is a name for a seed that nothing has yet.
func freeSeed(vm, pool string, volumes []domain.Volume) string {
	name := vm + "-seed.iso"
	for n := 2; slices.ContainsFunc(volumes, func(v domain.Volume) bool { return v.Pool == pool && v.Name == name }); n++ {
		name = fmt.Sprintf("%s-seed-%d.iso", vm, n)
	}
	return name
}

// seedOfCopy is the seed that a copy of vm gets in the place of the original's: what it says is the same, but it is another instance under another name, and its
// cards are the copy's. Nil when the original has none, or has taken it out of its drive. spec is the copy's and shows the new medium afterwards.
func (f *Fleet) seedOfCopy(ctx context.Context, vm domain.VM, spec *domain.VMSpec, macs map[string]string, volumes []domain.Volume) (*domain.Seed, *provision.SeedVolume, error) {
	s, err := f.db.OpenSeed(ctx, vm.ID, false)
	if domain.Is(err, domain.NotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	byName, byPath := provision.Index(volumes)
	var from domain.Volume
	target := ""
	for _, d := range vm.Config.Disks {
		if v, ok := provision.VolumeOf(d, byName, byPath); ok && v.Pool == s.Pool && v.Name == s.Volume {
			target, from = d.Target, v
		}
	}
	if from.Name == "" {
		return nil, nil, nil
	}
	own := domain.Seed{Kind: s.Kind, Pool: s.Pool, Volume: freeSeed(spec.Name, s.Pool, volumes), InstanceID: domain.NewUUID()}
	if c := s.Content.CloudInit; c != nil {
		copied := *c
		if _, rest, dotted := strings.Cut(c.Hostname, "."); dotted {
			copied.Hostname = domain.HostnameFor(spec.Name) + "." + rest
		} else {
			copied.Hostname = ""
		}
		copied.Network = slices.Clone(c.Network)
		for i, n := range copied.Network {
			for was, is := range macs {
				if n.MAC != "" && strings.EqualFold(n.MAC, was) {
					copied.Network[i].MAC = is
				}
			}
		}
		own.Content.CloudInit = &copied
	}
	if w := s.Content.Windows; w != nil {
		copied := *w
		copied.ComputerName = ""
		own.Content.Windows = &copied
	}
	for i := range spec.Disks { // the copy of a snapshot lists the disks that are copied only
		if d := &spec.Disks[i]; d.Target == target {
			d.Pool, d.Volume, d.Source, d.SizeBytes = own.Pool, own.Volume, "", 0
		}
	}
	return &own, &provision.SeedVolume{Pool: own.Pool, Volume: own.Volume, Path: from.Path, From: from.Name}, nil
}

// keepSeed writes the seed of a VM that is about to be made; nil: none.
func keepSeed(tx *db.Tx, vmID string, s *domain.Seed) error {
	if s == nil {
		return nil
	}
	s.VMID = vmID
	return tx.InsertSeed(*s)
}
