package offline

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"novacron/db/backup"
	"novacron/db/seal"
	"novacron/domain"
)

// Place is where a server's data is. Key gives the key for secrets: outside says that it does not come from the data directory.
type Place struct {
	Data string
	Key  func(ctx context.Context) (box *seal.Box, outside bool, err error)
}

// BackupCommand is the command that keeps a server's own state; find reads the flags of a command.
func BackupCommand(find func(cmd *cobra.Command) (Place, error), with Flags, version string) *cobra.Command {
	root := &cobra.Command{Use: "backup", Short: "Keep the server's own state in a file, and get it back; works while the server runs"}
	options := func(cmd *cobra.Command) backup.Options {
		return backup.Options{Program: version, Clock: time.Now, Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))}
	}
	create := with(&cobra.Command{
		Use: "create FILE", Short: "Write the server's state into a file; the server may be running", Args: cobra.ExactArgs(1),
		Long: `Write the server's own state into one file, a tar packed with gzip: the database as of one moment,
and the samples of what is measured. The server may be running. The file appears under its name
only when it is whole; a manifest of checksums ends it.

The key that secrets are sealed with (seal.key) is not in it unless --with-keys asks: who has the
file and the key can read every secret. Keep the key elsewhere; a restore needs it. The image
library is not in it unless --images asks, and disks of VMs never are.`,
		Example: "  novacron backup create --data /var/lib/novacron --verify /backup/novacron-$(date +%F).tar.gz",
	})
	f := create.Flags()
	noMetrics := f.Bool("no-metrics", false, "leave the samples of what is measured out")
	images := f.Bool("images", false, "take the files of the image library, too")
	keys := f.Bool("with-keys", false, "take the key for secrets and the keys of certificates, too; keep the file as safe as they are")
	verify := f.Bool("verify", false, "read the file again and check it as a restore would")
	force := f.Bool("force", false, "replace a file of that name")
	create.RunE = func(cmd *cobra.Command, args []string) error {
		at, err := find(cmd)
		if err != nil {
			return err
		}
		o := options(cmd)
		o.NoMetrics, o.Images, o.Keys, o.Replace = *noMetrics, *images, *keys, *force
		if _, err := os.Stat(filepath.Join(at.Data, "novacron.db")); err != nil { // before a key is made for it
			return domain.Errorf(domain.NotFound, "There is no NovaCron data in %s.", at.Data).WithFix("Name the server's directory with --data.")
		}
		if o.Box, _, err = at.Key(cmd.Context()); err != nil {
			return err
		}
		m, err := backup.Create(cmd.Context(), at.Data, args[0], o)
		if err == nil && *verify {
			m, err = backup.Verify(cmd.Context(), args[0], filepath.Dir(args[0]), o)
		}
		if err != nil {
			return err
		}
		word := "The backup %s has %s.\n"
		if *verify {
			word = "The backup %s was read again and is whole. It has %s.\n"
		}
		fmt.Fprintf(cmd.OutOrStdout(), word, args[0], m)
		return nil
	}
	check := &cobra.Command{
		Use: "verify FILE", Short: "Check a backup: its checksums, that its database is whole and of a schema that is known", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := backup.Verify(cmd.Context(), args[0], filepath.Dir(args[0]), options(cmd))
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The backup %s is whole: %d hosts and %d VMs, schema %d, written by %s. It has %s.\n", args[0], m.Hosts, m.VMs, m.Schema, m.Program, m)
			return nil
		},
	}
	restore := with(&cobra.Command{
		Use: "restore FILE", Short: "Make a data directory of a backup; the server must be stopped", Args: cobra.ExactArgs(1),
		Long: `Make a data directory of a backup. Everything is checked before anything is put in place: checksums,
the database, its schema, and that the key opens its secrets. The directory is the former or the
restored one at every moment.

A directory that is not empty is replaced only with --force; the former one is kept beside it under
a name that ends in .before-… and the time. What the backup leaves out, images and certificates,
stays. A directory that a server runs on is refused.

The key for secrets comes from --key, from NOVACRON_SEAL_KEY or the key command, or from the directory that is
replaced.`,
		Example: "  novacron backup restore --data /var/lib/novacron --key /safe/seal.key /backup/novacron-2026-11-23.tar.gz",
	})
	rf := restore.Flags()
	key := rf.String("key", "", "file of the key for secrets, when the backup was made without")
	without := rf.Bool("without-key", false, "put the key into the data directory later, before the server is started")
	replace := rf.Bool("force", false, "put it in the place of a directory that is not empty, which is kept beside it")
	restore.RunE = func(cmd *cobra.Command, args []string) error {
		at, err := find(cmd)
		if err != nil {
			return err
		}
		in := backup.Into{Options: options(cmd), KeyFile: *key, WithoutKey: *without}
		in.Replace = *replace
		if *key == "" {
			box, outside, err := at.Key(cmd.Context())
			if err != nil {
				return err
			}
			if outside {
				in.Box, in.KeyOutside = box, true
			}
		}
		r, err := backup.Restore(cmd.Context(), args[0], at.Data, in)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is restored: %d hosts and %d VMs, from a backup of %s by %s.\n", at.Data, r.Hosts, r.VMs, r.MadeAt.Format(time.RFC3339), r.Program)
		if r.Before != "" {
			fmt.Fprintf(cmd.OutOrStdout(), "What was there before is in %s.\n", r.Before)
		}
		if len(r.Kept) > 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "The backup does not have these, and they stay: %s.\n", strings.Join(r.Kept, ", "))
		}
		return nil
	}
	root.AddCommand(create, check, restore)
	return root
}
