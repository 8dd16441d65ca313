package domain

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SnapshotKind is where a snapshot keeps the disks' state.
type SnapshotKind string

const (
	// SnapshotInternal is inside the disks' own qcow2 files.
	SnapshotInternal SnapshotKind = "internal"
	// SnapshotExternal froze the disks' files; what was written since is in overlay files on top.
	SnapshotExternal SnapshotKind = "external"
)

// Snapshot is a point in a VM's life that one can go back to: what the host says of it, and what only we know (notes, who asked, schedule).
type Snapshot struct {
	ID          string
	VMID        string
	HostID      string
	Name        string // unique for its VM
	Notes       string
	CreatedAt   time.Time
	Kind        SnapshotKind
	Memory      bool    // with what was in memory
	MemoryFile  string  // external with memory: the file on the host
	MemoryBytes int64   // what that file takes up
	Quiesced    bool    // file systems were frozen by the guest agent; only known of those that we made
	State       VMState // of the VM then
	Parent      string  // name; empty at a root
	Current     bool    // what the VM runs on now descends from this one
	Disks       []SnapshotDisk
	ScheduleID  string       // made by a schedule
	Tier        ScheduleTier // … for this tier
	MadeBy      string       // person or token; empty when it was made on the host
	RoomBefore  int64        // internal: what the files that it is inside took up just before it was taken; -1 when that was not seen
	RoomNow     int64        // … and what they take up now
	XML         string       // as the host prints it; not in the database
	Then        *VMSpec      // what the VM's next start would have used then; not in the database, nil when the host kept no definition
}

// SnapshotDisk is one disk of a snapshot.
type SnapshotDisk struct {
	Target     string       `json:"target"`
	Kind       SnapshotKind `json:"kind"`           // empty: the disk is not part of it
	Base       string       `json:"base,omitempty"` // the file that holds the disk as it was then
	BaseFormat string       `json:"base_format,omitempty"`
	File       string       `json:"file,omitempty"`       // external: the overlay that took what was written since
	Format     string       `json:"format,omitempty"`     // of File
	SizeBytes  int64        `json:"size_bytes,omitempty"` // what File takes up now; filled in from the mirror of volumes
}

// SnapshotID identifies a snapshot: one that is made anew under an old name is another.
func SnapshotID(vmID, name string, created time.Time) string {
	return derivedID("snap", vmID, name, strconv.FormatInt(created.Unix(), 10))
}

// SnapshotSpec asks for a snapshot.
type SnapshotSpec struct {
	Name    string       `json:"name"`
	Notes   string       `json:"notes,omitempty"`
	Kind    SnapshotKind `json:"kind,omitempty"` // empty: chosen
	Memory  bool         `json:"memory"`
	Quiesce bool         `json:"quiesce"`
}

var snapshotNameRE = lazily(`^[A-Za-z0-9_]([A-Za-z0-9._ +@:-]{0,61}[A-Za-z0-9_])?$`)

const maxSnapshotNotes = 16 << 10

// CheckSnapshotName validates a name: it becomes part of file names.
func CheckSnapshotName(p *Problems, field, name string) {
	switch {
	case name == "":
		p.Add(field, "A name is needed.", "for example before-upgrade")
	case !snapshotNameRE.MatchString(name) || strings.Contains(name, ".."):
		p.Add(field, "“"+name+"” cannot be a snapshot's name.", "1 to 63 letters, digits, dots, hyphens or underscores, starting and ending with a letter or digit")
	}
}

// CheckSnapshotNotes validates notes.
func CheckSnapshotNotes(p *Problems, field, notes string) {
	if len(notes) > maxSnapshotNotes {
		p.Add(field, "The notes are too long.", "at most 16 KiB")
	}
	if strings.ContainsFunc(notes, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\r' && r != '\t' }) {
		p.Add(field, "The notes have control characters.", "plain text")
	}
}

// Validate checks what is wrong with the request whatever the VM is.
func (s SnapshotSpec) Validate() error {
	var p Problems
	CheckSnapshotName(&p, "name", s.Name)
	CheckSnapshotNotes(&p, "notes", s.Notes)
	oneOf(&p, "kind", string(s.Kind), "", string(SnapshotInternal), string(SnapshotExternal))
	if s.Memory && s.Quiesce {
		p.Add("quiesce", "A snapshot with memory needs no quiescing: it goes on exactly where it was.", "memory or quiesce, one of the two")
	}
	return p.Err()
}

// writable lists the disks that a snapshot is about.
func writable(disks []Disk) []Disk {
	var out []Disk
	for _, d := range disks {
		if d.Device != "cdrom" && d.Device != "floppy" && !d.ReadOnly && (d.Source != "" || d.Volume != "") {
			out = append(out, d)
		}
	}
	return out
}

// SnapshotDisks lists the disks of a VM that a snapshot is about, as they are now.
func SnapshotDisks(vm VM) []Disk {
	if vm.Live != nil {
		return writable(vm.Live.Disks)
	}
	return writable(vm.Config.Disks)
}

// SettleSnapshot decides what kind of snapshot is made of a VM in its state and with the snapshots that it has, and refuses what cannot be. Notes say what
// was chosen and why.
func SettleSnapshot(vm VM, s SnapshotSpec, have []Snapshot) (out SnapshotSpec, notes []string, err error) {
	if err := s.Validate(); err != nil {
		return s, nil, err
	}
	if err := vm.State.CanSnapshot(vm.Name); err != nil {
		return s, nil, err
	}
	if slices.ContainsFunc(have, func(x Snapshot) bool { return strings.EqualFold(x.Name, s.Name) }) {
		msg := fmt.Sprintf("%s has a snapshot called “%s” already.", vm.Name, s.Name)
		return s, nil, &Error{Code: Conflict, Msg: msg, Fix: "Choose another name.", Fields: []FieldError{{Field: "name", Msg: msg, Want: "a name that no snapshot of this VM has"}}}
	}
	runs := vm.State == VMRunning || vm.State == VMPaused
	if s.Memory && !runs {
		return s, nil, InvalidField("memory", fmt.Sprintf("%s does not run, so there is no memory to keep.", vm.Name), "memory off, or start the VM first")
	}
	if s.Quiesce && vm.State != VMRunning {
		s.Quiesce = false
		notes = append(notes, fmt.Sprintf("%s does not run, so nothing needs to be quiesced.", vm.Name))
	}
	disks := SnapshotDisks(vm)
	if len(disks) == 0 && !s.Memory {
		return s, nil, Errorf(Unsupported, "%s has no disk that can be written to, so a snapshot would hold nothing.", vm.Name).WithFix("Add a disk first, or take a snapshot with memory of the running VM.")
	}
	no := whyNotInternal(vm, disks, runs, s.Memory)
	switch s.Kind {
	case SnapshotInternal:
		if no != nil {
			return s, nil, no
		}
	case "":
		switch {
		case no != nil:
			s.Kind = SnapshotExternal
			notes = append(notes, "It is external: "+lowerFirst(no.Msg))
		case slices.ContainsFunc(have, func(x Snapshot) bool { return x.Kind == SnapshotExternal }):
			s.Kind = SnapshotExternal
			notes = append(notes, "It is external, as others of this VM are.")
		default:
			s.Kind = SnapshotInternal
		}
	}
	return s, notes, nil
}

// whyNotInternal says what stands against an internal snapshot, or nil.
func whyNotInternal(vm VM, disks []Disk, runs, memory bool) *Error {
	for _, d := range disks {
		if d.Format == "qcow2" {
			continue
		}
		e := InvalidField("kind", fmt.Sprintf("The disk %s is %s, and only qcow2 can hold a snapshot inside.", d.Target, cmp.Or(d.Format, "raw")), "external")
		e.Code = Unsupported
		return e.WithFix("Take an external snapshot, or move the disk to qcow2.")
	}
	switch {
	case runs && !memory:
		e := InvalidField("kind", "An internal snapshot of a running VM always holds its memory.", "external, or memory on")
		return e.WithFix("Take it with memory, or take an external one.")
	case runs && (vm.Config.Firmware == FirmwareUEFI || vm.Config.Firmware == FirmwareUEFISecure):
		e := InvalidField("kind", "The variables of UEFI firmware are in a raw file, which cannot hold a snapshot of a running VM inside.", "external, or stop the VM first")
		e.Code = Unsupported
		return e.WithFix("Take an external snapshot, or stop the VM first.")
	}
	return nil
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// Children lists the snapshots whose parent it is, Descendants all below it, children before their own.
func (s Snapshot) Children(all []Snapshot) []Snapshot {
	var out []Snapshot
	for _, x := range all {
		if x.Parent == s.Name && x.Name != s.Name {
			out = append(out, x)
		}
	}
	return out
}

// Descendants lists all below it, parents before their children.
func (s Snapshot) Descendants(all []Snapshot) []Snapshot {
	var out []Snapshot
	seen := map[string]bool{s.Name: true}
	for queue := s.Children(all); len(queue) > 0; queue = queue[1:] {
		x := queue[0]
		if seen[x.Name] {
			continue
		}
		seen[x.Name] = true
		out = append(out, x)
		queue = append(queue, x.Children(all)...)
	}
	return out
}

// SortSnapshots puts parents before children, and siblings in order of birth.
func SortSnapshots(all []Snapshot) []Snapshot {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b Snapshot) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Name, b.Name))
	})
	names := map[string]bool{}
	for _, s := range sorted {
		names[s.Name] = true
	}
	var out []Snapshot
	for _, s := range sorted {
		if s.Parent == "" || !names[s.Parent] {
			out = append(out, s)
			out = append(out, walk(s, sorted, map[string]bool{s.Name: true})...)
		}
	}
	return out
}

func walk(s Snapshot, all []Snapshot, seen map[string]bool) []Snapshot {
	var out []Snapshot
	for _, c := range s.Children(all) {
		if !seen[c.Name] {
			seen[c.Name] = true
			out = append(out, c)
			out = append(out, walk(c, all, seen)...)
		}
	}
	return out
}

// Files names every file that a snapshot brought with it: overlays and memory.
func (s Snapshot) Files() []string {
	var out []string
	for _, d := range s.Disks {
		if d.File != "" {
			out = append(out, d.File)
		}
	}
	if s.MemoryFile != "" {
		out = append(out, s.MemoryFile)
	}
	return out
}

// Growth is what the files take up that came with it.
func (s Snapshot) Growth() int64 {
	sum := s.MemoryBytes
	for _, d := range s.Disks {
		sum += d.SizeBytes
	}
	return sum
}

// GrewSince is by how much the files grew that an internal snapshot is inside. That is the most it can cost: with what it holds they have what is new on the disks,
// and nobody tells the two apart. It is not known of those that were made on the host.
func (s Snapshot) GrewSince() (bytes int64, known bool) {
	if s.Kind != SnapshotInternal || s.RoomBefore < 0 || s.RoomNow <= 0 {
		return 0, false
	}
	return max(s.RoomNow-s.RoomBefore, 0), true
}

// LongChain is a VM with more files under a disk than are wise.
type LongChain struct {
	VMID  string `db:"id"`
	Name  string
	Depth int
}

// Backings is which file is built on which, by path.
type Backings map[string]string

// BackingsOf reads it off the volumes of a host.
func BackingsOf(volumes []Volume) Backings {
	b := Backings{}
	for _, v := range volumes {
		if v.Path != "" && v.Backing != "" {
			b[v.Path] = v.Backing
		}
	}
	return b
}

// Chain lists a file and what it is built on, top first.
func (b Backings) Chain(path string) []string {
	var out []string
	for path != "" && !slices.Contains(out, path) {
		out = append(out, path)
		path = b[path]
	}
	return out
}

// On lists the files that are built directly on one, in order.
func (b Backings) On(path string) []string {
	var out []string
	for file, below := range b {
		if below == path {
			out = append(out, file)
		}
	}
	slices.Sort(out)
	return out
}

// ChainDepth is the longest chain of files under a VM's disks; 1 is a disk without overlays.
func ChainDepth(disks []Disk, b Backings) int {
	most := 0
	for _, d := range writable(disks) {
		if d.Source != "" {
			most = max(most, len(b.Chain(d.Source)))
		}
	}
	return most
}

// CanSnapshot reports whether snapshots can be taken, gone back to or deleted in this state; the error says why not.
func (s VMState) CanSnapshot(name string) error {
	switch s {
	case VMRunning, VMPaused, VMStopped, VMCrashed:
		return nil
	case VMAway:
		return Errorf(Unavailable, "The host of %s is away, so nothing can be done with its snapshots now.", name).WithFix("Wait for the host to come back or look at the host's page for the reason.")
	}
	return Errorf(Conflict, "%s is %s: its saved memory belongs to the disks as they are.", name, s).WithFix("Restore it or discard its saved state first.")
}
