package meter

import (
	"context"
	"sync"
	"time"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

// Guests keeps what guests' agents tell as series. They are asked by somebody else, at a slower pace than hosts.
type Guests struct {
	db    *db.DB
	store *series.Store
	clock func() time.Time
	names names

	mu   sync.Mutex
	told map[string][]series.Labels // what was told last, by the VM's id
}

// NewGuests makes it.
func NewGuests(d *db.DB, store *series.Store, clock func() time.Time) *Guests {
	return &Guests{db: d, store: store, clock: clock, names: names{db: d}, told: map[string][]series.Labels{}}
}

// Tell keeps what an agent told just now. What it told before and does not any more has ended.
func (g *Guests) Tell(ctx context.Context, vm domain.VM, f domain.GuestFacts) error {
	vms, err := g.names.of(ctx, vm.HostID)
	if err != nil {
		return err
	}
	h, err := g.db.Host(ctx, vm.HostID)
	if domain.Is(err, domain.NotFound) {
		return nil // it was removed meanwhile
	}
	name, ok := vms[vm.UUID]
	if err != nil || !ok {
		return err
	}
	var batch []series.Sample
	tell := func(metric, part string, v float64) {
		m, _ := domain.MetricOf(metric)
		batch = append(batch, series.Sample{Labels: labelsOf(m, domain.Reading{Part: part}, h, name), Value: v})
	}
	seen := map[string]bool{} // one that is mounted at two places under one name is told once
	for _, x := range f.FileSystems {
		if x.TotalBytes > 0 && !seen[x.Mount] {
			seen[x.Mount] = true
			tell("novacron_vm_filesystem_size_bytes", x.Mount, float64(x.TotalBytes))
			tell("novacron_vm_filesystem_used_bytes", x.Mount, float64(x.UsedBytes))
		}
	}
	for i, minutes := range []string{"1", "5", "15"} {
		if i < len(f.Load) {
			tell("novacron_vm_load", minutes, f.Load[i])
		}
	}
	if !f.Clock.IsZero() {
		tell("novacron_vm_clock_skew_seconds", "", f.Skew.Seconds())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := make([]series.Labels, len(batch))
	here := make(map[string]bool, len(batch))
	for i, x := range batch {
		now[i] = x.Labels
		here[x.Labels.String()] = true
	}
	for _, l := range g.told[vm.ID] {
		if !here[l.String()] {
			batch = append(batch, series.Sample{Labels: l, Value: series.Stale})
		}
	}
	if len(batch) == 0 {
		return nil
	}
	if err := g.store.Append(ctx, g.clock(), batch); err != nil {
		return err
	}
	if g.told[vm.ID] = now; len(now) == 0 {
		delete(g.told, vm.ID)
	}
	return nil
}
