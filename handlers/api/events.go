package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

type eventsInput struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"20" doc:"The id of the last event that was seen; browsers send it by themselves when they reconnect"`
	After       string `query:"after" maxLength:"20" doc:"The same for the first connection and for WebSocket; 0: from the oldest that is kept. Without both the stream begins now" example:"4711"`
	Kind        string `query:"kind" maxLength:"2000" doc:"Only events of these kinds, with commas between them; vm.* are all about VMs" example:"vm.*,job.changed"`
	Object      string `query:"object" maxLength:"64" doc:"Only events of the thing with this id, and of jobs about it where they say so"`
	Resource    string `query:"resource" maxLength:"64" doc:"Another name for object"`
	Host        string `query:"host" maxLength:"64" doc:"Only events of the host with this id and of what is on it"`
	Tenant      string `query:"tenant" maxLength:"64" doc:"Only events of the tenant with this id"`
}

// start reads where the stream begins; ok is false for now.
func (in eventsInput) start() (seq int64, ok bool, err error) {
	in0, field, text := "header", "Last-Event-ID", in.LastEventID
	if text == "" {
		in0, field, text = "query", "after", in.After
	}
	if text == "" {
		return 0, false, nil
	}
	seq, err = strconv.ParseInt(text, 10, 64)
	if err != nil || seq < 0 {
		return 0, false, asParam(in0, field, "“"+text+"” is not the id of an event.", "the number that an event of this stream had as its id")
	}
	return seq, true, nil
}

func (in eventsInput) filter() (domain.EventFilter, error) {
	f := domain.EventFilter{Object: in.Object, Host: in.Host, Tenant: in.Tenant}
	if f.Object == "" {
		f.Object = in.Resource
	}
	var err error
	if f.Kinds, err = domain.ParseKinds("kind", in.Kind); err != nil {
		return f, asParam("query", "kind", err.Error(), "such as vm.changed, or vm.* for all about VMs; several with commas between them")
	}
	return f, nil
}

type eventsOutput struct{ Body func(huma.Context) }

// Gap says which events are kept no more.
type Gap struct {
	After int64 `json:"after" doc:"The last id before the gap"`
	Next  int64 `json:"next" doc:"The first id after it"`
}

// GapEvent is sent when events between two ids are kept no more: what is shown must be read anew.
type GapEvent struct {
	SpecVersion     string    `json:"specversion" example:"1.0"`
	ID              string    `json:"id" doc:"The id before the gap" example:"12"`
	Source          string    `json:"source"`
	Type            string    `json:"type" enum:"novacron.gap"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            Gap       `json:"data"`
}

func (s *server) events() {
	o := op{id: "watch-events", method: http.MethodGet, path: "/events", tag: "Events", perm: access.EventRead, status: 200, summary: "Watch what happens",
		doc: "A stream that does not end, as server-sent events, or over WebSocket where the request asks for that. Every message is a CloudEvent in JSON with the event as data; " +
			"of server-sent events id is the event's number and event its kind, and a comment comes every 15 s when nothing happens. Send the last id that was seen (Last-Event-ID or after) to go on without " +
			"loss; a message of the kind gap says that some events in between are kept no more. When the right to see ends, so does the stream."}
	schema := s.api.OpenAPI().Components.Schemas
	hop := func(h *huma.Operation) {
		event := &huma.Schema{OneOf: []*huma.Schema{schemaOf[domain.CloudEvent](schema), schemaOf[GapEvent](schema)}}
		h.Responses = map[string]*huma.Response{
			"200": {Description: "The stream; data of each message is a CloudEvent, or a GapEvent.", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: event}}},
			"101": {Description: "The same messages over WebSocket, each as text."},
		}
	}
	registerWith(s, o, hop, func(ctx context.Context, in *eventsInput) (*eventsOutput, error) {
		seq, resume, err := in.start()
		if err != nil {
			return nil, err
		}
		filter, err := in.filter()
		if err != nil {
			return nil, err
		}
		if last := s.DB.Feed().Last(); !resume || seq > last {
			seq = last // a number from another life of this database means now
		}
		return &eventsOutput{func(hc huma.Context) {
			if strings.EqualFold(humaecho.Unwrap(hc).Request().Header.Get("Upgrade"), "websocket") {
				s.socket(hc, filter, seq)
				return
			}
			s.stream(hc, filter, seq)
		}}, nil
	})
}

// told is one message of the stream.
type told struct {
	id   int64
	kind string
	data []byte // JSON
}

// stream sends events after seq as server-sent events until the client leaves, the server stops or the right to see them ends.
func (s *server) stream(hc huma.Context, filter domain.EventFilter, seq int64) {
	ctx, end := s.whileOpen(hc.Context())
	defer end()
	r, w := humaecho.Unwrap(hc).Request(), humaecho.Unwrap(hc).Response()
	ctl := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
	send := func(text string) error {
		// The server's deadline is for whole answers; here each message has its own, so that a client that stopped reading is let go.
		if err := ctl.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
			s.log.ErrorContext(ctx, "the write deadline of an event stream cannot be moved", "error", err)
			return err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
		return ctl.Flush()
	}
	if send("retry: 2000\n\n") != nil {
		return
	}
	_ = s.follow(ctx, r, filter, seq, func(messages []told) error {
		if len(messages) == 0 {
			return send(": still here\n\n")
		}
		var b strings.Builder
		for _, m := range messages {
			fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: %s\n\n", m.id, m.kind, m.data)
		}
		return send(b.String())
	})
}

// socket sends the same over WebSocket. What the client says is read and thrown away, so that its pings are answered and its leaving is seen.
func (s *server) socket(hc huma.Context, filter domain.EventFilter, seq int64) {
	open, end := s.whileOpen(hc.Context())
	defer end()
	r, w := humaecho.Unwrap(hc).Request(), humaecho.Unwrap(hc).Response()
	ws, err := websocket.Accept(w, r, nil) // a page of another site is refused
	if err != nil {
		return // it has answered
	}
	defer ws.CloseNow()
	ws.SetReadLimit(4096)
	ctx := ws.CloseRead(open)
	err = s.follow(ctx, r, filter, seq, func(messages []told) error {
		within, cancel := context.WithTimeout(ctx, sendTimeout)
		defer cancel()
		if len(messages) == 0 {
			return ws.Ping(within)
		}
		for _, m := range messages {
			if err := ws.Write(within, websocket.MessageText, m.data); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case domain.Is(err, domain.Denied):
		_ = ws.Close(websocket.StatusPolicyViolation, "The right to see this has ended.")
	case s.isClosing():
		_ = ws.Close(websocket.StatusGoingAway, "The server stops.")
	}
}

func (s *server) isClosing() bool {
	select {
	case <-s.Closing: // nil: never
		return true
	default:
		return false
	}
}

// follow sends what comes after seq, and nothing (a sign of life) when nothing came for a while. It ends with the context, with an error of send, or Denied when
// the right to see ends: it is asked for again before every message.
func (s *server) follow(ctx context.Context, r *http.Request, filter domain.EventFilter, seq int64, send func(messages []told) error) error {
	sent := s.Clock()
	for ctx.Err() == nil {
		if err := s.wait(ctx, seq); err != nil {
			return err
		}
		subject, err := s.watchers.subject(s, r)
		if err != nil || s.allowed(ctx, subject, auth.Ask{Permission: access.EventRead, Route: "GET " + prefix + "/events"}) != nil {
			return domain.Errorf(domain.Denied, "The right to see this has ended.") // what ended may be asked for anew, and is refused in words then
		}
		seeing := domain.WithSight(ctx, subject.Sight())
		evs, next, err := s.newer(domain.WithSight(ctx, nil), seq)
		if err != nil {
			s.log.ErrorContext(ctx, "an event stream ends", "error", err)
			return err
		}
		var out []told
		if len(evs) > 0 && evs[0].Seq > seq+1 {
			out = append(out, s.gap(seq, evs[0].Seq))
		}
		for i := range evs {
			if !filter.Wants(&evs[i]) {
				continue
			}
			seen, err := s.DB.SeesEvent(seeing, &evs[i])
			if err != nil {
				s.log.ErrorContext(ctx, "an event stream ends", "error", err)
				return err
			}
			if seen {
				out = append(out, told{evs[i].Seq, evs[i].Kind, s.watchers.encoded(&evs[i], s.Site)})
			}
		}
		seq = next
		if len(out) == 0 && s.Clock().Sub(sent) < heartbeat { // also while only events pass by that are not wanted
			continue
		}
		if err := send(out); err != nil {
			return err
		}
		sent = s.Clock()
	}
	return ctx.Err()
}

func (s *server) gap(after, next int64) told {
	ev := domain.CloudEventOf(domain.Event{Seq: after, At: s.Clock(), Kind: "gap"}, s.Site)
	b, err := json.Marshal(GapEvent{ev.SpecVersion, ev.ID, ev.Source, ev.Type, ev.Time, ev.DataContentType, Gap{after, next}})
	if err != nil {
		panic(err) // plain structs
	}
	return told{after, "gap", b}
}

// watchers share what all who follow the stream would each do for every event: asking who they are, and writing the event as JSON.
type watchers struct {
	mu       sync.Mutex
	who      map[string]watcher
	messages map[int64][]byte
}

type watcher struct {
	generation int64
	at         time.Time
	subject    auth.Subject
	err        error
}

const (
	watchersMost = 10_000
	watcherFresh = time.Second // another process may take a right away, which this one does not count
	messagesMost = 2048
)

func (w *watchers) subject(s *server, r *http.Request) (auth.Subject, error) {
	key := r.Header.Get("Authorization")
	if key == "" {
		return s.subject(r)
	}
	generation, now := s.DB.Generation(), s.Clock()
	w.mu.Lock()
	had, ok := w.who[key]
	w.mu.Unlock()
	if ok && had.generation == generation && now.Sub(had.at) < watcherFresh {
		return had.subject, had.err
	}
	sub, err := s.subject(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.who == nil || len(w.who) >= watchersMost {
		w.who = map[string]watcher{}
	}
	w.who[key] = watcher{generation, now, sub, err}
	return sub, err
}

func (w *watchers) encoded(ev *domain.Event, site string) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b, ok := w.messages[ev.Seq]; ok {
		return b
	}
	b, err := json.Marshal(domain.CloudEventOf(*ev, site))
	if err != nil {
		panic(err) // plain structs
	}
	if w.messages == nil || len(w.messages) >= messagesMost {
		w.messages = map[int64][]byte{}
	}
	w.messages[ev.Seq] = b
	return b
}

// wait returns when there is something newer or a heartbeat is due; an error means that the stream is over.
func (s *server) wait(ctx context.Context, seq int64) error {
	beat, cancel := context.WithTimeout(ctx, heartbeat)
	defer cancel()
	if err := s.DB.Feed().Wait(beat, seq); err != nil && beat.Err() == nil {
		return err
	}
	return ctx.Err()
}

// newer reads what came after seq: from memory, or from the table when the ring has moved on.
func (s *server) newer(ctx context.Context, seq int64) (evs []domain.Event, next int64, err error) {
	const most = 500
	evs, gap := s.DB.Feed().Since(seq, most)
	if gap || holes(evs, seq) {
		if evs, err = s.DB.Events(ctx, db.EventQuery{After: seq, Limit: most}); err != nil {
			return nil, seq, err
		}
	}
	if len(evs) > 0 {
		seq = evs[len(evs)-1].Seq
	}
	return evs, seq, nil
}

// holes reports whether numbers are missing: another process, such as the command line, wrote an event that the feed was not told of.
func holes(evs []domain.Event, seq int64) bool {
	return len(evs) > 0 && evs[len(evs)-1].Seq != seq+int64(len(evs))
}
