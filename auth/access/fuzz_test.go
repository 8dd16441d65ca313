package access

import (
	"testing"
	"time"
)

// FuzzCondition: whatever is written as a condition is refused with a field or judged in bounded time, and never breaks anything.
func FuzzCondition(f *testing.F) {
	for _, s := range []string{"", "true", "hour >= 8 && hour < 18", `address == "192.0.2.1"`, `mfa_age < duration("15m")`, `object.tags.exists(t, t == "prod")`, "1/0 == 1", `"a".matches("(a+)+$")`, "[1,2,3].all(x, [1,2,3].all(y, x < y))", "now", "((((", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCondition(text)
		if err != nil {
			return
		}
		holds, err := c.Holds(Circumstances{Now: time.Unix(1_700_000_000, 0), Address: "192.0.2.1", MFAAge: time.Minute}, Object{Kind: "vm", ID: "vm_1", Tenant: "team-a", Tags: []string{"prod"}})
		if err != nil && holds {
			t.Errorf("%q holds and fails: %v", text, err)
		}
	})
}
