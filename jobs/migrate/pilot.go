package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// pilot steers one migration by its policy: it raises the downtime limit while the copying stalls, then switches to post-copy or pauses the guest.
type pilot struct {
	in      Move
	host    hv.Host
	run     *jobs.Run
	started time.Time

	slowed  int   // percent by which the guest was slowed at most
	cap     int64 // of the bandwidth, as the policy's window last set it
	limit   int   // the limit of the pause last asked for, in milliseconds
	round   int   // the last iteration seen
	left    int64
	stalled int
	ended   bool // post-copy or the pause was asked for
	phase   domain.MovePhase
	rates   []domain.RatePoint
	every   time.Duration
}

// ratesKept is how many looks a chart of the rates goes back.
const ratesKept = 240

// stallRounds is how many iterations without getting shorter call for the next step of the policy.
const stallRounds = 2

// steer looks once. What it asks for is a hint to QEMU; a refusal costs nothing, since the migration ends one way or the other and the next look tries again.
func (p *pilot) steer(ctx context.Context, now time.Time) {
	look, release := context.WithTimeout(ctx, 10*time.Second)
	defer release()
	at, err := p.host.MigrationProgress(look, p.in.UUID)
	if err != nil {
		if !domain.Is(err, domain.NotFound) {
			p.run.Log("The progress could not be read: %s", err.Error())
		}
		return
	}
	if p.phase != domain.MovePostCopy && (at.PostCopyFaults > 0 || p.in.Policy.PostCopy && p.runsThere(look)) { // whoever asked for it
		p.ended, p.phase = true, domain.MovePostCopy
		p.run.NoReturn()
	}
	p.slowed = max(p.slowed, at.Throttle)
	p.window(look, now)
	p.tell(at, now)
	if p.ended || at.Iteration <= p.round {
		return
	}
	if p.round > 0 && at.MemoryLeft*10 > p.left*7 {
		p.stalled++
	}
	p.round, p.left = at.Iteration, at.MemoryLeft
	if p.stalled < stallRounds {
		return
	}
	waited := now.Sub(p.started)
	next := p.raise(at)
	switch {
	case next > 0:
		if p.ask("raising the limit of the pause", p.host.TuneMigration(look, p.in.UUID, 0, time.Duration(next)*time.Millisecond)) {
			p.limit, p.stalled = next, 0
			p.run.Log("The copying does not get ahead of the guest: the pause may now take %d ms.", next)
		}
	case p.in.Policy.PostCopy:
		if p.ask("post-copy", p.host.StartPostCopy(look, p.in.UUID)) {
			p.ended, p.phase = true, domain.MovePostCopy
			p.run.NoReturn()
			p.run.Log("Switched to post-copy: the guest goes on over there and fetches its memory as it needs it.")
		}
	case p.in.Policy.AbortAfterSeconds > 0 && waited >= time.Duration(p.in.Policy.AbortAfterSeconds)*time.Second:
		if p.ask("giving up", p.host.CancelMigration(look, p.in.UUID)) {
			p.ended = true
			p.run.Log("The move was given up after %s, as the policy says: the copying does not get ahead of the guest.", waited.Round(time.Second))
		}
	case p.in.Policy.PauseAfterSeconds > 0 && waited >= time.Duration(p.in.Policy.PauseAfterSeconds)*time.Second:
		if p.ask("pausing the guest", p.host.Pause(look, p.in.UUID)) {
			p.ended, p.phase = true, domain.MovePaused
			p.run.Log("The guest was paused after %s, so that its move can end.", waited.Round(time.Second))
		}
	}
}

// window sets the cap that the policy has for this time of the day, once when it begins: what a person tunes meanwhile stays.
func (p *pilot) window(ctx context.Context, now time.Time) {
	want := p.in.Policy.BandwidthAt(now)
	if want == p.cap || len(p.in.Policy.Windows) == 0 {
		return
	}
	set, words := want, domain.FormatBytes(want)+"/s"
	if want == 0 {
		set, words = noCap, "no limit"
	}
	if p.ask("the bandwidth of this time of the day", p.host.TuneMigration(ctx, p.in.UUID, set, 0)) {
		p.cap = want
		p.run.Log("The policy's bandwidth at this time of the day is %s.", words)
	}
}

// noCap is a bandwidth that no link has: QEMU has no word for none.
const noCap = 1 << 40

// runsThere reports whether the guest stands still here because it runs on the target already.
func (p *pilot) runsThere(ctx context.Context) bool {
	g, err := p.host.Guest(ctx, p.in.UUID)
	return err == nil && g.State == domain.VMPaused && strings.Contains(g.Reason, "post-copy")
}

// raise is the policy's next limit of the pause above the one in force, in milliseconds, or 0. A person may have set another one meanwhile, so the host
// is believed; a host that does not tell has the last one asked for.
func (p *pilot) raise(at hv.MigrationProgress) int {
	limits := p.in.Policy.Downtimes()
	now := max(p.limit, limits[0])
	if at.DowntimeLimit > 0 {
		now = int(at.DowntimeLimit.Milliseconds())
	}
	for _, ms := range limits {
		if ms > now {
			return ms
		}
	}
	return 0
}

// next says what the policy does if the copying goes on stalling.
func (p *pilot) next(at hv.MigrationProgress, now time.Time) string {
	step := p.nextStep(at)
	clock, bytes, ok := p.in.Policy.NextBandwidth(now)
	if !ok || p.ended {
		return step
	}
	words := "without a limit"
	if bytes > 0 {
		words = "with at most " + domain.FormatBytes(bytes) + "/s"
	}
	return fmt.Sprintf("%s; from %s on it copies %s", step, clock, words)
}

func (p *pilot) nextStep(at hv.MigrationProgress) string {
	switch ms := p.raise(at); {
	case p.ended:
		return ""
	case ms > 0:
		return fmt.Sprintf("allow a pause of %d ms", ms)
	case p.in.Policy.PostCopy:
		return "switch to post-copy"
	case p.in.Policy.PauseAfterSeconds > 0:
		return fmt.Sprintf("pause the guest %d s after the start", p.in.Policy.PauseAfterSeconds)
	case p.in.Policy.AbortAfterSeconds > 0:
		return fmt.Sprintf("give up %d s after the start; the guest stays", p.in.Policy.AbortAfterSeconds)
	case p.in.Policy.NeverSlow:
		return "go on trying"
	}
	return "slow the guest down further"
}

func (p *pilot) ask(what string, err error) bool {
	if err != nil {
		p.run.Log("%s was refused: %s", what, err.Error())
	}
	return err == nil
}

// tell puts a look into the job's progress.
func (p *pilot) tell(at hv.MigrationProgress, now time.Time) {
	total, left := at.MemoryTotal+at.DiskTotal, at.MemoryLeft+at.DiskLeft
	percent := 0.0
	if total > 0 {
		percent = 100 * float64(total-left) / float64(total)
	}
	text := fmt.Sprintf("memory, round %d", max(at.Iteration, 1))
	if at.DiskLeft > 0 {
		text = "disks"
	}
	text += fmt.Sprintf(": %s left", domain.FormatBytes(left))
	if rate := at.MemoryRate + at.DiskRate; rate > 0 {
		text += fmt.Sprintf(", %s/s", domain.FormatBytes(rate))
	}
	if at.DirtyRate > 0 {
		text += fmt.Sprintf(", the guest writes %s/s", domain.FormatBytes(at.DirtyRate))
	}
	if at.Throttle > 0 {
		text += fmt.Sprintf(", guest slowed by %d %%", at.Throttle)
	}
	if at.Downtime > 0 {
		text += fmt.Sprintf(", pause about %d ms", at.Downtime.Milliseconds())
	}
	p.rates = append(p.rates, domain.RatePoint{Copy: at.MemoryRate + at.DiskRate, Dirty: at.DirtyRate})
	if len(p.rates) > ratesKept {
		p.rates = p.rates[len(p.rates)-ratesKept:]
	}
	m := &domain.MoveProgress{Phase: p.phase, BytesDone: at.MemoryDone + at.DiskDone, BytesLeft: left, CopyRate: at.MemoryRate + at.DiskRate, DirtyRate: at.DirtyRate,
		DowntimeMS: at.Downtime.Milliseconds(), DowntimeMax: at.DowntimeLimit.Milliseconds(), Iteration: at.Iteration, Throttle: at.Throttle, Next: p.next(at, now),
		MayPostCopy: p.in.Policy.PostCopy, NoReturn: p.phase == domain.MovePostCopy, Rates: slices.Clone(p.rates), EverySeconds: p.every.Seconds()}
	switch {
	case m.Phase != "":
	case at.DiskLeft > 0:
		m.Phase = domain.MoveDisks
	default:
		m.Phase = domain.MoveMemory
	}
	p.run.Moving(min(percent, 99), text, m)
}
