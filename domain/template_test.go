package domain

import (
	"slices"
	"strings"
	"testing"
)

func webVersion() TemplateVersion {
	return TemplateVersion{Name: "web", Number: 2,
		Spec: VMSpec{VCPUs: 2, MemoryBytes: GiB, Title: "${role} of $${shop}", Disks: []Disk{{SizeBytes: GiB, Pool: "default"}}, NICs: []NIC{{Network: "lan", MAC: "52:54:00:00:00:01"}}},
		Params: []Parameter{{Name: ParamVCPUs, Type: ParamNumber, Default: "2"}, {Name: ParamMemory, Type: ParamSize, Default: "1 GiB"}, {Name: ParamDisk, Type: ParamSize}, {Name: ParamNetwork, Type: ParamText},
			{Name: "role", Type: ParamChoice, Choices: []string{"front", "back"}, Required: true}, {Name: "ssh_key", Type: ParamText}, {Name: "backup", Type: ParamSwitch, Default: "true"}},
		CloudInit: &CloudInit{Hostname: "${name}", User: "ops", SSHKeys: []string{"${ssh_key}"}, Packages: []string{"nginx"}, RunCmd: []string{"echo ${role} ${HOME} ${other}"}, UserData: "#cloud-config\n",
			Network: []CloudInitCard{{Name: "eth0", DHCP4: true, Addresses: []string{"${ssh_key}"}, Gateway4: "${ssh_key}"}}},
	}
}

func TestTemplateResolves(t *testing.T) {
	v := webVersion()
	if err := v.Validate(); err != nil {
		t.Fatalf("%+v", err.(*Error).Fields)
	}
	values, err := v.Values(map[string]string{"vcpus": "4", "role": "front", "memory_bytes": "2 GiB", "disk_bytes": "3 GiB", "network": "dmz", "backup": "0"})
	if err != nil || values["memory_bytes"] != "2147483648" || values["backup"] != "false" || values["ssh_key"] != "" {
		t.Fatalf("%+v: %v", values, err)
	}
	s, err := v.Resolve("web-1", values)
	if err != nil || s.Name != "web-1" || s.VCPUs != 4 || s.MemoryBytes != 2*GiB || s.Disks[0].SizeBytes != 3*GiB || s.NICs[0].Network != "dmz" || s.NICs[0].MAC != "" || s.Title != "front of ${shop}" {
		t.Errorf("%+v: %v", s, err)
	}
	if v.Spec.Disks[0].SizeBytes != GiB || v.Spec.NICs[0].Network != "lan" {
		t.Error("the template itself was changed")
	}
	c := v.FirstBoot("web-1", values)
	if c.Hostname != "web-1" || len(c.SSHKeys) != 0 || c.RunCmd[0] != "echo front ${HOME} ${other}" || len(c.Network[0].Addresses) != 0 {
		t.Errorf("the first boot is %+v", c)
	}
	if v.CloudInit.SSHKeys[0] != "${ssh_key}" {
		t.Error("the template's own first boot was changed")
	}
	probe := v.FirstBootProbe()
	var p Problems
	probe.Validate(&p, "")
	if len(p) > 0 || probe.Hostname != "" {
		t.Errorf("the probe %+v: %+v", probe, p)
	}
	if none := (TemplateVersion{}); none.FirstBoot("x", nil) != nil || none.FirstBootProbe() != nil {
		t.Error("a template without a first boot has one")
	}
	_, err = v.Values(map[string]string{"vcpus": "many", "memory_bytes": "lots", "role": "side", "backup": "perhaps", "colour": "red", "ssh_key": strings.Repeat("x", 5000)})
	var fields []string
	for _, f := range err.(*Error).Fields {
		fields = append(fields, f.Field)
	}
	slices.Sort(fields)
	if strings.Join(fields, " ") != "parameters.backup parameters.colour parameters.memory_bytes parameters.role parameters.ssh_key parameters.vcpus" {
		t.Errorf("wrong are %v", fields)
	}
	if _, err := v.Values(nil); !Is(err, Invalid) {
		t.Errorf("without what is needed: %v", err)
	}
}

func TestTemplateRefuses(t *testing.T) {
	for field, change := range map[string]func(*TemplateVersion){
		"parameters.0.name":    func(v *TemplateVersion) { v.Params[0].Name = "V CPUs" },
		"parameters.1.name":    func(v *TemplateVersion) { v.Params[1].Name = "name" },
		"parameters.0.type":    func(v *TemplateVersion) { v.Params[0].Type = ParamText },
		"parameters.4.choices": func(v *TemplateVersion) { v.Params[4].Choices = nil },
		"parameters.5.help":    func(v *TemplateVersion) { v.Params[5].Help = strings.Repeat("x", 1001) },
		"parameters.6.default": func(v *TemplateVersion) { v.Params[6].Default = "perhaps" },
		"spec":                 func(v *TemplateVersion) { v.Spec.Title = "${nobody}" },
		"spec.disks.0.bus":     func(v *TemplateVersion) { v.Spec.Disks[0].Bus = "floppy" },
		"changelog":            func(v *TemplateVersion) { v.Changelog = strings.Repeat("x", maxChangelog+1) },
		"guest_exec_allow":     func(v *TemplateVersion) { v.ExecRules = ExecRules{"/(/"} },
		"parameters":           func(v *TemplateVersion) { v.Params = make([]Parameter, 65) },
	} {
		v := webVersion()
		change(&v)
		e, _ := v.Validate().(*Error)
		if e == nil || !slices.ContainsFunc(e.Fields, func(f FieldError) bool { return f.Field == field }) {
			t.Errorf("%s: %+v", field, e)
		}
	}
}

func TestTemplateDiff(t *testing.T) {
	a, b := webVersion(), webVersion()
	if d := DiffTemplates(a, b); len(d) != 0 {
		t.Errorf("the same differs: %+v", d)
	}
	b.Spec.MemoryBytes = 2 * GiB
	b.Params = append(slices.Clone(b.Params[:5]), Parameter{Name: "new", Type: ParamText, Default: "x", Required: true})
	boot := *a.CloudInit
	boot.PasswordHash, boot.Packages, boot.Network = "$6$a", nil, []CloudInitCard{{Name: "eth0", DHCP6: true, Gateway6: "fe80::1", Nameservers: []string{"192.0.2.1"}}}
	b.CloudInit, b.ExecRules = &boot, ExecRules{"uptime"}
	var fields []string
	for _, c := range DiffTemplates(a, b) {
		fields = append(fields, c.Field)
		if strings.Contains(c.Old+c.New, "$6$") {
			t.Error("the password's hash is shown")
		}
	}
	slices.Sort(fields)
	if got := strings.Join(fields, " "); got != "cloud_init.network cloud_init.packages cloud_init.password guest_exec_allow max_memory_bytes memory_bytes parameters.backup parameters.new parameters.ssh_key" {
		t.Errorf("what differs is %s", got)
	}
	a.CloudInit = &boot
	other := boot
	other.PasswordHash = "$6$b"
	b = a
	b.CloudInit = &other
	if d := DiffTemplates(a, b); len(d) != 1 || d[0].New != "another one" {
		t.Errorf("another password: %+v", d)
	}
	if d := DiffTemplates(a, TemplateVersion{Spec: a.Spec, Params: a.Params}); len(d) < 5 {
		t.Errorf("no first boot any more: %+v", d)
	}
}

func TestRollOut(t *testing.T) {
	vm := VMSpec{Name: "web-1", VCPUs: 2, MemoryBytes: GiB, Boot: Boot{Order: []string{"hd"}}}
	if c := RollOut(vm, vm); !c.Empty() {
		t.Errorf("nothing differs: %+v", c)
	}
	want := VMSpec{VCPUs: 4, MaxVCPUs: 8, MemoryBytes: 2 * GiB, Topology: &Topology{Sockets: 1, Cores: 8, Threads: 1}, CPU: "host-model", Title: "t", Description: "d", Boot: Boot{Kernel: "/k"}}
	c := RollOut(vm, want)
	if *c.VCPUs != 4 || *c.MaxVCPUs != 8 || *c.MemoryBytes != 2*GiB || c.Topology.Cores != 8 || *c.CPU != "host-model" || *c.Title != "t" || *c.Description != "d" || c.Boot.Kernel != "/k" || c.Boot.Order[0] != "hd" {
		t.Errorf("%+v", c)
	}
}
