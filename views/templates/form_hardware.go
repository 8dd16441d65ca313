package templates

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
	"novacron/views/ui"
	"novacron/views/vms"
)

// DiskForm is a disk as typed. From is its place in the version that the form stands on; empty for a new one.
type DiskForm struct{ From, Image, Linked, Size, Pool, Bus string }

// CardForm is a network card as typed. On is a network, or a bridge with @ before it; empty: no card.
type CardForm struct{ From, On, Model string }

// maxDevices bounds what is read; spareDevices are empty rows for more.
const (
	maxDevices   = 64
	spareDevices = 1
)

func diskField(i int, name string) string { return fmt.Sprintf("spec.disks.%d.%s", i, name) }
func cardField(i int, name string) string { return fmt.Sprintf("spec.nics.%d.%s", i, name) }

// fixed reports whether a disk is not for the form: a drive, or a volume that is there already.
func fixed(d domain.Disk) bool {
	return d.Device != "" && d.Device != "disk" || d.Source != "" || d.Volume != "" && d.Image == ""
}

func onOf(n domain.NIC) string {
	if n.Network == "" && n.Bridge != "" {
		return "@" + n.Bridge
	}
	return n.Network
}

// fillDevices writes the disks and cards of a spec as one would type them.
func (f *Form) fillDevices(s domain.VMSpec) {
	for i, d := range s.Disks {
		if fixed(d) {
			continue
		}
		r := DiskForm{From: strconv.Itoa(i), Image: d.Image, Pool: d.Pool, Bus: d.Bus}
		if d.Linked {
			r.Linked = "1"
		}
		if d.SizeBytes > 0 {
			r.Size = domain.FormatBytes(d.SizeBytes)
		}
		f.Disks = append(f.Disks, r)
	}
	for i, n := range s.NICs {
		f.Cards = append(f.Cards, CardForm{From: strconv.Itoa(i), On: onOf(n), Model: n.Model})
	}
}

// decodeDevices reads them back. A row that is empty and new is none.
func (f *Form) decodeDevices(v url.Values) {
	for i := 0; i < maxDevices && v.Has(diskField(i, "size_bytes")); i++ {
		get := func(k string) string { return strings.TrimSpace(v.Get(diskField(i, k))) }
		if r := (DiskForm{get("from"), get("image"), get("linked"), get("size_bytes"), get("pool"), get("bus")}); r.From != "" || r.Image+r.Size != "" {
			f.Disks = append(f.Disks, r)
		}
	}
	for i := 0; i < maxDevices && v.Has(cardField(i, "network")); i++ {
		get := func(k string) string { return strings.TrimSpace(v.Get(cardField(i, k))) }
		if r := (CardForm{get("from"), get("network"), get("model")}); r.From != "" || r.On != "" {
			f.Cards = append(f.Cards, r)
		}
	}
}

// diskRows and cardRows have room for more.
func (f Form) diskRows() []DiskForm {
	return append(slices.Clone(f.Disks), make([]DiskForm, spareDevices)...)
}

func (f Form) cardRows() []CardForm {
	return append(slices.Clone(f.Cards), make([]CardForm, spareDevices)...)
}

// devices puts the typed disks and cards over the base's. What has no row stays; a row that was emptied takes its device away. What is wrong is said of
// the place that the device has in the result, which Form.Place brings back to its row.
func (f *Form) devices(base domain.VMSpec, s *domain.VMSpec, bytes func(field, text string) int64) {
	s.Disks, s.NICs, f.diskAt, f.cardAt = nil, nil, nil, nil
	disk := func(row int, r DiskForm, d domain.Disk) {
		if r.Image == "" && r.Size == "" {
			return
		}
		d.Image, d.Linked, d.Pool, d.Bus, d.SizeBytes = r.Image, r.Linked == "1" && r.Image != "", r.Pool, r.Bus, 0
		if r.Size != "" {
			d.SizeBytes = bytes(diskField(len(s.Disks), "size_bytes"), r.Size)
		}
		s.Disks, f.diskAt = append(s.Disks, d), append(f.diskAt, row)
	}
	for i, d := range base.Disks {
		row := slices.IndexFunc(f.Disks, func(r DiskForm) bool { return r.From == strconv.Itoa(i) })
		if row < 0 || fixed(d) {
			s.Disks, f.diskAt = append(s.Disks, d), append(f.diskAt, -1)
			continue
		}
		disk(row, f.Disks[row], d)
	}
	for i, r := range f.Disks {
		if !there(r.From, len(base.Disks)) {
			disk(i, r, domain.Disk{})
		}
	}
	card := func(row int, r CardForm, n domain.NIC) {
		if r.On == "" {
			return
		}
		n.Model = r.Model
		if r.On != onOf(n) {
			n.Network, n.Bridge = r.On, ""
			if bridge, ok := strings.CutPrefix(r.On, "@"); ok {
				n.Network, n.Bridge = "", bridge
			}
		}
		s.NICs, f.cardAt = append(s.NICs, n), append(f.cardAt, row)
	}
	for i, n := range base.NICs {
		row := slices.IndexFunc(f.Cards, func(r CardForm) bool { return r.From == strconv.Itoa(i) })
		if row < 0 {
			s.NICs, f.cardAt = append(s.NICs, n), append(f.cardAt, -1)
			continue
		}
		card(row, f.Cards[row], n)
	}
	for i, r := range f.Cards {
		if !there(r.From, len(base.NICs)) {
			card(i, r, domain.NIC{})
		}
	}
}

// there reports whether from names one of n devices.
func there(from string, n int) bool {
	i, err := strconv.Atoi(from)
	return err == nil && i >= 0 && i < n
}

// Place brings what is wrong with a disk or a card of the spec that Spec gave to the row where it was typed.
func (f Form) Place(e *domain.Error) *domain.Error {
	if e == nil {
		return nil
	}
	out := *e
	out.Fields = slices.Clone(e.Fields)
	for i, fe := range out.Fields {
		for list, at := range map[string][]int{"spec.disks.": f.diskAt, "spec.nics.": f.cardAt} {
			rest, ok := strings.CutPrefix(fe.Field, list)
			no, name, _ := strings.Cut(rest, ".")
			n, err := strconv.Atoi(no)
			if !ok || err != nil || n < 0 || n >= len(at) || at[n] < 0 {
				continue
			}
			out.Fields[i].Field = list + strconv.Itoa(at[n]) + "." + name
		}
	}
	return &out
}

// cardOptions are what a card may be plugged into; a bridge is offered where the card has it already.
func cardOptions(networks []string, on string) []ui.Option {
	if bridge, ok := strings.CutPrefix(on, "@"); ok {
		return append(names(networks, "", "no card"), ui.Option{Value: on, Label: "bridge " + bridge})
	}
	return names(networks, on, "no card")
}

func diskLabel(i int, d DiskForm) string {
	if d.From == "" {
		return "Another disk begins as"
	}
	return fmt.Sprintf("Disk %d begins as", i+1)
}

func cardLabel(i int, n CardForm) string {
	if n.From == "" {
		return "Another card on"
	}
	return fmt.Sprintf("Card %d on", i+1)
}

func sizeHint(d DiskForm) string {
	if d.From == "" {
		return "none: no disk"
	}
	return "the image's"
}

// linkedOr ticks the box of a new row: whoever chooses an image there mostly wants it so.
func linkedOr(d DiskForm) string {
	if d.From == "" && d.Image == "" {
		return "1"
	}
	return d.Linked
}

// imageOptions are what a disk may begin as.
func imageOptions(library []domain.Image, has string) []ui.Option {
	out := vms.LibraryOptions(library, has)
	out[0].Label = "empty"
	return out
}
