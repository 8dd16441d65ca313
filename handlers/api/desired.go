package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/domain/desired"
	"novacron/jobs/fleet"
)

const desiredTag = "Desired state"

// large lets the files of an estate be larger than other requests.
func large(o *huma.Operation) { o.MaxBodyBytes = 32 << 20 }

// DesiredFile is one file of what is wanted.
type DesiredFile struct {
	Name string `json:"name" maxLength:"255" example:"estate.yaml" doc:"What errors call it"`
	Text string `json:"text" doc:"YAML, of one or several documents with owner, tenants, pools, networks, templates, vms, policies and affinity_rules. A field that is not known is refused by name, with its line"`
}

// DesiredWrite is what an estate should be.
type DesiredWrite struct {
	Files []DesiredFile `json:"files" minItems:"1" maxItems:"1000" nullable:"false"`
	Owner string        `json:"owner,omitempty" maxLength:"64" example:"team-a" doc:"Whose the objects are, when the files do not say"`
	Prune bool          `json:"prune,omitempty" doc:"What the owner applied before, and the files do not have any more, goes. Nothing else is ever deleted"`
	Disks bool          `json:"prune_disks,omitempty" doc:"With prune: VMs lose their disks, too"`
	// Tenant is in whose name.
	Tenant string `json:"tenant,omitempty" maxLength:"64" doc:"For whom has roles in several tenants and not in the whole estate: the one in whose name it is"`
}

func (w DesiredWrite) request() fleet.Desired {
	out := fleet.Desired{Owner: w.Owner, Prune: w.Prune, Disks: w.Disks, Tenant: w.Tenant}
	for _, f := range w.Files {
		out.Files = append(out.Files, desired.Source(f))
	}
	return out
}

// DesiredPlan is what an apply would do.
type DesiredPlan struct {
	Owner   string         `json:"owner"`
	Items   []desired.Item `json:"items" nullable:"false" doc:"In the order in which they are carried out"`
	Empty   bool           `json:"empty" doc:"Nothing of the estate would change"`
	Summary map[string]int `json:"summary" doc:"How many items have which action"`
}

// EstateFile is an estate as a file.
type EstateFile struct {
	Text string `json:"text" doc:"YAML that applies back without a change"`
}

// InTenant says in which tenant's name it is asked.
type InTenant struct {
	Tenant string `query:"tenant" maxLength:"64" doc:"For whom has roles in several tenants and not in the whole estate: the one that is meant"`
}

// DriftPath names an object that was applied.
type DriftPath struct {
	Kind string `path:"kind" enum:"tenant,pool,network,template,vm,policy,affinity"`
	Name string `path:"name" maxLength:"200" doc:"Its name; of pools and networks name@host, of policies their scope and name with a colon between, of a tenant's affinity rules name@tenant"`
	InTenant
}

func (p DriftPath) key() (desired.Kind, string) {
	k := desired.Kind(p.Kind)
	if k == desired.KindPolicy { // a slash has a meaning of its own in a path
		return k, strings.Replace(p.Name, ":", "/", 1)
	}
	return k, p.Name
}

func (s *server) desired() {
	registerWith(s, op{id: "plan-estate", method: http.MethodPost, path: "/plan", tag: desiredTag, perm: access.VMRead, status: 200, summary: "Say what an apply would do",
		doc: "Compares three sides: what was applied last, what is, and what the files want. Nothing is changed. Who has roles in a tenant plans in its name for its VMs, templates and affinity rules; nothing else is there for them."}, large,
		func(ctx context.Context, in *struct{ Body DesiredWrite }) (*struct{ Body DesiredPlan }, error) {
			p, err := s.Fleet.PlanDesired(ctx, in.Body.request())
			if err != nil {
				return nil, err
			}
			out := &struct{ Body DesiredPlan }{DesiredPlan{Owner: p.Owner, Items: list(p.Items), Empty: p.Empty(), Summary: map[string]int{}}}
			for _, it := range p.Items {
				out.Body.Summary[string(it.Action)]++
			}
			return out, nil
		})
	registerWith(s, op{id: "apply-estate", method: http.MethodPost, path: "/apply", tag: desiredTag, perm: access.VMEdit, status: 202, summary: "Make the estate as files say",
		doc: "Every change is the job that a person would have made for it, in the order of what needs what. A plan with an object that cannot be applied, such as one of another owner, is refused as a whole."}, large,
		func(ctx context.Context, in *struct {
			ChangeParams
			Body DesiredWrite
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				req := in.Body.request()
				req.Key = key
				return s.Fleet.ApplyDesired(ctx, actor(ctx), req)
			})
		})
	register(s, op{id: "export-estate", method: http.MethodGet, path: "/export", tag: desiredTag, perm: access.VMRead, status: 200, summary: "Write the estate as a file",
		doc: "What applies back without a change. Objects that share their name with another are left out: a file could not tell them apart."},
		func(ctx context.Context, in *struct {
			InTenant
			Owner string `query:"owner" maxLength:"64" doc:"Only what this owner applied; the file then names it"`
			Kind  string `query:"kind" enum:"tenant,pool,network,template,vm,policy,affinity" doc:"Only objects of this kind"`
		}) (*struct{ Body EstateFile }, error) {
			var kinds []desired.Kind
			if in.Kind != "" {
				kinds = append(kinds, desired.Kind(in.Kind))
			}
			text, err := s.Fleet.ExportDesired(ctx, in.Tenant, in.Owner, kinds)
			return &struct{ Body EstateFile }{EstateFile{text}}, err
		})
	registerPage(s, op{id: "list-drift", method: http.MethodGet, path: "/drift", tag: desiredTag, perm: access.VMRead, status: 200, summary: "List what is not as it was applied",
		doc: "Somebody changed it by other means, such as virsh. It can be adopted, reverted or ignored."},
		func(ctx context.Context, in *struct {
			PageQuery
			InTenant
			Owner string `query:"owner" maxLength:"64" doc:"Only what this owner applied"`
			Sort  string `query:"sort" default:"name" doc:"name, kind or owner; a minus turns it round"`
		}) (Page[desired.Drift], error) {
			all, _, err := s.Fleet.Drift(ctx, in.Tenant)
			if err != nil {
				return Page[desired.Drift]{}, err
			}
			kept := all[:0]
			for _, d := range all {
				if in.Owner == "" || d.Owner == in.Owner {
					kept = append(kept, d)
				}
			}
			return paged(kept, in.PageQuery, in.Sort, sortKeys[desired.Drift]{
				"name": func(d *desired.Drift) string { return d.Name }, "kind": func(d *desired.Drift) string { return string(d.Kind) + " " + d.Name },
				"owner": func(d *desired.Drift) string { return d.Owner + " " + d.Name },
			}, func(d *desired.Drift) string { return string(d.Kind) + " " + d.Name }, func(d *desired.Drift) desired.Drift { return *d })
		})
	register(s, op{id: "adopt-drift", method: http.MethodPost, path: "/drift/{kind}/{name}/adopt", tag: desiredTag, perm: access.VMEdit, status: 204, summary: "Take what is for what was applied",
		doc: "The files should follow: their next apply says otherwise again."},
		func(ctx context.Context, in *DriftPath) (*struct{}, error) {
			k, name := in.key()
			return nil, s.Fleet.AdoptDrift(ctx, actor(ctx), in.Tenant, k, name)
		})
	register(s, op{id: "ignore-drift", method: http.MethodPost, path: "/drift/{kind}/{name}/ignore", tag: desiredTag, perm: access.VMEdit, status: 204, summary: "Speak no more of how it deviates now",
		doc: "When it comes to deviate otherwise, that is listed."},
		func(ctx context.Context, in *struct {
			DriftPath
			Undo bool `query:"undo" doc:"Speak of it again"`
		}) (*struct{}, error) {
			k, name := in.key()
			return nil, s.Fleet.IgnoreDrift(ctx, actor(ctx), in.Tenant, k, name, in.Undo)
		})
	register(s, op{id: "revert-drift", method: http.MethodPost, path: "/drift/{kind}/{name}/revert", tag: desiredTag, perm: access.VMEdit, status: 202, summary: "Make it as it was applied again"},
		func(ctx context.Context, in *struct {
			DriftPath
			ChangeParams
		}) (*changeOutput, error) {
			k, name := in.key()
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.RevertDrift(ctx, actor(ctx), in.Tenant, k, name, key)
			})
		})
}
