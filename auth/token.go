package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"strings"
	"sync"
	"time"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

const (
	tokenPrefix = "ncr_"
	tokenBytes  = 32
	tokenDigits = 43 // 62^43 > 2^256
	tokenShown  = len(tokenPrefix) + 6
	touchEvery  = time.Minute
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func newTokenText() string {
	var b [tokenBytes]byte
	rand.Read(b[:])
	n, digit, base := new(big.Int).SetBytes(b[:]), new(big.Int), big.NewInt(62)
	out := make([]byte, tokenDigits)
	for i := len(out) - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		out[i] = base62[digit.Int64()]
	}
	return tokenPrefix + string(out)
}

func tokenHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// CheckTokenName validates what a token is called.
func CheckTokenName(p *domain.Problems, field, name string) {
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, domain.Unseen) {
		p.Add(field, "A token needs a name that says what it is for.", "1 to 64 characters, for example ci or backup-script")
	}
}

// CreateToken makes a service account's API token for the estate and returns its text, which is shown once and never kept. A zero expires means never.
func (a *Auth) CreateToken(ctx context.Context, name, actor, role string, expires time.Time) (text string, tok domain.Token, err error) {
	return a.MakeToken(ctx, Subject{Name: actor}, domain.Token{Name: name, Role: role, ExpiresAt: expires})
}

// MakeToken makes an API token: a person's own, with what that person may (UserID), or a service account's, with a role in a tenant or in the estate.
func (a *Auth) MakeToken(ctx context.Context, by Subject, tok domain.Token) (text string, made domain.Token, err error) {
	now, actor := a.clock().UTC(), by.Actor()
	var p domain.Problems
	tok.Name = strings.TrimSpace(tok.Name)
	CheckTokenName(&p, "name", tok.Name)
	policy, err := a.Policy(ctx)
	if err != nil {
		return "", tok, err
	}
	role, known := policy.Role(tok.Role)
	if tok.UserID == "" && !known {
		p.Add("role", "There is no role “"+tok.Role+"”.", "one of "+strings.Join(access.Roles, ", "))
	}
	if tok.Tenant != "" {
		t, ok := policy.Tenant(tok.Tenant)
		if !ok {
			p.Add("tenant", "There is no tenant “"+tok.Tenant+"”.", "a tenant's id or name, or nothing for the whole estate")
		}
		tok.Tenant = t.ID
	}
	if _, unknown := access.Expand(tok.Only); len(unknown) > 0 {
		p.Add("permissions", "There is no permission “"+unknown[0]+"”.", "names such as vm.power, or vm.* for all of a kind")
	}
	if !tok.ExpiresAt.IsZero() && !tok.ExpiresAt.After(now) {
		p.Add("expires", "The token would have expired already.", "a time in the future, or nothing for a token that stays")
	}
	if err := p.Err(); err != nil {
		return "", tok, err
	}
	said := "API token “" + tok.Name + "” was made, for " + actor + "."
	if tok.UserID == "" {
		tok.Role = role.ID
		scope := domain.ScopeEstate
		said = "API token “" + tok.Name + "” was made, with the role " + tok.Role + "."
		if tok.Tenant != "" {
			scope = domain.ScopeTenant
			said = "API token “" + tok.Name + "” was made, with the role " + tok.Role + " in " + tok.Tenant + "."
		}
		if err := a.mayGive(ctx, by, role, scope, tok.Tenant); err != nil {
			return "", tok, err
		}
	} else {
		tok.Role, tok.Tenant = "", ""
	}
	text = newTokenText()
	tok.ID, tok.Prefix, tok.Hash, tok.CreatedBy, tok.CreatedAt = domain.NewID("tok", now), text[:tokenShown], tokenHash(text), actor, now
	err = a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.InsertToken(tok); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "token.created", Resource: tokenRef(tok), Actor: actor, Tenant: tok.Tenant, Message: said})
	})
	if err != nil {
		return "", domain.Token{}, err
	}
	return text, tok, nil
}

// Tokens lists the API tokens.
func (a *Auth) Tokens(ctx context.Context) ([]domain.Token, error) { return a.db.Tokens(ctx) }

// RevokeToken deletes a token; whoever uses it is refused from the next request on.
func (a *Auth) RevokeToken(ctx context.Context, id, actor string) error {
	toks, err := a.db.Tokens(ctx)
	if err != nil {
		return err
	}
	for _, tok := range toks {
		if tok.ID != id {
			continue
		}
		return a.db.Write(ctx, func(tx *db.Tx) error {
			if err := tx.DeleteToken(id); err != nil {
				return err
			}
			return tx.Emit(domain.Event{Kind: "token.revoked", Resource: tokenRef(tok), Actor: actor, Message: "API token “" + tok.Name + "” was revoked."})
		})
	}
	return domain.Errorf(domain.NotFound, "There is no such token.").WithFix("It may have been revoked already; look at the list.")
}

// TokenSubject finds who a bearer token stands for. Everything that is not a valid token gets the same answer.
func (a *Auth) TokenSubject(ctx context.Context, bearer string) (Subject, error) {
	refused := func() error {
		return domain.Errorf(domain.Unauthenticated, "The bearer token is not valid.").WithFix("Make a new one on the account page or with “novacron token create”.")
	}
	bearer = strings.TrimSpace(bearer)
	if !strings.HasPrefix(bearer, tokenPrefix) || len(bearer) != len(tokenPrefix)+tokenDigits {
		return Subject{}, refused()
	}
	tok, err := a.db.TokenByHash(ctx, tokenHash(bearer))
	if domain.Is(err, domain.NotFound) {
		return Subject{}, refused()
	}
	if err != nil {
		return Subject{}, err
	}
	now := a.clock().UTC()
	if !tok.ExpiresAt.IsZero() && !now.Before(tok.ExpiresAt) {
		return Subject{}, domain.Errorf(domain.Unauthenticated, "The bearer token has expired.").WithFix("Make a new one on the account page or with “novacron token create”.")
	}
	if now.Sub(tok.LastUsed) >= touchEvery && a.touched.due(tok.ID, now) {
		if err := a.db.Write(ctx, func(tx *db.Tx) error { return tx.TouchToken(tok.ID, now) }); err != nil {
			return Subject{}, err
		}
	}
	sub := Subject{Name: tok.Name, Role: tok.Role, TokenID: tok.ID, UserID: tok.UserID, Proof: "token"}
	if tok.UserID != "" {
		u, err := a.db.User(ctx, tok.UserID)
		if domain.Is(err, domain.NotFound) || err == nil && (u.Disabled || u.MustChange) {
			return Subject{}, refused()
		}
		if err != nil {
			return Subject{}, err
		}
	}
	sub.Grants, err = a.grantsOfToken(ctx, tok)
	return sub, err
}

func tokenRef(t domain.Token) domain.Ref { return domain.Ref{Kind: "token", ID: t.ID, Name: t.Name} }

// touches keeps parallel requests from all writing the same "last used".
type touches struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func newTouches() *touches { return &touches{last: map[string]time.Time{}} }

func (t *touches) due(id string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.last[id]) < touchEvery {
		return false
	}
	t.last[id] = now
	return true
}
