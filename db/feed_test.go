package db

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"novacron/domain"
)

func emit(t testing.TB, d *DB, n int) {
	t.Helper()
	write(t, d, func(tx *Tx) error {
		for range n {
			if err := tx.Emit(domain.Event{Kind: "x", Resource: domain.Ref{Kind: "vm", ID: "vm_1"}, HostID: "host_1", JobID: "job_1", Actor: "ann", Message: "m"}); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestFeedFollows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	d := openAt(t, path)
	f := d.Feed()
	if evs, gap := f.Since(0, 10); len(evs) != 0 || gap || f.Last() != 0 {
		t.Fatalf("empty: %v %v %d", evs, gap, f.Last())
	}
	emit(t, d, 5)
	evs, gap := f.Since(2, 2)
	if gap || len(evs) != 2 || evs[0].Seq != 3 || evs[1].Seq != 4 || evs[0].At.IsZero() || evs[0].Message != "m" {
		t.Errorf("%v %+v", gap, evs)
	}
	if evs, gap := f.Since(5, 0); gap || len(evs) != 0 {
		t.Errorf("at the end: %v %v", evs, gap)
	}
	if _, gap := f.Since(99, 0); !gap {
		t.Error("a number of another database is a gap")
	}
	if err := f.Wait(t.Context(), 4); err != nil {
		t.Error(err)
	}
	// After a restart the ring has what the table has.
	d.Close()
	d = openAt(t, path)
	if evs, gap := d.Feed().Since(0, 0); gap || len(evs) != 5 || d.Feed().Last() != 5 {
		t.Errorf("reopened: %v %d", gap, len(evs))
	}
}

func TestFeedForgetsButSaysSo(t *testing.T) {
	f := newFeed(8)
	seq := int64(0)
	for range 100 {
		seq++
		f.add([]domain.Event{{Seq: seq}})
	}
	if _, gap := f.Since(10, 0); !gap {
		t.Error("no gap")
	}
	evs, gap := f.Since(seq-8, 0)
	if gap || len(evs) != 8 || evs[0].Seq != seq-7 {
		t.Errorf("%v %v", gap, evs)
	}
	f.restart([]domain.Event{{Seq: seq + 5}})
	if _, gap := f.Since(seq, 0); !gap || f.Last() != seq+5 {
		t.Error("no gap after events that could not be read")
	}
	if evs, gap := f.Since(seq+4, 0); gap || len(evs) != 1 {
		t.Error(evs, gap)
	}
	if len(f.ring) > 16 {
		t.Errorf("%d in memory", len(f.ring))
	}
}

func TestFeedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(8)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := f.Wait(t.Context(), 0); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		f.add([]domain.Event{{Seq: 1}})
		wg.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Wait(ctx, 1); err != context.DeadlineExceeded {
			t.Error(err)
		}
	})
}

// TestNoSubscriberMisses has readers follow while writers write; each must see every number once.
func TestNoSubscriberMisses(t *testing.T) {
	d := open(t)
	const writers, each = 4, 50
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for seq := int64(0); seq < writers*each; {
				if err := d.Feed().Wait(t.Context(), seq); err != nil {
					t.Error(err)
					return
				}
				evs, gap := d.Feed().Since(seq, 7)
				if gap {
					t.Error("gap")
					return
				}
				for _, ev := range evs {
					if ev.Seq != seq+1 {
						t.Errorf("after %d came %d", seq, ev.Seq)
					}
					seq = ev.Seq
				}
			}
		})
	}
	for range writers {
		wg.Go(func() {
			for range each {
				emit(t, d, 1)
			}
		})
	}
	wg.Wait()
}

func TestEventQueries(t *testing.T) {
	d := open(t)
	emit(t, d, 3)
	write(t, d, func(tx *Tx) error {
		for i := range 4 {
			if err := tx.Emit(domain.Event{Kind: "y", Resource: domain.Ref{Kind: "host", ID: "host_2"}, HostID: "host_2", JobID: fmt.Sprint("job_", i)}); err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range []struct {
		q    EventQuery
		want []int64
	}{
		{EventQuery{}, []int64{1, 2, 3, 4, 5, 6, 7}},
		{EventQuery{Newest: true, Limit: 2}, []int64{7, 6}},
		{EventQuery{After: 5}, []int64{6, 7}},
		{EventQuery{Before: 3}, []int64{1, 2}},
		{EventQuery{Resource: "vm_1", Newest: true}, []int64{3, 2, 1}},
		{EventQuery{HostID: "host_2", Limit: 1}, []int64{4}},
		{EventQuery{JobID: "job_2"}, []int64{6}},
	} {
		evs, err := d.Events(t.Context(), c.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, ev := range evs {
			got = append(got, ev.Seq)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%+v: %v, want %v", c.q, got, c.want)
		}
	}
}
