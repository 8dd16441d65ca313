package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"novacron/e2e/lab"
	"novacron/e2e/server"
)

// filler is a kernel by the Multiboot specification that fills all memory above 2 MiB with a pattern and halts for ever: the smallest guest that has something to send and costs no
// processor time. After the header: ecx = (mem_upper << 8) - 0x40000 words, edi = 2 MiB, each word 0x6c078965 more than the one before, then cli and hlt.
var filler = []byte{
	0x02, 0xb0, 0xad, 0x1b, 0x00, 0x00, 0x01, 0x00, 0xfe, 0x4f, 0x51, 0xe4, 0x00, 0x00, 0x10, 0x00, // magic, flags (addresses below), checksum, where the header is
	0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x10, 0x00, // loaded at 1 MiB, whole, entered at its byte 32
	0x8b, 0x4b, 0x08, 0xc1, 0xe1, 0x08, 0x81, 0xe9, 0x00, 0x00, 0x04, 0x00, 0xbf, 0x00, 0x00, 0x20,
	0x00, 0xb8, 0xb9, 0x79, 0x37, 0x9e, 0x89, 0x07, 0x05, 0x65, 0x89, 0x07, 0x6c, 0x83, 0xc7, 0x04,
	0x49, 0x75, 0xf3, 0xfa, 0xf4, 0xeb, 0xfc,
}

// A host with 100 small guests that are full of memory is emptied, over a wire of 40 MiB a second: the time over what the bytes alone take, and over virsh moving the same guests back, as many at
// a time. QEMU has to be started for each, so the bound of bytes is met only where that hides behind the copying: the time over the larger of the bytes and of those starts is told too.
func BenchmarkEvacuate(b *testing.B) {
	const memory, rate, atOnce = 64 << 20, 40 << 20, 2
	guests := many(b, "NOVACRON_BENCH_GUESTS", 100)
	p := newPair(b, lab.Options{})
	kernel := filepath.Join(b.TempDir(), "filler")
	if err := os.WriteFile(kernel, filler, 0o644); err != nil {
		b.Fatal(err)
	}
	begin := func(name string, memory int64) {
		file := filepath.Join(b.TempDir(), "guest.xml")
		if err := os.WriteFile(file, fmt.Appendf(nil, `<domain type='qemu'><name>%s</name><memory unit='MiB'>%d</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>%s</kernel></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>`, name, memory>>20, kernel), 0o644); err != nil {
			b.Fatal(err)
		}
		p.virsh(0, "define", file)
		p.virsh(0, "start", name)
	}
	for n := range guests {
		begin(fmt.Sprintf("small%03d", n), memory)
	}
	all := func(host int) {
		server.Wait(b, 2*time.Minute, "every guest to be seen where it is", func() error {
			vms, err := p.api.VMs()
			if err != nil {
				return err
			}
			n := 0
			for _, v := range vms {
				if v.HostID == p.ids[host] && v.State == "running" {
					n++
				}
			}
			if n != guests || len(vms) != guests {
				return server.Not(guests, fmt.Sprintf("%d of %d", n, len(vms)))
			}
			return nil
		})
	}
	all(0)
	for n := range guests {
		p.full(fmt.Sprintf("small%03d", n), memory>>20)
	}
	if err := p.lab.Shape(b.Context(), rate); err != nil {
		b.Fatal(err)
	}
	away := func(name string, from int) time.Duration {
		return timed(func() {
			p.virsh(from, "migrate", "--live", "--p2p", "--persistent", "--undefinesource", "--abort-on-error", "--auto-converge", name, p.lab.Hosts[1-from].URI)
		})
	}
	for b.Loop() {
		// What a guest costs that has next to nothing to send, where nothing else moves: its QEMU is started there, and both daemons define it.
		begin("empty", 8<<20)
		var fixed []time.Duration
		for at := range 2 {
			fixed = append(fixed, away("empty", at))
		}
		each := quantile(fixed, 0.5)
		p.virsh(0, "destroy", "empty")
		p.virsh(0, "undefine", "empty")
		all(0)
		began := time.Now()
		p.change("/api/v1/hosts/"+p.ids[0]+"/evacuate", nil)
		ours := time.Since(began)
		all(1)
		var bytes int64
		for cursor, more := "", true; more; {
			var list struct {
				Items []moved
				Next  *string
			}
			if _, err := p.api.Do("GET", "/api/v1/migrations?limit=500&cursor="+cursor, nil, &list); err != nil {
				b.Fatal(err)
			}
			for _, m := range list.Items {
				bytes += m.Result.Bytes
			}
			if more = list.Next != nil; more {
				cursor = *list.Next
			}
		}
		bound := time.Duration(float64(bytes) / rate * float64(time.Second))
		began = time.Now()
		next := make(chan int)
		var wg sync.WaitGroup
		for range atOnce {
			wg.Go(func() {
				for n := range next {
					away(fmt.Sprintf("small%03d", n), 1)
				}
			})
		}
		for n := range guests {
			next <- n
		}
		close(next)
		wg.Wait()
		theirs := time.Since(began)
		b.ReportMetric(float64(ours)/float64(bound), "bytes-over-bandwidth-ratio")
		b.ReportMetric(float64(ours)/float64(theirs), "virsh-ratio")
		starts := each * time.Duration((guests+atOnce-1)/atOnce)
		b.ReportMetric(float64(ours)/float64(max(bound, starts)), "bytes-or-starts-ratio")
		b.Logf("a guest without content takes %.0f ms by itself, so many, %d at a time, %.1f s", ms(each), atOnce, starts.Seconds())
		b.Logf("%d guests of %d MiB, %d at a time: %.1f s; %d MiB at %d MiB/s take %.1f s, virsh %.1f s", guests, memory>>20, atOnce, ours.Seconds(), bytes>>20, int64(rate)>>20, bound.Seconds(), theirs.Seconds())
		if _, err := p.api.Do("PATCH", "/api/v1/hosts/"+p.ids[0], map[string]any{"maintenance": false}, nil); err != nil {
			b.Fatal(err)
		}
		all(0)
	}
}

// full waits until a guest's process has all of its memory.
func (p *pair) full(name string, mib int64) { p.holds(name, 0, mib-60) }
