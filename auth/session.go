package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// SessionCookie is the name of the session's cookie; under TLS browsers hold it to this host, to TLS and to the whole site by its prefix.
const SessionCookie = "novacron_session"

// CookieName is the name that the session's cookie has here.
func (a *Auth) CookieName() string { return a.sessions.m.Cookie.Name }

const (
	keyUser   = "user"   // user id
	keyPrint  = "print"  // fingerprint of the password hash: a changed password ends every other session
	keySignIn = "signin" // id of the row that lists the session: without it the session has ended
	keyProof  = "proof"  // how the person was proven
	keyMFA    = "mfa"    // when a second factor was shown, in unix milliseconds
	keySure   = "sure"   // when the person was proven last, for what asks again
	keyRights = "rights" // what the person had been given when the session got its token
	keyHalf   = "half"   // user id of somebody who gave the password and still owes the second factor
)

const signInSeenEvery = time.Minute

// sessions joins scs with a store that does not write for every page.
type sessions struct {
	m     *scs.SessionManager
	store *sessionCache
}

func newSessions(store scs.CtxStore, clock func() time.Time, opt Options) *sessions {
	cache := newSessionCache(store, clock)
	name := SessionCookie
	if opt.Secure {
		name = "__Host-" + name
	}
	// Not scs.New: that starts a goroutine for its default store which nothing can end.
	m := &scs.SessionManager{
		Store: cache, Codec: jsonCodec{}, HashTokenInStore: true, IdleTimeout: opt.IdleTimeout, Lifetime: opt.Lifetime,
		Cookie: scs.SessionCookie{Name: name, Path: "/", HttpOnly: true, Secure: opt.Secure, SameSite: http.SameSiteLaxMode, Persist: true},
	}
	return &sessions{m: m, store: cache}
}

// LoadSession reads the session that the request's cookie names into its context; CommitSession must follow before the answer's header goes out.
func (a *Auth) LoadSession(r *http.Request) (context.Context, error) {
	token := ""
	if c, err := r.Cookie(a.CookieName()); err == nil {
		token = c.Value
	}
	ctx, err := a.sessions.m.Load(r.Context(), token)
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "The session could not be read: %w", err)
	}
	return ctx, nil
}

// CommitSession stores what changed in the session and adds the cookie to the answer.
func (a *Auth) CommitSession(ctx context.Context, w http.ResponseWriter) error {
	m := a.sessions.m
	h := w.Header()
	if earlier := h.Values("Set-Cookie"); len(earlier) > 0 { // a session that is committed twice in one answer has one cookie
		h["Set-Cookie"] = slices.DeleteFunc(earlier, func(c string) bool { return strings.HasPrefix(c, a.CookieName()+"=") })
	}
	switch m.Status(ctx) {
	case scs.Modified:
		token, expiry, err := m.Commit(ctx)
		if err != nil {
			return domain.Errorf(domain.Internal, "The session could not be kept: %w", err)
		}
		m.WriteSessionCookie(ctx, w, token, expiry)
	case scs.Destroyed:
		m.WriteSessionCookie(ctx, w, "", time.Time{})
	}
	return nil
}

// First proofs of who somebody is.
const (
	ProofPassword = "password"
	ProofPasskey  = "passkey"
)

// BeginSession signs the person in with the password alone.
func (a *Auth) BeginSession(ctx context.Context, u domain.User) error {
	if proof := a.sessions.m.GetString(ctx, keyProof); proof != "" && a.sessions.m.GetString(ctx, keyUser) == u.ID {
		return a.beginSession(ctx, u, proof, false) // a new password in a session that has shown more
	}
	return a.beginSession(ctx, u, ProofPassword, false)
}

// BeginProven signs the person in with another first proof; second when that was as good as two.
func (a *Auth) BeginProven(ctx context.Context, u domain.User, proof string, second bool) error {
	return a.beginSession(ctx, u, proof, second)
}

// beginSession signs the person in: the session gets a new token, so that one planted before is worth nothing, and a row in the list of devices.
func (a *Auth) beginSession(ctx context.Context, u domain.User, proof string, second bool) error {
	m, now := a.sessions.m, a.clock().UTC()
	if err := m.RenewToken(ctx); err != nil {
		return domain.Errorf(domain.Internal, "The session could not be renewed: %w", err)
	}
	old := m.GetString(ctx, keySignIn)
	in := domain.SignIn{ID: domain.NewID("sess", now), UserID: u.ID, Proof: proof, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(m.Lifetime)}
	if c := domain.CauseOf(ctx); c != nil {
		in.Address, in.Browser = c.Address, c.Browser
	}
	err := a.db.Write(ctx, func(tx *db.Tx) error {
		if old != "" {
			if err := tx.DeleteSignIn(old); err != nil {
				return err
			}
		}
		return tx.InsertSignIn(in)
	})
	if err != nil {
		return err
	}
	m.Remove(ctx, keyHalf)
	if m.GetString(ctx, keyUser) != u.ID { // what somebody else has shown in this browser is not this person's
		m.Remove(ctx, keyMFA)
	}
	p, err := a.Policy(ctx)
	if err != nil {
		return err
	}
	m.Put(ctx, keyUser, u.ID)
	m.Put(ctx, keyRights, p.Print(access.Who{Kind: "user", ID: u.ID}))
	m.Put(ctx, keyPrint, fingerprint(u))
	m.Put(ctx, keySignIn, in.ID)
	m.Put(ctx, keyProof, proof)
	m.Put(ctx, keySure, stamp(now))
	if second {
		m.Put(ctx, keyMFA, stamp(now))
	}
	return nil
}

// Rotate gives the loaded session a new token when its person has been given or denied something since it got the one it has: the old one is worth
// nothing from then on. It is for pages that are opened: what runs beside them goes on with the cookie that comes with the answer.
func (a *Auth) Rotate(ctx context.Context, s Subject) error {
	if s.UserID == "" {
		return nil
	}
	p, err := a.Policy(ctx)
	if err != nil {
		return err
	}
	m, now := a.sessions.m, p.Print(access.Who{Kind: "user", ID: s.UserID})
	switch m.GetString(ctx, keyRights) {
	case now:
		return nil
	case "": // of a session from before this was kept
	default:
		if err := m.RenewToken(ctx); err != nil {
			return domain.Errorf(domain.Internal, "The session could not be renewed: %w", err)
		}
	}
	m.Put(ctx, keyRights, now)
	return nil
}

func stamp(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

func unix(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// stamped reads a time out of the session; 0 when there is none.
func (a *Auth) stamped(ctx context.Context, key string) int64 {
	n, err := strconv.ParseInt(a.sessions.m.GetString(ctx, key), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// EndSession signs out.
func (a *Auth) EndSession(ctx context.Context) error {
	if a.sessions.m.Token(ctx) == "" {
		return nil
	}
	if id := a.sessions.m.GetString(ctx, keySignIn); id != "" {
		if err := a.db.Write(ctx, func(tx *db.Tx) error { return tx.DeleteSignIn(id) }); err != nil {
			return err
		}
	}
	if err := a.sessions.m.Destroy(ctx); err != nil {
		return domain.Errorf(domain.Internal, "The session could not be ended: %w", err)
	}
	return nil
}

// SessionSubject finds who the loaded session stands for; nobody when there is none or its person or password is no longer the same.
func (a *Auth) SessionSubject(ctx context.Context) (Subject, error) {
	return a.sessionSubject(ctx, true)
}

// SessionGlance is SessionSubject for what a page asks by itself.
func (a *Auth) SessionGlance(ctx context.Context) (Subject, error) {
	return a.sessionSubject(ctx, false)
}

// sessionSubject: what a page does by itself (its stream, its sparklines) is no use of the session, so that one that is left alone ends.
func (a *Auth) sessionSubject(ctx context.Context, used bool) (Subject, error) {
	id := a.sessions.m.GetString(ctx, keyUser)
	if id == "" {
		return Subject{}, nil
	}
	u, err := a.db.User(ctx, id)
	if domain.Is(err, domain.NotFound) {
		return Subject{}, nil
	}
	if err != nil {
		return Subject{}, err
	}
	if a.sessions.m.GetString(ctx, keyPrint) != fingerprint(u) || u.Disabled {
		return Subject{}, nil
	}
	session := a.sessions.m.GetString(ctx, keySignIn)
	in, err := a.db.SignIn(ctx, session)
	if domain.Is(err, domain.NotFound) {
		return Subject{}, nil // revoked
	}
	if err != nil {
		return Subject{}, err
	}
	strict, err := a.SignInPolicy(ctx)
	if err != nil {
		return Subject{}, err
	}
	now := a.clock().UTC()
	if now.Sub(in.SeenAt) > time.Duration(strict.IdleMinutes)*time.Minute+signInSeenEvery || now.Sub(in.CreatedAt) > time.Duration(strict.LifetimeHours)*time.Hour {
		return Subject{}, nil
	}
	if used && now.Sub(in.SeenAt) >= signInSeenEvery && a.newest.due(in.ID, now) {
		address := in.Address
		if c := domain.CauseOf(ctx); c != nil && c.Address != "" {
			address = c.Address
		}
		if err := a.db.Write(ctx, func(tx *db.Tx) error { return tx.TouchSignIn(in.ID, address, now) }); err != nil {
			return Subject{}, err
		}
	}
	s := Subject{Name: u.Name, UserID: u.ID, MustChange: u.MustChange, Prefs: u.Prefs, Session: session, Proof: a.sessions.m.GetString(ctx, keyProof)}
	mfa := a.stamped(ctx, keyMFA)
	rights, err := a.Policy(ctx)
	if err != nil {
		return Subject{}, err
	}
	s.Enroll = a.mustEnroll(strict, rights, u.ID, mfa)
	s.Grants, err = a.grantsOfUser(ctx, u.ID, mfa)
	return s, err
}

// SessionKey names the session for what is bound to it, such as a console ticket. It cannot be turned back into the session's token.
func (a *Auth) SessionKey(ctx context.Context) string {
	sum := sha256.Sum256([]byte("key " + a.sessions.m.Token(ctx)))
	return hex.EncodeToString(sum[:16])
}

// SessionAlive asks again, for a stream that has been open for a while, whether its session still stands and for whom.
func (a *Auth) SessionAlive(r *http.Request) (Subject, error) {
	c, err := r.Cookie(a.CookieName())
	if err != nil {
		return Subject{}, nil
	}
	// A fresh context: the request's own holds the session as it was when the stream began.
	ctx, err := a.sessions.m.Load(detached{r.Context()}, c.Value)
	if err != nil {
		return Subject{}, domain.Errorf(domain.Internal, "The session could not be read: %w", err)
	}
	return a.sessionSubject(ctx, false)
}

// detached keeps a context's end but not its values, so that scs loads the session anew.
type detached struct{ context.Context }

func (d detached) Value(key any) any {
	if c, ok := d.Context.Value(key).(*domain.Cause); ok { // from where the request comes stays true
		return c
	}
	return nil
}

// fingerprint tells one password from the next by the salt of its hash: that is new with each, and stays when only the hash's cost is raised.
func fingerprint(u domain.User) string {
	mark := u.PasswordHash
	if parts := strings.Split(mark, "$"); len(parts) == 6 {
		mark = parts[4]
	}
	sum := sha256.Sum256([]byte(mark))
	return hex.EncodeToString(sum[:8])
}

// jsonCodec writes the same bytes for the same session (gob does not), so that the cache can tell a session that only lives on from one
// that changed. Sessions of this package hold strings only.
type jsonCodec struct{}

type sessionRecord struct {
	Deadline time.Time         `json:"deadline"`
	Values   map[string]string `json:"values"`
}

func (jsonCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	rec := sessionRecord{Deadline: deadline, Values: make(map[string]string, len(values))}
	for k, v := range values {
		s, ok := v.(string)
		if !ok {
			return nil, domain.Errorf(domain.Internal, "The session value %s is not a string.", k)
		}
		rec.Values[k] = s
	}
	return json.Marshal(rec)
}

func (jsonCodec) Decode(b []byte) (time.Time, map[string]any, error) {
	var rec sessionRecord
	if err := json.Unmarshal(b, &rec); err != nil {
		return time.Time{}, nil, domain.Errorf(domain.Internal, "A stored session cannot be read: %w", err)
	}
	values := make(map[string]any, len(rec.Values))
	for k, v := range rec.Values {
		values[k] = v
	}
	return rec.Deadline, values, nil
}

// sessionCache keeps sessions in memory in front of the database. With an idle timeout scs commits on every request; here a commit that
// only moves the expiry goes to the database at most once a minute. It also remembers what was deleted, so that a page still being
// answered while its session is signed out does not bring the session back.
type sessionCache struct {
	under scs.CtxStore
	clock func() time.Time

	mu      sync.Mutex
	entries map[string]*cachedSession
}

type cachedSession struct {
	data   []byte // nil: deleted
	expiry time.Time
	saved  time.Time // the expiry that the database has
}

const (
	sessionSaveEvery = time.Minute
	sessionTombstone = 10 * time.Minute
	sessionCacheMost = 10_000
)

func newSessionCache(under scs.CtxStore, clock func() time.Time) *sessionCache {
	return &sessionCache{under: under, clock: clock, entries: map[string]*cachedSession{}}
}

func (c *sessionCache) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	c.mu.Lock()
	if e := c.entries[token]; e != nil {
		defer c.mu.Unlock()
		if e.data == nil || !c.clock().Before(e.expiry) {
			return nil, false, nil
		}
		return e.data, true, nil
	}
	c.mu.Unlock()
	return c.under.FindCtx(ctx, token)
}

func (c *sessionCache) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	c.mu.Lock()
	e := c.entries[token]
	if e != nil && e.data == nil {
		c.mu.Unlock()
		return nil // signed out meanwhile
	}
	if e != nil && bytes.Equal(e.data, b) && expiry.Sub(e.saved) < sessionSaveEvery {
		e.expiry = expiry
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	if err := c.under.CommitCtx(ctx, token, b, expiry); err != nil {
		return err
	}
	c.mu.Lock()
	e = c.entries[token]
	if e != nil && e.data == nil { // signed out while this was being written
		c.mu.Unlock()
		return c.under.DeleteCtx(ctx, token)
	}
	c.makeRoom()
	c.entries[token] = &cachedSession{data: b, expiry: expiry, saved: expiry}
	c.mu.Unlock()
	return nil
}

func (c *sessionCache) DeleteCtx(ctx context.Context, token string) error {
	c.mu.Lock()
	c.makeRoom()
	c.entries[token] = &cachedSession{expiry: c.clock().Add(sessionTombstone)}
	c.mu.Unlock()
	return c.under.DeleteCtx(ctx, token)
}

// makeRoom drops what has expired, and anything when that is not enough: the database has it.
func (c *sessionCache) makeRoom() {
	if len(c.entries) < sessionCacheMost {
		return
	}
	now := c.clock()
	for k, e := range c.entries {
		if !now.Before(e.expiry) {
			delete(c.entries, k)
		}
	}
	for k, e := range c.entries {
		if len(c.entries) < sessionCacheMost {
			return
		}
		if e.data != nil {
			delete(c.entries, k)
		}
	}
}

// Find, Commit and Delete complete scs.Store; scs calls the variants with a context when they exist.
func (c *sessionCache) Find(token string) ([]byte, bool, error) { return c.under.Find(token) }

// Commit: see Find.
func (c *sessionCache) Commit(token string, b []byte, expiry time.Time) error {
	return c.under.Commit(token, b, expiry)
}

// Delete: see Find.
func (c *sessionCache) Delete(token string) error { return c.under.Delete(token) }
