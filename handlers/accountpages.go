package handlers

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/views/account"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

func (s *server) accountPage(c echo.Context) error {
	return s.showAccount(c, http.StatusOK, func(*account.Account) {})
}

func (s *server) showAccount(c echo.Context, status int, touch func(*account.Account)) error {
	sub := subject(c)
	sh, err := s.shellFor(c, page{title: "Account", section: layout.SectionAccount})
	if err != nil {
		return err
	}
	m := account.Account{User: sh.User, Password: account.Password{UserName: sub.Name}, Now: s.Clock()}
	if sub.Can(access.TokenManage) {
		if m.Tokens, err = s.Auth.Tokens(c.Request().Context()); err != nil {
			return err
		}
	}
	ctx := c.Request().Context()
	if m.Factors, err = s.Auth.Factors(ctx, sub.UserID); err != nil {
		return err
	}
	if m.CodesLeft, err = s.Auth.RecoveryCodesLeft(ctx, sub.UserID); err != nil {
		return err
	}
	if m.Sessions, err = s.Auth.Sessions(ctx, sub.UserID); err != nil {
		return err
	}
	m.Session = sub.Session
	if m.LocalWord, m.HasWord, err = s.Auth.HasPassword(ctx, sub); err != nil {
		return err
	}
	if m.Links, err = s.Auth.Identities(ctx, sub.UserID); err != nil {
		return err
	}
	all, err := s.Auth.Providers(ctx)
	if err != nil {
		return err
	}
	for _, x := range all {
		linked := slices.ContainsFunc(m.Links, func(l domain.Identity) bool { return l.ProviderID == x.ID })
		if !x.Disabled && !linked {
			m.Providers = append(m.Providers, x)
		}
	}
	m.Rules = sub.Everywhere(access.RoleManage)
	touch(&m)
	return s.render(c, status, account.AccountPage(sh, m))
}

// savePrefs keeps theme, density or a table's columns; each form sends only its own.
func (s *server) savePrefs(c echo.Context) error {
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	var p domain.Problems
	oneOf := func(field string, allowed ...string) {
		if values.Has(field) && !slices.Contains(allowed, values.Get(field)) {
			p.Add(field, "“"+values.Get(field)+"” is not a choice.", "one of "+strings.Join(allowed, ", "))
		}
	}
	oneOf("theme", "auto", "light", "dark")
	oneOf("density", "dense", "comfortable")
	oneOf("table", vms.Table)
	for _, col := range values["columns"] {
		if !slices.Contains(vms.AllColumns, col) {
			p.Add("columns", "There is no column “"+col+"”.", "one of "+strings.Join(vms.AllColumns, ", "))
		}
	}
	if err := p.Err(); err != nil {
		return err
	}
	_, err = s.Auth.SavePrefs(c.Request().Context(), subject(c).UserID, func(prefs *domain.Prefs) {
		if values.Has("theme") {
			prefs.Theme = values.Get("theme")
		}
		if values.Has("density") {
			prefs.Density = values.Get("density")
		}
		if table := values.Get("table"); table != "" {
			cols := map[string][]string{}
			for k, v := range prefs.Columns {
				cols[k] = v
			}
			cols[table] = chosenColumns(values["columns"])
			prefs.Columns = cols
		}
	})
	if err != nil {
		return err
	}
	// A changed look is for the whole page, so it is loaded again rather than patched. Elsewhere than on the account page the change speaks for itself.
	back := s.backFrom(c, live.Account)
	if back != live.Account {
		return s.move(c, back)
	}
	return s.moveSaying(c, back, layout.Toast{Tone: layout.ToneSuccess, Text: "Preferences saved."})
}

// chosenColumns puts the columns that cannot be hidden in front and drops repetitions; none chosen means the default again.
func chosenColumns(in []string) []string {
	if len(in) == 0 {
		return nil
	}
	var out []string
	for _, col := range slices.Concat([]string{"name", "state"}, in) {
		if !slices.Contains(out, col) {
			out = append(out, col)
		}
	}
	return out
}

func (s *server) changePassword(c echo.Context) error {
	err := s.newPassword(c)
	if err == nil {
		return s.moveSaying(c, live.Account, layout.Toast{Tone: layout.ToneSuccess, Text: "Your password was changed.", Detail: "Your other sessions have ended."})
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	return s.showAccount(c, statusOf(err), func(m *account.Account) { m.Password.Err = problem(err) })
}

// tokenCreate makes an API token and shows it, this once: the page is the answer itself, since a redirect would lose it.
func (s *server) tokenCreate(c echo.Context) error {
	sub, name, days := subject(c), c.FormValue("name"), strings.TrimSpace(c.FormValue("days"))
	expires, err := s.expiry(days)
	var text string
	var tok domain.Token
	if err == nil {
		text, tok, err = s.Auth.MakeToken(c.Request().Context(), sub, domain.Token{Name: name, UserID: sub.UserID, ExpiresAt: expires})
	}
	switch {
	case err == nil:
		return s.showAccount(c, http.StatusOK, func(m *account.Account) { m.Secret, m.Made = text, tok })
	case domain.CodeOf(err) == domain.Internal:
		return err
	}
	return s.showAccount(c, statusOf(err), func(m *account.Account) { m.Name, m.Days, m.TokenErr = name, days, problem(err) })
}

func (s *server) expiry(days string) (time.Time, error) {
	if days == "" || days == "0" {
		return time.Time{}, nil
	}
	n, err := strconv.Atoi(days)
	if err != nil || n < 1 || n > 3650 {
		return time.Time{}, domain.InvalidField("days", "“"+days+"” is not a lifetime.", "a whole number of days from 1 to 3650, or nothing for a token that stays")
	}
	return s.Clock().Add(time.Duration(n) * 24 * time.Hour).UTC(), nil
}

func (s *server) tokenRevoke(c echo.Context) error {
	if err := s.Auth.RevokeToken(c.Request().Context(), c.Param("id"), subject(c).Actor()); err != nil {
		return s.sayOrFail(c, live.Account, err)
	}
	return s.moveSaying(c, live.Account, layout.Toast{Tone: layout.ToneSuccess, Text: "The token was revoked."})
}
