package server

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// Mail is a message as a mail server was given it.
type Mail struct {
	From, To string // of the envelope
	Subject  string
	Text     string
}

// MailServer takes mail over SMTP and keeps it.
type MailServer struct {
	Addr string // 127.0.0.1:port

	mu    sync.Mutex
	mails []Mail
	bad   []string
}

// TakeMail runs a mail server until the test ends.
func TakeMail(t testing.TB) *MailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &MailServer{Addr: l.Addr().String()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if err := m.serve(c); err != nil {
				m.mu.Lock()
				m.bad = append(m.bad, err.Error())
				m.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-ended
		for _, why := range m.bad {
			t.Errorf("the mail server could not read what it was sent: %s", why)
		}
	})
	return m
}

// Mails are all that came so far, the oldest first.
func (m *MailServer) Mails() []Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Mail(nil), m.mails...)
}

// Next waits for a mail beyond the first n.
func (m *MailServer) Next(t testing.TB, n int, most time.Duration) Mail {
	t.Helper()
	var all []Mail
	Wait(t, most, fmt.Sprintf("mail %d", n+1), func() error {
		if all = m.Mails(); len(all) <= n {
			return Not(n+1, len(all))
		}
		return nil
	})
	return all[n]
}

// serve speaks SMTP with one client, which may send several mails. That one goes away without QUIT is its own affair.
func (m *MailServer) serve(c net.Conn) error {
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	r := textproto.NewReader(bufio.NewReader(c))
	say := func(line string) { fmt.Fprintf(c, "%s\r\n", line) }
	say("220 sink ESMTP")
	var got Mail
	for {
		line, err := r.ReadLine()
		if err != nil {
			return nil
		}
		verb, rest, _ := strings.Cut(line, ":")
		switch strings.ToUpper(strings.TrimSpace(verb)) {
		case "MAIL FROM":
			got = Mail{From: address(rest)}
			say("250 ok")
		case "RCPT TO":
			got.To = address(rest)
			say("250 ok")
		case "DATA":
			say("354 go on")
			if err := got.read(r.DotReader()); err != nil {
				say("554 not a mail")
				return err
			}
			m.mu.Lock()
			m.mails = append(m.mails, got)
			m.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return nil
		default:
			say("250 ok")
		}
	}
}

// address is what stands in angle brackets.
func address(path string) string {
	_, path, _ = strings.Cut(path, "<")
	path, _, _ = strings.Cut(path, ">")
	return path
}

func (x *Mail) read(from io.Reader) error {
	msg, err := mail.ReadMessage(from)
	if err != nil {
		return err
	}
	if x.Subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		return err
	}
	body := msg.Body
	if strings.EqualFold(msg.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	x.Text = strings.ReplaceAll(string(text), "\r\n", "\n")
	return err
}
