package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/forecast"
	"novacron/domain/placement"
	"novacron/domain/preflight"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/migrate"
)

// MigrateVM asks for a VM to be moved.
type MigrateVM struct {
	Host     string // a host's id or name; AnyHost or empty: the one where it is expected to be done soonest
	Mode     domain.MigrationMode
	Disks    map[string]string // by target (vda): a pool of the host, or preflight.Shared
	Networks map[string]string // what the cards' networks and bridges are called there
	Policy   domain.MigrationPolicy
	Key      string
}

// measureWindow and measureLimit bound the look at how fast a guest writes to its memory.
const (
	measureWindow = time.Second
	measureLimit  = 8 * time.Second
	measuredFresh = time.Minute
)

// terrain is everything known about hosts when a move is judged.
type terrain struct {
	vm       domain.VM
	all      []placement.Candidate
	volumes  map[string][]domain.Volume
	vms      map[string][]domain.VM
	shots    map[string]int                   // snapshots, by VM
	skews    map[[2]string]time.Duration      // of the clocks of two hosts
	policies map[string][]domain.ScopedPolicy // that hold for the moves of a VM
	cpus     map[string]domain.CPUMatch       // what hosts say to the VM's processor, by id
	rules    *lay
	images   []domain.ImageCopy
}

func (f *Fleet) terrain(ctx context.Context, vm domain.VM) (*terrain, error) {
	all, err := f.candidates(domain.WithOwner(ctx, vm.Tenant))
	if err != nil {
		return nil, err
	}
	rules, err := f.lieOfVMs(ctx)
	return &terrain{vm: vm, all: all, rules: rules, volumes: map[string][]domain.Volume{}, vms: map[string][]domain.VM{}, shots: map[string]int{}}, err
}

func (t *terrain) host(want string) (placement.Candidate, bool) {
	i := slices.IndexFunc(t.all, func(c placement.Candidate) bool { return c.Host.ID == want || c.Host.Name == want })
	if i < 0 {
		return placement.Candidate{}, false
	}
	return t.all[i], true
}

// unrun reports a VM that was moved while paused and has not run since, on a host whose QEMU dies when it is moved on or saved before it does.
func (f *Fleet) unrun(ctx context.Context, vm domain.VM) (bool, error) {
	if vm.State != domain.VMPaused {
		return false, nil
	}
	last, err := f.db.Migrations(ctx, db.MigrationQuery{VM: vm.ID, State: string(domain.JobSucceeded), Limit: 1})
	if err != nil || len(last) == 0 || last[0].Result == nil || !last[0].Result.Paused || vm.StateAt.After(last[0].Ended) {
		return false, err
	}
	h, err := f.db.Host(ctx, vm.HostID)
	return preflight.DiesUnrun(h.Facts.HypervisorVersion), err
}

// fitToSave refuses to write the memory of a VM that has not run since it arrived.
func (f *Fleet) fitToSave(ctx context.Context, vm domain.VM) error {
	unrun, err := f.unrun(ctx, vm)
	if unrun {
		return domain.Errorf(domain.Conflict, "%s came to %s paused and has not run since: this QEMU would die if it were saved before it runs.", vm.Name, vm.HostName).WithFix("Resume it for a moment first.")
	}
	return err
}

func (f *Fleet) look(ctx context.Context, t *terrain, to placement.Candidate, req MigrateVM) (preflight.Plan, error) {
	from, ok := t.host(t.vm.HostID)
	if !ok {
		return preflight.Plan{}, domain.Errorf(domain.NotFound, "The host of %s is not in the fleet any more.", t.vm.Name)
	}
	if t.policies == nil {
		t.policies = map[string][]domain.ScopedPolicy{}
	}
	if _, known := t.policies[t.vm.ID]; !known {
		written, err := f.db.PoliciesFor(ctx, t.vm.ID, t.vm.Tenant, t.vm.HostID)
		if err != nil {
			return preflight.Plan{}, err
		}
		t.policies[t.vm.ID] = written
	}
	for _, p := range t.policies[t.vm.ID] {
		req.Policy = req.Policy.Over(p.Policy)
	}
	in := preflight.Input{VM: t.vm, From: from, To: to, Mode: req.Mode, Disks: req.Disks, Networks: req.Networks, Policy: req.Policy}
	for _, h := range []string{from.Host.ID, to.Host.ID} {
		if _, known := t.volumes[h]; !known {
			vs, err := f.db.Volumes(ctx, h, "")
			if err != nil {
				return preflight.Plan{}, err
			}
			t.volumes[h] = vs
		}
		in.Volumes = append(in.Volumes, t.volumes[h]...)
	}
	if _, known := t.vms[to.Host.ID]; !known {
		vms, err := f.db.HostVMs(ctx, to.Host.ID)
		if err != nil {
			return preflight.Plan{}, err
		}
		t.vms[to.Host.ID] = vms
	}
	if _, known := t.shots[t.vm.ID]; !known {
		all, err := f.db.Snapshots(ctx, t.vm.ID)
		if err != nil {
			return preflight.Plan{}, err
		}
		t.shots[t.vm.ID] = len(all)
	}
	unrun, err := f.unrun(ctx, t.vm)
	if err != nil {
		return preflight.Plan{}, err
	}
	in.Arrived = unrun
	if in.Skew, err = f.skew(ctx, t, from.Host.ID, to.Host.ID); err != nil {
		return preflight.Plan{}, err
	}
	in.Snapshots, in.CPU = t.shots[t.vm.ID], t.cpus[to.Host.ID]
	if t.images == nil {
		if t.images, err = f.db.ImageCopies(ctx, ""); err != nil {
			return preflight.Plan{}, err
		}
	}
	in.Images = t.images
	in.There = slices.DeleteFunc(slices.Clone(t.vms[to.Host.ID]), func(vm domain.VM) bool { return vm.ID == t.vm.ID })
	plan := preflight.Look(in)
	plan.Checks = append(plan.Checks, t.rules.ruleChecks(t.vm, to.Host)...)
	return plan, nil
}

// skew is how far apart the clocks of two hosts were when a VM last moved from the one to the other, or back: a migration tells only of a clock that is ahead where it goes.
func (f *Fleet) skew(ctx context.Context, t *terrain, from, to string) (time.Duration, error) {
	key := [2]string{from, to}
	if d, known := t.skews[key]; known {
		return d, nil
	}
	var most float64
	for _, q := range []db.MigrationQuery{{From: from, To: to}, {From: to, To: from}} {
		q.State, q.Limit = string(domain.JobSucceeded), recentMigrations
		last, err := f.db.Migrations(ctx, q)
		if err != nil {
			return 0, err
		}
		if i := slices.IndexFunc(last, func(r domain.MigrationRecord) bool { return r.Mode == domain.MigrateLive && r.Result != nil }); i >= 0 {
			most = max(most, last[i].Result.SkewMS)
		}
	}
	if t.skews == nil {
		t.skews = map[[2]string]time.Duration{}
	}
	t.skews[key] = time.Duration(most * float64(time.Millisecond))
	return t.skews[key], nil
}

// recentMigrations is how many of a path, or of the estate, forecasts learn from.
const recentMigrations = 40

// knownPath is how many migrations of a path are enough to leave those of the way back out.
const knownPath = 12

// history reads the path's own migrations, with those of the way back while they are few, and the estate's where it has none.
func (f *Fleet) history(ctx context.Context, from, to string) (h forecast.Path, err error) {
	read := func(q db.MigrationQuery) ([]domain.MigrationRecord, error) {
		q.State, q.Limit = string(domain.JobSucceeded), recentMigrations
		return f.db.Migrations(ctx, q)
	}
	past, err := read(db.MigrationQuery{From: from, To: to})
	if err != nil {
		return h, err
	}
	if len(past) < knownPath {
		back, err := read(db.MigrationQuery{From: to, To: from})
		if err != nil {
			return h, err
		}
		past = append(past, back...)
	}
	if h = forecast.Learn(past); h.Rate > 0 {
		return h, nil
	}
	if past, err = read(db.MigrationQuery{}); err != nil {
		return h, err
	}
	if h = forecast.Learn(past); h.Rate == 0 {
		h.Ratios = nil
	}
	return h, nil
}

// emulatorBytes is what QEMU itself has resident beside its guest's memory, and translatedBytes the guest's code as it was translated where there is no KVM.
const (
	emulatorBytes   = 40 * domain.MiB
	translatedBytes = 32 * domain.MiB
)

func (f *Fleet) foresee(ctx context.Context, vm domain.VM, to string, plan preflight.Plan, memory *hv.GuestMemory) (*domain.MigrationForecast, error) {
	past, err := f.history(ctx, vm.HostID, to)
	if err != nil {
		return nil, err
	}
	return f.foretell(past, vm, plan, memory), nil
}

func (f *Fleet) foretell(past forecast.Path, vm domain.VM, plan preflight.Plan, memory *hv.GuestMemory) *domain.MigrationForecast {
	in := forecast.Input{Dirty: -1, DiskCopy: plan.CopyBytes(), Rate: past.Rate, RateSpread: past.Spread, SetupSeconds: past.Setup, Ratios: past.Ratios, Policy: plan.Policy}
	in.Policy.BandwidthBytes = plan.Policy.BandwidthAt(f.clock())
	in.Memory = vm.Config.MemoryBytes
	if vm.Live != nil {
		in.Memory = vm.Live.MemoryBytes
	}
	if memory != nil {
		in.Dirty, in.DirtyGrain = memory.DirtyRate, memory.Grain
		if memory.Resident > 0 {
			beside := int64(emulatorBytes)
			if vm.Live != nil && vm.Live.Accel == domain.AccelTCG {
				beside += translatedBytes
			}
			in.Used = min(max(memory.Resident-beside, in.Memory/20), in.Memory)
		}
	}
	out := forecast.Live(in)
	if plan.Mode == domain.MigrateCold {
		in.Ratios = nil // they are of live migrations
		out = forecast.Cold(plan.CopyBytes(), in)
	}
	return &out
}

// measured asks the VM's host how it uses its memory, through a job that only looks. nil when it cannot be told now.
func (f *Fleet) measured(ctx context.Context, actor string, vm domain.VM) (*hv.GuestMemory, error) {
	if vm.State != domain.VMRunning {
		return still(vm), nil
	}
	if m, ok := f.memories.get(vm.ID, f.clock()); ok {
		return &m, nil
	}
	job, err := f.engine.Enqueue(ctx, jobs.Request{Kind: migrate.KindMeasure, Title: "Measure the memory of " + vm.Name, Resource: ref(vm), Actor: actor,
		Input: migrate.Measure{HostID: vm.HostID, UUID: vm.UUID, Name: vm.Name, Window: measureWindow}})
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	if job, err = f.engine.Wait(wait, job.ID); err != nil {
		return nil, err
	}
	if job.State != domain.JobSucceeded {
		return nil, nil // its own log says why; the forecast says that it was not measured
	}
	var m hv.GuestMemory
	if err := json.Unmarshal(job.Result, &m); err != nil {
		return nil, domain.Errorf(domain.Internal, "The measurement cannot be read: %w", err)
	}
	f.memories.put(vm.ID, m, f.clock())
	return &m, nil
}

// still is what a guest that stands still does with its memory; nil for one without any.
func still(vm domain.VM) *hv.GuestMemory {
	if vm.State == domain.VMPaused {
		return &hv.GuestMemory{}
	}
	return nil
}

// Foreseen is Forecast for all other hosts from what is known already: nobody is asked. measured says whether that includes how the guest uses its memory.
func (f *Fleet) Foreseen(ctx context.Context, vmID string, req MigrateVM) (targets []domain.MigrationTarget, measured bool, err error) {
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return nil, false, err
	}
	memory, measured := f.memories.get(vm.ID, f.clock())
	targets, err = f.forecasts(ctx, vm, nil, req, func() (*hv.GuestMemory, error) {
		if measured {
			return &memory, nil
		}
		return still(vm), nil
	}, func(vm domain.VM, _ []placement.Candidate) (map[string]domain.CPUMatch, error) {
		return f.matches.get(vm, f.clock()), nil
	})
	return targets, measured, err
}

// Measure looks at how a running VM uses its memory, for the forecasts of the next minute.
func (f *Fleet) Measure(ctx context.Context, actor, vmID string) error {
	vm, err := f.db.VM(ctx, vmID)
	if err == nil {
		_, err = f.measured(ctx, actor, vm)
	}
	return err
}

// Forecast says, for each host asked about (all others of the fleet when none is), whether the VM may move there and how that will go. Nothing is changed.
func (f *Fleet) Forecast(ctx context.Context, actor, vmID string, targets []string, req MigrateVM) ([]domain.MigrationTarget, error) {
	if err := validMove(req); err != nil {
		return nil, err
	}
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return nil, err
	}
	return f.forecasts(ctx, vm, targets, req, func() (*hv.GuestMemory, error) { return f.measured(ctx, actor, vm) },
		func(vm domain.VM, to []placement.Candidate) (map[string]domain.CPUMatch, error) {
			return f.compared(ctx, actor, vm, to)
		})
}

func (f *Fleet) forecasts(ctx context.Context, vm domain.VM, targets []string, req MigrateVM, measure func() (*hv.GuestMemory, error), compare func(domain.VM, []placement.Candidate) (map[string]domain.CPUMatch, error)) ([]domain.MigrationTarget, error) {
	if vm.State == domain.VMAway {
		return nil, vm.State.Can(domain.ActMigrate)
	}
	t, err := f.terrain(ctx, vm)
	if err != nil {
		return nil, err
	}
	var to []placement.Candidate
	for i, name := range targets {
		c, ok := t.host(name)
		if !ok {
			return nil, domain.InvalidField(fmt.Sprintf("targets.%d", i), "There is no host “"+name+"”.", "a host's id or name")
		}
		to = append(to, c)
	}
	if len(targets) == 0 {
		to = slices.DeleteFunc(slices.Clone(t.all), func(c placement.Candidate) bool { return c.Host.ID == vm.HostID })
	}
	if t.cpus, err = compare(vm, to); err != nil {
		return nil, err
	}
	var memory *hv.GuestMemory
	out := []domain.MigrationTarget{}
	for _, c := range to {
		plan, err := f.look(ctx, t, c, req)
		if err != nil {
			return nil, err
		}
		target := domain.MigrationTarget{Host: c.Host.ID, HostName: c.Host.Name, Allowed: plan.Allowed(), Checks: plan.Checks}
		if target.Allowed {
			if memory == nil {
				if memory, err = measure(); err != nil {
					return nil, err
				}
			}
			if target.Forecast, err = f.foresee(ctx, vm, c.Host.ID, plan, memory); err != nil {
				return nil, err
			}
		}
		out = append(out, target)
	}
	slices.SortStableFunc(out, func(a, b domain.MigrationTarget) int { return cmp.Compare(soonness(a), soonness(b)) })
	return out, nil
}

func soonness(t domain.MigrationTarget) float64 {
	if t.Forecast == nil {
		return math.Inf(1)
	}
	return t.Forecast.Seconds.P50
}

func validMove(req MigrateVM) error {
	switch req.Mode {
	case "", domain.MigrateAuto, domain.MigrateLive, domain.MigrateCold:
	default:
		return domain.InvalidField("mode", "“"+string(req.Mode)+"” is not a way to move a VM.", "auto, live, cold; storage to move, not to forecast")
	}
	return req.Policy.Validate()
}

// MigrateVM enqueues a move. A move that would fail is a Conflict with every failed check as a reason, and nothing is touched.
func (f *Fleet) MigrateVM(ctx context.Context, actor, vmID string, req MigrateVM) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	if req.Mode == domain.MigrateStorage {
		return f.moveStorage(ctx, actor, vmID, req)
	}
	if err := validMove(req); err != nil {
		return domain.Job{}, err
	}
	vm, err := f.vmFor(ctx, vmID, domain.ActMigrate)
	if err != nil {
		return domain.Job{}, err
	}
	t, err := f.terrain(ctx, vm)
	if err != nil {
		return domain.Job{}, err
	}
	if req.Host == "" || req.Host == AnyHost {
		if req.Host, err = f.best(ctx, actor, vm, req); err != nil {
			return domain.Job{}, err
		}
	}
	to, ok := t.host(req.Host)
	if !ok {
		return domain.Job{}, domain.InvalidField("host", "There is no host “"+req.Host+"”.", "a host's id or name, or any")
	}
	t.cpus = f.matches.get(vm, f.clock())
	plan, err := f.look(ctx, t, to, req)
	if err != nil {
		return domain.Job{}, err
	}
	r, err := f.moveRequest(t, to, plan, req)
	if err != nil {
		return domain.Job{}, err
	}
	r.Actor, r.Key = actor, req.Key
	return f.engine.Enqueue(ctx, r, moved(vm, to, plan))
}

// moved holds what a VM takes where it goes: disks in the pools there, and cards on networks that are public there.
func moved(vm domain.VM, to placement.Candidate, plan preflight.Plan) func(tx *db.Tx, job *domain.Job) error {
	return func(tx *db.Tx, job *domain.Job) error {
		if vm.Tenant == "" {
			return nil
		}
		there := slices.Clone(vm.Config.NICs)
		for i := range there {
			n := &there[i]
			n.Network, n.Bridge = cmp.Or(plan.Networks[n.Network], n.Network), cmp.Or(plan.Bridges[n.Bridge], n.Bridge)
		}
		use := domain.Usage{Pools: map[string]int64{}}
		n, err := tx.AddressesFor(to.Host.ID, there)
		if err != nil {
			return err
		}
		have, err := tx.VMAddresses(vm.ID)
		if err != nil {
			return err
		}
		use.PublicAddresses = max(0, n-have)
		for _, d := range plan.Disks {
			i := slices.IndexFunc(to.Pools, func(p domain.Pool) bool { return p.Name == d.ToPool })
			if !d.Stays && i >= 0 { // of all pools together it takes no more than before
				use.Pools[to.Pools[i].ID] += d.Capacity
			}
		}
		return tx.Admit(vm.Tenant, use, job.ID, use)
	}
}

// moveRequest is the job that moves the terrain's VM.
func (f *Fleet) moveRequest(t *terrain, to placement.Candidate, plan preflight.Plan, req MigrateVM) (jobs.Request, error) {
	vm := t.vm
	if !plan.Allowed() {
		return jobs.Request{}, migrate.Refused(vm.Name, to.Host.Name, plan.Checks)
	}
	in := migrate.Move{VMID: vm.ID, UUID: vm.UUID, Name: vm.Name, FromID: vm.HostID, FromName: vm.HostName, ToID: to.Host.ID, ToName: to.Host.Name, Mode: plan.Mode,
		Disks: req.Disks, Networks: req.Networks, Policy: plan.Policy}
	if m, ok := f.memories.get(vm.ID, f.clock()); ok {
		in.Memory = &m
	}
	in.CPU = t.cpus[to.Host.ID]
	locks := []string{vm.ID}
	for _, d := range plan.Disks {
		if !d.Stays {
			locks = append(locks, "volume:"+to.Host.ID+"/"+d.ToPool+"/"+d.ToVolume)
		}
	}
	return jobs.Request{Kind: migrate.KindMove, Title: fmt.Sprintf("Move %s to %s", vm.Name, to.Host.Name), Resource: ref(vm), Locks: locks, Input: in}, nil
}

// best is the host where the VM may go and is expected soonest.
func (f *Fleet) best(ctx context.Context, actor string, vm domain.VM, req MigrateVM) (string, error) {
	targets, err := f.Forecast(ctx, actor, vm.ID, nil, req)
	if err != nil {
		return "", err
	}
	e := domain.Errorf(domain.Exhausted, "No other host can take %s.", vm.Name).WithFix("Look at what each lacks, or name a host.")
	for _, t := range targets {
		if t.Allowed {
			return t.Host, nil
		}
		for _, c := range t.Checks {
			if c.Level == domain.CheckFail {
				e.Reasons = append(e.Reasons, domain.Reason{Subject: t.HostName, Msg: c.Message})
			}
		}
	}
	return "", e
}

// lookAgain answers for a job that is about to move its VM.
func (f *Fleet) lookAgain(ctx context.Context, in migrate.Move, memory *hv.GuestMemory) (preflight.Plan, *domain.MigrationForecast, error) {
	vm, err := f.db.VM(ctx, in.VMID)
	if err != nil {
		return preflight.Plan{}, nil, err
	}
	t, err := f.terrain(ctx, vm)
	if err != nil {
		return preflight.Plan{}, nil, err
	}
	to, ok := t.host(in.ToID)
	if !ok {
		return preflight.Plan{}, nil, domain.Errorf(domain.NotFound, "%s is not in the fleet any more.", in.ToName)
	}
	t.cpus = map[string]domain.CPUMatch{in.ToID: in.CPU}
	plan, err := f.look(ctx, t, to, MigrateVM{Mode: in.Mode, Disks: in.Disks, Networks: in.Networks, Policy: in.Policy})
	if err != nil || !plan.Allowed() {
		return plan, nil, err
	}
	fc, err := f.foresee(ctx, vm, in.ToID, plan, memory)
	return plan, fc, err
}
