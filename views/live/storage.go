package live

import "net/url"

// Pages of storage: pools, volumes and the disks of a VM.
const (
	Storage        = "/storage"         // GET the pools: filter, sort, desc
	StorageVolumes = "/storage/volumes" // GET filter, pool, host, orphans, sort, desc, after; POST makes one
	PoolNew        = "/storage/pools/new"
	Pools          = "/storage/pools" // POST makes one
	PatPool        = "/storage/pools/:id"
	PatPoolAct     = "/storage/pools/:id/:action" // GET stop, delete: dialog; POST start, stop, refresh, autostart (on), delete (data, confirm)
	VolumeNew      = "/storage/volumes/new"       // GET form; any field as query prefills it
	VolumeBulk     = "/storage/volumes/delete"    // GET ids: dialog; POST ids
	PatVolume      = "/storage/volumes/:id"
	PatVolumeAct   = "/storage/volumes/:id/:action" // GET dialog, POST: resize, copy, move, delete, checksum, upload
	PatContent     = "/storage/volumes/:id/content" // GET download; HEAD how far an upload is; PUT a part of one
	VolumeUpload   = "/storage/volumes/upload"      // GET: a volume is made for a file and filled with it; needs scripts
	PatDisk        = "/vms/:id/disks/:target/:action"
	StorageFormID  = "storage"
	PoolHead       = "pool-head"
	PoolFacts      = "pool-facts"
	VolumeFacts    = "volume-facts"
	VolumeUploadID = "volume-upload"
)

// Pool is a pool's page.
func Pool(id string) string { return at("storage", "pools", id) }

// PoolAct asks for and does one thing with a pool.
func PoolAct(id, action string) string { return at("storage", "pools", id, action) }

// Volume is a volume's page.
func Volume(id string) string { return at("storage", "volumes", id) }

// VolumeAct asks for and does one thing with a volume.
func VolumeAct(id, action string) string { return at("storage", "volumes", id, action) }

// VolumeContent is what is in a volume.
func VolumeContent(id string) string { return VolumeAct(id, "content") }

// VolumeNewIn is the form for a volume with the pool chosen.
func VolumeNewIn(pool string) string { return VolumeNew + "?" + url.Values{"pool": {pool}}.Encode() }

// VolumeUploadInto is the page that makes a volume of a file, with the pool chosen.
func VolumeUploadInto(pool string) string {
	return VolumeUpload + "?" + url.Values{"pool": {pool}}.Encode()
}

// Orphans lists the volumes that nobody needs.
func Orphans() string { return StorageVolumes + "?orphans=1" }

// VolumesWhere lists the volumes whose name or path has a text.
func VolumesWhere(text string) string {
	return StorageVolumes + "?" + url.Values{"filter": {text}}.Encode()
}

// Disk asks for and does one thing with a disk of a VM.
func Disk(vm, target, action string) string { return at("vms", vm, "disks", target, action) }
