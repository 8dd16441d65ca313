package domain

import (
	"strings"
	"time"
)

// Folder is a place in the tree in which a tenant, or the estate, keeps its VMs. Roles can be given in a folder: they hold in all below it too.
type Folder struct {
	ID        string
	Tenant    string // whose it is; empty: the estate's
	Parent    string // the folder above; empty: at the top
	Name      string
	Path      string // names from the top, with / between: unique in a tenant
	VMs       int    // in it and in those below, as far as who asks sees them
	CreatedAt time.Time
	Version   int64
}

// FoldersDeep is how deep folders nest.
const FoldersDeep = 8

// Depth is how deep the folder lies; 1 is the top.
func (f Folder) Depth() int { return strings.Count(f.Path, "/") + 1 }

// CheckFolderName validates a folder's name.
func CheckFolderName(p *Problems, name string) {
	if name == "" || len(name) > 64 || strings.TrimSpace(name) != name || strings.ContainsAny(name, `/"*,`) || strings.ContainsFunc(name, Unseen) {
		p.Add("name", "That is not a name for a folder.", `1 to 64 characters without / " * and commas, such as web servers`)
	}
}
