package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// SSH is what a client needs to log in to the lab's hosts as root.
type SSH struct {
	Key        string // private key that the hosts accept
	WrongKey   string // private key that they refuse
	KnownHosts string // names every host's address with its host key
	// WrongKnownHosts names every host's address with another key, as after a change of machine or in an attack.
	WrongKnownHosts string

	dir string
}

func newSSH(ctx context.Context, dir string, hosts []*Host) (*SSH, error) {
	s := &SSH{
		dir: dir, Key: filepath.Join(dir, "id"), WrongKey: filepath.Join(dir, "wrong"),
		KnownHosts: filepath.Join(dir, "known_hosts"), WrongKnownHosts: filepath.Join(dir, "wrong_known_hosts"),
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, key := range []string{s.Key, s.WrongKey, s.hostKey()} {
		if _, err := run(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", key); err != nil {
			return nil, err
		}
	}
	for file, key := range map[string]string{s.KnownHosts: s.hostKey(), s.WrongKnownHosts: s.WrongKey} {
		pub, err := os.ReadFile(key + ".pub")
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		for _, h := range hosts {
			fmt.Fprintf(&b, "%s %s", h.Addr, pub)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *SSH) hostKey() string { return filepath.Join(s.dir, "host") }

// config accepts the lab's key and nothing else, whatever the machine's own root account allows.
func (s *SSH) config(h *Host) string {
	return fmt.Sprintf(`Port 22
ListenAddress %s
HostKey %s
AuthorizedKeysFile %s.pub
PidFile /run/libvirt/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
AllowStreamLocalForwarding yes
`, h.Addr, s.hostKey(), s.Key)
}
