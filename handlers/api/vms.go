package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// VMCreate is what is asked for when a VM is created.
type VMCreate struct {
	Name           string           `json:"name" doc:"Unique in the estate" example:"web-1"`
	Host           string           `json:"host,omitempty" default:"any" doc:"A host's id, or any: NovaCron chooses one with room and says why" example:"any"`
	Folder         string           `json:"folder,omitempty" maxLength:"600" doc:"A folder's id, or its path in the tenant; empty: in none"`
	Tenant         string           `json:"tenant,omitempty" maxLength:"64" doc:"A tenant's id or name; empty: the one tenant in which you may make VMs, else the estate's own"`
	UUID           string           `json:"uuid,omitempty" doc:"Made when empty"`
	Title          string           `json:"title,omitempty"`
	Description    string           `json:"description,omitempty"`
	VCPUs          int              `json:"vcpus" example:"2"`
	MaxVCPUs       int              `json:"max_vcpus,omitempty" doc:"Room to add virtual CPUs while it runs; 0: none"`
	Topology       *domain.Topology `json:"topology,omitempty"`
	CPU            string           `json:"cpu,omitempty" doc:"host-passthrough, host-model, maximum or a model's name; empty: the host's best choice"`
	MemoryBytes    int64            `json:"memory_bytes" example:"2147483648"`
	MaxMemoryBytes int64            `json:"max_memory_bytes,omitempty" doc:"The balloon's ceiling; 0: same"`
	Accel          domain.Accel     `json:"accel,omitempty" default:"auto" enum:"auto,kvm,tcg" doc:"auto takes KVM where it is usable, else TCG; the job's log says which and why"`
	Arch           string           `json:"arch,omitempty" doc:"Empty: the host's"`
	Machine        string           `json:"machine,omitempty" doc:"q35, pc or a full name; empty: the host's default"`
	Firmware       string           `json:"firmware,omitempty" default:"bios" enum:"bios,uefi,uefi-secure"`
	TPM            bool             `json:"tpm,omitempty" doc:"With a TPM 2.0"`
	Boot           domain.Boot      `json:"boot,omitempty" doc:"A kernel on the host, or devices in order (hd, cdrom, network)"`
	Disks          []domain.Disk    `json:"disks,omitempty" nullable:"false" doc:"pool and size_bytes make a new volume; source uses what exists"`
	NICs           []domain.NIC     `json:"nics,omitempty" nullable:"false" doc:"network or bridge, one of the two"`
	Graphics       string           `json:"graphics,omitempty" doc:"vnc or none"`
	Start          bool             `json:"start,omitempty" doc:"Start it when it is made"`
	domain.Hardware
	Tags           []string          `json:"tags,omitempty" nullable:"false"`
	Notes          string            `json:"notes,omitempty" maxLength:"20000"`
	CloudInit      *domain.CloudInit `json:"cloud_init,omitempty" doc:"What cloud-init in the guest does on the first boot; its medium is made and attached"`
	Windows        *domain.Unattend  `json:"windows,omitempty" doc:"Instead of cloud_init: the answers of the installer of Windows; their medium is made and attached, and the drivers' too"`
	GuestExecAllow domain.ExecRules  `json:"guest_exec_allow,omitempty" nullable:"false" doc:"Commands that may be run inside the guest through its agent; none: all, by who may run commands at all"`
}

func (b VMCreate) ask(key string) fleet.CreateVM {
	return fleet.CreateVM{
		Host: b.Host, Tenant: b.Tenant, Folder: b.Folder, Start: b.Start, Tags: b.Tags, Notes: b.Notes, Key: key, CloudInit: b.CloudInit, Windows: b.Windows, ExecRules: b.GuestExecAllow,
		Spec: domain.VMSpec{
			Name: b.Name, UUID: strings.ToLower(b.UUID), Title: b.Title, Description: b.Description, VCPUs: b.VCPUs, MaxVCPUs: b.MaxVCPUs, Topology: b.Topology,
			CPU: b.CPU, MemoryBytes: b.MemoryBytes, MaxMemoryBytes: b.MaxMemoryBytes, Accel: b.Accel, Arch: b.Arch, Machine: b.Machine, Firmware: b.Firmware,
			TPM: b.TPM, Boot: b.Boot, Disks: b.Disks, NICs: b.NICs, Graphics: b.Graphics, Hardware: b.Hardware,
		},
	}
}

type VMPath struct {
	ID string `path:"id" maxLength:"64" doc:"The VM's id"`
}

type vmOutput struct {
	ETag string `header:"ETag"`
	Body VM
}

func vmAnswer(v domain.VM) *vmOutput { return &vmOutput{etag(v.Version), vmOf(&v, true)} }

type vmListInput struct {
	PageQuery
	Filter string `query:"filter" maxLength:"500" doc:"Words that the name, UUID, a MAC, a tag, the notes or the host contain; host:b2 state:running tag:ci cpu>4 mem>=8G name:web* narrow, a minus excludes" example:"host:b2 -tag:ci"`
	Host   string `query:"host" maxLength:"64" doc:"Only VMs of the host with this id"`
	Tenant string `query:"tenant" maxLength:"64" doc:"Only VMs of the tenant with this id"`
	State  string `query:"state" enum:"running,stopped,paused,saved,crashed,away" doc:"Only VMs in this state"`
	Sort   string `query:"sort" default:"name" doc:"name, state, host, vcpus, memory or created; a minus turns it round"`
}

// vmList is a page of VMs as JSON. It is the same for everybody who may read VMs, so readers who ask for the same page share it until an event
// says that something changed: reading and encoding 100 VMs costs milliseconds, and scripts ask often.
// VMEdit is what may change: what NovaCron keeps (tags, notes) at once, what the definition says by a job.
type VMEdit struct {
	domain.VMChange
	Folder  *string   `json:"folder,omitempty" maxLength:"600" doc:"Puts the VM into a folder of its tenant, named by id or path, or with nothing into none; alone in the body. It needs folder.manage here and there"`
	Tenant  *string   `json:"tenant,omitempty" maxLength:"64" doc:"Gives the VM to another tenant, or with nothing to the estate; alone in the body, and for who manages tenants"`
	Tags    *[]string `json:"tags,omitempty" doc:"Replaces all tags"`
	Notes   *string   `json:"notes,omitempty" maxLength:"20000"`
	Version *int64    `json:"version,omitempty" minimum:"1" doc:"The version that the edit is based on; when it is stale the answer is 409"`
}

type vmPatchInput struct {
	VMPath
	MatchHeader
	ChangeParams
	Body VMEdit
}

// vmPatchOutput is the VM when all was done at once, or the job.
type vmPatchOutput struct {
	Status   int
	Location string `header:"Location" doc:"Where the job is, when there is one"`
	ETag     string `header:"ETag" doc:"Of the VM, when there is no job"`
	Body     any
}

type planOutput struct{ Body DeletePlan }

// DeletePlan says what deleting a VM would do.
type DeletePlan struct {
	VMID     string     `json:"vm_id"`
	Name     string     `json:"name"`
	Host     string     `json:"host"`
	PowerOff bool       `json:"power_off" doc:"It runs and would be powered off first"`
	Saved    bool       `json:"saved" doc:"Its saved memory would be lost"`
	Files    []PlanFile `json:"files" nullable:"false"`
	Bytes    int64      `json:"bytes" doc:"What the files that go take up on the host now"`
}

// PlanFile is one disk of a VM that is to be deleted.
type PlanFile struct {
	Target          string `json:"target"`
	Device          string `json:"device"`
	Path            string `json:"path"`
	Pool            string `json:"pool"`
	Volume          string `json:"volume"`
	CapacityBytes   int64  `json:"capacity_bytes"`
	AllocationBytes int64  `json:"allocation_bytes"`
	Goes            bool   `json:"goes" doc:"Deleted with ?disks=true"`
	Always          bool   `json:"always" doc:"And also without"`
	Base            string `json:"base,omitempty" doc:"It was frozen for linked clones, none of which is left: the id under which it is kept"`
	Why             string `json:"why"`
}

func (s *server) vms() {
	registerPage(s, op{id: "list-vms", method: http.MethodGet, path: "/vms", tag: "VMs", perm: access.VMRead, status: 200, summary: "List VMs"}, s.vmPage)

	register(s, op{id: "create-vm", method: http.MethodPost, path: "/vms", tag: "VMs", perm: access.VMCreate, status: 202, summary: "Create a VM",
		doc: "The job's resource is the VM: its id is settled at once, so GET /api/v1/vms/{id} works from now on. When the job fails, what it made is taken back."},
		func(ctx context.Context, in *struct {
			ChangeParams
			Body VMCreate
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				job, err := s.Fleet.CreateVM(ctx, actor(ctx), in.Body.ask(key))
				if domain.Is(err, domain.NotFound) { // the address exists; it is the body that names something that does not
					err = domain.InvalidField("host", "There is no host “"+in.Body.Host+"”.", "a host's id, or any")
				}
				return job, err
			})
		})

	register(s, op{id: "get-vm", method: http.MethodGet, path: "/vms/{id}", tag: "VMs", perm: access.VMRead, status: 200, summary: "Show a VM"},
		func(ctx context.Context, in *VMPath) (*vmOutput, error) {
			v, err := s.DB.VM(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return vmAnswer(v), nil
		})

	registerWith(s, op{id: "get-vm-xml", method: http.MethodGet, path: "/vms/{id}/xml", tag: "VMs", perm: access.VMRead, status: 200, summary: "Show a VM's libvirt definition",
		doc: "The persistent definition exactly as the host prints it."}, gives("application/xml", "The definition"),
		func(ctx context.Context, in *VMPath) (*struct {
			ContentType string `header:"Content-Type"`
			Body        []byte `contentType:"application/xml"`
		}, error) {
			v, err := s.DB.VM(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &struct {
				ContentType string `header:"Content-Type"`
				Body        []byte `contentType:"application/xml"`
			}{"application/xml; charset=utf-8", []byte(v.XML)}, nil
		})

	both := func(h *huma.Operation) { // the 202 is known from the type; this is the other answer
		vm := schemaOf[VM](s.api.OpenAPI().Components.Schemas)
		job := schemaOf[Job](s.api.OpenAPI().Components.Schemas)
		h.Responses = map[string]*huma.Response{
			"200": {Description: "Done: the VM as it is now", Content: map[string]*huma.MediaType{"application/json": {Schema: vm}}},
			"202": {Description: "Accepted", Content: map[string]*huma.MediaType{"application/json": {Schema: job}}},
		}
	}
	registerWith(s, op{id: "edit-vm", method: http.MethodPatch, path: "/vms/{id}", tag: "VMs", perm: access.VMEdit, status: 202, summary: "Change a VM",
		doc: "Tags and notes change at once: with nothing else in the body the answer is 200 and the VM. Everything else changes the definition and answers 202 and a job; " +
			"what cannot change while it runs is pending until the next start. If-Match or version guard against overwriting somebody else's edit."}, both, s.patchVM)

	register(s, op{id: "plan-delete-vm", method: http.MethodGet, path: "/vms/{id}/delete-plan", tag: "VMs", perm: access.VMRead, status: 200, summary: "Say what deleting a VM would do"},
		func(ctx context.Context, in *VMPath) (*planOutput, error) {
			p, err := s.Fleet.DeletePlan(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			out := DeletePlan{VMID: p.VMID, Name: p.Name, Host: p.HostName, PowerOff: p.PowerOff, Saved: p.Saved, Files: make([]PlanFile, len(p.Files)), Bytes: p.Bytes}
			for i, f := range p.Files {
				out.Files[i] = PlanFile(f)
			}
			return &planOutput{out}, nil
		})

	register(s, op{id: "delete-vm", method: http.MethodDelete, path: "/vms/{id}", tag: "VMs", perm: access.VMDelete, status: 202, summary: "Delete a VM",
		doc: "A running VM is powered off first. Without ?disks=true its disks stay; delete-plan names each file."},
		func(ctx context.Context, in *struct {
			VMPath
			ChangeParams
			Disks bool `query:"disks" doc:"Delete its disks too, apart from those that others use"`
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.DeleteVM(ctx, actor(ctx), in.ID, fleet.DeleteVM{Disks: in.Disks, Key: key})
			})
		})
}

func (s *server) vmPage(ctx context.Context, in *vmListInput) (Page[VM], error) {
	order, desc := strings.CutPrefix(in.Sort, "-")
	page, err := s.DB.VMs(ctx, db.VMQuery{
		Filter: in.Filter, Host: in.Host, Tenant: in.Tenant, State: domain.VMState(in.State), Sort: order, Desc: desc, After: in.cursor(), Limit: in.limit(),
	})
	if err != nil {
		return Page[VM]{}, ofCursor(err)
	}
	return pageOf(page.Items, page.Next, page.Total, func(v *domain.VM) VM { return vmOf(v, false) }), nil
}

// giveVM gives a VM to another tenant.
func (s *server) giveVM(ctx context.Context, in *vmPatchInput, base int64) (*vmPatchOutput, error) {
	if !in.Body.VMChange.Empty() || in.Body.Tags != nil || in.Body.Notes != nil {
		return nil, domain.InvalidField("tenant", "A VM is given to a tenant in a request of its own.", "only tenant in the body")
	}
	sub := auth.SubjectOf(ctx)
	if !sub.Everywhere(access.TenantManage) {
		return nil, sub.Lacks(access.TenantManage)
	}
	vm, err := s.Fleet.GiveVM(ctx, actor(ctx), in.ID, base, *in.Body.Tenant)
	if err != nil {
		return nil, err
	}
	return &vmPatchOutput{Status: http.StatusOK, ETag: etag(vm.Version), Body: vmOf(&vm, true)}, nil
}

// putVM puts a VM into a folder.
func (s *server) putVM(ctx context.Context, in *vmPatchInput, base int64) (*vmPatchOutput, error) {
	if !in.Body.VMChange.Empty() || in.Body.Tags != nil || in.Body.Notes != nil || in.Body.Tenant != nil {
		return nil, domain.InvalidField("folder", "A VM is put into a folder in a request of its own.", "only folder in the body")
	}
	vms, err := s.Fleet.PutVMs(ctx, actor(ctx), []string{in.ID}, base, *in.Body.Folder)
	if err != nil {
		return nil, err
	}
	return &vmPatchOutput{Status: http.StatusOK, ETag: etag(vms[0].Version), Body: vmOf(&vms[0], true)}, nil
}

func (s *server) patchVM(ctx context.Context, in *vmPatchInput) (*vmPatchOutput, error) {
	base, fromHeader, err := in.base(in.Body.Version)
	if err != nil {
		return nil, err
	}
	if in.Body.Folder != nil {
		return s.putVM(ctx, in, base)
	}
	if in.Body.Tenant != nil {
		return s.giveVM(ctx, in, base)
	}
	describe := fleet.DescribeVM{Tags: in.Body.Tags, Notes: in.Body.Notes}
	described := describe.Tags != nil || describe.Notes != nil
	if in.Body.VMChange.Empty() && !described {
		return nil, domain.Errorf(domain.Invalid, "Nothing is asked for.").WithFix("Send at least one field to change.")
	}
	vm, err := s.DB.VM(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := fresh(base, fromHeader, vm.Version, "VM"); err != nil {
		return nil, err
	}
	if in.Body.VMChange.Empty() {
		if vm, err = s.Fleet.DescribeVM(ctx, actor(ctx), in.ID, base, describe); err != nil {
			return nil, err
		}
		return &vmPatchOutput{Status: http.StatusOK, ETag: etag(vm.Version), Body: vmOf(&vm, true)}, nil
	}
	if describe.Tags != nil { // refused before the job exists, so that a request is done as a whole or not at all
		var p domain.Problems
		domain.CheckTags(&p, "tags", *describe.Tags)
		if err := p.Err(); err != nil {
			return nil, err
		}
		if err := s.Fleet.MayTag(ctx, vm, vm.Tags, *describe.Tags); err != nil {
			return nil, err
		}
	}
	out, err := s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
		job, err := s.Fleet.ChangeVM(ctx, actor(ctx), in.ID, base, in.Body.VMChange, key)
		if err != nil || !described {
			return job, err
		}
		_, err = s.Fleet.DescribeVM(ctx, actor(ctx), in.ID, 0, describe)
		return job, err
	})
	if err != nil {
		return nil, err
	}
	return &vmPatchOutput{Status: http.StatusAccepted, Location: out.Location, Body: out.Body}, nil
}
