package hv

import (
	"context"

	"novacron/domain"
)

// Networks makes, changes and removes libvirt networks, and says who has which address.
type Networks interface {
	// Network reads one network with its document. NotFound.
	Network(ctx context.Context, name string) (domain.Network, error)
	// DefineNetwork makes a network whose UUID is settled. The same UUID and name again is a no-op; a name that is taken is a Conflict.
	DefineNetwork(ctx context.Context, spec domain.NetworkSpec) error
	// DefineNetworkXML puts back a definition that Network or UndefineNetwork gave.
	DefineNetworkXML(ctx context.Context, xml string) error
	// ReadNetworkXML reads such a document; nothing is asked of the host.
	ReadNetworkXML(xml string) (domain.NetworkSpec, error)
	// UpdateNetwork makes the definition say what spec says and changes what can be while the network runs; the notes say what, and what waits until it
	// is started again.
	UpdateNetwork(ctx context.Context, name string, spec domain.NetworkSpec) (notes []string, err error)
	// StartNetwork and StopNetwork do nothing when it is so already.
	StartNetwork(ctx context.Context, name string) error
	StopNetwork(ctx context.Context, name string) error
	SetNetworkAutostart(ctx context.Context, name string, on bool) error
	// UndefineNetwork removes a network that is stopped (Conflict), nil when it is gone already. It returns the definition as it was.
	UndefineNetwork(ctx context.Context, name string) (xml string, err error)
	// Leases lists what the network's DHCP server gave out; nothing when it is stopped or has none.
	Leases(ctx context.Context, network string) ([]domain.Lease, error)
	// GuestAddresses asks every source for the addresses of a guest that runs; one that does not run has none. A source that cannot be asked is left out.
	GuestAddresses(ctx context.Context, uuid string) ([]domain.Address, error)
}

// Filters makes and removes what security groups become on a host. A filter that changes is enforced at once for the cards that name it.
type Filters interface {
	// Filters lists the names of all filters. Unsupported where the host has none.
	Filters(ctx context.Context) ([]string, error)
	// DefineFilter makes or changes a filter with all that it needs.
	DefineFilter(ctx context.Context, f domain.Filter) error
	// UndefineFilter removes a filter; nil when it is gone already, Conflict while a guest uses it.
	UndefineFilter(ctx context.Context, name string) error
}
