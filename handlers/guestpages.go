package handlers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/jobs/guest"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

// commandsShown is how many commands the guest tab lists.
const commandsShown = 20

// guestOf reads what the guest tab shows. What commands printed is read only for those who may run some.
func (s *server) guestOf(ctx context.Context, sub auth.Subject, vm domain.VM) (vms.Guest, error) {
	g := vms.Guest{}
	if err := sub.Require(access.GuestRead); err != nil {
		return g, err
	}
	var err error
	if g.Record, err = s.DB.GuestRecord(ctx, vm.ID); err != nil {
		return g, err
	}
	if g.Rules, err = s.DB.ExecRules(ctx, vm.ID); err != nil {
		return g, err
	}
	seed, has, err := s.Fleet.CloudInit(ctx, vm.ID)
	switch {
	case err == nil:
		g.Seed, g.HasPassword = &seed, has
	case !domain.Is(err, domain.NotFound):
		return g, err
	}
	ran, err := s.DB.Jobs(ctx, db.JobQuery{Resource: vm.ID, Kind: guest.KindExec, Limit: commandsShown})
	if err != nil {
		return g, err
	}
	for _, j := range ran.Items {
		c, err := commandOf(j, sub.Can(access.GuestExec))
		if err != nil {
			return g, err
		}
		g.Commands = append(g.Commands, c)
	}
	g.Exec.Key = rand.Text()
	if !sub.Can(access.GuestExec) {
		return g, nil
	}
	if _, err := s.Fleet.MayLookAtProcesses(ctx, vm.ID); domain.Is(err, domain.Denied) || domain.Is(err, domain.Unsupported) {
		g.ProcessesWhy = err.Error()
	} else if err != nil {
		return g, err
	}
	g.Processes, _, err = guest.LastProcesses(ctx, s.DB, vm.ID)
	return g, err
}

// commandOf shows a job that ran a command.
func commandOf(j domain.Job, output bool) (vms.GuestCommand, error) {
	c := vms.GuestCommand{JobID: j.ID, Actor: j.Actor, At: j.CreatedAt, State: j.State}
	var in guest.Exec
	if err := json.Unmarshal(j.Input, &in); err != nil {
		return c, domain.Errorf(domain.Internal, "The command of a task cannot be read: %w", err)
	}
	c.Line = domain.FormatCommand(in.Argv)
	if r := []rune(c.Line); len(r) > 300 {
		c.Line = string(r[:300]) + "…"
	}
	if j.Error != nil {
		c.Failed = strings.TrimSpace(j.Error.Message + " " + j.Error.Fix)
	}
	if len(j.Result) == 0 || j.State != domain.JobSucceeded {
		return c, nil
	}
	var res guest.ExecResult
	if err := json.Unmarshal(j.Result, &res); err != nil {
		return c, domain.Errorf(domain.Internal, "The result of a command cannot be read: %w", err)
	}
	c.Ended, c.Code, c.Signal, c.TimedOut, c.Took = true, res.ExitCode, res.Signal, res.TimedOut, time.Duration(res.Millis)*time.Millisecond
	if output {
		c.Out, c.Err, c.OutMore, c.ErrMore = res.Stdout, res.Stderr, res.StdoutMore, res.StderrMore
	}
	return c, nil
}

func (s *server) guestExec(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	form := vms.ExecForm{Line: c.FormValue("argv"), Timeout: strings.TrimSpace(c.FormValue("timeout_s"))}
	job, err := s.runCommand(ctx, subject(c).Actor(), id, form, onceKey(c))
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	status := http.StatusOK
	switch code := domain.CodeOf(err); {
	case err == nil && !isHTMX(c):
		return s.moveSaying(c, live.VMTab(id, live.GuestTab), ended(job))
	case err == nil: // the box stays as it is, with a new key; the stream brings what the command printed
	case code == domain.Internal || code == domain.NotFound:
		return err
	default:
		status, form.Err = statusOf(err), problem(err)
	}
	return s.showVM(c, status, live.GuestTab, func(m *vms.Page) {
		form.Key = m.Guest.Exec.Key
		m.Guest.Exec = form
	})
}

func (s *server) runCommand(ctx context.Context, actor, id string, form vms.ExecForm, key string) (domain.Job, error) {
	argv, err := domain.ParseCommand(form.Line)
	if err != nil {
		return domain.Job{}, err
	}
	seconds := 0
	if form.Timeout != "" {
		if seconds, err = strconv.Atoi(form.Timeout); err != nil || seconds < 1 {
			return domain.Job{}, domain.InvalidField("timeout_s", "“"+form.Timeout+"” is not a number of seconds.", "1 to "+strconv.Itoa(domain.MaxExecSeconds))
		}
	}
	return s.Fleet.ExecGuest(ctx, actor, id, fleet.ExecGuest{GuestExec: domain.GuestExec{Argv: argv, TimeoutS: seconds}, Key: key})
}

// guestProcesses asks which processes take most inside a VM.
func (s *server) guestProcesses(c echo.Context) error {
	ctx, tab := c.Request().Context(), live.VMTab(c.Param("id"), live.GuestTab)
	job, err := s.Fleet.LookAtProcesses(ctx, subject(c).Actor(), c.Param("id"), onceKey(c))
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err != nil {
		return s.sayOrFail(c, tab, err)
	}
	return s.done(c, tab, ended(job))
}

var guestDialogs = []string{"freeze", "password", "ssh-keys", "allow"}

func (s *server) guestDialog(c echo.Context) error {
	ctx := c.Request().Context()
	if !slices.Contains(guestDialogs, c.Param("action")) {
		return echo.ErrNotFound
	}
	vm, err := s.DB.VM(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	m := vms.GuestAsk{VM: vm, Action: c.Param("action"), User: "root", Seconds: strconv.Itoa(fleet.FreezeSeconds), Add: "1"}
	if m.Action == "allow" {
		rules, err := s.DB.ExecRules(ctx, vm.ID)
		if err != nil {
			return err
		}
		m.Text = strings.Join(rules, "\n")
	}
	return s.askGuest(c, http.StatusOK, m)
}

func (s *server) askGuest(c echo.Context, status int, m vms.GuestAsk) error {
	m.Key = rand.Text()
	sh, err := s.shellFor(c, page{
		title: m.VM.Name, section: layout.SectionVMs, host: m.VM.HostID, select_: m.VM.ID,
		crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}, {Label: m.VM.Name, URL: live.VMTab(m.VM.ID, live.GuestTab)}},
	})
	if err != nil {
		return err
	}
	return s.render(c, status, vms.AskGuestPage(sh, m))
}

// guestAct does one thing inside a VM.
func (s *server) guestAct(c echo.Context) error {
	ctx, id, by, action := c.Request().Context(), c.Param("id"), subject(c).Actor(), c.Param("action")
	m := vms.GuestAsk{Action: action, User: strings.TrimSpace(c.FormValue("user")), Seconds: strings.TrimSpace(c.FormValue("seconds")), Add: c.FormValue("add")}
	var job domain.Job
	var err error
	switch action {
	case "look":
		job, err = s.Fleet.LookGuest(ctx, by, id, onceKey(c))
	case "thaw":
		job, err = s.Fleet.ThawGuest(ctx, by, id, onceKey(c))
	case "time":
		job, err = s.Fleet.SyncGuestTime(ctx, by, id, onceKey(c))
	case "freeze":
		seconds, bad := strconv.Atoi(m.Seconds)
		if bad != nil {
			seconds = -1
		}
		job, err = s.Fleet.FreezeGuest(ctx, by, id, seconds, onceKey(c))
	case "password":
		job, err = s.Fleet.SetGuestPassword(ctx, by, id, fleet.GuestPassword{User: m.User, Password: c.FormValue("password"), Key: onceKey(c)})
	case "ssh-keys":
		m.Text = c.FormValue("keys")
		job, err = s.Fleet.SetGuestKeys(ctx, by, id, fleet.GuestKeys{User: m.User, Keys: textLines(m.Text), Add: truth(m.Add), Key: onceKey(c)})
		err = unnumbered(err)
	case "allow":
		m.Text = c.FormValue("allow")
		if err = s.Fleet.SetExecRules(ctx, by, id, textLines(m.Text)); err == nil {
			return s.done(c, live.VMTab(id, live.GuestTab), layout.Toast{Tone: layout.ToneSuccess, Text: "The allowed commands were saved."})
		}
	default:
		return echo.ErrNotFound
	}
	if err == nil && action != "freeze" { // which lasts
		job, err = s.settle(ctx, job, earlyEnd)
	}
	switch code := domain.CodeOf(err); {
	case err == nil:
		return s.done(c, live.VMTab(id, live.GuestTab), ended(job))
	case !slices.Contains(guestDialogs, action):
		return s.sayOrFail(c, live.VMTab(id, live.GuestTab), err)
	case code == domain.Internal || code == domain.NotFound:
		return err
	}
	vm, dbErr := s.DB.VM(ctx, id)
	if dbErr != nil {
		return dbErr
	}
	m.VM, m.Err = vm, problem(err)
	return s.askGuest(c, statusOf(err), m)
}

// textLines are the lines of a text area that say something.
func textLines(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// unnumbered names the field of a form instead of one entry of its list: keys.2 is the third line of keys.
func unnumbered(err error) error {
	e, ok := err.(*domain.Error)
	if !ok || e == nil {
		return err
	}
	for i := range e.Fields {
		e.Fields[i] = vms.Unnumbered(e.Fields[i])
	}
	return e
}
