package live

import "net/url"

// Charts: tabs of pages, the comparison, dashboards, the query page, what can be taken away.
const (
	MonitorTab      = "monitor"
	Compare         = "/monitor/compare" // GET id (repeated), range, from, to, refresh
	ChartCSV        = "/monitor/csv"     // GET title, q and l (repeated), range or from and to
	Query           = "/monitor/query"   // GET q, kind, unit, range, from, to, refresh
	MetricList      = "/monitor/metrics" // GET
	Dashboards      = "/dashboards"      // GET the list; POST keeps a new one
	DashboardNew    = "/dashboards/new"
	DashboardImport = "/dashboards/import"      // GET form, POST grafana
	PatDashboard    = "/dashboards/:id"         // GET; POST changes it
	PatDashboardAct = "/dashboards/:id/:action" // GET edit: form, delete: dialog; POST delete
	OnCharts        = "charts"                  // what the stream is told of a page that has charts only
	Estate          = "estate"
	CompareAction   = "compare"      // of VMBulk: puts the selection side by side
	CompareMost     = 20             // VMs that are put side by side
	ChartPoints     = "chart-points" // the element whose value is what was measured last
	DashboardForm   = "dashboard"
)

// CompareOf puts VMs side by side.
func CompareOf(ids ...string) string {
	v := url.Values{}
	for _, id := range ids {
		v.Add("id", id)
	}
	return Compare + "?" + v.Encode()
}

// Dashboard is one's page.
func Dashboard(id string) string { return at("dashboards", id) }

// DashboardAct is the form that changes it, or the dialog that deletes it.
func DashboardAct(id, action string) string { return at("dashboards", id, action) }

// QueryOf is the query page with an expression.
func QueryOf(expr string) string { return Query + "?" + url.Values{"q": {expr}}.Encode() }
