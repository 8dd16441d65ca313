package alerts

import (
	"context"
	"time"

	"novacron/db"
	"novacron/domain"
)

// sets are the rules that every estate begins with, by the setting that marks that they were written once: who deletes one does not find it back. An estate that
// is older than a set gets it when its server is renewed.
var sets = []struct {
	seeded string
	rules  func() []domain.AlertRule
}{{"alerts.starter", starter}, {"alerts.starter.2", further}}

// starter is the first set. It is made to be quiet: each waits until the matter is one.
func starter() []domain.AlertRule {
	rule := starting
	flapping := func(r domain.AlertRule, keep time.Duration) domain.AlertRule {
		r.KeepFiringFor = keep
		return r
	}
	return []domain.AlertRule{
		rule("HostAway", "critical", "novacron_host_up == 0", time.Minute, "The host {{ $labels.host }} does not answer.",
			"Its VMs may run on unseen. Look at its power and its network, then at libvirt on it. Alerts about its VMs stay quiet until it is back.", "inhibits", "host"),
		rule("GuestCrashed", "warning", "novacron_vm_crashed == 1", 0, "The VM {{ $labels.vm }} on {{ $labels.host }} has crashed.",
			"QEMU died or the guest's kernel panicked. Its console's last picture and the host's log of QEMU say more; then start it again."),
		rule("PoolFills", "warning", "predict_linear(novacron_host_pool_available_bytes[6h], 86400) < 0\n  and novacron_host_pool_available_bytes / novacron_host_pool_capacity_bytes < 0.25", 30*time.Minute,
			"The pool {{ $labels.pool }} on {{ $labels.host }} will be full within a day, if it goes on so.", "Move or delete volumes, or make the pool larger."),
		flapping(rule("PoolFull", "critical", "novacron_host_pool_available_bytes / novacron_host_pool_capacity_bytes < 0.03", 5*time.Minute,
			"The pool {{ $labels.pool }} on {{ $labels.host }} has {{ $value | humanizePercentage }} left.", "Guests that write to thin disks there will stop soon. Make room now."), 10*time.Minute),
		flapping(rule("HostMemoryPressure", "warning", "(novacron_host_memory_free_bytes + novacron_host_memory_buffers_bytes + novacron_host_memory_cached_bytes) / novacron_host_memory_total_bytes < 0.05", 10*time.Minute,
			"The host {{ $labels.host }} has {{ $value | humanizePercentage }} of its memory left.", "Move VMs away, or lower their memory, before the kernel kills one."), 10*time.Minute),
		flapping(rule("Steal", "warning", "avg by (vm, vm_id, host, tenant) (rate(novacron_vm_vcpu_delay_seconds_total[5m])) > 0.25", 15*time.Minute,
			"The VM {{ $labels.vm }} waits {{ $value | humanizePercentage }} of the time for a processor of {{ $labels.host }}.", "The host has too many busy processors for its own: move some of them."), 10*time.Minute),
		flapping(rule("DiskLatency", "warning", "(rate(novacron_vm_disk_read_seconds_total[5m]) + rate(novacron_vm_disk_write_seconds_total[5m]))\n  / (rate(novacron_vm_disk_reads_total[5m]) + rate(novacron_vm_disk_writes_total[5m])) > 0.2\n  and (rate(novacron_vm_disk_reads_total[5m]) + rate(novacron_vm_disk_writes_total[5m])) > 1", 15*time.Minute,
			"Requests to the disk {{ $labels.disk }} of {{ $labels.vm }} take {{ $value | humanizeDuration }}.", "Look at the pool that it lies in, and at who else uses it."), 10*time.Minute),
		flapping(rule("GuestDiskFull", "warning", "novacron_vm_filesystem_used_bytes / novacron_vm_filesystem_size_bytes > 0.95", 15*time.Minute,
			"The file system {{ $labels.mountpoint }} of {{ $labels.vm }} is {{ $value | humanizePercentage }} full.", "Its guest will fail to write soon: delete what is not needed in it, or make its disk larger."), 10*time.Minute),
		flapping(rule("GuestClock", "warning", "abs(novacron_vm_clock_skew_seconds) > 30", 10*time.Minute, "The clock of {{ $labels.vm }} is {{ $value | humanizeDuration }} off.",
			"Set it on the page of its guest, and let something keep it, such as chrony."), 10*time.Minute),
		rule("HostClock", "warning", "node_timex_sync_status == 0", 15*time.Minute, "Nothing keeps the clock of the host {{ $labels.host }}.", "Let chrony or systemd-timesyncd run there. This is known of hosts whose node_exporter sends here."),
		rule("TaskStuck", "warning", "novacron_jobs_stuck > 0", 5*time.Minute, "{{ $value }} tasks of the kind {{ $labels.kind }} are stuck.", "Each says on its page what a person has to do."),
		rule("MigrationStuck", "warning", `novacron_job_running_seconds{kind="vm.migrate"} > 7200`, 5*time.Minute, "A migration runs for {{ $value | humanizeDuration }} already.", "The guest may write faster than the network takes it: allow it a longer pause, or cancel."),
		rule("CertificateExpires", "warning", "novacron_certificate_expiry_timestamp_seconds - time() < 14 * 86400", time.Hour, "The certificate of this server ends in {{ $value | humanizeDuration }}.", "Put a new one in its place: it is read when it changes."),
		rule("ScrapeGap", "info", "increase(novacron_host_scrapes_missed_total[15m]) > 10 and novacron_host_up == 1", 15*time.Minute, "The host {{ $labels.host }} was not measured {{ $value | humanize }} times within 15 minutes.", "It answers too slowly, or the server is too busy: charts have gaps."),
		rule("NotificationsFail", "critical", "novacron_notifications_stuck > 0", time.Minute, "{{ $value }} messages to {{ $labels.receiver }} could not be delivered.", "The receiver's page says what came of them."),
	}
}

// further is the second set.
func further() []domain.AlertRule {
	pressure := starting("HostCPUPressure", "warning", "rate(node_pressure_cpu_waiting_seconds_total[5m]) > 0.4", 15*time.Minute, "On the host {{ $labels.host }} something waits for a processor {{ $value | humanizePercentage }} of the time.",
		"The host has too many busy processors for its own: move VMs away. This is known of hosts whose node_exporter sends here: libvirt does not tell it.")
	pressure.KeepFiringFor = 10 * time.Minute
	return []domain.AlertRule{
		starting("BackupLate", "warning", "time() - novacron_backup_timestamp_seconds > 2 * 86400", time.Hour, "The newest backup of this server is {{ $value | humanizeDuration }} old.",
			"Run novacron backup create by a timer, and look at what became of its last run. An estate that was never backed up is not told so."),
		starting("MeasuringStopped", "critical", "time() - max_over_time(timestamp(novacron_series)[2d:5m]) > 120\n  unless timestamp(novacron_series) > time() - 120", time.Minute, "Nothing has been measured for about {{ $value | humanizeDuration }}.",
			"The disk that holds the samples is full, or the server cannot write to it: its log says which. Make room; measuring goes on by itself, and rules about samples see nothing until then."),
		pressure,
	}
}

// starting makes a rule of a set; more are labels, each with its value.
func starting(name, severity, expr string, wait time.Duration, summary, todo string, more ...string) domain.AlertRule {
	labels := map[string]string{domain.SeverityLabel: severity}
	for i := 0; i+1 < len(more); i += 2 {
		labels[more[i]] = more[i+1]
	}
	return domain.AlertRule{Name: name, Group: "starter", Expr: expr, For: wait, Labels: labels, Annotations: map[string]string{"summary": summary, "description": todo}, Starter: true}
}

// Seed writes the first rules, each set once.
func Seed(ctx context.Context, d *db.DB, now time.Time) error {
	for _, set := range sets {
		if _, done, err := d.Setting(ctx, set.seeded); err != nil {
			return err
		} else if done {
			continue
		}
		err := d.Write(ctx, func(tx *db.Tx) error {
			for _, r := range set.rules() {
				r.ID, r.CreatedAt = domain.NewID("arule", now), now
				if err := tx.PutAlertRule(r); err != nil {
					return err
				}
			}
			return tx.SetSetting(set.seeded, "1")
		})
		if err != nil {
			return err
		}
	}
	return nil
}
