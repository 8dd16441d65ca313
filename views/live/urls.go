package live

import "net/url"

// URLs of pages and actions. Handlers mount the patterns; templates call the functions. They are side by side so that they agree.
const (
	Home       = "/"
	SignIn     = "/login"    // GET page, POST name, password, next
	SignOut    = "/logout"   // POST
	Password   = "/password" // GET forced change page, POST current, password, again
	Account    = "/account"
	VMs        = "/vms"                // GET filter, sort, desc, after; POST creates
	VMNew      = "/vms/new"            // GET form; any field of vms.CreateForm as query prefills it (the form asks again so when the host changes)
	VMBulk     = "/vms/bulk"           // POST action (a VM's, delete, or folder with folder), ids (repeated) or all=1 with filter, confirm=1 once confirmed, disks=1 for delete
	Hosts      = "/hosts"              // GET list; POST adds
	HostNew    = "/hosts/new"          // GET form
	CommonCPU  = "/hosts/cpu-baseline" // GET form and what was found: job, vm, host; POST hosts, accel
	HostTry    = "/hosts/try"          // POST the same form: answers the form with the trial's result
	Tasks      = "/tasks"              // GET state, after
	Events     = "/events"             // GET before, kind, q
	Migrations = "/migrations"         // GET before
	// MigrationPolicies lists what migrations may do.
	MigrationPolicies = "/migrations/policies"
	Search            = "/search"              // GET q; the palette takes SearchResults out of it
	Live              = "/live"                // GET text/event-stream; on= says what the page shows
	Prefs             = "/account/preferences" // POST theme, density, table + columns (repeated)
	AccountPwd        = "/account/password"    // POST current, password, again
	Tokens            = "/account/tokens"      // POST name, days
	Device            = "/device"              // GET code; POST code, action (approve or deny; without it the answer shows who asks)
)

// Patterns in echo's notation for the URLs that carry an id.
const (
	PatVM            = "/vms/:id"                   // Summary
	PatVMTab         = "/vms/:id/:tab"              // hardware, console, tasks, events, definition
	PatVMAction      = "/vms/:id/actions/:action"   // POST start, shutdown, stop, reboot, reset, pause, resume, save, restore, discard; GET: the confirmation
	PatVMEdit        = "/vms/:id/edit"              // POST hardware change, fields of vms.ChangeForm
	PatVMRevert      = "/vms/:id/revert"            // POST field
	PatVMDescribe    = "/vms/:id/describe"          // POST version, tags, notes
	PatVMRename      = "/vms/:id/rename"            // GET dialog, POST name
	PatVMClone       = "/vms/:id/clone"             // GET dialog, POST name
	PatVMDelete      = "/vms/:id/delete"            // GET dialog, POST disks=1, confirm=name
	PatVMScreenshot  = "/vms/:id/screenshot.png"    // GET
	PatVMTicket      = "/vms/:id/console/:kind"     // POST: JSON {"url": "/ws/console/…", "via": "…"}; kind vnc or serial
	PatConsole       = "/console/:id/:kind"         // GET pop-out page
	PatConsoleWS     = "/ws/console/:ticket"        // GET websocket
	PatHost          = "/hosts/:id"                 // Summary
	PatHostTab       = "/hosts/:id/:tab"            // vms, storage, networks, devices, events
	PatHostEdit      = "/hosts/:id/edit"            // GET dialog, POST version, name, notes, labels
	PatHostMaint     = "/hosts/:id/maintenance"     // POST on=1 or on=0
	PatHostRetry     = "/hosts/:id/reconnect"       // POST
	PatHostRemove    = "/hosts/:id/remove"          // GET dialog, POST
	PatVMMigrate     = "/vms/:id/migrate"           // GET page, POST host, stall, bandwidth, tls; measure=1 only measures
	PatHostEvacuate  = "/hosts/:id/evacuate"        // GET plan, POST
	PatHostReturn    = "/hosts/:id/return"          // POST
	PatMigrationRule = "/migrations/policies/:id"   // GET form, POST
	PatMigrationTune = "/migrations/:id/tune"       // GET dialog, POST bandwidth, downtime_ms, post_copy
	PatTask          = "/tasks/:id"                 // GET
	PatTaskAction    = "/tasks/:id/:action"         // POST cancel, retry, dismiss, choose
	PatTokenRevoke   = "/account/tokens/:id/revoke" // POST
	PatTreeHost      = "/tree/hosts/:id"            // GET fragment: the VMs below a host
	TreePools        = "/tree/pools"                // GET fragment: the storage pools
	PatStatic        = "/static/*"
)

func at(parts ...string) string {
	out := ""
	for _, p := range parts {
		out += "/" + url.PathEscape(p)
	}
	return out
}

// VM is a VM's page.
func VM(id string) string { return at("vms", id) }

// VMTab is one tab of it; "" and "summary" are the page itself.
func VMTab(id, tab string) string {
	if tab == "" || tab == "summary" {
		return VM(id)
	}
	return at("vms", id, tab)
}

// VMAction acts on it (POST) or asks whether to (GET).
func VMAction(id, action string) string { return at("vms", id, "actions", action) }

// VMEdit changes its hardware.
func VMEdit(id string) string { return at("vms", id, "edit") }

// VMRevert takes back one pending change.
func VMRevert(id string) string { return at("vms", id, "revert") }

// VMDescribe sets tags and notes.
func VMDescribe(id string) string { return at("vms", id, "describe") }

// VMRename asks for and sets the name.
func VMRename(id string) string { return at("vms", id, "rename") }

// VMClone asks for the copy's name and makes it.
func VMClone(id string) string { return at("vms", id, "clone") }

// VMDelete shows what goes and deletes it.
func VMDelete(id string) string { return at("vms", id, "delete") }

// VMScreenshot is a still picture of its screen.
func VMScreenshot(id string) string { return at("vms", id, "screenshot.png") }

// VMTicket gives a one-time address of a console's websocket.
func VMTicket(id, kind string) string { return at("vms", id, "console", kind) }

// Console is the pop-out console page; kind is vnc or serial.
func Console(id, kind string) string { return at("console", id, kind) }

// Host is a host's page.
func Host(id string) string { return at("hosts", id) }

// HostTab is one tab of it.
func HostTab(id, tab string) string {
	if tab == "" || tab == "summary" {
		return Host(id)
	}
	return at("hosts", id, tab)
}

// HostEdit changes its name, notes and labels.
func HostEdit(id string) string { return at("hosts", id, "edit") }

// HostMaintenance switches maintenance.
func HostMaintenance(id string) string { return at("hosts", id, "maintenance") }

// HostReconnect tries again now.
func HostReconnect(id string) string { return at("hosts", id, "reconnect") }

// HostRemove forgets the host.
func HostRemove(id string) string { return at("hosts", id, "remove") }

// VMMigrate says where a VM may move, and moves it.
func VMMigrate(id string) string { return at("vms", id, "migrate") }

// HostEvacuate shows the plan that empties a host, and does it.
func HostEvacuate(id string) string { return at("hosts", id, "evacuate") }

// HostReturn brings back what was evacuated.
func HostReturn(id string) string { return at("hosts", id, "return") }

// MigrationTune changes the migration that a job is, while it runs.
func MigrationTune(id string) string { return at("migrations", id, "tune") }

// MigrationPolicy is the form of what the migrations of a VM, a tenant's, those of a host or all may do.
func MigrationPolicy(id string) string { return at("migrations", "policies", id) }

// Task is a job's page.
func Task(id string) string { return at("tasks", id) }

// TaskChoose is the action that picks one of a stuck job's choices.
const TaskChoose = "choose"

// TaskAction cancels, retries, dismisses or chooses.
func TaskAction(id, action string) string { return at("tasks", id, action) }

// TokenRevoke ends a token.
func TokenRevoke(id string) string { return at("account", "tokens", id, "revoke") }

// TreeHost is the part of the tree below a host.
func TreeHost(id string) string { return at("tree", "hosts", id) }

// VMNewOn is the create form with the host chosen.
func VMNewOn(hostID string) string { return VMNew + "?" + url.Values{"host": {hostID}}.Encode() }

// SearchFor is the result page of a search.
func SearchFor(q string) string { return Search + "?" + url.Values{"q": {q}}.Encode() }

// VMsWhere is the VM list with a filter.
func VMsWhere(filter string) string { return VMs + "?" + url.Values{"filter": {filter}}.Encode() }

// SignInThen comes back to next after signing in.
func SignInThen(next string) string { return SignIn + "?" + url.Values{"next": {next}}.Encode() }

// Stream is the page's event stream. on says what the page shows beside the shell: "" (nothing), "vms" (list rows), "hosts" (list rows),
// "tasks" (list rows), "events", or "vm_…", "host_…", "job_…" for one thing. after is the newest event the page has seen.
func Stream(on, after string) string {
	v := url.Values{}
	if on != "" {
		v.Set("on", on)
	}
	if after != "" {
		v.Set("after", after)
	}
	if len(v) == 0 {
		return Live
	}
	return Live + "?" + v.Encode()
}

// With gives u with query parameters replaced; an empty value removes one.
func With(u string, pairs ...string) string {
	parsed, err := url.Parse(u)
	if err != nil {
		return u
	}
	q := parsed.Query()
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		} else {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	parsed.RawQuery = q.Encode()
	return parsed.String()
}
