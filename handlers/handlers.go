// Package handlers is the web side of NovaCron: one table of routes, the pages, the live stream, the consoles' websockets. It is the only
// importer of echo.
//
// A handler decodes, authorises (the table does it), acts through jobs/fleet or reads through db, and renders a component of views. It
// returns an error and never answers one itself: errors.go turns every error into a page, a toast or a problem+json.
//
// It is not for rules (domain, jobs), for markup (views) or for talking to hosts: the one exception, the stream of a console, goes
// through jobs/fleet.Console. The JSON API is package handlers/api, mounted here.
package handlers

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
	"novacron/handlers/api"
	"novacron/handlers/memo"
	"novacron/jobs"
	"novacron/jobs/alerts"
	"novacron/jobs/fleet"
	"novacron/jobs/webhooks"
	"novacron/views/apidocs"
)

// Deps is what the handlers stand on. Everything is needed but the fields marked optional.
type Deps struct {
	DB      *db.DB
	Engine  *jobs.Engine
	Fleet   *fleet.Fleet
	Auth    *auth.Auth
	Console *fleet.Console
	Log     *slog.Logger
	Clock   func() time.Time
	Static  fs.FS
	Version string

	// TrustedProxies may set X-Forwarded-For and X-Forwarded-Proto; optional, and empty means that nobody may.
	TrustedProxies []*net.IPNet
	// Guests are kernels on this server that people may boot to try things; optional.
	Guests []Guest
	// Closing ends the streams that would otherwise keep a shutdown waiting (live pages, consoles); optional. Cancelling the server's
	// base context does the same.
	Closing <-chan struct{}
	// Series is what was measured; optional.
	Series *series.Store
	// Alerts is where rules, silences and receivers of alerts are changed.
	Alerts *alerts.Desk
	// Webhooks is where webhooks are changed and called.
	Webhooks *webhooks.Desk
	// APIRate is how many requests a minute a token may send to the API; 0: any number.
	APIRate int
	// Site is where people and programs find this server; empty: not known.
	Site string
}

// Guest is a kernel with an initial file system on the server's own disk, offered in the create form for hosts that run here.
type Guest struct{ Label, Kernel, Initrd, Cmdline string }

type server struct {
	Deps
	shell   *shellCache
	hub     *hub
	flashes *drawer[flash]
	drafts  *drawer[draft]
	tickets *tickets
	shots   *screenshots
	static  *staticFiles
	sheets  *memo.Memo[sheetKey, sheet]
	routes  []route
	apiOps  []api.Operation
	docs    []apidocs.Group // the API's reference
	lists   map[string]bool // addresses of the API that pack their answers themselves
}

// New makes the handler of the whole site.
func New(d Deps) (http.Handler, error) {
	if d.DB == nil || d.Engine == nil || d.Fleet == nil || d.Auth == nil || d.Console == nil || d.Log == nil || d.Clock == nil || d.Static == nil {
		return nil, domain.Errorf(domain.Internal, "The web side was started without everything that it stands on.")
	}
	_, e := build(d)
	return e, nil
}

func build(d Deps) (*server, *echo.Echo) {
	s := &server{
		Deps:    d,
		shell:   newShellCache(d.DB, d.Clock),
		hub:     newHub(d.DB.Feed(), d.Engine),
		flashes: newDrawer[flash](d.Clock, 500, time.Minute),
		drafts:  newDrawer[draft](d.Clock, 200, time.Hour),
		tickets: newTickets(d.Clock),
		shots:   newScreenshots(d.Clock),
		static:  newStaticFiles(d.Static),
		lists:   map[string]bool{},
		sheets:  memo.New[sheetKey, sheet](d.DB.Feed().Last, d.Clock, sheetsKept),
	}
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.answerError
	e.IPExtractor = ipExtractor(d.TrustedProxies)
	s.middleware(e)
	s.routes = s.table()
	for _, r := range s.routes {
		e.Add(r.method, r.path, s.guard(r))
	}
	var spec []byte
	var err error
	s.apiOps = api.Register(e, api.Deps{Described: func(doc []byte) { spec = doc }, DB: d.DB, Engine: d.Engine, Fleet: d.Fleet, Auth: d.Auth, Log: d.Log, Clock: d.Clock, Closing: d.Closing, Series: d.Series, Alerts: d.Alerts, Console: s.apiConsole, Screenshot: s.apiScreenshot,
		Webhooks: d.Webhooks, Rate: func() int { return d.APIRate }, Site: d.Site})
	if s.docs, err = reference(spec); err != nil {
		panic(err) // the document is made of types alone
	}
	for _, op := range s.apiOps {
		if op.Packs {
			s.lists[op.Path] = true
		}
	}
	return s, e
}

// streamContext is the request's context that also ends when the server closes.
func (s *server) streamContext(c echo.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.Request().Context())
	if s.Closing == nil {
		return ctx, cancel
	}
	stop, closing := make(chan struct{}), s.Closing
	go func() {
		select {
		case <-closing:
			cancel()
		case <-stop:
		}
	}()
	return ctx, func() { close(stop); cancel() }
}
