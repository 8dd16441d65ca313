package domain

import "slices"

// MetricKind says how a metric's samples are read.
type MetricKind string

// A counter only grows, but for its beginning anew; a gauge is what is so now.
const (
	Counter MetricKind = "counter"
	Gauge   MetricKind = "gauge"
)

// Metric is one thing that is measured. Names follow Prometheus' conventions: base units, the unit last, _total for counters.
type Metric struct {
	Name string
	Unit string // seconds, bytes, or what is counted
	Kind MetricKind
	Help string
	Part string // the label that tells the parts of a VM or host apart, such as disk; empty: there is one
}

// Of a VM's own labels and a host's: what every series of them carries.
var (
	VMLabels   = []string{"vm", "vm_id", "host", "tenant"}
	HostLabels = []string{"host", "host_id"}
)

// OfVM reports whether the metric is of a VM; else it is of a host, or of the server itself.
func (m Metric) OfVM() bool { return len(m.Name) > len(vmPrefix) && m.Name[:len(vmPrefix)] == vmPrefix }

// OfHost reports whether the metric is of a host.
func (m Metric) OfHost() bool {
	return len(m.Name) > len(hostPrefix) && m.Name[:len(hostPrefix)] == hostPrefix
}

// Labels are those that its series carry.
func (m Metric) Labels() []string {
	var out []string
	switch {
	case m.OfVM():
		out = slices.Clone(VMLabels)
	case m.OfHost():
		out = slices.Clone(HostLabels)
	}
	if m.Part != "" {
		out = append(out, m.Part)
	}
	return out
}

const (
	vmPrefix   = "novacron_vm_"
	hostPrefix = "novacron_host_"
)

// Metrics is all that is measured, by name.
var Metrics = func() []Metric {
	all := []Metric{
		{"novacron_host_up", "", Gauge, "Whether the last scrape of the host succeeded: 1 or 0.", ""},
		{"novacron_host_scrape_duration_seconds", "seconds", Gauge, "How long the last scrape of the host took.", ""},
		{"novacron_host_scrape_samples", "samples", Gauge, "How many samples the last scrape of the host gave.", ""},
		{"novacron_host_scrapes_missed_total", "scrapes", Counter, "Scrapes that failed, since the server began.", ""},
		{"novacron_host_scrapes_late_total", "scrapes", Counter, "Scrapes that were left out since the one before was not over, since the server began.", ""},
		{"novacron_host_cpus", "CPUs", Gauge, "Logical processors of the host.", ""},
		{"novacron_host_cpu_seconds_total", "seconds", Counter, "Time that the host's processors spent, by mode: user, system, idle, iowait.", "mode"},
		{"novacron_host_memory_total_bytes", "bytes", Gauge, "Memory of the host.", ""},
		{"novacron_host_memory_free_bytes", "bytes", Gauge, "Memory of the host that nothing uses.", ""},
		{"novacron_host_memory_buffers_bytes", "bytes", Gauge, "Memory of the host in buffers of its kernel.", ""},
		{"novacron_host_memory_cached_bytes", "bytes", Gauge, "Memory of the host that holds files and can be had back.", ""},
		{"novacron_host_pool_capacity_bytes", "bytes", Gauge, "Size of a storage pool.", "pool"},
		{"novacron_host_pool_available_bytes", "bytes", Gauge, "Free space of a storage pool.", "pool"},

		{"novacron_vm_up", "", Gauge, "Whether the VM runs: 1 running or paused, 0 not.", ""},
		{"novacron_vm_vcpus", "CPUs", Gauge, "Virtual processors that the VM has now.", ""},
		{"novacron_vm_cpu_seconds_total", "seconds", Counter, "Processor time that the VM took of its host.", ""},
		{"novacron_vm_cpu_user_seconds_total", "seconds", Counter, "Of the processor time, what was spent in user mode of the host.", ""},
		{"novacron_vm_cpu_system_seconds_total", "seconds", Counter, "Of the processor time, what was spent in the host's kernel.", ""},
		{"novacron_vm_vcpu_seconds_total", "seconds", Counter, "Processor time of one virtual processor.", "vcpu"},
		{"novacron_vm_vcpu_wait_seconds_total", "seconds", Counter, "Time that a virtual processor waited for input and output of the host.", "vcpu"},
		{"novacron_vm_vcpu_delay_seconds_total", "seconds", Counter, "Time that a virtual processor was ready and waited for a processor of the host: what the guest sees as steal.", "vcpu"},
		{"novacron_vm_memory_balloon_bytes", "bytes", Gauge, "Memory that the balloon leaves the VM now.", ""},
		{"novacron_vm_memory_maximum_bytes", "bytes", Gauge, "Memory that the VM may have.", ""},
		{"novacron_vm_memory_resident_bytes", "bytes", Gauge, "Memory of the host that the VM's process takes.", ""},
		{"novacron_vm_memory_available_bytes", "bytes", Gauge, "Memory that the guest's system sees.", ""},
		{"novacron_vm_memory_unused_bytes", "bytes", Gauge, "Memory that the guest's system leaves empty.", ""},
		{"novacron_vm_memory_usable_bytes", "bytes", Gauge, "Memory that the guest's system could give out without swapping.", ""},
		{"novacron_vm_memory_disk_caches_bytes", "bytes", Gauge, "Memory in which the guest's system holds files and can have back.", ""},
		{"novacron_vm_memory_swap_in_bytes_total", "bytes", Counter, "What the guest's system read back from swap.", ""},
		{"novacron_vm_memory_swap_out_bytes_total", "bytes", Counter, "What the guest's system wrote to swap.", ""},
		{"novacron_vm_memory_major_faults_total", "faults", Counter, "Page faults of the guest that needed its disk.", ""},
		{"novacron_vm_memory_minor_faults_total", "faults", Counter, "Page faults of the guest that did not need its disk.", ""},
		{"novacron_vm_disk_reads_total", "requests", Counter, "Requests to read a disk.", "disk"},
		{"novacron_vm_disk_read_bytes_total", "bytes", Counter, "What was read of a disk.", "disk"},
		{"novacron_vm_disk_read_seconds_total", "seconds", Counter, "Time that the requests to read a disk took, added up.", "disk"},
		{"novacron_vm_disk_writes_total", "requests", Counter, "Requests to write a disk.", "disk"},
		{"novacron_vm_disk_written_bytes_total", "bytes", Counter, "What was written to a disk.", "disk"},
		{"novacron_vm_disk_write_seconds_total", "seconds", Counter, "Time that the requests to write a disk took, added up.", "disk"},
		{"novacron_vm_disk_flushes_total", "requests", Counter, "Requests to flush a disk.", "disk"},
		{"novacron_vm_disk_flush_seconds_total", "seconds", Counter, "Time that the requests to flush a disk took, added up.", "disk"},
		{"novacron_vm_disk_allocation_bytes", "bytes", Gauge, "Highest place of a disk that was written.", "disk"},
		{"novacron_vm_disk_capacity_bytes", "bytes", Gauge, "Size of a disk as the guest sees it.", "disk"},
		{"novacron_vm_disk_physical_bytes", "bytes", Gauge, "Room that a disk takes where it is kept.", "disk"},
		{"novacron_vm_network_receive_bytes_total", "bytes", Counter, "What came to a network card.", "nic"},
		{"novacron_vm_network_receive_packets_total", "packets", Counter, "Packets that came to a network card.", "nic"},
		{"novacron_vm_network_receive_errors_total", "packets", Counter, "Packets to a network card that were broken.", "nic"},
		{"novacron_vm_network_receive_drops_total", "packets", Counter, "Packets to a network card that were dropped.", "nic"},
		{"novacron_vm_network_transmit_bytes_total", "bytes", Counter, "What a network card sent.", "nic"},
		{"novacron_vm_network_transmit_packets_total", "packets", Counter, "Packets that a network card sent.", "nic"},
		{"novacron_vm_network_transmit_errors_total", "packets", Counter, "Packets of a network card that were broken.", "nic"},
		{"novacron_vm_network_transmit_drops_total", "packets", Counter, "Packets of a network card that were dropped.", "nic"},

		{"novacron_vm_filesystem_size_bytes", "bytes", Gauge, "Size of a file system, as the guest's agent tells.", "mountpoint"},
		{"novacron_vm_filesystem_used_bytes", "bytes", Gauge, "What is used of a file system, as the guest's agent tells.", "mountpoint"},
		{"novacron_vm_load", "", Gauge, "Mean of the processes that run or wait to, over 1, 5 and 15 minutes, as the guest's agent tells.", "minutes"},
		{"novacron_vm_clock_skew_seconds", "seconds", Gauge, "How far the guest's clock is ahead of this server's, when its agent was asked.", ""},
		{"novacron_vm_crashed", "", Gauge, "There with the value 1 while the VM has crashed: QEMU died or the guest panicked.", ""},
		{"novacron_jobs_stuck", "tasks", Gauge, "Tasks that need a person, by kind.", "kind"},
		{"novacron_job_running_seconds", "seconds", Gauge, "How long the oldest task runs, by kind.", "kind"},
		{"novacron_notifications_stuck", "messages", Gauge, "Messages about alerts that could not be sent so far, by receiver.", "receiver"},
		{"novacron_certificate_expiry_timestamp_seconds", "seconds", Gauge, "When the certificate of this server ends, in seconds since 1970.", ""},
		{"novacron_backup_timestamp_seconds", "seconds", Gauge, "When the newest backup of this server's own state was made, in seconds since 1970; not there before the first.", ""},
		{"novacron_remote_write_waiting_samples", "samples", Gauge, "Samples that wait to be sent on to another server.", ""},
		{"novacron_remote_write_sent_samples_total", "samples", Counter, "Samples that were sent on to another server, since this one began.", ""},
		{"novacron_remote_write_dropped_samples_total", "samples", Counter, "Samples that were not sent on, since the other server refused them or too many waited, since this one began.", ""},
		{"novacron_remote_write_failures_total", "trials", Counter, "Trials to send samples on that failed, since the server began.", ""},
		{"novacron_series", "series", Gauge, "Series that had a sample within the last hours.", ""},
		{"novacron_samples_refused_total", "samples", Counter, "Samples that could not be kept since the server began: too old, or one of another value at the same time.", ""},
	}
	slices.SortFunc(all, func(a, b Metric) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return all
}()

// MetricOf finds a metric by its name.
func MetricOf(name string) (Metric, bool) {
	i, ok := slices.BinarySearchFunc(Metrics, name, func(m Metric, name string) int {
		switch {
		case m.Name < name:
			return -1
		case m.Name > name:
			return 1
		}
		return 0
	})
	if !ok {
		return Metric{}, false
	}
	return Metrics[i], true
}

// Reading is one value as a host tells it, in the unit of its metric.
type Reading struct {
	Metric string
	UUID   string // the guest; empty: the host
	Part   string // which disk, card or processor; empty where there is one
	Value  float64
}
