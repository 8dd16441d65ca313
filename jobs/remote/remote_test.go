package remote_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"novacron/db/series"
	"novacron/domain"
	"novacron/jobs/remote"
)

func open(t *testing.T) *series.Store {
	t.Helper()
	s, err := series.Open(t.TempDir(), slog.New(slog.DiscardHandler), series.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute: " + what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.FailNow()
		}
	}
}

// other is another server, which can be made to fail.
type other struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	asked  int
	to     *series.Store
	token  string
}

func newOther(t *testing.T) *other {
	o := &other{status: 204, to: open(t)}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.asked++
		o.token = r.Header.Get("Authorization")
		if o.status == 204 && err == nil {
			// What is ours is not a sender's to say, so that it is taken under another name here.
			_, err = o.to.Receive(r.Context(), body, time.Now(), func(string) (domain.Host, bool) { return domain.Host{ID: "host_1", Name: "b1"}, true })
		}
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(o.status)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *other) answer(status int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status = status
}

func (o *other) times() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked
}

func TestWhatIsMeasuredIsSentOn(t *testing.T) {
	o, mine := newOther(t), open(t)
	s, err := remote.New(mine, slog.New(slog.DiscardHandler), remote.Options{URL: o.URL, Token: "secret", Local: true, Least: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(wg.Wait)
	o.answer(503)
	began := time.Now().Truncate(time.Second).Add(-time.Minute)
	put := func(i int) {
		t.Helper()
		err := mine.Append(t.Context(), began.Add(time.Duration(i)*time.Second), []series.Sample{{Labels: series.Of("x", "n", "1"), Value: float64(i)}, {Labels: series.Of("x", "n", "2"), Value: 7}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		put(i)
	}
	until(t, "it was tried again", func() bool { return o.times() >= 3 })
	if f := s.Figures(); f["novacron_remote_write_failures_total"] < 2 || f["novacron_remote_write_sent_samples_total"] != 0 {
		t.Errorf("%v", f)
	}
	o.answer(204)
	until(t, "all of it came", func() bool { return s.Figures()["novacron_remote_write_sent_samples_total"] == 20 })
	res, err := o.to.Query(t.Context(), series.View{All: true}, `sum(count_over_time(x[5m]))`, began.Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Value.(interface{ String() string }).String(); got[:len("{} => 20 ")] != "{} => 20 " {
		t.Error(got)
	}
	o.mu.Lock()
	if o.token != "Bearer secret" {
		t.Error(o.token)
	}
	o.mu.Unlock()
	o.answer(400) // refused: it does not hold up what comes after
	put(11)
	until(t, "it was dropped", func() bool { return s.Figures()["novacron_remote_write_dropped_samples_total"] == 2 })
	o.answer(204)
	put(12)
	until(t, "it goes on", func() bool { return s.Figures()["novacron_remote_write_sent_samples_total"] == 22 })
}

// Where too much waits the oldest goes, and measuring is not held up.
func TestTheQueueIsBounded(t *testing.T) {
	mine := open(t)
	s, err := remote.New(mine, slog.New(slog.DiscardHandler), remote.Options{URL: "https://metrics.example.org/write", Queue: 5})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := mine.Append(t.Context(), time.Now().Add(time.Duration(i)*time.Second), []series.Sample{{Labels: series.Of("x"), Value: float64(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if f := s.Figures(); f["novacron_remote_write_waiting_samples"] != 5 || f["novacron_remote_write_dropped_samples_total"] != 5 {
		t.Errorf("%v", f)
	}
}

func TestAddressesThatCannotBe(t *testing.T) {
	for _, u := range []string{"x", "http://metrics.example.org/", "https://name:word@metrics.example.org/", "ftp://x"} {
		if _, err := remote.New(open(t), slog.New(slog.DiscardHandler), remote.Options{URL: u}); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", u, err)
		}
	}
	s, err := remote.New(nil, slog.New(slog.DiscardHandler), remote.Options{})
	if err != nil || s.Run(t.Context()) != nil || s.Figures() != nil {
		t.Error("without an address it does something")
	}
	// This machine's own addresses are not for it.
	o, mine := newOther(t), open(t)
	o.Config.ErrorLog = nil
	s, err = remote.New(mine, slog.New(slog.DiscardHandler), remote.Options{URL: "https" + o.URL[len("http"):], Least: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(wg.Wait)
	if err := mine.Append(t.Context(), time.Now(), []series.Sample{{Labels: series.Of("x"), Value: 1}}); err != nil {
		t.Fatal(err)
	}
	until(t, "it was tried", func() bool { return s.Figures()["novacron_remote_write_failures_total"] >= 2 })
	if o.times() != 0 {
		t.Error("it was asked")
	}
}
