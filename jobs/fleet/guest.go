package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/cloudinit"
	"novacron/jobs"
	"novacron/jobs/guest"
)

// ExecGuest asks for a command to be run inside a guest.
type ExecGuest struct {
	domain.GuestExec
	Key string
}

// GuestPassword asks for a user's password inside a guest to be set.
type GuestPassword struct {
	User     string
	Password string // plain; it is hashed for guests that take hashes, and never written down
	Hash     string // instead
	Key      string
}

// GuestKeys asks for a user's SSH keys inside a guest to be set.
type GuestKeys struct {
	User string
	Keys []string
	Add  bool // to those that are there, instead of in their place
	Key  string
}

// Bounds of a freeze.
const (
	FreezeSeconds    = 60
	MaxFreezeSeconds = 600
)

// guestFor reads a VM whose guest can be asked.
func (f *Fleet) guestFor(ctx context.Context, vmID string) (domain.VM, guest.On, error) {
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return vm, guest.On{}, err
	}
	on := guest.On{VMID: vm.ID, HostID: vm.HostID, UUID: vm.UUID, Name: vm.Name}
	switch {
	case vm.State == domain.VMAway:
		return vm, on, domain.Errorf(domain.Unavailable, "The host of %s is away, so its guest cannot be asked now.", vm.Name).WithFix("Wait for the host to come back.")
	case vm.State != domain.VMRunning:
		e := domain.Errorf(domain.Conflict, "%s is %s, so nobody answers inside it.", vm.Name, vm.State).WithFix("Start it first.")
		if vm.State == domain.VMPaused {
			e.Fix = "Resume it first."
		}
		return vm, on, e
	case vm.Live != nil && !vm.Live.GuestAgent:
		return vm, on, domain.Errorf(domain.Unsupported, "%s has no channel for a guest agent.", vm.Name).WithFix("Add the channel org.qemu.guest_agent.0 to its definition; VMs made here have it.")
	}
	return vm, on, nil
}

func guestLock(vmID string) string { return "guest:" + vmID }

func (f *Fleet) guestJob(ctx context.Context, actor, vmID, key, kind, title string, lock bool, input func(vm domain.VM, on guest.On) (any, error)) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vm, on, err := f.guestFor(ctx, vmID)
	if err != nil {
		return domain.Job{}, err
	}
	in, err := input(vm, on)
	if err != nil {
		return domain.Job{}, err
	}
	req := jobs.Request{Kind: kind, Title: fmt.Sprintf(title, vm.Name), Resource: ref(vm), Input: in, Actor: actor, Key: key}
	if lock {
		req.Locks = []string{guestLock(vm.ID)}
	}
	return f.engine.Enqueue(ctx, req)
}

// ExecGuest enqueues a command for a guest. What the VM does not allow is Denied.
func (f *Fleet) ExecGuest(ctx context.Context, actor, vmID string, req ExecGuest) (domain.Job, error) {
	var p domain.Problems
	req.Validate(&p)
	if err := p.Err(); err != nil {
		return domain.Job{}, err
	}
	title := strings.ReplaceAll("Run “"+guest.Line(req.Argv)+"”", "%", "%%") + " in %s"
	return f.guestJob(ctx, actor, vmID, req.Key, guest.KindExec, title, false, func(vm domain.VM, on guest.On) (any, error) {
		rules, err := f.db.ExecRules(ctx, vm.ID)
		if err != nil {
			return nil, err
		}
		if err := rules.Allow(req.Argv); err != nil {
			return nil, err
		}
		rec, err := f.db.GuestRecord(ctx, vm.ID)
		if err != nil {
			return nil, err
		}
		in := guest.Exec{On: on, Argv: req.Argv, TimeoutS: req.TimeoutS, Windows: rec.Facts.Windows()}
		if in.TimeoutS == 0 {
			in.TimeoutS = domain.DefaultExecSeconds
		}
		return in, nil
	})
}

// FreezeGuest enqueues a freeze of a guest's file systems: the job thaws them after the seconds, or whatever happens.
func (f *Fleet) FreezeGuest(ctx context.Context, actor, vmID string, seconds int, key string) (domain.Job, error) {
	if seconds == 0 {
		seconds = FreezeSeconds
	}
	if seconds < 1 || seconds > MaxFreezeSeconds {
		return domain.Job{}, domain.InvalidField("seconds", "That is not a possible time to stay frozen.", fmt.Sprintf("1 to %d seconds, or nothing for %d", MaxFreezeSeconds, FreezeSeconds))
	}
	return f.guestJob(ctx, actor, vmID, key, guest.KindFreeze, "Freeze the file systems of %s", true, func(_ domain.VM, on guest.On) (any, error) {
		return guest.Freeze{On: on, Seconds: seconds}, nil
	})
}

// ThawGuest enqueues a thaw; it does not wait for the freeze that it ends.
func (f *Fleet) ThawGuest(ctx context.Context, actor, vmID, key string) (domain.Job, error) {
	return f.guestJob(ctx, actor, vmID, key, guest.KindThaw, "Thaw the file systems of %s", false, plainInput)
}

// SyncGuestTime enqueues setting a guest's clock to the server's.
func (f *Fleet) SyncGuestTime(ctx context.Context, actor, vmID, key string) (domain.Job, error) {
	return f.guestJob(ctx, actor, vmID, key, guest.KindTime, "Set the clock of %s", true, plainInput)
}

// LookGuest enqueues a question to a guest's agent, for whoever does not want to wait for the next one.
func (f *Fleet) LookGuest(ctx context.Context, actor, vmID, key string) (domain.Job, error) {
	return f.guestJob(ctx, actor, vmID, key, guest.KindLook, "Ask the guest agent of %s", false, plainInput)
}

// LookAtProcesses enqueues the question which processes take most inside a guest. It runs commands there: where the VM does not allow them it is Denied.
func (f *Fleet) LookAtProcesses(ctx context.Context, actor, vmID, key string) (domain.Job, error) {
	return f.guestJob(ctx, actor, vmID, key, guest.KindProcesses, "Look at the processes of %s", false, func(vm domain.VM, on guest.On) (any, error) {
		sizes, err := f.MayLookAtProcesses(ctx, vm.ID)
		if err != nil {
			return nil, err
		}
		return guest.Processes{On: on, CPUs: vm.Config.VCPUs, Sizes: sizes}, nil
	})
}

// MayLookAtProcesses tells whether a VM allows the commands that tell its processes; and, when it does, whether it allows the one that tells their memory.
func (f *Fleet) MayLookAtProcesses(ctx context.Context, vmID string) (sizes bool, err error) {
	rules, err := f.db.ExecRules(ctx, vmID)
	if err != nil {
		return false, err
	}
	rec, err := f.db.GuestRecord(ctx, vmID)
	if err != nil {
		return false, err
	}
	if rec.Facts.Windows() {
		return false, domain.Errorf(domain.Unsupported, "The processes of Windows are not told here.").WithFix("Look at them on its screen.")
	}
	if err := rules.Allow(domain.TopCommand); err != nil {
		return false, err
	}
	return rules.Allow(domain.PsCommand) == nil, nil
}

func plainInput(_ domain.VM, on guest.On) (any, error) { return on, nil }

// SetGuestPassword enqueues setting a user's password. It goes into no row and no log.
func (f *Fleet) SetGuestPassword(ctx context.Context, actor, vmID string, req GuestPassword) (domain.Job, error) {
	var p domain.Problems
	domain.CheckGuestUser(&p, "user", req.User)
	domain.CheckPassword(&p, "password", req.Password)
	switch {
	case req.Password == "" && req.Hash == "":
		p.Add("password", "No password is given.", "a new password")
	case req.Password != "" && req.Hash != "":
		p.Add("password_hash", "A password and a hash are given.", "one of the two")
	case req.Hash != "":
		domain.CloudInit{PasswordHash: req.Hash}.Validate(&p, "")
	}
	if err := p.Err(); err != nil {
		return domain.Job{}, err
	}
	return f.guestJob(ctx, actor, vmID, req.Key, guest.KindPassword, "Set the password of a user in %s", true, func(vm domain.VM, on guest.On) (any, error) {
		rec, err := f.db.GuestRecord(ctx, vm.ID)
		if err != nil {
			return nil, err
		}
		s := guest.Secret{Hash: req.Hash}
		switch {
		case rec.Facts.Windows() && req.Hash != "":
			return nil, domain.InvalidField("password_hash", "Windows takes no hashes.", "the password")
		case rec.Facts.Windows():
			s.Plain = req.Password
		case req.Hash == "":
			s.Hash = cloudinit.Hash(req.Password)
		}
		in := guest.Password{On: on, User: req.User, Secret: domain.NewID("secret", f.clock())}
		f.guests.Keep(in.Secret, s)
		return in, nil
	})
}

// SetGuestKeys enqueues setting a user's SSH keys.
func (f *Fleet) SetGuestKeys(ctx context.Context, actor, vmID string, req GuestKeys) (domain.Job, error) {
	var p domain.Problems
	domain.CheckGuestUser(&p, "user", req.User)
	for i, k := range req.Keys {
		domain.CheckSSHKey(&p, fmt.Sprintf("keys.%d", i), k)
	}
	if len(req.Keys) > 200 {
		p.Add("keys", "That is too many keys.", "at most 200")
	}
	if err := p.Err(); err != nil {
		return domain.Job{}, err
	}
	return f.guestJob(ctx, actor, vmID, req.Key, guest.KindKeys, "Set the SSH keys of a user in %s", true, func(_ domain.VM, on guest.On) (any, error) {
		return guest.Keys{On: on, User: req.User, Keys: slices.Clone(req.Keys), Add: req.Add}, nil
	})
}

// SetExecRules says which commands may be run inside a guest from now on. It is ours alone, so no job is needed.
func (f *Fleet) SetExecRules(ctx context.Context, actor, vmID string, rules domain.ExecRules) error {
	var p domain.Problems
	rules.Validate(&p, "allow")
	if err := p.Err(); err != nil {
		return err
	}
	return f.db.Write(ctx, func(tx *db.Tx) error {
		vm, err := tx.VM(vmID)
		if err != nil {
			return err
		}
		if err := tx.SetExecRules(vm.ID, rules); err != nil {
			return err
		}
		what := "all commands"
		if len(rules) > 0 {
			what = strings.Join(rules, " · ")
		}
		return tx.Emit(domain.Event{Kind: "guest.changed", Resource: ref(vm), HostID: vm.HostID, Actor: actor, Message: fmt.Sprintf("The commands allowed inside %s are now: %s.", vm.Name, what)})
	})
}
