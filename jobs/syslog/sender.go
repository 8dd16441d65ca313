package syslog

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"novacron/db"
	"novacron/domain"
)

// Options shape a Sender; zero values are the usual ones.
type Options struct {
	Host  string        // how this machine calls itself
	Look  time.Duration // how often the log is looked at for new rows; 0: each second
	Retry time.Duration // the longest wait after a failure; 0: 1 min
}

// Sender sends the audit log.
type Sender struct {
	db      *db.DB
	targets []Target
	log     *slog.Logger
	clock   func() time.Time
	opt     Options
}

// New makes a Sender.
func New(d *db.DB, targets []Target, log *slog.Logger, clock func() time.Time, opt Options) *Sender {
	if opt.Look <= 0 {
		opt.Look = time.Second
	}
	if opt.Retry <= 0 {
		opt.Retry = time.Minute
	}
	return &Sender{db: d, targets: targets, log: log, clock: clock, opt: opt}
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range s.targets {
		l := &line{s: s, t: t}
		g.Go(func() error { return l.run(ctx) })
	}
	return g.Wait()
}

// line is one target.
type line struct {
	s    *Sender
	t    Target
	at   db.AuditTarget
	conn net.Conn
	gone *atomic.Bool // the other side has closed
}

// batch is how many rows are sent between two notes of how far it is.
const batch = 200

func (l *line) run(ctx context.Context) error {
	defer l.hangUp()
	if err := l.begin(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	wait := l.s.opt.Look
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		more, err := l.send(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			l.hangUp()
			wait = min(2*wait, l.s.opt.Retry)
			l.failed(ctx, err)
			tick.Reset(wait)
		case more:
			tick.Reset(0)
		default:
			wait = l.s.opt.Look
			tick.Reset(wait)
		}
	}
}

// begin finds how far the target got. One that is new is sent what there is from now on: the past can be exported.
func (l *line) begin(ctx context.Context) error {
	all, err := l.s.db.AuditTargets(ctx)
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.Target == l.t.Name {
			l.at = t
			return nil
		}
	}
	end, err := l.s.db.AuditEnd(ctx)
	if err != nil {
		return err
	}
	l.at = db.AuditTarget{Target: l.t.Name, Sent: end}
	return l.save(ctx)
}

func (l *line) save(ctx context.Context) error {
	return l.s.db.Write(ctx, func(tx *db.Tx) error { return tx.SaveAuditTarget(l.at) })
}

// failed notes why, once for each reason.
func (l *line) failed(ctx context.Context, err error) {
	if why := err.Error(); why != l.at.Error {
		l.at.Error, l.at.ErrorAt = why, l.s.clock()
		l.s.log.WarnContext(ctx, "the audit log could not be sent", "target", l.t.Name, "error", why)
		if err := l.save(ctx); err != nil && ctx.Err() == nil {
			l.s.log.ErrorContext(ctx, "how far the audit log was sent could not be written", "target", l.t.Name, "error", err)
		}
	}
}

// send sends what is new, up to one batch, and reports whether there may be more.
func (l *line) send(ctx context.Context) (more bool, err error) {
	rows, err := l.s.db.AuditFrom(ctx, l.at.Sent, batch)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	if l.conn == nil || l.gone.Load() {
		l.hangUp()
		if err := l.dial(ctx); err != nil {
			return false, err
		}
	}
	if err := l.conn.SetWriteDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return false, err
	}
	for _, r := range rows {
		if _, err := l.conn.Write(l.frame(r)); err != nil {
			return false, err
		}
		if l.t.Network != "udp" && l.gone.Load() {
			return false, domain.Errorf(domain.Unavailable, "The other side closed the connection.")
		}
	}
	l.at.Sent, l.at.SentAt, l.at.Error, l.at.ErrorAt = rows[len(rows)-1].Seq, l.s.clock(), "", time.Time{}
	return len(rows) == batch, l.save(ctx)
}

// frame writes a message as the transport wants it: alone in a datagram, or after its length in a stream.
func (l *line) frame(r domain.AuditRecord) []byte {
	if l.t.Network == "udp" {
		return Format(r, l.s.opt.Host, udpMost)
	}
	m := Format(r, l.s.opt.Host, 0)
	return append(append(strconv.AppendInt(nil, int64(len(m)), 10), ' '), m...)
}

func (l *line) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	network := l.t.Network
	if network == "tls" {
		network = "tcp"
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, l.t.Address)
	if err != nil {
		return err
	}
	gone := &atomic.Bool{}
	if l.t.TLS != nil {
		secure := tls.Client(conn, l.t.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return err
		}
		conn = secure
	}
	l.conn, l.gone = conn, gone
	if network == "udp" {
		return nil
	}
	// Receivers say nothing: what ends reading is the other side's going, which writing alone learns too late. It ends with the connection.
	go func() {
		_, _ = io.Copy(io.Discard, conn)
		gone.Store(true)
	}()
	return nil
}

func (l *line) hangUp() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}
