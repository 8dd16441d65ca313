package domxml

import (
	"cmp"

	"novacron/domain"
)

// CPUXML is a processor as libvirt's calls that compare processors take it.
func CPUXML(c domain.CPUModel) (string, error) {
	if c.Model == "" || !legal(c.Model) || !legal(c.Vendor) {
		return "", domain.Errorf(domain.Invalid, "The processor has no name.").WithFix("Name a model.")
	}
	out := "<cpu mode='custom' match='exact'>\n  " + element("model", c.Model, "fallback", "forbid") + "\n"
	if c.Vendor != "" {
		out += "  " + element("vendor", c.Vendor) + "\n"
	}
	for _, f := range c.Features {
		if !legal(f.Name) {
			return "", domain.Errorf(domain.Invalid, "A feature of the processor has no name that XML can hold.").WithFix("Name features as libvirt does.")
		}
		out += "  " + featureXML(f) + "\n"
	}
	return out + "</cpu>", nil
}

// ParseCPU reads a processor: an element cpu by itself.
func ParseCPU(doc string) (domain.CPUModel, error) {
	d, err := read(doc, "cpu")
	if err != nil {
		return domain.CPUModel{}, err
	}
	return cpuModel(d.root), nil
}

// GuestCPU reads a guest's processor out of its document. The model is empty when it has no name.
func GuestCPU(doc string) (domain.CPUModel, error) {
	d, err := read(doc, "domain")
	if err != nil {
		return domain.CPUModel{}, err
	}
	cpu := d.root.kid("cpu")
	if m := cpu.attr("mode"); m != "" && m != "custom" {
		return domain.CPUModel{}, nil
	}
	return cpuModel(cpu), nil
}

// HostModelCPU reads the most that a guest can have out of a domcapabilities document. The model is empty when the host does not tell.
func HostModelCPU(doc string) (domain.CPUModel, error) {
	d, err := read(doc, "domainCapabilities")
	if err != nil {
		return domain.CPUModel{}, err
	}
	for _, m := range d.root.kid("cpu").all("mode") {
		if m.attr("name") == "host-model" && m.attr("supported") == "yes" {
			return cpuModel(m), nil
		}
	}
	return domain.CPUModel{}, nil
}

func cpuModel(n *node) domain.CPUModel {
	c := domain.CPUModel{Model: n.kid("model").value(), Vendor: n.kid("vendor").value()}
	if !n.exists() {
		return domain.CPUModel{}
	}
	for _, f := range n.all("feature") {
		c.Features = append(c.Features, domain.CPUFeature{Name: f.attr("name"), Policy: cmp.Or(f.attr("policy"), "require")})
	}
	return c
}
