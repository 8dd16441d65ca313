package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"novacron/e2e/lab"
	"novacron/e2e/server"
)

// many is how much of something a benchmark takes: so much as the environment says, for a quick look, or all.
func many(b *testing.B, name string, all int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return all
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("%s is %q, and should be a number", name, text)
	}
	return n
}

// pair is a server that knows both hosts of a lab.
type pair struct {
	*testing.B
	lab *lab.Lab
	s   *server.Server
	api *server.API
	ids []string
}

func newPair(b *testing.B, opts lab.Options) *pair {
	b.Helper()
	opts.Hosts = 2
	p := &pair{B: b, lab: up(b, opts), s: server.Start(b)}
	p.api = p.s.API()
	for _, h := range p.lab.Hosts {
		p.ids = append(p.ids, p.api.AddHost(b, h.Name, h.URI))
	}
	return p
}

func (p *pair) virsh(host int, args ...string) string {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	out, err := p.lab.Virsh(ctx, p.lab.Hosts[host], args...)
	if err != nil {
		p.Fatal(out, err)
	}
	return out
}

// guest makes the lab's tiny guest without a disk and gives its id once it is up.
func (p *pair) guest(name string, host int, memory int64, cmdline string) string {
	p.Helper()
	kernel, initrd, err := lab.Guest(lab.GuestCache())
	if err != nil {
		p.Fatal(err)
	}
	id := p.api.Change(p, "POST", "/api/v1/vms", map[string]any{
		"name": name, "host": p.ids[host], "vcpus": 1, "memory_bytes": memory, "accel": "tcg", "graphics": "none", "start": true, // virsh alone cannot move a screen to an address of the other host
		"boot": map[string]any{"kernel": kernel, "initrd": initrd, "cmdline": lab.Cmdline + " labdhcp=0 " + cmdline},
		"nics": []map[string]any{{"network": "default"}},
	}, "succeeded").Resource.ID
	return id
}

// change asks for something that may take long on a busy machine and waits until it is done.
func (p *pair) change(path string, in any) {
	p.Helper()
	var j server.Job
	if _, err := p.api.Do("POST", path+"?wait=60s", in, &j); err != nil {
		p.Fatal(err)
	}
	if !j.Ended() {
		server.Wait(p, 20*time.Minute, "the job to end", func() error {
			if _, err := p.api.Do("GET", "/api/v1/jobs/"+j.ID, nil, &j); err != nil {
				return err
			}
			if !j.Ended() {
				return server.Not("an ended job", j.State)
			}
			return nil
		})
	}
	if j.State != "succeeded" {
		p.Fatalf("%s: the job is %s: %+v", path, j.State, j.Error)
	}
}

// at waits until NovaCron has a VM running on a host.
func (p *pair) at(id string, host int) {
	p.Helper()
	server.Wait(p, 30*time.Second, "the VM to be seen where it is", func() error {
		v, err := p.api.VM(id)
		if err == nil && (v.HostID != p.ids[host] || v.State != "running") {
			err = server.Not("running on "+p.lab.Hosts[host].Name, v.State+" on "+v.HostID)
		}
		return err
	})
}

type moved struct {
	State     string
	DirtyRate *int64 `json:"dirty_rate"`
	Forecast  *struct {
		Method    string
		Seconds   struct{ P05, P50, P95 float64 }
		Converges float64
		Model     float64 `json:"model_seconds"`
	}
	Result *struct {
		Seconds    float64
		DowntimeMS float64 `json:"downtime_ms"`
		Bytes      int64
		Rate       int64
		Throttle   int `json:"throttle_percent"`
	}
}

// last is the newest migration of a VM.
func (p *pair) last(id string) moved {
	p.Helper()
	var list struct{ Items []moved }
	if _, err := p.api.Do("GET", "/api/v1/migrations?limit=1&vm="+id, nil, &list); err != nil || len(list.Items) != 1 {
		p.Fatal(list, err)
	}
	return list.Items[0]
}

func (p *pair) foresee(id string, to int, ask map[string]any) {
	p.Helper()
	in := map[string]any{"targets": []string{p.ids[to]}}
	for k, v := range ask {
		in[k] = v
	}
	if _, err := p.api.Do("POST", "/api/v1/vms/"+id+"/forecast", in, nil); err != nil {
		p.Fatal(err)
	}
}

// A live migration through the API, asked for as its page does, right after the forecast, over virsh migrate with the same flags: the whole time until the answer, and the guest's silence
// by its own heartbeat of 10 ms. In turns, there and back; once more without a forecast before, when the move itself measures the guest first.
func BenchmarkMigrateOverVirsh(b *testing.B) {
	const memory, address = 768 << 20, "192.168.122.77"
	pairs := many(b, "NOVACRON_BENCH_PAIRS", 7)
	p := newPair(b, lab.Options{})
	id := p.guest("beat", 0, memory, "labip="+address+"/24 labbeat=192.168.122.1 labhold=400")
	beats, err := p.lab.Hear(address)
	if err != nil {
		b.Fatal(err)
	}
	defer beats.Close()
	steady := func() { // it booted, holds its memory and beats
		server.Wait(b, 10*time.Minute, "the guest's heart to beat", func() error {
			if n := beats.Heard(time.Now().Add(-time.Second), time.Now()); n < 20 { // each is seen on more than one card; a busy machine's guest sends fewer
				return server.Not("at least 20 beats in a second", n)
			}
			return nil
		})
	}
	steady()
	const settle = 3 * time.Second // for what follows a move on both hosts
	var at int
	move := func(how func()) (whole, silence time.Duration) {
		p.at(id, at)
		steady()
		began := time.Now()
		how()
		whole = time.Since(began)
		at = 1 - at
		<-time.After(settle)
		return whole, beats.Gap(began, began.Add(whole+settle/2))
	}
	virsh := func() {
		p.virsh(at, "migrate-setmaxdowntime", "beat", "100") // as the policy begins
		p.virsh(at, "migrate", "--live", "--p2p", "--persistent", "--undefinesource", "--abort-on-error", "--auto-converge", "beat", p.lab.Hosts[1-at].URI)
	}
	api := func() {
		p.change("/api/v1/vms/"+id+"/migrate", map[string]any{"host": p.ids[1-at], "mode": "live"})
	}
	for b.Loop() {
		var whole, silence [3][]time.Duration
		var qemu []time.Duration
		for n := range 2 * pairs {
			for _, who := range [][]int{{0, 1}, {1, 0}}[n/2%2] {
				if who == 0 {
					p.at(id, at)
					p.foresee(id, 1-at, nil)
				}
				w, s := move([]func(){api, virsh}[who])
				whole[who], silence[who] = append(whole[who], w), append(silence[who], s)
				if who == 0 {
					qemu = append(qemu, time.Duration(p.last(id).Result.Seconds*float64(time.Second)))
				}
			}
		}
		<-time.After(time.Minute + settle) // what was measured for the last forecast is forgotten
		for range 3 {
			w, s := move(api)
			whole[2], silence[2] = append(whole[2], w), append(silence[2], s)
			<-time.After(time.Minute)
		}
		o, v := quantile(whole[0], 0.5), quantile(whole[1], 0.5)
		b.ReportMetric(float64(o)/float64(v), "total-ratio")
		b.ReportMetric(float64(quantile(silence[0], 0.5))/float64(quantile(silence[1], 0.5)), "silence-ratio")
		b.ReportMetric(float64(quantile(whole[2], 0.5))/float64(v), "unforeseen-total-ratio")
		b.Logf("total: API %.0f ms (%.0f ms of it QEMU's), virsh %.0f ms; silent for %.0f and %.0f ms; medians of %d each; API without a forecast before %.0f ms", ms(o), ms(quantile(qemu, 0.5)), ms(v),
			ms(quantile(silence[0], 0.5)), ms(quantile(silence[1], 0.5)), len(whole[0]), ms(quantile(whole[2], 0.5)))
		b.Logf("API %v, silent %v; virsh %v, silent %v", rounded(whole[0]), rounded(silence[0]), rounded(whole[1]), rounded(silence[1]))
	}
}

func rounded(d []time.Duration) (out []int64) {
	for _, x := range d {
		out = append(out, x.Milliseconds())
	}
	return out
}

// A stopped VM with a raw volume of 4 GiB, 30 % of it allocated in pieces, moves to a host that shares nothing with the first: what is allocated over the time of the whole job, over
// what the slower of wire and disk carries in the same run. The wire is one TCP connection between the two hosts, the disk one file read, written and synced.
func BenchmarkColdCopy(b *testing.B) {
	const size, percent, piece = 4 << 30, 30, 8 << 20
	p := newPair(b, lab.Options{})
	host := p.lab.Hosts[0]
	id := p.api.Change(b, "POST", "/api/v1/vms", map[string]any{"name": "cold", "host": p.ids[0], "vcpus": 1, "memory_bytes": 64 << 20, "accel": "tcg",
		"disks": []map[string]any{{"pool": "default", "size_bytes": size, "format": "raw"}}}, "succeeded").Resource.ID
	file := func(host int) string {
		files, err := filepath.Glob(p.lab.Hosts[host].Path("/var/lib/libvirt/images/cold*"))
		if err != nil || len(files) != 1 {
			b.Fatal(files, err)
		}
		return files[0]
	}
	allocate(b, file(0), size, percent, piece)
	p.virsh(0, "pool-refresh", "default")
	allocated := func(f string) int64 {
		var st syscall.Stat_t
		if err := syscall.Stat(f, &st); err != nil {
			b.Fatal(err)
		}
		return st.Blocks * 512
	}
	before, whole := allocated(file(0)), sum(b, file(0))
	for b.Loop() {
		var wires, disks, ours []float64
		for at := range 2 { // there and back
			wires = append(wires, wire(b, p.lab, 1<<30))
			disks = append(disks, disk(b, file(at), before))
			syscall.Sync()
			d := timed(func() {
				p.change("/api/v1/vms/"+id+"/migrate", map[string]any{"host": p.ids[1-at], "mode": "cold"})
				syscall.Sync()
			})
			ours = append(ours, rate(before, d))
			if after := allocated(file(1 - at)); after > before+before/100 {
				b.Errorf("%d bytes are allocated after the move, %d were before", after, before)
			}
			if sum(b, file(1-at)) != whole {
				b.Error("the copy is not the same")
			}
		}
		o, w, d := mean(ours), mean(wires), mean(disks)
		b.ReportMetric(o/min(w, d), "throughput-ratio")
		b.ReportMetric(float64(allocated(file(0)))/float64(before), "allocated-ratio")
		b.Logf("%d MiB of %d allocated: the move %.0f MiB/s, the wire %.0f MiB/s, the disk %.0f MiB/s (%s)", before>>20, size>>20, o, w, d, host.Name)
	}
}

func mean(f []float64) (out float64) {
	for _, x := range f {
		out += x / float64(len(f))
	}
	return out
}

// allocate fills so many percent of a sparse file, in pieces with holes between.
func allocate(b *testing.B, file string, size, percent, piece int64) {
	b.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	r := rand.NewChaCha8([32]byte{7})
	buf := make([]byte, piece)
	for at, filled := int64(0), int64(0); at < size; at += piece {
		if filled*100 > (at+piece)*percent {
			continue
		}
		filled += piece
		if _, err := r.Read(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := f.WriteAt(buf, at); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// sum is over what a file holds; its holes only count by their places.
func sum(b *testing.B, file string) string {
	b.Helper()
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	h, buf := sha256.New(), make([]byte, 1<<20)
	const seekData = 3
	for at := int64(0); ; {
		data, err := f.Seek(at, seekData)
		if errors.Is(err, syscall.ENXIO) { // the rest is a hole
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		at = data &^ (1<<20 - 1)
		n, err := f.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			b.Fatal(err)
		}
		if !bytes.Equal(buf[:n], make([]byte, n)) {
			fmt.Fprint(h, at, " ")
			h.Write(buf[:n])
		}
		at += int64(n)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// wire is how many MiB a second one connection carries from the first host to the second.
func wire(b *testing.B, l *lab.Lab, bytes int64) float64 {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	addr := l.Hosts[1].Addr + ":47000"
	took := make(chan error, 1)
	go func() {
		_, err := l.Hosts[1].Exec(ctx, "env", wireEnv+"=take "+addr+" 0", exe)
		took <- err
	}()
	d := timed(func() {
		if _, err := l.Hosts[0].Exec(ctx, "env", fmt.Sprintf("%s=send %s %d", wireEnv, addr, bytes), exe); err != nil {
			b.Fatal(err)
		}
		if err := <-took; err != nil {
			b.Fatal(err)
		}
	})
	return rate(bytes, d)
}

// disk is how many MiB a second go from a file to another one beside it and onto the disk.
func disk(b *testing.B, from string, bytes int64) float64 {
	b.Helper()
	to := from + ".disk"
	defer os.Remove(to)
	syscall.Sync()
	return rate(bytes, timed(func() {
		if out, err := exec.Command("cp", "--sparse=always", "--reflink=never", from, to).CombinedOutput(); err != nil {
			b.Fatal(err, string(out))
		}
		syscall.Sync()
	}))
}
