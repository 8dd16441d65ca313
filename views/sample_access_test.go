package views_test

import (
	"net/url"
	"time"

	"novacron/domain"
	"novacron/domain/compliance"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/rights"
)

// accessPages are the pages of package rights.
func accessPages() []page {
	sh := func(title, path string) layout.Shell {
		return shell(title, layout.SectionAccess, path, layout.Crumb{Label: "Access", URL: live.Access})
	}
	users := []domain.User{{ID: "user_1", Name: "lena", FullName: "Lena Berg " + evil, Email: "lena@example.org", CreatedAt: ago(900 * time.Hour), LastSignIn: ago(time.Minute)}, {ID: "user_2", Name: "bo", MustChange: true}, {ID: "user_3", Name: "old", Disabled: true, LastSignIn: ago(4000 * time.Hour)}}
	rows := []rights.UserRow{{User: users[0], Roles: []string{"platform-admin"}, Groups: []string{"ops"}, MFA: []string{"totp", "passkey"}}, {User: users[1], Roles: []string{"tenant-user @ team-a", evil}}, {User: users[2]}}
	roles := []domain.Role{{ID: "platform-admin", Name: "Platform admin", BuiltIn: true, Notes: "Everything."}, {ID: "tenant-user", Name: "Tenant user", BuiltIn: true}, {ID: "web", Name: "Web " + evil, Permissions: []string{"vm.read"}}}
	tenants := []domain.Tenant{{ID: "team-a", Name: "Team A", Notes: "Shop " + evil, Quota: domain.Quota{VMs: 20, VCPUs: 64, MemoryBytes: 256 * domain.GiB, StorageBytes: 4 * domain.TiB, Snapshots: 40}}, {ID: "lab", Name: "Lab", Parent: "team-a"}}
	trows := []rights.TenantRow{{Tenant: tenants[0], Usage: domain.Usage{VMs: 19, VCPUs: 40, MemoryBytes: 250 * domain.GiB, StorageBytes: domain.TiB, Snapshots: 3}}, {Tenant: tenants[1], Usage: domain.Usage{VMs: 2}, Below: true}}
	given := []rights.Given{
		{Binding: domain.Binding{ID: "bind_1", Role: "platform-admin", CreatedBy: "system", CreatedAt: ago(time.Hour)}, Who: "lena", WhoURL: live.AccessUser("user_1"), Words: "lena may do what the role Platform admin allows in the whole estate."},
		{Binding: domain.Binding{ID: "bind_2", Role: "tenant-user", Deny: true, Condition: "hour >= 8 && hour < 18 " + evil, CreatedBy: "lena", CreatedAt: ago(time.Hour)}, Who: "ops", WhoURL: live.AccessGroup("group_1"), Words: "Everybody in ops may do nothing of what the role Tenant user allows in the tenant Team A.", Through: "ops"},
	}
	kinds := []rights.Kind{{Name: "vm", Permissions: []rights.Permission{{Name: "vm.read", Has: map[string]bool{"platform-admin": true, "web": true, "": true}}, {Name: "vm.power", Has: map[string]bool{"platform-admin": true}}}}, {Name: "host", Permissions: []rights.Permission{{Name: "host.read", Has: map[string]bool{"platform-admin": true}}}}}
	record := domain.AuditRecord{Seq: 17, At: ago(time.Minute), Actor: "lena", Subject: "user_1", Address: "10.0.0.9", Proof: "password+totp", Action: "tenant.changed", Object: domain.Ref{Kind: "tenant", ID: "team-a", Name: "Team A"}, Outcome: "ok", JobID: "job_1", Message: "The tenant was changed. " + evil, Before: `{"name":"A","quota":{"vms":1}}`, After: `{"quota":{"vms":2}}`, Prev: "aa11", Hash: "bb22"}
	denied := record
	denied.Seq, denied.Outcome = 16, "denied"
	bad := invalid(domain.FieldError{Field: "name", Msg: "That is not a name.", Want: "letters"})
	binding := rights.BindingForm{Form: url.Values{"subject": {"user_1"}, "role": {"tenant-user"}, "scope": {"tenant"}, "tenant": {"team-a"}, "condition": {evil}}, Users: users, Roles: roles, Tenants: tenants, Groups: []domain.Group{{ID: "group_1", Name: "ops"}}, Effect: given[0].Words, Allows: []string{"vm.read", "vm.power"}}
	wrong := binding
	wrong.Effect, wrong.Err = "", invalid(domain.FieldError{Field: "condition", Msg: "The condition cannot be read. " + evil, Want: "something true or false"})
	return []page{
		{"users", rights.UsersPage(sh("Users", live.AccessUsers), rights.Users{Rows: rows, All: 3})},
		{"users-none", rights.UsersPage(sh("Users", live.AccessUsers), rights.Users{Filter: evil, All: 3})},
		{"user", rights.UserPageOf(sh("lena", live.AccessUser("user_1")), rights.UserPage{Row: rows[0], Bindings: given, Form: url.Values{"full_name": {"Lena"}}, Sessions: []domain.SignIn{{ID: "s", Address: "10.0.0.9", Proof: "password", SeenAt: ago(time.Minute)}}})},
		{"user-new", rights.NewUserPage(sh("New user", live.AccessUserNew), rights.NewUser{Form: url.Values{"name": {evil}}, Roles: roles, Tenants: tenants, Err: bad})},
		{"user-made", rights.MadePage(sh("Made", live.AccessUsers), rights.Made{Title: "The account is made", What: "The one-time password of", Name: evil, Secret: "abcd-efgh-ijkl", Note: "Give it by a safe way.", Back: live.AccessUsers, BackLabel: "To the account"})},
		{"user-ask", rights.AskPage(sh("Delete", live.AccessUserBulk), rights.Ask{Title: "Delete the account bo?", Text: "It goes.", Button: "Delete", URL: live.AccessUserBulk, Do: "delete", Back: live.AccessUsers, IDs: []string{"user_2"}, Names: []string{"bo"}, Danger: true, Confirm: "bo", Err: invalid(domain.FieldError{Field: "confirm", Msg: "That is not the name."})})},
		{"groups", rights.GroupsPage(sh("Groups", live.AccessGroups), rights.Groups{Rows: []rights.GroupRow{{Group: domain.Group{ID: "group_1", Name: "ops", Notes: evil, Members: []string{"user_1"}}, Roles: []string{"operator"}}}})},
		{"groups-none", rights.GroupsPage(sh("Groups", live.AccessGroups), rights.Groups{})},
		{"group", rights.GroupEditPage(sh("ops", live.AccessGroup("group_1")), rights.GroupPage{Group: domain.Group{ID: "group_1", Name: "ops"}, Users: users, Bindings: given[1:], Form: url.Values{"name": {"ops"}, "members": {"user_1"}}})},
		{"group-new", rights.GroupEditPage(sh("New group", live.AccessGroupNew), rights.GroupPage{Users: users, Form: url.Values{}, Err: bad})},
		{"tenants", rights.TenantsPage(sh("Tenants", live.Tenants), rights.Tenants{Rows: trows})},
		{"tenants-none", rights.TenantsPage(sh("Tenants", live.Tenants), rights.Tenants{})},
		{"tenant", rights.TenantShow(sh("Team A", live.Tenant("team-a")), rights.TenantPage{Row: trows[0], Below: trows[1:], VMs: sampleVMs()[:3], Total: 19, Bindings: given})},
		{"tenant-edit", rights.TenantEditPage(sh("Edit Team A", live.TenantEdit("team-a")), rights.TenantEdit{ID: "team-a", Title: "Edit Team A", Form: rights.QuotaForm(tenants[0])})},
		{"tenant-new", rights.TenantEditPage(sh("New tenant", live.TenantNew), rights.TenantEdit{Title: "New tenant", Form: url.Values{"vms": {"x"}}, Parents: tenants[:1], Err: bad})},
		{"roles", rights.RolesPage(sh("Roles", live.Roles), rights.Roles{Roles: roles, Kinds: kinds, Given: map[string]int{"web": 2}})},
		{"role", rights.RoleShow(sh("Web", live.Role("web")), rights.RolePage{Role: roles[2], Kinds: kinds, Given: given, Form: url.Values{"name": {"Web"}}})},
		{"role-built-in", rights.RoleShow(sh("Platform admin", live.Role("platform-admin")), rights.RolePage{Role: roles[0], Kinds: kinds})},
		{"role-new", rights.RoleShow(sh("New role", live.RoleNew), rights.RolePage{Kinds: kinds, Form: url.Values{"id": {evil}}, Err: bad})},
		{"bindings", rights.BindingsPage(sh("Bindings", live.Bindings), rights.Bindings{Rows: given, All: 2})},
		{"bindings-none", rights.BindingsPage(sh("Bindings", live.Bindings), rights.Bindings{Filter: evil, All: 2})},
		{"binding-new", rights.BindingPage(sh("Give a role", live.BindingNew), binding)},
		{"binding-wrong", rights.BindingPage(sh("Give a role", live.BindingNew), wrong)},
		{"tokens", rights.TokensPage(sh("Tokens", live.AccessTokens), rights.Tokens{Form: url.Values{"role": {"web"}}, Roles: roles, Tenants: tenants, Rows: []rights.TokenRow{{Token: domain.Token{ID: "tok_1", Name: "ci " + evil, Prefix: "ncr_abc", CreatedBy: "lena", LastUsed: ago(5000 * time.Hour)}, Whose: "Tenant user in Team A", Stale: true}, {Token: domain.Token{ID: "tok_2", Name: "gone", Prefix: "ncr_def", ExpiresAt: ago(time.Hour)}, Whose: "what lena may", Ended: true}}})},
		{"tokens-none", rights.TokensPage(sh("Tokens", live.AccessTokens), rights.Tokens{Form: url.Values{}, Roles: roles})},
		{"audit", rights.AuditPage(sh("Audit log", live.Audit), rights.AuditLog{Query: url.Values{"filter": {evil}}, Rows: []domain.AuditRecord{record, denied}, Next: "16"})},
		{"audit-none", rights.AuditPage(sh("Audit log", live.Audit), rights.AuditLog{Query: url.Values{"filter": {"x"}}})},
		{"audit-row", rights.AuditRowPage(sh("Row 17", live.AuditRow(17)), rights.AuditRow{Row: record})},
		{"compliance", rights.CompliancePage(sh("Compliance", live.Compliance), rights.Compliance{Checks: compliance.Judge(compliance.Facts{Now: ago(0), People: []compliance.Person{{Name: evil}, {Name: "lena", MFA: true, Admin: true}}, Hosts: []domain.Host{{Name: "b2", URI: "qemu+tcp://b2/system"}}})})},
		{"explain", rights.ExplainPage(sh("Explain", live.Explain), rights.Explain{Permissions: []string{"vm.read"}, Subjects: []string{"lena", evil}})},
		{"explain-yes", rights.ExplainPage(sh("Explain", live.Explain), rights.Explain{Subject: "lena", Permission: "vm.power", Object: "vm_1", ObjectName: "web-1", Permissions: []string{"vm.power"}, Asked: true, Allowed: true, Who: "lena", Reason: "Allowed by the role operator.", Looked: []rights.Looked{{Who: "user lena", Role: "operator", Where: "estate", Applies: true}, {Who: "group ops", Role: "auditor", Where: "tenant team-a", Deny: true, Why: "it is for something else"}}})},
		{"explain-who", rights.ExplainPage(sh("Explain", live.Explain), rights.Explain{Permission: "vm.power", Permissions: []string{"vm.power"}, Asked: true, Holders: []rights.Holder{{Kind: "user", ID: "user_1", Name: "lena", Reason: "Allowed by " + evil}}})},
	}
}
