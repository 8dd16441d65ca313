package guest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/guest"
)

const (
	// procps: the first table is of the time since each process began.
	procpsTop = `top - 02:39:42 up  1:28,  0 user,  load average: 0.81, 3.01, 4.99
Tasks:  83 total,   1 running,  82 sleeping,   0 stopped,   0 zombie
%Cpu(s):  0.0 us,  0.0 sy,  0.0 ni,  0.0 id,100.0 wa,  0.0 hi,  0.0 si,  0.0 st

    PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND
      7 root      rt   0    5544   1084    968 S  99.9   0.0   0:01.07 migration/0

top - 02:39:43 up  1:28,  0 user,  load average: 0.81, 3.01, 4.99

    PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND
    101 root      20   0    8000   3000   2000 R   2.0   0.0   0:00.02 top
      9 postgres  20   0   12.1g   1.5g 900.5m R 143,5  12.0  10:00.00 postgres: w+
      7 root      rt   0    5544   1084    968 S   0.0   0.0   0:01.07 migration/0
     22 systemd+  20   0   42112  13204   6404 S   6.7   0.1   0:21.42 systemd-res+
`
	procpsPs = `    PID   RSS COMMAND
      7  1084 migration/0
      9 1572864 postgres
     22 13204 systemd-resolve
    500   100 ps
`
	busyboxTop = `Mem: 6738864K used, 17945232K free, 8788K shrd, 66524K buff, 6047788K cached
CPU:   0% usr   0% sys   0% nic 100% idle   0% io   0% irq   0% sirq
Load average: 0.81 3.01 4.99 1/112 28295
  PID  PPID USER     STAT   VSZ %VSZ CPU %CPU COMMAND
    1     0 root     S     4012   5%   0  99% /init --password geheim
Mem: 6738864K used, 17945232K free, 8788K shrd, 66524K buff, 6047788K cached
  PID  PPID USER     STAT   VSZ %VSZ CPU %CPU COMMAND
   33     1 root     S <  1311m   5%   1  25% {worker} /usr/bin/perl /srv/worker --token geheim
   40     1 root     S N   4012   0%   0   1% -sh
    1     0 root     S     4012   0%   0   0% /sbin/init --password geheim
    2     0 root     SW<      0   0%   0   0% [kthreadd]
`
	busyboxPs = `PID   RSS  COMMAND
    1  732 init
    2    0 kthreadd
   33  12m worker
   40  904 sh
`
)

func looking(top, ps string) *hvtest.Agent {
	a := agent()
	a.Exec = func(argv []string) hv.ExecStatus {
		switch argv[0] {
		case "top":
			return hv.ExecStatus{Ended: true, Out: []byte(top)}
		case "ps":
			return hv.ExecStatus{Ended: true, Out: []byte(ps)}
		}
		return hv.ExecStatus{Ended: true, Code: 127}
	}
	return a
}

func inWords(all []domain.GuestProcess) string {
	var out []string
	for _, p := range all {
		out = append(out, fmt.Sprintf("%d %s %s %.1f %d", p.PID, p.User, p.Name, p.CPUPercent, p.MemoryBytes))
	}
	return strings.Join(out, "\n")
}

func TestProcessesOfAGuest(t *testing.T) {
	for _, c := range []struct{ name, top, ps, cpu, memory string }{
		{"procps", procpsTop, procpsPs, "9 postgres postgres 143.5 1610612736\n22 systemd+ systemd-resolve 6.7 13520896\n7 root migration/0 0.0 1110016", "9 22 7"},
		{"busybox", busyboxTop, busyboxPs, "33 root worker 50.0 12582912\n40 root sh 2.0 925696\n1 root init 0.0 749568\n2 root kthreadd 0.0 0", "33 40 1 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, f, vm := running(t, looking(c.top, c.ps))
			if _, found, err := guest.LastProcesses(t.Context(), w.DB, vm.ID); err != nil || found {
				t.Fatalf("nobody has looked: %v %v", found, err)
			}
			job, err := w.Fleet.LookAtProcesses(t.Context(), fleettest.Actor, vm.ID, "")
			job = w.Succeed(t, job, err)
			var res domain.GuestProcesses
			if err := json.Unmarshal(job.Result, &res); err != nil {
				t.Fatal(err)
			}
			last, found, err := guest.LastProcesses(t.Context(), w.DB, vm.ID)
			if err != nil || !found || !last.At.Equal(res.At) || last.Total != strings.Count(c.cpu, "\n")+1 {
				t.Errorf("%+v %v %v", last, found, err)
			}
			if got := inWords(last.ByCPU()); got != c.cpu {
				t.Errorf("%s\nwanted\n%s", got, c.cpu)
			}
			var sizes []string
			for _, p := range last.ByMemory() {
				sizes = append(sizes, fmt.Sprint(p.PID))
			}
			if got := strings.Join(sizes, " "); got != c.memory {
				t.Errorf("by memory %s, wanted %s", got, c.memory)
			}
			if strings.Contains(string(job.Result), "geheim") {
				t.Errorf("the arguments of programs are kept: %s", job.Result)
			}
			evs := w.Events(t, vm.ID)
			for _, line := range []string{"The command “top -b -n 2 -d 1” was run in web-1.", "The command “ps -eo pid,rss,comm” was run in web-1."} {
				if !slices.ContainsFunc(evs, func(e domain.Event) bool {
					return e.Kind == "guest.exec" && e.Actor == fleettest.Actor && e.Message == line
				}) {
					t.Errorf("nobody would find that %s", line)
				}
			}
			if ran := f.Ran(vm.UUID); len(ran) != 2 {
				t.Errorf("ran %v", ran)
			}
		})
	}
}

func TestProcessesWhereCommandsAreFew(t *testing.T) {
	w, f, vm := running(t, looking(busyboxTop, busyboxPs))
	ctx := t.Context()
	if err := w.Fleet.SetExecRules(ctx, fleettest.Actor, vm.ID, domain.ExecRules{"uptime"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Fleet.LookAtProcesses(ctx, fleettest.Actor, vm.ID, ""); !domain.Is(err, domain.Denied) || len(f.Ran(vm.UUID)) != 0 {
		t.Errorf("%v, ran %v", err, f.Ran(vm.UUID))
	}
	if err := w.Fleet.SetExecRules(ctx, fleettest.Actor, vm.ID, domain.ExecRules{"uptime", "top -b"}); err != nil {
		t.Fatal(err)
	}
	job, err := w.Fleet.LookAtProcesses(ctx, fleettest.Actor, vm.ID, "")
	w.Succeed(t, job, err)
	last, _, err := guest.LastProcesses(ctx, w.DB, vm.ID)
	if got, want := inWords(last.ByCPU()), "33 root worker 50.0 -1\n40 root sh 2.0 -1\n1 root init 0.0 -1\n2 root [kthreadd] 0.0 -1"; err != nil || got != want || len(last.ByMemory()) != 0 {
		t.Errorf("%v\n%s\nwanted\n%s", err, got, want)
	}
	if ran := f.Ran(vm.UUID); len(ran) != 1 {
		t.Errorf("ran %v", ran)
	}
}

func TestProcessesThatAreNotTold(t *testing.T) {
	for _, c := range []struct {
		name, top, says string
		code            int
	}{
		{"another top", "Processes: 3 total\n", "not understood", 0},
		{"a top that fails", "", "exit code 1", 1},
	} {
		a := agent()
		a.Exec = func([]string) hv.ExecStatus { return hv.ExecStatus{Ended: true, Out: []byte(c.top), Code: c.code} }
		w, _, vm := running(t, a)
		job, err := w.Fleet.LookAtProcesses(t.Context(), fleettest.Actor, vm.ID, "")
		if job = w.Wait(t, job, err); job.State != domain.JobUndone || job.Error == nil || !strings.Contains(job.Error.Message, c.says) {
			t.Errorf("%s: %+v %+v", c.name, job.State, job.Error)
		}
	}
	a := agent()
	a.Facts.OSID = "mswindows"
	w, _, vm := running(t, a)
	job, err := w.Fleet.LookGuest(t.Context(), fleettest.Actor, vm.ID, "")
	w.Succeed(t, job, err)
	if _, err := w.Fleet.LookAtProcesses(t.Context(), fleettest.Actor, vm.ID, ""); !domain.Is(err, domain.Unsupported) {
		t.Errorf("Windows: %v", err)
	}
}
