package libvirt

import (
	"testing"

	"novacron/domain"
)

// Pictures are whole, however early in a guest's life they are taken.
func TestManyScreenshots(t *testing.T) {
	d := daemon(t)
	h := dialURI(t, d.UnixURI())
	spec := haltSpec(t, d, "shots")
	defined(t, h, spec)
	ctx := ctxFor(t, wait)
	for range 3 {
		must(t, h.Start(ctx, spec.UUID))
		for range 10 {
			if _, err := h.Screenshot(ctx, spec.UUID); err != nil {
				e := err.(*domain.Error)
				t.Fatal(e.Detail())
			}
		}
		must(t, h.Stop(ctx, spec.UUID))
	}
}
