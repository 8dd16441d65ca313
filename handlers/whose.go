package handlers

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/ui"
)

// whose is the choice of a tenant on a form: those in which the person may make such a thing, each before those below it. chosen is what was typed; nothing
// typed is the person's own tenant, or the estate for who may make it there.
func (s *server) whose(ctx context.Context, sub auth.Subject, p access.Permission, chosen string) (layout.Whose, error) {
	w := layout.Whose{Estate: sub.Everywhere(p), Value: chosen}
	all, err := s.DB.Tenants(ctx)
	if err != nil {
		return w, err
	}
	names := map[string]string{}
	for _, t := range all {
		names[t.ID] = strings.ToLower(t.Name)
		if sub.On(p, access.Object{Kind: "tenant", ID: t.ID, Tenant: t.ID}) {
			w.Tenants = append(w.Tenants, t)
		}
	}
	place := func(t domain.Tenant) string {
		if t.Parent == "" {
			return names[t.ID]
		}
		return names[t.Parent] + "\x00" + names[t.ID]
	}
	slices.SortFunc(w.Tenants, func(a, b domain.Tenant) int {
		return cmp.Or(strings.Compare(place(a), place(b)), strings.Compare(a.ID, b.ID))
	})
	for i, t := range w.Tenants { // one whose upper tenant is not shown hangs under nothing
		if !slices.ContainsFunc(w.Tenants, func(o domain.Tenant) bool { return o.ID == t.Parent }) {
			w.Tenants[i].Parent = ""
		}
	}
	if w.Value == "" && !w.Estate && len(w.Tenants) > 0 {
		w.Value = w.Tenants[0].ID
	}
	return w, nil
}

// folderChoices are the folders in which the person has a permission: all, or those of one tenant.
func (s *server) folderChoices(ctx context.Context, sub auth.Subject, p access.Permission, only *string) ([]ui.Option, error) {
	folders, err := s.DB.Folders(ctx)
	if err != nil {
		return nil, err
	}
	tenants, err := s.DB.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, t := range tenants {
		names[t.ID] = t.Name
	}
	var out []ui.Option
	for _, f := range folders {
		if only != nil && f.Tenant != *only || !sub.On(p, access.Object{Kind: "vm", Tenant: f.Tenant, Folder: f.ID}) {
			continue
		}
		label := f.Path
		if n := cmp.Or(names[f.Tenant], f.Tenant); n != "" && only == nil {
			label = n + ": " + f.Path
		}
		out = append(out, ui.Option{Value: f.ID, Label: label})
	}
	slices.SortFunc(out, func(a, b ui.Option) int { return strings.Compare(strings.ToLower(a.Label), strings.ToLower(b.Label)) })
	if len(out) == 0 {
		return nil, nil
	}
	return append([]ui.Option{{Value: "", Label: "none"}}, out...), nil
}
