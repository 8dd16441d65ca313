package handlers

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/reconcile"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

const (
	recentJobs   = 5
	recentEvents = 8
	tabJobs      = 50
	tabEvents    = 100
)

var vmTabs = []string{"summary", "hardware", live.GuestTab, live.MonitorTab, "snapshots", "console", "tasks", "events", "definition"}

func (s *server) vmPage(c echo.Context) error {
	kept, ok := s.takeDraft(c)
	return s.showVM(c, http.StatusOK, c.Param("tab"), func(m *vms.Page) {
		switch {
		case !ok && m.Tab == "hardware" && c.QueryParam("cpu") != "":
			m.Edit = vms.OfferCPU(c.QueryParam("cpu"))
		case !ok:
		case m.Tab == "hardware":
			m.Edit = vms.DecodeChange(kept)
			m.Edit.Err = errNotSaved()
		case m.Tab == "summary":
			m.DescribeErr, m.Tags, m.Notes = errNotSaved(), kept.Get("tags"), kept.Get("notes")
		}
	})
}

// showVM renders a VM's page on a tab; touch adds what a refused form has to say.
func (s *server) showVM(c echo.Context, status int, tab string, touch func(*vms.Page)) error {
	after := s.DB.Feed().Last()
	m, err := s.vmModel(c.Request().Context(), subject(c), c.Param("id"), tab, c.QueryParam("kind"))
	if err != nil {
		return err
	}
	touch(&m)
	if m.Tab == live.MonitorTab {
		if m.Monitor, err = s.chartSet(c.Request().Context(), c.Request().URL, domain.VMCharts(m.VM.ID)); err != nil {
			return err
		}
		if m.Monitor.Marks, err = s.marksOf(c.Request().Context(), db.EventQuery{Resource: m.VM.ID}, m.Monitor.Span); err != nil {
			return err
		}
	}
	sh, err := s.shellFor(c, page{
		title: m.VM.Name, section: layout.SectionVMs, on: m.VM.ID, host: m.VM.HostID, select_: m.VM.ID, after: after,
		crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}, {Label: m.Host.Name, URL: live.Host(m.Host.ID)}},
	})
	if err != nil {
		return err
	}
	return s.render(c, status, vms.ShowPage(sh, m))
}

// vmModel reads what one tab of a VM's page shows. The page and the stream both use it.
func (s *server) vmModel(ctx context.Context, sub auth.Subject, id, tab, kind string) (vms.Page, error) {
	if tab == "" {
		tab = "summary"
	}
	m := vms.Page{Tab: tab}
	if !slices.Contains(vmTabs, tab) {
		return m, echo.ErrNotFound
	}
	if tab == "console" && !sub.Can(access.VMConsole) {
		return m, sub.Require(access.VMConsole)
	}
	var err error
	if m.VM, err = s.DB.VM(ctx, id); err != nil {
		return m, err
	}
	if m.Host, err = s.DB.Host(ctx, m.VM.HostID); err != nil {
		return m, err
	}
	if m.VM.BusyJob != "" {
		j, err := s.DB.Job(ctx, m.VM.BusyJob)
		if err != nil && !domain.Is(err, domain.NotFound) {
			return m, err
		}
		if err == nil {
			s.progress(&j)
			m.Job = &j
		}
	}
	m.Console = consoleInfo(m.VM, m.Host, kind)
	watching := m.VM.State == domain.VMRunning || m.VM.State == domain.VMPaused
	m.Screenshot = watching && m.Console.Graphics && sub.Can(access.VMConsole)
	switch tab {
	case "summary":
		if m.Disks, err = s.diskInfo(ctx, m.VM); err != nil {
			return m, err
		}
		if m.Recent, err = s.jobsOf(ctx, id, recentJobs); err != nil {
			return m, err
		}
		if m.Folders, err = s.foldersOf(ctx, m.VM.Tenant); err != nil {
			return m, err
		}
		if m.Affinity, err = s.Fleet.AffinityOf(ctx, m.VM); err != nil {
			return m, err
		}
		if m.Origin, err = s.originOf(ctx, id); err != nil {
			return m, err
		}
		if m.Snapshots.Depth, err = s.DB.ChainDepth(ctx, id); err != nil {
			return m, err
		}
		if m.Snapshots.Limit, err = reconcile.LimitOfChains(ctx, s.DB); err != nil {
			return m, err
		}
		m.Events, err = s.DB.Events(ctx, db.EventQuery{Resource: id, Newest: true, Limit: recentEvents})
	case "hardware":
		if m.Disks, err = s.diskInfo(ctx, m.VM); err != nil {
			return m, err
		}
		m.Edit.Version = m.VM.Version
		if sub.Everywhere(access.HostRead) && sub.Sight().Full() { // it names who else has what
			if m.Devices, err = s.deviceInfo(ctx, m.VM.HostID); err != nil {
				return m, err
			}
		}
		if m.Cards, err = s.cardsOf(ctx); err != nil {
			return m, err
		}
		if m.Choices, err = s.choices(ctx, m.VM.HostID); err != nil {
			return m, err
		}
		m.Choices.Common, err = s.commonCPUs(ctx, sub)
	case live.SnapshotsTab:
		m.Snapshots, err = s.snapshotsOf(ctx, m.VM)
	case live.GuestTab:
		m.Guest, err = s.guestOf(ctx, sub, m.VM)
	case "tasks":
		m.Jobs, err = s.jobsOf(ctx, id, tabJobs)
	case "events":
		m.Events, err = s.DB.Events(ctx, db.EventQuery{Resource: id, Newest: true, Limit: tabEvents})
	}
	return m, err
}

func (s *server) jobsOf(ctx context.Context, resource string, limit int) ([]domain.Job, error) {
	p, err := s.DB.Jobs(ctx, db.JobQuery{Resource: resource, Limit: limit})
	if err != nil {
		return nil, err
	}
	return s.withProgress(p.Items), nil
}

// consoleInfo says which consoles a VM has; what runs decides, since a change may be pending.
func consoleInfo(v domain.VM, h domain.Host, kind string) vms.ConsoleInfo {
	spec := v.Config
	if v.Live != nil {
		spec = *v.Live
	}
	info := vms.ConsoleInfo{Kind: kind, Graphics: spec.Graphics == "vnc", Serial: spec.Serial, Via: h.Facts.Console}
	if kind != "vnc" && kind != "serial" {
		info.Kind = "vnc"
		if !info.Graphics && info.Serial {
			info.Kind = "serial"
		}
	}
	return info
}

// diskInfo joins the VM's disks with the volumes behind them.
func (s *server) diskInfo(ctx context.Context, v domain.VM) ([]vms.DiskInfo, error) {
	vols, err := s.DB.Volumes(ctx, v.HostID, "")
	if err != nil {
		return nil, err
	}
	spec := v.Config
	if v.Live != nil && v.State == domain.VMRunning {
		spec = *v.Live
	}
	out := make([]vms.DiskInfo, len(spec.Disks))
	for i, d := range spec.Disks {
		out[i].Disk = d
		for k := range vols {
			if d.Source != "" && vols[k].Path == d.Source || d.Pool != "" && vols[k].Pool == d.Pool && (vols[k].Name == d.Volume || vols[k].Name == d.Source) {
				out[i].Volume = &vols[k]
				break
			}
		}
	}
	return out, nil
}

// choices is what a host, or with "" or "any" every connected host together, offers to a form.
func (s *server) choices(ctx context.Context, hostID string) (vms.Choices, error) {
	return s.choicesOf(ctx, hostID, func(string, string) bool { return true })
}

// choicesForNew are the choices for a new VM: hosts and pools that who asks may use for one.
func (s *server) choicesForNew(ctx context.Context, hostID string) (vms.Choices, error) {
	usable, err := s.Fleet.Usable(ctx, access.VMCreate)
	if err != nil {
		return vms.Choices{}, err
	}
	return s.choicesOf(ctx, hostID, usable)
}

func (s *server) choicesOf(ctx context.Context, hostID string, usable func(id, like string) bool) (vms.Choices, error) {
	var ch vms.Choices
	hosts, err := s.DB.Hosts(ctx)
	if err != nil {
		return ch, err
	}
	loads, err := s.DB.HostLoads(ctx)
	if err != nil {
		return ch, err
	}
	some := map[string]bool{}
	for _, h := range hosts {
		if !usable(h.ID, "host_") {
			continue
		}
		ch.Hosts = append(ch.Hosts, hostChoice(h, loads[h.ID]))
		if hostID == h.ID || (hostID == "" || hostID == "any") && h.State == domain.HostConnected {
			some[h.ID] = true
			addFacts(&ch, h.Facts, len(some) == 1)
			ch.Guests = append(ch.Guests, s.demoGuests(h)...)
		}
	}
	slices.SortFunc(ch.Hosts, func(a, b vms.HostChoice) int { return strings.Compare(a.Name, b.Name) })
	scope := hostID
	if hostID == "any" {
		scope = ""
	}
	pools, err := s.DB.Pools(ctx, scope)
	if err != nil {
		return ch, err
	}
	nets, err := s.DB.Networks(ctx, scope)
	if err != nil {
		return ch, err
	}
	if nets, err = s.netsInSight(ctx, nets); err != nil {
		return ch, err
	}
	vols, err := s.DB.VolumesInSight(ctx, scope, "")
	if err != nil {
		return ch, err
	}
	// With "any" host the same pool or network stands once: placement finds a host that has it.
	for _, p := range pools {
		if some[p.HostID] && p.Active && usable(p.ID, "pool_") && !slices.ContainsFunc(ch.Pools, func(o domain.Pool) bool { return o.Name == p.Name }) {
			ch.Pools = append(ch.Pools, p)
		}
	}
	for _, n := range nets {
		if some[n.HostID] && n.Active && !slices.ContainsFunc(ch.Networks, func(o domain.Network) bool { return o.Name == n.Name }) {
			ch.Networks = append(ch.Networks, n)
		}
	}
	for _, v := range vols {
		if some[v.HostID] && !slices.ContainsFunc(ch.Images, func(o domain.Volume) bool { return o.Path == v.Path }) {
			ch.Images = append(ch.Images, v)
		}
	}
	ch.Library, err = s.libraryChoices(ctx)
	return ch, err
}

// netsInSight leaves out the networks of tenants that the context's sight does not show.
func (s *server) netsInSight(ctx context.Context, all []domain.Network) ([]domain.Network, error) {
	sight := domain.SightOf(ctx)
	if sight.Full() {
		return all, nil
	}
	ids := make([]string, len(all))
	for i, n := range all {
		ids[i] = n.ID
	}
	owners, err := s.DB.Owners(ctx, ids...)
	if err != nil {
		return nil, err
	}
	var out []domain.Network
	for i, n := range all {
		if of := owners[ids[i]]; of == "" || sight.SeesOf(of, "") {
			out = append(out, n)
		}
	}
	return out, nil
}

func hostChoice(h domain.Host, l db.HostLoad) vms.HostChoice {
	c := vms.HostChoice{ID: h.ID, Name: h.Name}
	switch {
	case h.State == domain.HostAway:
		c.Why = "away"
	case h.State != domain.HostConnected:
		c.Why = "connecting"
	case h.Maintenance:
		c.Why = "in maintenance"
	}
	if h.Facts.MemoryBytes > 0 {
		free := max(0, h.Facts.MemoryBytes-l.MemoryRunning-l.MemoryCreating)
		c.FreeText = domain.FormatBytes(free) + " of " + domain.FormatBytes(h.Facts.MemoryBytes) + " free"
	}
	return c
}

// addFacts joins what hosts can do: for "any" it is enough that one can, placement finds it.
func addFacts(ch *vms.Choices, f domain.HostFacts, first bool) {
	for _, m := range f.Machines {
		if !slices.Contains(ch.Machines, m) {
			ch.Machines = append(ch.Machines, m)
		}
	}
	for _, m := range f.CPUModels {
		if !slices.Contains(ch.CPUs, m) {
			ch.CPUs = append(ch.CPUs, m)
		}
	}
	ch.MaxVCPUs = max(ch.MaxVCPUs, f.MaxVCPUs)
	for _, p := range []struct {
		to   *domain.Capability
		from domain.Capability
	}{{&ch.KVM, f.KVM}, {&ch.UEFI, f.UEFI}, {&ch.Secure, f.SecureBoot}, {&ch.TPM, f.TPM}} {
		if first || !p.to.OK && p.from.OK {
			*p.to = p.from
		}
	}
}

// demoGuests are the trial guests whose files are on this server, offered for hosts that run here.
func (s *server) demoGuests(h domain.Host) []vms.GuestKernel {
	u, err := domain.ParseHostURI(h.URI)
	if err != nil || u.Transport != "unix" || u.Driver != "qemu" {
		return nil
	}
	out := make([]vms.GuestKernel, len(s.Guests))
	for i, g := range s.Guests {
		out[i] = vms.GuestKernel{Label: g.Label, HostID: h.ID, Kernel: g.Kernel, Initrd: g.Initrd, Cmdline: g.Cmdline}
	}
	return out
}

// idOfPage is the id of the VM or host that the page at path shows, or "".
func idOfPage(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) >= 2 && (parts[0] == "vms" && strings.HasPrefix(parts[1], "vm_") || parts[0] == "hosts" && strings.HasPrefix(parts[1], "host_")) {
		return parts[1]
	}
	return ""
}
