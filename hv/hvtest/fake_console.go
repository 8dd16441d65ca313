package hvtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"io"
	"net"
	"sync"

	"novacron/domain"
	"novacron/hv"
)

const screenWidth, screenHeight = 64, 48

func (m *machine) running(uuid string) (*guest, error) {
	g, err := m.find(uuid)
	if err == nil && !g.up() {
		return nil, domain.Errorf(domain.Conflict, "The guest is %s.", g.state).WithFix("Start it first.")
	}
	return g, err
}

// Graphics implements hv.Console: the stream ends when either side closes it.
func (c *conn) Graphics(ctx context.Context, uuid string) (hv.Screen, error) {
	return do(ctx, c, "Graphics", func(m *machine) (hv.Screen, error) {
		g, err := m.running(uuid)
		if err != nil {
			return hv.Screen{}, err
		}
		if mustParse(g.live).Graphics == "none" {
			return hv.Screen{}, domain.Errorf(domain.NotFound, "The VM has no graphical console.").WithFix("Use its serial console.")
		}
		near, far := net.Pipe()
		go serveRFB(far, g.name) // ends when near is closed
		return hv.Screen{Conn: near, Via: "memory"}, nil
	})
}

// serveRFB speaks just enough RFB 3.8 (RFC 6143) for a viewer to show one grey picture.
func serveRFB(c net.Conn, name string) {
	defer c.Close()
	say := func(parts ...any) bool {
		var b bytes.Buffer
		for _, p := range parts {
			if binary.Write(&b, binary.BigEndian, p) != nil {
				return false
			}
		}
		_, err := c.Write(b.Bytes())
		return err == nil
	}
	hear := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(c, b); err != nil {
			return nil
		}
		return b
	}
	// 32 bits per pixel, depth 24, little endian, true colour, 8 bits each of red, green, blue.
	format := []byte{32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0}
	ok := say([]byte("RFB 003.008\n")) && hear(12) != nil && say([]byte{1, 1}) && hear(1) != nil && say(uint32(0)) && hear(1) != nil &&
		say(uint16(screenWidth), uint16(screenHeight), format, uint32(len(name)), []byte(name)) // #nosec G115 -- the name of a VM
	for ok {
		kind := hear(1)
		if kind == nil {
			return
		}
		switch kind[0] {
		case 0: // SetPixelFormat
			ok = hear(19) != nil
		case 2: // SetEncodings
			h := hear(3)
			if h == nil {
				return
			}
			ok = hear(4*int(binary.BigEndian.Uint16(h[1:]))) != nil
		case 3: // FramebufferUpdateRequest; incremental ones get no answer, as nothing changes
			r := hear(9)
			if r == nil {
				return
			}
			if r[0] == 0 {
				ok = say(uint8(0), uint8(0), uint16(1), uint16(0), uint16(0), uint16(screenWidth), uint16(screenHeight), int32(0), bytes.Repeat([]byte{0x80}, 4*screenWidth*screenHeight))
			}
		case 4: // KeyEvent
			ok = hear(7) != nil
		case 5: // PointerEvent
			ok = hear(5) != nil
		case 6: // ClientCutText
			h := hear(7)
			if h == nil {
				return
			}
			_, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(h[3:])))
			ok = err == nil
		default:
			return
		}
	}
}

// Screenshot implements hv.Console.
func (c *conn) Screenshot(ctx context.Context, uuid string) ([]byte, error) {
	return do(ctx, c, "Screenshot", func(m *machine) ([]byte, error) {
		if _, err := m.running(uuid); err != nil {
			return nil, err
		}
		img := image.NewGray(image.Rect(0, 0, screenWidth, screenHeight))
		for i := range img.Pix {
			img.Pix[i] = color.Gray{Y: 0x80}.Y
		}
		var b bytes.Buffer
		err := png.Encode(&b, img)
		return b.Bytes(), err
	})
}

// line is a guest's serial line: what the guest writes waits (up to a limit) for whoever is attached, and the other way round.
type line struct {
	mu       sync.Mutex
	changed  *sync.Cond
	toClient []byte
	toGuest  []byte
	client   *lineEnd
}

const lineBuffer = 64 << 10

func newLine() *line {
	l := &line{}
	l.changed = sync.NewCond(&l.mu)
	return l
}

// lineEnd is an attached console.
type lineEnd struct{ l *line }

func (l *line) attach() *lineEnd {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client = &lineEnd{l}
	l.changed.Broadcast()
	return l.client
}

func (l *line) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client, l.toClient, l.toGuest = nil, nil, nil
	l.changed.Broadcast()
}

// Read ends when another console takes the line over or the guest stops.
func (e *lineEnd) Read(p []byte) (int, error) {
	e.l.mu.Lock()
	defer e.l.mu.Unlock()
	for e.l.client == e && len(e.l.toClient) == 0 {
		e.l.changed.Wait()
	}
	if e.l.client != e {
		return 0, io.EOF
	}
	n := copy(p, e.l.toClient)
	e.l.toClient = e.l.toClient[n:]
	return n, nil
}

func (e *lineEnd) Write(p []byte) (int, error) {
	e.l.mu.Lock()
	defer e.l.mu.Unlock()
	if e.l.client != e {
		return 0, io.ErrClosedPipe
	}
	e.l.toGuest = append(e.l.toGuest, p...)
	e.l.changed.Broadcast()
	return len(p), nil
}

func (e *lineEnd) Close() error {
	e.l.mu.Lock()
	defer e.l.mu.Unlock()
	if e.l.client == e {
		e.l.client = nil
	}
	e.l.changed.Broadcast()
	return nil
}

// guestEnd is what software in the guest would have open.
type guestEnd struct{ l *line }

func (g guestEnd) Write(p []byte) (int, error) {
	g.l.mu.Lock()
	defer g.l.mu.Unlock()
	g.l.toClient = append(g.l.toClient, p...)
	if over := len(g.l.toClient) - lineBuffer; over > 0 {
		g.l.toClient = g.l.toClient[over:]
	}
	g.l.changed.Broadcast()
	return len(p), nil
}

func (g guestEnd) Read(p []byte) (int, error) {
	g.l.mu.Lock()
	defer g.l.mu.Unlock()
	for len(g.l.toGuest) == 0 {
		g.l.changed.Wait()
	}
	n := copy(p, g.l.toGuest)
	g.l.toGuest = g.l.toGuest[n:]
	return n, nil
}

// SerialLine gives the guest's end of its serial line; nil when there is no such guest. Reading waits until something was typed.
func (f *Fake) SerialLine(uuid string) io.ReadWriter {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if g := f.m.guests[uuid]; g != nil {
		return guestEnd{g.line}
	}
	return nil
}

// Serial implements hv.Console.
func (c *conn) Serial(ctx context.Context, uuid string) (io.ReadWriteCloser, error) {
	return do(ctx, c, "Serial", func(m *machine) (io.ReadWriteCloser, error) {
		g, err := m.running(uuid)
		if err != nil {
			return nil, err
		}
		return g.line.attach(), nil
	})
}
