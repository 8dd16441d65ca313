package db

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"novacron/domain"
)

// The figures that the VM list is held to: 100 of 1,000 VMs on 100 hosts, 20 readers at once, while rows change.
func BenchmarkVMList(b *testing.B) {
	d := open(b)
	estate(b, d, 100, 1000)
	for name, q := range map[string]VMQuery{
		"first page":  {Limit: 100},
		"by state":    {Limit: 100, Sort: "state", Desc: true},
		"filtered":    {Limit: 100, Filter: "web state:running mem>=2G"},
		"one of many": {Limit: 100, Filter: "52:54:00:00:01:10"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := d.VMs(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+", 20 readers and a writer", func(b *testing.B) {
			stop := make(chan struct{})
			var writer sync.WaitGroup
			writer.Go(func() { // 100 hosts that report something once in a while: 50 changes a second
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-tick.C:
					}
					g := guest(fmt.Sprintf("web-%d", i%1000+1), i%1000)
					g.Config.Description = fmt.Sprint(i)
					if err := d.Write(b.Context(), func(tx *Tx) error {
						_, _, _, err := tx.UpsertGuest(fmt.Sprintf("host_h-%d", i%100+1), g, start)
						if err != nil {
							return err
						}
						return tx.Emit(domain.Event{Kind: "vm.changed"})
					}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			var mu sync.Mutex
			var took []time.Duration
			var readers sync.WaitGroup
			left := make(chan struct{}, b.N)
			for range b.N {
				left <- struct{}{}
			}
			close(left)
			b.ResetTimer()
			for range 20 {
				readers.Go(func() {
					for range left {
						begin := time.Now()
						if _, err := d.VMs(b.Context(), q); err != nil {
							b.Error(err)
							return
						}
						mu.Lock()
						took = append(took, time.Since(begin))
						mu.Unlock()
					}
				})
			}
			readers.Wait()
			b.StopTimer()
			close(stop)
			writer.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

func BenchmarkOverview(b *testing.B) {
	d := open(b)
	estate(b, d, 100, 1000)
	for b.Loop() {
		if _, err := d.Overview(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	d := open(b)
	estate(b, d, 100, 1000)
	for b.Loop() {
		if _, err := d.Search(b.Context(), "web-99", 20); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnchangedGuest(b *testing.B) {
	d := open(b)
	estate(b, d, 1, 1)
	g := guest("web-1", 0)
	g.State = domain.VMRunning
	live := g.Config
	g.Live = &live
	write(b, d, func(tx *Tx) error {
		for b.Loop() {
			if _, _, changed, err := tx.UpsertGuest("host_h-1", g, start); err != nil || changed {
				b.Fatal(changed, err)
			}
		}
		return nil
	})
}

func BenchmarkWrite(b *testing.B) {
	d := open(b)
	for b.Loop() {
		if err := d.Write(b.Context(), func(tx *Tx) error { return tx.Emit(domain.Event{Kind: "x"}) }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAdopt is a host with 10 guests seen for the first time.
func BenchmarkAdopt(b *testing.B) {
	d := open(b)
	estate(b, d, 1, 0)
	n := 0
	for b.Loop() {
		write(b, d, func(tx *Tx) error {
			for range 10 {
				n++
				if _, _, _, err := tx.UpsertGuest("host_h-1", guest(fmt.Sprint("web-", n), n), start); err != nil {
					return err
				}
				if err := tx.Emit(domain.Event{Kind: "vm.created"}); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// A page of 5,000 volumes on 100 hosts, 20 of them on storage that two hosts share, as the first reader after a change pays for it.
func BenchmarkVolumes(b *testing.B) {
	d := open(b)
	estate(b, d, 100, 1000)
	write(b, d, func(tx *Tx) error {
		for h := range 100 {
			inv := domain.Inventory{Pools: []domain.Pool{{Name: "default", Type: "dir", Active: true, Target: "/images"}}}
			if h < 2 {
				inv.Pools = append(inv.Pools, domain.Pool{Name: "shared", Type: "netfs", Identity: "netfs:x:/y", Active: true, Target: "/mnt"})
			}
			for i := range 50 {
				v := domain.Volume{Pool: "default", Name: fmt.Sprintf("v-%03d-%02d.qcow2", h, i), Format: "qcow2", CapacityBytes: domain.GiB, AllocationBytes: domain.MiB}
				if v.Path = "/images/" + v.Name; h < 2 && i < 20 {
					v.Pool, v.Name, v.Path = "shared", fmt.Sprintf("s-%02d", i), fmt.Sprintf("/mnt/s-%02d", i)
				}
				inv.Volumes = append(inv.Volumes, v)
			}
			if _, err := tx.ReplaceInventory(fmt.Sprintf("host_h-%d", h+1), inv); err != nil {
				return err
			}
		}
		return nil
	})
	for name, q := range map[string]VolumeQuery{"first page": {Limit: 100}, "by size": {Limit: 100, Sort: "size", Desc: true}, "orphans": {Limit: 100, Orphans: true}, "text": {Limit: 100, Search: "05"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := d.readVolumes(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("pools", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.readPools(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
