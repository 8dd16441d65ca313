package fleet

import (
	"context"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// MarkNetwork says that the cards on a network count as public addresses of tenants, or that they do not. It holds for the networks of that name on every
// host, since that is how VMs find them; nothing changes on a host. It is for who runs the networks of the estate: a tenant cannot lift its own quota.
func (f *Fleet) MarkNetwork(ctx context.Context, actor, id string, public bool) (domain.Network, error) {
	n, host, err := f.network(ctx, id)
	if err != nil {
		return n, err
	}
	if g := access.Of(ctx); g != nil && !g.Everywhere(access.NetworkManage) {
		return n, domain.Errorf(domain.Denied, "Which networks are public is for who runs the networks of the whole estate (it needs %s there).", access.NetworkManage).
			WithFix("Ask an administrator to mark it.")
	}
	return n, f.db.Write(ctx, func(tx *db.Tx) error {
		changed, err := tx.MarkNetwork(n.Name, actor, public)
		if err != nil || !changed {
			return err
		}
		if err := tx.Changes(map[string]bool{"public": !public}, map[string]bool{"public": public}); err != nil {
			return err
		}
		said := "Cards on networks called " + n.Name + " count as public addresses from now on."
		if !public {
			said = "Cards on networks called " + n.Name + " do not count as public addresses any more."
		}
		return tx.Emit(domain.Event{Kind: "network.changed", Resource: networkRef(host.ID, n.Name), HostID: host.ID, Actor: actor, Message: said})
	})
}
