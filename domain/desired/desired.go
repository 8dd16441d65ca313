// Package desired knows what an estate is asked to be in files: it reads them, strictly, compares three sides (what was applied before, what is, what
// is wanted) and says what would have to be done, in which order and why. It writes an estate as such a file, too.
//
// It is not for reading what is, nor for doing what the plan says: that is jobs/fleet. Nothing here has effects.
package desired

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"novacron/domain"
)

// Kind is a kind of object that files can ask for.
type Kind string

const (
	KindTenant   Kind = "tenant"
	KindPool     Kind = "pool"
	KindNetwork  Kind = "network"
	KindTemplate Kind = "template"
	KindVM       Kind = "vm"
	KindPolicy   Kind = "policy"
	KindAffinity Kind = "affinity"
)

// Kinds lists them so that each comes after what it may need; what is deleted goes the other way round.
var Kinds = []Kind{KindTenant, KindPool, KindNetwork, KindTemplate, KindVM, KindPolicy, KindAffinity}

// Rank is the place of a kind in that order.
func (k Kind) Rank() int { return slices.Index(Kinds, k) }

// section is what the list of a kind is called in a file.
var section = map[Kind]string{KindTenant: "tenants", KindPool: "pools", KindNetwork: "networks", KindTemplate: "templates", KindVM: "vms", KindPolicy: "policies",
	KindAffinity: "affinity_rules"}

// document is what a file may say.
type document struct {
	Owner     string     `json:"owner"`
	Tenants   []Tenant   `json:"tenants"`
	Pools     []Pool     `json:"pools"`
	Networks  []Network  `json:"networks"`
	Templates []Template `json:"templates"`
	VMs       []VM       `json:"vms"`
	Policies  []Policy   `json:"policies"`
	Rules     []Affinity `json:"affinity_rules"`
}

// Tenant asks for a tenant.
type Tenant struct {
	Name   string       `json:"name"`
	Parent string       `json:"parent,omitempty"`
	Notes  string       `json:"notes,omitempty"`
	Quota  domain.Quota `json:"quota,omitzero"`
}

// Pool asks for a storage pool on a host.
type Pool struct {
	Name      string            `json:"name"`
	Host      string            `json:"host,omitempty"`
	Hosts     []string          `json:"hosts,omitempty"`
	Type      string            `json:"type,omitempty"`
	Target    string            `json:"target,omitempty"`
	Source    domain.PoolSource `json:"source,omitzero"`
	Autostart *bool             `json:"autostart,omitempty"`
}

// Network asks for a network on a host.
type Network struct {
	Name        string             `json:"name"`
	Host        string             `json:"host,omitempty"`
	Hosts       []string           `json:"hosts,omitempty"`
	Tenant      string             `json:"tenant,omitempty"`
	Mode        string             `json:"mode,omitempty"`
	Bridge      string             `json:"bridge,omitempty"`
	Device      string             `json:"device,omitempty"`
	MacvtapMode string             `json:"macvtap_mode,omitempty"`
	IPv4        *domain.Subnet     `json:"ipv4,omitempty"`
	IPv6        *domain.Subnet     `json:"ipv6,omitempty"`
	Domain      string             `json:"domain,omitempty"`
	DNS         *domain.NetworkDNS `json:"dns,omitempty"`
	MTU         int                `json:"mtu,omitempty"`
	VLAN        *domain.VLAN       `json:"vlan,omitempty"`
	PortGroups  []domain.PortGroup `json:"port_groups,omitempty"`
	Inbound     *domain.Bandwidth  `json:"bandwidth_in,omitempty"`
	Outbound    *domain.Bandwidth  `json:"bandwidth_out,omitempty"`
}

// Spec is the network as a host knows it.
func (n Network) Spec() domain.NetworkSpec {
	return domain.NetworkSpec{Name: n.Name, Mode: n.Mode, Bridge: n.Bridge, Device: n.Device, MacvtapMode: n.MacvtapMode, IPv4: n.IPv4, IPv6: n.IPv6, Domain: n.Domain, DNS: n.DNS,
		MTU: n.MTU, VLAN: n.VLAN, PortGroups: n.PortGroups, Inbound: n.Inbound, Outbound: n.Outbound}
}

// NetworkOf is a network that is there.
func NetworkOf(s domain.NetworkSpec, host, tenant string) Network {
	return Network{Name: s.Name, Host: host, Tenant: tenant, Mode: s.Mode, Bridge: s.Bridge, Device: s.Device, MacvtapMode: s.MacvtapMode, IPv4: s.IPv4, IPv6: s.IPv6, Domain: s.Domain, DNS: s.DNS,
		MTU: s.MTU, VLAN: s.VLAN, PortGroups: s.PortGroups, Inbound: s.Inbound, Outbound: s.Outbound}
}

// Template asks for a template; a change of its newest version becomes a new one.
type Template struct {
	Name        string             `json:"name"`
	Description string             `json:"description,omitempty"`
	Tenant      string             `json:"tenant,omitempty"`
	Spec        domain.VMSpec      `json:"spec"`
	Parameters  []domain.Parameter `json:"parameters,omitempty"`
}

// VM asks for a VM. Fields that are left out are not looked at, but for those that its template says.
type VM struct {
	Name           string           `json:"name"`
	Template       string           `json:"template,omitempty"` // name@version, or a name: the newest when it is made, and afterwards the one it is at
	Parameters     map[string]Value `json:"parameters,omitempty"`
	Host           string           `json:"host,omitempty"` // a name; empty or any: wherever it is
	Tenant         string           `json:"tenant,omitempty"`
	Title          string           `json:"title,omitempty"`
	Description    string           `json:"description,omitempty"`
	VCPUs          int              `json:"vcpus,omitempty"`
	MaxVCPUs       int              `json:"max_vcpus,omitempty"`
	Topology       *domain.Topology `json:"topology,omitempty"`
	CPU            string           `json:"cpu,omitempty"`
	MemoryBytes    int64            `json:"memory_bytes,omitempty"`
	MaxMemoryBytes int64            `json:"max_memory_bytes,omitempty"`
	Accel          domain.Accel     `json:"accel,omitempty"`
	Machine        string           `json:"machine,omitempty"`
	Firmware       string           `json:"firmware,omitempty"`
	TPM            bool             `json:"tpm,omitempty"`
	Boot           *domain.Boot     `json:"boot,omitempty"`
	Disks          []domain.Disk    `json:"disks,omitempty"`
	NICs           []domain.NIC     `json:"nics,omitempty"`
	Graphics       string           `json:"graphics,omitempty"`
	Autostart      *bool            `json:"autostart,omitempty"`
	Tags           []string         `json:"tags,omitempty"`
	Notes          string           `json:"notes,omitempty"`
	Start          bool             `json:"start,omitempty"` // when it is made
}

// Spec is the VM to make.
func (v VM) Spec() domain.VMSpec {
	s := domain.VMSpec{Name: v.Name, Title: v.Title, Description: v.Description, VCPUs: v.VCPUs, MaxVCPUs: v.MaxVCPUs, Topology: v.Topology, CPU: v.CPU, MemoryBytes: v.MemoryBytes,
		MaxMemoryBytes: v.MaxMemoryBytes, Accel: v.Accel, Machine: v.Machine, Firmware: v.Firmware, TPM: v.TPM, Disks: v.Disks, NICs: v.NICs, Graphics: v.Graphics}
	if v.Boot != nil {
		s.Boot = *v.Boot
	}
	return s
}

// VMOf is a VM that is there.
func VMOf(v domain.VM) VM {
	c := v.Config
	out := VM{Name: v.Name, Host: v.HostName, Tenant: v.Tenant, Title: c.Title, Description: c.Description, VCPUs: c.VCPUs, Topology: c.Topology, CPU: c.CPU, MemoryBytes: c.MemoryBytes,
		Machine: c.Machine, Firmware: c.Firmware, TPM: c.TPM, Disks: c.Disks, NICs: slices.Clone(c.NICs), Graphics: c.Graphics, Autostart: &v.Autostart, Tags: v.Tags, Notes: v.Notes}
	if c.MaxVCPUs > c.VCPUs {
		out.MaxVCPUs = c.MaxVCPUs
	}
	if c.MaxMemoryBytes > c.MemoryBytes {
		out.MaxMemoryBytes = c.MaxMemoryBytes
	}
	if b := c.Boot; b.Kernel != "" || b.Initrd != "" || b.Cmdline != "" || len(b.Order) > 0 {
		out.Boot = &b
	}
	for i := range out.NICs { // what a host makes of it while it runs
		out.NICs[i].Target, out.NICs[i].Filter = "", ""
	}
	return out
}

// Policy asks for a policy of migrations: of the estate, or of one host, tenant or VM.
type Policy struct {
	Scope domain.PolicyScope `json:"scope"`
	Name  string             `json:"name,omitempty"` // of the host, tenant or VM
	domain.MigrationPolicy
}

// Object is one object that a file asks for.
type Object struct {
	Kind Kind
	Key  string          // what it is known by: a name, or name@host
	Spec json.RawMessage // as it was written, and no more
	At   string          // estate.yaml:12
}

// Set is what files ask for together.
type Set struct {
	Owner   string
	Tenant  string // in whose name; empty: the estate's
	Objects []Object
}

// owns reports whether what was applied is this owner's: two tenants may have owners of one name.
func (s Set) owns(r Record) bool { return r.Owner == s.Owner && r.Tenant == s.Tenant }

// TenantKinds are the kinds that can be applied in the name of a tenant. The others are what tenants stand on.
var TenantKinds = []Kind{KindTemplate, KindVM, KindAffinity}

// For gives the set in the name of a tenant: what does not say whose it is, is that tenant's.
func (s Set) For(tenant string) (Set, error) {
	s.Tenant, s.Objects = tenant, slices.Clone(s.Objects)
	for i, o := range s.Objects {
		if !slices.Contains(TenantKinds, o.Kind) {
			continue
		}
		doc, err := tree(o.Spec)
		if err != nil {
			return s, err
		}
		if word(doc, "tenant") != "" {
			continue
		}
		doc["tenant"] = tenant
		v := typed(o.Kind)
		if o.Spec, err = json.Marshal(doc); err == nil {
			err = json.Unmarshal(o.Spec, v)
		}
		if err != nil {
			return s, domain.Errorf(domain.Internal, "What is wanted cannot be written: %w", err)
		}
		o.Key = key(o.Kind, v)
		s.Objects[i] = o
	}
	return s, nil
}

// TenantOf is whose an object is, by how it is written.
func TenantOf(spec json.RawMessage) string {
	doc, err := tree(spec)
	if err != nil {
		return ""
	}
	if t := word(doc, "tenant"); t != "" {
		return domain.Slugged(t)
	}
	return ""
}

// key of an object in its written form.
func key(k Kind, v any) string {
	switch x := v.(type) {
	case *Tenant:
		return domain.Slugged(x.Name)
	case *Pool:
		return x.Name + "@" + x.Host
	case *Network:
		return x.Name + "@" + x.Host
	case *Template:
		return x.Name
	case *VM:
		return x.Name
	case *Affinity:
		return AffinityKey(*x)
	case *Policy:
		if x.Scope == domain.PolicyEstate {
			return string(domain.PolicyEstate)
		}
		if x.Scope == domain.PolicyTenant { // by id or by name
			return string(x.Scope) + "/" + domain.Slugged(x.Name)
		}
		return string(x.Scope) + "/" + x.Name
	}
	return string(k)
}

// typed gives a new value of the type of a kind.
func typed(k Kind) any {
	switch k {
	case KindTenant:
		return new(Tenant)
	case KindPool:
		return new(Pool)
	case KindNetwork:
		return new(Network)
	case KindTemplate:
		return new(Template)
	case KindVM:
		return new(VM)
	case KindAffinity:
		return new(Affinity)
	}
	return new(Policy)
}

// Decode reads a spec into its type.
func Decode[T any](raw json.RawMessage) (T, error) {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, domain.Errorf(domain.Internal, "What is wanted cannot be read: %w", err)
	}
	return v, nil
}

// Encode writes a spec, without what is empty.
func Encode(v any) (json.RawMessage, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "What is there cannot be written: %w", err)
	}
	doc, err := tree(raw)
	if err != nil {
		return nil, err
	}
	pruneEmpty(doc)
	if raw, err = json.Marshal(doc); err != nil {
		return nil, domain.Errorf(domain.Internal, "What is there cannot be written: %w", err)
	}
	return raw, nil
}

// pruneEmpty takes out what says nothing: nulls, empty texts, lists and objects, but neither false nor zero, which somebody may mean.
func pruneEmpty(m map[string]any) {
	for k, v := range m {
		if sub, ok := v.(map[string]any); ok {
			pruneEmpty(sub)
		}
		if list, ok := v.([]any); ok {
			for _, x := range list {
				if sub, ok := x.(map[string]any); ok {
					pruneEmpty(sub)
				}
			}
		}
		switch x := v.(type) {
		case nil:
			delete(m, k)
		case string:
			if x == "" {
				delete(m, k)
			}
		case []any:
			if len(x) == 0 {
				delete(m, k)
			}
		case map[string]any:
			if len(x) == 0 {
				delete(m, k)
			}
		}
	}
}

func tree(raw json.RawMessage) (map[string]any, error) {
	m := map[string]any{}
	if len(raw) == 0 {
		return m, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		return nil, domain.Errorf(domain.Internal, "What was kept cannot be read: %w", err)
	}
	return m, nil
}

// empty reports whether a value says nothing: what is left out and what is zero are the same to a host.
func empty(v any) bool {
	switch x := v.(type) {
	case nil:
		return true
	case bool:
		return !x
	case string:
		return x == ""
	case json.Number:
		return x == "0"
	case []any:
		return len(x) == 0
	case map[string]any:
		for _, sub := range x {
			if !empty(sub) {
				return false
			}
		}
		return true
	}
	return false
}

// same compares two values of a field.
func same(a, b any) bool { return empty(a) && empty(b) || reflect.DeepEqual(strip(a), strip(b)) }

// strip takes what says nothing out of objects, so that a zero that is written equals one that is not.
func strip(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, sub := range x {
			if !empty(sub) {
				out[k] = strip(sub)
			}
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, sub := range x {
			out[i] = strip(sub)
		}
		return out
	}
	return v
}

// show writes a value for people.
func show(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

// OwnerName checks the name of an owner.
func OwnerName(s string) error {
	if domain.Slug(s) {
		return nil
	}
	if strings.TrimSpace(s) == "" {
		return domain.InvalidField("owner", "The files do not say whose they are.", "owner: and a name, such as team-a")
	}
	return domain.InvalidField("owner", "“"+s+"” cannot be the name of an owner.", "lower-case letters, digits, dots, hyphens and underscores, at most 64")
}
