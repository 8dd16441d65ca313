package auth

import (
	"context"
	"slices"

	"novacron/auth/access"
	"novacron/domain"
)

func (a *Auth) objectAsked(ctx context.Context, p access.Permission, object string) (access.Object, error) {
	if !access.Valid(p) {
		return access.Object{}, domain.InvalidField("permission", "There is no permission “"+string(p)+"”.", "a name such as vm.power")
	}
	if object == "" {
		return access.Object{}, nil
	}
	return a.Object(ctx, object)
}

// Explain says why a user, a group or a token may or may not do something.
func (a *Auth) Explain(ctx context.Context, subject string, p access.Permission, object string) (access.Explanation, domain.Ref, error) {
	var e access.Explanation
	o, err := a.objectAsked(ctx, p, object)
	if err != nil {
		return e, domain.Ref{}, err
	}
	policy, err := a.Policy(ctx)
	if err != nil {
		return e, domain.Ref{}, err
	}
	ref, err := a.subjectNamed(ctx, domain.Ref{ID: subject})
	if err == nil {
		return policy.Explain(access.Who{Kind: ref.Kind, ID: ref.ID}, p, o, a.circumstances(ctx, 0)), ref, nil
	}
	if !domain.Is(err, domain.NotFound) {
		return e, ref, err
	}
	toks, err := a.db.Tokens(ctx)
	if err != nil {
		return e, ref, err
	}
	i := slices.IndexFunc(toks, func(t domain.Token) bool { return t.ID == subject })
	if i < 0 {
		return e, ref, domain.InvalidField("subject", "There is no user, group or token “"+subject+"”.", "the id or name of a user or a group, or the id of a token")
	}
	return policy.Explain(whoOf(toks[i]), p, o, a.circumstances(ctx, 0)), tokenRef(toks[i]), nil
}

// WhoMay lists the users, groups and tokens that may do something.
func (a *Auth) WhoMay(ctx context.Context, p access.Permission, object string) ([]access.Holder, error) {
	o, err := a.objectAsked(ctx, p, object)
	if err != nil {
		return nil, err
	}
	policy, err := a.Policy(ctx)
	if err != nil {
		return nil, err
	}
	c := a.circumstances(ctx, 0)
	out := policy.Whose(p, o, c)
	names := map[string]string{}
	users, err := a.db.Users(ctx)
	if err != nil {
		return nil, err
	}
	off := map[string]bool{}
	for _, u := range users {
		names[u.ID], off[u.ID] = u.Name, u.Disabled
	}
	groups, err := a.db.Groups(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		names[g.ID] = g.Name
	}
	toks, err := a.db.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range toks {
		if t.UserID != "" {
			continue // the person is in the list
		}
		names[t.ID] = t.Name
		if e := policy.Explain(whoOf(t), p, o, c); e.Allowed {
			out = append(out, access.Holder{Kind: "token", ID: t.ID, Reason: e.Reason})
		}
	}
	out = slices.DeleteFunc(out, func(h access.Holder) bool { return off[h.ID] })
	for i := range out {
		out[i].Name = names[out[i].ID]
	}
	return out, nil
}
