package domain

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// AlertRule says when an alert stands: Prometheus' own rule, with whose series it looks at.
type AlertRule struct {
	ID            string
	Name          string // the alert's name
	Group         string
	Expr          string // PromQL: each series that it gives is one alert
	For           time.Duration
	KeepFiringFor time.Duration
	Labels        map[string]string // added to the alert's; may be templates
	Annotations   map[string]string // told with it; may be templates
	Tenant        string            // id: the rule sees its series alone; empty: the estate's
	Disabled      bool
	Starter       bool   // one of the set that every estate begins with
	Error         string // why the last evaluation failed; empty: it did not
	CreatedAt     time.Time
	Version       int64
}

// Ref names the rule.
func (r *AlertRule) Ref() Ref { return Ref{Kind: "alert-rule", ID: r.ID, Name: r.Name} }

// SeverityLabel is the label that says how bad an alert is.
const SeverityLabel = "severity"

// Severities of alerts, the worst first; a rule may write others.
var Severities = []string{"critical", "warning", "info"}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// Check finds what is wrong with the rule but for its expression, which is Prometheus' to judge.
func (r *AlertRule) Check() error {
	var p Problems
	if n := strings.TrimSpace(r.Name); n == "" || len(n) > 120 || strings.ContainsFunc(n, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		p.Add("name", "The alert needs a name.", "1 to 120 characters, such as PoolFills")
	}
	if len(r.Group) > 120 {
		p.Add("group", "The group's name is too long.", "at most 120 characters")
	}
	if strings.TrimSpace(r.Expr) == "" {
		p.Add("expr", "What is looked for is missing.", "an expression in PromQL, such as novacron_host_up == 0")
	}
	for field, d := range map[string]time.Duration{"for": r.For, "keep_firing_for": r.KeepFiringFor} {
		if d < 0 || d > 30*24*time.Hour {
			p.Add(field, "That is not a time to wait.", "from 0s to 30d")
		}
	}
	for field, of := range map[string]map[string]string{"labels": r.Labels, "annotations": r.Annotations} {
		for _, k := range slices.Sorted(maps.Keys(of)) {
			switch {
			case !labelName.MatchString(k), field == "labels" && (k == "__name__" || k == "alertname"):
				p.Add(field, "“"+k+"” cannot be a name here.", "letters, digits and _, such as severity")
			case len(of[k]) > 4000:
				p.Add(field, "What stands for “"+k+"” is too long.", "at most 4000 characters")
			}
		}
	}
	return p.Err()
}

// AlertState is how far an alert is.
type AlertState string

// An alert is pending until its rule's time has passed, then firing, and in the end resolved.
const (
	AlertPending  AlertState = "pending"
	AlertFiring   AlertState = "firing"
	AlertResolved AlertState = "resolved"
)

// AlertStates lists them, the most urgent first.
var AlertStates = []AlertState{AlertFiring, AlertPending, AlertResolved}

// Alert is one series for which a rule holds, or held.
type Alert struct {
	ID          string
	RuleID      string
	Name        string
	Fingerprint string // of its labels, as Prometheus makes it
	State       AlertState
	Severity    string
	Tenant      string // whose VM or whose rule it is; empty: the estate's
	HostID      string // what it is about, as far as its labels tell
	VMID        string
	Pool        string
	Labels      map[string]string
	Annotations map[string]string
	Value       float64
	ActiveAt    time.Time
	FiredAt     time.Time
	ResolvedAt  time.Time
	AckedAt     time.Time
	AckedBy     string
	SilenceID   string // the silence that keeps it quiet
	Quiet       string // why nobody is told of it; empty: they are
	IncidentID  string
	Version     int64
}

// Ref names the alert.
func (a *Alert) Ref() Ref { return Ref{Kind: "alert", ID: a.ID, Name: a.Title()} }

// Title is the alert's name with what it is about.
func (a *Alert) Title() string {
	if on := a.Subject(); on != "" {
		return a.Name + " on " + on
	}
	return a.Name
}

// Subject is what the alert is about, in a word.
func (a *Alert) Subject() string {
	if vm := a.Labels["vm"]; vm != "" {
		return vm
	}
	if pool := a.Labels["pool"]; pool != "" && a.Labels["host"] != "" {
		return a.Labels["host"] + "/" + pool
	}
	for _, name := range []string{"host", "receiver", "instance", "kind"} {
		if v := a.Labels[name]; v != "" {
			return v
		}
	}
	return ""
}

// Summary is what the rule says about the alert for people.
func (a *Alert) Summary() string {
	for _, name := range []string{"summary", "description", "message"} {
		if s := a.Annotations[name]; s != "" {
			return s
		}
	}
	return a.Title()
}

// Live reports whether the alert stands now.
func (a *Alert) Live() bool { return a.State != AlertResolved }

// Matcher chooses alerts by one label, as Prometheus and Alertmanager write it: name="value", !=, =~ and !~.
type Matcher struct {
	Name  string `json:"name"`
	Op    string `json:"op"`
	Value string `json:"value"`
}

func (m Matcher) String() string { return fmt.Sprintf("%s%s%q", m.Name, m.Op, m.Value) }

var matcherRE = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*$`)

// ParseMatchers reads matchers, one a line or separated by commas that stand outside quotation marks; braces around them are taken off.
func ParseMatchers(field, text string) ([]Matcher, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") {
		text = text[1 : len(text)-1]
	}
	var parts []string
	quoted, escaped, from := false, false, 0
	for i, c := range text {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '\n'):
			parts, from = append(parts, text[from:i]), i+1
		}
	}
	out := []Matcher{}
	for _, part := range append(parts, text[from:]) {
		if strings.TrimSpace(part) == "" {
			continue
		}
		m := matcherRE.FindStringSubmatch(part)
		if m == nil {
			return nil, InvalidField(field, "“"+strings.TrimSpace(part)+"” does not choose alerts.", `such as host="b1" or alertname=~"Host.*"`)
		}
		v := m[3]
		if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
			v = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(v[1 : len(v)-1])
		}
		out = append(out, Matcher{m[1], m[2], v})
	}
	return out, CheckMatchers(field, out)
}

// CheckMatchers finds what is wrong with matchers.
func CheckMatchers(field string, all []Matcher) error {
	for _, m := range all {
		if !labelName.MatchString(m.Name) || !slices.Contains([]string{"=", "!=", "=~", "!~"}, m.Op) {
			return InvalidField(field, "“"+m.String()+"” does not choose alerts.", `such as host="b1" or alertname=~"Host.*"`)
		}
		if strings.HasSuffix(m.Op, "~") {
			if _, err := regexp.Compile("^(?:" + m.Value + ")$"); err != nil || len(m.Value) > 1000 {
				return InvalidField(field, "“"+m.Value+"” is not an expression for values.", "such as web-.*")
			}
		}
	}
	return nil
}

// MatchersText writes matchers, one a line.
func MatchersText(all []Matcher) string {
	out := make([]string, len(all))
	for i, m := range all {
		out[i] = m.String()
	}
	return strings.Join(out, "\n")
}

// Silence keeps alerts quiet for a while: they stand and are shown, and nobody is told.
type Silence struct {
	ID        string
	Matchers  []Matcher
	StartsAt  time.Time
	EndsAt    time.Time
	Comment   string
	CreatedBy string
	CreatedAt time.Time
	Version   int64
}

// State tells whether the silence is still to begin, holds, or is over.
func (s *Silence) State(now time.Time) string {
	switch {
	case now.Before(s.StartsAt):
		return "pending"
	case now.Before(s.EndsAt):
		return "active"
	}
	return "expired"
}

// Ref names the silence.
func (s *Silence) Ref() Ref {
	return Ref{Kind: "silence", ID: s.ID, Name: strings.Join(strings.Fields(MatchersText(s.Matchers)), " ")}
}

// Check finds what is wrong with the silence.
func (s *Silence) Check() error {
	var p Problems
	if len(s.Matchers) == 0 {
		p.Add("matchers", "The silence does not say which alerts are meant.", `at least one, such as host="b1"`)
	} else if !slices.ContainsFunc(s.Matchers, func(m Matcher) bool { return m.Value != "" && m.Op != "!=" && m.Op != "!~" && m.Value != ".*" }) {
		p.Add("matchers", "That would silence everything.", `at least one label with a value, such as host="b1"`)
	}
	if !s.EndsAt.After(s.StartsAt) {
		p.Add("ends_at", "The end is not after the beginning.", "a later time")
	} else if s.EndsAt.Sub(s.StartsAt) > 366*24*time.Hour {
		p.Add("ends_at", "A silence that never ends hides what is wrong.", "at most a year; a rule that is not wanted can be switched off")
	}
	if strings.TrimSpace(s.Comment) == "" || len(s.Comment) > 1000 {
		p.Add("comment", "It is not said why.", "a few words for the others")
	}
	if err := p.Err(); err != nil {
		return err
	}
	return CheckMatchers("matchers", s.Matchers)
}

// Kinds of receivers.
const (
	ReceiveMail    = "email"
	ReceiveWebhook = "webhook"
	ReceiveChat    = "chat"
)

// Receiver is somebody or something that is told of alerts, and of which.
type Receiver struct {
	ID       string
	Name     string
	Kind     string // email, webhook, chat
	Disabled bool
	To       []string // mail addresses
	URL      string   // of a webhook
	Secret   []byte   // what a webhook's calls are signed with; of a chat its whole address, which holds the token
	Service  string   // of a chat: slack, teams …

	// OnlyOnCall has it told by escalations alone, as somebody who is on call; Matchers and Tenant then mean nothing.
	OnlyOnCall bool

	Matchers []Matcher     // which alerts; empty: all
	Tenant   string        // id: only alerts of this tenant; empty: all
	GroupBy  []string      // labels whose values are told together
	Wait     time.Duration // between two messages about the same group, when there is something new
	Repeat   time.Duration // after which what still stands is told again
	Resolved bool          // tell also when it is over

	CreatedAt time.Time
	Version   int64
}

// Ref names the receiver.
func (r *Receiver) Ref() Ref { return Ref{Kind: "receiver", ID: r.ID, Name: r.Name} }

// Where is where messages go to, without secrets.
func (r *Receiver) Where() string {
	switch r.Kind {
	case ReceiveMail:
		return strings.Join(r.To, ", ")
	case ReceiveWebhook:
		return r.URL
	}
	return r.Service
}

// NotificationState is how far a message is.
type NotificationState string

// A notification waits to be sent, was taken by the other side, or was given up.
const (
	NotificationQueued NotificationState = "queued"
	NotificationSent   NotificationState = "sent"
	NotificationFailed NotificationState = "failed"
)

// Notification is one message to a receiver about a group of alerts. It is written before it is sent, and sent until the other side has taken it.
type Notification struct {
	ID         string
	ReceiverID string
	Group      string // the group's labels, as text
	State      NotificationState
	Attempts   int
	NextAt     time.Time // when it is tried, or tried again
	SentAt     time.Time
	CreatedAt  time.Time
	Error      string   // of the last attempt
	Firing     []string // ids of alerts
	Resolved   []string
	Why        string // why the receiver is told, in words
}

// Incident is what belongs together of alerts that began together.
type Incident struct {
	ID        string
	Title     string
	Cause     string // the probable one, in a sentence
	CauseID   string // the alert or job that it is
	Tenant    string // of all its alerts; empty: the estate's
	Hosts     []string
	VMs       []string
	StartedAt time.Time
	EndedAt   time.Time // zero: something of it still fires
	Alerts    int
	Version   int64
}

// Ref names the incident.
func (i *Incident) Ref() Ref { return Ref{Kind: "incident", ID: i.ID, Name: i.Title} }

// AlertTie is what an alert's thing hangs on beside its host: a network that its VM has a card on, or the pool that it is about or that its VM has disks in.
// What is one over many hosts has one id.
type AlertTie struct {
	AlertID, Kind, ID, Name string
}
