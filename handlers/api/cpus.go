package api

import (
	"context"
	"net/http"

	"novacron/auth/access"
	"novacron/domain"
)

// BaselineAsk is which hosts a processor is sought for.
type BaselineAsk struct {
	Hosts []string     `json:"hosts" minItems:"1" maxItems:"200" nullable:"false" doc:"Ids or names"`
	Accel domain.Accel `json:"accel,omitempty" default:"auto" enum:"auto,kvm,tcg" doc:"How VMs will run; auto is kvm where all of them have it"`
}

// cpus finds processors that hosts have in common.
func (s *server) cpus() {
	register(s, op{id: "cpu-baseline", method: http.MethodPost, path: "/hosts/cpu-baseline", tag: "Hosts", perm: access.HostRead, status: 202, summary: "Find a processor that a set of hosts has in common",
		doc: "The job only asks. Its result has the model and the features to give VMs as cpu and cpu_features, so that they can move among these hosts while they run, and what each host says to it."},
		func(ctx context.Context, in *struct {
			ChangeParams
			Body BaselineAsk
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.CPUBaseline(ctx, actor(ctx), in.Body.Hosts, in.Body.Accel, key)
			})
		})
}
