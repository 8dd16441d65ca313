package hosts

import (
	"sync"

	"novacron/domain"
)

// Trials keeps the credentials of connection trials in memory until they have run. Safe for concurrent use.
type Trials struct {
	mu    sync.Mutex
	creds map[string]domain.HostCredentials
	order []string
}

// mostTrials bounds what waits; a trial that never ran is forgotten when this many newer ones came.
const mostTrials = 64

// NewTrials makes an empty one.
func NewTrials() *Trials { return &Trials{creds: map[string]domain.HostCredentials{}} }

// Keep remembers credentials under the id of a trial.
func (t *Trials) Keep(id string, c domain.HostCredentials) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, again := t.creds[id]; !again {
		t.order = append(t.order, id)
	}
	t.creds[id] = c
	for len(t.order) > mostTrials {
		delete(t.creds, t.order[0])
		t.order = t.order[1:]
	}
}

func (t *Trials) get(id string) (domain.HostCredentials, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.creds[id]
	return c, ok
}

func (t *Trials) drop(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.creds, id)
	for i, o := range t.order {
		if o == id {
			t.order = append(t.order[:i], t.order[i+1:]...)
			return
		}
	}
}
