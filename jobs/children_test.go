package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"novacron/db"
	"novacron/domain"
)

func TestChildrenDoNotStarveTheirParents(t *testing.T) {
	d := openDB(t)
	child := kind("child", Step{Name: "s", NoUndo: "test", Do: func(ctx context.Context, r *Run) error {
		var n int
		if err := r.Input(&n); err != nil {
			return err
		}
		if n%5 == 4 {
			return domain.Errorf(domain.Conflict, "child %d fails", n)
		}
		return nil
	}})
	parent := kind("parent", Step{Name: "all", NoUndo: "test", Do: func(ctx context.Context, r *Run) error {
		for i := range 10 {
			req := Request{Kind: "child", Title: fmt.Sprint("child ", i), Input: i, Key: fmt.Sprint(i), Locks: []string{fmt.Sprint(r.Job().ID, i)}}
			one, err := r.Child(ctx, req)
			if err != nil {
				return err
			}
			if two, err := r.Child(ctx, req); err != nil || two.ID != one.ID {
				return fmt.Errorf("the same child twice: %v %v %w", one.ID, two.ID, err)
			}
		}
		if _, err := r.Child(ctx, Request{Kind: "child"}); !domain.Is(err, domain.Internal) {
			return errors.New("a child without a key")
		}
		children, err := r.WaitChildren(ctx)
		if err != nil {
			return err
		}
		ok := 0
		for _, c := range children {
			if c.State == domain.JobSucceeded {
				ok++
			}
		}
		return r.Result(ok)
	}})
	e := newEngine(t, d, Options{Workers: 2}, parent, child)
	run(t, e)
	var ids []string
	for range 6 { // three times the workers
		ids = append(ids, enqueue(t, e, Request{Kind: "parent"}).ID)
	}
	for _, id := range ids {
		job := wait(t, e, id)
		if job.State != domain.JobSucceeded || string(job.Result) != "8" {
			t.Errorf("%s %s %+v", states(job), job.Result, job.Error)
		}
		page, err := d.Jobs(t.Context(), db.JobQuery{Parent: id})
		if err != nil || page.Total != 10 {
			t.Errorf("%d children, %v", page.Total, err)
		}
	}
	if page, err := d.Jobs(t.Context(), db.JobQuery{TopLevel: true}); err != nil || page.Total != 6 {
		t.Errorf("%d at the top, %v", page.Total, err)
	}
}

func TestCancelReachesChildrenFirst(t *testing.T) {
	d, w := openDB(t), &world{}
	began := make(chan bool, 10)
	child := kind("child", w.step("c", func(ctx context.Context, r *Run) error { began <- true; <-ctx.Done(); return ctx.Err() }))
	parent := kind("parent", w.step("p", func(ctx context.Context, r *Run) error {
		for i := range 3 {
			if _, err := r.Child(ctx, Request{Kind: "child", Key: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		_, err := r.WaitChildren(ctx)
		return err
	}))
	e := newEngine(t, d, Options{Workers: 2}, parent, child)
	run(t, e)
	job := enqueue(t, e, Request{Kind: "parent"})
	<-began
	<-began // the third is queued
	if err := e.Cancel(t.Context(), job.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	job = wait(t, e, job.ID)
	h := w.history()
	if states(job) != "undone: undone" || !strings.HasPrefix(h, "+p ") || !strings.HasSuffix(h, " -p") || strings.Count(h, "+c") != strings.Count(h, "-c") {
		t.Errorf("%s; %s", states(job), h)
	}
	children, _ := d.Children(t.Context(), job.ID)
	for _, c := range children {
		if c.State != domain.JobUndone || c.Error == nil {
			t.Errorf("child %s", states(c))
		}
	}
}

func TestAFailingParentSettlesItsChildren(t *testing.T) {
	d, w := openDB(t), &world{}
	began := make(chan bool, 10)
	child := kind("child", w.step("c", func(ctx context.Context, r *Run) error { began <- true; <-ctx.Done(); return ctx.Err() }))
	parent := kind("parent", w.step("p", func(ctx context.Context, r *Run) error {
		if _, err := r.Child(ctx, Request{Kind: "child", Key: "1"}); err != nil {
			return err
		}
		<-began
		return domain.Errorf(domain.Conflict, "no")
	}))
	e := newEngine(t, d, Options{}, parent, child)
	run(t, e)
	job := wait(t, e, enqueue(t, e, Request{Kind: "parent"}).ID)
	if states(job) != "undone: undone" || w.history() != "+p +c -c -p" {
		t.Errorf("%s; %s", states(job), w.history())
	}
}

func TestProgressIsLatestAndRested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDB(t)
		e := NewEngine(d, slog.New(slog.DiscardHandler), time.Now, Options{})
		e.Register(kind("k", Step{Name: "s", NoUndo: "test", Do: func(ctx context.Context, r *Run) error {
			for i := range 1000 {
				r.Progress(float64(i)/10, fmt.Sprint(i))
				time.Sleep(10 * time.Millisecond) // the bubble's clock
			}
			if p, ok := e.Progress(r.Job().ID); !ok || p.Text != "999" {
				t.Errorf("progress %+v %v", p, ok)
			}
			return nil
		}}))
		stop := run(t, e)
		ctx, cancel := context.WithCancel(t.Context())
		var calls []domain.Progress
		done := make(chan bool)
		go func() {
			e.Live(ctx, func(_ string, p domain.Progress) { calls = append(calls, p) })
			close(done)
		}()
		job := enqueue(t, e, Request{Kind: "k"})
		wait2(t, e, job.ID)
		cancel()
		<-done
		if len(calls) < 9 || len(calls) > 12 {
			t.Errorf("told %d times in 10 s: %v", len(calls), calls)
		}
		if _, ok := e.Progress(job.ID); ok {
			t.Error("an ended job has progress")
		}
		stop()
		d.Close()
	})
}

func TestLogIsWrittenDuringLongSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDB(t)
		gate := make(chan bool)
		e := NewEngine(d, slog.New(slog.DiscardHandler), time.Now, Options{})
		e.Register(kind("k", Step{Name: "s", NoUndo: "test", Do: func(ctx context.Context, r *Run) error {
			r.Log("one")
			r.Log("two")
			<-gate
			r.Log("three")
			return nil
		}}))
		stop := run(t, e)
		job := enqueue(t, e, Request{Kind: "k"})
		time.Sleep(time.Second) // the bubble's clock
		if lines, _ := d.JobLog(t.Context(), job.ID); len(lines) != 2 {
			t.Errorf("during the step: %v", lines)
		}
		gate <- true
		wait2(t, e, job.ID)
		if lines, _ := d.JobLog(t.Context(), job.ID); len(lines) != 3 || lines[2].Text != "three" {
			t.Errorf("after it: %v", lines)
		}
		stop()
		d.Close()
	})
}

func TestManyJobsAtOnce(t *testing.T) {
	d, w := openDB(t), &world{}
	e := newEngine(t, d, Options{Workers: 4}, kind("k", w.step("a", nil), w.step("b", nil)))
	run(t, e)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				job, err := e.Enqueue(t.Context(), Request{Kind: "k", Actor: "ann", Locks: []string{fmt.Sprint(i, "/", j)}})
				if err != nil {
					t.Error(err)
					return
				}
				if j%3 == 0 {
					if err := e.Cancel(t.Context(), job.ID, "bob"); err != nil && !domain.Is(err, domain.Conflict) {
						t.Error(err)
					}
				}
				if got, err := e.Wait(t.Context(), job.ID); err != nil || got.State != domain.JobSucceeded && got.State != domain.JobUndone {
					t.Errorf("%s %v", states(got), err)
				}
			}
		})
	}
	wg.Wait()
	if o, err := d.Overview(t.Context()); err != nil || o.ActiveJobs != 0 || o.StuckJobs != 0 {
		t.Errorf("%+v %v", o, err)
	}
}
