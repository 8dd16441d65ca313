package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"novacron/auth/access"
	"novacron/domain"
)

func codeAt(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	code, err := hotp.GenerateCodeCustom(secret, uint64(at.Unix()/totpPeriod), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestACodeWorksOnce(t *testing.T) {
	a, d, clock := open(t)
	mustAdmin(t, a)
	u, err := d.UserByName(t.Context(), FirstAdmin)
	if err != nil {
		t.Fatal(err)
	}
	me := Subject{Name: u.Name, UserID: u.ID}
	secret, address := NewTOTP(u.Name)
	if pic, err := QR(address); err != nil || !strings.HasPrefix(pic, "data:image/png;base64,") {
		t.Errorf("%.40s %v", pic, err)
	}
	if _, err := a.AddTOTP(t.Context(), me, "phone", secret, "000000"); !domain.Is(err, domain.Invalid) {
		t.Errorf("a wrong code: %v", err)
	}
	if _, err := a.AddTOTP(t.Context(), me, "phone", "short", "000000"); !domain.Is(err, domain.Invalid) {
		t.Errorf("a wrong secret: %v", err)
	}
	first := codeAt(t, secret, clock.Now())
	codes, err := a.AddTOTP(t.Context(), me, "phone", secret, first)
	if err != nil || len(codes) != recoveryCodes {
		t.Fatalf("%v %v", codes, err)
	}
	if need, err := a.NeedsFactor(t.Context(), u.ID); err != nil || !need {
		t.Errorf("%v %v", need, err)
	}
	wrong := func(code, why string) {
		t.Helper()
		if proof, err := a.CheckCode(t.Context(), u, code); !domain.Is(err, domain.Unauthenticated) && !domain.Is(err, domain.Unavailable) {
			t.Errorf("%s: %q %v", why, proof, err)
		}
		clock.add(time.Hour) // so that the growing delay is over
	}
	wrong(first, "the code that set it up, replayed")
	now := codeAt(t, secret, clock.Now())
	if proof, err := a.CheckCode(t.Context(), u, " "+now[:3]+" "+now[3:]); err != nil || proof != FactorTOTP {
		t.Errorf("%q %v", proof, err)
	}
	wrong(now, "a replayed code")
	late := codeAt(t, secret, clock.Now().Add(-totpPeriod*time.Second))
	if _, err := a.CheckCode(t.Context(), u, late); err != nil {
		t.Errorf("a clock that is one step late: %v", err)
	}
	clock.add(time.Hour)
	wrong(codeAt(t, secret, clock.Now().Add(-5*time.Minute)), "an old code")
	wrong(codeAt(t, secret, clock.Now().Add(5*time.Minute)), "a code of the future")
	if proof, err := a.CheckCode(t.Context(), u, strings.ToUpper(codes[0])); err != nil || proof != "recovery" {
		t.Errorf("%q %v", proof, err)
	}
	wrong(codes[0], "a recovery code that was used")
	if n, err := a.RecoveryCodesLeft(t.Context(), u.ID); err != nil || n != recoveryCodes-1 {
		t.Errorf("%d %v", n, err)
	}
	fresh, err := a.NewRecoveryCodes(t.Context(), me)
	if err != nil || len(fresh) != recoveryCodes {
		t.Fatal(err)
	}
	wrong(codes[1], "a recovery code that was replaced")
	all, err := a.Factors(t.Context(), u.ID)
	if err != nil || len(all) != 1 || all[0].Name != "phone" || all[0].Secret != nil {
		t.Fatalf("%+v %v", all, err)
	}
	if err := a.RemoveFactor(t.Context(), me, all[0].ID); err != nil {
		t.Fatal(err)
	}
	wrong(fresh[0], "a recovery code without a second factor")
	if _, err := a.NewRecoveryCodes(t.Context(), me); !domain.Is(err, domain.Conflict) {
		t.Errorf("recovery codes for nothing: %v", err)
	}
}

func TestTheSecretsOfFactorsLieSealed(t *testing.T) {
	a, d, clock := open(t)
	mustAdmin(t, a)
	u, _ := d.UserByName(t.Context(), FirstAdmin)
	secret, _ := NewTOTP(u.Name)
	if _, err := a.AddTOTP(t.Context(), Subject{Name: u.Name, UserID: u.ID}, "", secret, codeAt(t, secret, clock.Now())); err != nil {
		t.Fatal(err)
	}
	kinds, err := d.FactorKinds(t.Context())
	if err != nil || len(kinds[u.ID]) != 1 || kinds[u.ID][0] != FactorTOTP {
		t.Errorf("%v %v", kinds, err)
	}
}

func TestPeopleAreMadeChangedAndRescued(t *testing.T) {
	a, d, _ := open(t)
	mustAdmin(t, a)
	server := Subject{Name: "test"}
	if _, err := a.SaveTenant(t.Context(), server, domain.Tenant{Name: "Team A"}, true, 0); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]NewUser{"a space": {Name: "a b"}, "no name": {}, "a mail": {Name: "x", Email: "x"}, "a role": {Name: "x", Role: "wizard"}, "a tenant": {Name: "x", Role: access.TenantUser, Tenant: "none"}} {
		if _, _, err := a.MakeUser(t.Context(), server, n); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ann, once, err := a.MakeUser(t.Context(), server, NewUser{Name: "ann", FullName: "Ann", Email: "ann@example.org", Role: access.TenantUser, Tenant: "Team A"})
	if err != nil || once == "" {
		t.Fatal(err)
	}
	if _, _, err := a.MakeUser(t.Context(), server, NewUser{Name: "ANN"}); !domain.Is(err, domain.Conflict) {
		t.Errorf("twice: %v", err)
	}
	g, err := a.grantsOfUser(t.Context(), ann.ID, 0)
	if err != nil || !g.In(access.VMCreate, "team-a") || g.Everywhere(access.VMRead) {
		t.Errorf("%+v %v", g, err)
	}
	admin, err := d.UserByName(t.Context(), FirstAdmin)
	if err != nil {
		t.Fatal(err)
	}
	off, name := true, "Ann B."
	if _, err := a.EditUser(t.Context(), server, admin.ID, UserEdit{Disabled: &off}); !domain.Is(err, domain.Conflict) {
		t.Errorf("the last admin was disabled: %v", err)
	}
	if err := a.DeleteUser(t.Context(), server, admin.ID); !domain.Is(err, domain.Conflict) {
		t.Errorf("the last admin was deleted: %v", err)
	}
	bindings, err := d.Bindings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bindings {
		if b.Subject.ID == admin.ID {
			if err := a.Unbind(t.Context(), server, b.ID); !domain.Is(err, domain.Conflict) {
				t.Errorf("the last admin's role was taken: %v", err)
			}
		}
	}
	text, tok, err := a.MakeToken(t.Context(), Subject{Name: "ann", UserID: ann.ID, Grants: g}, domain.Token{Name: "own", UserID: ann.ID})
	if err != nil || tok.Role != "" {
		t.Fatalf("%+v %v", tok, err)
	}
	if _, err := a.TokenSubject(t.Context(), text); !domain.Is(err, domain.Unauthenticated) {
		t.Errorf("a token of somebody who has not chosen a password: %v", err)
	}
	const chosen = "quite a long secret"
	if _, err := a.ChangePassword(t.Context(), ann.ID, once, chosen); err != nil {
		t.Fatal(err)
	}
	if sub, err := a.TokenSubject(t.Context(), text); err != nil || sub.UserID != ann.ID || !sub.On(access.VMRead, access.Object{Tenant: "team-a"}) || sub.Everywhere(access.VMRead) {
		t.Errorf("%+v %v", sub, err)
	}
	u, err := a.EditUser(t.Context(), server, ann.ID, UserEdit{Disabled: &off, FullName: &name})
	if err != nil || !u.Disabled || u.FullName != name {
		t.Fatalf("%+v %v", u, err)
	}
	if _, err := a.TokenSubject(t.Context(), text); !domain.Is(err, domain.Unauthenticated) {
		t.Errorf("the token of a disabled account: %v", err)
	}
	if _, err := a.SignIn(t.Context(), "ann", chosen, "192.0.2.1"); !domain.Is(err, domain.Unauthenticated) {
		t.Errorf("a disabled account signs in: %v", err)
	}
	if pw, err := a.Rescue(t.Context(), "ann", "console"); err != nil || pw == "" {
		t.Fatal(err)
	}
	if g, err = a.grantsOfUser(t.Context(), ann.ID, 0); err != nil || !g.Everywhere(access.RoleManage) {
		t.Errorf("rescued, and not an admin: %v", err)
	}
	if _, err := a.Rescue(t.Context(), "zoe", "console"); err != nil {
		t.Fatal(err)
	}
	if err := a.DeleteUser(t.Context(), server, ann.ID); err != nil {
		t.Error(err)
	}
	e, _, err := a.Explain(t.Context(), "zoe", access.VMDelete, "")
	if err != nil || !e.Allowed {
		t.Errorf("%+v %v", e, err)
	}
	who, err := a.WhoMay(t.Context(), access.RoleManage, "")
	if err != nil || len(who) != 2 {
		t.Errorf("%+v %v", who, err)
	}
}

func TestNothingSecretIsWrittenDown(t *testing.T) {
	got := Redacted([]byte(`{"name":"x","password":"hunter2","nested":[{"ssh_keys":["k"],"size":1,"Token":"t"}],"long":"` + strings.Repeat("y", 2000) + `"}`))
	for _, bad := range []string{"hunter2", `"k"`, `"t"`, strings.Repeat("y", 600)} {
		if strings.Contains(got, bad) {
			t.Errorf("%q is in %s", bad, got)
		}
	}
	if !strings.Contains(got, `"name":"x"`) || !strings.Contains(got, `"size":1`) || Redacted([]byte("password=x")) != "" || Redacted(nil) != "" {
		t.Errorf("%s", got)
	}
}
