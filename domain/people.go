package domain

import "time"

// User is a local account.
type User struct {
	ID           string
	Name         string
	PasswordHash string // argon2id, PHC string
	MustChange   bool   // a one-time password: must be changed before anything else
	FullName     string
	Email        string
	Disabled     bool // may not sign in, and nothing that acts for it works
	Prefs        Prefs
	CreatedAt    time.Time
	LastSignIn   time.Time
}

// Group is people who are given roles together.
type Group struct {
	ID        string
	Name      string
	Notes     string
	Members   []string // user ids
	CreatedAt time.Time
}

// Role is a set of permissions with a name. Built-in ones cannot be changed.
type Role struct {
	ID          string   // slug
	Name        string   // for people
	Notes       string   // what it is for
	Permissions []string // names of auth/access; kind.* for all of a kind
	BuiltIn     bool
	CreatedAt   time.Time
}

// Scopes that a binding can have.
const (
	ScopeEstate = "estate"
	ScopeTenant = "tenant" // and the tenants below it
	ScopeFolder = "folder" // VMs in the folder and in those below it
	ScopeTag    = "tag"    // VMs with the tag
	ScopeObject = "object"
)

// Binding gives somebody a role somewhere, or with Deny takes its permissions away there, whatever else gives them.
type Binding struct {
	ID        string
	Subject   Ref // kind user, group or token
	Role      string
	Scope     string // estate, tenant, folder, tag or object
	ScopeID   string // tenant's id, folder's id, tag, object's id; empty for the estate
	Deny      bool
	Condition string // CEL; empty: always
	CreatedBy string
	CreatedAt time.Time
}

// SignIn is one session of a person, as they see it in the list of their devices.
type SignIn struct {
	ID        string
	UserID    string
	Browser   string // the User-Agent as it was sent, cut
	Address   string
	Proof     string // password, password+totp, password+recovery, passkey …
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
}

// Factor is what proves a person beside the password.
type Factor struct {
	ID        string
	UserID    string
	Kind      string // totp, passkey
	Name      string
	Secret    []byte // of totp; the public key record of a passkey. Sealed where it lies.
	Step      int64  // totp: the last time step that was used, so that no code works twice
	CreatedAt time.Time
	LastUsed  time.Time
}

// AuditRecord is one row of the audit log: each carries the hash of the row before it.
type AuditRecord struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Subject string    `json:"subject,omitempty"`
	Address string    `json:"address,omitempty"`
	Proof   string    `json:"proof,omitempty"`
	Action  string    `json:"action"`
	Object  Ref       `json:"object"`
	Tenant  string    `json:"tenant,omitempty"`
	Outcome string    `json:"outcome"` // ok, denied, refused, failed
	JobID   string    `json:"job_id,omitempty"`
	Request string    `json:"request,omitempty"`
	Message string    `json:"message"`
	Before  string    `json:"before,omitempty"`
	After   string    `json:"after,omitempty"`
	Prev    string    `json:"prev"`
	Hash    string    `json:"hash"`
}

// Prefs is what a person chose for the screen.
type Prefs struct {
	Theme   string              `json:"theme,omitempty"`   // auto, light or dark
	Density string              `json:"density,omitempty"` // dense or comfortable
	Columns map[string][]string `json:"columns,omitempty"` // table -> visible columns in order
}

// Token is an API token; only its hash is kept.
type Token struct {
	ID        string
	Name      string
	Prefix    string   // first characters, to recognise it
	Hash      string   // hex SHA-256 of the whole token
	Role      string   // of a service account's token: what it may do, in Tenant or in the estate
	Tenant    string   // id; empty: the estate
	UserID    string   // a person's own token: it may what the person may; Role and Tenant are empty then
	Only      []string // permissions that the token is narrowed to; empty: not narrowed
	CreatedBy string
	CreatedAt time.Time
	LastUsed  time.Time
	ExpiresAt time.Time // zero: never
}
