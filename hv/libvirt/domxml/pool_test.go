package domxml

import (
	"reflect"
	"testing"

	"novacron/domain"
)

func poolSpecs() map[string]domain.PoolSpec {
	uuid := "11111111-2222-3333-4444-555555555555"
	return map[string]domain.PoolSpec{
		"dir":       {Name: "images & co", Type: "dir", UUID: uuid, Target: "/srv/x.y"},
		"fs":        {Name: "f", Type: "fs", Source: domain.PoolSource{Devices: []string{"/dev/sdb1"}, Format: "ext4"}},
		"nfs":       {Name: "n", Type: "netfs", Source: domain.PoolSource{Hosts: []string{"nas.example"}, Path: "/export/vms", Format: "nfs"}},
		"glusterfs": {Name: "g", Type: "netfs", Source: domain.PoolSource{Hosts: []string{"10.0.0.1"}, Path: "/gv", Format: "glusterfs"}},
		"cifs":      {Name: "c", Type: "netfs", Source: domain.PoolSource{Hosts: []string{"nas"}, Path: "vms", Format: "cifs"}},
		"logical":   {Name: "l", Type: "logical", Source: domain.PoolSource{Name: "vg0", Devices: []string{"/dev/sdb", "/dev/sdc"}}},
		"disk":      {Name: "k", Type: "disk", Source: domain.PoolSource{Devices: []string{"/dev/sdb"}, Format: "gpt"}},
		"iscsi":     {Name: "i", Type: "iscsi", Source: domain.PoolSource{Hosts: []string{"san:3261"}, IQN: "iqn.2026-01.example.san:vms", Initiator: "iqn.2026-01.example:me", Username: "u", SecretUUID: uuid}},
		"rbd":       {Name: "r", Type: "rbd", Source: domain.PoolSource{Hosts: []string{"[fd00::1]:6789", "mon2"}, Name: "vms", Username: "libvirt", SecretUUID: uuid}},
		"zfs":       {Name: "z", Type: "zfs", Source: domain.PoolSource{Name: "tank/vms", Devices: []string{"/dev/sdb"}}},
	}
}

func init() {
	sample("storagepool", func(testing.TB) map[string]string {
		out := map[string]string{}
		for name, s := range poolSpecs() {
			out[name] = PoolXML(s.WithDefaults())
		}
		return out
	})
	sample("storagevol", func(testing.TB) map[string]string {
		v := volumeSpec("default", "over.qcow2", "qcow2", 0)
		v.Backing, v.BackingFormat = "/srv/base.raw", "raw"
		locked := volumeSpec("default", "locked.raw", "raw", domain.GiB)
		locked.SecretUUID, locked.Full = "11111111-2222-3333-4444-555555555555", true
		return map[string]string{
			"overlay": VolumeXML(v, "dir"), "encrypted": VolumeXML(locked, "netfs"), "logical": VolumeXML(volumeSpec("vg", "lv", "raw", domain.GiB), "logical"),
			"partition": VolumeXML(volumeSpec("disk", "sdb1", "raw", domain.GiB), "disk"), "image": VolumeXML(volumeSpec("ceph", "img", "raw", domain.GiB), "rbd"),
			"copied lv": VolumeCopyXML("lv2", domain.Volume{Format: "raw", CapacityBytes: 1 << 20}, "logical"),
		}
	})
}

// What is written is read back the same, and known by the same identity.
func TestPoolsReadBack(t *testing.T) {
	for name, s := range poolSpecs() {
		s = s.WithDefaults()
		if err := s.Validate(); name != "dir" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p, err := ParsePool(PoolXML(s))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := s.Source
		if s.Type == "zfs" || s.Type == "iscsi" || s.Type == "rbd" || s.Type == "dir" {
			want.Format = ""
		}
		if len(want.Hosts) == 0 {
			want.Hosts = nil
		}
		if len(want.Devices) == 0 {
			want.Devices = nil
		}
		if p.Name != s.Name || p.Type != s.Type || p.UUID != s.UUID || !reflect.DeepEqual(p.Source, want) || p.Identity != s.Identity() {
			t.Errorf("%s: %+v\nwant %+v\nknown as %q, want %q", name, p.Source, want, p.Identity, s.Identity())
		}
	}
}

func TestPoolTypesAreThoseThatAreSupported(t *testing.T) {
	got, err := ParsePoolTypes(`<storagepoolCapabilities><pool type='dir' supported='yes'><volOptions/></pool><pool type='zfs' supported='no'/><pool type='rbd' supported='yes'/></storagepoolCapabilities>`)
	if err != nil || !reflect.DeepEqual(got, []string{"dir", "rbd"}) {
		t.Errorf("%v %v", got, err)
	}
}
