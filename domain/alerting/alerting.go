// Package alerting decides about alerts: which of them are quiet and why, who is told of which together, and which belong to one incident.
//
// It is not for whether an alert stands (db/series) nor for telling anybody (jobs/alerts); it reads nothing and remembers nothing.
package alerting

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"novacron/domain"
)

var compiled sync.Map // text of an expression -> *regexp.Regexp; matchers are few and asked often

func expression(text string) *regexp.Regexp {
	if re, ok := compiled.Load(text); ok {
		return re.(*regexp.Regexp)
	}
	re, err := regexp.Compile("^(?:" + text + ")$")
	if err != nil {
		return nil // matches nothing: who wrote it was told
	}
	compiled.Store(text, re)
	return re
}

// Matches reports whether every matcher chooses the alert. A label that it has not is empty, as Prometheus has it.
func Matches(all []domain.Matcher, a *domain.Alert) bool {
	for _, m := range all {
		v := a.Labels[m.Name]
		ok := false
		switch m.Op {
		case "=":
			ok = v == m.Value
		case "!=":
			ok = v != m.Value
		case "=~", "!~":
			re := expression(m.Value)
			ok = re != nil && re.MatchString(v) == (m.Op == "=~")
		}
		if !ok {
			return false
		}
	}
	return true
}

// InhibitsLabel is the label of a rule whose alerts keep others quiet: host, those about the same host; vm, those about the same VM.
const InhibitsLabel = "inhibits"

// Why is what keeps an alert quiet.
type Why struct {
	Text      string
	SilenceID string
}

// Quiet tells which of the alerts that stand nobody is to be told of, by id: those that somebody silenced, those about hosts in maintenance, and those
// that another alert explains.
func Quiet(alerts []domain.Alert, silences []domain.Silence, maintenance map[string]string, now time.Time) map[string]Why {
	out := map[string]Why{}
	for i := range alerts {
		a := &alerts[i]
		if !a.Live() {
			continue
		}
		for j := range silences {
			if s := &silences[j]; s.State(now) == "active" && Matches(s.Matchers, a) {
				out[a.ID] = Why{"silenced by " + s.CreatedBy + ": " + s.Comment, s.ID}
				break
			}
		}
		if _, quiet := out[a.ID]; quiet {
			continue
		}
		if name := maintenance[a.HostID]; name != "" {
			out[a.ID] = Why{Text: "the host " + name + " is in maintenance"}
			continue
		}
		if by := inhibitor(alerts, a); by != nil {
			out[a.ID] = Why{Text: "explained by " + by.Title()}
		}
	}
	return out
}

func inhibitor(alerts []domain.Alert, a *domain.Alert) *domain.Alert {
	for i := range alerts {
		by := &alerts[i]
		if by.ID == a.ID || !by.Live() {
			continue
		}
		switch by.Labels[InhibitsLabel] {
		case "host":
			if by.HostID != "" && by.HostID == a.HostID && a.Labels[InhibitsLabel] != "host" {
				return by
			}
		case "vm":
			if by.VMID != "" && by.VMID == a.VMID && a.Labels[InhibitsLabel] == "" {
				return by
			}
		}
		if by.Name == a.Name && by.State == domain.AlertFiring && by.Severity == "critical" && a.Severity == "warning" && by.HostID == a.HostID && by.VMID == a.VMID && by.Pool == a.Pool {
			return by
		}
	}
	return nil
}

// GroupOf is the text of the labels that a receiver tells together.
func GroupOf(r *domain.Receiver, a *domain.Alert) string {
	by := slices.Clone(r.GroupBy)
	slices.Sort(by)
	var out []string
	for _, name := range slices.Compact(by) {
		out = append(out, fmt.Sprintf("%s=%q", name, a.Labels[name]))
	}
	return "{" + strings.Join(out, ", ") + "}"
}

// Goes reports whether a receiver is told of an alert by itself, as long as it is not quiet.
func Goes(r *domain.Receiver, a *domain.Alert) bool {
	return !r.Disabled && !r.OnlyOnCall && (r.Tenant == "" || r.Tenant == a.Tenant) && Matches(r.Matchers, a)
}

// Plan says which messages a receiver is to be sent. alerts are those that stand and those that it was told of, as they are now; last are the newest messages
// by group. A message that is still to be sent is not followed by another one: it is made to say what is so now, and keeps its id. via says, by the alert's id, why
// an escalation has the receiver told of it.
func Plan(r *domain.Receiver, alerts []domain.Alert, last map[string]domain.Notification, via map[string]string, now time.Time) []domain.Notification {
	if r.Disabled {
		return nil
	}
	type group struct {
		firing []string
		acked  int
	}
	groups := map[string]*group{}
	byID := make(map[string]*domain.Alert, len(alerts))
	for i := range alerts {
		a := &alerts[i]
		byID[a.ID] = a
		if a.State != domain.AlertFiring || a.Quiet != "" || via[a.ID] == "" && !Goes(r, a) {
			continue
		}
		key := GroupOf(r, a)
		if groups[key] == nil {
			groups[key] = &group{}
		}
		groups[key].firing = append(groups[key].firing, a.ID)
		if !a.AckedAt.IsZero() {
			groups[key].acked++
		}
	}
	for key, n := range last {
		if groups[key] == nil && len(n.Firing) > 0 {
			groups[key] = &group{}
		}
	}
	var out []domain.Notification
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		g := groups[key]
		slices.Sort(g.firing)
		n, told := last[key]
		var resolved []string
		for _, id := range n.Firing {
			if a := byID[id]; r.Resolved && a != nil && a.State == domain.AlertResolved {
				resolved = append(resolved, id)
			}
		}
		fresh := slices.ContainsFunc(g.firing, func(id string) bool { return !slices.Contains(n.Firing, id) })
		if told && n.State == domain.NotificationQueued {
			n.Resolved = slices.Compact(slices.Sorted(slices.Values(slices.Concat(n.Resolved, resolved))))
			if same := slices.Equal(n.Firing, g.firing) && len(resolved) == 0; !same {
				n.Firing, n.Why = g.firing, because(r, g.firing, via)
				out = append(out, n)
			}
			continue
		}
		again := told && len(g.firing) > g.acked && r.Repeat > 0 && now.Sub(n.CreatedAt) >= r.Repeat
		soon := told && len(n.Firing) > 0 && now.Sub(n.CreatedAt) < r.Wait
		if (fresh || len(resolved) > 0) && !soon || again {
			fresh := slices.DeleteFunc(slices.Clone(g.firing), func(id string) bool { return slices.Contains(n.Firing, id) })
			why := because(r, fresh, via)
			switch {
			case len(fresh) > 0:
			case len(resolved) > 0:
				why = "was told when it began"
			default:
				why = "nobody looks after it, and " + short(r.Repeat) + " have passed"
			}
			out = append(out, domain.Notification{ReceiverID: r.ID, Group: key, State: domain.NotificationQueued, NextAt: now, CreatedAt: now, Firing: g.firing, Resolved: resolved, Why: why})
		}
	}
	return out
}

// because says why a receiver is told of alerts.
func because(r *domain.Receiver, ids []string, via map[string]string) string {
	var out []string
	for _, id := range ids {
		why := via[id]
		if why == "" {
			why = "is told of all alerts"
			if len(r.Matchers) > 0 {
				why = "is told of alerts with " + strings.ReplaceAll(domain.MatchersText(r.Matchers), "\n", ", ")
			}
		}
		if !slices.Contains(out, why) {
			out = append(out, why)
		}
	}
	return strings.Join(out[:min(3, len(out))], "; ")
}

// Backoff is how long a message waits that could not be sent so often.
func Backoff(attempts int) time.Duration {
	d := 5 * time.Second
	for range min(attempts-1, 10) {
		d *= 2
	}
	return min(d, 5*time.Minute)
}
