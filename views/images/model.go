// Package images shows the image library: the list, an image with its versions, one version, where copies are, and the forms and dialogs that change them.
//
// It is not for templates (package templates) nor for volumes.
package images

import (
	"fmt"
	"strings"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/ui"
)

// List is a page of the library.
type List struct {
	Items  []domain.Image
	Filter string
	State  domain.ImageState
	Sort   string
	Desc   bool
	After  string
	Next   string
	Total  int
	All    int
}

// Copy is a version's file on a host.
type Copy struct {
	domain.ImageCopy
	Ref     string // name@version
	ImageID string
	Host    string // its name
}

// Use is a VM that began as a version.
type Use struct {
	VMID, VM, Host string
	Label          string // of the version
	Disk           int
	Linked         bool
}

// Page is an image, or with Version one version of it.
type Page struct {
	Image      domain.Image
	Version    *domain.ImageVersion
	Copies     []Copy
	Uses       []Use
	Jobs       map[string]domain.Job // running jobs by version id
	Received   int64                 // of an upload that is under way
	CanConvert bool
	Why        string // why it cannot
}

// New is the form that makes a version.
type New struct {
	Image      domain.Image // ID is empty for a new image
	Form       Form
	Whose      layout.Whose // of a new image
	VMs        []VMChoice
	CanConvert bool
	Why        string
	Err        *domain.Error
	Key        string
}

// VMChoice is a VM to make an image of; Why is set when it cannot be used now.
type VMChoice struct{ ID, Label, Why string }

// Form is the new version as typed.
type Form struct {
	From                                             string // url, upload, vm or volume
	Name, Arch, Description, Version, Changelog      string
	Format, SHA256, URL, VM, Target, Volume, VolText string
	Publish, Tenant                                  string
}

// Ask is a dialog about an image or a version of it.
type Ask struct {
	Action  string // edit, delete, place
	Image   domain.Image
	Version *domain.ImageVersion
	Form    Form
	Confirm string
	Host    string
	Pool    string
	Hosts   []ui.Option
	Err     *domain.Error
	Key     string
}

// Unused is a copy or a frozen disk that nothing needs.
type Unused struct {
	ID, What, Host, Path string
	Base                 bool
	Bytes                int64
}

// Copies is where images are on hosts, what of it nothing needs, and when it goes by itself.
type Copies struct {
	Items  []Copy
	Unused []Unused
	Policy Policy
	Err    *domain.Error
	Key    string
}

// Policy is the collection of unused copies as typed.
type Policy struct{ Collect, Days, Keep string }

// Tabs lead between the parts of the library.
func Tabs(s layout.Shell, on string) []ui.Tab {
	out := []ui.Tab{{Label: "Images", URL: live.Images, Active: on == "images"}}
	if s.May("template.read") {
		out = append(out, ui.Tab{Label: "Templates", URL: live.Templates, Active: on == "templates"})
	}
	return append(out, ui.Tab{Label: "Copies on hosts", URL: live.ImageCopies, Active: on == "copies"})
}

type look struct{ tone, icon, word string }

func stateLook(v domain.ImageVersion) look {
	switch v.State {
	case domain.ImageImporting:
		if v.JobID == "" {
			return look{ui.Info, "arrow-up", "waits for its upload"}
		}
		return look{ui.Info, "loader-2", "importing"}
	case domain.ImageDraft:
		return look{ui.Warn, "pencil", "draft"}
	case domain.ImagePublished:
		return look{ui.OK, "circle-check", "published"}
	}
	return look{ui.Neutral, "ban", "deprecated"}
}

// newest is the version that the image's name means, or else the newest there is.
func newest(i domain.Image) (v domain.ImageVersion, ok bool) {
	for _, x := range i.Versions {
		if x.State == domain.ImagePublished && (!ok || x.PublishedAt.After(v.PublishedAt)) {
			v, ok = x, true
		}
	}
	if !ok && len(i.Versions) > 0 {
		return i.Versions[0], true
	}
	return v, ok
}

// usable is the reference that a new VM may name: without a version when it is the one that the name means.
func usable(i domain.Image) string {
	if v, ok := newest(i); ok && v.State == domain.ImagePublished {
		return i.Name
	} else if ok && v.Usable() == nil {
		return v.Ref()
	}
	return ""
}

func sizes(v domain.ImageVersion) string {
	if v.FileBytes == 0 {
		return ""
	}
	return domain.FormatBytes(v.FileBytes)
}

func disk(v domain.ImageVersion) string {
	if v.VirtualBytes == 0 {
		return ""
	}
	return domain.FormatBytes(v.VirtualBytes)
}

func short(sum string) string { return sum[:min(12, len(sum))] }

func hints(v domain.ImageVersion) string {
	var out []string
	if v.Hints.VCPUs > 0 {
		out = append(out, ui.Plural(v.Hints.VCPUs, "vCPU", "vCPUs"))
	}
	if v.Hints.MemoryBytes > 0 {
		out = append(out, domain.FormatBytes(v.Hints.MemoryBytes)+" of memory")
	}
	return strings.Join(out, ", ")
}

// formats are what a version can be downloaded as.
func formats(m Page, v domain.ImageVersion) []string {
	if v.Format == domain.FormatISO || !m.CanConvert {
		return []string{v.Format}
	}
	return domain.ImageFormatsOut
}

func formatLabel(v domain.ImageVersion, format string) string {
	if format == v.Format {
		return "Download " + format + ", as it is kept"
	}
	return "Download as " + format
}

func came(src domain.ImageSource) string {
	if src.Format == "" {
		return ""
	}
	out := src.Format
	if src.Bytes > 0 {
		out += ", " + domain.FormatBytes(src.Bytes)
	}
	return out
}

func vmsText(n int) string { return ui.Plural(n, "VM", "VMs") }

func heading(m New) string {
	if m.Image.ID == "" {
		return "Add an image"
	}
	return "Add a version to " + m.Image.Name
}

func fromURL(m New, from string) string { return live.ImageNewFrom(from, m.Image.ID, m.Form.VM) }

func archOptions(has string) []ui.Option {
	out := []ui.Option{}
	known := false
	for _, a := range []string{"x86_64", "aarch64", "riscv64", "ppc64le", "s390x", "i686"} {
		out, known = append(out, ui.Option{Value: a, Label: a}), known || a == has
	}
	if !known && has != "" {
		out = append(out, ui.Option{Value: has, Label: has})
	}
	return out
}

func formatOptions(m New) []ui.Option {
	out := []ui.Option{{Value: "", Label: "Found out by itself"}}
	for _, f := range domain.ImageFormatsIn {
		out = append(out, ui.Option{Value: f, Label: f, Disabled: !m.CanConvert && !domain.NativeFormat(f)})
	}
	return out
}

func vmOptions(m New) []ui.Option {
	out := []ui.Option{{Value: "", Label: "Choose …"}}
	for _, v := range m.VMs {
		o := ui.Option{Value: v.ID, Label: v.Label}
		if v.Why != "" {
			o.Label, o.Disabled = v.Label+" – "+v.Why, v.ID != m.Form.VM
		}
		out = append(out, o)
	}
	return out
}

func whyVM(m New) string {
	for _, v := range m.VMs {
		if v.ID == m.Form.VM {
			return v.Why
		}
	}
	return ""
}

func verb(from string) string {
	switch from {
	case domain.SourceUpload:
		return "Go on: choose the file"
	case domain.SourceURL:
		return "Fetch it"
	}
	return "Make it"
}

func sortURL(m List, col string) string {
	desc := ""
	if (m.Sort == col || m.Sort == "" && col == "name") && !m.Desc {
		desc = "1"
	}
	return live.With(live.Images, "filter", m.Filter, "state", string(m.State), "sort", col, "desc", desc)
}

func (m List) sorted(col string) string {
	return ui.Sorted(m.Sort == col || m.Sort == "" && col == "name", m.Desc)
}

func (m List) url(pairs ...string) string {
	desc := ""
	if m.Desc {
		desc = "1"
	}
	return live.With(live.With(live.Images, "filter", m.Filter, "state", string(m.State), "sort", m.Sort, "desc", desc), pairs...)
}

func askTitle(m Ask) string {
	switch m.Action {
	case "edit":
		return "Edit " + m.Image.Name
	case "place":
		return "Copy " + m.Version.Ref() + " to a host"
	}
	if m.Version != nil {
		return "Delete " + m.Version.Ref() + "?"
	}
	return "Delete the image " + m.Image.Name + "?"
}

func askURL(m Ask) string {
	switch {
	case m.Version != nil:
		return live.ImageAct(m.Image.ID, m.Version.Label, m.Action)
	case m.Action == "edit":
		return live.ImageEdit(m.Image.ID)
	}
	return live.ImageDelete(m.Image.ID)
}

func askBack(m Ask) string {
	if m.Version != nil {
		return live.ImageVersion(m.Image.ID, m.Version.Label)
	}
	return live.Image(m.Image.ID)
}

func unusedBytes(list []Unused) (n int64) {
	for _, u := range list {
		if !u.Base {
			n += u.Bytes
		}
	}
	return n
}

func unusedCopies(list []Unused) (n int) {
	for _, u := range list {
		if !u.Base {
			n++
		}
	}
	return n
}

func how(u Use) string {
	if u.Linked {
		return fmt.Sprintf("disk %d, linked", u.Disk+1)
	}
	return fmt.Sprintf("disk %d, a copy", u.Disk+1)
}
