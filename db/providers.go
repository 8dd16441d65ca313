package db

import (
	"context"
	"time"

	"novacron/domain"
)

type providerRow struct {
	ID, Kind, Name, Config, Secret string
	Disabled                       bool
	CreatedAt                      int64 `db:"created_at"`
	Version                        int64
}

// providerConfig is what a provider has beside its columns.
type providerConfig struct {
	Create, TrustMFA bool
	Rules            []domain.ProviderRule
	Issuer, ClientID string
	Scopes           []string
	URL, CA          string
	Plain            bool
	BindDN, BaseDN   string
	UserFilter       string
	GroupBase        string
	GroupFilter      string
}

const providerColumns = "id, kind, name, config, secret, disabled, created_at, version"

func providerContext(id string) string { return "secret of the identity provider " + id }

func (d *DB) provider(r providerRow) (domain.Provider, error) {
	var c providerConfig
	if err := parse(r.Config, &c); err != nil {
		return domain.Provider{}, err
	}
	p := domain.Provider{ID: r.ID, Kind: r.Kind, Name: r.Name, Disabled: r.Disabled, Create: c.Create, TrustMFA: c.TrustMFA, Rules: c.Rules, Issuer: c.Issuer, ClientID: c.ClientID,
		Scopes: c.Scopes, URL: c.URL, Plain: c.Plain, CA: c.CA, BindDN: c.BindDN, BaseDN: c.BaseDN, UserFilter: c.UserFilter, GroupBase: c.GroupBase, GroupFilter: c.GroupFilter,
		CreatedAt: at(r.CreatedAt), Version: r.Version}
	var err error
	if r.Secret != "" {
		p.Secret, err = d.box.Open(r.Secret, providerContext(r.ID))
	}
	return p, err
}

// Providers lists the identity providers by name.
func (d *DB) Providers(ctx context.Context) ([]domain.Provider, error) {
	var rows []providerRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+providerColumns+" FROM providers ORDER BY lower(name), id"); err != nil {
		return nil, edge(err, "identity provider")
	}
	out := make([]domain.Provider, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = d.provider(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Provider reads one identity provider.
func (d *DB) Provider(ctx context.Context, id string) (domain.Provider, error) {
	var r providerRow
	if err := d.read.GetContext(ctx, &r, "SELECT "+providerColumns+" FROM providers WHERE id = ?", id); err != nil {
		return domain.Provider{}, edge(err, "identity provider")
	}
	return d.provider(r)
}

// SaveProvider writes an identity provider, new (Version 0) or the one whose version it still has; its secret is sealed.
func (tx *Tx) SaveProvider(p domain.Provider) error {
	config, err := text(providerConfig{Create: p.Create, TrustMFA: p.TrustMFA, Rules: p.Rules, Issuer: p.Issuer, ClientID: p.ClientID, Scopes: p.Scopes, URL: p.URL, CA: p.CA, Plain: p.Plain,
		BindDN: p.BindDN, BaseDN: p.BaseDN, UserFilter: p.UserFilter, GroupBase: p.GroupBase, GroupFilter: p.GroupFilter})
	if err != nil {
		return err
	}
	sealed := ""
	if len(p.Secret) > 0 {
		if sealed, err = tx.d.box.Seal(p.Secret, providerContext(p.ID)); err != nil {
			return err
		}
	}
	if p.Version == 0 {
		return tx.one("identity provider", "INSERT INTO providers ("+providerColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, 1)", p.ID, p.Kind, p.Name, config, sealed, p.Disabled, ms(p.CreatedAt))
	}
	n, err := tx.exec("UPDATE providers SET name = ?, config = ?, secret = ?, disabled = ?, version = version + 1 WHERE id = ? AND version = ?", p.Name, config, sealed, p.Disabled, p.ID, p.Version)
	if err == nil && n == 0 {
		return domain.Errorf(domain.Conflict, "The identity provider was changed meanwhile.").WithFix("Look at it as it is now, then change it again.")
	}
	return edge(err, "identity provider")
}

// DeleteProvider forgets an identity provider and who is linked to it.
func (tx *Tx) DeleteProvider(id string) error {
	return tx.one("identity provider", "DELETE FROM providers WHERE id = ?", id)
}

type identityRow struct {
	ID         string
	ProviderID string `db:"provider_id"`
	Subject    string
	UserID     string `db:"user_id"`
	Name       string
	CreatedAt  int64 `db:"created_at"`
	LastUsed   int64 `db:"last_used"`
}

const identityColumns = "id, provider_id, subject, user_id, name, created_at, last_used"

func (r identityRow) identity() domain.Identity {
	return domain.Identity{ID: r.ID, ProviderID: r.ProviderID, Subject: r.Subject, UserID: r.UserID, Name: r.Name, CreatedAt: at(r.CreatedAt), LastUsed: at(r.LastUsed)}
}

// Identity finds who somebody at a provider is here.
func (d *DB) Identity(ctx context.Context, provider, subject string) (domain.Identity, error) {
	var r identityRow
	err := d.read.GetContext(ctx, &r, "SELECT "+identityColumns+" FROM identities WHERE provider_id = ? AND subject = ?", provider, subject)
	return r.identity(), edge(err, "linked identity")
}

// Identities lists what an account is linked to.
func (d *DB) Identities(ctx context.Context, userID string) ([]domain.Identity, error) {
	var rows []identityRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+identityColumns+" FROM identities WHERE user_id = ? ORDER BY id", userID); err != nil {
		return nil, edge(err, "linked identity")
	}
	out := make([]domain.Identity, len(rows))
	for i, r := range rows {
		out[i] = r.identity()
	}
	return out, nil
}

// InsertIdentity links an account.
func (tx *Tx) InsertIdentity(i domain.Identity) error {
	_, err := tx.exec("INSERT INTO identities ("+identityColumns+") VALUES (?, ?, ?, ?, ?, ?, ?)", i.ID, i.ProviderID, i.Subject, i.UserID, i.Name, ms(i.CreatedAt), ms(i.LastUsed))
	return edge(err, "linked identity")
}

// TouchIdentity keeps when somebody signed in with it last, and their name there.
func (tx *Tx) TouchIdentity(id, name string, when time.Time) error {
	_, err := tx.aside("UPDATE identities SET last_used = ?, name = ? WHERE id = ?", ms(when), name, id)
	return edge(err, "linked identity")
}

// DeleteIdentity unlinks an account.
func (tx *Tx) DeleteIdentity(userID, id string) error {
	return tx.one("linked identity", "DELETE FROM identities WHERE user_id = ? AND id = ?", userID, id)
}

// InsertInvite writes a link that opens an account; earlier ones of the account are worth nothing any more.
func (tx *Tx) InsertInvite(i domain.Invite) error {
	if _, err := tx.exec("DELETE FROM invites WHERE user_id = ?", i.UserID); err != nil {
		return edge(err, "invitation")
	}
	_, err := tx.exec("INSERT INTO invites (id, user_id, hash, created_by, created_at, expires_at, used_at) VALUES (?, ?, ?, ?, ?, ?, 0)", i.ID, i.UserID, i.Hash, i.CreatedBy, ms(i.CreatedAt), ms(i.ExpiresAt))
	return edge(err, "invitation")
}

// Invite finds a link that was not used and has not expired.
func (d *DB) Invite(ctx context.Context, hash string) (domain.Invite, error) {
	var r struct {
		ID        string
		UserID    string `db:"user_id"`
		Hash      string
		CreatedBy string `db:"created_by"`
		CreatedAt int64  `db:"created_at"`
		ExpiresAt int64  `db:"expires_at"`
	}
	err := d.read.GetContext(ctx, &r, "SELECT id, user_id, hash, created_by, created_at, expires_at FROM invites WHERE hash = ? AND used_at = 0 AND expires_at > ?", hash, ms(d.clock()))
	return domain.Invite{ID: r.ID, UserID: r.UserID, Hash: r.Hash, CreatedBy: r.CreatedBy, CreatedAt: at(r.CreatedAt), ExpiresAt: at(r.ExpiresAt)}, edge(err, "invitation")
}

// UseInvite spends a link: each works once.
func (tx *Tx) UseInvite(id string, when time.Time) error {
	return tx.one("invitation", "UPDATE invites SET used_at = ? WHERE id = ? AND used_at = 0", ms(when), id)
}

// DeleteInvites takes the links of an account away.
func (tx *Tx) DeleteInvites(userID string) error {
	_, err := tx.exec("DELETE FROM invites WHERE user_id = ?", userID)
	return edge(err, "invitation")
}

// Seal encrypts what a browser keeps for us for a while, such as the state of a sign-in at a provider; context says what it is for.
func (d *DB) Seal(plain []byte, context string) (string, error) { return d.box.Seal(plain, context) }

// Open decrypts what Seal made for the same context.
func (d *DB) Open(sealed, context string) ([]byte, error) { return d.box.Open(sealed, context) }
