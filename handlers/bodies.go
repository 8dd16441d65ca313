package handlers

import (
	"io"
	"net/http"
	"time"
)

// timedBody lets a client take only so long to send a request's body; the deadline goes when all of the body is read, as it would count against the answer.
// It stays when the body does not come: the server would wait for the rest of it before it lets the connection go.
type timedBody struct {
	io.ReadCloser
	read func()
}

func (b timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.read()
	}
	return n, err
}

// LimitBodies bounds how long a request may take to send its body.
func LimitBodies(next http.Handler) http.Handler { return limitBodies(next, time.Minute) }

func limitBodies(next http.Handler, most time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && r.Body != nil {
			ctl := http.NewResponseController(w)
			if ctl.SetReadDeadline(time.Now().Add(most)) == nil {
				r.Body = timedBody{r.Body, func() { _ = ctl.SetReadDeadline(time.Time{}) }}
			}
		}
		next.ServeHTTP(w, r)
	})
}
