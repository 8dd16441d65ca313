package auth

import (
	"context"
	netmail "net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"novacron/db"
	"novacron/domain"
)

const (
	resetFor    = time.Hour
	mailFor     = 30 * time.Second // what one mail may take to be handed over
	mailsMost   = 100              // that wait to be sent
	resetAskers = 5                // accounts with one mail address that are sent a link
)

// Post is how the server sends mail, and which address its links begin with.
type Post struct {
	Server   string // smtp://name@host:587 with STARTTLS, smtps://name@host:465, or smtp+plain://localhost:25 without TLS
	Password string
	From     string
	Site     string // https://novacron.example.org: never taken from a request, whose sender chooses its Host
}

// mailer sends mail; the zero mailer has nowhere to send it to.
type mailer struct {
	host  string
	from  string
	site  string
	opts  []mail.Option
	queue chan letter
}

// letter is something to be sent: a reset that somebody asked for, or a link that somebody made.
type letter struct {
	asked   string // name or mail address as typed; nobody has looked yet whether there is such an account
	addr    string
	to      string
	subject string
	text    string
}

// UsePost sets how mail is sent; without a server none is.
func (a *Auth) UsePost(p Post) error {
	if p.Server == "" {
		return nil
	}
	bad := func(what, fix string, args ...any) error {
		return domain.Errorf(domain.Invalid, "%s", what).WithFix(fix, args...)
	}
	u, err := url.Parse(p.Server)
	if err != nil || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" {
		return bad("“"+p.Server+"” in smtp is not a mail server.", "Write for example smtp://novacron@mail.example.org:587, smtps://mail.example.org or smtp+plain://localhost:25.")
	}
	if _, set := u.User.Password(); set {
		return bad("The mail server's password stands in its address, where others see it.", "Set it in the environment as NOVACRON_SMTP_PASSWORD.")
	}
	port := 587
	opts := []mail.Option{mail.WithTimeout(mailFor)}
	switch u.Scheme {
	case "smtp":
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	case "smtps":
		port = 465
		opts = append(opts, mail.WithSSL())
	case "smtp+plain":
		port = 25
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return bad("“"+u.Scheme+"” in smtp is not a way to send mail.", "Use smtp (STARTTLS), smtps or smtp+plain (no TLS).")
	}
	if text := u.Port(); text != "" {
		if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
			return bad("“"+text+"” in smtp is not a port.", "Use a number from 1 to 65535.")
		}
	}
	opts = append(opts, mail.WithPort(port))
	if name := u.User.Username(); name != "" {
		if u.Scheme == "smtp+plain" {
			return bad("The mail server would be sent a password without TLS.", "Use smtp or smtps, or leave the name out.")
		}
		opts = append(opts, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(name), mail.WithPassword(p.Password))
	}
	if _, err := netmail.ParseAddress(p.From); err != nil {
		return bad("“"+p.From+"” in mail-from is not a mail address.", "Write for example “NovaCron <novacron@example.org>”.")
	}
	site, err := url.Parse(p.Site)
	if err != nil || site.Host == "" || site.Scheme != "https" && site.Scheme != "http" || strings.Trim(site.Path, "/") != "" || site.RawQuery != "" {
		return bad("Mail has links in it, and “"+p.Site+"” in url is not the address of this site.", "Set url to what people type, such as https://novacron.example.org.")
	}
	if _, err := mail.NewClient(u.Hostname(), opts...); err != nil {
		return bad("The mail server cannot be used: "+err.Error(), "Check smtp.")
	}
	a.mail = mailer{host: u.Hostname(), from: p.From, site: site.Scheme + "://" + site.Host, opts: opts, queue: make(chan letter, mailsMost)}
	return nil
}

// Mails reports whether the server can send mail.
func (a *Auth) Mails() bool { return a.mail.queue != nil }

// RunMail sends what is to be sent until ctx ends.
func (a *Auth) RunMail(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l := <-a.mail.queue:
			if err := a.post(ctx, l); err != nil && ctx.Err() == nil {
				a.log.ErrorContext(ctx, "a mail could not be sent", "error", err)
			}
		}
	}
}

func (a *Auth) post(ctx context.Context, l letter) error {
	if l.asked == "" {
		return a.send(ctx, l)
	}
	strict, err := a.SignInPolicy(ctx)
	if err != nil || strict.LocalOff {
		return err
	}
	all, err := a.db.Users(ctx)
	if err != nil {
		return err
	}
	sent := 0
	for _, u := range all {
		if u.Email == "" || u.Disabled || u.PasswordHash == "" || !strings.EqualFold(u.Name, l.asked) && !strings.EqualFold(u.Email, l.asked) {
			continue
		}
		if sent++; sent > resetAskers {
			break
		}
		if err := a.mailReset(ctx, u, l.addr); err != nil {
			return err
		}
	}
	return nil
}

// AskReset takes the name or mail address of somebody who has forgotten the password. Who asks is told the same, as quickly, whether there is such an
// account or not: it is looked for afterwards.
func (a *Auth) AskReset(ctx context.Context, asked, addr string) error {
	if !a.Mails() {
		return domain.Errorf(domain.NotFound, "This server sends no mail.").WithFix("Ask an administrator for a new password.")
	}
	asked = strings.TrimSpace(asked)
	if asked == "" || len(asked) > 200 {
		return domain.InvalidField("name", "Whose password it is, is missing.", "the name that you sign in with, or your mail address")
	}
	if wait := max(a.accounts.take("reset "+accountKey(asked)), a.addrs.take(addrKey(addr))); wait > 0 {
		a.log.WarnContext(ctx, "a reset by mail was refused: too many attempts", "account", accountKey(asked), "addr", addr, "wait", wait)
		return limited(wait)
	}
	return a.enqueue(letter{asked: asked, addr: addr})
}

func (a *Auth) enqueue(l letter) error {
	select {
	case a.mail.queue <- l:
		return nil
	default:
		return domain.Errorf(domain.Unavailable, "Too many mails wait to be sent.").WithFix("Try again in a few minutes.")
	}
}

// mailReset sends a link that sets a new password. The present one holds until the link is used, and a second factor is asked for as ever.
func (a *Auth) mailReset(ctx context.Context, u domain.User, addr string) error {
	secret, now := newInviteSecret(), a.clock().UTC()
	err := a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.InsertInvite(domain.Invite{ID: domain.NewID("inv", now), UserID: u.ID, Hash: tokenHash(secret), CreatedBy: "reset by mail", CreatedAt: now, ExpiresAt: now.Add(resetFor)}); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "user.reset_asked", Resource: userRef(u), Actor: u.Name, Message: "A link to set a new password of " + u.Name + " was asked for from " + addr + ", and is sent by mail."})
	})
	if err != nil {
		return err
	}
	return a.send(ctx, letter{to: u.Email, subject: "A new password for NovaCron", text: "Somebody, from the address " + addr + ", has asked for a new password of the account " + u.Name +
		" at\n" + a.mail.site + "\n\nIf that was you, choose it here within an hour:\n\n" + a.mail.site + "/invite/" + secret +
		"\n\nIf it was not, nothing needs to be done: your password stays as it is.\n"})
}

// MailInvite sends somebody the link of an invitation that was just made; where it goes to is said, or "" when no mail can be sent.
func (a *Auth) MailInvite(ctx context.Context, id, secret string, by Subject) (to string, err error) {
	u, err := a.db.User(ctx, id)
	if err != nil || !a.Mails() || u.Email == "" {
		return "", err
	}
	return u.Email, a.enqueue(letter{to: u.Email, subject: "Your account at NovaCron", text: by.Name + " gives you the account " + u.Name + " at\n" + a.mail.site +
		"\n\nChoose its password here, within three days:\n\n" + a.mail.site + "/invite/" + secret + "\n\nThe link works once.\n"})
}

// Mail sends a mail to several people, and waits until the mail server has taken it.
func (a *Auth) Mail(ctx context.Context, to []string, subject, text string) error {
	if !a.Mails() {
		return domain.Errorf(domain.Unavailable, "This server sends no mail.").WithFix("Start it with --smtp, --mail-from and --url.")
	}
	for _, one := range to {
		if err := a.send(ctx, letter{to: one, subject: subject, text: text}); err != nil {
			return err
		}
	}
	return nil
}

func (a *Auth) send(ctx context.Context, l letter) error {
	away := func(err error) error {
		return domain.Errorf(domain.Unavailable, "The mail server did not take a mail: %w", err).WithFix("Check the settings smtp and mail-from.")
	}
	c, err := mail.NewClient(a.mail.host, a.mail.opts...)
	if err != nil {
		return away(err)
	}
	m := mail.NewMsg()
	if err := m.From(a.mail.from); err != nil {
		return away(err)
	}
	if err := m.To(l.to); err != nil {
		return away(err)
	}
	m.Subject(l.subject)
	m.SetDateWithValue(a.clock())
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetBodyString(mail.TypeTextPlain, l.text)
	ctx, cancel := context.WithTimeout(ctx, mailFor)
	defer cancel()
	if err := c.DialAndSendWithContext(ctx, m); err != nil {
		return away(err)
	}
	return nil
}
