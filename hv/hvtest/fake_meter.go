package hvtest

import (
	"context"
	"maps"
	"slices"

	"novacron/domain"
)

// Count sets what the fake tells of a metric, over what it makes up itself. An empty uuid is the host.
func (f *Fake) Count(r domain.Reading) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.counts == nil {
		f.m.counts = map[domain.Reading]float64{}
	}
	v := r.Value
	r.Value = 0
	f.m.counts[r] = v
}

// Readings implements hv.Meter.
func (c *conn) Readings(ctx context.Context) ([]domain.Reading, error) {
	return do(ctx, c, "Readings", func(m *machine) ([]domain.Reading, error) {
		out := map[domain.Reading]float64{
			{Metric: "novacron_host_memory_total_bytes"}:              float64(m.facts.MemoryBytes),
			{Metric: "novacron_host_cpu_seconds_total", Part: "idle"}: 0,
		}
		for _, g := range m.guests {
			if !g.up() {
				out[domain.Reading{Metric: "novacron_vm_up", UUID: g.uuid}] = 0
				continue
			}
			spec := mustParse(g.live)
			out[domain.Reading{Metric: "novacron_vm_up", UUID: g.uuid}] = 1
			out[domain.Reading{Metric: "novacron_vm_vcpus", UUID: g.uuid}] = float64(spec.VCPUs)
			out[domain.Reading{Metric: "novacron_vm_memory_maximum_bytes", UUID: g.uuid}] = float64(spec.MemoryBytes)
			out[domain.Reading{Metric: "novacron_vm_cpu_seconds_total", UUID: g.uuid}] = 0
		}
		maps.Copy(out, m.counts)
		var list []domain.Reading
		for r, v := range out {
			if _, known := m.guests[r.UUID]; r.UUID == "" || known {
				r.Value = v
				list = append(list, r)
			}
		}
		slices.SortFunc(list, func(a, b domain.Reading) int {
			return slices.Compare([]string{a.UUID, a.Metric, a.Part}, []string{b.UUID, b.Metric, b.Part})
		})
		return list, nil
	})
}
