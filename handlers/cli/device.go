package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"novacron/handlers/cli/client"
)

// deviceCode is what a server answers a terminal that wants to be signed in (RFC 8628).
type deviceCode struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	ExpiresIn  int    `json:"expires_in"`
	Interval   int    `json:"interval"`
}

// byBrowser gets a token by letting a person say in a browser that this terminal is theirs.
func (a *app) byBrowser(cmd *cobra.Command, k known) (string, error) {
	c, err := client.New(client.Options{Server: k.Server, CA: k.CA, Agent: "novacron/" + a.Version})
	if err != nil {
		return "", err
	}
	ctx := cmd.Context()
	var code deviceCode
	if err := c.Get(ctx, client.Call{Op: "ask-device-code", Body: map[string]any{"name": terminalName()}}, &code); err != nil {
		return "", err
	}
	page := k.Server + "/device?code=" + code.UserCode // not what the answer says: the person knows the address that they typed
	fmt.Fprintf(a.Err, "Open  %s\nand let this terminal in when the code there is  %s\n", page, clean(code.UserCode, false))
	if _, isTerm := terminal(a.Err); isTerm && flag(cmd, "no-browser") != "true" {
		a.browse(ctx, page)
	}
	fmt.Fprintln(a.Err, "Waiting…")
	ctx, end := context.WithTimeoutCause(ctx, time.Duration(max(code.ExpiresIn, 1))*time.Second, &deniedError{"Nobody let this terminal in while the code was good.", "Try again with “novacron login " + k.Server + "”."})
	defer end()
	every := time.Duration(max(code.Interval, 1)) * time.Second
	for {
		var made struct {
			Token string `json:"token"`
		}
		err := c.Get(ctx, client.Call{Op: "take-device-token", Body: map[string]any{"device_code": code.DeviceCode}}, &made)
		p, refused := errors.AsType[*client.Problem](err)
		switch {
		case err == nil:
			return made.Token, nil
		case refused && p.Name == "slow_down":
			every += 5 * time.Second
		case refused && p.Name == "access_denied":
			return "", &deniedError{"It was refused in the browser.", ""}
		case refused && p.Name == "expired_token":
			return "", &deniedError{"The code has expired.", "Try again with “novacron login " + k.Server + "”."}
		case !refused || p.Name != "authorization_pending":
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(every):
		}
	}
}

// terminalName is what the token will be called.
func terminalName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "novacron"
	}
	host = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-._", r) {
			return r
		}
		return '-'
	}, host)
	return "novacron on " + host[:min(len(host), 50)]
}

// browse opens a page where there is a browser; that there is none is no error, the address is on the screen.
func (a *app) browse(ctx context.Context, page string) {
	opener := "xdg-open"
	switch {
	case runtime.GOOS == "darwin":
		opener = "open"
	case a.Getenv("DISPLAY") == "" && a.Getenv("WAYLAND_DISPLAY") == "":
		return
	}
	// #nosec G204 -- the opener is one of two names; the page begins with the server that was typed, and no shell reads it
	c := exec.CommandContext(ctx, opener, page)
	if c.Start() == nil {
		go c.Wait() //nolint:errcheck // whatever it says, the person sees the address
	}
}
