package api

import (
	"net/http"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
)

// The processes inside a guest are looked at by who may run commands, and what was seen then is for them.
func TestTheProcessesOfAGuest(t *testing.T) {
	w := newWorld(t)
	host := w.addHost("b1")
	id := w.change("POST", "/api/v1/vms", map[string]any{"name": "web", "host": host, "vcpus": 2, "memory_bytes": 1 << 30, "start": true}).Resource.ID
	vm := w.vmIn(id, domain.VMRunning)
	w.fake.SetAgent(vm.UUID, &hvtest.Agent{Exec: func(argv []string) hv.ExecStatus {
		if argv[0] == "ps" {
			return hv.ExecStatus{Ended: true, Out: []byte("  PID   RSS COMMAND\n    9  2048 postgres\n")}
		}
		return hv.ExecStatus{Ended: true, Out: []byte("PID USER PR NI VIRT RES SHR S %CPU %MEM TIME+ COMMAND\n9 ada 20 0 9 9 9 R 93.2 0.0 0:01.07 postgres\n")}
	}})
	at := "/api/v1/vms/" + id + "/guest/processes"
	if g := want[GuestProcesses](t, w.do("GET", at, nil), 200); g.LookedAt != nil || g.Total != 0 || g.Processes == nil {
		t.Errorf("nobody has looked: %+v", g)
	}
	j := w.change("POST", at, nil)
	g := want[GuestProcesses](t, w.do("GET", at, nil), 200)
	if g.LookedAt == nil || g.Total != 1 || len(g.Processes) != 1 || g.Processes[0] != (domain.GuestProcess{PID: 9, User: "ada", Name: "postgres", CPUPercent: 93.2, MemoryBytes: 2 << 20}) {
		t.Errorf("%+v", g)
	}
	for method, path := range map[string]string{"GET": at, "POST": at} {
		refused(t, w.do(method, path, nil, token(w.viewer)), http.StatusForbidden, "")
	}
	if seen := w.do("GET", "/api/v1/jobs/"+j.ID, nil, token(w.viewer)); seen.StatusCode != 200 || strings.Contains(string(seen.body), "postgres") {
		t.Errorf("%d %s", seen.StatusCode, seen.body)
	}
	if rules := w.do("PUT", "/api/v1/vms/"+id+"/guest/allow", `{"allow":["uptime"]}`); rules.StatusCode != 200 {
		t.Fatalf("%d %s", rules.StatusCode, rules.body)
	}
	if p := refused(t, w.do("POST", at, nil), http.StatusForbidden, ""); !strings.Contains(p.Fix, "uptime") {
		t.Errorf("%+v", p)
	}
}
