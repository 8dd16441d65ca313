package handlers

import (
	"context"
	"crypto/rand"
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
	"novacron/views/images"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/ui"
)

const imagesPerPage = 100

func (s *server) imageList(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	m, err := s.imagesFor(c.Request().Context(), c.QueryParams().Get)
	if err != nil {
		return 0, nil, err
	}
	sh, err := s.shellFor(c, page{title: "Images", section: layout.SectionImages, on: "images", after: after})
	return http.StatusOK, images.ListPage(sh, m), err
}

// imagesFor reads the list that a page's query asks for.
func (s *server) imagesFor(ctx context.Context, get func(string) string) (images.List, error) {
	m := images.List{Filter: get("filter"), State: domain.ImageState(get("state")), Sort: get("sort"), Desc: truth(get("desc")), After: get("after")}
	if m.Sort != "created" {
		m.Sort = ""
	}
	p, err := s.DB.Images(ctx, db.ImageQuery{Filter: m.Filter, State: m.State, Sort: m.Sort, Desc: m.Desc, After: m.After, Limit: imagesPerPage})
	m.Items, m.Next, m.Total = p.Items, p.Next, p.Total
	return m, err
}

// versionOf finds a version of an image by its label or id.
func versionOf(image domain.Image, v string) (*domain.ImageVersion, error) {
	for i := range image.Versions {
		if x := &image.Versions[i]; x.Label == v || x.ID == v {
			return x, nil
		}
	}
	return nil, domain.Errorf(domain.NotFound, "The image %s has no version %s.", image.Name, v)
}

// imageModel reads what an image's page shows; v names one version of it.
func (s *server) imageModel(ctx context.Context, id, v string) (images.Page, error) {
	var m images.Page
	var err error
	if m.Image, err = s.DB.Image(ctx, id); err != nil {
		return m, err
	}
	if v != "" {
		if m.Version, err = versionOf(m.Image, v); err != nil {
			return m, err
		}
	}
	m.CanConvert, m.Why = s.Fleet.CanConvert()
	refs := map[string]domain.ImageVersion{}
	for _, x := range m.Image.Versions {
		if m.Version == nil || m.Version.ID == x.ID {
			refs[x.ID] = x
		}
	}
	if m.Copies, err = s.copiesOf(ctx, refs); err != nil {
		return m, err
	}
	uses, err := s.DB.ImageUses(ctx, m.Image.ID)
	if err != nil {
		return m, err
	}
	hosts, err := s.hostNames(ctx)
	if err != nil {
		return m, err
	}
	for _, u := range uses {
		if x, ok := refs[u.VersionID]; ok {
			m.Uses = append(m.Uses, images.Use{VMID: u.VMID, VM: u.VMName, Host: hosts[u.HostID], Label: x.Label, Disk: u.Disk, Linked: u.Linked})
		}
	}
	m.Jobs = map[string]domain.Job{}
	for _, x := range refs {
		if x.State != domain.ImageImporting || x.JobID == "" {
			continue
		}
		j, err := s.DB.Job(ctx, x.JobID)
		if err != nil && !domain.Is(err, domain.NotFound) {
			return m, err
		}
		s.progress(&j)
		m.Jobs[x.ID] = j
	}
	if x := m.Version; x != nil && x.State == domain.ImageImporting && x.JobID == "" {
		up, err := s.Fleet.ImageUploadState(ctx, x.ID)
		if err != nil && !domain.Is(err, domain.Conflict) { // all of it came in meanwhile
			return m, err
		}
		m.Received = up.Received
	}
	return m, nil
}

func (s *server) hostNames(ctx context.Context) (map[string]string, error) {
	f, _, err := s.shell.frame(ctx, s.DB.Feed().Last(), shellFresh)
	out := make(map[string]string, len(f.hosts))
	for _, h := range f.hosts {
		out[h.ID] = h.Name
	}
	return out, err
}

// copiesOf lists the copies of the versions with these ids.
func (s *server) copiesOf(ctx context.Context, refs map[string]domain.ImageVersion) ([]images.Copy, error) {
	all, err := s.DB.ImageCopies(ctx, "")
	if err != nil {
		return nil, err
	}
	hosts, err := s.hostNames(ctx)
	var out []images.Copy
	for _, c := range all {
		if v, ok := refs[c.VersionID]; ok {
			out = append(out, images.Copy{ImageCopy: c, Ref: v.Ref(), ImageID: v.ImageID, Host: hosts[c.HostID]})
		}
	}
	return out, err
}

func (s *server) imagePage(c echo.Context) error {
	after := s.DB.Feed().Last()
	m, err := s.imageModel(c.Request().Context(), c.Param("id"), c.Param("v"))
	if err != nil {
		return err
	}
	p := page{title: m.Image.Name, section: layout.SectionImages, on: m.Image.ID, after: after, crumbs: []layout.Crumb{{Label: "Images", URL: live.Images}}}
	if m.Version != nil {
		p.title = m.Version.Ref()
		p.crumbs = append(p.crumbs, layout.Crumb{Label: m.Image.Name, URL: live.Image(m.Image.ID)})
	}
	sh, err := s.shellFor(c, p)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, images.ShowPage(sh, m))
}

func (s *server) imageNew(c echo.Context) error {
	get := c.QueryParams().Get
	if values, ok := s.takeDraft(c); ok {
		get = values.Get
	}
	f := imageForm(get)
	if f.VM == "" {
		f.VM = get("vm")
	}
	if f.Volume == "" {
		f.Volume = get("volume")
	}
	switch {
	case f.From != "":
	case f.VM != "":
		f.From = domain.SourceVM
	case f.Volume != "":
		f.From = domain.SourceVolume
	default:
		f.From = domain.SourceURL
	}
	return s.imageNewPage(c, http.StatusOK, images.New{Form: f}, get("image"))
}

// imageForm reads the form; its fields are named as the API's, so that errors find them.
func imageForm(get func(string) string) images.Form {
	word := func(k string) string { return strings.TrimSpace(get(k)) }
	f := images.Form{From: word("from"), Name: word("name"), Arch: word("arch"), Description: word("description"), Version: word("version"),
		Changelog: strings.TrimSpace(strings.ReplaceAll(get("changelog"), "\r\n", "\n")), Format: word("format"), SHA256: strings.ToLower(word("source.sha256")), URL: word("source.url"),
		Tenant: word("tenant"), VM: word("source.vm"), Target: word("source.target"), Volume: word("source.volume"), Publish: word("publish")}
	if f.Arch == "" {
		f.Arch = "x86_64"
	}
	return f
}

func (s *server) imageNewPage(c echo.Context, status int, m images.New, imageID string) error {
	ctx := c.Request().Context()
	var err error
	crumbs := []layout.Crumb{{Label: "Images", URL: live.Images}}
	title := "Add an image"
	if imageID != "" {
		if m.Image, err = s.DB.Image(ctx, imageID); err != nil {
			return err
		}
		title, crumbs = "Add a version to "+m.Image.Name, append(crumbs, layout.Crumb{Label: m.Image.Name, URL: live.Image(m.Image.ID)})
	}
	if m.Image.ID == "" {
		if m.Whose, err = s.whose(ctx, subject(c), access.ImageManage, m.Form.Tenant); err != nil {
			return err
		}
	}
	m.Key = rand.Text()
	m.CanConvert, m.Why = s.Fleet.CanConvert()
	switch m.Form.From {
	case domain.SourceVM:
		p, err := s.DB.VMs(ctx, db.VMQuery{Limit: 1000})
		if err != nil {
			return err
		}
		for _, vm := range p.Items {
			x := images.VMChoice{ID: vm.ID, Label: vm.Name + " on " + vm.HostName}
			runs := vm.State == domain.VMRunning || vm.State == domain.VMPaused
			if err := vm.State.Can(domain.ActClone); err != nil && !runs {
				x.Why = "it is " + string(vm.State)
			} else if vm.BusyJob != "" {
				x.Why = "it is busy"
			}
			m.VMs = append(m.VMs, x)
		}
	case domain.SourceVolume:
		on, err := s.DB.VolumeOn(ctx, m.Form.Volume)
		if err != nil {
			return err
		}
		m.Form.VolText = on[0].Pool + "/" + on[0].Name
	}
	sh, err := s.shellFor(c, page{title: title, section: layout.SectionImages, crumbs: crumbs})
	if err != nil {
		return err
	}
	return s.render(c, status, images.NewPage(sh, m))
}

func (s *server) imageCreate(c echo.Context) error {
	ctx := c.Request().Context()
	f := imageForm(c.FormValue)
	ask := fleet.NewImage{ImageID: c.FormValue("image"), Name: f.Name, Arch: f.Arch, Description: f.Description, Label: f.Version, Changelog: f.Changelog, Format: f.Format, SHA256: f.SHA256,
		Publish: truth(f.Publish), Key: onceKey(c)}
	switch f.From {
	case domain.SourceUpload:
		ask.Upload = true
	case domain.SourceVM:
		ask.VMID, ask.Target = f.VM, f.Target
	case domain.SourceVolume:
		ask.VolumeID = f.Volume
	default:
		ask.URL = f.URL
	}
	var v domain.ImageVersion
	var job domain.Job
	var err error
	if ask.ImageID == "" { // a version is whose its image is
		ctx, err = s.Fleet.OwnedBy(ctx, access.ImageManage, f.Tenant)
	}
	if err == nil && f.From == domain.SourceVM && f.VM == "" {
		err = domain.InvalidField("source.vm", "No VM is chosen.", "one of the list")
	}
	if err == nil {
		v, job, err = s.Fleet.NewImageVersion(ctx, subject(c).Actor(), ask)
	}
	if err == nil && job.ID != "" {
		job, err = s.settle(ctx, job, earlyEnd) // what a host or an address refuses at once is said here
	}
	switch code := domain.CodeOf(err); {
	case err == nil && job.ID == "":
		return s.move(c, live.ImageVersion(v.ImageID, v.Label))
	case err == nil:
		return s.moveSaying(c, live.ImageVersion(v.ImageID, v.Label), ended(job))
	case code == domain.Internal || code == domain.NotFound:
		return err
	}
	return s.imageNewPage(c, statusOf(err), images.New{Form: f, Err: problem(err)}, ask.ImageID)
}

// imageAsk opens a dialog: edit or delete an image, delete or place a version.
func (s *server) imageAsk(c echo.Context) error {
	m := images.Ask{Action: c.Param("action")}
	if m.Action == "" {
		m.Action = c.Path()[strings.LastIndex(c.Path(), "/")+1:]
	}
	if !slices.Contains([]string{"edit", "delete", "place"}, m.Action) {
		return echo.ErrNotFound
	}
	if values, ok := s.takeDraft(c); ok {
		m.Form, m.Host, m.Pool = imageForm(values.Get), values.Get("host"), values.Get("pool")
	}
	return s.askImage(c, http.StatusOK, m)
}

func (s *server) askImage(c echo.Context, status int, m images.Ask) error {
	ctx := c.Request().Context()
	var err error
	if m.Image, err = s.DB.Image(ctx, c.Param("id")); err != nil {
		return err
	}
	if v := c.Param("v"); v != "" {
		if m.Version, err = versionOf(m.Image, v); err != nil {
			return err
		}
	}
	if m.Action == "edit" && m.Form.Name == "" && m.Err == nil {
		m.Form = images.Form{Name: m.Image.Name, Arch: m.Image.Arch, Description: m.Image.Description}
	}
	if m.Action == "place" {
		hosts, err := s.DB.Hosts(ctx)
		if err != nil {
			return err
		}
		for _, h := range hosts {
			o := ui.Option{Value: h.ID, Label: h.Name, Disabled: h.State != domain.HostConnected}
			if o.Disabled {
				o.Label += " – " + string(h.State)
			}
			m.Hosts = append(m.Hosts, o)
		}
	}
	m.Key = rand.Text()
	sh, err := s.shellFor(c, page{title: m.Image.Name, section: layout.SectionImages, crumbs: []layout.Crumb{{Label: "Images", URL: live.Images}, {Label: m.Image.Name, URL: live.Image(m.Image.ID)}}})
	if err != nil {
		return err
	}
	return s.render(c, status, images.AskPage(sh, m))
}

func (s *server) refusedImage(c echo.Context, err error, m images.Ask) error {
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	m.Err = problem(err)
	return s.askImage(c, statusOf(err), m)
}

func (s *server) imageEdit(c echo.Context) error {
	f := imageForm(c.FormValue)
	version, err := formVersion(c)
	if err != nil {
		return err
	}
	if _, err = s.Fleet.DescribeImage(c.Request().Context(), subject(c).Actor(), c.Param("id"), version, fleet.EditImage{Name: &f.Name, Arch: &f.Arch, Description: &f.Description}); err != nil {
		return s.refusedImage(c, err, images.Ask{Action: "edit", Form: f})
	}
	return s.done(c, live.Image(c.Param("id")), layout.Toast{Tone: layout.ToneSuccess, Text: "Saved."})
}

func (s *server) imageDelete(c echo.Context) error {
	ctx, confirm := c.Request().Context(), strings.TrimSpace(c.FormValue("confirm"))
	image, err := s.DB.Image(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	var job domain.Job
	if confirm != image.Name {
		err = domain.InvalidField("confirm", "The name was not typed.", image.Name)
	} else if job, err = s.Fleet.DeleteImage(ctx, subject(c).Actor(), image.ID, "", onceKey(c)); err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err != nil {
		return s.refusedImage(c, err, images.Ask{Action: "delete", Confirm: confirm})
	}
	return s.moveSaying(c, live.Images, ended(job))
}

// imageAct does one thing with a version.
func (s *server) imageAct(c echo.Context) error {
	ctx, by := c.Request().Context(), subject(c).Actor()
	image, err := s.DB.Image(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	v, err := versionOf(image, c.Param("v"))
	if err != nil {
		return err
	}
	back := live.ImageVersion(image.ID, v.Label)
	switch action := c.Param("action"); action {
	case "publish", "deprecate":
		to := map[string]domain.ImageState{"publish": domain.ImagePublished, "deprecate": domain.ImageDeprecated}[action]
		if _, err = s.Fleet.PublishImage(ctx, by, v.ID, to); err != nil {
			return s.sayOrFail(c, back, err)
		}
		return s.done(c, back, layout.Toast{Tone: layout.ToneSuccess, Text: v.Ref() + " was " + string(to) + "."})
	case "place":
		m := images.Ask{Action: action, Host: c.FormValue("host"), Pool: strings.TrimSpace(c.FormValue("pool"))}
		job, err := s.Fleet.PlaceImage(ctx, by, v.ID, m.Host, m.Pool, onceKey(c))
		if err != nil {
			return s.refusedImage(c, err, m)
		}
		return s.done(c, back, layout.TaskToast(job, live.Task(job.ID)))
	case "delete":
		job, err := s.Fleet.DeleteImage(ctx, by, image.ID, v.ID, onceKey(c))
		if err == nil {
			job, err = s.settle(ctx, job, earlyEnd)
		}
		if err != nil {
			return s.refusedImage(c, err, images.Ask{Action: action})
		}
		to := live.Images
		if len(image.Versions) > 1 {
			to = live.Image(image.ID)
		}
		return s.moveSaying(c, to, ended(job))
	}
	return echo.ErrNotFound
}

func (s *server) imageCopies(c echo.Context) error { return s.copiesPage(c, http.StatusOK, nil, nil) }

func (s *server) copiesPage(c echo.Context, status int, typed *images.Policy, refused *domain.Error) error {
	ctx := c.Request().Context()
	m := images.Copies{Err: refused, Key: rand.Text()}
	all, err := s.DB.ImageCopies(ctx, "")
	if err != nil {
		return err
	}
	refs := map[string]domain.ImageVersion{}
	for _, x := range all {
		if _, ok := refs[x.VersionID]; !ok {
			if refs[x.VersionID], err = s.DB.ImageVersion(ctx, x.VersionID); err != nil {
				return err
			}
		}
	}
	if m.Items, err = s.copiesOf(ctx, refs); err != nil {
		return err
	}
	unused, err := s.Fleet.UnusedImages(ctx)
	if err != nil {
		return err
	}
	hosts, err := s.hostNames(ctx)
	if err != nil {
		return err
	}
	for _, u := range unused {
		m.Unused = append(m.Unused, images.Unused{ID: u.ID, What: u.What, Host: hosts[u.HostID], Path: u.Path, Base: u.Base, Bytes: u.Bytes})
	}
	if typed != nil {
		m.Policy = *typed
	} else {
		p, err := s.Fleet.ImagePolicy(ctx)
		if err != nil {
			return err
		}
		m.Policy = images.Policy{Days: strconv.Itoa(p.UnusedDays), Keep: strconv.Itoa(p.Keep)}
		if p.Collect {
			m.Policy.Collect = "1"
		}
	}
	sh, err := s.shellFor(c, page{title: "Copies of images", section: layout.SectionImages})
	if err != nil {
		return err
	}
	return s.render(c, status, images.CopiesPage(sh, m))
}

func (s *server) imageCollect(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	var job domain.Job
	if len(values["ids"]) == 0 {
		err = domain.Errorf(domain.Invalid, "Nothing is chosen.").WithFix("Tick what is to go.")
	} else if job, err = s.Fleet.CollectImages(ctx, subject(c).Actor(), values["ids"], onceKey(c)); err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err != nil {
		if domain.CodeOf(err) == domain.Internal {
			return err
		}
		return s.copiesPage(c, statusOf(err), nil, problem(err))
	}
	return s.moveSaying(c, live.ImageCopies, ended(job))
}

func (s *server) imagePolicy(c echo.Context) error {
	typed := images.Policy{Collect: c.FormValue("collect"), Days: strings.TrimSpace(c.FormValue("unused_days")), Keep: strings.TrimSpace(c.FormValue("keep"))}
	var p domain.Problems
	number := func(field, text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			p.Add(field, "“"+text+"” is not a number.", "a whole number")
		}
		return n
	}
	policy := fleet.ImagePolicy{Collect: truth(typed.Collect), UnusedDays: number("unused_days", typed.Days), Keep: number("keep", typed.Keep)}
	err := p.Err()
	if err == nil {
		err = s.Fleet.SetImagePolicy(c.Request().Context(), subject(c).Actor(), policy)
	}
	if err != nil {
		if domain.CodeOf(err) == domain.Internal {
			return err
		}
		return s.copiesPage(c, statusOf(err), &typed, problem(err))
	}
	return s.moveSaying(c, live.ImageCopies, layout.Toast{Tone: layout.ToneSuccess, Text: "The policy was saved."})
}
