package domain

// CPUModel is a processor by name, with features added to or taken from it: what VMSpec.CPU and CPUFeatures say together.
type CPUModel struct {
	Model    string       `json:"model"`
	Vendor   string       `json:"vendor,omitempty"`
	Features []CPUFeature `json:"features"`
}

// CPUMatch is how a host's processor compares with one that a guest wants.
type CPUMatch string

// What a host says of a processor.
const (
	CPUIdentical    CPUMatch = "identical"
	CPUSuperset     CPUMatch = "superset" // the host has more
	CPUIncompatible CPUMatch = "incompatible"
)

// Fits reports whether a guest with that processor runs there.
func (m CPUMatch) Fits() bool { return m == CPUIdentical || m == CPUSuperset }

// CPUHost is what one host had to say when a baseline was sought.
type CPUHost struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Model string   `json:"model"` // what its own processor comes nearest to
	Match CPUMatch `json:"match"` // of the baseline
}

// CPUBaseline is the richest processor that all hosts of a set can give: a VM with it moves among them while it runs.
type CPUBaseline struct {
	CPUModel
	Accel Accel     `json:"accel"`
	Hosts []CPUHost `json:"hosts"`
}

// Change gives a VM that processor.
func (c CPUModel) Change() VMChange {
	features := append([]CPUFeature{}, c.Features...)
	return VMChange{CPU: &c.Model, HardwareChange: HardwareChange{CPUFeatures: &features}}
}

// Describe prints it in one line: "EPYC +svm -sse4a".
func (c CPUModel) Describe() string {
	if len(c.Features) == 0 {
		return c.Model
	}
	return c.Model + " " + DescribeFeatures(c.Features)
}
