package domain

import (
	"cmp"
	"slices"
	"time"
)

// TopCommand and PsCommand are what tells a guest's processes: how much of the processors each takes within a second, and how much memory. Both procps and
// busybox know them so. A VM that allows certain commands only has to allow the first; without the second memory is told where top tells it.
var (
	TopCommand = []string{"top", "-b", "-n", "2", "-d", "1"}
	PsCommand  = []string{"ps", "-eo", "pid,rss,comm"}
)

// GuestProcess is a process inside a guest.
type GuestProcess struct {
	PID         int64   `json:"pid"`
	User        string  `json:"user"`
	Name        string  `json:"name"`
	CPUPercent  float64 `json:"cpu_percent" doc:"Of one virtual processor, within a second"`
	MemoryBytes int64   `json:"memory_bytes" doc:"Memory that is its own and shared, as the guest counts it; -1: not known"`
}

// GuestProcesses are those that take most, as they were told at a time.
type GuestProcesses struct {
	At        time.Time      `json:"looked_at"`
	Total     int            `json:"total"`     // how many there were
	Processes []GuestProcess `json:"processes"` // the busiest first
}

// MostProcesses is how many are kept of those that take most of the processors, and as many of those that take most of the memory.
const MostProcesses = 10

// ByCPU gives those that take most of the processors.
func (g GuestProcesses) ByCPU() []GuestProcess {
	return first(g.Processes, func(a, b GuestProcess) int { return cmp.Compare(b.CPUPercent, a.CPUPercent) })
}

// ByMemory gives those that take most of the memory; none where that is not known.
func (g GuestProcesses) ByMemory() []GuestProcess {
	known := slices.DeleteFunc(slices.Clone(g.Processes), func(p GuestProcess) bool { return p.MemoryBytes < 0 })
	return first(known, func(a, b GuestProcess) int { return cmp.Compare(b.MemoryBytes, a.MemoryBytes) })
}

func first(all []GuestProcess, order func(a, b GuestProcess) int) []GuestProcess {
	out := slices.Clone(all)
	slices.SortStableFunc(out, order)
	return out[:min(len(out), MostProcesses)]
}

// Most keeps of all processes those that take most.
func Most(at time.Time, all []GuestProcess) GuestProcesses {
	g := GuestProcesses{At: at, Total: len(all), Processes: all}
	keep := map[int64]bool{}
	for _, p := range slices.Concat(g.ByCPU(), g.ByMemory()) {
		keep[p.PID] = true
	}
	out := []GuestProcess{}
	for _, p := range all {
		if keep[p.PID] {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b GuestProcess) int {
		return cmp.Or(cmp.Compare(b.CPUPercent, a.CPUPercent), cmp.Compare(b.MemoryBytes, a.MemoryBytes))
	})
	g.Processes = out
	return g
}
