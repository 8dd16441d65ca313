package hvtest

import (
	"context"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

// Redirect implements hv.Redirector.
func (c *conn) Redirect(ctx context.Context, uuid string, moves []hv.DiskMove) error {
	return act(ctx, c, "Redirect", func(m *machine) error {
		g, err := m.find(uuid)
		if err != nil {
			return err
		}
		doc, err := domxml.RedirectXML(g.doc, moves)
		if err != nil || doc == g.doc {
			return err
		}
		if g.state != domain.VMStopped && g.state != domain.VMCrashed {
			return domain.Errorf(domain.Conflict, "A guest that is %s cannot have its disks pointed elsewhere.", g.state).WithFix("Shut it down first.")
		}
		m.put(uuid, g.name, doc)
		return nil
	})
}
