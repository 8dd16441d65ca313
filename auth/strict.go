package auth

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// policySetting is the setting's name under which the sign-in policy lies.
const policySetting = "signin_policy"

// strictness is the sign-in policy as it was read last.
type strictness struct {
	mu   sync.Mutex
	text string
	p    domain.SignInPolicy
}

// SignInPolicy is how strictly people are asked who they are.
func (a *Auth) SignInPolicy(ctx context.Context) (domain.SignInPolicy, error) {
	text, ok, err := a.db.Setting(ctx, policySetting)
	if err != nil {
		return domain.SignInPolicy{}, err
	}
	if !ok {
		return domain.NewSignInPolicy(), nil
	}
	a.strict.mu.Lock()
	defer a.strict.mu.Unlock()
	if a.strict.text != text {
		p := domain.NewSignInPolicy()
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return p, domain.Errorf(domain.Internal, "The sign-in policy cannot be read: %w", err)
		}
		a.strict.text, a.strict.p = text, p
	}
	return a.strict.p, nil
}

func writePolicy(tx *db.Tx, p domain.SignInPolicy) error {
	text, err := json.Marshal(p)
	if err != nil {
		return domain.Errorf(domain.Internal, "The sign-in policy cannot be kept: %w", err)
	}
	return tx.SetSetting(policySetting, string(text))
}

var policyRef = domain.Ref{Kind: "signin-policy", ID: policySetting, Name: "sign-in policy"}

// SaveSignInPolicy changes how strictly people are asked who they are.
func (a *Auth) SaveSignInPolicy(ctx context.Context, by Subject, p domain.SignInPolicy) (domain.SignInPolicy, error) {
	var probs domain.Problems
	if !slices.Contains([]string{domain.MFAOptional, domain.MFARequired, domain.MFARoles}, p.MFA) {
		probs.Add("mfa", "“"+p.MFA+"” is not a choice.", "optional, required or roles")
	}
	roles, err := a.Policy(ctx)
	if err != nil {
		return p, err
	}
	if p.MFARoles == nil {
		p.MFARoles = []string{}
	}
	for i, id := range p.MFARoles {
		r, ok := roles.Role(id)
		if !ok {
			probs.Add("mfa_roles", "There is no role “"+id+"”.", "ids of roles, such as "+access.PlatformAdmin)
		}
		p.MFARoles[i] = r.ID
	}
	if p.MFA == domain.MFARoles && len(p.MFARoles) == 0 {
		probs.Add("mfa_roles", "No role is named.", "at least one role")
	}
	within := func(field string, n, least, most int, unit string) {
		if n < least || n > most {
			probs.Add(field, strconv.Itoa(n)+" is out of bounds.", "from "+strconv.Itoa(least)+" to "+strconv.Itoa(most)+" "+unit)
		}
	}
	within("step_up_minutes", p.StepUpMinutes, 0, domain.StepUpMost, "minutes")
	within("idle_minutes", p.IdleMinutes, 5, domain.IdleMost, "minutes")
	within("lifetime_hours", p.LifetimeHours, 1, domain.LifetimeMost, "hours")
	if p.LocalOff {
		all, err := a.db.Providers(ctx)
		if err != nil {
			return p, err
		}
		if !slices.ContainsFunc(all, func(x domain.Provider) bool { return !x.Disabled }) {
			probs.Add("local_off", "Nobody could sign in any more.", "an identity provider that is on, before local sign-in is switched off")
		}
	}
	if err := probs.Err(); err != nil {
		return p, err
	}
	old, err := a.SignInPolicy(ctx)
	if err != nil {
		return p, err
	}
	return p, a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.Before(old); err != nil {
			return err
		}
		if err := writePolicy(tx, p); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "signin.policy", Resource: policyRef, Actor: by.Actor(), Message: "The sign-in policy was changed."})
	})
}

// mustEnroll reports whether somebody who has shown no second factor in this session has to set one up before anything else.
func (a *Auth) mustEnroll(p domain.SignInPolicy, rights *access.Policy, userID string, mfa int64) bool {
	switch {
	case mfa > 0 || p.MFA == domain.MFAOptional:
		return false
	case p.MFA == domain.MFARequired:
		return true
	}
	return slices.ContainsFunc(rights.RolesOf(access.Who{Kind: "user", ID: userID}), func(r string) bool { return slices.Contains(p.MFARoles, r) })
}

// Steps that a refusal can ask for.
const (
	NeedsSetUp = "second-factor-setup" // sign in and set up a second factor
	NeedsCode  = "code"                // show a code of an authenticator app, or a recovery code
)

// StepError is the cause of a refusal that one more step lifts; the API tells which.
type StepError struct{ Needs string }

func (e *StepError) Error() string { return "needs " + e.Needs }

// ErrSetUp refuses everything but setting up the second factor that the policy asks for.
func ErrSetUp() error {
	return domain.Errorf(domain.Denied, "A second factor has to be set up first.").WithFix("Sign in and add an authenticator app or a passkey on the account page.").WithCause(&StepError{NeedsSetUp})
}

// dangerous permissions: changing with them asks for a young proof.
var dangerous = []access.Permission{access.VMDelete, access.HostRemove, access.RoleManage, access.UserManage, access.TenantManage}

// destroys are the last words of routes, or actions in forms, that take away what nobody brings back.
var destroys = []string{"delete", "remove", "wipe", "revert", "rollback", "fence"}

// Dangerous reports whether a request is one that asks again who it is: it deletes, restores over something or changes rights. route is the path as the
// table writes it and action what a path's or form's field “action” says.
func Dangerous(method, route string, p access.Permission, action string) bool {
	if method == http.MethodPost && route == DeviceRoute && action == DeviceApprove {
		return true // a terminal gets all rights of the person, for months
	}
	if method == http.MethodGet || method == http.MethodHead || p == access.Public || p == access.AccountSelf {
		return false
	}
	if strings.HasPrefix(route, "/api/v1/tokens") && method == http.MethodDelete {
		return false // to take rights away from a program must be quick
	}
	last := route[strings.LastIndexByte(route, '/')+1:]
	if last == "revert" && p == access.VMEdit {
		return false // takes back what was only planned
	}
	return method == http.MethodDelete || slices.Contains(dangerous, p) || slices.Contains(destroys, last) || slices.Contains(destroys, action)
}

// StepUp is what somebody has to show once more before something dangerous.
type StepUp struct {
	Needed   bool
	Code     bool             // an authenticator app's code or a recovery code does
	Passkey  bool             // a passkey does
	Password bool             // the password does
	Again    *domain.Provider // only signing in there again does
}

// StepUp tells what a signed-in person has to show, and whether it is needed now. Who has a second factor shows that.
func (a *Auth) StepUp(ctx context.Context, s Subject) (StepUp, error) {
	var out StepUp
	p, err := a.SignInPolicy(ctx)
	if err != nil || p.StepUpMinutes == 0 || s.Session == "" {
		return out, err
	}
	within := time.Duration(p.StepUpMinutes) * time.Minute
	all, err := a.db.Factors(ctx, s.UserID)
	if err != nil {
		return out, err
	}
	for _, f := range all {
		out.Code = out.Code || f.Kind == FactorTOTP
		out.Passkey = out.Passkey || f.Kind == FactorPasskey
	}
	if len(all) > 0 {
		out.Code = true // recovery codes stand in for a passkey too
		at := a.stamped(ctx, keyMFA)
		out.Needed = at == 0 || a.clock().Sub(unix(at)) > within
		return out, nil
	}
	if out.Needed = !a.Sure(ctx, within); !out.Needed {
		return out, nil
	}
	u, err := a.db.User(ctx, s.UserID)
	if err != nil {
		return out, err
	}
	out.Password = u.PasswordHash != ""
	if out.Password {
		return out, nil
	}
	ids, err := a.db.Identities(ctx, s.UserID)
	if err != nil {
		return out, err
	}
	for _, id := range ids {
		prov, err := a.db.Provider(ctx, id.ProviderID)
		if err != nil {
			return out, err
		}
		switch {
		case prov.Disabled, prov.Kind == domain.ProviderGitHub: // which does not ask anew
		case prov.Kind == domain.ProviderLDAP:
			out.Password = true
			return out, nil
		default:
			out.Again = &prov
		}
	}
	return out, nil
}

// Prove takes what somebody shows once more; the session then counts as fresh and has a new token.
func (a *Auth) Prove(ctx context.Context, s Subject, password, code string) error {
	need, err := a.StepUp(ctx, s)
	if err != nil || !need.Needed {
		return err
	}
	if need.Code || need.Passkey {
		u, err := a.db.User(ctx, s.UserID)
		if err != nil {
			return err
		}
		if _, err := a.CheckCode(ctx, u, code); err != nil {
			if domain.Is(err, domain.Unauthenticated) {
				return domain.InvalidField("proof_code", "The code is wrong, or it was used before.", "the app's next code, or a recovery code that was not used")
			}
			return err
		}
		return a.MakeSure(ctx, true)
	}
	if err := a.CheckPassword(ctx, s.UserID, password); err != nil {
		if domain.Is(err, domain.Invalid) {
			return domain.InvalidField("proof_password", "The password is wrong.", "the password you sign in with")
		}
		return err
	}
	return a.MakeSure(ctx, false)
}

// Reassure proves somebody once more who changes how they sign in. Who has no password anywhere must have signed in a moment ago.
func (a *Auth) Reassure(ctx context.Context, s Subject, password string) error {
	u, err := a.db.User(ctx, s.UserID)
	if err != nil {
		return err
	}
	if has, err := a.hasPassword(ctx, u); err != nil || has {
		if err != nil {
			return err
		}
		return a.CheckPassword(ctx, s.UserID, password)
	}
	if !a.Sure(ctx, reassureFor) {
		return domain.Errorf(domain.Denied, "You signed in too long ago for this.").WithFix("Sign out, sign in again and do it then.")
	}
	return nil
}

// reassureFor is how fresh a sign-in must be to change how one signs in, without a password to ask for.
const reassureFor = 15 * time.Minute

// hasPassword reports whether somebody has a password to be asked for, here or in a directory.
func (a *Auth) hasPassword(ctx context.Context, u domain.User) (bool, error) {
	if u.PasswordHash != "" {
		return true, nil
	}
	ids, err := a.db.Identities(ctx, u.ID)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		x, err := a.db.Provider(ctx, id.ProviderID)
		if err != nil {
			return false, err
		}
		if x.Kind == domain.ProviderLDAP && !x.Disabled {
			return true, nil
		}
	}
	return false, nil
}

// HasPassword tells of somebody signed in whether a password is kept here, and whether there is one to be asked for, here or in a directory.
func (a *Auth) HasPassword(ctx context.Context, s Subject) (local, any bool, err error) {
	u, err := a.db.User(ctx, s.UserID)
	if err != nil {
		return false, false, err
	}
	any, err = a.hasPassword(ctx, u)
	return u.PasswordHash != "", any, err
}

// CodeHeader is where a program that acts with a person's own token shows a code.
const CodeHeader = "X-NovaCron-Code"

// proofs remembers when people's own tokens showed a code last.
type proofs struct {
	mu sync.Mutex
	at map[string]time.Time
}

// TokenStep asks a person's own token for a code before something dangerous, when the policy says so. Service accounts have none to ask.
func (a *Auth) TokenStep(ctx context.Context, s Subject, code string) error {
	if s.TokenID == "" || s.UserID == "" {
		return nil
	}
	p, err := a.SignInPolicy(ctx)
	if err != nil || !p.StepUpTokens || p.StepUpMinutes == 0 {
		return err
	}
	now := a.clock()
	a.shown.mu.Lock()
	at, ok := a.shown.at[s.TokenID]
	a.shown.mu.Unlock()
	if ok && now.Sub(at) <= time.Duration(p.StepUpMinutes)*time.Minute {
		return nil
	}
	u, err := a.db.User(ctx, s.UserID)
	if err != nil {
		return err
	}
	owes, err := a.NeedsFactor(ctx, u.ID)
	switch {
	case err != nil:
		return err
	case !owes:
		return ErrSetUp()
	case code == "":
		return domain.Errorf(domain.Denied, "This asks for a code of your authenticator app.").WithFix("Send it in the header %s; it then holds for %d minutes.", CodeHeader, p.StepUpMinutes).
			WithCause(&StepError{NeedsCode})
	}
	if _, err := a.CheckCode(ctx, u, code); err != nil {
		if domain.Is(err, domain.Unauthenticated) { // the token is right, so this is no 401
			return domain.Errorf(domain.Denied, "The code is wrong, or it was used before.").WithFix("Send the app's next code in the header %s.", CodeHeader).WithCause(&StepError{NeedsCode})
		}
		return err
	}
	a.shown.mu.Lock()
	defer a.shown.mu.Unlock()
	if a.shown.at == nil || len(a.shown.at) > 10_000 {
		a.shown.at = map[string]time.Time{}
	}
	a.shown.at[s.TokenID] = now
	return nil
}
