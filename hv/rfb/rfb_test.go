package rfb

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
)

// pair gives both ends of a connection in memory.
func pair(t *testing.T) (client, server net.Conn) {
	client, server = net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(r, b); err != nil || string(b) != want {
		t.Errorf("got %q (%v), want %q", b, err, want)
	}
}

// A well-known pair of password and challenge, from the DES known-answer form of the protocol: the answer must decrypt to the challenge.
func TestEncryptIsDESWithReversedBits(t *testing.T) {
	var challenge [16]byte
	copy(challenge[:], "0123456789abcdef")
	a, err := encrypt(challenge, "password")
	if err != nil {
		t.Fatal(err)
	}
	b, err := encrypt(challenge, "password-and-more")
	if err != nil {
		t.Fatal(err)
	}
	if a != b {
		t.Error("only eight characters count")
	}
	zero, err := encrypt([16]byte{}, "")
	if err != nil {
		t.Fatal(err)
	}
	// DES of an all-zero block under an all-zero key: the first vector of NBS Special Publication 500-20.
	if got := hex.EncodeToString(zero[:8]); got != "8ca64de9c1b123a7" {
		t.Errorf("zero vector %s", got)
	}
	// Key 80 00 00 00 00 00 00 00 is the password byte 01: variable-key vector 1 of the same publication.
	one, err := encrypt([16]byte{}, "\x01")
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(one[:8]); got != "95a8d72813daa94d" {
		t.Errorf("reversed key vector %s", got)
	}
}

func TestSignIn(t *testing.T) {
	challenge := "0123456789abcdef"
	var c [16]byte
	copy(c[:], challenge)
	answer, err := encrypt(c, "secret")
	if err != nil {
		t.Fatal(err)
	}
	refused := func(err error) bool { _, ok := errors.AsType[*AuthError](err); return ok }
	for name, c := range map[string]struct {
		server func(t *testing.T, s net.Conn)
		ok     func(error) bool
	}{
		"3.8 none": {func(t *testing.T, s net.Conn) {
			io.WriteString(s, "RFB 003.008\n")
			expect(t, s, "RFB 003.008\n")
			s.Write([]byte{2, 2, 1})
			expect(t, s, "\x01")
			s.Write([]byte{0, 0, 0, 0})
		}, func(err error) bool { return err == nil }},
		"3.8 password": {func(t *testing.T, s net.Conn) {
			io.WriteString(s, "RFB 003.889\n") // some servers count further
			expect(t, s, "RFB 003.008\n")
			s.Write([]byte{1, 2})
			expect(t, s, "\x02")
			io.WriteString(s, challenge)
			expect(t, s, string(answer[:]))
			s.Write([]byte{0, 0, 0, 0})
		}, func(err error) bool { return err == nil }},
		"3.8 refused": {func(t *testing.T, s net.Conn) {
			io.WriteString(s, "RFB 003.008\n")
			expect(t, s, "RFB 003.008\n")
			s.Write([]byte{1, 2})
			expect(t, s, "\x02")
			io.WriteString(s, challenge)
			expect(t, s, string(answer[:]))
			io.WriteString(s, "\x00\x00\x00\x01\x00\x00\x00\x04late")
		}, func(err error) bool { return refused(err) && bytes.Contains([]byte(err.Error()), []byte("late")) }},
		"3.7 none": {func(t *testing.T, s net.Conn) {
			io.WriteString(s, "RFB 003.007\n")
			expect(t, s, "RFB 003.007\n")
			s.Write([]byte{1, 1})
			expect(t, s, "\x01")
		}, func(err error) bool { return err == nil }},
		"3.7 refused": {func(t *testing.T, s net.Conn) {
			io.WriteString(s, "RFB 003.007\n")
			expect(t, s, "RFB 003.007\n")
			s.Write([]byte{1, 2})
			expect(t, s, "\x02")
			io.WriteString(s, challenge)
			expect(t, s, string(answer[:]))
			s.Write([]byte{0, 0, 0, 1})
		}, refused},
		"3.3 password": {func(t *testing.T, s net.Conn) {
			io.WriteString(s, "RFB 003.003\n")
			expect(t, s, "RFB 003.003\n")
			s.Write([]byte{0, 0, 0, 2})
			io.WriteString(s, challenge)
			expect(t, s, string(answer[:]))
			s.Write([]byte{0, 0, 0, 0})
		}, func(err error) bool { return err == nil }},
		"3.3 none at all": {func(t *testing.T, s net.Conn) {
			io.WriteString(s, "RFB 003.003\n")
			expect(t, s, "RFB 003.003\n")
			io.WriteString(s, "\x00\x00\x00\x00\x00\x00\x00\x04busy")
		}, refused},
		"3.3 other kind": {func(t *testing.T, s net.Conn) {
			io.WriteString(s, "RFB 003.003\n")
			expect(t, s, "RFB 003.003\n")
			s.Write([]byte{0, 0, 0, 16})
		}, func(err error) bool { _, ok := errors.AsType[*SecurityError](err); return ok && err.Error() != "" }},
		"no kinds": {func(t *testing.T, s net.Conn) {
			io.WriteString(s, "RFB 003.008\n")
			expect(t, s, "RFB 003.008\n")
			io.WriteString(s, "\x00\x00\x00\x00\x04full")
		}, refused},
		"only VeNCrypt": {func(t *testing.T, s net.Conn) {
			io.WriteString(s, "RFB 003.008\n")
			expect(t, s, "RFB 003.008\n")
			s.Write([]byte{1, 19})
		}, func(err error) bool { e, ok := errors.AsType[*SecurityError](err); return ok && e.Offered[0] == 19 }},
		"not VNC": {func(t *testing.T, s net.Conn) { io.WriteString(s, "SSH-2.0-Open\n") }, func(err error) bool { return errors.Is(err, ErrNotVNC) }},
		"closed":  {func(t *testing.T, s net.Conn) {}, func(err error) bool { return errors.Is(err, io.EOF) }},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			done := make(chan struct{})
			go func() { defer close(done); defer server.Close(); c.server(t, server) }()
			if err := SignIn(client, func() (string, error) { return "secret", nil }); !c.ok(err) {
				t.Errorf("unexpected result: %v", err)
			}
			client.Close()
			<-done
		})
	}
}

func TestSignInGivesUpWithoutPassword(t *testing.T) {
	client, server := pair(t)
	none := errors.New("no password today")
	go func() {
		io.WriteString(server, "RFB 003.003\n")
		io.CopyN(io.Discard, server, 12)
		io.WriteString(server, "\x00\x00\x00\x020123456789abcdef")
	}()
	if err := SignIn(client, func() (string, error) { return "", none }); !errors.Is(err, none) {
		t.Errorf("got %v", err)
	}
}

func TestOpenShowsAServerWithoutPassword(t *testing.T) {
	for name, c := range map[string]struct{ version, after, then string }{
		"3.8": {"RFB 003.008\n", "\x01\x01", "\x00\x00\x00\x00"},
		"3.7": {"RFB 003.007\n", "\x01\x01", ""},
		"3.3": {"RFB 003.003\n", "\x00\x00\x00\x01", ""},
	} {
		t.Run(name, func(t *testing.T) {
			screen, server := pair(t)
			v := Open(screen)
			expect(t, v, "RFB 003.008\n")
			go func() { // in pieces, with what follows on its heels
				io.WriteString(v, c.version[:5])
				io.WriteString(v, c.version[5:])
				if name != "3.3" {
					io.WriteString(v, "\x01\x01") // the choice, and ClientInit with it
				} else {
					io.WriteString(v, "\x01")
				}
				io.WriteString(v, "more")
			}()
			expect(t, v, c.after+c.then)
			expect(t, server, "\x01more")
			go io.WriteString(server, "pixels")
			expect(t, v, "pixels")
			v.Close()
			if _, err := v.Read(make([]byte, 1)); err == nil {
				t.Error("reading goes on after Close")
			}
			if _, err := v.Write([]byte{1}); err == nil {
				t.Error("writing goes on after Close")
			}
		})
	}
}

func TestOpenRefusesStrangers(t *testing.T) {
	for _, say := range []string{"GET / HTTP/1.1\r\n", "RFB 003.008\n\x02", "RFB 004.001\n"} {
		screen, _ := pair(t)
		v := Open(screen)
		if _, err := io.WriteString(v, say); err == nil {
			t.Errorf("%q is taken", say)
		}
		if _, err := io.ReadAll(v); err == nil {
			t.Errorf("after %q reading goes on", say)
		}
	}
}

func TestOpenReaderWakesOnClose(t *testing.T) {
	screen, _ := pair(t)
	v := Open(screen)
	expect(t, v, "RFB 003.008\n")
	done := make(chan error, 1)
	go func() { _, err := v.Read(make([]byte, 1)); done <- err }()
	v.Close()
	if err := <-done; err == nil {
		t.Error("no error after Close")
	}
}
