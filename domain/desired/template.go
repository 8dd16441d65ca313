package desired

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
)

// Value is what is chosen for a parameter: text, a number, a size or a switch, as it was written.
type Value string

// UnmarshalJSON also takes numbers and switches.
func (v *Value) UnmarshalJSON(raw []byte) error {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		s = string(raw)
	}
	*v = Value(s)
	return nil
}

// TemplateRef reads name@version; version 0 stands for whichever.
func TemplateRef(ref string) (name string, number int) {
	i := strings.LastIndex(ref, "@")
	if i < 0 {
		return ref, 0
	}
	n, err := strconv.Atoi(ref[i+1:])
	if err != nil || n < 1 {
		return ref, 0
	}
	return ref[:i], n
}

// Values are the parameters as a template reads them.
func (v VM) Values() map[string]string {
	out := map[string]string{}
	for name, value := range v.Parameters {
		out[name] = string(value)
	}
	return out
}

// Came writes into a VM that is there of which template it came.
func (v *VM) Came(of domain.VMTemplate) {
	v.Template, v.Parameters = of.Name+"@"+strconv.Itoa(of.Number), map[string]Value{}
	for name, value := range of.Values {
		v.Parameters[name] = Value(value)
	}
}

// Over lays what a VM says of itself over what its template says. Disks and cards are the one's or the other's as a whole.
func (v VM) Over(s domain.VMSpec) domain.VMSpec {
	over(&s.Title, v.Title)
	over(&s.Description, v.Description)
	if v.VCPUs != 0 {
		s.VCPUs, s.MaxVCPUs, s.Topology = v.VCPUs, 0, nil
	}
	over(&s.MaxVCPUs, v.MaxVCPUs)
	over(&s.Topology, v.Topology)
	over(&s.CPU, v.CPU)
	if v.MemoryBytes != 0 {
		s.MemoryBytes, s.MaxMemoryBytes = v.MemoryBytes, 0
	}
	over(&s.MaxMemoryBytes, v.MaxMemoryBytes)
	over(&s.Accel, v.Accel)
	over(&s.Machine, v.Machine)
	over(&s.Firmware, v.Firmware)
	over(&s.TPM, v.TPM)
	over(&s.Graphics, v.Graphics)
	if v.Boot != nil {
		s.Boot = *v.Boot
	}
	if len(v.Disks) > 0 {
		s.Disks = v.Disks
	}
	if len(v.NICs) > 0 {
		s.NICs = v.NICs
	}
	return s
}

func over[T comparable](to *T, v T) { *to = cmp.Or(v, *to) }

// version finds the version of a template that a VM asks for: the one it names, else the one that the VM is at, else the newest that is offered.
func (f Facts) version(ref, at string) (v domain.TemplateVersion, ok bool) {
	name, number := TemplateRef(ref)
	if is, n := TemplateRef(at); number == 0 && is == name {
		number = n
	}
	for _, v := range f.Templates[name] {
		if v.Number == number || number == 0 && !v.Deprecated {
			return v, true
		}
	}
	return v, false
}

// planned are the templates with the versions that the files write before any VM comes of them.
func (f Facts) planned(set Set) (map[string][]domain.TemplateVersion, error) {
	out := f.Templates
	for _, o := range set.Objects {
		if o.Kind != KindTemplate {
			continue
		}
		spec := o.Spec
		if live, there := f.Live[KindTemplate][o.Key]; there {
			s, err := newSides(KindTemplate, f.Records[KindTemplate][o.Key].Last, live.Spec, o.Spec)
			if err != nil {
				return nil, err
			}
			fields := slices.DeleteFunc(s.compare(), func(d Field) bool { return d.Path == "description" })
			if len(fields) == 0 {
				continue
			}
			if spec, err = Merged(KindTemplate, live.Spec, o.Spec, fields); err != nil {
				return nil, err
			}
		}
		t, err := Decode[Template](spec)
		if err != nil {
			return nil, err
		}
		next := domain.TemplateVersion{Name: o.Key, Number: 1, Spec: t.Spec, Params: t.Parameters}
		if have := f.Templates[o.Key]; len(have) > 0 {
			next.Number = have[0].Number + 1
		}
		out = maps.Clone(out)
		if out == nil {
			out = map[string][]domain.TemplateVersion{}
		}
		out[o.Key] = slices.Concat([]domain.TemplateVersion{next}, f.Templates[o.Key])
	}
	return out, nil
}

// templated are the fields of a VM that its template goes on saying after the VM was made; disks and cards are the VM's own from then on.
var templated = []string{"title", "description", "vcpus", "topology", "cpu", "memory_bytes", "boot"}

// says is what the template of a VM says of it: of parameters that doc does not have, what live was made with. ok is false where doc names no template
// or none that is there.
func (f Facts) says(doc, live map[string]any) (out map[string]any, ok bool, err error) {
	v, ok := f.version(word(doc, "template"), word(live, "template"))
	if !ok || word(doc, "template") == "" {
		return nil, false, nil
	}
	chosen := map[string]string{}
	if is, _ := TemplateRef(word(live, "template")); is == v.Name {
		for name, value := range object(live["parameters"]) {
			if slices.ContainsFunc(v.Params, func(p domain.Parameter) bool { return p.Name == name }) {
				chosen[name] = show(value)
			}
		}
	}
	for name, value := range object(doc["parameters"]) {
		chosen[name] = show(value)
	}
	values, err := v.Values(chosen)
	if err != nil {
		return nil, false, err
	}
	s, err := v.Resolve(word(doc, "name"), values)
	if err != nil {
		return nil, false, err
	}
	all := VM{Title: s.Title, Description: s.Description, VCPUs: s.VCPUs, Topology: s.Topology, CPU: s.CPU, MemoryBytes: s.MemoryBytes, Boot: &s.Boot}
	raw, err := Encode(all)
	if err != nil {
		return nil, false, err
	}
	if out, err = tree(raw); err != nil {
		return nil, false, err
	}
	_, own := doc["vcpus"]
	for name := range out {
		if !slices.Contains(templated, name) || own && name == "topology" {
			delete(out, name)
		}
	}
	return out, true, nil
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// full is what a VM is asked to be as a whole: what was written, and below it what its template says.
func (f Facts) full(k Kind, raw, live json.RawMessage) (json.RawMessage, error) {
	if k != KindVM || len(raw) == 0 {
		return raw, nil
	}
	doc, err := tree(raw)
	if err != nil {
		return nil, err
	}
	is, err := tree(live)
	if err != nil {
		return nil, err
	}
	below, ok, err := f.says(doc, is)
	if err != nil || !ok {
		return raw, err
	}
	for name, value := range below {
		if _, said := doc[name]; !said {
			doc[name] = value
		}
	}
	if doc, err = reread(doc); err != nil {
		return nil, err
	}
	return json.Marshal(doc)
}

// reread gives a document a value of its own.
func reread(doc map[string]any) (map[string]any, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "What is wanted cannot be written: %w", err)
	}
	return tree(raw)
}

// Exported is a VM that is there, as a file says it: what its template says otherwise is said empty.
func (f Facts) Exported(k Kind, raw json.RawMessage) (json.RawMessage, error) {
	if k != KindVM {
		return raw, nil
	}
	doc, err := tree(raw)
	if err != nil || word(doc, "template") == "" {
		return raw, err
	}
	below, ok, err := f.says(doc, doc)
	if err != nil || !ok { // the version is gone, or its parameters are others: the VM stands for itself
		delete(doc, "template")
		delete(doc, "parameters")
	}
	for name, value := range below {
		if _, said := doc[name]; said {
			continue
		}
		switch value.(type) {
		case string:
			doc[name] = ""
		case map[string]any:
			doc[name] = map[string]any{}
		}
	}
	return json.Marshal(doc)
}

// judgeTemplate says what keeps a VM that is there from coming to the template, the version or the parameters that are asked for.
func (f Facts) judgeTemplate(doc, live map[string]any, fields []Field) (reason string, err error) {
	was, at := TemplateRef(word(live, "template"))
	name, number := TemplateRef(word(doc, "template"))
	if name != was {
		if was == "" {
			return "It came of no template, and an apply does not make it one of " + name + ". Take template out of the file, or have the VM made anew.", nil
		}
		return "It came of the template " + was + ", and an apply does not make it one of " + name + ". Write the template that it came of, or have the VM made anew.", nil
	}
	for _, d := range fields {
		param, ok := strings.CutPrefix(d.Path, "parameters.")
		if !ok || number != 0 && number != at && d.Live == "" {
			continue
		}
		without, err := reread(doc)
		if err != nil {
			return "", err
		}
		delete(object(without["parameters"]), param)
		a, _, err := f.says(doc, live)
		if err != nil {
			return err.Error(), nil //nolint:nilerr // it is the reason
		}
		if b, _, err := f.says(without, live); err == nil && same(a, b) {
			return "The parameter " + param + " counts when the VM is made (it was made with “" + d.Live + "”). Write what it was made with, or have the VM made anew.", nil
		}
	}
	return "", nil
}
