package handlers

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
)

// onHome is what the overview listens to: its own strip and the list below it.
const onHome = "home"

const (
	beatEvery = 15 * time.Second       // a comment that keeps proxies from closing a quiet stream
	drawEvery = 250 * time.Millisecond // a page is not drawn more often; what comes meanwhile is drawn together
	sendLimit = 30 * time.Second       // a browser that takes no bytes for so long is gone
	batchMost = 1000                   // events looked at in one go
)

// viewer is one open page.
type viewer struct {
	on    string
	at    *url.URL // the page's own address: its filter, tab and host
	total int      // VMs that matched when the page was made; -1 unknown
	sub   auth.Subject

	charts []domain.Chart // that it shows and that go on
}

// live is the page's one event stream. The order is what makes it complete: the cursor first (the page took it before it read), then read, render
// and loop. A subscriber is a number; nothing is queued for it.
func (s *server) live(c echo.Context) error {
	v, seq, err := s.openViewer(c)
	if err != nil {
		return err
	}
	ctx, cancel := s.streamContext(c)
	defer cancel()
	leave := s.hub.join(ctx)
	defer leave()
	out := &eventStream{w: c.Response(), rc: http.NewResponseController(c.Response()), clock: s.Clock}
	if err := out.open(); err != nil {
		return nil // gone before it began
	}
	return s.follow(ctx, c.Request(), v, seq, out)
}

func (s *server) openViewer(c echo.Context) (*viewer, int64, error) {
	v := &viewer{on: c.QueryParam("on"), total: -1, sub: subject(c)}
	at := safeNext(c.QueryParam("at"))
	u, err := url.Parse(orHome(at))
	if err != nil {
		return nil, 0, domain.InvalidField("at", "That is not a page's address.", "a path of this server")
	}
	v.at = u
	if t := c.QueryParam("total"); t != "" {
		if n, err := strconv.Atoi(t); err == nil {
			v.total = n
		}
	}
	seq := s.DB.Feed().Last()
	for _, from := range []string{c.Request().Header.Get("Last-Event-ID"), c.QueryParam("after")} {
		if from == "" {
			continue
		}
		if seq, err = strconv.ParseInt(from, 10, 64); err != nil || seq < 0 {
			return nil, 0, domain.InvalidField("after", "“"+from+"” is not an event's number.", "the id of the last message")
		}
		break
	}
	return v, seq, nil
}

// follow sends what concerns the page until the browser, the session or the server ends.
func (s *server) follow(ctx context.Context, r *http.Request, v *viewer, seq int64, out *eventStream) error {
	feed := s.DB.Feed()
	_, version, _ := s.hub.news(0)
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	tick, stop, err := s.tick(ctx, v)
	if err != nil {
		return err
	}
	defer stop()
	due := false // what is measured is to be sent
	for {
		select {
		case <-tick:
			due = true
		default:
		}
		if due {
			due = false
			if alive, err := s.stillThere(r, v, out); err != nil || !alive {
				return nil
			}
			body, err := s.measured(v.sub.With(ctx), v)
			if err != nil {
				if ctx.Err() == nil {
					s.logError(ctx, err, "what was measured could not be drawn")
				}
				return nil
			}
			if err := out.message(0, body); err != nil {
				return nil
			}
		}
		moves, newVersion, more := s.hub.news(version)
		evs, gap := feed.Since(seq, batchMost)
		if len(evs) == 0 && !gap && len(moves) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-beat.C:
				if alive, err := s.stillThere(r, v, out); err != nil || !alive {
					return nil
				}
				if err := out.comment("beat"); err != nil {
					return nil
				}
			case <-more:
			case <-tick:
				due = true
			}
			continue
		}
		if alive, err := s.stillThere(r, v, out); err != nil || !alive {
			return nil
		}
		version = newVersion
		seeing := v.sub.With(ctx)
		last := seq
		if len(evs) > 0 {
			last = evs[len(evs)-1].Seq
		}
		evs, moves, err := s.inSight(seeing, evs, moves)
		var body []byte
		switch {
		case err != nil:
		case gap:
			seq = feed.Last()
			body, err = s.redraw(seeing, v, seq)
		default:
			seq = last
			body, err = s.draw(seeing, v, evs, moves, seq)
		}
		if err != nil {
			if ctx.Err() == nil {
				s.logError(ctx, err, "a live page could not be drawn")
			}
			return nil // the browser comes back with the last id it has seen and gets all of it
		}
		if err := out.message(seq, body); err != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(drawEvery):
		}
	}
}

// inSight leaves out what is about things that the viewer does not see.
func (s *server) inSight(ctx context.Context, evs []domain.Event, moves map[string]domain.Progress) ([]domain.Event, map[string]domain.Progress, error) {
	sight := domain.SightOf(ctx)
	if sight.Full() {
		return evs, moves, nil
	}
	var seen []domain.Event
	for _, ev := range evs {
		ok, err := s.DB.SeesEvent(ctx, &ev)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			seen = append(seen, ev)
		}
	}
	moved := map[string]domain.Progress{}
	for id, p := range moves {
		if _, err := s.jobAsOf(ctx, id, 0); err == nil {
			moved[id] = p
		}
	}
	return seen, moved, nil
}

// stillThere asks again who watches: a session that ended meanwhile gets nothing more but the word that it did.
func (s *server) stillThere(r *http.Request, v *viewer, out *eventStream) (bool, error) {
	sub, err := s.Auth.SessionAlive(r)
	if err != nil {
		return false, err
	}
	if sub.Known() && !sub.MustChange && sub.Can(access.EventRead) {
		v.sub = sub
		return true, nil
	}
	buf := new(bytes.Buffer)
	t := layout.Toast{Tone: layout.ToneWarning, Text: "You are signed out.", Detail: "What you see here does not change any more.", URL: live.SignInThen(v.at.RequestURI()), Link: "Sign in again"}
	if err := layout.ToastPartial(t).Render(r.Context(), buf); err != nil {
		return false, err
	}
	return false, out.message(0, buf.Bytes())
}

// eventStream writes server-sent events. The server's own write deadline is lifted; each message has one of its own instead.
type eventStream struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	clock func() time.Time
	buf   bytes.Buffer
}

func (e *eventStream) open() error {
	if err := e.rc.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	e.w.WriteHeader(http.StatusOK)
	return e.comment("open")
}

func (e *eventStream) comment(text string) error {
	e.buf.Reset()
	fmt.Fprintf(&e.buf, ": %s\n\n", text)
	return e.flush()
}

// message sends data; an id of 0 is left out. Without data it only moves the browser's cursor.
func (e *eventStream) message(id int64, data []byte) error {
	e.buf.Reset()
	if id > 0 {
		fmt.Fprintf(&e.buf, "id: %d\n", id)
	}
	if len(data) > 0 {
		for line := range bytes.SplitSeq(data, []byte("\n")) {
			e.buf.WriteString("data: ")
			e.buf.Write(bytes.TrimSuffix(line, []byte("\r")))
			e.buf.WriteByte('\n')
		}
	}
	e.buf.WriteByte('\n')
	return e.flush()
}

func (e *eventStream) flush() error {
	// The wall clock, not the server's: the deadline is the network's.
	if err := e.rc.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return err
	}
	if _, err := e.w.Write(e.buf.Bytes()); err != nil {
		return err
	}
	if err := e.rc.Flush(); err != nil {
		return err
	}
	return e.rc.SetWriteDeadline(time.Time{})
}
