package chaos

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"novacron/e2e/server"
)

// logged is what a guest's disk says of it: how many records its log has, and how often it found the pattern in its memory whole and broken.
type logged struct{ records, whole, broken int }

// read gives the log of a disk as it lies in a raw file: records from the first on, each with its number and checksum, up to the first that is not there. A record that is there though
// one before it is missing is a gap.
func read(raw []byte) (l logged, gap error) {
	for at := 0; at+512 <= len(raw) && at < 16<<20; at += 512 {
		text, _, _ := strings.Cut(string(bytes.TrimRight(raw[at:at+512], "\x00")), "\n")
		f := strings.Fields(text)
		if len(f) != 6 || f[0] != "record" {
			if l.records*512 == at {
				continue // the end, so far
			}
			if text != "" {
				return l, fmt.Errorf("sector %d holds %q", at/512, text)
			}
			continue
		}
		if l.records*512 != at {
			return l, fmt.Errorf("records %d to %d are missing", l.records, at/512-1)
		}
		sum := md5.Sum([]byte(strings.Join(f[1:4], " ") + "\n"))
		if f[4] != hex.EncodeToString(sum[:]) || f[1] != fmt.Sprint(at/512) {
			return l, fmt.Errorf("record %d is %q", at/512, text)
		}
		l.records++
		if _, err := fmt.Sscan(strings.Join(f[2:4], " "), &l.whole, &l.broken); err != nil {
			return l, err
		}
	}
	return l, nil
}

// disk finds the guest's disk on a host.
func (w *world) disk(host int) string {
	w.Helper()
	for _, line := range strings.Split(w.virsh(host, "domblklist", name), "\n") {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "vda" {
			return f[1]
		}
	}
	w.Fatal("the guest has no disk")
	return ""
}

// log reads the log from the disk on a host; shared for a guest that runs, whose last records may not be seen yet.
func (w *world) log(disk string, shared bool) (logged, error) {
	raw := filepath.Join(w.dir, "raw")
	args := []string{"convert", "-O", "raw"}
	if shared {
		args = append(args, "-U")
	}
	if out, err := exec.Command("qemu-img", append(args, disk, raw)...).CombinedOutput(); err != nil {
		return logged{}, fmt.Errorf("qemu-img convert: %w: %s", err, out)
	}
	b, err := os.ReadFile(raw)
	if err != nil {
		return logged{}, err
	}
	return read(b)
}

func hostPath(host int, file string) string { return hosts.Hosts[host].Path(file) }

// grows waits until the guest's log goes on from what was there before, and its memory was looked at anew.
func (w *world) grows(host int, before logged) (now logged) {
	w.Helper()
	disk := hostPath(host, w.disk(host))
	look := time.NewTicker(time.Second) // each look reads the whole disk
	defer look.Stop()
	server.Wait(w.T, 3*time.Minute, "the guest's log to go on", func() error {
		<-look.C
		var err error
		now, err = w.log(disk, true)
		if now.records < before.records+5 || now.whole < before.whole+1 || now.whole == 0 {
			return fmt.Errorf("it has %+v, and had %+v (%v)", now, before, err)
		}
		return nil
	})
	return now
}

// whole wants the disk of a guest that stands still to be whole, with every record that was there before and no gap, and no look at its memory to have found it broken.
func (w *world) whole(host int, before logged) {
	w.Helper()
	disk := hostPath(host, w.disk(host))
	if out, err := exec.Command("qemu-img", "check", disk).CombinedOutput(); err != nil && !bytes.Contains(out, []byte("leaked")) {
		w.Errorf("qemu-img check: %v: %s", err, out)
	}
	now, gap := w.log(disk, false)
	if gap != nil {
		w.Errorf("the log: %v", gap)
	}
	if now.records < before.records {
		w.Errorf("the log has %d records; there were %d before", now.records, before.records)
	}
	if now.broken > 0 {
		w.Errorf("the pattern in memory was found broken %d times", now.broken)
	}
	w.Logf("%d records without a gap, memory found whole %d times", now.records, now.whole)
}
