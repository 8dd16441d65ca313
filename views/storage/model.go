// Package storage shows storage pools and volumes: the lists, one pool, one volume with its users and its chain, the forms that make them and the dialogs
// that ask before something goes. It also reads its own forms back, so that field names are written once.
//
// It is not for fetching anything (handlers fill the models), nor for the disks of a VM (views/vms).
package storage

import (
	"novacron/domain"
	"novacron/views/charts"
	"novacron/views/layout"
)

// Pool is one pool of the estate, with the hosts that see it.
type Pool struct {
	domain.Pool
	Hosts       []PoolHost
	Volumes     int
	Provisioned int64
}

// PoolHost is a pool as one host has it.
type PoolHost struct {
	ID, Name, Pool, Target  string
	Active, Autostart, Away bool
}

// Volume is one volume of a list.
type Volume struct {
	domain.Volume
	HostName string
	Hosts    int
	Users    []Use
	Overlays int
	Image    string
	BaseOf   string // the VM whose linked clones it was frozen for
}

// Use names a VM.
type Use struct{ ID, Name string }

// PoolList is the page of all pools.
type PoolList struct {
	Items  []Pool
	All    int
	Filter string
	Sort   string
	Desc   bool
	Hosts  int // in the estate: an empty list teaches to add one first
}

// VolumeList is the page of volumes, and the part of a pool's page that lists its own.
type VolumeList struct {
	Items   []Volume
	Total   int
	Bytes   int64
	Filter  string
	Sort    string
	Desc    bool
	Orphans bool
	Next    string
	Base    string // URL of the page
	Pool    *Pool  // set on a pool's page
}

// PoolPage is one pool.
type PoolPage struct {
	Pool    Pool
	Volumes VolumeList
	Job     *domain.Job
	Monitor charts.Set
}

// VolumePage is one volume.
type VolumePage struct {
	Volume   Volume
	Pool     Pool
	At       []VolumeAt
	Needs    []Need
	Chain    []Link // lowest first
	Sum      *Sum
	Upload   *Upload
	Job      *domain.Job
	Jobs     []domain.Job
	Download int64  // bytes; 0: not known
	Why      string // why nobody may write to it; "" when they may
}

// VolumeAt is where one host sees a volume.
type VolumeAt struct{ HostID, HostName, Path string }

// Need is one thing that needs a volume, in words.
type Need struct {
	domain.VolumeUser
	Words string
}

// Link is one image of a chain. Level 0 is the volume itself, below 0 what it is built on, above 0 what is built on it.
type Link struct {
	domain.Volume
	Level int
	Users []Use
	Loop  bool
}

// Sum is the checksum that was computed last.
type Sum struct {
	SHA256 string
	Bytes  int64
	At     int64 // unix milliseconds
}

// Upload is content on its way in.
type Upload struct {
	JobID           string
	Received, Total int64
}

// AskPool is the dialog before a pool is stopped or deleted.
type AskPool struct {
	Pool    Pool
	Action  string // stop, delete
	Needs   []Need
	Data    bool
	Confirm string
	Key     string
	Err     *domain.Error
}

// AskVolumes is the dialog before volumes are deleted.
type AskVolumes struct {
	Chosen []Doomed
	Key    string
	Err    *domain.Error
}

// Doomed is a volume that is to go, and who needs it.
type Doomed struct {
	Volume Volume
	Needs  []Need
}

// AskVolume is the dialog for something to be done with one volume: resize, copy, move, checksum, upload.
type AskVolume struct {
	Volume Volume
	Pool   Pool
	Action string
	Needs  []Need
	Pools  []Pool // move: where it can go
	Form   VolumeForm
	Key    string
	Err    *domain.Error
}

// NewPool is the form that makes a pool.
type NewPool struct {
	Form  PoolForm
	Hosts []HostChoice
	Key   string
	Err   *domain.Error
}

// HostChoice is a host that a pool may be made on.
type HostChoice struct {
	ID, Name string
	Why      string // why not now
	Types    []string
}

// NewVolume is the form that makes a volume.
type NewVolume struct {
	Form    VolumeForm
	Pools   []Pool
	Volumes []domain.Volume // of the chosen pool: what may be copied or built on
	Whose   layout.Whose
	Key     string
	Err     *domain.Error
}
