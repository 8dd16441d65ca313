package domain

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Code is the class of a failure. It decides the HTTP status and whether trying again can help.
type Code string

const (
	Invalid         Code = "invalid"         // the request is wrong; Fields says where
	NotFound        Code = "not_found"       // no such thing, or none that this person may see
	Conflict        Code = "conflict"        // the world is in a state that forbids it: name taken, busy, edited meanwhile
	Denied          Code = "denied"          // known person, not allowed
	Unauthenticated Code = "unauthenticated" // nobody is signed in
	Exhausted       Code = "exhausted"       // no capacity anywhere; Reasons says why for each candidate
	Unavailable     Code = "unavailable"     // the other side does not answer now; trying again may help
	Unsupported     Code = "unsupported"     // this host or hypervisor cannot do it
	Internal        Code = "internal"        // our fault
)

// FieldError names one wrong field of a request. Field is the JSON/form name in dotted form ("disks.0.size_bytes").
type FieldError struct {
	Field string `json:"field"`
	Msg   string `json:"message"`        // what was wrong
	Want  string `json:"want,omitempty"` // what would be right
}

// Reason says why one candidate (usually a host) was refused, or which step of a diagnosis failed.
type Reason struct {
	Subject string `json:"subject"`
	Msg     string `json:"message"`
}

// Error is the one error type people see. Msg is for the person, Fix says what to do about it, the cause is for the log.
type Error struct {
	Code    Code
	Msg     string
	Fix     string
	Fields  []FieldError
	Reasons []Reason
	Holder  string // id of the job that holds the resource, for Conflict
	cause   error
}

// Errorf makes an Error; a %w verb keeps its operand as the cause and does not print it in Msg.
func Errorf(code Code, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	e := &Error{Code: code, Msg: wrapped.Error(), cause: errors.Unwrap(wrapped)}
	if e.cause != nil {
		e.Msg = strings.TrimSuffix(strings.TrimSuffix(e.Msg, e.cause.Error()), ": ")
	}
	return e
}

// WithFix adds what the person can do about it.
func (e *Error) WithFix(format string, args ...any) *Error {
	e.Fix = fmt.Sprintf(format, args...)
	return e
}

// WithCause keeps err for the log.
func (e *Error) WithCause(err error) *Error { e.cause = err; return e }

// InvalidField is the common case of one wrong field.
func InvalidField(field, msg, want string) *Error {
	return &Error{Code: Invalid, Msg: msg, Fields: []FieldError{{Field: field, Msg: msg, Want: want}}}
}

func (e *Error) Error() string { return e.Msg }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Detail is Error with the cause, for logs.
func (e *Error) Detail() string {
	if e.cause == nil {
		return e.Msg
	}
	return e.Msg + ": " + e.cause.Error()
}

// CodeOf gives the code of the first *Error in err's chain; "" for nil, Internal when there is none.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

// Is reports whether err carries the code.
func Is(err error, code Code) bool { return CodeOf(err) == code }

// Problems collects field errors while a form is checked.
type Problems []FieldError

// Add records one wrong field.
func (p *Problems) Add(field, msg, want string) {
	*p = append(*p, FieldError{Field: field, Msg: msg, Want: want})
}

// Err gives nil when nothing was recorded, else an Invalid error that names the fields.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	msgs := make([]string, len(p))
	for i, f := range p {
		msgs[i] = f.Field + ": " + f.Msg
	}
	return &Error{Code: Invalid, Msg: strings.Join(msgs, "; "), Fields: p}
}

// Refield gives an error whose fields begin otherwise: what is a part of one request is the whole of another.
func Refield(err error, from, to string) error {
	var e *Error
	if !errors.As(err, &e) || len(e.Fields) == 0 {
		return err
	}
	named := *e
	named.Fields = slices.Clone(e.Fields)
	for i, f := range named.Fields {
		if rest, ok := strings.CutPrefix(f.Field, from); ok {
			named.Fields[i].Field = to + rest
		}
	}
	return &named
}

// Explain is an error in one text for people: what is wrong, what would be right, what to do. What is nobody's to see is left out.
func Explain(err error) string {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return "Something went wrong here; the server's log says what."
	}
	text := e.Msg
	for _, f := range e.Fields {
		if f.Want != "" && !strings.Contains(text, f.Want) {
			text += " Right would be " + f.Want + "."
		}
	}
	return strings.TrimSpace(text + " " + e.Fix)
}
