package handlers

import (
	"context"
	"sync"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// hub wakes the open streams: when the feed has something newer, and when a job's progress moves. It works only while somebody listens:
// the first stream starts it and the last one ends it, so its goroutines have an end without anybody closing anything.
type hub struct {
	feed   *db.Feed
	engine *jobs.Engine

	mu      sync.Mutex
	streams int
	stop    func() // ends and waits for the goroutines
	wake    chan struct{}
	version int64
	moves   map[string]move
}

type move struct {
	version int64
	p       domain.Progress
}

// movesMost bounds what is remembered of jobs' progress; it is only ever the latest value of those that run.
const movesMost = 2000

func newHub(f *db.Feed, e *jobs.Engine) *hub {
	return &hub{feed: f, engine: e, wake: make(chan struct{}), moves: map[string]move{}}
}

// join counts a stream in; the returned function counts it out.
func (h *hub) join(ctx context.Context) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams++; h.streams == 1 {
		// Not the first stream's context: the goroutines serve all streams and end with the last.
		run, cancel := context.WithCancel(context.WithoutCancel(ctx))
		var wg sync.WaitGroup
		wg.Go(func() { h.follow(run) })
		wg.Go(func() { h.engine.Live(run, h.moved) })
		h.stop = func() { cancel(); wg.Wait() }
	}
	return h.leave
}

func (h *hub) leave() {
	h.mu.Lock()
	h.streams--
	var stop func()
	if h.streams == 0 {
		stop, h.stop = h.stop, nil
		clear(h.moves)
	}
	h.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (h *hub) follow(ctx context.Context) {
	seq := h.feed.Last()
	h.ring() // what came between a stream's reading and this
	for h.feed.Wait(ctx, seq) == nil {
		seq = h.feed.Last()
		h.ring()
	}
}

func (h *hub) moved(jobID string, p domain.Progress) {
	h.mu.Lock()
	if len(h.moves) >= movesMost {
		clear(h.moves)
	}
	h.version++
	h.moves[jobID] = move{h.version, p}
	h.mu.Unlock()
	h.ring()
}

func (h *hub) ring() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.wake)
	h.wake = make(chan struct{})
}

// news gives the progress that moved since the version, and the channel that closes when there is more of anything. The channel is taken before
// the caller looks at the feed, so nothing is slept through.
func (h *hub) news(since int64) (moves map[string]domain.Progress, version int64, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, m := range h.moves {
		if m.version > since {
			if moves == nil {
				moves = map[string]domain.Progress{}
			}
			moves[id] = m.p
		}
	}
	return moves, h.version, h.wake
}
