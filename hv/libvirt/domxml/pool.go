package domxml

import (
	"cmp"
	"path"
	"strings"

	"novacron/domain"
)

// PoolXML is a new storage pool.
func PoolXML(s domain.PoolSpec) string {
	var w writer
	w.open("pool", "type", s.Type)
	w.text("name", s.Name)
	if s.UUID != "" {
		w.text("uuid", s.UUID)
	}
	if s.Type != "dir" {
		w.poolSource(s)
	}
	if s.Target != "" && s.Type != "rbd" {
		w.open("target")
		w.text("path", s.Target)
		w.close("target")
	}
	w.close("pool")
	return w.b.String()
}

func (w *writer) poolSource(s domain.PoolSpec) {
	src := s.Source
	w.open("source")
	for _, h := range src.Hosts {
		name, port := domain.SplitServer(h)
		w.empty("host", "name", name, "port", port)
	}
	if src.IQN != "" {
		w.empty("device", "path", src.IQN)
	}
	for _, d := range src.Devices {
		w.empty("device", "path", d)
	}
	if src.Path != "" {
		exported := src.Path
		switch src.Format {
		case "cifs": // libvirt puts //server/ before it
			exported = strings.Trim(exported, "/")
		case "glusterfs", "nfs", "", "auto":
			exported = path.Clean("/" + exported)
		}
		w.empty("dir", "path", exported)
	}
	if src.Name != "" {
		w.text("name", src.Name)
	}
	if src.Initiator != "" {
		w.open("initiator")
		w.empty("iqn", "name", src.Initiator)
		w.close("initiator")
	}
	if src.Username != "" {
		kind := "ceph"
		if s.Type == "iscsi" {
			kind = "chap"
		}
		w.open("auth", "type", kind, "username", src.Username)
		w.empty("secret", "uuid", src.SecretUUID)
		w.close("auth")
	}
	if src.Format != "" && (s.Type == "fs" || s.Type == "netfs" || s.Type == "disk" || s.Type == "logical") {
		w.empty("format", "type", src.Format)
	}
	w.close("source")
}

// ParsePool reads a pool document. Active and Autostart are not in it.
func ParsePool(doc string) (domain.Pool, error) {
	d, err := read(doc, "pool")
	if err != nil {
		return domain.Pool{}, err
	}
	r := d.root
	p := domain.Pool{
		UUID: r.kid("uuid").value(), Name: r.kid("name").text, Type: r.attr("type"), Target: r.at("target", "path").value(),
		CapacityBytes: bytesOf(r.kid("capacity")), AllocationBytes: bytesOf(r.kid("allocation")), AvailableBytes: bytesOf(r.kid("available")),
	}
	p.Source = parseSource(r.kid("source"), p.Type)
	p.Identity = domain.PoolSpec{Type: p.Type, Source: p.Source}.Identity()
	return p, nil
}

func parseSource(n *node, kind string) domain.PoolSource {
	src := domain.PoolSource{Path: n.kid("dir").attr("path"), Name: n.kid("name").value(), Format: n.kid("format").attr("type"), Initiator: n.at("initiator", "iqn").attr("name"),
		Username: n.kid("auth").attr("username"), SecretUUID: n.at("auth", "secret").attr("uuid")}
	for _, h := range n.all("host") {
		name := h.attr("name")
		if port := h.attr("port"); port != "" && port != "0" {
			if strings.Contains(name, ":") {
				name = "[" + name + "]"
			}
			name += ":" + port
		}
		src.Hosts = append(src.Hosts, name)
	}
	for _, dev := range n.all("device") {
		if at := dev.attr("path"); kind == "iscsi" || kind == "iscsi-direct" {
			src.IQN = cmp.Or(src.IQN, at)
		} else {
			src.Devices = append(src.Devices, at)
		}
	}
	return src
}

// ParsePoolTypes reads a host's capabilities of storage: the kinds of pool that it can have.
func ParsePoolTypes(doc string) ([]string, error) {
	d, err := read(doc, "storagepoolCapabilities")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range d.root.all("pool") {
		if p.attr("supported") == "yes" {
			out = append(out, p.attr("type"))
		}
	}
	return out, nil
}
