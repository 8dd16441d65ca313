package libvirt

import (
	"math"
	"testing"
)

// A daemon's number that ours cannot hold must not become a size below nothing.
func TestSizesOfADaemonStayPositive(t *testing.T) {
	for n, want := range map[uint64]int64{0: 0, 1 << 40: 1 << 40, math.MaxInt64: math.MaxInt64, math.MaxInt64 + 1: math.MaxInt64, math.MaxUint64: math.MaxInt64} {
		if got := signed(n); got != want {
			t.Errorf("%d becomes %d", n, got)
		}
	}
}
