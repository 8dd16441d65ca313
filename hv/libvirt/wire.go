package libvirt

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Numbers of libvirt's RPC protocol (https://libvirt.org/kbase/internals/rpc.html).
const (
	remoteProgram = 0x20008086
	remoteVersion = 1

	headerSize = 28         // length word and six header words
	maxFrame   = 32<<20 + 4 // VIR_NET_MESSAGE_MAX and the length word

	typeCall    = 0
	typeReply   = 1
	typeMessage = 2
	typeStream  = 3
	typeHole    = 6 // of a stream

	statusOK       = 0
	statusError    = 1
	statusContinue = 2
)

const (
	procConnectOpen  = 1
	procLookupByUUID = 24
	procAuthList     = 66
	procAuthPolkit   = 70
	procOpenConsole  = 201
	procScreenshot   = 211
	procVolUpload    = 208
	procVolDownload  = 209
	authNone         = 0
	authSASL         = 1
	authPolkit       = 2
)

// errNotLibvirt means that the other side speaks something else.
var errNotLibvirt = errors.New("the answer is not libvirt's protocol")

type frameHeader struct {
	length, program, version, proc, kind uint32
	serial                               int32
	status                               uint32
}

func parseHeader(b []byte) frameHeader {
	u := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	return frameHeader{u(0), u(1), u(2), u(3), u(4), int32(u(5)), u(6)} // #nosec G115 -- a serial is signed in the protocol: the same 32 bits
}

func (h frameHeader) check() error {
	if h.length < headerSize || h.length > maxFrame || h.program>>16 != remoteProgram>>16 && h.program != 0x6b656570 || h.kind > typeHole || h.status > 2 {
		return fmt.Errorf("%w (header %08x %08x)", errNotLibvirt, h.length, h.program)
	}
	return nil
}

// eventFunc gets the procedure number and body of an event message; it must not keep body and must not block.
type eventFunc func(proc uint32, body []byte)

// wire sits between the socket and go-libvirt. It checks every frame before go-libvirt sees it (go-libvirt panics on a length below the
// header's), takes events out, remembers which authentication the daemon asked for, and tells when the connection ended.
type wire struct {
	net.Conn
	r       *bufio.Reader
	pending []byte // bytes of the current frame already read
	left    int    // bytes of the current frame still on the socket

	events atomic.Pointer[eventFunc]
	auth   atomic.Pointer[[]uint32]

	mu    sync.Mutex
	cause error // why it ended, set once
	done  chan struct{}
}

func newWire(c net.Conn) *wire {
	return &wire{Conn: c, r: bufio.NewReaderSize(c, 16<<10), done: make(chan struct{})}
}

// end closes the connection; the first cause stands.
func (w *wire) end(cause error) {
	w.mu.Lock()
	first := w.cause == nil
	if first {
		w.cause = cause
		close(w.done)
	}
	w.mu.Unlock()
	if first {
		_ = w.Conn.Close()
	}
}

// Close makes wire the net.Conn that go-libvirt may close as it likes.
func (w *wire) Close() error {
	w.end(net.ErrClosed)
	return nil
}

// ended gives the cause, nil while the connection stands.
func (w *wire) ended() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cause
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.read(p)
	if err != nil {
		w.end(err)
	}
	return n, err
}

func (w *wire) read(p []byte) (int, error) {
	for len(w.pending) == 0 && w.left == 0 {
		if err := w.frame(); err != nil {
			return 0, err
		}
	}
	if len(w.pending) > 0 {
		n := copy(p, w.pending)
		w.pending = w.pending[n:]
		return n, nil
	}
	n, err := w.r.Read(p[:min(len(p), w.left)])
	w.left -= n
	return n, err
}

// frame reads the next header, and the whole frame where it is looked at here.
func (w *wire) frame() error {
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(w.r, head); err != nil {
		return err
	}
	h := parseHeader(head)
	if err := h.check(); err != nil {
		return err
	}
	size := int(h.length) - headerSize
	looked := h.kind == typeMessage || h.program == remoteProgram && h.proc == procAuthList
	if !looked {
		w.pending, w.left = head, size
		return nil
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(w.r, body); err != nil {
		return err
	}
	if h.kind == typeMessage {
		if fn := w.events.Load(); fn != nil && h.program == remoteProgram {
			(*fn)(h.proc, body)
		}
		return nil
	}
	if h.status == statusOK {
		r := xdrReader{b: body}
		kinds := make([]uint32, 0, 4)
		for n := r.uint32(); n > 0 && r.err == nil; n-- {
			kinds = append(kinds, r.uint32())
		}
		w.auth.Store(&kinds)
	}
	w.pending = append(head, body...)
	return nil
}

// authKinds is what the daemon's authentication list said.
func (w *wire) authKinds() []uint32 {
	if k := w.auth.Load(); k != nil {
		return *k
	}
	return nil
}
