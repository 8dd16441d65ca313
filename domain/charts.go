package domain

import (
	"regexp"
	"slices"
	"strings"
)

// The charts of pages. Names of hosts, pools and VMs are put in as matchers.

func query(legend, expr string) ChartQuery { return ChartQuery{Expr: expr, Legend: legend} }

// VMCharts are those of one VM.
func VMCharts(id string) []Chart {
	of := `{vm_id=` + PromText(id) + `}`
	rate := func(metric string) string { return "rate(novacron_vm_" + metric + of + "[$__rate_interval])" }
	sum := func(by, metric string) string { return "sum by (" + by + ") (" + rate(metric) + ")" }
	gauge := func(metric string) string { return "max(novacron_vm_" + metric + of + ")" }
	each := func(by, time, count string) string {
		return sum(by, time) + " / (" + sum(by, count) + " > 0)"
	}
	cpus := ` / scalar(max(novacron_vm_vcpus` + of + `)) * 100`
	return withLong([]Chart{
		{ID: "cpu", Title: "CPU", Kind: ChartLine, Unit: "percent", Queries: []ChartQuery{
			query("used", "sum("+rate("cpu_seconds_total")+")"+cpus),
			query("steal", "sum("+rate("vcpu_delay_seconds_total")+")"+cpus),
			query("wait", "sum("+rate("vcpu_wait_seconds_total")+")"+cpus),
		}},
		{ID: "memory", Title: "Memory", Kind: ChartLine, Unit: "bytes", Queries: []ChartQuery{
			query("may have", gauge("memory_maximum_bytes")),
			query("balloon leaves", gauge("memory_balloon_bytes")),
			query("on the host", gauge("memory_resident_bytes")),
			query("guest uses", gauge("memory_available_bytes")+" - "+gauge("memory_usable_bytes")),
			query("guest's caches", gauge("memory_disk_caches_bytes")),
		}},
		{ID: "disk-bytes", Title: "Disk throughput", Kind: ChartLine, Unit: "bytes/s", Queries: []ChartQuery{
			query("{{disk}} read", sum("disk", "disk_read_bytes_total")), query("{{disk}} written", sum("disk", "disk_written_bytes_total")),
		}},
		{ID: "disk-iops", Title: "Disk requests", Kind: ChartLine, Unit: "per second", Queries: []ChartQuery{
			query("{{disk}} reads", sum("disk", "disk_reads_total")), query("{{disk}} writes", sum("disk", "disk_writes_total")),
		}},
		{ID: "disk-latency", Title: "Disk latency", Kind: ChartLine, Unit: "seconds", Queries: []ChartQuery{
			query("{{disk}} read", each("disk", "disk_read_seconds_total", "disk_reads_total")), query("{{disk}} write", each("disk", "disk_write_seconds_total", "disk_writes_total")),
			query("{{disk}} flush", each("disk", "disk_flush_seconds_total", "disk_flushes_total")),
		}},
		{ID: "net-bytes", Title: "Network throughput", Kind: ChartLine, Unit: "bytes/s", Queries: []ChartQuery{
			query("{{nic}} received", sum("nic", "network_receive_bytes_total")), query("{{nic}} sent", sum("nic", "network_transmit_bytes_total")),
		}},
		{ID: "net-packets", Title: "Network packets", Kind: ChartLine, Unit: "per second", Queries: []ChartQuery{
			query("{{nic}} received", sum("nic", "network_receive_packets_total")), query("{{nic}} sent", sum("nic", "network_transmit_packets_total")),
			query("{{nic}} lost", sum("nic", "network_receive_drops_total")+" + "+sum("nic", "network_transmit_drops_total")),
		}},
		{ID: "filesystems", Title: "File systems, how full", Kind: ChartLine, Unit: "percent", Queries: []ChartQuery{
			query("{{mountpoint}}", "max by (mountpoint) (novacron_vm_filesystem_used_bytes"+of+") / max by (mountpoint) (novacron_vm_filesystem_size_bytes"+of+") * 100"),
		}},
		{ID: "faults", Title: "Guest paging", Kind: ChartLine, Unit: "per second", Queries: []ChartQuery{
			query("faults from disk", "sum("+rate("memory_major_faults_total")+")"), query("other faults", "sum("+rate("memory_minor_faults_total")+")"),
		}},
	}, vmLong(of))
}

// HostCharts are those of one host.
func HostCharts(id, name string) []Chart {
	of := `host_id=` + PromText(id)
	on := `{host=` + PromText(name) + `}`
	gauge := func(metric string) string { return "max(novacron_host_" + metric + "{" + of + "})" }
	top := func(metric string) string {
		expr := "sum by (vm) (rate(novacron_vm_" + metric + on + "[$__rate_interval]))"
		last := "sum by (vm) (rate(novacron_vm_" + metric + on + "[$__rate_interval] @ end()))"
		return expr + " and topk(8, " + last + ")"
	}
	return withLong([]Chart{
		{ID: "cpu", Title: "CPU", Kind: ChartArea, Unit: "percent", Queries: []ChartQuery{
			query("{{mode}}", `sum by (mode) (rate(novacron_host_cpu_seconds_total{`+of+`,mode!="idle"}[$__rate_interval])) / scalar(`+gauge("cpus")+`) * 100`),
		}},
		{ID: "memory", Title: "Memory", Kind: ChartArea, Unit: "bytes", Queries: []ChartQuery{
			query("used", gauge("memory_total_bytes")+" - "+gauge("memory_free_bytes")+" - "+gauge("memory_buffers_bytes")+" - "+gauge("memory_cached_bytes")),
			query("caches", gauge("memory_buffers_bytes")+" + "+gauge("memory_cached_bytes")),
			query("free", gauge("memory_free_bytes")),
		}},
		{ID: "vm-cpu", Title: "VMs that compute most", Kind: ChartLine, Unit: "percent", Queries: []ChartQuery{query("{{vm}}", "("+top("cpu_seconds_total")+") * 100")}},
		{ID: "vm-delay", Title: "VMs that wait for a processor", Kind: ChartLine, Unit: "percent", Queries: []ChartQuery{query("{{vm}}", "("+top("vcpu_delay_seconds_total")+") * 100")}},
		{ID: "disk-bytes", Title: "Disks of all VMs", Kind: ChartLine, Unit: "bytes/s", Queries: []ChartQuery{
			query("read", "sum(rate(novacron_vm_disk_read_bytes_total"+on+"[$__rate_interval]))"), query("written", "sum(rate(novacron_vm_disk_written_bytes_total"+on+"[$__rate_interval]))"),
		}},
		{ID: "net-bytes", Title: "Network of all VMs", Kind: ChartLine, Unit: "bytes/s", Queries: []ChartQuery{
			query("received", "sum(rate(novacron_vm_network_receive_bytes_total"+on+"[$__rate_interval]))"), query("sent", "sum(rate(novacron_vm_network_transmit_bytes_total"+on+"[$__rate_interval]))"),
		}},
		{ID: "pools", Title: "Storage pools, how full", Kind: ChartLine, Unit: "percent", Queries: []ChartQuery{
			query("{{pool}}", "100 - max by (pool) (novacron_host_pool_available_bytes{"+of+"}) / max by (pool) (novacron_host_pool_capacity_bytes{"+of+"}) * 100"),
		}},
		{ID: "scrape", Title: "Time to measure it", Kind: ChartLine, Unit: "seconds", Queries: []ChartQuery{query("scrape", gauge("scrape_duration_seconds"))}},
	}, hostLong(of, on))
}

// PoolCharts are those of a pool on the hosts that have it.
func PoolCharts(name string, hosts []string) []Chart {
	of := `{pool=` + PromText(name) + `,host_id=~` + anyOf(hosts) + `}`
	return withLong([]Chart{
		{ID: "fill", Title: "Room", Kind: ChartArea, Unit: "bytes", Queries: []ChartQuery{
			query("used", "max(novacron_host_pool_capacity_bytes"+of+" - novacron_host_pool_available_bytes"+of+")"), query("free", "min(novacron_host_pool_available_bytes"+of+")"),
		}},
		{ID: "growth", Title: "How fast it fills", Kind: ChartLine, Unit: "bytes/s", Queries: []ChartQuery{query("growth", "-avg(deriv(novacron_host_pool_available_bytes"+of+"[1h]))")}},
	}, poolLong(of))
}

// NetworkCharts are those of the VMs' cards, by their MAC addresses, on a network.
func NetworkCharts(macs []string) []Chart {
	of := `{nic=~` + anyOf(macs) + `}`
	top := func(metric string) string {
		expr := "sum by (vm) (rate(novacron_vm_network_" + metric + of + "[$__rate_interval]))"
		return expr + " and topk(8, sum by (vm) (rate(novacron_vm_network_" + metric + of + "[$__rate_interval] @ end())))"
	}
	sum := func(metric string) string {
		return "sum(rate(novacron_vm_network_" + metric + of + "[$__rate_interval]))"
	}
	return []Chart{
		{ID: "bytes", Title: "Throughput", Kind: ChartLine, Unit: "bytes/s", Queries: []ChartQuery{query("received", sum("receive_bytes_total")), query("sent", sum("transmit_bytes_total"))}},
		{ID: "lost", Title: "Lost and broken packets", Kind: ChartLine, Unit: "per second", Queries: []ChartQuery{
			query("lost", sum("receive_drops_total")+" + "+sum("transmit_drops_total")), query("broken", sum("receive_errors_total")+" + "+sum("transmit_errors_total")),
		}},
		{ID: "receivers", Title: "VMs that receive most", Kind: ChartLine, Unit: "bytes/s", Queries: []ChartQuery{query("{{vm}}", top("receive_bytes_total"))}},
		{ID: "senders", Title: "VMs that send most", Kind: ChartLine, Unit: "bytes/s", Queries: []ChartQuery{query("{{vm}}", top("transmit_bytes_total"))}},
	}
}

// CompareCharts put several VMs side by side.
func CompareCharts(ids []string) []Chart {
	of := `{vm_id=~` + anyOf(ids) + `}`
	rate := func(metric string) string {
		return "sum by (vm) (rate(novacron_vm_" + metric + of + "[$__rate_interval]))"
	}
	one := func(id, title, unit, expr string) Chart {
		return Chart{ID: id, Title: title, Kind: ChartLine, Unit: unit, Queries: []ChartQuery{query("{{vm}}", expr)}}
	}
	cpus := " / max by (vm) (novacron_vm_vcpus" + of + ") * 100"
	return []Chart{
		one("cpu", "CPU", "percent", rate("cpu_seconds_total")+cpus),
		one("delay", "CPU steal", "percent", rate("vcpu_delay_seconds_total")+cpus),
		one("memory", "Memory on the host", "bytes", "max by (vm) (novacron_vm_memory_resident_bytes"+of+")"),
		one("guest", "Memory that the guest uses", "bytes", "max by (vm) (novacron_vm_memory_available_bytes"+of+") - max by (vm) (novacron_vm_memory_usable_bytes"+of+")"),
		one("read", "Read from disks", "bytes/s", rate("disk_read_bytes_total")),
		one("written", "Written to disks", "bytes/s", rate("disk_written_bytes_total")),
		one("received", "Received", "bytes/s", rate("network_receive_bytes_total")),
		one("sent", "Sent", "bytes/s", rate("network_transmit_bytes_total")),
	}
}

// anyOf is a pattern that matches any of the values, and nothing without any.
func anyOf(values []string) string {
	if len(values) == 0 {
		return PromText("\x00")
	}
	quoted := slices.Clone(values)
	for i := range quoted {
		quoted[i] = regexp.QuoteMeta(quoted[i])
	}
	return PromText(strings.Join(quoted, "|"))
}
