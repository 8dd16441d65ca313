package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"novacron/e2e/lab"
	"novacron/e2e/server"
)

// An estate of 1,000 VMs is read 200 times a second, whether the answers before came or not: lists, filters, single things.
func BenchmarkAPIReads(b *testing.B) {
	const hosts, guests, rate, seconds = 10, 100, 200, 30
	s, ids := estate(b, hosts, guests)
	paths := []string{
		"/api/v1/vms?limit=100", "/api/v1/vms?limit=100&sort=-memory", "/api/v1/vms?filter=state:running", "/api/v1/vms?limit=50&filter=" + url.QueryEscape(`vcpus > 1 && name.endsWith("7")`),
		"/api/v1/vms?limit=500&fields=id,name,state", "/api/v1/hosts", "/api/v1/jobs?limit=50", "/api/v1/pools",
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}}
	for b.Loop() {
		var mu sync.Mutex
		var all []time.Duration
		each := map[string][]time.Duration{}
		var wg sync.WaitGroup
		tick := time.NewTicker(time.Second / rate)
		for n := range rate * seconds {
			path := paths[n/2%len(paths)]
			kind := path
			if n%2 == 1 {
				path, kind = "/api/v1/vms/"+ids[n%len(ids)], "one VM"
			}
			due := <-tick.C
			wg.Go(func() {
				res, err := client.Do(get(b, s.URL+path, "Bearer "+s.Token, ""))
				if err != nil {
					b.Error(err)
					return
				}
				defer res.Body.Close()
				if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
					b.Errorf("%s: %s %v", path, res.Status, err)
				}
				mu.Lock()
				defer mu.Unlock()
				took := time.Since(due)
				all, each[kind] = append(all, took), append(each[kind], took)
			})
		}
		tick.Stop()
		wg.Wait()
		b.ReportMetric(ms(quantile(all, 0.99)), "read-p99-ms")
		bar(b, "reads, p99", ms(quantile(all, 0.99)), 25, "ms")
		b.Logf("%d reads at %d a second over %d VMs: p50 %.1f ms, p99 %.1f ms, worst %.1f ms", len(all), rate, len(ids), ms(quantile(all, 0.5)), ms(quantile(all, 0.99)), ms(quantile(all, 1)))
		for _, kind := range slices.Sorted(maps.Keys(each)) {
			b.Logf("%s: p50 %.1f ms, p99 %.1f ms", kind, ms(quantile(each[kind], 0.5)), ms(quantile(each[kind], 0.99)))
		}
	}
}

// bar writes a figure beside what is promised of it.
func bar(b *testing.B, what string, got, most float64, unit string) {
	b.Helper()
	word := "held"
	if got > most {
		word = "MISSED"
	}
	b.Logf("%s: %.1f %s, the bar of %.0f %s is %s", what, got, unit, most, unit, word)
}

// The command line lists 1,000 VMs, from its start to its end.
func BenchmarkVMList(b *testing.B) {
	const hosts, guests, tries = 10, 100, 25
	s, ids := estate(b, hosts, guests)
	for b.Loop() {
		var took []time.Duration
		for range tries {
			took = append(took, timed(func() {
				cmd := exec.Command(server.Binary(b), "vm", "list")
				cmd.Env = append(os.Environ(), "NOVACRON_SERVER="+s.URL, "NOVACRON_TOKEN="+s.Token)
				if out, err := cmd.Output(); err != nil || strings.Count(string(out), "\n") != len(ids)+1 {
					b.Errorf("novacron vm list: %d lines, %v", strings.Count(string(out), "\n"), err)
				}
			}))
		}
		b.ReportMetric(ms(quantile(took, 0.5)), "vm-list-ms")
		bar(b, fmt.Sprintf("novacron vm list of %d, median wall", len(ids)), ms(quantile(took, 0.5)), 150, "ms")
		b.Logf("p99 %.0f ms", ms(quantile(took, 0.99)))
	}
}

// estate is a server over hosts on libvirt's test driver.
func estate(b *testing.B, hosts, guests int) (s *server.Server, ids []string) {
	b.Helper()
	l := up(b, lab.Options{TestDrivers: hosts, TestGuests: guests})
	s = server.Start(b)
	api := s.API()
	for i := range hosts {
		if _, err := api.Do("POST", "/api/v1/hosts?wait=60s", map[string]string{"name": fmt.Sprintf("h%03d", i), "uri": l.TestHosts[i].URI}, nil); err != nil {
			b.Fatal(err)
		}
	}
	server.Wait(b, 2*time.Minute, "every guest", func() error {
		vms, err := api.VMs()
		if err != nil {
			return err
		}
		if ids = ids[:0]; len(vms) < hosts*guests {
			return server.Not(hosts*guests, len(vms))
		}
		for _, v := range vms {
			ids = append(ids, v.ID)
		}
		return nil
	})
	return s, ids
}

// 5,000 programs follow the events: the memory that takes, and how long an event takes to the last of them.
func BenchmarkEventStreams(b *testing.B) {
	const streams, events = 5000, 10
	s, ids := estate(b, 1, 1)
	api := s.API()
	before := rss(b, s.PID())
	ctx, leave := context.WithCancel(context.Background())
	b.Cleanup(leave)
	client := &http.Client{Transport: &http.Transport{ReadBufferSize: 2048, WriteBufferSize: 1024}}
	var got [events]struct {
		n    atomic.Int64
		last atomic.Int64
	}
	var open atomic.Int64
	var wg sync.WaitGroup
	gate := make(chan struct{}, 100) // so many begin at a time
	for range streams {
		gate <- struct{}{}
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/api/v1/events?kind=vm.*&object="+ids[0], nil)
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+s.Token)
			res, err := client.Do(req)
			<-gate
			if err != nil {
				b.Error(err)
				return
			}
			defer res.Body.Close()
			open.Add(1)
			lines := bufio.NewScanner(res.Body)
			lines.Buffer(make([]byte, 0, 2048), 64<<10)
			for n := 0; n < events && lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "data: ") {
					now := time.Now().UnixNano()
					for old := got[n].last.Load(); now > old && !got[n].last.CompareAndSwap(old, now); old = got[n].last.Load() {
					}
					got[n].n.Add(1)
					n++
				}
			}
		})
	}
	server.Wait(b, 2*time.Minute, "every stream", func() error {
		if n := open.Load(); n < streams {
			return server.Not(streams, int(n))
		}
		return nil
	})
	for b.Loop() {
		memory := rss(b, s.PID())
		var slowest time.Duration
		for n := range events {
			began := time.Now()
			if _, err := api.Do("PATCH", "/api/v1/vms/"+ids[0], map[string]string{"notes": fmt.Sprintf("No. %d", n)}, nil); err != nil {
				b.Fatal(err)
			}
			server.Wait(b, time.Minute, "the event at the last", func() error {
				if all := got[n].n.Load(); all < streams {
					return server.Not(streams, int(all))
				}
				return nil
			})
			slowest = max(slowest, time.Duration(got[n].last.Load()-began.UnixNano()))
		}
		memory = max(memory, rss(b, s.PID()))
		bar(b, "resident with every stream", float64(memory)/(1<<20), 400, "MiB")
		bar(b, "an event to the last subscriber", ms(slowest), 1000, "ms")
		b.ReportMetric(float64(memory)/(1<<20), "rss-MiB")
		b.ReportMetric(ms(slowest), "last-subscriber-ms")
		b.Logf("%d streams: %.0f MiB resident (%.0f MiB before), an event at the last of them after at most %.0f ms (of %d)", streams, float64(memory)/(1<<20), float64(before)/(1<<20), ms(slowest), events)
	}
	leave()
	wg.Wait()
}
