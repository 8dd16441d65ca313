package vms

import (
	"net/url"

	"novacron/domain"
)

// CreateForm is the create form as typed; names of fields are those of domain.VMSpec's JSON in dotted form.
type CreateForm struct {
	Name, Host                                 string
	VCPUs, Sockets, Cores, Threads             string
	Memory, CPU, Accel, Machine, Firmware, TPM string
	Source                                     string // demo, iso, image, kernel, empty
	Demo                                       string // index into Choices.Guests
	ISO, Image                                 string // path of a volume
	Kernel, Initrd, Cmdline                    string
	Order                                      []string
	Disks                                      []DiskForm
	NICs                                       []NICForm
	Start                                      bool
	Tags, Notes                                string
	Key                                        string
}

// DiskForm is one disk as typed.
type DiskForm struct{ Kind, Pool, Size, Format, Bus, Path, Cache string }

// NICForm is one card as typed. On is "network:default" or "bridge:br0".
type NICForm struct{ On, Bridge, Model, MAC string }

// NewCreateForm has the defaults that make the common case one name and one click.
func NewCreateForm(c Choices, host string) CreateForm { return CreateForm{} }

// DecodeCreate reads the form back.
func DecodeCreate(v url.Values) CreateForm { return CreateForm{} }

// Request gives what was asked for. Wrong fields are all named at once.
func (f CreateForm) Request(c Choices) (spec domain.VMSpec, tags []string, err error) {
	return spec, tags, nil
}

// ChangeForm is one section of the hardware tab as typed.
type ChangeForm struct {
	Section string // cpu, memory, boot, firmware, disk-add, disk-remove, media, nic-add, nic-remove, options
	Version int64
	Values  map[string]string
	Err     *domain.Error
}

// DecodeChange reads one section back.
func DecodeChange(v url.Values) ChangeForm { return ChangeForm{} }

// Change gives what was asked for.
func (f ChangeForm) Change() (domain.VMChange, error) { return domain.VMChange{}, nil }
