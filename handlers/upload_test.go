package handlers

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

// A part that is refused is read to its end, so that its sender hears why and does not take it for a connection that broke.
func TestARefusedPartIsAnswered(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	pool, _ := w.poolNamed("default")
	b.post("/storage/volumes", url.Values{"pool": {pool.ID}, "name": {"a.iso"}, "size_bytes": {"1 MiB"}, "format": {"raw"}}, header("Accept", "application/json")).want(t, 200)
	v, _ := w.volumeNamed("a.iso")
	content := bytes.Repeat([]byte("nova"), 4<<20) // more than a server reads by itself before it closes
	for _, rng := range []string{fmt.Sprintf("bytes 0-%d/%d", len(content)-1, len(content)), "bytes 5-3/9"} {
		r, err := http.NewRequest(http.MethodPut, w.url+"/storage/volumes/"+v.ID+"/content", bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Range", rng)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Accept", "application/problem+json")
		res, err := b.c.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", rng, err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", rng, res.StatusCode)
		}
	}
}
