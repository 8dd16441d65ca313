package libvirt

import (
	"context"
	"crypto/rand"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

// docEnv is what a document's making needs to know of the host.
func (h *host) docEnv(ctx context.Context) (domxml.Env, error) {
	env, err := h.environment(ctx)
	if err != nil {
		return domxml.Env{}, err
	}
	e := domxml.Env{Facts: env.facts, GraphicsListen: h.address()}
	if e.GraphicsListen != "" {
		e.GraphicsPassword = vncPassword()
	}
	return e, nil
}

// vncPassword makes the eight characters that VNC's authentication looks at.
func vncPassword() string { return rand.Text()[:8] }

// settled reports whether the guest exists under this name already (a repeated step), and refuses a UUID or name that another guest has.
func (h *host) settled(ctx context.Context, uuid, name string) (bool, error) {
	d, err := h.lookup(ctx, uuid)
	switch {
	case err == nil && d.Name == name:
		return true, nil
	case err == nil:
		return false, domain.Errorf(domain.Conflict, "The host has a VM with this UUID already, called %s.", d.Name)
	case !domain.Is(err, domain.NotFound):
		return false, err
	}
	return false, h.nameFree(ctx, name)
}

func (h *host) nameFree(ctx context.Context, name string) error {
	_, err := get(ctx, h.conn, "look for the name "+name, func(l *golibvirt.Libvirt) (golibvirt.Domain, error) { return l.DomainLookupByName(name) })
	switch {
	case domain.Is(err, domain.NotFound):
		return nil
	case err != nil:
		return err
	}
	e := domain.Errorf(domain.Conflict, "The host has a VM called %s already.", name).WithFix("Choose another name.")
	e.Fields = []domain.FieldError{{Field: "name", Msg: e.Msg, Want: "a name that is free"}}
	return e
}

func (h *host) define(ctx context.Context, doc string, flags golibvirt.DomainDefineFlags) (golibvirt.Domain, error) {
	return get(ctx, h.conn, "define the VM", func(l *golibvirt.Libvirt) (golibvirt.Domain, error) { return l.DomainDefineXMLFlags(doc, flags) })
}

func (h *host) Define(ctx context.Context, spec domain.VMSpec) ([]string, error) {
	if _, err := parseUUID(spec.UUID); err != nil {
		return nil, err
	}
	if done, err := h.settled(ctx, spec.UUID, spec.Name); done || err != nil {
		return nil, err
	}
	spec, err := h.settleDisks(ctx, spec)
	if err != nil {
		return nil, err
	}
	env, err := h.docEnv(ctx)
	if err != nil {
		return nil, err
	}
	doc, notes, err := domxml.Build(spec, env)
	if err != nil {
		return nil, err
	}
	// Our own document is held to libvirt's schema by tests; having libvirt read its schema each time would double what this costs.
	if _, err := h.define(ctx, doc, 0); err != nil {
		return nil, err
	}
	return notes, nil
}

// settleDisks turns pool and volume into the path that a definition names.
func (h *host) settleDisks(ctx context.Context, spec domain.VMSpec) (domain.VMSpec, error) {
	disks, err := h.settlePaths(ctx, spec.Disks)
	spec.Disks = disks
	return spec, err
}

func (h *host) settlePaths(ctx context.Context, disks []domain.Disk) ([]domain.Disk, error) {
	out := make([]domain.Disk, len(disks))
	for i, d := range disks {
		if d.Source == "" && d.Pool != "" && d.Volume != "" {
			v, err := h.Volume(ctx, d.Pool, d.Volume)
			if err != nil {
				return nil, err
			}
			d.Source = v.Path
			if d.Format == "" {
				d.Format = v.Format
			}
		} else if d.Source != "" && d.Format == "" && d.Device != "cdrom" && d.Device != "floppy" {
			v, err := h.VolumeByPath(ctx, d.Source)
			if err != nil && !domain.Is(err, domain.NotFound) {
				return nil, err
			}
			d.Format = v.Format // empty for a file in no pool: then its name tells
		}
		out[i] = d
	}
	return out, nil
}

// document gives the persistent definition with its secrets, as an edit needs it.
func (h *host) document(ctx context.Context, d golibvirt.Domain, flags golibvirt.DomainXMLFlags) (string, error) {
	return get(ctx, h.conn, "show the definition of "+d.Name, func(l *golibvirt.Libvirt) (string, error) {
		doc, err := l.DomainGetXMLDesc(d, flags|golibvirt.DomainXMLSecure)
		if n := number(err); n == golibvirt.ErrInvalidArg || n == golibvirt.ErrArgumentUnsupported { // a driver without secrets
			return l.DomainGetXMLDesc(d, flags)
		}
		return doc, err
	})
}

func (h *host) CloneDefinition(ctx context.Context, from string, c hv.Clone) error {
	if done, err := h.settled(ctx, c.UUID, c.Name); done || err != nil {
		return err
	}
	d, err := h.lookup(ctx, from)
	if err != nil {
		return err
	}
	doc, err := h.document(ctx, d, golibvirt.DomainXMLInactive)
	if err != nil {
		return err
	}
	copied, err := domxml.CloneXML(doc, c)
	if err != nil {
		return err
	}
	_, err = h.define(ctx, copied, 0)
	return err
}

func (h *host) Rename(ctx context.Context, uuid, name string) error {
	n, err := h.now(ctx, uuid)
	if err != nil || n.Name == name {
		return err
	}
	if !n.off() || n.saved {
		return domain.Errorf(domain.Conflict, "%s is %s; only a stopped VM can be renamed.", n.Name, guestState(int32(n.state), 0, n.saved).State).WithFix("Shut it down first.")
	}
	if err := h.nameFree(ctx, name); err != nil {
		return err
	}
	err = h.do(ctx, "rename "+n.Name, func(l *golibvirt.Libvirt) error {
		_, err := l.DomainRename(n.Domain, golibvirt.OptString{name}, 0)
		return err
	})
	if domain.Is(err, domain.Unsupported) {
		return h.renameByDefinition(ctx, n.Domain, uuid, name)
	}
	return err
}

// renameByDefinition serves drivers without a rename of their own: the definition is taken away and put back under the new name, or under the
// old one when that fails.
func (h *host) renameByDefinition(ctx context.Context, d golibvirt.Domain, uuid, name string) error {
	doc, err := h.document(ctx, d, golibvirt.DomainXMLInactive)
	if err != nil {
		return err
	}
	renamed, err := domxml.SetUUIDName(doc, uuid, name)
	if err != nil {
		return err
	}
	if _, err := h.Undefine(ctx, uuid); err != nil {
		return err
	}
	if _, err := h.define(ctx, renamed, 0); err != nil {
		if _, back := h.define(ctx, doc, 0); back != nil {
			return domain.Errorf(domain.Internal, "Renaming %s failed and its definition could not be put back.", d.Name).WithFix("Define it again from this document:\n%s", doc).WithCause(back)
		}
		return err
	}
	return nil
}

// undefineFlags are tried from the most thorough on: older daemons and other drivers refuse flags they do not know.
var undefineFlags = []golibvirt.DomainUndefineFlagsValues{
	golibvirt.DomainUndefineManagedSave | golibvirt.DomainUndefineSnapshotsMetadata | golibvirt.DomainUndefineNvram | golibvirt.DomainUndefineCheckpointsMetadata,
	golibvirt.DomainUndefineManagedSave | golibvirt.DomainUndefineSnapshotsMetadata | golibvirt.DomainUndefineNvram,
	golibvirt.DomainUndefineManagedSave | golibvirt.DomainUndefineSnapshotsMetadata,
	golibvirt.DomainUndefineManagedSave,
	0,
}

func (h *host) Undefine(ctx context.Context, uuid string) (string, error) {
	n, err := h.now(ctx, uuid)
	switch {
	case domain.Is(err, domain.NotFound):
		return "", nil
	case err != nil:
		return "", err
	case !n.off():
		return "", domain.Errorf(domain.Conflict, "%s is %s; only a stopped VM can be removed.", n.Name, guestState(int32(n.state), 0, false).State).WithFix("Power it off first.")
	}
	doc, err := h.document(ctx, n.Domain, golibvirt.DomainXMLInactive)
	if err != nil {
		return "", err
	}
	err = h.do(ctx, "remove the definition of "+n.Name, func(l *golibvirt.Libvirt) (err error) {
		for _, flags := range undefineFlags {
			err = l.DomainUndefineFlags(n.Domain, flags)
			if e := number(err); e != golibvirt.ErrInvalidArg && e != golibvirt.ErrArgumentUnsupported {
				return err
			}
		}
		return err
	})
	if domain.Is(err, domain.NotFound) {
		return "", nil
	}
	return doc, err
}

func (h *host) DefineXML(ctx context.Context, doc string) (string, error) {
	d, err := h.define(ctx, doc, 0)
	if err != nil {
		return "", err
	}
	return uuidText(d.UUID), nil
}
