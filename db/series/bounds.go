package series

import (
	"time"

	"novacron/domain"
)

// Bounds reads how long samples and hours of them are kept, how much room samples may take, and how much they leave free, as people write it.
func Bounds(keep time.Duration, size, reserve string, hours time.Duration) (Options, error) {
	o := Options{Retention: keep}
	var err error
	if o.MaxBytes, err = domain.ParseBytes(size); err != nil || o.MaxBytes < 64<<20 {
		return o, domain.Errorf(domain.Invalid, "“%s” in metrics-size is not a room for samples.", size).WithFix("Write at least 64 MiB; 20 GiB is usual.")
	}
	if o.Reserve, err = domain.ParseBytes(reserve); err != nil || o.Reserve < 0 {
		return o, domain.Errorf(domain.Invalid, "“%s” in metrics-reserve is not an amount of room.", reserve).WithFix("Write for example 256 MiB, or 0.")
	}
	if o.Reserve == 0 {
		o.Reserve = -1
	}
	if keep < time.Hour {
		return o, domain.Errorf(domain.Invalid, "%s is too short to keep samples.", keep).WithFix("Set metrics-retention to at least 1h; 360h are 15 days.")
	}
	if hours < 48*time.Hour {
		return o, domain.Errorf(domain.Invalid, "%s is too short to keep hours of samples.", hours).WithFix("Set rollup-retention to at least 48h; 17520h are two years.")
	}
	return o, nil
}
