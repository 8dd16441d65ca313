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

// MigrationPolicy bounds what a migration may do to the guest and the wire. The zero value is the default.
type MigrationPolicy struct {
	DowntimeMS         []int `json:"downtime_ms,omitempty"`          // limits tried one after the other as the copying stalls; empty: 100, 150, 200, 300, 500
	BandwidthBytes     int64 `json:"bandwidth_bytes,omitempty"`      // a second; 0: no cap
	NeverSlow          bool  `json:"never_slow,omitempty"`           // do not slow the guest down (auto-converge)
	PostCopy           bool  `json:"post_copy,omitempty"`            // may end by post-copy when copying does not keep up
	PauseAfterSeconds  int   `json:"pause_after_seconds,omitempty"`  // when it does not keep up for this long: pause the guest and finish; 0: never
	RequireTLS         bool  `json:"require_tls,omitempty"`          // refuse an unencrypted stream
	ParallelConnection int   `json:"parallel_connections,omitempty"` // multifd; 0: one connection
	Compress           bool  `json:"compress,omitempty"`             // XBZRLE
}

// DefaultDowntimes are the limits tried one after the other while the copying stalls, in milliseconds.
var DefaultDowntimes = []int{100, 150, 200, 300, 500}

// Downtimes gives the limits to try.
func (p MigrationPolicy) Downtimes() []int {
	if len(p.DowntimeMS) == 0 {
		return DefaultDowntimes
	}
	return p.DowntimeMS
}

// Validate checks a policy by itself.
func (p MigrationPolicy) Validate() error {
	var probs Problems
	last := 0
	for _, ms := range p.DowntimeMS {
		if ms < 1 || ms > 60_000 || ms < last {
			probs.Add("policy.downtime_ms", "The limits of the pause must grow, from 1 to 60000 ms.", "for example [100, 150, 200, 300, 500]")
			break
		}
		last = ms
	}
	if p.BandwidthBytes != 0 && p.BandwidthBytes < MiB {
		probs.Add("policy.bandwidth_bytes", "A cap below 1 MiB/s would never end.", "at least 1048576, or 0 for no cap")
	}
	if p.PauseAfterSeconds < 0 {
		probs.Add("policy.pause_after_seconds", "A time cannot be negative.", "seconds, or 0 for never")
	}
	if p.PostCopy && p.PauseAfterSeconds > 0 {
		probs.Add("policy.post_copy", "Post-copy and a pause contradict each other: both say how a migration ends that does not keep up.", "one of the two")
	}
	if p.PostCopy && p.Compress {
		probs.Add("policy.compress", "Compressed pages cannot be fetched by post-copy.", "one of the two")
	}
	if p.ParallelConnection < 0 || p.ParallelConnection > 64 {
		probs.Add("policy.parallel_connections", "That many connections are not possible.", "0 to 64")
	}
	return probs.Err()
}

// MigrationFigures is how a migration went.
type MigrationFigures struct {
	Seconds    float64 `json:"seconds"`
	DowntimeMS float64 `json:"downtime_ms"`
	Bytes      int64   `json:"bytes"`
	Iterations int     `json:"iterations"`
	Rate       int64   `json:"rate"` // bytes a second over the whole
}

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
