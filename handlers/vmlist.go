package handlers

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/reconcile"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

// vmsPerPage is how many rows a list shows before "more": enough that most estates are one page.
const vmsPerPage = 100

func (s *server) vmList(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	list, status, err := s.listFor(c.Request().Context(), subject(c), c.Request().URL, nil)
	if err != nil {
		return 0, nil, err
	}
	sh, err := s.shellFor(c, page{title: "Virtual machines", section: layout.SectionVMs, on: "vms", after: after})
	if err != nil {
		return 0, nil, err
	}
	sh.Live = withTotal(sh.Live, list.Total)
	s.shell.drawnRows.into(c.Request().Context(), sh, &list)
	return status, vms.ListPage(sh, list), nil
}

// withTotal tells the stream how many VMs matched when the page was made, so that it can say how many more there are.
func withTotal(stream string, total int) string {
	return live.With(stream, "total", strconv.Itoa(total))
}

// listFor reads the list that the page at u shows; host limits it to one host. A wrong filter is shown with the list empty.
func (s *server) listFor(ctx context.Context, sub auth.Subject, u *url.URL, host *domain.Host) (vms.List, int, error) {
	q := listQuery(u)
	list := listModel(sub, u, host)
	if host != nil {
		q.Host = host.ID
	}
	f, _, err := s.shell.frame(ctx, s.DB.Feed().Last(), shellFresh)
	if err != nil {
		return list, 0, err
	}
	list.All, list.Hosts = f.counts.VMs, f.counts.Hosts
	for _, h := range f.hosts {
		list.HostNames = append(list.HostNames, h.Name)
		if host != nil && h.ID == host.ID {
			list.All = h.VMCount
		}
	}
	if list.Tags, err = s.shell.tagNames(ctx); err != nil {
		return list, 0, err
	}
	if list.Folders, err = s.shell.folderTree(ctx); err != nil {
		return list, 0, err
	}
	page, err := s.DB.VMs(ctx, q)
	if e := problem(err); err != nil && e.Code == domain.Invalid {
		list.FilterError = e.Msg
		if len(e.Fields) > 0 && e.Fields[0].Want != "" {
			list.FilterError += " Right would be " + e.Fields[0].Want + "."
		}
		return list, http.StatusUnprocessableEntity, nil
	}
	if err != nil {
		return list, 0, err
	}
	list.Items, list.Total, list.Next = page.Items, page.Total, page.Next
	if page.Total == 0 && q.Filter == "" {
		_, err := s.demoOffer(ctx)
		list.Demo = err == nil
		if err != nil && !domain.Is(err, domain.Conflict) {
			return list, 0, err
		}
	}
	list.Moving = s.moving(page.Items)
	return list, http.StatusOK, nil
}

// listQuery reads a list's query; columns that the database does not sort by fall back to the name.
func listQuery(u *url.URL) db.VMQuery {
	v := u.Query()
	q := db.VMQuery{Filter: v.Get("filter"), Sort: v.Get("sort"), Desc: truth(v.Get("desc")), After: v.Get("after"), Limit: vmsPerPage}
	if !slices.Contains([]string{"name", "state", "host", "vcpus", "memory", "created"}, q.Sort) {
		q.Sort = "name"
	}
	return q
}

// listModel is the part of the list that needs no reading; the stream renders rows with it.
func listModel(sub auth.Subject, u *url.URL, host *domain.Host) vms.List {
	q := listQuery(u)
	return vms.List{
		Filter: q.Filter, Sort: q.Sort, Desc: q.Desc, After: q.After, Host: host, Base: u.Path,
		Columns: columns(sub.Prefs), Dense: sub.Prefs.Density != "comfortable",
	}
}

func columns(p domain.Prefs) []string {
	cols := p.Columns[vms.Table]
	if len(cols) == 0 {
		return nil
	}
	return cols
}

// moving says of busy VMs what their job does now.
func (s *server) moving(items []domain.VM) map[string]vms.Moved {
	var out map[string]vms.Moved
	for i := range items {
		v := &items[i]
		if v.BusyJob == "" {
			continue
		}
		m := vms.Moved{JobID: v.BusyJob, Text: v.BusyTitle}
		if p, ok := s.Engine.Progress(v.BusyJob); ok {
			m.Percent = p.Percent
			if p.Text != "" {
				m.Text = p.Text
			}
		}
		if out == nil {
			out = map[string]vms.Moved{}
		}
		out[v.ID] = m
	}
	return out
}

// tagNames are the known tags, for completion; a second's age does not matter there.
func (sc *shellCache) tagNames(ctx context.Context) ([]string, error) {
	tags, _, err := sc.tags.Get(ctx, struct{}{}, sc.db.Feed().Last(), 5*time.Second, func(ctx context.Context) ([]string, error) {
		m, err := sc.db.Tags(ctx)
		return slices.Sorted(maps.Keys(m)), err
	})
	return tags, err
}

// folderTree is the tree of folders with how many VMs are in them; a few seconds' age does not matter there.
func (sc *shellCache) folderTree(ctx context.Context) ([]domain.Folder, error) {
	all, _, err := sc.folders.Get(ctx, struct{}{}, sc.db.Feed().Last(), 5*time.Second, sc.db.Folders)
	return all, err
}

func truth(s string) bool { return s == "1" || s == "true" || s == "on" }

// overview is the home page.
func (s *server) overview(c echo.Context) (int, templ.Component, error) {
	ctx := c.Request().Context()
	after := s.DB.Feed().Last()
	m, err := s.overviewModel(ctx, after, shellFresh)
	if err != nil {
		return 0, nil, err
	}
	var status int
	if m.List, status, err = s.listFor(ctx, subject(c), c.Request().URL, nil); err != nil {
		return 0, nil, err
	}
	sh, err := s.shellFor(c, page{title: "Overview", section: layout.SectionHome, on: onHome, after: after})
	if err != nil {
		return 0, nil, err
	}
	sh.Live = withTotal(sh.Live, m.List.Total)
	s.shell.drawnRows.into(ctx, sh, &m.List)
	if s.Series != nil {
		drawn, err := s.estate(ctx, subject(c), c.Request().URL)
		if err != nil {
			return 0, nil, err
		}
		m.Estate = templ.Raw(string(drawn))
		if m.Charts, err = s.estateSet(ctx, subject(c), c.Request().URL); err != nil {
			return 0, nil, err
		}
	}
	return status, vms.OverviewPage(sh, m), nil
}

// overviewModel is the health strip and what needs attention, without the list; shared by everybody.
func (s *server) overviewModel(ctx context.Context, need int64, fresh time.Duration) (vms.Overview, error) {
	m, _, err := s.shell.overview.Get(ctx, struct{}{}, need, fresh, func(ctx context.Context) (vms.Overview, error) {
		o, err := s.DB.Overview(ctx)
		if err != nil {
			return vms.Overview{}, err
		}
		pools, err := s.DB.Pools(ctx, "")
		if err != nil {
			return vms.Overview{}, err
		}
		m := vms.Overview{
			VMs: o.VMs, Hosts: o.Hosts, Maint: o.Maintenance, VCPUs: o.VCPUsRunning, CPUs: o.CPUs,
			Memory: o.MemoryRunning, MemoryAll: o.MemoryBytes, Free: o.StorageFree, Capacity: o.StorageTotal,
		}
		for _, p := range pools {
			if p.Active {
				m.Pools++
			}
		}
		hosts, err := s.DB.Hosts(ctx)
		if err != nil {
			return m, err
		}
		stuck, err := s.DB.Jobs(ctx, db.JobQuery{State: domain.JobStuck, Limit: 5})
		if err != nil {
			return m, err
		}
		limit, err := reconcile.LimitOfChains(ctx, s.DB)
		if err != nil {
			return m, err
		}
		long, err := s.DB.LongChains(ctx, limit, 5)
		if err != nil {
			return m, err
		}
		m.Attention = attention(o, hosts, stuck, pools, long)
		if s.Series != nil && !s.Series.FullSince().IsZero() {
			m.Attention = append([]vms.Attention{{Tone: string(layout.ToneError), Text: "Nothing is kept of what is measured: the disk is full.", Detail: "Alerts do not see what happens either. Make room; measuring goes on by itself.",
				URL: live.MetricList, Link: "Show what is kept"}}, m.Attention...)
		}
		return m, nil
	})
	return m, err
}

// poolTight is how full a pool is when it is said so.
const poolTight = 0.9

// attention lists what needs a person, worst first, and never more than can be read at a glance.
func attention(o db.Overview, hosts []domain.Host, stuck db.JobPage, pools []domain.Pool, long []domain.LongChain) []vms.Attention {
	var out []vms.Attention
	for _, j := range stuck.Items {
		out = append(out, vms.Attention{Tone: string(layout.ToneError), Text: j.Title + " is stuck.", Detail: j.Help, URL: live.Task(j.ID), Link: "Open the task"})
	}
	names := map[string]string{}
	for _, h := range hosts {
		names[h.ID] = h.Name
		if h.State == domain.HostAway {
			out = append(out, vms.Attention{Tone: string(layout.ToneError), Text: h.Name + " is away. " + h.StateReason, Detail: h.StateFix, URL: live.Host(h.ID), Link: "Open the host"})
		}
	}
	if n := o.VMs[domain.VMCrashed]; n > 0 {
		text := "1 VM has crashed."
		if n > 1 {
			text = fmt.Sprintf("%d VMs have crashed.", n)
		}
		out = append(out, vms.Attention{Tone: string(layout.ToneWarning), Text: text, Detail: "Start them again or look at their consoles and events.", URL: live.VMsWhere("state:crashed"), Link: "Show them"})
	}
	for _, p := range pools {
		if p.Active && p.CapacityBytes > 0 && float64(p.AvailableBytes) < (1-poolTight)*float64(p.CapacityBytes) {
			out = append(out, vms.Attention{
				Tone: string(layout.ToneWarning), Text: fmt.Sprintf("Pool %s on %s has %s left of %s.", p.Name, names[p.HostID], domain.FormatBytes(p.AvailableBytes), domain.FormatBytes(p.CapacityBytes)),
				Detail: "Disks that grow will stop their VMs when it is full.", URL: live.HostTab(p.HostID, "storage"), Link: "Open the storage",
			})
		}
	}
	for _, c := range long {
		out = append(out, vms.Attention{Tone: string(layout.ToneWarning), Text: fmt.Sprintf("A disk of %s is a chain of %d files.", c.Name, c.Depth),
			Detail: "Each makes it slower. Delete snapshots that nobody needs: they are merged.", URL: live.VMTab(c.VMID, live.SnapshotsTab), Link: "Open its snapshots"})
	}
	const most = 8
	if len(out) > most {
		out = out[:most]
	}
	return out
}

// treeHost is the part of the tree below one host, fetched when it is opened.
func (s *server) treeHost(c echo.Context) error {
	ctx := c.Request().Context()
	h, err := s.DB.Host(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	list, err := s.shell.treeVMs(ctx, h.ID, s.DB.Feed().Last())
	if err != nil {
		return err
	}
	t := treeHost(h, len(list))
	t.Open, t.VMs = true, list
	selected := ""
	if u, err := url.Parse(c.Request().Header.Get("HX-Current-URL")); err == nil {
		selected = idOfPage(u.Path)
	}
	return s.render(c, http.StatusOK, layout.TreeChildren(t, selected))
}
