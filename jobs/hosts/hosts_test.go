package hosts_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/hosts"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

const guestXML = `<domain type='kvm'><name>%NAME%</name><memory>1048576</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os></domain>`

func guest(f *hvtest.Fake, name string, s domain.VMState) string {
	return f.AddGuest(strings.Replace(guestXML, "%NAME%", name, 1), s)
}

func world(t testing.TB) *fleettest.World {
	w := fleettest.Bare(t, reconcile.Options{})
	w.Run(t)
	return w
}

func TestTryTellsWhatWasFoundAndSavesNothing(t *testing.T) {
	w := world(t)
	_, uri := w.Put("a", hvtest.FakeOptions{})
	job, err := w.Fleet.TryHost(t.Context(), fleettest.Actor, fleet.AddHost{URI: uri, Creds: domain.HostCredentials{SSHKey: "secret-key"}})
	job = w.Succeed(t, job, err)
	var facts domain.HostFacts
	if err := json.Unmarshal(job.Result, &facts); err != nil || facts.CPUs != 16 || len(facts.Step) == 0 || facts.StorageFreeBytes == 0 {
		t.Errorf("result is %s", job.Result)
	}
	if strings.Contains(string(job.Input), "secret-key") || strings.Contains(string(job.Data), "secret-key") {
		t.Error("the key of a trial was written down")
	}
	if hs, err := w.DB.Hosts(t.Context()); err != nil || len(hs) != 0 {
		t.Errorf("hosts are %+v (%v)", hs, err)
	}
}

func TestTryThatFailsSaysWhichStepAtOnce(t *testing.T) {
	w := world(t)
	job, err := w.Fleet.TryHost(t.Context(), fleettest.Actor, fleet.AddHost{Name: "x", URI: "qemu+tcp://nowhere/system"})
	job = w.Undone(t, job, err, domain.Unavailable)
	var facts domain.HostFacts
	if err := json.Unmarshal(job.Result, &facts); err != nil || len(facts.Step) != 1 || facts.Step[0].OK || facts.Step[0].Fix == "" {
		t.Errorf("result is %s", job.Result)
	}
	if job.Error.Fix == "" || len(job.Error.Reasons) != 1 || job.Error.Reasons[0].Subject != "route" {
		t.Errorf("error is %+v", job.Error)
	}
	for _, bad := range []fleet.AddHost{{URI: ""}, {URI: "xen:///"}, {Name: "a b", URI: "qemu:///system"}} {
		if _, err := w.Fleet.TryHost(t.Context(), fleettest.Actor, bad); !domain.Is(err, domain.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestAddListsItsVMsBeforeItEnds(t *testing.T) {
	w := world(t)
	f, uri := w.Put("a", hvtest.FakeOptions{})
	guest(f, "old-1", domain.VMRunning)
	guest(f, "old-2", domain.VMStopped)
	job, err := w.Fleet.AddHost(t.Context(), fleettest.Actor, fleet.AddHost{Name: "a", URI: uri, Labels: map[string]string{"site": "ams"}, Key: "k"})
	again, aerr := w.Fleet.AddHost(t.Context(), fleettest.Actor, fleet.AddHost{Name: "a", URI: uri, Key: "k"})
	if aerr != nil || again.ID != job.ID {
		t.Errorf("a second submit made %s (%v)", again.ID, aerr)
	}
	job = w.Succeed(t, job, err)
	var res hosts.Added
	if err := json.Unmarshal(job.Result, &res); err != nil || res.VMs != 2 || res.HostID != job.Resource.ID || res.Facts.CPUs != 16 {
		t.Errorf("result is %s", job.Result)
	}
	h, err := w.DB.Host(t.Context(), res.HostID)
	if err != nil || h.State != domain.HostConnected || h.Labels["site"] != "ams" || h.Facts.Hostname != "a" {
		t.Errorf("host is %+v (%v)", h, err)
	}
	if w.VM(t, "old-1").State != domain.VMRunning || w.VM(t, "old-2").State != domain.VMStopped {
		t.Error("the states of the adopted VMs are wrong")
	}
	if pools, err := w.DB.Pools(t.Context(), h.ID); err != nil || len(pools) != 1 {
		t.Errorf("pools are %+v (%v)", pools, err)
	}
	w.Free(t, job.Locks...)
}

func TestAddRefusesWhatIsThere(t *testing.T) {
	w := world(t)
	f, h := w.Host(t, "a", hvtest.FakeOptions{})
	if _, err := w.Fleet.AddHost(t.Context(), fleettest.Actor, fleet.AddHost{Name: "b", URI: h.URI}); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "“a”") {
		t.Errorf("same address: %v", err)
	}
	if _, err := w.Fleet.AddHost(t.Context(), fleettest.Actor, fleet.AddHost{Name: "A", URI: "qemu:///system"}); !domain.Is(err, domain.Conflict) {
		t.Errorf("same name: %v", err)
	}
	// The same machine under another address.
	facts, err := f.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, uri := w.Put("alias", hvtest.FakeOptions{Facts: &facts})
	job, err := w.Fleet.AddHost(t.Context(), fleettest.Actor, fleet.AddHost{Name: "b", URI: uri})
	job = w.Undone(t, job, err, domain.Conflict)
	if !strings.Contains(job.Error.Message, "the host a") {
		t.Errorf("message is %q", job.Error.Message)
	}
	job, err = w.Fleet.TryHost(t.Context(), fleettest.Actor, fleet.AddHost{Name: "b", URI: uri})
	w.Undone(t, job, err, domain.Conflict)
	// Test drivers all say the same UUID.
	facts.Driver = "TEST"
	for _, name := range []string{"t1", "t2"} {
		w.Host(t, name, hvtest.FakeOptions{Facts: &facts})
	}
	if hs, err := w.DB.Hosts(t.Context()); err != nil || len(hs) != 3 {
		t.Errorf("%d hosts (%v)", len(hs), err)
	}
}

func TestAddThatFailsLeavesNoRow(t *testing.T) {
	w := world(t)
	job, err := w.Fleet.AddHost(t.Context(), fleettest.Actor, fleet.AddHost{Name: "x", URI: "qemu+tcp://nowhere/system"})
	w.Undone(t, job, err, domain.Unavailable)
	if hs, err := w.DB.Hosts(t.Context()); err != nil || len(hs) != 0 {
		t.Errorf("hosts are %+v (%v)", hs, err)
	}
}

func TestAddCancelledInTheQueueLeavesNoRow(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	_, uri := w.Put("a", hvtest.FakeOptions{})
	job, err := w.Fleet.AddHost(t.Context(), fleettest.Actor, fleet.AddHost{Name: "a", URI: uri})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Engine.Cancel(t.Context(), job.ID, fleettest.Actor); err != nil {
		t.Fatal(err)
	}
	if hs, err := w.DB.Hosts(t.Context()); err != nil || len(hs) != 0 {
		t.Errorf("hosts are %+v (%v)", hs, err)
	}
}

func TestRemoveTouchesNothingOnTheHost(t *testing.T) {
	w, f, h := fleettest.New(t)
	w.Make(t, fleettest.Spec("web-1"), true)
	before := f.Connections()
	job, err := w.Fleet.RemoveHost(t.Context(), fleettest.Actor, h.ID, "")
	job = w.Succeed(t, job, err)
	if _, err := w.DB.Host(t.Context(), h.ID); !domain.Is(err, domain.NotFound) {
		t.Errorf("the row is left (%v)", err)
	}
	if _, ok := w.Find(t, "web-1"); ok {
		t.Error("a VM's row is left")
	}
	if g := f.AllGuests(); len(g) != 1 || g[0].State != domain.VMRunning || len(f.AllVolumes()) != 1 {
		t.Errorf("the host was touched: %+v", g)
	}
	if f.Connections() >= before {
		t.Errorf("%d connections are open, before %d", f.Connections(), before)
	}
	w.Free(t, job.Locks...)
	var seen []string
	evs, err := w.DB.Events(t.Context(), db.EventQuery{JobID: job.ID, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range evs {
		seen = append(seen, ev.Kind)
	}
	if s := strings.Join(seen, " "); !strings.Contains(s, "vm.removed") || !strings.Contains(s, "host.removed") {
		t.Errorf("events are %s", s)
	}
}

func TestRemoveWaitsForJobsOnItsVMs(t *testing.T) {
	w, f, h := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	release := f.Hang("Start")
	job, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStart, fleet.ActOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Fleet.RemoveHost(t.Context(), fleettest.Actor, h.ID, "")
	if e, ok := err.(*domain.Error); !ok || e.Code != domain.Conflict || e.Holder != job.ID {
		t.Errorf("%v", err)
	}
	release()
	w.Succeed(t, job, nil)
}

func TestReconnect(t *testing.T) {
	w, f, h := fleettest.New(t)
	f.SetDown(true)
	w.Until(t, "the host is away", func() bool {
		got, err := w.DB.Host(t.Context(), h.ID)
		return err == nil && got.State == domain.HostAway && got.StateReason != ""
	})
	job, err := w.Fleet.ReconnectHost(t.Context(), fleettest.Actor, h.ID)
	w.Undone(t, job, err, domain.Unavailable)
	f.SetDown(false)
	job, err = w.Fleet.ReconnectHost(t.Context(), fleettest.Actor, h.ID)
	w.Succeed(t, job, err)
	if got, err := w.DB.Host(t.Context(), h.ID); err != nil || got.State != domain.HostConnected {
		t.Errorf("it is %s (%v)", got.State, err)
	}
}

func TestEdit(t *testing.T) {
	w, _, h := fleettest.New(t)
	on, notes, labels := true, "hello", map[string]string{"rack": "b2"}
	got, err := w.Fleet.EditHost(t.Context(), fleettest.Actor, h.ID, h.Version, fleet.HostEdit{Maintenance: &on, Notes: &notes, Labels: &labels})
	if err != nil || !got.Maintenance || got.Notes != notes || got.Labels["rack"] != "b2" {
		t.Fatalf("%+v (%v)", got, err)
	}
	if _, err := w.Fleet.EditHost(t.Context(), fleettest.Actor, h.ID, h.Version, fleet.HostEdit{Notes: &notes}); !domain.Is(err, domain.Conflict) {
		t.Errorf("a stale page may edit: %v", err)
	}
	if _, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1"), Host: h.ID}); !domain.Is(err, domain.Conflict) {
		t.Errorf("a VM was placed on a host in maintenance: %v", err)
	}
	bad := "a b"
	if _, err := w.Fleet.EditHost(t.Context(), fleettest.Actor, h.ID, 0, fleet.HostEdit{Name: &bad}); !domain.Is(err, domain.Invalid) {
		t.Errorf("%v", err)
	}
	name := "b"
	got, err = w.Fleet.EditHost(t.Context(), fleettest.Actor, h.ID, 0, fleet.HostEdit{Name: &name})
	if err != nil || got.Name != "b" {
		t.Errorf("%+v (%v)", got, err)
	}
}

func TestSweepAdd(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, uri := w.Put("a", hvtest.FakeOptions{})
		guest(f, "old-1", domain.VMRunning)
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.AddHost(ctx, fleettest.Actor, fleet.AddHost{Name: "a", URI: uri})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			h, err := w.DB.Host(t.Context(), job.Resource.ID)
			_, pooled := w.Pool.State(job.Resource.ID)
			if made := job.State == domain.JobSucceeded; made {
				if err != nil || h.State != domain.HostConnected || !pooled || w.VM(t, "old-1").State != domain.VMRunning {
					t.Errorf("host %+v (%v), in the pool %v", h, err, pooled)
				}
			} else if !domain.Is(err, domain.NotFound) || pooled || f.Connections() != 0 {
				t.Errorf("undone, but the row is there (%v), in the pool %v, %d connections", err, pooled, f.Connections())
			}
		})
	})
}

func TestSweepRemove(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, h := w.Adopt(t, "a", hvtest.FakeOptions{})
		uuid := guest(f, "old-1", domain.VMRunning)
		if _, err := w.Rec.Guest(t.Context(), f, h.ID, uuid, reconcile.Cause{}); err != nil {
			t.Fatal(err)
		}
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.RemoveHost(ctx, fleettest.Actor, h.ID, "")
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			_, err := w.DB.Host(t.Context(), h.ID)
			_, pooled := w.Pool.State(h.ID)
			if gone := job.State == domain.JobSucceeded; gone != domain.Is(err, domain.NotFound) || gone == pooled {
				t.Errorf("%s: row %v, in the pool %v", job.State, err, pooled)
			}
			if len(f.AllGuests()) != 1 {
				t.Error("the host was touched")
			}
		})
	})
}

func TestTrialsForgetTheOldest(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	_, uri := w.Put("a", hvtest.FakeOptions{})
	var first domain.Job
	for i := range 65 {
		job, err := w.Fleet.TryHost(t.Context(), fleettest.Actor, fleet.AddHost{Name: "a", URI: uri})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = job
		}
	}
	w.Run(t)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	job, err := w.Engine.Wait(ctx, first.ID)
	if err != nil || job.State != domain.JobUndone || !strings.Contains(job.Error.Fix, "again") {
		t.Errorf("%+v (%v)", job, err)
	}
}
