package migrate

import (
	"context"

	"novacron/domain"
	"novacron/domain/preflight"
	"novacron/hv"
)

// copied is how much of one volume is on the target and was read back there. It lies in the job's ledger, so a copy that is taken up again goes on behind the
// last chunk in it.
type copied struct {
	Size  int64    `json:"size"` // of the original's file when the copy began
	Held  int64    `json:"held"` // what it occupied then: an original that was written to meanwhile is copied anew
	Chunk int64    `json:"chunk"`
	Sums  []string `json:"sums,omitempty"` // digest of each chunk, in order
}

const (
	leastChunk = 128 * domain.MiB
	mostChunks = 512 // so that a ledger that is written after each of them stays small
)

func chunkFor(size int64) int64 {
	per := (size + mostChunks - 1) / mostChunks
	return max(leastChunk, (per+domain.MiB-1)/domain.MiB*domain.MiB)
}

// copier copies one volume byte by byte as it lies on the storage, holes as holes. Each chunk is read back on the target while the next one is copied; holes
// are neither sent nor summed up.
type copier struct {
	from, to hv.Host
	disk     preflight.Disk
	chunk    int64 // 0: by the volume's size
	done     *copied
	save     func() error // writes done down
	tell     func(int64)  // how many bytes are copied
	log      func(format string, args ...any)
}

func (c *copier) run(ctx context.Context) error {
	size, err := c.from.ContentSize(ctx, c.disk.Pool, c.disk.Volume)
	if err != nil {
		return err
	}
	v, err := c.from.Volume(ctx, c.disk.Pool, c.disk.Volume)
	if err != nil {
		return err
	}
	at, err := c.takeUp(ctx, size, v.AllocationBytes)
	if err != nil {
		return err
	}
	// The reader of the last chunk ends before the copy does.
	verified := func() error { return nil }
	for ; at < size; at += c.done.Chunk {
		n := min(c.done.Chunk, size-at)
		want, err := c.send(ctx, at, n)
		if before := verified(); err == nil {
			err = before
		}
		if err != nil {
			return err
		}
		verified = c.verify(ctx, at, n, want)
	}
	return verified()
}

// takeUp says where to go on: behind the last chunk that was read back, if that one is still there and the original is the same.
func (c *copier) takeUp(ctx context.Context, size, held int64) (int64, error) {
	d := c.done
	if n := int64(len(d.Sums)); n > 0 && d.Size == size && d.Held == held {
		last := (n - 1) * d.Chunk
		got, err := sum(ctx, c.to, c.disk.ToPool, c.disk.ToVolume, last, min(d.Chunk, size-last))
		if err != nil {
			return 0, err
		}
		if got == d.Sums[n-1] {
			at := min(n*d.Chunk, size)
			c.log("%s: %s were copied and read back already; the copy goes on there.", c.disk.Target, domain.FormatBytes(at))
			return at, nil
		}
		c.log("%s: what was copied before is not on the target any more; the copy begins anew.", c.disk.Target)
	} else if n > 0 {
		c.log("%s was written to since its copy began; the copy begins anew.", c.disk.Source)
	}
	*d = copied{Size: size, Held: held, Chunk: c.chunk}
	if d.Chunk == 0 {
		d.Chunk = chunkFor(size)
	}
	// What an earlier run or the volume's making left would not become holes again.
	if err := c.to.ClearVolume(ctx, c.disk.ToPool, c.disk.ToVolume); err != nil && !domain.Is(err, domain.Unsupported) {
		return 0, err
	}
	return 0, c.save()
}

// send copies n bytes and gives their checksum.
func (c *copier) send(ctx context.Context, at, n int64) (string, error) {
	src, err := c.from.ReadVolume(ctx, c.disk.Pool, c.disk.Volume, at, n)
	if err != nil {
		return "", err
	}
	defer src.Close()
	r := &tally{r: src, sum: newDigest(), tell: func(k int64) { c.tell(at + k) }}
	if err := c.to.WriteVolume(ctx, c.disk.ToPool, c.disk.ToVolume, at, n, r); err != nil {
		return "", err
	}
	if r.n != n {
		return "", domain.Errorf(domain.Unavailable, "%s ended after %s of %s.", c.disk.Source, domain.FormatBytes(at+r.n), domain.FormatBytes(c.done.Size)).WithFix("Look whether somebody changes it.")
	}
	return r.sum.String(), nil
}

// verify begins to read a chunk back. The function it gives waits for that, and writes the chunk down.
func (c *copier) verify(ctx context.Context, at, n int64, want string) func() error {
	type answer struct {
		sum string
		err error
	}
	read := make(chan answer, 1)
	go func() {
		got, err := sum(ctx, c.to, c.disk.ToPool, c.disk.ToVolume, at, n)
		read <- answer{got, err}
	}()
	return func() error {
		got := <-read
		switch {
		case got.err != nil:
			return got.err
		case got.sum != want:
			return domain.Errorf(domain.Unavailable, "The copy of %s is not the same as the original.", c.disk.Source).WithFix("Look at the target's disks for errors.")
		}
		c.done.Sums = append(c.done.Sums, want)
		return c.save()
	}
}

func sum(ctx context.Context, h hv.Host, pool, volume string, at, n int64) (string, error) {
	r, err := h.ReadVolume(ctx, pool, volume, at, n)
	if err != nil {
		return "", err
	}
	defer r.Close()
	t := &tally{r: r, sum: newDigest(), tell: func(int64) {}}
	if err := t.drain(); err != nil {
		return "", err
	}
	return t.sum.String(), nil
}
