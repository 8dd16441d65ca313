package auth

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"novacron/auth/access"
	"novacron/domain"
)

// Ask is what a request wants: the route's permission, the ids that its path names and those that stand anywhere else in it.
type Ask struct {
	Permission access.Permission
	Route      string   // method and path as the route table writes them
	Path       []string // values of the path's parameters
	Named      []string // ids in the query and in the body: see IDs
}

// partial are the routes without an id that somebody who sees only a part of the estate may use, since they show only that part. Every other route
// without an id is for who has its permission everywhere: so a new one tells a tenant nothing until somebody has thought about it.
var partial = map[string]bool{
	"GET /": true, "GET /search": true, "GET /live": true, "GET /vms": true, "POST /vms": true, "GET /vms/new": true, "POST /vms/bulk": true, "GET /tasks": true, "GET /events": true,
	"GET /vms/snapshots/bulk": true, "POST /vms/snapshots/bulk": true, "GET /images": true, "GET /templates": true, "GET /access/tenants": true, "GET /folders": true, "POST /folders": true,
	"GET /api/v1/folders": true, "POST /api/v1/folders": true,
	"GET /storage/volumes/new": true, "POST /storage/volumes": true, "GET /storage/volumes/upload": true, "GET /images/new": true, "POST /images": true, "GET /templates/new": true, "POST /templates": true,
	"GET /snapshot-schedules": true, "POST /snapshot-schedules": true, "GET /snapshot-schedules/new": true, "GET /api/v1/snapshot-schedules": true, "POST /api/v1/snapshot-schedules": true,
	"GET /affinity-rules": true, "POST /affinity-rules": true, "GET /affinity-rules/new": true, "GET /api/v1/affinity-rules": true, "POST /api/v1/affinity-rules": true,
	"GET /monitor/compare": true, "GET /monitor/csv": true, "GET /monitor/query": true, "GET /monitor/metrics": true,
	"GET /api/v1/metrics": true, "GET /api/v1/metadata": true, "GET /api/v1/query": true, "POST /api/v1/query": true,
	"GET /api/v1/query_range": true, "POST /api/v1/query_range": true, "GET /api/v1/series": true, "POST /api/v1/series": true, "GET /api/v1/labels": true, "GET /api/v1/label/:name/values": true, "POST /api/v1/labels": true, "GET /metrics": true,
	"GET /api/v1/vms": true, "POST /api/v1/vms": true, "GET /api/v1/jobs": true, "GET /api/v1/events": true, "GET /api/v1/images": true, "GET /api/v1/templates": true,
	"GET /api/v1/tenants": true, "GET /api/v1/volumes": true, "POST /api/v1/volumes": true, "POST /api/v1/images": true, "POST /api/v1/templates": true, "GET /api/v1/tokens": true, "POST /api/v1/tokens": true, "GET /api/v1/sessions": true, "POST /api/v1/cloud-init/preview": true,
	"GET /alerts": true, "GET /api/v1/alerts": true, "GET /alerts/rules": true, "GET /api/v1/rules": true, "POST /api/v1/rules": true, "POST /api/v1/rules/preview": true, "GET /api/v1/rules/export": true, "POST /api/v1/rules/import": true,
	"GET /alerts/rules/new": true, "POST /alerts/rules": true, "GET /alerts/rules/import": true, "POST /alerts/rules/import": true, "GET /alerts/rules/export": true, // whose a rule may be is asked when it is kept
	"GET /api/v1/incidents": true, "GET /alerts/incidents": true,
	// planned and applied in the name of a tenant, where it is not for the whole estate
	"POST /api/v1/plan": true, "POST /api/v1/apply": true, "GET /api/v1/export": true, "GET /api/v1/drift": true,
	"POST /api/v1/drift/:kind/:name/adopt": true, "POST /api/v1/drift/:kind/:name/ignore": true, "POST /api/v1/drift/:kind/:name/revert": true,
}

var idRE = regexp.MustCompile(`\b(vm|vol|job|img|imgv|tmpl|net|fold|aff|sched)_[0-9a-z]{26}\b`)

// IDs finds what looks like the id of something that may be a tenant's.
func IDs(text string) []string { return idRE.FindAllString(text, -1) }

// Authorise decides whether a request may go on. The rule comes from the route's permission and from what the request names; a route needs nothing
// more of its own. What one may not see does not exist.
func (a *Auth) Authorise(ctx context.Context, s Subject, ask Ask) error {
	p := ask.Permission
	if p == access.Public || p == access.AccountSelf || s.Grants == nil || s.Everywhere(p) && s.Sight().Full() {
		return s.Require(p)
	}
	if !s.Known() {
		return s.Require(p)
	}
	if len(ask.Path) == 0 {
		if err := s.Require(p); err != nil {
			return err
		}
		if !s.Everywhere(p) && !partial[ask.Route] {
			return domain.Errorf(domain.Denied, "This shows more than what you may see (it needs %s for the whole estate).", p).WithFix("Ask an administrator to do it.")
		}
	}
	for i, id := range ask.Path {
		if i > 0 && !slices.Contains([]string{"vm", "job", "vol"}, prefix(id)) {
			continue // a part of what the first names
		}
		if err := a.mayOn(ctx, s, p, id); err != nil {
			return err
		}
	}
	for _, id := range ask.Named {
		if err := a.mayOn(ctx, s, reads[prefix(id)], id); err != nil {
			return err
		}
	}
	return nil
}

func prefix(id string) string {
	kind, _, _ := strings.Cut(id, "_")
	return kind
}

// reads is the permission that shows a thing, by the beginning of its id.
var reads = map[string]access.Permission{
	"vm": access.VMRead, "job": access.JobRead, "host": access.HostRead, "pool": access.PoolRead, "vol": access.VolumeRead, "net": access.NetworkRead,
	"img": access.ImageRead, "imgv": access.ImageRead, "tmpl": access.TemplateRead, "tpl": access.TemplateRead, "user": access.UserRead, "group": access.UserRead,
	"tok": access.TokenManage, "fold": access.VMRead, "sched": access.VMRead, "aff": access.AffinityRead, "bind": access.RoleRead,
}

func none(id string) error {
	what := map[string]string{"vm": "VM", "vol": "volume"}[prefix(id)]
	if what == "" {
		what = "thing"
	}
	return domain.Errorf(domain.NotFound, "There is no such %s.", what).WithFix("It may have been removed meanwhile; reload the list.")
}

// mayOn decides for one thing.
func (a *Auth) mayOn(ctx context.Context, s Subject, p access.Permission, id string) error {
	o, err := a.Object(ctx, id)
	if domain.Is(err, domain.NotFound) {
		return none(id)
	}
	if err != nil {
		return err
	}
	// Images and templates are a library for everybody who may look into it; the tree names the hosts of VMs that one sees.
	// One that is a tenant's is not in it: the database, which knows names too, leaves it out for who may not see it.
	shared := o.Tenant == "" && (o.Kind == "image" || o.Kind == "template" || p.Kind() == "image" || p.Kind() == "template") && p.Looks() || p == access.VMRead && o.Kind == "host" ||
		p == access.VMCreate && o.Kind == "template" && o.Tenant == "" // whose the VM may be is asked when it is made
	if s.On(p, o) || shared && s.Can(p) {
		return nil
	}
	read, ok := reads[prefix(id)]
	if !ok {
		read = access.Permission(p.Kind() + ".read")
	}
	switch p.Kind() {
	case "secgroup":
		read = access.NetworkRead
	case "folder":
		read = access.VMRead
	case "webhook":
		read = p // who may not manage them does not see that there are any
	}
	if s.On(read, o) || !access.Valid(read) {
		return domain.Errorf(domain.Denied, "Your roles do not allow this here (it needs %s).", p).WithFix("Ask an administrator to do it or to give you a role that may.")
	}
	return none(id)
}

var kinds = map[string]string{"vol": "volume", "net": "network", "img": "image", "imgv": "image", "tmpl": "template", "tmplv": "template", "tpl": "template", "tok": "token", "bind": "binding", "fold": "folder", "sched": "schedule", "aff": "affinity"}

// Object finds whose a thing is, for deciding about it.
func (a *Auth) Object(ctx context.Context, id string) (access.Object, error) {
	o := access.Object{Kind: prefix(id), ID: id}
	if k := kinds[o.Kind]; k != "" {
		o.Kind = k
	}
	switch o.Kind {
	case "vm":
		owner, err := a.db.OwnerOfVM(ctx, id)
		o.Tenant, o.Folder, o.Tags = owner.Tenant, owner.Folder, owner.Tags
		return o, err
	case "folder":
		f, err := a.db.Folder(ctx, id)
		o.Tenant, o.Folder = f.Tenant, f.ID
		return o, err
	case "job":
		owner, vm, err := a.db.OwnerOfJob(ctx, id)
		if o.Tenant, o.Folder, o.Tags = owner.Tenant, owner.Folder, owner.Tags; vm != "" { // a job about a VM goes with the VM
			o.ID = vm
		}
		return o, err
	case "alert", "arule", "inc":
		owner, vm, err := a.db.OwnerOfAlert(ctx, id)
		if o.Kind, o.Tenant = "alert", owner; vm != "" { // an alert about a VM goes with the VM
			of, err := a.db.OwnerOfVM(ctx, vm)
			if err == nil {
				o.Folder, o.Tags = of.Folder, of.Tags
			}
		}
		return o, err
	case "schedule":
		owner, err := a.db.OwnerOfSchedule(ctx, id)
		o.Tenant = owner
		return o, err
	case "affinity":
		owner, err := a.db.OwnerOfRule(ctx, id)
		o.Tenant = owner
		return o, err
	case "image", "template", "network":
		owner, err := a.db.OwnerOfThing(ctx, id)
		o.Tenant = owner
		return o, err
	case "volume":
		owner, err := a.db.OwnerOfThing(ctx, id)
		if o.Tenant = owner; err != nil || owner != "" {
			return o, err
		}
		users, err := a.db.VolumeUsers(ctx, id)
		if err != nil {
			return o, err
		}
		for i, u := range users { // a volume is a tenant's when all that need it are
			if u.Kind != "vm" {
				continue
			}
			owner, err := a.db.OwnerOfVM(ctx, u.ID)
			if err != nil {
				return o, err
			}
			if i > 0 && owner.Tenant != o.Tenant {
				o.Tenant = ""
				break
			}
			o.Tenant = owner.Tenant
		}
	}
	p, err := a.Policy(ctx)
	if err != nil {
		return o, err
	}
	if t, ok := p.Tenant(id); ok && reads[prefix(id)] == "" {
		o.Kind, o.Tenant = "tenant", t.ID
	}
	return o, nil
}
