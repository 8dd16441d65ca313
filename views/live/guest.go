package live

import "github.com/a-h/templ"

// The guest tab of a VM's page, its actions, and what a first boot reads.
const (
	GuestTab          = "guest"
	PatGuestExec      = "/vms/:id/guest/exec"         // POST argv (one line), timeout_s
	PatGuestProcesses = "/vms/:id/guest/processes"    // POST asks which take most
	PatGuestAct       = "/vms/:id/guest/:action"      // GET dialog: freeze, password, ssh-keys, allow; POST these and look, time, thaw
	PatCloudInit      = "/vms/:id/cloud-init"         // GET form, POST fields of vms.CloudInitForm
	PatCloudInitShow  = "/vms/:id/cloud-init/preview" // POST the form: the element FirstBootPreview
	VMNewPreview      = "/vms/new/preview"            // POST the create form: the element FirstBootPreview
	VMDemo            = "/vms/demo"                   // POST makes and starts a demo guest
	GuestFacts        = "guest-facts"
	GuestHistory      = "guest-history"
	GuestCommand      = "guest-command"
	GuestProcesses    = "guest-processes"
	GuestFormID       = "guest"
	CloudInitFormID   = "cloud-init"
	FirstBootPreview  = "first-boot-preview"
	firstBootInterval = "400ms"
)

// GuestExec runs a command inside a VM.
func GuestExec(vm string) string { return at("vms", vm, "guest", "exec") }

// GuestAct asks for and does one thing inside a VM.
func GuestAct(vm, action string) string { return at("vms", vm, "guest", action) }

// CloudInit shows and changes what a VM's first boot reads.
func CloudInit(vm string) string { return at("vms", vm, "cloud-init") }

// CloudInitShow shows what a form would make of it.
func CloudInitShow(vm string) string { return at("vms", vm, "cloud-init", "preview") }

// Preview makes an element ask, while the person types in the form, what the form would make, and put the answer in the place of the element FirstBootPreview.
func Preview(url, form string) templ.Attributes {
	return templ.Attributes{
		"hx-post": url, "hx-trigger": "input delay:" + firstBootInterval + ", change delay:" + firstBootInterval, "hx-include": "#" + form,
		"hx-target": "#" + FirstBootPreview, "hx-select": "#" + FirstBootPreview, "hx-swap": "outerMorph ignoreTitle:true", "hx-sync": "this:replace",
	}
}
