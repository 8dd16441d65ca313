package db

import (
	"context"
	"database/sql"
	"strings"

	"novacron/db/seal"
	"novacron/domain"
)

type templateRow struct {
	ID          string
	Name        string
	Description string
	CreatedAt   int64 `db:"created_at"`
	Version     int64
}

const templateColumns = "id, name, description, created_at, version"

func (r templateRow) template() domain.Template {
	return domain.Template{ID: r.ID, Name: r.Name, Description: r.Description, CreatedAt: at(r.CreatedAt), Version: r.Version}
}

// templateDoc is what of a version is kept as one document.
type templateDoc struct {
	Spec   domain.VMSpec      `json:"spec"`
	Params []domain.Parameter `json:"parameters"`
	Boot   string             `json:"boot,omitempty"` // cloud-init, sealed: there may be a password's hash in it
	Exec   domain.ExecRules   `json:"exec,omitempty"`
}

func bootContext(versionID string) string { return "template-boot:" + versionID }

type templateVersionRow struct {
	ID         string
	TemplateID string `db:"template_id"`
	Name       string
	Number     int
	Deprecated bool
	Doc        string
	Changelog  string
	CreatedBy  string `db:"created_by"`
	CreatedAt  int64  `db:"created_at"`
}

const templateVersionSelect = `SELECT v.id, v.template_id, t.name, v.number, v.deprecated, v.doc, v.changelog, v.created_by, v.created_at
	FROM template_versions v JOIN templates t ON t.id = v.template_id`

func (r templateVersionRow) version(box *seal.Box) (domain.TemplateVersion, error) {
	var doc templateDoc
	err := parse(r.Doc, &doc)
	v := domain.TemplateVersion{ID: r.ID, TemplateID: r.TemplateID, Name: r.Name, Number: r.Number, Deprecated: r.Deprecated, Spec: doc.Spec, Params: doc.Params, ExecRules: doc.Exec,
		Changelog: r.Changelog, CreatedBy: r.CreatedBy, CreatedAt: at(r.CreatedAt)}
	if err != nil || doc.Boot == "" {
		return v, err
	}
	plain, err := box.Open(doc.Boot, bootContext(r.ID))
	if err != nil {
		return v, err
	}
	v.CloudInit = new(domain.CloudInit)
	return v, parse(string(plain), v.CloudInit)
}

func (d *DB) templateVersions(ctx context.Context, where string, args ...any) ([]domain.TemplateVersion, error) {
	var rows []templateVersionRow
	if err := d.read.SelectContext(ctx, &rows, templateVersionSelect+where, args...); err != nil {
		return nil, edge(err, "version of a template")
	}
	out := make([]domain.TemplateVersion, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.version(d.box); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// TemplateQuery asks for a page of templates.
type TemplateQuery struct {
	Filter string // words that the name or the description contains
	Sort   string // name (default) or created
	Desc   bool
	After  string
	Limit  int
}

// TemplatePage is a page of templates with their versions.
type TemplatePage struct {
	Items []domain.Template
	Next  string
	Total int
}

// Templates gives a page of templates.
func (d *DB) Templates(ctx context.Context, q TemplateQuery) (TemplatePage, error) {
	var cond []string
	var args []any
	for _, w := range strings.Fields(strings.ToLower(q.Filter)) {
		cond, args = append(cond, `(name LIKE ? ESCAPE '\' OR lower(description) LIKE ? ESCAPE '\')`), append(args, "%"+escapeLike(w)+"%", "%"+escapeLike(w)+"%")
	}
	mine, of := ownedInSight(ctx, "templates.id", true)
	cond, args = append(cond, mine...), append(args, of...)
	var page TemplatePage
	var rows []templateRow
	next, total, err := keyset(ctx, d.read, "templates", templateColumns, sorted{q.Sort, q.Desc, q.After, q.Limit}, cond, args, &rows, func(i int) (string, int64, string) {
		return rows[i].Name, rows[i].CreatedAt, rows[i].ID
	})
	if err != nil {
		return page, err
	}
	page.Next, page.Total = next, total
	rows = rows[:min(len(rows), limit(q.Limit, defaultLimit))]
	page.Items = each(rows, templateRow.template)
	if err := d.ownTemplates(ctx, page.Items); err != nil {
		return page, err
	}
	return page, d.attachTemplateVersions(ctx, page.Items)
}

func (d *DB) ownTemplates(ctx context.Context, templates []domain.Template) error {
	ids := make([]string, len(templates))
	for i := range templates {
		ids[i] = templates[i].ID
	}
	owners, err := d.Owners(ctx, ids...)
	for i := range templates {
		templates[i].Tenant = owners[templates[i].ID]
	}
	return err
}

func (d *DB) attachTemplateVersions(ctx context.Context, templates []domain.Template) error {
	if len(templates) == 0 {
		return nil
	}
	at, args := map[string]*domain.Template{}, make([]any, len(templates))
	for i := range templates {
		at[templates[i].ID], args[i] = &templates[i], templates[i].ID
	}
	in := " IN (?" + strings.Repeat(", ?", len(args)-1) + ")"
	vs, err := d.templateVersions(ctx, " WHERE v.template_id"+in+" ORDER BY v.number DESC", args...)
	if err != nil {
		return err
	}
	for _, v := range vs {
		at[v.TemplateID].Versions = append(at[v.TemplateID].Versions, v)
	}
	var counts []struct {
		TemplateID string `db:"template_id"`
		N          int
	}
	if err := d.read.SelectContext(ctx, &counts, "SELECT template_id, count(*) AS n FROM vm_templates WHERE template_id"+in+" GROUP BY template_id", args...); err != nil {
		return edge(err, "template")
	}
	for _, c := range counts {
		at[c.TemplateID].VMs = c.N
	}
	return nil
}

// Template reads a template by its id or its name, with its versions.
func (d *DB) Template(ctx context.Context, idOrName string) (domain.Template, error) {
	var r templateRow
	mine, of := inSight(ctx, "templates.id")
	if err := d.read.GetContext(ctx, &r, "SELECT "+templateColumns+" FROM templates WHERE (id = ? OR name = ?)"+mine, append([]any{idOrName, idOrName}, of...)...); err != nil {
		return domain.Template{}, edge(err, "template")
	}
	out := []domain.Template{r.template()}
	if err := d.ownTemplates(ctx, out); err != nil {
		return out[0], err
	}
	err := d.attachTemplateVersions(ctx, out)
	return out[0], err
}

// InsertTemplate writes a new template without versions. A name in use is a Conflict on the field.
func (tx *Tx) InsertTemplate(t domain.Template) error {
	if err := tx.nameFree("templates", "template", t.Name, t.ID); err != nil {
		return err
	}
	_, err := tx.exec("INSERT INTO templates (id, name, description, created_at, version) VALUES (?, ?, ?, ?, 1)", t.ID, t.Name, t.Description, ms(tx.now()))
	if err != nil {
		return edge(err, "template")
	}
	return tx.ownNew(t.ID)
}

// TemplateNameFree refuses the name of a template that there is already.
func (tx *Tx) TemplateNameFree(name string) error {
	return tx.nameFree("templates", "template", name, "")
}

// UpdateTemplate writes what people may edit, when the version is current (0: whichever it is).
func (tx *Tx) UpdateTemplate(t domain.Template, version int64) error {
	if err := tx.nameFree("templates", "template", t.Name, t.ID); err != nil {
		return err
	}
	var now int64
	if err := tx.read().GetContext(tx.ctx, &now, "SELECT version FROM templates WHERE id = ?", t.ID); err != nil {
		return edge(err, "template")
	}
	if version != 0 && version != now {
		return stale("template “"+t.Name+"”", now)
	}
	return tx.one("template", "UPDATE templates SET name = ?, description = ?, version = version + 1 WHERE id = ?", t.Name, t.Description, t.ID)
}

// AddTemplateVersion writes the next version and gives its number. images are the ids of the images that it names, with the id of the version where it
// names one.
func (tx *Tx) AddTemplateVersion(v domain.TemplateVersion, images map[string]string) (int, error) {
	var last sql.NullInt64
	if err := tx.read().GetContext(tx.ctx, &last, "SELECT max(number) FROM template_versions WHERE template_id = ?", v.TemplateID); err != nil {
		return 0, edge(err, "template")
	}
	content := templateDoc{Spec: v.Spec, Params: v.Params, Exec: v.ExecRules}
	if v.CloudInit != nil {
		plain, err := text(v.CloudInit)
		if err != nil {
			return 0, err
		}
		if content.Boot, err = tx.d.box.Seal([]byte(plain), bootContext(v.ID)); err != nil {
			return 0, err
		}
	}
	doc, err := text(content)
	if err != nil {
		return 0, err
	}
	number := int(last.Int64) + 1
	if _, err := tx.exec("INSERT INTO template_versions (id, template_id, number, deprecated, doc, changelog, created_by, created_at) VALUES (?, ?, ?, 0, ?, ?, ?, ?)",
		v.ID, v.TemplateID, number, doc, v.Changelog, v.CreatedBy, ms(tx.now())); err != nil {
		return 0, edge(err, "version of a template")
	}
	for image, version := range images {
		if _, err := tx.exec("INSERT INTO template_images (template_version_id, image_id, version_id) VALUES (?, ?, ?)", v.ID, image, version); err != nil {
			return 0, edge(err, "image of a template")
		}
	}
	return number, nil
}

// SetTemplateDeprecated marks a version as not to be used any more, or takes that back.
func (tx *Tx) SetTemplateDeprecated(id string, deprecated bool) error {
	return tx.one("version of a template", "UPDATE template_versions SET deprecated = ? WHERE id = ?", flag(deprecated), id)
}

// DeleteTemplate forgets a template with its versions; its VMs stay and forget where they came from.
func (tx *Tx) DeleteTemplate(id string) error {
	return tx.one("template", "DELETE FROM templates WHERE id = ?", id)
}

type vmTemplateRow struct {
	VMID       string `db:"vm_id"`
	TemplateID string `db:"template_id"`
	Name       string
	Number     int
	Vals       string
	Pinned     bool
}

const vmTemplateSelect = "SELECT m.vm_id, m.template_id, t.name, m.number, m.vals, m.pinned FROM vm_templates m JOIN templates t ON t.id = m.template_id"

func (r vmTemplateRow) of() (domain.VMTemplate, error) {
	m := domain.VMTemplate{VMID: r.VMID, TemplateID: r.TemplateID, Name: r.Name, Number: r.Number, Pinned: r.Pinned}
	return m, parse(r.Vals, &m.Values)
}

// TemplateOfVM says which template a VM came of; ok is false when it came of none.
func (d *DB) TemplateOfVM(ctx context.Context, vmID string) (m domain.VMTemplate, ok bool, err error) {
	ms, err := vmTemplates(ctx, d.read, " WHERE m.vm_id = ?", vmID)
	if err != nil || len(ms) == 0 {
		return m, false, err
	}
	return ms[0], true, nil
}

// VMTemplates says of every VM that came of a template which one that is, by the VM's id.
func (d *DB) VMTemplates(ctx context.Context) (map[string]domain.VMTemplate, error) {
	all, err := vmTemplates(ctx, d.read, "")
	if err != nil {
		return nil, err
	}
	out := make(map[string]domain.VMTemplate, len(all))
	for _, m := range all {
		out[m.VMID] = m
	}
	return out, nil
}

// VMsOfTemplate lists the VMs that came of a template, oldest first.
func (d *DB) VMsOfTemplate(ctx context.Context, templateID string) ([]domain.VMTemplate, error) {
	return vmTemplates(ctx, d.read, " WHERE m.template_id = ? ORDER BY m.vm_id", templateID)
}

func vmTemplates(ctx context.Context, q getter, where string, args ...any) ([]domain.VMTemplate, error) {
	var rows []vmTemplateRow
	if err := q.SelectContext(ctx, &rows, vmTemplateSelect+where, args...); err != nil {
		return nil, edge(err, "template")
	}
	out := make([]domain.VMTemplate, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.of(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// SetVMTemplate remembers which template and version a VM stands at.
func (tx *Tx) SetVMTemplate(m domain.VMTemplate) error {
	vals, err := text(m.Values)
	if err != nil {
		return err
	}
	return tx.one("template of the VM", `INSERT INTO vm_templates (vm_id, template_id, number, vals, pinned) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (vm_id) DO UPDATE SET template_id = excluded.template_id, number = excluded.number, vals = excluded.vals, pinned = excluded.pinned`,
		m.VMID, m.TemplateID, m.Number, vals, flag(m.Pinned))
}

// SetVMTemplateNumber moves a VM to another version of its template.
func (tx *Tx) SetVMTemplateNumber(vmID string, number int) error {
	return tx.one("template of the VM", "UPDATE vm_templates SET number = ? WHERE vm_id = ?", number, vmID)
}

// PinVMTemplate keeps a VM out of roll-outs, or lets it take part again.
func (tx *Tx) PinVMTemplate(vmID string, pinned bool) error {
	return tx.one("template of the VM", "UPDATE vm_templates SET pinned = ? WHERE vm_id = ?", flag(pinned), vmID)
}
