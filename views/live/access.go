package live

import (
	"net/url"
	"strconv"

	"github.com/a-h/templ"
)

// Pages of who may do what, and of what was done.
const (
	Access          = "/access"
	AccessUsers     = "/access/users" // GET filter; POST makes
	AccessUserNew   = "/access/users/new"
	AccessUserBulk  = "/access/users/bulk" // GET do, ids: asks; POST does
	PatAccessUser   = "/access/users/:id"  // GET, POST full_name, email
	AccessGroups    = "/access/groups"
	AccessGroupNew  = "/access/groups/new"
	AccessGroupBulk = "/access/groups/bulk"
	PatAccessGroup  = "/access/groups/:id"
	Tenants         = "/access/tenants"
	TenantNew       = "/access/tenants/new"
	TenantBulk      = "/access/tenants/bulk"
	PatTenant       = "/access/tenants/:id"
	PatTenantEdit   = "/access/tenants/:id/edit"
	Roles           = "/access/roles"
	RoleNew         = "/access/roles/new"
	RoleBulk        = "/access/roles/bulk"
	PatRole         = "/access/roles/:id"
	Bindings        = "/access/bindings"
	BindingNew      = "/access/bindings/new"   // GET form, POST
	BindingCheck    = "/access/bindings/check" // POST the form: what it would do, in words
	BindingBulk     = "/access/bindings/bulk"
	AccessTokens    = "/access/tokens"
	AccessTokenBulk = "/access/tokens/bulk"
	Audit           = "/access/audit"        // GET filters of the log
	AuditExport     = "/access/audit/export" // GET the same filters; format jsonl or csv
	Compliance      = "/access/compliance"
	PatAuditRow     = "/access/audit/:seq"
	Explain         = "/access/explain" // GET subject, permission, object

	RightsFormID  = "rights"
	BindingEffect = "effect"

	OnAudit        = "audit" // what the stream brings
	OnCompliance   = "compliance"
	ComplianceBody = "checks"
)

// AccessUser is an account's page.
func AccessUser(id string) string { return at("access", "users", id) }

// AccessGroup is a group's page.
func AccessGroup(id string) string { return at("access", "groups", id) }

// Tenant is a tenant's page.
func Tenant(id string) string { return at("access", "tenants", id) }

// TenantEdit changes its name, notes and quota.
func TenantEdit(id string) string { return at("access", "tenants", id, "edit") }

// Role is a role's page.
func Role(id string) string { return at("access", "roles", id) }

// AuditRow is one row of the audit log.
func AuditRow(seq int64) string { return at("access", "audit", strconv.FormatInt(seq, 10)) }

// Bulk asks for and does one thing with some rows of a list.
func Bulk(list, do string, ids ...string) string {
	v := url.Values{"do": {do}}
	if len(ids) > 0 {
		v["ids"] = ids
	}
	return list + "?" + v.Encode()
}

// ExplainOf is the page that says why somebody may do something.
func ExplainOf(subject, permission, object string) string {
	return With(Explain, "subject", subject, "permission", permission, "object", object)
}

// CheckTyping makes a form be put into words in the element id while one types.
func CheckTyping(url, form, id string) templ.Attributes {
	a := Again(url, form, id)
	a["hx-trigger"] = "input delay:300ms, change"
	a["hx-sync"] = "this:replace"
	return a
}
