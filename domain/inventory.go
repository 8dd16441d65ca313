package domain

// Pool is a storage pool as its host reports it. Name is unique on its host.
type Pool struct {
	ID        string `json:"id"` // PoolID; hosts that see the same shared storage report the same
	HostID    string `json:"host_id"`
	UUID      string `json:"uuid"`
	Name      string `json:"name"`
	Type      string `json:"type"` // dir, fs, netfs, logical, rbd …
	Active    bool   `json:"active"`
	Autostart bool   `json:"autostart"`
	Target    string `json:"target"` // path on the host; empty for pools without one
	// Identity is what shared storage is known by from any host: "netfs:server:/export", "rbd:monitors/pool", "iscsi:portal/iqn". Empty for storage
	// that only this host has, as far as can be told.
	Identity        string     `json:"identity"`
	Source          PoolSource `json:"source,omitzero"`
	CapacityBytes   int64      `json:"capacity_bytes"`
	AllocationBytes int64      `json:"allocation_bytes"`
	AvailableBytes  int64      `json:"available_bytes"`
}

// Volume is one volume of a pool.
type Volume struct {
	ID              string `json:"id"`
	PoolID          string `json:"pool_id"`
	HostID          string `json:"host_id"`
	Pool            string `json:"pool"`
	Name            string `json:"name"`
	Path            string `json:"path"` // what a disk's source names
	Format          string `json:"format"`
	CapacityBytes   int64  `json:"capacity_bytes"`
	AllocationBytes int64  `json:"allocation_bytes"`
	Backing         string `json:"backing,omitempty"` // path of the backing image
	BackingFormat   string `json:"backing_format,omitempty"`
	Encrypted       bool   `json:"encrypted,omitempty"` // LUKS
}

// Device is a node device worth showing: PCI, USB, net, storage, mediated.
type Device struct {
	HostID string `json:"host_id"`
	Name   string `json:"name"` // libvirt's name, unique on the host
	Kind   string `json:"kind"` // pci, usb, net, scsi, storage, mdev …
	Label  string `json:"label"`
	Parent string `json:"parent"`
	Driver string `json:"driver"`
	// What it is known by when a VM is to have it.
	Address    string `json:"address,omitempty"` // pci 0000:03:00.0, usb bus:device, mdev its UUID
	Model      string `json:"model,omitempty"`   // vendor:product ("10de:2230"), or the type of a mediated device
	Class      string `json:"class,omitempty"`   // gpu, network, storage, usb …
	Assignable bool   `json:"assignable"`
	Why        string `json:"why,omitempty"` // why not
}

// Inventory is everything a host lists besides guests.
type Inventory struct {
	Pools    []Pool
	Volumes  []Volume
	Networks []Network
	Devices  []Device
}
