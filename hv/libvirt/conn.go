package libvirt

import (
	"context"
	"errors"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
)

// quick bounds a call whose caller set no deadline.
const quick = 20 * time.Second

// tier is how long a call may keep a slot. A daemon works on at most max_client_requests (5 by default) of one client at a time, so each tier leaves
// room for the shorter ones: a copy of hours never keeps guests from being started, and neither keeps a ping from being answered.
type tier int

const (
	tierQuick tier = iota // answers at once
	tierSlow              // seconds to minutes: start, stop, devices, making volumes
	tierHours             // copies of disks and memory
	tiers
)

var tierSlots = [tiers]int{5, 4, 2}

// conn is one RPC connection with deadlines. go-libvirt's calls know no context: each runs in a goroutine of its own, a timer closes the socket
// when the deadline passes, and closing the socket wakes every waiting call. So no call and no goroutine outlives its deadline.
type conn struct {
	l     *golibvirt.Libvirt
	w     *wire
	slots [tiers]chan struct{}
}

func newConn(w *wire) *conn {
	c := &conn{w: w}
	for i, n := range tierSlots {
		c.slots[i] = make(chan struct{}, n)
	}
	c.l = golibvirt.NewWithDialer(established{w})
	return c
}

// run makes one call. Its deadline is ctx's, or limit from now when ctx has none. When ctx is cancelled the caller returns
// at once and the call ends by itself within the same bound: a cancelled request must not cost everyone else the connection.
func (c *conn) run(ctx context.Context, doing string, limit time.Duration, kind tier, fn func(l *golibvirt.Libvirt) error) error {
	if err := ctx.Err(); err != nil {
		return stopped(ctx, doing)
	}
	start := time.Now()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = start.Add(limit)
	}
	release, err := c.acquire(ctx, doing, deadline, kind)
	if err != nil {
		return err
	}
	answer := make(chan error, 1)
	expire := time.AfterFunc(time.Until(deadline), func() { c.w.end(errSilent) })
	go func() {
		defer release()
		defer expire.Stop()
		answer <- fn(c.l)
	}()
	select {
	case err = <-answer:
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			c.w.end(errSilent) // the timer is due in this moment too; make the order certain
			return silent(doing, time.Since(start))
		}
		return stopped(ctx, doing)
	}
	switch cause := c.w.ended(); {
	case err == nil:
		return nil
	case number(err) != 0 || errors.Is(err, golibvirt.ErrUnsupported):
		return fromDaemon(doing, err)
	case errors.Is(cause, errSilent) && !time.Now().Before(deadline):
		return silent(doing, time.Since(start))
	case cause != nil:
		return broken(doing, cause)
	}
	return fromDaemon(doing, err)
}

// acquire takes a slot of the call's tier and of every shorter one.
func (c *conn) acquire(ctx context.Context, doing string, deadline time.Time, kind tier) (release func(), err error) {
	wait := time.NewTimer(time.Until(deadline))
	defer wait.Stop()
	low := kind + 1 // slots from low to kind are held
	release = func() {
		for i := low; i <= kind; i++ {
			<-c.slots[i]
		}
	}
	for low > tierQuick {
		select {
		case c.slots[low-1] <- struct{}{}:
			low--
			continue
		case <-c.w.done:
			err = broken(doing, c.w.ended())
		case <-ctx.Done():
			err = stopped(ctx, doing)
		case <-wait.C:
			err = stopped(ctx, doing)
		}
		release()
		return nil, err
	}
	return release, nil
}

// do is run for quick calls without a result.
func (c *conn) do(ctx context.Context, doing string, fn func(l *golibvirt.Libvirt) error) error {
	return c.run(ctx, doing, quick, tierQuick, fn)
}

// slow is run for operations that may take minutes.
func (c *conn) slow(ctx context.Context, doing string, limit time.Duration, fn func(l *golibvirt.Libvirt) error) error {
	return c.run(ctx, doing, limit, tierSlow, fn)
}

// hours is run for operations whose length nobody can say.
func (c *conn) hours(ctx context.Context, doing string, limit time.Duration, fn func(l *golibvirt.Libvirt) error) error {
	return c.run(ctx, doing, limit, tierHours, fn)
}

// get is do with a result. The result is handed over only when the call ended in time, so a late answer races with nobody.
func get[T any](ctx context.Context, c *conn, doing string, fn func(l *golibvirt.Libvirt) (T, error)) (T, error) {
	result := make(chan T, 1)
	err := c.do(ctx, doing, func(l *golibvirt.Libvirt) error {
		v, err := fn(l)
		if err == nil {
			result <- v
		}
		return err
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return <-result, nil
}
