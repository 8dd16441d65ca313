package api

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/domain"
)

// rates keeps any one program from taking the server from all others: each token and each person has a bucket that fills at a steady rate and holds a
// minute's requests.
type rates struct {
	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// ratesMost bounds the buckets; the fullest are forgotten, which changes nothing for whose they are.
const ratesMost = 10_000

// take counts a request, and refuses it when there were too many.
func (r *rates) take(s *server, c echo.Context, sub auth.Subject) error {
	limit := 0
	if s.Rate != nil {
		limit = s.Rate()
	}
	if limit <= 0 {
		return nil
	}
	key := "address:" + c.RealIP()
	if sub.TokenID != "" {
		key = sub.TokenID
	} else if sub.UserID != "" {
		key = "user:" + sub.UserID
	}
	left, wait := r.spend(key, float64(limit), s.Clock())
	h := c.Response().Header()
	h.Set("RateLimit-Limit", strconv.Itoa(limit))
	h.Set("RateLimit-Remaining", strconv.Itoa(left))
	h.Set("RateLimit-Reset", strconv.Itoa(int(math.Ceil((float64(limit)-float64(left))/float64(limit)*60))))
	h.Set("RateLimit-Policy", strconv.Itoa(limit)+";w=60")
	if wait == 0 {
		return nil
	}
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	p := problem(http.StatusTooManyRequests, domain.Unavailable, "There were more than "+strconv.Itoa(limit)+" requests in a minute.")
	p.Title, p.Type, p.Code = "Too many requests", "urn:novacron:problem:rate", "rate"
	p.Fix = "Send the next one in " + seconds + " s; wait for jobs with ?wait and follow /api/v1/events instead of asking again and again."
	h.Set("Retry-After", seconds)
	return p
}

// spend takes one from a bucket that holds limit and fills in a minute; wait is how long until there is one, where there was none.
func (r *rates) spend(key string, limit float64, now time.Time) (left int, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.buckets == nil {
		r.buckets = map[string]*bucket{}
	}
	b := r.buckets[key]
	if b == nil {
		if len(r.buckets) >= ratesMost {
			for k, old := range r.buckets {
				if now.Sub(old.at) > time.Minute {
					delete(r.buckets, k)
				}
			}
			if len(r.buckets) >= ratesMost {
				clear(r.buckets)
			}
		}
		b = &bucket{left: limit, at: now}
		r.buckets[key] = b
	}
	perSecond := limit / 60
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.left, b.at = min(limit, b.left+passed*perSecond), now
	}
	if b.left < 1 {
		return 0, time.Duration((1 - b.left) / perSecond * float64(time.Second))
	}
	b.left--
	return int(b.left), 0
}
