package domain

import (
	"fmt"
	"strings"
)

// DiskTune limits what a disk may do: requests and bytes each second, in all or by direction. Zero is no limit. A limit in all excludes those by direction.
type DiskTune struct {
	TotalIOPS        int64 `json:"total_iops,omitempty"`
	ReadIOPS         int64 `json:"read_iops,omitempty"`
	WriteIOPS        int64 `json:"write_iops,omitempty"`
	TotalBytesPerSec int64 `json:"total_bytes_per_s,omitempty"`
	ReadBytesPerSec  int64 `json:"read_bytes_per_s,omitempty"`
	WriteBytesPerSec int64 `json:"write_bytes_per_s,omitempty"`
}

// String prints the limits in one line, "" when there are none.
func (t DiskTune) String() string {
	var out []string
	for _, v := range []struct {
		n    int64
		what string
	}{{t.TotalIOPS, ""}, {t.ReadIOPS, " read"}, {t.WriteIOPS, " write"}} {
		if v.n > 0 {
			out = append(out, fmt.Sprintf("%d%s IOPS", v.n, v.what))
		}
	}
	for _, v := range []struct {
		n    int64
		what string
	}{{t.TotalBytesPerSec, ""}, {t.ReadBytesPerSec, " read"}, {t.WriteBytesPerSec, " write"}} {
		if v.n > 0 {
			out = append(out, FormatBytes(v.n)+"/s"+v.what)
		}
	}
	return strings.Join(out, ", ")
}

const (
	maxIOPS       = 1e9 // QEMU's own limits
	maxBytesPerSs = 1e15
)

func (t DiskTune) validate(p *Problems, at string) {
	for _, v := range []struct {
		field string
		n     int64
		most  int64
	}{
		{"total_iops", t.TotalIOPS, maxIOPS}, {"read_iops", t.ReadIOPS, maxIOPS}, {"write_iops", t.WriteIOPS, maxIOPS},
		{"total_bytes_per_s", t.TotalBytesPerSec, maxBytesPerSs}, {"read_bytes_per_s", t.ReadBytesPerSec, maxBytesPerSs}, {"write_bytes_per_s", t.WriteBytesPerSec, maxBytesPerSs},
	} {
		if v.n < 0 || v.n > v.most {
			p.Add(at+"."+v.field, fmt.Sprintf("%d is not a possible limit.", v.n), "0 for no limit, or more")
		}
	}
	if t.TotalIOPS > 0 && t.ReadIOPS+t.WriteIOPS > 0 {
		p.Add(at+".total_iops", "A limit of requests in all goes with none for reading or writing.", "the one or the other")
	}
	if t.TotalBytesPerSec > 0 && t.ReadBytesPerSec+t.WriteBytesPerSec > 0 {
		p.Add(at+".total_bytes_per_s", "A limit of bytes in all goes with none for reading or writing.", "the one or the other")
	}
}

// maxIOThread is the highest number of an I/O thread that is made for the asking.
const maxIOThread = 64

var serialRE = lazily(`^[A-Za-z0-9 _.+-]{1,36}$`)

// options validates what a disk has besides what it shows.
func (d Disk) options(p *Problems, at string) {
	oneOf(p, at+".discard", d.Discard, "", "unmap", "ignore")
	if d.IOThread < 0 || d.IOThread > maxIOThread {
		p.Add(at+".io_thread", fmt.Sprintf("There is no I/O thread %d.", d.IOThread), fmt.Sprintf("from 1 to %d, or 0 for none", maxIOThread))
	} else if d.IOThread > 0 && d.Bus != "" && d.Bus != "virtio" {
		p.Add(at+".io_thread", "Only a disk on virtio can have an I/O thread.", "virtio as the bus, or no I/O thread")
	}
	if d.Serial != "" && !serialRE.MatchString(d.Serial) {
		p.Add(at+".serial", "“"+d.Serial+"” is not a serial number.", "1 to 36 letters, digits, spaces, dots, hyphens or underscores")
	}
	if d.Secret != "" && !ValidUUID(d.Secret) {
		p.Add(at+".secret", "That is not the UUID of a secret.", "nothing: the secret of an encrypted volume is found by itself")
	}
	if d.Encrypted && !d.New() {
		p.Add(at+".encrypted", "Only a new disk is encrypted; an existing volume is or is not.", "a size, or not encrypted")
	}
	if d.Encrypted && d.Image != "" {
		p.Add(at+".encrypted", "A disk that begins as an image cannot be encrypted.", "no image, or not encrypted")
	}
	d.Tune.validate(p, at+".tune")
}

// describeOptions is what Describe says besides the device and its source.
func (d Disk) describeOptions() string {
	var out []string
	if d.ReadOnly && d.Device != "cdrom" {
		out = append(out, "read-only")
	}
	if d.Shareable {
		out = append(out, "shareable")
	}
	if d.Cache != "" && d.Cache != "default" {
		out = append(out, "cache "+d.Cache)
	}
	if d.Discard == "ignore" {
		out = append(out, "discard ignored")
	}
	if d.IOThread > 0 {
		out = append(out, fmt.Sprintf("I/O thread %d", d.IOThread))
	}
	if d.Serial != "" {
		out = append(out, "serial "+d.Serial)
	}
	if d.Secret != "" {
		out = append(out, "encrypted")
	}
	if t := d.Tune.String(); t != "" {
		out = append(out, "at most "+t)
	}
	if len(out) == 0 {
		return ""
	}
	return " (" + strings.Join(out, "; ") + ")"
}

// DiskChange asks for changes of one disk; nil stays. Limits take hold at once, the rest at the next start.
type DiskChange struct {
	Target   string    `json:"target"`
	Bus      *string   `json:"bus,omitempty"`
	Cache    *string   `json:"cache,omitempty"`
	Discard  *string   `json:"discard,omitempty"`
	IOThread *int      `json:"io_thread,omitempty"`
	Serial   *string   `json:"serial,omitempty"`
	Tune     *DiskTune `json:"tune,omitempty"`
}

// Empty reports whether nothing is asked for.
func (c DiskChange) Empty() bool {
	return c.Bus == nil && c.Cache == nil && c.Discard == nil && c.IOThread == nil && c.Serial == nil && c.Tune == nil
}

// apply gives the disk as it would be.
func (c DiskChange) apply(p *Problems, at string, d Disk) Disk {
	set(&d.Bus, c.Bus)
	set(&d.Cache, c.Cache)
	set(&d.Discard, c.Discard)
	set(&d.IOThread, c.IOThread)
	set(&d.Serial, c.Serial)
	set(&d.Tune, c.Tune)
	if c.Bus != nil {
		oneOf(p, at+".bus", d.Bus, "virtio", "scsi", "sata", "ide", "usb")
		if d.Bus != "virtio" && c.IOThread == nil {
			d.IOThread = 0
		}
	}
	oneOf(p, at+".cache", d.Cache, "", "default", "none", "writeback", "writethrough", "directsync", "unsafe")
	probe := d
	probe.Secret = ""
	if c.Serial == nil {
		probe.Serial = "" // an adopted one may break our rules
	}
	probe.options(p, at)
	return d
}
