// Package access decides who may do what. Permissions are verbs on kinds; roles are sets of them; bindings give roles to people, groups and tokens
// at the estate, a tenant, a folder, a tag or one object, or take them away there. Every route names one permission from here, and a golden file shows the
// matrix of routes by built-in roles. The answer and its explanation come from one function.
//
// It is not for who somebody is (package auth) nor for what a route does (package handlers); it reads nothing and remembers nothing: it is given
// the roles and bindings, and answers.
package access

import (
	"slices"
	"strings"
)

// Permission names one thing that a person or a token may be allowed to do.
type Permission string

const (
	// Public needs no sign-in: the sign-in page, static files, health.
	Public Permission = "public"
	// AccountSelf is what everybody signed in may do with the own account.
	AccountSelf Permission = "account.self"

	HostRead       Permission = "host.read"
	HostAdd        Permission = "host.add"
	HostEdit       Permission = "host.edit"     // name, notes, labels, maintenance, reconnect
	HostMaintain   Permission = "host.maintain" // evacuate, and bring back
	HostRemove     Permission = "host.remove"
	AffinityRead   Permission = "affinity.read"   // rules that keep VMs together, apart, or on hosts
	AffinityManage Permission = "affinity.manage" // write and delete them: a tenant's for its VMs, the estate's for all
	VMRead         Permission = "vm.read"
	VMCreate       Permission = "vm.create" // create and clone
	VMPower        Permission = "vm.power"  // start, stop, pause, save and their kin
	VMEdit         Permission = "vm.edit"   // hardware, name, tags, notes
	VMMigrate      Permission = "vm.migrate"
	VMDelete       Permission = "vm.delete"
	VMConsole      Permission = "vm.console"    // screen, keyboard, serial line, screenshot
	GuestRead      Permission = "guest.read"    // what the agent inside a guest tells
	GuestManage    Permission = "guest.manage"  // clock, freeze, passwords, keys, cloud-init, which commands are allowed
	GuestExec      Permission = "guest.exec"    // run commands inside a guest
	VMSnapshot     Permission = "vm.snapshot"   // take, revert to and delete snapshots, and their schedules
	FolderManage   Permission = "folder.manage" // make, rename and delete folders, and put VMs into them: roles are given in folders
	JobRead        Permission = "job.read"
	JobCancel      Permission = "job.cancel" // cancel, and for stuck ones retry and dismiss
	EventRead      Permission = "event.read"
	TokenManage    Permission = "token.manage" // list, make and revoke API tokens

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

	AlertRead   Permission = "alert.read"   // alerts, their rules, silences, receivers and incidents
	AlertHandle Permission = "alert.handle" // look after alerts, leave comments, silence
	AlertManage Permission = "alert.manage" // write rules and receivers

	MetricWrite Permission = "metric.write" // send samples of hosts, as node_exporter and its kin measure them

	WebhookManage Permission = "webhook.manage" // send what happens to other systems, and see where it went

	VMHostFiles  Permission = "vm.hostfiles" // give VMs kernels, disks and devices of the host by their path or address
	TenantRead   Permission = "tenant.read"  // tenants with quota and usage
	TenantManage Permission = "tenant.manage"
	UserRead     Permission = "user.read" // people and groups
	UserManage   Permission = "user.manage"
	RoleRead     Permission = "role.read"   // roles, bindings, and why somebody may do something
	RoleManage   Permission = "role.manage" // make roles, give and take them
	AuditRead    Permission = "audit.read"
)

// All lists every permission that a role can hold, in the order of the table.
var All = []Permission{
	AccountSelf, HostRead, HostAdd, HostEdit, HostRemove, HostMaintain, AffinityRead, AffinityManage, VMMigrate, VMRead, VMCreate, VMPower, VMEdit, VMDelete, VMConsole,
	GuestRead, GuestManage, GuestExec, VMSnapshot, FolderManage,
	JobRead, JobCancel, EventRead, TokenManage,
	PoolRead, PoolManage, VolumeRead, VolumeManage, VolumeContent,
	ImageRead, ImageManage, TemplateRead, TemplateManage,
	NetworkRead, NetworkManage, SecGroupManage, AlertRead, AlertHandle, AlertManage, MetricWrite, WebhookManage,
	VMHostFiles, TenantRead, TenantManage, UserRead, UserManage, RoleRead, RoleManage, AuditRead,
}

// Kind is the part before the dot: what the verb is done to.
func (p Permission) Kind() string {
	kind, _, _ := strings.Cut(string(p), ".")
	return kind
}

// Looks reports whether the permission only lets somebody see.
func (p Permission) Looks() bool { return strings.HasSuffix(string(p), ".read") }

// Valid reports whether p is a permission of this table, so that a route with a typing error fails a test and not a visitor.
func Valid(p Permission) bool { return p == Public || number[p] > 0 }

// number gives each permission its place in a set, from 1.
var number = func() map[Permission]int {
	m := make(map[Permission]int, len(All))
	for i, p := range All {
		m[p] = i + 1
	}
	return m
}()

// set is permissions as bits.
type set [4]uint64

func (s *set) add(p Permission) {
	if n := number[p]; n > 0 {
		s[n>>6] |= 1 << (n & 63)
	}
}

func (s *set) has(p Permission) bool {
	n := number[p]
	return n > 0 && s[n>>6]&(1<<(n&63)) != 0
}

// Expand gives the permissions that names stand for: themselves, or all of a kind for kind.*. A name that stands for none is told.
func Expand(names []string) (perms []Permission, unknown []string) {
	for _, name := range names {
		kind, all := strings.CutSuffix(name, ".*")
		found := false
		for _, p := range All {
			if string(p) == name || name == "*" || all && p.Kind() == kind {
				found = true
				if !slices.Contains(perms, p) {
					perms = append(perms, p)
				}
			}
		}
		if !found {
			unknown = append(unknown, name)
		}
	}
	return perms, unknown
}

func setOf(names []string) (s set) {
	perms, _ := Expand(names)
	for _, p := range perms {
		s.add(p)
	}
	return s
}
