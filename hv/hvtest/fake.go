package hvtest

import (
	"context"
	"io"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// Options shapes a fake host; the zero value is a QEMU host with KVM, 16 CPUs, 64 GiB, an active pool "default" and a network "default".
type FakeOptions struct {
	Name  string // host name in the facts
	Facts *domain.HostFacts
	Clock func() time.Time
	Empty bool // no pool and no network
}

// Fake is one in-memory host. It is itself a connection to that host (closing it only ends its event streams), gives more with
// Connect, and dials itself as a Dialer. Safe for concurrent use.
type Fake struct {
	hv.Host
}

// NewFake makes a host.
func NewFake(opt FakeOptions) *Fake { return &Fake{} }

// Connect opens another connection.
func (f *Fake) Connect(ctx context.Context) (hv.Host, error) { return nil, nil }

// Dial implements hv.Dialer: every target leads to this host.
func (f *Fake) Dial(ctx context.Context, t hv.Target) (hv.Host, []domain.ConnectionStep, error) {
	return nil, nil, nil
}

// Fail makes the next times calls of op ("Start", "CreateVolume", "Dial" …; "*" is every op) fail with err before anything is done; times < 0 is for ever.
func (f *Fake) Fail(op string, err error, times int) {}

// FailAfter is Fail, but the work is done and only the answer is lost.
func (f *Fake) FailAfter(op string, err error, times int) {}

// Hang makes calls of op block until their context ends (Unavailable) or release is called.
func (f *Fake) Hang(op string) (release func()) { return func() {} }

// Clear removes all faults.
func (f *Fake) Clear() {}

// Disconnect breaks all connections: event streams end, calls on them answer Unavailable for ever. The Fake's own connection survives.
func (f *Fake) Disconnect() {}

// SetDown makes Dial and Connect fail while down, and disconnects.
func (f *Fake) SetDown(down bool) {}

// Calls counts how often op was called.
func (f *Fake) Calls(op string) int { return 0 }

// AllGuests and AllVolumes look at the host without going through faults, in the order of names.
func (f *Fake) AllGuests() []domain.Guest   { return nil }
func (f *Fake) AllVolumes() []domain.Volume { return nil }

// SetState moves a guest as something outside would (the guest itself, a crash, virsh), with the event.
func (f *Fake) SetState(uuid string, s domain.VMState, reason string) {}

// IgnoreShutdown makes a guest deaf to Shutdown.
func (f *Fake) IgnoreShutdown(uuid string, deaf bool) {}

// AddPool, AddNetwork and AddVolume put things on the host as an administrator would.
func (f *Fake) AddPool(p domain.Pool)       {}
func (f *Fake) AddNetwork(n domain.Network) {}
func (f *Fake) AddVolume(v domain.Volume)   {}
func (f *Fake) AddDevice(d domain.Device)   {}

// Emit sends an event as it is to all streams.
func (f *Fake) Emit(ev hv.Event) {}

// SerialLine gives the guest's end of its serial line.
func (f *Fake) SerialLine(uuid string) io.ReadWriter { return nil }

// Fleet is a fixed set of hosts that implements hv.Fleet; a nil host is away.
type Fleet map[string]hv.Host

// Host implements hv.Fleet.
func (f Fleet) Host(id string) (hv.Host, error) {
	h, ok := f[id]
	switch {
	case !ok:
		return nil, domain.Errorf(domain.NotFound, "There is no host %s.", id)
	case h == nil:
		return nil, domain.Errorf(domain.Unavailable, "The host %s is away.", id).WithFix("Wait for it to come back.")
	}
	return h, nil
}
