package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

// diskAsk reads what a dialog about a disk shows.
func (s *server) diskAsk(ctx context.Context, vmID, target, action string) (vms.AskDisk, error) {
	m := vms.AskDisk{Action: action, Key: rand.Text()}
	if !slices.Contains([]string{"change", "detach", "media", "flatten", "commit"}, action) {
		return m, echo.ErrNotFound
	}
	var err error
	if m.VM, err = s.DB.VM(ctx, vmID); err != nil {
		return m, err
	}
	i := slices.IndexFunc(m.VM.Config.Disks, func(d domain.Disk) bool { return d.Target == target })
	if i < 0 {
		return m, domain.Errorf(domain.NotFound, "%s has no disk %s.", m.VM.Name, target).WithFix("Look at its disks again.")
	}
	vols, err := s.DB.Volumes(ctx, m.VM.HostID, "")
	if err != nil {
		return m, err
	}
	m.Disk = vms.DiskInfo{Disk: m.VM.Config.Disks[i]}
	byPath := map[string]*domain.Volume{}
	for k := range vols {
		byPath[vols[k].Path] = &vols[k]
		if d := m.Disk.Disk; d.Source != "" && vols[k].Path == d.Source || d.Pool != "" && vols[k].Pool == d.Pool && vols[k].Name == d.Volume {
			m.Disk.Volume = &vols[k]
		}
	}
	m.Boots, m.Form = fleet.BootDisk(m.VM) == target, vms.EditOf(m.Disk.Disk)
	if m.Disk.Volume != nil {
		m.Form.Volume = m.Disk.Volume.ID
		for at := byPath[m.Disk.Volume.Backing]; at != nil && at.Path != "" && len(m.Below) < 200; at = byPath[at.Backing] {
			m.Below = append(m.Below, *at)
		}
	}
	if action == "media" {
		for _, v := range vols {
			if v.Format == "raw" || v.Format == "iso" {
				m.Images = append(m.Images, v)
			}
		}
	}
	return m, nil
}

func (s *server) diskDialog(c echo.Context) error {
	m, err := s.diskAsk(c.Request().Context(), c.Param("id"), c.Param("target"), c.Param("action"))
	if err != nil {
		return err
	}
	return s.askDisk(c, http.StatusOK, m)
}

func (s *server) askDisk(c echo.Context, status int, m vms.AskDisk) error {
	sh, err := s.shellFor(c, page{
		title: "Disk " + m.Disk.Disk.Target + " of " + m.VM.Name, section: layout.SectionVMs, host: m.VM.HostID, select_: m.VM.ID,
		crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}, {Label: m.VM.Name, URL: live.VMTab(m.VM.ID, "hardware")}},
	})
	if err != nil {
		return err
	}
	return s.render(c, status, vms.AskDiskPage(sh, m))
}

func (s *server) diskAct(c echo.Context) error {
	ctx, id, target, action := c.Request().Context(), c.Param("id"), c.Param("target"), c.Param("action")
	m, err := s.diskAsk(ctx, id, target, action)
	if err != nil {
		return err
	}
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	m.Form = vms.DecodeDisk(values)
	job, err := s.actDisk(ctx, subject(c).Actor(), m, onceKey(c))
	if err == nil && action != "flatten" && action != "commit" {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err == nil {
		return s.moveSaying(c, live.VMTab(id, "hardware"), ended(job))
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	m.Err = problem(err)
	return s.askDisk(c, statusOf(err), m)
}

func (s *server) actDisk(ctx context.Context, by string, m vms.AskDisk, key string) (domain.Job, error) {
	id, target := m.VM.ID, m.Disk.Disk.Target
	switch m.Action {
	case "detach":
		return s.Fleet.DetachDisk(ctx, by, id, target, m.Form.Delete, m.Form.Boot, key)
	case "media":
		return s.Fleet.ChangeMedia(ctx, by, id, target, m.Form.Volume, "", key)
	case "flatten":
		return s.Fleet.FlattenDisk(ctx, by, id, target, m.Form.Base, key)
	case "commit":
		return s.Fleet.CommitDisk(ctx, by, id, target, m.Form.Base, "", key)
	}
	change, err := m.Form.Change(m.Disk.Disk)
	if err != nil {
		return domain.Job{}, err
	}
	return s.Fleet.ChangeDisk(ctx, by, id, change, key)
}
