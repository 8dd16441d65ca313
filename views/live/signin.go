package live

// URLs of the ways to sign in and of what an administrator sets about them.
const (
	// #nosec G101 -- addresses of pages
	PasskeyAsk    = "/login/passkey/ask"             // POST what (add, second, sure, alone): JSON {"options", "state"} for the browser's question
	SignInPasskey = "/login/passkey"                 // POST what (second, alone), state, credential, next
	Passkeys      = "/account/passkeys"              // POST name, password, state, credential
	PatSSO        = "/login/with/:id"                // GET next, again=1: to the provider
	PatSSOBack    = "/login/with/:id/callback"       // GET state, code: back from it
	PatLink       = "/account/links/:id/new"         // POST password; id of a provider
	PatUnlink     = "/account/links/:id/remove"      // POST password; id of a link
	Forgot        = "/login/forgot"                  // GET form, POST name: a link to set a new password goes out by mail
	PatInvite     = "/invite/:secret"                // GET form, POST password, again
	SignInRules   = "/settings/sign-in"              // GET, POST the policy
	ProviderNew   = "/settings/providers/new"        // GET kind, POST
	PatProvider   = "/settings/providers/:id"        // GET form, POST
	PatProvDelete = "/settings/providers/:id/delete" // GET dialog, POST
)

// SSO signs in at a provider.
func SSO(id string) string { return at("login", "with", id) }

// SSOBack is where a provider sends people back to.
func SSOBack(id string) string { return at("login", "with", id, "callback") }

// Link ties the account to one at a provider.
func Link(id string) string { return at("account", "links", id, "new") }

// Unlink takes a link away.
func Unlink(id string) string { return at("account", "links", id, "remove") }

// Invite opens an account with a link.
func Invite(secret string) string { return at("invite", secret) }

// Provider is an identity provider's form.
func Provider(id string) string { return at("settings", "providers", id) }

// ProviderDelete takes an identity provider away.
func ProviderDelete(id string) string { return at("settings", "providers", id, "delete") }
