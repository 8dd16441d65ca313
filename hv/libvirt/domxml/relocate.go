package domxml

import (
	"net/netip"

	"novacron/hv"
)

// Relocate rewrites a running guest's document for another host: disk sources, networks and bridges that are called differently there,
// and screens that listen on the old host's address. Nothing else changes.
func Relocate(doc string, m hv.Migration) (string, error) {
	d, err := read(doc, "domain")
	if err != nil {
		return "", err
	}
	if err := d.cloneDisks(m.Sources, nil); err != nil {
		return "", err
	}
	for i := range d.root.kid("devices").all("interface") {
		source := func() *node { return d.root.kid("devices").all("interface")[i].kid("source") }
		for attr, names := range map[string]map[string]string{"network": m.Networks, "bridge": m.Bridges} {
			if to := names[source().attr(attr)]; to != "" {
				if err := d.setAttr(source(), attr, to); err != nil {
					return "", err
				}
			}
		}
	}
	if err := d.screens(m.Screen); err != nil {
		return "", err
	}
	return d.src, nil
}

// screens lets VNC and SPICE servers that listen on an address of the old host listen on one of the new.
func (d *document) screens(address string) error {
	if address == "" {
		address = "127.0.0.1"
	}
	const devices = "devices"
	for i := range d.root.kid(devices).all("graphics") {
		g := func() *node { return d.root.kid(devices).all("graphics")[i] }
		if ownAddress(g().attr("listen")) {
			if err := d.setAttr(g(), "listen", address); err != nil {
				return err
			}
		}
		for j := range g().all("listen") {
			l := func() *node { return g().all("listen")[j] }
			if l().attr("type") == "address" && ownAddress(l().attr("address")) {
				if err := d.setAttr(l(), "address", address); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ownAddress reports an address that only one host has.
func ownAddress(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && !ip.IsLoopback() && !ip.IsUnspecified()
}
