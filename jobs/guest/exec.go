package guest

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Exec is the input of guest.exec.
type Exec struct {
	On
	Argv     []string `json:"argv"`
	TimeoutS int      `json:"timeout_s"`
	Windows  bool     `json:"windows,omitempty"` // how a process is killed there
}

// ExecResult is what guest.exec leaves.
type ExecResult struct {
	VMID     string   `json:"vm_id"`
	Argv     []string `json:"argv"`
	ExitCode int      `json:"exit_code"`
	Signal   int      `json:"signal,omitempty"`
	Stdout   string   `json:"stdout"`
	Stderr   string   `json:"stderr"`
	// More says that there was more output than the first 64 KiB that are kept.
	StdoutMore bool  `json:"stdout_truncated,omitempty"`
	StderrMore bool  `json:"stderr_truncated,omitempty"`
	TimedOut   bool  `json:"timed_out,omitempty"`
	Millis     int64 `json:"millis"`
}

// execLedger is what must not be forgotten of a command.
type execLedger struct {
	Asked bool        `json:"asked"` // the agent was asked to start it, or is just about to be
	PID   int64       `json:"pid,omitempty"`
	At    time.Time   `json:"at,omitzero"`
	Ended *ExecResult `json:"ended,omitempty"` // agents tell of an end only once
}

const cannotUndo = "What a command did inside the guest cannot be taken back."

func (d Deps) execSteps(in Exec) []jobs.Step {
	return []jobs.Step{{
		Name: "start the command", Timeout: time.Minute, NoRetry: true, // nobody could tell whether it ran
		Do:   func(ctx context.Context, r *jobs.Run) error { return d.execStart(ctx, r, in) },
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.execEndUnseen(ctx, r, in) },
	}, {
		Name: "wait for its end", NoUndo: cannotUndo, Timeout: time.Duration(in.TimeoutS)*time.Second + 2*time.Minute,
		Do: func(ctx context.Context, r *jobs.Run) error { return d.execWait(ctx, r, in) },
	}}
}

func (d Deps) execStart(ctx context.Context, r *jobs.Run, in Exec) error {
	var l execLedger
	if err := r.Load(&l); err != nil {
		return err
	}
	if l.PID != 0 {
		return nil
	}
	if l.Asked {
		return domain.Errorf(domain.Conflict, "The server was interrupted while it started the command, so nobody can tell whether it ran. It was not started again.").
			WithFix("Look inside the guest, and run it again if it did not.")
	}
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	l.Asked, l.At = true, d.Clock()
	if err := r.Save(ctx, l); err != nil {
		return err
	}
	pid, err := host.ExecGuest(ctx, in.UUID, in.Argv)
	if err != nil {
		if code := domain.CodeOf(err); code == domain.Conflict || code == domain.Unsupported || code == domain.NotFound || code == domain.Invalid || code == domain.Denied {
			l.Asked = false // it was refused, so it did not run
			if serr := r.Save(context.WithoutCancel(ctx), l); serr != nil {
				return serr
			}
		}
		return err
	}
	l.PID = pid
	if err := r.Save(context.WithoutCancel(ctx), l); err != nil {
		return err
	}
	r.Log("The guest runs it as process %d.", pid)
	return d.tell(context.WithoutCancel(ctx), r, in.On, "guest.exec", "The command “%s” was run in %s.", Line(in.Argv), in.Name)
}

func (d Deps) execWait(ctx context.Context, r *jobs.Run, in Exec) error {
	var l execLedger
	if err := r.Load(&l); err != nil {
		return err
	}
	if l.Ended != nil {
		return execEnd(r, *l.Ended)
	}
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	limit := l.At.Add(time.Duration(in.TimeoutS) * time.Second)
	killed := false
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, d.Poll) {
		st, err := host.ExecStatus(ctx, in.UUID, l.PID)
		if domain.Is(err, domain.NotFound) {
			return domain.Errorf(domain.Conflict, "The guest's agent does not know the command any more: it was restarted, or told of the end while nobody listened. What the command gave is lost.").WithCause(err).
				WithFix("Look inside the guest for what it did.")
		}
		if err != nil {
			return err
		}
		if st.Ended {
			res := ExecResult{VMID: in.VMID, Argv: in.Argv, ExitCode: st.Code, Signal: st.Signal, Stdout: readable(st.Out), Stderr: readable(st.Err), StdoutMore: st.OutMore, StderrMore: st.ErrMore,
				TimedOut: killed, Millis: d.Clock().Sub(l.At).Milliseconds()}
			l.Ended = &res
			if err := r.Save(context.WithoutCancel(ctx), l); err != nil {
				return err
			}
			return execEnd(r, res)
		}
		switch now := d.Clock(); {
		case !killed && !now.Before(limit):
			r.Log("It did not end within %d s and is killed.", in.TimeoutS)
			d.kill(ctx, r, host, in, l.PID)
			killed = true
		case killed && now.After(limit.Add(30*time.Second)):
			return domain.Errorf(domain.Conflict, "The command did not end within %d s and could not be killed.", in.TimeoutS).WithFix("End process %d inside the guest.", l.PID)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// execEnd says how the command ended. The job has run it, however it ended: the result says that.
func execEnd(r *jobs.Run, res ExecResult) error {
	switch {
	case res.Signal != 0:
		r.Log("It was ended by signal %d.", res.Signal)
	default:
		r.Log("It ended with exit code %d.", res.ExitCode)
	}
	return r.Result(res)
}

// execEndUnseen ends a command that nobody waits for any more: the job was cancelled, or its guest could not be asked. What it did stays done. Whether it still
// runs is looked at first, since its number may be another process's by now.
func (d Deps) execEndUnseen(ctx context.Context, r *jobs.Run, in Exec) error {
	var l execLedger
	if err := r.Load(&l); err != nil || l.PID == 0 || l.Ended != nil {
		return err
	}
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	st, err := host.ExecStatus(ctx, in.UUID, l.PID)
	switch {
	case err != nil:
		r.Log("Whether the command still runs is not known: %s", err)
	case !st.Ended:
		d.kill(ctx, r, host, in, l.PID)
		r.Log("The command was killed. What it did inside the guest stays done.")
	}
	return nil
}

// kill ends a command in the guest as well as it can be done through an agent: by another command. Its own end is asked for too, so that the agent forgets it.
func (d Deps) kill(ctx context.Context, r *jobs.Run, host hv.Host, in Exec, pid int64) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	argv := []string{"kill", "-KILL", strconv.FormatInt(pid, 10)}
	if in.Windows {
		argv = []string{"taskkill", "/F", "/T", "/PID", strconv.FormatInt(pid, 10)}
	}
	k, err := host.ExecGuest(ctx, in.UUID, argv)
	if err == nil {
		_, err = host.ExecStatus(ctx, in.UUID, k)
	}
	if err != nil {
		r.Log("Killing process %d: %s", pid, err)
	}
}

// readable makes text of what a program wrote, whatever it was.
func readable(b []byte) string {
	for i := 0; i < 4 && len(b) > 0 && !utf8.Valid(b[max(0, len(b)-4):]) && len(b) >= hv.ExecKeep; i++ {
		b = b[:len(b)-1] // cut within a character
	}
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "\uFFFD")
}

// Line shows a command as one line, words with blanks in quotes.
func Line(argv []string) string {
	out := make([]string, len(argv))
	for i, a := range argv {
		if a == "" || strings.ContainsAny(a, " \t\n\r\"'") {
			a = strconv.Quote(a)
		}
		out[i] = a
	}
	s := strings.Join(out, " ")
	if r := []rune(s); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return s
}
