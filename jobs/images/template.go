package images

import (
	"context"
	"fmt"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// KindTemplate makes a template of a VM: the image of its first disk, and a template whose VMs begin as that.
const KindTemplate = "template.make"

// Template is the input of template.make.
type Template struct {
	Import      *Import       `json:"import,omitempty"` // nil: the VM has no disk of its own
	ImageID     string        `json:"image_id,omitempty"`
	TemplateID  string        `json:"template_id"`
	VersionID   string        `json:"version_id"`
	Name        string        `json:"name"`
	Description string        `json:"description,omitempty"`
	Changelog   string        `json:"changelog,omitempty"`
	Spec        domain.VMSpec `json:"spec"`
	Tenant      string        `json:"tenant,omitempty"`
}

// TemplateResult is what the job leaves for its caller.
type TemplateResult struct {
	Result
	TemplateID string `json:"template_id"`
	Template   string `json:"template"` // name@number
}

// templateSteps are those of the import, and one more. The template is written when its image is whole, so that nobody makes a VM of half of one.
func (d Deps) templateSteps(in Template) []jobs.Step {
	var steps []jobs.Step
	if in.Import != nil {
		steps = d.importSteps(*in.Import)
	}
	return append(steps, jobs.Step{Name: "write the template", Timeout: time.Minute,
		Do:   func(ctx context.Context, r *jobs.Run) error { return d.writeTemplate(ctx, r, in) },
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.dropTemplate(ctx, r, in) }})
}

func (d Deps) writeTemplate(ctx context.Context, r *jobs.Run, in Template) error {
	job := r.Job()
	out := TemplateResult{TemplateID: in.TemplateID, Template: fmt.Sprintf("%s@%d", in.Name, 1)}
	images := map[string]string{}
	if in.Import != nil {
		images[in.ImageID] = in.Import.VersionID
		v, err := d.DB.ImageVersion(ctx, in.Import.VersionID)
		if err != nil {
			return err
		}
		out.Result = Result{ImageID: v.ImageID, VersionID: v.ID, Ref: v.Ref(), SHA256: v.SHA256, Bytes: v.FileBytes}
	}
	_, err := d.DB.Template(ctx, in.TemplateID)
	if err != nil && !domain.Is(err, domain.NotFound) {
		return err
	}
	if err != nil {
		err = d.DB.Write(domain.WithOwner(ctx, in.Tenant), func(tx *db.Tx) error {
			t := domain.Template{ID: in.TemplateID, Name: in.Name, Description: in.Description}
			if err := tx.InsertTemplate(t); err != nil {
				return err
			}
			if _, err := tx.AddTemplateVersion(domain.TemplateVersion{ID: in.VersionID, TemplateID: t.ID, Name: t.Name, Spec: in.Spec, Changelog: in.Changelog, CreatedBy: job.Actor}, images); err != nil {
				return err
			}
			return tx.Emit(domain.Event{Kind: "template.created", Resource: domain.Ref{Kind: "template", ID: t.ID, Name: t.Name}, JobID: job.ID, Actor: job.Actor,
				Message: fmt.Sprintf("The template %s was made.", t.Name)})
		})
		if err != nil {
			return err
		}
	}
	return r.Result(out)
}

// dropTemplate takes back what the last step wrote, if it came to that.
func (d Deps) dropTemplate(ctx context.Context, r *jobs.Run, in Template) error {
	if _, err := d.DB.Template(ctx, in.TemplateID); domain.Is(err, domain.NotFound) {
		return nil
	} else if err != nil {
		return err
	}
	job := r.Job()
	return d.DB.Write(ctx, func(tx *db.Tx) error {
		if err := tx.DeleteTemplate(in.TemplateID); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "template.removed", Resource: domain.Ref{Kind: "template", ID: in.TemplateID, Name: in.Name}, JobID: job.ID, Actor: job.Actor,
			Message: fmt.Sprintf("The template %s was not made.", in.Name)})
	})
}

// abandonTemplate is the end of a job that never began.
func (d Deps) abandonTemplate(tx *db.Tx, job domain.Job) error {
	in, err := inputOf[Template](job)
	if err != nil || in.Import == nil {
		return err
	}
	if err := d.Library.discard(in.Import.VersionID); err != nil {
		return err
	}
	return forgetVersion(tx, job, *in.Import)
}
