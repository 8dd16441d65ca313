package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// Template is a way to make VMs.
type Template struct {
	ID          string            `json:"id" example:"tmpl_01k…"`
	Name        string            `json:"name" example:"web"`
	Tenant      string            `json:"tenant,omitempty" doc:"Whose it is; nothing: the estate's, for everybody"`
	Description string            `json:"description"`
	Versions    []TemplateVersion `json:"versions" nullable:"false" doc:"Newest first"`
	VMs         int               `json:"vms" doc:"How many VMs came of it"`
	CreatedAt   *time.Time        `json:"created_at"`
	Version     int64             `json:"version" doc:"Grows with every edit; also the ETag"`
}

// TemplateVersion is one immutable state of a template.
type TemplateVersion struct {
	ID         string             `json:"id"`
	Number     int                `json:"number"`
	Ref        string             `json:"ref" example:"web@2"`
	Deprecated bool               `json:"deprecated"`
	Spec       domain.VMSpec      `json:"spec"`
	Parameters []domain.Parameter `json:"parameters" nullable:"false"`
	CloudInit  *domain.CloudInit  `json:"cloud_init,omitempty" doc:"What the first boot of its VMs reads, without the password's hash"`
	Password   bool               `json:"has_password,omitempty" doc:"cloud_init sets a password"`
	ExecAllow  domain.ExecRules   `json:"guest_exec_allow,omitempty" nullable:"false" doc:"Commands that may be run inside its VMs; none: all"`
	Changelog  string             `json:"changelog"`
	CreatedBy  string             `json:"created_by"`
	CreatedAt  *time.Time         `json:"created_at"`
}

func templateVersionOf(v *domain.TemplateVersion) TemplateVersion {
	spec := v.Spec
	spec.Disks, spec.NICs = list(spec.Disks), list(spec.NICs)
	out := TemplateVersion{ID: v.ID, Number: v.Number, Ref: v.Ref(), Deprecated: v.Deprecated, Spec: spec, Parameters: list(v.Params), ExecAllow: v.ExecRules, Changelog: v.Changelog, CreatedBy: v.CreatedBy, CreatedAt: when(v.CreatedAt)}
	if v.CloudInit != nil {
		boot := *v.CloudInit
		out.Password, boot.PasswordHash = boot.PasswordHash != "", ""
		out.CloudInit = &boot
	}
	return out
}

func templateOf(t *domain.Template) Template {
	out := Template{ID: t.ID, Name: t.Name, Tenant: t.Tenant, Description: t.Description, Versions: make([]TemplateVersion, len(t.Versions)), VMs: t.VMs, CreatedAt: when(t.CreatedAt), Version: t.Version}
	for i := range t.Versions {
		out.Versions[i] = templateVersionOf(&t.Versions[i])
	}
	return out
}

// TemplateSpec is the VM that a template describes: as for creating a VM, without a name.
type TemplateSpec struct {
	Title       string           `json:"title,omitempty"`
	Description string           `json:"description,omitempty"`
	VCPUs       int              `json:"vcpus" example:"2"`
	MaxVCPUs    int              `json:"max_vcpus,omitempty"`
	Topology    *domain.Topology `json:"topology,omitempty"`
	CPU         string           `json:"cpu,omitempty"`
	MemoryBytes int64            `json:"memory_bytes" example:"2147483648"`
	Accel       domain.Accel     `json:"accel,omitempty" enum:"auto,kvm,tcg"`
	Arch        string           `json:"arch,omitempty"`
	Machine     string           `json:"machine,omitempty"`
	Firmware    string           `json:"firmware,omitempty" enum:"bios,uefi,uefi-secure"`
	TPM         bool             `json:"tpm,omitempty"`
	Boot        domain.Boot      `json:"boot,omitempty"`
	Disks       []domain.Disk    `json:"disks,omitempty" nullable:"false" doc:"An image by name follows its newest published version; name@version pins it"`
	NICs        []domain.NIC     `json:"nics,omitempty" nullable:"false"`
	Graphics    string           `json:"graphics,omitempty"`
}

func (b TemplateSpec) spec() domain.VMSpec {
	return domain.VMSpec{Title: b.Title, Description: b.Description, VCPUs: b.VCPUs, MaxVCPUs: b.MaxVCPUs, Topology: b.Topology, CPU: b.CPU, MemoryBytes: b.MemoryBytes,
		Accel: b.Accel, Arch: b.Arch, Machine: b.Machine, Firmware: b.Firmware, TPM: b.TPM, Boot: b.Boot, Disks: b.Disks, NICs: b.NICs, Graphics: b.Graphics}
}

// TemplateVersionNew asks for a version of a template: a spec, or a VM that it is like.
type TemplateVersionNew struct {
	Spec       *TemplateSpec      `json:"spec,omitempty" doc:"What its VMs are; texts may name parameters as ${name}"`
	VM         string             `json:"vm,omitempty" doc:"Instead of spec: the id of a VM that its VMs are to be like"`
	Image      string             `json:"image,omitempty" doc:"With vm: what the first disk begins as"`
	Parameters []domain.Parameter `json:"parameters,omitempty" nullable:"false" doc:"vcpus, memory_bytes, disk_bytes, network and host set those parts of the VM"`
	CloudInit  *domain.CloudInit  `json:"cloud_init,omitempty" doc:"What the first boot reads; its texts may name parameters as ${name}"`
	Keep       bool               `json:"keep_password,omitempty" doc:"The password of the version before, when cloud_init gives none"`
	ExecAllow  domain.ExecRules   `json:"guest_exec_allow,omitempty" nullable:"false"`
	Changelog  string             `json:"changelog,omitempty"`
}

// TemplateNew asks for a template with its first version.
type TemplateNew struct {
	Name        string `json:"name" example:"web"`
	Tenant      string `json:"tenant,omitempty" maxLength:"64" doc:"Whose it is to be; empty: the caller's own tenant, else the estate's, for everybody"`
	Description string `json:"description,omitempty"`
	TemplateVersionNew
}

// TemplatePath names a template.
type TemplatePath struct {
	ID string `path:"id" maxLength:"64" doc:"The template's id, or its name"`
}

type templateOutput struct {
	ETag string `header:"ETag"`
	Body Template
}

func templateAnswer(t domain.Template, err error) (*templateOutput, error) {
	if err != nil {
		return nil, err
	}
	return &templateOutput{etag(t.Version), templateOf(&t)}, nil
}

func (s *server) newTemplate(ctx context.Context, id, name, description string, n TemplateVersionNew) (*templateOutput, error) {
	if (n.Spec == nil) == (n.VM == "") {
		return nil, domain.InvalidField("spec", "A template is a spec, or like a VM.", "one of spec and vm")
	}
	var spec domain.VMSpec
	if n.Spec != nil {
		spec = n.Spec.spec()
	} else {
		var err error
		if spec, err = s.Fleet.TemplateFromVM(ctx, n.VM, n.Image); err != nil {
			if domain.Is(err, domain.NotFound) {
				err = domain.InvalidField("vm", "There is no such VM.", "a VM's id")
			}
			return nil, err
		}
	}
	return templateAnswer(s.Fleet.NewTemplateVersion(ctx, actor(ctx), fleet.NewTemplate{TemplateID: id, Name: name, Description: description, Spec: spec, Params: n.Parameters,
		CloudInit: n.CloudInit, KeepHash: n.Keep, ExecRules: n.ExecAllow, Changelog: n.Changelog}))
}

func (s *server) templates() {
	const tag = "Templates"
	registerPage(s, op{id: "list-templates", method: http.MethodGet, path: "/templates", tag: tag, perm: access.TemplateRead, status: 200, summary: "List templates"},
		func(ctx context.Context, in *struct {
			PageQuery
			Filter string `query:"filter" maxLength:"200" doc:"Words that the name or the description contains"`
			Sort   string `query:"sort" default:"name" doc:"name or created; a minus turns it round"`
		}) (Page[Template], error) {
			order, desc := strings.CutPrefix(in.Sort, "-")
			page, err := s.DB.Templates(ctx, db.TemplateQuery{Filter: in.Filter, Sort: order, Desc: desc, After: in.cursor(), Limit: in.limit()})
			if err != nil {
				return Page[Template]{}, ofCursor(err)
			}
			return pageOf(page.Items, page.Next, page.Total, templateOf), nil
		})
	register(s, op{id: "create-template", method: http.MethodPost, path: "/templates", tag: tag, perm: access.TemplateManage, status: 201, summary: "Make a template"},
		func(ctx context.Context, in *struct{ Body TemplateNew }) (*templateOutput, error) {
			ctx, err := s.Fleet.OwnedBy(ctx, access.TemplateManage, in.Body.Tenant)
			if err != nil {
				return nil, err
			}
			return s.newTemplate(ctx, "", in.Body.Name, in.Body.Description, in.Body.TemplateVersionNew)
		})
	register(s, op{id: "get-template", method: http.MethodGet, path: "/templates/{id}", tag: tag, perm: access.TemplateRead, status: 200, summary: "Show a template"},
		func(ctx context.Context, in *TemplatePath) (*templateOutput, error) {
			return templateAnswer(s.DB.Template(ctx, in.ID))
		})
	register(s, op{id: "edit-template", method: http.MethodPatch, path: "/templates/{id}", tag: tag, perm: access.TemplateManage, status: 200, summary: "Rename or describe a template"},
		func(ctx context.Context, in *struct {
			TemplatePath
			MatchHeader
			Body struct {
				Name        *string `json:"name,omitempty"`
				Description *string `json:"description,omitempty"`
			}
		}) (*templateOutput, error) {
			base, fromHeader, err := in.base(nil)
			if err != nil {
				return nil, err
			}
			now, err := s.DB.Template(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if err := fresh(base, fromHeader, now.Version, "template"); err != nil {
				return nil, err
			}
			return templateAnswer(s.Fleet.DescribeTemplate(ctx, actor(ctx), now.ID, base, in.Body.Name, in.Body.Description))
		})
	register(s, op{id: "delete-template", method: http.MethodDelete, path: "/templates/{id}", tag: tag, perm: access.TemplateManage, status: 204, summary: "Delete a template", doc: "VMs that came of it stay."},
		func(ctx context.Context, in *TemplatePath) (*struct{}, error) {
			return nil, s.Fleet.DeleteTemplate(ctx, actor(ctx), in.ID)
		})
	s.templateVersions(tag)
	s.templateUse(tag)
}

func (s *server) templateVersions(tag string) {
	register(s, op{id: "list-template-versions", method: http.MethodGet, path: "/templates/{id}/versions", tag: tag, perm: access.TemplateRead, status: 200, summary: "List a template's versions"},
		func(ctx context.Context, in *TemplatePath) (*struct{ Body Page[TemplateVersion] }, error) {
			t, err := s.DB.Template(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &struct{ Body Page[TemplateVersion] }{pageOf(t.Versions, "", len(t.Versions), templateVersionOf)}, nil
		})
	register(s, op{id: "create-template-version", method: http.MethodPost, path: "/templates/{id}/versions", tag: tag, perm: access.TemplateManage, status: 201, summary: "Write the next version of a template"},
		func(ctx context.Context, in *struct {
			TemplatePath
			Body TemplateVersionNew
		}) (*templateOutput, error) {
			if _, err := s.DB.Template(ctx, in.ID); err != nil {
				return nil, err
			}
			return s.newTemplate(ctx, in.ID, "", "", in.Body)
		})
	for _, a := range []struct {
		word, summary string
		on            bool
	}{{"deprecate", "Deprecate a version", true}, {"restore", "Offer a deprecated version again", false}} {
		register(s, op{id: a.word + "-template-version", method: http.MethodPost, path: "/templates/{id}/versions/{n}/" + a.word, tag: tag, perm: access.TemplateManage, status: 200, summary: a.summary},
			func(ctx context.Context, in *struct {
				TemplatePath
				N int `path:"n" minimum:"1" doc:"The version's number"`
			}) (*templateOutput, error) {
				return templateAnswer(s.Fleet.DeprecateTemplate(ctx, actor(ctx), in.ID, in.N, a.on))
			})
	}
	register(s, op{id: "diff-template", method: http.MethodGet, path: "/templates/{id}/diff", tag: tag, perm: access.TemplateRead, status: 200, summary: "Say what changes between two versions"},
		func(ctx context.Context, in *struct {
			TemplatePath
			From int `query:"from" minimum:"0" doc:"A version's number; 0: the newest"`
			To   int `query:"to" minimum:"0" doc:"A version's number; 0: the newest"`
		}) (*struct{ Body Page[domain.Change] }, error) {
			a, err := s.Fleet.TemplateVersion(ctx, in.ID, in.From)
			if err != nil {
				return nil, err
			}
			b, err := s.Fleet.TemplateVersion(ctx, in.ID, in.To)
			if err != nil {
				return nil, err
			}
			diff := domain.DiffTemplates(a, b)
			return &struct{ Body Page[domain.Change] }{pageOf(diff, "", len(diff), func(c *domain.Change) domain.Change { return *c })}, nil
		})
}

// RolloutVM is what a roll-out would do to one VM.
type RolloutVM struct {
	VMID    string          `json:"vm_id"`
	Name    string          `json:"name"`
	From    int             `json:"from" doc:"The version it stands at"`
	Changes []domain.Change `json:"changes" nullable:"false"`
	Restart bool            `json:"restart" doc:"It runs, so some of it may wait for its next start"`
	Skip    string          `json:"skip,omitempty" doc:"Why it is left out"`
}

func (s *server) templateUse(tag string) {
	register(s, op{id: "instantiate-template", method: http.MethodPost, path: "/templates/{id}/instantiate", tag: tag, perm: access.VMCreate, status: 202, summary: "Make a VM of a template",
		doc: "The job's resource is the VM, as when a VM is created."},
		func(ctx context.Context, in *struct {
			TemplatePath
			ChangeParams
			Body struct {
				Name       string            `json:"name" example:"web-1"`
				Version    int               `json:"version,omitempty" minimum:"0" doc:"A version's number; 0: the newest"`
				Host       string            `json:"host,omitempty"`
				Parameters map[string]string `json:"parameters,omitempty"`
				Start      bool              `json:"start,omitempty"`
				Pinned     bool              `json:"pinned,omitempty" doc:"Roll-outs leave the VM out"`
				Tags       []string          `json:"tags,omitempty" nullable:"false"`
				Tenant     string            `json:"tenant,omitempty" maxLength:"64" doc:"Whose the VM is to be; empty: the caller's own tenant, else the estate's"`
				Folder     string            `json:"folder,omitempty" maxLength:"600" doc:"A folder's id, or its path in the tenant; empty: in none"`
			}
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				b := in.Body
				return s.Fleet.InstantiateTemplate(ctx, actor(ctx), fleet.Instantiate{Template: in.ID, Number: b.Version, Name: b.Name, Host: b.Host, Values: b.Parameters, Start: b.Start, Pinned: b.Pinned, Tenant: b.Tenant, Folder: b.Folder, Tags: b.Tags, Key: key})
			})
		})
	register(s, op{id: "plan-rollout", method: http.MethodGet, path: "/templates/{id}/rollout", tag: tag, perm: access.TemplateRead, status: 200, summary: "Say what a roll-out would do"},
		func(ctx context.Context, in *struct {
			TemplatePath
			Version int `query:"version" minimum:"0" doc:"A version's number; 0: the newest"`
		}) (*struct{ Body Page[RolloutVM] }, error) {
			_, plan, err := s.Fleet.RolloutPlan(ctx, in.ID, in.Version)
			if err != nil {
				return nil, err
			}
			return &struct{ Body Page[RolloutVM] }{pageOf(plan, "", len(plan), func(r *fleet.RolloutVM) RolloutVM {
				return RolloutVM{r.VM.ID, r.VM.Name, r.From, list(r.Changes), r.Restart, r.Skip}
			})}, nil
		})
	register(s, op{id: "rollout-template", method: http.MethodPost, path: "/templates/{id}/rollout", tag: tag, perm: access.TemplateManage, status: 202, summary: "Bring VMs to a version",
		doc: "One after the other; the first that fails ends it. Disks and cards of a VM are its own and stay. What cannot change while a VM runs is pending until its next start."},
		func(ctx context.Context, in *struct {
			TemplatePath
			ChangeParams
			Body struct {
				Version int      `json:"version,omitempty" minimum:"0" doc:"A version's number; 0: the newest"`
				VMs     []string `json:"vms,omitempty" nullable:"false" doc:"Only these VMs, by id"`
			}
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.RollOut(ctx, actor(ctx), in.ID, in.Body.Version, in.Body.VMs, key)
			})
		})
	register(s, op{id: "make-vm-template", method: http.MethodPost, path: "/vms/{id}/template", tag: tag, perm: access.TemplateManage, status: 202, summary: "Make a template of a VM",
		doc: "The VM may run: what is on its first disk now becomes a published image of the template's name, and the template's VMs begin as that, with hardware like the VM's; further " +
			"disks begin empty. It needs image.manage as well. The job's resource is the template, which is there when the job is done."},
		func(ctx context.Context, in *struct {
			ActParams
			Body struct {
				Name        string `json:"name" doc:"Of the template, and of the image" example:"web"`
				Description string `json:"description,omitempty"`
				Changelog   string `json:"changelog,omitempty"`
				Tenant      string `json:"tenant,omitempty" maxLength:"64" doc:"Whose it is to be; empty: the VM's own tenant's"`
			}
		}) (*changeOutput, error) {
			if err := auth.SubjectOf(ctx).Require(access.ImageManage); err != nil {
				return nil, err
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				b := in.Body
				return s.Fleet.MakeTemplate(ctx, actor(ctx), in.ID, fleet.MakeTemplate{Name: b.Name, Description: b.Description, Changelog: b.Changelog, Tenant: b.Tenant, Key: key})
			})
		})
	register(s, op{id: "get-vm-template", method: http.MethodGet, path: "/vms/{id}/template", tag: tag, perm: access.VMRead, status: 200, summary: "Say which template a VM came of"},
		func(ctx context.Context, in *VMPath) (*struct{ Body VMTemplate }, error) {
			if _, err := s.DB.VM(ctx, in.ID); err != nil {
				return nil, err
			}
			m, ok, err := s.DB.TemplateOfVM(ctx, in.ID)
			if err == nil && !ok {
				err = domain.Errorf(domain.NotFound, "This VM came of no template.")
			}
			return &struct{ Body VMTemplate }{VMTemplate{m.TemplateID, m.Name, m.Number, m.Values, m.Pinned}}, err
		})
	register(s, op{id: "pin-vm", method: http.MethodPut, path: "/vms/{id}/template/pinned", tag: tag, perm: access.VMEdit, status: 204, summary: "Keep a VM out of its template's roll-outs"},
		func(ctx context.Context, in *struct {
			VMPath
			Body bool `doc:"true: roll-outs leave it out"`
		}) (*struct{}, error) {
			return nil, s.Fleet.PinVM(ctx, actor(ctx), in.ID, in.Body)
		})
}

// VMTemplate is what a VM remembers of its template.
type VMTemplate struct {
	TemplateID string            `json:"template_id"`
	Name       string            `json:"name"`
	Number     int               `json:"number" doc:"The version it stands at"`
	Values     map[string]string `json:"parameters"`
	Pinned     bool              `json:"pinned"`
}
