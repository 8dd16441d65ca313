package domain

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// GuestFacts is what the agent inside a guest tells of it. A field that this guest's agent does not know stays empty.
type GuestFacts struct {
	Agent       string            `json:"agent,omitempty"` // its version
	Hostname    string            `json:"hostname,omitempty"`
	OSID        string            `json:"os_id,omitempty"`   // debian, mswindows …
	OSName      string            `json:"os_name,omitempty"` // Debian GNU/Linux 12 (bookworm)
	Kernel      string            `json:"kernel,omitempty"`
	Machine     string            `json:"machine,omitempty"`
	Timezone    string            `json:"timezone,omitempty"`
	Clock       time.Time         `json:"clock,omitzero"` // the guest's clock when it was asked
	Skew        time.Duration     `json:"skew,omitempty"` // how far the guest's clock is ahead of the server's
	Load        []float64         `json:"load,omitempty"` // over 1, 5 and 15 minutes
	Users       []GuestUser       `json:"users,omitempty"`
	FileSystems []GuestFileSystem `json:"file_systems,omitempty"`
	Cards       []GuestCard       `json:"cards,omitempty"`
	Frozen      bool              `json:"frozen,omitempty"`
}

// Windows reports whether the guest says it is Windows.
func (f GuestFacts) Windows() bool { return f.OSID == "mswindows" }

// Addresses lists the guest's addresses that others can use, IPv4 first as agents give them: not the loopback's and not link-local ones.
func (f GuestFacts) Addresses() []string {
	var out []string
	for _, c := range f.Cards {
		if c.Name == "lo" {
			continue
		}
		for _, a := range c.Addresses {
			if ip, _, _ := strings.Cut(a, "/"); ip != "" && !strings.HasPrefix(ip, "127.") && ip != "::1" && !strings.HasPrefix(ip, "fe80:") && !strings.HasPrefix(ip, "169.254.") {
				out = append(out, ip)
			}
		}
	}
	return out
}

// GuestUser is somebody who is signed in inside the guest.
type GuestUser struct {
	Name   string    `json:"name"`
	Domain string    `json:"domain,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// GuestFileSystem is one that is mounted in the guest.
type GuestFileSystem struct {
	Mount      string   `json:"mount"`
	Device     string   `json:"device,omitempty"`
	Type       string   `json:"type,omitempty"`
	TotalBytes int64    `json:"total_bytes,omitempty"` // 0: the agent does not say
	UsedBytes  int64    `json:"used_bytes,omitempty"`
	Disks      []string `json:"disks,omitempty"` // the VM's disks it is on: vda
}

// GuestCard is a network card as the guest sees it.
type GuestCard struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac,omitempty"`
	Addresses []string `json:"addresses,omitempty"` // with their lengths
}

// GuestExec asks for a program to be run in the guest, directly and without a shell.
type GuestExec struct {
	Argv     []string `json:"argv"`
	TimeoutS int      `json:"timeout_s,omitempty"`
}

// Bounds of a guest command.
const (
	DefaultExecSeconds = 60
	MaxExecSeconds     = 3600
	maxArgv            = 256
	maxArgvBytes       = 64 * 1024
)

// Validate checks a command.
func (e GuestExec) Validate(p *Problems) {
	n := 0
	for _, a := range e.Argv {
		n += len(a)
	}
	switch {
	case len(e.Argv) == 0 || e.Argv[0] == "":
		p.Add("argv", "No command is given.", "a program and its arguments, for example [\"uptime\"]")
	case len(e.Argv) > maxArgv || n > maxArgvBytes:
		p.Add("argv", "The command is too long.", "at most 256 words and 64 KiB")
	}
	for _, a := range e.Argv {
		if strings.ContainsRune(a, 0) {
			p.Add("argv", "A word has a NUL character.", "plain text")
			break
		}
	}
	if e.TimeoutS < 0 || e.TimeoutS > MaxExecSeconds {
		p.Add("timeout_s", "That is not a possible time limit.", "1 to 3600 seconds, or nothing for 60")
	}
}

// ExecRules say which commands may be run in a guest. A rule that begins and ends with a slash is a regular expression that must match the whole command, its
// words joined by single spaces; any other is the beginning of a command, word by word. No rules allow every command.
type ExecRules []string

const maxRules = 100

// Validate checks rules.
func (r ExecRules) Validate(p *Problems, field string) {
	if len(r) > maxRules {
		p.Add(field, "That is too many rules.", "at most 100")
	}
	for _, rule := range r {
		expr, isExpr := expression(rule)
		switch {
		case strings.TrimSpace(rule) == "" || len(rule) > 1000 || strings.ContainsAny(rule, "\x00\r\n"):
			p.Add(field, "An empty or overlong line is not a rule.", "the beginning of a command, or a /regular expression/")
		case isExpr:
			if _, err := regexp.Compile(expr); err != nil {
				p.Add(field, "“"+printable(rule)+"” is not a regular expression: "+err.Error()+".", "an expression such as /systemctl (status|restart) [a-z]+/")
			}
		}
	}
}

func expression(rule string) (string, bool) {
	if len(rule) > 2 && strings.HasPrefix(rule, "/") && strings.HasSuffix(rule, "/") {
		return `\A(?:` + rule[1:len(rule)-1] + `)\z`, true
	}
	return "", false
}

// Allow reports whether a command may be run. The error is Denied and names what is allowed. An argument with a space or line break in it cannot pass for
// two words: such commands match only rules that are beginnings, which are compared word by word.
func (r ExecRules) Allow(argv []string) error {
	if len(r) == 0 {
		return nil
	}
	joined, plain := strings.Join(argv, " "), true
	for _, a := range argv {
		plain = plain && a != "" && !strings.ContainsAny(a, " \t\r\n\v\f")
	}
	for _, rule := range r {
		if expr, ok := expression(rule); ok {
			re, err := regexp.Compile(expr)
			if err == nil && plain && re.MatchString(joined) {
				return nil
			}
			continue
		}
		words := strings.Fields(rule)
		if len(words) > 0 && len(words) <= len(argv) && equalWords(words, argv[:len(words)]) {
			return nil
		}
	}
	return Errorf(Denied, "This VM does not allow the command “%s”.", printable(joined)).WithFix("Allowed are: %s. Who may manage guests can change that on the VM's page.", strings.Join(r, " · "))
}

func equalWords(a, b []string) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// GuestRecord is what is known of a guest through its agent, and since when.
type GuestRecord struct {
	Facts      GuestFacts
	AskedAt    time.Time // zero: never asked
	AnsweredAt time.Time // when Facts were told; zero: never
	Problem    string    // why the last question had no answer; empty: it had one
	Fix        string
}

// Answers reports whether the agent answered when it was asked last.
func (r GuestRecord) Answers() bool { return !r.AnsweredAt.IsZero() && r.Problem == "" }

// Same reports whether two records tell a person the same: clocks, load and how full file systems are do not count.
func (r GuestRecord) Same(o GuestRecord) bool {
	return r.Problem == o.Problem && r.AnsweredAt.IsZero() == o.AnsweredAt.IsZero() && r.Facts.still() == o.Facts.still()
}

// still is what changes rarely, as one line.
func (f GuestFacts) still() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q %q %q %q %q %v", f.Agent, f.Hostname, f.OSID, f.OSName, f.Kernel, f.Machine, f.Timezone, f.Frozen)
	for _, u := range f.Users {
		fmt.Fprintf(&b, " u%q@%q", u.Name, u.Domain)
	}
	for _, fs := range f.FileSystems {
		fmt.Fprintf(&b, " f%q:%q:%q:%d", fs.Mount, fs.Device, fs.Type, fs.TotalBytes)
	}
	for _, c := range f.Cards {
		fmt.Fprintf(&b, " c%q:%q:%q", c.Name, c.MAC, c.Addresses)
	}
	return b.String()
}

// Kinds of seeds.
const (
	SeedCloudInit = "cloud-init"
	SeedWindows   = "windows"
)

// Seed is the medium that a VM's first boot reads: which volume it is, and what it is made from.
type Seed struct {
	VMID       string
	Kind       string
	Pool       string
	Volume     string
	InstanceID string      // cloud-init runs its first-boot modules again when this changes
	Content    SeedContent // holds password hashes: only what makes the volume, or edits it, reads it
	UpdatedAt  time.Time
	Version    int64 // grows with every edit
}

// SeedContent is what a seed is made from, one of the two.
type SeedContent struct {
	CloudInit *CloudInit `json:"cloud_init,omitempty"`
	Windows   *Unattend  `json:"windows,omitempty"`
}
