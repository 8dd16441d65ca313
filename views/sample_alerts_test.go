package views_test

import (
	"time"

	"novacron/domain"
	"novacron/domain/alerting"
	"novacron/views/alerts"
	"novacron/views/layout"
	"novacron/views/ui"
)

func sampleAlert() domain.Alert {
	return domain.Alert{ID: "alert_1", RuleID: "arule_1", Name: "PoolFills", State: domain.AlertFiring, Severity: "warning", HostID: "host_b1", Labels: map[string]string{"alertname": "PoolFills", "host": "b1", "pool": "default", "severity": "warning"},
		Annotations: map[string]string{"summary": "The pool default on b1 will be full within a day, if it goes on so.", "description": "Move or delete volumes, or make the pool larger."}, Value: 0.0321, ActiveAt: ago(2 * time.Hour), FiredAt: ago(time.Hour),
		AckedAt: ago(time.Minute), AckedBy: "ada", IncidentID: "inc_1"}
}

func sampleAlertRule() domain.AlertRule {
	return domain.AlertRule{ID: "arule_1", Name: "PoolFills", Group: "starter", Expr: "predict_linear(novacron_host_pool_available_bytes[6h], 86400) < 0", For: 30 * time.Minute, Labels: map[string]string{"severity": "warning"}, Starter: true, Version: 3}
}

// sampleRota hands over at nine, with somebody standing in, and nobody on Sunday.
func sampleRota() alerts.RotaWeek {
	r := domain.Rota{ID: "rota_1", Name: "Operations", TimeZone: "UTC", HandOver: "09:00", Days: [7]string{"", "recv_ann", "recv_ann", "recv_ann", "recv_bob", "recv_bob", "recv_bob"}, Version: 2,
		Overrides: []domain.RotaOverride{{ID: "ovr_1", From: now.Add(24 * time.Hour), To: now.Add(30 * time.Hour), Receiver: "recv_bob", Note: "dentist", By: "ada"}}}
	out := alerts.RotaWeek{Rota: r}
	day := now.UTC().Truncate(24 * time.Hour)
	for i := range 7 {
		d := alerts.RotaDay{Start: day.AddDate(0, 0, i), End: day.AddDate(0, 0, i+1)}
		for _, s := range alerting.Stretches(&r, d.Start, d.End) {
			d.Parts = append(d.Parts, alerts.Stretch{From: s.From, To: s.To, Receiver: s.Receiver, StandsIn: s.Override != ""})
		}
		out.Week = append(out.Week, d)
	}
	on := alerting.OnCall(&r, now)
	out.Now = alerts.Stretch{From: on.From, To: on.To, Receiver: on.Receiver}
	return out
}

func alertPages() []page {
	sh := func(title, url string) layout.Shell { return shell(title, layout.SectionAlerts, url) }
	quiet, over := sampleAlert(), sampleAlert()
	quiet.ID, quiet.Quiet, quiet.State, quiet.AckedBy = "alert_2", "the host b1 is in maintenance", domain.AlertPending, ""
	over.ID, over.State, over.ResolvedAt = "alert_3", domain.AlertResolved, ago(time.Minute)
	hit := sampleAlert()
	hit.ID, hit.VMID, hit.Name = "alert_4", "vm_1", "DiskLatency"
	wrong := domain.InvalidField("expr", "The expression cannot be read at line 1, column 5: unexpected end of input.", "an expression in PromQL")
	mail := domain.Receiver{ID: "recv_1", Name: "ops", Kind: domain.ReceiveMail, To: []string{"ops@example.org"}, Resolved: true, Version: 1}
	sent := domain.Notification{ReceiverID: "recv_1", Group: `{alertname="PoolFills", host="b1"}`, State: domain.NotificationSent, Attempts: 1, CreatedAt: ago(time.Hour), SentAt: ago(time.Hour), Firing: []string{"alert_1"}}
	late := sent
	late.State, late.Attempts, late.Error = domain.NotificationQueued, 3, "The mail server did not take a mail."
	inc := domain.Incident{ID: "inc_1", CauseID: "alert_1", Title: "HostAway, PoolFills on b1", Cause: "The host b1 does not answer.", Hosts: []string{"host_b1"}, VMs: []string{"vm_1"}, StartedAt: ago(time.Hour), Alerts: 2}
	ended := inc
	ended.EndedAt = ago(time.Minute)
	events := []domain.Event{{Seq: 2, At: ago(time.Minute), Kind: "alert.commented", Message: "It was the cable.", Actor: "ada"}, {Seq: 1, At: ago(time.Hour), Kind: "alert.firing", Message: "Firing: The pool default on b1 will be full.", Actor: "system"}}
	metrics := domain.Metrics[:5]
	ann, bob := domain.Receiver{ID: "recv_ann", Name: "ann", Kind: domain.ReceiveMail, OnlyOnCall: true}, domain.Receiver{ID: "recv_bob", Name: "bob", Kind: domain.ReceiveMail, OnlyOnCall: true}
	names := map[string]string{"recv_ann": "ann", "recv_bob": "bob", "rota_1": "the rota Operations"}
	rota := sampleRota()
	ladder := domain.Escalation{ID: "esc_1", Name: "Critical", Matchers: []domain.Matcher{{Name: "severity", Op: "=", Value: "critical"}}, Steps: []domain.EscalationStep{{To: "rota_1"}, {After: 15 * time.Minute, To: "recv_bob"}}, Version: 1}
	told := []alerts.Told{{At: ago(time.Hour), Receiver: "ann", Why: "is on call in the rota Operations until Tue 09:00 CET (step 1 of Critical)"}, {At: ago(45 * time.Minute), Why: "nobody is on call in the rota Night (step 2 of Critical)"}}
	return []page{
		{"alerts", alerts.ListPage(sh("Alerts", "/alerts"), alerts.List{Items: []domain.Alert{sampleAlert(), quiet, over}, Rules: 3, Receives: 1})},
		{"alerts-none", alerts.ListPage(sh("Alerts", "/alerts"), alerts.List{Rules: 3})},
		{"alerts-begin", alerts.ListPage(sh("Alerts", "/alerts"), alerts.List{})},
		{"alert", alerts.ShowPage(sh("PoolFills", "/alerts/alert_1"), alerts.Page{Alert: sampleAlert(), Rule: new(sampleAlertRule()), Events: events})},
		{"alert-quiet", alerts.ShowPage(sh("PoolFills", "/alerts/alert_2"), alerts.Page{Alert: quiet})},
		{"alert-escalated", alerts.ShowPage(sh("PoolFills", "/alerts/alert_1"), alerts.Page{Alert: sampleAlert(), Told: told, Events: events})},
		{"oncall", alerts.OnCallPage(sh("Alerts", "/alerts/oncall"), alerts.OnCall{Rotas: []alerts.RotaWeek{rota}, Escalations: []domain.Escalation{ladder}, Names: names, Receives: 2})},
		{"oncall-none", alerts.OnCallPage(sh("Alerts", "/alerts/oncall"), alerts.OnCall{})},
		{"rota", alerts.RotaPage(sh("Operations", "/alerts/oncall/rotas/rota_1"), alerts.RotaForm{RotaWeek: rota, Receivers: []domain.Receiver{ann, bob}, Names: names, MayWrite: true, Now: now})},
		{"rota-new", alerts.RotaPage(sh("New rota", "/alerts/oncall/rotas/new"), alerts.RotaForm{Receivers: []domain.Receiver{ann, bob}, MayWrite: true, Now: now})},
		{"escalation", alerts.EscalationPage(sh("Critical", "/alerts/oncall/escalations/esc_1"), alerts.EscalationForm{Escalation: ladder, Matchers: `severity="critical"`, Steps: []alerts.EscalationStep{{To: "rota_1"}, {After: "15m", To: "recv_bob"}, {}}, To: []ui.Option{{Label: "no step"}, {Value: "rota_1", Label: "who is on call in Operations"}, {Value: "recv_bob", Label: "bob"}}, MayWrite: true})},
		{"alert-rules", alerts.RulesPage(sh("Alerts", "/alerts/rules"), alerts.Rules{Items: []domain.AlertRule{sampleAlertRule()}, Stand: map[string]int{"arule_1": 2}})},
		{"alert-rules-none", alerts.RulesPage(sh("Alerts", "/alerts/rules"), alerts.Rules{})},
		{"alert-rule-plain", alerts.RulePage(sh("New rule", "/alerts/rules/new"), alerts.RuleForm{Plain: true, Metric: metrics[0].Name, Metrics: metrics, Compare: ">", For: "5m", Severity: "warning", Past: "1d", MayWrite: true})},
		{"alert-rule", alerts.RulePage(sh("PoolFills", "/alerts/rules/arule_1"), alerts.RuleForm{Rule: sampleAlertRule(), For: "30m", Severity: "warning", Past: "1d", MayWrite: true, Previewed: true, Grain: time.Minute, Episodes: []alerts.Episode{{Labels: "host=b1, pool=default", From: ago(time.Hour)}}})},
		{"alert-rule-wrong", alerts.RulePage(sh("PoolFills", "/alerts/rules/arule_1"), alerts.RuleForm{Rule: sampleAlertRule(), Severity: "warning", Past: "1d", MayWrite: true, Err: wrong})},
		{"alert-rule-delete", alerts.AskDelete(sh("Delete", "/alerts/rules/arule_1/delete"), "Delete the rule PoolFills?", "What stands by it is over.", "/alerts/rules/arule_1/delete", "/alerts/rules")},
		{"alert-import", alerts.ImportPage(sh("Import rules", "/alerts/rules/import"), alerts.Import{YAML: "groups: []"})},
		{"silences", alerts.SilencesPage(sh("Alerts", "/alerts/silences"), alerts.Silences{Items: []domain.Silence{{ID: "sil_1", Matchers: []domain.Matcher{{Name: "host", Op: "=", Value: "b1"}}, StartsAt: ago(time.Hour), EndsAt: ago(-time.Hour), Comment: "being moved", CreatedBy: "ada"}}})},
		{"silences-none", alerts.SilencesPage(sh("Alerts", "/alerts/silences"), alerts.Silences{})},
		{"silence-new", alerts.SilencePage(sh("New silence", "/alerts/silences/new"), alerts.SilenceForm{Matchers: `host="b1"`, Lasts: "2h"})},
		{"receivers", alerts.ReceiversPage(sh("Alerts", "/alerts/receivers"), alerts.Receivers{Items: []domain.Receiver{mail}, Last: map[string]domain.Notification{"recv_1": sent}})},
		{"receivers-none", alerts.ReceiversPage(sh("Alerts", "/alerts/receivers"), alerts.Receivers{})},
		{"receiver", alerts.ReceiverPage(sh("ops", "/alerts/receivers/recv_1"), alerts.ReceiverForm{Receiver: mail, To: "ops@example.org", Groups: "alertname host", Wait: "1m", Repeat: "4h", Log: []domain.Notification{late, sent}, MayWrite: true})},
		{"receiver-webhook", alerts.ReceiverPage(sh("New receiver", "/alerts/receivers/new"), alerts.ReceiverForm{Receiver: domain.Receiver{Kind: domain.ReceiveWebhook}, MayWrite: true, Mails: true})},
		{"receiver-chat", alerts.ReceiverPage(sh("New receiver", "/alerts/receivers/new"), alerts.ReceiverForm{Receiver: domain.Receiver{Kind: domain.ReceiveChat}, MayWrite: true, Mails: true})},
		{"incidents", alerts.IncidentsPage(sh("Alerts", "/alerts/incidents"), alerts.Incidents{Items: []domain.Incident{inc, ended}})},
		{"incidents-none", alerts.IncidentsPage(sh("Alerts", "/alerts/incidents"), alerts.Incidents{})},
		{"incident", alerts.OneIncident(sh("HostAway", "/alerts/incidents/inc_1"), alerts.IncidentPage{Incident: inc, Alerts: []domain.Alert{sampleAlert(), quiet, hit}, Line: events, Names: map[string]string{"host_b1": "b1", "vm_1": "web"}, Ties: []domain.AlertTie{{AlertID: hit.ID, Kind: "network", ID: "net_1", Name: "lan" + evil}, {AlertID: hit.ID, Kind: "pool", ID: "pool_1", Name: "default"}}})},
	}
}
