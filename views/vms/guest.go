package vms

import (
	"fmt"
	"strings"
	"time"

	"novacron/domain"
	"novacron/views/ui"
)

// Guest is the tab of what is inside a VM.
type Guest struct {
	Record      domain.GuestRecord
	Rules       domain.ExecRules
	Commands    []GuestCommand // newest first
	Seed        *domain.Seed   // what the first boot reads, without secrets; nil: nothing
	HasPassword bool
	Exec        ExecForm
	// Processes are those that took most when somebody looked; ProcessesWhy is why nobody can.
	Processes    domain.GuestProcesses
	ProcessesWhy string
}

// GuestCommand is one command that was run inside, with what it gave.
type GuestCommand struct {
	JobID, Line, Actor string
	At                 time.Time
	State              domain.JobState
	Failed             string // why it could not be run, or nobody knows how it ended
	Ended              bool   // the fields below are filled
	Code, Signal       int
	Out, Err           string
	OutMore, ErrMore   bool
	TimedOut           bool
	Took               time.Duration
}

// ExecForm is the command box as typed.
type ExecForm struct {
	Line, Timeout string
	Key           string
	Err           *domain.Error
}

// GuestAsk is the dialog for something to be done inside a VM.
type GuestAsk struct {
	VM                  domain.VM
	Action              string // freeze, password, ssh-keys, allow
	User, Text, Seconds string // as typed
	Add                 string // "1": keys are added to those there are
	Key                 string
	Err                 *domain.Error
}

func (m GuestAsk) title() string {
	switch m.Action {
	case "freeze":
		return "Freeze the file systems of " + m.VM.Name
	case "password":
		return "Set a password in " + m.VM.Name
	case "ssh-keys":
		return "Set SSH keys in " + m.VM.Name
	}
	return "Commands allowed in " + m.VM.Name
}

func (m GuestAsk) verb() string {
	switch m.Action {
	case "freeze":
		return "Freeze"
	case "password":
		return "Set password"
	case "ssh-keys":
		return "Set keys"
	}
	return "Save"
}

// channel reports whether the VM has a port for an agent, as it runs or else as it is configured.
func channel(vm domain.VM) bool { return shown(vm).GuestAgent }

// guestWhy says why nothing can be done inside the guest now; "" when it can.
func guestWhy(vm domain.VM, g Guest) string {
	switch {
	case vm.State == domain.VMAway:
		return "Its host is away."
	case vm.State == domain.VMPaused:
		return "It is paused."
	case vm.State != domain.VMRunning:
		return "It does not run."
	case !channel(vm):
		return "It has no channel for an agent."
	case !g.Record.Answers() && !g.Record.AskedAt.IsZero():
		return "No agent answers in it."
	}
	return ""
}

// processesWhy says why nobody can look at the processes inside now; "" when one can.
func processesWhy(m Page) string {
	if why := guestWhy(m.VM, m.Guest); why != "" {
		return why
	}
	return m.Guest.ProcessesWhy
}

// memory is what a process takes.
func memory(p domain.GuestProcess) string {
	if p.MemoryBytes < 0 {
		return "–"
	}
	return domain.FormatBytes(p.MemoryBytes)
}

// agentState is the agent's state in a badge: tone, icon, words.
func agentState(vm domain.VM, g Guest) (tone, icon, text string) {
	switch {
	case vm.State == domain.VMAway:
		return ui.Neutral, "plug-connected-x", "host away"
	case vm.State != domain.VMRunning:
		return ui.Neutral, "power", "not running"
	case !channel(vm):
		return ui.Warn, "alert-triangle", "no channel"
	case g.Record.AskedAt.IsZero():
		return ui.Info, "clock", "not asked yet"
	case !g.Record.Answers():
		return ui.Warn, "alert-triangle", "no answer"
	case g.Record.Facts.Frozen:
		return ui.Warn, "clock", "frozen"
	}
	return ui.OK, "check", "answers"
}

// stale reports whether the facts that are shown are not of now.
func (g Guest) stale(vm domain.VM) bool {
	return !g.Record.AnsweredAt.IsZero() && (vm.State != domain.VMRunning || !g.Record.Answers())
}

func skewWords(f domain.GuestFacts) string {
	switch d := f.Skew.Round(time.Second); {
	case f.Clock.IsZero():
		return ""
	case d == 0:
		return "the same as the server's"
	case d < 0:
		return ui.Took(-d) + " behind the server"
	default:
		return ui.Took(d) + " ahead of the server"
	}
}

func loadWords(load []float64) string {
	out := make([]string, len(load))
	for i, l := range load {
		out[i] = fmt.Sprintf("%.2f", l)
	}
	return strings.Join(out, " · ")
}

func userWords(u domain.GuestUser) string {
	if u.Domain != "" {
		return u.Domain + `\` + u.Name
	}
	return u.Name
}

func (c GuestCommand) badge() (tone, icon, text string) {
	switch {
	case c.TimedOut:
		return ui.Bad, "clock", "time limit"
	case c.Ended && c.Signal != 0:
		return ui.Bad, "x", fmt.Sprintf("signal %d", c.Signal)
	case c.Ended && c.Code == 0:
		return ui.OK, "check", "exit 0"
	case c.Ended:
		return ui.Warn, "alert-triangle", fmt.Sprintf("exit %d", c.Code)
	case c.State == domain.JobUndone || c.State == domain.JobStuck:
		return ui.Bad, "x", "failed"
	case c.State == domain.JobSucceeded:
		return ui.Neutral, "check", "done"
	}
	return ui.Info, "loader-2", "running"
}

func (c GuestCommand) byWords() string {
	if c.Ended {
		return "by " + c.Actor + ", took " + ui.Took(c.Took)
	}
	return "by " + c.Actor
}

// silent reports whether an ended command printed nothing.
func (c GuestCommand) silent() bool { return c.Ended && c.Out == "" && c.Err == "" }

func seedKind(s domain.Seed) string {
	if s.Kind == domain.SeedWindows {
		return "Answer file for Windows"
	}
	return "cloud-init"
}

// seedFacts lists what a first boot is told, in a few words each.
func seedFacts(s domain.Seed, hasPassword bool) []string {
	var out []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	if w := s.Content.Windows; w != nil {
		add(w.ComputerName != "", "computer %s", w.ComputerName)
		add(w.ImageName != "", "edition %s", w.ImageName)
		add(w.DriverISO != "", "drivers from %s", w.DriverISO)
	}
	if c := s.Content.CloudInit; c != nil {
		add(c.Hostname != "", "host name %s", c.Hostname)
		add(c.User != "", "user %s", c.User)
		add(len(c.SSHKeys) > 0, "%s", ui.Plural(len(c.SSHKeys), "SSH key", "SSH keys"))
		add(hasPassword, "a password")
		add(len(c.Packages) > 0, "%s", ui.Plural(len(c.Packages), "package", "packages"))
		add(len(c.RunCmd) > 0, "%s", ui.Plural(len(c.RunCmd), "command", "commands"))
		add(len(c.Network) > 0 || c.NetworkConfig != "", "network settings")
		add(c.UserData != "", "user-data of its own")
		add(c.VendorData != "", "vendor-data")
	}
	return out
}
