package db

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"novacron/domain"
)

// Copies of images on hosts, disks frozen for linked clones, who uses an image, and which jobs need one.

type imageCopyRow struct {
	ID         string
	VersionID  string `db:"version_id"`
	HostID     string `db:"host_id"`
	PoolID     string `db:"pool_id"`
	Pool       string
	Volume     string
	Path       string
	State      string
	Bytes      int64
	CreatedAt  int64 `db:"created_at"`
	LastUsedAt int64 `db:"last_used_at"`
}

const imageCopyColumns = "id, version_id, host_id, pool_id, pool, volume, path, state, bytes, created_at, last_used_at"

func (r imageCopyRow) copy() domain.ImageCopy {
	return domain.ImageCopy{ID: r.ID, VersionID: r.VersionID, HostID: r.HostID, PoolID: r.PoolID, Pool: r.Pool, Volume: r.Volume, Path: r.Path, State: r.State, Bytes: r.Bytes,
		CreatedAt: at(r.CreatedAt), LastUsedAt: at(r.LastUsedAt)}
}

func imageCopies(ctx context.Context, q getter, where string, args ...any) ([]domain.ImageCopy, error) {
	var rows []imageCopyRow
	err := q.SelectContext(ctx, &rows, "SELECT "+imageCopyColumns+" FROM image_copies"+where, args...)
	return each(rows, imageCopyRow.copy), edge(err, "copy of an image")
}

func firstCopy(cs []domain.ImageCopy, err error) (domain.ImageCopy, error) {
	if err != nil {
		return domain.ImageCopy{}, err
	}
	if len(cs) == 0 {
		return domain.ImageCopy{}, edge(sql.ErrNoRows, "copy of an image")
	}
	return cs[0], nil
}

// ImageCopies lists the copies of one version, or of all when it is empty.
func (d *DB) ImageCopies(ctx context.Context, versionID string) ([]domain.ImageCopy, error) {
	if versionID == "" {
		return imageCopies(ctx, d.read, " ORDER BY created_at, id")
	}
	return imageCopies(ctx, d.read, " WHERE version_id = ? ORDER BY created_at, id", versionID)
}

// ImageCopy reads one copy. NotFound.
func (d *DB) ImageCopy(ctx context.Context, id string) (domain.ImageCopy, error) {
	return firstCopy(imageCopies(ctx, d.read, " WHERE id = ?", id))
}

// ImageCopyIn finds the copy of a version in a pool. NotFound.
func (d *DB) ImageCopyIn(ctx context.Context, versionID, poolID string) (domain.ImageCopy, error) {
	return firstCopy(imageCopies(ctx, d.read, " WHERE version_id = ? AND pool_id = ?", versionID, poolID))
}

// InsertImageCopy writes down a copy before its volume is made.
func (tx *Tx) InsertImageCopy(c domain.ImageCopy) error {
	_, err := tx.exec("INSERT INTO image_copies (id, version_id, host_id, pool_id, pool, volume, path, state, bytes, created_at, last_used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		c.ID, c.VersionID, c.HostID, c.PoolID, c.Pool, c.Volume, c.Path, c.State, c.Bytes, ms(tx.now()), ms(tx.now()))
	return edge(err, "copy of an image")
}

// SetImageCopyReady marks a copy that was written and verified.
func (tx *Tx) SetImageCopyReady(id, path string) error {
	return tx.one("copy of an image", "UPDATE image_copies SET state = ?, path = ?, last_used_at = ? WHERE id = ?", domain.CopyReady, path, ms(tx.now()), id)
}

// TouchImageCopy remembers that a copy was used, and its version with it.
func (tx *Tx) TouchImageCopy(c domain.ImageCopy, when time.Time) error {
	if err := tx.one("copy of an image", "UPDATE image_copies SET last_used_at = ? WHERE id = ?", ms(when), c.ID); err != nil {
		return err
	}
	return tx.one("version of an image", "UPDATE image_versions SET last_used_at = ? WHERE id = ?", ms(when), c.VersionID)
}

// DeleteImageCopy forgets a copy; none there is fine.
func (tx *Tx) DeleteImageCopy(id string) error {
	_, err := tx.exec("DELETE FROM image_copies WHERE id = ?", id)
	return edge(err, "copy of an image")
}

type baseDiskRow struct {
	ID        string
	HostID    string `db:"host_id"`
	PoolID    string `db:"pool_id"`
	Pool      string
	Volume    string
	Path      string
	Format    string
	OfVM      string `db:"of_vm"`
	CreatedAt int64  `db:"created_at"`
}

const baseDiskColumns = "id, host_id, pool_id, pool, volume, path, format, of_vm, created_at"

func (r baseDiskRow) disk() domain.BaseDisk {
	return domain.BaseDisk{ID: r.ID, HostID: r.HostID, PoolID: r.PoolID, Pool: r.Pool, Volume: r.Volume, Path: r.Path, Format: r.Format, OfVM: r.OfVM, CreatedAt: at(r.CreatedAt)}
}

// BaseDisks lists disks that were frozen for linked clones.
func (d *DB) BaseDisks(ctx context.Context) ([]domain.BaseDisk, error) {
	var rows []baseDiskRow
	err := d.read.SelectContext(ctx, &rows, "SELECT "+baseDiskColumns+" FROM base_disks ORDER BY created_at, id")
	return each(rows, baseDiskRow.disk), edge(err, "base disk")
}

// BaseDisk reads one frozen disk. NotFound.
func (d *DB) BaseDisk(ctx context.Context, id string) (domain.BaseDisk, error) {
	var r baseDiskRow
	err := d.read.GetContext(ctx, &r, "SELECT "+baseDiskColumns+" FROM base_disks WHERE id = ?", id)
	return r.disk(), edge(err, "base disk")
}

// InsertBaseDisk writes down a frozen disk; one that is known already stays.
func (tx *Tx) InsertBaseDisk(b domain.BaseDisk) error {
	_, err := tx.exec("INSERT INTO base_disks (id, host_id, pool_id, pool, volume, path, format, of_vm, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (pool_id, volume) DO NOTHING",
		b.ID, b.HostID, b.PoolID, b.Pool, b.Volume, b.Path, b.Format, b.OfVM, ms(tx.now()))
	return edge(err, "base disk")
}

// DeleteBaseDisk forgets a frozen disk by its place; none there is fine.
func (tx *Tx) DeleteBaseDisk(poolID, volume string) error {
	_, err := tx.exec("DELETE FROM base_disks WHERE pool_id = ? AND volume = ?", poolID, volume)
	return edge(err, "base disk")
}

// Frozen says why nobody may write to a volume, in words for a refusal; "" when they may.
func (d *DB) Frozen(ctx context.Context, poolID, volume string) (string, error) {
	var images []string
	if err := d.read.SelectContext(ctx, &images, `SELECT i.name || '@' || v.label FROM image_copies c JOIN image_versions v ON v.id = c.version_id JOIN images i ON i.id = v.image_id
		WHERE c.pool_id = ? AND c.volume = ?`, poolID, volume); err != nil {
		return "", edge(err, "copy of an image")
	}
	if len(images) > 0 {
		return "is the copy of the image " + images[0] + " that VMs are built on", nil
	}
	var of []string
	if err := d.read.SelectContext(ctx, &of, "SELECT of_vm FROM base_disks WHERE pool_id = ? AND volume = ?", poolID, volume); err != nil {
		return "", edge(err, "base disk")
	}
	if len(of) > 0 {
		return "is what linked clones of " + of[0] + " are built on", nil
	}
	return "", nil
}

// ImageUse is one VM that began as a version of an image.
type ImageUse struct {
	VMID      string `db:"vm_id"`
	VMName    string `db:"vm_name"`
	HostID    string `db:"host_id"`
	Disk      int
	VersionID string `db:"version_id"`
	Linked    bool
}

// ImageUses lists the VMs that began as versions of an image.
func (d *DB) ImageUses(ctx context.Context, imageID string) ([]ImageUse, error) {
	var out []ImageUse
	err := d.read.SelectContext(ctx, &out, `SELECT u.vm_id, m.name AS vm_name, m.host_id, u.disk, u.version_id, u.linked FROM image_uses u JOIN vms m ON m.id = u.vm_id
		JOIN image_versions v ON v.id = u.version_id WHERE v.image_id = ? ORDER BY m.name_key, u.vm_id, u.disk`, imageID)
	return out, edge(err, "use of an image")
}

// ImageMadeOf gives the newest usable version that was made of a disk of a VM. NotFound.
func (d *DB) ImageMadeOf(ctx context.Context, vmID, target string) (domain.ImageVersion, error) {
	mine, of := inSight(ctx, "v.image_id")
	all, err := imageVersions(ctx, d.read, " WHERE v.state IN (?, ?) AND v.source LIKE ?"+mine+" ORDER BY v.created_at DESC, v.id DESC",
		append([]any{string(domain.ImagePublished), string(domain.ImageDraft), "%" + vmID + "%"}, of...)...)
	if err != nil {
		return domain.ImageVersion{}, err
	}
	for _, v := range all {
		if v.Source.Kind == domain.SourceVM && v.Source.ID == vmID && strings.HasSuffix(v.Source.Name, "("+target+")") {
			return v, nil
		}
	}
	return domain.ImageVersion{}, domain.Errorf(domain.NotFound, "No image was made of this VM yet.")
}

// ImagesOfVM lists which versions a VM's disks began as.
func (d *DB) ImagesOfVM(ctx context.Context, vmID string) ([]domain.ImageVersion, error) {
	return imageVersions(ctx, d.read, " JOIN image_uses u ON u.version_id = v.id WHERE u.vm_id = ? ORDER BY u.disk", vmID)
}

// InsertImageUse remembers which image a new VM's disk began as.
func (tx *Tx) InsertImageUse(vmID string, disk int, versionID string, linked bool) error {
	_, err := tx.exec("INSERT INTO image_uses (vm_id, disk, version_id, linked) VALUES (?, ?, ?, ?) ON CONFLICT (vm_id, disk) DO NOTHING", vmID, disk, versionID, flag(linked))
	return edge(err, "use of an image")
}

// CopyImageUses lets a clone remember what its original began as.
func (tx *Tx) CopyImageUses(fromVM, toVM string) error {
	_, err := tx.exec("INSERT INTO image_uses (vm_id, disk, version_id, linked) SELECT ?, disk, version_id, linked FROM image_uses WHERE vm_id = ?", toVM, fromVM)
	return edge(err, "use of an image")
}

// HoldImage lets a job keep a version, its file and its copies until it ends.
func (tx *Tx) HoldImage(jobID, versionID string) error {
	_, err := tx.exec("INSERT INTO image_holds (job_id, version_id) VALUES (?, ?) ON CONFLICT (job_id, version_id) DO NOTHING", jobID, versionID)
	return edge(err, "hold of an image")
}

// HeldImages lists versions that jobs which have not ended need, with the title of one such job.
func (d *DB) HeldImages(ctx context.Context) (map[string]string, error) {
	return heldImages(ctx, d.read)
}

// HeldImages lists versions that jobs which have not ended need, with the title of one such job.
func (tx *Tx) HeldImages() (map[string]string, error) { return heldImages(tx.ctx, tx.read()) }

func heldImages(ctx context.Context, q getter) (map[string]string, error) {
	var rows []struct {
		VersionID string `db:"version_id"`
		Title     string
	}
	err := q.SelectContext(ctx, &rows, "SELECT h.version_id, j.title FROM image_holds h JOIN jobs j ON j.id = h.job_id WHERE j.state IN ('queued', 'running', 'stuck')")
	out := make(map[string]string, len(rows))
	for _, r := range rows {
		out[r.VersionID] = r.Title
	}
	return out, edge(err, "hold of an image")
}

// ImageNeeds says what stands in the way of deleting versions of an image: VMs are none, since they have disks of their own unless they are linked, which
// keeps the copy and not the library's file.
func (tx *Tx) ImageNeeds(versionIDs []string) (templates []string, copies int, err error) {
	if len(versionIDs) == 0 {
		return nil, 0, nil
	}
	args := make([]any, len(versionIDs))
	for i, id := range versionIDs {
		args[i] = id
	}
	in := "(?" + strings.Repeat(", ?", len(args)-1) + ")"
	if err = tx.read().SelectContext(tx.ctx, &templates, `SELECT DISTINCT t.name || '@' || tv.number FROM template_images ti JOIN template_versions tv ON tv.id = ti.template_version_id
		JOIN templates t ON t.id = tv.template_id WHERE ti.version_id IN `+in+" ORDER BY 1", args...); err != nil {
		return nil, 0, edge(err, "template")
	}
	err = tx.read().GetContext(tx.ctx, &copies, "SELECT count(*) FROM image_copies WHERE version_id IN "+in, args...)
	return templates, copies, edge(err, "copy of an image")
}

// TemplatesOfImage lists the versions of templates that name an image without saying which version of it.
func (tx *Tx) TemplatesOfImage(imageID string) (templates []string, err error) {
	err = tx.read().SelectContext(tx.ctx, &templates, `SELECT DISTINCT t.name || '@' || tv.number FROM template_images ti JOIN template_versions tv ON tv.id = ti.template_version_id
		JOIN templates t ON t.id = tv.template_id WHERE ti.image_id = ? ORDER BY 1`, imageID)
	return templates, edge(err, "template")
}

// ForgetImageUses lets VMs forget that they began as a version, so that it can be deleted.
func (tx *Tx) ForgetImageUses(versionID string) error {
	_, err := tx.exec("DELETE FROM image_uses WHERE version_id = ?", versionID)
	return edge(err, "use of an image")
}
