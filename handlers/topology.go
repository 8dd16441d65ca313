package handlers

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/handlers/api"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/networks"
)

func (s *server) topologyPage(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	m, err := s.topologyFor(c.Request().Context(), c.Request().URL)
	if err != nil {
		return 0, nil, err
	}
	sh, err := s.netShell(c, "Topology", live.OnTopology, after, layout.Crumb{Label: "Networks", URL: live.Networks})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, networks.TopologyPage(sh, m), nil
}

// topologyFor draws up what the page at u shows.
func (s *server) topologyFor(ctx context.Context, u *url.URL) (networks.Picture, error) {
	m := networks.Picture{Host: u.Query().Get("host"), Network: u.Query().Get("network")}
	hosts, err := s.DB.Hosts(ctx)
	if err != nil {
		return m, err
	}
	nets, err := s.DB.Networks(ctx, m.Host)
	if err != nil {
		return m, err
	}
	var vms []domain.VM
	if m.Host == "" {
		vms, err = s.DB.AllVMs(ctx)
	} else {
		vms, err = s.DB.HostVMs(ctx, m.Host)
	}
	if err != nil {
		return m, err
	}
	for _, t := range domain.WiringOf(hosts, nets, vms) {
		m.Menu = append(m.Menu, networks.HostChoice{ID: t.Host.ID, Name: t.Host.Name})
		if m.Host == "" || m.Host == t.Host.ID {
			m.Hosts = append(m.Hosts, t)
		}
		for _, w := range t.Wires {
			if !slices.Contains(m.Names, w.Name) {
				m.Names = append(m.Names, w.Name)
			}
		}
	}
	slices.Sort(m.Names)
	if m.Network != "" {
		m.Hosts = domain.OnlyWire(m.Hosts, m.Network)
	}
	m.Bound()
	m.Load, err = s.loads(ctx)
	return m, err
}

// loads is how busy VMs and hosts are now, in percent of their processors, by id; those that were not measured are not in it.
func (s *server) loads(ctx context.Context) (map[string]float64, error) {
	if s.Series == nil {
		return nil, nil
	}
	v, err := api.ViewOf(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	m := &measuredAt{s: s, view: v, at: s.Clock()}
	out := map[string]float64{}
	for _, c := range m.ask(ctx, vmLoad) {
		out[strings.Clone(c.Label("vm_id"))] = c.Values[0]
	}
	for _, c := range m.ask(ctx, hostLoad("1m", "")) {
		out[strings.Clone(c.Label("host_id"))] = c.Values[0]
	}
	return out, m.err
}
