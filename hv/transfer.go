package hv

import (
	"context"
	"io"
)

// Transfer moves the bytes of volumes. Each call uses a connection of its own, so that hours of copying keep nobody else waiting, and ends with ctx.
// The other side is read no faster than the caller reads, and the caller is asked for no more than the other side takes: memory stays flat whatever
// the size. It is for bytes as they lie on the storage (a qcow2 file, not the disk inside it), and not for volumes that a running guest writes to.
type Transfer interface {
	// ReadVolume reads length bytes from offset on, 0 meaning to the end; holes read as zeros and cost nothing on the way. A stream that breaks off is an
	// error, never an early end. NotFound, Conflict when the pool is not active, Unsupported when the storage cannot be read this way.
	ReadVolume(ctx context.Context, pool, name string, offset, length int64) (io.ReadCloser, error)
	// WriteVolume writes what r gives, at most length bytes (0: to r's end), from offset on. Where the storage has nothing yet, long runs of zeros stay holes. When r
	// fails, what it gave before is written and its error returned as it is; any other error is the host's, and what came after the last whole call may be lost.
	WriteVolume(ctx context.Context, pool, name string, offset, length int64, r io.Reader) error
	// ContentSize says how many bytes ReadVolume gives for the whole volume: the file's length, whatever the disk inside it is.
	ContentSize(ctx context.Context, pool, name string) (int64, error)
	// ClearVolume takes everything out of a volume that is a file: all of it is a hole then, of the size it had. Unsupported for block devices.
	ClearVolume(ctx context.Context, pool, name string) error
}

// Sparse is a source that knows where its holes are, so that nobody has to look at their zeros. What ReadVolume gives may be one, and WriteVolume makes use of it.
type Sparse interface {
	io.Reader
	// Skip passes over the zeros that come next, at most most of them, and says how many they were. 0 when bytes come next, or the end, or an error; Read gives those.
	Skip(most int64) int64
}
