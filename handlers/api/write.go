package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"novacron/auth/access"
	"novacron/db/series"
	"novacron/domain"
)

// promWritten is a batch of remote write.
type promWritten struct {
	Encoding string `header:"Content-Encoding" maxLength:"40" doc:"snappy"`
	Kind     string `header:"Content-Type" maxLength:"200"`
	Version  string `header:"X-Prometheus-Remote-Write-Version" maxLength:"20" doc:"0.1.0"`
	RawBody  []byte `contentType:"application/x-protobuf"`
}

// write takes samples of hosts from Prometheus, its agent and what speaks like them.
func (s *server) write() {
	registerWith(s, op{id: "write-samples", method: http.MethodPost, path: "/write", tag: "Metrics", perm: access.MetricWrite, status: 204, summary: "Send samples of hosts",
		doc: "Prometheus' remote write, version 1: snappy and protobuf. It is for what node_exporter and its kin know of hosts and libvirt does not tell. Each series has to be of a host: its label host, or its label " +
			"instance without the port, is the host's name or host name. It gets the labels host and host_id; the labels vm, vm_id and tenant are left out, and names that begin with novacron_ are refused."},
		func(h *huma.Operation) {
			h.Responses = map[string]*huma.Response{"204": {Description: "Kept"}, "400": s.promRefusal("Refused as a whole; sending it again does not help"), "503": s.promRefusal("Nothing is measured here")}
			h.SkipValidateBody = true
		}, func(ctx context.Context, in *promWritten) (*promOutput, error) {
			return s.promTold(ctx, func() error {
				if s.Series == nil {
					return domain.Errorf(domain.Unavailable, "Nothing is measured here.")
				}
				if strings.Contains(in.Kind, "io.prometheus.write.v2") || in.Encoding != "" && in.Encoding != "snappy" {
					return domain.Errorf(domain.Invalid, "This is not remote write of version 1.").WithFix("Leave the sender's protobuf_message as prometheus.WriteRequest.")
				}
				hosts, err := s.DB.Hosts(ctx)
				if err != nil {
					return err
				}
				_, err = s.Series.Receive(ctx, in.RawBody, s.Clock(), hostsNamed(hosts))
				return err
			})
		})
}

// hostsNamed finds hosts by their names here, and by what they call themselves, in full or without the domain, where that is of one only.
func hostsNamed(hosts []domain.Host) series.HostOf {
	by := map[string]*domain.Host{}
	for i := range hosts {
		h := &hosts[i]
		short, _, _ := strings.Cut(h.Facts.Hostname, ".")
		for _, name := range []string{h.Facts.Hostname, short} {
			if other, taken := by[name]; name != "" && (!taken || other != nil && other.ID == h.ID) {
				by[name] = h
			} else if name != "" {
				by[name] = nil // of several
			}
		}
	}
	for i := range hosts {
		by[hosts[i].Name] = &hosts[i]
	}
	return func(name string) (domain.Host, bool) {
		if h := by[name]; h != nil {
			return *h, true
		}
		return domain.Host{}, false
	}
}
