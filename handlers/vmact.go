package handlers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

// powerActions are what live.PatVMAction and the bulk bar take. The other actions have forms of their own.
var powerActions = []domain.VMAction{
	domain.ActStart, domain.ActShutdown, domain.ActStop, domain.ActReboot, domain.ActReset, domain.ActPause, domain.ActResume,
	domain.ActSave, domain.ActRestore, domain.ActDiscard,
}

// disruptive actions are confirmed when a selection is meant: they take work away from people at once.
var disruptive = []domain.VMAction{
	domain.ActShutdown, domain.ActStop, domain.ActReboot, domain.ActReset, domain.ActPause, domain.ActSave, domain.ActDiscard, domain.ActDelete,
}

// maxBulk bounds one bulk action; "all that match" of a larger estate wants a filter first.
const maxBulk = 1000

func powerAction(name string) (domain.VMAction, error) {
	act := domain.VMAction(name)
	if !slices.Contains(powerActions, act) {
		return "", domain.Errorf(domain.NotFound, "There is no action “%s”.", name)
	}
	return act, nil
}

// vmAsk is the dialog before a disruptive action on one VM.
func (s *server) vmAsk(c echo.Context) error {
	act, err := powerAction(c.Param("action"))
	if err != nil {
		return err
	}
	vm, err := s.DB.VM(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return s.ask(c, http.StatusOK, vms.Ask{Action: act, VMs: []domain.VM{vm}, Back: s.backFrom(c, live.VM(vm.ID))})
}

func (s *server) ask(c echo.Context, status int, m vms.Ask) error {
	m.Key = rand.Text()
	p := page{title: "Confirm", section: layout.SectionVMs}
	if len(m.VMs) == 1 && !m.All {
		if cerr := m.VMs[0].State.Can(m.Action); cerr != nil && m.Err == nil {
			m.Err = problem(cerr)
		}
		p.host, p.select_ = m.VMs[0].HostID, m.VMs[0].ID
		p.crumbs = []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}, {Label: m.VMs[0].Name, URL: live.VM(m.VMs[0].ID)}}
	}
	sh, err := s.shellFor(c, p)
	if err != nil {
		return err
	}
	return s.render(c, status, vms.AskPage(sh, m))
}

// vmAct does a power action on one VM.
func (s *server) vmAct(c echo.Context) error {
	act, err := powerAction(c.Param("action"))
	if err != nil {
		return err
	}
	opt, err := actOptions(c)
	if err != nil {
		return err
	}
	job, err := s.Fleet.ActVM(c.Request().Context(), subject(c).Actor(), c.Param("id"), act, opt)
	if err != nil {
		return s.sayOrFail(c, live.VM(c.Param("id")), err)
	}
	return s.done(c, live.VM(c.Param("id")), layout.TaskToast(job, live.Task(job.ID)))
}

// sayOrFail: a refused button without htmx comes back to its page, which says why; with htmx the error becomes a toast as it is.
func (s *server) sayOrFail(c echo.Context, fallback string, err error) error {
	code := domain.CodeOf(err)
	if isHTMX(c) || wantsProblem(c.Request()) || code == domain.NotFound || code == domain.Internal || code == domain.Denied {
		return err
	}
	return s.moveSaying(c, s.backFrom(c, fallback), layout.ErrorToast(problem(err), live.Task))
}

func actOptions(c echo.Context) (fleet.ActOptions, error) {
	opt := fleet.ActOptions{Key: onceKey(c), Disks: truth(c.FormValue("disks"))}
	if v := strings.TrimSpace(c.FormValue("force_after")); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > 3600 {
			return opt, domain.InvalidField("force_after", "“"+v+"” is not a number of seconds to wait.", "a whole number from 0 (never) to 3600")
		}
		opt.ForceAfter = time.Duration(n) * time.Second
	}
	return opt, nil
}

// vmBulk acts on a selection, or on all VMs that match a filter. What disrupts is asked first; VMs whose state forbids it are left alone.
func (s *server) vmBulk(c echo.Context) error {
	ctx := c.Request().Context()
	act := domain.VMAction(c.FormValue("action"))
	if act == live.FolderAction {
		if err := subject(c).Require(access.FolderManage); err != nil {
			return err
		}
		return s.vmPut(c)
	}
	if act == live.CompareAction {
		return s.compareChosen(c)
	}
	if act != domain.ActDelete && !slices.Contains(powerActions, act) {
		return domain.InvalidField("action", "“"+string(act)+"” is not something to do with a selection.", "start, shutdown, stop and their kin, folder or delete")
	}
	if act == domain.ActDelete {
		if err := subject(c).Require(access.VMDelete); err != nil {
			return err
		}
	}
	all, filter := truth(c.FormValue("all")), c.FormValue("filter")
	sure := truth(c.FormValue("confirm"))
	chosen, err := s.chosen(c, all, filter, sure)
	if err != nil {
		return s.sayOrFail(c, live.VMs, err)
	}
	m := vms.Ask{Action: act, All: all, Filter: filter, Back: s.backFrom(c, live.VMs)}
	for _, v := range chosen {
		if err := v.State.Can(act); err != nil {
			m.Skip = append(m.Skip, vms.Skipped{VM: v, Why: problem(err).Msg})
		} else {
			m.VMs = append(m.VMs, v)
		}
	}
	if len(m.VMs) == 0 {
		return s.sayOrFail(c, live.VMs, nothingToDo(m))
	}
	if slices.Contains(disruptive, act) && !sure {
		if act == domain.ActDelete {
			return s.askDelete(c, http.StatusOK, vms.Delete{VMs: m.VMs, All: all, Filter: filter, Back: m.Back})
		}
		return s.ask(c, http.StatusOK, m)
	}
	opt, err := actOptions(c)
	if err != nil {
		return err
	}
	if act == domain.ActDelete {
		d := vms.Delete{VMs: m.VMs, All: all, Filter: filter, Back: m.Back, Disks: opt.Disks, Confirm: typed(c)}
		if err := confirmed(d); err != nil {
			d.Err = problem(err)
			return s.askDelete(c, statusOf(err), d)
		}
	}
	ids := make([]string, len(m.VMs))
	for i, v := range m.VMs {
		ids[i] = v.ID
	}
	job, err := s.Fleet.BulkVMs(ctx, subject(c).Actor(), ids, act, opt)
	if err != nil {
		return s.sayOrFail(c, live.VMs, err)
	}
	t := layout.TaskToast(job, live.Task(job.ID))
	if n := len(m.Skip); n > 0 {
		t.Detail = fmt.Sprintf("%d of the selection were left alone, since their state forbids it.", n)
	}
	return s.done(c, m.Back, t)
}

func nothingToDo(m vms.Ask) error {
	if len(m.Skip) == 0 {
		return domain.Errorf(domain.Invalid, "Nothing is selected.").WithFix("Tick the VMs that are meant.")
	}
	return domain.Errorf(domain.Conflict, "None of the %d selected VMs can do that now. %s: %s", len(m.Skip), m.Skip[0].VM.Name, m.Skip[0].Why)
}

// chosen reads the selection. Ids that are gone meanwhile are left out. "All that match" is looked up when it is asked; what was then shown and agreed to
// is what is acted on, not what matches a minute later.
func (s *server) chosen(c echo.Context, all bool, filter string, agreed bool) ([]domain.VM, error) {
	ctx := c.Request().Context()
	params, err := c.FormParams()
	if err != nil {
		return nil, domain.Errorf(domain.Invalid, "The selection cannot be read: %w", err)
	}
	ids := params["ids"]
	if all && !(agreed && len(ids) > 0) {
		if ids, err = s.DB.VMIDs(ctx, db.VMQuery{Filter: filter, Host: hostOfPage(c)}); err != nil {
			return nil, err
		}
	}
	if len(ids) > maxBulk {
		return nil, domain.Errorf(domain.Invalid, "The selection has %d VMs, more than one action may touch.", len(ids)).WithFix("Narrow it down with a filter to at most %d.", maxBulk)
	}
	return s.vmsByID(ctx, ids)
}

// hostOfPage is the host whose page the list was on: "all" is then all of that host.
func hostOfPage(c echo.Context) string {
	for _, at := range []string{c.Request().Header.Get("HX-Current-URL"), c.Request().Referer(), c.FormValue("back")} {
		if u, err := url.Parse(at); err == nil && at != "" {
			if id := idOfPage(u.Path); strings.HasPrefix(id, "host_") {
				return id
			}
			return ""
		}
	}
	return ""
}

func (s *server) vmsByID(ctx context.Context, ids []string) ([]domain.VM, error) {
	var out []domain.VM
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		v, err := s.DB.VM(ctx, id)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b domain.VM) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (s *server) vmDeletePage(c echo.Context) error {
	vm, err := s.DB.VM(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return s.askDelete(c, http.StatusOK, vms.Delete{VMs: []domain.VM{vm}, Back: s.backFrom(c, live.VM(vm.ID))})
}

// askDelete shows what deleting would do, file by file, and asks.
func (s *server) askDelete(c echo.Context, status int, m vms.Delete) error {
	ctx := c.Request().Context()
	m.Key, m.At = rand.Text(), s.Clock()
	for _, v := range m.VMs {
		plan, err := s.Fleet.DeletePlan(ctx, v.ID)
		if err != nil {
			return err
		}
		if plan.Saved {
			m.Files = append(m.Files, vms.DeleteFile{VM: v.Name, Path: "saved memory", Goes: true, Always: true, Why: "the memory kept when it was saved"})
		}
		for _, f := range plan.Files {
			size := f.AllocationBytes
			if size == 0 {
				size = f.CapacityBytes
			}
			m.Files = append(m.Files, vms.DeleteFile{VM: v.Name, Path: f.Path, SizeBytes: size, Goes: f.Goes, Why: f.Why})
		}
	}
	p := page{title: "Delete", section: layout.SectionVMs}
	if len(m.VMs) == 1 {
		p.title, p.host, p.select_ = "Delete "+m.VMs[0].Name, m.VMs[0].HostID, m.VMs[0].ID
		p.crumbs = []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}, {Label: m.VMs[0].Name, URL: live.VM(m.VMs[0].ID)}}
	}
	sh, err := s.shellFor(c, p)
	if err != nil {
		return err
	}
	return s.render(c, status, vms.DeletePage(sh, m))
}

// confirmed: deleting disks wants the name typed, since nothing brings them back.
func confirmed(m vms.Delete) error {
	if !m.Disks || strings.TrimSpace(m.Confirm) == m.ConfirmWord() {
		return nil
	}
	return domain.InvalidField("confirm", "What was typed does not match, so nothing was deleted.", "“"+m.ConfirmWord()+"”")
}

// typed is the confirmation that a person typed: the form has a hidden field of that name before it.
func typed(c echo.Context) string {
	v := c.Request().Form["confirm"]
	if len(v) == 0 {
		return ""
	}
	return v[len(v)-1]
}

func (s *server) vmDelete(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	vm, err := s.DB.VM(ctx, id)
	if err != nil {
		return err
	}
	m := vms.Delete{VMs: []domain.VM{vm}, Disks: truth(c.FormValue("disks")), Back: s.backFrom(c, live.VMs)}
	m.Confirm = typed(c)
	if err = confirmed(m); err == nil {
		var job domain.Job
		job, err = s.Fleet.DeleteVM(ctx, subject(c).Actor(), id, fleet.DeleteVM{Disks: m.Disks, Key: onceKey(c)})
		if err == nil {
			back := m.Back
			if idOfPage(back) == id { // that page is about to be gone
				return s.moveSaying(c, live.VMs, layout.TaskToast(job, live.Task(job.ID)))
			}
			return s.done(c, back, layout.TaskToast(job, live.Task(job.ID)))
		}
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	m.Err = problem(err)
	return s.askDelete(c, statusOf(err), m)
}
