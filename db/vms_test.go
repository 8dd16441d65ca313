package db

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"novacron/domain"
)

func TestGuestsAreMirrored(t *testing.T) {
	d := open(t)
	addHost(t, d, "b2")
	g := guest("web-1", 1)
	vm, created, changed := upsert(t, d, "host_b2", g)
	if !created || !changed || vm.State != domain.VMStopped || vm.HostName != "b2" || vm.Version != 1 || vm.XML != g.XML || vm.Config.Disks[0].Source != "/pool/web-1" {
		t.Fatalf("first: %v %v %+v", created, changed, vm)
	}
	if _, created, changed = upsert(t, d, "host_b2", g); created || changed {
		t.Error("the same guest was written again")
	}
	g.State, g.Reason = domain.VMRunning, "started"
	live := g.Config
	live.MemoryBytes = domain.GiB / 2
	g.Live = &live
	vm, created, changed = upsert(t, d, "host_b2", g)
	if created || !changed || vm.State != domain.VMRunning || vm.Version != 1 {
		t.Errorf("started: %v %v %+v", created, changed, vm)
	}
	if len(vm.Pending) == 0 || vm.Pending[0].Field != "memory_bytes" {
		t.Errorf("pending: %+v", vm.Pending)
	}
	g.Config.VCPUs, g.Autostart = 7, true
	if vm, _, changed = upsert(t, d, "host_b2", g); !changed || vm.Version != 2 || vm.Config.VCPUs != 7 || !vm.Autostart {
		t.Errorf("edited: %v %+v", changed, vm)
	}
	// The list gives the same, from its cache and without.
	for range 2 {
		vms, err := d.HostVMs(t.Context(), "host_b2")
		if err != nil || len(vms) != 1 || vms[0].Config.VCPUs != 7 || vms[0].Live.MemoryBytes != domain.GiB/2 || len(vms[0].Pending) < 2 {
			t.Errorf("list: %+v %v", vms, err)
		}
	}
	set := func(state domain.VMState, reason string, want bool) {
		t.Helper()
		write(t, d, func(tx *Tx) error {
			changed, err := tx.SetVMState(vm.ID, state, reason, start.Add(time.Hour))
			if changed != want {
				t.Errorf("SetVMState(%s, %s) changed %v", state, reason, changed)
			}
			return err
		})
	}
	set(domain.VMRunning, "started", false)
	set(domain.VMCrashed, "the guest panicked", true)
	vm, err := d.VMByUUID(t.Context(), "host_b2", g.UUID)
	if err != nil || vm.State != domain.VMCrashed || vm.Reason != "the guest panicked" || !vm.StateAt.Equal(start.Add(time.Hour)) {
		t.Errorf("crashed: %+v %v", vm, err)
	}
	// While the host is away the VM is too, and keeps what was seen.
	write(t, d, func(tx *Tx) error {
		_, err := tx.SetHostState("host_b2", domain.HostAway, "no route", "plug it in", start.Add(2*time.Hour))
		return err
	})
	if vm, _ = d.VM(t.Context(), vm.ID); vm.State != domain.VMAway || vm.LastState != domain.VMCrashed || !vm.StateAt.Equal(start.Add(2*time.Hour)) {
		t.Errorf("away: %+v", vm)
	}
	if _, err := d.VM(t.Context(), "vm_none"); !domain.Is(err, domain.NotFound) {
		t.Errorf("none: %v", err)
	}
	write(t, d, func(tx *Tx) error { return tx.DeleteVM(vm.ID) })
	err = d.Write(t.Context(), func(tx *Tx) error { return tx.DeleteVM(vm.ID) })
	wantCode(t, err, domain.NotFound, "VM")
	err = d.Write(t.Context(), func(tx *Tx) error { _, _, _, err := tx.UpsertGuest("host_none", g, start); return err })
	wantCode(t, err, domain.Conflict)
}

func TestNewNamesAreUniqueAdoptedOnesNeedNotBe(t *testing.T) {
	d := open(t)
	addHost(t, d, "a")
	addHost(t, d, "b")
	upsert(t, d, "host_a", guest("web", 1))
	upsert(t, d, "host_b", guest("web", 1)) // the same UUID too, as copies have
	spec := guest("Web", 2).Config
	err := d.Write(t.Context(), func(tx *Tx) error {
		return tx.InsertVM(domain.VM{ID: "vm_new", UUID: spec.UUID, HostID: "host_a", Config: spec, Creating: true})
	})
	if e := wantCode(t, err, domain.Conflict, "host"); len(e.Fields) != 1 || e.Fields[0].Field != "name" {
		t.Errorf("fields %+v", e.Fields)
	}
	spec.Name = "db"
	write(t, d, func(tx *Tx) error {
		return tx.InsertVM(domain.VM{ID: "vm_new", UUID: spec.UUID, HostID: "host_a", Config: spec, Creating: true, Tags: []string{"ci"}, Notes: "n"})
	})
	// The reconciler sees the guest before the job has ended: no second row, and the job's mark, tags and notes stay.
	g := guest("db", 2)
	g.State = domain.VMRunning
	vm, created, _ := upsert(t, d, "host_a", g)
	if created || vm.ID != "vm_new" || !vm.Creating || !slices.Equal(vm.Tags, []string{"ci"}) || vm.Notes != "n" || vm.State != domain.VMRunning {
		t.Errorf("%v %+v", created, vm)
	}
	write(t, d, func(tx *Tx) error { return tx.SetVMCreating("vm_new", false) })
	if vm, _ = d.VM(t.Context(), "vm_new"); vm.Creating {
		t.Error("still being made")
	}
	loads, err := d.HostLoads(t.Context())
	if err != nil || loads["host_a"].VMs != 2 || loads["host_a"].Running != 1 || loads["host_b"].VMs != 1 {
		t.Errorf("loads %+v %v", loads, err)
	}
}

func TestDescriptionIsGuardedByVersion(t *testing.T) {
	d := open(t)
	addHost(t, d, "a")
	vm, _, _ := upsert(t, d, "host_a", guest("web", 1))
	edit := func(version int64, tags ...string) error {
		return d.Write(t.Context(), func(tx *Tx) error { return tx.UpdateVMDescription(vm.ID, version, tags, "notes of "+fmt.Sprint(tags)) })
	}
	if err := edit(vm.Version, "x"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, edit(vm.Version, "y"), domain.Conflict, "changed meanwhile", "version 2")
	if err := edit(0, "z", "ci"); err != nil {
		t.Fatal(err)
	}
	vm, err := d.VM(t.Context(), vm.ID)
	if err != nil || !slices.Equal(vm.Tags, []string{"z", "ci"}) || vm.Version != 3 {
		t.Errorf("%+v %v", vm, err)
	}
	if tags, err := d.Tags(t.Context()); err != nil || tags["ci"] != 1 || len(tags) != 2 {
		t.Errorf("tags %v %v", tags, err)
	}
	for _, f := range []string{"tag:CI", `notes:"of ["`, "z"} {
		if p, err := d.VMs(t.Context(), VMQuery{Filter: f}); err != nil || p.Total != 1 {
			t.Errorf("%s: %d %v", f, p.Total, err)
		}
	}
}

// estate makes hosts h-1 … and VMs spread over them.
func estate(t testing.TB, d *DB, hosts, vms int) {
	t.Helper()
	for i := range hosts {
		addHost(t, d, fmt.Sprintf("h-%d", i+1))
	}
	states := []domain.VMState{domain.VMRunning, domain.VMStopped, domain.VMRunning, domain.VMPaused}
	write(t, d, func(tx *Tx) error {
		for i := range vms {
			g := guest(fmt.Sprintf("web-%d", i+1), i)
			g.State = states[i%len(states)]
			if g.State != domain.VMStopped {
				live := g.Config
				g.Live = &live
			}
			if _, _, _, err := tx.UpsertGuest(fmt.Sprintf("host_h-%d", i%hosts+1), g, start.Add(time.Duration(i/3)*time.Second)); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestPagesAreStableUnderEverySort(t *testing.T) {
	d := open(t)
	estate(t, d, 3, 53)
	for _, sort := range append([]string{""}, VMSorts...) {
		for _, desc := range []bool{false, true} {
			var ids []string
			var names []string
			q := VMQuery{Sort: sort, Desc: desc, Limit: 7}
			for {
				p, err := d.VMs(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				if p.Total != 53 {
					t.Fatalf("total %d", p.Total)
				}
				for _, vm := range p.Items {
					ids, names = append(ids, vm.ID), append(names, vm.Name)
				}
				if p.Next == "" {
					break
				}
				q.After = p.Next
				// A row that comes before what was read does not move the next page.
				if len(ids) == 14 && sort == "name" && !desc {
					vm, _, _ := upsert(t, d, "host_h-1", guest("aaa", 9999))
					write(t, d, func(tx *Tx) error { return tx.DeleteVM(vm.ID) })
				}
			}
			if len(ids) != 53 || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 53 {
				t.Errorf("sort %q desc %v: %d rows", sort, desc, len(ids))
			}
			if sort == "name" && !desc && (names[1] != "web-2" || names[9] != "web-10" || names[52] != "web-53") {
				t.Errorf("names are not in natural order: %v", names)
			}
		}
	}
	_, err := d.VMs(t.Context(), VMQuery{Sort: "colour"})
	wantCode(t, err, domain.Invalid)
	_, err = d.VMs(t.Context(), VMQuery{After: "!!"})
	wantCode(t, err, domain.Invalid)
	p, _ := d.VMs(t.Context(), VMQuery{Limit: 1})
	_, err = d.VMs(t.Context(), VMQuery{Sort: "memory", After: p.Next})
	wantCode(t, err, domain.Invalid)
	_, err = d.VMs(t.Context(), VMQuery{Sort: "memory", After: cursor{Sort: "memory", Key: "x", ID: "vm_"}.String()})
	wantCode(t, err, domain.Invalid)
	_, err = d.VMs(t.Context(), VMQuery{State: "asleep"})
	wantCode(t, err, domain.Invalid, "asleep")
	if p, err := d.VMs(t.Context(), VMQuery{Host: "host_h-2", State: domain.VMRunning}); err != nil || p.Total != len(p.Items) || p.Total == 0 {
		t.Errorf("by host and state: %d of %d, %v", len(p.Items), p.Total, err)
	}
}

func TestFilters(t *testing.T) {
	d := open(t)
	addHost(t, d, "b2")
	addHost(t, d, "b20")
	add := func(host, name string, n int, state domain.VMState, notes string, tags ...string) {
		g := guest(name, n)
		g.State = state
		g.Config.Title = "Title of " + name
		vm, _, _ := upsert(t, d, host, g)
		write(t, d, func(tx *Tx) error { return tx.UpdateVMDescription(vm.ID, 0, tags, notes) })
	}
	add("host_b2", "web-1", 3, domain.VMRunning, "front 100%_sure", "ci", "prod")     // 4 cpu 4 GiB
	add("host_b2", "web-2", 7, domain.VMStopped, "", "cicd")                          // 4 cpu 8 GiB
	add("host_b20", "db-1", 4, domain.VMRunning, "Großer Speicher", "prod", "Zürich") // 1 cpu 5 GiB
	add("host_b20", "idle", 8, domain.VMPaused, "")                                   // 1 cpu 1 GiB
	write(t, d, func(tx *Tx) error {
		job := domain.Job{ID: "job_1", Kind: "vm.start", Title: "Start idle", State: domain.JobRunning}
		if err := tx.InsertJob(job, ""); err != nil {
			return err
		}
		var id string
		if err := tx.tx.Get(&id, "SELECT id FROM vms WHERE name = 'idle'"); err != nil {
			return err
		}
		job.Locks = []string{id}
		return tx.TakeLocks(job)
	})
	for filter, want := range map[string][]string{
		"":                       {"db-1", "idle", "web-1", "web-2"},
		"web":                    {"web-1", "web-2"},
		"WEB b2":                 {"web-1", "web-2"},
		"-web":                   {"db-1", "idle"},
		"b20":                    {"db-1", "idle"},
		"host:b2":                {"web-1", "web-2"},
		"host:b2*":               {"db-1", "idle", "web-1", "web-2"},
		"host:host_b20":          {"db-1", "idle"},
		"-host:b2":               {"db-1", "idle"},
		"tag:ci":                 {"web-1"},
		"tag:ci*":                {"web-1", "web-2"},
		"tag:zürich":             {"db-1"},
		"zürich":                 {"db-1"},
		"grosser":                nil,
		"großer":                 {"db-1"},
		"-tag:prod":              {"idle", "web-2"},
		"tag:ci,cicd":            {"web-1", "web-2"},
		"state:running":          {"db-1", "web-1"},
		"state:running,paused":   {"db-1", "idle", "web-1"},
		"state!=running":         {"idle", "web-2"},
		"cpu>1":                  {"web-1", "web-2"},
		"vcpus=1":                {"db-1", "idle"},
		"cpu:4 mem<=4G":          {"web-1"},
		"mem>=5GiB":              {"db-1", "web-2"},
		"memory<2g":              {"idle"},
		"name:web*":              {"web-1", "web-2"},
		"name:*1":                {"db-1", "web-1"},
		"name:eb":                {"web-1", "web-2"},
		"name=web-1":             {"web-1"},
		"name=eb":                nil,
		`"100%_"`:                {"web-1"},
		"%":                      {"web-1"},
		"_":                      {"web-1"},
		`\`:                      nil,
		`notes:"front 100"`:      {"web-1"},
		`-"front 100"`:           {"db-1", "idle", "web-2"},
		"52:54:00:00:00:03":      {"web-1"},
		"mac:00:07":              {"web-2"},
		"uuid:000000000004":      {"db-1"},
		"title:of":               {"db-1", "idle", "web-1", "web-2"},
		"busy:yes":               {"idle"},
		"busy:no web":            {"web-1", "web-2"},
		"pending:yes":            nil,
		"autostart:no name:idle": {"idle"},
		"label:site=ams host:b2": {"web-1", "web-2"},
		"label:site=fra":         nil,
		"label:site name:idle":   {"idle"},
		"'; DROP TABLE vms; --":  nil,
		"name:'%' OR 1=1":        nil,
		"tag:x\" host:\"b2":      nil,
		"\"host:b2\"":            nil,
		"  web-1\t\n":            {"web-1"},
		"state:r*":               {"db-1", "web-1"},
		"web*2":                  {"web-2"},
		"web*prod":               nil,
		"-":                      {"db-1", "idle", "web-1", "web-2"},
		`""`:                     {"db-1", "idle", "web-1", "web-2"},
	} {
		p, err := d.VMs(t.Context(), VMQuery{Filter: filter})
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		var got []string
		for _, vm := range p.Items {
			got = append(got, vm.Name)
		}
		if !slices.Equal(got, want) || p.Total != len(want) {
			t.Errorf("%s: got %v, want %v (total %d)", filter, got, want, p.Total)
		}
		ids, err := d.VMIDs(t.Context(), VMQuery{Filter: filter, Limit: 1})
		if err != nil || len(ids) != len(want) {
			t.Errorf("%s: %d ids, %v", filter, len(ids), err)
		}
	}
	p, _ := d.VMs(t.Context(), VMQuery{Filter: "busy:yes"})
	if p.Items[0].BusyJob != "job_1" || p.Items[0].BusyTitle != "Start idle" {
		t.Errorf("busy: %+v", p.Items[0])
	}
	for filter, say := range map[string]string{
		"colour:red": "colour", "cpu>many": "many", "mem>4X": "4x", "state:asleep": "asleep", "name:": "no value", "host>b": "compared", `"open`: "not closed", "pending:maybe": "maybe", "tag:,": "no value",
	} {
		_, err := d.VMs(t.Context(), VMQuery{Filter: filter})
		e := wantCode(t, err, domain.Invalid, say)
		if len(e.Fields) != 1 || e.Fields[0].Field != "filter" || e.Fields[0].Want == "" {
			t.Errorf("%s: fields %+v", filter, e.Fields)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{"", "a b", `-tag:"x y"`, "cpu>4 mem<=8G", `"`, "--x", "name:*", "a:b:c", `x"y:z"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		terms, err := ParseFilter(s)
		if err != nil {
			if !domain.Is(err, domain.Invalid) {
				t.Fatal(err)
			}
			return
		}
		compile(terms)
	})
}

func TestNaturalKey(t *testing.T) {
	names := []string{"web-10", "Web-2", "web-1", "web", "a100b2", "a100b10", "a99", "007", "7", "ä1", "0", "web-01"}
	slices.SortFunc(names, func(a, b string) int {
		switch x, y := naturalKey(a), naturalKey(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	if got := fmt.Sprint(names); got != "[0 007 7 a99 a100b2 a100b10 web web-1 web-01 Web-2 web-10 ä1]" && got != "[0 7 007 a99 a100b2 a100b10 web web-01 web-1 Web-2 web-10 ä1]" {
		t.Error(got)
	}
}

// TestListIsNeverStale reads lists while rows change: what is cached for a revision must be that revision's.
func TestListIsNeverStale(t *testing.T) {
	d := open(t)
	addHost(t, d, "a")
	g := guest("web", 1)
	upsert(t, d, "host_a", g)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := 0
			for {
				select {
				case <-done:
					return
				default:
				}
				p, err := d.VMs(t.Context(), VMQuery{})
				if err != nil {
					t.Error(err)
					return
				}
				if n := p.Items[0].Config.VCPUs; n < last {
					t.Errorf("vCPUs went from %d back to %d", last, n)
					return
				} else {
					last = n
				}
			}
		})
	}
	for i := range 100 {
		g.Config.VCPUs = 100 + i
		upsert(t, d, "host_a", g)
		p, err := d.VMs(t.Context(), VMQuery{})
		if err != nil || p.Items[0].Config.VCPUs != 100+i {
			t.Fatalf("after writing %d the list has %d, %v", 100+i, p.Items[0].Config.VCPUs, err)
		}
	}
	close(done)
	wg.Wait()
}

func TestDocumentsRoundTrip(t *testing.T) {
	g := guest("x", 1)
	g.Config.Description = "a <b> & \"c\"\n"
	e, err := encodeDoc(g)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := decodeDoc(1, e.configText, e.liveText)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(g.Config)
	b, _ := json.Marshal(doc.config)
	if string(a) != string(b) {
		t.Errorf("%s\n%s", a, b)
	}
	if _, err := decodeDoc(1, "{", ""); !domain.Is(err, domain.Internal) {
		t.Error(err)
	}
	if _, err := decodeDoc(1, "{}", "["); !domain.Is(err, domain.Internal) {
		t.Error(err)
	}
}
