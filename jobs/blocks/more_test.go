package blocks_test

import (
	"strings"
	"testing"

	"novacron/domain"
	"novacron/jobs/blocks"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

func TestRangesOfUploads(t *testing.T) {
	for header, want := range map[string]struct {
		length, offset, total int64
		ok                    bool
	}{
		"":                               {10, 0, 10, true},
		"bytes 0-9/100":                  {10, 0, 100, true},
		"bytes 90-99/100":                {-1, 90, 100, true},
		"bytes 90-99/99":                 {10, 0, 0, false},
		"bytes 5-9/100":                  {10, 0, 0, false},
		"bytes 9-5/100":                  {-1, 0, 0, false},
		"bytes -1-5/100":                 {-1, 0, 0, false},
		"bytes 0-9/*":                    {10, 0, 0, false},
		"bytes */100":                    {0, 100, 100, true},
		"bytes */0":                      {0, 0, 0, false},
		"bytes */10":                     {10, 0, 0, false},
		"bytes=0-9/100":                  {10, 0, 0, false},
		"bytes 0-9":                      {10, 0, 0, false},
		"bytes 0/100":                    {1, 0, 0, false},
		"lines 0-9/100":                  {10, 0, 0, false},
		"bytes 0-99999999999999999999/1": {-1, 0, 0, false},
	} {
		offset, total, err := blocks.ContentRange(header, want.length)
		if (err == nil) != want.ok || offset != want.offset || total != want.total || err != nil && !domain.Is(err, domain.Invalid) {
			t.Errorf("%q: %d, %d, %v", header, offset, total, err)
		}
	}
}

func TestRangesOfDownloads(t *testing.T) {
	for header, want := range map[string]struct {
		offset, length int64
		part, bad      bool
	}{
		"":                {0, 1000, false, false},
		"bytes=0-99":      {0, 100, true, false},
		"bytes=900-":      {900, 100, true, false},
		"bytes=900-5000":  {900, 100, true, false},
		"bytes=-100":      {900, 100, true, false},
		"bytes=-5000":     {0, 1000, true, false},
		"bytes=0-9,20-29": {0, 1000, false, false},
		"bytes=x-9":       {0, 1000, false, false},
		"bytes=9":         {0, 1000, false, false},
		"lines=0-9":       {0, 1000, false, false},
		"bytes=1000-":     {0, 0, false, true},
		"bytes=9-5":       {0, 0, false, true},
	} {
		offset, length, part, err := blocks.Range(header, 1000)
		if (err != nil) != want.bad || offset != want.offset || length != want.length || part != want.part {
			t.Errorf("%q: %d, %d, %v, %v", header, offset, length, part, err)
		}
	}
}

// Something is built on a volume between the request to move it and its turn: the copy is made, the VM has it, and the old one stays and says why.
func TestAMovedVolumeThatIsNeededMeanwhileStays(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	f, h, _ := chained(t, w, true)
	job, err := w.Fleet.MoveVolume(t.Context(), fleettest.Actor, volume(t, w, "top.qcow2").ID, fleet.MoveVolume{Pool: "fast"})
	if err != nil {
		t.Fatal(err)
	}
	f.AddVolume(domain.Volume{Pool: "default", Name: "late.qcow2", Format: "qcow2", CapacityBytes: domain.GiB, Backing: "/var/lib/libvirt/images/top.qcow2", BackingFormat: "qcow2"})
	refresh(t, w, f, h.ID)
	jobstest.Run(t, w.Engine)
	job = w.Succeed(t, job, nil)
	if config, live := sources(t, f); config != "/fast/top.qcow2" || live != config || !strings.Contains(names(f), "default/top.qcow2") {
		t.Errorf("config %s, live %s, volumes %s", config, live, names(f))
	}
	if !strings.Contains(string(job.Result), "late.qcow2") {
		t.Errorf("the result does not say what keeps it: %s", job.Result)
	}
}

// A volume that cannot be emptied (a device) is written over; when its upload is refused then, the log says that part of it may be there.
func TestAnUploadIntoADevice(t *testing.T) {
	w, f, h := fleettest.New(t)
	f.AddVolume(domain.Volume{Pool: "default", Name: "lv", Format: "raw", CapacityBytes: 1 << 20})
	refresh(t, w, f, h.ID)
	v := volume(t, w, "lv")
	no := domain.Errorf(domain.Unsupported, "It is a device.")
	f.Fail("ClearVolume", no, 1)
	job, _, err := write(w, t.Context(), v, 0, []byte("hello"), 5, "")
	w.Succeed(t, job, err)
	f.Fail("ClearVolume", no, 1)
	f.Fail("DeleteVolume", no, 1)
	job, _, err = write(w, t.Context(), v, 0, []byte("hello"), 5, strings.Repeat("b", 64))
	job = w.Undone(t, job, err, domain.Invalid)
	lines, err := w.DB.JobLog(t.Context(), job.ID)
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, l := range lines {
		said += l.Text + "\n"
	}
	if !strings.Contains(said, "could not be emptied") || !strings.Contains(said, "written over") {
		t.Errorf("the log says %s", said)
	}
	if _, err := w.Fleet.Content().Progress(t.Context(), v.ID); !domain.Is(err, domain.NotFound) {
		t.Errorf("the upload is still there: %v", err)
	}
}

func TestAChecksumThatTheHostRefuses(t *testing.T) {
	w, f, h := fleettest.New(t)
	f.AddVolume(domain.Volume{Pool: "default", Name: "v", Format: "raw", CapacityBytes: 1 << 20})
	refresh(t, w, f, h.ID)
	for _, op := range []string{"ContentSize", "ReadVolume"} {
		f.Fail(op, domain.Errorf(domain.Conflict, "The host cannot read it."), 1)
		job, err := w.Fleet.ChecksumVolume(t.Context(), fleettest.Actor, volume(t, w, "v").ID, "")
		w.Undone(t, job, err, domain.Conflict)
	}
}

// A new volume is encrypted under a passphrase that the host gets before it makes the volume, and that is kept here.
func TestAVolumeIsMadeEncrypted(t *testing.T) {
	w, f, h := fleettest.New(t)
	pool := domain.PoolID(h.ID, "default", "")
	job, err := w.Fleet.CreateVolume(t.Context(), fleettest.Actor, fleet.CreateVolume{Pool: pool, Name: "locked.qcow2", SizeBytes: domain.GiB, Encrypted: true})
	w.Succeed(t, job, err)
	v := volume(t, w, "locked.qcow2")
	uuid, err := w.DB.VolumeSecret(t.Context(), v.ID)
	if err != nil || !v.Encrypted || f.Secret(uuid) == "" {
		t.Errorf("%+v, %q, %v", v, uuid, err)
	}
	if _, err := w.Fleet.CreateVolume(t.Context(), fleettest.Actor, fleet.CreateVolume{Pool: pool, Name: "copy.qcow2", Source: v.ID, Encrypted: true}); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	if _, err := w.Fleet.CreateVolume(t.Context(), fleettest.Actor, fleet.CreateVolume{Pool: pool, Name: "locked.qcow2", SizeBytes: domain.GiB}); !domain.Is(err, domain.Conflict) {
		t.Error(err)
	}
}
