package db

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"novacron/domain"
)

func TestATrialSeesWhatItWritesAndLeavesNothing(t *testing.T) {
	d := open(t)
	last := d.Feed().Last()
	emit := func(ctx context.Context, kind string) error {
		return d.Write(ctx, func(tx *Tx) error {
			return tx.Emit(domain.Event{Kind: kind, Resource: domain.Ref{Kind: "vm", ID: "vm_1"}, Actor: "test"})
		})
	}
	trial, err := d.Try(t.Context(), func(ctx context.Context) error {
		if !Trying(ctx) || Trying(t.Context()) {
			t.Error("it is not known that this is a trial")
		}
		if err := emit(ctx, "vm.one"); err != nil {
			return err
		}
		refusal := errors.New("no")
		if err := d.Write(ctx, func(tx *Tx) error {
			if err := tx.Emit(domain.Event{Kind: "vm.refused", Actor: "test"}); err != nil {
				return err
			}
			return domain.Errorf(domain.Conflict, "No.").WithCause(refusal)
		}); !domain.Is(err, domain.Conflict) {
			t.Errorf("%v", err)
		}
		if err := d.Write(ctx, func(tx *Tx) error {
			j := domain.Job{ID: "job_1", Kind: "x", Title: "X", State: domain.JobQueued, Actor: "test", CreatedAt: tx.now()}
			return tx.InsertJob(j, "")
		}); err != nil {
			return err
		}
		evs, err := d.Events(ctx, EventQuery{After: last})
		if err != nil || len(evs) != 1 || evs[0].Kind != "vm.one" {
			t.Errorf("it sees %+v %v", evs, err)
		}
		if _, err := d.Job(ctx, "job_1"); err != nil {
			t.Error(err)
		}
		page, err := d.Jobs(ctx, JobQuery{})
		if err != nil || page.Total != 1 {
			t.Errorf("%+v %v", page, err)
		}
		return nil
	})
	if err != nil || len(trial.Events) != 1 || len(trial.Jobs) != 1 || trial.Jobs[0].ID != "job_1" {
		t.Fatalf("%+v %v", trial, err)
	}
	if evs, err := d.Events(t.Context(), EventQuery{After: last}); err != nil || len(evs) != 0 || d.Feed().Last() != last {
		t.Errorf("it left %+v %v", evs, err)
	}
	if page, err := d.Jobs(t.Context(), JobQuery{}); err != nil || page.Total != 0 {
		t.Errorf("it left %+v %v", page, err)
	}
	if _, err := d.Try(t.Context(), func(context.Context) error { return domain.Errorf(domain.Invalid, "No.") }); !domain.Is(err, domain.Invalid) {
		t.Errorf("%v", err)
	}
	if err := emit(t.Context(), "vm.real"); err != nil || d.Feed().Last() != last+1 {
		t.Errorf("afterwards: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Try(gone, func(context.Context) error { return nil }); err == nil {
		if err := d.Write(gone, func(*Tx) error { return nil }); err == nil {
			t.Error("who has left writes")
		}
	}
}

func TestTermsGoWithTheFirstWriteAlone(t *testing.T) {
	d := open(t)
	asked, noted := 0, 0
	refuse := error(nil)
	terms := &Terms{Holds: func(context.Context) error { asked++; return refuse }, Note: func(tx *Tx) error { noted++; return tx.BeginOnce("me", "k", "d") }}
	ctx := WithTerms(t.Context(), terms)
	nothing := func(*Tx) error { return nil }
	refuse = domain.Errorf(domain.Conflict, "Stale.")
	if err := d.Write(ctx, nothing); !domain.Is(err, domain.Conflict) || noted != 0 {
		t.Errorf("%v", err)
	}
	refuse = nil
	if err := d.Write(ctx, func(*Tx) error { return domain.Errorf(domain.Invalid, "No.") }); !domain.Is(err, domain.Invalid) || noted != 0 {
		t.Errorf("%v", err)
	}
	for range 2 {
		if err := d.Write(ctx, nothing); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 3 || noted != 1 || HoldsOf(ctx) == nil || HoldsOf(t.Context()) != nil {
		t.Errorf("asked %d times, noted %d times", asked, noted)
	}
}

func TestARequestIsRememberedForADay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "novacron.db")
	d := openAt(t, path)
	if _, ok, err := d.Once(t.Context(), "me", "k"); ok || err != nil {
		t.Fatal(ok, err)
	}
	write(t, d, func(tx *Tx) error { return tx.BeginOnce("me", "k", "digest") })
	if o, ok, err := d.Once(t.Context(), "me", "k"); !ok || err != nil || o.Asked != "digest" || o.Status != 0 {
		t.Fatal(o, ok, err)
	}
	write(t, d, func(tx *Tx) error {
		return tx.EndOnce("me", "k", Once{Status: 201, JobID: "job_1", Header: map[string]string{"ETag": "x"}, Body: []byte(`{"token":"secret"}`)})
	})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openAt(t, path)
	o, ok, err := d.Once(t.Context(), "me", "k")
	if !ok || err != nil || o.Status != 201 || o.JobID != "job_1" || string(o.Body) != `{"token":"secret"}` || o.Header["ETag"] != "x" {
		t.Fatal(o, ok, err)
	}
	if _, ok, _ := d.Once(t.Context(), "you", "k"); ok {
		t.Error("somebody else's")
	}
	write(t, d, func(tx *Tx) error {
		_, err := tx.exec("UPDATE idempotency SET created_at = created_at - ?", (25 * time.Hour).Milliseconds())
		return err
	})
	if _, ok, _ := d.Once(t.Context(), "me", "k"); ok {
		t.Error("it is remembered for longer than a day")
	}
	write(t, d, func(tx *Tx) error { return tx.BeginOnce("me", "k2", "digest") })
	write(t, d, func(tx *Tx) error { return tx.DropOnce("me", "k2") })
	var n int
	if err := d.read.GetContext(t.Context(), &n, "SELECT count(*) FROM idempotency"); err != nil || n != 0 {
		t.Errorf("%d are left, %v", n, err)
	}
}
