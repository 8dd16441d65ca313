package handlers

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/handlers/memo"
	"novacron/views/charts"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

// The frame around every page shows the tree, the counts and the newest tasks. It is the same for everybody, so it is read once per change
// of the world and shared.

const (
	shellFresh  = 150 * time.Millisecond // a burst of events does not make every page read the frame anew; the stream brings the rest
	drawerTasks = 20
	treeOpenVMs = 300 // a host with more is opened on demand only
)

type frame struct {
	hosts  []layout.TreeHost // none open
	pools  int               // of the estate; 0 for who sees a part of it
	counts layout.Counts
	tasks  []domain.Job
}

type shellCache struct {
	db       *db.DB
	frames   *memo.Memo[struct{}, frame]
	trees    *memo.Memo[string, []layout.TreeVM]
	tags     *memo.Memo[struct{}, []string]
	folders  *memo.Memo[struct{}, []domain.Folder]
	overview *memo.Memo[struct{}, vms.Overview]

	drawnTrees *memo.Memo[string, templ.Component]
	drawnRows  *drawnRows

	// What the streams draw: read and rendered once for all pages that show it.
	vms    *memo.Memo[string, domain.VM]
	jobs   *memo.Memo[string, domain.Job]
	totals *memo.Memo[string, int]
	parts  *memo.Memo[string, []byte]

	nets *memo.Memo[struct{}, estateNets]

	// What the overview shows of what is measured.
	estates      *memo.Memo[estateKey, []byte]
	estateSets   *memo.Memo[estateKey, charts.Set]
	estatePoints *memo.Memo[estateKey, charts.Points]
	heats        *memo.Memo[heatKey, []charts.HeatRow]
}

func newShellCache(d *db.DB, clock func() time.Time) *shellCache {
	return &shellCache{
		db:         d,
		frames:     memo.New[struct{}, frame](d.Feed().Last, clock, 1),
		trees:      memo.New[string, []layout.TreeVM](d.Feed().Last, clock, 200),
		tags:       memo.New[struct{}, []string](d.Feed().Last, clock, 1),
		folders:    memo.New[struct{}, []domain.Folder](d.Feed().Last, clock, 1),
		overview:   memo.New[struct{}, vms.Overview](d.Feed().Last, clock, 1),
		drawnTrees: memo.New[string, templ.Component](d.Feed().Last, clock, 40),
		drawnRows:  newDrawnRows(clock),
		vms:        memo.New[string, domain.VM](d.Feed().Last, clock, 500),
		jobs:       memo.New[string, domain.Job](d.Feed().Last, clock, 500),
		totals:     memo.New[string, int](d.Feed().Last, clock, 100),
		parts:      memo.New[string, []byte](d.Feed().Last, clock, 2000),
		nets:       memo.New[struct{}, estateNets](d.Feed().Last, clock, 1),

		estates:      memo.New[estateKey, []byte](d.Feed().Last, clock, 40),
		estateSets:   memo.New[estateKey, charts.Set](d.Feed().Last, clock, 40),
		estatePoints: memo.New[estateKey, charts.Points](d.Feed().Last, clock, 40),
		heats:        memo.New[heatKey, []charts.HeatRow](d.Feed().Last, clock, 10),
	}
}

// frame gives the shared part of the frame, as of at least the event need.
func (sc *shellCache) frame(ctx context.Context, need int64, fresh time.Duration) (frame, int64, error) {
	return sc.frames.Get(ctx, struct{}{}, need, fresh, sc.load)
}

func (sc *shellCache) load(ctx context.Context) (frame, error) {
	var f frame
	hosts, err := sc.db.Hosts(ctx)
	if err != nil {
		return f, err
	}
	seen, err := sc.db.SeenPerHost(ctx)
	if err != nil {
		return f, err
	}
	if !domain.SightOf(ctx).Full() { // who sees a part of the estate sees the hosts that carry it, by name
		hosts = slices.DeleteFunc(slices.Clone(hosts), func(h domain.Host) bool { return seen[h.ID] == 0 })
	}
	o, err := sc.db.Overview(ctx)
	if err != nil {
		return f, err
	}
	f.counts = layout.Counts{VMs: o.VMsTotal, Hosts: o.HostsTotal, ActiveTasks: o.ActiveJobs, StuckTasks: o.StuckJobs, HostsAway: o.Hosts[domain.HostAway]}
	if f.counts.Alerts, err = sc.db.FiringAlerts(ctx); err != nil {
		return f, err
	}
	if !domain.SightOf(ctx).Full() {
		f.counts.Hosts, f.counts.HostsAway = len(hosts), 0
		for _, h := range hosts {
			if h.State == domain.HostAway {
				f.counts.HostsAway++
			}
		}
	}
	f.hosts = make([]layout.TreeHost, len(hosts))
	for i := range hosts {
		f.hosts[i] = treeHost(hosts[i], seen[hosts[i].ID])
	}
	if domain.SightOf(ctx).Full() {
		pools, err := sc.db.StoragePools(ctx)
		if err != nil {
			return f, err
		}
		f.pools = len(pools)
	}
	slices.SortStableFunc(f.hosts, func(a, b layout.TreeHost) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	f.tasks, err = sc.tasks(ctx)
	return f, err
}

// tasks are the drawer's rows: unfinished ones first, then the newest.
func (sc *shellCache) tasks(ctx context.Context) ([]domain.Job, error) {
	active, err := sc.db.Jobs(ctx, db.JobQuery{Active: true, TopLevel: true, Limit: drawerTasks})
	if err != nil {
		return nil, err
	}
	newest, err := sc.db.Jobs(ctx, db.JobQuery{TopLevel: true, Limit: drawerTasks})
	if err != nil {
		return nil, err
	}
	out := active.Items
	for _, j := range newest.Items {
		if len(out) >= drawerTasks {
			break
		}
		if !slices.ContainsFunc(out, func(o domain.Job) bool { return o.ID == j.ID }) {
			out = append(out, j)
		}
	}
	return out, nil
}

func treeHost(h domain.Host, vms int) layout.TreeHost {
	return layout.TreeHost{ID: h.ID, Name: h.Name, State: h.State, Maintenance: h.Maintenance, VMCount: vms}
}

func treeVM(v domain.VM) layout.TreeVM { return layout.TreeVM{ID: v.ID, Name: v.Name, State: v.State} }

// treeVMs are the entries below a host, by name.
func (sc *shellCache) treeVMs(ctx context.Context, hostID string, need int64) ([]layout.TreeVM, error) {
	out, _, err := sc.trees.Get(ctx, hostID, need, shellFresh, func(ctx context.Context) ([]layout.TreeVM, error) {
		vms, err := sc.db.SeenHostVMs(ctx, hostID)
		if err != nil {
			return nil, err
		}
		out := make([]layout.TreeVM, len(vms))
		for i := range vms {
			out[i] = treeVM(vms[i])
		}
		slices.SortStableFunc(out, func(a, b layout.TreeVM) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
		return out, nil
	})
	return out, err
}

// page is what a handler says of its page; shellFor makes the frame around it.
type page struct {
	title   string
	section layout.Section
	crumbs  []layout.Crumb
	on      string // what the stream should bring beside the frame: see live.Stream
	host    string // the host to open in the tree
	select_ string // id of the VM or host that the page shows
	after   int64  // the feed's position before the page's own reads; 0: none were made
}

// shellFor makes the frame. The stream resumes after the older of the page's and the frame's position, so nothing falls between them.
func (s *server) shellFor(c echo.Context, p page) (layout.Shell, error) {
	ctx := c.Request().Context()
	sub := subject(c)
	f, read, err := s.shell.frame(ctx, s.DB.Feed().Last(), shellFresh)
	if err != nil {
		return layout.Shell{}, err
	}
	seq := read
	if p.after > 0 {
		seq = min(seq, p.after)
	}
	sh := s.bareShell(sub)
	sh.Title, sh.Section, sh.Crumbs = p.title, p.section, p.crumbs
	sh.Counts, sh.Tasks = f.counts, s.withProgress(f.tasks)
	sh.Tree, err = s.treeFor(ctx, f, p)
	if err == nil {
		sh.Tree.Pools, err = s.treePools(ctx, sub, f, p.section == layout.SectionStorage)
	}
	if err != nil {
		return sh, err
	}
	s.drawTree(ctx, &sh, read)
	sh.URL = c.Request().URL.RequestURI()
	if m := c.Request().Method; m != "GET" && m != "HEAD" {
		sh.URL = live.Home
		if from := safeNext(refererPath(c.Request())); from != "" {
			sh.URL = from
		}
	}
	sh.Live = live.With(live.Stream(p.on, strconv.FormatInt(seq, 10)), "at", sh.URL)
	sh.Flash = s.takeFlash(c)
	return sh, nil
}

// bareShell is the part of the frame that needs no reading: enough for the parts that the stream sends.
func (s *server) bareShell(sub auth.Subject) layout.Shell {
	return layout.Shell{
		User:    domain.User{ID: sub.UserID, Name: sub.Name, MustChange: sub.MustChange, Prefs: sub.Prefs},
		Look:    sub.Look(),
		Can:     func(p string) bool { return sub.Can(access.Permission(p)) },
		Version: s.Version,
		Now:     s.Clock(),
	}
}

func (s *server) treeFor(ctx context.Context, f frame, p page) (layout.Tree, error) {
	t := layout.Tree{Hosts: slices.Clone(f.hosts), Selected: p.select_}
	for i := range t.Hosts {
		h := &t.Hosts[i]
		only := len(t.Hosts) == 1
		if h.ID != p.host && !only || h.VMCount > treeOpenVMs {
			continue
		}
		vms, err := s.shell.treeVMs(ctx, h.ID, s.DB.Feed().Last())
		if err != nil {
			return t, err
		}
		h.Open, h.VMs = true, vms
	}
	return t, nil
}

// treePools is the branch of storage pools, for who may see them all; with open it has what is below it.
func (s *server) treePools(ctx context.Context, sub auth.Subject, f frame, open bool) (layout.TreePools, error) {
	if !sub.Everywhere(access.PoolRead) || f.pools == 0 {
		return layout.TreePools{}, nil
	}
	t := layout.TreePools{Count: f.pools, Open: open}
	if !open {
		return t, nil
	}
	all, err := s.DB.StoragePools(ctx)
	if err != nil {
		return t, err
	}
	t.Count = len(all)
	for _, p := range all[:min(len(all), treeOpenVMs)] {
		t.Items = append(t.Items, layout.TreePool{ID: p.ID, Name: p.Name, Where: poolWhere(p), Active: p.Active})
	}
	return t, nil
}

// poolWhere says in a word or two where a pool is.
func poolWhere(p db.PoolItem) string {
	if len(p.Hosts) == 1 {
		return p.Hosts[0].HostName
	}
	return strconv.Itoa(len(p.Hosts)) + " hosts"
}

// treePoolsPart answers with what is below the branch of storage pools.
func (s *server) treePoolsPart(c echo.Context) error {
	ctx := c.Request().Context()
	f, _, err := s.shell.frame(ctx, s.DB.Feed().Last(), shellFresh)
	if err != nil {
		return err
	}
	t, err := s.treePools(ctx, subject(c), f, true)
	if err != nil {
		return err
	}
	selected := ""
	if u, err := url.Parse(c.Request().Header.Get("HX-Current-URL")); err == nil {
		selected = idOfPage(u.Path)
	}
	return s.render(c, http.StatusOK, layout.TreePoolChildren(t, selected))
}

// withProgress puts the latest progress, which is not in the database, onto running jobs.
func (s *server) withProgress(in []domain.Job) []domain.Job {
	out := slices.Clone(in)
	for i := range out {
		s.progress(&out[i])
	}
	return out
}

func (s *server) progress(j *domain.Job) {
	if j.State.Ended() {
		return
	}
	if p, ok := s.Engine.Progress(j.ID); ok {
		j.Progress = p
	}
}
