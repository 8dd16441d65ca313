package domain

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// MigrationPolicy bounds what a migration may do to the guest and the wire. The zero value is the default.
type MigrationPolicy struct {
	DowntimeMS         []int             `json:"downtime_ms,omitempty" nullable:"false"`       // limits tried one after the other as the copying stalls; empty: 100, 150, 200, 300, 500
	BandwidthBytes     int64             `json:"bandwidth_bytes,omitempty"`                    // a second; 0: no cap
	Windows            []BandwidthWindow `json:"bandwidth_windows,omitempty" nullable:"false"` // caps at times of the day; outside of them BandwidthBytes holds
	NeverSlow          bool              `json:"never_slow,omitempty"`                         // do not slow the guest down (auto-converge)
	PostCopy           bool              `json:"post_copy,omitempty"`                          // may end by post-copy when copying does not keep up
	PauseAfterSeconds  int               `json:"pause_after_seconds,omitempty"`                // when it does not keep up for this long: pause the guest and finish; 0: never
	AbortAfterSeconds  int               `json:"abort_after_seconds,omitempty"`                // when it does not keep up for this long: give up, and the guest stays; 0: never
	RequireTLS         bool              `json:"require_tls,omitempty"`                        // refuse an unencrypted stream
	Transport          Transport         `json:"transport,omitempty" enum:"auto,tls,tunnelled,plain"`
	ParallelConnection int               `json:"parallel_connections,omitempty"` // multifd; 0: one connection
	Compress           bool              `json:"compress,omitempty"`             // XBZRLE
	NeverMigrate       bool              `json:"never_migrate,omitempty"`        // it stays where it is
	OnlyShared         bool              `json:"only_shared,omitempty"`          // no disk is copied: both hosts must see its storage
	MaxIn              int               `json:"max_in,omitempty"`               // moves at once to a host; only in a host's or the estate's policy; 0: no limit of its own
	MaxOut             int               `json:"max_out,omitempty"`              // moves at once away from a host; as MaxIn
	MaxLink            int               `json:"max_link,omitempty"`             // moves at once from one host to another; only in the estate's policy
}

// Transport is how a guest's memory and disks travel between two hosts.
type Transport string

const (
	TransportAuto      Transport = "auto"      // TLS when both hosts can, else plain with a warning
	TransportTLS       Transport = "tls"       // or not at all
	TransportTunnelled Transport = "tunnelled" // through the daemons' own connection
	TransportPlain     Transport = "plain"     // unencrypted, whatever the hosts can
)

// BandwidthWindow is a cap at a time of the day, as the server's clock shows it. From after To passes midnight.
type BandwidthWindow struct {
	From           string `json:"from" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" example:"22:00"`
	To             string `json:"to" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" example:"06:00"`
	BandwidthBytes int64  `json:"bandwidth_bytes" doc:"A second, from 1 MiB; 0: no cap"`
}

func minute(clock string) (int, bool) {
	t, err := time.Parse("15:04", clock)
	return t.Hour()*60 + t.Minute(), err == nil && len(clock) == 5
}

func (w BandwidthWindow) holds(at int) bool {
	from, _ := minute(w.From)
	to, _ := minute(w.To)
	if from < to {
		return at >= from && at < to
	}
	return at >= from || at < to
}

// BandwidthAt is the cap that holds at a moment, in bytes a second; 0: none.
func (p MigrationPolicy) BandwidthAt(now time.Time) int64 {
	for _, w := range p.Windows {
		if w.holds(now.Hour()*60 + now.Minute()) {
			return w.BandwidthBytes
		}
	}
	return p.BandwidthBytes
}

// NextBandwidth says when another cap begins to hold, and which; ok is false when none does within a day.
func (p MigrationPolicy) NextBandwidth(now time.Time) (at string, bytes int64, ok bool) {
	have := p.BandwidthAt(now)
	best := 0
	for _, w := range p.Windows {
		for _, clock := range []string{w.From, w.To} {
			m, _ := minute(clock)
			in := (m - now.Hour()*60 - now.Minute() + 24*60) % (24 * 60)
			then := p.BandwidthAt(now.Add(time.Duration(in) * time.Minute))
			if in > 0 && then != have && (!ok || in < best) {
				best, at, bytes, ok = in, clock, then, true
			}
		}
	}
	return at, bytes, ok
}

// DefaultDowntimes are the limits tried one after the other while the copying stalls, in milliseconds.
var DefaultDowntimes = []int{100, 150, 200, 300, 500}

// Downtimes gives the limits to try.
func (p MigrationPolicy) Downtimes() []int {
	if len(p.DowntimeMS) == 0 {
		return DefaultDowntimes
	}
	return p.DowntimeMS
}

// Validate checks a policy by itself: also that nothing in it contradicts the rest.
func (p MigrationPolicy) Validate() error {
	var probs Problems
	last := 0
	for _, ms := range p.DowntimeMS {
		if ms < 1 || ms > 60_000 || ms <= last {
			probs.Add("policy.downtime_ms", "The limits of the pause must grow, from 1 to 60000 ms.", "for example [100, 150, 200, 300, 500]")
			break
		}
		last = ms
	}
	if p.BandwidthBytes != 0 && p.BandwidthBytes < MiB {
		probs.Add("policy.bandwidth_bytes", "A cap below 1 MiB/s would never end.", "at least 1048576, or 0 for no cap")
	}
	p.validWindows(&probs)
	if p.PauseAfterSeconds < 0 {
		probs.Add("policy.pause_after_seconds", "A time cannot be negative.", "seconds, or 0 for never")
	}
	if p.AbortAfterSeconds < 0 {
		probs.Add("policy.abort_after_seconds", "A time cannot be negative.", "seconds, or 0 for never")
	}
	if p.PostCopy && p.PauseAfterSeconds > 0 {
		probs.Add("policy.post_copy", "Post-copy and a pause contradict each other: both say how a migration ends that does not keep up.", "one of the two")
	}
	if p.AbortAfterSeconds > 0 && (p.PostCopy || p.PauseAfterSeconds > 0) {
		probs.Add("policy.abort_after_seconds", "Giving up contradicts post-copy and a pause: each says how a migration ends that does not keep up.", "one of the three")
	}
	if p.PostCopy && p.Compress {
		probs.Add("policy.compress", "Compressed pages cannot be fetched by post-copy.", "one of the two")
	}
	if p.ParallelConnection < 0 || p.ParallelConnection > 64 {
		probs.Add("policy.parallel_connections", "That many connections are not possible.", "0 to 64")
	}
	if p.ParallelConnection > 1 && p.Compress {
		probs.Add("policy.parallel_connections", "XBZRLE compares with pages sent before, which several connections cannot.", "one connection, or no compression")
	}
	switch p.Transport {
	case "", TransportAuto, TransportTLS:
	case TransportTunnelled:
		if p.ParallelConnection > 1 {
			probs.Add("policy.transport", "A tunnel through the daemons is one connection.", "one connection, or another transport")
		}
		if p.PostCopy {
			probs.Add("policy.transport", "Post-copy has to fetch pages back, which a tunnel through the daemons cannot.", "no post-copy, or another transport")
		}
	case TransportPlain:
		if p.RequireTLS {
			probs.Add("policy.transport", "A plain stream contradicts the demand for TLS.", "auto or tls")
		}
	default:
		probs.Add("policy.transport", "“"+string(p.Transport)+"” is not a transport.", "auto, tls, tunnelled or plain")
	}
	if p.NeverMigrate && p.says(true) {
		probs.Add("policy.never_migrate", "What never moves needs no rules for moving.", "no other rule beside it")
	}
	for field, n := range map[string]int{"max_in": p.MaxIn, "max_out": p.MaxOut, "max_link": p.MaxLink} {
		if n < 0 || n > 100 {
			probs.Add("policy."+field, "That many moves at once are not possible.", "1 to 100, or 0 for no limit of its own")
		}
	}
	if p.MaxLink > 0 && (p.MaxIn > 0 && p.MaxLink > p.MaxIn || p.MaxOut > 0 && p.MaxLink > p.MaxOut) {
		probs.Add("policy.max_link", "A link cannot carry more moves than its hosts take.", fmt.Sprintf("at most %d", max(min(p.MaxIn, p.MaxOut), 1)))
	}
	return probs.Err()
}

func (p MigrationPolicy) validWindows(probs *Problems) {
	covered := make([]bool, 24*60)
	for i, w := range p.Windows {
		field := fmt.Sprintf("policy.bandwidth_windows.%d", i)
		_, a := minute(w.From)
		_, b := minute(w.To)
		switch {
		case !a || !b || w.From == w.To:
			probs.Add(field, fmt.Sprintf("“%s” to “%s” is not a time of the day.", w.From, w.To), "two different times, such as 22:00 and 06:00")
			continue
		case w.BandwidthBytes != 0 && w.BandwidthBytes < MiB:
			probs.Add(field, "A cap below 1 MiB/s would never end.", "at least 1048576, or 0 for no cap")
		}
		for m := range covered {
			if !w.holds(m) {
				continue
			}
			if covered[m] {
				probs.Add(field, fmt.Sprintf("It overlaps another window at %02d:%02d.", m/60, m%60), "windows that follow one another")
				break
			}
			covered[m] = true
		}
	}
}

// says reports whether the policy has any rule; but leaves NeverMigrate out.
func (p MigrationPolicy) says(but bool) bool {
	if p.NeverMigrate && !but {
		return true
	}
	return len(p.DowntimeMS) > 0 || p.BandwidthBytes != 0 || len(p.Windows) > 0 || p.NeverSlow || p.PostCopy || p.PauseAfterSeconds != 0 || p.AbortAfterSeconds != 0 || p.RequireTLS ||
		p.Transport != "" && p.Transport != TransportAuto || p.ParallelConnection != 0 || p.Compress || p.OnlyShared || p.MaxIn != 0 || p.MaxOut != 0 || p.MaxLink != 0
}

// Empty reports a policy without a rule.
func (p MigrationPolicy) Empty() bool { return !p.says(false) }

// Over is the policy with what a wider one says where it says nothing itself. What forbids is never lifted by a narrower policy. How a migration ends that does not keep
// up is one rule, taken as a whole, and so is the bandwidth with its windows.
func (p MigrationPolicy) Over(wider MigrationPolicy) MigrationPolicy {
	out := p
	if len(out.DowntimeMS) == 0 {
		out.DowntimeMS = slices.Clone(wider.DowntimeMS)
	}
	if out.BandwidthBytes == 0 && len(out.Windows) == 0 {
		out.BandwidthBytes, out.Windows = wider.BandwidthBytes, slices.Clone(wider.Windows)
	}
	if !out.PostCopy && out.PauseAfterSeconds == 0 && out.AbortAfterSeconds == 0 && !out.NeverSlow {
		out.PostCopy, out.PauseAfterSeconds, out.AbortAfterSeconds, out.NeverSlow = wider.PostCopy, wider.PauseAfterSeconds, wider.AbortAfterSeconds, wider.NeverSlow
	}
	if out.Transport == "" || out.Transport == TransportAuto {
		out.Transport = wider.Transport
	}
	if out.ParallelConnection == 0 {
		out.ParallelConnection = wider.ParallelConnection
	}
	out.Compress = out.Compress || wider.Compress
	out.RequireTLS = out.RequireTLS || wider.RequireTLS
	out.NeverMigrate = out.NeverMigrate || wider.NeverMigrate
	out.OnlyShared = out.OnlyShared || wider.OnlyShared
	return out
}

// PolicyScope is what a policy is written for.
type PolicyScope string

const (
	PolicyEstate PolicyScope = "estate" // everything; its id is "all"
	PolicyHost   PolicyScope = "host"
	PolicyTenant PolicyScope = "tenant"
	PolicyVM     PolicyScope = "vm"
)

// PolicyAll is the id of the one policy of PolicyEstate.
const PolicyAll = "all"

// ScopedPolicy is a policy with what it is written for.
type ScopedPolicy struct {
	Scope  PolicyScope     `json:"scope" enum:"estate,host,tenant,vm"`
	ID     string          `json:"id" doc:"Of the host, tenant or VM; all for the estate"`
	Name   string          `json:"name"`
	Policy MigrationPolicy `json:"policy"`
}

// PolicyOf gives the scope of an id: of a VM, a host or a tenant, or PolicyAll.
func PolicyOf(id string) ScopedPolicy {
	out := ScopedPolicy{Scope: PolicyTenant, ID: id}
	switch kind, _, _ := strings.Cut(id, "_"); {
	case id == PolicyAll:
		out.Scope = PolicyEstate
	case kind == "vm":
		out.Scope = PolicyVM
	case kind == "host":
		out.Scope = PolicyHost
	}
	return out
}

// Validate checks that the policy can be written for its scope.
func (s ScopedPolicy) Validate() error {
	var probs Problems
	if e, ok := s.Policy.Validate().(*Error); ok && e != nil {
		probs = append(probs, e.Fields...)
	}
	if s.Scope != PolicyHost && s.Scope != PolicyEstate {
		for field, n := range map[string]int{"max_in": s.Policy.MaxIn, "max_out": s.Policy.MaxOut} {
			if n != 0 {
				probs.Add("policy."+field, "How many moves a host takes at once is for the policy of a host or the estate to say.", "nothing here")
			}
		}
	}
	if s.Scope != PolicyEstate && s.Policy.MaxLink != 0 {
		probs.Add("policy.max_link", "How many moves a link carries at once is for the estate's policy to say.", "nothing here")
	}
	return probs.Err()
}

// EffectivePolicy is what holds for the moves of one VM, and which policies say so, the narrowest first.
type EffectivePolicy struct {
	Policy MigrationPolicy `json:"policy"`
	From   []ScopedPolicy  `json:"from" nullable:"false"`
}
