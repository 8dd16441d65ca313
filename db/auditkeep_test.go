package db

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

func audited(t *testing.T, d *DB, n int) {
	t.Helper()
	ctx := domain.WithCause(t.Context(), &domain.Cause{Actor: "ann"})
	for i := range n {
		if err := d.Write(ctx, func(tx *Tx) error {
			return tx.Audit(domain.AuditRecord{Action: "test", Message: fmt.Sprint("did ", i)})
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheAuditLogIsWholeWithoutItsOldRows(t *testing.T) {
	d := open(t)
	audited(t, d, 10)
	rows, err := d.AuditFrom(t.Context(), 0, 10)
	if err != nil || len(rows) != 10 {
		t.Fatal(len(rows), err)
	}
	if n, err := d.PruneAudit(t.Context(), rows[6].At); err != nil || n != 6 {
		t.Fatalf("%d rows went, %v", n, err)
	}
	if n, err := d.PruneAudit(t.Context(), rows[6].At); err != nil || n != 0 {
		t.Fatalf("again: %d rows went, %v", n, err)
	}
	found, err := d.VerifyAudit(t.Context())
	if err != nil || found != (AuditCheck{Rows: 5, Dropped: 6}) { // four and what is written of the six
		t.Fatalf("%+v, %v", found, err)
	}
	audited(t, d, 3)
	if n, err := d.PruneAudit(t.Context(), rows[8].At); err != nil || n != 2 {
		t.Fatalf("%d rows went, %v", n, err)
	}
	if found, err := d.VerifyAudit(t.Context()); err != nil || found.Dropped != 8 {
		t.Fatalf("%+v, %v", found, err)
	}
	if n, err := d.PruneAudit(t.Context(), time.Now().Add(time.Hour*24*365*100)); err != nil || n == 0 {
		t.Fatalf("all but the newest: %d, %v", n, err)
	}
	left, err := d.AuditLog(t.Context(), AuditQuery{})
	if err != nil || len(left) == 0 || left[0].Action != "audit.pruned" || left[0].Actor != "system" {
		t.Fatalf("%+v, %v", left, err)
	}
	if _, err := d.VerifyAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRetentionIsNoWayToHideRows(t *testing.T) {
	for name, harm := range map[string]struct {
		sql  []string
		want string
	}{
		"rows after the anchor": {[]string{"DELETE FROM audit WHERE seq = 5"}, "not shortened"},
		"anchor moved":          {[]string{"UPDATE settings SET value = '5' || substr(value, 2) WHERE name = 'audit.anchor'", "DELETE FROM audit WHERE seq <= 5"}, "row 1 and what followed it are gone"},
		"anchor gone":           {[]string{"DELETE FROM settings WHERE name = 'audit.anchor'"}, "row 1 is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			audited(t, d, 8)
			rows, err := d.AuditFrom(t.Context(), 3, 1)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := d.PruneAudit(t.Context(), rows[0].At); err != nil || n != 3 {
				t.Fatal(n, err)
			}
			err = nil
			for _, q := range harm.sql {
				if _, e := d.write.Exec(q); e != nil {
					err = e
				}
			}
			if err == nil {
				_, err = d.VerifyAudit(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), harm.want) {
				t.Errorf("%v, want %q", err, harm.want)
			}
		})
	}
}

func TestTheAuditLogSaysWhatCameOfAJob(t *testing.T) {
	d := open(t)
	job := domain.Job{ID: domain.NewID("job", start), Kind: "vm.start", Title: "Start web", State: domain.JobQueued, Resource: domain.Ref{Kind: "vm", ID: "vm_x", Name: "web"}, Actor: "ann", CreatedAt: start}
	ctx := domain.WithCause(t.Context(), &domain.Cause{Subject: "user_1", Actor: "ann", Address: "192.0.2.1", Proof: "passkey"})
	say := func(tx *Tx, text string) error {
		return tx.Emit(domain.Event{Kind: "job.changed", Resource: job.Resource, JobID: job.ID, Actor: "ann", Message: text})
	}
	if err := d.Write(ctx, func(tx *Tx) error {
		if err := tx.InsertJob(job, ""); err != nil {
			return err
		}
		if err := tx.Changes(map[string]int{"vcpus": 2, "memory": 1}, map[string]int{"vcpus": 4, "memory": 1}); err != nil {
			return err
		}
		return say(tx, "queued.")
	}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []domain.JobState{domain.JobRunning, domain.JobUndone} {
		job.State = s
		write(t, d, func(tx *Tx) error {
			if err := tx.UpdateJob(job); err != nil {
				return err
			}
			return say(tx, string(s))
		})
	}
	rows, err := d.AuditLog(t.Context(), AuditQuery{})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%+v, %v", rows, err)
	}
	if r := rows[0]; r.Action != "job.ended" || r.Outcome != "failed" || r.Actor != "ann" || r.Address != "192.0.2.1" || r.Proof != "passkey" || r.JobID != job.ID {
		t.Errorf("the end: %+v", r)
	}
	if r := rows[1]; r.Before != `{"vcpus":2}` || r.After != `{"vcpus":4}` {
		t.Errorf("the asking: %q %q", r.Before, r.After)
	}
}

func TestAuditTargetsAreRemembered(t *testing.T) {
	d := open(t)
	want := AuditTarget{Target: "tcp://log:601", Sent: 7, SentAt: start, Error: "refused", ErrorAt: start}
	for range 2 {
		write(t, d, func(tx *Tx) error { return tx.SaveAuditTarget(want) })
	}
	got, err := d.AuditTargets(t.Context())
	if err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("%+v, %v", got, err)
	}
}
