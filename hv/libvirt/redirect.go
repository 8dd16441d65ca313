package libvirt

import (
	"context"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

// Redirect implements hv.Redirector.
func (h *host) Redirect(ctx context.Context, uuid string, moves []hv.DiskMove) error {
	n, err := h.now(ctx, uuid)
	if err != nil {
		return err
	}
	doc, err := h.document(ctx, n.Domain, golibvirt.DomainXMLInactive|golibvirt.DomainXMLSecure)
	if err != nil {
		return err
	}
	moved, err := domxml.RedirectXML(doc, moves)
	if err != nil || moved == doc {
		return err
	}
	if !n.off() || n.saved {
		return domain.Errorf(domain.Conflict, "%s is %s; only a stopped VM's disks can be pointed elsewhere.", n.Name, guestState(int32(n.state), 0, n.saved).State).WithFix("Shut it down first.")
	}
	_, err = h.define(ctx, moved, 0)
	return err
}
