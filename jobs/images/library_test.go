package images

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"novacron/domain"
)

func TestWhereNothingIsFetchedFrom(t *testing.T) {
	open := func(local bool) *Library {
		l, err := Open(t.TempDir(), Options{FetchLocal: local, QemuImg: "none"})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	strict, lax := open(false), open(true)
	if ok, why := strict.CanConvert(); ok || why == "" {
		t.Error("it converts without a tool")
	}
	if strict.FetchesLocal() || !lax.FetchesLocal() {
		t.Error("it does not say from where it fetches")
	}
	for _, a := range []string{"127.0.0.1:80", "[::1]:80", "169.254.169.254:80", "[::ffff:127.0.0.1]:80", "100.100.100.200:80", "[fd00:ec2::254]:80", "[64:ff9b::7f00:1]:80", "0.0.0.0:80", "224.0.0.1:80", "[fe80::1%eth0]:80"} {
		if err := Reachable(a, strict.local); !domain.Is(err, domain.Denied) {
			t.Errorf("%s: %v", a, err)
		}
	}
	for _, a := range []string{"192.0.2.1:443", "[2001:db8::1]:443", "10.0.0.1:80"} {
		if err := Reachable(a, strict.local); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	if err := Reachable("127.0.0.1:80", lax.local); err != nil {
		t.Error(err)
	}
	if Reachable("224.0.0.1:80", lax.local) == nil || Reachable("no address", lax.local) == nil || Reachable("name:80", lax.local) == nil {
		t.Error("what is no address of a machine is dialled")
	}
	for header, want := range map[string]bool{"bytes 5-9/10": true, "bytes 4-9/10": false, "": false, "bytes x": false} {
		if continues(header, 5) != want {
			t.Errorf("%q goes on at 5: %v", header, !want)
		}
	}
	if strongETag(`W/"x"`) != "" || strongETag(strings.Repeat("x", 300)) != "" || strongETag(`"x"`) != `"x"` {
		t.Error("a weak tag is believed")
	}
	for err, code := range map[error]domain.Code{
		&url.Error{Err: &net.DNSError{Name: "x", IsNotFound: true}}: domain.Invalid, &url.Error{Err: os.ErrDeadlineExceeded}: domain.Unavailable, errors.New("x"): domain.Unavailable,
		domain.Errorf(domain.Denied, "no"): domain.Denied,
	} {
		if got := fetchError(t.Context(), err); !domain.Is(got, code) {
			t.Errorf("%v became %v", err, got)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := fetchError(ended, errors.New("x")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestLibraryFiles(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{MaxBytes: 1 << 20, QemuImg: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Receive(t.Context(), "imgv_big", 0, 2<<20, strings.NewReader("x")); !domain.Is(err, domain.Invalid) {
		t.Errorf("more than it takes: %v", err)
	}
	if _, err := l.Receive(t.Context(), "imgv_1", 0, 3, strings.NewReader("abcdef")); !domain.Is(err, domain.Invalid) {
		t.Errorf("more than was announced: %v", err)
	}
	if n, err := l.Received("imgv_1"); err != nil || n != 3 {
		t.Errorf("%d are there: %v", n, err)
	}
	if err := l.Discard("imgv_1"); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Received("imgv_1"); err != nil || n != 0 {
		t.Errorf("%d are left: %v", n, err)
	}
	free, ok := l.uploads.try("imgv_1")
	if !ok {
		t.Fatal("the lock is held by nobody")
	}
	if err := l.Discard("imgv_1"); !domain.Is(err, domain.Conflict) {
		t.Errorf("thrown away under an upload: %v", err)
	}
	if _, err := l.Receive(t.Context(), "imgv_1", 0, 1, strings.NewReader("x")); !domain.Is(err, domain.Conflict) {
		t.Errorf("two uploads at once: %v", err)
	}
	free()
	for name, keep := range map[string]bool{"files/known.qcow2": true, "files/stray.qcow2": false, "incoming/imgv_2.part": true, "incoming/imgv_3.part": false} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := os.Stat(path); (err == nil) != keep {
				t.Errorf("%s: %v", name, err)
			}
		}()
	}
	if err := l.Tidy([]string{"known"}, []string{"imgv_2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.OpenFile(domain.ImageVersion{SHA256: "gone", Format: "raw"}); !domain.Is(err, domain.NotFound) {
		t.Errorf("a file that is missing: %v", err)
	}
	if _, err := l.OpenFile(domain.ImageVersion{State: domain.ImageImporting}); !domain.Is(err, domain.Conflict) {
		t.Errorf("a file that is not there yet: %v", err)
	}
	if _, err := l.Export(t.Context(), domain.ImageVersion{State: domain.ImageDraft, SHA256: "x", Format: "qcow2"}, "vmdk"); !domain.Is(err, domain.Unsupported) {
		t.Errorf("a conversion without a tool: %v", err)
	}
	for err, code := range map[error]domain.Code{syscall.ENOSPC: domain.Exhausted, fs.ErrPermission: domain.Internal, domain.Errorf(domain.Conflict, "x"): domain.Conflict} {
		if got := fileError(err, "write"); !domain.Is(got, code) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if fileError(nil, "read") != nil || !errors.Is(fileError(context.Canceled, "read"), context.Canceled) {
		t.Error("what is no failure of a file became one")
	}
	if _, err := Open(filepath.Join(dir, "files", "known.qcow2"), Options{}); err == nil {
		t.Error("a library in a file")
	}
	held, ok := l.files.try("x")
	if !ok {
		t.Fatal("nobody holds it")
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.files.take(late, "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	go held()
	if free, err := l.files.take(t.Context(), "x"); err != nil {
		t.Error(err)
	} else {
		free()
	}
}
