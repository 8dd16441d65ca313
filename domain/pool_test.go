package domain

import (
	"strings"
	"testing"
)

func valid() map[string]PoolSpec {
	return map[string]PoolSpec{
		"dir":        {Name: "d", Type: "dir", Target: "/srv/vms"},
		"fs":         {Name: "f", Type: "fs", Source: PoolSource{Devices: []string{"/dev/sdb1"}}},
		"nfs":        {Name: "n", Type: "netfs", Source: PoolSource{Hosts: []string{"nas.example"}, Path: "/export/vms"}},
		"glusterfs":  {Name: "g", Type: "netfs", Source: PoolSource{Hosts: []string{"10.0.0.1"}, Path: "/gv", Format: "glusterfs"}},
		"cifs":       {Name: "c", Type: "netfs", Source: PoolSource{Hosts: []string{"nas"}, Path: "vms", Format: "cifs"}},
		"logical":    {Name: "l", Type: "logical", Source: PoolSource{Name: "vg0"}},
		"built":      {Name: "l", Type: "logical", Build: true, Source: PoolSource{Name: "vg0", Devices: []string{"/dev/sdb", "/dev/sdc"}}},
		"disk":       {Name: "k", Type: "disk", Source: PoolSource{Devices: []string{"/dev/sdb"}}},
		"iscsi":      {Name: "i", Type: "iscsi", Source: PoolSource{Hosts: []string{"san:3261"}, IQN: "iqn.2026-01.example.san:vms"}},
		"rbd":        {Name: "r", Type: "rbd", Source: PoolSource{Hosts: []string{"[fd00::1]:6789", "mon2"}, Name: "vms", Username: "libvirt", SecretUUID: "11111111-2222-3333-4444-555555555555"}},
		"zfs":        {Name: "z", Type: "zfs", Source: PoolSource{Name: "tank/vms"}},
		"dotted dir": {Name: "a.b", Type: "dir", Target: "/srv/x.y"},
	}
}

func TestPoolSpecsThatAreRight(t *testing.T) {
	for name, s := range valid() {
		if err := s.WithDefaults().Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s := s.WithDefaults(); s.Target == "" && s.Type != "rbd" && s.Type != "zfs" {
			t.Errorf("%s has no target", name)
		}
	}
}

func TestPoolSpecsThatAreWrongNameTheField(t *testing.T) {
	for _, c := range []struct {
		from, field string
		change      func(*PoolSpec)
	}{
		{"dir", "name", func(s *PoolSpec) { s.Name = "" }},
		{"dir", "name", func(s *PoolSpec) { s.Name = "a/b" }},
		{"dir", "type", func(s *PoolSpec) { s.Type = "floppy" }},
		{"dir", "uuid", func(s *PoolSpec) { s.UUID = "x" }},
		{"dir", "target", func(s *PoolSpec) { s.Target = "" }},
		{"dir", "target", func(s *PoolSpec) { s.Target = "/srv/../etc" }},
		{"dir", "target", func(s *PoolSpec) { s.Target = "/" }},
		{"fs", "source.devices", func(s *PoolSpec) { s.Source.Devices = nil }},
		{"fs", "source.devices", func(s *PoolSpec) { s.Source.Devices = []string{"sdb"} }},
		{"fs", "source.format", func(s *PoolSpec) { s.Build = true }},
		{"fs", "source.format", func(s *PoolSpec) { s.Source.Format = "zip" }},
		{"nfs", "source.hosts", func(s *PoolSpec) { s.Source.Hosts = []string{"a", "b"} }},
		{"nfs", "source.hosts", func(s *PoolSpec) { s.Source.Hosts = []string{"a b"} }},
		{"nfs", "source.hosts", func(s *PoolSpec) { s.Source.Hosts = []string{"a:0"} }},
		{"nfs", "source.path", func(s *PoolSpec) { s.Source.Path = "" }},
		{"nfs", "source.path", func(s *PoolSpec) { s.Source.Path = "vms" }},
		{"cifs", "source.path", func(s *PoolSpec) { s.Source.Path = "a b" }},
		{"logical", "source.name", func(s *PoolSpec) { s.Source.Name = "-x" }},
		{"logical", "source.devices", func(s *PoolSpec) { s.Build = true }},
		{"disk", "source.devices", func(s *PoolSpec) { s.Source.Devices = []string{"/dev/../etc"} }},
		{"iscsi", "source.iqn", func(s *PoolSpec) { s.Source.IQN = "vms" }},
		{"iscsi", "source.initiator", func(s *PoolSpec) { s.Source.Initiator = "me" }},
		{"rbd", "source.name", func(s *PoolSpec) { s.Source.Name = "" }},
		{"rbd", "source.secret_uuid", func(s *PoolSpec) { s.Source.SecretUUID = "" }},
		{"rbd", "source.secret_uuid", func(s *PoolSpec) { s.Source.SecretUUID = "x" }},
		{"rbd", "source.username", func(s *PoolSpec) { s.Source.Username = "a<b" }},
		{"zfs", "source.name", func(s *PoolSpec) { s.Source.Name = "9" }},
	} {
		s := valid()[c.from]
		s = s.WithDefaults()
		c.change(&s)
		err := s.Validate()
		var fields []string
		if e, ok := err.(*Error); ok {
			for _, f := range e.Fields {
				fields = append(fields, f.Field)
			}
		}
		if !strings.Contains(" "+strings.Join(fields, " ")+" ", " "+c.field+" ") {
			t.Errorf("%s: want %s wrong, got %v (%v)", c.from, c.field, fields, err)
		}
	}
}

func TestSharedStorageHasOneIdentity(t *testing.T) {
	same := [][]PoolSpec{
		{{Type: "netfs", Source: PoolSource{Hosts: []string{"NAS.example."}, Path: "/export/vms/", Format: "nfs"}}, {Name: "x", Target: "/mnt", Type: "netfs", Source: PoolSource{Hosts: []string{"nas.example"}, Path: "/export//vms", Format: "auto"}}},
		{{Type: "netfs", Source: PoolSource{Hosts: []string{"10.0.0.1"}, Path: "/gv", Format: "glusterfs"}}, {Type: "netfs", Source: PoolSource{Hosts: []string{"10.0.0.1"}, Path: "gv", Format: "glusterfs"}}},
		{{Type: "rbd", Source: PoolSource{Hosts: []string{"b:6789", "a"}, Name: "vms"}}, {Type: "rbd", Source: PoolSource{Hosts: []string{"a", "B"}, Name: "vms"}}},
		{{Type: "iscsi", Source: PoolSource{Hosts: []string{"fd00:0::1"}, IQN: "iqn.2026-01.example:A"}}, {Type: "iscsi", Source: PoolSource{Hosts: []string{"[fd00::1]:3260"}, IQN: "iqn.2026-01.example:a"}}},
	}
	seen := map[string]bool{}
	for _, pair := range same {
		a, b := pair[0].Identity(), pair[1].Identity()
		if a == "" || a != b || seen[a] {
			t.Errorf("%q and %q", a, b)
		}
		seen[a] = true
	}
	for _, s := range []PoolSpec{
		{Type: "dir", Target: "/srv"}, {Type: "logical", Source: PoolSource{Name: "vg0"}},
		{Type: "netfs", Source: PoolSource{Hosts: []string{"localhost"}, Path: "/x"}}, {Type: "netfs", Source: PoolSource{Hosts: []string{"127.0.0.1"}, Path: "/x"}},
		{Type: "fs", Source: PoolSource{Hosts: []string{"a"}}},
	} {
		if id := s.Identity(); id != "" {
			t.Errorf("%+v is known as %s", s, id)
		}
	}
	if a := (PoolSpec{Type: "iscsi", Source: PoolSource{Hosts: []string{"san:3261"}, IQN: "iqn.2026-01.a"}}).Identity(); a != "iscsi:san:3261/iqn.2026-01.a" {
		t.Error(a)
	}
	if a := (PoolSpec{Type: "gluster", Source: PoolSource{Hosts: []string{"a"}, Name: "gv", Path: "/d"}}).Identity(); a != "gluster:a:/gv/d" {
		t.Error(a)
	}
}
