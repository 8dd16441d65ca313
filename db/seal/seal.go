// Package seal encrypts the few secrets that have to lie in the database: passphrases of volumes and what is needed to reach hosts. Who copies the database
// without the key, from a backup or a stolen disk, cannot read them.
//
// Each text is bound to a context (what it is, of which row): a sealed text that is moved to another row does not open. It is not for passwords of
// people, which are hashed in package auth, nor for what is secret only on the way.
package seal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"novacron/domain"
)

// KeyFile is the key's name in the data directory.
const KeyFile = "seal.key"

// mark begins every sealed text and says how it is sealed.
const mark = "seal:1:"

// Box seals and opens with one key. It is safe for use by many goroutines.
type Box struct {
	key [chacha20poly1305.KeySize]byte
}

// New makes a box of a key of 32 bytes.
func New(key []byte) (*Box, error) {
	if len(key) != chacha20poly1305.KeySize {
		return nil, domain.Errorf(domain.Invalid, "A seal key has %d bytes, and this one has %d.", chacha20poly1305.KeySize, len(key))
	}
	b := &Box{}
	copy(b.key[:], key)
	return b, nil
}

// Load gives the box of the key in text (base64), or, when that is empty, of the key file in dir, which is made at the first start.
func Load(dir, text string) (*Box, error) {
	if text != "" {
		return parse(text, "NOVACRON_SEAL_KEY", "")
	}
	file := filepath.Join(dir, KeyFile)
	raw, err := os.ReadFile(file) // #nosec G304 -- a name of ours in the data directory
	if errors.Is(err, fs.ErrNotExist) {
		return create(file)
	}
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "The seal key %s cannot be read: %w", file, err).WithFix("Let the account of the server read it, and nobody else.")
	}
	if st, err := os.Stat(file); err == nil && st.Mode().Perm()&0o077 != 0 {
		return nil, domain.Errorf(domain.Invalid, "Others than the server's account may read the seal key %s.", file).WithFix("Take that away: chmod 600 %s", file)
	}
	return parse(string(raw), file, "Put the key back from where it was kept. Without it the passphrases of volumes and the keys of hosts cannot be read.")
}

func parse(text, from, fix string) (*Box, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err == nil {
		var b *Box
		if b, err = New(key); err == nil {
			return b, nil
		}
	}
	if fix == "" {
		fix = "Make one with: head -c 32 /dev/urandom | base64"
	}
	return nil, domain.Errorf(domain.Invalid, "%s is not a seal key: 32 bytes in base64.", from).WithFix("%s", fix)
}

// create writes a new key beside its place and links it there, so that two starts at once agree on one and half a key is never read.
func create(file string) (*Box, error) {
	bad := func(err error) (*Box, error) {
		return nil, domain.Errorf(domain.Internal, "The seal key %s cannot be made: %w", file, err).WithFix("Check that the server's account may write to the data directory.")
	}
	key, text := newKey()
	f, err := os.CreateTemp(filepath.Dir(file), KeyFile+".*") // mode 0600
	if err != nil {
		return bad(err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return bad(err)
	}
	switch err := os.Link(f.Name(), file); {
	case errors.Is(err, fs.ErrExist):
		return Load(filepath.Dir(file), "")
	case err != nil:
		return bad(err)
	}
	return New(key)
}

func newKey() (key []byte, text string) {
	key = make([]byte, chacha20poly1305.KeySize)
	rand.Read(key)
	return key, base64.StdEncoding.EncodeToString(key)
}

// Sealed reports whether a text was made by Seal.
func Sealed(text string) bool { return strings.HasPrefix(text, mark) }

// Seal encrypts plain for the context.
func (b *Box) Seal(plain []byte, context string) (string, error) {
	aead, err := chacha20poly1305.NewX(b.key[:])
	if err != nil {
		return "", domain.Errorf(domain.Internal, "A secret could not be sealed: %w", err)
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	return mark + base64.RawStdEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, []byte(context))), nil
}

// Open decrypts what Seal made for the same context.
func (b *Box) Open(text, context string) ([]byte, error) {
	fix := "Start the server with the seal key that was there when it was written (seal.key in the data directory, or NOVACRON_SEAL_KEY)."
	bad := domain.Errorf(domain.Internal, "A sealed secret (%s) cannot be opened: it was sealed with another key, or altered.", context).WithFix("%s", fix)
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(text, mark))
	if err != nil || !Sealed(text) {
		return nil, bad
	}
	aead, err := chacha20poly1305.NewX(b.key[:])
	if err != nil || len(raw) < aead.NonceSize() {
		return nil, bad
	}
	plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], []byte(context))
	if err != nil {
		return nil, bad
	}
	return plain, nil
}

// MAC gives a code of the data that only who has the key can make; the context keeps apart what the codes are for.
func (b *Box) MAC(context string, data []byte) []byte {
	return Code(b.derive(context), data)
}

func (b *Box) derive(context string) []byte {
	m := hmac.New(sha256.New, b.key[:])
	m.Write([]byte("mac\x00" + context))
	return m.Sum(nil)
}

// Code is what MAC gives, made with a key that was derived before.
func Code(derived, data []byte) []byte {
	m := hmac.New(sha256.New, derived)
	m.Write(data)
	return m.Sum(nil)
}
