package auth

import (
	"context"
	"encoding/json"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/domain/compliance"
)

// movesLooked is how many of the last migrations are looked at.
const movesLooked = 200

// Compliance judges how well this server and its hosts are kept, from what is in the database and how the server was started.
func (a *Auth) Compliance(ctx context.Context) ([]compliance.Judgement, error) {
	f := compliance.Facts{Now: a.clock(), Server: a.server, Admin: access.PlatformAdmin}
	targets, err := a.db.AuditTargets(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range targets {
		f.Targets = append(f.Targets, compliance.Target{Name: t.Target, Error: t.Error})
	}
	if f.Hosts, err = a.db.Hosts(ctx); err != nil {
		return nil, err
	}
	if f.Policy, err = a.SignInPolicy(ctx); err != nil {
		return nil, err
	}
	if f.Tokens, err = a.db.Tokens(ctx); err != nil {
		return nil, err
	}
	providers, err := a.db.Providers(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range providers {
		if p.Kind == domain.ProviderLDAP && p.Plain && !p.Disabled {
			f.Plain = append(f.Plain, p.Name)
		}
	}
	if f.People, err = a.peopleJudged(ctx); err != nil {
		return nil, err
	}
	if f.Moves, err = a.moves(ctx); err != nil {
		return nil, err
	}
	return compliance.Judge(f), nil
}

func (a *Auth) peopleJudged(ctx context.Context) ([]compliance.Person, error) {
	users, err := a.db.Users(ctx)
	if err != nil {
		return nil, err
	}
	factors, err := a.db.FactorKinds(ctx)
	if err != nil {
		return nil, err
	}
	policy, err := a.Policy(ctx)
	if err != nil {
		return nil, err
	}
	var out []compliance.Person
	for _, u := range users {
		if u.Disabled {
			continue
		}
		identities, err := a.db.Identities(ctx, u.ID)
		if err != nil {
			return nil, err
		}
		p := compliance.Person{Name: u.Name, MFA: len(factors[u.ID]) > 0, OneTime: u.MustChange, CreatedAt: u.CreatedAt, LastSignIn: u.LastSignIn, Outside: len(identities) > 0}
		for _, b := range policy.Held(access.Who{Kind: "user", ID: u.ID}) {
			p.Admin = p.Admin || !b.Deny && b.Role == access.PlatformAdmin && b.Scope == domain.ScopeEstate
		}
		out = append(out, p)
	}
	return out, nil
}

// moves are the last migrations, with how their streams went.
func (a *Auth) moves(ctx context.Context) ([]compliance.Move, error) {
	page, err := a.db.Jobs(ctx, db.JobQuery{Kind: "vm.migrate", State: domain.JobSucceeded, Limit: movesLooked})
	if err != nil {
		return nil, err
	}
	var out []compliance.Move
	for _, j := range page.Items {
		var data struct {
			Plan struct {
				TLS  bool                 `json:"tls"`
				Mode domain.MigrationMode `json:"mode"`
			} `json:"plan"`
		}
		if len(j.Data) == 0 {
			continue
		}
		if err := json.Unmarshal(j.Data, &data); err != nil {
			return nil, domain.Errorf(domain.Internal, "The data of the migration %s cannot be read: %w", j.ID, err)
		}
		if data.Plan.Mode == domain.MigrateLive {
			out = append(out, compliance.Move{VM: j.Resource.Name, Encrypted: data.Plan.TLS})
		}
	}
	return out, nil
}
