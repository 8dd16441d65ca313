package domain

import (
	"strings"
	"testing"
	"time"
)

func TestFormatBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", KiB: "1 KiB", 1536: "1.5 KiB", 512 * MiB: "512 MiB", 2 * GiB: "2 GiB",
		GiB + 512*MiB: "1.5 GiB", GiB - 1: "1 GiB", 100*GiB + 300*MiB: "100 GiB", 3 * TiB: "3 TiB", -GiB: "−1 GiB", 1100 * MiB: "1.1 GiB",
	} {
		if got := FormatBytes(n); got != want {
			t.Errorf("FormatBytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{
		"2 GiB": 2 * GiB, "2G": 2 * GiB, "2g": 2 * GiB, "1.5 TiB": TiB + TiB/2, "500 MB": 500e6, "1024": 1024, " 512 mib ": 512 * MiB, "0": 0, "10 b": 10,
	} {
		if got, err := ParseBytes(s); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "G", "-1", "2 Gib extra", "1e9", "1.2.3 G", "99999999999 TiB", "two"} {
		if n, err := ParseBytes(s); !Is(err, Invalid) {
			t.Errorf("ParseBytes(%q) = %d, %v; want invalid", s, n, err)
		}
	}
}

func TestFormattedSizesParseBack(t *testing.T) {
	for _, n := range []int64{MiB, 128 * MiB, GiB, 3*GiB + GiB/2, 20 * GiB, 2 * TiB} {
		if got, err := ParseBytes(FormatBytes(n)); err != nil || got != n {
			t.Errorf("%d -> %q -> %d, %v", n, FormatBytes(n), got, err)
		}
	}
}

func TestIDsSortByTimeAndDiffer(t *testing.T) {
	t0 := time.UnixMilli(1_790_000_000_000)
	a, b, c := NewID("vm", t0), NewID("vm", t0.Add(time.Millisecond)), NewID("vm", t0.Add(time.Millisecond))
	if !(a < b) || b == c || !strings.HasPrefix(a, "vm_") || len(a) != 29 {
		t.Fatal(a, b, c)
	}
}

func TestUUIDAndMAC(t *testing.T) {
	u := NewUUID()
	if !ValidUUID(u) || u[14] != '4' || !strings.ContainsRune("89ab", rune(u[19])) {
		t.Error(u)
	}
	if ValidUUID(strings.ToUpper("6695eb01-f6a4-8304-79aa-97f2502e193f")) || ValidUUID("x") {
		t.Error("accepts what libvirt does not print")
	}
	var p Problems
	if (NIC{Network: "n", MAC: NewMAC()}).validate(&p, "nic"); p.Err() != nil {
		t.Error(p.Err())
	}
}
