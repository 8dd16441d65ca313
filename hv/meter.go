package hv

import (
	"context"

	"novacron/domain"
)

// Meter reads a host's counters.
type Meter interface {
	// Readings asks a host once for the counters of itself and of its guests, in base units (seconds, bytes). A guest that is busy with something else gives
	// what can be told without waiting for it. What a host cannot tell is left out.
	Readings(ctx context.Context) ([]domain.Reading, error)
}
