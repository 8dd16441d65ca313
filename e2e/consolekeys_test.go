package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"novacron/e2e/browser"
	"novacron/e2e/server"
)

// listen collects what a VM's serial console says until the test ends; the function waits for a text that came after the last one it found.
func listen(t *testing.T, e *estate, v server.VM) (hears func(what string)) {
	t.Helper()
	c := signIn(t, e.Server)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	ws, _, err := e.dial(ctx, c, e.ticket(t, c, v, "serial"), e.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	ws.SetReadLimit(1 << 20)
	rest := ""
	return func(what string) {
		t.Helper()
		for !strings.Contains(rest, what) {
			kind, b, err := ws.Read(ctx)
			if err != nil || kind != websocket.MessageBinary {
				t.Fatalf("the serial console ended before %q: %v; heard:\n%s", what, err, rest)
			}
			rest += string(b)
		}
		_, rest, _ = strings.Cut(rest, what)
	}
}

// What a person does at the screen reaches the guest: text pasted into it, Ctrl-Alt-Del, also in full screen, in a window of its own and after a reconnect.
func TestTheScreensControlsReachTheGuest(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "controls", e.hosts[0], 0))
	p := browser.Open(t, e.URL, 1440, 900)
	p.SignIn(e.Admin, e.Password, password)
	e.Server.Password = password
	hears := listen(t, e, v)
	hears("tick ")

	const connected = `document.getElementById("console").dataset.connected === "true"`
	paste := func(s string) {
		t.Helper()
		p.Click(`summary:has(+ #console-clip)`)
		browser.Eval[bool](p, `(document.getElementById("console-text").value = `+quoted(s)+`, true)`)
		p.Click(`#console-clip button[type=submit]`)
	}
	p.Go("/vms/" + v.ID + "/console")
	p.Until("the screen", connected)
	paste("echo Paste-$((6*7)): \"It's <OK>\" > /dev/ttyS0\n")
	hears(`Paste-42: It's <OK>`)

	p.Click(`[data-console=reconnect]`)
	p.Until("the screen after a reconnect", `document.getElementById("console-status").textContent === "Connected"`)
	paste("echo again-$((6*7)) > /dev/ttyS0\n")
	hears("again-42")

	p.Click(`[data-console=full]`)
	p.Until("full screen", `document.fullscreenElement && document.fullscreenElement.classList.contains("console")`)
	p.Picture("console-full")
	p.Click(`summary:has(+ .menu-list [data-console=cad])`)
	p.Click(`[data-console=cad]`)
	hears("NOVA-GUEST-UP") // it began anew
	p.Click(`[data-console=full]`)
	p.Until("the end of full screen", `!document.fullscreenElement`)

	href := browser.Eval[string](p, `document.querySelector("[data-popout]").getAttribute("href")`)
	p.Go(href)
	p.Until("the screen in a window of its own", connected)
	hears("tick ")
	paste("echo alone-$((6*7)) > /dev/ttyS0\n")
	hears("alone-42")
	p.Picture("console-alone")
}

// The serial terminal in the browser: keys, pasted text, and what is marked in it.
func TestTheTerminalTakesTextAndGivesIt(t *testing.T) {
	e := newEstate(t)
	req := e.guest(t, "terminal", e.hosts[0], 0)
	req["boot"].(map[string]any)["cmdline"] = "console=ttyS0 quiet" // no heartbeat between the lines
	v := e.create(t, req)
	p := browser.Open(t, e.URL, 1440, 900)
	p.SignIn(e.Admin, e.Password, password)
	p.Go("/vms/" + v.ID + "/console?kind=serial")
	p.Until("the terminal", `document.getElementById("console").dataset.connected === "true"`)
	const screen = `document.querySelector(".xterm-rows").innerText`
	// With each prompt the guest's shell asks the terminal where its cursor is. A guest that is slow takes the answer for keys and has it in its line: a line begins empty, and one that
	// the shell did not understand is written anew, as a person does.
	const emptied = "\x15"
	until := func(what, expr string, write func()) {
		t.Helper()
		for range 4 {
			if write(); p.Sees(15*time.Second, expr) {
				return
			}
		}
		p.Until(what, expr)
	}
	typed := func(s, expr string) {
		t.Helper()
		until("what was typed", expr, func() { p.Type(emptied + s + "\r") })
	}
	pasted := func(s, expr string) {
		t.Helper()
		until("what was pasted", expr, func() {
			p.Type(emptied)
			p.Click(`summary:has(+ #console-clip)`)
			browser.Eval[bool](p, `(document.getElementById("console-text").value = `+quoted(s+"\n")+`, true)`)
			p.Click(`#console-clip button[type=submit]`)
		})
	}
	p.Type("\r")
	p.Until("the shell", screen+`.includes("nova-guest:")`)
	typed("echo typed_$((6*7))", screen+`.includes("typed_42")`)
	pasted("echo pasted_$((6*7))", screen+`.includes("pasted_42")`)
	pasted(`printf "\\033[38;2;10;200;30mcoloured_$((6*7))\\033[0m\\n"`, // a colour that no style sheet has: the terminal writes it into a style, under the page's policy
		`[...document.querySelectorAll(".xterm-rows span")].some(s => s.textContent.includes("coloured_42") && getComputedStyle(s).color === "rgb(10, 200, 30)")`)

	p.DoubleClickText(".xterm-rows > div", "pasted_42")
	p.Until("the marked word in the clipboard's box", `document.getElementById("console-text").value === "pasted_42"`)
	p.Click(`[data-console=reconnect]`)
	p.Until("the terminal after a reconnect", `document.getElementById("console").dataset.connected === "true"`)
	typed("echo back_$((6*7))", screen+`.includes("back_42")`)
	p.Picture("console-serial")
}

func quoted(s string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`", "$", "\\$").Replace(s) + "`"
}
