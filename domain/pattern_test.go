package domain

import "testing"

func TestAPatternIsReadOnce(t *testing.T) {
	p := lazily(`^a{1,3}$`)
	for range 2 {
		if !p.MatchString("aa") || p.MatchString("aaaa") {
			t.Error("it matches something else")
		}
	}
}
