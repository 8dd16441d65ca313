package forecast

import (
	"math"
	"testing"

	"novacron/domain"
)

// past are migrations of mixed size over a path of 50 MiB a second that each cost 1.5 s besides.
func past(sizes ...int64) (out []domain.MigrationRecord) {
	for i, s := range sizes {
		wobble := 1 + 0.03*float64(i%3-1)
		seconds := (1.5 + float64(s)/50) * wobble
		out = append(out, domain.MigrationRecord{Mode: domain.MigrateLive, Result: &domain.MigrationFigures{Seconds: seconds, Bytes: s * mib},
			Forecast: &domain.MigrationForecast{Method: "pre-copy", Model: seconds / 1.2}})
	}
	return out
}

func TestAPathIsLearned(t *testing.T) {
	list := past(40, 200, 100, 400, 60, 300, 150)
	list = append(list, domain.MigrationRecord{Mode: domain.MigrateLive, Result: &domain.MigrationFigures{Seconds: 100, Bytes: 100 * mib}, Forecast: &domain.MigrationForecast{Method: "pre-copy", Model: 90, Cap: mib}},
		domain.MigrationRecord{Mode: domain.MigrateCold, Result: &domain.MigrationFigures{Seconds: 500, Bytes: 100 * mib}}, domain.MigrationRecord{Mode: domain.MigrateLive})
	p := Learn(list)
	if rate := float64(p.Rate) / float64(mib); math.Abs(rate-50) > 4 || math.Abs(p.Setup-1.5) > 0.4 || p.Spread > 0.1 {
		t.Errorf("%.1f MiB/s, %.2f s, spread %.3f", rate, p.Setup, p.Spread)
	}
	if len(p.Ratios["pre-copy"]) != 8 || math.Abs(p.Ratios["pre-copy"][0]-1.2) > 1e-9 {
		t.Errorf("ratios %v", p.Ratios)
	}
}

func TestQEMUTellsTheRateOfOneMigration(t *testing.T) {
	list := past(100)
	list[0].Result.Seconds, list[0].Result.CopyRate = 7, 20*mib
	if p := Learn(list); math.Abs(float64(p.Rate-20*mib)) > 100 || math.Abs(p.Setup-2) > 0.01 {
		t.Errorf("%+v", p)
	}
}

func TestFewOrEqualMigrationsTeachTheRateOnly(t *testing.T) {
	for _, sizes := range [][]int64{{100}, {100, 400}, {100, 101, 102, 100, 101, 99, 100}} {
		p := Learn(past(sizes...))
		if p.Setup != usualSetup || p.Rate <= 0 || p.Spread <= 0 {
			t.Errorf("%v: %+v", sizes, p)
		}
	}
	if p := Learn(nil); p.Rate != 0 || p.Setup != 0 {
		t.Errorf("of nothing: %+v", p)
	}
	if p := Learn(past(1, 2)); p.Rate != 0 || len(p.Ratios["pre-copy"]) != 2 {
		t.Errorf("of crumbs: %+v", p)
	}
}

func TestQEMUSlowsAGuestThatWritesMoreThanHalfOfWhatIsSent(t *testing.T) {
	in := Input{Memory: 2048 * mib, Rate: 100 * mib}
	in.Dirty = 30 * mib
	if f := Live(in); f.Method != "pre-copy" || f.Converges < 0.9 {
		t.Errorf("at 30 %% of the path: %s, %v", f.Method, f.Converges)
	}
	in.Dirty = 80 * mib
	if f := Live(in); f.Method != "auto-converge" || f.Converges > 0.2 {
		t.Errorf("at 80 %% of the path: %s, %v", f.Method, f.Converges)
	}
	in.Policy.PauseAfterSeconds = 3600
	if f := Live(in); f.Method != "auto-converge" {
		t.Errorf("a pause that is far away does not keep the guest from being slowed: %s", f.Method)
	}
}
