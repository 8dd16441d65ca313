package fleet

import (
	"context"
	"io"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
)

// Console reaches guests' screens and serial lines. It is what lets a console stream through without anything above jobs knowing hosts.
type Console struct {
	db    *db.DB
	hosts hv.Fleet
}

// NewConsole makes one over the live connections.
func NewConsole(d *db.DB, hosts hv.Fleet) *Console { return &Console{db: d, hosts: hosts} }

func (c *Console) reach(ctx context.Context, vmID string) (hv.Host, domain.VM, error) {
	vm, err := c.db.VM(ctx, vmID)
	if err != nil {
		return nil, vm, err
	}
	if err := vm.State.Can(domain.ActConsole); err != nil {
		return nil, vm, err
	}
	host, err := c.hosts.Host(vm.HostID)
	return host, vm, err
}

// Graphics opens the VM's screen at the start of the RFB handshake; via says how it was reached, in words.
func (c *Console) Graphics(ctx context.Context, vmID string) (screen io.ReadWriteCloser, via string, err error) {
	host, vm, err := c.reach(ctx, vmID)
	if err != nil {
		return nil, "", err
	}
	s, err := host.Graphics(ctx, vm.UUID)
	return s.Conn, s.Via, err
}

// Serial attaches to the VM's first serial line.
func (c *Console) Serial(ctx context.Context, vmID string) (io.ReadWriteCloser, error) {
	host, vm, err := c.reach(ctx, vmID)
	if err != nil {
		return nil, err
	}
	return host.Serial(ctx, vm.UUID)
}

// Screenshot takes a still picture as PNG.
func (c *Console) Screenshot(ctx context.Context, vmID string) ([]byte, error) {
	host, vm, err := c.reach(ctx, vmID)
	if err != nil {
		return nil, err
	}
	return host.Screenshot(ctx, vm.UUID)
}
