package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

// wantDevice wants the refusal that a terminal understands.
func wantDevice(t *testing.T, err error, code string) {
	t.Helper()
	e, ok := errors.AsType[*DeviceError](err)
	if !ok || e.Code != code {
		t.Fatalf("wanted %s, saw %v", code, err)
	}
}

func somebody(t *testing.T, a *Auth) Subject {
	t.Helper()
	mustAdmin(t, a)
	u, err := a.db.UserByName(context.Background(), FirstAdmin)
	if err != nil {
		t.Fatal(err)
	}
	return Subject{Name: u.Name, UserID: u.ID}
}

func TestATerminalSignsInByABrowser(t *testing.T) {
	a, _, clock := open(t)
	ctx, by := context.Background(), somebody(t, a)
	secret, req, err := a.AskDevice("novacron on desk", "192.0.2.7", "novacron/1")
	if err != nil {
		t.Fatal(err)
	}
	if tidyCode(req.UserCode) != req.UserCode || len(secret) < 40 {
		t.Errorf("code %q, secret of %d signs", req.UserCode, len(secret))
	}
	_, _, err = a.DeviceToken(ctx, secret)
	wantDevice(t, err, DevicePending)
	_, _, err = a.DeviceToken(ctx, secret)
	wantDevice(t, err, DeviceSlowDown)
	clock.add(req.Interval + deviceInterval)
	_, _, err = a.DeviceToken(ctx, secret)
	wantDevice(t, err, DevicePending)
	_, _, err = a.DeviceToken(ctx, req.UserCode) // what is on the screen opens nothing
	wantDevice(t, err, DeviceExpired)

	typed := strings.ToLower(strings.ReplaceAll(req.UserCode, "-", " "))
	seen, err := a.Device(by, typed)
	if err != nil || seen.Name != "novacron on desk" || seen.Address != "192.0.2.7" || seen.Agent != "novacron/1" {
		t.Fatalf("the page would show %+v, %v", seen, err)
	}
	if _, err := a.DecideDevice(Subject{Name: "ci", TokenID: "tok_1", UserID: by.UserID}, req.UserCode, true); !domain.Is(err, domain.Denied) {
		t.Errorf("a token let a terminal in: %v", err)
	}
	if _, err := a.DecideDevice(by, typed, true); err != nil {
		t.Fatal(err)
	}
	if _, err := a.DecideDevice(by, typed, false); !domain.Is(err, domain.Invalid) {
		t.Errorf("it was decided twice: %v", err)
	}
	text, tok, err := a.DeviceToken(ctx, secret)
	if err != nil {
		t.Fatal(err)
	}
	if tok.UserID != by.UserID || tok.Name != "novacron on desk" || !tok.ExpiresAt.Equal(clock.Now().UTC().Add(DeviceTokenLife)) {
		t.Errorf("the token is %+v", tok)
	}
	if row, err := a.db.TokenByHash(ctx, tokenHash(text)); err != nil || row.ID != tok.ID {
		t.Errorf("the token's text opens %+v, %v", row, err)
	}
	_, _, err = a.DeviceToken(ctx, secret)
	wantDevice(t, err, DeviceExpired)
	toks, err := a.Tokens(ctx)
	if err != nil || len(toks) != 1 || toks[0].ID != tok.ID {
		t.Errorf("listed are %+v, %v", toks, err)
	}
}

func TestATerminalIsRefused(t *testing.T) {
	a, _, clock := open(t)
	ctx, by := context.Background(), somebody(t, a)
	secret, req, err := a.AskDevice("x", "192.0.2.7", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.DecideDevice(by, req.UserCode, false); err != nil {
		t.Fatal(err)
	}
	_, _, err = a.DeviceToken(ctx, secret)
	wantDevice(t, err, DeviceDenied)

	secret, req, err = a.AskDevice("x", "192.0.2.7", "")
	if err != nil {
		t.Fatal(err)
	}
	clock.add(deviceLife)
	if _, err := a.Device(by, req.UserCode); !domain.Is(err, domain.Invalid) {
		t.Errorf("a code that has expired: %v", err)
	}
	if _, err := a.DecideDevice(by, req.UserCode, true); !domain.Is(err, domain.Invalid) {
		t.Errorf("a code that has expired: %v", err)
	}
	_, _, err = a.DeviceToken(ctx, secret)
	wantDevice(t, err, DeviceExpired)
	for _, name := range []string{"", strings.Repeat("x", 65), "a\nb"} {
		_, _, err := a.AskDevice(name, "192.0.2.8", "")
		wantCode(t, err, domain.Invalid)
	}
}

func TestCodesOfTerminalsAreNotGuessed(t *testing.T) {
	a, _, clock := open(t)
	by := somebody(t, a)
	_, req, err := a.AskDevice("x", "192.0.2.7", "")
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	for err = nil; tries < 50; tries++ {
		if _, err = a.Device(by, "BBBB-BBBB"); domain.Is(err, domain.Unavailable) {
			break
		}
	}
	if tries >= 20 {
		t.Fatalf("%d codes could be tried", tries)
	}
	if _, err := a.DecideDevice(by, req.UserCode, true); !domain.Is(err, domain.Unavailable) {
		t.Errorf("the right one is let through meanwhile: %v", err)
	}
	clock.add(5 * time.Minute)
	if _, err := a.DecideDevice(by, req.UserCode, true); err != nil {
		t.Errorf("after a while: %v", err)
	}
	asks := 0
	for ; asks < 100; asks++ {
		if _, _, err := a.AskDevice("x", "192.0.2.9", ""); domain.Is(err, domain.Unavailable) {
			break
		}
	}
	if asks >= 40 {
		t.Errorf("one address got %d codes at once", asks)
	}
	if _, _, err := a.AskDevice("x", "192.0.2.10", ""); err != nil {
		t.Errorf("another address: %v", err)
	}
}

func TestFewTerminalsWait(t *testing.T) {
	a, _, clock := open(t)
	for i := range devicesMost {
		a.devices.waiting = append(a.devices.waiting, &terminal{DeviceRequest: DeviceRequest{UserCode: strings.Repeat("B", i%7), Until: clock.Now().Add(deviceLife)}})
	}
	_, _, err := a.AskDevice("x", "192.0.2.9", "")
	wantCode(t, err, domain.Unavailable)
	clock.add(deviceLife)
	if _, _, err := a.AskDevice("x", "192.0.2.9", ""); err != nil {
		t.Errorf("after their time: %v", err)
	}
}
