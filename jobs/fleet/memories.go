package fleet

import (
	"sync"
	"time"

	"novacron/hv"
)

// memories keeps what was measured of guests for a short while, so that a forecast and the move that follows it measure once.
type memories struct {
	mu sync.Mutex
	m  map[string]memory
}

type memory struct {
	hv.GuestMemory
	at time.Time
}

func (k *memories) get(vmID string, now time.Time) (hv.GuestMemory, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	m, ok := k.m[vmID]
	return m.GuestMemory, ok && now.Sub(m.at) < measuredFresh
}

func (k *memories) put(vmID string, g hv.GuestMemory, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil {
		k.m = map[string]memory{}
	}
	for id, m := range k.m {
		if now.Sub(m.at) >= measuredFresh {
			delete(k.m, id)
		}
	}
	k.m[vmID] = memory{g, now}
}
