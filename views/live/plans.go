package live

// Pages of maintenance plans and of affinity rules.
const (
	Plans       = "/plans"          // GET list; POST title, hosts (repeated), label, parallel, gate
	PlanNew     = "/plans/new"      // GET form
	PatPlan     = "/plans/:id"      // GET
	PatPlanEdit = "/plans/:id/edit" // GET form; POST version, title, parallel, gate, start_at, time_zone, vm, host, order (the last three repeated, one of each a VM)
	PatPlanAct  = "/plans/:id/:act" // POST approve, start, stop, resume, confirm, replan, delete; GET delete: dialog
	Rules       = "/affinity-rules" // GET list; POST makes one
	RuleNew     = "/affinity-rules/new"
	PatRule     = "/affinity-rules/:id"        // GET form, POST changes it
	PatRuleDel  = "/affinity-rules/:id/delete" // GET dialog, POST
	PlanBody    = "plan-body"
	PlanFormID  = "plan"
	RuleFormID  = "rule"
)

// Plan is one plan's page.
func Plan(id string) string { return at("plans", id) }

// PlanEdit changes it.
func PlanEdit(id string) string { return at("plans", id, "edit") }

// PlanAct does something with it.
func PlanAct(id, act string) string { return at("plans", id, act) }

// Rule is one affinity rule's form.
func Rule(id string) string { return at("affinity-rules", id) }

// RuleDelete asks for and does it.
func RuleDelete(id string) string { return at("affinity-rules", id, "delete") }
