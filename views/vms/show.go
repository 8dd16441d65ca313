package vms

import (
	"fmt"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/ui"
)

// act is how an action is shown.
type act struct {
	action     domain.VMAction
	label      string
	icon       string
	permission string
	asks       bool // a dialog comes first
	danger     bool
	after      bool // a rule comes before it in menus
}

var acts = []act{
	{action: domain.ActStart, label: "Start", icon: "player-play", permission: "vm.power"},
	{action: domain.ActShutdown, label: "Shut down", icon: "power", permission: "vm.power", asks: true},
	{action: domain.ActReboot, label: "Reboot", icon: "refresh", permission: "vm.power", asks: true},
	{action: domain.ActPause, label: "Pause", icon: "player-pause", permission: "vm.power"},
	{action: domain.ActResume, label: "Resume", icon: "player-play", permission: "vm.power"},
	{action: domain.ActConsole, label: "Console", icon: "terminal-2", permission: "vm.console"},
	{action: domain.ActSave, label: "Save memory and stop", icon: "moon-stars", permission: "vm.power", after: true},
	{action: domain.ActRestore, label: "Restore", icon: "restore", permission: "vm.power"},
	{action: domain.ActEdit, label: "Edit hardware", icon: "adjustments", permission: "vm.edit", after: true},
	{action: domain.ActMigrate, label: "Move to another host", icon: "arrows-right-left", permission: "vm.migrate"},
	{action: domain.ActRename, label: "Rename", icon: "pencil", permission: "vm.edit"},
	{action: domain.ActClone, label: "Clone", icon: "copy", permission: "vm.create"},
	{action: domain.ActReset, label: "Reset", icon: "rotate-clockwise", permission: "vm.power", asks: true, danger: true, after: true},
	{action: domain.ActStop, label: "Power off", icon: "bolt", permission: "vm.power", asks: true, danger: true},
	{action: domain.ActDiscard, label: "Discard saved memory", icon: "x", permission: "vm.power", asks: true, danger: true},
	{action: domain.ActDelete, label: "Delete", icon: "trash", permission: "vm.delete", asks: true, danger: true},
}

func find(a domain.VMAction) act {
	return acts[max(0, slices.IndexFunc(acts, func(x act) bool { return x.action == a }))]
}

// ActionLabel is an action's name for people.
func ActionLabel(a domain.VMAction) string { return find(a).label }

// url is where the action's dialog or page is, or where it is posted to.
func (a act) url(id string) string {
	switch a.action {
	case domain.ActRename:
		return live.VMRename(id)
	case domain.ActClone:
		return live.VMClone(id)
	case domain.ActMigrate:
		return live.VMMigrate(id)
	case domain.ActDelete:
		return live.VMDelete(id)
	case domain.ActEdit:
		return live.VMTab(id, "hardware")
	case domain.ActConsole:
		return live.VMTab(id, "console")
	}
	return live.VMAction(id, string(a.action))
}

// page: the action is a page of its own, not a dialog and not a post.
func (a act) page() bool {
	return a.action == domain.ActEdit || a.action == domain.ActConsole || a.action == domain.ActMigrate
}

// dialog: a dialog comes first.
func (a act) dialog() bool {
	return a.asks || a.action == domain.ActRename || a.action == domain.ActClone
}

// whyNot says why the action is not possible now; "" when it is.
func whyNot(vm domain.VM, a domain.VMAction) string {
	if vm.BusyJob != "" && a != domain.ActConsole {
		return "Busy: " + vm.BusyTitle + "."
	}
	if vm.Creating && a != domain.ActConsole {
		return "It is still being created."
	}
	err := vm.State.Can(a)
	if err == nil {
		return ""
	}
	if e, ok := err.(*domain.Error); ok && e.Fix != "" {
		return e.Msg + " " + e.Fix
	}
	return err.Error()
}

// mainActs are the buttons beside the name: what is most wanted in this state.
func mainActs(vm domain.VM) []act {
	var want []domain.VMAction
	switch vm.State {
	case domain.VMRunning:
		want = []domain.VMAction{domain.ActConsole, domain.ActShutdown, domain.ActReboot}
	case domain.VMPaused:
		want = []domain.VMAction{domain.ActResume, domain.ActConsole}
	case domain.VMSaved:
		want = []domain.VMAction{domain.ActRestore}
	case domain.VMStopped, domain.VMCrashed:
		want = []domain.VMAction{domain.ActStart}
	}
	out := make([]act, len(want))
	for i, a := range want {
		out[i] = find(a)
	}
	return out
}

var columnLabel = map[string]string{
	"name": "Name", "state": "State", "host": "Host", "vcpus": "vCPU", "memory": "Memory", "disk": "Disks", "nets": "Networks", "address": "Address", "since": "In this state",
	"tags": "Tags", "firmware": "Firmware", "uuid": "UUID", "created": "First seen",
}

// ColumnLabel is a column's heading.
func ColumnLabel(c string) string { return columnLabel[c] }

// sortable columns are those that the database sorts by.
var sortable = []string{"name", "state", "host", "vcpus", "memory", "since", "created"}

func (m List) columns() []string {
	cols := m.Columns
	if len(cols) == 0 {
		cols = DefaultColumns
	}
	out := []string{"name"}
	if !slices.Contains(cols, "state") {
		out = append(out, "state")
	}
	for _, c := range cols {
		if c == "name" || columnLabel[c] == "" || slices.Contains(out, c) || m.Host != nil && c == "host" {
			continue
		}
		out = append(out, c)
	}
	return out
}

// chooser lists the visible columns in their order, then the hidden ones.
func (m List) chooser() []string {
	out := m.columns()
	for _, c := range AllColumns {
		if !slices.Contains(out, c) && !(m.Host != nil && c == "host") {
			out = append(out, c)
		}
	}
	return out
}

func (m List) url(pairs ...string) string {
	desc := ""
	if m.Desc {
		desc = "1"
	}
	u := live.With(m.Base, "filter", m.Filter, "sort", m.Sort, "desc", desc)
	return live.With(u, pairs...)
}

func (m List) sortURL(col string) string {
	desc := ""
	if m.Sort == col && !m.Desc {
		desc = "1"
	}
	return m.url("sort", col, "desc", desc)
}

func (m List) sorted(col string) string {
	return ui.Sorted(m.Sort == col || m.Sort == "" && col == "name", m.Desc)
}

func colClass(c string) string {
	switch c {
	case "vcpus", "memory", "disk":
		return "c-" + c + " num"
	}
	return "c-" + c
}

func netNames(s domain.VMSpec) string {
	var out []string
	for _, n := range s.NICs {
		name := n.Network
		if name == "" {
			name = n.Bridge
		}
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

// busyWord makes "starting…" of the busy job's title.
func busyWord(vm domain.VM) string {
	if vm.BusyTitle == "" && vm.Creating {
		return "create…"
	}
	word, _, _ := strings.Cut(vm.BusyTitle, " ")
	return strings.ToLower(word) + "…"
}

func firmwareName(f string) string {
	switch f {
	case domain.FirmwareUEFI:
		return "UEFI"
	case domain.FirmwareUEFISecure:
		return "UEFI, secure boot"
	}
	return "BIOS"
}

func cpuName(c string) string {
	switch c {
	case "":
		return "hypervisor's default"
	case "host-passthrough":
		return "as the host (passthrough)"
	case "host-model":
		return "as the host (model)"
	case "maximum":
		return "everything that can be emulated"
	}
	return c
}

func accelName(a domain.Accel) string {
	switch a {
	case domain.AccelKVM:
		return "KVM"
	case domain.AccelTCG:
		return "TCG (emulation)"
	}
	return "automatic"
}

func bootText(b domain.Boot) string {
	if b.Kernel != "" {
		return "kernel " + b.Kernel
	}
	if len(b.Order) == 0 {
		return "as the devices say"
	}
	names := make([]string, len(b.Order))
	for i, o := range b.Order {
		names[i] = bootDevice(o)
	}
	return strings.Join(names, ", then ")
}

func bootDevice(o string) string {
	switch o {
	case "hd":
		return "disk"
	case "cdrom":
		return "CD-ROM"
	case "fd":
		return "floppy"
	}
	return o
}

var orderOptions = []ui.Option{
	{Value: "", Label: "By what it starts from"}, {Value: "hd,cdrom", Label: "Disk, then CD-ROM"}, {Value: "cdrom,hd", Label: "CD-ROM, then disk"},
	{Value: "hd,network", Label: "Disk, then network"}, {Value: "network,hd", Label: "Network, then disk"}, {Value: "hd", Label: "Disk only"},
}

func withOrder(has string) []ui.Option {
	for _, o := range orderOptions {
		if o.Value == has {
			return orderOptions
		}
	}
	return append(slices.Clone(orderOptions), ui.Option{Value: has, Label: strings.ReplaceAll(has, ",", ", then ")})
}

// pendingFor gives the pending changes of a field and what is below it.
func pendingFor(vm domain.VM, prefix string) []domain.Change {
	var out []domain.Change
	for _, c := range vm.Pending {
		if c.Field == prefix || strings.HasPrefix(c.Field, prefix+".") {
			out = append(out, c)
		}
	}
	return out
}

func diskSize(d DiskInfo) string {
	if d.Volume != nil {
		return domain.FormatBytes(d.Volume.CapacityBytes)
	}
	if d.Disk.SizeBytes > 0 {
		return domain.FormatBytes(d.Disk.SizeBytes)
	}
	return ""
}

func tabsOf(s layout.Shell, m Page) []ui.Tab {
	tab := func(id, label string, count int, mark bool) ui.Tab {
		return ui.Tab{Label: label, URL: live.VMTab(m.VM.ID, id), Active: m.Tab == id || m.Tab == "" && id == "summary", Count: count, Mark: mark}
	}
	out := []ui.Tab{tab("summary", "Summary", 0, false), tab("hardware", "Hardware", 0, len(m.VM.Pending) > 0), tab(live.MonitorTab, "Monitor", 0, false), tab(live.GuestTab, "Guest", 0, false), tab("snapshots", "Snapshots", 0, m.Snapshots.long())}
	if s.May("vm.console") {
		out = append(out, tab("console", "Console", 0, false))
	}
	return append(out, tab("tasks", "Tasks", 0, false), tab("events", "Events", 0, false), tab("definition", "Definition", 0, false))
}

func allocated(running, total int) string {
	if total == 0 {
		return "no host connected"
	}
	return fmt.Sprintf("on %d logical CPUs · %.1f : 1", total, float64(running)/float64(total))
}

// how tells the script what choosing an entry of the row menu does.
func how(a act) string {
	switch {
	case a.page():
		return "go"
	case a.dialog():
		return "ask"
	}
	return "post"
}

// whyAttrs say for each state why the action is not possible in it, so that the one menu serves rows in any state.
func whyAttrs(a domain.VMAction) templ.Attributes {
	out := templ.Attributes{}
	for _, st := range domain.VMStates {
		if why := whyNot(domain.VM{State: st}, a); why != "" {
			out["data-not-"+string(st)] = why
		}
	}
	return out
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func total[K comparable](m map[K]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func emptyAs(s, as string) string {
	if s == "" {
		return as
	}
	return s
}

// typed is what the form shows: what was refused, or what is.
func typed(err *domain.Error, typed, has string) string {
	if err != nil {
		return typed
	}
	return has
}

func joinTags(tags []string) string { return strings.Join(tags, " ") }

func noScreen(vm domain.VM) string {
	switch {
	case vm.State == domain.VMAway:
		return "The screen cannot be seen while the host is away."
	case vm.State == domain.VMRunning || vm.State == domain.VMPaused:
		return "This VM has no screen that can be pictured."
	}
	return "The screen is dark: the VM does not run."
}

func vcpuText(s domain.VMSpec) string {
	out := fmt.Sprint(s.VCPUs)
	if s.MaxVCPUs > s.VCPUs {
		out += fmt.Sprintf(" (room for %d)", s.MaxVCPUs)
	}
	if s.Topology != nil {
		out += ", " + s.Topology.String()
	}
	return out
}

func emptyWords(m List) string {
	if m.Demo {
		return "See one run at once: the demo guest is a Linux in memory that boots in seconds, without a disk. Or make your own: a name is enough, everything else has a default."
	}
	return "Make the first one: a name is enough, everything else has a default."
}
