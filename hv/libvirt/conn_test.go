package libvirt

import (
	"context"
	"net"
	"testing"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
)

// A copy of hours leaves room for starting guests, and both leave room for a ping.
func TestLongCallsLeaveRoomForShorterOnes(t *testing.T) {
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	c := newConn(newWire(client))
	block := make(chan struct{})
	entered := make(chan struct{}, 20)
	hold := func(*golibvirt.Libvirt) error { entered <- struct{}{}; <-block; return nil }
	results := make(chan error, 20)
	ctx := ctxFor(t, wait)
	for range 3 {
		go func() { results <- c.hours(ctx, "copy", time.Hour, hold) }()
	}
	<-entered
	<-entered
	for range 4 {
		go func() { results <- c.slow(ctx, "start", time.Hour, hold) }()
	}
	<-entered
	<-entered // two copies and two starts hold four slots; the others wait
	if err := c.do(ctx, "ping", func(*golibvirt.Libvirt) error { return nil }); err != nil {
		t.Errorf("ping behind long calls: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.slow(short, "start", time.Hour, hold); !domain.Is(err, domain.Unavailable) || c.w.ended() != nil {
		t.Errorf("a call that never got a slot: %v, connection %v", err, c.w.ended())
	}
	close(block)
	for range 7 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	for i, s := range c.slots {
		if len(s) != 0 {
			t.Errorf("tier %d keeps %d slots", i, len(s))
		}
	}
}

// A cancelled caller returns at once and the connection stays; one that ran out of time takes the connection with it.
func TestCancelAndDeadline(t *testing.T) {
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	c := newConn(newWire(client))
	block := make(chan struct{})
	defer close(block)
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- c.do(ctx, "wait", func(*golibvirt.Libvirt) error { close(started); <-block; return nil })
	}()
	<-started
	cancel()
	if err := <-done; !domain.Is(err, domain.Unavailable) || c.w.ended() != nil {
		t.Errorf("cancelled: %v, connection %v", err, c.w.ended())
	}
	if err := c.do(ctx, "wait", func(*golibvirt.Libvirt) error { return nil }); !domain.Is(err, domain.Unavailable) {
		t.Errorf("cancelled before: %v", err)
	}
	err := c.run(t.Context(), "wait", 10*time.Millisecond, tierQuick, func(*golibvirt.Libvirt) error { <-c.w.done; return golibvirt.ErrInterrupted })
	if !domain.Is(err, domain.Unavailable) || c.w.ended() == nil {
		t.Errorf("out of time: %v, connection %v", err, c.w.ended())
	}
	if err := c.do(t.Context(), "wait", func(*golibvirt.Libvirt) error { return golibvirt.ErrInterrupted }); !domain.Is(err, domain.Unavailable) {
		t.Errorf("after the end: %v", err)
	}
}
