package hv

import (
	"context"
	"time"
)

// Migrator moves a running guest to another daemon. The daemons talk to each other (peer to peer): the guest's memory and disks never pass through
// NovaCron, and a migration goes on when the connection it was asked for on ends.
type Migrator interface {
	// GuestMemory measures for window how many bytes a second the guest writes to its memory, by sampling pages, and how much it uses. Conflict unless
	// the guest runs and nothing else measures or migrates it; Unsupported.
	GuestMemory(ctx context.Context, uuid string, window time.Duration) (GuestMemory, error)
	// Migrate moves the guest and returns when it has ended: nil means that it runs on the destination and is defined only there; one that was paused here is
	// paused there. After any error the caller asks both hosts where it is. Conflict when it is off or is being moved already. A guest that arrived paused must
	// run before it is moved or saved again: QEMU before version 10 dies of that otherwise (its disks are taken over when it runs).
	Migrate(ctx context.Context, uuid string, m Migration) error
	// ScreenAddress is where a guest's VNC server has to listen on this host to be reached: an address of the host, or empty when the way NovaCron reaches
	// the host needs none.
	ScreenAddress() string
	// Receive defines a stopped guest that another host has, from that host's document, with what m says lies elsewhere here. Defining it again is a no-op.
	Receive(ctx context.Context, xml string, m Migration) error
	// MigrationProgress says how far the migration is that the guest's host is sending now, whoever asked for it; NotFound when none is under way.
	MigrationProgress(ctx context.Context, uuid string) (MigrationProgress, error)
	// MigrationResult gives the figures of the last migration, from the host where the guest runs now. NotFound when it keeps none.
	MigrationResult(ctx context.Context, uuid string) (MigrationProgress, error)
	// CancelMigration stops the migration under way; the guest stays where it is. Nil when none is under way. Not for post-copy.
	CancelMigration(ctx context.Context, uuid string) error
	// StartPostCopy lets the guest run on the destination at once and fetch the rest of its memory as it needs it: from then on it cannot go back.
	StartPostCopy(ctx context.Context, uuid string) error
	// TuneMigration sets the bandwidth (bytes a second) and the longest pause that may end the copying; 0 leaves a value as it is.
	TuneMigration(ctx context.Context, uuid string, bandwidth int64, downtime time.Duration) error
}

// PostCopyFailed is in the Reason of a guest whose post-copy broke off: on both hosts, and neither copy is whole.
const PostCopyFailed = "the post-copy migration failed"

// GuestMemory is what a guest does with its memory.
type GuestMemory struct {
	DirtyRate int64 `json:"dirty_rate"`      // bytes a second that it writes to; negative: it has too little memory to be sampled
	Grain     int64 `json:"grain,omitempty"` // what one sampled page counts for in that; 0: the rate is exact
	Resident  int64 `json:"resident"`        // bytes of the host's memory that it occupies; 0: not told
}

// Migration says where a guest goes and how.
type Migration struct {
	URI         string            // the destination daemon, as the source daemon reaches it
	DataURI     string            // tcp://address where the destination's QEMU listens; empty: libvirt chooses
	CopyDisks   []string          // targets (vda …) whose contents are copied along; the destination's volumes exist already
	Incremental bool              // of CopyDisks only what lies in their topmost images; the destination's volumes are built on images with the same content as those below
	Sources     map[string]string // old path -> new path of disks that lie elsewhere on the destination
	Screen      string            // the destination's ScreenAddress
	Networks    map[string]string // old -> new network of the guest's cards
	Bridges     map[string]string // old -> new bridge
	Bandwidth   int64             // bytes a second; 0: as much as there is
	Downtime    time.Duration     // longest pause that ends the copying; 0: QEMU's default
	Converge    bool              // slow the guest down when it writes faster than it can be copied
	PostCopy    bool              // StartPostCopy may be asked for
	Parallel    int               // connections; 0 and 1: one
	Compress    bool              // XBZRLE: pages sent again go as differences
	TLS         bool              // the memory and disk streams are encrypted
	Tunnel      bool              // memory goes through the daemons' own connection; not with CopyDisks
	TLSName     string            // name in the destination's certificate; empty: the host in URI
	Resume      bool              // a post-copy that broke off goes on; nothing else is begun
	AllowUnsafe bool              // the caller knows that storage is shared although libvirt cannot tell
}

// MigrationProgress is how far a migration is, or how it went. Sizes are bytes, rates bytes a second.
type MigrationProgress struct {
	Elapsed        time.Duration `json:"elapsed"`
	MemoryTotal    int64         `json:"memory_total"`
	MemoryDone     int64         `json:"memory_done"`
	MemoryLeft     int64         `json:"memory_left"`
	DiskTotal      int64         `json:"disk_total"`
	DiskDone       int64         `json:"disk_done"`
	DiskLeft       int64         `json:"disk_left"`
	MemoryRate     int64         `json:"memory_rate"`
	DiskRate       int64         `json:"disk_rate"`
	DirtyRate      int64         `json:"dirty_rate"`
	Iteration      int           `json:"iteration"`
	Downtime       time.Duration `json:"downtime"` // expected while it runs, measured when it is over
	Throttle       int           `json:"throttle"` // percent by which auto-converge slows the guest
	PostCopyFaults int64         `json:"post_copy_faults"`
	Skew           time.Duration `json:"skew,omitempty"` // by how much the destination's clock was ahead of the source's, with the time one message took; told when it is over, 0 when it was behind
	DowntimeLimit  time.Duration `json:"downtime_limit"` // longest pause that ends the copying, while it runs; 0: not told
}
