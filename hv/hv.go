// Package hv is the outside world behind small interfaces: a host and what can be asked of it. Jobs and reconcilers speak these
// interfaces; hv/libvirt implements them on libvirt's RPC and hv/hvtest in memory for tests, and one contract suite holds both to
// the same behaviour.
//
// Every call takes a context; a call that outlives its deadline returns Unavailable and the connection is given up, so nothing
// above this package can hang on a silent host. Every error is a *domain.Error. Operations that bring about a state succeed when
// the world is already in it, since steps are repeated after a crash; those that cannot say so return NotFound or Conflict.
//
// It is not for policy: which host, in what order, with what undo is the business of jobs and domain.
package hv

import (
	"context"
	"io"
	"time"

	"novacron/domain"
)

// Host is one live connection to one libvirt daemon.
type Host interface {
	Guests
	Power
	Definer
	Storage
	DiskResizer
	Transfer
	PoolAdmin
	BlockJobs
	Secrets
	Inventory
	Networks
	Filters
	Console
	Redirector
	Agent
	Migrator
	Snapshotter
	CPUs
	Meter
	// Facts asks the host what it is.
	Facts(ctx context.Context) (domain.HostFacts, error)
	// Events calls fn for everything that happens on the host until ctx ends or the connection breaks; fn must not block. It returns
	// after the subscription stands; the returned channel closes when the stream is over.
	Events(ctx context.Context, fn func(Event)) (done <-chan struct{}, err error)
	// Ping is one cheap round trip.
	Ping(ctx context.Context) error
	Close() error
}

// Guests reads guests.
type Guests interface {
	Guests(ctx context.Context) ([]domain.Guest, error)
	Guest(ctx context.Context, uuid string) (domain.Guest, error) // NotFound
	// GuestStates is one round trip for all guests, by UUID.
	GuestStates(ctx context.Context) (map[string]domain.GuestState, error)
}

// Power changes a guest's state. Each returns nil when the guest is in the wanted state already.
type Power interface {
	// Start boots the guest, or restores it when it is saved.
	Start(ctx context.Context, uuid string) error
	// Shutdown asks the guest to shut down (agent if there is one, else ACPI) and returns at once.
	Shutdown(ctx context.Context, uuid string) error
	// Stop is a power-off.
	Stop(ctx context.Context, uuid string) error
	Reboot(ctx context.Context, uuid string) error
	Reset(ctx context.Context, uuid string) error
	Pause(ctx context.Context, uuid string) error
	Resume(ctx context.Context, uuid string) error
	// Save stops the guest and keeps its memory on the host (managed save); Discard throws that away.
	Save(ctx context.Context, uuid string) error
	Discard(ctx context.Context, uuid string) error
	SetAutostart(ctx context.Context, uuid string, on bool) error
}

// Definer makes, alters and removes definitions.
type Definer interface {
	// Define makes a guest from a spec whose UUID, MACs and disk volumes are settled (every disk has Source, or Pool and Volume). Defining the same UUID
	// again is a no-op when the name matches. The notes say what was chosen for the person and why (accelerator, machine, how
	// the console is reached).
	Define(ctx context.Context, spec domain.VMSpec) (notes []string, err error)
	// Change edits the guest's definition by splicing the one thing asked for into the document the host gave: nothing else changes.
	// What can be changed while it runs is; the rest is pending until the next start. New disks must be settled as for Define.
	Change(ctx context.Context, uuid string, change domain.VMChange) (notes []string, err error)
	// CloneDefinition defines a copy of from with the new name, UUID, MACs (old -> new) and disk sources (old path -> new path), its own NVRAM and no snapshots.
	CloneDefinition(ctx context.Context, from string, c Clone) error
	Rename(ctx context.Context, uuid, name string) error
	// Undefine removes a stopped guest's definition, its managed save and NVRAM. Nil when it is gone already. It returns the definition as it was,
	// so that an undo can put it back with DefineXML.
	Undefine(ctx context.Context, uuid string) (xml string, err error)
	// DefineXML puts back a definition that Undefine or an export gave.
	DefineXML(ctx context.Context, xml string) (uuid string, err error)
}

// Clone says what differs in a copy.
type Clone struct {
	Name, UUID string
	MACs       map[string]string
	Sources    map[string]string
	Formats    map[string]string // format of a new source, where it differs from the old one's: qcow2 for an overlay on a raw disk
}

// Storage makes and removes volumes.
type Storage interface {
	// CreateVolume makes a volume (qcow2 always version 3). Conflict when the name is taken. The result has its path.
	CreateVolume(ctx context.Context, v VolumeSpec) (domain.Volume, error)
	// CloneVolume copies from into a new volume of the same pool, in full.
	CloneVolume(ctx context.Context, pool, from, to string) (domain.Volume, error)
	// Volume looks a volume up. NotFound.
	Volume(ctx context.Context, pool, name string) (domain.Volume, error)
	// VolumeByPath finds the volume whose path it is. NotFound when no active pool has it.
	VolumeByPath(ctx context.Context, path string) (domain.Volume, error)
	// ResizeVolume makes a volume larger; nil when it has that size already. Conflict when it is larger, since what is cut off is lost: that is
	// ShrinkVolume's. The size of a disk that a running guest has is changed with ResizeDisk.
	ResizeVolume(ctx context.Context, pool, name string, size int64) error
	// ShrinkVolume cuts a volume's end off; nil when it has that size already.
	ShrinkVolume(ctx context.Context, pool, name string, size int64) error
	// DeleteVolume removes it; nil when it is gone already.
	DeleteVolume(ctx context.Context, pool, name string) error
	// EnsureDefaultPool makes, starts and autostarts the directory pool "default" at libvirt's own place when the host has no active pool;
	// made says whether anything was done.
	EnsureDefaultPool(ctx context.Context) (made bool, err error)
}

// VolumeSpec describes a volume to make.
type VolumeSpec struct {
	Pool, Name, Format string // format qcow2 or raw
	SizeBytes          int64
	Full               bool   // all of its space is taken now; else as it is written
	Backing            string // path of the image below: the volume holds only what differs from it
	BackingFormat      string // what the image below is; never guessed from its content
	SecretUUID         string // libvirt secret with the passphrase: the volume is encrypted with LUKS
}

// Inventory lists what a host has besides guests.
type Inventory interface {
	Inventory(ctx context.Context) (domain.Inventory, error)
}

// Console opens a guest's screen and serial line. The streams use connections of their own and live until closed.
type Console interface {
	// Graphics connects to the guest's VNC server; Conn is at the start of the RFB handshake and needs no password: where the hypervisor wants
	// one, a one-time password was set and answered here. Via says how it was reached, in words for the VM's page.
	Graphics(ctx context.Context, uuid string) (Screen, error)
	// Serial attaches to the first serial console, taking it over from whoever has it.
	Serial(ctx context.Context, uuid string) (io.ReadWriteCloser, error)
	// Screenshot takes a still picture as PNG.
	Screenshot(ctx context.Context, uuid string) ([]byte, error)
}

// Screen is an open graphical console.
type Screen struct {
	Conn io.ReadWriteCloser
	Via  string
}

// EventKind is what sort of thing happened on a host.
type EventKind string

const (
	GuestState   EventKind = "guest.state"   // State and Reason are set
	GuestDefined EventKind = "guest.defined" // added, changed or renamed: read it again
	GuestGone    EventKind = "guest.gone"    // undefined
	GuestChanged EventKind = "guest.changed" // a device, the balloon, the agent or metadata changed: read it again
	GuestTrouble EventKind = "guest.trouble" // I/O error, watchdog; Detail says which
)

// Event is one thing that happened on a host, whoever caused it.
type Event struct {
	Kind   EventKind
	UUID   string
	Name   string
	State  domain.VMState
	Detail string // in words, such as "shut down by the guest"
	At     time.Time
}

// Target is all that is needed to reach a host.
type Target struct {
	URI   string
	Creds domain.HostCredentials
}

// Dialer makes connections. The steps say what was tried, in order, also when it fails: the last one is then the failed one, and the error
// carries it as a Reason.
type Dialer interface {
	Dial(ctx context.Context, t Target) (Host, []domain.ConnectionStep, error)
}

// Fleet gives the live connections: hv/pool keeps them up.
type Fleet interface {
	// Host gives the connection to a host, or Unavailable with since when and why it is away.
	Host(hostID string) (Host, error)
}
