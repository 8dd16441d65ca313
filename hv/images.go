package hv

import "context"

// Redirector lets a stopped guest's disks show other files.
type Redirector interface {
	// Redirect points every disk of the definition whose source is From at the file To. Nothing else of the definition changes. A disk that shows To
	// already is left as it is; a guest that has neither is Conflict, and so is one that runs, is paused or is saved.
	Redirect(ctx context.Context, uuid string, moves []DiskMove) error
}

// DiskMove is one disk's new file.
type DiskMove struct {
	From   string `json:"from"` // path, or "pool/volume" where the definition names the disk so
	To     string `json:"to"`   // path
	Format string `json:"format"`
}
