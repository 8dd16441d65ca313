package domain

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
