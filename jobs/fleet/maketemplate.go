package fleet

import (
	"cmp"
	"context"
	"slices"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
	"novacron/jobs/images"
	"novacron/jobs/provision"
)

// MakeTemplate asks for a template that makes VMs like one that there is.
type MakeTemplate struct {
	Name        string
	Description string
	Changelog   string
	Tenant      string // whose it becomes; empty: the VM's own tenant's, so that nobody else gets at what is on its disk
	Key         string
}

// MakeTemplate makes a template of a VM in one go, running or not: what is on its first disk now becomes an image of the template's name, and the VMs of the
// template begin as that, with hardware like the VM's. Its other disks begin empty. A VM without a disk of its own needs no image.
func (f *Fleet) MakeTemplate(ctx context.Context, actor, vmID string, req MakeTemplate) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return domain.Job{}, err
	}
	if err := busy(vm); err != nil {
		return domain.Job{}, err
	}
	if ctx, err = f.OwnedBy(ctx, access.TemplateManage, cmp.Or(req.Tenant, vm.Tenant)); err != nil {
		return domain.Job{}, err
	}
	var p domain.Problems
	domain.CheckImageName(&p, "name", req.Name)
	domain.CheckWords(&p, "description", req.Description)
	domain.CheckWords(&p, "changelog", req.Changelog)
	if err := p.Err(); err != nil {
		return domain.Job{}, err
	}
	if req.Changelog == "" {
		req.Changelog = "Made of " + vm.Name + "."
	}
	in := images.Template{TemplateID: domain.NewID("tmpl", f.clock()), VersionID: domain.NewID("tmplv", f.clock()), Name: req.Name, Description: req.Description,
		Changelog: req.Changelog, Tenant: domain.OwnerOf(ctx)}
	locks := []string{vm.ID}
	var a askedVersion
	ref := ""
	if slices.ContainsFunc(vm.Config.Disks, func(d domain.Disk) bool { return !provision.Shared(d) }) {
		a, err = f.askVersion(ctx, &NewImage{Name: req.Name, Arch: vm.Config.Arch, Description: "The disk of the template " + req.Name + ".", Changelog: req.Changelog, VMID: vm.ID, Publish: true})
		if err != nil {
			return domain.Job{}, err
		}
		ref, in.Import, in.ImageID, locks = a.v.Ref(), &a.in, a.image.ID, append(a.locks, a.v.ID)
	}
	if in.Spec, err = f.TemplateFromVM(ctx, vm.ID, ref); err != nil {
		return domain.Job{}, err
	}
	if err := (domain.TemplateVersion{TemplateID: in.TemplateID, Name: in.Name, Spec: in.Spec}).Validate(); err != nil {
		return domain.Job{}, err
	}
	return f.engine.Enqueue(ctx, jobs.Request{
		Kind: images.KindTemplate, Title: "Make the template " + req.Name + " of " + vm.Name, Resource: domain.Ref{Kind: "template", ID: in.TemplateID, Name: in.Name},
		Locks: locks, Input: in, Actor: actor, Key: req.Key,
	}, func(tx *db.Tx, job *domain.Job) error {
		if err := tx.TemplateNameFree(req.Name); err != nil || in.Import == nil {
			return err
		}
		return a.insert(tx, actor, job.ID)
	})
}
