package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

// earlyEnd is how long a form waits for its job: most changes take milliseconds, and what a host refuses at once is then said beside the field
// instead of in a task's log. The job goes on whatever happens to the page.
const earlyEnd = 4 * time.Second

// settle waits a moment for the job. An error means that it failed already; everything it did was taken back.
func (s *server) settle(ctx context.Context, job domain.Job, most time.Duration) (domain.Job, error) {
	wait, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	job, err := s.Engine.Wait(wait, job.ID)
	if err != nil {
		return job, err
	}
	return job, jobFailure(job)
}

// jobFailure is the error of a job that did not succeed; nil while it runs.
func jobFailure(job domain.Job) error {
	if job.State != domain.JobUndone && job.State != domain.JobStuck || job.Error == nil {
		return nil
	}
	e := domain.Errorf(job.Error.Code, "%s", job.Error.Message)
	e.Fix, e.Fields, e.Reasons = job.Error.Fix, job.Error.Fields, job.Error.Reasons
	if e.Code == domain.Internal || e.Code == "" { // it is the job's failure, told in its log; the page itself is well
		e.Code = domain.Conflict
	}
	return e
}

// ended says in the past tense what a job did, or in the present that it is at it.
func ended(job domain.Job) layout.Toast {
	if job.Partial() {
		return layout.Toast{Tone: layout.ToneError, Text: job.Title + ": done in part.", Detail: job.Error.Message, URL: live.Task(job.ID), Link: "Show task"}
	}
	if job.State == domain.JobSucceeded {
		return layout.Toast{Tone: layout.ToneSuccess, Text: job.Title + ": done.", URL: live.Task(job.ID), Link: "Show task"}
	}
	return layout.TaskToast(job, live.Task(job.ID))
}

func (s *server) vmNew(c echo.Context) error {
	ctx := c.Request().Context()
	values, kept := s.takeDraft(c)
	if !kept {
		var err error
		if values, err = c.FormParams(); err != nil {
			return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
		}
	}
	host := values.Get("host")
	ch, err := s.choicesForNew(ctx, host)
	if err != nil {
		return err
	}
	if ch.Common, err = s.commonCPUs(ctx, subject(c)); err != nil {
		return err
	}
	form := vms.PrefillCreate(values, ch)
	form.Tenant, form.Folder = values.Get("tenant"), values.Get("folder")
	return s.createPage(c, http.StatusOK, vms.Create{Form: form, Choices: ch, Preview: previewOfNew(values)})
}

func (s *server) createPage(c echo.Context, status int, m vms.Create) error {
	m.Key = rand.Text()
	m.Form.Key = m.Key
	var err error
	if m.Choices.Whose, err = s.whose(c.Request().Context(), subject(c), access.VMCreate, m.Form.Tenant); err != nil {
		return err
	}
	if m.Choices.Folders, err = s.folderChoices(c.Request().Context(), subject(c), access.VMCreate, nil); err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{
		title: "New virtual machine", section: layout.SectionVMs, crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}},
	})
	if err != nil {
		return err
	}
	return s.render(c, status, vms.CreatePage(sh, m))
}

func (s *server) vmCreate(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	form := vms.DecodeCreate(values)
	ch, err := s.choicesForNew(ctx, form.Host)
	if err != nil {
		return err
	}
	if ch.Common, err = s.commonCPUs(ctx, subject(c)); err != nil {
		return err
	}
	job, err := s.createFrom(ctx, c, form, ch)
	if err != nil {
		if domain.CodeOf(err) == domain.Internal {
			return err
		}
		return s.createPage(c, statusOf(err), vms.Create{Form: form, Choices: ch, Preview: previewOfNew(values), Err: problem(unnumbered(err))})
	}
	return s.moveSaying(c, live.VM(job.Resource.ID), ended(job))
}

func (s *server) createFrom(ctx context.Context, c echo.Context, form vms.CreateForm, ch vms.Choices) (domain.Job, error) {
	spec, tags, err := form.Request(ch)
	if err != nil {
		return domain.Job{}, err
	}
	cloud, windows := form.FirstBoot.Request()
	job, err := s.Fleet.CreateVM(ctx, subject(c).Actor(), fleet.CreateVM{
		Spec: spec, Host: form.Host, Start: truth(form.Start), Tenant: form.Tenant, Folder: form.Folder, Tags: tags, Notes: form.Notes, CloudInit: cloud, Windows: windows, Key: onceKey(c),
	})
	if err != nil {
		return job, err
	}
	return s.settle(ctx, job, earlyEnd)
}

// vmEdit changes one section of the hardware.
func (s *server) vmEdit(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	vm, err := s.DB.VM(ctx, id)
	if err != nil {
		return err
	}
	form := vms.DecodeChange(values)
	change, err := form.Change(vm)
	if err == nil && change.Empty() {
		return s.done(c, live.VMTab(id, "hardware"), layout.Toast{Tone: layout.ToneInfo, Text: "Nothing differs from what the VM has."})
	}
	var job domain.Job
	if err == nil {
		job, err = s.Fleet.ChangeVM(ctx, subject(c).Actor(), id, form.Version, change, onceKey(c))
	}
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	switch code := domain.CodeOf(err); {
	case err == nil:
		return s.moveSaying(c, live.VMTab(id, "hardware"), ended(job))
	case code == domain.Internal || code == domain.NotFound:
		return err
	}
	return s.showVM(c, statusOf(err), "hardware", func(m *vms.Page) {
		form.Err = problem(err)
		// The stale version stays in the form after a conflict of two tabs: what the other one did is shown, and sending again is a decision.
		if domain.Is(err, domain.Conflict) {
			form.Version = m.VM.Version
		}
		m.Edit = form
	})
}

func (s *server) vmRevert(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	job, err := s.Fleet.RevertPending(ctx, subject(c).Actor(), id, c.FormValue("field"))
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err != nil {
		return s.sayOrFail(c, live.VMTab(id, "hardware"), err)
	}
	return s.moveSaying(c, s.backFrom(c, live.VMTab(id, "hardware")), ended(job))
}

// vmDescribe sets tags and notes: they are ours alone, so no job is needed.
func (s *server) vmDescribe(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	version, err := formVersion(c)
	if err != nil {
		return err
	}
	var d fleet.DescribeVM
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	if values.Has("tags") {
		tags := words(values.Get("tags"))
		d.Tags = &tags
	}
	if values.Has("notes") {
		notes := strings.ReplaceAll(values.Get("notes"), "\r\n", "\n")
		d.Notes = &notes
	}
	if _, err = s.Fleet.DescribeVM(ctx, subject(c).Actor(), id, version, d); err == nil {
		return s.moveSaying(c, live.VM(id), layout.Toast{Tone: layout.ToneSuccess, Text: "Saved."})
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	return s.showVM(c, statusOf(err), "summary", func(m *vms.Page) {
		m.DescribeErr, m.Tags, m.Notes = problem(err), values.Get("tags"), values.Get("notes")
	})
}

// words splits tags as people type them: by commas or spaces.
func words(s string) []string {
	out := []string{}
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' }) {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}

func formVersion(c echo.Context) (int64, error) {
	v := c.FormValue("version")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, domain.InvalidField("version", "The form's version cannot be read.", "the form as the page gave it; load the page again")
	}
	return n, nil
}

func (s *server) vmRenamePage(c echo.Context) error { return s.namePage(c, false) }
func (s *server) vmClonePage(c echo.Context) error  { return s.namePage(c, true) }

func (s *server) namePage(c echo.Context, clone bool) error {
	vm, err := s.DB.VM(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	m := vms.Name{VM: vm, Clone: clone, Value: vm.Name}
	act := domain.ActRename
	if clone {
		m.Value, m.Full, m.Folder, act = vm.Name+"-copy", true, vm.Folder, domain.ActClone
	}
	if values, ok := s.takeDraft(c); ok {
		m.Value, m.Full = values.Get("name"), values.Get("kind") == "full"
		if values.Has("folder") {
			m.Folder = values.Get("folder")
		}
	}
	if err := vm.State.Can(act); err != nil {
		m.Err = problem(err)
	}
	return s.askName(c, http.StatusOK, m)
}

func (s *server) askName(c echo.Context, status int, m vms.Name) error {
	m.Key = rand.Text()
	title := "Rename " + m.VM.Name
	if m.Clone {
		title = "Clone " + m.VM.Name
		var err error
		if m.Folders, err = s.folderChoices(c.Request().Context(), subject(c), access.FolderManage, &m.VM.Tenant); err != nil {
			return err
		}
	}
	sh, err := s.shellFor(c, page{
		title: title, section: layout.SectionVMs, host: m.VM.HostID, select_: m.VM.ID,
		crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}, {Label: m.VM.Name, URL: live.VM(m.VM.ID)}},
	})
	if err != nil {
		return err
	}
	return s.render(c, status, vms.NamePage(sh, m))
}

func (s *server) vmRename(c echo.Context) error {
	ctx, id, name := c.Request().Context(), c.Param("id"), strings.TrimSpace(c.FormValue("name"))
	job, err := s.Fleet.RenameVM(ctx, subject(c).Actor(), id, name, onceKey(c))
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err != nil {
		return s.refusedName(c, err, vms.Name{Value: name})
	}
	return s.moveSaying(c, live.VM(id), ended(job))
}

func (s *server) vmClone(c echo.Context) error {
	ctx, id, name := c.Request().Context(), c.Param("id"), strings.TrimSpace(c.FormValue("name"))
	full := c.FormValue("kind") != "linked"
	ask := fleet.CloneVM{Name: name, Linked: !full, Key: onceKey(c)}
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	if values.Has("folder") {
		folder := values.Get("folder")
		ask.Folder = &folder
	}
	job, err := s.Fleet.CloneVM(ctx, subject(c).Actor(), id, ask)
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err != nil {
		return s.refusedName(c, err, vms.Name{Value: name, Clone: true, Full: full, Folder: values.Get("folder")})
	}
	to := live.VM(id)
	if strings.HasPrefix(job.Resource.ID, "vm_") {
		to = live.VM(job.Resource.ID)
	}
	return s.moveSaying(c, to, ended(job))
}

func (s *server) refusedName(c echo.Context, err error, m vms.Name) error {
	code := domain.CodeOf(err)
	if code == domain.Internal || code == domain.NotFound {
		return err
	}
	vm, dbErr := s.DB.VM(c.Request().Context(), c.Param("id"))
	if dbErr != nil {
		return dbErr
	}
	m.VM, m.Err = vm, problem(err)
	return s.askName(c, statusOf(err), m)
}
