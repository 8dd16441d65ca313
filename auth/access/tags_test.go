package access

import (
	"testing"

	"novacron/domain"
)

func TestTagsThatDecideRightsAreFound(t *testing.T) {
	tag := TagsBoundBy([]domain.Binding{{Scope: domain.ScopeTag, ScopeID: "prod"}, {Scope: domain.ScopeTenant, ScopeID: "web"}})
	if !tag.Binds("prod") || tag.Binds("web") || tag.Binds("test") {
		t.Errorf("%+v", tag)
	}
	for condition, want := range map[string][2]bool{ // "prod" and "test"
		`"prod" in object.tags`: {true, false},
		`hour > 8 && !("prod" in object.tags) && object.tenant == "test"`: {true, false},
		`'prod' in object.tags || 'test' in object.tags`:                  {true, true},
		`object.tags.exists(t, t.startsWith("p"))`:                        {true, true},
		`size(object["tags"]) > 1`:                                        {true, true},
		`object.tenant == "prod" && mfa_age < 900`:                        {false, false},
		``: {false, false},
	} {
		got := TagsBoundBy([]domain.Binding{{Scope: domain.ScopeEstate, Condition: condition}})
		if got.Binds("prod") != want[0] || got.Binds("test") != want[1] {
			t.Errorf("%s: %v %v", condition, got.Binds("prod"), got.Binds("test"))
		}
	}
}
