// Package api is version 1 of the HTTP API: JSON over the same front door (jobs/fleet) and the same rows as the pages.
//
// A change answers 202 with its job; what only NovaCron knows (tags, notes, labels, maintenance) changes at once and answers 200. Errors are
// problem+json. Every operation names its permission; a bearer token or, for reading from our own pages, the session says who asks.
// The OpenAPI document is made from the code, and a golden file of it shows every change of the contract.
//
// It is not for rules: what may be asked and what is right is decided in domain, jobs/fleet and auth/access.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
	"novacron/handlers/memo"
	"novacron/handlers/narrow"
	"novacron/jobs"
	"novacron/jobs/alerts"
	"novacron/jobs/fleet"
	"novacron/jobs/webhooks"
)

// Deps is what the API stands on.
type Deps struct {
	DB     *db.DB
	Engine *jobs.Engine
	Fleet  *fleet.Fleet
	Auth   *auth.Auth
	Log    *slog.Logger
	Clock  func() time.Time
	// Closing ends event streams and waits when the server shuts down; optional.
	Closing <-chan struct{}
	// Series is what was measured; without it the operations about it answer that nothing is.
	Series *series.Store
	// Described is given the OpenAPI document; optional.
	Described func(spec []byte)
	// Webhooks is where webhooks are changed and called.
	Webhooks *webhooks.Desk
	// Site is where people and programs find this server; empty: not known.
	Site string
	// Rate is how many requests a minute a token may send; 0, or no function: any number.
	Rate func() int
	// Alerts is where rules, silences and receivers are changed.
	Alerts *alerts.Desk
	// Console carries a console's bytes over a websocket that the request opens, while alive says so; Screenshot is a still picture of a screen.
	// Without them there are no consoles.
	Console    func(c echo.Context, vmID, kind string, alive func() bool) error
	Screenshot func(ctx context.Context, vmID string) (png []byte, err error)
}

// Operation is one route with what is needed to use it.
type Operation struct {
	Method     string
	Path       string // as echo writes it: /api/v1/vms/:id
	Permission access.Permission
	Packs      bool // answers packed by itself to whoever takes it
}

const (
	prefix    = "/api/v1"
	challenge = `Bearer realm="NovaCron"`
	// heartbeat keeps proxies from closing a quiet event stream.
	heartbeat = 15 * time.Second
	// sendTimeout is how long a client of the event stream may take for one message, bodyTimeout how long one may take to send a request's body.
	sendTimeout = 20 * time.Second
	bodyTimeout = 30 * time.Second
)

type server struct {
	Deps
	log   *slog.Logger
	api   huma.API
	ops   []Operation
	pages *memo.Memo[pageKey, pageOutput]

	ones     map[string]func(ctx context.Context, path map[string]string) (etag string, err error) // by path: the things that can be read alone
	watchers watchers

	onces sync.Map // Idempotency-Keys at work
	rates rates
}

// Register mounts every operation and the OpenAPI document on e, and lists them.
func Register(e *echo.Echo, deps Deps) []Operation { return mount(e, deps).ops }

func mount(e *echo.Echo, deps Deps) *server {
	hookHuma()
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	cfg := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "NovaCron", Version: "1",
				Description: "Hosts, virtual machines and the jobs that change them. Make a token on the page API tokens or with `novacron token create`, " +
					"and send it as `Authorization: Bearer …`.",
			},
			Components: &huma.Components{
				Schemas:         registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "An API token."}},
			},
			Security: []map[string][]string{{"token": {}}},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
	s := &server{Deps: deps, log: deps.Log, api: humaecho.New(e, cfg), ones: map[string]func(context.Context, map[string]string) (string, error){}}
	s.pages = memo.New[pageKey, pageOutput](deps.DB.Generation, deps.Clock, pagesMost)
	s.api.UseMiddleware(s.authorise)
	s.hosts()
	s.inventory()
	s.devices()
	s.cpus()
	s.vms()
	s.networks()
	s.actions()
	s.guest()
	s.images()
	s.migrations()
	s.policies()
	s.affinityRules()
	s.plans()
	s.dashboards()
	s.snapshots()
	s.blocks()
	s.templates()
	s.jobs()
	s.events()
	s.storage()
	s.people()
	s.signIns()
	s.terminals()
	s.consoles()
	s.rights()
	s.folders()
	s.audit()
	s.compliance()
	s.measures()
	s.alerts()
	s.desired()
	s.webhooks()
	s.describe()
	s.document(e)
	return s
}

// document serves the OpenAPI document, made once. It is made of types alone, so a failure is a mistake in this package and not a state of the world.
func (s *server) document(e *echo.Echo) {
	v31, err := json.Marshal(s.api.OpenAPI())
	if err != nil {
		panic(err)
	}
	v30, err := downgraded(s.api.OpenAPI())
	if err != nil {
		panic(err)
	}
	if s.Described != nil {
		s.Described(v31)
	}
	for path, doc := range map[string][]byte{"/openapi.json": v31, "/openapi-3.0.json": v30} {
		e.GET(path, func(c echo.Context) error {
			c.Response().Header().Set("Cache-Control", "no-cache")
			return c.Blob(http.StatusOK, "application/openapi+json", doc)
		})
	}
	s.ops = append(s.ops, Operation{http.MethodGet, "/openapi.json", access.Public, false}, Operation{http.MethodGet, "/openapi-3.0.json", access.Public, false})
}

// op is one operation's place in the table.
type op struct {
	id, method, path, summary, doc, tag string
	perm                                access.Permission
	status                              int
	packs                               bool // set by registerPage
	items                               *narrow.Shape
}

// register adds an operation: huma checks the request, authorise the person, and fail turns an error into an answer.
func register[I, O any](s *server, o op, h func(ctx context.Context, in *I) (*O, error)) {
	registerWith(s, o, func(*huma.Operation) {}, h)
}

// registerWith lets an operation say more of itself than its types do.
func registerWith[I, O any](s *server, o op, more func(*huma.Operation), h func(ctx context.Context, in *I) (*O, error)) {
	t := traitsOf[I, O](o)
	if t.packs = o.packs; o.packs {
		t.list, t.one = o.items, false
	}
	s.ops = append(s.ops, Operation{o.method, echoPath(prefix + o.path), o.perm, o.packs})
	hop := huma.Operation{
		OperationID: o.id, Method: o.method, Path: prefix + o.path, Summary: o.summary, Description: o.doc, Tags: []string{o.tag}, DefaultStatus: o.status,
		BodyReadTimeout: bodyTimeout,
		Metadata:        map[string]any{"permission": o.perm, "traits": t},
		Extensions:      map[string]any{"x-permission": string(o.perm)},
	}
	if more(&hop); hop.Responses != nil { // huma adds the error answer only where the answers are left to it
		hop.Responses["default"] = &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{ProblemContentType: {Schema: schemaOf[Problem](s.api.OpenAPI().Components.Schemas)}}}
	}
	if t.one {
		onesOf(s, o, h)
	}
	huma.Register(s.api, hop, func(ctx context.Context, in *I) (*O, error) {
		if read, ok := ctx.Value(bodyRead{}).(func()); ok {
			read()
		}
		out, err := promised(s, o, t, ctx, in, h)
		if ready, ok := errors.AsType[*readyAnswer](err); ok {
			return nil, ready
		}
		if err != nil {
			return nil, s.fail(ctx, o.id, err)
		}
		return out, nil
	})
}

// bodyRead is the context's key for what lifts the deadline of the body once it is read: net/http takes a deadline that passes later for a
// client that left, and would end an answer that waits for a job.
type bodyRead struct{}

// changeOutput answers a change: the job and where it is.
type changeOutput struct {
	Location string `header:"Location" doc:"Where the job is"`
	Body     Job
}

// accepted answers with the job, after waiting for it when that was asked.
func (s *server) accepted(ctx context.Context, in ChangeParams, start func(key string) (domain.Job, error)) (*changeOutput, error) {
	wait, err := in.wait()
	if err != nil {
		return nil, err
	}
	job, err := start(in.Key)
	if err != nil {
		return nil, err
	}
	if wait > 0 && !job.State.Ended() && !db.Trying(ctx) {
		open, end := s.whileOpen(ctx)
		defer end()
		until, cancel := context.WithTimeout(open, wait)
		defer cancel()
		if job, err = s.Engine.Wait(until, job.ID); err != nil {
			return nil, err
		}
	}
	return &changeOutput{Location: prefix + "/jobs/" + job.ID, Body: s.jobFor(ctx, &job)}, nil
}

// whileOpen is ctx that also ends when the server closes; end must be called.
func (s *server) whileOpen(ctx context.Context) (open context.Context, end func()) {
	open, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.Closing: // nil: never
			cancel()
		case <-open.Done():
		}
	}()
	return open, func() { cancel(); <-done }
}

// job shows a job with its latest progress, which is not in the database.
func (s *server) job(j *domain.Job) Job {
	if p, ok := s.Engine.Progress(j.ID); ok && !j.State.Ended() {
		j.Progress = p
	}
	return jobOf(j)
}

func schemaOf[T any](r huma.Registry) *huma.Schema {
	t := reflect.TypeFor[T]()
	return r.Schema(t, true, t.Name())
}

// echoPath writes /vms/{id} as echo does.
func echoPath(path string) string { return strings.NewReplacer("{", ":", "}", "").Replace(path) }
