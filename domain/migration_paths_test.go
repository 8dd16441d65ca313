package domain

import (
	"reflect"
	"testing"
)

func TestPathsOf(t *testing.T) {
	f := &MigrationForecast{Seconds: Interval{P05: 8, P50: 10, P95: 15}}
	move := func(from, to, state string, mode MigrationMode, forecast *MigrationForecast, seconds float64, rate int64) MigrationRecord {
		return MigrationRecord{FromID: from, FromName: from, ToID: to, ToName: to, State: state, Mode: mode, Forecast: forecast, Result: &MigrationFigures{Seconds: seconds, Rate: rate}}
	}
	got := PathsOf([]MigrationRecord{
		move("a", "b", "succeeded", MigrateLive, f, 10, 100), move("a", "b", "succeeded", MigrateLive, f, 20, 300), move("a", "b", "succeeded", MigrateLive, f, 12.5, 200), move("a", "b", "succeeded", MigrateLive, nil, 5, 0),
		move("a", "b", "undone", MigrateLive, f, 99, 1), move("a", "b", "succeeded", MigrateCold, nil, 5, 0), move("b", "a", "succeeded", MigrateLive, f, 8, 50),
		{FromID: "c", State: "succeeded"},
	})
	want := []MigrationPath{
		{FromID: "a", From: "a", ToID: "b", To: "b", Mode: MigrateLive, Count: 4, Told: 3, Error: 0.2, Coverage: 0.667, Rate: 200},
		{FromID: "a", From: "a", ToID: "b", To: "b", Mode: MigrateCold, Count: 1},
		{FromID: "b", From: "b", ToID: "a", To: "a", Mode: MigrateLive, Count: 1, Told: 1, Error: 0.25, Coverage: 1, Rate: 50},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("the median of an even number is %v", m)
	}
	if got := PathsOf(nil); got == nil || len(got) != 0 {
		t.Errorf("of nothing: %#v", got)
	}
}
