// Package browser drives a headless Chromium for black-box tests: it signs in, clicks, reads what a person would read, takes pictures and
// runs the accessibility checks.
//
// It is for looking at the product from outside. A console error or a script refused by the content security policy fails the test.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Page is one tab.
type Page struct {
	t    testing.TB
	ctx  context.Context
	base string
	mu   sync.Mutex
	errs []string
}

// Open starts a browser of its own (a fresh profile) with one tab of the given width; it ends with the test.
func Open(t testing.TB, base string, width, height int) *Page {
	t.Helper()
	bin, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed; make deps installs it")
	}
	opts := append([]chromedp.ExecAllocatorOption{},
		chromedp.ExecPath(bin), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.UserDataDir(profile(t)), chromedp.WindowSize(width, height), chromedp.WSURLReadTimeout(60*time.Second),
	)
	actx, acancel := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(actx)
	p := &Page{t: t, ctx: ctx, base: base}
	t.Cleanup(func() {
		if t.Failed() {
			p.keepPicture()
		}
		cancel()
		acancel()
		for _, e := range p.Errors() {
			t.Errorf("the browser reported: %s", e)
		}
	})
	chromedp.ListenTarget(ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			p.report(e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			// A refused request shows as a network error entry; the tests that provoke one look at the page itself.
			if e.Entry.Level == log.LevelError && e.Entry.Source != log.SourceNetwork {
				p.report(e.Entry.Text)
			}
		}
	})
	p.Do("start the browser", emulation.SetDeviceMetricsOverride(int64(width), int64(height), 1, width < 500))
	return p
}

// profile is a folder for a browser. Not t.TempDir: a browser that was ended may go on writing for a moment, and what it then leaves is no failure.
func profile(t testing.TB) string {
	dir, err := os.MkdirTemp("", "novacron-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("the browser's profile is not quite gone: %v", err)
		}
	})
	return dir
}

func (p *Page) report(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, s)
}

// Errors are script errors and policy violations so far.
func (p *Page) Errors() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.errs...)
}

// Do runs actions and fails the test when they do not succeed within two minutes.
func (p *Page) Do(what string, actions ...chromedp.Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Minute)
	defer cancel()
	if what == "start the browser" { // the first run starts the process, which must not end with the time-out
		ctx = p.ctx
	}
	if err := each(ctx, actions); err != nil {
		var text, at string
		sctx, scancel := context.WithTimeout(p.ctx, 5*time.Second)
		defer scancel()
		_ = chromedp.Run(sctx, chromedp.Location(&at), chromedp.Text("body", &text, chromedp.ByQuery))
		p.t.Fatalf("%s: %v\nat %s the page says:\n%s", what, err, at, clip(text, 3000))
	}
}

// each runs actions one by one. What an action is done to is found first; when the page draws it anew just then, it is looked for again.
func each(ctx context.Context, actions []chromedp.Action) error {
	for _, a := range actions {
		err := chromedp.Run(ctx, a)
		for err != nil && ctx.Err() == nil && (strings.Contains(err.Error(), "Could not find node with given id") || strings.Contains(err.Error(), "No node with given id found")) {
			err = chromedp.Run(ctx, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// Go opens a path of the server. Chromium gives up what it is loading when an interface comes or goes on the machine, as they do when labs
// and guests start and stop beside it; then the page is opened again.
func (p *Page) Go(path string) {
	p.t.Helper()
	p.Do("open "+path, chromedp.ActionFunc(func(ctx context.Context) error {
		for {
			err := chromedp.Navigate(p.base + path).Do(ctx)
			if err == nil || !strings.Contains(err.Error(), "ERR_NETWORK_CHANGED") {
				return err
			}
		}
	}), chromedp.WaitReady("body", chromedp.ByQuery))
}

// SignIn signs in and, when the password is a one-time password, changes it to newPassword.
func (p *Page) SignIn(name, password, newPassword string) {
	p.t.Helper()
	p.Go("/login")
	p.Fill(map[string]string{"name": name, "password": password})
	p.Submit("form")
	p.Until("the sign-in to go through", `location.pathname !== "/login"`)
	if newPassword == "" {
		return
	}
	p.Until("the password page", `location.pathname === "/password"`)
	p.Fill(map[string]string{"current": password, "password": newPassword, "again": newPassword})
	p.Submit("form")
	p.Until("the start page", `location.pathname !== "/password"`)
}

// Fill types into fields by name, in the first form that has them.
func (p *Page) Fill(values map[string]string) {
	p.t.Helper()
	for name, v := range values {
		sel := fmt.Sprintf(`[name=%q]:not([type=hidden])`, name)
		p.Do("fill "+name, chromedp.WaitVisible(sel, chromedp.ByQuery),
			chromedp.Evaluate(fmt.Sprintf(`document.querySelector(%q).value = ""`, sel), nil), chromedp.SendKeys(sel, v, chromedp.ByQuery))
	}
}

// Select chooses an entry of a menu by its value, as a person's choice would be told to the page.
func (p *Page) Select(name, value string) {
	p.t.Helper()
	ok := Eval[bool](p, fmt.Sprintf(`(() => { const s = document.querySelector('select[name=%q]'); if (!s) return false; s.value = %q;
		s.dispatchEvent(new Event("input", {bubbles: true})); s.dispatchEvent(new Event("change", {bubbles: true})); return s.value === %q })()`, name, value, value))
	if !ok {
		p.t.Fatalf("the menu %s has no entry %s", name, value)
	}
}

// ForgetCookies ends the session as an expiry would.
func (p *Page) ForgetCookies() {
	p.t.Helper()
	p.Do("forget the cookies", network.ClearBrowserCookies())
}

// ToSignIn forgets the cookies and opens the sign-in page. An answer that was on its way may bring the session back once more.
func (p *Page) ToSignIn() {
	p.t.Helper()
	for range 5 {
		p.ForgetCookies()
		p.Go("/login")
		if Eval[string](p, "location.pathname") == "/login" {
			return
		}
	}
	p.t.Fatal("the browser is signed in although its cookies were forgotten")
}

// WithoutScripts turns JavaScript off for pages opened from now on.
func (p *Page) WithoutScripts() {
	p.t.Helper()
	p.Do("turn scripts off", emulation.SetScriptExecutionDisabled(true))
}

// SignInPlainly signs in without waiting for anything that needs scripts, and changes a one-time password.
func (p *Page) SignInPlainly(name, password, newPassword string) {
	p.t.Helper()
	p.Go("/login")
	p.Do("sign in", chromedp.SendKeys(`[name="name"]`, name, chromedp.ByQuery), chromedp.SendKeys(`[name="password"]`, password+"\r", chromedp.ByQuery),
		chromedp.WaitVisible(`[name="again"]`, chromedp.ByQuery))
	p.Do("choose a password", chromedp.SendKeys(`[name="current"]`, password, chromedp.ByQuery), chromedp.SendKeys(`[name="password"]`, newPassword, chromedp.ByQuery),
		chromedp.SendKeys(`[name="again"]`, newPassword+"\r", chromedp.ByQuery), chromedp.WaitNotPresent(`[name="again"]`, chromedp.ByQuery))
}

// Text is what the page says.
func (p *Page) Text() (text string) {
	p.t.Helper()
	p.Do("read the page", chromedp.Text("body", &text, chromedp.ByQuery))
	return text
}

// Submit submits the form that matches the selector by clicking its submit button.
func (p *Page) Submit(form string) {
	p.t.Helper()
	p.Click(form + ` [type=submit], ` + form + ` button:not([type])`)
}

// Click clicks the first match that is visible.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.Do("click "+selector, chromedp.Click(selector, chromedp.ByQuery, chromedp.NodeVisible))
}

// Attach chooses files for an input.
func (p *Page) Attach(selector string, files ...string) {
	p.t.Helper()
	p.Do("attach files to "+selector, chromedp.SetUploadFiles(selector, files, chromedp.ByQuery))
}

// Hover moves the pointer onto the middle of the first match.
func (p *Page) Hover(selector string) {
	p.t.Helper()
	at := Eval[[]float64](p, fmt.Sprintf(`(() => { const r = document.querySelector(%q).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()`, selector))
	p.Do("hover over "+selector, chromedp.MouseEvent(input.MouseMoved, at[0], at[1]))
}

// Until waits until a JavaScript expression is true, for at most 60 s.
func (p *Page) Until(what, expr string) {
	p.t.Helper()
	p.Within(60*time.Second, what, expr)
}

// Sees waits for at most the given time and says whether a JavaScript expression became true.
func (p *Page) Sees(most time.Duration, expr string) bool {
	ctx, cancel := context.WithTimeout(p.ctx, most)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var ok bool
		if err := chromedp.Run(ctx, chromedp.Evaluate(`Boolean(`+expr+`)`, &ok)); err == nil && ok {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// Within waits until a JavaScript expression is true, for at most the given time and a minute and a half more, which a busy machine may need.
func (p *Page) Within(most time.Duration, what, expr string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, most+90*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var err error
	for {
		var ok bool
		if err = chromedp.Run(ctx, chromedp.Evaluate(`Boolean(`+expr+`)`, &ok)); err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			var text, at string
			sctx, scancel := context.WithTimeout(p.ctx, 5*time.Second)
			defer scancel()
			_ = chromedp.Run(sctx, chromedp.Location(&at), chromedp.Text("body", &text, chromedp.ByQuery))
			p.t.Fatalf("waited %s and more for %s (%s; last error %v)\nat %s the page says:\n%s", most, what, expr, err, at, clip(text, 3000))
		case <-tick.C:
		}
	}
}

// UntilText waits until the page shows a text.
func (p *Page) UntilText(text string) {
	p.t.Helper()
	p.Until(fmt.Sprintf("the page to show %q", text), fmt.Sprintf(`document.body && document.body.innerText.includes(%q)`, text))
}

// Eval gives the value of a JavaScript expression.
func Eval[T any](p *Page, expr string) (v T) {
	p.t.Helper()
	p.Do("evaluate "+clip(expr, 80), chromedp.Evaluate(expr, &v, func(ep *runtime.EvaluateParams) *runtime.EvaluateParams { return ep.WithAwaitPromise(true) }))
	return v
}

// Dark chooses what the viewer's system prefers.
func (p *Page) Dark(on bool) {
	scheme := "light"
	if on {
		scheme = "dark"
	}
	p.prefer(scheme, "none")
}

// ForcedColors shows pages as a viewer sees them whose system puts its own few colours in place of the page's.
func (p *Page) ForcedColors() { p.prefer("dark", "active") }

func (p *Page) prefer(scheme, forced string) {
	p.Do("prefer "+scheme, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}, {Name: "forced-colors", Value: forced},
	}))
}

// Resize changes the viewport.
func (p *Page) Resize(width, height int) {
	p.Do("resize", emulation.SetDeviceMetricsOverride(int64(width), int64(height), 1, width < 500))
}

// Picture writes a screenshot of the viewport to NOVACRON_PICTURES/name.png; without that variable it does nothing.
func (p *Page) Picture(name string) {
	p.t.Helper()
	dir := os.Getenv("NOVACRON_PICTURES")
	if dir == "" {
		return
	}
	var png []byte
	p.Do("take a picture", chromedp.CaptureScreenshot(&png))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *Page) keepPicture() {
	dir := os.Getenv("NOVACRON_PICTURES")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	var png []byte
	if chromedp.Run(ctx, chromedp.CaptureScreenshot(&png)) == nil {
		_ = os.WriteFile(filepath.Join(dir, "failed-"+strings.ReplaceAll(p.t.Name(), "/", "-")+".png"), png, 0o644)
	}
}

// Axe runs the accessibility checks of axe-core over the page and gives each violation in one line.
func (p *Page) Axe(script string) []string {
	p.t.Helper()
	p.Do("load axe", chromedp.Evaluate(script, nil))
	return Eval[[]string](p, `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.html.slice(0, 160) + " — " + (n.any.concat(n.all, n.none)[0] || {message: v.help}).message)))`)
}

// Type presses keys where the focus is, each once: a terminal counts both events that chromedp makes of a key.
func (p *Page) Type(text string) {
	p.t.Helper()
	for _, ch := range text {
		key, code := string(ch), int64(0)
		if ch == '\r' {
			key, code = "Enter", 13
		}
		p.Do("type", input.DispatchKeyEvent(input.KeyDown).WithKey(key).WithText(string(ch)).WithWindowsVirtualKeyCode(code), input.DispatchKeyEvent(input.KeyUp).WithKey(key).WithWindowsVirtualKeyCode(code))
	}
}

// DoubleClickText double-clicks in the middle of the last element of a kind whose text begins with the given one, at the text itself.
func (p *Page) DoubleClickText(selector, text string) {
	p.t.Helper()
	at := Eval[[]float64](p, fmt.Sprintf(`(() => { const e = [...document.querySelectorAll(%q)].filter(e => e.innerText.startsWith(%q)).pop(); if (!e) return null;
		const r = document.createRange(); const w = document.createTreeWalker(e, NodeFilter.SHOW_TEXT); r.selectNodeContents(w.nextNode()); const b = r.getBoundingClientRect();
		return [b.left + 20, b.top + b.height / 2] })()`, selector, text))
	if len(at) != 2 {
		p.t.Fatalf("nothing to double-click shows %q", text)
	}
	p.Do("double-click", chromedp.MouseClickXY(at[0], at[1], chromedp.ClickCount(1)), chromedp.MouseClickXY(at[0], at[1], chromedp.ClickCount(2)))
}
