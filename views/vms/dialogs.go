package vms

import (
	"fmt"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

func askTitle(m Ask) string {
	label := find(m.Action).label
	if len(m.VMs) == 1 {
		return label + " " + m.VMs[0].Name + "?"
	}
	return fmt.Sprintf("%s %s?", label, ui.Plural(len(m.VMs), "VM", "VMs"))
}

// askText says what the action will do, in words that hold for one VM or many.
func askText(a domain.VMAction, n int) string {
	if n == 0 {
		return "None of the chosen VMs is in a state that allows it."
	}
	switch a {
	case domain.ActShutdown:
		return "The guest is asked to shut down, as if its power button were pressed. Whoever works on it is cut off. If it does not obey, you can power it off."
	case domain.ActReboot:
		return "The guest is asked to restart. Whoever works on it is cut off until it is up again. Changes that wait for a restart need a full stop and start instead."
	case domain.ActReset:
		return "It restarts at once, as if the reset button were pressed. The guest is not asked: what it has not written to disk is lost."
	case domain.ActStop:
		return "It stops at once, as if the plug were pulled. The guest is not asked: what it has not written to disk is lost."
	case domain.ActDiscard:
		return "The saved memory is thrown away. The next start is a cold boot: what the guest had not written to disk is lost."
	case domain.ActPause:
		return "The guest stands still until it is resumed; it keeps its memory."
	case domain.ActStart:
		return "The VMs are started."
	case domain.ActResume:
		return "The VMs go on where they were paused."
	case domain.ActSave:
		return "The memory is written to the host's disk and the VM stops; restoring it goes on from there."
	}
	return "The action is carried out on each of them as a task."
}

func askVerb(m Ask) string {
	if len(m.VMs) > 1 {
		return fmt.Sprintf("%s %d VMs", find(m.Action).label, len(m.VMs))
	}
	return find(m.Action).label
}

func askClass(a domain.VMAction) string {
	if find(a).danger {
		return "danger-fill"
	}
	return "primary"
}

func askURL(m Ask) string {
	if len(m.VMs) == 1 && !m.All && len(m.Skip) == 0 {
		return live.VMAction(m.VMs[0].ID, string(m.Action))
	}
	return live.VMBulk
}

func backTo(back string) string {
	if back == "" {
		return live.VMs
	}
	return back
}

func nameTitle(m Name) string {
	if m.Clone {
		return "Clone " + m.VM.Name
	}
	return "Rename " + m.VM.Name
}

func nameLabel(m Name) string {
	if m.Clone {
		return "Name of the copy"
	}
	return "New name"
}

func nameVerb(m Name) string {
	if m.Clone {
		return "Clone"
	}
	return "Rename"
}

func nameURL(m Name) string {
	if m.Clone {
		return live.VMClone(m.VM.ID)
	}
	return live.VMRename(m.VM.ID)
}

func (m Delete) single() bool { return len(m.VMs) == 1 && !m.All }

func deleteTitle(m Delete) string {
	if m.single() {
		return "Delete " + m.VMs[0].Name + "?"
	}
	return fmt.Sprintf("Delete %s?", ui.Plural(len(m.VMs), "VM", "VMs"))
}

func deleteURL(m Delete) string {
	if m.single() {
		return live.VMDelete(m.VMs[0].ID)
	}
	return live.VMBulk
}

func deleteIDs(m Delete) []domain.VM {
	if m.single() {
		return nil
	}
	return m.VMs
}

// ConfirmWord is what must be typed when disks go: the name, or for many the number.
func (m Delete) ConfirmWord() string {
	if m.single() {
		return m.VMs[0].Name
	}
	return fmt.Sprintf("delete %d VMs", len(m.VMs))
}

func confirmLabel(m Delete) string { return "Type “" + m.ConfirmWord() + "” to delete the disks" }

func anyRuns(list []domain.VM) bool {
	for _, vm := range list {
		if vm.State == domain.VMRunning || vm.State == domain.VMPaused {
			return true
		}
	}
	return false
}

func hasChoice(files []DeleteFile) bool {
	for _, f := range files {
		if f.Goes && !f.Always {
			return true
		}
	}
	return false
}
