package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/domain/preflight"
	"novacron/hv"
	"novacron/hv/hvtest"
)

// bench is two hosts, and a raw volume of ten and a half chunks on the first.
type bench struct {
	a, b  *hvtest.Fake
	from  hv.Host
	to    hv.Host
	disk  preflight.Disk
	bytes []byte
	said  []string
}

const testChunk = 4096

func newBench(t *testing.T) *bench {
	t.Helper()
	x := &bench{a: hvtest.NewFake(hvtest.FakeOptions{}), b: hvtest.NewFake(hvtest.FakeOptions{}),
		disk: preflight.Disk{Target: "vda", Source: "/a", Pool: "default", Volume: "web.raw", ToPool: "default", ToVolume: "web.raw"}}
	for i := range 10*testChunk + testChunk/2 {
		x.bytes = append(x.bytes, byte(i/100))
	}
	var err error
	for f, h := range map[*hvtest.Fake]*hv.Host{x.a: &x.from, x.b: &x.to} {
		if *h, _, err = f.Dial(t.Context(), hv.Target{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*h).Close() })
		if _, err := (*h).EnsureDefaultPool(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.AddVolume(domain.Volume{Pool: "default", Name: "web.raw", Format: "raw", CapacityBytes: int64(len(x.bytes))})
	}
	x.a.SetContent("default", "web.raw", x.bytes)
	return x
}

var errKilled = errors.New("killed")

// copy runs a copier that dies at its nth write of the ledger (0: never), and gives what the ledger then says, as a next start reads it.
func (x *bench) copy(t *testing.T, done copied, dieAt int) (copied, error) {
	t.Helper()
	var kept []byte
	writes := 0
	c := &copier{from: x.from, to: x.to, disk: x.disk, chunk: testChunk, done: &done, tell: func(int64) {}, log: func(f string, args ...any) { x.said = append(x.said, fmt.Sprintf(f, args...)) }}
	c.save = func() (err error) {
		if writes++; writes == dieAt {
			return errKilled
		}
		kept, err = json.Marshal(done)
		return err
	}
	err := c.run(t.Context())
	var out copied
	if e := json.Unmarshal(kept, &out); kept != nil && e != nil {
		t.Fatal(e)
	}
	return out, err
}

func (x *bench) whole(t *testing.T) {
	t.Helper()
	if got := x.b.Content("default", "web.raw"); !bytes.Equal(got, x.bytes) {
		t.Errorf("the copy has %d bytes and is not the original of %d", len(got), len(x.bytes))
	}
}

func TestACopyGoesOnAtTheLastVerifiedChunk(t *testing.T) {
	x := newBench(t)
	done, err := x.copy(t, copied{}, 8)
	if !errors.Is(err, errKilled) || len(done.Sums) != 6 {
		t.Fatalf("killed at the 8th write: %d chunks, %v", len(done.Sums), err)
	}
	before := x.a.Calls("ReadVolume")
	if done, err = x.copy(t, done, 0); err != nil || len(done.Sums) != 11 {
		t.Fatalf("taken up: %d chunks, %v", len(done.Sums), err)
	}
	if n := x.a.Calls("ReadVolume") - before; n != 5 {
		t.Errorf("%d chunks were read again, want the 5 that were left", n)
	}
	if len(x.said) != 1 || !strings.Contains(x.said[0], "24 KiB were copied and read back already") {
		t.Errorf("it said %q", x.said)
	}
	x.whole(t)
	if _, err = x.copy(t, done, 0); err != nil {
		t.Errorf("when all is there: %v", err)
	}
	x.whole(t)
}

func TestACopyBeginsAnewWhenItCannotBeTrusted(t *testing.T) {
	for what, spoil := range map[string]func(x *bench, done *copied){
		"the target lost it":       func(x *bench, _ *copied) { x.b.SetContent("default", "web.raw", nil) },
		"the original is longer":   func(_ *bench, done *copied) { done.Size-- },
		"the original was changed": func(_ *bench, done *copied) { done.Held++ },
	} {
		x := newBench(t)
		done, err := x.copy(t, copied{}, 5)
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		spoil(x, &done)
		if done, err = x.copy(t, done, 0); err != nil || len(done.Sums) != 11 {
			t.Errorf("%s: %d chunks, %v", what, len(done.Sums), err)
		}
		if len(x.said) != 1 || !strings.Contains(x.said[0], "anew") {
			t.Errorf("%s: it said %q", what, x.said)
		}
		x.whole(t)
	}
}

func TestACopyThatBreaksOffKeepsWhatItHas(t *testing.T) {
	for _, op := range []string{"ReadVolume.data", "WriteVolume.data"} {
		x := newBench(t)
		done, err := x.copy(t, copied{}, 5)
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		for _, f := range []*hvtest.Fake{x.a, x.b} {
			f.Fail(op, domain.Errorf(domain.Unavailable, "The link broke."), 1)
		}
		if _, err := x.copy(t, done, 0); !domain.Is(err, domain.Unavailable) {
			t.Errorf("%s: %v", op, err)
		}
		x.b.SetContent("default", "web.raw", x.b.Content("default", "web.raw"))
		for range 2 {
			if _, err = x.copy(t, done, 0); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("%s, again: %v", op, err)
		}
		x.whole(t)
	}
}

func TestChunks(t *testing.T) {
	for size, want := range map[int64]int64{0: 128 * domain.MiB, domain.GiB: 128 * domain.MiB, 128 * domain.GiB: 256 * domain.MiB} {
		if got := chunkFor(size); got != want {
			t.Errorf("%d bytes go in chunks of %d, want %d", size, got, want)
		}
	}
}
