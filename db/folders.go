package db

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"novacron/domain"
)

const folderColumns = "f.id, f.tenant, f.parent, f.name, f.path, f.created_at, f.version"

func readFolders(ctx context.Context, q getter, where string, args ...any) (out []domain.Folder, err error) {
	err = q.each(ctx, func(rows *sql.Rows) error {
		var f domain.Folder
		var made int64
		err := rows.Scan(&f.ID, &f.Tenant, &f.Parent, &f.Name, &f.Path, &made, &f.Version)
		f.CreatedAt = at(made)
		out = append(out, f)
		return err
	}, "SELECT "+folderColumns+" FROM folders f"+where+" ORDER BY f.tenant, lower(f.path)", args...)
	return out, edge(err, "folder")
}

func oneFolder(all []domain.Folder, err error) (domain.Folder, error) {
	if err == nil && len(all) == 0 {
		err = edge(sql.ErrNoRows, "folder")
	}
	if err != nil {
		return domain.Folder{}, err
	}
	return all[0], nil
}

// AllFolders lists every folder, whoever asks: for deciding.
func (d *DB) AllFolders(ctx context.Context) ([]domain.Folder, error) {
	return readFolders(ctx, d.read, "")
}

// Folders lists the folders in sight by tenant and path, with how many VMs in sight are in them and below.
func (d *DB) Folders(ctx context.Context) ([]domain.Folder, error) {
	all, err := d.AllFolders(ctx)
	if err != nil {
		return nil, err
	}
	in := map[string]int{}
	cond, args := conditionOfSight(ctx)
	err = d.read.each(ctx, func(rows *sql.Rows) error {
		var id string
		var n int
		err := rows.Scan(&id, &n)
		in[id] = n
		return err
	}, "SELECT v.folder, count(*) FROM vms v"+and(append([]string{"v.folder <> ''"}, cond...))+" GROUP BY v.folder", args...)
	if err != nil {
		return nil, edge(err, "folder")
	}
	sight := domain.SightOf(ctx)
	all = slices.DeleteFunc(all, func(f domain.Folder) bool { return !sight.SeesFolder(f) })
	for i := range all {
		for _, below := range all[i:] {
			if below.ID == all[i].ID || below.Tenant == all[i].Tenant && under(below.Path, all[i].Path) {
				all[i].VMs += in[below.ID]
			}
		}
	}
	return all, nil
}

// under reports whether a path lies below another.
func under(path, above string) bool {
	return len(path) > len(above) && path[len(above)] == '/' && strings.EqualFold(path[:len(above)], above)
}

// Folder reads one folder, whoever asks.
func (d *DB) Folder(ctx context.Context, id string) (domain.Folder, error) {
	return oneFolder(readFolders(ctx, d.read, " WHERE f.id = ?", id))
}

// Folder reads one folder within the transaction.
func (tx *Tx) Folder(id string) (domain.Folder, error) {
	return oneFolder(readFolders(tx.ctx, tx.read(), " WHERE f.id = ?", id))
}

// FolderNamed finds a folder of a tenant by its id or its path.
func (d *DB) FolderNamed(ctx context.Context, tenant, idOrPath string) (domain.Folder, error) {
	return oneFolder(readFolders(ctx, d.read, " WHERE f.id = ? OR f.tenant = ? AND lower(f.path) = lower(?)", idOrPath, tenant, strings.Trim(idOrPath, "/")))
}

// place sets tenant and path of a folder from the one above it.
func (tx *Tx) placeFolder(f *domain.Folder) error {
	f.Path = f.Name
	if f.Parent == "" {
		return nil
	}
	up, err := tx.Folder(f.Parent)
	if domain.Is(err, domain.NotFound) {
		return domain.InvalidField("parent", "There is no folder “"+f.Parent+"”.", "a folder's id, or nothing for one at the top")
	}
	if err != nil {
		return err
	}
	if up.Depth() >= domain.FoldersDeep {
		return domain.InvalidField("parent", up.Path+" is as deep as folders go.", "a folder further up")
	}
	f.Tenant, f.Path = up.Tenant, up.Path+"/"+f.Name
	return nil
}

func folderTaken(err error, f domain.Folder) error {
	if err = edge(err, "folder"); !domain.Is(err, domain.Conflict) {
		return err
	}
	return &domain.Error{Code: domain.Conflict, Msg: "There is a folder “" + f.Path + "” already.", Fix: "Choose another name.",
		Fields: []domain.FieldError{{Field: "name", Msg: "It is taken.", Want: "a name that is free there"}}}
}

// InsertFolder writes a new folder; it comes back with its path. A path in use is a Conflict.
func (tx *Tx) InsertFolder(f domain.Folder) (domain.Folder, error) {
	if err := tx.placeFolder(&f); err != nil {
		return f, err
	}
	f.Version = 1
	if _, err := tx.exec("INSERT INTO folders (id, tenant, parent, name, path, created_at, version) VALUES (?, ?, ?, ?, ?, ?, 1)", f.ID, f.Tenant, f.Parent, f.Name, f.Path, ms(f.CreatedAt)); err != nil {
		return f, folderTaken(err, f)
	}
	return f, tx.touchAccess()
}

// RenameFolder writes a folder's name, and the paths of those below it.
func (tx *Tx) RenameFolder(f domain.Folder, name string) (domain.Folder, error) {
	was := f.Path
	f.Name = name
	if err := tx.placeFolder(&f); err != nil {
		return f, err
	}
	if err := tx.one("folder", "UPDATE folders SET name = ?, path = ?, version = version + 1 WHERE id = ?", f.Name, f.Path, f.ID); err != nil {
		return f, folderTaken(err, f)
	}
	all, err := readFolders(tx.ctx, tx.read(), " WHERE f.tenant = ?", f.Tenant)
	if err != nil {
		return f, err
	}
	for _, b := range all {
		if !under(b.Path, was) {
			continue
		}
		if err := tx.one("folder", "UPDATE folders SET path = ?, version = version + 1 WHERE id = ?", f.Path+b.Path[len(was):], b.ID); err != nil {
			return f, folderTaken(err, b)
		}
	}
	f.Version++
	return f, tx.touchAccess()
}

// DeleteFolder forgets a folder with what was given in it; one that has VMs or folders is a Conflict.
func (tx *Tx) DeleteFolder(id string) error {
	var n struct{ VMs, Below int }
	err := tx.tx.QueryRowxContext(tx.ctx, tx.tx.Rebind("SELECT (SELECT count(*) FROM vms WHERE folder = ?), (SELECT count(*) FROM folders WHERE parent = ?)"), id, id).Scan(&n.VMs, &n.Below)
	switch {
	case err != nil:
		return edge(err, "folder")
	case n.VMs > 0:
		return domain.Errorf(domain.Conflict, "The folder has %d VMs.", n.VMs).WithFix("Put them elsewhere first.")
	case n.Below > 0:
		return domain.Errorf(domain.Conflict, "The folder has %d folders in it.", n.Below).WithFix("Delete them first.")
	}
	if err := tx.one("folder", "DELETE FROM folders WHERE id = ?", id); err != nil {
		return err
	}
	if _, err := tx.exec("DELETE FROM bindings WHERE scope = ? AND scope_id = ?", domain.ScopeFolder, id); err != nil {
		return edge(err, "binding")
	}
	return tx.touchAccess()
}

// SetVMFolder puts a VM into a folder of its tenant; empty: into none.
func (tx *Tx) SetVMFolder(vmID, folder string) error {
	return tx.one("VM", "UPDATE vms SET folder = ?, version = version + 1 WHERE id = ?", folder, vmID)
}
