package libvirt

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"novacron/domain"
	"novacron/hv"
)

// TestACopyIsAsSparseAsItsOriginal copies a volume as jobs do, in parts, into one that was emptied before: not a block more is taken.
func TestACopyIsAsSparseAsItsOriginal(t *testing.T) {
	d := daemon(t)
	h, ctx := dialURI(t, d.UnixURI()), ctxFor(t, wait)
	if _, err := h.EnsureDefaultPool(ctx); err != nil {
		t.Fatal(err)
	}
	const size, part, data = 16 << 20, 6 << 20, 1 << 20
	name := map[string]string{}
	for _, which := range []string{"from", "to"} {
		name[which] = which + "-" + domain.NewUUID()[:8] + ".raw"
		if _, err := h.CreateVolume(ctx, hv.VolumeSpec{Pool: "default", Name: name[which], Format: "raw", SizeBytes: size}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := h.DeleteVolume(ctxFor(t, wait), "default", name[which]); err != nil {
				t.Error(err)
			}
		})
	}
	file := func(which string) string { return filepath.Join(d.Dir, "lib", "images", name[which]) }
	f, err := os.OpenFile(file("from"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 3 << 20, 5<<20 + data/2, 12 << 20} { // one lies across the parts' border
		if _, err := f.WriteAt(bytes.Repeat([]byte{7}, data), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.ClearVolume(ctx, "default", name["to"]); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < size; at += part {
		n := min(part, size-at)
		r, err := h.ReadVolume(ctx, "default", name["from"], at, n)
		if err != nil {
			t.Fatal(err)
		}
		err = h.WriteVolume(ctx, "default", name["to"], at, n, r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	held := func(which string) int64 {
		var st syscall.Stat_t
		if err := syscall.Stat(file(which), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	if from, to := held("from"), held("to"); to > from {
		t.Errorf("the copy occupies %d bytes, the original %d", to, from)
	}
	want, err := os.ReadFile(file("from"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.Open(file("to"))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if b, err := io.ReadAll(got); err != nil || !bytes.Equal(b, want) {
		t.Errorf("the copy has %d bytes and is not the original, %v", len(b), err)
	}
}
