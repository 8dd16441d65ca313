package auth

import (
	"context"
	"slices"
	"strings"
	"testing"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// person makes an account with a role, and gives it as who it is when it is signed in.
func person(t *testing.T, a *Auth, name, role, tenant string) Subject {
	t.Helper()
	u, _, err := a.MakeUser(t.Context(), Subject{Name: "test"}, NewUser{Name: name, Role: role, Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	return again(t, a, Subject{Name: name, UserID: u.ID, Role: role})
}

// again reads somebody's rights anew.
func again(t *testing.T, a *Auth, s Subject) Subject {
	t.Helper()
	g, err := a.grantsOfUser(t.Context(), s.UserID, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.Grants = g
	return s
}

// Who may give rights gives what they have and no more, in every way in which rights are given; and there is an admin always.
func TestRightsAreGivenOnlyByWhoHasThem(t *testing.T) {
	a, d, _ := open(t)
	mustAdmin(t, a)
	ctx, server := t.Context(), Subject{Name: "test"}
	if _, err := a.SaveTenant(ctx, server, domain.Tenant{Name: "Team A"}, true, 0); err != nil {
		t.Fatal(err)
	}
	giver, err := a.SaveRole(ctx, server, domain.Role{ID: "giver", Permissions: []string{"role.*", "user.*", "vm.read"}}, true)
	if err != nil || giver.Name != "giver" {
		t.Fatal(giver, err)
	}
	eve := person(t, a, "eve", "giver", "")
	ann := person(t, a, "ann", access.TenantUser, "team-a")
	admins, err := a.SaveGroup(ctx, server, domain.Group{Name: "admins", Members: []string{"admin", FirstAdmin}})
	if err != nil || len(admins.Members) != 1 {
		t.Fatal(admins, err)
	}
	whole, err := a.Bind(ctx, server, domain.Binding{Subject: domain.Ref{ID: "admins"}, Role: access.PlatformAdmin})
	if err != nil || whole.Scope != domain.ScopeEstate || whole.Subject.Kind != "group" {
		t.Fatal(whole, err)
	}
	denied := func(what string, err error) {
		t.Helper()
		if !domain.Is(err, domain.Denied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	bind := func(by Subject, b domain.Binding) error { _, err := a.Bind(ctx, by, b); return err }
	denied("the whole estate", bind(eve, domain.Binding{Subject: domain.Ref{ID: "eve"}, Role: access.PlatformAdmin}))
	denied("a tenant", bind(eve, domain.Binding{Subject: domain.Ref{ID: "eve"}, Role: access.TenantAdmin, Scope: domain.ScopeTenant, ScopeID: "Team A"}))
	denied("one thing", bind(eve, domain.Binding{Subject: domain.Ref{ID: "eve"}, Role: access.Operator, Scope: domain.ScopeObject, ScopeID: "vm_x"}))
	_, err = a.SaveRole(ctx, eve, domain.Role{ID: "mine", Permissions: []string{"vm.delete"}}, true)
	denied("a role", err)
	_, err = a.SaveGroup(ctx, eve, domain.Group{ID: admins.ID, Name: "admins", Members: []string{"eve"}})
	denied("a group that has more", err)
	denied("to take a group away that has more", a.DeleteGroup(ctx, eve, admins.ID))
	denied("to take a role away that is more", a.Unbind(ctx, eve, whole.ID))
	denied("a tenant's person gives nothing", bind(ann, domain.Binding{Subject: domain.Ref{ID: "ann"}, Role: access.Auditor}))
	if err := bind(eve, domain.Binding{Subject: domain.Ref{ID: "ann", Kind: "user"}, Role: "giver", Scope: domain.ScopeTag, ScopeID: "prod"}); err != nil {
		t.Errorf("what she has herself: %v", err)
	}
	if err := bind(eve, domain.Binding{Subject: domain.Ref{ID: "ann", Kind: "user"}, Role: "giver", Scope: domain.ScopeTag, ScopeID: "prod"}); !domain.Is(err, domain.Conflict) {
		t.Errorf("twice: %v", err)
	}
	for what, b := range map[string]domain.Binding{
		"a role that is not": {Subject: domain.Ref{ID: "ann"}, Role: "wizard"}, "a tenant that is not": {Subject: domain.Ref{ID: "ann"}, Role: access.Auditor, Scope: domain.ScopeTenant, ScopeID: "x"},
		"a tag that is none": {Subject: domain.Ref{ID: "ann"}, Role: access.Auditor, Scope: domain.ScopeTag, ScopeID: "a b"}, "no thing": {Subject: domain.Ref{ID: "ann"}, Role: access.Auditor, Scope: domain.ScopeObject},
		"a place that is not": {Subject: domain.Ref{ID: "ann"}, Role: access.Auditor, Scope: "moon"}, "a condition that is none": {Subject: domain.Ref{ID: "ann"}, Role: access.Auditor, Condition: "hour >"},
		"nobody": {Subject: domain.Ref{}, Role: access.Auditor}, "a group for a user": {Subject: domain.Ref{Kind: "user", ID: admins.ID}, Role: access.Auditor},
	} {
		if err := bind(server, b); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}

	// Roles of one's own, and those that stay as they are.
	for what, x := range map[string]struct {
		r     domain.Role
		fresh bool
		code  domain.Code
	}{
		"built in": {domain.Role{ID: access.Auditor, Permissions: []string{"vm.read"}}, true, domain.Conflict}, "there already": {domain.Role{ID: "giver", Permissions: []string{"vm.read"}}, true, domain.Conflict},
		"not there": {domain.Role{ID: "none", Permissions: []string{"vm.read"}}, false, domain.NotFound}, "empty": {domain.Role{ID: "none"}, true, domain.Invalid}, "long": {domain.Role{ID: "l", Name: strings.Repeat("x", 101), Permissions: []string{"vm.read"}}, true, domain.Invalid},
		"no slug": {domain.Role{ID: "../x", Permissions: []string{"vm.read"}}, true, domain.Invalid}, "no permission": {domain.Role{ID: "x", Permissions: []string{"vm.fly"}}, true, domain.Invalid},
	} {
		if _, err := a.SaveRole(ctx, server, x.r, x.fresh); !domain.Is(err, x.code) {
			t.Errorf("a role that is %s: %v", what, err)
		}
	}
	if r, err := a.SaveRole(ctx, server, domain.Role{ID: "giver", Name: "Giver", Permissions: []string{"role.*"}}, false); err != nil || r.Name != "Giver" {
		t.Error(r, err)
	}
	if p, err := a.Policy(ctx); err != nil {
		t.Error(err)
	} else if r, _ := p.Role("giver"); slices.Contains(r.Permissions, "user.manage") {
		t.Errorf("the role still has %v", r.Permissions)
	}
	if err := a.DeleteRole(ctx, server, access.Auditor); !domain.Is(err, domain.Conflict) {
		t.Error(err)
	}
	if err := a.DeleteRole(ctx, server, "giver"); !domain.Is(err, domain.Conflict) {
		t.Errorf("one that somebody has: %v", err)
	}
	if err := a.DeleteRole(ctx, server, "none"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}

	// The admin of the first start is not needed while a group has one; then that group is.
	all, err := d.Bindings(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		if b.Subject.Name == FirstAdmin {
			if err := a.Unbind(ctx, server, b.ID); err != nil {
				t.Error(err)
			}
		}
	}
	for what, err := range map[string]error{
		"its last member": func() error {
			_, err := a.SaveGroup(ctx, server, domain.Group{ID: admins.ID, Name: "admins"})
			return err
		}(),
		"the group": a.DeleteGroup(ctx, server, admins.ID), "its role": a.Unbind(ctx, server, whole.ID), "a denial": bind(server, domain.Binding{Subject: domain.Ref{ID: "admins"}, Role: access.PlatformAdmin, Deny: true}),
	} {
		if !domain.Is(err, domain.Conflict) {
			t.Errorf("the last admin goes with %s: %v", what, err)
		}
	}
	if err := a.Unbind(ctx, server, "bind_none"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	if err := a.DeleteGroup(ctx, server, "group_none"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	for what, g := range map[string]domain.Group{"no name": {}, "nobody": {Name: "x", Members: []string{"zoe"}}, "a name with what is not seen": {Name: "a\u202eb"}} {
		if _, err := a.SaveGroup(ctx, server, g); !domain.Is(err, domain.Invalid) {
			t.Errorf("a group with %s: %v", what, err)
		}
	}
	if g, err := a.SaveGroup(ctx, server, domain.Group{Name: "plain", Members: []string{"ann"}}); err != nil {
		t.Error(err)
	} else if err := a.DeleteGroup(ctx, server, g.ID); err != nil {
		t.Error(err)
	}
}

// Why is answered by the code that decides, for people, groups and tokens.
func TestWhyAndWho(t *testing.T) {
	a, _, _ := open(t)
	mustAdmin(t, a)
	ctx, server := t.Context(), Subject{Name: "test"}
	if _, err := a.SaveTenant(ctx, server, domain.Tenant{Name: "Team A"}, true, 0); err != nil {
		t.Fatal(err)
	}
	person(t, a, "ann", access.TenantUser, "team-a")
	_, robot, err := a.MakeToken(ctx, server, domain.Token{Name: "robot", Role: access.TenantUser, Tenant: "team-a"})
	if err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]string{"ann": "ann", robot.ID: "robot"} {
		e, ref, err := a.Explain(ctx, subject, access.VMPower, "team-a")
		if err != nil || !e.Allowed || ref.Name != want {
			t.Errorf("%s: %+v %+v %v", subject, e, ref, err)
		}
		if e, _, err := a.Explain(ctx, subject, access.HostAdd, ""); err != nil || e.Allowed {
			t.Errorf("%s: %+v %v", subject, e, err)
		}
	}
	who, err := a.WhoMay(ctx, access.VMPower, "team-a")
	var names []string
	for _, h := range who {
		names = append(names, h.Kind+" "+h.Name)
	}
	if slices.Sort(names); err != nil || !slices.Contains(names, "token robot") || !slices.Contains(names, "user ann") {
		t.Errorf("%v %v", names, err)
	}
	off := true
	u, err := a.db.UserByName(ctx, "ann")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.EditUser(ctx, server, u.ID, UserEdit{Disabled: &off}); err != nil {
		t.Fatal(err)
	}
	if who, err = a.WhoMay(ctx, access.VMPower, "team-a"); err != nil || slices.ContainsFunc(who, func(h access.Holder) bool { return h.Name == "ann" }) {
		t.Errorf("a disabled account may: %+v %v", who, err)
	}
	for what, err := range map[string]error{
		"nobody": func() error { _, _, err := a.Explain(ctx, "zoe", access.VMPower, ""); return err }(), "nothing": func() error { _, _, err := a.Explain(ctx, "ann", "vm.fly", ""); return err }(),
		"who, nothing": func() error { _, err := a.WhoMay(ctx, "vm.fly", ""); return err }(),
	} {
		if !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A request goes on only where the route's rule and everything that it names allow it; what one may not see does not exist.
func TestRequestsAreAuthorised(t *testing.T) {
	a, d, clock := open(t)
	mustAdmin(t, a)
	ctx, server := t.Context(), Subject{Name: "test"}
	for _, name := range []string{"team-a", "team-b"} {
		if _, err := a.SaveTenant(ctx, server, domain.Tenant{Name: name}, true, 0); err != nil {
			t.Fatal(err)
		}
	}
	var vms []string
	err := d.Write(ctx, func(tx *db.Tx) error {
		if err := tx.InsertHost(domain.Host{ID: "host_1", Name: "b1", URI: "qemu:///system", State: domain.HostConnected, CreatedAt: clock.Now()}, domain.HostCredentials{}); err != nil {
			return err
		}
		for _, tenant := range []string{"team-a", "team-b"} {
			vm, _, _, err := tx.UpsertGuest("host_1", domain.Guest{UUID: domain.NewUUID(), Name: "web-of-" + tenant, State: domain.VMStopped, Persistent: true, XML: "<domain/>"}, clock.Now())
			if err != nil {
				return err
			}
			if err := tx.SetVMTenant(vm.ID, tenant); err != nil {
				return err
			}
			vms = append(vms, vm.ID)
		}
		return tx.InsertJob(domain.Job{ID: "job_1", Kind: "vm.start", State: domain.JobQueued, Resource: domain.Ref{Kind: "vm", ID: vms[1]}, CreatedAt: clock.Now()}, "")
	})
	if err != nil {
		t.Fatal(err)
	}
	ann := person(t, a, "ann", access.TenantUser, "team-a")
	vera := person(t, a, "vera", access.Auditor, "")
	for _, x := range []struct {
		who  Subject
		ask  Ask
		code domain.Code
	}{
		{Subject{}, Ask{Permission: access.Public}, ""},
		{Subject{}, Ask{Permission: access.VMRead, Route: "GET /vms"}, domain.Unauthenticated},
		{ann, Ask{Permission: access.AccountSelf}, ""},
		{ann, Ask{Permission: access.VMRead, Route: "GET /vms"}, ""},
		{ann, Ask{Permission: access.VMRead, Route: "GET /a/new/route"}, domain.Denied},
		{ann, Ask{Permission: access.HostRead, Route: "GET /hosts"}, domain.Denied},
		{ann, Ask{Permission: access.VMPower, Path: []string{vms[0], "start"}}, ""},
		{ann, Ask{Permission: access.VMPower, Path: []string{vms[1], "start"}}, domain.NotFound},
		{ann, Ask{Permission: access.VMPower, Path: []string{vms[0], vms[1]}}, domain.NotFound},
		{ann, Ask{Permission: access.VMPower, Path: []string{vms[0]}, Named: []string{vms[1]}}, domain.NotFound},
		{ann, Ask{Permission: access.JobRead, Path: []string{"job_1"}}, domain.NotFound},
		{ann, Ask{Permission: access.JobRead, Path: []string{"job_none"}}, domain.NotFound},
		{ann, Ask{Permission: access.VMRead, Path: []string{"vm_none"}}, domain.NotFound},
		{ann, Ask{Permission: access.TenantRead, Path: []string{"team-b"}}, domain.NotFound},
		{ann, Ask{Permission: access.VMRead, Path: []string{"host_1"}}, ""}, // the tree
		{ann, Ask{Permission: access.HostRead, Path: []string{"host_1"}}, domain.NotFound},
		{vera, Ask{Permission: access.VMRead, Path: []string{vms[0]}}, ""},
		{vera, Ask{Permission: access.VMPower, Path: []string{vms[0]}}, domain.Denied},
		{vera, Ask{Permission: access.SecGroupManage, Path: []string{"sg_x"}}, domain.Denied},
	} {
		if err := a.Authorise(ctx, x.who, x.ask); domain.CodeOf(err) != x.code {
			t.Errorf("%s asks %+v: %v instead of %q", x.who.Name, x.ask, err, x.code)
		}
	}
	text := "a=" + vms[0] + "&b=job_" + strings.Repeat("0", 26) + "&c=vm_short"
	if got := IDs(text); len(got) != 2 || got[0] != vms[0] {
		t.Errorf("%v", got)
	}
}

// Sessions end one by one, all but one, or all.
func TestSessionsAreEndedByTheirOwnerAndByAdmins(t *testing.T) {
	a, d, _ := open(t)
	mustAdmin(t, a)
	ctx, server := t.Context(), Subject{Name: "test"}
	ann, eve := person(t, a, "ann", access.Auditor, ""), person(t, a, "eve", access.Auditor, "")
	u, err := d.User(ctx, ann.UserID)
	if err != nil {
		t.Fatal(err)
	}
	begin := func() string {
		t.Helper()
		(&browser{t: t, a: a}).do(func(ctx context.Context) error { return a.BeginSession(ctx, u) })
		all, err := a.Sessions(ctx, ann.UserID)
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		return all[0].ID
	}
	count := func(want int) {
		t.Helper()
		if all, err := a.Sessions(ctx, ann.UserID); err != nil || len(all) != want {
			t.Errorf("%d sessions instead of %d: %v", len(all), want, err)
		}
	}
	first := begin()
	begin()
	begin()
	count(3)
	if err := a.RevokeSession(ctx, eve, first, eve.UserID); !domain.Is(err, domain.NotFound) {
		t.Errorf("somebody else's: %v", err)
	}
	if err := a.RevokeSession(ctx, ann, "sess_none", ann.UserID); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	if err := a.RevokeSession(ctx, ann, first, ann.UserID); err != nil {
		t.Error(err)
	}
	count(2)
	all, err := a.Sessions(ctx, ann.UserID)
	if err != nil {
		t.Fatal(err)
	}
	ann.Session = all[0].ID
	if err := a.RevokeOthers(ctx, ann); err != nil {
		t.Error(err)
	}
	count(1)
	if err := a.EndSessions(ctx, server, ann.UserID); err != nil {
		t.Error(err)
	}
	count(0)
	if err := a.EndSessions(ctx, server, "user_none"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
}

// How well the server is kept is judged from its people, tokens and last migrations.
func TestComplianceLooksAtPeopleAndMoves(t *testing.T) {
	a, d, clock := open(t)
	mustAdmin(t, a)
	ctx := t.Context()
	person(t, a, "ann", access.PlatformAdmin, "")
	err := d.Write(ctx, func(tx *db.Tx) error {
		for id, data := range map[string]string{"job_1": `{"plan":{"tls":false,"mode":"live"}}`, "job_2": `{"plan":{"tls":true,"mode":"live"}}`, "job_3": ``} {
			j := domain.Job{ID: id, Kind: "vm.migrate", State: domain.JobQueued, Resource: domain.Ref{Kind: "vm", ID: "vm_x", Name: "web-" + id}, CreatedAt: clock.Now()}
			if data != "" {
				j.Data = []byte(data)
			}
			if err := tx.InsertJob(j, ""); err != nil {
				return err
			}
			j.State = domain.JobSucceeded
			if err := tx.UpdateJob(j); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	judged, err := a.Compliance(context.Background())
	if err != nil || len(judged) < 8 {
		t.Fatal(judged, err)
	}
	moves, err := a.moves(ctx)
	if err != nil || len(moves) != 2 || moves[0].Encrypted == moves[1].Encrypted {
		t.Errorf("%+v %v", moves, err)
	}
	people, err := a.peopleJudged(ctx)
	if err != nil || len(people) != 2 || !people[0].Admin || !people[1].Admin || people[0].MFA {
		t.Errorf("%+v %v", people, err)
	}
}

// What follows from somebody's rights goes with the request: what they see, what they may do, and with whom they share what is drawn.
func TestTheRightsGoWithTheRequest(t *testing.T) {
	a, d, clock := open(t)
	mustAdmin(t, a)
	ctx, server := t.Context(), Subject{Name: "test"}
	if _, err := a.SaveTenant(ctx, server, domain.Tenant{Name: "team-a"}, true, 0); err != nil {
		t.Fatal(err)
	}
	ann, bob := person(t, a, "ann", access.TenantUser, "team-a"), person(t, a, "bob", access.TenantUser, "team-a")
	vera := person(t, a, "vera", access.Auditor, "")
	if ann.Look() == "" || ann.Look() != bob.Look() || ann.Look() == vera.Look() || (Subject{Role: "x"}).Look() != "x" {
		t.Errorf("%q %q %q", ann.Look(), bob.Look(), vera.Look())
	}
	if server.Sight() != nil || ann.Sight().Full() || !vera.Sight().Full() {
		t.Errorf("%+v %+v", ann.Sight(), vera.Sight())
	}
	if got := SubjectOf(ann.With(ctx)); got.UserID != ann.UserID || got.Grants == nil {
		t.Errorf("%+v", got)
	}
	if got := SubjectOf(server.With(ctx)); got.Name != "test" {
		t.Errorf("%+v", got)
	}
	if !domain.Is(ann.Lacks(access.HostAdd), domain.Denied) || a.Secure() || !New(d, a.log, clock.Now, Options{Secure: true}).Secure() {
		t.Error("what is lacking is not denied, or cookies are for anything")
	}
	admin := Subject{UserID: "x", Role: access.Admin}
	if !admin.On(access.VMDelete, access.Object{}) || !admin.Everywhere(access.VMDelete) || (Subject{}).On(access.VMRead, access.Object{}) {
		t.Error("a role without grants is not what its table says")
	}
	for id, kind := range map[string]string{"img_none": "image", "net_none": "network", "tmpl_none": "template"} {
		if o, err := a.Object(ctx, id); err != nil && !domain.Is(err, domain.NotFound) || o.Kind != kind || o.Tenant != "" {
			t.Errorf("%s: %+v %v", id, o, err)
		}
	}
	if o, err := a.Object(ctx, "vol_none"); err != nil && !domain.Is(err, domain.NotFound) || o.Kind != "volume" {
		t.Errorf("%+v %v", o, err)
	}
}
