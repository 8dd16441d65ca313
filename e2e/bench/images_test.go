package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"novacron/e2e/lab"
	"novacron/e2e/server"
)

// A template whose image has a disk of 10 GiB, as new VMs are made of it.
func tenGiB(b *testing.B, s *server.Server, api *server.API, host string) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "ten.qcow2")
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", file, "10G").CombinedOutput(); err != nil {
		b.Fatal(err, string(out))
	}
	if out, err := exec.Command("qemu-io", "-c", "write -P 7 0 256M", file).CombinedOutput(); err != nil {
		b.Fatal(err, string(out))
	}
	content, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	var in struct{ Upload string }
	if _, err := api.Do("POST", "/api/v1/images", map[string]any{"name": "ten", "version": "1", "publish": true, "source": map[string]any{"upload": true}}, &in); err != nil {
		b.Fatal(err)
	}
	req, err := http.NewRequest("PUT", s.URL+in.Upload, bytes.NewReader(content))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	var out struct{ Job server.Job }
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		b.Fatal(err)
	}
	if j := api.Await(b, out.Job.ID); j.State != "succeeded" {
		b.Fatalf("the import is %s: %+v", j.State, j.Error)
	}
	api.Change(b, "POST", "/api/v1/images/ten/versions/1/place", map[string]any{"host": host}, "succeeded")
	kernel, initrd, err := lab.Guest(lab.GuestCache())
	if err != nil {
		b.Fatal(err)
	}
	spec := map[string]any{"vcpus": 1, "memory_bytes": 64 << 20, "boot": map[string]any{"kernel": kernel, "initrd": initrd, "cmdline": "quiet"}, "disks": []map[string]any{{"image": "ten", "linked": true}}}
	if _, err := api.Do("POST", "/api/v1/templates", map[string]any{"name": "ten", "spec": spec}, nil); err != nil {
		b.Fatal(err)
	}
}

// A linked clone of a 10 GiB template to a VM that is started, over the same by hand: qemu-img makes the overlay, virsh defines and starts the domain that NovaCron
// would define. Then twenty at once, while somebody reads the list.
func BenchmarkLinkedClone(b *testing.B) {
	l := up(b, lab.Options{Hosts: 1})
	s := server.Start(b)
	api := s.API()
	host := api.AddHost(b, "h1", l.Hosts[0].URI)
	tenGiB(b, s, api, host)
	var copies struct{ Items []struct{ Path string } }
	if _, err := api.Do("GET", "/api/v1/image-copies", nil, &copies); err != nil || len(copies.Items) != 1 {
		b.Fatal(copies, err)
	}
	run := func(args ...string) string {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		out, err := l.Virsh(ctx, l.Hosts[0], args...)
		if err != nil {
			b.Fatal(out, err)
		}
		return out
	}
	instance := func(name string) string {
		return api.Change(b, "POST", "/api/v1/templates/ten/instantiate", map[string]any{"name": name, "host": host, "start": true}, "succeeded").Resource.ID
	}
	remove := func(id string) { api.Change(b, "DELETE", "/api/v1/vms/"+id+"?disks=true", nil, "succeeded") }

	// The domain that the other side defines is NovaCron's own, with another name, disk and identity.
	first := instance("tmpl-model")
	model := run("dumpxml", "--inactive", "tmpl-model")
	_, rest, _ := strings.Cut(model, "<source file='")
	disk, _, ok := strings.Cut(rest, "'")
	if !ok || !strings.Contains(disk, "tmpl-model") {
		b.Fatalf("no disk in %s", model)
	}
	diskOf := func(name string) string { return strings.ReplaceAll(disk, "tmpl-model", name) }
	byHand := func(name string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if out, err := l.Hosts[0].Exec(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", copies.Items[0].Path, diskOf(name)); err != nil {
			b.Fatal(err, string(out))
		}
		file := filepath.Join(b.TempDir(), name+".xml")
		if err := os.WriteFile(file, []byte(renamed(model, "tmpl-model", name)), 0o644); err != nil {
			b.Fatal(err)
		}
		run("define", file)
		run("start", name)
	}
	cookies := signIn(b, s)
	const rounds = 10
	for b.Loop() {
		var ours, theirs []time.Duration
		for i := range rounds {
			name := fmt.Sprintf("hand-%d", i)
			theirs = append(theirs, timed(func() { byHand(name) }))
			run("destroy", name)
			run("undefine", name)
			if err := os.Remove(l.Hosts[0].Path(diskOf(name))); err != nil {
				b.Fatal(err)
			}
			var id string
			ours = append(ours, timed(func() { id = instance(fmt.Sprintf("clone-%d", i)) }))
			remove(id)
		}
		o, v := quantile(ours, 0.5), quantile(theirs, 0.5)
		b.ReportMetric(float64(o)/float64(v), "clone-ratio")
		b.Logf("linked clone to a started VM: API %.0f ms, qemu-img and virsh %.0f ms, ratio %.2f (medians of %d pairs)", ms(o), ms(v), float64(o)/float64(v), rounds)

		const many = 20
		var wg sync.WaitGroup
		ids := make([]string, many)
		done := make(chan struct{})
		var page []time.Duration
		began := time.Now()
		for i := range many {
			wg.Go(func() { ids[i] = instance(fmt.Sprintf("many-%d", i)) })
		}
		go func() { wg.Wait(); close(done) }()
		for open := true; open; {
			page = append(page, load(b, 1, 1, func(int) *http.Request { return get(b, s.URL+"/vms", "", cookies) })...)
			select {
			case <-done:
				open = false
			case <-time.After(20 * time.Millisecond):
			}
		}
		b.ReportMetric(ms(quantile(page, 0.99)), "page-p99-ms")
		b.Logf("%d linked clones at once: %.1f s to all started; meanwhile /vms p50 %.1f ms, p99 %.1f ms (%d reads)", many, time.Since(began).Seconds(), ms(quantile(page, 0.5)), ms(quantile(page, 0.99)), len(page))
		for _, id := range ids {
			remove(id)
		}
	}
	remove(first)
}

// renamed gives a domain another name, disk and identity.
func renamed(xml, from, to string) string {
	xml = strings.ReplaceAll(xml, from, to)
	for _, part := range []struct{ open, end string }{{"<uuid>", "</uuid>"}, {"<mac address='", "/>"}} {
		if before, rest, ok := strings.Cut(xml, part.open); ok {
			if _, after, ok := strings.Cut(rest, part.end); ok {
				xml = before + after
			}
		}
	}
	return xml
}
