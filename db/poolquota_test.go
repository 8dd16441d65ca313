package db

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"novacron/domain"
)

func TestQuotasOfSinglePoolsHoldUnderRaces(t *testing.T) {
	d := open(t)
	tenant(t, d, "a", "", domain.Quota{Pools: map[string]int64{"pool_fast": 10, "pool_slow": 0}})
	var wg sync.WaitGroup
	var made, full atomic.Int64
	for i := range 12 {
		wg.Go(func() {
			err := d.Write(t.Context(), func(tx *Tx) error {
				j := domain.Job{ID: domain.NewID("job", start), Kind: "volume.create", State: domain.JobQueued, Actor: "ann", CreatedAt: start}
				use := domain.Usage{StorageBytes: 4, Pools: map[string]int64{"pool_fast": 4}}
				if i%3 == 2 {
					use = domain.Usage{StorageBytes: 100, Pools: map[string]int64{"pool_slow": 100}}
				}
				if err := tx.InsertJob(j, ""); err != nil {
					return err
				}
				return tx.Admit("a", use, j.ID, use)
			})
			var e *domain.Error
			switch {
			case err == nil && i%3 != 2:
				made.Add(1)
			case errors.As(err, &e) && e.Code == domain.Exhausted && len(e.Reasons) == 1 && e.Reasons[0].Subject == "pools.pool_fast":
				full.Add(1)
			case err != nil:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 2 || full.Load() != 6 {
		t.Errorf("%d went in and %d did not", made.Load(), full.Load())
	}
	u, err := d.TenantUsage(t.Context(), "a")
	if err != nil || u.Pools["pool_fast"] != 8 || u.Pools["pool_slow"] != 400 || u.StorageBytes != 408 {
		t.Errorf("%+v, %v", u, err)
	}
}
