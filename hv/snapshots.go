package hv

import (
	"context"

	"novacron/domain"
)

// Snapshotter takes a guest back to where it was.
type Snapshotter interface {
	// Snapshots lists the guest's snapshots, parents before children, each with its XML. A hypervisor without snapshots has none.
	Snapshots(ctx context.Context, uuid string) ([]domain.Snapshot, error)
	// CreateSnapshot takes one; it becomes the current one. Conflict when the name is taken, or when a file of it exists. Quiesced says that the guest's
	// file systems were frozen by its agent; when it was asked for and the agent does not do it, nothing is made and the error is Unavailable or Unsupported.
	CreateSnapshot(ctx context.Context, uuid string, s SnapshotSpec) error
	// RevertSnapshot makes the guest what it was: an internal snapshot is loaded, whatever state the guest is in. For an external one the guest must be
	// off, and overlays (by target) must stand on the snapshot's files: the definition of then is put back with them as its disks, and memory, if it was
	// kept, is restored. Doing so again with the same overlays while the guest is as it should be changes nothing.
	RevertSnapshot(ctx context.Context, uuid, name string, overlays map[string]string) error
	// DeleteSnapshot removes one; its children become its parent's. An internal one gives its room back; the overlays of an external one are merged into
	// the files that it froze, also when the guest is off, and the other snapshots are told. metadataOnly forgets it and touches no disk. Nil when there is no such snapshot.
	DeleteSnapshot(ctx context.Context, uuid, name string, metadataOnly bool) error
	// SnapshotDefinition gives the guest's definition as it was, with other qcow2 files for some of its disks, by target. NotFound.
	SnapshotDefinition(ctx context.Context, uuid, name string, files map[string]string) (xml string, err error)
	// CloneSnapshot defines a copy of the guest as it was then; see Definer.CloneDefinition.
	CloneSnapshot(ctx context.Context, from, name string, c Clone) error
	// DefineSnapshot puts back what is known of a snapshot, from XML that Snapshots gave, and makes it the current one if asked to. No disk is touched.
	DefineSnapshot(ctx context.Context, uuid, xml string, current bool) error
	// AdoptSnapshot writes down that an internal snapshot of the guest from is inside this guest's disks too, which are copies of its files byte by byte. It has
	// what was on the disks, and not what was in memory: the guest can be taken back to it while it is off. NotFound, Conflict when no disk of the guest has it.
	AdoptSnapshot(ctx context.Context, uuid, from, name string) error
}

// SnapshotSpec describes a snapshot to take; everything is settled.
type SnapshotSpec struct {
	Name, Notes string
	Kind        domain.SnapshotKind
	Memory      bool
	MemoryFile  string            // external with memory: the file that will hold it
	Quiesce     bool              // by the guest agent
	Disks       map[string]string // external: by target, the file that will be the overlay
}
