package vms

import (
	"fmt"
	"strings"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/ui"
)

// Origin is where a VM came from: the template and the images that its disks began as.
type Origin struct {
	Template *domain.VMTemplate
	Newest   int // the template's newest version
	Images   []domain.ImageVersion
}

// MakeTemplate is the dialog that makes a template of a VM.
type MakeTemplate struct {
	VM                domain.VM
	Disk              string // the disk that becomes the image; empty: it has none of its own
	More              int    // further disks, which begin empty
	Name, Description string
	Err               *domain.Error
	Key               string
}

func (m MakeTemplate) text() string {
	if m.Disk == "" {
		return m.VM.Name + " has no disk of its own, so only its hardware becomes the template."
	}
	out := "What is on disk " + m.Disk + " now is copied into the image library, and VMs of the template begin as that, with the hardware of " + m.VM.Name + "."
	if anyRuns([]domain.VM{m.VM}) {
		out += " It runs on meanwhile: its disk is held still for the copy, quiesced by the guest agent if there is one."
	}
	switch {
	case m.More == 1:
		out += " Its other disk begins empty."
	case m.More > 1:
		out += fmt.Sprintf(" Its %d other disks begin empty.", m.More)
	}
	return out
}

func (m MakeTemplate) nameHelp() string {
	if m.Disk == "" {
		return ""
	}
	return "The image has the same name."
}

// templateURL is the dialog, or the form for who may make templates and no images.
func templateURL(s layout.Shell, vm domain.VM) string {
	if s.May("image.manage") {
		return live.VMTemplate(vm.ID)
	}
	return live.With(live.TemplateNew, "vm", vm.ID)
}

// begin makes the form one for a VM that begins as an image of the library.
func (f *CreateForm) begin(ref string, c Choices) {
	f.Source, f.Library, f.Demo = SourceLib, ref, ""
	f.VCPUs, f.Memory = "2", "2 GiB"
	v, ok := libraryVersion(c, ref)
	if ok && v.Hints.VCPUs > 0 {
		f.VCPUs = fmt.Sprint(v.Hints.VCPUs)
	}
	if ok && v.Hints.MemoryBytes > 0 {
		f.Memory = domain.FormatBytes(v.Hints.MemoryBytes)
	}
	if len(f.Disks) == 0 {
		f.Disks = []DiskForm{newDisk(c)}
	}
	if ok && v.VirtualBytes > 20*domain.GiB {
		f.Disks[0].Size = domain.FormatBytes(v.VirtualBytes)
	}
}

// libraryVersion is what a reference means among the choices.
func libraryVersion(c Choices, ref string) (domain.ImageVersion, bool) {
	name, label := domain.SplitImageRef(ref)
	for _, i := range c.Library {
		if i.Name != name {
			continue
		}
		var best domain.ImageVersion
		for _, v := range i.Versions {
			if v.Label == label && label != "" {
				return v, true
			}
			if label == "" && v.State == domain.ImagePublished && v.PublishedAt.After(best.PublishedAt) {
				best = v
			}
		}
		return best, best.ID != ""
	}
	return domain.ImageVersion{}, false
}

// library puts the chosen image into the spec: a disk becomes the first disk's beginning, an ISO goes into a drive, whose field is extra.
func (f CreateForm) library(p *domain.Problems, c Choices, spec *domain.VMSpec) (extra string) {
	v, ok := libraryVersion(c, f.Library)
	switch {
	case f.Library == "":
		p.Add("library", "No image is chosen.", "an image of the list, or another source")
	case ok && v.Format == domain.FormatISO:
		spec.Disks = append(spec.Disks, domain.Disk{Device: "cdrom", Image: f.Library, ReadOnly: true})
		spec.Boot.Order = []string{"hd", "cdrom"}
		return "library"
	case len(spec.Disks) == 0 || spec.Disks[0].Source != "":
		p.Add("library", "The image becomes the first disk, and there is no new one.", "a new disk as the first")
	default:
		d := &spec.Disks[0]
		d.Image, d.Linked, d.Format = f.Library, f.Linked == "1", ""
	}
	return ""
}

// libraryProblems are what is wrong with the chosen image, wherever it was found.
func libraryProblems(p ui.Problems) ui.Problems {
	out := p.For("library")
	for _, x := range p {
		if strings.HasPrefix(x.Field, "disks.") && strings.HasSuffix(x.Field, ".image") {
			out = append(out, ui.Problem{Field: "library", Msg: x.Msg, Want: x.Want})
		}
	}
	return out
}

// LibraryOptions lists what a VM can begin as: each image by its name, which follows its newest version, and every version that can be used.
func LibraryOptions(list []domain.Image, has string) []ui.Option {
	out := []ui.Option{{Value: "", Label: "Choose …"}}
	seen := has == ""
	add := func(ref, label string) {
		out, seen = append(out, ui.Option{Value: ref, Label: label}), seen || ref == has
	}
	for _, i := range list {
		if v, ok := libraryVersion(Choices{Library: []domain.Image{i}}, i.Name); ok {
			add(i.Name, fmt.Sprintf("%s, newest (%s): %s, %s", i.Name, v.Label, kindOfImage(v), i.Arch))
		}
		for _, v := range i.Versions {
			if v.Usable() == nil {
				word := ""
				if v.State == domain.ImageDraft {
					word = ", a draft"
				}
				add(v.Ref(), fmt.Sprintf("%s: %s, %s%s", v.Ref(), kindOfImage(v), i.Arch, word))
			}
		}
	}
	if !seen {
		out = append(out, ui.Option{Value: has, Label: has})
	}
	return out
}

func kindOfImage(v domain.ImageVersion) string {
	if v.Format == domain.FormatISO {
		return "ISO of " + domain.FormatBytes(v.FileBytes)
	}
	return "disk of " + domain.FormatBytes(v.VirtualBytes)
}

func templateText(m Origin) string {
	t := m.Template
	out := fmt.Sprintf("%s@%d", t.Name, t.Number)
	if m.Newest > t.Number {
		out += fmt.Sprintf(" (newest: %d)", m.Newest)
	}
	return out
}

func originURL(t domain.VMTemplate) string { return live.TemplateVersion(t.TemplateID, t.Number, 0) }
