package tasks

import (
	"fmt"
	"strings"
	"time"

	"novacron/domain"
	"novacron/views/ui"
)

// Tune is the dialog that changes a migration under way.
type Tune struct {
	Job       domain.Job
	Bandwidth string // MiB/s
	Downtime  string // ms
	Err       *domain.Error
	Key       string
}

const chartWidth, chartHeight = 480, 96

func top(m *domain.MoveProgress) int64 {
	most := int64(1)
	for _, p := range m.Rates {
		most = max(most, p.Copy, p.Dirty)
	}
	return most
}

// line is the points of one rate over time, the latest at the right.
func line(m *domain.MoveProgress, of func(domain.RatePoint) int64) string {
	var b strings.Builder
	most, step := float64(top(m)), float64(chartWidth)/float64(len(m.Rates)-1)
	for i, p := range m.Rates {
		fmt.Fprintf(&b, "%.1f,%.1f ", float64(i)*step, 2+(chartHeight-4)*(1-float64(of(p))/most))
	}
	return strings.TrimSpace(b.String())
}

func chartScale(m *domain.MoveProgress) string {
	return "up to " + perSecond(top(m)) + ", the last " + ui.Took(time.Duration(m.EverySeconds*float64(len(m.Rates)-1)*float64(time.Second)))
}

func chartWords(m *domain.MoveProgress) string {
	last := m.Rates[len(m.Rates)-1]
	return "Rates over time; now " + perSecond(last.Copy) + " copied, " + perSecond(last.Dirty) + " written by the guest"
}

func perSecond(n int64) string {
	if n == 0 {
		return ""
	}
	return domain.FormatBytes(n) + "/s"
}

func inMillis(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d ms", n)
}

func phase(m *domain.MoveProgress) string {
	switch m.Phase {
	case domain.MoveDisks:
		return "copies the disks"
	case domain.MovePostCopy:
		return "the guest runs on the target and fetches the rest"
	case domain.MovePaused:
		return "the guest is paused, so that it can end"
	}
	return fmt.Sprintf("copies the memory, round %d", max(m.Iteration, 1))
}

func limitNow(j domain.Job) string {
	if m := j.Progress.Move; m != nil && m.DowntimeMax > 0 {
		return fmt.Sprint(m.DowntimeMax)
	}
	return "as it is"
}
