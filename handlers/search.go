package handlers

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/views/hosts"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/search"
)

const (
	searchVMs   = 12
	searchOther = 6
)

// search finds VMs, hosts, storage, tasks and commands by words; the palette takes the results out of the page.
func (s *server) search(c echo.Context) error {
	ctx := c.Request().Context()
	q := strings.TrimSpace(c.QueryParam("q"))
	if len(q) > 200 {
		q = q[:200]
	}
	m := search.Results{Query: q, Commands: commands(subject(c), q)}
	if q != "" {
		p, err := s.DB.VMs(ctx, db.VMQuery{Filter: q, Limit: searchVMs})
		if err != nil && !domain.Is(err, domain.Invalid) { // half a filter is being typed: nothing found yet
			return err
		}
		m.VMs, m.MoreVMs = p.Items, max(0, p.Total-len(p.Items))
		var rows []hosts.Row
		if subject(c).Everywhere(access.HostRead) {
			if rows, err = s.hostRows(ctx); err != nil {
				return err
			}
		}
		for _, r := range filterHosts(rows, q) {
			if len(m.Hosts) < searchOther {
				m.Hosts = append(m.Hosts, r.Host)
			}
		}
		if err := s.searchStorage(ctx, subject(c), q, &m); err != nil {
			return err
		}
		jobs, err := s.DB.Jobs(ctx, db.JobQuery{Limit: tasksPerPage})
		if err != nil {
			return err
		}
		words := strings.Fields(strings.ToLower(q))
		for _, j := range jobs.Items {
			if len(m.Tasks) < searchOther && matches(j, words) {
				m.Tasks = append(m.Tasks, j)
			}
		}
	}
	sh, err := s.shellFor(c, page{title: "Search", section: layout.SectionHome})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, search.ResultsPage(sh, m))
}

// searchStorage finds pools and volumes, for who sees the whole estate's.
func (s *server) searchStorage(ctx context.Context, sub auth.Subject, q string, m *search.Results) error {
	if sub.Everywhere(access.PoolRead) {
		pools, err := s.DB.StoragePools(ctx)
		if err != nil {
			return err
		}
		for _, p := range pools {
			if len(m.Pools) < searchOther && poolMatches(p, q) {
				m.Pools = append(m.Pools, search.Pool{Pool: p.Pool, Where: poolWhere(p)})
			}
		}
	}
	if !sub.Everywhere(access.VolumeRead) {
		return nil
	}
	p, err := s.DB.StorageVolumes(ctx, db.VolumeQuery{Search: q, Limit: searchOther})
	if err != nil {
		return err
	}
	for _, v := range p.Items {
		hit := search.Volume{Volume: v.Volume, Where: v.Pool + " on " + v.HostName}
		if v.Hosts > 1 {
			hit.Where = v.Pool + " on " + strconv.Itoa(v.Hosts) + " hosts"
		}
		switch {
		case len(v.Users) > 0:
			hit.Used = v.Users[0].Name
		case v.Image != "":
			hit.Used = v.Image
		}
		m.Volumes = append(m.Volumes, hit)
	}
	m.More = max(0, p.Total-len(p.Items))
	return nil
}

// commands are what the person may do from anywhere and that fits the words.
func commands(sub auth.Subject, q string) []search.Command {
	all := []struct {
		perm access.Permission
		cmd  search.Command
	}{
		{access.VMCreate, search.Command{Label: "New virtual machine", URL: live.VMNew, Icon: "plus", Keys: "n"}},
		{access.HostAdd, search.Command{Label: "Add a host", URL: live.HostNew, Icon: "plus"}},
		{access.VMRead, search.Command{Label: "Virtual machines", URL: live.VMs, Icon: "device-desktop", Keys: "g v"}},
		{access.HostRead, search.Command{Label: "Hosts", URL: live.Hosts, Icon: "server", Keys: "g h"}},
		{access.PoolRead, search.Command{Label: "Storage pools", URL: live.Storage, Icon: "database", Keys: "g s"}},
		{access.VolumeRead, search.Command{Label: "Volumes", URL: live.StorageVolumes, Icon: "database"}},
		{access.VolumeRead, search.Command{Label: "Orphan volumes", URL: live.Orphans(), Icon: "database"}},
		{access.PoolManage, search.Command{Label: "New storage pool", URL: live.PoolNew, Icon: "plus"}},
		{access.VolumeManage, search.Command{Label: "New volume", URL: live.VolumeNew, Icon: "plus"}},
		{access.ImageRead, search.Command{Label: "Images", URL: live.Images, Icon: "disc", Keys: "g i"}},
		{access.TemplateRead, search.Command{Label: "Templates", URL: live.Templates, Icon: "copy"}},
		{access.ImageManage, search.Command{Label: "Add an image", URL: live.ImageNew, Icon: "plus"}},
		{access.NetworkRead, search.Command{Label: "Networks", URL: live.Networks, Icon: "network", Keys: "g w"}},
		{access.NetworkRead, search.Command{Label: "Security groups", URL: live.SecGroups, Icon: "shield"}},
		{access.NetworkRead, search.Command{Label: "Topology: what is plugged in where", URL: live.Topology, Icon: "topology-star-3"}},
		{access.NetworkManage, search.Command{Label: "New network", URL: live.NetworkNew, Icon: "plus"}},
		{access.JobRead, search.Command{Label: "Tasks", URL: live.Tasks, Icon: "list-check", Keys: "g t"}},
		{access.EventRead, search.Command{Label: "Events", URL: live.Events, Icon: "history", Keys: "g e"}},
		{access.UserRead, search.Command{Label: "Users", URL: live.AccessUsers, Icon: "user"}},
		{access.UserRead, search.Command{Label: "Groups", URL: live.AccessGroups, Icon: "user"}},
		{access.TenantRead, search.Command{Label: "Tenants and quotas", URL: live.Tenants, Icon: "shield"}},
		{access.RoleRead, search.Command{Label: "Roles and bindings", URL: live.Roles, Icon: "shield"}},
		{access.RoleRead, search.Command{Label: "Explain: who may do what, and why", URL: live.Explain, Icon: "help-circle"}},
		{access.AuditRead, search.Command{Label: "Audit log", URL: live.Audit, Icon: "history"}},
		{access.AccountSelf, search.Command{Label: "Account, password and API tokens", URL: live.Account, Icon: "user"}},
	}
	var out []search.Command
	words := strings.Fields(strings.ToLower(q))
next:
	for _, a := range all {
		if !sub.Can(a.perm) {
			continue
		}
		for _, w := range words {
			if !strings.Contains(strings.ToLower(a.cmd.Label), w) {
				continue next
			}
		}
		out = append(out, a.cmd)
	}
	return out
}
