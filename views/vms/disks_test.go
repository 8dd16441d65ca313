package vms

import (
	"net/url"
	"slices"
	"testing"

	"novacron/domain"
)

func TestADiskIsReadBackAsItDiffers(t *testing.T) {
	d := domain.Disk{Target: "vda", Bus: "virtio", Cache: "none", Tune: domain.DiskTune{TotalIOPS: 100, WriteBytesPerSec: 1536*domain.KiB + 1}}
	as := func(change func(*DiskEdit)) (domain.DiskChange, error) {
		f := EditOf(d)
		change(&f)
		return f.Change(d)
	}
	if c, err := as(func(*DiskEdit) {}); err != nil || !c.Empty() {
		t.Errorf("a disk as it was shown became a change: %+v %v", c, err)
	}
	c, err := as(func(f *DiskEdit) { f.TotalIOPS, f.ReadBytes, f.IOThread, f.Cache = "", "50 MiB/s", "2", "writeback" })
	want := domain.DiskTune{ReadBytesPerSec: 50 * domain.MiB, WriteBytesPerSec: 1536*domain.KiB + 1}
	if err != nil || c.Tune == nil || *c.Tune != want || c.IOThread == nil || *c.IOThread != 2 || c.Cache == nil || *c.Cache != "writeback" || c.Bus != nil || c.Serial != nil {
		t.Errorf("%+v %v", c, err)
	}
	if _, err := as(func(f *DiskEdit) { f.TotalIOPS, f.WriteBytes, f.IOThread = "many", "-1", "x" }); !slices.Equal(fields(err), []string{"io_thread", "tune.total_iops", "tune.write_bytes_per_s"}) {
		t.Errorf("%v", fields(err))
	}
	f := DecodeDisk(url.Values{"bus": {" scsi "}, "delete": {"1"}, "base": {"/x"}})
	if f.Bus != "scsi" || !f.Delete || f.Boot || f.Base != "/x" {
		t.Errorf("%+v", f)
	}
}
