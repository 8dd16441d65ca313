package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

type eventsInput struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"20" doc:"The id of the last event that was seen; browsers send it by themselves when they reconnect"`
	After       string `query:"after" maxLength:"20" doc:"The same for the first connection; 0: from the oldest that is kept. Without both the stream begins now"`
	Resource    string `query:"resource" maxLength:"64" doc:"Only events of the thing with this id"`
	Host        string `query:"host" maxLength:"64" doc:"Only events of the host with this id and of what is on it"`
}

// start reads where the stream begins; ok is false for now.
func (in eventsInput) start() (seq int64, ok bool, err error) {
	field, text := "Last-Event-ID", in.LastEventID
	if text == "" {
		field, text = "after", in.After
	}
	if text == "" {
		return 0, false, nil
	}
	seq, err = strconv.ParseInt(text, 10, 64)
	if err != nil || seq < 0 {
		return 0, false, domain.InvalidField(field, "“"+text+"” is not the id of an event.", "the number that an event of this stream had as its id")
	}
	return seq, true, nil
}

func (in eventsInput) wants(ev *domain.Event) bool {
	return (in.Resource == "" || ev.Resource.ID == in.Resource || ev.JobID == in.Resource) && (in.Host == "" || ev.HostID == in.Host || ev.Resource.ID == in.Host)
}

type eventsOutput struct{ Body func(huma.Context) }

// Gap is sent as an event "gap" when events between two ids are kept no more: what is shown must be read anew.
type Gap struct {
	After int64 `json:"after" doc:"The last id before the gap"`
	Next  int64 `json:"next" doc:"The first id after it"`
}

func (s *server) events() {
	o := op{id: "watch-events", method: http.MethodGet, path: "/events", tag: "Events", perm: access.EventRead, status: 200, summary: "Watch what happens",
		doc: "A stream of server-sent events that does not end. Each has the event's number as id, its kind as event and the event as JSON in data; " +
			"a comment comes every 15 s when nothing happens. An event named gap says that some are kept no more."}
	schema := s.api.OpenAPI().Components.Schemas
	hop := func(h *huma.Operation) {
		h.Responses = map[string]*huma.Response{"200": {
			Description: "The stream; data of each message is an Event, or a Gap where event is gap.",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: schemaOf[domain.Event](schema)}},
		}}
		schemaOf[Gap](schema)
	}
	registerWith(s, o, hop, func(ctx context.Context, in *eventsInput) (*eventsOutput, error) {
		seq, resume, err := in.start()
		if err != nil {
			return nil, err
		}
		if last := s.DB.Feed().Last(); !resume || seq > last {
			seq = last // a number from another life of this database means now
		}
		return &eventsOutput{func(hc huma.Context) { s.stream(hc, *in, seq) }}, nil
	})
}

// stream sends events after seq until the client leaves, the server stops or the right to see them ends.
func (s *server) stream(hc huma.Context, in eventsInput, seq int64) {
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
	sent := s.Clock()
	for ctx.Err() == nil {
		if err := s.wait(ctx, seq); err != nil {
			return
		}
		subject, err := s.subject(r)
		if err != nil || s.allowed(ctx, subject, auth.Ask{Permission: access.EventRead, Route: "GET " + prefix + "/events"}) != nil {
			return // what ended may be asked for anew, and is refused in words then
		}
		seeing := domain.WithSight(ctx, subject.Sight())
		evs, next, err := s.newer(domain.WithSight(ctx, nil), seq)
		if err != nil {
			s.log.ErrorContext(ctx, "an event stream ends", "error", err)
			return
		}
		text := ""
		if len(evs) > 0 && evs[0].Seq > seq+1 {
			text = message(seq, "gap", Gap{seq, evs[0].Seq})
		}
		for i := range evs {
			if !in.wants(&evs[i]) {
				continue
			}
			seen, err := s.DB.SeesEvent(seeing, &evs[i])
			if err != nil {
				s.log.ErrorContext(ctx, "an event stream ends", "error", err)
				return
			}
			if seen {
				text += message(evs[i].Seq, evs[i].Kind, evs[i])
			}
		}
		seq = next
		if text == "" && s.Clock().Sub(sent) >= heartbeat {
			text = ": still here\n\n" // also while only events pass by that are not wanted
		}
		if text == "" {
			continue
		}
		if send(text) != nil {
			return
		}
		sent = s.Clock()
	}
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

func message(id int64, kind string, data any) string {
	b, err := json.Marshal(data)
	if err != nil {
		panic(err) // plain structs
	}
	return fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", id, kind, b)
}
