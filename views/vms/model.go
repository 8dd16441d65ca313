// Package vms shows virtual machines: the list, one machine with its tabs, the form that makes one, the dialogs that ask before acting, and
// the console pages. It also reads its own forms back (form.go), so that field names are written once.
//
// It is not for fetching anything: handlers fill the models.
package vms

import (
	"time"

	"github.com/a-h/templ"

	"novacron/domain"
	"novacron/views/charts"
	"novacron/views/layout"
	"novacron/views/ui"
)

// Columns of the list, in the default order. "name" and "state" cannot be hidden.
var (
	AllColumns     = []string{"name", "state", "host", "vcpus", "memory", "disk", "nets", "address", "since", "tags", "firmware", "uuid", "created"}
	DefaultColumns = []string{"name", "state", "host", "vcpus", "memory", "disk", "nets", "address", "since", "tags"}
)

// Table is the name of the list in domain.Prefs.Columns.
const Table = "vms"

// List is the VM list, on its own page, on the overview and on a host's page.
type List struct {
	Items       []domain.VM
	Total       int    // VMs that match the filter
	All         int    // VMs in the estate (or on Host)
	Filter      string // as typed, also when it is wrong
	FilterError string // what is wrong with the filter, and what would be right
	Sort        string // a column
	Desc        bool
	After       string           // cursor of this page; "" is the first
	Next        string           // cursor of the next page; "" at the end
	Columns     []string         // visible, in order; nil means DefaultColumns
	Host        *domain.Host     // set on a host's page: the host column is left out
	Base        string           // URL of the page that shows the list: live.VMs, live.Home or a host's tab
	Hosts       int              // hosts in the estate: an empty list teaches to add one first
	Tags        []string         // known tags, for completion; may be nil
	HostNames   []string         // for completion; may be nil
	Folders     []domain.Folder  // that can be shown alone; may be nil
	Dense       bool             // kept by the shell; here for rows sent by the stream
	Moving      map[string]Moved // VM id -> what its running job does now, for the state column; may be nil
	Demo        bool             // the server offers a small guest for trying things, and a host that can boot it
	// Drawn gives a row that is drawn already, or nil when it must be drawn; may be nil. Rows are most of a long list's cost and the same for many.
	Drawn func(vm domain.VM) templ.Component
	// Menu may be the rows' menu as it was drawn already: it is the same for everybody with the same role.
	Menu templ.Component
}

// Moved is a job's latest word on a VM.
type Moved struct {
	JobID, Text string
	Percent     float64
}

// Overview is the home page: the health strip, what needs attention, and the list.
type Overview struct {
	VMs       map[domain.VMState]int
	Hosts     map[domain.HostState]int
	Maint     int // hosts in maintenance
	VCPUs     int // allocated to VMs that run
	CPUs      int // logical processors of connected hosts
	Memory    int64
	MemoryAll int64
	Free      int64 // storage of active pools
	Capacity  int64
	Pools     int
	Attention []Attention
	List      List
	Charts    charts.Set      // over the time that is chosen
	Estate    templ.Component // where the load is, as it was drawn; nil: nothing is measured
}

// Attention is one thing that needs a person.
type Attention struct {
	Tone, Text, Detail string // tone as in layout.Tone
	URL, Link          string
}

// Page is one VM's page. Every tab has the head; the tab's own part is filled only for that tab.
type Page struct {
	VM          domain.VM
	Host        domain.Host
	Tab         string // summary, hardware, console, tasks, events, definition
	Disks       []DiskInfo
	Job         *domain.Job // the one that holds it now
	Recent      []domain.Job
	Jobs        []domain.Job          // tab tasks
	Events      []domain.Event        // tab events, newest first; also a few on summary
	Screenshot  bool                  // the VM runs and its host can take pictures
	Console     ConsoleInfo           // tab console
	Edit        ChangeForm            // tab hardware
	Cards       Cards                 // tab hardware
	Snapshots   Snapshots             // tab snapshots
	Guest       Guest                 // tab guest
	Monitor     charts.Set            // tab monitor
	Devices     []DeviceInfo          // tab hardware: what the host could give it
	Choices     Choices               // tab hardware: what disks and cards may be added from
	Origin      Origin                // tab summary
	Affinity    []domain.AffinityRule // tab summary: the rules it is under
	DescribeErr *domain.Error         // tags or notes were refused
	Folders     []domain.Folder       // tab summary: where it may be put
	Tags, Notes string                // as typed, when DescribeErr is set
}

// DiskInfo joins a disk of the VM with the volume behind it.
type DiskInfo struct {
	Disk   domain.Disk
	Volume *domain.Volume // nil when no pool of the host has it
}

// ConsoleInfo says what consoles there are and how they are reached.
type ConsoleInfo struct {
	Kind     string // vnc or serial: the one shown
	Graphics bool   // the VM has a screen
	Serial   bool   // the VM has a serial console
	Via      string // how the server reaches the screen, in words
}

// ConsolePage is the pop-out console.
type ConsolePage struct {
	VM      domain.VM
	Host    domain.Host
	Console ConsoleInfo
}

// Choices is what a host, or any host, offers to a form.
type Choices struct {
	Hosts    []HostChoice
	Pools    []domain.Pool    // active ones
	Images   []domain.Volume  // ISO images and disk images to boot or copy from
	Library  []domain.Image   // with versions that a VM can begin as
	Networks []domain.Network // active ones
	Machines []string
	CPUs     []string             // models that guests can have by name
	Common   []domain.CPUBaseline // processors found for several hosts, newest first
	Guests   []GuestKernel        // kernels with initrd that the server offers for trying things
	KVM      domain.Capability
	UEFI     domain.Capability
	Secure   domain.Capability
	TPM      domain.Capability
	MaxVCPUs int
	Whose    layout.Whose // which tenants it may be made for
	Folders  []ui.Option  // nil: there are none
}

// HostChoice is one host in the menu; Why is set when nothing can be placed on it now.
type HostChoice struct {
	ID, Name string
	Why      string
	FreeText string // "12 of 32 GiB free"
}

// GuestKernel is a bootable kernel on a host.
type GuestKernel struct{ Label, HostID, Kernel, Initrd, Cmdline string }

// Create is the page that makes a VM.
type Create struct {
	Form    CreateForm
	Choices Choices
	Preview Preview       // what the first boot would read
	Err     *domain.Error // what was refused, with Fields
	Key     string        // once-token: submitting twice makes one VM
}

// Ask is a dialog before something disruptive: power off, reset, discard, on one VM or many.
type Ask struct {
	Action domain.VMAction
	VMs    []domain.VM // the ones it would act on
	Skip   []Skipped   // chosen, but the state forbids
	All    bool        // "all that match" was chosen
	Filter string      // with All
	Err    *domain.Error
	Key    string
	Back   string // URL of the page it was asked on
}

// Skipped is a VM that the action leaves alone, and why.
type Skipped struct {
	VM  domain.VM
	Why string
}

// Name is the dialog that asks for a name: rename or clone.
type Name struct {
	VM    domain.VM
	Clone bool
	Full  bool // of a clone: its disks are copied; else they are overlays on the original's
	Value string
	Err   *domain.Error
	Key   string
	// Of a clone: the folders that it may be put into, and the one that is chosen.
	Folders []ui.Option
	Folder  string
}

// Delete is the dialog that shows what goes and what stays.
type Delete struct {
	VMs     []domain.VM // one, or many from the bulk bar
	Files   []DeleteFile
	Disks   bool   // the tick: disks go too
	Confirm string // the name as typed
	All     bool
	Filter  string
	Err     *domain.Error
	Key     string
	Back    string
	At      time.Time
}

// DeleteFile is one file of a VM.
type DeleteFile struct {
	VM, Path  string
	SizeBytes int64
	Goes      bool   // with the disks
	Always    bool   // goes with the definition in any case (NVRAM, saved memory)
	Why       string // why it stays, or what it is
}
