package domain

import "time"

// Who must have a second factor.
const (
	MFAOptional = "optional"
	MFARequired = "required" // everybody
	MFARoles    = "roles"    // who has one of the roles that are named
)

// SignInPolicy is how strictly people are asked who they are.
type SignInPolicy struct {
	MFA           string   `json:"mfa"`
	MFARoles      []string `json:"mfa_roles"`
	StepUpMinutes int      `json:"step_up_minutes"` // what is dangerous asks again when the proof is older; 0: never
	StepUpTokens  bool     `json:"step_up_tokens"`  // people's own API tokens have to show a code for it too
	IdleMinutes   int      `json:"idle_minutes"`    // a session unused for so long ends
	LifetimeHours int      `json:"lifetime_hours"`  // a session ends after so long at the latest
	LocalOff      bool     `json:"local_off"`       // nobody signs in with a password that is kept here
}

// Bounds of a SignInPolicy.
const (
	StepUpMost   = 24 * 60
	IdleMost     = 12 * 60
	LifetimeMost = 7 * 24
)

// NewSignInPolicy is what holds until somebody says otherwise.
func NewSignInPolicy() SignInPolicy {
	return SignInPolicy{MFA: MFAOptional, MFARoles: []string{}, StepUpMinutes: 60, IdleMinutes: IdleMost, LifetimeHours: LifetimeMost}
}

// Kinds of identity providers.
const (
	ProviderOIDC   = "oidc"
	ProviderLDAP   = "ldap"
	ProviderGitHub = "github" // has no OpenID Connect for people
)

// Provider is another system that says who somebody is.
type Provider struct {
	ID       string // slug: part of addresses
	Kind     string
	Name     string // on the sign-in page
	Disabled bool
	Create   bool // accounts are made for people who sign in for the first time
	TrustMFA bool // it has asked for a second factor itself
	Rules    []ProviderRule

	Issuer   string // OIDC
	ClientID string
	Scopes   []string

	URL         string // LDAP: ldaps://host or ldap://host, which is upgraded with StartTLS
	Plain       bool   // without TLS
	CA          string // PEM; empty: the system's
	BindDN      string
	BaseDN      string
	UserFilter  string // with %s for the name
	GroupBase   string
	GroupFilter string // with %s for the person's DN

	Secret    []byte // the client's secret or the password of BindDN; sealed where it lies
	CreatedAt time.Time
	Version   int64
}

// ProviderRule gives a role to people of whom the provider says something. It is applied at every sign-in, and taken back when it no longer fits.
type ProviderRule struct {
	Claim  string `json:"claim"`  // of the ID token, dots lead into it; groups for LDAP
	Value  string `json:"value"`  // what it is or has; * for whatever it is
	Role   string `json:"role"`   // role to give
	Tenant string `json:"tenant"` // where; empty: the estate
}

// Identity ties somebody at a provider to an account here.
type Identity struct {
	ID         string
	ProviderID string
	Subject    string // what the provider calls them for good
	UserID     string
	Name       string // for people
	CreatedAt  time.Time
	LastUsed   time.Time
}

// Invite opens an account with a link, once.
type Invite struct {
	ID        string
	UserID    string
	Hash      string // hex SHA-256 of the link's secret
	CreatedBy string
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time
}
