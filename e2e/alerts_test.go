package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"novacron/e2e/browser"
	"novacron/e2e/server"
)

// alert is the API's alert.
type alert struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	State    string `json:"state"`
	Quiet    string `json:"quiet"`
	AckedBy  string `json:"acked_by"`
	Incident string `json:"incident_id"`
	VMID     string `json:"vm_id"`
}

// alertOf waits for an alert of a name to be in a state.
func (e *estate) alertOf(t *testing.T, name, state string) (a alert) {
	t.Helper()
	server.Wait(t, 90*time.Second, name+" to be "+state, func() error {
		var page struct{ Items []alert }
		if _, err := e.api.Do("GET", "/api/v1/alerts?state="+state+"&name="+name, nil, &page); err != nil {
			return err
		}
		if len(page.Items) != 1 {
			return server.Not("one alert", len(page.Items))
		}
		a = page.Items[0]
		return nil
	})
	return a
}

// asked gives what a query answers: the value of each series by its labels. Without a time it is asked for now.
func (e *estate) asked(expr string, at ...time.Time) (map[string]float64, error) {
	var res struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	q := url.Values{"query": {expr}}
	for _, t := range at {
		q.Set("time", moment(t))
	}
	if _, err := e.api.Do("GET", "/api/v1/query?"+q.Encode(), nil, &res); err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for _, r := range res.Data.Result {
		var v float64
		if _, err := fmt.Sscan(fmt.Sprint(r.Value[1]), &v); err != nil {
			return nil, err
		}
		out[fmt.Sprint(r.Metric)] = v
	}
	return out, nil
}

// one is the value of a query that has one.
func (e *estate) one(expr string, at ...time.Time) (float64, error) {
	all, err := e.asked(expr, at...)
	for _, v := range all {
		if len(all) == 1 {
			return v, nil
		}
	}
	return 0, errors.Join(err, fmt.Errorf("%s has %d values", expr, len(all)))
}

// measuredBy is a server with one lab host that it measures each second.
func measuredBy(t *testing.T, host int, args ...string) *estate {
	t.Helper()
	s := server.Start(t, args...)
	e := &estate{Server: s, api: s.API()}
	id := e.api.AddHost(t, hosts.Hosts[host].Name, hosts.Hosts[host].URI)
	e.hosts = []string{id}
	if _, err := e.api.Do("PATCH", "/api/v1/hosts/"+id, map[string]any{"scrape_interval_seconds": 1}, nil); err != nil {
		t.Fatal(err)
	}
	return e
}

var alertLink = regexp.MustCompile(`https://nova\.example\.org(/alerts/alert_\w+)`)

// A host whose libvirt dies: the alert comes up on the open page and in the mail of who is told, what hangs on it is quiet and part of one incident, somebody looks
// after it, libvirt comes back, and the end of it is on the page and in the mail.
func TestFromCauseToMailToResolved(t *testing.T) {
	post := server.TakeMail(t)
	e := measuredBy(t, 1, "--smtp", "smtp+plain://"+post.Addr, "--mail-from", "NovaCron <nova@example.org>", "--url", "https://nova.example.org", "--alert-interval", "1s")
	h := hosts.Hosts[1]
	v := e.create(t, e.guest(t, "watched", e.hosts[0], 0))

	// The rule that every estate has waits a minute, so that nobody is told of a libvirt that is only started anew. It keeps firing for longer than a scrape, as
	// what hangs on the host is over when the next one came.
	var rules struct {
		Items []struct{ ID, Name string }
	}
	server.Wait(t, 30*time.Second, "the starter's rules", func() error {
		if _, err := e.api.Do("GET", "/api/v1/rules?limit=200", nil, &rules); err != nil {
			return err
		}
		if len(rules.Items) == 0 {
			return server.Not("rules", "none")
		}
		return nil
	})
	found := false
	for _, r := range rules.Items {
		if r.Name != "HostAway" {
			continue
		}
		found = true
		if _, err := e.api.Do("PATCH", "/api/v1/rules/"+r.ID, map[string]any{"for": "0s", "keep_firing_for": "4s"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Fatalf("%+v", rules)
	}
	if _, err := e.api.Do("POST", "/api/v1/rules", map[string]any{
		"name": "GuestUnseen", "expr": `max_over_time(novacron_vm_up[1h]) unless novacron_vm_up`, "for": "3s", "labels": map[string]string{"severity": "warning"},
		"annotations": map[string]string{"summary": "Nothing is known of {{ $labels.vm }}."},
	}, nil); err != nil {
		t.Fatal(err)
	}

	p := browser.Open(t, e.URL, 1440, 1000)
	p.SignIn(e.Admin, e.Password, password)
	p.Go("/alerts/receivers/new")
	p.Fill(map[string]string{"name": "on duty", "to": "duty@example.org", "wait": "0s"})
	p.Click(`form[action="/alerts/receivers"] button[type=submit]`)
	p.Until("the receiver's page", `/^\/alerts\/receivers\/recv_/.test(location.pathname)`)
	p.Click(`form[action$="/test"] button`)
	if m := post.Next(t, 0, 30*time.Second); m.To != "duty@example.org" || m.From != "nova@example.org" || !strings.Contains(m.Text, "Nothing is wrong") {
		t.Fatalf("%+v", m)
	}

	up := fmt.Sprintf(`novacron_vm_up{vm_id=%q} == 1`, v.ID)
	server.Wait(t, 60*time.Second, "the guest to be measured", func() error {
		_, err := e.one(up)
		return err
	})
	p.Go("/alerts")
	p.UntilText("Nothing here")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := h.KillDaemon(ctx); err != nil {
		t.Fatal(err)
	}
	back := false
	t.Cleanup(func() {
		if !back {
			if err := h.StartDaemon(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
		}
	})

	title := "HostAway on " + h.Name
	p.UntilText(title)
	m := post.Next(t, 1, 60*time.Second)
	at := alertLink.FindStringSubmatch(m.Text)
	if m.To != "duty@example.org" || m.Subject != "Firing: "+title || at == nil || !strings.Contains(m.Text, "The host "+h.Name+" does not answer.") || !strings.Contains(m.Text, "severity critical") {
		t.Fatalf("%+v", m)
	}
	away := e.alertOf(t, "HostAway", "firing")
	unseen := e.alertOf(t, "GuestUnseen", "firing")
	if at[1] != "/alerts/"+away.ID || unseen.VMID != v.ID {
		t.Fatalf("%s %+v %+v", at[1], away, unseen)
	}

	// The mail's link leads to where one says that one looks after it.
	p.Go(at[1])
	p.UntilText("The host " + h.Name + " does not answer.")
	p.Click(`form[action$="/acknowledge"] button`)
	p.UntilText("Looked after by")
	if got := e.alertOf(t, "HostAway", "firing"); got.AckedBy != e.Admin {
		t.Errorf("%+v", got)
	}
	p.Fill(map[string]string{"comment": "its power supply is being changed"})
	p.Click(`form[action$="/comment"] button[type=submit]`)
	p.UntilText("its power supply is being changed")

	var incidents struct {
		Items []struct {
			ID, Title, Cause string
			CauseID          string `json:"cause_id"`
			Open             bool
			Alerts           int
		}
	}
	server.Wait(t, 60*time.Second, "the incident", func() error {
		if _, err := e.api.Do("GET", "/api/v1/incidents?open=true", nil, &incidents); err != nil {
			return err
		}
		if len(incidents.Items) != 1 {
			return server.Not("one incident", len(incidents.Items))
		}
		return nil
	})
	if in := incidents.Items[0]; in.CauseID != away.ID || in.Cause != "The host "+h.Name+" does not answer." || in.Alerts != 2 || !strings.Contains(in.Title, h.Name) {
		t.Errorf("%+v", in)
	}
	if unseen = e.alertOf(t, "GuestUnseen", "firing"); unseen.Incident != incidents.Items[0].ID || unseen.Quiet == "" {
		t.Errorf("%+v", unseen)
	}
	p.Go(at[1])
	p.Click(`a[href="/alerts/incidents/` + incidents.Items[0].ID + `"]`)
	p.UntilText("Probable cause")
	p.UntilText("GuestUnseen on watched")
	p.UntilText("its power supply is being changed")
	p.Picture("incident")

	p.Go(at[1])
	p.UntilText("Looked after by")
	if err := h.StartDaemon(ctx); err != nil {
		t.Fatal(err)
	}
	back = true
	m = post.Next(t, 2, 90*time.Second)
	if m.To != "duty@example.org" || m.Subject != "Resolved: "+title || !strings.Contains(m.Text, "https://nova.example.org"+at[1]) || !strings.Contains(m.Text, " until ") {
		t.Errorf("%+v", m)
	}
	p.UntilText("Over since")
	p.Picture("alert-over")
	e.alertOf(t, "HostAway", "resolved")
	e.alertOf(t, "GuestUnseen", "resolved")
	server.Wait(t, 60*time.Second, "the incident to be over", func() error {
		if _, err := e.api.Do("GET", "/api/v1/incidents", nil, &incidents); err != nil {
			return err
		}
		if len(incidents.Items) != 1 || incidents.Items[0].Open {
			return server.Not("one that is over", incidents.Items)
		}
		return nil
	})
	// Nobody was told of what the host's absence explains.
	if all := post.Mails(); len(all) != 3 {
		t.Errorf("%d mails: %+v", len(all), all)
	}
	e.api.WaitVM(t, v.ID, "running", 60*time.Second)
}
