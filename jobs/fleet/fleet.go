package fleet

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/hv/pool"
	"novacron/jobs"
	"novacron/jobs/blocks"
	"novacron/jobs/bulk"
	"novacron/jobs/cpus"
	"novacron/jobs/declare"
	"novacron/jobs/guest"
	"novacron/jobs/hosts"
	"novacron/jobs/images"
	"novacron/jobs/maintain"
	"novacron/jobs/migrate"
	"novacron/jobs/nets"
	"novacron/jobs/power"
	"novacron/jobs/provision"
	"novacron/jobs/reconcile"
	"novacron/jobs/rollout"
	"novacron/jobs/snapshot"
	"novacron/jobs/storage"
)

// Fleet is the front door. Safe for concurrent use.
type Fleet struct {
	db     *db.DB
	engine *jobs.Engine
	clock  func() time.Time
	trials *hosts.Trials
	desk   *blocks.Desk
	bytes  *Content
	guests *guest.Secrets
	shelf  *images.Library

	memories memories
	offered  []string // files of the host that every tenant may boot
	matches  matches

	placing sync.Mutex // from reading what hosts carry until the new VM's row counts
}

// New makes the front door. Register must be called before jobs can run.
func New(d *db.DB, e *jobs.Engine, clock func() time.Time) *Fleet {
	return &Fleet{db: d, engine: e, clock: clock, trials: hosts.NewTrials(), desk: blocks.NewDesk(), guests: guest.NewSecrets()}
}

// Register makes every kind of job there is known to the engine.
func (f *Fleet) Register(p *pool.Pool, dialer hv.Dialer, rec *reconcile.Reconciler) {
	networks := nets.Deps{DB: f.db, Hosts: rec.Hosts(p), Mirror: rec.Mirror}
	f.engine.Register(power.Kinds(power.Deps{DB: f.db, Hosts: rec.Hosts(p), Mirror: rec.Mirror})...)
	shelf := images.Deps{DB: f.db, Hosts: rec.Hosts(p), Mirror: rec.Mirror, Library: f.shelf}
	f.engine.Register(provision.Kinds(provision.Deps{DB: f.db, Hosts: rec.Hosts(p), Mirror: rec.Mirror, Images: shelf, Nets: networks})...)
	f.engine.Register(nets.Kinds(networks)...)
	f.engine.Register(images.Kinds(shelf)...)
	f.engine.Register(rollout.Kinds(f.db)...)
	f.engine.Register(declare.Kinds(f.declared())...)
	f.engine.Register(hosts.Kinds(hosts.Deps{DB: f.db, Pool: p, Dialer: dialer, Reconciler: rec, Trials: f.trials})...)
	f.engine.Register(migrate.Kinds(migrate.Deps{DB: f.db, Hosts: rec.Hosts(p), Mirror: rec.Mirror, Clock: f.clock, Look: f.lookAgain})...)
	f.engine.Register(snapshot.Kinds(snapshot.Deps{DB: f.db, Hosts: rec.Hosts(p), Mirror: rec.Mirror})...)
	f.engine.Register(cpus.Kinds(rec.Hosts(p))...)
	f.engine.Register(bulk.Kinds()...)
	f.engine.Register(maintain.Kinds(f.maintenance())...)
	f.bytes = NewContent(f, rec.Hosts(p))
	f.engine.Register(blocks.Kinds(blocks.Deps{DB: f.db, Hosts: rec.Hosts(p), Mirror: rec.Mirror, Desk: f.desk, Clock: f.clock})...)
	f.engine.Register(guest.Kinds(guest.Deps{DB: f.db, Hosts: rec.Hosts(p), Clock: f.clock, Secrets: f.guests})...)
	f.engine.Register(storage.Kinds(storage.Deps{DB: f.db, Hosts: rec.Hosts(p), Mirror: rec.Mirror, Secret: func(ctx context.Context, host hv.Host, uuid string) error {
		return blocks.Ensure(ctx, f.db, host, uuid)
	}})...)
}

// Content carries the content of volumes. It is there once Register was called.
func (f *Fleet) Content() *Content { return f.bytes }

// again looks for the job of an earlier request with the same key: a form that was sent twice gets the first answer, before anything
// else is judged, since its own first job would stand in its way.
func (f *Fleet) again(ctx context.Context, actor, key string) (domain.Job, bool, error) {
	if key == "" {
		return domain.Job{}, false, nil
	}
	var job domain.Job
	var ok bool
	err := f.db.Write(ctx, func(tx *db.Tx) (err error) {
		job, ok, err = tx.JobByKey(actor, key)
		return err
	})
	return job, ok, err
}

// busy is a Conflict naming the job that holds the VM.
func busy(vm domain.VM) error {
	if vm.BusyJob == "" {
		return nil
	}
	return &domain.Error{Code: domain.Conflict, Holder: vm.BusyJob, Msg: fmt.Sprintf("%s is busy: %s.", vm.Name, vm.BusyTitle), Fix: "Wait for that job to end, or cancel it."}
}

// vmFor reads a VM and checks that nothing holds it and that its state allows the action.
func (f *Fleet) vmFor(ctx context.Context, vmID string, act domain.VMAction) (domain.VM, error) {
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return vm, err
	}
	if err := may(ctx, vm, needs(act)); err != nil {
		return vm, err
	}
	if err := busy(vm); err != nil {
		return vm, err
	}
	return vm, vm.State.Can(act)
}

func ref(vm domain.VM) domain.Ref { return domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name} }

// stale is the Conflict of two tabs editing one VM.
func stale(vm domain.VM) error {
	return domain.Errorf(domain.Conflict, "%s was changed meanwhile.", vm.Name).WithFix("Look at what it is now, then make your change again.")
}

// nameLock is what jobs that give a name hold, so that no two give the same one, however it is written.
func nameLock(name string) string { return "name:" + strings.ToLower(name) }
