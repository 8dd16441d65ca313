package fleet

import (
	"time"

	"novacron/domain"
)

// AnyHost as CreateVM.Host lets placement choose.
const AnyHost = "any"

// CreateVM asks for a new VM.
type CreateVM struct {
	Spec  domain.VMSpec
	Host  string // AnyHost (or empty), or a host's id
	Start bool
	Tags  []string
	Notes string
	// Tenant is whose it is: an id or a name; empty: of the one tenant in which who asks may make VMs, else the estate's.
	Tenant string
	// Folder is where in the tenant it is: an id or a path; empty: in none.
	Folder string
	// CloudInit or Windows, one of the two, is what the first boot reads; nil: nothing.
	CloudInit *domain.CloudInit
	Windows   *domain.Unattend
	ExecRules domain.ExecRules // commands that may be run inside the guest; none: all
	// Template is where the VM comes from, if from one.
	Template *domain.VMTemplate
	Key      string // once-token of the form or Idempotency-Key; a second request with it gets the first one's job
}

// ActOptions go with an action on a VM.
type ActOptions struct {
	ForceAfter time.Duration // shutdown: power off when the guest has not shut down by then; 0: never
	Disks      bool          // delete: the disks as well
	Key        string
}

// CloneVM asks for a copy of a stopped VM.
type CloneVM struct {
	Name   string
	Linked bool // an overlay on the original's frozen disks, in seconds; else a full copy
	Key    string
	Folder *string // of the copy, by id or by path in its tenant; empty: in none; nil: the original's
}

// DeleteVM asks for a VM to be removed.
type DeleteVM struct {
	Disks bool // also the files DeletePlan says go
	Key   string
}

// DescribeVM changes what only NovaCron knows of a VM; nil stays.
type DescribeVM struct {
	Tags  *[]string
	Notes *string
}

// DeletePlan says what deleting a VM would do.
type DeletePlan struct {
	VMID     string
	Name     string
	HostName string
	PowerOff bool       // it runs and would be powered off first
	Saved    bool       // its saved memory would be lost
	Files    []PlanFile // every disk, whether it would go or stay
	Bytes    int64      // what the files that go take up on the host now
}

// PlanFile is one disk of a VM that is to be deleted.
type PlanFile struct {
	Target          string // vda
	Device          string // disk, cdrom …
	Path            string
	Pool            string // empty: in no pool that the host lists
	Volume          string
	CapacityBytes   int64
	AllocationBytes int64
	Goes            bool   // deleted when the disks are asked to go
	Always          bool   // and also when they are not: it was made for this VM and holds what nobody else should read
	Base            string // the id of the base disk that it is: frozen for linked clones, and nothing else is built on it
	Why             string // why it goes or stays, in words
}

// AddHost asks for a host to be tried or added.
type AddHost struct {
	Name   string
	URI    string
	Creds  domain.HostCredentials
	Labels map[string]string
	Key    string
}

// HostEdit changes what only NovaCron knows of a host; nil stays.
type HostEdit struct {
	Name        *string
	Notes       *string
	Labels      *map[string]string
	Maintenance *bool
	Accel       *domain.Accel  // what auto means on this host
	Scrape      *time.Duration // between two measurements; 0: as all hosts are
}
