package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"novacron/domain"
	"novacron/handlers/cli/client"
)

func (a *app) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", Short: "Show what happens", Args: exactly(),
		Long: `Show events: those of the last minutes are kept by the server, and with --after 0 all that it still has.
With --follow the stream goes on, and is taken up where it was when the connection breaks.`,
		Example: "  novacron events -f\n  novacron events --after 0 --kind 'vm.*' -o json",
	}
	f := cmd.Flags()
	f.BoolP("follow", "f", false, "go on until interrupted")
	f.String("after", "", "begin after the event with this number; 0: with the oldest that is kept")
	f.StringSlice("kind", nil, "only these kinds, such as vm.started or 'job.*'")
	f.String("vm", "", "only events of this VM")
	f.String("host", "", "only events of this host and of what is on it")
	outputFlag(cmd, asTable, asJSON)
	for _, name := range []string{"vm", "host"} {
		_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, to string) ([]string, cobra.ShellCompDirective) {
			return a.completeNames(cmd, resourceNamed(name), nil, nil, to)
		})
	}
	cmd.RunE = a.with(func(r *run, _ []string) error { return r.events() })
	return cmd
}

// quiet ends the reading of events that have been: nothing came for so long.
const quiet = 700 * time.Millisecond

func (r *run) events() error {
	form, err := r.form(asTable, asJSON)
	if err != nil {
		return err
	}
	query := url.Values{}
	for name, to := range map[string]string{"vm": "resource", "host": "host"} {
		if text := flag(r.cmd, name); text != "" {
			id, err := r.id(resourceNamed(name), text, nil)
			if err != nil {
				return err
			}
			query.Set(to, id)
		}
	}
	kinds, err := r.cmd.Flags().GetStringSlice("kind")
	if err != nil {
		return err
	}
	follow := flag(r.cmd, "follow") == "true"
	after := flag(r.cmd, "after")
	if !follow {
		after = cmp.Or(after, "0")
	}
	set(query, "after", after)
	ctx, end := context.WithCancelCause(r.ctx)
	defer end(nil)
	var over *time.Timer
	if !follow {
		over = time.AfterFunc(5*quiet, func() { end(errLeft) })
		defer over.Stop()
	}
	err = r.client.Events(ctx, query, func(ev client.Event) error {
		if over != nil {
			over.Reset(quiet)
		}
		if len(kinds) > 0 && !slices.ContainsFunc(kinds, func(k string) bool { ok, _ := path.Match(k, ev.Kind); return ok }) {
			return nil
		}
		return r.event(ev, form)
	}, func(error) { fmt.Fprintln(r.Err, "The connection broke off; it is taken up again.") })
	if context.Cause(ctx) == errLeft && r.ctx.Err() == nil {
		return nil
	}
	return err
}

func (r *run) event(ev client.Event, form string) error {
	if form == asJSON {
		var b bytes.Buffer
		if err := json.Compact(&b, ev.Data); err != nil {
			return err
		}
		b.WriteByte('\n')
		_, err := r.Out.Write(b.Bytes())
		return err
	}
	if ev.Kind == "gap" {
		_, err := fmt.Fprintln(r.Out, "… some events are kept no more …")
		return err
	}
	var told domain.CloudEvent
	if err := json.Unmarshal(ev.Data, &told); err != nil {
		return fmt.Errorf("what the server says of an event cannot be read: %w", err)
	}
	e := told.Data
	_, err := fmt.Fprintf(r.Out, "%s  %-18s  %s\n", e.At.Local().Format("2006-01-02 15:04:05"), clean(cmp.Or(e.Kind, ev.Kind), false), clean(e.Message, false))
	return err
}

// logsCommand follows a task's log, or that of the tasks of a thing.
func (a *app) logsCommand() *cobra.Command {
	job := resourceNamed("job")
	cmd := &cobra.Command{
		Use: "logs TASK", Short: "Show a task's log", Args: exactly("TASK"), Example: "  novacron logs -f job_01k…",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeNames(cmd, job, nil, nil, to)
		},
	}
	cmd.Flags().BoolP("follow", "f", false, "go on until the task has ended; the code then says how")
	cmd.RunE = a.with(func(r *run, args []string) error {
		id, err := r.id(job, args[0], nil)
		if err != nil {
			return err
		}
		shown := 0
		print := func() error {
			var log struct {
				Items []struct {
					At   time.Time `json:"at"`
					Step string    `json:"step"`
					Text string    `json:"text"`
				} `json:"items"`
			}
			if err := r.client.Get(r.ctx, client.Call{Op: "get-job-log", Path: []string{id}}, &log); err != nil {
				return err
			}
			for _, l := range log.Items[min(shown, len(log.Items)):] {
				step := ""
				if l.Step != "" {
					step = clean(l.Step, false) + ": "
				}
				fmt.Fprintf(r.Out, "%s  %s%s\n", l.At.Local().Format("15:04:05.000"), step, clean(l.Text, false))
			}
			shown = len(log.Items)
			return nil
		}
		if flag(cmd, "follow") != "true" {
			return print()
		}
		var bad error
		ended, err := r.client.Wait(r.ctx, id, func(client.Job) { bad = cmp.Or(bad, print()) })
		if err = cmp.Or(bad, err); err != nil {
			return err
		}
		if err := print(); err != nil {
			return err
		}
		if ended.State != "succeeded" {
			return &jobError{ended}
		}
		return nil
	})
	return cmd
}

func (a *app) topCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "top", Short: "Show which VMs use most, live", Args: exactly(),
		Long:    "Show which VMs use most of their hosts, measured anew every few seconds; q or Ctrl-C leaves.\nWhere the output is no terminal it is printed once.",
		Example: "  novacron top\n  novacron top --by memory --limit 5",
	}
	cmd.Flags().String("by", "cpu", "what they are ordered by: cpu, memory, read or write")
	cmd.Flags().Int("limit", 0, "how many at most; 0: as many as fit")
	cmd.Flags().Duration("every", 5*time.Second, "how often it is measured anew")
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(topOrder, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = a.with(func(r *run, _ []string) error { return r.top() })
	return cmd
}

var topOrder = []string{"cpu", "memory", "read", "write"}

// topQueries ask for what is shown: how many processors it keeps busy, memory of the host, bytes a second of its disks.
var topQueries = []string{
	"sum by (vm_id) (rate(novacron_vm_cpu_seconds_total[1m]))",
	"max by (vm_id) (novacron_vm_memory_resident_bytes)",
	"sum by (vm_id) (rate(novacron_vm_disk_read_bytes_total[1m]))",
	"sum by (vm_id) (rate(novacron_vm_disk_written_bytes_total[1m]))",
}

type topRow struct {
	name, host string
	has        [4]bool
	v          [4]float64
}

func (r *run) top() error {
	by := slices.Index(topOrder, flag(r.cmd, "by"))
	if by < 0 {
		return usage(r.cmd, "“%s” is no order.", flag(r.cmd, "by"))
	}
	limit, err := r.cmd.Flags().GetInt("limit")
	if err != nil {
		return err
	}
	every, err := r.cmd.Flags().GetDuration("every")
	if err != nil {
		return err
	}
	fd, live := terminal(r.Out)
	if !live {
		rows, err := r.measure(by)
		if err != nil {
			return err
		}
		return r.topTable(rows, by, limit)
	}
	if in, ok := terminal(r.In); ok {
		was, err := term.MakeRaw(in)
		if err != nil {
			return err
		}
		defer term.Restore(in, was) //nolint:errcheck // there is nothing else to do about it
	}
	ctx, end := context.WithCancelCause(r.ctx)
	defer end(nil)
	go func() {
		key := make([]byte, 1)
		for {
			if _, err := r.In.Read(key); err != nil || key[0] == 'q' || key[0] == 3 {
				end(errLeft)
				return
			}
		}
	}()
	fmt.Fprint(r.Out, "\x1b[?1049h\x1b[?25l")
	defer fmt.Fprint(r.Out, "\x1b[?25h\x1b[?1049l")
	for {
		rows, err := r.measure(by)
		if err != nil {
			return err
		}
		room := limit
		if _, h, err := term.GetSize(fd); err == nil && (room == 0 || room > h-2) {
			room = max(h-2, 1)
		}
		var b bytes.Buffer
		out := r.Out
		inner := *r.app
		t := *r
		t.app = &inner
		width, _, _ := term.GetSize(fd)
		t.app.Out = &b
		tbl := t.topRows(rows, by, room)
		tbl.width, tbl.colour = width, r.colours(out)
		if err := tbl.flush(); err != nil {
			return err
		}
		if _, err := fmt.Fprint(out, "\x1b[H\x1b[2J"+strings.ReplaceAll(b.String(), "\n", "\r\n")); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			if context.Cause(ctx) == errLeft {
				return nil
			}
			return context.Cause(ctx)
		case <-time.After(max(every, time.Second)):
		}
	}
}

func (r *run) topTable(rows []topRow, by, limit int) error { return r.topRows(rows, by, limit).flush() }

func (r *run) topRows(rows []topRow, by, limit int) *table {
	if limit > 0 && len(rows) > limit {
		rows = rows[:limit]
	}
	heads := []string{"NAME", "HOST", "CPU", "MEMORY", "READ/S", "WRITTEN/S"}
	t := r.table(heads)
	for _, row := range rows {
		cells := []string{row.name, row.host}
		for i := range topQueries {
			switch {
			case !row.has[i]:
				cells = append(cells, "-")
			case i == 0:
				cells = append(cells, strconv.FormatFloat(row.v[i]*100, 'f', 1, 64)+" %")
			default:
				cells = append(cells, domain.FormatBytes(int64(row.v[i])))
			}
		}
		t.row(cells...)
	}
	return t
}

// measure asks for what is measured of every VM that runs.
func (r *run) measure(by int) ([]topRow, error) {
	rows := map[string]*topRow{}
	err := r.client.Each(r.ctx, client.Call{Op: "list-vms", Query: url.Values{"state": {"running"}}}, 0, func(item json.RawMessage) error {
		o, err := objectOf(item)
		if err == nil {
			rows[o.text("id")] = &topRow{name: o.text("name"), host: o.text("host")}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, q := range topQueries {
		var answer struct {
			Data struct {
				Result []struct {
					Metric map[string]string  `json:"metric"`
					Value  [2]json.RawMessage `json:"value"`
				} `json:"result"`
			} `json:"data"`
		}
		if err := r.client.Get(r.ctx, client.Call{Op: "query", Query: url.Values{"query": {q}}}, &answer); err != nil {
			if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status == 401 || p.Status == 403 {
				return nil, err
			}
			continue // a server that does not measure that yet
		}
		for _, res := range answer.Data.Result {
			row := rows[res.Metric["vm_id"]]
			v, err := strconv.ParseFloat(plain(res.Value[1]), 64)
			if row == nil || err != nil {
				continue
			}
			row.v[i], row.has[i] = v, true
		}
	}
	out := make([]topRow, 0, len(rows))
	for _, row := range rows {
		out = append(out, *row)
	}
	slices.SortFunc(out, func(x, y topRow) int { return cmp.Or(cmp.Compare(y.v[by], x.v[by]), cmp.Compare(x.name, y.name)) })
	return out, nil
}
