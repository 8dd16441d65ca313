package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/handlers/narrow"
)

// What every operation promises beside what it is for is kept here, once, by what kind of operation it is:
//
//   - a GET of one thing carries an ETag, and an edit of the same address takes If-Match (412 when it is stale);
//   - a change takes Idempotency-Key: sent again it gives the same answer, for a day and over restarts;
//   - a change takes ?dry_run=true: everything is done but the writing, and the answer is the plan;
//   - a list takes filter, sort and fields.

// traits are what an operation is, found when it is registered.
type traits struct {
	change  bool          // it alters something
	outside bool          // what it does is not in the database, so a dry run does not try it
	list    *narrow.Shape // of the items
	words   bool          // a list with a filter of its own, of words
	sorts   bool          // a list with an order of its own
	matches bool          // takes If-Match itself
	keyed   bool          // a job remembers its key
	one     bool          // gives one thing
	packs   bool          // registerPage narrows it itself
}

// reading are the operations that change nothing though they are not a GET.
var reading = map[string]bool{
	"query-post": true, "query-range-post": true, "list-labels-post": true, "find-series-post": true, "preview-cloud-init": true, "preview-alert-rule": true,
	"preview-security-group": true, "forecast-vm": true, "plan-estate": true,
}

// outside are those whose work is not in the database: the dry run of one is what can be said without doing it.
var outside = map[string]bool{
	"test-receiver": true, "upload-volume": true, "upload-image-version": true, "cancel-job": true, "invite-user": true, "reset-user": true, "test-webhook": true,
	"write-samples": true,
}

func traitsOf[I, O any](o op) *traits {
	in, out := reflect.TypeFor[I](), reflect.TypeFor[O]()
	// What anybody may ask for makes no promise: an answer that is kept for one nobody would be given to the next.
	t := &traits{change: o.perm != access.Public && o.method != http.MethodGet && o.method != http.MethodHead && !reading[o.id], outside: outside[o.id]}
	t.words, t.sorts = takes(in, "query", "filter"), takes(in, "query", "sort")
	t.matches, t.keyed = takes(in, "header", "If-Match"), takes(in, "header", "Idempotency-Key")
	if body, ok := out.FieldByName("Body"); ok && o.method == http.MethodGet {
		t.list = listOf(body.Type)
		t.one = t.list == nil && body.Type.Kind() == reflect.Struct && !strings.HasSuffix(o.path, "/explain") && !strings.HasSuffix(o.path, "/who")
	}
	return t
}

// takes reports whether an input has a parameter.
func takes(in reflect.Type, tag, name string) bool {
	for _, f := range reflect.VisibleFields(in) {
		if f.Tag.Get(tag) == name {
			return true
		}
	}
	return false
}

// listOf gives the shape of the items of a list's body, or nil.
func listOf(body reflect.Type) *narrow.Shape {
	if body.Kind() != reflect.Struct {
		return nil
	}
	items, ok := body.FieldByName("Items")
	if !ok || items.Tag.Get("json") != "items" || items.Type.Kind() != reflect.Slice {
		return nil
	}
	return narrow.Of(items.Type.Elem())
}

// asked is what a request wants of these promises; it goes with its context.
type asked struct {
	answer http.Header       // of the answer
	path   map[string]string // parameters
	match  string            // If-Match
	key    string            // Idempotency-Key
	digest string            // of the whole request
	wait   string            // ?wait
	dry    bool
	view   view
}

type askedKey struct{}

// askedOf never gives nil.
func askedOf(ctx context.Context) *asked {
	if a, ok := ctx.Value(askedKey{}).(*asked); ok {
		return a
	}
	return &asked{answer: http.Header{}}
}

// asked takes off the request what the operation itself does not know.
func (s *server) asked(ctx huma.Context) (*asked, error) {
	c := humaecho.Unwrap(ctx)
	r := c.Request()
	t, _ := ctx.Operation().Metadata["traits"].(*traits)
	if t == nil {
		t = &traits{}
	}
	a := &asked{answer: c.Response().Header(), path: map[string]string{}}
	for i, name := range c.ParamNames() {
		a.path[name] = c.ParamValues()[i]
	}
	q := r.URL.Query()
	if t.list != nil {
		if err := a.view.take(t, q); err != nil {
			return nil, err
		}
	}
	if t.change {
		if err := a.change(t, r, q); err != nil {
			return nil, err
		}
	}
	if rest := q.Encode(); len(q) != len(r.URL.Query()) {
		u := *r.URL
		u.RawQuery = rest
		clone := r.Clone(r.Context())
		clone.URL = &u
		c.SetRequest(clone)
	}
	return a, nil
}

func (a *asked) change(t *traits, r *http.Request, q url.Values) error {
	switch text := q.Get("dry_run"); text {
	case "", "false":
	case "true":
		a.dry = true
	default:
		return asParam("query", "dry_run", "“"+short(text)+"” is neither true nor false.", "true or false")
	}
	q.Del("dry_run")
	a.wait = q.Get("wait")
	if a.key = r.Header.Get("Idempotency-Key"); len(a.key) > 200 {
		return asParam("header", "Idempotency-Key", "The key is longer than 200 characters.", "a short unique text, such as a UUID")
	}
	if !t.matches {
		a.match = strings.TrimSpace(r.Header.Get("If-Match"))
	}
	if a.key == "" || a.dry {
		return nil
	}
	h := sha256.New()
	_, _ = io.WriteString(h, r.Method+" "+r.URL.Path+"?")
	rest := url.Values{}
	for k, v := range q {
		if k != "wait" { // how long to wait is not what is asked for
			rest[k] = v
		}
	}
	_, _ = io.WriteString(h, rest.Encode()+"\n")
	if r.Body != nil && (r.Header.Get("Content-Type") == "" || strings.Contains(r.Header.Get("Content-Type"), "json")) {
		body, err := io.ReadAll(r.Body) // bounded and read before, by ask
		if err != nil {
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
			return nil // huma says what is wrong with it
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var compact bytes.Buffer
		if json.Compact(&compact, body) == nil {
			body = compact.Bytes()
		}
		h.Write(body)
	}
	a.digest = hex.EncodeToString(h.Sum(nil))
	return nil
}

// asParam is a refusal of a parameter.
func asParam(in, name, msg, want string) error {
	p := ProblemOf(domain.InvalidField(name, msg, want))
	for i := range p.Errors {
		p.Errors[i].Location, p.Errors[i].Pointer = in, ""
	}
	return p
}

// readyAnswer is an answer that is not what the operation's type says: a plan, an answer that was kept, a part of a list.
type readyAnswer struct {
	status int
	body   json.RawMessage
}

func (r *readyAnswer) Error() string                { return "answered" }
func (r *readyAnswer) GetStatus() int               { return r.status }
func (r *readyAnswer) ContentType(string) string    { return "application/json" }
func (r *readyAnswer) MarshalJSON() ([]byte, error) { return r.body, nil }

func readyWith(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return domain.Errorf(domain.Internal, "An answer cannot be written: %w", err)
	}
	return &readyAnswer{status, b}
}

// promised runs an operation's handler under the promises.
func promised[I, O any](s *server, o op, t *traits, ctx context.Context, in *I, h func(ctx context.Context, in *I) (*O, error)) (*O, error) {
	a := askedOf(ctx)
	switch {
	case t.list != nil && !t.packs && a.view.any():
		body, err := viewed(ctx, t.list, a.view, in, s.Clock(), func(ctx context.Context, in *I) (any, error) {
			out, err := h(ctx, in)
			if err != nil {
				return nil, err
			}
			return reflect.ValueOf(out).Elem().FieldByName("Body").Interface(), nil
		})
		if err != nil {
			return nil, err
		}
		return nil, &readyAnswer{http.StatusOK, body}
	case t.one:
		out, err := h(ctx, in)
		if err == nil && out != nil {
			if tag, err := tagOf(out); err != nil {
				return nil, err
			} else if tag != "" {
				a.answer.Set("ETag", tag)
			}
		}
		return out, err
	case !t.change:
		return h(ctx, in)
	}
	ctx, err := s.matching(ctx, o, a)
	if err != nil {
		return nil, err
	}
	if a.dry {
		return nil, s.dryRun(ctx, o, t, func(ctx context.Context) (any, error) { return h(ctx, in) })
	}
	if a.key == "" {
		return h(ctx, in)
	}
	return once(ctx, s, o, t, a, func(ctx context.Context) (*O, error) { return h(ctx, in) })
}

// tagOf is the ETag of an answer: its own, or a digest of what it shows.
func tagOf(out any) (string, error) {
	v := reflect.ValueOf(out).Elem()
	if f := v.FieldByName("ETag"); f.IsValid() && f.Kind() == reflect.String && f.String() != "" {
		return f.String(), nil
	}
	body := v.FieldByName("Body")
	if !body.IsValid() {
		return "", nil
	}
	b, err := json.Marshal(body.Interface())
	if err != nil {
		return "", domain.Errorf(domain.Internal, "An answer cannot be written: %w", err)
	}
	sum := sha256.Sum256(b)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, nil
}

// onesOf lets edits ask for the ETag of what they edit.
func onesOf[I, O any](s *server, o op, h func(ctx context.Context, in *I) (*O, error)) {
	s.ones[o.path] = func(ctx context.Context, path map[string]string) (string, error) {
		var in I
		fill(reflect.ValueOf(&in).Elem(), path)
		out, err := h(ctx, &in)
		if err != nil || out == nil {
			return "", err
		}
		return tagOf(out)
	}
}

// fill sets the parameters of the path in an input.
func fill(v reflect.Value, path map[string]string) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		name := f.Tag.Get("path")
		if name == "" {
			continue
		}
		at := v.FieldByIndex(f.Index)
		switch at.Kind() {
		case reflect.String:
			at.SetString(path[name])
		case reflect.Int, reflect.Int64:
			var n int64
			if json.Unmarshal([]byte(path[name]), &n) == nil {
				at.SetInt(n)
			}
		}
	}
}

// matching refuses an edit of something that is not any more what If-Match says, now and again when nobody else can write.
func (s *server) matching(ctx context.Context, o op, a *asked) (context.Context, error) {
	if a.match == "" {
		return ctx, nil
	}
	read := s.ones[o.path]
	if read == nil {
		return ctx, asParam("header", "If-Match", "This operation has no version that it could be based on.", "If-Match on an edit of something that can be read at the same address")
	}
	check := func(ctx context.Context) error {
		tag, err := read(ctx, a.path)
		if err != nil {
			return err
		}
		if a.match == "*" {
			return nil
		}
		for part := range strings.SplitSeq(a.match, ",") {
			if strings.TrimSpace(part) == tag {
				return nil
			}
		}
		p := ProblemOf(domain.Errorf(domain.Conflict, "It was changed meanwhile: it is at %s, the edit is based on %s.", tag, short(a.match)).WithFix("Read it again and make the edit on that."))
		p.Status = http.StatusPreconditionFailed
		return p
	}
	if err := check(ctx); err != nil {
		return ctx, err
	}
	return db.WithTerms(ctx, &db.Terms{Holds: check}), nil
}

// DryRun is what a change would do, for ?dry_run=true.
type DryRun struct {
	Dry       bool            `json:"dry_run" doc:"Always true: nothing was written" example:"true"`
	Operation string          `json:"operation" example:"create-vm"`
	Jobs      []DryJob        `json:"jobs" nullable:"false" doc:"The jobs that it would put into the queue"`
	Changes   []DryChange     `json:"changes" nullable:"false" doc:"What it would change at once"`
	Checks    []DryCheck      `json:"checks" nullable:"false" doc:"What was checked; a check that fails is an error answer instead"`
	Result    json.RawMessage `json:"result,omitempty" doc:"The answer that the request would have had; ids in it are made up"`
}

// DryJob is a job that would be made.
type DryJob struct {
	Kind     string     `json:"kind" example:"vm.start"`
	Title    string     `json:"title" example:"Start web-1"`
	Resource domain.Ref `json:"resource" doc:"What it is about"`
	Steps    []string   `json:"steps" nullable:"false" doc:"In order; what fails is undone from there backwards"`
	Locks    []string   `json:"locks" nullable:"false" doc:"What no other job may change meanwhile"`
}

// DryChange is something that would be told of.
type DryChange struct {
	Kind     string     `json:"kind" example:"folder.created"`
	Resource domain.Ref `json:"resource"`
	Message  string     `json:"message"`
}

// DryCheck is one thing that was looked at.
type DryCheck struct {
	Name    string `json:"name" enum:"permission,request,state"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

// dryFor bounds a dry run: nobody else writes meanwhile.
const dryFor = 5 * time.Second

// dryRun answers with the plan.
func (s *server) dryRun(ctx context.Context, o op, t *traits, h func(ctx context.Context) (any, error)) error {
	plan := DryRun{Dry: true, Operation: o.id, Jobs: []DryJob{}, Changes: []DryChange{}, Checks: []DryCheck{
		{"permission", true, "You may do this (" + string(o.perm) + ")."},
		{"request", true, "The request is complete and well made."},
	}}
	if t.outside {
		plan.Checks = append(plan.Checks, DryCheck{"state", true, "What this does happens outside of the database, so it was not tried."})
		return readyWith(http.StatusOK, plan)
	}
	ctx, cancel := context.WithTimeout(ctx, dryFor)
	defer cancel()
	var out any
	trial, err := s.DB.Try(ctx, func(ctx context.Context) (err error) {
		out, err = h(ctx)
		return err
	})
	if err != nil {
		return err
	}
	plan.Checks = append(plan.Checks, DryCheck{"state", true, "Everything that is named is there, free, and in a state that allows this."})
	for _, j := range trial.Jobs {
		p := DryJob{Kind: j.Kind, Title: j.Title, Resource: j.Resource, Steps: []string{}, Locks: list(j.Locks)}
		for _, step := range j.Steps {
			p.Steps = append(p.Steps, step.Name)
		}
		plan.Jobs = append(plan.Jobs, p)
	}
	for _, e := range trial.Events {
		if e.Kind != domain.EventStep && e.Kind != "job.changed" {
			plan.Changes = append(plan.Changes, DryChange{e.Kind, e.Resource, e.Message})
		}
	}
	if v := reflect.ValueOf(out); v.IsValid() && v.Kind() == reflect.Pointer && !v.IsNil() {
		if body := v.Elem().FieldByName("Body"); body.IsValid() && body.Kind() != reflect.Func {
			if plan.Result, err = json.Marshal(body.Interface()); err != nil {
				return domain.Errorf(domain.Internal, "An answer cannot be written: %w", err)
			}
		}
	}
	return readyWith(http.StatusOK, plan)
}

// whoOf is who an idempotency key belongs to.
func whoOf(sub auth.Subject) string {
	if sub.TokenID != "" {
		return sub.TokenID
	}
	return "user:" + sub.UserID
}

// once does a change once for its key. What is remembered is written with the change itself; the answer follows, and when the server died in between, a job is found
// again by its key, and of anything else it is said that it was done.
func once[O any](ctx context.Context, s *server, o op, t *traits, a *asked, h func(ctx context.Context) (*O, error)) (*O, error) {
	who := whoOf(auth.SubjectOf(ctx))
	id := who + "\x00" + a.key
	if _, busy := s.onces.LoadOrStore(id, struct{}{}); busy {
		return nil, domain.Errorf(domain.Conflict, "A request with this Idempotency-Key is being answered.").WithFix("Wait for its answer, then send it again.")
	}
	defer s.onces.Delete(id)
	kept, ok, err := s.DB.Once(ctx, who, a.key)
	if err != nil {
		return nil, err
	}
	switch {
	case ok && kept.Asked != a.digest:
		return nil, asParam("header", "Idempotency-Key", "This key was used for another request.", "a new key for each change, the same key only to send the same again")
	case ok && kept.JobID != "" && t.keyed, ok && kept.Status == 0 && t.keyed:
		a.answer.Set("Idempotency-Replayed", "true")
		if out, done, err := replayedJob[O](ctx, s, kept.JobID); done {
			return out, err
		}
		return h(ctx) // the job is found by its key
	case ok && kept.Status == 0:
		return nil, domain.Errorf(domain.Conflict, "This was done, but the server was stopped before it could answer, so the answer is not known.").WithFix("Look at what is there now.")
	case ok:
		a.answer.Set("Idempotency-Replayed", "true")
		for k, v := range kept.Header {
			a.answer.Set(k, v)
		}
		if len(kept.Body) == 0 {
			return nil, nil
		}
		return nil, &readyAnswer{kept.Status, kept.Body}
	}
	noted := false
	terms := &db.Terms{Holds: db.HoldsOf(ctx), Note: func(tx *db.Tx) error {
		noted = true
		return tx.BeginOnce(who, a.key, a.digest)
	}}
	out, err := h(db.WithTerms(ctx, terms))
	if !noted {
		return out, err
	}
	later := context.WithoutCancel(ctx)
	if err != nil {
		if ctx.Err() != nil { // the client left; it may come back for the answer
			return nil, err
		}
		if drop := s.DB.Write(later, func(tx *db.Tx) error { return tx.DropOnce(who, a.key) }); drop != nil {
			return nil, drop
		}
		return nil, err
	}
	answer, err := keptOf(out, o.status)
	if err != nil {
		return nil, err
	}
	answer.Asked = a.digest
	return out, s.DB.Write(later, func(tx *db.Tx) error { return tx.EndOnce(who, a.key, answer) })
}

// replayedJob answers with the job that a key made, as it is now.
func replayedJob[O any](ctx context.Context, s *server, id string) (out *O, done bool, err error) {
	if id == "" {
		return nil, false, nil
	}
	var change any
	change, err = s.accepted(ctx, ChangeParams{Wait: askedOf(ctx).wait}, func(string) (domain.Job, error) { return s.DB.Job(ctx, id) })
	if err != nil {
		return nil, true, err
	}
	if out, ok := change.(*O); ok {
		return out, true, nil
	}
	c := change.(*changeOutput)
	askedOf(ctx).answer.Set("Location", c.Location)
	return nil, true, readyWith(http.StatusAccepted, c.Body)
}

// keptOf is an answer as it is kept.
func keptOf(out any, status int) (db.Once, error) {
	once := db.Once{Status: status, Header: map[string]string{}}
	v := reflect.ValueOf(out)
	if !v.IsValid() || v.IsNil() {
		return once, nil
	}
	v = v.Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if name := f.Tag.Get("header"); name != "" && f.Type.Kind() == reflect.String {
			if text := v.FieldByIndex(f.Index).String(); text != "" {
				once.Header[name] = text
			}
		}
	}
	if f := v.FieldByName("Status"); f.IsValid() && f.Kind() == reflect.Int && f.Int() != 0 {
		once.Status = int(f.Int())
	}
	body := v.FieldByName("Body")
	if !body.IsValid() {
		return once, nil
	}
	if job, ok := body.Interface().(Job); ok {
		once.JobID = job.ID
	}
	var err error
	if once.Body, err = json.Marshal(body.Interface()); err != nil {
		return once, domain.Errorf(domain.Internal, "An answer cannot be written: %w", err)
	}
	return once, nil
}
