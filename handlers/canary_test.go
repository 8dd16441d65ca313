package handlers

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"novacron/auth"
	"novacron/db"
	"novacron/domain"
	"novacron/hv/hvtest"
)

// forms are the shapes in which a secret might lie somewhere: as it is, in hexadecimal, and inside of a longer text in base 64.
func forms(secret string) map[string]string {
	out := map[string]string{"as it is": secret, "as a form's field": url.QueryEscape(secret), "in hexadecimal": hex.EncodeToString([]byte(secret))}
	for shift := range 3 {
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + secret))
		out[fmt.Sprintf("in base 64, %d further", shift)] = text[(shift*8+5)/6 : len(text)-2] // without what its neighbours have a part in
	}
	return out
}

// canaries are secrets that went in, by what they are.
type canaries map[string]string

func (c canaries) lookIn(t *testing.T, where string, content []byte) {
	t.Helper()
	for what, secret := range c {
		if len(secret) < 9 {
			t.Fatalf("%s is too short to be looked for: %q", what, secret)
		}
		for shape, text := range forms(secret) {
			if i := bytes.Index(content, []byte(text)); i >= 0 {
				t.Errorf("%s has %s %s: …%q…", where, what, shape, content[max(0, i-100):min(len(content), i+len(text)+40)])
			}
		}
	}
}

// privateKey is a real one in PEM, and a piece of its text that nothing else has.
func privateKey(t *testing.T) (text, piece string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return text, strings.Split(text, "\n")[1][24:60]
}

// Secrets go in through the same doors as people's. Afterwards they are nowhere where somebody might read them: not in the log, not in the database or
// a copy of it, not in tasks, events and the audit log, not on a page and not in an answer of the API.
func TestSecretsAreNowhereToBeRead(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	c := canaries{}
	key := func(what string) (text string) {
		text, c[what] = privateKey(t)
		return text
	}
	set := func(what string) string {
		c[what] = "canary-" + strings.ToLower(rand.Text()[:18])
		return c[what]
	}

	// Hosts: one that connects, one that is only tried, and forms that are refused.
	ssh := url.Values{"name": {"h1"}, "uri": {"qemu+ssh://root@h1.example/system"}, "ssh_key": {key("a host's SSH key")}, "known_hosts": {"h1.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1ZW5vc2RpYXNidWVub3NkaWFzYnVlbm9zZGlhc2Ex"}}
	b.post("/hosts", ssh).want(t, http.StatusSeeOther)
	w.level("the host's pools", func() bool { _, ok := w.poolNamed("default"); return ok })
	vm := w.running(b, "inner")
	w.fake.SetAgent(vm.UUID, &hvtest.Agent{Facts: domain.GuestFacts{Agent: "7.2.0"}})
	b.post("/hosts/try", url.Values{"name": {"h3"}, "uri": {"qemu+tls://h3.example/system"}, "ca_cert": {"x"}, "client_cert": {"x"}, "client_key": {key("the TLS key of a trial")}})
	w.fake.Fail("Dial", domain.Errorf(domain.Unavailable, "Connection refused."), 1)
	b.post("/hosts", url.Values{"name": {"h4"}, "uri": {"qemu+tls://h4.example/system"}, "client_key": {key("the TLS key of a host that is away")}})
	b.post("/hosts", url.Values{"name": {"h 5"}, "uri": {"nonsense"}, "ssh_key": {key("the key in a form that is refused")}}).want(t, http.StatusUnprocessableEntity)
	b.post("/hosts", url.Values{"name": {"h6"}, "uri": {"qemu+ssh://root:" + set("the password in a host's address") + "@h6.example/system"}}).want(t, http.StatusUnprocessableEntity, "password")

	// A volume's passphrase is made by the server.
	pool, _ := w.poolNamed("default")
	b.post("/storage/volumes", url.Values{"pool": {pool.ID}, "name": {"luks.qcow2"}, "size_bytes": {"1 MiB"}, "format": {"qcow2"}, "encrypted": {"1"}}).want(t, http.StatusSeeOther)
	vol, _ := w.volumeNamed("luks.qcow2")
	uuid, err := w.db.VolumeSecret(t.Context(), vol.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, pass, err := w.db.Secret(t.Context(), uuid)
	if err != nil {
		t.Fatal(err)
	}
	c["a LUKS passphrase"] = string(pass)

	// Guests: what the first boot sets, on Linux and on Windows, what is set later, and what is set by the agent.
	cloud := createForm("cloud")
	cloud.Set("first_boot", "cloud-init")
	cloud.Set("cloud_init.user", "ada")
	cloud.Set("cloud_init.password", set("a guest's password in cloud-init"))
	b.post("/vms", cloud).want(t, http.StatusSeeOther)
	job := w.job(w.newest("vm.create").ID)
	if job.State != domain.JobSucceeded {
		t.Fatalf("%+v", job)
	}
	seeded := w.vmNamed("cloud")
	windows := createForm("windows")
	windows.Set("first_boot", "windows")
	windows.Set("windows.computer_name", "WIN")
	windows.Set("windows.admin_password", set("a Windows administrator's password"))
	b.post("/vms", windows)
	b.post("/vms/"+seeded.ID+"/cloud-init", url.Values{"version": {"1"}, "cloud_init.user": {"ada"}, "cloud_init.password": {set("a guest's next password")}}).want(t, http.StatusSeeOther)
	w.job(w.newest("guest.seed").ID)
	b.post("/vms/"+seeded.ID+"/cloud-init", url.Values{"version": {"99"}, "cloud_init.user": {"ada"}, "cloud_init.password": {set("a guest's password that came too late")}}).want(t, http.StatusConflict)
	b.post("/vms/"+vm.ID+"/guest/password", url.Values{"user": {"root"}, "password": {set("a password set by the agent")}}).want(t, http.StatusSeeOther)
	b.post("/vms/"+vm.ID+"/guest/password", url.Values{"user": {"ro ot:"}, "password": {set("a password that is refused")}}).want(t, http.StatusUnprocessableEntity)
	w.job(w.newest("guest.password").ID)
	script := createForm("script")
	script.Set("first_boot", "cloud-init")
	script.Set("cloud_init.user_data", "#cloud-config\npassword: "+set("user data")+"\n")
	b.post("/vms", script).want(t, http.StatusSeeOther)
	w.job(w.newest("vm.create").ID)
	scripted := w.vmNamed("script")

	// Sign-in: what other servers know us by, one that cannot be reached, the mail server's password.
	b.post("/settings/providers/new", url.Values{"kind": {"oidc"}, "id": {"corp"}, "name": {"Corp"}, "issuer": {"http://127.0.0.1:1"}, "client_id": {"nova"}, "secret": {set("an OAuth client's secret")}}).want(t, http.StatusSeeOther)
	b.post("/settings/providers/new", url.Values{"kind": {"ldap"}, "id": {"dir"}, "name": {"Dir"}, "url": {"ldaps://127.0.0.1:1"}, "bind_dn": {"cn=nova"}, "base_dn": {"dc=x"}, "user_filter": {"(uid=%s)"}, "secret": {set("a directory's password")}}).want(t, http.StatusSeeOther)
	b.post("/settings/providers/new", url.Values{"kind": {"oidc"}, "id": {"B A D"}, "name": {"Corp"}, "secret": {set("a secret that is refused")}}).want(t, http.StatusUnprocessableEntity)
	b.get("/login/with/corp")
	if err := w.auth.UsePost(auth.Post{Server: "smtps://nova@127.0.0.1:1", Password: set("the mail server's password"), From: "nova@example.org", Site: "https://nova.example.org"}); err != nil {
		t.Fatal(err)
	}
	mailing, stop := context.WithCancel(t.Context())
	mailed := make(chan error, 1)
	go func() { mailed <- w.auth.RunMail(mailing) }()

	// Accounts: passwords of all kinds, links, tokens, second factors, sessions.
	shown := func(a answer) string {
		t.Helper()
		m := shownSecretRE.FindStringSubmatch(a.want(t, http.StatusOK).text)
		if m == nil {
			t.Fatalf("nothing is shown: %s", cut(a.text))
		}
		return m[1]
	}
	c["a one-time password"] = shown(b.post("/access/users", url.Values{"name": {"ann"}, "email": {"ann@example.org"}, "role": {"auditor"}}))
	ann, err := w.db.UserByName(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	c["a password after a reset"] = shown(b.post("/access/users/bulk", url.Values{"do": {"reset"}, "ids": {ann.ID}}))
	link := shown(b.post("/access/users/bulk", url.Values{"do": {"invite"}, "ids": {ann.ID}}))
	c["a link"] = link[strings.LastIndexByte(link, '/')+1:]
	guest := w.browser()
	guest.get("/invite/"+c["a link"]).want(t, http.StatusOK)
	guest.post("/invite/"+c["a link"], url.Values{"password": {set("a password that was chosen")}, "again": {c["a password that was chosen"]}}).want(t, http.StatusSeeOther)
	w.browser().post("/login", url.Values{"name": {"ann"}, "password": {set("a wrong password")}})
	w.browser().post("/login", url.Values{"name": {set("a password typed as the name")}, "password": {"x"}})
	w.browser().post("/login/forgot", url.Values{"name": {"ann"}}).want(t, http.StatusSeeOther)
	c["a token of somebody's own"] = shown(b.post("/account/tokens", url.Values{"name": {"ci"}, "days": {"30"}}))
	c["a service account's token"] = shown(b.post("/access/tokens", url.Values{"name": {"robot"}, "role": {"platform-admin"}, "days": {"3"}}))
	bearer := header("Authorization", "Bearer "+c["a service account's token"])
	w.browser().get("/api/v1/vms", header("Authorization", "Bearer "+set("a token that is wrong")))
	w.browser().get("/vms", header("Cookie", "novacron_session="+set("a cookie that is wrong")))
	b.post("/account/password", url.Values{"current": {password}, "password": {set("a new password")}, "again": {c["a new password"]}}).want(t, http.StatusSeeOther)
	b.post("/account/password", url.Values{"current": {set("a wrong present password")}, "password": {"a longer phrase"}, "again": {"a longer phrase"}}).want(t, http.StatusUnprocessableEntity)
	c["a TOTP seed"] = secretRE.FindStringSubmatch(b.get("/account/mfa").want(t, http.StatusOK).text)[1]
	codes := b.post("/account/mfa", url.Values{"secret": {c["a TOTP seed"]}, "code": {w.code(c["a TOTP seed"])}, "password": {c["a new password"]}, "name": {"phone"}}).want(t, http.StatusOK, "recovery codes")
	c["a recovery code"] = recoveryRE.FindString(codes.text)
	at, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range b.c.Jar.Cookies(at) {
		c["the cookie "+x.Name] = x.Value
	}
	ticket := b.post("/vms/"+vm.ID+"/console/vnc", nil)
	if _, rest, ok := strings.Cut(ticket.text, "/ws/console/"); ok {
		c["a console's ticket"] = rest[:strings.IndexAny(rest, `"?`)]
	}
	if len(c) < 28 {
		t.Fatalf("only %d secrets went in", len(c))
	}
	w.level("the mails to be tried", func() bool { return strings.Count(w.log.String(), "could not be sent") >= 1 })
	stop()
	<-mailed

	// Where somebody might read.
	if !strings.Contains(w.log.String(), "level=DEBUG") {
		t.Error("the log does not have all that it may have")
	}
	c.lookIn(t, "the log", []byte(w.log.String()))
	for _, r := range w.srv.routes {
		if r.method != http.MethodGet || r.path == "/live" || r.path == "/ws/console/:ticket" || strings.HasSuffix(r.path, "/content") {
			continue
		}
		for _, path := range w.at(r.path, vm.ID, seeded.ID, scripted.ID) {
			if a := b.get(path); path != "/vms/"+scripted.ID+"/cloud-init" { // shows its user data, for who may change it
				c.lookIn(t, "GET "+path, []byte(a.text))
			}
		}
	}
	read := 0
	for _, o := range w.srv.apiOps {
		if o.Method != http.MethodGet || o.Path == "/api/v1/events" || strings.HasSuffix(o.Path, "/content") {
			continue
		}
		for _, path := range w.at(strings.TrimPrefix(o.Path, "/api/v1"), vm.ID, seeded.ID, scripted.ID) {
			a := w.browser().get("/api/v1"+path, bearer)
			if a.StatusCode == http.StatusOK {
				read++
			}
			if path != "/vms/"+scripted.ID+"/cloud-init" {
				c.lookIn(t, "GET /api/v1"+path, []byte(a.text))
			}
		}
	}
	if read < 40 {
		t.Errorf("only %d answers of the API were read", read)
	}
	for _, format := range []string{"jsonl", "csv"} {
		c.lookIn(t, "the audit log's export", []byte(b.get("/access/audit/export?format="+format).want(t, http.StatusOK).text))
	}
	plain := false
	w.everyRow(func(table, row string) {
		c.lookIn(t, "a row of "+table, []byte(row))
		plain = plain || strings.Contains(row, "root@h1.example")
	})
	if !plain {
		t.Error("the test does not see what lies in the clear")
	}
	files, err := filepath.Glob(filepath.Join(w.dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		c.lookIn(t, "the file "+filepath.Base(f), text)
	}
}

// everyRow gives every row of a copy of the database, made as people make theirs, one text for each.
func (w *world) everyRow(do func(table, row string)) {
	w.t.Helper()
	backup := filepath.Join(w.dir, "copy.db")
	from, err := sql.Open("sqlite", filepath.Join(w.dir, "novacron.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer from.Close()
	if _, err := from.ExecContext(w.t.Context(), "VACUUM INTO ?", backup); err != nil {
		w.t.Fatal(err)
	}
	d, err := sql.Open("sqlite", backup)
	if err != nil {
		w.t.Fatal(err)
	}
	defer d.Close()
	texts := func(q string) (out []string) {
		rows, err := d.QueryContext(w.t.Context(), q)
		if err != nil {
			w.t.Fatal(err)
		}
		defer rows.Close()
		cols, err := rows.Columns()
		if err != nil {
			w.t.Fatal(err)
		}
		for rows.Next() {
			vals := make([]any, len(cols))
			for i := range vals {
				vals[i] = new(sql.RawBytes)
			}
			if err := rows.Scan(vals...); err != nil {
				w.t.Fatal(err)
			}
			var row strings.Builder
			for _, v := range vals {
				row.Write(*v.(*sql.RawBytes))
				row.WriteByte('\n')
			}
			out = append(out, row.String())
		}
		if rows.Err() != nil {
			w.t.Fatal(rows.Err())
		}
		return out
	}
	seen := 0
	for _, name := range texts("SELECT name FROM sqlite_master WHERE type = 'table'") {
		name = strings.TrimSpace(name)
		for _, row := range texts(`SELECT * FROM "` + name + `"`) {
			seen++
			do(name, row)
		}
	}
	if seen < 100 {
		w.t.Errorf("the database has only %d rows", seen)
	}
}

// at gives the addresses of a route with what there is of its kind; of VMs, each of these.
func (w *world) at(path string, vms ...string) (out []string) {
	w.t.Helper()
	if !strings.Contains(path, ":") {
		return []string{path}
	}
	ctx := w.t.Context()
	fill := func(id string) string {
		return strings.NewReplacer(":id", id, ":target", "vda", ":v", "1", ":n", "1", ":sid", "none", ":mac", "none", ":kind", "vnc", ":device", "none", ":dev", "none", ":seq", "3", ":secret", "none", "*", "x").Replace(path)
	}
	tabs := []string{""}
	if strings.Contains(path, ":tab") {
		tabs = []string{"hardware", "guest", "tasks", "events", "definition", "snapshots", "storage", "networks"}
	}
	of := func(ids []string) bool {
		for _, id := range ids {
			for _, tab := range tabs {
				out = append(out, strings.NewReplacer(":tab", tab, ":action", "stop").Replace(fill(id)))
			}
		}
		return len(ids) > 0
	}
	hosts, err := w.db.Hosts(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var hostIDs, jobIDs, userIDs, tokenIDs []string
	for _, h := range hosts {
		hostIDs = append(hostIDs, h.ID)
	}
	jobs, err := w.db.Jobs(ctx, db.JobQuery{Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, j := range jobs.Items {
		jobIDs = append(jobIDs, j.ID)
	}
	users, err := w.db.Users(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, u := range users {
		userIDs = append(userIDs, u.ID)
	}
	tokens, err := w.db.Tokens(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, x := range tokens {
		tokenIDs = append(tokenIDs, x.ID)
	}
	vols, err := w.db.StorageVolumes(ctx, db.VolumeQuery{})
	if err != nil {
		w.t.Fatal(err)
	}
	var volIDs []string
	for _, v := range vols.Items {
		volIDs = append(volIDs, v.ID)
	}
	pool, _ := w.poolNamed("default")
	for prefix, ids := range map[string][]string{"/vms": vms, "/console": vms, "/hosts": hostIDs, "/tasks": jobIDs, "/jobs": jobIDs, "/access/users": userIDs, "/users": userIDs, "/storage/volumes": volIDs,
		"/volumes": volIDs, "/storage/pools": {pool.ID}, "/pools": {pool.ID}, "/settings/providers": {"corp", "dir"}, "/identity-providers": {"corp", "dir"}, "/tokens": tokenIDs, "/access/roles": {"auditor"}, "/roles": {"auditor"}} {
		if strings.HasPrefix(path, prefix+"/:") && of(ids) {
			return out
		}
	}
	return []string{strings.ReplaceAll(fill("none"), ":action", "delete")}
}
