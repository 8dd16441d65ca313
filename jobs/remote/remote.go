// Package remote sends what is measured to another server as it comes, by Prometheus' remote write.
//
// It is not for what was measured before the server was started, nor for receiving (db/series does that).
package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"novacron/db/series"
	"novacron/domain"
	"novacron/jobs/images"
)

// Options say where to and how; zero values but for URL are right for production.
type Options struct {
	URL   string
	Token string        // the bearer token; may be empty
	Local bool          // addresses of this machine and its links may be sent to
	Queue int           // samples that wait at most; 0: 500,000
	Least time.Duration // the first pause after a failure; 0: 1 s
}

// most is how many samples one message has at most, and longest the pause between two trials.
const (
	most    = 5000
	longest = time.Minute
)

// Sender sends.
type Sender struct {
	opt    Options
	log    *slog.Logger
	client *http.Client

	mu      sync.Mutex
	queue   []series.Batch
	waiting int
	wake    chan struct{}

	sent, dropped, failed atomic.Int64
}

// New makes a sender of what a store keeps from now on; nothing is sent until Run. Without an address it does nothing. Invalid where the address cannot be one.
func New(store *series.Store, log *slog.Logger, opt Options) (*Sender, error) {
	if opt.URL == "" {
		return &Sender{}, nil
	}
	u, err := url.Parse(opt.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !opt.Local) || u.User != nil {
		return nil, domain.Errorf(domain.Invalid, "“%s” in remote-write cannot be sent to.", opt.URL).WithFix("Write an address that begins with https:// and has no password in it; plain http:// is taken with fetch-local.")
	}
	if opt.Queue == 0 {
		opt.Queue = 500_000
	}
	if opt.Least == 0 {
		opt.Least = time.Second
	}
	s := &Sender{opt: opt, log: log, wake: make(chan struct{}, 1), client: images.Caller(30*time.Second, opt.Local, true)}
	store.Copy(s.take)
	return s, nil
}

// take queues a batch. Where too much waits the oldest goes: what is newer is worth more.
func (s *Sender) take(b series.Batch) {
	s.mu.Lock()
	s.queue = append(s.queue, b)
	s.waiting += len(b.Samples)
	for s.waiting > s.opt.Queue && len(s.queue) > 1 {
		n := len(s.queue[0].Samples)
		s.queue[0] = series.Batch{} // lets go of it
		s.queue, s.waiting = s.queue[1:], s.waiting-n
		s.dropped.Add(int64(n))
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Figures are what the sender tells of itself, by metric; none where nothing is sent.
func (s *Sender) Figures() map[string]float64 {
	if s.client == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]float64{
		"novacron_remote_write_waiting_samples": float64(s.waiting), "novacron_remote_write_sent_samples_total": float64(s.sent.Load()),
		"novacron_remote_write_dropped_samples_total": float64(s.dropped.Load()), "novacron_remote_write_failures_total": float64(s.failed.Load()),
	}
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	if s.client == nil {
		return nil
	}
	pause, down := s.opt.Least, false
	for {
		batch := s.next()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-s.wake:
				continue
			}
		}
		n := 0
		for _, b := range batch {
			n += len(b.Samples)
		}
		for {
			err := s.post(ctx, batch)
			if ctx.Err() != nil {
				return nil
			}
			if err == nil {
				if s.sent.Add(int64(n)); down {
					s.log.Info("what is measured is sent on again")
				}
				pause, down = s.opt.Least, false
				break
			}
			s.failed.Add(1)
			if domain.Is(err, domain.Invalid) { // sending it again does not help
				s.dropped.Add(int64(n))
				s.log.Warn("the other server refuses what is measured", "error", err)
				break
			}
			if !down {
				s.log.Warn("what is measured could not be sent on; it is tried again", "error", err)
			}
			down = true
			t := time.NewTimer(pause)
			select {
			case <-ctx.Done():
				t.Stop()
				return nil
			case <-t.C:
			}
			pause = min(2*pause, longest)
		}
	}
}

// next takes so many batches as one message may have.
func (s *Sender) next() []series.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, samples := 0, 0
	for n < len(s.queue) && (n == 0 || samples+len(s.queue[n].Samples) <= most) {
		samples += len(s.queue[n].Samples)
		n++
	}
	out := append([]series.Batch(nil), s.queue[:n]...)
	clear(s.queue[:n])
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	s.waiting -= samples
	return out
}

func (s *Sender) post(ctx context.Context, batch []series.Batch) error {
	body, err := series.Pack(batch)
	if err != nil {
		return domain.Errorf(domain.Invalid, "The samples could not be packed: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.opt.URL, bytes.NewReader(body))
	if err != nil {
		return domain.Errorf(domain.Invalid, "The address cannot be used: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	req.Header.Set("User-Agent", "NovaCron")
	if s.opt.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.opt.Token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return domain.Errorf(domain.Unavailable, "It could not be reached: %w", err)
	}
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return domain.Errorf(domain.Unavailable, "Its answer broke off: %w", err)
	}
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode/100 == 5, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden, resp.StatusCode/100 == 3:
		return domain.Errorf(domain.Unavailable, "It answered %d: %.200s", resp.StatusCode, said)
	}
	return domain.Errorf(domain.Invalid, "It answered %d: %.200s", resp.StatusCode, said)
}
