package domain

import (
	"strings"
)

// VolumeUser is one thing that needs a volume: a VM that has it, or an image built on it, as a disk, or an image that is built on it and that no VM has.
type VolumeUser struct {
	Kind     string `json:"kind"` // vm or volume
	ID       string `json:"id"`
	Name     string `json:"name"`
	HostID   string `json:"host_id"`
	HostName string `json:"host_name,omitempty"`
	Path     string `json:"path,omitempty"`   // of the volume that is used or built on: the volume itself, or one above it
	Target   string `json:"target,omitempty"` // the VM's name for the disk, as in vda
	Direct   bool   `json:"direct"`           // uses the volume itself; else through what is built on it
	Live     bool   `json:"live"`             // the VM runs with it now
	Config   bool   `json:"config"`           // the VM has it at its next start
	ReadOnly bool   `json:"read_only,omitempty"`
}

// CheckVolumeName validates the name of a new volume: a plain file name, which every kind of pool can hold.
func CheckVolumeName(p *Problems, field, name string) {
	switch {
	case name == "":
		p.Add(field, "A name is needed.", "for example data.qcow2")
	case !volumeNameRE.MatchString(name) || strings.Contains(name, ".."):
		p.Add(field, "“"+name+"” cannot be a volume's name.", "1 to 128 letters, digits, dots, hyphens or underscores, starting with a letter or digit")
	}
}

var volumeNameRE = lazily(`^[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}$`)

// CheckVolumeFormat validates the format of a new volume for a kind of pool.
func CheckVolumeFormat(p *Problems, field, format, poolType string) {
	if FilePool(poolType) {
		oneOf(p, field, format, "qcow2", "raw")
	} else if format != "raw" {
		p.Add(field, "A "+poolType+" pool has only raw volumes.", "raw")
	}
}

// CheckVolumeSize validates the size of a volume.
func CheckVolumeSize(p *Problems, field string, n int64) {
	switch {
	case n < MiB || n > maxDisk:
		p.Add(field, FormatBytes(n)+" is not a possible size.", "from 1 MiB to 1 PiB, for example 20 GiB")
	case n%512 != 0:
		p.Add(field, "A size is a multiple of 512 bytes.", FormatBytes((n/512+1)*512))
	}
}
