package fleet

import (
	"context"
	"fmt"
	"slices"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/cloudinit"
	"novacron/domain/placement"
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
	spec.Disks = append(slices.Clone(spec.Disks), domain.Disk{Device: "cdrom", Pool: s.Pool, Source: s.Volume, Format: "raw", ReadOnly: true})
	if c.Windows != nil && c.Windows.DriverISO != "" {
		spec.Disks = append(spec.Disks, domain.Disk{Device: "cdrom", Source: c.Windows.DriverISO, Format: "raw", ReadOnly: true})
	}
	return spec
}

// keep writes what belongs to the new VM's row.
func (c CreateVM) keep(tx *db.Tx, vmID string, s *domain.Seed) error {
	if s != nil {
		s.VMID = vmID
		if err := tx.InsertSeed(*s); err != nil {
			return err
		}
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

// SetCloudInit enqueues a new medium for a VM that has one already.
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
		return domain.Job{}, domain.Errorf(domain.Conflict, "%s was made without cloud-init, so there is no medium to write anew.", vm.Name).WithFix("Give cloud-init when the VM is made.")
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
