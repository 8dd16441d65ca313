// The command line: what can be asked of the binary, and the commands that need no server.

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/db/seal"
	"novacron/domain"
)

func commands() *cobra.Command {
	root := &cobra.Command{
		Use:   "novacron",
		Short: "Run and manage virtual machines on hosts that libvirt drives",
		Long: `NovaCron runs and manages virtual machines on hosts that libvirt drives, from the browser
and by an HTTP API. Nothing is installed on the hosts: it speaks libvirt's own protocol.

Start it with "novacron serve" and open the address that it prints.`,
		Example: `  novacron serve                                  on :8080, data in ./data, with this machine as the first host
  novacron serve --listen 127.0.0.1:9000 --data /var/lib/novacron
  novacron token create --data /var/lib/novacron --name ci
  novacron user reset-password admin --data /var/lib/novacron`,
		SilenceErrors: true, SilenceUsage: true,
		Version: buildVersion(),
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return domain.Errorf(domain.Invalid, "%s", err.Error()).WithFix("See %s --help.", cmd.CommandPath())
	})
	root.SetVersionTemplate("novacron {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(serveCommand(), tokenCommand(), userCommand(), auditCommand(), adminCommand(), secretsCommand(), &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "novacron "+buildVersion()) },
	})
	return root
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return version + " (" + info.GoVersion + ")"
	}
	return version
}

// dataFlags are what every command takes.
func dataFlags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String("data", defaults.Data, "data directory: an SQLite database and the image library ["+envName("data")+"]")
	cmd.Flags().String("config", "", "YAML file with any of the flags of serve as keys ["+envName("config")+"]")
	return cmd
}

func serveCommand() *cobra.Command {
	cmd := dataFlags(&cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server until SIGTERM or SIGINT. A second signal ends it at once.

The first start makes the account "admin" and prints its one-time password, once, here. With
--local-host (the default) the first start also connects this machine's own libvirt,
qemu:///system, as the first host.

Each setting can be given as a flag, as an environment variable (its name stands in brackets) or
as a key of the file that --config names, such as "log-level: debug". A flag wins over a
variable, a variable over the file. A list is separated by commas in a variable.

Logs go to standard error; the address and the first password to standard output.`,
		Example: `  novacron serve
  novacron serve --data /var/lib/novacron --listen 127.0.0.1:8080 --trusted-proxy 127.0.0.1 --secure-cookies
  NOVACRON_LISTEN=:9000 novacron serve --local-host=false --log-format json
  novacron serve --config /etc/novacron.yaml --tls-cert cert.pem --tls-key key.pem --listen :443`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := load(cmd)
			if err != nil {
				return err
			}
			log, err := cfg.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			for _, name := range warnings {
				log.Warn("this environment variable sets nothing", "name", name)
			}
			return serve(cmd.Context(), cfg, log, cmd.OutOrStdout())
		},
	})
	f := cmd.Flags()
	set := func(name, text string) string { return text + " [" + envName(name) + "]" }
	f.String("listen", defaults.Listen, set("listen", "address and port to serve on"))
	f.Bool("local-host", defaults.LocalHost, set("local-host", "connect this machine's qemu:///system as the first host on first start"))
	f.String("demo-dir", defaults.DemoDir, set("demo-dir", "where the demo guest's vmlinuz and initrd.gz are, offered for new VMs on this machine"))
	f.String("tls-cert", "", set("tls-cert", "certificate (PEM, with its chain) to serve HTTPS with; read anew when it changes"))
	f.String("tls-key", "", set("tls-key", "key (PEM) of the certificate"))
	f.StringSlice("acme-domain", nil, set("acme-domain", "name of this server, to get a certificate for by ACME; may be given several times"))
	f.String("acme-directory", "", set("acme-directory", "directory of the ACME authority; without it Let's Encrypt's"))
	f.String("acme-ca", "", set("acme-ca", "file of authorities (PEM) that the directory's own certificate is from; without it the system's"))
	f.String("acme-email", "", set("acme-email", "whom the ACME authority may write to"))
	f.String("acme-http", "", set("acme-http", "address and port, such as :80, for the challenge http-01 and for sending visitors to HTTPS; without it the challenge is tls-alpn-01"))
	f.Bool("secure-cookies", false, set("secure-cookies", "a proxy in front serves HTTPS: let browsers send the session over HTTPS only"))
	f.StringSlice("trusted-proxy", nil, set("trusted-proxy", "address or network of a proxy whose X-Forwarded-For is believed; may be given several times"))
	f.Duration("retention", defaults.Retention, set("retention", "how long events and ended jobs are kept"))
	f.Duration("metrics-retention", defaults.Metrics, set("metrics-retention", "how long samples of what is measured are kept"))
	f.Duration("audit-retention", defaults.AuditRetention, set("audit-retention", "how long rows of the audit log are kept; 0: for good"))
	f.StringSlice("audit-syslog", nil, set("audit-syslog", "where the audit log is sent to as it grows, as syslog: udp://, tcp:// or tls:// with host:port; may be given several times"))
	f.Bool("fetch-local", false, set("fetch-local", "let images be fetched from addresses of this machine and its network links too"))
	f.String("url", "", set("url", "address of this site as people type it, such as https://novacron.example.org; links in mail begin with it"))
	f.String("smtp", "", set("smtp", "mail server, for invitations and forgotten passwords: smtp://name@host:587 (STARTTLS), smtps://name@host or smtp+plain://localhost:25; its password is "+envName("smtp-password")))
	f.String("mail-from", "", set("mail-from", "sender of mail, such as “NovaCron <novacron@example.org>”"))
	f.String("seal-key-command", "", set("seal-key-command", "command that prints the key for secrets, such as one of a key service; without it the key is "+envName("seal-key")+" or seal.key in the data directory"))
	f.String("log-level", defaults.LogLevel, set("log-level", "debug, info, warn or error"))
	f.String("log-format", defaults.LogFormat, set("log-format", "text or json"))
	return cmd
}

// offline opens the database of a server, which may be running meanwhile, for one command.
func offline(cmd *cobra.Command, mayMake bool, do func(ctx context.Context, a *auth.Auth, actor string) error) error {
	return offlineDB(cmd, mayMake, func(ctx context.Context, _ *db.DB, a *auth.Auth, actor string) error { return do(ctx, a, actor) })
}

// offlineDB is offline for what reads the database itself.
func offlineDB(cmd *cobra.Command, mayMake bool, do func(ctx context.Context, d *db.DB, a *auth.Auth, actor string) error) error {
	cfg, _, err := load(cmd)
	if err != nil {
		return err
	}
	path := databaseFile(cfg.Data)
	if _, err := os.Stat(path); err != nil && !mayMake {
		return domain.Errorf(domain.NotFound, "There is no NovaCron data in %s.", cfg.Data).WithFix("Name the server's directory with --data.")
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))
	d, err := openDatabase(cmd.Context(), cfg, log)
	if err != nil {
		return err
	}
	who := "command line"
	if u, err := user.Current(); err == nil {
		who += " (" + u.Username + ")"
	}
	ctx := domain.WithCause(cmd.Context(), &domain.Cause{Actor: who, Proof: "command line", Asked: cmd.CommandPath()})
	return errors.Join(do(ctx, d, auth.New(d, log, time.Now, auth.Options{}), who), d.Close())
}

func tokenCommand() *cobra.Command {
	token := &cobra.Command{Use: "token", Short: "Make, list and revoke API tokens; works while the server runs"}
	create := dataFlags(&cobra.Command{
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
		return offline(cmd, true, func(ctx context.Context, a *auth.Auth, actor string) error {
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
	list := dataFlags(&cobra.Command{Use: "list", Short: "List API tokens", Args: cobra.NoArgs})
	list.RunE = func(cmd *cobra.Command, _ []string) error {
		return offline(cmd, false, func(ctx context.Context, a *auth.Auth, _ string) error {
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
	revoke := dataFlags(&cobra.Command{Use: "revoke ID", Short: "Revoke the API token with this id; it is refused from then on", Args: cobra.ExactArgs(1)})
	revoke.RunE = func(cmd *cobra.Command, args []string) error {
		return offline(cmd, false, func(ctx context.Context, a *auth.Auth, actor string) error { return a.RevokeToken(ctx, args[0], actor) })
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

func userCommand() *cobra.Command {
	users := &cobra.Command{Use: "user", Short: "Help people who cannot sign in; works while the server runs"}
	reset := dataFlags(&cobra.Command{
		Use:     "reset-password NAME",
		Short:   "Give an account a new one-time password and print it; its sessions end",
		Example: "  novacron user reset-password admin --data /var/lib/novacron", Args: cobra.ExactArgs(1),
	})
	reset.RunE = func(cmd *cobra.Command, args []string) error {
		return offline(cmd, false, func(ctx context.Context, a *auth.Auth, actor string) error {
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

func auditCommand() *cobra.Command {
	audit := &cobra.Command{Use: "audit", Short: "Check and export the audit log; works while the server runs"}
	verify := dataFlags(&cobra.Command{Use: "verify", Short: "Check that no row of the audit log was changed, taken out or put in; names the first that was", Args: cobra.NoArgs})
	verify.RunE = func(cmd *cobra.Command, _ []string) error {
		return offlineDB(cmd, false, func(ctx context.Context, d *db.DB, _ *auth.Auth, _ string) error {
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
	export := dataFlags(&cobra.Command{Use: "export", Short: "Print the audit log as JSON lines, newest first", Args: cobra.NoArgs})
	export.RunE = func(cmd *cobra.Command, _ []string) error {
		return offlineDB(cmd, false, func(ctx context.Context, d *db.DB, _ *auth.Auth, _ string) error {
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

func adminCommand() *cobra.Command {
	admin := &cobra.Command{Use: "admin", Short: "Get back in when nobody can; works while the server runs"}
	rescue := dataFlags(&cobra.Command{
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
		return offline(cmd, false, func(ctx context.Context, a *auth.Auth, actor string) error {
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

func secretsCommand() *cobra.Command {
	secrets := &cobra.Command{Use: "secrets", Short: "Change the key that secrets are sealed with; while the server is stopped"}
	rotate := dataFlags(&cobra.Command{
		Use: "rotate", Short: "Seal every secret with a new key", Args: cobra.NoArgs,
		Long: `Seal every secret with a new key: credentials of hosts, passphrases of volumes, second factors and
what first boots read. All are sealed anew or none is; the audit log stays as it can be verified.

With the key in the data directory a new one is made in its place, and the old one is gone. With a
key from NOVACRON_SEAL_KEY or from a command the new one is taken from ` + newKeyEnv + `; put it where
the old one is kept, then start the server. The server must be stopped.`,
		Example: "  novacron secrets rotate --data /var/lib/novacron",
	})
	rotate.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := load(cmd)
		if err != nil {
			return err
		}
		path := databaseFile(cfg.Data)
		if _, err := os.Stat(path); err != nil {
			return domain.Errorf(domain.NotFound, "There is no NovaCron data in %s.", cfg.Data).WithFix("Name the server's directory with --data.")
		}
		unlock, err := lockData(cfg.Data)
		if err != nil {
			return err
		}
		defer unlock()
		n, err := rotateSecrets(cmd.Context(), cfg, path, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError})))
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "%d secrets are sealed with the new key.\n", n)
		}
		return err
	}
	secrets.AddCommand(rotate)
	return secrets
}

// newKeyEnv is where a new key comes from when the old one does not lie in the data directory.
const newKeyEnv = envPrefix + "SEAL_KEY_NEW"

func rotateSecrets(ctx context.Context, cfg config, path string, log *slog.Logger) (n int, err error) {
	if os.Getenv(envName("seal-key")) == "" && cfg.SealKeyCommand == "" {
		return db.RotateKeyFile(ctx, path, log, time.Now)
	}
	text := os.Getenv(newKeyEnv)
	if text == "" {
		return 0, domain.Errorf(domain.Invalid, "There is no new key.").WithFix("Make one with head -c 32 /dev/urandom | base64, and give it as %s.", newKeyEnv)
	}
	box, err := seal.Load(cfg.Data, text)
	if err != nil {
		return 0, err
	}
	d, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return 0, err
	}
	n, err = d.Rotate(ctx, box)
	return n, errors.Join(err, d.Close())
}
