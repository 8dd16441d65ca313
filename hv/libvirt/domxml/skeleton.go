package domxml

import (
	"time"

	"novacron/domain"
	"novacron/hv"
)

var errSoon = domain.Errorf(domain.Unsupported, "This part is being written.")

// Parse reads a domain document into a spec.
func Parse(doc string) (domain.VMSpec, error) { return domain.VMSpec{}, errSoon }

// Build makes the document of a new guest. The spec's name, UUID, MACs and disk sources are settled; targets and defaults are chosen here, and
// the notes say which and why.
func Build(spec domain.VMSpec, env Env) (doc string, notes []string, err error) {
	return "", nil, errSoon
}

// Edit splices a change into an existing document (taken with VIR_DOMAIN_XML_SECURE, or passwords are lost) and keeps every other byte.
// Autostart is not in the document and is ignored.
func Edit(doc string, c domain.VMChange, env Env) (out string, notes []string, err error) {
	return "", nil, errSoon
}

// Settle fills in what a person left open of new disks (device, bus, format, target), so that the live attach and the definition agree.
// have are the disks that the guest has already.
func Settle(have, add []domain.Disk) []domain.Disk { return add }

// DiskXML is the element of a settled disk, NICXML that of a card, for attaching to a running guest.
func DiskXML(d domain.Disk) string { return "" }
func NICXML(n domain.NIC) string   { return "" }

// FindDisk, FindNIC and FindGraphics give the exact bytes of one element, or NotFound.
func FindDisk(doc, target string) (string, error) { return "", errSoon }
func FindNIC(doc, mac string) (string, error)     { return "", errSoon }
func FindGraphics(doc string) (string, error)     { return "", errSoon }

// SetGraphicsPassword sets the password of a graphics element and until when it is valid.
func SetGraphicsPassword(elem, password string, validTo time.Time) (string, error) {
	return "", errSoon
}

// SetDiskSource puts another file into a disk element (a CD-ROM's medium), or takes it out when source is "".
func SetDiskSource(elem, source string) (string, error) { return "", errSoon }

// SetUUIDName replaces the UUID and the name; empty ones stay.
func SetUUIDName(doc, uuid, name string) (string, error) { return "", errSoon }

// CloneXML makes the definition of a copy.
func CloneXML(doc string, c hv.Clone) (string, error) { return "", errSoon }

// Caps is what `virsh capabilities` says; DomainCaps what `virsh domcapabilities` says for one virttype.
type Caps struct {
	HostUUID, Arch, CPUModel, CPUVendor string
	CPUFeatures                         []string
	NUMANodes                           int
	Guests                              []GuestCaps
}

// GuestCaps is what one guest architecture offers.
type GuestCaps struct {
	Arch, Emulator string
	Domains        []string // qemu, kvm
	Machines       []Machine
}

// Machine is a machine type.
type Machine struct {
	Name, Canonical string
	MaxCPUs         int
	Deprecated      bool
}

// DomainCaps is one domcapabilities document.
type DomainCaps struct {
	Domain, Machine, Arch, Emulator string
	MaxVCPUs                        int
	Firmwares                       []string // bios, efi
	Loaders                         []string
	SecureLoader                    bool
	CPUModes                        []string
	HostModel                       string
	HostFeatures                    map[string]string // feature -> policy
	TPMModels, TPMBackends          []string
	TPMVersions                     []string
}

func ParseCapabilities(doc string) (Caps, error)             { return Caps{}, errSoon }
func ParseDomainCapabilities(doc string) (DomainCaps, error) { return DomainCaps{}, errSoon }

// KVM judges whether hardware virtualisation is really there.
func KVM(c Caps, kvm DomainCaps) domain.Capability { return domain.Capability{} }

// FillFacts puts into f everything that capabilities tell: architecture, CPU, NUMA, KVM, UEFI, secure boot, TPM, machines, emulator, most vCPUs.
// dc is the domcapabilities of the accelerator that auto would choose (kvm when KVM(c, …).OK, else qemu), kvm those for virttype kvm.
func FillFacts(f *domain.HostFacts, c Caps, dc, kvm DomainCaps) {}

func ParsePool(doc string) (domain.Pool, error)         { return domain.Pool{}, errSoon }
func ParseVolume(doc string) (domain.Volume, error)     { return domain.Volume{}, errSoon } // Pool is not in the document
func ParseNetwork(doc string) (domain.Network, error)   { return domain.Network{}, errSoon }
func ParseNodeDevice(doc string) (domain.Device, error) { return domain.Device{}, errSoon } // Kind "" is not worth showing

// VolumeXML is a new volume (qcow2 always version 3), VolumeCopyXML a full copy of from under the name to, PoolXML a directory pool.
func VolumeXML(v hv.VolumeSpec) string                   { return "" }
func VolumeCopyXML(to string, from domain.Volume) string { return "" }
func PoolXML(name, path string) string                   { return "" }
