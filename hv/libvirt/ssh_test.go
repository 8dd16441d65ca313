package libvirt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"novacron/domain"
	"novacron/hv"
)

// sshKey makes a key and gives it as OpenSSH prints it, with its public line.
func sshKey(t *testing.T) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(key, "test")
	must(t, err)
	sshPub, err := ssh.NewPublicKey(pub)
	must(t, err)
	return string(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(sshPub))
}

// sshServer runs a private sshd on loopback that lets clientPub in; extra are lines of its configuration. It gives the port and the
// known_hosts line.
func sshServer(t *testing.T, clientPub string, extra ...string) (port, known string) {
	t.Helper()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		t.Fatal("sshd is needed (openssh-server): ", err)
	}
	must(t, os.MkdirAll("/run/sshd", 0o755)) // sshd's own: it refuses to start without
	dir := t.TempDir()
	hostKey, hostPub := sshKey(t)
	must(t, os.WriteFile(filepath.Join(dir, "host_key"), []byte(hostKey), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "authorized_keys"), []byte(clientPub), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	conf := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s/host_key\nAuthorizedKeysFile %s/authorized_keys\nPidFile none\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nUsePAM no\n%s\n",
		port, dir, dir, strings.Join(extra, "\n"))
	must(t, os.WriteFile(filepath.Join(dir, "sshd_config"), []byte(conf), 0o600))
	var out bytes.Buffer
	cmd := exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	cmd.Stderr = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(wait)
	for {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("sshd does not listen: ", out.String())
		}
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(hostPub))
	must(t, err)
	return port, knownhosts.Line([]string{knownhosts.Normalize("127.0.0.1:" + port)}, key)
}

func sshURI(t *testing.T, port, query string) string {
	me, err := user.Current()
	must(t, err)
	return "qemu+ssh://" + me.Username + "@127.0.0.1:" + port + "/system?" + query
}

func TestDialSSH(t *testing.T) {
	d := daemon(t)
	key, pub := sshKey(t)
	port, known := sshServer(t, pub)
	socket := "socket=" + d.Socket
	creds := domain.HostCredentials{SSHKey: key, KnownHosts: known}

	h := dialTarget(t, hv.Target{URI: sshURI(t, port, socket), Creds: creds})
	spec := haltSpec(t, d, "ssh")
	defined(t, h, spec)
	must(t, h.Start(ctxFor(t, wait), spec.UUID))
	s, err := h.Graphics(ctxFor(t, wait), spec.UUID)
	must(t, err)
	readFrame(t, s.Conn)
	s.Conn.Close()
	if !strings.Contains(s.Via, "SSH") || strings.Contains(s.Via, "password") {
		t.Errorf("via %q", s.Via)
	}
	if _, err := h.Screenshot(ctxFor(t, wait), spec.UUID); err != nil {
		t.Error(err)
	}

	t.Run("files of the account", func(t *testing.T) {
		home := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(home, ".ssh"), 0o700))
		must(t, os.WriteFile(filepath.Join(home, ".ssh", "id_ed25519"), []byte(key), 0o600))
		must(t, os.WriteFile(filepath.Join(home, ".ssh", "known_hosts"), []byte(known+"\n"), 0o600))
		t.Setenv("SSH_AUTH_SOCK", "")
		h, steps, err := NewDialer(Options{HomeDir: home}).Dial(ctxFor(t, wait), hv.Target{URI: sshURI(t, port, socket)})
		must(t, err)
		h.Close()
		t.Log(steps)
	})
	t.Run("files of the URI", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "key"), []byte(key), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "known"), []byte(known), 0o600))
		dialURI(t, sshURI(t, port, socket+"&keyfile="+dir+"/key&known_hosts="+dir+"/known"))
	})
	t.Run("forwarding forbidden", func(t *testing.T) {
		port, known := sshServer(t, pub, "AllowStreamLocalForwarding no", "AllowTcpForwarding no")
		creds := domain.HostCredentials{SSHKey: key, KnownHosts: known}
		h := dialTarget(t, hv.Target{URI: sshURI(t, port, socket), Creds: creds})
		must(t, h.Ping(ctxFor(t, wait)))
		if _, err := h.Graphics(ctxFor(t, wait), spec.UUID); !domain.Is(err, domain.Unavailable) {
			t.Errorf("screen without forwarding: %v", err)
		}
	})

	otherKey, otherPub := sshKey(t)
	_, otherKnown := sshServer(t, pub)
	_, otherLine, _ := strings.Cut(otherKnown, " ")
	name, _, _ := strings.Cut(known, " ")
	for _, c := range []struct {
		name, port, query string
		creds             domain.HostCredentials
		step              string
		code              domain.Code
		words             []string
	}{
		{"unknown host key", port, socket, domain.HostCredentials{SSHKey: key, KnownHosts: "# none\n"}, stepHostKey, domain.Invalid, []string{"not known yet", "SHA256:", known}},
		{"changed host key", port, socket, domain.HostCredentials{SSHKey: key, KnownHosts: name + " " + otherLine}, stepHostKey, domain.Invalid, []string{"NOT the one", "SHA256:"}},
		{"unreadable known hosts", port, socket, domain.HostCredentials{SSHKey: key, KnownHosts: "one two three"}, stepHostKey, domain.Invalid, []string{"cannot be read"}},
		{"wrong key", port, socket, domain.HostCredentials{SSHKey: otherKey, KnownHosts: known}, stepSSHKey, domain.Invalid, []string{"does not let", "authorized_keys", strings.TrimSpace(otherPub)}},
		{"no key at all", port, socket, domain.HostCredentials{SSHKey: "hello", KnownHosts: known}, stepSSHKey, domain.Invalid, []string{"not a private key"}},
		{"missing key file", port, socket + "&keyfile=/no/such/key", domain.HostCredentials{KnownHosts: known}, stepSSHKey, domain.Invalid, []string{"/no/such/key"}},
		{"no daemon", port, "socket=/no/such/socket", creds, stepDaemon, domain.Unavailable, []string{"/no/such/socket", "libvirt-daemon-system"}},
		{"not SSH", strconv.Itoa(d.TCPPort), socket, creds, stepRoute, domain.Unavailable, []string{"SSH server"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, steps, err := newTestDialer(t).Dial(ctxFor(t, 5*time.Second), hv.Target{URI: sshURI(t, c.port, c.query), Creds: c.creds})
			if err == nil {
				h.Close()
			}
			wantStep(t, steps, err, c.step, c.code, c.words...)
			t.Log(steps)
		})
	}
}
