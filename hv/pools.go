package hv

import (
	"context"

	"novacron/domain"
)

// DiskResizer changes the size of a disk that a guest has while it runs.
type DiskResizer interface {
	// ResizeDisk makes a disk of a running guest larger, file and device, so that the guest sees it at once; nil when it has that size already.
	// Conflict when the guest does not run (ResizeVolume is for that) or the disk is larger; NotFound when there is no such disk.
	ResizeDisk(ctx context.Context, uuid, target string, size int64) error
}

// PoolAdmin makes, starts, stops and removes storage pools.
type PoolAdmin interface {
	// Pool looks a pool up, with its sizes. NotFound.
	Pool(ctx context.Context, name string) (domain.Pool, error)
	// DefinePool makes a pool's definition from a spec whose UUID is settled, and the folder that it is mounted on or made of. Defining the same UUID
	// and name again is a no-op; Conflict when the name or the storage is taken; Unsupported when the host cannot have that kind.
	DefinePool(ctx context.Context, spec domain.PoolSpec) error
	// BuildPool writes a file system, volume group or partition table on the pool's devices. Conflict when data is found there.
	BuildPool(ctx context.Context, name string) error
	StartPool(ctx context.Context, name string) error
	// StopPool lets go of the storage (a mounted file system is unmounted); nil when the pool is gone already.
	StopPool(ctx context.Context, name string) error
	// RefreshPool looks at the storage again. Conflict when the pool is not active.
	RefreshPool(ctx context.Context, name string) error
	SetPoolAutostart(ctx context.Context, name string, on bool) error
	// PoolDocument gives the definition as DefinePoolDocument takes it.
	PoolDocument(ctx context.Context, name string) (string, error)
	// DefinePoolDocument puts a definition back.
	DefinePoolDocument(ctx context.Context, doc string) error
	// UndefinePool removes a stopped pool's definition and nothing else. Nil when it is gone already; Conflict while it is active.
	UndefinePool(ctx context.Context, name string) error
	// ClearPool removes what a stopped pool itself is made of: its folder when that is empty, its volume group. removed is false when there is nothing of
	// the kind, or it is not empty; that is not an error.
	ClearPool(ctx context.Context, name string) (removed bool, err error)
}
