package live

// Pages of networks, of security groups and of what is plugged in where.
const (
	Networks        = "/networks"              // GET filter, sort, desc; POST creates
	NetworkNew      = "/networks/new"          // GET form
	Topology        = "/networks/topology"     // GET host, network: the picture
	PatNetwork      = "/networks/:id"          // one network, on all its hosts
	PatNetworkEdit  = "/networks/:id/edit"     // GET form, POST
	PatNetworkAct   = "/networks/:id/:action"  // POST start, stop, autostart, no-autostart, delete, equal, like; GET asks before stop, delete, equal, like
	PatVMNICs       = "/vms/:id/nics"          // POST attaches a card
	PatVMNIC        = "/vms/:id/nics/:mac"     // POST changes it
	PatVMNICAct     = "/vms/:id/nics/:mac/:do" // GET dialog, POST detach; POST up, down
	SecGroups       = "/security-groups"
	SecGroupNew     = "/security-groups/new" // GET form
	PatSecGroup     = "/security-groups/:id"
	PatSecGroupEdit = "/security-groups/:id/edit" // GET form, POST says what it does and, asked to, saves
	PatSecGroupDel  = "/security-groups/:id/delete"

	NetworkBody    = "network"  // what is live on a network's page
	TopologyRegion = "topology" // the picture with its table
	CardsRegion    = "hw-nics"
	VMAddresses    = "vm-addresses"
	NetworkFormID  = "net"
	SecGroupFormID = "sg"
)

// What pages of networks listen to, beside the ids of networks and security groups.
const (
	OnNetworks  = "networks"
	OnTopology  = "topology"
	OnSecGroups = "secgroups"
)

// Network is a network's page.
func Network(id string) string { return at("networks", id) }

// NetworkEdit changes it.
func NetworkEdit(id string) string { return at("networks", id, "edit") }

// NetworkAct does one thing with it.
func NetworkAct(id, action string) string { return at("networks", id, action) }

// TopologyOf is the picture of one host or of one network; "" leaves that open.
func TopologyOf(host, network string) string { return With(Topology, "host", host, "network", network) }

// NetworksNamed is the list with a filter.
func NetworksNamed(filter string) string { return With(Networks, "filter", filter) }

// VMNICs attaches a card to a VM.
func VMNICs(vm string) string { return at("vms", vm, "nics") }

// VMNIC changes a card of a VM.
func VMNIC(vm, mac string) string { return at("vms", vm, "nics", mac) }

// VMNICAct detaches a card, or plugs its cable in or out.
func VMNICAct(vm, mac, do string) string { return at("vms", vm, "nics", mac, do) }

// SecGroup is a security group's page.
func SecGroup(id string) string { return at("security-groups", id) }

// SecGroupEdit changes its rules.
func SecGroupEdit(id string) string { return at("security-groups", id, "edit") }

// SecGroupDelete asks for and does its deletion.
func SecGroupDelete(id string) string { return at("security-groups", id, "delete") }
