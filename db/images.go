package db

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"novacron/domain"
)

// Images of the library and their versions. Copies on hosts are in imagecopies.go.

type imageRow struct {
	ID          string
	Name        string
	Arch        string
	Description string
	CreatedAt   int64 `db:"created_at"`
	Version     int64
}

const imageColumns = "id, name, arch, description, created_at, version"

func (r imageRow) image() domain.Image {
	return domain.Image{ID: r.ID, Name: r.Name, Arch: r.Arch, Description: r.Description, CreatedAt: at(r.CreatedAt), Version: r.Version}
}

type imageVersionRow struct {
	ID           string
	ImageID      string `db:"image_id"`
	ImageName    string `db:"image_name"`
	Arch         string
	Label        string
	State        string
	Format       string
	VirtualBytes int64 `db:"virtual_bytes"`
	FileBytes    int64 `db:"file_bytes"`
	SHA256       string
	Source       string
	Hints        string
	Changelog    string
	JobID        string `db:"job_id"`
	CreatedAt    int64  `db:"created_at"`
	PublishedAt  int64  `db:"published_at"`
	LastUsedAt   int64  `db:"last_used_at"`
}

const imageVersionSelect = `SELECT v.id, v.image_id, i.name AS image_name, i.arch, v.label, v.state, v.format, v.virtual_bytes, v.file_bytes, v.sha256, v.source, v.hints, v.changelog,
	v.job_id, v.created_at, v.published_at, v.last_used_at FROM image_versions v JOIN images i ON i.id = v.image_id`

func (r imageVersionRow) version() (domain.ImageVersion, error) {
	v := domain.ImageVersion{ID: r.ID, ImageID: r.ImageID, ImageName: r.ImageName, Arch: r.Arch, Label: r.Label, State: domain.ImageState(r.State), Format: r.Format,
		VirtualBytes: r.VirtualBytes, FileBytes: r.FileBytes, SHA256: r.SHA256, Changelog: r.Changelog, JobID: r.JobID, CreatedAt: at(r.CreatedAt),
		PublishedAt: at(r.PublishedAt), LastUsedAt: at(r.LastUsedAt)}
	if err := parse(r.Source, &v.Source); err != nil {
		return v, err
	}
	return v, parse(r.Hints, &v.Hints)
}

func imageVersions(ctx context.Context, q getter, where string, args ...any) ([]domain.ImageVersion, error) {
	var rows []imageVersionRow
	if err := q.SelectContext(ctx, &rows, imageVersionSelect+where, args...); err != nil {
		return nil, edge(err, "version of an image")
	}
	out := make([]domain.ImageVersion, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.version(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func oneImageVersion(ctx context.Context, q getter, what, where string, args ...any) (domain.ImageVersion, error) {
	vs, err := imageVersions(ctx, q, where, args...)
	if err != nil {
		return domain.ImageVersion{}, err
	}
	if len(vs) == 0 {
		return domain.ImageVersion{}, edge(sql.ErrNoRows, what)
	}
	return vs[0], nil
}

// ImageQuery asks for a page of images.
type ImageQuery struct {
	Filter string // words that the name or the description contains
	State  domain.ImageState
	Sort   string // name (default) or created
	Desc   bool
	After  string
	Limit  int // 0: 100; at most 1000
}

// ImagePage is a page of images with their versions.
type ImagePage struct {
	Items []domain.Image
	Next  string
	Total int
}

// Images gives a page of the library.
func (d *DB) Images(ctx context.Context, q ImageQuery) (ImagePage, error) {
	var cond []string
	var args []any
	for _, w := range strings.Fields(strings.ToLower(q.Filter)) {
		cond, args = append(cond, `(name LIKE ? ESCAPE '\' OR lower(description) LIKE ? ESCAPE '\' OR arch = ?)`), append(args, "%"+escapeLike(w)+"%", "%"+escapeLike(w)+"%", w)
	}
	if q.State != "" {
		cond, args = append(cond, "EXISTS (SELECT 1 FROM image_versions s WHERE s.image_id = images.id AND s.state = ?)"), append(args, string(q.State))
	}
	mine, of := ownedInSight(ctx, "images.id", true)
	cond, args = append(cond, mine...), append(args, of...)
	var page ImagePage
	var rows []imageRow
	next, total, err := keyset(ctx, d.read, "images", imageColumns, sorted{q.Sort, q.Desc, q.After, q.Limit}, cond, args, &rows, func(i int) (string, int64, string) {
		return rows[i].Name, rows[i].CreatedAt, rows[i].ID
	})
	if err != nil {
		return page, err
	}
	page.Next, page.Total = next, total
	rows = rows[:min(len(rows), limit(q.Limit, defaultLimit))]
	page.Items = each(rows, imageRow.image)
	if err := d.ownImages(ctx, page.Items); err != nil {
		return page, err
	}
	return page, d.attachVersions(ctx, page.Items)
}

func (d *DB) ownImages(ctx context.Context, images []domain.Image) error {
	ids := make([]string, len(images))
	for i := range images {
		ids[i] = images[i].ID
	}
	owners, err := d.Owners(ctx, ids...)
	for i := range images {
		images[i].Tenant = owners[images[i].ID]
	}
	return err
}

// sorted is what pages of small lists have in common.
type sorted struct {
	by    string
	desc  bool
	after string
	limit int
}

// keyset reads a page of a table that has name, created_at and id; rows may get one row more than the page holds, and key gives what row i is sorted by.
func keyset[R any](ctx context.Context, q getter, table, columns string, s sorted, cond []string, args []any, rows *[]R, key func(i int) (name string, created int64, id string)) (next string, total int, err error) {
	column := map[string]string{"": "name", "name": "name", "created": "created_at"}[s.by]
	if column == "" {
		return "", 0, domain.InvalidField("sort", "“"+s.by+"” is not something to sort by.", "name or created")
	}
	if err := q.GetContext(ctx, &total, "SELECT count(*) FROM "+table+and(cond), args...); err != nil {
		return "", 0, edge(err, "record")
	}
	order, than := "", ">"
	if s.desc {
		order, than = " DESC", "<"
	}
	if s.after != "" {
		c, err := parseCursor(s.after, s.by, s.desc)
		if err != nil {
			return "", 0, err
		}
		var key any = c.Key
		if column == "created_at" {
			if key, err = strconv.ParseInt(c.Key, 10, 64); err != nil {
				return "", 0, domain.InvalidField("after", "That is not a cursor of this list.", "“next” of an earlier page")
			}
		}
		cond, args = append(cond, fmt.Sprintf("(%s, id) %s (?, ?)", column, than)), append(args, key, c.ID)
	}
	n := limit(s.limit, defaultLimit)
	if err := q.SelectContext(ctx, rows, "SELECT "+columns+" FROM "+table+and(cond)+" ORDER BY "+column+order+", id"+order+" LIMIT ?", append(args, n+1)...); err != nil {
		return "", 0, edge(err, "record")
	}
	if len(*rows) <= n {
		return "", total, nil
	}
	name, created, id := key(n - 1)
	c := cursor{Sort: s.by, Desc: s.desc, Key: name, ID: id}
	if column == "created_at" {
		c.Key = strconv.FormatInt(created, 10)
	}
	return c.String(), total, nil
}

func (d *DB) attachVersions(ctx context.Context, images []domain.Image) error {
	if len(images) == 0 {
		return nil
	}
	at, args := map[string]*domain.Image{}, make([]any, len(images))
	for i := range images {
		at[images[i].ID], args[i] = &images[i], images[i].ID
	}
	vs, err := imageVersions(ctx, d.read, " WHERE v.image_id IN (?"+strings.Repeat(", ?", len(args)-1)+") ORDER BY v.created_at DESC, v.id DESC", args...)
	for _, v := range vs {
		if i := at[v.ImageID]; i != nil {
			i.Versions = append(i.Versions, v)
		}
	}
	return err
}

// Image reads an image, by its id or its name, with its versions.
func (d *DB) Image(ctx context.Context, idOrName string) (domain.Image, error) {
	var r imageRow
	mine, of := inSight(ctx, "images.id")
	if err := d.read.GetContext(ctx, &r, "SELECT "+imageColumns+" FROM images WHERE (id = ? OR name = ?)"+mine, append([]any{idOrName, idOrName}, of...)...); err != nil {
		return domain.Image{}, edge(err, "image")
	}
	out := []domain.Image{r.image()}
	if err := d.ownImages(ctx, out); err != nil {
		return out[0], err
	}
	err := d.attachVersions(ctx, out)
	return out[0], err
}

// ImageVersion reads a version by its id.
func (d *DB) ImageVersion(ctx context.Context, id string) (domain.ImageVersion, error) {
	mine, of := inSight(ctx, "v.image_id")
	return oneImageVersion(ctx, d.read, "version of an image", " WHERE v.id = ?"+mine, append([]any{id}, of...)...)
}

// ImageVersion reads a version by its id.
func (tx *Tx) ImageVersion(id string) (domain.ImageVersion, error) {
	return oneImageVersion(tx.ctx, tx.read(), "version of an image", " WHERE v.id = ?", id)
}

// ImageByRef finds what "name", "name@label" or a version's id means: without a label the newest published version. NotFound names the reference.
func (d *DB) ImageByRef(ctx context.Context, ref string) (domain.ImageVersion, error) {
	name, label := domain.SplitImageRef(ref)
	mine, of := inSight(ctx, "v.image_id")
	var v domain.ImageVersion
	var err error
	switch {
	case strings.HasPrefix(ref, "imgv_"):
		v, err = d.ImageVersion(ctx, ref)
	case label != "":
		v, err = oneImageVersion(ctx, d.read, "image", " WHERE i.name = ? AND v.label = ?"+mine, append([]any{name, label}, of...)...)
	default:
		v, err = oneImageVersion(ctx, d.read, "image", " WHERE i.name = ? AND v.state = ?"+mine+" ORDER BY v.published_at DESC, v.id DESC LIMIT 1", append([]any{name, string(domain.ImagePublished)}, of...)...)
	}
	if domain.Is(err, domain.NotFound) {
		return v, domain.Errorf(domain.NotFound, "There is no image %s to use.", ref).WithFix("Choose one that the library lists; without a version the newest published one is meant.")
	}
	return v, err
}

// InsertImage writes a new image. A name in use is a Conflict on the field.
func (tx *Tx) InsertImage(i domain.Image) error {
	if err := tx.nameFree("images", "image", i.Name, i.ID); err != nil {
		return err
	}
	_, err := tx.exec("INSERT INTO images (id, name, arch, description, created_at, version) VALUES (?, ?, ?, ?, ?, 1)", i.ID, i.Name, i.Arch, i.Description, ms(tx.now()))
	if err != nil {
		return edge(err, "image")
	}
	return tx.ownNew(i.ID)
}

func (tx *Tx) nameFree(table, what, name, exceptID string) error {
	var n int
	if err := tx.read().GetContext(tx.ctx, &n, "SELECT count(*) FROM "+table+" WHERE name = ? AND id <> ?", name, exceptID); err != nil {
		return edge(err, what)
	}
	if n == 0 {
		return nil
	}
	msg := "There is a" + map[bool]string{true: "n", false: ""}[what[0] == 'i'] + " " + what + " “" + name + "” already."
	return &domain.Error{Code: domain.Conflict, Msg: msg, Fix: "Choose another name, or add a version to that one.", Fields: []domain.FieldError{{Field: "name", Msg: msg, Want: "a name that is free"}}}
}

// UpdateImage writes what people may edit, when the version is current (0: whichever it is).
func (tx *Tx) UpdateImage(i domain.Image, version int64) error {
	if err := tx.nameFree("images", "image", i.Name, i.ID); err != nil {
		return err
	}
	var now int64
	if err := tx.read().GetContext(tx.ctx, &now, "SELECT version FROM images WHERE id = ?", i.ID); err != nil {
		return edge(err, "image")
	}
	if version != 0 && version != now {
		return stale("image “"+i.Name+"”", now)
	}
	return tx.one("image", "UPDATE images SET name = ?, arch = ?, description = ?, version = version + 1 WHERE id = ?", i.Name, i.Arch, i.Description, i.ID)
}

// InsertImageVersion writes a version that a job is about to fill.
func (tx *Tx) InsertImageVersion(v domain.ImageVersion) error {
	var n int
	if err := tx.read().GetContext(tx.ctx, &n, "SELECT count(*) FROM image_versions WHERE image_id = ? AND label = ?", v.ImageID, v.Label); err != nil {
		return edge(err, "version of an image")
	}
	if n > 0 {
		msg := fmt.Sprintf("%s has a version %s already.", v.ImageName, v.Label)
		return &domain.Error{Code: domain.Conflict, Msg: msg, Fix: "Versions are never overwritten: choose another label.", Fields: []domain.FieldError{{Field: "version", Msg: msg, Want: "a label that is free"}}}
	}
	source, hints, err := sourceText(v)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO image_versions (id, image_id, label, state, format, virtual_bytes, file_bytes, sha256, source, hints, changelog, job_id, created_at, published_at, last_used_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, v.ID, v.ImageID, v.Label, string(v.State), v.Format, v.VirtualBytes, v.FileBytes, v.SHA256, source, hints, v.Changelog,
		v.JobID, ms(tx.now()), ms(v.PublishedAt), ms(v.LastUsedAt))
	return edge(err, "version of an image")
}

func sourceText(v domain.ImageVersion) (source, hints string, err error) {
	if source, err = text(v.Source); err != nil {
		return "", "", err
	}
	hints, err = text(v.Hints)
	return source, hints, err
}

// UpdateImageVersion writes a version as it is now; the caller keeps published ones immutable.
func (tx *Tx) UpdateImageVersion(v domain.ImageVersion) error {
	source, hints, err := sourceText(v)
	if err != nil {
		return err
	}
	return tx.one("version of an image", `UPDATE image_versions SET label = ?, state = ?, format = ?, virtual_bytes = ?, file_bytes = ?, sha256 = ?, source = ?, hints = ?, changelog = ?,
		job_id = ?, published_at = ?, last_used_at = ? WHERE id = ?`, v.Label, string(v.State), v.Format, v.VirtualBytes, v.FileBytes, v.SHA256, source, hints, v.Changelog, v.JobID,
		ms(v.PublishedAt), ms(v.LastUsedAt), v.ID)
}

// TouchImageVersion remembers that a version was used.
func (tx *Tx) TouchImageVersion(id string, when time.Time) error {
	return tx.one("version of an image", "UPDATE image_versions SET last_used_at = ? WHERE id = ?", ms(when), id)
}

// DeleteImageVersion forgets a version.
func (tx *Tx) DeleteImageVersion(id string) error {
	_, err := tx.exec("DELETE FROM image_versions WHERE id = ?", id)
	return edge(err, "version of an image")
}

// DeleteImage forgets an image that has no versions left.
func (tx *Tx) DeleteImage(id string) error {
	_, err := tx.exec("DELETE FROM images WHERE id = ? AND NOT EXISTS (SELECT 1 FROM image_versions v WHERE v.image_id = images.id)", id)
	return edge(err, "image")
}

// FileUsers counts the versions whose content has the checksum: the file stays while there is one.
func (tx *Tx) FileUsers(sha256 string) (int, error) {
	var n int
	err := tx.read().GetContext(tx.ctx, &n, "SELECT count(*) FROM image_versions WHERE sha256 = ?", sha256)
	return n, edge(err, "version of an image")
}

// ImageFiles lists the checksums of all files that the library must have.
func (d *DB) ImageFiles(ctx context.Context) ([]string, error) {
	var out []string
	err := d.read.SelectContext(ctx, &out, "SELECT DISTINCT sha256 FROM image_versions WHERE sha256 <> ''")
	return out, edge(err, "version of an image")
}

// ImagesImporting lists versions whose content is not there yet.
func (d *DB) ImagesImporting(ctx context.Context) ([]domain.ImageVersion, error) {
	return imageVersions(ctx, d.read, " WHERE v.state = ? ORDER BY v.id", string(domain.ImageImporting))
}
