package libvirt

import (
	"context"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/hv/libvirt/domxml"
)

func (h *host) AdoptSnapshot(ctx context.Context, uuid, from, name string) error {
	d, err := h.lookup(ctx, uuid)
	if err != nil {
		return err
	}
	doc, err := h.snapshotDoc(ctx, from, name)
	if err != nil {
		return err
	}
	own, err := h.document(ctx, d, golibvirt.DomainXMLInactive)
	if err != nil {
		return err
	}
	adopted, err := domxml.AdoptedSnapshot(doc, own)
	if err != nil {
		return err
	}
	return h.DefineSnapshot(ctx, uuid, adopted, false)
}
