// Package auth knows who somebody is: passwords, browser sessions and API tokens.
//
// It is for proving identity and for nothing else: what a role may do is the pure table in auth/access, how a request carries a cookie or a
// bearer token is the business of package handlers, and rows are kept by package db. Passwords are kept as argon2id hashes, API tokens
// and session tokens as SHA-256 hashes; none can be read back.
//
// Costs are bounded on purpose. A password check takes 19 MiB for some tens of milliseconds, so only a few run at once and a short
// queue waits; further ones are told to come back. Attempts are counted before they are checked, per account and per address, with
// growing delay; an unknown name costs the same time and gets the same words as a wrong password.
//
// Providers are spoken to with go-oidc and x/oauth2, not with goth (looked at in v1.81.0): goth's openidConnect decodes ID tokens without checking their
// signature and sends no nonce, and no provider of it, GitHub's neither, sends a PKCE challenge; its Session has no room for either. See oidc.go, github.go.
package auth

import (
	"context"
	"log/slog"
	"time"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/domain/compliance"
)

// Options tune what has sensible defaults; the zero value is right for production over plain HTTP.
type Options struct {
	Secure       bool              // the site is served over TLS: cookies carry the Secure attribute
	IdleTimeout  time.Duration     // a session unused for so long ends; 0: 12 hours
	Lifetime     time.Duration     // a session ends after so long at the latest; 0: 7 days
	Server       compliance.Server // how the server was started, to be judged
	FetchLocal   bool              // identity providers may be at addresses of this machine and its links
	CheapHashing bool              // the least costly argon2id, for tests that sign in often
}

// Auth is the one object of this package; it is safe for use by many goroutines.
type Auth struct {
	db       *db.DB
	log      *slog.Logger
	clock    func() time.Time
	hasher   *hasher
	accounts *limiter
	addrs    *limiter
	familiar familiar
	sessions *sessions
	touched  *touches
	secure   bool
	rights   rights
	newest   *touches // when sessions were last seen
	strict   strictness
	shown    proofs
	spent    spent
	issuers  issuers
	local    bool
	server   compliance.Server
	mail     mailer

	devices     terminals
	deviceAsks  *limiter // by address
	deviceTries *limiter // by who types codes
}

// New makes an Auth on a database.
func New(d *db.DB, log *slog.Logger, clock func() time.Time, opt Options) *Auth {
	if opt.IdleTimeout == 0 {
		opt.IdleTimeout = 12 * time.Hour
	}
	if opt.Lifetime == 0 {
		opt.Lifetime = 7 * 24 * time.Hour
	}
	return &Auth{
		db: d, log: log, clock: clock,
		hasher:   newHasher(opt.CheapHashing),
		accounts: newLimiter(clock, 5, time.Minute),
		addrs:    newLimiter(clock, 20, 15*time.Minute),

		deviceAsks:  newLimiter(clock, 20, 5*time.Minute),
		deviceTries: newLimiter(clock, 10, 5*time.Minute),

		sessions: newSessions(d.Sessions(), clock, opt),
		touched:  newTouches(),
		newest:   newTouches(),
		secure:   opt.Secure,
		local:    opt.FetchLocal,
		server:   opt.Server,
	}
}

// Secure reports whether cookies are for HTTPS only.
func (a *Auth) Secure() bool { return a.secure }

// Subject is who asks: a person with a session or a program with a token. The zero Subject is nobody.
type Subject struct {
	Name       string
	Role       string // of a built-in role at the estate, when there are no Grants
	UserID     string // set for a person, and for a person's own token
	TokenID    string // set for a program
	MustChange bool   // signed in with a one-time password: may do nothing but change it
	Enroll     bool   // has to set up a second factor before anything else
	Prefs      domain.Prefs
	Grants     *access.Grants
	Session    string // id of the session, for a person
	Proof      string // how it was proven who this is
}

// Known reports whether somebody is signed in.
func (s Subject) Known() bool { return s.UserID != "" || s.TokenID != "" }

// Can reports whether the subject holds the permission at all: at the estate, or for a part of it.
func (s Subject) Can(p access.Permission) bool {
	switch {
	case p == access.Public:
		return true
	case !s.Known():
		return false
	case p == access.AccountSelf && s.UserID != "":
		return true
	case s.Grants != nil:
		return s.Grants.Somewhere(p)
	}
	return access.Allowed(s.Role, p)
}

// Everywhere reports whether the subject holds the permission for the whole estate.
func (s Subject) Everywhere(p access.Permission) bool {
	if s.Grants == nil || p == access.AccountSelf {
		return s.Can(p)
	}
	return s.Known() && s.Grants.Everywhere(p)
}

// On reports whether the subject holds the permission for one object.
func (s Subject) On(p access.Permission, o access.Object) bool {
	if s.Grants == nil {
		return s.Can(p)
	}
	return s.Known() && s.Grants.On(p, o)
}

// Sight is which VMs the subject sees; nil for everything.
func (s Subject) Sight() *domain.Sight {
	if s.Grants == nil {
		return nil
	}
	return s.Grants.Sight()
}

// Look is alike for all who may do the same: what they are shown can be drawn once.
func (s Subject) Look() string {
	if s.Grants == nil {
		return s.Role
	}
	return s.Grants.Key()
}

// With puts everything that reading and acting must know of the subject into a context.
func (s Subject) With(ctx context.Context) context.Context {
	ctx = WithSubject(ctx, s)
	if s.Grants == nil {
		return ctx
	}
	return access.With(domain.WithSight(ctx, s.Sight()), s.Grants)
}

// Require is Can as an error: Unauthenticated when nobody is signed in, Denied when the role does not allow it.
func (s Subject) Require(p access.Permission) error {
	switch {
	case s.Can(p):
		return nil
	case !s.Known():
		return domain.Errorf(domain.Unauthenticated, "You are not signed in.").WithFix("Sign in, or send a bearer token.")
	default:
		return domain.Errorf(domain.Denied, "Your roles do not allow this (it needs %s).", p).WithFix("Ask an administrator to do it or to give you a role that may.")
	}
}

// Lacks is the refusal of somebody who does not have the permission.
func (s Subject) Lacks(p access.Permission) error {
	return domain.Errorf(domain.Denied, "Your roles do not allow this (it needs %s).", p).WithFix("Ask an administrator to do it or to give you a role that may.")
}

// Actor is the name that jobs and events carry.
func (s Subject) Actor() string {
	if s.TokenID != "" {
		return "token " + s.Name
	}
	return s.Name
}

type subjectKey struct{}

// WithSubject puts the subject into a request's context.
func WithSubject(ctx context.Context, s Subject) context.Context {
	return context.WithValue(ctx, subjectKey{}, s)
}

// SubjectOf takes it out again; nobody when there is none.
func SubjectOf(ctx context.Context) Subject {
	s, _ := ctx.Value(subjectKey{}).(Subject)
	return s
}
