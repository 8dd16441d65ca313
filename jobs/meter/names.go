package meter

import (
	"context"
	"maps"
	"sync"

	"novacron/db"
	"novacron/domain"
)

// vmName is what the series of a VM carry.
type vmName struct {
	id, name, tenant, host string
	taps                   map[string]string // a card's MAC by the name of its tap on the host
	crashed                bool
}

func (v vmName) same(w vmName, host string) bool {
	return v.id == w.id && v.name == w.name && v.tenant == w.tenant && (v.host == "" || v.host == host) && maps.Equal(v.taps, w.taps)
}

// names knows which VM a UUID on a host is. It is read anew when something has happened.
type names struct {
	db *db.DB

	mu   sync.Mutex
	read bool
	at   int64                        // the event that was the last then
	by   map[string]map[string]vmName // by host, by UUID
}

// of gives a host's VMs by UUID.
func (n *names) of(ctx context.Context, host string) (map[string]vmName, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	last := n.db.Feed().Last()
	if !n.read || n.at != last {
		tenants, err := n.db.Tenants(ctx)
		if err != nil {
			return nil, err
		}
		called := make(map[string]string, len(tenants))
		for _, t := range tenants {
			called[t.ID] = t.Name
		}
		vms, err := n.db.MeteredVMs(ctx)
		if err != nil {
			return nil, err
		}
		n.by = map[string]map[string]vmName{}
		for _, vm := range vms {
			v := vmName{id: vm.ID, name: vm.Name, tenant: called[vm.Tenant], crashed: vm.State == domain.VMCrashed}
			if vm.Live != nil {
				for _, nic := range vm.Live.NICs {
					if nic.Target != "" && nic.MAC != "" {
						if v.taps == nil {
							v.taps = map[string]string{}
						}
						v.taps[nic.Target] = nic.MAC
					}
				}
			}
			if n.by[vm.HostID] == nil {
				n.by[vm.HostID] = map[string]vmName{}
			}
			n.by[vm.HostID][vm.UUID] = v
		}
		n.read, n.at = true, last
	}
	return n.by[host], nil
}
