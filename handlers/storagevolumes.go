package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/storage"
)

func (s *server) volumeNew(c echo.Context) error {
	values, kept := s.takeDraft(c)
	if !kept {
		values = c.QueryParams()
	}
	return s.newVolume(c, http.StatusOK, storage.NewVolume{Form: storage.DecodeVolume(values)})
}

// volumeChoices fills in what a new volume may be made in and of.
func (s *server) volumeChoices(ctx context.Context, m *storage.NewVolume) error {
	var err error
	if m.Pools, err = s.storagePools(ctx); err != nil {
		return err
	}
	usable, err := s.Fleet.Usable(ctx, access.VolumeManage)
	if err != nil {
		return err
	}
	m.Pools = slices.DeleteFunc(m.Pools, func(p storage.Pool) bool { return !usable(p.ID, "pool_") })
	if !slices.ContainsFunc(m.Pools, func(p storage.Pool) bool { return p.ID == m.Form.Pool }) {
		m.Form.Pool = ""
		for _, p := range m.Pools {
			if p.Active && m.Form.Pool == "" {
				m.Form.Pool = p.ID
			}
		}
	}
	at, err := s.DB.PoolOn(ctx, m.Form.Pool)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	m.Volumes, err = s.DB.VolumesInSight(ctx, at[0].HostID, at[0].Name)
	return err
}

func (s *server) newVolume(c echo.Context, status int, m storage.NewVolume) error {
	m.Key = rand.Text()
	var err error
	if m.Whose, err = s.whose(c.Request().Context(), subject(c), access.VolumeManage, m.Form.Tenant); err != nil {
		return err
	}
	if err := s.volumeChoices(c.Request().Context(), &m); err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{title: "New volume", section: layout.SectionStorage, crumbs: []layout.Crumb{{Label: "Storage", URL: live.Storage}, {Label: "Volumes", URL: live.StorageVolumes}}})
	if err != nil {
		return err
	}
	return s.render(c, status, storage.NewVolumePage(sh, m))
}

// volumeUploadPage is the page that makes a volume of a file.
func (s *server) volumeUploadPage(c echo.Context) error {
	m := storage.NewVolume{Form: storage.DecodeVolume(c.QueryParams()), Key: rand.Text()}
	var err error
	if m.Whose, err = s.whose(c.Request().Context(), subject(c), access.VolumeManage, m.Form.Tenant); err != nil {
		return err
	}
	if err := s.volumeChoices(c.Request().Context(), &m); err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{title: "Upload", section: layout.SectionStorage, crumbs: []layout.Crumb{{Label: "Storage", URL: live.Storage}, {Label: "Volumes", URL: live.StorageVolumes}}})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, storage.UploadPage(sh, m))
}

func (s *server) volumeCreate(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	form := storage.DecodeVolume(values)
	var job domain.Job
	size, err := form.Bytes(form.From == storage.FromNothing)
	own := ctx
	if err == nil {
		own, err = s.Fleet.OwnedBy(ctx, access.VolumeManage, form.Tenant)
	}
	if err == nil {
		ask := fleet.CreateVolume{Pool: form.Pool, Name: form.Name, SizeBytes: size, Key: onceKey(c)}
		switch form.From {
		case storage.FromCopy:
			ask.Source = form.Of
		case storage.FromLayer:
			ask.Backing = form.Of
		default:
			ask.Format, ask.Full, ask.Encrypted = form.Format, form.Full, form.Encrypted
		}
		if form.From != storage.FromNothing && form.Of == "" {
			err = domain.InvalidField("source", "No volume is chosen.", "one of the list")
		} else {
			job, err = s.Fleet.CreateVolume(own, subject(c).Actor(), ask)
		}
	}
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if wantsProblem(c.Request()) { // the script that uploads wants to know which it is
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, map[string]string{"id": job.Resource.ID, "job": job.ID, "state": string(job.State)})
	}
	switch {
	case err == nil && job.State.Ended():
		return s.moveSaying(c, live.Volume(job.Resource.ID), ended(job))
	case err == nil:
		return s.moveSaying(c, live.Task(job.ID), ended(job))
	case domain.CodeOf(err) == domain.Internal:
		return err
	}
	return s.newVolume(c, statusOf(err), storage.NewVolume{Form: form, Err: problem(err)})
}

func (s *server) volumeAsk(c echo.Context) error {
	action := c.Param("action")
	if !slices.Contains([]string{"resize", "copy", "move", "checksum", "upload"}, action) {
		return echo.ErrNotFound
	}
	if err := subject(c).Require(mayOf(action)); err != nil {
		return err
	}
	m := storage.AskVolume{Action: action}
	v, err := s.DB.StorageVolume(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	switch action {
	case "resize":
		m.Form.Size = domain.FormatBytes(v.CapacityBytes)
	case "copy":
		m.Form.Name = copyName(v.Name)
	}
	return s.askVolume(c, http.StatusOK, m)
}

// copyName puts "-copy" before the ending.
func copyName(name string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		return name[:i] + "-copy" + name[i:]
	}
	return name + "-copy"
}

func (s *server) askVolume(c echo.Context, status int, m storage.AskVolume) error {
	ctx := c.Request().Context()
	show, err := s.volumeShow(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	m.Volume, m.Pool, m.Needs, m.Key = show.Volume, show.Pool, show.Needs, rand.Text()
	if m.Action == "move" {
		all, err := s.storagePools(ctx)
		if err != nil {
			return err
		}
		for _, p := range all {
			if p.ID != m.Volume.PoolID && slices.ContainsFunc(p.Hosts, func(h storage.PoolHost) bool { return h.ID == m.Volume.HostID }) {
				m.Pools = append(m.Pools, p)
			}
		}
	}
	sh, err := s.volumeShell(c, m.Volume.Volume, "Volume: "+m.Action, 0)
	if err != nil {
		return err
	}
	return s.render(c, status, storage.AskVolumePage(sh, m))
}

func (s *server) volumeAct(c echo.Context) error {
	ctx, id, by, action := c.Request().Context(), c.Param("id"), subject(c).Actor(), c.Param("action")
	if err := subject(c).Require(mayOf(action)); err != nil {
		return err
	}
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	form := storage.DecodeVolume(values)
	var job domain.Job
	switch action {
	case "resize":
		job, err = s.resizeVolume(ctx, by, id, form, onceKey(c))
	case "copy":
		job, err = s.copyVolume(ctx, by, id, form, onceKey(c))
	case "move":
		var rate int64
		if rate, err = form.Rate(); err == nil {
			job, err = s.Fleet.MoveVolume(ctx, by, id, fleet.MoveVolume{Pool: form.Pool, Name: form.Name, Format: form.Format, Keep: form.Keep, Bandwidth: rate, Key: onceKey(c)})
		}
	case "checksum":
		job, err = s.Fleet.ChecksumVolume(ctx, by, id, onceKey(c))
	default:
		return echo.ErrNotFound
	}
	if err == nil {
		return s.done(c, live.Volume(id), layout.TaskToast(job, live.Task(job.ID)))
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	return s.askVolume(c, statusOf(err), storage.AskVolume{Action: action, Form: form, Err: problem(err)})
}

func (s *server) resizeVolume(ctx context.Context, by, id string, form storage.VolumeForm, key string) (domain.Job, error) {
	size, err := form.Bytes(true)
	if err != nil {
		return domain.Job{}, err
	}
	return s.Fleet.ResizeVolume(ctx, by, id, fleet.ResizeVolume{SizeBytes: size, Shrink: form.Shrink, Key: key})
}

func (s *server) copyVolume(ctx context.Context, by, id string, form storage.VolumeForm, key string) (domain.Job, error) {
	size, err := form.Bytes(false)
	if err != nil {
		return domain.Job{}, err
	}
	v, err := s.DB.StorageVolume(ctx, id)
	if err != nil {
		return domain.Job{}, err
	}
	owner, err := s.DB.OwnerOfThing(ctx, id)
	if err != nil {
		return domain.Job{}, err
	}
	if ctx, err = s.Fleet.OwnedBy(ctx, access.VolumeManage, owner); err != nil { // a copy is whose the volume is
		return domain.Job{}, err
	}
	return s.Fleet.CreateVolume(ctx, by, fleet.CreateVolume{Pool: v.PoolID, Name: form.Name, SizeBytes: size, Source: id, Key: key})
}

// volumeDoom reads what is to go, and who needs it.
func (s *server) volumeDoom(ctx context.Context, ids []string) ([]storage.Doomed, error) {
	const most = 1000
	var out []storage.Doomed
	for _, id := range ids[:min(len(ids), most)] {
		v, err := s.DB.StorageVolume(ctx, id)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		users, err := s.DB.VolumeNeeds(ctx, id)
		if err != nil {
			return nil, err
		}
		out = append(out, storage.Doomed{Volume: volumeModel(v), Needs: needsModel(users)})
	}
	if len(out) == 0 {
		return nil, domain.Errorf(domain.NotFound, "No such volume is there.").WithFix("Choose at least one in the list of volumes, and look whether it is still there.")
	}
	return out, nil
}

func (s *server) volumeBulkAsk(c echo.Context) error {
	return s.askVolumes(c, http.StatusOK, c.QueryParams()["ids"], nil)
}

func (s *server) askVolumes(c echo.Context, status int, ids []string, refused *domain.Error) error {
	doom, err := s.volumeDoom(c.Request().Context(), ids)
	if err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{title: "Delete volumes", section: layout.SectionStorage, crumbs: []layout.Crumb{{Label: "Storage", URL: live.Storage}, {Label: "Volumes", URL: live.StorageVolumes}}})
	if err != nil {
		return err
	}
	return s.render(c, status, storage.AskVolumesPage(sh, storage.AskVolumes{Chosen: doom, Key: rand.Text(), Err: refused}))
}

func (s *server) volumeBulk(c echo.Context) error {
	ctx, by := c.Request().Context(), subject(c).Actor()
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	ids := values["ids"]
	var job domain.Job
	if len(ids) == 1 {
		job, err = s.Fleet.DeleteVolume(ctx, by, ids[0], onceKey(c))
	} else {
		job, err = s.Fleet.DeleteVolumes(ctx, by, ids, onceKey(c))
	}
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err == nil {
		to := live.StorageVolumes
		if back := s.backFrom(c, to); !strings.HasPrefix(back, live.VolumeBulk) && !strings.HasPrefix(back, live.Volume("")) {
			to = back
		}
		return s.moveSaying(c, to, ended(job))
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	return s.askVolumes(c, statusOf(err), ids, problem(err))
}

// mayOf is what a thing done with a volume needs.
func mayOf(action string) access.Permission {
	if action == "checksum" || action == "upload" {
		return access.VolumeContent
	}
	return access.VolumeManage
}
