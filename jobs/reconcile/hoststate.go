package reconcile

import (
	"context"
	"fmt"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
)

// Away writes that a host does not answer.
func (m *Mirror) Away(ctx context.Context, hostID, reason, fix string) error {
	err := m.db.Write(ctx, func(tx *db.Tx) error {
		h, err := tx.Host(hostID)
		if err != nil {
			return err
		}
		return m.setState(tx, h, domain.HostAway, reason, fix, fmt.Sprintf("%s is away: %s", h.Name, orNothing(reason)))
	})
	if domain.Is(err, domain.NotFound) {
		return nil // removed meanwhile
	}
	return err
}

// Connecting writes that nothing is known of hosts yet, since this server has just begun.
func (m *Mirror) Connecting(ctx context.Context, hosts []domain.Host) error {
	if len(hosts) == 0 {
		return nil
	}
	return m.db.Write(ctx, func(tx *db.Tx) error {
		for _, h := range hosts {
			if h.State == domain.HostConnecting {
				continue
			}
			if err := m.setState(tx, h, domain.HostConnecting, "", "", fmt.Sprintf("%s is being connected.", h.Name)); err != nil && !domain.Is(err, domain.NotFound) {
				return err
			}
		}
		return nil
	})
}

func (m *Mirror) setState(tx *db.Tx, h domain.Host, state domain.HostState, reason, fix, msg string) error {
	changed, err := tx.SetHostState(h.ID, state, reason, fix, m.clock())
	if err != nil || !changed {
		return err
	}
	return tx.Emit(domain.Event{Kind: "host.changed", Resource: domain.Ref{Kind: "host", ID: h.ID, Name: h.Name}, HostID: h.ID, Actor: "system", Message: msg})
}

// Trouble writes an event about something that has no row: an I/O error, a watchdog.
func (m *Mirror) Trouble(ctx context.Context, hostID string, ev hv.Event) error {
	err := m.db.Write(ctx, func(tx *db.Tx) error {
		vm, err := tx.VMByUUID(hostID, ev.UUID)
		if err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "vm.trouble", Resource: domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}, HostID: hostID, Actor: "host",
			Message: fmt.Sprintf("%s reports trouble: %s", vm.Name, orNothing(ev.Detail))})
	})
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	return err
}

func orNothing(s string) string {
	if s == "" {
		return "the host gives no reason."
	}
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
