package db

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/jmoiron/sqlx"

	"novacron/domain"
)

// vmDoc is the decoded part of a VM that lists show but SQL does not search.
type vmDoc struct {
	rev     int64
	config  domain.VMSpec
	live    *domain.VMSpec
	pending []domain.Change
}

// docCache keeps decoded documents by VM and revision. Decoding 100 specs would take most of a list's time; the revision grows with every
// write of a document, in the same transaction, so what is cached for it cannot be stale.
type docCache struct {
	mu   sync.RWMutex
	docs map[string]vmDoc
}

const docCacheMax = 20_000

func (c *docCache) init() { c.docs = map[string]vmDoc{} }

func (c *docCache) get(id string, rev int64) (vmDoc, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	doc, ok := c.docs[id]
	return doc, ok && doc.rev == rev
}

func (c *docCache) put(id string, doc vmDoc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.docs) >= docCacheMax {
		for k := range c.docs { // any one goes; VMs that were deleted leave the same way
			delete(c.docs, k)
			break
		}
	}
	if old, ok := c.docs[id]; !ok || old.rev < doc.rev {
		c.docs[id] = doc
	}
}

// attach sets Config, Live and Pending of VMs read at the given revisions.
func (d *DB) attach(ctx context.Context, vms []domain.VM, revs []int64) error {
	var missing []string
	where := map[string]int{}
	for i := range vms {
		doc, ok := d.docs.get(vms[i].ID, revs[i])
		if !ok {
			missing = append(missing, vms[i].ID)
			where[vms[i].ID] = i
			continue
		}
		vms[i].Config, vms[i].Live, vms[i].Pending = doc.config, doc.live, doc.pending
	}
	for len(missing) > 0 {
		n := min(len(missing), 500)
		query, args, err := sqlx.In("SELECT v.id, v.rev, d.config, d.live FROM vms v JOIN vm_documents d ON d.vm_id = v.id WHERE v.id IN (?)", missing[:n])
		if err != nil {
			return edge(err, "VM")
		}
		missing = missing[n:]
		var rows []struct {
			ID, Config, Live string
			Rev              int64
		}
		if err := d.read.SelectContext(ctx, &rows, query, args...); err != nil {
			return edge(err, "VM")
		}
		for _, r := range rows {
			doc, err := decodeDoc(r.Rev, r.Config, r.Live)
			if err != nil {
				return err
			}
			if !Trying(ctx) { // the next write would be of the same revision
				d.docs.put(r.ID, doc)
			}
			vm := &vms[where[r.ID]]
			vm.Config, vm.Live, vm.Pending = doc.config, doc.live, doc.pending
		}
	}
	return nil
}

func decodeDoc(rev int64, config, live string) (vmDoc, error) {
	doc := vmDoc{rev: rev}
	if err := parse(config, &doc.config); err != nil {
		return doc, err
	}
	if live == "" {
		return doc, nil
	}
	doc.live = new(domain.VMSpec)
	if err := parse(live, doc.live); err != nil {
		return doc, err
	}
	doc.pending = domain.Pending(*doc.live, doc.config)
	return doc, nil
}

// encodedDoc is a guest made ready to be written.
type encodedDoc struct {
	configText, liveText, macs, hash string
	vcpus                            int
	memory                           int64
	pendingCount                     int
}

func encodeDoc(g domain.Guest) (encodedDoc, error) {
	var e encodedDoc
	var err error
	if e.configText, err = text(g.Config); err != nil {
		return e, err
	}
	shown := g.Config
	if g.Live != nil {
		shown = *g.Live
		if e.liveText, err = text(g.Live); err != nil {
			return e, err
		}
		e.pendingCount = len(domain.Pending(*g.Live, g.Config))
	}
	e.vcpus, e.memory, e.macs = shown.VCPUs, shown.MemoryBytes, macText(g)
	h := sha256.New()
	// #nosec G115 -- flag gives 0 or 1
	for _, part := range []string{g.Name, e.configText, e.liveText, g.XML, string('0' + rune(flag(g.Autostart))), string('0' + rune(flag(g.Persistent)))} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	e.hash = hex.EncodeToString(h.Sum(nil))
	return e, nil
}
