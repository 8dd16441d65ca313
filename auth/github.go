package auth

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/oauth2"

	"novacron/domain"
)

// GitHub's home, and where its API is; a GitHub Enterprise Server has both on its own address.
const (
	githubHome = "https://github.com"
	githubAPI  = "https://api.github.com"
)

// githubScopes let us read who somebody is and which organisations and teams they are in, and nothing else.
var githubScopes = []string{"read:user", "read:org"}

// githubOAuth is how GitHub signs people in: OAuth with PKCE. It has no ID token, so who it is is asked of its API with the access token that the code was
// exchanged for, which nobody but us and GitHub has seen.
func githubOAuth(x domain.Provider, redirect string) *oauth2.Config {
	home := strings.TrimRight(x.Issuer, "/")
	return &oauth2.Config{ClientID: x.ClientID, ClientSecret: string(x.Secret), RedirectURL: redirect, Scopes: x.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: home + "/login/oauth/authorize", TokenURL: home + "/login/oauth/access_token", AuthStyle: oauth2.AuthStyleInParams}}
}

func githubAt(x domain.Provider, path string) string {
	if home := strings.TrimRight(x.Issuer, "/"); home != githubHome {
		return home + "/api/v3" + path
	}
	return githubAPI + path
}

// exchangeGitHub turns the code into what GitHub says of somebody. Groups are the organisations (org) and the teams (org/team).
func (a *Auth) exchangeGitHub(ctx context.Context, x domain.Provider, f Flow, code string) (outsider, error) {
	bad := func(err error) (outsider, error) {
		a.log.WarnContext(ctx, "sign-in refused: the provider's answer is not right", "provider", x.ID, "error", err)
		return outsider{}, domain.Errorf(domain.Unauthenticated, "What %s says cannot be relied on.", x.Name).WithFix("Begin again; if it stays, the server's log has the reason.").WithCause(err)
	}
	if f.Again {
		return bad(domain.Errorf(domain.Invalid, "GitHub does not ask anew"))
	}
	client := a.outsideClient()
	tok, err := githubOAuth(x, f.Redirect).Exchange(context.WithValue(ctx, oauth2.HTTPClient, client), code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return bad(err)
	}
	read := func(path string, into any) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, githubAt(x, path), nil)
		if err != nil {
			return err
		}
		r.Header.Set("Accept", "application/vnd.github+json")
		tok.SetAuthHeader(r)
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return domain.Errorf(domain.Unavailable, "%s answers %s", path, answer.Status)
		}
		return json.NewDecoder(answer.Body).Decode(into)
	}
	var who struct {
		ID    int64
		Login string
		Name  string
		Email string
	}
	if err := read("/user", &who); err != nil {
		return bad(err)
	}
	if who.ID <= 0 || who.Login == "" {
		return bad(domain.Errorf(domain.Invalid, "it does not say who it is"))
	}
	var orgs []struct{ Login string }
	if err := read("/user/orgs?per_page=100", &orgs); err != nil {
		return bad(err)
	}
	var teams []struct {
		Slug         string
		Organization struct{ Login string }
	}
	if err := read("/user/teams?per_page=100", &teams); err != nil {
		return bad(err)
	}
	groups := []any{}
	for _, o := range orgs {
		groups = append(groups, o.Login)
	}
	for _, t := range teams {
		groups = append(groups, t.Organization.Login+"/"+t.Slug)
	}
	id := strconv.FormatInt(who.ID, 10)
	return outsider{Subject: id, Login: who.Login, FullName: who.Name, Email: who.Email, Claims: map[string]any{"id": id, "login": who.Login, "groups": groups}}, nil
}
