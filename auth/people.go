package auth

import (
	"context"
	"net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// NewUser is what an account is made of.
type NewUser struct {
	Name, FullName, Email string
	Role, Tenant          string // the first role, in a tenant or in the estate; may be empty
}

// unnamed are characters that no sign-in name has.
func unnamed(r rune) bool {
	return domain.Unseen(r) || unicode.IsSpace(r) || strings.ContainsRune("/\\:%\"'`<>&|$*;", r)
}

func checkUser(p *domain.Problems, u domain.User) {
	first, _ := utf8.DecodeRuneInString(u.Name)
	if len(u.Name) > 64 || !unicode.IsLetter(first) && !unicode.IsDigit(first) && first != '_' || strings.ContainsFunc(u.Name, unnamed) {
		p.Add("name", "That is not a name to sign in with.", "1 to 64 characters, a letter or digit first, without spaces and signs that mean something to programs, such as ada or ada@example.org")
	}
	if len(u.FullName) > 100 || strings.ContainsFunc(u.FullName, func(r rune) bool { return domain.Unseen(r) && r != '\u200c' && r != '\u200d' }) {
		p.Add("full_name", "The full name cannot be kept.", "at most 100 characters on one line")
	}
	if u.Email != "" {
		if a, err := mail.ParseAddress(u.Email); err != nil || a.Address != u.Email || len(u.Email) > 200 {
			p.Add("email", "“"+u.Email+"” is not a mail address.", "such as ada@example.org, or nothing")
		}
	}
}

// MakeUser makes an account with a one-time password, which is shown once.
func (a *Auth) MakeUser(ctx context.Context, by Subject, n NewUser) (u domain.User, oneTime string, err error) {
	u = domain.User{Name: strings.TrimSpace(n.Name), FullName: strings.TrimSpace(n.FullName), Email: strings.TrimSpace(n.Email)}
	var p domain.Problems
	checkUser(&p, u)
	policy, err := a.Policy(ctx)
	if err != nil {
		return u, "", err
	}
	var role domain.Role
	if n.Role != "" {
		var ok bool
		if role, ok = policy.Role(n.Role); !ok {
			p.Add("role", "There is no role “"+n.Role+"”.", "the id of a role, such as "+access.TenantUser)
		}
	}
	scope := domain.ScopeEstate
	if n.Tenant != "" {
		t, ok := policy.Tenant(n.Tenant)
		if !ok {
			p.Add("tenant", "There is no tenant “"+n.Tenant+"”.", "a tenant's id, or nothing")
		}
		scope, n.Tenant = domain.ScopeTenant, t.ID
	}
	if err := p.Err(); err != nil {
		return u, "", err
	}
	if n.Role != "" {
		if err := a.mayGive(ctx, by, role, scope, n.Tenant); err != nil {
			return u, "", err
		}
	}
	oneTime = oneTimePassword()
	if u, err = a.createUser(ctx, u, oneTime, role.ID, n.Tenant, by.Actor()); domain.Is(err, domain.Conflict) {
		err = &domain.Error{Code: domain.Conflict, Msg: "There is an account “" + u.Name + "” already.", Fix: "Choose another name.",
			Fields: []domain.FieldError{{Field: "name", Msg: "There is an account “" + u.Name + "” already.", Want: "a name that is free"}}}
	}
	return u, oneTime, err
}

// UserEdit changes an account; nil stays.
type UserEdit struct {
	FullName *string
	Email    *string
	Disabled *bool
}

// EditUser changes an account. Disabling it ends its sessions, and its tokens work no more.
//
// Whoever gets an account's mail can reset its password: so only who may reset the account may say where its mail goes.
func (a *Auth) EditUser(ctx context.Context, by Subject, id string, e UserEdit) (out domain.User, err error) {
	if e.Email != nil && by.UserID != id {
		if now, err := a.db.User(ctx, id); err != nil {
			return out, err
		} else if strings.TrimSpace(*e.Email) != now.Email {
			if _, err := a.mayReset(ctx, by, id); err != nil {
				return out, err
			}
		}
	}
	err = a.db.Write(ctx, func(tx *db.Tx) error {
		u, err := a.db.User(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.Before(map[string]any{"full_name": u.FullName, "email": u.Email, "disabled": u.Disabled}); err != nil {
			return err
		}
		kind, said := "user.changed", "Account “"+u.Name+"” was changed."
		if e.FullName != nil {
			u.FullName = strings.TrimSpace(*e.FullName)
		}
		if e.Email != nil {
			u.Email = strings.TrimSpace(*e.Email)
		}
		if e.Disabled != nil && *e.Disabled != u.Disabled {
			if u.Disabled = *e.Disabled; u.Disabled {
				kind, said = "user.disabled", "Account “"+u.Name+"” was disabled."
				if by.UserID == u.ID {
					return domain.Errorf(domain.Conflict, "You would lock yourself out.").WithFix("Let somebody else disable this account.")
				}
				if err := tx.DeleteSignIns(u.ID, ""); err != nil {
					return err
				}
			} else {
				kind, said = "user.enabled", "Account “"+u.Name+"” was enabled."
			}
		}
		var p domain.Problems
		checkUser(&p, u)
		p = slices.DeleteFunc(p, func(f domain.FieldError) bool { return f.Field == "name" }) // it stays, whatever names were possible when it was made
		if err := p.Err(); err != nil {
			return err
		}
		if err := tx.UpdateUser(u); err != nil {
			return err
		}
		out = u
		if err := a.lastAdmin(ctx, tx); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: kind, Resource: userRef(u), Actor: by.Actor(), Message: said})
	})
	return out, err
}

// DeleteUser forgets an account.
func (a *Auth) DeleteUser(ctx context.Context, by Subject, id string) error {
	return a.db.Write(ctx, func(tx *db.Tx) error {
		u, err := a.db.User(ctx, id)
		if err != nil {
			return err
		}
		if by.UserID == id {
			return domain.Errorf(domain.Conflict, "You would delete yourself.").WithFix("Let somebody else delete this account.")
		}
		if err := tx.DeleteUser(id); err != nil {
			return err
		}
		if err := a.lastAdmin(ctx, tx); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "user.removed", Resource: userRef(u), Actor: by.Actor(), Message: "Account “" + u.Name + "” was deleted."})
	})
}

// SaveGroup makes or changes a group.
func (a *Auth) SaveGroup(ctx context.Context, by Subject, g domain.Group) (domain.Group, error) {
	var p domain.Problems
	g.Name = strings.TrimSpace(g.Name)
	if g.Name == "" || len(g.Name) > 64 || strings.ContainsFunc(g.Name, domain.Unseen) {
		p.Add("name", "A group needs a name.", "1 to 64 characters")
	}
	users, err := a.db.Users(ctx)
	if err != nil {
		return g, err
	}
	var members []string
	for _, m := range g.Members {
		i := slices.IndexFunc(users, func(u domain.User) bool { return u.ID == m || strings.EqualFold(u.Name, m) })
		if i < 0 {
			p.Add("members", "There is no account “"+m+"”.", "ids or names of accounts")
		} else if !slices.Contains(members, users[i].ID) {
			members = append(members, users[i].ID)
		}
	}
	if err := p.Err(); err != nil {
		return g, err
	}
	slices.Sort(members)
	g.Members = members
	kind, said := "group.changed", "Group “"+g.Name+"” was changed."
	if g.ID == "" {
		g.ID, g.CreatedAt = domain.NewID("group", a.clock()), a.clock().UTC()
		kind, said = "group.created", "Group “"+g.Name+"” was made."
	} else if err := a.mayRegroup(ctx, by, g.ID); err != nil {
		return g, err
	}
	return g, a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.SaveGroup(g); err != nil {
			return err
		}
		if err := a.lastAdmin(ctx, tx); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: kind, Resource: domain.Ref{Kind: "group", ID: g.ID, Name: g.Name}, Actor: by.Actor(), Message: said})
	})
}

// mayRegroup: to put somebody into a group is to give what the group has.
func (a *Auth) mayRegroup(ctx context.Context, by Subject, id string) error {
	p, err := a.Policy(ctx)
	if err != nil {
		return err
	}
	all, err := a.db.Bindings(ctx)
	if err != nil {
		return err
	}
	for _, b := range all {
		if r, ok := p.Role(b.Role); ok && b.Subject.ID == id && !b.Deny {
			if err := a.mayGive(ctx, by, r, b.Scope, b.ScopeID); err != nil {
				return err
			}
		}
	}
	return nil
}

// DeleteGroup forgets a group; its members lose what they had through it.
func (a *Auth) DeleteGroup(ctx context.Context, by Subject, id string) error {
	g, err := a.db.Group(ctx, id)
	if err != nil {
		return err
	}
	if err := a.mayRegroup(ctx, by, id); err != nil {
		return err
	}
	return a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.DeleteGroup(id); err != nil {
			return err
		}
		if err := a.lastAdmin(ctx, tx); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "group.removed", Resource: domain.Ref{Kind: "group", ID: id, Name: g.Name}, Actor: by.Actor(), Message: "Group “" + g.Name + "” was deleted."})
	})
}

// SaveTenant makes a tenant (version 0 and fresh) or changes name, notes and quota of one.
func (a *Auth) SaveTenant(ctx context.Context, by Subject, t domain.Tenant, fresh bool, version int64) (domain.Tenant, error) {
	t.Name = strings.TrimSpace(t.Name)
	if fresh {
		t.ID, t.CreatedAt, t.Version = domain.Slugged(t.Name), a.clock().UTC(), 1
	}
	var p domain.Problems
	domain.CheckTenant(&p, t)
	if err := p.Err(); err != nil {
		return t, err
	}
	err := a.db.Write(ctx, func(tx *db.Tx) error {
		ref := domain.Ref{Kind: "tenant", ID: t.ID, Name: t.Name}
		if fresh {
			if err := tx.InsertTenant(t); err != nil {
				if domain.Is(err, domain.Conflict) {
					return &domain.Error{Code: domain.Conflict, Msg: "There is a tenant “" + t.Name + "” already.", Fix: "Choose another name.",
						Fields: []domain.FieldError{{Field: "name", Msg: "It is taken.", Want: "a name that is free"}}}
				}
				return err
			}
			return tx.Emit(domain.Event{Kind: "tenant.created", Resource: ref, Actor: by.Actor(), Tenant: t.ID, Message: "The tenant " + t.Name + " was made."})
		}
		old, err := tx.Tenant(t.ID)
		if err != nil {
			return err
		}
		if err := tx.Before(map[string]any{"name": old.Name, "notes": old.Notes, "quota": old.Quota}); err != nil {
			return err
		}
		t.Version = old.Version
		if err := tx.UpdateTenant(t, version); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "tenant.changed", Resource: ref, Actor: by.Actor(), Tenant: t.ID, Message: "The tenant " + t.Name + " was changed."})
	})
	if err != nil {
		return t, err
	}
	return a.db.Tenant(ctx, t.ID)
}

// DeleteTenant forgets a tenant that has nothing any more.
func (a *Auth) DeleteTenant(ctx context.Context, by Subject, id string) error {
	return a.db.Write(ctx, func(tx *db.Tx) error {
		t, err := tx.Tenant(id)
		if err != nil {
			return err
		}
		if err := tx.DeleteTenant(t.ID); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "tenant.removed", Resource: domain.Ref{Kind: "tenant", ID: t.ID, Name: t.Name}, Actor: by.Actor(), Message: "The tenant " + t.Name + " was deleted."})
	})
}

// RevokeSession ends one session of a person; userID empty is for who may end anybody's.
func (a *Auth) RevokeSession(ctx context.Context, by Subject, id, userID string) error {
	in, err := a.db.SignIn(ctx, id)
	if err != nil {
		return err
	}
	if userID != "" && in.UserID != userID {
		return domain.Errorf(domain.NotFound, "There is no such session.")
	}
	return a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.DeleteSignIn(id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "session.revoked", Resource: domain.Ref{Kind: "user", ID: in.UserID, Name: by.Name}, Actor: by.Actor(), Message: "A session of an account was ended."})
	})
}

// EndSessions signs an account out everywhere.
func (a *Auth) EndSessions(ctx context.Context, by Subject, id string) error {
	return a.db.Write(ctx, func(tx *db.Tx) error {
		u, err := a.db.User(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.DeleteSignIns(id, by.Session); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "session.revoked", Resource: userRef(u), Actor: by.Actor(), Message: "All sessions of " + u.Name + " were ended."})
	})
}

// RevokeOthers ends all sessions of a person but the one that asks.
func (a *Auth) RevokeOthers(ctx context.Context, by Subject) error {
	return a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.DeleteSignIns(by.UserID, by.Session); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "session.revoked", Resource: domain.Ref{Kind: "user", ID: by.UserID, Name: by.Name}, Actor: by.Actor(), Message: by.Name + " ended all other sessions."})
	})
}

// Sessions lists the sessions of a person, or of everybody.
func (a *Auth) Sessions(ctx context.Context, userID string) ([]domain.SignIn, error) {
	return a.db.SignIns(ctx, userID)
}
