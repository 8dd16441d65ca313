package domain

import "testing"

func TestABaselineBecomesTheVMsProcessor(t *testing.T) {
	c := CPUModel{Model: "EPYC", Features: []CPUFeature{{Name: "svm", Policy: "disable"}, {Name: "aes", Policy: "require"}}}
	vm := VMSpec{VCPUs: 1, MemoryBytes: GiB, CPU: "host-passthrough"}
	after, err := c.Change().Apply(vm)
	if err != nil || after.CPU != "EPYC" || len(after.CPUFeatures) != 2 || c.Describe() != "EPYC +aes -svm" {
		t.Errorf("%+v (%v), %q", after, err, c.Describe())
	}
	plain := CPUModel{Model: "qemu64"}
	if after, err = plain.Change().Apply(after); err != nil || after.CPU != "qemu64" || len(after.CPUFeatures) != 0 || plain.Describe() != "qemu64" {
		t.Errorf("the features of the last one stay: %+v (%v)", after, err)
	}
	for m, fits := range map[CPUMatch]bool{CPUIdentical: true, CPUSuperset: true, CPUIncompatible: false, "": false} {
		if m.Fits() != fits {
			t.Errorf("%q", m)
		}
	}
}
