package libvirt

import (
	"context"
	"errors"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
)

const (
	// quick bounds a call whose caller set no deadline.
	quick = 20 * time.Second
	// A daemon reads at most max_client_requests (5 by default) of one client at a time. Long operations may take all but two of
	// them, so that a ping is never stuck behind a copy.
	maxCalls = 5
	maxLong  = 3
)

// conn is one RPC connection with deadlines. go-libvirt's calls know no context: each runs in a goroutine of its own, a timer closes the socket
// when the deadline passes, and closing the socket wakes every waiting call. So no call and no goroutine outlives its deadline.
type conn struct {
	l     *golibvirt.Libvirt
	w     *wire
	slots chan struct{}
	long  chan struct{}
}

func newConn(w *wire) *conn {
	c := &conn{w: w, slots: make(chan struct{}, maxCalls), long: make(chan struct{}, maxLong)}
	c.l = golibvirt.NewWithDialer(established{w})
	return c
}

// run makes one call. Its deadline is ctx's, or limit from now when ctx has none. When ctx is cancelled the caller returns
// at once and the call ends by itself within the same bound: a cancelled request must not cost everyone else the connection.
func (c *conn) run(ctx context.Context, doing string, limit time.Duration, long bool, fn func(l *golibvirt.Libvirt) error) error {
	if err := ctx.Err(); err != nil {
		return stopped(ctx, doing)
	}
	start := time.Now()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = start.Add(limit)
	}
	release, err := c.acquire(ctx, doing, deadline, long)
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

// acquire takes a slot, and one for long operations if it is one.
func (c *conn) acquire(ctx context.Context, doing string, deadline time.Time, long bool) (release func(), err error) {
	wait := time.NewTimer(time.Until(deadline))
	defer wait.Stop()
	take := func(slots chan struct{}) error {
		select {
		case slots <- struct{}{}:
			return nil
		case <-c.w.done:
			return broken(doing, c.w.ended())
		case <-ctx.Done():
			return stopped(ctx, doing)
		case <-wait.C:
			return stopped(ctx, doing)
		}
	}
	if long {
		if err := take(c.long); err != nil {
			return nil, err
		}
	}
	if err := take(c.slots); err != nil {
		if long {
			<-c.long
		}
		return nil, err
	}
	return func() {
		<-c.slots
		if long {
			<-c.long
		}
	}, nil
}

// do is run for quick calls without a result.
func (c *conn) do(ctx context.Context, doing string, fn func(l *golibvirt.Libvirt) error) error {
	return c.run(ctx, doing, quick, false, fn)
}

// slow is run for operations that may take minutes.
func (c *conn) slow(ctx context.Context, doing string, limit time.Duration, fn func(l *golibvirt.Libvirt) error) error {
	return c.run(ctx, doing, limit, true, fn)
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
