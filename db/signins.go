package db

import (
	"context"
	"time"

	"novacron/domain"
)

type signInRow struct {
	ID        string
	UserID    string `db:"user_id"`
	Browser   string
	Address   string
	Proof     string
	CreatedAt int64 `db:"created_at"`
	SeenAt    int64 `db:"seen_at"`
	ExpiresAt int64 `db:"expires_at"`
}

const signInColumns = "id, user_id, browser, address, proof, created_at, seen_at, expires_at"

func (r signInRow) signIn() domain.SignIn {
	return domain.SignIn{ID: r.ID, UserID: r.UserID, Browser: r.Browser, Address: r.Address, Proof: r.Proof, CreatedAt: at(r.CreatedAt), SeenAt: at(r.SeenAt), ExpiresAt: at(r.ExpiresAt)}
}

// SignIn reads one session of the list of devices.
func (d *DB) SignIn(ctx context.Context, id string) (domain.SignIn, error) {
	var r signInRow
	err := d.read.GetContext(ctx, &r, "SELECT "+signInColumns+" FROM signins WHERE id = ?", id)
	return r.signIn(), edge(err, "session")
}

// SignIns lists the sessions of a person, or of everybody when userID is empty, newest use first.
func (d *DB) SignIns(ctx context.Context, userID string) ([]domain.SignIn, error) {
	var rows []signInRow
	err := d.read.SelectContext(ctx, &rows, "SELECT "+signInColumns+" FROM signins WHERE (? = '' OR user_id = ?) AND expires_at > ? ORDER BY seen_at DESC, id DESC", userID, userID, ms(d.clock()))
	if err != nil {
		return nil, edge(err, "session")
	}
	out := make([]domain.SignIn, len(rows))
	for i, r := range rows {
		out[i] = r.signIn()
	}
	return out, nil
}

// browserMost bounds what is kept of a User-Agent.
const browserMost = 300

// InsertSignIn lists a new session.
func (tx *Tx) InsertSignIn(s domain.SignIn) error {
	_, err := tx.aside("INSERT INTO signins ("+signInColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)", s.ID, s.UserID, s.Browser[:min(len(s.Browser), browserMost)], s.Address, s.Proof,
		ms(s.CreatedAt), ms(s.SeenAt), ms(s.ExpiresAt))
	return edge(err, "session")
}

// TouchSignIn keeps when and from where a session was used last.
func (tx *Tx) TouchSignIn(id, address string, when time.Time) error {
	_, err := tx.aside("UPDATE signins SET seen_at = ?, address = ? WHERE id = ?", ms(when), address, id)
	return edge(err, "session")
}

// DeleteSignIn ends a session; one that has ended is no error.
func (tx *Tx) DeleteSignIn(id string) error {
	_, err := tx.aside("DELETE FROM signins WHERE id = ?", id)
	return edge(err, "session")
}

// DeleteSignIns ends all sessions of a person but one.
func (tx *Tx) DeleteSignIns(userID, except string) error {
	_, err := tx.aside("DELETE FROM signins WHERE user_id = ? AND id <> ?", userID, except)
	return edge(err, "session")
}
