package libvirt

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"novacron/domain"
)

// sshTransport reaches a daemon's unix socket through an SSH server, with our own client: no ssh program is needed here, and keys may
// come from the database without touching a file.
type sshTransport struct {
	uri     domain.HostURI
	user    string
	signers []ssh.Signer
	agent   string // the agent's socket, used when no key is given
	known   ssh.HostKeyCallback
	source  string // where the known hosts come from, in words
	file    string // where a new line would go; empty when the lines are stored with the host
}

func (d *dialer) home() string {
	if d.opt.HomeDir != "" {
		return d.opt.HomeDir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "/nonexistent" // no account directory: then there are no default files
	}
	return home
}

func newSSH(uri domain.HostURI, creds domain.HostCredentials, home string, t *trial) (transport, error) {
	x := &sshTransport{uri: uri, user: uri.User}
	if x.user == "" {
		x.user = "root"
		if u, err := user.Current(); err == nil {
			x.user = u.Username
		}
	}
	if err := x.readKeys(creds, home, t); err != nil {
		return nil, err
	}
	if err := x.readKnownHosts(creds, home, t); err != nil {
		return nil, err
	}
	return x, nil
}

func (x *sshTransport) readKeys(creds domain.HostCredentials, home string, t *trial) error {
	if creds.SSHKey != "" {
		s, err := ssh.ParsePrivateKey([]byte(creds.SSHKey))
		if err != nil {
			return badKey(t, "The SSH key", err)
		}
		x.signers = []ssh.Signer{s}
		return nil
	}
	if f := x.uri.Query.Get("keyfile"); f != "" {
		// #nosec G304 -- who may add hosts names the file, as in libvirt's own addresses; a key is only signed with, never shown
		b, err := os.ReadFile(f)
		if err != nil {
			return t.fail(stepSSHKey, domain.Invalid, err, "Check the path after keyfile= and that the account NovaCron runs as may read it.", "The key file %s cannot be read.", f)
		}
		s, err := ssh.ParsePrivateKey(b)
		if err != nil {
			return badKey(t, "The key in "+f, err)
		}
		x.signers = []ssh.Signer{s}
		return nil
	}
	x.agent = os.Getenv("SSH_AUTH_SOCK")
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		b, err := os.ReadFile(filepath.Join(home, ".ssh", name)) // #nosec G304 -- three fixed names in the account's own .ssh
		if err != nil {
			continue // the usual case: not every kind of key exists
		}
		if s, err := ssh.ParsePrivateKey(b); err == nil { // one with a passphrase is the agent's business
			x.signers = append(x.signers, s)
		}
	}
	if len(x.signers) == 0 && x.agent == "" {
		return t.fail(stepSSHKey, domain.Invalid, nil, "Paste a private key without a passphrase, or put one into ~/.ssh of the account NovaCron runs as.", "There is no SSH key to sign in with.")
	}
	return nil
}

func badKey(t *trial, what string, err error) error {
	if _, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok {
		return badCred(t, stepSSHKey, "ssh_key", what+" is protected by a passphrase.", "a key without one (ssh-keygen -p takes it away)", err)
	}
	return badCred(t, stepSSHKey, "ssh_key", what+" is not a private key in OpenSSH or PEM form.", "text that starts with -----BEGIN OPENSSH PRIVATE KEY-----", err)
}

func (x *sshTransport) readKnownHosts(creds domain.HostCredentials, home string, t *trial) error {
	if noVerify(x.uri) || x.uri.Query.Get("known_hosts_verify") == "ignore" {
		x.known = func(string, net.Addr, ssh.PublicKey) error { return nil }
		x.source = "nothing: the host's key is NOT checked, as the URI asks"
		return nil
	}
	var files []string
	switch f := x.uri.Query.Get("known_hosts"); {
	case creds.KnownHosts != "":
		tmp, err := os.CreateTemp("", "known_hosts")
		if err != nil {
			return t.fail(stepHostKey, domain.Internal, err, "Check that the machine NovaCron runs on has room in its temporary directory.", "The known hosts could not be read.")
		}
		defer os.Remove(tmp.Name())
		_, err = tmp.WriteString(creds.KnownHosts)
		if err := errors.Join(err, tmp.Close()); err != nil {
			return t.fail(stepHostKey, domain.Internal, err, "Check that the machine NovaCron runs on has room in its temporary directory.", "The known hosts could not be read.")
		}
		files, x.source = []string{tmp.Name()}, "the known hosts given"
	case f != "":
		files, x.source, x.file = []string{f}, f, f
	default:
		x.file = filepath.Join(home, ".ssh", "known_hosts")
		x.source = x.file
		for _, f := range []string{x.file, "/etc/ssh/ssh_known_hosts"} {
			if _, err := os.Stat(f); err == nil {
				files = append(files, f)
			}
		}
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		return badCred(t, stepHostKey, "known_hosts", upper(x.source)+" cannot be read as known hosts.", "lines as ssh-keyscan prints them", err)
	}
	x.known = known
	return nil
}

// checkHostKey judges the key a host shows; a bad one is a failed step that says exactly what to add.
func (x *sshTransport) checkHostKey(t *trial, failed *error) ssh.HostKeyCallback {
	return func(addr string, remote net.Addr, key ssh.PublicKey) error {
		err := x.known(addr, remote, key)
		fingerprint := ssh.FingerprintSHA256(key)
		if err == nil {
			t.ok(stepHostKey, "%s key %s, checked against %s.", key.Type(), fingerprint, x.source)
			return nil
		}
		line := knownhosts.Line([]string{knownhosts.Normalize(addr)}, key)
		into := "paste this line into the host's known hosts"
		if x.file != "" {
			into = "add this line to " + x.file
		}
		bad, ok := errors.AsType[*knownhosts.KeyError](err)
		switch {
		case ok && len(bad.Want) == 0:
			*failed = t.fail(stepHostKey, domain.Invalid, err, "Compare the fingerprint with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub on the host). If it is right, "+into+": "+line,
				"The host's key is not known yet. It is %s, fingerprint %s.", key.Type(), fingerprint)
		case ok:
			*failed = t.fail(stepHostKey, domain.Invalid, err, "Find out why before going on: somebody may be in between. If the host was installed anew, remove its old line from "+x.source+" and "+into+": "+line,
				"The host's key is NOT the one that is known. It shows %s, fingerprint %s.", key.Type(), fingerprint)
		default:
			*failed = t.fail(stepHostKey, domain.Invalid, err, "Get the host a new key.", "The host's key %s is revoked in %s.", fingerprint, x.source)
		}
		return *failed
	}
}

// algorithms restricts the host key to the kinds that are known for addr; without it a server with several keys may show one that is not on file.
func (x *sshTransport) algorithms(addr string) []string {
	probe, err := ssh.NewPublicKey(probeKey)
	if err != nil {
		return nil
	}
	bad, ok := errors.AsType[*knownhosts.KeyError](x.known(addr, &net.TCPAddr{}, probe))
	if !ok {
		return nil
	}
	var out []string
	for _, k := range bad.Want {
		if k.Key.Type() == ssh.KeyAlgoRSA {
			out = append(out, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		}
		out = append(out, k.Key.Type())
	}
	return out
}

// dial connects and signs in.
func (x *sshTransport) dial(ctx context.Context, t *trial) (*ssh.Client, error) {
	port := cmp.Or(x.uri.Port, "22")
	raw, err := dialHost(ctx, t, x.uri.Host, port, "Start the SSH server on the host, and check the port.")
	if err != nil {
		return nil, err
	}
	var hostKeyErr error
	addr := net.JoinHostPort(x.uri.Host, port)
	signers, closeAgent := x.allSigners()
	defer closeAgent()
	conf := &ssh.ClientConfig{User: x.user, HostKeyCallback: x.checkHostKey(t, &hostKeyErr), HostKeyAlgorithms: x.algorithms(addr), Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)}}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	cc, chans, reqs, err := ssh.NewClientConn(raw, addr, conf)
	if !stop() && err == nil {
		_ = cc.Close()
		err = ctx.Err()
	}
	if err == nil {
		t.ok(stepSSHKey, "Signed in as %s.", x.user)
		return ssh.NewClient(cc, chans, reqs), nil
	}
	_ = raw.Close()
	var netErr net.Error
	switch seen := len(t.steps) > 0 && t.steps[len(t.steps)-1].Name == stepHostKey; {
	case hostKeyErr != nil:
		return nil, hostKeyErr
	case ctx.Err() != nil, errors.As(err, &netErr) && netErr.Timeout():
		return nil, t.fail(stepRoute, domain.Unavailable, err, "Check the port, and that the SSH server on the host is well.", "%s took the connection but did not answer as an SSH server in time.", addr)
	case seen:
		fix := "Add the public key to ~/.ssh/authorized_keys of " + x.user + " on the host."
		if len(signers) > 0 {
			fix = "Add this line to ~/.ssh/authorized_keys of " + x.user + " on the host: " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signers[0].PublicKey())))
		}
		return nil, t.fail(stepSSHKey, domain.Invalid, err, fix, "The host does not let %s in with our key.", x.user)
	}
	return nil, t.fail(stepRoute, domain.Unavailable, err, "Check the port: SSH servers listen on 22.", "%s does not answer as an SSH server.", addr)
}

// allSigners are the keys to try; an agent that cannot be asked just has none.
func (x *sshTransport) allSigners() ([]ssh.Signer, func()) {
	none := func() {}
	if x.agent == "" {
		return x.signers, none
	}
	c, err := net.Dial("unix", x.agent)
	if err != nil {
		return x.signers, none
	}
	held, err := agent.NewClient(c).Signers()
	if err != nil {
		_ = c.Close()
		return x.signers, none
	}
	return append(held, x.signers...), func() { _ = c.Close() }
}
