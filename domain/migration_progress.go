package domain

// MovePhase is what a migration under way is about.
type MovePhase string

const (
	MoveDisks    MovePhase = "disks"     // disk contents are copied first
	MoveMemory   MovePhase = "memory"    // the guest's memory, round by round
	MovePostCopy MovePhase = "post-copy" // the guest runs on the target and fetches what is missing
	MovePaused   MovePhase = "paused"    // the policy paused the guest, so that it can end
)

// MoveProgress is one look at a migration under way, with the looks before it. Sizes are bytes, rates bytes a second.
type MoveProgress struct {
	Phase        MovePhase   `json:"phase"`
	BytesDone    int64       `json:"bytes_done"`
	BytesLeft    int64       `json:"bytes_left"`
	CopyRate     int64       `json:"copy_rate"`
	DirtyRate    int64       `json:"dirty_rate"` // what the guest writes to its memory; 0: not told yet
	DowntimeMS   int64       `json:"downtime_ms" doc:"The pause that ending now would take; 0: not told yet"`
	DowntimeMax  int64       `json:"downtime_limit_ms" doc:"The longest pause that ends the copying; 0: not told"`
	Iteration    int         `json:"iteration"`
	Throttle     int         `json:"throttle_percent"` // by which the guest is slowed
	Next         string      `json:"next,omitempty" doc:"What the policy does when the copying does not get ahead"`
	MayPostCopy  bool        `json:"may_post_copy"` // it began with post-copy allowed
	NoReturn     bool        `json:"past_no_return" doc:"The guest runs on the target: the migration can only go on, and cannot be cancelled"`
	Rates        []RatePoint `json:"-"` // the last looks, oldest first
	EverySeconds float64     `json:"-"` // between two of Rates
}

// RatePoint is one look at the rates of a migration, in bytes a second.
type RatePoint struct{ Copy, Dirty int64 }

// MigrationTune changes a migration under way. Zero values leave things as they are.
type MigrationTune struct {
	BandwidthBytes int64 `json:"bandwidth_bytes,omitempty" doc:"Bytes a second at most, from 1 MiB; 0: as it is"`
	DowntimeMS     int   `json:"downtime_ms,omitempty" doc:"The longest pause that ends the copying, 1 to 60000; 0: as it is"`
	PostCopy       bool  `json:"post_copy,omitempty" doc:"Let the guest run on the target now and fetch the rest of its memory: it cannot go back then"`
}

// Validate checks a change by itself.
func (t MigrationTune) Validate() error {
	var probs Problems
	if t == (MigrationTune{}) {
		probs.Add("", "Nothing to change was named.", "bandwidth_bytes, downtime_ms or post_copy")
	}
	if t.BandwidthBytes != 0 && t.BandwidthBytes < MiB {
		probs.Add("bandwidth_bytes", "A cap below 1 MiB/s would never end.", "at least 1048576")
	}
	if t.DowntimeMS != 0 && (t.DowntimeMS < 1 || t.DowntimeMS > 60_000) {
		probs.Add("downtime_ms", "The pause must be from 1 to 60000 ms.", "for example 300")
	}
	return probs.Err()
}
