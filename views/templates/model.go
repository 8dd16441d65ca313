// Package templates shows templates: the list, one template with its versions and what changed between them, the form that writes a version, the form that makes
// a VM of one, and the preview of a roll-out. It reads its forms back (form.go), so that field names are written once.
//
// It is not for images (package images) nor for deciding what a roll-out changes.
package templates

import (
	"fmt"
	"strconv"
	"strings"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/ui"
)

// List is a page of templates.
type List struct {
	Items  []domain.Template
	Filter string
	Sort   string
	Desc   bool
	After  string
	Next   string
	Total  int
}

// VM is a VM that came of the template.
type VM struct {
	domain.VMTemplate
	VM domain.VM
}

// Page is one template, showing one version of it.
type Page struct {
	Template domain.Template
	Version  domain.TemplateVersion
	Against  *domain.TemplateVersion // what Changes compares with; nil: there is nothing before
	Changes  []domain.Change
	VMs      []VM
	Job      *domain.Job // a roll-out that runs
}

// Edit is the form that writes a version.
type Edit struct {
	Template domain.Template // ID is empty for a new one
	VM       domain.VM       // that it is made like, if ID is set
	Made     bool            // … and its first disk begins as an image that was made of it
	Base     domain.VMSpec   // what the form does not show stays as it is here
	Form     Form
	Whose    layout.Whose // of a new one
	Library  []domain.Image
	Pools    []string
	Networks []string
	HasHash  bool // the version before sets a password
	Err      *domain.Error
	Key      string
}

// Ask is a dialog: edit or delete.
type Ask struct {
	Action   string
	Template domain.Template
	Name     string
	Text     string // the description
	Confirm  string
	Err      *domain.Error
}

// Use is the form that makes a VM of a template.
type Use struct {
	Template domain.Template
	Version  domain.TemplateVersion
	Hosts    []ui.Option
	Networks []string
	Form     UseForm
	Whose    layout.Whose
	Folders  []ui.Option
	Err      *domain.Error
	Key      string
}

// UseForm is what was typed.
type UseForm struct {
	Name, Host, Tags, Notes string
	Start, Pinned           string
	Tenant, Folder          string
	Values                  map[string]string
}

// Rollout is the preview of bringing VMs to a version.
type Rollout struct {
	Template domain.Template
	Version  domain.TemplateVersion
	VMs      []RolloutVM
	Err      *domain.Error
	Key      string
}

// RolloutVM is what would be done to one VM.
type RolloutVM struct {
	VM      domain.VM
	From    int
	Changes []domain.Change
	Restart bool
	Skip    string
}

func (m Rollout) takes() (n int) {
	for _, v := range m.VMs {
		if v.Skip == "" {
			n++
		}
	}
	return n
}

// offered is the version that new VMs are made of, if there is one.
func offered(t domain.Template) (domain.TemplateVersion, bool) {
	for _, v := range t.Versions {
		if !v.Deprecated {
			return v, true
		}
	}
	return domain.TemplateVersion{}, false
}

// hardware says in one line what a version makes.
func hardware(s domain.VMSpec) string {
	out := []string{ui.Plural(s.VCPUs, "vCPU", "vCPUs"), domain.FormatBytes(s.MemoryBytes)}
	if len(s.Disks) > 0 {
		out = append(out, ui.Plural(len(s.Disks), "disk", "disks"))
	}
	return strings.Join(out, ", ")
}

func imageOf(s domain.VMSpec) string {
	for _, d := range s.Disks {
		if d.Image != "" {
			return d.Image
		}
	}
	return ""
}

func paramType(p domain.Parameter) string {
	if len(p.Choices) > 0 {
		return p.Type + ": " + strings.Join(p.Choices, ", ")
	}
	return p.Type
}

func paramDefault(p domain.Parameter) string {
	if n, err := strconv.ParseInt(p.Default, 10, 64); err == nil && p.Type == domain.ParamSize {
		return domain.FormatBytes(n)
	}
	return p.Default
}

func paramLabel(p domain.Parameter) string {
	if p.Label != "" {
		return p.Label
	}
	return map[string]string{domain.ParamVCPUs: "vCPU", domain.ParamMemory: "Memory", domain.ParamDisk: "Size of the first disk", domain.ParamNetwork: "Network", domain.ParamHost: "Host"}[p.Name]
}

func labelOr(p domain.Parameter) string {
	if l := paramLabel(p); l != "" {
		return l
	}
	return p.Name
}

func placeholder(p domain.Parameter) string {
	if p.Type == domain.ParamSize {
		return "20 GiB"
	}
	return ""
}

func choices(p domain.Parameter) []ui.Option {
	var out []ui.Option
	if p.Default == "" && !p.Required {
		out = append(out, ui.Option{Value: "", Label: "–"})
	}
	for _, c := range p.Choices {
		out = append(out, ui.Option{Value: c, Label: c})
	}
	return out
}

func names(list []string, has, none string) []ui.Option {
	out := []ui.Option{{Value: "", Label: none}}
	seen := has == ""
	for _, n := range list {
		out, seen = append(out, ui.Option{Value: n, Label: n}), seen || n == has
	}
	if !seen {
		out = append(out, ui.Option{Value: has, Label: has})
	}
	return out
}

func sortURL(m List, col string) string {
	desc := ""
	if (m.Sort == col || m.Sort == "" && col == "name") && !m.Desc {
		desc = "1"
	}
	return live.With(live.Templates, "filter", m.Filter, "sort", col, "desc", desc)
}

func (m List) sorted(col string) string {
	return ui.Sorted(m.Sort == col || m.Sort == "" && col == "name", m.Desc)
}

func (m List) url(pairs ...string) string {
	desc := ""
	if m.Desc {
		desc = "1"
	}
	return live.With(live.With(live.Templates, "filter", m.Filter, "sort", m.Sort, "desc", desc), pairs...)
}

func heading(m Edit) string {
	switch {
	case m.Template.ID != "":
		return fmt.Sprintf("Version %d of %s", len(m.Template.Versions)+1, m.Template.Name)
	case m.VM.ID != "":
		return "Make a template from " + m.VM.Name
	}
	return "New template"
}

func editURL(m Edit) string {
	if m.Template.ID != "" {
		return live.TemplateNext(m.Template.ID)
	}
	return live.Templates
}

func editBack(m Edit) string {
	if m.Template.ID != "" {
		return live.Template(m.Template.ID)
	}
	return live.Templates
}

func paramField(i int, k string) string { return fmt.Sprintf("parameters.%d.%s", i, k) }

func typeOptions() []ui.Option {
	words := map[string]string{domain.ParamText: "text", domain.ParamNumber: "number", domain.ParamSize: "size", domain.ParamChoice: "choice", domain.ParamSwitch: "yes or no"}
	var out []ui.Option
	for _, t := range domain.ParamTypes {
		out = append(out, ui.Option{Value: t, Label: words[t]})
	}
	return out
}

// kept are the parts of the base that the form does not show.
func kept(m Edit) []string {
	var out []string
	for _, d := range m.Base.Disks {
		if fixed(d) {
			out = append(out, d.Describe())
		}
	}
	return out
}

// bootLines are what the first boot reads, in words.
func bootLines(c *domain.CloudInit) []struct{ Label, Text string } {
	if c == nil {
		return nil
	}
	var out []struct{ Label, Text string }
	add := func(label, text string) {
		if text != "" {
			out = append(out, struct{ Label, Text string }{label, text})
		}
	}
	add("Host name", c.Hostname)
	add("User", c.User)
	if c.PasswordHash != "" {
		add("Password", "set")
	}
	add("SSH keys", strings.Join(c.SSHKeys, "\n"))
	add("Packages", strings.Join(c.Packages, ", "))
	add("Commands", strings.Join(c.RunCmd, "\n"))
	add("Time zone", c.Timezone)
	add("Network", c.NetworkConfig)
	add("User data", c.UserData)
	add("Vendor data", c.VendorData)
	return out
}

func askTitle(m Ask) string {
	if m.Action == "edit" {
		return "Edit " + m.Template.Name
	}
	return "Delete the template " + m.Template.Name + "?"
}

func askURL(m Ask) string {
	if m.Action == "edit" {
		return live.TemplateEdit(m.Template.ID)
	}
	return live.TemplateDelete(m.Template.ID)
}
