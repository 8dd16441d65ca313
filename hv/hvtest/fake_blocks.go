package hvtest

import (
	"cmp"
	"context"
	"slices"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

// block is the work on one disk. It makes a step each time somebody looks.
type block struct {
	hv.BlockJob
	top string // of a commit
}

// SlowBlocks makes block jobs take n looks (BlockJob) to be done; 0, the default: they are done at once.
func (f *Fake) SlowBlocks(n int) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.blockSteps = n
}

func (m *machine) diskChain(path string) []string {
	out := []string{path}
	for {
		v, err := m.byPath(out[len(out)-1])
		if err != nil || v.Backing == "" || len(out) > 20 {
			return out
		}
		out = append(out, v.Backing)
	}
}

// liveDisk finds a disk of a running guest.
func (m *machine) liveDisk(uuid, target string) (*guest, domain.Disk, error) {
	g, err := m.find(uuid)
	if err != nil {
		return nil, domain.Disk{}, err
	}
	if !g.up() {
		return nil, domain.Disk{}, domain.Errorf(domain.Conflict, "%s does not run.", g.name).WithFix("Start it first.")
	}
	for _, d := range mustParse(g.live).Disks {
		if d.Target == target {
			return g, d, nil
		}
	}
	return nil, domain.Disk{}, domain.Errorf(domain.NotFound, "%s has no disk %s.", g.name, target)
}

func (c *conn) begin(ctx context.Context, op, uuid, target string, same func(b *block) bool, make func(m *machine, chain []string) (*block, error)) error {
	return act(ctx, c, op, func(m *machine) error {
		g, d, err := m.liveDisk(uuid, target)
		if err != nil {
			return err
		}
		if b := g.blocks[target]; b != nil {
			if same(b) {
				return nil
			}
			return domain.Errorf(domain.Conflict, "The images below the disk %s are being worked on already (%s).", target, b.Kind)
		}
		b, err := make(m, m.diskChain(d.Source))
		if err != nil || b == nil {
			return err
		}
		b.Total = int64(max(1, m.blockSteps))
		if g.blocks == nil {
			g.blocks = map[string]*block{}
		}
		g.blocks[target] = b
		return nil
	})
}

// CopyDisk implements hv.BlockJobs.
func (c *conn) CopyDisk(ctx context.Context, uuid, target string, to domain.Volume, _ int64) error {
	return c.begin(ctx, "CopyDisk", uuid, target, func(b *block) bool { return b.Kind == hv.BlockCopy && b.Dest == to.Path }, func(m *machine, _ []string) (*block, error) {
		if _, err := m.volume(to.Pool, to.Name); err != nil {
			return nil, domain.Errorf(domain.Conflict, "The host could not copy the disk: %s", err)
		}
		return &block{BlockJob: hv.BlockJob{Kind: hv.BlockCopy, Dest: to.Path}}, nil
	})
}

// PullDisk implements hv.BlockJobs.
func (c *conn) PullDisk(ctx context.Context, uuid, target, base string, _ int64) error {
	return c.begin(ctx, "PullDisk", uuid, target, func(b *block) bool { return b.Kind == hv.BlockPull }, func(_ *machine, chain []string) (*block, error) {
		if len(chain) < 2 || chain[1] == base {
			return nil, nil
		}
		return &block{BlockJob: hv.BlockJob{Kind: hv.BlockPull}, top: base}, nil
	})
}

// CommitDisk implements hv.BlockJobs.
func (c *conn) CommitDisk(ctx context.Context, uuid, target, base, top string, _ int64) error {
	kind := hv.BlockCommit
	if top == "" {
		kind = hv.BlockActiveCommit
	}
	return c.begin(ctx, "CommitDisk", uuid, target, func(b *block) bool { return b.Kind == kind }, func(_ *machine, chain []string) (*block, error) {
		if !slices.Contains(chain, base) || top != "" && !slices.Contains(chain, top) {
			return nil, domain.Errorf(domain.Conflict, "The disk %s does not stand on %s any more.", target, base)
		}
		return &block{BlockJob: hv.BlockJob{Kind: kind, Dest: base}, top: top}, nil
	})
}

// BlockJob implements hv.BlockJobs.
func (c *conn) BlockJob(ctx context.Context, uuid, target string) (hv.BlockJob, error) {
	return do(ctx, c, "BlockJob", func(m *machine) (hv.BlockJob, error) {
		g, d, err := m.liveDisk(uuid, target)
		if err != nil {
			return hv.BlockJob{}, err
		}
		b := g.blocks[target]
		if b == nil {
			return hv.BlockJob{Chain: m.diskChain(d.Source)}, nil
		}
		b.Done = min(b.Done+1, b.Total)
		if b.Done < b.Total {
			out := b.BlockJob
			out.Chain = m.diskChain(d.Source)
			return out, nil
		}
		switch b.Kind {
		case hv.BlockPull:
			m.rebase(d.Source, b.top)
		case hv.BlockCommit:
			chain := m.diskChain(d.Source)
			if i := slices.Index(chain, b.top); i > 0 {
				m.rebase(chain[i-1], b.Dest)
			}
		default:
			b.Ready = true
			out := b.BlockJob
			out.Chain = m.diskChain(d.Source)
			return out, nil
		}
		delete(g.blocks, target)
		return hv.BlockJob{Chain: m.diskChain(d.Source)}, nil
	})
}

// rebase lets the volume at path stand on another image.
func (m *machine) rebase(path, on string) {
	for k, v := range m.volumes {
		if v.Path == path {
			v.Backing = on
			m.volumes[k] = v
		}
	}
}

// PivotDisk implements hv.BlockJobs.
func (c *conn) PivotDisk(ctx context.Context, uuid, target string) error {
	return act(ctx, c, "PivotDisk", func(m *machine) error {
		g, d, err := m.liveDisk(uuid, target)
		if err != nil {
			return err
		}
		b := g.blocks[target]
		if b == nil || !b.Ready {
			return domain.Errorf(domain.Conflict, "There is no finished copy that the disk %s could turn to.", target)
		}
		to, err := m.byPath(b.Dest)
		if err != nil {
			return err
		}
		for _, doc := range []*string{&g.doc, &g.live} {
			if *doc, err = domxml.RedirectXML(*doc, []hv.DiskMove{{From: d.Source, To: to.Path, Format: cmp.Or(to.Format, "raw")}}); err != nil {
				return err
			}
		}
		delete(g.blocks, target)
		m.say(g, hv.GuestDefined, "")
		return nil
	})
}

// AbortBlockJob implements hv.BlockJobs.
func (c *conn) AbortBlockJob(ctx context.Context, uuid, target string) error {
	return act(ctx, c, "AbortBlockJob", func(m *machine) error {
		g, _, err := m.liveDisk(uuid, target)
		if err != nil {
			return err
		}
		delete(g.blocks, target)
		return nil
	})
}

// CopyVolume implements hv.BlockJobs.
func (c *conn) CopyVolume(ctx context.Context, pool, from string, to hv.VolumeSpec) (domain.Volume, error) {
	return do(ctx, c, "CopyVolume", func(m *machine) (domain.Volume, error) {
		src, err := m.volume(pool, from)
		if err != nil {
			return domain.Volume{}, err
		}
		p, err := m.pool(to.Pool)
		if err != nil {
			return domain.Volume{}, err
		}
		v, err := m.newVolume(p, domain.Volume{Name: to.Name, Format: cmp.Or(to.Format, src.Format), CapacityBytes: max(to.SizeBytes, src.CapacityBytes), Encrypted: to.SecretUUID != ""})
		if err == nil {
			m.write(to.Pool+"/"+to.Name, 0, m.files[pool+"/"+from])
		}
		return v, err
	})
}

// SetSecret implements hv.Secrets.
func (c *conn) SetSecret(ctx context.Context, uuid, _ string, value []byte) error {
	return act(ctx, c, "SetSecret", func(m *machine) error {
		if m.secrets == nil {
			m.secrets = map[string]string{}
		}
		m.secrets[uuid] = string(value)
		return nil
	})
}

// RemoveSecret implements hv.Secrets.
func (c *conn) RemoveSecret(ctx context.Context, uuid string) error {
	return act(ctx, c, "RemoveSecret", func(m *machine) error {
		delete(m.secrets, uuid)
		return nil
	})
}

// HasSecret implements hv.Secrets.
func (c *conn) HasSecret(ctx context.Context, uuid string) (bool, error) {
	return do(ctx, c, "HasSecret", func(m *machine) (bool, error) {
		_, ok := m.secrets[uuid]
		return ok, nil
	})
}

// Secret looks at what a secret of the host says.
func (f *Fake) Secret(uuid string) string {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.m.secrets[uuid]
}

// LoseSecrets is what a restart of the daemon does.
func (f *Fake) LoseSecrets() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	clear(f.m.secrets)
}
