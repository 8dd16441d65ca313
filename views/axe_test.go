package views_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"novacron/static"
)

const axeFile = "../node_modules/axe-core/axe.min.js"

// policy is the header that handlers send; pages must work under it.
const policy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// sideways names what sticks out on the right of a page that scrolls that way, "" when nothing does. A phone's browser zooms out to fit
// what is too wide, so the width that was asked for counts, not the window's.
const sideways = `((width) => {
	const main = document.querySelector("main");
	if (innerWidth <= width && document.documentElement.scrollWidth <= width && main.scrollWidth <= main.clientWidth + 1) return "";
	const out = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > width + 1 && !e.closest(".table-wrap, .tabs, pre"));
	return out.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(" | ") || "something";
})`

// gallery serves every sample page under its name, with the real static files, the real policy and a stream that says nothing.
func gallery(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle(static.Prefix, http.StripPrefix(static.Prefix, http.FileServerFS(static.Files())))
	mux.HandleFunc("/live", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	for _, p := range pages() {
		html := render(t, p.c)
		mux.HandleFunc("/p/"+p.name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", policy)
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, html)
		})
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

// profile is a folder for a browser. Not t.TempDir: a browser that was ended may go on writing for a moment, and what it then leaves is no failure.
func profile(t *testing.T) string {
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

func browser(t *testing.T) context.Context {
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile(t)),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("hide-scrollbars", true))
	alloc, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, stopTab := chromedp.NewContext(alloc)
	t.Cleanup(stopTab)
	if err := chromedp.Run(ctx); err != nil { // the browser lives as long as the context that it is first asked with
		t.Fatal(err)
	}
	return ctx
}

// TestBrowser opens every page light and dark, wide and narrow: axe finds nothing, the page does not scroll sideways, and the
// console has no error, least of all one of the content security policy. NOVACRON_GALLERY=dir keeps the pictures;
// NOVACRON_PAGES=a,b looks at some only, NOVACRON_TALL=3000 makes the pictures so high.
func TestBrowser(t *testing.T) {
	axe, err := os.ReadFile(axeFile)
	if err != nil {
		t.Fatalf("axe-core is missing: run “make static” first: %v", err)
	}
	if missing := static.Missing(); len(missing) > 0 {
		t.Fatalf("vendor files are missing: run “make static” first: %v", missing)
	}
	srv := gallery(t)
	ctx := browser(t)
	dir := os.Getenv("NOVACRON_GALLERY")
	only := os.Getenv("NOVACRON_PAGES")
	tall, err := strconv.ParseInt(cmp.Or(os.Getenv("NOVACRON_TALL"), "0"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var complaints []string
	chromedp.ListenTarget(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, ev.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			// The gallery has no handlers: requests for tickets and pictures are refused there.
			if ev.Entry.Level == log.LevelError && ev.Entry.Source != log.SourceNetwork {
				complaints = append(complaints, ev.Entry.Text)
			}
		}
	})
	looks := []struct {
		name, theme   string
		width, height int64
		rules         string // beyond the first look: only what it cannot tell
	}{
		{"light", "light", 1440, 900, "{}"},
		{"dark", "dark", 1440, 900, `{runOnly: ["color-contrast"]}`},
		{"phone", "light", 390, 844, `{runOnly: ["button-name", "link-name", "summary-name", "label", "color-contrast"]}`},
	}
	for _, p := range pages() {
		if only != "" && !strings.Contains(","+only+",", ","+p.name+",") {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
			defer stop()
			if err := chromedp.Run(ctx, emulation.SetDeviceMetricsOverride(1440, 900, 1, false), chromedp.Navigate(srv.URL+"/p/"+p.name), chromedp.Evaluate(string(axe)+";true", nil)); err != nil {
				t.Fatal(err)
			}
			for _, l := range looks {
				var raw, wide string
				var shot []byte
				err := chromedp.Run(ctx,
					emulation.SetDeviceMetricsOverride(l.width, l.height, 1, l.width < 500),
					chromedp.Evaluate(`document.documentElement.dataset.theme = "`+l.theme+`"; document.fonts.ready.then(() => true)`, nil, awaited),
					chromedp.Evaluate(fmt.Sprintf("%s(%d)", sideways, l.width), &wide),
					chromedp.ActionFunc(func(ctx context.Context) error {
						if dir == "" {
							return nil
						}
						if tall != 0 {
							if err := emulation.SetDeviceMetricsOverride(l.width, tall, 1, l.width < 500).Do(ctx); err != nil {
								return err
							}
						}
						return chromedp.CaptureScreenshot(&shot).Do(ctx)
					}),
					chromedp.Evaluate(`axe.run(document, `+l.rules+`).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 160) + " :: " + (n.any[0]?.message ?? n.failureSummary)).slice(0, 4)}))))`, &raw, awaited),
				)
				if err != nil {
					t.Fatal(err)
				}
				if dir != "" {
					if err := os.WriteFile(filepath.Join(dir, p.name+"-"+l.name+".png"), shot, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if wide != "" {
					t.Errorf("%s: the page scrolls sideways, because of %s", l.name, wide)
				}
				var found []struct {
					ID, Help string
					Nodes    []string
				}
				if err := json.Unmarshal([]byte(raw), &found); err != nil {
					t.Fatal(err)
				}
				for _, f := range found {
					t.Errorf("%s: axe: %s: %s\n  %s", l.name, f.ID, f.Help, strings.Join(f.Nodes, "\n  "))
				}
			}
			mu.Lock()
			for _, c := range complaints {
				t.Errorf("console: %s", c)
			}
			complaints = nil
			mu.Unlock()
		})
	}
}

func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
