package db

import (
	"context"
	"strconv"

	"novacron/domain"
)

// accessVersion is the setting that grows with every change of what decides who may do what, also when another process makes it.
const accessVersion = "access.version"

// AccessVersion tells whether what was read of roles, bindings, groups and tenants is still so.
func (d *DB) AccessVersion(ctx context.Context) (string, error) {
	v, _, err := d.Setting(ctx, accessVersion)
	return v, err
}

func (tx *Tx) touchAccess() error {
	v, _, err := tx.Setting(accessVersion)
	if err != nil {
		return err
	}
	n, _ := strconv.ParseInt(v, 10, 64) // nothing or rubbish: from 0 again
	return tx.SetSetting(accessVersion, strconv.FormatInt(n+1, 10))
}

type roleRow struct {
	ID, Name, Notes, Permissions string
	CreatedAt                    int64 `db:"created_at"`
}

// Roles lists the custom roles.
func (d *DB) Roles(ctx context.Context) ([]domain.Role, error) { return readRoles(ctx, d.read) }

func readRoles(ctx context.Context, q getter) ([]domain.Role, error) {
	var rows []roleRow
	if err := q.SelectContext(ctx, &rows, "SELECT id, name, notes, permissions, created_at FROM roles ORDER BY id"); err != nil {
		return nil, edge(err, "role")
	}
	out := make([]domain.Role, len(rows))
	for i, r := range rows {
		out[i] = domain.Role{ID: r.ID, Name: r.Name, Notes: r.Notes, CreatedAt: at(r.CreatedAt)}
		if err := parse(r.Permissions, &out[i].Permissions); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// SaveRole writes a custom role, new or not.
func (tx *Tx) SaveRole(r domain.Role) error {
	perms, err := text(r.Permissions)
	if err != nil {
		return err
	}
	if err := tx.one("role", `INSERT INTO roles (id, name, notes, permissions, created_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, notes = excluded.notes, permissions = excluded.permissions`, r.ID, r.Name, r.Notes, perms, ms(r.CreatedAt)); err != nil {
		return err
	}
	return tx.touchAccess()
}

// DeleteRole forgets a custom role; one that bindings or tokens still name is a Conflict.
func (tx *Tx) DeleteRole(id string) error {
	var n int
	if err := tx.read().GetContext(tx.ctx, &n, "SELECT (SELECT count(*) FROM bindings WHERE role = ?) + (SELECT count(*) FROM tokens WHERE role = ?)", id, id); err != nil {
		return edge(err, "role")
	}
	if n > 0 {
		return domain.Errorf(domain.Conflict, "The role %s is given %d times still.", id, n).WithFix("Take it from whom it is given first: the list of bindings and of tokens names them.")
	}
	if err := tx.one("role", "DELETE FROM roles WHERE id = ?", id); err != nil {
		return err
	}
	return tx.touchAccess()
}

type bindingRow struct {
	ID          string
	SubjectKind string `db:"subject_kind"`
	SubjectID   string `db:"subject_id"`
	SubjectName string `db:"subject_name"`
	Role, Scope string
	ScopeID     string `db:"scope_id"`
	Deny        bool
	Condition   string
	CreatedBy   string `db:"created_by"`
	CreatedAt   int64  `db:"created_at"`
}

const bindingSelect = `SELECT b.id, b.subject_kind, b.subject_id, coalesce(u.name, g.name, t.name, '') AS subject_name, b.role, b.scope, b.scope_id, b.deny, b.condition, b.created_by, b.created_at
	FROM bindings b LEFT JOIN users u ON u.id = b.subject_id LEFT JOIN user_groups g ON g.id = b.subject_id LEFT JOIN tokens t ON t.id = b.subject_id`

func readBindings(ctx context.Context, q getter, where string, args ...any) ([]domain.Binding, error) {
	var rows []bindingRow
	if err := q.SelectContext(ctx, &rows, bindingSelect+where+" ORDER BY b.id", args...); err != nil {
		return nil, edge(err, "binding")
	}
	out := make([]domain.Binding, len(rows))
	for i, r := range rows {
		out[i] = domain.Binding{ID: r.ID, Subject: domain.Ref{Kind: r.SubjectKind, ID: r.SubjectID, Name: r.SubjectName}, Role: r.Role, Scope: r.Scope, ScopeID: r.ScopeID,
			Deny: r.Deny, Condition: r.Condition, CreatedBy: r.CreatedBy, CreatedAt: at(r.CreatedAt)}
	}
	return out, nil
}

// Bindings lists all bindings, oldest first.
func (d *DB) Bindings(ctx context.Context) ([]domain.Binding, error) {
	return readBindings(ctx, d.read, "")
}

// Bindings lists all bindings within the transaction.
func (tx *Tx) Bindings() ([]domain.Binding, error) { return readBindings(tx.ctx, tx.read(), "") }

// InsertBinding writes a new binding; the same one twice is a Conflict.
func (tx *Tx) InsertBinding(b domain.Binding) error {
	_, err := tx.exec(`INSERT INTO bindings (id, subject_kind, subject_id, role, scope, scope_id, deny, condition, created_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		b.ID, b.Subject.Kind, b.Subject.ID, b.Role, b.Scope, b.ScopeID, flag(b.Deny), b.Condition, b.CreatedBy, ms(b.CreatedAt))
	if err != nil {
		return edge(err, "binding")
	}
	return tx.touchAccess()
}

// DeleteBinding takes a binding away.
func (tx *Tx) DeleteBinding(id string) error {
	if err := tx.one("binding", "DELETE FROM bindings WHERE id = ?", id); err != nil {
		return err
	}
	return tx.touchAccess()
}

func (tx *Tx) unbind(kind, id string) error {
	if _, err := tx.exec("DELETE FROM bindings WHERE subject_kind = ? AND subject_id = ?", kind, id); err != nil {
		return edge(err, "binding")
	}
	return tx.touchAccess()
}

// Groups lists the groups with their members, by name.
func (d *DB) Groups(ctx context.Context) ([]domain.Group, error) {
	var rows []struct {
		ID, Name, Notes string
		CreatedAt       int64 `db:"created_at"`
	}
	if err := d.read.SelectContext(ctx, &rows, "SELECT id, name, notes, created_at FROM user_groups ORDER BY lower(name)"); err != nil {
		return nil, edge(err, "group")
	}
	var members []struct {
		GroupID string `db:"group_id"`
		UserID  string `db:"user_id"`
	}
	if err := d.read.SelectContext(ctx, &members, "SELECT group_id, user_id FROM group_members ORDER BY user_id"); err != nil {
		return nil, edge(err, "group")
	}
	of := map[string][]string{}
	for _, m := range members {
		of[m.GroupID] = append(of[m.GroupID], m.UserID)
	}
	out := make([]domain.Group, len(rows))
	for i, r := range rows {
		out[i] = domain.Group{ID: r.ID, Name: r.Name, Notes: r.Notes, Members: of[r.ID], CreatedAt: at(r.CreatedAt)}
	}
	return out, nil
}

// Group reads one group.
func (d *DB) Group(ctx context.Context, id string) (domain.Group, error) {
	all, err := d.Groups(ctx)
	if err != nil {
		return domain.Group{}, err
	}
	for _, g := range all {
		if g.ID == id {
			return g, nil
		}
	}
	return domain.Group{}, domain.Errorf(domain.NotFound, "There is no such group.")
}

// SaveGroup writes a group and who is in it. A name in use is a Conflict.
func (tx *Tx) SaveGroup(g domain.Group) error {
	if err := tx.one("group", "INSERT INTO user_groups (id, name, notes, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, notes = excluded.notes",
		g.ID, g.Name, g.Notes, ms(g.CreatedAt)); err != nil {
		return err
	}
	if _, err := tx.exec("DELETE FROM group_members WHERE group_id = ?", g.ID); err != nil {
		return edge(err, "group")
	}
	for _, u := range g.Members {
		if _, err := tx.exec("INSERT INTO group_members (group_id, user_id) VALUES (?, ?)", g.ID, u); err != nil {
			return edge(err, "group")
		}
	}
	return tx.touchAccess()
}

// DeleteGroup forgets a group and what it was given.
func (tx *Tx) DeleteGroup(id string) error {
	if err := tx.one("group", "DELETE FROM user_groups WHERE id = ?", id); err != nil {
		return err
	}
	return tx.unbind("group", id)
}

// Admins counts the accounts that may sign in and have a role at the estate, by themselves or through a group, with nothing denied to them there.
func (tx *Tx) Admins(role string) (int, error) { return admins(tx.ctx, tx.read(), role) }

// Admins counts them outside of a transaction, which shows how it was before the one under way.
func (d *DB) Admins(ctx context.Context, role string) (int, error) { return admins(ctx, d.read, role) }

func admins(ctx context.Context, q getter, role string) (n int, err error) {
	err = q.GetContext(ctx, &n, `SELECT count(*) FROM users u WHERE u.disabled = 0
		AND EXISTS (SELECT 1 FROM bindings b WHERE b.role = ? AND b.scope = 'estate' AND b.deny = 0 AND b.condition = '' AND (b.subject_id = u.id
			OR b.subject_id IN (SELECT m.group_id FROM group_members m WHERE m.user_id = u.id)))
		AND NOT EXISTS (SELECT 1 FROM bindings b WHERE b.deny = 1 AND b.scope = 'estate' AND (b.subject_id = u.id
			OR b.subject_id IN (SELECT m.group_id FROM group_members m WHERE m.user_id = u.id)))`, role)
	return n, edge(err, "binding")
}
