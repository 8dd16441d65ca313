package handlers

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

// instanceLater stands in previews where the instance's id will be.
const instanceLater = "(made with the VM)"

// firstBootShow is the create form's preview.
func (s *server) firstBootShow(c echo.Context) error {
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	return s.showPreview(c, previewOfNew(values))
}

func previewOfNew(values url.Values) vms.Preview {
	name := values.Get("name")
	if name == "" {
		name = "(the VM's name)"
	}
	firmware := values.Get("firmware")
	return vms.PreviewOf(vms.DecodePreview(values, false), name, instanceLater, firmware == domain.FirmwareUEFI || firmware == domain.FirmwareUEFISecure)
}

func (s *server) showPreview(c echo.Context, m vms.Preview) error {
	sh, err := s.shellFor(c, page{title: "What the first boot reads", section: layout.SectionVMs})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, vms.PreviewPage(sh, m))
}

// cloudInitOf reads a VM and what its first boot reads. fresh: it has nothing of the sort yet.
func (s *server) cloudInitOf(c echo.Context) (vm domain.VM, seed domain.Seed, has, fresh bool, err error) {
	ctx := c.Request().Context()
	if vm, err = s.DB.VM(ctx, c.Param("id")); err != nil {
		return
	}
	seed, has, err = s.Fleet.CloudInit(ctx, vm.ID)
	switch {
	case domain.Is(err, domain.NotFound):
		return vm, seed, false, true, nil
	case err == nil && seed.Content.CloudInit == nil:
		err = domain.Errorf(domain.Conflict, "The first boot of %s reads an answer file for Windows.", vm.Name).WithFix("Windows reads it only while it is installed, so there is nothing to change.")
	}
	return
}

func (s *server) cloudInitPage(c echo.Context) error {
	vm, seed, has, fresh, err := s.cloudInitOf(c)
	if err != nil {
		return err
	}
	m := vms.EditCloudInit{VM: vm, New: fresh}
	if seed.Content.CloudInit != nil {
		m.Form = vms.FormOfCloudInit(*seed.Content.CloudInit, has, seed.Version)
	}
	if kept, ok := s.takeDraft(c); ok {
		version := m.Form.Version
		m.Form = vms.DecodeCloudInit(kept)
		m.Form.HasPassword, m.Form.Version, m.Err = has, version, errNotSaved()
	}
	return s.askCloudInit(c, http.StatusOK, m, seed)
}

func (s *server) askCloudInit(c echo.Context, status int, m vms.EditCloudInit, seed domain.Seed) error {
	m.Key = rand.Text()
	m.Preview = vms.PreviewOf(vms.FirstBootForm{Kind: vms.FirstBootCloud, Cloud: m.Form}, m.VM.Name, instanceOf(seed, m.Form.NewInstance), false)
	m.Form.Password = ""
	sh, err := s.shellFor(c, page{
		title: "cloud-init of " + m.VM.Name, section: layout.SectionVMs, host: m.VM.HostID, select_: m.VM.ID,
		crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}, {Label: m.VM.Name, URL: live.VMTab(m.VM.ID, live.GuestTab)}},
	})
	if err != nil {
		return err
	}
	return s.render(c, status, vms.CloudInitPage(sh, m))
}

func instanceOf(seed domain.Seed, anew bool) string {
	if seed.InstanceID == "" || anew {
		return "(a new one)"
	}
	return seed.InstanceID
}

// cloudInitShow is the preview of an edit.
func (s *server) cloudInitShow(c echo.Context) error {
	vm, seed, has, _, err := s.cloudInitOf(c)
	if err != nil {
		return err
	}
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	form := vms.DecodePreview(values, true)
	form.Cloud.HasPassword = has
	return s.showPreview(c, vms.PreviewOf(form, vm.Name, instanceOf(seed, form.Cloud.NewInstance), false))
}

func (s *server) cloudInitSave(c echo.Context) error {
	ctx := c.Request().Context()
	vm, seed, has, fresh, err := s.cloudInitOf(c)
	if err != nil {
		return err
	}
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	form := vms.DecodeCloudInit(values)
	form.HasPassword = has
	if form.Version, err = strconv.ParseInt(values.Get("version"), 10, 64); err != nil || form.Version < 0 {
		return domain.InvalidField("version", "The form's version cannot be read.", "the form as the page gave it; load the page again")
	}
	job, err := s.Fleet.SetCloudInit(ctx, subject(c).Actor(), vm.ID, fleet.SetCloudInit{CloudInit: form.CloudInit(), KeepPassword: form.KeepPassword, NewInstance: form.NewInstance, Version: form.Version, Key: onceKey(c)})
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	switch code := domain.CodeOf(err); {
	case err == nil:
		return s.moveSaying(c, live.VMTab(vm.ID, live.GuestTab), ended(job))
	case code == domain.Internal || code == domain.NotFound:
		return err
	}
	m := vms.EditCloudInit{VM: vm, New: fresh, Form: form, Err: problem(unnumbered(err))}
	if domain.Is(err, domain.Conflict) { // what the other one did is not lost: sending again is a decision
		m.Form.Version = seed.Version
	}
	return s.askCloudInit(c, statusOf(err), m, seed)
}
