package live

// Pages of snapshots. The tree is the tab "snapshots" of the VM's page.
const (
	SnapshotsTab    = "snapshots"
	PatSnapshotNew  = "/vms/:id/snapshots/new"          // GET dialog, POST name, notes, memory, quiesce, kind
	PatSnapshotBulk = "/vms/:id/snapshots/delete"       // GET ids: dialog; POST ids, children
	PatSnapshotAct  = "/vms/:id/snapshots/:sid/:action" // GET dialog, POST: revert (safety), delete (children), clone (name), notes (notes)
	Schedules       = "/snapshot-schedules"             // list; POST makes one
	ScheduleNew     = "/snapshot-schedules/new"
	PatSchedule     = "/snapshot-schedules/:id"         // GET form, POST changes it
	PatScheduleAct  = "/snapshot-schedules/:id/:action" // GET delete: dialog; POST run, delete
	SnapshotTree    = "snapshot-tree"
	ScheduleRegion  = "schedules"
	SnapshotFormID  = "snapshot"
	ScheduleFormID  = "schedule"
)

// SnapshotNew asks for and takes a snapshot.
func SnapshotNew(vm string) string { return at("vms", vm, "snapshots", "new") }

// SnapshotBulk deletes several.
func SnapshotBulk(vm string) string { return at("vms", vm, "snapshots", "delete") }

// SnapshotAct asks for and does one thing with a snapshot.
func SnapshotAct(vm, id, action string) string { return at("vms", vm, "snapshots", id, action) }

// Schedule is one schedule's form.
func Schedule(id string) string { return at("snapshot-schedules", id) }

// ScheduleAct runs or deletes a schedule.
func ScheduleAct(id, action string) string { return at("snapshot-schedules", id, action) }
