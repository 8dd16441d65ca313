package db

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"

	"novacron/domain"
)

// PoolHost is a pool as one host has it.
type PoolHost struct {
	HostID    string
	HostName  string
	Name      string
	Target    string
	Active    bool
	Autostart bool
	Away      bool // the host is not connected; the rest is as it was last seen
}

// PoolItem is one pool of the estate: shared storage is there once, with its sizes counted once, however many hosts see it.
type PoolItem struct {
	domain.Pool
	Hosts       []PoolHost // by name
	Volumes     int
	Provisioned int64 // what its volumes could grow to
}

// Overcommit is what the volumes could grow to over what there is; 0 when the size is not known.
func (p PoolItem) Overcommit() float64 {
	if p.CapacityBytes <= 0 {
		return 0
	}
	return float64(p.Provisioned) / float64(p.CapacityBytes)
}

// StoragePools lists the pools of the estate by name.
func (d *DB) StoragePools(ctx context.Context) ([]PoolItem, error) {
	all, err := d.pools.get(ctx, struct{}{}, func() ([]PoolItem, error) { return d.readPools(ctx) })
	return slices.Clone(all), err
}

// StoragePool reads one of them. NotFound.
func (d *DB) StoragePool(ctx context.Context, id string) (PoolItem, error) {
	all, err := d.StoragePools(ctx)
	if err != nil {
		return PoolItem{}, err
	}
	for _, p := range all {
		if p.ID == id {
			return p, nil
		}
	}
	return PoolItem{}, domain.Errorf(domain.NotFound, "There is no such pool.").WithFix("It may have been removed meanwhile; look at the list of pools.")
}

func (d *DB) readPools(ctx context.Context) ([]PoolItem, error) {
	var rows []struct {
		poolRow
		HostName  string `db:"host_name"`
		HostState string `db:"host_state"`
	}
	err := d.read.SelectContext(ctx, &rows, `SELECT p.id, p.identity, p.host_id, p.name, p.uuid, p.type, p.active, p.autostart, p.target, p.source, p.capacity_bytes, p.allocation_bytes, p.available_bytes,
		h.name AS host_name, h.state AS host_state FROM pools p JOIN hosts h ON h.id = p.host_id ORDER BY p.name, p.id, h.name_key`)
	if err != nil {
		return nil, edge(err, "pool")
	}
	var sums []struct {
		PoolID string `db:"pool_id"`
		N      int
		Total  int64
	}
	err = d.read.SelectContext(ctx, &sums, "SELECT v.pool_id, count(*) AS n, sum(v.capacity_bytes) AS total FROM volumes v WHERE "+oneRow+" GROUP BY v.pool_id")
	if err != nil {
		return nil, edge(err, "volume")
	}
	at, out := map[string]int{}, []PoolItem{}
	for _, r := range rows {
		p, err := r.pool()
		if err != nil {
			return nil, err
		}
		i, known := at[p.ID]
		if !known {
			i = len(out)
			at[p.ID] = i
			out = append(out, PoolItem{Pool: p})
		}
		away := r.HostState != string(domain.HostConnected)
		it := &out[i]
		if first := it.Hosts; len(first) > 0 && p.Active && !away && (!it.Active || first[0].Away) {
			it.Pool = p // what a connected host says of an active pool is newer
		}
		it.Hosts = append(it.Hosts, PoolHost{p.HostID, r.HostName, p.Name, p.Target, p.Active, p.Autostart, away})
	}
	for _, s := range sums {
		if i, ok := at[s.PoolID]; ok {
			out[i].Volumes, out[i].Provisioned = s.N, s.Total
		}
	}
	return out, nil
}

// VolumeQuery asks for a page of the estate's volumes. Shared volumes are there once.
type VolumeQuery struct {
	Pool    string // id
	Host    string // id: volumes that the host sees
	Search  string // part of the name or path
	Orphans bool   // only those that no VM has, nothing is built on and no image is kept in
	Sort    string // name (default), size, used
	Desc    bool
	After   string
	Limit   int // 0: 100; at most 1000
}

// VolumeUse names a VM that has a volume as a disk.
type VolumeUse struct{ VMID, Name string }

// VolumeItem is one volume of a list.
type VolumeItem struct {
	domain.Volume
	HostName string
	Hosts    int         // how many see it
	Users    []VolumeUse // VMs that have it as a disk
	Overlays int         // volumes built directly on it
	Image    string      // what of the image library it holds
	BaseOf   string      // the VM whose linked clones it was frozen for
	Tenant   string      // whose it is; empty: the estate's, or that of the VMs that have it
}

// VolumePage is a page of volumes. The items are shared with other readers and must not be altered.
type VolumePage struct {
	Items []VolumeItem
	Next  string
	Total int
	Bytes int64 // what all that match take up
}

var volumeSorts = map[string]struct {
	column string
	number bool
}{"name": {"v.name", false}, "size": {"v.capacity_bytes", true}, "used": {"v.allocation_bytes", true}}

// oneRow is the condition of a volume row v that it stands for its volume: the first host's. Only of a pool that is there more than once need anybody look
// for another row, which for thousands of volumes on hosts of their own is most of what the list would cost.
const oneRow = `(v.pool_id NOT IN (SELECT id FROM pools GROUP BY id HAVING count(*) > 1)
	OR NOT EXISTS (SELECT 1 FROM volumes f WHERE f.id = v.id AND (f.host_id < v.host_id OR f.host_id = v.host_id AND f.pool < v.pool)))`

// orphan is the condition of a volume row that no row of the same volume is used: by no VM, by nothing built on it, by no image.
const orphan = `NOT EXISTS (SELECT 1 FROM volumes s JOIN disk_uses u ON u.host_id = s.host_id AND u.path = s.path WHERE s.id = v.id)
	AND NOT EXISTS (SELECT 1 FROM volumes s JOIN disk_uses u ON u.host_id = s.host_id AND u.pool = s.pool AND u.volume = s.name WHERE s.id = v.id)
	AND NOT EXISTS (SELECT 1 FROM volumes s JOIN volumes o ON o.host_id = s.host_id AND o.backing = s.path WHERE s.id = v.id)
	AND NOT EXISTS (SELECT 1 FROM image_copies c WHERE c.pool_id = v.pool_id AND c.volume = v.name)`

// StorageVolumes gives one page of volumes.
func (d *DB) StorageVolumes(ctx context.Context, q VolumeQuery) (VolumePage, error) {
	page, err := d.volumePages.get(ctx, q, func() (VolumePage, error) { return d.readVolumes(ctx, q) })
	page.Items = slices.Clone(page.Items)
	return page, err
}

func (q VolumeQuery) conditions() (cond []string, args []any) {
	// One row stands for a shared volume: that of the first host that sees it, or of the host that was asked for.
	if q.Host != "" {
		cond, args = append(cond, "v.host_id = ?"), append(args, q.Host)
	} else {
		cond = append(cond, oneRow)
	}
	if q.Pool != "" {
		cond, args = append(cond, "v.pool_id = ?"), append(args, q.Pool)
	}
	if q.Search != "" {
		like := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(q.Search)) + "%"
		cond, args = append(cond, `(lower(v.name) LIKE ? ESCAPE '\' OR lower(v.path) LIKE ? ESCAPE '\')`), append(args, like, like)
	}
	if q.Orphans {
		cond = append(cond, orphan)
	}
	return cond, args
}

func (d *DB) readVolumes(ctx context.Context, q VolumeQuery) (VolumePage, error) {
	var page VolumePage
	q.Sort = cmp.Or(q.Sort, "name")
	sort, ok := volumeSorts[q.Sort]
	if !ok {
		return page, domain.InvalidField("sort", "There is no sorting by “"+q.Sort+"”.", "one of name, size, used")
	}
	cond, args := q.conditions()
	// A tenant sees the volumes that it owns and those that its VMs have.
	mine, of := volumesInSight(ctx)
	cond, args = append(cond, mine...), append(args, of...)
	var sums struct {
		N     int
		Bytes int64
	}
	if err := d.read.GetContext(ctx, &sums, "SELECT count(*) AS n, coalesce(sum(v.allocation_bytes), 0) AS bytes FROM volumes v"+and(cond), args...); err != nil {
		return page, edge(err, "volume")
	}
	page.Total, page.Bytes = sums.N, sums.Bytes
	order, compare := "ASC", ">"
	if q.Desc {
		order, compare = "DESC", "<"
	}
	if q.After != "" {
		c, err := parseCursor(q.After, q.Sort, q.Desc)
		if err != nil {
			return page, err
		}
		var key any = c.Key
		if sort.number {
			if key, err = strconv.ParseInt(c.Key, 10, 64); err != nil {
				return page, domain.InvalidField("after", "That is not a cursor of this list.", "“next” of an earlier page")
			}
		}
		cond, args = append(cond, "("+sort.column+", v.id) "+compare+" (?, ?)"), append(args, key, c.ID)
	}
	n := limit(q.Limit, defaultLimit)
	var rows []struct {
		volumeRow
		HostName string `db:"host_name"`
	}
	columns := "v." + strings.ReplaceAll(volumeColumns, ", ", ", v.")
	err := d.read.SelectContext(ctx, &rows, "SELECT "+columns+", h.name AS host_name FROM volumes v JOIN hosts h ON h.id = v.host_id"+and(cond)+
		" ORDER BY "+sort.column+" "+order+", v.id "+order+" LIMIT ?", append(args, n+1)...)
	if err != nil {
		return page, edge(err, "volume")
	}
	for i, r := range rows {
		if i == n {
			last := page.Items[n-1]
			key := map[string]string{"name": last.Name, "size": strconv.FormatInt(last.CapacityBytes, 10), "used": strconv.FormatInt(last.AllocationBytes, 10)}[q.Sort]
			page.Next = cursor{Sort: q.Sort, Desc: q.Desc, Key: key, ID: last.ID}.String()
			break
		}
		page.Items = append(page.Items, VolumeItem{Volume: r.volume(), HostName: r.HostName})
	}
	return page, d.annotate(ctx, page.Items)
}

// StorageVolume reads one volume as a list shows it. NotFound.
func (d *DB) StorageVolume(ctx context.Context, id string) (VolumeItem, error) {
	at, err := d.VolumeOn(ctx, id)
	if err != nil {
		return VolumeItem{}, err
	}
	h, err := d.Host(ctx, at[0].HostID)
	if err != nil {
		return VolumeItem{}, err
	}
	items := []VolumeItem{{Volume: at[0], HostName: h.Name}}
	err = d.annotate(ctx, items)
	return items[0], err
}

// annotate says who uses the volumes of a page.
func (d *DB) annotate(ctx context.Context, items []VolumeItem) error {
	if len(items) == 0 {
		return nil
	}
	at, ids := map[string]int{}, make([]string, len(items))
	for i, v := range items {
		at[v.ID], ids[i] = i, v.ID
	}
	ask := func(query string, to func(i int, a, b string)) error {
		query, args, err := sqlx.In(query, ids)
		if err != nil {
			return edge(err, "volume")
		}
		var rows []struct{ ID, A, B string }
		if err := d.read.SelectContext(ctx, &rows, query, args...); err != nil {
			return edge(err, "volume")
		}
		for _, r := range rows {
			to(at[r.ID], r.A, r.B)
		}
		return nil
	}
	owners, err := d.Owners(ctx, ids...)
	if err != nil {
		return err
	}
	for i := range items {
		items[i].Tenant = owners[items[i].ID]
	}
	use := func(i int, id, name string) {
		if it := &items[i]; !slices.Contains(it.Users, VolumeUse{id, name}) {
			it.Users = append(it.Users, VolumeUse{id, name})
		}
	}
	for _, on := range []string{"u.path = s.path", "u.pool = s.pool AND u.volume = s.name"} {
		if err := ask("SELECT DISTINCT s.id, m.id AS a, m.name AS b FROM volumes s JOIN disk_uses u ON u.host_id = s.host_id AND "+on+" JOIN vms m ON m.id = u.vm_id WHERE s.id IN (?) ORDER BY m.name", use); err != nil {
			return err
		}
	}
	if err := ask("SELECT s.id, count(DISTINCT o.id) AS a, '' AS b FROM volumes s JOIN volumes o ON o.host_id = s.host_id AND o.backing = s.path WHERE s.id IN (?) AND s.path <> '' GROUP BY s.id", func(i int, n, _ string) {
		items[i].Overlays, _ = strconv.Atoi(n)
	}); err != nil {
		return err
	}
	if err := ask("SELECT s.id, count(DISTINCT s.host_id) AS a, '' AS b FROM volumes s WHERE s.id IN (?) GROUP BY s.id", func(i int, n, _ string) {
		items[i].Hosts, _ = strconv.Atoi(n)
	}); err != nil {
		return err
	}
	if err := ask(`SELECT s.id, b.of_vm AS a, '' AS b FROM volumes s JOIN base_disks b ON b.pool_id = s.pool_id AND b.volume = s.name WHERE s.id IN (?)`, func(i int, of, _ string) {
		items[i].BaseOf = of
	}); err != nil {
		return err
	}
	return ask(`SELECT s.id, g.name AS a, w.label AS b FROM volumes s JOIN image_copies c ON c.pool_id = s.pool_id AND c.volume = s.name
		JOIN image_versions w ON w.id = c.version_id JOIN images g ON g.id = w.image_id WHERE s.id IN (?)`, func(i int, name, label string) { items[i].Image = name + "@" + label })
}

// ChainLink is one image of a chain.
type ChainLink struct {
	domain.Volume     // ID is empty when the file is in no pool
	Level         int // 0: the volume itself; below 0: what it is built on, nearest first; above 0: what is built on it
	Users         []VolumeUse
	Loop          bool // the chain comes back to an image that it has already
}

// Chain gives what a volume is built on and all that is built on it, lowest first.
func (d *DB) Chain(ctx context.Context, volumeID string) ([]ChainLink, error) {
	at, err := d.VolumeOn(ctx, volumeID)
	if err != nil {
		return nil, err
	}
	var below []ChainLink
	seen := map[string]bool{at[0].Path: true}
	for v := at[0]; v.Backing != "" && len(below) < chainReach; {
		next := domain.Volume{HostID: v.HostID, Path: v.Backing, Name: v.Backing, Format: v.BackingFormat}
		var rows []volumeRow
		if err := d.read.SelectContext(ctx, &rows, "SELECT "+volumeColumns+" FROM volumes WHERE host_id = ? AND path = ? LIMIT 1", v.HostID, v.Backing); err != nil {
			return nil, edge(err, "volume")
		}
		if len(rows) > 0 {
			next = rows[0].volume()
		}
		loop := seen[next.Path]
		seen[next.Path] = true
		below = append(below, ChainLink{Volume: next, Level: -len(below) - 1, Loop: loop})
		if v = next; loop {
			break
		}
	}
	slices.Reverse(below)
	chain := append(below, ChainLink{Volume: at[0]})
	above, err := d.overlays(ctx, at)
	if err != nil {
		return nil, err
	}
	for i, level := range above {
		had := map[string]bool{}
		for _, v := range level {
			if !had[v.ID] {
				chain = append(chain, ChainLink{Volume: v, Level: i + 1})
			}
			had[v.ID] = true
		}
	}
	items := make([]VolumeItem, 0, len(chain))
	for _, c := range chain {
		if c.ID != "" {
			items = append(items, VolumeItem{Volume: c.Volume})
		}
	}
	if err := d.annotate(ctx, items); err != nil {
		return nil, err
	}
	for i := range chain {
		for _, it := range items {
			if it.ID == chain[i].ID {
				chain[i].Users = it.Users
			}
		}
	}
	return chain, nil
}

// VolumeNeeds is VolumeUsers and what of the image library is kept in the volume: all that a delete would break. What was frozen for linked clones is not
// needed by that alone: with the last of them it is left over.
func (d *DB) VolumeNeeds(ctx context.Context, volumeID string) ([]domain.VolumeUser, error) {
	users, err := d.VolumeUsers(ctx, volumeID)
	if err != nil {
		return nil, err
	}
	at, err := d.VolumeOn(ctx, volumeID)
	if err != nil {
		return nil, err
	}
	kept, err := d.keptIn(ctx, at[0].PoolID, at[0].Name)
	if len(users) == 0 {
		kept = slices.DeleteFunc(kept, func(u domain.VolumeUser) bool { return u.Kind == "base" })
	}
	return append(users, kept...), err
}

// keptIn names what of the image library is in a pool, or in one volume of it.
func (d *DB) keptIn(ctx context.Context, poolID, volume string) ([]domain.VolumeUser, error) {
	var out []domain.VolumeUser
	for _, q := range []struct{ kind, query string }{
		{"image", `SELECT g.id, g.name || '@' || w.label AS name, c.host_id AS hostid, c.path FROM image_copies c JOIN image_versions w ON w.id = c.version_id JOIN images g ON g.id = w.image_id WHERE c.pool_id = ?`},
		{"base", `SELECT c.id, c.volume AS name, c.host_id AS hostid, c.path FROM base_disks c WHERE c.pool_id = ?`},
	} {
		query, args := q.query, []any{poolID}
		if volume != "" {
			query, args = query+" AND c.volume = ?", append(args, volume)
		}
		var rows []struct{ ID, Name, HostID, Path string }
		if err := d.read.SelectContext(ctx, &rows, query, args...); err != nil {
			return nil, edge(err, "image")
		}
		for _, r := range rows {
			out = append(out, domain.VolumeUser{Kind: q.kind, ID: r.ID, Name: r.Name, HostID: r.HostID, Path: r.Path, Direct: true})
		}
	}
	return out, nil
}

// PoolUsers names what needs a pool: VMs with disks in it, also such as the pool does not list while it is stopped, volumes elsewhere that are built on its
// own, and what of the image library is kept in it. With running it names only VMs that run.
func (d *DB) PoolUsers(ctx context.Context, poolID string, running bool) ([]domain.VolumeUser, error) {
	at, err := d.PoolOn(ctx, poolID)
	if domain.Is(err, domain.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []domain.VolumeUser
	add := func(u domain.VolumeUser) {
		if !slices.ContainsFunc(out, func(o domain.VolumeUser) bool { return o.ID == u.ID && o.Target == u.Target }) {
			out = append(out, u)
		}
	}
	for _, p := range at {
		inside := p.Target
		if strings.HasPrefix(inside, "/dev") && p.Type != "logical" {
			inside = "" // it shares /dev with everything else
		}
		prefix := inside + "/"
		var rows []struct {
			ID, Name, Target, Path string
			Live                   bool
		}
		err := d.read.SelectContext(ctx, &rows, `SELECT m.id, m.name, u.target, u.path, u.live FROM disk_uses u JOIN vms m ON m.id = u.vm_id WHERE u.host_id = ?
			AND (u.pool = ? OR ? <> '' AND substr(u.path, 1, ?) = ? OR u.path IN (SELECT path FROM volumes WHERE host_id = ? AND pool = ? AND path <> '')) ORDER BY m.name, u.target, u.live DESC`,
			p.HostID, p.Name, inside, len(prefix), prefix, p.HostID, p.Name)
		if err != nil {
			return nil, edge(err, "disk")
		}
		for _, r := range rows {
			if r.Live || !running {
				add(domain.VolumeUser{Kind: "vm", ID: r.ID, Name: r.Name, HostID: p.HostID, Path: r.Path, Target: r.Target, Direct: true, Live: r.Live, Config: !r.Live})
			}
		}
		if running {
			continue
		}
		var built []volumeRow
		err = d.read.SelectContext(ctx, &built, "SELECT "+volumeColumns+` FROM volumes WHERE host_id = ? AND pool_id <> ? AND backing <> ''
			AND backing IN (SELECT path FROM volumes WHERE host_id = ? AND pool = ?)`, p.HostID, poolID, p.HostID, p.Name)
		if err != nil {
			return nil, edge(err, "volume")
		}
		for _, v := range built {
			add(domain.VolumeUser{Kind: "volume", ID: v.ID, Name: v.Name, HostID: v.HostID, Path: v.Path, Direct: true})
		}
	}
	if !running {
		kept, err := d.keptIn(ctx, poolID, "")
		if err != nil {
			return nil, err
		}
		out = append(out, kept...)
	}
	return out, d.nameHosts(ctx, out)
}
