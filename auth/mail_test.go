package auth

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"testing"
	"time"

	"novacron/auth/access"
	"novacron/domain"
)

// got is a mail as a server takes it.
type got struct{ from, to, text string }

// sink is a mail server that keeps what it is given.
func sink(t *testing.T) (address string, mails <-chan got) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out, ended := make(chan got, 10), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			takeMail(c, out)
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l.Addr().String(), out
}

func takeMail(c net.Conn, out chan<- got) {
	defer c.Close()
	say := func(line string) { fmt.Fprintf(c, "%s\r\n", line) }
	r := textproto.NewReader(bufio.NewReader(c))
	say("220 sink")
	var m got
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(strings.Fields(line + " .")[0]); verb {
		case "MAIL":
			m.from = line
			say("250 ok")
		case "RCPT":
			m.to = line
			say("250 ok")
		case "DATA":
			say("354 go on")
			lines, err := r.ReadDotLines()
			if err != nil {
				return
			}
			text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(strings.Join(lines, "\n"))))
			if err != nil {
				text = []byte(err.Error())
			}
			m.text = string(text)
			say("250 taken")
			out <- m
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// posting sends an Auth's mail to a sink.
func posting(t *testing.T, a *Auth) <-chan got {
	t.Helper()
	address, mails := sink(t)
	if err := a.UsePost(Post{Server: "smtp+plain://" + address, From: "NovaCron <nova@example.org>", Site: "https://nova.example.org/"}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.RunMail(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return mails
}

func next(t *testing.T, mails <-chan got) got {
	t.Helper()
	select {
	case m := <-mails:
		return m
	case <-time.After(time.Minute):
		t.Fatal("no mail came")
		return got{}
	}
}

var linkRE = regexp.MustCompile(`https://nova\.example\.org/invite/(\w+)`)

// Mail of other parts of the server is handed over before it is said to be, one for each address.
func TestMailToSeveral(t *testing.T) {
	a, _, _ := open(t)
	if err := a.Mail(t.Context(), []string{"ops@example.org"}, "x", "y"); !domain.Is(err, domain.Unavailable) {
		t.Errorf("without a mail server: %v", err)
	}
	mails := posting(t, a)
	if err := a.Mail(t.Context(), []string{"ops@example.org", "ann@example.org"}, "Firing: HostAway on b1", "The host b1 does not answer.\n"); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"ops@example.org", "ann@example.org"} {
		if m := next(t, mails); !strings.Contains(m.to, to) || !strings.Contains(m.text, "Subject: Firing: HostAway on b1") || !strings.Contains(m.text, "The host b1 does not answer.") {
			t.Errorf("%+v", m)
		}
	}
}

// A forgotten password is set anew with a link that was mailed: to the account's address only, once, for an hour, and a second factor is still asked for.
func TestAForgottenPasswordIsSetByMail(t *testing.T) {
	a, d, clock := open(t)
	pw := mustAdmin(t, a)
	if err := a.AskReset(t.Context(), FirstAdmin, "192.0.2.1"); !domain.Is(err, domain.NotFound) || a.Mails() {
		t.Errorf("without a mail server: %v", err)
	}
	mails := posting(t, a)
	server := Subject{Name: "test"}
	u, err := d.UserByName(t.Context(), FirstAdmin)
	if err != nil {
		t.Fatal(err)
	}
	address := "ada@example.org"
	if _, err := a.EditUser(t.Context(), server, u.ID, UserEdit{Email: &address}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.MakeUser(t.Context(), server, NewUser{Name: "mute"}); err != nil {
		t.Fatal(err)
	}
	gone, _, err := a.MakeUser(t.Context(), server, NewUser{Name: "gone", Email: "gone@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	off := true
	if _, err := a.EditUser(t.Context(), server, gone.ID, UserEdit{Disabled: &off}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nobody", "mute", "gone", "gone@example.org", " Ada@Example.org "} { // all are told the same; one is sent a mail
		if err := a.AskReset(t.Context(), name, "192.0.2.1"); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	m := next(t, mails)
	link := linkRE.FindStringSubmatch(m.text)
	if link == nil || !strings.Contains(m.to, "<ada@example.org>") || !strings.Contains(m.from, "<nova@example.org>") || !strings.Contains(m.text, "192.0.2.1") {
		t.Fatalf("%+v", m)
	}
	if _, err := a.SignIn(t.Context(), FirstAdmin, pw, "192.0.2.1"); err != nil {
		t.Errorf("the present password holds until the link is used: %v", err)
	}
	secret, _ := NewTOTP(u.Name)
	if _, err := a.AddTOTP(t.Context(), Subject{Name: u.Name, UserID: u.ID}, "", secret, codeAt(t, secret, clock.Now())); err != nil {
		t.Fatal(err)
	}
	if _, err := a.AcceptInvite(t.Context(), link[1], "an entirely new phrase"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.AcceptInvite(t.Context(), link[1], "another entirely new one"); !domain.Is(err, domain.NotFound) {
		t.Errorf("a link works twice: %v", err)
	}
	if _, err := a.SignIn(t.Context(), FirstAdmin, "an entirely new phrase", "192.0.2.1"); err != nil {
		t.Error(err)
	}
	if owes, err := a.NeedsFactor(t.Context(), u.ID); err != nil || !owes {
		t.Errorf("the second factor is gone: %v", err)
	}

	if err := a.AskReset(t.Context(), FirstAdmin, "192.0.2.2"); err != nil {
		t.Fatal(err)
	}
	late := linkRE.FindStringSubmatch(next(t, mails).text)[1]
	clock.add(resetFor + time.Minute)
	if _, err := a.Invited(t.Context(), late); !domain.Is(err, domain.NotFound) {
		t.Errorf("an old link: %v", err)
	}
	var waits bool
	for range 30 { // whoever asks again and again has to wait
		waits = waits || a.AskReset(t.Context(), "mute", "192.0.2.3") != nil
	}
	if !waits {
		t.Error("nothing slows somebody down who asks for mails")
	}
	if err := a.AskReset(t.Context(), " ", "192.0.2.4"); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
}

// Whoever says where an account's mail goes can open it: so only who could reset it may.
func TestWhereMailGoesIsForWhoMayReset(t *testing.T) {
	a, d, _ := open(t)
	mustAdmin(t, a)
	mails := posting(t, a)
	u, err := d.UserByName(t.Context(), FirstAdmin)
	if err != nil {
		t.Fatal(err)
	}
	helper := Subject{Name: "helper", UserID: "user_helper", Role: access.Viewer, Grants: &access.Grants{}}
	mine := "mine@example.org"
	if _, err := a.EditUser(t.Context(), helper, u.ID, UserEdit{Email: &mine}); !domain.Is(err, domain.Denied) {
		t.Errorf("somebody with less takes an administrator's mail: %v", err)
	}
	server := Subject{Name: "root"}
	if _, err := a.EditUser(t.Context(), server, u.ID, UserEdit{Email: &mine}); err != nil {
		t.Fatal(err)
	}
	secret, _, err := a.Invite(t.Context(), server, u.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if to, err := a.MailInvite(t.Context(), u.ID, secret, server); err != nil || to != mine {
		t.Errorf("%q %v", to, err)
	}
	if m := next(t, mails); !strings.Contains(m.text, secret) || !strings.Contains(m.text, "root gives you") {
		t.Errorf("%+v", m)
	}
}

func TestMailSettings(t *testing.T) {
	a, _, _ := open(t)
	good := Post{Server: "smtp://nova@mail.example.org", Password: "x", From: "nova@example.org", Site: "https://nova.example.org"}
	for _, change := range []func(*Post){
		func(p *Post) { p.Server = "mail.example.org:25" }, func(p *Post) { p.Server = "https://mail.example.org" }, func(p *Post) { p.Server = "smtp://mail.example.org:0" },
		func(p *Post) { p.Server = "smtp://nova:secret@mail.example.org" }, func(p *Post) { p.Server = "smtp+plain://nova@mail.example.org" },
		func(p *Post) { p.From = "" }, func(p *Post) { p.Site = "" }, func(p *Post) { p.Site = "ftp://x" }, func(p *Post) { p.Site = "https://x/deeper?in=it" },
	} {
		p := good
		change(&p)
		if err := a.UsePost(p); !domain.Is(err, domain.Invalid) || a.Mails() {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if err := a.UsePost(Post{}); err != nil || a.Mails() {
		t.Errorf("no mail: %v", err)
	}
	for _, server := range []string{good.Server, "smtps://mail.example.org"} {
		good.Server = server
		if err := a.UsePost(good); err != nil || !a.Mails() {
			t.Errorf("%s: %v", server, err)
		}
	}
}
