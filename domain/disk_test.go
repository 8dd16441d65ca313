package domain

import (
	"strings"
	"testing"
)

func TestDiskOptions(t *testing.T) {
	for field, d := range map[string]Disk{
		"discard":                {Discard: "maybe"},
		"io_thread":              {IOThread: 1, Bus: "sata"},
		"serial":                 {Serial: "a\nb"},
		"secret":                 {Secret: "x"},
		"tune.read_iops":         {Tune: DiskTune{ReadIOPS: -1}},
		"tune.total_iops":        {Tune: DiskTune{TotalIOPS: 1, WriteIOPS: 1}},
		"tune.total_bytes_per_s": {Tune: DiskTune{TotalBytesPerSec: 1, ReadBytesPerSec: 1}},
	} {
		d.Source = "/x"
		s := VMSpec{Name: "a", VCPUs: 1, MemoryBytes: GiB, Disks: []Disk{d}}
		e, ok := s.Validate().(*Error)
		if !ok || len(e.Fields) != 1 || e.Fields[0].Field != "disks.0."+field {
			t.Errorf("%s: %v", field, s.Validate())
		}
	}
	d := Disk{Target: "vda", Bus: "virtio", Source: "/x", Cache: "none", Discard: "ignore", IOThread: 1, Serial: "S", Shareable: true, ReadOnly: true, Secret: "s", Tune: DiskTune{TotalIOPS: 5, ReadBytesPerSec: MiB}}
	want := "disk on virtio: /x (read-only; shareable; cache none; discard ignored; I/O thread 1; serial S; encrypted; at most 5 IOPS, 1 MiB/s read)"
	if got := d.Describe(); got != want {
		t.Errorf("%s", got)
	}
	if got := (Disk{Bus: "sata", Device: "cdrom", ReadOnly: true}).Describe(); strings.Contains(got, "(") {
		t.Error(got)
	}
}
