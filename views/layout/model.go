// Package layout is the frame around every page: header with search, rail, inventory tree, content, task drawer, toasts and dialogs; and the
// bare frame for pages before sign-in and for pop-out consoles. Every page component takes a Shell and fills the content.
//
// It is not for the content of any feature.
package layout

import (
	"time"

	"github.com/a-h/templ"

	"novacron/domain"
	"novacron/views/live"
)

// Section is the part of the rail that is lit.
type Section string

const (
	SectionHome    Section = "home"
	SectionVMs     Section = "vms"
	SectionHosts   Section = "hosts"
	SectionStorage Section = "storage"
	SectionImages  Section = "images"
	SectionNets    Section = "networks"
	SectionAlerts  Section = "alerts"
	SectionTasks   Section = "tasks"
	SectionEvents  Section = "events"
	SectionAccess  Section = "access"
	SectionAccount Section = "account"
)

// Shell is what the frame shows. A handler fills it once per request, whatever the page.
type Shell struct {
	Title   string // of the tab; also the page's heading unless the page has its own
	Section Section
	Crumbs  []Crumb // the way here, without the page itself
	User    domain.User
	Can     func(permission string) bool // whether the user may do it anywhere; nil allows everything
	Look    string                       // alike for all who may do the same
	Tree    Tree
	Counts  Counts
	Tasks   []domain.Job // for the drawer: unfinished first, then the newest ended ones; at most 20
	Live    string       // live.Stream(…): what this page wants to hear
	URL     string       // path and query of this page: where actions without JavaScript come back to
	Flash   *Toast       // said once at the top of the page after a redirect without JavaScript
	Version string
	Now     time.Time // the server's clock: relative times are right before the script runs
}

// May reports whether the user may do what the permission names.
func (s Shell) May(permission string) bool { return s.Can == nil || s.Can(permission) }

// Crumb is one step of the way to the page.
type Crumb struct{ Label, URL string }

// Counts feed the header's chips and the rail.
type Counts struct {
	VMs, Hosts  int
	ActiveTasks int
	StuckTasks  int
	Alerts      int // that fire and that somebody is told of
	HostsAway   int
}

// Tree is the inventory on the left: hosts with their VMs, and the storage pools. Only what is open carries what is below it; the rest is fetched when opened.
type Tree struct {
	Hosts    []TreeHost
	Pools    TreePools
	Selected string // id of the VM, host or pool that the page shows
	// Drawn may give the tree as it was drawn for another page, instead of drawing it; nil draws it.
	Drawn func(draw templ.Component) templ.Component
}

// TreeHost is one host in the tree.
type TreeHost struct {
	ID, Name    string
	State       domain.HostState
	Maintenance bool
	VMCount     int
	Open        bool // VMs is filled and shown
	VMs         []TreeVM
}

// TreeVM is one VM in the tree.
type TreeVM struct {
	ID, Name string
	State    domain.VMState
}

// TreePools is the branch of storage pools; it is not there without any.
type TreePools struct {
	Count int
	Open  bool // Items is filled and shown
	Items []TreePool
}

// TreePool is one pool in the tree, once however many hosts see it.
type TreePool struct {
	ID, Name string
	Where    string // the host that has it, or how many see it
	Active   bool
}

// Tone says what sort of message it is.
type Tone string

const (
	ToneInfo    Tone = "info"
	ToneSuccess Tone = "success"
	ToneWarning Tone = "warning"
	ToneError   Tone = "error"
)

// Toast is a short message at the edge of the screen.
type Toast struct {
	Tone   Tone
	Text   string
	Detail string // what to do, or what holds it
	URL    string // link "Link" goes to, usually the job's page
	Link   string
	Undo   string // POST here takes it back; "" when it cannot be
}

// TaskToast says that a job was accepted, and offers the action that takes it back where one does.
func TaskToast(j domain.Job, url string) Toast {
	t := Toast{Tone: ToneInfo, Text: j.Title + " …", URL: url, Link: "Show task"}
	if back := takesBack[j.Kind]; back != "" && j.Resource.Kind == "vm" && j.Resource.ID != "" {
		t.Undo = live.VMAction(j.Resource.ID, string(back))
	}
	return t
}

// takesBack names the action that brings a VM back to where it was, with nothing lost.
var takesBack = map[string]domain.VMAction{"vm.pause": domain.ActResume, "vm.resume": domain.ActPause, "vm.save": domain.ActRestore}

// ErrorToast says what went wrong and what to do; a holder of the resource becomes a link.
func ErrorToast(e *domain.Error, taskURL func(id string) string) Toast {
	t := Toast{Tone: ToneError, Text: e.Msg, Detail: e.Fix}
	if e.Holder != "" {
		t.URL, t.Link = taskURL(e.Holder), "Show the task that holds it"
	}
	return t
}
