package handlers

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
	jobstorage "novacron/jobs/storage"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/storage"
)

// onStorage and onVolumes are what the lists of pools and of volumes listen to.
const (
	onStorage = "storage"
	onVolumes = "volumes"
)

// volumesPerPage is how many rows a list of volumes shows before "more".
const volumesPerPage = 100

func poolModel(p db.PoolItem) storage.Pool {
	out := storage.Pool{Pool: p.Pool, Volumes: p.Volumes, Provisioned: p.Provisioned}
	for _, h := range p.Hosts {
		out.Hosts = append(out.Hosts, storage.PoolHost{ID: h.HostID, Name: h.HostName, Pool: h.Name, Target: h.Target, Active: h.Active, Autostart: h.Autostart, Away: h.Away})
	}
	return out
}

func usesModel(in []db.VolumeUse) []storage.Use {
	var out []storage.Use
	for _, u := range in {
		out = append(out, storage.Use{ID: u.VMID, Name: u.Name})
	}
	return out
}

func volumeModel(v db.VolumeItem) storage.Volume {
	return storage.Volume{Volume: v.Volume, HostName: v.HostName, Hosts: v.Hosts, Users: usesModel(v.Users), Overlays: v.Overlays, Image: v.Image, BaseOf: v.BaseOf}
}

func needsModel(in []domain.VolumeUser) []storage.Need {
	var out []storage.Need
	for _, u := range in {
		n := storage.Need{VolumeUser: u, Words: jobstorage.Use(u)}
		if !slices.ContainsFunc(out, func(o storage.Need) bool { return o.ID == n.ID && o.Words == n.Words }) {
			out = append(out, n)
		}
	}
	return out
}

func (s *server) poolList(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	m, err := s.poolsModel(c.Request().Context(), c.Request().URL)
	if err != nil {
		return 0, nil, err
	}
	sh, err := s.shellFor(c, page{title: "Storage", section: layout.SectionStorage, on: onStorage, after: after})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, storage.PoolsPage(sh, m), nil
}

// poolsModel reads the list that the page at u shows.
func (s *server) poolsModel(ctx context.Context, u *url.URL) (storage.PoolList, error) {
	q := u.Query()
	m := storage.PoolList{Filter: q.Get("filter"), Sort: q.Get("sort"), Desc: truth(q.Get("desc"))}
	all, err := s.DB.StoragePools(ctx)
	if err != nil {
		return m, err
	}
	f, _, err := s.shell.frame(ctx, s.DB.Feed().Last(), shellFresh)
	if err != nil {
		return m, err
	}
	m.All, m.Hosts = len(all), f.counts.Hosts
	for _, p := range all {
		if poolMatches(p, m.Filter) {
			m.Items = append(m.Items, poolModel(p))
		}
	}
	sortPools(m.Items, m.Sort, m.Desc)
	return m, nil
}

// poolMatches keeps the pools that have every word somewhere. A minus turns a word round.
func poolMatches(p db.PoolItem, filter string) bool {
	text := strings.ToLower(strings.Join([]string{p.Name, p.Type, p.Target, p.Identity}, "\n"))
	if p.Identity != "" {
		text += "\nshared"
	}
	for _, h := range p.Hosts {
		text += "\n" + strings.ToLower(h.HostName+"\n"+h.Name+"\n"+h.Target)
	}
	for _, t := range strings.Fields(strings.ToLower(filter)) {
		word, not := strings.CutPrefix(t, "-")
		for _, field := range []string{"host:", "type:", "name:"} {
			word = strings.TrimPrefix(word, field)
		}
		if word != "" && strings.Contains(text, word) == not {
			return false
		}
	}
	return true
}

func sortPools(rows []storage.Pool, by string, desc bool) {
	slices.SortStableFunc(rows, func(a, b storage.Pool) int {
		c := 0
		switch by {
		case "type":
			c = strings.Compare(a.Type, b.Type)
		case "available":
			c = cmp.Compare(a.AvailableBytes, b.AvailableBytes)
		case "overcommit":
			c = cmp.Compare(share(a), share(b))
		case "volumes":
			c = a.Volumes - b.Volumes
		}
		c = cmp.Or(c, strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ID, b.ID))
		if desc {
			return -c
		}
		return c
	})
}

func share(p storage.Pool) float64 {
	if p.CapacityBytes <= 0 {
		return 0
	}
	return float64(p.Provisioned) / float64(p.CapacityBytes)
}

func (s *server) volumeList(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	m, err := s.volumesModel(c.Request().Context(), c.Request().URL, nil)
	if err != nil {
		return 0, nil, err
	}
	title := "Volumes"
	if m.Orphans {
		title = "Orphan volumes"
	}
	sh, err := s.shellFor(c, page{title: title, section: layout.SectionStorage, on: onVolumes, after: after})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, storage.VolumesPage(sh, m), nil
}

// volumesModel reads the list that the page at u shows; pool limits it to one pool.
func (s *server) volumesModel(ctx context.Context, u *url.URL, pool *storage.Pool) (storage.VolumeList, error) {
	q := u.Query()
	m := storage.VolumeList{Filter: q.Get("filter"), Sort: q.Get("sort"), Desc: truth(q.Get("desc")), Orphans: truth(q.Get("orphans")), Base: u.Path, Pool: pool}
	if !slices.Contains([]string{"", "name", "size", "used"}, m.Sort) {
		m.Sort = ""
	}
	ask := db.VolumeQuery{Search: m.Filter, Sort: m.Sort, Desc: m.Desc, Orphans: m.Orphans, After: q.Get("after"), Limit: volumesPerPage}
	if pool != nil {
		ask.Pool = pool.ID
	}
	page, err := s.DB.StorageVolumes(ctx, ask)
	if err != nil {
		return m, err
	}
	for _, v := range page.Items {
		m.Items = append(m.Items, volumeModel(v))
	}
	m.Total, m.Bytes, m.Next = page.Total, page.Bytes, page.Next
	return m, nil
}

func (s *server) poolPage(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	ctx := c.Request().Context()
	m, err := s.poolShow(ctx, c.Param("id"), c.Request().URL)
	if err != nil {
		return 0, nil, err
	}
	if of, err := s.chartsAt(ctx, "", m.Pool.ID, c.Request().URL); err != nil {
		return 0, nil, err
	} else if m.Monitor, err = s.chartSet(ctx, c.Request().URL, of); err != nil {
		return 0, nil, err
	}
	sh, err := s.shellFor(c, page{title: m.Pool.Name, section: layout.SectionStorage, on: m.Pool.ID, select_: m.Pool.ID, after: after, crumbs: []layout.Crumb{{Label: "Storage", URL: live.Storage}}})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, storage.PoolShow(sh, m), nil
}

func (s *server) poolShow(ctx context.Context, id string, u *url.URL) (storage.PoolPage, error) {
	p, err := s.DB.StoragePool(ctx, id)
	if err != nil {
		return storage.PoolPage{}, err
	}
	m := storage.PoolPage{Pool: poolModel(p)}
	if m.Job, err = s.busyWith(ctx, id); err != nil {
		return m, err
	}
	m.Volumes, err = s.volumesModel(ctx, u, &m.Pool)
	return m, err
}

// busyWith is the job that works on a pool or a volume now; nil when none does.
func (s *server) busyWith(ctx context.Context, id string) (*domain.Job, error) {
	active, err := s.DB.Jobs(ctx, db.JobQuery{Resource: id, Active: true, Limit: 1})
	if err != nil || len(active.Items) == 0 {
		return nil, err
	}
	s.progress(&active.Items[0])
	return &active.Items[0], nil
}

func (s *server) volumePage(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	m, err := s.volumeShow(c.Request().Context(), c.Param("id"))
	if err != nil {
		return 0, nil, err
	}
	sh, err := s.volumeShell(c, m.Volume.Volume, m.Volume.Name, after)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, storage.VolumeShow(sh, m), nil
}

// volumeShell is the frame of a volume's page and its dialogs.
func (s *server) volumeShell(c echo.Context, v domain.Volume, title string, after int64) (layout.Shell, error) {
	crumbs := []layout.Crumb{{Label: "Storage", URL: live.Storage}, {Label: v.Pool, URL: live.Pool(v.PoolID)}}
	on := v.ID
	if title != v.Name {
		crumbs, on = append(crumbs, layout.Crumb{Label: v.Name, URL: live.Volume(v.ID)}), ""
	}
	return s.shellFor(c, page{title: title, section: layout.SectionStorage, on: on, select_: v.PoolID, after: after, crumbs: crumbs})
}

// volumeShow reads what a volume's page shows. The page and the stream both use it.
func (s *server) volumeShow(ctx context.Context, id string) (storage.VolumePage, error) {
	var m storage.VolumePage
	item, err := s.DB.StorageVolume(ctx, id)
	if err != nil {
		return m, err
	}
	m.Volume = volumeModel(item)
	p, err := s.DB.StoragePool(ctx, item.PoolID)
	if err != nil {
		return m, err
	}
	m.Pool = poolModel(p)
	at, err := s.DB.VolumeOn(ctx, id)
	if err != nil {
		return m, err
	}
	for _, v := range at {
		name := ""
		for _, h := range p.Hosts {
			if h.HostID == v.HostID {
				name = h.HostName
			}
		}
		m.At = append(m.At, storage.VolumeAt{HostID: v.HostID, HostName: name, Path: v.Path})
	}
	users, err := s.DB.VolumeNeeds(ctx, id)
	if err != nil {
		return m, err
	}
	m.Needs = needsModel(users)
	chain, err := s.DB.Chain(ctx, id)
	if err != nil {
		return m, err
	}
	for _, l := range chain {
		m.Chain = append(m.Chain, storage.Link{Volume: l.Volume, Level: l.Level, Users: usesModel(l.Users), Loop: l.Loop})
	}
	if m.Why, err = s.DB.Frozen(ctx, item.PoolID, item.Name); err != nil {
		return m, err
	}
	return m, s.volumeWork(ctx, &m)
}

// volumeWork reads what was and is done with a volume.
func (s *server) volumeWork(ctx context.Context, m *storage.VolumePage) error {
	id := m.Volume.ID
	switch sum, err := s.DB.Checksum(ctx, id); {
	case err == nil:
		m.Sum = &storage.Sum{SHA256: sum.SHA256, Bytes: sum.Bytes, At: sum.At.UnixMilli()}
	case !domain.Is(err, domain.NotFound):
		return err
	}
	switch up, err := s.DB.VolumeUpload(ctx, id); {
	case err == nil:
		m.Upload = &storage.Upload{JobID: up.JobID, Received: max(0, up.Received), Total: up.Total}
	case !domain.Is(err, domain.NotFound):
		return err
	}
	var err error
	if m.Job, err = s.busyWith(ctx, id); err != nil {
		return err
	}
	m.Jobs, err = s.jobsOf(ctx, id, recentJobs)
	return err
}

// storagePools is the estate's pools for a form, without those that nothing can be made in.
func (s *server) storagePools(ctx context.Context) ([]storage.Pool, error) {
	all, err := s.DB.StoragePools(ctx)
	if err != nil {
		return nil, err
	}
	var out []storage.Pool
	for _, p := range all {
		if domain.PoolHoldsVolumes(p.Type) {
			out = append(out, poolModel(p))
		}
	}
	return out, nil
}

func (s *server) poolNew(c echo.Context) error {
	values, kept := s.takeDraft(c)
	if !kept {
		values = c.QueryParams()
	}
	return s.newPool(c, http.StatusOK, storage.NewPool{Form: storage.DecodePool(values)})
}

func (s *server) newPool(c echo.Context, status int, m storage.NewPool) error {
	m.Key = rand.Text()
	hosts, err := s.DB.Hosts(c.Request().Context())
	if err != nil {
		return err
	}
	for _, h := range hosts {
		choice := storage.HostChoice{ID: h.ID, Name: h.Name, Types: h.Facts.PoolTypes}
		if h.State != domain.HostConnected {
			choice.Why = string(h.State)
		}
		m.Hosts = append(m.Hosts, choice)
	}
	if len(m.Hosts) == 1 && len(m.Form.Hosts) == 0 && m.Err == nil && m.Hosts[0].Why == "" {
		m.Form.Hosts = []string{m.Hosts[0].ID}
	}
	sh, err := s.shellFor(c, page{title: "New storage pool", section: layout.SectionStorage, crumbs: []layout.Crumb{{Label: "Storage", URL: live.Storage}}})
	if err != nil {
		return err
	}
	return s.render(c, status, storage.NewPoolPage(sh, m))
}

func (s *server) poolCreate(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	form := storage.DecodePool(values)
	form.Autostart = truth(values.Get("autostart"))
	job, err := s.Fleet.CreatePool(ctx, subject(c).Actor(), fleet.CreatePool{Spec: form.Spec(), Hosts: form.Hosts, Key: onceKey(c)})
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	switch {
	case err == nil && job.State.Ended():
		return s.moveSaying(c, live.Pool(job.Resource.ID), ended(job))
	case err == nil:
		return s.moveSaying(c, live.Storage, ended(job))
	case domain.CodeOf(err) == domain.Internal:
		return err
	}
	return s.newPool(c, statusOf(err), storage.NewPool{Form: form, Err: problem(err)})
}

func (s *server) poolAsk(c echo.Context) error {
	if a := c.Param("action"); a != "stop" && a != "delete" {
		return echo.ErrNotFound
	}
	return s.askPool(c, http.StatusOK, storage.AskPool{Action: c.Param("action")})
}

func (s *server) askPool(c echo.Context, status int, m storage.AskPool) error {
	ctx := c.Request().Context()
	p, err := s.DB.StoragePool(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	users, err := s.DB.PoolUsers(ctx, p.ID, m.Action == "stop")
	if err != nil {
		return err
	}
	m.Pool, m.Needs, m.Key = poolModel(p), needsModel(users), rand.Text()
	sh, err := s.shellFor(c, page{title: "Pool " + p.Name, section: layout.SectionStorage, crumbs: []layout.Crumb{{Label: "Storage", URL: live.Storage}, {Label: p.Name, URL: live.Pool(p.ID)}}})
	if err != nil {
		return err
	}
	return s.render(c, status, storage.AskPoolPage(sh, m))
}

func (s *server) poolAct(c echo.Context) error {
	ctx, id, by, action := c.Request().Context(), c.Param("id"), subject(c).Actor(), c.Param("action")
	var job domain.Job
	var err error
	switch action {
	case "start", "stop", "refresh":
		job, err = s.Fleet.ActPool(ctx, by, id, action, onceKey(c))
	case "autostart":
		job, err = s.Fleet.SetPoolAutostart(ctx, by, id, truth(c.FormValue("on")), onceKey(c))
	case "delete":
		job, err = s.Fleet.DeletePool(ctx, by, id, fleet.DeletePool{Data: truth(c.FormValue("data")), Confirm: c.FormValue("confirm"), Key: onceKey(c)})
		if err == nil {
			job, err = s.settle(ctx, job, earlyEnd)
		}
		if err == nil {
			return s.moveSaying(c, live.Storage, ended(job))
		}
	default:
		return echo.ErrNotFound
	}
	if err == nil {
		return s.done(c, live.Pool(id), layout.TaskToast(job, live.Task(job.ID)))
	}
	code := domain.CodeOf(err)
	if code == domain.Internal || code == domain.NotFound || action != "stop" && action != "delete" {
		return s.sayOrFail(c, live.Pool(id), err)
	}
	return s.askPool(c, statusOf(err), storage.AskPool{Action: action, Data: truth(c.FormValue("data")), Confirm: c.FormValue("confirm"), Err: problem(err)})
}
