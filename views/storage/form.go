package storage

import (
	"net/url"
	"slices"
	"strings"

	"novacron/domain"
)

// PoolForm is the form of a pool as typed.
type PoolForm struct {
	Name, Type, Target                     string
	Hosts                                  []string
	Servers, Path, Devices, Source, Format string
	IQN, Initiator, Username, SecretUUID   string
	Autostart, Build                       bool
}

// DecodePool reads it back. A form that was not sent yet starts with its host.
func DecodePool(v url.Values) PoolForm {
	get := func(k string) string { return strings.TrimSpace(v.Get(k)) }
	f := PoolForm{
		Name: get("name"), Type: get("type"), Target: get("target"), Hosts: slices.Compact(slices.Sorted(slices.Values(v["hosts"]))),
		Servers: get("source.hosts"), Path: get("source.path"), Devices: get("source.devices"), Source: get("source.name"), Format: get("source.format"),
		IQN: get("source.iqn"), Initiator: get("source.initiator"), Username: get("source.username"), SecretUUID: get("source.secret_uuid"),
		Autostart: get("autostart") == "1", Build: get("build") == "1",
	}
	if f.Type == "" {
		f.Type, f.Autostart = "dir", true
	}
	return f
}

// Spec gives the pool that is asked for: only what its type has.
func (f PoolForm) Spec() domain.PoolSpec {
	s := domain.PoolSpec{Name: f.Name, Type: f.Type, Autostart: f.Autostart}
	for _, has := range fieldsOf[f.Type] {
		switch has {
		case "target":
			s.Target = f.Target
		case "source.hosts":
			s.Source.Hosts = words(f.Servers)
		case "source.path":
			s.Source.Path = f.Path
		case "source.devices":
			s.Source.Devices = words(f.Devices)
		case "source.name":
			s.Source.Name = f.Source
		case "source.format":
			s.Source.Format = f.Format
		case "source.iqn":
			s.Source.IQN = f.IQN
		case "source.initiator":
			s.Source.Initiator = f.Initiator
		case "source.username":
			s.Source.Username, s.Source.SecretUUID = f.Username, f.SecretUUID
		case "build":
			s.Build = f.Build
		}
	}
	return s
}

// fieldsOf says which fields a kind of pool has beside name, hosts and autostart.
var fieldsOf = map[string][]string{
	"dir":     {"target"},
	"netfs":   {"source.format", "source.hosts", "source.path", "target"},
	"logical": {"source.name", "source.devices", "build"},
	"fs":      {"source.devices", "source.format", "target", "build"},
	"iscsi":   {"source.hosts", "source.iqn", "source.initiator", "source.username"},
	"rbd":     {"source.hosts", "source.name", "source.username"},
	"disk":    {"source.devices", "source.format", "build"},
	"zfs":     {"source.name", "source.devices", "build"},
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
}

// VolumeForm is a volume as typed, in whichever form.
type VolumeForm struct {
	Pool, Name, Size, Format, From, Of string
	Full, Encrypted, Shrink, Keep      bool
	Bandwidth, Tenant                  string
}

// Where a new volume begins.
const (
	FromNothing = ""
	FromCopy    = "copy"
	FromLayer   = "layer"
)

// DecodeVolume reads it back.
func DecodeVolume(v url.Values) VolumeForm {
	get := func(k string) string { return strings.TrimSpace(v.Get(k)) }
	return VolumeForm{
		Pool: get("pool"), Name: get("name"), Size: get("size_bytes"), Format: get("format"), From: get("from"), Of: get("of"), Bandwidth: get("bandwidth"), Tenant: get("tenant"),
		Full: get("full") == "1", Encrypted: get("encrypted") == "1", Shrink: get("shrink") == "1", Keep: get("keep") == "1",
	}
}

// Bytes reads a size; an empty one is 0 when it may be.
func (f VolumeForm) Bytes(needed bool) (int64, error) { return bytesOf("size_bytes", f.Size, needed) }

// Rate reads the most bytes a second.
func (f VolumeForm) Rate() (int64, error) {
	return bytesOf("bandwidth", strings.TrimSuffix(f.Bandwidth, "/s"), false)
}

func bytesOf(field, typed string, needed bool) (int64, error) {
	if typed == "" && !needed {
		return 0, nil
	}
	n, err := domain.ParseBytes(typed)
	if err != nil || typed == "" {
		return 0, domain.InvalidField(field, "“"+typed+"” is not a size.", "a number and a unit, such as 512 MiB or 20 GiB")
	}
	return n, nil
}
