package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"novacron/domain"
)

// participles begin a reason that reads on after "was".
var participles = []string{"shut down", "powered off", "destroyed", "stopped", "started", "booted", "paused", "resumed", "suspended", "saved", "restored", "migrated", "reset", "crashed", "rebooted", "killed", "undefined", "reverted", "woken up", "put to sleep"}

// guestSentence says in one sentence what differs between two rows of one VM.
func guestSentence(old, vm domain.VM) string {
	switch {
	case old.ID == "":
		return vm.Name + " was found on its host."
	case old.Name != vm.Name:
		return fmt.Sprintf("%s was renamed to %s.", old.Name, vm.Name)
	case old.LastState != vm.LastState:
		return stateSentence(vm.Name, old.LastState, vm.LastState, vm.Reason)
	case old.Autostart != vm.Autostart:
		if vm.Autostart {
			return vm.Name + " now starts with its host."
		}
		return vm.Name + " no longer starts with its host."
	case old.Reason != vm.Reason && vm.Reason != "":
		return fmt.Sprintf("%s is %s: %s.", vm.Name, vm.LastState, strings.TrimSuffix(vm.Reason, "."))
	case len(vm.Pending) > 0 && len(old.Pending) == 0:
		return fmt.Sprintf("The settings of %s changed; some apply after a restart.", vm.Name)
	}
	return fmt.Sprintf("The settings of %s changed.", vm.Name)
}

func stateSentence(name string, from, to domain.VMState, reason string) string {
	reason = strings.TrimSuffix(strings.TrimSpace(reason), ".")
	for _, p := range participles {
		if strings.HasPrefix(reason, p) {
			return fmt.Sprintf("%s was %s.", name, reason)
		}
	}
	s := ""
	switch to {
	case domain.VMRunning:
		s = name + " was started"
		if from == domain.VMPaused {
			s = name + " was resumed"
		}
		if from == domain.VMSaved {
			s = name + " was restored"
		}
	case domain.VMStopped:
		s = name + " was stopped"
	case domain.VMPaused:
		s = name + " was paused"
	case domain.VMSaved:
		s = name + " was saved"
	case domain.VMCrashed:
		s = name + " crashed"
	default:
		s = fmt.Sprintf("%s is %s", name, to)
	}
	if reason != "" {
		s += " (" + reason + ")"
	}
	return s + "."
}

// shapeOf is a digest of what an inventory consists of, without the figures that move by themselves. Only a new shape is worth an event:
// a disk that grows would write one every minute.
func shapeOf(inv domain.Inventory) string {
	var lines []string
	add := func(kind string, v any) { lines = append(lines, fmt.Sprintf("%s %+v", kind, v)) }
	for _, p := range inv.Pools {
		p.ID, p.HostID, p.AllocationBytes, p.AvailableBytes = "", "", 0, 0
		add("pool", p)
	}
	for _, v := range inv.Volumes {
		v.ID, v.PoolID, v.HostID, v.AllocationBytes = "", "", "", 0
		add("volume", v)
	}
	for _, n := range inv.Networks {
		n.HostID = ""
		add("network", n)
	}
	for _, d := range inv.Devices {
		d.HostID = ""
		add("device", d)
	}
	slices.Sort(lines) // hosts list in any order
	h := sha256.New()
	for _, l := range lines {
		h.Write([]byte(l + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// shape gives the digest of the inventory in the database; k.mu is held.
func (m *Mirror) shape(ctx context.Context, k *marks, hostID string) (string, error) {
	if k.shape != "" {
		return k.shape, nil
	}
	var inv domain.Inventory
	var err error
	if inv.Pools, err = m.db.Pools(ctx, hostID); err != nil {
		return "", err
	}
	if inv.Volumes, err = m.db.Volumes(ctx, hostID, ""); err != nil {
		return "", err
	}
	if inv.Networks, err = m.db.Networks(ctx, hostID); err != nil {
		return "", err
	}
	if inv.Devices, err = m.db.Devices(ctx, hostID); err != nil {
		return "", err
	}
	return shapeOf(inv), nil
}
