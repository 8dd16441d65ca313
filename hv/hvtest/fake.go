package hvtest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// FakeOptions shapes a fake host; the zero value is a QEMU host with KVM, 16 CPUs, 64 GiB, an active pool "default" and a network "default".
type FakeOptions struct {
	Name  string            // host name in the facts
	Facts *domain.HostFacts // instead of the usual ones
	Clock func() time.Time  // nil: the wall clock
	Empty bool              // no pool and no network
	NoKVM bool              // libvirt offers KVM, but the CPU does not show it
}

// Fake is one in-memory host. It is itself a connection to that host (Disconnect ends only the event streams of this one), gives more with
// Connect, and is a Dialer that leads to itself. Safe for concurrent use.
type Fake struct {
	*conn
}

var (
	_ hv.Host   = (*Fake)(nil)
	_ hv.Dialer = (*Fake)(nil)
)

// machine is the host behind its connections.
type machine struct {
	mu      sync.Mutex
	clock   func() time.Time
	facts   domain.HostFacts
	guests  map[string]*guest
	pools   map[string]domain.Pool
	volumes map[string]domain.Volume // by pool/name
	files   files
	ahead   time.Duration   // of its clock
	built   map[string]bool // pools whose devices were written, by UUID

	blockSteps  int
	cpuFeatures []string                   // of its processor, beside its model
	counts      map[domain.Reading]float64 // told by Readings, without their values
	secrets     map[string]string          // by UUID

	nets    map[string]domain.Network
	netrun  map[string]domain.NetworkSpec // what runs, where the definition was changed since
	leases  map[string][]domain.Lease     // by network
	heard   map[string][]domain.Address   // by guest: what the host has seen besides its leases
	filters map[string]domain.Filter
	devices map[string]domain.Device
	faults  []*fault
	hangs   map[string]chan struct{}
	calls   map[string]int
	conns   map[*conn]bool
	streams map[*stream]bool
	down    bool
	peers   map[string]*machine              // by the URI under which guests can be moved there
	moves   map[string]*hv.MigrationProgress // by guest: what is told of a move under way
	data    map[string]string                // what was written to a file, by path
	inside  map[string]map[string]string     // internal snapshots of a file: what was on it, by name
}

type fault struct {
	op    string
	err   error
	left  int
	after bool
}

// conn is one connection to the machine.
type conn struct {
	m    *machine
	own  bool
	gone chan struct{}
	once sync.Once
}

// NewFake makes a host.
func NewFake(opt FakeOptions) *Fake {
	m := &machine{
		clock: opt.Clock, guests: map[string]*guest{}, pools: map[string]domain.Pool{}, volumes: map[string]domain.Volume{}, built: map[string]bool{},
		nets: map[string]domain.Network{}, netrun: map[string]domain.NetworkSpec{}, leases: map[string][]domain.Lease{}, heard: map[string][]domain.Address{}, filters: map[string]domain.Filter{},
		devices: map[string]domain.Device{}, hangs: map[string]chan struct{}{}, calls: map[string]int{},
		conns: map[*conn]bool{}, streams: map[*stream]bool{}, data: map[string]string{}, inside: map[string]map[string]string{},
	}
	if m.clock == nil {
		m.clock = time.Now
	}
	if opt.Facts != nil {
		m.facts = *opt.Facts
	} else {
		m.facts = usualFacts()
	}
	if opt.NoKVM {
		m.facts.KVM = domain.Capability{Why: "The host's CPU shows neither vmx nor svm."}
	}
	m.facts.Hostname = cmp.Or(opt.Name, m.facts.Hostname)
	f := &Fake{&conn{m: m, own: true, gone: make(chan struct{})}}
	if !opt.Empty {
		f.AddPool(defaultPool())
		f.AddNetwork(domain.Network{UUID: domain.NewUUID(), Name: "default", Active: true, Autostart: true, Mode: "nat", Bridge: "virbr0", CIDR: "192.168.122.1/24"})
	}
	return f
}

func usualFacts() domain.HostFacts {
	yes := func(why string) domain.Capability { return domain.Capability{OK: true, Why: why} }
	return domain.HostFacts{
		CPUModels: slices.Clone(ladder),
		Hostname:  "fake", UUID: domain.NewUUID(), Driver: "QEMU", LibvirtVersion: "9.0.0", HypervisorVersion: "7.2.0", Arch: "x86_64", CPUModel: "EPYC-Milan", CPUVendor: "AMD",
		CPUMHz: 3000, CPUs: 16, Sockets: 1, CoresPerSocket: 8, ThreadsPerCore: 2, NUMANodes: 1, MemoryBytes: 64 * domain.GiB,
		KVM: yes("The host's CPU has svm."), KVMOffered: true, UEFI: yes("The host has UEFI firmware for VMs."), SecureBoot: yes("The host has UEFI firmware with secure boot."), TPM: yes("The host emulates a TPM 2.0."),
		Machines: []string{"q35", "pc", "pc-q35-7.2"}, DefaultMachine: "q35", Emulator: "/usr/bin/qemu-system-x86_64", MaxVCPUs: 288, Console: "loopback of the host",
	}
}

func defaultPool() domain.Pool {
	return domain.Pool{
		UUID: domain.NewUUID(), Name: "default", Type: "dir", Active: true, Autostart: true, Target: "/var/lib/libvirt/images",
		CapacityBytes: 500 * domain.GiB, AvailableBytes: 500 * domain.GiB,
	}
}

// Connect opens another connection.
func (f *Fake) Connect(ctx context.Context) (hv.Host, error) {
	if err := f.m.before(ctx, f.conn, "Connect"); err != nil {
		return nil, err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	c := &conn{m: f.m, gone: make(chan struct{})}
	f.m.conns[c] = true
	return c, nil
}

// Dial implements hv.Dialer: every target leads to this host.
func (f *Fake) Dial(ctx context.Context, t hv.Target) (hv.Host, []domain.ConnectionStep, error) {
	err := f.m.before(ctx, f.conn, "Dial")
	var c hv.Host
	if err == nil {
		c, err = f.Connect(ctx)
	}
	if err != nil {
		return nil, []domain.ConnectionStep{{Name: "daemon", Msg: err.Error(), Fix: "Start it."}}, err
	}
	return c, []domain.ConnectionStep{{Name: "daemon", OK: true, Msg: "libvirt answers."}}, nil
}

// Fail makes the next times calls of op ("Start", "CreateVolume", "Dial" …; "*" is every op) fail with err before anything is done; times < 0
// is for ever.
func (f *Fake) Fail(op string, err error, times int) { f.m.fault(&fault{op, err, times, false}) }

// FailAfter is Fail, but the work is done and only the answer is lost.
func (f *Fake) FailAfter(op string, err error, times int) { f.m.fault(&fault{op, err, times, true}) }

func (m *machine) fault(x *fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, x)
}

// Hang makes calls of op block until their context ends (Unavailable) or release is called.
func (f *Fake) Hang(op string) (release func()) {
	ch := make(chan struct{})
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.hangs[op] = ch
	return sync.OnceFunc(func() {
		f.m.mu.Lock()
		defer f.m.mu.Unlock()
		if f.m.hangs[op] == ch {
			delete(f.m.hangs, op)
		}
		close(ch)
	})
}

// Clear removes all faults; calls that hang go on hanging until released.
func (f *Fake) Clear() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.faults, f.m.hangs = nil, map[string]chan struct{}{}
}

// Disconnect breaks all connections: event streams end, calls on them answer Unavailable for ever. The Fake's own connection survives.
func (f *Fake) Disconnect() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.disconnect()
}

func (m *machine) disconnect() {
	for c := range m.conns {
		c.shut()
	}
	clear(m.conns)
	for s := range m.streams {
		s.end()
	}
	clear(m.streams)
}

// SetDown makes Dial, Connect and the Fake's own connection fail while down, and breaks the connections that stand. Guests go on.
func (f *Fake) SetDown(down bool) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.down = down
	if down {
		f.m.disconnect()
	}
}

// Calls counts how often op was called.
func (f *Fake) Calls(op string) int {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.m.calls[op]
}

// Connections counts the connections that stand, without the Fake's own; Streams their event streams and its own.
func (f *Fake) Connections() int {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return len(f.m.conns)
}

// Streams counts the event streams that stand.
func (f *Fake) Streams() int {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return len(f.m.streams)
}

// AllGuests looks at the host without going through faults, in the order of names.
func (f *Fake) AllGuests() []domain.Guest {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.m.list()
}

// AllVolumes looks at the host without going through faults, in the order of names.
func (f *Fake) AllVolumes() []domain.Volume {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return sorted(f.m.volumes)
}

func sorted[V any](m map[string]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

// SetFacts changes what the host says of itself.
func (f *Fake) SetFacts(change func(*domain.HostFacts)) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	change(&f.m.facts)
}

// AddPool, AddNetwork, AddVolume and AddDevice put things on the host as an administrator would.
func (f *Fake) AddPool(p domain.Pool) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.pools[p.Name] = p
}

// AddNetwork puts a network there.
func (f *Fake) AddNetwork(n domain.Network) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.nets[n.Name] = furnished(n)
}

// AddVolume puts a volume there; its path is made from the pool's when empty.
func (f *Fake) AddVolume(v domain.Volume) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	v.Path = cmp.Or(v.Path, f.m.pools[v.Pool].Target+"/"+v.Name)
	f.m.volumes[v.Pool+"/"+v.Name] = v
}

// AddDevice puts a node device there.
func (f *Fake) AddDevice(d domain.Device) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.devices[d.Name] = d
}

// Emit sends an event as it is to all streams.
func (f *Fake) Emit(ev hv.Event) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.emit(ev)
}

func unavailable(msg string) *domain.Error {
	return domain.Errorf(domain.Unavailable, "%s", msg).WithFix("Wait for the host to come back.")
}

// before counts the call and lets it fail, hang or pass.
func (m *machine) before(ctx context.Context, c *conn, op string) error {
	m.mu.Lock()
	m.calls[op]++
	err := m.blocked(c)
	if err == nil {
		err = m.take(op, false)
	}
	hang := m.hangs[op]
	if hang == nil {
		hang = m.hangs["*"]
	}
	m.mu.Unlock()
	if err != nil {
		return err
	}
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
		case <-c.gone:
		}
	}
	if ctx.Err() != nil {
		return unavailable("The host did not answer in time.").WithCause(ctx.Err())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blocked(c)
}

func (m *machine) blocked(c *conn) error {
	select {
	case <-c.gone:
		return unavailable("The connection to the host is closed.")
	default:
	}
	if m.down {
		return unavailable("The host does not answer.")
	}
	return nil
}

func (m *machine) take(op string, after bool) error {
	for _, x := range m.faults {
		if (x.op == op || x.op == "*") && x.left != 0 && x.after == after {
			x.left--
			return x.err
		}
	}
	return nil
}

// do runs one operation with the machine locked.
func do[T any](ctx context.Context, c *conn, op string, fn func(*machine) (T, error)) (T, error) {
	var zero T
	if err := c.m.before(ctx, c, op); err != nil {
		return zero, err
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	v, err := fn(c.m)
	if err == nil {
		err = c.m.take(op, true)
	}
	if err != nil {
		return zero, err
	}
	return v, nil
}

func act(ctx context.Context, c *conn, op string, fn func(*machine) error) error {
	_, err := do(ctx, c, op, func(m *machine) (struct{}, error) { return struct{}{}, fn(m) })
	return err
}

func (c *conn) shut() { c.once.Do(func() { close(c.gone) }) }

// Close implements hv.Host. The Fake's own connection stays usable.
func (c *conn) Close() error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	delete(c.m.conns, c)
	for s := range c.m.streams {
		if s.conn == c {
			s.end()
			delete(c.m.streams, s)
		}
	}
	if !c.own {
		c.shut()
	}
	return nil
}

// Facts implements hv.Host.
func (c *conn) Facts(ctx context.Context) (domain.HostFacts, error) {
	return do(ctx, c, "Facts", func(m *machine) (domain.HostFacts, error) {
		f := m.facts
		f.Machines = slices.Clone(f.Machines)
		f.StorageFreeBytes, f.StorageTotalBytes = 0, 0
		for _, p := range m.pools {
			if p.Active {
				f.StorageFreeBytes += p.AvailableBytes
				f.StorageTotalBytes += p.CapacityBytes
			}
		}
		return f, nil
	})
}

// Ping implements hv.Host.
func (c *conn) Ping(ctx context.Context) error {
	return act(ctx, c, "Ping", func(*machine) error { return nil })
}

// Fleet is a fixed set of hosts that implements hv.Fleet; a nil host is away.
type Fleet map[string]hv.Host

// Host implements hv.Fleet.
func (f Fleet) Host(id string) (hv.Host, error) {
	h, ok := f[id]
	switch {
	case !ok:
		return nil, domain.Errorf(domain.NotFound, "There is no host %s.", id)
	case h == nil:
		return nil, unavailable("The host " + id + " is away.")
	}
	return h, nil
}
