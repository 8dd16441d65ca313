package api

import (
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
)

func TestMigrationsAreListedWithTheirPaths(t *testing.T) {
	w := newWorld(t)
	if p := want[MigrationPaths](t, w.do("GET", "/api/v1/migrations/paths", nil), 200); len(p.Items) != 0 {
		t.Errorf("of nothing: %+v", p)
	}
	f := &domain.MigrationForecast{Seconds: domain.Interval{P05: 1, P50: 2, P95: 4}}
	at := time.Unix(1_700_000_000, 0)
	if err := w.db.Write(t.Context(), func(tx *db.Tx) error {
		for id, seconds := range map[string]float64{"job_1": 2, "job_2": 2.5, "job_3": 8} {
			if err := tx.PutMigration(domain.MigrationRecord{JobID: id, VMID: "vm_1", FromID: "host_a", FromName: "a", ToID: "host_b", ToName: "b", Mode: domain.MigrateLive, State: "succeeded", Started: at, Ended: at,
				Forecast: f, Result: &domain.MigrationFigures{Seconds: seconds, Rate: 100}}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p := want[MigrationPaths](t, w.do("GET", "/api/v1/migrations/paths", nil), 200)
	if len(p.Items) != 1 || p.Items[0] != (domain.MigrationPath{FromID: "host_a", From: "a", ToID: "host_b", To: "b", Mode: domain.MigrateLive, Count: 3, Told: 3, Error: 0.2, Coverage: 0.667, Rate: 100}) {
		t.Errorf("%+v", p.Items)
	}
	if l := want[MigrationPage](t, w.do("GET", "/api/v1/migrations?state=stuck", nil), 200); len(l.Items) != 0 {
		t.Errorf("stuck are %+v", l.Items)
	}
	if l := want[MigrationPage](t, w.do("GET", "/api/v1/migrations?state=succeeded&from=host_a", nil), 200); len(l.Items) != 3 {
		t.Errorf("%d succeeded", len(l.Items))
	}
	refused(t, w.do("GET", "/api/v1/migrations?state=lost", nil), 422, "")
}
