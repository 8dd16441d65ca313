package auth

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"novacron/domain"
)

// limiter slows down guessing: after free attempts each further one doubles the wait, up to most. It counts in memory; a restart
// forgives everybody, which costs an attacker more than it gives.
type limiter struct {
	clock func() time.Time
	free  int
	most  time.Duration

	mu   sync.Mutex
	seen map[string]*attempts
}

type attempts struct {
	n     int
	until time.Time
	last  time.Time
}

const (
	limiterForget = time.Hour // a key without attempts for so long starts anew
	limiterKeys   = 10_000    // bounds the memory that a flood of made-up names or addresses can take
)

func newLimiter(clock func() time.Time, free int, most time.Duration) *limiter {
	return &limiter{clock: clock, free: free, most: most, seen: map[string]*attempts{}}
}

// take counts one attempt before it is checked, so that a thousand at once are not a thousand free ones. It returns how long to wait
// instead when the key has used up its attempts.
func (l *limiter) take(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	a := l.seen[key]
	if a == nil || now.Sub(a.last) > limiterForget {
		l.makeRoom(now)
		a = &attempts{}
		l.seen[key] = a
	}
	if wait := a.until.Sub(now); wait > 0 {
		return wait
	}
	a.n++
	a.last = now
	if over := a.n - l.free; over >= 0 {
		delay := l.most
		if over < 20 { // 2^20 s is past any limit; more would overflow
			delay = min(delay, time.Duration(math.Pow(2, float64(over)))*time.Second)
		}
		a.until = now.Add(delay)
	}
	return 0
}

// forgive forgets a key after a success.
func (l *limiter) forgive(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, key)
}

// makeRoom drops what is old; when a flood leaves nothing old, it drops the key that was quiet for longest.
func (l *limiter) makeRoom(now time.Time) {
	if len(l.seen) < limiterKeys {
		return
	}
	oldest, at := "", now
	for k, a := range l.seen {
		if now.Sub(a.last) > limiterForget {
			delete(l.seen, k)
		} else if !a.last.After(at) {
			oldest, at = k, a.last
		}
	}
	if len(l.seen) >= limiterKeys {
		delete(l.seen, oldest)
	}
}

// familiar remembers from where an account was signed in to. Guessers elsewhere then cannot lock its owner out: the owner's own network is counted
// by itself.
type familiar struct {
	mu   sync.Mutex
	seen map[string][]string // account -> networks, newest last
}

const (
	familiarNetworks = 8
	familiarAccounts = 1000
)

func (f *familiar) add(account, from string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil || len(f.seen) >= familiarAccounts {
		f.seen = map[string][]string{}
	}
	known := slices.DeleteFunc(f.seen[account], func(k string) bool { return k == from })
	if len(known) >= familiarNetworks {
		known = known[1:]
	}
	f.seen[account] = append(known, from)
}

// key is what attempts on the account from there are counted under.
func (f *familiar) key(account, from string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(f.seen[account], from) {
		return account + " from " + from
	}
	return account
}

// LimitedError is the cause of the refusal of a sign-in that came too soon; handlers answer it with 429 and Retry-After.
type LimitedError struct{ Wait time.Duration }

func (e *LimitedError) Error() string { return fmt.Sprintf("too many attempts, wait %s", e.Wait) }

func limited(wait time.Duration) error {
	wait = wait.Truncate(time.Second) + time.Second
	return domain.Errorf(domain.Unavailable, "There were too many attempts to sign in.").
		WithFix("Wait %s, then try again.", spell(wait)).WithCause(&LimitedError{Wait: wait})
}

func spell(d time.Duration) string {
	switch s := int(d.Round(time.Second) / time.Second); {
	case s == 1:
		return "1 second"
	case s < 120:
		return fmt.Sprintf("%d seconds", s)
	default:
		return fmt.Sprintf("%d minutes", (s+59)/60)
	}
}

// accountKey folds the spellings of one name and bounds what a long one can take.
func accountKey(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	return name[:min(len(name), 128)]
}

// addrKey makes one key of an IPv6 /64, since one customer has a whole one.
func addrKey(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return addr[:min(len(addr), 64)]
	}
	if ip = ip.Unmap(); ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
