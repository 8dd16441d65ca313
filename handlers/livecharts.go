package handlers

import (
	"bytes"
	"context"
	"time"

	"novacron/views/charts"
	"novacron/views/live"
	"novacron/views/networks"
)

// tick wakes a page that shows what is measured; without such there is nothing to wait for. The returned function ends it.
func (s *server) tick(ctx context.Context, v *viewer) (<-chan time.Time, func(), error) {
	d := s.pace(v.at)
	if s.Series == nil || d == 0 {
		return nil, func() {}, nil
	}
	if v.on != onHome && v.on != live.OnTopology {
		of, err := s.chartsAt(v.sub.With(ctx), v.sub.UserID, v.on, v.at)
		if err != nil || len(of) == 0 {
			return nil, func() {}, nil // gone meanwhile: the stream's events say so
		}
		v.charts = of
	}
	t := time.NewTicker(d)
	return t.C, t.Stop, nil
}

// measured draws what a page's charts need next.
func (s *server) measured(ctx context.Context, v *viewer) ([]byte, error) {
	var out bytes.Buffer
	if v.on == onHome {
		err := s.estateNews(ctx, v, &out)
		return out.Bytes(), err
	}
	if v.on == live.OnTopology {
		m, err := s.topologyFor(ctx, v.at)
		if err != nil {
			return nil, err
		}
		sh := s.bareShell(v.sub)
		sh.URL = v.at.RequestURI()
		err = networks.StreamTopology(sh, m).Render(ctx, &out)
		return out.Bytes(), err
	}
	p, err := s.points(ctx, v.at, v.charts)
	if err != nil {
		return nil, err
	}
	err = charts.StreamPoints(p).Render(ctx, &out)
	return out.Bytes(), err
}
