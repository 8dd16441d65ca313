package domain

import (
	"strconv"
	"strings"
	"time"
)

// CloudEvent is an event as it is told to other programs: CloudEvents 1.0 in JSON. Its id is the number to go on from.
type CloudEvent struct {
	SpecVersion     string    `json:"specversion" example:"1.0"`
	ID              string    `json:"id" doc:"The event's number, which grows; where a stream goes on from" example:"4711"`
	Source          string    `json:"source" example:"https://novacron.example.net/api/v1/events"`
	Type            string    `json:"type" doc:"novacron. and the kind" example:"novacron.vm.changed"`
	Subject         string    `json:"subject,omitempty" doc:"The id of what it is about" example:"vm_01k2"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype" example:"application/json"`
	TenantID        string    `json:"tenantid,omitempty" doc:"The tenant that it belongs to"`
	Data            Event     `json:"data"`
}

const (
	cloudType   = "novacron."
	cloudSource = "/api/v1/events"
)

// CloudEventOf wraps an event; site is where this server is, if that is known.
func CloudEventOf(ev Event, site string) CloudEvent {
	return CloudEvent{SpecVersion: "1.0", ID: strconv.FormatInt(ev.Seq, 10), Source: strings.TrimSuffix(site, "/") + cloudSource, Type: cloudType + ev.Kind, Subject: ev.Resource.ID,
		Time: ev.At.UTC(), DataContentType: "application/json", TenantID: ev.Tenant, Data: ev}
}

// EventFilter chooses events.
type EventFilter struct {
	Kinds  []string // names, or beginnings with a * at the end; none: all
	Object string   // the id of what it is about, or of the job that did it
	Host   string
	Tenant string
}

// ParseKinds reads kinds with commas between them.
func ParseKinds(field, text string) ([]string, error) {
	var out []string
	for k := range strings.SplitSeq(text, ",") {
		k = strings.TrimPrefix(strings.TrimSpace(k), cloudType)
		if k == "" {
			continue
		}
		if name := strings.TrimSuffix(k, "*"); strings.ContainsFunc(name, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
		}) || len(k) > 64 {
			return nil, InvalidField(field, "“"+k+"” is not a kind of event.", "such as vm.changed, or vm.* for all about VMs; several with commas between them")
		}
		out = append(out, k)
	}
	if len(out) > 100 {
		return nil, InvalidField(field, "More than 100 kinds are named.", "fewer, or beginnings such as vm.*")
	}
	return out, nil
}

// Wants reports whether the filter chooses an event.
func (f *EventFilter) Wants(ev *Event) bool {
	if f.Object != "" && ev.Resource.ID != f.Object && ev.JobID != f.Object || f.Host != "" && ev.HostID != f.Host && ev.Resource.ID != f.Host || f.Tenant != "" && ev.Tenant != f.Tenant {
		return false
	}
	if len(f.Kinds) == 0 {
		return true
	}
	for _, k := range f.Kinds {
		if start, ok := strings.CutSuffix(k, "*"); ok && strings.HasPrefix(ev.Kind, start) || k == ev.Kind {
			return true
		}
	}
	return false
}
