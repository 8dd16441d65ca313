package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClock is a time that a test moves.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *fakeClock { return &fakeClock{now: time.Now().UTC()} } // near the real time: scs stamps sessions with the real one

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t testing.TB) (*Auth, *db.DB, *fakeClock) {
	t.Helper()
	clock := newClock()
	log := slog.New(slog.DiscardHandler)
	d, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "t.db"), log, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(d, log, clock.Now, Options{CheapHashing: true}), d, clock
}

func mustAdmin(t *testing.T, a *Auth) (password string) {
	t.Helper()
	name, password, created, err := a.EnsureAdmin(t.Context())
	if err != nil || !created || name != FirstAdmin || len(password) < 20 {
		t.Fatalf("EnsureAdmin = %q, %q, %v, %v", name, password, created, err)
	}
	return password
}

func wantCode(t *testing.T, err error, code domain.Code) *domain.Error {
	t.Helper()
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || e.Code != code {
		t.Fatalf("error = %v (%s), want %s", err, domain.CodeOf(err), code)
	}
	return e
}

func TestFirstStartMakesOneAdmin(t *testing.T) {
	a, d, _ := open(t)
	pw := mustAdmin(t, a)
	name, again, created, err := a.EnsureAdmin(t.Context())
	if err != nil || created || again != "" || name != FirstAdmin {
		t.Fatalf("the second start = %q, %q, %v, %v", name, again, created, err)
	}
	u, err := d.UserByName(t.Context(), FirstAdmin)
	if err != nil || !u.MustChange {
		t.Fatalf("admin = %+v, %v", u, err)
	}
	if !strings.HasPrefix(u.PasswordHash, "$argon2id$") || strings.Contains(u.PasswordHash, pw) {
		t.Fatalf("the password is kept as %q", u.PasswordHash)
	}
}

func TestSignInSaysTheSameOfAWrongNameAndAWrongPassword(t *testing.T) {
	a, d, _ := open(t)
	pw := mustAdmin(t, a)
	_, wrongPassword := a.SignIn(t.Context(), "admin", "not it at all", "192.0.2.1")
	_, wrongName := a.SignIn(t.Context(), "nobody", pw, "192.0.2.1")
	_, empty := a.SignIn(t.Context(), "", "", "192.0.2.1")
	_, long := a.SignIn(t.Context(), "admin", strings.Repeat("x", 10_000), "192.0.2.1")
	for _, err := range []error{wrongPassword, wrongName, empty, long} {
		e := wantCode(t, err, domain.Unauthenticated)
		if e.Error() != wrongPassword.Error() {
			t.Errorf("%q and %q tell a name from a password", e, wrongPassword)
		}
	}
	u, err := a.SignIn(t.Context(), " admin ", pw, "192.0.2.1")
	if err != nil || u.Name != "admin" {
		t.Fatalf("SignIn = %+v, %v", u, err)
	}
	evs, err := d.Events(t.Context(), db.EventQuery{Newest: true, Limit: 1})
	if err != nil || len(evs) != 1 || evs[0].Kind != "user.signed_in" || !strings.Contains(evs[0].Message, "192.0.2.1") {
		t.Fatalf("events = %+v, %v", evs, err)
	}
	if u, err = d.UserByName(t.Context(), "admin"); err != nil || u.LastSignIn.IsZero() {
		t.Fatalf("last sign-in = %v, %v", u.LastSignIn, err)
	}
}

func TestGuessingIsSlowedPerAccount(t *testing.T) {
	a, _, clock := open(t)
	pw := mustAdmin(t, a)
	waits := []time.Duration{}
	for i := range 12 {
		_, err := a.SignIn(t.Context(), "Admin", "wrong password", fmt.Sprintf("192.0.2.%d", i)) // another address each time does not help
		if lim, ok := errors.AsType[*LimitedError](err); ok {
			if e := wantCode(t, err, domain.Unavailable); e.Fix == "" {
				t.Error("a refusal must say how long to wait")
			}
			waits = append(waits, lim.Wait)
			clock.add(lim.Wait)
		}
	}
	if len(waits) == 0 {
		t.Fatal("twelve guesses in a row were not slowed")
	}
	for i := 1; i < len(waits); i++ {
		if waits[i] < waits[i-1] {
			t.Errorf("the delay shrank: %v", waits)
		}
	}
	// While it is locked even the right password waits, or a guesser would know it by the difference.
	for {
		_, err := a.SignIn(t.Context(), "admin", "wrong password", "192.0.2.1")
		if _, ok := errors.AsType[*LimitedError](err); ok {
			break
		}
	}
	if _, err := a.SignIn(t.Context(), "admin", pw, "198.51.100.7"); !errors.As(err, new(*LimitedError)) {
		t.Fatalf("locked account: %v", err)
	}
	clock.add(2 * time.Minute)
	if _, err := a.SignIn(t.Context(), "admin", pw, "198.51.100.7"); err != nil {
		t.Fatalf("after the wait: %v", err)
	}
	if _, err := a.SignIn(t.Context(), "admin", "wrong again", "198.51.100.7"); domain.CodeOf(err) != domain.Unauthenticated {
		t.Fatalf("a success must forgive the account: %v", err)
	}
}

func TestGuessingIsSlowedPerAddress(t *testing.T) {
	a, _, _ := open(t)
	refused := false
	for i := range 40 {
		_, err := a.SignIn(t.Context(), fmt.Sprintf("user-%d", i), "some password", fmt.Sprintf("2001:db8:1:2::%x", i+1)) // one /64 is one customer
		refused = refused || errors.As(err, new(*LimitedError))
	}
	if !refused {
		t.Fatal("forty names from one network were not slowed")
	}
	if _, err := a.SignIn(t.Context(), "somebody", "some password", "2001:db8:1:3::1"); errors.As(err, new(*LimitedError)) {
		t.Fatal("the neighbour network is slowed too")
	}
}

func TestAnOwnerIsNotLockedOutByGuessersElsewhere(t *testing.T) {
	a, _, _ := open(t)
	pw := mustAdmin(t, a)
	if _, err := a.SignIn(t.Context(), "admin", pw, "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		if _, err := a.SignIn(t.Context(), "admin", "a guess", fmt.Sprintf("198.51.100.%d", i)); err == nil {
			t.Fatal("a guess came in")
		}
	}
	if _, err := a.SignIn(t.Context(), "admin", pw, "203.0.113.5"); !errors.As(err, new(*LimitedError)) {
		t.Fatalf("a new network while it is being guessed: %v", err)
	}
	if _, err := a.SignIn(t.Context(), "admin", pw, "192.0.2.1"); err != nil {
		t.Fatalf("the owner's own network: %v", err)
	}
	for range 30 {
		_, err := a.SignIn(t.Context(), "admin", "a guess", "192.0.2.1")
		if errors.As(err, new(*LimitedError)) {
			break
		}
	}
	if _, err := a.SignIn(t.Context(), "admin", pw, "192.0.2.1"); !errors.As(err, new(*LimitedError)) {
		t.Fatalf("guessing from a known network is not slowed: %v", err)
	}
	var f familiar
	for i := range familiarNetworks + 3 {
		f.add("x", fmt.Sprint(i))
	}
	if len(f.seen["x"]) != familiarNetworks || f.key("x", "0") != "x" || f.key("x", "10") == "x" {
		t.Errorf("networks = %v", f.seen["x"])
	}
}

func TestLimiterKeepsItsMemorySmall(t *testing.T) {
	clock := newClock()
	l := newLimiter(clock.Now, 3, time.Minute)
	for i := range limiterKeys + 100 {
		l.take(fmt.Sprint(i))
		clock.add(time.Millisecond)
	}
	if len(l.seen) > limiterKeys {
		t.Fatalf("%d keys", len(l.seen))
	}
	clock.add(2 * limiterForget)
	l.take("new")
	if len(l.seen) != 1 {
		t.Fatalf("%d keys are left of the old ones", len(l.seen))
	}
	if got := addrKey("::ffff:192.0.2.1"); got != "192.0.2.1" {
		t.Errorf("mapped address = %q", got)
	}
	if got := addrKey("garbage"); got != "garbage" {
		t.Errorf("garbage = %q", got)
	}
	for d, want := range map[time.Duration]string{time.Second: "1 second", 30 * time.Second: "30 seconds", 5 * time.Minute: "5 minutes"} {
		if got := spell(d); got != want {
			t.Errorf("spell(%v) = %q", d, got)
		}
	}
	if e := (&LimitedError{Wait: time.Second}).Error(); e == "" {
		t.Error("a LimitedError needs words")
	}
}

func TestAStormOfSignInsIsTurnedAway(t *testing.T) {
	h := newHasher(true)
	ctx, cancel := context.WithCancel(t.Context())
	if err := h.sem.Acquire(ctx, h.lanes); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make(chan error, hashesWaiting)
	for range hashesWaiting {
		wg.Go(func() {
			_, err := h.hash(ctx, "x")
			errs <- err
		})
	}
	for h.waiting.Load() < hashesWaiting {
		select {
		case err := <-errs:
			t.Fatalf("one of the queue came back: %v", err)
		default:
		}
	}
	if _, err := h.hash(ctx, "x"); !domain.Is(err, domain.Unavailable) {
		t.Fatalf("the one too many: %v", err)
	}
	cancel()
	wg.Wait()
	if err := <-errs; !domain.Is(err, domain.Unavailable) {
		t.Fatalf("one that gave up: %v", err)
	}
	if _, err := h.matches(ctx, "x", "nonsense"); err == nil {
		t.Error("a cancelled check must fail")
	}
	h.sem.Release(h.lanes)
	if _, err := h.matches(t.Context(), "x", "nonsense"); !domain.Is(err, domain.Internal) {
		t.Errorf("a broken hash: %v", err)
	}
}

func TestChangePassword(t *testing.T) {
	a, d, _ := open(t)
	pw := mustAdmin(t, a)
	u, err := a.SignIn(t.Context(), "admin", pw, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"short", "", "admin12345", "ADMINADMIN", "aaaaaaaaaaaa", "Password123", strings.Repeat("long", 100), pw, "bad\xffutf8 text"} {
		_, err := a.ChangePassword(t.Context(), u.ID, pw, bad)
		if e := wantCode(t, err, domain.Invalid); len(e.Fields) != 1 || e.Fields[0].Field != "password" || e.Fields[0].Want == "" {
			t.Errorf("%q: %+v", bad, e)
		}
	}
	_, err = a.ChangePassword(t.Context(), u.ID, "not the old one", "a much better one")
	if e := wantCode(t, err, domain.Invalid); e.Fields[0].Field != "current" {
		t.Errorf("fields = %+v", e.Fields)
	}
	if _, err := a.ChangePassword(t.Context(), "user_none", pw, "a much better one"); !domain.Is(err, domain.NotFound) {
		t.Errorf("nobody's password: %v", err)
	}
	after, err := a.ChangePassword(t.Context(), u.ID, pw, "a much better one")
	if err != nil || after.MustChange || after.PasswordHash == u.PasswordHash {
		t.Fatalf("ChangePassword = %+v, %v", after, err)
	}
	if _, err := a.SignIn(t.Context(), "admin", pw, "192.0.2.1"); !domain.Is(err, domain.Unauthenticated) {
		t.Fatalf("the one-time password still works: %v", err)
	}
	if _, err := a.SignIn(t.Context(), "admin", "a much better one", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	reset, err := a.ResetPassword(t.Context(), "admin", "system")
	if err != nil {
		t.Fatal(err)
	}
	if u, err = d.UserByName(t.Context(), "admin"); err != nil || !u.MustChange {
		t.Fatalf("after a reset: %+v, %v", u, err)
	}
	if _, err := a.SignIn(t.Context(), "admin", reset, "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.ResetPassword(t.Context(), "nobody", "system"); !domain.Is(err, domain.NotFound) {
		t.Errorf("reset of nobody: %v", err)
	}
}

func TestChangePasswordIsSlowedToo(t *testing.T) {
	a, _, _ := open(t)
	pw := mustAdmin(t, a)
	u, err := a.SignIn(t.Context(), "admin", pw, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err = a.ChangePassword(t.Context(), u.ID, "a guess at the old", "a much better one"); errors.As(err, new(*LimitedError)) {
			return
		}
	}
	t.Fatalf("an open session may guess the password for ever: %v", err)
}

func TestTokens(t *testing.T) {
	a, d, clock := open(t)
	text, tok, err := a.CreateToken(t.Context(), " ci ", "admin", access.Admin, clock.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "ncr_") || len(text) != 47 || tok.Name != "ci" || !strings.HasPrefix(text, tok.Prefix) || len(tok.Prefix) > 12 || strings.Contains(tok.Hash, text[4:]) {
		t.Fatalf("token %q = %+v", text, tok)
	}
	sub, err := a.TokenSubject(t.Context(), text)
	if err != nil || sub.Name != "ci" || sub.TokenID != tok.ID || sub.UserID != "" || sub.Actor() != "token ci" || !sub.Can(access.VMCreate) {
		t.Fatalf("subject = %+v, %v", sub, err)
	}
	used := func() time.Time {
		t.Helper()
		toks, err := d.Tokens(t.Context())
		if err != nil || len(toks) != 1 {
			t.Fatalf("tokens = %+v, %v", toks, err)
		}
		return toks[0].LastUsed
	}
	first := used()
	if first.IsZero() {
		t.Fatal("the first use was not noted")
	}
	clock.add(30 * time.Second)
	if _, err := a.TokenSubject(t.Context(), text); err != nil || !used().Equal(first) {
		t.Fatalf("noted again within a minute: %v, %v", used(), err)
	}
	clock.add(31 * time.Second)
	if _, err := a.TokenSubject(t.Context(), text); err != nil || used().Equal(first) {
		t.Fatalf("not noted after a minute: %v, %v", used(), err)
	}
	for _, bad := range []string{"", "ncr_", text[:46], text + "0", "ncr_" + strings.Repeat("0", 43), strings.ToUpper(text), "' OR 1=1 --"} {
		if _, err := a.TokenSubject(t.Context(), bad); !domain.Is(err, domain.Unauthenticated) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	clock.add(time.Hour)
	if _, err := a.TokenSubject(t.Context(), text); !domain.Is(err, domain.Unauthenticated) {
		t.Fatalf("expired: %v", err)
	}
	for _, bad := range []struct {
		name, role, field string
		expires           time.Time
	}{{"", access.Admin, "name", time.Time{}}, {"a\nb", access.Admin, "name", time.Time{}}, {"x", "wizard", "role", time.Time{}}, {"x", access.Viewer, "expires", clock.Now()}} {
		_, _, err := a.CreateToken(t.Context(), bad.name, "admin", bad.role, bad.expires)
		if e := wantCode(t, err, domain.Invalid); e.Fields[0].Field != bad.field {
			t.Errorf("%+v: %+v", bad, e.Fields)
		}
	}
	if err := a.RevokeToken(t.Context(), tok.ID, "admin"); err != nil {
		t.Fatal(err)
	}
	if err := a.RevokeToken(t.Context(), tok.ID, "admin"); !domain.Is(err, domain.NotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	if toks, err := a.Tokens(t.Context()); err != nil || len(toks) != 0 {
		t.Errorf("tokens = %+v, %v", toks, err)
	}
}

func TestTokenTextIsRandomBase62(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := newTokenText()
		if seen[s] || strings.Trim(s[4:], base62) != "" || len(s) != 47 {
			t.Fatalf("token %q", s)
		}
		seen[s] = true
	}
}

// browser keeps the session's cookie between requests.
type browser struct {
	t      *testing.T
	a      *Auth
	cookie *http.Cookie
}

// do runs one request and gives what it saw.
func (b *browser) do(h func(ctx context.Context) error) (Subject, *http.Cookie) {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodGet, "/", nil)
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	w := httptest.NewRecorder()
	ctx, err := b.a.LoadSession(r)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.a.CommitSession(ctx, w); err != nil { // as the middleware does, before the handler runs
		b.t.Fatal(err)
	}
	sub, err := b.a.SessionSubject(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	if h != nil {
		if err := h(ctx); err != nil {
			b.t.Fatal(err)
		}
		if err := b.a.CommitSession(ctx, w); err != nil {
			b.t.Fatal(err)
		}
	}
	var got *http.Cookie
	for _, c := range w.Result().Cookies() {
		if c.Name == b.a.CookieName() {
			if got != nil {
				b.t.Fatal("two session cookies in one answer")
			}
			got = c
		}
	}
	if got != nil {
		b.cookie = got
		if got.MaxAge < 0 {
			b.cookie = nil
		}
	}
	return sub, got
}

func TestSessions(t *testing.T) {
	a, d, _ := open(t)
	pw := mustAdmin(t, a)
	u, err := a.SignIn(t.Context(), "admin", pw, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, a: a}
	if sub, c := b.do(nil); sub.Known() || c != nil {
		t.Fatalf("a visitor: %+v with cookie %v", sub, c)
	}
	_, c := b.do(func(ctx context.Context) error { return a.BeginSession(ctx, u) })
	if c == nil || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure || c.Path != "/" {
		t.Fatalf("cookie = %+v", c)
	}
	sub, _ := b.do(nil)
	if sub.UserID != u.ID || sub.Name != "admin" || !sub.MustChange || sub.Actor() != "admin" {
		t.Fatalf("subject = %+v", sub)
	}
	// The session is in the database, under a hash, and survives a restart.
	if _, found, err := d.Sessions().FindCtx(t.Context(), c.Value); err != nil || found {
		t.Fatalf("the cookie's own value is in the database: %v, %v", found, err)
	}
	again := New(d, slog.New(slog.DiscardHandler), time.Now, Options{CheapHashing: true})
	after := &browser{t: t, a: again, cookie: b.cookie}
	if sub, _ := after.do(nil); sub.UserID != u.ID {
		t.Fatalf("after a restart: %+v", sub)
	}
	// Signing in again gives another token, and the old one is worth nothing.
	old := b.cookie
	b.do(func(ctx context.Context) error { return a.BeginSession(ctx, u) })
	if b.cookie.Value == old.Value {
		t.Fatal("the token was not renewed")
	}
	if sub, _ := (&browser{t: t, a: a, cookie: old}).do(nil); sub.Known() {
		t.Fatalf("the planted token works: %+v", sub)
	}
	// A changed password ends every session that did not change it.
	if _, err := a.ChangePassword(t.Context(), u.ID, pw, "a much better one"); err != nil {
		t.Fatal(err)
	}
	if sub, _ := b.do(nil); sub.Known() {
		t.Fatalf("a session with the old password: %+v", sub)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if sub, err := a.SessionAlive(r); err != nil || sub.Known() {
		t.Fatalf("no cookie = %+v, %v", sub, err)
	}
}

func TestSignOutCannotBeUndoneByAPageInFlight(t *testing.T) {
	a, _, _ := open(t)
	u, err := a.SignIn(t.Context(), "admin", mustAdmin(t, a), "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, a: a}
	b.do(func(ctx context.Context) error { return a.BeginSession(ctx, u) })
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.AddCookie(b.cookie)
	inFlight, err := a.LoadSession(r)
	if err != nil {
		t.Fatal(err)
	}
	stolen := &browser{t: t, a: a, cookie: b.cookie}
	if sub, err := a.SessionAlive(r); err != nil || !sub.Known() {
		t.Fatalf("alive = %+v, %v", sub, err)
	}
	_, c := b.do(a.EndSession)
	if c == nil || c.MaxAge >= 0 {
		t.Fatalf("the cookie is not taken back: %+v", c)
	}
	if err := a.CommitSession(inFlight, httptest.NewRecorder()); err != nil {
		t.Fatal(err)
	}
	if sub, _ := stolen.do(nil); sub.Known() {
		t.Fatalf("the session is back: %+v", sub)
	}
	if sub, err := a.SessionAlive(r); err != nil || sub.Known() {
		t.Fatalf("a stream would go on: %+v, %v", sub, err)
	}
	b.do(a.EndSession) // twice is no error
}

// countingStore counts what reaches the database.
type countingStore struct {
	*db.SessionStore
	commits int
}

func (s *countingStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	s.commits++
	return s.SessionStore.CommitCtx(ctx, token, b, expiry)
}

func TestReadingPagesDoesNotWriteSessions(t *testing.T) {
	_, d, clock := open(t)
	store := &countingStore{SessionStore: d.Sessions()}
	c := newSessionCache(store, clock.Now)
	ctx := t.Context()
	commit := func(data string, expiry time.Time) {
		t.Helper()
		if err := c.CommitCtx(ctx, "tok", []byte(data), expiry); err != nil {
			t.Fatal(err)
		}
	}
	start := clock.Now()
	for i := range 100 {
		commit("same", start.Add(time.Hour+time.Duration(i)*time.Second/2))
	}
	if store.commits != 1 {
		t.Errorf("a hundred pages within a minute wrote %d times", store.commits)
	}
	commit("same", start.Add(time.Hour+2*time.Minute))
	commit("other", start.Add(time.Hour+2*time.Minute))
	if store.commits != 3 {
		t.Errorf("later and changed sessions must be written: %d", store.commits)
	}
	if b, found, err := c.FindCtx(ctx, "tok"); err != nil || !found || string(b) != "other" {
		t.Errorf("found %q, %v, %v", b, found, err)
	}
	clock.add(3 * time.Hour)
	if _, found, err := c.FindCtx(ctx, "tok"); err != nil || found {
		t.Errorf("an expired session was found: %v", err)
	}
	if err := c.DeleteCtx(ctx, "tok"); err != nil {
		t.Fatal(err)
	}
	commit("back", clock.Now().Add(time.Hour))
	if _, found, _ := c.FindCtx(ctx, "tok"); found {
		t.Error("a deleted session came back")
	}
	for i := range sessionCacheMost + 10 {
		c.mu.Lock()
		c.makeRoom()
		c.entries[fmt.Sprint("k", i)] = &cachedSession{data: []byte("x"), expiry: clock.Now().Add(time.Hour)}
		c.mu.Unlock()
	}
	if len(c.entries) > sessionCacheMost+1 {
		t.Errorf("%d sessions in memory", len(c.entries))
	}
	// The variants without a context go straight to the database.
	if err := c.Commit("plain", []byte("x"), clock.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, found, err := c.Find("plain"); err != nil || !found {
		t.Errorf("plain: %v, %v", found, err)
	}
	if err := c.Delete("plain"); err != nil {
		t.Fatal(err)
	}
}

func TestCodecRefusesWhatItCannotKeep(t *testing.T) {
	if _, err := (jsonCodec{}).Encode(time.Now(), map[string]any{"n": 1}); err == nil {
		t.Error("a number was taken")
	}
	if _, _, err := (jsonCodec{}).Decode([]byte("{")); err == nil {
		t.Error("garbage was taken")
	}
}

func TestSubject(t *testing.T) {
	if err := (Subject{}).Require(access.VMRead); !domain.Is(err, domain.Unauthenticated) {
		t.Errorf("nobody: %v", err)
	}
	viewer := Subject{Name: "v", Role: access.Viewer, UserID: "user_1"}
	if err := viewer.Require(access.VMDelete); !domain.Is(err, domain.Denied) {
		t.Errorf("viewer: %v", err)
	}
	if err := viewer.Require(access.VMRead); err != nil {
		t.Errorf("viewer: %v", err)
	}
	if !(Subject{}).Can(access.Public) || (Subject{Role: access.Admin}).Can(access.VMRead) {
		t.Error("only who is signed in has a role, and public is for all")
	}
	ctx := WithSubject(t.Context(), viewer)
	if SubjectOf(ctx).UserID != viewer.UserID || SubjectOf(t.Context()).Known() {
		t.Error("the context lost the subject")
	}
}

func TestPrefs(t *testing.T) {
	a, d, _ := open(t)
	mustAdmin(t, a)
	u, err := d.UserByName(t.Context(), "admin")
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.SavePrefs(t.Context(), u.ID, func(p *domain.Prefs) { p.Theme = "dark" })
	if err != nil || got.Theme != "dark" {
		t.Fatalf("prefs = %+v, %v", got, err)
	}
	if u, err = d.User(t.Context(), u.ID); err != nil || u.Prefs.Theme != "dark" {
		t.Fatalf("kept = %+v, %v", u.Prefs, err)
	}
	if _, err := a.SavePrefs(t.Context(), "user_none", func(*domain.Prefs) {}); !domain.Is(err, domain.NotFound) {
		t.Errorf("nobody's prefs: %v", err)
	}
}
