package handlers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Who sends a body and then stops is let go of; who sends all of it has all the time that the answer takes.
func TestSlowBodiesAreGivenUp(t *testing.T) {
	read := make(chan error, 1)
	srv := httptest.NewServer(limitBodies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
		fmt.Fprint(w, "read")
	}), time.Second))
	defer srv.Close()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: nova\r\nContent-Length: 1000\r\n\r\nbut one byte a day")
	if err := <-read; err == nil {
		t.Error("a body that does not come was read")
	}
	if _, err := io.Copy(io.Discard, bufio.NewReader(c)); err != nil { // until the server closes
		t.Logf("the connection ended: %v", err)
	}
	a, err := http.Post(srv.URL, "text/plain", http.NoBody)
	if err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", a, err)
	}
	a.Body.Close()
	if err := <-read; err != nil {
		t.Error(err)
	}
}
