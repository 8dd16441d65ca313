package series

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

const killedIn = "NOVACRON_TEST_SERIES_IN" // the child's directory, and where it begins

// child writes hours of samples as fast as it can, so that blocks are made all the time, and says after each batch that it is kept.
func child(ctx context.Context, dir string, from time.Time) {
	s, err := Open(dir, slog.New(slog.DiscardHandler), Options{Reserve: -1, Retention: 1000 * 24 * time.Hour})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	var batch []Sample
	for i := range 200 {
		batch = append(batch, Sample{Labels: labels.FromStrings("__name__", "x", "n", strconv.Itoa(i))})
	}
	for at := from; ; at = at.Add(10 * time.Second) {
		for i := range batch {
			batch[i].Value = float64(at.Unix()) * float64(i+1)
		}
		if err := s.Append(ctx, at, batch); err != nil {
			fmt.Println("append:", err)
			os.Exit(1)
		}
		fmt.Println(at.UnixMilli())
	}
}

// Killed ten times, each while a block is being made, the store loses nothing that it said was kept.
func TestKilledWhileItCompacts(t *testing.T) {
	if dir := os.Getenv(killedIn); dir != "" {
		from, err := strconv.ParseInt(os.Getenv(killedIn+"_FROM"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		child(t.Context(), dir, time.UnixMilli(from).UTC())
	}
	dir := t.TempDir()
	at := began
	kept := map[int64]bool{}
	during := 0
	for round := range 10 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWhileItCompacts$")
		cmd.Env = append(os.Environ(), killedIn+"="+dir, killedIn+"_FROM="+strconv.FormatInt(at.UnixMilli(), 10))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		n, killed := 0, false
		for lines.Scan() { // what it said before it died is read too
			ms, err := strconv.ParseInt(lines.Text(), 10, 64)
			if err != nil {
				t.Fatalf("round %d: it says %q", round, lines.Text())
			}
			kept[ms] = true
			at = time.UnixMilli(ms).UTC().Add(10 * time.Second)
			n++
			if killed {
				continue
			}
			making, err := filepath.Glob(filepath.Join(dir, "*.tmp-for-creation"))
			if err != nil {
				t.Fatal(err)
			}
			if len(making) > 0 || n > 20_000 { // two days: then it is killed wherever it is
				if len(making) > 0 {
					during++
				}
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				killed = true
			}
		}
		if err := cmd.Wait(); !killed {
			t.Fatalf("round %d: it ended by itself: %v", round, err)
		}
	}
	if during == 0 {
		t.Error("it never was killed while it made a block")
	}
	s := open(t, dir, Options{Reserve: -1, Retention: 1000 * 24 * time.Hour})
	defer s.Close()
	lost := 0
	for from := began; from.Before(at); from = from.Add(24 * time.Hour) {
		res, err := s.Query(t.Context(), View{All: true}, `x{n="7"}[1d]`, from.Add(24*time.Hour-time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		found := map[int64]float64{}
		for _, x := range res.Value.(promql.Matrix) {
			for _, p := range x.Floats {
				found[p.T] = p.F
			}
		}
		for ms := range kept {
			if when := time.UnixMilli(ms); !when.Before(from) && when.Before(from.Add(24*time.Hour)) && found[ms] != float64(ms/1000)*8 {
				lost++
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d batches that were kept are gone or wrong", lost, len(kept))
	}
	t.Logf("%d batches, killed %d times while a block was made", len(kept), during)
}
