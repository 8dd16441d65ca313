package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"novacron/handlers/cli/client"
)

// waiting says whether a change is followed to its end, and for how long.
type waiting struct {
	on    bool
	limit time.Duration // 0: for good
}

func waitFlag(cmd *cobra.Command) {
	cmd.Flags().String("wait", "auto", "follow the change to its end: yes, no, or for how long, such as 10m; auto: at a terminal")
	cmd.Flags().Lookup("wait").NoOptDefVal = "yes"
	_ = cmd.RegisterFlagCompletionFunc("wait", cobra.FixedCompletions([]string{"yes", "no", "5m"}, cobra.ShellCompDirectiveNoFileComp))
}

func (r *run) waits() (waiting, error) {
	switch text := flag(r.cmd, "wait"); text {
	case "yes", "true":
		return waiting{on: true}, nil
	case "no", "false", "":
		return waiting{}, nil
	case "auto":
		_, ok := terminal(r.Err)
		return waiting{on: ok}, nil
	default:
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return waiting{}, &client.UsageError{Msg: "“" + text + "” is not how long to wait.", Fix: "Write --wait, --wait=no, or for example --wait=10m."}
		}
		return waiting{true, d}, nil
	}
}

// jobError says that a change was begun and did not succeed.
type jobError struct{ job client.Job }

func (e *jobError) Error() string { return e.Lines()[0] }

func (e *jobError) Lines() []string {
	j := e.job
	why := ""
	if j.Error != nil {
		why = j.Error.Message
	}
	var out []string
	if j.State == "stuck" {
		out = append(out, j.Title+": needs a person. "+why)
		if j.Help != "" {
			out = append(out, "  "+j.Help)
		}
		for _, c := range j.Choices {
			out = append(out, "  novacron job choose "+j.ID+" "+c.Name+": "+c.Does)
		}
	} else {
		out = append(out, strings.TrimSpace(j.Title+": was not done, and what was begun is taken back. "+why))
	}
	if j.Error != nil {
		for _, r := range j.Error.Reasons {
			out = append(out, "  "+strings.TrimPrefix(r.Subject+": "+r.Text, ": "))
		}
		if j.Error.Fix != "" {
			out = append(out, "  "+j.Error.Fix)
		}
	}
	return append(out, "  novacron job get "+j.ID+" shows its steps.")
}

// follow waits for a job and shows how it goes.
func (r *run) follow(raw json.RawMessage, bars *bars, wait waiting) (json.RawMessage, error) {
	var job client.Job
	if err := json.Unmarshal(raw, &job); err != nil {
		return raw, err
	}
	ctx, end := r.ctx, func() {}
	if wait.limit > 0 {
		ctx, end = context.WithTimeoutCause(ctx, wait.limit, &timeoutError{wait.limit})
	}
	defer end()
	bar := bars.add(job)
	if !job.Ended() {
		var err error
		if job, err = r.client.Wait(ctx, job.ID, bar.tell); err != nil {
			bar.leave()
			fmt.Fprintln(r.Err, job.Title+" goes on; novacron job get "+orRaw(job.ID, raw)+" --wait follows it.")
			return raw, err
		}
	}
	bar.tell(job)
	bar.leave()
	answer, err := r.client.Do(r.ctx, client.Call{Op: "get-job", Path: []string{job.ID}})
	if err != nil {
		return raw, err
	}
	if job.State != "succeeded" {
		return answer.Body, &jobError{job}
	}
	return answer.Body, nil
}

func orRaw(id string, raw json.RawMessage) string {
	if id != "" {
		return id
	}
	o, err := objectOf(raw)
	if err != nil {
		return ""
	}
	return o.text("id")
}

// bars are the progress of several jobs at once, at a terminal.
type bars struct {
	p  *mpb.Progress
	mu sync.Mutex
}

type bar struct {
	b    *mpb.Bar
	mu   sync.Mutex
	text string
}

func (r *run) bars(wait waiting, _ int) *bars {
	_, ok := terminal(r.Err)
	if !ok || !wait.on || r.Getenv("TERM") == "dumb" {
		return &bars{}
	}
	return &bars{p: mpb.NewWithContext(r.ctx, mpb.WithOutput(r.Err), mpb.WithWidth(30), mpb.WithRefreshRate(150*time.Millisecond), mpb.WithAutoRefresh())}
}

func (b *bars) add(j client.Job) *bar {
	out := &bar{}
	if b.p == nil {
		return out
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out.b = b.p.New(100, mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]"),
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(clean(j.Title, false)+" ", decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}), decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 7}), decor.Any(func(decor.Statistics) string { return " " + out.says() })),
	)
	return out
}

func (b *bar) says() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text
}

// tell shows a state of the job; a bar never goes back.
func (b *bar) tell(j client.Job) {
	text := j.ProgressText
	for _, s := range j.Steps {
		if text == "" && s.State == "running" {
			text = s.Name
		}
	}
	b.mu.Lock()
	b.text = clean(text, false)
	b.mu.Unlock()
	if b.b != nil && int64(j.Progress) > b.b.Current() {
		b.b.SetCurrent(min(int64(j.Progress), 99))
	}
}

func (b *bar) leave() {
	if b.b != nil {
		b.b.Abort(true)
	}
}

func (b *bars) done() {
	if b.p != nil {
		b.p.Wait()
	}
}
