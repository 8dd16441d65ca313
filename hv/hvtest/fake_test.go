package hvtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFakeKeepsTheContract(t *testing.T) {
	f := hvtest.NewFake(hvtest.FakeOptions{})
	hvtest.Contract(t, func(t *testing.T) hv.Host {
		h, err := f.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}, hvtest.Options{
		Driver: "FAKE", Network: "default", HotPlug: true, Obeys: true, Consoles: true,
		Spec: func(t *testing.T) domain.VMSpec {
			f.AddVolume(domain.Volume{Pool: "default", Name: "boot.raw", Format: "raw"})
			return domain.VMSpec{VCPUs: 1, MemoryBytes: 64 * domain.MiB, Disks: []domain.Disk{{Source: "/var/lib/libvirt/images/boot.raw"}}, NICs: []domain.NIC{{Network: "default", MAC: domain.NewMAC()}}}
		},
		Silence: func(*testing.T, hv.Host) func() { return f.Hang("Guests") },
	})
	if n := len(f.AllGuests()); n != 0 {
		t.Errorf("%d guests are left", n)
	}
	if vs := f.AllVolumes(); len(vs) != 1 {
		t.Errorf("volumes left: %+v", vs)
	}
}

func TestFakeKeepsTheContractOfNetworks(t *testing.T) {
	f := hvtest.NewFake(hvtest.FakeOptions{})
	hvtest.ContractNets(t, func(t *testing.T) hv.Host {
		h, err := f.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}, hvtest.Options{Driver: "FAKE", HotPlug: true, Limits: true})
	if n, fs := f.AllNetworks(), f.AllFilters(); len(n) != 1 || len(fs) != 0 {
		t.Errorf("left are the networks %v and the filters %v", n, fs)
	}
}

const adopted = `<domain type='qemu'><name>old</name><uuid>11111111-1111-4111-8111-111111111111</uuid><memory unit='MiB'>64</memory><devices><graphics type='vnc'/></devices></domain>`

const adoptedID = "11111111-1111-4111-8111-111111111111"

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		f := hvtest.NewFake(hvtest.FakeOptions{})
		spec := domain.VMSpec{Name: "a", UUID: domain.NewUUID(), VCPUs: 1, MemoryBytes: domain.GiB}
		boom := errors.New("boom")
		f.Fail("Define", boom, 1)
		if _, err := f.Define(ctx, spec); err != boom || len(f.AllGuests()) != 0 {
			t.Fatal(err, f.AllGuests())
		}
		f.FailAfter("Define", boom, 1)
		if _, err := f.Define(ctx, spec); err != boom || len(f.AllGuests()) != 1 {
			t.Fatal(err, f.AllGuests())
		}
		if _, err := f.Define(ctx, spec); err != nil {
			t.Fatal(err)
		}
		f.Fail("*", boom, -1)
		if f.Start(ctx, spec.UUID) != boom || f.Ping(ctx) != boom || f.Start(ctx, spec.UUID) != boom {
			t.Error("a fault for every op lets one pass")
		}
		f.Clear()
		if err := f.Start(ctx, spec.UUID); err != nil || f.Calls("Start") != 3 || f.Calls("Define") != 3 {
			t.Error(err, f.Calls("Start"), f.Calls("Define"))
		}

		release := f.Hang("Stop")
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if err := f.Stop(short, spec.UUID); !domain.Is(err, domain.Unavailable) {
			t.Error(err)
		}
		got := make(chan error)
		go func() { got <- f.Stop(ctx, spec.UUID) }()
		synctest.Wait()
		release()
		release()
		if err := <-got; err != nil || f.AllGuests()[0].State != domain.VMStopped {
			t.Error(err)
		}
		if err := f.Start(ctx, spec.UUID); err != nil {
			t.Error(err)
		}
	})
}

func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		f := hvtest.NewFake(hvtest.FakeOptions{Name: "h1"})
		h, steps, err := f.Dial(ctx, hv.Target{})
		if err != nil || len(steps) != 1 || !steps[0].OK || f.Connections() != 1 {
			t.Fatal(err, steps)
		}
		if facts, err := h.Facts(ctx); err != nil || facts.Hostname != "h1" || facts.StorageFreeBytes == 0 {
			t.Error(err, facts)
		}
		f.SetFacts(func(x *domain.HostFacts) { x.CPUs = 3 })
		if facts, _ := h.Facts(ctx); facts.CPUs != 3 {
			t.Error(facts.CPUs)
		}
		done, err := h.Events(ctx, func(hv.Event) {})
		if err != nil || f.Streams() != 1 {
			t.Fatal(err)
		}
		release := f.Hang("Guests")
		hung := make(chan error)
		go func() { _, err := h.Guests(ctx); hung <- err }()
		synctest.Wait()
		f.Disconnect()
		<-done
		if err := <-hung; !domain.Is(err, domain.Unavailable) {
			t.Error(err)
		}
		release()
		if err := h.Ping(ctx); !domain.Is(err, domain.Unavailable) || f.Ping(ctx) != nil {
			t.Error(err)
		}
		f.SetDown(true)
		if _, steps, err := f.Dial(ctx, hv.Target{}); !domain.Is(err, domain.Unavailable) || len(steps) != 1 || steps[0].OK {
			t.Error(err, steps)
		}
		if !domain.Is(f.Ping(ctx), domain.Unavailable) {
			t.Error("the host answers while down")
		}
		f.SetDown(false)
		f.Fail("Events", errors.New("no"), 1)
		if _, err := f.Events(ctx, func(hv.Event) {}); err == nil || f.Streams() != 0 {
			t.Error(err)
		}
		if _, err := f.Connect(ctx); err != nil {
			t.Error(err)
		}
		fleet := hvtest.Fleet{"a": f, "b": nil}
		if h, err := fleet.Host("a"); err != nil || h != hv.Host(f) {
			t.Error(err)
		}
		_, away := fleet.Host("b")
		_, none := fleet.Host("c")
		if !domain.Is(away, domain.Unavailable) || !domain.Is(none, domain.NotFound) {
			t.Error(away, none)
		}
	})
}

func TestWhatOthersDo(t *testing.T) {
	ctx := t.Context()
	f := hvtest.NewFake(hvtest.FakeOptions{Clock: func() time.Time { return time.Unix(1, 0) }})
	var mu sync.Mutex
	var heard []string
	more := make(chan struct{}, 100)
	done, err := f.Events(ctx, func(ev hv.Event) {
		mu.Lock()
		heard = append(heard, fmt.Sprint(ev.Kind, " ", ev.State, " ", ev.Name, " ", ev.At.Unix()))
		mu.Unlock()
		more <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	id := f.AddGuest(adopted, domain.VMRunning)
	f.SetState(id, domain.VMCrashed, "the guest panicked")
	f.SetState("nobody", domain.VMCrashed, "")
	tid := f.AddTransient(strings.NewReplacer("old", "passing", "1111", "2222").Replace(adopted))
	if g, err := f.Guest(ctx, tid); err != nil || g.Persistent {
		t.Error(g, err)
	}
	if err := f.Stop(ctx, tid); err != nil {
		t.Error(err)
	}
	if _, err := f.Guest(ctx, tid); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	f.Emit(hv.Event{Kind: hv.GuestTrouble, Name: "x"})
	want := []string{
		"guest.defined  old 1", "guest.state running old 1", "guest.state crashed old 1", "guest.defined  passing 1", "guest.state running passing 1",
		"guest.state stopped passing 1", "guest.gone  passing 1", "guest.trouble  x 1",
	}
	for range want {
		<-more
	}
	if fmt.Sprint(heard) != fmt.Sprint(want) {
		t.Errorf("heard %q", heard)
	}
	if g, _ := f.Guest(ctx, id); g.XML != adopted || g.State != domain.VMCrashed || g.Reason != "the guest panicked" {
		t.Errorf("%+v", g)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	<-done
}

func TestReasonsNotToStart(t *testing.T) {
	ctx := t.Context()
	f := hvtest.NewFake(hvtest.FakeOptions{})
	f.AddNetwork(domain.Network{Name: "down"})
	f.AddDevice(domain.Device{Name: "pci_1"})
	for _, c := range []struct {
		change func(*domain.VMSpec)
		code   domain.Code
	}{
		{func(s *domain.VMSpec) { s.MemoryBytes = domain.TiB }, domain.Exhausted},
		{func(s *domain.VMSpec) { s.Disks = []domain.Disk{{Source: "/var/lib/libvirt/images/none.qcow2"}} }, domain.Conflict},
		{func(s *domain.VMSpec) { s.NICs = []domain.NIC{{Network: "down", MAC: domain.NewMAC()}} }, domain.Conflict},
		{func(s *domain.VMSpec) { s.Disks = []domain.Disk{{Source: "/elsewhere/x.qcow2"}} }, ""},
	} {
		s := domain.VMSpec{UUID: domain.NewUUID(), VCPUs: 1, MemoryBytes: domain.GiB}
		s.Name = s.UUID
		c.change(&s)
		if _, err := f.Define(ctx, s); err != nil {
			t.Fatal(err)
		}
		if err := f.Start(ctx, s.UUID); domain.CodeOf(err) != c.code {
			t.Errorf("%v, want %s", err, c.code)
		}
	}
	if _, err := f.Define(ctx, domain.VMSpec{Name: "v", UUID: domain.NewUUID(), Disks: []domain.Disk{{Pool: "default", Volume: "none"}}}); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	f.AddPool(domain.Pool{Name: "idle"})
	if _, err := f.CreateVolume(ctx, hv.VolumeSpec{Pool: "idle", Name: "x"}); !domain.Is(err, domain.Conflict) {
		t.Error(err)
	}
	inv, err := f.Inventory(ctx)
	if err != nil || len(inv.Pools) != 2 || len(inv.Networks) != 2 || len(inv.Devices) != 1 {
		t.Errorf("%+v, %v", inv, err)
	}
	e := hvtest.NewFake(hvtest.FakeOptions{Empty: true})
	for _, want := range []bool{true, false} {
		if made, err := e.EnsureDefaultPool(ctx); err != nil || made != want {
			t.Error(made, err)
		}
	}
}

func TestDeafGuest(t *testing.T) {
	ctx := t.Context()
	f := hvtest.NewFake(hvtest.FakeOptions{})
	id := f.AddGuest(adopted, domain.VMRunning)
	f.IgnoreShutdown(id, true)
	if err := f.Shutdown(ctx, id); err != nil || f.AllGuests()[0].State != domain.VMRunning {
		t.Error(err)
	}
	f.IgnoreShutdown(id, false)
	if err := f.Shutdown(ctx, id); err != nil || f.AllGuests()[0].State != domain.VMStopped {
		t.Error(err)
	}
}

func TestSerialLine(t *testing.T) {
	ctx := t.Context()
	f := hvtest.NewFake(hvtest.FakeOptions{})
	if f.SerialLine("nobody") != nil {
		t.Error("nobody has a line")
	}
	f.AddGuest(adopted, domain.VMRunning)
	guest := f.SerialLine(adoptedID)
	io.WriteString(guest, "login: ")
	c, err := f.Serial(ctx, adoptedID)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 7)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "login: " {
		t.Errorf("%q %v", b, err)
	}
	io.WriteString(c, "root\n")
	if line, err := bufio.NewReader(guest).ReadString('\n'); err != nil || line != "root\n" {
		t.Errorf("%q %v", line, err)
	}
	io.WriteString(guest, strings.Repeat("x", 100<<10)) // nobody reads: old output goes
	f.SetState(adoptedID, domain.VMStopped, "")
	if _, err := c.Read(b); err != io.EOF {
		t.Error(err)
	}
	if _, err := c.Write(b); err == nil {
		t.Error("wrote to a stopped guest")
	}
	c.Close()
}

func TestScreen(t *testing.T) {
	ctx := t.Context()
	f := hvtest.NewFake(hvtest.FakeOptions{})
	f.AddGuest(adopted, domain.VMRunning)
	s, err := f.Graphics(ctx, adoptedID)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Conn.Close()
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(s.Conn, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	write := func(b ...byte) {
		if _, err := s.Conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	read(12)
	write([]byte("RFB 003.008\n")...)
	if got := read(2); got[1] != 1 {
		t.Fatalf("security %v", got)
	}
	write(1)
	read(4)
	write(1)
	if head := read(24); head[1] != 64 || head[3] != 48 || string(read(int(head[23]))) != "old" {
		t.Fatalf("%v", head)
	}
	write(append([]byte{0}, make([]byte, 19)...)...)
	write(2, 0, 0, 1, 0, 0, 0, 0)
	write(4, 1, 0, 0, 0, 0, 0, 65)
	write(5, 0, 0, 1, 0, 1)
	write(6, 0, 0, 0, 0, 0, 0, 2, 'h', 'i')
	write(3, 1, 0, 0, 0, 0, 0, 64, 0, 48) // incremental: nothing new
	write(3, 0, 0, 0, 0, 0, 0, 64, 0, 48)
	if got := read(16 + 4*64*48); got[0] != 0 || got[3] != 1 || got[16] != 0x80 {
		t.Errorf("%v", got[:20])
	}
	write(99)
	if _, err := s.Conn.Read(make([]byte, 1)); err == nil {
		t.Error("it goes on after nonsense")
	}
	headless := f.AddGuest(strings.NewReplacer("<graphics type='vnc'/>", "", "1111", "3333", "old", "headless").Replace(adopted), domain.VMRunning)
	if _, err := f.Graphics(ctx, headless); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
}

func TestFakesKeepTheContractOfMigration(t *testing.T) {
	hvtest.MigrationContract(t, func(t *testing.T) hvtest.MigrationPair {
		from, to := hvtest.NewFake(hvtest.FakeOptions{Name: "from"}), hvtest.NewFake(hvtest.FakeOptions{Name: "to"})
		const uri = "qemu+tcp://to/system"
		from.Reach(uri, to)
		return hvtest.MigrationPair{
			From: from, To: to, FromURI: "qemu+tcp://from/system", ToURI: uri,
			Spec: func(t *testing.T) domain.VMSpec {
				from.AddVolume(domain.Volume{Pool: "default", Name: "disk.raw", Format: "raw", CapacityBytes: domain.MiB})
				return domain.VMSpec{VCPUs: 1, MemoryBytes: 64 * domain.MiB, Disks: []domain.Disk{{Source: "/var/lib/libvirt/images/disk.raw", Format: "raw", Bus: "virtio"}}}
			},
			Share: func(t *testing.T, path string) {
				to.AddVolume(domain.Volume{Pool: "default", Name: "disk.raw", Path: path, Format: "raw", CapacityBytes: domain.MiB})
			},
		}
	})
}
