package libvirt

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
)

// streamConn is a connection of its own for one console or screenshot. go-libvirt's streams hold a lock while they hand data on, and its
// console has no input, so the few messages needed are spoken here: authenticate, open, look the guest up, one call, then stream packets.
type streamConn struct {
	net.Conn
	r      *bufio.Reader
	serial int32
	proc   uint32 // of the call that opened the stream

	early []packet // of the stream, that came before the answer to the call
	left  []byte   // of a packet that a reader took only in part
	wmu   sync.Mutex
	once  sync.Once
	eof   bool
}

type packet struct {
	frameHeader
	body []byte
}

const streamChunk = 64 << 10

// newStream signs in on a fresh connection, opens the hypervisor and finds the guest. It closes the connection when that fails.
func newStream(raw net.Conn, uri string, u golibvirt.UUID) (*streamConn, domainRef, error) {
	s := &streamConn{Conn: raw, r: bufio.NewReader(raw)}
	d, err := s.greet(uri, u)
	if err != nil {
		_ = s.Close()
		return nil, domainRef{}, err
	}
	return s, d, nil
}

// bounded runs the set-up of a stream under a deadline by closing the connection when it passes.
func bounded[T any](ctx context.Context, doing string, fn func(ctx context.Context, closeOnEnd func(io.Closer)) (T, error)) (T, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, quick)
		defer cancel()
	}
	start := time.Now()
	var stops []func() bool
	v, err := fn(ctx, func(c io.Closer) { stops = append(stops, context.AfterFunc(ctx, func() { _ = c.Close() })) })
	late := false
	for _, stop := range stops {
		late = !stop() || late
	}
	if late || err != nil && ctx.Err() != nil {
		var zero T
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return zero, domain.Errorf(domain.Unavailable, "The host did not answer within %s when asked to %s.", time.Since(start).Round(100*time.Millisecond), doing).WithCause(ctx.Err())
		}
		return zero, stopped(ctx, doing)
	}
	return v, err
}

// enter signs in and opens the hypervisor.
func (s *streamConn) enter(uri string) error {
	body, err := s.call("sign in", procAuthList, nil)
	if err != nil {
		return err
	}
	r := xdrReader{b: body}
	for n := r.uint32(); n > 0 && r.err == nil; n-- {
		kind := r.uint32()
		if kind == authPolkit {
			if _, err := s.call("sign in", procAuthPolkit, nil); err != nil {
				return err
			}
		}
		if kind == authPolkit || kind == authNone {
			break
		}
	}
	var w xdrWriter
	w.optString(uri)
	w.uint32(0)
	_, err = s.call("open "+uri, procConnectOpen, w.b)
	return err
}

func (s *streamConn) greet(uri string, u golibvirt.UUID) (domainRef, error) {
	if err := s.enter(uri); err != nil {
		return domainRef{}, err
	}
	body, err := s.call("find the VM", procLookupByUUID, u[:])
	if err != nil {
		return domainRef{}, err
	}
	r := xdrReader{b: body}
	d := r.domain()
	return d, r.err
}

// call makes one request and waits for its answer. Nothing else is under way on this connection.
func (s *streamConn) call(doing string, proc uint32, args []byte) ([]byte, error) {
	s.serial++
	if err := s.send(proc, typeCall, statusOK, args); err != nil {
		return nil, broken(doing, err)
	}
	for {
		h, body, err := s.packet()
		if err != nil {
			return nil, broken(doing, err)
		}
		if (h.kind == typeStream || h.kind == typeHole) && h.proc == proc && h.serial == s.serial {
			s.early = append(s.early, packet{h, body}) // libvirtd may start the stream before it sends the answer
			continue
		}
		if h.kind != typeReply || h.serial != s.serial {
			continue // an event or a keepalive
		}
		if h.status == statusError {
			return nil, fromDaemon(doing, decodeError(body))
		}
		return body, nil
	}
}

func (s *streamConn) send(proc, kind, status uint32, body []byte) error {
	b := make([]byte, 0, headerSize+len(body))
	// #nosec G115 -- a body is a few names or one chunk of a stream; the serial is the same 32 bits on the wire
	for _, v := range []uint32{uint32(headerSize + len(body)), remoteProgram, remoteVersion, proc, kind, uint32(s.serial), status} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	s.wmu.Lock()
	defer s.wmu.Unlock()
	_, err := s.Conn.Write(append(b, body...))
	return err
}

func (s *streamConn) packet() (frameHeader, []byte, error) {
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(s.r, head); err != nil {
		return frameHeader{}, nil, err
	}
	h := parseHeader(head)
	if err := h.check(); err != nil {
		return h, nil, err
	}
	body := make([]byte, h.length-headerSize)
	_, err := io.ReadFull(s.r, body)
	return h, body, err
}

// decodeError reads remote_error as far as it is used: code, domain, message.
func decodeError(body []byte) error {
	r := xdrReader{b: body}
	code := r.uint32()
	r.uint32()
	msg := r.optString()
	if r.err != nil {
		return fmt.Errorf("unreadable error: %w", r.err)
	}
	return golibvirt.Error{Code: code, Message: msg}
}

// next gives the packets that came early, then those that come.
func (s *streamConn) next() (frameHeader, []byte, error) {
	if len(s.early) > 0 {
		p := s.early[0]
		s.early = s.early[1:]
		return p.frameHeader, p.body, nil
	}
	return s.packet()
}

// Read gives the stream's data as it comes.
func (s *streamConn) Read(p []byte) (int, error) {
	for len(s.left) == 0 {
		if s.eof {
			return 0, io.EOF
		}
		h, body, err := s.next()
		if err != nil {
			s.eof = true
			if errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = io.EOF
			}
			return 0, err
		}
		if h.kind != typeStream || h.proc != s.proc || h.serial != s.serial {
			continue
		}
		switch {
		case h.status == statusError:
			s.eof = true
			return 0, fromDaemon("go on with the stream", decodeError(body))
		case h.status == statusOK || len(body) == 0:
			s.eof = true
			return 0, io.EOF
		}
		s.left = body
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// Write sends data into the stream.
func (s *streamConn) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		n := min(len(p)-sent, streamChunk)
		if err := s.send(s.proc, typeStream, statusContinue, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

func (s *streamConn) Close() error {
	s.once.Do(func() { _ = s.Conn.Close() })
	return nil
}
