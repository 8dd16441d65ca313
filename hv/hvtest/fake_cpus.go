package hvtest

import (
	"context"
	"slices"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// ladder orders the models that fake hosts know: each has all that those before it have.
var ladder = []string{"qemu64", "EPYC", "EPYC-Rome", "EPYC-Milan"}

// SetCPU changes the fake host's processor: a model of ladder, with features beside.
func (f *Fake) SetCPU(model string, features ...string) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.facts.CPUModel, f.m.cpuFeatures = model, features
}

func (m *machine) cpu() domain.CPUModel {
	c := domain.CPUModel{Model: m.facts.CPUModel, Vendor: m.facts.CPUVendor}
	for _, f := range m.cpuFeatures {
		c.Features = append(c.Features, domain.CPUFeature{Name: f, Policy: "require"})
	}
	return c
}

// HostCPU implements hv.CPUs.
func (c *conn) HostCPU(ctx context.Context, _ domain.Accel) (domain.CPUModel, error) {
	return do(ctx, c, "HostCPU", func(m *machine) (domain.CPUModel, error) { return m.cpu(), nil })
}

// BaselineCPU implements hv.CPUs.
func (c *conn) BaselineCPU(ctx context.Context, _ domain.Accel, of []domain.CPUModel) (domain.CPUModel, error) {
	return do(ctx, c, "BaselineCPU", func(m *machine) (domain.CPUModel, error) {
		if len(of) == 0 {
			return domain.CPUModel{}, domain.Errorf(domain.Invalid, "No processors are given to find a common one.").WithFix("Give at least one.")
		}
		out := of[0]
		for _, x := range of {
			rank := slices.Index(ladder, x.Model)
			if rank < 0 {
				return domain.CPUModel{}, domain.Errorf(domain.Conflict, "The host does not know the processor %s.", x.Model)
			}
			if rank < slices.Index(ladder, out.Model) {
				out.Model, out.Vendor = x.Model, x.Vendor
			}
			out.Features = keep(out.Features, func(f domain.CPUFeature) bool { return slices.Contains(x.Features, f) })
		}
		return out, nil
	})
}

// CompareCPU implements hv.CPUs.
func (c *conn) CompareCPU(ctx context.Context, _ domain.Accel, cpu domain.CPUModel) (domain.CPUMatch, error) {
	return do(ctx, c, "CompareCPU", func(m *machine) (domain.CPUMatch, error) {
		own := m.cpu()
		wants, has := slices.Index(ladder, cpu.Model), slices.Index(ladder, own.Model)
		lacks := func(f domain.CPUFeature) bool {
			return (f.Policy == "require" || f.Policy == "force") && !slices.Contains(m.cpuFeatures, f.Name)
		}
		switch {
		case wants < 0 || wants > has || slices.ContainsFunc(cpu.Features, lacks):
			return domain.CPUIncompatible, nil
		case wants == has && slices.Equal(cpu.Features, own.Features):
			return domain.CPUIdentical, nil
		}
		return domain.CPUSuperset, nil
	})
}

// GuestCPU implements hv.CPUs.
func (c *conn) GuestCPU(ctx context.Context, uuid string) (domain.CPUModel, error) {
	return do(ctx, c, "GuestCPU", func(m *machine) (domain.CPUModel, error) {
		g, err := m.find(uuid)
		if err != nil {
			return domain.CPUModel{}, err
		}
		if !g.up() {
			return domxml.GuestCPU(g.doc)
		}
		if spec := mustParse(g.live); spec.CPU == "host-model" {
			return m.cpu(), nil
		}
		return domxml.GuestCPU(g.live)
	})
}
