package e2e

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"novacron/e2e/lab"
	"novacron/e2e/server"
)

// figure is one thing that libvirt tells and NovaCron measures.
type figure struct {
	virsh   string // as virsh domstats calls it
	metric  string
	factor  float64 // from libvirt's unit to the metric's
	counter bool
	steady  bool // the guest's load makes it grow all the time: its rate is looked at too
}

var figures = []figure{
	{"cpu.time", "novacron_vm_cpu_seconds_total", 1e-9, true, true},
	{"cpu.user", "novacron_vm_cpu_user_seconds_total", 1e-9, false, false}, // the kernel divides the time by ticks, and corrects itself
	{"cpu.system", "novacron_vm_cpu_system_seconds_total", 1e-9, false, false},
	{"vcpu.0.time", "novacron_vm_vcpu_seconds_total", 1e-9, true, true},
	{"vcpu.0.delay", "novacron_vm_vcpu_delay_seconds_total", 1e-9, true, false},
	{"vcpu.current", "novacron_vm_vcpus", 1, false, false},
	{"balloon.current", "novacron_vm_memory_balloon_bytes", 1024, false, false},
	{"balloon.maximum", "novacron_vm_memory_maximum_bytes", 1024, false, false},
	{"balloon.rss", "novacron_vm_memory_resident_bytes", 1024, false, false},
	{"balloon.available", "novacron_vm_memory_available_bytes", 1024, false, false},
	{"balloon.unused", "novacron_vm_memory_unused_bytes", 1024, false, false},
	{"balloon.usable", "novacron_vm_memory_usable_bytes", 1024, false, false},
	{"balloon.disk_caches", "novacron_vm_memory_disk_caches_bytes", 1024, false, false},
	{"net.0.rx.bytes", "novacron_vm_network_receive_bytes_total", 1, true, false},
	{"net.0.rx.pkts", "novacron_vm_network_receive_packets_total", 1, true, false},
	{"net.0.tx.bytes", "novacron_vm_network_transmit_bytes_total", 1, true, true},
	{"net.0.tx.pkts", "novacron_vm_network_transmit_packets_total", 1, true, true},
	{"block.0.rd.reqs", "novacron_vm_disk_reads_total", 1, true, false},
	{"block.0.rd.bytes", "novacron_vm_disk_read_bytes_total", 1, true, false},
	{"block.0.rd.times", "novacron_vm_disk_read_seconds_total", 1e-9, true, false},
	{"block.0.wr.reqs", "novacron_vm_disk_writes_total", 1, true, true},
	{"block.0.wr.bytes", "novacron_vm_disk_written_bytes_total", 1, true, true},
	{"block.0.wr.times", "novacron_vm_disk_write_seconds_total", 1e-9, true, false},
	{"block.0.fl.reqs", "novacron_vm_disk_flushes_total", 1, true, false},
	{"block.0.fl.times", "novacron_vm_disk_flush_seconds_total", 1e-9, true, false},
	{"block.0.capacity", "novacron_vm_disk_capacity_bytes", 1, false, false},
	{"block.0.allocation", "novacron_vm_disk_allocation_bytes", 1, false, false},
	{"block.0.physical", "novacron_vm_disk_physical_bytes", 1, false, false},
}

// reading is what virsh told between two moments.
type reading struct {
	began, ended time.Time
	values       map[string]float64
}

func domstats(ctx context.Context, host *lab.Host, guest string) (reading, error) {
	r := reading{began: time.Now(), values: map[string]float64{}}
	out, err := hosts.Virsh(ctx, host, "domstats", "--raw", guest)
	r.ended = time.Now()
	for line := range strings.Lines(out) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), "=")
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			r.values[name] = v
		}
	}
	return r, err
}

// dot is a sample as it is kept.
type dot struct {
	at time.Time
	v  float64
}

// kept gives the samples of the one series that a selector chooses, since a time.
func (e *estate) kept(selector string, since time.Time) ([]dot, error) {
	var res struct {
		Data struct {
			Result []struct{ Values [][2]any }
		}
	}
	now := time.Now()
	q := fmt.Sprintf("%s[%dms]", selector, now.Sub(since).Milliseconds())
	if _, err := e.api.Do("GET", "/api/v1/query?"+url.Values{"query": {q}, "time": {moment(now)}}.Encode(), nil, &res); err != nil {
		return nil, err
	}
	if len(res.Data.Result) != 1 {
		return nil, fmt.Errorf("%s: %d series", q, len(res.Data.Result))
	}
	var out []dot
	for _, p := range res.Data.Result[0].Values {
		at, _ := p[0].(float64)
		v, err := strconv.ParseFloat(fmt.Sprint(p[1]), 64)
		if err != nil {
			return nil, err
		}
		out = append(out, dot{time.UnixMilli(int64(math.Round(at * 1000))), v})
	}
	return out, nil
}

func moment(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// bracket is a sample with what virsh told of it at last before its scrape began, and first after the scrape had ended.
type bracket struct {
	dot
	before, after float64
}

// brackets are the samples of a figure that virsh was asked about before and after.
func (e *estate) brackets(f figure, host, vm string, since time.Time, all []reading) ([]bracket, error) {
	dots, err := e.kept(fmt.Sprintf("%s{vm_id=%q}", f.metric, vm), since)
	if err != nil {
		return nil, err
	}
	durations, err := e.kept(fmt.Sprintf("novacron_host_scrape_duration_seconds{host=%q}", host), since)
	if err != nil {
		return nil, err
	}
	took := map[int64]time.Duration{}
	for _, d := range durations {
		took[d.at.UnixMilli()] = time.Duration(d.v * float64(time.Second))
	}
	var out []bracket
	for _, d := range dots {
		lasted, known := took[d.at.UnixMilli()]
		b, found := bracket{dot: d}, false
		for _, r := range all {
			v, told := r.values[f.virsh]
			if !told || !known {
				continue
			}
			if r.ended.Before(d.at) {
				b.before, found = v*f.factor, true
			} else if r.began.After(d.at.Add(lasted + time.Millisecond)) { // a sample's time is kept in milliseconds
				if b.after = v * f.factor; found {
					out = append(out, b)
				}
				break
			}
		}
	}
	return out, nil
}

// slope is how fast a figure grew between its first and its last sample: at the least and at the most, as virsh has it.
func slope(all []bracket) (least, most float64) {
	first, last := all[0], all[len(all)-1]
	over := last.at.Sub(first.at).Seconds()
	return (last.before - first.after) / over, (last.after - first.before) / over
}

const near = 0.02 // how far apart the figures may be

// What is kept of a guest that loads its processor, disk, network and memory is what virsh tells: each sample lies between what virsh told just before and just
// after its scrape, and the rate that a chart shows is virsh's to 2 %.
func TestFiguresAreThoseOfVirsh(t *testing.T) {
	e := measuredBy(t, 0)
	h := hosts.Hosts[0]
	req := e.guest(t, "metered", e.hosts[0], 16<<20)
	boot := req["boot"].(map[string]any)
	boot["cmdline"] = lab.Cmdline + " labip=192.168.122.61/24 labbeat=192.168.122.1 labdirty=6 labwrite=64"
	v := e.create(t, req)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	read := func() reading {
		t.Helper()
		r, err := domstats(ctx, h, "metered")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	server.Wait(t, 2*time.Minute, "the guest to be at work", func() error {
		if r := read(); r.values["block.0.wr.reqs"] < 10 || r.values["net.0.tx.pkts"] < 100 {
			return server.Not("writes and packets", r.values)
		}
		return nil
	})
	virsh(t, 0, "setmem", "metered", "160M", "--live")
	server.Wait(t, time.Minute, "the balloon to have taken the rest", func() error {
		if kib := read().values["balloon.current"]; kib != 160<<10 {
			return server.Not(160<<10, kib)
		}
		return nil
	})

	// The longer it lasts, the closer together are the least and the most that virsh's readings allow.
	began, all := time.Now(), []reading{read()}
	told := func(f figure) bool {
		_, is := all[0].values[f.virsh]
		return is
	}
	found := map[string][]bracket{}
	server.Wait(t, 3*time.Minute, "virsh to be asked long enough for rates to be compared", func() error {
		for next := time.Now().Add(10 * time.Second); time.Now().Before(next); {
			all = append(all, read())
		}
		for _, f := range figures {
			if !told(f) {
				continue // not by this libvirt
			}
			b, err := e.brackets(f, h.Name, v.ID, began, all)
			if err != nil {
				return err
			}
			if found[f.metric] = b; len(b) < 5 {
				return fmt.Errorf("%s: %d samples", f.virsh, len(b))
			}
			if least, most := slope(b); f.steady && (most-least)/2 > near*(most+least)/2 {
				return fmt.Errorf("%s: between %g and %g a second", f.virsh, least, most)
			}
		}
		return nil
	})
	for _, f := range figures {
		if !told(f) {
			if f.steady {
				t.Errorf("virsh does not tell %s", f.virsh)
			}
			continue
		}
		of := found[f.metric]
		for _, b := range of {
			least, most := min(b.before, b.after), max(b.before, b.after)
			if f.counter { // what only grows is between them, but for how numbers are written
				least, most = least*(1-1e-9), most*(1+1e-9)
			} else {
				least, most = least*(1-near), most*(1+near)
			}
			if b.v < least || b.v > most {
				t.Errorf("%s at %s is %g; virsh tells %s from %g to %g", f.metric, b.at.Format(time.StampMilli), b.v, f.virsh, b.before, b.after)
			}
		}
		if !f.steady {
			continue
		}
		first, last := of[0].at, of[len(of)-1].at
		got, err := e.one(fmt.Sprintf("rate(%s{vm_id=%q}[%dms])", f.metric, v.ID, last.Sub(first).Milliseconds()+1), last)
		if err != nil {
			t.Fatal(err)
		}
		least, most := slope(of)
		if middle := (least + most) / 2; math.Abs(got-middle) > near*middle {
			t.Errorf("%s grows by %g a second; virsh has %s grow by %g to %g", f.metric, got, f.virsh, least, most)
		}
	}
	if got, err := e.one(fmt.Sprintf("novacron_vm_memory_balloon_bytes{vm_id=%q}", v.ID)); err != nil || got != 160<<20 {
		t.Errorf("the balloon leaves %g bytes: %v", got, err)
	}
	t.Logf("%d figures, %d readings by virsh in %s", len(found), len(all), time.Since(began).Round(time.Second))
}
