package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// HostCreate is what is asked for when a host is tried or added.
type HostCreate struct {
	Name        string                  `json:"name" maxLength:"64" example:"b2"`
	URI         string                  `json:"uri" maxLength:"2000" doc:"libvirt's connection URI: qemu:///system, or qemu+ssh, qemu+tls, qemu+tcp" example:"qemu+ssh://root@b2.example/system"`
	Labels      map[string]string       `json:"labels,omitempty" doc:"Anything: site, rack"`
	Credentials *domain.HostCredentials `json:"credentials,omitempty" doc:"Kept by the server, never shown again. What is missing is taken from libvirt's default files on the server"`
}

func (b HostCreate) ask(key string) fleet.AddHost {
	h := fleet.AddHost{Name: b.Name, URI: b.URI, Labels: b.Labels, Key: key}
	if b.Credentials != nil {
		h.Creds = *b.Credentials
	}
	return h
}

type HostPath struct {
	ID string `path:"id" maxLength:"64" doc:"The host's id"`
}

type hostOutput struct {
	ETag string `header:"ETag"`
	Body Host
}

func hostAnswer(h domain.Host) *hostOutput { return &hostOutput{etag(h.Version), hostOf(&h, true)} }

type hostListInput struct {
	PageQuery
	Filter string `query:"filter" maxLength:"500" doc:"Words that the name, the URI, a label or the notes contain; state:away, maintenance:yes and label:key=value narrow, a minus excludes"`
	Sort   string `query:"sort" default:"name" doc:"name, state, created, vcpus or memory; a minus turns it round"`
}

type hostPatchInput struct {
	HostPath
	MatchHeader
	Body HostEdit
}

// HostEdit is what may change of a host; it is all kept by NovaCron.
type HostEdit struct {
	Name        *string            `json:"name,omitempty" maxLength:"64"`
	Notes       *string            `json:"notes,omitempty" maxLength:"20000"`
	Labels      *map[string]string `json:"labels,omitempty" doc:"Replaces all labels"`
	Maintenance *bool              `json:"maintenance,omitempty" doc:"No new VM is placed on a host in maintenance"`
	Accel       *domain.Accel      `json:"accel,omitempty" enum:"auto,kvm,tcg" doc:"What auto means for new VMs on this host: auto judges by the host's CPU, kvm trusts it with KVM, tcg keeps it from KVM"`
	Scrape      *int               `json:"scrape_interval_seconds,omitempty" minimum:"0" maximum:"120" doc:"How often it is measured, in seconds; 0: as all hosts are"`
	Version     *int64             `json:"version,omitempty" minimum:"1" doc:"The version that the edit is based on; when it is stale the answer is 409"`
}

func (s *server) hosts() {
	registerPage(s, op{id: "list-hosts", method: http.MethodGet, path: "/hosts", tag: "Hosts", perm: access.HostRead, status: 200, summary: "List hosts"},
		func(ctx context.Context, in *hostListInput) (Page[Host], error) {
			all, err := s.DB.Hosts(ctx)
			if err != nil {
				return Page[Host]{}, err
			}
			match, err := hostFilter(in.Filter)
			if err != nil {
				return Page[Host]{}, err
			}
			all = slices.DeleteFunc(all, func(h domain.Host) bool { return !match(&h) })
			return paged(all, in.PageQuery, in.Sort, sortKeys[domain.Host]{
				"name":    func(h *domain.Host) string { return strings.ToLower(h.Name) },
				"state":   func(h *domain.Host) string { return string(h.State) },
				"created": func(h *domain.Host) string { return padded(h.CreatedAt.UnixMilli()) },
				"vcpus":   func(h *domain.Host) string { return padded(int64(h.Facts.CPUs)) },
				"memory":  func(h *domain.Host) string { return padded(h.Facts.MemoryBytes) },
			}, func(h *domain.Host) string { return h.ID }, func(h *domain.Host) Host { return hostOf(h, false) })
		})

	register(s, op{id: "add-host", method: http.MethodPost, path: "/hosts", tag: "Hosts", perm: access.HostAdd, status: 202, summary: "Add a host",
		doc: "The job connects, reads what the host is and saves it; when a step fails nothing is saved and the job's error says which and what to do. Nothing is installed on the host."},
		func(ctx context.Context, in *struct {
			ChangeParams
			Body HostCreate
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return s.Fleet.AddHost(ctx, actor(ctx), in.Body.ask(key)) })
		})

	register(s, op{id: "try-host", method: http.MethodPost, path: "/hosts/try", tag: "Hosts", perm: access.HostAdd, status: 202, summary: "Try a connection without saving it",
		doc: "The job's result is what was found: versions, processor, memory, capabilities, free storage and the steps of the connection."},
		func(ctx context.Context, in *struct {
			ChangeParams
			Body HostCreate
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return s.Fleet.TryHost(ctx, actor(ctx), in.Body.ask(key)) })
		})

	register(s, op{id: "get-host", method: http.MethodGet, path: "/hosts/{id}", tag: "Hosts", perm: access.HostRead, status: 200, summary: "Show a host"},
		func(ctx context.Context, in *HostPath) (*hostOutput, error) {
			h, err := s.DB.Host(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return hostAnswer(h), nil
		})

	register(s, op{id: "edit-host", method: http.MethodPatch, path: "/hosts/{id}", tag: "Hosts", perm: access.HostEdit, status: 200, summary: "Change what NovaCron keeps of a host",
		doc: "Name, notes, labels, maintenance, the accelerator and how often it is measured. It is done when the answer comes: the host is not asked."},
		func(ctx context.Context, in *hostPatchInput) (*hostOutput, error) {
			base, fromHeader, err := in.base(in.Body.Version)
			if err != nil {
				return nil, err
			}
			h, err := s.DB.Host(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if err := fresh(base, fromHeader, h.Version, "host"); err != nil {
				return nil, err
			}
			b := in.Body
			var scrape *time.Duration
			if b.Scrape != nil {
				scrape = new(time.Duration(*b.Scrape) * time.Second)
			}
			if h, err = s.Fleet.EditHost(ctx, actor(ctx), in.ID, base, fleet.HostEdit{Name: b.Name, Notes: b.Notes, Labels: b.Labels, Maintenance: b.Maintenance, Accel: b.Accel, Scrape: scrape}); err != nil {
				return nil, err
			}
			return hostAnswer(h), nil
		})

	register(s, op{id: "remove-host", method: http.MethodDelete, path: "/hosts/{id}", tag: "Hosts", perm: access.HostRemove, status: 202, summary: "Remove a host",
		doc: "NovaCron forgets the host and its VMs. Nothing on the host is touched: its VMs run on."},
		func(ctx context.Context, in *struct {
			HostPath
			ChangeParams
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return s.Fleet.RemoveHost(ctx, actor(ctx), in.ID, key) })
		})

	register(s, op{id: "reconnect-host", method: http.MethodPost, path: "/hosts/{id}/reconnect", tag: "Hosts", perm: access.HostEdit, status: 202, summary: "Try a host that is away now",
		doc: "NovaCron tries by itself at growing intervals; this does not wait for the next."},
		func(ctx context.Context, in *struct {
			HostPath
			ChangeParams
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(string) (domain.Job, error) { return s.Fleet.ReconnectHost(ctx, actor(ctx), in.ID) })
		})
}

// hostFilter reads the small filter language of hosts; every term must match.
func hostFilter(text string) (func(*domain.Host) bool, error) {
	var tests []func(*domain.Host) bool
	for _, term := range strings.Fields(strings.ToLower(text)) {
		word, not := strings.CutPrefix(term, "-")
		test := func(h *domain.Host) bool { return hostContains(h, word) }
		if key, value, ok := strings.Cut(word, ":"); ok && !strings.HasPrefix(value, "//") {
			switch key {
			case "name":
				test = func(h *domain.Host) bool { return strings.Contains(strings.ToLower(h.Name), value) }
			case "uri":
				test = func(h *domain.Host) bool { return strings.Contains(strings.ToLower(h.URI), value) }
			case "state":
				test = func(h *domain.Host) bool { return string(h.State) == value }
			case "maintenance":
				test = func(h *domain.Host) bool { return h.Maintenance == (value == "yes" || value == "true") }
			case "label":
				k, v, withValue := strings.Cut(value, "=")
				test = func(h *domain.Host) bool {
					got, has := h.Labels[k]
					return has && (!withValue || strings.EqualFold(got, v))
				}
			default:
				return nil, domain.InvalidField("filter", "There is no “"+key+":” to filter hosts by.", "name:, uri:, state:, maintenance: or label:, or plain words")
			}
		}
		tests = append(tests, func(h *domain.Host) bool { return test(h) != not })
	}
	return func(h *domain.Host) bool {
		for _, t := range tests {
			if !t(h) {
				return false
			}
		}
		return true
	}, nil
}

func hostContains(h *domain.Host, word string) bool {
	for _, s := range []string{h.Name, h.URI, h.Notes, h.Facts.Hostname, h.ID} {
		if strings.Contains(strings.ToLower(s), word) {
			return true
		}
	}
	for k, v := range h.Labels {
		if strings.Contains(strings.ToLower(k+"="+v), word) {
			return true
		}
	}
	return false
}

// actor is the name that jobs and events carry for who asks.
func actor(ctx context.Context) string { return auth.SubjectOf(ctx).Actor() }
