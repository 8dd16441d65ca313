// Package rights shows who may do what: users, groups, tenants with their quotas, roles, bindings, tokens; and what was done: the audit log. It also
// reads its forms back.
//
// It is not for one's own account (package account), and decides nothing: it is given what was decided.
package rights

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/ui"
)

// Tabs lead from one part to another; each is for who may see it.
func Tabs(s layout.Shell, at string) []ui.Tab {
	var out []ui.Tab
	for _, t := range []struct{ id, label, url, perm string }{
		{"users", "Users", live.AccessUsers, "user.read"}, {"groups", "Groups", live.AccessGroups, "user.read"}, {"tenants", "Tenants", live.Tenants, "tenant.read"},
		{"roles", "Roles", live.Roles, "role.read"}, {"bindings", "Bindings", live.Bindings, "role.read"}, {"tokens", "Tokens", live.AccessTokens, "token.manage"},
		{"explain", "Explain", live.Explain, "role.read"}, {"audit", "Audit log", live.Audit, "audit.read"},
		{"compliance", "Compliance", live.Compliance, "audit.read"},
	} {
		if s.May(t.perm) {
			out = append(out, ui.Tab{Label: t.label, URL: t.url, Active: t.id == at})
		}
	}
	return out
}

// First is the first part that somebody may see; empty when there is none.
func First(s layout.Shell) string {
	if tabs := Tabs(s, ""); len(tabs) > 0 {
		return tabs[0].URL
	}
	return ""
}

// UserRow is one account of the list.
type UserRow struct {
	User   domain.User
	Roles  []string // what the account itself or its groups have, in a few words
	Groups []string // names
	MFA    []string
}

// Users is the list of accounts.
type Users struct {
	Filter string
	Rows   []UserRow
	All    int
}

// UserPage is one account.
type UserPage struct {
	Row      UserRow
	Bindings []Given
	Sessions []domain.SignIn
	Form     url.Values
	Self     bool
	Err      *domain.Error
	Key      string
}

// NewUser is the form for an account.
type NewUser struct {
	Form    url.Values
	Roles   []domain.Role
	Tenants []domain.Tenant
	Err     *domain.Error
}

// Made is what is shown once: a one-time password or a token.
type Made struct {
	Title, What, Name, Secret, Note, Back, BackLabel string
}

// GroupRow is one group of the list.
type GroupRow struct {
	Group domain.Group
	Roles []string
}

// Groups is the list of groups.
type Groups struct{ Rows []GroupRow }

// GroupPage makes or changes a group.
type GroupPage struct {
	Group    domain.Group // ID empty: a new one
	Users    []domain.User
	Bindings []Given
	Form     url.Values
	Err      *domain.Error
}

// TenantRow is a tenant with what it has.
type TenantRow struct {
	Tenant domain.Tenant
	Usage  domain.Usage
	Below  bool              // a tenant is above it
	Pools  map[string]string // names of pools by their ids
}

// Tenants is the list of tenants.
type Tenants struct{ Rows []TenantRow }

// TenantPage is one tenant.
type TenantPage struct {
	Row      TenantRow
	Parent   domain.Tenant
	Below    []TenantRow
	VMs      []domain.VM
	Total    int
	Bindings []Given
}

// TenantEdit is the form of a tenant.
type TenantEdit struct {
	ID      string // empty: a new one
	Title   string
	Form    url.Values
	Parents []domain.Tenant
	Pools   map[string]string // names by ids
	Err     *domain.Error
}

// Limit is one line of a quota.
type Limit struct {
	Name, Label string
	Used, Limit int64
	Bytes       bool
}

func (l Limit) show(n int64) string {
	if l.Bytes {
		return domain.FormatBytes(n)
	}
	return fmt.Sprint(n)
}

// Words says how much is used.
func (l Limit) Words() string {
	if l.Limit <= 0 {
		return l.show(l.Used) + ", no limit"
	}
	return l.show(l.Used) + " of " + l.show(l.Limit)
}

// Limits are the lines of a tenant's quota.
func Limits(r TenantRow) []Limit {
	q, u := r.Tenant.Quota, r.Usage
	return []Limit{
		{"vms", "VMs", int64(u.VMs), int64(q.VMs), false}, {"vcpus", "vCPUs", int64(u.VCPUs), int64(q.VCPUs), false}, {"memory_bytes", "Memory", u.MemoryBytes, q.MemoryBytes, true},
		{"storage_bytes", "Storage", u.StorageBytes, q.StorageBytes, true}, {"snapshots", "Snapshots", int64(u.Snapshots), int64(q.Snapshots), false},
		{"public_addresses", "Public addresses", int64(u.PublicAddresses), int64(q.PublicAddresses), false},
	}
}

// poolField is the name of the form's field of a pool's limit.
const poolField = "pool."

// PoolLimits are the lines of single pools: those that are bounded and those that are used.
func PoolLimits(r TenantRow) (out []Limit) {
	for id, name := range r.Pools {
		if used, most := r.Usage.Pools[id], r.Tenant.Quota.Pools[id]; used > 0 || most > 0 {
			out = append(out, Limit{poolField + id, "Storage in " + name, used, most, true})
		}
	}
	slices.SortFunc(out, func(a, b Limit) int { return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.Name, b.Name)) })
	return out
}

// poolFields are all pools, for the form.
func (m TenantEdit) poolFields() (out []Limit) {
	for id, name := range m.Pools {
		out = append(out, Limit{poolField + id, name, 0, 0, true})
	}
	slices.SortFunc(out, func(a, b Limit) int { return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.Name, b.Name)) })
	return out
}

// QuotaForm is a quota as a form shows it.
func QuotaForm(t domain.Tenant) url.Values {
	v := url.Values{"name": {t.Name}, "parent": {t.Parent}, "notes": {t.Notes}, "version": {strconv.FormatInt(t.Version, 10)}}
	for _, l := range Limits(TenantRow{Tenant: t}) {
		if l.Limit > 0 {
			v.Set(l.Name, l.show(l.Limit))
		}
	}
	for id, n := range t.Quota.Pools {
		if n > 0 {
			v.Set(poolField+id, domain.FormatBytes(n))
		}
	}
	return v
}

// ReadTenant reads the form back.
func ReadTenant(v url.Values) (domain.Tenant, error) {
	t := domain.Tenant{Name: strings.TrimSpace(v.Get("name")), Parent: v.Get("parent"), Notes: v.Get("notes")}
	var p domain.Problems
	number := func(name string) int {
		text := strings.TrimSpace(v.Get(name))
		if text == "" {
			return 0
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			p.Add(name, "“"+text+"” is not a limit.", "a whole number, or nothing for no limit")
		}
		return n
	}
	size := func(name string) int64 {
		text := strings.TrimSpace(v.Get(name))
		if text == "" {
			return 0
		}
		n, err := domain.ParseBytes(text)
		if err != nil || n < 0 {
			p.Add(name, "“"+text+"” is not a size.", "a number and a unit such as 64 GiB, or nothing for no limit")
		}
		return n
	}
	t.Quota = domain.Quota{VMs: number("vms"), VCPUs: number("vcpus"), MemoryBytes: size("memory_bytes"), StorageBytes: size("storage_bytes"), Snapshots: number("snapshots"), PublicAddresses: number("public_addresses")}
	for name := range v {
		id, ok := strings.CutPrefix(name, poolField)
		if !ok {
			continue
		}
		if n := size(name); n > 0 {
			if t.Quota.Pools == nil {
				t.Quota.Pools = map[string]int64{}
			}
			t.Quota.Pools[id] = n
		}
	}
	return t, p.Err()
}

// Kind is the permissions of one kind of thing.
type Kind struct {
	Name        string
	Permissions []Permission
}

// Permission is one line of the matrix.
type Permission struct {
	Name string
	Has  map[string]bool // by role
}

// Roles is the matrix of roles and permissions.
type Roles struct {
	Roles []domain.Role
	Kinds []Kind
	Given map[string]int // how often each is given
}

// RolePage shows, makes or changes a role.
type RolePage struct {
	Role  domain.Role // ID empty: a new one
	Kinds []Kind      // Has: under the empty name what is ticked
	Given []Given
	Form  url.Values
	Err   *domain.Error
}

// Given is a binding as a person reads it.
type Given struct {
	Binding domain.Binding
	Who     string // the subject's name
	WhoURL  string
	Words   string // the whole in words
	Where   string
	Through string // the group by which somebody has it
	WhereTo string // address of the place
}

// Bindings is the list of bindings.
type Bindings struct {
	Filter string
	Rows   []Given
	All    int
}

// BindingForm makes a binding.
type BindingForm struct {
	Form    url.Values
	Users   []domain.User
	Groups  []domain.Group
	Roles   []domain.Role
	Tenants []domain.Tenant
	Folders []domain.Folder
	Tags    []string // in use
	Effect  string   // what it would do, in words
	Allows  []string // permissions of the role
	Err     *domain.Error
}

// Examples of conditions that one can start from.
var Examples = []struct{ Text, Does string }{
	{`hour >= 8 && hour < 18`, "between 8:00 and 18:00 UTC"},
	{`weekday != "saturday" && weekday != "sunday"`, "on working days"},
	{`in_network(address, "10.0.0.0/8")`, "only from that network"},
	{`mfa_age < 900`, "with a second factor shown in the last 15 minutes"},
	{`"prod" in object.tags`, "only what has the tag prod"},
}

// TokenRow is one token of the list.
type TokenRow struct {
	Token domain.Token
	Whose string
	Stale bool
	Ended bool
}

// Tokens is the list of tokens with the form for one.
type Tokens struct {
	Rows    []TokenRow
	Form    url.Values
	Roles   []domain.Role
	Tenants []domain.Tenant
	Err     *domain.Error
}

// AuditLog is a page of the audit log.
type AuditLog struct {
	Query url.Values // as asked
	Rows  []domain.AuditRecord
	Next  string
	Err   *domain.Error
}

// URL is the log with the same filter.
func (m AuditLog) URL(base string, pairs ...string) string {
	v := url.Values{}
	for _, k := range []string{"filter", "actor", "action", "object", "outcome", "from", "to"} {
		if x := m.Query.Get(k); x != "" {
			v.Set(k, x)
		}
	}
	u := base
	if len(v) > 0 {
		u += "?" + v.Encode()
	}
	return live.With(u, pairs...)
}

// Filtered reports whether anything is left out.
func (m AuditLog) Filtered() bool { return m.URL("") != "" }

// AuditRow is one row of it.
type AuditRow struct{ Row domain.AuditRecord }

// Difference is one field that a change touched.
type Difference struct{ Field, Before, After string }

// Differences puts before and after next to each other, field by field where both are JSON objects.
func (m AuditRow) Differences() []Difference {
	read := func(text string) map[string]any {
		var out map[string]any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if text == "" || d.Decode(&out) != nil {
			return nil
		}
		return out
	}
	before, after := read(m.Row.Before), read(m.Row.After)
	var names []string
	for _, side := range []map[string]any{before, after} {
		for k := range side {
			if !slices.Contains(names, k) {
				names = append(names, k)
			}
		}
	}
	slices.Sort(names)
	show := func(side map[string]any, k string) string {
		v, ok := side[k]
		if !ok {
			return ""
		}
		if s, ok := v.(string); ok {
			return s
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if e.Encode(v) != nil {
			return ""
		}
		return strings.TrimSpace(b.String())
	}
	var out []Difference
	for _, k := range names {
		out = append(out, Difference{k, show(before, k), show(after, k)})
	}
	if len(out) == 0 && m.Row.Before+m.Row.After != "" {
		out = append(out, Difference{"", m.Row.Before, m.Row.After})
	}
	return out
}

// Looked is one binding that was looked at for an explanation.
type Looked struct {
	Who, Role, Where, Why string
	Deny, Applies         bool
}

// Holder is somebody who may.
type Holder struct{ Kind, ID, Name, Reason string }

// Explain is the page that says why.
type Explain struct {
	Subject, Permission, Object string // as asked
	ObjectName                  string
	Permissions                 []string
	Subjects                    []string // to complete
	Asked                       bool
	Allowed                     bool
	Who, Reason                 string
	Looked                      []Looked
	Holders                     []Holder
	Err                         *domain.Error
}

// Ask asks before something is done with some rows.
type Ask struct {
	Title, Text, Button, Icon string
	URL, Do, Back             string
	IDs                       []string
	Names                     []string
	Danger                    bool
	Confirm                   string // has to be typed
	Err                       *domain.Error
}

func outcomeTone(o string) (tone, icon string) {
	switch o {
	case "ok":
		return ui.OK, "check"
	case "denied":
		return ui.Bad, "ban"
	case "failed":
		return ui.Bad, "alert-circle"
	}
	return ui.Warn, "x"
}

func options(empty string, pairs ...[2]string) []ui.Option {
	var out []ui.Option
	if empty != "" {
		out = append(out, ui.Option{Label: empty})
	}
	for _, p := range pairs {
		out = append(out, ui.Option{Value: p[0], Label: p[1]})
	}
	return out
}

func roleOptions(empty string, roles []domain.Role) []ui.Option {
	var pairs [][2]string
	for _, r := range roles {
		pairs = append(pairs, [2]string{r.ID, r.Name})
	}
	return options(empty, pairs...)
}

func tenantOptions(empty string, all []domain.Tenant) []ui.Option {
	var pairs [][2]string
	for _, t := range all {
		pairs = append(pairs, [2]string{t.ID, t.Name})
	}
	return options(empty, pairs...)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func openOptions() []ui.Option {
	return []ui.Option{{Value: "", Label: "a one-time password"}, {Value: "link", Label: "a link to choose a password with"}}
}
