package libvirt

import (
	"encoding/binary"
	"errors"
)

// XDR (RFC 4506) as far as events and console streams need it; everything else is go-libvirt's.

var errShort = errors.New("message ends too early")

// maxString bounds strings of an event or a reply read here; libvirt's own limit for them is 4 MiB.
const maxString = 4 << 20

// xdrReader reads values one after the other; the first failure sticks, so that callers check once.
type xdrReader struct {
	b   []byte
	err error
}

func (r *xdrReader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		if r.err == nil {
			r.err = errShort
		}
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *xdrReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *xdrReader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *xdrReader) int32() int32 { return int32(r.uint32()) } // #nosec G115 -- XDR's int is the same 32 bits, signed

func (r *xdrReader) string() string {
	n := r.uint32()
	if n > maxString {
		r.err = errShort
		return ""
	}
	b := r.take(int(n))
	r.take(int(-n & 3))
	return string(b)
}

// optString reads remote_string: "" for NULL.
func (r *xdrReader) optString() string {
	if r.uint32() == 0 {
		return ""
	}
	return r.string()
}

// domainRef is remote_nonnull_domain.
type domainRef struct {
	name string
	uuid [16]byte
	id   int32
}

func (r *xdrReader) domain() domainRef {
	var d domainRef
	d.name = r.string()
	copy(d.uuid[:], r.take(16))
	d.id = r.int32()
	return d
}

type xdrWriter struct{ b []byte }

func (w *xdrWriter) uint32(v uint32) { w.b = binary.BigEndian.AppendUint32(w.b, v) }

func (w *xdrWriter) uint64(v uint64) { w.b = binary.BigEndian.AppendUint64(w.b, v) }

func (w *xdrWriter) string(s string) {
	w.uint32(uint32(len(s))) // #nosec G115 -- names and keys of the daemon, whose messages end at 32 MiB
	w.b = append(w.b, s...)
	for len(w.b)&3 != 0 {
		w.b = append(w.b, 0)
	}
}

func (w *xdrWriter) optString(s string) {
	if s == "" {
		w.uint32(0)
		return
	}
	w.uint32(1)
	w.string(s)
}

func (w *xdrWriter) domain(d domainRef) {
	w.string(d.name)
	w.b = append(w.b, d.uuid[:]...)
	w.uint32(uint32(d.id)) // #nosec G115 -- an id is signed in the protocol: the same 32 bits
}
