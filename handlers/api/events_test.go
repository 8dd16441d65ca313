package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

type sse struct {
	id   int64
	kind string
	data string
}

// watch opens the stream; next reads one message, and ok is false when the stream has ended.
func (w *world) watch(query string, opts ...opt) (next func() (sse, bool), stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	req, err := http.NewRequestWithContext(ctx, "GET", w.url+"/api/v1/events"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	token(w.admin)(req)
	for _, o := range opts {
		o(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		w.t.Fatalf("the stream: %d %v", res.StatusCode, res.Header)
	}
	w.t.Cleanup(func() { cancel(); res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	return func() (m sse, ok bool) {
		for lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), ": ")
			switch key {
			case "id":
				if m.id, err = strconv.ParseInt(value, 10, 64); err != nil {
					w.t.Fatal(err)
				}
			case "event":
				m.kind = value
			case "data":
				m.data = value
			case "":
				if m.kind != "" {
					return m, true
				}
			}
		}
		return m, false
	}, cancel
}

func (w *world) emit(n int, ref domain.Ref) (last int64) {
	w.t.Helper()
	err := w.db.Write(context.Background(), func(tx *db.Tx) error {
		for i := range n {
			if err := tx.Emit(domain.Event{Kind: "vm.changed", Resource: ref, HostID: "host_1", Actor: "test", Message: fmt.Sprintf("No. %d.", i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.db.Feed().Last()
}

func TestEventsComeInOrderAndResume(t *testing.T) {
	w := newWorld(t)
	ref := domain.Ref{Kind: "vm", ID: "vm_1", Name: "web-1"}
	first := w.emit(3, ref)
	next, stop := w.watch("")
	last := w.emit(5, ref)
	var seen sse
	for seq := first + 1; seq <= last; seq++ { // a stream without a place begins now
		m, ok := next()
		if !ok || m.id != seq || m.kind != "vm.changed" {
			t.Fatalf("wanted %d, got %+v %v", seq, m, ok)
		}
		var ce domain.CloudEvent
		err := json.Unmarshal([]byte(m.data), &ce)
		if ev := ce.Data; err != nil || ev.Seq != seq || ev.Resource != ref || ev.Message == "" || ce.SpecVersion != "1.0" || ce.ID != strconv.FormatInt(seq, 10) || ce.Type != "novacron.vm.changed" ||
			ce.Subject != ref.ID || ce.Source != "/api/v1/events" || !ce.Time.Equal(ev.At) || ce.DataContentType != "application/json" {
			t.Fatalf("%s: %v", m.data, err)
		}
		seen = m
	}
	stop()
	end := w.emit(4, ref) // while away
	next, _ = w.watch("", header("Last-Event-ID", strconv.FormatInt(seen.id, 10)))
	for seq := last + 1; seq <= end; seq++ {
		if m, ok := next(); !ok || m.id != seq {
			t.Fatalf("after resuming: wanted %d, got %+v", seq, m)
		}
	}
	next, _ = w.watch("?after=0")
	for seq := int64(1); seq <= end; seq++ {
		if m, ok := next(); !ok || m.id != seq {
			t.Fatalf("from the beginning: wanted %d, got %+v", seq, m)
		}
	}
}

func TestEventsAreNarrowed(t *testing.T) {
	w := newWorld(t)
	from := w.db.Feed().Last()
	w.emit(3, domain.Ref{Kind: "vm", ID: "vm_1"})
	wanted := w.emit(1, domain.Ref{Kind: "vm", ID: "vm_2"})
	next, _ := w.watch("?resource=vm_2&after=" + strconv.FormatInt(from, 10))
	if m, ok := next(); !ok || m.id != wanted {
		t.Errorf("%+v", m)
	}
	next, _ = w.watch("?host=host_1&after=" + strconv.FormatInt(from, 10))
	if m, ok := next(); !ok || m.id != from+1 {
		t.Errorf("%+v", m)
	}
}

// What memory no longer has comes from the table, and what the table no longer has is said.
func TestEventsThatAreGoneAreAGap(t *testing.T) {
	w := newWorld(t)
	ref := domain.Ref{Kind: "vm", ID: "vm_1"}
	for range 10 {
		w.emit(1000, ref) // more than the feed remembers
	}
	end := w.db.Feed().Last()
	next, stop := w.watch("?after=0")
	for seq := int64(1); seq <= end; seq++ {
		if m, ok := next(); !ok || m.id != seq {
			t.Fatalf("wanted %d, got %+v %v", seq, m, ok)
		}
	}
	stop()
	if _, _, err := w.db.Prune(context.Background(), time.Now().Add(time.Hour), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	left, err := w.db.Events(context.Background(), db.EventQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	fresh := w.emit(1, ref)
	if len(left) > 0 {
		fresh = left[0].Seq
	}
	next, _ = w.watch("?after=1")
	m, ok := next()
	var g GapEvent
	if err := json.Unmarshal([]byte(m.data), &g); !ok || err != nil || m.kind != "gap" || g.Type != "novacron.gap" || g.Data.After != 1 || g.Data.Next != fresh {
		t.Fatalf("wanted a gap up to %d, got %+v", fresh, m)
	}
	if m, ok := next(); !ok || m.id != fresh {
		t.Fatalf("after the gap: %+v", m)
	}
}

func TestAStreamEndsWithItsRightAndWithTheServer(t *testing.T) {
	w := newWorld(t)
	text, tok, err := w.auth.CreateToken(context.Background(), "watcher", "test", access.Viewer, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	next, _ := w.watch("", token(text))
	if err := w.auth.RevokeToken(context.Background(), tok.ID, "test"); err != nil {
		t.Fatal(err)
	}
	w.emit(1, domain.Ref{Kind: "vm", ID: "vm_1"})
	if m, ok := next(); ok {
		t.Errorf("a revoked token still sees %+v", m)
	}
	if text, _, err = w.auth.CreateToken(context.Background(), "for an hour", "test", access.Viewer, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	next, _ = w.watch("", token(text))
	socket := w.socketOf("", text)
	w.emit(1, domain.Ref{Kind: "vm", ID: "vm_1"})
	if _, ok := next(); !ok {
		t.Error("a token that is good for an hour sees nothing")
	}
	if _, err := socket(); err != nil {
		t.Error(err)
	}
	w.later.Store(int64(61 * time.Minute))
	w.until(func() bool { // who it is, is known for a second
		w.emit(1, domain.Ref{Kind: "vm", ID: "vm_1"})
		_, ok := next()
		return !ok
	})
	w.until(func() bool {
		w.emit(1, domain.Ref{Kind: "vm", ID: "vm_1"})
		_, err = socket()
		return err != nil
	})
	if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("a token that expired meanwhile: %v", err)
	}
	if p := refused(t, w.do("GET", "/api/v1/vms", nil, token(text)), 401, ""); p.Detail == "" || p.Fix == "" {
		t.Errorf("%+v", p)
	}
	refused(t, w.do("GET", "/api/v1/events", nil, token(text)), 401, "")
	next, _ = w.watch("")
	close(w.closing)
	if m, ok := next(); ok {
		t.Errorf("the stream of a closing server goes on: %+v", m)
	}
}

// socketOf opens the stream over WebSocket; next reads one message, or says that the stream has ended and how.
func (w *world) socketOf(query, bearer string) (next func() (domain.CloudEvent, error)) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(w.url, "http")+"/api/v1/events"+query, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + bearer}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ws.CloseNow(); cancel() })
	return func() (ev domain.CloudEvent, err error) {
		_, b, err := ws.Read(ctx)
		if err == nil {
			err = json.Unmarshal(b, &ev)
		}
		return ev, err
	}
}

func TestEventsOverWebSocketAreTheSame(t *testing.T) {
	w := newWorld(t)
	from := w.db.Feed().Last()
	w.emit(1, domain.Ref{Kind: "vm", ID: "vm_1"})
	wanted := w.emit(1, domain.Ref{Kind: "vm", ID: "vm_2"})
	at := "?after=" + strconv.FormatInt(from, 10)
	if ev, err := w.socketOf(at+"&object=vm_2&kind=vm.*", w.admin)(); err != nil || ev.Data.Seq != wanted || ev.Type != "novacron.vm.changed" {
		t.Errorf("%+v %v", ev, err)
	}
	stream, _ := w.watch(at + "&object=vm_2&kind=host.changed,vm.changed")
	m, _ := stream()
	ev, err := w.socketOf(at+"&object=vm_2", w.admin)()
	if b, _ := json.Marshal(ev); err != nil || string(b) != m.data {
		t.Errorf("over WebSocket %s, as server-sent event %s", b, m.data)
	}
	refused(t, w.do("GET", "/api/v1/events?kind=VM%20changed", nil), 422, "kind")

	text, tok, err := w.auth.CreateToken(context.Background(), "watcher", "test", access.Viewer, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	next := w.socketOf("?object=nothing", text)
	if err := w.auth.RevokeToken(context.Background(), tok.ID, "test"); err != nil {
		t.Fatal(err)
	}
	if ev, err := next(); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("a revoked token: %+v %v", ev, err)
	}
}
