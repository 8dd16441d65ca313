package series

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"

	"novacron/domain"
)

// Where less is free than is kept free nothing is written, and it goes on by itself when there is room.
func TestRoomIsLeftFree(t *testing.T) {
	s := open(t, t.TempDir(), Options{Reserve: 1 << 62})
	defer s.Close()
	err := s.Append(t.Context(), began, []Sample{{Of("x"), 1}})
	if !domain.Is(err, domain.Exhausted) || s.FullSince().IsZero() {
		t.Fatalf("%v, %v", err, s.FullSince())
	}
	if _, err := s.Query(t.Context(), View{All: true}, "x", began); err != nil {
		t.Errorf("what is there can be read: %v", err)
	}
	s.opt.Reserve = 1
	s.room.looked = time.Time{}
	put(t, s, began.Add(time.Minute), map[string]float64{"x": 2})
	if !s.FullSince().IsZero() {
		t.Error("it is told as full")
	}
}

// A disk that is really full refuses batches as a whole; what was acknowledged before and after is there, also after the server is started anew.
func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	data := filepath.Join(dir, "metrics")
	s, err := Open(data, slog.New(slog.DiscardHandler), Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var batch []Sample
	for i := range 2000 {
		batch = append(batch, Sample{Of("x", "n", fmt.Sprint(i)), 1})
	}
	kept := map[time.Time]bool{}
	at := began
	add := func() error {
		at = at.Add(10 * time.Second)
		err := s.Append(t.Context(), at, batch)
		if err == nil {
			kept[at] = true
		}
		return err
	}
	full := false
	for range 2000 {
		if err := add(); err != nil {
			if !domain.Is(err, domain.Exhausted) {
				t.Fatal(err)
			}
			full = true
			break
		}
		for i := range batch {
			batch[i].Value = batch[i].Value*1.37 + float64(i) // so that it takes room
		}
	}
	if !full || s.FullSince().IsZero() {
		t.Fatal("the disk never was full")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	before := len(kept)
	for range 5 {
		if err := add(); err != nil {
			t.Fatal("there is room again: ", err)
		}
	}
	if !s.FullSince().IsZero() || len(kept) != before+5 {
		t.Error("it is told as full")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s, err = Open(data, slog.New(slog.DiscardHandler), Options{Reserve: -1}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	res, err := s.Query(t.Context(), View{All: true}, `x{n="7"}[1d]`, at)
	if err != nil {
		t.Fatal(err)
	}
	found := map[int64]bool{}
	for _, x := range res.Value.(promql.Matrix) {
		for _, p := range x.Floats {
			found[p.T] = true
		}
	}
	lost := 0
	for moment := range kept {
		if !found[moment.UnixMilli()] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d batches that were acknowledged are gone", lost, len(kept))
	}
}

func TestBounds(t *testing.T) {
	const day = 24 * time.Hour
	if o, err := Bounds(15*day, "20 GiB", "0", 730*day); err != nil || o.MaxBytes != 20<<30 || o.Reserve != -1 || o.Retention != 15*day {
		t.Errorf("%+v %v", o, err)
	}
	for _, err := range []error{
		second(Bounds(15*day, "many", "0", 730*day)), second(Bounds(15*day, "1 MiB", "0", 730*day)), second(Bounds(15*day, "1 GiB", "-3", 730*day)), second(Bounds(time.Minute, "1 GiB", "0", 730*day)), second(Bounds(day, "1 GiB", "0", day)),
	} {
		if !domain.Is(err, domain.Invalid) {
			t.Error(err)
		}
	}
}

func second(_ Options, err error) error { return err }
