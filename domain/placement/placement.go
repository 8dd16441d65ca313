// Package placement decides on which host a new VM goes, and says for every host why or why not. It is pure: what it knows of the
// hosts is handed to it, so the same question gets the same answer.
//
// The rules: a host must be connected, not in maintenance, big enough (vCPUs, memory), and have what the VM names: pools, networks,
// bridges, firmware, TPM, machine type, accelerator, architecture. For "any", the memory of the VMs that run (or are being made) on a host plus the new VM must
// fit in the host's memory: NovaCron does not over-commit by itself. A person who names the host may over-commit it; then only a VM
// larger than the host's whole memory is refused. vCPUs may be over-committed either way, up to what the hypervisor allows one VM.
// No rule of affinity that is hard is broken, by whomever the host is named. Among the hosts that can, the one that breaks the fewest soft rules and then the one
// with the largest share of its memory left free wins; equal shares go by vCPUs, then by name.
//
// It is not for moving VMs that exist.
package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"novacron/domain"
)

// Candidate is one host with all that a decision needs.
type Candidate struct {
	Host       domain.Host
	Pools      []domain.Pool
	Networks   []domain.Network
	Devices    []domain.Device
	Closed     []string          // bridges of networks that are not for who asks
	Taken      map[string]string // devices that a VM has, with the VM's name
	UsedMemory int64             // memory of the VMs that run there or are being made
	UsedVCPUs  int               // their vCPUs
	VMs        int               // all VMs, running or not
	Against    []string          // hard rules of affinity that would be broken
	Rather     []string          // soft ones
	Reserved   string            // why whose the VM is may not use the host; empty: they may
}

// Verdict is what was decided for one host, and why.
type Verdict struct {
	HostID   string   `json:"host_id"`
	HostName string   `json:"host_name"`
	OK       bool     `json:"ok"`
	Score    float64  `json:"score"`   // share of its memory that would be left, 0 to 1; 0 when not OK
	Reasons  []string `json:"reasons"` // why not, or why it scored so
}

// Decision is the chosen host and the verdict on every candidate, best first.
type Decision struct {
	HostID   string    `json:"host_id"`
	Verdicts []Verdict `json:"verdicts"`
}

// Any asks for whichever host is best; anything else is the id of the one host wanted.
const Any = "any"

// Place decides. wanted is Any or a host's id. When no host can take the VM, the error is Exhausted with one reason per host for Any; for a
// named host it is NotFound, Unavailable (away), Conflict (maintenance), Unsupported (what it lacks) or Exhausted (too small).
func Place(spec domain.VMSpec, wanted string, candidates []Candidate) (Decision, error) {
	if wanted == "" {
		wanted = Any
	}
	if wanted != Any {
		i := slices.IndexFunc(candidates, func(c Candidate) bool { return c.Host.ID == wanted })
		if i < 0 {
			return Decision{}, &domain.Error{Code: domain.Invalid, Msg: "There is no such host.", Fix: "Choose a host from the list, or “any”.",
				Fields: []domain.FieldError{{Field: "host", Msg: "There is no such host.", Want: "a host's id, or any"}}}
		}
		return placeOn(spec, candidates[i])
	}
	if len(candidates) == 0 {
		return Decision{}, domain.Errorf(domain.Exhausted, "There is no host yet, so the VM cannot be placed.").WithFix("Add a host first.")
	}
	d := Decision{Verdicts: make([]Verdict, 0, len(candidates))}
	byID := make(map[string]Candidate, len(candidates))
	for _, c := range candidates {
		byID[c.Host.ID] = c
		d.Verdicts = append(d.Verdicts, judge(spec, c))
	}
	slices.SortStableFunc(d.Verdicts, func(a, b Verdict) int {
		if a.OK != b.OK {
			if a.OK {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(len(byID[a.HostID].Rather), len(byID[b.HostID].Rather)), cmp.Compare(b.Score, a.Score), cmp.Compare(freeVCPUs(byID[b.HostID]), freeVCPUs(byID[a.HostID])),
			cmp.Compare(a.HostName, b.HostName), cmp.Compare(a.HostID, b.HostID))
	})
	if best := d.Verdicts[0]; best.OK {
		d.HostID = best.HostID
		return d, nil
	}
	e := domain.Errorf(domain.Exhausted, "No host can take a VM of %d vCPUs and %s.", spec.VCPUs, domain.FormatBytes(spec.MemoryBytes))
	if len(candidates) == 1 {
		e.Msg = fmt.Sprintf("The only host, %s, cannot take a VM of %d vCPUs and %s.", candidates[0].Host.Name, spec.VCPUs, domain.FormatBytes(spec.MemoryBytes))
	}
	e.Fix = "Ask for less, free a host, or name the host yourself to use more memory than is free."
	for _, v := range d.Verdicts {
		e.Reasons = append(e.Reasons, domain.Reason{Subject: v.HostName, Msg: strings.Join(v.Reasons, " ")})
	}
	if most := largest(candidates); spec.MemoryBytes > most {
		e.Fields = []domain.FieldError{{Field: "memory_bytes", Msg: fmt.Sprintf("%s is more memory than any host has.", domain.FormatBytes(spec.MemoryBytes)), Want: "at most " + domain.FormatBytes(most)}}
		e.Fix = "Ask for at most " + domain.FormatBytes(most) + "."
	}
	return d, e
}

func largest(cs []Candidate) int64 {
	var most int64
	for _, c := range cs {
		most = max(most, c.Host.Facts.MemoryBytes)
	}
	return most
}

func freeVCPUs(c Candidate) int { return c.Host.Facts.CPUs - c.UsedVCPUs }

func judge(spec domain.VMSpec, c Candidate) Verdict {
	v := Verdict{HostID: c.Host.ID, HostName: c.Host.Name}
	for _, r := range refusals(spec, c) {
		v.Reasons = append(v.Reasons, r.msg)
	}
	if len(v.Reasons) > 0 {
		return v
	}
	total := c.Host.Facts.MemoryBytes
	free := total - c.UsedMemory
	if spec.MemoryBytes > free {
		v.Reasons = []string{fmt.Sprintf("It has %s of memory of which running VMs use %s; %s is free, %s is wanted.",
			domain.FormatBytes(total), domain.FormatBytes(c.UsedMemory), domain.FormatBytes(max(free, 0)), domain.FormatBytes(spec.MemoryBytes))}
		return v
	}
	v.OK = true
	left := free - spec.MemoryBytes
	v.Score = float64(left) / float64(total)
	v.Reasons = []string{fmt.Sprintf("It would have %s of %s of memory left, with %d of %d CPUs given to VMs.",
		domain.FormatBytes(left), domain.FormatBytes(total), c.UsedVCPUs+spec.VCPUs, c.Host.Facts.CPUs)}
	v.Reasons = append(v.Reasons, c.Rather...)
	return v
}

func placeOn(spec domain.VMSpec, c Candidate) (Decision, error) {
	v := Verdict{HostID: c.Host.ID, HostName: c.Host.Name}
	rs := refusals(spec, c)
	if len(rs) == 0 {
		v.OK = true
		total, after := c.Host.Facts.MemoryBytes, c.UsedMemory+spec.MemoryBytes
		if after > total {
			v.Reasons = []string{fmt.Sprintf("It was named. With this VM, running VMs may use %s of its %s of memory.", domain.FormatBytes(after), domain.FormatBytes(total))}
		} else {
			v.Score = float64(total-after) / float64(total)
			v.Reasons = []string{fmt.Sprintf("It was named, and would have %s of %s of memory left.", domain.FormatBytes(total-after), domain.FormatBytes(total))}
		}
		return Decision{HostID: c.Host.ID, Verdicts: []Verdict{v}}, nil
	}
	for _, r := range rs {
		v.Reasons = append(v.Reasons, r.msg)
	}
	e := domain.Errorf(rs[0].code, "The host %s cannot take this VM. %s", c.Host.Name, strings.Join(v.Reasons, " "))
	e.Fix = rs[0].fix
	for _, r := range rs {
		e.Reasons = append(e.Reasons, domain.Reason{Subject: c.Host.Name, Msg: r.msg})
		if r.field != "" {
			e.Fields = append(e.Fields, domain.FieldError{Field: r.field, Msg: r.msg, Want: r.fix})
		}
	}
	return Decision{Verdicts: []Verdict{v}}, e
}
