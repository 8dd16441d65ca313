package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

// cardsOf reads what the section of network cards shows beside the VM.
func (s *server) cardsOf(ctx context.Context) (m vms.Cards, err error) {
	if m.Groups, err = s.DB.SecurityGroups(ctx); err != nil {
		return m, err
	}
	m.Of, err = s.Fleet.CardGroups(ctx)
	return m, err
}

// card finds a VM and one of its cards.
func (s *server) card(c echo.Context) (domain.VM, domain.NIC, error) {
	vm, err := s.DB.VM(c.Request().Context(), c.Param("id"))
	if err != nil {
		return vm, domain.NIC{}, err
	}
	mac, err := url.PathUnescape(c.Param("mac"))
	if err != nil {
		return vm, domain.NIC{}, echo.ErrNotFound
	}
	i := slices.IndexFunc(vm.Config.NICs, func(n domain.NIC) bool { return strings.EqualFold(n.MAC, mac) })
	if i < 0 {
		return vm, domain.NIC{}, domain.Errorf(domain.NotFound, "%s has no network card with the address %s.", vm.Name, mac).WithFix("Load its hardware again.")
	}
	return vm, vm.Config.NICs[i], nil
}

func (s *server) nicAttach(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	n, err := vms.NewNIC(values)
	var job domain.Job
	if err == nil {
		job, err = s.Fleet.AttachNIC(ctx, subject(c).Actor(), id, n, onceKey(c))
	}
	return s.cardChanged(c, "", values, job, err)
}

func (s *server) nicEdit(c echo.Context) error {
	ctx := c.Request().Context()
	vm, n, err := s.card(c)
	if err != nil {
		return err
	}
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	groups, err := s.Fleet.CardGroups(ctx)
	if err != nil {
		return err
	}
	change, err := vms.NICChangeOf(values, n, groups[n.Filter])
	if err == nil && change.Empty() {
		return s.done(c, live.VMTab(vm.ID, "hardware"), layout.Toast{Tone: layout.ToneInfo, Text: "Nothing differs from what the card has."})
	}
	var job domain.Job
	if err == nil {
		job, err = s.Fleet.ChangeNIC(ctx, subject(c).Actor(), vm.ID, change, onceKey(c))
	}
	return s.cardChanged(c, n.MAC, values, job, err)
}

// cardChanged shows the page again with what came of a card's form.
func (s *server) cardChanged(c echo.Context, mac string, values url.Values, job domain.Job, err error) error {
	if err == nil {
		job, err = s.settle(c.Request().Context(), job, earlyEnd)
	}
	switch code := domain.CodeOf(err); {
	case err == nil:
		return s.moveSaying(c, live.VMTab(c.Param("id"), "hardware"), ended(job))
	case code == domain.Internal || code == domain.NotFound:
		return err
	}
	return s.showVM(c, statusOf(err), "hardware", func(m *vms.Page) {
		m.Cards.Edit = vms.NICEdit{MAC: mac, Values: values, Err: problem(vms.NICFieldsOf(err))}
	})
}

// nicAsk is the dialog before a card is detached.
func (s *server) nicAsk(c echo.Context) error {
	if c.Param("do") != "detach" {
		return echo.ErrNotFound
	}
	return s.askDetach(c, http.StatusOK, nil)
}

func (s *server) askDetach(c echo.Context, status int, refused *domain.Error) error {
	vm, n, err := s.card(c)
	if err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{
		title: "Detach a card", section: layout.SectionVMs, host: vm.HostID, select_: vm.ID,
		crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}, {Label: vm.Name, URL: live.VMTab(vm.ID, "hardware")}},
	})
	if err != nil {
		return err
	}
	return s.render(c, status, vms.DetachNICPage(sh, vms.DetachNIC{VM: vm, Card: n, Err: refused, Key: rand.Text()}))
}

// nicAct detaches a card, or plugs its cable in or out.
func (s *server) nicAct(c echo.Context) error {
	ctx, by, do := c.Request().Context(), subject(c).Actor(), c.Param("do")
	vm, n, err := s.card(c)
	if err != nil {
		return err
	}
	tab := live.VMTab(vm.ID, "hardware")
	var job domain.Job
	switch do {
	case "up", "down":
		down := do == "down"
		if job, err = s.Fleet.ChangeNIC(ctx, by, vm.ID, domain.NICChange{MAC: n.MAC, Down: &down}, onceKey(c)); err == nil {
			job, err = s.settle(ctx, job, earlyEnd)
		}
		if err != nil {
			return s.sayOrFail(c, tab, err)
		}
		return s.moveSaying(c, tab, ended(job))
	case "detach":
		if job, err = s.Fleet.DetachNIC(ctx, by, vm.ID, n.MAC, onceKey(c)); err == nil {
			job, err = s.settle(ctx, job, earlyEnd)
		}
		switch code := domain.CodeOf(err); {
		case err == nil:
			return s.moveSaying(c, tab, ended(job))
		case code == domain.Internal || code == domain.NotFound:
			return err
		}
		return s.askDetach(c, statusOf(err), problem(err))
	}
	return echo.ErrNotFound
}
