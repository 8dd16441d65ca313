package db

import (
	"context"
	"time"

	"novacron/domain"
)

type userRow struct {
	ID           string
	Name         string
	PasswordHash string `db:"password_hash"`
	MustChange   bool   `db:"must_change"`
	FullName     string `db:"full_name"`
	Email        string
	Disabled     bool
	Prefs        string
	CreatedAt    int64 `db:"created_at"`
	LastSignIn   int64 `db:"last_sign_in"`
}

const userColumns = "id, name, password_hash, must_change, full_name, email, disabled, prefs, created_at, last_sign_in"

func (r userRow) user() (domain.User, error) {
	u := domain.User{ID: r.ID, Name: r.Name, PasswordHash: r.PasswordHash, MustChange: r.MustChange, FullName: r.FullName, Email: r.Email, Disabled: r.Disabled, CreatedAt: at(r.CreatedAt), LastSignIn: at(r.LastSignIn)}
	return u, parse(r.Prefs, &u.Prefs)
}

func (d *DB) user(ctx context.Context, where, arg string) (domain.User, error) {
	var r userRow
	if err := d.read.GetContext(ctx, &r, "SELECT "+userColumns+" FROM users WHERE "+where, arg); err != nil {
		return domain.User{}, edge(err, "user")
	}
	return r.user()
}

// User reads one account.
func (d *DB) User(ctx context.Context, id string) (domain.User, error) {
	return d.user(ctx, "id = ?", id)
}

// UserByName finds an account by name, without regard to case.
func (d *DB) UserByName(ctx context.Context, name string) (domain.User, error) {
	return d.user(ctx, "lower(name) = lower(?)", name)
}

// Users lists all accounts by name.
func (d *DB) Users(ctx context.Context) ([]domain.User, error) {
	var rows []userRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+userColumns+" FROM users ORDER BY lower(name)"); err != nil {
		return nil, edge(err, "user")
	}
	users := make([]domain.User, len(rows))
	for i, r := range rows {
		var err error
		if users[i], err = r.user(); err != nil {
			return nil, err
		}
	}
	return users, nil
}

// InsertUser writes a new account; a name in use is a Conflict.
func (tx *Tx) InsertUser(u domain.User) error {
	prefs, err := text(u.Prefs)
	if err != nil {
		return err
	}
	if u.CreatedAt.IsZero() {
		u.CreatedAt = tx.now()
	}
	_, err = tx.exec("INSERT INTO users ("+userColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", u.ID, u.Name, u.PasswordHash, flag(u.MustChange), u.FullName, u.Email, flag(u.Disabled), prefs, ms(u.CreatedAt), ms(u.LastSignIn))
	return edge(err, "user")
}

// UpdateUser writes everything of an account but its id and birth.
func (tx *Tx) UpdateUser(u domain.User) error {
	prefs, err := text(u.Prefs)
	if err != nil {
		return err
	}
	return tx.one("user", "UPDATE users SET name = ?, password_hash = ?, must_change = ?, full_name = ?, email = ?, disabled = ?, prefs = ?, last_sign_in = ? WHERE id = ?",
		u.Name, u.PasswordHash, flag(u.MustChange), u.FullName, u.Email, flag(u.Disabled), prefs, ms(u.LastSignIn), u.ID)
}

// DeleteUser forgets an account with its sessions, tokens and what it was given.
func (tx *Tx) DeleteUser(id string) error {
	if err := tx.one("user", "DELETE FROM users WHERE id = ?", id); err != nil {
		return err
	}
	if _, err := tx.exec("DELETE FROM tokens WHERE user_id = ?", id); err != nil {
		return edge(err, "token")
	}
	return tx.unbind("user", id)
}

type tokenRow struct {
	ID        string
	Name      string
	Prefix    string
	Hash      string
	Role      string
	Tenant    string
	UserID    string `db:"user_id"`
	Only      string `db:"permissions"`
	CreatedBy string `db:"created_by"`
	CreatedAt int64  `db:"created_at"`
	LastUsed  int64  `db:"last_used"`
	ExpiresAt int64  `db:"expires_at"`
}

// #nosec G101 -- names of columns
const tokenColumns = "id, name, prefix, hash, role, tenant, user_id, permissions, created_by, created_at, last_used, expires_at"

func (r tokenRow) token() (domain.Token, error) {
	t := domain.Token{ID: r.ID, Name: r.Name, Prefix: r.Prefix, Hash: r.Hash, Role: r.Role, Tenant: r.Tenant, UserID: r.UserID, CreatedBy: r.CreatedBy, CreatedAt: at(r.CreatedAt),
		LastUsed: at(r.LastUsed), ExpiresAt: at(r.ExpiresAt)}
	return t, parse(r.Only, &t.Only)
}

// TokenByHash finds a token by the hash of what the client sent. Whether it has expired is the caller's to judge.
func (d *DB) TokenByHash(ctx context.Context, hash string) (domain.Token, error) {
	var r tokenRow
	if err := d.read.GetContext(ctx, &r, "SELECT "+tokenColumns+" FROM tokens WHERE hash = ?", hash); err != nil {
		return domain.Token{}, edge(err, "token")
	}
	return r.token()
}

// Tokens lists all API tokens, newest first.
func (d *DB) Tokens(ctx context.Context) ([]domain.Token, error) {
	var rows []tokenRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+tokenColumns+" FROM tokens ORDER BY created_at DESC, id DESC"); err != nil {
		return nil, edge(err, "token")
	}
	tokens := make([]domain.Token, len(rows))
	for i, r := range rows {
		var err error
		if tokens[i], err = r.token(); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// InsertToken writes a new token.
func (tx *Tx) InsertToken(t domain.Token) error {
	if t.CreatedAt.IsZero() {
		t.CreatedAt = tx.now()
	}
	only, err := text(t.Only)
	if err != nil {
		return err
	}
	_, err = tx.exec("INSERT INTO tokens ("+tokenColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", t.ID, t.Name, t.Prefix, t.Hash, t.Role, t.Tenant, t.UserID, only, t.CreatedBy, ms(t.CreatedAt), ms(t.LastUsed), ms(t.ExpiresAt))
	return edge(err, "token")
}

// DeleteToken revokes a token.
func (tx *Tx) DeleteToken(id string) error {
	return tx.one("token", "DELETE FROM tokens WHERE id = ?", id)
}

// TouchToken keeps when a token was used last.
func (tx *Tx) TouchToken(id string, when time.Time) error {
	return tx.one("token", "UPDATE tokens SET last_used = ? WHERE id = ?", ms(when), id)
}
