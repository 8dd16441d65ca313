package db

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

func TestUsers(t *testing.T) {
	d := open(t)
	u := domain.User{ID: "user_1", Name: "Ann", PasswordHash: "h", MustChange: true, Prefs: domain.Prefs{Theme: "dark", Columns: map[string][]string{"vms": {"name"}}}}
	write(t, d, func(tx *Tx) error { return tx.InsertUser(u) })
	got, err := d.UserByName(t.Context(), "ann")
	if err != nil || got.ID != "user_1" || !got.MustChange || got.Prefs.Theme != "dark" || got.Prefs.Columns["vms"][0] != "name" || got.CreatedAt.IsZero() || !got.LastSignIn.IsZero() {
		t.Fatalf("%+v %v", got, err)
	}
	got.MustChange, got.PasswordHash, got.LastSignIn = false, "h2", start
	write(t, d, func(tx *Tx) error { return tx.UpdateUser(got) })
	if got, err = d.User(t.Context(), "user_1"); err != nil || got.MustChange || got.PasswordHash != "h2" || !got.LastSignIn.Equal(start) {
		t.Errorf("%+v %v", got, err)
	}
	err = d.Write(t.Context(), func(tx *Tx) error { return tx.InsertUser(domain.User{ID: "user_2", Name: "ANN"}) })
	wantCode(t, err, domain.Conflict, "user")
	_, err = d.UserByName(t.Context(), "bob")
	wantCode(t, err, domain.NotFound, "user")
	if all, err := d.Users(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%v %v", all, err)
	}
}

func TestTokens(t *testing.T) {
	d := open(t)
	tok := domain.Token{ID: "token_1", Name: "ci", Prefix: "nc_ab", Hash: "h", CreatedBy: "ann", ExpiresAt: start.Add(time.Hour)}
	write(t, d, func(tx *Tx) error { return tx.InsertToken(tok) })
	write(t, d, func(tx *Tx) error { return tx.TouchToken("token_1", start) })
	got, err := d.TokenByHash(t.Context(), "h")
	if err != nil || got.Name != "ci" || !got.LastUsed.Equal(start) || !got.ExpiresAt.Equal(start.Add(time.Hour)) {
		t.Errorf("%+v %v", got, err)
	}
	if all, err := d.Tokens(t.Context()); err != nil || len(all) != 1 || all[0].Prefix != "nc_ab" {
		t.Errorf("%+v %v", all, err)
	}
	write(t, d, func(tx *Tx) error { return tx.DeleteToken("token_1") })
	_, err = d.TokenByHash(t.Context(), "h")
	wantCode(t, err, domain.NotFound, "token")
	wantCode(t, d.Write(t.Context(), func(tx *Tx) error { return tx.TouchToken("token_1", start) }), domain.NotFound)
}

func TestSessions(t *testing.T) {
	d := open(t)
	s := d.Sessions()
	if _, found, err := s.Find("t"); found || err != nil {
		t.Errorf("%v %v", found, err)
	}
	data := []byte{0, 1, 255}
	if err := s.Commit("t", data, start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.CommitCtx(t.Context(), "t", append(data, 7), start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if b, found, err := s.Find("t"); !found || err != nil || !bytes.Equal(b, []byte{0, 1, 255, 7}) {
		t.Errorf("%v %v %v", b, found, err)
	}
	var keys []string
	if err := d.read.db.Select(&keys, "SELECT token_hash FROM sessions"); err != nil || len(keys) != 1 || strings.Contains(keys[0], "t") && keys[0] == "t" {
		t.Errorf("%v %v", keys, err)
	}
	if err := s.Commit("old", data, start); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := s.Find("old"); found {
		t.Error("an expired session was found")
	}
	if err := s.Delete("t"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("t"); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := s.Find("t"); found {
		t.Error("a deleted session was found")
	}
	write(t, d, func(tx *Tx) error {
		_, err := tx.exec("INSERT INTO sessions (token_hash, data, expires_at) VALUES (?, '!', ?)", hashToken("bad"), ms(start.Add(time.Hour)))
		return err
	})
	if _, found, err := s.Find("bad"); found || err != nil {
		t.Errorf("%v %v", found, err)
	}
}

func TestJobRows(t *testing.T) {
	d := open(t)
	job := domain.Job{ID: "job_1", Kind: "vm.start", Title: "Start web-1", State: domain.JobRunning, Resource: domain.Ref{Kind: "vm", ID: "vm_1", Name: "web-1"}, Locks: []string{"vm_1"},
		Input: json.RawMessage(`{"a":1}`), Steps: []domain.JobStep{{Name: "boot", State: domain.StepPending}}, Actor: "ann", CreatedAt: start}
	write(t, d, func(tx *Tx) error {
		if err := tx.InsertJob(job, "key"); err != nil {
			return err
		}
		if err := tx.TakeLocks(job); err != nil {
			return err
		}
		return tx.TakeLocks(job) // its own are no conflict
	})
	if holder, held, err := d.LockHolder(t.Context(), "vm_1"); err != nil || !held || holder.ID != "job_1" {
		t.Errorf("%v %v %v", holder.ID, held, err)
	}
	if _, held, err := d.LockHolder(t.Context(), "vm_2"); err != nil || held {
		t.Errorf("%v %v", held, err)
	}
	write(t, d, func(tx *Tx) error { return tx.AskCancel("job_1") })
	job.State, job.Error, job.Data, job.Progress = domain.JobUndone, &domain.JobError{Code: domain.Conflict, Message: "m"}, json.RawMessage(`2`), domain.Progress{Percent: 12.5, Text: "t"}
	write(t, d, func(tx *Tx) error { return tx.UpdateJob(job) })
	got, err := d.Job(t.Context(), "job_1")
	if err != nil || !got.CancelAsk || got.Error.Message != "m" || string(got.Data) != "2" || got.Progress.Percent != 12.5 || string(got.Input) != `{"a":1}` || got.Locks[0] != "vm_1" || got.Steps[0].Name != "boot" {
		t.Errorf("%+v %v", got, err)
	}
	err = d.Write(t.Context(), func(tx *Tx) error { return tx.InsertJob(domain.Job{ID: "job_2", Actor: "ann"}, "key") })
	wantCode(t, err, domain.Conflict)
	write(t, d, func(tx *Tx) error {
		if got, ok, err := tx.JobByKey("ann", "key"); err != nil || !ok || got.ID != "job_1" {
			t.Errorf("%v %v %v", got.ID, ok, err)
		}
		if _, ok, err := tx.JobByKey("bob", "key"); err != nil || ok {
			t.Errorf("%v %v", ok, err)
		}
		if err := tx.InsertJob(domain.Job{ID: "job_3", Kind: "vm.stop", ParentID: "job_1", State: domain.JobQueued, Actor: "ann"}, ""); err != nil {
			return err
		}
		return tx.InsertJob(domain.Job{ID: "job_4", Kind: "vm.stop", State: domain.JobStuck, Actor: "ann"}, "")
	})
	for want, q := range map[string]JobQuery{
		"job_4 job_3 job_1": {}, "job_4": {State: domain.JobStuck}, "job_3": {Active: true}, "job_4 job_3": {Kind: "vm.stop"}, "job_1": {Resource: "vm_1"},
		"job_3 ": {Parent: "job_1"}, "job_4 job_1": {TopLevel: true}, "job_1 ": {After: "job_3"},
	} {
		page, err := d.Jobs(t.Context(), q)
		var ids []string
		for _, j := range page.Items {
			ids = append(ids, j.ID)
		}
		if err != nil || strings.Join(ids, " ") != strings.TrimSpace(want) {
			t.Errorf("%+v: %v %v", q, ids, err)
		}
	}
	page, err := d.Jobs(t.Context(), JobQuery{Limit: 2})
	if err != nil || page.Next != "job_3" || page.Total != 3 {
		t.Errorf("%+v %v", page, err)
	}
	_, err = d.Jobs(t.Context(), JobQuery{After: "x"})
	wantCode(t, err, domain.Invalid)
	if un, err := d.Unended(t.Context()); err != nil || len(un) != 1 || un[0].ID != "job_3" {
		t.Errorf("%v %v", un, err)
	}
	if ch, err := d.Children(t.Context(), "job_1"); err != nil || len(ch) != 1 {
		t.Errorf("%v %v", ch, err)
	}
	wantCode(t, d.Write(t.Context(), func(tx *Tx) error { return tx.UpdateJob(domain.Job{ID: "job_9"}) }), domain.NotFound, "job")
	wantCode(t, d.Write(t.Context(), func(tx *Tx) error { return tx.AppendJobLog("job_9", domain.JobLine{Text: "x"}) }), domain.Conflict)
}
