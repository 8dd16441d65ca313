package diskfile

import (
	"archive/tar"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path"
	"strings"

	"novacron/domain"
)

const (
	ovaMostEntries = 64
	ovaMostOVF     = 4 << 20
)

// entry is one file of an OVA, which is a plain tar archive.
type entry struct {
	name         string
	offset, size int64
}

// envelope is what is read of an OVF document.
type envelope struct {
	XMLName xml.Name `xml:"Envelope"`
	Files   []struct {
		ID          string `xml:"id,attr"`
		Href        string `xml:"href,attr"`
		Compression string `xml:"compression,attr"`
		ChunkSize   string `xml:"chunkSize,attr"`
	} `xml:"References>File"`
	Disks []struct {
		FileRef   string `xml:"fileRef,attr"`
		ParentRef string `xml:"parentRef,attr"`
	} `xml:"DiskSection>Disk"`
	Systems []struct {
		Items []struct {
			Type     int    `xml:"ResourceType"`
			Quantity int64  `xml:"VirtualQuantity"`
			Units    string `xml:"AllocationUnits"`
		} `xml:"VirtualHardwareSection>Item"`
	} `xml:"VirtualSystem"`
}

// ova reads the archive's list and its OVF document, and inspects the one disk inside.
func ova(f file) (Info, error) {
	entries, err := ovaEntries(f)
	if err != nil {
		return Info{}, err
	}
	doc, err := ovaDocument(f, entries)
	if err != nil {
		return Info{}, err
	}
	if len(doc.Disks) != 1 {
		return Info{}, refuse("The appliance has %d disks; an image is one disk.", len(doc.Disks)).WithFix("Unpack the OVA (it is a tar archive) and import its disks one by one.")
	}
	if doc.Disks[0].ParentRef != "" {
		return Info{}, refuseOther("a parent disk", "")
	}
	href := ""
	for _, r := range doc.Files {
		if r.ID != doc.Disks[0].FileRef {
			continue
		}
		if href = r.Href; r.Compression != "" && r.Compression != "identity" || r.ChunkSize != "" {
			return Info{}, refuse("The appliance's disk is compressed or in pieces.").WithFix("Export the appliance again without that.")
		}
	}
	if href == "" || href != path.Base(href) || strings.Contains(href, `\`) {
		return Info{}, refuseOther("its disk by a path", href)
	}
	for _, e := range entries {
		if e.name != href {
			continue
		}
		part := io.NewSectionReader(f.ReaderAt, e.offset, e.size)
		kind, err := Detect(part, e.size)
		if err != nil {
			return Info{}, err
		}
		if kind == domain.FormatOVA || kind == domain.FormatISO {
			return Info{}, refuse("The appliance's disk is %s.", words[kind])
		}
		info, err := Inspect(part, e.size, kind)
		if err != nil {
			return Info{}, err
		}
		info.Inner = &Inner{Name: clean(e.name), Format: kind, Offset: e.offset, Bytes: e.size}
		info.Hints = doc.hints()
		return info, nil
	}
	return Info{}, refuse("The appliance names the disk “%.80s”, which is not in it.", clean(href))
}

func ovaEntries(f file) ([]entry, error) {
	in := io.NewSectionReader(f.ReaderAt, 0, f.size)
	tr := tar.NewReader(in)
	var out []entry
	seen := map[string]bool{}
	for range ovaMostEntries {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, refuse("The appliance's archive cannot be read: it was cut off, or it is no OVA.").WithCause(err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		name := strings.TrimPrefix(h.Name, "./")
		for k := range h.PAXRecords {
			if strings.HasPrefix(k, "GNU.sparse") {
				return nil, refuse("The appliance's archive has sparse files, which cannot be read in place.")
			}
		}
		switch {
		case h.Typeflag != tar.TypeReg:
			return nil, refuse("The appliance's archive has something that is not a plain file: “%.80s”.", clean(h.Name))
		case name != path.Base(name) || name == "." || name == ".." || seen[name]:
			return nil, refuse("The appliance's archive has a file with the name “%.80s”.", clean(h.Name))
		}
		at, err := in.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, domain.Errorf(domain.Internal, "The image file cannot be read: %w", err)
		}
		if h.Size < 0 || at > f.size || h.Size > f.size-at {
			return nil, refuse("The appliance's file “%.80s” goes on beyond the end: it was cut off.", clean(name))
		}
		seen[name] = true
		out = append(out, entry{name, at, h.Size})
	}
	return nil, refuse("The appliance's archive has more than %d files.", ovaMostEntries)
}

func ovaDocument(f file, entries []entry) (envelope, error) {
	var doc envelope
	for _, e := range entries {
		if !strings.EqualFold(path.Ext(e.name), ".ovf") {
			continue
		}
		if e.size > ovaMostOVF {
			return doc, refuse("The appliance's OVF document is %s long.", domain.FormatBytes(e.size))
		}
		b, err := f.get(e.offset, int(e.size), "OVF document")
		if err != nil {
			return doc, err
		}
		dec := xml.NewDecoder(bytes.NewReader(b)) // knows no external entities, and no entity that grows
		if err := dec.Decode(&doc); err != nil {
			return doc, refuse("The appliance's OVF document cannot be read.").WithCause(err)
		}
		return doc, nil
	}
	return doc, refuse("The archive has no OVF document, so it is no OVA.")
}

// hints reads the number of CPUs and the memory.
func (d envelope) hints() domain.ImageHints {
	var h domain.ImageHints
	for _, s := range d.Systems {
		for _, it := range s.Items {
			switch {
			case it.Type == 3 && it.Quantity > 0 && it.Quantity <= 4096:
				h.VCPUs = int(it.Quantity)
			case it.Type == 4 && it.Quantity > 0 && it.Quantity < 1<<40:
				h.MemoryBytes = memory(it.Quantity, it.Units)
			}
		}
	}
	return h
}

// memory reads the units that exporters write: "byte * 2^20", "MegaBytes", "MB". What is not known is left out.
func memory(n int64, units string) int64 {
	u := strings.ToLower(strings.ReplaceAll(units, " ", ""))
	scale := int64(0)
	switch u {
	case "byte*2^20", "megabytes", "mb", "":
		scale = domain.MiB
	case "byte*2^30", "gigabytes", "gb":
		scale = domain.GiB
	case "byte*2^10", "kilobytes", "kb":
		scale = domain.KiB
	case "byte", "bytes":
		scale = 1
	}
	if scale == 0 || n > 64*domain.TiB/scale {
		return 0
	}
	return n * scale
}
