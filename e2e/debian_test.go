//go:build debian

package e2e

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"novacron/e2e/server"
)

const adasKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1ZW5vc2RpYXNidWVub3NkaWFzYnVlbm9zZGlhc2Ex ada@home"

// A real Debian takes its host name, key and first-boot command from what NovaCron wrote, seen from inside. NOVACRON_DEBIAN is the image that make debian-image
// makes. It takes minutes without KVM, so it has a target of its own: make cloud-test.
func TestDebianTakesItsCloudInit(t *testing.T) {
	e := newEstate(t)
	t.Cleanup(func() { scrub(t, "cloudy") })
	from, err := os.Open(os.Getenv("NOVACRON_DEBIAN"))
	if err != nil {
		t.Fatalf("%v; make cloud-test says where the image is", err)
	}
	defer from.Close()
	to, err := os.Create(hosts.Hosts[0].Path("/var/lib/libvirt/images/cloudy-disk.qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	virsh(t, 0, "pool-refresh", "default")
	began := time.Now()
	v := e.create(t, map[string]any{
		"name": "cloudy", "host": e.hosts[0], "vcpus": 2, "memory_bytes": 1 << 30, "accel": "auto", "start": true,
		"disks":      []map[string]any{{"source": "/var/lib/libvirt/images/cloudy-disk.qcow2", "format": "qcow2"}},
		"nics":       []map[string]any{{"network": "default"}},
		"cloud_init": map[string]any{"hostname": "cloudy.example.org", "user": "ada", "ssh_keys": []string{adasKey}, "password": "geheim-42", "runcmd": []string{"echo it was $(hostname) > /var/lib/first-boot"}},
	})
	server.Wait(t, 25*time.Minute, "the guest's agent to answer", func() error {
		var g struct{ Answers bool }
		if _, err := e.api.Do("GET", "/api/v1/vms/"+v.ID+"/guest", nil, &g); err != nil {
			return err
		}
		if !g.Answers {
			return server.Not("an answer", "none")
		}
		return nil
	})
	t.Logf("the agent answers after %s", time.Since(began).Round(time.Second))
	var waits ran
	if _, err := e.api.Do("POST", "/api/v1/vms/"+v.ID+"/guest/exec", map[string]any{"argv": []string{"cloud-init", "status", "--wait", "--long"}, "timeout_s": 900}, &waits); err != nil {
		t.Fatal(err)
	}
	server.Wait(t, 16*time.Minute, "cloud-init to end", func() error {
		if _, err := e.api.Do("GET", "/api/v1/jobs/"+waits.ID, nil, &waits); err != nil {
			return err
		}
		if waits.State == "queued" || waits.State == "running" {
			return server.Not("an ended command", waits.State)
		}
		return nil
	})
	if !strings.Contains(waits.Result.Stdout, "status: done") {
		t.Errorf("cloud-init ended with %+v", waits)
	}
	t.Logf("cloud-init is done after %s", time.Since(began).Round(time.Second))
	for _, look := range []struct {
		argv []string
		want string
	}{
		{[]string{"hostname", "-f"}, "cloudy.example.org"},
		{[]string{"cat", "/home/ada/.ssh/authorized_keys"}, adasKey},
		{[]string{"cat", "/var/lib/first-boot"}, "it was cloudy"},
		{[]string{"grep", "^ada:", "/etc/shadow"}, "ada:$6$"},
		{[]string{"cloud-id"}, "nocloud"},
	} {
		if r := e.runs(t, v.ID, 60, look.argv...); r.Result.ExitCode != 0 || !strings.Contains(r.Result.Stdout, look.want) {
			t.Errorf("%q gives %+v, not %q", look.argv, r.Result, look.want)
		}
	}
	var g struct {
		OSName string `json:"os_name"`
		Cards  []struct {
			Name      string
			Addresses []string
		}
	}
	if _, err := e.api.Do("GET", "/api/v1/vms/"+v.ID+"/guest", nil, &g); err != nil || !strings.Contains(g.OSName, "Debian") {
		t.Errorf("%+v %v", g, err)
	}
	t.Logf("%+v", g)
	t.Logf("what took how long:\n%s", e.runs(t, v.ID, 60, "cloud-init", "analyze", "blame").Result.Stdout)
}
