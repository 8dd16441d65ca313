package hv

import (
	"context"
	"time"

	"novacron/domain"
)

// Agent speaks with the agent inside a guest. Every call is Unavailable when the guest runs but no agent answers, Conflict when it does not run, and Unsupported
// when the VM has no channel for an agent or the hypervisor has no such thing.
type Agent interface {
	// GuestFacts asks the agent for all it knows. What this agent does not know stays empty.
	GuestFacts(ctx context.Context, uuid string) (domain.GuestFacts, error)
	// ExecGuest starts a program in the guest, directly and without a shell, and gives its process number there. Running it twice runs it twice.
	ExecGuest(ctx context.Context, uuid string, argv []string) (pid int64, err error)
	// ExecStatus says how a program that ExecGuest started is doing. NotFound when the agent does not know the process: agents forget one as soon as they
	// have told of its end.
	ExecStatus(ctx context.Context, uuid string, pid int64) (ExecStatus, error)
	// FreezeFS stops all writing to the guest's file systems and gives how many; ThawFS lets it go on. Both are no-ops in the wanted state.
	FreezeFS(ctx context.Context, uuid string) (int, error)
	ThawFS(ctx context.Context, uuid string) (int, error)
	// SetGuestPassword sets a user's password: plain, or a crypt(3) hash when crypted (guests of Windows take plain ones only).
	SetGuestPassword(ctx context.Context, uuid, user, password string, crypted bool) error
	// GuestKeys lists a user's authorized SSH keys; SetGuestKeys replaces them.
	GuestKeys(ctx context.Context, uuid, user string) ([]string, error)
	SetGuestKeys(ctx context.Context, uuid, user string, keys []string) error
	// SetGuestTime sets the guest's clock.
	SetGuestTime(ctx context.Context, uuid string, t time.Time) error
}

// ExecStatus is how a program in a guest is doing. Out and Err are there when it has ended, at most ExecKeep bytes of each.
type ExecStatus struct {
	Ended            bool
	Code             int // of its exit
	Signal           int // that ended it; 0: none
	Out, Err         []byte
	OutMore, ErrMore bool // there was more than what is kept
}

// ExecKeep is how much of each output is kept.
const ExecKeep = 64 * 1024
