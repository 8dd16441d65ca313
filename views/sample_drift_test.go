package views_test

import (
	"novacron/domain/desired"
	"novacron/views/drift"
)

func sampleDrift() drift.Page {
	return drift.Page{Applied: 12, Key: "k", Items: []desired.Drift{
		{Kind: desired.KindNetwork, Name: "lan@hv-ams-01", Owner: "ops", Missing: true, Fields: []desired.Field{{Path: ".", Wanted: "there", Live: "gone", Why: desired.WhyOutside}}},
		{Kind: desired.KindVM, Name: "web-prod-01 " + evil, ID: "vm_1", Owner: "team-a", Fields: []desired.Field{{Path: "vcpus", Wanted: "2", Live: "4", Why: desired.WhyOutside}, {Path: "title", Wanted: "The web", Why: desired.WhyOutside}}},
		{Kind: desired.KindVM, Name: "db-prod-02", ID: "vm_2", Owner: "team-a", Ignored: []desired.Field{{Path: "notes", Live: evil, Why: desired.WhyOutside}}},
	}}
}
