package blocks

import (
	"testing"
	"time"
)

func TestPaceTellsRateAndRest(t *testing.T) {
	now := time.Unix(1000, 0)
	p := pace{clock: func() time.Time { return now }}
	if percent, text := p.words(0, 100<<20); percent != 0 || text != "0 B of 100 MiB" {
		t.Errorf("%v %q", percent, text)
	}
	now = now.Add(5 * time.Second)
	if percent, text := p.words(50<<20, 100<<20); percent != 50 || text != "50 MiB of 100 MiB, 10 MiB/s, 5s left" {
		t.Errorf("%v %q", percent, text)
	}
	if percent, _ := p.words(1, 0); percent != 0 {
		t.Errorf("%v of nothing", percent)
	}
}
