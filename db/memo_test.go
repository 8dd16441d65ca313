package db

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"novacron/domain"
)

func TestMemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gen atomic.Int64
		m := newMemo[string, int](&gen)
		reads := 0
		gate := make(chan error)
		read := func() (int, error) { reads++; err := <-gate; return reads, err }
		results := make(chan string, 10)
		ask := func(ctx context.Context) {
			v, err := m.get(ctx, "k", read)
			results <- fmt.Sprint(v, " ", err)
		}
		// Five ask, one reads.
		for range 5 {
			go ask(t.Context())
		}
		synctest.Wait()
		gate <- nil
		for range 5 {
			if r := <-results; r != "1 <nil>" {
				t.Error(r)
			}
		}
		// A write begins a new generation; what was being read then is not kept for it.
		gen.Add(1)
		go ask(t.Context())
		synctest.Wait()
		gen.Add(1)
		gate <- nil
		<-results
		go ask(t.Context())
		synctest.Wait()
		gate <- nil
		if r := <-results; r != "3 <nil>" {
			t.Error(r)
		}
		// The first one's cancel is not the second one's end; a domain error is both's.
		gen.Add(1)
		go ask(t.Context())
		synctest.Wait()
		go ask(t.Context())
		synctest.Wait()
		gate <- context.Canceled
		if r := <-results; r != "4 context canceled" {
			t.Error(r)
		}
		gate <- domain.Errorf(domain.Unavailable, "busy")
		if r := <-results; r != "5 busy" {
			t.Error(r)
		}
		go ask(t.Context())
		synctest.Wait()
		gate <- nil
		if r := <-results; r != "6 <nil>" {
			t.Error("an error was kept: ", r)
		}
		// One that waits can go away.
		gen.Add(1)
		go ask(t.Context())
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.get(ctx, "k", read); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		gate <- nil
		<-results
		// It does not grow without end.
		for i := range 3 * maxMemo {
			if _, err := m.get(t.Context(), fmt.Sprint(i), func() (int, error) { return i, nil }); err != nil {
				t.Error(err)
			}
		}
		if len(m.entries) > maxMemo {
			t.Errorf("%d kept", len(m.entries))
		}
		// A panic does not leave others waiting.
		func() {
			defer func() { recover() }()
			m.get(t.Context(), "p", func() (int, error) { panic("p") })
		}()
		if v, err := m.get(t.Context(), "p", func() (int, error) { return 7, nil }); v != 7 || err != nil {
			t.Error(v, err)
		}
	})
}

func TestReadPoolIsBounded(t *testing.T) {
	d := open(t)
	estate(t, d, 1, 3)
	for i := range maxStatements + 20 { // every one is another statement
		if _, err := d.VMIDs(t.Context(), VMQuery{Filter: fmt.Sprintf("%*s", 1+i%3, "x"), Host: "h"}); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := d.read.GetContext(t.Context(), &n, fmt.Sprintf("SELECT count(*) FROM vms WHERE vcpus > %d", i)); err != nil {
			t.Fatal(err)
		}
		var s []string
		if err := d.read.SelectContext(t.Context(), &s, fmt.Sprintf("SELECT id FROM vms WHERE vcpus > %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.read.stmts) > maxStatements {
		t.Errorf("%d statements", len(d.read.stmts))
	}
	if p, err := d.VMs(t.Context(), VMQuery{Filter: "web-2"}); err != nil || p.Total != 1 {
		t.Errorf("%d %v", p.Total, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.VM(ctx, "vm"); err != context.Canceled {
		t.Error(err)
	}
	// All connections taken: one that waits can go away, the others are served.
	for range readers {
		d.read.gate <- struct{}{}
	}
	ctx, cancel = context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Ping(ctx); err != context.Canceled {
			t.Error(err)
		}
	})
	cancel()
	wg.Wait()
	wg.Go(func() {
		if err := d.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
	<-d.read.gate
	wg.Wait()
	for range readers - 1 {
		<-d.read.gate
	}
	var x int
	if err := d.read.GetContext(t.Context(), &x, "SELECT nonsense"); !domain.Is(edge(err, "x"), domain.Internal) {
		t.Error(err)
	}
}
