package hv

import (
	"context"

	"novacron/domain"
)

// BlockJobs rearranges the images below a disk while its guest runs. A job goes on by itself on the host, also when the connection it was asked for on ends:
// BlockJob tells how far it is and what the disk stands on, and is to be asked again and again. One job at a time on a disk.
type BlockJobs interface {
	// CopyDisk begins to copy a disk in full to a volume, which exists and is at least as large; the guest goes on with the old one until PivotDisk. Nil when
	// just that copy is under way already. Conflict when the guest does not run or the disk has another job. bandwidth is bytes a second, 0: as much as there is.
	CopyDisk(ctx context.Context, uuid, target string, to domain.Volume, bandwidth int64) error
	// PullDisk begins to take what the images below have into the disk's own, down to base, which stays below; an empty base flattens the disk.
	// It ends by itself.
	PullDisk(ctx context.Context, uuid, target, base string, bandwidth int64) error
	// CommitDisk begins to write what top has into base, the image it is built on near or far. An empty top is the disk's own image: that ends with
	// PivotDisk, any other by itself.
	CommitDisk(ctx context.Context, uuid, target, base, top string, bandwidth int64) error
	// BlockJob says what is done to a disk now, and what it stands on; a job that ended by itself may be gone a moment before the chain shows what it did.
	// Conflict when the guest does not run, NotFound when there is no such disk.
	BlockJob(ctx context.Context, uuid, target string) (BlockJob, error)
	// PivotDisk lets the guest go on with what CopyDisk or CommitDisk made, in the definition too. Conflict when that is not ready or there is no job.
	PivotDisk(ctx context.Context, uuid, target string) error
	// AbortBlockJob ends a job; the guest stays with what it has. Nil when there is none.
	AbortBlockJob(ctx context.Context, uuid, target string) error
	// CopyVolume copies a volume that nothing writes to into a new one, in full and without what it is built on, also into another pool of the host.
	CopyVolume(ctx context.Context, pool, from string, to VolumeSpec) (domain.Volume, error)
}

// Kinds of block jobs.
const (
	BlockCopy         = "copy"
	BlockPull         = "pull"
	BlockCommit       = "commit"
	BlockActiveCommit = "active-commit"
)

// BlockJob is what is being done to a disk; Kind is empty when nothing is.
type BlockJob struct {
	Kind        string
	Done, Total int64    // bytes; what the guest writes meanwhile adds to both
	Ready       bool     // PivotDisk may be asked for
	Dest        string   // path that PivotDisk would turn to
	Chain       []string // paths of the disk's image and of those below it, uppermost first
}

// Secrets keeps passphrases on a host as libvirt secrets that are private and gone when its daemon ends: NovaCron gives them again.
type Secrets interface {
	// SetSecret makes the secret or gives it its value again.
	SetSecret(ctx context.Context, uuid, description string, value []byte) error
	// RemoveSecret takes it away; nil when it is gone already.
	RemoveSecret(ctx context.Context, uuid string) error
	// HasSecret reports whether the host knows the secret; it may have lost its value.
	HasSecret(ctx context.Context, uuid string) (bool, error)
}
