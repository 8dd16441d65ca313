package domain

import (
	"slices"
	"time"
)

// VMState is a guest's state as people speak of it.
type VMState string

const (
	VMRunning VMState = "running"
	VMStopped VMState = "stopped"
	VMPaused  VMState = "paused"
	VMSaved   VMState = "saved"   // stopped with its memory kept in a managed-save file
	VMCrashed VMState = "crashed" // stopped because QEMU died or the guest panicked
	VMAway    VMState = "away"    // its host does not answer; LastState is what was seen last
)

// VMStates lists every state, in the order menus show them.
var VMStates = []VMState{VMRunning, VMPaused, VMStopped, VMSaved, VMCrashed, VMAway}

// VM is a guest of the estate: what its host reports plus what only we know (tags, notes, history).
type VM struct {
	ID        string
	UUID      string // libvirt's; unique on a host, not in the estate (copies and test drivers repeat it)
	HostID    string
	HostName  string
	Tenant    string // id of the tenant that it belongs to; empty: the estate's own
	Folder    string // id of the folder that it is in; empty: in none
	Name      string
	State     VMState // VMAway while the host is away
	LastState VMState // what the host said last
	Reason    string  // why it is in this state, in words ("shut down by the guest"); may be empty
	Autostart bool
	Creating  bool      // its create job has not finished
	Config    VMSpec    // what the next start will use
	Live      *VMSpec   // what runs now; nil unless running or paused
	Pending   []Change  // Live against Config: "applies after restart"
	XML       string    // persistent definition exactly as the host prints it
	Addresses []Address // while it runs, from all sources
	Tags      []string
	Notes     string
	BusyJob   string // id of the job that holds it; empty when free
	BusyTitle string
	StateAt   time.Time // when State last changed
	CreatedAt time.Time // first seen or created
	SeenAt    time.Time // last confirmed by the host
	Version   int64     // grows when Config, Tags or Notes change; guards two tabs editing one VM
}

// Guest is one guest as its host reports it.
type Guest struct {
	UUID       string
	Name       string
	State      VMState
	Reason     string
	Autostart  bool
	Persistent bool
	Config     VMSpec
	Live       *VMSpec
	XML        string
}

// GuestState is the cheap part of a Guest, for resynchronising many in one round trip.
type GuestState struct {
	State  VMState
	Reason string
}

// VMAction is something a person can do to a VM.
type VMAction string

const (
	ActStart    VMAction = "start" // restores when the VM is saved
	ActShutdown VMAction = "shutdown"
	ActStop     VMAction = "stop" // power off
	ActReboot   VMAction = "reboot"
	ActReset    VMAction = "reset"
	ActPause    VMAction = "pause"
	ActResume   VMAction = "resume"
	ActSave     VMAction = "save"
	ActRestore  VMAction = "restore"
	ActDiscard  VMAction = "discard" // throws the saved memory away
	ActRename   VMAction = "rename"
	ActClone    VMAction = "clone"
	ActEdit     VMAction = "edit"
	ActDelete   VMAction = "delete"
	ActConsole  VMAction = "console"
	ActMigrate  VMAction = "migrate"
)

// VMActions lists every action, frequent first, destructive last: the order of menus.
var VMActions = []VMAction{ActStart, ActShutdown, ActReboot, ActPause, ActResume, ActConsole, ActSave, ActRestore, ActEdit, ActMigrate, ActRename, ActClone, ActReset, ActStop, ActDiscard, ActDelete}

var actionFrom = map[VMAction][]VMState{
	ActStart:    {VMStopped, VMSaved, VMCrashed},
	ActShutdown: {VMRunning},
	ActStop:     {VMRunning, VMPaused, VMCrashed},
	ActReboot:   {VMRunning},
	ActReset:    {VMRunning, VMPaused},
	ActPause:    {VMRunning},
	ActResume:   {VMPaused},
	ActSave:     {VMRunning, VMPaused},
	ActRestore:  {VMSaved},
	ActDiscard:  {VMSaved},
	ActRename:   {VMStopped, VMCrashed},
	ActClone:    {VMStopped, VMCrashed},
	ActEdit:     {VMRunning, VMPaused, VMStopped, VMCrashed},
	ActDelete:   {VMRunning, VMPaused, VMStopped, VMSaved, VMCrashed},
	ActConsole:  {VMRunning, VMPaused},
	ActMigrate:  {VMRunning, VMPaused, VMStopped, VMCrashed},
}

var actionVerb = map[VMAction]string{
	ActStart: "started", ActShutdown: "shut down", ActStop: "powered off", ActReboot: "rebooted", ActReset: "reset",
	ActPause: "paused", ActResume: "resumed", ActSave: "saved", ActRestore: "restored", ActDiscard: "relieved of its saved state",
	ActRename: "renamed", ActClone: "cloned", ActEdit: "edited", ActDelete: "deleted", ActConsole: "watched on its console", ActMigrate: "moved",
}

// Can reports whether the action is possible in this state; the error is a Conflict that says why not, fit for a tool tip.
func (s VMState) Can(a VMAction) error {
	from, ok := actionFrom[a]
	if !ok {
		return Errorf(Unsupported, "There is no action “%s”.", a)
	}
	if slices.Contains(from, s) {
		return nil
	}
	if s == VMAway {
		return Errorf(Unavailable, "Its host is away, so it cannot be %s now.", actionVerb[a]).WithFix("Wait for the host to come back or look at the host's page for the reason.")
	}
	e := Errorf(Conflict, "A %s VM cannot be %s.", s, actionVerb[a])
	switch {
	case a == ActRename || a == ActClone:
		e.Fix = "Shut it down first."
	case s == VMSaved:
		e.Fix = "Restore it or discard its saved state first."
	case s == VMPaused:
		e.Fix = "Resume it first."
	case s == VMStopped || s == VMCrashed:
		e.Fix = "Start it first."
	}
	return e
}
