package templates

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/views/ui"
)

// Form is a version as typed. The names of its fields are those of the API in dotted form, so that errors find them.
type Form struct {
	Name, Description, Changelog                              string
	VCPUs, Memory, CPU, Firmware                              string
	Disks                                                     []DiskForm
	Cards                                                     []CardForm
	Params                                                    []ParamForm
	Hostname, User, Password, Keep, SSHKeys, Packages, RunCmd string
	UserData, ExecAllow                                       string

	diskAt, cardAt []int // the row of each disk and card of the spec that Spec gave; -1: none
}

// ParamForm is a parameter as typed.
type ParamForm struct{ Name, Label, Type, Default, Required, Choices, Help string }

// spareParams are empty rows for more parameters.
const spareParams = 3

const maxParams = 64

// Fill writes a version as one would type it.
func Fill(s domain.VMSpec, params []domain.Parameter, boot *domain.CloudInit, rules domain.ExecRules) Form {
	f := Form{VCPUs: fmt.Sprint(max(s.VCPUs, 1)), CPU: s.CPU, Firmware: s.Firmware, ExecAllow: strings.Join(rules, "\n"), Keep: "1"}
	if s.MemoryBytes > 0 {
		f.Memory = domain.FormatBytes(s.MemoryBytes)
	}
	f.fillDevices(s)
	for _, p := range params {
		r := ParamForm{Name: p.Name, Label: p.Label, Type: p.Type, Default: paramDefault(p), Choices: strings.Join(p.Choices, ", "), Help: p.Help}
		if p.Required {
			r.Required = "1"
		}
		f.Params = append(f.Params, r)
	}
	if boot != nil {
		f.Hostname, f.User, f.UserData = boot.Hostname, boot.User, boot.UserData
		f.SSHKeys, f.Packages, f.RunCmd = strings.Join(boot.SSHKeys, "\n"), strings.Join(boot.Packages, " "), strings.Join(boot.RunCmd, "\n")
	}
	return f
}

// Decode reads the form back.
func Decode(v url.Values) Form {
	get := func(k string) string { return strings.TrimSpace(v.Get(k)) }
	text := func(k string) string { return strings.TrimRight(strings.ReplaceAll(v.Get(k), "\r\n", "\n"), "\n") }
	f := Form{
		Name: get("name"), Description: get("description"), Changelog: text("changelog"), VCPUs: get("spec.vcpus"), Memory: get("spec.memory_bytes"), CPU: get("spec.cpu"), Firmware: get("spec.firmware"),
		Hostname: get("cloud_init.hostname"), User: get("cloud_init.user"), Password: v.Get("cloud_init.password"), Keep: get("keep"), SSHKeys: text("cloud_init.ssh_keys"),
		Packages: get("cloud_init.packages"), RunCmd: text("cloud_init.runcmd"), UserData: text("cloud_init.user_data"), ExecAllow: text("guest_exec_allow"),
	}
	f.decodeDevices(v)
	for i := 0; i < maxParams+spareParams && v.Has(paramField(i, "name")); i++ {
		p := func(k string) string { return get(paramField(i, k)) }
		r := ParamForm{Name: p("name"), Label: p("label"), Type: p("type"), Default: p("default"), Required: p("required"), Choices: p("choices"), Help: p("help")}
		if r.Name != "" || r.Label+r.Default+r.Choices+r.Help != "" {
			f.Params = append(f.Params, r)
		}
	}
	return f
}

// rows are the parameters with room for more.
func (f Form) rows() []ParamForm {
	return append(slices.Clone(f.Params), make([]ParamForm, spareParams)...)
}

// Spec puts what was typed over the base; what the form does not show stays.
func (f *Form) Spec(base domain.VMSpec) (domain.VMSpec, []domain.Parameter, error) {
	var p domain.Problems
	s := base
	if n, err := fmt.Sscan(f.VCPUs, &s.VCPUs); err != nil || n != 1 {
		p.Add("spec.vcpus", "“"+f.VCPUs+"” is not a number.", "a whole number")
	}
	if s.VCPUs != base.VCPUs {
		s.MaxVCPUs, s.Topology = 0, nil
	}
	bytes := func(field, text string) int64 {
		n, err := domain.ParseBytes(text)
		if err != nil {
			p.Add(field, "“"+text+"” is not a size.", "a number and a unit, such as 2 GiB")
		}
		return n
	}
	if m := bytes("spec.memory_bytes", f.Memory); m != base.MemoryBytes {
		s.MemoryBytes, s.MaxMemoryBytes = m, 0
	}
	s.CPU, s.Firmware = f.CPU, f.Firmware
	f.devices(base, &s, bytes)
	var params []domain.Parameter
	for _, r := range f.Params {
		par := domain.Parameter{Name: r.Name, Label: r.Label, Type: cmp.Or(r.Type, domain.ParamText), Default: r.Default, Required: r.Required == "1", Help: r.Help}
		for _, c := range strings.Split(r.Choices, ",") {
			if c = strings.TrimSpace(c); c != "" {
				par.Choices = append(par.Choices, c)
			}
		}
		params = append(params, par)
	}
	return s, params, p.Err()
}

// Boot gives what the first boot reads: the base's with what was typed over it; nil when that is nothing.
func (f Form) Boot(base *domain.CloudInit) *domain.CloudInit {
	var c domain.CloudInit
	if base != nil {
		c = *base
	}
	c.Hostname, c.User, c.Password, c.UserData = f.Hostname, f.User, f.Password, f.UserData
	if f.UserData != "" {
		c.UserData += "\n"
	}
	c.SSHKeys, c.Packages, c.RunCmd = lines(f.SSHKeys), strings.Fields(strings.ReplaceAll(f.Packages, ",", " ")), lines(f.RunCmd)
	if f.Password != "" || f.Keep != "1" {
		c.PasswordHash = ""
	}
	if c.Empty() {
		return nil
	}
	return &c
}

// Rules are the guest commands that may be run.
func (f Form) Rules() domain.ExecRules { return lines(f.ExecAllow) }

func lines(text string) []string {
	var out []string
	for l := range strings.SplitSeq(text, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// problems brings what is wrong with one line of a list to the field that holds the list.
func problems(p ui.Problems) ui.Problems {
	out := slices.Clone(p)
	for i := range out {
		for _, list := range []string{"cloud_init.ssh_keys", "cloud_init.packages", "cloud_init.runcmd"} {
			if strings.HasPrefix(out[i].Field, list+".") {
				out[i].Field = list
			}
		}
	}
	return out
}

// DecodeUse reads the form that makes a VM.
func DecodeUse(v url.Values, params []domain.Parameter) UseForm {
	get := func(k string) string { return strings.TrimSpace(v.Get(k)) }
	f := UseForm{Name: get("name"), Host: get("host"), Tags: get("tags"), Notes: strings.ReplaceAll(v.Get("notes"), "\r\n", "\n"), Start: get("start"), Pinned: get("pinned"), Tenant: get("tenant"), Folder: get("folder"), Values: map[string]string{}}
	for _, p := range params {
		f.Values[p.Name] = get("parameters." + p.Name)
		if p.Type == domain.ParamSwitch {
			f.Values[p.Name] = map[bool]string{true: "true", false: "false"}[get("parameters."+p.Name) == "1"]
		}
	}
	return f
}

// DefaultUse is the form with what the template says.
func DefaultUse(v domain.TemplateVersion) UseForm {
	f := UseForm{Host: "any", Start: "1", Values: map[string]string{}}
	for _, p := range v.Params {
		f.Values[p.Name] = paramDefault(p)
	}
	return f
}

func ticked(v string) string {
	if v == "true" || v == "1" {
		return "1"
	}
	return ""
}
