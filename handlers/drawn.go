package handlers

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/vms"
)

// Rows and the tree are most of what a long list costs, and they are the same for everybody with the same rights and columns. So they are kept as
// they were drawn until what they show changes.

const (
	rowsKept = 5000             // about 1.5 KB each
	rowFresh = 20 * time.Second // rows say "5 minutes ago"; the script counts on from there
)

// rowLook is all that a row depends on beside its VM.
type rowLook struct{ id, look string }

// rowStamp is what a row shows of its VM; a changed definition shows in the version.
type rowStamp struct {
	name, host          string
	state, last         domain.VMState
	at, seen            int64
	version             int64
	busy, busyTitle     string
	creating            bool
	pending             int
	tags, addresses     string
	movedJob, movedText string
	movedPercent        float64
}

type drawnRow struct {
	stamp rowStamp
	at    time.Time
	html  templ.Component
}

type drawnRows struct {
	clock func() time.Time
	mu    sync.Mutex
	m     map[rowLook]drawnRow
	menus map[string]templ.Component // by rights
}

func newDrawnRows(clock func() time.Time) *drawnRows {
	return &drawnRows{clock: clock, m: map[rowLook]drawnRow{}, menus: map[string]templ.Component{}}
}

func stampOf(vm domain.VM, moved vms.Moved) rowStamp {
	st := rowStamp{
		name: vm.Name, host: vm.HostName, state: vm.State, last: vm.LastState, at: vm.StateAt.UnixMilli(), version: vm.Version,
		busy: vm.BusyJob, busyTitle: vm.BusyTitle, creating: vm.Creating, pending: len(vm.Pending), tags: strings.Join(vm.Tags, ","), addresses: addressText(vm),
		movedJob: moved.JobID, movedText: moved.Text, movedPercent: moved.Percent,
	}
	if vm.State == domain.VMAway {
		st.seen = vm.SeenAt.UnixMilli()
	}
	return st
}

func addressText(vm domain.VM) string {
	var b strings.Builder
	for _, a := range vm.Addresses {
		b.WriteString(a.IP + " ")
	}
	return b.String()
}

// into gives a list what is drawn of it already.
func (r *drawnRows) into(ctx context.Context, s layout.Shell, m *vms.List) {
	m.Drawn, m.Menu = r.draw(ctx, s, *m), r.menu(ctx, s)
}

func (r *drawnRows) menu(ctx context.Context, s layout.Shell) templ.Component {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.menus[s.Look]; c != nil {
		return c
	}
	var buf bytes.Buffer
	if err := vms.RowMenu(s).Render(ctx, &buf); err != nil {
		return nil // the page draws it itself and reports what is wrong
	}
	c := templ.Raw(buf.String())
	if len(r.menus) > 200 {
		clear(r.menus)
	}
	r.menus[s.Look] = c
	return c
}

// draw gives the drawing of a row for this person's list: as kept, or made now and kept.
func (r *drawnRows) draw(ctx context.Context, s layout.Shell, m vms.List) func(domain.VM) templ.Component {
	look := s.Look + " " + strconv.FormatBool(m.Dense) + strconv.FormatBool(m.Host != nil) + strings.Join(m.Columns, ",")
	return func(vm domain.VM) templ.Component {
		key, stamp, now := rowLook{vm.ID, look}, stampOf(vm, m.Moving[vm.ID]), r.clock()
		r.mu.Lock()
		d, ok := r.m[key]
		r.mu.Unlock()
		if ok && d.stamp == stamp && now.Sub(d.at) < rowFresh {
			return d.html
		}
		var buf bytes.Buffer
		if err := vms.Row(s, m, vm).Render(ctx, &buf); err != nil {
			return nil // the page draws it itself and reports what is wrong
		}
		d = drawnRow{stamp, now, templ.Raw(buf.String())}
		r.mu.Lock()
		if len(r.m) >= rowsKept {
			clear(r.m)
		}
		r.m[key] = d
		r.mu.Unlock()
		return d.html
	}
}

// drawTree keeps the tree of a page as it was drawn at this position of the feed. It is alike for all pages that have the same entry selected.
func (s *server) drawTree(ctx context.Context, sh *layout.Shell, seq int64) {
	key := sh.Look + " " + strconv.FormatInt(seq, 10) + " " + sh.Tree.Selected
	for _, h := range sh.Tree.Hosts {
		if h.Open {
			key += " " + h.ID
		}
	}
	if sh.Tree.Pools.Open {
		key += " pools"
	}
	sh.Tree.Drawn = func(draw templ.Component) templ.Component {
		html, _, err := s.shell.drawnTrees.Get(ctx, key, 0, 0, func(ctx context.Context) (templ.Component, error) {
			var buf bytes.Buffer
			err := draw.Render(ctx, &buf)
			return templ.Raw(buf.String()), err
		})
		if err != nil {
			return draw // it fails again in the page, which reports it
		}
		return html
	}
}
