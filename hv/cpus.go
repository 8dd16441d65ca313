package hv

import (
	"context"

	"novacron/domain"
)

// CPUs compares processors, so that a guest can be given one that several hosts have. accel says how the guest would run: emulation can give features that
// the hardware lacks, and the other way round.
type CPUs interface {
	// HostCPU is the most that a guest can have of the host's processor. Unsupported when the host does not tell.
	HostCPU(ctx context.Context, accel domain.Accel) (domain.CPUModel, error)
	// BaselineCPU finds the richest processor that all of these have, as far as this host's QEMU knows it. Invalid without any; Unsupported.
	BaselineCPU(ctx context.Context, accel domain.Accel, of []domain.CPUModel) (domain.CPUModel, error)
	// CompareCPU says whether this host can give a guest that processor. A model that it does not know is incompatible. Unsupported.
	CompareCPU(ctx context.Context, accel domain.Accel, cpu domain.CPUModel) (domain.CPUMatch, error)
	// GuestCPU is what a running guest has, spelled out, and what is written for one that is off. The model is empty when it has no name: then it is what
	// its host has. NotFound.
	GuestCPU(ctx context.Context, uuid string) (domain.CPUModel, error)
}
