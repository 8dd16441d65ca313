package vms

import (
	"fmt"
	"strings"

	"novacron/domain"
	"novacron/views/ui"
)

// Snapshots is the tab of a VM's snapshots.
type Snapshots struct {
	Tree  []SnapshotRow // parents before children
	Depth int           // the longest chain of files under a disk
	Limit int           // more is worth a warning
	Why   string        // why nothing can be done with them now; "" when it can
}

// SnapshotRow is a snapshot in the tree.
type SnapshotRow struct {
	domain.Snapshot
	Level int
}

// Rows puts levels to snapshots that are sorted parents first.
func Rows(all []domain.Snapshot) []SnapshotRow {
	level := map[string]int{}
	out := make([]SnapshotRow, len(all))
	for i, s := range all {
		if l, ok := level[s.Parent]; ok && s.Parent != "" {
			level[s.Name] = l + 1
		} else {
			level[s.Name] = 0
		}
		out[i] = SnapshotRow{s, level[s.Name]}
	}
	return out
}

func (m Snapshots) long() bool { return m.Limit > 0 && m.Depth > m.Limit }

func (m Snapshots) growth() int64 {
	var sum int64
	for _, r := range m.Tree {
		sum += r.Growth()
	}
	return sum
}

// TakeSnapshot is the dialog for a new snapshot.
type TakeSnapshot struct {
	VM   domain.VM
	Spec domain.SnapshotSpec
	Key  string
	Err  *domain.Error
}

// AskSnapshot is the dialog for something to be done with snapshots.
type AskSnapshot struct {
	VM       domain.VM
	Action   string // revert, delete, clone, notes
	Chosen   []domain.Snapshot
	Below    []domain.Snapshot // descendants of the chosen that are not chosen themselves
	Children string            // delete: as chosen
	Unsafe   bool              // revert: no safety snapshot
	Value    string            // clone: name; notes: notes
	Key      string
	Err      *domain.Error
}

func (m AskSnapshot) one() domain.Snapshot { return m.Chosen[0] }

func (m AskSnapshot) title() string {
	switch m.Action {
	case "revert":
		return fmt.Sprintf("Take %s back to %s?", m.VM.Name, m.one().Name)
	case "clone":
		return "Make a VM from " + m.one().Name
	case "notes":
		return "Notes of " + m.one().Name
	}
	if len(m.Chosen) > 1 {
		return fmt.Sprintf("Delete %d snapshots of %s?", len(m.Chosen), m.VM.Name)
	}
	return "Delete the snapshot " + m.one().Name + "?"
}

func (m AskSnapshot) verb() string {
	switch m.Action {
	case "revert":
		return "Go back"
	case "clone":
		return "Make VM"
	case "notes":
		return "Save"
	}
	return "Delete"
}

// lost says what going back costs.
func (m AskSnapshot) lost() []string {
	s := m.one()
	out := []string{fmt.Sprintf("What was written to %s since %s is gone from the disks.", diskNames(s), s.CreatedAt.Format("2 Jan 2006 15:04 UTC"))}
	out = append(out, "Hardware and settings become what they were then, too.")
	runs := m.VM.State == domain.VMRunning || m.VM.State == domain.VMPaused
	switch {
	case runs && s.Memory:
		out = append(out, "It runs: what it has in memory is replaced by what it had then.")
	case runs:
		out = append(out, "It runs: it is powered off without asking the guest, and started again from the disks of then.")
	case s.Memory:
		out = append(out, "The snapshot has memory in it: the VM runs afterwards.")
	}
	return out
}

// copied says what a VM made from a snapshot has, beside the plain copy.
func (m AskSnapshot) copied() []string {
	s := m.one()
	var out []string
	if s.Memory {
		out = append(out, "It has what was on the disks, not what was in memory: it starts as after a power cut.")
	}
	if s.Kind == domain.SnapshotInternal {
		how := "The snapshot is inside the disks' files, so they are copied by way of this server, with all that is inside; that goes from the copy afterwards."
		if m.VM.State == domain.VMRunning || m.VM.State == domain.VMPaused {
			how += " " + m.VM.Name + " goes on in overlays meanwhile, which are merged again at the end."
		}
		out = append(out, how)
	}
	return out
}

func diskNames(s domain.Snapshot) string {
	var names []string
	for _, d := range s.Disks {
		names = append(names, d.Target)
	}
	if len(names) == 0 {
		return "its disks"
	}
	return strings.Join(names, ", ")
}

func kindWords(s domain.Snapshot) string {
	words := string(s.Kind)
	if s.Memory {
		words += ", with memory"
	}
	if s.Quiesced {
		words += ", quiesced"
	}
	return words
}

func costWords(s domain.Snapshot) string {
	if s.Kind == domain.SnapshotInternal {
		if n, known := s.GrewSince(); known {
			return "at most " + domain.FormatBytes(n)
		}
		return "not known"
	}
	return domain.FormatBytes(s.Growth())
}

// costWhy explains the figure.
func costWhy(s domain.Snapshot) string {
	switch _, known := s.GrewSince(); {
	case s.Kind == domain.SnapshotExternal:
		return "What the files that came with it take up now."
	case known:
		return "It is inside the disk. The disk's file grew by this much since; with what the snapshot holds, that has what is new on the disk."
	}
	return "It is inside the disk, and how large the disk's file was before was not seen."
}

func madeWords(s domain.Snapshot) string {
	switch {
	case s.ScheduleID != "":
		return "by a schedule, " + string(s.Tier)
	case s.MadeBy == "":
		return "on the host"
	}
	return "by " + s.MadeBy
}

func countWords(m Snapshots) string {
	words := ui.Plural(len(m.Tree), "snapshot", "snapshots")
	if g := m.growth(); g > 0 {
		words += ", " + domain.FormatBytes(g) + " in their files"
	}
	return words
}

func indent(level int) string { return strings.Repeat("   ", min(level, 12)) }
