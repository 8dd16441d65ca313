package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// StoragePool is a storage pool as the API shows it. Storage that several hosts share is one pool, with its sizes counted once.
type StoragePool struct {
	ID              string            `json:"id" example:"pool_01k…"`
	Name            string            `json:"name"`
	Type            string            `json:"type" doc:"dir, fs, netfs, logical, disk, iscsi, rbd, zfs, or another that the host has"`
	HostID          string            `json:"host_id" doc:"A host that has it; hosts has all"`
	Hosts           []PoolHost        `json:"hosts" nullable:"false"`
	Active          bool              `json:"active"`
	Autostart       bool              `json:"autostart"`
	Target          string            `json:"target" doc:"Where it is on the host; empty for pools that are no folder"`
	Shared          bool              `json:"shared" doc:"Other hosts can have the same storage"`
	Identity        string            `json:"identity" doc:"What shared storage is known by, whatever the pool is called"`
	Source          domain.PoolSource `json:"source"`
	CapacityBytes   int64             `json:"capacity_bytes"`
	AllocationBytes int64             `json:"allocation_bytes"`
	AvailableBytes  int64             `json:"available_bytes"`
	Volumes         int               `json:"volumes"`
	Provisioned     int64             `json:"provisioned_bytes" doc:"What its volumes could grow to"`
	Overcommit      float64           `json:"overcommit" doc:"provisioned over capacity; more than 1 means that it could run full"`
}

// PoolHost is a pool as one host has it.
type PoolHost struct {
	HostID    string `json:"host_id"`
	Host      string `json:"host"`
	Pool      string `json:"pool" doc:"Its name there"`
	Target    string `json:"target"`
	Active    bool   `json:"active"`
	Autostart bool   `json:"autostart"`
	Away      bool   `json:"away" doc:"The host is not connected; the rest is as it was last seen"`
}

func poolOf(p *db.PoolItem) StoragePool {
	out := StoragePool{ID: p.ID, Name: p.Name, Type: p.Type, HostID: p.HostID, Active: p.Active, Autostart: p.Autostart, Target: p.Target, Shared: p.Identity != "", Identity: p.Identity, Source: p.Source,
		CapacityBytes: p.CapacityBytes, AllocationBytes: p.AllocationBytes, AvailableBytes: p.AvailableBytes, Volumes: p.Volumes, Provisioned: p.Provisioned, Overcommit: p.Overcommit(), Hosts: []PoolHost{}}
	for _, h := range p.Hosts {
		out.Hosts = append(out.Hosts, PoolHost{h.HostID, h.HostName, h.Name, h.Target, h.Active, h.Autostart, h.Away})
	}
	return out
}

// StorageVolume is a volume as the API shows it.
type StorageVolume struct {
	ID              string      `json:"id" example:"vol_01k…"`
	Name            string      `json:"name"`
	Tenant          string      `json:"tenant,omitempty" doc:"Whose it is; nothing: the estate's, or that of the VMs that have it"`
	PoolID          string      `json:"pool_id"`
	Pool            string      `json:"pool" doc:"The pool's name"`
	HostID          string      `json:"host_id" doc:"A host that sees it"`
	Host            string      `json:"host"`
	Path            string      `json:"path" doc:"On that host"`
	Format          string      `json:"format"`
	CapacityBytes   int64       `json:"capacity_bytes"`
	AllocationBytes int64       `json:"allocation_bytes"`
	Backing         string      `json:"backing" doc:"Path of the image below"`
	BackingFormat   string      `json:"backing_format"`
	Encrypted       bool        `json:"encrypted"`
	Image           string      `json:"image" doc:"What of the image library it holds"`
	UsedBy          []VolumeUse `json:"used_by" nullable:"false" doc:"VMs that have it as a disk"`
	Overlays        int         `json:"overlays" doc:"How many volumes are built directly on it"`
	Orphan          bool        `json:"orphan" doc:"No VM has it, nothing is built on it and it is no image"`
}

// VolumeUse names a VM.
type VolumeUse struct {
	VMID string `json:"vm_id"`
	Name string `json:"name"`
}

func usesOf(in []db.VolumeUse) []VolumeUse {
	out := []VolumeUse{}
	for _, u := range in {
		out = append(out, VolumeUse{u.VMID, u.Name})
	}
	return out
}

func volumeOf(v *db.VolumeItem) StorageVolume {
	return StorageVolume{ID: v.ID, Name: v.Name, Tenant: v.Tenant, PoolID: v.PoolID, Pool: v.Pool, HostID: v.HostID, Host: v.HostName, Path: v.Path, Format: v.Format, CapacityBytes: v.CapacityBytes,
		AllocationBytes: v.AllocationBytes, Backing: v.Backing, BackingFormat: v.BackingFormat, Encrypted: v.Encrypted, Image: v.Image, UsedBy: usesOf(v.Users), Overlays: v.Overlays,
		Orphan: len(v.Users) == 0 && v.Overlays == 0 && v.Image == ""}
}

// VolumeDetail is one volume with all that needs it and its chain.
type VolumeDetail struct {
	StorageVolume
	Hosts []VolumeHost        `json:"hosts" nullable:"false"`
	Users []domain.VolumeUser `json:"users" nullable:"false" doc:"All that a delete would break: VMs, volumes built on it, images kept in it"`
	Chain []ChainLink         `json:"chain" nullable:"false" doc:"What it is built on and what is built on it, lowest first"`
}

// VolumeHost is where one host sees a volume.
type VolumeHost struct {
	HostID string `json:"host_id"`
	Path   string `json:"path"`
}

// ChainLink is one image of a chain.
type ChainLink struct {
	ID            string      `json:"id" doc:"Empty when the file is in no pool"`
	Name          string      `json:"name"`
	Path          string      `json:"path"`
	Format        string      `json:"format"`
	CapacityBytes int64       `json:"capacity_bytes"`
	Level         int         `json:"level" doc:"0: the volume itself; below 0: what it is built on; above 0: what is built on it"`
	UsedBy        []VolumeUse `json:"used_by" nullable:"false"`
	Loop          bool        `json:"loop" doc:"The chain comes back to an image that it has already"`
}

// PoolCreate is what is asked for when a pool is made.
type PoolCreate struct {
	Name      string            `json:"name" example:"fast"`
	Host      string            `json:"host,omitempty" doc:"A host's id"`
	Hosts     []string          `json:"hosts,omitempty" doc:"Several hosts' ids: the same pool on each; with network storage they share it"`
	Type      string            `json:"type" example:"dir" doc:"dir, fs, netfs, logical, disk, iscsi, rbd or zfs"`
	Target    string            `json:"target,omitempty" doc:"The folder on the host; needed for dir, else chosen" example:"/srv/vms"`
	Source    domain.PoolSource `json:"source,omitempty" doc:"Where the storage comes from; which fields count depends on the type"`
	Autostart *bool             `json:"autostart,omitempty" doc:"Start with the host; true when it is not said"`
	Build     bool              `json:"build,omitempty" doc:"Write a file system, volume group or partition table on the source devices; never over data that is found there"`
}

func (b PoolCreate) ask(key string) fleet.CreatePool {
	hosts := slices.Clone(b.Hosts)
	if b.Host != "" {
		hosts = append(hosts, b.Host)
	}
	return fleet.CreatePool{Hosts: hosts, Key: key, Spec: domain.PoolSpec{Name: b.Name, Type: b.Type, Target: b.Target, Source: b.Source, Autostart: b.Autostart == nil || *b.Autostart, Build: b.Build}}
}

// PoolEdit is what may change of a pool.
type PoolEdit struct {
	Autostart *bool `json:"autostart" doc:"Start with the host"`
}

// VolumeCreate is what is asked for when a volume is made.
type VolumeCreate struct {
	Pool      string `json:"pool" doc:"A pool's id, or its name when only one has it"`
	Host      string `json:"host,omitempty" doc:"A host's id, to say which pool of that name"`
	Name      string `json:"name" example:"data.qcow2"`
	SizeBytes int64  `json:"size_bytes,omitempty" doc:"Empty with source or backing: as large as that" example:"21474836480"`
	Format    string `json:"format,omitempty" doc:"qcow2 (version 3) or raw; empty: what suits the pool"`
	Source    string `json:"source,omitempty" doc:"Id of a volume to copy in full"`
	Backing   string `json:"backing,omitempty" doc:"Id of a volume to build on: the new one holds only what differs"`
	Full      bool   `json:"full,omitempty" doc:"Take all of its space now"`
	Encrypted bool   `json:"encrypted,omitempty" doc:"With LUKS; NovaCron makes the passphrase and keeps it sealed"`
	Tenant    string `json:"tenant,omitempty" maxLength:"64" doc:"Whose it is to be; empty: the caller's own tenant, else the estate's"`
}

// VolumeEdit is another size.
type VolumeEdit struct {
	SizeBytes int64 `json:"size_bytes"`
	Shrink    bool  `json:"shrink,omitempty" doc:"Needed to make it smaller: what is cut off is lost. Never while something uses it"`
}

// VolumeBulk names volumes that are to go.
type VolumeBulk struct {
	IDs []string `json:"ids" minItems:"1" maxItems:"1000" nullable:"false" doc:"The volumes"`
}

type PoolPath struct {
	ID string `path:"id" maxLength:"64" doc:"The pool's id"`
}

type VolumePath struct {
	ID string `path:"id" maxLength:"64" doc:"The volume's id"`
}

type poolListInput struct {
	PageQuery
	Host   string `query:"host" maxLength:"64" doc:"Only pools of the host with this id"`
	Type   string `query:"type" maxLength:"32" doc:"Only this kind"`
	Filter string `query:"filter" maxLength:"200" doc:"Part of the name, the folder or the identity"`
	Sort   string `query:"sort" default:"name" doc:"name, type, capacity, available, overcommit or volumes; a minus turns it round"`
}

type volumeListInput struct {
	PageQuery
	Pool    string `query:"pool" maxLength:"255" doc:"Only volumes of the pool with this id, or name when only one has it"`
	Host    string `query:"host" maxLength:"64" doc:"Only volumes that the host with this id sees"`
	Filter  string `query:"filter" maxLength:"200" doc:"Part of the name or path"`
	Orphans bool   `query:"orphans" doc:"Only those that no VM has, nothing is built on and that are no image"`
	Sort    string `query:"sort" default:"name" doc:"name, size or used; a minus turns it round"`
}

type poolOutput struct{ Body StoragePool }
type volumeOutput struct{ Body VolumeDetail }

// poolID finds the pool that a request means: by id, or by name.
func (s *server) poolID(ctx context.Context, pool, host string) (string, error) {
	if strings.HasPrefix(pool, "pool_") || pool == "" {
		return pool, nil
	}
	all, err := s.DB.StoragePools(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, p := range all {
		if slices.ContainsFunc(p.Hosts, func(h db.PoolHost) bool { return h.Name == pool && (host == "" || h.HostID == host) }) {
			found = append(found, p.ID)
		}
	}
	switch len(found) {
	case 0:
		return "", domain.InvalidField("pool", "There is no pool “"+pool+"”.", "a pool's id or name")
	case 1:
		return found[0], nil
	}
	return "", domain.InvalidField("pool", "Several hosts have a pool called "+pool+".", "the pool's id, or its host as well")
}

func (s *server) storage() {
	s.poolOps()
	s.volumeOps()
}

func (s *server) poolOps() {
	const tag = "Storage"
	registerPage(s, op{id: "list-storage-pools", method: http.MethodGet, path: "/pools", tag: tag, perm: access.PoolRead, status: 200, summary: "List storage pools",
		doc: "Every pool of the estate. Storage that several hosts share is one pool, whatever it is called on each."},
		func(ctx context.Context, in *poolListInput) (Page[StoragePool], error) {
			all, err := s.DB.StoragePools(ctx)
			if err != nil {
				return Page[StoragePool]{}, err
			}
			word := strings.ToLower(in.Filter)
			all = slices.DeleteFunc(all, func(p db.PoolItem) bool {
				return in.Type != "" && p.Type != in.Type || word != "" && !strings.Contains(strings.ToLower(p.Name+"\n"+p.Target+"\n"+p.Identity), word) ||
					in.Host != "" && !slices.ContainsFunc(p.Hosts, func(h db.PoolHost) bool { return h.HostID == in.Host })
			})
			return paged(all, in.PageQuery, in.Sort, sortKeys[db.PoolItem]{
				"name":       func(p *db.PoolItem) string { return strings.ToLower(p.Name) },
				"type":       func(p *db.PoolItem) string { return p.Type },
				"capacity":   func(p *db.PoolItem) string { return padded(p.CapacityBytes) },
				"available":  func(p *db.PoolItem) string { return padded(p.AvailableBytes) },
				"overcommit": func(p *db.PoolItem) string { return padded(int64(p.Overcommit() * 1e6)) },
				"volumes":    func(p *db.PoolItem) string { return padded(int64(p.Volumes)) },
			}, func(p *db.PoolItem) string { return p.ID }, poolOf)
		})

	register(s, op{id: "create-pool", method: http.MethodPost, path: "/pools", tag: tag, perm: access.PoolManage, status: 202, summary: "Make a storage pool",
		doc: "On one host, or the same on several. When it fails on one, it is taken back on all."},
		func(ctx context.Context, in *struct {
			ChangeParams
			Body PoolCreate
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				job, err := s.Fleet.CreatePool(ctx, actor(ctx), in.Body.ask(key))
				if len(in.Body.Hosts) == 0 {
					err = asSent(err, "hosts", "host")
				}
				return job, err
			})
		})

	register(s, op{id: "get-pool", method: http.MethodGet, path: "/pools/{id}", tag: tag, perm: access.PoolRead, status: 200, summary: "Show a storage pool"},
		func(ctx context.Context, in *PoolPath) (*poolOutput, error) {
			p, err := s.DB.StoragePool(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &poolOutput{poolOf(&p)}, nil
		})

	register(s, op{id: "edit-pool", method: http.MethodPatch, path: "/pools/{id}", tag: tag, perm: access.PoolManage, status: 202, summary: "Change a storage pool"},
		func(ctx context.Context, in *struct {
			PoolPath
			ChangeParams
			Body PoolEdit
		}) (*changeOutput, error) {
			if in.Body.Autostart == nil {
				return nil, domain.Errorf(domain.Invalid, "Nothing is asked for.").WithFix("Send at least one field to change.")
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.SetPoolAutostart(ctx, actor(ctx), in.ID, *in.Body.Autostart, key)
			})
		})

	register(s, op{id: "delete-pool", method: http.MethodDelete, path: "/pools/{id}", tag: tag, perm: access.PoolManage, status: 202, summary: "Remove a storage pool",
		doc: "From every host that has it; refused while a VM needs it. Its data stays, unless ?data=true and ?confirm= with its name."},
		func(ctx context.Context, in *struct {
			PoolPath
			ChangeParams
			Data    bool   `query:"data" doc:"Delete its volumes too, and what it is made of"`
			Confirm string `query:"confirm" maxLength:"255" doc:"With data: the pool's name"`
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.DeletePool(ctx, actor(ctx), in.ID, fleet.DeletePool{Data: in.Data, Confirm: in.Confirm, Key: key})
			})
		})

	for _, a := range []struct{ act, summary string }{{"start", "Start a storage pool"}, {"stop", "Stop a storage pool"}, {"refresh", "Look into a storage pool again"}} {
		register(s, op{id: a.act + "-pool", method: http.MethodPost, path: "/pools/{id}/" + a.act, tag: tag, perm: access.PoolManage, status: 202, summary: a.summary},
			func(ctx context.Context, in *struct {
				PoolPath
				ChangeParams
			}) (*changeOutput, error) {
				return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return s.Fleet.ActPool(ctx, actor(ctx), in.ID, a.act, key) })
			})
	}
}

func (s *server) volumeOps() {
	const tag = "Storage"
	registerPage(s, op{id: "list-storage-volumes", method: http.MethodGet, path: "/volumes", tag: tag, perm: access.VolumeRead, status: 200, summary: "List volumes",
		doc: "Every volume of the estate, with the VMs that have it. A volume on shared storage is there once."},
		func(ctx context.Context, in *volumeListInput) (Page[StorageVolume], error) {
			pool, err := s.poolID(ctx, in.Pool, in.Host)
			if err != nil {
				return Page[StorageVolume]{}, err
			}
			order, desc := strings.CutPrefix(in.Sort, "-")
			page, err := s.DB.StorageVolumes(ctx, db.VolumeQuery{Pool: pool, Host: in.Host, Search: in.Filter, Orphans: in.Orphans, Sort: order, Desc: desc, After: in.cursor(), Limit: in.limit()})
			if err != nil {
				return Page[StorageVolume]{}, ofCursor(err)
			}
			return pageOf(page.Items, page.Next, page.Total, volumeOf), nil
		})

	register(s, op{id: "create-volume", method: http.MethodPost, path: "/volumes", tag: tag, perm: access.VolumeManage, status: 202, summary: "Make a volume",
		doc: "Empty, a full copy of another (source) or a thin layer over another (backing). qcow2 is always version 3."},
		func(ctx context.Context, in *struct {
			ChangeParams
			Body VolumeCreate
		}) (*changeOutput, error) {
			b := in.Body
			ctx, err := s.Fleet.OwnedBy(ctx, access.VolumeManage, b.Tenant)
			if err != nil {
				return nil, err
			}
			pool, err := s.poolID(ctx, b.Pool, b.Host)
			if err != nil {
				return nil, err
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.CreateVolume(ctx, actor(ctx), fleet.CreateVolume{Pool: pool, Name: b.Name, SizeBytes: b.SizeBytes, Format: b.Format, Source: b.Source, Backing: b.Backing, Full: b.Full, Encrypted: b.Encrypted, Key: key})
			})
		})

	register(s, op{id: "get-volume", method: http.MethodGet, path: "/volumes/{id}", tag: tag, perm: access.VolumeRead, status: 200, summary: "Show a volume, who needs it and its chain"}, s.getVolume)

	register(s, op{id: "resize-volume", method: http.MethodPatch, path: "/volumes/{id}", tag: tag, perm: access.VolumeManage, status: 202, summary: "Resize a volume",
		doc: "While a VM runs with it, the VM sees the new size at once."},
		func(ctx context.Context, in *struct {
			VolumePath
			ChangeParams
			Body VolumeEdit
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.ResizeVolume(ctx, actor(ctx), in.ID, fleet.ResizeVolume{SizeBytes: in.Body.SizeBytes, Shrink: in.Body.Shrink, Key: key})
			})
		})

	register(s, op{id: "delete-volume", method: http.MethodDelete, path: "/volumes/{id}", tag: tag, perm: access.VolumeManage, status: 202, summary: "Delete a volume",
		doc: "Refused while anything needs it; the error names every VM and every volume that is built on it."},
		func(ctx context.Context, in *struct {
			VolumePath
			ChangeParams
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return s.Fleet.DeleteVolume(ctx, actor(ctx), in.ID, key) })
		})

	register(s, op{id: "delete-volumes", method: http.MethodPost, path: "/volumes/delete", tag: tag, perm: access.VolumeManage, status: 202, summary: "Delete many volumes",
		doc: "Those that something needs are left and named in the job's result."},
		func(ctx context.Context, in *struct {
			ChangeParams
			Body VolumeBulk
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return s.Fleet.DeleteVolumes(ctx, actor(ctx), in.Body.IDs, key) })
		})
}

func (s *server) getVolume(ctx context.Context, in *VolumePath) (*volumeOutput, error) {
	item, err := s.DB.StorageVolume(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	at, err := s.DB.VolumeOn(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	users, err := s.DB.VolumeNeeds(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	chain, err := s.DB.Chain(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := VolumeDetail{StorageVolume: volumeOf(&item), Users: list(users), Hosts: []VolumeHost{}, Chain: []ChainLink{}}
	for _, v := range at {
		out.Hosts = append(out.Hosts, VolumeHost{v.HostID, v.Path})
	}
	for _, c := range chain {
		out.Chain = append(out.Chain, ChainLink{c.ID, c.Name, c.Path, c.Format, c.CapacityBytes, c.Level, usesOf(c.Users), c.Loop})
	}
	return &volumeOutput{out}, nil
}
