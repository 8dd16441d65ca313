package hvtest

import (
	"context"
	"io"

	"novacron/domain"
)

// files keeps what was written into volumes, by pool/name; what lies behind it reads as zeros.
type files map[string][]byte

// physical is how long the file of a volume is.
func (m *machine) physical(v domain.Volume) int64 {
	n := int64(len(m.bytesOf(v.Pool + "/" + v.Name)))
	if v.Format == "raw" {
		return max(n, v.CapacityBytes)
	}
	return n
}

// Content looks at what was written into a volume, without going through faults.
func (f *Fake) Content(pool, name string) []byte {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return append([]byte(nil), f.m.files[pool+"/"+name]...)
}

// SetContent puts bytes into a volume as somebody on the host would.
func (f *Fake) SetContent(pool, name string, b []byte) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.files == nil {
		f.m.files = files{}
	}
	f.m.files[pool+"/"+name] = append([]byte(nil), b...)
}

type volumeReader struct {
	ctx     context.Context
	c       *conn
	key     string
	at, end int64
}

// ReadVolume implements hv.Transfer. A fault of "ReadVolume.data" breaks the stream.
func (c *conn) ReadVolume(ctx context.Context, pool, name string, offset, length int64) (io.ReadCloser, error) {
	return do(ctx, c, "ReadVolume", func(m *machine) (io.ReadCloser, error) {
		v, err := m.volume(pool, name)
		if err != nil {
			return nil, err
		}
		end := m.physical(v)
		if length > 0 {
			end = min(end, offset+length)
		}
		return &volumeReader{ctx: ctx, c: c, key: pool + "/" + name, at: offset, end: end}, nil
	})
}

func (r *volumeReader) Read(p []byte) (int, error) {
	if r.at >= r.end {
		return 0, io.EOF
	}
	return do(r.ctx, r.c, "ReadVolume.data", func(m *machine) (int, error) {
		n := int(min(int64(len(p)), r.end-r.at, 256<<10))
		clear(p[:n])
		if b := m.bytesOf(r.key); r.at < int64(len(b)) {
			copy(p[:n], b[r.at:])
		}
		r.at += int64(n)
		return n, nil
	})
}

func (r *volumeReader) Close() error { return nil }

// WriteVolume implements hv.Transfer. A fault of "WriteVolume.data" comes between two blocks.
func (c *conn) WriteVolume(ctx context.Context, pool, name string, offset, length int64, src io.Reader) error {
	if err := act(ctx, c, "WriteVolume", func(m *machine) error { _, err := m.volume(pool, name); return err }); err != nil {
		return err
	}
	if length > 0 {
		src = io.LimitReader(src, length)
	}
	buf := make([]byte, 64<<10)
	for {
		n, srcErr := src.Read(buf)
		if n > 0 {
			err := act(ctx, c, "WriteVolume.data", func(m *machine) error {
				if _, err := m.volume(pool, name); err != nil {
					return err
				}
				m.write(pool+"/"+name, offset, buf[:n])
				return nil
			})
			if err != nil {
				return err
			}
			offset += int64(n)
		}
		if srcErr == io.EOF {
			return act(ctx, c, "WriteVolume.end", func(m *machine) error { m.unfold(pool + "/" + name); return nil })
		}
		if ctx.Err() != nil {
			return unavailable("The upload was withdrawn.").WithCause(ctx.Err())
		}
		if srcErr != nil {
			return srcErr
		}
	}
}

func (m *machine) write(key string, at int64, p []byte) {
	if m.files == nil {
		m.files = files{}
	}
	b := m.files[key]
	if need := at + int64(len(p)); need > int64(len(b)) {
		b = append(b, make([]byte, need-int64(len(b)))...)
	}
	copy(b[at:], p)
	m.files[key] = b
}

// ContentSize implements hv.Transfer.
func (c *conn) ContentSize(ctx context.Context, pool, name string) (int64, error) {
	return do(ctx, c, "ContentSize", func(m *machine) (int64, error) {
		v, err := m.volume(pool, name)
		return m.physical(v), err
	})
}

// ClearVolume implements hv.Transfer.
func (c *conn) ClearVolume(ctx context.Context, pool, name string) error {
	return act(ctx, c, "ClearVolume", func(m *machine) error {
		if _, err := m.volume(pool, name); err != nil {
			return err
		}
		clear(m.files[pool+"/"+name])
		return nil
	})
}
