package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/jobs/reconcile"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

// snapshotsOf reads what the tab shows.
func (s *server) snapshotsOf(ctx context.Context, vm domain.VM) (vms.Snapshots, error) {
	all, err := s.DB.Snapshots(ctx, vm.ID)
	if err != nil {
		return vms.Snapshots{}, err
	}
	m := vms.Snapshots{Tree: vms.Rows(all)}
	if m.Depth, err = s.DB.ChainDepth(ctx, vm.ID); err != nil {
		return m, err
	}
	if m.Limit, err = reconcile.LimitOfChains(ctx, s.DB); err != nil {
		return m, err
	}
	if err := vm.State.CanSnapshot(vm.Name); err != nil {
		m.Why = err.Error()
	} else if vm.BusyJob != "" {
		m.Why = vm.Name + " is busy: " + vm.BusyTitle + "."
	}
	return m, nil
}

// askShell is the frame of a dialog about a VM when it is opened as a page.
func (s *server) askShell(c echo.Context, vm domain.VM, title string) (layout.Shell, error) {
	return s.shellFor(c, page{
		title: title, section: layout.SectionVMs, host: vm.HostID, select_: vm.ID,
		crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}, {Label: vm.Name, URL: live.VMTab(vm.ID, live.SnapshotsTab)}},
	})
}

func (s *server) snapshotNew(c echo.Context) error {
	vm, err := s.DB.VM(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	m := vms.TakeSnapshot{VM: vm, Spec: domain.SnapshotSpec{Name: "snapshot-" + s.Clock().UTC().Format("20060102-1504"), Quiesce: vm.State == domain.VMRunning && vm.Config.GuestAgent}}
	if values, ok := s.takeDraft(c); ok {
		m.Spec.Name, m.Spec.Notes = values.Get("name"), values.Get("notes")
	}
	if err := vm.State.CanSnapshot(vm.Name); err != nil {
		m.Err = problem(err)
	}
	return s.askTake(c, http.StatusOK, m)
}

func (s *server) askTake(c echo.Context, status int, m vms.TakeSnapshot) error {
	m.Key = rand.Text()
	sh, err := s.askShell(c, m.VM, "Take a snapshot of "+m.VM.Name)
	if err != nil {
		return err
	}
	return s.render(c, status, vms.TakeSnapshotPage(sh, m))
}

func (s *server) snapshotTake(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	spec := domain.SnapshotSpec{Name: strings.TrimSpace(c.FormValue("name")), Notes: strings.ReplaceAll(c.FormValue("notes"), "\r\n", "\n"), Memory: truth(c.FormValue("memory")),
		Quiesce: truth(c.FormValue("quiesce")), Kind: domain.SnapshotKind(c.FormValue("kind"))}
	if spec.Memory {
		spec.Quiesce = false // it goes on where it was
	}
	job, err := s.Fleet.TakeSnapshot(ctx, subject(c).Actor(), id, spec, onceKey(c))
	if err == nil {
		return s.done(c, live.VMTab(id, live.SnapshotsTab), layout.TaskToast(job, live.Task(job.ID)))
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	vm, dbErr := s.DB.VM(ctx, id)
	if dbErr != nil {
		return dbErr
	}
	return s.askTake(c, statusOf(err), vms.TakeSnapshot{VM: vm, Spec: spec, Err: problem(err)})
}

// snapshotAsk reads which snapshots a dialog is about.
func (s *server) snapshotAsk(c echo.Context, action string, ids []string) (vms.AskSnapshot, error) {
	ctx := c.Request().Context()
	m := vms.AskSnapshot{Action: action}
	var err error
	if m.VM, err = s.DB.VM(ctx, c.Param("id")); err != nil {
		return m, err
	}
	all, err := s.DB.Snapshots(ctx, m.VM.ID)
	if err != nil {
		return m, err
	}
	for _, x := range all {
		if slices.Contains(ids, x.ID) {
			m.Chosen = append(m.Chosen, x)
		}
	}
	if len(m.Chosen) == 0 {
		return m, domain.Errorf(domain.NotFound, "No such snapshot is there.").WithFix("Choose at least one in the list of snapshots, and look whether it is still there.")
	}
	for _, x := range all {
		below := slices.ContainsFunc(m.Chosen, func(p domain.Snapshot) bool {
			return slices.ContainsFunc(p.Descendants(all), func(d domain.Snapshot) bool { return d.ID == x.ID })
		})
		if below && !slices.Contains(ids, x.ID) {
			m.Below = append(m.Below, x)
		}
	}
	m.Children = "keep"
	return m, nil
}

func (s *server) snapshotDialog(c echo.Context) error {
	m, err := s.snapshotAsk(c, c.Param("action"), []string{c.Param("sid")})
	if err != nil {
		return err
	}
	switch m.Action {
	case "revert", "delete":
	case "clone":
		m.Value = m.VM.Name + "-" + m.Chosen[0].Name
	case "notes":
		m.Value = m.Chosen[0].Notes
	default:
		return echo.ErrNotFound
	}
	return s.askSnapshot(c, http.StatusOK, m)
}

func (s *server) snapshotBulkDialog(c echo.Context) error {
	m, err := s.snapshotAsk(c, "delete", c.QueryParams()["ids"])
	if err != nil {
		return err
	}
	return s.askSnapshot(c, http.StatusOK, m)
}

func (s *server) askSnapshot(c echo.Context, status int, m vms.AskSnapshot) error {
	m.Key = rand.Text()
	sh, err := s.askShell(c, m.VM, "Snapshots of "+m.VM.Name)
	if err != nil {
		return err
	}
	return s.render(c, status, vms.AskSnapshotPage(sh, m))
}

func (s *server) snapshotAct(c echo.Context) error {
	ctx, id, sid, by := c.Request().Context(), c.Param("id"), c.Param("sid"), subject(c).Actor()
	var job domain.Job
	var err error
	switch action := c.Param("action"); action {
	case "revert":
		job, err = s.Fleet.RevertSnapshot(ctx, by, id, sid, truth(c.FormValue("safety")), onceKey(c))
	case "delete":
		job, err = s.Fleet.DeleteSnapshots(ctx, by, id, []string{sid}, c.FormValue("children"), onceKey(c))
	case "clone":
		if err = subject(c).Require("vm.create"); err != nil {
			return err
		}
		job, err = s.Fleet.CloneSnapshot(ctx, by, id, sid, strings.TrimSpace(c.FormValue("name")), onceKey(c))
	case "notes":
		if _, err = s.Fleet.NoteSnapshot(ctx, by, id, sid, strings.ReplaceAll(c.FormValue("notes"), "\r\n", "\n")); err == nil {
			return s.done(c, live.VMTab(id, live.SnapshotsTab), layout.Toast{Tone: layout.ToneSuccess, Text: "The notes were saved."})
		}
	default:
		return echo.ErrNotFound
	}
	if err == nil {
		return s.done(c, live.VMTab(id, live.SnapshotsTab), layout.TaskToast(job, live.Task(job.ID)))
	}
	return s.refusedSnapshot(c, err, c.Param("action"), []string{sid})
}

func (s *server) snapshotBulk(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	job, err := s.Fleet.DeleteSnapshots(ctx, subject(c).Actor(), id, form["ids"], form.Get("children"), onceKey(c))
	if err == nil {
		return s.done(c, live.VMTab(id, live.SnapshotsTab), layout.TaskToast(job, live.Task(job.ID)))
	}
	return s.refusedSnapshot(c, err, "delete", form["ids"])
}

func (s *server) refusedSnapshot(c echo.Context, err error, action string, ids []string) error {
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	m, askErr := s.snapshotAsk(c, action, ids)
	if askErr != nil {
		return askErr
	}
	m.Err, m.Unsafe, m.Children = problem(err), !truth(c.FormValue("safety")), c.FormValue("children")
	m.Value = c.FormValue("name")
	if action == "notes" {
		m.Value = c.FormValue("notes")
	}
	return s.askSnapshot(c, statusOf(err), m)
}
