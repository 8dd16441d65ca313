package handlers

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"novacron/auth/access"
	"novacron/handlers/cli"
	"novacron/views/live"
)

// terminal runs a command line that asks the world's server with a token.
func (w *world) terminal(in, token string, args ...string) (out, errs string, code int) {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	env := map[string]string{"NOVACRON_SERVER": w.url, "NOVACRON_TOKEN": token, "NOVACRON_NO_KEYRING": "1"}
	root := &cobra.Command{Use: "novacron", SilenceErrors: true, SilenceUsage: true}
	cli.Add(root, cli.Options{In: strings.NewReader(in), Out: &stdout, Err: &stderr, Getenv: func(k string) string { return env[k] }, Dir: w.t.TempDir(), Clock: time.Now})
	root.SetArgs(args)
	if err := root.ExecuteContext(w.t.Context()); err != nil {
		code = cli.Report(&stderr, err)
	}
	return stdout.String(), stderr.String(), code
}

// ask sends JSON to the API without any token.
func (w *world) ask(path, body string) (status int, answer map[string]any) {
	w.t.Helper()
	res, err := http.Post(w.url+"/api/v1"+path, "application/json", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		w.t.Fatalf("%s: %v in %s", path, err, text)
	}
	return res.StatusCode, answer
}

func TestATerminalIsLetInOnThePage(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	b.get(live.Device+"?code=WDJB-MJHT").want(t, 200, "WDJB-MJHT", "Show who asks")
	b.post(live.Device, url.Values{"code": {"WDJB-MJHT"}}).want(t, 422, "No terminal waits with this code.")
	w.browser().get(live.Device).wantMove(t, "/login?next=%2Fdevice")

	status, code := w.ask("/device/code", `{"name":"novacron on desk <b>"}`)
	if status != 200 || code["verification_uri"] != w.url+"/device" || code["interval"] != 5.0 {
		t.Fatalf("%d: %v", status, code)
	}
	take, err := json.Marshal(map[string]any{"device_code": code["device_code"]})
	if err != nil {
		t.Fatal(err)
	}
	if status, a := w.ask("/device/token", string(take)); status != 400 || a["error"] != "authorization_pending" {
		t.Errorf("before anybody decided: %d %v", status, a)
	}
	typed := code["user_code"].(string)
	b.post(live.Device, url.Values{"code": {strings.ToLower(typed)}}).want(t, 200, "novacron on desk &lt;b&gt;", "127.0.0.1", typed, "Let it in")
	b.post(live.Device, url.Values{"code": {typed}, "action": {"approve"}}).want(t, 200, "is signed in as admin")
	status, made := w.ask("/device/token", string(take))
	token, _ := made["token"].(string)
	if status != 200 || token == "" {
		t.Fatalf("%d: %v", status, made)
	}
	if status, a := w.ask("/device/token", string(take)); status != 400 || a["error"] != "expired_token" {
		t.Errorf("a second time: %d %v", status, a)
	}
	b.get(live.Account).want(t, 200, "novacron on desk &lt;b&gt;")
	if out, errs, code := w.terminal("", token, "token", "list", "-o", "name"); code != 0 || !strings.Contains(out, "token/novacron on desk") {
		t.Errorf("left with %d: %s%s", code, out, errs)
	}
}

func TestATerminalSeesAndTouchesAVM(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	w.running(b, "web-1")
	token, _, err := w.auth.CreateToken(t.Context(), "ci", "test", access.Admin, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if out, errs, code := w.terminal("", token, "vm", "list", "-o", "name", "--filter", "state:running"); code != 0 || out != "vm/web-1\n" {
		t.Errorf("left with %d: %s%s", code, out, errs)
	}
	if out, errs, code := w.terminal("", token, "vm", "screenshot", "web-1", "-o", "-"); code != 0 || !strings.HasPrefix(out, "\x89PNG") {
		t.Errorf("left with %d: %.20q%s", code, out, errs)
	}
	if out, errs, code := w.terminal("", token, "vm", "stop", "web-1", "--wait"); code != 0 || !strings.Contains(out, "done") {
		t.Errorf("left with %d: %s%s", code, out, errs)
	}
	if _, errs, code := w.terminal("", token, "vm", "screenshot", "web-1"); code != 5 {
		t.Errorf("a picture of what is stopped: left with %d: %s", code, errs)
	}
	if _, errs, code := w.terminal("x", token, "vm", "console", "web-1"); code != 5 {
		t.Errorf("the console of what is stopped: left with %d: %s", code, errs)
	}
	if _, errs, code := w.terminal("", "ncr_"+strings.Repeat("x", 43), "vm", "console", "vm_0123456789abcdefghij"); code != 4 {
		t.Errorf("with a wrong token: left with %d: %s", code, errs)
	}
}
