package libvirt

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
)

// host is one connection to a daemon: it implements hv.Host.
type host struct {
	*conn
	opt    Options
	uri    domain.HostURI
	tr     transport
	remote net.Addr

	driver     string // "QEMU" or "Test"
	name       hostName
	libVersion uint64

	envOnce sync.Mutex // guards env, which is asked for once per connection
	env     *environment

	subs    subscriptions
	screens keyedLocks // one console at a time sets a password
	edits   keyedLocks // one edit of a guest at a time
}

// greet asks what every connection needs to know, and proves that requests are answered.
func (h *host) greet(ctx context.Context, t *trial) error {
	err := h.do(ctx, "say what it is", func(l *golibvirt.Libvirt) (err error) {
		if h.driver, err = l.ConnectGetType(); err != nil {
			return err
		}
		h.libVersion, err = l.ConnectGetLibVersion()
		return err
	})
	if err != nil {
		return t.fail(stepFacts, domain.Unavailable, err, "Look into the daemon's log on the host.", "The daemon was opened but does not say what it is: %s", err.Error())
	}
	t.ok(stepDaemon, "libvirt %s answers, driver %s.", version(h.libVersion), h.driver)
	h.askName(ctx)
	if name := h.hostname(ctx); name != "" {
		t.ok(stepFacts, "The host calls itself %s.", name)
	} else {
		t.ok(stepFacts, "The host is still looking for its own name; put it into the host's /etc/hosts to make that quick.")
	}
	return nil
}

// hostName is the host's own name, asked for aside: a host whose name nothing resolves takes ten seconds to tell it.
type hostName struct {
	known chan struct{} // closed when the answer is there
	text  string        // readable then
}

// nameWait is how long anybody waits for a name that comes late.
const nameWait = 500 * time.Millisecond

// nameLimit bounds the question itself.
const nameLimit = 5 * time.Minute

// askName asks for the name in a goroutine that ends with its call, at the latest with the connection.
func (h *host) askName(ctx context.Context) {
	h.name.known = make(chan struct{})
	go func() {
		answer := make(chan string, 1)
		err := h.run(context.WithoutCancel(ctx), "say its name", nameLimit, tierQuick, func(l *golibvirt.Libvirt) error {
			name, err := l.ConnectGetHostname()
			if err == nil {
				answer <- name
			}
			return err
		})
		if err == nil {
			h.name.text = <-answer
		}
		close(h.name.known)
	}()
}

// hostname gives the name, or nothing while the host has not told it.
func (h *host) hostname(ctx context.Context) string {
	t := time.NewTimer(nameWait)
	defer t.Stop()
	select {
	case <-h.name.known:
		return h.name.text
	case <-t.C:
	case <-ctx.Done():
	}
	return ""
}

// version prints libvirt's and QEMU's numbers: major * 1,000,000 + minor * 1,000 + release.
func version(v uint64) string {
	return fmt.Sprintf("%d.%d.%d", v/1000000, v/1000%1000, v%1000)
}

func (h *host) Ping(ctx context.Context) error {
	return h.do(ctx, "answer a ping", func(l *golibvirt.Libvirt) error {
		_, err := l.ConnectGetLibVersion()
		return err
	})
}

func (h *host) Close() error {
	return h.w.Close()
}

// isTest reports the test driver, which lacks much and keeps its state in the daemon's memory.
func (h *host) isTest() bool { return h.driver == "Test" || h.driver == "TEST" }

// keyedLocks is one lock per key; keys are few (VMs with an open console or an edit) and stay.
type keyedLocks struct {
	mu sync.Mutex
	m  map[string]chan struct{}
}

// lock takes the lock of a key, or gives up with ctx.
func (k *keyedLocks) lock(ctx context.Context, key, doing string) (unlock func(), err error) {
	k.mu.Lock()
	if k.m == nil {
		k.m = map[string]chan struct{}{}
	}
	l := k.m[key]
	if l == nil {
		l = make(chan struct{}, 1)
		k.m[key] = l
	}
	k.mu.Unlock()
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, stopped(ctx, doing)
	}
}
