package libvirt

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"novacron/domain"
	"novacron/hv"
)

// A folder that is there already is used as it is.
func TestAPoolTakesAFolderAsItIs(t *testing.T) {
	h := dialURI(t, daemon(t).UnixURI())
	ctx := ctxFor(t, wait)
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o751))
	must(t, os.WriteFile(filepath.Join(dir, "mine.raw"), make([]byte, 4096), 0o600))
	spec := domain.PoolSpec{Name: "as-it-is", Type: "dir", UUID: domain.NewUUID(), Target: dir}
	t.Cleanup(func() {
		must(t, h.StopPool(ctxFor(t, wait), spec.Name))
		must(t, h.UndefinePool(ctxFor(t, wait), spec.Name))
	})
	must(t, h.DefinePool(ctx, spec))
	must(t, h.StartPool(ctx, spec.Name))
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o751 {
		t.Errorf("the folder's mode is %v now, %v", st.Mode(), err)
	}
	if _, err := h.Volume(ctx, spec.Name, "mine.raw"); err != nil {
		t.Error(err)
	}
	f, err := h.Facts(ctx)
	must(t, err)
	if !slices.Contains(f.PoolTypes, "dir") || slices.Contains(f.PoolTypes, "sheepdog") {
		t.Errorf("the host says it can have %v", f.PoolTypes)
	}
	t.Logf("kinds of pool: %v", f.PoolTypes)
}

// A pool whose folder went away says so and loses nothing else.
func TestAPoolThatVanishes(t *testing.T) {
	h := dialURI(t, daemon(t).UnixURI())
	ctx := ctxFor(t, wait)
	dir := filepath.Join(t.TempDir(), "gone")
	spec := domain.PoolSpec{Name: "vanishing", Type: "dir", UUID: domain.NewUUID(), Target: dir}
	t.Cleanup(func() {
		must(t, h.StopPool(ctxFor(t, wait), spec.Name))
		must(t, h.UndefinePool(ctxFor(t, wait), spec.Name))
	})
	must(t, h.DefinePool(ctx, spec))
	must(t, h.StartPool(ctx, spec.Name))
	must(t, os.RemoveAll(dir))
	_, err := h.CreateVolume(ctx, hv.VolumeSpec{Pool: spec.Name, Name: "v.raw", Format: "raw", SizeBytes: domain.MiB})
	if err == nil || domain.Is(err, domain.Internal) {
		t.Errorf("a volume in a folder that is gone: %v (%s)", err, domain.CodeOf(err))
	}
	t.Log(err)
	if _, err := h.Inventory(ctx); err != nil {
		t.Errorf("the rest of the host can not be listed any more: %v", err)
	}
	err = h.RefreshPool(ctx, spec.Name)
	if err == nil {
		t.Error("a refresh found nothing wrong")
	}
	t.Log(err)
}
