package nets_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/nets"
)

func group(t testing.TB, w *fleettest.World, name string, rules ...domain.SecRule) domain.SecurityGroup {
	t.Helper()
	job, err := w.Fleet.SaveGroup(t.Context(), fleettest.Actor, domain.SecurityGroup{Name: name, Rules: rules}, "")
	w.Succeed(t, job, err)
	g, err := w.DB.SecurityGroup(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func rules(f *hvtest.Fake, filter string) []domain.FilterRule {
	for _, x := range f.AllFilters() {
		if x.Name == filter {
			return x.Rules
		}
	}
	return nil
}

func TestSecurityGroupsAreEnforcedWhereTheirMembersLive(t *testing.T) {
	w, f, _ := fleettest.New(t)
	web := group(t, w, "web", domain.SecRule{Direction: "in", Protocol: "tcp", Ports: "80"})
	db := group(t, w, "db", domain.SecRule{Direction: "in", Protocol: "tcp", Ports: "5432", Group: "web"})
	if len(f.AllFilters()) != 0 {
		t.Error("a group without members made a filter")
	}
	spec := fleettest.Spec("web-1")
	spec.NICs = []domain.NIC{{Network: "default", SecurityGroups: []string{"web"}}}
	vm := w.Make(t, spec, true)
	filter := domain.FilterName([]string{web.ID})
	if vm.Config.NICs[0].Filter != filter || len(rules(f, filter)) != 2 {
		t.Fatalf("the card names %q; filters are %+v", vm.Config.NICs[0].Filter, f.AllFilters())
	}
	// A second VM joins a group while it runs.
	spec = fleettest.Spec("db-1")
	spec.NICs = []domain.NIC{{Network: "default"}}
	second := w.Make(t, spec, true)
	job, err := w.Fleet.ChangeNIC(t.Context(), fleettest.Actor, second.ID, domain.NICChange{MAC: second.Config.NICs[0].MAC, SecurityGroups: &[]string{"db"}}, "")
	w.Succeed(t, job, err)
	second = w.VM(t, "db-1")
	dbFilter := domain.FilterName([]string{db.ID})
	if second.Live.NICs[0].Filter != dbFilter {
		t.Errorf("the running card names %q", second.Live.NICs[0].Filter)
	}
	if r := rules(f, dbFilter); len(r) != 0 {
		t.Errorf("nobody of web has an address, and yet: %+v", r)
	}
	effect, err := w.Fleet.PreviewGroup(t.Context(), db)
	if err != nil || len(effect.VMs) != 1 || len(effect.Hosts) != 1 || effect.Sentences[0] != "Members of “web” (0 addresses) may reach TCP 5432 on 1 VM." || len(effect.Warnings) != 1 {
		t.Errorf("%v %+v", err, effect)
	}
	// When a member gets an address, the filter follows.
	mac := vm.Config.NICs[0].MAC
	f.SetLeases("default", domain.Lease{MAC: mac, IP: "192.168.122.77", Prefix: 24})
	watch := nets.NewWatch(w.DB, w.Pool, w.Engine, slog.New(slog.DiscardHandler), time.Now, nets.WatchOptions{Every: time.Millisecond, Soon: time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- watch.Run(ctx) }()
	w.Until(t, "the filter follows the address", func() bool { return len(rules(f, dbFilter)) == 1 })
	if r := rules(f, dbFilter)[0]; r.Remote != "192.168.122.77/32" || r.From != 5432 || !r.In {
		t.Errorf("%+v", r)
	}
	// A rule that changes is enforced at once.
	web.Rules = append(web.Rules, domain.SecRule{Direction: "in", Protocol: "tcp", Ports: "443", CIDR: "10.0.0.0/8"})
	job, err = w.Fleet.SaveGroup(t.Context(), fleettest.Actor, web, "")
	w.Succeed(t, job, err)
	if r := rules(f, filter); len(r) != 3 || r[2].Remote != "10.0.0.0/8" {
		t.Errorf("%+v", r)
	}
	if _, err = w.Fleet.SaveGroup(t.Context(), fleettest.Actor, web, ""); !domain.Is(err, domain.Conflict) {
		t.Errorf("saving what was changed meanwhile: %v", err)
	}
	if _, err = w.Fleet.DeleteGroup(t.Context(), fleettest.Actor, web.ID, ""); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "web-1") || !strings.Contains(err.Error(), "db") {
		t.Errorf("deleting a group in use: %v", err)
	}
	// What nobody needs any more goes.
	job, err = w.Fleet.ChangeNIC(t.Context(), fleettest.Actor, second.ID, domain.NICChange{MAC: second.Config.NICs[0].MAC, SecurityGroups: &[]string{}}, "")
	w.Succeed(t, job, err)
	w.Until(t, "the filter that nobody needs is gone", func() bool {
		for _, x := range f.AllFilters() {
			if x.Name == dbFilter {
				return false
			}
		}
		return true
	})
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	job, err = w.Fleet.DeleteGroup(t.Context(), fleettest.Actor, db.ID, "")
	w.Succeed(t, job, err)
	if _, err := w.DB.SecurityGroup(t.Context(), "db"); !domain.Is(err, domain.NotFound) {
		t.Errorf("the deleted group: %v", err)
	}
}

func TestBadGroupsAreRefused(t *testing.T) {
	w, _, _ := fleettest.New(t)
	group(t, w, "web")
	for _, c := range []struct {
		field string
		g     domain.SecurityGroup
	}{
		{"name", domain.SecurityGroup{}}, {"name", domain.SecurityGroup{Name: "WEB"}}, {"rules.0.group", domain.SecurityGroup{Name: "a", Rules: []domain.SecRule{{Direction: "in", Protocol: "any", Group: "nobody"}}}},
		{"rules.0.ports", domain.SecurityGroup{Name: "a", Rules: []domain.SecRule{{Direction: "in", Protocol: "icmp", Ports: "1"}}}},
		{"rules.0.cidr", domain.SecurityGroup{Name: "a", Rules: []domain.SecRule{{Direction: "in", Protocol: "tcp", CIDR: "10.0.0.0/99"}}}},
		{"rules.0.direction", domain.SecurityGroup{Name: "a", Rules: []domain.SecRule{{Direction: "up", Protocol: "tcp"}}}},
	} {
		_, err := w.Fleet.SaveGroup(t.Context(), fleettest.Actor, c.g, "")
		if e, ok := err.(*domain.Error); !ok || len(e.Fields) == 0 || e.Fields[0].Field != c.field {
			t.Errorf("%+v: %v", c.g, err)
		}
	}
	spec := fleettest.Spec("x")
	spec.NICs = []domain.NIC{{Network: "default", SecurityGroups: []string{"nobody"}}}
	if _, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec}); !domain.Is(err, domain.Invalid) {
		t.Errorf("a VM in a group that is not there: %v", err)
	}
}

func TestSweepCardsAndFilters(t *testing.T) {
	t.Run("change a card", func(t *testing.T) {
		jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
			w, f, _ := fleettest.New(t)
			group(t, w, "web", domain.SecRule{Direction: "in", Protocol: "tcp", Ports: "80"})
			spec := fleettest.Spec("web-1")
			spec.NICs = []domain.NIC{{Network: "default"}}
			vm := w.Make(t, spec, true)
			down := true
			return w.Swept(func(ctx context.Context, fl *fleet.Fleet) (domain.Job, error) {
				return fl.ChangeNIC(ctx, fleettest.Actor, vm.ID, domain.NICChange{MAC: vm.Config.NICs[0].MAC, Down: &down, SecurityGroups: &[]string{"web"}}, "")
			}, func(t testing.TB, job domain.Job) {
				g, _ := fleettest.Guest(f, "web-1")
				done := job.State == domain.JobSucceeded
				if g.Live.NICs[0].Down != done || g.Config.NICs[0].Down != done || (g.Live.NICs[0].Filter != "") != done || !done && g.XML != vm.XML {
					t.Errorf("the job is %s, the card is %+v", job.State, g.Live.NICs[0])
				}
			})
		})
	})
	t.Run("apply", func(t *testing.T) {
		jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
			w, f, _ := fleettest.New(t)
			web := group(t, w, "web", domain.SecRule{Direction: "in", Protocol: "tcp", Ports: "80"})
			spec := fleettest.Spec("web-1")
			spec.NICs = []domain.NIC{{Network: "default", SecurityGroups: []string{"web"}}}
			w.Make(t, spec, true)
			web.Rules = nil
			return w.Swept(func(ctx context.Context, fl *fleet.Fleet) (domain.Job, error) {
				return fl.SaveGroup(ctx, fleettest.Actor, web, "")
			}, func(t testing.TB, job domain.Job) {
				if r := rules(f, domain.FilterName([]string{web.ID})); job.State == domain.JobSucceeded && len(r) != 0 {
					t.Errorf("the old rules are in force: %+v", r)
				}
			})
		})
	})
}
