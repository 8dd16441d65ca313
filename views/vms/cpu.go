package vms

import (
	"net/url"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

// CPUValue is a processor as the menus of CPU models have it: a model, and the features with it.
func CPUValue(c domain.CPUModel) string {
	return strings.TrimSpace(c.Model + " " + featuresText(c.Features))
}

// splitCPU takes a menu's value apart.
func splitCPU(typed string) (model, features string) {
	model, features, _ = strings.Cut(strings.TrimSpace(typed), " ")
	return model, strings.TrimSpace(features)
}

// OfferCPU is the processor's form with a model chosen, which nobody has saved.
func OfferCPU(value string) ChangeForm {
	model, features := splitCPU(value)
	return ChangeForm{Section: SectionCPU, Values: url.Values{"cpu": {model}, "cpu_features": {features}}}
}

// CPUFor is the address at which the form of a VM, or of a new one with "", has that processor chosen.
func CPUFor(vm string, c domain.CPUModel) string {
	if vm == "" {
		return live.With(live.VMNew, "cpu", CPUValue(c))
	}
	return live.With(live.VMTab(vm, "hardware"), "cpu", CPUValue(c))
}

// cpuOptions are the processors that a form offers: the ways to follow the host, what several hosts were found to share, and the models by name. What the
// VM has, or was typed, stays a choice.
func cpuOptions(ch Choices, has ...string) []ui.Option {
	out := []ui.Option{{Value: "", Label: "The hypervisor's default"}, {Value: "host-passthrough", Label: "host-passthrough: the host's own, fastest"},
		{Value: "host-model", Label: "host-model: the host's own as far as libvirt knows it"}, {Value: "maximum", Label: "maximum: all that the hypervisor can give"}}
	for _, b := range ch.Common {
		var names []string
		for _, h := range b.Hosts {
			names = append(names, h.Name)
		}
		o := ui.Option{Value: CPUValue(b.CPUModel), Label: "Baseline for " + someNames(names) + ": " + b.Model}
		if n := len(b.Features); n > 0 {
			o.Label += " with " + ui.Plural(n, "feature", "features")
		}
		if !slices.ContainsFunc(out, func(x ui.Option) bool { return x.Value == o.Value }) {
			out = append(out, o)
		}
	}
	for _, m := range ch.CPUs {
		if !slices.ContainsFunc(out, func(x ui.Option) bool { return x.Value == m }) {
			out = append(out, ui.Option{Value: m, Label: m})
		}
	}
	for _, h := range has {
		out = withValue(out, h)
	}
	return out
}

// someNames gives the first few of many.
func someNames(names []string) string {
	const most = 4
	if len(names) > most {
		return strings.Join(names[:most-1], ", ") + " and " + ui.Plural(len(names)-most+1, "other", "others")
	}
	return strings.Join(names, ", ")
}
