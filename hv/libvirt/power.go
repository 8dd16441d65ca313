package libvirt

import (
	"context"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
)

// Bounds of power operations whose caller sets no deadline.
const (
	startLimit = 2 * time.Minute
	saveLimit  = 30 * time.Minute
)

// now is a guest and the state it is in.
type now struct {
	golibvirt.Domain
	state    golibvirt.DomainState
	starting bool // QEMU is up and about to run; libvirt calls that paused
	saved    bool
}

func (n now) off() bool { return n.state == golibvirt.DomainShutoff }
func (n now) runs() bool {
	return n.state == golibvirt.DomainRunning || n.state == golibvirt.DomainBlocked || n.state == golibvirt.DomainShutdown || n.state == golibvirt.DomainNostate
}

func (n now) conflict(doing string) error {
	st := guestState(int32(n.state), 0, n.saved)
	e := domain.Errorf(domain.Conflict, "%s is %s, so it cannot be %s.", n.Name, st.State, doing)
	switch st.State {
	case domain.VMPaused:
		e.Fix = "Resume it first."
	case domain.VMStopped, domain.VMSaved, domain.VMCrashed:
		e.Fix = "Start it first."
	}
	return e
}

func (h *host) now(ctx context.Context, uuid string) (now, error) {
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return now{}, err
	}
	return get(ctx, h.conn, "tell the state of "+d.Name, func(l *golibvirt.Libvirt) (now, error) {
		state, reason, err := l.DomainGetState(d, 0)
		if err != nil {
			return now{}, err
		}
		saved, err := isSaved(l, d, state)
		return now{d, golibvirt.DomainState(state), startingUp(state, reason), saved}, err
	})
}

// change acts on a guest unless done says that it is in the wanted state. Somebody else may bring that state about in between, so a refusal
// is looked at again before it is reported.
func (h *host) change(ctx context.Context, uuid, doing string, limit time.Duration, done func(now) (bool, error), act func(l *golibvirt.Libvirt, n now) error) error {
	n, err := h.now(ctx, uuid)
	if err != nil {
		return err
	}
	if ok, err := done(n); ok || err != nil {
		return err
	}
	run := h.slow
	if limit == saveLimit {
		run = h.hours
	}
	err = run(ctx, doing+" "+n.Name, limit, func(l *golibvirt.Libvirt) error { return act(l, n) })
	if domain.Is(err, domain.Conflict) {
		if again, lookErr := h.now(ctx, uuid); lookErr == nil {
			if ok, doneErr := done(again); ok && doneErr == nil {
				return nil
			}
		}
	}
	return err
}

func (h *host) Start(ctx context.Context, uuid string) error {
	return h.change(ctx, uuid, "start", startLimit, func(n now) (bool, error) {
		if !n.off() && !n.runs() && !n.starting && n.state != golibvirt.DomainCrashed {
			return false, n.conflict("started")
		}
		return n.runs(), nil
	}, func(l *golibvirt.Libvirt, n now) error {
		// One that somebody else is starting is waited for by libvirt, which then says that it runs.
		if n.state == golibvirt.DomainCrashed { // kept for inspection by on_crash=preserve
			if err := l.DomainDestroyFlags(n.Domain, 0); err != nil {
				return err
			}
		}
		_, err := l.DomainCreateWithFlags(n.Domain, 0)
		return err
	})
}

func (h *host) Shutdown(ctx context.Context, uuid string) error {
	return h.change(ctx, uuid, "shut down", startLimit, func(n now) (bool, error) {
		if !n.off() && !n.runs() {
			return false, n.conflict("shut down")
		}
		return n.off(), nil
	}, func(l *golibvirt.Libvirt, n now) error {
		// Without flags libvirt asks the agent where one is connected, and presses the ACPI button when there is none or it fails.
		return l.DomainShutdownFlags(n.Domain, golibvirt.DomainShutdownDefault)
	})
}

func (h *host) Stop(ctx context.Context, uuid string) error {
	return h.change(ctx, uuid, "power off", startLimit, func(n now) (bool, error) { return n.off(), nil },
		func(l *golibvirt.Libvirt, n now) error { return l.DomainDestroyFlags(n.Domain, 0) })
}

func (h *host) Reboot(ctx context.Context, uuid string) error {
	return h.change(ctx, uuid, "reboot", startLimit, func(n now) (bool, error) {
		if !n.runs() {
			return false, n.conflict("rebooted")
		}
		return false, nil
	}, func(l *golibvirt.Libvirt, n now) error {
		return l.DomainReboot(n.Domain, golibvirt.DomainRebootDefault)
	})
}

func (h *host) Reset(ctx context.Context, uuid string) error {
	return h.change(ctx, uuid, "reset", startLimit, func(n now) (bool, error) {
		if n.off() {
			return false, n.conflict("reset")
		}
		return false, nil
	}, func(l *golibvirt.Libvirt, n now) error {
		err := l.DomainReset(n.Domain, 0)
		if number(err) == golibvirt.ErrNoSupport && h.isTest() { // the test driver can only reboot
			return l.DomainReboot(n.Domain, golibvirt.DomainRebootDefault)
		}
		return err
	})
}

func (h *host) Pause(ctx context.Context, uuid string) error {
	return h.change(ctx, uuid, "pause", startLimit, func(n now) (bool, error) {
		if n.off() || n.state == golibvirt.DomainCrashed {
			return false, n.conflict("paused")
		}
		return n.state == golibvirt.DomainPaused, nil
	}, func(l *golibvirt.Libvirt, n now) error { return l.DomainSuspend(n.Domain) })
}

func (h *host) Resume(ctx context.Context, uuid string) error {
	return h.change(ctx, uuid, "resume", startLimit, func(n now) (bool, error) {
		if n.off() || n.state == golibvirt.DomainCrashed {
			return false, n.conflict("resumed")
		}
		return n.runs(), nil
	}, func(l *golibvirt.Libvirt, n now) error {
		if n.state == golibvirt.DomainPmsuspended {
			return l.DomainPmWakeup(n.Domain, 0)
		}
		return l.DomainResume(n.Domain)
	})
}

func (h *host) Save(ctx context.Context, uuid string) error {
	return h.change(ctx, uuid, "save", saveLimit, func(n now) (bool, error) {
		if n.off() && !n.saved {
			return false, n.conflict("saved")
		}
		return n.saved, nil
	}, func(l *golibvirt.Libvirt, n now) error { return l.DomainManagedSave(n.Domain, 0) })
}

func (h *host) Discard(ctx context.Context, uuid string) error {
	return h.change(ctx, uuid, "discard the saved state of", startLimit, func(n now) (bool, error) { return !n.saved, nil },
		func(l *golibvirt.Libvirt, n now) error { return l.DomainManagedSaveRemove(n.Domain, 0) })
}

func (h *host) SetAutostart(ctx context.Context, uuid string, on bool) error {
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return err
	}
	want := int32(0)
	if on {
		want = 1
	}
	return h.do(ctx, "set the autostart of "+d.Name, func(l *golibvirt.Libvirt) error { return l.DomainSetAutostart(d, want) })
}
