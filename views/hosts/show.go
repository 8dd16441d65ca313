package hosts

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

func tabsOf(m Page) []ui.Tab {
	id := m.Row.Host.ID
	tab := func(name, label string, count int) ui.Tab {
		return ui.Tab{Label: label, URL: live.HostTab(id, name), Active: m.Tab == name || m.Tab == "" && name == "summary", Count: count}
	}
	return []ui.Tab{tab("summary", "Summary", 0), tab(live.MonitorTab, "Monitor", 0), tab("vms", "VMs", m.Row.VMs), tab("storage", "Storage", 0), tab("networks", "Networks", 0), tab("devices", "Devices", 0), tab("events", "Events", 0)}
}

func cpuText(f domain.HostFacts) string {
	if f.CPUs == 0 {
		return ""
	}
	out := ui.Plural(f.CPUs, "logical CPU", "logical CPUs")
	if f.Sockets > 0 && f.CoresPerSocket > 0 && f.ThreadsPerCore > 0 {
		out += fmt.Sprintf(" (%d × %d cores × %d threads)", f.Sockets, f.CoresPerSocket, f.ThreadsPerCore)
	}
	if f.CPUMHz > 0 {
		out += fmt.Sprintf(", %.1f GHz", float64(f.CPUMHz)/1000)
	}
	if f.NUMANodes > 1 {
		out += fmt.Sprintf(", %d NUMA nodes", f.NUMANodes)
	}
	return out
}

func model(f domain.HostFacts) string { return strings.TrimSpace(f.CPUVendor + " " + f.CPUModel) }

func bytesOr(n int64, total int64) string {
	if total <= 0 {
		return ""
	}
	return domain.FormatBytes(n) + " of " + domain.FormatBytes(total)
}

func memoryText(f domain.HostFacts) string {
	if f.MemoryBytes == 0 {
		return ""
	}
	return domain.FormatBytes(f.MemoryBytes)
}

// labels gives key=value texts in order.
func labels(m map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] == "" {
			out = append(out, k)
		} else {
			out = append(out, k+"="+m[k])
		}
	}
	return out
}

func machines(f domain.HostFacts) string {
	n := min(len(f.Machines), 6)
	out := strings.Join(f.Machines[:n], ", ")
	if len(f.Machines) > n {
		out += fmt.Sprintf(" and %d more", len(f.Machines)-n)
	}
	return out
}

// uriExamples are one per transport, with what each needs.
var uriExamples = []struct{ Transport, URI, Needs string }{
	{"unix", "qemu:///system", "This machine, through libvirt's socket. Nothing else is needed."},
	{"ssh", "qemu+ssh://root@host.example/system", "A private key whose public part the host accepts, and the host's key for known_hosts."},
	{"tls", "qemu+tls://host.example/system", "A client certificate and key, and the CA that signed the host's certificate."},
	{"tcp", "qemu+tcp://10.0.0.5/system", "Not encrypted, nobody is asked for a password: only in networks that you trust."},
	{"test", "test+tcp://10.0.0.5/default", "libvirt's simulated hypervisor, for trying things; its VMs are not real."},
}

func sortURL(m List, col string) string {
	desc := ""
	if m.Sort == col && !m.Desc {
		desc = "1"
	}
	return live.With(live.Hosts, "filter", m.Filter, "sort", col, "desc", desc)
}

func sorted(m List, col string) string {
	return ui.Sorted(m.Sort == col || m.Sort == "" && col == "name", m.Desc)
}

func versionText(f domain.HostFacts) string {
	var out []string
	if f.HypervisorVersion != "" {
		out = append(out, f.Driver+" "+f.HypervisorVersion)
	}
	if f.LibvirtVersion != "" {
		out = append(out, "libvirt "+f.LibvirtVersion)
	}
	return strings.Join(out, ", ")
}

var columns = []struct{ id, label, class string }{
	{"name", "Name", "c-name"}, {"state", "State", "c-state"}, {"vms", "VMs running", "c-vms num"}, {"cpu", "vCPU / CPUs", "c-cpu num"},
	{"memory", "Memory allocated", "c-mem"}, {"storage", "Storage free", "c-sto num"}, {"version", "Versions", "c-ver"}, {"labels", "Labels", "c-labels"},
}

func volumesOf(all []domain.Volume, pool string) []domain.Volume {
	return slices.DeleteFunc(slices.Clone(all), func(v domain.Volume) bool { return v.Pool != pool })
}

// free is what can still be handed out; it is what the hypervisor reports.
func used(p domain.Pool) float64 { return float64(p.CapacityBytes - p.AvailableBytes) }
