package domxml

import (
	"net/netip"
	"strconv"

	"novacron/domain"
)

// Names of the filters that every set of security groups refers to. Each has a chain of its own, which it is about.
const (
	filterMAC  = domain.FilterPrefix + "own-mac"
	filterIP   = domain.FilterPrefix + "own-ip"
	filterARP  = domain.FilterPrefix + "own-arp"
	filterRest = domain.FilterPrefix + "basics"
)

// FilterXMLs gives the documents of a filter, those that it refers to first.
func FilterXMLs(f domain.Filter) (names, docs []string) {
	add := func(name, doc string) { names, docs = append(names, name), append(docs, doc) }
	if !f.Spoofing {
		// As libvirt's own clean-traffic, without what keeps IPv6 out.
		add(filterMAC, ownChain(filterMAC, "mac", "-800", [][]string{{"mac", "srcmacaddr", "$MAC"}}))
		add(filterIP, ownChain(filterIP, "ipv4-ip", "-710", [][]string{{"ip", "srcipaddr", "0.0.0.0", "protocol", "udp"}, {"ip", "srcipaddr", "$IP"}}))
		add(filterARP, ownChain(filterARP, "arp-own", "-520", [][]string{{"arp", "arpsrcmacaddr", "$MAC", "arpsrcipaddr", "$IP"}, {"arp", "arpsrcmacaddr", "$MAC", "arpsrcipaddr", "0.0.0.0"}}))
	}
	add(filterRest, basicsXML())
	add(f.Name, filterXML(f))
	return names, docs
}

// ownChain lets pass what fits one of the patterns on its way out, and nothing else.
func ownChain(name, chain, priority string, allowed [][]string) string {
	var w writer
	w.open("filter", "name", name, "chain", chain, "priority", priority)
	for _, a := range allowed {
		w.rule("return", "out", 100, a[0], a[1:]...)
	}
	w.empty("rule", "action", "drop", "direction", "out", "priority", "1000")
	w.close("filter")
	return w.b.String()
}

func (w *writer) rule(action, direction string, priority int, match string, attrs ...string) {
	w.open("rule", "action", action, "direction", direction, "priority", strconv.Itoa(priority))
	w.empty(match, attrs...)
	w.close("rule")
}

// Priorities: answers first, then what a guest cannot live without, denies, allows, and at last what applies to the rest.
const (
	prioAnswers = 100
	prioBasics  = 150
	prioDeny    = 300
	prioAllow   = 500
	prioRest    = 900
)

// basicsXML is what passes always and what applies at the end.
func basicsXML() string {
	var w writer
	w.open("filter", "name", filterRest, "chain", "root")
	// Answers pass by the rules that let the questions pass; this adds what belongs to them, such as “unreachable”. IPv6 has its own types for that.
	w.rule("accept", "in", prioAnswers, "all", "state", "ESTABLISHED,RELATED")
	w.rule("accept", "out", prioAnswers, "all", "state", "ESTABLISHED,RELATED")
	w.rule("accept", "out", prioBasics, "udp", "srcportstart", "68", "dstportstart", "67")
	w.rule("accept", "in", prioBasics, "udp", "srcportstart", "67", "dstportstart", "68")
	w.rule("accept", "out", prioBasics, "udp-ipv6", "srcportstart", "546", "dstportstart", "547")
	w.rule("accept", "in", prioBasics, "udp-ipv6", "srcportstart", "547", "dstportstart", "546")
	for _, t := range []string{"1", "2", "3", "133", "134", "135", "136"} { // errors, routers and neighbours: IPv6 has no ARP
		w.rule("accept", "inout", prioBasics, "icmpv6", "type", t)
	}
	for _, all := range []string{"all", "all-ipv6"} {
		w.rule("accept", "out", prioRest, all)
		w.rule("drop", "in", prioRest+50, all)
	}
	w.close("filter")
	return w.b.String()
}

func filterXML(f domain.Filter) string {
	var w writer
	w.open("filter", "name", f.Name, "chain", "root")
	if !f.Spoofing {
		for _, n := range []string{filterMAC, filterIP, filterARP} {
			w.empty("filterref", "filter", n)
		}
	}
	for _, r := range f.Rules {
		w.groupRule(r)
	}
	w.empty("filterref", "filter", filterRest)
	w.close("filter")
	return w.b.String()
}

func (w *writer) groupRule(r domain.FilterRule) {
	action, direction, priority := "accept", "out", prioAllow
	if r.Deny {
		action, priority = "drop", prioDeny
	}
	if r.In {
		direction = "in"
	}
	match := r.Protocol
	switch {
	case r.Protocol == "any":
		match = "all"
	case r.Protocol == "icmp" && r.V6:
		match = "icmpv6"
	}
	if r.V6 && match != "icmpv6" {
		match += "-ipv6"
	}
	var attrs []string
	if p, err := netip.ParsePrefix(r.Remote); err == nil {
		side := "dst"
		if r.In {
			side = "src"
		}
		attrs = append(attrs, side+"ipaddr", p.Addr().String(), side+"ipmask", strconv.Itoa(p.Bits()))
	}
	if r.From != 0 {
		attrs = append(attrs, "dstportstart", strconv.Itoa(r.From), "dstportend", strconv.Itoa(r.To))
	}
	w.rule(action, direction, priority, match, attrs...)
}

// SetFilterUUID gives a filter's document the UUID that the host knows it by.
func SetFilterUUID(doc, uuid string) (string, error) {
	d, err := read(doc, "filter")
	if err != nil {
		return "", err
	}
	if n := d.root.kid("uuid"); n.exists() {
		err = d.setText(n, uuid)
	} else {
		err = d.insert(d.root, element("uuid", uuid))
	}
	return d.src, err
}
