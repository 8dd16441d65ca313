package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"novacron/e2e/server"
)

// TestCommandLine runs the scripts of testdata/cli against the built binary. Besides testscript's own commands they have
// "address VAR", a free address in a variable, and "ready ADDRESS", which waits until a server answers there.
func TestCommandLine(t *testing.T) {
	bin := server.Binary(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/cli",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(bin)+string(filepath.ListSeparator)+env.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"address": func(ts *testscript.TestScript, _ bool, args []string) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				ts.Check(err)
				ts.Setenv(args[0], l.Addr().String())
				ts.Check(l.Close())
			},
			"ready": func(ts *testscript.TestScript, _ bool, args []string) {
				server.Wait(t, 30*time.Second, "a server on "+args[0], func() error {
					res, err := http.Get("http://" + args[0] + "/readyz")
					if err != nil {
						return err
					}
					res.Body.Close()
					if res.StatusCode != http.StatusOK {
						return server.Not(http.StatusOK, res.StatusCode)
					}
					return nil
				})
			},
			// term asks what runs in the background to end.
			"term": func(ts *testscript.TestScript, _ bool, _ []string) {
				for _, c := range ts.BackgroundCmds() {
					ts.Check(c.Process.Signal(syscall.SIGTERM))
				}
			},
			// status METHOD URL TOKEN WANTED
			"status": func(ts *testscript.TestScript, _ bool, args []string) {
				req, err := http.NewRequest(args[0], args[1], nil)
				ts.Check(err)
				req.Header.Set("Authorization", "Bearer "+args[2])
				res, err := http.DefaultClient.Do(req)
				ts.Check(err)
				res.Body.Close()
				if res.Status[:3] != args[3] {
					ts.Fatalf("%s %s: %s, wanted %s", args[0], args[1], res.Status, args[3])
				}
			},
			// api METHOD URL TOKEN WANTED [JSON] asks, wants a status that fits, and leaves the answer as the output.
			"api": func(ts *testscript.TestScript, _ bool, args []string) {
				req, err := http.NewRequest(args[0], args[1], strings.NewReader(strings.Join(args[4:], " ")))
				ts.Check(err)
				req.Header.Set("Authorization", "Bearer "+args[2])
				if len(args) > 4 {
					req.Header.Set("Content-Type", "application/json")
				}
				res, err := http.DefaultClient.Do(req)
				ts.Check(err)
				defer res.Body.Close()
				text, err := io.ReadAll(res.Body)
				ts.Check(err)
				fmt.Fprintln(ts.Stdout(), string(text))
				if !regexp.MustCompile("^" + args[3] + "$").MatchString(res.Status[:3]) {
					ts.Fatalf("%s %s: %s, wanted %s: %s", args[0], args[1], res.Status, args[3], text)
				}
			},
			// setfrom VAR FILE reads a line of output into a variable.
			"setfrom": func(ts *testscript.TestScript, _ bool, args []string) {
				text := ts.ReadFile(args[1])
				for len(text) > 0 && text[len(text)-1] == '\n' {
					text = text[:len(text)-1]
				}
				ts.Setenv(args[0], text)
			},
		},
	})
}
