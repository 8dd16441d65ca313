package migrate

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
	"math"

	"novacron/domain"
	"novacron/hv"
)

// digest is the checksum of a chunk: SHA-256 over its blocks that are not all zeros, each behind its place in the chunk, and over the chunk's length. A hole costs nothing, and is the same as zeros.
type digest struct {
	h     hash.Hash
	at    int64  // of the block that is being filled
	block []byte // what there is of it
}

const digestBlock = 64 << 10

var zeroBlock [digestBlock]byte

func newDigest() *digest { return &digest{h: sha256.New(), block: make([]byte, 0, digestBlock)} }

func (d *digest) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(d.block) == 0 && len(p) >= digestBlock { // as it is, without a copy
			d.take(p[:digestBlock])
			p = p[digestBlock:]
			continue
		}
		k := min(len(p), digestBlock-len(d.block))
		d.block = append(d.block, p[:k]...)
		p = p[k:]
		d.full()
	}
	return n, nil
}

// Skip is Write of n zeros.
func (d *digest) Skip(n int64) {
	for n > 0 {
		if len(d.block) == 0 && n >= digestBlock {
			whole := n / digestBlock * digestBlock
			d.at += whole
			n -= whole
			continue
		}
		k := min(n, int64(digestBlock-len(d.block)))
		d.block = append(d.block, zeroBlock[:k]...)
		n -= k
		d.full()
	}
}

func (d *digest) full() {
	if len(d.block) == digestBlock {
		d.take(d.block)
		d.block = d.block[:0]
	}
}

func (d *digest) take(block []byte) {
	if !bytes.Equal(block, zeroBlock[:len(block)]) {
		d.h.Write(binary.BigEndian.AppendUint64(nil, uint64(d.at))) // #nosec G115 -- it counts what was read and is not negative
		d.h.Write(block)
	}
	d.at += int64(len(block))
}

// String ends the digest.
func (d *digest) String() string {
	d.take(d.block)
	d.h.Write(binary.BigEndian.AppendUint64(nil, uint64(d.at))) // #nosec G115 -- it counts what was read and is not negative
	return hex.EncodeToString(d.h.Sum(nil))
}

// tally sums up what is read through it, and tells how many bytes that were, at most once in a while. Holes go through as holes.
type tally struct {
	r    io.Reader
	sum  *digest
	n    int64
	next int64
	tell func(int64)
}

const tellEvery = 8 * domain.MiB

func (t *tally) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	_, _ = t.sum.Write(p[:n])
	t.count(int64(n))
	return n, err
}

// Skip implements hv.Sparse.
func (t *tally) Skip(most int64) int64 {
	s, ok := t.r.(hv.Sparse)
	if !ok {
		return 0
	}
	n := s.Skip(most)
	t.sum.Skip(n)
	t.count(n)
	return n
}

func (t *tally) count(n int64) {
	if t.n += n; t.n >= t.next && n > 0 {
		t.next = t.n + tellEvery
		t.tell(t.n)
	}
}

// drain reads to the end.
func (t *tally) drain() error {
	buf := make([]byte, 4*digestBlock)
	for {
		if t.Skip(math.MaxInt64) > 0 {
			continue
		}
		if _, err := t.Read(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
