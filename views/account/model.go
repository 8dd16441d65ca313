// Package account shows what belongs to the person: signing in, the password, API tokens, theme and density.
//
// It is not for managing other people.
package account

import (
	"time"

	"novacron/domain"
)

// SignIn is the sign-in page.
type SignIn struct {
	Name    string // as typed
	Next    string // where to go afterwards: a path of this server
	Err     string // "Name or password is wrong." and the like
	Info    string // "You have signed out."
	Ways    []Way  // identity providers
	Passkey bool   // a passkey alone lets in
	Local   bool   // names and passwords do
	Forgot  bool   // a forgotten password is set anew by mail
	Version string
}

// Forgot asks whose password is forgotten.
type Forgot struct {
	Name string
	Sent bool
	Err  *domain.Error
}

// Way is an identity provider on the sign-in page.
type Way struct{ Name, URL string }

// Password is the form that changes a password; Forced when nothing else is possible before.
type Password struct {
	UserName string
	Forced   bool
	Err      *domain.Error // fields current, password, again
	Version  string
}

// Account is the account page.
type Account struct {
	User     domain.User
	Tokens   []domain.Token
	Secret   string // a token just made, shown once
	Made     domain.Token
	Name     string // token name as typed
	Days     string // lifetime as typed; "" never ends
	TokenErr *domain.Error
	Password Password
	Saved    string // "Preferences saved." and the like

	Factors   []domain.Factor
	CodesLeft int
	Sessions  []domain.SignIn
	Session   string // id of the one that looks
	Now       time.Time

	Links     []domain.Identity
	Providers []domain.Provider // that could be linked
	LocalWord bool              // a password is kept here
	HasWord   bool              // there is a password to be asked for
	Rules     bool              // may say how everybody signs in
}

// Device is the page that signs a terminal in. Without a name nobody has been found yet.
type Device struct {
	Code    string // as typed, or as found
	Name    string // what the terminal calls itself
	User    string // as whom
	Address string
	Agent   string
	AskedAt time.Time
	Err     *domain.Error
	Done    string // what was decided
	Note    string
}
