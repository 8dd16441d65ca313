package live

// URLs of second factors and of the list of signed-in browsers.
const (
	SignInCode   = "/login/code"               // GET the question for the second factor, POST code, next
	MFA          = "/account/mfa"              // GET the page that adds an authenticator app; POST name, secret, code, password
	MFACodes     = "/account/mfa/codes"        // POST password: new recovery codes
	PatMFARemove = "/account/mfa/:id/remove"   // POST password
	PatSessEnd   = "/account/sessions/:id/end" // POST
	SessEndAll   = "/account/sessions/end"     // POST: all but this one
)

// MFARemove takes a second factor away.
func MFARemove(id string) string { return at("account", "mfa", id, "remove") }

// SessionEnd signs a browser out.
func SessionEnd(id string) string { return at("account", "sessions", id, "end") }
