package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/cloudinit"
	"novacron/domain/placement"
	"novacron/jobs"
	"novacron/jobs/provision"
	"novacron/jobs/rollout"
)

// NewTemplate asks for a template, or for the next version of the one with TemplateID.
type NewTemplate struct {
	TemplateID  string
	Name        string
	Description string
	Spec        domain.VMSpec
	Params      []domain.Parameter
	CloudInit   *domain.CloudInit // what the first boot reads; nil: nothing
	KeepHash    bool              // the password of the version before, when CloudInit has none
	ExecRules   domain.ExecRules
	Changelog   string
}

// NewTemplateVersion writes a version. What it names is checked as for a VM; its image must be one that the library has.
func (f *Fleet) NewTemplateVersion(ctx context.Context, actor string, req NewTemplate) (domain.Template, error) {
	var p domain.Problems
	t := domain.Template{ID: domain.NewID("tmpl", f.clock()), Name: req.Name, Description: req.Description}
	fresh := req.TemplateID == ""
	if fresh {
		domain.CheckImageName(&p, "name", req.Name)
		domain.CheckWords(&p, "description", req.Description)
	} else {
		var err error
		if t, err = f.db.Template(ctx, req.TemplateID); err != nil {
			return t, err
		}
	}
	req.Spec.Name, req.Spec.UUID = "", ""
	v := domain.TemplateVersion{ID: domain.NewID("tmplv", f.clock()), TemplateID: t.ID, Name: t.Name, Spec: req.Spec, Params: req.Params, Changelog: req.Changelog, CreatedBy: actor}
	v.ExecRules = req.ExecRules
	if req.CloudInit != nil && !req.CloudInit.Empty() {
		boot := cloudinit.Settle(*req.CloudInit)
		if boot.PasswordHash == "" && req.KeepHash && len(t.Versions) > 0 && t.Versions[0].CloudInit != nil {
			boot.PasswordHash = t.Versions[0].CloudInit.PasswordHash
		}
		v.CloudInit = &boot
		domain.CheckPassword(&p, "cloud_init.password", req.CloudInit.Password)
		cloudinit.Judge(*v.FirstBootProbe(), &p, "cloud_init.")
	}
	if e, ok := v.Validate().(*domain.Error); ok && e != nil {
		p = append(p, e.Fields...)
	}
	images, err := f.imagesNamed(ctx, req.Spec, &p)
	if err != nil {
		return t, err
	}
	// Whoever makes a VM of it is not asked: the author is trusted with the host, so the author is asked.
	if err := f.reach(ctx, req.Spec); err != nil {
		e, ok := err.(*domain.Error)
		if !ok || len(e.Fields) == 0 {
			return t, err
		}
		for _, d := range e.Fields {
			p.Add("spec."+d.Field, d.Msg, d.Want)
		}
	}
	if err := p.Err(); err != nil {
		return t, err
	}
	err = f.db.Write(ctx, func(tx *db.Tx) error {
		if fresh {
			if err := tx.InsertTemplate(t); err != nil {
				return err
			}
		}
		n, err := tx.AddTemplateVersion(v, images)
		if err != nil {
			return err
		}
		kind := "template.changed"
		if fresh {
			kind = "template.created"
		}
		return tx.Emit(domain.Event{Kind: kind, Resource: templateRef(t), Actor: actor, Message: fmt.Sprintf("Version %d of the template %s was written.", n, t.Name)})
	})
	if err != nil {
		return t, err
	}
	return f.db.Template(ctx, t.ID)
}

func templateRef(t domain.Template) domain.Ref {
	return domain.Ref{Kind: "template", ID: t.ID, Name: t.Name}
}

// imagesNamed finds the images that a spec names: image id -> version id, which is empty where the newest is meant.
func (f *Fleet) imagesNamed(ctx context.Context, spec domain.VMSpec, p *domain.Problems) (map[string]string, error) {
	out := map[string]string{}
	for i, d := range spec.Disks {
		if d.Image == "" {
			continue
		}
		v, err := f.db.ImageByRef(ctx, d.Image)
		if domain.Is(err, domain.NotFound) {
			p.Add(fmt.Sprintf("spec.disks.%d.image", i), err.Error(), "an image that the library has")
			continue
		}
		if err != nil {
			return nil, err
		}
		if _, label := domain.SplitImageRef(d.Image); label != "" || strings.HasPrefix(d.Image, "imgv_") {
			out[v.ImageID] = v.ID
		} else if _, pinned := out[v.ImageID]; !pinned {
			out[v.ImageID] = ""
		}
	}
	return out, nil
}

// TemplateFromVM gives the spec of a template that makes VMs like this one; its disks begin as the given image (the first) or empty.
func (f *Fleet) TemplateFromVM(ctx context.Context, vmID, image string) (domain.VMSpec, error) {
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return domain.VMSpec{}, err
	}
	volumes, err := f.db.Volumes(ctx, vm.HostID, "")
	if err != nil {
		return domain.VMSpec{}, err
	}
	byName, byPath := provision.Index(volumes)
	s := vm.Config
	s.Name, s.UUID, s.Serial = "", "", false
	s.Disks, s.NICs = nil, slices.Clone(s.NICs)
	for i := range s.NICs {
		s.NICs[i].MAC, s.NICs[i].Target = "", ""
	}
	for _, d := range vm.Config.Disks {
		if provision.Shared(d) {
			continue
		}
		v, _ := provision.VolumeOf(d, byName, byPath)
		n := domain.Disk{Bus: d.Bus, Cache: d.Cache, SizeBytes: max(v.CapacityBytes, domain.MiB)}
		if image != "" && len(s.Disks) == 0 {
			n.Image, n.Linked = image, true
		}
		s.Disks = append(s.Disks, n)
	}
	return s, nil
}

// templateVersion finds a version; number 0 is the newest that is not deprecated.
func templateVersion(t domain.Template, number int) (domain.TemplateVersion, error) {
	for _, v := range t.Versions {
		if number == v.Number || number == 0 && !v.Deprecated {
			return v, nil
		}
	}
	if number == 0 {
		return domain.TemplateVersion{}, domain.Errorf(domain.Conflict, "Every version of the template %s is deprecated.", t.Name).WithFix("Write a new version, or name one.")
	}
	return domain.TemplateVersion{}, domain.Errorf(domain.NotFound, "The template %s has no version %d.", t.Name, number)
}

// TemplateVersion reads one version of a template.
func (f *Fleet) TemplateVersion(ctx context.Context, id string, number int) (domain.TemplateVersion, error) {
	t, err := f.db.Template(ctx, id)
	if err != nil {
		return domain.TemplateVersion{}, err
	}
	return templateVersion(t, number)
}

// Instantiate asks for a VM of a template.
type Instantiate struct {
	Template string // id or name
	Number   int    // 0: the newest
	Name     string
	Host     string
	Values   map[string]string
	Start    bool
	Pinned   bool   // roll-outs leave it out
	Tenant   string // whose the VM is; empty: as for any new VM
	Folder   string // by id or path; empty: in none
	Tags     []string
	Notes    string
	Key      string
	Over     func(domain.VMSpec) domain.VMSpec // what is otherwise than the template says; nil: nothing
}

// InstantiateTemplate makes a VM as a template says.
func (f *Fleet) InstantiateTemplate(ctx context.Context, actor string, req Instantiate) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	t, err := f.db.Template(ctx, req.Template)
	if err != nil {
		return domain.Job{}, err
	}
	v, err := templateVersion(t, req.Number)
	if err != nil {
		return domain.Job{}, err
	}
	if v.Deprecated {
		return domain.Job{}, domain.Errorf(domain.Conflict, "%s is deprecated.", v.Ref()).WithFix("Use a newer version.")
	}
	values, err := v.Values(req.Values)
	if err != nil {
		return domain.Job{}, err
	}
	var p domain.Problems
	domain.CheckVMName(&p, "name", req.Name)
	if err := p.Err(); err != nil {
		return domain.Job{}, err
	}
	spec, err := v.Resolve(req.Name, values)
	if err != nil {
		return domain.Job{}, err
	}
	if req.Over != nil {
		spec = req.Over(spec)
	}
	if req.Host == "" {
		req.Host = values[domain.ParamHost]
	}
	return f.CreateVM(ctx, actor, CreateVM{Spec: spec, Host: req.Host, Start: req.Start, Tenant: req.Tenant, Folder: req.Folder, Tags: req.Tags, Notes: req.Notes, Key: req.Key, CloudInit: v.FirstBoot(req.Name, values), ExecRules: v.ExecRules,
		Template: &domain.VMTemplate{TemplateID: t.ID, Number: v.Number, Values: values, Pinned: req.Pinned}})
}

// DeprecateTemplate marks a version as not to be used any more, or takes that back.
func (f *Fleet) DeprecateTemplate(ctx context.Context, actor, id string, number int, deprecated bool) (domain.Template, error) {
	t, err := f.db.Template(ctx, id)
	if err != nil {
		return t, err
	}
	v, err := templateVersion(t, number)
	if err != nil {
		return t, err
	}
	word := "deprecated"
	if !deprecated {
		word = "offered again"
	}
	err = f.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.SetTemplateDeprecated(v.ID, deprecated); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "template.changed", Resource: templateRef(t), Actor: actor, Message: fmt.Sprintf("%s was %s.", v.Ref(), word)})
	})
	if err != nil {
		return t, err
	}
	return f.db.Template(ctx, t.ID)
}

// DescribeTemplate renames or describes a template at once; nil stays.
func (f *Fleet) DescribeTemplate(ctx context.Context, actor, id string, version int64, name, description *string) (domain.Template, error) {
	t, err := f.db.Template(ctx, id)
	if err != nil {
		return t, err
	}
	set(&t.Name, name)
	set(&t.Description, description)
	var p domain.Problems
	domain.CheckImageName(&p, "name", t.Name)
	domain.CheckWords(&p, "description", t.Description)
	if err := p.Err(); err != nil {
		return t, err
	}
	err = f.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.UpdateTemplate(t, version); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "template.changed", Resource: templateRef(t), Actor: actor, Message: fmt.Sprintf("The template %s was edited.", t.Name)})
	})
	if err != nil {
		return t, err
	}
	return f.db.Template(ctx, t.ID)
}

// DeleteTemplate forgets a template; its VMs stay.
func (f *Fleet) DeleteTemplate(ctx context.Context, actor, id string) error {
	t, err := f.db.Template(ctx, id)
	if err != nil {
		return err
	}
	return f.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.DeleteTemplate(t.ID); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "template.removed", Resource: templateRef(t), Actor: actor, Message: fmt.Sprintf("The template %s was deleted.", t.Name)})
	})
}

// PinVM keeps a VM out of its template's roll-outs, or lets it take part again.
func (f *Fleet) PinVM(ctx context.Context, actor, vmID string, pinned bool) error {
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return err
	}
	return f.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.PinVMTemplate(vmID, pinned); err != nil {
			return err
		}
		words := "takes part in roll-outs again"
		if pinned {
			words = "is left out of roll-outs"
		}
		return tx.Emit(domain.Event{Kind: "vm.changed", Resource: ref(vm), HostID: vm.HostID, Actor: actor, Message: fmt.Sprintf("%s %s.", vm.Name, words)})
	})
}

// RolloutVM is what a roll-out would do to one VM.
type RolloutVM struct {
	VM      domain.VM
	From    int
	Change  domain.VMChange
	Changes []domain.Change
	Restart bool   // some of it waits for its next start
	Skip    string // why it is left out; empty: it takes part
}

// RolloutPlan says what bringing a template's VMs to a version would do, VM by VM.
func (f *Fleet) RolloutPlan(ctx context.Context, id string, number int) (domain.TemplateVersion, []RolloutVM, error) {
	t, err := f.db.Template(ctx, id)
	if err != nil {
		return domain.TemplateVersion{}, nil, err
	}
	v, err := templateVersion(t, number)
	if err != nil {
		return v, nil, err
	}
	of, err := f.db.VMsOfTemplate(ctx, t.ID)
	if err != nil {
		return v, nil, err
	}
	out := make([]RolloutVM, 0, len(of))
	for _, m := range of {
		vm, err := f.db.VM(ctx, m.VMID)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return v, nil, err
		}
		r := RolloutVM{VM: vm, From: m.Number}
		switch {
		case m.Pinned:
			r.Skip = "It is pinned."
		case m.Number == v.Number:
			r.Skip = "It is at this version."
		case busy(vm) != nil:
			r.Skip = busy(vm).Error()
		case vm.State.Can(domain.ActEdit) != nil:
			r.Skip = vm.State.Can(domain.ActEdit).Error()
		default:
			r.Skip = f.planRollout(v, m, &r)
		}
		out = append(out, r)
	}
	return v, out, nil
}

func (f *Fleet) planRollout(v domain.TemplateVersion, m domain.VMTemplate, r *RolloutVM) (skip string) {
	known := map[string]string{} // what was chosen then, as far as this version still asks it
	for _, p := range v.Params {
		if val, ok := m.Values[p.Name]; ok {
			known[p.Name] = val
		}
	}
	values, err := v.Values(known)
	if err != nil {
		return err.Error()
	}
	want, err := v.Resolve(r.VM.Name, values)
	if err != nil {
		return err.Error()
	}
	r.Change = domain.RollOut(r.VM.Config, want)
	after, err := r.Change.Apply(r.VM.Config)
	if err != nil {
		return err.Error()
	}
	r.Changes = domain.Diff(r.VM.Config, after)
	r.Restart = r.VM.Live != nil && len(r.Changes) > 0
	return ""
}

// RollOut enqueues the roll-out of a version to the VMs of its template, or to those of them that are named.
func (f *Fleet) RollOut(ctx context.Context, actor, id string, number int, vmIDs []string, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	v, plan, err := f.RolloutPlan(ctx, id, number)
	if err != nil {
		return domain.Job{}, err
	}
	in := rollout.Input{TemplateID: v.TemplateID, Ref: v.Ref(), Number: v.Number}
	refused := domain.Errorf(domain.Conflict, "No VM can be brought to %s.", v.Ref()).WithFix("Look at the reasons.")
	for _, r := range plan {
		if len(vmIDs) > 0 && !slices.Contains(vmIDs, r.VM.ID) {
			continue
		}
		if r.Skip == "" {
			r.Skip = f.judgeRollout(ctx, r)
		}
		if r.Skip != "" {
			refused.Reasons = append(refused.Reasons, domain.Reason{Subject: r.VM.Name, Msg: r.Skip})
			continue
		}
		it := rollout.Item{Resource: ref(r.VM)}
		if !r.Change.Empty() {
			raw, err := json.Marshal(provision.Change{VMID: r.VM.ID, HostID: r.VM.HostID, UUID: r.VM.UUID, Name: r.VM.Name, Change: r.Change})
			if err != nil {
				return domain.Job{}, domain.Errorf(domain.Internal, "The job's input cannot be written: %w", err)
			}
			it.Kind, it.Title, it.Locks, it.Input = provision.KindChange, "Bring "+r.VM.Name+" to "+v.Ref(), []string{r.VM.ID}, raw
		}
		in.Items = append(in.Items, it)
	}
	if len(in.Items) == 0 {
		return domain.Job{}, refused
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: rollout.Kind, Title: fmt.Sprintf("Roll %s out to %d VMs", v.Ref(), len(in.Items)),
		Resource: domain.Ref{Kind: "template", ID: v.TemplateID, Name: v.Name}, Locks: []string{"rollout:" + v.TemplateID}, Input: in, Actor: actor, Key: key})
}

// judgeRollout asks the VM's host whether it can give what the version wants.
func (f *Fleet) judgeRollout(ctx context.Context, r RolloutVM) string {
	var on placement.Candidate
	on, _, err := f.on(ctx, r.VM.HostID)
	if err == nil {
		var after domain.VMSpec
		if after, err = r.Change.Apply(r.VM.Config); err == nil {
			err = judgeChange(after, r.Change, on)
		}
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
