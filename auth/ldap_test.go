package auth

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"novacron/auth/access"
	"novacron/domain"
)

const people = `dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: uid=ann,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: ann
cn: Ann Example
sn: Example
mail: ann@example.org
userPassword: ann's own words

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Bob
userPassword: bob's own words

dn: uid=admin,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: admin
cn: Not the admin
sn: Admin
userPassword: somebody else's words

dn: cn=ops,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: ops
member: uid=ann,ou=people,dc=example,dc=org
`

// directoryServer runs Debian's slapd for one test.
func directoryServer(t *testing.T) (address string) {
	t.Helper()
	slapd, err := exec.LookPath("slapd")
	if err != nil {
		if _, err := os.Stat("/usr/sbin/slapd"); err != nil {
			t.Fatal("slapd is not installed; make deps installs it")
		}
		slapd = "/usr/sbin/slapd"
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "slapd.conf")
	text := strings.ReplaceAll(`include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
moduleload back_mdb
pidfile DIR/pid
database mdb
suffix "dc=example,dc=org"
rootdn "cn=reader,dc=example,dc=org"
rootpw reader's words
directory DIR/data
`, "DIR", dir)
	text = strings.ReplaceAll(text, "rootpw reader's words", `rootpw "reader's words"`)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	var said bytes.Buffer
	cmd := exec.Command(slapd, "-f", conf, "-h", "ldap://"+at+"/", "-d", "0")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(said.String())
		}
	})
	var c *ldap.Conn
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for give := time.Now().Add(30 * time.Second); ; {
		if c, err = ldap.DialURL("ldap://" + at); err == nil {
			break
		}
		if time.Now().After(give) {
			t.Fatalf("slapd does not listen: %v", err)
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("slapd ended: %v %s", err, said.String())
		case <-tick.C:
		}
	}
	defer c.Close()
	if err := c.Bind("cn=reader,dc=example,dc=org", "reader's words"); err != nil {
		t.Fatal(err)
	}
	for _, entry := range strings.Split(strings.TrimSpace(people), "\n\n") {
		var add *ldap.AddRequest
		attrs := map[string][]string{}
		for line := range strings.Lines(entry) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), ": ")
			if k == "dn" {
				add = ldap.NewAddRequest(v, nil)
			} else {
				attrs[k] = append(attrs[k], v)
			}
		}
		for k, v := range attrs {
			add.Attribute(k, v)
		}
		if err := c.Add(add); err != nil {
			t.Fatalf("%s: %v", add.DN, err)
		}
	}
	return "ldap://" + at
}

func TestSignInWithADirectory(t *testing.T) {
	a, d, clock := outside(t)
	pw := "" // the administrator's own
	if _, once, err := a.MakeUser(t.Context(), theServer, NewUser{Name: "carl"}); err != nil {
		t.Fatal(err)
	} else {
		pw = once
	}
	ctx := t.Context()
	at := directoryServer(t)
	x := domain.Provider{ID: "dir", Kind: domain.ProviderLDAP, Name: "Directory", URL: at, Plain: true, BindDN: "cn=reader,dc=example,dc=org", Secret: []byte("reader's words"), BaseDN: "ou=people,dc=example,dc=org",
		GroupBase: "ou=groups,dc=example,dc=org", Rules: []domain.ProviderRule{{Claim: "groups", Value: "ops", Role: access.Operator}, {Claim: "dn", Value: "*", Role: access.Auditor}}, Create: true}
	if _, err := a.SaveProvider(ctx, theServer, x); err != nil {
		t.Fatal(err)
	}
	ann, proof, err := a.SignInWith(ctx, "ann", "ann's own words", "192.0.2.1")
	if err != nil || ann.Name != "ann" || proof != "ldap:dir" || ann.FullName != "Ann Example" || ann.Email != "ann@example.org" {
		t.Fatalf("%+v %q %v", ann, proof, err)
	}
	all, err := d.Bindings(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, b := range all {
		if b.Subject.ID == ann.ID {
			got += b.Role + " "
		}
	}
	if !strings.Contains(got, access.Operator) || !strings.Contains(got, access.Auditor) {
		t.Errorf("the groups gave %q", got)
	}
	if again, _, err := a.SignInWith(ctx, "ANN", "ann's own words", "192.0.2.1"); err != nil || again.ID != ann.ID {
		t.Errorf("%+v %v", again, err)
	}
	first := ""
	for why, try := range map[string][2]string{
		"a wrong password":            {"ann", "not hers"},
		"no password at all":          {"ann", ""},
		"nobody":                      {"zoe", "x"},
		"everybody":                   {"*", "ann's own words"},
		"a filter":                    {"ann)(uid=*", "ann's own words"},
		"a local account":             {"carl", "ann's own words"},
		"a namesake of an account":    {FirstAdmin, "somebody else's words"},
		"a zero byte in the password": {"ann", "ann's own words\x00"},
	} {
		_, _, err := a.SignInWith(ctx, try[0], try[1], "192.0.2.9")
		e := wantCode(t, err, domain.Unauthenticated)
		if first == "" {
			first = e.Error()
		}
		if e.Error() != first {
			t.Errorf("%s is told apart: %q", why, e)
		}
		clock.add(time.Hour)
	}
	if u, proof, err := a.SignInWith(ctx, "carl", pw, "192.0.2.1"); err != nil || u.Name != "carl" || proof != ProofPassword {
		t.Errorf("%+v %q %v", u, proof, err)
	}
	if err := a.CheckPassword(ctx, ann.ID, "ann's own words"); err != nil {
		t.Errorf("once more: %v", err)
	}
	clock.add(time.Hour)
	wantCode(t, a.CheckPassword(ctx, ann.ID, "not hers"), domain.Invalid)
	clock.add(time.Hour)
	_, err = a.ChangePassword(ctx, ann.ID, "ann's own words", "a pass phrase of her own")
	wantCode(t, err, domain.Conflict)
	if local, has, err := a.HasPassword(ctx, Subject{UserID: ann.ID}); err != nil || !has || local {
		t.Errorf("%v %v %v", local, has, err)
	}
	x, err = d.Provider(ctx, "dir")
	if err != nil {
		t.Fatal(err)
	}
	for why, change := range map[string]func(*domain.Provider){
		"a wrong password of the reader": func(p *domain.Provider) { p.Secret = []byte("wrong") },
		"TLS that is not there":          func(p *domain.Provider) { p.Plain = false },
		"no server":                      func(p *domain.Provider) { p.URL = "ldap://127.0.0.1:1" },
		"groups that are not there":      func(p *domain.Provider) { p.GroupBase = "ou=none,dc=example,dc=org" },
		"people who are not there":       func(p *domain.Provider) { p.BaseDN = "ou=none,dc=example,dc=org" },
	} {
		p := x
		change(&p)
		if _, _, err := a.directory(ctx, p, "ann", "ann's own words"); !domain.Is(err, domain.Unavailable) {
			t.Errorf("%s: %v", why, err)
		}
	}
	x.Create = false
	if _, err := a.SaveProvider(ctx, theServer, x); err != nil {
		t.Fatal(err)
	}
	_, _, err = a.SignInWith(ctx, "bob", "bob's own words", "192.0.2.1")
	wantCode(t, err, domain.Unauthenticated) // nobody is made any more
	clock.add(time.Hour)
	strict := domain.NewSignInPolicy()
	strict.LocalOff = true
	if _, err := a.SaveSignInPolicy(ctx, theServer, strict); err != nil {
		t.Fatal(err)
	}
	_, _, err = a.SignInWith(ctx, "carl", pw, "192.0.2.1")
	wantCode(t, err, domain.Unauthenticated) // what is kept here lets nobody in
	clock.add(time.Hour)
	if _, _, err := a.SignInWith(ctx, "ann", "ann's own words", "192.0.2.1"); err != nil {
		t.Errorf("with local sign-in off: %v", err)
	}
}
