package api

import (
	"context"
	"net/http"

	"novacron/auth/access"
	"novacron/domain"
)

// PolicyPath names what a policy is written for.
type PolicyPath struct {
	ID string `path:"id" maxLength:"64" doc:"Of the VM, host or tenant that it is written for; all for everything"`
}

type scopedOutput struct{ Body domain.ScopedPolicy }

// policies are the rules of migrations.
func (s *server) policies() {
	register(s, op{id: "list-migration-policies", method: http.MethodGet, path: "/migration-policies", tag: "Migration", perm: access.HostMaintain, status: 200, summary: "List what migrations may do",
		doc: "The policies that are written: for a VM, a tenant, a host or the estate. The narrowest that says something holds; what a wider one forbids stays forbidden."},
		func(ctx context.Context, _ *struct{}) (*struct {
			Body struct {
				Items []domain.ScopedPolicy `json:"items" nullable:"false"`
				Next  *string               `json:"next" doc:"Always null: the list comes in one piece"`
			}
		}, error) {
			out := &struct {
				Body struct {
					Items []domain.ScopedPolicy `json:"items" nullable:"false"`
					Next  *string               `json:"next" doc:"Always null: the list comes in one piece"`
				}
			}{}
			all, err := s.DB.MigrationPolicies(ctx)
			out.Body.Items = list(all)
			return out, err
		})
	register(s, op{id: "set-migration-policy", method: http.MethodPut, path: "/migration-policies/{id}", tag: "Migration", perm: access.HostMaintain, status: 200, summary: "Say what migrations may do",
		doc: "Of one VM, of a tenant's VMs, of those on a host, or of all. A policy that contradicts itself is refused with the field. An empty one takes it away. Moves that begin from now on keep to it."},
		func(ctx context.Context, in *struct {
			PolicyPath
			Body domain.MigrationPolicy
		}) (*scopedOutput, error) {
			of := domain.PolicyOf(in.ID)
			of.Policy = in.Body
			p, err := s.Fleet.SetMigrationPolicy(ctx, actor(ctx), of)
			return &scopedOutput{p}, unprefixed(err)
		})
	register(s, op{id: "vm-migration-policy", method: http.MethodGet, path: "/vms/{id}/migration-policy", tag: "Migration", perm: access.VMRead, status: 200, summary: "Show what holds for the migrations of a VM",
		doc: "Of the VM's own policy, its tenant's, its host's and the estate's, and which of them there are."},
		func(ctx context.Context, in *VMPath) (*struct{ Body domain.EffectivePolicy }, error) {
			p, err := s.Fleet.PolicyFor(ctx, in.ID)
			p.From = list(p.From)
			return &struct{ Body domain.EffectivePolicy }{p}, err
		})
}

// unprefixed names the fields of a policy that is the whole body.
func unprefixed(err error) error { return domain.Refield(err, "policy.", "") }
