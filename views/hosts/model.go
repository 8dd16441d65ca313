// Package hosts shows hosts: the list, one host with its tabs, the form that tries and adds one, and its dialogs.
//
// It is not for fetching anything: handlers fill the models.
package hosts

import (
	"novacron/domain"
	"novacron/views/charts"
	"novacron/views/vms"
)

// List is the host list.
type List struct {
	Items  []Row
	Filter string
	Sort   string
	Desc   bool
}

// Row is one host with what runs on it.
type Row struct {
	Host    domain.Host
	VMs     int
	Running int
	VCPUs   int   // allocated to running VMs
	Memory  int64 // allocated to running VMs
}

// Page is one host's page. Every tab has the head; the tab's own part is filled only for that tab.
type Page struct {
	Row      Row
	Tab      string // summary, vms, storage, networks, devices, events
	Job      *domain.Job
	List     vms.List // tab vms
	Pools    []domain.Pool
	Volumes  []domain.Volume
	Networks []domain.Network
	Devices  []DeviceRow // tab devices
	Monitor  charts.Set  // tab monitor
	Events   []domain.Event
	Jobs     []domain.Job // a few on summary
}

// Add is the page that tries and adds a host.
type Add struct {
	Form  Form
	Trial *Trial        // after "Try connection"
	Err   *domain.Error // what was refused, with Fields
	Key   string
}

// Trial is what trying the connection found. Facts.Step tells the way; Err is set when it failed.
type Trial struct {
	URI   string
	Facts domain.HostFacts
	Err   *domain.JobError
}

// Edit is the dialog for name, notes and labels.
type Edit struct {
	Host domain.Host
	Form Form // Name, Notes, Labels as typed
	Err  *domain.Error
}

// Remove is the dialog before a host is forgotten.
type Remove struct {
	Row Row
	Err *domain.Error
	Key string
}
