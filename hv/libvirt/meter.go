package libvirt

import (
	"context"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
)

// gauge is how a field of libvirt's becomes a reading: another name, and a factor to the base unit.
type gauge struct {
	metric string
	factor float64
}

const (
	nanos = 1e-9
	kib   = 1024
)

// The fields of virConnectGetAllDomainStats, as libvirt-domain.h documents them. Those with a number in the middle are told without it and without what
// is before it.
var (
	guestGauges = map[string]gauge{
		"cpu.time": {"novacron_vm_cpu_seconds_total", nanos}, "cpu.user": {"novacron_vm_cpu_user_seconds_total", nanos}, "cpu.system": {"novacron_vm_cpu_system_seconds_total", nanos},
		"vcpu.current": {"novacron_vm_vcpus", 1}, "balloon.current": {"novacron_vm_memory_balloon_bytes", kib}, "balloon.maximum": {"novacron_vm_memory_maximum_bytes", kib},
		"balloon.rss": {"novacron_vm_memory_resident_bytes", kib}, "balloon.available": {"novacron_vm_memory_available_bytes", kib}, "balloon.unused": {"novacron_vm_memory_unused_bytes", kib},
		"balloon.usable": {"novacron_vm_memory_usable_bytes", kib}, "balloon.disk_caches": {"novacron_vm_memory_disk_caches_bytes", kib},
		"balloon.swap_in": {"novacron_vm_memory_swap_in_bytes_total", kib}, "balloon.swap_out": {"novacron_vm_memory_swap_out_bytes_total", kib},
		"balloon.major_fault": {"novacron_vm_memory_major_faults_total", 1}, "balloon.minor_fault": {"novacron_vm_memory_minor_faults_total", 1},
	}
	vcpuGauges = map[string]gauge{
		"time": {"novacron_vm_vcpu_seconds_total", nanos}, "wait": {"novacron_vm_vcpu_wait_seconds_total", nanos}, "delay": {"novacron_vm_vcpu_delay_seconds_total", nanos},
	}
	netGauges = map[string]gauge{
		"rx.bytes": {"novacron_vm_network_receive_bytes_total", 1}, "rx.pkts": {"novacron_vm_network_receive_packets_total", 1}, "rx.errs": {"novacron_vm_network_receive_errors_total", 1},
		"rx.drop": {"novacron_vm_network_receive_drops_total", 1}, "tx.bytes": {"novacron_vm_network_transmit_bytes_total", 1}, "tx.pkts": {"novacron_vm_network_transmit_packets_total", 1},
		"tx.errs": {"novacron_vm_network_transmit_errors_total", 1}, "tx.drop": {"novacron_vm_network_transmit_drops_total", 1},
	}
	blockGauges = map[string]gauge{
		"rd.reqs": {"novacron_vm_disk_reads_total", 1}, "rd.bytes": {"novacron_vm_disk_read_bytes_total", 1}, "rd.times": {"novacron_vm_disk_read_seconds_total", nanos},
		"wr.reqs": {"novacron_vm_disk_writes_total", 1}, "wr.bytes": {"novacron_vm_disk_written_bytes_total", 1}, "wr.times": {"novacron_vm_disk_write_seconds_total", nanos},
		"fl.reqs": {"novacron_vm_disk_flushes_total", 1}, "fl.times": {"novacron_vm_disk_flush_seconds_total", nanos},
		"allocation": {"novacron_vm_disk_allocation_bytes", 1}, "capacity": {"novacron_vm_disk_capacity_bytes", 1}, "physical": {"novacron_vm_disk_physical_bytes", 1},
	}
	hostGauges = map[string]gauge{
		golibvirt.NodeMemoryStatsTotal: {"novacron_host_memory_total_bytes", kib}, golibvirt.NodeMemoryStatsFree: {"novacron_host_memory_free_bytes", kib},
		golibvirt.NodeMemoryStatsBuffers: {"novacron_host_memory_buffers_bytes", kib}, golibvirt.NodeMemoryStatsCached: {"novacron_host_memory_cached_bytes", kib},
	}
	hostModes = map[string]string{
		golibvirt.NodeCPUStatsUser: "user", golibvirt.NodeCPUStatsKernel: "system", golibvirt.NodeCPUStatsIdle: "idle", golibvirt.NodeCPUStatsIowait: "iowait",
	}
)

const meterGroups = golibvirt.DomainStatsState | golibvirt.DomainStatsCPUTotal | golibvirt.DomainStatsBalloon | golibvirt.DomainStatsVCPU | golibvirt.DomainStatsInterface | golibvirt.DomainStatsBlock

func (h *host) Readings(ctx context.Context) ([]domain.Reading, error) {
	recs, err := get(ctx, h.conn, "tell the VMs' counters", func(l *golibvirt.Libvirt) ([]golibvirt.DomainStatsRecord, error) {
		return l.ConnectGetAllDomainStats(nil, uint32(meterGroups), uint32(golibvirt.ConnectGetAllDomainsStatsNowait))
	})
	if err != nil {
		return nil, err
	}
	var out []domain.Reading
	for _, r := range recs {
		out = guestReadings(out, uuidText(r.Dom.UUID), r.Params)
	}
	cpu, err := get(ctx, h.conn, "tell what its processors do", func(l *golibvirt.Libvirt) ([]golibvirt.NodeGetCPUStats, error) {
		_, n, err := l.NodeGetCPUStats(int32(golibvirt.NodeCPUStatsAllCpus), 0, 0)
		if err != nil || n == 0 {
			return nil, err
		}
		p, _, err := l.NodeGetCPUStats(int32(golibvirt.NodeCPUStatsAllCpus), n, 0)
		return p, err
	})
	switch {
	case err == nil:
		for _, p := range cpu {
			if mode := hostModes[p.Field]; mode != "" {
				out = append(out, domain.Reading{Metric: "novacron_host_cpu_seconds_total", Part: mode, Value: float64(p.Value) * nanos})
			}
		}
	case number(err) != golibvirt.ErrNoSupport:
		return nil, err
	}
	mem, err := get(ctx, h.conn, "tell how its memory is used", func(l *golibvirt.Libvirt) ([]golibvirt.NodeGetMemoryStats, error) {
		_, n, err := l.NodeGetMemoryStats(0, int32(golibvirt.NodeMemoryStatsAllCells), 0)
		if err != nil || n == 0 {
			return nil, err
		}
		p, _, err := l.NodeGetMemoryStats(n, int32(golibvirt.NodeMemoryStatsAllCells), 0)
		return p, err
	})
	switch {
	case err == nil:
		for _, p := range mem {
			if g, ok := hostGauges[p.Field]; ok {
				out = append(out, domain.Reading{Metric: g.metric, Value: float64(p.Value) * g.factor})
			}
		}
	case number(err) != golibvirt.ErrNoSupport:
		return nil, err
	}
	return out, nil
}

func guestReadings(out []domain.Reading, uuid string, params []golibvirt.TypedParam) []domain.Reading {
	names := map[string]string{} // "net.0" -> vnet3, "block.1" -> vdb
	for _, p := range params {
		if at, ok := strings.CutSuffix(p.Field, ".name"); ok {
			if name, ok := p.Value.I.(string); ok {
				names[at] = name
			}
		}
	}
	add := func(g gauge, part string, v float64) {
		out = append(out, domain.Reading{Metric: g.metric, UUID: uuid, Part: part, Value: v * g.factor})
	}
	for _, p := range params {
		v, ok := numeric(p.Value.I)
		if !ok {
			continue
		}
		if p.Field == "state.state" {
			state := golibvirt.DomainState(int32(v))
			up := state == golibvirt.DomainRunning || state == golibvirt.DomainPaused || state == golibvirt.DomainBlocked || state == golibvirt.DomainShutdown || state == golibvirt.DomainPmsuspended
			out = append(out, domain.Reading{Metric: "novacron_vm_up", UUID: uuid, Value: truth(up)})
			continue
		}
		if g, ok := guestGauges[p.Field]; ok {
			add(g, "", v)
			continue
		}
		group, rest, _ := strings.Cut(p.Field, ".")
		index, field, found := strings.Cut(rest, ".")
		if !found {
			continue
		}
		switch group {
		case "vcpu":
			if g, ok := vcpuGauges[field]; ok {
				add(g, index, v)
			}
		case "net":
			if g, ok := netGauges[field]; ok {
				add(g, names["net."+index], v)
			}
		case "block":
			if g, ok := blockGauges[field]; ok {
				add(g, names["block."+index], v)
			}
		}
	}
	return out
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func numeric(v any) (float64, bool) {
	switch n := v.(type) {
	case int32:
		return float64(n), true
	case uint32:
		return float64(n), true
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}
