package hosts

import (
	"slices"

	"novacron/domain"
)

// Common is the page that finds a processor which a set of hosts has in common.
type Common struct {
	All    []CommonHost
	Chosen []string // ids
	Accel  string
	VM     *domain.VM // for which it is sought; nil: for any
	Found  *domain.CPUBaseline
	VMs    []domain.VM // on the hosts of what was found, a page of them
	More   int         // not shown
	Err    *domain.Error
	Key    string
}

// CommonHost is one host that can be chosen.
type CommonHost struct{ ID, Name, CPU, Why string }

func (m Common) chosen(id string) bool { return slices.Contains(m.Chosen, id) }

func (m Common) vmID() string {
	if m.VM == nil {
		return ""
	}
	return m.VM.ID
}

// has reports whether the VM is set to what was found already.
func (m Common) has(vm domain.VM) bool {
	return vm.Config.CPU == m.Found.Model && slices.Equal(vm.Config.CPUFeatures, m.Found.Features)
}

func matchText(x domain.CPUMatch) string {
	switch x {
	case domain.CPUIdentical:
		return "exactly this"
	case domain.CPUSuperset:
		return "has more"
	}
	return "cannot give it"
}

func accelText(a domain.Accel) string {
	if a == domain.AccelKVM {
		return "with KVM"
	}
	return "emulated (TCG)"
}

func cpuNow(vm domain.VM) string {
	if vm.Config.CPU == "" {
		return "the hypervisor's default"
	}
	return domain.CPUModel{Model: vm.Config.CPU, Features: vm.Config.CPUFeatures}.Describe()
}
