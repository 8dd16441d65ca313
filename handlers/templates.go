package handlers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/jobs/provision"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/templates"
	"novacron/views/vms"
)

func (s *server) templateList(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	m, err := s.templatesFor(c.Request().Context(), c.QueryParams().Get)
	if err != nil {
		return 0, nil, err
	}
	sh, err := s.shellFor(c, page{title: "Templates", section: layout.SectionImages, on: "templates", after: after})
	return http.StatusOK, templates.ListPage(sh, m), err
}

func (s *server) templatesFor(ctx context.Context, get func(string) string) (templates.List, error) {
	m := templates.List{Filter: get("filter"), Sort: get("sort"), Desc: truth(get("desc")), After: get("after")}
	if m.Sort != "created" {
		m.Sort = ""
	}
	p, err := s.DB.Templates(ctx, db.TemplateQuery{Filter: m.Filter, Sort: m.Sort, Desc: m.Desc, After: m.After, Limit: imagesPerPage})
	m.Items, m.Next, m.Total = p.Items, p.Next, p.Total
	return m, err
}

// numbered finds a version of a template by its number as typed; none is the newest.
func numbered(t domain.Template, text string) (*domain.TemplateVersion, error) {
	if text == "" && len(t.Versions) > 0 {
		return &t.Versions[0], nil
	}
	n, err := strconv.Atoi(text)
	if i := slices.IndexFunc(t.Versions, func(v domain.TemplateVersion) bool { return v.Number == n }); err == nil && i >= 0 {
		return &t.Versions[i], nil
	}
	return nil, domain.Errorf(domain.NotFound, "The template %s has no version %s.", t.Name, text)
}

// templateModel reads what a template's page shows.
func (s *server) templateModel(ctx context.Context, id, version, against string) (templates.Page, error) {
	var m templates.Page
	t, err := s.DB.Template(ctx, id)
	if err != nil {
		return m, err
	}
	m.Template = t
	v, err := numbered(t, version)
	if err != nil {
		return m, err
	}
	m.Version = *v
	if against != "" {
		if m.Against, err = numbered(t, against); err != nil {
			return m, err
		}
	} else {
		for i := range t.Versions { // newest first
			if t.Versions[i].Number < v.Number {
				m.Against = &t.Versions[i]
				break
			}
		}
	}
	if m.Against != nil {
		m.Changes = domain.DiffTemplates(*m.Against, m.Version)
	}
	of, err := s.DB.VMsOfTemplate(ctx, t.ID)
	if err != nil {
		return m, err
	}
	for _, x := range of {
		vm, err := s.DB.VM(ctx, x.VMID)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return m, err
		}
		m.VMs = append(m.VMs, templates.VM{VMTemplate: x, VM: vm})
	}
	active, err := s.DB.Jobs(ctx, db.JobQuery{Resource: t.ID, Active: true, Limit: 1})
	if err == nil && len(active.Items) > 0 {
		s.progress(&active.Items[0])
		m.Job = &active.Items[0]
	}
	return m, err
}

func (s *server) templatePage(c echo.Context) error {
	after := s.DB.Feed().Last()
	m, err := s.templateModel(c.Request().Context(), c.Param("id"), c.QueryParam("version"), c.QueryParam("against"))
	if err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{title: m.Template.Name, section: layout.SectionImages, on: m.Template.ID, after: after, crumbs: templateCrumbs(domain.Template{})})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, templates.ShowPage(sh, m))
}

func templateCrumbs(t domain.Template) []layout.Crumb {
	out := []layout.Crumb{{Label: "Templates", URL: live.Templates}}
	if t.ID != "" {
		out = append(out, layout.Crumb{Label: t.Name, URL: live.Template(t.ID)})
	}
	return out
}

// firstDisk is the target of the disk that a template's image becomes.
func firstDisk(vm domain.VM) string {
	for _, d := range vm.Config.Disks {
		if !provision.Shared(d) {
			return d.Target
		}
	}
	return ""
}

// templateEdit reads what the form of a version stands on: the template's newest version, a VM, or nothing. boot is what the version before does.
func (s *server) templateEdit(ctx context.Context, id, vmID string) (m templates.Edit, boot *domain.CloudInit, err error) {
	m.Base = domain.VMSpec{VCPUs: 2, MemoryBytes: 2 * domain.GiB}
	var params []domain.Parameter
	var rules domain.ExecRules
	switch {
	case id != "":
		if m.Template, err = s.DB.Template(ctx, id); err != nil {
			return m, nil, err
		}
		if len(m.Template.Versions) > 0 {
			v := m.Template.Versions[0]
			m.Base, params, rules, boot = v.Spec, v.Params, v.ExecRules, v.CloudInit
		}
	case vmID != "":
		if m.VM, err = s.DB.VM(ctx, vmID); err != nil {
			return m, nil, err
		}
		image := ""
		if made, err := s.DB.ImageMadeOf(ctx, vmID, firstDisk(m.VM)); err == nil {
			image, m.Made = made.Ref(), true
		} else if !domain.Is(err, domain.NotFound) {
			return m, nil, err
		} else if of, err := s.DB.ImagesOfVM(ctx, vmID); err != nil {
			return m, nil, err
		} else if len(of) > 0 {
			image = of[0].Ref()
		}
		if m.Base, err = s.Fleet.TemplateFromVM(ctx, vmID, image); err != nil {
			return m, nil, err
		}
	}
	m.Form = templates.Fill(m.Base, params, boot, rules)
	m.HasHash = boot != nil && boot.PasswordHash != ""
	ch, err := s.choices(ctx, "")
	if err != nil {
		return m, nil, err
	}
	m.Library = ch.Library
	for _, p := range ch.Pools {
		m.Pools = append(m.Pools, p.Name)
	}
	for _, n := range ch.Networks {
		m.Networks = append(m.Networks, n.Name)
	}
	if id == "" && vmID == "" && len(m.Networks) > 0 {
		card := templates.CardForm{On: m.Networks[0]}
		if slices.Contains(m.Networks, "default") {
			card.On = "default"
		}
		m.Form.Cards = []templates.CardForm{card}
	}
	return m, boot, nil
}

func (s *server) templateForm(c echo.Context) error {
	m, _, err := s.templateEdit(c.Request().Context(), c.Param("id"), c.QueryParam("vm"))
	if err != nil {
		return err
	}
	if values, ok := s.takeDraft(c); ok {
		m.Form, m.Whose.Value = templates.Decode(values), values.Get("tenant")
	}
	return s.templateFormPage(c, http.StatusOK, m)
}

func (s *server) templateFormPage(c echo.Context, status int, m templates.Edit) error {
	m.Key = rand.Text()
	if m.Template.ID == "" {
		var err error
		if m.Whose, err = s.whose(c.Request().Context(), subject(c), access.TemplateManage, m.Whose.Value); err != nil {
			return err
		}
	}
	sh, err := s.shellFor(c, page{title: "Template", section: layout.SectionImages, crumbs: templateCrumbs(m.Template)})
	if err != nil {
		return err
	}
	return s.render(c, status, templates.EditPage(sh, m))
}

// templateWrite makes a template, or the next version of one.
func (s *server) templateWrite(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	m, boot, err := s.templateEdit(ctx, c.Param("id"), values.Get("vm"))
	if err != nil {
		return err
	}
	m.Form, m.Whose.Value = templates.Decode(values), values.Get("tenant")
	spec, params, err := m.Form.Spec(m.Base)
	var t domain.Template
	own := ctx
	if err == nil && m.Template.ID == "" { // a version is whose its template is
		own, err = s.Fleet.OwnedBy(ctx, access.TemplateManage, m.Whose.Value)
	}
	if err == nil {
		t, err = s.Fleet.NewTemplateVersion(own, subject(c).Actor(), fleet.NewTemplate{TemplateID: m.Template.ID, Name: m.Form.Name, Description: m.Form.Description, Spec: spec, Params: params,
			CloudInit: m.Form.Boot(boot), ExecRules: m.Form.Rules(), Changelog: m.Form.Changelog})
	}
	if err == nil {
		return s.moveSaying(c, live.Template(t.ID), layout.Toast{Tone: layout.ToneSuccess, Text: t.Versions[0].Ref() + " was written."})
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	m.Err = m.Form.Place(problem(err))
	return s.templateFormPage(c, statusOf(err), m)
}

func (s *server) templateAct(c echo.Context) error {
	n, err := strconv.Atoi(c.Param("n"))
	action := c.Param("action")
	if err != nil || action != "deprecate" && action != "restore" {
		return echo.ErrNotFound
	}
	back := live.TemplateVersion(c.Param("id"), n, 0)
	t, err := s.Fleet.DeprecateTemplate(c.Request().Context(), subject(c).Actor(), c.Param("id"), n, action == "deprecate")
	if err != nil {
		return s.sayOrFail(c, back, err)
	}
	text := "%s@%d is offered again."
	if action == "deprecate" {
		text = "%s@%d is deprecated: no new VM is made of it."
	}
	return s.done(c, back, layout.Toast{Tone: layout.ToneSuccess, Text: fmt.Sprintf(text, t.Name, n)})
}

func (s *server) templateAsk(c echo.Context) error {
	m := templates.Ask{Action: c.Path()[strings.LastIndex(c.Path(), "/")+1:]}
	t, err := s.DB.Template(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	m.Name, m.Text = t.Name, t.Description
	return s.askTemplate(c, http.StatusOK, m)
}

func (s *server) askTemplate(c echo.Context, status int, m templates.Ask) error {
	var err error
	if m.Template, err = s.DB.Template(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{title: m.Template.Name, section: layout.SectionImages, crumbs: templateCrumbs(m.Template)})
	if err != nil {
		return err
	}
	return s.render(c, status, templates.AskPage(sh, m))
}

func (s *server) templateDescribe(c echo.Context) error {
	id := c.Param("id")
	version, err := formVersion(c)
	if err != nil {
		return err
	}
	name, text := strings.TrimSpace(c.FormValue("name")), strings.ReplaceAll(c.FormValue("description"), "\r\n", "\n")
	if _, err = s.Fleet.DescribeTemplate(c.Request().Context(), subject(c).Actor(), id, version, &name, &text); err == nil {
		return s.done(c, live.Template(id), layout.Toast{Tone: layout.ToneSuccess, Text: "Saved."})
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	return s.askTemplate(c, statusOf(err), templates.Ask{Action: "edit", Name: name, Text: text, Err: problem(err)})
}

func (s *server) templateDelete(c echo.Context) error {
	ctx, confirm := c.Request().Context(), strings.TrimSpace(c.FormValue("confirm"))
	t, err := s.DB.Template(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if confirm != t.Name {
		err = domain.InvalidField("confirm", "The name was not typed.", t.Name)
		return s.askTemplate(c, statusOf(err), templates.Ask{Action: "delete", Confirm: confirm, Err: problem(err)})
	}
	if err := s.Fleet.DeleteTemplate(ctx, subject(c).Actor(), t.ID); err != nil {
		return err
	}
	return s.moveSaying(c, live.Templates, layout.Toast{Tone: layout.ToneSuccess, Text: "The template " + t.Name + " was deleted."})
}

// templateUse is the form that makes a VM of a template.
func (s *server) templateUse(c echo.Context) error {
	t, v, err := s.offered(c, c.QueryParam("version"))
	if err != nil {
		return err
	}
	f := templates.DefaultUse(v)
	if values, ok := s.takeDraft(c); ok {
		f = templates.DecodeUse(values, v.Params)
	}
	return s.usePage(c, http.StatusOK, templates.Use{Template: t, Version: v, Form: f})
}

// offered is the version of the form: the one that is named, or the newest that is not deprecated.
func (s *server) offered(c echo.Context, version string) (domain.Template, domain.TemplateVersion, error) {
	t, err := s.DB.Template(c.Request().Context(), c.Param("id"))
	if err != nil {
		return t, domain.TemplateVersion{}, err
	}
	if version != "" {
		v, err := numbered(t, version)
		if err != nil {
			return t, domain.TemplateVersion{}, err
		}
		return t, *v, nil
	}
	v, err := s.Fleet.TemplateVersion(c.Request().Context(), t.ID, 0)
	return t, v, err
}

func (s *server) usePage(c echo.Context, status int, m templates.Use) error {
	ch, err := s.choicesForNew(c.Request().Context(), "")
	if err != nil {
		return err
	}
	if m.Whose, err = s.whose(c.Request().Context(), subject(c), access.VMCreate, m.Form.Tenant); err != nil {
		return err
	}
	if m.Folders, err = s.folderChoices(c.Request().Context(), subject(c), access.VMCreate, nil); err != nil {
		return err
	}
	m.Hosts = vms.HostOptions(ch)
	for _, n := range ch.Networks {
		m.Networks = append(m.Networks, n.Name)
	}
	m.Key = rand.Text()
	sh, err := s.shellFor(c, page{title: "New VM of " + m.Template.Name, section: layout.SectionImages, crumbs: templateCrumbs(m.Template)})
	if err != nil {
		return err
	}
	return s.render(c, status, templates.UsePage(sh, m))
}

func (s *server) templateMake(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	t, v, err := s.offered(c, values.Get("version"))
	if err != nil {
		return err
	}
	f := templates.DecodeUse(values, v.Params)
	job, err := s.Fleet.InstantiateTemplate(ctx, subject(c).Actor(), fleet.Instantiate{Template: t.ID, Number: v.Number, Name: f.Name, Host: f.Host, Values: f.Values, Start: truth(f.Start),
		Pinned: truth(f.Pinned), Tenant: f.Tenant, Folder: f.Folder, Tags: vms.SplitTags(f.Tags), Notes: f.Notes, Key: onceKey(c)})
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err == nil {
		return s.moveSaying(c, live.VM(job.Resource.ID), ended(job))
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	return s.usePage(c, statusOf(err), templates.Use{Template: t, Version: v, Form: f, Err: problem(err)})
}

func (s *server) rolloutPage(c echo.Context) error { return s.showRollout(c, http.StatusOK, nil) }

func (s *server) showRollout(c echo.Context, status int, refused *domain.Error) error {
	ctx := c.Request().Context()
	t, v, err := s.offered(c, c.QueryParam("version"))
	if err != nil {
		return err
	}
	_, plan, err := s.Fleet.RolloutPlan(ctx, t.ID, v.Number)
	if err != nil {
		return err
	}
	m := templates.Rollout{Template: t, Version: v, Err: refused, Key: rand.Text()}
	for _, r := range plan {
		m.VMs = append(m.VMs, templates.RolloutVM{VM: r.VM, From: r.From, Changes: r.Changes, Restart: r.Restart, Skip: r.Skip})
	}
	sh, err := s.shellFor(c, page{title: "Roll out " + v.Ref(), section: layout.SectionImages, crumbs: templateCrumbs(t)})
	if err != nil {
		return err
	}
	return s.render(c, status, templates.RolloutPage(sh, m))
}

func (s *server) rolloutStart(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	t, v, err := s.offered(c, c.QueryParam("version"))
	if err != nil {
		return err
	}
	var job domain.Job
	if len(values["vms"]) == 0 {
		err = domain.Errorf(domain.Invalid, "No VM is chosen.").WithFix("Tick the VMs that are to change.")
	} else {
		job, err = s.Fleet.RollOut(ctx, subject(c).Actor(), t.ID, v.Number, values["vms"], onceKey(c))
	}
	if err == nil {
		return s.move(c, live.Task(job.ID))
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	return s.showRollout(c, statusOf(err), problem(err))
}

// vmTemplatePage asks for the name of the template that a VM becomes.
func (s *server) vmTemplatePage(c echo.Context) error {
	return s.askVMTemplate(c, http.StatusOK, vms.MakeTemplate{})
}

func (s *server) askVMTemplate(c echo.Context, status int, m vms.MakeTemplate) error {
	var err error
	if m.VM, err = s.DB.VM(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	if m.Err == nil {
		m.Name = m.VM.Name
	}
	m.Disk, m.Key = firstDisk(m.VM), rand.Text()
	for _, d := range m.VM.Config.Disks {
		if !provision.Shared(d) && d.Target != m.Disk {
			m.More++
		}
	}
	sh, err := s.shellFor(c, page{title: "Make a template of " + m.VM.Name, section: layout.SectionVMs, host: m.VM.HostID, select_: m.VM.ID,
		crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}, {Label: m.VM.Name, URL: live.VM(m.VM.ID)}}})
	if err != nil {
		return err
	}
	return s.render(c, status, vms.TemplatePage(sh, m))
}

func (s *server) vmTemplate(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	m := vms.MakeTemplate{Name: strings.TrimSpace(c.FormValue("name")), Description: strings.TrimSpace(c.FormValue("description"))}
	err := subject(c).Require(access.ImageManage)
	var job domain.Job
	if err == nil {
		job, err = s.Fleet.MakeTemplate(ctx, subject(c).Actor(), id, fleet.MakeTemplate{Name: m.Name, Description: m.Description, Key: onceKey(c)})
	}
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err == nil {
		to := live.VM(id)
		if job.State == domain.JobSucceeded {
			to = live.Template(job.Resource.ID)
		}
		return s.moveSaying(c, to, ended(job))
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound || code == domain.Denied {
		return err
	}
	m.Err = problem(err)
	return s.askVMTemplate(c, statusOf(err), m)
}

func (s *server) vmPin(c echo.Context) error {
	id, on := c.Param("id"), truth(c.FormValue("on"))
	if err := s.Fleet.PinVM(c.Request().Context(), subject(c).Actor(), id, on); err != nil {
		return s.sayOrFail(c, live.VM(id), err)
	}
	t := layout.Toast{Tone: layout.ToneSuccess, Text: "Roll-outs take it along again."}
	if on {
		t.Text = "Pinned: roll-outs leave it out."
	}
	return s.moveSaying(c, s.backFrom(c, live.VM(id)), t)
}

// originOf says where a VM came from.
func (s *server) originOf(ctx context.Context, vmID string) (vms.Origin, error) {
	var o vms.Origin
	t, ok, err := s.DB.TemplateOfVM(ctx, vmID)
	if err != nil {
		return o, err
	}
	if ok {
		o.Template = &t
		of, err := s.DB.Template(ctx, t.TemplateID)
		if err != nil {
			return o, err
		}
		for _, v := range of.Versions {
			if !v.Deprecated {
				o.Newest = max(o.Newest, v.Number)
			}
		}
	}
	all, err := s.DB.ImagesOfVM(ctx, vmID)
	for _, v := range all {
		if !slices.ContainsFunc(o.Images, func(x domain.ImageVersion) bool { return x.ID == v.ID }) {
			o.Images = append(o.Images, v)
		}
	}
	return o, err
}

// libraryChoices are the images that a VM can begin as, with those versions.
func (s *server) libraryChoices(ctx context.Context) ([]domain.Image, error) {
	p, err := s.DB.Images(ctx, db.ImageQuery{Limit: 1000})
	if err != nil {
		return nil, err
	}
	var out []domain.Image
	for _, i := range p.Items {
		i.Versions = slices.DeleteFunc(i.Versions, func(v domain.ImageVersion) bool { return v.Usable() != nil })
		if len(i.Versions) > 0 {
			out = append(out, i)
		}
	}
	return out, nil
}

// templates draws the list of templates, or one of them, when an event is about it or its VMs.
func (d *drawing) templates(ctx context.Context, a affected) {
	on, concerns := d.v.on, len(a.moves) > 0
	for _, ev := range a.evs {
		concerns = concerns || ev.Resource.Kind == "template" || ev.Resource.Kind == "vm" || ev.JobID != "" && on != "templates"
	}
	if !concerns || !d.may(access.TemplateRead) {
		return
	}
	if on == "templates" {
		m, err := d.s.templatesFor(ctx, d.v.at.Query().Get)
		if d.err = err; err == nil {
			d.add(ctx, templates.StreamList(d.shell(), m))
		}
		return
	}
	q := d.v.at.Query()
	m, err := d.s.templateModel(ctx, on, q.Get("version"), q.Get("against"))
	switch {
	case domain.Is(err, domain.NotFound):
		d.add(ctx, layout.ToastPartial(layout.Toast{Tone: layout.ToneWarning, Text: "This template is no more.", URL: live.Templates, Link: "All templates"}))
	case err != nil:
		d.err = err
	default:
		d.add(ctx, templates.StreamPage(d.shell(), m))
	}
}
