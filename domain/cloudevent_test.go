package domain

import "testing"

func TestEventsAreFiltered(t *testing.T) {
	ev := Event{Seq: 7, Kind: "vm.changed", Resource: Ref{Kind: "vm", ID: "vm_1"}, HostID: "host_1", JobID: "job_1", Tenant: "t_1"}
	for _, c := range []struct {
		kinds string
		f     EventFilter
		want  bool
	}{
		{"", EventFilter{}, true}, {"vm.changed", EventFilter{}, true}, {"novacron.vm.changed", EventFilter{}, true}, {"host.*,vm.*", EventFilter{}, true}, {"*", EventFilter{}, true}, {"vm", EventFilter{}, false}, {"host.*", EventFilter{}, false},
		{"", EventFilter{Object: "vm_1"}, true}, {"", EventFilter{Object: "job_1"}, true}, {"", EventFilter{Object: "vm_2"}, false},
		{"", EventFilter{Host: "host_1"}, true}, {"", EventFilter{Host: "vm_1"}, true}, {"", EventFilter{Host: "host_2"}, false}, {"", EventFilter{Tenant: "t_1"}, true}, {"", EventFilter{Tenant: "t_2"}, false},
	} {
		var err error
		if c.f.Kinds, err = ParseKinds("kind", c.kinds); err != nil {
			t.Fatal(err)
		}
		if got := c.f.Wants(&ev); got != c.want {
			t.Errorf("%q %+v: %v", c.kinds, c.f, got)
		}
	}
	for _, bad := range []string{"VM", "vm changed", "a*b", "vm.<x>"} {
		if _, err := ParseKinds("kind", bad); !Is(err, Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if ce := CloudEventOf(ev, "https://n.example/"); ce.Source != "https://n.example/api/v1/events" || ce.ID != "7" || ce.TenantID != "t_1" || ce.Subject != "vm_1" {
		t.Errorf("%+v", ce)
	}
	w := Webhook{}
	if !w.Wants(&ev) || w.Wants(&Event{Kind: EventStep}) || w.Wants(&Event{Kind: "webhook.failed", Resource: Ref{Kind: "webhook"}}) {
		t.Error("a webhook is sent what it should not be")
	}
}
