package views_test

import (
	"time"

	"novacron/domain"
	"novacron/views/migrate"
	"novacron/views/plans"
)

func sampleForecast() *domain.MigrationForecast {
	return &domain.MigrationForecast{Method: "pre-copy", Seconds: domain.Interval{P05: 31, P50: 44.2, P95: 70}, DowntimeMS: domain.Interval{P05: 61, P50: 84, P95: 230},
		Bytes: domain.Interval{P05: 4e9, P50: 4.6e9, P95: 7e9}, Converges: 0.97, Model: 44, Why: []string{"The path carries about 112 MiB/s.", "The guest writes about 12 MiB/s to its memory. " + evil, "Copying keeps up with that."}}
}

func sampleMove() migrate.Move {
	ok := []domain.Check{{Name: "host", Level: domain.CheckPass, Message: "hv-ams-02 is connected and takes VMs."}, {Name: "networks", Level: domain.CheckWarn, Message: "The network default (nat) is each host's own.", Fix: "Use a bridge that joins both hosts."}}
	bad := []domain.Check{{Name: "networks", Level: domain.CheckFail, Message: "hv-fra-02 lacks the bridge br-dmz " + evil + ".", Fix: "Map it to a bridge that is there, or create br-dmz there."}}
	return migrate.Move{VM: sampleVMs()[0], Key: "k", Targets: []domain.MigrationTarget{
		{Host: "host_2", HostName: "hv-ams-02", Allowed: true, Checks: ok, Forecast: sampleForecast()}, {Host: "host_5", HostName: "hv-fra-02", Checks: bad}}}
}

func sampleMoving() domain.Job {
	j := sampleJobs()[0]
	m := &domain.MoveProgress{Phase: domain.MoveMemory, BytesDone: 9 * domain.GiB, BytesLeft: domain.GiB, CopyRate: 110 * domain.MiB, DirtyRate: 74 * domain.MiB, DowntimeMS: 640, DowntimeMax: 300, Iteration: 4, Throttle: 20,
		Next: "allow a pause of 500 ms", MayPostCopy: true, EverySeconds: 0.5}
	for i := range int64(120) {
		m.Rates = append(m.Rates, domain.RatePoint{Copy: (96 + i%7*3) * domain.MiB, Dirty: (60 + i%11*4) * domain.MiB})
	}
	j.ID, j.Kind, j.Title, j.Progress = "job_move", "vm.migrate", "Move db-prod-02 to hv-ams-02", domain.Progress{Percent: 62, Text: "memory, round 4: 1 GiB left, 110 MiB/s", Move: m}
	return j
}

func sampleEvacuate() migrate.Evacuate {
	vms := sampleVMs()
	return migrate.Evacuate{Host: sampleHosts()[0], Moves: 1, Stay: 1, Seconds: domain.Interval{P05: 30, P50: 44, P95: 70}, Key: "k", Over: []domain.Reason{{Subject: "hv-ams-02", Msg: "Its VMs would have 600 GiB of memory together; it has 512 GiB."}},
		Items: []migrate.Item{{VM: vms[0], HostID: "host_2", HostName: "hv-ams-02", Mode: domain.MigrateLive, Forecast: sampleForecast()}, {VM: vms[2], Why: []domain.Reason{{Subject: "hv-ams-02", Msg: "A device of hv-ams-01 is passed through to it " + evil}}}}}
}

func sampleMigrations() migrate.List {
	l := migrate.List{Next: "job_9", Items: []domain.MigrationRecord{
		{JobID: "job_1", VMID: "vm_1", VMName: "web-prod-01" + evil, FromName: "hv-ams-01", ToName: "hv-ams-02", Mode: domain.MigrateLive, State: "succeeded", Started: ago(3 * time.Minute), Ended: ago(2 * time.Minute), Forecast: sampleForecast(),
			Result: &domain.MigrationFigures{Seconds: 47, DowntimeMS: 92, Bytes: 4_700_000_000, Iterations: 4, Rate: 100_000_000}},
		{JobID: "job_2", VMID: "vm_2", VMName: "db-prod-01", FromName: "hv-ams-01", ToName: "hv-fra-01", Mode: domain.MigrateLive, State: "succeeded", Started: ago(time.Hour), Ended: ago(time.Hour), Forecast: sampleForecast(), Result: &domain.MigrationFigures{Seconds: 190, DowntimeMS: 1400, Bytes: 9e9}},
		{JobID: "job_3", VMID: "vm_3", VMName: "ci-runner-07", FromName: "hv-ams-02", ToName: "hv-ams-01", Mode: domain.MigrateCold, State: "undone", Started: ago(2 * time.Hour), Ended: ago(2 * time.Hour)}}}
	l.Summarise()
	l.Paths = append(domain.PathsOf(l.Items), domain.MigrationPath{From: "hv-ams-02" + evil, To: "hv-fra-01", Mode: domain.MigrateCold, Count: 2})
	return l
}

func samplePolicies() migrate.Policies {
	return migrate.Policies{Hosts: sampleHosts()[:2], Items: []domain.ScopedPolicy{
		{Scope: domain.PolicyEstate, ID: domain.PolicyAll, Policy: domain.MigrationPolicy{DowntimeMS: []int{100, 200, 500}, AbortAfterSeconds: 600, MaxIn: 2, MaxOut: 2, Windows: []domain.BandwidthWindow{{From: "08:00", To: "18:00", BandwidthBytes: 50 * domain.MiB}}}},
		{Scope: domain.PolicyVM, ID: "vm_1", Name: "db-prod-01" + evil, Policy: domain.MigrationPolicy{NeverMigrate: true}}}}
}

func samplePolicy() migrate.Policy {
	of := samplePolicies().Items[0]
	return migrate.Policy{Of: of, Form: migrate.FormOf(of.Policy), Err: domain.InvalidField("max_link", "A link cannot carry more moves than its hosts take.", "at most 2")}
}

func samplePlan() plans.Page {
	f := sampleForecast()
	home := []domain.PlanHost{{ID: "host_1", Name: "hv-ams-01"}, {ID: "host_2", Name: "hv-ams-02"}}
	return plans.Page{Key: "k", Plan: domain.Plan{ID: "plan_1", Title: "Firmware of Amsterdam", State: domain.PlanStopped, JobID: "job_1", Kind: domain.PlanRolling, Label: "rack", Parallel: 2, Gate: domain.GateConfirm, StartAt: ago(time.Hour),
		TimeZone: "Europe/Amsterdam", CreatedAt: ago(3 * time.Hour), Version: 4, MadeBy: "ada", ApprovedBy: "grace", Reasons: []domain.Reason{{Subject: "db-prod-01", Msg: "Its host was lost " + evil + "."}},
		Stages: []domain.PlanStage{{Name: "b2", Hosts: home, Phase: domain.PhaseMoving, Seconds: f.Seconds, Over: []domain.Reason{{Subject: "hv-fra-01", Msg: "Its running VMs would have 90 vCPUs together; it has 64 CPUs."}},
			Moves: []domain.PlanMove{{VMID: "vm_1", VM: "web-prod-01" + evil, Memory: 8 * domain.GiB, From: "hv-ams-01", ToID: "host_3", To: "hv-fra-01", Mode: domain.MigrateLive, Forecast: f, State: domain.MoveMoved, JobID: "job_2"},
				{VMID: "vm_2", VM: "db-prod-01", Memory: 64 * domain.GiB, From: "hv-ams-01", ToID: "host_3", To: "hv-fra-01", Mode: domain.MigrateLive, Forecast: f, State: domain.MoveFailed, Error: "The stream broke.", With: []string{"vm_3"}},
				{VMID: "vm_3", VM: "cache-01", Memory: 2 * domain.GiB, From: "hv-ams-02", ToID: "host_3", To: "hv-fra-01", Mode: domain.MigrateLive, Forecast: f, State: domain.MovePlanned, Why: []string{"The rule “spread”: cache-01 is kept apart from cache-02."}}},
			Stays: []domain.PlanStay{{VMID: "vm_4", VM: "gpu-01", Host: "hv-ams-02", Why: []domain.Reason{{Subject: "gpu-01", Msg: "A device of its host is passed through to it."}}}}},
			{Name: "b3", Hosts: home[:1], Phase: domain.PhasePending}}}}
}

func samplePlanEdit() plans.Edit {
	e := plans.EditOf(samplePlan().Plan, sampleHosts())
	e.Err = &domain.Error{Code: domain.Invalid, Msg: "web-prod-01: it does not fit.", Fields: []domain.FieldError{{Field: "parallel", Msg: "99 moves at a time are not possible.", Want: "1 to 16"}}}
	return e
}

func sampleRule() domain.AffinityRule {
	return domain.AffinityRule{ID: "aff_1", Name: "databases apart" + evil, Kind: domain.AntiAffinity, Scope: domain.ScopeVMs, Hard: true, VMs: []string{"vm_1"}, Tags: []string{"db"}, Notes: "Two copies of one thing.", Version: 2}
}
