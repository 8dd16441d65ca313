package libvirt

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// echoSpec is the guest that answers on its serial line.
func echoSpec(t *testing.T, name string) domain.VMSpec {
	t.Helper()
	kernel, initrd, err := daemon(t).EchoGuest()
	must(t, err)
	return domain.VMSpec{Name: name, UUID: domain.NewUUID(), VCPUs: 1, MemoryBytes: 128 * domain.MiB, Machine: "pc", Graphics: "none",
		Boot: domain.Boot{Kernel: kernel, Initrd: initrd, Cmdline: "console=ttyS0 quiet"}}
}

func waitLine(t *testing.T, lines <-chan string, want string) {
	t.Helper()
	timeout := time.After(3 * time.Minute)
	for {
		select {
		case l, ok := <-lines:
			if !ok {
				t.Fatalf("the console ended before %q", want)
			}
			if strings.Contains(l, want) {
				return
			}
		case <-timeout:
			t.Fatalf("no %q on the console", want)
		}
	}
}

func readLines(r io.Reader) <-chan string {
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(r)
		for s.Scan() {
			lines <- s.Text()
		}
	}()
	return lines
}

func TestSerialConsoleBothWays(t *testing.T) {
	d := daemon(t)
	h := dialURI(t, d.UnixURI())
	rec := record(t, dialURI(t, d.UnixURI()))
	spec := echoSpec(t, "echo")
	defined(t, h, spec)
	ctx := ctxFor(t, 5*time.Minute)
	if _, err := h.Serial(ctx, spec.UUID); !domain.Is(err, domain.Conflict) {
		t.Errorf("console of a stopped guest: %v", err)
	}
	must(t, h.Start(ctx, spec.UUID))
	if _, err := h.Graphics(ctx, spec.UUID); !domain.Is(err, domain.Unsupported) {
		t.Errorf("screen of a guest without one: %v", err)
	}
	opening, cancel := context.WithCancel(ctx)
	first, err := h.Serial(opening, spec.UUID)
	must(t, err)
	cancel() // the stream outlives the request that opened it
	lines := readLines(first)
	waitLine(t, lines, "ready")
	fmt.Fprint(first, "hello\n")
	waitLine(t, lines, "echo: hello")

	second, err := h.Serial(ctx, spec.UUID) // takes over
	must(t, err)
	defer second.Close()
	for range lines { // the first one ends
	}
	first.Close()
	lines = readLines(second)
	fmt.Fprint(second, "again\n")
	waitLine(t, lines, "echo: again")
	fmt.Fprint(second, "off\n")
	if e := rec.await(t, spec.UUID, hv.GuestState, "shut down by the guest"); e.State != domain.VMStopped {
		t.Errorf("%+v", e)
	}
	for range lines {
	}
	if s := state(t, h, spec.UUID); s.State != domain.VMStopped || s.Reason != "shut down by the guest" {
		t.Errorf("%+v", s)
	}
}

func TestPPMBecomesPNG(t *testing.T) {
	out, err := toPNG([]byte("P6\n# made by hand\n2 1\n255\n\x01\x02\x03\xff\x00\x80"))
	must(t, err)
	img, err := png.Decode(bytes.NewReader(out))
	must(t, err)
	if got := color.RGBAModel.Convert(img.At(1, 0)); got != (color.RGBA{255, 0, 128, 255}) {
		t.Errorf("second pixel %v", got)
	}
	for _, bad := range []string{"", "P5\n1 1\n255\n...", "P6\n2 2\n255\nabc", "P6\n# endless", "P6\nx", "P6\n1 1\n65535\n......", "P6 0 0 255 "} {
		if _, err := toPNG([]byte(bad)); !domain.Is(err, domain.Unsupported) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
