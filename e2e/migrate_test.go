package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/e2e/server"
)

type forecast struct {
	Targets []struct {
		Host    string
		Allowed bool
		Checks  []struct{ Name, Level, Message, Fix string }
		// Forecast is null for a host that cannot take the VM.
		Forecast *struct {
			Method    string
			Seconds   struct{ P05, P50, P95 float64 }
			Converges float64
		}
	}
}

// only wants the guest defined on one lab host and not on the other.
func only(t *testing.T, name string, host int) {
	t.Helper()
	for i := range hosts.Hosts {
		has := slices.Contains(strings.Fields(virsh(t, i, "list", "--all", "--name")), name)
		if has != (i == host) {
			t.Fatalf("%s has the guest: %v; it should be on host %d alone", hosts.Hosts[i].Name, has, host)
		}
	}
}

// A guest that runs moves with its disk to a host that shares nothing with the first, and back; what was forecast stands beside what came of it.
func TestAGuestMovesLiveWithItsDiskAndBack(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "mover", e.hosts[0], 64<<20))
	hears(t, e, v, "tick")
	var f forecast
	if _, err := e.api.Do("POST", "/api/v1/vms/"+v.ID+"/forecast", map[string]any{"targets": []string{e.hosts[1]}}, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Targets) != 1 || !f.Targets[0].Allowed || f.Targets[0].Forecast == nil || f.Targets[0].Forecast.Seconds.P95 <= 0 {
		t.Fatalf("the forecast is %+v", f)
	}
	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/migrate", map[string]any{"host": e.hosts[1], "mode": "live"}, "succeeded")
	only(t, "mover", 1)
	got, err := e.api.VM(v.ID)
	if err != nil || got.HostID != e.hosts[1] || got.State != "running" {
		t.Fatalf("afterwards it is %+v: %v", got, err)
	}
	if n := len(volumes(t, 0, "mover")); n != 0 {
		t.Errorf("%d of its files are left on the source", n)
	}
	hears(t, e, got, "tick")
	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/migrate", map[string]any{"host": e.hosts[0]}, "succeeded")
	only(t, "mover", 0)

	var list struct {
		Items []struct {
			VM       string `json:"vm"`
			State    string
			Forecast *struct{ Method string }
			Result   *struct {
				Seconds    float64
				DowntimeMS float64 `json:"downtime_ms"`
				Bytes      int64
			}
		}
	}
	if _, err := e.api.Do("GET", "/api/v1/migrations?vm="+v.ID, nil, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 2 {
		t.Fatalf("the list is %+v", list)
	}
	for _, m := range list.Items {
		if m.State != "succeeded" || m.Forecast == nil || m.Result == nil || m.Result.Seconds <= 0 || m.Result.DowntimeMS <= 0 || m.Result.Bytes == 0 {
			t.Errorf("%+v: forecast %+v, result %+v", m, m.Forecast, m.Result)
		}
	}
}

// A linked clone moves with what it wrote alone to a host that has its image, stands on the image's copy there, and comes back cold.
func TestALinkedCloneMovesWithWhatDiffersAlone(t *testing.T) {
	e := newEstate(t)
	t.Cleanup(func() { scrub(t, "image-incimg") })
	path, sum := imageFile(t, "incimg")
	ask := upload("1", sum)
	ask["name"] = "incimg"
	if _, j := e.image(t, "/api/v1/images", ask, path); j.State != "succeeded" {
		t.Fatalf("the import is %s: %+v", j.State, j.Error)
	}
	req := e.guest(t, "incmover", e.hosts[0], 0)
	req["disks"] = []map[string]any{{"image": "incimg", "linked": true}}
	v := e.create(t, req)
	in := inside{t, e, signIn(t, e.Server), v}
	in.reads("1")
	in.says("printf mark-$((1000+2)) | dd of=/dev/vda bs=512 seek=9999 conv=sync,fsync 2>/dev/null && echo wrote-$((1000+2))", "wrote-1002")

	disks := func(to int) (level, message string) {
		t.Helper()
		var f forecast
		if _, err := e.api.Do("POST", "/api/v1/vms/"+v.ID+"/forecast", map[string]any{"targets": []string{e.hosts[to]}}, &f); err != nil || len(f.Targets) != 1 {
			t.Fatal(f, err)
		}
		for _, c := range f.Targets[0].Checks {
			if c.Name == "disks" {
				return c.Level, c.Message
			}
		}
		return "", ""
	}
	if level, message := disks(1); level != "warn" || !strings.Contains(message, "whole") {
		t.Errorf("without the image there it says %s: %s", level, message)
	}
	e.api.Change(t, "POST", "/api/v1/images/incimg/versions/1/place", map[string]any{"host": e.hosts[1]}, "succeeded")
	if level, message := disks(1); level != "pass" || !strings.Contains(message, "only what differs") {
		t.Errorf("with the image there it says %s: %s", level, message)
	}
	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/migrate", map[string]any{"host": e.hosts[1], "mode": "live"}, "succeeded")
	only(t, "incmover", 1)
	moved, err := e.api.VM(v.ID)
	if err != nil {
		t.Fatal(err)
	}
	in.vm = moved
	in.reads("1")
	in.says("echo it-is-$(dd if=/dev/vda bs=512 skip=9999 count=1 2>/dev/null | head -c 9)", "it-is-mark-1002")
	files := volumes(t, 1, "incmover")
	if len(files) != 1 || len(volumes(t, 0, "incmover")) != 0 {
		t.Fatalf("its files are %v there, and %v where it was", files, volumes(t, 0, "incmover"))
	}
	if out, err := exec.CommandContext(t.Context(), "qemu-img", "info", "-U", "--output=json", files[0]).CombinedOutput(); err != nil || !strings.Contains(string(out), "image-incimg") {
		t.Errorf("the disk there is not built on the image: %v %s", err, out)
	}
	whole(t, 1, strings.TrimPrefix(files[0], hosts.Hosts[1].Path("")))
	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/stop", nil, "succeeded")
	if level, message := disks(0); level != "pass" || !strings.Contains(message, "only what differs") {
		t.Errorf("stopped, with the image at the same path, it says %s: %s", level, message)
	}
	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/migrate", map[string]any{"host": e.hosts[0]}, "succeeded")
	only(t, "incmover", 0)
	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/start", nil, "succeeded")
	in.reads("1")
	in.says("echo it-is-$(dd if=/dev/vda bs=512 skip=9999 count=1 2>/dev/null | head -c 9)", "it-is-mark-1002")
}

// A stopped VM's disk is copied, byte for byte, and its definition follows.
func TestAStoppedVMMovesColdAndAHostIsEmptied(t *testing.T) {
	e := newEstate(t)
	req := e.guest(t, "cold", e.hosts[0], 32<<20)
	req["start"] = false
	v := e.create(t, req)
	old, err := os.ReadFile(volumes(t, 0, "cold")[0])
	if err != nil {
		t.Fatal(err)
	}
	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/migrate", map[string]any{"host": e.hosts[1]}, "succeeded")
	only(t, "cold", 1)
	if n := len(volumes(t, 0, "cold")); n != 0 {
		t.Errorf("%d of its files are left on the source", n)
	}
	if now, err := os.ReadFile(volumes(t, 1, "cold")[0]); err != nil || string(now) != string(old) {
		t.Errorf("the copy has %d bytes, the disk had %d (%v)", len(now), len(old), err)
	}
	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/start", nil, "succeeded")
	e.api.WaitVM(t, v.ID, "running", 30*time.Second)

	var plan struct {
		Moves int
		Items []struct{ VM, Host string }
	}
	if res, err := e.api.Do("POST", "/api/v1/hosts/"+e.hosts[1]+"/evacuate", map[string]any{"dry_run": true}, &plan); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v: %+v", err, res)
	}
	if plan.Moves != 1 || plan.Items[0].VM != "cold" || plan.Items[0].Host != hosts.Hosts[0].Name {
		t.Fatalf("the plan is %+v", plan)
	}
	e.api.Change(t, "POST", "/api/v1/hosts/"+e.hosts[1]+"/evacuate", nil, "succeeded")
	only(t, "cold", 0)
	e.api.Change(t, "POST", "/api/v1/hosts/"+e.hosts[1]+"/return", nil, "succeeded")
	only(t, "cold", 1)
}

// A move that would fail is refused with the reason before anything is touched, and a migration outlives the server that asked for it.
func TestAMigrationIsRefusedOrOutlivesTheServer(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "outlive", e.hosts[0], 64<<20))
	_, err := e.api.Do("POST", "/api/v1/vms/"+v.ID+"/migrate", map[string]any{"host": e.hosts[0]}, nil)
	if p, ok := err.(*server.Problem); !ok || p.Status != http.StatusConflict || !strings.Contains(p.Detail, "already") {
		t.Errorf("to where it is: %v", err)
	}
	_, err = e.api.Do("POST", "/api/v1/vms/"+v.ID+"/migrate", map[string]any{"host": e.hosts[1], "networks": map[string]string{"default": "dmz"}}, nil)
	if p, ok := err.(*server.Problem); !ok || p.Status != http.StatusConflict || !strings.Contains(p.Fix, "dmz") {
		t.Errorf("to a network that is not there: %v", err)
	}
	only(t, "outlive", 0)

	var j server.Job
	if _, err := e.api.Do("POST", "/api/v1/vms/"+v.ID+"/migrate", map[string]any{"host": e.hosts[1], "policy": map[string]any{"bandwidth_bytes": 8 << 20}}, &j); err != nil {
		t.Fatal(err)
	}
	server.Wait(t, time.Minute, "the migration to be under way", func() error {
		if out := virsh(t, 0, "domjobinfo", "outlive"); !strings.Contains(out, "Outgoing migration") {
			return server.Not("an outgoing migration", out)
		}
		return nil
	})
	e.Kill()
	e.Up()
	if j = e.api.Await(t, j.ID); j.State != "succeeded" {
		t.Fatalf("after the server was killed the job is %+v", j)
	}
	only(t, "outlive", 1)
}
