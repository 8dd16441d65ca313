package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"novacron/db"
	"novacron/domain"
)

// Kinds of second factors.
const (
	FactorTOTP    = "totp"
	FactorPasskey = "passkey"
)

const (
	totpPeriod    = 30
	totpSkew      = 1 // steps that a clock may be off, to either side
	recoveryCodes = 10
	issuer        = "NovaCron"
)

var base32Secret = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewTOTP makes a secret for an authenticator app: as text, and as the address that a QR code carries.
func NewTOTP(name string) (secret, address string) {
	raw := make([]byte, 20)
	rand.Read(raw)
	secret = base32Secret.EncodeToString(raw)
	return secret, TOTPAddress(name, secret)
}

// TOTPAddress is what a QR code of a secret carries.
func TOTPAddress(name, secret string) string {
	v := url.Values{"secret": {secret}, "issuer": {issuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {strconv.Itoa(totpPeriod)}}
	return "otpauth://totp/" + url.PathEscape(issuer+":"+name) + "?" + v.Encode()
}

// totpStep finds the time step that a code belongs to, among those that are not older than the last one used; 0 when it belongs to none.
func totpStep(secret, code string, now time.Time, last int64) (int64, error) {
	code = strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, code)
	if len(code) != 6 {
		return 0, nil
	}
	at := now.Unix() / totpPeriod
	found := int64(0)
	for step := at - totpSkew; step <= at+totpSkew; step++ {
		// #nosec G115 -- a time step counts from 1970 on and is not negative
		want, err := hotp.GenerateCodeCustom(secret, uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, domain.Errorf(domain.Internal, "A code could not be computed: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && step > last {
			found = step
		}
	}
	return found, nil
}

// AddTOTP keeps an authenticator app after its first code has shown that it has the secret. The first second factor comes with recovery codes, which are
// shown once.
func (a *Auth) AddTOTP(ctx context.Context, by Subject, name, secret, code string) (codes []string, err error) {
	raw, err := base32Secret.DecodeString(secret)
	if err != nil || len(raw) != 20 {
		return nil, domain.Errorf(domain.Invalid, "The form's secret is not one of ours.").WithFix("Reload the page and scan the code anew.")
	}
	if wait := a.accounts.take("totp " + by.UserID); wait > 0 {
		return nil, limited(wait)
	}
	step, err := totpStep(secret, code, a.clock(), 0)
	if err != nil {
		return nil, err
	}
	if step == 0 {
		return nil, domain.InvalidField("code", "The code does not fit the secret.", "the six digits that the app shows now; check the clocks of both sides")
	}
	a.accounts.forgive("totp " + by.UserID)
	if name = strings.TrimSpace(name); name == "" {
		name = "Authenticator app"
	}
	return a.addFactor(ctx, by, domain.Factor{Kind: FactorTOTP, Name: name, Secret: []byte(secret), Step: step})
}

// factorsMost bounds how many second factors somebody can have.
const factorsMost = 20

func (a *Auth) addFactor(ctx context.Context, by Subject, f domain.Factor) (codes []string, err error) {
	now := a.clock().UTC()
	f.ID, f.UserID, f.CreatedAt, f.LastUsed = domain.NewID("mfa", now), by.UserID, now, now
	if len(f.Name) > 64 {
		return nil, domain.InvalidField("name", "The name is too long.", "at most 64 characters")
	}
	err = a.db.Write(ctx, func(tx *db.Tx) error {
		have, err := tx.Factors(by.UserID)
		if err != nil {
			return err
		}
		if len(have) >= factorsMost {
			return domain.Errorf(domain.Conflict, "There are %d second factors already.", len(have)).WithFix("Take one away first.")
		}
		if len(have) == 0 {
			if codes, err = a.newCodes(tx, by.UserID); err != nil {
				return err
			}
			if err := tx.DeleteSignIns(by.UserID, by.Session); err != nil { // other sessions have not shown it
				return err
			}
		}
		if err := tx.InsertFactor(f); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "user.factor_added", Resource: domain.Ref{Kind: "user", ID: by.UserID, Name: by.Name}, Actor: by.Actor(),
			Message: by.Name + " has a second factor more: " + f.Name + "."})
	})
	return codes, err
}

func (a *Auth) newCodes(tx *db.Tx, userID string) (codes []string, err error) {
	var hashes [][]byte
	for range recoveryCodes {
		s := strings.ToLower(rand.Text())[:16]
		code := s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:16]
		codes, hashes = append(codes, code), append(hashes, recoveryHash(userID, code))
	}
	return codes, tx.ReplaceRecoveryCodes(userID, hashes)
}

// recoveryHash: the codes have 80 random bits, so a plain hash is enough.
func recoveryHash(userID, code string) []byte {
	m := hmac.New(sha256.New, []byte("recovery "+userID))
	m.Write([]byte(strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(strings.TrimSpace(code)))))
	return m.Sum(nil)
}

// NewRecoveryCodes replaces the recovery codes; the old ones are worth nothing.
func (a *Auth) NewRecoveryCodes(ctx context.Context, by Subject) (codes []string, err error) {
	err = a.db.Write(ctx, func(tx *db.Tx) error {
		have, err := tx.Factors(by.UserID)
		if err != nil {
			return err
		}
		if len(have) == 0 {
			return domain.Errorf(domain.Conflict, "Recovery codes stand in for a second factor, and there is none.").WithFix("Add an authenticator app or a passkey first.")
		}
		if codes, err = a.newCodes(tx, by.UserID); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "user.recovery_codes", Resource: domain.Ref{Kind: "user", ID: by.UserID, Name: by.Name}, Actor: by.Actor(), Message: by.Name + " has new recovery codes."})
	})
	return codes, err
}

// RemoveFactor takes a second factor away.
func (a *Auth) RemoveFactor(ctx context.Context, by Subject, id string) error {
	return a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.DeleteFactor(by.UserID, id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "user.factor_removed", Resource: domain.Ref{Kind: "user", ID: by.UserID, Name: by.Name}, Actor: by.Actor(), Message: by.Name + " has a second factor less."})
	})
}

// Factors lists the second factors of a person, without their secrets.
func (a *Auth) Factors(ctx context.Context, userID string) ([]domain.Factor, error) {
	all, err := a.db.Factors(ctx, userID)
	for i := range all {
		all[i].Secret = nil
	}
	return all, err
}

// RecoveryCodesLeft counts what is left of the recovery codes.
func (a *Auth) RecoveryCodesLeft(ctx context.Context, userID string) (int, error) {
	return a.db.RecoveryCodesLeft(ctx, userID)
}

// HalfSession remembers in the session that somebody has shown the first proof and still owes the second factor. Nothing else works with it.
func (a *Auth) HalfSession(ctx context.Context, u domain.User, proof string) error {
	if err := a.sessions.m.RenewToken(ctx); err != nil {
		return domain.Errorf(domain.Internal, "The session could not be renewed: %w", err)
	}
	a.sessions.m.Remove(ctx, keyUser)
	a.sessions.m.Remove(ctx, keyMFA)
	a.sessions.m.Put(ctx, keyHalf, u.ID)
	a.sessions.m.Put(ctx, keyProof, proof)
	a.sessions.m.Put(ctx, keyPrint, fingerprint(u))
	a.sessions.m.Put(ctx, keySure, stamp(a.clock()))
	return nil
}

// halfFor is how long the second factor may take.
const halfFor = 10 * time.Minute

// Half gives who owes the second factor; ok is false when nobody does.
func (a *Auth) Half(ctx context.Context) (u domain.User, ok bool, err error) {
	id := a.sessions.m.GetString(ctx, keyHalf)
	if id == "" || a.clock().Sub(unix(a.stamped(ctx, keySure))) > halfFor {
		return u, false, nil
	}
	u, err = a.db.User(ctx, id)
	if domain.Is(err, domain.NotFound) {
		return u, false, nil
	}
	return u, err == nil && !u.Disabled && a.sessions.m.GetString(ctx, keyPrint) == fingerprint(u), err
}

// NeedsFactor reports whether the password alone is not enough for somebody.
func (a *Auth) NeedsFactor(ctx context.Context, userID string) (bool, error) {
	all, err := a.db.Factors(ctx, userID)
	return len(all) > 0, err
}

// CheckCode judges a code of an authenticator app or a recovery code. Each works once: its use is written in the transaction that accepts it.
func (a *Auth) CheckCode(ctx context.Context, u domain.User, code string) (proof string, err error) {
	if wait := a.accounts.take("code " + u.ID); wait > 0 {
		return "", limited(wait)
	}
	now := a.clock().UTC()
	err = a.db.Write(ctx, func(tx *db.Tx) error {
		all, err := tx.Factors(u.ID)
		if err != nil {
			return err
		}
		for _, f := range slices.DeleteFunc(all, func(f domain.Factor) bool { return f.Kind != FactorTOTP }) {
			step, err := totpStep(string(f.Secret), code, now, f.Step)
			if err != nil {
				return err
			}
			if step > 0 {
				proof, f.Step = FactorTOTP, step
				return tx.UseFactor(f, now)
			}
		}
		ok, err := tx.UseRecoveryCode(u.ID, recoveryHash(u.ID, code), now)
		if err != nil {
			return err
		}
		if !ok {
			return domain.Errorf(domain.Unauthenticated, "The code is wrong, or it was used before.").WithFix("Wait for the next code of the app, or use a recovery code that was not used.")
		}
		proof = "recovery"
		return tx.Emit(domain.Event{Kind: "user.recovery_used", Resource: userRef(u), Actor: u.Name, Message: u.Name + " used a recovery code."})
	})
	if err != nil {
		a.log.WarnContext(ctx, "second factor refused", "account", u.Name, "error", domain.CodeOf(err))
		return "", err
	}
	a.accounts.forgive("code " + u.ID)
	return proof, nil
}

// FinishSession signs in somebody who has shown the second factor too.
func (a *Auth) FinishSession(ctx context.Context, u domain.User, proof string) error {
	first := a.sessions.m.GetString(ctx, keyProof)
	if first == "" {
		first = ProofPassword
	}
	return a.beginSession(ctx, u, first+"+"+proof, true)
}

// Sure reports whether the person was proven in the last so long: what is dangerous asks again.
func (a *Auth) Sure(ctx context.Context, within time.Duration) bool {
	at := a.stamped(ctx, keySure)
	return at > 0 && a.clock().Sub(unix(at)) <= within
}

// MakeSure notes that the person was proven again; a second factor counts for the age that conditions look at. The session gets a new token.
func (a *Auth) MakeSure(ctx context.Context, second bool) error {
	if err := a.sessions.m.RenewToken(ctx); err != nil {
		return domain.Errorf(domain.Internal, "The session could not be renewed: %w", err)
	}
	now := stamp(a.clock())
	a.sessions.m.Put(ctx, keySure, now)
	if second {
		a.sessions.m.Put(ctx, keyMFA, now)
	}
	return nil
}

// CheckPassword proves somebody who is signed in once more.
func (a *Auth) CheckPassword(ctx context.Context, userID, password string) error {
	u, err := a.db.User(ctx, userID)
	if err != nil {
		return err
	}
	if wait := a.accounts.take(accountKey(u.Name)); wait > 0 {
		return limited(wait)
	}
	var ok bool
	if u.PasswordHash == "" {
		ok, err = a.directoryPassword(ctx, u, password)
	} else {
		ok, err = a.hasher.matches(ctx, password[:min(len(password), maxPassword+1)], u.PasswordHash)
	}
	if err != nil {
		return err
	}
	if !ok {
		return domain.InvalidField("password", "The password is wrong.", "the password you sign in with")
	}
	a.accounts.forgive(accountKey(u.Name))
	return nil
}

// mayReset: who may reset an account can sign in as it; so only who has at least what it has.
func (a *Auth) mayReset(ctx context.Context, by Subject, id string) (domain.User, error) {
	u, err := a.db.User(ctx, id)
	if err != nil {
		return u, err
	}
	p, err := a.Policy(ctx)
	if err != nil {
		return u, err
	}
	bindings, err := a.db.Bindings(ctx)
	if err != nil {
		return u, err
	}
	groups, err := a.db.Groups(ctx)
	if err != nil {
		return u, err
	}
	for _, b := range bindings {
		in := slices.ContainsFunc(groups, func(g domain.Group) bool { return g.ID == b.Subject.ID && slices.Contains(g.Members, id) })
		if r, ok := p.Role(b.Role); ok && !b.Deny && (b.Subject.ID == id || in) {
			if err := a.mayGive(ctx, by, r, b.Scope, b.ScopeID); err != nil {
				return u, err
			}
		}
	}
	return u, nil
}

// ResetUser gives somebody a new one-time password and ends their sessions; with mfa their second factors go too.
func (a *Auth) ResetUser(ctx context.Context, by Subject, id string, mfa bool) (oneTime string, err error) {
	u, err := a.mayReset(ctx, by, id)
	if err != nil {
		return "", err
	}
	oneTime = oneTimePassword()
	hash, err := a.hasher.hash(ctx, oneTime)
	if err != nil {
		return "", err
	}
	err = a.editUser(ctx, id, func(tx *db.Tx, row *domain.User) error {
		row.PasswordHash, row.MustChange = hash, true
		if err := tx.DeleteInvites(id); err != nil {
			return err
		}
		said := "The password of " + u.Name + " was reset."
		if mfa {
			if err := tx.DeleteFactors(id); err != nil {
				return err
			}
			said = "The password and the second factors of " + u.Name + " were reset."
		}
		if err := tx.DeleteSignIns(id, ""); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "user.password_reset", Resource: userRef(u), Actor: by.Actor(), Message: said})
	})
	return oneTime, err
}

// Rescue makes an administrator's account usable from the server's own console: enabled, a platform admin, with a new one-time password and without
// second factors. It makes the account when there is none.
func (a *Auth) Rescue(ctx context.Context, name, actor string) (oneTime string, err error) {
	server := Subject{Name: actor}
	u, err := a.db.UserByName(ctx, name)
	if domain.Is(err, domain.NotFound) {
		_, oneTime, err = a.MakeUser(ctx, server, NewUser{Name: name, Role: "platform-admin"})
		return oneTime, err
	}
	if err != nil {
		return "", err
	}
	off := false
	if u.Disabled {
		if err := a.db.Write(ctx, func(tx *db.Tx) error { u.Disabled = off; return tx.UpdateUser(u) }); err != nil {
			return "", err
		}
	}
	bindings, err := a.db.Bindings(ctx)
	if err != nil {
		return "", err
	}
	has := false
	for _, b := range bindings {
		if b.Subject.ID != u.ID || b.Scope != domain.ScopeEstate {
			continue
		}
		if b.Deny {
			if err := a.db.Write(ctx, func(tx *db.Tx) error { return tx.DeleteBinding(b.ID) }); err != nil {
				return "", err
			}
		}
		has = has || b.Role == "platform-admin" && !b.Deny && b.Condition == ""
	}
	if !has {
		if _, err := a.Bind(ctx, server, domain.Binding{Subject: domain.Ref{Kind: "user", ID: u.ID}, Role: "platform-admin"}); err != nil {
			return "", err
		}
	}
	if err := a.localAgain(ctx, actor); err != nil {
		return "", err
	}
	return a.ResetUser(ctx, server, u.ID, true)
}
