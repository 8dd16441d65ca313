package domain

import "time"

// MigrationMode is how a VM moves.
type MigrationMode string

const (
	MigrateAuto MigrationMode = "auto" // live when it runs, cold when it is stopped
	MigrateLive MigrationMode = "live"
	MigrateCold MigrationMode = "cold"
	// MigrateStorage moves a disk to another pool of the VM's own host, running or stopped; the VM stays where it is.
	MigrateStorage MigrationMode = "storage"
)

// CheckLevel says what a check found.
type CheckLevel string

const (
	CheckPass CheckLevel = "pass"
	CheckWarn CheckLevel = "warn" // it will work, at a price that is named
	CheckFail CheckLevel = "fail" // it would not work: nothing is moved
)

// Check is one thing that was looked at before moving a VM to one host.
type Check struct {
	Name    string     `json:"name"`
	Level   CheckLevel `json:"level"`
	Message string     `json:"message"`
	Fix     string     `json:"fix,omitempty"`
}

// Interval is a forecast quantity: half of all cases end below P50, nine of ten between P05 and P95.
type Interval struct {
	P05 float64 `json:"p05"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

// Holds reports whether v lies between P05 and P95.
func (i Interval) Holds(v float64) bool { return v >= i.P05 && v <= i.P95 }

// MigrationForecast is what is expected of moving one VM to one host.
type MigrationForecast struct {
	Method     string   `json:"method"` // pre-copy, auto-converge, post-copy, pause or cold
	Seconds    Interval `json:"seconds"`
	DowntimeMS Interval `json:"downtime_ms"`
	Bytes      Interval `json:"bytes"`
	Converges  float64  `json:"converges"`     // chance that plain copying keeps up with the guest
	Model      float64  `json:"model_seconds"` // what the model alone says, before past results shift it
	Cap        int64    `json:"cap_bytes"`     // bytes a second that the policy allowed; 0: no limit
	Why        []string `json:"why"`           // what the method and the figures rest on, in words
}

// MigrationTarget is the answer for one candidate host.
type MigrationTarget struct {
	Host     string             `json:"host"`
	HostName string             `json:"host_name"`
	Allowed  bool               `json:"allowed"` // no check failed
	Checks   []Check            `json:"checks"`
	Forecast *MigrationForecast `json:"forecast"` // null when it is not allowed
}

// MigrationFigures is how a migration went.
type MigrationFigures struct {
	Seconds    float64 `json:"seconds"`
	DowntimeMS float64 `json:"downtime_ms"`
	Bytes      int64   `json:"bytes"`
	Iterations int     `json:"iterations"`
	Rate       int64   `json:"rate"`             // bytes a second over the whole
	Throttle   int     `json:"throttle_percent"` // by which the guest was slowed at most, so that the copying kept up; 0: it kept up by itself, or was not seen slowed
	CopyRate   int64   `json:"copy_rate"`        // bytes a second while memory was sent, without what a migration costs besides; 0: not told
	Paused     bool    `json:"paused,omitempty" doc:"It was paused, and still was when it had arrived"`
	SkewMS     float64 `json:"clock_skew_ms,omitempty" doc:"By how much the target's clock was ahead of the source's, with the time that one message took; 0 when it was behind, or not told"`
}

// ClocksDiffer is from what difference on the clocks of two hosts are not called the same: less may be the way of a message between busy hosts.
const ClocksDiffer = 2 * time.Second

// MigrationRecord is one migration with its forecast beside its result.
type MigrationRecord struct {
	JobID     string
	VMID      string
	VMName    string
	FromID    string
	FromName  string
	ToID      string
	ToName    string
	Mode      MigrationMode
	State     string // running, succeeded, undone or stuck: the job's
	Started   time.Time
	Ended     time.Time
	DirtyRate int64 // bytes a second, measured before; -1: not measured
	Forecast  *MigrationForecast
	Result    *MigrationFigures
}
