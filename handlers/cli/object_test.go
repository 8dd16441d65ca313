package cli

import (
	"encoding/json"
	"maps"
	"reflect"
	"testing"
)

func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, ` { "a" : 1 , "b":[1,{"c":"}"}], "d" : "x\"\\" } `, `{"a":{"b":{"c":null}},"e":true,"f":-1.5e3}`, `{"":"","x":[]}`, `[1]`, `{"a":1`, `{"a\u0062":"é"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var want map[string]json.RawMessage
		wrong := json.Unmarshal([]byte(s), &want)
		o, err := objectOf(json.RawMessage(s))
		if (wrong == nil && want != nil) != (err == nil) {
			t.Fatalf("%q: %v, and encoding/json says %v", s, err, wrong)
		}
		got := map[string]json.RawMessage{}
		for _, p := range o {
			var name string
			if err := json.Unmarshal([]byte(`"`+string(p.name)+`"`), &name); err != nil {
				t.Fatalf("%q has the name %q: %v", s, p.name, err)
			}
			got[name] = p.raw
		}
		if err == nil && !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return reflect.DeepEqual(a, b) }) {
			t.Errorf("%q is taken apart as %q, wanted %q", s, got, want)
		}
	})
}
