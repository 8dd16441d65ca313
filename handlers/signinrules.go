package handlers

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/signin"
)

func (s *server) rulesPage(c echo.Context) error {
	p, err := s.Auth.SignInPolicy(c.Request().Context())
	if err != nil {
		return err
	}
	return s.showRules(c, http.StatusOK, signin.Rules{MFA: p.MFA, Roles: strings.Join(p.MFARoles, " "), StepUp: strconv.Itoa(p.StepUpMinutes), Tokens: p.StepUpTokens,
		Idle: strconv.Itoa(p.IdleMinutes), Lifetime: strconv.Itoa(p.LifetimeHours), LocalOff: p.LocalOff})
}

func (s *server) showRules(c echo.Context, status int, m signin.Rules) error {
	var err error
	if m.Providers, err = s.Auth.Providers(c.Request().Context()); err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{title: "Sign-in", section: layout.SectionAccount, crumbs: []layout.Crumb{{Label: "Account", URL: live.Account}}})
	if err != nil {
		return err
	}
	return s.render(c, status, signin.RulesPage(sh, m))
}

func (s *server) rulesSave(c echo.Context) error {
	m := signin.Rules{MFA: c.FormValue("mfa"), Roles: c.FormValue("mfa_roles"), StepUp: c.FormValue("step_up_minutes"), Tokens: truth(c.FormValue("step_up_tokens")),
		Idle: c.FormValue("idle_minutes"), Lifetime: c.FormValue("lifetime_hours"), LocalOff: truth(c.FormValue("local_off"))}
	var p domain.Problems
	number := func(field, text string) int {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			p.Add(field, "“"+text+"” is not a number.", "a whole number")
		}
		return n
	}
	policy := domain.SignInPolicy{MFA: m.MFA, MFARoles: words(m.Roles), StepUpMinutes: number("step_up_minutes", m.StepUp), StepUpTokens: m.Tokens, IdleMinutes: number("idle_minutes", m.Idle),
		LifetimeHours: number("lifetime_hours", m.Lifetime), LocalOff: m.LocalOff}
	err := p.Err()
	if err == nil {
		_, err = s.Auth.SaveSignInPolicy(c.Request().Context(), subject(c), policy)
	}
	if err == nil {
		return s.moveSaying(c, live.SignInRules, layout.Toast{Tone: layout.ToneSuccess, Text: "The sign-in settings were saved."})
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	m.Err = problem(err)
	return s.showRules(c, statusOf(err), m)
}

// providerFields are the form's fields that are one line of text each.
var providerFields = []string{"id", "name", "issuer", "client_id", "url", "ca", "bind_dn", "base_dn", "user_filter", "group_base", "group_filter", "rules", "scopes", "plain", "create", "trust_mfa", "disabled", "version"}

func mark(b bool) string {
	if b {
		return "1"
	}
	return ""
}

func (s *server) providerForm(c echo.Context) error {
	m := signin.Fresh(c.QueryParam("kind"))
	if id := c.Param("id"); id != "" {
		x, err := s.DB.Provider(c.Request().Context(), id)
		if err != nil {
			return err
		}
		m.Kind, m.Fresh, m.Help = x.Kind, false, ""
		m.Fields = map[string]string{"id": x.ID, "name": x.Name, "issuer": x.Issuer, "client_id": x.ClientID, "url": x.URL, "ca": x.CA, "bind_dn": x.BindDN, "base_dn": x.BaseDN,
			"user_filter": x.UserFilter, "group_base": x.GroupBase, "group_filter": x.GroupFilter, "rules": signin.RuleText(x.Rules), "scopes": strings.Join(x.Scopes, " "),
			"plain": mark(x.Plain), "create": mark(x.Create), "trust_mfa": mark(x.TrustMFA), "disabled": mark(x.Disabled), "version": strconv.FormatInt(x.Version, 10)}
	}
	return s.showProvider(c, http.StatusOK, m)
}

func (s *server) showProvider(c echo.Context, status int, m signin.Form) error {
	title := "New identity provider"
	if !m.Fresh {
		title, m.Back = m.Fields["name"], s.origin(c)+live.SSOBack(m.Fields["id"])
	}
	sh, err := s.shellFor(c, page{title: title, section: layout.SectionAccount, crumbs: []layout.Crumb{{Label: "Account", URL: live.Account}, {Label: "Sign-in", URL: live.SignInRules}}})
	if err != nil {
		return err
	}
	return s.render(c, status, signin.FormPage(sh, m))
}

func (s *server) providerSave(c echo.Context) error {
	m := signin.Form{Kind: c.FormValue("kind"), Fresh: c.Param("id") == "", Fields: map[string]string{}}
	for _, f := range providerFields {
		m.Fields[f] = strings.TrimSpace(c.FormValue(f))
	}
	if !m.Fresh {
		m.Fields["id"] = c.Param("id")
	}
	f := m.Fields
	x := domain.Provider{ID: f["id"], Kind: m.Kind, Name: f["name"], Disabled: truth(f["disabled"]), Create: truth(f["create"]), TrustMFA: truth(f["trust_mfa"]), Issuer: f["issuer"], ClientID: f["client_id"],
		Scopes: words(f["scopes"]), URL: f["url"], Plain: truth(f["plain"]), CA: f["ca"], BindDN: f["bind_dn"], BaseDN: f["base_dn"], UserFilter: f["user_filter"], GroupBase: f["group_base"],
		GroupFilter: f["group_filter"], Secret: []byte(c.FormValue("secret"))}
	rules, err := signin.ParseRules(f["rules"])
	if x.Rules = rules; err == nil && !m.Fresh {
		if x.Version, err = formVersion(c); err == nil && x.Version == 0 {
			err = domain.InvalidField("version", "The form's version is missing.", "the form as the page gave it; load the page again")
		}
	}
	if err == nil {
		if x, err = s.Auth.SaveProvider(c.Request().Context(), subject(c), x); err == nil {
			return s.moveSaying(c, live.Provider(x.ID), layout.Toast{Tone: layout.ToneSuccess, Text: x.Name + " was saved."})
		}
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	m.Err = problem(err)
	return s.showProvider(c, statusOf(err), m)
}

func (s *server) providerAsk(c echo.Context) error {
	x, err := s.DB.Provider(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{title: "Take away " + x.Name, section: layout.SectionAccount, crumbs: []layout.Crumb{{Label: "Sign-in", URL: live.SignInRules}}})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, signin.DeletePage(sh, signin.Delete{Provider: x}))
}

func (s *server) providerDelete(c echo.Context) error {
	if err := s.Auth.DeleteProvider(c.Request().Context(), subject(c), c.Param("id")); err != nil {
		return s.sayOrFail(c, live.SignInRules, err)
	}
	return s.moveSaying(c, live.SignInRules, layout.Toast{Tone: layout.ToneSuccess, Text: "The identity provider was taken away."})
}
