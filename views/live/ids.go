package live

// DOM ids that content is swapped into. Rows and badges carry the id of what they show.
const (
	Content        = "content"
	Toasts         = "toasts"
	Drawer         = "drawer"
	DrawerRows     = "drawer-rows"
	DrawerHead     = "drawer-head"
	Tree           = "tree"
	TreeHosts      = "tree-hosts"
	TreeStorage    = "tree-storage"
	TreePoolsUnder = "tree-under-pools"
	HeaderStatus   = "header-status"
	Dialog         = "dialog"
	DialogBody     = "dialog-body"
	Palette        = "palette"
	PaletteResults = "palette-results"
	SearchResults  = "search-results"
	KeysDialog     = "keys-dialog"
	ListRegion     = "list"
	ListRows       = "list-rows"
	ListPager      = "list-pager"
	ListNews       = "list-news"
	StreamHolder   = "stream" // the element that holds the page's one event stream
	ListCount      = "list-count"
	AskRegion      = "ask"
	CreateFormID   = "create"
	Overview       = "overview"
	FormRegion     = "form"
	FormChoices    = "form-choices"
	TrialRegion    = "trial"
	TaskLog        = "task-log"
	TaskBody       = "task-body"
	EventRows      = "event-rows"
	PageHead       = "page-head"
	PageBanner     = "page-banner"
	VMFacts        = "vm-facts"
	VMPending      = "vm-pending"
	VMDescription  = "vm-description"
	Hardware       = "hardware"
	HostFacts      = "host-facts"
	PageTab        = "page-tab"
	ColumnsForm    = "columns"
)

// VMRow is a VM's row in a list.
func VMRow(id string) string { return "row-" + id }

// HostRow is a host's row in the list.
func HostRow(id string) string { return "row-" + id }

// TaskRow is a job's row in the list.
func TaskRow(id string) string { return "row-" + id }

// DrawerTask is a job's row in the drawer.
func DrawerTask(id string) string { return "drawer-" + id }

// TreeNode is a VM's, a host's or a pool's entry in the tree.
func TreeNode(id string) string { return "tree-" + id }

// TreeBranch is a host in the tree with everything below it.
func TreeBranch(hostID string) string { return "tree-host-" + hostID }

// TreeChildren holds the VMs below a host in the tree.
func TreeChildren(hostID string) string { return "tree-under-" + hostID }

// Field is the id of a form's control, and FieldError of the text that says what is wrong with it.
func Field(form, name string) string { return form + "-" + name }

// FieldError is described-by of a wrong field.
func FieldError(form, name string) string { return form + "-" + name + "-error" }

// FieldHelp is described-by of a field.
func FieldHelp(form, name string) string { return form + "-" + name + "-help" }

// TaskProgress is where a running job's progress is shown in the drawer.
func TaskProgress(id string) string { return "progress-" + id }
