package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// NetworkBody describes a network: when it is created, and as it should be when it is changed.
type NetworkBody struct {
	Name        string             `json:"name,omitempty" doc:"Unique on its host; a network keeps its name" example:"lan"`
	Mode        string             `json:"mode,omitempty" enum:"nat,route,isolated,open,bridge,ovs,macvtap" doc:"How it reaches the world; empty when it is changed: as it is"`
	Bridge      string             `json:"bridge,omitempty" doc:"bridge and ovs: one that is on the host; else what libvirt's own is called, chosen when empty"`
	Device      string             `json:"device,omitempty" doc:"nat and route: the only way out; macvtap: the device that is shared" example:"eth0"`
	MacvtapMode string             `json:"macvtap_mode,omitempty" doc:"bridge (when empty), private, vepa or passthrough"`
	IPv4        *domain.Subnet     `json:"ipv4,omitempty" doc:"The host's address on it, and what DHCP gives out"`
	IPv6        *domain.Subnet     `json:"ipv6,omitempty"`
	Domain      string             `json:"domain,omitempty" doc:"DNS domain of the guests"`
	DNS         *domain.NetworkDNS `json:"dns,omitempty"`
	MTU         int                `json:"mtu,omitempty" minimum:"0"`
	VLAN        *domain.VLAN       `json:"vlan,omitempty" doc:"ovs only: one tag, or a trunk of several"`
	PortGroups  []domain.PortGroup `json:"port_groups,omitempty" nullable:"false"`
	Inbound     *domain.Bandwidth  `json:"bandwidth_in,omitempty" doc:"Of the network as a whole"`
	Outbound    *domain.Bandwidth  `json:"bandwidth_out,omitempty"`
}

func (b NetworkBody) spec() domain.NetworkSpec {
	return domain.NetworkSpec{Name: b.Name, Mode: b.Mode, Bridge: b.Bridge, Device: b.Device, MacvtapMode: b.MacvtapMode, IPv4: b.IPv4, IPv6: b.IPv6, Domain: b.Domain, DNS: b.DNS,
		MTU: b.MTU, VLAN: b.VLAN, PortGroups: b.PortGroups, Inbound: b.Inbound, Outbound: b.Outbound}
}

// NetworkCreate asks for a network on one host, or for the same on several.
type NetworkCreate struct {
	NetworkBody
	Host      string   `json:"host,omitempty" doc:"A host's id or name"`
	Tenant    string   `json:"tenant,omitempty" maxLength:"64" doc:"Whose it is to be; empty: the estate's, for everybody"`
	Hosts     []string `json:"hosts,omitempty" nullable:"false" doc:"Or several: it is made on all of them or on none, and kept equal from then on"`
	Start     *bool    `json:"start,omitempty" doc:"Start it at once; true when left out"`
	Autostart *bool    `json:"autostart,omitempty" doc:"Start it with its host; true when left out"`
}

// NetworkEdit is what a network should be. What is left out stays; null takes away.
type NetworkEdit struct {
	Name        *string                   `json:"name,omitempty" doc:"A network keeps its name"`
	Mode        *string                   `json:"mode,omitempty" enum:"nat,route,isolated,open,bridge,ovs,macvtap"`
	Bridge      Patch[string]             `json:"bridge,omitempty"`
	Device      Patch[string]             `json:"device,omitempty"`
	MacvtapMode Patch[string]             `json:"macvtap_mode,omitempty"`
	IPv4        Patch[domain.Subnet]      `json:"ipv4,omitempty"`
	IPv6        Patch[domain.Subnet]      `json:"ipv6,omitempty"`
	Domain      Patch[string]             `json:"domain,omitempty"`
	DNS         Patch[domain.NetworkDNS]  `json:"dns,omitempty"`
	MTU         Patch[int]                `json:"mtu,omitempty"`
	VLAN        Patch[domain.VLAN]        `json:"vlan,omitempty"`
	PortGroups  Patch[[]domain.PortGroup] `json:"port_groups,omitempty"`
	Inbound     Patch[domain.Bandwidth]   `json:"bandwidth_in,omitempty"`
	Outbound    Patch[domain.Bandwidth]   `json:"bandwidth_out,omitempty"`
	Autostart   *bool                     `json:"autostart,omitempty" doc:"Alone in a request: start it with its host, or not"`
	Only        bool                      `json:"only_this_host,omitempty" doc:"Change it on its host alone although it was made on several as one"`
}

// EstateNetwork is a network as the API shows it.
type EstateNetwork struct {
	domain.Network
	Tenant string         `json:"tenant,omitempty" doc:"Whose it is; nothing: the estate's, for everybody"`
	Public bool           `json:"public" doc:"Cards on networks of its name count in quotas of public addresses"`
	Host   string         `json:"host" doc:"The host's name"`
	VMs    []NetworkVM    `json:"vms,omitempty" doc:"Who has a card on it; only in a single answer"`
	Drift  []NetworkDrift `json:"drift,omitempty" doc:"The networks that were made with it as one, and how they differ from what they should be; only in a single answer"`
}

// NetworkVM is a VM on a network.
type NetworkVM struct {
	ID    string         `json:"id"`
	Name  string         `json:"name"`
	State domain.VMState `json:"state"`
}

// NetworkDrift is one network of a group.
type NetworkDrift struct {
	HostID    string          `json:"host_id"`
	Host      string          `json:"host"`
	NetworkID string          `json:"network_id"`
	Missing   bool            `json:"missing,omitempty"`
	Changes   []domain.Change `json:"changes" nullable:"false" doc:"old is what it should be, new is what it is; none: they agree"`
}

// SecurityGroupBody describes a group.
type SecurityGroupBody struct {
	Name        string           `json:"name" example:"web"`
	Description string           `json:"description,omitempty"`
	Rules       []domain.SecRule `json:"rules,omitempty" nullable:"false" doc:"What comes in is dropped unless a rule allows it; what goes out passes unless a rule denies it; a deny wins"`
	Spoofing    bool             `json:"allow_spoofing,omitempty" doc:"Let members send under addresses that are not their own"`
	Version     int64            `json:"version,omitempty" doc:"Of the group that the edit is based on; when it is stale the answer is 409"`
}

// GroupEffect says in words what a group does.
type GroupEffect struct {
	VMs      []NetworkVM `json:"vms" nullable:"false"`
	Hosts    []string    `json:"hosts" nullable:"false" doc:"Where it is enforced"`
	Effect   []string    `json:"effect" nullable:"false" doc:"Sentences, such as: Anyone may reach TCP 22 on 4 VMs."`
	Warnings []string    `json:"warnings" nullable:"false"`
}

// VMNIC is a card of a VM.
type VMNIC struct {
	domain.NIC
	Addresses []domain.Address `json:"addresses" nullable:"false"`
	Attached  bool             `json:"attached" doc:"The VM runs and has it now"`
}

// NetworkPath names a network. Embedded types that hold parameters must be exported, or they are not read.
type NetworkPath struct {
	ID string `path:"id" maxLength:"64" doc:"The network's id"`
}

// NICPath names a card of a VM.
type NICPath struct {
	VMPath
	MAC string `path:"mac" maxLength:"17" doc:"The card's MAC address"`
}

// SecGroupPath names a security group.
type SecGroupPath struct {
	ID string `path:"id" maxLength:"64" doc:"The security group's id or name"`
}

func (s *server) networks() {
	registerPage(s, op{id: "list-all-networks", method: http.MethodGet, path: "/networks", tag: "Networks", perm: access.NetworkRead, status: 200, summary: "List networks"},
		func(ctx context.Context, in *struct {
			PageQuery
			Host string `query:"host" maxLength:"64" doc:"Only networks of the host with this id"`
			Sort string `query:"sort" default:"name" doc:"name, host or mode; a minus turns it round"`
		}) (Page[EstateNetwork], error) {
			all, err := s.DB.Networks(ctx, in.Host)
			if err != nil {
				return Page[EstateNetwork]{}, err
			}
			names, err := s.hostNames(ctx)
			if err != nil {
				return Page[EstateNetwork]{}, err
			}
			ids := make([]string, len(all))
			for i := range all {
				ids[i] = all[i].ID
			}
			owners, err := s.DB.Owners(ctx, ids...)
			if err != nil {
				return Page[EstateNetwork]{}, err
			}
			public, err := s.DB.PublicNetworks(ctx)
			if err != nil {
				return Page[EstateNetwork]{}, err
			}
			return paged(all, in.PageQuery, in.Sort, sortKeys[domain.Network]{
				"name": func(n *domain.Network) string { return strings.ToLower(n.Name) }, "host": func(n *domain.Network) string { return names[n.HostID] + " " + n.Name },
				"mode": func(n *domain.Network) string { return n.Mode },
			}, func(n *domain.Network) string { return n.ID }, func(n *domain.Network) EstateNetwork {
				return EstateNetwork{Network: *n, Host: names[n.HostID], Tenant: owners[n.ID], Public: slices.Contains(public, n.Name)}
			})
		})
	register(s, op{id: "create-network", method: http.MethodPost, path: "/networks", tag: "Networks", perm: access.NetworkManage, status: 202, summary: "Create a network",
		doc: "On one host, or the same on several: then it is made on all of them or on none."},
		func(ctx context.Context, in *struct {
			ChangeParams
			Body NetworkCreate
		}) (*changeOutput, error) {
			b := in.Body
			ctx, err := s.Fleet.OwnedBy(ctx, access.NetworkManage, b.Tenant)
			if err != nil {
				return nil, err
			}
			req := fleet.CreateNetwork{Spec: b.spec(), Hosts: b.Hosts, FieldHost: "hosts", Stopped: b.Start != nil && !*b.Start, ByHand: b.Autostart != nil && !*b.Autostart}
			if b.Host != "" {
				req.Hosts, req.FieldHost = append([]string{b.Host}, b.Hosts...), "host"
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				req.Key = key
				return s.Fleet.CreateNetwork(ctx, actor(ctx), req)
			})
		})
	register(s, op{id: "get-network", method: http.MethodGet, path: "/networks/{id}", tag: "Networks", perm: access.NetworkRead, status: 200, summary: "Show a network, who is on it and how it differs from those made with it"},
		func(ctx context.Context, in *NetworkPath) (*struct{ Body EstateNetwork }, error) {
			n, err := s.oneNetwork(ctx, in.ID)
			return &struct{ Body EstateNetwork }{n}, err
		})
	register(s, op{id: "edit-network", method: http.MethodPatch, path: "/networks/{id}", tag: "Networks", perm: access.NetworkManage, status: 202, summary: "Change a network",
		doc: "Fields that are left out stay, null takes away. Leases, ranges, names and port groups change while it runs; the rest applies when it is started again, and is listed as pending."},
		func(ctx context.Context, in *struct {
			NetworkPath
			ChangeParams
			Body NetworkEdit
		}) (*changeOutput, error) {
			n, err := s.DB.Network(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				if b := in.Body; b.Autostart != nil {
					act := fleet.NetNoAutostart
					if *b.Autostart {
						act = fleet.NetAutostart
					}
					return s.Fleet.ActNetwork(ctx, actor(ctx), in.ID, act, false, key)
				}
				return s.Fleet.ChangeNetwork(ctx, actor(ctx), in.ID, in.Body.over(n.Spec), in.Body.Only, key)
			})
		})
	register(s, op{id: "delete-network", method: http.MethodDelete, path: "/networks/{id}", tag: "Networks", perm: access.NetworkManage, status: 202, summary: "Delete a network",
		doc: "Refused while VMs have cards on it; the answer names them. With ?vms=true and ?confirm= with the network's name they are deleted first."},
		func(ctx context.Context, in *struct {
			NetworkPath
			ChangeParams
			VMs     bool   `query:"vms" doc:"Delete the VMs that have a card on it, too"`
			Disks   bool   `query:"disks" doc:"With vms: and their disks"`
			Confirm string `query:"confirm" maxLength:"64" doc:"With vms: the network's name"`
		}) (*changeOutput, error) {
			if in.VMs {
				if err := auth.SubjectOf(ctx).Require(access.VMDelete); err != nil {
					return nil, err
				}
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.DeleteNetworks(ctx, actor(ctx), []string{in.ID}, fleet.DeleteNetworks{VMs: in.VMs, Disks: in.Disks, Confirm: in.Confirm, Key: key})
			})
		})
	for _, a := range []struct {
		act          fleet.NetworkAct
		summary, doc string
	}{
		{fleet.NetStart, "Start a network", ""}, {fleet.NetStop, "Stop a network", "Refused while running VMs use it, unless force is set."},
	} {
		register(s, op{id: string(a.act) + "-network", method: http.MethodPost, path: "/networks/{id}/" + string(a.act), tag: "Networks", perm: access.NetworkManage, status: 202, summary: a.summary, doc: a.doc},
			func(ctx context.Context, in *struct {
				NetworkPath
				ChangeParams
				Force bool `query:"force" doc:"Stop it although running VMs use it"`
			}) (*changeOutput, error) {
				return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
					return s.Fleet.ActNetwork(ctx, actor(ctx), in.ID, a.act, in.Force, key)
				})
			})
	}
	register(s, op{id: "equal-network", method: http.MethodPost, path: "/networks/{id}/equal", tag: "Networks", perm: access.NetworkManage, status: 202, summary: "Make the networks that were made as one equal again"},
		func(ctx context.Context, in *struct {
			NetworkPath
			ChangeParams
			Like bool `query:"like" doc:"Make the others like this one, instead of all as they were made"`
		}) (*changeOutput, error) {
			like := ""
			if in.Like {
				like = in.ID
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.EqualNetworks(ctx, actor(ctx), in.ID, like, key)
			})
		})
	register(s, op{id: "mark-network", method: http.MethodPut, path: "/networks/{id}/public", tag: "Networks", perm: access.NetworkManage, status: 200, summary: "Say whether cards on a network count as public addresses",
		doc: "It holds for the networks of its name on every host, and for cards put directly on the bridge of one. Each card of a tenant's VMs there counts as one address, whether its guest has a lease or not. It needs network.manage at the estate, and takes no card away."},
		func(ctx context.Context, in *struct {
			NetworkPath
			Body struct {
				Public bool `json:"public"`
			}
		}) (*struct{ Body EstateNetwork }, error) {
			if _, err := s.Fleet.MarkNetwork(ctx, actor(ctx), in.ID, in.Body.Public); err != nil {
				return nil, err
			}
			n, err := s.oneNetwork(ctx, in.ID)
			return &struct{ Body EstateNetwork }{n}, err
		})
	register(s, op{id: "list-leases", method: http.MethodGet, path: "/networks/{id}/leases", tag: "Networks", perm: access.NetworkRead, status: 200, summary: "List what a network's DHCP server gave out"},
		func(ctx context.Context, in *struct {
			NetworkPath
			PageQuery
		}) (*inventoryList[domain.Lease], error) {
			n, err := s.DB.Network(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			all, err := s.DB.Leases(ctx, n.HostID, n.Name)
			if err != nil {
				return nil, err
			}
			ip := func(l *domain.Lease) string { return l.IP }
			page, err := paged(all, in.PageQuery, "ip", sortKeys[domain.Lease]{"ip": ip}, ip, func(l *domain.Lease) domain.Lease { return *l })
			return &inventoryList[domain.Lease]{page}, err
		})
	s.secgroups()
	s.nics()
}

func (s *server) hostNames(ctx context.Context) (map[string]string, error) {
	hosts, err := s.DB.Hosts(ctx)
	names := make(map[string]string, len(hosts))
	for _, h := range hosts {
		names[h.ID] = h.Name
	}
	return names, err
}

func (s *server) oneNetwork(ctx context.Context, id string) (EstateNetwork, error) {
	n, err := s.DB.Network(ctx, id)
	if err != nil {
		return EstateNetwork{}, err
	}
	h, err := s.DB.Host(ctx, n.HostID)
	if err != nil {
		return EstateNetwork{}, err
	}
	tenant, err := s.DB.OwnerOfThing(ctx, n.ID)
	if err != nil {
		return EstateNetwork{}, err
	}
	public, err := s.DB.PublicNetworks(ctx)
	if err != nil {
		return EstateNetwork{}, err
	}
	out := EstateNetwork{Network: n, Host: h.Name, Tenant: tenant, Public: slices.Contains(public, n.Name)}
	vms, err := s.DB.NetworkVMs(ctx, n.HostID, n.Name)
	if err != nil {
		return out, err
	}
	out.VMs = vmRefs(vms)
	if n.GroupID == "" {
		return out, nil
	}
	drift, err := s.Fleet.NetworkDrift(ctx, n.GroupID)
	for _, d := range drift {
		out.Drift = append(out.Drift, NetworkDrift{d.HostID, d.HostName, d.NetworkID, d.Missing, list(d.Changes)})
	}
	return out, err
}

func vmRefs(vms []domain.VM) []NetworkVM {
	out := []NetworkVM{}
	for _, vm := range vms {
		out = append(out, NetworkVM{vm.ID, vm.Name, vm.State})
	}
	return out
}

// over lays what was sent over what is there.
func (b NetworkEdit) over(s domain.NetworkSpec) domain.NetworkSpec {
	if b.Name != nil {
		s.Name = *b.Name
	}
	if b.Mode != nil {
		s.Mode = *b.Mode
	}
	b.Bridge.to(&s.Bridge)
	b.Device.to(&s.Device)
	b.MacvtapMode.to(&s.MacvtapMode)
	b.Domain.to(&s.Domain)
	b.MTU.to(&s.MTU)
	b.PortGroups.to(&s.PortGroups)
	b.IPv4.at(&s.IPv4)
	b.IPv6.at(&s.IPv6)
	b.DNS.at(&s.DNS)
	b.VLAN.at(&s.VLAN)
	b.Inbound.at(&s.Inbound)
	b.Outbound.at(&s.Outbound)
	return s
}

func (s *server) secgroups() {
	get := func(ctx context.Context, in *SecGroupPath) (*struct{ Body domain.SecurityGroup }, error) {
		g, err := s.DB.SecurityGroup(ctx, in.ID)
		return &struct{ Body domain.SecurityGroup }{g}, err
	}
	registerPage(s, op{id: "list-security-groups", method: http.MethodGet, path: "/security-groups", tag: "Networks", perm: access.NetworkRead, status: 200, summary: "List security groups"},
		func(ctx context.Context, in *struct {
			PageQuery
			Sort string `query:"sort" default:"name" doc:"name; -name turns it round"`
		}) (Page[domain.SecurityGroup], error) {
			all, err := s.DB.SecurityGroups(ctx)
			if err != nil {
				return Page[domain.SecurityGroup]{}, err
			}
			return paged(all, in.PageQuery, in.Sort, sortKeys[domain.SecurityGroup]{"name": func(g *domain.SecurityGroup) string { return strings.ToLower(g.Name) }},
				func(g *domain.SecurityGroup) string { return g.ID }, func(g *domain.SecurityGroup) domain.SecurityGroup { return *g })
		})
	register(s, op{id: "create-security-group", method: http.MethodPost, path: "/security-groups", tag: "Networks", perm: access.SecGroupManage, status: 202, summary: "Create a security group",
		doc: "The job's resource is the group."},
		func(ctx context.Context, in *struct {
			ChangeParams
			Body SecurityGroupBody
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.SaveGroup(ctx, actor(ctx), domain.SecurityGroup{Name: in.Body.Name, Description: in.Body.Description, Rules: list(in.Body.Rules), Spoofing: in.Body.Spoofing}, key)
			})
		})
	register(s, op{id: "get-security-group", method: http.MethodGet, path: "/security-groups/{id}", tag: "Networks", perm: access.NetworkRead, status: 200, summary: "Show a security group"}, get)
	edited := func(g domain.SecurityGroup, b SecurityGroupBody) domain.SecurityGroup {
		g.Name, g.Description, g.Rules, g.Spoofing = b.Name, b.Description, list(b.Rules), b.Spoofing
		if b.Version != 0 {
			g.Version = b.Version
		}
		return g
	}
	type groupInput struct {
		SecGroupPath
		Body SecurityGroupBody
	}
	register(s, op{id: "edit-security-group", method: http.MethodPatch, path: "/security-groups/{id}", tag: "Networks", perm: access.SecGroupManage, status: 202, summary: "Replace a security group's rules",
		doc: "It is enforced at once where its members run. Preview says what it will do."},
		func(ctx context.Context, in *struct {
			SecGroupPath
			ChangeParams
			Body SecurityGroupBody
		}) (*changeOutput, error) {
			g, err := s.DB.SecurityGroup(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.SaveGroup(ctx, actor(ctx), edited(g, in.Body), key)
			})
		})
	register(s, op{id: "delete-security-group", method: http.MethodDelete, path: "/security-groups/{id}", tag: "Networks", perm: access.SecGroupManage, status: 202, summary: "Delete a security group that nothing uses"},
		func(ctx context.Context, in *struct {
			SecGroupPath
			ChangeParams
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return s.Fleet.DeleteGroup(ctx, actor(ctx), in.ID, key) })
		})
	register(s, op{id: "preview-security-group", method: http.MethodPost, path: "/security-groups/{id}/preview", tag: "Networks", perm: access.SecGroupManage, status: 200, summary: "Say in words what a group would do with these rules"},
		func(ctx context.Context, in *groupInput) (*struct{ Body GroupEffect }, error) {
			g, err := s.DB.SecurityGroup(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			e, err := s.Fleet.PreviewGroup(ctx, edited(g, in.Body))
			if err != nil {
				return nil, err
			}
			out := GroupEffect{VMs: vmRefs(e.VMs), Hosts: []string{}, Effect: list(e.Sentences), Warnings: list(e.Warnings)}
			for _, h := range e.Hosts {
				out.Hosts = append(out.Hosts, h.Name)
			}
			return &struct{ Body GroupEffect }{out}, nil
		})
}

func (s *server) nics() {
	register(s, op{id: "list-nics", method: http.MethodGet, path: "/vms/{id}/nics", tag: "VMs", perm: access.VMRead, status: 200, summary: "List a VM's network cards"},
		func(ctx context.Context, in *VMPath) (*struct{ Body Page[VMNIC] }, error) {
			vm, err := s.DB.VM(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			groups, err := s.Fleet.CardGroups(ctx)
			if err != nil {
				return nil, err
			}
			return &struct{ Body Page[VMNIC] }{pageOf(vm.Config.NICs, "", len(vm.Config.NICs), func(n *domain.NIC) VMNIC { return card(vm, *n, groups) })}, nil
		})
	register(s, op{id: "attach-nic", method: http.MethodPost, path: "/vms/{id}/nics", tag: "VMs", perm: access.VMEdit, status: 202, summary: "Attach a network card",
		doc: "While the VM runs, too. A MAC address that another VM of the estate has is refused, naming it."},
		func(ctx context.Context, in *struct {
			VMPath
			ChangeParams
			Body domain.NIC
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.AttachNIC(ctx, actor(ctx), in.ID, in.Body, key)
			})
		})
	register(s, op{id: "edit-nic", method: http.MethodPatch, path: "/vms/{id}/nics/{mac}", tag: "VMs", perm: access.VMEdit, status: 202, summary: "Change a network card",
		doc: "Link, limits, security groups and where it is plugged in change while the VM runs; the model from the next start."},
		func(ctx context.Context, in *struct {
			NICPath
			ChangeParams
			Body NICEdit
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.ChangeNIC(ctx, actor(ctx), in.ID, in.Body.change(in.MAC), key)
			})
		})
	register(s, op{id: "detach-nic", method: http.MethodDelete, path: "/vms/{id}/nics/{mac}", tag: "VMs", perm: access.VMEdit, status: 202, summary: "Detach a network card"},
		func(ctx context.Context, in *struct {
			NICPath
			ChangeParams
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.DetachNIC(ctx, actor(ctx), in.ID, in.MAC, key)
			})
		})
}

// NICEdit changes a card; what is left out stays.
type NICEdit struct {
	Network        *string           `json:"network,omitempty" doc:"Plug it in there; network or bridge, not both"`
	Bridge         *string           `json:"bridge,omitempty"`
	OpenVSwitch    *bool             `json:"openvswitch,omitempty" doc:"The bridge is one of Open vSwitch"`
	Model          *string           `json:"model,omitempty" doc:"From the next start"`
	Down           *bool             `json:"down,omitempty" doc:"Unplug its cable"`
	BandwidthIn    *domain.Bandwidth `json:"bandwidth_in,omitempty" doc:"An average of 0 takes the limit away"`
	BandwidthOut   *domain.Bandwidth `json:"bandwidth_out,omitempty"`
	VLAN           *domain.VLAN      `json:"vlan,omitempty" doc:"No tags: takes it away"`
	Filter         *string           `json:"filter,omitempty" doc:"A filter of the host's own, such as clean-traffic"`
	SecurityGroups *[]string         `json:"security_groups,omitempty" doc:"Names or ids; an empty list takes the card out of all"`
}

func (e NICEdit) change(mac string) domain.NICChange {
	return domain.NICChange{MAC: mac, Network: e.Network, Bridge: e.Bridge, OpenVSwitch: e.OpenVSwitch, Model: e.Model, Down: e.Down, BandwidthIn: e.BandwidthIn, BandwidthOut: e.BandwidthOut,
		VLAN: e.VLAN, Filter: e.Filter, SecurityGroups: e.SecurityGroups}
}

func card(vm domain.VM, n domain.NIC, groups map[string][]string) VMNIC {
	out := VMNIC{NIC: n, Addresses: []domain.Address{}}
	if names, ok := groups[n.Filter]; ok {
		out.SecurityGroups, out.Filter = names, ""
	}
	for _, a := range vm.Addresses {
		if strings.EqualFold(a.MAC, n.MAC) {
			out.Addresses = append(out.Addresses, a)
		}
	}
	if vm.Live != nil {
		for _, l := range vm.Live.NICs {
			out.Attached = out.Attached || strings.EqualFold(l.MAC, n.MAC)
		}
	}
	return out
}
