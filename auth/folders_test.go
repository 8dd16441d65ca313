package auth

import (
	"context"
	"testing"
	"time"

	"novacron/auth/access"
	"novacron/domain"
)

// Folders are made, named and deleted where somebody may, and nobody hears of a tenant or a folder that is not theirs to see.
func TestFoldersAreManagedWhereSomebodyMay(t *testing.T) {
	a, _, _ := open(t)
	mustAdmin(t, a)
	ctx, server := t.Context(), Subject{Name: "test"}
	for _, name := range []string{"Team A", "Team B"} {
		if _, err := a.SaveTenant(ctx, server, domain.Tenant{Name: name}, true, 0); err != nil {
			t.Fatal(err)
		}
	}
	ann := person(t, a, "ann", access.TenantAdmin, "team-a")
	bob := person(t, a, "bob", access.TenantAdmin, "team-b")
	eve := person(t, a, "eve", access.Auditor, "")

	mine, err := a.MakeFolder(ctx, ann, domain.Folder{Name: " web "})
	if err != nil || mine.Tenant != "team-a" || mine.Name != "web" {
		t.Fatalf("her one tenant is not taken: %+v, %v", mine, err)
	}
	below, err := a.MakeFolder(ctx, ann, domain.Folder{Name: "old", Parent: mine.ID})
	if err != nil || below.Tenant != "team-a" || below.Path != mine.Path+"/old" {
		t.Fatalf("%+v, %v", below, err)
	}
	top, err := a.MakeFolder(ctx, server, domain.Folder{Name: "all"})
	if err != nil || top.Tenant != "" {
		t.Fatalf("%+v, %v", top, err)
	}
	for what, x := range map[string]struct {
		by   Subject
		f    domain.Folder
		code domain.Code
	}{
		"a name that is none":          {ann, domain.Folder{Name: "a/b"}, domain.Invalid},
		"the same name twice":          {ann, domain.Folder{Name: "web"}, domain.Conflict},
		"in a folder that is not":      {ann, domain.Folder{Name: "x", Parent: "fold_none"}, domain.Invalid},
		"in somebody else's folder":    {bob, domain.Folder{Name: "x", Parent: mine.ID}, domain.Invalid},
		"in a tenant that is not":      {server, domain.Folder{Name: "x", Tenant: "none"}, domain.Invalid},
		"in somebody else's tenant":    {bob, domain.Folder{Name: "x", Tenant: "team-a"}, domain.Invalid},
		"by who may nowhere":           {eve, domain.Folder{Name: "x"}, domain.Invalid},
		"by who sees it, and no more":  {eve, domain.Folder{Name: "x", Parent: mine.ID}, domain.Denied},
		"by who may nowhere, in one's": {eve, domain.Folder{Name: "x", Tenant: "team-a"}, domain.Invalid},
	} {
		if f, err := a.MakeFolder(ctx, x.by, x.f); !domain.Is(err, x.code) {
			t.Errorf("%s: %+v, %v", what, f, err)
		}
	}

	renamed, err := a.RenameFolder(ctx, ann, mine.ID, "shop", mine.Version)
	if err != nil || renamed.Name != "shop" {
		t.Fatalf("%+v, %v", renamed, err)
	}
	if got, err := a.db.Folder(ctx, below.ID); err != nil || got.Path != renamed.Path+"/old" {
		t.Errorf("what is below it is at %q, %v", got.Path, err)
	}
	for what, x := range map[string]struct {
		by       Subject
		id, name string
		version  int64
		code     domain.Code
	}{
		"changed meanwhile":       {ann, mine.ID, "other", mine.Version, domain.Conflict},
		"a name that is none":     {ann, mine.ID, " ", 0, domain.Invalid},
		"not there":               {ann, "fold_none", "x", 0, domain.NotFound},
		"by another tenant's":     {bob, mine.ID, "x", 0, domain.Denied},
		"by who may only look on": {eve, mine.ID, "x", 0, domain.Denied},
	} {
		if _, err := a.RenameFolder(ctx, x.by, x.id, x.name, x.version); !domain.Is(err, x.code) {
			t.Errorf("renamed, %s: %v", what, err)
		}
	}

	for what, x := range map[string]struct {
		by   Subject
		id   string
		code domain.Code
	}{
		"with a folder in it": {ann, mine.ID, domain.Conflict},
		"by another tenant's": {bob, below.ID, domain.Denied},
		"not there":           {ann, "fold_none", domain.NotFound},
	} {
		if err := a.DeleteFolder(ctx, x.by, x.id); !domain.Is(err, x.code) {
			t.Errorf("deleted, %s: %v", what, err)
		}
	}
	// What was given in a folder goes with it.
	if _, err := a.Bind(ctx, server, domain.Binding{Subject: domain.Ref{ID: "bob"}, Role: access.Operator, Scope: domain.ScopeFolder, ScopeID: below.ID}); err != nil {
		t.Fatal(err)
	}
	in := access.Object{Kind: "vm", ID: "vm_x", Tenant: "team-a", Folder: below.ID}
	if bob = again(t, a, bob); !bob.On(access.VMRead, in) {
		t.Error("what was given in the folder does not hold in it")
	}
	for _, id := range []string{below.ID, mine.ID} {
		if err := a.DeleteFolder(ctx, ann, id); err != nil {
			t.Errorf("deleting %s: %v", id, err)
		}
	}
	if bob = again(t, a, bob); bob.On(access.VMRead, in) {
		t.Error("what was given in a folder outlives it")
	}
}

func TestTenantsAreChangedAndDeleted(t *testing.T) {
	a, _, _ := open(t)
	mustAdmin(t, a)
	ctx, server := t.Context(), Subject{Name: "test"}
	made, err := a.SaveTenant(ctx, server, domain.Tenant{Name: " Team A "}, true, 0)
	if err != nil || made.ID != "team-a" || made.Version != 1 {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := a.SaveTenant(ctx, server, domain.Tenant{Name: "team a"}, true, 0); len(wantCode(t, err, domain.Conflict).Fields) != 1 {
		t.Errorf("the field is not named: %v", err)
	}
	if _, err := a.SaveTenant(ctx, server, domain.Tenant{Name: "!"}, true, 0); !domain.Is(err, domain.Invalid) {
		t.Errorf("a name without a letter: %v", err)
	}
	made.Name, made.Notes, made.Quota.VMs = "The first team", "asks for little", 3
	changed, err := a.SaveTenant(ctx, server, made, false, made.Version)
	if err != nil || changed.Name != made.Name || changed.Quota.VMs != 3 || changed.ID != "team-a" || changed.Version == made.Version {
		t.Fatalf("%+v, %v", changed, err)
	}
	if _, err := a.SaveTenant(ctx, server, made, false, made.Version); !domain.Is(err, domain.Conflict) {
		t.Errorf("what was changed meanwhile is overwritten: %v", err)
	}
	if _, err := a.SaveTenant(ctx, server, domain.Tenant{ID: "none", Name: "none"}, false, 0); !domain.Is(err, domain.NotFound) {
		t.Errorf("one that is not there: %v", err)
	}

	if _, err := a.SaveTenant(ctx, server, domain.Tenant{Name: "Below", Parent: "team-a"}, true, 0); err != nil {
		t.Fatal(err)
	}
	_, tok, err := a.MakeToken(ctx, server, domain.Token{Name: "ci", Role: access.TenantUser, Tenant: "team-a"})
	if err != nil {
		t.Fatal(err)
	}
	ann := person(t, a, "ann", access.TenantUser, "team-a")
	for _, rid := range []func() error{
		func() error { return a.DeleteTenant(ctx, server, "below") },
		func() error { return a.RevokeToken(ctx, tok.ID, "test") },
	} {
		if err := a.DeleteTenant(ctx, server, "team-a"); !domain.Is(err, domain.Conflict) {
			t.Errorf("a tenant that something is in was deleted: %v", err)
		}
		if err := rid(); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.DeleteTenant(ctx, server, "team-a"); err != nil {
		t.Fatal(err)
	}
	if err := a.DeleteTenant(ctx, server, "team-a"); !domain.Is(err, domain.NotFound) {
		t.Errorf("twice: %v", err)
	}
	if ann = again(t, a, ann); ann.Can(access.VMRead) {
		t.Error("a role in a tenant outlives it")
	}
}

// Between the password and the second factor nobody is signed in, and not for long.
func TestHalfASessionIsNone(t *testing.T) {
	a, _, clock := open(t)
	pw := mustAdmin(t, a)
	u, err := a.SignIn(t.Context(), FirstAdmin, pw, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	half := func(b *browser) (got domain.User, ok bool) {
		b.do(func(ctx context.Context) (err error) { got, ok, err = a.Half(ctx); return err })
		return got, ok
	}
	begin := func() *browser {
		b := &browser{t: t, a: a}
		b.do(func(ctx context.Context) error { return a.HalfSession(ctx, u, ProofPassword) })
		return b
	}
	b := begin()
	if sub, _ := b.do(nil); sub.Known() {
		t.Fatalf("the password alone signs in: %+v", sub)
	}
	if got, ok := half(b); !ok || got.ID != u.ID {
		t.Fatalf("who owes the second factor: %+v, %v", got, ok)
	}
	before := b.cookie.Value
	b.do(func(ctx context.Context) error { return a.FinishSession(ctx, u, FactorTOTP) })
	if sub, _ := b.do(nil); sub.UserID != u.ID || b.cookie.Value == before {
		t.Fatalf("after both: %+v, the same token: %v", sub, b.cookie.Value == before)
	}
	if _, ok := half(b); ok {
		t.Error("who is signed in owes a factor still")
	}

	// What is dangerous asks again after a while.
	sure := func() (ok bool) {
		b.do(func(ctx context.Context) error { ok = a.Sure(ctx, 5*time.Minute); return nil })
		return ok
	}
	if !sure() {
		t.Error("signing in does not count as a proof")
	}
	clock.add(6 * time.Minute)
	if sure() {
		t.Error("a proof of six minutes ago counts for five")
	}
	before = b.cookie.Value
	b.do(func(ctx context.Context) error { return a.MakeSure(ctx, true) })
	if !sure() || b.cookie.Value == before {
		t.Errorf("proven again: %v, with the same token: %v", sure(), b.cookie.Value == before)
	}

	late := begin()
	clock.add(11 * time.Minute)
	if _, ok := half(late); ok {
		t.Error("the second factor may take for ever")
	}
	changed := begin()
	if _, err := a.ChangePassword(t.Context(), u.ID, pw, "a much better one"); err != nil {
		t.Fatal(err)
	}
	if _, ok := half(changed); ok {
		t.Error("a password that is no longer the account's has been half the way in")
	}
	if _, ok := half(&browser{t: t, a: a}); ok {
		t.Error("a visitor owes a factor")
	}
}
