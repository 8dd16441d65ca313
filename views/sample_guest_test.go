package views_test

import (
	"time"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/vms"
)

func sampleGuest() vms.Guest {
	return vms.Guest{
		Record: domain.GuestRecord{AskedAt: ago(20 * time.Second), AnsweredAt: ago(20 * time.Second), Facts: domain.GuestFacts{Agent: "7.2.0", Hostname: "web-prod-01", OSID: "debian", OSName: "Debian GNU/Linux 12 (bookworm)" + evil, Kernel: "6.1.0-56-cloud-amd64", Machine: "x86_64",
			Timezone: "Europe/Berlin", Clock: ago(20 * time.Second), Skew: -1300 * time.Millisecond, Load: []float64{0.31, 0.2, 0.05}, Users: []domain.GuestUser{{Name: "ada" + evil, Since: ago(3 * time.Hour)}, {Name: "bob", Domain: "CORP"}},
			FileSystems: []domain.GuestFileSystem{{Mount: "/", Device: "vda2", Type: "ext4", TotalBytes: 40 * domain.GiB, UsedBytes: 11 * domain.GiB, Disks: []string{"vda"}}, {Mount: "/boot/efi", Device: "vda1", Type: "vfat"}},
			Cards:       []domain.GuestCard{{Name: "lo", Addresses: []string{"127.0.0.1/8", "::1/128"}}, {Name: "enp1s0", MAC: "52:54:00:aa:00:01", Addresses: []string{"192.168.122.17/24", "fe80::5054:ff:feaa:1/64"}}}}},
		Rules: domain.ExecRules{"uptime", "/systemctl (status|restart) [a-z]+/"},
		Commands: []vms.GuestCommand{
			{JobID: "job_1", Line: "systemctl status nginx", Actor: "lena", At: ago(time.Minute), State: domain.JobSucceeded, Ended: true, Code: 3, Out: "● nginx.service - A web server\n   Active: inactive (dead)\n" + evil, Err: "warning: " + evil, ErrMore: true, Took: 240 * time.Millisecond},
			{JobID: "job_2", Line: "uptime -p", Actor: "lena", At: ago(2 * time.Minute), State: domain.JobSucceeded, Ended: true, Took: 40 * time.Millisecond},
			{JobID: "job_3", Line: "sh -c 'sleep 900'", Actor: "token ci", At: ago(20 * time.Minute), State: domain.JobSucceeded, Ended: true, Signal: 9, TimedOut: true, Took: time.Minute},
			{JobID: "job_4", Line: "apt-get update", Actor: "lena", At: ago(3 * time.Second), State: domain.JobRunning},
			{JobID: "job_5", Line: "nosuch", Actor: "lena", At: ago(time.Hour), State: domain.JobUndone, Failed: "The agent could not start it: no such file. " + evil}},
		Seed:        &domain.Seed{Kind: domain.SeedCloudInit, Pool: "default", Volume: "web-prod-01-seed.iso", InstanceID: "4b2f6d1e-0000-4000-8000-000000000000", UpdatedAt: ago(24 * time.Hour), Content: domain.SeedContent{CloudInit: sampleCloudInit()}, Version: 2},
		HasPassword: true,
		Processes: domain.GuestProcesses{At: ago(time.Minute), Total: 83, Processes: []domain.GuestProcess{{PID: 912, User: "postgres", Name: "postgres" + evil, CPUPercent: 143.5, MemoryBytes: 1610612736},
			{PID: 7, User: "root", Name: "migration/0", CPUPercent: 6.7, MemoryBytes: 0}, {PID: 22, User: "systemd+", Name: "systemd-resolve", MemoryBytes: 13520896}, {PID: 4211, User: "ada", Name: "a-program-with-a-rather-long-name", CPUPercent: 0.3, MemoryBytes: -1}}},
	}
}

func sampleCloudInit() *domain.CloudInit {
	return &domain.CloudInit{User: "ada", SSHKeys: []string{"ssh-ed25519 AAAA ada@home"}, Packages: []string{"nginx", "qemu-guest-agent"}, RunCmd: []string{"systemctl enable --now nginx", "line one\nline two"}, Timezone: "Europe/Berlin",
		Network: []domain.CloudInitCard{{Name: "e*", Addresses: []string{"192.0.2.10/24", "2001:db8::10/64"}, Gateway4: "192.0.2.1", Gateway6: "2001:db8::1", Nameservers: []string{"192.0.2.53"}}}, UserData: "#cloud-config\nwrite_files: []\n" + evil}
}

// guestPages are the guest tab in its states, its dialogs, and what the first boot reads.
func guestPages(vmShell func(tab string, i int) layout.Shell) []page {
	tab := func(i int, g vms.Guest) vms.Page {
		p := vmPage("guest", i)
		p.Guest = g
		return p
	}
	channel := func(p vms.Page) vms.Page {
		p.VM.Config.GuestAgent = true
		if p.VM.Live != nil {
			lv := *p.VM.Live
			lv.GuestAgent = true
			p.VM.Live = &lv
		}
		return p
	}
	frozen, refused := sampleGuest(), sampleGuest()
	frozen.Record.Facts.Frozen, frozen.Seed = true, nil
	refused.Processes, refused.ProcessesWhy = domain.GuestProcesses{}, "This VM does not allow the command “top -b -n 2 -d 1”."
	refused.Exec = vms.ExecForm{Line: `rm "`, Timeout: "x", Err: invalid(domain.FieldError{Field: "argv", Msg: "A quote is not closed.", Want: `a second "`}, domain.FieldError{Field: "timeout_s", Msg: "That is not a number."})}
	silent := vms.Guest{Record: domain.GuestRecord{AskedAt: ago(time.Minute), Problem: "No guest agent answers in web-prod-01.", Fix: "Install it."}, Exec: vms.ExecForm{Err: domain.Errorf(domain.Unavailable, "No agent answers.")}}
	windows := vms.Guest{Seed: &domain.Seed{Kind: domain.SeedWindows, Pool: "default", Volume: "win-seed.iso", Content: domain.SeedContent{Windows: &domain.Unattend{ComputerName: "AD-1", DriverISO: "/iso/virtio.iso"}}}}
	pg := []page{
		{"guest", vms.ShowPage(vmShell("guest", 1), channel(tab(1, sampleGuest())))},
		{"guest-frozen", vms.ShowPage(vmShell("guest", 1), channel(tab(1, frozen)))},
		{"guest-refused", vms.ShowPage(vmShell("guest", 1), channel(tab(1, refused)))},
		{"guest-silent", vms.ShowPage(vmShell("guest", 1), channel(tab(1, silent)))},
		{"guest-new", vms.ShowPage(vmShell("guest", 1), channel(tab(1, vms.Guest{})))},
		{"guest-no-channel", vms.ShowPage(vmShell("guest", 2), tab(2, windows))},
		{"guest-stopped", vms.ShowPage(vmShell("guest", 10), tab(10, sampleGuest()))},
	}
	for _, action := range []string{"freeze", "password", "ssh-keys", "allow"} {
		pg = append(pg, page{"guest-ask-" + action, vms.AskGuestPage(vmShell("guest", 1), vms.GuestAsk{VM: sampleVMs()[1], Action: action, User: "root" + evil, Text: "uptime", Seconds: "60", Add: "1", Key: "k",
			Err: invalid(domain.FieldError{Field: "user", Msg: "That is not a user's name.", Want: "the name of a user"})})})
	}
	form := vms.FormOfCloudInit(*sampleCloudInit(), true, 2)
	first := vms.FirstBootForm{Kind: vms.FirstBootCloud, Cloud: form}
	bad := vms.FirstBootForm{Kind: vms.FirstBootCloud, Cloud: vms.CloudInitForm{User: "Ada " + evil, Keys: "\nno key\n", UserData: "#cloud-config\npackges: [x]\n", Net: "raw", NetworkConfig: "version: 3"}}
	windowsForm := vms.FirstBootForm{Kind: vms.FirstBootWindows, Win: vms.WindowsForm{Locale: "en-US", DriverISO: "/var/lib/libvirt/images/virtio-win.iso"}}
	create := func(f vms.FirstBootForm, err *domain.Error) vms.Create {
		c := vms.NewCreateForm(sampleChoices(), "")
		c.FirstBoot = f
		return vms.Create{Form: c, Choices: sampleChoices(), Key: "k", Preview: vms.PreviewOf(f, "web-1", "(made with the VM)", false), Err: err}
	}
	wrong := invalid(vms.Unnumbered(domain.FieldError{Field: "cloud_init.ssh_keys.1", Msg: "That is not a public SSH key."}), domain.FieldError{Field: "cloud_init.user", Msg: "That is not a user's name.", Want: "ada"}, domain.FieldError{Field: "cloud_init.user_data", Msg: "Line 2, “packges”: There is no such key."})
	return append(pg,
		page{"vm-new-cloud-init", vms.CreatePage(vmShell("", 0), create(first, nil))},
		page{"vm-new-cloud-init-wrong", vms.CreatePage(vmShell("", 0), create(bad, wrong))},
		page{"vm-new-windows", vms.CreatePage(vmShell("", 0), create(windowsForm, nil))},
		page{"cloud-init", vms.CloudInitPage(vmShell("guest", 1), vms.EditCloudInit{VM: sampleVMs()[1], Form: form, Preview: vms.PreviewOf(first, "web-1", "4b2f", false), Key: "k"})},
		page{"cloud-init-add", vms.CloudInitPage(vmShell("guest", 1), vms.EditCloudInit{VM: sampleVMs()[1], New: true, Form: bad.Cloud, Preview: vms.PreviewOf(bad, "web-1", "4b2f", false), Key: "k", Err: wrong})},
		page{"first-boot-preview", vms.PreviewPage(vmShell("", 1), vms.PreviewOf(first, "web-1", "4b2f", false))},
		page{"vms-demo", vms.ListPage(vmShell("", 1), vms.List{Base: "/vms", Hosts: 1, Demo: true})},
	)
}
