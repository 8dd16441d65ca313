// Package rfb speaks the opening of VNC's protocol (RFC 6143) on both sides: it signs in to a guest's screen with a password, and shows
// the viewer a server that asks for none. So a password never reaches a browser.
//
// It is not for pixels: once both openings are done, bytes pass through untouched.
package rfb

import (
	"crypto/des" // #nosec G502 -- VNC's challenge is DES by definition; the password is used once and expires
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"sync"
)

// Security types of RFC 6143 and the registry.
const (
	securityInvalid = 0
	securityNone    = 1
	securityVNC     = 2
)

const (
	versionLen = 12
	maxReason  = 4096
)

// ErrNotVNC means that what answers is not a VNC server.
var ErrNotVNC = errors.New("not a VNC server")

// AuthError is a server that did not let us in.
type AuthError struct{ Reason string }

func (e *AuthError) Error() string { return "the VNC server refused the password: " + e.Reason }

// SecurityError is a server that offers only ways to sign in that are not spoken here.
type SecurityError struct{ Offered []byte }

func (e *SecurityError) Error() string {
	return fmt.Sprintf("the VNC server offers only the security types %v", e.Offered)
}

// SignIn does the client's part of the opening, up to the point where the server waits for ClientInit. password is asked for only
// when the server wants one.
func SignIn(c io.ReadWriter, password func() (string, error)) error {
	var hello [versionLen]byte
	if _, err := io.ReadFull(c, hello[:]); err != nil {
		return err
	}
	var major, minor int
	if n, err := fmt.Sscanf(string(hello[:]), "RFB %03d.%03d\n", &major, &minor); n != 2 || err != nil {
		return ErrNotVNC
	}
	switch { // only these three exist; others are to be taken as the next lower one
	case major > 3 || minor >= 8:
		minor = 8
	case minor == 7:
	default:
		minor = 3
	}
	if _, err := fmt.Fprintf(c, "RFB 003.%03d\n", minor); err != nil {
		return err
	}
	kind, err := chooseSecurity(c, minor)
	if err != nil {
		return err
	}
	if kind == securityVNC {
		if err := answerChallenge(c, password); err != nil {
			return err
		}
	}
	if kind == securityNone && minor < 8 {
		return nil // there is no result to wait for
	}
	var result [4]byte
	if _, err := io.ReadFull(c, result[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(result[:]) == 0 {
		return nil
	}
	if minor < 8 {
		return &AuthError{"no reason was given"}
	}
	return &AuthError{readReason(c)}
}

func chooseSecurity(c io.ReadWriter, minor int) (byte, error) {
	if minor == 3 { // the server decides
		var kind [4]byte
		if _, err := io.ReadFull(c, kind[:]); err != nil {
			return 0, err
		}
		switch k := binary.BigEndian.Uint32(kind[:]); k {
		case securityInvalid:
			return 0, &AuthError{readReason(c)}
		case securityNone, securityVNC:
			return byte(k), nil
		default:
			return 0, &SecurityError{[]byte{byte(k)}} // #nosec G115 -- only told in the error; the registered types are below 256
		}
	}
	var n [1]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		return 0, err
	}
	if n[0] == 0 {
		return 0, &AuthError{readReason(c)}
	}
	kinds := make([]byte, n[0])
	if _, err := io.ReadFull(c, kinds); err != nil {
		return 0, err
	}
	for _, kind := range []byte{securityNone, securityVNC} {
		if slices.Contains(kinds, kind) {
			_, err := c.Write([]byte{kind})
			return kind, err
		}
	}
	return 0, &SecurityError{kinds}
}

func readReason(r io.Reader) string {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return "no reason was given"
	}
	b := make([]byte, min(binary.BigEndian.Uint32(n[:]), maxReason))
	if _, err := io.ReadFull(r, b); err != nil {
		return "no reason was given"
	}
	return string(b)
}

// answerChallenge encrypts the server's 16 bytes with the password.
func answerChallenge(c io.ReadWriter, password func() (string, error)) error {
	var challenge [16]byte
	if _, err := io.ReadFull(c, challenge[:]); err != nil {
		return err
	}
	pw, err := password()
	if err != nil {
		return err
	}
	answer, err := encrypt(challenge, pw)
	if err != nil {
		return err
	}
	_, err = c.Write(answer[:])
	return err
}

// encrypt is DES with the first eight bytes of the password as the key, each byte with its bits reversed (a habit of the first
// implementation that became the protocol).
func encrypt(challenge [16]byte, password string) ([16]byte, error) {
	var key [8]byte
	copy(key[:], password)
	for i := range key {
		key[i] = bits.Reverse8(key[i])
	}
	var out [16]byte
	block, err := des.NewCipher(key[:]) // #nosec G405 -- VNC's challenge, as above
	if err != nil {
		return out, err
	}
	block.Encrypt(out[:8], challenge[:8])
	block.Encrypt(out[8:], challenge[8:])
	return out, nil
}

// Stages of the viewer's opening.
const (
	wantVersion = iota
	wantSecurity
	through
)

// viewer is the server that a viewer sees: its opening is played here, everything after it is the guest's screen.
type viewer struct {
	screen io.ReadWriteCloser

	mu    sync.Mutex
	cond  *sync.Cond
	out   []byte // for the viewer, from the opening
	in    []byte // from the viewer, an unfinished message of the opening
	stage int
	err   error
}

// Open puts an opening without password in front of a screen that SignIn was done on: what is returned is at the very start of the protocol.
func Open(screen io.ReadWriteCloser) io.ReadWriteCloser {
	v := &viewer{screen: screen, out: []byte("RFB 003.008\n")}
	v.cond = sync.NewCond(&v.mu)
	return v
}

func (v *viewer) Read(p []byte) (int, error) {
	v.mu.Lock()
	for len(v.out) == 0 && v.stage != through && v.err == nil {
		v.cond.Wait()
	}
	if len(v.out) > 0 {
		n := copy(p, v.out)
		v.out = v.out[n:]
		v.mu.Unlock()
		return n, nil
	}
	err := v.err
	v.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return v.screen.Read(p)
}

func (v *viewer) Write(p []byte) (int, error) {
	v.mu.Lock()
	if v.stage == through || v.err != nil {
		err := v.err
		v.mu.Unlock()
		if err != nil {
			return 0, err
		}
		return v.screen.Write(p)
	}
	v.in = append(v.in, p...)
	v.step()
	rest := []byte(nil)
	if v.stage == through {
		rest, v.in = v.in, nil
	}
	err := v.err
	v.cond.Broadcast()
	v.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if len(rest) > 0 {
		if _, err := v.screen.Write(rest); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// step consumes what has come in as far as it goes. The lock is held.
func (v *viewer) step() {
	if v.stage == wantVersion && len(v.in) >= versionLen {
		var major, minor int
		if n, err := fmt.Sscanf(string(v.in[:versionLen]), "RFB %03d.%03d\n", &major, &minor); n != 2 || err != nil || major != 3 {
			v.err = errors.New("the viewer does not speak VNC's protocol")
			return
		}
		v.in = v.in[versionLen:]
		if minor < 7 {
			v.out = binary.BigEndian.AppendUint32(v.out, securityNone)
			v.stage = through
			return
		}
		v.out = append(v.out, 1, securityNone)
		v.stage = wantSecurity
		if minor == 7 {
			v.stage = -wantSecurity // as wantSecurity, but without a result
		}
	}
	if (v.stage == wantSecurity || v.stage == -wantSecurity) && len(v.in) >= 1 {
		if v.in[0] != securityNone {
			v.err = errors.New("the viewer chose a security type that was not offered")
			return
		}
		v.in = v.in[1:]
		if v.stage == wantSecurity {
			v.out = binary.BigEndian.AppendUint32(v.out, 0)
		}
		v.stage = through
	}
}

// Close ends both sides.
func (v *viewer) Close() error {
	v.mu.Lock()
	if v.err == nil {
		v.err = io.EOF
	}
	v.cond.Broadcast()
	v.mu.Unlock()
	return v.screen.Close()
}
