package hvtest

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

func (m *machine) env() domxml.Env { return domxml.Env{Facts: m.facts} }

// Define implements hv.Definer.
func (c *conn) Define(ctx context.Context, spec domain.VMSpec) ([]string, error) {
	return do(ctx, c, "Define", func(m *machine) ([]string, error) {
		if g := m.guests[spec.UUID]; g != nil {
			if g.name == spec.Name {
				return nil, nil
			}
			return nil, domain.Errorf(domain.Conflict, "The host has a guest with the UUID %s already; it is called %s.", spec.UUID, g.name).WithFix("Leave the UUID out to have one made.")
		}
		err := m.nameFree(spec.Name, spec.UUID)
		if err != nil {
			return nil, err
		}
		if spec.Disks, err = m.paths(spec.Disks); err != nil {
			return nil, err
		}
		doc, notes, err := domxml.Build(spec, m.env())
		if err != nil {
			return nil, err
		}
		m.put(spec.UUID, spec.Name, doc)
		return notes, nil
	})
}

// paths turns pool and volume into the path and format that a definition names.
func (m *machine) paths(disks []domain.Disk) ([]domain.Disk, error) {
	out := slices.Clone(disks)
	for i, d := range out {
		if d.Source != "" || d.Pool == "" || d.Volume == "" {
			continue
		}
		v, err := m.volume(d.Pool, d.Volume)
		if err != nil {
			return nil, err
		}
		out[i].Source, out[i].Format = v.Path, cmp.Or(d.Format, v.Format)
	}
	return out, nil
}

func (m *machine) put(uuid, name, doc string) {
	g := m.guests[uuid]
	if g == nil {
		g = &guest{uuid: uuid, state: domain.VMStopped, line: newLine()}
		m.guests[uuid] = g
	}
	g.name, g.doc, g.transient = name, doc, false
	m.say(g, hv.GuestDefined, "")
}

// Change implements hv.Definer. Live go: devices, media, texts, memory up to the most, more vCPUs up to the most.
func (c *conn) Change(ctx context.Context, uuid string, change domain.VMChange) ([]string, error) {
	return do(ctx, c, "Change", func(m *machine) ([]string, error) {
		g, err := m.find(uuid)
		if err != nil {
			return nil, err
		}
		was := mustParse(g.doc)
		if change.AddDisks, err = m.paths(change.AddDisks); err != nil {
			return nil, err
		}
		change.AddDisks = domxml.Settle(was.Machine, was.Disks, change.AddDisks)
		doc, notes, err := domxml.Edit(g.doc, change, m.env())
		if err != nil {
			return nil, err
		}
		if g.up() {
			live, err := m.changeLive(g, change)
			if err != nil {
				return nil, err
			}
			g.live = live
		}
		if change.Autostart != nil {
			g.autostart = *change.Autostart
		}
		g.doc = doc
		m.say(g, hv.GuestDefined, "")
		return notes, nil
	})
}

func (m *machine) changeLive(g *guest, c domain.VMChange) (string, error) {
	now := mustParse(g.live)
	part := domain.VMChange{
		Title: c.Title, Description: c.Description, Media: c.Media, AddDisks: c.AddDisks, RemoveDisks: c.RemoveDisks, AddNICs: c.AddNICs, RemoveNICs: c.RemoveNICs,
	}
	for _, n := range c.ChangeNICs {
		n.Model = nil // from the next start
		if slices.ContainsFunc(now.NICs, func(x domain.NIC) bool { return strings.EqualFold(x.MAC, n.MAC) }) {
			part.ChangeNICs = append(part.ChangeNICs, n)
		}
	}
	if c.VCPUs != nil && *c.VCPUs > now.VCPUs && *c.VCPUs <= now.MaxVCPUs {
		part.VCPUs = c.VCPUs
	}
	if c.MemoryBytes != nil && *c.MemoryBytes <= now.MaxMemoryBytes {
		part.MemoryBytes = c.MemoryBytes
	}
	part.HardwareChange = liveHardware(c.HardwareChange, now)
	part.RemoveDisks = slices.DeleteFunc(slices.Clone(c.RemoveDisks), func(t string) bool { // it was only pending
		return !slices.ContainsFunc(now.Disks, func(d domain.Disk) bool { return d.Target == t })
	})
	for _, ch := range c.ChangeDisks {
		if ch.Tune != nil { // the rest waits
			part.ChangeDisks = append(part.ChangeDisks, domain.DiskChange{Target: ch.Target, Tune: ch.Tune})
		}
	}
	live, _, err := domxml.Edit(g.live, part, m.env())
	return live, err
}

// CloneDefinition implements hv.Definer.
func (c *conn) CloneDefinition(ctx context.Context, from string, cl hv.Clone) error {
	return act(ctx, c, "CloneDefinition", func(m *machine) error {
		if g := m.guests[cl.UUID]; g != nil && g.name == cl.Name {
			return nil
		} else if g != nil {
			return domain.Errorf(domain.Conflict, "The host has a guest with the UUID %s already; it is called %s.", cl.UUID, g.name)
		}
		src, err := m.find(from)
		if err != nil {
			return err
		}
		if err := m.nameFree(cl.Name, cl.UUID); err != nil {
			return err
		}
		doc, err := domxml.CloneXML(src.doc, cl)
		if err != nil {
			return err
		}
		m.put(cl.UUID, cl.Name, doc)
		return nil
	})
}

// Rename implements hv.Definer.
func (c *conn) Rename(ctx context.Context, uuid, name string) error {
	return act(ctx, c, "Rename", func(m *machine) error {
		g, err := m.find(uuid)
		if err != nil || g.name == name {
			return err
		}
		if g.state != domain.VMStopped && g.state != domain.VMCrashed {
			return domain.Errorf(domain.Conflict, "A guest that is %s cannot be renamed.", g.state).WithFix("Shut it down first.")
		}
		if err := m.nameFree(name, uuid); err != nil {
			return err
		}
		doc, err := domxml.SetUUIDName(g.doc, "", name)
		if err != nil {
			return err
		}
		m.put(uuid, name, doc)
		return nil
	})
}

// Undefine implements hv.Definer.
func (c *conn) Undefine(ctx context.Context, uuid string) (string, error) {
	return do(ctx, c, "Undefine", func(m *machine) (string, error) {
		g := m.guests[uuid]
		if g == nil {
			return "", nil
		}
		if g.up() {
			return "", domain.Errorf(domain.Conflict, "The guest is %s.", g.state).WithFix("Power it off first.")
		}
		delete(m.guests, uuid)
		g.line.hangUp()
		m.say(g, hv.GuestGone, "")
		return g.doc, nil
	})
}

// DefineXML implements hv.Definer.
func (c *conn) DefineXML(ctx context.Context, doc string) (string, error) {
	return do(ctx, c, "DefineXML", func(m *machine) (string, error) {
		s, err := domxml.Parse(doc)
		if err != nil {
			return "", err
		}
		if s.Name == "" {
			return "", domain.Errorf(domain.Invalid, "The definition has no name.").WithFix("Give it one.")
		}
		if err := m.nameFree(s.Name, s.UUID); err != nil {
			return "", err
		}
		uuid := cmp.Or(s.UUID, domain.NewUUID())
		if doc, err = domxml.SetUUIDName(doc, uuid, ""); err != nil {
			return "", err
		}
		if g := m.guests[uuid]; g != nil && g.name != s.Name {
			return "", domain.Errorf(domain.Conflict, "The guest with the UUID %s is called %s.", uuid, g.name).WithFix("Rename it instead.")
		}
		m.put(uuid, s.Name, doc)
		return uuid, nil
	})
}
