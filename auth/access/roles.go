package access

import (
	"slices"

	"novacron/domain"
)

// The built-in roles.
const (
	PlatformAdmin  = "platform-admin"
	Operator       = "operator"
	Auditor        = "auditor"
	BackupOperator = "backup-operator"
	TenantAdmin    = "tenant-admin"
	TenantUser     = "tenant-user"

	Admin  = PlatformAdmin
	Viewer = Auditor
)

// Roles lists the built-in roles for menus and for the golden matrix.
var Roles = []string{PlatformAdmin, Operator, Auditor, BackupOperator, TenantAdmin, TenantUser}

func names(perms ...Permission) []string {
	out := make([]string, len(perms))
	for i, p := range perms {
		out[i] = string(p)
	}
	return out
}

func reading() (out []string) {
	for _, p := range All {
		if p.Looks() {
			out = append(out, string(p))
		}
	}
	return out
}

func without(all []string, some ...Permission) []string {
	return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return slices.Contains(some, Permission(n)) })
}

// What a team does with its own VMs and volumes. Hosts, pools and networks are not in it: what they show is the whole estate's.
var tenantWork = names(AccountSelf, VMRead, VMCreate, VMPower, VMEdit, VMDelete, VMConsole, VMSnapshot, GuestRead, GuestManage, GuestExec,
	JobRead, JobCancel, EventRead, ImageRead, TemplateRead, VolumeRead, TenantRead, AlertRead, AlertHandle, AffinityRead)

// BuiltIn are the roles that are always there.
var BuiltIn = []domain.Role{
	{ID: PlatformAdmin, Name: "Platform admin", Notes: "Everything.", Permissions: names(All...), BuiltIn: true},
	{ID: Operator, Name: "Operator", Notes: "Runs hosts, VMs, storage and networks; does not add hosts and gives no rights.", BuiltIn: true,
		Permissions: without(names(All...), HostAdd, HostRemove, TokenManage, TenantManage, UserRead, UserManage, RoleRead, RoleManage, AuditRead)},
	{ID: Auditor, Name: "Auditor", Notes: "Sees everything, the audit log too, and changes nothing.", Permissions: append(names(AccountSelf), reading()...), BuiltIn: true},
	{ID: BackupOperator, Name: "Backup operator", Notes: "Takes and reverts snapshots, and reads what volumes hold.", BuiltIn: true,
		Permissions: names(AccountSelf, HostRead, VMRead, GuestRead, VMSnapshot, JobRead, JobCancel, EventRead, PoolRead, VolumeRead, VolumeContent, AlertRead)},
	{ID: TenantAdmin, Name: "Tenant admin", Notes: "Everything with the VMs, folders, volumes, images, templates, alerts and affinity rules of a tenant.", Permissions: append(slices.Clone(tenantWork), names(FolderManage, VolumeManage, ImageManage, TemplateManage, AlertManage, AffinityManage)...), BuiltIn: true},
	{ID: TenantUser, Name: "Tenant user", Notes: "Makes and uses VMs of a tenant, and sees its quota and use.", Permissions: tenantWork, BuiltIn: true},
}

// former are names that roles had before.
var former = map[string]string{"admin": PlatformAdmin, "viewer": Auditor}

// RoleName gives the id of a role as it is now, for one that may be written as it was.
func RoleName(name string) string {
	if now, ok := former[name]; ok {
		return now
	}
	return name
}

var builtInSets = func() map[string]set {
	m := map[string]set{}
	for _, r := range BuiltIn {
		m[r.ID] = setOf(r.Permissions)
	}
	return m
}()

// Known reports whether a built-in role exists.
func Known(role string) bool { _, ok := builtInSets[RoleName(role)]; return ok }

// Allowed reports whether a built-in role holds the permission. An unknown role holds none; Public is open to everybody.
func Allowed(role string, p Permission) bool {
	s := builtInSets[RoleName(role)]
	return p == Public || s.has(p)
}
