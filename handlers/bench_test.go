package handlers

import (
	"context"
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

	"novacron/db"
	"novacron/domain"
)

// volumes gives a host a pool with n volumes.
func (w *world) volumes(hostID string, n int) {
	w.t.Helper()
	inv := domain.Inventory{Pools: []domain.Pool{{Name: "default", Type: "dir", Active: true, CapacityBytes: domain.TiB, Target: "/images"}}}
	for i := range n {
		name := fmt.Sprintf("g%04d.qcow2", i)
		inv.Volumes = append(inv.Volumes, domain.Volume{Pool: "default", Name: name, Path: "/images/" + name, Format: "qcow2", CapacityBytes: domain.GiB, AllocationBytes: domain.MiB})
	}
	if err := w.db.Write(context.Background(), func(tx *db.Tx) error { _, err := tx.ReplaceInventory(hostID, inv); return err }); err != nil {
		w.t.Fatal(err)
	}
}

// BenchmarkVMList reads the list of an estate of 1,000 VMs with 20 readers at once, over real connections. An address with %d is another page each
// time: what a page costs that nobody has asked for before.
func BenchmarkVMList(b *testing.B) {
	w := newWorld(b)
	who := w.admin()
	for i := range 100 {
		w.volumes(w.mirrored(fmt.Sprintf("h%03d", i), 10), 50)
	}
	for _, path := range []string{"/vms", "/", "/vms?filter=state:running&sort=memory", "/vms?n=%d", "/tasks", "/storage?n=%d", "/storage/volumes?n=%d"} {
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
