package live

// Folders of VMs.
const (
	Folders   = "/folders"     // GET; POST name, place makes
	PatFolder = "/folders/:id" // POST do=rename with name and version, or do=delete

	FolderFormID = "folder"
	FolderAction = "folder" // of VMBulk: puts the selection into the folder "folder"
)

// Folder is where a folder is renamed and deleted.
func Folder(id string) string { return at("folders", id) }
