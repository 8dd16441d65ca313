package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/views/live"
)

// extras are fields that would raise their sender, or give a thing to somebody else, if a form took whatever comes with it.
var extras = url.Values{
	"tenant": {"team-b"}, "tenant_id": {"team-b"}, "owner": {"eve"}, "owner_id": {"eve"}, "user_id": {"eve"}, "actor": {"eve"}, "created_by": {"eve"}, "by": {"eve"}, "role": {"platform-admin"}, "roles": {"platform-admin"},
	"admin": {"1"}, "is_admin": {"1"}, "id": {"0"}, "uuid": {"00000000-0000-0000-0000-000000000000"}, "permissions": {"*"}, "scope": {"estate"}, "scope_id": {"team-b"}, "groups": {"admins"}, "disabled": {"1"},
	"must_change": {"0"}, "proof": {"passkey"}, "password_hash": {"$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAA"}, "hash": {"0"}, "prefix": {"0"}, "state": {"deleted"}, "host_id": {"0"}, "user[role]": {"platform-admin"},
	"user.role": {"platform-admin"}, "Tenant": {"team-b"}, "_method": {"DELETE"}, "quota.vms": {"1000"}, "parent": {"team-b"},
}

// play is everything that a form can be sent to, sent once, in an order in which most of it works. with is sent along.
type play struct {
	*world
	with   url.Values
	played map[string]bool
	log    []string // what was answered, without what differs from world to world
	fine   int
}

func (p *play) send(b *browser, route string, form url.Values, fill ...string) answer {
	p.t.Helper()
	p.played[route] = true
	all := maps.Clone(p.with)
	if all == nil {
		all = url.Values{}
	}
	for k, v := range form {
		all[k] = v // what the form itself has stays as it is
	}
	path := strings.NewReplacer(fill...).Replace(route)
	if strings.Contains(path, ":") && !strings.Contains(path, "/nics/") {
		p.t.Fatalf("%s is not filled", path)
	}
	a := b.post(path, all)
	if a.StatusCode < 400 {
		p.fine++
	}
	p.log = append(p.log, fmt.Sprintf("POST %s: %d", route, a.StatusCode))
	p.free()
	return a
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// estate makes what the forms are about: a host, VMs of two tenants, and somebody without rights.
func (p *play) estate() (b *browser, host domain.Host, vm domain.VM) {
	p.t.Helper()
	b = p.admin()
	p.fake.AddDevice(domain.Device{Name: "pci_0000_41_00_0", Kind: "pci", Label: "A large GPU", Address: "0000:41:00.0", Model: "10de:2531", Class: "gpu", Assignable: true})
	host = p.host(b, "b1")
	vm = p.vm(b, "web-1")
	ctx, test := context.Background(), auth.Subject{Name: "test"}
	for _, name := range []string{"team-a", "team-b"} {
		if _, err := p.auth.SaveTenant(ctx, test, domain.Tenant{Name: name}, true, 0); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := p.auth.CreateUser(ctx, "eve", "one-time-password", access.Auditor, "test"); err != nil {
		p.t.Fatal(err)
	}
	return b, host, vm
}

func (p *play) everyForm(b *browser, host domain.Host, vm domain.VM) {
	ctx, t := context.Background(), p.t
	id := func(x string) []string { return []string{":id", x} }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	user := func(name string) string {
		u, err := p.db.UserByName(ctx, name)
		must(err)
		return u.ID
	}
	last := func(a answer, prefix string) string { return strings.TrimPrefix(a.location(), prefix) }

	// Accounts and rights.
	p.send(b, live.AccessUsers, form("name", "ann", "email", "ann@example.org", "role", "auditor", "tenant", "team-a", "full_name", ""))
	ann := user("ann")
	p.send(b, live.PatAccessUser, form("full_name", "Ann", "email", "ann@example.org"), id(ann)...)
	group := last(p.send(b, live.AccessGroups, form("name", "ops", "members", ann)), "/access/groups/")
	p.send(b, live.PatAccessGroup, form("name", "ops", "members", ann, "notes", "x"), id(group)...)
	p.send(b, live.Tenants, form("name", "team-c", "vms", "3", "parent", "team-a"))
	p.send(b, live.PatTenantEdit, form("name", "team-c", "vms", "4"), id("team-c")...)
	p.send(b, live.Roles, form("id", "starter", "permissions", "vm.read"))
	p.send(b, live.PatRole, form("name", "Starter", "permissions", "vm.read"), id("starter")...)
	p.send(b, live.BindingCheck, form("subject", group, "role", "starter", "scope", "tenant", "tenant", "team-a"))
	p.send(b, live.BindingNew, form("subject", group, "role", "starter", "scope", "tenant", "tenant", "team-a"))
	p.send(b, live.AccessTokens, form("name", "ci", "role", "auditor", "tenant", "team-a", "days", "3", "permissions", ""))
	p.send(b, live.Tokens, form("name", "own", "days", "3"))
	_, terminal, err := p.auth.AskDevice("desk", "192.0.2.7", "test")
	must(err)
	p.send(b, live.Device, form("code", terminal.UserCode))
	p.send(b, live.Device, form("code", terminal.UserCode, "action", "deny"))
	p.send(b, live.SignInRules, form("mfa", "optional", "step_up_minutes", "0", "idle_minutes", "600", "lifetime_hours", "100"))
	p.send(b, live.ProviderNew, form("kind", "oidc", "id", "corp", "name", "Corp", "issuer", "http://127.0.0.1:1", "client_id", "nova", "secret", "x", "disabled", "", "create", "", "rules", ""))
	p.send(b, live.PatProvider, form("kind", "oidc", "name", "Corp 2", "issuer", "http://127.0.0.1:1", "client_id", "nova", "version", "1", "disabled", ""), id("corp")...)
	p.send(b, live.PatLink, form("password", password), id("corp")...)
	p.send(b, live.PatUnlink, form("password", password), id("link_none")...)
	p.send(b, live.PatProvDelete, form("x", ""), id("corp")...)
	p.send(b, live.Prefs, form("theme", "dark"))
	m := secretRE.FindStringSubmatch(b.get(live.MFA).text)
	p.send(b, live.MFA, form("name", "phone", "secret", m[1], "code", "000000", "password", password))
	p.send(b, live.MFACodes, form("password", password))
	p.send(b, live.PatMFARemove, form("password", password), id("mfa_none")...)
	p.send(b, live.Passkeys, form("password", password, "state", "x", "credential", "{}"))
	p.send(b, live.PasskeyAsk, form("what", "add"))
	p.send(b, live.PatSessEnd, form("x", ""), id("sess_none")...)
	p.send(b, live.SessEndAll, form("x", ""))
	toks, err := p.db.Tokens(ctx)
	must(err)
	p.send(b, live.PatTokenRevoke, form("x", ""), id(toks[len(toks)-1].ID)...)
	p.send(b, live.AccountPwd, form("current", "wrong", "password", "a longer phrase", "again", "a longer phrase"))
	p.send(b, live.Password, form("current", "wrong", "password", "a longer phrase", "again", "a longer phrase"))
	p.send(p.browser(), live.SignIn, form("name", "ann", "password", "a wrong one"))
	p.send(p.browser(), live.SignInCode, form("code", "000000"))
	p.send(p.browser(), live.SignInPasskey, form("what", "alone", "state", "x", "credential", "{}"))
	p.send(p.browser(), live.Forgot, form("name", "ann"))
	secret, _, err := p.auth.Invite(ctx, auth.Subject{Name: "test"}, ann, false)
	must(err)
	p.send(p.browser(), live.PatInvite, form("password", "a fresh pass phrase", "again", "a fresh pass phrase"), ":secret", secret)
	for _, x := range []struct{ route, do, id, confirm string }{
		{live.AccessTokenBulk, "revoke", toks[0].ID, ""}, {live.BindingBulk, "remove", "bind_none", ""}, {live.RoleBulk, "delete", "none", "none"}, {live.AccessGroupBulk, "delete", group, "not its name"},
		{live.AccessUserBulk, "disable", user("eve"), ""}, {live.TenantBulk, "delete", "team-c", "not its name"},
	} {
		p.send(b, x.route, form("do", x.do, "ids", x.id, "confirm", x.confirm))
	}

	// Hosts, storage, networks.
	p.send(b, live.HostTry, form("name", "b2", "uri", "qemu+tcp://b2.example/system"))
	p.send(b, live.Hosts, form("name", "b 2", "uri", "qemu+tcp://b2.example/system"))
	p.send(b, live.PatHostEdit, form("name", "b1", "labels", "site=ams", "notes", "x"), id(host.ID)...)
	p.send(b, live.PatHostMaint, form("on", "0"), id(host.ID)...)
	p.send(b, live.PatHostRetry, form("x", ""), id(host.ID)...)
	p.send(b, live.CommonCPU, form("hosts", host.ID, "accel", "tcg"))
	p.send(b, live.PatHostReturn, form("x", ""), id(host.ID)...)
	p.send(b, live.Pools, form("name", "fast", "type", "dir", "hosts", host.ID, "target", "/srv/fast", "autostart", "1"))
	fast, _ := p.poolNamed("fast")
	p.send(b, live.PatPoolAct, form("on", "0"), ":id", fast.ID, ":action", "autostart")
	pool, _ := p.poolNamed("default")
	p.send(b, live.StorageVolumes, form("pool", pool.ID, "name", "data.qcow2", "size_bytes", "1 GiB", "format", "qcow2", "tenant", ""))
	p.send(b, live.StorageVolumes, form("pool", pool.ID, "name", "gone.qcow2", "size_bytes", "1 GiB", "format", "qcow2", "tenant", ""))
	data, _ := p.volumeNamed("data.qcow2")
	gone, _ := p.volumeNamed("gone.qcow2")
	p.send(b, live.PatVolumeAct, form("size_bytes", "2 GiB"), ":id", data.ID, ":action", "resize")
	p.send(b, live.VolumeBulk, form("ids", gone.ID))
	p.send(b, live.Networks, p.netForm(host, "lan"))
	lan := domain.NetworkID(host.ID, "lan")
	p.send(b, live.PatNetworkEdit, p.netForm(host, "lan", "domain", "lab.example"), id(lan)...)
	p.send(b, live.PatNetworkAct, form("x", ""), ":id", lan, ":action", "no-autostart")
	sg := form("name", "web", "rules.0.direction", "in", "rules.0.action", "allow", "rules.0.protocol", "tcp", "rules.0.ports", "80", "rules.0.remote", "any", "apply", "1")
	sg.Set("seen", seenOf(t.(*testing.T), p.send(b, live.SecGroupNew, sg).text))
	p.send(b, live.SecGroupNew, sg)
	web, err := p.db.SecurityGroup(ctx, "web")
	must(err)
	p.send(b, live.PatSecGroupEdit, form("name", "web", "version", "1", "notes", "x"), id(web.ID)...)
	p.send(b, live.PatSecGroupDel, form("x", ""), id("sg_none")...)

	// VMs.
	p.send(b, live.VMs, createForm("web-2"))
	p.send(b, live.VMNew, createForm("web-3"))
	p.send(b, live.VMNewPreview, createForm("web-3"))
	p.send(b, live.VMDemo, form("x", ""))
	at := func(more ...string) []string { return append(more, ":id", vm.ID) }
	p.send(b, live.PatVMEdit, form("section", "memory", "memory_bytes", "512 MiB"), at()...)
	p.send(b, live.PatVMRevert, form("field", "memory_bytes"), at()...)
	p.send(b, live.PatVMDescribe, form("tags", "prod", "notes", "x"), at()...)
	p.send(b, live.PatVMRename, form("name", "web-9"), at()...)
	p.send(b, live.PatVMClone, form("name", "web-10"), at()...)
	p.send(b, live.PatVMNICs, form("network", "default", "mac", "52:54:00:77:00:01", "groups", ""), at()...)
	p.send(b, live.PatVMNIC, form("network", "default", "model", "e1000e", "groups", ""), at(":mac", "52:54:00:77:00:01")...)
	p.send(b, live.PatVMNICAct, form("x", ""), at(":mac", "52:54:00:77:00:01", ":do", "detach")...)
	p.send(b, live.PatDisk, form("x", ""), at(":target", "vda", ":action", "eject")...)
	p.send(b, live.PatDeviceAttach, form("vm", vm.ID), ":id", host.ID, ":device", "pci_0000_41_00_0")
	p.send(b, live.PatVMTemplate, form("name", "No Name", "description", "x"), at()...)
	p.send(b, live.PatVMPin, form("on", "1"), at()...)
	p.send(b, live.PatVMMigrate, form("host", host.ID), at()...)
	p.send(b, live.PatMigrationRule, form("stall", "pause"), ":id", "default")
	p.send(b, live.PatMigrationTune, form("downtime_ms", "300"), ":id", "job_none")
	p.send(b, live.PatVMAction, form("x", ""), at(":action", "start")...)
	p.send(b, live.VMBulk, form("action", "pause", "ids", vm.ID, "confirm", "1"))
	p.send(b, live.PatVMTicket, form("x", ""), at(":kind", "vnc")...)
	p.send(b, live.PatGuestAct, form("x", ""), at(":action", "look")...)
	p.send(b, live.PatGuestExec, form("argv", "uptime", "timeout_s", "5"), at()...)
	p.send(b, live.PatGuestProcesses, form(), at()...)
	p.send(b, live.PatCloudInitShow, form("cloud_init.user", "ada"), at()...)
	p.send(b, live.PatCloudInit, form("version", "0", "cloud_init.user", "ada"), at()...)
	p.send(b, live.PatSnapshotNew, form("name", "first"), at()...)
	p.send(b, live.PatSnapshotAct, form("notes", "x"), at(":sid", "snap_none", ":action", "notes")...)
	p.send(b, live.PatSnapshotBulk, form("ids", "snap_none"), at()...)
	p.send(b, live.Schedules, form("tenant", "", "name", "daily", "vms", vm.ID, "daily.keep", "2", "daily.at", "02:00", "enabled", "1", "tags", ""))
	all, err := p.db.Schedules(ctx)
	must(err)
	plan := "sched_none"
	if len(all) > 0 {
		plan = all[0].ID
	}
	p.send(b, live.PatSchedule, form("tenant", "", "name", "daily", "vms", vm.ID, "daily.keep", "3", "daily.at", "02:00", "version", "1", "tags", ""), id(plan)...)
	p.send(b, live.PatScheduleAct, form("x", ""), ":id", plan, ":action", "fly")
	p.send(b, live.Rules, form("tenant", "", "name", "apart", "kind", "anti-affinity", "scope", "vm-vm", "hard", "1", "vms", vm.ID, "tags", "db"))
	rules, err := p.db.AffinityRules(ctx)
	must(err)
	rule := "rule_none"
	if len(rules) > 0 {
		rule = rules[0].ID
	}
	p.send(b, live.PatRule, form("tenant", "", "name", "apart", "kind", "anti-affinity", "scope", "vm-vm", "hard", "1", "vms", vm.ID, "tags", "db", "version", "1", "notes", "x"), id(rule)...)
	p.send(b, live.PatRuleDel, form("x", ""), id("rule_none")...)
	page := p.send(b, live.PatHostEvacuate, form("keep", "1"), id(host.ID)...)
	plan = last(page, "/plans/")
	p.send(b, live.Plans, form("hosts", host.ID, "parallel", "2", "gate", "none", "title", "Two"))
	p.send(b, live.PatPlanEdit, form("version", "1", "title", "Firmware", "parallel", "1", "gate", "none", "vm", vm.ID, "host", "", "order", "1"), ":id", plan)
	p.send(b, live.PatPlanAct, form("version", "2"), ":id", plan, ":act", "approve")

	p.send(b, live.PatDriftAct, form("key", "k"), ":kind", "vm", ":name", "nobody", ":act", "adopt")

	// Folders and dashboards.
	p.send(b, live.Folders, form("name", "web", "place", ""))
	folders, err := p.db.Folders(ctx)
	must(err)
	folder := "fold_none"
	if len(folders) > 0 {
		folder = folders[0].ID
	}
	p.send(b, live.PatFolder, form("do", "rename", "name", "shop", "version", "1"), id(folder)...)
	chart := []string{"name", "Web", "title", "CPU", "kind", "line", "unit", "percent", "wide", "1", "legend", "", "queries", "novacron_host_cpus"}
	board := last(p.send(b, live.Dashboards, form(chart...)), "/dashboards/")
	p.send(b, live.PatDashboard, form(append(chart, "version", "1")...), id(board)...)
	p.send(b, live.DashboardImport, form("grafana", `{"title": "Theirs", "panels": [{"title": "Up", "type": "stat", "targets": [{"expr": "novacron_host_up"}]}]}`))
	p.send(b, live.PatDashboardAct, form("x", ""), ":id", board, ":action", "delete")

	// Images and templates.
	i := p.send(b, live.Images, form("from", "upload", "name", "debian", "version", "12", "id", "", "tenant", "")).location()
	i = strings.TrimPrefix(i, "/images/")
	i, _, _ = strings.Cut(i, "/")
	p.send(b, live.PatImageEdit, form("version", "1", "name", "bookworm", "arch", "x86_64"), id(i)...)
	p.send(b, live.PatImageAct, form("x", ""), ":id", i, ":v", "12", ":action", "publish")
	p.send(b, live.PatImageDelete, form("confirm", "not its name"), id(i)...)
	p.send(b, live.ImagePolicy, form("unused_days", "7", "keep", "2"))
	p.send(b, live.ImageCopies, form("ids", "copy_none"))
	tmpl := last(p.send(b, live.Templates, form("name", "web", "spec.vcpus", "1", "spec.memory_bytes", "256 MiB", "tenant", "")), "/templates/")
	p.send(b, live.PatTemplateNext, form("spec.vcpus", "2", "spec.memory_bytes", "256 MiB"), id(tmpl)...)
	p.send(b, live.PatTemplateEdit, form("name", "shop", "description", "x"), id(tmpl)...)
	p.send(b, live.PatTemplateAct, form("x", ""), ":id", tmpl, ":n", "1", ":action", "deprecate")
	p.send(b, live.PatTemplateUse, form("version", "2", "name", "made-1", "host", host.ID, "tenant", ""), id(tmpl)...)
	p.send(b, live.PatRollout, form("version", "2"), id(tmpl)...)
	p.send(b, live.PatTemplateDel, form("confirm", "not its name"), id(tmpl)...)

	// Alerts.
	p.send(b, live.AlertRules, form("name", "HostLow", "expr", "novacron_host_up < 1", "severity", "warning", "tenant", "", "disabled", "", "group", ""))
	found, err := p.db.AlertRules(ctx)
	must(err)
	arule := "arule_none"
	if len(found) > 0 {
		arule = found[0].ID
	}
	p.send(b, live.PatAlertRule, form("name", "HostLow", "expr", "novacron_host_up < 2", "severity", "info", "tenant", "", "disabled", "", "version", "1", "group", ""), id(arule)...)
	p.send(b, live.AlertImport, form("yaml", "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up\n"))
	p.judged(0)
	stand, err := p.db.Alerts(ctx, db.AlertQuery{})
	must(err)
	alert := "alert_none"
	if len(stand) > 0 {
		alert = stand[0].ID
	}
	p.send(b, live.PatAlertAct, form("comment", "x"), ":id", alert, ":act", "comment")
	p.send(b, live.PatAlertAct, form("x", ""), ":id", alert, ":act", "acknowledge")
	p.send(b, live.Silences, form("matchers", `host="b1"`, "lasts", "2h", "comment", "x"))
	p.send(b, live.PatSilenceEnd, form("x", ""), id("sil_none")...)
	recv := last(p.send(b, live.Receivers, form("kind", "email", "name", "ops", "to", "ops@example.org", "wait", "1m", "repeat", "4h", "group_by", "host", "tenant", "", "disabled", "")), "/alerts/receivers/")
	p.send(b, live.PatReceiver, form("kind", "email", "name", "ops", "to", "ops@example.org", "wait", "2m", "repeat", "4h", "group_by", "host", "tenant", "", "disabled", "", "version", "1"), id(recv)...)
	rota := last(p.send(b, live.Rotas, form("name", "Ops", "time_zone", "UTC", "hand_over", "09:00", "monday", recv)), "/alerts/oncall/rotas/")
	p.send(b, live.PatRota, form("name", "Ops", "time_zone", "UTC", "hand_over", "10:00", "monday", recv, "version", "1"), id(rota)...)
	p.send(b, live.PatRotaDo, form("receiver", recv, "from", "2099-01-01 09:00", "to", "2099-01-02 09:00", "note", ""), ":id", rota, ":act", "stand-in")
	p.send(b, live.Escalations, form("name", "Critical", "matchers", "", "to_0", rota, "after_0", ""))
	esc := "esc_none"
	ladders, err := p.db.Escalations(ctx)
	must(err)
	if len(ladders) > 0 {
		esc = ladders[0].ID
	}
	p.send(b, live.PatEscalation, form("name", "Critical", "matchers", "", "to_0", rota, "after_0", "5m", "version", "1"), id(esc)...)
	p.send(b, live.PatEscalDo, form("x", ""), ":id", esc, ":act", "delete")
	p.send(b, live.PatRotaDo, form("x", ""), ":id", rota, ":act", "delete")
	p.send(b, live.PatReceiverDo, form("x", ""), ":id", recv, ":act", "delete")
	p.send(b, live.PatAlertRuleDo, form("x", ""), ":id", arule, ":act", "delete")

	hook := last(p.send(b, live.Webhooks, form("name", "ci", "url", "https://ci.example.org/hook", "secret", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "kinds", "vm.*", "object", "", "tenant", "", "disabled", "")), "/events/webhooks/")
	p.send(b, live.PatWebhook, form("name", "ci", "url", "https://ci.example.org/hook", "secret", "", "kinds", "", "object", "", "tenant", "", "disabled", "1", "version", "1"), id(hook)...)
	p.send(b, live.PatRedeliver, form("x", ""), ":id", hook, ":delivery", "dlv_none")
	p.send(b, live.PatWebhookDo, form("x", ""), ":id", hook, ":act", "delete")

	p.send(b, live.PatTaskAction, form("x", ""), ":id", p.newest("vm.create").ID, ":action", "dismiss")
	p.send(b, live.PatVMDelete, form("disks", "1", "confirm", "not its name"), at()...)
	p.send(b, live.PatHostRemove, form("x", ""), id("host_none")...)
	p.send(b, live.SignOut, form("x", ""))
}

var (
	idRE   = regexp.MustCompile(`\b([a-z]+)_[0-9a-z]{26}\b`)
	uuidRE = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	macRE  = regexp.MustCompile(`52:54:00(:[0-9a-f]{2}){3}`)
)

// standing is who may do what and what belongs to whom: every list of the API, without what differs from world to world.
func (p *play) standing() (lines []string) {
	p.t.Helper()
	text, _, err := p.auth.CreateToken(context.Background(), "reader", "test", access.Admin, time.Time{})
	if err != nil {
		p.t.Fatal(err)
	}
	bearer := header("Authorization", "Bearer "+text)
	for _, list := range []string{"users", "groups", "tenants", "roles", "bindings", "tokens", "identity-providers", "vms", "hosts", "pools", "volumes", "networks", "security-groups", "images", "templates", "snapshot-schedules", "plans", "affinity-rules", "rules", "silences", "receivers", "escalations", "folders", "dashboards"} {
		var page struct{ Items []map[string]any }
		a := p.browser().get("/api/v1/"+list+"?limit=200", bearer)
		if err := json.Unmarshal([]byte(a.text), &page); err != nil || a.StatusCode != http.StatusOK {
			p.t.Fatalf("%s: %d %v %s", list, a.StatusCode, err, a.text)
		}
		for _, item := range page.Items {
			for _, moves := range []string{"facts", "usage", "version", "state", "state_reason", "state_since", "prefix", "versions", "available_bytes", "allocation_bytes", "graphics", "live", "guest", "last_seen"} {
				delete(item, moves)
			}
			for k := range item {
				if strings.HasSuffix(k, "_at") || strings.HasPrefix(k, "last_") {
					delete(item, k)
				}
			}
			line, err := json.Marshal(item)
			if err != nil {
				p.t.Fatal(err)
			}
			said := macRE.ReplaceAllString(uuidRE.ReplaceAllString(idRE.ReplaceAllString(string(line), "$1"), "uuid"), "mac")
			lines = append(lines, list+": "+said)
		}
	}
	slices.Sort(lines)
	return lines
}

// differ tells what one has and the other has not.
func differ(a, b []string) (only []string) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			only = append(only, x)
		}
	}
	return only
}

// No form takes more than its own fields: everything is sent to every one of them, and what comes of it is what comes of it without.
func TestFormsTakeNothingButTheirFields(t *testing.T) {
	run := func(with url.Values) *play {
		p := &play{world: newWorld(t), with: with, played: map[string]bool{}}
		b, host, vm := p.estate()
		p.everyForm(b, host, vm)
		return p
	}
	plain, loaded := run(nil), run(extras)
	for _, r := range plain.srv.routes {
		if r.method == http.MethodPost && !plain.played[r.path] {
			t.Errorf("POST %s is not tried: add it to everyForm", r.path)
		}
	}
	for i, was := range plain.log {
		if loaded.log[i] != was {
			t.Errorf("%s, and with fields that it does not have %s", was, loaded.log[i])
		}
	}
	if plain.fine*10 < len(plain.log)*6 {
		t.Errorf("only %d of %d forms were right, the rest tells little:\n%s", plain.fine, len(plain.log), strings.Join(plain.log, "\n"))
	}
	before, after := plain.standing(), loaded.standing()
	for _, x := range differ(before, after) {
		t.Errorf("without: %s", x)
	}
	for _, x := range differ(after, before) {
		t.Errorf("   with: %s", x)
	}
}

// Who administers a tenant sends the same, to everything: nothing gets into another tenant, and nobody gets a right.
func TestATenantsFormsReachNothingElse(t *testing.T) {
	p := &play{world: newWorld(t), with: extras, played: map[string]bool{}}
	_, _, vm := p.estate()
	if err := p.db.Write(context.Background(), func(tx *db.Tx) error { return tx.SetVMTenant(vm.ID, "team-a") }); err != nil {
		t.Fatal(err)
	}
	mallory := p.person("mallory", "")
	if _, err := p.auth.Bind(context.Background(), auth.Subject{Name: "test"}, domain.Binding{Subject: domain.Ref{ID: "mallory"}, Role: access.TenantAdmin, Scope: domain.ScopeTenant, ScopeID: "team-a"}); err != nil {
		t.Fatal(err)
	}
	rights := func() (out []string) {
		for _, x := range p.standing() {
			if strings.Contains(x, "team-b") || strings.HasPrefix(x, "users: ") || strings.HasPrefix(x, "roles: ") || strings.HasPrefix(x, "groups: ") || strings.HasPrefix(x, "bindings: ") || strings.HasPrefix(x, "tenants: ") ||
				strings.HasPrefix(x, "hosts: ") || strings.HasPrefix(x, "rules: ") || strings.HasPrefix(x, "silences: ") || strings.HasPrefix(x, "receivers: ") || strings.HasPrefix(x, "escalations: ") || strings.HasPrefix(x, "identity-providers: ") {
				out = append(out, x)
			}
		}
		return out
	}
	before := rights()
	forbidden := 0
	for _, r := range p.srv.routes {
		if r.method != http.MethodPost || r.path == live.SignOut || r.perm == access.Public {
			continue
		}
		path := strings.NewReplacer(":id", vm.ID, ":mac", "52:54:00:00:00:01", ":sid", "none", ":target", "vda", ":action", "look", ":act", "start", ":do", "up", ":v", "1", ":n", "1", ":kind", "vnc", ":device", "none").Replace(r.path)
		form := maps.Clone(extras)
		form.Set("name", "x-"+strings.ToLower(fmt.Sprint(len(path))))
		form.Set("members", "mallory")
		form.Set("subject", "mallory")
		form.Set("password", "x")
		a := mallory.post(path, form)
		switch {
		case a.StatusCode == http.StatusForbidden || a.StatusCode == http.StatusNotFound:
			forbidden++
		case a.StatusCode >= 500 && a.StatusCode != http.StatusInsufficientStorage:
			t.Errorf("POST %s: %d", path, a.StatusCode)
		}
	}
	p.free()
	if forbidden < 40 {
		t.Errorf("only %d forms were refused", forbidden)
	}
	for _, x := range append(differ(before, rights()), differ(rights(), before)...) {
		t.Errorf("changed: %s", x)
	}
}
