package handlers

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
)

// message is one server-sent event.
type message struct {
	id   int64
	data string
	at   time.Time
}

// stream is an open live page.
type stream struct {
	t    testing.TB
	msgs chan message
	done chan struct{}
	stop context.CancelFunc
	resp *http.Response
}

// open opens the stream that a page names, as the browser would.
func (b *browser) open(path string, opts ...opt) *stream {
	b.w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.w.url+path, nil)
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html, text/event-stream")
	r.Header.Set("Accept-Encoding", "gzip")
	for _, o := range opts {
		o(r)
	}
	res, err := b.c.Do(r)
	if err != nil {
		b.w.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") || res.Header.Get("Content-Encoding") != "" {
		b.w.t.Fatalf("the stream: %d %v", res.StatusCode, res.Header)
	}
	s := &stream{t: b.w.t, msgs: make(chan message, 1000), done: make(chan struct{}), stop: cancel, resp: res}
	go s.read()
	b.w.t.Cleanup(s.close)
	return s
}

func (s *stream) close() {
	s.stop()
	<-s.done
}

func (s *stream) read() {
	defer close(s.done)
	defer close(s.msgs)
	defer s.resp.Body.Close()
	sc := bufio.NewScanner(s.resp.Body)
	sc.Buffer(nil, 16<<20)
	var m message
	for sc.Scan() {
		line := sc.Text()
		switch {
		case line == "":
			if m.id != 0 || m.data != "" {
				m.at = time.Now()
				s.msgs <- m
			}
			m = message{}
		case strings.HasPrefix(line, "id: "):
			m.id, _ = strconv.ParseInt(line[4:], 10, 64)
		case strings.HasPrefix(line, "data: "):
			m.data += line[6:] + "\n"
		}
	}
}

// until reads messages until one has all of these.
func (s *stream) until(says ...string) message {
	s.t.Helper()
	timeout := time.After(waitMost)
	var seen strings.Builder
next:
	for {
		select {
		case m, ok := <-s.msgs:
			if !ok {
				s.t.Fatalf("the stream ended before it said %q; it said\n%s", says, seen.String())
			}
			seen.WriteString(m.data)
			for _, want := range says {
				if !strings.Contains(m.data, want) {
					continue next
				}
			}
			return m
		case <-timeout:
			s.t.Fatalf("the stream did not say %q; it said\n%s", says, seen.String())
		}
	}
}

var liveRE = regexp.MustCompile(`hx-sse:connect="([^"]+)"`)

// liveOf is the stream that a page wants.
func liveOf(t testing.TB, page string) string {
	t.Helper()
	m := liveRE.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("the page names no stream:\n%s", cut(page))
	}
	return strings.ReplaceAll(m[1], "&amp;", "&")
}

// change makes a change of a VM as the reconciler would.
func (w *world) change(id string, state domain.VMState) {
	w.t.Helper()
	err := w.db.Write(context.Background(), func(tx *db.Tx) error {
		vm, err := tx.VM(id)
		if err != nil {
			return err
		}
		if _, err := tx.SetVMState(id, state, "somebody did it", time.Now()); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "vm.changed", Resource: domain.Ref{Kind: "vm", ID: id, Name: vm.Name}, HostID: vm.HostID, Actor: "host", Message: vm.Name + " is " + string(state) + "."})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestTheListIsLive(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.mirrored("h1", 3)
	vm := w.vmNamed("h1-g0001")
	page := b.get("/vms?filter=host:h1").want(t, 200)
	// What happens between the page and its stream is not lost: the cursor is the page's.
	w.change(vm.ID, domain.VMPaused)
	s := b.open(liveOf(t, page.text))
	m := s.until(`id="row-`+vm.ID, "paused")
	if !strings.Contains(m.data, `id="tree-`+vm.ID) {
		t.Error("the tree is not told")
	}
	if strings.Contains(m.data, "h1-g0002") {
		t.Error("a VM that did not change is sent")
	}
	w.change(vm.ID, domain.VMRunning)
	m = s.until(`id="row-`+vm.ID, "running")
	s.close()
	// The browser comes back with the last id, and gets what it missed and nothing else.
	w.change(w.vmNamed("h1-g0002").ID, domain.VMCrashed)
	s = b.open(liveOf(t, page.text), header("Last-Event-ID", strconv.FormatInt(m.id, 10)))
	if m := s.until("h1-g0002", "crashed"); strings.Contains(m.data, `id="row-`+vm.ID) {
		t.Error("what was seen is sent again")
	}
}

func TestNewAndGoneVMsAreSaidAboveTheList(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	b.get("/vms")
	w.host(b, "b1")
	page := b.get("/vms").want(t, 200)
	s := b.open(liveOf(t, page.text))
	vm := w.vm(b, "new-1")
	s.until("list-news", "1 VM has", "drawer-"+w.newest("vm.create").ID, "Create new-1")
	b.post("/vms/"+vm.ID+"/delete", url.Values{}).want(t, 303)
	s.until(`id="row-`+vm.ID, "new-1", "deleted")
}

func TestTheTreeIsLive(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	s := b.open(liveOf(t, b.get("/account").want(t, 200).text))
	h := w.host(b, "b1")
	s.until(`hx-target="#tree-hosts:not(:has(#tree-host-`+h.ID, "b1")
	vm := w.vm(b, "new-1")
	s.until(`hx-target="#tree-under-`+h.ID+`:not(:empty)"`, "tree-"+vm.ID)
	b.post("/hosts/"+h.ID+"/remove", nil).want(t, 303)
	s.until(`hx-target="#tree-host-`+h.ID+`"`, "delete")
}

func TestEveryPageIsLive(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	h := w.host(b, "b1")
	vm := w.vm(b, "web-1")
	at := "/vms/" + vm.ID
	open := func(path string) *stream { return b.open(liveOf(t, b.get(path).want(t, 200).text)) }
	home, one, hw, host, hostVMs, hostList := open("/"), open(at), open(at+"/hardware"), open("/hosts/"+h.ID), open("/hosts/"+h.ID+"/vms"), open("/hosts")
	taskList, events, account := open("/tasks"), open("/events?kind=vm"), open("/account")
	b.post(at+"/actions/start", nil, htmx).want(t, 200)
	job := w.job(w.newest("vm.start").ID)
	one.until(`hx-target="#page-head"`, "running")
	hw.until(`hx-target="#page-head"`, "running")
	home.until(`hx-target="#overview"`, `id="row-`+vm.ID, "running") // one message: a second wait could be for what the first has read
	host.until(`hx-target="#page-head"`)
	hostVMs.until(`id="row-`+vm.ID, "running")
	hostList.until(`id="row-` + h.ID)
	taskList.until(`id="row-`+job.ID, "Start web-1")
	events.until("web-1", "event-")
	account.until("drawer-"+job.ID, "Start web-1")

	// A task that works: its page and the drawer follow.
	release := w.fake.Hang("Stop")
	b.post(at+"/actions/stop", nil, htmx).want(t, 200)
	stop := w.newest("vm.stop")
	task := open("/tasks/" + stop.ID)
	release()
	w.job(stop.ID)
	task.until(`hx-target="#task-body"`, "done in")
	one.until(`hx-target="#page-head"`, "stopped")

	// The host goes away: its VMs read so too.
	w.fake.SetDown(true)
	w.level("away", func() bool {
		v, err := w.db.VM(context.Background(), vm.ID)
		return err == nil && v.State == domain.VMAway
	})
	hostList.until(`id="row-`+h.ID, "away")
	hostVMs.until(`id="row-`+vm.ID, "away")
	one.until(`hx-target="#page-head"`, "away")
	home.until(`id="row-`+vm.ID, "away")
	w.fake.SetDown(false)
	w.level("back", func() bool {
		v, err := w.db.VM(context.Background(), vm.ID)
		return err == nil && v.State != domain.VMAway
	})
	hostList.until(`id="row-`+h.ID, "connected")

	b.post(at+"/delete", url.Values{}, htmx).want(t, 200)
	one.until("no more")
}

func TestAStreamThatWasAwayTooLongIsDrawnAnew(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.mirrored("h1", 2)
	vm := w.vmNamed("h1-g0000")
	w.change(vm.ID, domain.VMPaused)
	// A cursor from another life: larger than the feed's newest.
	for _, on := range []string{"vms", "home", "hosts", "tasks", "events", vm.ID, vm.HostID} {
		at := "/vms"
		switch {
		case on == vm.ID:
			at = "/vms/" + vm.ID
		case on == vm.HostID:
			at = "/hosts/" + vm.HostID + "/vms"
		case on == "hosts":
			at = "/hosts"
		}
		s := b.open("/live?on=" + on + "&after=99999999&total=0&at=" + url.QueryEscape(at))
		m := s.until("tree-" + vm.ID)
		if m.id != w.db.Feed().Last() {
			t.Errorf("%s: the cursor is %d", on, m.id)
		}
		switch on {
		case "vms", "home", vm.HostID:
			if !strings.Contains(m.data, `id="row-`+vm.ID) || !strings.Contains(m.data, "paused") {
				t.Errorf("%s: the rows are not drawn: %s", on, m.data)
			}
		case vm.ID:
			if !strings.Contains(m.data, "page-head") {
				t.Errorf("the page is not drawn: %s", m.data)
			}
		}
		s.close()
	}
	b.get("/live?after=x", header("Accept", "text/event-stream")).want(t, 422)
}

func TestASessionsEndEndsItsStreams(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.mirrored("h1", 1)
	vm := w.vmNamed("h1-g0000")
	s := b.open(liveOf(t, b.get("/vms").text))
	b.post("/logout", nil).want(t, 303)
	w.change(vm.ID, domain.VMPaused)
	m := s.until("signed out")
	if strings.Contains(m.data, "h1-g0000") {
		t.Error("somebody who signed out is still told")
	}
	<-s.done
}

func TestAViewerIsToldWhatAViewerMaySee(t *testing.T) {
	w := newWorld(t)
	w.admin()
	v := w.viewer()
	w.mirrored("h1", 1)
	s := v.open(liveOf(t, v.get("/vms").text))
	w.change(w.vmNamed("h1-g0000").ID, domain.VMPaused)
	s.until("h1-g0000", "paused")
}

func TestShutdownEndsStreams(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	s := b.open(liveOf(t, b.get("/vms").text))
	late := b.open("/live")
	w.shut()
	<-s.done
	<-late.done
	b.get("/readyz").want(t, 503)
	w.level("nobody listens", func() bool {
		w.srv.hub.mu.Lock()
		defer w.srv.hub.mu.Unlock()
		return w.srv.hub.streams == 0
	})
}

// TestManyWatchersAreCheap: what many pages show alike is read and rendered once.
func TestManyWatchersAreCheap(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.mirrored("h1", 50)
	vm := w.vmNamed("h1-g0007")
	at := liveOf(t, b.get("/vms").text)
	const watchers = 200
	streams := make([]*stream, watchers)
	for i := range streams {
		streams[i] = b.open(at)
	}
	w.level("all listen", func() bool {
		w.srv.hub.mu.Lock()
		defer w.srv.hub.mu.Unlock()
		return w.srv.hub.streams == watchers
	})
	start := time.Now()
	w.change(vm.ID, domain.VMPaused)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var worst time.Duration
	for _, s := range streams {
		wg.Go(func() {
			for m := range s.msgs {
				if strings.Contains(m.data, `id="row-`+vm.ID) {
					mu.Lock()
					worst = max(worst, m.at.Sub(start))
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d watchers were told within %v", watchers, worst)
}

func TestManyChangesAreDrawnTogether(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.mirrored("h1", 150)
	s := b.open(liveOf(t, b.get("/vms").text))
	p, err := w.db.VMs(context.Background(), db.VMQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, vm := range p.Items {
		w.change(vm.ID, domain.VMPaused)
	}
	last := w.db.Feed().Last()
	n := 0
	for m := range s.msgs {
		n++
		if m.id >= last {
			break
		}
	}
	if n > 40 {
		t.Errorf("150 changes came in %d messages", n)
	}
}

func TestEventStreamFormat(t *testing.T) {
	var w recorder
	e := &eventStream{w: &w, rc: http.NewResponseController(&w)}
	if err := e.message(7, []byte("a\r\nb\n")); err != nil {
		t.Fatal(err)
	}
	if err := e.message(0, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := e.message(8, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := w.b.String(), "id: 7\ndata: a\ndata: b\ndata: \n\ndata: x\n\nid: 8\n\n"; got != want {
		t.Errorf("%q instead of %q", got, want)
	}
}

type recorder struct {
	b strings.Builder
	h http.Header
}

func (r *recorder) Header() http.Header {
	if r.h == nil {
		r.h = http.Header{}
	}
	return r.h
}
func (r *recorder) Write(p []byte) (int, error)      { return r.b.Write(p) }
func (r *recorder) WriteHeader(int)                  {}
func (r *recorder) FlushError() error                { return nil }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }
func (r *recorder) SetReadDeadline(time.Time) error  { return nil }
func (r *recorder) Format(f fmt.State, verb rune)    { fmt.Fprint(f, r.b.String()) }

func TestProgressIsSentWithoutAnEvent(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	vm := w.vm(b, "web-1")
	release := w.fake.Hang("Start")
	b.post("/vms/"+vm.ID+"/actions/start", nil, htmx).want(t, 200)
	job := w.newest("vm.start")
	w.level("the job holds the VM", func() bool { return w.vmNamed("web-1").BusyJob == job.ID })
	moves := map[string]domain.Progress{job.ID: {Percent: 42, Text: "copied 42 of 100 GiB"}}
	draw := func(on, at string) string {
		t.Helper()
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		v := &viewer{on: on, at: u, total: 1, sub: subjectNamed("x")}
		body, err := w.srv.draw(t.Context(), v, nil, moves, w.db.Feed().Last())
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if got := draw("", "/account"); !strings.Contains(got, "copied 42 of 100 GiB") || !strings.Contains(got, "progress-"+job.ID) {
		t.Errorf("the drawer: %s", got)
	}
	if got := draw("vms", "/vms"); !strings.Contains(got, `id="row-`+vm.ID) {
		t.Errorf("the list: %s", got)
	}
	if got := draw(job.ID, "/tasks/"+job.ID); !strings.Contains(got, "task-body") {
		t.Errorf("the task's page: %s", got)
	}
	if got := draw("tasks", "/tasks"); !strings.Contains(got, `id="row-`+job.ID) {
		t.Errorf("the task list: %s", got)
	}
	if got := draw(vm.ID, "/vms/"+vm.ID); !strings.Contains(got, "page-head") {
		t.Errorf("the VM's page: %s", got)
	}
	release()
	w.job(job.ID)

	// The hub gives each listener the moves since its last look, and forgets with the last listener.
	leave := w.srv.hub.join(t.Context())
	_, v0, _ := w.srv.hub.news(0)
	w.srv.hub.moved("job_a", domain.Progress{Percent: 1})
	w.srv.hub.moved("job_a", domain.Progress{Percent: 2})
	got, v1, _ := w.srv.hub.news(v0)
	if len(got) != 1 || got["job_a"].Percent != 2 {
		t.Errorf("moves = %v", got)
	}
	if again, _, _ := w.srv.hub.news(v1); len(again) != 0 {
		t.Errorf("moves again = %v", again)
	}
	leave()
	if left, _, _ := w.srv.hub.news(0); len(left) != 0 {
		t.Errorf("left = %v", left)
	}
}

// TestAFilteredListLosesAndFindsRows: a row that does not match any more is marked to go; one that has come to match is told of where it is missing.
func TestAFilteredListLosesAndFindsRows(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.mirrored("h1", 2)
	vm := w.vmNamed("h1-g0000")
	running, all := b.open(liveOf(t, b.get("/vms?filter=state:running").text)), b.open(liveOf(t, b.get("/vms").text))
	paused := b.open(liveOf(t, b.get("/vms?filter=state:paused").text))
	w.change(vm.ID, domain.VMPaused)
	if m := running.until(`id="row-`+vm.ID, "1 of 2"); !strings.Contains(m.data, `class="left"`) || strings.Contains(m.data, "come to match") {
		t.Errorf("the row stays: %s", m.data)
	}
	if m := paused.until(`id="row-`+vm.ID, "1 of 2"); !strings.Contains(m.data, `:not(:has(#row-`+vm.ID+`))`) || strings.Contains(m.data, `class="left"`) {
		t.Errorf("nothing says that it matches now: %s", m.data)
	}
	if m := all.until(`id="row-` + vm.ID); strings.Contains(m.data, `class="left"`) || strings.Contains(m.data, "come to match") {
		t.Errorf("a list without filter has a row leave: %s", m.data)
	}
	w.change(vm.ID, domain.VMRunning)
	if m := running.until(`id="row-`+vm.ID, "2 of 2"); strings.Contains(m.data, `class="left"`) {
		t.Errorf("the row does not come back: %s", m.data)
	}
}
