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

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/networks"
)

// estateNets is what all pages about networks begin with.
type estateNets struct {
	hosts []domain.Host
	all   []domain.EstateNetwork
}

// estateNets gives the networks of the estate, each once, as of at least the event need.
func (s *server) estateNets(ctx context.Context, need int64) (estateNets, error) {
	e, _, err := s.shell.nets.Get(ctx, struct{}{}, need, 0, func(ctx context.Context) (estateNets, error) {
		hosts, err := s.DB.Hosts(ctx)
		if err != nil {
			return estateNets{}, err
		}
		all, err := s.DB.Networks(ctx, "")
		if err != nil {
			return estateNets{}, err
		}
		groups, err := s.DB.NetworkGroups(ctx)
		if err != nil {
			return estateNets{}, err
		}
		vms, err := s.DB.AllVMs(ctx)
		if err != nil {
			return estateNets{}, err
		}
		type place struct{ host, network string }
		users := map[place]int{}
		for _, vm := range vms {
			for _, n := range networksOf(vm) {
				users[place{vm.HostID, n}]++
			}
		}
		public, err := s.DB.PublicNetworks(ctx)
		if err != nil {
			return estateNets{}, err
		}
		e := estateNets{hosts, domain.JoinNetworks(hosts, all, groups, func(host, network string) int { return users[place{host, network}] })}
		for i := range e.all {
			e.all[i].Public = slices.Contains(public, e.all[i].Name)
		}
		return e, nil
	})
	return e, err
}

// networksOf names the networks that a VM has cards on, each once.
func networksOf(vm domain.VM) []string {
	var out []string
	cards := vm.Config.NICs
	if vm.Live != nil {
		cards = slices.Concat(cards, vm.Live.NICs)
	}
	for _, c := range cards {
		if c.Network != "" && !slices.Contains(out, c.Network) {
			out = append(out, c.Network)
		}
	}
	return out
}

func (s *server) netShell(c echo.Context, title, on string, after int64, crumbs ...layout.Crumb) (layout.Shell, error) {
	return s.shellFor(c, page{title: title, section: layout.SectionNets, on: on, after: after, crumbs: crumbs})
}

func (s *server) networkList(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	m, err := s.networksFor(c.Request().Context(), c.Request().URL, after)
	if err != nil {
		return 0, nil, err
	}
	sh, err := s.netShell(c, "Networks", live.OnNetworks, after)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, networks.ListPage(sh, m), nil
}

// networksFor reads the list that the page at u shows.
func (s *server) networksFor(ctx context.Context, u *url.URL, need int64) (networks.List, error) {
	e, err := s.estateNets(ctx, need)
	if err != nil {
		return networks.List{}, err
	}
	v := u.Query()
	m := networks.List{Items: slices.Clone(e.all), All: len(e.all), Hosts: len(e.hosts), Filter: v.Get("filter"), Sort: v.Get("sort"), Desc: truth(v.Get("desc"))}
	m.Items = filterNetworks(m.Items, m.Filter)
	sortNetworks(m.Items, m.Sort, m.Desc)
	return m, nil
}

// filterNetworks keeps the networks that have every word somewhere. A minus turns a word round.
func filterNetworks(items []domain.EstateNetwork, filter string) []domain.EstateNetwork {
	terms := strings.Fields(strings.ToLower(filter))
	if len(terms) == 0 {
		return items
	}
	return slices.DeleteFunc(items, func(e domain.EstateNetwork) bool {
		parts := []string{e.Name, e.Should.Mode, e.Should.Bridge, e.Should.Device, e.Should.Domain}
		for _, p := range e.Should.Subnets() {
			parts = append(parts, p.String())
		}
		for _, o := range e.On {
			parts = append(parts, o.HostName, o.Network.Bridge, o.Network.CIDR)
		}
		if e.Drifted() > 0 {
			parts = append(parts, "drift", "differs")
		}
		switch e.Active() {
		case len(e.On):
			parts = append(parts, "active")
		case 0:
			parts = append(parts, "stopped")
		}
		text := strings.ToLower(strings.Join(parts, "\n"))
		for _, t := range terms {
			word, not := strings.CutPrefix(t, "-")
			if word != "" && strings.Contains(text, word) == not {
				return true
			}
		}
		return false
	})
}

func sortNetworks(items []domain.EstateNetwork, by string, desc bool) {
	text := func(e domain.EstateNetwork) string {
		switch by {
		case "mode":
			return e.Should.Mode
		case "subnet":
			if p := e.Should.Subnets(); len(p) > 0 {
				a := p[0].Addr().As16()
				return string(a[:])
			}
		case "hosts":
			return e.On[0].HostName
		}
		return ""
	}
	slices.SortStableFunc(items, func(a, b domain.EstateNetwork) int {
		c := strings.Compare(text(a), text(b))
		switch by {
		case "vms":
			c = a.VMs() - b.VMs()
		case "hosts":
			c = cmp.Or(len(a.On)-len(b.On), c)
		case "state":
			c = cmp.Or(b.Drifted()-a.Drifted(), a.Active()-b.Active())
		}
		c = cmp.Or(c, strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
		if desc {
			return -c
		}
		return c
	})
}

func (s *server) networkPage(c echo.Context) (int, templ.Component, error) {
	ctx, after := c.Request().Context(), s.DB.Feed().Last()
	m, err := s.networkModel(ctx, c.Param("id"), after)
	if err != nil {
		return 0, nil, err
	}
	if len(m.VMs) > 0 {
		if m.Charts, err = s.chartSet(ctx, c.Request().URL, networkCharts(m)); err != nil {
			return 0, nil, err
		}
	}
	sh, err := s.netShell(c, m.Net.Name, m.At.Network.ID, after, layout.Crumb{Label: "Networks", URL: live.Networks})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, networks.ShowPage(sh, m), nil
}

// networkCharts are those of the cards that are on a network.
func networkCharts(m networks.Show) []domain.Chart {
	var macs []string
	for _, u := range m.VMs {
		for _, card := range u.Cards {
			if card.MAC != "" {
				macs = append(macs, card.MAC)
			}
		}
	}
	return domain.NetworkCharts(macs)
}

// networkOf finds a network of the estate by the id that it has on one of its hosts.
func (s *server) networkOf(ctx context.Context, id string, need int64) (domain.EstateNetwork, domain.NetworkOn, error) {
	e, err := s.estateNets(ctx, need)
	if err != nil {
		return domain.EstateNetwork{}, domain.NetworkOn{}, err
	}
	for _, n := range e.all {
		for _, o := range n.On {
			if o.Network.ID == id {
				return n, o, nil
			}
		}
	}
	_, err = s.DB.Network(ctx, id) // the error says that it is not there
	if err == nil {
		err = domain.Errorf(domain.Unavailable, "The network is just being read.").WithFix("Load the page again.")
	}
	return domain.EstateNetwork{}, domain.NetworkOn{}, err
}

func (s *server) networkModel(ctx context.Context, id string, need int64) (networks.Show, error) {
	var m networks.Show
	var err error
	if m.Net, m.At, err = s.networkOf(ctx, id, need); err != nil {
		return m, err
	}
	leases, err := s.DB.LeasesNamed(ctx, m.Net.Name)
	if err != nil {
		return m, err
	}
	for _, o := range m.Net.On {
		var vms []domain.VM
		if o.VMs > 0 {
			if vms, err = s.DB.NetworkVMs(ctx, o.HostID, m.Net.Name); err != nil {
				return m, err
			}
		}
		owner := map[string]domain.Ref{}
		for _, vm := range vms {
			u := networks.User{VM: vm, Cards: cardsOn(vm, m.Net.Name)}
			for _, card := range u.Cards {
				owner[strings.ToLower(card.MAC)] = domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}
			}
			m.VMs = append(m.VMs, u)
		}
		for _, l := range leases[o.HostID] {
			m.Leases = append(m.Leases, networks.Lease{Lease: l, HostID: o.HostID, HostName: o.HostName, VM: owner[strings.ToLower(l.MAC)]})
		}
	}
	for _, id := range []string{m.At.Network.ID, m.Net.ID} {
		active, err := s.DB.Jobs(ctx, db.JobQuery{Resource: id, Active: true, Limit: 1})
		if err != nil {
			return m, err
		}
		if len(active.Items) > 0 {
			m.Busy = &active.Items[0]
		}
	}
	return m, nil
}

// cardsOn are a VM's cards on a network: as it runs, with those that it gets at the next start.
func cardsOn(vm domain.VM, network string) []domain.NIC {
	var out []domain.NIC
	add := func(cards []domain.NIC) {
		for _, c := range cards {
			if c.Network == network && !slices.ContainsFunc(out, func(o domain.NIC) bool { return o.MAC == c.MAC }) {
				out = append(out, c)
			}
		}
	}
	if vm.Live != nil {
		add(vm.Live.NICs)
	}
	add(vm.Config.NICs)
	return out
}

// netAsks are the acts that are asked about before they are done.
var netAsks = []string{"stop", "delete", "equal", "like"}

func (s *server) networkAsk(c echo.Context) error {
	if !slices.Contains(netAsks, c.Param("action")) {
		return echo.ErrNotFound
	}
	m, err := s.networkAskModel(c)
	if err != nil {
		return err
	}
	return s.askNetwork(c, http.StatusOK, m)
}

func (s *server) networkAskModel(c echo.Context) (networks.Ask, error) {
	ctx := c.Request().Context()
	m := networks.Ask{Action: c.Param("action"), All: truth(c.FormValue("all"))}
	n, at, err := s.networkOf(ctx, c.Param("id"), s.DB.Feed().Last())
	if err != nil {
		return m, err
	}
	m.Net, m.On = n, []domain.NetworkOn{at}
	if m.All {
		m.On = slices.DeleteFunc(slices.Clone(n.On), func(o domain.NetworkOn) bool { return o.Missing })
	}
	for _, o := range m.On {
		vms, err := s.DB.NetworkVMs(ctx, o.HostID, n.Name)
		if err != nil {
			return m, err
		}
		m.VMs = append(m.VMs, vms...)
	}
	for _, vm := range m.VMs {
		if vm.Live != nil {
			m.Running = append(m.Running, vm)
		}
	}
	return m, nil
}

func (s *server) askNetwork(c echo.Context, status int, m networks.Ask) error {
	m.Key = rand.Text()
	sh, err := s.netShell(c, m.Net.Name, "", 0, layout.Crumb{Label: "Networks", URL: live.Networks}, layout.Crumb{Label: m.Net.Name, URL: live.Network(m.On[0].Network.ID)})
	if err != nil {
		return err
	}
	return s.render(c, status, networks.AskPage(sh, m))
}

func (s *server) networkAct(c echo.Context) error {
	ctx, id, by, action := c.Request().Context(), c.Param("id"), subject(c).Actor(), c.Param("action")
	var job domain.Job
	var err error
	switch action {
	case "start", "stop", "autostart", "no-autostart":
		job, err = s.Fleet.ActNetwork(ctx, by, id, fleet.NetworkAct(action), truth(c.FormValue("force")), onceKey(c))
	case "equal", "like":
		like := ""
		if action == "like" {
			like = id
		}
		job, err = s.Fleet.EqualNetworks(ctx, by, id, like, onceKey(c))
	case "delete":
		return s.networkDelete(c)
	case "public", "not-public":
		return s.networkMark(c, action == "public")
	default:
		return echo.ErrNotFound
	}
	if err == nil {
		return s.done(c, live.Network(id), layout.TaskToast(job, live.Task(job.ID)))
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound || !slices.Contains(netAsks, action) {
		return s.sayOrFail(c, live.Network(id), err)
	}
	return s.refusedNetwork(c, err)
}

// networkMark says whether cards on the network count as public addresses.
func (s *server) networkMark(c echo.Context, public bool) error {
	n, err := s.Fleet.MarkNetwork(c.Request().Context(), subject(c).Actor(), c.Param("id"), public)
	if err != nil {
		return s.sayOrFail(c, live.Network(c.Param("id")), err)
	}
	text := "Cards on " + n.Name + " count as public addresses."
	if !public {
		text = "Cards on " + n.Name + " do not count as public addresses."
	}
	return s.done(c, live.Network(n.ID), layout.Toast{Tone: layout.ToneSuccess, Text: text})
}

func (s *server) refusedNetwork(c echo.Context, err error) error {
	m, askErr := s.networkAskModel(c)
	if askErr != nil {
		return askErr
	}
	m.Err, m.With, m.Disks, m.Confirm = problem(err), truth(c.FormValue("vms")), truth(c.FormValue("disks")), c.FormValue("confirm")
	return s.askNetwork(c, statusOf(err), m)
}

func (s *server) networkDelete(c echo.Context) error {
	ctx := c.Request().Context()
	m, err := s.networkAskModel(c)
	if err != nil {
		return err
	}
	del := fleet.DeleteNetworks{VMs: truth(c.FormValue("vms")), Disks: truth(c.FormValue("disks")), Confirm: strings.TrimSpace(c.FormValue("confirm")), Key: onceKey(c)}
	if del.VMs {
		if err := subject(c).Require(access.VMDelete); err != nil {
			return err
		}
	}
	var ids []string
	for _, o := range m.On {
		ids = append(ids, o.Network.ID)
	}
	job, err := s.Fleet.DeleteNetworks(ctx, subject(c).Actor(), ids, del)
	if err == nil {
		if !del.VMs {
			job, err = s.settle(ctx, job, earlyEnd)
		}
		if err == nil {
			return s.moveSaying(c, live.Networks, ended(job))
		}
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	return s.refusedNetwork(c, err)
}
