package domain

import "strings"

// ByHour reports whether an expression asks for what is kept by the hour.
func ByHour(expr string) bool {
	for _, part := range []string{":min1h", ":mean1h", ":max1h", ":p95_1h", ":count1h"} {
		if strings.Contains(expr, part) {
			return true
		}
	}
	return false
}

// long are the lines of a metric that is kept by the hour: the mean, what was above it for one hour in twenty, and the most.
func long(legend, metric, of, scale string) []ChartQuery {
	if legend != "" {
		legend += " "
	}
	return []ChartQuery{
		query(legend+"mean", "sum(avg_over_time("+metric+":mean1h"+of+"[$__interval]))"+scale),
		query(legend+"95 %", "sum(max_over_time("+metric+":p95_1h"+of+"[$__interval]))"+scale),
		query(legend+"most", "sum(max_over_time("+metric+":max1h"+of+"[$__interval]))"+scale),
	}
}

// longMean is only the mean, for charts of several things.
func longMean(legend, metric, of string) ChartQuery {
	return query(legend, "sum(avg_over_time("+metric+":mean1h"+of+"[$__interval]))")
}

// withLong gives charts what they show of times whose samples are gone, by the chart's id.
func withLong(all []Chart, of map[string][]ChartQuery) []Chart {
	for i := range all {
		all[i].Long = of[all[i].ID]
	}
	return all
}

func vmLong(of string) map[string][]ChartQuery {
	cpus := " / scalar(max(last_over_time(novacron_vm_vcpus" + of + "[7d] @ end()))) * 100"
	return map[string][]ChartQuery{
		"cpu":        append(long("used", "novacron_vm_cpu_seconds_total", of, cpus), long("steal", "novacron_vm_vcpu_delay_seconds_total", of, cpus)[0]),
		"memory":     long("on the host", "novacron_vm_memory_resident_bytes", of, ""),
		"disk-bytes": {longMean("read", "novacron_vm_disk_read_bytes_total", of), longMean("written", "novacron_vm_disk_written_bytes_total", of)},
		"net-bytes":  {longMean("received", "novacron_vm_network_receive_bytes_total", of), longMean("sent", "novacron_vm_network_transmit_bytes_total", of)},
	}
}

func hostLong(of, on string) map[string][]ChartQuery {
	cpus := " / scalar(max(last_over_time(novacron_host_cpus{" + of + "}[7d] @ end()))) * 100"
	of = "{" + of + "}"
	total, free, cached := "novacron_host_memory_total_bytes", "novacron_host_memory_free_bytes", "novacron_host_memory_cached_bytes"
	mean := func(metric string) string { return "sum(avg_over_time(" + metric + ":mean1h" + of + "[$__interval]))" }
	return map[string][]ChartQuery{
		"cpu":        long("", "novacron_host_cpu_seconds_total", of, cpus),
		"memory":     {query("used", mean(total)+" - "+mean(free)+" - "+mean(cached)), query("caches", mean(cached)), query("free", mean(free))},
		"disk-bytes": {longMean("read", "novacron_vm_disk_read_bytes_total", on), longMean("written", "novacron_vm_disk_written_bytes_total", on)},
		"net-bytes":  {longMean("received", "novacron_vm_network_receive_bytes_total", on), longMean("sent", "novacron_vm_network_transmit_bytes_total", on)},
		"pools": {query("{{pool}}", "100 - max by (pool) (avg_over_time(novacron_host_pool_available_bytes:mean1h"+of+"[$__interval])) / max by (pool) (avg_over_time(novacron_host_pool_capacity_bytes:mean1h"+of+
			"[$__interval])) * 100")},
	}
}

func poolLong(of string) map[string][]ChartQuery {
	free, all := "avg_over_time(novacron_host_pool_available_bytes:mean1h"+of+"[$__interval])", "avg_over_time(novacron_host_pool_capacity_bytes:mean1h"+of+"[$__interval])"
	return map[string][]ChartQuery{"fill": {query("used", "max("+all+") - min("+free+")"), query("free", "min("+free+")")}}
}
