package handlers

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/views/live"
)

// TestAForgottenPassword: without a mail server there is no such page; with one every name gets the same answer.
func TestAForgottenPassword(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(live.Forgot).want(t, http.StatusNotFound)
	if a := b.get("/login").want(t, http.StatusOK); strings.Contains(a.text, live.Forgot) {
		t.Error("the sign-in page offers what is not there")
	}
	if err := w.auth.UsePost(auth.Post{Server: "smtp+plain://127.0.0.1:9", From: "nova@example.org", Site: "https://nova.example.org"}); err != nil {
		t.Fatal(err)
	}
	b.get("/login").want(t, http.StatusOK, live.Forgot)
	b.get(live.Forgot).want(t, http.StatusOK, "Name or mail address")
	for _, name := range []string{auth.FirstAdmin, "nobody", "nobody@example.org"} {
		b.post(live.Forgot, url.Values{"name": {name}}).wantMove(t, live.Forgot+"?sent=1")
	}
	b.get(live.Forgot+"?sent=1").want(t, http.StatusOK, "If there is such an account")
	b.post(live.Forgot, url.Values{"name": {" "}}).want(t, http.StatusUnprocessableEntity, "is missing")
	for range 40 { // one after the other until it has to wait
		if a := b.post(live.Forgot, url.Values{"name": {auth.FirstAdmin}}); a.StatusCode == http.StatusServiceUnavailable || a.StatusCode == http.StatusTooManyRequests {
			if a.Header.Get("Retry-After") == "" {
				t.Error("nothing says when to come back")
			}
			return
		}
	}
	t.Error("nobody has to wait")
}

var inviteRE = regexp.MustCompile(`/invite/\w+`)

// TestPeopleAreInvitedByPages: a new account or an old one is opened with a link; whoever has more cannot be invited anew by who has less.
func TestPeopleAreInvitedByPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	made := b.post(live.AccessUsers, url.Values{"name": {"grace"}, "email": {"grace@example.org"}, "open": {"link"}}).want(t, http.StatusOK, "The link that opens the account of", "grace")
	link := inviteRE.FindString(made.text)
	guest := w.browser()
	guest.get(link).want(t, http.StatusOK, "Welcome, grace")
	guest.post(link, url.Values{"password": {"a fresh pass phrase"}, "again": {"a fresh pass phrase"}}).wantMove(t, "/")
	u, err := w.db.UserByName(context.Background(), "grace")
	if err != nil {
		t.Fatal(err)
	}
	b.get(live.AccessUser(u.ID)).want(t, http.StatusOK, "Invite", "Sign out")
	b.get(live.Bulk(live.AccessUserBulk, "sign out", u.ID)).want(t, http.StatusOK, "Their sessions end everywhere")
	guest.get("/account").want(t, http.StatusOK)
	b.post(live.AccessUserBulk, url.Values{"do": {"sign out"}, "ids": {u.ID}}).want(t, http.StatusSeeOther)
	guest.get("/account").wantMove(t, "/login?next=%2Faccount")
	if err := w.auth.UsePost(auth.Post{Server: "smtp+plain://127.0.0.1:9", From: "nova@example.org", Site: "https://nova.example.org"}); err != nil {
		t.Fatal(err)
	}
	b.get(live.Bulk(live.AccessUserBulk, "invite", u.ID)).want(t, http.StatusOK, "The password they have is forgotten")
	b.post(live.AccessUserBulk, url.Values{"do": {"invite"}, "ids": {u.ID}}).want(t, http.StatusOK, "is being sent to grace@example.org too", "/invite/")
	off := true
	if _, err := w.auth.EditUser(context.Background(), auth.Subject{Name: "test"}, u.ID, auth.UserEdit{Disabled: &off}); err != nil {
		t.Fatal(err)
	}
	b.post(live.AccessUserBulk, url.Values{"do": {"invite"}, "ids": {u.ID}}).want(t, http.StatusConflict, "is disabled")
	viewer := w.person("eve", access.Viewer)
	viewer.post(live.AccessUserBulk, url.Values{"do": {"invite"}, "ids": {u.ID}}).want(t, http.StatusForbidden)
}
