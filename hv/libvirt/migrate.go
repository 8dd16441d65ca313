package libvirt

import (
	"context"
	"math"
	"slices"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

// migrateLimit is how long one migration may take before its connection is given up; the migration itself goes on.
const migrateLimit = 48 * time.Hour

// Migrate uses the peer-to-peer form of virDomainMigrate3: the source daemon connects to the destination and drives all phases, and undefines the
// guest here when it runs there (https://libvirt.org/migration.html).
func (h *host) Migrate(ctx context.Context, uuid string, m hv.Migration) error {
	n, err := h.now(ctx, uuid)
	if err != nil {
		return err
	}
	stands := n.state == golibvirt.DomainPaused && !n.starting && !m.Resume // a guest whose post-copy broke off is paused here, and runs over there
	if !n.runs() && !stands && !m.Resume {
		return n.conflict("moved while it runs")
	}
	params, err := h.migrationParams(ctx, n, m)
	if err != nil {
		return err
	}
	flags := golibvirt.MigrateLive | golibvirt.MigratePeer2peer | golibvirt.MigratePersistDest | golibvirt.MigrateUndefineSource | golibvirt.MigrateAbortOnError
	for _, f := range []struct {
		on   bool
		flag golibvirt.DomainMigrateFlags
	}{
		{len(m.CopyDisks) > 0 && !m.Incremental, golibvirt.MigrateNonSharedDisk}, {len(m.CopyDisks) > 0 && m.Incremental, golibvirt.MigrateNonSharedInc}, {m.Converge, golibvirt.MigrateAutoConverge}, {m.PostCopy, golibvirt.MigratePostcopy},
		{m.Parallel > 1, golibvirt.MigrateParallel}, {m.Compress, golibvirt.MigrateCompressed}, {m.TLS, golibvirt.MigrateTLS}, {m.Tunnel, golibvirt.MigrateTunnelled}, {m.Resume, golibvirt.MigratePostcopyResume}, {m.AllowUnsafe, golibvirt.MigrateUnsafe}, {stands, golibvirt.MigratePaused},
	} {
		if f.on {
			flags |= f.flag
		}
	}
	if m.Downtime > 0 && !m.Resume { // no parameter of the call says it, and QEMU keeps what it was told before
		if err := h.TuneMigration(ctx, uuid, 0, m.Downtime); err != nil {
			return err
		}
	}
	return h.hours(ctx, "move "+n.Name, migrateLimit, func(l *golibvirt.Libvirt) error {
		_, err := l.DomainMigratePerform3Params(n.Domain, golibvirt.OptString{m.URI}, params, nil, flags)
		return err
	})
}

func (h *host) migrationParams(ctx context.Context, n now, m hv.Migration) ([]golibvirt.TypedParam, error) {
	var out []golibvirt.TypedParam
	text := func(name, v string) {
		if v != "" {
			out = append(out, golibvirt.TypedParam{Field: name, Value: *golibvirt.NewTypedParamValueString(v)})
		}
	}
	text(golibvirt.MigrateParamURI, m.DataURI)
	for _, t := range m.CopyDisks {
		text(golibvirt.MigrateParamMigrateDisks, t)
	}
	if m.Bandwidth > 0 {
		mib := uint64(max(1, m.Bandwidth/domain.MiB))
		out = append(out, golibvirt.TypedParam{Field: golibvirt.MigrateParamBandwidth, Value: *golibvirt.NewTypedParamValueUllong(mib)})
	}
	if m.Parallel > 1 {
		// #nosec G115 -- a policy with more than 64 connections is refused
		out = append(out, golibvirt.TypedParam{Field: golibvirt.MigrateParamParallelConnections, Value: *golibvirt.NewTypedParamValueInt(int32(m.Parallel))})
	}
	if m.TLS {
		text(golibvirt.MigrateParamTLSDestination, m.TLSName)
	}
	for _, doc := range []struct {
		name  string
		flags golibvirt.DomainXMLFlags
	}{
		{golibvirt.MigrateParamDestXML, golibvirt.DomainXMLSecure | golibvirt.DomainXMLMigratable},
		{golibvirt.MigrateParamPersistXML, golibvirt.DomainXMLSecure | golibvirt.DomainXMLInactive | golibvirt.DomainXMLMigratable},
	} {
		xml, err := get(ctx, h.conn, "describe "+n.Name, func(l *golibvirt.Libvirt) (string, error) { return l.DomainGetXMLDesc(n.Domain, doc.flags) })
		if err != nil {
			return nil, err
		}
		if xml, err = domxml.Relocate(xml, m); err != nil {
			return nil, err
		}
		text(doc.name, xml)
	}
	return out, nil
}

func (h *host) ScreenAddress() string { return h.address() }

func (h *host) Receive(ctx context.Context, xml string, m hv.Migration) error {
	m.Screen = h.address()
	doc, err := domxml.Relocate(xml, m)
	if err != nil {
		return err
	}
	_, err = h.DefineXML(ctx, doc)
	return err
}

func (h *host) MigrationProgress(ctx context.Context, uuid string) (hv.MigrationProgress, error) {
	p, kind, op, err := h.jobStats(ctx, uuid, 0)
	if domain.Is(err, domain.Conflict) { // it does not run: its QEMU died, or the host had no power for a while
		return p, domain.Errorf(domain.NotFound, "The VM is not being moved now.")
	}
	if err != nil {
		return p, err
	}
	if kind != golibvirt.DomainJobBounded && kind != golibvirt.DomainJobUnbounded || op != golibvirt.DomainJobOperationStrMigrationOut {
		return p, domain.Errorf(domain.NotFound, "The VM is not being moved now.")
	}
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return p, err
	}
	limit, err := get(ctx, h.conn, "tell the longest pause of "+d.Name, func(l *golibvirt.Libvirt) (uint64, error) { return l.DomainMigrateGetMaxDowntime(d, 0) })
	if domain.Is(err, domain.Conflict) || domain.Is(err, domain.Unsupported) { // it ended meanwhile, or the daemon is too old to tell
		return p, nil
	}
	p.DowntimeLimit = time.Duration(signed(limit)) * time.Millisecond
	return p, err
}

func (h *host) MigrationResult(ctx context.Context, uuid string) (hv.MigrationProgress, error) {
	p, kind, op, err := h.jobStats(ctx, uuid, golibvirt.DomainJobStatsCompleted|golibvirt.DomainJobStatsKeepCompleted)
	if err != nil {
		return p, err
	}
	if kind == golibvirt.DomainJobNone || op != golibvirt.DomainJobOperationStrMigrationIn && op != golibvirt.DomainJobOperationStrMigrationOut {
		return p, domain.Errorf(domain.NotFound, "The host keeps no figures of a migration of the VM.")
	}
	return p, nil
}

// jobStats reads virDomainGetJobStats; its fields are named in libvirt-domain.h under VIR_DOMAIN_JOB_*.
func (h *host) jobStats(ctx context.Context, uuid string, flags golibvirt.DomainGetJobStatsFlags) (hv.MigrationProgress, golibvirt.DomainJobType, golibvirt.DomainJobOperation, error) {
	type answer struct {
		kind   int32
		params []golibvirt.TypedParam
	}
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return hv.MigrationProgress{}, 0, 0, err
	}
	got, err := get(ctx, h.conn, "tell the progress of "+d.Name, func(l *golibvirt.Libvirt) (answer, error) {
		kind, params, err := l.DomainGetJobStats(d, flags)
		return answer{kind, params}, err
	})
	if err != nil {
		return hv.MigrationProgress{}, 0, 0, err
	}
	v := map[string]int64{}
	for _, p := range got.params {
		v[p.Field] = integer(p.Value)
	}
	// #nosec G115 -- libvirt's own list of operations, below 20; another number is one that is not known
	return progressOf(v), golibvirt.DomainJobType(got.kind), golibvirt.DomainJobOperation(v[golibvirt.DomainJobOperationStr]), nil
}

func progressOf(v map[string]int64) hv.MigrationProgress {
	ms := func(name string) time.Duration { return time.Duration(v[name]) * time.Millisecond }
	pageSize := max(v[golibvirt.DomainJobMemoryPageSize], 4096)
	elapsed, downtime, skew := ms(golibvirt.DomainJobTimeElapsed), ms(golibvirt.DomainJobDowntime), time.Duration(0)
	// What the destination tells is from the source's clock to its own. Beside it is the same without what lay between one message's leaving and its coming: between two clocks that agree, the
	// way of that message, which belongs to it.
	if _, told := v[golibvirt.DomainJobTimeElapsedNet]; told {
		if skew = elapsed - ms(golibvirt.DomainJobTimeElapsedNet); skew >= domain.ClocksDiffer {
			elapsed -= skew
			downtime = max(downtime-skew, ms(golibvirt.DomainJobDowntimeNet))
		}
	}
	return hv.MigrationProgress{
		Elapsed: elapsed, Downtime: downtime, Skew: skew,
		MemoryTotal: v[golibvirt.DomainJobMemoryTotal], MemoryDone: v[golibvirt.DomainJobMemoryProcessed], MemoryLeft: v[golibvirt.DomainJobMemoryRemaining],
		DiskTotal: v[golibvirt.DomainJobDiskTotal], DiskDone: v[golibvirt.DomainJobDiskProcessed], DiskLeft: v[golibvirt.DomainJobDiskRemaining],
		MemoryRate: v[golibvirt.DomainJobMemoryBps], DiskRate: v[golibvirt.DomainJobDiskBps], DirtyRate: v[golibvirt.DomainJobMemoryDirtyRate] * pageSize,
		Iteration: int(v[golibvirt.DomainJobMemoryIteration]), Throttle: int(v[golibvirt.DomainJobAutoConvergeThrottle]), PostCopyFaults: v[golibvirt.DomainJobMemoryPostcopyReqs],
	}
}

// integer reads a typed parameter that is a whole number of any width.
func integer(v golibvirt.TypedParamValue) int64 {
	switch n := v.I.(type) {
	case int32:
		return int64(n)
	case uint32:
		return int64(n)
	case int64:
		return n
	case uint64:
		return signed(n)
	}
	return 0
}

// signed is a number of libvirt's as ours are: what an int64 cannot hold is the most that it can.
func signed(n uint64) int64 {
	return int64(min(n, math.MaxInt64)) // #nosec G115 -- min has bounded it
}

func (h *host) CancelMigration(ctx context.Context, uuid string) error {
	if _, err := h.MigrationProgress(ctx, uuid); domain.Is(err, domain.NotFound) {
		return h.there(ctx, uuid)
	} else if err != nil {
		return err
	}
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return err
	}
	err = h.slow(ctx, "stop moving "+d.Name, startLimit, func(l *golibvirt.Libvirt) error { return l.DomainAbortJob(d) })
	if domain.Is(err, domain.Conflict) { // it may have ended meanwhile
		if _, look := h.MigrationProgress(ctx, uuid); domain.Is(look, domain.NotFound) {
			return nil
		}
	}
	return err
}

// there is NotFound for a guest that the host does not have.
func (h *host) there(ctx context.Context, uuid string) error {
	_, err := h.lookup(ctx, uuid)
	return err
}

func (h *host) StartPostCopy(ctx context.Context, uuid string) error {
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return err
	}
	return h.slow(ctx, "let "+d.Name+" run on the destination", startLimit, func(l *golibvirt.Libvirt) error { return l.DomainMigrateStartPostCopy(d, 0) })
}

func (h *host) TuneMigration(ctx context.Context, uuid string, bandwidth int64, downtime time.Duration) error {
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return err
	}
	return h.do(ctx, "tune the migration of "+d.Name, func(l *golibvirt.Libvirt) error {
		if bandwidth > 0 {
			if err := l.DomainMigrateSetMaxSpeed(d, uint64(max(1, bandwidth/domain.MiB)), 0); err != nil {
				return err
			}
		}
		if downtime > 0 {
			return l.DomainMigrateSetMaxDowntime(d, uint64(max(downtime.Milliseconds(), 1)), 0)
		}
		return nil
	})
}

// memoryStats is VIR_DOMAIN_STATS_BALLOON and VIR_DOMAIN_STATS_DIRTYRATE.
const memoryStats = 1<<2 | 1<<9

// QEMU samples so many pages of each GiB, and no memory that is smaller than sampledFrom.
const (
	sampledPages = 512
	sampledFrom  = 128 * domain.MiB
)

// GuestMemory starts QEMU's page sampling and polls the domain statistics for its end: there is no event for it. Its other mode, which reads the bitmap that migrations use, would be
// exact; QEMU 7.2 without KVM dies of it, guest and all, so it is never asked for.
func (h *host) GuestMemory(ctx context.Context, uuid string, window time.Duration) (hv.GuestMemory, error) {
	var out hv.GuestMemory
	n, err := h.now(ctx, uuid)
	if err != nil {
		return out, err
	}
	if !n.runs() {
		return out, n.conflict("measured")
	}
	memory, err := h.memory(ctx, n)
	if err != nil {
		return out, err
	}
	if has, ok := memory("balloon.maximum"); ok && has*domain.KiB < sampledFrom { // to wait for it would tell nothing
		rss, _ := memory("balloon.rss")
		return hv.GuestMemory{DirtyRate: -1, Resident: rss * domain.KiB}, nil
	}
	seconds := int32(min(max(window.Round(time.Second)/time.Second, 1), 60)) // #nosec G115 -- from 1 to 60, as this line bounds it
	if err := h.do(ctx, "measure how fast "+n.Name+" writes to its memory", func(l *golibvirt.Libvirt) error {
		return l.DomainStartDirtyRateCalc(n.Domain, seconds, 0)
	}); err != nil {
		return out, err
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return out, stopped(ctx, "measure how fast "+n.Name+" writes to its memory")
		case <-tick.C:
		}
		field, err := h.memory(ctx, n)
		if err != nil {
			return out, err
		}
		const measured = 2 // VIR_DOMAIN_DIRTYRATE_MEASURED
		if state, ok := field(golibvirt.DomainStatsDirtyrateCalcStatus); !ok || state == measured {
			if rate, ok := field(golibvirt.DomainStatsDirtyrateMegabytesPerSecond); ok {
				out.DirtyRate = rate * domain.MiB
				rss, _ := field("balloon.rss") // KiB
				out.Resident = rss * domain.KiB
				out.Grain = domain.GiB / sampledPages / int64(seconds)
				return out, nil
			}
			if !ok {
				return out, domain.Errorf(domain.Unsupported, "The host's libvirt does not tell how fast a VM writes to its memory.")
			}
		}
	}
}

// memory reads what the host tells of a guest's memory: the value of a field, and whether it is told.
func (h *host) memory(ctx context.Context, n now) (func(name string) (int64, bool), error) {
	params, err := get(ctx, h.conn, "tell how "+n.Name+" uses its memory", func(l *golibvirt.Libvirt) ([]golibvirt.TypedParam, error) {
		recs, err := l.ConnectGetAllDomainStats([]golibvirt.Domain{n.Domain}, memoryStats, 0)
		if err != nil || len(recs) == 0 {
			return nil, err
		}
		return recs[0].Params, nil
	})
	return func(name string) (int64, bool) {
		i := slices.IndexFunc(params, func(p golibvirt.TypedParam) bool { return p.Field == name })
		if i < 0 {
			return 0, false
		}
		return integer(params[i].Value), true
	}, err
}
