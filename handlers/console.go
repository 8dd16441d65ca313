package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/handlers/memo"
	"novacron/views/vms"
)

// A guest's ports are never exposed: the browser gets a ticket for one websocket, and the server carries the bytes. A ticket is good once, for
// half a minute, for the session, VM and console it was made for.

const (
	ticketLife  = 30 * time.Second
	ticketsMost = 1000

	consolePing  = 20 * time.Second
	consoleWrite = 30 * time.Second // a browser that takes no bytes for so long is gone
	consoleRead  = 1 << 20          // largest message from a browser: a pasted text
	consoleChunk = 32 << 10
)

const (
	kindVNC    = "vnc"
	kindSerial = "serial"
)

type ticket struct {
	vmID, kind, session string
}

type tickets struct{ d *drawer[ticket] }

func newTickets(clock func() time.Time) *tickets {
	return &tickets{newDrawer[ticket](clock, ticketsMost, ticketLife)}
}

// redeem takes the ticket for good, even when it is then refused: a leaked one is worth nothing afterwards.
func (t *tickets) redeem(key, session string) (ticket, error) {
	tk, ok := t.d.take(key)
	if !ok || tk.session != session {
		return ticket{}, domain.Errorf(domain.Denied, "The console's ticket is not valid.").WithFix("Tickets are good once and for 30 seconds; connect again.")
	}
	return tk, nil
}

// ticketAnswer is what the console's script gets.
type ticketAnswer struct {
	URL string `json:"url"`
	Via string `json:"via"`
}

// consoleTicket answers with the address of a websocket.
func (s *server) consoleTicket(c echo.Context) error {
	ctx, kind := c.Request().Context(), c.Param("kind")
	vm, err := s.DB.VM(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	host, err := s.DB.Host(ctx, vm.HostID)
	if err != nil {
		return err
	}
	if err := consoleOpen(vm, kind); err != nil {
		return err
	}
	key := s.tickets.d.put(ticket{vmID: vm.ID, kind: kind, session: s.Auth.SessionKey(ctx)})
	return c.JSON(http.StatusOK, ticketAnswer{URL: "/ws/console/" + key, Via: host.Facts.Console})
}

// consoleOpen reports why the console cannot be opened now.
func consoleOpen(vm domain.VM, kind string) error {
	if kind != kindVNC && kind != kindSerial {
		return domain.Errorf(domain.NotFound, "There is no console “%s”.", kind).WithFix("The consoles are vnc and serial.")
	}
	if err := vm.State.Can(domain.ActConsole); err != nil {
		return err
	}
	info := consoleInfo(vm, domain.Host{}, kind)
	switch {
	case kind == kindVNC && !info.Graphics:
		return domain.Errorf(domain.Unsupported, "%s has no VNC screen.", vm.Name).WithFix("Use its serial console, or give it a VNC screen in its definition and restart it.")
	case kind == kindSerial && !info.Serial:
		return domain.Errorf(domain.Unsupported, "%s has no serial console.", vm.Name).WithFix("Use its screen, or give it a serial port in its definition and restart it.")
	}
	return nil
}

// consolePage is a console alone in its window.
func (s *server) consolePage(c echo.Context) error {
	ctx, kind := c.Request().Context(), c.Param("kind")
	if kind != kindVNC && kind != kindSerial {
		return echo.ErrNotFound
	}
	vm, err := s.DB.VM(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	host, err := s.DB.Host(ctx, vm.HostID)
	if err != nil {
		return err
	}
	sh := s.bareShell(subject(c))
	sh.Title, sh.URL = vm.Name, c.Request().URL.RequestURI()
	return s.render(c, http.StatusOK, vms.PopoutPage(sh, vms.ConsolePage{VM: vm, Host: host, Console: consoleInfo(vm, host, kind)}))
}

// consoleSocket carries a console's bytes until either end closes.
func (s *server) consoleSocket(c echo.Context) error {
	r := c.Request()
	tk, err := s.tickets.redeem(c.Param("ticket"), s.Auth.SessionKey(r.Context()))
	if err != nil {
		return err
	}
	return s.carryConsole(c, tk, func() bool {
		sub, err := s.Auth.SessionAlive(r)
		return err == nil && sub.Known() && sub.Can(access.VMConsole)
	})
}

// apiConsole is the same for a program that shows a token instead of a ticket.
func (s *server) apiConsole(c echo.Context, vmID, kind string, alive func() bool) error {
	vm, err := s.DB.VM(c.Request().Context(), vmID)
	if err != nil {
		return err
	}
	if err := consoleOpen(vm, kind); err != nil {
		return err
	}
	return s.carryConsole(c, ticket{vmID: vm.ID, kind: kind}, alive)
}

func (s *server) carryConsole(c echo.Context, tk ticket, alive func() bool) error {
	r := c.Request()
	ctx, cancel := s.streamContext(c)
	defer cancel()
	ws, err := websocket.Accept(c.Response(), r, &websocket.AcceptOptions{Subprotocols: []string{"binary"}, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil // Accept has answered
	}
	defer ws.CloseNow() //nolint:errcheck // it is closed properly below; this is for the ways out in between
	ws.SetReadLimit(consoleRead)
	stream, err := s.openConsole(ctx, tk)
	if err != nil {
		e := problem(err)
		if e.Code == domain.Internal {
			s.logError(ctx, err, "a console could not be opened")
		}
		_ = ws.Close(websocket.StatusTryAgainLater, closingWords(e.Msg))
		return nil
	}
	p := &proxy{ws: ws, stream: stream, every: consolePing, alive: alive}
	p.run(ctx)
	return nil
}

func (s *server) openConsole(ctx context.Context, tk ticket) (io.ReadWriteCloser, error) {
	if tk.kind == kindSerial {
		return s.Console.Serial(ctx, tk.vmID)
	}
	stream, _, err := s.Console.Graphics(ctx, tk.vmID)
	return stream, err
}

// closingWords cuts a sentence to what a closing frame holds, 123 bytes, and not in the middle of a letter.
func closingWords(why string) string {
	const most = 123
	if len(why) <= most {
		return why
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(why[cut]) {
		cut--
	}
	return why[:cut]
}

// proxy carries bytes both ways. A slow browser slows the reading from the guest and the other way round: nothing is queued.
type proxy struct {
	ws     *websocket.Conn
	stream io.ReadWriteCloser
	alive  func() bool
	every  time.Duration // between looks after browser and session
}

var errSignedOut = errors.New("the session has ended")

// run carries until something ends, says what to the browser, and leaves nothing running.
func (p *proxy) run(ctx context.Context) (websocket.StatusCode, string) {
	ctx, end := context.WithCancelCause(ctx)
	// The websocket's own context outlives ctx by the closing frame: a cancelled read would cut the connection instead.
	wire, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var wg sync.WaitGroup
	wg.Go(func() { end(p.toBrowser(wire)) })
	wg.Go(func() { end(p.toGuest(wire)) })
	wg.Go(func() { end(p.watch(ctx)) })
	<-ctx.Done()
	cause := context.Cause(ctx)
	_ = p.stream.Close() // ends the reading from the guest; the guest does not care how
	code, why := websocket.StatusNormalClosure, "The console was closed."
	switch {
	case errors.Is(cause, errSignedOut):
		code, why = websocket.StatusPolicyViolation, "You are signed out."
	case errors.Is(cause, errGuestEnd):
		code, why = websocket.StatusGoingAway, "The VM ended the connection: it was stopped, or the console was taken over."
	case errors.Is(cause, context.Canceled):
		code, why = websocket.StatusGoingAway, "The server is shutting down."
	}
	_ = p.ws.Close(code, closingWords(why)) // that the browser is gone already is no error
	cut()
	wg.Wait()
	return code, why
}

var errGuestEnd = errors.New("the guest's side ended")

func (p *proxy) toBrowser(ctx context.Context) error {
	buf := make([]byte, consoleChunk)
	for {
		n, err := p.stream.Read(buf)
		if n > 0 {
			if werr := p.send(ctx, buf[:n]); werr != nil {
				return werr
			}
		}
		if err != nil {
			return errGuestEnd
		}
	}
}

func (p *proxy) send(ctx context.Context, b []byte) error {
	ctx, cancel := context.WithTimeout(ctx, consoleWrite)
	defer cancel()
	return p.ws.Write(ctx, websocket.MessageBinary, b)
}

func (p *proxy) toGuest(ctx context.Context) error {
	for {
		_, r, err := p.ws.Reader(ctx)
		if err != nil {
			return err
		}
		if _, err := io.Copy(writeOnly{p.stream}, r); err != nil {
			return err
		}
	}
}

// writeOnly hides everything but Write, so that io.Copy reads from the browser's message and not past it.
type writeOnly struct{ io.Writer }

// watch finds out about a browser that vanished and a session that ended.
func (p *proxy) watch(ctx context.Context) error {
	t := time.NewTicker(p.every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		if !p.alive() {
			return errSignedOut
		}
		ping, cancel := context.WithTimeout(ctx, consolePing)
		err := p.ws.Ping(ping)
		cancel()
		if err != nil {
			return err
		}
	}
}

const (
	shotFresh   = 4 * time.Second
	shotTimeout = 10 * time.Second
	shotsMost   = 200
)

// screenshots remembers each VM's last picture for a moment, so that many watchers cost the host one.
type screenshots struct{ m *memo.Memo[string, shot] }

type shot struct {
	png  []byte
	etag string
}

func newScreenshots(clock func() time.Time) *screenshots {
	return &screenshots{memo.New[string, shot](func() int64 { return 0 }, clock, shotsMost)}
}

// screenshot is a still picture of the VM's screen.
func (s *server) screenshot(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), shotTimeout)
	defer cancel()
	vm, err := s.DB.VM(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if err := vm.State.Can(domain.ActConsole); err != nil {
		return err
	}
	pic, err := s.shoot(ctx, vm.ID)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("ETag", pic.etag)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Vary", "Cookie")
	if c.Request().Header.Get("If-None-Match") == pic.etag {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, "image/png", pic.png)
}

// shoot takes a picture, or the one that was taken just now.
func (s *server) shoot(ctx context.Context, vmID string) (shot, error) {
	pic, _, err := s.shots.m.Get(ctx, vmID, 1, shotFresh, func(ctx context.Context) (shot, error) {
		png, err := s.Console.Screenshot(ctx, vmID)
		sum := sha256.Sum256(png)
		return shot{png, `"` + hex.EncodeToString(sum[:8]) + `"`}, err
	})
	return pic, err
}

// apiScreenshot is the same for the API.
func (s *server) apiScreenshot(ctx context.Context, vmID string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, shotTimeout)
	defer cancel()
	pic, err := s.shoot(ctx, vmID)
	return pic.png, err
}
