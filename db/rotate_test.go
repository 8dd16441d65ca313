package db

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"novacron/db/seal"
	"novacron/domain"
)

// Every secret is sealed with the new key, the old one opens nothing, and the audit log can be verified as before.
func TestRotatedSecretsOpenWithTheNewKeyOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "novacron.db")
	log := slog.New(slog.DiscardHandler)
	open := func() *DB {
		t.Helper()
		d, err := Open(t.Context(), path, log, time.Now, Unsynced())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	now := time.Now().UTC()
	const canary = "CANARY-of-a-secret"
	d := open()
	err := d.Write(t.Context(), func(tx *Tx) error {
		if err := tx.InsertUser(domain.User{ID: "user_1", Name: "ann", CreatedAt: now}); err != nil {
			return err
		}
		if err := tx.InsertFactor(domain.Factor{ID: "fac_1", UserID: "user_1", Kind: "totp", Name: "phone", Secret: []byte(canary), CreatedAt: now}); err != nil {
			return err
		}
		if err := tx.InsertSecret(Secret{UUID: "u-1", Name: "v", CreatedAt: now}, []byte(canary)); err != nil {
			return err
		}
		if err := tx.SaveProvider(domain.Provider{ID: "idp-1", Kind: "oidc", Name: "x", Secret: []byte(canary), CreatedAt: now}); err != nil {
			return err
		}
		if err := tx.InsertTemplate(domain.Template{ID: "tmpl_1", Name: "web"}); err != nil {
			return err
		}
		if _, err := tx.AddTemplateVersion(domain.TemplateVersion{ID: "tmplv_1", TemplateID: "tmpl_1", CloudInit: &domain.CloudInit{Hostname: canary}}, nil); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "user.created", Resource: domain.Ref{Kind: "user", ID: "user_1"}, Message: "made"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(filepath.Dir(path), seal.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	n, err := RotateKeyFile(t.Context(), path, log, time.Now)
	if err != nil || n != 4 {
		t.Fatal(n, err)
	}
	fresh, err := os.ReadFile(filepath.Join(filepath.Dir(path), seal.KeyFile))
	if err != nil || bytes.Equal(old, fresh) {
		t.Fatal("the key is the old one", err)
	}
	d = open()
	if f, err := d.Factors(t.Context(), "user_1"); err != nil || string(f[0].Secret) != canary {
		t.Error(f, err)
	}
	if _, v, err := d.Secret(t.Context(), "u-1"); err != nil || string(v) != canary {
		t.Error(err)
	}
	if x, err := d.Template(t.Context(), "tmpl_1"); err != nil || x.Versions[0].CloudInit.Hostname != canary {
		t.Error(err)
	}
	if x, err := d.Provider(t.Context(), "idp-1"); err != nil || string(x.Secret) != canary {
		t.Error(err)
	}
	if rows, err := d.VerifyAudit(t.Context()); err != nil || rows.Rows < 1 {
		t.Error(rows, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	box, err := seal.Load(t.TempDir(), string(old))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := Open(t.Context(), path, log, time.Now, Seal(box)); err == nil {
		d.Close()
		t.Error("the old key still opens it")
	} else if !strings.Contains(err.Error(), "another key") {
		t.Error(err)
	}
	// Interrupted after the secrets were sealed: asked again it ends.
	if err := os.Rename(filepath.Join(filepath.Dir(path), seal.KeyFile), filepath.Join(filepath.Dir(path), seal.KeyFile+".next")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), seal.KeyFile), old, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := RotateKeyFile(t.Context(), path, log, time.Now); err != nil || n != 0 {
		t.Error(n, err)
	}
	d = open()
	if f, err := d.Factors(t.Context(), "user_1"); err != nil || string(f[0].Secret) != canary {
		t.Error(f, err)
	}
	d.Close()
	// Nothing of it lies about in the clear.
	for _, name := range []string{path, path + "-wal"} {
		if b, err := os.ReadFile(name); err == nil && bytes.Contains(b, []byte(canary)) {
			t.Errorf("%s has a secret in the clear", name)
		}
	}
}

func TestAKeyComesFromACommand(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{3}, 32))
	if _, err := seal.FromCommand(t.Context(), "echo "+key); err != nil {
		t.Error(err)
	}
	for _, cmd := range []string{"echo short", "echo the service is closed >&2; exit 3", "true"} {
		if _, err := seal.FromCommand(t.Context(), cmd); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", cmd, err)
		}
	}
}
