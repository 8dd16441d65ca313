package db

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"

	"novacron/domain"
)

// SessionStore keeps sign-in sessions for scs; it has the methods of scs.Store and scs.CtxStore.
type SessionStore struct{ d *DB }

// Sessions gives the store.
func (d *DB) Sessions() *SessionStore { return &SessionStore{d} }

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// FindCtx gives the session's data; found is false when there is none or it has expired.
func (s *SessionStore) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	var data string
	err = edge(s.d.read.GetContext(ctx, &data, "SELECT data FROM sessions WHERE token_hash = ? AND expires_at > ?", hashToken(token), ms(s.d.clock())), "session")
	if domain.Is(err, domain.NotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if b, err = base64.StdEncoding.DecodeString(data); err != nil {
		return nil, false, nil // tampered with: as good as none
	}
	return b, true, nil
}

// CommitCtx writes the session.
func (s *SessionStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	return s.d.Write(ctx, func(tx *Tx) error {
		_, err := tx.aside("INSERT INTO sessions (token_hash, data, expires_at) VALUES (?, ?, ?) ON CONFLICT (token_hash) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at",
			hashToken(token), base64.StdEncoding.EncodeToString(b), ms(expiry))
		return edge(err, "session")
	})
}

// DeleteCtx ends the session; one that is not there is no error.
func (s *SessionStore) DeleteCtx(ctx context.Context, token string) error {
	return s.d.Write(ctx, func(tx *Tx) error {
		_, err := tx.aside("DELETE FROM sessions WHERE token_hash = ?", hashToken(token))
		return edge(err, "session")
	})
}

// Find is FindCtx for scs's older interface.
func (s *SessionStore) Find(token string) ([]byte, bool, error) { return s.FindCtx(s.d.base, token) }

// Commit is CommitCtx for scs's older interface.
func (s *SessionStore) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(s.d.base, token, b, expiry)
}

// Delete is DeleteCtx for scs's older interface.
func (s *SessionStore) Delete(token string) error { return s.DeleteCtx(s.d.base, token) }
