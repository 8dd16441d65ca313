package libvirt

import (
	"context"
	"errors"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
)

// codeOf maps libvirt's error numbers (virterror.h) to ours. What is not listed is the host refusing for a reason that lies in its state
// (QEMU does not start, a file is missing): a conflict, with libvirt's own message, and never a fault of ours.
var codeOf = map[golibvirt.ErrorNumber]domain.Code{
	golibvirt.ErrNoDomain:             domain.NotFound,
	golibvirt.ErrNoStoragePool:        domain.NotFound,
	golibvirt.ErrNoStorageVol:         domain.NotFound,
	golibvirt.ErrNoNetwork:            domain.NotFound,
	golibvirt.ErrNoNodeDevice:         domain.NotFound,
	golibvirt.ErrNoNwfilter:           domain.NotFound,
	golibvirt.ErrNoDomainSnapshot:     domain.NotFound,
	golibvirt.ErrNoDomainCheckpoint:   domain.NotFound,
	golibvirt.ErrDeviceMissing:        domain.NotFound,
	golibvirt.ErrOperationInvalid:     domain.Conflict,
	golibvirt.ErrOperationFailed:      domain.Conflict,
	golibvirt.ErrDomExist:             domain.Conflict,
	golibvirt.ErrNetworkExist:         domain.Conflict,
	golibvirt.ErrStorageVolExist:      domain.Conflict,
	golibvirt.ErrResourceBusy:         domain.Conflict,
	golibvirt.ErrInvalidArg:           domain.Invalid,
	golibvirt.ErrXMLError:             domain.Invalid,
	golibvirt.ErrXMLDetail:            domain.Invalid,
	golibvirt.ErrXMLInvalidSchema:     domain.Invalid,
	golibvirt.ErrParseFailed:          domain.Invalid,
	golibvirt.ErrOsType:               domain.Invalid,
	golibvirt.ErrInvalidMac:           domain.Invalid,
	golibvirt.ErrNoSupport:            domain.Unsupported,
	golibvirt.ErrConfigUnsupported:    domain.Unsupported,
	golibvirt.ErrArgumentUnsupported:  domain.Unsupported,
	golibvirt.ErrOperationUnsupported: domain.Unsupported,
	golibvirt.ErrCPUIncompatible:      domain.Unsupported,
	golibvirt.ErrAuthFailed:           domain.Denied,
	golibvirt.ErrAuthCancelled:        domain.Denied,
	golibvirt.ErrAuthUnavailable:      domain.Denied,
	golibvirt.ErrAccessDenied:         domain.Denied,
	golibvirt.ErrOperationDenied:      domain.Denied,
	golibvirt.ErrOperationTimeout:     domain.Unavailable,
	golibvirt.ErrAgentUnresponsive:    domain.Unavailable,
	golibvirt.ErrAgentUnsynced:        domain.Unavailable,
	golibvirt.ErrAgentCommandTimeout:  domain.Unavailable,
	golibvirt.ErrNoConnect:            domain.Unavailable,
	golibvirt.ErrNoServer:             domain.Unavailable,
}

// number gives libvirt's error number, 0 when err is not libvirt's.
func number(err error) golibvirt.ErrorNumber {
	if e, ok := errors.AsType[golibvirt.Error](err); ok {
		// #nosec G115 -- libvirt's own list of errors, of some hundred; another number is a code that is not known
		return golibvirt.ErrorNumber(e.Code)
	}
	return 0
}

// fromDaemon turns what a daemon answered into our error. doing is what was tried, as in "start the VM".
func fromDaemon(doing string, err error) error {
	if errors.Is(err, golibvirt.ErrUnsupported) {
		return domain.Errorf(domain.Unsupported, "This host's libvirt cannot %s.", doing).WithCause(err)
	}
	e, ok := errors.AsType[golibvirt.Error](err)
	if !ok {
		return domain.Errorf(domain.Internal, "An answer of the host to “%s” could not be read.", doing).WithCause(err)
	}
	code, known := codeOf[golibvirt.ErrorNumber(e.Code)] // #nosec G115 -- as in number, above
	if !known {
		code = domain.Conflict
	}
	out := domain.Errorf(code, "The host could not %s: %s.", doing, sentence(e.Message)).WithCause(err)
	switch code {
	case domain.Denied:
		out.Fix = "Give the account that NovaCron connects with the right to manage virtual machines on this host."
	case domain.NotFound:
		out.Msg = "The host could not " + doing + " because it is not there: " + sentence(e.Message) + "."
	}
	return out
}

// sentence takes a trailing full stop and line break away, to put a message inside a sentence.
func sentence(s string) string {
	for len(s) > 0 && (s[len(s)-1] == '.' || s[len(s)-1] == '\n' || s[len(s)-1] == ' ') {
		s = s[:len(s)-1]
	}
	return s
}

// errSilent is the cause of a connection that was given up because an answer did not come in time.
var errSilent = errors.New("no answer in time")

func silent(doing string, waited time.Duration) *domain.Error {
	return domain.Errorf(domain.Unavailable, "The host did not answer within %s when asked to %s; the connection was given up.", waited.Round(100*time.Millisecond), doing).
		WithFix("Look whether libvirtd on the host is stopped, swapping or waiting for storage. NovaCron connects again by itself.").WithCause(errSilent)
}

func broken(doing string, cause error) *domain.Error {
	if errors.Is(cause, errSilent) {
		return domain.Errorf(domain.Unavailable, "The connection to the host was given up while trying to %s: it did not answer.", doing).WithCause(cause)
	}
	return domain.Errorf(domain.Unavailable, "The connection to the host ended while trying to %s.", doing).
		WithFix("NovaCron connects again by itself; try again when the host is back.").WithCause(cause)
}

// stopped is the error of a call whose caller went away, or ran out of time before the host was asked.
func stopped(ctx context.Context, doing string) *domain.Error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return domain.Errorf(domain.Unavailable, "The request to %s was withdrawn.", doing).WithCause(ctx.Err())
	}
	return domain.Errorf(domain.Unavailable, "There was no time left to %s: the host is busy with other requests.", doing).WithCause(context.DeadlineExceeded)
}
