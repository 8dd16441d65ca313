// Package access is the pure permission table: which role may do what. Every route names one permission from here, and a golden file
// shows the matrix of routes by roles.
//
// It is not for who somebody is (package auth) nor for what a route does (package handlers); it reads nothing and remembers nothing.
package access

import "slices"

// Permission names one thing that a person or a token may be allowed to do.
type Permission string

const (
	// Public needs no sign-in: the sign-in page, static files, health.
	Public Permission = "public"
	// AccountSelf is what everybody signed in may do with the own account.
	AccountSelf Permission = "account.self"

	HostRead     Permission = "host.read"
	HostAdd      Permission = "host.add"
	HostEdit     Permission = "host.edit"     // name, notes, labels, maintenance, reconnect
	HostMaintain Permission = "host.maintain" // evacuate, and bring back
	HostRemove   Permission = "host.remove"
	VMRead       Permission = "vm.read"
	VMCreate     Permission = "vm.create" // create and clone
	VMPower      Permission = "vm.power"  // start, stop, pause, save and their kin
	VMEdit       Permission = "vm.edit"   // hardware, name, tags, notes
	VMMigrate    Permission = "vm.migrate"
	VMDelete     Permission = "vm.delete"
	VMConsole    Permission = "vm.console"   // screen, keyboard, serial line, screenshot
	GuestRead    Permission = "guest.read"   // what the agent inside a guest tells
	GuestManage  Permission = "guest.manage" // clock, freeze, passwords, keys, cloud-init, which commands are allowed
	GuestExec    Permission = "guest.exec"   // run commands inside a guest
	VMSnapshot   Permission = "vm.snapshot"  // take, revert to and delete snapshots, and their schedules
	JobRead      Permission = "job.read"
	JobCancel    Permission = "job.cancel" // cancel, and for stuck ones retry and dismiss
	EventRead    Permission = "event.read"
	TokenManage  Permission = "token.manage" // list, make and revoke API tokens

	PoolRead      Permission = "pool.read"
	PoolManage    Permission = "pool.manage" // make, start, stop, delete
	VolumeRead    Permission = "volume.read"
	VolumeManage  Permission = "volume.manage"  // make, resize, clone, delete
	VolumeContent Permission = "volume.content" // read and write what is inside

	ImageRead      Permission = "image.read"
	ImageManage    Permission = "image.manage" // import, publish, deprecate, place, delete
	TemplateRead   Permission = "template.read"
	TemplateManage Permission = "template.manage" // make, deprecate, roll out, delete; making a VM of one is vm.create

	NetworkRead    Permission = "network.read"    // networks, leases, security groups, the picture
	NetworkManage  Permission = "network.manage"  // create, edit, start, stop, delete networks
	SecGroupManage Permission = "secgroup.manage" // create, edit, delete security groups
)

// All lists every permission that a role can hold, in the order of the table.
var All = []Permission{
	AccountSelf, HostRead, HostAdd, HostEdit, HostRemove, HostMaintain, VMMigrate, VMRead, VMCreate, VMPower, VMEdit, VMDelete, VMConsole,
	GuestRead, GuestManage, GuestExec, VMSnapshot,
	JobRead, JobCancel, EventRead, TokenManage,
	PoolRead, PoolManage, VolumeRead, VolumeManage, VolumeContent,
	ImageRead, ImageManage, TemplateRead, TemplateManage,
	NetworkRead, NetworkManage, SecGroupManage,
}

// Roles that exist today.
const (
	Admin  = "admin"
	Viewer = "viewer"
)

// Roles lists them for menus and for the golden matrix.
var Roles = []string{Admin, Viewer}

var table = map[string][]Permission{
	Admin:  All,
	Viewer: {AccountSelf, HostRead, VMRead, GuestRead, JobRead, EventRead, PoolRead, VolumeRead, ImageRead, TemplateRead, NetworkRead},
}

// Allowed reports whether the role holds the permission. An unknown role holds none; Public is open to everybody.
func Allowed(role string, p Permission) bool {
	return p == Public || slices.Contains(table[role], p)
}

// Known reports whether the role exists.
func Known(role string) bool { return table[role] != nil }

// Valid reports whether p is a permission of this table, so that a route with a typing error fails a test and not a visitor.
func Valid(p Permission) bool { return p == Public || slices.Contains(All, p) }
