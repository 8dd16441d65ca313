package views_test

import (
	"time"

	"novacron/domain"
	"novacron/views/migrate"
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
