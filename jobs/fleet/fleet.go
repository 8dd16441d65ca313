package fleet

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/hv/pool"
	"novacron/jobs"
)

var errSkeleton = errors.New("not filled in yet")

// Fleet is the front door. Safe for concurrent use.
type Fleet struct {
	db     *db.DB
	engine *jobs.Engine
	clock  func() time.Time
}

// New makes the front door. Register must be called before jobs can run.
func New(d *db.DB, e *jobs.Engine, clock func() time.Time) *Fleet {
	return &Fleet{db: d, engine: e, clock: clock}
}

// Register makes every kind of job there is known to the engine.
func (f *Fleet) Register(p *pool.Pool, dialer hv.Dialer, log *slog.Logger) {}

func (f *Fleet) CreateVM(ctx context.Context, actor string, req CreateVM) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (f *Fleet) ActVM(ctx context.Context, actor, vmID string, act domain.VMAction, opt ActOptions) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (f *Fleet) ChangeVM(ctx context.Context, actor, vmID string, version int64, change domain.VMChange, key string) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (f *Fleet) RevertPending(ctx context.Context, actor, vmID, field string) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (f *Fleet) RenameVM(ctx context.Context, actor, vmID, name, key string) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (f *Fleet) CloneVM(ctx context.Context, actor, vmID string, req CloneVM) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (f *Fleet) DeletePlan(ctx context.Context, vmID string) (DeletePlan, error) {
	return DeletePlan{}, errSkeleton
}
func (f *Fleet) DeleteVM(ctx context.Context, actor, vmID string, req DeleteVM) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (f *Fleet) BulkVMs(ctx context.Context, actor string, ids []string, act domain.VMAction, opt ActOptions) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (f *Fleet) DescribeVM(ctx context.Context, actor, vmID string, version int64, d DescribeVM) (domain.VM, error) {
	return domain.VM{}, errSkeleton
}
func (f *Fleet) TryHost(ctx context.Context, actor string, req AddHost) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (f *Fleet) AddHost(ctx context.Context, actor string, req AddHost) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (f *Fleet) EditHost(ctx context.Context, actor, id string, version int64, edit HostEdit) (domain.Host, error) {
	return domain.Host{}, errSkeleton
}
func (f *Fleet) RemoveHost(ctx context.Context, actor, id, key string) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (f *Fleet) ReconnectHost(ctx context.Context, actor, id string) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}

// Console reaches guests' screens and serial lines. It is what lets a console stream through without anything above jobs knowing hosts.
type Console struct {
	db    *db.DB
	hosts hv.Fleet
}

// NewConsole makes one over the live connections.
func NewConsole(d *db.DB, hosts hv.Fleet) *Console { return &Console{db: d, hosts: hosts} }

// Graphics opens the VM's screen at the start of the RFB handshake; via says how it was reached, in words.
func (c *Console) Graphics(ctx context.Context, vmID string) (screen io.ReadWriteCloser, via string, err error) {
	return nil, "", errSkeleton
}

// Serial attaches to the VM's first serial line.
func (c *Console) Serial(ctx context.Context, vmID string) (io.ReadWriteCloser, error) {
	return nil, errSkeleton
}

// Screenshot takes a still picture as PNG.
func (c *Console) Screenshot(ctx context.Context, vmID string) ([]byte, error) {
	return nil, errSkeleton
}
