package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"novacron/auth"
	"novacron/domain"
)

// ProblemContentType is the media type of every error answer (RFC 9457).
const ProblemContentType = "application/problem+json"

// Problem is the one error answer of the API.
type Problem struct {
	Type    string          `json:"type" doc:"A stable name of this sort of problem" example:"urn:novacron:problem:conflict"`
	Title   string          `json:"title" doc:"The sort of problem in words" example:"The state forbids it"`
	Status  int             `json:"status" doc:"The HTTP status" example:"409"`
	Code    string          `json:"code" doc:"The sort of problem in one word" example:"conflict"`
	Detail  string          `json:"detail" doc:"What happened this time" example:"There is a VM named web-1 on b2 already."`
	Fix     string          `json:"fix,omitempty" doc:"What to do about it"`
	Errors  []ProblemField  `json:"errors,omitempty" doc:"The parts of the request that are wrong"`
	Reasons []domain.Reason `json:"reasons,omitempty" doc:"Why each candidate was refused, or which step failed"`
	Needs   string          `json:"needs,omitempty" doc:"The step that would lift the refusal" enum:"code,second-factor-setup"`
	Holder  string          `json:"holder,omitempty" doc:"The job that holds the resource" example:"job_01k…"`
}

// ProblemField names one wrong part of a request.
type ProblemField struct {
	Field    string `json:"field" doc:"Dotted name" example:"disks.0.size_bytes"`
	Location string `json:"location" doc:"body, query, path or header" example:"body"`
	Pointer  string `json:"pointer,omitempty" doc:"Where it is in the body, as a JSON pointer" example:"#/disks/0/size_bytes"`
	Message  string `json:"message" doc:"What is wrong with it"`
	Want     string `json:"want,omitempty" doc:"What would be right"`
}

func (p *Problem) Error() string { return p.Detail }

// GetStatus and ContentType are what huma asks of an error that answers for itself.
func (p *Problem) GetStatus() int { return p.Status }

func (p *Problem) ContentType(string) string { return ProblemContentType }

// kinds is the one table of what each class of failure is over HTTP.
var kinds = map[domain.Code]struct {
	status int
	title  string
}{
	domain.Invalid:         {http.StatusUnprocessableEntity, "The request is not right"},
	domain.NotFound:        {http.StatusNotFound, "There is no such thing"},
	domain.Conflict:        {http.StatusConflict, "The state forbids it"},
	domain.Denied:          {http.StatusForbidden, "Not allowed"},
	domain.Unauthenticated: {http.StatusUnauthorized, "Sign in first"},
	domain.Exhausted:       {http.StatusInsufficientStorage, "No capacity"},
	domain.Unavailable:     {http.StatusServiceUnavailable, "The other side does not answer"},
	domain.Unsupported:     {http.StatusUnprocessableEntity, "Not supported"},
	domain.Internal:        {http.StatusInternalServerError, "NovaCron failed"},
}

// Status gives the HTTP status of a class of failure: pages and API answer with the same.
func Status(code domain.Code) int {
	if k, ok := kinds[code]; ok {
		return k.status
	}
	return http.StatusInternalServerError
}

// ProblemOf makes the answer for an error. The cause of an internal failure stays out of it: that is for the log.
func ProblemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	e, ok := errors.AsType[*domain.Error](err)
	if !ok {
		e = domain.Errorf(domain.Internal, "NovaCron failed to do this.").WithFix("Try again; if it stays, look at the server's log.")
	}
	p := problem(Status(e.Code), e.Code, e.Msg)
	p.Fix, p.Reasons, p.Holder = e.Fix, e.Reasons, e.Holder
	if step, ok := errors.AsType[*auth.StepError](err); ok {
		p.Needs = step.Needs
	}
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, ProblemField{Field: fieldName(f.Field), Location: locate(f.Field), Message: f.Msg, Want: f.Want})
	}
	point(p.Errors)
	return p
}

// point adds the pointers of RFC 9457 to what is wrong in the body.
func point(fields []ProblemField) {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	for i, f := range fields {
		if f.Location == "body" && f.Field != "" {
			fields[i].Pointer = "#/" + strings.ReplaceAll(escape.Replace(f.Field), ".", "/")
		}
	}
}

// asSent names the fields of an error as the request's body did: what begins with from begins with to.
func asSent(err error, from, to string) error {
	e, ok := errors.AsType[*domain.Error](err)
	if !ok {
		return err
	}
	out := *e
	out.Fields = slices.Clone(e.Fields)
	for i, f := range out.Fields {
		if rest, ok := strings.CutPrefix(f.Field, from); ok {
			out.Fields[i].Field = to + rest
			out.Msg = strings.ReplaceAll(out.Msg, f.Field+": ", to+rest+": ")
		}
	}
	return &out
}

// queryFields are the names that only a query string has, so that a domain error can be located.
var queryFields = map[string]bool{"filter": true, "sort": true, "cursor": true, "after": true, "limit": true, "wait": true, "fields": true}

func locate(field string) string {
	if queryFields[field] {
		return "query"
	}
	if field == "Content-Range" {
		return "header"
	}
	return "body"
}

func problem(status int, code domain.Code, detail string) *Problem {
	title := kinds[code].title
	if title == "" {
		title = http.StatusText(status)
	}
	return &Problem{Type: "urn:novacron:problem:" + string(code), Title: title, Status: status, Code: string(code), Detail: detail}
}

// WriteProblem answers with an error outside of huma's operations, for example where no route matches. A status of 0 is the one of the error's class.
func WriteProblem(w http.ResponseWriter, status int, err error) error {
	p := ProblemOf(err)
	if status != 0 && status != p.Status {
		p.Status, p.Title = status, http.StatusText(status)
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	w.Header().Set("Content-Type", ProblemContentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	return json.NewEncoder(w).Encode(p)
}

// hookHuma makes huma's own refusals (wrong type, unknown field, bad JSON) problems of ours. Huma keeps its error constructor and these rules
// in package variables, so this is done once for the process.
var hookHuma = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError { return refusal(status, msg, errs) }
	huma.NewErrorWithContext = func(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return refusal(status, msg, errs)
	}
})

var codeOfStatus = map[int]domain.Code{
	http.StatusBadRequest: domain.Invalid, http.StatusUnprocessableEntity: domain.Invalid, http.StatusRequestEntityTooLarge: domain.Invalid,
	http.StatusUnsupportedMediaType: domain.Invalid, http.StatusRequestTimeout: domain.Invalid, http.StatusNotAcceptable: domain.Invalid,
	http.StatusPreconditionFailed: domain.Conflict,
}

func refusal(status int, msg string, errs []error) *Problem {
	code, ok := codeOfStatus[status]
	if !ok {
		code = domain.Internal
	}
	p := problem(status, code, sentence(msg))
	for _, err := range errs[:min(len(errs), fieldsTold)] {
		d, ok := err.(huma.ErrorDetailer)
		if !ok {
			continue
		}
		p.Errors = append(p.Errors, fieldOf(d.ErrorDetail()))
	}
	point(p.Errors)
	switch {
	case len(p.Errors) == 1 && p.Errors[0].Field == "":
		p.Detail = p.Errors[0].Message
	case len(p.Errors) > 0:
		parts := make([]string, len(p.Errors))
		for i, f := range p.Errors {
			parts[i] = f.Field + ": " + f.Message
		}
		p.Detail = strings.Join(parts, "; ")
	}
	switch status {
	case http.StatusUnsupportedMediaType:
		p.Detail, p.Errors = "The body is not JSON.", nil
		p.Fix = "Send it with the header Content-Type: application/json."
	case http.StatusRequestEntityTooLarge:
		p.Fix = "Send at most 1 MiB."
	}
	return p
}

// An answer is never larger than what was sent only because all of that is wrong.
const (
	fieldsTold = 50
	textTold   = 400 // characters of one message
)

// short cuts what somebody sent.
func short(s string) string {
	if len(s) <= textTold {
		return s
	}
	return strings.ToValidUTF8(s[:textTold], "") + "…"
}

var (
	indexRE    = regexp.MustCompile(`\[(\d+)\]`)
	requiredRE = regexp.MustCompile("^" + strings.Replace(regexp.QuoteMeta(validation.MsgExpectedRequiredProperty), "%s", `(\S+)`, 1) + "$")
)

// fieldOf turns huma's "body.disks[0].size" into a location and the dotted name that a domain error would use. The value is not echoed: it may be a key.
func fieldOf(d *huma.ErrorDetail) ProblemField {
	at := short(d.Location)
	loc, field, _ := strings.Cut(at, ".")
	f := ProblemField{Location: loc, Field: indexRE.ReplaceAllString(field, ".$1"), Message: sentence(d.Message)}
	if strings.HasPrefix(loc, "body[") {
		f.Location, f.Field = "body", strings.TrimPrefix(indexRE.ReplaceAllString(at, ".$1"), "body.")
	}
	if m := requiredRE.FindStringSubmatch(d.Message); m != nil {
		f.Field = strings.TrimPrefix(f.Field+"."+m[1], ".")
		f.Message = "This is needed."
	}
	switch {
	case d.Message == validation.MsgUnexpectedProperty:
		f.Message = fmt.Sprintf("There is no field “%s” here.", f.Field)
		f.Want = "a field that /openapi.json names"
	case d.Message == "unknown query parameter":
		f.Message = fmt.Sprintf("There is no parameter “%s” here.", f.Field)
		f.Want = "a parameter that /openapi.json names"
	}
	return f
}

// sentence makes "expected integer" a sentence.
func sentence(s string) string {
	s = short(s)
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// fail logs what is our fault and makes the answer.
func (s *server) fail(ctx context.Context, op string, err error) error {
	if _, ready := err.(*DeviceProblem); ready {
		return err
	}
	if _, ready := err.(huma.HeadersError); ready {
		return err
	}
	p := ProblemOf(err)
	if p.Status == http.StatusInternalServerError && ctx.Err() == nil {
		detail := err.Error()
		if e, ok := errors.AsType[*domain.Error](err); ok {
			detail = e.Detail()
		}
		s.log.ErrorContext(ctx, "an API operation failed", "operation", op, "error", detail)
	}
	if p.Status == http.StatusServiceUnavailable {
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {"5"}})
	}
	return p
}
