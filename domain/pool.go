package domain

import (
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// PoolSpec describes a storage pool to make. The JSON names are the API's.
type PoolSpec struct {
	Name      string     `json:"name"`
	Type      string     `json:"type"`
	UUID      string     `json:"uuid,omitempty"`
	Target    string     `json:"target,omitempty"`
	Source    PoolSource `json:"source,omitzero"`
	Autostart bool       `json:"autostart,omitempty"`
	// Build writes a file system, volume group or partition table on the source devices. Never over data that is found there.
	Build bool `json:"build,omitempty"`
}

// PoolSource is where a pool's storage comes from. Which fields count depends on the type.
type PoolSource struct {
	Hosts      []string `json:"hosts,omitempty"`       // netfs, iscsi: the server; rbd: the monitors; "name" or "name:port"
	Path       string   `json:"path,omitempty"`        // netfs: the exported directory, volume or share
	Devices    []string `json:"devices,omitempty"`     // fs, disk: one; logical, zfs: those it is built on
	Name       string   `json:"name,omitempty"`        // logical: the volume group; rbd, zfs: the pool
	Format     string   `json:"format,omitempty"`      // fs: ext4, xfs …; netfs: nfs, glusterfs, cifs; disk: gpt, dos …
	IQN        string   `json:"iqn,omitempty"`         // iscsi: the target
	Initiator  string   `json:"initiator,omitempty"`   // iscsi: who connects; empty: the host's own name
	Username   string   `json:"username,omitempty"`    // rbd, iscsi: who signs in
	SecretUUID string   `json:"secret_uuid,omitempty"` // rbd, iscsi: the libvirt secret with the key
}

// PoolType is one kind of pool that can be made.
type PoolType struct {
	Type, Label, Help string
	Formats           []string // of the source; the first is usual
	File              bool     // volumes are files: they have formats, can be thin and be built on one another
}

// PoolTypes lists the kinds of pool that can be made, the usual ones first.
var PoolTypes = []PoolType{
	{Type: "dir", Label: "Directory", Help: "A folder of the host. It is made when it is not there.", File: true},
	{Type: "netfs", Label: "Network file system", Help: "A directory that a server exports (NFS), a GlusterFS volume or a CIFS share, mounted on the host. Several hosts can share it.", Formats: []string{"nfs", "glusterfs", "cifs"}, File: true},
	{Type: "logical", Label: "LVM volume group", Help: "Each volume is a logical volume of one group. Without devices the group must exist already.", Formats: []string{"lvm2"}},
	{Type: "fs", Label: "File system on a device", Help: "A partition or disk of the host, mounted by libvirt.", Formats: []string{"auto", "ext4", "xfs", "ext3", "ext2", "vfat"}, File: true},
	{Type: "iscsi", Label: "iSCSI target", Help: "The LUNs of a target are the volumes. They are made on the target, not here."},
	{Type: "rbd", Label: "Ceph RBD", Help: "Each volume is an RBD image of one Ceph pool. Several hosts can share it."},
	{Type: "disk", Label: "Whole disk", Help: "Each volume is a partition of one disk.", Formats: []string{"gpt", "dos", "dvh", "mac", "bsd", "pc98", "sun", "lvm2"}},
	{Type: "zfs", Label: "ZFS pool", Help: "Each volume is a ZFS volume of one pool. Without devices the pool must exist already."},
}

// PoolTypeOf finds a kind; ok is false for kinds that libvirt may have and that cannot be made here.
func PoolTypeOf(kind string) (t PoolType, ok bool) {
	i := slices.IndexFunc(PoolTypes, func(t PoolType) bool { return t.Type == kind })
	if i < 0 {
		return PoolType{Type: kind, Label: kind}, false
	}
	return PoolTypes[i], true
}

// FilePool reports whether volumes of that kind of pool are files, which have formats, can be thin and be built on one another.
func FilePool(kind string) bool {
	t, _ := PoolTypeOf(kind)
	return t.File
}

// PoolHoldsVolumes reports whether volumes can be made in and deleted from that kind of pool.
func PoolHoldsVolumes(kind string) bool {
	switch kind {
	case "iscsi", "iscsi-direct", "scsi", "mpath":
		return false
	}
	return true
}

var (
	poolNameRE = lazily(`^[A-Za-z0-9_]([A-Za-z0-9._+-]{0,62}[A-Za-z0-9_])?$`)
	iqnRE      = regexp.MustCompile(`^iqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[a-zA-Z0-9.-]+(:[^\s,]+)?$`)
	hostRE     = lazily(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?$`)
	vgRE       = lazily(`^[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}$`)
	zfsRE      = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.:-]*(/[A-Za-z0-9_.:-]+)*$`)
	shareRE    = regexp.MustCompile(`^/?[A-Za-z0-9_.+\\'<>/%$-]+$`)
)

// WithDefaults fills in what follows from the rest.
func (s PoolSpec) WithDefaults() PoolSpec {
	s.Source.Devices = slices.DeleteFunc(slices.Clone(s.Source.Devices), func(d string) bool { return d == "" })
	s.Source.Hosts = slices.DeleteFunc(slices.Clone(s.Source.Hosts), func(d string) bool { return d == "" })
	if t, _ := PoolTypeOf(s.Type); s.Source.Format == "" && len(t.Formats) > 0 {
		s.Source.Format = t.Formats[0]
	}
	if s.Target != "" {
		s.Target = path.Clean(s.Target)
		return s
	}
	switch s.Type {
	case "fs", "netfs":
		s.Target = "/var/lib/libvirt/pools/" + s.Name
	case "logical":
		s.Target = "/dev/" + s.Source.Name
	case "disk":
		s.Target = "/dev"
	case "iscsi":
		s.Target = "/dev/disk/by-path"
	}
	return s
}

// Validate checks a spec apart from what only a host can tell. All wrong fields are named at once.
func (s PoolSpec) Validate() error {
	var p Problems
	if s.Name == "" {
		p.Add("name", "A name is needed.", "for example fast")
	} else if !poolNameRE.MatchString(s.Name) {
		p.Add("name", "“"+s.Name+"” cannot be a pool's name.", "1 to 64 letters, digits, dots, hyphens or underscores, starting and ending with a letter or digit")
	}
	if s.UUID != "" && !ValidUUID(s.UUID) {
		p.Add("uuid", "That is not a UUID.", "36 lower-case characters, or nothing to have one made")
	}
	t, known := PoolTypeOf(s.Type)
	if !known {
		var names []string
		for _, t := range PoolTypes {
			names = append(names, t.Type)
		}
		p.Add("type", "“"+s.Type+"” is not a kind of pool that can be made.", "one of "+strings.Join(names, ", "))
		return p.Err()
	}
	absolutePath(&p, "target", s.Target)
	if s.Target == "/" || strings.ContainsAny(s.Target, "'\"<>&") {
		p.Add("target", "“"+s.Target+"” cannot be a pool's place.", "a folder of its own, without quotes or angle brackets")
	}
	if len(t.Formats) > 0 && s.Source.Format != "" {
		oneOf(&p, "source.format", s.Source.Format, t.Formats...)
	}
	s.checkSource(&p)
	return p.Err()
}

func (s PoolSpec) checkSource(p *Problems) {
	src := s.Source
	switch s.Type {
	case "dir":
		if s.Target == "" {
			p.Add("target", "A directory pool needs its folder.", "a path on the host, for example /srv/vms")
		}
	case "fs":
		s.checkDevices(p, 1, 1)
		if s.Build && (src.Format == "" || src.Format == "auto") {
			p.Add("source.format", "To make a file system its kind must be said.", "ext4 or xfs")
		}
	case "disk":
		s.checkDevices(p, 1, 1)
	case "netfs":
		s.checkHosts(p, 1)
		switch {
		case src.Path == "":
			p.Add("source.path", "What the server exports is missing.", "/export/vms for NFS, the volume for GlusterFS, the share for CIFS")
		case src.Format == "nfs" || src.Format == "":
			absolutePath(p, "source.path", src.Path)
		}
		if src.Path != "" && (!shareRE.MatchString(src.Path) || strings.Contains(src.Path+"/", "/../")) {
			p.Add("source.path", "“"+src.Path+"” cannot be mounted.", "letters, digits, dots, hyphens and slashes")
		}
	case "logical":
		if !vgRE.MatchString(src.Name) || src.Name == "." || src.Name == ".." {
			p.Add("source.name", "A volume group's name is needed.", "letters, digits, dots, hyphens or underscores, for example vg0")
		}
		s.checkDevices(p, s.least(), 64)
	case "zfs":
		if !zfsRE.MatchString(src.Name) {
			p.Add("source.name", "The ZFS pool's name is needed.", "letters, digits, dots, hyphens or underscores, for example tank")
		}
		s.checkDevices(p, s.least(), 1)
	case "iscsi":
		s.checkHosts(p, 1)
		for field, iqn := range map[string]string{"source.iqn": src.IQN, "source.initiator": src.Initiator} {
			if iqn == "" && field == "source.initiator" {
				continue
			}
			if !iqnRE.MatchString(iqn) {
				p.Add(field, "“"+iqn+"” is not an iSCSI name.", "iqn.YYYY-MM.domain:name")
			}
		}
	case "rbd":
		s.checkHosts(p, 16)
		if !wordRE.MatchString(src.Name) {
			p.Add("source.name", "The Ceph pool's name is needed.", "for example vms")
		}
	}
	if src.SecretUUID != "" && !ValidUUID(src.SecretUUID) {
		p.Add("source.secret_uuid", "That is not a UUID.", "the UUID of a libvirt secret on the host")
	}
	if (src.Username == "") != (src.SecretUUID == "") {
		p.Add("source.secret_uuid", "A user and the secret with the key go together.", "both, or neither")
	}
	if len(src.Username) > 64 || strings.ContainsAny(src.Username, "\x00\n'\"<>") {
		p.Add("source.username", "That is not a user's name.", "for example libvirt")
	}
}

func (s PoolSpec) least() int {
	if s.Build {
		return 1
	}
	return 0
}

func (s PoolSpec) checkDevices(p *Problems, least, most int) {
	if n := len(s.Source.Devices); n < least || n > most {
		p.Add("source.devices", "The number of devices is wrong.", "from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
	}
	for _, d := range s.Source.Devices {
		if !strings.HasPrefix(d, "/dev/") || strings.ContainsAny(d, " \x00\n'\"<>&") || strings.Contains(d+"/", "/../") {
			p.Add("source.devices", "“"+d+"” is not a device.", "a path that starts with /dev/")
		}
	}
}

func (s PoolSpec) checkHosts(p *Problems, most int) {
	if n := len(s.Source.Hosts); n < 1 || n > most {
		want := "one server"
		if most > 1 {
			want = "one server or more"
		}
		p.Add("source.hosts", "The server is missing, or there are too many.", want)
	}
	for _, h := range s.Source.Hosts {
		name, port := SplitServer(h)
		n, err := strconv.Atoi(port)
		if net.ParseIP(name) == nil && !hostRE.MatchString(name) || port != "" && (err != nil || n < 1 || n > 65535) {
			p.Add("source.hosts", "“"+h+"” is not a server.", "a name or address, with :port when it is not the usual one")
		}
	}
}

// SplitServer parts "name", "name:port", "::1" and "[::1]:port".
func SplitServer(s string) (name, port string) {
	if host, port, err := net.SplitHostPort(s); err == nil {
		return host, port
	}
	return strings.Trim(s, "[]"), ""
}

// usualPorts are left out of identities.
var usualPorts = map[string]string{"rbd": "6789", "iscsi": "3260", "iscsi-direct": "3260", "gluster": "24007", "netfs": "0"}

// Identity is what this storage is known by from any host, empty when only one host has it (or its server is "this machine", which is another one
// on every host). It is the same however the pool is called and wherever it is mounted.
func (s PoolSpec) Identity() string {
	var servers []string
	for _, h := range s.Source.Hosts {
		name, port := SplitServer(h)
		name = strings.TrimSuffix(strings.ToLower(name), ".")
		if ip := net.ParseIP(name); name == "localhost" || strings.HasPrefix(name, "localhost.") || ip != nil && ip.IsLoopback() {
			return ""
		} else if ip != nil {
			name = ip.String()
		}
		if port != "" && port != usualPorts[s.Type] && port != "0" {
			name = net.JoinHostPort(name, port)
		}
		servers = append(servers, name)
	}
	if len(servers) == 0 {
		return ""
	}
	slices.Sort(servers)
	server, src := strings.Join(slices.Compact(servers), ","), s.Source
	exported := strings.TrimPrefix(path.Clean("/"+src.Path), "/")
	switch s.Type {
	case "netfs":
		kind := src.Format
		if kind == "" || kind == "auto" {
			kind = "nfs"
		}
		if kind == "cifs" {
			exported = strings.ToLower(exported)
		}
		return "netfs:" + kind + ":" + server + ":/" + exported
	case "gluster":
		return "gluster:" + server + ":/" + src.Name + path.Clean("/"+src.Path)
	case "rbd":
		return "rbd:" + server + "/" + src.Name
	case "iscsi", "iscsi-direct":
		return "iscsi:" + server + "/" + strings.ToLower(src.IQN)
	}
	return ""
}
