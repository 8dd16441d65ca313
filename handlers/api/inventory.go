package api

import (
	"context"
	"net/http"

	"novacron/auth/access"
	"novacron/domain"
)

type InventoryQuery struct {
	HostPath
	PageQuery
	Sort string `query:"sort" default:"name" doc:"name; -name turns it round"`
}

type volumesInput struct {
	InventoryQuery
	Pool string `query:"pool" maxLength:"255" doc:"Only the volumes of this pool"`
}

type inventoryList[T any] struct{ Body Page[T] }

// inventory lists what a host has besides VMs, as it was read last.
func (s *server) inventory() {
	o := func(name, summary string) op {
		return op{id: "list-" + name, method: http.MethodGet, path: "/hosts/{id}/" + name, tag: "Hosts", perm: access.HostRead, status: 200, summary: summary}
	}
	register(s, o("pools", "List a host's storage pools"), func(ctx context.Context, in *InventoryQuery) (*inventoryList[domain.Pool], error) {
		return inventoryOf(ctx, s, *in, s.DB.Pools, func(p *domain.Pool) string { return p.Name })
	})
	register(s, o("volumes", "List a host's volumes"), func(ctx context.Context, in *volumesInput) (*inventoryList[domain.Volume], error) {
		read := func(ctx context.Context, host string) ([]domain.Volume, error) {
			return s.DB.Volumes(ctx, host, in.Pool)
		}
		return inventoryOf(ctx, s, in.InventoryQuery, read, func(v *domain.Volume) string { return v.Pool + "/" + v.Name })
	})
	register(s, o("networks", "List a host's networks"), func(ctx context.Context, in *InventoryQuery) (*inventoryList[domain.Network], error) {
		return inventoryOf(ctx, s, *in, s.DB.Networks, func(n *domain.Network) string { return n.Name })
	})
	register(s, o("devices", "List a host's devices"), func(ctx context.Context, in *InventoryQuery) (*inventoryList[domain.Device], error) {
		return inventoryOf(ctx, s, *in, s.DB.Devices, func(d *domain.Device) string { return d.Name })
	})
}

func inventoryOf[T any](ctx context.Context, s *server, in InventoryQuery, read func(context.Context, string) ([]T, error), name func(*T) string) (*inventoryList[T], error) {
	if _, err := s.DB.Host(ctx, in.ID); err != nil {
		return nil, err
	}
	all, err := read(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	page, err := paged(all, in.PageQuery, in.Sort, sortKeys[T]{"name": name}, name, func(v *T) T { return *v })
	if err != nil {
		return nil, err
	}
	return &inventoryList[T]{page}, nil
}
