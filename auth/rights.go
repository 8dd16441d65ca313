package auth

import (
	"context"
	"sync"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// rights is the policy as it was read last.
type rights struct {
	mu      sync.Mutex
	version string
	policy  *access.Policy
}

// Policy gives the roles and bindings as they are now; they are read again only when one of them was changed, by this process or another.
func (a *Auth) Policy(ctx context.Context) (*access.Policy, error) {
	version, err := a.db.AccessVersion(ctx)
	if err != nil {
		return nil, err
	}
	a.rights.mu.Lock()
	defer a.rights.mu.Unlock()
	if a.rights.policy != nil && a.rights.version == version && !db.Trying(ctx) {
		return a.rights.policy, nil
	}
	var f access.Facts
	if f.Roles, err = a.db.Roles(ctx); err != nil {
		return nil, err
	}
	if f.Bindings, err = a.db.Bindings(ctx); err != nil {
		return nil, err
	}
	if f.Groups, err = a.db.Groups(ctx); err != nil {
		return nil, err
	}
	if f.Tenants, err = a.db.Tenants(ctx); err != nil {
		return nil, err
	}
	if f.Folders, err = a.db.AllFolders(ctx); err != nil {
		return nil, err
	}
	policy := access.Compile(f)
	if !db.Trying(ctx) { // else it is the policy of a change that is taken back
		a.rights.version, a.rights.policy = version, policy
	}
	return policy, nil
}

// circumstances are what conditions look at: now, from where, and how long ago a second factor was shown.
func (a *Auth) circumstances(ctx context.Context, mfa int64) access.Circumstances {
	c := access.Circumstances{Now: a.clock(), MFAAge: -1}
	if cause := domain.CauseOf(ctx); cause != nil {
		c.Address = cause.Address
	}
	if mfa > 0 {
		c.MFAAge = max(0, c.Now.Sub(unix(mfa)))
	}
	return c
}

func (a *Auth) grantsOfUser(ctx context.Context, userID string, mfa int64) (*access.Grants, error) {
	p, err := a.Policy(ctx)
	if err != nil {
		return nil, err
	}
	return p.Grants(access.Who{Kind: "user", ID: userID}, a.circumstances(ctx, mfa)), nil
}

func (a *Auth) grantsOfToken(ctx context.Context, t domain.Token) (*access.Grants, error) {
	p, err := a.Policy(ctx)
	if err != nil {
		return nil, err
	}
	return p.Grants(whoOf(t), a.circumstances(ctx, 0)).Narrowed(t.Only), nil
}

// whoOf is a token as a subject: a person's own has what the person has, a service account's has its own role.
func whoOf(t domain.Token) access.Who {
	if t.UserID != "" {
		return access.Who{Kind: "user", ID: t.UserID}
	}
	b := domain.Binding{ID: t.ID, Subject: tokenRef(t), Role: access.RoleName(t.Role), Scope: domain.ScopeEstate}
	if t.Tenant != "" {
		b.Scope, b.ScopeID = domain.ScopeTenant, t.Tenant
	}
	return access.Who{Kind: "token", ID: t.ID, Own: &b}
}

// mayGive refuses to give what one does not have: otherwise who may give rights has them all.
func (a *Auth) mayGive(ctx context.Context, by Subject, r domain.Role, scope, scopeID string) error {
	if by.Grants == nil {
		return nil
	}
	in := domain.Folder{ID: scopeID}
	if scope == domain.ScopeFolder {
		var err error
		if in, err = a.db.Folder(ctx, scopeID); err != nil && !domain.Is(err, domain.NotFound) {
			return err
		}
	}
	perms, _ := access.Expand(r.Permissions)
	for _, p := range perms {
		o := access.Object{ID: "-"}
		switch scope {
		case domain.ScopeTenant:
			o.Tenant = scopeID
		case domain.ScopeFolder:
			o.Tenant, o.Folder = in.Tenant, in.ID
		case domain.ScopeEstate:
			if !by.Everywhere(p) {
				return domain.Errorf(domain.Denied, "The role %s has %s, which you do not have yourself.", r.ID, p).WithFix("Give a smaller role, or ask somebody who has it.")
			}
			continue
		}
		if !by.On(p, o) && !by.Everywhere(p) {
			return domain.Errorf(domain.Denied, "The role %s has %s, which you do not have there yourself.", r.ID, p).WithFix("Give a smaller role, or ask somebody who has it.")
		}
	}
	return nil
}

// CheckBinding judges a binding before it is made: what it names is there, and who asks may give it. It comes back as it would be written.
func (a *Auth) CheckBinding(ctx context.Context, by Subject, b domain.Binding) (domain.Binding, error) {
	p, err := a.Policy(ctx)
	if err != nil {
		return b, err
	}
	var probs domain.Problems
	role, ok := p.Role(b.Role)
	if !ok {
		probs.Add("role", "There is no role “"+b.Role+"”.", "the id of a role, such as "+access.TenantUser)
	}
	b.Role = role.ID
	switch b.Scope {
	case "", domain.ScopeEstate:
		b.Scope, b.ScopeID = domain.ScopeEstate, ""
	case domain.ScopeTenant:
		t, ok := p.Tenant(b.ScopeID)
		if !ok {
			probs.Add("scope_id", "There is no tenant “"+b.ScopeID+"”.", "a tenant's id")
		}
		b.ScopeID = t.ID
	case domain.ScopeFolder:
		f, err := a.db.Folder(ctx, b.ScopeID)
		if domain.Is(err, domain.NotFound) {
			probs.Add("scope_id", "There is no folder “"+b.ScopeID+"”.", "a folder's id")
		} else if err != nil {
			return b, err
		}
		b.ScopeID = f.ID
	case domain.ScopeTag:
		domain.CheckTags(&probs, "scope_id", []string{b.ScopeID})
	case domain.ScopeObject:
		if b.ScopeID == "" || len(b.ScopeID) > 64 {
			probs.Add("scope_id", "The binding does not say for what it is.", "an object's id, such as vm_…")
		}
	default:
		probs.Add("scope", "“"+b.Scope+"” is not a scope.", "estate, tenant, folder, tag or object")
	}
	if b.Condition != "" {
		if _, err := access.ParseCondition(b.Condition); err != nil {
			if e, ok := err.(*domain.Error); ok {
				probs = append(probs, e.Fields...)
			}
		}
	}
	if b.Subject, err = a.subjectNamed(ctx, b.Subject); domain.Is(err, domain.NotFound) {
		probs.Add("subject", "There is no such user or group.", "the id or name of a user or a group")
	} else if err != nil {
		return b, err
	}
	if err := probs.Err(); err != nil {
		return b, err
	}
	return b, a.mayGive(ctx, by, role, b.Scope, b.ScopeID)
}

// Bind gives somebody a role.
func (a *Auth) Bind(ctx context.Context, by Subject, b domain.Binding) (domain.Binding, error) {
	b, err := a.CheckBinding(ctx, by, b)
	if err != nil {
		return b, err
	}
	now := a.clock().UTC()
	b.ID, b.CreatedBy, b.CreatedAt = domain.NewID("bind", now), by.Actor(), now
	return b, a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.InsertBinding(b); err != nil {
			if domain.Is(err, domain.Conflict) {
				return domain.Errorf(domain.Conflict, "%s has this already.", b.Subject.Name)
			}
			return err
		}
		if b.Deny {
			if err := a.lastAdmin(ctx, tx); err != nil {
				return err
			}
		}
		return tx.Emit(domain.Event{Kind: "binding.created", Resource: bindingRef(b), Actor: by.Actor(), Message: bindingText(b)})
	})
}

func bindingRef(b domain.Binding) domain.Ref {
	return domain.Ref{Kind: "binding", ID: b.ID, Name: b.Role + " for " + b.Subject.Name}
}

func bindingText(b domain.Binding) string {
	verb, where := " was given the role ", "the estate"
	if b.Deny {
		verb = " is denied the role "
	}
	if b.ScopeID != "" {
		where = b.Scope + " " + b.ScopeID
	}
	return b.Subject.Name + verb + b.Role + " at " + where + "."
}

// subjectNamed finds a user or a group by id or name.
func (a *Auth) subjectNamed(ctx context.Context, r domain.Ref) (domain.Ref, error) {
	none := domain.Errorf(domain.NotFound, "There is no such user or group.")
	if r.ID == "" {
		return r, none
	}
	if r.Kind == "" || r.Kind == "user" {
		users, err := a.db.Users(ctx)
		if err != nil {
			return r, err
		}
		for _, u := range users {
			if u.ID == r.ID || u.Name == r.ID {
				return userRef(u), nil
			}
		}
	}
	if r.Kind == "" || r.Kind == "group" {
		groups, err := a.db.Groups(ctx)
		if err != nil {
			return r, err
		}
		for _, g := range groups {
			if g.ID == r.ID || g.Name == r.ID {
				return domain.Ref{Kind: "group", ID: g.ID, Name: g.Name}, nil
			}
		}
	}
	return r, none
}

// Unbind takes a role away again.
func (a *Auth) Unbind(ctx context.Context, by Subject, id string) error {
	return a.db.Write(ctx, func(tx *db.Tx) error {
		all, err := tx.Bindings()
		if err != nil {
			return err
		}
		for _, b := range all {
			if b.ID != id {
				continue
			}
			if p, err := a.Policy(ctx); err != nil {
				return err
			} else if r, ok := p.Role(b.Role); ok {
				if err := a.mayGive(ctx, by, r, b.Scope, b.ScopeID); err != nil {
					return err
				}
			}
			if err := tx.DeleteBinding(id); err != nil {
				return err
			}
			if err := a.lastAdmin(ctx, tx); err != nil {
				return err
			}
			return tx.Emit(domain.Event{Kind: "binding.removed", Resource: bindingRef(b), Actor: by.Actor(), Message: "No longer: " + bindingText(b)})
		}
		return domain.Errorf(domain.NotFound, "There is no such binding.")
	})
}

// lastAdmin refuses what would leave nobody who can give rights.
func (a *Auth) lastAdmin(ctx context.Context, tx *db.Tx) error {
	n, err := tx.Admins(access.PlatformAdmin)
	if err != nil || n > 0 {
		return err
	}
	if before, err := a.db.Admins(ctx, access.PlatformAdmin); err != nil || before == 0 {
		return err // it was so already: this makes nothing worse
	}
	return domain.Errorf(domain.Conflict, "Nobody would be a platform admin any more.").WithFix("Make somebody else one first.")
}

// SaveRole makes or changes a custom role.
func (a *Auth) SaveRole(ctx context.Context, by Subject, r domain.Role, fresh bool) (domain.Role, error) {
	p, err := a.Policy(ctx)
	if err != nil {
		return r, err
	}
	old, exists := p.Role(r.ID)
	var probs domain.Problems
	if !domain.Slug(r.ID) {
		probs.Add("id", "That is not an id for a role.", "small letters, digits, dots and hyphens, such as web-operator")
	}
	if len(r.Name) > 100 || len(r.Notes) > 2000 {
		probs.Add("name", "The name or the notes are too long.", "at most 100 and 2000 characters")
	}
	perms, unknown := access.Expand(r.Permissions)
	for _, u := range unknown {
		probs.Add("permissions", "There is no permission “"+u+"”.", "names such as vm.power, or vm.* for all of a kind")
	}
	if len(perms) == 0 && len(unknown) == 0 {
		probs.Add("permissions", "The role allows nothing.", "at least one permission")
	}
	if err := probs.Err(); err != nil {
		return r, err
	}
	if r.Name == "" {
		r.Name = r.ID
	}
	switch {
	case exists && old.BuiltIn:
		return r, domain.Errorf(domain.Conflict, "%s is built in and stays as it is.", old.ID).WithFix("Make a role of your own with another id.")
	case exists && fresh:
		return r, domain.Errorf(domain.Conflict, "There is a role %s already.", r.ID).WithFix("Choose another id.")
	case !exists && !fresh:
		return r, domain.Errorf(domain.NotFound, "There is no such role.")
	}
	if err := a.mayGive(ctx, by, r, domain.ScopeEstate, ""); err != nil {
		return r, err
	}
	if r.CreatedAt = old.CreatedAt; fresh {
		r.CreatedAt = a.clock().UTC()
	}
	return r, a.db.Write(ctx, func(tx *db.Tx) error {
		kind, said := "role.created", "The role "+r.ID+" was made."
		if !fresh {
			kind, said = "role.changed", "The role "+r.ID+" was changed."
			if err := tx.Before(old.Permissions); err != nil {
				return err
			}
		}
		if err := tx.SaveRole(r); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: kind, Resource: domain.Ref{Kind: "role", ID: r.ID, Name: r.Name}, Actor: by.Actor(), Message: said})
	})
}

// DeleteRole forgets a custom role that nobody has.
func (a *Auth) DeleteRole(ctx context.Context, by Subject, id string) error {
	if access.Known(id) {
		return domain.Errorf(domain.Conflict, "%s is built in and stays.", id)
	}
	return a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.DeleteRole(id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "role.removed", Resource: domain.Ref{Kind: "role", ID: id, Name: id}, Actor: by.Actor(), Message: "The role " + id + " was deleted."})
	})
}
