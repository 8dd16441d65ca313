package auth

import (
	"context"
	"testing"

	"novacron/auth/access"
	"novacron/domain"
)

// Who is given or denied something by somebody else goes on with another token from the next page on; the old one is worth nothing then.
func TestASessionIsRotatedWhenRightsChange(t *testing.T) {
	a, _, _ := open(t)
	pw := mustAdmin(t, a)
	u, err := a.SignIn(t.Context(), "admin", pw, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, a: a}
	b.do(func(ctx context.Context) error { return a.BeginSession(ctx, u) })
	page := func() {
		sub, _ := b.do(nil)
		if !sub.Known() {
			t.Fatal("signed out")
		}
		b.do(func(ctx context.Context) error { return a.Rotate(ctx, sub) })
	}
	first := b.cookie.Value
	page()
	if b.cookie.Value != first {
		t.Fatal("nothing changed and the token did")
	}
	old := b.cookie
	if _, err := a.Bind(t.Context(), Subject{Name: "other"}, domain.Binding{Subject: domain.Ref{Kind: "user", ID: u.ID}, Role: access.Auditor}); err != nil {
		t.Fatal(err)
	}
	page()
	if b.cookie.Value == first {
		t.Fatal("the token stayed")
	}
	if sub, _ := (&browser{t: t, a: a, cookie: old}).do(nil); sub.Known() {
		t.Fatalf("the old token works: %+v", sub)
	}
	second := b.cookie.Value
	page()
	if b.cookie.Value != second {
		t.Error("it was rotated twice")
	}
	if err := a.Rotate(t.Context(), Subject{}); err != nil {
		t.Error(err)
	}
}
