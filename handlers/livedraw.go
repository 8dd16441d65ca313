package handlers

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
)

// rowsMost is how many rows are drawn one by one; a larger change reads the page's list again instead.
const rowsMost = 100

// affected is what a batch of events and moves touches.
type affected struct {
	vms, hosts, jobs map[string]bool
	lists            map[string]bool // hosts whose set of VMs changed
	names            map[string]string
	moves            map[string]domain.Progress
	evs              []domain.Event
	counts           bool
	storage          bool            // pools or volumes
	pools            bool            // pools, by name
	volumes          map[string]bool // those that events name
}

// draw makes the message for one page: only what that page shows, each part rendered once for all pages that show the same.
func (s *server) draw(ctx context.Context, v *viewer, evs []domain.Event, moves map[string]domain.Progress, need int64) ([]byte, error) {
	a, err := s.sort(ctx, evs, moves, need)
	if err != nil {
		return nil, err
	}
	d := &drawing{s: s, v: v, need: need, role: v.sub.Look()}
	d.frame(ctx, a)
	d.page(ctx, a)
	return d.out.Bytes(), d.err
}

// page draws what is the page's own.
func (d *drawing) page(ctx context.Context, a affected) {
	switch on := d.v.on; {
	case on == onHome || on == "vms":
		d.list(ctx, a)
	case on == "hosts":
		d.hostRows(ctx, a)
	case on == onStorage:
		d.pools(ctx, a)
	case on == onVolumes:
		d.volumes(ctx, a)
	case strings.HasPrefix(on, "pool_"):
		d.pool(ctx, a)
	case strings.HasPrefix(on, "vol_"):
		d.volume(ctx, a)
	case on == "tasks":
		d.taskRows(ctx, a)
	case on == "events":
		d.eventRows(ctx, a)
	case on == "images" || strings.HasPrefix(on, "img_"):
		d.library(ctx, a)
	case on == "templates" || strings.HasPrefix(on, "tmpl_"):
		d.templates(ctx, a)
	case on == live.OnNetworks, on == live.OnTopology, on == live.OnSecGroups, strings.HasPrefix(on, "net_"), strings.HasPrefix(on, "sg_"):
		d.networks(ctx, a)
	case on == live.OnAudit:
		d.audit(ctx, a)
	case on == live.OnCompliance:
		d.compliance(ctx, a)
	case on == live.OnDrift:
		d.drift(ctx, a)
	case on == live.OnAlerts, strings.HasPrefix(on, "alert_"):
		d.alerts(ctx, a)
	case strings.HasPrefix(on, "plan_"):
		d.plan(ctx, a)
	case strings.HasPrefix(on, "vm_"):
		d.vm(ctx, a)
	case strings.HasPrefix(on, "host_"):
		d.host(ctx, a)
	case strings.HasPrefix(on, "job_"):
		d.task(ctx, a)
	}
}

// sort finds what the events are about. A job is also news of the VM or host it works on: it may hold it now, or have let it go.
func (s *server) sort(ctx context.Context, evs []domain.Event, moves map[string]domain.Progress, need int64) (affected, error) {
	a := affected{vms: map[string]bool{}, hosts: map[string]bool{}, jobs: map[string]bool{}, lists: map[string]bool{}, names: map[string]string{}, moves: moves, evs: evs, volumes: map[string]bool{}}
	for _, ev := range evs {
		switch ev.Resource.Kind {
		case "vm":
			a.vms[ev.Resource.ID] = true
			a.names[ev.Resource.ID] = ev.Resource.Name
			if ev.Kind != "vm.changed" {
				a.lists[ev.HostID], a.counts = true, true
			}
		case "host":
			a.hosts[ev.Resource.ID], a.counts, a.storage = true, true, true
			a.pools = a.pools || ev.Kind == "host.removed"
		case "pool":
			a.storage, a.pools = true, true
		case "volume":
			a.storage, a.volumes[ev.Resource.ID] = true, true
		case "job":
			a.jobs[ev.Resource.ID], a.counts = true, true
		case "alert":
			a.counts = true
		}
		if ev.JobID != "" {
			a.jobs[ev.JobID], a.counts = true, true
		}
	}
	for id := range a.jobs {
		j, err := s.jobAsOf(ctx, id, need)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return a, err
		}
		for _, lock := range append(j.Locks, j.Resource.ID) {
			switch {
			case strings.HasPrefix(lock, "vm_"):
				a.vms[lock] = true
			case strings.HasPrefix(lock, "host_"):
				a.hosts[lock] = true
			}
		}
	}
	delete(a.lists, "")
	return a, nil
}

func (s *server) jobAsOf(ctx context.Context, id string, need int64) (domain.Job, error) {
	j, _, err := s.shell.jobs.Get(ctx, id, need, 0, func(ctx context.Context) (domain.Job, error) { return s.DB.Job(ctx, id) })
	return j, err
}

func (s *server) vmAsOf(ctx context.Context, id string, need int64) (domain.VM, error) {
	vm, _, err := s.shell.vms.Get(ctx, id, need, 0, func(ctx context.Context) (domain.VM, error) { return s.DB.VM(ctx, id) })
	return vm, err
}

// drawing collects the parts of one message; after an error it does nothing more.
type drawing struct {
	s    *server
	v    *viewer
	need int64
	role string
	out  bytes.Buffer
	err  error
}

func (d *drawing) ok() bool { return d.err == nil }

func (d *drawing) may(p access.Permission) bool { return d.ok() && d.v.sub.Can(p) }

// part adds a part that is the same for everybody with this key (and role), as of the message's position.
func (d *drawing) part(ctx context.Context, key string, make func(ctx context.Context) (templ.Component, error)) {
	if !d.ok() {
		return
	}
	b, _, err := d.s.shell.parts.Get(ctx, d.role+"\x00"+key, d.need, 0, func(ctx context.Context) ([]byte, error) {
		comp, err := make(ctx)
		if err != nil || comp == nil {
			return nil, err
		}
		var buf bytes.Buffer
		if err := comp.Render(ctx, &buf); err != nil {
			return nil, domain.Errorf(domain.Internal, "A part of a live page could not be made: %w", err)
		}
		return buf.Bytes(), nil
	})
	if err != nil {
		d.err = err
		return
	}
	d.out.Write(b)
}

// add adds a part that is this page's alone.
func (d *drawing) add(ctx context.Context, c templ.Component) {
	if d.ok() {
		d.err = c.Render(ctx, &d.out)
	}
}

// shell is the frame's model for a part: who watches, and which page it comes back to.
func (d *drawing) shell() layout.Shell {
	sh := d.s.bareShell(d.v.sub)
	sh.URL = d.v.at.RequestURI()
	return sh
}

// frame draws what every page has: counts, tree, drawer.
func (d *drawing) frame(ctx context.Context, a affected) {
	if a.counts {
		d.part(ctx, "counts", func(ctx context.Context) (templ.Component, error) {
			f, _, err := d.s.shell.frame(ctx, d.need, 0)
			sh := d.shell()
			sh.Counts = f.counts
			return layout.StreamCounts(sh), err
		})
	}
	if d.may(access.JobRead) {
		for _, id := range slices.Sorted(maps.Keys(a.jobs)) {
			d.drawerTask(ctx, id)
		}
		for _, id := range slices.Sorted(maps.Keys(a.moves)) {
			if !a.jobs[id] {
				d.add(ctx, layout.StreamProgress(id, a.moves[id]))
			}
		}
	}
	d.tree(ctx, a)
}

func (d *drawing) drawerTask(ctx context.Context, id string) {
	d.part(ctx, "drawer "+id, func(ctx context.Context) (templ.Component, error) {
		j, err := d.s.jobAsOf(ctx, id, d.need)
		if domain.Is(err, domain.NotFound) || err == nil && j.ParentID != "" {
			return nil, nil // children are on their parent's page
		}
		d.s.progress(&j)
		return layout.StreamTask(j), err
	})
}

func (d *drawing) tree(ctx context.Context, a affected) {
	if d.may(access.HostRead) {
		touched := maps.Clone(a.hosts)
		maps.Copy(touched, a.lists)
		for _, id := range slices.Sorted(maps.Keys(touched)) {
			d.treeHost(ctx, id)
		}
	}
	if a.pools && d.ok() {
		d.part(ctx, "tree pools", func(ctx context.Context) (templ.Component, error) {
			f, _, err := d.s.shell.frame(ctx, d.need, 0)
			if err != nil {
				return nil, err
			}
			t, err := d.s.treePools(ctx, d.v.sub, f, true)
			return layout.StreamTreePools(t), err
		})
	}
	if !d.may(access.VMRead) || len(a.vms) > rowsMost {
		return // a tree that is open is read again with the page
	}
	for _, id := range slices.Sorted(maps.Keys(a.vms)) {
		d.part(ctx, "tree "+id, func(ctx context.Context) (templ.Component, error) {
			vm, err := d.s.vmAsOf(ctx, id, d.need)
			if domain.Is(err, domain.NotFound) {
				return live.Remove(live.TreeNode(id)), nil
			}
			return layout.StreamTreeVM(treeVM(vm)), err
		})
	}
}

// treeHost draws a host's entry; when it went away or came back, its VMs' entries too, since they read "away" with it.
func (d *drawing) treeHost(ctx context.Context, id string) {
	d.part(ctx, "tree "+id, func(ctx context.Context) (templ.Component, error) {
		f, _, err := d.s.shell.frame(ctx, d.need, 0)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(f.hosts, func(h layout.TreeHost) bool { return h.ID == id })
		if i < 0 {
			return live.Remove(live.TreeBranch(id)), nil
		}
		h := f.hosts[i]
		if h.VMCount > treeOpenVMs {
			return layout.StreamTreeHost(h), nil
		}
		if h.VMs, err = d.s.shell.treeVMs(ctx, id, d.need); err != nil {
			return nil, err
		}
		return layout.StreamTreeBranch(h), nil
	})
}

// redraw sends everything that the page shows live, for a browser that was away for longer than the feed remembers.
func (s *server) redraw(ctx context.Context, v *viewer, need int64) ([]byte, error) {
	f, _, err := s.shell.frame(ctx, need, 0)
	if err != nil {
		return nil, err
	}
	a := affected{vms: map[string]bool{}, hosts: map[string]bool{}, jobs: map[string]bool{}, lists: map[string]bool{}, counts: true, storage: true, pools: true}
	for _, h := range f.hosts {
		a.hosts[h.ID], a.lists[h.ID] = true, true
	}
	for _, j := range f.tasks {
		a.jobs[j.ID] = true
	}
	switch {
	case v.on == live.OnAudit, v.on == live.OnCompliance, v.on == live.OnDrift:
		a.evs = []domain.Event{{Kind: "gap"}} // whatever there was
	case strings.HasPrefix(v.on, "vm_"):
		a.vms[v.on] = true
	case strings.HasPrefix(v.on, "job_"):
		a.jobs[v.on] = true
	}
	d := &drawing{s: s, v: v, need: need, role: v.sub.Look()}
	d.frame(ctx, a)
	d.page(ctx, a)
	return d.out.Bytes(), d.err
}

// tabOfPage is the tab that the page at path shows.
func tabOfPage(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) == 3 {
		return parts[2]
	}
	return ""
}
