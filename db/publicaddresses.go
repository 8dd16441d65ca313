package db

import (
	"context"
	"slices"
	"strings"

	"novacron/domain"
)

// Which networks are public, and how many addresses there VMs have. A card counts from the moment that it is asked for and whether or not its guest has
// taken a lease: who holds the card can take the address. It is on a public network when it names one, or names the bridge that a public network of its host
// is made of. A card counts once, also where it runs elsewhere than its definition says.

func (tx *Tx) setCardUses(vmID string, g domain.Guest) error {
	if _, err := tx.exec("DELETE FROM card_uses WHERE vm_id = ?", vmID); err != nil {
		return edge(err, "network card")
	}
	if err := tx.insertCardUses(vmID, g.Config.NICs, false); err != nil || g.Live == nil {
		return err
	}
	return tx.insertCardUses(vmID, g.Live.NICs, true)
}

func (tx *Tx) insertCardUses(vmID string, cards []domain.NIC, live bool) error {
	for i, n := range cards {
		if _, err := tx.exec("INSERT INTO card_uses (vm_id, live, n, mac, network, bridge) VALUES (?, ?, ?, ?, ?, ?)", vmID, flag(live), i, strings.ToLower(n.MAC), n.Network, n.Bridge); err != nil {
			return edge(err, "network card")
		}
	}
	return nil
}

// onPublic narrows card_uses c of vms v to what counts.
const onPublic = `(c.network IN (SELECT p.name FROM public_networks p)
	OR c.bridge <> '' AND EXISTS (SELECT 1 FROM networks n JOIN public_networks p ON p.name = n.name WHERE n.host_id = v.host_id AND n.bridge = c.bridge))`

// publicQuery counts the public addresses of a tenant's VMs.
const publicQuery = `SELECT count(*) FROM (SELECT DISTINCT c.vm_id, CASE c.mac WHEN '' THEN CAST(c.n AS TEXT) ELSE c.mac END AS card
	FROM card_uses c JOIN vms v ON v.id = c.vm_id WHERE v.tenant = ? AND ` + onPublic + `) x`

// publicOfVM counts those of one.
const publicOfVM = `SELECT count(*) FROM (SELECT DISTINCT CASE c.mac WHEN '' THEN CAST(c.n AS TEXT) ELSE c.mac END AS card
	FROM card_uses c JOIN vms v ON v.id = c.vm_id WHERE v.id = ? AND ` + onPublic + `) x`

// VMAddresses counts the public addresses of a VM.
func (tx *Tx) VMAddresses(vmID string) (int, error) {
	var n int
	err := tx.read().GetContext(tx.ctx, &n, publicOfVM, vmID)
	return n, edge(err, "network card")
}

// PublicCards tells for each card whether it would be on a public network of a host.
func (tx *Tx) PublicCards(hostID string, cards []domain.NIC) ([]bool, error) {
	out := make([]bool, len(cards))
	names, err := publicNetworks(tx.ctx, tx.read())
	if err != nil || len(names) == 0 {
		return out, err
	}
	var bridges []string
	if err := tx.read().SelectContext(tx.ctx, &bridges, "SELECT n.bridge FROM networks n JOIN public_networks p ON p.name = n.name WHERE n.host_id = ? AND n.bridge <> ''", hostID); err != nil {
		return nil, edge(err, "network")
	}
	for i, n := range cards {
		out[i] = n.Network != "" && slices.Contains(names, n.Network) || n.Bridge != "" && slices.Contains(bridges, n.Bridge)
	}
	return out, nil
}

// AddressesFor counts the public addresses that cards on a host would have.
func (tx *Tx) AddressesFor(hostID string, cards []domain.NIC) (n int, err error) {
	public, err := tx.PublicCards(hostID, cards)
	for _, p := range public {
		if p {
			n++
		}
	}
	return n, err
}

func publicNetworks(ctx context.Context, q getter) ([]string, error) {
	var names []string
	err := q.SelectContext(ctx, &names, "SELECT name FROM public_networks ORDER BY name")
	return names, edge(err, "network")
}

// PublicNetworks lists the names of networks whose cards count as public addresses.
func (d *DB) PublicNetworks(ctx context.Context) ([]string, error) {
	return publicNetworks(ctx, d.read)
}

// MarkNetwork makes the networks of a name public, or not. changed is false when they are so already.
func (tx *Tx) MarkNetwork(name, actor string, public bool) (changed bool, err error) {
	names, err := publicNetworks(tx.ctx, tx.read())
	if err != nil || slices.Contains(names, name) == public {
		return false, err
	}
	if public {
		_, err = tx.exec("INSERT INTO public_networks (name, marked_by, marked_at) VALUES (?, ?, ?)", name, actor, ms(tx.now()))
	} else {
		_, err = tx.exec("DELETE FROM public_networks WHERE name = ?", name)
	}
	return true, edge(err, "network")
}
