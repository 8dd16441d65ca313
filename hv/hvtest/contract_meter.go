package hvtest

import (
	"testing"

	"novacron/domain"
)

// meter reads counters of a guest before and while it runs.
func (c contract) meter(t *testing.T, s *session) {
	v := s.defined()
	read := func() map[domain.Reading]float64 {
		t.Helper()
		list, err := s.h.Readings(s.ctx())
		s.must(err)
		out := map[domain.Reading]float64{}
		for _, r := range list {
			m, ok := domain.MetricOf(r.Metric)
			if !ok || m.OfVM() != (r.UUID != "") || (m.Part != "") != (r.Part != "") {
				t.Errorf("a reading that fits no metric: %+v", r)
			}
			value := r.Value
			r.Value = 0
			if _, twice := out[r]; twice {
				t.Errorf("told twice: %+v", r)
			}
			out[r] = value
		}
		return out
	}
	of := func(metric string) domain.Reading { return domain.Reading{Metric: metric, UUID: v.UUID} }
	if up, ok := read()[of("novacron_vm_up")]; !ok || up != 0 {
		t.Errorf("a stopped guest is up: %v (told: %v)", up, ok)
	}
	s.must(s.h.Start(s.ctx(), v.UUID))
	first := read()
	if first[of("novacron_vm_up")] != 1 {
		t.Errorf("a running guest is not up: %v", first)
	}
	if c.opt.Driver == "TEST" { // it tells nothing but states
		return
	}
	if n := first[of("novacron_vm_vcpus")]; n != float64(v.VCPUs) {
		t.Errorf("it has %v processors, want %d", n, v.VCPUs)
	}
	if n := first[of("novacron_vm_memory_maximum_bytes")]; n != float64(v.MemoryBytes) {
		t.Errorf("it has %v bytes of memory, want %d", n, v.MemoryBytes)
	}
	if n := first[domain.Reading{Metric: "novacron_host_memory_total_bytes"}]; n < 1<<26 {
		t.Errorf("the host has %v bytes of memory", n)
	}
	if _, ok := first[domain.Reading{Metric: "novacron_host_cpu_seconds_total", Part: "idle"}]; !ok {
		t.Error("the host tells no idle time")
	}
	second := read()
	for _, name := range []string{"novacron_vm_cpu_seconds_total"} {
		a, ok := first[of(name)]
		if b := second[of(name)]; !ok || b < a {
			t.Errorf("%s went from %v to %v", name, a, b)
		}
	}
}
