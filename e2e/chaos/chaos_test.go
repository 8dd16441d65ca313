// Package chaos breaks things while a guest moves between two real libvirt hosts, and looks afterwards whether the guest is in exactly one place, with its disk whole, its log
// without a gap, and its memory as it was.
//
// Nothing here counts on how a migration ends, since that depends on the moment: it may succeed, be undone, or ask a person. What must hold, holds in every case. A few faults are
// tried in each run of the tests; with NOVACRON_CHAOS=1, as `make chaos` sets it, all of them at every phase.
package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/e2e/lab"
	"novacron/e2e/server"
)

var hosts *lab.Lab

func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	var err error
	hosts, err = lab.Up(ctx, lab.Options{Hosts: 2})
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "the lab does not come up:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := hosts.Down(); err != nil {
		fmt.Fprintln(os.Stderr, "the lab does not go away:", err)
		code = 1
	}
	os.Exit(code)
}

const (
	source, target = 0, 1
	images         = "/var/lib/libvirt/images"
	name           = "survivor"
	slow           = 6 << 20 // bytes a second: so that every phase lasts long enough to be seen
)

// fault breaks something and gives what mends it.
type fault struct {
	name  string
	ready func(w *world) // before the VM moves; may be nil
	strum func(w *world)
	mend  func(w *world)
}

func nothing(*world) {}

var faults = []fault{
	{name: "the source's QEMU dies", strum: func(w *world) { w.killQEMU(source) }, mend: nothing},
	{name: "the target's QEMU dies", strum: func(w *world) { w.killQEMU(target) }, mend: nothing},
	{name: "the source's libvirtd dies", strum: func(w *world) { w.must(hosts.Hosts[source].KillDaemon(w.ctx())) }, mend: func(w *world) { w.must(hosts.Hosts[source].StartDaemon(w.ctx())) }},
	{name: "the target's libvirtd dies", strum: func(w *world) { w.must(hosts.Hosts[target].KillDaemon(w.ctx())) }, mend: func(w *world) { w.must(hosts.Hosts[target].StartDaemon(w.ctx())) }},
	{name: "NovaCron dies", strum: func(w *world) { w.s.Kill() }, mend: func(w *world) { w.s.Up() }},
	{name: "the target is off the network", strum: func(w *world) { w.must(hosts.Hosts[target].Unplug(w.ctx())); w.hostSays(target, false) }, mend: func(w *world) { w.must(hosts.Hosts[target].Plug(w.ctx())) }},
	{name: "the source is off the network", strum: func(w *world) { w.must(hosts.Hosts[source].Unplug(w.ctx())); w.hostSays(source, false) }, mend: func(w *world) { w.must(hosts.Hosts[source].Plug(w.ctx())) }},
	{name: "the link between them is down", strum: func(w *world) { w.must(hosts.Part(w.ctx())); w.decided() }, mend: func(w *world) { w.must(hosts.Join(w.ctx())) }},
	{name: "the source loses its power", strum: func(w *world) { w.must(hosts.Hosts[source].Kill()); w.hostSays(source, false) }, mend: func(w *world) { w.must(hosts.Hosts[source].Start(w.ctx())) }},
	{name: "the target loses its power", strum: func(w *world) { w.must(hosts.Hosts[target].Kill()); w.hostSays(target, false) }, mend: func(w *world) { w.must(hosts.Hosts[target].Start(w.ctx())) }},
	{name: "the target's disk is full", ready: func(w *world) {
		w.exec(target, "mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", images)
		w.virsh(target, "pool-refresh", "default")
	}, strum: func(w *world) {
		w.exec(target, "sh", "-c", "dd if=/dev/zero of="+images+"/filler bs=64k 2>/dev/null; true")
	}, mend: func(w *world) { w.exec(target, "rm", "-f", images+"/filler") }},
}

// phases are when a fault strikes: as soon as the job is there, while the disk is copied, while memory is, and as soon as the guest runs over there.
var phases = []string{"accepted", "disks", "memory", "arrived"}

// inCI are what each run of the tests tries.
var inCI = []string{"the target's QEMU dies/disks", "the source's libvirtd dies/memory"}

func TestNoGuestIsLost(t *testing.T) {
	for _, f := range faults {
		for _, phase := range phases {
			if cell := f.name + "/" + phase; os.Getenv("NOVACRON_CHAOS") != "" || slices.Contains(inCI, cell) {
				t.Run(cell, func(t *testing.T) { survive(t, f, phase) })
			}
		}
	}
}

type world struct {
	*testing.T
	s   *server.Server
	api *server.API
	dir string
	ids []string
	vm  server.VM
	job string
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	w.Cleanup(cancel)
	return ctx
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) exec(host int, command ...string) string {
	w.Helper()
	out, err := hosts.Hosts[host].Exec(w.ctx(), command...)
	w.must(err)
	return out
}

func (w *world) virsh(host int, args ...string) string {
	w.Helper()
	out, err := hosts.Virsh(w.ctx(), hosts.Hosts[host], args...)
	w.must(err)
	return out
}

// killQEMU ends the guest's process on a host, if there is one.
func (w *world) killQEMU(host int) {
	w.exec(host, "sh", "-c", "p=$(cat /run/libvirt/qemu/"+name+".pid 2>/dev/null) && kill -9 $p; true")
}

// hostSays waits until NovaCron has noticed that a host is there, or is not.
func (w *world) hostSays(host int, there bool) {
	w.Helper()
	server.Wait(w.T, 2*time.Minute, "the host's state to be noticed", func() error {
		var h struct{ State string }
		if _, err := w.api.Do("GET", "/api/v1/hosts/"+w.ids[host], nil, &h); err != nil {
			return err
		}
		if (h.State == "connected") != there {
			return server.Not(there, h.State)
		}
		return nil
	})
}

func survive(t *testing.T, f fault, phase string) {
	w := &world{T: t, s: server.Start(t), dir: t.TempDir()}
	w.api = w.s.API()
	for _, h := range hosts.Hosts {
		w.ids = append(w.ids, w.api.AddHost(t, h.Name, h.URI))
	}
	kernel, initrd, err := lab.Guest(filepath.Join(hosts.Dir, "guest"))
	w.must(err)
	t.Cleanup(w.scrub)
	id := w.api.Change(t, "POST", "/api/v1/vms", map[string]any{
		"name": name, "host": w.ids[source], "vcpus": 1, "memory_bytes": 192 << 20, "accel": "tcg", "start": true,
		"boot":  map[string]any{"kernel": kernel, "initrd": initrd, "cmdline": lab.Cmdline + " labdhcp=0 lablog=8 labfill=24"},
		"disks": []map[string]any{{"pool": "default", "size_bytes": 64 << 20, "format": "qcow2"}},
	}, "succeeded").Resource.ID
	w.vm, err = w.api.VM(id)
	w.must(err)
	t.Cleanup(func() {
		for h := range hosts.Hosts {
			if t.Failed() && w.state(h) != "" {
				t.Logf("the guest on %s is %s, its screen: %s", hosts.Hosts[h].Name, w.state(h), w.screen(h))
			}
		}
	})
	before := w.grows(source, logged{})
	if f.ready != nil {
		f.ready(w)
	}

	var j server.Job
	_, err = w.api.Do("POST", "/api/v1/vms/"+id+"/migrate", map[string]any{"host": w.ids[target], "mode": "live", "policy": map[string]any{"bandwidth_bytes": slow}}, &j)
	w.must(err)
	w.job = j.ID
	w.reach(j.ID, phase)
	f.strum(w)
	t.Logf("at %s: %s", phase, f.name)
	f.mend(w)
	for h := range hosts.Hosts {
		w.hostSays(h, true)
	}
	j = w.ended(j.ID)
	t.Logf("the job is %s (%s)", j.State, problem(j))
	at := w.only()
	if w.state(at) == "paused" { // as a guest is whose disk was full, and NovaCron leaves it so: it is for a person to say that there is room again
		w.virsh(at, "resume", name)
	}
	if w.state(at) == "running" {
		w.grows(at, before)
		w.virsh(at, "destroy", name)
	}
	w.whole(at, before)
}

func problem(j server.Job) string {
	if j.Error == nil {
		return "no error"
	}
	return j.Error.Message
}

// reach waits until the job is in a phase, or is past it.
func (w *world) reach(job, phase string) {
	w.Helper()
	if phase == "accepted" {
		return
	}
	server.Wait(w.T, time.Minute, "the phase "+phase, func() error {
		if phase == "arrived" && w.state(target) == "running" {
			return nil
		}
		var j struct {
			State     string
			Migration *struct {
				Phase     string
				BytesDone int64 `json:"bytes_done"`
			}
		}
		if _, err := w.api.Do("GET", "/api/v1/jobs/"+job, nil, &j); err != nil {
			return err
		}
		ended := j.State != "queued" && j.State != "running"
		if m := j.Migration; ended || m != nil && (m.Phase == phase && m.BytesDone > 0 || m.Phase == "memory" && phase != "arrived") {
			return nil
		}
		return server.Not(phase, j)
	})
}

// ended waits for the job, and decides as a person would where it asks: the VM stays where it runs, else where it came from.
func (w *world) ended(id string) (j server.Job) {
	w.Helper()
	for {
		if j = w.api.Await(w.T, id); j.State != "stuck" {
			return j
		}
		var asked struct {
			Choices []struct{ Name, Does string }
		}
		if _, err := w.api.Do("GET", "/api/v1/jobs/"+id, nil, &asked); err != nil {
			w.Fatal(err)
		}
		if len(asked.Choices) == 0 {
			w.Fatalf("the job is stuck and offers no way out: %s", problem(j))
		}
		keep := "keep-source"
		if w.state(source) != "running" && w.state(target) == "running" {
			keep = "keep-target"
		}
		w.Logf("stuck: %s; chosen: %s of %+v", problem(j), keep, asked.Choices)
		if _, err := w.api.Do("POST", "/api/v1/jobs/"+id+"/choose", map[string]any{"choice": keep}, nil); err != nil {
			w.Fatal(err)
		}
	}
}

// decided waits until the job has come to an end by itself, or asks.
func (w *world) decided() {
	w.Helper()
	j := w.api.Await(w.T, w.job)
	w.Logf("with the fault still there the job is %s (%s)", j.State, problem(j))
}

func (w *world) state(host int) string {
	out, err := hosts.Virsh(w.ctx(), hosts.Hosts[host], "domstate", name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(out)
}

// screen reads the letters on the guest's screen out of its memory: a guest that does not come up says why there.
func (w *world) screen(host int) string {
	const file = "/tmp/screen"
	if out, err := hosts.Virsh(w.ctx(), hosts.Hosts[host], "qemu-monitor-command", name, "--hmp", "pmemsave 0xb8000 4000 "+file); err != nil {
		return out + err.Error()
	}
	defer os.Remove(file)
	cells, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for i := 0; i+1 < len(cells); i += 2 { // a letter and its color
		if i%160 == 0 {
			text.WriteByte('\n')
		}
		text.WriteByte(max(cells[i], ' '))
	}
	return text.String()
}

// only wants the guest on exactly one host: defined there alone, with no process of it anywhere else; and the product saying so.
func (w *world) only() int {
	w.Helper()
	at := -1
	for i, h := range hosts.Hosts {
		defined := slices.Contains(strings.Fields(w.virsh(i, "list", "--all", "--name")), name)
		process := strings.TrimSpace(w.exec(i, "sh", "-c", "pgrep -fc '[g]uest="+name+",' || true")) != "0"
		if process && !defined {
			w.Errorf("%s has a process of the guest without its definition", h.Name)
		}
		if !defined {
			continue
		}
		if at >= 0 {
			w.Fatalf("both hosts have the guest: %s and %s", w.state(source), w.state(target))
		}
		at = i
	}
	if at < 0 {
		w.Fatal("no host has the guest")
	}
	server.Wait(w.T, time.Minute, "NovaCron to say where the guest is", func() error {
		v, err := w.api.VM(w.vm.ID)
		if err != nil {
			return err
		}
		if v.HostID != w.ids[at] || (v.State == "running") != (w.state(at) == "running") {
			return server.Not(fmt.Sprint(w.state(at), " on ", hosts.Hosts[at].Name), v)
		}
		return nil
	})
	return at
}

// scrub leaves the hosts as they were.
func (w *world) scrub() {
	w.must(hosts.Join(w.ctx()))
	for i, h := range hosts.Hosts {
		if h.PID() == 0 { // a cell that failed left it so
			w.must(h.Start(w.ctx()))
		}
		hosts.Virsh(w.ctx(), h, "destroy", name)
		hosts.Virsh(w.ctx(), h, "undefine", name)
		if i == target {
			h.Exec(w.ctx(), "umount", images)
		}
		files, err := filepath.Glob(h.Path(images + "/" + name + "*"))
		if err != nil {
			w.Error(err)
		}
		for _, f := range files {
			os.Remove(f)
		}
		hosts.Virsh(w.ctx(), h, "pool-refresh", "default")
	}
}
