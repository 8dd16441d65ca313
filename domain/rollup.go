package domain

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// Rolled is a metric of which every hour is kept for long. Of a counter it is the growth per second. The parts of a VM or host, such as its disks, are added up,
// but for those of a metric that keeps them apart.
type Rolled struct {
	Metric string
	Apart  bool     // each part is a series of its own
	Only   []string // the parts that count; empty: all
}

// RolledMetrics are those that are rolled up.
var RolledMetrics = []Rolled{
	{Metric: "novacron_host_cpu_seconds_total", Only: []string{"user", "system"}},
	{Metric: "novacron_host_memory_cached_bytes"},
	{Metric: "novacron_host_memory_free_bytes"},
	{Metric: "novacron_host_memory_total_bytes"},
	{Metric: "novacron_host_pool_available_bytes", Apart: true},
	{Metric: "novacron_host_pool_capacity_bytes", Apart: true},
	{Metric: "novacron_vm_cpu_seconds_total"},
	{Metric: "novacron_vm_disk_physical_bytes"},
	{Metric: "novacron_vm_disk_read_bytes_total"},
	{Metric: "novacron_vm_disk_written_bytes_total"},
	{Metric: "novacron_vm_memory_resident_bytes"},
	{Metric: "novacron_vm_memory_usable_bytes"},
	{Metric: "novacron_vm_network_receive_bytes_total"},
	{Metric: "novacron_vm_network_transmit_bytes_total"},
	{Metric: "novacron_vm_vcpu_delay_seconds_total"},
}

// RolledHour is what one series was in one hour. Count is of the samples; none: nothing was measured.
type RolledHour struct {
	Min, Mean, Max, P95 float64
	Count               int
}

// RollUp makes an hour of its values.
func RollUp(values []float64) RolledHour {
	if len(values) == 0 {
		return RolledHour{}
	}
	slices.Sort(values)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	n := len(values)
	// Between the two nearest, as Prometheus' quantile_over_time has it.
	rank := 0.95 * float64(n-1)
	low := int(rank)
	high := min(low+1, n-1)
	p95 := values[low] + (values[high]-values[low])*(rank-float64(low))
	return RolledHour{Min: values[0], Mean: sum / float64(n), Max: values[n-1], P95: p95, Count: n}
}

// RolledDay is a day of hours in UTC.
type RolledDay [24]RolledHour

const hourBytes = 4*4 + 2

// Text packs a day: numbers of 32 bits are as fine as a chart is.
func (d RolledDay) Text() string {
	b := make([]byte, 0, len(d)*hourBytes)
	for _, h := range d {
		for _, v := range []float64{h.Min, h.Mean, h.Max, h.P95} {
			b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(v)))
		}
		b = binary.BigEndian.AppendUint16(b, uint16(min(h.Count, math.MaxUint16))) // #nosec G115 -- a count is not negative, and min has bounded it
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

// ReadRolledDay unpacks a day.
func ReadRolledDay(text string) (d RolledDay, err error) {
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(b) != len(d)*hourBytes {
		return d, Errorf(Internal, "A day of roll-ups cannot be read.")
	}
	for i := range d {
		at := b[i*hourBytes:]
		v := func(n int) float64 { return float64(math.Float32frombits(binary.BigEndian.Uint32(at[4*n:]))) }
		d[i] = RolledHour{Min: v(0), Mean: v(1), Max: v(2), P95: v(3), Count: int(binary.BigEndian.Uint16(at[16:]))}
	}
	return d, nil
}

// RolledSeries is a series that is rolled up, with the hours that were asked for.
type RolledSeries struct {
	Metric string
	Of     string // the VM or host
	Part   string
	Labels map[string]string // as they were last, without the metric's name
	Hours  map[time.Time]RolledHour
}

// RolledUsage is what is kept of roll-ups.
type RolledUsage struct {
	Series int
	Days   int64     // of all series together: what takes room
	From   time.Time // the first day; zero: there is none
	Done   time.Time // the hours before it are rolled up
}

// Bytes is about what they take on disk.
func (u RolledUsage) Bytes() int64 { return u.Days*(24*hourBytes*4/3+32) + int64(u.Series)*300 }
