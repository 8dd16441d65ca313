package handlers

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzSafeNext: where to go after signing in is a path of this site, however a browser reads it.
func FuzzSafeNext(f *testing.F) {
	for _, s := range []string{"/vms", "//evil", "/\\evil", "/\t/evil", "https://evil", "/%2f/evil", "/login", "/a?b=//c", "/./../x", "/@evil", "\\/evil"} {
		f.Add(s)
	}
	base, err := url.Parse("https://nova.example.org/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, next string) {
		to := safeNext(next)
		if to == "" {
			return
		}
		u, err := base.Parse(to)
		if err != nil || u.Host != base.Host || u.Scheme != "https" || u.User != nil || to[0] != '/' || len(to) > 1 && (to[1] == '/' || to[1] == '\\') || strings.ContainsAny(to, "\\\r\n\t\x00") {
			t.Errorf("%q leads to %q", next, to)
		}
	})
}
