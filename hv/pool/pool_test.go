package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
	"novacron/hv/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record keeps what the hooks heard.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *record) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.lines
	r.lines = nil
	return out
}

func (r *record) hooks() pool.Hooks {
	return pool.Hooks{
		OnConnected: func(ctx context.Context, id string, h hv.Host) error { r.add("connected %s", id); return nil },
		OnAway:      func(ctx context.Context, id, reason, fix string) { r.add("away %s: %s", id, reason) },
		OnEvent:     func(ctx context.Context, id string, ev hv.Event) { r.add("event %s %s", id, ev.Name) },
		OnResync:    func(ctx context.Context, id string, h hv.Host) error { r.add("resync %s", id); return nil },
	}
}

func start(t *testing.T, d hv.Dialer, hooks pool.Hooks) (p *pool.Pool, stop func()) {
	t.Helper()
	p = pool.New(d, slog.New(slog.NewTextHandler(io.Discard, nil)), time.Now, hooks)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	return p, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func want(t *testing.T, got []string, lines ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(lines) {
		t.Fatalf("heard %q, want %q", got, lines)
	}
}

func TestFollowsAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := hvtest.NewFake(hvtest.FakeOptions{}), &record{}
		p, stop := start(t, f, r.hooks())
		defer stop()
		if _, err := p.Host("h1"); !domain.Is(err, domain.NotFound) {
			t.Fatal(err)
		}
		p.Add("h1", hv.Target{URI: "test:///default"})
		if _, err := p.Host("h1"); !domain.Is(err, domain.Unavailable) {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, r.take(), "connected h1")
		h, err := p.Host("h1")
		if err != nil || h.Ping(t.Context()) != nil {
			t.Fatal(err)
		}
		if s, ok := p.State("h1"); !ok || s.State != domain.HostConnected || len(s.Steps) != 1 {
			t.Fatalf("%+v", s)
		}
		var all []string
		for i := range 100 {
			f.Emit(hv.Event{Kind: hv.GuestChanged, Name: fmt.Sprint(i)})
			all = append(all, fmt.Sprintf("event h1 %d", i))
		}
		synctest.Wait()
		want(t, r.take(), all...)
		p.Add("h1", hv.Target{URI: "test:///default"}) // the same target is no reason to dial again
		synctest.Wait()
		want(t, r.take())
		stop()
		if f.Connections()+f.Streams() != 0 {
			t.Fatalf("%d connections and %d streams stand after the end", f.Connections(), f.Streams())
		}
		if _, err := p.Host("h1"); !domain.Is(err, domain.Unavailable) {
			t.Fatal(err)
		}
	})
}

func TestComesBackWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := hvtest.NewFake(hvtest.FakeOptions{}), &record{}
		f.SetDown(true)
		p, stop := start(t, f, r.hooks())
		defer stop()
		p.Add("h1", hv.Target{})
		since := time.Now().UTC()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		want(t, r.take(), "away h1: The host does not answer.")
		// 1, 2, 4, 8, 16, then 30 seconds each, give or take a fifth.
		if n := f.Calls("Dial"); n < 12 || n > 18 {
			t.Errorf("%d attempts in five minutes", n)
		}
		if s, _ := p.State("h1"); s.State != domain.HostAway || !s.Since.Equal(since) || s.Fix == "" || len(s.Steps) == 0 {
			t.Errorf("%+v", s)
		}
		_, err := p.Host("h1")
		if e, ok := errors.AsType[*domain.Error](err); !ok || e.Code != domain.Unavailable || e.Fix == "" {
			t.Errorf("%v", err)
		}
		f.SetDown(false)
		before := time.Now()
		p.Kick("h1")
		synctest.Wait()
		want(t, r.take(), "connected h1")
		if !time.Now().Equal(before) {
			t.Error("the kick did not cut the wait short")
		}
		f.Disconnect()
		synctest.Wait()
		want(t, r.take(), "away h1: The connection to the host is closed.")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want(t, r.take(), "connected h1")
	})
}

func TestNoticesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := hvtest.NewFake(hvtest.FakeOptions{}), &record{}
		p, stop := start(t, f, r.hooks())
		defer stop()
		p.Add("h1", hv.Target{})
		time.Sleep(time.Minute)
		f.Fail("Ping", errors.New("one answer was lost"), 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		want(t, r.take(), "connected h1") // one lost ping is forgiven
		release := f.Hang("Ping")
		time.Sleep(27 * time.Second)
		synctest.Wait()
		got := r.take()
		if len(got) < 1 || got[0] != "away h1: The host did not answer in time." {
			t.Fatalf("heard %q", got)
		}
		release()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s, _ := p.State("h1"); s.State != domain.HostConnected {
			t.Fatalf("%+v", s)
		}
		if f.Connections() != 1 {
			t.Errorf("%d connections", f.Connections())
		}
	})
}

func TestDaemonThatHangsWhileSubscribing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := hvtest.NewFake(hvtest.FakeOptions{}), &record{}
		f.Hang("Events")
		p, stop := start(t, f, r.hooks())
		defer stop()
		p.Add("h1", hv.Target{})
		time.Sleep(31 * time.Second)
		synctest.Wait()
		want(t, r.take(), "away h1: The host did not answer when asked for its events.")
	})
}

func TestOverflowAsksForResync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := hvtest.NewFake(hvtest.FakeOptions{}), &record{}
		hooks := r.hooks()
		gate := make(chan struct{})
		plain := hooks.OnEvent
		hooks.OnEvent = func(ctx context.Context, id string, ev hv.Event) { <-gate; plain(ctx, id, ev) }
		p, stop := start(t, f, hooks)
		defer stop()
		p.Add("h1", hv.Target{})
		synctest.Wait()
		f.Emit(hv.Event{Name: "first"})
		synctest.Wait()
		for i := range 5000 {
			f.Emit(hv.Event{Name: fmt.Sprint(i)})
		}
		synctest.Wait()
		close(gate)
		synctest.Wait()
		got := r.take()
		if got[0] != "connected h1" || got[1] != "event h1 first" || got[2] != "resync h1" || got[3] != "event h1 4096" || got[len(got)-1] != "event h1 4999" || len(got) != 3+904 {
			t.Fatalf("heard %d lines: %q … %q", len(got), got[:4], got[len(got)-1])
		}
	})
}

func TestOverflowWithoutResyncReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := hvtest.NewFake(hvtest.FakeOptions{}), &record{}
		gate := make(chan struct{})
		p, stop := start(t, f, pool.Hooks{OnConnected: r.hooks().OnConnected, OnEvent: func(context.Context, string, hv.Event) { <-gate }})
		defer stop()
		p.Add("h1", hv.Target{})
		synctest.Wait()
		f.Emit(hv.Event{})
		synctest.Wait()
		for range 5000 {
			f.Emit(hv.Event{})
		}
		synctest.Wait()
		close(gate)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		want(t, r.take(), "connected h1", "connected h1")
	})
}

func TestHookErrorsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := hvtest.NewFake(hvtest.FakeOptions{}), &record{}
		hooks := r.hooks()
		n := 0
		hooks.OnConnected = func(ctx context.Context, id string, h hv.Host) error {
			if n++; n < 3 {
				return domain.Errorf(domain.Internal, "The database is full.").WithFix("Make room.")
			}
			r.add("connected")
			return nil
		}
		hooks.OnResync = func(context.Context, string, hv.Host) error { return errors.New("no") }
		p, stop := start(t, f, hooks)
		defer stop()
		p.Add("h1", hv.Target{})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want(t, r.take(), "away h1: The database is full.", "away h1: The database is full.", "connected")
		if f.Connections() != 1 {
			t.Errorf("%d connections", f.Connections())
		}
	})
}

func TestRemoveIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := hvtest.NewFake(hvtest.FakeOptions{}), &record{}
		p, stop := start(t, f, r.hooks())
		defer stop()
		p.Add("h1", hv.Target{})
		synctest.Wait()
		r.take()
		p.Remove("h1")
		p.Remove("h1")
		if f.Connections()+f.Streams() != 0 {
			t.Error("the connection stands after Remove")
		}
		f.Emit(hv.Event{})
		time.Sleep(time.Minute)
		synctest.Wait()
		want(t, r.take())
		if _, ok := p.State("h1"); ok {
			t.Error("it is still in the fleet")
		}
		p.Add("h2", hv.Target{}) // and one that Run has had no time to see
		p.Remove("h2")
		synctest.Wait()
		p.Kick("h2")
		if f.Connections() != 0 {
			t.Error("a removed host was dialled")
		}
	})
}

func TestNewTargetWaitsForTheOldHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := hvtest.NewFake(hvtest.FakeOptions{})
		gate := make(chan struct{})
		inside, most, calls := 0, 0, 0
		var mu sync.Mutex
		p, stop := start(t, f, pool.Hooks{OnConnected: func(ctx context.Context, id string, h hv.Host) error {
			mu.Lock()
			inside, calls = inside+1, calls+1
			most = max(most, inside)
			mu.Unlock()
			<-gate
			mu.Lock()
			inside--
			mu.Unlock()
			return nil
		}})
		defer stop()
		p.Add("h1", hv.Target{URI: "a"})
		synctest.Wait()
		p.Add("h1", hv.Target{URI: "b"})
		p.Add("h1", hv.Target{URI: "c"})
		synctest.Wait()
		close(gate)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if most != 1 || calls < 2 || f.Connections() != 1 {
			t.Errorf("at once %d, calls %d, connections %d", most, calls, f.Connections())
		}
	})
}

// TestManyIdleHosts watches what a hundred quiet hosts cost in ten minutes: a ping each every five seconds, and nothing else.
func TestManyIdleHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := hvtest.NewFake(hvtest.FakeOptions{}), &record{}
		p, stop := start(t, f, r.hooks())
		defer stop()
		for i := range 100 {
			p.Add(fmt.Sprint(i), hv.Target{})
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := f.Calls("Ping"); n < 100*119 || n > 100*121 {
			t.Errorf("%d pings", n)
		}
		if n := len(r.take()); n != 100 || f.Calls("Dial") != 100 || f.Calls("Events") != 100 {
			t.Errorf("%d hooks, %d dials", n, f.Calls("Dial"))
		}
	})
}
