package libvirt

import (
	"context"
	"fmt"
	"net"
	"sync"

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
	hostname   string
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
		if h.libVersion, err = l.ConnectGetLibVersion(); err != nil {
			return err
		}
		h.hostname, err = l.ConnectGetHostname()
		return err
	})
	if err != nil {
		return t.fail(stepFacts, domain.Unavailable, err, "Look into the daemon's log on the host.", "The daemon was opened but does not say what it is: %s", err.Error())
	}
	t.ok(stepDaemon, "libvirt %s answers, driver %s.", version(h.libVersion), h.driver)
	t.ok(stepFacts, "The host calls itself %s.", h.hostname)
	return nil
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
