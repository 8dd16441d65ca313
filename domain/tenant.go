package domain

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Tenant is a team or project that owns VMs and must not see those of others. Its id is a slug that never changes; tenants nest two deep.
type Tenant struct {
	ID        string
	Name      string
	Parent    string // id of the tenant above; empty: at the top
	Notes     string
	Quota     Quota
	CreatedAt time.Time
	Version   int64
}

// Quota bounds what a tenant and the tenants below it have together; 0 means no limit.
type Quota struct {
	VMs          int   `json:"vms,omitempty" minimum:"0" doc:"0: no limit"`
	VCPUs        int   `json:"vcpus,omitempty" minimum:"0" doc:"0: no limit"`
	MemoryBytes  int64 `json:"memory_bytes,omitempty" minimum:"0" doc:"0: no limit"`
	StorageBytes int64 `json:"storage_bytes,omitempty" minimum:"0" doc:"Size of the volumes it owns or its VMs have as disks, and of its images with their copies on hosts; 0: no limit"`
	Snapshots    int   `json:"snapshots,omitempty" minimum:"0" doc:"0: no limit"`
	// PublicAddresses bounds the cards on public networks: each may have an address that the world can reach.
	PublicAddresses int `json:"public_addresses,omitempty" minimum:"0" doc:"Cards of its VMs on networks that are marked as public; 0: no limit"`
	// Pools bounds what volumes take in single pools.
	Pools map[string]int64 `json:"pools,omitempty" doc:"Limits in single pools, by the pool's id, besides storage_bytes; 0: no limit"`
}

// Open reports whether nothing is bounded.
func (q Quota) Open() bool {
	for _, n := range q.Pools {
		if n > 0 {
			return false
		}
	}
	return q.VMs == 0 && q.VCPUs == 0 && q.MemoryBytes == 0 && q.StorageBytes == 0 && q.Snapshots == 0 && q.PublicAddresses == 0
}

// Usage is what a tenant has, or what something would add to it.
type Usage struct {
	VMs          int   `json:"vms"`
	VCPUs        int   `json:"vcpus"`
	MemoryBytes  int64 `json:"memory_bytes"`
	StorageBytes int64 `json:"storage_bytes"`
	Snapshots    int   `json:"snapshots"`
	// PublicAddresses counts cards and not leases: a card may take its address at any moment, so it has it from the start.
	PublicAddresses int `json:"public_addresses" doc:"Cards of its VMs on networks that are marked as public, whether the guest has taken its address or not"`
	// Pools is what StorageBytes is by pools.
	Pools map[string]int64 `json:"pools,omitempty" doc:"What storage_bytes is by pools' ids"`
}

// Plus adds two usages.
func (u Usage) Plus(o Usage) Usage {
	pools := u.Pools
	if len(o.Pools) > 0 {
		pools = maps.Clone(u.Pools)
		for id, n := range o.Pools {
			if pools == nil {
				pools = map[string]int64{}
			}
			pools[id] += n
		}
	}
	return Usage{u.VMs + o.VMs, u.VCPUs + o.VCPUs, u.MemoryBytes + o.MemoryBytes, u.StorageBytes + o.StorageBytes, u.Snapshots + o.Snapshots, u.PublicAddresses + o.PublicAddresses, pools}
}

// Most takes the larger of two usages, part by part.
func (u Usage) Most(o Usage) Usage {
	out := Usage{VMs: max(u.VMs, o.VMs), VCPUs: max(u.VCPUs, o.VCPUs), MemoryBytes: max(u.MemoryBytes, o.MemoryBytes), StorageBytes: max(u.StorageBytes, o.StorageBytes),
		Snapshots: max(u.Snapshots, o.Snapshots), PublicAddresses: max(u.PublicAddresses, o.PublicAddresses), Pools: maps.Clone(u.Pools)}
	for id, n := range o.Pools {
		if out.Pools == nil {
			out.Pools = map[string]int64{}
		}
		out.Pools[id] = max(out.Pools[id], n)
	}
	return out
}

// Grows reports whether any part is more than nothing.
func (u Usage) Grows() bool {
	for _, n := range u.Pools {
		if n > 0 { // also of what only goes from one pool to another
			return true
		}
	}
	return u.VMs > 0 || u.VCPUs > 0 || u.MemoryBytes > 0 || u.StorageBytes > 0 || u.Snapshots > 0 || u.PublicAddresses > 0
}

// quotaNoun says what is counted where the numbers alone would not.
var quotaNoun = map[string]string{"public_addresses": " public addresses"}

// Admit reports whether a tenant that has used may take more; the error is Exhausted and says for each limit what is left.
func (q Quota) Admit(tenant string, used, more Usage) error {
	var reasons []Reason
	check := func(what string, limit, have, add int64, show func(int64) string) {
		if limit <= 0 || add <= 0 || have+add <= limit {
			return
		}
		reasons = append(reasons, Reason{Subject: what, Msg: fmt.Sprintf("%s of %s%s are in use and this needs %s more.", show(have), show(limit), quotaNoun[what], show(add))})
	}
	number := func(n int64) string { return fmt.Sprint(n) }
	check("vms", int64(q.VMs), int64(used.VMs), int64(more.VMs), number)
	check("vcpus", int64(q.VCPUs), int64(used.VCPUs), int64(more.VCPUs), number)
	check("memory_bytes", q.MemoryBytes, used.MemoryBytes, more.MemoryBytes, FormatBytes)
	check("storage_bytes", q.StorageBytes, used.StorageBytes, more.StorageBytes, FormatBytes)
	check("snapshots", int64(q.Snapshots), int64(used.Snapshots), int64(more.Snapshots), number)
	check("public_addresses", int64(q.PublicAddresses), int64(used.PublicAddresses), int64(more.PublicAddresses), number)
	for _, id := range slices.Sorted(maps.Keys(more.Pools)) {
		check("pools."+id, q.Pools[id], used.Pools[id], more.Pools[id], FormatBytes)
	}
	if len(reasons) == 0 {
		return nil
	}
	e := Errorf(Exhausted, "The quota of the tenant %s does not allow this: %s", tenant, reasons[0].Msg).
		WithFix("Delete or shrink what is not needed, or ask an administrator for a larger quota.")
	e.Reasons = reasons
	return e
}

var slugRE = lazily(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

// Slug reports whether s can be an id that people write: of a tenant or a role.
func Slug(s string) bool { return slugRE.MatchString(s) }

var notSlug = regexp.MustCompile(`[^a-z0-9._-]+`)

// Slugged makes an id of a name: "Team A" becomes team-a.
func Slugged(name string) string {
	return strings.Trim(notSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(name)), "-"), "-._")
}

// CheckTenant validates a tenant.
func CheckTenant(p *Problems, t Tenant) {
	if len(t.Name) == 0 || len(t.Name) > 64 || strings.ContainsFunc(t.Name, Unseen) || !Slug(t.ID) {
		p.Add("name", "That is not a name for a tenant.", "1 to 64 characters with letters or digits, such as team-a")
	}
	if len(t.Notes) > 20000 {
		p.Add("notes", "The notes are too long.", "at most 20000 characters")
	}
	if t.Quota.VMs < 0 || t.Quota.VCPUs < 0 || t.Quota.MemoryBytes < 0 || t.Quota.StorageBytes < 0 || t.Quota.Snapshots < 0 || t.Quota.PublicAddresses < 0 || slices.ContainsFunc(slices.Collect(maps.Values(t.Quota.Pools)), func(n int64) bool { return n < 0 }) {
		p.Add("quota", "A limit cannot be less than nothing.", "0 for no limit, or a number above")
	}
}

// Unseen reports whether a character has no look of its own: control characters, those that turn the direction of text around, and those of no width.
// With them one name passes for another, and a line of a log for two.
func Unseen(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp) || r == utf8.RuneError
}
