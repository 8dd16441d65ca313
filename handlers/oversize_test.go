package handlers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/views/live"
)

// unsized hides how long a body is, so that it is sent in chunks and the server finds out as it reads.
type unsized struct{ io.Reader }

// sendAs sends a body of a kind; it is sent in chunks when the server is not to know how long it is.
func (b *browser) sendAs(method, path, kind string, body []byte, chunks bool, opts ...opt) answer {
	b.w.t.Helper()
	var from io.Reader = bytes.NewReader(body)
	if chunks {
		from = unsized{from}
	}
	r, err := http.NewRequest(method, b.w.url+path, from)
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, o := range opts {
		o(r)
	}
	res, err := b.c.Do(r)
	if err != nil {
		b.w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return answer{res, string(text)}
}

const urlencoded = "application/x-www-form-urlencoded"

func multiform(t *testing.T, name string, size int) (kind string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	if err := m.WriteField(name, strings.Repeat("x", size)); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return m.FormDataContentType(), b.Bytes()
}

// Every form refuses a body that is too large and one that is none, whether its length was told or not, and does nothing of what it asks for.
func TestFormsThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	host := w.host(b, "b1")
	vm := w.vm(b, "web-1")
	before := w.db.Feed().Last()
	large := []byte("on=1&name=x&note=" + strings.Repeat("x", 1<<20+1000))
	kind, parts := multiform(t, "note", 1<<20+1000)
	for _, r := range w.srv.routes {
		if r.method != http.MethodPost {
			continue
		}
		id := vm.ID
		if strings.HasPrefix(r.path, "/hosts/") {
			id = host.ID
		}
		path := strings.NewReplacer(":id", id, ":mac", "none", ":sid", "none", ":target", "vda", ":action", "start", ":act", "start", ":do", "up", ":v", "1", ":n", "1", ":kind", "vnc", ":device", "none", ":secret", "none").Replace(r.path)
		for _, x := range []struct {
			what, kind string
			body       []byte
			chunks     bool
			status     int
		}{
			{"too much", urlencoded, large, false, 413}, {"too much, in chunks", urlencoded, large, true, 413}, {"too much in parts", kind, parts, true, 413},
			{"no form", urlencoded, []byte("on=%zz"), false, 400}, {"half a part", "multipart/form-data; boundary=x", []byte("--x\r\nContent-Dispo"), false, 400}, {"parts without a boundary", "multipart/form-data", []byte("x"), false, 400},
		} {
			if a := b.sendAs(http.MethodPost, path, x.kind, x.body, x.chunks); a.StatusCode != x.status || !strings.Contains(a.text, "The request") {
				t.Errorf("POST %s with %s: %d instead of %d: %s", path, x.what, a.StatusCode, x.status, cut(a.text))
			}
		}
	}
	b.get("/vms").want(t, http.StatusOK) // nobody was signed out
	for _, what := range w.doneBy(auth.FirstAdmin, before) {
		t.Errorf("of what could not be read it did: %s", what)
	}
}

// What is nested very deep, or grows when it is read, is refused in words and in time, and the server is there afterwards.
func TestBodiesThatAreDeepOrGrow(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	text, _, err := w.auth.CreateToken(context.Background(), "ci", "test", access.Admin, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	bearer, js := header("Authorization", "Bearer "+text), "application/json"
	deep := func(open, within, end string, n int) string {
		return strings.Repeat(open, n) + within + strings.Repeat(end, n)
	}
	laughs := "#cloud-config\na: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'l'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 9))
	}
	post := func(path, kind, body string) answer {
		t.Helper()
		return w.browser().sendAs(http.MethodPost, path, kind, []byte(body), false, bearer)
	}
	problem := func(what string, a answer, status ...int) {
		t.Helper()
		for _, s := range status {
			if a.StatusCode == s && strings.Contains(a.text, `"detail"`) && len(a.text) < 8000 {
				return
			}
		}
		t.Errorf("%s: %d instead of %v: %.500s", what, a.StatusCode, status, a.text)
	}
	const vm = `"name":"n1","vcpus":1,"memory_bytes":268435456`
	problem("a deep list", post("/api/v1/vms", js, deep("[", "", "]", 400_000)), 422)
	problem("a deep object", post("/api/v1/vms", js, deep(`{"a":`, "1", "}", 150_000)), 422)
	problem("a deep list that does not end", post("/api/v1/vms", js, strings.Repeat("[", 900_000)), 422)
	problem("a deep list in a field", post("/api/v1/vms", js, `{`+vm+`,"disks":`+deep("[", "", "]", 9_000)+`}`), 422)
	problem("a field many times", post("/api/v1/vms", js, `{"vcpus":1`+strings.Repeat(`,"name":1`, 100_000)+`}`), 422)
	var many strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&many, `,"a%d":1`, i)
	}
	a := post("/api/v1/vms", js, `{`+vm+many.String()+"}")
	if a.StatusCode != http.StatusUnprocessableEntity || len(a.text) > 20_000 {
		t.Errorf("many fields that are not there: %d, %d bytes", a.StatusCode, len(a.text))
	}
	problem("a field with a long name", post("/api/v1/vms", js, `{`+vm+`,"`+strings.Repeat("x", 900_000)+`":1}`), 422)
	problem("a large body", post("/api/v1/vms", js, `{`+vm+`,"notes":"`+strings.Repeat("x", 1<<20)+`"}`), 413)
	problem("a large number", post("/api/v1/vms", js, `{"name":"n1","vcpus":1e400,"memory_bytes":268435456}`), 400, 422)
	problem("a number of many digits", post("/api/v1/vms", js, `{"name":"n1","vcpus":1,"memory_bytes":`+strings.Repeat("9", 500_000)+`}`), 400, 422)
	problem("no text", post("/api/v1/vms", js, "{\"name\":\"\xff\xfe\"}"), 422)
	problem("a deep condition", post("/api/v1/bindings", js, `{"subject":"admin","role":"auditor","condition":"`+deep("(", "true", ")", 200_000)+`"}`), 422)
	problem("a condition as deep as it may be long", post("/api/v1/bindings", js, `{"subject":"admin","role":"auditor","condition":"`+deep("(", "true", ")", 490)+`"}`), 422)
	problem("a deep cloud-config", post("/api/v1/vms", js, `{`+vm+`,"cloud_init":{"user_data":"#cloud-config\na: `+deep("[", "", "]", 200_000)+`"}}`), 422)
	problem("a cloud-config that grows", post("/api/v1/vms", js, `{`+vm+`,"cloud_init":{"user_data":"`+strings.ReplaceAll(laughs, "\n", `\n`)+`"}}`), 422)
	for what, a := range map[string]answer{
		"a deep filter":        w.browser().get("/api/v1/vms?filter="+deep("-", "x", "", 20_000), bearer),
		"many words":           w.browser().get("/api/v1/vms?filter="+strings.Repeat("a+", 20_000), bearer),
		"a long cursor":        w.browser().get("/api/v1/vms?cursor="+strings.Repeat("A", 20_000), bearer),
		"a deep query":         post("/api/v1/query", urlencoded, "query="+deep("%28", "1", "%29", 100_000)),
		"a query of many sums": post("/api/v1/query", urlencoded, "query=1"+strings.Repeat("%2B1", 200_000)),
	} {
		if a.StatusCode >= 500 || a.StatusCode == 200 && len(a.text) > 100_000 || len(a.text) > 100_000 {
			t.Errorf("%s: %d, %d bytes", what, a.StatusCode, len(a.text))
		}
	}
	for _, key := range []string{"credential", "state"} {
		a := w.browser().post(live.SignInPasskey, url.Values{"what": {"alone"}, "state": {"x"}, key: {deep("[", "", "]", 90_000)}})
		if a.StatusCode != http.StatusUnauthorized && a.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", key, a.StatusCode)
		}
	}
	b.get("/vms").want(t, http.StatusOK)
	if log := w.log.String(); strings.Contains(log, "panicked") {
		t.Errorf("something panicked")
	}
}
