package domain

import (
	"slices"
	"strings"
	"testing"
)

// Every pair of state and action has an answer here, so that neither table can grow without the other.
func TestEveryActionInEveryState(t *testing.T) {
	allowed := map[VMState]string{
		VMRunning: "shutdown reboot pause console save edit migrate reset stop delete",
		VMPaused:  "resume console save edit migrate reset stop delete",
		VMStopped: "start edit migrate rename clone delete",
		VMSaved:   "start restore discard delete",
		VMCrashed: "start edit migrate rename clone stop delete",
		VMAway:    "",
	}
	if len(allowed) != len(VMStates) || len(actionFrom) != len(VMActions) || len(actionVerb) != len(VMActions) {
		t.Fatal("a state or an action is missing from a table")
	}
	for _, s := range VMStates {
		for _, a := range VMActions {
			want := slices.Contains(strings.Fields(allowed[s]), string(a))
			err := s.Can(a)
			if (err == nil) != want {
				t.Errorf("%s on a %s VM: %v", a, s, err)
			}
			if err != nil && s == VMAway && !Is(err, Unavailable) || err != nil && s != VMAway && !Is(err, Conflict) {
				t.Errorf("%s on a %s VM has the code %s", a, s, CodeOf(err))
			}
		}
	}
	if !Is(VMRunning.Can("fly"), Unsupported) {
		t.Error("an unknown action is not refused")
	}
}

func TestEveryJobTransition(t *testing.T) {
	states := []JobState{JobQueued, JobRunning, JobSucceeded, JobUndone, JobStuck}
	legal := "queued>running queued>undone running>succeeded running>undone running>stuck running>queued stuck>queued stuck>undone"
	for _, a := range states {
		for _, b := range states {
			want := slices.Contains(strings.Fields(legal), string(a)+">"+string(b))
			if err := a.Next(b); (err == nil) != want {
				t.Errorf("%s > %s: %v", a, b, err)
			}
		}
	}
	if JobQueued.Ended() || JobRunning.Ended() || !JobSucceeded.Ended() || !JobUndone.Ended() || !JobStuck.Ended() {
		t.Error("Ended")
	}
}

func TestIdentifiersOfWhatHostsHave(t *testing.T) {
	if PoolID("h1", "p", "") == PoolID("h2", "p", "") || PoolID("h1", "p", "") == PoolID("h1", "q", "") {
		t.Error("pools of their own have one id")
	}
	if PoolID("h1", "p", "netfs:s:/x") != PoolID("h2", "q", "netfs:s:/x") {
		t.Error("one shared pool has two ids")
	}
	if a, b := VolumeID("pool_1", "v"), VolumeID("pool_1", "v"); a != b || !strings.HasPrefix(a, "vol_") {
		t.Errorf("%s, then %s", a, b)
	}
	if NetworkID("h1", "n") == NetworkID("h2", "n") {
		t.Error("networks of two hosts have one id")
	}
}
