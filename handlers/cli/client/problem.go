package client

import (
	"fmt"
	"net/http"
	"strings"
)

// Problem is a refusal of the server (RFC 9457).
type Problem struct {
	Status  int            `json:"status"`
	Title   string         `json:"title"`
	Code    string         `json:"code"`
	Detail  string         `json:"detail"`
	Fix     string         `json:"fix"`
	Needs   string         `json:"needs"`
	Name    string         `json:"error"` // what RFC 8628 calls it
	Holder  string         `json:"holder"`
	Errors  []ProblemField `json:"errors"`
	Reasons []Reason       `json:"reasons"`

	Server     string `json:"-"`
	Token      bool   `json:"-"` // whether one was sent
	RetryAfter int    `json:"-"` // seconds
}

// ProblemField is one part of the request that is wrong.
type ProblemField struct {
	Field    string `json:"field"`
	Location string `json:"location"`
	Message  string `json:"message"`
	Want     string `json:"want"`
}

// Reason is why one candidate was refused, or which step failed.
type Reason struct {
	Subject string `json:"subject"`
	Text    string `json:"message"`
}

func (p *Problem) Error() string { return p.Detail }

// Lines say what happened and what to do, for a person at a terminal.
func (p *Problem) Lines() []string {
	out := []string{p.Detail}
	for _, f := range p.Errors {
		text := "  " + f.Field + ": " + f.Message
		if len(p.Errors) == 1 && strings.Contains(p.Detail, f.Message) {
			text = "  " + f.Field
			if f.Want == "" {
				continue
			}
			text += ": right would be " + f.Want
		} else if f.Want != "" {
			text += " Right would be " + f.Want + "."
		}
		out = append(out, text)
	}
	for _, r := range p.Reasons {
		out = append(out, "  "+strings.TrimPrefix(r.Subject+": "+r.Text, ": "))
	}
	if p.Holder != "" {
		out = append(out, "  novacron job get "+p.Holder+" shows the task that holds it.")
	}
	switch {
	case p.Status == http.StatusUnauthorized && !p.Token:
		out = append(out, "  Sign in with: novacron login "+p.Server)
	case p.Status == http.StatusUnauthorized:
		out = append(out, "  Sign in again with: novacron login "+p.Server)
	case p.Status == http.StatusTooManyRequests && p.RetryAfter > 0:
		out = append(out, fmt.Sprintf("  Try again in %d s.", p.RetryAfter))
	case p.Fix != "":
		out = append(out, "  "+p.Fix)
	}
	return out
}

// UnreachableError says that a server does not answer, or that what answers is not one.
type UnreachableError struct {
	Server string
	Err    error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s does not answer: %v.", e.Server, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// Lines say what to do.
func (e *UnreachableError) Lines() []string {
	return []string{e.Error(), "  Look whether the server runs and whether that is its address; novacron context list shows what is known."}
}

// UsageError is a mistake in what was asked.
type UsageError struct{ Msg, Fix string }

func (e *UsageError) Error() string { return e.Msg }

// Lines say what to do.
func (e *UsageError) Lines() []string {
	if e.Fix == "" {
		return []string{e.Msg}
	}
	return []string{e.Msg, "  " + e.Fix}
}
