package offline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/db/seal"
	"novacron/domain"
)

// desk is a data directory without a server, and who types commands for it.
type desk struct {
	data    string
	outside bool // the key comes from elsewhere
}

func (d *desk) open(t *testing.T, ctx context.Context, do func(ctx context.Context, b *db.DB, a *auth.Auth) error) error {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	box, err := seal.Load(d.data, "")
	if err != nil {
		return err
	}
	b, err := db.Open(ctx, db.File(d.data), log, time.Now, db.Seal(box))
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, b, auth.New(b, log, time.Now, auth.Options{CheapHashing: true})), b.Close())
}

// run types a command and gives what it prints.
func (d *desk) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := &cobra.Command{Use: "novacron", SilenceUsage: true, SilenceErrors: true}
	opened := func(cmd *cobra.Command, mayMake bool, do func(ctx context.Context, b *db.DB, a *auth.Auth, actor string) error) error {
		if _, err := os.Stat(db.File(d.data)); err != nil && !mayMake {
			return domain.Errorf(domain.NotFound, "There is no NovaCron data in %s.", d.data)
		}
		const who = "command line (test)"
		ctx := domain.WithCause(cmd.Context(), &domain.Cause{Actor: who, Proof: "command line", Asked: cmd.CommandPath()})
		return d.open(t, ctx, func(ctx context.Context, b *db.DB, a *auth.Auth) error { return do(ctx, b, a, who) })
	}
	place := func(*cobra.Command) (Place, error) {
		return Place{Data: d.data, Key: func(context.Context) (*seal.Box, bool, error) {
			box, err := seal.Load(d.data, "")
			return box, d.outside, err
		}}, nil
	}
	same := func(cmd *cobra.Command) *cobra.Command { return cmd }
	root.AddCommand(Commands(opened, same)...)
	root.AddCommand(BackupCommand(place, same, "test"))
	var out, said bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&said)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	if said.Len() > 0 {
		t.Logf("%q said: %s", args, said.String())
	}
	return out.String(), err
}

func (d *desk) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := d.run(t, args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return out
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{data: filepath.Join(t.TempDir(), "data")}
	if err := os.Mkdir(d.data, 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

// subject is whose token a text is, as the server would find it.
func (d *desk) subject(t *testing.T, text string) (s auth.Subject, err error) {
	t.Helper()
	err = d.open(t, t.Context(), func(ctx context.Context, _ *db.DB, a *auth.Auth) (err error) {
		s, err = a.TokenSubject(ctx, text)
		return err
	})
	return s, err
}

func TestTokensAreMadeListedAndRevoked(t *testing.T) {
	d := newDesk(t)
	if _, err := d.run(t, "token", "list"); !domain.Is(err, domain.NotFound) {
		t.Errorf("a list of no data: %v", err)
	}
	if _, err := d.run(t, "token", "create", "--name", " "); !domain.Is(err, domain.Invalid) {
		t.Errorf("a token without a name: %v", err)
	}
	if _, err := os.Stat(db.File(d.data)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a database was made for a token that cannot be: %v", err)
	}
	text := d.must(t, "token", "create", "--name", "ci", "--role", access.Auditor, "--expires", "1h")
	if strings.Count(text, "\n") != 1 {
		t.Fatalf("not the token alone: %q", text)
	}
	text = strings.TrimSpace(text)
	s, err := d.subject(t, text)
	if err != nil || !s.Everywhere(access.VMRead) || s.Can(access.VMDelete) {
		t.Errorf("%+v, %v", s, err)
	}
	list := d.must(t, "token", "list")
	row := ""
	for line := range strings.Lines(list) {
		if strings.Contains(line, " ci ") {
			row = line
		}
	}
	if !strings.Contains(row, access.Auditor) || !strings.Contains(row, "command line (test)") || strings.Contains(list, text) {
		t.Errorf("the list:\n%s", list)
	}
	if strings.Count(row, "never") != 0 || !strings.Contains(row, time.Now().UTC().Format("2006-01-")) {
		t.Errorf("used once and valid for an hour: %s", row)
	}
	if _, err := d.run(t, "token", "revoke", "tok_none"); !domain.Is(err, domain.NotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	d.must(t, "token", "revoke", strings.Fields(row)[0])
	if _, err := d.subject(t, text); !domain.Is(err, domain.Unauthenticated) {
		t.Errorf("a revoked token: %v", err)
	}
}

func TestAWayBackInForWhoCannotSignIn(t *testing.T) {
	d := newDesk(t)
	signIn := func(name, password string) error {
		return d.open(t, t.Context(), func(ctx context.Context, _ *db.DB, a *auth.Auth) error {
			_, err := a.SignIn(ctx, name, strings.TrimSpace(password), "192.0.2.1")
			return err
		})
	}
	if err := d.open(t, t.Context(), func(ctx context.Context, _ *db.DB, a *auth.Auth) error {
		_, _, _, err := a.EnsureAdmin(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	first := d.must(t, "user", "reset-password", auth.FirstAdmin)
	if err := signIn(auth.FirstAdmin, first); err != nil {
		t.Error(err)
	}
	second := d.must(t, "user", "reset-password", auth.FirstAdmin)
	if err := signIn(auth.FirstAdmin, first); second == first || !domain.Is(err, domain.Unauthenticated) {
		t.Errorf("the former password: %v", err)
	}
	if _, err := d.run(t, "user", "reset-password", "nobody"); !domain.Is(err, domain.NotFound) {
		t.Errorf("an account that is not there: %v", err)
	}
	for _, args := range [][]string{{"admin", "rescue"}, {"admin", "rescue", "zoe"}} {
		name := auth.FirstAdmin
		if len(args) == 3 {
			name = args[2]
		}
		if err := signIn(name, d.must(t, args...)); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		if err := d.open(t, t.Context(), func(ctx context.Context, _ *db.DB, a *auth.Auth) error {
			e, _, err := a.Explain(ctx, name, access.RoleManage, "")
			if err == nil && !e.Allowed {
				t.Errorf("%s was rescued and may not manage roles: %s", name, e.Reason)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
}

func TestTheAuditLogIsVerifiedAndExported(t *testing.T) {
	d := newDesk(t)
	d.must(t, "token", "create", "--name", "one")
	d.must(t, "token", "create", "--name", "two")
	if got := d.must(t, "audit", "verify"); !strings.Contains(got, "as it was written") || strings.Contains(got, "retention") {
		t.Errorf("%q", got)
	}
	type row struct {
		Seq   int64  `json:"seq"`
		Actor string `json:"actor"`
	}
	var rows []row
	dec := json.NewDecoder(strings.NewReader(d.must(t, "audit", "export")))
	for dec.More() {
		var r row
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if len(rows) < 2 || rows[0].Actor != "command line (test)" {
		t.Fatalf("%+v", rows)
	}
	for i := 1; i < len(rows); i++ {
		if rows[i].Seq >= rows[i-1].Seq {
			t.Errorf("row %d comes after row %d", rows[i].Seq, rows[i-1].Seq)
		}
	}
}

func TestTheStateIsKeptAndBroughtBack(t *testing.T) {
	d := newDesk(t)
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	if _, err := d.run(t, "backup", "create", file); !domain.Is(err, domain.NotFound) {
		t.Errorf("a backup of nothing: %v", err)
	}
	if _, err := os.Stat(filepath.Join(d.data, seal.KeyFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was made for no data: %v", err)
	}
	text := strings.TrimSpace(d.must(t, "token", "create", "--name", "before"))
	if got := d.must(t, "backup", "create", "--verify", file); !strings.Contains(got, "read again and is whole") {
		t.Errorf("%q", got)
	}
	if _, err := d.run(t, "backup", "create", file); !domain.Is(err, domain.Conflict) {
		t.Errorf("a backup was overwritten unasked: %v", err)
	}
	if got := d.must(t, "backup", "create", "--force", "--no-metrics", file); !strings.Contains(got, "The backup "+file+" has ") {
		t.Errorf("%q", got)
	}
	if got := d.must(t, "backup", "verify", file); !strings.Contains(got, "is whole: 0 hosts and 0 VMs") || !strings.Contains(got, "written by test") {
		t.Errorf("%q", got)
	}

	// Into the same directory: only when asked, and what was there stays beside it.
	after := strings.TrimSpace(d.must(t, "token", "create", "--name", "after"))
	if _, err := d.run(t, "backup", "restore", file); !domain.Is(err, domain.Conflict) {
		t.Errorf("a directory that is not empty was replaced unasked: %v", err)
	}
	got := d.must(t, "backup", "restore", "--force", file)
	if !strings.Contains(got, d.data+" is restored: 0 hosts and 0 VMs") || !strings.Contains(got, "What was there before is in "+d.data+".before-") {
		t.Errorf("%q", got)
	}
	if _, err := d.subject(t, text); err != nil {
		t.Errorf("a token of before: %v", err)
	}
	if _, err := d.subject(t, after); !domain.Is(err, domain.Unauthenticated) {
		t.Errorf("a token of after the backup: %v", err)
	}

	// Into a new directory: the backup has no key, so one has to be named.
	key := filepath.Join(d.data, seal.KeyFile)
	fresh := &desk{data: filepath.Join(t.TempDir(), "fresh")}
	if _, err := fresh.run(t, "backup", "restore", "--key", filepath.Join(t.TempDir(), "none"), file); !domain.Is(err, domain.Invalid) {
		t.Errorf("with a key that is not there: %v", err)
	}
	fresh.must(t, "backup", "restore", "--key", key, file)
	if _, err := fresh.subject(t, text); err != nil {
		t.Errorf("a token in the new directory: %v", err)
	}
}
