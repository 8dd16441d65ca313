package libvirt

import (
	"context"
	"slices"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

func virtType(a domain.Accel) string {
	if a == domain.AccelKVM {
		return "kvm"
	}
	return "qemu"
}

// HostCPU is the host-model of libvirt's domain capabilities: unlike the processor in its capabilities it leaves out what QEMU cannot give.
func (h *host) HostCPU(ctx context.Context, accel domain.Accel) (domain.CPUModel, error) {
	doc, err := get(ctx, h.conn, "tell what processor its guests can have", func(l *golibvirt.Libvirt) (string, error) {
		return l.ConnectGetDomainCapabilities(nil, nil, nil, golibvirt.OptString{virtType(accel)}, 0)
	})
	if n := number(err); n == golibvirt.ErrNoSupport || n == golibvirt.ErrInvalidArg || n == golibvirt.ErrConfigUnsupported {
		return domain.CPUModel{}, cannotTell(accel)
	}
	if err != nil {
		return domain.CPUModel{}, err
	}
	c, err := domxml.HostModelCPU(doc)
	if err == nil && c.Model == "" {
		err = cannotTell(accel)
	}
	return c, err
}

func cannotTell(accel domain.Accel) error {
	how := "emulated ones"
	if accel == domain.AccelKVM {
		how = "KVM's"
	}
	return domain.Errorf(domain.Unsupported, "The host does not tell what processor its guests can have (%s).", how).WithFix("Choose a model by its name.")
}

// BaselineCPU falls back on the call that knows only the hardware, where libvirt is older than 4.4 or the driver has no other.
func (h *host) BaselineCPU(ctx context.Context, accel domain.Accel, of []domain.CPUModel) (domain.CPUModel, error) {
	if len(of) == 0 {
		return domain.CPUModel{}, domain.Errorf(domain.Invalid, "No processors are given to find a common one.").WithFix("Give at least one.")
	}
	docs := make([]string, len(of))
	for i, c := range of {
		doc, err := domxml.CPUXML(c)
		if err != nil {
			return domain.CPUModel{}, err
		}
		docs[i] = doc
	}
	doc, err := get(ctx, h.conn, "find a common processor", func(l *golibvirt.Libvirt) (string, error) {
		doc, err := l.ConnectBaselineHypervisorCPU(nil, nil, nil, golibvirt.OptString{virtType(accel)}, docs, uint32(golibvirt.ConnectBaselineCPUMigratable))
		if n := number(err); n == golibvirt.ErrNoSupport || n == golibvirt.ErrArgumentUnsupported {
			return l.ConnectBaselineCPU(docs, golibvirt.ConnectBaselineCPUMigratable)
		}
		return doc, err
	})
	if err != nil {
		return domain.CPUModel{}, err
	}
	return domxml.ParseCPU(doc)
}

// strange are libvirt's answers to a processor that it does not know or cannot give.
var strange = []golibvirt.ErrorNumber{golibvirt.ErrInternalError, golibvirt.ErrConfigUnsupported, golibvirt.ErrCPUIncompatible}

func (h *host) CompareCPU(ctx context.Context, accel domain.Accel, cpu domain.CPUModel) (domain.CPUMatch, error) {
	doc, err := domxml.CPUXML(cpu)
	if err != nil {
		return "", err
	}
	result, err := get(ctx, h.conn, "compare a processor with its own", func(l *golibvirt.Libvirt) (int32, error) {
		n, err := l.ConnectCompareHypervisorCPU(nil, nil, nil, golibvirt.OptString{virtType(accel)}, doc, 0)
		if code := number(err); code == golibvirt.ErrNoSupport || code == golibvirt.ErrArgumentUnsupported {
			return l.ConnectCompareCPU(doc, 0)
		}
		return n, err
	})
	switch {
	case slices.Contains(strange, number(err)):
		return domain.CPUIncompatible, nil
	case err != nil:
		return "", err
	case golibvirt.CPUCompareResult(result) == golibvirt.CPUCompareIdentical:
		return domain.CPUIdentical, nil
	case golibvirt.CPUCompareResult(result) == golibvirt.CPUCompareSuperset:
		return domain.CPUSuperset, nil
	}
	return domain.CPUIncompatible, nil
}

func (h *host) GuestCPU(ctx context.Context, uuid string) (domain.CPUModel, error) {
	n, err := h.now(ctx, uuid)
	if err != nil {
		return domain.CPUModel{}, err
	}
	flags := golibvirt.DomainXMLFlags(0)
	if n.off() {
		flags = golibvirt.DomainXMLInactive
	}
	doc, err := h.document(ctx, n.Domain, flags)
	if err != nil {
		return domain.CPUModel{}, err
	}
	return domxml.GuestCPU(doc)
}
