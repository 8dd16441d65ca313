package domxml

import "novacron/hv"

// Relocate rewrites a running guest's document for another host: disk sources, networks and bridges that are called differently there. Nothing else changes.
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
	return d.src, nil
}
