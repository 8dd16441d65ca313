package narrow

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

type inner struct {
	Rack  string `json:"rack"`
	Slots int    `json:"slots"`
}

type base struct {
	Notes string `json:"notes,omitempty"`
}

type thing struct {
	base
	ID      string            `json:"id"`
	Name    string            `json:"name"`
	Count   int64             `json:"count"`
	Load    float64           `json:"load"`
	On      bool              `json:"on"`
	Tags    []string          `json:"tags"`
	Labels  map[string]string `json:"labels"`
	Place   inner             `json:"place"`
	Maybe   *inner            `json:"maybe"`
	Parts   []inner           `json:"parts"`
	Seen    *time.Time        `json:"seen"`
	Hidden  string            `json:"-"`
	private string
}

func read(t *testing.T, s *Shape, v thing) Item {
	t.Helper()
	_ = v.private
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	it, err := s.Item(raw)
	if err != nil {
		t.Fatal(err)
	}
	return it
}

func TestFiltersChoose(t *testing.T) {
	s := Of(reflect.TypeFor[thing]())
	at := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)
	it := read(t, s, thing{ID: "x_1", Name: "web-1", Count: 1 << 40, Load: 2, On: true, Tags: []string{"prod"}, Labels: map[string]string{"site": "ams"}, Place: inner{"r1", 4}, Parts: []inner{{"a", 1}, {"b", 2}}, Seen: &at})
	none := read(t, s, thing{ID: "x_2"})
	for text, want := range map[string][2]bool{
		`name == "web-1"`: {true, false}, `name.startsWith("web-") && on`: {true, false}, `count > 1000000000000`: {true, false}, `load >= 2.0`: {true, false}, `load < 2.5`: {true, true},
		`"prod" in tags`: {true, false}, `labels.site == "ams"`: {true, false}, `has(labels.site)`: {true, false}, `place.rack == "r1" && place.slots > 3`: {true, false},
		`parts.exists(p, p.slots == 2)`: {true, false}, `parts.all(p, p.slots > 0)`: {true, true}, `maybe == null`: {true, true}, `maybe.rack == "a"`: {false, false}, `seen == null`: {false, true},
		`seen < timestamp("2026-11-03T00:00:00Z")`: {true, false}, `now - seen < duration("2h")`: {true, false}, `notes == ""`: {true, true}, `item.name == "web-1"`: {true, false}, `size(tags) == 0`: {false, true},
		`name.matches("^web-[0-9]+$")`: {true, false}, `true`: {true, true}, `item.nosuch == 1`: {false, false}, `!(item.nosuch == 1)`: {false, false},
	} {
		f, err := s.Filter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for i, of := range []Item{it, none} {
			if got, err := f.Chooses(of, at.Add(time.Hour)); err != nil || got != want[i] {
				t.Errorf("%s of %s: %v %v", text, of.ID, got, err)
			}
		}
	}
}

func TestFiltersThatCannotBeReadSayWhere(t *testing.T) {
	s := Of(reflect.TypeFor[thing]())
	for text, says := range map[string]string{
		`name ==`: "line 1, column 8", "on &&\nnosuch == 1": "line 2, column 1", `count + 1`: "not true or false but int", `name == 1`: "column 6", `"x`: "line 1", strings.Repeat("(", 200): "", `on && ` + strings.Repeat("x", 3000): "longer than",
	} {
		_, err := s.Filter(text)
		if !domain.Is(err, domain.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	costly, err := s.Filter(`parts.all(a, parts.all(b, parts.all(c, a.slots + b.slots + c.slots > 0)))`)
	if err != nil {
		t.Fatal(err)
	}
	big := thing{}
	for range 200 {
		big.Parts = append(big.Parts, inner{"a", 1})
	}
	if _, err := costly.Chooses(read(t, s, big), time.Now()); !domain.Is(err, domain.Invalid) {
		t.Errorf("a costly filter: %v", err)
	}
}

func TestItemsAreOrdered(t *testing.T) {
	s := Of(reflect.TypeFor[thing]())
	at := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)
	later := at.Add(time.Hour)
	items := []Item{read(t, s, thing{ID: "b", Name: "B", Count: 3, Load: 0.5, On: true, Seen: &later}), read(t, s, thing{ID: "a", Name: "a", Count: 2, Load: 1.5, Seen: &at}), read(t, s, thing{ID: "c", Name: "c", Count: 2, Load: 0.25})}
	for order, want := range map[string]string{"name": "abc", "-name": "cba", "count": "acb", "-count": "bca", "load": "cba", "on": "acb", "-on": "bca", "seen": "cab", "-seen": "bac", "id": "abc"} {
		if err := s.Sort(items, order); err != nil {
			t.Errorf("%s: %v", order, err)
		}
		got := ""
		for _, it := range items {
			got += it.ID
		}
		if got != want {
			t.Errorf("%s: %s instead of %s", order, got, want)
		}
	}
	for _, bad := range []string{"", "-", "tags", "place", "nosuch"} {
		if err := s.Sort(items, bad); !domain.Is(err, domain.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if got := strings.Join(s.Sortable(), " "); got != "count id load name notes on seen" {
		t.Error(got)
	}
}

func TestFieldsArePicked(t *testing.T) {
	s := Of(reflect.TypeFor[thing]())
	it := read(t, s, thing{ID: "x", Place: inner{"r1", 4}, Parts: []inner{{"a", 1}, {"b", 2}}})
	for text, want := range map[string]string{
		"id": `{"id":"x"}`, "id, count": `{"count":0,"id":"x"}`, "place.rack": `{"place":{"rack":"r1"}}`, "parts.slots": `{"parts":[{"slots":1},{"slots":2}]}`, "place,place.rack": `{"place":{"rack":"r1","slots":4}}`, "notes": `{}`,
	} {
		p, err := s.Pick(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := p.Cut(it.Raw); err != nil || string(got) != want {
			t.Errorf("%s: %s %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "nosuch", "id,,count", strings.Repeat("id,", 200) + "id"} {
		if _, err := s.Pick(bad); !domain.Is(err, domain.Invalid) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}
