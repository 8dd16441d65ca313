package handlers

import (
	"context"
	"fmt"

	"github.com/labstack/echo/v4"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/views/live"
	"novacron/views/vms"
)

// demoOffer is the create form of a demo guest on a host that can boot it now. A Conflict says that there is none.
func (s *server) demoOffer(ctx context.Context) (vms.GuestKernel, error) {
	if len(s.Guests) == 0 {
		return vms.GuestKernel{}, noDemo()
	}
	hosts, err := s.DB.Hosts(ctx)
	if err != nil {
		return vms.GuestKernel{}, err
	}
	for _, h := range hosts {
		if offered := s.demoGuests(h); len(offered) > 0 && h.State == domain.HostConnected && !h.Maintenance {
			return offered[0], nil
		}
	}
	return vms.GuestKernel{}, noDemo()
}

func noDemo() error {
	return domain.Errorf(domain.Conflict, "No connected host can boot the demo guest.").WithFix("It is for this machine's own libvirt: connect qemu:///system, and let “make run” put the guest in place.")
}

// vmDemo makes and starts a demo guest, and shows its screen.
func (s *server) vmDemo(c echo.Context) error {
	ctx := c.Request().Context()
	offer, err := s.demoOffer(ctx)
	if err != nil {
		return s.sayOrFail(c, live.Home, err)
	}
	ch, err := s.choices(ctx, offer.HostID)
	if err != nil {
		return err
	}
	form := vms.NewCreateForm(ch, offer.HostID)
	if form.Name, err = s.freeName(ctx, "demo"); err != nil {
		return err
	}
	spec, tags, err := form.Request(ch)
	if err != nil {
		return err
	}
	job, err := s.Fleet.CreateVM(ctx, subject(c).Actor(), fleet.CreateVM{Spec: spec, Host: offer.HostID, Start: true, Tags: tags, Key: onceKey(c)})
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err != nil {
		return s.sayOrFail(c, live.Home, err)
	}
	return s.moveSaying(c, live.VMTab(job.Resource.ID, "console"), ended(job))
}

// freeName is base, or base-2 and so on: the first that no VM has.
func (s *server) freeName(ctx context.Context, base string) (string, error) {
	for n := 1; ; n++ {
		name := base
		if n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		err := s.DB.Write(ctx, func(tx *db.Tx) error { return tx.CheckVMName(name, "") })
		if !domain.Is(err, domain.Conflict) {
			return name, err
		}
	}
}
