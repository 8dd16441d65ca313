package live

import (
	"net/url"
	"strconv"
)

// Pages of the image library and of templates.
const (
	Images          = "/images"                            // GET filter, state, sort, desc, after; POST makes a version
	ImageNew        = "/images/new"                        // GET form: from, image, vm, volume
	ImageCopies     = "/images/copies"                     // GET where copies are; POST ids: removes what nothing needs
	ImagePolicy     = "/images/policy"                     // POST collect, unused_days, keep
	PatImage        = "/images/:id"                        // GET
	PatImageEdit    = "/images/:id/edit"                   // GET dialog, POST version, name, arch, description
	PatImageDelete  = "/images/:id/delete"                 // GET dialog, POST confirm
	PatImageVersion = "/images/:id/versions/:v"            // GET
	PatImageContent = "/images/:id/versions/:v/content"    // GET the file, format; HEAD how far an upload is; PUT a part of it
	PatImageAct     = "/images/:id/versions/:v/:action"    // GET delete, place: dialogs; POST those, publish, deprecate
	Templates       = "/templates"                         // GET filter, sort, desc, after; POST makes one
	TemplateNew     = "/templates/new"                     // GET form: vm
	PatTemplate     = "/templates/:id"                     // GET version, against
	PatTemplateNext = "/templates/:id/versions/new"        // GET form of the next version, POST writes it
	PatTemplateAct  = "/templates/:id/versions/:n/:action" // POST deprecate, restore
	PatTemplateEdit = "/templates/:id/edit"                // GET dialog, POST version, name, description
	PatTemplateDel  = "/templates/:id/delete"              // GET dialog, POST confirm
	PatTemplateUse  = "/templates/:id/new-vm"              // GET form, POST makes a VM
	PatRollout      = "/templates/:id/rollout"             // GET version: preview; POST version, vms
	PatVMTemplate   = "/vms/:id/template"                  // GET dialog, POST name, description: makes a template of the VM
	PatVMPin        = "/vms/:id/template/pin"              // POST on=1 or on=0

	ImageRegion    = "image-region"
	UploadRegion   = "upload"
	TemplateRegion = "template-region"
	RolloutForm    = "rollout"
	ImageFormID    = "image"
	TemplateFormID = "template"
	ParamRows      = "parameters"
)

// Image is an image's page.
func Image(id string) string { return at("images", id) }

// ImageEdit renames or describes it.
func ImageEdit(id string) string { return at("images", id, "edit") }

// ImageDelete deletes it with all versions.
func ImageDelete(id string) string { return at("images", id, "delete") }

// ImageVersion is the page of one version.
func ImageVersion(id, v string) string { return at("images", id, "versions", v) }

// ImageAct does one thing with a version, or asks.
func ImageAct(id, v, action string) string { return at("images", id, "versions", v, action) }

// ImageContent is a version's file; format "" is as it is kept.
func ImageContent(id, v, format string) string {
	u := at("images", id, "versions", v, "content")
	if format == "" {
		return u
	}
	return u + "?" + url.Values{"format": {format}}.Encode()
}

// ImageNewFrom is the form for a new version: of the image if it is named, from a VM if that is.
func ImageNewFrom(from, image, vm string) string {
	return With(ImageNew, "from", from, "image", image, "vm", vm)
}

// VMNewOf is the create form with an image of the library chosen.
func VMNewOf(ref string) string { return VMNew + "?" + url.Values{"library": {ref}}.Encode() }

// Template is a template's page, showing its newest version.
func Template(id string) string { return at("templates", id) }

// TemplateVersion shows one version, and what changed since another one (0: the one before).
func TemplateVersion(id string, n, against int) string {
	u := With(at("templates", id), "version", strconv.Itoa(n))
	if against > 0 {
		u = With(u, "against", strconv.Itoa(against))
	}
	return u
}

// TemplateNext is the form for the next version.
func TemplateNext(id string) string { return at("templates", id, "versions", "new") }

// TemplateAct deprecates a version or takes that back.
func TemplateAct(id string, n int, action string) string {
	return at("templates", id, "versions", strconv.Itoa(n), action)
}

// TemplateEdit renames or describes it.
func TemplateEdit(id string) string { return at("templates", id, "edit") }

// TemplateDelete forgets it.
func TemplateDelete(id string) string { return at("templates", id, "delete") }

// TemplateUse is the form for a VM of it.
func TemplateUse(id string) string { return at("templates", id, "new-vm") }

// Rollout shows what bringing its VMs to a version would do, and does it.
func Rollout(id string, n int) string {
	return With(at("templates", id, "rollout"), "version", strconv.Itoa(n))
}

// VMPin keeps a VM out of roll-outs.
func VMPin(id string) string { return at("vms", id, "template", "pin") }

// VMTemplate makes a template of the VM.
func VMTemplate(id string) string { return at("vms", id, "template") }
