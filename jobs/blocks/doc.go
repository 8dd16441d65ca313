// Package blocks works on what disks are made of: the content of volumes (volume.upload, volume.checksum), where they lie (volume.move) and the images
// that disks stand on (disk.flatten, disk.commit), and it keeps the passphrases of encrypted volumes.
//
// Content is the one thing that handlers stream through to a host; a job stands beside every upload, holds the volume while bytes come in, and tidies up when
// they stop coming. What a guest stands on is changed by the host itself: the steps here ask for it, look how far it is, and after a crash find it again.
//
// It is not for making, resizing and deleting volumes (jobs/storage), nor for snapshots (jobs/snapshot).
package blocks
