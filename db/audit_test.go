package db

import (
	"fmt"
	"strings"
	"testing"

	"novacron/domain"
)

func TestTheAuditLogShowsWhatWasDoneToIt(t *testing.T) {
	for name, harm := range map[string]struct{ sql, want string }{
		"changed":     {"UPDATE audit SET actor = 'bob' WHERE seq = 3", "row 3 was changed"},
		"missing":     {"DELETE FROM audit WHERE seq = 4", "row 4 is missing"},
		"the end":     {"DELETE FROM audit WHERE seq = 6", "row 6"},
		"two swapped": {"UPDATE audit SET message = CASE seq WHEN 2 THEN 'did 3' ELSE 'did 2' END WHERE seq IN (2, 3)", "row 2 was changed"},
		"the head":    {"UPDATE settings SET value = '5 x y' WHERE name = 'audit.head'", "row 7"},
		"nothing":     {"SELECT 1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			ctx := domain.WithCause(t.Context(), &domain.Cause{Subject: "user_1", Actor: "ann", Address: "192.0.2.1", Proof: "password", Detail: `{"name":"x"}`})
			for i := range 6 {
				if err := d.Write(ctx, func(tx *Tx) error {
					return tx.Emit(domain.Event{Kind: "tenant.created", Resource: domain.Ref{Kind: "tenant", ID: "a", Name: "A"}, Actor: "ann", Message: fmt.Sprint("did ", i+1)})
				}); err != nil {
					t.Fatal(err)
				}
			}
			if n, err := d.VerifyAudit(t.Context()); err != nil || n.Rows != 6 {
				t.Fatalf("%d %v", n, err)
			}
			if strings.HasPrefix(harm.sql, "UPDATE audit") || strings.HasPrefix(harm.sql, "DELETE") {
				if _, err := d.write.Exec(harm.sql); err == nil {
					t.Error("the log can be changed while its triggers stand")
				}
				for _, trigger := range []string{"audit_keeps", "audit_stays"} {
					if _, err := d.write.Exec("DROP TRIGGER " + trigger); err != nil {
						t.Fatal(err)
					}
				}
			}
			if _, err := d.write.Exec(harm.sql); err != nil {
				t.Fatal(err)
			}
			_, err := d.VerifyAudit(t.Context())
			if harm.want == "" && err != nil || harm.want != "" && (!domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), harm.want)) {
				t.Errorf("%v, want %q", err, harm.want)
			}
		})
	}
}

func TestTheAuditLogIsSearched(t *testing.T) {
	d := open(t)
	write(t, d, func(tx *Tx) error { // no cause: the server's own work
		return tx.Emit(domain.Event{Kind: "vm.changed", Actor: "system", Message: "by itself"})
	})
	ctx := domain.WithCause(t.Context(), &domain.Cause{Subject: "user_1", Actor: "ann", Address: "192.0.2.1"})
	if err := d.Write(ctx, func(tx *Tx) error {
		if err := tx.Before(map[string]int{"vms": 1}); err != nil {
			return err
		}
		if err := tx.Emit(domain.Event{Kind: "tenant.changed", Resource: domain.Ref{Kind: "tenant", ID: "a"}, Tenant: "a", Message: "A was changed."}); err != nil {
			return err
		}
		return tx.Audit(domain.AuditRecord{Action: "request", Outcome: "denied", Message: "POST /x was denied."})
	}); err != nil {
		t.Fatal(err)
	}
	for q, want := range map[AuditQuery]int{{}: 2, {Actor: "ANN"}: 2, {Actor: "user_1"}: 2, {Actor: "bob"}: 0, {Object: "a"}: 1, {Action: "tenant."}: 1, {Outcome: "denied"}: 1, {Words: "changed 192.0.2"}: 1,
		{Before: 2}: 1, {Limit: 1}: 1, {From: start.AddDate(1, 0, 0)}: 0, {To: start.AddDate(1, 0, 0)}: 2} {
		rows, err := d.AuditLog(t.Context(), q)
		if err != nil || len(rows) != want {
			t.Errorf("%+v: %d rows, %v", q, len(rows), err)
		}
	}
	rows, err := d.AuditLog(t.Context(), AuditQuery{Object: "a"})
	if err != nil || rows[0].Before != `{"vms":1}` || rows[0].Address != "192.0.2.1" || rows[0].Outcome != "ok" || rows[0].Tenant != "a" {
		t.Errorf("%+v %v", rows, err)
	}
}
