package vms

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

// AskDisk is the dialog for something to be done with a disk: change, detach, media, flatten, commit.
type AskDisk struct {
	VM     domain.VM
	Disk   DiskInfo
	Action string
	Boots  bool
	Below  []domain.Volume // what the disk stands on, nearest first
	Images []domain.Volume // media: what may be put in
	Form   DiskEdit
	Key    string
	Err    *domain.Error
}

// DiskEdit is what of a disk may be changed, as typed.
type DiskEdit struct {
	Bus, Cache, Discard, IOThread, Serial                             string
	TotalIOPS, ReadIOPS, WriteIOPS, TotalBytes, ReadBytes, WriteBytes string
	Delete, Boot                                                      bool
	Volume, Base                                                      string
}

// DecodeDisk reads it back.
func DecodeDisk(v url.Values) DiskEdit {
	get := func(k string) string { return strings.TrimSpace(v.Get(k)) }
	return DiskEdit{
		Bus: get("bus"), Cache: get("cache"), Discard: get("discard"), IOThread: get("io_thread"), Serial: get("serial"),
		TotalIOPS: get("total_iops"), ReadIOPS: get("read_iops"), WriteIOPS: get("write_iops"), TotalBytes: get("total_bytes"), ReadBytes: get("read_bytes"), WriteBytes: get("write_bytes"),
		Delete: get("delete") == "1", Boot: get("boot") == "1", Volume: get("volume"), Base: get("base"),
	}
}

// EditOf is the form of a disk as it is.
func EditOf(d domain.Disk) DiskEdit {
	count := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	bytes := func(n int64) string {
		if n == 0 {
			return ""
		}
		return domain.FormatBytes(n)
	}
	t := d.Tune
	return DiskEdit{
		Bus: d.Bus, Cache: d.Cache, Discard: d.Discard, IOThread: count(int64(d.IOThread)), Serial: d.Serial,
		TotalIOPS: count(t.TotalIOPS), ReadIOPS: count(t.ReadIOPS), WriteIOPS: count(t.WriteIOPS), TotalBytes: bytes(t.TotalBytesPerSec), ReadBytes: bytes(t.ReadBytesPerSec), WriteBytes: bytes(t.WriteBytesPerSec),
	}
}

// Change gives what differs from the disk as it is.
func (f DiskEdit) Change(d domain.Disk) (domain.DiskChange, error) {
	var p domain.Problems
	was := EditOf(d)
	c := domain.DiskChange{Target: d.Target, Bus: differs(f.Bus, was.Bus), Cache: differs(f.Cache, was.Cache), Discard: differs(f.Discard, was.Discard), Serial: differs(f.Serial, was.Serial)}
	if f.IOThread != was.IOThread {
		n := int(whole(&p, "io_thread", f.IOThread))
		c.IOThread = &n
	}
	tune := d.Tune
	for _, x := range []struct {
		field, typed, was string
		to                *int64
		read              func(*domain.Problems, string, string) int64
	}{
		{"tune.total_iops", f.TotalIOPS, was.TotalIOPS, &tune.TotalIOPS, whole}, {"tune.read_iops", f.ReadIOPS, was.ReadIOPS, &tune.ReadIOPS, whole}, {"tune.write_iops", f.WriteIOPS, was.WriteIOPS, &tune.WriteIOPS, whole},
		{"tune.total_bytes_per_s", f.TotalBytes, was.TotalBytes, &tune.TotalBytesPerSec, rate}, {"tune.read_bytes_per_s", f.ReadBytes, was.ReadBytes, &tune.ReadBytesPerSec, rate},
		{"tune.write_bytes_per_s", f.WriteBytes, was.WriteBytes, &tune.WriteBytesPerSec, rate},
	} {
		if x.typed != x.was { // rounding for display must not become a change
			*x.to = x.read(&p, x.field, x.typed)
		}
	}
	if tune != d.Tune {
		c.Tune = &tune
	}
	return c, p.Err()
}

func whole(p *domain.Problems, field, typed string) int64 {
	if typed == "" {
		return 0
	}
	n, err := strconv.ParseInt(typed, 10, 64)
	if err != nil || n < 0 {
		p.Add(field, "“"+typed+"” is not a number.", "a whole number, or nothing for no limit")
	}
	return n
}

func rate(p *domain.Problems, field, typed string) int64 {
	if typed = strings.TrimSuffix(typed, "/s"); typed == "" {
		return 0
	}
	n, err := domain.ParseBytes(typed)
	if err != nil {
		p.Add(field, "“"+typed+"” is not a size.", "a number and a unit, such as 50 MiB, or nothing for no limit")
	}
	return n
}

func (m AskDisk) title() string {
	t := m.Disk.Disk.Target
	switch m.Action {
	case "detach":
		return fmt.Sprintf("Detach %s from %s?", t, m.VM.Name)
	case "media":
		return fmt.Sprintf("Disc in %s of %s", t, m.VM.Name)
	case "flatten":
		return fmt.Sprintf("Flatten %s of %s", t, m.VM.Name)
	case "commit":
		return fmt.Sprintf("Commit %s of %s?", t, m.VM.Name)
	}
	return fmt.Sprintf("Disk %s of %s", t, m.VM.Name)
}

func (m AskDisk) verb() string {
	return map[string]string{"detach": "Detach", "media": "Change disc", "flatten": "Flatten", "commit": "Commit", "change": "Save"}[m.Action]
}

func (m AskDisk) runs() bool {
	return m.VM.State == domain.VMRunning || m.VM.State == domain.VMPaused
}

// limitWords says in a line what a disk may do and how it is kept, "" when nothing is special.
func limitWords(d domain.Disk) string {
	var out []string
	if t := d.Tune.String(); t != "" {
		out = append(out, "at most "+t)
	}
	if d.Cache != "" && d.Cache != "default" {
		out = append(out, "cache "+d.Cache)
	}
	if d.Discard != "" {
		out = append(out, "discard "+d.Discard)
	}
	if d.IOThread > 0 {
		out = append(out, fmt.Sprintf("I/O thread %d", d.IOThread))
	}
	if d.Shareable {
		out = append(out, "shareable")
	}
	return strings.Join(out, " · ")
}

var (
	cacheOptions   = []ui.Option{{Value: "", Label: "the hypervisor's own"}, {Value: "default", Label: "default"}, {Value: "none", Label: "none"}, {Value: "writeback", Label: "writeback"}, {Value: "writethrough", Label: "writethrough"}, {Value: "directsync", Label: "directsync"}, {Value: "unsafe", Label: "unsafe: a power cut may lose everything"}}
	discardOptions = []ui.Option{{Value: "", Label: "the hypervisor's own"}, {Value: "unmap", Label: "give space back (unmap)"}, {Value: "ignore", Label: "ignore"}}
)

func mediaOptions(m AskDisk) []ui.Option {
	out := []ui.Option{{Value: "", Label: "nothing: the drive is empty"}}
	for _, v := range m.Images {
		out = append(out, ui.Option{Value: v.ID, Label: v.Name + " in " + v.Pool})
	}
	return out
}

// bases are the images that a disk may go on standing on, or be committed into.
func (m AskDisk) bases(none string) []ui.Option {
	var out []ui.Option
	if none != "" {
		out = append(out, ui.Option{Value: "", Label: none})
	}
	for _, v := range m.Below {
		out = append(out, ui.Option{Value: v.Path, Label: v.Name + " (" + v.Format + ")"})
	}
	return out
}

func diskURL(m AskDisk) string { return live.Disk(m.VM.ID, m.Disk.Disk.Target, m.Action) }
