package db

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"novacron/domain"
)

var errSkeleton = errors.New("not filled in yet")

type DB struct{}
type Tx struct{}
type Feed struct{}
type SessionStore struct{}

func Open(ctx context.Context, path string, log *slog.Logger, clock func() time.Time) (*DB, error) {
	return nil, errSkeleton
}
func (d *DB) Close() error                                           { return errSkeleton }
func (d *DB) Ping(ctx context.Context) error                         { return errSkeleton }
func (d *DB) Write(ctx context.Context, fn func(tx *Tx) error) error { return errSkeleton }
func (d *DB) Prune(ctx context.Context, eventsBefore, jobsBefore time.Time) (events, jobs int64, err error) {
	return 0, 0, errSkeleton
}

// Hosts
func (d *DB) Hosts(ctx context.Context) ([]domain.Host, error) { return nil, errSkeleton }
func (d *DB) Host(ctx context.Context, id string) (domain.Host, error) {
	return domain.Host{}, errSkeleton
}
func (d *DB) HostLoads(ctx context.Context) (map[string]HostLoad, error) { return nil, errSkeleton }
func (d *DB) HostCredentials(ctx context.Context, id string) (domain.HostCredentials, error) {
	return domain.HostCredentials{}, errSkeleton
}
func (tx *Tx) Host(id string) (domain.Host, error)                          { return domain.Host{}, errSkeleton }
func (tx *Tx) InsertHost(h domain.Host, creds domain.HostCredentials) error { return errSkeleton }

// UpdateHost writes name, notes, labels and maintenance when h.Version is current, else Conflict.
func (tx *Tx) UpdateHost(h domain.Host) (domain.Host, error)                    { return domain.Host{}, errSkeleton }
func (tx *Tx) SetHostCredentials(id string, creds domain.HostCredentials) error { return errSkeleton }
func (tx *Tx) SetHostState(id string, state domain.HostState, reason, fix string, at time.Time) (changed bool, err error) {
	return false, errSkeleton
}
func (tx *Tx) SetHostFacts(id string, facts domain.HostFacts, at time.Time) (changed bool, err error) {
	return false, errSkeleton
}

// TouchHost says that host and guests were confirmed at that time.
func (tx *Tx) TouchHost(id string, at time.Time) error { return errSkeleton }
func (tx *Tx) DeleteHost(id string) error              { return errSkeleton }

// VMs
func (d *DB) VM(ctx context.Context, id string) (domain.VM, error) { return domain.VM{}, errSkeleton }
func (d *DB) VMByUUID(ctx context.Context, hostID, uuid string) (domain.VM, error) {
	return domain.VM{}, errSkeleton
}
func (d *DB) VMs(ctx context.Context, q VMQuery) (VMPage, error) { return VMPage{}, errSkeleton }

// VMIDs gives the ids of all VMs that match (for "select all N"), whatever Limit and After say.
func (d *DB) VMIDs(ctx context.Context, q VMQuery) ([]string, error) { return nil, errSkeleton }

// HostVMs gives all VMs of a host, without XML.
func (d *DB) HostVMs(ctx context.Context, hostID string) ([]domain.VM, error) {
	return nil, errSkeleton
}

// Tags lists every tag in use with how many VMs have it.
func (d *DB) Tags(ctx context.Context) (map[string]int, error) { return nil, errSkeleton }
func (tx *Tx) VM(id string) (domain.VM, error)                 { return domain.VM{}, errSkeleton }
func (tx *Tx) VMByUUID(hostID, uuid string) (domain.VM, error) { return domain.VM{}, errSkeleton }

// CheckVMName is a Conflict on field "name" when another VM of the estate has the name.
func (tx *Tx) CheckVMName(name, exceptID string) error { return errSkeleton }
func (tx *Tx) UpsertGuest(hostID string, g domain.Guest, at time.Time) (vm domain.VM, created, changed bool, err error) {
	return domain.VM{}, false, false, errSkeleton
}
func (tx *Tx) SetVMState(id string, state domain.VMState, reason string, at time.Time) (changed bool, err error) {
	return false, errSkeleton
}
func (tx *Tx) SetVMCreating(id string, creating bool) error { return errSkeleton }

// InsertVM needs ID, UUID, HostID and Config; a name in use is a Conflict.
func (tx *Tx) InsertVM(vm domain.VM) error { return errSkeleton }
func (tx *Tx) DeleteVM(id string) error    { return errSkeleton }
func (tx *Tx) UpdateVMDescription(id string, version int64, tags []string, notes string) error {
	return errSkeleton
}

// Inventory; hostID "" means all hosts, pool "" all pools.
func (tx *Tx) ReplaceInventory(hostID string, inv domain.Inventory) (changed bool, err error) {
	return false, errSkeleton
}
func (d *DB) Pools(ctx context.Context, hostID string) ([]domain.Pool, error) {
	return nil, errSkeleton
}
func (d *DB) Volumes(ctx context.Context, hostID, pool string) ([]domain.Volume, error) {
	return nil, errSkeleton
}
func (d *DB) Networks(ctx context.Context, hostID string) ([]domain.Network, error) {
	return nil, errSkeleton
}
func (d *DB) Devices(ctx context.Context, hostID string) ([]domain.Device, error) {
	return nil, errSkeleton
}

// Jobs
func (d *DB) Job(ctx context.Context, id string) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (d *DB) Jobs(ctx context.Context, q JobQuery) (JobPage, error) { return JobPage{}, errSkeleton }
func (d *DB) JobLog(ctx context.Context, id string) ([]domain.JobLine, error) {
	return nil, errSkeleton
}
func (d *DB) Unended(ctx context.Context) ([]domain.Job, error) { return nil, errSkeleton }
func (d *DB) Children(ctx context.Context, parentID string) ([]domain.Job, error) {
	return nil, errSkeleton
}
func (tx *Tx) Job(id string) (domain.Job, error) { return domain.Job{}, errSkeleton }
func (tx *Tx) JobByKey(actor, key string) (job domain.Job, ok bool, err error) {
	return domain.Job{}, false, errSkeleton
}
func (tx *Tx) InsertJob(job domain.Job, key string) error               { return errSkeleton }
func (tx *Tx) UpdateJob(job domain.Job) error                           { return errSkeleton }
func (tx *Tx) TakeLocks(job domain.Job) error                           { return errSkeleton }
func (tx *Tx) ReleaseLocks(jobID string) error                          { return errSkeleton }
func (tx *Tx) AppendJobLog(jobID string, lines ...domain.JobLine) error { return errSkeleton }

// Events
func (tx *Tx) Emit(ev domain.Event) error { return errSkeleton }
func (d *DB) Events(ctx context.Context, q EventQuery) ([]domain.Event, error) {
	return nil, errSkeleton
}
func (d *DB) Feed() *Feed   { return nil }
func (f *Feed) Last() int64 { return 0 }

// Since gives at most max events newer than seq, oldest first. gap: seq is older than the ring remembers; read DB.Events or resync.
func (f *Feed) Since(seq int64, max int) (evs []domain.Event, gap bool) { return nil, false }

// Wait returns nil as soon as there is an event newer than seq.
func (f *Feed) Wait(ctx context.Context, seq int64) error { return errSkeleton }

// People
func (d *DB) User(ctx context.Context, id string) (domain.User, error) {
	return domain.User{}, errSkeleton
}
func (d *DB) UserByName(ctx context.Context, name string) (domain.User, error) {
	return domain.User{}, errSkeleton
}
func (d *DB) Users(ctx context.Context) ([]domain.User, error) { return nil, errSkeleton }
func (tx *Tx) InsertUser(u domain.User) error                  { return errSkeleton }
func (tx *Tx) UpdateUser(u domain.User) error                  { return errSkeleton }
func (d *DB) TokenByHash(ctx context.Context, hash string) (domain.Token, error) {
	return domain.Token{}, errSkeleton
}
func (d *DB) Tokens(ctx context.Context) ([]domain.Token, error) { return nil, errSkeleton }
func (tx *Tx) InsertToken(t domain.Token) error                  { return errSkeleton }
func (tx *Tx) DeleteToken(id string) error                       { return errSkeleton }
func (tx *Tx) TouchToken(id string, at time.Time) error          { return errSkeleton }

// Sessions gives the store for scs (a scs.CtxStore).
func (d *DB) Sessions() *SessionStore                                         { return nil }
func (s *SessionStore) Find(token string) ([]byte, bool, error)               { return nil, false, errSkeleton }
func (s *SessionStore) Commit(token string, b []byte, expiry time.Time) error { return errSkeleton }
func (s *SessionStore) Delete(token string) error                             { return errSkeleton }
func (s *SessionStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return nil, false, errSkeleton
}
func (s *SessionStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	return errSkeleton
}
func (s *SessionStore) DeleteCtx(ctx context.Context, token string) error { return errSkeleton }

// Settings are few and small: the first-start marker, keys.
func (d *DB) Setting(ctx context.Context, key string) (value string, ok bool, err error) {
	return "", false, errSkeleton
}
func (tx *Tx) Setting(key string) (value string, ok bool, err error) { return "", false, errSkeleton }
func (tx *Tx) SetSetting(key, value string) error                    { return errSkeleton }

// Counts
func (d *DB) Overview(ctx context.Context) (Overview, error) { return Overview{}, errSkeleton }
func (d *DB) Search(ctx context.Context, text string, limit int) ([]Hit, error) {
	return nil, errSkeleton
}
