package libvirt

import (
	"context"
	"errors"
	"testing"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
)

// QEMU that cannot measure its own processor is asked again, a few times; what else goes wrong is told at once.
func TestAnUntimedVolumeIsMadeAgain(t *testing.T) {
	busy := golibvirt.Error{Message: "internal error: Child process (/usr/bin/qemu-img create …) unexpected exit status 1: qemu-img: /pool/v.qcow2: Unable to get accurate CPU usage"}
	other := errors.New("no room")
	run := func(_ context.Context, _ string, _ time.Duration, fn func(*golibvirt.Libvirt) error) error {
		return fn(nil)
	}
	for name, c := range map[string]struct {
		answers []error
		want    error
		calls   int
	}{
		"something else":            {[]error{other}, other, 1},
		"busy, then something else": {[]error{busy, busy, other}, other, 3},
		"always busy":               {[]error{busy, busy, busy, busy, busy, busy, busy}, busy, 5},
	} {
		calls := 0
		_, err := (&host{}).makeVolume(t.Context(), run, time.Minute, "make", func(*golibvirt.Libvirt) (golibvirt.StorageVol, error) {
			calls++
			return golibvirt.StorageVol{}, c.answers[calls-1]
		})
		if !errors.Is(err, c.want) || calls != c.calls {
			t.Errorf("%s: %d calls, %v", name, calls, err)
		}
	}
}
