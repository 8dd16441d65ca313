package auth

import (
	"context"
	"crypto/rand"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"novacron/domain"
)

// A terminal signs in by a browser (RFC 8628): it asks for a code, a person who is signed in says at the page that the code is theirs, and the terminal
// takes its token out, once. Codes live in memory for ten minutes; a restart forgets them, and the terminal begins anew. The token is made only when it
// is taken, so that its text is kept nowhere.

const (
	deviceLife     = 10 * time.Minute
	deviceInterval = 5 * time.Second
	devicesMost    = 1000
	// DeviceTokenLife is how long a terminal stays signed in.
	DeviceTokenLife = 90 * 24 * time.Hour

	// DeviceRoute is the page on which a person lets a terminal in, DeviceApprove what its form says then.
	DeviceRoute   = "/device"
	DeviceApprove = "approve"

	// userCodeSigns has no vowels, so that no words come about, and nothing that looks like something else.
	userCodeSigns  = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength = 8
)

// DeviceRequest is a terminal that asks to be signed in.
type DeviceRequest struct {
	UserCode string // what the person compares, as XXXX-XXXX
	Name     string // what the terminal calls itself
	Address  string // from where it asks
	Agent    string
	AskedAt  time.Time
	Until    time.Time
	Interval time.Duration // between two questions whether it is let in
}

// Names of the answers to a terminal that asks too early or in vain, as RFC 8628 has them.
const (
	DevicePending  = "authorization_pending"
	DeviceSlowDown = "slow_down"
	DeviceDenied   = "access_denied"
	DeviceExpired  = "expired_token"
)

// DeviceError is the cause of a refusal to a terminal.
type DeviceError struct{ Code string }

func (e *DeviceError) Error() string { return e.Code }

type terminal struct {
	DeviceRequest
	key      string // hash of what the terminal proves itself with
	asked    time.Time
	decided  bool
	approver *Subject // nil: denied
}

// terminals are the terminals that wait.
type terminals struct {
	mu      sync.Mutex
	waiting []*terminal // oldest first
}

func (d *terminals) sweep(now time.Time) {
	d.waiting = slices.DeleteFunc(d.waiting, func(x *terminal) bool { return !now.Before(x.Until) })
}

func (d *terminals) find(want func(*terminal) bool) *terminal {
	if i := slices.IndexFunc(d.waiting, want); i >= 0 {
		return d.waiting[i]
	}
	return nil
}

func newUserCode() string {
	out := make([]byte, 0, userCodeLength+1)
	for i := range userCodeLength {
		if i == userCodeLength/2 {
			out = append(out, '-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(userCodeSigns))))
		if err != nil {
			panic(err) // crypto/rand does not fail
		}
		out = append(out, userCodeSigns[n.Int64()])
	}
	return string(out)
}

// tidyCode reads a code as people type it.
func tidyCode(code string) string {
	code = strings.Map(func(r rune) rune {
		if strings.ContainsRune(userCodeSigns, r) {
			return r
		}
		return -1
	}, strings.ToUpper(code[:min(len(code), 64)]))
	if len(code) != userCodeLength {
		return ""
	}
	return code[:userCodeLength/2] + "-" + code[userCodeLength/2:]
}

// AskDevice begins: secret is for the terminal, the request's code for the person. How often one address may ask is limited.
func (a *Auth) AskDevice(name, address, agent string) (secret string, req DeviceRequest, err error) {
	if wait := a.deviceAsks.take(addrKey(address)); wait > 0 {
		return "", req, limited(wait)
	}
	var p domain.Problems
	name = strings.TrimSpace(name)
	CheckTokenName(&p, "name", name)
	if err := p.Err(); err != nil {
		return "", req, err
	}
	now := a.clock().UTC()
	secret = rand.Text() + rand.Text()
	d := &terminal{DeviceRequest: DeviceRequest{Name: name, Address: address, Agent: agent[:min(len(agent), 200)], AskedAt: now, Until: now.Add(deviceLife), Interval: deviceInterval}, key: tokenHash(secret)}
	a.devices.mu.Lock()
	defer a.devices.mu.Unlock()
	a.devices.sweep(now)
	if len(a.devices.waiting) >= devicesMost {
		return "", req, domain.Errorf(domain.Unavailable, "Too many terminals wait to be signed in.").WithFix("Try again in some minutes.")
	}
	for {
		d.UserCode = newUserCode()
		if a.devices.find(func(x *terminal) bool { return x.UserCode == d.UserCode }) == nil {
			break
		}
	}
	a.devices.waiting = append(a.devices.waiting, d)
	return secret, d.DeviceRequest, nil
}

// DeviceToken gives the terminal its token, once, when somebody has let it in.
func (a *Auth) DeviceToken(ctx context.Context, secret string) (text string, tok domain.Token, err error) {
	refuse := func(code string, domainCode domain.Code, format string) error {
		return domain.Errorf(domainCode, "%s", format).WithCause(&DeviceError{code})
	}
	now, key := a.clock().UTC(), tokenHash(secret)
	a.devices.mu.Lock()
	a.devices.sweep(now)
	d := a.devices.find(func(x *terminal) bool { return x.key == key })
	switch {
	case d == nil:
		err = refuse(DeviceExpired, domain.Invalid, "The code has expired, or it was used.")
	case !d.decided && now.Sub(d.asked) < d.Interval-time.Second:
		d.Interval += deviceInterval
		d.asked = now
		err = refuse(DeviceSlowDown, domain.Invalid, "That was asked too soon.")
	case !d.decided:
		d.asked = now
		err = refuse(DevicePending, domain.Invalid, "Nobody has said yet that the code is theirs.")
	default: // whatever comes of it, it is over
		a.devices.waiting = slices.DeleteFunc(a.devices.waiting, func(x *terminal) bool { return x == d })
		if d.approver == nil {
			err = refuse(DeviceDenied, domain.Denied, "The person refused it.")
		}
	}
	a.devices.mu.Unlock()
	if err != nil {
		return "", tok, err
	}
	return a.MakeToken(ctx, *d.approver, domain.Token{Name: d.Name, UserID: d.approver.UserID, ExpiresAt: now.Add(DeviceTokenLife)})
}

// Device shows a person who is signed in which terminal has the code. Guessing is limited.
func (a *Auth) Device(by Subject, code string) (DeviceRequest, error) {
	if wait := a.deviceTries.take(by.UserID); wait > 0 {
		return DeviceRequest{}, limited(wait)
	}
	a.devices.mu.Lock()
	defer a.devices.mu.Unlock()
	d, err := a.waitingFor(code)
	if err != nil {
		return DeviceRequest{}, err
	}
	a.deviceTries.forgive(by.UserID)
	return d.DeviceRequest, nil
}

func (a *Auth) waitingFor(code string) (*terminal, error) {
	a.devices.sweep(a.clock().UTC())
	want := tidyCode(code)
	d := a.devices.find(func(x *terminal) bool { return want != "" && x.UserCode == want && !x.decided })
	if d == nil {
		return nil, domain.InvalidField("code", "No terminal waits with this code.", "the code that the terminal shows; it is good for ten minutes")
	}
	return d, nil
}

// DecideDevice lets the terminal in as the person, or refuses it.
func (a *Auth) DecideDevice(by Subject, code string, yes bool) (DeviceRequest, error) {
	if by.UserID == "" || by.TokenID != "" {
		return DeviceRequest{}, domain.Errorf(domain.Denied, "Only a person in a browser lets a terminal in.").WithFix("Sign in on the site.")
	}
	if wait := a.deviceTries.take(by.UserID); wait > 0 {
		return DeviceRequest{}, limited(wait)
	}
	a.devices.mu.Lock()
	defer a.devices.mu.Unlock()
	d, err := a.waitingFor(code)
	if err != nil {
		return DeviceRequest{}, err
	}
	a.deviceTries.forgive(by.UserID)
	d.decided = true
	if yes {
		d.approver = &by
	}
	return d.DeviceRequest, nil
}
