package libvirt

import (
	"context"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
)

// Procedure numbers of the event messages (remote_protocol.x).
const (
	evLifecycle      = 318
	evReboot         = 319
	evWatchdog       = 321
	evIOErrorReason  = 324
	evControlError   = 325
	evBlockJob       = 326
	evDiskChange     = 327
	evTrayChange     = 328
	evPMWakeup       = 329
	evPMSuspend      = 330
	evBalloon        = 331
	evPMSuspendDisk  = 332
	evDeviceRemoved  = 333
	evTunable        = 346
	evAgent          = 348
	evDeviceAdded    = 354
	evRemovalFailed  = 367
	evMetadataChange = 379
)

// wanted are the kinds of event asked for. A daemon or driver that lacks one refuses it, and the others still come; lifecycle comes first and
// must not be refused.
var wanted = []golibvirt.DomainEventID{
	golibvirt.DomainEventIDLifecycle, golibvirt.DomainEventIDReboot, golibvirt.DomainEventIDWatchdog, golibvirt.DomainEventIDIoErrorReason,
	golibvirt.DomainEventIDControlError, golibvirt.DomainEventIDBlockJob, golibvirt.DomainEventIDDiskChange, golibvirt.DomainEventIDTrayChange,
	golibvirt.DomainEventIDPmwakeup, golibvirt.DomainEventIDPmsuspend, golibvirt.DomainEventIDPmsuspendDisk, golibvirt.DomainEventIDBalloonChange,
	golibvirt.DomainEventIDDeviceRemoved, golibvirt.DomainEventIDTunable, golibvirt.DomainEventIDAgentLifecycle, golibvirt.DomainEventIDDeviceAdded,
	golibvirt.DomainEventIDDeviceRemovalFailed, golibvirt.DomainEventIDMetadataChange,
}

// balloonPause is the least time between two reports of one guest's balloon, which moves in many small steps.
const balloonPause = 2 * time.Second

// rawEvent is an event message, decoded as far as it is used.
type rawEvent struct {
	proc uint32
	dom  domainRef
	a, b int32  // event and detail, action, state
	text string // device or path
	at   time.Time
}

// decodeEvent reads the body of an event message.
func decodeEvent(proc uint32, body []byte) (rawEvent, bool) {
	r := xdrReader{b: body}
	e := rawEvent{proc: proc}
	r.int32() // callback id: every callback is ours
	switch proc {
	case evLifecycle:
		e.dom, e.a, e.b = r.domain(), r.int32(), r.int32()
	case evPMWakeup, evPMSuspend, evPMSuspendDisk:
		e.a, e.dom = r.int32(), r.domain()
	case evWatchdog:
		e.dom, e.a = r.domain(), r.int32()
	case evIOErrorReason:
		e.dom = r.domain()
		path, alias := r.string(), r.string()
		e.a = r.int32()
		e.text = path
		if path == "" {
			e.text = alias
		}
		if reason := r.string(); reason != "" {
			e.text += " (" + reason + ")"
		}
	case evBlockJob:
		e.dom, e.text, e.a, e.b = r.domain(), r.string(), r.int32(), r.int32()
	case evTrayChange:
		e.dom, e.text, e.a = r.domain(), r.string(), r.int32()
	case evDeviceRemoved, evDeviceAdded, evRemovalFailed:
		e.dom, e.text = r.domain(), r.string()
	case evAgent:
		e.dom, e.a = r.domain(), r.int32()
	case evReboot, evControlError, evDiskChange, evBalloon, evTunable, evMetadataChange:
		e.dom = r.domain()
	default:
		return e, false
	}
	return e, r.err == nil
}

// subscriptions hands the events of a connection to whoever listens. libvirt is told once per connection.
type subscriptions struct {
	mu         sync.Mutex
	registered bool
	queues     map[*eventQueue]struct{}
}

// eventQueue decouples the socket's reader from a listener: it takes without blocking and grows as needed.
type eventQueue struct {
	mu    sync.Mutex
	items []rawEvent
	wake  chan struct{} // holds at most one token
}

func (q *eventQueue) push(e rawEvent) {
	q.mu.Lock()
	q.items = append(q.items, e)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *eventQueue) drain() []rawEvent {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.items
	q.items = nil
	return out
}

func (h *host) Events(ctx context.Context, fn func(hv.Event)) (<-chan struct{}, error) {
	q := &eventQueue{wake: make(chan struct{}, 1)}
	if err := h.subscribe(ctx, q); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer h.unsubscribe(q)
		(&teller{h: h, fn: fn, ended: map[string]string{}, balloons: map[string]rawEvent{}}).run(ctx, q)
	}()
	return done, nil
}

func (h *host) subscribe(ctx context.Context, q *eventQueue) error {
	s := &h.subs
	s.mu.Lock()
	if s.queues == nil {
		s.queues = map[*eventQueue]struct{}{}
		clock := h.opt.Clock
		var hook eventFunc = func(proc uint32, body []byte) {
			e, ok := decodeEvent(proc, body)
			if !ok {
				return
			}
			e.at = clock().UTC()
			s.mu.Lock()
			defer s.mu.Unlock()
			for q := range s.queues {
				q.push(e)
			}
		}
		h.w.events.Store(&hook)
	}
	s.queues[q] = struct{}{}
	registered := s.registered
	s.registered = true
	s.mu.Unlock()
	if registered {
		return nil
	}
	err := h.do(ctx, "report events", func(l *golibvirt.Libvirt) error {
		for i, id := range wanted {
			_, err := l.ConnectDomainEventCallbackRegisterAny(int32(id), nil)
			if err != nil && (i == 0 || number(err) == 0) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.unsubscribe(q)
		s.mu.Lock()
		s.registered = false
		s.mu.Unlock()
	}
	return err
}

func (h *host) unsubscribe(q *eventQueue) {
	h.subs.mu.Lock()
	defer h.subs.mu.Unlock()
	delete(h.subs.queues, q)
}

// teller turns raw events into ours, in order, and asks the host where the event alone does not say enough.
type teller struct {
	h        *host
	fn       func(hv.Event)
	ended    map[string]string   // UUID -> who asked for the shutdown that is under way
	balloons map[string]rawEvent // waiting for the end of the pause
}

func (t *teller) run(ctx context.Context, q *eventQueue) {
	pause := time.NewTimer(balloonPause)
	pause.Stop()
	defer pause.Stop()
	waiting := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.h.w.done:
			return
		case <-pause.C:
			waiting = false
			for uuid, e := range t.balloons {
				delete(t.balloons, uuid)
				t.tell(e, hv.Event{Kind: hv.GuestChanged, Detail: "its memory changed"})
			}
		case <-q.wake:
			for _, e := range q.drain() {
				if ctx.Err() != nil {
					return
				}
				if e.proc == evBalloon {
					t.balloons[uuidText(e.dom.uuid)] = e
					if !waiting {
						waiting = true
						pause.Reset(balloonPause)
					}
					continue
				}
				t.translate(ctx, e)
			}
		}
	}
}

func (t *teller) tell(e rawEvent, ev hv.Event) {
	ev.UUID, ev.Name, ev.At = uuidText(e.dom.uuid), e.dom.name, e.at
	t.fn(ev)
}

func (t *teller) translate(ctx context.Context, e rawEvent) {
	changed := func(detail string) { t.tell(e, hv.Event{Kind: hv.GuestChanged, Detail: detail}) }
	trouble := func(detail string) { t.tell(e, hv.Event{Kind: hv.GuestTrouble, Detail: detail}) }
	switch e.proc {
	case evLifecycle:
		t.lifecycle(ctx, e)
	case evReboot:
		t.tell(e, hv.Event{Kind: hv.GuestState, State: domain.VMRunning, Detail: "rebooted"})
	case evWatchdog:
		trouble("the watchdog fired: " + word([]string{"nothing was done", "it was paused", "it was reset", "it was powered off", "it was asked to shut down", "it was noted", "it was interrupted"}, e.a))
	case evIOErrorReason:
		trouble("disk error on " + e.text + word([]string{1: ", so it was paused", 2: ", which the guest was told"}, e.a))
	case evControlError:
		trouble("libvirt lost its connection to QEMU")
	case evRemovalFailed:
		trouble("the guest did not let go of the device " + e.text)
	case evBlockJob:
		if e.b <= 2 { // completed, failed, cancelled; "ready" is not an end
			changed("a block job on " + e.text + " " + word([]string{"is complete", "failed", "was cancelled"}, e.b))
		}
	case evDiskChange:
		changed("the medium of a disk changed")
	case evTrayChange:
		changed("the tray of " + e.text + " was " + word([]string{"opened", "closed"}, e.a))
	case evPMWakeup:
		t.tell(e, hv.Event{Kind: hv.GuestState, State: domain.VMRunning, Detail: "woken up"})
	case evPMSuspend, evPMSuspendDisk:
		t.tell(e, hv.Event{Kind: hv.GuestState, State: domain.VMPaused, Detail: "put to sleep by the guest"})
	case evDeviceRemoved:
		changed("the device " + e.text + " was removed")
	case evDeviceAdded:
		changed("the device " + e.text + " was added")
	case evTunable:
		changed("its tuning changed")
	case evAgent:
		changed(word([]string{1: "the guest agent connected", 2: "the guest agent went away"}, e.a))
	case evMetadataChange:
		changed("its description changed")
	}
}

var (
	startedWords   = []string{"started", "migrated here", "restored", "reverted to a snapshot", "woken up", "started anew"}
	suspendedWords = []string{"paused", "paused for migration", "paused because of a disk error", "paused by the watchdog", "restored, and paused", "reverted to a snapshot, and paused",
		"paused after a failed operation", "paused for a post-copy migration", "the post-copy migration failed"}
	resumedWords = []string{"resumed", "resumed after migration", "reverted to a snapshot", "resumed after a post-copy migration", "resumed after a failed post-copy migration"}
	stoppedWords = []string{"shut down by the guest", "powered off", "QEMU ended unexpectedly", "migrated to another host", "saved", "QEMU failed", "reverted to a snapshot", "being started anew"}
	definedWords = []string{"defined", "its definition changed", "renamed", "reverted to a snapshot"}
)

func (t *teller) lifecycle(ctx context.Context, e rawEvent) {
	state := func(s domain.VMState, detail string) {
		t.tell(e, hv.Event{Kind: hv.GuestState, State: s, Detail: detail})
	}
	uuid := uuidText(e.dom.uuid)
	switch golibvirt.DomainEventType(e.a) {
	case golibvirt.DomainEventDefined:
		t.tell(e, hv.Event{Kind: hv.GuestDefined, Detail: word(definedWords, e.b)})
	case golibvirt.DomainEventUndefined:
		if golibvirt.DomainEventUndefinedDetailType(e.b) == golibvirt.DomainEventUndefinedRenamed {
			return // the definition under the new name follows
		}
		t.gone(ctx, e, "its definition was removed")
	case golibvirt.DomainEventStarted:
		delete(t.ended, uuid)
		state(domain.VMRunning, word(startedWords, e.b))
	case golibvirt.DomainEventSuspended:
		state(domain.VMPaused, word(suspendedWords, e.b))
	case golibvirt.DomainEventResumed:
		state(domain.VMRunning, word(resumedWords, e.b))
	case golibvirt.DomainEventShutdown:
		t.ended[uuid] = word([]string{"shut down by the guest", "shut down by the guest", "shut down by a signal on the host"}, e.b)
	case golibvirt.DomainEventPmsuspended:
		state(domain.VMPaused, "put to sleep by the guest")
	case golibvirt.DomainEventCrashed:
		state(domain.VMCrashed, word(crashedWords, 1))
	case golibvirt.DomainEventStopped:
		t.stopped(ctx, e, uuid)
	}
}

// stopped tells a power-off from a save, and the end of a transient guest, which no other event reports.
func (t *teller) stopped(ctx context.Context, e rawEvent, uuid string) {
	detail := word(stoppedWords, e.b)
	st := domain.VMStopped
	switch golibvirt.DomainEventStoppedDetailType(e.b) {
	case golibvirt.DomainEventStoppedShutdown:
		if who := t.ended[uuid]; who != "" {
			detail = who
		}
	case golibvirt.DomainEventStoppedCrashed, golibvirt.DomainEventStoppedFailed:
		st = domain.VMCrashed
	}
	delete(t.ended, uuid)
	n, err := t.h.now(ctx, uuid)
	switch {
	case domain.Is(err, domain.NotFound):
		t.tell(e, hv.Event{Kind: hv.GuestGone, Detail: detail})
		return
	case err == nil && n.saved:
		st, detail = domain.VMSaved, "saved"
	}
	t.tell(e, hv.Event{Kind: hv.GuestState, State: st, Detail: detail})
}

// gone reports a guest as gone unless it is still there: running without a definition, or defined again meanwhile.
func (t *teller) gone(ctx context.Context, e rawEvent, detail string) {
	kind := hv.GuestGone
	if _, err := t.h.lookup(ctx, uuidText(e.dom.uuid)); err == nil {
		kind = hv.GuestDefined
	}
	t.tell(e, hv.Event{Kind: kind, Detail: detail})
}
