package handlers

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkVMList reads the list of an estate of 1,000 VMs with 20 readers at once, over real connections. An address with %d is another page each
// time: what a page costs that nobody has asked for before.
func BenchmarkVMList(b *testing.B) {
	w := newWorld(b)
	who := w.admin()
	for i := range 100 {
		w.mirrored(fmt.Sprintf("h%03d", i), 10)
	}
	for _, path := range []string{"/vms", "/", "/vms?filter=state:running&sort=memory", "/vms?n=%d", "/tasks"} {
		b.Run(path, func(b *testing.B) {
			const readers = 20
			who.c.Transport.(*http.Transport).MaxIdleConnsPerHost = readers
			var mu sync.Mutex
			var took []time.Duration
			var size int64
			var nth atomic.Int64
			var wg sync.WaitGroup
			work := make(chan struct{})
			for range readers {
				wg.Go(func() {
					for range work {
						start := time.Now()
						r, err := http.NewRequest(http.MethodGet, w.url+strings.ReplaceAll(path, "%d", strconv.FormatInt(nth.Add(1), 10)), nil)
						if err != nil {
							b.Error(err)
							return
						}
						r.Header.Set("Accept", "text/html")
						r.Header.Set("Accept-Encoding", "gzip")
						res, err := who.c.Do(r)
						if err != nil {
							b.Error(err)
							return
						}
						n, err := io.Copy(io.Discard, res.Body)
						res.Body.Close()
						if err != nil || res.StatusCode != 200 {
							b.Errorf("%d, %v", res.StatusCode, err)
							return
						}
						mu.Lock()
						took = append(took, time.Since(start))
						size = n
						mu.Unlock()
					}
				})
			}
			b.ResetTimer()
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(size)/1024, "KiB")
		})
	}
}
