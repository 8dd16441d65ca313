package images

import (
	"archive/tar"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"novacron/domain"
)

// Export opens a version's content in a format. What it is kept as is the library's own file; anything else is made for the caller alone, in a file without a
// name that goes when it is closed.
func (l *Library) Export(ctx context.Context, v domain.ImageVersion, format string) (*os.File, error) {
	if v.State == domain.ImageImporting {
		return nil, v.Usable()
	}
	if format == "" || format == v.Format || format == domain.FormatRaw && v.Format == domain.FormatISO {
		return l.OpenFile(v)
	}
	if !slices.Contains(domain.ImageFormatsOut, format) {
		return nil, domain.InvalidField("format", "“"+format+"” is not a format that can be downloaded.", "qcow2, raw, vmdk or ova")
	}
	if v.Format == domain.FormatISO {
		return nil, domain.InvalidField("format", v.Ref()+" is an ISO image, which is no disk.", "no format, to have it as it is")
	}
	if ok, why := l.CanConvert(); !ok {
		return nil, domain.Errorf(domain.Unsupported, "%s", why)
	}
	if err := l.room(v.FileBytes); err != nil {
		return nil, err
	}
	select {
	case l.convert <- struct{}{}:
		defer func() { <-l.convert }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	dir, err := os.MkdirTemp(filepath.Join(l.dir, "incoming"), "export-")
	if err != nil {
		return nil, fileError(err, "make")
	}
	defer os.RemoveAll(dir) // an open file lives on without its name
	disk, to := filepath.Join(dir, "disk"), format
	if format == domain.FormatOVA {
		to = domain.FormatVMDK
	}
	if err := l.tool.convert(ctx, l.path(v.SHA256, v.Format), v.Format, nil, v.VirtualBytes, disk, to, nil); err != nil {
		return nil, err
	}
	if format == domain.FormatOVA {
		if disk, err = packOVA(dir, disk, v); err != nil {
			return nil, fileError(err, "write")
		}
	}
	f, err := os.Open(disk) // #nosec G304 -- a fixed name in a directory that was just made
	return f, fileError(err, "read")
}

// packOVA makes an appliance of a streamOptimized VMDK.
func packOVA(dir, disk string, v domain.ImageVersion) (string, error) {
	in, err := os.Open(disk) // #nosec G304 -- a fixed name in a directory that was just made
	if err != nil {
		return "", err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "ova")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // #nosec G304 -- a fixed name in a directory that was just made
	if err != nil {
		return "", err
	}
	defer out.Close()
	tw := tar.NewWriter(out)
	doc := ovf(v, info.Size())
	for _, part := range []struct {
		name string
		size int64
		r    io.Reader
	}{{v.ImageName + ".ovf", int64(len(doc)), nil}, {v.ImageName + "-disk1.vmdk", info.Size(), in}} {
		if err := tw.WriteHeader(&tar.Header{Name: part.name, Mode: 0o644, Size: part.size, Format: tar.FormatUSTAR, ModTime: v.CreatedAt}); err != nil {
			return "", err
		}
		if part.r == nil {
			_, err = io.WriteString(tw, doc)
		} else {
			_, err = io.Copy(tw, part.r)
		}
		if err != nil {
			return "", err
		}
	}
	if err := tw.Close(); err != nil {
		return "", err
	}
	return path, out.Close()
}

// ovf describes a machine for the disk: what the image came with, or something small.
func ovf(v domain.ImageVersion, size int64) string {
	name := xmlText(v.ImageName)
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References><File ovf:id="file1" ovf:href="%[1]s-disk1.vmdk" ovf:size="%[2]d"/></References>
  <DiskSection><Info>Virtual disks</Info><Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:capacity="%[3]d" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
  <VirtualSystem ovf:id="%[1]s">
    <Info>%[1]s %[4]s</Info>
    <Name>%[1]s</Name>
    <OperatingSystemSection ovf:id="100"><Info>Guest</Info></OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Hardware</Info>
      <System><vssd:ElementName>Virtual Hardware Family</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemIdentifier>%[1]s</vssd:VirtualSystemIdentifier><vssd:VirtualSystemType>vmx-11</vssd:VirtualSystemType></System>
      <Item><rasd:ElementName>%[5]d virtual CPUs</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>%[5]d</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ElementName>%[6]d MB of memory</rasd:ElementName><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>%[6]d</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:ElementName>SATA controller</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>AHCI</rasd:ResourceSubType><rasd:ResourceType>20</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Hard disk 1</rasd:ElementName><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
`, name, size, v.VirtualBytes, xmlText(v.Label), max(v.Hints.VCPUs, 1), max(v.Hints.MemoryBytes, domain.GiB)/domain.MiB)
}

func xmlText(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return "" // a Builder never fails
	}
	return b.String()
}
