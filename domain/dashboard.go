package domain

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Dashboard is a set of charts that somebody chose.
type Dashboard struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	OwnerID   string    `json:"owner_id"`
	Owner     string    `json:"owner"`
	Shared    bool      `json:"shared" doc:"Everybody who has its address may look at it; each sees the series that are theirs to see"`
	Charts    []Chart   `json:"charts" nullable:"false"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Version   int64     `json:"version"`
}

// DashboardCharts is how many charts one may have.
const DashboardCharts = 40

// Check refuses what cannot be kept. read tells what is wrong with an expression.
func (d *Dashboard) Check(read func(expr string) error) error {
	d.Name = strings.TrimSpace(d.Name)
	switch {
	case d.Name == "" || len(d.Name) > 100:
		return InvalidField("name", "A dashboard needs a name of at most 100 letters.", "such as Web servers")
	case len(d.Charts) == 0:
		return InvalidField("charts", "A dashboard needs a chart.", "at least one, with a title and a query")
	case len(d.Charts) > DashboardCharts:
		return InvalidField("charts", "That is more charts than one page can show.", "at most 40")
	}
	for i := range d.Charts {
		c := &d.Charts[i]
		field := "charts." + strconv.Itoa(i)
		c.ID = "c" + strconv.Itoa(i)
		c.Title = strings.TrimSpace(c.Title)
		if c.Title == "" || len(c.Title) > 200 {
			return InvalidField(field+".title", "A chart needs a title.", "what it shows, in at most 200 letters")
		}
		if !slices.Contains(ChartKinds, c.Kind) {
			return InvalidField(field+".kind", "“"+string(c.Kind)+"” is no way to draw a chart.", "line, area, bar or table")
		}
		if !slices.Contains(ChartUnits, c.Unit) {
			return InvalidField(field+".unit", "“"+c.Unit+"” is no unit of charts.", "percent, bytes, bytes/s, seconds, per second or nothing")
		}
		if len(c.Queries) == 0 || len(c.Queries) > 20 {
			return InvalidField(field+".queries", "A chart needs one to twenty queries.", "expressions in PromQL")
		}
		for k, q := range c.Queries {
			if strings.TrimSpace(q.Expr) == "" {
				return InvalidField(field+".queries."+strconv.Itoa(k)+".expr", "The query is empty.", "an expression in PromQL")
			}
			if err := read(anySpan.Expand(q.Expr)); err != nil {
				return Refield(err, "query", field+".queries."+strconv.Itoa(k)+".expr")
			}
		}
	}
	return nil
}

// anySpan puts some durations in, for expressions that are only read.
var anySpan = Span{Step: time.Minute, Rate: time.Minute, Start: time.Unix(0, 0), End: time.Unix(3600, 0)}
