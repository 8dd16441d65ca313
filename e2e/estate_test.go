// Package e2e looks at the built binary from outside: real libvirt hosts from the lab, a real guest, a real browser.
//
// It imports nothing of the product. Each test has a server and a data directory of its own; the hosts are shared, so a test removes the guests
// it makes and gives them names of its own.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	hosts, err = lab.Up(ctx, lab.Options{Hosts: 2, TestDrivers: 1, TestGuests: 3, TLS: true, SSH: true})
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

// estate is a server with both lab hosts connected.
type estate struct {
	*server.Server
	api   *server.API
	hosts []string // ids, in the lab's order
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	s := server.Start(t)
	e := &estate{Server: s, api: s.API()}
	for _, h := range hosts.Hosts {
		e.hosts = append(e.hosts, e.api.AddHost(t, h.Name, h.URI))
	}
	return e
}

func virsh(t *testing.T, host int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := hosts.Virsh(ctx, hosts.Hosts[host], args...)
	if err != nil {
		t.Fatalf("virsh %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// guest is the API's request for the lab's tiny guest on a host.
func (e *estate) guest(t *testing.T, name, host string, disk int64) map[string]any {
	t.Helper()
	kernel, initrd, err := lab.Guest(lab.GuestCache())
	if err != nil {
		t.Fatal(err)
	}
	req := map[string]any{
		"name": name, "host": host, "vcpus": 1, "memory_bytes": 192 << 20, "accel": "auto", "start": true,
		"boot": map[string]any{"kernel": kernel, "initrd": initrd, "cmdline": lab.Cmdline},
		"nics": []map[string]any{{"network": "default"}},
	}
	if disk > 0 {
		req["disks"] = []map[string]any{{"pool": "default", "size_bytes": disk, "format": "qcow2"}}
	}
	return req
}

// create makes a VM and removes whatever is left of it when the test ends.
func (e *estate) create(t *testing.T, req map[string]any) server.VM {
	t.Helper()
	name := req["name"].(string)
	t.Cleanup(func() { scrub(t, name) })
	j := e.api.Change(t, "POST", "/api/v1/vms", req, "succeeded")
	v, err := e.api.VM(j.Resource.ID)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// scrub removes a guest and its volumes from every lab host, whatever state a failed test left them in.
func scrub(t *testing.T, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, h := range hosts.Hosts {
		names, err := hosts.Virsh(ctx, h, "list", "--all", "--name")
		if err != nil {
			continue // the host is down; its guests went with it
		}
		for _, n := range strings.Fields(names) {
			if strings.HasPrefix(n, name) {
				hosts.Virsh(ctx, h, "destroy", n)
				hosts.Virsh(ctx, h, "undefine", n, "--nvram", "--managed-save", "--snapshots-metadata")
			}
		}
		files, _ := filepath.Glob(h.Path("/var/lib/libvirt/images/" + name + "*"))
		for _, f := range files {
			os.Remove(f)
		}
		hosts.Virsh(ctx, h, "pool-refresh", "default")
	}
}

// volumes lists the files of a host's default pool that belong to a VM's name.
func volumes(t *testing.T, host int, name string) []string {
	t.Helper()
	files, err := filepath.Glob(hosts.Hosts[host].Path("/var/lib/libvirt/images/" + name + "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// define makes a guest behind the product's back.
func define(t *testing.T, host int, xml string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "guest.xml")
	if err := os.WriteFile(file, []byte(xml), 0o644); err != nil {
		t.Fatal(err)
	}
	virsh(t, host, "define", file)
}
