package libvirt

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
)

// How long an agent may take for one answer. libvirt would wait for ever, and a call that outlives its deadline costs the connection to the host: so the limit
// is set at libvirt before each call, well below that deadline.
const (
	agentQuick  = 10 // seconds
	agentFreeze = 60 // what is dirty must be written first
)

// agent makes calls that need the guest's agent: the guest must run, and what libvirt says when no agent answers is put into words.
func (h *host) agent(ctx context.Context, uuid string, seconds int32, doing string, fn func(l *golibvirt.Libvirt, d golibvirt.Domain) error) error {
	n, err := h.now(ctx, uuid)
	if err != nil {
		return err
	}
	if !n.runs() {
		return n.conflict("asked through its agent")
	}
	err = h.run(ctx, doing+" "+n.Name, time.Duration(2*seconds+20)*time.Second, tierSlow, func(l *golibvirt.Libvirt) error {
		if _, err := l.DomainAgentSetResponseTimeout(n.Domain, seconds, 0); err != nil && number(err) != golibvirt.ErrNoSupport {
			return err
		}
		return fn(l, n.Domain)
	})
	e, ok := err.(*domain.Error)
	if !ok || e == nil {
		return err
	}
	switch number(e.Unwrap()) {
	case golibvirt.ErrAgentUnresponsive:
		return domain.Errorf(domain.Unavailable, "No guest agent answers in %s.", n.Name).WithCause(e.Unwrap()).
			WithFix("Install and start qemu-guest-agent inside the guest, or wait until the guest is up.")
	case golibvirt.ErrArgumentUnsupported:
		return domain.Errorf(domain.Unsupported, "%s has no channel for a guest agent.", n.Name).WithCause(e.Unwrap()).
			WithFix("Add the channel org.qemu.guest_agent.0 to its definition; VMs made here have it.")
	}
	return err
}

// command sends one command to the agent and decodes its answer.
func agentCommand(l *golibvirt.Libvirt, d golibvirt.Domain, seconds int32, name string, args, answer any) error {
	msg, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{name, args})
	if err != nil {
		return err
	}
	out, err := l.QEMUDomainAgentCommand(d, string(msg), seconds, 0)
	if err != nil || answer == nil {
		return err
	}
	if len(out) == 0 {
		return fmt.Errorf("the agent gave no answer to %s", name)
	}
	return json.Unmarshal([]byte(out[0]), &struct {
		Return any `json:"return"`
	}{answer})
}

func (h *host) ExecGuest(ctx context.Context, uuid string, argv []string) (int64, error) {
	if len(argv) == 0 {
		return 0, domain.InvalidField("argv", "No command is given.", "a program and its arguments")
	}
	started := make(chan int64, 1)
	err := h.agent(ctx, uuid, agentQuick, "run "+argv[0]+" in", func(l *golibvirt.Libvirt, d golibvirt.Domain) error {
		args := struct {
			Path    string   `json:"path"`
			Arg     []string `json:"arg,omitempty"`
			Capture bool     `json:"capture-output"`
		}{argv[0], argv[1:], true}
		var answer struct{ PID int64 }
		if err := agentCommand(l, d, agentQuick, "guest-exec", args, &answer); err != nil {
			return err
		}
		started <- answer.PID
		return nil
	})
	if err != nil {
		return 0, err
	}
	return <-started, nil
}

type execAnswer struct {
	Exited   bool
	ExitCode int    `json:"exitcode"`
	Signal   int    `json:"signal"`
	Out      string `json:"out-data"`
	Err      string `json:"err-data"`
	OutMore  bool   `json:"out-truncated"`
	ErrMore  bool   `json:"err-truncated"`
}

func (h *host) ExecStatus(ctx context.Context, uuid string, pid int64) (hv.ExecStatus, error) {
	answered := make(chan execAnswer, 1)
	err := h.agent(ctx, uuid, agentQuick, "ask after a command in", func(l *golibvirt.Libvirt, d golibvirt.Domain) error {
		var a execAnswer
		if err := agentCommand(l, d, agentQuick, "guest-exec-status", map[string]int64{"pid": pid}, &a); err != nil {
			return err
		}
		answered <- a
		return nil
	})
	if domain.Is(err, domain.Conflict) {
		// The agent refuses a number that it does not know. A guest that stopped meanwhile is told apart by its state.
		if n, lookErr := h.now(ctx, uuid); lookErr == nil && n.runs() {
			return hv.ExecStatus{}, domain.Errorf(domain.NotFound, "The guest's agent knows no process %d.", pid).WithCause(err)
		}
	}
	if err != nil {
		return hv.ExecStatus{}, err
	}
	a := <-answered
	s := hv.ExecStatus{Ended: a.Exited, Code: a.ExitCode, Signal: a.Signal}
	if s.Out, s.OutMore, err = kept(a.Out, a.OutMore); err == nil {
		s.Err, s.ErrMore, err = kept(a.Err, a.ErrMore)
	}
	return s, err
}

func kept(encoded string, more bool) ([]byte, bool, error) {
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, false, domain.Errorf(domain.Internal, "The output of a guest's command could not be read.").WithCause(err)
	}
	if len(b) > hv.ExecKeep {
		return b[:hv.ExecKeep:hv.ExecKeep], true, nil
	}
	return b, more, nil
}

// frozen is what the agent says of its file systems; a hypervisor without agent commands does not say, and then the call itself decides.
func frozen(l *golibvirt.Libvirt, d golibvirt.Domain) (is, known bool, err error) {
	var status string
	err = agentCommand(l, d, agentQuick, "guest-fsfreeze-status", nil, &status)
	if n := number(err); n == golibvirt.ErrNoSupport {
		return false, false, nil
	}
	return status == "frozen", err == nil, err
}

func (h *host) FreezeFS(ctx context.Context, uuid string) (int, error) {
	return h.freezing(ctx, uuid, "freeze the file systems of", true, func(l *golibvirt.Libvirt, d golibvirt.Domain) (int32, error) { return l.DomainFsfreeze(d, nil, 0) })
}

func (h *host) ThawFS(ctx context.Context, uuid string) (int, error) {
	return h.freezing(ctx, uuid, "thaw the file systems of", false, func(l *golibvirt.Libvirt, d golibvirt.Domain) (int32, error) { return l.DomainFsthaw(d, nil, 0) })
}

func (h *host) freezing(ctx context.Context, uuid, doing string, want bool, fn func(*golibvirt.Libvirt, golibvirt.Domain) (int32, error)) (int, error) {
	n := make(chan int32, 1)
	err := h.agent(ctx, uuid, agentFreeze, doing, func(l *golibvirt.Libvirt, d golibvirt.Domain) error {
		is, known, err := frozen(l, d)
		if err != nil {
			return err
		}
		if known && is == want {
			n <- 0
			return nil
		}
		count, err := fn(l, d)
		if err == nil {
			n <- count
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(<-n), nil
}

func (h *host) SetGuestPassword(ctx context.Context, uuid, user, password string, crypted bool) error {
	var flags golibvirt.DomainSetUserPasswordFlags
	if crypted {
		flags = golibvirt.DomainPasswordEncrypted
	}
	return h.agent(ctx, uuid, agentQuick, "set the password of "+user+" in", func(l *golibvirt.Libvirt, d golibvirt.Domain) error {
		return l.DomainSetUserPassword(d, golibvirt.OptString{user}, golibvirt.OptString{password}, flags)
	})
}

func (h *host) GuestKeys(ctx context.Context, uuid, user string) ([]string, error) {
	keys := make(chan []string, 1)
	err := h.agent(ctx, uuid, agentQuick, "read the SSH keys of "+user+" in", func(l *golibvirt.Libvirt, d golibvirt.Domain) error {
		k, err := l.DomainAuthorizedSshKeysGet(d, user, 0)
		if err == nil {
			keys <- k
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-keys, nil
}

func (h *host) SetGuestKeys(ctx context.Context, uuid, user string, keys []string) error {
	return h.agent(ctx, uuid, agentQuick, "set the SSH keys of "+user+" in", func(l *golibvirt.Libvirt, d golibvirt.Domain) error {
		return l.DomainAuthorizedSshKeysSet(d, user, keys, 0)
	})
}

func (h *host) SetGuestTime(ctx context.Context, uuid string, t time.Time) error {
	return h.agent(ctx, uuid, agentQuick, "set the clock of", func(l *golibvirt.Libvirt, d golibvirt.Domain) error {
		return l.DomainSetTime(d, t.Unix(), uint32(t.Nanosecond()), 0) // #nosec G115 -- a nanosecond within its second is below 10^9
	})
}
