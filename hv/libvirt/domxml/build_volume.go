package domxml

import (
	"cmp"
	"strconv"

	"novacron/domain"
	"novacron/hv"
)

// VolumeXML is a new volume of a pool of that kind. qcow2 is always version 3: the default of older daemons, version 2, cannot hold dirty bitmaps, so
// no incremental backup could be made of it. A logical volume takes its space at once: LVM's sparse ones are snapshots that break when they fill.
func VolumeXML(v hv.VolumeSpec, kind string) string {
	format := cmp.Or(v.Format, "qcow2")
	var w writer
	w.open("volume")
	w.text("name", v.Name)
	if v.SizeBytes > 0 || v.Backing == "" {
		w.text("capacity", strconv.FormatInt(v.SizeBytes, 10), "unit", "bytes")
	}
	allocation := int64(0)
	if v.Full || kind == "logical" {
		allocation = v.SizeBytes
	}
	w.text("allocation", strconv.FormatInt(allocation, 10), "unit", "bytes")
	w.target(format, kind, v.SecretUUID)
	if v.Backing != "" {
		w.open("backingStore")
		w.text("path", v.Backing)
		w.empty("format", "type", cmp.Or(v.BackingFormat, "raw"))
		w.close("backingStore")
	}
	w.close("volume")
	return w.b.String()
}

func (w *writer) target(format, kind, secret string) {
	w.open("target")
	if domain.FilePool(kind) || kind == "rbd" {
		w.empty("format", "type", format)
	}
	if format == "qcow2" {
		w.text("compat", "1.1")
	}
	if secret != "" {
		w.open("encryption", "format", "luks")
		w.empty("secret", "type", "passphrase", "uuid", secret)
		w.close("encryption")
	}
	w.close("target")
}

// VolumeCopyXML is a full copy of from under the name to in a pool of that kind, for creating a volume from another one.
func VolumeCopyXML(to string, from domain.Volume, kind string) string {
	var w writer
	w.open("volume")
	w.text("name", to)
	w.text("capacity", strconv.FormatInt(from.CapacityBytes, 10), "unit", "bytes")
	if kind == "logical" {
		w.text("allocation", strconv.FormatInt(from.CapacityBytes, 10), "unit", "bytes")
	}
	w.target(cmp.Or(from.Format, "raw"), kind, "")
	w.close("volume")
	return w.b.String()
}
