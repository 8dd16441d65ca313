package alerts

import (
	"fmt"
	"testing"
	"time"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

// BenchmarkJudge evaluates 2,000 rules once, over an hour of 1,000 VMs: a rate of one VM each, a hundredth of them firing. At one evaluation each 15 s,
// 20 % of a core are 3 s an evaluation.
func BenchmarkJudge(b *testing.B) {
	const vms, rules = 1000, 2000
	w := newRig(b)
	var of []series.Labels
	for i := range vms {
		vm := fmt.Sprintf("vm-%d", i)
		of = append(of, series.Of("novacron_vm_cpu_seconds_total", "vm", vm, "vm_id", "vm_"+vm, "host", fmt.Sprintf("h%d", i%100)))
	}
	batch := make([]series.Sample, vms)
	began := w.now
	for round := range 60 {
		for i := range of {
			batch[i] = series.Sample{Labels: of[i], Value: float64(round * (i % 7))}
		}
		w.now = began.Add(time.Duration(round) * 10 * time.Second)
		if err := w.store.Append(b.Context(), w.now, batch); err != nil {
			b.Fatal(err)
		}
	}
	err := w.d.Write(b.Context(), func(tx *db.Tx) error {
		for i := range rules {
			over := "100"
			if i%100 == 1 {
				over = "-1"
			}
			r := domain.AlertRule{ID: domain.NewID("arule", w.now), CreatedAt: w.now, Name: fmt.Sprintf("Busy%d", i), Expr: fmt.Sprintf(`rate(novacron_vm_cpu_seconds_total{vm="vm-%d"}[5m]) > %s`, i%vms, over),
				Annotations: map[string]string{"summary": "{{ $labels.vm }} takes {{ $value }}"}}
			if err := tx.PutAlertRule(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := w.judge.Once(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	n := 0
	for b.Loop() {
		n++
		w.now = w.now.Add(15 * time.Second)
		if n > 15 { // the samples would be too old
			w.now = w.now.Add(-15 * time.Second)
		}
		if err := w.judge.Once(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	firing, err := w.d.FiringAlerts(b.Context())
	if err != nil || firing == 0 {
		b.Fatal(firing, err)
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(n)/150, "%core") // of 15 s
}
