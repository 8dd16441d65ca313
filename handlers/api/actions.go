package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// powerDocs are the actions without a body, and what they do.
var powerDocs = []struct {
	act          domain.VMAction
	summary, doc string
}{
	{domain.ActStart, "Start a VM", "A saved VM is restored. A VM that runs already is a conflict."},
	{domain.ActStop, "Power a VM off", "Like pulling the plug; shutdown asks the guest."},
	{domain.ActReboot, "Reboot a VM", "Asks the guest."},
	{domain.ActReset, "Reset a VM", "Like the reset button: the guest is not asked."},
	{domain.ActPause, "Pause a VM", ""},
	{domain.ActResume, "Let a paused VM go on", ""},
	{domain.ActSave, "Save a VM", "Its memory goes to a file on the host and it stops; start or restore brings it back."},
	{domain.ActRestore, "Bring a saved VM back", ""},
	{domain.ActDiscard, "Throw a VM's saved memory away", "It starts afresh next time."},
}

type ActParams struct {
	VMPath
	ChangeParams
}

// VMName is the name of a copy or the new name.
type VMName struct {
	Name string `json:"name" doc:"Unique in the estate" example:"web-2"`
}

// VMClone asks for a copy.
type VMClone struct {
	Name   string  `json:"name"`
	Linked bool    `json:"linked,omitempty" doc:"Copy on write, in seconds; else a full copy"`
	Folder *string `json:"folder,omitempty" maxLength:"600" doc:"Of the copy, by id or by path in its tenant; nothing: in none; left out: the original's. Another one needs folder.manage here and there"`
}

// VMShutdown says how long the guest may take.
type VMShutdown struct {
	ForceAfterSeconds int `json:"force_after_seconds,omitempty" minimum:"0" maximum:"3600" doc:"Power off when the guest has not shut down by then; 0: never"`
}

// VMRevert names the pending change that is taken back.
type VMRevert struct {
	Field string `json:"field" maxLength:"200" example:"memory_bytes"`
}

// VMBulk asks the same for many VMs.
type VMBulk struct {
	IDs               []string        `json:"ids" minItems:"1" maxItems:"1000" nullable:"false" doc:"The VMs"`
	Action            domain.VMAction `json:"action" enum:"start,shutdown,stop,reboot,reset,pause,resume,save,restore,discard,delete"`
	ForceAfterSeconds int             `json:"force_after_seconds,omitempty" minimum:"0" maximum:"3600" doc:"shutdown: power off what has not shut down by then; 0: never"`
	Disks             bool            `json:"disks,omitempty" doc:"delete: the disks as well"`
}

func (s *server) actions() {
	for _, p := range powerDocs {
		register(s, op{id: string(p.act) + "-vm", method: http.MethodPost, path: "/vms/{id}/" + string(p.act), tag: "VM actions", perm: access.VMPower, status: 202, summary: p.summary, doc: p.doc},
			func(ctx context.Context, in *ActParams) (*changeOutput, error) {
				return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
					return s.Fleet.ActVM(ctx, actor(ctx), in.ID, p.act, fleet.ActOptions{Key: key})
				})
			})
	}

	register(s, op{id: "shutdown-vm", method: http.MethodPost, path: "/vms/{id}/shutdown", tag: "VM actions", perm: access.VMPower, status: 202, summary: "Shut a VM down",
		doc: "Asks the guest. With force_after_seconds a guest that does not follow is powered off then."},
		func(ctx context.Context, in *struct {
			ActParams
			Body *VMShutdown
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				opt := fleet.ActOptions{Key: key}
				if in.Body != nil {
					opt.ForceAfter = time.Duration(in.Body.ForceAfterSeconds) * time.Second
				}
				return s.Fleet.ActVM(ctx, actor(ctx), in.ID, domain.ActShutdown, opt)
			})
		})

	register(s, op{id: "rename-vm", method: http.MethodPost, path: "/vms/{id}/rename", tag: "VM actions", perm: access.VMEdit, status: 202, summary: "Rename a stopped VM"},
		func(ctx context.Context, in *struct {
			ActParams
			Body VMName
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.RenameVM(ctx, actor(ctx), in.ID, in.Body.Name, key)
			})
		})

	register(s, op{id: "clone-vm", method: http.MethodPost, path: "/vms/{id}/clone", tag: "VM actions", perm: access.VMCreate, status: 202, summary: "Copy a stopped VM",
		doc: "With its own disks, MAC addresses and UUID. In full, or linked: then the original's disks are frozen, and the original and the copy each go on in an overlay of their own, " +
			"which takes seconds. The job's resource is the copy."},
		func(ctx context.Context, in *struct {
			ActParams
			Body VMClone
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.CloneVM(ctx, actor(ctx), in.ID, fleet.CloneVM{Name: in.Body.Name, Linked: in.Body.Linked, Folder: in.Body.Folder, Key: key})
			})
		})

	register(s, op{id: "revert-vm", method: http.MethodPost, path: "/vms/{id}/revert", tag: "VM actions", perm: access.VMEdit, status: 202, summary: "Take a pending change back",
		doc: "field is one of the fields that the VM's pending names."},
		func(ctx context.Context, in *struct {
			VMPath
			Wait string `query:"wait" maxLength:"20" doc:"Wait this long for the job to end, at most 120s" example:"30s"`
			Body VMRevert
		}) (*changeOutput, error) {
			return s.accepted(ctx, ChangeParams{Wait: in.Wait}, func(string) (domain.Job, error) {
				return s.Fleet.RevertPending(ctx, actor(ctx), in.ID, in.Body.Field)
			})
		})

	register(s, op{id: "act-on-vms", method: http.MethodPost, path: "/vms/actions", tag: "VM actions", perm: access.VMPower, status: 202, summary: "Do the same to many VMs",
		doc: "One job with a child for each VM; what fails for one does not stop the others. delete needs the permission to delete as well."},
		func(ctx context.Context, in *struct {
			ChangeParams
			Body VMBulk
		}) (*changeOutput, error) {
			if in.Body.Action == domain.ActDelete {
				if err := auth.SubjectOf(ctx).Require(access.VMDelete); err != nil {
					return nil, err
				}
			}
			ids := slices.Clone(in.Body.IDs)
			slices.Sort(ids)
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.BulkVMs(ctx, actor(ctx), slices.Compact(ids), in.Body.Action,
					fleet.ActOptions{ForceAfter: time.Duration(in.Body.ForceAfterSeconds) * time.Second, Disks: in.Body.Disks, Key: key})
			})
		})
}
