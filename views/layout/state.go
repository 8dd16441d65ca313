package layout

import (
	"fmt"
	"slices"

	"github.com/a-h/templ"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

// look is how a state is shown: tone, icon, word.
type look struct{ tone, icon, word string }

func vmLook(s domain.VMState) look {
	switch s {
	case domain.VMRunning:
		return look{ui.OK, "circle-check", "running"}
	case domain.VMStopped:
		return look{ui.Neutral, "square", "stopped"}
	case domain.VMPaused:
		return look{ui.Warn, "player-pause", "paused"}
	case domain.VMSaved:
		return look{ui.Info, "moon-stars", "saved"}
	case domain.VMCrashed:
		return look{ui.Bad, "alert-triangle", "crashed"}
	case domain.VMAway:
		return look{ui.Neutral, "plug-connected-x", "away"}
	}
	return look{ui.Neutral, "circle-dashed", string(s)}
}

func hostLook(s domain.HostState) look {
	switch s {
	case domain.HostConnected:
		return look{ui.OK, "circle-check", "connected"}
	case domain.HostConnecting:
		return look{ui.Info, "loader-2", "connecting"}
	case domain.HostAway:
		return look{ui.Bad, "plug-connected-x", "away"}
	}
	return look{ui.Neutral, "circle-dashed", string(s)}
}

func lookOf(j domain.Job) look {
	if j.Partial() {
		return look{ui.Warn, "alert-triangle", "done in part"}
	}
	return jobLook(j.State)
}

func jobLook(s domain.JobState) look {
	switch s {
	case domain.JobQueued:
		return look{ui.Info, "clock", "queued"}
	case domain.JobRunning:
		return look{ui.Info, "loader-2", "running"}
	case domain.JobSucceeded:
		return look{ui.OK, "circle-check", "done"}
	case domain.JobUndone:
		return look{ui.Warn, "arrow-back-up", "undone"}
	case domain.JobStuck:
		return look{ui.Bad, "alert-triangle", "stuck"}
	}
	return look{ui.Neutral, "circle-dashed", string(s)}
}

// Problems gives the wrong fields of an error to a form.
func Problems(e *domain.Error) ui.Problems {
	if e == nil {
		return nil
	}
	out := make(ui.Problems, len(e.Fields))
	for i, f := range e.Fields {
		out[i] = ui.Problem{Field: f.Field, Msg: f.Msg, Want: f.Want}
	}
	return out
}

// Message gives an error's text for people, "" for none.
func Message(e *domain.Error) (msg, fix string) {
	if e == nil {
		return "", ""
	}
	return e.Msg, e.Fix
}

func toneIcon(t Tone) string {
	switch t {
	case ToneSuccess:
		return "circle-check"
	case ToneWarning:
		return "alert-triangle"
	case ToneError:
		return "alert-circle"
	}
	return "info-circle"
}

func toneClass(t Tone) string {
	switch t {
	case ToneSuccess:
		return ui.OK
	case ToneWarning:
		return ui.Warn
	case ToneError:
		return ui.Bad
	}
	return ui.Info
}

// dots of the tree show only what is worth a glance: running and trouble.
func (h TreeHost) look() look {
	if h.State == domain.HostConnected && h.Maintenance {
		return look{ui.Warn, "tool", "in maintenance"}
	}
	return hostLook(h.State)
}

func (s Shell) theme() string {
	if slices.Contains([]string{"light", "dark"}, s.User.Prefs.Theme) {
		return s.User.Prefs.Theme
	}
	return "auto"
}

func (s Shell) density() string {
	if s.User.Prefs.Density == "comfortable" {
		return "comfortable"
	}
	return "dense"
}

func (s Shell) initials() string {
	r := []rune(s.User.Name)
	if len(r) == 0 {
		return "?"
	}
	return string(r[:min(2, len(r))])
}

func jobPercent(j domain.Job) float64 {
	if j.Progress.Percent > 0 {
		return j.Progress.Percent
	}
	if len(j.Steps) == 0 {
		return -1
	}
	done := 0
	for _, s := range j.Steps {
		if s.State == domain.StepDone {
			done++
		}
	}
	if done == 0 {
		return -1
	}
	return float64(done) * 100 / float64(len(j.Steps))
}

// JobPercent is how far a job is, from its own report or its finished steps; negative when nobody can tell.
func JobPercent(j domain.Job) float64 { return jobPercent(j) }

// JobNow is what a running job does in words.
func JobNow(j domain.Job) string {
	if j.Progress.Text != "" {
		return j.Progress.Text
	}
	for i, s := range j.Steps {
		if s.State == domain.StepStarted || s.State == domain.StepUndoing {
			verb := ""
			if s.State == domain.StepUndoing {
				verb = "undoing: "
			}
			return fmt.Sprintf("%s%s (%d of %d)", verb, s.Name, i+1, len(j.Steps))
		}
	}
	if j.State == domain.JobQueued {
		return "waiting for its turn"
	}
	return ""
}

// JobOutcome is how an ended job went, in a line.
func JobOutcome(j domain.Job) string {
	if j.Error != nil {
		return j.Error.Message
	}
	switch j.State {
	case domain.JobSucceeded:
		return "Completed"
	case domain.JobUndone:
		return "Cancelled and undone"
	case domain.JobStuck:
		return "Needs a person"
	}
	return ""
}

// RefURL is the page of what an event or a job is about; "" when it has none.
func RefURL(r domain.Ref, vm, host, task func(string) string) string {
	if r.ID == "" {
		return ""
	}
	switch r.Kind {
	case "vm":
		return vm(r.ID)
	case "host":
		return host(r.ID)
	case "job":
		return task(r.ID)
	case "pool":
		return live.Pool(r.ID)
	case "volume":
		return live.Volume(r.ID)
	case "plan":
		return live.Plan(r.ID)
	case "alert":
		return live.Alert(r.ID)
	case "incident":
		return live.Incident(r.ID)
	}
	return ""
}

func (s Shell) withTheme(t string) Shell { s.User.Prefs.Theme = t; return s }

func nextTheme(t string) string {
	switch t {
	case "auto":
		return "light"
	case "light":
		return "dark"
	}
	return "auto"
}

func knownPercent(p domain.Progress) float64 {
	if p.Percent <= 0 {
		return -1
	}
	return p.Percent
}

func fetchChildren(h TreeHost) templ.Attributes {
	if h.Open {
		return nil
	}
	return live.Fetch(live.TreeHost(h.ID), live.TreeChildren(h.ID))
}

func fetchPools(p TreePools) templ.Attributes {
	if p.Open {
		return nil
	}
	return live.Fetch(live.TreePools, live.TreePoolsUnder)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// tree is the inventory, drawn or as it was drawn already.
func (s Shell) tree() templ.Component {
	if s.Tree.Drawn != nil {
		return s.Tree.Drawn(tree(s))
	}
	return tree(s)
}
