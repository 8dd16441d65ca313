package cli

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"novacron/domain"
	"novacron/handlers/cli/client"
)

// Codes that the command leaves with. They are part of the contract: scripts branch on them.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitConflict    = 5
	exitUnavailable = 6
	exitJob         = 7
	exitInterrupted = 130
)

const exitText = `What novacron leaves with:

  0    It is done. A change without --wait: it was begun.
  1    It failed for a reason that is none of the below.
  2    The command line or the request is not right: an unknown flag, a missing argument, a
       value that the server refuses.
  3    There is no such thing, or it may not be seen.
  4    Not signed in, or not allowed.
  5    The state forbids it: changed meanwhile, held by another task, a name that is taken,
       no capacity.
  6    The server or a host does not answer, the server asks to slow down, or --timeout or
       --wait is over. What was begun goes on.
  7    The change was begun and did not succeed: it was taken back (undone) or needs a person
       (stuck). novacron job get shows which and why.
  130  Interrupted at the terminal. What was begun goes on.

novacron vm exec leaves with the code of the command in the guest, once that was run. With several things named, the code is that of the first that failed; the others are done all
the same.`

type notFoundError struct{ msg, fix string }

func (e *notFoundError) Error() string   { return e.msg }
func (e *notFoundError) Lines() []string { return said(e.msg, e.fix) }

type deniedError struct{ msg, fix string }

func (e *deniedError) Error() string   { return e.msg }
func (e *deniedError) Lines() []string { return said(e.msg, e.fix) }

type conflictError struct{ msg, fix string }

func (e *conflictError) Error() string   { return e.msg }
func (e *conflictError) Lines() []string { return said(e.msg, e.fix) }

func said(msg, fix string) []string {
	if fix == "" {
		return []string{msg}
	}
	return []string{msg, "  " + fix}
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	is := func(target any) bool { return errors.As(err, target) }
	var (
		problem  *client.Problem
		usage    *client.UsageError
		away     *client.UnreachableError
		late     *timeoutError
		missing  *notFoundError
		denied   *deniedError
		conflict *conflictError
		job      *jobError
		ours     *domain.Error
	)
	var left *leave
	switch {
	case is(&left):
		return left.code
	case is(&job):
		return exitJob
	case is(&problem):
		return exitOfStatus(problem.Status)
	case is(&usage):
		return exitUsage
	case is(&away), is(&late), errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	case is(&missing):
		return exitNotFound
	case is(&denied):
		return exitDenied
	case is(&conflict):
		return exitConflict
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case is(&ours):
		return exitOfCode(ours.Code)
	case strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	}
	return exitFailed
}

func exitOfStatus(status int) int {
	switch status {
	case http.StatusNotFound, http.StatusGone:
		return exitNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitDenied
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusInsufficientStorage:
		return exitConflict
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return exitUnavailable
	}
	if status >= 500 {
		return exitFailed
	}
	return exitUsage
}

func exitOfCode(code domain.Code) int {
	switch code {
	case domain.Invalid, domain.Unsupported:
		return exitUsage
	case domain.NotFound:
		return exitNotFound
	case domain.Denied, domain.Unauthenticated:
		return exitDenied
	case domain.Conflict, domain.Exhausted:
		return exitConflict
	case domain.Unavailable:
		return exitUnavailable
	}
	return exitFailed
}

func exitTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the command leaves with", Long: exitText} // without a body cobra shows it as a help topic
}
