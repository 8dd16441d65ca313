package views_test

import (
	"time"

	"novacron/domain"
	"novacron/views/account"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/signin"
)

// signInPages are the ways to sign in, and what an administrator sets about them.
func signInPages() []page {
	sh := func(title, path string) layout.Shell {
		return shell(title, layout.SectionAccount, path, layout.Crumb{Label: "Account", URL: live.Account})
	}
	corp := domain.Provider{ID: "corp", Kind: domain.ProviderOIDC, Name: "Corp " + evil, Issuer: "https://login.example.org/realms/main", Create: true}
	dir := domain.Provider{ID: "dir", Kind: domain.ProviderLDAP, Name: "Directory", URL: "ldaps://ldap.example.org", Disabled: true}
	other := domain.Provider{ID: "other", Kind: domain.ProviderLDAP, Name: "Other " + evil, URL: "ldaps://ldap.example.com"}
	ask := []account.Value{{Name: "confirm", Value: "web-1 " + evil}}
	rules := signin.Rules{MFA: domain.MFARoles, Roles: "platform-admin", StepUp: "60", Idle: "720", Lifetime: "168"}
	withRules, bad := rules, rules
	withRules.Providers = []domain.Provider{corp, dir}
	bad.Roles, bad.Err = "boss"+evil, invalid(domain.FieldError{Field: "mfa_roles", Msg: "There is no role “boss”.", Want: "ids of roles"})
	qr := "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	acc := account.Account{User: domain.User{Name: "lena"}, Now: now, HasWord: true, LocalWord: true, Rules: true, Providers: []domain.Provider{corp, other},
		Links: []domain.Identity{{ID: "ident_1", ProviderID: "dir", Name: "lena " + evil, LastUsed: now.Add(-time.Hour)}}}
	return []page{
		{"signin-ways", account.SignInPage(account.SignIn{Version: "1.0", Local: true, Passkey: true, Forgot: true, Ways: []account.Way{{Name: "Corp " + evil, URL: live.SSO("corp")}}})},
		{"signin-elsewhere", account.SignInPage(account.SignIn{Version: "1.0", Ways: []account.Way{{Name: "Corp", URL: live.SSO("corp")}}})},
		{"second-passkey", account.CodePage(account.Code{UserName: "lena", Passkey: true})},
		{"enroll", account.EnrollPage(sh("Two-step sign-in", live.MFA), account.MFA{Picture: qr, Secret: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", Password: true})},
		{"enrolled", account.EnrollPage(sh("Two-step sign-in", live.MFA), account.MFA{Picture: qr, Secret: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", Codes: []string{"abcd-efgh-ijkl-mnop"}, Password: true})},
		{"account-links", account.AccountPage(sh("Account", live.Account), acc)},
		{"proof-password", account.ProofPage(sh("Is it you?", live.Account), account.Proof{Action: "/vms/vm_1/delete", Values: ask, Password: true})},
		{"proof-code", account.ProofPage(sh("Is it you?", live.Account), account.Proof{Action: "/vms/vm_1/delete", Values: ask, Code: true, Passkey: true, Err: invalid(domain.FieldError{Field: "proof_code", Msg: "The code is wrong, or it was used before.", Want: "the app's next code"})})},
		{"proof-again", account.ProofPage(sh("Is it you?", live.Account), account.Proof{Action: "/vms/vm_1/delete", Values: ask, AgainAt: "Corp", AgainURL: live.SSO("corp")})},
		{"link", account.LinkPage(account.Link{Name: "Corp", URL: "https://login.example.org/auth?x=1"})},
		{"invite", account.InvitePage(account.Invite{UserName: "lena" + evil, Secret: "x", Err: invalid(domain.FieldError{Field: "password", Msg: "That is too short.", Want: "at least 10 characters"})})},
		{"forgot", account.ForgotPage(account.Forgot{Name: "lena" + evil, Err: invalid(domain.FieldError{Field: "name", Msg: "It is missing.", Want: "a name"})})},
		{"forgot-sent", account.ForgotPage(account.Forgot{Sent: true})},
		{"device", account.DevicePage(sh("Sign a terminal in", live.Device), account.Device{Code: "BBBB-BBBB" + evil, Err: invalid(domain.FieldError{Field: "code", Msg: "No terminal waits with this code.", Want: "the code that the terminal shows"})})},
		{"device-asks", account.DevicePage(sh("Sign a terminal in", live.Device), account.Device{Code: "WDJB-MJHT", Name: "novacron on desk" + evil, User: "lena", Address: "192.0.2.7", Agent: "novacron/1 " + evil, AskedAt: now.Add(-time.Minute)})},
		{"device-done", account.DevicePage(sh("Sign a terminal in", live.Device), account.Device{Done: "“desk” is signed in as lena.", Note: "Go back to the terminal."})},
		{"proof-nothing", account.ProofPage(sh("Is it you?", live.Account), account.Proof{Action: "/vms/vm_1/delete", Values: ask})},
		{"provider-github", signin.FormPage(sh("New identity provider", live.ProviderNew), signin.Fresh("github"))},
		{"provider-entra", signin.FormPage(sh("New identity provider", live.ProviderNew), signin.Fresh("entra"))},
		{"signin-rules", signin.RulesPage(sh("Sign-in", live.SignInRules), withRules)},
		{"signin-rules-none", signin.RulesPage(sh("Sign-in", live.SignInRules), bad)},
		{"provider-oidc", signin.FormPage(sh("New identity provider", live.ProviderNew), signin.Form{Kind: domain.ProviderOIDC, Fresh: true, Fields: map[string]string{"create": "1", "rules": "groups = ops -> operator"}})},
		{"provider-ldap", signin.FormPage(sh("Directory", live.Provider("dir")), signin.Form{Kind: domain.ProviderLDAP, Fields: map[string]string{"id": "dir", "name": "Directory " + evil, "version": "3"}, Err: invalid(domain.FieldError{Field: "url", Msg: "That is no address.", Want: "ldaps://…"})})},
		{"provider-delete", signin.DeletePage(sh("Take away Corp", live.ProviderDelete("corp")), signin.Delete{Provider: corp})},
	}
}
