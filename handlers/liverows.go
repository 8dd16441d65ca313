package handlers

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/views/events"
	"novacron/views/hosts"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/tasks"
	"novacron/views/vms"
)

// list draws a list of VMs: rows that changed, the word that there are more, and on the overview its strip.
func (d *drawing) list(ctx context.Context, a affected) {
	if !d.may(access.VMRead) {
		return
	}
	if d.v.on == onHome && (len(a.vms) > 0 || len(a.hosts) > 0 || a.counts) {
		d.part(ctx, "overview", func(ctx context.Context) (templ.Component, error) {
			m, err := d.s.overviewModel(ctx, d.need, 0)
			return vms.StreamOverview(d.shell(), m), err
		})
	}
	m := listModel(d.v.sub, d.v.at, nil)
	d.vmRows(ctx, a, m, db.VMQuery{})
}

// vmRows draws the rows of the VMs that changed. Rows that are not on the page are ignored by the browser, so no filter is needed; it is when a lot
// changed, or a host came or went with all its VMs, that the page's own rows are read again.
func (d *drawing) vmRows(ctx context.Context, a affected, m vms.List, scope db.VMQuery) {
	touched, moved := maps.Clone(a.vms), map[string]bool{}
	for id := range a.moves {
		if j, err := d.s.jobAsOf(ctx, id, 0); err == nil && strings.HasPrefix(j.Resource.ID, "vm_") {
			touched[j.Resource.ID], moved[j.Resource.ID] = true, true
		}
	}
	if len(touched) > rowsMost || len(a.hosts) > 0 {
		q := listQuery(d.v.at)
		q.Host = scope.Host
		page, err := d.s.DB.VMs(ctx, q)
		if err != nil && !domain.Is(err, domain.Invalid) {
			d.err = err
			return
		}
		for _, vm := range page.Items {
			if len(touched) > rowsMost || a.hosts[vm.HostID] {
				touched[vm.ID] = true
			}
		}
		if len(touched) > rowsMost {
			clear(touched)
			for _, vm := range page.Items {
				touched[vm.ID] = true
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		d.vmRow(ctx, id, a.names[id], m, moved[id])
	}
	if (len(a.lists) > 0 || m.Filter != "" && len(touched) > 0) && d.v.total >= 0 {
		d.news(ctx, m, scope.Host)
	}
}

// vmRow draws one row. Progress is not in the feed, so a row that only moved is not shared by position.
func (d *drawing) vmRow(ctx context.Context, id, name string, m vms.List, moved bool) {
	row := func(ctx context.Context) (templ.Component, error) {
		vm, err := d.s.vmAsOf(ctx, id, d.need)
		if domain.Is(err, domain.NotFound) {
			return vms.StreamGone(d.shell(), m, domain.VM{ID: id, Name: name}), nil
		}
		if err != nil {
			return nil, err
		}
		m := m
		m.Moving = d.s.moving([]domain.VM{vm})
		if m.Filter != "" {
			matches, err := d.s.DB.VMMatches(ctx, listQuery(d.v.at), id)
			if err != nil && !domain.Is(err, domain.Invalid) {
				return nil, err
			}
			if !matches {
				return vms.StreamLeft(d.shell(), m, vm), nil
			}
		}
		return vms.StreamRow(d.shell(), m, vm), nil
	}
	if moved {
		comp, err := row(ctx)
		if d.err = err; err == nil {
			d.add(ctx, comp)
		}
		return
	}
	key := "row " + id + " " + d.v.at.RequestURI() + " " + strings.Join(m.Columns, ",")
	if m.Dense {
		key += " dense"
	}
	d.part(ctx, key, row)
}

// news says how many VMs match by now beyond those that did when the page was made, and the new count.
func (d *drawing) news(ctx context.Context, m vms.List, host string) {
	if !d.ok() {
		return
	}
	total, _, err := d.s.shell.totals.Get(ctx, host+"\x00"+m.Filter, d.need, 0, func(ctx context.Context) (int, error) {
		p, err := d.s.DB.VMs(ctx, db.VMQuery{Filter: m.Filter, Host: host, Limit: 1})
		if domain.Is(err, domain.Invalid) {
			return 0, nil
		}
		return p.Total, err
	})
	if err != nil {
		d.err = err
		return
	}
	f, _, err := d.s.shell.frame(ctx, d.need, 0)
	if err != nil {
		d.err = err
		return
	}
	m.Total, m.All = total, f.counts.VMs
	for _, h := range f.hosts {
		if h.ID == host {
			m.All = h.VMCount
		}
	}
	d.add(ctx, vms.StreamNews(m, max(0, total-d.v.total)))
}

func (d *drawing) hostRows(ctx context.Context, a affected) {
	if !d.may(access.HostRead) {
		return
	}
	touched := maps.Clone(a.hosts)
	maps.Copy(touched, a.lists)
	for _, ev := range a.evs { // how many run there is in the row too
		if ev.HostID != "" {
			touched[ev.HostID] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		d.part(ctx, "host "+id+" "+d.v.at.RequestURI(), func(ctx context.Context) (templ.Component, error) {
			row, err := d.s.hostRowOf(ctx, id)
			if domain.Is(err, domain.NotFound) {
				return live.Remove(live.HostRow(id)), nil
			}
			return hosts.StreamRow(d.shell(), row), err
		})
	}
}

func (d *drawing) taskRows(ctx context.Context, a affected) {
	if !d.may(access.JobRead) {
		return
	}
	touched := maps.Clone(a.jobs)
	for id := range a.moves {
		touched[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		d.taskRow(ctx, id)
	}
}

func (d *drawing) taskRow(ctx context.Context, id string) {
	if !d.ok() {
		return
	}
	j, err := d.s.jobAsOf(ctx, id, d.need)
	if domain.Is(err, domain.NotFound) || err == nil && j.ParentID != "" {
		return
	}
	if err != nil {
		d.err = err
		return
	}
	d.s.progress(&j)
	d.add(ctx, tasks.StreamRow(d.shell(), j))
}

func (d *drawing) eventRows(ctx context.Context, a affected) {
	if !d.may(access.EventRead) {
		return
	}
	q := d.v.at.Query()
	if q.Get("before") != "" {
		return // an older page of the feed does not change
	}
	words := strings.Fields(strings.ToLower(q.Get("q")))
	evs := a.evs
	if len(evs) > rowsMost {
		evs = evs[len(evs)-rowsMost:]
	}
	for _, ev := range evs {
		if wantsEvent(ev, q.Get("kind"), words) {
			d.add(ctx, events.StreamNew(d.shell(), events.List{Kind: q.Get("kind")}, ev))
		}
	}
}

// vm draws a VM's page. It may also be gone: then the page says so and stays, so that nothing vanishes under the mouse.
func (d *drawing) vm(ctx context.Context, a affected) {
	if !d.may(access.VMRead) {
		return
	}
	id, tab, kind := d.v.on, tabOfPage(d.v.at.Path), d.v.at.Query().Get("kind")
	concerns := a.vms[id]
	if !concerns && len(a.hosts)+len(a.moves) > 0 {
		vm, err := d.s.vmAsOf(ctx, id, 0)
		concerns = err == nil && (a.hosts[vm.HostID] || a.moves[vm.BusyJob] != domain.Progress{})
	}
	if !concerns {
		return
	}
	m, err := d.s.vmModel(ctx, d.v.sub, id, tab, kind)
	switch {
	case domain.Is(err, domain.NotFound):
		d.add(ctx, layout.ToastPartial(layout.Toast{Tone: layout.ToneWarning, Text: "This VM is no more.", URL: live.VMs, Link: "All virtual machines"}))
	case err != nil:
		d.err = err
	default:
		d.add(ctx, vms.StreamPage(d.shell(), m))
	}
}

func (d *drawing) host(ctx context.Context, a affected) {
	if !d.may(access.HostRead) {
		return
	}
	id, tab := d.v.on, tabOfPage(d.v.at.Path)
	concerns := a.hosts[id] || a.lists[id]
	for _, ev := range a.evs {
		concerns = concerns || ev.HostID == id
	}
	if !concerns && len(a.jobs) == 0 && len(a.moves) == 0 {
		return
	}
	if concerns {
		m, err := d.s.hostModel(ctx, d.v.sub, id, tab)
		switch {
		case domain.Is(err, domain.NotFound):
			d.add(ctx, layout.ToastPartial(layout.Toast{Tone: layout.ToneWarning, Text: "This host was removed.", URL: live.Hosts, Link: "All hosts"}))
			return
		case err != nil:
			d.err = err
			return
		}
		d.add(ctx, hosts.StreamPage(d.shell(), m))
	}
	if tab == "vms" && d.may(access.VMRead) {
		m := listModel(d.v.sub, d.v.at, &domain.Host{ID: id})
		d.vmRows(ctx, a, m, db.VMQuery{Host: id})
	}
}

func (d *drawing) task(ctx context.Context, a affected) {
	id := d.v.on
	if !d.may(access.JobRead) {
		return
	}
	_, moved := a.moves[id]
	concerns := a.jobs[id] || moved
	for other := range a.jobs {
		if !concerns {
			j, err := d.s.jobAsOf(ctx, other, 0)
			concerns = err == nil && j.ParentID == id
		}
	}
	if !concerns {
		return
	}
	m, err := d.s.taskModel(ctx, id)
	if err != nil {
		if !domain.Is(err, domain.NotFound) {
			d.err = err
		}
		return
	}
	d.add(ctx, tasks.StreamPage(d.shell(), m))
}
