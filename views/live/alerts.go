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
	Incidents      = "/alerts/incidents"
	PatIncident    = "/alerts/incidents/:id"

	OnAlerts     = "alerts" // the list's part of the stream
	AlertList    = "alert-list"
	AlertBody    = "alert-body"
	AlertForm    = "alert-rule"
	ReceiverForm = "receiver"
	SilenceForm  = "silence"
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

// Incident is one incident's page.
func Incident(id string) string { return at("alerts", "incidents", id) }
