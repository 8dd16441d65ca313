package handlers

import (
	"context"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/networks"
	"novacron/views/secgroups"
)

// networkNews tells whether networks may look different after this.
func (d *drawing) networkNews(ctx context.Context, a affected) bool {
	if len(a.hosts)+len(a.lists) > 0 {
		return true
	}
	for id := range a.jobs {
		j, err := d.s.jobAsOf(ctx, id, 0)
		if err == nil && (strings.HasPrefix(j.Kind, "network.") || strings.HasPrefix(j.Kind, "secgroup.")) {
			return true
		}
	}
	return slices.ContainsFunc(a.evs, func(ev domain.Event) bool {
		return ev.Resource.Kind == "network" || ev.Resource.Kind == "security_group"
	})
}

// networks draws the list, the picture or one network.
func (d *drawing) networks(ctx context.Context, a affected) {
	if !d.may(access.NetworkRead) {
		return
	}
	on := d.v.on
	vms := len(a.vms) > 0 && on != live.OnNetworks // the list only counts them
	if !vms && !d.networkNews(ctx, a) {
		return
	}
	d.part(ctx, "networks "+on+" "+d.v.at.RequestURI(), func(ctx context.Context) (templ.Component, error) {
		switch on {
		case live.OnNetworks:
			m, err := d.s.networksFor(ctx, d.v.at, d.need)
			return networks.StreamList(d.shell(), m), err
		case live.OnTopology:
			m, err := d.s.topologyFor(ctx, d.v.at)
			return networks.StreamTopology(d.shell(), m), err
		case live.OnSecGroups:
			m, err := d.s.secGroupsModel(ctx)
			return secgroups.StreamList(d.shell(), m), err
		}
		if strings.HasPrefix(on, "sg_") {
			m, err := d.s.secGroupModel(ctx, on)
			if domain.Is(err, domain.NotFound) {
				return layout.ToastPartial(layout.Toast{Tone: layout.ToneWarning, Text: "This security group is no more.", URL: live.SecGroups, Link: "All security groups"}), nil
			}
			return secgroups.StreamShow(d.shell(), m), err
		}
		m, err := d.s.networkModel(ctx, on, d.need)
		if domain.Is(err, domain.NotFound) {
			return layout.ToastPartial(layout.Toast{Tone: layout.ToneWarning, Text: "This network is no more.", URL: live.Networks, Link: "All networks"}), nil
		}
		return networks.StreamShow(d.shell(), m), err
	})
}
