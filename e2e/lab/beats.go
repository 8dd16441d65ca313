package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Beats are the moments at which a guest's heartbeat (labbeat on its command line) was heard on any host of the lab.
type Beats struct {
	mu    sync.Mutex
	at    []time.Time
	fds   []int
	ended sync.WaitGroup
}

// Hear listens for a guest's heartbeat on every host, whatever bridge it is on, until Close.
func (l *Lab) Hear(guest string) (*Beats, error) {
	addr, err := netip.ParseAddr(guest)
	if err != nil {
		return nil, err
	}
	b := &Beats{}
	for _, h := range l.Hosts {
		fd, err := packets(h.Namespace())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lab: listen on %s: %w", h.Name, err), b.Close())
		}
		b.fds = append(b.fds, fd)
		b.ended.Go(func() { b.hear(fd, addr.As4()) })
	}
	return b, nil
}

// packets is a socket that sees every packet of a network namespace.
func packets(namespace string) (fd int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread, which is in another namespace then, ends with the goroutine
		var ns *os.File
		if ns, err = os.Open(namespace); err != nil {
			return
		}
		defer ns.Close()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return
		}
		const all = unix.ETH_P_ALL << 8 // in network order
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all); err != nil {
			return
		}
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000})
	}()
	<-done
	return fd, err
}

func (b *Beats) hear(fd int, from [4]byte) {
	buf := make([]byte, 128)
	for {
		n, sender, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			b.mu.Lock()
			open := slices.Contains(b.fds, fd)
			b.mu.Unlock()
			if open {
				continue
			}
			_ = unix.Close(fd) // nobody else has it
			return
		}
		if err != nil {
			return
		}
		ll, ok := sender.(*unix.SockaddrLinklayer)
		if !ok || ll.Protocol != unix.ETH_P_IP>>8 || n < 28 || buf[0]>>4 != 4 {
			continue
		}
		head := int(buf[0]&15) * 4
		if buf[9] != unix.IPPROTO_ICMP || [4]byte(buf[12:16]) != from || n <= head || buf[head] != 8 {
			continue
		}
		b.mu.Lock()
		b.at = append(b.at, time.Now())
		b.mu.Unlock()
	}
}

// Gap is the longest silence between two moments.
func (b *Beats) Gap(from, to time.Time) (longest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := from
	slices.SortFunc(b.at, time.Time.Compare)
	for _, t := range b.at {
		if t.Before(from) || t.After(to) {
			continue
		}
		longest, last = max(longest, t.Sub(last)), t
	}
	return max(longest, to.Sub(last))
}

// Heard is how often the heart beat between two moments, as the lab's hosts saw it: a packet may be seen on more than one card.
func (b *Beats) Heard(from, to time.Time) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.at {
		if !t.Before(from) && !t.After(to) {
			n++
		}
	}
	return n
}

// Close stops listening.
func (b *Beats) Close() error {
	b.mu.Lock()
	b.fds = nil
	b.mu.Unlock()
	b.ended.Wait()
	return nil
}

// Shape makes each host's link carry so many bytes a second at most, as a slower wire would; 0 takes that away.
func (l *Lab) Shape(ctx context.Context, bytes int64) error {
	for _, h := range l.Hosts {
		args := []string{"tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", strconv.FormatInt(bytes*8, 10), "burst", "256kb", "latency", "50ms"}
		if bytes == 0 {
			args = []string{"tc", "qdisc", "del", "dev", "eth0", "root"}
		}
		if _, err := h.Exec(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
