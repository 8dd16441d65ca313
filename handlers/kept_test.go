package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"novacron/auth/access"
	"novacron/domain"
)

// keptPages are those that are drawn once for many requests.
var keptPages = []string{"/", "/vms", "/vms?filter=state:running", "/hosts", "/tasks", "/events"}

// TestAKeptPageIsNobodyElses: people with the same role, the same and other preferences, at once and in turn.
func TestAKeptPageIsNobodyElses(t *testing.T) {
	w := newWorld(t)
	w.mirrored("h1", 3)
	people := map[string]*browser{"admin": w.admin(), "vera": w.viewer()}
	for _, name := range []string{"otto", "olga"} {
		people[name] = w.person(name, access.Admin)
	}
	people["olga"].post("/account/preferences", url.Values{"table": {"vms"}, "columns": {"name", "state", "uuid"}}).want(t, 303)
	for _, path := range keptPages {
		for range 3 {
			var wg sync.WaitGroup
			for name, b := range people {
				wg.Go(func() {
					text := b.get(path, header("Accept-Encoding", "identity")).text
					for other := range people {
						if strings.Contains(text, "Signed in as <strong>"+other+"</strong>") != (other == name) {
							t.Errorf("%s: %s was shown the page of %s", path, name, other)
						}
					}
					if strings.Contains(text, `href="/hosts/new"`) && name == "vera" {
						t.Errorf("%s: a viewer was shown what an administrator may do", path)
					}
					if strings.HasPrefix(path, "/vms") && strings.Contains(text, `<td class="c-uuid"`) != (name == "olga") {
						t.Errorf("%s: %s has the columns of somebody else", path, name)
					}
				})
			}
			wg.Wait()
		}
	}
	// Out of the session, out of the page; and a role that was taken takes its buttons along.
	people["otto"].post("/logout", nil).want(t, 303)
	if a := people["otto"].get("/vms"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("signed out, and shown %d", a.StatusCode)
	}
}

// TestAKeptPageIsNeverOlderThanTheLastEvent: whoever changes something sees it on the next page, whatever was kept.
func TestAKeptPageIsNeverOlderThanTheLastEvent(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.mirrored("h1", 1)
	vm := w.vmNamed("h1-g0000")
	for _, state := range []domain.VMState{domain.VMPaused, domain.VMRunning, domain.VMCrashed, domain.VMPaused, domain.VMRunning} {
		w.change(vm.ID, state)
		for range 2 {
			if text := b.get("/vms").text; !strings.Contains(text, `data-state="`+string(state)+`"`) {
				t.Errorf("after it was %s the page says %s", state, cut(text))
			}
		}
	}
	// What is said once is said once, on a page that was kept without it.
	b.post("/vms/"+vm.ID+"/describe", url.Values{"version": {"0"}, "tags": {"x"}})
	b.post("/vms/bulk", url.Values{"action": {"start"}, "ids": {vm.ID}, "back": {"/vms"}}).want(t, 303)
	first, second := b.get("/vms").text, b.get("/vms").text
	if !strings.Contains(first, `class="banner`) || strings.Contains(second, `class="banner`) {
		t.Error("a message of an action without script is not said exactly once")
	}
}

// TestPagesArePacked: as they are kept, and only for those that can read it.
func TestPagesArePacked(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.mirrored("h1", 20)
	for _, path := range append(keptPages, "/account", "/nowhere") {
		packed := b.get(path, header("Accept-Encoding", "gzip"))
		plain := b.get(path, header("Accept-Encoding", "identity"))
		if packed.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" || len(packed.text) >= len(plain.text)/2 {
			t.Errorf("%s: %d bytes packed (%s), %d plain (%s)", path, len(packed.text), packed.Header.Get("Content-Encoding"), len(plain.text), plain.Header.Get("Content-Encoding"))
		}
		if packed.Header.Get("Vary") != "Accept-Encoding" || !strings.HasSuffix(strings.TrimSpace(plain.text), "</html>") {
			t.Errorf("%s: %v", path, packed.Header)
		}
	}
}
