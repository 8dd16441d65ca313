package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Event is one message of the stream of events.
type Event struct {
	ID   string
	Kind string
	Data json.RawMessage
}

// again is how long after the end of a stream it is asked for anew.
const again = 2 * time.Second

// Events gives events as they come, until ctx ends or do fails. A stream that breaks off is taken up where it was; lost is told of it.
func (c *Client) Events(ctx context.Context, query url.Values, do func(Event) error, lost func(error)) error {
	last := ""
	for {
		err := c.events(ctx, query, &last, do)
		if _, stop := errors.AsType[stopped](err); stop {
			return errors.Unwrap(err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, refused := errors.AsType[*Problem](err); refused {
			return err
		}
		if last == "" && err != nil {
			return err
		}
		lost(err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(again):
		}
	}
}

// stopped is what the receiver of events failed with.
type stopped struct{ error }

func (s stopped) Unwrap() error { return s.error }

func (c *Client) events(ctx context.Context, query url.Values, last *string, do func(Event) error) error {
	call := Call{Op: "watch-events", Query: query, Header: http.Header{"Accept": {"text/event-stream"}}}
	if *last != "" {
		call.Header.Set("Last-Event-ID", *last)
	}
	res, err := c.Open(ctx, call)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	ev := Event{}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && ev.Data != nil:
			if ev.ID != "" {
				*last = ev.ID
			}
			if err := do(ev); err != nil {
				return stopped{err}
			}
			ev = Event{}
		case name == "id":
			ev.ID = value
		case name == "event":
			ev.Kind = value
		case name == "data":
			ev.Data = append(ev.Data, value...)
		}
	}
}

// Console opens a console as a stream of bytes.
func (c *Client) Console(ctx context.Context, vmID, kind string) (*websocket.Conn, error) {
	at := *c.base
	at.Path = strings.TrimRight(at.Path, "/") + prefix + "/vms/" + url.PathEscape(vmID) + "/console/" + kind
	conn, res, err := websocket.Dial(ctx, at.String(), &websocket.DialOptions{
		HTTPClient: c.http, Subprotocols: []string{"binary"}, CompressionMode: websocket.CompressionDisabled,
		HTTPHeader: http.Header{"Authorization": {"Bearer " + c.token}, "User-Agent": {c.agent}},
	})
	if err != nil {
		if res != nil && res.StatusCode >= 400 {
			return nil, c.problem(res)
		}
		return nil, c.unreachable(ctx, err)
	}
	conn.SetReadLimit(1 << 20)
	return conn, nil
}
