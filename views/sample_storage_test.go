package views_test

import (
	"fmt"
	"time"

	"github.com/a-h/templ"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/storage"
	"novacron/views/vms"
)

func samplePools() []storage.Pool {
	at := func(i int, pool string, active, away bool) storage.PoolHost {
		return storage.PoolHost{ID: fmt.Sprintf("host_%d", i), Name: sampleHosts()[i-1].Name, Pool: pool, Target: "/srv/" + pool, Active: active, Autostart: i%2 == 1, Away: away}
	}
	return []storage.Pool{
		{Pool: domain.Pool{ID: "pool_1", Name: "default", Type: "dir", Active: true, Target: "/var/lib/libvirt/images", CapacityBytes: 18 * domain.TiB, AllocationBytes: 7 * domain.TiB, AvailableBytes: 11 * domain.TiB}, Volumes: 212, Provisioned: 31 * domain.TiB,
			Hosts: []storage.PoolHost{at(1, "default", true, false)}},
		{Pool: domain.Pool{ID: "pool_2", Name: "gv-vms", Type: "netfs", Active: true, Identity: "netfs:glusterfs:nas.example.net:/vms", Source: domain.PoolSource{Hosts: []string{"nas.example.net"}, Path: "/vms", Format: "glusterfs"}, CapacityBytes: 40 * domain.TiB,
			AllocationBytes: 39 * domain.TiB, AvailableBytes: domain.TiB}, Volumes: 1440, Provisioned: 39 * domain.TiB, Hosts: []storage.PoolHost{at(1, "gv-vms", true, false), at(2, "gv-vms", true, false), at(3, "shared"+evil, true, true), at(4, "gv-vms", false, false), at(5, "gv-vms", true, false)}},
		{Pool: domain.Pool{ID: "pool_3", Name: "old" + evil, Type: "iscsi"}, Hosts: []storage.PoolHost{at(2, "old", false, false)}},
	}
}

func sampleVolumes() []storage.Volume {
	var out []storage.Volume
	for i, n := range []string{"web-prod-01.qcow2", "db-prod-01.qcow2", "golden.qcow2", "debian-12.iso", "left-behind.qcow2", "test-" + evil + ".raw"} {
		v := storage.Volume{Volume: domain.Volume{ID: fmt.Sprintf("vol_%d", i), PoolID: "pool_2", HostID: "host_1", Pool: "gv-vms", Name: n, Path: "/srv/gv-vms/" + n, Format: []string{"qcow2", "raw"}[i%2], CapacityBytes: int64(20+i*10) * domain.GiB,
			AllocationBytes: int64(3+i) * domain.GiB, Encrypted: i == 1}, HostName: "hv-ams-01", Hosts: 1 + i%3}
		if i < 2 {
			v.Users = []storage.Use{{ID: "vm_00", Name: "web-prod-01"}, {ID: "vm_15", Name: "test-" + evil}}[:1+i]
		}
		if i == 2 {
			v.Overlays, v.Image = 12, "golden@3"
		}
		out = append(out, v)
	}
	return out
}

func sampleVolumeList() storage.VolumeList {
	return storage.VolumeList{Items: sampleVolumes(), Total: 1440, Bytes: 39 * domain.TiB, Base: live.StorageVolumes, Next: "next"}
}

func sampleNeeds() []storage.Need {
	return []storage.Need{
		{VolumeUser: domain.VolumeUser{Kind: "vm", ID: "vm_00", Name: "web-prod-01", HostName: "hv-ams-01", Target: "vda", Direct: true, Live: true}, Words: "VM on hv-ams-01, disk vda"},
		{VolumeUser: domain.VolumeUser{Kind: "volume", ID: "vol_4", Name: "clone-" + evil, Direct: true}, Words: "volume built on it"},
		{VolumeUser: domain.VolumeUser{Kind: "image", ID: "img_1", Name: "golden@3", ReadOnly: true}, Words: "image of the library"},
	}
}

func sampleVolumePage() storage.VolumePage {
	vols := sampleVolumes()
	link := func(i, level int, backing string) storage.Link {
		l := storage.Link{Volume: vols[i].Volume, Level: level}
		l.Backing = backing
		if level == 1 {
			l.Users = []storage.Use{{ID: "vm_00", Name: "web-prod-01"}}
		}
		return l
	}
	low := storage.Link{Volume: domain.Volume{Path: "/srv/elsewhere/base" + evil + ".raw", Name: "/srv/elsewhere/base" + evil + ".raw", Format: "raw"}, Level: -1}
	return storage.VolumePage{
		Volume: vols[2], Pool: samplePools()[1], At: []storage.VolumeAt{{HostID: "host_1", HostName: "hv-ams-01", Path: vols[2].Path}, {HostID: "host_2", HostName: "hv-ams-02", Path: "/mnt/x/golden.qcow2"}}, Needs: sampleNeeds(),
		Chain: []storage.Link{low, link(2, 0, low.Path), link(0, 1, vols[2].Path), link(5, 1, vols[2].Path), link(4, 2, vols[0].Path)},
		Sum:   &storage.Sum{SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Bytes: 40 * domain.GiB, At: ago(time.Hour).UnixMilli()}, Jobs: sampleJobs(),
		Upload: &storage.Upload{JobID: "job_1", Received: 3 * domain.GiB, Total: 10 * domain.GiB}, Why: "is what linked clones of golden are built on",
	}
}

func sampleAskDisk(action string) vms.AskDisk {
	vm := sampleVMs()[0]
	v := domain.Volume{ID: "vol_1", Pool: "gv-vms", Name: "web-prod-01.qcow2", Path: vm.Config.Disks[0].Source, Format: "qcow2", AllocationBytes: 11 * domain.GiB, Backing: "/srv/golden.qcow2"}
	d := vm.Config.Disks[0]
	d.Tune = domain.DiskTune{TotalIOPS: 500, WriteBytesPerSec: 50 * domain.MiB}
	return vms.AskDisk{VM: vm, Disk: vms.DiskInfo{Disk: d, Volume: &v}, Action: action, Boots: true, Below: []domain.Volume{{Name: "golden" + evil, Path: "/srv/golden.qcow2", Format: "qcow2"}}, Images: []domain.Volume{{ID: "vol_3", Name: "debian-12.iso", Pool: "isos"}},
		Form: vms.EditOf(d), Key: "k"}
}

// storagePages is every page of storage in the states worth looking at.
func storagePages() []page {
	sh := func(title string, c ...layout.Crumb) layout.Shell {
		return shell(title, layout.SectionStorage, live.Storage, c...)
	}
	home := layout.Crumb{Label: "Storage", URL: live.Storage}
	pools, vols := samplePools(), sampleVolumeList()
	orphans := storage.VolumeList{Items: sampleVolumes()[4:], Total: 2, Bytes: 17 * domain.GiB, Orphans: true, Base: live.StorageVolumes}
	inside := vols
	inside.Pool, inside.Base = &pools[1], live.Pool("pool_2")
	hosts := []storage.HostChoice{{ID: "host_1", Name: "hv-ams-01", Types: []string{"dir", "netfs", "logical"}}, {ID: "host_3", Name: "hv-ams-03" + evil, Why: "away"}}
	badPool := storage.NewPool{Form: storage.PoolForm{Name: "no way", Type: "netfs", Hosts: []string{"host_1"}, Servers: evil}, Hosts: hosts, Key: "k"}
	badPool.Err, _ = badPool.Form.Spec().WithDefaults().Validate().(*domain.Error)
	choices := []domain.Volume{vols.Items[0].Volume, vols.Items[2].Volume}
	ask := func(action string, form storage.VolumeForm, err *domain.Error) storage.AskVolume {
		return storage.AskVolume{Volume: vols.Items[0], Pool: pools[1], Action: action, Needs: sampleNeeds(), Pools: pools, Form: form, Key: "k", Err: err}
	}
	wrongDisk := sampleAskDisk("change")
	wrongDisk.Form.ReadIOPS = "many"
	wrongDisk.Err = invalid(domain.FieldError{Field: "tune.read_iops", Msg: "“many” is not a number.", Want: "a whole number"})
	disk := func(m vms.AskDisk) templ.Component {
		return vms.AskDiskPage(shell("Disk vda", layout.SectionVMs, "/vms/vm_00/disks/vda/"+m.Action), m)
	}
	return []page{
		{"disk-change", disk(sampleAskDisk("change"))}, {"disk-wrong", disk(wrongDisk)}, {"disk-detach", disk(sampleAskDisk("detach"))}, {"disk-media", disk(sampleAskDisk("media"))},
		{"disk-flatten", disk(sampleAskDisk("flatten"))}, {"disk-commit", disk(sampleAskDisk("commit"))},
		{"pools", storage.PoolsPage(sh("Storage"), storage.PoolList{Items: pools, All: 3, Hosts: 5})},
		{"pools-empty", storage.PoolsPage(sh("Storage"), storage.PoolList{Hosts: 5})}, {"pools-none", storage.PoolsPage(sh("Storage"), storage.PoolList{Filter: "nothing " + evil, All: 3, Hosts: 5})},
		{"pool", storage.PoolShow(sh("gv-vms", home), storage.PoolPage{Pool: pools[1], Volumes: inside, Job: &sampleJobs()[0]})},
		{"pool-stop", storage.AskPoolPage(sh("gv-vms", home), storage.AskPool{Pool: pools[1], Action: "stop", Needs: sampleNeeds(), Key: "k"})},
		{"pool-delete", storage.AskPoolPage(sh("gv-vms", home), storage.AskPool{Pool: pools[1], Action: "delete", Data: true, Key: "k", Err: invalid(domain.FieldError{Field: "confirm", Msg: "To delete the data of a pool, its name must be given.", Want: "gv-vms"})})},
		{"pool-new", storage.NewPoolPage(sh("New storage pool", home), storage.NewPool{Form: storage.DecodePool(nil), Hosts: hosts, Key: "k"})},
		{"pool-new-wrong", storage.NewPoolPage(sh("New storage pool", home), badPool)},
		{"volumes", storage.VolumesPage(sh("Volumes"), vols)}, {"orphans", storage.VolumesPage(sh("Orphan volumes"), orphans)},
		{"orphans-none", storage.VolumesPage(sh("Orphan volumes"), storage.VolumeList{Orphans: true, Base: live.StorageVolumes})},
		{"volume", storage.VolumeShow(sh("golden.qcow2", home), sampleVolumePage())},
		{"volume-orphan", storage.VolumeShow(sh("left-behind.qcow2", home), storage.VolumePage{Volume: vols.Items[4], Pool: pools[1]})},
		{"volume-new", storage.NewVolumePage(sh("New volume", home), storage.NewVolume{Form: storage.VolumeForm{Pool: "pool_1", From: storage.FromLayer, Size: "plenty"}, Pools: pools, Volumes: choices, Key: "k", Err: invalid(domain.FieldError{Field: "source", Msg: "No volume is chosen."})})},
		{"volume-upload", storage.UploadPage(sh("Upload", home), storage.NewVolume{Pools: pools, Key: "k"})},
		{"volume-resize", storage.AskVolumePage(sh("Resize", home), ask("resize", storage.VolumeForm{Size: "40 GiB"}, nil))},
		{"volume-move", storage.AskVolumePage(sh("Move", home), ask("move", storage.VolumeForm{Name: "x y"}, invalid(domain.FieldError{Field: "name", Msg: "That cannot be a volume's name."})))},
		{"volume-copy", storage.AskVolumePage(sh("Copy", home), ask("copy", storage.VolumeForm{Name: "web-prod-01-copy.qcow2"}, nil))},
		{"volume-checksum", storage.AskVolumePage(sh("Checksum", home), ask("checksum", storage.VolumeForm{}, nil))},
		{"volume-upload-into", storage.AskVolumePage(sh("Upload", home), ask("upload", storage.VolumeForm{}, nil))},
		{"volumes-delete", storage.AskVolumesPage(sh("Delete", home), storage.AskVolumes{Chosen: []storage.Doomed{{Volume: vols.Items[4]}, {Volume: vols.Items[0], Needs: sampleNeeds()}}, Key: "k"})},
	}
}
