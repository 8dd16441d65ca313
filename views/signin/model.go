// Package signin shows what an administrator sets about how everybody signs in: the policy and the identity providers.
//
// It is not for signing in itself nor for one's own account: that is package account.
package signin

import (
	"strings"

	"novacron/domain"
	"novacron/views/ui"
)

// Rules is the page of the policy and the list of providers.
type Rules struct {
	MFA       string
	Roles     string // as typed
	StepUp    string
	Tokens    bool
	Idle      string
	Lifetime  string
	LocalOff  bool
	Err       *domain.Error
	Providers []domain.Provider
}

// Form makes or changes an identity provider.
type Form struct {
	Kind   string
	Fresh  bool
	Preset string
	Help   string            // what to do at the provider
	Fields map[string]string // as typed
	Err    *domain.Error
	Back   string // the address to register at the provider
}

// Delete asks before a provider is taken away.
type Delete struct{ Provider domain.Provider }

func yes(b bool) string {
	if b {
		return "1"
	}
	return ""
}

func mfaOptions() []ui.Option {
	return []ui.Option{
		{Value: domain.MFAOptional, Label: "Everybody may have a second factor"},
		{Value: domain.MFARoles, Label: "Who has one of these roles must have one"},
		{Value: domain.MFARequired, Label: "Everybody must have one"},
	}
}

func kindName(kind string) string {
	switch kind {
	case domain.ProviderLDAP:
		return "LDAP or Active Directory"
	case domain.ProviderGitHub:
		return "GitHub"
	}
	return "OpenID Connect"
}

func where(p domain.Provider) string {
	if p.Kind == domain.ProviderLDAP {
		return p.URL
	}
	return p.Issuer
}

func title(m Form) string {
	if m.Fresh {
		return "New identity provider"
	}
	return m.Fields["name"]
}

// RuleText writes rules as lines that a person can change: groups = ops -> operator in team-a.
func RuleText(rules []domain.ProviderRule) string {
	var b strings.Builder
	for _, r := range rules {
		b.WriteString(r.Claim + " = " + r.Value + " -> " + r.Role)
		if r.Tenant != "" {
			b.WriteString(" in " + r.Tenant)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// ParseRules reads such lines again.
func ParseRules(text string) (rules []domain.ProviderRule, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		who, gives, ok := strings.Cut(line, "->")
		claim, value, ok2 := strings.Cut(who, "=")
		role, tenant, _ := strings.Cut(strings.TrimSpace(gives), " in ")
		if !ok || !ok2 {
			return nil, domain.InvalidField("rules", "“"+line+"” is not a rule.", "a line such as groups = ops -> operator, or groups = web -> tenant-user in team-a")
		}
		rules = append(rules, domain.ProviderRule{Claim: strings.TrimSpace(claim), Value: strings.TrimSpace(value), Role: strings.TrimSpace(role), Tenant: strings.TrimSpace(tenant)})
	}
	return rules, nil
}
