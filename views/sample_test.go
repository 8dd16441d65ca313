package views_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/a-h/templ"

	"novacron/domain"
	"novacron/views/account"
	"novacron/views/drift"
	"novacron/views/errors"
	"novacron/views/events"
	"novacron/views/hosts"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/migrate"
	"novacron/views/plans"
	"novacron/views/search"
	"novacron/views/tasks"
	"novacron/views/vms"
)

// evil is in every name and text of the sample: if it ever comes out as markup, a test sees it.
const evil = `<b onclick="x">&"'`

var now = time.Date(2026, 11, 22, 19, 14, 30, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func sampleHosts() []domain.Host {
	facts := domain.HostFacts{
		Hostname: "hv-ams-01.example.net", Driver: "QEMU", LibvirtVersion: "9.0.0", HypervisorVersion: "7.2.17", Arch: "x86_64", CPUModel: "EPYC-Milan", CPUVendor: "AMD", CPUMHz: 2450,
		CPUs: 96, Sockets: 2, CoresPerSocket: 24, ThreadsPerCore: 2, NUMANodes: 2, MemoryBytes: 512 * domain.GiB, Emulator: "/usr/bin/qemu-system-x86_64", MaxVCPUs: 288,
		KVM: domain.Capability{OK: true, Why: "/dev/kvm can be used"}, UEFI: domain.Capability{OK: true, Why: "OVMF is installed"}, SecureBoot: domain.Capability{OK: true, Why: "OVMF with enrolled keys"},
		TPM:      domain.Capability{Why: "swtpm_setup is missing; install swtpm-tools"},
		Machines: []string{"pc-q35-7.2", "q35", "pc-i440fx-7.2", "pc", "microvm", "pc-q35-7.1", "pc-q35-7.0"}, DefaultMachine: "pc", Console: "through an SSH tunnel to its VNC socket",
		StorageFreeBytes: 11 * domain.TiB, StorageTotalBytes: 18 * domain.TiB,
	}
	var out []domain.Host
	for i, n := range []string{"hv-ams-01", "hv-ams-02", "hv-ams-03", "hv-fra-01", "hv-fra-02"} {
		h := domain.Host{ID: fmt.Sprintf("host_%d", i+1), Name: n, URI: "qemu+ssh://root@" + n + ".example.net/system", State: domain.HostConnected, StateSince: ago(41 * 24 * time.Hour), Facts: facts,
			Labels: map[string]string{"site": n[3:6], "rack": fmt.Sprintf("b%d", i+1)}, LastSeen: ago(2 * time.Second), CreatedAt: ago(90 * 24 * time.Hour), Version: 3}
		h.Facts.Hostname = n + ".example.net"
		out = append(out, h)
	}
	out[2].State, out[2].StateSince, out[2].LastSeen = domain.HostAway, ago(7*time.Minute), ago(7*time.Minute)
	out[2].StateReason, out[2].StateFix = "Route: nothing answers on hv-ams-03.example.net port 22 within 5 s.", "Check that the machine is on and that its firewall lets this server in."
	out[3].Maintenance = true
	out[4].Notes = "Spare " + evil
	return out
}

func sampleVMs() []domain.VM {
	names := []string{"web-prod-01", "web-prod-02", "db-prod-01", "db-prod-02", "ci-runner-07", "ci-runner-08", "win2022-ad", "k8s-cp-1", "k8s-cp-2", "k8s-cp-3", "legacy-erp", "mail-gw", "vpn-1", "build-arm", "grafana", "test-" + evil}
	states := []domain.VMState{domain.VMRunning, domain.VMRunning, domain.VMRunning, domain.VMRunning, domain.VMPaused, domain.VMRunning, domain.VMRunning, domain.VMRunning, domain.VMAway, domain.VMCrashed, domain.VMStopped, domain.VMSaved, domain.VMRunning, domain.VMStopped, domain.VMRunning, domain.VMStopped}
	hs := sampleHosts()
	var out []domain.VM
	for i, n := range names {
		h := hs[i%2]
		if states[i] == domain.VMAway {
			h = hs[2]
		}
		cfg := domain.VMSpec{Name: n, VCPUs: []int{2, 4, 16, 8}[i%4], MemoryBytes: []int64{4, 8, 64, 16}[i%4] * domain.GiB, Machine: "pc-q35-7.2", Firmware: []string{"bios", "uefi", "uefi-secure"}[i%3], Accel: domain.AccelKVM, CPU: "host-passthrough",
			Boot: domain.Boot{Order: []string{"hd", "cdrom"}}, Graphics: "vnc", Serial: true, TPM: i%3 == 2,
			Disks: []domain.Disk{{Target: "vda", Bus: "virtio", Format: "qcow2", Source: "/var/lib/libvirt/images/" + n + ".qcow2", Pool: "default", Volume: n + ".qcow2"}, {Target: "sda", Device: "cdrom", Bus: "sata", Source: "/var/lib/libvirt/images/debian-12.iso", ReadOnly: true}},
			NICs:  []domain.NIC{{Network: "default", Model: "virtio", MAC: fmt.Sprintf("52:54:00:aa:00:%02x", i), Target: fmt.Sprintf("vnet%d", i)}}}
		vm := domain.VM{ID: fmt.Sprintf("vm_%02d", i), UUID: fmt.Sprintf("4b2f6d1e-0000-4000-8000-0000000000%02x", i), HostID: h.ID, HostName: h.Name, Name: n, State: states[i], LastState: domain.VMRunning, Config: cfg,
			Tags: [][]string{{"prod"}, {"prod", "web"}, {"db"}, nil, {"ci"}, {"ci", "nightly"}, {"infra"}}[i%7], StateAt: ago(time.Duration(i*i+1) * 47 * time.Minute), CreatedAt: ago(200 * 24 * time.Hour), SeenAt: ago(4 * time.Second), Version: 7, Autostart: i%2 == 0,
			XML: "<domain type='kvm'>\n  <name>" + n + "</name>\n  <memory unit='KiB'>4194304</memory>\n  <!-- kept as it is -->\n</domain>\n"}
		if vm.State == domain.VMRunning || vm.State == domain.VMPaused {
			lv := cfg
			vm.Live = &lv
		}
		if vm.State == domain.VMAway {
			vm.SeenAt = ago(7 * time.Minute)
		}
		out = append(out, vm)
	}
	out[0].Reason, out[0].Notes = "booted", "Front end of the shop.\nOwner: "+evil
	lv := out[0].Config
	lv.VCPUs, lv.MemoryBytes = 1, 2*domain.GiB
	out[0].Live = &lv
	out[0].Pending = domain.Diff(lv, out[0].Config)
	out[3].BusyJob, out[3].BusyTitle = "job_1", "Reboot db-prod-02"
	return out
}

func sampleJobs() []domain.Job {
	at := func(d time.Duration) *time.Time { t := ago(d); return &t }
	return []domain.Job{
		{ID: "job_1", Kind: "vm.reboot", Title: "Reboot db-prod-02", State: domain.JobRunning, Resource: domain.Ref{Kind: "vm", ID: "vm_03", Name: "db-prod-02"}, Actor: "lena", CreatedAt: ago(14 * time.Second), StartedAt: ago(13 * time.Second), Progress: domain.Progress{Percent: 42, Text: "waiting for the guest to go down, 12 s of 120 s"},
			Steps: []domain.JobStep{{Name: "Ask the guest", State: domain.StepDone, StartedAt: at(13 * time.Second), EndedAt: at(12 * time.Second)}, {Name: "Wait for it to restart", State: domain.StepStarted, StartedAt: at(12 * time.Second)}}},
		{ID: "job_2", Kind: "vm.bulk", Title: "Shut down 42 VMs", State: domain.JobRunning, Actor: "ops-bot", CreatedAt: ago(70 * time.Second), StartedAt: ago(69 * time.Second), Progress: domain.Progress{Percent: 31, Text: "13 of 42"}, Steps: []domain.JobStep{{Name: "Make one task for each VM", State: domain.StepStarted, StartedAt: at(69 * time.Second)}}},
		{ID: "job_3", Kind: "vm.create", Title: "Create build-07", State: domain.JobStuck, Resource: domain.Ref{Kind: "vm", ID: "vm_20", Name: "build-07"}, Actor: "lena", CreatedAt: ago(4 * time.Minute), StartedAt: ago(4 * time.Minute), EndedAt: ago(3 * time.Minute), Help: "Look on the host whether the volume build-07.qcow2 exists; remove it, then let go.", Attempts: 2,
			Error: &domain.JobError{Code: domain.Unavailable, Message: "The volume could not be removed: the host went away.", Fix: "Bring hv-ams-03 back, then try again.", Step: "Make the disk"},
			Steps: []domain.JobStep{{Name: "Choose a host", State: domain.StepDone, StartedAt: at(4 * time.Minute), EndedAt: at(4 * time.Minute)}, {Name: "Make the disk", State: domain.StepUndoing, Error: "The host went away. " + evil, StartedAt: at(4 * time.Minute)}, {Name: "Define", State: domain.StepPending}}},
		{ID: "job_4", Kind: "vm.start", Title: "Start k8s-cp-3", State: domain.JobUndone, Resource: domain.Ref{Kind: "vm", ID: "vm_09", Name: "k8s-cp-3"}, Actor: "lena", CreatedAt: ago(9 * time.Minute), StartedAt: ago(9 * time.Minute), EndedAt: ago(9*time.Minute - 2*time.Second), Error: &domain.JobError{Code: domain.Conflict, Message: "QEMU could not open the disk image: permission denied.", Fix: "Let the user libvirt-qemu read the file.", Step: "Start"},
			Steps: []domain.JobStep{{Name: "Start", State: domain.StepFailed, Error: "permission denied", StartedAt: at(9 * time.Minute), EndedAt: at(9*time.Minute - 2*time.Second)}}},
		{ID: "job_5", Kind: "vm.start", Title: "Start web-prod-01", State: domain.JobSucceeded, Resource: domain.Ref{Kind: "vm", ID: "vm_00", Name: "web-prod-01"}, Actor: "token backup " + evil, CreatedAt: ago(26 * time.Minute), StartedAt: ago(26 * time.Minute), EndedAt: ago(26*time.Minute - 900*time.Millisecond),
			Steps: []domain.JobStep{{Name: "Start", State: domain.StepDone, StartedAt: at(26 * time.Minute), EndedAt: at(26*time.Minute - 900*time.Millisecond)}}},
	}
}

func sampleEvents() []domain.Event {
	return []domain.Event{
		{Seq: 9, At: ago(12 * time.Second), Kind: "job.changed", Resource: domain.Ref{Kind: "job", ID: "job_1", Name: "Reboot db-prod-02"}, JobID: "job_1", Actor: "lena", Message: "“Reboot db-prod-02” has started."},
		{Seq: 8, At: ago(7 * time.Minute), Kind: "host.changed", Resource: domain.Ref{Kind: "host", ID: "host_3", Name: "hv-ams-03"}, Actor: "system", Message: "hv-ams-03 is away: nothing answers on port 22."},
		{Seq: 7, At: ago(31 * time.Minute), Kind: "vm.changed", Resource: domain.Ref{Kind: "vm", ID: "vm_09", Name: "k8s-cp-3"}, Actor: "host", Message: "k8s-cp-3 has crashed. " + evil},
		{Seq: 6, At: ago(3 * time.Hour), Kind: "user.signed_in", Resource: domain.Ref{Kind: "user", ID: "user_1", Name: "lena"}, Actor: "lena", Message: "lena has signed in."},
	}
}

func shell(title string, section layout.Section, path string, crumbs ...layout.Crumb) layout.Shell {
	s := layout.Shell{Title: title, Section: section, Crumbs: crumbs, User: domain.User{ID: "user_1", Name: "lena"}, Counts: layout.Counts{VMs: 142, Hosts: 5, ActiveTasks: 2, StuckTasks: 1, HostsAway: 1},
		Tasks: sampleJobs(), Live: live.Stream("", "9"), URL: path, Version: "1.0-test", Now: now}
	for i, h := range sampleHosts() {
		t := layout.TreeHost{ID: h.ID, Name: h.Name, State: h.State, Maintenance: h.Maintenance, VMCount: 24 + i, Open: i == 0}
		if t.Open {
			for _, vm := range sampleVMs() {
				if vm.HostID == h.ID {
					t.VMs = append(t.VMs, layout.TreeVM{ID: vm.ID, Name: vm.Name, State: vm.State})
				}
			}
		}
		s.Tree.Hosts = append(s.Tree.Hosts, t)
		s.Tree.Pools.Items = append(s.Tree.Pools.Items, layout.TreePool{ID: fmt.Sprint("pool_", i), Name: "default", Where: h.Name, Active: i > 0})
		s.Tree.Pools.Count, s.Tree.Pools.Open = i+1, true
	}
	return s
}

func sampleList() vms.List {
	return vms.List{Items: sampleVMs(), Total: 142, All: 142, Sort: "name", Next: "c_next", Base: live.VMs, Hosts: 5, Tags: []string{"prod", "ci"}, HostNames: []string{"hv-ams-01", "hv-ams-02"}}
}

func sampleChoices() vms.Choices {
	f := sampleHosts()[0].Facts
	return vms.Choices{
		Hosts:    []vms.HostChoice{{ID: "host_1", Name: "hv-ams-01", FreeText: "212 of 512 GiB free"}, {ID: "host_3", Name: "hv-ams-03", Why: "it is away"}},
		Pools:    []domain.Pool{{Name: "default", Active: true, AvailableBytes: 11 * domain.TiB, CapacityBytes: 18 * domain.TiB}, {Name: "fast", Active: true, AvailableBytes: 900 * domain.GiB}},
		Images:   []domain.Volume{{Pool: "default", Name: "debian-12.iso", Path: "/var/lib/libvirt/images/debian-12.iso", Format: "iso", CapacityBytes: 600 * domain.MiB}, {Pool: "default", Name: "golden.qcow2", Path: "/var/lib/libvirt/images/golden.qcow2", Format: "qcow2", CapacityBytes: 20 * domain.GiB}},
		Networks: []domain.Network{{Name: "default", Active: true, Mode: "nat"}, {Name: "lan", Active: true, Mode: "bridge"}}, Machines: f.Machines,
		Guests: []vms.GuestKernel{{Label: "Demo: Linux 6.1 with a heartbeat", Kernel: "/var/lib/libvirt/images/novacron-demo/vmlinuz", Initrd: "/x/initrd", Cmdline: "console=ttyS0"}},
		KVM:    f.KVM, UEFI: f.UEFI, Secure: f.SecureBoot, TPM: f.TPM, MaxVCPUs: 288,
	}
}

func vmPage(tab string, i int) vms.Page {
	vm := sampleVMs()[i]
	p := vms.Page{VM: vm, Host: sampleHosts()[0], Tab: tab, Recent: sampleJobs()[3:], Jobs: sampleJobs(), Events: sampleEvents(), Screenshot: false, Choices: sampleChoices(),
		Console: vms.ConsoleInfo{Kind: "vnc", Graphics: true, Serial: true, Via: "through an SSH tunnel to its VNC socket"}}
	for _, d := range vm.Config.Disks {
		info := vms.DiskInfo{Disk: d}
		if d.Device == "" {
			info.Volume = &domain.Volume{Pool: "default", Name: d.Volume, CapacityBytes: 40 * domain.GiB, AllocationBytes: 11 * domain.GiB, Format: "qcow2"}
		}
		p.Disks = append(p.Disks, info)
	}
	if vm.BusyJob != "" {
		p.Job = &sampleJobs()[0]
	}
	return p
}

func hostPage(tab string, i int) hosts.Page {
	h := sampleHosts()[i]
	return hosts.Page{Row: hosts.Row{Host: h, VMs: 28, Running: 22, VCPUs: 61, Memory: 300 * domain.GiB}, Tab: tab, List: vms.List{Items: sampleVMs()[:4], Total: 4, All: 4, Host: &h, Base: live.HostTab(h.ID, "vms"), Hosts: 5},
		Pools:    []domain.Pool{{Name: "default", Type: "dir", Active: true, Target: "/var/lib/libvirt/images", CapacityBytes: 18 * domain.TiB, AvailableBytes: 11 * domain.TiB}, {Name: "iscsi", Type: "iscsi"}},
		Volumes:  []domain.Volume{{Pool: "default", Name: "web-prod-01.qcow2", Path: "/var/lib/libvirt/images/web-prod-01.qcow2", Format: "qcow2", CapacityBytes: 40 * domain.GiB, AllocationBytes: 11 * domain.GiB, Backing: "/var/lib/libvirt/images/golden.qcow2"}},
		Networks: []domain.Network{{Name: "default", Active: true, Autostart: true, Mode: "nat", Bridge: "virbr0", CIDR: "192.168.122.1/24"}, {Name: "lan", Mode: "bridge", Bridge: "br0"}},
		Devices:  sampleDevices(), Events: sampleEvents(), Jobs: sampleJobs()}
}

func overview() vms.Overview {
	l := sampleList()
	l.Base = live.Home
	return vms.Overview{VMs: map[domain.VMState]int{domain.VMRunning: 128, domain.VMStopped: 8, domain.VMPaused: 2, domain.VMCrashed: 1, domain.VMAway: 3}, Hosts: map[domain.HostState]int{domain.HostConnected: 4, domain.HostAway: 1}, Maint: 1,
		VCPUs: 312, CPUs: 384, Memory: 1392 * domain.GiB, MemoryAll: 2048 * domain.GiB, Free: 17612 * domain.GiB, Capacity: 42 * domain.TiB, Pools: 6, List: l,
		Attention: []vms.Attention{{Tone: "warn", Text: "hv-ams-03 is away since 7 min.", Detail: "Nothing answers on port 22 within 5 s.", URL: "/hosts/host_3", Link: "Look at the host"}}}
}

func invalid(fields ...domain.FieldError) *domain.Error {
	return &domain.Error{Code: domain.Invalid, Msg: fields[0].Msg, Fields: fields}
}

type page struct {
	name string
	c    templ.Component
}

// pages is every page in the states worth looking at.
func pages() []page {
	vmCrumbs := []layout.Crumb{{Label: "Hosts", URL: live.Hosts}, {Label: "hv-ams-01", URL: "/hosts/host_1"}}
	hostCrumbs := []layout.Crumb{{Label: "Hosts", URL: live.Hosts}}
	sh := func(title string, sec layout.Section, path string, c ...layout.Crumb) layout.Shell {
		return shell(title, sec, path, c...)
	}
	vmShell := func(tab string, i int) layout.Shell {
		s := sh(sampleVMs()[i].Name, layout.SectionVMs, live.VMTab(fmt.Sprintf("vm_%02d", i), tab), vmCrumbs...)
		s.Tree.Selected = fmt.Sprintf("vm_%02d", i)
		return s
	}
	list := sh("Virtual machines", layout.SectionVMs, "/vms")
	filtered := sampleList()
	filtered.Filter, filtered.Items, filtered.Total, filtered.FilterError = "cpu>>4 "+evil, nil, 0, "“cpu>>4” is not a comparison. Write cpu>4."
	empty := vms.List{Base: live.VMs}
	form := vms.NewCreateForm(sampleChoices(), "")
	badForm := vms.CreateForm{Name: "bad name" + evil, Host: "any", VCPUs: "two", Memory: "lots", Source: vms.SourceISO, Disks: []vms.DiskForm{{Kind: "new", Pool: "default", Size: "-1", Format: "qcow2"}}, NICs: []vms.NICForm{{Network: "@bridge"}}, Tags: "a b"}
	_, _, err := badForm.Request(sampleChoices())
	formErr, _ := err.(*domain.Error)
	edit := vmPage("hardware", 0)
	edit.Edit = vms.ChangeForm{Section: vms.SectionMemory, Values: map[string][]string{"memory_bytes": {"plenty"}}, Err: invalid(domain.FieldError{Field: "memory_bytes", Msg: "“plenty” is not a size.", Want: "a number and a unit"})}
	serial := vmPage("console", 1)
	serial.Console.Kind = "serial"
	trial := hosts.Trial{URI: "qemu+ssh://root@hv/system", Facts: sampleHosts()[0].Facts}
	trial.Facts.Step = []domain.ConnectionStep{{Name: "Name", OK: true, Msg: "hv is 10.0.0.5"}, {Name: "SSH key", OK: true, Msg: "accepted for root"}, {Name: "Daemon", OK: true, Msg: "libvirt 9.0.0"}}
	failed := hosts.Trial{URI: "qemu+ssh://root@hv/system", Facts: domain.HostFacts{Step: []domain.ConnectionStep{{Name: "Name", OK: true, Msg: "hv is 10.0.0.5"}, {Name: "Route", Msg: "Nothing answers on port 22. " + evil, Fix: "Check the firewall."}}}, Err: &domain.JobError{Message: "The host could not be reached.", Fix: "Check the firewall."}}
	hostForm := hosts.Form{Name: "hv-9", URI: "qemu+ssh://root@hv/system", Labels: "site=ams", SSHKey: "-----BEGIN OPENSSH PRIVATE KEY-----"}
	dark := overview()
	many := sampleVMs()[:5]
	files := []vms.DeleteFile{{VM: "web-prod-01", Path: "/var/lib/libvirt/images/web-prod-01.qcow2", SizeBytes: 11 * domain.GiB, Goes: true}, {VM: "web-prod-01", Path: "/var/lib/libvirt/images/debian-12.iso", SizeBytes: 600 * domain.MiB, Why: "a CD-ROM image is shared"}, {VM: "web-prod-01", Path: "/var/lib/libvirt/qemu/nvram/web-prod-01.fd", Always: true, Why: "firmware settings"}}
	account1 := account.Account{LocalWord: true, User: domain.User{Name: "lena"}, Secret: "nova_5f3kd93kdm3kd93kdk3", Made: domain.Token{Name: "backup " + evil}, Now: now, Password: account.Password{UserName: "lena"}, Factors: []domain.Factor{{ID: "mfa_1", Name: "Phone " + evil, CreatedAt: ago(time.Hour)}}, CodesLeft: 9, Session: "sess_1", Sessions: []domain.SignIn{{ID: "sess_1", Browser: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0" + evil, Address: "192.0.2.7", Proof: "password+totp", SeenAt: ago(time.Minute)}, {ID: "sess_2", Browser: "curl/8", Address: "2001:db8::1", Proof: "password", SeenAt: ago(time.Hour)}}, Tokens: []domain.Token{{ID: "tok_1", Name: "backup", Prefix: "nova_5f", CreatedAt: ago(time.Hour), LastUsed: ago(time.Minute)}, {ID: "tok_2", Name: "ci " + evil, Prefix: "nova_9a", CreatedAt: ago(30 * time.Hour), ExpiresAt: now.Add(60 * time.Hour)}}}
	pg := []page{
		{"overview", vms.OverviewPage(sh("Overview", layout.SectionHome, "/"), dark)},
		{"overview-empty", vms.OverviewPage(func() layout.Shell {
			s := sh("Overview", layout.SectionHome, "/")
			s.Tree, s.Tasks, s.Counts = layout.Tree{}, nil, layout.Counts{}
			return s
		}(), vms.Overview{List: vms.List{Base: "/"}})},
		{"vms", vms.ListPage(list, sampleList())}, {"vms-filter-wrong", vms.ListPage(list, filtered)}, {"vms-empty", vms.ListPage(list, empty)},
		{"vm", vms.ShowPage(vmShell("", 0), vmPage("summary", 0))}, {"vm-busy", vms.ShowPage(vmShell("", 3), vmPage("summary", 3))}, {"vm-away", vms.ShowPage(vmShell("", 8), func() vms.Page { p := vmPage("summary", 8); p.Host = sampleHosts()[2]; return p }())},
		{"vm-hardware", vms.ShowPage(vmShell("hardware", 0), edit)}, {"vm-console", vms.ShowPage(vmShell("console", 1), vmPage("console", 1))}, {"vm-console-serial", vms.ShowPage(vmShell("console", 1), serial)}, {"vm-console-stopped", vms.ShowPage(vmShell("console", 10), vmPage("console", 10))},
		{"vm-tasks", vms.ShowPage(vmShell("tasks", 0), vmPage("tasks", 0))}, {"vm-events", vms.ShowPage(vmShell("events", 0), vmPage("events", 0))}, {"vm-definition", vms.ShowPage(vmShell("definition", 15), vmPage("definition", 15))},
		{"vm-new", vms.CreatePage(sh("New VM", layout.SectionVMs, "/vms/new", layout.Crumb{Label: "VMs", URL: live.VMs}), vms.Create{Form: form, Choices: sampleChoices(), Key: "k1"})},
		{"vm-new-wrong", vms.CreatePage(sh("New VM", layout.SectionVMs, "/vms/new"), vms.Create{Form: badForm, Choices: sampleChoices(), Err: formErr, Key: "k1"})},
		{"vm-ask", vms.AskPage(vmShell("", 0), vms.Ask{Action: domain.ActStop, VMs: sampleVMs()[:1], Key: "k", Back: "/vms"})}, {"vm-ask-bulk", vms.AskPage(list, vms.Ask{Action: domain.ActShutdown, VMs: many, Skip: []vms.Skipped{{VM: sampleVMs()[10], Why: "A stopped VM cannot be shut down."}}, Key: "k"})},
		{"vm-rename", vms.NamePage(vmShell("", 0), vms.Name{VM: sampleVMs()[10], Value: "x y", Err: invalid(domain.FieldError{Field: "name", Msg: "The name is taken on hv-ams-02."})})}, {"vm-clone", vms.NamePage(vmShell("", 0), vms.Name{VM: sampleVMs()[10], Clone: true, Value: "legacy-erp-copy"})},
		{"vm-delete", vms.DeletePage(vmShell("", 0), vms.Delete{VMs: sampleVMs()[:1], Files: files, Disks: true, Key: "k"})},
		{"vm-popout", vms.PopoutPage(list, vms.ConsolePage{VM: sampleVMs()[1], Host: sampleHosts()[0], Console: vms.ConsoleInfo{Kind: "vnc", Graphics: true, Serial: true}})},
		{"hosts", hosts.ListPage(sh("Hosts", layout.SectionHosts, "/hosts"), hosts.List{Items: hostRows()})}, {"hosts-empty", hosts.ListPage(sh("Hosts", layout.SectionHosts, "/hosts"), hosts.List{})},
		{"host-add", hosts.AddPage(sh("Add a host", layout.SectionHosts, "/hosts/new", hostCrumbs...), hosts.Add{Key: "k"})}, {"host-add-found", hosts.AddPage(sh("Add a host", layout.SectionHosts, "/hosts/try", hostCrumbs...), hosts.Add{Form: hostForm, Trial: &trial, Key: "k"})}, {"host-add-failed", hosts.AddPage(sh("Add a host", layout.SectionHosts, "/hosts/try", hostCrumbs...), hosts.Add{Form: hostForm, Trial: &failed, Key: "k"})},
		{"host-edit", hosts.EditPage(sh("Edit", layout.SectionHosts, "/"), hosts.Edit{Host: sampleHosts()[0], Form: hosts.Filled(sampleHosts()[0])})}, {"host-remove", hosts.RemovePage(sh("Remove", layout.SectionHosts, "/"), hosts.Remove{Row: hosts.Row{Host: sampleHosts()[0], VMs: 28}})},
	}
	for i, tab := range []string{"summary", "vms", "storage", "networks", "devices", "events"} {
		pg = append(pg, page{"host-" + tab, hosts.ShowPage(sh("hv-ams-01", layout.SectionHosts, live.HostTab("host_1", tab), hostCrumbs...), hostPage(tab, min(i, 0)))})
	}
	pg = append(pg, page{"host-away", hosts.ShowPage(sh("hv-ams-03", layout.SectionHosts, "/hosts/host_3", hostCrumbs...), hostPage("summary", 2))}, page{"host-maintenance", hosts.ShowPage(sh("hv-fra-01", layout.SectionHosts, "/hosts/host_4", hostCrumbs...), hostPage("summary", 3))})
	pg = append(pg, storagePages()...)
	for i, j := range sampleJobs() {
		pg = append(pg, page{"task-" + string(j.State) + fmt.Sprint(i), tasks.ShowPage(sh(j.Title, layout.SectionTasks, "/tasks/"+j.ID, layout.Crumb{Label: "Tasks", URL: live.Tasks}), tasks.Page{Job: j, Children: map[int][]domain.Job{1: sampleJobs()[3:]}[i], Log: []domain.JobLine{{At: ago(time.Minute), Step: "Start", Text: "KVM cannot be used here, so TCG was chosen. " + evil}, {At: ago(50 * time.Second), Text: "done"}}})})
	}
	pg = append(pg, imagePages()...)
	pg = append(pg, devicePages(vmShell)...)
	pg = append(pg, guestPages(vmShell)...)
	pg = append(pg, networkPages()...)
	pg = append(pg, secGroupPages()...)
	pg = append(pg, accessPages()...)
	pg = append(pg, signInPages()...)
	pg = append(pg, alertPages()...)
	pg = append(pg, webhookPages()...)
	pg = append(pg, folderPages()...)
	pg = append(pg, page{"vm-cards", vms.ShowPage(vmShell("hardware", 1), withCards(vmPage("hardware", 1)))}, page{"vm-addresses", vms.ShowPage(vmShell("", 1), withCards(vmPage("summary", 1)))})
	pg = append(pg, chartPages(sh, vmShell)...)
	return append(pg,
		page{"move", migrate.MovePage(sh("Move web-prod-01", layout.SectionVMs, "/vms/vm_1/migrate"), sampleMove())},
		page{"evacuate", migrate.EvacuatePage(sh("Evacuate hv-ams-01", layout.SectionHosts, "/hosts/host_1/evacuate"), sampleEvacuate())},
		page{"task-moving", tasks.ShowPage(sh(sampleMoving().Title, layout.SectionTasks, "/tasks/job_move"), tasks.Page{Job: sampleMoving()})}, page{"task-undecided", tasks.ShowPage(sh(sampleUndecided().Title, layout.SectionTasks, "/tasks/job_lost"), tasks.Page{Job: sampleUndecided(), Choices: []domain.JobChoice{
			{Name: "keep-source", Label: "Keep it on hv-ams-01", Does: "db-prod-01 stays on hv-ams-01 as it is there (paused). Its copy on hv-ams-02, which is running, is ended as if its plug were pulled, and its definition there is removed. Nothing is started, and no disk is deleted on either host."},
			{Name: "keep-target", Label: "Keep it on hv-ams-02", Does: "db-prod-01 stays on hv-ams-02 as it is there (running). " + evil}}})}, page{"policies", migrate.PoliciesPage(sh("Migration policies", layout.SectionTasks, "/migrations/policies"), samplePolicies())},
		page{"policies-none", migrate.PoliciesPage(sh("Migration policies", layout.SectionTasks, "/migrations/policies"), migrate.Policies{})},
		page{"policy", migrate.PolicyPage(sh("Migration policy of all VMs", layout.SectionTasks, "/migrations/policies/estate/all"), samplePolicy())}, page{"tune", tasks.TunePage(sh("Tune", layout.SectionTasks, "/migrations/job_move/tune"), tasks.Tune{Job: sampleMoving(), Bandwidth: "x", Err: domain.InvalidField("bandwidth", "“x” is not a bandwidth.", "a whole number of MiB/s from 1"), Key: "k"})},
		page{"drift", drift.ListPage(sh("Drift", layout.SectionTasks, "/drift"), sampleDrift())},
		page{"drift-none", drift.ListPage(sh("Drift", layout.SectionTasks, "/drift"), drift.Page{})},
		page{"plans", plans.ListPage(sh("Maintenance", layout.SectionHosts, "/plans"), plans.List{Items: []domain.Plan{samplePlan().Plan}})},
		page{"plans-none", plans.ListPage(sh("Maintenance", layout.SectionHosts, "/plans"), plans.List{})},
		page{"plan", plans.ShowPage(sh("Maintenance", layout.SectionHosts, "/plans"), samplePlan())},
		page{"plan-new", plans.NewPage(sh("Maintenance", layout.SectionHosts, "/plans"), plans.New{Hosts: sampleHosts(), Parallel: "2", Gate: "confirm"})},
		page{"plan-edit", plans.EditPage(sh("Maintenance", layout.SectionHosts, "/plans"), samplePlanEdit())},
		page{"plan-delete", plans.DeletePage(sh("Maintenance", layout.SectionHosts, "/plans"), plans.Delete{Plan: samplePlan().Plan})},
		page{"rules", plans.RulesPage(sh("Maintenance", layout.SectionHosts, "/plans"), plans.Rules{Rows: []plans.RuleRow{{Rule: sampleRule(), VMs: []string{"db-prod-01"}}}})},
		page{"rules-none", plans.RulesPage(sh("Maintenance", layout.SectionHosts, "/plans"), plans.Rules{})},
		page{"rule", plans.RulePage(sh("Maintenance", layout.SectionHosts, "/plans"), plans.RuleForm{Rule: sampleRule(), Tags: "db", VMs: sampleVMs(), Hosts: sampleHosts()})},
		page{"rule-delete", plans.RuleDeletePage(sh("Maintenance", layout.SectionHosts, "/plans"), plans.RuleDelete{Rule: sampleRule()})},
		page{"migrations", migrate.ListPage(sh("Migrations", layout.SectionTasks, "/migrations"), sampleMigrations())}, page{"migrations-none", migrate.ListPage(sh("Migrations", layout.SectionTasks, "/migrations"), migrate.List{})},
		page{"tasks", tasks.ListPage(sh("Tasks", layout.SectionTasks, "/tasks"), tasks.List{Items: sampleJobs(), Next: "x"})}, page{"tasks-none", tasks.ListPage(sh("Tasks", layout.SectionTasks, "/tasks?state=stuck"), tasks.List{State: "stuck"})},
		page{"events", events.ListPage(sh("Events", layout.SectionEvents, "/events"), events.List{Items: sampleEvents(), Next: "5"})},
		page{"search", search.ResultsPage(sh("Search", "", "/search?q=web"), search.Results{Query: "web" + evil, VMs: sampleVMs()[:3], MoreVMs: 4, Hosts: sampleHosts()[:1], Tasks: sampleJobs()[:1], Commands: []search.Command{{Label: "New VM", URL: live.VMNew, Icon: "plus", Keys: "n"}}})}, page{"search-none", search.ResultsPage(sh("Search", "", "/search"), search.Results{Query: "nothing"})},
		page{"account", account.AccountPage(sh("Account", layout.SectionAccount, "/account"), account1)}, page{"second-step", account.CodePage(account.Code{UserName: "lena" + evil, Next: "/vms", Err: "The code is wrong."})},
		page{"mfa", account.MFAPage(sh("Two-step sign-in", layout.SectionAccount, "/account/mfa"), account.MFA{Picture: "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", Secret: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", Codes: []string{"abcd-efgh-ijkl-mnop", "abcd-efgh-ijkl-mnoq"}, Factors: account1.Factors, Left: 9})}, page{"signin", account.SignInPage(account.SignIn{Version: "1.0", Local: true})}, page{"signin-wrong", account.SignInPage(account.SignIn{Name: "lena" + evil, Err: "Name or password is wrong.", Next: "/vms", Local: true})},
		page{"password", account.PasswordPage(account.Password{UserName: "admin", Forced: true, Err: invalid(domain.FieldError{Field: "password", Msg: "That is too short.", Want: "at least 10 characters"})})},
		page{"error-404", errors.Page(sh("Not found", "", "/x"), errors.Model{Status: 404, Err: domain.Errorf(domain.NotFound, "There is no VM “%s”.", evil), Back: "/vms", ID: "r1"})}, page{"error-409", errors.Page(sh("Busy", "", "/x"), errors.Model{Status: 409, Err: &domain.Error{Msg: "“Reboot db-prod-02” holds it.", Holder: "job_1"}})},
		page{"error-500", errors.BarePage(errors.Model{Status: 500, ID: "r2"})}, page{"error-507", errors.Page(sh("No room", "", "/x"), errors.Model{Status: 507, Err: &domain.Error{Msg: "No host has 2 TiB of memory free.", Reasons: []domain.Reason{{Subject: "hv-ams-01", Msg: "has 212 GiB free"}}}})},
	)
}

func hostRows() []hosts.Row {
	var out []hosts.Row
	for i, h := range sampleHosts() {
		out = append(out, hosts.Row{Host: h, VMs: 28 - i, Running: 22 - i, VCPUs: 61 + i, Memory: int64(300+40*i) * domain.GiB})
	}
	return out
}

func has(s, sub string) bool { return strings.Contains(s, sub) }

func sampleUndecided() domain.Job {
	return domain.Job{ID: "job_lost", Kind: "vm.migrate", Title: "Move db-prod-01 to hv-ams-02", State: domain.JobStuck, Resource: domain.Ref{Kind: "vm", ID: "vm_02", Name: "db-prod-01"}, Actor: "lena", CreatedAt: ago(4 * time.Minute), StartedAt: ago(4 * time.Minute), EndedAt: ago(3 * time.Minute),
		Error: &domain.JobError{Code: domain.Conflict, Message: "Where db-prod-01 is to be cannot be decided: both hosts have it.", Fix: "Look at it on hv-ams-01 and on hv-ams-02 before doing anything.", Step: "move",
			Reasons: []domain.Reason{{Subject: "hv-ams-01", Msg: "has it, paused (paused for migration)"}, {Subject: "hv-ams-02", Msg: "has it, running (migrated here)"}}},
		Help: "Both hosts were asked, and what they said is above."}
}
