package db

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"novacron/domain"
)

// TestKilledWriter kills a process that writes, in the middle, a few times: whatever it said was written must be there, with its event, and nothing by halves.
func TestKilledWriter(t *testing.T) {
	if path := os.Getenv("NOVACRON_TEST_WRITER"); path != "" {
		writeUntilKilled(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "x.db")
	said := 0
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledWriter$")
		cmd.Env = append(os.Environ(), "NOVACRON_TEST_WRITER="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for stop := said + 20 + 7*round; said < stop && lines.Scan(); {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				said = n
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had said before it died counts too
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				said = n
			}
		}
		cmd.Wait()
		if said == 0 {
			t.Fatal("it wrote nothing")
		}
		d := openAt(t, path)
		v, _, err := d.Setting(t.Context(), "n")
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(v)
		evs, err := d.Events(t.Context(), EventQuery{Newest: true, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if n < said || len(evs) != 1 || evs[0].Message != v {
			t.Errorf("it said %d, there is %d, and the last event is %+v", said, n, evs)
		}
		said = n
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func writeUntilKilled(t *testing.T, path string) {
	d, err := Open(t.Context(), path, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for range 100_000 { // the parent kills us long before; an end of its own if the parent is gone
		var n int
		if err := d.Write(t.Context(), func(tx *Tx) error {
			v, _, err := tx.Setting("n")
			if err != nil {
				return err
			}
			n, _ = strconv.Atoi(v)
			n++
			if err := tx.SetSetting("n", fmt.Sprint(n)); err != nil {
				return err
			}
			return tx.Emit(domain.Event{Kind: "n", Message: fmt.Sprint(n)})
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Println(n); err != nil {
			return
		}
	}
}
