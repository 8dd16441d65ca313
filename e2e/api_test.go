package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/e2e/lab"
	"novacron/e2e/server"
)

func problem(t *testing.T, err error) *server.Problem {
	t.Helper()
	var p *server.Problem
	if !errors.As(err, &p) {
		t.Fatalf("wanted a problem document, got %v", err)
	}
	return p
}

func TestLifeOfAGuest(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "life", e.hosts[0], 64<<20))
	if v.State != "running" || v.HostID != e.hosts[0] || len(v.Disks) != 1 || v.MemoryBytes != 192<<20 {
		t.Fatalf("created: %+v", v)
	}
	if got := strings.TrimSpace(virsh(t, 0, "domstate", "life")); got != "running" {
		t.Fatalf("virsh says %s", got)
	}
	if xml := virsh(t, 0, "dumpxml", "life"); !strings.Contains(xml, "type='qemu'") {
		t.Error("auto must choose software emulation where the processor has no virtualisation")
	}
	if files := volumes(t, 0, "life"); len(files) != 1 {
		t.Fatalf("volumes: %v", files)
	}
	if info := virsh(t, 0, "vol-dumpxml", "life.qcow2", "--pool", "default"); !strings.Contains(info, "<compat>1.1</compat>") {
		t.Error("the volume is not qcow2 version 3:", info)
	}

	for _, step := range []struct{ action, state, virsh string }{
		{"pause", "paused", "paused"}, {"resume", "running", "running"}, {"reset", "running", "running"}, {"stop", "stopped", "shut off"}, {"start", "running", "running"},
	} {
		e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/"+step.action, nil, "succeeded")
		if got, err := e.api.VM(v.ID); err != nil || got.State != step.state {
			t.Fatalf("after %s: %s, %v", step.action, got.State, err)
		}
		if got := strings.TrimSpace(virsh(t, 0, "domstate", "life")); got != step.virsh {
			t.Fatalf("after %s virsh says %s", step.action, got)
		}
	}

	t.Run("save and restore", func(t *testing.T) {
		e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/save", nil, "succeeded")
		if got, _ := e.api.VM(v.ID); got.State != "saved" {
			t.Fatalf("saved: %s", got.State)
		}
		e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/restore", nil, "succeeded")
		if got, _ := e.api.VM(v.ID); got.State != "running" {
			t.Fatalf("restored: %s", got.State)
		}
	})

	t.Run("edit: what can be live is, the rest waits", func(t *testing.T) {
		before := virsh(t, 0, "dumpxml", "life", "--inactive")
		e.api.Change(t, "PATCH", "/api/v1/vms/"+v.ID, map[string]any{"vcpus": 2, "title": "Life <of> a guest"}, "succeeded")
		got, err := e.api.VM(v.ID)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Pending) == 0 {
			t.Error("a second processor for a running guest without room for it must be pending")
		}
		after := virsh(t, 0, "dumpxml", "life", "--inactive")
		if !strings.Contains(after, "<title>Life &lt;of&gt; a guest</title>") || !strings.Contains(after, ">2</vcpu>") {
			t.Errorf("the definition did not change:\n%s", after)
		}
		if strings.Count(before, "\n") > strings.Count(after, "\n") {
			t.Error("the edit lost lines of the definition")
		}
	})

	t.Run("a stale version is refused", func(t *testing.T) {
		_, err := e.api.Do("PATCH", "/api/v1/vms/"+v.ID, map[string]any{"vcpus": 1, "version": 1}, nil)
		if p := problem(t, err); p.Status != 409 {
			t.Errorf("%+v", p)
		}
	})

	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/stop", nil, "succeeded")
	e.api.Change(t, "DELETE", "/api/v1/vms/"+v.ID+"?disks=true", nil, "succeeded")
	if files := volumes(t, 0, "life"); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
	if names := virsh(t, 0, "list", "--all", "--name"); strings.Contains(names, "life") {
		t.Error("the definition is still there")
	}
	if _, err := e.api.VM(v.ID); problem(t, err).Status != 404 {
		t.Error("the VM is still listed")
	}
}

func TestGuestShutsDownWhenAsked(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "polite", e.hosts[1], 0))
	waitForGuest(t, e, v)
	e.api.Change(t, "POST", "/api/v1/vms/"+v.ID+"/shutdown", nil, "succeeded")
	if got, _ := e.api.VM(v.ID); got.State != "stopped" {
		t.Errorf("state %s", got.State)
	}
}

// What others do on the host appears by itself within two seconds.
func TestChangesMadeByOthersAppear(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "others", e.hosts[0], 0))
	for _, c := range []struct {
		args  []string
		state string
	}{
		{[]string{"suspend", "others"}, "paused"}, {[]string{"resume", "others"}, "running"},
		{[]string{"destroy", "others"}, "stopped"}, {[]string{"start", "others"}, "running"},
	} {
		virsh(t, 0, c.args...)
		e.api.WaitVM(t, v.ID, c.state, 2*time.Second)
	}
	virsh(t, 0, "desc", "others", "--title", "From virsh", "--config")
	server.Wait(t, 2*time.Second, "the new title", func() error {
		var got struct{ Title string }
		if _, err := e.api.Do("GET", "/api/v1/vms/"+v.ID, nil, &got); err != nil || got.Title != "From virsh" {
			return server.Not("From virsh", fmt.Sprint(got.Title, err))
		}
		return nil
	})
	virsh(t, 0, "destroy", "others")
	virsh(t, 0, "undefine", "others")
	server.Wait(t, 2*time.Second, "the VM to leave the list", func() error {
		if _, err := e.api.VM(v.ID); err == nil {
			return errors.New("still there")
		}
		return nil
	})
	xml := `<domain type='qemu'><name>others-2</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='q35'>hvm</type></os></domain>`
	define(t, 0, xml)
	server.Wait(t, 2*time.Second, "a guest defined by virsh to be adopted", func() error {
		all, err := e.api.VMs()
		for _, v := range all {
			if v.Name == "others-2" {
				return nil
			}
		}
		return server.Not("others-2", err)
	})
}

// A second change of a busy VM says what holds it; the same request twice gives one job.
func TestBusyAndTwice(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "busy", e.hosts[0], 0))
	waitForGuest(t, e, v)
	var first server.Job
	if _, err := e.api.Do("POST", "/api/v1/vms/"+v.ID+"/shutdown", nil, &first); err != nil {
		t.Fatal(err)
	}
	_, err := e.api.Do("POST", "/api/v1/vms/"+v.ID+"/pause", nil, nil)
	if err != nil {
		if p := problem(t, err); p.Status != 409 || p.Holder != "" && p.Holder != first.ID {
			t.Errorf("%+v", p)
		}
	}
	e.api.Await(t, first.ID)

	send := func() server.Job {
		b, _ := json.Marshal(e.guest(t, "busy-twice", e.hosts[0], 0))
		req, _ := http.NewRequest("POST", e.URL+"/api/v1/vms?wait=60s", strings.NewReader(string(b)))
		req.Header.Set("Authorization", "Bearer "+e.Token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "same")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var j server.Job
		if err := json.NewDecoder(res.Body).Decode(&j); err != nil || res.StatusCode != 202 || res.Header.Get("Location") != "/api/v1/jobs/"+j.ID {
			t.Fatalf("%s %s %v", res.Status, res.Header.Get("Location"), err)
		}
		return j
	}
	t.Cleanup(func() { scrub(t, "busy-twice") })
	if a, b := send(), send(); a.ID != b.ID {
		t.Errorf("two jobs for one key: %s, %s", a.ID, b.ID)
	}
}

func TestBadInputNamesTheField(t *testing.T) {
	e := newEstate(t)
	e.create(t, e.guest(t, "taken", e.hosts[0], 16<<20))
	base := func(edit func(map[string]any)) map[string]any {
		r := e.guest(t, "bad", e.hosts[0], 0)
		r["start"] = false
		edit(r)
		return r
	}
	for name, c := range map[string]struct {
		status int
		field  string
		body   map[string]any
	}{
		"name taken":          {409, "name", base(func(r map[string]any) { r["name"] = "taken" })},
		"name with a slash":   {422, "name", base(func(r map[string]any) { r["name"] = "a/b" })},
		"no processors":       {422, "vcpus", base(func(r map[string]any) { r["vcpus"] = 0 })},
		"unknown field":       {422, "colour", base(func(r map[string]any) { r["colour"] = "red" })},
		"memory too large":    {507, "", base(func(r map[string]any) { r["host"], r["memory_bytes"] = "any", int64(8)<<40 })},
		"kvm where it is not": {422, "accel", base(func(r map[string]any) { r["accel"] = "kvm" })},
		"no such pool":        {422, "disks.0.pool", base(func(r map[string]any) { r["disks"] = []map[string]any{{"pool": "nowhere", "size_bytes": 1 << 20}} })},
		"no such network":     {422, "nics.0.network", base(func(r map[string]any) { r["nics"] = []map[string]any{{"network": "nowhere"}} })},
		"no such host":        {422, "host", base(func(r map[string]any) { r["host"] = "host_nowhere" })},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.api.Do("POST", "/api/v1/vms", c.body, nil)
			p := problem(t, err)
			if p.Status != c.status || c.field != "" && !p.HasField(c.field) {
				t.Errorf("wanted %d on %q, got %+v", c.status, c.field, p)
			}
		})
	}
	for name, uri := range map[string]string{"not a URI": "kvm1", "no driver": "xen:///system", "no path": "qemu+tcp://10.0.0.1/"} {
		_, err := e.api.Do("POST", "/api/v1/hosts", map[string]string{"name": "h", "uri": uri}, nil)
		if p := problem(t, err); p.Status != 422 || !p.HasField("uri") {
			t.Errorf("%s: %+v", name, p)
		}
	}
	j := e.api.Change(t, "POST", "/api/v1/hosts", map[string]string{"name": "nobody", "uri": "qemu+tcp://127.0.0.1:1/system"}, "undone")
	if j.Error == nil || j.Error.Fix == "" {
		t.Errorf("a refused connection says what to do: %+v", j.Error)
	}
	t.Cleanup(func() { scrub(t, "bad") })
	if names := virsh(t, 0, "list", "--all", "--name"); strings.Contains(names, "bad") {
		t.Error("something was defined:", names)
	}
	noToken := *e.api
	noToken.Token = ""
	if _, err := noToken.Do("GET", "/api/v1/vms", nil, nil); problem(t, err).Status != 401 {
		t.Error("no token, yet an answer")
	}
}

// A disk file that exists already is not taken over, and not lost.
func TestAnExistingVolumeIsNotTouched(t *testing.T) {
	e := newEstate(t)
	t.Cleanup(func() { scrub(t, "precious") })
	virsh(t, 0, "vol-create-as", "default", "precious.qcow2", "1M", "--format", "raw")
	res := e.guest(t, "precious", e.hosts[0], 8<<20)
	var j server.Job
	if _, err := e.api.Do("POST", "/api/v1/vms?wait=60s", res, &j); err == nil {
		if j.State != "undone" && j.State != "succeeded" {
			t.Fatalf("%+v", j)
		}
	} else if p := problem(t, err); p.Status != 409 && p.Status != 422 {
		t.Fatal(p)
	}
	if info := virsh(t, 0, "vol-dumpxml", "precious.qcow2", "--pool", "default"); !strings.Contains(info, "1048576") {
		t.Error("the volume that was there has changed:", info)
	}
}

func TestHostKilledAndReturned(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "survivor", e.hosts[1], 0))
	h := hosts.Hosts[1]
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := h.KillDaemon(ctx); err != nil {
		t.Fatal(err)
	}
	e.api.WaitVM(t, v.ID, "away", 30*time.Second)
	if _, err := e.api.Do("POST", "/api/v1/vms/"+v.ID+"/pause", nil, nil); problem(t, err).Status != 503 {
		t.Error("an action on a VM whose host is away must say so")
	}
	if err := h.StartDaemon(ctx); err != nil {
		t.Fatal(err)
	}
	e.api.WaitVM(t, v.ID, "running", 60*time.Second)
}

func TestDaemonThatHangsDoesNotHangThePage(t *testing.T) {
	e := newEstate(t)
	h := hosts.Hosts[1]
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := h.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	defer h.Cont(ctx)
	server.Wait(t, 60*time.Second, "the host to be away", func() error {
		var got server.Host
		_, err := e.api.Do("GET", "/api/v1/hosts/"+e.hosts[1], nil, &got)
		if err == nil && got.State != "away" {
			err = server.Not("away", got.State)
		}
		return err
	})
	if err := h.Cont(ctx); err != nil {
		t.Fatal(err)
	}
	server.Wait(t, 60*time.Second, "the host to be back", func() error {
		var got server.Host
		_, err := e.api.Do("GET", "/api/v1/hosts/"+e.hosts[1], nil, &got)
		if err == nil && got.State != "connected" {
			err = server.Not("connected", got.State)
		}
		return err
	})
}

// kill -9 of the server at many points of a create: after the restart the job has ended, and either all of it is there or nothing.
func TestKillNineDuringCreate(t *testing.T) {
	e := newEstate(t)
	for i := range 8 {
		name := fmt.Sprintf("kill%d", i)
		t.Cleanup(func() { scrub(t, name) })
		var j server.Job
		if _, err := e.api.Do("POST", "/api/v1/vms", e.guest(t, name, e.hosts[0], 32<<20), &j); err != nil {
			t.Fatal(err)
		}
		done := time.After(time.Duration(i*i*5) * time.Millisecond) // spread over the life of the job, denser at its start
		<-done
		e.Kill()
		e.Up()
		j = e.api.Await(t, j.ID)
		defined := slices.Contains(strings.Fields(virsh(t, 0, "list", "--all", "--name")), name)
		files := volumes(t, 0, name)
		_, err := e.api.VM(j.Resource.ID)
		listed := err == nil
		want := j.State == "succeeded"
		if j.State == "stuck" || defined != want || (len(files) == 1) != want || listed != want {
			t.Errorf("killed at %d: job %s (%+v), defined %v, files %v, listed %v", i, j.State, j.Error, defined, files, listed)
		}
	}
}

// The event stream gives what happened, in order, and resumes after the last one seen.
func TestEventStreamResumes(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "stream", e.hosts[0], 0))
	read := func(last string, until func(kind, data string) bool) (id string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", e.URL+"/api/v1/events", nil)
		req.Header.Set("Authorization", "Bearer "+e.Token)
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var kind, data string
		sc := bufio.NewScanner(res.Body)
		for sc.Scan() {
			field, value, _ := strings.Cut(sc.Text(), ": ")
			switch field {
			case "id":
				id = value
			case "event":
				kind = value
			case "data":
				data = value
			case "":
				if kind != "" && until(kind, data) {
					return id
				}
				kind, data = "", ""
			}
		}
		t.Fatalf("the stream ended: %v", sc.Err())
		return ""
	}
	last := read("0", func(kind, data string) bool { return kind == "vm.created" && strings.Contains(data, v.ID) })
	virsh(t, 0, "suspend", "stream")
	read(last, func(kind, data string) bool {
		if kind == "vm.created" {
			t.Error("an event from before the cursor came again")
		}
		return kind == "vm.changed" && strings.Contains(data, v.ID) && strings.Contains(data, "paused")
	})
}

// Removing a host touches nothing on it.
func TestRemovingAHostTouchesNothing(t *testing.T) {
	e := newEstate(t)
	e.create(t, e.guest(t, "stays", e.hosts[1], 8<<20))
	before := virsh(t, 1, "dumpxml", "stays", "--inactive")
	e.api.Change(t, "DELETE", "/api/v1/hosts/"+e.hosts[1], nil, "succeeded")
	if after := virsh(t, 1, "dumpxml", "stays", "--inactive"); after != before {
		t.Error("the definition changed")
	}
	if got := strings.TrimSpace(virsh(t, 1, "domstate", "stays")); got != "running" {
		t.Error("the guest is", got)
	}
	all, err := e.api.VMs()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.HostID == e.hosts[1] {
			t.Error("a VM of the removed host is still listed:", v.Name)
		}
	}
}

// Every way to a host: TLS with client certificates, SSH with a checked host key, and libvirt's test driver behind a daemon.
func TestTransports(t *testing.T) {
	s := server.Start(t)
	api := s.API()
	h := hosts.Hosts[0]
	add := func(name, uri string, creds map[string]string, want string) server.Job {
		t.Helper()
		body := map[string]any{"name": name, "uri": uri}
		if creds != nil {
			body["credentials"] = creds
		}
		return api.Change(t, "POST", "/api/v1/hosts", body, want)
	}
	pki, ssh := hosts.PKI.Dir, hosts.SSH
	id := add("by-tls", h.TLSURI+"?pkipath="+pki, nil, "succeeded").Resource.ID
	api.Change(t, "DELETE", "/api/v1/hosts/"+id, nil, "succeeded")
	id = add("by-ssh", h.SSHURI+"?keyfile="+ssh.Key+"&known_hosts="+ssh.KnownHosts, nil, "succeeded").Resource.ID
	api.Change(t, "DELETE", "/api/v1/hosts/"+id, nil, "succeeded")
	for name, uri := range map[string]string{
		"ssh-wrong-key":    h.SSHURI + "?keyfile=" + ssh.WrongKey + "&known_hosts=" + ssh.KnownHosts,
		"ssh-unknown-host": h.SSHURI + "?keyfile=" + ssh.Key + "&known_hosts=/dev/null",
		"tls-no-cert":      h.TLSURI + "?pkipath=/nowhere",
	} {
		if j := add(name, uri, nil, "undone"); j.Error == nil || j.Error.Fix == "" {
			t.Errorf("%s does not say what to do: %+v", name, j.Error)
		}
	}
	add("test", hosts.TestHosts[0].URI, nil, "succeeded")
	all, err := api.VMs()
	if err != nil || len(all) < 3 {
		t.Errorf("%d guests of the test driver, %v", len(all), err)
	}
}

func waitForGuest(t *testing.T, e *estate, v server.VM) {
	t.Helper()
	hears(t, e, v, lab.UpMark)
}
