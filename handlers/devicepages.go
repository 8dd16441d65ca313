package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/views/hosts"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

// deviceInfo is what a VM's host could give it.
func (s *server) deviceInfo(ctx context.Context, hostID string) ([]vms.DeviceInfo, error) {
	all, err := s.Fleet.Devices(ctx, hostID, "")
	if err != nil {
		return nil, err
	}
	out := make([]vms.DeviceInfo, len(all))
	for i, d := range all {
		out[i] = vms.DeviceInfo{Device: d.Device, VMID: d.VMID, VMName: d.VMName}
	}
	return out, nil
}

func (s *server) deviceRows(ctx context.Context, hostID, class string) ([]hosts.DeviceRow, error) {
	all, err := s.Fleet.Devices(ctx, hostID, class)
	if err != nil {
		return nil, err
	}
	out := make([]hosts.DeviceRow, len(all))
	for i, d := range all {
		out[i] = hosts.DeviceRow{Device: d.Device, Host: d.HostName, VMID: d.VMID, VMName: d.VMName}
	}
	return out, nil
}

// deviceList shows what can be given away anywhere, or everything of one class.
func (s *server) deviceList(c echo.Context) (int, templ.Component, error) {
	ctx := c.Request().Context()
	after := s.DB.Feed().Last()
	all, err := s.deviceRows(ctx, "", "")
	if err != nil {
		return 0, nil, err
	}
	m := hosts.Devices{Class: c.QueryParam("class"), Free: truth(c.QueryParam("free")), All: len(all)}
	for _, d := range all {
		if d.Class != "" && !slices.Contains(m.Classes, d.Class) {
			m.Classes = append(m.Classes, d.Class)
		}
		given := d.VMID != ""
		switch {
		case m.Class == "" && !d.Assignable && !given, m.Free && (given || !d.Assignable):
		case m.Class == "" || m.Class == d.Kind || d.Matches(domain.HostDevice{Class: m.Class}):
			m.Items = append(m.Items, d)
		}
	}
	slices.Sort(m.Classes)
	sh, err := s.shellFor(c, page{title: "Devices", section: layout.SectionHosts, after: after, crumbs: []layout.Crumb{{Label: "Hosts", URL: live.Hosts}}})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, hosts.DevicesPage(sh, m), nil
}

func (s *server) deviceOf(ctx context.Context, hostID, name string) (hosts.Attach, error) {
	var m hosts.Attach
	rows, err := s.deviceRows(ctx, hostID, "")
	if err != nil {
		return m, err
	}
	i := slices.IndexFunc(rows, func(d hosts.DeviceRow) bool { return d.Name == name })
	if i < 0 {
		return m, domain.Errorf(domain.NotFound, "The host has no device %s any more.", name).WithFix("Look at the host's devices again.")
	}
	m.Device = rows[i]
	m.VMs, err = s.DB.HostVMs(ctx, hostID)
	return m, err
}

func (s *server) deviceAsk(c echo.Context) error {
	m, err := s.deviceOf(c.Request().Context(), c.Param("id"), c.Param("device"))
	if err != nil {
		return err
	}
	if m.Device.VMID != "" {
		m.Err = problem(domain.Errorf(domain.Conflict, "%s has it already.", m.Device.VMName).WithFix("Take it away from that VM first."))
	}
	return s.askAttach(c, http.StatusOK, m)
}

func (s *server) askAttach(c echo.Context, status int, m hosts.Attach) error {
	m.Key = rand.Text()
	sh, err := s.shellFor(c, page{title: "Attach a device", section: layout.SectionHosts, host: m.Device.HostID,
		crumbs: []layout.Crumb{{Label: "Hosts", URL: live.Hosts}, {Label: m.Device.Host, URL: live.DevicesOn(m.Device.HostID)}}})
	if err != nil {
		return err
	}
	return s.render(c, status, hosts.AttachPage(sh, m))
}

// deviceAttach gives a device to a VM of its host.
func (s *server) deviceAttach(c echo.Context) error {
	ctx := c.Request().Context()
	m, err := s.deviceOf(ctx, c.Param("id"), c.Param("device"))
	if err != nil {
		return err
	}
	m.VM = c.FormValue("vm")
	var job domain.Job
	if !slices.ContainsFunc(m.VMs, func(v domain.VM) bool { return v.ID == m.VM }) {
		err = domain.InvalidField("vm", "No VM of the host is chosen.", "one of "+m.Device.Host)
	} else {
		change := domain.VMChange{HardwareChange: domain.HardwareChange{AddHostDevices: []domain.HostDevice{{Device: m.Device.Name}}}}
		job, err = s.Fleet.ChangeVM(ctx, subject(c).Actor(), m.VM, 0, change, onceKey(c))
	}
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err == nil {
		return s.moveSaying(c, live.VMTab(m.VM, "hardware"), ended(job))
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	m.Err = problem(err)
	return s.askAttach(c, statusOf(err), m)
}
