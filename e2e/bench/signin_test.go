package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"novacron/e2e/server"
)

// BenchmarkSignInUnderAttack reads a signed-in page alone, and while 200 wrong passwords a second come from 50 addresses.
func BenchmarkSignInUnderAttack(b *testing.B) {
	const perSecond, addresses, reads, readers = 200, 50, 1500, 4
	s := server.Start(b)
	cookies := signIn(b, s)
	page := func(int) *http.Request {
		r, err := http.NewRequest(http.MethodGet, s.URL+"/events", nil)
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Cookie", cookies)
		return r
	}
	attack := func(ctx context.Context) (tries int, refused map[int]int) {
		refused = map[int]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		from := make([]*http.Client, addresses) // each from an address of its own of this machine's loop
		for i := range from {
			d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i))}}
			from[i] = &http.Client{Transport: &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: 8}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			defer from[i].CloseIdleConnections()
		}
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				wg.Wait()
				return tries, refused
			case <-tick.C:
			}
			n := tries
			tries++
			wg.Go(func() {
				form := url.Values{"name": {[]string{s.Admin, fmt.Sprintf("guess%d", n)}[n%2]}, "password": {"wrong"}}
				res, err := from[n%addresses].Post(s.URL+"/login", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
				if err != nil {
					return
				}
				res.Body.Close()
				mu.Lock()
				refused[res.StatusCode]++
				mu.Unlock()
			})
		}
	}
	for b.Loop() {
		load(b, readers, reads/5, page) // warm
		alone := load(b, readers, reads, page)
		ctx, stop := context.WithCancel(context.Background())
		type outcome struct {
			tries   int
			refused map[int]int
		}
		done := make(chan outcome, 1)
		go func() { n, r := attack(ctx); done <- outcome{n, r} }()
		begun := time.Now()
		under := load(b, readers, reads, page)
		for time.Since(begun) < 10*time.Second {
			under = append(under, load(b, readers, reads, page)...)
		}
		took := time.Since(begun)
		stop()
		o := <-done
		if o.refused[http.StatusSeeOther] > 0 {
			b.Errorf("%d wrong passwords let in", o.refused[http.StatusSeeOther])
		}
		a, u := quantile(alone, 0.99), quantile(under, 0.99)
		b.ReportMetric(float64(u)/float64(a), "p99-ratio")
		b.Logf("p99 of a page alone %.1f ms, under %.0f wrong sign-ins a second from %d addresses %.1f ms, ratio %.2f; answers %v", ms(a), float64(o.tries)/took.Seconds(), addresses, ms(u), float64(u)/float64(a), o.refused)
	}
}
