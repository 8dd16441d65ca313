package hv

import "context"

// DiskResizer changes the size of a disk that a guest has while it runs.
type DiskResizer interface {
	// ResizeDisk makes a disk of a running guest larger, file and device, so that the guest sees it at once; nil when it has that size already.
	// Conflict when the guest does not run (ResizeVolume is for that) or the disk is larger; NotFound when there is no such disk.
	ResizeDisk(ctx context.Context, uuid, target string, size int64) error
}
