package alerting

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"novacron/domain"
)

// Window is how far apart alerts may begin that belong together.
const Window = 5 * time.Minute

// Links is what connects alerts beside their hosts: networks and pools, as kind:id, by the alert's id.
type Links map[string][]string

// Connected says what two alerts have in common; empty: nothing.
func Connected(a, b *domain.Alert, links Links) string {
	switch {
	case a.VMID != "" && a.VMID == b.VMID:
		return "the same VM"
	case a.HostID != "" && a.HostID == b.HostID:
		return "the same host"
	}
	for _, l := range links[a.ID] {
		if slices.Contains(links[b.ID], l) {
			return "the same " + strings.SplitN(l, ":", 2)[0]
		}
	}
	if a.Tenant != "" && a.Tenant == b.Tenant && a.Name == b.Name {
		return "the same tenant"
	}
	return ""
}

// Joined is what came of an alert that began to fire.
type Joined struct {
	Incident string   // the id of the one that it belongs to; empty: a new one
	Alerts   []string // of a new one: all that belong to it
}

// Correlate says to which incident each alert belongs that began to fire and has none yet. One that nothing else is connected with has none. The key is the
// first alert's id.
func Correlate(alerts []domain.Alert, links Links) map[string]Joined {
	out := map[string]Joined{}
	taken := map[string]bool{}
	order := make([]*domain.Alert, 0, len(alerts))
	for i := range alerts {
		if a := &alerts[i]; a.State == domain.AlertFiring {
			order = append(order, a)
		}
	}
	slices.SortFunc(order, func(a, b *domain.Alert) int {
		return 2*a.FiredAt.Compare(b.FiredAt) + strings.Compare(a.ID, b.ID)
	})
	for _, a := range order {
		if a.IncidentID != "" || taken[a.ID] {
			continue
		}
		j := Joined{Alerts: []string{a.ID}}
		for _, b := range order {
			if b.ID == a.ID || taken[b.ID] || near(a, b) > Window || Connected(a, b, links) == "" {
				continue
			}
			if b.IncidentID != "" {
				j = Joined{Incident: b.IncidentID, Alerts: []string{a.ID}}
				break
			}
			j.Alerts = append(j.Alerts, b.ID)
		}
		if j.Incident == "" && len(j.Alerts) < 2 {
			continue
		}
		for _, id := range j.Alerts {
			taken[id] = true
		}
		out[a.ID] = j
	}
	return out
}

func near(a, b *domain.Alert) time.Duration {
	if a.FiredAt.After(b.FiredAt) {
		return a.FiredAt.Sub(b.FiredAt)
	}
	return b.FiredAt.Sub(a.FiredAt)
}

// Cause picks what probably began it: what keeps others quiet before what is about a host, that before what is about a pool, and that before a VM; a job on
// one of the things that ended or began shortly before all of them comes first where nothing explains the others.
func Cause(alerts []domain.Alert, jobs []domain.Job) (id, text string) {
	if len(alerts) == 0 {
		return "", ""
	}
	rank := func(a *domain.Alert) int {
		switch {
		case a.Labels[InhibitsLabel] != "":
			return 0
		case a.HostID != "" && a.VMID == "" && a.Pool == "":
			return 1
		case a.Pool != "":
			return 2
		}
		return 3
	}
	first := slices.MinFunc(alerts, func(a, b domain.Alert) int {
		return 100*(rank(&a)-rank(&b)) + 2*a.FiredAt.Compare(b.FiredAt) + strings.Compare(a.ID, b.ID)
	})
	if rank(&first) > 0 && len(jobs) > 0 {
		j := slices.MaxFunc(jobs, func(a, b domain.Job) int { return a.CreatedAt.Compare(b.CreatedAt) })
		return j.ID, fmt.Sprintf("Shortly before, there was a task: %s.", j.Title)
	}
	return first.ID, first.Summary()
}

// TitleOf names an incident by what its alerts are about.
func TitleOf(alerts []domain.Alert, host func(id string) string) string {
	var hosts, names []string
	for i := range alerts {
		if h := host(alerts[i].HostID); h != "" && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
		if !slices.Contains(names, alerts[i].Name) {
			names = append(names, alerts[i].Name)
		}
	}
	slices.Sort(hosts)
	title := strings.Join(names[:min(3, len(names))], ", ")
	if len(names) > 3 {
		title += fmt.Sprintf(" and %d more", len(names)-3)
	}
	if len(hosts) > 0 {
		title += " on " + strings.Join(hosts[:min(3, len(hosts))], ", ")
	}
	return title
}
