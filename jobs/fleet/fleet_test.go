package fleet_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

func ptr[T any](v T) *T { return &v }

func fields(err error) string {
	e, ok := err.(*domain.Error)
	if !ok {
		return fmt.Sprint(err)
	}
	var out []string
	for _, f := range e.Fields {
		out = append(out, f.Field)
	}
	return string(e.Code) + " " + strings.Join(out, " ")
}

func TestCreateNamesEveryWrongField(t *testing.T) {
	w, _, h := fleettest.New(t)
	w.Make(t, fleettest.Spec("taken"), false)
	create := func(change func(*fleet.CreateVM)) string {
		req := fleet.CreateVM{Spec: fleettest.Spec("web-1"), Host: h.ID}
		change(&req)
		_, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, req)
		return fields(err)
	}
	for _, c := range []struct {
		change func(*fleet.CreateVM)
		want   string
	}{
		{func(r *fleet.CreateVM) { r.Spec.Name, r.Spec.VCPUs, r.Tags = "a/b", 0, []string{"!"} }, "invalid name vcpus tags"},
		{func(r *fleet.CreateVM) { r.Spec.Name = "taken" }, "conflict name"},
		{func(r *fleet.CreateVM) { r.Spec.MemoryBytes = domain.TiB }, "exhausted memory_bytes"},
		{func(r *fleet.CreateVM) { r.Host, r.Spec.MemoryBytes = "any", domain.TiB }, "exhausted memory_bytes"},
		{func(r *fleet.CreateVM) { r.Host = "host_none" }, "invalid host"},
		{func(r *fleet.CreateVM) { r.Spec.Disks[0].Pool = "ssd" }, "unsupported disks.0.pool"},
		{func(r *fleet.CreateVM) { r.Spec.NICs[0].Network = "lab" }, "unsupported nics.0.network"},
		{func(r *fleet.CreateVM) { r.Spec.UUID = w.VM(t, "taken").UUID }, "conflict uuid"},
		{func(r *fleet.CreateVM) { r.Spec.Disks[0].Volume = "taken.qcow2" }, "conflict disks.0.volume"},
	} {
		if got := create(c.change); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if got := create(func(r *fleet.CreateVM) { r.Host = "a" }); got != "<nil>" {
		t.Errorf("a host by its name: %s", got)
	}
}

func TestCreateIsFreeOfRaces(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	facts := func(f *domain.HostFacts) { f.MemoryBytes = 4 * domain.GiB }
	for _, name := range []string{"a", "b"} {
		f, h := w.Adopt(t, name, hvtest.FakeOptions{})
		f.SetFacts(facts)
		if err := w.Rec.Host(t.Context(), f, h.ID); err != nil {
			t.Fatal(err)
		}
	}
	// Room for two on each host, and eight ask at once; and four of them want the same name.
	var wg sync.WaitGroup
	var mu sync.Mutex
	var made int
	codes := map[domain.Code]int{}
	for i := range 8 {
		spec := fleettest.Spec(fmt.Sprintf("web-%d", min(i, 4)))
		spec.MemoryBytes = 2 * domain.GiB
		wg.Go(func() {
			_, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec, Host: fleet.AnyHost})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else {
				codes[domain.CodeOf(err)]++
			}
		})
	}
	wg.Wait()
	if made != 4 || codes[domain.Conflict]+codes[domain.Exhausted] != 4 {
		t.Errorf("%d were accepted, refused %v", made, codes)
	}
	load, err := w.DB.HostLoads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id, l := range load {
		if l.MemoryCreating != 4*domain.GiB {
			t.Errorf("%s carries %s", id, domain.FormatBytes(l.MemoryCreating))
		}
	}
}

func TestExplain(t *testing.T) {
	w, _, h := fleettest.New(t)
	d, err := w.Fleet.Explain(t.Context(), fleettest.Spec("web-1"), fleet.AnyHost)
	if err != nil || d.HostID != h.ID || len(d.Verdicts) != 1 {
		t.Errorf("%+v (%v)", d, err)
	}
}

func TestDescribe(t *testing.T) {
	w, _, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	got, err := w.Fleet.DescribeVM(t.Context(), fleettest.Actor, vm.ID, vm.Version, fleet.DescribeVM{Tags: &[]string{"prod"}, Notes: ptr("hello")})
	if err != nil || len(got.Tags) != 1 || got.Notes != "hello" || got.Version == vm.Version {
		t.Fatalf("%+v (%v)", got, err)
	}
	if _, err := w.Fleet.DescribeVM(t.Context(), fleettest.Actor, vm.ID, vm.Version, fleet.DescribeVM{Notes: ptr("other")}); !domain.Is(err, domain.Conflict) {
		t.Errorf("a stale page may edit: %v", err)
	}
	got, err = w.Fleet.DescribeVM(t.Context(), fleettest.Actor, vm.ID, 0, fleet.DescribeVM{Notes: ptr("other")})
	if err != nil || got.Notes != "other" || len(got.Tags) != 1 {
		t.Errorf("%+v (%v)", got, err)
	}
	if _, err := w.Fleet.DescribeVM(t.Context(), fleettest.Actor, vm.ID, 0, fleet.DescribeVM{Tags: &[]string{"!"}, Notes: ptr(strings.Repeat("x", 70000))}); fields(err) != "invalid tags notes" {
		t.Errorf("%v", err)
	}
	if _, err := w.Fleet.DescribeVM(t.Context(), fleettest.Actor, "vm_none", 0, fleet.DescribeVM{}); !domain.Is(err, domain.NotFound) {
		t.Errorf("%v", err)
	}
}

func TestDeletePlanSaysWhatStaysAndWhy(t *testing.T) {
	w, f, h := fleettest.New(t)
	const images = "/var/lib/libvirt/images/"
	for _, v := range []domain.Volume{{Name: "debian.iso"}, {Name: "base.qcow2"}, {Name: "shared.qcow2"}, {Name: "ro.qcow2"}, {Name: "child.qcow2", Backing: images + "base.qcow2"}} {
		v.Pool, v.AllocationBytes = "default", 7
		f.AddVolume(v)
	}
	if err := w.Rec.Inventory(t.Context(), f, h.ID, reconcile.Cause{}); err != nil {
		t.Fatal(err)
	}
	other := fleettest.Spec("other")
	other.Disks = []domain.Disk{{Source: images + "shared.qcow2"}}
	w.Make(t, other, false)
	spec := fleettest.Spec("web-1")
	spec.Boot = domain.Boot{Kernel: "/boot/vmlinuz", Initrd: "/boot/initrd"}
	spec.Disks = append(spec.Disks, domain.Disk{Device: "cdrom", Source: images + "debian.iso"}, domain.Disk{Source: images + "base.qcow2"}, domain.Disk{Source: images + "shared.qcow2"},
		domain.Disk{Source: images + "ro.qcow2", ReadOnly: true}, domain.Disk{Source: "/srv/elsewhere.img"}, domain.Disk{Device: "cdrom"})
	vm := w.Make(t, spec, false)
	plan, err := w.Fleet.DeletePlan(t.Context(), vm.ID)
	if err != nil {
		t.Fatal(err)
	}
	why := map[string]string{}
	for _, file := range plan.Files {
		why[file.Path] = fmt.Sprint(file.Goes, " ", file.Why)
	}
	for path, want := range map[string]string{
		images + "web-1.qcow2": "true Only web-1 uses it.", images + "debian.iso": "false It is an image in a drive", images + "base.qcow2": "false It is what the volume " + images + "child.qcow2 is built on.",
		images + "shared.qcow2": "false It is also a disk of other.", images + "ro.qcow2": "false The VM may only read it", "/srv/elsewhere.img": "false It is in no storage pool",
		"/boot/vmlinuz": "false It is a kernel", "/boot/initrd": "false It is an initrd",
	} {
		if !strings.HasPrefix(why[path], want) {
			t.Errorf("%s: %q, want %q", path, why[path], want)
		}
	}
	if len(plan.Files) != 8 || plan.PowerOff || plan.HostName != "a" {
		t.Errorf("%+v", plan)
	}
	job, err := w.Fleet.DeleteVM(t.Context(), fleettest.Actor, vm.ID, fleet.DeleteVM{Disks: true})
	w.Succeed(t, job, err)
	if n := len(f.AllVolumes()); n != 5 {
		t.Errorf("%d volumes are left", n)
	}
}

func TestRenameAndCloneWantAFreeName(t *testing.T) {
	w, _, _ := fleettest.New(t)
	one := w.Make(t, fleettest.Spec("one"), false)
	w.Make(t, fleettest.Spec("two"), false)
	for name, want := range map[string]string{"two": "conflict name", "a/b": "invalid name", "one": "invalid name"} {
		if _, err := w.Fleet.RenameVM(t.Context(), fleettest.Actor, one.ID, name, ""); fields(err) != want {
			t.Errorf("rename to %s: %s", name, fields(err))
		}
	}
	for name, want := range map[string]string{"two": "conflict name", "": "invalid name"} {
		if _, err := w.Fleet.CloneVM(t.Context(), fleettest.Actor, one.ID, fleet.CloneVM{Name: name}); fields(err) != want {
			t.Errorf("clone as %s: %s", name, fields(err))
		}
	}
	job, err := w.Fleet.RenameVM(t.Context(), fleettest.Actor, one.ID, "uno", "k")
	w.Succeed(t, job, err)
	again, err := w.Fleet.RenameVM(t.Context(), fleettest.Actor, one.ID, "uno", "k")
	if err != nil || again.ID != job.ID {
		t.Errorf("a second submit: %s (%v)", again.ID, err)
	}
	job, err = w.Fleet.CloneVM(t.Context(), fleettest.Actor, one.ID, fleet.CloneVM{Name: "dos", Key: "c"})
	w.Succeed(t, job, err)
	again, err = w.Fleet.CloneVM(t.Context(), fleettest.Actor, one.ID, fleet.CloneVM{Name: "dos", Key: "c"})
	if err != nil || again.ID != job.ID {
		t.Errorf("a second submit: %s (%v)", again.ID, err)
	}
	spec := fleettest.Spec("elsewhere")
	spec.Disks = []domain.Disk{{Source: "/srv/x.img"}}
	vm := w.Make(t, spec, false)
	if _, err := w.Fleet.CloneVM(t.Context(), fleettest.Actor, vm.ID, fleet.CloneVM{Name: "copy"}); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "/srv/x.img") {
		t.Errorf("%v", err)
	}
	up := w.Make(t, fleettest.Spec("up"), true)
	if _, err := w.Fleet.CloneVM(t.Context(), fleettest.Actor, up.ID, fleet.CloneVM{Name: "copy"}); !domain.Is(err, domain.Conflict) {
		t.Errorf("a running VM may be cloned: %v", err)
	}
}

func TestChangeIsJudgedFirst(t *testing.T) {
	w, _, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	for _, c := range []struct {
		change domain.VMChange
		want   string
	}{
		{domain.VMChange{}, "invalid "},
		{domain.VMChange{VCPUs: ptr(0)}, "invalid vcpus"},
		{domain.VMChange{MemoryBytes: ptr(domain.TiB)}, "exhausted memory_bytes"},
		{domain.VMChange{RemoveDisks: []string{"vdz"}}, "invalid remove_disks"},
		{domain.VMChange{AddDisks: []domain.Disk{{Pool: "ssd", SizeBytes: domain.GiB}}}, "unsupported add_disks.0.pool"},
		{domain.VMChange{AddNICs: []domain.NIC{{Network: "lab"}}}, "unsupported add_nics.0.network"},
		{domain.VMChange{Machine: ptr("virt")}, "unsupported machine"},
	} {
		if _, err := w.Fleet.ChangeVM(t.Context(), fleettest.Actor, vm.ID, 0, c.change, ""); fields(err) != c.want {
			t.Errorf("%+v: %q, want %q", c.change, fields(err), c.want)
		}
	}
	// A host in maintenance takes no new VM, but those it has may be edited.
	if _, err := w.Fleet.EditHost(t.Context(), fleettest.Actor, vm.HostID, 0, fleet.HostEdit{Maintenance: ptr(true)}); err != nil {
		t.Fatal(err)
	}
	job, err := w.Fleet.ChangeVM(t.Context(), fleettest.Actor, vm.ID, 0, domain.VMChange{Firmware: ptr(domain.FirmwareUEFI)}, "k")
	w.Succeed(t, job, err)
	again, err := w.Fleet.ChangeVM(t.Context(), fleettest.Actor, vm.ID, vm.Version, domain.VMChange{Firmware: ptr(domain.FirmwareUEFI)}, "k")
	if err != nil || again.ID != job.ID {
		t.Errorf("a second submit: %s (%v)", again.ID, err)
	}
}

// Whatever waits for a restart can be taken back, one field at a time, until nothing waits.
func TestRevertEverythingThatIsPending(t *testing.T) {
	w, f, _ := fleettest.New(t)
	spec := fleettest.Spec("web-1")
	spec.Disks = append(spec.Disks, domain.Disk{Device: "cdrom"})
	vm := w.Make(t, spec, true)
	before, _ := fleettest.Guest(f, "web-1")
	job, err := w.Fleet.ChangeVM(t.Context(), fleettest.Actor, vm.ID, 0, domain.VMChange{VCPUs: ptr(4), MemoryBytes: ptr(2 * domain.GiB), CPU: ptr("host-model"),
		Boot: &domain.Boot{Kernel: "/boot/k", Cmdline: "quiet", Order: []string{"network"}}}, "")
	w.Succeed(t, job, err)
	pending := w.VM(t, "web-1").Pending
	if len(pending) < 5 {
		t.Fatalf("pending is %+v", pending)
	}
	for range 10 {
		left := w.VM(t, "web-1").Pending
		if len(left) == 0 {
			break
		}
		job, err := w.Fleet.RevertPending(t.Context(), fleettest.Actor, vm.ID, left[0].Field)
		w.Succeed(t, job, err)
	}
	after, _ := fleettest.Guest(f, "web-1")
	if left := w.VM(t, "web-1").Pending; len(left) != 0 || len(domain.Diff(before.Config, after.Config)) != 0 {
		t.Errorf("left %+v, differs by %+v", left, domain.Diff(before.Config, after.Config))
	}
	if _, err := w.Fleet.RevertPending(t.Context(), fleettest.Actor, vm.ID, "vcpus"); !domain.Is(err, domain.NotFound) {
		t.Errorf("%v", err)
	}
}

func TestConsole(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	c := fleet.NewConsole(w.DB, w.Pool)
	screen, via, err := c.Graphics(t.Context(), vm.ID)
	if err != nil || via == "" {
		t.Fatalf("%q (%v)", via, err)
	}
	hello := make([]byte, 4)
	if _, err := io.ReadFull(screen, hello); err != nil || string(hello) != "RFB " {
		t.Errorf("%q (%v)", hello, err)
	}
	screen.Close()
	line, err := c.Serial(t.Context(), vm.ID)
	if err != nil {
		t.Fatal(err)
	}
	line.Close()
	if png, err := c.Screenshot(t.Context(), vm.ID); err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
		t.Errorf("%q (%v)", png, err)
	}
	off := w.Make(t, fleettest.Spec("off"), false)
	if _, _, err := c.Graphics(t.Context(), off.ID); !domain.Is(err, domain.Conflict) {
		t.Errorf("a stopped VM has a screen: %v", err)
	}
	if _, err := c.Serial(t.Context(), "vm_none"); !domain.Is(err, domain.NotFound) {
		t.Errorf("%v", err)
	}
	f.Fail("Screenshot", domain.Errorf(domain.Unsupported, "No screen."), 1)
	if _, err := c.Screenshot(t.Context(), vm.ID); !domain.Is(err, domain.Unsupported) {
		t.Errorf("%v", err)
	}
}

func TestKeyOfAnotherRequest(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	w.Adopt(t, "a", hvtest.FakeOptions{})
	defer jobstest.Run(t, w.Engine)()
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1"), Key: "k"})
	w.Succeed(t, job, err)
	other, err := w.Fleet.CreateVM(t.Context(), "bob", fleet.CreateVM{Spec: fleettest.Spec("web-2"), Key: "k"})
	if other = w.Succeed(t, other, err); other.ID == job.ID {
		t.Error("another person's key gave this one's job")
	}
}

func TestEveryRequestHasOneJob(t *testing.T) {
	w, _, h := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	_, uri := w.Put("b", hvtest.FakeOptions{})
	_, other := w.Put("c", hvtest.FakeOptions{})
	ctx := t.Context()
	for name, ask := range map[string]func() (domain.Job, error){
		"act": func() (domain.Job, error) {
			return w.Fleet.ActVM(ctx, "ada", vm.ID, domain.ActStart, fleet.ActOptions{Key: "1"})
		},
		"try": func() (domain.Job, error) { return w.Fleet.TryHost(ctx, "ada", fleet.AddHost{URI: other, Key: "2"}) },
		"add": func() (domain.Job, error) {
			return w.Fleet.AddHost(ctx, "ada", fleet.AddHost{Name: "b", URI: uri, Key: "3"})
		},
		"bulk": func() (domain.Job, error) {
			return w.Fleet.BulkVMs(ctx, "ada", []string{w.Make(t, fleettest.Spec("bulk"), false).ID}, domain.ActStart, fleet.ActOptions{Key: "4"})
		},
		"delete": func() (domain.Job, error) {
			return w.Fleet.ActVM(ctx, "ada", w.Make(t, fleettest.Spec("del"), false).ID, domain.ActDelete, fleet.ActOptions{Disks: true, Key: "5"})
		},
	} {
		first, err := ask()
		if err != nil {
			t.Fatalf("%s: %s", name, fleettest.Detail(err))
		}
		w.Succeed(t, first, nil)
		if name == "bulk" || name == "delete" {
			continue // what they ask for is made anew each time
		}
		if second, err := ask(); err != nil || second.ID != first.ID {
			t.Errorf("%s: the second submit made %s (%v)", name, second.ID, err)
		}
	}
	job, err := w.Fleet.ReconnectHost(ctx, "ada", h.ID)
	w.Succeed(t, job, err)
	job, err = w.Fleet.RemoveHost(ctx, "ada", h.ID, "6")
	w.Succeed(t, job, err)
	if again, err := w.Fleet.RemoveHost(ctx, "ada", h.ID, "6"); err != nil || again.ID != job.ID {
		t.Errorf("remove: the second submit made %s (%v)", again.ID, err)
	}
	for _, err := range []error{second(w.Fleet.RemoveHost(ctx, "ada", "host_none", "")), second(w.Fleet.ReconnectHost(ctx, "ada", "host_none")), second(w.Fleet.DeleteVM(ctx, "ada", "vm_none", fleet.DeleteVM{})),
		second(w.Fleet.RenameVM(ctx, "ada", "vm_none", "x", "")), second(w.Fleet.ChangeVM(ctx, "ada", "vm_none", 0, domain.VMChange{Title: ptr("x")}, "")), second(w.Fleet.EditHost(ctx, "ada", "host_none", 0, fleet.HostEdit{}))} {
		if !domain.Is(err, domain.NotFound) {
			t.Errorf("%v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestBulkAndEditAtTheDoor(t *testing.T) {
	w, _, h := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	if _, err := w.Fleet.BulkVMs(t.Context(), "ada", []string{vm.ID, vm.ID}, domain.ActStop, fleet.ActOptions{}); !domain.Is(err, domain.Conflict) {
		t.Errorf("%v", err)
	}
	if _, err := w.Fleet.BulkVMs(t.Context(), "ada", nil, domain.ActStop, fleet.ActOptions{}); !domain.Is(err, domain.Invalid) {
		t.Errorf("%v", err)
	}
	if _, err := w.Fleet.AddHost(t.Context(), "ada", fleet.AddHost{Name: "", URI: "x", Labels: map[string]string{"A": ""}}); fields(err) != "invalid uri name labels" {
		t.Errorf("%s", fields(err))
	}
	for _, e := range []fleet.HostEdit{{Maintenance: ptr(true)}, {Maintenance: ptr(false)}, {Name: ptr("z")}, {Notes: ptr("n")}} {
		if _, err := w.Fleet.EditHost(t.Context(), "ada", h.ID, 0, e); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.Fleet.EditHost(t.Context(), "ada", h.ID, 0, fleet.HostEdit{Name: ptr("!"), Notes: ptr(strings.Repeat("x", 70000)), Labels: &map[string]string{"A": ""}}); fields(err) != "invalid name labels notes" {
		t.Errorf("%s", fields(err))
	}
	if n := len(w.Events(t, h.ID)); n < 5 {
		t.Errorf("%d events", n)
	}
}
