package seal

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"novacron/domain"
)

func TestSealedOpensForItsContextOnly(t *testing.T) {
	b, err := New(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	one, err := b.Seal([]byte("canary"), "host/a")
	if err != nil || !Sealed(one) || Sealed("canary") || strings.Contains(one, "canary") {
		t.Fatal(one, err)
	}
	if two, _ := b.Seal([]byte("canary"), "host/a"); two == one {
		t.Error("the same text seals to the same")
	}
	if got, err := b.Open(one, "host/a"); err != nil || string(got) != "canary" {
		t.Error(string(got), err)
	}
	other, _ := New(make([]byte, 32))
	for what, open := range map[string]func() ([]byte, error){
		"another row": func() ([]byte, error) { return b.Open(one, "host/b") },
		"another key": func() ([]byte, error) { return other.Open(one, "host/a") },
		"cut off":     func() ([]byte, error) { return b.Open(one[:20], "host/a") },
		"in clear":    func() ([]byte, error) { return b.Open("canary", "host/a") },
		"not base64":  func() ([]byte, error) { return b.Open(mark+"%%", "host/a") },
	} {
		if got, err := open(); domain.CodeOf(err) != domain.Internal {
			t.Errorf("%s: %q %v", what, got, err)
		}
	}
	if _, err := New([]byte("short")); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	boxes := make([]*Box, 8)
	for i := range boxes {
		wg.Go(func() {
			var err error
			if boxes[i], err = Load(dir, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, b := range boxes {
		if b == nil || b.key != boxes[0].key {
			t.Fatal("starts at the same time have different keys")
		}
	}
	file := filepath.Join(dir, KeyFile)
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(st, err)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if b, err := Load(dir, base64.StdEncoding.EncodeToString(make([]byte, 32))); err != nil || b.key != [32]byte{} {
		t.Error("the environment's key is not taken", err)
	}
	for what, load := range map[string]func() error{
		"a bad key in the environment": func() error { _, err := Load(dir, "x"); return err },
		"a key that others may read":   func() error { os.Chmod(file, 0o644); _, err := Load(dir, ""); return err },
		"a broken key file": func() error {
			os.Chmod(file, 0o600)
			os.WriteFile(file, []byte("x"), 0o600)
			_, err := Load(dir, "")
			return err
		},
	} {
		if err := load(); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Load(filepath.Join(dir, "none"), ""); !domain.Is(err, domain.Internal) {
		t.Error(err)
	}
	if _, err := Load("/dev/null", ""); !domain.Is(err, domain.Internal) {
		t.Error(err)
	}
}
