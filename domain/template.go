package domain

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Types of a template's parameters.
const (
	ParamText   = "text"
	ParamNumber = "number"
	ParamSize   = "size" // bytes; people write 20 GiB
	ParamChoice = "choice"
	ParamSwitch = "switch" // true or false
)

// ParamTypes lists them for menus.
var ParamTypes = []string{ParamText, ParamNumber, ParamSize, ParamChoice, ParamSwitch}

// Parameter is one value that whoever makes a VM of a template may choose. Texts of the template name it as ${name}; a parameter whose name is one
// of vcpus, memory_bytes, disk_bytes, network or host sets that part of the VM.
type Parameter struct {
	Name     string   `json:"name"`
	Label    string   `json:"label,omitempty"`
	Type     string   `json:"type"`
	Default  string   `json:"default,omitempty"`
	Required bool     `json:"required,omitempty"`
	Choices  []string `json:"choices,omitempty"`
	Help     string   `json:"help,omitempty"`
}

// Parameters with a meaning of their own.
const (
	ParamVCPUs   = "vcpus"
	ParamMemory  = "memory_bytes"
	ParamDisk    = "disk_bytes" // of the first disk
	ParamNetwork = "network"    // of the first card
	ParamHost    = "host"
)

// Template is a named way to make VMs; what it says is in its versions.
type Template struct {
	ID          string
	Tenant      string // empty: the estate's, for everybody
	Name        string
	Description string
	CreatedAt   time.Time
	Version     int64             // of the row, for edits
	Versions    []TemplateVersion // newest first
	VMs         int               // how many VMs came of it
}

// TemplateVersion is one immutable state of a template.
type TemplateVersion struct {
	ID         string
	TemplateID string
	Name       string // of the template
	Number     int    // 1, 2 …
	Deprecated bool
	Spec       VMSpec // the name is empty; disks may name images
	Params     []Parameter
	CloudInit  *CloudInit // what the first boot of its VMs reads; texts may name parameters. Nil: nothing
	ExecRules  ExecRules  // commands that may be run inside its VMs; none: all
	Changelog  string
	CreatedBy  string
	CreatedAt  time.Time
}

// Ref is how a person names the version.
func (v TemplateVersion) Ref() string { return fmt.Sprintf("%s@%d", v.Name, v.Number) }

// VMTemplate is what a VM remembers of the template it came of.
type VMTemplate struct {
	VMID       string
	TemplateID string
	Name       string
	Number     int
	Values     map[string]string
	Pinned     bool // roll-outs leave it out
}

var paramRE = lazily(`^[a-z][a-z0-9_]{0,31}$`)

// Validate checks a version before it is written.
func (v TemplateVersion) Validate() error {
	var p Problems
	CheckWords(&p, "changelog", v.Changelog)
	if len(v.Params) > 64 {
		p.Add("parameters", "That is more than 64 parameters.", "at most 64")
	}
	seen := map[string]bool{"name": true}
	for i, par := range v.Params {
		at := fmt.Sprintf("parameters.%d.", i)
		if !paramRE.MatchString(par.Name) {
			p.Add(at+"name", "“"+par.Name+"” cannot be a parameter's name.", "lower-case letters, digits and underscores, starting with a letter")
		} else if seen[par.Name] {
			p.Add(at+"name", "“"+par.Name+"” stands twice or is taken.", "another name; “name” is the VM's")
		}
		seen[par.Name] = true
		oneOf(&p, at+"type", par.Type, ParamTypes...)
		if par.Type == ParamChoice && len(par.Choices) == 0 {
			p.Add(at+"choices", "A choice needs something to choose from.", "at least one value")
		}
		if want := builtIn[par.Name]; want != "" && par.Type != want && par.Type != ParamChoice {
			p.Add(at+"type", fmt.Sprintf("“%s” sets a part of the VM, so it is a %s.", par.Name, want), want+" or choice")
		}
		if len(par.Label) > 100 || len(par.Help) > 1000 {
			p.Add(at+"help", "The label or the help is too long.", "a label of at most 100 and a help of at most 1000 characters")
		}
		if par.Default != "" {
			if _, msg, want := par.read(par.Default); msg != "" {
				p.Add(at+"default", msg, want)
			}
		}
	}
	for _, name := range placeholders(v.Spec) {
		if !seen[name] {
			p.Add("spec", "The text ${"+name+"} names no parameter.", "a parameter of that name, or $${"+name+"} to keep the text as it is")
		}
	}
	v.ExecRules.Validate(&p, "guest_exec_allow")
	probe, err := v.resolve("x", v.examples())
	if err == nil {
		err = probe.Validate()
	}
	if e, ok := err.(*Error); ok && e != nil {
		for _, f := range e.Fields {
			p.Add("spec."+f.Field, f.Msg, f.Want)
		}
		if len(e.Fields) == 0 {
			p.Add("spec", e.Msg, e.Fix)
		}
	}
	return p.Err()
}

// builtIn gives the type of the parameters that set a part of the VM.
var builtIn = map[string]string{ParamVCPUs: ParamNumber, ParamMemory: ParamSize, ParamDisk: ParamSize, ParamNetwork: ParamText, ParamHost: ParamText}

// examples are values that let a version be checked before anybody chose: defaults, and something of the right type where there is none.
func (v TemplateVersion) examples() map[string]string {
	out := map[string]string{}
	for _, par := range v.Params {
		switch {
		case par.Default != "":
			out[par.Name] = par.Default
		case par.Type == ParamChoice && len(par.Choices) > 0:
			out[par.Name] = par.Choices[0]
		case par.Name == ParamMemory || par.Name == ParamDisk:
			out[par.Name] = strconv.FormatInt(maxDisk/1024, 10)
		case par.Type == ParamNumber || par.Type == ParamSize:
			out[par.Name] = "1"
		case par.Type == ParamSwitch:
			out[par.Name] = "false"
		default:
			out[par.Name] = "x"
		}
	}
	return out
}

// read checks a value and gives it in its plain form; msg is empty when it is right.
func (p Parameter) read(text string) (value, msg, want string) {
	text = strings.TrimSpace(text)
	switch p.Type {
	case ParamNumber:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", "“" + text + "” is not a number.", "a whole number"
		}
		return strconv.FormatInt(n, 10), "", ""
	case ParamSize:
		n, err := ParseBytes(text)
		if err != nil {
			return "", "“" + text + "” is not a size.", "a number and a unit, such as 20 GiB"
		}
		return strconv.FormatInt(n, 10), "", ""
	case ParamSwitch:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return "", "“" + text + "” is neither yes nor no.", "true or false"
		}
		return strconv.FormatBool(b), "", ""
	case ParamChoice:
		if !slices.Contains(p.Choices, text) {
			return "", "“" + text + "” is not a choice.", "one of " + strings.Join(p.Choices, ", ")
		}
	}
	if len(text) > 4096 || strings.ContainsAny(text, "\x00") {
		return "", "The value is too long.", "at most 4096 characters"
	}
	return text, "", ""
}

// Values settles what was chosen: defaults where nothing was, everything checked. Field errors are named parameters.<name>.
func (v TemplateVersion) Values(chosen map[string]string) (map[string]string, error) {
	var p Problems
	out := map[string]string{}
	for _, par := range v.Params {
		text := strings.TrimSpace(chosen[par.Name])
		if text == "" {
			text = par.Default
		}
		if text == "" {
			if par.Required {
				p.Add("parameters."+par.Name, "A value is needed.", par.Help)
			}
			out[par.Name] = ""
			continue
		}
		value, msg, want := par.read(text)
		if msg != "" {
			p.Add("parameters."+par.Name, msg, want)
		}
		out[par.Name] = value
	}
	for name := range chosen {
		if !slices.ContainsFunc(v.Params, func(par Parameter) bool { return par.Name == name }) {
			p.Add("parameters."+name, "The template has no parameter “"+name+"”.", "one of those that it lists")
		}
	}
	return out, p.Err()
}

// Resolve makes the spec of a VM called name with settled values.
func (v TemplateVersion) Resolve(name string, values map[string]string) (VMSpec, error) {
	s, err := v.resolve(name, values)
	if err != nil {
		return s, err
	}
	return s, s.Validate()
}

func (v TemplateVersion) resolve(name string, values map[string]string) (VMSpec, error) {
	all := map[string]string{"name": name}
	for k, val := range values {
		all[k] = val
	}
	s := v.Spec
	s.Name, s.UUID = name, ""
	s.Disks, s.NICs = slices.Clone(s.Disks), slices.Clone(s.NICs)
	fill := func(texts ...*string) {
		for _, t := range texts {
			*t = Fill(*t, all)
		}
	}
	fill(&s.Title, &s.Description, &s.Boot.Kernel, &s.Boot.Initrd, &s.Boot.Cmdline)
	for i := range s.NICs {
		s.NICs[i].MAC, s.NICs[i].Target = "", ""
		fill(&s.NICs[i].Network, &s.NICs[i].Bridge)
	}
	var p Problems
	number := func(name string, set func(int64)) {
		if val := all[name]; val != "" {
			if n, err := strconv.ParseInt(val, 10, 64); err == nil {
				set(n)
			} else if n, err := ParseBytes(val); err == nil {
				set(n)
			} else {
				p.Add("parameters."+name, "“"+val+"” is not a number.", "a number")
			}
		}
	}
	number(ParamVCPUs, func(n int64) { s.VCPUs, s.MaxVCPUs, s.Topology = int(n), 0, nil })
	number(ParamMemory, func(n int64) { s.MemoryBytes, s.MaxMemoryBytes = n, 0 })
	number(ParamDisk, func(n int64) {
		if len(s.Disks) > 0 {
			s.Disks[0].SizeBytes = n
		}
	})
	if net := all[ParamNetwork]; net != "" && len(s.NICs) > 0 {
		s.NICs[0].Network, s.NICs[0].Bridge = net, ""
	}
	return s, p.Err()
}

var placeholderRE = regexp.MustCompile(`\$?\$\{([a-z][a-z0-9_]{0,31})\}`)

// Fill puts values in the place of ${name}; $${name} stays as ${name}. A name without a value stays as it is.
func Fill(text string, values map[string]string) string {
	return placeholderRE.ReplaceAllStringFunc(text, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		if val, ok := values[m[2:len(m)-1]]; ok {
			return val
		}
		return m
	})
}

// Placeholders lists the names of ${name} in a text.
func Placeholders(text string) []string {
	var out []string
	for _, m := range placeholderRE.FindAllString(text, -1) {
		if !strings.HasPrefix(m, "$$") {
			out = append(out, m[2:len(m)-1])
		}
	}
	return out
}

func placeholders(s VMSpec) []string {
	out := Placeholders(strings.Join([]string{s.Title, s.Description, s.Boot.Kernel, s.Boot.Initrd, s.Boot.Cmdline}, "\n"))
	for _, n := range s.NICs {
		out = append(out, Placeholders(n.Network+"\n"+n.Bridge)...)
	}
	return out
}

// DiffTemplates says what would change for a VM between two versions: the parts of the VM, then the parameters.
func DiffTemplates(from, to TemplateVersion) []Change {
	out := Diff(named(from.Spec), named(to.Spec))
	find := func(in []Parameter, name string) string {
		for _, p := range in {
			if p.Name == name {
				return p.describe()
			}
		}
		return "none"
	}
	seen := map[string]bool{}
	for _, p := range slices.Concat(from.Params, to.Params) {
		if seen[p.Name] {
			continue
		}
		seen[p.Name] = true
		if a, b := find(from.Params, p.Name), find(to.Params, p.Name); a != b {
			out = append(out, Change{"parameters." + p.Name, "Parameter " + p.Name, a, b})
		}
	}
	return diffFirstBoot(out, from, to)
}

// named gives disks and cards that have no name yet their place as one, so that Diff can tell them apart.
func named(s VMSpec) VMSpec {
	s.Disks, s.NICs = slices.Clone(s.Disks), slices.Clone(s.NICs)
	for i := range s.Disks {
		if s.Disks[i].Target == "" {
			s.Disks[i].Target = strconv.Itoa(i + 1)
		}
	}
	for i := range s.NICs {
		s.NICs[i].MAC = strconv.Itoa(i + 1)
	}
	return s
}

func (p Parameter) describe() string {
	out := p.Type
	if len(p.Choices) > 0 {
		out += " of " + strings.Join(p.Choices, ", ")
	}
	if p.Default != "" {
		def := p.Default
		if n, err := strconv.ParseInt(def, 10, 64); err == nil && p.Type == ParamSize {
			def = FormatBytes(n)
		}
		out += ", " + def + " unless said"
	}
	if p.Required {
		out += ", needed"
	}
	return out
}

// RollOut is the change that leads a VM's configuration to what a version says of it. Only what a running VM can be given without losing anything is
// changed: CPUs, memory, CPU model, boot, title and description; disks and cards of a VM are its own.
func RollOut(vm, want VMSpec) VMChange {
	var c VMChange
	if want.VCPUs != vm.VCPUs {
		c.VCPUs = &want.VCPUs
	}
	if most := max(want.VCPUs, want.MaxVCPUs); most != max(vm.VCPUs, vm.MaxVCPUs) {
		c.MaxVCPUs = &most
	}
	if want.MemoryBytes != vm.MemoryBytes {
		c.MemoryBytes = &want.MemoryBytes
	}
	if want.Topology != nil && (vm.Topology == nil || *want.Topology != *vm.Topology) {
		c.Topology = want.Topology
	}
	if want.CPU != "" && want.CPU != vm.CPU {
		c.CPU = &want.CPU
	}
	if want.Title != vm.Title {
		c.Title = &want.Title
	}
	if want.Description != vm.Description {
		c.Description = &want.Description
	}
	if b := want.Boot; b.Kernel != vm.Boot.Kernel || b.Initrd != vm.Boot.Initrd || b.Cmdline != vm.Boot.Cmdline || len(b.Order) > 0 && !slices.Equal(b.Order, vm.Boot.Order) {
		if len(b.Order) == 0 {
			b.Order = vm.Boot.Order
		}
		c.Boot = &b
	}
	return c
}
