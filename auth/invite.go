package auth

import (
	"context"
	"crypto/rand"
	"time"

	"novacron/db"
	"novacron/domain"
)

// inviteFor is how long a link that opens an account works.
const inviteFor = 72 * time.Hour

func newInviteSecret() string { return rand.Text() + rand.Text() }

// Invite makes a link's secret that lets somebody choose the password of an account, once; it is shown once and only its hash is kept. What opened the
// account before does not any more: the password is gone and its sessions end. With mfa its second factors go too.
func (a *Auth) Invite(ctx context.Context, by Subject, id string, mfa bool) (secret string, ends time.Time, err error) {
	u, err := a.mayReset(ctx, by, id)
	if err != nil {
		return "", ends, err
	}
	if u.Disabled {
		return "", ends, domain.Errorf(domain.Conflict, "Account “%s” is disabled.", u.Name).WithFix("Enable it first.")
	}
	hash, err := a.hasher.hash(ctx, oneTimePassword())
	if err != nil {
		return "", ends, err
	}
	now := a.clock().UTC()
	secret, ends = newInviteSecret(), now.Add(inviteFor)
	err = a.editUser(ctx, id, func(tx *db.Tx, row *domain.User) error {
		row.PasswordHash, row.MustChange = hash, true
		if mfa {
			if err := tx.DeleteFactors(id); err != nil {
				return err
			}
		}
		if err := tx.DeleteSignIns(id, ""); err != nil {
			return err
		}
		if err := tx.InsertInvite(domain.Invite{ID: domain.NewID("inv", now), UserID: id, Hash: tokenHash(secret), CreatedBy: by.Actor(), CreatedAt: now, ExpiresAt: ends}); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "user.invited", Resource: userRef(u), Actor: by.Actor(), Message: "A link that opens account “" + u.Name + "” was made."})
	})
	return secret, ends, err
}

// Invited tells whose account a link opens. What is no link, was used or has expired is one and the same.
func (a *Auth) Invited(ctx context.Context, secret string) (domain.User, error) {
	u, _, err := a.invited(ctx, secret)
	return u, err
}

func (a *Auth) invited(ctx context.Context, secret string) (domain.User, domain.Invite, error) {
	none := domain.Errorf(domain.NotFound, "This link does not work any more.").WithFix("It works once and for three days. Ask whoever sent it for a new one.")
	i, err := a.db.Invite(ctx, tokenHash(secret))
	if domain.Is(err, domain.NotFound) {
		return domain.User{}, i, none
	}
	if err != nil {
		return domain.User{}, i, err
	}
	u, err := a.db.User(ctx, i.UserID)
	if err == nil && u.Disabled {
		err = none
	}
	return u, i, err
}

// AcceptInvite gives the account that a link opens its password. Who has a second factor is still asked for it.
func (a *Auth) AcceptInvite(ctx context.Context, secret, password string) (domain.User, error) {
	u, i, err := a.invited(ctx, secret)
	if err != nil {
		return u, err
	}
	var p domain.Problems
	checkNewPassword(&p, "password", u.Name, password)
	if err := p.Err(); err != nil {
		return u, err
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return u, err
	}
	now := a.clock().UTC()
	err = a.editUser(ctx, u.ID, func(tx *db.Tx, row *domain.User) error {
		if err := tx.UseInvite(i.ID, now); err != nil {
			return err
		}
		row.PasswordHash, row.MustChange, row.LastSignIn = hash, false, now
		u = *row
		return tx.Emit(domain.Event{Kind: "user.password_changed", Resource: userRef(u), Actor: u.Name, Message: u.Name + " chose a password with a link."})
	})
	return u, err
}

// localAgain switches local sign-in on, for who gets back in from the server's console.
func (a *Auth) localAgain(ctx context.Context, actor string) error {
	p, err := a.SignInPolicy(ctx)
	if err != nil || !p.LocalOff {
		return err
	}
	return a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.Before(p); err != nil {
			return err
		}
		p.LocalOff = false
		if err := writePolicy(tx, p); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "signin.policy", Resource: policyRef, Actor: actor, Message: "Local sign-in was switched on again from the server's console."})
	})
}
