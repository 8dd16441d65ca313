package libvirt

import (
	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
)

// Words for libvirt's reasons, indexed by its numbers. An empty word says nothing rather than "unknown".
var (
	runningWords = []string{1: "started", 2: "migrated here", 3: "restored", 4: "reverted to a snapshot", 5: "resumed", 6: "runs on after a migration was cancelled",
		7: "runs on after saving was cancelled", 8: "woken up", 9: "runs on after a crash of the guest", 10: "being migrated here (post-copy)", 11: hv.PostCopyFailed}
	pausedWords = []string{1: "paused", 2: "paused for migration", 3: "paused to be saved", 4: "paused for a memory dump", 5: "paused because of a disk error", 6: "paused by the watchdog",
		7: "paused by a snapshot", 8: "shutting down", 9: "paused for a snapshot", 10: "paused because the guest crashed", 11: "starting up", 12: "paused for a post-copy migration", 13: hv.PostCopyFailed,
		14: "paused after a failed operation"}
	shutoffWords = []string{1: "shut down by the guest", 2: "powered off", 3: "QEMU ended unexpectedly", 4: "migrated to another host", 5: "saved to a file", 6: "the start failed", 7: "reverted to a snapshot", 8: "stopped by the libvirt daemon"}
	crashedWords = []string{0: "the guest crashed", 1: "the guest's kernel panicked"}
)

func word(words []string, i int32) string {
	if i < 0 || int(i) >= len(words) {
		return ""
	}
	return words[i]
}

// guestState puts libvirt's state and reason into ours. saved tells whether there is a managed save image.
func guestState(state, reason int32, saved bool) domain.GuestState {
	switch golibvirt.DomainState(state) {
	case golibvirt.DomainPaused:
		if startingUp(state, reason) {
			return domain.GuestState{State: domain.VMRunning, Reason: word(pausedWords, reason)}
		}
		if golibvirt.DomainPausedReason(reason) == golibvirt.DomainPausedCrashed {
			return domain.GuestState{State: domain.VMCrashed, Reason: word(crashedWords, 0)}
		}
		return domain.GuestState{State: domain.VMPaused, Reason: word(pausedWords, reason)}
	case golibvirt.DomainPmsuspended:
		return domain.GuestState{State: domain.VMPaused, Reason: "put to sleep by the guest"}
	case golibvirt.DomainCrashed:
		return domain.GuestState{State: domain.VMCrashed, Reason: word(crashedWords, reason)}
	case golibvirt.DomainShutoff:
		if saved {
			return domain.GuestState{State: domain.VMSaved, Reason: "its memory is kept on the host"}
		}
		switch golibvirt.DomainShutoffReason(reason) {
		case golibvirt.DomainShutoffCrashed, golibvirt.DomainShutoffFailed:
			return domain.GuestState{State: domain.VMCrashed, Reason: word(shutoffWords, reason)}
		}
		return domain.GuestState{State: domain.VMStopped, Reason: word(shutoffWords, reason)}
	case golibvirt.DomainShutdown:
		return domain.GuestState{State: domain.VMRunning, Reason: "shutting down"}
	}
	return domain.GuestState{State: domain.VMRunning, Reason: word(runningWords, reason)}
}

// startingUp tells a guest that is being started from one that somebody paused: QEMU always begins stopped.
func startingUp(state, reason int32) bool {
	return golibvirt.DomainState(state) == golibvirt.DomainPaused && golibvirt.DomainPausedReason(reason) == golibvirt.DomainPausedStartingUp
}

// active reports whether libvirt has a process for a guest in this state; then it has a live definition.
func active(state int32) bool { return golibvirt.DomainState(state) != golibvirt.DomainShutoff }
