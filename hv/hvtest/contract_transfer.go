package hvtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"novacron/domain"
	"novacron/hv"
)

func (s *session) content(v domain.Volume, offset, length int64) []byte {
	s.Helper()
	r, err := s.h.ReadVolume(s.ctx(), v.Pool, v.Name, offset, length)
	s.must(err)
	defer r.Close()
	b, err := io.ReadAll(r)
	s.must(err)
	return b
}

// handed gives the content as it hands itself on, to who takes it from its source and to who does not.
func (s *session) handed(v domain.Volume, offset, length int64) []byte {
	s.Helper()
	var takes, given bytes.Buffer
	for _, to := range []io.Writer{&takes, struct{ io.Writer }{&given}} {
		r, err := s.h.ReadVolume(s.ctx(), v.Pool, v.Name, offset, length)
		s.must(err)
		_, err = io.Copy(to, r)
		s.must(errors.Join(err, r.Close()))
	}
	if !bytes.Equal(takes.Bytes(), given.Bytes()) {
		s.Fatalf("%d bytes are taken and %d given", takes.Len(), given.Len())
	}
	return takes.Bytes()
}

// passed reads a volume as who copies it does: holes are passed over, and come out as zeros.
func (s *session) passed(v domain.Volume, want []byte) {
	s.Helper()
	for _, length := range []int64{0, int64(len(want)) - 1} {
		r, err := s.h.ReadVolume(s.ctx(), v.Pool, v.Name, 0, length)
		s.must(err)
		defer r.Close()
		sparse, ok := r.(hv.Sparse)
		if !ok {
			return
		}
		var got []byte
		for buf := make([]byte, 100_000); err == nil; {
			if n := sparse.Skip(300_000); n > 300_000 {
				s.Fatalf("%d bytes were passed over, and 300000 asked for", n)
			} else if n > 0 {
				got = append(got, make([]byte, n)...)
				continue
			}
			var n int
			n, err = sparse.Read(buf)
			got = append(got, buf[:n]...)
		}
		if end := len(want); err != io.EOF || !bytes.Equal(got, want[:cmp.Or(int(length), end)]) {
			s.Fatalf("%d bytes came, %v, and not what was written", len(got), err)
		}
	}
}

// broken gives some bytes and then an error.
type brokenSource struct {
	io.Reader
	err error
}

func (b brokenSource) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

func (c contract) transfer(t *testing.T, s *session) {
	const size = 8 << 20
	v := s.volume(hv.VolumeSpec{Name: "contract-" + domain.NewUUID()[:8] + ".raw", Pool: s.opt.Pool, Format: "raw", SizeBytes: size})
	if c.opt.Driver == "TEST" {
		_, err := s.h.ReadVolume(s.ctx(), v.Pool, v.Name, 0, 0)
		s.want(domain.Unsupported, err, "reading a volume that has no content")
		s.want(domain.Unsupported, s.h.WriteVolume(s.ctx(), v.Pool, v.Name, 0, 0, bytes.NewReader(nil)), "writing it")
		s.want(domain.Unsupported, s.h.ClearVolume(s.ctx(), v.Pool, v.Name), "emptying it")
		return
	}
	if got := s.content(v, 0, 0); len(got) != size || !bytes.Equal(got, make([]byte, size)) {
		t.Fatalf("a new volume gives %d bytes, and not only zeros", len(got))
	}
	if n, err := s.h.ContentSize(s.ctx(), v.Pool, v.Name); err != nil || n != size {
		t.Errorf("a new volume has %d bytes, %v", n, err)
	}
	// Data, a hole, data, and a hole at the end, in two parts that meet in the middle of everything.
	want := make([]byte, size)
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			want[i] = byte(rand.Int()) // #nosec G115, G404 -- any byte will do to fill a disk with
		}
	}
	fill(0, 1<<20+17)
	fill(3<<20-5, 5<<20)
	const cut = 4<<20 + 123
	s.must(s.h.WriteVolume(s.ctx(), v.Pool, v.Name, 0, cut, bytes.NewReader(want))) // no more than asked for
	s.must(s.h.WriteVolume(s.ctx(), v.Pool, v.Name, cut, 0, bytes.NewReader(want[cut:])))
	if got := s.handed(v, 0, 0); !bytes.Equal(got, want) {
		t.Fatalf("%d bytes were handed on, and not what was written", len(got))
	}
	if got := s.handed(v, 1<<20, 3<<20); !bytes.Equal(got, want[1<<20:4<<20]) {
		t.Fatalf("%d bytes of a part were handed on, and not what was written", len(got))
	}
	if got := s.content(v, 0, 0); !bytes.Equal(got, want) {
		t.Fatalf("%d bytes came back, and not what was written", len(got))
	}
	for _, part := range [][2]int64{{0, 1}, {1 << 20, 1 << 20}, {5<<20 - 1, 2}, {size - 3, 3}, {size - 3, 0}} {
		end := int64(size)
		if part[1] > 0 {
			end = part[0] + part[1]
		}
		if got := s.content(v, part[0], part[1]); !bytes.Equal(got, want[part[0]:end]) {
			t.Errorf("%v gives %d other bytes", part, len(got))
		}
	}
	s.passed(v, want)
	// Zeros over data are zeros, and nothing behind them is lost.
	clear(want[:2<<20])
	s.must(s.h.WriteVolume(s.ctx(), v.Pool, v.Name, 0, 2<<20, bytes.NewReader(want)))
	if got := s.content(v, 0, 0); !bytes.Equal(got, want) {
		t.Fatal("zeros written over data are lost, or more than they")
	}
	// What a source gave before it broke is there.
	fill(0, 1<<20)
	lost := errors.New("the other end hung up")
	if err := s.h.WriteVolume(s.ctx(), v.Pool, v.Name, 0, size, brokenSource{bytes.NewReader(want[:1<<20]), lost}); err != lost {
		t.Errorf("a broken source: %v", err)
	}
	if got := s.content(v, 0, 0); !bytes.Equal(got, want) {
		t.Error("a broken source took more with it than it had not given")
	}
	s.must(s.h.ClearVolume(s.ctx(), v.Pool, v.Name))
	if got := s.content(v, 0, 0); !bytes.Equal(got, make([]byte, size)) {
		t.Errorf("an emptied volume gives %d bytes, and not only zeros", len(got))
	}
	if now, err := s.h.Volume(s.ctx(), v.Pool, v.Name); err != nil || now.CapacityBytes != size {
		t.Errorf("an emptied volume is %+v, %v", now, err)
	}
	ctx, cancel := context.WithCancel(s.ctx())
	r, err := s.h.ReadVolume(ctx, v.Pool, v.Name, 0, 0)
	s.must(err)
	cancel()
	if n, err := io.Copy(io.Discard, r); domain.CodeOf(err) != domain.Unavailable && (err != nil || n != size) { // all of it may have come before
		t.Errorf("a withdrawn download ends after %d bytes with %v", n, err)
	}
	_ = r.Close()
	ctx, cancel = context.WithCancel(s.ctx())
	in, out := io.Pipe()
	go func() {
		_, _ = out.Write(make([]byte, 1<<20))
		cancel()
		out.CloseWithError(context.Canceled)
	}()
	s.want(domain.Unavailable, s.h.WriteVolume(ctx, v.Pool, v.Name, 0, 0, in), "a withdrawn upload")
	_, err = s.h.ReadVolume(s.ctx(), v.Pool, "contract-none", 0, 0)
	s.want(domain.NotFound, err, "reading a volume that is not there")
	s.want(domain.NotFound, s.h.WriteVolume(s.ctx(), v.Pool, "contract-none", 0, 0, bytes.NewReader(nil)), "writing a volume that is not there")
	s.want(domain.NotFound, s.h.ClearVolume(s.ctx(), v.Pool, "contract-none"), "emptying a volume that is not there")
}
