package api

import (
	"context"
	"encoding/json"
	"net/http"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
)

// DashboardPath names a dashboard.
type DashboardPath struct {
	ID string `path:"id" maxLength:"64" doc:"The dashboard"`
}

// DashboardBody is what of a dashboard is chosen.
type DashboardBody struct {
	Name    string         `json:"name" minLength:"1" maxLength:"100"`
	Shared  bool           `json:"shared,omitempty" doc:"Everybody who has its address may look at it; each sees the series that are theirs to see"`
	Charts  []domain.Chart `json:"charts" nullable:"false" minItems:"1" maxItems:"40"`
	Version int64          `json:"version,omitempty" doc:"When changing: the version that was read"`
}

type dashboardOutput struct{ Body domain.Dashboard }

// Imported is a dashboard made of another program's, and what of it was not taken.
type Imported struct {
	Dashboard domain.Dashboard `json:"dashboard"`
	LeftOut   []domain.LeftOut `json:"left_out" nullable:"false"`
}

// dashboards are people's own: they see theirs and those that were shared, and change theirs.
func (s *server) dashboards() {
	const base, tag = "/dashboards", "Metrics"
	register(s, op{id: "list-dashboards", method: http.MethodGet, path: base, tag: tag, perm: access.AccountSelf, status: 200, summary: "List dashboards", doc: "One's own, and those that were shared, by name."},
		func(ctx context.Context, in *PageQuery) (*struct{ Body Page[domain.Dashboard] }, error) {
			all, err := s.DB.Dashboards(ctx, auth.SubjectOf(ctx).UserID)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, *in, "name", sortKeys[domain.Dashboard]{"name": func(d *domain.Dashboard) string { return d.Name }, "id": func(d *domain.Dashboard) string { return d.ID }},
				func(d *domain.Dashboard) string { return d.ID }, func(d *domain.Dashboard) domain.Dashboard { return *d })
			return &struct{ Body Page[domain.Dashboard] }{page}, err
		})
	register(s, op{id: "create-dashboard", method: http.MethodPost, path: base, tag: tag, perm: access.AccountSelf, status: 201, summary: "Keep a dashboard",
		doc: "Charts of PromQL expressions. In them $__rate_interval, $__interval and $__range stand for durations that fit the time that is shown."},
		func(ctx context.Context, in *struct{ Body DashboardBody }) (*dashboardOutput, error) {
			d, err := s.keepDashboard(ctx, domain.Dashboard{}, in.Body)
			return &dashboardOutput{d}, err
		})
	register(s, op{id: "get-dashboard", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.AccountSelf, status: 200, summary: "Show a dashboard"},
		func(ctx context.Context, in *DashboardPath) (*dashboardOutput, error) {
			d, err := s.DB.Dashboard(ctx, in.ID, auth.SubjectOf(ctx).UserID)
			return &dashboardOutput{d}, err
		})
	register(s, op{id: "set-dashboard", method: http.MethodPut, path: base + "/{id}", tag: tag, perm: access.AccountSelf, status: 200, summary: "Change a dashboard", doc: "One's own, if it still has the version that is sent along."},
		func(ctx context.Context, in *struct {
			DashboardPath
			Body DashboardBody
		}) (*dashboardOutput, error) {
			d, err := s.DB.Dashboard(ctx, in.ID, auth.SubjectOf(ctx).UserID)
			if err == nil {
				d, err = s.keepDashboard(ctx, d, in.Body)
			}
			return &dashboardOutput{d}, err
		})
	register(s, op{id: "delete-dashboard", method: http.MethodDelete, path: base + "/{id}", tag: tag, perm: access.AccountSelf, status: 204, summary: "Delete a dashboard", doc: "One's own."},
		func(ctx context.Context, in *DashboardPath) (*struct{}, error) {
			return nil, s.Fleet.DeleteDashboard(ctx, in.ID, auth.SubjectOf(ctx).UserID)
		})
	register(s, op{id: "import-dashboard", method: http.MethodPost, path: base + "/import", tag: tag, perm: access.AccountSelf, status: 201, summary: "Take over a dashboard of Grafana",
		doc: "Its panels whose PromQL asks for what is measured here; what was left out is named, and why."},
		func(ctx context.Context, in *struct {
			Body struct {
				Grafana json.RawMessage `json:"grafana" doc:"What Grafana exports"`
			}
		}) (*struct{ Body Imported }, error) {
			if s.Series == nil {
				return nil, domain.Errorf(domain.Unavailable, "Nothing is measured here.")
			}
			d, left, err := domain.ImportGrafana(in.Body.Grafana, s.Series.MetricsIn)
			if err != nil {
				return nil, err
			}
			d, err = s.keepDashboard(ctx, domain.Dashboard{}, DashboardBody{Name: d.Name, Charts: d.Charts})
			return &struct{ Body Imported }{Imported{d, list(left)}}, err
		})
}

func (s *server) keepDashboard(ctx context.Context, d domain.Dashboard, in DashboardBody) (domain.Dashboard, error) {
	if s.Series == nil {
		return d, domain.Errorf(domain.Unavailable, "Nothing is measured here.")
	}
	sub := auth.SubjectOf(ctx)
	if d.ID != "" && d.OwnerID != sub.UserID {
		return d, domain.Errorf(domain.Denied, "This dashboard is %s's.", d.Owner).WithFix("Make one of your own with the same charts.")
	}
	d.Name, d.Shared, d.Charts, d.OwnerID, d.Owner = in.Name, in.Shared, in.Charts, sub.UserID, sub.Actor()
	if in.Version != 0 {
		d.Version = in.Version
	}
	return s.Fleet.SaveDashboard(ctx, d, s.Series.Read)
}
