package handlers

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/db"
	"novacron/domain"
	"novacron/views/hosts"
	"novacron/views/vms"
)

func TestPanicsAndFaultsAreOurs(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.e.GET("/panic", func(echo.Context) error { panic("a secret of the inside") })
	w.e.GET("/fault", func(echo.Context) error { return errors.New("a secret of the inside") })
	for _, p := range []string{"/panic", "/fault"} {
		a := b.get(p).want(t, 500, "NovaCron failed")
		if strings.Contains(a.text, "secret") {
			t.Errorf("%s tells the inside:\n%s", p, a.text)
		}
		if id := a.Header.Get("X-Request-Id"); !strings.Contains(a.text, id) || !strings.Contains(w.log.String(), id) {
			t.Errorf("%s: the request's id leads nowhere", p)
		}
	}
	if log := w.log.String(); strings.Count(log, "a secret of the inside") < 2 || !strings.Contains(log, "stack=") {
		t.Error("the log does not tell what went wrong")
	}
}

func TestWhenTheDatabaseIsGoneThePageStillSaysSo(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/vms", nil)
	rec := httptest.NewRecorder()
	w.e.ServeHTTP(rec, r)
	if rec.Code < 300 {
		t.Errorf("a request that was given up got %d", rec.Code)
	}
	b.get("/healthz").want(t, 200)
}

func TestForwardedAddressesAreBelievedFromNamedProxiesOnly(t *testing.T) {
	_, lan, err := net.ParseCIDR("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(trusted []*net.IPNet, from, forwarded string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = from + ":1234"
		r.Header.Set("X-Forwarded-For", forwarded)
		return ipExtractor(trusted)(r)
	}
	for _, c := range []struct {
		trusted          []*net.IPNet
		from, head, want string
	}{
		{nil, "10.0.0.1", "203.0.113.9", "10.0.0.1"},
		{[]*net.IPNet{lan}, "10.0.0.1", "203.0.113.9", "203.0.113.9"},
		{[]*net.IPNet{lan}, "10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"},
		{[]*net.IPNet{lan}, "192.0.2.1", "203.0.113.9", "192.0.2.1"},
		{[]*net.IPNet{lan}, "127.0.0.1", "203.0.113.9", "127.0.0.1"},
	} {
		if got := ask(c.trusted, c.from, c.head); got != c.want {
			t.Errorf("%s forwarding %q: %s instead of %s", c.from, c.head, got, c.want)
		}
	}
}

func TestHostsAreSortedAndFiltered(t *testing.T) {
	row := func(name string, vms int, mem, free int64, state domain.HostState, labels ...string) hosts.Row {
		h := domain.Host{Name: name, State: state, Facts: domain.HostFacts{CPUs: vms, MemoryBytes: mem, StorageFreeBytes: free}, Labels: map[string]string{}}
		for _, l := range labels {
			k, v, _ := strings.Cut(l, "=")
			h.Labels[k] = v
		}
		return hosts.Row{Host: h, VMs: vms}
	}
	all := func() []hosts.Row {
		return []hosts.Row{
			row("beta", 2, 10, 1, domain.HostConnected, "site=ams"), row("Alpha", 3, 5, 2, domain.HostAway, "site=fra"), row("gamma", 1, 7, 3, domain.HostConnected, "site=ams"),
		}
	}
	names := func(rows []hosts.Row) string {
		var out []string
		for _, r := range rows {
			out = append(out, r.Host.Name)
		}
		return strings.Join(out, " ")
	}
	for by, want := range map[string]string{
		"": "Alpha beta gamma", "vms": "gamma beta Alpha", "cpus": "gamma beta Alpha", "memory": "Alpha gamma beta", "storage": "beta Alpha gamma", "state": "Alpha beta gamma",
	} {
		rows := all()
		sortHosts(rows, by, false)
		if got := names(rows); got != want {
			t.Errorf("by %q: %s instead of %s", by, got, want)
		}
	}
	rows := all()
	sortHosts(rows, "memory", true)
	if got := names(rows); got != "beta gamma Alpha" {
		t.Errorf("downwards: %s", got)
	}
	for filter, want := range map[string]string{"": "beta Alpha gamma", "site=ams": "beta gamma", "-site=ams": "Alpha", "state:away": "Alpha", "ams GAM": "gamma", "nothing": ""} {
		if got := names(filterHosts(all(), filter)); got != want {
			t.Errorf("filter %q: %q instead of %q", filter, got, want)
		}
	}
}

func TestAttentionNamesWhatNeedsAPerson(t *testing.T) {
	o := db.Overview{VMs: map[domain.VMState]int{domain.VMCrashed: 2}}
	hs := []domain.Host{{ID: "host_1", Name: "b1", State: domain.HostAway, StateReason: "It refused the connection.", StateFix: "Start libvirtd."}}
	stuck := db.JobPage{Items: []domain.Job{{ID: "job_1", Title: "Create web-1", Help: "Look at both."}}}
	pools := []domain.Pool{{HostID: "host_1", Name: "default", Active: true, CapacityBytes: 100 * domain.GiB, AvailableBytes: 5 * domain.GiB}, {Name: "roomy", Active: true, CapacityBytes: 100, AvailableBytes: 50}}
	got := attention(o, hs, stuck, pools, []domain.LongChain{{VMID: "vm_1", Name: "web-1", Depth: 12}})
	if len(got) != 5 {
		t.Fatalf("%d things: %+v", len(got), got)
	}
	for i, want := range []string{"Create web-1", "b1 is away", "2 VMs have crashed", "default on b1 has 5 GiB left of 100 GiB", "web-1 is a chain of 12 files"} {
		if !strings.Contains(got[i].Text, want) || got[i].URL == "" || got[i].Link == "" {
			t.Errorf("%d: %+v", i, got[i])
		}
	}
	if got := attention(db.Overview{}, nil, db.JobPage{}, nil, nil); len(got) != 0 {
		t.Errorf("nothing is wrong and it says %+v", got)
	}
}

func TestTrialGuestsAreForHostsOfThisMachine(t *testing.T) {
	s := &server{Deps: Deps{Guests: []Guest{{Label: "tiny", Kernel: "/k", Initrd: "/i", Cmdline: "console=ttyS0"}}}}
	for uri, want := range map[string]int{"qemu:///system": 1, "qemu+unix:///system": 1, "qemu+ssh://root@b1/system": 0, "test+unix:///default": 0, "nonsense": 0} {
		if got := s.demoGuests(domain.Host{ID: "host_1", URI: uri}); len(got) != want {
			t.Errorf("%s: %+v", uri, got)
		}
	}
}

func TestThingsKeptForAWhile(t *testing.T) {
	now := time.Now()
	d := newDrawer[int](func() time.Time { return now }, 3, time.Minute)
	var keys []string
	for i := range 5 {
		keys = append(keys, d.put(i))
	}
	if _, ok := d.take(keys[0]); ok {
		t.Error("more is kept than may be")
	}
	if v, ok := d.take(keys[4]); !ok || v != 4 {
		t.Error("the newest is lost")
	}
	if _, ok := d.take(keys[4]); ok {
		t.Error("it can be taken twice")
	}
	now = now.Add(time.Minute)
	if _, ok := d.take(keys[3]); ok {
		t.Error("it is kept for ever")
	}
	d.put(9)
	if len(d.items) != 1 || len(d.order) != 1 {
		t.Errorf("%d and %d are left", len(d.items), len(d.order))
	}
}

func TestRowsAreDrawnOnceUntilTheyChange(t *testing.T) {
	now := time.Now()
	r := newDrawnRows(func() time.Time { return now })
	w := newWorld(t)
	sh := w.srv.bareShell(subjectNamed("x"))
	vm := domain.VM{ID: "vm_1", Name: "web-1", State: domain.VMRunning, Version: 1}
	draw := func(vm domain.VM, cols ...string) string {
		t.Helper()
		var b strings.Builder
		if err := r.draw(t.Context(), sh, vms.List{Columns: cols})(vm).Render(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	first := draw(vm)
	if !strings.Contains(first, "web-1") || draw(vm) != first || len(r.m) != 1 {
		t.Fatalf("%d rows kept: %s", len(r.m), first)
	}
	for what, change := range map[string]func(*domain.VM){
		"state": func(v *domain.VM) { v.State = domain.VMPaused }, "name": func(v *domain.VM) { v.Name = "web-2" }, "job": func(v *domain.VM) { v.BusyJob, v.BusyTitle = "job_1", "Stop web-1" },
		"pending": func(v *domain.VM) { v.Pending = []domain.Change{{Field: "vcpus"}} }, "config": func(v *domain.VM) { v.Version, v.Config.VCPUs = 2, 7 },
		"tags": func(v *domain.VM) { v.Tags = []string{"prod"} },
	} {
		v := vm
		change(&v)
		if draw(v) == first {
			t.Errorf("a changed %s does not show", what)
		}
		if draw(vm) != first {
			t.Errorf("%s: the first one does not come back", what)
		}
	}
	if draw(vm, "name", "uuid") == first {
		t.Error("other columns give the same row")
	}
}
