package handlers

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a browser fetches for the first page, in KB over the wire. The style sheet's own share is held so that it does not grow unseen.
const (
	firstPageMost = 120
	styleMost     = 12
)

var fetchedRE = regexp.MustCompile(`(?:href|src)="(/static/[^"#]+)`)

// TestTheFirstPageIsLight fetches the list and everything that it names, as a browser with an empty cache does: packed where it is.
func TestTheFirstPageIsLight(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.mirrored("h1", 100)
	var page string
	fetch := func(path string) int {
		r, err := http.NewRequest(http.MethodGet, w.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Accept-Encoding", "gzip")
		res, err := b.c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var body bytes.Buffer
		if _, err := body.ReadFrom(res.Body); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v", path, res.StatusCode, err)
		}
		n := body.Len()
		if res.Header.Get("Content-Encoding") == "gzip" && page == "" {
			z, err := gzip.NewReader(&body)
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if _, err := text.ReadFrom(z); err != nil {
				t.Fatal(err)
			}
			page = text.String()
		}
		return n
	}
	total := fetch("/vms")
	t.Logf("%6.1f KB the page", float64(total)/1000)
	var seen []string
	for _, m := range fetchedRE.FindAllStringSubmatch(page, -1) {
		path, _, _ := strings.Cut(m[1], "?")
		if slices.Contains(seen, path) {
			continue
		}
		seen = append(seen, path)
		n := fetch(m[1])
		total += n
		t.Logf("%6.1f KB %s", float64(n)/1000, path)
		if strings.HasSuffix(path, ".css") && n > styleMost*1000 {
			t.Errorf("the style sheet has %.1f KB packed, more than %d", float64(n)/1000, styleMost)
		}
	}
	if len(seen) < 6 {
		t.Errorf("the page names only %q", seen)
	}
	if total > firstPageMost*1000 {
		t.Errorf("the first page has %.1f KB packed, more than %d", float64(total)/1000, firstPageMost)
	}
}
