package storage_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/storage"
)

func TestNeededNamesEverybodyOnce(t *testing.T) {
	if err := storage.Needed("It", nil); err != nil {
		t.Error(err)
	}
	users := []domain.VolumeUser{
		{Kind: "vm", Name: "web", HostName: "a", Target: "vda", Direct: true}, {Kind: "vm", Name: "web", HostName: "a", Target: "vda", Direct: true}, {Kind: "vm", Name: "db", HostName: "b", Target: "vdb"},
		{Kind: "image", Name: "debian@2"}, {Kind: "base", Name: "golden.qcow2"}, {Kind: "volume", Name: "over", Direct: true}, {Kind: "volume", Name: "far"},
	}
	err := storage.Needed("The volume x", users)
	e, ok := err.(*domain.Error)
	if !ok || e.Code != domain.Conflict || len(e.Reasons) != 6 {
		t.Fatalf("%s", fleettest.Detail(err))
	}
	for _, says := range []string{"web (VM on a, disk vda)", "db (VM on b, disk vdb is built on it)", "debian@2 (image of the library)", "golden.qcow2 (frozen base of linked clones)", "over (volume built on it)",
		"far (volume built on what is built on it)"} {
		if !strings.Contains(e.Msg, says) {
			t.Errorf("%q does not say %q", e.Msg, says)
		}
	}
	var many []domain.VolumeUser
	for i := range 14 {
		many = append(many, domain.VolumeUser{Kind: "vm", Name: fmt.Sprint("vm", i), Direct: true})
	}
	if err := storage.Needed("It", many); !strings.Contains(err.Error(), "and 4 more") {
		t.Error(err)
	}
}

// Somebody makes the volume between our look and our call: it is theirs, and stays when the job is taken back.
func TestAVolumeThatSomebodyElseMakesStays(t *testing.T) {
	w, f, h := fleettest.New(t)
	pool := domain.PoolID(h.ID, "default", "")
	f.FailAfter("CreateVolume", domain.Errorf(domain.Conflict, "The pool has it already."), 1)
	job, err := w.Fleet.CreateVolume(t.Context(), fleettest.Actor, fleet.CreateVolume{Pool: pool, Name: "n.qcow2", SizeBytes: domain.GiB})
	w.Undone(t, job, err, domain.Conflict)
	if !slices.Equal(volumeNames(f), []string{"n.qcow2"}) {
		t.Errorf("volumes are %v", volumeNames(f))
	}
}

// What cannot be taken back needs a person: the job is stuck, and says what to look at.
func TestAVolumeThatCannotBeTakenBack(t *testing.T) {
	w, f, h := fleettest.New(t)
	pool := domain.PoolID(h.ID, "default", "")
	f.FailAfter("CreateVolume", domain.Errorf(domain.Exhausted, "No space."), 1)
	f.Fail("DeleteVolume", domain.Errorf(domain.Conflict, "It is in use."), 100)
	job, err := w.Fleet.CreateVolume(t.Context(), fleettest.Actor, fleet.CreateVolume{Pool: pool, Name: "n.qcow2", SizeBytes: domain.GiB})
	job = w.Wait(t, job, err)
	if job.State != domain.JobStuck || job.Help == "" || !slices.Equal(volumeNames(f), []string{"n.qcow2"}) {
		t.Errorf("%s %+v, %q, volumes %v", job.State, job.Error, job.Help, volumeNames(f))
	}
}
