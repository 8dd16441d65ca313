package handlers

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

// TestListsOfTheAPIArePackedOnce: packed for who takes it, plain for who does not, and the same in both.
func TestListsOfTheAPIArePackedOnce(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.mirrored("h1", 50)
	get := func(encoding string) (total, items int) {
		t.Helper()
		req, err := http.NewRequest("GET", w.url+"/api/v1/vms?limit=40", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", encoding) // set by hand, nothing is unpacked on the way
		res, err := b.c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var body io.Reader = res.Body
		if want := map[string]string{"gzip": "gzip"}[encoding]; res.StatusCode != 200 || res.Header.Get("Content-Encoding") != want || res.Header.Get("Vary") != "Accept-Encoding" {
			t.Fatalf("%s: %s, %v", encoding, res.Status, res.Header)
		}
		if encoding == "gzip" {
			if body, err = gzip.NewReader(res.Body); err != nil {
				t.Fatal(err)
			}
		}
		var page struct {
			Total int
			Items []any
		}
		if err := json.NewDecoder(body).Decode(&page); err != nil {
			t.Fatal(err)
		}
		return page.Total, len(page.Items)
	}
	for _, encoding := range []string{"gzip", "identity", "gzip"} {
		if total, items := get(encoding); total != 50 || items != 40 {
			t.Errorf("%s: %d of %d", encoding, items, total)
		}
	}
}
