// Package folders shows the tree of folders that VMs are put into, and the dialog that puts them there.
//
// It is not for what a role in a folder allows: package rights shows bindings.
package folders

import (
	"strings"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

// List is the page of all folders.
type List struct {
	Items   []domain.Folder
	Tenants []domain.Tenant // names of those that are shown, and choices for a folder at the top
	Estate  bool            // a folder of the estate's own may be made
	Name    string          // as typed
	Place   string
	Err     *domain.Error
	Wrong   string // id of the folder that Err is about; empty: the new one
}

// Put asks into which folder VMs go.
type Put struct {
	VMs    []domain.VM
	All    bool
	Filter string
	Choice string
	Items  []domain.Folder // of the VMs' tenant
	Key    string
	Back   string
	Err    *domain.Error
}

func (m List) tenant(id string) string {
	if id == "" {
		return "the estate"
	}
	for _, t := range m.Tenants {
		if t.ID == id {
			return t.Name
		}
	}
	return id
}

// places are where a new folder may be: a folder's id, or tenant: and a tenant's.
func (m List) places() []ui.Option {
	var out []ui.Option
	if m.Estate {
		out = append(out, ui.Option{Label: "top of the estate"})
	}
	for _, t := range m.Tenants {
		out = append(out, ui.Option{Value: "tenant:" + t.ID, Label: "top of " + t.Name})
	}
	for _, f := range m.Items {
		if f.Depth() < domain.FoldersDeep {
			out = append(out, ui.Option{Value: f.ID, Label: "in " + f.Path + " of " + m.tenant(f.Tenant)})
		}
	}
	return out
}

// Options are folders as choices.
func Options(items []domain.Folder) []ui.Option {
	out := []ui.Option{{Label: "none"}}
	for _, f := range items {
		out = append(out, ui.Option{Value: f.ID, Label: f.Path})
	}
	return out
}

func indent(f domain.Folder) string { return strings.Repeat("  ", f.Depth()-1) }

func inside(f domain.Folder) string { return live.VMsWhere(`folder:"` + strings.ToLower(f.Path) + `"`) }

func deletable(f domain.Folder, all []domain.Folder) bool {
	for _, x := range all {
		if x.Parent == f.ID {
			return false
		}
	}
	return f.VMs == 0
}
