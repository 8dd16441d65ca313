package alerts

import (
	"context"
	"sync"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

// world is what alerts are about, as it is at one evaluation.
type world struct {
	hosts map[string]domain.Host // by id
	named map[string]string      // a host's id by its name
	vms   map[string]db.VMHome

	mu    sync.Mutex
	views map[string]series.View // by tenant
}

func look(ctx context.Context, d *db.DB) (*world, error) {
	w := &world{hosts: map[string]domain.Host{}, named: map[string]string{}, vms: map[string]db.VMHome{}, views: map[string]series.View{}}
	hosts, err := d.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		w.hosts[h.ID], w.named[h.Name] = h, h.ID
	}
	homes, err := d.VMHomes(ctx)
	for _, h := range homes {
		w.vms[h.ID] = h
	}
	return w, err
}

// view is what a tenant's rules see: the series of its VMs.
func (w *world) view(tenant string) series.View {
	if tenant == "" {
		return series.View{All: true}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := w.views[tenant]
	if !ok {
		for id, vm := range w.vms {
			if vm.Tenant == tenant {
				v.VMs = append(v.VMs, id)
			}
		}
		w.views[tenant] = v
	}
	return v
}

// about finds what an alert is about by its labels.
func (w *world) about(a *domain.Alert, r domain.AlertRule) {
	a.Severity = a.Labels[domain.SeverityLabel]
	a.VMID, a.HostID, a.Pool, a.Tenant = a.Labels["vm_id"], a.Labels["host_id"], a.Labels["pool"], r.Tenant
	if vm, ok := w.vms[a.VMID]; ok {
		if a.Tenant == "" {
			a.Tenant = vm.Tenant
		}
		if a.HostID == "" {
			a.HostID = vm.HostID
		}
	}
	if a.HostID == "" {
		a.HostID = w.named[a.Labels["host"]]
	}
}
