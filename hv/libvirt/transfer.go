package libvirt

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
)

const (
	// transferChunk is what one message carries: below the limit that every libvirt has (262,120 bytes) and whole pages, so that holes are found.
	transferChunk = 63 * 4096
	// transferIdle is how long a stream may stand still on the host's side.
	transferIdle = 2 * time.Minute
	// transferEnd bounds the host's closing of the file, which may have to reach a server of files.
	transferEnd = 10 * time.Minute

	// leastBlock is what one byte of a file takes up, on file systems with large blocks.
	leastBlock = 64 << 10

	sparseStream = 1 // VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM, and the same for downloads
	sparseSince  = 3004000
)

var zeros [transferChunk]byte

// volumeStream opens a connection for one upload or download of a volume.
func (h *host) volumeStream(ctx context.Context, v golibvirt.StorageVol, proc uint32, doing string, offset, length int64, flags uint32) (*streamConn, error) {
	return bounded(ctx, doing, func(ctx context.Context, closeOnEnd func(io.Closer)) (*streamConn, error) {
		raw, err := h.tr.daemon(ctx, &trial{})
		if err != nil {
			return nil, err
		}
		closeOnEnd(raw)
		s := &streamConn{Conn: raw, r: bufio.NewReaderSize(raw, headerSize)} // no more than is asked for: the rest of a message may go from socket to socket
		if err := s.enter(daemonURI(h.uri)); err != nil {
			_ = s.Close()
			return nil, err
		}
		var w xdrWriter
		w.string(v.Pool)
		w.string(v.Name)
		w.string(v.Key)
		w.uint64(uint64(offset)) // #nosec G115 -- ReadVolume and WriteVolume refuse negative places
		w.uint64(uint64(length)) // #nosec G115 -- as the offset
		w.uint32(flags)
		s.proc = proc
		if _, err := s.call(doing, proc, w.b); err != nil {
			_ = s.Close()
			return nil, err
		}
		return s, nil
	})
}

// closeAfter gives a timer that ends the connection: deadlines are not possible on every kind of it.
func (s *streamConn) closeAfter(d time.Duration) *time.Timer {
	return time.AfterFunc(d, func() { _ = s.Close() })
}

func (h *host) sparse() bool { return h.libVersion >= sparseSince }

func (h *host) ReadVolume(ctx context.Context, pool, name string, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || length < 0 {
		return nil, domain.Errorf(domain.Invalid, "A volume is read from a place inside it.")
	}
	if h.isTest() {
		return nil, noContent()
	}
	v, err := h.volume(ctx, pool, name)
	if err != nil {
		return nil, err
	}
	return h.download(ctx, v, offset, length)
}

func noContent() error {
	return domain.Errorf(domain.Unsupported, "This host's libvirt cannot move the content of volumes.")
}

func (h *host) download(ctx context.Context, v golibvirt.StorageVol, offset, length int64) (*volumeReader, error) {
	var flags uint32
	if h.sparse() {
		flags = sparseStream
	}
	doing := "read the volume " + v.Name
	s, err := h.volumeStream(ctx, v, procVolDownload, doing, offset, length, flags)
	if err != nil {
		return nil, err
	}
	r := &volumeReader{s: s, ctx: ctx, doing: doing, left: length, bounded: length > 0}
	r.stop = context.AfterFunc(ctx, func() { _ = s.Close() })
	r.idle = s.closeAfter(transferIdle)
	return r, nil
}

// volumeReader gives the bytes of a download as they are asked for: nothing is read ahead but what the sockets hold.
type volumeReader struct {
	s       *streamConn
	ctx     context.Context
	stop    func() bool
	idle    *time.Timer
	doing   string
	bounded bool   // only left bytes are wanted
	left    int64  // of those
	hole    int64  // zeros that are due
	body    int64  // bytes of the current message that are still on the socket
	held    []byte // the current message's body, when it came before the answer to the call
	head    [headerSize]byte
	err     error
}

func (r *volumeReader) Read(p []byte) (int, error) {
	r.idle.Reset(transferIdle) // only while the host is waited for: whoever reads may take his time
	defer r.idle.Stop()
	if r.bounded && int64(len(p)) > r.left {
		p = p[:r.left]
	}
	for r.err == nil && r.hole == 0 && r.body == 0 {
		r.err = r.message()
	}
	if r.err != nil {
		return 0, r.err
	}
	n := 0
	if r.hole > 0 {
		n = int(min(int64(len(p)), r.hole))
		clear(p[:n])
		r.hole -= int64(n)
	} else {
		var err error
		if n, err = r.source().Read(p[:min(int64(len(p)), r.body)]); err != nil {
			r.err = r.broke(err)
		}
		r.body -= int64(n)
	}
	r.left -= int64(n)
	if r.bounded && r.left == 0 && r.err == nil {
		r.err = io.EOF
	}
	return n, r.err
}

// WriteTo hands everything that is left to w. Where both are sockets of this system the kernel does, and the bytes never come here.
func (r *volumeReader) WriteTo(w io.Writer) (sent int64, err error) {
	to, ok := w.(io.ReaderFrom)
	if !ok {
		return io.CopyBuffer(w, struct{ io.Reader }{r}, make([]byte, transferChunk))
	}
	defer r.idle.Stop()
	for r.err == nil {
		if r.idle.Reset(transferIdle); r.hole == 0 && r.body == 0 {
			r.err = r.message()
			continue
		}
		var n int64
		if n, err = r.piece(w, to); n == 0 && err == nil {
			err = r.broke(io.ErrUnexpectedEOF)
		}
		r.left, sent = r.left-n, sent+n
		if err != nil {
			return sent, err
		}
		if r.bounded && r.left == 0 {
			r.err = io.EOF
		}
	}
	if r.err == io.EOF {
		return sent, nil
	}
	return sent, r.err
}

// piece hands on what is there of a hole or of the current message.
func (r *volumeReader) piece(w io.Writer, to io.ReaderFrom) (n int64, err error) {
	n = r.hole + r.body // one of them
	if r.bounded {
		n = min(n, r.left)
	}
	if r.hole > 0 {
		k, err := w.Write(zeros[:min(n, transferChunk)])
		r.hole -= int64(k)
		return int64(k), err
	}
	from := &io.LimitedReader{R: r.source(), N: n}
	if len(r.held) == 0 && r.s.r.Buffered() == 0 {
		from.R = r.s.Conn
	}
	n, err = to.ReadFrom(from)
	r.body -= n
	return n, err
}

// Skip implements hv.Sparse.
func (r *volumeReader) Skip(most int64) int64 {
	if r.err != nil || r.body > 0 {
		return 0
	}
	r.idle.Reset(transferIdle)
	defer r.idle.Stop()
	for r.err == nil && r.hole == 0 && r.body == 0 {
		r.err = r.message()
	}
	n := min(r.hole, most)
	if r.bounded {
		n = min(n, r.left)
	}
	if r.err != nil || n <= 0 {
		return 0
	}
	r.hole -= n
	r.left -= n
	if r.bounded && r.left == 0 {
		r.err = io.EOF
	}
	return n
}

func (r *volumeReader) broke(err error) error {
	if r.ctx.Err() != nil {
		return stopped(r.ctx, r.doing)
	}
	return broken(r.doing, err)
}

// message reads the next header, and what it says of the stream.
func (r *volumeReader) message() error {
	var h frameHeader
	if len(r.s.early) > 0 {
		h, r.held = r.s.early[0].frameHeader, r.s.early[0].body
		r.s.early = r.s.early[1:]
	} else {
		if _, err := io.ReadFull(r.s.r, r.head[:]); err != nil {
			return r.broke(err)
		}
		h = parseHeader(r.head[:])
		if err := h.check(); err != nil {
			return r.broke(err)
		}
	}
	size := int64(h.length) - headerSize
	ours := h.proc == r.s.proc && h.serial == r.s.serial
	switch {
	case ours && h.kind == typeHole, ours && h.kind == typeStream && h.status == statusError:
		body := make([]byte, size)
		if _, err := io.ReadFull(r.source(), body); err != nil {
			return r.broke(err)
		}
		if h.kind == typeStream {
			return fromDaemon(r.doing, decodeError(body))
		}
		x := xdrReader{b: body}
		if r.hole = int64(x.uint64()); x.err != nil || r.hole < 0 { // #nosec G115 -- a number that becomes negative is refused on this very line
			return domain.Errorf(domain.Internal, "An answer of the host to “%s” could not be read.", r.doing).WithCause(x.err)
		}
		return nil
	case ours && h.kind == typeStream && (h.status == statusOK || size == 0):
		return io.EOF
	case ours && h.kind == typeStream:
		r.body = size
		return nil
	}
	if _, err := io.CopyN(io.Discard, r.source(), size); err != nil { // an event or a keepalive
		return r.broke(err)
	}
	return nil
}

// source is where the current message's body is read from.
func (r *volumeReader) source() io.Reader {
	if len(r.held) > 0 {
		return heldReader{r}
	}
	return r.s.r
}

// heldReader gives the body of a message that came before the answer to the call.
type heldReader struct{ r *volumeReader }

func (h heldReader) Read(p []byte) (int, error) {
	n := copy(p, h.r.held)
	h.r.held = h.r.held[n:]
	return n, nil
}

func (r *volumeReader) Close() error {
	r.stop()
	r.idle.Stop()
	return r.s.Close()
}

// vacant looks whether a file has nothing but holes and zeros from offset to its end, and where that is. What ClearVolume empties begins with a block of zeros.
func (h *host) vacant(ctx context.Context, v golibvirt.StorageVol, offset int64) (end int64, ok bool, err error) {
	if !h.sparse() {
		return 0, false, nil
	}
	kind, err := get(ctx, h.conn, "look at the volume "+v.Name, func(l *golibvirt.Libvirt) (int8, error) {
		kind, _, _, err := l.StorageVolGetInfo(v)
		return kind, err
	})
	if err != nil || kind != int8(golibvirt.StorageVolFile) {
		return 0, false, err
	}
	r, err := h.download(ctx, v, offset, 0)
	if domain.Is(err, domain.Conflict) || domain.Is(err, domain.Invalid) {
		return 0, false, nil // it begins behind the file's end
	}
	if err != nil {
		return 0, false, err
	}
	defer r.Close()
	end = offset
	for {
		switch err := r.message(); {
		case err == io.EOF:
			return end, true, nil
		case err != nil:
			return 0, false, err
		case r.body > leastBlock:
			return 0, false, nil
		case r.body > 0:
			block := make([]byte, r.body)
			if _, err := io.ReadFull(r, block); err != nil {
				return 0, false, err
			}
			if !bytes.Equal(block, zeros[:len(block)]) {
				return 0, false, nil
			}
			end += int64(len(block))
		}
		end += r.hole
		r.hole = 0
	}
}

func (h *host) WriteVolume(ctx context.Context, pool, name string, offset, length int64, src io.Reader) error {
	if offset < 0 || length < 0 {
		return domain.Errorf(domain.Invalid, "A volume is written from a place inside it.")
	}
	if h.isTest() {
		return noContent()
	}
	v, err := h.volume(ctx, pool, name)
	if err != nil {
		return err
	}
	// A hole cuts the file off where it ends, and does not empty what lies there: it is for a place where nothing is, up to the end.
	end, holes, err := h.vacant(ctx, v, offset)
	if err != nil {
		return err
	}
	limit, flags := length, uint32(0)
	if holes {
		limit, flags = 0, sparseStream
	}
	doing := "write the volume " + v.Name
	if length > 0 {
		src = &limited{src, length}
	}
	var srcErr error
	err = h.upload(ctx, v, doing, offset, limit, flags, func(w *volumeWriter) (err error) {
		w.end = end
		srcErr, err = w.copy(src)
		return err
	})
	if err != nil {
		return err
	}
	return srcErr
}

func (h *host) ClearVolume(ctx context.Context, pool, name string) error {
	if h.isTest() {
		return noContent()
	}
	v, err := h.volume(ctx, pool, name)
	if err != nil {
		return err
	}
	got, err := h.physical(ctx, v)
	if err != nil {
		return err
	}
	if got.kind != int8(golibvirt.StorageVolFile) || !h.sparse() {
		return domain.Errorf(domain.Unsupported, "%s is not a file, so it cannot be emptied without writing all of it.", name)
	}
	// A hole cuts the file off where it ends: first behind one byte (libvirt passes over a hole of no length), then that byte and a hole of the old size.
	doing := "empty the volume " + name
	for _, step := range []func(*volumeWriter) error{
		func(w *volumeWriter) error { return w.sendHole(1) },
		func(w *volumeWriter) error { return errors.Join(w.data(zeros[:1]), w.flush(signed(got.size))) },
	} {
		if err := h.upload(ctx, v, doing, 0, 0, sparseStream, step); err != nil {
			return err
		}
	}
	return nil
}

// physicalInfo is the sort of a volume and how long its file or device is.
type physicalInfo struct {
	kind int8
	size uint64
}

func (h *host) physical(ctx context.Context, v golibvirt.StorageVol) (physicalInfo, error) {
	return get(ctx, h.conn, "look at the volume "+v.Name, func(l *golibvirt.Libvirt) (out physicalInfo, err error) {
		out.kind, _, out.size, err = l.StorageVolGetInfoFlags(v, uint32(golibvirt.StorageVolGetPhysical))
		return out, err
	})
}

func (h *host) ContentSize(ctx context.Context, pool, name string) (int64, error) {
	if h.isTest() {
		return 0, noContent()
	}
	v, err := h.volume(ctx, pool, name)
	if err != nil {
		return 0, err
	}
	got, err := h.physical(ctx, v)
	return signed(got.size), err
}

// upload opens an upload, has send write into it, and waits for the host to say that it has everything.
func (h *host) upload(ctx context.Context, v golibvirt.StorageVol, doing string, offset, length int64, flags uint32, send func(w *volumeWriter) error) error {
	s, err := h.volumeStream(ctx, v, procVolUpload, doing, offset, length, flags)
	if err != nil {
		return err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	w := &volumeWriter{s: s, holes: flags != 0, at: offset, answer: make(chan error, 1), idle: s.closeAfter(transferIdle)}
	defer w.idle.Stop()
	go w.listen(doing)
	if err = send(w); err == nil {
		err = w.finish()
	}
	if err != nil {
		_ = s.Close() // ends listen
	}
	answer := <-w.answer
	switch {
	case ctx.Err() != nil:
		return stopped(ctx, doing)
	case answer != nil:
		return answer
	case err != nil:
		return broken(doing, err)
	}
	return nil
}

// volumeWriter is an upload under way. The host may refuse at any time (a full disk), so it is listened to while data is sent.
type volumeWriter struct {
	s      *streamConn
	holes  bool
	at     int64 // where the next byte goes
	end    int64 // of the file, when holes are made
	hole   int64 // zeros that are due
	answer chan error
	idle   *time.Timer
}

// listen waits for the host's last word: that it has everything, or why not.
func (w *volumeWriter) listen(doing string) {
	for {
		h, body, err := w.s.next()
		if err != nil {
			w.answer <- broken(doing, err)
			return
		}
		if h.kind != typeStream || h.proc != w.s.proc || h.serial != w.s.serial {
			continue
		}
		if h.status == statusError {
			_ = w.s.Close() // whoever is sending stops
			w.answer <- fromDaemon(doing, decodeError(body))
			return
		}
		w.answer <- nil
		return
	}
}

// limited is io.LimitReader for a source that may know its holes.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, io.EOF
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

func (l *limited) Skip(most int64) int64 {
	s, ok := l.r.(hv.Sparse)
	if !ok || l.left <= 0 {
		return 0
	}
	n := s.Skip(min(most, l.left))
	l.left -= n
	return n
}

// ahead is how many pieces of a source are read while earlier ones are on their way.
const ahead = 16

// piece is what was read of a source, the hole behind that, and how it ended there.
type piece struct {
	data []byte
	hole int64
	err  error
}

// copy sends everything; srcErr is the source's, err the connection's. The source is read while the connection is written to: both take time, and often
// another processor's. When copy returns nobody reads the source any more.
func (w *volumeWriter) copy(src io.Reader) (srcErr, err error) {
	skip := func() int64 { return 0 }
	if s, ok := src.(hv.Sparse); ok && w.holes {
		skip = func() int64 { return s.Skip(math.MaxInt64) }
	}
	free, full, stop := make(chan []byte, ahead), make(chan piece, ahead), make(chan struct{})
	for range ahead {
		free <- make([]byte, transferChunk)
	}
	go func() {
		defer close(full)
		for {
			select {
			case <-stop:
				return
			case buf := <-free:
				n, hole, err := fill(src, buf, skip)
				full <- piece{buf[:n], hole, err}
				if err != nil {
					return
				}
			}
		}
	}()
	for p := range full {
		if err := w.piece(p.data); err != nil {
			close(stop)
			for range full { // the reader is at its last
			}
			return nil, err
		}
		w.hole += p.hole
		srcErr = p.err
		free <- p.data[:transferChunk]
	}
	if srcErr == io.EOF {
		srcErr = nil
	}
	return srcErr, w.flush(w.end)
}

// zeroRun is how long a run of zeros has to be to become a hole: nine pages, a seventh of what a message carries.
const zeroRun = 9 * 4096

func (w *volumeWriter) piece(p []byte) error {
	if !w.holes {
		if len(p) == 0 {
			return nil
		}
		return w.data(p)
	}
	start := 0
	for at := 0; at < len(p); at += zeroRun {
		end := min(at+zeroRun, len(p))
		if !bytes.Equal(p[at:end], zeros[:end-at]) {
			continue
		}
		if start < at {
			if err := w.data(p[start:at]); err != nil {
				return err
			}
		}
		w.hole += int64(end - at)
		start = end
	}
	if start < len(p) {
		return w.data(p[start:])
	}
	return nil
}

// fill is io.ReadFull that ends before a hole, and keeps a source which ended apart from one which says that it ended too early.
func fill(src io.Reader, buf []byte, skip func() int64) (n int, hole int64, err error) {
	for n < len(buf) && err == nil {
		if hole = skip(); hole > 0 {
			return n, hole, nil
		}
		var k int
		k, err = src.Read(buf[n:])
		n += k
	}
	return n, 0, err
}

func (w *volumeWriter) data(p []byte) error {
	if err := w.flush(0); err != nil {
		return err
	}
	w.at += int64(len(p))
	return w.packet(typeStream, statusContinue, p)
}

// flush sends the hole that is due, and one up to end, so that the file keeps its size.
func (w *volumeWriter) flush(end int64) error {
	hole := max(w.hole, end-w.at)
	w.hole = 0
	if hole <= 0 {
		return nil
	}
	return w.sendHole(hole)
}

func (w *volumeWriter) sendHole(n int64) error {
	w.at += n
	var x xdrWriter
	x.uint64(uint64(n)) // #nosec G115 -- a hole has a length: flush sends none below 1
	x.uint32(0)
	return w.packet(typeHole, statusContinue, x.b)
}

func (w *volumeWriter) finish() error {
	err := w.packet(typeStream, statusOK, nil)
	w.idle.Reset(transferEnd)
	return err
}

func (w *volumeWriter) packet(kind, status uint32, body []byte) error {
	w.idle.Reset(transferIdle)
	defer w.idle.Stop()
	var head [headerSize]byte
	// #nosec G115 -- a body is one chunk of 63 pages at most; the serial is the same 32 bits on the wire
	for i, v := range []uint32{uint32(headerSize + len(body)), remoteProgram, remoteVersion, w.s.proc, kind, uint32(w.s.serial), status} {
		binary.BigEndian.PutUint32(head[4*i:], v)
	}
	out := net.Buffers{head[:], body}
	_, err := out.WriteTo(w.s.Conn)
	return err
}
