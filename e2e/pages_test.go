package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"novacron/e2e/browser"
	"novacron/e2e/server"
)

// sound looks at a page in every light.
func sound(t *testing.T, p *browser.Page) func(name, path string) {
	t.Helper()
	axe, err := os.ReadFile(filepath.Join(server.Root(t), "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	type look struct {
		name  string
		width int
		set   func()
	}
	light, dark := func() { p.Dark(false) }, func() { p.Dark(true) }
	looks := []look{{"wide-light", 1440, light}, {"narrow-dark", 390, dark}}
	if os.Getenv("NOVACRON_PICTURES") != "" {
		looks = append(looks, look{"wide-dark", 1440, dark}, look{"narrow-light", 390, light}, look{"widest", 2560, light}, look{"forced", 1440, p.ForcedColors})
	}
	return func(name, path string) {
		t.Helper()
		for _, l := range looks {
			p.Resize(l.width, 900)
			l.set()
			p.Go(path)
			p.Until("the fonts", `document.fonts.status === "loaded"`)
			if wide := browser.Eval[int](p, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
				t.Errorf("%s is %d px wider than a screen of %d px", path, wide, l.width)
			}
			if l.name == "forced" { // axe reads the page's own colours, which are not those shown
				p.Picture(name + "-" + l.name)
				continue
			}
			for _, finding := range p.Axe(string(axe)) {
				t.Errorf("%s, %s: %s", path, l.name, finding)
			}
			p.Picture(name + "-" + l.name)
		}
		p.Resize(1440, 900)
	}
}

// Every page, light and dark, wide and narrow: no script error, nothing that axe finds, no page wider than the screen. With
// NOVACRON_PICTURES set to a folder, a picture of each is left there to be looked at.
func TestEveryPageIsSoundInEveryLight(t *testing.T) {
	e := newEstate(t)
	running := e.create(t, e.guest(t, "web-1", e.hosts[0], 64<<20))
	off := e.guest(t, "web-2", e.hosts[1], 32<<20)
	off["start"], off["tags"] = false, []string{"ci", "prod"}
	stopped := e.create(t, off)
	e.api.Change(t, "PATCH", "/api/v1/vms/"+running.ID, map[string]any{"vcpus": 2}, "succeeded")
	hears(t, e, running, "tick 3") // the guest's screen has something to show
	for _, name := range []string{"before-upgrade", "after-upgrade"} {
		e.api.Change(t, "POST", "/api/v1/vms/"+running.ID+"/snapshots", map[string]any{"name": name, "notes": "taken to be looked at"}, "succeeded")
	}
	t.Cleanup(func() { e.forgetSnapshots(t, running.ID) })
	refused := e.api.Change(t, "POST", "/api/v1/hosts", map[string]string{"name": "nobody", "uri": "qemu+tcp://127.0.0.1:1/system"}, "undone")

	pool, disk := "", ""
	for _, v := range e.vols(t, "host="+e.hosts[0]) {
		if strings.HasPrefix(v.Name, "web-1") {
			pool, disk = v.PoolID, v.ID
		}
	}

	if _, err := e.api.Do("POST", "/api/v1/folders", map[string]any{"name": "shop"}, nil); err != nil {
		t.Fatal(err)
	}

	var plan struct{ ID string }
	if _, err := e.api.Do("POST", "/api/v1/plans", map[string]any{"hosts": []string{e.hosts[0]}}, &plan); err != nil {
		t.Fatal(err)
	}

	p := browser.Open(t, e.URL, 1440, 900)
	check := sound(t, p)
	check("login", "/login")
	p.SignIn(e.Admin, e.Password, "")
	for _, page := range []struct{ name, path string }{
		{"overview", "/"}, {"vms", "/vms"}, {"vms-filtered", "/vms?filter=tag:ci"}, {"vms-none", "/vms?filter=nothinglikethis"}, {"vms-badfilter", "/vms?filter=colour:red"},
		{"vm", "/vms/" + running.ID}, {"vm-hardware", "/vms/" + running.ID + "/hardware"}, {"vm-console", "/vms/" + running.ID + "/console"},
		{"vm-snapshots", "/vms/" + running.ID + "/snapshots"}, {"snapshot-new", "/vms/" + running.ID + "/snapshots/new"},
		{"schedules", "/snapshot-schedules"}, {"schedule-new", "/snapshot-schedules/new"}, {"vm-serial", "/vms/" + running.ID + "/console?kind=serial"}, {"vm-tasks", "/vms/" + running.ID + "/tasks"}, {"vm-events", "/vms/" + running.ID + "/events"},
		{"vm-guest", "/vms/" + running.ID + "/guest"}, {"guest-password", "/vms/" + running.ID + "/guest/password"}, {"vm-cloud-init", "/vms/" + stopped.ID + "/cloud-init"}, {"vm-stopped-guest", "/vms/" + stopped.ID + "/guest"},
		{"vm-definition", "/vms/" + running.ID + "/definition"}, {"vm-stopped", "/vms/" + stopped.ID}, {"vm-stopped-console", "/vms/" + stopped.ID + "/console"},
		{"vm-new", "/vms/new"}, {"vm-delete", "/vms/" + stopped.ID + "/delete"}, {"vm-rename", "/vms/" + stopped.ID + "/rename"}, {"vm-clone", "/vms/" + stopped.ID + "/clone"},
		{"vm-stop", "/vms/" + running.ID + "/actions/stop"}, {"hosts", "/hosts"}, {"host-new", "/hosts/new"}, {"host", "/hosts/" + e.hosts[0]},
		{"storage", "/storage"}, {"storage-pool-new", "/storage/pools/new?type=netfs"}, {"storage-volumes", "/storage/volumes"}, {"storage-orphans", "/storage/volumes?orphans=1"},
		{"storage-volume-new", "/storage/volumes/new"}, {"storage-upload", "/storage/volumes/upload"}, {"storage-pool", "/storage/pools/" + pool}, {"storage-pool-delete", "/storage/pools/" + pool + "/delete"},
		{"storage-volume", "/storage/volumes/" + disk}, {"storage-volume-move", "/storage/volumes/" + disk + "/move"}, {"storage-volume-delete", "/storage/volumes/delete?ids=" + disk},
		{"vm-disk", "/vms/" + running.ID + "/disks/vda/change"}, {"vm-disk-detach", "/vms/" + running.ID + "/disks/vda/detach"},
		{"host-vms", "/hosts/" + e.hosts[0] + "/vms"}, {"host-storage", "/hosts/" + e.hosts[0] + "/storage"}, {"host-networks", "/hosts/" + e.hosts[0] + "/networks"},
		{"host-devices", "/hosts/" + e.hosts[0] + "/devices"}, {"host-events", "/hosts/" + e.hosts[0] + "/events"}, {"host-edit", "/hosts/" + e.hosts[0] + "/edit"},
		{"host-remove", "/hosts/" + e.hosts[0] + "/remove"}, {"images", "/images"}, {"image-new", "/images/new"}, {"image-copies", "/images/copies"}, {"templates", "/templates"}, {"template-new", "/templates/new"}, {"tasks", "/tasks"}, {"task-failed", "/tasks/" + refused.ID}, {"events", "/events"},
		{"vm-migrate", "/vms/" + running.ID + "/migrate"}, {"migrations", "/migrations"}, {"migration-policies", "/migrations/policies"}, {"migration-policy", "/migrations/policies/all"},
		{"plans", "/plans"}, {"plan-new", "/plans/new?host=" + e.hosts[0]}, {"plan", "/plans/" + plan.ID}, {"plan-edit", "/plans/" + plan.ID + "/edit"},
		{"alerts", "/alerts"}, {"alert-rules", "/alerts/rules"}, {"alert-rule-new", "/alerts/rules/new"}, {"silences", "/alerts/silences"}, {"receivers", "/alerts/receivers"}, {"on-call", "/alerts/oncall"}, {"rota-new", "/alerts/oncall/rotas/new"}, {"escalation-new", "/alerts/oncall/escalations/new"}, {"incidents", "/alerts/incidents"}, {"webhooks", "/events/webhooks"}, {"webhook-new", "/events/webhooks/new"}, {"api-docs", "/api/docs"}, {"api-doc", "/api/docs/create-vm"},
		{"folders", "/folders"}, {"account", "/account"}, {"mfa", "/account/mfa"}, {"search", "/search?q=web"}, {"not-found", "/vms/vm_nowhere"},
	} {
		check(page.name, page.path)
	}
}

// The same for who may do what, and for how people sign in.
func TestAccessPagesAreSoundInEveryLight(t *testing.T) {
	s := server.Start(t, "--smtp", "smtp+plain://127.0.0.1:9", "--mail-from", "nova@example.org", "--url", "https://nova.example.org")
	api := s.API()
	made := func(path string, in map[string]any) string {
		t.Helper()
		var out struct{ ID string }
		if _, err := api.Do("POST", path, in, &out); err != nil {
			t.Fatal(err)
		}
		return out.ID
	}
	made("/api/v1/tenants", map[string]any{"name": "team-a", "quota": map[string]any{"vms": 10, "vcpus": 40}})
	ann := made("/api/v1/users", map[string]any{"name": "ann", "full_name": "Ann Example", "email": "ann@example.org", "role": "tenant-user", "tenant": "team-a"})
	ops := made("/api/v1/groups", map[string]any{"name": "ops", "members": []string{"ann"}})
	made("/api/v1/roles", map[string]any{"id": "starter", "name": "Starter", "permissions": []string{"vm.read", "vm.power"}})
	made("/api/v1/bindings", map[string]any{"subject": "ops", "subject_kind": "group", "role": "starter", "scope": "tenant", "scope_id": "team-a", "condition": "hour >= 8 && hour < 18"})
	made("/api/v1/tokens", map[string]any{"name": "ci", "role": "operator", "days": 30})
	made("/api/v1/identity-providers", map[string]any{"id": "github", "kind": "github", "name": "GitHub", "client_id": "nova", "secret": "x"})

	p := browser.Open(t, s.URL, 1440, 900)
	check := sound(t, p)
	check("login-ways", "/login")
	check("forgot", "/login/forgot")
	p.SignIn(s.Admin, s.Password, password)
	for _, page := range []struct{ name, path string }{
		{"access-users", "/access/users"}, {"access-user-new", "/access/users/new"}, {"access-user", "/access/users/" + ann}, {"access-invite", "/access/users/bulk?do=invite&ids=" + ann},
		{"access-groups", "/access/groups"}, {"access-group", "/access/groups/" + ops}, {"access-tenants", "/access/tenants"}, {"access-tenant", "/access/tenants/team-a"},
		{"access-roles", "/access/roles"}, {"access-role", "/access/roles/starter"}, {"access-bindings", "/access/bindings"}, {"access-tokens", "/access/tokens"}, {"access-audit", "/access/audit"},
		{"sign-in", "/settings/sign-in"}, {"provider-new", "/settings/providers/new?kind=github"}, {"provider", "/settings/providers/github"}, {"account-links", "/account"},
	} {
		check(page.name, page.path)
	}
}
