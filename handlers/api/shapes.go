package api

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"novacron/domain"
)

// VM is a guest as the API shows it. Lists and single answers have the same shape, but the definition that runs (live) is only in a single answer.
type VM struct {
	ID             string           `json:"id" example:"vm_01k…"`
	UUID           string           `json:"uuid" doc:"libvirt's identifier; unique on its host"`
	Name           string           `json:"name"`
	Title          string           `json:"title"`
	Description    string           `json:"description"`
	HostID         string           `json:"host_id"`
	Host           string           `json:"host" doc:"The host's name"`
	Folder         string           `json:"folder" doc:"Id of the folder that it is in; empty: in none"`
	Tenant         string           `json:"tenant" doc:"Id of the tenant that it belongs to; empty: the estate's own"`
	State          domain.VMState   `json:"state" enum:"running,stopped,paused,saved,crashed,away" doc:"away: its host does not answer; last_state is what was seen last"`
	LastState      domain.VMState   `json:"last_state"`
	Reason         string           `json:"reason" doc:"Why it is in this state, in words"`
	StateSince     *time.Time       `json:"state_since"`
	Autostart      bool             `json:"autostart"`
	Creating       bool             `json:"creating" doc:"Its create job has not ended"`
	VCPUs          int              `json:"vcpus"`
	MaxVCPUs       int              `json:"max_vcpus"`
	Topology       *domain.Topology `json:"topology,omitempty"`
	CPU            string           `json:"cpu"`
	MemoryBytes    int64            `json:"memory_bytes"`
	MaxMemoryBytes int64            `json:"max_memory_bytes"`
	Accel          domain.Accel     `json:"accel"`
	Arch           string           `json:"arch"`
	Machine        string           `json:"machine"`
	Firmware       string           `json:"firmware"`
	TPM            bool             `json:"tpm"`
	Boot           domain.Boot      `json:"boot"`
	Disks          []domain.Disk    `json:"disks"`
	NICs           []domain.NIC     `json:"nics"`
	Addresses      []domain.Address `json:"addresses" doc:"What is known of its addresses while it runs: from its agent, from DHCP, from the host's ARP table"`
	Graphics       string           `json:"graphics"`
	Serial         bool             `json:"serial"`
	domain.Hardware
	Pending   []domain.Change `json:"pending" doc:"What the next start will change"`
	Live      *domain.VMSpec  `json:"live,omitempty" doc:"What runs now, while it runs"`
	Tags      []string        `json:"tags"`
	Notes     string          `json:"notes"`
	Busy      *Busy           `json:"busy" doc:"The job that holds it; null when it is free"`
	CreatedAt *time.Time      `json:"created_at" doc:"When it was created or first seen"`
	SeenAt    *time.Time      `json:"seen_at" doc:"When its host confirmed it last"`
	Version   int64           `json:"version" doc:"Grows with every edit; also the ETag"`
}

// Busy names the job that holds a thing.
type Busy struct {
	JobID string `json:"job_id"`
	Title string `json:"title"`
}

func vmOf(v *domain.VM, single bool) VM {
	c := &v.Config
	out := VM{
		ID: v.ID, UUID: v.UUID, Name: v.Name, Title: c.Title, Description: c.Description, HostID: v.HostID, Host: v.HostName, Tenant: v.Tenant, Folder: v.Folder,
		State: v.State, LastState: v.LastState, Reason: v.Reason, StateSince: when(v.StateAt), Autostart: v.Autostart, Creating: v.Creating,
		VCPUs: c.VCPUs, MaxVCPUs: max(c.VCPUs, c.MaxVCPUs), Topology: c.Topology, CPU: c.CPU,
		MemoryBytes: c.MemoryBytes, MaxMemoryBytes: max(c.MemoryBytes, c.MaxMemoryBytes),
		Accel: c.Accel, Arch: c.Arch, Machine: c.Machine, Firmware: c.Firmware, TPM: c.TPM, Boot: c.Boot,
		Disks: list(c.Disks), NICs: list(c.NICs), Addresses: list(v.Addresses), Graphics: c.Graphics, Serial: c.Serial,
		Pending: list(v.Pending), Tags: list(v.Tags), Notes: v.Notes,
		CreatedAt: when(v.CreatedAt), SeenAt: when(v.SeenAt), Version: v.Version,
	}
	if v.BusyJob != "" {
		out.Busy = &Busy{v.BusyJob, v.BusyTitle}
	}
	if single {
		out.Live, out.Hardware = v.Live, c.Hardware
	}
	return out
}

// Host is a libvirt daemon as the API shows it.
type Host struct {
	ID          string            `json:"id" example:"host_01k…"`
	Name        string            `json:"name"`
	URI         string            `json:"uri"`
	State       domain.HostState  `json:"state" enum:"connecting,connected,away"`
	StateSince  *time.Time        `json:"state_since"`
	Reason      string            `json:"reason" doc:"Why it is away"`
	Fix         string            `json:"fix" doc:"What to do about it"`
	Maintenance bool              `json:"maintenance" doc:"No new VM is placed here"`
	Accel       domain.Accel      `json:"accel" enum:"auto,kvm,tcg" doc:"What auto means for new VMs here; kvm and tcg were set by hand"`
	Scrape      int               `json:"scrape_interval_seconds" doc:"How often it is measured, in seconds; 0: as all hosts are"`
	Labels      map[string]string `json:"labels"`
	Notes       string            `json:"notes"`
	Facts       domain.HostFacts  `json:"facts" doc:"What the host says of itself; lists leave machine types and CPU models out"`
	LastSeen    *time.Time        `json:"last_seen"`
	CreatedAt   *time.Time        `json:"created_at"`
	Version     int64             `json:"version" doc:"Grows with every edit; also the ETag"`
}

func hostOf(h *domain.Host, single bool) Host {
	out := Host{
		ID: h.ID, Name: h.Name, URI: h.URI, State: h.State, StateSince: when(h.StateSince), Reason: h.StateReason, Fix: h.StateFix,
		Maintenance: h.Maintenance, Accel: h.Accel, Scrape: int(h.Scrape / time.Second), Labels: h.Labels, Notes: h.Notes, Facts: h.Facts, LastSeen: when(h.LastSeen), CreatedAt: when(h.CreatedAt), Version: h.Version,
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	out.Facts.Machines, out.Facts.CPUModels = list(h.Facts.Machines), list(h.Facts.CPUModels)
	if !single {
		out.Facts.Machines, out.Facts.CPUModels = []string{}, []string{}
	}
	return out
}

// Job is one durable change as the API shows it.
type Job struct {
	ID           string               `json:"id" example:"job_01k…"`
	Kind         string               `json:"kind" example:"vm.start"`
	Title        string               `json:"title" example:"Start web-1"`
	State        domain.JobState      `json:"state" enum:"queued,running,succeeded,undone,stuck" doc:"undone: it failed or was cancelled, and what it had done was taken back; stuck: it needs a person, help says what to do"`
	Resource     domain.Ref           `json:"resource" doc:"What it is about"`
	Steps        []domain.JobStep     `json:"steps"`
	Progress     float64              `json:"progress" minimum:"0" maximum:"100" doc:"Percent"`
	ProgressText string               `json:"progress_text"`
	Migration    *domain.MoveProgress `json:"migration,omitempty" doc:"How a live migration under way goes"`
	Error        *domain.JobError     `json:"error" doc:"Why it did not succeed; null while it did not fail. A job for many things has succeeded when it did some of them: then this names those that it could not do, and progress is how much was done"`
	Help         string               `json:"help,omitempty" doc:"For a stuck job: what a person should do"`
	Choices      []domain.JobChoice   `json:"choices,omitempty" doc:"For a stuck job that a person has to decide: the ways out of it, for /jobs/{id}/choose"`
	Result       json.RawMessage      `json:"result,omitempty" doc:"What it made or found"`
	ParentID     string               `json:"parent_id,omitempty"`
	Actor        string               `json:"actor"`
	CancelAsked  bool                 `json:"cancel_asked"`
	CreatedAt    *time.Time           `json:"created_at"`
	StartedAt    *time.Time           `json:"started_at"`
	EndedAt      *time.Time           `json:"ended_at"`
	Attempts     int                  `json:"attempts" doc:"How often a runner took it up"`
}

// jobOf never shows a job's input or data: they may hold credentials.
func jobOf(j *domain.Job) Job {
	out := Job{
		ID: j.ID, Kind: j.Kind, Title: j.Title, State: j.State, Resource: j.Resource, Steps: list(j.Steps),
		Progress: min(max(j.Progress.Percent, 0), 100), ProgressText: j.Progress.Text, Migration: j.Progress.Move, Error: j.Error, Help: j.Help, ParentID: j.ParentID,
		Actor: j.Actor, CancelAsked: j.CancelAsk, CreatedAt: when(j.CreatedAt), StartedAt: when(j.StartedAt), EndedAt: when(j.EndedAt), Attempts: j.Attempts,
	}
	if len(j.Result) > 0 && string(j.Result) != "null" {
		out.Result = j.Result
	}
	if j.State == domain.JobSucceeded && j.Error == nil {
		out.Progress = 100
	}
	if e := j.Error; e != nil && len(e.Fields) > 0 {
		named := *e
		named.Fields = slices.Clone(e.Fields)
		for i, f := range named.Fields {
			named.Fields[i].Field = fieldName(f.Field)
		}
		out.Error = &named
	}
	return out
}

// fieldName is a field as the API calls it; only a host's credentials have another name inside.
func fieldName(s string) string {
	if rest, ok := strings.CutPrefix(s, "creds."); ok {
		return "credentials." + rest
	}
	return s
}

// when gives null for a time that never was.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// list gives [] instead of null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
