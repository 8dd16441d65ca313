package domain

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Binary sizes.
const (
	KiB int64 = 1 << 10
	MiB int64 = 1 << 20
	GiB int64 = 1 << 30
	TiB int64 = 1 << 40
)

// FormatBytes prints a size in binary units with at most one decimal: "512 MiB", "1.5 GiB".
func FormatBytes(n int64) string {
	neg := ""
	if n < 0 {
		neg, n = "−", -n
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if f >= 100 || f == math.Trunc(f) || i == 0 {
		if r := math.Round(f); r < 1024 || i == len(units)-1 {
			return fmt.Sprintf("%s%.0f %s", neg, r, units[i])
		}
		return neg + "1 " + units[i+1]
	}
	return neg + strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + units[i]
}

var byteUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1 << 10, "kib": 1 << 10, "kb": 1e3,
	"m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gib": 1 << 30, "gb": 1e9,
	"t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
}

// ParseBytes reads "2 GiB", "2G", "1.5 TiB", "500 MB" or a plain number of bytes.
func ParseBytes(s string) (int64, error) {
	t := strings.TrimSpace(strings.ToLower(s))
	i := strings.IndexFunc(t, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	num, unit := t, ""
	if i >= 0 {
		num, unit = t[:i], strings.TrimSpace(t[i:])
	}
	mult, ok := byteUnits[unit]
	f, err := strconv.ParseFloat(num, 64)
	if err != nil || !ok || f < 0 || f*mult >= math.MaxInt64 {
		return 0, Errorf(Invalid, "“%s” is not a size.", s).WithFix("Write a number and a unit, such as 512 MiB or 2 GiB.")
	}
	return int64(math.Round(f * mult)), nil
}
