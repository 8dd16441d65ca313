package live

// Pages of alerts, of their rules, of silences, receivers and incidents.
const (
	Alerts         = "/alerts"              // GET list
	PatAlert       = "/alerts/:id"          // GET
	PatAlertAct    = "/alerts/:id/:act"     // POST acknowledge, unacknowledge, comment
	AlertRules     = "/alerts/rules"        // GET list; POST makes one, or shows when it would have fired
	AlertRuleNew   = "/alerts/rules/new"    // GET form
	AlertImport    = "/alerts/rules/import" // GET form; POST yaml
	AlertExport    = "/alerts/rules/export" // GET the rule file
	PatAlertRule   = "/alerts/rules/:id"    // GET form; POST changes it
	PatAlertRuleDo = "/alerts/rules/:id/:act"
	Silences       = "/alerts/silences" // GET list; POST makes one
	SilenceNew     = "/alerts/silences/new"
	PatSilenceEnd  = "/alerts/silences/:id/end"
	Receivers      = "/alerts/receivers" // GET list; POST makes one
	ReceiverNew    = "/alerts/receivers/new"
	PatReceiver    = "/alerts/receivers/:id"      // GET form and log; POST changes it
	PatReceiverDo  = "/alerts/receivers/:id/:act" // GET delete: dialog; POST delete, test
	OnCall         = "/alerts/oncall"             // GET who is on call, and the escalations
	Rotas          = "/alerts/oncall/rotas"       // POST makes one
	RotaNew        = "/alerts/oncall/rotas/new"
	PatRota        = "/alerts/oncall/rotas/:id"      // GET form; POST changes it
	PatRotaDo      = "/alerts/oncall/rotas/:id/:act" // GET delete: dialog; POST delete, stand-in, end
	Escalations    = "/alerts/oncall/escalations"    // POST makes one
	EscalationNew  = "/alerts/oncall/escalations/new"
	PatEscalation  = "/alerts/oncall/escalations/:id"
	PatEscalDo     = "/alerts/oncall/escalations/:id/:act" // GET delete: dialog; POST delete
	Incidents      = "/alerts/incidents"
	PatIncident    = "/alerts/incidents/:id"

	OnAlerts     = "alerts" // the list's part of the stream
	AlertList    = "alert-list"
	AlertBody    = "alert-body"
	AlertForm    = "alert-rule"
	ReceiverForm = "receiver"
	SilenceForm  = "silence"
	RotaForm     = "rota"
	StandInForm  = "stand-in"
	EscalForm    = "escalation"
)

// Alert is one alert's page.
func Alert(id string) string { return at("alerts", id) }

// AlertAct does something with it.
func AlertAct(id, act string) string { return at("alerts", id, act) }

// AlertRule is one rule's form.
func AlertRule(id string) string { return at("alerts", "rules", id) }

// AlertRuleDo asks for and does something with it.
func AlertRuleDo(id, act string) string { return at("alerts", "rules", id, act) }

// SilenceEnd ends a silence.
func SilenceEnd(id string) string { return at("alerts", "silences", id, "end") }

// Receiver is one receiver's form and log.
func Receiver(id string) string { return at("alerts", "receivers", id) }

// ReceiverDo asks for and does something with it.
func ReceiverDo(id, act string) string { return at("alerts", "receivers", id, act) }

// Rota is one rota's form and week.
func Rota(id string) string { return at("alerts", "oncall", "rotas", id) }

// RotaDo asks for and does something with it.
func RotaDo(id, act string) string { return at("alerts", "oncall", "rotas", id, act) }

// Escalation is one escalation's form.
func Escalation(id string) string { return at("alerts", "oncall", "escalations", id) }

// EscalationDo asks for and does something with it.
func EscalationDo(id, act string) string { return at("alerts", "oncall", "escalations", id, act) }

// Incident is one incident's page.
func Incident(id string) string { return at("alerts", "incidents", id) }
