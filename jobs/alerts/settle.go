package alerts

import (
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/alerting"
)

// settle decides about the alerts that stand: who is quiet, what belongs together, who is told.
func (j *Judge) settle(tx *db.Tx, w *world, now time.Time) error {
	stand, err := tx.Alerts(db.AlertQuery{States: live})
	if err != nil {
		return err
	}
	if err := hush(tx, stand, w, now); err != nil {
		return err
	}
	if err := j.correlate(tx, stand, w, now); err != nil {
		return err
	}
	return plan(tx, stand, now)
}

// hush notes which alerts nobody is told of, and why.
func hush(tx *db.Tx, stand []domain.Alert, w *world, now time.Time) error {
	silences, err := tx.Silences(now)
	if err != nil {
		return err
	}
	maintenance := map[string]string{}
	for id, h := range w.hosts {
		if h.Maintenance {
			maintenance[id] = h.Name
		}
	}
	quiet := alerting.Quiet(stand, silences, maintenance, now)
	for i := range stand {
		a := &stand[i]
		why := quiet[a.ID]
		if why.Text == a.Quiet && why.SilenceID == a.SilenceID {
			continue
		}
		a.Quiet, a.SilenceID = why.Text, why.SilenceID
		if err := tx.PutAlert(*a); err != nil {
			return err
		}
		a.Version++
		what, text := "hushed", "Quiet: "+a.Title()+" is "+why.Text+"."
		if why.Text == "" {
			what, text = "loud", "No longer quiet: "+a.Title()+"."
		}
		if err := tell(tx, a, what, text); err != nil {
			return err
		}
	}
	return nil
}

// correlate puts alerts that began together on connected things into incidents, and ends incidents that nothing of fires any more.
func (j *Judge) correlate(tx *db.Tx, stand []domain.Alert, w *world, now time.Time) error {
	byID := map[string]*domain.Alert{}
	for i := range stand {
		byID[stand[i].ID] = &stand[i]
	}
	links, err := linksOf(tx, stand, now)
	if err != nil {
		return err
	}
	for first, joined := range alerting.Correlate(stand, links) {
		id := joined.Incident
		if id == "" {
			id = domain.NewID("inc", now)
			if err := tx.PutIncident(domain.Incident{ID: id, StartedAt: byID[first].FiredAt}); err != nil {
				return err
			}
		}
		for _, alert := range joined.Alerts {
			a := byID[alert]
			a.IncidentID = id
			if err := tx.PutAlert(*a); err != nil {
				return err
			}
			a.Version++
		}
	}
	open, err := tx.OpenIncidents()
	if err != nil {
		return err
	}
	for _, in := range open {
		if err := j.incident(tx, in, w, now); err != nil {
			return err
		}
	}
	return nil
}

// linksOf finds what the alerts hang on that began to fire just now, and those that began shortly before. Others were looked at then.
func linksOf(tx *db.Tx, stand []domain.Alert, now time.Time) (alerting.Links, error) {
	var near []domain.Alert
	fresh := false
	for _, a := range stand {
		if a.State != domain.AlertFiring || now.Sub(a.FiredAt) > 2*alerting.Window {
			continue
		}
		fresh = fresh || a.IncidentID == "" && now.Sub(a.FiredAt) <= alerting.Window
		near = append(near, a)
	}
	if !fresh || len(near) < 2 {
		return nil, nil
	}
	ties, err := tx.Ties(near)
	links := alerting.Links{}
	for _, t := range ties {
		links[t.AlertID] = append(links[t.AlertID], t.Kind+":"+t.ID)
	}
	return links, err
}

// incident brings one up to date with its alerts.
func (j *Judge) incident(tx *db.Tx, in domain.Incident, w *world, now time.Time) error {
	of, err := tx.Alerts(db.AlertQuery{Incident: in.ID})
	if err != nil {
		return err
	}
	fresh, was := in.Title == "", in
	in.Alerts, in.Hosts, in.VMs, in.Tenant = len(of), nil, nil, ""
	firing := false
	for i := range of {
		a := &of[i]
		firing = firing || a.State == domain.AlertFiring
		if a.HostID != "" && !slices.Contains(in.Hosts, a.HostID) {
			in.Hosts = append(in.Hosts, a.HostID)
		}
		if a.VMID != "" && !slices.Contains(in.VMs, a.VMID) {
			in.VMs = append(in.VMs, a.VMID)
		}
		if i == 0 {
			in.Tenant = a.Tenant
		} else if in.Tenant != a.Tenant {
			in.Tenant = ""
		}
	}
	slices.Sort(in.Hosts)
	slices.Sort(in.VMs)
	if was.Alerts != in.Alerts {
		jobs, err := tx.JobsAbout(slices.Concat(in.Hosts, in.VMs), in.StartedAt.Add(-10*time.Minute), in.StartedAt)
		if err != nil {
			return err
		}
		in.CauseID, in.Cause = alerting.Cause(of, jobs)
		in.Title = alerting.TitleOf(of, func(id string) string { return w.hosts[id].Name })
	}
	if !firing {
		in.EndedAt = now
	}
	if !fresh && was.Alerts == in.Alerts && firing {
		return nil
	}
	if err := tx.PutIncident(in); err != nil {
		return err
	}
	what, text := "incident.changed", "The incident "+in.Title+" has more alerts."
	switch {
	case !firing:
		what, text = "incident.ended", "The incident "+in.Title+" is over."
	case fresh:
		what, text = "incident.began", "An incident: "+in.Title+". "+in.Cause
	}
	return tx.Emit(domain.Event{Kind: what, Resource: in.Ref(), Actor: "system", Tenant: in.Tenant, Message: text})
}

// plan writes the messages that are to be sent.
func plan(tx *db.Tx, stand []domain.Alert, now time.Time) error {
	receivers, err := tx.Receivers()
	if err != nil || len(receivers) == 0 {
		return err
	}
	newest, err := tx.LastNotifications()
	if err != nil {
		return err
	}
	last := map[string]map[string]domain.Notification{}
	var told []string
	for _, n := range newest {
		if last[n.ReceiverID] == nil {
			last[n.ReceiverID] = map[string]domain.Notification{}
		}
		last[n.ReceiverID][n.Group] = n
		told = append(told, n.Firing...)
	}
	all := slices.Clone(stand)
	slices.Sort(told)
	for chunk := range slices.Chunk(slices.Compact(told), 500) {
		more, err := tx.Alerts(db.AlertQuery{IDs: chunk, States: []domain.AlertState{domain.AlertResolved}})
		if err != nil {
			return err
		}
		all = append(all, more...)
	}
	via, err := escalate(tx, stand, receivers, now)
	if err != nil {
		return err
	}
	for i := range receivers {
		r := &receivers[i]
		for _, n := range alerting.Plan(r, all, last[r.ID], via[r.ID], now) {
			if n.ID == "" {
				n.ID = domain.NewID("ntf", now)
			}
			if err := tx.PutNotification(n); err != nil {
				return err
			}
		}
	}
	return nil
}
