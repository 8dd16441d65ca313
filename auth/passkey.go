package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"novacron/db"
	"novacron/domain"
)

// What a passkey is asked for.
const (
	PasskeyAdd    = "add"    // a new one, for somebody signed in
	PasskeySecond = "second" // after the password
	PasskeySure   = "sure"   // once more, before something dangerous
	PasskeyAlone  = "alone"  // instead of name and password
)

const (
	ceremonyFor     = 5 * time.Minute
	ceremonyContext = "passkey ceremony"
	credentialMost  = 64 << 10
)

// ceremony is what must be remembered between asking for a passkey and its answer. The browser keeps it, sealed.
type ceremony struct {
	What   string               `json:"what"`
	UserID string               `json:"user"`
	Until  time.Time            `json:"until"`
	Data   webauthn.SessionData `json:"data"`
}

// spent remembers what may be used once until it is too old to be used at all.
type spent struct {
	mu   sync.Mutex
	till map[string]time.Time
}

// first reports whether the key is used for the first time.
func (s *spent) first(key string, now, until time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, t := range s.till {
		if now.After(t) {
			delete(s.till, k)
		}
	}
	if _, used := s.till[key]; used {
		return false
	}
	if s.till == nil {
		s.till = map[string]time.Time{}
	}
	s.till[key] = until
	return true
}

// holder is a person as the library wants one.
type holder struct {
	u     domain.User
	creds []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return []byte(h.u.ID) }
func (h holder) WebAuthnName() string                       { return h.u.Name }
func (h holder) WebAuthnDisplayName() string                { return h.u.Name }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.creds }

// kept is a passkey as it lies in a factor's secret. It is of one site: one made at another name of this server is not offered.
type keptPasskey struct {
	Site       string              `json:"site"`
	Credential webauthn.Credential `json:"credential"`
}

// relying makes the library's object for the site at origin, such as https://nova.example.org.
func relying(origin string) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return nil, domain.Errorf(domain.Invalid, "The request does not say which site it is for.")
	}
	w, err := webauthn.New(&webauthn.Config{
		RPID: strings.ToLower(u.Hostname()), RPDisplayName: issuer, RPOrigins: []string{u.Scheme + "://" + u.Host},
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.VerificationPreferred},
		AttestationPreference:  protocol.PreferNoAttestation,
	})
	if err != nil {
		return nil, domain.Errorf(domain.Unsupported, "Passkeys need a site with a name, and %s is none: %w", u.Hostname(), err).WithFix("Open NovaCron by its name, over TLS.")
	}
	return w, nil
}

func (a *Auth) holder(ctx context.Context, u domain.User, site string) (holder, []domain.Factor, error) {
	h := holder{u: u}
	all, err := a.db.Factors(ctx, u.ID)
	if err != nil {
		return h, nil, err
	}
	var own []domain.Factor
	for _, f := range all {
		if f.Kind != FactorPasskey {
			continue
		}
		var k keptPasskey
		if err := json.Unmarshal(f.Secret, &k); err != nil {
			return h, nil, domain.Errorf(domain.Internal, "A passkey cannot be read: %w", err)
		}
		if k.Site == site {
			h.creds, own = append(h.creds, k.Credential), append(own, f)
		}
	}
	return h, own, nil
}

func (a *Auth) sealCeremony(c ceremony) (string, error) {
	c.Until = a.clock().Add(ceremonyFor)
	text, err := json.Marshal(c)
	if err != nil {
		return "", domain.Errorf(domain.Internal, "The question for a passkey cannot be kept: %w", err)
	}
	return a.db.Seal(text, ceremonyContext)
}

// openCeremony gives back what was asked; each question is answered once, and only for what and whom it was asked.
func (a *Auth) openCeremony(state, what, userID string) (ceremony, error) {
	var c ceremony
	stale := domain.Errorf(domain.Unauthenticated, "The question for the passkey is too old, or it was answered already.").WithFix("Try again.")
	text, err := a.db.Open(state, ceremonyContext)
	if err != nil {
		return c, stale
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, stale
	}
	now := a.clock()
	if c.What != what || c.UserID != userID || now.After(c.Until) || !a.spent.first("passkey "+c.Data.Challenge, now, c.Until) {
		return c, stale
	}
	return c, nil
}

// AskPasskey begins: options are for the browser's navigator.credentials, state comes back with its answer. userID is empty for PasskeyAlone.
func (a *Auth) AskPasskey(ctx context.Context, origin, what, userID string) (options any, state string, err error) {
	w, err := relying(origin)
	if err != nil {
		return nil, "", err
	}
	c := ceremony{What: what, UserID: userID}
	if what == PasskeyAlone {
		ask, data, err := w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
		if err != nil {
			return nil, "", domain.Errorf(domain.Internal, "A passkey cannot be asked for: %w", err)
		}
		c.Data = *data
		state, err = a.sealCeremony(c)
		return ask.Response, state, err
	}
	u, err := a.db.User(ctx, userID)
	if err != nil {
		return nil, "", err
	}
	h, _, err := a.holder(ctx, u, w.Config.RPID)
	if err != nil {
		return nil, "", err
	}
	if what == PasskeyAdd {
		ask, data, err := w.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.creds).CredentialDescriptors()))
		if err != nil {
			return nil, "", domain.Errorf(domain.Internal, "A passkey cannot be asked for: %w", err)
		}
		c.Data = *data
		state, err = a.sealCeremony(c)
		return ask.Response, state, err
	}
	if len(h.creds) == 0 {
		return nil, "", domain.Errorf(domain.Conflict, "There is no passkey for this site.").WithFix("Use a code instead.")
	}
	ask, data, err := w.BeginLogin(h)
	if err != nil {
		return nil, "", domain.Errorf(domain.Internal, "A passkey cannot be asked for: %w", err)
	}
	c.Data = *data
	state, err = a.sealCeremony(c)
	return ask.Response, state, err
}

func wrongPasskey(err error) error {
	return domain.Errorf(domain.Unauthenticated, "The passkey was not accepted: %w", err).WithFix("Try again, or use another way.")
}

// AddPasskey keeps a new passkey; the first second factor comes with recovery codes.
func (a *Auth) AddPasskey(ctx context.Context, by Subject, origin, name, state string, answer []byte) (codes []string, err error) {
	w, err := relying(origin)
	if err != nil {
		return nil, err
	}
	c, err := a.openCeremony(state, PasskeyAdd, by.UserID)
	if err != nil {
		return nil, err
	}
	if len(answer) > credentialMost {
		return nil, domain.Errorf(domain.Invalid, "That is too long for a passkey.")
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return nil, domain.Errorf(domain.Invalid, "The browser's answer is not a passkey: %w", err)
	}
	u, err := a.db.User(ctx, by.UserID)
	if err != nil {
		return nil, err
	}
	cred, err := w.CreateCredential(holder{u: u}, c.Data, parsed)
	if err != nil {
		return nil, domain.Errorf(domain.Invalid, "The passkey was not accepted: %w", err).WithFix("Try again with another one.")
	}
	secret, err := json.Marshal(keptPasskey{Site: w.Config.RPID, Credential: *cred})
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "The passkey cannot be kept: %w", err)
	}
	if name = strings.TrimSpace(name); name == "" {
		name = "Passkey"
	}
	return a.addFactor(ctx, by, domain.Factor{Kind: FactorPasskey, Name: name, Secret: secret})
}

// CheckPasskey judges a passkey that was asked for and tells whose it is. verified: the device has asked for a finger, a face or a number itself, so that it
// is as good as two factors.
func (a *Auth) CheckPasskey(ctx context.Context, origin, what, userID, state string, answer []byte) (u domain.User, verified bool, err error) {
	w, err := relying(origin)
	if err != nil {
		return u, false, err
	}
	c, err := a.openCeremony(state, what, userID)
	if err != nil {
		return u, false, err
	}
	if len(answer) > credentialMost {
		return u, false, domain.Errorf(domain.Invalid, "That is too long for a passkey.")
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return u, false, domain.Errorf(domain.Invalid, "The browser's answer is not a passkey: %w", err)
	}
	var own []domain.Factor
	var cred *webauthn.Credential
	if what == PasskeyAlone {
		var h holder
		find := func(_, handle []byte) (webauthn.User, error) {
			if h.u, err = a.db.User(ctx, string(handle)); err != nil {
				return nil, err
			}
			h, own, err = a.holder(ctx, h.u, w.Config.RPID)
			return h, err
		}
		if cred, err = w.ValidateDiscoverableLogin(find, c.Data, parsed); err != nil {
			return u, false, wrongPasskey(err)
		}
		u = h.u
	} else {
		if u, err = a.db.User(ctx, userID); err != nil {
			return u, false, err
		}
		var h holder
		if h, own, err = a.holder(ctx, u, w.Config.RPID); err != nil {
			return u, false, err
		}
		if cred, err = w.ValidateLogin(h, c.Data, parsed); err != nil {
			return u, false, wrongPasskey(err)
		}
	}
	if u.Disabled {
		return u, false, wrongPasskey(nil)
	}
	if cred.Authenticator.CloneWarning {
		a.log.WarnContext(ctx, "a passkey counts backwards: it may have been copied", "account", u.Name)
		return u, false, domain.Errorf(domain.Unauthenticated, "The passkey counts backwards, as a copied one does.").WithFix("Take it away on the account page and add another one.")
	}
	return u, cred.Flags.UserVerified, a.usedPasskey(ctx, u, own, cred)
}

// usedPasskey keeps the passkey's count, which tells a copied one, and that somebody signed in with it.
func (a *Auth) usedPasskey(ctx context.Context, u domain.User, own []domain.Factor, cred *webauthn.Credential) error {
	now := a.clock().UTC()
	return a.db.Write(ctx, func(tx *db.Tx) error {
		for _, f := range own {
			var k keptPasskey
			if err := json.Unmarshal(f.Secret, &k); err != nil {
				return domain.Errorf(domain.Internal, "A passkey cannot be read: %w", err)
			}
			if !bytes.Equal(k.Credential.ID, cred.ID) {
				continue
			}
			k.Credential = *cred
			secret, err := json.Marshal(k)
			if err != nil {
				return domain.Errorf(domain.Internal, "The passkey cannot be kept: %w", err)
			}
			f.Secret = secret
			return tx.UseFactor(f, now)
		}
		return domain.Errorf(domain.Unauthenticated, "The passkey was taken away meanwhile.")
	})
}

// SignedInAs writes down that somebody signed in by another way than the password.
func (a *Auth) SignedInAs(ctx context.Context, u domain.User, how, addr string) error {
	return a.editUser(ctx, u.ID, func(tx *db.Tx, u *domain.User) error {
		u.LastSignIn = a.clock().UTC()
		return tx.Emit(domain.Event{Kind: "user.signed_in", Resource: userRef(*u), Actor: u.Name, Message: u.Name + " signed in from " + addr + " with " + how + "."})
	})
}

// ProvePasskey takes a passkey instead of a code before something dangerous.
func (a *Auth) ProvePasskey(ctx context.Context, s Subject, origin, state string, answer []byte) error {
	if _, _, err := a.CheckPasskey(ctx, origin, PasskeySure, s.UserID, state, answer); err != nil {
		return err
	}
	return a.MakeSure(ctx, true)
}
