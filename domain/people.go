package domain

import "time"

// User is a local account.
type User struct {
	ID           string
	Name         string
	PasswordHash string // argon2id, PHC string
	MustChange   bool   // a one-time password: must be changed before anything else
	Role         string // see auth/access
	Prefs        Prefs
	CreatedAt    time.Time
	LastSignIn   time.Time
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
	Prefix    string // first characters, to recognise it
	Hash      string // hex SHA-256 of the whole token
	Role      string
	CreatedBy string
	CreatedAt time.Time
	LastUsed  time.Time
	ExpiresAt time.Time // zero: never
}
