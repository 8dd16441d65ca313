// Package bench measures the built binary against something real in the same run: virsh on the same hosts, the clock of the browser.
//
// It is for `make bench`, which prints ratios and figures; nothing here passes or fails by time, since machines are noisy.
package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"novacron/e2e/browser"
	"novacron/e2e/lab"
	"novacron/e2e/server"
)

func up(b *testing.B, opts lab.Options) *lab.Lab {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	l, err := lab.Up(ctx, opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Down(); err != nil {
			b.Error(err)
		}
	})
	return l
}

func quantile(d []time.Duration, q float64) time.Duration {
	s := slices.Clone(d)
	slices.Sort(s)
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func timed(fn func()) time.Duration {
	start := time.Now()
	fn()
	return time.Since(start)
}

// A power-on and a power-off through the API with ?wait, over the same through virsh on the same guest in turn.
func BenchmarkPower(b *testing.B) {
	l := up(b, lab.Options{Hosts: 1})
	s := server.Start(b)
	api := s.API()
	host := api.AddHost(b, "h1", l.Hosts[0].URI)
	kernel, initrd, err := lab.Guest(lab.GuestCache())
	if err != nil {
		b.Fatal(err)
	}
	id := api.Change(b, "POST", "/api/v1/vms", map[string]any{
		"name": "bench", "host": host, "vcpus": 1, "memory_bytes": 64 << 20, "boot": map[string]any{"kernel": kernel, "initrd": initrd, "cmdline": "quiet"},
	}, "succeeded").Resource.ID
	virsh := func(args ...string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if out, err := l.Virsh(ctx, l.Hosts[0], args...); err != nil {
			b.Fatal(out, err)
		}
	}
	act := func(action string) { api.Change(b, "POST", "/api/v1/vms/"+id+"/"+action, nil, "succeeded") }
	state := func(want string) { api.WaitVM(b, id, want, 10*time.Second) }

	const rounds = 15
	for b.Loop() {
		var ours, theirs [2][]time.Duration
		for range rounds {
			theirs[0] = append(theirs[0], timed(func() { virsh("start", "bench") }))
			state("running")
			theirs[1] = append(theirs[1], timed(func() { virsh("destroy", "bench") }))
			state("stopped")
			ours[0] = append(ours[0], timed(func() { act("start") }))
			ours[1] = append(ours[1], timed(func() { act("stop") }))
		}
		for i, name := range []string{"start", "stop"} {
			o, v := quantile(ours[i], 0.5), quantile(theirs[i], 0.5)
			b.ReportMetric(float64(o)/float64(v), name+"-ratio")
			b.ReportMetric(ms(o-v), name+"-overhead-ms")
			b.Logf("%s: API %.1f ms, virsh %.1f ms, ratio %.2f, overhead %.1f ms (medians of %d pairs)", name, ms(o), ms(v), float64(o)/float64(v), ms(o-v), rounds)
		}
	}
}

// lists are the pages and answers that an estate of 1,000 VMs, 5,000 volumes and 300 networks must not make slow.
var lists = []string{"/api/v1/vms?limit=100", "/vms", "/", "/hosts", "/events", "/images", "/templates", "/storage", "/storage/volumes", "/networks", "/api/v1/pools", "/api/v1/volumes?limit=100", "/api/v1/networks?limit=100"}

// 100 hosts with 10 guests, 50 volumes and 3 networks each on libvirt's test driver: the time to a complete inventory, list pages under readers, memory and
// idle processor time.
func BenchmarkScale(b *testing.B) {
	const hosts, guests, volumes, networks, readers, reads = 100, 10, 50, 2, 20, 300 // libvirt has a network of its own on each
	l := up(b, lab.Options{TestDrivers: hosts, TestGuests: guests, TestVolumes: volumes, TestNetworks: networks})
	s := server.Start(b)
	api := s.API()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				if _, err := api.Do("POST", "/api/v1/hosts?wait=60s", map[string]string{"name": fmt.Sprintf("h%03d", i), "uri": l.TestHosts[i].URI}, nil); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range hosts {
		next <- i
	}
	close(next)
	wg.Wait()
	complete := func() error {
		vms, err := api.VMs()
		if err != nil {
			return err
		}
		n := 0
		for _, v := range vms {
			if v.State == "running" {
				n++
			}
		}
		if n < hosts*guests {
			return server.Not(hosts*guests, n)
		}
		return nil
	}
	server.Wait(b, 2*time.Minute, "the first inventory", complete)
	cookies := signIn(b, s)
	for b.Loop() {
		s.Down()
		began := time.Now()
		s.Up()
		ready := time.Since(began)
		server.Wait(b, time.Minute, "every guest to be seen again", complete)
		whole := time.Since(began)
		b.ReportMetric(whole.Seconds(), "inventory-s")
		b.Logf("inventory of %d hosts and %d guests complete %.1f s after start (ready after %.1f s)", hosts, hosts*guests, whole.Seconds(), ready.Seconds())

		for _, path := range lists {
			times := load(b, readers, reads, func(int) *http.Request {
				if strings.HasPrefix(path, "/api/") {
					return get(b, s.URL+path, "Bearer "+s.Token, "")
				}
				return get(b, s.URL+path, "", cookies)
			})
			b.ReportMetric(ms(quantile(times, 0.99)), strings.TrimPrefix(path, "/")+"-p99-ms")
			b.Logf("%s: p50 %.1f ms, p99 %.1f ms with %d readers", path, ms(quantile(times, 0.5)), ms(quantile(times, 0.99)), readers)
		}
		var runs []time.Duration
		for range 15 {
			cmd := exec.Command(server.Binary(b), "vm", "list")
			cmd.Env = append(os.Environ(), "NOVACRON_SERVER="+s.URL, "NOVACRON_TOKEN="+s.Token)
			runs = append(runs, timed(func() {
				if out, err := cmd.Output(); err != nil || strings.Count(string(out), "\n") != hosts*guests+1 {
					b.Errorf("novacron vm list: %d lines, %v", strings.Count(string(out), "\n"), err)
				}
			}))
		}
		b.ReportMetric(ms(quantile(runs, 0.5)), "cli-vm-list-ms")
		b.Logf("novacron vm list: p50 %.0f ms, p99 %.0f ms of wall", ms(quantile(runs, 0.5)), ms(quantile(runs, 0.99)))
		// Every page another one: nothing that was kept is of use.
		times := load(b, readers, reads, func(n int) *http.Request { return get(b, fmt.Sprintf("%s/vms?n=%d", s.URL, n), "", cookies) })
		b.ReportMetric(ms(quantile(times, 0.99)), "vms-unkept-p99-ms")
		b.Logf("/vms, each drawn anew: p50 %.1f ms, p99 %.1f ms with %d readers", ms(quantile(times, 0.5)), ms(quantile(times, 0.99)), readers)

		cpu := cpuTime(b, s.PID())
		const idle = time.Minute // so that what runs each minute is in it once
		<-time.After(idle)
		share := float64(cpuTime(b, s.PID())-cpu) / float64(idle)
		rss := rss(b, s.PID())
		b.ReportMetric(100*share, "idle-cpu-%")
		b.ReportMetric(float64(rss)/(1<<20), "rss-MiB")
		b.Logf("idle: %.1f %% of one core, %.0f MiB resident", 100*share, float64(rss)/(1<<20))
	}
}

func get(b *testing.B, url, auth, cookies string) *http.Request {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		b.Fatal(err)
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	req.Header.Set("Accept-Encoding", "gzip") // said by hand, the body is left packed: the readers' own unpacking is not the server's time
	if cookies != "" {
		req.Header.Set("Cookie", cookies)
	}
	return req
}

func load(b *testing.B, readers, reads int, req func(n int) *http.Request) []time.Duration {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: readers, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var mu sync.Mutex
	var all []time.Duration
	var n atomic.Int64
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for range reads {
				d := timed(func() {
					res, err := client.Do(req(int(n.Add(1))))
					if err != nil {
						b.Error(err)
						return
					}
					defer res.Body.Close()
					if n, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 || n < 1000 {
						b.Errorf("%s, %d bytes, %v", res.Status, n, err)
					}
				})
				mu.Lock()
				all = append(all, d)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all
}

const password = "correct horse battery"

func signIn(b *testing.B, s *server.Server) (cookies string) {
	b.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	c := &http.Client{Jar: jar}
	for _, f := range []struct {
		path string
		form url.Values
	}{
		{"/login", url.Values{"name": {s.Admin}, "password": {s.Password}}},
		{"/password", url.Values{"current": {s.Password}, "password": {password}, "again": {password}}},
	} {
		res, err := c.PostForm(s.URL+f.path, f.form)
		if err != nil {
			b.Fatal(err)
		}
		res.Body.Close()
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		b.Fatal(err)
	}
	for _, k := range jar.Cookies(u) {
		cookies += k.Name + "=" + k.Value + "; "
	}
	return cookies
}

func cpuTime(b *testing.B, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

func rss(b *testing.B, pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb << 10
}

// From virsh being started to the changed row in the browser's document: longer than from the event itself, by virsh's own start.
func BenchmarkEventToBrowser(b *testing.B) {
	l := up(b, lab.Options{Hosts: 1})
	s := server.Start(b)
	api := s.API()
	host := api.AddHost(b, "h1", l.Hosts[0].URI)
	kernel, initrd, err := lab.Guest(lab.GuestCache())
	if err != nil {
		b.Fatal(err)
	}
	api.Change(b, "POST", "/api/v1/vms", map[string]any{
		"name": "seen", "host": host, "vcpus": 1, "memory_bytes": 64 << 20, "start": true, "boot": map[string]any{"kernel": kernel, "initrd": initrd, "cmdline": "quiet"},
	}, "succeeded")
	p := browser.Open(b, s.URL, 1440, 900)
	p.SignIn(s.Admin, s.Password, password)
	p.Go("/vms")
	p.UntilText("seen")
	// Each change of the row's text is noted with the machine's clock, which the browser shares.
	browser.Eval[bool](p, `(() => { window.seenAt = []; let last = "";
		const look = () => { const r = [...document.querySelectorAll("tr")].find(r => r.innerText.includes("seen")); const now = r ? (r.innerText.includes("paused") ? "paused" : r.innerText.includes("running") ? "running" : "") : "";
			if (now && now !== last) { last = now; window.seenAt.push([now, Date.now()]); } };
		look(); new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true}); return true })()`)
	const rounds = 40
	for b.Loop() {
		var times []time.Duration
		for i := range rounds {
			action, want := "suspend", "paused"
			if i%2 == 1 {
				action, want = "resume", "running"
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			began := time.Now()
			_, err := l.Virsh(ctx, l.Hosts[0], action, "seen")
			cancel()
			if err != nil {
				b.Fatal(err)
			}
			p.Until("the row to say "+want, fmt.Sprintf(`window.seenAt.at(-1)[0] === %q`, want))
			at := time.UnixMilli(int64(browser.Eval[float64](p, `window.seenAt.at(-1)[1]`)))
			times = append(times, at.Sub(began))
		}
		b.ReportMetric(ms(quantile(times, 0.95)), "p95-ms")
		b.Logf("virsh %s to the changed row: p50 %.0f ms, p95 %.0f ms", "suspend/resume", ms(quantile(times, 0.5)), ms(quantile(times, 0.95)))
	}
}
