// Package offline has the commands that work on a server's data directory and need no server: tokens, accounts, the audit log, and the way back in
// when nobody can sign in.
//
// It is not for what needs a running server, nor for how the directory is found: that is main's.
package offline

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// Opener opens the database that a command's flags name and lets do work on it; mayMake allows that there is none yet.
type Opener func(cmd *cobra.Command, mayMake bool, do func(ctx context.Context, d *db.DB, a *auth.Auth, actor string) error) error

// Flags gives a command the flags that say where the data is.
type Flags func(cmd *cobra.Command) *cobra.Command

// Commands are the commands, to be put below the root.
func Commands(open Opener, with Flags) []*cobra.Command {
	return []*cobra.Command{tokenCommand(open, with), userCommand(open, with), auditCommand(open, with), adminCommand(open, with)}
}

func tokenCommand(open Opener, with Flags) *cobra.Command {
	token := &cobra.Command{Use: "token", Short: "Make, list and revoke API tokens; works while the server runs"}
	create := with(&cobra.Command{
		Use:     "create --name NAME",
		Short:   "Make an API token and print it, alone, on standard output; it is never shown again",
		Example: "  TOKEN=$(novacron token create --data /var/lib/novacron --name ci --expires 720h)\n  curl -H \"Authorization: Bearer $TOKEN\" http://localhost:8080/api/v1/vms",
		Args:    cobra.NoArgs,
	})
	name := create.Flags().String("name", "", "what the token is for, such as ci (needed)")
	role := create.Flags().String("role", access.Admin, "what it may do: "+strings.Join(access.Roles, ", ")+", or a role of your own")
	tenant := create.Flags().String("tenant", "", "the tenant that it works in, by id or name; empty: the whole estate")
	expires := create.Flags().Duration("expires", 0, "how long it is valid, such as 720h; 0: until it is revoked")
	create.RunE = func(cmd *cobra.Command, _ []string) error {
		var p domain.Problems
		auth.CheckTokenName(&p, "name", strings.TrimSpace(*name))
		if err := p.Err(); err != nil { // before anything is made for it
			return err
		}
		return open(cmd, true, func(ctx context.Context, _ *db.DB, a *auth.Auth, actor string) error {
			var until time.Time
			if *expires != 0 {
				until = time.Now().Add(*expires)
			}
			text, _, err := a.MakeToken(ctx, auth.Subject{Name: actor}, domain.Token{Name: *name, Role: *role, Tenant: *tenant, ExpiresAt: until})
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), text)
			}
			return err
		})
	}
	list := with(&cobra.Command{Use: "list", Short: "List API tokens", Args: cobra.NoArgs})
	list.RunE = func(cmd *cobra.Command, _ []string) error {
		return open(cmd, false, func(ctx context.Context, _ *db.DB, a *auth.Auth, _ string) error {
			toks, err := a.Tokens(ctx)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tNAME\tBEGINS\tROLE\tTENANT\tMADE BY\tMADE\tLAST USED\tEXPIRES")
			for _, t := range toks {
				fmt.Fprintf(w, "%s\t%s\t%s…\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.Prefix, cmp.Or(t.Role, "own"), cmp.Or(t.Tenant, "-"), t.CreatedBy, day(t.CreatedAt), day(t.LastUsed), day(t.ExpiresAt))
			}
			return w.Flush()
		})
	}
	revoke := with(&cobra.Command{Use: "revoke ID", Short: "Revoke the API token with this id; it is refused from then on", Args: cobra.ExactArgs(1)})
	revoke.RunE = func(cmd *cobra.Command, args []string) error {
		return open(cmd, false, func(ctx context.Context, _ *db.DB, a *auth.Auth, actor string) error {
			return a.RevokeToken(ctx, args[0], actor)
		})
	}
	token.AddCommand(create, list, revoke)
	return token
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

func userCommand(open Opener, with Flags) *cobra.Command {
	users := &cobra.Command{Use: "user", Short: "Help people who cannot sign in; works while the server runs"}
	reset := with(&cobra.Command{
		Use:     "reset-password NAME",
		Short:   "Give an account a new one-time password and print it; its sessions end",
		Example: "  novacron user reset-password admin --data /var/lib/novacron", Args: cobra.ExactArgs(1),
	})
	reset.RunE = func(cmd *cobra.Command, args []string) error {
		return open(cmd, false, func(ctx context.Context, _ *db.DB, a *auth.Auth, actor string) error {
			password, err := a.ResetPassword(ctx, args[0], actor)
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), password)
			}
			return err
		})
	}
	users.AddCommand(reset)
	return users
}

func auditCommand(open Opener, with Flags) *cobra.Command {
	audit := &cobra.Command{Use: "audit", Short: "Check and export the audit log; works while the server runs"}
	verify := with(&cobra.Command{Use: "verify", Short: "Check that no row of the audit log was changed, taken out or put in; names the first that was", Args: cobra.NoArgs})
	verify.RunE = func(cmd *cobra.Command, _ []string) error {
		return open(cmd, false, func(ctx context.Context, d *db.DB, _ *auth.Auth, _ string) error {
			found, err := d.VerifyAudit(ctx)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The audit log is as it was written: %d rows.\n", found.Rows)
			if found.Dropped > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "Rows up to %d left it by its retention before.\n", found.Dropped)
			}
			return nil
		})
	}
	export := with(&cobra.Command{Use: "export", Short: "Print the audit log as JSON lines, newest first", Args: cobra.NoArgs})
	export.RunE = func(cmd *cobra.Command, _ []string) error {
		return open(cmd, false, func(ctx context.Context, d *db.DB, _ *auth.Auth, _ string) error {
			enc := json.NewEncoder(cmd.OutOrStdout())
			for before := int64(0); ; {
				rows, err := d.AuditLog(ctx, db.AuditQuery{Before: before, Limit: 1000})
				if err != nil {
					return err
				}
				for _, r := range rows {
					if err := enc.Encode(r); err != nil {
						return err
					}
					before = r.Seq
				}
				if len(rows) == 0 {
					return nil
				}
			}
		})
	}
	audit.AddCommand(verify, export)
	return audit
}

func adminCommand(open Opener, with Flags) *cobra.Command {
	admin := &cobra.Command{Use: "admin", Short: "Get back in when nobody can; works while the server runs"}
	rescue := with(&cobra.Command{
		Use: "rescue [NAME]", Short: "Make an account a platform admin with a new one-time password and no second factors, and print the password",
		Long: `Make an account (admin, when none is named) a platform admin again: enabled, with a new one-time
password, which is printed, and without second factors. Its sessions end. An account that is not
there is made. It is written into the audit log.`,
		Example: "  novacron admin rescue --data /var/lib/novacron", Args: cobra.MaximumNArgs(1),
	})
	rescue.RunE = func(cmd *cobra.Command, args []string) error {
		name := auth.FirstAdmin
		if len(args) == 1 {
			name = args[0]
		}
		return open(cmd, false, func(ctx context.Context, _ *db.DB, a *auth.Auth, actor string) error {
			password, err := a.Rescue(ctx, name, actor)
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), password)
			}
			return err
		})
	}
	admin.AddCommand(rescue)
	return admin
}
