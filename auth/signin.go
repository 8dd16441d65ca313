package auth

import (
	"context"
	"slices"
	"strings"
	"time"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// FirstAdmin is the name of the account that the first start makes.
const FirstAdmin = "admin"

// EnsureAdmin makes the administrator's account with a random one-time password when there is none; only then created is true and the
// password readable.
func (a *Auth) EnsureAdmin(ctx context.Context) (name, password string, created bool, err error) {
	_, err = a.db.UserByName(ctx, FirstAdmin)
	if err == nil {
		return FirstAdmin, "", false, nil
	}
	if !domain.Is(err, domain.NotFound) {
		return "", "", false, err
	}
	password = oneTimePassword()
	if err := a.CreateUser(ctx, FirstAdmin, password, access.Admin, "system"); err != nil {
		return "", "", false, err
	}
	return FirstAdmin, password, true, nil
}

// CreateUser makes an account whose password must be changed at the first sign-in.
func (a *Auth) CreateUser(ctx context.Context, name, oneTime, role, actor string) error {
	_, err := a.createUser(ctx, domain.User{Name: name}, oneTime, role, "", actor)
	return err
}

// createUser makes an account, and with a role gives it that in a tenant or, without one, in the estate.
func (a *Auth) createUser(ctx context.Context, u domain.User, oneTime, role, tenant, actor string) (domain.User, error) {
	hash, err := a.hasher.hash(ctx, oneTime)
	if err != nil {
		return u, err
	}
	now := a.clock().UTC()
	u.ID, u.PasswordHash, u.MustChange, u.CreatedAt = domain.NewID("user", now), hash, true, now
	return u, a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.InsertUser(u); err != nil {
			return err
		}
		said := "Account “" + u.Name + "” was made."
		if role != "" {
			b := domain.Binding{ID: domain.NewID("bind", now), Subject: userRef(u), Role: access.RoleName(role), Scope: domain.ScopeEstate, CreatedBy: actor, CreatedAt: now}
			said = "Account “" + u.Name + "” was made, with the role " + b.Role + "."
			if tenant != "" {
				b.Scope, b.ScopeID = domain.ScopeTenant, tenant
				said = "Account “" + u.Name + "” was made, with the role " + b.Role + " in " + tenant + "."
			}
			if err := tx.InsertBinding(b); err != nil {
				return err
			}
		}
		return tx.Emit(domain.Event{Kind: "user.created", Resource: userRef(u), Actor: actor, Message: said})
	})
}

// SignIn checks name and password. addr is the client's address, for the rate limit. Wrong name and wrong password are one and the same
// to the caller, in words and in time.
func (a *Auth) SignIn(ctx context.Context, name, password, addr string) (domain.User, error) {
	u, _, err := a.SignInWith(ctx, name, password, addr)
	return u, err
}

// SignInWith is SignIn that also tells what was proven: a password kept here, or one that a directory has.
func (a *Auth) SignInWith(ctx context.Context, name, password, addr string) (u domain.User, proof string, err error) {
	account, from := accountKey(name), addrKey(addr)
	counted := a.familiar.key(account, from)
	if wait := max(a.accounts.take(counted), a.addrs.take(from)); wait > 0 {
		a.log.WarnContext(ctx, "sign-in refused: too many attempts", "account", account, "addr", addr, "wait", wait)
		return u, "", limited(wait)
	}
	begun := a.clock()
	wrong := func() error {
		a.log.WarnContext(ctx, "sign-in failed", "account", account, "addr", addr)
		return domain.Errorf(domain.Unauthenticated, "The name or the password is wrong.").WithFix("Check both and mind upper and lower case.")
	}
	strict, err := a.SignInPolicy(ctx)
	if err != nil {
		return u, "", err
	}
	u, err = a.db.UserByName(ctx, strings.TrimSpace(name))
	unknown := domain.Is(err, domain.NotFound)
	if err != nil && !unknown {
		return u, "", err
	}
	hash := u.PasswordHash
	elsewhere := unknown || hash == "" || strict.LocalOff
	if elsewhere {
		hash = a.hasher.dummy
	}
	if len(password) > maxPassword {
		password = password[:maxPassword] + "…" // never equal to a stored one, and of bounded cost
	}
	ok, err := a.hasher.matches(ctx, password, hash)
	if err != nil {
		return u, "", err
	}
	if !ok && !elsewhere { // who is linked to a directory may use its password too
		if elsewhere, err = a.inDirectory(ctx, u.ID); err != nil {
			return u, "", err
		}
	}
	if elsewhere {
		typed := strings.TrimSpace(name)
		if u, proof, ok, err = a.signInDirectory(ctx, typed, password, addr); err != nil {
			return domain.User{}, "", err
		}
		if ok {
			a.accounts.forgive(counted)
			a.addrs.forgive(from)
			a.familiar.add(account, from)
			return u, proof, nil
		}
	}
	if !ok || elsewhere || u.Disabled {
		if err := a.evenly(ctx, begun); err != nil {
			return domain.User{}, "", err
		}
		return domain.User{}, "", wrong()
	}
	u = a.rehashed(ctx, u, password)
	a.accounts.forgive(counted)
	a.addrs.forgive(from)
	a.familiar.add(account, from)
	err = a.editUser(ctx, u.ID, func(tx *db.Tx, u *domain.User) error {
		u.LastSignIn = a.clock().UTC()
		return tx.Emit(domain.Event{Kind: "user.signed_in", Resource: userRef(*u), Actor: u.Name, Message: u.Name + " signed in from " + addr + "."})
	})
	if err != nil {
		return domain.User{}, "", err
	}
	return u, ProofPassword, nil
}

// evenlyFor is how long a refusal takes at least where a directory is asked about some names and not about others.
const evenlyFor = 700 * time.Millisecond

// evenly lets every refusal take the same time, so that time does not tell which names have an account here.
func (a *Auth) evenly(ctx context.Context, begun time.Time) error {
	all, err := a.db.Providers(ctx)
	if err != nil || !slices.ContainsFunc(all, func(x domain.Provider) bool { return x.Kind == domain.ProviderLDAP && !x.Disabled }) {
		return err
	}
	rest := time.NewTimer(evenlyFor - a.clock().Sub(begun))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
	}
	return nil
}

// rehashed gives a password that was hashed with older parameters a hash with those of now; its salt stays, so that sessions stay too.
func (a *Auth) rehashed(ctx context.Context, u domain.User, password string) domain.User {
	fresh, aged, err := a.hasher.again(ctx, password, u.PasswordHash)
	if err != nil || !aged {
		return u // it is as right as before; the next sign-in tries again
	}
	err = a.editUser(ctx, u.ID, func(_ *db.Tx, row *domain.User) error {
		if row.PasswordHash == u.PasswordHash {
			row.PasswordHash = fresh
		}
		u = *row
		return nil
	})
	if err != nil {
		a.log.WarnContext(ctx, "a password could not be hashed anew", "account", u.Name, "error", err)
	}
	return u
}

// ChangePassword replaces a person's password. All other sessions of that person end, since they carry the old password's fingerprint.
func (a *Auth) ChangePassword(ctx context.Context, userID, old, fresh string) (domain.User, error) {
	u, err := a.db.User(ctx, userID)
	if err != nil {
		return u, err
	}
	if wait := a.accounts.take(accountKey(u.Name)); wait > 0 {
		return u, limited(wait)
	}
	if u.PasswordHash == "" {
		return u, domain.Errorf(domain.Conflict, "This account has no password here: it signs in through an identity provider.").WithFix("Change the password there.")
	}
	ok, err := a.hasher.matches(ctx, old[:min(len(old), maxPassword+1)], u.PasswordHash)
	if err != nil {
		return u, err
	}
	if !ok {
		return u, domain.InvalidField("current", "The present password is wrong.", "the password you signed in with")
	}
	a.accounts.forgive(accountKey(u.Name))
	var p domain.Problems
	if checkNewPassword(&p, "password", u.Name, fresh); len(p) == 0 && fresh == old {
		p.Add("password", "The new password is the present one.", "another one")
	}
	if err := p.Err(); err != nil {
		return u, err
	}
	hash, err := a.hasher.hash(ctx, fresh)
	if err != nil {
		return u, err
	}
	err = a.editUser(ctx, userID, func(tx *db.Tx, row *domain.User) error {
		row.PasswordHash, row.MustChange = hash, false
		if err := tx.DeleteInvites(userID); err != nil {
			return err
		}
		u = *row
		return tx.Emit(domain.Event{Kind: "user.password_changed", Resource: userRef(u), Actor: u.Name, Message: u.Name + " changed the password."})
	})
	return u, err
}

// ResetPassword gives an account a new one-time password and ends its sessions: the way back in for an administrator at the server's shell.
func (a *Auth) ResetPassword(ctx context.Context, name, actor string) (password string, err error) {
	u, err := a.db.UserByName(ctx, name)
	if err != nil {
		return "", err
	}
	password = oneTimePassword()
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return "", err
	}
	err = a.editUser(ctx, u.ID, func(tx *db.Tx, row *domain.User) error {
		row.PasswordHash, row.MustChange = hash, true
		return tx.Emit(domain.Event{Kind: "user.password_reset", Resource: userRef(*row), Actor: actor, Message: "The password of " + row.Name + " was reset."})
	})
	if err != nil {
		return "", err
	}
	return password, nil
}

// SavePrefs keeps what a person chose for the screen.
func (a *Auth) SavePrefs(ctx context.Context, userID string, change func(*domain.Prefs)) (domain.Prefs, error) {
	var out domain.Prefs
	err := a.editUser(ctx, userID, func(_ *db.Tx, u *domain.User) error {
		change(&u.Prefs)
		out = u.Prefs
		return nil
	})
	return out, err
}

func (a *Auth) editUser(ctx context.Context, id string, change func(*db.Tx, *domain.User) error) error {
	return a.db.Write(ctx, func(tx *db.Tx) error {
		u, err := a.db.User(ctx, id) // there is one writer and it is this transaction, so nothing can change in between
		if err != nil {
			return err
		}
		if err := change(tx, &u); err != nil {
			return err
		}
		return tx.UpdateUser(u)
	})
}

func userRef(u domain.User) domain.Ref { return domain.Ref{Kind: "user", ID: u.ID, Name: u.Name} }
