package domxml

import (
	"strconv"
	"strings"

	"novacron/domain"
)

// tuneFields are the children of iotune and the limits they are.
func tuneFields(t *domain.DiskTune) []struct {
	name string
	n    *int64
} {
	return []struct {
		name string
		n    *int64
	}{
		{"total_bytes_sec", &t.TotalBytesPerSec}, {"read_bytes_sec", &t.ReadBytesPerSec}, {"write_bytes_sec", &t.WriteBytesPerSec},
		{"total_iops_sec", &t.TotalIOPS}, {"read_iops_sec", &t.ReadIOPS}, {"write_iops_sec", &t.WriteIOPS},
	}
}

// tuneXML is the iotune element, "" when nothing is limited.
func tuneXML(t domain.DiskTune) string {
	if t == (domain.DiskTune{}) {
		return ""
	}
	var b strings.Builder
	b.WriteString("<iotune>\n")
	for _, f := range tuneFields(&t) {
		if *f.n > 0 {
			b.WriteString("  " + element(f.name, strconv.FormatInt(*f.n, 10)) + "\n")
		}
	}
	b.WriteString("</iotune>")
	return b.String()
}

func ioThread(d domain.Disk) string {
	if d.IOThread == 0 {
		return ""
	}
	return strconv.Itoa(d.IOThread)
}

// ioThreads is how many threads the disks need: their numbers count from 1.
func ioThreads(disks []domain.Disk) int {
	n := 0
	for _, d := range disks {
		n = max(n, d.IOThread)
	}
	return n
}

// sourceXML is a disk's source; that of an encrypted volume names the secret that opens it.
func sourceXML(d domain.Disk, attrs ...string) string {
	if d.Secret == "" {
		return element("source", "", attrs...)
	}
	return "<source" + joinAttrs(attrs) + ">\n    " + strings.ReplaceAll(encryptionXML(d.Secret), "\n", "\n    ") + "\n  </source>"
}

func encryptionXML(secret string) string {
	return "<encryption format='luks'>\n  " + element("secret", "", "type", "passphrase", "uuid", secret) + "\n</encryption>"
}

// writeDiskOptions writes the children that stand behind readonly, in libvirt's order.
func writeDiskOptions(b *strings.Builder, d domain.Disk) {
	if d.Shareable {
		b.WriteString("  <shareable/>\n")
	}
	if t := tuneXML(d.Tune); t != "" {
		b.WriteString("  " + strings.ReplaceAll(t, "\n", "\n  ") + "\n")
	}
	if d.Serial != "" {
		b.WriteString("  " + element("serial", d.Serial) + "\n")
	}
}

func parseDiskOptions(n *node, d *domain.Disk) {
	drv := n.kid("driver")
	d.Discard, d.IOThread = drv.attr("discard"), number(drv.attr("iothread"))
	d.Serial, d.Shareable = n.kid("serial").value(), n.kid("shareable").exists()
	for _, f := range tuneFields(&d.Tune) {
		*f.n = int64(number64(n.at("iotune", f.name).value())) // #nosec G115 -- number64 reads no more than 63 bits
	}
	secret := n.at("source", "encryption", "secret")
	if !secret.exists() {
		secret = n.at("encryption", "secret")
	}
	d.Secret = strings.ToLower(secret.attr("uuid"))
}

func number64(s string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 63)
	if err != nil {
		return 0
	}
	return n
}

// TuneParams gives every limit under libvirt's name; 0 takes it away.
func TuneParams(t domain.DiskTune) map[string]int64 {
	out := map[string]int64{}
	for _, f := range tuneFields(&t) {
		out[f.name] = *f.n
	}
	return out
}
