package live

import "net/url"

// Charts: tabs of pages, the comparison, what can be taken away.
const (
	MonitorTab  = "monitor"
	Compare     = "/monitor/compare" // GET id (repeated), range, from, to, refresh
	ChartCSV    = "/monitor/csv"     // GET title, q and l (repeated), range or from and to
	OnCharts    = "charts"           // what the stream is told of a page that has charts only
	Estate      = "estate"
	ChartPoints = "chart-points" // the element whose value is what was measured last
)

// CompareOf puts VMs side by side.
func CompareOf(ids ...string) string {
	v := url.Values{}
	for _, id := range ids {
		v.Add("id", id)
	}
	return Compare + "?" + v.Encode()
}
